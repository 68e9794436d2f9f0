/*
 * The source http: what writers are answered, through a listener of its own and through a door.
 */
#include "rows/source.h"

#include "base/limits.h"
#include "net/stream.h"
#if SL_HAVE_OPENSSL
#include "net/tls.h"
#include "rows/certificate_int.h"
#endif
#include "rows/source_world_int.h"

#include <sluice/rt.h>

#include <stdlib.h>
#include <zlib.h>

extern const SourceDriver source_http;

#define ANSWER_BYTES (32 << 10)

#define HERE         "{\"listen\":\"127.0.0.1:0\"}"

/* ---- a writer -------------------------------------------------------------------------------- */

typedef struct Writer {
    SourceWorld *world;
    const char *request; /* the whole of it, or NULL: method, path, headers, body */
    const char *path;
    const char *headers;
    Str body;
    int status;
    char *answer; /* head and body; in the world's arena */
    bool is_back;
    sl_cond back;
} Writer;

SUSPENDS static Stream *dial(const SourceWorld *world)
{
    const char *at = strstr(world->said, "listens on ");
    Stream *stream = NULL;
    NetAddress address;

    EXPECT(at != NULL);
    if (!at)
        return NULL;
    EXPECT_OK(net_address_parse(str_from_c(at + strlen("listens on ")), &address));
    EXPECT_OK(stream_connect(&address, &stream));
    return stream;
}

static bool is_whole(const char *answer, size_t len)
{
    const char *end = memmem(answer, len, "\r\n\r\n", 4), *length;

    if (!end)
        return false;
    length = memmem(answer, (size_t) (end - answer), "Content-Length: ", 16);
    return !length || len >= (size_t) (end - answer) + 4 + strtoul(length + 16, NULL, 10);
}

SUSPENDS static int write_fiber(void *arg)
{
    Writer *writer = arg;
    AUTO(stream_close) Stream *stream = dial(writer->world);
    AUTO(buf_deinit) Buf out = { 0 };
    size_t len = 0;
    ssize_t n = 1;

    writer->answer = arena_zalloc(&writer->world->arena, ANSWER_BYTES);
    if (!stream)
        return 0;
    if (writer->request)
        buf_add_c(&out, writer->request);
    else
        buf_printf(&out, "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n",
                   writer->path, writer->headers ? writer->headers : "", writer->body.len);
    buf_add_str(&out, writer->body);
    EXPECT_OK(stream_write_all(stream, out.data, out.len));
    while (n > 0 && !is_whole(writer->answer, len)) {
        n = stream_read(stream, writer->answer + len, ANSWER_BYTES - 1 - len);
        len += n > 0 ? (size_t) n : 0;
    }
    writer->answer[len] = '\0';
    writer->status = len > 12 ? atoi(writer->answer + 9) : 0;
    writer->is_back = true;
    sl_cond_wake_all(&writer->back);
    return 0;
}

SUSPENDS static void post(Writer *writer, SourceWorld *world, const char *path, const char *headers,
                          const char *body)
{
    *writer = (Writer){ .world = world,
                        .path = path,
                        .headers = headers,
                        .body = body ? str_from_c(body) : str_from("", 0) };
    EXPECT_OK(write_fiber(writer));
}

/* The same in a fiber of its own. */
SUSPENDS static void post_later(Writer *writer, SourceWorld *world, const char *path,
                                const char *body)
{
    *writer = (Writer){ .world = world, .path = path, .body = str_from_c(body) };
    sl_spawn(world->nursery, write_fiber, writer, .name = "writer");
}

SUSPENDS static int wait_back(void *arg)
{
    Writer *writer = arg;
    int r = 0;

    while (r == 0 && !writer->is_back)
        r = sl_cond_wait(&writer->back);
    return r;
}

SUSPENDS static void wait_for(Writer *writer)
{
    EXPECT_OK(sl_with_timeout(WORLD_WAIT_MS, wait_back, writer));
}

static bool has(const Writer *writer, const char *part)
{
    return strstr(writer->answer, part) != NULL;
}

SUSPENDS static void start(SourceWorld *world, const char *settings)
{
    world->source.decode.format = DECODE_LINES;
    source_world_start(world, &source_http, settings);
    source_world_wait_said(world, "listens on");
}

/* ---- what is taken --------------------------------------------------------------------------- */

