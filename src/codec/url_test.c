/*
 * Pieces of URLs: encoding and decoding, queries, paths, and the URLs that must be refused.
 */
#include "codec/url.h"

#include "base/rand.h"
#include "base/test.h"

static void expect_encoded(const char *text, UrlPart part, const char *want)
{
    AUTO(buf_deinit) Buf out = { 0 };

    url_encode(&out, str_from_c(text), part);
    EXPECT_STR(buf_str(&out), str_from_c(want));
}

TEST(encodes)
{
    expect_encoded("a b/c?d=1&e+f~", URL_QUERY, "a%20b%2Fc%3Fd%3D1%26e%2Bf~");
    expect_encoded("a b/c:@x", URL_PATH_SEGMENT, "a%20b%2Fc:@x");
    expect_encoded("\xc3\xa9%", URL_QUERY, "%C3%A9%25");
}

TEST(decodes)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str out;

    EXPECT_OK(url_decode(&arena, STR_C("plain"), false, &out));
    EXPECT_STR(out, STR_C("plain"));
    EXPECT_OK(url_decode(&arena, STR_C("a%20b+c%2f%C3%A9"), false, &out));
    EXPECT_STR(out, STR_C("a b+c/\xc3\xa9"));
    EXPECT_OK(url_decode(&arena, STR_C("a+b%2B"), true, &out));
    EXPECT_STR(out, STR_C("a b+"));
    EXPECT_OK(url_decode(&arena, STR_C("%00"), true, &out));
    EXPECT_STR(out, STR_C("\0"));
    EXPECT_OK(url_decode(&arena, (Str){ 0 }, true, &out));
    EXPECT_EQ(out.len, 0);
    EXPECT_ERR(url_decode(&arena, STR_C("%"), false, &out), -ERR_INVALID, "two hexadecimal");
    EXPECT_ERR(url_decode(&arena, STR_C("a%2"), false, &out), -ERR_INVALID, "two hexadecimal");
    EXPECT_ERR(url_decode(&arena, STR_C("%zz"), false, &out), -ERR_INVALID, "two hexadecimal");
    EXPECT_ERR(url_decode(&arena, STR_C("%ff"), false, &out), -ERR_INVALID, "UTF-8");
    EXPECT_ERR(url_decode(&arena, STR_C("\xff"), false, &out), -ERR_INVALID, "UTF-8");
}

TEST(random_text_comes_back)
{
    Rand rand;

    rand_init(&rand, 1);
    for (int i = 0; i < 1000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf out = { 0 };
        char text[24];
        size_t len = rand_below(&rand, sizeof(text));
        Str back;

        for (size_t k = 0; k < len; k++)
            text[k] = (char) rand_below(&rand, 128);
        url_encode(&out, str_from(text, len), i % 2 ? URL_QUERY : URL_PATH_SEGMENT);
        EXPECT_OK(url_decode(&arena, buf_str(&out), i % 2, &back));
        EXPECT_STR(back, str_from(text, len));
    }
}

TEST(takes_queries_apart)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str rest = STR_C("a=1&&b&c=&d=x%26y=z&a=2&");
    UrlPair pair = { 0 };
    Str value;

    EXPECT_OK(url_query_next(&arena, &rest, &pair));
    EXPECT(str_eq_c(pair.name, "a") && str_eq_c(pair.value, "1") && pair.has_value);
    EXPECT_OK(url_query_next(&arena, &rest, &pair));
    EXPECT(str_eq_c(pair.name, "b") && pair.value.len == 0 && !pair.has_value);
    EXPECT_OK(url_query_next(&arena, &rest, &pair));
    EXPECT(str_eq_c(pair.name, "c") && pair.value.len == 0 && pair.has_value);
    EXPECT_OK(url_query_next(&arena, &rest, &pair));
    EXPECT(str_eq_c(pair.name, "d") && str_eq_c(pair.value, "x&y=z"));
    EXPECT_OK(url_query_next(&arena, &rest, &pair));
    EXPECT(str_eq_c(pair.value, "2"));
    EXPECT_EQ(url_query_next(&arena, &rest, &pair), URL_QUERY_END);

    EXPECT_OK(url_query_find(&arena, STR_C("x=1&wait=30s"), "wait", &value));
    EXPECT_STR(value, STR_C("30s"));
    EXPECT_EQ(url_query_find(&arena, STR_C("x=1"), "wait", &value), URL_QUERY_END);
    EXPECT_ERR(url_query_find(&arena, STR_C("x=%&wait=1"), "wait", &value), -ERR_INVALID, "");
}

static void expect_segments(const char *path, size_t n, const char *const *want)
{
    Str rest = str_from_c(path), segment = { 0 };
    size_t i = 0;

    for (; url_path_next(&rest, &segment); i++) {
        if (i < n)
            EXPECT_STR(segment, str_from_c(want[i]));
    }
    EXPECT_EQ(i, n);
}

