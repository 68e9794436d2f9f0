/*
 * The queues' life, and the calls that concern one job or none.
 *
 * Every call is the same three steps: describe an operation, hand it to the store's gate, turn the
 * answer into jobs or words. What was decided before the hand-over is guarded: if the job has moved
 * meanwhile the store says so and nothing has happened.
 */
#include "queue/queue_int.h"

#include "base/assert.h"

#include <errno.h>

/* ---- life ------------------------------------------------------------------------------------ */

static StoreRetention default_retention(void)
{
    const int64_t day_ms = INT64_C(24) * 3600 * 1000;

    return (StoreRetention){ .completed_ms = LIMIT_RETENTION_COMPLETED_MS,
                             .completed_max = LIMIT_RETENTION_COMPLETED,
                             .cancelled_ms = LIMIT_RETENTION_COMPLETED_MS,
                             .cancelled_max = LIMIT_RETENTION_COMPLETED,
                             .discarded_ms = LIMIT_RETENTION_DISCARDED_DAYS * day_ms,
                             .discarded_max = LIMIT_RETENTION_DISCARDED };
}

/* A store on this machine waits for its disk, or does not. */
static int set_durability(const QueueOpts *opts, StoreOpts *store)
{
    store->config.durability = opts->durability;
    if (store->driver->remote || opts->durability.len == 0)
        return 0;
    store->config.is_async = str_eq_c(opts->durability, "async");
    if (!store->config.is_async && !str_eq_c(opts->durability, "sync"))
        return fail(-ERR_USAGE, "durability: the store %s takes sync or async, not \"%.*s\"",
                    store->driver->name, (int) MIN(opts->durability.len, (size_t) 40),
                    opts->durability.data);
    return 0;
}

int queue_start(sl_nursery *nursery, const QueueOpts *opts, Queues **ret_queues)
{
    StoreOpts store = { .config = { .is_async = opts->is_async,
                                    .max_bytes = opts->max_bytes,
                                    .reserve_bytes = opts->reserve_bytes,
                                    .allow_eviction = opts->allow_eviction,
                                    .nursery = nursery,
                                    .image = opts->image,
                                    .seams = opts->seams },
                        .listener = events_from_store };
    Queues *queues;
    int r;

    ASSERT(nursery && opts->store);
    r = store_find_driver(str_from_c(opts->store), &store.driver, &store.config.path);
    if (r == 0)
        r = set_durability(opts, &store);
    if (r < 0)
        return r;
    queues = mem_new(Queues);
    queues->lease_ms = opts->lease_ms > 0 ? opts->lease_ms : LIMIT_LEASE_MS;
    queues->loss_limit = opts->loss_limit > 0 ? opts->loss_limit : LIMIT_JOB_LOSSES;
    queues->idempotency_ms = opts->idempotency_ms > 0 ? opts->idempotency_ms : LIMIT_IDEMPOTENCY_MS;
    queues->retention = opts->retention ? *opts->retention : default_retention();
    queues->home = sl_loop_self();
    store.listener_ctx = queues;
    r = store_open(&store, &queues->store);
    if (r < 0) {
        mem_free(queues);
        return r;
    }
    if (opts->is_still)
        sl_event_set(&queues->stopped);
    else
        r = migrate_refuse_moved(queues);
    if (r == 0 && !opts->is_still)
        r = sl_spawn(nursery, ticker_main, queues, .name = "queue ticker");
    if (r < 0) {
        store_close(queues->store);
        mem_free(queues);
        return r;
    }
    *ret_queues = queues;
    return 0;
}

void queue_stop(Queues *queues)
{
    if (!queues)
        return;
    queues->is_stopping = true;
    if (queues->sleep)
        sl_scope_cancel(queues->sleep);
    while (!queues->stopped.is_set) {
        sl_scope shield;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = 60000);
        (void) sl_scope_end(&shield, sl_event_wait(&queues->stopped)); /* is_set tells */
    }
    store_close(queues->store);
    events_drain(queues);
    mem_free(queues);
}

