/*
 * Finishing: what workers answer, many at once.
 *
 * Complete and release are moves as they stand. A failure needs the policy, and the policy needs
 * the job: from the caller when it has it, else it is read first, and the move is guarded by the
 * fence that was read, so that it applies to what was judged or not at all.
 */
#include "queue/queue_int.h"

#include "base/assert.h"
#include "base/metrics.h"

#include <errno.h>

double queue_draw(void)
{
    return (double) (sl_random() >> 11) * 0x1.0p-53;
}

static void fail_to_move(Queues *queues, Finish *finish, const Job *job, StoreMove *move)
{
    Verdict verdict = policy_failure(job, &finish->error, queue_draw());
    StoreNow now = store_now(queues->store);

    if (finish->error.at_ms == 0)
        finish->error.at_ms = now.wall_ms;
    finish->error.attempt = job->attempt;
    finish->max_attempts = job->max_attempts;
    move->to = verdict.to;
    move->reason = verdict.reason;
    move->is_dead_letter = verdict.is_dead_letter;
    move->error = &finish->error;
    if (move->fence == 0)
        move->fence = job->fence; /* it applies to the lease that was judged */
    if (verdict.to == JOB_RETRYABLE) {
        finish->retry_delay_ms = verdict.delay_ms;
        finish->next_attempt_ms = now.steady_ms + verdict.delay_ms;
        move->due_ms = finish->next_attempt_ms;
        move->retry_delay_ms = (uint32_t) MIN(verdict.delay_ms, (int64_t) UINT32_MAX);
    }
}

/* Fill MOVE, or settle the finish at once: false. */
static bool to_move(Queues *queues, Finish *finish, const Job *job, StoreMove *move)
{
    *move = (StoreMove){
        .id = finish->id, .from = JOB_IN(ACTIVE), .fence = finish->fence, .worker = finish->worker
    };
    switch (finish->kind) {
    case FINISH_COMPLETE:
        if (finish->result.len > LIMIT_JOB_RESULT_BYTES) {
            finish->r = -ERR_TOO_LARGE;
            finish->state = JOB_ACTIVE;
            return false;
        }
        move->to = JOB_COMPLETED;
        move->result = finish->result;
        return true;
    case FINISH_RELEASE:
        move->to = JOB_AVAILABLE;
        move->gives_back = move->keeps_place = true;
        return true;
    case FINISH_FAIL:
        if (job->state != JOB_ACTIVE) {
            finish->r = -ERR_CONFLICT;
            finish->state = job->state;
            finish->attempt = job->attempt;
            return false;
        }
        fail_to_move(queues, finish, job, move);
        return true;
    }
    UNREACHABLE("a kind of finish that is none");
}

static void take_answer(Finish *finish, const StoreMove *move)
{
    finish->r = move->r;
    finish->state = move->r < 0 ? move->was : move->to;
    finish->attempt = move->attempt;
    finish->at_ms = move->at_ms;
    if (move->r == -ERR_STALE_LEASE || move->r == -ERR_CONFLICT)
        metrics_add(METRIC_JOBS_STALE, 1);
}

/* Read the jobs of failures whose caller has none. Each into ARENA; NULL where there is none. */
SUSPENDS static int read_jobs(Arena *arena, Queues *queues, Finish *finishes, size_t n,
                              const Job **jobs)
{
    for (size_t i = 0; i < n; i++) {
        Job *job;
        int r;

        jobs[i] = finishes[i].job;
        if (finishes[i].kind != FINISH_FAIL || jobs[i])
            continue;
        job = arena_try(arena, sizeof(Job));
        if (!job)
            return fail(-ENOMEM, "no memory for a job");
        AUTO(store_op_deinit) StoreOp op = { .kind = STORE_GET, .get.id = finishes[i].id };
        r = store_run(queues->store, &op);
        if (r < 0)
            return r;
        if (op.r == 0) {
            size_t got;

            r = jobs_from_out(arena, &op, job, 1, &got);
            if (r < 0)
                return r;
            jobs[i] = job;
        } else if (op.r != -ERR_NOT_FOUND) {
            return store_op_fail(&op);
        }
    }
    return 0;
}

/* One transaction: all moves, then LEASE if there is one. */
SUSPENDS static int run_moves(Queues *queues, Finish *finishes, size_t n, const Job **jobs,
                              StoreMove *moves, size_t *which, StoreOp *lease)
{
    StoreOp op = { .kind = STORE_MOVE, .move = { .moves = moves }, .next = lease };
    StoreOp *chain = &op;
    int r;

    for (size_t i = 0; i < n; i++) {
        if (finishes[i].kind == FINISH_FAIL && !jobs[i]) {
            finishes[i].r = -ERR_NOT_FOUND;
            continue;
        }
        if (to_move(queues, &finishes[i], jobs[i], &moves[op.move.n]))
            which[op.move.n++] = i;
    }
    if (op.move.n == 0)
        chain = lease;
    r = chain ? store_run(queues->store, chain) : 0;
    if (r == 0 && op.r < 0)
        r = store_op_fail(&op);
    for (size_t i = 0; i < op.move.n && r == 0; i++)
        take_answer(&finishes[which[i]], &moves[i]);
    store_op_deinit(&op);
    return r;
}

int finish_run(Queues *queues, Finish *finishes, size_t n, StoreOp *lease)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const Job **jobs;
    StoreMove *moves;
    size_t *which;
    int r;

    if (n > LIMIT_PUSH_JOBS)
        return fail(-ERR_TOO_LARGE, "%zu answers at once; at most %d", n, LIMIT_PUSH_JOBS);
    arena_init(&arena, 0);
    jobs = arena_try(&arena, (n + 1) * sizeof(*jobs));
    moves = arena_try(&arena, (n + 1) * sizeof(*moves));
    which = arena_try(&arena, (n + 1) * sizeof(*which));
    if (!jobs || !moves || !which)
        return fail(-ENOMEM, "no memory for answers");
    r = read_jobs(&arena, queues, finishes, n, jobs);
    if (r < 0)
        return r;
    return run_moves(queues, finishes, n, jobs, moves, which, lease);
}

int queue_finish_many(Queues *queues, Finish *finishes, size_t n)
{
    return n > 0 ? finish_run(queues, finishes, n, NULL) : 0;
}

static int finish_words(const Finish *finish)
{
    if (finish->r == -ERR_NOT_FOUND)
        return fail(finish->r, "there is no such job");
    if (finish->r == -ERR_STALE_LEASE)
        return fail(finish->r, "the lease has ended; the job has been given to somebody else");
    if (finish->r == -ERR_TOO_LARGE)
        return fail(finish->r, "the result has %zu bytes; at most %d are kept", finish->result.len,
                    LIMIT_JOB_RESULT_BYTES);
    return fail(finish->r, "the job is %s, not active", job_state_name(finish->state));
}

int queue_finish(Arena *arena, Queues *queues, Finish *finish, Job *ret_job)
{
    AUTO(store_op_deinit) StoreOp get = { .kind = STORE_GET, .get.id = finish->id };
    Job job;
    size_t n = 0;
    int r;

    /* The read is in the chain of the move: nothing can come between. */
    r = finish_run(queues, finish, 1, ret_job ? &get : NULL);
    if (r < 0)
        return r;
    if (finish->r < 0)
        return finish_words(finish);
    if (!ret_job)
        return 0;
    if (get.r < 0)
        return store_op_fail(&get);
    r = jobs_from_out(arena, &get, &job, 1, &n);
    if (r < 0)
        return r;
    ASSERT(n == 1);
    *ret_job = job;
    return 0;
}
