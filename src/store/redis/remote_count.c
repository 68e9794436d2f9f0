/*
 * What this process has done to jobs, for /metrics: each process counts its own calls, so that the
 * sum over all of them is what happened. A move does not say of which queue its job is; it counts
 * as "other".
 */
#include "store/redis/remote_int.h"

#include "base/metrics.h"
#include "store/record.h"

static Str queue_of(Str record)
{
    static const Str none = STR("default");
    Str queue;

    return record_find(record_body(record), RECORD_QUEUE, &queue) ? queue : none;
}

/* RECORDS one behind the other are mostly of one queue: counted in runs. */
typedef struct Run {
    Metric metric;
    Str queue;
    int64_t n;
} Run;

static void run_add(Run *run, Str queue)
{
    if (run->n > 0 && !str_eq(run->queue, queue)) {
        metrics_add_label(run->metric, run->queue, run->n);
        run->n = 0;
    }
    run->queue = queue;
    run->n++;
}

static void run_end(const Run *run)
{
    if (run->n > 0)
        metrics_add_label(run->metric, run->queue, run->n);
}

static void count_push(const StoreOp *op)
{
    Run run = { .metric = METRIC_JOBS_PUSHED };

    for (size_t i = 0; i < op->push.n; i++)
        run_add(&run, queue_of(op->push.records[i]));
    run_end(&run);
}

static void count_lease(const StoreOp *op)
{
    Run run = { .metric = METRIC_JOBS_LEASED };
    size_t cursor = 0;
    Str record;

    while (store_out_next(&op->out, &cursor, &record))
        run_add(&run, queue_of(record));
    run_end(&run);
}

static void count_moves(const StoreOp *op)
{
    static const Str other = STR("other");
    static const Metric ends[JOB_STATE_COUNT] = { [JOB_COMPLETED] = METRIC_JOBS_COMPLETED,
                                                  [JOB_CANCELLED] = METRIC_JOBS_CANCELLED,
                                                  [JOB_DISCARDED] = METRIC_JOBS_DISCARDED };
    int64_t to[JOB_STATE_COUNT] = { 0 }, failed = 0, lost = 0;

    for (size_t i = 0; i < op->move.n; i++) {
        const StoreMove *move = &op->move.moves[i];

        if (move->r != 0)
            continue;
        to[move->to]++;
        lost += move->is_loss;
        failed += move->to == JOB_RETRYABLE || (move->to == JOB_DISCARDED && move->error);
    }
    for (size_t i = 0; i < JOB_STATE_COUNT; i++) {
        if (to[i] > 0 && job_state_is_final((JobState) i))
            metrics_add_label(ends[i], other, to[i]);
    }
    if (failed > 0)
        metrics_add_label(METRIC_JOBS_FAILED, other, failed);
    if (lost > 0)
        metrics_add_label(METRIC_JOBS_LOST, other, lost);
}

void remote_count(const StoreOp *op)
{
    if (op->kind == STORE_PUSH && op->r == 0)
        count_push(op);
    else if (op->kind == STORE_LEASE && op->r == 0)
        count_lease(op);
    else if (op->kind == STORE_MOVE && op->r >= 0)
        count_moves(op);
}
