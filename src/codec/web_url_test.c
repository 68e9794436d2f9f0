/*
 * URLs as browsers read them: vectors of each class, properties of what comes out, the keys, and
 * the traps.
 */
#include "codec/web_url.h"

#include "base/rand.h"
#include "base/test.h"
#include "codec/charset.h"
#include "codec/url.h"
#include "codec/web_url_int.h"

/* TEXT against BASE (may be NULL) as text: the href, "invalid" or "other". */
static Str resolve(Arena *arena, const char *base_text, Str text)
{
    WebUrl base, url;
    int r;

    if (base_text && web_url_parse(arena, str_from_c(base_text), &base) != 0)
        return STR_C("bad base");
    r = web_url_resolve(arena, base_text ? &base : NULL, text, &url);
    if (r == WEB_URL_INVALID)
        return STR_C("invalid");
    return r == WEB_URL_OTHER ? STR_C("other") : url.href;
}

typedef struct Vector {
    const char *base, *text, *want;
} Vector;

static void expect_vectors(const Vector *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        Str got = resolve(&arena, vectors[i].base, str_from_c(vectors[i].text));

        EXPECT_STR(got, str_from_c(vectors[i].want));
        if (!str_eq_c(got, vectors[i].want))
            printf("    %s\n", vectors[i].text);
    }
}

#define EXPECT_VECTORS(vectors) expect_vectors(vectors, ARRAY_LEN(vectors))

TEST(absolute_urls)
{
    static const Vector vectors[] = {
        { NULL, "http://example.com", "http://example.com/" },
        { NULL, "HTTPS://EXAMPLE.com/A?B#C", "https://example.com/A?B#C" },
        { NULL, "  http://a.b/c \n", "http://a.b/c" },
        { NULL, "ht\ntp://a\t.b/\rc", "http://a.b/c" },
        { NULL, "http://a.b:80/", "http://a.b/" },
        { NULL, "https://a.b:443/", "https://a.b/" },
        { NULL, "http://a.b:443/", "http://a.b:443/" },
        { NULL, "http://a.b:/", "http://a.b/" },
        { NULL, "http://a.b:00080/", "http://a.b/" },
        { NULL, "http://a.b:0/", "http://a.b:0/" },
        { NULL, "http://a.b:65535/", "http://a.b:65535/" },
        { NULL, "http://a.b:65536/", "invalid" },
        { NULL, "http://a.b:8x/", "invalid" },
        { NULL, "http:\\\\a.b\\c", "http://a.b/c" },
        { NULL, "http:a.b", "http://a.b/" },
        { NULL, "http:////a.b", "http://a.b/" },
        { NULL, "http://", "invalid" },
        { NULL, "http://?", "invalid" },
        { NULL, "http:///", "invalid" },
        { NULL, "", "invalid" },
        { NULL, "/path", "invalid" },
        { NULL, "//a.b", "invalid" },
        { NULL, "mailto:a@b", "other" },
        { NULL, "javascript:void(0)", "other" },
        { NULL, "ftp://a.b/", "other" },
        { NULL, "data:text/html,x", "other" },
    };

    EXPECT_VECTORS(vectors);
}

TEST(paths)
{
    static const Vector vectors[] = {
        { NULL, "http://h/a/./b", "http://h/a/b" },
        { NULL, "http://h/a/../b", "http://h/b" },
        { NULL, "http://h/a/b/..", "http://h/a/" },
        { NULL, "http://h/a/.", "http://h/a/" },
        { NULL, "http://h/../../a", "http://h/a" },
        { NULL, "http://h/a/%2e%2E/b", "http://h/b" },
        { NULL, "http://h/a/.%2e/b", "http://h/b" },
        { NULL, "http://h/a/%2e/b", "http://h/a/b" },
        { NULL, "http://h/.../%2e%2e%2e", "http://h/.../%2e%2e%2e" },
        { NULL, "http://h//a//b/", "http://h//a//b/" },
        { NULL, "http://h/a//../b", "http://h/a/b" },
        { NULL, "http://h/a b\"<>`{}^|", "http://h/a%20b%22%3C%3E%60%7B%7D%5E|" },
        { NULL, "http://h/\xc3\xa4\xe2\x82\xac", "http://h/%C3%A4%E2%82%AC" },
        { NULL, "http://h/%zz%4", "http://h/%zz%4" },
        { NULL, "http://h/%%\"", "http://h/%%%22" },
        { NULL, "http://h/https://i//", "http://h/https://i//" },
        { NULL, "http://h/%c3%a4", "http://h/%c3%a4" },
        { NULL, "http://h/a?b'c d#e f`", "http://h/a?b%27c%20d#e%20f%60" },
        { NULL, "http://h?", "http://h/?" },
        { NULL, "http://h#", "http://h/#" },
        { NULL, "http://h?a?b#c#d", "http://h/?a?b#c#d" },
        { NULL, "http://h/a\x7f\x01", "http://h/a%7F" },
    };

    EXPECT_VECTORS(vectors);
}

