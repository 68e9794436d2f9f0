/*
 * Queues: which there are, and how many jobs they hold in which state.
 */
#include "serve/serve_int.h"

typedef struct QueuesQuery {
    int64_t limit;
    Str cursor;
} QueuesQuery;

static const SchemaField queues_fields[] = {
    FIELD_INT(QueuesQuery, limit, "queues on the page", .range = RANGE(1, 200),
              .default_text = "50"),
    FIELD_STR(QueuesQuery, cursor, "next_cursor of the page before"),
};
static const Schema queues_query = SCHEMA(QueuesQuery, queues_fields, "Query of the queues.");

static void write_queue(JsonWriter *out, const StoreQueueInfo *info)
{
    json_write_object(out);
    json_write_member_c(out, "name", info->name);
    json_write_member_c(out, "status", info->is_paused ? "paused" : "active");
    for (int state = 0; state < JOB_STATE_COUNT; state++)
        json_write_member_u64(out, job_state_name((JobState) state), info->counts[state]);
    json_write_member_u64(out, "dead_letters", info->dead_letters);
    json_write_member_u64(out, "pushed", info->pushed);
    json_write_object_end(out);
}

SUSPENDS static int list_queues(Call *call)
{
    const QueuesQuery *query = call->query;
    size_t max = (size_t) query->limit, n = 0;
    StoreQueueInfo *infos = NULL;
    int r;

    r = queue_list_queues(call->request->arena, call->serve->opts.queues, query->cursor, max + 1,
                          &infos, &n);
    if (r < 0)
        return r;
    json_write_object(&call->out);
    json_write_key(&call->out, "queues");
    json_write_array(&call->out);
    for (size_t i = 0; i < n && i < max; i++)
        write_queue(&call->out, &infos[i]);
    json_write_array_end(&call->out);
    json_write_key(&call->out, "pagination");
    json_write_object(&call->out);
    json_write_member_bool(&call->out, "has_more", n > max);
    if (n > max)
        json_write_member_c(&call->out, "next_cursor", infos[max - 1].name);
    json_write_object_end(&call->out);
    json_write_object_end(&call->out);
    return 0;
}

SUSPENDS static int queue_statistics(Call *call)
{
    StoreQueueInfo info;
    int r;

    r = queue_stats(call->serve->opts.queues, call->params[0], &info);
    if (r < 0)
        return r;
    json_write_object(&call->out);
    json_write_key(&call->out, "queue");
    write_queue(&call->out, &info);
    json_write_object_end(&call->out);
    return 0;
}

static const Route queues_routes[] = {
    { .method = HTTP_METHOD_GET,
      .path = "/ojs/v1/queues",
      .operation = "listQueues",
      .summary = "List the queues.",
      .query = &queues_query,
      .answers = { { 200, "A page, by name." } },
      .run = list_queues },
    { .method = HTTP_METHOD_GET,
      .path = "/ojs/v1/queues/{name}/stats",
      .operation = "getQueueStats",
      .summary = "Count a queue's jobs by state.",
      .answers = { { 200, "The counts." },
                   { 404, "There is no such queue.", "#/components/schemas/Error" } },
      .run = queue_statistics },
};

extern const RouteGroup routes_queues;
const RouteGroup routes_queues = ROUTE_GROUP("Queues", queues_routes);
