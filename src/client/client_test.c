/*
 * The client: what answers become, and what is said when there is none.
 */
#include "client/client.h"

#include "base/err.h"
#include "base/test.h"
#include "net/http_server.h"

#include <sluice/rt.h>

#include <errno.h>

typedef struct World {
    void (*check)(struct World *world);
    Client *client;
    char base[100];
    char said[300]; /* the last request */
} World;

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    World *world = ctx;
    Str key = http_request_header(request, "Idempotency-Key");
    Str type = http_request_header(request, "Content-Type");
    uint64_t status;

    (void) snprintf(world->said, sizeof(world->said), "%.*s %.*s [%.*s] [%.*s] %.*s",
                    (int) request->method_text.len, request->method_text.data,
                    (int) request->target.len, request->target.data, (int) type.len,
                    type.data ? type.data : "", (int) key.len, key.data ? key.data : "",
                    (int) request->body.len, request->body.data ? request->body.data : "");
    if (str_eq_c(request->path, "/text")) {
        buf_add_c(&response->body, "<html>");
        return 0;
    }
    if (str_to_u64(str_sub(request->path, 1, 3), 999, &status) == 0) {
        response->status = (int) status;
        if (str_eq_c(request->query, "words"))
            buf_add_c(&response->body, "{\"error\":{\"message\":\"the engine's words\"}}");
        return 0;
    }
    buf_add_c(&response->body, "{\"n\":1.0}");
    return 0;
}

SUSPENDS static int world_main(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpServerOpts opts = { .ctx = world, .on_request = on_request };
    HttpServer *server = NULL;
    Listener *listener = NULL;
    NetAddress address;
    char text[NET_ADDRESS_TEXT_MAX];

    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    EXPECT_OK(listener_open(&address, NULL, &listener));
    EXPECT_OK(http_server_start(&server, nursery, listener, &opts));
    (void) snprintf(world->base, sizeof(world->base), "http://%s///",
                    listener_address(listener, text).data);
    EXPECT_OK(client_start(&world->client, nursery, str_from_c(world->base)));
    world->check(world);
    client_stop(world->client);
    http_server_stop(server, 0);
    listener_close(listener);
    return 0;
}

#define CLIENT_TEST(name)                                                                \
    static void name##_check(World *world);                                              \
    TEST(name)                                                                           \
    {                                                                                    \
        World of_machine = { .check = name##_check }, of_epoll = of_machine;             \
                                                                                         \
        EXPECT_OK(sl_run(world_main, &of_machine, .stall_ms = -1));                      \
        EXPECT_OK(sl_run(world_main, &of_epoll, .loop = SL_LOOP_EPOLL, .stall_ms = -1)); \
    }                                                                                    \
    static void name##_check(World *world)

/* Would catch a request that says something else than was asked for. */
CLIENT_TEST(calls_are_sent)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    HttpHeader key = { STR("Idempotency-Key"), STR("k") };
    int status = 0;
    JsonDoc doc;

    EXPECT_OK(client_call(&arena, world->client, "POST", STR_C("/ojs/v1/jobs?a=b"), STR_C("{}"),
                          &key, &doc, NULL));
    EXPECT_C(world->said, "POST /ojs/v1/jobs?a=b [application/json] [k] {}");
    EXPECT_STR(json_raw(&doc, json_find(doc.root, "n")), STR_C("1.0"));
    EXPECT_OK(client_call(&arena, world->client, "DELETE", STR_C("/x"), str_from(NULL, 0), NULL,
                          &doc, &status));
    EXPECT_EQ(status, 200);
    EXPECT(strncmp(world->said, "DELETE /x ", 10) == 0);
}

/* Would catch an exit code that tells a script the wrong thing, and words that are lost. */
CLIENT_TEST(error_answers_are_errors)
{
    static const struct {
        const char *path;
        int r;
    } rows[] = {
        { "/400?words", -ERR_INVALID },     { "/404?words", -ERR_NOT_FOUND },
        { "/409?words", -ERR_CONFLICT },    { "/413?words", -ERR_TOO_LARGE },
        { "/422?words", -ERR_INVALID },     { "/429?words", -ERR_BUSY },
        { "/500?words", -ERR_HTTP_STATUS }, { "/503?words", -ERR_UNAVAILABLE },
        { "/507?words", -ERR_STORE_FULL },
    };
    AUTO(arena_deinit) Arena arena = { 0 };
    int status = 0;
    JsonDoc doc;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        EXPECT_ERR(client_call(&arena, world->client, "GET", str_from_c(rows[i].path),
                               str_from(NULL, 0), NULL, &doc, NULL),
                   rows[i].r, "the engine's words");
    EXPECT_ERR(client_call(&arena, world->client, "GET", STR_C("/500"), str_from(NULL, 0), NULL,
                           &doc, NULL),
               -ERR_HTTP_STATUS, "status 500");
    EXPECT_OK(client_call(&arena, world->client, "GET", STR_C("/404"), str_from(NULL, 0), NULL,
                          &doc, &status));
    EXPECT_EQ(status, 404);
    EXPECT_ERR(client_call(&arena, world->client, "GET", STR_C("/text"), str_from(NULL, 0), NULL,
                           &doc, NULL),
               -ERR_INVALID, "answer of GET /text");
}

SUSPENDS static int nobody_main(void *arg UNUSED)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(arena_deinit) Arena arena = { 0 };
    Client *client = NULL;
    JsonDoc doc;

    EXPECT_ERR(client_start(&client, nursery, STR_C("not a url")), -ERR_INVALID, "server");
    EXPECT(!client);
    EXPECT_OK(client_start(&client, nursery, STR_C("http://127.0.0.1:1")));
    EXPECT_ERR(client_call(&arena, client, "GET", STR_C("/x"), str_from(NULL, 0), NULL, &doc, NULL),
               -ERR_UNAVAILABLE, "no engine answers at http://127.0.0.1:1");
    client_stop(client);
    client_stop(NULL);
    return 0;
}

TEST(no_engine_is_said)
{
    EXPECT_OK(sl_run(nobody_main, NULL));
}

TEST_MAIN()
