/*
 * Bytes through `POST /v1/run/{type}`: the body is the input, the query the arguments. What is said
 * before a body is sent, what comes back, and what becomes of a run whose client leaves.
 *
 * On simulated streams: nothing waits for a clock.
 */
#include "serve/serve.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/test.h"
#include "net/sim_net.h"
#include "queue/queue.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

#include <stdio.h>

/* ---- a handler ------------------------------------------------------------------------------- */

typedef struct CopyArgs {
    int64_t times;
    int64_t wait_ms;
    Str accept;
} CopyArgs;

static const SchemaField copy_fields[] = {
    FIELD_INT(CopyArgs, times, "how often", .range = RANGE(1, 3), .default_text = "1"),
    FIELD_DURATION(CopyArgs, wait_ms, "wait", "how long first", .default_text = "0s"),
    FIELD_STR(CopyArgs, accept, "what is taken"),
};
static const Schema copy_schema = SCHEMA(CopyArgs, copy_fields, "Copy.");

static int copies_under_way;

/* Gives "ACCEPT BYTES" as often as it is told. */
SUSPENDS static int copy_run(Task *task, const void *args, JsonWriter *result)
{
    static const char *const names[] = { "one", "two", "three" };
    const CopyArgs *copy = args;
    Str bytes = task->input.bytes;
    int r;

    copies_under_way++;
    r = copy->wait_ms > 0 ? sl_sleep_ms(copy->wait_ms) : 0;
    copies_under_way--;
    for (int64_t i = 0; r == 0 && i < copy->times; i++) {
        size_t len = copy->accept.len + 1 + bytes.len;
        unsigned char *room;

        r = task_output(task, copy->times > 1 ? names[i] : NULL, "image/webp", len, &room);
        if (r < 0)
            break;
        if (copy->accept.len > 0)
            memcpy(room, copy->accept.data, copy->accept.len);
        room[copy->accept.len] = ' ';
        memcpy(room + copy->accept.len + 1, bytes.data, bytes.len);
    }
    json_write_object(result);
    json_write_member_i64(result, "bytes", (int64_t) bytes.len);
    json_write_object_end(result);
    return r;
}

static const Handler copier = { .type = "copy",
                                .summary = "Copies.",
                                .args = &copy_schema,
                                .cost = HANDLER_WAITS,
                                .takes_body = true,
                                .run = copy_run };
static const Handler *const handlers[] = { &copier };

#define PATIENCE_MS 10000 /* longer than the server's */

/* ---- an API to talk to ----------------------------------------------------------------------- */

typedef struct Api {
    void (*body)(struct Api *api);
    sl_nursery *nursery;
    SimNet *net;
    Listener *listener;
    Queues *queues;
    Serve *serve;
} Api;

SUSPENDS static int api_main(void *arg)
{
    Api *api = arg;
    QueueOpts queues = { .store = "memory:" };
    ServeOpts serve = { .handlers = handlers,
                        .n_handlers = ARRAY_LEN(handlers),
                        .runs_max = 1,
                        .http_limits = { .body_ms = 1000, .body_rate = 1000 } };

    log_setup(LOG_OFF, LOG_FORMAT_AUTO, STDERR_FILENO);
    copies_under_way = 0;
    api->net = sim_net_new(&(SimNetOpts){ 0 });
    api->nursery = sl_nursery_open(.name = "api");
    EXPECT_OK(sim_net_listen(api->net, "api", &api->listener));
    EXPECT_OK(queue_start(api->nursery, &queues, &api->queues));
    serve.queues = api->queues;
    EXPECT_OK(serve_start(&api->serve, api->nursery, api->listener, &serve));
    api->body(api);
    serve_stop(api->serve, 1000);
    listener_close(api->listener);
    queue_stop(api->queues);
    sl_nursery_close(api->nursery);
    sim_net_free(api->net);
    return 0;
}

