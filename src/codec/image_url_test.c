/*
 * Image URLs: options by a schema, sources of each form, rules for what may be fetched, signatures.
 */
#include "codec/image_url.h"

#include "base/err.h"
#include "base/test.h"
#include "base/text.h"
#include "codec/base64.h"

typedef struct Wanted {
    int64_t width, quality;
    double dpr;
    bool enlarge, orient;
    int format;
    Str crop;
    SchemaList outputs;
} Wanted;

static const char *const formats[] = { "auto", "jpeg", "webp", NULL };
static const SchemaField item = ITEM(STR, .range = RANGE(1, 9));
static const SchemaField fields[] = {
    FIELD_INT(Wanted, width, "w"),   FIELD_INT(Wanted, quality, "q", .range = RANGE(1, 100)),
    FIELD_REAL(Wanted, dpr, "d"),    FIELD_BOOL(Wanted, enlarge, "e"),
    FIELD_BOOL(Wanted, orient, "o"), FIELD_ENUM(Wanted, format, formats, "f"),
    FIELD_STR(Wanted, crop, "c"),    FIELD_LIST(Wanted, outputs, &item, "o"),
};
static const Schema schema = SCHEMA(Wanted, fields, "Wanted.");

static void expect_args(int line, const char *options, const char *want)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    ImageUrl url;
    int r = image_url_options(&arena, &schema, str_from_c(options), &url);

    if (r < 0)
        return test_fail(__FILE__, line, "%s: %s", options, err_text(r));
    if (!str_eq_c(url.args, want))
        test_fail(__FILE__, line, "%s: got %.*s", options, (int) url.args.len, url.args.data);
}

static void expect_refused(int line, const char *options, const char *words)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    ImageUrl url;
    int r = image_url_options(&arena, &schema, str_from_c(options), &url);

    if (r != -ERR_INVALID || !strstr(err_text(r), words))
        test_fail(__FILE__, line, "%s: got %d %s", options, r, r < 0 ? err_text(r) : "");
}

#define EXPECT_ARGS(options, want)     expect_args(__LINE__, options, want)
#define EXPECT_REFUSED(options, words) expect_refused(__LINE__, options, words)

TEST(options_become_arguments_by_the_schema)
{
    EXPECT_ARGS("-", "{}");
    EXPECT_ARGS("w:320,q:80,dpr:1.5", "{\"width\":320,\"quality\":80,\"dpr\":1.5}");
    EXPECT_ARGS("width:320", "{\"width\":320}");
    EXPECT_ARGS("el,ar:0", "{\"enlarge\":true,\"orient\":false}");
    EXPECT_ARGS("f:jpg", "{\"format\":\"jpeg\"}");
    EXPECT_ARGS("c:1:2:30:40", "{\"crop\":\"1,2,30,40\"}");
    EXPECT_ARGS("w:wide", "{\"width\":\"wide\"}"); /* the schema says what is wrong with it */
    EXPECT_ARGS(",w:1,,", "{\"width\":1}");
}

TEST(other_options_are_refused)
{
    EXPECT_REFUSED("wdth:3", "no option \"wdth\"");
    EXPECT_REFUSED("w:3,width:4", "width stands there twice");
    EXPECT_REFUSED("outputs:x", "no option");
    EXPECT_REFUSED("accept:image/webp", "no option");
    EXPECT_REFUSED("exp:soon", "seconds since 1970");
    EXPECT_REFUSED("exp:0", "seconds since 1970");
    EXPECT_REFUSED("exp:5,exp:6", "seconds since 1970");
}

/* A value must not be able to break out of the JSON that it is written into. */
TEST(values_stay_values)
{
    EXPECT_ARGS("w:1}", "{\"width\":\"1}\"}");
    EXPECT_ARGS("c:\"}{\"x\"", "{\"crop\":\"\\\"}{\\\"x\\\"\"}");
}

static void expect_source(int line, const char *text, int kind, const char *want)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    ImageSourceKind got = IMAGE_SOURCE_URL;
    Str source = { 0 };
    int r = image_url_source(&arena, str_from_c(text), &got, &source);

    if (!want && r != -ERR_INVALID)
        return test_fail(__FILE__, line, "%s: accepted", text);
    if (want && (r < 0 || (int) got != kind || !str_eq_c(source, want)))
        test_fail(__FILE__, line, "%s: got %d, kind %d, %.*s", text, r, (int) got, (int) source.len,
                  source.data);
}

TEST(sources_are_urls_or_paths)
{
    expect_source(__LINE__, "https://a.test/x.jpg?y=1", IMAGE_SOURCE_URL,
                  "https://a.test/x.jpg?y=1");
    expect_source(__LINE__, "aHR0cDovL2EudGVzdC94LmpwZw", IMAGE_SOURCE_URL, "http://a.test/x.jpg");
    expect_source(__LINE__, "aHR0cDovL2EudGVzdC94LmpwZw==", IMAGE_SOURCE_URL,
                  "http://a.test/x.jpg");
    expect_source(__LINE__, "shop/a cat.jpg", IMAGE_SOURCE_PATH, "shop/a cat.jpg");
    for (size_t i = 0; i < 12; i++) {
        static const char *const bad[] = {
            "../etc/passwd", "a/../b", "/etc/passwd", "a//b",         "a/", ".ssh/id",
            "a\\b",          "a\nb",   "http://",     "http://a b/c", "",   "http://a\\b/",
        };

        expect_source(__LINE__, bad[i], 0, NULL);
    }
}

