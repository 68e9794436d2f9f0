/*
 * HTTP caching: what may be kept and until when, validators, Vary, 304, and heads that lie.
 */
#include "codec/http_cache.h"

#include "base/limits.h"
#include "base/macro.h"
#include "base/test.h"
#include "codec/time_text.h"

#define NOW  INT64_C(784111777000) /* Sun, 06 Nov 1994 08:49:37 GMT */
#define HOUR INT64_C(3600000)
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static HttpCacheEntry judge_as(const char *method, int status, const char *head)
{
    HttpCacheEntry entry;

    http_cache_judge(&(HttpCacheAnswer){ .method = str_from_c(method),
                                         .status = status,
                                         .head = str_from_c(head),
                                         .request_ms = NOW,
                                         .response_ms = NOW },
                     &entry);
    return entry;
}

static HttpCacheEntry judge(const char *head)
{
    return judge_as("GET", 200, head);
}

/* For how many milliseconds an answer with HEAD is fresh. */
static int64_t fresh_ms(const char *head)
{
    return judge(head).fresh_until_ms - NOW;
}

TEST(walks_heads)
{
    Str rest = STR("HTTP/1.1 200 OK\r\nA: 1\r\n folded: x\r\nbad name: 2\r\nEmpty:\r\n:no\r\n"
                   "Last:  two words \nlast: 3\r\n\r\n");
    Str name, value;

    EXPECT_STR(http_head_find(rest, "LAST"), STR_C("two words"));
    EXPECT(http_head_find(rest, "empty").data != NULL);
    EXPECT(http_head_find(rest, "none").data == NULL);
    EXPECT(http_head_find(rest, "folded").data == NULL);
    EXPECT(http_head_next(&rest, &name, &value));
    EXPECT_STR(name, STR_C("A"));
    EXPECT_STR(value, STR_C("1"));
    EXPECT(http_head_next(&rest, &name, &value));
    EXPECT_STR(name, STR_C("Empty"));
    EXPECT_EQ(value.len, 0);
    EXPECT(http_head_next(&rest, &name, &value));
    EXPECT(http_head_next(&rest, &name, &value));
    EXPECT_STR(value, STR_C("3"));
    EXPECT(!http_head_next(&rest, &name, &value));
}

TEST(reads_cache_control)
{
    HttpCacheControl control = { 0 };

    http_cache_control_parse(
        STR_C("Max-Age=\"60\" , PRIVATE, ext=\"a, no-store\", stale-if-error=9"), &control);
    EXPECT(control.has_max_age && control.is_private && !control.no_store && !control.is_public);
    EXPECT_EQ(control.max_age_ms, 60000);
    EXPECT_EQ(control.stale_if_error_ms, 9000);
    http_cache_control_parse(STR_C("no-cache=\"Set-Cookie\", max-age=30, immutable, no-store"),
                             &control);
    EXPECT(control.no_cache && control.no_store && control.is_immutable);
    EXPECT_EQ(control.max_age_ms, 30000); /* the smallest */
    http_cache_control_parse(STR_C("max-age=-1, public, must-revalidate"), &control);
    EXPECT_EQ(control.max_age_ms, 0); /* no number: at once */
    EXPECT(control.is_public && control.must_revalidate);
    control = (HttpCacheControl){ 0 };
    http_cache_control_parse(STR_C("max-age=99999999999999999999,stale-while-revalidate=x"),
                             &control);
    EXPECT_EQ(control.max_age_ms, INT64_C(2147483648000));
    EXPECT_EQ(control.stale_while_revalidate_ms, 0);
}