TEST(hosts)
{
    static const Vector vectors[] = {
        { NULL,
          "http://b\xc3\xbc"
          "cher.de/",
          "http://xn--bcher-kva.de/" },
        { NULL,
          "http://B\xc3\x9c"
          "CHER.DE/",
          "http://xn--bcher-kva.de/" },
        { NULL, "http://fa\xc3\x9f.de/", "http://xn--fa-hia.de/" },
        { NULL, "http://xn--bcher-kva.de/", "http://xn--bcher-kva.de/" },
        { NULL, "http://\xe4\xbe\x8b\xe3\x81\x88\xe3\x80\x82jp/", "http://xn--r8jz45g.jp/" },
        { NULL, "http://0x7f.1/", "http://127.0.0.1/" },
        { NULL, "http://127.1/", "http://127.0.0.1/" },
        { NULL, "http://2130706433/", "http://127.0.0.1/" },
        { NULL, "http://017700000001/", "http://127.0.0.1/" },
        { NULL, "http://127.0.0.1./", "http://127.0.0.1/" },
        { NULL, "http://256.1.1.1/", "invalid" },
        { NULL, "http://1.2.3.4.5/", "invalid" },
        { NULL, "http://a.0x/", "invalid" },
        { NULL, "http://1.2.3.a/", "http://1.2.3.a/" },
        { NULL, "http://[::1]:8080/a", "http://[::1]:8080/a" },
        { NULL, "http://[0:0:0:0:0:0:0:1]/", "http://[::1]/" },
        { NULL, "http://[::ffff:1.2.3.4]/", "http://[::ffff:102:304]/" },
        { NULL, "http://[::1/", "invalid" },
        { NULL, "http://[g::1]/", "invalid" },
        { NULL, "http://a b/", "invalid" },
        { NULL, "http://a%00b/", "invalid" },
        { NULL, "http://a<b/", "invalid" },
        { NULL, "http://%65xample.com/", "http://example.com/" },
        { NULL, "http://a_b.c./", "http://a_b.c./" },
        { NULL,
          "http://\xef\xbc\x87\xef\xbc\x8e"
          "com/",
          "http://'.com/" },
    };

    EXPECT_VECTORS(vectors);
}

TEST(relative_references)
{
    static const Vector vectors[] = {
        { "http://h/a/b?c#d", "", "http://h/a/b?c" },
        { "http://h/a/b?c#d", "#x", "http://h/a/b?c#x" },
        { "http://h/a/b?c#d", "?x", "http://h/a/b?x" },
        { "http://h/a/b?c#d", "?", "http://h/a/b?" },
        { "http://h/a/b?c#d", "x", "http://h/a/x" },
        { "http://h/a/b?c#d", "./x", "http://h/a/x" },
        { "http://h/a/b?c#d", "../x", "http://h/x" },
        { "http://h/a/b?c#d", "../../x", "http://h/x" },
        { "http://h/a/b?c#d", "..", "http://h/" },
        { "http://h/a/b?c#d", ".", "http://h/a/" },
        { "http://h/a/b?c#d", "/x?y#z", "http://h/x?y#z" },
        { "http://h/a/b?c#d", "\\x\\y", "http://h/x/y" },
        { "http://h/a/b?c#d", "//i/x", "http://i/x" },
        { "https://h/a/b", "//i:80/x", "https://i:80/x" },
        { "https://h/a/b", "\\\\i\\x", "https://i/x" },
        { "http://h:81/a/b", "https://i", "https://i/" },
        { "http://h:81/a/b", "http:c", "http://h:81/a/c" },
        { "http://h:81/a/b", "http:/c", "http://h:81/c" },
        { "http://h:81/a/b", "https:c", "https://c/" },
        { "http://h:81/a/", "c:d", "other" },
        { "http://h:81/a/", "./c:d", "http://h:81/a/c:d" },
        { "http://h:81/a/", "9:d", "http://h:81/a/9:d" },
        { "http://h/a/", "b c\xc3\xa4", "http://h/a/b%20c%C3%A4" },
        { "http://h/", "///i", "http://i/" },
        { "http://h/a", "?x=\xc3\xa4", "http://h/a?x=%C3%A4" },
        { "http://u:p@h/a", "b", "http://h/b" },
        { "http://h/a;x=1/b;y", ";z", "http://h/a;x=1/;z" },
    };

    EXPECT_VECTORS(vectors);
}

