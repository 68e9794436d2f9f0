/*
 * Jobs: push one and many, look at them, wait for them, cancel, activate, run again.
 *
 * The Open Job Spec's resource, and what we add to it: `Idempotency-Key`, `?wait=`, the list with
 * filters and cursor, and `retry` of a discarded job.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "codec/time_text.h"
#include "serve/envelope.h"
#include "serve/serve_int.h"

#include <errno.h>
#include <stdio.h>

#define JOB_REF "#/components/schemas/JobEnvelope"

/* ---- shared with the other resources --------------------------------------------------------- */

int serve_job_id(Call *call, JobId *ret_id)
{
    Str text = call->params[0];
    int r = job_id_parse(text, ret_id);

    if (r < 0)
        return fail(-ERR_NOT_FOUND, "job \"%.*s\" does not exist", (int) MIN(text.len, (size_t) 60),
                    text.data);
    return 0;
}

void serve_write_job(Call *call, const Job *job, const EnvelopeOut *out_opts)
{
    json_write_object(&call->out);
    json_write_key(&call->out, "job");
    envelope_write(&call->out, job, out_opts);
    json_write_object_end(&call->out);
}

int serve_wait_ms(Json value, const char *name, int64_t *ret_ms)
{
    Str text;
    int64_t ms = 0;

    *ret_ms = 0;
    if (!value || json_is_null(value))
        return 0;
    if (json_get_str(value, &text) ? duration_parse(text, &ms) < 0 : !json_get_i64(value, &ms))
        return fail(-ERR_INVALID, "%s: must be a duration such as \"20s\"", name);
    if (ms < 0)
        return fail(-ERR_INVALID, "%s: must not be negative", name);
    *ret_ms = MIN(ms, (int64_t) LIMIT_SERVE_WAIT_MS);
    return 0;
}

int serve_conflict(Call *call, int r, const JobId *id)
{
    char text[JOB_ID_TEXT_BYTES];
    JsonWriter writer;
    Job job;
    Err err;
    Buf buf;

    if (r == -ECANCELED)
        return r;
    err_take(r, &err);
    writer = call_details_begin(call, &buf);
    json_write_object(&writer);
    json_write_member_c(&writer, "resource_type", "job");
    json_write_member_str(&writer, "resource_id", job_id_format(id, text));
    json_write_member_str(&writer, "job_id", job_id_format(id, text));
    if (err_http_status(r) == 409 &&
        queue_get(call->request->arena, call->serve->opts.queues, id, &job) == 0)
        json_write_member_c(&writer, "current_state", job_state_name(job.state));
    json_write_object_end(&writer);
    call_details_end(call, &buf);
    return err_put(&err);
}

/* ---- push ------------------------------------------------------------------------------------ */

/* Say which field was wrong, and for a batch which job. */
static void field_details(Call *call, const char *field, ssize_t index, int r)
{
    JsonWriter writer;
    Buf buf;

    writer = call_details_begin(call, &buf);
    json_write_object(&writer);
    if (field)
        json_write_member_c(&writer, "field", field);
    if (index >= 0)
        json_write_member_i64(&writer, "index", index);
    if (err_wire_name(r) && field && str_eq_c(str_from_c(field), "args")) {
        const char *words = err_text(r);
        const char *colon = strchr(words, ':');

        if (colon)
            json_write_member_str(&writer, "pointer", str_from(words, (size_t) (colon - words)));
    }
    json_write_object_end(&writer);
    call_details_end(call, &buf);
}

/* The idempotency key of the request, with a print of its body. */
static int read_key(Call *call, PushOpts *ret_opts)
{
    Str key = http_request_header(call->request, "Idempotency-Key");
    Str body = call->request->body;

    *ret_opts = (PushOpts){ .key = key };
    if (key.len > LIMIT_IDEMPOTENCY_KEY)
        return fail(-ERR_INVALID, "Idempotency-Key: must be at most %d bytes, got %zu",
                    LIMIT_IDEMPOTENCY_KEY, key.len);
    if (key.len)
        ret_opts->print = hash_bytes(body.data, body.len, 1, 2);
    return 0;
}

static void mark_replay(Call *call, int r)
{
    if (r == QUEUE_EXISTS)
        http_response_header(call->response, "Idempotent-Replay", str_from_c("true"));
}

static void duplicate_details(Call *call, const JobSpec *spec)
{
    char text[JOB_ID_TEXT_BYTES];
    JsonWriter writer;
    Buf buf;

    if (job_id_is_nil(&spec->id))
        return;
    writer = call_details_begin(call, &buf);
    json_write_object(&writer);
    json_write_member_str(&writer, "existing_job_id", job_id_format(&spec->id, text));
    json_write_object_end(&writer);
    call_details_end(call, &buf);
}

