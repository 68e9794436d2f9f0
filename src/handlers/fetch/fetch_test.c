/*
 * fetch against a server of our own that behaves and misbehaves as APIs do: what becomes of each
 * answer, of each failure, of secrets; how sources run beside one another; pages; retries.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/test.h"
#include "net/http_client.h"
#include "net/http_server.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

#include <errno.h>
#include <stdlib.h>

extern const Handler handler_fetch;

/* ---- the server ------------------------------------------------------------------------------ */

typedef struct World {
    void (*check)(struct World *world);
    HttpServer *server;
    HttpClient *client;
    char base[100];
    size_t calls;
    size_t now;      /* requests in progress */
    size_t most;     /* at once */
    char seen[2000]; /* the last request: target, then headers that matter */
} World;

static void answer(HttpResponse *response, const char *type, const char *body, size_t len)
{
    response->content_type = str_from_c(type);
    buf_add(&response->body, body, len);
}

#define JSON_ANSWER(response, text) \
    answer((response), "application/json", "" text, sizeof(text) - 1)

typedef struct Canned {
    const char *path;
    const char *type;
    const char *body;
    size_t len;
} Canned;

#define CANNED(path, type, text)           \
    {                                      \
        path, type, text, sizeof(text) - 1 \
    }

static const Canned canned[] = {
    CANNED("/weather", "application/json",
           "{\"current\":{\"temperature\":21.50,\"wind\":3,\"gust\":null},"
           "\"big\":12345678901234567890,\"hours\":[1.10,2.20,3.30],\"ok\":true,"
           "\"at\":\"2026-11-21T10:00\",\"price\":\"19.90\"}"),
    CANNED("/rates", "application/json",
           "{\"base\":\"EUR\",\"rates\":{\"USD\":1.0810,\"JPY\":163.10,\"BTC\":0.00001050}}"),
    CANNED("/list", "application/json",
           "{\"items\":[{\"id\":1,\"name\":\"one\"},{\"id\":2,\"name\":null},{\"id\":3}]}"),
    CANNED("/root-list", "application/json",
           "[{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"b\",\"more\":[1,2]}]"),
    CANNED("/empty-list", "application/json", "{\"items\":[]}"),
    CANNED("/html", "text/html", "<!DOCTYPE html>\n<html>\x1b[31mlog in</html>"),
    CANNED("/bom", "application/json", "\xef\xbb\xbf{\"a\":1}"),
    CANNED("/utf16le", "application/json", "\xff\xfe{\0\"\0a\0\"\0:\0\"\0\xe9\0\"\0}\0"),
    CANNED("/utf16be", "application/json",
           "\0{\0\"\0a\0\"\0:\0"
           "1\0}"),
    CANNED("/latin1", "application/json; charset=iso-8859-1", "{\"a\":\"\xe9\"}"),
    CANNED("/garbage", "application/json", "{\"a\":1} trailing"),
    CANNED("/nan", "application/json", "{\"a\":NaN,\"b\":-Infinity,\"c\":\"NaN\"}"),
    CANNED("/twice", "application/json", "{\"a\":1,\"a\":2}"),
    CANNED("/surrogate", "application/json", "{\"a\":\"x\\ud800y\",\"b\":\"\\ud83d\\ude00\"}"),
    CANNED("/bytes", "application/json", "{\"a\":\"x\xffy\"}"),
    CANNED("/single", "application/json", "{'a':1}"),
    CANNED("/cut", "application/json", "{\"a\":"),
    CANNED("/scalar", "application/json", "42"),
    CANNED("/lie", "text/plain", "{\"a\":7}"),
};

static bool answer_canned(HttpRequest *request, HttpResponse *response)
{
    for (size_t i = 0; i < ARRAY_LEN(canned); i++) {
        if (!str_eq_c(request->path, canned[i].path))
            continue;
        answer(response, canned[i].type, canned[i].body, canned[i].len);
        return true;
    }
    return false;
}

static uint64_t number_in(HttpRequest *request, const char *name, uint64_t fallback)
{
    Str rest = request->query;

    while (rest.len > 0) {
        Str value, key = str_cut(str_cut(rest, '&', &rest), '=', &value);

        if (str_eq_c(key, name))
            (void) str_to_u64(value, UINT64_MAX, &fallback);
    }
    return fallback;
}

