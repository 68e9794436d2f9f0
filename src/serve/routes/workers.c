/*
 * Workers elsewhere: fetch, ack, nack, heartbeat.
 *
 * The Open Job Spec's worker protocol, and what we add: `wait` on fetch (the answer comes when a
 * job does), and `lease_token`, the fence of the lease, which makes a late answer harmless. Without
 * a token an answer counts for whatever lease is current, as the specification has it.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "serve/envelope.h"
#include "serve/serve_int.h"

#include <stdlib.h>

#define ERROR_REF    "#/components/schemas/Error"
#define GIVE_BACK_MS 10000 /* for the store, when a taker has gone */

static int want_string(Json object, const char *name, bool is_required, Str *ret)
{
    Json value = json_find(object, name);

    *ret = str_from(NULL, 0);
    if (!value || json_is_null(value))
        return is_required ? fail(-ERR_INVALID, "%s: is required", name) : 0;
    if (!json_get_str(value, ret))
        return fail(-ERR_INVALID, "%s: must be a string, got %s", name,
                    json_kind_name(json_kind(value)));
    return is_required && !ret->len ? fail(-ERR_INVALID, "%s: must not be empty", name) : 0;
}

/* A lease token: a number, or its digits in a string; 0 when there is none. */
static int read_token(Json object, uint32_t *ret_fence)
{
    Json value = json_find(object, "lease_token");
    uint64_t token = 0;
    Str text;

    *ret_fence = 0;
    if (!value || json_is_null(value))
        return 0;
    if (json_get_str(value, &text) ? str_to_u64(text, UINT32_MAX, &token) < 0
                                   : !json_get_u64(value, &token))
        return fail(-ERR_INVALID, "lease_token: must be the token that fetch gave");
    if (token == 0 || token > UINT32_MAX)
        return fail(-ERR_STALE_LEASE, "lease_token: no lease has this token");
    *ret_fence = (uint32_t) token;
    return 0;
}

static int read_ms(Json object, const char *name, int64_t *ret_ms)
{
    Json value = json_find(object, name);

    *ret_ms = 0;
    if (!value || json_is_null(value))
        return 0;
    if (!json_get_i64(value, ret_ms) || *ret_ms < 0 || *ret_ms > LIMIT_LEASE_MAX_MS)
        return fail(-ERR_INVALID, "%s: must be milliseconds between 0 and %d", name,
                    LIMIT_LEASE_MAX_MS);
    return 0;
}

/* ---- fetch ----------------------------------------------------------------------------------- */

static int read_queues(Call *call, Str **ret_queues, size_t *ret_n)
{
    Json queues = json_find(call->body.root, "queues");
    size_t n = json_len(queues);

    if (!json_is_array(queues) || n == 0)
        return fail(-ERR_INVALID, "queues: must be an array with at least one name");
    if (n > LIMIT_LEASE_QUEUES)
        return fail(-ERR_INVALID, "queues: must hold at most %d names, got %zu", LIMIT_LEASE_QUEUES,
                    n);
    *ret_queues = arena_zalloc(call->request->arena, n * sizeof(Str));
    *ret_n = n;
    for (JsonIter it = json_iter(queues); json_next(&it);) {
        if (!json_get_str(it.value, &(*ret_queues)[it.index]) ||
            !serve_is_queue_name((*ret_queues)[it.index]))
            return fail(-ERR_INVALID, "queues[%zu]: must be the name of a queue", it.index);
    }
    return 0;
}

static int read_fetch(Call *call, LeaseOpts *ret_opts)
{
    Json body = call->body.root;
    Json count = json_find(body, "count");
    Str *queues = NULL;
    int64_t max = 1;
    int r;

    r = read_queues(call, &queues, &ret_opts->n_queues);
    ret_opts->queues = queues;
    if (r == 0 && count && (!json_get_i64(count, &max) || max < 1))
        r = fail(-ERR_INVALID, "count: must be an integer above 0");
    if (r == 0)
        r = want_string(body, "worker_id", false, &ret_opts->worker);
    if (r == 0)
        r = read_ms(body, "visibility_timeout_ms", &ret_opts->lease_ms);
    if (r == 0)
        r = serve_wait_ms(json_find(body, "wait"), "wait", &ret_opts->wait_ms);
    if (r == 0 && !ret_opts->wait_ms)
        r = serve_wait_ms(json_find(body, "wait_ms"), "wait_ms", &ret_opts->wait_ms);
    ret_opts->max = (size_t) MIN(max, (int64_t) LIMIT_LEASE_JOBS);
    return r;
}