SUSPENDS static int push_job(Call *call)
{
    EnvelopeIn in = { .serve = call->serve, .at = "", .now_ms = sl_wall_ms() };
    char location[64] = "/ojs/v1/jobs/";
    PushOpts opts;
    JobSpec spec;
    Job job;
    int r;

    r = call_read_object(call, false);
    if (r < 0)
        return r;
    in.doc = &call->body;
    in.value = call->body.root;
    r = envelope_parse(call->request->arena, &in, &spec);
    if (r < 0) {
        field_details(call, in.field, -1, r);
        return r;
    }
    r = read_key(call, &opts);
    if (r < 0)
        return r;

    r = queue_push(call->request->arena, call->serve->opts.queues, &spec, &opts, &job);
    if (r < 0) {
        duplicate_details(call, &spec);
        return r;
    }
    mark_replay(call, r);
    (void) job_id_format(&job.id, location + strlen(location));
    http_response_header(call->response, "Location", str_from_c(location));
    call->response->status = 201;
    serve_write_job(call, &job, NULL);
    return 0;
}

/* Read the jobs of a batch; the first that is wrong ends it. */
static int parse_batch(Call *call, Json jobs, JobSpec *specs)
{
    int64_t now_ms = sl_wall_ms();

    for (JsonIter it = json_iter(jobs); json_next(&it);) {
        char at[32];
        EnvelopeIn in = {
            .serve = call->serve, .doc = &call->body, .value = it.value, .at = at, .now_ms = now_ms
        };
        int r;

        (void) snprintf(at, sizeof(at), "jobs[%zu].", it.index);
        r = envelope_parse(call->request->arena, &in, &specs[it.index]);
        if (r < 0) {
            field_details(call, in.field, (ssize_t) it.index, r);
            return r;
        }
    }
    return 0;
}

static void write_batch(Call *call, const Job *jobs, size_t n)
{
    json_write_object(&call->out);
    json_write_key(&call->out, "jobs");
    json_write_array(&call->out);
    for (size_t i = 0; i < n; i++)
        envelope_write(&call->out, &jobs[i], NULL);
    json_write_array_end(&call->out);
    json_write_member_u64(&call->out, "count", n);
    json_write_object_end(&call->out);
}

SUSPENDS static int push_batch(Call *call)
{
    Arena *arena = call->request->arena;
    PushOpts opts;
    JobSpec *specs;
    Job *pushed;
    Json jobs;
    size_t n;
    int r;

    r = call_read_object(call, false);
    if (r < 0)
        return r;
    jobs = json_find(call->body.root, "jobs");
    n = json_len(jobs);
    if (!json_is_array(jobs) || n == 0)
        return fail(-ERR_INVALID, "jobs: must be an array with at least one job");
    if (n > LIMIT_PUSH_JOBS)
        return fail(-ERR_TOO_LARGE, "jobs: must hold at most %d jobs, got %zu", LIMIT_PUSH_JOBS, n);
    specs = arena_try(arena, n * sizeof(*specs));
    pushed = arena_try(arena, n * sizeof(*pushed));
    if (!specs || !pushed)
        return fail(-ENOMEM, "no memory for a batch of %zu jobs", n);
    r = parse_batch(call, jobs, specs);
    if (r == 0)
        r = read_key(call, &opts);
    if (r < 0)
        return r;

    r = queue_push_many(arena, call->serve->opts.queues, specs, n, &opts, pushed, &n);
    if (r < 0)
        return r;
    mark_replay(call, r);
    call->response->status = 201;
    write_batch(call, pushed, n);
    return 0;
}

/* ---- look and wait --------------------------------------------------------------------------- */

typedef struct WaitQuery {
    int64_t wait_ms;
} WaitQuery;

static const SchemaField wait_fields[] = {
    FIELD_DURATION(WaitQuery, wait_ms, "wait",
                   "answer when the job is final, or after this time with what it is then"),
};
static const Schema wait_query = SCHEMA(WaitQuery, wait_fields, "Query of a job.");

SUSPENDS static int get_job(Call *call)
{
    const WaitQuery *query = call->query;
    int64_t wait_ms = MIN(query->wait_ms, (int64_t) LIMIT_SERVE_WAIT_MS);
    bool is_read = false;
    ServeWait wait;
    Job job;
    JobId id;
    int r;

    r = serve_job_id(call, &id);
    if (r == 0 && wait_ms > 0)
        r = http_request_watch(call->request);
    if (r < 0)
        return r;

    if (wait_ms > 0) {
        serve_wait_begin(call->serve, &wait);
        r = queue_wait_job(call->request->arena, call->serve->opts.queues, &id, wait_ms, &job);
        is_read = r >= 0;
        r = serve_wait_end(call->serve, &wait, r);
    }
    if (r >= 0 && !is_read)
        r = queue_get(call->request->arena, call->serve->opts.queues, &id, &job);
    if (r < 0)
        return serve_conflict(call, r, &id);
    serve_write_job(call, &job, NULL);
    return 0;
}

