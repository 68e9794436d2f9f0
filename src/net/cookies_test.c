/*
 * The cookie jar: what goes in and out as text, what is sent to whom, and that it stays in its
 * bounds whatever servers send.
 */
#include "net/cookies.h"

#include "net/http_client_world_int.h"

#include "base/limits.h"
#include "net/cookies_int.h"

/* ---- text ------------------------------------------------------------------------------------ */

/* Catches cookies that do not survive a restart. */
TEST(loads_and_saves)
{
    AUTO(http_cookies_free) HttpCookies *jar = http_cookies_new(NULL);
    AUTO(http_cookies_free) HttpCookies *copy = http_cookies_new(NULL);
    AUTO(buf_deinit) Buf text = { 0 }, again = { 0 };

    REQUIRE(jar && copy);
    EXPECT_OK(
        http_cookies_load(jar, STR_C("# Netscape HTTP Cookie File\r\n\n"
                                     ".shop.test\tTRUE\t/\tFALSE\t0\tsession\tabc\r\n"
                                     "#HttpOnly_api.test\tFALSE\t/v1\tTRUE\t4102444800\tid\t\n"
                                     ".shop.test\tTRUE\t/\tFALSE\t0\tsession\tdef\n")));
    EXPECT_EQ(http_cookies_count(jar), 2);
    http_cookies_save(jar, &text);
    EXPECT(str_contains(buf_str(&text), STR_C("session\tdef\n")));
    EXPECT(str_contains(buf_str(&text),
                        STR_C("#HttpOnly_api.test\tFALSE\t/v1\tTRUE\t4102444800\tid")));
    EXPECT_OK(http_cookies_load(copy, buf_str(&text)));
    http_cookies_save(copy, &again);
    EXPECT_STR(buf_str(&again), buf_str(&text));
    EXPECT_EQ(http_cookies_changes(jar), 3);
    http_cookies_end_session(jar);
    EXPECT_EQ(http_cookies_changes(jar), 4);
    buf_reset(&text);
    http_cookies_save(jar, &text);
    EXPECT_STR(buf_str(&text), STR_C("#HttpOnly_api.test\tFALSE\t/v1\tTRUE\t4102444800\tid\t\n"));
}