TEST(tells_how_long_it_is_fresh)
{
    EXPECT_EQ(fresh_ms("Cache-Control: max-age=60\r\n"), 60000);
    EXPECT_EQ(fresh_ms("Cache-Control: s-maxage=9, max-age=60\r\n"), 60000); /* s- is not for us */
    EXPECT_EQ(fresh_ms("Cache-Control: max-age=60\r\nAge: 20\r\n"), 40000);
    EXPECT_EQ(fresh_ms("Cache-Control: max-age=60\r\nAge: 20, 70\r\n"), 40000);
    EXPECT_EQ(fresh_ms("Cache-Control: max-age=60\r\nAge: old\r\n"), 60000);
    EXPECT_EQ(fresh_ms("Cache-Control: max-age=60\r\nAge: 90\r\n"), -30000);
    EXPECT_EQ(fresh_ms("Cache-Control: max-age=60\r\nDate: Sun, 06 Nov 1994 08:49:27 GMT\r\n"),
              50000);
    EXPECT_EQ(fresh_ms("Cache-Control: max-age=60\r\nDate: Sun, 06 Nov 1994 09:49:27 GMT\r\n"),
              60000);
    EXPECT_EQ(fresh_ms(DATE "Expires: Sun, 06 Nov 1994 09:49:37 GMT\r\n"), HOUR);
    EXPECT_EQ(fresh_ms(DATE "Expires: Sunday, 06-Nov-94 09:49:37 GMT\r\n"), HOUR);
    EXPECT_EQ(fresh_ms("Expires: Sun, 06 Nov 1994 09:49:37 GMT\r\n"),
              HOUR); /* no Date: our clock */
    EXPECT_EQ(fresh_ms(DATE "Expires: Sun, 06 Nov 1994 07:49:37 GMT\r\n"), 0);
    EXPECT_EQ(fresh_ms(DATE "Expires: 0\r\n"), 0);
    EXPECT_EQ(fresh_ms(DATE "Expires: -1\r\nExpires: Sun, 06 Nov 1994 09:49:37 GMT\r\n"), 0);
    EXPECT_EQ(fresh_ms(DATE "Expires: 0\r\nCache-Control: max-age=5\r\n"), 5000);
    EXPECT_EQ(fresh_ms("Cache-Control: no-cache, max-age=60\r\n"), 0);
    EXPECT_EQ(fresh_ms("Pragma: no-cache\r\nExpires: Sun, 06 Nov 1994 09:49:37 GMT\r\n"), 0);
    EXPECT_EQ(fresh_ms("Pragma: no-cache\r\nCache-Control: max-age=60\r\n"), 60000);
    EXPECT_EQ(fresh_ms("Cache-Control: private\r\nCache-Control: max-age=60\r\n"), 60000);
    EXPECT_EQ(fresh_ms(""), 0);
}

static HttpCacheEntry judge_shared(const char *head)
{
    HttpCacheEntry entry;

    http_cache_judge(&(HttpCacheAnswer){ .status = 200,
                                         .head = str_from_c(head),
                                         .request_ms = NOW,
                                         .response_ms = NOW,
                                         .is_shared = true },
                     &entry);
    return entry;
}

/* Catches what is one user's in a cache of several, and an s-maxage in that of one. */
TEST(tells_one_user_from_several)
{
    static const char both[] = "Cache-Control: max-age=60, s-maxage=7, private\r\n";

    EXPECT(judge(both).can_store && judge(both).is_private);
    EXPECT_EQ(fresh_ms(both), 60000);
    EXPECT(!judge_shared(both).can_store);
    EXPECT_EQ(judge_shared(both).fresh_until_ms - NOW, 7000);
    EXPECT(judge_shared("Cache-Control: max-age=60\r\n").can_store);
    EXPECT_EQ(judge_shared("Cache-Control: s-maxage=x\r\n").fresh_until_ms, NOW);
}

TEST(tells_whether_anything_was_said)
{
    static const char *const said[] = { "Cache-Control: max-age=0\r\n", "Expires: 0\r\n",
                                        "Cache-Control: no-cache\r\n", "Pragma: no-cache\r\n",
                                        "Cache-Control: no-store\r\n" };

    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        EXPECT(judge(said[i]).is_timed);
    EXPECT(!judge("ETag: \"a\"\r\n").is_timed);
    EXPECT(!judge("Cache-Control: private, s-maxage=3\r\n").is_timed);
    EXPECT(judge_shared("Cache-Control: s-maxage=3\r\n").is_timed);
    EXPECT(!judge("Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\r\n").is_timed);
}

