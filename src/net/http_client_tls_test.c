/*
 * The HTTP client over TLS and HTTP/2, against an nginx of its own (nginx_test.h). The first site
 * is a proxy that tunnels, the second says nothing.
 */
#include "net/http_client_world_int.h"

#include "net/nginx_test.h"

#include <errno.h>

static Nginx nginx;

/* ---- a proxy that tunnels -------------------------------------------------------------------- */

typedef struct Tunnel {
    Stream *from, *to;
} Tunnel;

SUSPENDS static int copy_bytes(void *arg)
{
    Tunnel *tunnel = arg;
    char piece[4096];
    ssize_t n;

    while ((n = stream_read(tunnel->from, piece, sizeof(piece))) > 0)
        if (stream_write_all(tunnel->to, piece, (size_t) n) < 0)
            break;
    return stream_shutdown(tunnel->to);
}

/* CONNECT shop.test:443: whatever the name, it is nginx. */
SUSPENDS static int serve(Site *site, Stream *stream, Str head)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = NULL;
    AUTO(stream_close) Stream *onward = NULL;
    NetAddress address;
    Tunnel up, down;
    char text[40];

    if (site->is_raw)
        return sl_sleep_forever();
    if (!str_starts(head, STR_C("CONNECT ")))
        return site_answer(stream, "200 OK", "", STR_C("plain"));
    if (!str_starts(head_path(head), STR_C("shop.test:")))
        return site_answer(stream, "403 Forbidden", "", STR_C("no"));
    (void) snprintf(text, sizeof(text), "127.0.0.1:%s", nginx.tls_port);
    if (net_address_parse(str_from_c(text), &address) < 0 ||
        stream_connect(&address, &onward) < 0 ||
        site_say(stream, "HTTP/1.1 200 Connection established\r\n\r\n") < 0)
        return -1;
    up = (Tunnel){ stream, onward };
    down = (Tunnel){ onward, stream };
    nursery = sl_nursery_open(.keep_going = true);
    sl_spawn(nursery, copy_bytes, &down);
    (void) copy_bytes(&up);
    return sl_nursery_join(nursery) + 1;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static Str tls_url(const char *host, const char *path, char out[static 300])
{
    return str_from(out,
                    (size_t) snprintf(out, 300, "https://%s:%s%s", host, nginx.tls_port, path));
}

SUSPENDS static int get_page(void *arg)
{
    World *world = arg;
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];
    int r = http_client_get(world->client, tls_url("shop.test", "/", url), &answer);

    EXPECT_EQ(answer.http_version, 20);
    return r;
}