/* ---- operations and answers ------------------------------------------------------------------ */

int queue_run_op(Queues *queues, StoreOp *op)
{
    int r = store_run(queues->store, op);

    if (r < 0)
        return r;
    return op->r < 0 ? store_op_fail(op) : op->r;
}

int jobs_from_out(Arena *arena, const StoreOp *op, Job *ret_jobs, size_t max, size_t *ret_n)
{
    Buf copy = { .len = op->out.len };
    size_t cursor = 0, n = 0;
    Str record;

    *ret_n = 0;
    if (op->out.len == 0)
        return 0;
    copy.data = arena_try(arena, op->out.len);
    if (!copy.data)
        return fail(-ENOMEM, "no memory for jobs");
    memcpy(copy.data, op->out.data, op->out.len);
    while (n < max && store_out_next(&copy, &cursor, &record)) {
        bool has_holder = op->kind == STORE_GET || op->kind == STORE_WAIT ||
                          op->kind == STORE_LIST || op->kind == STORE_EXPIRED;
        int r = record_decode(arena, record, &ret_jobs[n]);

        if (r < 0)
            return r;
        if (has_holder && ret_jobs[n].state == JOB_ACTIVE) {
            bool is_there = store_out_next(&copy, &cursor, &ret_jobs[n].worker);
            ASSERT(is_there);
        }
        n++;
    }
    *ret_n = n;
    return 0;
}

static int one_job(Arena *arena, const StoreOp *op, Job *ret_job)
{
    Job job;
    size_t n;
    int r = jobs_from_out(arena, op, &job, 1, &n);

    if (r < 0)
        return r;
    ASSERT(n == 1);
    *ret_job = job;
    return 0;
}

/* ---- one job --------------------------------------------------------------------------------- */

int queue_get(Arena *arena, Queues *queues, const JobId *id, Job *ret_job)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_GET, .get.id = *id };
    int r = queue_run_op(queues, &op);

    if (r < 0 || !ret_job)
        return r;
    return one_job(arena, &op, ret_job);
}

/* Do one guarded move; RET_JOB is the job afterwards. */
SUSPENDS static int run_move(Arena *arena, Queues *queues, StoreMove *move, Job *ret_job)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_MOVE,
                   .move = { .moves = move, .n = 1, .wants_records = ret_job != NULL } };
    int r = queue_run_op(queues, &op);

    if (r < 0)
        return r;
    if (move->r == -ERR_NOT_FOUND)
        return fail(-ERR_NOT_FOUND, "there is no such job");
    if (move->r < 0)
        return fail(move->r, "the job is %s", job_state_name(move->was));
    return ret_job ? one_job(arena, &op, ret_job) : 0;
}

int queue_cancel(Arena *arena, Queues *queues, const JobId *id, Job *ret_job, JobState *ret_was)
{
    StoreMove move = {
        .id = *id, .from = JOB_IN_LIVE, .to = JOB_CANCELLED, .reason = JOB_REASON_REQUESTED
    };
    int r = run_move(arena, queues, &move, ret_job);

    if (ret_was && r != -ECANCELED)
        *ret_was = move.was;
    return r;
}

int queue_activate(Arena *arena, Queues *queues, const JobId *id, Job *ret_job)
{
    StoreMove move = { .id = *id, .from = JOB_IN(PENDING), .to = JOB_AVAILABLE };

    return run_move(arena, queues, &move, ret_job);
}

int queue_retry(Arena *arena, Queues *queues, const JobId *id, bool only_dead_letter, Job *ret_job)
{
    StoreMove move = { .id = *id,
                       .from = only_dead_letter
                                   ? JOB_IN(DISCARDED)
                                   : JOB_IN(DISCARDED) | JOB_IN(SCHEDULED) | JOB_IN(RETRYABLE),
                       .only_dead_letter = only_dead_letter,
                       .to = JOB_AVAILABLE,
                       .starts_over_if = JOB_IN(DISCARDED) };

    return run_move(arena, queues, &move, ret_job);
}

