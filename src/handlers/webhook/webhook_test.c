/*
 * webhook against a receiver of our own: what is sent and how it is signed, and what each answer
 * means for the job.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/test.h"
#include "codec/base64.h"
#include "net/http_client.h"
#include "net/http_server.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

extern const Handler handler_webhook;

#define JOB_ID "01a1fc57-b35c-70a5-926b-5c2c90f975ad"

/* ---- a receiver ------------------------------------------------------------------------------ */

typedef struct World {
    void (*check)(struct World *world);
    HttpPolicy policy;
    HttpServer *server;
    HttpClient *client;
    char base[100];
    size_t calls;
    /* of the last request */
    char id[100];
    char timestamp[100];
    char signature[200];
    char type[100];
    char extra[100];
    char body[200];
    char path[100];
} World;

static void keep(char *out, size_t cap, Str text)
{
    (void) snprintf(out, cap, "%.*s", (int) text.len, text.data ? text.data : "");
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    World *world = ctx;
    uint64_t status = 200;

    world->calls++;
    keep(world->id, sizeof(world->id), http_request_header(request, "webhook-id"));
    keep(world->timestamp, sizeof(world->timestamp),
         http_request_header(request, "webhook-timestamp"));
    keep(world->signature, sizeof(world->signature),
         http_request_header(request, "webhook-signature"));
    keep(world->type, sizeof(world->type), http_request_header(request, "content-type"));
    keep(world->extra, sizeof(world->extra), http_request_header(request, "x-extra"));
    keep(world->body, sizeof(world->body), request->body);
    keep(world->path, sizeof(world->path), request->path);
    if (str_eq_c(request->path, "/slow"))
        return sl_sleep_ms(60000);
    if (str_to_u64(str_sub(request->path, 1, 3), 999, &status) < 0)
        status = 200;
    response->status = (int) status;
    if (status == 302)
        http_response_header(response, "Location", STR_C("/200"));
    buf_add_c(&response->body, "the reason");
    return 0;
}

SUSPENDS static int world_main(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpServerOpts opts = { .ctx = world, .on_request = on_request };
    HttpClientOpts client = { .policy = world->policy };
    Listener *listener = NULL;
    NetAddress address;
    char text[NET_ADDRESS_TEXT_MAX];

    EXPECT_OK(http_client_global_init());
    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    EXPECT_OK(listener_open(&address, NULL, &listener));
    EXPECT_OK(http_server_start(&world->server, nursery, listener, &opts));
    EXPECT_OK(http_client_start(&world->client, nursery, &client));
    (void) snprintf(world->base, sizeof(world->base), "http://%s",
                    listener_address(listener, text).data);
    world->check(world);
    http_client_stop(world->client);
    http_server_stop(world->server, 0);
    listener_close(listener);
    return 0;
}

static void run_world(void (*check)(World *), HttpPolicy policy)
{
    static const enum sl_loop_kind loops[] = { SL_LOOP_AUTO, SL_LOOP_EPOLL };

    for (size_t i = 0; i < ARRAY_LEN(loops); i++) {
        World world = { .check = check, .policy = policy };

        EXPECT_OK(sl_run(world_main, &world, .loop = loops[i], .stall_ms = -1));
    }
}

