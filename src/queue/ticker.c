/*
 * The ticker: what happens to jobs because time passes. One fiber.
 *
 *   promote   scheduled jobs whose time has come (wall clock), retries that are due (steady clock)
 *   expire    leases that have ended (steady clock): a loss, or the job's time-out
 *   sweep     finished jobs that retention lets go, idempotency keys
 *
 * It sleeps until the next of these is due; the store wakes it when something earlier comes in. The
 * steady clock is monotonic: a step of the wall clock moves scheduled jobs, which are promised for
 * a time of day, and neither ends a lease nor delays a retry.
 */
#include "queue/queue_int.h"

#include "base/assert.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>

enum { SWEEP_MS = 1000, ERROR_MS = 200, ELSEWHERE_MS = 60000, MESSAGE_BYTES = 400 };

/* When something is due next, as the store says. */
typedef struct Due {
    int64_t wall_ms;
    int64_t steady_ms;
    bool is_elsewhere; /* another process does what time asks for, until then at least */
} Due;

static void watch_clock(Queues *queues)
{
    StoreNow now = store_now(queues->store);
    int64_t step = (now.wall_ms - queues->last_wall_ms) - (now.steady_ms - queues->last_steady_ms);

    if (queues->last_wall_ms != 0 && (step > LIMIT_CLOCK_STEP_MS || step < -LIMIT_CLOCK_STEP_MS))
        log_debug("wall clock was set", L_MS("step", step));
    queues->last_wall_ms = now.wall_ms;
    queues->last_steady_ms = now.steady_ms;
}

/* ---- promote --------------------------------------------------------------------------------- */

/* What is due becomes available; RET_NEXT says what is due then, and whether others see to it. */
SUSPENDS static int promote(Queues *queues, Due *ret_next)
{
    int r;

    do {
        AUTO(store_op_deinit) StoreOp op = { .kind = STORE_PROMOTE, .due.max = LIMIT_TICK_JOBS };
        r = queue_run_op(queues, &op);
        *ret_next = (Due){ op.due.next_wall_ms, op.due.next_steady_ms, op.due.is_elsewhere };
    } while (r == STORE_MORE);
    return r;
}

/* ---- expire ---------------------------------------------------------------------------------- */

typedef struct Ended {
    JobError error;
    char message[MESSAGE_BYTES];
} Ended;

static void ended_by_timeout(const Job *job, StoreNow now, Ended *ended, StoreMove *move)
{
    static const Str timeout = STR("timeout");
    Verdict verdict;

    snprintf(ended->message, sizeof(ended->message),
             "the attempt took longer than its time-out of %lld ms", (long long) job->timeout_ms);
    ended->error = (JobError){ .type = timeout,
                               .code = timeout,
                               .message = str_from_c(ended->message),
                               .attempt = job->attempt,
                               .at_ms = now.wall_ms };
    verdict = policy_failure(job, &ended->error, queue_draw());
    move->to = verdict.to;
    move->reason = verdict.reason;
    move->is_dead_letter = verdict.is_dead_letter;
    move->error = &ended->error;
    if (verdict.to == JOB_RETRYABLE) {
        move->due_ms = now.steady_ms + verdict.delay_ms;
        move->retry_delay_ms = (uint32_t) MIN(verdict.delay_ms, (int64_t) UINT32_MAX);
    }
}

static void ended_by_loss(const Queues *queues, const Job *job, StoreNow now, Ended *ended,
                          StoreMove *move)
{
    static const Str lost = STR("worker_lost");
    Verdict verdict = policy_loss(job, queues->loss_limit);

    move->to = verdict.to;
    move->reason = verdict.reason;
    move->is_dead_letter = verdict.is_dead_letter;
    move->is_loss = true;
    if (verdict.to == JOB_AVAILABLE) {
        move->gives_back = move->keeps_place = true; /* Q3 */
        return;
    }
    snprintf(
        ended->message, sizeof(ended->message),
        "lost %u workers; the last, %.*s, gave no answer within %lld ms of its last sign of life",
        job->lost + 1, job->worker.len ? (int) job->worker.len : 7,
        job->worker.len ? job->worker.data : "unnamed", (long long) job->lease_length_ms);
    ended->error = (JobError){ .type = lost,
                               .code = lost,
                               .message = str_from_c(ended->message),
                               .is_final = true,
                               .attempt = job->attempt,
                               .at_ms = now.wall_ms };
    move->error = &ended->error;
}