/* Would catch an answer before the commit, or one that says too little. */
SUSPENDS static void check_commit(SourceWorld *world)
{
    Writer writer;

    start(world, HERE);
    world->is_holding = true;
    post_later(&writer, world, "/", "a\nb\n");
    source_world_wait_rows(world, 2);
    for (int i = 0; i < 20; i++)
        EXPECT_OK(sl_yield());
    EXPECT(!writer.is_back);
    source_world_settle(world, 0);
    wait_for(&writer);
    EXPECT_EQ(writer.status, 200);
    EXPECT(has(&writer, "{\"accepted\":2,\"refused\":0}"));
    EXPECT_STR(buf_str(&world->text), STR_C("rows {\"line\":\"a\"}\nrows {\"line\":\"b\"}\n"));
    EXPECT_OK(source_world_stop(world));
}

TEST(answers_come_after_the_commit)
{
    source_world_run(check_commit);
}

SUSPENDS static void check_no_wait(SourceWorld *world)
{
    Writer writer;

    start(world, HERE);
    world->is_holding = true;
    post(&writer, world, "/v1/ingest?wait=false", NULL, "a\n");
    EXPECT_EQ(writer.status, 202);
    post(&writer, world, "/v1/ingest/readings?wait=false", NULL, "\xff\nb\n");
    EXPECT_EQ(writer.status, 207);
    EXPECT(has(&writer, "\"accepted\":1,\"refused\":1,\"lines\":[{\"line\":1,"));
    source_world_settle(world, 0);
    EXPECT_OK(source_world_stop(world));
}

TEST(who_does_not_wait_is_answered_at_once)
{
    source_world_run(check_no_wait);
}

/* Would catch refused lines that nobody hears of, or a status that makes a client send again. */
SUSPENDS static void check_refusals(SourceWorld *world)
{
    AUTO(buf_deinit) Buf many = { 0 };
    Writer writer;

    start(world, HERE);
    post(&writer, world, "/", NULL, "a\n\xff one\nb\n");
    EXPECT_EQ(writer.status, 207);
    EXPECT(has(&writer, "{\"accepted\":2,\"refused\":1,\"lines\":[{\"line\":2,\"offset\":2,"
                        "\"stage\":\"parse\",\"code\":\"bad_utf8\",\"message\":"));
    post(&writer, world, "/", NULL, "\xff");
    EXPECT_EQ(writer.status, 400);
    EXPECT(has(&writer, "{\"accepted\":0,\"refused\":1,"));
    for (int i = 0; i < 300; i++)
        buf_add_c(&many, "\xff\n");
    buf_add_char(&many, '\0');
    post(&writer, world, "/", NULL, many.data);
    EXPECT(has(&writer, "\"refused\":300"));
    EXPECT(has(&writer, "\"line\":100,"));
    EXPECT(!has(&writer, "\"line\":101,"));
    EXPECT_OK(source_world_stop(world));
}

TEST(refused_lines_are_named)
{
    source_world_run(check_refusals);
}

SUSPENDS static void check_influx(SourceWorld *world)
{
    Writer writer;

    world->source.decode.format = DECODE_INFLUX;
    source_world_start(world, &source_http, HERE);
    source_world_wait_said(world, "listens on");
    post(&writer, world, "/write?db=anything&precision=ms&rp=autogen", NULL, "m v=1 1\n");
    EXPECT_EQ(writer.status, 204);
    EXPECT(!has(&writer, "Content-Length"));
    post(&writer, world, "/api/v2/write?org=o&bucket=b&precision=s", NULL, "m v=1 1\n");
    EXPECT_EQ(writer.status, 204);
    post(&writer, world, "/api/v2/write?bucket=b", NULL, "bad\nm v=1 1\n");
    EXPECT_EQ(writer.status, 400);
    EXPECT(has(&writer, "{\"code\":\"invalid\",\"message\":\"partial write: 1 of 2 rows"));
    EXPECT(has(&writer, "\"accepted\":1,\"refused\":1,\"lines\":[{\"line\":1,"));
    post(&writer, world, "/write?db=b", NULL, "bad\n");
    EXPECT_EQ(writer.status, 400);
    EXPECT(has(&writer, "{\"error\":\"unable to parse or write: all 1 rows were refused"));
    EXPECT(has(&writer, "X-Influxdb-Error: unable to parse"));
    post(&writer, world, "/write?precision=week", NULL, "m v=1\n");
    EXPECT_EQ(writer.status, 400);
    EXPECT(has(&writer, "{\"error\":\"precision: "));
    post(&writer, world, "/v1/ingest", "Content-Type: text/csv\r\n", "a,b\n1,2\n");
    EXPECT_EQ(writer.status, 415);
    EXPECT_OK(source_world_stop(world));
}