#define WEBHOOK_TEST(name, policy)          \
    static void name##_check(World *world); \
    TEST(name)                              \
    {                                       \
        run_world(name##_check, (policy));  \
    }                                       \
    static void name##_check(World *world)

/* ---- the task -------------------------------------------------------------------------------- */

typedef struct FakeTask {
    Task task;
    HttpClient *client;
} FakeTask;

static HttpClient *fake_http(Task *task)
{
    return CONTAINER_OF(task, FakeTask, task)->client;
}

static const TaskOps ops = { .http = fake_http };

/* One attempt with ARGS, in which %s stands for the receiver's address. */
SUSPENDS static int run(World *world, const char *args, Task *ret_task, Buf *result)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    FakeTask fake = {
        .task = { .ops = &ops, .job_id = JOB_ID, .type = "webhook", .attempt = 1, .arena = &arena },
        .client = world->client
    };
    const char *hole = strstr(args, "%s");
    JsonWriter writer = JSON_WRITER(result);
    void *bound;
    Str text;
    int r;

    arena_init(&arena, 0);
    text = hole ? arena_printf(&arena, "%.*s%s%s", (int) (hole - args), args, world->base, hole + 2)
                : str_from_c(args);
    bound = arena_zalloc(&arena, handler_webhook.args->struct_bytes);
    r = schema_decode_text(&arena, handler_webhook.args, text, bound, NULL);
    if (r == 0)
        r = handler_webhook.run(&fake.task, bound, &writer);
    *ret_task = fake.task;
    return r;
}

/* ---- what is sent ---------------------------------------------------------------------------- */

/* The signature that a receiver with KEY computes for the last request. */
static void expect_signature(const World *world, const char *key, size_t key_len)
{
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(buf_deinit) Buf want = { 0 };
    unsigned char mac[32];
    unsigned len = 0;

    buf_printf(&text, "%s.%s.%s", world->id, world->timestamp, world->body);
    EXPECT(HMAC(EVP_sha256(), key, (int) key_len, (unsigned char *) text.data, text.len, mac,
                &len) != NULL);
    buf_add_c(&want, "v1,");
    base64_encode(&want, str_from((char *) mac, len), BASE64_STANDARD);
    EXPECT_STR(str_from_c(world->signature), buf_str(&want));
}

/* Would catch a body that is printed anew, an id that is not the job's, and a signature that a
 * receiver does not accept. */
WEBHOOK_TEST(it_is_sent_and_signed, HTTP_POLICY_ALLOW_ALL)
{
    AUTO(buf_deinit) Buf result = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;
    int64_t seconds;
    Task task;

    EXPECT_OK(run(world,
                  "{\"url\":\"%s/hook\",\"body\":{\"b\":1.0 ,\"a\":[]},\"secret\":\"plain\","
                  "\"headers\":{\"X-Extra\":\"yes\"}}",
                  &task, &result));
    EXPECT_EQ(world->calls, 1);
    EXPECT_C(world->path, "/hook");
    EXPECT_C(world->body, "{\"b\":1.0 ,\"a\":[]}");
    EXPECT_C(world->type, "application/json");
    EXPECT_C(world->extra, "yes");
    EXPECT_C(world->id, JOB_ID);
    EXPECT_OK(str_to_i64(str_from_c(world->timestamp), 0, INT64_MAX, &seconds));
    EXPECT(seconds <= sl_wall_ms() / 1000 && seconds > sl_wall_ms() / 1000 - 60);
    expect_signature(world, "plain", 5);
    arena_init(&arena, 0);
    EXPECT_OK(json_parse(&arena, buf_str(&result), &doc));
    EXPECT_EQ(json_i64_or(json_find(doc.root, "status"), 0), 200);
    EXPECT(json_i64_or(json_find(doc.root, "took_ms"), -1) >= 0);

    EXPECT_OK(
        run(world, "{\"url\":\"%s/hook\",\"secret\":\"whsec_AQIDc2VjcmV0\"}", &task, &result));
    EXPECT_C(world->body, "{}");
    expect_signature(world, "\x01\x02\x03secret", 9);

    EXPECT_OK(run(world, "{\"url\":\"%s/hook\"}", &task, &result));
    EXPECT_C(world->signature, "");
}

/* ---- what the answer means ------------------------------------------------------------------- */

SUSPENDS static void expect_end(World *world, const char *args, int r, const char *words,
                                bool is_final)
{
    AUTO(buf_deinit) Buf result = { 0 };
    Task task;
    int got = run(world, args, &task, &result);

    if (r == 0)
        EXPECT_OK(got);
    else
        EXPECT_ERR(got, r, words);
    EXPECT_EQ(task.is_final, is_final);
    if (test_has_failed())
        fprintf(stderr, "    %s\n", args);
}