/* The taker has gone while the store worked: the jobs go back at once, nothing counted. */
SUSPENDS static int give_back(Call *call, const Job *jobs, size_t n)
{
    Finish *finishes = arena_zalloc(call->request->arena, n * sizeof(*finishes));
    sl_scope shield;
    int r;

    for (size_t i = 0; i < n; i++)
        finishes[i] = (Finish){ .kind = FINISH_RELEASE, .id = jobs[i].id, .fence = jobs[i].fence };
    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = GIVE_BACK_MS);
    r = queue_finish_many(call->serve->opts.queues, finishes, n);
    r = sl_scope_end(&shield, r);
    if (r < 0)
        return wrap(r, "give back"); /* their leases will end */
    return fail(-ECANCELED, "the client has gone");
}

SUSPENDS static int fetch(Call *call)
{
    static const EnvelopeOut out = { .has_lease_token = true };
    LeaseOpts opts = { 0 };
    WorkerSign sign;
    ServeWait wait;
    Job *jobs;
    size_t n = 0;
    int r;

    r = call_read_object(call, false);
    if (r == 0)
        r = read_fetch(call, &opts);
    if (r == 0 && call->serve->unready)
        return fail(-ERR_UNAVAILABLE, "the engine is %s", call->serve->unready);
    if (r == 0) /* also without a wait: what nobody reads the answer of goes back at once */
        r = http_request_watch(call->request);
    if (r < 0)
        return r;

    sign = (WorkerSign){ opts.worker, opts.queues, opts.n_queues, -1, opts.wait_ms };
    serve_note_worker(call, &sign);
    jobs = arena_zalloc(call->request->arena, opts.max * sizeof(Job));
    serve_wait_begin(call->serve, &wait);
    r = queue_lease(call->request->arena, call->serve->opts.queues, &opts, jobs, &n);
    r = serve_wait_end(call->serve, &wait, r);
    if (r < 0)
        return r;
    if (r == QUEUE_EMPTY)
        n = 0;
    r = sl_yield(); /* the watch gets its turn */
    if (n > 0 && (r < 0 || http_request_is_gone(call->request)))
        return give_back(call, jobs, n);
    if (r < 0)
        return r;

    json_write_object(&call->out);
    json_write_key(&call->out, "jobs");
    json_write_array(&call->out);
    for (size_t i = 0; i < n; i++)
        envelope_write(&call->out, &jobs[i], &out);
    json_write_array_end(&call->out);
    json_write_object_end(&call->out);
    return 0;
}

/* ---- ack and nack ---------------------------------------------------------------------------- */

/* What ack and nack have in common: which job, and by whose lease. */
static int read_answer(Call *call, Finish *finish)
{
    Json body = call->body.root;
    Str text;
    int r;

    r = want_string(body, "job_id", true, &text);
    if (r < 0)
        return r;
    if (job_id_parse(text, &finish->id) < 0)
        return fail(-ERR_NOT_FOUND, "job \"%.*s\" does not exist", (int) MIN(text.len, (size_t) 60),
                    text.data);
    r = want_string(body, "worker_id", false, &finish->worker);
    return r < 0 ? r : read_token(body, &finish->fence);
}

/* Say in which state the job was found instead of active. */
static int refused(Call *call, const Finish *finish, int r)
{
    char text[JOB_ID_TEXT_BYTES];
    JsonWriter writer;
    Buf buf;

    writer = call_details_begin(call, &buf);
    json_write_object(&writer);
    json_write_member_str(&writer, "job_id", job_id_format(&finish->id, text));
    if (err_http_status(r) == 409) {
        json_write_member_c(&writer, "current_state", job_state_name(finish->state));
        json_write_member_c(&writer, "expected_state", "active");
    } else {
        json_write_member_c(&writer, "resource_type", "job");
        json_write_member_c(&writer, "resource_id", text);
    }
    json_write_object_end(&writer);
    call_details_end(call, &buf);
    return r;
}

