/*
 * The world of fetch's tests: a server that behaves and misbehaves as APIs do, a task that keeps
 * what it is told, and a run whose result is parsed. Arguments are written with ' for ", and %s for
 * the address of the server.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/test.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "rows/row.h"

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
    size_t answers;  /* counted by some pages */
    bool is_down;    /* some pages fail */
    char away[200];  /* where /away redirects to */
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
    if (str_eq_c(path, "/kept")) { /* a new number for each answer that is not a 304 */
        bool is_held = http_request_header(request, "if-none-match").data != NULL &&
                       number_in(request, "changes", 0) == 0;

        http_response_header(response, "ETag", STR_C("\"v1\""));
        http_response_header(response, "Cache-Control",
                             number_in(request, "age", 0) > 0
                                 ? STR_C("max-age=60")
                                 : STR_C("max-age=0, stale-if-error=60"));
        response->status = world->is_down ? 500 : is_held ? 304 : 200;
        if (!is_held)
            buf_printf(&response->body, "{\"n\":%zu}", ++world->answers);
        return 0;
    }
    if (str_eq_c(path, "/clock")) {
        buf_printf(&response->body,
                   "{\"n\":%zu,\"items\":[{\"id\":\"a\",\"v\":1.50},{\"id\":\"b\",\"v\":%zu}%s]}",
                   world->answers, world->answers,
                   world->answers > 1 ? ",{\"id\":\"c\",\"v\":0}" : "");
        world->answers++;
        return 0;
    }
    if (str_eq_c(path, "/away")) {
        http_response_header(response, "Location", str_from_c(world->away));
        response->status = 302;
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
    Buf emitted;      /* rows as JSON lines; "--" at the end of an answer */
    size_t n_answers; /* ended */
    sl_scope *stop;   /* cancelled after stop_after answers */
    size_t stop_after;
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

UNUSED SUSPENDS static int fake_emit(Task *task, const RowBatch *batch)
{
    FakeTask *fake = CONTAINER_OF(task, FakeTask, task);

    if (!batch) {
        buf_add_c(&fake->emitted, "--\n");
        if (++fake->n_answers == fake->stop_after)
            sl_scope_cancel(fake->stop);
        return 0;
    }
    for (size_t i = 0; i < row_batch_count(batch); i++) {
        row_format_json(&fake->emitted, batch, i);
        buf_add_char(&fake->emitted, '\n');
    }
    return 0;
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
    buf_deinit(&outcome->fake.emitted);
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

/* Begin an outcome; the task may be changed before run_task. */
static void outcome_init(World *world, Outcome *outcome)
{
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
}

static int run_task(World *world, const char *args, Outcome *outcome)
{
    JsonWriter writer = JSON_WRITER(&outcome->result);
    void *bound = arena_zalloc(&outcome->arena, handler_fetch.args->struct_bytes);
    int r = schema_decode_text(&outcome->arena, handler_fetch.args,
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

static int run(World *world, const char *args, Outcome *outcome)
{
    outcome_init(world, outcome);
    return run_task(world, args, outcome);
}

/* The text of cell NAME of row I, as JSON. */
static Str cell(const Outcome *outcome, size_t i, const char *name)
{
    return json_raw(&outcome->doc, json_find(json_at(outcome->rows, i), name));
}

#define EXPECT_CELL(outcome, i, name, text) EXPECT_STR(cell((outcome), (i), (name)), STR_C(text))

/* One source that must fail; its error must have WORDS. The run fails as a whole. */
UNUSED static void expect_failure(World *world, const char *args, const char *words)
{
    AUTO(outcome_deinit) Outcome outcome;
    int r = run(world, args, &outcome);

    EXPECT_ERR(r, -ERR_JOB_FAILED, words);
    EXPECT(outcome.fake.task.is_final);
    if (test_has_failed())
        fprintf(stderr, "    %s\n", args);
}
