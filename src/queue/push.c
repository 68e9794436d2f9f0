/*
 * Push: new jobs. Defaults filled in, ids made, bounds checked, records encoded on the caller's
 * loop, so that the store's thread has nothing to do but to put bytes where they belong.
 */
#include "queue/queue_int.h"

#include "base/assert.h"

#include <errno.h>
#include <string.h>

enum { PRIORITY_MAX = 100, TYPE_MAX = 255, QUEUE_MAX = 128, PATTERN_MAX = 1000 };

#define TIME_MAX (INT64_C(1) << 47) /* ms: the year 6429; what a record can hold */

static JobId make_id(Queues *queues, int64_t wall_ms)
{
    IdMaker *ids;
    Uuid uuid;
    JobId id;

    ASSERT(sl_loop_index() < QUEUE_LOOPS_MAX);
    ids = &queues->ids[sl_loop_index()];
    if (!ids->is_ready) {
        bool is_sim = strcmp(sl_loop_name(), "sim") == 0;

        rand_init(&ids->rand, is_sim ? sl_random() : rand_entropy());
        uuid_maker_init(&ids->maker, &ids->rand);
        ids->is_ready = true;
    }
    uuid = uuid_make_v7(&ids->maker, wall_ms);
    memcpy(id.bytes, uuid.bytes, sizeof(id.bytes));
    return id;
}

static int retry_check(const JobRetry *retry)
{
    if (!(retry->coefficient >= 1) || retry->coefficient > 1e6)
        return fail(-ERR_INVALID, "backoff coefficient: must be between 1 and 1000000");
    if (retry->initial_ms < 1 || retry->max_ms < retry->initial_ms || retry->max_ms > TIME_MAX)
        return fail(-ERR_INVALID,
                    "retry intervals: the first must be above zero and the longest not below it");
    if (retry->n_non_retryable > JOB_NON_RETRYABLE_MAX)
        return fail(-ERR_INVALID, "non-retryable errors: at most %d", JOB_NON_RETRYABLE_MAX);
    for (size_t i = 0; i < retry->n_non_retryable; i++) {
        if (retry->non_retryable[i].len > PATTERN_MAX)
            return fail(-ERR_INVALID, "non-retryable errors: at most %d bytes each", PATTERN_MAX);
    }
    return 0;
}

static bool is_time(int64_t ms)
{
    return ms >= 0 && ms < TIME_MAX;
}

static int spec_check(const JobSpec *spec)
{
    if (spec->type.len == 0 || spec->type.len > TYPE_MAX)
        return fail(-ERR_INVALID, "type: must have 1 to %d bytes", TYPE_MAX);
    if (spec->queue.len > QUEUE_MAX)
        return fail(-ERR_INVALID, "queue: must have at most %d bytes", QUEUE_MAX);
    if (spec->priority < -PRIORITY_MAX || spec->priority > PRIORITY_MAX)
        return fail(-ERR_INVALID, "priority: must be between -%d and %d, got %d", PRIORITY_MAX,
                    PRIORITY_MAX, spec->priority);
    if (!is_time(spec->run_at_ms) || !is_time(spec->expires_at_ms))
        return fail(-ERR_INVALID, "times must be after 1970 and not in the far future");
    if (!is_time(spec->timeout_ms) || !is_time(spec->lease_ms))
        return fail(-ERR_INVALID, "time-outs must not be negative or of thousands of years");
    return spec->retry ? retry_check(spec->retry) : 0;
}

/* Ids for the N jobs of one push that have none, where they can be one transaction; others keep
 * theirs. */
static void make_ids(Queues *queues, const JobSpec *specs, size_t n, Str key, int64_t wall_ms,
                     JobId *ids)
{
    size_t n_made = 0;

    for (size_t i = 0; i < n; i++) {
        bool is_made = job_id_is_nil(&specs[i].id);

        ids[i] = is_made ? make_id(queues, wall_ms) : specs[i].id;
        n_made += is_made;
    }
    if (n_made == n)
        store_fit_ids(queues->store, key, ids, n);
}

