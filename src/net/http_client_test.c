/*
 * The HTTP client against our own server over TCP on loopback: answers, reuse, redirects, limits,
 * compression, errors and their words, cancellation and time, and what the policy forbids.
 */
#include "net/http_client.h"

#include "net/http_server.h"

#include "base/macro.h"
#include "base/mem.h"
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>
#include <stdio.h>

/* ---- a server to talk to --------------------------------------------------------------------- */

typedef struct World {
    sl_nursery *nursery;
    Listener *listener;
    HttpServer *server;
    HttpClient *client;
    HttpClientOpts opts;
    char base[NET_ADDRESS_TEXT_MAX + 8]; /* "http://127.0.0.1:1234" */
    size_t gone;                         /* clients that a handler saw leave */
    void (*check)(struct World *world);
} World;

/* 100 000 times "a", as gzip. */
static const unsigned char bomb[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xed, 0xc1, 0x31, 0x01, 0x00,
    0x00, 0x00, 0xc2, 0xa0, 0xac, 0xeb, 0x5f, 0xc2, 0x1a, 0x1e, 0x40, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0xaf, 0x06, 0x87, 0xfa, 0xe2, 0x1b, 0xa0, 0x86, 0x01, 0x00,
};

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    World *world = ctx;
    Str path = request->path;

    response->content_type = str_from_c("text/plain; charset=utf-8");
    if (str_eq_c(path, "/echo")) {
        buf_printf(&response->body, "%.*s [%.*s] [%.*s] ", (int) request->method_text.len,
                   request->method_text.data, (int) http_request_header(request, "X-Test").len,
                   http_request_header(request, "X-Test").data,
                   (int) http_request_header(request, "Content-Type").len,
                   http_request_header(request, "Content-Type").data);
        buf_add_str(&response->body, request->body);
        http_response_header(response, "X-Answer", STR_C("yes "));
    } else if (str_eq_c(path, "/loop")) {
        response->status = 302;
        http_response_header(response, "Location", STR_C("/loop"));
    } else if (str_eq_c(path, "/go")) {
        response->status = 302;
        http_response_header(response, "Location", STR_C("/echo?there"));
        buf_add_c(&response->body, "not this");
    } else if (str_eq_c(path, "/ftp")) {
        response->status = 302;
        http_response_header(response, "Location", STR_C("file:///etc/passwd"));
    } else if (str_eq_c(path, "/big")) {
        for (int i = 0; i < 10000; i++)
            buf_add_c(&response->body, "0123456789");
    } else if (str_eq_c(path, "/chunks")) {
        int r = http_response_begin(response);

        for (int i = 0; i < 1000 && r == 0; i++)
            r = http_response_write(response, str_from_c("0123456789"));
        return r;
    } else if (str_eq_c(path, "/headers")) {
        for (int i = 0; i < 100; i++)
            http_response_header(response, "X-Filler",
                                 STR_C("0123456789012345678901234567890123456789"));
    } else if (str_eq_c(path, "/zip")) {
        http_response_header(response, "Content-Encoding", STR_C("gzip"));
        response->body_view = str_from((const char *) bomb, sizeof(bomb));
    } else if (str_eq_c(path, "/missing")) {
        return fail(-ERR_NOT_FOUND, "no such page");
    } else if (str_eq_c(path, "/wait")) {
        int r = http_request_watch(request);

        if (r == 0)
            r = sl_sleep_ms(60000);
        world->gone += http_request_is_gone(request);
        return r;
    }
    return 0;
}

SUSPENDS static int world_main(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpServerOpts opts = { .ctx = world, .on_request = on_request };
    NetAddress address;
    char text[NET_ADDRESS_TEXT_MAX];
    int r;

    world->nursery = nursery;
    r = net_address_parse(STR_C("127.0.0.1:0"), &address);
    if (r == 0)
        r = listener_open(&address, NULL, &world->listener);
    if (r == 0)
        r = http_server_start(&world->server, nursery, world->listener, &opts);
    if (r == 0)
        r = http_client_start(&world->client, nursery, &world->opts);
    if (r < 0)
        return r;
    (void) snprintf(world->base, sizeof(world->base), "http://%s",
                    listener_address(world->listener, text).data);
    world->check(world);
    http_client_stop(world->client);
    http_server_stop(world->server, 1000);
    r = sl_nursery_join(nursery);
    listener_close(world->listener);
    return r;
}