/* Catches a file of something else that is taken for cookies. */
TEST(refuses_other_text)
{
    static const char *const bad[] = {
        "no tabs at all",
        "a.test\tTRUE\t/\tFALSE\t0",
        "\tTRUE\t/\tFALSE\t0\tn\tv",
        "a.test\tYES\t/\tFALSE\t0\tn\tv",
        "a.test\tTRUE\t/\tFALSE\tsoon\tn\tv",
        "a.test\tTRUE\t/\tFALSE\t0\tn\tv\tmore",
        "a.test\tTRUE\t/\tFALSE\t0\t\tv",
    };
    AUTO(http_cookies_free) HttpCookies *jar = http_cookies_new(NULL);

    REQUIRE(jar);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_ERR(http_cookies_load(jar, str_from_c(bad[i])), -ERR_INVALID, "line 1 ");
    EXPECT_ERR(http_cookies_load(jar, STR_C("a.test\tTRUE\t/\tFALSE\t0\tn\tv\n\nx\n")),
               -ERR_INVALID, "line 3 ");
    EXPECT_EQ(http_cookies_count(jar), 1);
    EXPECT_ERR(http_cookies_load(jar, STR_C("a\tTRUE\t/\tFALSE\t0\tn\t\0v")), -ERR_INVALID,
               "line 1");
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void load_many(HttpCookies *jar, const char *domain, int n, int value_bytes)
{
    for (int i = 0; i < n; i++) {
        AUTO(buf_deinit) Buf line = { 0 };

        buf_printf(&line, "%s\tFALSE\t/\tFALSE\t0\tname%d\t%0*d\n", domain, i, value_bytes, i);
        EXPECT_OK(http_cookies_load(jar, buf_str(&line)));
    }
}

/* Catches a jar that a site fills, and one that a site empties of others' cookies. */
TEST(stays_in_its_bounds)
{
    AUTO(http_cookies_free)
    HttpCookies *jar = http_cookies_new(
        &(HttpCookiesOpts){ .cookies_max = 40, .per_domain_max = 30, .bytes_max = 10000 });
    AUTO(buf_deinit) Buf text = { 0 };

    REQUIRE(jar);
    load_many(jar, "good.test", 5, 3);
    load_many(jar, "bad.test", 100, 3);
    EXPECT_EQ(http_cookies_count(jar), 35);
    http_cookies_save(jar, &text);
    EXPECT(str_contains(buf_str(&text), STR_C("name99\t")));
    EXPECT(!str_contains(buf_str(&text), STR_C("name69\t")));
    EXPECT(str_contains(buf_str(&text), STR_C("good.test\tFALSE\t/\tFALSE\t0\tname0\t")));
    load_many(jar, "worse.test", 30, 3);
    EXPECT(http_cookies_count(jar) <= 40);
    buf_reset(&text);
    http_cookies_save(jar, &text);
    for (int i = 0; i < 5; i++) {
        char line[100];

        (void) snprintf(line, sizeof(line), "good.test\tFALSE\t/\tFALSE\t0\tname%d\t", i);
        EXPECT(str_contains(buf_str(&text), str_from_c(line)));
    }
    http_cookies_end_session(jar); /* all are of one */
    EXPECT_EQ(http_cookies_count(jar), 0);
    load_many(jar, "good.test", 5, 3);
    load_many(jar, "fat.test", 25, 2000);
    buf_reset(&text);
    http_cookies_save(jar, &text);
    EXPECT(text.len <= 11000);
    EXPECT(str_contains(buf_str(&text), STR_C("good.test\tFALSE\t/\tFALSE\t0\tname0\t")));
    EXPECT(str_contains(buf_str(&text), STR_C("fat.test\tFALSE\t/\tFALSE\t0\tname24\t")));
    EXPECT(!str_contains(buf_str(&text), STR_C("fat.test\tFALSE\t/\tFALSE\t0\tname0\t")));
}

/* ---- with a client --------------------------------------------------------------------------- */

SUSPENDS static int serve(Site *site, Stream *stream, Str head)
{
    Str path = head_path(head);
    AUTO(buf_deinit) Buf headers = { 0 };

    (void) site;
    if (str_eq_c(path, "/set"))
        return site_answer(stream, "200 OK",
                           "Set-Cookie: host=1\r\n"
                           "Set-Cookie: all=2; Domain=shop.test\r\n"
                           "Set-Cookie: deep=3; Path=/deep\r\n"
                           "Set-Cookie: safe=4; Secure\r\n"
                           "Set-Cookie: other=5; Domain=else.test\r\n"
                           "Set-Cookie: top=6; Domain=test\r\n"
                           "Set-Cookie: old=7; Max-Age=0\r\n"
                           "Set-Cookie: __Host-x=8; Path=/\r\n"
                           "Set-Cookie: nonsense\r\n",
                           STR_C("set"));
    if (str_eq_c(path, "/login"))
        return site_answer(stream, "302 Found", "Set-Cookie: in=yes\r\nLocation: /home\r\n",
                           STR_C(""));
    if (str_eq_c(path, "/suffix"))
        return site_answer(stream, "200 OK", "Set-Cookie: all=1; Domain=co.uk\r\n", STR_C(""));
    if (str_eq_c(path, "/flood")) {
        for (int i = 0; i < 45; i++)
            buf_printf(&headers, "Set-Cookie: f%zu-%d=x\r\n", site->n_requests, i);
        buf_add_char(&headers, 0);
        return site_answer(stream, "200 OK", headers.data, STR_C(""));
    }
    return site_answer(stream, "200 OK", "", STR_C("fine"));
}

/* GET a page of HOST with JAR; what was sent is the site's `seen`. */
SUSPENDS static int get(World *world, HttpCookies *jar, const char *host, const char *path)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    buf_reset(&world->sites[0].seen);
    (void) snprintf(url, sizeof(url), "http://%s:%s%s", host, world->sites[0].port, path);
    return http_client_call(world->client, &(HttpCall){ .url = str_from_c(url), .cookies = jar },
                            &answer);
}