/* Five items, two on a page, by any way to page. */
static void answer_page(World *world, HttpRequest *request, HttpResponse *response)
{
    uint64_t page = number_in(request, "page", number_in(request, "cursor", 1));
    uint64_t from = number_in(request, "offset", (page - 1) * 2);
    char link[300];

    buf_add_c(&response->body, "{\"items\":[");
    for (uint64_t id = from + 1; id <= from + 2 && id <= 5; id++)
        buf_printf(&response->body, "%s{\"id\":%llu}", id > from + 1 ? "," : "",
                   (unsigned long long) id);
    buf_printf(&response->body, "],\"next\":");
    if (page < 3)
        buf_printf(&response->body, "\"%llu\",\"next_url\":\"/pages?page=%llu\"}",
                   (unsigned long long) page + 1, (unsigned long long) page + 1);
    else
        buf_add_c(&response->body, "null}");
    if (page < 3) {
        (void) snprintf(link, sizeof(link), "<%s/pages?page=%llu>; rel=\"next\"", world->base,
                        (unsigned long long) page + 1);
        http_response_header(response, "Link", str_from_c(link));
    }
}

static void remember(World *world, HttpRequest *request)
{
    static const char *const names[] = { "authorization", "x-api-key", "content-type", "accept",
                                         "x-more" };
    size_t len = 0;

    len += (size_t) snprintf(world->seen, sizeof(world->seen), "%.*s %.*s\n",
                             (int) request->method_text.len, request->method_text.data,
                             (int) request->target.len, request->target.data);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        Str value = http_request_header(request, names[i]);

        if (value.data)
            len += (size_t) snprintf(world->seen + len, sizeof(world->seen) - len, "%s: %.*s\n",
                                     names[i], (int) value.len, value.data);
    }
    (void) snprintf(world->seen + len, sizeof(world->seen) - len, "%.*s", (int) request->body.len,
                    request->body.data ? request->body.data : "");
}

SUSPENDS static int respond(World *world, HttpRequest *request, HttpResponse *response)
{
    uint64_t status = 0;
    Str path = request->path;

    remember(world, request);
    response->content_type = (Str) STR("application/json");
    if (answer_canned(request, response))
        return 0;
    if (str_eq_c(path, "/slow"))
        return sl_sleep_ms((int64_t) number_in(request, "ms", 60000));
    if (str_eq_c(path, "/wait")) {
        int r = sl_sleep_ms((int64_t) number_in(request, "ms", 20));

        JSON_ANSWER(response, "{\"a\":1}");
        return r;
    }
    if (str_eq_c(path, "/flaky")) {
        JSON_ANSWER(response, "{\"a\":1}");
        if (world->calls <= number_in(request, "n", 1))
            response->status = (int) number_in(request, "status", 503);
        if (number_in(request, "after", 99999) != 99999)
            http_response_header(response, "Retry-After",
                                 number_in(request, "after", 0) == 0 ? STR_C("0") : STR_C("3600"));
        return 0;
    }
    if (str_eq_c(path, "/limited")) {
        http_response_header(response, "X-RateLimit-Remaining", STR_C("0"));
        http_response_header(response, "X-RateLimit-Reset", STR_C("0"));
        JSON_ANSWER(response, "{\"a\":1}");
        response->status = world->calls <= 1 ? 403 : 200;
        return 0;
    }
    if (str_eq_c(path, "/pages")) {
        answer_page(world, request, response);
        return 0;
    }
    if (str_eq_c(path, "/loop")) {
        http_response_header(response, "Link", STR_C("</loop>; rel=next"));
        JSON_ANSWER(response, "[{\"id\":1}]");
        return 0;
    }
    if (str_eq_c(path, "/deep")) {
        for (size_t i = 0; i < 100000; i++)
            buf_add_char(&response->body, '[');
        return 0;
    }
    if (str_eq_c(path, "/many")) {
        buf_add_char(&response->body, '[');
        for (size_t i = 0; i < number_in(request, "n", 3000); i++)
            buf_printf(&response->body, "%s{\"id\":%zu,\"v\":%zu.50}", i > 0 ? "," : "", i, i);
        buf_add_char(&response->body, ']');
        return 0;
    }
    if (str_eq_c(path, "/echo")) {
        buf_add_c(&response->body, "\"");
        buf_add_c(&response->body, "not json: ");
        buf_add_c(&response->body, world->seen);
        return 0;
    }
    if (str_to_u64(str_sub(path, 1, 3), 999, &status) == 0) {
        response->status = (int) status;
        if (status != 204)
            buf_add_c(&response->body, "the reason\n");
        return 0;
    }
    response->status = 404;
    return 0;
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    World *world = ctx;
    int r;

    world->calls++;
    world->now++;
    if (world->now > world->most)
        world->most = world->now;
    r = respond(world, request, response);
    world->now--;
    return r;
}