TEST(counts_the_time_of_the_request)
{
    HttpCacheEntry entry;
    HttpCacheAnswer answer = {
        .status = 200,
        .head = STR("Cache-Control: max-age=60\r\nAge: 10\r\n"),
        .request_ms = NOW - 5000,
        .response_ms = NOW,
    };

    http_cache_judge(&answer, &entry);
    EXPECT_EQ(entry.fresh_until_ms, NOW + 45000);
    answer.request_ms = NOW + 5000; /* the clock was set back meanwhile */
    http_cache_judge(&answer, &entry);
    EXPECT_EQ(entry.fresh_until_ms, NOW + 50000);
}

TEST(guesses_where_nothing_is_said)
{
    HttpCacheEntry entry = judge(DATE "Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT\r\n");

    EXPECT(entry.is_heuristic && entry.can_store && entry.can_revalidate);
    EXPECT_EQ(entry.fresh_until_ms - NOW, HOUR / 10);
    EXPECT_STR(entry.last_modified, STR_C("Sun, 06 Nov 1994 07:49:37 GMT"));
    EXPECT_EQ(fresh_ms(DATE "Last-Modified: Sun, 06 Nov 1990 07:49:37 GMT\r\n"),
              LIMIT_HTTP_CACHE_HEURISTIC_MS);
    EXPECT_EQ(fresh_ms(DATE "Last-Modified: Sun, 06 Nov 1995 07:49:37 GMT\r\n"), 0);
    entry = judge(DATE "Last-Modified: yesterday\r\n");
    EXPECT(!entry.is_heuristic && entry.last_modified.len == 0 && !entry.can_revalidate);
    entry = judge_as("GET", 500, DATE "Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT\r\n");
    EXPECT_EQ(entry.fresh_until_ms, NOW);
    EXPECT(!entry.is_heuristic && !entry.can_store);
}

TEST(tells_what_may_be_kept)
{
    EXPECT(judge("").can_store);
    EXPECT(judge("Cache-Control: no-cache\r\n").can_store);
    EXPECT(judge("Cache-Control: private\r\n").can_store);
    EXPECT(judge_as("", 200, "").can_store);
    EXPECT(judge_as("GET", 404, "").can_store);
    EXPECT(judge_as("GET", 500, "Cache-Control: max-age=9\r\n").can_store);
    EXPECT(!judge("Cache-Control: max-age=60, NO-STORE\r\n").can_store);
    EXPECT(!judge("Vary: Accept, *\r\n").can_store);
    EXPECT(!judge_as("POST", 200, "Cache-Control: max-age=9\r\n").can_store);
    EXPECT(!judge_as("HEAD", 200, "").can_store);
    EXPECT(!judge_as("GET", 206, "Cache-Control: max-age=9\r\n").can_store);
    EXPECT(!judge_as("GET", 304, "Cache-Control: max-age=9\r\n").can_store);
    EXPECT(!judge_as("GET", 503, "").can_store);
    EXPECT(!judge_as("GET", 101, "Cache-Control: max-age=9\r\n").can_store);
}

TEST(tells_what_to_do)
{
    HttpCacheEntry entry = judge("Cache-Control: max-age=60\r\nETag: W/\"x\"\r\n");

    EXPECT_STR(entry.etag, STR_C("W/\"x\""));
    EXPECT_EQ(http_cache_use(&entry, NOW, NOW), HTTP_CACHE_FRESH);
    EXPECT_EQ(http_cache_use(&entry, NOW, NOW + 59999), HTTP_CACHE_FRESH);
    EXPECT_EQ(http_cache_use(&entry, NOW, NOW + 60000), HTTP_CACHE_REVALIDATE);
    EXPECT_EQ(http_cache_use(&entry, NOW, NOW - 1), HTTP_CACHE_REVALIDATE); /* clock went back */
    EXPECT(!http_cache_may_use_on_error(&entry, NOW + 60000));
    entry = judge("Cache-Control: max-age=60\r\nETag: x\r\n");
    EXPECT_EQ(http_cache_use(&entry, NOW, NOW + 60000), HTTP_CACHE_FETCH); /* no entity tag */
    entry = judge("Cache-Control: max-age=60, stale-if-error=60\r\n");
    EXPECT(http_cache_may_use_on_error(&entry, NOW + 119999));
    EXPECT(!http_cache_may_use_on_error(&entry, NOW + 120000));
    entry = judge("Cache-Control: max-age=60, stale-if-error=60, must-revalidate\r\n");
    EXPECT(entry.must_revalidate && !http_cache_may_use_on_error(&entry, NOW + 60000));
}