/* Would catch a refusal that is tried again for ever, and a passing fault that is given up. */
WEBHOOK_TEST(answers_are_judged, HTTP_POLICY_ALLOW_ALL)
{
    expect_end(world, "{\"url\":\"%s/204\"}", 0, "", false);
    expect_end(world, "{\"url\":\"%s/500\"}", -ERR_HTTP_STATUS, "answered 500: the reason", false);
    expect_end(world, "{\"url\":\"%s/503\"}", -ERR_HTTP_STATUS, "answered 503", false);
    expect_end(world, "{\"url\":\"%s/408\"}", -ERR_HTTP_STATUS, "answered 408", false);
    expect_end(world, "{\"url\":\"%s/425\"}", -ERR_HTTP_STATUS, "answered 425", false);
    expect_end(world, "{\"url\":\"%s/429\"}", -ERR_HTTP_STATUS, "answered 429", false);
    expect_end(world, "{\"url\":\"%s/404\"}", -ERR_HANDLER, "answered 404: the reason", true);
    expect_end(world, "{\"url\":\"%s/410\"}", -ERR_HANDLER, "answered 410", true);
    world->calls = 0;
    expect_end(world, "{\"url\":\"%s/302\"}", -ERR_HANDLER, "answered 302", true);
    EXPECT_EQ(world->calls, 1); /* not followed: it was signed for this URL */
}

/* Would catch a wait without end, and faults of the network that are given up at once. */
WEBHOOK_TEST(no_answer_is_tried_again, HTTP_POLICY_ALLOW_ALL)
{
    expect_end(world, "{\"url\":\"%s/slow\",\"timeout\":\"30ms\"}", -ETIMEDOUT, "", false);
    expect_end(world, "{\"url\":\"http://127.0.0.1:1/\"}", -ERR_NETWORK, "", false);
}

/* Would catch a webhook used to reach what only this machine may reach. */
WEBHOOK_TEST(private_addresses_are_refused, HTTP_POLICY_DENY_PRIVATE)
{
    expect_end(world, "{\"url\":\"%s/200\"}", -ERR_FORBIDDEN, "", true);
    EXPECT_EQ(world->calls, 0);
}

/* Would catch arguments that cannot work and are tried again. */
WEBHOOK_TEST(wrong_arguments, HTTP_POLICY_ALLOW_ALL)
{
    expect_end(world, "{\"url\":\"%s/200\",\"secret\":\"whsec_!\"}", -ERR_INVALID, "secret", true);
    expect_end(world, "{\"url\":\"file:///etc/passwd\"}", -ERR_INVALID, "url", false);
    expect_end(world, "{}", -ERR_INVALID, "url", false);
    EXPECT_EQ(world->calls, 0);
}

WEBHOOK_TEST(without_a_client_it_says_so, HTTP_POLICY_ALLOW_ALL)
{
    HttpClient *client = TAKE(world->client);

    expect_end(world, "{\"url\":\"http://127.0.0.1:1/\"}", -ERR_UNSUPPORTED, "no HTTP client",
               false);
    world->client = client;
}

SUSPENDS static int cancel_soon(void *arg)
{
    int r = sl_sleep_ms(10);

    sl_scope_cancel(arg);
    return r;
}

WEBHOOK_TEST(cancelling_ends_the_call, HTTP_POLICY_ALLOW_ALL)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(buf_deinit) Buf result = { 0 };
    sl_scope scope;
    Task task;
    int r;

    sl_scope_begin(&scope);
    (void) sl_spawn(nursery, cancel_soon, &scope);
    r = run(world, "{\"url\":\"%s/slow\"}", &task, &result);
    EXPECT_EQ(r, -ECANCELED);
    (void) sl_scope_end(&scope, r);
    EXPECT(!task.is_final);
}

TEST_MAIN()