SUSPENDS static int world_main(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpServerOpts opts = { .ctx = world, .on_request = on_request };
    HttpClientOpts client = { 0 };
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

#define FETCH_TEST(name)                                       \
    static void name##_check(World *world);                    \
    TEST(name)                                                 \
    {                                                          \
        World world = { .check = name##_check };               \
                                                               \
        EXPECT_OK(sl_run(world_main, &world, .stall_ms = -1)); \
    }                                                          \
    static void name##_check(World *world)

/* ---- the task -------------------------------------------------------------------------------- */

typedef struct FakeTask {
    Task task;
    HttpClient *client;
    Buf log;
    Buf progress;
} FakeTask;

static HttpClient *fake_http(Task *task)
{
    return CONTAINER_OF(task, FakeTask, task)->client;
}

static void fake_log(Task *task, Str line)
{
    FakeTask *fake = CONTAINER_OF(task, FakeTask, task);

    buf_add_str(&fake->log, line);
    buf_add_char(&fake->log, '\n');
}

static void fake_progress(Task *task, double fraction, Str message)
{
    FakeTask *fake = CONTAINER_OF(task, FakeTask, task);

    buf_printf(&fake->progress, "%.2f %.*s\n", fraction, (int) message.len, message.data);
}

static const TaskOps ops = { .http = fake_http, .log = fake_log, .progress = fake_progress };

/* What came of one run. */
typedef struct Outcome {
    Arena arena;
    Buf result;
    JsonDoc doc;
    Json rows;
    FakeTask fake;
} Outcome;

static void outcome_deinit(Outcome *outcome)
{
    buf_deinit(&outcome->result);
    buf_deinit(&outcome->fake.log);
    buf_deinit(&outcome->fake.progress);
    arena_deinit(&outcome->arena);
}
DEFINE_AUTO_VALUE(Outcome, outcome_deinit);

/* ARGS with each %s as the server's address; quotes are written as ' for the reader's sake. */
static Str expand(Arena *arena, const World *world, const char *args)
{
    AUTO(buf_deinit) Buf text = { 0 };

    for (const char *c = args; *c; c++) {
        if (c[0] == '%' && c[1] == 's') {
            buf_add_c(&text, world->base);
            c++;
        } else if (c[0] == '\\' && c[1] == '\'') {
            buf_add_char(&text, '\'');
            c++;
        } else {
            buf_add_char(&text, *c == '\'' ? '"' : *c);
        }
    }
    return arena_copy(arena, buf_str(&text));
}

SUSPENDS static int run(World *world, const char *args, Outcome *outcome)
{
    JsonWriter writer;
    void *bound;
    int r;

    *outcome = (Outcome){ 0 };
    arena_init(&outcome->arena, 0);
    outcome->fake = (FakeTask){ .task = { .ops = &ops,
                                          .job_id = "run",
                                          .type = "fetch",
                                          .attempt = 1,
                                          .arena = &outcome->arena,
                                          .is_private_allowed = true },
                                .client = world->client };
    world->calls = 0;
    world->most = 0;
    writer = JSON_WRITER(&outcome->result);
    bound = arena_zalloc(&outcome->arena, handler_fetch.args->struct_bytes);
    r = schema_decode_text(&outcome->arena, handler_fetch.args,
                           expand(&outcome->arena, world, args), bound, NULL);
    if (r == 0)
        r = handler_fetch.run(&outcome->fake.task, bound, &writer);
    if (r == 0)
        EXPECT_OK(json_parse(&outcome->arena, buf_str(&outcome->result), &outcome->doc));
    outcome->rows = json_find(outcome->doc.root, "rows");
    if (test_has_failed())
        fprintf(stderr, "    %s\n", args);
    return r;
}

/* The text of cell NAME of row I, as JSON. */
static Str cell(const Outcome *outcome, size_t i, const char *name)
{
    return json_raw(&outcome->doc, json_find(json_at(outcome->rows, i), name));
}

#define EXPECT_CELL(outcome, i, name, text) EXPECT_STR(cell((outcome), (i), (name)), STR_C(text))

/* One source that must fail; its error must have WORDS. The run fails as a whole. */
SUSPENDS static void expect_failure(World *world, const char *args, const char *words)
{
    AUTO(outcome_deinit) Outcome outcome;
    int r = run(world, args, &outcome);

    EXPECT_ERR(r, -ERR_JOB_FAILED, words);
    EXPECT(outcome.fake.task.is_final);
    if (test_has_failed())
        fprintf(stderr, "    %s\n", args);
}

/* ---- what is taken --------------------------------------------------------------------------- */

TEST(the_table_is_sound)
{
    EXPECT_OK(schema_check(handler_fetch.args));
}

/* Would catch digits lost, a type guessed wrong, null and missing taken for one another. */
FETCH_TEST(fields_keep_what_was_written)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world,
                  "{'sources':[{'name':'w','url':'%s/weather','fields':{"
                  "'t':'current.temperature','wind':{'path':'.current.wind','unit':'m/s'},"
                  "'big':'big','gust':'current.gust','hour':'hours[1]','last':'hours[-1]',"
                  "'hours':'hours','each':'hours[]','ok':'ok','gone':'current.rain',"
                  "'at':{'path':'at','type':'time'},'price':{'path':'price','type':'number'},"
                  "'text':{'path':'current.temperature','type':'text'},"
                  "'ptr':'/current/wind','jp':'$.hours[0]'}}]}",
                  &outcome));
    EXPECT_EQ(json_len(outcome.rows), 1);
    EXPECT_CELL(&outcome, 0, "source", "\"w\"");
    EXPECT_CELL(&outcome, 0, "t", "21.50");
    EXPECT_CELL(&outcome, 0, "wind", "3");
    EXPECT_CELL(&outcome, 0, "big", "12345678901234567890");
    EXPECT_CELL(&outcome, 0, "gust", "null");
    EXPECT_CELL(&outcome, 0, "hour", "2.20");
    EXPECT_CELL(&outcome, 0, "last", "3.30");
    EXPECT_CELL(&outcome, 0, "hours", "[1.10,2.20,3.30]");
    EXPECT_CELL(&outcome, 0, "each", "[1.10,2.20,3.30]");
    EXPECT_CELL(&outcome, 0, "ok", "true");
    EXPECT_CELL(&outcome, 0, "gone", "null");
    EXPECT_CELL(&outcome, 0, "at", "\"2026-11-21T10:00:00Z\"");
    EXPECT_CELL(&outcome, 0, "price", "19.90");
    EXPECT_CELL(&outcome, 0, "text", "\"21.50\"");
    EXPECT_CELL(&outcome, 0, "ptr", "3");
    EXPECT_CELL(&outcome, 0, "jp", "1.10");
    EXPECT_CELL(&outcome, 0, "error", "\"field_missing: gone (nothing at current.rain)\"");
    EXPECT(str_contains(buf_str(&outcome.fake.log), STR_C("warning: w: gone (current.rain) is "
                                                          "missing in 1 of 1 rows")));
    EXPECT(!outcome.fake.task.is_partial);
}

