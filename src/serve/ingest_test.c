/*
 * The routes of ingest: from a request of any loop to a door on loop 0, and back.
 */
#include "serve/serve.h"

#include "base/log.h"
#include "base/test.h"
#include "codec/json.h"

#include <sluice/rt.h>

#include <stdlib.h>

/* ---- a pipeline that is none ----------------------------------------------------------------- */

typedef struct Fake {
    Doors *doors;
    Door *door;
    Buf seen; /* the last call */
    int r;    /* what calls get */
    uint64_t refused;
    size_t loop; /* on which it ran */
    size_t serve_loop;
    bool has_doors;
} Fake;

SUSPENDS static int take(void *ctx, DoorCall *call)
{
    Fake *fake = ctx;

    fake->loop = sl_loop_index();
    buf_reset(&fake->seen);
    buf_printf(&fake->seen, "%.*s|%.*s|%.*s|%.*s|%d|%d", (int) call->body.len, call->body.data,
               (int) call->precision.len, call->precision.data, (int) call->measurement.len,
               call->measurement.data, (int) call->token.len, call->token.data, call->format,
               call->is_awaited);
    if (fake->r < 0)
        return fail(fake->r, "as the test says");
    call->accepted = 2;
    call->refused = fake->refused;
    if (fake->refused > 0) {
        call->refusals = mem_new(Refusal);
        *call->refusals = (Refusal){ .line = 3,
                                     .offset = 10,
                                     .stage = "parse",
                                     .code = "bad_number",
                                     .text = "\"x\" is no number" };
        call->n_refusals = 1;
    }
    return sl_yield();
}

/* ---- talking --------------------------------------------------------------------------------- */

typedef struct Answer {
    int status;
    char text[4096];
} Answer;

static const NetAddress *server_address;

SUSPENDS static void ask(Answer *answer, const char *method, const char *path, const char *headers,
                         const char *body)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Stream *stream = NULL;
    size_t len = 0;
    ssize_t n = 1;

    EXPECT_OK(stream_connect(server_address, &stream));
    if (!stream)
        return;
    buf_printf(&out,
               "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n"
               "\r\n%s",
               method, path, headers, strlen(body), body);
    EXPECT_OK(stream_write_all(stream, out.data, out.len));
    while (n > 0) {
        n = stream_read(stream, answer->text + len, sizeof(answer->text) - 1 - len);
        len += n > 0 ? (size_t) n : 0;
    }
    answer->text[len] = '\0';
    answer->status = len > 12 ? atoi(answer->text + 9) : 0;
    stream_close(stream);
}

static bool has(const Answer *answer, const char *part)
{
    return strstr(answer->text, part) != NULL;
}

/* ---- the checks ------------------------------------------------------------------------------ */

/* Would catch a parameter that gets lost on its way, and an answer with the wrong status. */
SUSPENDS static void check_writes(Fake *fake)
{
    Answer *answer = mem_new(Answer);

    ask(answer, "POST", "/v1/ingest/readings?precision=ms&table=t&wait=false",
        "Authorization: Bearer geheim\r\n", "a b\n");
    EXPECT_EQ(answer->status, 202);
    EXPECT(has(answer, "{\"accepted\":2,\"refused\":0}"));
    EXPECT(has(answer, "X-Request-Id: "));
    EXPECT_STR(buf_str(&fake->seen), STR_C("a b\n|ms|t|geheim|0|0"));
    EXPECT_EQ(fake->loop, 0);
    ask(answer, "POST", "/v1/ingest/readings", "Content-Type: application/json\r\n", "{}");
    EXPECT_EQ(answer->status, 200);
    EXPECT_STR(buf_str(&fake->seen), STR_C("{}||||2|1"));
    ask(answer, "POST", "/write?db=any&precision=s&table=t", "", "m v=1");
    EXPECT_EQ(answer->status, 204);
    EXPECT_STR(buf_str(&fake->seen), STR_C("m v=1|s|||1|1"));
    ask(answer, "POST", "/api/v2/write?bucket=readings&org=o", "Authorization: Token t\r\n",
        "m v=1");
    EXPECT_EQ(answer->status, 204);
    EXPECT_STR(buf_str(&fake->seen), STR_C("m v=1|||t|1|1"));

    fake->refused = 1;
    ask(answer, "POST", "/v1/ingest/readings", "", "a\n");
    EXPECT_EQ(answer->status, 207);
    EXPECT(has(answer, "\"lines\":[{\"line\":3,\"offset\":10,\"stage\":\"parse\",\"code\":"
                       "\"bad_number\",\"message\":\"\\\"x\\\" is no number\"}]"));
    ask(answer, "POST", "/write", "", "a\n");
    EXPECT_EQ(answer->status, 400);
    EXPECT(has(answer, "{\"error\":\"partial write: 1 of 3 rows were refused, the others are in; "
                       "line 3: \\\"x\\\" is no number dropped=1\""));
    fake->refused = 0;
    mem_free(answer);
}

