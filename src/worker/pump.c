/*
 * Between the worker and the queue.
 *
 * The pump answers whatever has ended and leases as many as there is room for, in one transaction.
 * While that transaction is on its way to the disk further jobs end; they are the next batch. So
 * the batch grows with the load by itself, and one lonely job is answered at once. The leaser waits
 * in the queue while there is nothing to do; the two never lease at the same time.
 *
 * What could not be answered because the store fails stays done and is answered again later; the
 * fence makes a repeat harmless. A transaction may also have given the answers and then fail to
 * deliver the leases behind them, so each answer says for itself whether it was given: it starts as
 * ANSWER_NONE.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/worker_int.h"

#define WORKER_SAY_NS (5 * NS_PER_S) /* between two log lines about a store that fails */
#define ANSWER_NONE   1              /* in Finish.r: the store has not said anything */

int worker_pause_after(Worker *worker, int r, const char *what)
{
    int64_t now_ns = sl_now_ns();
    Err err;

    if (r == -ECANCELED)
        return r;
    err_take(r, &err);
    if (worker->said_ns == 0 || now_ns - worker->said_ns >= WORKER_SAY_NS) {
        worker->said_ns = now_ns;
        log_warn("store fails, trying again", L_C("worker", worker->name), L_C("what", what),
                 L_STR("error", str_from(err.text, (size_t) err.len)));
    }
    return sl_sleep_ms(WORKER_RETRY_MS);
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* ORDER has room for the queues when they are weighted: the store reads it as long as the lease is
 * on its way. */
static LeaseOpts lease_opts(Worker *worker, Str *order, size_t max, int64_t wait_ms)
{
    if (worker->turns)
        turns_next(worker->opts.queue_names, worker->opts.queue_weights, worker->turns,
                   worker->opts.n_queue_names, order);
    return (LeaseOpts){
        .queues = worker->turns ? order : worker->opts.queue_names,
        .n_queues = worker->opts.n_queue_names,
        .max = max,
        .lease_ms = worker->opts.lease_ms,
        .wait_ms = wait_ms,
        .worker = str_from_c(worker->name),
        .filter = &worker->filter,
    };
}

/* Jobs in one call. A commit to disk is the cheaper for a job the more share it; Redis needs a
 * tenth more time for each job in calls of 700 than in calls of 256 (docs/benchmarks.md). */
static size_t batch_max(const Worker *worker)
{
    return queue_is_shared(worker->opts.queues) ? LIMIT_WORKER_SHARED : LIMIT_WORKER_ANSWERS;
}

/* What a lease of large jobs cannot hold is given back by the queue; then fewer are asked for. */
static void note_lease(Worker *worker, int r)
{
    if (r < 0)
        worker->take_max = MAX(worker->take_max / 2, (size_t) 1);
    else
        worker->take_max = MIN(worker->take_max * 2,
                               MIN(batch_max(worker), (size_t) LIMIT_LEASE_JOBS));
}

/* Wait for jobs to come. Below zero: cancellation, or the store. */
SUSPENDS static int lease_and_wait(Worker *worker)
{
    size_t max = worker_room(worker, 0), n = 0;
    LeaseOpts opts = lease_opts(worker, worker->leaser_queues, max, -1);
    Batch *batch = batch_new(max);
    sl_scope scope;
    int r;

    sl_scope_begin(&scope);
    worker->lease_scope = &scope;
    r = queue_lease(&batch->arena, worker->opts.queues, &opts, batch->jobs, &n);
    worker->lease_scope = NULL;
    r = sl_scope_end(&scope, r);
    note_lease(worker, r);
    if (r == 0 && n > 0) {
        worker_accept(worker, batch, n);
        return 0;
    }
    batch_drop(batch);
    return r < 0 ? r : sl_yield();
}

int worker_leaser(void *arg)
{
    Worker *worker = arg;

    for (;;) {
        int r = 0;

        if (!worker->is_pump_leasing && worker_room(worker, 0) > 0)
            r = lease_and_wait(worker);
        else
            r = sl_cond_wait(&worker->lease_cond);
        if (r < 0)
            r = worker_pause_after(worker, r, "lease");
        if (r < 0)
            return r;
    }
}

/* ---- answering ------------------------------------------------------------------------------- */

static void note_given(Worker *worker, Held *held)
{
    const Finish *finish = &held->finish;

    switch (finish->kind) {
    case FINISH_COMPLETE: worker->stats.completed++; break;
    case FINISH_RELEASE: worker->stats.released++; break;
    case FINISH_FAIL:
        worker->stats.failed++;
        log_info("job failed", L_C("job", held_id(held)), L_STR("type", held->job->type),
                 L_UINT("attempt", finish->attempt), L_C("state", job_state_name(finish->state)),
                 L_STR("error", finish->error.message));
        break;
    }
}

/* A result that does not fit into the job's record is the job's failure: another attempt would not
 * be shorter. True when the job has another answer to give instead. */
static bool fails_instead(Held *held)
{
    Finish *finish = &held->finish;

    if (finish->kind != FINISH_COMPLETE || finish->state != JOB_ACTIVE ||
        err_http_status(finish->r) != 413)
        return false;
    *finish = (Finish){ .kind = FINISH_FAIL,
                        .id = held->job->id,
                        .fence = held->job->fence,
                        .job = held->job,
                        .error = { .type = STR("TOO_LARGE"),
                                   .code = STR("result_too_large"),
                                   .message = STR("the result is too large to be kept"),
                                   .is_final = true } };
    return true;
}

/* The end of an answer that was given or refused. */
static void settle(Worker *worker, Held *held)
{
    if (held->finish.r >= 0) {
        note_given(worker, held);
    } else if (fails_instead(held)) {
        held_move(worker, held, HELD_DONE);
        return;
    } else {
        worker->stats.refused++;
        log_warn("answer refused", L_C("job", held_id(held)), L_C("why", err_name(held->finish.r)));
    }
    held_release(worker, held);
}

/* Give the N answers, and take jobs in their place unless the leaser waits for them already. */
SUSPENDS static int exchange(Worker *worker, Finish *finishes, size_t n)
{
    size_t max = worker->lease_scope ? 0 : worker_room(worker, n), taken = 0;
    LeaseOpts opts;
    Batch *batch;
    int r;

    if (max == 0)
        return queue_finish_many(worker->opts.queues, finishes, n);

    opts = lease_opts(worker, worker->pump_queues, max, 0);
    batch = batch_new(max);
    worker->is_pump_leasing = true;
    r = queue_finish_and_lease(&batch->arena, worker->opts.queues, finishes, n, &opts, batch->jobs,
                               &taken);
    worker->is_pump_leasing = false;
    note_lease(worker, r);
    if (r == 0)
        worker_accept(worker, batch, taken);
    else
        batch_drop(batch);
    return r;
}

/* Answer what is done, as one batch; what could not be answered is done again. */
SUSPENDS static int pump_once(Worker *worker, Held **helds, Finish *finishes)
{
    size_t n = 0;
    Held *held;
    int r;

    while (n < batch_max(worker) && (held = held_first(&worker->done))) {
        held_move(worker, held, HELD_ANSWERING);
        finishes[n] = held->finish;
        finishes[n].r = ANSWER_NONE;
        helds[n++] = held;
    }
    r = exchange(worker, finishes, n);
    for (size_t i = 0; i < n; i++) {
        if (finishes[i].r == ANSWER_NONE) {
            ASSERT(r < 0);
            held_move(worker, helds[i], HELD_DONE);
            continue;
        }
        helds[i]->finish = finishes[i];
        settle(worker, helds[i]); /* W1 */
    }
    sl_cond_wake_all(&worker->lease_cond);
    return r;
}

int worker_pump(void *arg)
{
    Worker *worker = arg;
    Held **helds = mem_new_array(Held *, LIMIT_WORKER_ANSWERS);
    Finish *finishes = mem_new_array(Finish, LIMIT_WORKER_ANSWERS);
    int r = 0;

    while (r == 0) {
        if (list_is_empty(&worker->done))
            r = sl_cond_wait(&worker->pump_cond);
        else
            r = pump_once(worker, helds, finishes);
        if (r < 0)
            r = worker_pause_after(worker, r, "answer");
    }
    mem_free(helds);
    mem_free(finishes);
    return r;
}