/* Would catch rows out of order, items lost, and columns that differ between sources. */
FETCH_TEST(each_gives_rows)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world,
                  "{'sources':[{'name':'l','url':'%s/list','each':'items','fields':{'id':'id',"
                  "'name':'name'}},{'name':'r','url':'%s/rates','each':'rates{}',"
                  "'fields':{'currency':'key','rate':'value'}},{'name':'e',"
                  "'url':'%s/empty-list','each':'items[]','fields':{'id':'id'}}]}",
                  &outcome));
    EXPECT_EQ(json_len(outcome.rows), 6);
    EXPECT_CELL(&outcome, 0, "id", "1");
    EXPECT_CELL(&outcome, 0, "name", "\"one\"");
    EXPECT_CELL(&outcome, 0, "rate", "null");
    EXPECT_CELL(&outcome, 1, "name", "null");
    EXPECT_CELL(&outcome, 2, "id", "3");
    EXPECT_CELL(&outcome, 2, "error", "null"); /* a sparse list is no mistake */
    EXPECT_CELL(&outcome, 3, "currency", "\"USD\"");
    EXPECT_CELL(&outcome, 3, "rate", "1.0810");
    EXPECT_CELL(&outcome, 5, "rate", "0.00001050");
    EXPECT_EQ(json_i64_or(json_find(outcome.doc.root, "row_count"), 0), 6);
}

