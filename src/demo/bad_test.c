/*
 * Every bad page is bad in the way its row says.
 */
#include "demo/pack_int.h"
#include "demo/talk_int.h"

/* ---- all of them ----------------------------------------------------------------------------- */

/* Pages of which the answer is not finished, or is no HTTP: looked at one by one below. */
static bool is_odd(const DemoPage *page)
{
    static const char *const paths[] = {
        "/bad/slow",         "/bad/hang",        "/bad/hang-body",        "/bad/drip",
        "/bad/endless",      "/bad/oversized",   "/bad/oversized-length", "/bad/cut",
        "/bad/cut-reset",    "/bad/cut-chunked", "/bad/cut-head",         "/bad/close",
        "/bad/not-http",     "/bad/early-hints", "/bad/huge-header",      "/bad/length-long",
        "/bad/length-short", "/bad/length-two",  "/bad/chunk-broken",     "/bad/length-none",
        "/bad/bomb",         "/bad/many-links",  "/expected.json",
    };

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        if (strcmp(page->path, paths[i]) == 0)
            return true;
    }
    return false;
}

static void check_row(const DemoPage *page)
{
    size_t len = strlen(page->path);
    bool is_bad = strncmp(page->path, "/bad/", 5) == 0 && len > 5;
    Talk talk = { .opts = { .products = 24 } };
    char path[300];

    EXPECT(page->path[0] == '/' && page->answer && page->summary);
    EXPECT(!is_bad || (page->outcome && page->outcome[0]));
    if (is_odd(page))
        return;
    (void) snprintf(path, sizeof(path), "%.*s%s", (int) (len - (page->path[len - 1] == '*')),
                    page->path, page->example ? page->example : "");
    get(&talk, path);
    if (talk.status < 200 || !talk.is_ended)
        test_fail(__FILE__, __LINE__, "%s: status %lld", path, (long long) talk.status);
    talk_end(&talk);
}

/* Catches a row without an outcome, a page that does not answer, and a path that is there twice. */
TEST(every_page_answers)
{
    AUTO(map_deinit) Map paths = { 0 };
    size_t n = 0;

    for (const DemoPages *const *at = demo_pages; *at; at++) {
        EXPECT((*at)->heading && (*at)->n_pages > 0);
        for (size_t i = 0; i < (*at)->n_pages; i++, n++) {
            const DemoPage *page = &(*at)->pages[i];

            EXPECT(!map_put(&paths, str_from_c(page->path), (void *) (uintptr_t) page));
            check_row(page);
        }
    }
    EXPECT(n > 120);
}

/* Catches a page that the index does not lead to, and a link where none may be. */
TEST(index_lists_them)
{
    Talk talk = { 0 };

    get(&talk, "/bad/");
    expect_body(&talk, "<a href=\"/bad/slow?ms=2000\">/bad/slow</a>");
    expect_body(&talk, "<a href=\"/bad/redirect/301\">/bad/redirect/*</a>");
    expect_body(&talk, "<td>/bad/unwanted/*</td>");
    EXPECT(!str_contains(talk.body, STR_C("href=\"/bad/unwanted")));
    get(&talk, "/trap/");
    expect_body(&talk, "<a href=\"/trap/calendar/2026/11\">");
    EXPECT(!str_contains(talk.body, STR_C("/bad/slow")));
    talk_end(&talk);
}

/* ---- statuses and redirects ------------------------------------------------------------------ */

static void expect_status(const char *path, int status, const char *header)
{
    Talk talk = { 0 };

    get(&talk, path);
    if (talk.status != status)
        test_fail(__FILE__, __LINE__, "%s: status %lld", path, (long long) talk.status);
    if (header)
        expect_head(&talk, header);
    talk_end(&talk);
}