/* All records one behind the other into OUT; RECORDS[i] has the length only. */
static int encode_all(const JobSpec *specs, const JobId *ids, size_t n, int64_t wall_ms, Buf *out,
                      Str *records)
{
    for (size_t i = 0; i < n; i++) {
        JobSpec spec = specs[i];
        size_t before = out->len;
        int r = spec_check(&spec);

        if (r == 0) {
            spec.id = ids[i];
            record_encode(out, &spec, wall_ms);
            r = buf_check(out);
        }
        if (r == 0 && out->len - before > LIMIT_JOB_RECORD_BYTES)
            r = fail(-ERR_TOO_LARGE, "the job takes %zu bytes; at most %d are stored",
                     out->len - before, LIMIT_JOB_RECORD_BYTES);
        if (r < 0)
            return n > 1 ? wrap(r, "jobs[%zu]", i) : r;
        records[i].len = out->len - before;
    }
    return 0;
}

/* The pushed jobs as they are stored: from our own records, or from those of the first time. */
static int answer_jobs(Arena *arena, const StoreOp *op, const Buf *encoded, Job *ret_jobs,
                       size_t *ret_n)
{
    char *copy;
    size_t at = 0;

    if (op->r == STORE_EXISTS)
        return jobs_from_out(arena, op, ret_jobs, op->push.n, ret_n);
    copy = arena_try(arena, encoded->len);
    if (!copy)
        return fail(-ENOMEM, "no memory for jobs");
    memcpy(copy, encoded->data, encoded->len);
    for (size_t i = 0; i < op->push.n; i++) {
        int r = record_decode(arena, str_from(copy + at, op->push.records[i].len), &ret_jobs[i]);
        if (r < 0)
            return r;
        at += op->push.records[i].len;
    }
    *ret_n = op->push.n;
    return 0;
}

SUSPENDS static int push_encoded(Arena *arena, Queues *queues, const Buf *encoded, Str *records,
                                 size_t n, const PushOpts *opts, Job *ret_jobs, size_t *ret_n)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_PUSH,
                   .push = { .records = records, .n = n, .key_ttl_ms = queues->idempotency_ms } };
    size_t at = 0, n_jobs = 0;
    int r, outcome;

    for (size_t i = 0; i < n; i++) {
        records[i].data = encoded->data + at;
        at += records[i].len;
    }
    if (opts) {
        op.push.key = opts->key;
        op.push.key_print = opts->print;
    }
    outcome = queue_run_op(queues, &op);
    if (outcome < 0)
        return n > 1 && outcome == -ERR_DUPLICATE && op.push.key.len == 0
                   ? wrap(outcome, "jobs[%zu]", op.push.at)
                   : outcome;
    if (ret_jobs) {
        r = answer_jobs(arena, &op, encoded, ret_jobs, &n_jobs);
        if (r < 0)
            return r;
    }
    if (ret_n)
        *ret_n = n_jobs;
    return outcome == STORE_EXISTS ? QUEUE_EXISTS : 0;
}

int queue_push_many(Arena *arena, Queues *queues, const JobSpec *specs, size_t n,
                    const PushOpts *opts, Job *ret_jobs, size_t *ret_n)
{
    AUTO(buf_deinit) Buf encoded = { 0 };
    int64_t wall_ms = store_now(queues->store).wall_ms;
    Str one, *records = &one;
    JobId one_id, *ids = &one_id;
    int r;

    ASSERT(n > 0);
    if (n > LIMIT_PUSH_JOBS)
        return fail(-ERR_TOO_LARGE, "%zu jobs in one push; at most %d", n, LIMIT_PUSH_JOBS);
    if (opts && opts->key.len > LIMIT_IDEMPOTENCY_KEY)
        return fail(-ERR_INVALID, "idempotency key: at most %d bytes", LIMIT_IDEMPOTENCY_KEY);
    if (n > 1) {
        records = arena_try(arena, n * sizeof(Str));
        ids = arena_try(arena, n * sizeof(JobId));
        if (!records || !ids)
            return fail(-ENOMEM, "no memory for jobs");
    }
    make_ids(queues, specs, n, opts ? opts->key : (Str){ 0 }, wall_ms, ids);
    r = encode_all(specs, ids, n, wall_ms, &encoded, records);
    if (r < 0)
        return r;
    return push_encoded(arena, queues, &encoded, records, n, opts, ret_jobs, ret_n);
}

int queue_push(Arena *arena, Queues *queues, const JobSpec *spec, const PushOpts *opts,
               Job *ret_job)
{
    size_t n;
    int r = queue_push_many(arena, queues, spec, 1, opts, ret_job, &n);

    if (r == QUEUE_EXISTS && ret_job && n == 0)
        return fail(-ERR_NOT_FOUND, "the job of this idempotency key has been forgotten");
    return r;
}
