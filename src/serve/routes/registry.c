/*
 * The registry: which workers there are, in every process and over HTTP.
 *
 * Built-in workers put their cards themselves; for workers elsewhere, which come to fetch and to
 * send heartbeats, the API does so here, at most every LIMIT_WORKER_CARD_MS for each and loop.
 * A worker that has not been heard of for longer than its card says is shown as gone until its
 * card is forgotten.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/time_text.h"
#include "serve/serve_int.h"

#define CARD_QUEUES 16 /* of a worker elsewhere: so many are shown */

/* ---- workers elsewhere ----------------------------------------------------------------------- */

typedef struct WorkerSeen {
    int64_t put_ns;
    int64_t started_ms;
} WorkerSeen;

void serve_forget_workers(Serve *serve)
{
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&serve->workers, &cursor, &name, &value))
        mem_free(value);
    map_deinit(&serve->workers);
    map_init(&serve->workers, sl_random(), sl_random());
}

/* The worker's entry when its card is to be put now, or NULL. */
static WorkerSeen *seen_now(Serve *serve, Str name)
{
    WorkerSeen *seen = map_find(&serve->workers, name);
    int64_t now_ns = sl_now_ns();

    if (!seen && serve->workers.len >= LIMIT_SERVE_WORKERS)
        serve_forget_workers(serve);
    if (!seen) {
        seen = mem_new(WorkerSeen);
        seen->started_ms = queue_now_ms(serve->opts.queues);
        mem_free(map_put(&serve->workers, name, seen));
    } else if (now_ns - seen->put_ns < LIMIT_WORKER_CARD_MS * NS_PER_MS) {
        return NULL;
    }
    seen->put_ns = now_ns;
    return seen;
}

static void write_card(JsonWriter *out, const WorkerSign *sign, const WorkerSeen *seen,
                       int64_t now_ms)
{
    json_write_object(out);
    json_write_member_c(out, "kind", "http");
    json_write_member_c(out, "state", "running");
    if (sign->running >= 0)
        json_write_member_i64(out, "running", sign->running);
    json_write_member_time_ms(out, "started_at", seen->started_ms);
    json_write_member_time_ms(out, "seen_at", now_ms);
    json_write_member_i64(out, "gone_after_ms", LIMIT_SERVE_WORKER_MS + sign->wait_ms);
    json_write_key(out, "queues");
    json_write_array(out);
    for (size_t i = 0; i < sign->n_queues && i < CARD_QUEUES; i++)
        json_write_str(out, sign->queues[i]);
    json_write_array_end(out);
    json_write_object_end(out);
}

void serve_note_worker(Call *call, const WorkerSign *sign)
{
    Serve *serve = call->serve;
    AUTO(buf_deinit) Buf card = { 0 };
    JsonWriter out = JSON_WRITER(&card);
    WorkerSeen *seen;
    Err err;
    int r;

    if (!sign->name.len || sign->name.len > LIMIT_WORKER_NAME)
        return;
    seen = seen_now(serve, sign->name);
    if (!seen)
        return;
    write_card(&out, sign, seen, queue_now_ms(serve->opts.queues));
    r = queue_worker_put(serve->opts.queues, sign->name, buf_str(&card),
                         LIMIT_SERVE_WORKER_MS + sign->wait_ms + LIMIT_WORKER_CARD_KEPT_MS);
    if (r >= 0)
        return;
    err_take(r, &err); /* nothing depends on it; the call itself will tell if the store is away */
    log_debug("worker's card not put", L_STR("worker", sign->name), L_C("error", err.text));
}

/* ---- the list -------------------------------------------------------------------------------- */

typedef struct WorkersQuery {
    int64_t limit;
    Str cursor;
} WorkersQuery;

static const SchemaField workers_fields[] = {
    FIELD_INT(WorkersQuery, limit, "workers on the page", .range = RANGE(1, 1000),
              .default_text = "100"),
    FIELD_STR(WorkersQuery, cursor, "next_cursor of the page before"),
};
static const Schema workers_query = SCHEMA(WorkersQuery, workers_fields, "Query of the workers.");

static bool is_gone(Json card, int64_t now_ms)
{
    int64_t after_ms = 3 * LIMIT_WORKER_CARD_MS, seen_ms;
    Json after = json_find(card, "gone_after_ms");

    if (after && !json_get_i64(after, &after_ms))
        return false;
    if (time_parse_rfc3339(json_str_or(json_find(card, "seen_at"), str_from(NULL, 0)), &seen_ms) <
        0)
        return false;
    return now_ms - seen_ms > after_ms;
}

static void write_worker(JsonWriter *out, const QueueWorker *worker, const JsonDoc *card,
                         int64_t now_ms)
{
    bool gone = is_gone(card->root, now_ms);

    json_write_object(out);
    json_write_member_str(out, "id", worker->name);
    for (JsonIter it = json_iter(card->root); json_next(&it);) {
        if (str_eq_c(it.key, "id"))
            continue;
        if (gone && str_eq_c(it.key, "state")) {
            json_write_member_c(out, "state", "gone");
            continue;
        }
        json_write_key_str(out, it.key);
        json_write_value(out, it.value);
    }
    json_write_object_end(out);
}

SUSPENDS static int list_workers(Call *call)
{
    const WorkersQuery *query = call->query;
    Queues *queues = call->serve->opts.queues;
    Arena *arena = call->request->arena;
    QueueWorker *workers = NULL;
    bool has_more = false;
    size_t n = 0;
    int r;

    r = queue_worker_list(arena, queues, query->cursor, (size_t) query->limit, &workers, &n,
                          &has_more);
    if (r < 0)
        return r;
    json_write_object(&call->out);
    json_write_key(&call->out, "workers");
    json_write_array(&call->out);
    for (size_t i = 0; i < n; i++) {
        JsonDoc card;
        Err err;

        r = json_parse(arena, workers[i].card, &card);
        if (r == 0)
            write_worker(&call->out, &workers[i], &card, queue_now_ms(queues));
        else
            err_take(r, &err); /* a card of another program's making */
    }
    json_write_array_end(&call->out);
    json_write_key(&call->out, "pagination");
    json_write_object(&call->out);
    json_write_member_bool(&call->out, "has_more", has_more && n > 0);
    if (has_more && n > 0)
        json_write_member_str(&call->out, "next_cursor", workers[n - 1].name);
    json_write_object_end(&call->out);
    json_write_object_end(&call->out);
    return 0;
}

static const Route registry_routes[] = {
    { .method = HTTP_METHOD_GET,
      .path = "/ojs/v1/workers",
      .operation = "listWorkers",
      .summary = "List the workers that are there, of every process.",
      .details = "Built-in workers and those that fetch over HTTP. One that has not been heard of "
                 "in its time is `gone` for a minute more, and then not shown.",
      .query = &workers_query,
      .answers = { { 200, "A page, by name." } },
      .run = list_workers },
};

extern const RouteGroup routes_registry;
const RouteGroup routes_registry = ROUTE_GROUP("Registry", registry_routes);