#define API_TEST(name)                                          \
    static void name##_body(Api *api);                          \
    TEST(name)                                                  \
    {                                                           \
        Api api = { .body = name##_body };                      \
                                                                \
        EXPECT_OK(sl_run(api_main, &api, .loop = SL_LOOP_SIM)); \
    }                                                           \
    SUSPENDS static void name##_body(Api *api)

SUSPENDS static Stream *join(Api *api)
{
    Stream *stream = NULL;

    EXPECT_OK(sim_net_connect(api->net, "api", &stream));
    return stream;
}

SUSPENDS static void say(Stream *stream, const char *text)
{
    EXPECT_OK(stream_write_all(stream, text, strlen(text)));
}

/* All that comes until the other side closes, or says nothing for PATIENCE_MS. */
SUSPENDS static void hear(Stream *stream, int64_t patience_ms, Buf *out)
{
    int r = 0;

    buf_reset(out);
    while (r == 0) {
        char *room = buf_reserve(out, 4096);
        sl_scope scope;
        ssize_t n;

        sl_scope_begin(&scope, .timeout_ms = patience_ms);
        n = stream_read(stream, room, 4095);
        r = sl_scope_end(&scope, n < 0 ? (int) n : 0);
        if (r < 0 || n <= 0)
            break;
        out->len += (size_t) n;
    }
    buf_add_char(out, '\0');
}

/* Say TEXT on a connection of its own; what comes back, with a NUL behind it. */
SUSPENDS static void ask(Api *api, const char *text, Buf *out)
{
    Stream *stream = join(api);

    say(stream, text);
    hear(stream, PATIENCE_MS, out);
    stream_close(stream);
}

static bool has(const Buf *answer, const char *part)
{
    return strstr(answer->data, part) != NULL;
}

#define POST "POST /v1/run/copy?"
#define HEAD " HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"

/* ---- answers --------------------------------------------------------------------------------- */

API_TEST(gives_bytes_back)
{
    AUTO(buf_deinit) Buf first = { 0 };
    AUTO(buf_deinit) Buf again = { 0 };
    const char *tag;

    ask(api, POST "times=1" HEAD "Content-Length: 4\r\n\r\npear", &first);
    EXPECT(has(&first, "HTTP/1.1 200 OK\r\n"));
    EXPECT(has(&first, "\r\nContent-Type: image/webp\r\n"));
    EXPECT(has(&first, "\r\nContent-Length: 5\r\n"));
    EXPECT(has(&first, "\r\nServer-Timing: queue;dur="));
    EXPECT(has(&first, "\r\nSluice-Result: {\"bytes\":4}\r\n"));
    EXPECT(has(&first, "\r\n\r\n pear"));
    tag = strstr(first.data, "ETag: \"");
    EXPECT(tag != NULL);
    if (!tag)
        return;
    /* The same bytes have the same tag; a condition does not count for a POST. */
    ask(api, POST "times=1" HEAD "If-None-Match: *\r\nContent-Length: 4\r\n\r\npear", &again);
    EXPECT(has(&again, "HTTP/1.1 200 OK\r\n"));
    EXPECT(strstr(again.data, "ETag: \"") && !strncmp(strstr(again.data, "ETag: \""), tag, 40));
    ask(api, POST "times=1" HEAD "Content-Length: 4\r\n\r\nplum", &again);
    EXPECT(strstr(again.data, "ETag: \"") && strncmp(strstr(again.data, "ETag: \""), tag, 40) != 0);
}

/* Would catch parts that differ from one answer to the next, which a strong tag forbids. */
API_TEST(gives_several_outputs_as_parts)
{
    AUTO(buf_deinit) Buf first = { 0 };
    AUTO(buf_deinit) Buf again = { 0 };
    const char *request = POST "times=2" HEAD "Content-Length: 4\r\n\r\npear";
    char boundary[80] = "", wanted[500];

    ask(api, request, &first);
    EXPECT(has(&first, "\r\nContent-Type: multipart/mixed; boundary=part-"));
    (void) sscanf(strstr(first.data, "boundary="), "boundary=%79s", boundary);
    (void) snprintf(wanted, sizeof(wanted),
                    "\r\n\r\n--%s\r\nContent-Type: image/webp\r\n"
                    "Content-Disposition: attachment; name=\"one\"\r\nContent-Length: 5\r\n\r\n"
                    " pear\r\n--%s\r\nContent-Type: image/webp\r\n"
                    "Content-Disposition: attachment; name=\"two\"\r\nContent-Length: 5\r\n\r\n"
                    " pear\r\n--%s--\r\n",
                    boundary, boundary, boundary);
    EXPECT(has(&first, wanted));
    ask(api, request, &again);
    EXPECT(has(&again, wanted));
}

API_TEST(takes_the_header_accept)
{
    AUTO(buf_deinit) Buf out = { 0 };

    ask(api, POST "times=1" HEAD "Accept: image/avif, */*\r\nContent-Length: 1\r\n\r\nx", &out);
    EXPECT(has(&out, "\r\n\r\nimage/avif, */* x"));
    EXPECT(has(&out, "\r\nVary: Accept\r\n"));
    ask(api, POST "times=1" HEAD "Accept: */*\r\nContent-Length: 1\r\n\r\nx", &out);
    EXPECT(has(&out, "\r\n\r\n x"));
    EXPECT(has(&out, "\r\nVary: Accept\r\n"));
    ask(api, POST "accept=text" HEAD "Accept: image/avif\r\nContent-Length: 1\r\n\r\nx", &out);
    EXPECT(has(&out, "\r\n\r\ntext x"));
    EXPECT(!has(&out, "Vary:"));
}

/* Would catch a form that is taken for a picture, which is then called none. */
API_TEST(takes_no_form)
{
    AUTO(buf_deinit) Buf out = { 0 };

    ask(api,
        POST "times=1 HTTP/1.1\r\nHost: x\r\nContent-Type: Multipart/form-data; boundary=x\r\n"
             "Content-Length: 1\r\n\r\nx",
        &out);
    EXPECT(has(&out, "HTTP/1.1 415 "));
    EXPECT(has(&out, "a form is not taken"));
}

API_TEST(takes_nothing_else)
{
    AUTO(buf_deinit) Buf out = { 0 };
    static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE" };
    char text[200];

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        (void) snprintf(text, sizeof(text), "%s /v1/run/copy HTTP/1.1\r\nHost: x\r\n\r\n",
                        methods[i]);
        ask(api, text, &out);
        EXPECT(has(&out, "HTTP/1.1 405 "));
        EXPECT(has(&out, "\r\nAllow: POST\r\n"));
    }
}