/* End the leases of JOBS, unless they are renewed before the store gets to it. */
SUSPENDS static int end_leases(Arena *arena, Queues *queues, const Job *jobs, size_t n)
{
    StoreNow now = store_now(queues->store);
    StoreMove *moves = arena_try(arena, n * sizeof(StoreMove));
    Ended *ended = arena_try(arena, n * sizeof(Ended));
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_MOVE, .move = { .moves = moves, .n = n } };

    if (!moves || !ended)
        return fail(-ENOMEM, "no memory to end leases");
    for (size_t i = 0; i < n; i++) {
        moves[i] = (StoreMove){
            .id = jobs[i].id, .from = JOB_IN(ACTIVE), .fence = jobs[i].fence, .only_expired = true
        };
        if (policy_is_timeout(&jobs[i], now.steady_ms))
            ended_by_timeout(&jobs[i], now, &ended[i], &moves[i]);
        else
            ended_by_loss(queues, &jobs[i], now, &ended[i], &moves[i]);
    }
    return queue_run_op(queues, &op);
}

SUSPENDS static int expire_some(Queues *queues, size_t max)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_EXPIRED, .due.max = max };
    Job *jobs;
    size_t n;
    int r, more = queue_run_op(queues, &op);

    if (more < 0 || op.due.n == 0)
        return more < 0 ? more : 0;
    arena_init(&arena, 0);
    jobs = arena_try(&arena, op.due.n * sizeof(Job));
    if (!jobs)
        return fail(-ENOMEM, "no memory to end leases");
    r = jobs_from_out(&arena, &op, jobs, op.due.n, &n);
    if (r == 0)
        r = end_leases(&arena, queues, jobs, n);
    return r < 0 ? r : more;
}

SUSPENDS static int expire(Queues *queues)
{
    size_t max = LIMIT_TICK_JOBS;
    int r;

    do {
        r = expire_some(queues, max);
        if (r == -ENOMEM && max > 1) { /* jobs may be large: fewer at once */
            max = max / 8 + 1;
            r = STORE_MORE;
        }
    } while (r == STORE_MORE);
    return r;
}

/* ---- sweep ----------------------------------------------------------------------------------- */

/*
 * One transaction, so that a long tail of old jobs does not hold up the rest. STORE_MORE when
 * there is one.
 */
SUSPENDS static int sweep(Queues *queues)
{
    StoreStats stats;

    store_stats(queues->store, &stats);
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_SWEEP,
                   .sweep = { .keep = policy_retention(&queues->retention, stats.is_full),
                              .max = LIMIT_SWEEP_JOBS } };

    return queue_run_op(queues, &op);
}

/* ---- the fiber ------------------------------------------------------------------------------- */

/* Sleep until something is due, at most MAX_MS; the store wakes us for what comes in earlier. */
SUSPENDS static int sleep_until(Queues *queues, const Due *due, int64_t max_ms)
{
    AUTO(store_op_deinit) StoreOp watch = { .kind = STORE_WATCH };
    StoreNow now = store_now(queues->store);
    int64_t wait;
    sl_scope scope;
    int r;

    watch.due.next_wall_ms = due->wall_ms;
    watch.due.next_steady_ms = due->steady_ms;
    wait = MIN(max_ms, MIN(due->wall_ms - now.wall_ms, due->steady_ms - now.steady_ms));
    if (wait <= 0 || queues->is_stopping)
        return 0;
    sl_scope_begin(&scope, .timeout_ms = wait);
    queues->sleep = &scope;
    r = queue_run_op(queues, &watch);
    queues->sleep = NULL;
    r = sl_scope_end(&scope, r);
    if (r == -ETIMEDOUT)
        return 0;
    return r < 0 ? r : 0;
}

SUSPENDS static int tick(Queues *queues, int64_t *next_sweep_ms)
{
    int64_t now_ms = store_now(queues->store).steady_ms;
    Due due;
    int r = promote(queues, &due);

    if (r >= 0 && due.is_elsewhere)
        return sleep_until(queues, &due, ELSEWHERE_MS);
    if (r >= 0)
        r = expire(queues);
    if (r >= 0 && now_ms >= *next_sweep_ms) {
        r = sweep(queues);
        *next_sweep_ms = r == STORE_MORE ? 0 : now_ms + SWEEP_MS;
    }
    if (r < 0)
        return r;
    if (*next_sweep_ms == 0)
        return sl_yield(); /* goes on sweeping */
    r = promote(queues, &due);
    return r != 0 ? MIN(r, 0) : sleep_until(queues, &due, MAX(*next_sweep_ms - now_ms, INT64_C(1)));
}

int ticker_main(void *arg)
{
    Queues *queues = arg;
    int64_t next_sweep_ms = 0;
    int r = 0;

    while (!queues->is_stopping && r != -ECANCELED) {
        watch_clock(queues);
        r = tick(queues, &next_sweep_ms);
        if (r < 0 && r != -ECANCELED) {
            Err err;

            err_take(r, &err);
            log_debug("ticker: the store does not answer", L_C("error", err.text));
            r = sl_sleep_ms(ERROR_MS);
        }
    }
    sl_event_set(&queues->stopped);
    return 0;
}