SUSPENDS static void check_versions(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = NULL;
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    HttpClientStats stats;
    char url[300];

    EXPECT_OK(http_client_call(
        world->client, &(HttpCall){ .url = tls_url("shop.test", "/", url), .keep_headers = true },
        &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("HTTP/2.0 shop.test GET"));
    EXPECT_STR(http_answer_header(&answer, "Content-Encoding"), STR_C("gzip"));
    EXPECT_EQ(answer.http_version, 20);
    EXPECT_EQ(answer.status, 200);
    EXPECT(answer.timings.tls_ns > 0);
    EXPECT_C(answer.content_type, "text/plain");

    /* Many at once over the connection that is there. */
    nursery = sl_nursery_open();
    for (int i = 0; i < 50; i++)
        sl_spawn(nursery, get_page, world);
    EXPECT_OK(sl_nursery_join(nursery));
    http_client_stats(world->client, &stats);
    EXPECT_EQ(stats.connects, 1);

    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(
        world->client,
        &(HttpCall){ .url = tls_url("shop.test", "/", url), .version = HTTP_VERSION_1_1 },
        &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("HTTP/1.1 shop.test GET"));
    EXPECT_EQ(answer.http_version, 11);
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(
        world->client,
        &(HttpCall){ .url = tls_url("a.shop.test", "/", url), .method = STR_C("DELETE") },
        &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("HTTP/2.0 a.shop.test DELETE"));
    http_answer_reset(&answer);
    (void) snprintf(url, sizeof(url), "http://shop.test:%s/", nginx.plain_port);
    EXPECT_OK(http_client_call(
        world->client, &(HttpCall){ .url = str_from_c(url), .version = HTTP_VERSION_2_DIRECT },
        &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("HTTP/2.0"));
}

SUSPENDS static int post(World *world, const char *path, Str body, HttpAnswer *answer)
{
    static const HttpHeader json = { STR("Content-Type"), STR("application/json") };
    char url[300];

    http_answer_reset(answer);
    return http_client_call(world->client,
                            &(HttpCall){ .url = tls_url("shop.test", path, url),
                                         .method = STR_C("POST"),
                                         .body = body,
                                         .headers = &json,
                                         .n_headers = 1 },
                            answer);
}

SUSPENDS static int post_one(void *arg)
{
    World *world = arg;
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    int r = post(world, "/post", STR_C("[1,2]"), &answer);

    EXPECT_STR(buf_str(&answer.body), STR_C("HTTP/2.0 POST 5 5 [1,2]"));
    return r;
}

/* What is sent over HTTP/2: small, large, many at once, once more after a redirect. */
SUSPENDS static void check_posts(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = NULL;
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    AUTO(buf_deinit) Buf large = { 0 };
    HttpClientStats stats;

    EXPECT_OK(post(world, "/post", STR_C("{\"a\": 1}"), &answer));
    EXPECT_EQ(answer.http_version, 20);
    EXPECT_STR(buf_str(&answer.body), STR_C("HTTP/2.0 POST 8 8 {\"a\": 1}"));
    EXPECT_OK(post(world, "/again", STR_C("{\"b\": 2}"), &answer));
    EXPECT_EQ(answer.redirects, 1);
    EXPECT_STR(buf_str(&answer.body), STR_C("HTTP/2.0 POST 8 8 {\"b\": 2}"));
    for (int i = 0; i < 3 << 20; i++) /* more than a stream's window, many times over */
        buf_add_char(&large, 'x');
    EXPECT_OK(post(world, "/upload", buf_str(&large), &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("HTTP/2.0 POST  3145728 "));
    EXPECT_OK(post(world, "/post", (Str){ 0 }, &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("HTTP/2.0 POST 0 0 "));
    nursery = sl_nursery_open();
    for (int i = 0; i < 20; i++)
        sl_spawn(nursery, post_one, world);
    EXPECT_OK(sl_nursery_join(nursery));
    http_client_stats(world->client, &stats);
    EXPECT_EQ(stats.connects, 1);
}

/* HTTP/2 may send each cookie as a header of its own; what arrives is one. */
SUSPENDS static void check_cookies(World *world)
{
    AUTO(http_cookies_free) HttpCookies *jar = http_cookies_new(NULL);
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    EXPECT_OK(http_client_call(
        world->client,
        &(HttpCall){ .url = tls_url("shop.test", "/set", url), .redirects_max = 3, .cookies = jar },
        &answer));
    EXPECT_EQ(answer.http_version, 20);
    EXPECT(str_contains(buf_str(&answer.body), STR_C("HTTP/2.0 ")));
    EXPECT(str_contains(buf_str(&answer.body), STR_C("in=yes")));
    EXPECT(str_contains(buf_str(&answer.body), STR_C("two=2")));
    EXPECT_EQ(http_cookies_count(jar), 2);
}

static int stop_downgrade(void *ctx, const HttpRedirect *redirect)
{
    (void) ctx;
    return redirect->is_downgrade ? fail(-ERR_FORBIDDEN, "from https to http") : 0;
}

SUSPENDS static void check_trust(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];
    int r = 0;

    EXPECT_ERR(http_client_get(world->client, tls_url("else.test", "/", url), &answer), -ERR_TLS,
               "else.test");
    EXPECT_EQ(answer.phase, HTTP_PHASE_TLS);
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = tls_url("shop.test", "/down", url),
                                             .on_redirect = stop_downgrade },
                                &answer),
               -ERR_FORBIDDEN, "from https");
    http_answer_reset(&answer);
    (void) snprintf(url, sizeof(url), "https://127.0.0.1:%s/", world->sites[1].port);
    for (int64_t ms = 60; ms < 30000; ms *= 2) { /* a busy machine may not come as far at first */
        http_answer_reset(&answer);
        r = http_client_call(world->client, &(HttpCall){ .url = str_from_c(url), .connect_ms = ms },
                             &answer);
        if (r != -ETIMEDOUT || answer.phase == HTTP_PHASE_TLS)
            break;
    }
    EXPECT_ERR(r, -ETIMEDOUT, "in the TLS handshake");

    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(
        world->client,
        &(HttpCall){ .url = tls_url("shop.test", "/", url), .proxy = world->sites[0].base },
        &answer));
    EXPECT_EQ(answer.http_version, 20);
    EXPECT_EQ(answer.status, 200);
    EXPECT(head_has(buf_str(&world->sites[0].seen), "CONNECT shop.test:"));
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = tls_url("a.shop.test", "/", url),
                                             .proxy = world->sites[0].base },
                                &answer),
               -ERR_NETWORK, "403");
}