/* Would catch a plain URL without fields that shows nothing. */
FETCH_TEST(columns_are_found)
{
    AUTO(outcome_deinit) Outcome outcome, scalar, entries;

    EXPECT_OK(run(world, "{'url':'%s/root-list'}", &outcome));
    EXPECT_EQ(json_len(outcome.rows), 2);
    EXPECT_CELL(&outcome, 1, "id", "2");
    EXPECT_CELL(&outcome, 0, "name", "\"a\"");
    EXPECT_OK(run(world, "{'url':'%s/scalar'}", &scalar));
    EXPECT_CELL(&scalar, 0, "value", "42");
    EXPECT_OK(run(world, "{'url':'%s/rates','each':'rates{}'}", &entries));
    EXPECT_CELL(&entries, 1, "key", "\"JPY\"");
    EXPECT_CELL(&entries, 1, "value", "163.10");
}

/* Would catch a batch of rows that is lost when the next one begins. */
FETCH_TEST(many_rows)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world,
                  "{'sources':[{'name':'a','url':'%s/wait','fields':{'id':'a'}},"
                  "{'name':'b','url':'%s/many?n=3000','fields':{'id':'id','v':'v'}}]}",
                  &outcome));
    EXPECT_EQ(json_len(outcome.rows), 3001);
    EXPECT_CELL(&outcome, 0, "source", "\"a\"");
    EXPECT_CELL(&outcome, 3000, "v", "2999.50");
}

/* ---- what is forgiven, what is not ----------------------------------------------------------- */

FETCH_TEST(odd_bodies)
{
    static const struct {
        const char *path;
        const char *cell; /* of `a` */
        const char *warning;
    } taken[] = {
        { "/bom", "1", NULL },
        { "/utf16le", "\"\xc3\xa9\"", NULL },
        { "/utf16be", "1", NULL },
        { "/latin1", "\"\xc3\xa9\"", NULL },
        { "/nan", "null", "taken as null (2 times)" },
        { "/twice", "2", NULL },
        { "/surrogate", "\"x\xef\xbf\xbdy\"", "replaced by U+FFFD (1 times)" },
        { "/bytes", "\"x\xef\xbf\xbdy\"", "replaced by U+FFFD (1 times)" },
        { "/lie", "7", NULL },
    };

    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        AUTO(outcome_deinit) Outcome outcome;
        char args[200];

        (void) snprintf(args, sizeof(args), "{'url':'%%s%s','field':{'a':'a'}}", taken[i].path);
        EXPECT_OK(run(world, args, &outcome));
        EXPECT_STR(cell(&outcome, 0, "a"), str_from_c(taken[i].cell));
        EXPECT(!taken[i].warning ||
               str_contains(buf_str(&outcome.fake.log), str_from_c(taken[i].warning)));
        if (test_has_failed())
            fprintf(stderr, "    %s\n", taken[i].path);
    }
    expect_failure(world, "{'url':'%s/garbage'}", "not_json: line 1, column 9");
    expect_failure(world, "{'url':'%s/single'}", "not_json: ");
    expect_failure(world, "{'url':'%s/cut'}", "not_json: ");
    expect_failure(world, "{'url':'%s/deep'}", "not_json: ");
    expect_failure(world, "{'url':'%s/html'}",
                   "200, text/html: \"<!DOCTYPE html> <html> [31mlog in</html>\"");
    expect_failure(world, "{'url':'%s/200x'}", "not_json: ");
}

FETCH_TEST(nothing_to_read)
{
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world, "{'url':'%s/204','field':{'a':'a'}}", &outcome));
    EXPECT_EQ(json_i64_or(json_find(outcome.doc.root, "row_count"), -1), 0);
    EXPECT(str_contains(buf_str(&outcome.fake.log), STR_C("answered 204")));
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Would catch one kind of failure told as another. */
FETCH_TEST(failures_have_kinds)
{
    expect_failure(world, "{'url':'%s/404'}", "status: answered 404 Not Found: the reason");
    expect_failure(world, "{'url':'%s/206'}", "status: answered 206");
    expect_failure(world, "{'url':'http://127.0.0.1:1/','retries':0}", "refused: ");
    expect_failure(world, "{'url':'http://no-such-name.invalid/','retries':0}", "dns: ");
    expect_failure(world, "{'url':'%s/slow','retries':0,'attempt_timeout':'30ms'}", "timeout: ");
    expect_failure(world, "{'url':'%s/slow','timeout':'30ms'}",
                   "timeout: the timeout of 30ms is over");
    expect_failure(world, "{'url':'%s/slow','deadline':'30ms'}",
                   "timeout: the deadline of 30ms is over");
    expect_failure(world, "{'url':'%s/weather','fields':{'a':{'path':'b.c','required':true}}}",
                   "field_missing: a: there is nothing at b.c");
    expect_failure(world,
                   "{'url':'%s/weather','fields':{'a':{'path':'current','type':'number',"
                   "'required':true}}}",
                   "field_missing: a must be a number");
    expect_failure(world, "{'url':'%s/weather','each':'nowhere','field':{'a':'a'}}",
                   "field_missing: there are no items at nowhere");
}