TEST(takes_paths_apart)
{
    Str path, query;

    expect_segments("", 0, NULL);
    expect_segments("x", 0, NULL);
    expect_segments("/", 1, (const char *const[]){ "" });
    expect_segments("/a", 1, (const char *const[]){ "a" });
    expect_segments("/a/", 2, (const char *const[]){ "a", "" });
    expect_segments("/a//b", 3, (const char *const[]){ "a", "", "b" });
    url_split_target(STR_C("/a/b?x=1?y#f?"), &path, &query);
    EXPECT_STR(path, STR_C("/a/b"));
    EXPECT_STR(query, STR_C("x=1?y"));
    url_split_target(STR_C("/a"), &path, &query);
    EXPECT_STR(path, STR_C("/a"));
    EXPECT_EQ(query.len, 0);
}

TEST(parses_absolute_urls)
{
    Url url;

    EXPECT_OK(url_parse(STR_C("https://u:p@example.org:8443/a/b?x=1#f"), &url));
    EXPECT(url.is_https && url.has_port && !url.is_ipv6);
    EXPECT_STR(url.userinfo, STR_C("u:p"));
    EXPECT_STR(url.host, STR_C("example.org"));
    EXPECT_EQ(url.port, 8443);
    EXPECT_STR(url.path, STR_C("/a/b"));
    EXPECT_STR(url.query, STR_C("x=1"));
    EXPECT_OK(url_parse(STR_C("http://[::1]:80"), &url));
    EXPECT(url.is_ipv6 && !url.is_https);
    EXPECT_STR(url.host, STR_C("::1"));
    EXPECT_EQ(url.path.len, 0);
    EXPECT_OK(url_parse(STR_C("http://a?b"), &url));
    EXPECT_EQ(url.port, 80);
    EXPECT_STR(url.query, STR_C("b"));
    EXPECT_OK(url_parse(STR_C("https://a/x@y:z"), &url));
    EXPECT_EQ(url.port, 443);
    EXPECT_STR(url.path, STR_C("/x@y:z"));
}

TEST(refuses_urls_that_can_be_read_twice)
{
    static const char *const cases[] = {
        "",
        "a",
        "/a",
        "ftp://a",
        "file:///etc/passwd",
        "HTTP//a",
        "http:/a",
        "http://",
        "http:///a",
        "http://?x",
        "http://:80",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://a:8x",
        "http://a:-1",
        "http://a:80:80",
        "http://a@b@c",
        "http://a b",
        "http://a\\@b",
        "http://a\tb",
        "http://a/\n",
        "http://[::1",
        "http://::1",
        "http://[::1]x",
        "http://[x]",
        "http://a]",
        "http://\xc3\xa9",
        "http://a/\"",
        "javascript:alert(1)",
    };
    Url url;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_ERR(url_parse(str_from_c(cases[i]), &url), -ERR_INVALID, "is not a URL");
}

TEST(parses_addresses)
{
    uint16_t port;
    Str host;

    EXPECT_OK(url_parse_host_port(STR_C("127.0.0.1:80"), 1, &host, &port));
    EXPECT_STR(host, STR_C("127.0.0.1"));
    EXPECT_EQ(port, 80);
    EXPECT_OK(url_parse_host_port(STR_C("localhost"), 7584, &host, &port));
    EXPECT_EQ(port, 7584);
    EXPECT_OK(url_parse_host_port(STR_C(":0"), 1, &host, &port));
    EXPECT_EQ(host.len, 0);
    EXPECT_EQ(port, 0);
    EXPECT_OK(url_parse_host_port(STR_C("[::1]:65535"), 1, &host, &port));
    EXPECT_STR(host, STR_C("::1"));
    EXPECT_EQ(port, 65535);
    EXPECT_OK(url_parse_host_port(STR_C("[fe80::1]"), 9, &host, &port));
    EXPECT_EQ(port, 9);
    EXPECT_ERR(url_parse_host_port(STR_C("a:b"), 1, &host, &port), -ERR_INVALID, "port");
    EXPECT_ERR(url_parse_host_port(STR_C("a:99999"), 1, &host, &port), -ERR_INVALID, "port");
    EXPECT_ERR(url_parse_host_port(STR_C("a:"), 1, &host, &port), -ERR_INVALID, "port");
    EXPECT_ERR(url_parse_host_port(STR_C("::1"), 1, &host, &port), -ERR_INVALID, "address");
    EXPECT_ERR(url_parse_host_port(STR_C("a/b"), 1, &host, &port), -ERR_INVALID, "address");
    EXPECT_ERR(url_parse_host_port(STR_C("a b"), 1, &host, &port), -ERR_INVALID, "address");
}

TEST(survives_without_memory)
{
    FOR_EACH_FAULT {
        AUTO(arena_deinit) Arena arena = { 0 };
        Str out;
        int r = url_decode(&arena, STR_C("a%20b"), false, &out);

        if (mem_faults_hit())
            EXPECT_EQ(r, -ENOMEM);
        else
            EXPECT_EQ(r, 0);
    }
}

TEST_MAIN()
