/*
 * URLs: the data of the web platform's tests (urltestdata.json, which browsers are held to).
 *
 * $SLUICE_URL_VECTORS names the folder; every file there whose name ends in urltestdata.json is
 * read. What is not http is WEB_URL_OTHER here, a base that is not http is left out, and the user
 * name that the data wants to see in `href` is gone from ours.
 */
#include "codec/json.h"
#include "codec/vectors_test.h"
#include "codec/web_url.h"

/* Whether there are four hexadecimal digits at AT of TEXT, and which number they are. */
static bool read_unit(Str text, size_t at, unsigned *ret_unit)
{
    char digits[5] = { 0 }, *end;

    if (at + 6 > text.len || text.data[at] != '\\' || text.data[at + 1] != 'u')
        return false;
    memcpy(digits, text.data + at + 2, 4);
    *ret_unit = (unsigned) strtoul(digits, &end, 16);
    return end == digits + 4;
}

/*
 * Halves of surrogate pairs stand alone in this JSON. The standard reads strings that have them as
 * if U+FFFD stood there; so does this, in the source text, since our JSON is UTF-8 and has none.
 */
static void mend_surrogates(Buf *text)
{
    for (size_t at = 0; at + 1 < text->len; at++) {
        unsigned unit = 0, second = 0;

        if (text->data[at] != '\\')
            continue;
        if (!read_unit(buf_str(text), at, &unit)) {
            at++;
        } else if (unit < 0xD800 || unit > 0xDFFF) {
            at += 5;
        } else if (unit < 0xDC00 && read_unit(buf_str(text), at + 6, &second) && second >= 0xDC00 &&
                   second <= 0xDFFF) {
            at += 11;
        } else {
            memcpy(text->data + at + 2, "FFFD", 4);
            at += 5;
        }
    }
}

static Str member(Json vector, const char *name)
{
    return json_str_or(json_find(vector, name), (Str){ 0 });
}

static bool is_http(Str href)
{
    return str_starts(href, STR_C("http://")) || str_starts(href, STR_C("https://"));
}

/* HREF without the user name and password that VECTOR says are in it. */
static Str without_userinfo(Arena *arena, Json vector, Str href)
{
    Str scheme = str_sub(href, 0, (size_t) str_find(href, '/') + 2), behind;

    if (member(vector, "username").len == 0 && member(vector, "password").len == 0)
        return href;
    (void) str_cut(str_sub(href, scheme.len, href.len), '@', &behind);
    return arena_printf(arena, "%.*s%.*s", (int) scheme.len, scheme.data, (int) behind.len,
                        behind.data);
}

/* Whether PART of a URL is what VECTOR has under NAME, where a MARK stands before it if it is not
 * empty. */
static bool is_member(Json vector, const char *name, char mark, Str part)
{
    Str want = member(vector, name);

    if (!json_find(vector, name))
        return true;
    if (mark && want.len > 0)
        want = want.data[0] == mark ? str_sub(want, 1, want.len) : want;
    return str_eq(want, part);
}

static bool is_as_wanted(Arena *arena, Json vector, const WebUrl *url)
{
    char port[8] = "";

    if (url->has_port)
        snprintf(port, sizeof(port), "%u", url->port);
    return str_eq(url->href, without_userinfo(arena, vector, member(vector, "href"))) &&
           is_member(vector, "hostname", 0, url->host) &&
           is_member(vector, "port", 0, str_from_c(port)) &&
           is_member(vector, "pathname", 0, url->path) &&
           is_member(vector, "search", '?', url->query) &&
           is_member(vector, "hash", '#', url->fragment);
}

/* HTTP counts URLs that are http and those that are none, OTHER the other schemes, of which all
 * that is asked is that we stay away. */
static void run_vector(Json vector, VectorCounts *http, VectorCounts *other)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str input = member(vector, "input"), base_text = member(vector, "base");
    Str href = member(vector, "href");
    bool fails = json_bool_or(json_find(vector, "failure"), false), is_right;
    bool has_base = base_text.len > 0;
    WebUrl base, url = { 0 };
    int r = has_base ? web_url_resolve(&arena, NULL, base_text, &base) : 0;

    if (r != 0)
        return (void) http->left_out++;
    r = web_url_resolve(&arena, has_base ? &base : NULL, input, &url);
    if (r == WEB_URL_OTHER && !is_http(href))
        return (void) other->passed++;
    if (fails)
        is_right = r == WEB_URL_INVALID;
    else
        is_right = r == 0 && is_as_wanted(&arena, vector, &url);
    if (is_right)
        return (void) http->passed++;
    http->failed++;
    test_fail(__FILE__, __LINE__, "<%.*s> to <%.*s>: got %d <%.*s>, want <%.*s>", (int) input.len,
              input.data, (int) base_text.len, base_text.len ? base_text.data : "", r,
              (int) url.href.len, url.href.len ? url.href.data : "", (int) href.len,
              href.len ? href.data : "");
}

TEST(reads_urls_as_browsers_do)
{
    VectorCounts http = { 0 }, other = { 0 };
    glob_t files;

    if (!vectors_list("SLUICE_URL_VECTORS", "*urltestdata.json", &files))
        return;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        AUTO(buf_deinit) Buf text = { 0 };
        AUTO(arena_deinit) Arena arena = { 0 };
        JsonDoc doc;

        REQUIRE(vectors_read(files.gl_pathv[i], &text));
        mend_surrogates(&text);
        REQUIRE(json_parse(&arena, buf_str(&text), &doc) == 0);
        for (JsonIter it = json_iter(doc.root); json_next(&it);)
            if (json_is_object(it.value))
                run_vector(it.value, &http, &other);
    }
    globfree(&files);
    vectors_print("URLs", &http, "against a base that is not http");
    vectors_print("URLs of other schemes", &other, "");
}

TEST_MAIN()