/* Would catch TLS trouble told as a refused connection. */
FETCH_TEST(plain_servers_do_not_speak_tls)
{
    AUTO(outcome_deinit) Outcome outcome;
    char args[200];

    (void) snprintf(args, sizeof(args), "{'url':'https://%s/','retries':0}", world->base + 7);
    EXPECT_ERR(run(world, args, &outcome), -ERR_JOB_FAILED, "tls: ");
}

/* Would catch a failed source that takes the others with it, or that leaves no trace. */
FETCH_TEST(some_fail)
{
    AUTO(outcome_deinit) Outcome outcome, strict;
    static const char args[] =
        "{'sources':[{'name':'bad','url':'%s/500','field':{'a':'a'},'retries':0},"
        "{'name':'good','url':'%s/wait','field':{'a':'a'}}]";
    char text[400];
    Json error;

    (void) snprintf(text, sizeof(text), "%s}", args);
    EXPECT_OK(run(world, text, &outcome));
    EXPECT(outcome.fake.task.is_partial);
    EXPECT_EQ(json_len(outcome.rows), 2);
    EXPECT_CELL(&outcome, 0, "source", "\"bad\"");
    EXPECT_CELL(&outcome, 0, "a", "null");
    EXPECT_CELL(&outcome, 0, "error", "\"status: answered 500 Internal Server Error: the reason\"");
    EXPECT_CELL(&outcome, 1, "a", "1");
    EXPECT_CELL(&outcome, 1, "error", "null");
    error = json_at(json_find(outcome.doc.root, "errors"), 0);
    EXPECT_STR(json_str_or(json_find(error, "kind"), (Str){ 0 }), STR_C("status"));
    EXPECT_EQ(json_i64_or(json_find(error, "status"), 0), 500);
    EXPECT_EQ(json_i64_or(json_find(outcome.doc.root, "failed"), 0), 1);

    (void) snprintf(text, sizeof(text), "%s,'strict':true}", args);
    EXPECT_ERR(run(world, text, &strict), -ERR_JOB_FAILED, "1 of 2 sources failed: bad: status");
}

/* ---- retries --------------------------------------------------------------------------------- */

FETCH_TEST(retries)
{
    AUTO(outcome_deinit) Outcome outcome, limited;

    EXPECT_OK(run(world, "{'url':'%s/flaky?n=2','retries':2}", &outcome));
    EXPECT_EQ(world->calls, 3);
    EXPECT_OK(run(world, "{'url':'%s/limited','retries':1}", &limited));
    EXPECT_EQ(world->calls, 2);
    expect_failure(world, "{'url':'%s/flaky?n=9','retries':1}",
                   "status: answered 503 Service Unavailable: {\"a\":1} (2 attempts)");
    EXPECT_EQ(world->calls, 2);
    expect_failure(world, "{'url':'%s/404','retries':5}", "404");
    EXPECT_EQ(world->calls, 1);
    expect_failure(world, "{'url':'%s/flaky?n=9&status=429&after=1','retries':5}",
                   "asks to wait longer than retry_after_max allows");
    EXPECT_EQ(world->calls, 1);
    expect_failure(world, "{'url':'%s/flaky?n=9','method':'POST','retries':5}", "503");
    EXPECT_EQ(world->calls, 1);
    expect_failure(world, "{'url':'%s/flaky?n=9','method':'POST','retries':1,'retry_unsafe':true}",
                   "503");
    EXPECT_EQ(world->calls, 2);
    expect_failure(world,
                   "{'url':'%s/flaky?n=9&after=1','retries':5,'timeout':'300ms',"
                   "'retry_after_max':'1h'}",
                   "no time is left to wait 1h");
}

/* ---- side by side ---------------------------------------------------------------------------- */