static void run(void (*check)(World *world), const HttpClientOpts *opts)
{
    static const enum sl_loop_kind loops[] = { SL_LOOP_EPOLL, SL_LOOP_URING };

    for (size_t i = 0; i < ARRAY_LEN(loops); i++) {
        World world = { .check = check };
        int r;

        if (opts)
            world.opts = *opts;
        r = sl_run(world_main, &world, .loop = loops[i]);
        if (r == -ERR_UNSUPPORTED && loops[i] == SL_LOOP_URING)
            continue;
        EXPECT_OK(r);
    }
}

/* The URL of PATH, in a buffer of the caller. */
static Str url_of(const World *world, const char *path, char out[static 200])
{
    return str_from(out, (size_t) snprintf(out, 200, "%s%s", world->base, path));
}

/* ---- answers --------------------------------------------------------------------------------- */

SUSPENDS static void check_answers(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    const HttpHeader headers[] = { { .name = STR("X-Test"), .value = STR("on") },
                                   { .name = STR("Content-Type"), .value = STR("text/x") } };
    char url[200];

    EXPECT_OK(http_client_get(world->client, url_of(world, "/echo", url), &answer));
    EXPECT_EQ(answer.status, 200);
    EXPECT_STR(buf_str(&answer.body), STR_C("GET [] [] "));
    EXPECT_C(answer.content_type, "text/plain; charset=utf-8");
    EXPECT(!answer.url);

    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(world->client,
                               &(HttpCall){ .url = url_of(world, "/echo", url),
                                            .body = STR_C("the body"),
                                            .headers = headers,
                                            .n_headers = 2,
                                            .keep_headers = true },
                               &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("POST [on] [text/x] the body"));
    EXPECT_STR(http_answer_header(&answer, "x-answer"), STR_C("yes"));
    EXPECT(!http_answer_header(&answer, "x-none").data);

    /* What a call sets is gone with the next. */
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(world->client,
                               &(HttpCall){ .url = url_of(world, "/echo", url),
                                            .method = STR_C("PUT"),
                                            .body = STR_C("x") },
                               &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("PUT [] [] x"));
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(
        world->client, &(HttpCall){ .url = url_of(world, "/echo", url), .method = STR_C("DELETE") },
        &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("DELETE [] [] "));
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(
        world->client, &(HttpCall){ .url = url_of(world, "/big", url), .method = STR_C("HEAD") },
        &answer));
    EXPECT_EQ(answer.body.len, 0);
    http_answer_reset(&answer);
    EXPECT_OK(http_client_get(world->client, url_of(world, "/missing", url), &answer));
    EXPECT_EQ(answer.status, 404);
    http_answer_reset(&answer);
    EXPECT_OK(http_client_get(world->client, url_of(world, "/chunks", url), &answer));
    EXPECT_EQ(answer.body.len, 10000);
}

/* Catches methods, headers and bodies that leak from one call into the next. */
TEST(calls)
{
    run(check_answers, NULL);
}

SUSPENDS static int get_many(void *arg)
{
    World *world = arg;
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[200];
    int r = 0;

    for (int i = 0; i < 20 && r == 0; i++) {
        http_answer_reset(&answer);
        r = http_client_get(world->client, url_of(world, "/big", url), &answer);
        if (r == 0 && (answer.status != 200 || answer.body.len != 100000))
            r = fail(-ERR_INTERNAL, "status %d, %zu bytes", answer.status, answer.body.len);
    }
    return r;
}

SUSPENDS static void check_reuse(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpClientStats stats;
    HttpServerStats served;

    for (int i = 0; i < 10; i++)
        sl_spawn(nursery, get_many, world);
    EXPECT_OK(sl_nursery_join(nursery));
    http_client_stats(world->client, &stats);
    http_server_stats(world->server, &served);
    EXPECT_EQ(stats.calls, 200);
    EXPECT_EQ(served.requests, 200);
    EXPECT(stats.connects <= 4);
    EXPECT_EQ(stats.connects, served.accepted);
    EXPECT_EQ(stats.reused, 200 - stats.connects);
    EXPECT_EQ(stats.active, 0);
}

/* Catches connections that are opened anew, and more of them than allowed. */
TEST(keeps_connections)
{
    run(check_reuse, &(HttpClientOpts){ .connections_per_host = 4 });
}