static void write_ids(Call *call, const Finish *finish)
{
    char text[JOB_ID_TEXT_BYTES];
    Str id = job_id_format(&finish->id, text);

    json_write_member_str(&call->out, "job_id", id);
    json_write_member_str(&call->out, "id", id);
    json_write_member_c(&call->out, "state", job_state_name(finish->state));
}

static void write_whole_job(Call *call, const Job *job)
{
    json_write_key(&call->out, "job");
    envelope_write(&call->out, job, NULL);
    json_write_object_end(&call->out);
}

SUSPENDS static int ack(Call *call)
{
    Finish finish = { .kind = FINISH_COMPLETE };
    Json result;
    Job job;
    int r;

    r = call_read_object(call, false);
    if (r == 0)
        r = read_answer(call, &finish);
    if (r < 0)
        return r;
    result = json_find(call->body.root, "result");
    if (result)
        finish.result = json_raw(&call->body, result);
    if (finish.result.len > LIMIT_JOB_RESULT_BYTES)
        return fail(-ERR_TOO_LARGE, "result: must be at most %d bytes, got %zu",
                    LIMIT_JOB_RESULT_BYTES, finish.result.len);

    r = queue_finish(call->request->arena, call->serve->opts.queues, &finish, &job);
    if (r < 0)
        return refused(call, &finish, r);
    json_write_object(&call->out);
    json_write_member_bool(&call->out, "acknowledged", true);
    write_ids(call, &finish);
    json_write_member_time_ms(&call->out, "completed_at", finish.at_ms);
    write_whole_job(call, &job);
    return 0;
}

/* What a failure without a type is called, by its message; see docs/internals/ojs.md. */
static Str guess_type(Str message)
{
    static const struct {
        const char *part;
        const char *type;
    } classes[] = {
        { "timed out", "ConnectionTimeout" },
        { "timeout", "ConnectionTimeout" },
        { "rate limit", "RateLimitExceeded" },
    };

    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        if (str_contains(message, str_from_c(classes[i].part)))
            return str_from_c(classes[i].type);
    }
    return str_from_c("InternalServerError");
}

static int read_error(Call *call, JobError *error)
{
    Json given = json_find(call->body.root, "error");
    Json details = json_find(given, "details");
    Str class;
    int r;

    if (!json_is_object(given))
        return fail(-ERR_INVALID, "error: is required and must be an object");
    r = want_string(given, "message", true, &error->message);
    if (r == 0)
        r = want_string(given, "code", false, &error->code);
    if (r == 0)
        r = want_string(given, "type", false, &error->type);
    if (r < 0)
        return wrap(r, "error");
    if (details && json_is_object(details))
        error->details = json_raw(&call->body, details);
    if (json_is_array(json_find(given, "backtrace")))
        error->backtrace = json_raw(&call->body, json_find(given, "backtrace"));
    error->is_final = !json_bool_or(json_find(given, "retryable"), true);

    class = json_str_or(json_find(details, "error_class"), str_from(NULL, 0));
    if (!error->code.len)
        error->code = error->type.len ? error->type : str_from_c("handler_error");
    if (!error->type.len && class.len)
        error->type = class;
    if (!error->type.len)
        error->type = str_eq_c(error->code, "handler_error") ? guess_type(error->message)
                                                             : error->code;
    return 0;
}

static void write_failure(Call *call, const Finish *finish)
{
    json_write_member_u64(&call->out, "attempt", finish->attempt);
    json_write_member_u64(&call->out, "max_attempts", finish->max_attempts);
    if (finish->state == JOB_RETRYABLE) {
        json_write_member_time_ms(&call->out, "next_attempt_at", finish->next_attempt_ms);
        json_write_member_i64(&call->out, "retry_delay_ms", finish->retry_delay_ms);
    } else if (finish->state == JOB_DISCARDED) {
        json_write_member_time_ms(&call->out, "discarded_at", finish->at_ms);
        json_write_member_time_ms(&call->out, "completed_at", finish->at_ms);
    }
}

