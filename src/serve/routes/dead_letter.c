/*
 * Dead letters: discarded jobs that wait for a person's decision.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "serve/envelope.h"
#include "serve/serve_int.h"

#define JOB_REF   "#/components/schemas/JobEnvelope"
#define ERROR_REF "#/components/schemas/Error"

typedef struct DeadQuery {
    Str queue;
    Str type;
    int64_t limit;
    int64_t offset;
    Str cursor;
} DeadQuery;

static const SchemaField dead_fields[] = {
    FIELD_STR(DeadQuery, queue, "only jobs of this queue", .range = RANGE(1, 128)),
    FIELD_STR(DeadQuery, type, "only jobs of this type", .range = RANGE(1, 255)),
    FIELD_INT(DeadQuery, limit, "jobs on the page", .range = RANGE(1, 200), .default_text = "50"),
    FIELD_INT(DeadQuery, offset, "jobs to pass over", .range = RANGE(0, LIMIT_LIST_SKIP),
              .default_text = "0"),
    FIELD_STR(DeadQuery, cursor, "next_cursor of the page before"),
};
static const Schema dead_query = SCHEMA(DeadQuery, dead_fields, "Query of the dead letters.");

SUSPENDS static int list_dead(Call *call)
{
    const DeadQuery *query = call->query;
    ListOpts opts = { .state = JOB_DISCARDED,
                      .only_dead_letters = true,
                      .is_newest_first = true,
                      .queue = query->queue,
                      .type = query->type,
                      .max = (size_t) query->limit,
                      .skip = (size_t) query->offset,
                      .cursor = query->cursor };

    return serve_list(call, &opts);
}

SUSPENDS static int retry_dead(Call *call)
{
    return serve_retry(call, true);
}

SUSPENDS static int delete_dead(Call *call)
{
    char text[JOB_ID_TEXT_BYTES];
    JobId id;
    int r;

    r = serve_job_id(call, &id);
    if (r < 0)
        return r;
    r = queue_delete(call->serve->opts.queues, &id, true);
    if (r < 0)
        return serve_conflict(call, r, &id);
    json_write_object(&call->out);
    json_write_member_bool(&call->out, "deleted", true);
    json_write_member_str(&call->out, "job_id", job_id_format(&id, text));
    json_write_object_end(&call->out);
    return 0;
}

static const Route dead_routes[] = {
    { .method = HTTP_METHOD_GET,
      .path = "/ojs/v1/dead-letter",
      .operation = "listDeadLetters",
      .summary = "List dead letters, the newest first.",
      .query = &dead_query,
      .answers = { { 200, "A page.", "#/components/schemas/JobList" } },
      .run = list_dead },
    { .method = HTTP_METHOD_POST,
      .path = "/ojs/v1/dead-letter/{id}/retry",
      .operation = "retryDeadLetter",
      .summary = "Run a dead letter again; its attempts start over.",
      .answers = { { 200, "The job is available.", JOB_REF },
                   { 404, "There is no such dead letter.", ERROR_REF } },
      .run = retry_dead },
    { .method = HTTP_METHOD_DELETE,
      .path = "/ojs/v1/dead-letter/{id}",
      .operation = "deleteDeadLetter",
      .summary = "Forget a dead letter.",
      .answers = { { 200, "It is gone." }, { 404, "There is no such dead letter.", ERROR_REF } },
      .run = delete_dead },
};

extern const RouteGroup routes_dead_letter;
const RouteGroup routes_dead_letter = ROUTE_GROUP("Dead letters", dead_routes);
