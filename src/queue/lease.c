/*
 * Leases: jobs to workers, and how long they may keep them.
 *
 * A lease that waits is parked in the store's gate, which serves it in the transaction that brings
 * a job. Between that commit and the caller lies a moment in which the caller may have been
 * cancelled: a grant that nobody will see is given back at once, its attempt not counted (Q5).
 */
#include "queue/queue_int.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"

#include <errno.h>

enum { GIVE_BACK_MS = 10000 };

int lease_to_op(const Queues *queues, const LeaseOpts *opts, StoreOp *op)
{
    if (opts->n_queues > LIMIT_LEASE_QUEUES)
        return fail(-ERR_INVALID, "queues: must name 1 to %d queues", LIMIT_LEASE_QUEUES);
    if (opts->worker.len > LIMIT_WORKER_NAME)
        return fail(-ERR_INVALID, "worker: at most %d bytes", LIMIT_WORKER_NAME);
    *op = (StoreOp){ .kind = STORE_LEASE,
                     .lease = { .queues = opts->queues,
                                .n_queues = opts->n_queues,
                                .max = MIN(MAX(opts->max, (size_t) 1), (size_t) LIMIT_LEASE_JOBS),
                                .lease_ms = opts->lease_ms,
                                .default_ms = queues->lease_ms,
                                .worker = opts->worker,
                                .filter = opts->filter } };
    return 0;
}

void lease_give_back(Queues *queues, const StoreOp *lease)
{
    StoreMove *moves = mem_new_array(StoreMove, lease->lease.n);
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_MOVE, .move = { .moves = moves } };
    size_t cursor = 0;
    sl_scope shield;
    Str record;
    int r;

    while (store_out_next(&lease->out, &cursor, &record)) {
        RecordHead head;

        ASSERT(op.move.n < lease->lease.n);
        record_head_get(record_body(record), &head);
        moves[op.move.n++] = (StoreMove){ .id = record_id(record),
                                          .from = JOB_IN(ACTIVE),
                                          .fence = head.fence,
                                          .to = JOB_AVAILABLE,
                                          .gives_back = true,
                                          .keeps_place = true };
    }
    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = GIVE_BACK_MS);
    r = sl_scope_end(&shield, store_run(queues->store, &op));
    if (r < 0 || op.r < 0)
        log_debug("leased jobs not given back; their leases will end", L_UINT("jobs", op.move.n));
    mem_free(moves);
}

static void observe_waits(const Job *jobs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].enqueued_ms > 0)
            metrics_observe(METRIC_JOB_WAIT,
                            MAX(jobs[i].started_ms - jobs[i].enqueued_ms, INT64_C(0)) * NS_PER_MS);
    }
}

/* What a lease has granted to the caller, or back to the queue if the caller cannot have it. */
SUSPENDS static int deliver(Arena *arena, Queues *queues, const StoreOp *op, size_t max,
                            Job *ret_jobs, size_t *ret_n)
{
    int r = sl_is_cancelled() ? fail(-ECANCELED, "cancelled")
                              : jobs_from_out(arena, op, ret_jobs, max, ret_n);

    if (r < 0) {
        Err err;

        err_take(r, &err);
        lease_give_back(queues, op);
        return err_put(&err);
    }
    observe_waits(ret_jobs, *ret_n);
    return 0;
}

/* Ask without waiting; again while the gate says that it has not looked at everything. */
SUSPENDS static int lease_now(Queues *queues, StoreOp *op)
{
    int r;

    do {
        r = queue_run_op(queues, op);
    } while (r == STORE_MORE);
    return r;
}

SUSPENDS static int lease_waiting(Queues *queues, StoreOp *op, int64_t wait_ms)
{
    sl_scope scope;
    int r;

    op->lease.waits = true;
    if (wait_ms < 0)
        return queue_run_op(queues, op);
    sl_scope_begin(&scope, .timeout_ms = wait_ms);
    r = queue_run_op(queues, op);
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? STORE_EMPTY : r; /* over before it was handed over */
}

int queue_lease(Arena *arena, Queues *queues, const LeaseOpts *opts, Job *ret_jobs, size_t *ret_n)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_LEASE };
    int r = lease_to_op(queues, opts, &op);

    if (r < 0)
        return r;
    *ret_n = 0;
    r = opts->wait_ms == 0 ? lease_now(queues, &op) : lease_waiting(queues, &op, opts->wait_ms);
    if (r == STORE_EMPTY)
        return sl_is_cancelled() ? fail(-ECANCELED, "cancelled") : QUEUE_EMPTY;
    if (r < 0)
        return r;
    return deliver(arena, queues, &op, op.lease.max, ret_jobs, ret_n);
}

int queue_finish_and_lease(Arena *arena, Queues *queues, Finish *finishes, size_t n,
                           const LeaseOpts *opts, Job *ret_jobs, size_t *ret_n)
{
    AUTO(store_op_deinit) StoreOp lease = { .kind = STORE_LEASE };
    int r = lease_to_op(queues, opts, &lease);

    if (r < 0)
        return r;
    *ret_n = 0;
    r = finish_run(queues, finishes, n, &lease);
    if (r < 0)
        return r;
    if (lease.r < 0)
        return store_op_fail(&lease);
    if (lease.r != 0)
        return 0;
    return deliver(arena, queues, &lease, lease.lease.max, ret_jobs, ret_n);
}

/* ---- heartbeats ------------------------------------------------------------------------------ */

static void beat_answer(const StoreBeat *from, Beat *beat)
{
    beat->is_extended = from->r == 0;
    beat->is_cancelled = from->r == -ERR_CONFLICT && from->state == JOB_CANCELLED;
    beat->is_lost = from->r < 0 && !beat->is_cancelled;
    beat->directive = from->directive;
    beat->until_ms = from->until_ms;
}

int queue_heartbeat(Queues *queues, Str worker, int64_t lease_ms, Beat *beats, size_t n)
{
    StoreBeat *store_beats;
    int r;

    if (n == 0)
        return 0;
    if (n > LIMIT_PUSH_JOBS || worker.len > LIMIT_WORKER_NAME || lease_ms > INT32_MAX)
        return fail(-ERR_INVALID,
                    "a heartbeat with too many jobs, too long a name or too long a lease");
    store_beats = mem_new_array(StoreBeat, n);
    for (size_t i = 0; i < n; i++)
        store_beats[i] = (StoreBeat){ .id = beats[i].id, .fence = beats[i].fence };
    {
        AUTO(store_op_deinit)
        StoreOp op = { .kind = STORE_EXTEND,
                       .extend = {
                           .beats = store_beats, .n = n, .lease_ms = lease_ms, .worker = worker } };
        r = queue_run_op(queues, &op);
    }
    for (size_t i = 0; i < n && r >= 0; i++)
        beat_answer(&store_beats[i], &beats[i]);
    mem_free(store_beats);
    return r;
}