TEST(clients_of_influxdb_are_at_home)
{
    source_world_run(check_influx);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static Str gzipped(Buf *out, Str text)
{
    z_stream z = { .next_in = (Bytef *) (uintptr_t) text.data, .avail_in = (uInt) text.len };

    EXPECT_EQ(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = (Bytef *) buf_reserve(out, text.len + 1000);
    z.avail_out = (uInt) (text.len + 1000);
    EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len = text.len + 1000 - z.avail_out;
    deflateEnd(&z);
    return buf_str(out);
}

/* Would catch damage that is taken for rows, and bodies that grow without end. */
SUSPENDS static void check_gzip(SourceWorld *world)
{
    AUTO(buf_deinit) Buf packed = { 0 }, large = { 0 }, text = { 0 };
    Writer writer = { .world = world, .path = "/", .headers = "Content-Encoding: gzip\r\n" };
    Writer again;

    start(world, "{\"listen\":\"127.0.0.1:0\",\"max_body\":65536}");
    writer.body = gzipped(&packed, STR_C("a\nb\n"));
    again = writer;
    EXPECT_OK(write_fiber(&again));
    EXPECT_EQ(again.status, 200);
    EXPECT_EQ(world->rows, 2);

    again = writer;
    again.body.len -= 6;
    EXPECT_OK(write_fiber(&again));
    EXPECT_EQ(again.status, 400);
    EXPECT(has(&again, "Content-Encoding: "));
    EXPECT_EQ(world->rows, 2);

    for (int i = 0; i < 70000; i++)
        buf_add_char(&text, (char) ('a' + i % 17));
    again = writer;
    again.body = gzipped(&large, buf_str(&text));
    EXPECT_OK(write_fiber(&again));
    EXPECT_EQ(again.status, 413);

    again = writer;
    again.headers = "Content-Encoding: br\r\n";
    EXPECT_OK(write_fiber(&again));
    EXPECT_EQ(again.status, 415);

    again = writer;
    again.headers = NULL;
    again.body = buf_str(&text);
    EXPECT_OK(write_fiber(&again));
    EXPECT_EQ(again.status, 413);
    EXPECT_OK(source_world_stop(world));
}

TEST(bodies_are_unpacked_within_limits)
{
    source_world_run(check_gzip);
}

SUSPENDS static void check_types(SourceWorld *world)
{
    Writer writer;

    start(world, HERE);
    post(&writer, world, "/v1/ingest", "Content-Type: image/png\r\n", "a\n");
    EXPECT_EQ(writer.status, 415);
    EXPECT(has(&writer, "\"code\":\"x_media_type\""));
    post(&writer, world, "/v1/ingest", "Content-Type: application/x-www-form-urlencoded\r\n",
         "a\n");
    EXPECT_EQ(writer.status, 200);
    post(&writer, world, "/v1/ingest", "Content-Type: text/plain; charset=utf-8\r\n", "a\n");
    EXPECT_EQ(writer.status, 200);
    EXPECT_OK(source_world_stop(world));
}

TEST(types_that_are_not_taken_are_415)
{
    source_world_run(check_types);
}

/* ---- who may write --------------------------------------------------------------------------- */

SUSPENDS static void check_tokens(SourceWorld *world)
{
    static const char *const good[] = {
        "Authorization: Token geheim\r\n",       "Authorization: Bearer geheim\r\n",
        "authorization: token  geheim\r\n",      "Authorization: Token me:geheim\r\n",
        "Authorization: Basic bWU6Z2VoZWlt\r\n", /* me:geheim */
    };
    static const char *const bad[] = {
        "",
        "Authorization: Token geheimx\r\n",
        "Authorization: Token geheiM\r\n",
        "Authorization: Token gehei\r\n",
        "Authorization: Token\r\n",
        "Authorization: Basic ????\r\n",
        "Authorization: geheim\r\n",
        "Authorization: Token geheim:\r\n",
    };
    Writer writer;

    start(world, "{\"listen\":\"127.0.0.1:0\",\"token\":\"geheim\"}");
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        post(&writer, world, "/write", good[i], "a\n");
        if (writer.status != 204 && writer.status != 415)
            test_fail(__FILE__, __LINE__, "%s was answered %d", good[i], writer.status);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        post(&writer, world, "/api/v2/write", bad[i], "a\n");
        if (writer.status != 401 || !has(&writer, "\"code\":\"unauthorized\""))
            test_fail(__FILE__, __LINE__, "%s was answered %d", bad[i], writer.status);
        EXPECT(has(&writer, "WWW-Authenticate: "));
    }
    post(&writer, world, "/v1/ingest?u=me&p=geheim", "", "a\n");
    EXPECT_EQ(writer.status, 200);
    EXPECT_EQ(world->rows, 1);
    EXPECT_OK(source_world_stop(world));
}

TEST(a_token_is_wanted_where_one_is_set)
{
    source_world_run(check_tokens);
}

/* ---- no room --------------------------------------------------------------------------------- */

/* Would catch a body that is taken without room, and a refusal that loses Telegraf's rows. */
SUSPENDS static void check_full(SourceWorld *world)
{
    Writer writer;

    start(world, "{\"listen\":\"127.0.0.1:0\",\"wait\":\"30ms\"}");
    source_world_set_full(world, true);
    post(&writer, world, "/v1/ingest", NULL, "a\n");
    EXPECT_EQ(writer.status, 429);
    EXPECT(has(&writer, "Retry-After: 1\r\n"));
    EXPECT(has(&writer, "\"retryable\":true"));
    post(&writer, world, "/write", NULL, "a\n");
    EXPECT_EQ(writer.status, 415); /* the format counts before the room */
    EXPECT_EQ(world->rows, 0);
    source_world_set_full(world, false);
    post(&writer, world, "/v1/ingest", NULL, "a\n");
    EXPECT_EQ(writer.status, 200);
    EXPECT_OK(source_world_stop(world));
}

TEST(a_full_channel_is_429)
{
    source_world_run(check_full);
}

SUSPENDS static void check_full_influx(SourceWorld *world)
{
    Writer writer;

    world->source.decode.format = DECODE_INFLUX;
    source_world_start(world, &source_http, "{\"listen\":\"127.0.0.1:0\",\"wait\":\"30ms\"}");
    source_world_wait_said(world, "listens on");
    source_world_set_full(world, true);
    post(&writer, world, "/write", NULL, "m v=1\n");
    EXPECT_EQ(writer.status, 503);
    EXPECT(has(&writer, "Retry-After: 1\r\n"));
    post(&writer, world, "/api/v2/write", NULL, "m v=1\n");
    EXPECT_EQ(writer.status, 429);
    EXPECT(has(&writer, "\"code\":\"too many requests\""));
    EXPECT_OK(source_world_stop(world));
}

TEST(a_full_channel_is_503_for_version_1)
{
    source_world_run(check_full_influx);
}

SUSPENDS static void check_slow(SourceWorld *world)
{
    Writer writer;

    start(world, "{\"listen\":\"127.0.0.1:0\",\"commit_wait\":\"30ms\"}");
    world->is_holding = true;
    post(&writer, world, "/", NULL, "a\n");
    EXPECT_EQ(writer.status, 503);
    EXPECT(has(&writer, "may be in twice"));
    source_world_settle(world, 0); /* nobody is there to hear it */
    EXPECT_OK(source_world_stop(world));
}

TEST(a_commit_that_takes_too_long_is_503)
{
    source_world_run(check_slow);
}

SUSPENDS static void check_given_up(SourceWorld *world)
{
    Writer writer;

    start(world, HERE);
    world->is_holding = true;
    post_later(&writer, world, "/", "a\n");
    source_world_wait_rows(world, 1);
    source_world_settle(world, -ERR_UNAVAILABLE);
    wait_for(&writer);
    EXPECT_EQ(writer.status, 503);
    EXPECT_OK(source_world_stop(world));
}

TEST(rows_that_are_given_back_are_not_called_written)
{
    source_world_run(check_given_up);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Would catch a stop that answers too early, and one that takes more. */
SUSPENDS static void check_stop(SourceWorld *world)
{
    Writer taken, waiting;

    start(world, HERE);
    world->is_holding = true;
    post_later(&taken, world, "/", "a\n");
    source_world_wait_rows(world, 1);
    source_world_set_full(world, true);
    post_later(&waiting, world, "/", "b\n");
    source_world_wait_full(world, 1);
    sl_event_set(&world->stopping);
    wait_for(&waiting);
    EXPECT_EQ(waiting.status, 503);
    EXPECT(has(&waiting, "stopping"));
    EXPECT(!taken.is_back);
    EXPECT(!world->ended.is_set);
    source_world_settle(world, 0);
    wait_for(&taken);
    EXPECT_EQ(taken.status, 200);
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->rows, 1);
}

TEST(a_stop_answers_what_is_taken)
{
    source_world_run(check_stop);
}

#define UNPACKED_BYTES 1000 /* more than a packed body of the test */

static size_t n_packed;

/* Room for what is packed, always. */
SUSPENDS static int wait_room_for_large(Source *source, size_t bytes)
{
    n_packed += bytes < UNPACKED_BYTES;
    return bytes < UNPACKED_BYTES ? sl_checkpoint() : source_world_wait_room(source, bytes);
}

/* Would catch a body that waits its turn to be unpacked, does not hear of the stop, and waits for
 * room then. */
SUSPENDS static void check_stop_packed(SourceWorld *world)
{
    static const SourceHost host = { .put = source_world_put,
                                     .wait_room = wait_room_for_large,
                                     .say = source_world_say,
                                     .lost = source_world_lost };
    AUTO(buf_deinit) Buf packed = { 0 }, text = { 0 };
    Writer writers[LIMIT_DOOR_UNPACKING + 1];

    for (int i = 0; i < 2 * UNPACKED_BYTES; i++)
        buf_add_char(&text, 'a');
    n_packed = 0;
    start(world, HERE);
    world->source.host = &host;
    source_world_set_full(world, true);
    for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
        post_later(&writers[i], world, "/", "");
        writers[i].headers = "Content-Encoding: gzip\r\n";
        buf_reset(&packed);
        writers[i].body = arena_copy(&world->arena, gzipped(&packed, buf_str(&text)));
    }
    source_world_wait_full(world, LIMIT_DOOR_UNPACKING);
    while (n_packed < ARRAY_LEN(writers))
        EXPECT_OK(sl_yield());
    EXPECT_OK(sl_yield());
    sl_event_set(&world->stopping);
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->n_waits, LIMIT_DOOR_UNPACKING);
    for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
        wait_for(&writers[i]);
        EXPECT_EQ(writers[i].status, 503);
        EXPECT(has(&writers[i], "stopping"));
    }
}