SUSPENDS static int nack(Call *call)
{
    Finish finish = { .kind = FINISH_FAIL };
    Job job;
    int r;

    r = call_read_object(call, false);
    if (r == 0)
        r = read_answer(call, &finish);
    if (r < 0)
        return r;
    if (json_bool_or(json_find(call->body.root, "requeue"), false))
        finish.kind = FINISH_RELEASE;
    else
        r = read_error(call, &finish.error);
    if (r < 0)
        return r;

    r = queue_finish(call->request->arena, call->serve->opts.queues, &finish, &job);
    if (r < 0)
        return refused(call, &finish, r);
    json_write_object(&call->out);
    write_ids(call, &finish);
    if (finish.kind == FINISH_FAIL)
        write_failure(call, &finish);
    write_whole_job(call, &job);
    return 0;
}

/* ---- heartbeat ------------------------------------------------------------------------------- */

/* One entry of active_jobs or leases: an id that is none is no job of ours and is passed over. */
static void add_beat(Beat *beats, size_t *n, Json id, Json holder)
{
    Str text;
    Beat *beat = &beats[*n];

    *beat = (Beat){ 0 };
    if (!json_get_str(id, &text) || job_id_parse(text, &beat->id) < 0)
        return;
    if (holder && read_token(holder, &beat->fence) < 0)
        return;
    (*n)++;
}

static int read_beats(Call *call, Beat **ret_beats, size_t *ret_n)
{
    Json body = call->body.root;
    Json jobs = json_find(body, "active_jobs");
    Json ids = json_is_array(jobs) ? jobs : json_find(body, "active_job_ids");
    Json leases = json_find(body, "leases");
    size_t total = json_len(ids) + json_len(leases);

    if (total > LIMIT_LEASE_BEATS)
        return fail(-ERR_TOO_LARGE, "active_jobs: must hold at most %d jobs, got %zu",
                    LIMIT_LEASE_BEATS, total);
    *ret_beats = arena_zalloc(call->request->arena, (total + 1) * sizeof(Beat));
    *ret_n = 0;
    for (JsonIter it = json_iter(ids); json_next(&it);)
        add_beat(*ret_beats, ret_n, it.value, NULL);
    for (JsonIter it = json_iter(leases); json_next(&it);)
        add_beat(*ret_beats, ret_n, json_find(it.value, "job_id"), it.value);
    return 0;
}

typedef bool (*BeatTest)(const Beat *beat);

static bool beat_extended(const Beat *beat)
{
    return beat->is_extended;
}

static bool beat_cancelled(const Beat *beat)
{
    return beat->is_cancelled;
}

static bool beat_lost(const Beat *beat)
{
    return beat->is_lost && !beat->is_cancelled;
}

static void write_beats(Call *call, const char *name, const Beat *beats, size_t n, BeatTest test)
{
    char text[JOB_ID_TEXT_BYTES];

    json_write_key(&call->out, name);
    json_write_array(&call->out);
    for (size_t i = 0; i < n; i++) {
        if (test(&beats[i]))
            json_write_str(&call->out, job_id_format(&beats[i].id, text));
    }
    json_write_array_end(&call->out);
}

/* What the worker should do from here on. */
static const char *directive(const Serve *serve, const Beat *beats, size_t n)
{
    /* Where several processes share the store, the end of one is none of the workers' business. */
    const char *state = serve->unready && !queue_is_shared(serve->opts.queues) ? "terminate"
                                                                               : "running";

    for (size_t i = 0; i < n; i++) {
        if (beats[i].is_extended && beats[i].directive == JOB_DIRECTIVE_TERMINATE)
            return "terminate";
        if (beats[i].is_extended && beats[i].directive == JOB_DIRECTIVE_QUIET)
            state = "quiet";
    }
    return state;
}