static bool fits(const char *rule, const char *url)
{
    return image_url_fits(str_from_c(rule), str_from_c(url));
}

TEST(rules_say_what_may_be_fetched)
{
    EXPECT(fits("https://img.test/", "https://img.test/a.jpg"));
    EXPECT(fits("https://img.test", "https://IMG.test:443/a.jpg"));
    EXPECT(fits("img.test", "http://img.test/a.jpg"));
    EXPECT(fits("img.test", "https://img.test/a.jpg"));
    EXPECT(fits("https://*.img.test", "https://a.b.img.test/x"));
    EXPECT(fits("https://img.test/shop", "https://img.test/shop/a"));
    EXPECT(fits("http://127.0.0.1:8080/", "http://127.0.0.1:8080/a"));

    EXPECT(!fits("https://img.test/", "http://img.test/a.jpg"));
    EXPECT(!fits("https://img.test/", "https://img.test.evil.test/a.jpg"));
    EXPECT(!fits("https://img.test/", "https://img.test@evil.test/a.jpg"));
    EXPECT(!fits("https://img.test/", "https://user@img.test/a.jpg"));
    EXPECT(!fits("https://img.test/", "https://img.test:8443/a.jpg"));
    EXPECT(!fits("img.test", "http://img.test:22/"));
    EXPECT(!fits("https://*.img.test", "https://img.test/x"));
    EXPECT(!fits("https://*.img.test", "https://evilimg.test/x"));
    EXPECT(!fits("https://img.test/shop", "https://img.test/shopping"));
    EXPECT(!fits("https://img.test/shop", "https://img.test/shop/../admin"));
    EXPECT(!fits("https://img.test/shop", "https://img.test/shop/%2E%2e/admin"));
    EXPECT(!fits("https://img.test/shop", "https://img.test/shop/.%2e/admin"));
    EXPECT(!fits("https://img.test/shop", "https://img.test/shop/x%2f..%2F..%2fadmin"));
    EXPECT(!fits("https://img.test/shop", "https://img.test/shop/.."));
    EXPECT(fits("https://img.test/shop", "https://img.test/shop/..a/b..%2f...x"));
    EXPECT(!fits("https://img.test/", "https://img.test\\@evil.test/"));
    EXPECT(!fits("https://img.test/", "file:///etc/passwd"));
    EXPECT(!fits("", "https://img.test/"));
}

TEST(rules_are_checked)
{
    EXPECT_OK(image_url_rule_check(str_from_c("https://*.img.test/shop/")));
    EXPECT_ERR(image_url_rule_check(str_from_c("")), -ERR_INVALID, "source");
    EXPECT_ERR(image_url_rule_check(str_from_c("https://u:p@img.test/")), -ERR_INVALID, "source");
    EXPECT_ERR(image_url_rule_check(str_from_c("https://img.test/a/../b")), -ERR_INVALID, "source");
}

/* Computed with Python's hmac and base64. */
TEST(signatures_are_those_of_everybody)
{
    static const char text[] = "/w:320/aHR0cDovL2EudGVzdC94LmpwZw";
    AUTO(buf_deinit) Buf got = { 0 };
    unsigned char mac[IMAGE_URL_MAC_BYTES];
    Str key = str_from_c("0123456789abcdef");

    image_url_mac(key, str_from_c(text), mac);
    base64_encode(&got, str_from((char *) mac, sizeof(mac)), BASE64_URL);
    EXPECT_STR(buf_str(&got), str_from_c("coI6BqmsqB0mbAkAD_nzBWf2gpJy9WGkDgJVwlQ4dNk"));
    EXPECT(image_url_is_signed(key, str_from_c(text), buf_str(&got)));
    EXPECT(image_url_is_signed(key, str_from_c(text), str_sub(buf_str(&got), 0, 32)));
    EXPECT(!image_url_is_signed(key, str_from_c(text), str_sub(buf_str(&got), 0, 12)));
    EXPECT(!image_url_is_signed(key, str_from_c(text), str_from_c("")));
    EXPECT(
        !image_url_is_signed(key, str_from_c("/w:321/aHR0cDovL2EudGVzdC94LmpwZw"), buf_str(&got)));
    EXPECT(!image_url_is_signed(str_from_c("0123456789abcdeF"), str_from_c(text), buf_str(&got)));
    for (size_t i = 0; i < got.len; i++) {
        got.data[i] = got.data[i] == 'A' ? 'B' : 'A';
        EXPECT(!image_url_is_signed(key, str_from_c(text), buf_str(&got)));
        got.data[i] = '*';
    }
}

TEST_MAIN()