int queue_delete(Queues *queues, const JobId *id, bool only_dead_letter)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_DELETE, .del = { *id, JOB_IN_FINAL, only_dead_letter } };

    return queue_run_op(queues, &op);
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* The operation waits in the gate; the limit on time is a scope of ours around it. */
SUSPENDS static int run_for(Queues *queues, StoreOp *op, int64_t wait_ms)
{
    sl_scope scope;
    int r;

    if (wait_ms < 0)
        return queue_run_op(queues, op);
    sl_scope_begin(&scope, .timeout_ms = MAX(wait_ms, INT64_C(1)));
    r = queue_run_op(queues, op);
    return sl_scope_end(&scope, r);
}

int queue_wait_job(Arena *arena, Queues *queues, const JobId *id, int64_t wait_ms, Job *ret_job)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = wait_ms == 0 ? STORE_GET : STORE_WAIT, .get.id = *id };
    Job job;
    int r = wait_ms == 0 ? queue_run_op(queues, &op) : run_for(queues, &op, wait_ms);

    if (r == -ETIMEDOUT)
        r = STORE_EMPTY; /* over before it was handed over */
    if (r < 0)
        return r;
    if (sl_is_cancelled())
        return fail(-ECANCELED, "cancelled");
    if (r == STORE_EMPTY) { /* taken back: what it looks like now */
        r = queue_get(arena, queues, id, &job);
    } else {
        r = one_job(arena, &op, &job);
    }
    if (r < 0)
        return r;
    if (ret_job)
        *ret_job = job;
    return job_state_is_final(job.state) ? 0 : QUEUE_PENDING;
}

/* ---- small values and checks ----------------------------------------------------------------- */

int queue_meta_get(Arena *arena, Queues *queues, Str name, Str *ret_value)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_META, .meta.name = name };
    char *copy;
    int r = queue_run_op(queues, &op);

    if (r < 0)
        return r;
    copy = arena_try(arena, op.out.len + 1);
    if (!copy)
        return fail(-ENOMEM, "no memory for a value");
    memcpy(copy, op.out.data ? op.out.data : "", op.out.len);
    *ret_value = str_from(copy, op.out.len);
    return 0;
}

int queue_meta_put(Queues *queues, Str name, Str value)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_META, .meta = { .name = name, .value = value, .writes = true } };

    ASSERT(name.len > 0 && name.len <= 200);
    if (value.len > LIMIT_META_BYTES)
        return fail(-ERR_TOO_LARGE, "a value of %zu bytes; at most %d are kept", value.len,
                    LIMIT_META_BYTES);
    return queue_run_op(queues, &op);
}

int queue_check(Queues *queues, uint64_t *ret_jobs)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_CHECK };
    int r = queue_run_op(queues, &op);

    if (ret_jobs)
        *ret_jobs = op.check.jobs;
    return r;
}

int queue_ping(Queues *queues)
{
    static const Str nothing = STR("\xff");
    StoreQueueInfo info;
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_QUEUES, .queues = { .after = nothing, .infos = &info, .max = 1 } };
    int r = queue_run_op(queues, &op);

    return r < 0 ? r : 0;
}

void queue_store_stats(Queues *queues, StoreStats *ret_stats)
{
    store_stats(queues->store, ret_stats);
}

const char *queue_store_name(const Queues *queues)
{
    return store_driver_name(queues->store);
}

size_t queue_store_notes(Queues *queues, StoreNote *notes, size_t max)
{
    return store_notes(queues->store, notes, max);
}

bool queue_is_shared(const Queues *queues)
{
    return store_is_remote(queues->store);
}

int64_t queue_now_ms(const Queues *queues)
{
    return store_now(queues->store).wall_ms;
}