SUSPENDS static int heartbeat(Call *call)
{
    Beat *beats = NULL;
    WorkerSign sign;
    int64_t lease_ms;
    size_t n = 0;
    Str worker;
    int r;

    r = call_read_object(call, false);
    if (r == 0)
        r = want_string(call->body.root, "worker_id", true, &worker);
    if (r == 0)
        r = read_ms(call->body.root, "visibility_timeout_ms", &lease_ms);
    if (r == 0)
        r = read_beats(call, &beats, &n);
    if (r == 0 && n)
        r = queue_heartbeat(call->serve->opts.queues, worker, lease_ms, beats, n);
    if (r < 0)
        return r;
    sign = (WorkerSign){ .name = worker, .running = (ssize_t) n };
    serve_note_worker(call, &sign);

    json_write_object(&call->out);
    json_write_member_c(&call->out, "state", directive(call->serve, beats, n));
    write_beats(call, "jobs_extended", beats, n, beat_extended);
    write_beats(call, "cancelled_jobs", beats, n, beat_cancelled);
    write_beats(call, "lost_jobs", beats, n, beat_lost);
    json_write_member_time_ms(&call->out, "server_time", sl_wall_ms());
    json_write_object_end(&call->out);
    return 0;
}

static const char fetch_schema[] =
    "{\"type\":\"object\",\"required\":[\"queues\"],\"properties\":{\"queues\":{\"type\":\"array\","
    "\"items\":{\"type\":\"string\"}},\"count\":{\"type\":\"integer\",\"minimum\":1},"
    "\"worker_id\":{\"type\":\"string\"},\"visibility_timeout_ms\":{\"type\":\"integer\"},"
    "\"wait\":{\"type\":\"string\",\"description\":\"how long to wait for a job: 20s\"}}}";
static const char ack_schema[] =
    "{\"type\":\"object\",\"required\":[\"job_id\"],\"properties\":{\"job_id\":{\"type\":\"string\"},"
    "\"worker_id\":{\"type\":\"string\"},\"lease_token\":{\"type\":\"integer\"},\"result\":{}}}";
static const char nack_schema[] =
    "{\"type\":\"object\",\"required\":[\"job_id\"],\"properties\":{\"job_id\":{\"type\":\"string\"},"
    "\"worker_id\":{\"type\":\"string\"},\"lease_token\":{\"type\":\"integer\"},"
    "\"requeue\":{\"type\":\"boolean\"},\"error\":{\"type\":\"object\",\"required\":[\"message\"],"
    "\"properties\":{\"code\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},"
    "\"message\":{\"type\":\"string\"},\"retryable\":{\"type\":\"boolean\"}}}}}";
static const char beat_schema[] =
    "{\"type\":\"object\",\"required\":[\"worker_id\"],\"properties\":{\"worker_id\":{\"type\":"
    "\"string\"},\"active_jobs\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"visibility_timeout_ms\":{\"type\":\"integer\"}}}";

static const Route workers_routes[] = {
    { .method = HTTP_METHOD_POST,
      .path = "/ojs/v1/workers/fetch",
      .operation = "fetchJobs",
      .summary = "Lease jobs, or wait for one.",
      .body_schema = fetch_schema,
      .needs_body = true,
      .answers = { { 200, "The jobs; none is an empty array.", "#/components/schemas/JobList" } },
      .run = fetch },
    { .method = HTTP_METHOD_POST,
      .path = "/ojs/v1/workers/ack",
      .operation = "ackJob",
      .summary = "Complete a leased job.",
      .body_schema = ack_schema,
      .needs_body = true,
      .body_bytes_max = LIMIT_JOB_RESULT_BYTES + LIMIT_JOB_META_BYTES,
      .answers = { { 200, "The job is completed." },
                   { 404, "There is no such job.", ERROR_REF },
                   { 409, "The lease is not yours any more.", ERROR_REF } },
      .run = ack },
    { .method = HTTP_METHOD_POST,
      .path = "/ojs/v1/workers/nack",
      .operation = "nackJob",
      .summary = "Fail a leased job, or hand it back.",
      .body_schema = nack_schema,
      .needs_body = true,
      .answers = { { 200, "What became of the job." },
                   { 404, "There is no such job.", ERROR_REF },
                   { 409, "The lease is not yours any more.", ERROR_REF } },
      .run = nack },
    { .method = HTTP_METHOD_POST,
      .path = "/ojs/v1/workers/heartbeat",
      .operation = "heartbeat",
      .summary = "Renew leases, and hear what was cancelled.",
      .body_schema = beat_schema,
      .needs_body = true,
      .answers = { { 200, "What the worker should do." } },
      .run = heartbeat },
};

extern const RouteGroup routes_workers;
const RouteGroup routes_workers = ROUTE_GROUP("Workers", workers_routes);