TEST(a_stop_refuses_what_waits_to_be_unpacked)
{
    source_world_run(check_stop_packed);
}

/* ---- through a door -------------------------------------------------------------------------- */

SUSPENDS static void check_door(SourceWorld *world)
{
    DoorCall call = { .body = STR_C("a\n\xff\n"), .is_awaited = true, .measurement = STR_C("m") };
    Doors *doors = doors_new();

    world->source.doors = doors;
    world->source.decode.format = DECODE_LINES;
    source_world_start(world, &source_http, "{}");
    source_world_wait_said(world, "engine's API");
    EXPECT_OK(doors_offer(doors, STR_C("readings"), &call));
    EXPECT_EQ(call.accepted, 1);
    EXPECT_EQ(call.refused, 1);
    EXPECT_EQ(call.n_refusals, 1);
    EXPECT_STR(buf_str(&world->text), STR_C("m {\"line\":\"a\"}\n! 2 parse bad_utf8: \xff\n"));
    door_call_deinit(&call);
    EXPECT_OK(source_world_stop(world));
    EXPECT_ERR(doors_offer(doors, STR_C("readings"), &call), -ERR_UNAVAILABLE, "stopping");

    source_world_start(world, &source_http, "{}"); /* and again */
    source_world_wait_said(world, "engine's API");
    EXPECT_OK(sl_yield());
    EXPECT_OK(doors_offer(doors, STR_C("readings"), &call));
    door_call_deinit(&call);
    EXPECT_OK(source_world_stop(world));
    doors_free(doors);
    world->source.doors = NULL;
    source_world_start(world, &source_http, "{}");
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "address to listen on");
}