TEST(pieces)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    WebUrl url;

    EXPECT_OK(web_url_parse(&arena, STR_C("https://U:P@Ex.com:8443/a/b?c=d#e"), &url));
    EXPECT(url.had_userinfo && url.is_https && url.has_port && url.has_query && url.has_fragment);
    EXPECT_STR(url.href, STR_C("https://ex.com:8443/a/b?c=d#e"));
    EXPECT_STR(url.host, STR_C("ex.com"));
    EXPECT_STR(url.path, STR_C("/a/b"));
    EXPECT_STR(url.query, STR_C("c=d"));
    EXPECT_STR(url.fragment, STR_C("e"));
    EXPECT_EQ(url.port, 8443);
    EXPECT_STR(web_url_origin(&url), STR_C("https://ex.com:8443"));
    EXPECT_STR(web_url_target(&url), STR_C("/a/b?c=d"));
    EXPECT_STR(web_url_without_fragment(&url), STR_C("https://ex.com:8443/a/b?c=d"));
    EXPECT_OK(web_url_parse(&arena, STR_C("http://[::1]/?#"), &url));
    EXPECT_EQ(url.host_kind, WEB_URL_IPV6);
    EXPECT_EQ(url.port, 80);
    EXPECT_STR(url.host, STR_C("[::1]"));
    EXPECT_STR(web_url_target(&url), STR_C("/?"));
    EXPECT_STR(web_url_without_fragment(&url), STR_C("http://[::1]/?"));
    EXPECT_OK(web_url_parse(&arena, STR_C("http://1/"), &url));
    EXPECT_EQ(url.host_kind, WEB_URL_IPV4);
    EXPECT_STR(url.host, STR_C("0.0.0.1"));
    EXPECT(!url.has_query && !url.has_fragment && !url.has_port && !url.had_userinfo);
}

TEST(words_for_what_is_wrong)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    WebUrl url;

    EXPECT_ERR(web_url_parse(&arena, STR_C("example.com"), &url), -ERR_INVALID, "must begin with");
    EXPECT_ERR(web_url_parse(&arena, STR_C("http://a b"), &url), -ERR_INVALID, "is not a URL");
    EXPECT_ERR(web_url_parse(&arena, STR_C("mailto:a@b"), &url), -ERR_INVALID, "only http");
    buf_add_c(&text, "http://h/");
    for (int i = 0; i < 8192; i++)
        buf_add_char(&text, 'a');
    EXPECT_EQ(web_url_resolve(&arena, NULL, buf_str(&text), &url), WEB_URL_INVALID);
    text.len = 8192;
    EXPECT_EQ(web_url_resolve(&arena, NULL, buf_str(&text), &url), 0);
}

TEST(queries_are_in_the_charset_of_the_document)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Charset charset = { 0 };
    WebUrl base, url;

    REQUIRE(charset_find(STR_C("windows-1251"), &charset));
    REQUIRE(web_url_parse(&arena, STR_C("http://h/"), &base) == 0);
    base.charset = charset.id;
    EXPECT_OK(web_url_resolve(&arena, &base, STR_C("/\xd0\x9f?q=\xd0\x9f"), &url));
    EXPECT_STR(url.href, STR_C("http://h/%D0%9F?q=%CF"));
    EXPECT_EQ(url.charset, charset.id);
    EXPECT_OK(web_url_resolve(&arena, &base, STR_C("/a?q=1"), &url));
    EXPECT_STR(url.href, STR_C("http://h/a?q=1"));
}

/* ---- properties ------------------------------------------------------------------------------ */

static bool is_escaped_right(Str s, const char *forbidden)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char) s.data[i] <= 0x20 || (unsigned char) s.data[i] >= 0x7f ||
            strchr(forbidden, s.data[i]))
            return false;
    return true;
}

/* Whatever goes in, what comes out is ASCII, has nothing that a part must escape, lies in href in
 * its order, has no dots to resolve, and is read again as itself. */