typedef struct ListQuery {
    int state;
    Str queue;
    Str type;
    int64_t limit;
    Str cursor;
} ListQuery;

#define STATE_NAME(name, text, where) text,
static const char *const state_names[] = { JOB_STATES(STATE_NAME) NULL };
#undef STATE_NAME

static const SchemaField list_fields[] = {
    FIELD_ENUM(ListQuery, state, state_names, "the state the jobs are in",
               .default_text = "available"),
    FIELD_STR(ListQuery, queue, "only jobs of this queue", .range = RANGE(1, 128)),
    FIELD_STR(ListQuery, type, "only jobs of this type", .range = RANGE(1, 255)),
    FIELD_INT(ListQuery, limit, "jobs on the page", .range = RANGE(1, 200), .default_text = "50"),
    FIELD_STR(ListQuery, cursor, "next_cursor of the page before"),
};
static const Schema list_query = SCHEMA(ListQuery, list_fields, "Query of the list of jobs.");

int serve_list(Call *call, const ListOpts *opts)
{
    JobPage page;
    int r;

    r = queue_list(call->request->arena, call->serve->opts.queues, opts, &page);
    if (r < 0)
        return r;
    json_write_object(&call->out);
    json_write_key(&call->out, "jobs");
    json_write_array(&call->out);
    for (size_t i = 0; i < page.n; i++)
        envelope_write(&call->out, &page.jobs[i], NULL);
    json_write_array_end(&call->out);
    json_write_key(&call->out, "pagination");
    json_write_object(&call->out);
    json_write_member_u64(&call->out, "total", page.total);
    json_write_member_u64(&call->out, "limit", opts->max);
    json_write_member_u64(&call->out, "offset", opts->skip);
    json_write_member_bool(&call->out, "has_more", page.has_more);
    if (page.has_more)
        json_write_member_c(&call->out, "next_cursor", page.next_cursor);
    json_write_object_end(&call->out);
    json_write_object_end(&call->out);
    return 0;
}

SUSPENDS static int list_jobs(Call *call)
{
    const ListQuery *query = call->query;
    ListOpts opts = { .state = (JobState) query->state,
                      .queue = query->queue,
                      .type = query->type,
                      .max = (size_t) query->limit,
                      .cursor = query->cursor };

    return serve_list(call, &opts);
}

/* ---- moves ----------------------------------------------------------------------------------- */

SUSPENDS static int cancel_job(Call *call)
{
    EnvelopeOut out = { 0 };
    JobState was;
    Job job;
    JobId id;
    int r;

    r = serve_job_id(call, &id);
    if (r < 0)
        return r;
    r = queue_cancel(call->request->arena, call->serve->opts.queues, &id, &job, &was);
    if (r < 0)
        return serve_conflict(call, r, &id);
    out.previous_state = job_state_name(was);
    serve_write_job(call, &job, &out);
    return 0;
}

SUSPENDS static int activate_job(Call *call)
{
    EnvelopeOut out = { .extra_name = "activated_at", .previous_state = "pending" };
    Job job;
    JobId id;
    int r;

    r = serve_job_id(call, &id);
    if (r < 0)
        return r;
    r = queue_activate(call->request->arena, call->serve->opts.queues, &id, &job);
    if (r < 0)
        return serve_conflict(call, r, &id);
    out.extra_ms = job.enqueued_ms;
    serve_write_job(call, &job, &out);
    return 0;
}

int serve_retry(Call *call, bool only_dead_letter)
{
    EnvelopeOut out = { .extra_name = "re_enqueued_at" };
    Job job;
    JobId id;
    int r;

    r = serve_job_id(call, &id);
    if (r < 0)
        return r;
    r = queue_retry(call->request->arena, call->serve->opts.queues, &id, only_dead_letter, &job);
    if (r < 0)
        return serve_conflict(call, r, &id);
    out.extra_ms = job.enqueued_ms;
    serve_write_job(call, &job, &out);
    return 0;
}

SUSPENDS static int retry_job(Call *call)
{
    return serve_retry(call, false);
}