SUSPENDS static void check_redirects(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[200], want[200];

    EXPECT_OK(http_client_get(world->client, url_of(world, "/go", url), &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("GET [] [] "));
    EXPECT_EQ(answer.redirects, 1);
    EXPECT_C(answer.url, url_of(world, "/echo?there", want).data);
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(world->client,
                               &(HttpCall){ .url = url_of(world, "/go", url), .redirects_max = -1 },
                               &answer));
    EXPECT_EQ(answer.status, 302);
    EXPECT_STR(buf_str(&answer.body), STR_C("not this"));
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_get(world->client, url_of(world, "/loop", url), &answer), -ERR_HTTP,
               "redirect");
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_get(world->client, url_of(world, "/ftp", url), &answer), -ERR_HTTP,
               "file");
}

/* Catches redirects without end, and those that leave HTTP. */
TEST(follows_redirects)
{
    run(check_redirects, NULL);
}

/* ---- limits ---------------------------------------------------------------------------------- */

typedef struct Pieces {
    size_t bytes;
    size_t stop_after;
} Pieces;

static int on_body(void *ctx, Str piece)
{
    Pieces *pieces = ctx;

    pieces->bytes += piece.len;
    return pieces->stop_after && pieces->bytes >= pieces->stop_after
               ? fail(-ERR_CONFLICT, "enough of it")
               : 0;
}

SUSPENDS static void check_limits(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    Pieces all = { 0 }, some = { .stop_after = 5000 };
    char url[200];

    EXPECT_OK(http_client_call(
        world->client, &(HttpCall){ .url = url_of(world, "/big", url), .body_bytes_max = 100000 },
        &answer));
    http_answer_reset(&answer);
    EXPECT_ERR(
        http_client_call(world->client,
                         &(HttpCall){ .url = url_of(world, "/big", url), .body_bytes_max = 99999 },
                         &answer),
        -ERR_TOO_LARGE, "larger than 99999 bytes");
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_call(
                   world->client,
                   &(HttpCall){ .url = url_of(world, "/chunks", url), .body_bytes_max = 9999 },
                   &answer),
               -ERR_TOO_LARGE, "larger than 9999 bytes");
    http_answer_reset(&answer);
    EXPECT_ERR(
        http_client_call(world->client,
                         &(HttpCall){ .url = url_of(world, "/zip", url), .body_bytes_max = 2000 },
                         &answer),
        -ERR_TOO_LARGE, "larger than 2000 bytes");
    EXPECT(answer.body.len <= 2000);
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(
        world->client, &(HttpCall){ .url = url_of(world, "/zip", url), .is_raw = true }, &answer));
    EXPECT_EQ(answer.body.len, sizeof(bomb));
    http_answer_reset(&answer);
    EXPECT_ERR(http_client_call(
                   world->client,
                   &(HttpCall){ .url = url_of(world, "/headers", url), .header_bytes_max = 2000 },
                   &answer),
               -ERR_TOO_LARGE, "headers");
    http_answer_reset(&answer);
    EXPECT_OK(http_client_call(
        world->client,
        &(HttpCall){ .url = url_of(world, "/big", url), .on_body = on_body, .ctx = &all },
        &answer));
    EXPECT_EQ(all.bytes, 100000);
    EXPECT_EQ(answer.body.len, 0);
    http_answer_reset(&answer);
    EXPECT_ERR(
        http_client_call(
            world->client,
            &(HttpCall){ .url = url_of(world, "/big", url), .on_body = on_body, .ctx = &some },
            &answer),
        -ERR_CONFLICT, "enough of it");
}

/* Catches an answer that is kept although it is too large, decoded or not. */
TEST(limits_answers)
{
    run(check_limits, NULL);
}

/* ---- errors ---------------------------------------------------------------------------------- */

SUSPENDS static void check_errors(World *world)
{
    static const struct {
        const char *url;
        int code;
        const char *part;
    } rows[] = {
        { "", -ERR_INVALID, "URL" },
        { "nonsense://x", -ERR_INVALID, "nonsense" },
        { "ftp://127.0.0.1/x", -ERR_INVALID, "ftp" },
        { "http://", -ERR_INVALID, "" },
        { "http://user:secret@127.0.0.1:1/x", -ERR_NETWORK, "GET http://127.0.0.1:1/x: " },
        { "http://no-such-host.invalid/", -ERR_DNS, "no-such-host.invalid" },
    };
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    const HttpHeader forged = { .name = STR("X"), .value = STR("a\r\nY: b") };
    char url[200];
    int r;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        http_answer_reset(&answer);
        r = http_client_get(world->client, str_from_c(rows[i].url), &answer);
        EXPECT_ERR(r, rows[i].code, rows[i].part);
        EXPECT(!strstr(err_text(r), "secret"));
    }
    EXPECT_ERR(
        http_client_call(
            world->client,
            &(HttpCall){ .url = url_of(world, "/echo", url), .headers = &forged, .n_headers = 1 },
            &answer),
        -ERR_INVALID, "header \"X\"");
    EXPECT_ERR(
        http_client_call(world->client,
                         &(HttpCall){ .url = url_of(world, "/echo", url), .method = STR_C("G T") },
                         &answer),
        -ERR_INVALID, "method");
    r = snprintf(url, sizeof(url), "https%s/echo", world->base + 4);
    EXPECT_ERR(http_client_get(world->client, str_from(url, (size_t) r), &answer), -ERR_TLS, "");
}