static void expect_sound(Arena *arena, const WebUrl *url)
{
    WebUrl again;
    Str path = url->path, segment = { 0 };

    EXPECT(is_escaped_right(url->path, "\"#<>?`{}^\\"));
    EXPECT(is_escaped_right(url->query, "\"#<>'"));
    EXPECT(is_escaped_right(url->fragment, "\"<>`"));
    EXPECT(is_escaped_right(url->host, "#<>?^\\/@%|"));
    while (url_path_next(&path, &segment))
        EXPECT(!str_eq_c(segment, ".") && !str_eq_c(segment, ".."));
    REQUIRE(web_url_resolve(arena, NULL, url->href, &again) == 0);
    EXPECT_STR(again.href, url->href);
    EXPECT_STR(again.host, url->host);
    EXPECT_EQ(again.port, url->port);
    EXPECT_EQ(again.host_kind, url->host_kind);
}

TEST(random_text_gives_sound_urls)
{
    static const char *const pieces[] = {
        "http://", "https://", "HTTP:", "//",   "/",   "\\", "?", "#",  ".",   "..",    "%2e",
        "%2E%2e",  "a",        "B",     "9",    "0x1", ":",  "@", "80", "443", ":80",   ":443",
        "[::1]",   "ex.com",   "xn--",  " ",    "'",   "\"", "<", "`",  "{",   "|",     "^",
        "~",       "%",        "%zz",   "%41",  ";",   "=",  "&", "+",  "-",   "_",     "\xc3\xa4",
        "mailto:", "\t",       "\x7f",  "\xff", "!",   "$",  "*", "(",  ",",   "a/b/c",
    };
    static const char *const bases[] = {
        "http://h.com/a/b/c?q#f",
        "https://h.com",
        "http://h:8080/?",
        "https://[::1]/x/",
    };
    size_t n_read = 0;
    Rand rand;

    rand_init(&rand, 11);
    for (int i = 0; i < 10000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf text = { 0 };
        WebUrl base, url;

        if (rand_below(&rand, 2))
            buf_add_c(&text, rand_below(&rand, 2) ? "http://ex.com/" : "//Ex.Com:81");
        for (uint64_t n = rand_below(&rand, 9); n > 0; n--)
            buf_add_c(&text, pieces[rand_below(&rand, ARRAY_LEN(pieces))]);
        REQUIRE(web_url_parse(&arena, str_from_c(bases[rand_below(&rand, ARRAY_LEN(bases))]),
                              &base) == 0);
        if (web_url_resolve(&arena, &base, buf_str(&text), &url) != 0)
            continue;
        n_read++;
        expect_sound(&arena, &url);
    }
    EXPECT(n_read > 5000);
}

/* A plain host goes past lexbor; lexbor must have nothing to say of it. */
TEST(plain_hosts_are_as_lexbor_has_them)
{
    static const char letters[] = "abcxyzABCn019-_.";
    Rand rand;

    rand_init(&rand, 12);
    for (int i = 0; i < 2000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf text = { 0 };
        Str host, name;
        WebUrl url;
        int r;

        for (uint64_t n = 1 + rand_below(&rand, 8); n > 0; n--)
            buf_add_char(&text, letters[rand_below(&rand, sizeof(letters) - 1)]);
        r = web_url_read_host(&arena, buf_str(&text), &host);
        name = arena_printf(&arena, "http://%.*s", (int) text.len, text.data);
        EXPECT_EQ(web_url_resolve(&arena, NULL, name, &url), r);
        if (r == 0)
            EXPECT_STR(url.host, host);
    }
}

/* What comes out goes in again and is the same. */
TEST(serialising_is_stable)
{
    static const char *const texts[] = {
        "http://h/a b/../c?d e#f g",
        "http://b\xc3\xbc"
        "cher.de/",
        "http://[::1]:81/",
        "http://1.2/",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        WebUrl first, second;

        REQUIRE(web_url_parse(&arena, str_from_c(texts[i]), &first) == 0);
        REQUIRE(web_url_parse(&arena, first.href, &second) == 0);
        EXPECT_STR(first.href, second.href);
        EXPECT_EQ(first.host_kind, second.host_kind);
    }
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void expect_key(const char *text, const WebUrlKeyOpts *opts, const char *want)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf key = { 0 };
    WebUrl url;

    REQUIRE(web_url_parse(&arena, str_from_c(text), &url) == 0);
    web_url_key(&url, opts, &key);
    EXPECT_STR(buf_str(&key), str_from_c(want));
    REQUIRE(web_url_parse(&arena, buf_str(&key), &url) == 0);
    EXPECT_STR(url.href, str_from_c(want));
}