FETCH_TEST(sources_run_at_once)
{
    AUTO(outcome_deinit) Outcome outcome, sequential, host;
    static const char args[] =
        "{'sources':[{'url':'%s/wait?ms=20','field':{'a':'a'}},"
        "{'url':'%s/wait?ms=20','field':{'a':'a'}},{'url':'%s/wait?ms=20','field':{'a':'a'}}]";
    char text[400];

    (void) snprintf(text, sizeof(text), "%s}", args);
    EXPECT_OK(run(world, text, &outcome));
    EXPECT_EQ(world->most, 3);
    EXPECT_CELL(&outcome, 1, "source", "\"127.0.0.1-2\"");
    EXPECT(str_starts(json_str_or(json_find(outcome.doc.root, "summary"), (Str){ 0 }),
                      STR_C("3 of 3 sources in 0.")));
    EXPECT(str_contains(buf_str(&outcome.fake.progress), STR_C("1.00 3 of 3 sources in ")));
    EXPECT(json_i64_or(json_find(outcome.doc.root, "sequential_ms"), 0) >= 60);
    (void) snprintf(text, sizeof(text), "%s,'sequential':true}", args);
    EXPECT_OK(run(world, text, &sequential));
    EXPECT_EQ(world->most, 1);
    (void) snprintf(text, sizeof(text), "%s,'per_host':2}", args);
    EXPECT_OK(run(world, text, &host));
    EXPECT_EQ(world->most, 2);
}

/* ---- requests -------------------------------------------------------------------------------- */

FETCH_TEST(requests_are_as_asked)
{
    AUTO(outcome_deinit) Outcome outcome, post, key;

    EXPECT_OK(run(world,
                  "{'url':'%s/weather?a=1#f','params':{'q':'x y&','n':52.520,'l':['a','b']},"
                  "'headers':{'X-More':'yes'},'auth':{'user':'me','password':'secret'}}",
                  &outcome));
    EXPECT_C(world->seen, "GET /weather?a=1&q=x%20y%26&n=52.520&l=a&l=b\n"
                          "authorization: Basic bWU6c2VjcmV0\n"
                          "accept: application/json, */*;q=0.5\nx-more: yes\n");
    EXPECT_OK(run(world, "{'url':'%s/weather','body':{'b':1.0},'bearer':'tok-en'}", &post));
    EXPECT_C(world->seen, "POST /weather\nauthorization: Bearer tok-en\n"
                          "content-type: application/json\n"
                          "accept: application/json, */*;q=0.5\n{\"b\":1.0}");
    EXPECT_OK(run(world,
                  "{'sources':[{'url':'%s/weather','auth':{'api_key':{'header':'X-Api-Key',"
                  "'value':'k-1'}}}]}",
                  &key));
    EXPECT(strstr(world->seen, "x-api-key: k-1\n"));
}

/* Would catch a key in a row, a log line, a progress line, a result or an error. */
FETCH_TEST(secrets_stay_secret)
{
    static const char *const secrets[] = { "s3cr3t", "p4ssw0rd", "t0k3n", "qu3ry-k3y", "h34d3r" };
    AUTO(outcome_deinit) Outcome outcome;

    EXPECT_OK(run(world,
                  "{'sources':[{'name':'a','url':'%s/echo?api_key=qu3ry-k3y','field':{'a':'a'},"
                  "'auth':{'user':'u','password':'p4ssw0rd'},'headers':{'X-Api-Key':'h34d3r'}},"
                  "{'name':'b','url':'%s/echo','field':{'a':'a'},'auth':{'bearer':'t0k3n'}},"
                  "{'name':'c','url':'%s/echo','field':{'a':'a'},'auth':{'api_key':{'query':'k',"
                  "'value':'s3cr3t'}}},"
                  "{'name':'d','url':'http://127.0.0.1:1/?token=s3cr3t','field':{'a':'a'},"
                  "'retries':0},{'name':'ok','url':'%s/weather','field':{'a':'ok'}}]}",
                  &outcome));
    EXPECT_EQ(json_i64_or(json_find(outcome.doc.root, "failed"), 0), 4);
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        Str secret = str_from_c(secrets[i]);

        EXPECT(!str_contains(buf_str(&outcome.result), secret));
        EXPECT(!str_contains(buf_str(&outcome.fake.log), secret));
        EXPECT(!str_contains(buf_str(&outcome.fake.progress), secret));
    }
    EXPECT(str_contains(buf_str(&outcome.result), STR_C("***")));
}

/* ---- pages ----------------------------------------------------------------------------------- */