static bool sent(const World *world, const char *part)
{
    return head_has(buf_str(&world->sites[0].seen), part);
}

SUSPENDS static void check_rules(World *world)
{
    AUTO(http_cookies_free) HttpCookies *jar = http_cookies_new(NULL);
    AUTO(http_cookies_free) HttpCookies *other = http_cookies_new(NULL);
    AUTO(buf_deinit) Buf text = { 0 };

    EXPECT(jar && other);
    EXPECT_OK(get(world, jar, "www.shop.test", "/set"));
    EXPECT_OK(get(world, jar, "www.shop.test", "/"));
    EXPECT(sent(world, "host=1") && sent(world, "all=2"));
    EXPECT(!sent(world, "deep") && !sent(world, "safe") && !sent(world, "other"));
    EXPECT(!sent(world, "top") && !sent(world, "old") && !sent(world, "__Host"));
    EXPECT_OK(get(world, jar, "www.shop.test", "/deep/er"));
    EXPECT(sent(world, "deep=3"));
    EXPECT_OK(get(world, jar, "api.shop.test", "/"));
    EXPECT(sent(world, "all=2") && !sent(world, "host"));
    EXPECT_OK(get(world, jar, "else.test", "/"));
    EXPECT(!sent(world, "Cookie"));
    EXPECT_OK(get(world, other, "www.shop.test", "/"));
    EXPECT(!sent(world, "Cookie"));
    EXPECT_OK(get(world, NULL, "www.shop.test", "/set"));
    EXPECT_OK(get(world, NULL, "www.shop.test", "/"));
    EXPECT(!sent(world, "Cookie"));

    EXPECT_OK(get(world, jar, "login.test", "/login"));
    EXPECT(sent(world, "GET /home") && sent(world, "in=yes"));
    http_cookies_save(jar, &text);
    EXPECT_OK(http_cookies_load(other, buf_str(&text)));
    EXPECT_OK(get(world, other, "login.test", "/"));
    EXPECT(sent(world, "in=yes"));
}

static const HttpResolve all_here[] = { { "*", "127.0.0.1" } };

/* Catches cookies that go to the wrong host, path or jar, or none where one belongs. */
TEST(follows_the_rules)
{
    world_run(check_rules, serve, &(HttpClientOpts){ .resolve = all_here, .n_resolve = 1 });
}

SUSPENDS static void check_suffix(World *world)
{
    AUTO(http_cookies_free) HttpCookies *jar = http_cookies_new(NULL);

    EXPECT_OK(get(world, jar, "www.shop.co.uk", "/suffix"));
    EXPECT_EQ(http_cookies_count(jar), 0);
    EXPECT_OK(get(world, jar, "www.shop.co.uk", "/set"));
    EXPECT(http_cookies_count(jar) > 0); /* and not because none is kept at all */
}

/* Catches a cookie for a whole country. */
TEST(knows_public_suffixes)
{
    if (!(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_PSL)) {
        test_skip("libcurl was built without the list of public suffixes");
        return;
    }
    world_run(check_suffix, serve, &(HttpClientOpts){ .resolve = all_here, .n_resolve = 1 });
}

SUSPENDS static void check_flood(World *world)
{
    AUTO(http_cookies_free) HttpCookies *jar = http_cookies_new(NULL);

    EXPECT_OK(get(world, jar, "shop.test", "/set"));
    for (int i = 0; i < 20; i++)
        EXPECT_OK(get(world, jar, "flood.test", "/flood"));
    EXPECT(http_cookies_count(jar) <= LIMIT_HTTP_COOKIES_PER_DOMAIN + 5);
    EXPECT(http_cookies_count(jar) >= LIMIT_HTTP_COOKIES_PER_DOMAIN);
    EXPECT_OK(get(world, jar, "shop.test", "/"));
    EXPECT(sent(world, "host=1"));
}

/* Catches a site that sends cookies without end. */
TEST(survives_a_flood)
{
    world_run(check_flood, serve, &(HttpClientOpts){ .resolve = all_here, .n_resolve = 1 });
}

TEST_MAIN()