static const char push_schema[] =
    "{\"type\":\"object\",\"required\":[\"type\",\"args\"],\"properties\":{"
    "\"type\":{\"type\":\"string\",\"description\":\"the handler\"},"
    "\"args\":{\"type\":\"array\",\"description\":\"for the handlers here: one object\"},"
    "\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"meta\":{\"type\":\"object\"},"
    "\"options\":{\"type\":\"object\",\"properties\":{\"queue\":{\"type\":\"string\"},"
    "\"priority\":{\"type\":\"integer\",\"minimum\":-100,\"maximum\":100},"
    "\"delay_until\":{\"type\":\"string\",\"description\":\"RFC 3339, or +PT2S from now\"},"
    "\"timeout_ms\":{\"type\":\"integer\"},\"visibility_timeout_ms\":{\"type\":\"integer\"},"
    "\"pending\":{\"type\":\"boolean\"},\"retry\":{\"type\":\"object\",\"properties\":{"
    "\"max_attempts\":{\"type\":\"integer\"},\"initial_interval\":{\"type\":\"string\"},"
    "\"backoff_coefficient\":{\"type\":\"number\"},\"max_interval\":{\"type\":\"string\"},"
    "\"jitter\":{\"type\":\"boolean\"},\"backoff_strategy\":{\"type\":\"string\"},"
    "\"non_retryable_errors\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"on_exhaustion\":{\"enum\":[\"discard\",\"dead_letter\"]}}}}}}}";

static const char batch_schema[] =
    "{\"type\":\"object\",\"required\":[\"jobs\"],\"properties\":{\"jobs\":{\"type\":\"array\","
    "\"minItems\":1,\"items\":{\"type\":\"object\",\"required\":[\"type\",\"args\"]}}}}";

#define ERROR_REF "#/components/schemas/Error"

static const Route jobs_routes[] = {
    { .method = HTTP_METHOD_POST,
      .path = "/ojs/v1/jobs",
      .operation = "pushJob",
      .summary = "Push a job.",
      .details = "Answered when the store has the job on disk. An `Idempotency-Key` header makes a "
                 "repeat give the first job again.",
      .body_schema = push_schema,
      .needs_body = true,
      .body_bytes_max = LIMIT_SERVE_JOB_BYTES,
      .answers = { { 201, "The job is stored.", JOB_REF },
                   { 409, "The id exists, or the key was used for another job.", ERROR_REF },
                   { 422, "The retry policy is not valid.", ERROR_REF },
                   { 507, "The store has no room.", ERROR_REF } },
      .run = push_job },
    { .method = HTTP_METHOD_GET,
      .path = "/ojs/v1/jobs",
      .operation = "listJobs",
      .summary = "List jobs in one state.",
      .query = &list_query,
      .answers = { { 200, "A page.", "#/components/schemas/JobList" } },
      .run = list_jobs },
    { .method = HTTP_METHOD_POST,
      .path = "/ojs/v1/jobs/batch",
      .operation = "pushJobs",
      .summary = "Push many jobs, all or none.",
      .body_schema = batch_schema,
      .needs_body = true,
      .body_bytes_max = LIMIT_SERVE_BATCH_BYTES,
      .answers = { { 201, "The jobs are stored.", "#/components/schemas/JobList" },
                   { 409, "An id exists.", ERROR_REF },
                   { 507, "The store has no room.", ERROR_REF } },
      .run = push_batch },
    { .method = HTTP_METHOD_GET,
      .path = "/ojs/v1/jobs/{id}",
      .operation = "getJob",
      .summary = "Look at a job, or wait until it is final.",
      .query = &wait_query,
      .answers = { { 200, "The job.", JOB_REF }, { 404, "There is no such job.", ERROR_REF } },
      .run = get_job },
    { .method = HTTP_METHOD_DELETE,
      .path = "/ojs/v1/jobs/{id}",
      .operation = "cancelJob",
      .summary = "Cancel a job.",
      .answers = { { 200, "The job is cancelled.", JOB_REF },
                   { 404, "There is no such job.", ERROR_REF },
                   { 409, "The job has ended already.", ERROR_REF } },
      .run = cancel_job },
    { .method = HTTP_METHOD_POST,
      .path = "/ojs/v1/jobs/{id}/activate",
      .operation = "activateJob",
      .summary = "Make a pending job available.",
      .answers = { { 200, "The job is available.", JOB_REF },
                   { 404, "There is no such job.", ERROR_REF },
                   { 409, "The job is not pending.", ERROR_REF } },
      .run = activate_job },
    { .method = HTTP_METHOD_POST,
      .path = "/ojs/v1/jobs/{id}/retry",
      .operation = "retryJob",
      .summary = "Run a discarded job again, or a waiting one now.",
      .answers = { { 200, "The job is available.", JOB_REF },
                   { 404, "There is no such job.", ERROR_REF },
                   { 409, "The job's state forbids it.", ERROR_REF } },
      .run = retry_job },
};

extern const RouteGroup routes_jobs;
const RouteGroup routes_jobs = ROUTE_GROUP("Jobs", jobs_routes);