TEST(a_door_leads_into_the_pipeline)
{
    source_world_run(check_door);
}

/* ---- what else is asked ---------------------------------------------------------------------- */

SUSPENDS static void ask(Writer *writer, SourceWorld *world, const char *request)
{
    *writer = (Writer){ .world = world, .request = request, .body = str_from("", 0) };
    EXPECT_OK(write_fiber(writer));
}

#define QUERY(q) "GET /query?q=" q " HTTP/1.1\r\nHost: x\r\n\r\n"

SUSPENDS static void check_others(SourceWorld *world)
{
    Writer writer;

    start(world, HERE);
    ask(&writer, world, "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(writer.status, 204);
    EXPECT(has(&writer, "X-Influxdb-Version: 1.8."));
    ask(&writer, world, "GET /ping?verbose=true HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(writer.status, 200);
    EXPECT(has(&writer, "{\"version\":\"1.8."));
    ask(&writer, world, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(writer.status, 200);
    EXPECT(has(&writer, "\"status\":\"pass\""));
    ask(&writer, world,
        "POST /query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        "Content-Length: 32\r\n\r\nq=CREATE+DATABASE+%22telegraf%22");
    EXPECT_EQ(writer.status, 200);
    EXPECT(has(&writer, "{\"results\":[{\"statement_id\":0}]}"));
    ask(&writer, world, QUERY("show%20databases%3B%20SELECT%201"));
    EXPECT(has(&writer, "\"values\":[[\"readings\"]]}]},{\"statement_id\":1,\"error\":\"this takes "
                        "rows in"));
    ask(&writer, world, QUERY(""));
    EXPECT_EQ(writer.status, 200);
    ask(&writer, world, "GET /query HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(writer.status, 400);
    EXPECT(has(&writer, "{\"error\":\"missing required parameter"));
    ask(&writer, world, "GET /write HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(writer.status, 405);
    ask(&writer, world, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(writer.status, 404);
    post(&writer, world, "/v1/ingest/other", NULL, "a\n");
    EXPECT_EQ(writer.status, 404);
    EXPECT(has(&writer, "there are: readings"));
    EXPECT_OK(source_world_stop(world));
}

TEST(clients_start_up)
{
    source_world_run(check_others);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

#if SL_HAVE_OPENSSL
/* Post LINE over TLS with OPTS; what is answered first, or nothing at all. */
SUSPENDS static Str post_secretly(SourceWorld *world, const TlsContextOpts *opts, const char *line)
{
    char *answer = arena_zalloc(&world->arena, ANSWER_BYTES);
    AUTO(stream_close) Stream *stream = NULL;
    AUTO(buf_deinit) Buf out = { 0 };
    TlsContext *context = NULL;
    ssize_t n = 0;
    int r;

    EXPECT_OK(tls_context_new(opts, &context));
    buf_printf(&out, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", strlen(line),
               line);
    r = tls_connect(context, dial(world), "127.0.0.1", &stream);
    if (r == 0)
        r = stream_write_all(stream, out.data, out.len);
    if (r == 0)
        n = stream_read(stream, answer, ANSWER_BYTES - 1);
    if (r < 0 || n < 0)
        err_take(r < 0 ? r : (int) n, NULL);
    stream_close(TAKE(stream));
    tls_context_free(context);
    return str_from_c(answer);
}

/* Would catch a listener that speaks TLS and plain, or takes writers whom nobody vouches for. */
SUSPENDS static void check_tls(SourceWorld *world)
{
    TlsContextOpts unknown = { .is_insecure = true };
    TlsContextOpts vouched = { .is_insecure = true,
                               .cert_file = "cert.pem",
                               .key_file = "key.pem" };
    Writer plain;

    start(world, "{\"listen\":\"127.0.0.1:0\",\"tls_cert\":\"cert.pem\",\"tls_key\":\"key.pem\","
                 "\"tls_ca\":\"cert.pem\"}");
    post(&plain, world, "/", NULL, "plain\n");
    EXPECT_EQ(plain.status, 0);
    EXPECT(!str_contains(post_secretly(world, &unknown, "stranger\n"), STR_C("200 OK")));
    EXPECT(str_starts(post_secretly(world, &vouched, "known\n"), STR_C("HTTP/1.1 200 OK")));
    EXPECT_STR(buf_str(&world->text), STR_C("rows {\"line\":\"known\"}\n"));
    EXPECT_OK(source_world_stop(world));
}

TEST(writers_may_be_encrypted)
{
    EXPECT(make_certificate());
    source_world_run(check_tls);
}
#endif

TEST_MAIN()