/* Catches a status that is another one, and a header that went missing. */
TEST(statuses)
{
    static const char *const clears[] = { "GET /bad/429?n=2", "GET /bad/429?n=2",
                                          "GET /bad/429?n=2", NULL };
    Talk talk = { 0 };

    expect_status("/bad/404", 404, NULL);
    expect_status("/bad/410", 410, NULL);
    expect_status("/bad/500", 500, NULL);
    expect_status("/bad/503", 503, "Retry-After: 1\r\n");
    expect_status("/bad/503-date", 503, " GMT\r\n");
    expect_status("/bad/503-long", 503, "Retry-After: 86400\r\n");
    expect_status("/bad/403-quota", 403, "x-ratelimit-remaining: 0\r\n");
    expect_status("/bad/status?status=451", 451, NULL);
    expect_status("/bad/soft-404", 200, NULL);
    expect_status("/bad/204", 204, NULL);
    talk_run(&talk, clears + 1);
    EXPECT_EQ(talk.status, 429);
    expect_head(&talk, "Retry-After: 1\r\n");
    talk_run(&talk, clears);
    EXPECT_EQ(talk.status, 200);
    talk_end(&talk);
}

/* Catches a redirect that leads elsewhere. */
TEST(redirects)
{
    static const int statuses[] = { 301, 302, 303, 307, 308 };

    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char path[40];

        (void) snprintf(path, sizeof(path), "/bad/redirect/%d", statuses[i]);
        expect_status(path, statuses[i], "Location: /product/1\r\n");
    }
    expect_status("/bad/redirect/304", 404, NULL);
    expect_status("/bad/redirect/302?to=/x%20y", 302, "Location: /x y\r\n");
    expect_status("/bad/redirect-chain?n=3", 302, "Location: /bad/redirect-chain?n=2\r\n");
    expect_status("/bad/redirect-chain?n=0", 200, NULL);
    expect_status("/bad/redirect-loop/a", 302, "Location: /bad/redirect-loop/b\r\n");
    expect_status("/bad/redirect-loop/b", 302, "Location: /bad/redirect-loop/a\r\n");
    expect_status("/bad/redirect-host", 302, "Location: http://127.0.0.1/product/1\r\n");
    expect_status("/bad/redirect-private", 302, "Location: http://169.254.169.254/");
    expect_status("/bad/redirect-robots", 302, "Location: /private/orders\r\n");
}

/* ---- bodies ---------------------------------------------------------------------------------- */

/* Catches an answer that comes too early, or ends when it must not. */
TEST(slow_and_large)
{
    Talk talk = { .patience_ms = 10000 };

    get(&talk, "/bad/slow?ms=700");
    EXPECT(talk.status == 200 && talk.took_ms >= 700);
    get(&talk, "/bad/hang");
    EXPECT(talk.status == 0 && !talk.is_ended);
    get(&talk, "/bad/hang-body");
    EXPECT(talk.status == 200 && !talk.is_ended);
    EXPECT_STR(talk.body, STR_C("<!DOCTYPE html>\n<h1>Half"));
    get(&talk, "/bad/drip?ms=500");
    EXPECT(talk.status == 200 && !talk.is_ended && talk.body.len >= 18 && talk.body.len <= 21);
    get(&talk, "/bad/endless");
    EXPECT(talk.status == 200 && !talk.is_ended && talk.body.len > OUTPUT_MAX / 2);
    get(&talk, "/bad/oversized?bytes=300000");
    EXPECT(talk.is_ended && talk.body.len == 300000);
    get(&talk, "/bad/oversized-length?bytes=300000");
    EXPECT(talk.is_ended && talk.body.len == 300000);
    expect_head(&talk, "Content-Length: 300000\r\n");
    get(&talk, "/bad/many-links?n=3");
    expect_body(&talk, "<a href=\"/bad/leaf/2\">x</a>\n</body>");
    talk_end(&talk);
}

static int64_t length_of(const Talk *talk)
{
    static const char name[] = "Content-Length: ";
    const char *at = talk->head.data ? strstr(talk->head.data, name) : NULL;
    int64_t value = -1;
    Str rest;

    if (at)
        EXPECT_OK(str_to_i64(str_cut(str_from_c(at + sizeof(name) - 1), '\r', &rest), 0, INT64_MAX,
                             &value));
    return value;
}