SUSPENDS static void expect_pages(World *world, const char *path, const char *pagination,
                                  size_t rows, size_t calls)
{
    AUTO(outcome_deinit) Outcome outcome;
    char args[400];

    (void) snprintf(args, sizeof(args),
                    "{'url':'%%s%s','each':'items','field':{'id':'id'},'pagination':%s}", path,
                    pagination);
    EXPECT_OK(run(world, args, &outcome));
    EXPECT_EQ(json_len(outcome.rows), rows);
    EXPECT_EQ(world->calls, calls);
    if (rows > 0)
        EXPECT_EQ(json_i64_or(json_find(json_at(outcome.rows, rows - 1), "id"), 0), (int64_t) rows);
    if (test_has_failed())
        fprintf(stderr, "    %s %s\n", path, pagination);
}

/* Would catch pages lost, repeated, or asked for without end. */
FETCH_TEST(pages)
{
    AUTO(outcome_deinit) Outcome outcome;

    expect_pages(world, "/pages", "{'style':'link'}", 5, 3);
    expect_pages(world, "/pages", "{'style':'cursor','next':'next'}", 5, 3);
    expect_pages(world, "/pages", "{'style':'cursor','next':'next_url'}", 5, 3);
    expect_pages(world, "/pages?page=1", "{'style':'page','size':2}", 5, 3);
    expect_pages(world, "/pages", "{'style':'page'}", 5, 4);
    expect_pages(world, "/pages", "{'style':'offset','size':2}", 5, 3);
    expect_pages(world, "/pages", "{'style':'page','limit':2}", 4, 2);
    expect_pages(world, "/pages", "{'style':'none'}", 2, 1);
    EXPECT_OK(run(world,
                  "{'sources':[{'name':'l','url':'%s/loop','field':{'id':'id'},"
                  "'pagination':{'style':'link'}},{'url':'%s/weather','field':{'ok':'ok'}}]}",
                  &outcome));
    EXPECT_CELL(&outcome, 0, "id", "1");
    EXPECT_CELL(&outcome, 1, "error", "\"pages: page 1 points at itself as the next one\"");
}

/* ---- arguments ------------------------------------------------------------------------------- */

SUSPENDS static void expect_refused(World *world, const char *args, const char *words)
{
    AUTO(outcome_deinit) Outcome outcome;
    int r = run(world, args, &outcome);

    EXPECT_ERR(r, -ERR_INVALID, words);
    EXPECT_EQ(world->calls, 0);
    if (test_has_failed())
        fprintf(stderr, "    %s\n", args);
}

FETCH_TEST(wrong_arguments)
{
    expect_refused(world, "{}", "needs a url, or sources");
    expect_refused(world, "{'url':'%s/','sources':[{'url':'%s/'}]}", "not both");
    expect_refused(world, "{'sources':[{'url':'%s/'}],'params':{'a':'b'}}", "belong into each");
    expect_refused(world, "{'sources':[{'name':'x'}]}", "sources[0].url: is required");
    expect_refused(world, "{'url':'%s/','fields':[1]}", "fields: must be an object");
    expect_refused(world, "{'url':'%s/','fields':{'a':3}}", "fields.a: must be a path");
    expect_refused(world, "{'url':'%s/','fields':{'a':{'unit':'m'}}}", "needs either path or jq");
    expect_refused(world, "{'url':'%s/','fields':{'a':{'path':'x','type':'real'}}}",
                   "type: must be");
    expect_refused(world, "{'url':'%s/','fields':{'source':'x'}}", "choose another");
    expect_refused(world, "{'url':'%s/','pagination':{'style':'cursor'}}", "needs next");
    expect_refused(world, "{'url':'%s/','auth':{'api_key':{'value':'x'}}}", "header or query");
    expect_refused(world, "{'url':'%s/','fields':{'a':'$.x[?(@.b>1)]'}}", "write it in jq");
}

FETCH_TEST(private_addresses)
{
    AUTO(outcome_deinit) Outcome outcome;
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonWriter writer;
    void *bound;

    arena_init(&arena, 0);
    EXPECT_OK(run(world, "{'url':'%s/weather'}", &outcome));
    outcome.fake.task.is_private_allowed = false;
    world->calls = 0;
    bound = arena_zalloc(&arena, handler_fetch.args->struct_bytes);
    EXPECT_OK(schema_decode_text(&arena, handler_fetch.args,
                                 expand(&arena, world, "{'url':'%s/weather'}"), bound, NULL));
    buf_reset(&outcome.result);
    writer = JSON_WRITER(&outcome.result);
    EXPECT_ERR(handler_fetch.run(&outcome.fake.task, bound, &writer), -ERR_JOB_FAILED,
               "forbidden: ");
    EXPECT_EQ(world->calls, 0);
}

TEST_MAIN()