TEST(plain_keys)
{
    expect_key("http://H:80", NULL, "http://h/");
    expect_key("http://h/#a", NULL, "http://h/");
    expect_key("http://h/?#a", NULL, "http://h/?");
    expect_key("http://h/%7euser/%2f%c3%a4/%41", NULL, "http://h/~user/%2F%C3%A4/A");
    expect_key("http://h/a|b?c|d=[e]", NULL, "http://h/a%7Cb?c%7Cd=%5Be%5D");
    expect_key("http://h/100%", NULL, "http://h/100%25");
    expect_key("http://h/?b=1&a=2&utm_source=x", NULL, "http://h/?b=1&a=2&utm_source=x");
    expect_key("http://h:81/a;jsessionid=1?b", NULL, "http://h:81/a;jsessionid=1?b");
}

TEST(keys_by_choice)
{
    static const Str dropped[] = { STR("ref") };
    WebUrlKeyOpts sorted = { .has_sorted_query = true };
    WebUrlKeyOpts tracking = { .is_tracking_dropped = true };
    WebUrlKeyOpts session = { .is_session_dropped = true };
    WebUrlKeyOpts named = { .dropped = dropped, .n_dropped = 1 };
    WebUrlKeyOpts scheme = { .is_scheme_ignored = true };

    expect_key("http://h/?b=2&a=1&b=1&a", &sorted, "http://h/?a&a=1&b=1&b=2");
    expect_key("http://h/?", &sorted, "http://h/?");
    expect_key("http://h/?utm_source=a&b=1&GCLID=2&fbclid", &tracking, "http://h/?b=1");
    expect_key("http://h/?utm_source=a", &tracking, "http://h/");
    expect_key("http://h/?utm=a", &tracking, "http://h/?utm=a");
    expect_key("http://h/a;jsessionid=1A2B?PHPSESSID=1&x=2&sid=3", &session, "http://h/a?x=2");
    expect_key("http://h/a;jsessionid=1/b;v=2/c", &session, "http://h/a/b;v=2/c");
    expect_key("http://h/?b`=1&a=2&P", &sorted, "http://h/?P&a=2&b%60=1");
    expect_key("http://h/?`=1&P", &sorted, "http://h/?%60=1&P");
    expect_key("http://h/?%75tm_source=1", &tracking, "http://h/");
    expect_key("http://h/.;jsessionid=1/a", &session, "http://h/.;jsessionid=1/a");
    expect_key("http://h/?ref=1&refs=2", &named, "http://h/?refs=2");
    expect_key("https://h/a", &scheme, "http://h/a");
    expect_key("https://h:8443/a", &scheme, "http://h:8443/a");
}

TEST(very_many_parameters_are_left_alone)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(buf_deinit) Buf key = { 0 };
    WebUrlKeyOpts sorted = { .has_sorted_query = true };
    WebUrl url;

    buf_add_c(&text, "http://h/?z");
    for (int i = 0; i < 100; i++)
        buf_add_c(&text, "&a");
    REQUIRE(web_url_parse(&arena, buf_str(&text), &url) == 0);
    web_url_key(&url, &sorted, &key);
    EXPECT_STR(buf_str(&key), buf_str(&text));
}

/* ---- traps ----------------------------------------------------------------------------------- */

static void expect_trap(const char *text, const WebUrlTrapOpts *opts, const char *want)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *got;
    WebUrl url;

    REQUIRE(web_url_parse(&arena, str_from_c(text), &url) == 0);
    got = web_url_trap(&url, opts);
    EXPECT_C(got ? got : "none", want);
}

TEST(traps)
{
    WebUrlTrapOpts deep = { .max_segments = 2 }, pairs = { .max_pairs = 2 };
    WebUrlTrapOpts once = { .max_repeats = 1 }, bytes = { .max_bytes = 12 };

    expect_trap("http://h/a/b/a/b/a/c", NULL, "none");
    expect_trap("http://h/a/b/a/b/a/b/a/", NULL, "segments repeat");
    expect_trap("http://h////a", NULL, "none");
    expect_trap("http://h/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25", NULL,
                "too deep");
    expect_trap("http://h/a/b", &deep, "none");
    expect_trap("http://h/a/b/", &deep, "too deep");
    expect_trap("http://h/?a&b", &pairs, "none");
    expect_trap("http://h/?a&b&c", &pairs, "too many parameters");
    expect_trap("http://h/a/a", &once, "segments repeat");
    expect_trap("http://h/abc", &bytes, "none");
    expect_trap("http://h/abcd", &bytes, "too long");
}

TEST_MAIN()