SUSPENDS static void check_distrust(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    EXPECT_ERR(http_client_get(world->client, tls_url("shop.test", "/", url), &answer), -ERR_TLS,
               "certificate");
}

SUSPENDS static void with_nginx(World *world, SUSPENDS void (*check)(World *world))
{
    int r = nginx_start(&nginx);

    EXPECT_OK(r);
    if (r == 0)
        check(world);
    sl_process_close(TAKE(nginx.process));
}

SUSPENDS static void versions(World *world)
{
    with_nginx(world, check_versions);
}

SUSPENDS static void posts(World *world)
{
    with_nginx(world, check_posts);
}

SUSPENDS static void cookies(World *world)
{
    with_nginx(world, check_cookies);
}

SUSPENDS static void trust(World *world)
{
    with_nginx(world, check_trust);
}

SUSPENDS static void distrust(World *world)
{
    with_nginx(world, check_distrust);
}

static const HttpResolve here[] = { { "*.test", "127.0.0.1" } };

/* Catches HTTP/2 that is not asked for, not understood, or not shared by calls. */
TEST(speaks_http_2)
{
    if (nginx_can_run())
        world_run(versions, serve,
                  &(HttpClientOpts){ .ca_file = "cert.pem", .resolve = here, .n_resolve = 1 });
}

/* Catches a body that HTTP/2 loses: behind a redirect, larger than a window, among others. */
TEST(sends_bodies_over_http_2)
{
    if (nginx_can_run())
        world_run(posts, serve,
                  &(HttpClientOpts){ .ca_file = "cert.pem", .resolve = here, .n_resolve = 1 });
}

TEST(keeps_cookies_over_http_2)
{
    if (nginx_can_run())
        world_run(cookies, serve,
                  &(HttpClientOpts){ .ca_file = "cert.pem", .resolve = here, .n_resolve = 1 });
}

/* Catches a certificate for somebody else, a tunnel that is none, and a step down unnoticed. */
TEST(checks_certificates)
{
    if (nginx_can_run())
        world_run_with((World){ .check = trust, .serve = serve, .has_raw = true },
                       &(HttpClientOpts){ .ca_file = "cert.pem", .resolve = here, .n_resolve = 1 });
}

/* Catches a certificate that nobody vouches for. */
TEST(trusts_no_stranger)
{
    if (nginx_can_run())
        world_run(distrust, serve, &(HttpClientOpts){ .resolve = here, .n_resolve = 1 });
}

TEST_MAIN()