/* Would catch an error in another face's words. */
SUSPENDS static void check_errors(Fake *fake)
{
    Answer *answer = mem_new(Answer);

    fake->r = -ERR_BUSY;
    ask(answer, "POST", "/v1/ingest/readings", "", "a\n");
    EXPECT_EQ(answer->status, 429);
    EXPECT(has(answer, "{\"error\":{\"code\":\"rate_limited\""));
    EXPECT(has(answer, "Retry-After: 1"));
    ask(answer, "POST", "/write", "", "a\n");
    EXPECT_EQ(answer->status, 503);
    EXPECT(has(answer, "{\"error\":\"as the test says\"}"));
    EXPECT(has(answer, "Retry-After: 1"));
    ask(answer, "POST", "/api/v2/write", "", "a\n");
    EXPECT_EQ(answer->status, 429);
    EXPECT(has(answer, "{\"code\":\"too many requests\",\"message\":\"as the test says\"}"));
    fake->r = -ERR_UNAUTHORIZED;
    ask(answer, "POST", "/api/v2/write", "", "a\n");
    EXPECT_EQ(answer->status, 401);
    ask(answer, "POST", "/v1/ingest/readings", "", "a\n");
    EXPECT_EQ(answer->status, 401);
    EXPECT(has(answer, "{\"error\":{\"code\":\"x_unauthorized\""));
    EXPECT(has(answer, "WWW-Authenticate: Token"));
    fake->r = 0;

    ask(answer, "POST", "/v1/ingest/other", "", "a\n");
    EXPECT_EQ(answer->status, 404);
    EXPECT(has(answer, "there are: readings"));
    ask(answer, "POST", "/v1/ingest/readings", "Content-Type: image/png\r\n", "a\n");
    EXPECT_EQ(answer->status, 415);
    ask(answer, "POST", "/write?db=%zz", "", "a\n");
    EXPECT_EQ(answer->status, 400);
    EXPECT(has(answer, "{\"error\":\"query: "));
    mem_free(answer);
}

SUSPENDS static void check_others(Fake *fake)
{
    Answer *answer = mem_new(Answer);

    (void) fake;
    ask(answer, "GET", "/ping", "", "");
    EXPECT_EQ(answer->status, 204);
    EXPECT(has(answer, "X-Influxdb-Version: 1.8"));
    ask(answer, "GET", "/health", "", "");
    EXPECT_EQ(answer->status, 200);
    ask(answer, "POST", "/query", "Content-Type: application/x-www-form-urlencoded\r\n",
        "q=CREATE%20DATABASE%20telegraf");
    EXPECT_EQ(answer->status, 200);
    EXPECT(has(answer, "{\"results\":[{\"statement_id\":0}]}"));
    mem_free(answer);
}

/* Would catch a crash where nothing takes rows. */
SUSPENDS static void check_none(Fake *fake)
{
    Answer *answer = mem_new(Answer);

    (void) fake;
    ask(answer, "POST", "/v1/ingest/readings", "", "a\n");
    EXPECT_EQ(answer->status, 404);
    EXPECT(has(answer, "this engine runs no pipeline"));
    ask(answer, "POST", "/write", "", "a\n");
    EXPECT_EQ(answer->status, 404);
    EXPECT(has(answer, "{\"error\":\"database not found: "));
    ask(answer, "GET", "/health", "", "");
    EXPECT_EQ(answer->status, 503);
    ask(answer, "GET", "/query?q=SHOW+DATABASES", "", "");
    EXPECT_EQ(answer->status, 200);
    EXPECT(has(answer, "\"values\":[]"));
    mem_free(answer);
}

/* ---- life ------------------------------------------------------------------------------------ */

SUSPENDS static int serve_there(void *arg)
{
    Fake *fake = arg;
    ServeOpts opts = { .pipelines = fake->has_doors ? fake->doors : NULL };
    sl_nursery *nursery = sl_nursery_open(.name = "serve");
    Listener *listener = NULL;
    Serve *serve = NULL;
    NetAddress address;

    EXPECT_EQ(sl_loop_index(), fake->serve_loop);
    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    EXPECT_OK(listener_open(&address, NULL, &listener));
    EXPECT_OK(serve_start(&serve, nursery, listener, &opts));
    if (serve) {
        server_address = &listener->address;
        if (fake->has_doors) {
            check_writes(fake);
            check_errors(fake);
            check_others(fake);
        } else {
            check_none(fake);
        }
    }
    serve_stop(serve, 1000);
    listener_close(listener);
    sl_nursery_close(nursery);
    return 0;
}

SUSPENDS static int main_fiber(void *arg)
{
    Fake *fake = arg;
    int r;

    log_setup(LOG_OFF, LOG_FORMAT_AUTO, STDERR_FILENO);
    fake->doors = doors_new();
    EXPECT_OK(door_open(fake->doors, STR_C("readings"), take, fake, &fake->door));
    r = sl_call_on(fake->serve_loop, serve_there, fake, "serve");
    door_close(fake->door);
    doors_free(fake->doors);
    buf_deinit(&fake->seen);
    return r;
}

TEST(requests_reach_the_door)
{
    Fake fake = { .has_doors = true };

    EXPECT_OK(sl_run(main_fiber, &fake, .stall_ms = -1));
}

TEST(requests_of_another_loop_reach_the_door)
{
    Fake fake = { .has_doors = true, .serve_loop = 1 };

    EXPECT_OK(sl_run(main_fiber, &fake, .loops = 2, .stall_ms = -1));
}

TEST(without_pipelines_it_says_so)
{
    Fake fake = { 0 };

    EXPECT_OK(sl_run(main_fiber, &fake, .stall_ms = -1));
}

TEST_MAIN()