/* ---- bodies ---------------------------------------------------------------------------------- */

API_TEST(asks_for_a_body_that_it_will_take)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Stream *stream = join(api);

    say(stream, POST "times=1" HEAD "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    hear(stream, 10, &out);
    EXPECT_STR(str_from_c(out.data), STR_C("HTTP/1.1 100 Continue\r\n\r\n"));
    say(stream, "pear");
    hear(stream, PATIENCE_MS, &out);
    EXPECT(has(&out, "HTTP/1.1 200 OK\r\n"));
    stream_close(stream);
}

/* Would catch a client that sends its gigabyte only to hear that it is too large. */
API_TEST(refuses_large_bodies_at_once)
{
    AUTO(buf_deinit) Buf out = { 0 };
    char text[300];

    (void) snprintf(text, sizeof(text),
                    POST "times=1" HEAD "Expect: 100-continue\r\nContent-Length: %d\r\n\r\n",
                    LIMIT_SERVE_INPUT_BYTES + 1);
    ask(api, text, &out);
    EXPECT(has(&out, "HTTP/1.1 413 "));
    EXPECT(!has(&out, "100 Continue"));
    EXPECT(has(&out, "\"x_payload_too_large\""));
}

/* Without a length the limit counts as the bytes come. */
API_TEST(refuses_large_bodies_in_chunks)
{
    AUTO(buf_deinit) Buf out = { 0 };
    AUTO(buf_deinit) Buf chunk = { 0 };
    Stream *stream = join(api);
    int r = 0, sent = 0;

    buf_printf(&chunk, "100000\r\n%0*d\r\n", 1 << 20, 0);
    say(stream, POST "times=1" HEAD "Transfer-Encoding: chunked\r\n\r\n");
    for (; r == 0 && sent <= LIMIT_SERVE_INPUT_BYTES >> 20; sent++)
        r = stream_write_all(stream, chunk.data, chunk.len);
    if (r < 0)
        err_take(r, NULL); /* the answer may come before all of it is sent */
    hear(stream, PATIENCE_MS, &out);
    EXPECT(has(&out, "HTTP/1.1 413 "));
    EXPECT_EQ(copies_under_way, 0);
    stream_close(stream);
}

API_TEST(does_not_wait_for_slow_bodies)
{
    AUTO(buf_deinit) Buf out = { 0 };
    int64_t began_ns = sl_now_ns();

    ask(api, POST "times=1" HEAD "Content-Length: 2000\r\n\r\npear", &out);
    EXPECT(has(&out, "HTTP/1.1 408 "));
    EXPECT((sl_now_ns() - began_ns) / NS_PER_MS < 3000); /* of the simulated clock */
    ask(api, POST "times=1" HEAD "Transfer-Encoding: chunked\r\n\r\n4\r\npear\r\n", &out);
    EXPECT(has(&out, "HTTP/1.1 408 "));
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* One run is under way, which is all that may be. */
SUSPENDS static Stream *begin_long(Api *api)
{
    Stream *stream = join(api);

    say(stream, POST "wait=24h" HEAD "Content-Length: 4\r\n\r\npear");
    while (copies_under_way == 0)
        EXPECT_OK(sl_sleep_ms(1));
    return stream;
}

SUSPENDS static void wait_none(void)
{
    while (copies_under_way > 0)
        EXPECT_OK(sl_sleep_ms(1));
}

/* Would catch a body that is sent and thrown away, and one of a few bytes that costs a connection.
 */
API_TEST(refuses_before_the_body_when_all_are_busy)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Stream *busy = begin_long(api);

    ask(api, POST "times=1" HEAD "Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n", &out);
    EXPECT(has(&out, "HTTP/1.1 429 "));
    EXPECT(!has(&out, "100 Continue"));
    EXPECT(has(&out, "\r\nRetry-After: "));
    EXPECT(has(&out, "\r\nConnection: close\r\n"));
    ask(api, POST "times=1" HEAD "Content-Length: 4\r\n\r\npear", &out);
    EXPECT(has(&out, "HTTP/1.1 429 "));
    EXPECT(!has(&out, "\r\nConnection: close\r\n"));
    stream_close(busy);
    wait_none();
    ask(api, POST "times=1" HEAD "Content-Length: 4\r\n\r\npear", &out);
    EXPECT(has(&out, "HTTP/1.1 200 OK\r\n"));
}

/* Would catch a run that goes on for nobody. */
API_TEST(ends_a_run_whose_client_leaves)
{
    Stream *stream = begin_long(api);

    stream_close(stream);
    wait_none();
    stream = join(api);
    say(stream, POST "times=1" HEAD "Content-Length: 4\r\n\r\npe");
    stream_close(stream); /* in the middle of the body */
    EXPECT_OK(sl_sleep_ms(10));
    EXPECT_EQ(copies_under_way, 0);
}

TEST_MAIN()