TEST(brings_a_head_up_to_date)
{
    AUTO(buf_deinit) Buf out = { 0 };
    AUTO(buf_deinit) Buf many = { 0 };

    http_cache_merge(STR_C("Date: old\r\nContent-Type: text/html\r\nETag: \"1\"\r\nX: 1\r\nx: 2\r\n"
                           "Content-Length: 9\r\n"),
                     STR_C("HTTP/1.1 304 Not Modified\r\ndate: new\r\nContent-Length: 0\r\n"
                           "X: 3\r\nAge: 4\r\nConnection: close\r\n\r\n"),
                     &out);
    EXPECT_STR(buf_str(&out),
               STR_C("Content-Type: text/html\r\nETag: \"1\"\r\nContent-Length: 9\r\n"
                     "date: new\r\nX: 3\r\nAge: 4\r\n"));
    for (int i = 0; i < 20000; i++)
        buf_printf(&many, "x%d:\r\n", i);
    buf_reset(&out);
    http_cache_merge(buf_str(&many), buf_str(&many), &out);
    EXPECT(out.len < 5000);
}

typedef struct Request {
    const char *accept;
    const char *language;
} Request;

static Str header_of(void *ctx, Str name)
{
    const Request *request = ctx;

    if (str_eq_nocase(name, STR_C("accept")))
        return str_from_c(request->accept);
    return str_from_c(str_eq_nocase(name, STR_C("accept-language")) ? request->language : NULL);
}

TEST(tells_requests_apart)
{
    static const Str head = STR("Vary: Accept\r\nX: 1\r\nvary: Accept-Language, Cookie\r\n");
    Request request = { "text/html ", NULL };
    AUTO(buf_deinit) Buf key = { 0 };

    EXPECT(http_cache_vary(head, header_of, &request, &key));
    EXPECT_STR(buf_str(&key), STR_C("accept: text/html\naccept-language: \ncookie: \n"));
    EXPECT(!http_cache_vary(STR_C("Vary: a\r\nVary: *\r\n"), header_of, &request, &key));
    buf_reset(&key);
    EXPECT(http_cache_vary(STR_C("X: y\r\n"), header_of, &request, &key));
    EXPECT_EQ(key.len, 0);
}

TEST(reads_entity_tags)
{
    HttpEtag a, b;

    EXPECT(http_etag_parse(STR_C("\"x\""), &a) && http_etag_parse(STR_C("W/\"x\""), &b));
    EXPECT(!a.is_weak && b.is_weak && str_eq(a.opaque, b.opaque));
    EXPECT(http_etag_parse(STR_C("\"\""), &a) && a.opaque.len == 0);
    EXPECT(http_etag_parse(STR_C("\"\xc3\xa9\\!\""), &a));
    EXPECT(!http_etag_parse(STR_C("x"), &a));
    EXPECT(!http_etag_parse(STR_C("\""), &a));
    EXPECT(!http_etag_parse(STR_C("w/\"x\""), &a));
    EXPECT(!http_etag_parse(STR_C("\"a b\""), &a));
    EXPECT(!http_etag_parse(STR_C("\"a\"b\""), &a));
    EXPECT(!http_etag_parse(STR_C(""), &a));
}

TEST_MAIN()