/* Catches errors under a wrong name, and passwords in words. */
TEST(names_errors)
{
    run(check_errors, NULL);
}

SUSPENDS static void check_policy(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[200];

    /* Opens and keeps a connection that the strict call must not use. */
    EXPECT_OK(http_client_get(world->client, url_of(world, "/echo", url), &answer));
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = url_of(world, "/echo", url),
                                             .policy = HTTP_POLICY_DENY_PRIVATE },
                                &answer),
               -ERR_FORBIDDEN, "127.0.0.1");
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = STR_C("http://localhost:1/"),
                                             .policy = HTTP_POLICY_DENY_PRIVATE },
                                &answer),
               -ERR_FORBIDDEN, "is not allowed");
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = STR_C("http://[::1]:1/"),
                                             .policy = HTTP_POLICY_DENY_PRIVATE },
                                &answer),
               -ERR_FORBIDDEN, "::1");
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = STR_C("http://0x7f000001:1/"),
                                             .policy = HTTP_POLICY_DENY_PRIVATE },
                                &answer),
               -ERR_FORBIDDEN, "127.0.0.1");
}

/* Catches a call that reaches the neighbourhood although it may not. */
TEST(obeys_the_policy)
{
    run(check_policy, NULL);
}

/* ---- time and cancellation ------------------------------------------------------------------- */

SUSPENDS static int get_wait(void *arg)
{
    World *world = arg;
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[200];

    return http_client_get(world->client, url_of(world, "/wait", url), &answer);
}

SUSPENDS static void check_time(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    HttpClientStats stats;
    char url[200];
    sl_scope scope;

    EXPECT_EQ(sl_with_timeout(30, get_wait, world), -ETIMEDOUT);
    EXPECT_ERR(http_client_call(world->client,
                                &(HttpCall){ .url = url_of(world, "/wait", url), .timeout_ms = 30 },
                                &answer),
               -ETIMEDOUT, "/wait");
    sl_scope_begin(&scope);
    sl_scope_cancel(&scope);
    EXPECT_EQ(get_wait(world), -ECANCELED);
    EXPECT_OK(sl_scope_end(&scope, -ECANCELED));
    http_client_stats(world->client, &stats);
    EXPECT_EQ(stats.active, 0);
    for (int i = 0; i < 1000 && world->gone < 2; i++)
        (void) sl_sleep_ms(1);
    EXPECT_EQ(world->gone, 2); /* the handlers heard of it */
    http_answer_reset(&answer);
    EXPECT_OK(
        http_client_get(world->client, url_of(world, "/echo", url), &answer)); /* it still works */
}

/* Catches a transfer that outlives its caller's patience, and a handler that waits for nobody. */
TEST(gives_up_in_time)
{
    run(check_time, NULL);
}

SUSPENDS static int expect_stopped(void *arg)
{
    int r = get_wait(arg);

    if (r != -ECANCELED)
        EXPECT_ERR(r, -ERR_UNAVAILABLE, "stopping"); /* the one that waited for its turn */
    return 0;
}

SUSPENDS static void check_stop(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpServerStats served = { 0 };

    for (int i = 0; i < 3; i++)
        sl_spawn(nursery, expect_stopped, world);
    for (int i = 0; i < 1000 && served.connections < 2; i++) {
        (void) sl_sleep_ms(1);
        http_server_stats(world->server, &served);
    }
    EXPECT_EQ(served.connections, 2);
    http_client_stop(TAKE(world->client));
    EXPECT_OK(sl_nursery_join(nursery));
}

/* Catches a stop that leaves callers behind: two in a call, one waiting for its turn. */
TEST(stops)
{
    run(check_stop, &(HttpClientOpts){ .calls_max = 2 });
}

TEST_MAIN()