/* Catches a lie that became true. */
TEST(lengths_and_cuts)
{
    Talk talk = { 0 };

    get(&talk, "/bad/length-long");
    EXPECT_EQ(length_of(&talk), (int64_t) talk.body.len + 1000);
    get(&talk, "/bad/length-short");
    EXPECT_EQ(length_of(&talk), (int64_t) talk.body.len - 20);
    get(&talk, "/bad/length-two");
    expect_head(&talk, "Content-Length: 10\r\nContent-Length: ");
    get(&talk, "/bad/length-none");
    EXPECT(talk.status == 200 && length_of(&talk) == -1 && talk.is_ended);
    get(&talk, "/bad/chunk-broken");
    expect_head(&talk, "Transfer-Encoding: chunked\r\n");
    EXPECT_EQ(talk.body.len, 0);
    get(&talk, "/bad/cut");
    EXPECT(talk.is_ended && length_of(&talk) == 5000 && talk.body.len == 31);
    get(&talk, "/bad/cut-reset");
    EXPECT(!talk.is_ended && length_of(&talk) == 5000 && talk.body.len == 31);
    get(&talk, "/bad/cut-chunked");
    EXPECT(!talk.is_ended && !strstr(talk.output.data, "\r\n0\r\n"));
    get(&talk, "/bad/cut-head");
    EXPECT(talk.is_ended && !strstr(talk.output.data, "\r\n\r\n"));
    get(&talk, "/bad/close");
    EXPECT_EQ(talk.output.len, 0);
    get(&talk, "/bad/not-http");
    EXPECT(strncmp(talk.output.data, "SSH-2.0-", 8) == 0);
    get(&talk, "/bad/early-hints");
    EXPECT_EQ(talk.status, 103);
    expect_body(&talk, "HTTP/1.1 200 OK\r\n");
    get(&talk, "/bad/huge-header");
    EXPECT(talk.head.len > 256 << 10);
    get(&talk, "/bad/many-headers");
    expect_head(&talk, "X-Header-499: ");
    talk_end(&talk);
}

/* ---- codings and text ------------------------------------------------------------------------ */

/* Catches a coding that is not what its header says. */
TEST(codings)
{
    Talk talk = { 0 };

    get(&talk, "/bad/br");
    expect_head(&talk, "Content-Encoding: br\r\n");
    expect_body(&talk, "<h1>Packed</h1>"); /* stored, so it can be seen */
    get(&talk, "/bad/unknown-coding");
    expect_head(&talk, "Content-Encoding: snappy\r\n");
    get(&talk, "/bad/gzip-not");
    EXPECT(str_starts(talk.body, STR_C("<!DOCTYPE")));
    if (!pack_is_available())
        return talk_end(&talk);
    get(&talk, "/bad/gzip");
    expect_head(&talk, "Content-Encoding: gzip\r\n");
    EXPECT(str_starts(talk.body, STR_C("\x1f\x8b")));
    get(&talk, "/bad/deflate");
    EXPECT(str_starts(talk.body, STR_C("\x78")));
    get(&talk, "/bad/gzip-gzip");
    expect_head(&talk, "Content-Encoding: gzip, gzip\r\n");
    get(&talk, "/bad/gzip-many");
    expect_head(&talk, "gzip, gzip, gzip, gzip, gzip, gzip, gzip, gzip, gzip, gzip\r\n");
    get(&talk, "/bad/bomb?mib=64");
    EXPECT(talk.body.len > 60000 && talk.body.len < 70000);
    talk_end(&talk);
}

static void expect_text(const char *name, const char *bytes, size_t len, const char *type)
{
    Talk talk = { 0 };
    char path[60];

    (void) snprintf(path, sizeof(path), "/bad/charset/%s", name);
    get(&talk, path);
    expect_head(&talk, type);
    if (!str_contains(talk.body, str_from(bytes, len)))
        test_fail(__FILE__, __LINE__, "%s: its bytes are missing", path);
    talk_end(&talk);
}
#define EXPECT_TEXT(name, bytes, type) expect_text((name), (bytes), sizeof(bytes) - 1, (type))

/* Catches bytes that somebody converted. */
TEST(charsets)
{
    EXPECT_TEXT("wrong-label", "<h1>Caf\xc3\xa9 ", "charset=iso-8859-1\r\n");
    EXPECT_TEXT("unlabelled", "<h1>Caf\xe9 \x93na", "Content-Type: text/html\r\n");
    EXPECT_TEXT("shift-jis", "<h1>\x93\xfa\x96\x7b", "charset=Shift_JIS\r\n");
    EXPECT_TEXT("iso-2022-jp", "<h1>\x1b$BF|K\\8l", "charset=ISO-2022-JP\r\n");
    EXPECT_TEXT("gb18030", "\x95\x34\xb2\x35</h1>", "charset=GB18030\r\n");
    EXPECT_TEXT("utf-16le", "\xff\xfe<\0!\0D\0", "Content-Type: text/html\r\n");
    EXPECT_TEXT("utf-16le", "\xe5\x65,\x67\x9e\x8a", "Content-Type: text/html\r\n");
    EXPECT_TEXT("utf-16be", "\xfe\xff\0<\0!\0D", "charset=utf-8\r\n");
    EXPECT_TEXT("utf-16be", "\0>\x65\xe5\x67\x2c\x8a\x9e", "charset=utf-8\r\n");
    EXPECT_TEXT("bom", "\xef\xbb\xbf<!DOCTYPE", "charset=windows-1252\r\n");
    EXPECT_TEXT("meta", "<meta charset=\"shift_jis\">", "Content-Type: text/html\r\n");
}

/* ---- state ----------------------------------------------------------------------------------- */

static void run_one(Talk *talk, const char *request)
{
    const char *requests[] = { request, NULL };

    talk_run(talk, requests);
}

/* Catches a wall that lets everybody in, or nobody. */
TEST(cookies_validators_credentials)
{
    Talk talk = { 0 };

    run_one(&talk, "GET /bad/cookie-wall");
    EXPECT_EQ(talk.status, 302);
    run_one(&talk, "GET /bad/cookie-wall/set");
    expect_head(&talk, "Set-Cookie: wall=passed; Path=/bad/; HttpOnly; SameSite=Lax\r\n");
    run_one(&talk, "GET /bad/cookie-wall\nCookie: a=b; wall=passed\r\n");
    EXPECT_EQ(talk.status, 200);
    run_one(&talk, "GET /bad/etag");
    expect_head(&talk, "ETag: \"playground-1\"\r\n");
    run_one(&talk, "GET /bad/etag\nIf-None-Match: \"playground-1\"\r\n");
    EXPECT_EQ(talk.status, 304);
    run_one(&talk, "GET /bad/etag\nIf-None-Match: \"other\"\r\n");
    EXPECT_EQ(talk.status, 200);
    run_one(&talk, "GET /bad/last-modified\nIf-Modified-Since: Fri, 20 Nov 2026 08:00:00 GMT\r\n");
    EXPECT_EQ(talk.status, 304);
    run_one(&talk, "GET /bad/last-modified\nIf-Modified-Since: Thu, 19 Nov 2026 08:00:00 GMT\r\n");
    EXPECT_EQ(talk.status, 200);
    run_one(&talk, "GET /bad/basic-auth");
    EXPECT_EQ(talk.status, 401);
    run_one(&talk, "GET /bad/basic-auth\nAuthorization: basic YWRhOmxvdmVsYWNl\r\n");
    EXPECT_EQ(talk.status, 200);
    run_one(&talk, "GET /bad/who\nAuthorization: x\r\n");
    expect_body(&talk, "<p class=\"credentials\">yes</p>\n<p class=\"cookies\">no</p>");
    talk_end(&talk);
}

/* Catches a trap that ends. */
TEST(traps)
{
    Talk talk = { 0 };

    get(&talk, "/trap/calendar/2026/12");
    expect_body(&talk, "href=\"/trap/calendar/2027/01\"");
    expect_body(&talk, "href=\"/trap/calendar/2026/11\"");
    get(&talk, "/trap/calendar/2026/01");
    expect_body(&talk, "href=\"/trap/calendar/2025/12\"");
    get(&talk, "/trap/calendar/2026/13");
    EXPECT_EQ(talk.status, 404);
    get(&talk, "/trap/deep/a/a");
    expect_body(&talk, "href=\"/trap/deep/a/a/a/\"");
    get(&talk, "/trap/links/1");
    expect_body(&talk, "href=\"/trap/links/");
    get(&talk, "/trap/filters?size=1");
    expect_body(&talk, "href=\"/trap/filters?size=1&amp;colour=0\"");
    get(&talk, "/bad/session");
    expect_body(&talk, "href=\"/bad/session?sid=");
    talk_end(&talk);
}

TEST_MAIN()
