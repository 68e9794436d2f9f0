/*
 * The checkers, as Jepsen and the trade have them.
 *
 *   total queue    what was acknowledged is there (nothing lost), what is there was attempted
 *                  (nothing unexpected)
 *   fences         each lease of a job has a greater fence than those before; of the answers one
 *                  completion at most is accepted, it has the greatest fence, no lease follows
 *   exclusion      nobody gets a job whose holder has a lease that has not ended nor was given up
 *   time           nothing runs before the time it was scheduled for or is to be retried at
 *   facts          what was said to be completed, cancelled, discarded is so, with that result
 *   conservation   the store's own check: indexes equal scans, counts equal recounts
 *   liveness       at the end every job is final
 */
#include "../sim/sim.h"

#include "base/err.h"
#include "base/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void history_violated(History *history, const char *fmt, ...)
{
    va_list args;

    if (history->why[0])
        return;
    va_start(args, fmt);
    vsnprintf(history->why, sizeof(history->why), fmt, args);
    va_end(args);
}

Seen *history_find(History *history, const JobId *id)
{
    for (size_t i = 0; i < history->n; i++) {
        if (job_id_eq(&history->jobs[i].id, id))
            return &history->jobs[i];
    }
    return NULL;
}

Seen *history_push(History *history, const JobId *id, uint32_t max_attempts)
{
    Seen *seen;

    if (history->n == SIM_JOBS_MAX)
        return NULL;
    seen = &history->jobs[history->n++];
    *seen = (Seen){ .id = *id, .is_attempted = true, .max_attempts = max_attempts };
    return seen;
}

static size_t number(const History *history, const Seen *seen)
{
    return (size_t) (seen - history->jobs);
}

void history_leased(History *history, const Job *job)
{
    Seen *seen = history_find(history, &job->id);

    if (!seen) {
        history_violated(history, "a job was leased that nobody pushed");
        return;
    }
    if (job->fence <= seen->fence)
        history_violated(history, "job %zu: fence %u after %u", number(history, seen), job->fence,
                         seen->fence);
    if (seen->n_completions > 0)
        history_violated(history, "job %zu: leased again after it was completed",
                         number(history, seen));
    /* One batch may grant it and then cancel it; the answers come in any order. */
    if (seen->is_cancelled && !history->has_steps && job->started_ms > seen->cancelled_ms)
        history_violated(history, "job %zu: leased after it was cancelled", number(history, seen));
    if (seen->is_discarded)
        history_violated(history, "job %zu: leased after it was discarded", number(history, seen));
    if (job->attempt == 0 || job->attempt > job->max_attempts)
        history_violated(history, "job %zu: attempt %u of %u", number(history, seen), job->attempt,
                         job->max_attempts);
    if (job->state != JOB_ACTIVE)
        history_violated(history, "job %zu: leased and %s", number(history, seen),
                         job_state_name(job->state));
    if (job->started_steady_ms < seen->held_until)
        history_violated(history, "job %zu: leased %lld ms before its holder's lease ends",
                         number(history, seen),
                         (long long) (seen->held_until - job->started_steady_ms));
    if (job->started_steady_ms < seen->not_before)
        history_violated(history, "job %zu: retried %lld ms early", number(history, seen),
                         (long long) (seen->not_before - job->started_steady_ms));
    if (!history->has_steps && job->started_ms < seen->run_at)
        history_violated(history, "job %zu: run %lld ms before its time", number(history, seen),
                         (long long) (seen->run_at - job->started_ms));
    if (job->lost > seen->n_leases + history->faults)
        history_violated(history, "job %zu: lost %u leases of %u that anybody had",
                         number(history, seen), job->lost, seen->n_leases);
    seen->fence = job->fence;
    seen->held_until = job->lease_until_ms;
    seen->n_leases++;
    history->duplicates += seen->n_leases > 1;
}

void history_held(History *history, const JobId *id, uint32_t fence, int64_t until)
{
    Seen *seen = history_find(history, id);

    if (seen->fence == fence)
        seen->held_until = until;
}

void history_died(History *history)
{
    history->faults++;
    for (size_t i = 0; i < history->n; i++)
        history->jobs[i].held_until = 0;
}

void history_completed(History *history, const JobId *id, uint32_t fence, const char *result, int r,
                       bool is_lost)
{
    Seen *seen = history_find(history, id);

    if (is_lost) {
        seen->may_be_completed = true;
        return;
    }
    if (r < 0) {
        history->refused++;
        return;
    }
    if (seen->n_completions > 0)
        history_violated(history, "job %zu: completed twice", number(history, seen));
    if (fence != seen->fence)
        history_violated(history, "job %zu: completion with fence %u accepted, %u was leased since",
                         number(history, seen), fence, seen->fence);
    if (seen->is_cancelled || seen->is_discarded)
        history_violated(history, "job %zu: completed after its end", number(history, seen));
    seen->held_until = 0;
    seen->n_completions++;
    snprintf(seen->result, sizeof(seen->result), "%s", result);
}

static void check_end(History *history, const Seen *seen, const Job *job)
{
    bool may_be = seen->may_be_completed || seen->may_be_cancelled;

    if (seen->n_completions > 0 && job->state != JOB_COMPLETED)
        history_violated(history, "job %zu: said to be completed, is %s", number(history, seen),
                         job_state_name(job->state));
    if (seen->n_completions > 0 && !str_eq_c(job->result, seen->result))
        history_violated(history, "job %zu: result is not the accepted one", number(history, seen));
    if (seen->is_cancelled && job->state != JOB_CANCELLED)
        history_violated(history, "job %zu: said to be cancelled, is %s", number(history, seen),
                         job_state_name(job->state));
    if (job->state == JOB_COMPLETED && seen->n_completions == 0 && !may_be)
        history_violated(history, "job %zu: completed by nobody", number(history, seen));
    if (job->state == JOB_CANCELLED && !seen->is_cancelled && !seen->may_be_cancelled)
        history_violated(history, "job %zu: cancelled by nobody", number(history, seen));
    if (job->fence < seen->fence)
        history_violated(history, "job %zu: its fence went back", number(history, seen));
    if (job->lost > LIMIT_JOB_LOSSES)
        history_violated(history, "job %zu: lost %u times", number(history, seen), job->lost);
    if (job->state == JOB_DISCARDED && job->reason == JOB_REASON_NONE)
        history_violated(history, "job %zu: a silent end", number(history, seen));
}

void history_check(History *history, Queues *queues, bool is_end)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    uint64_t n_found = 0, n_in_store = 0;
    int r;

    arena_init(&arena, 0);
    r = queue_check(queues, &n_in_store);
    if (r < 0)
        history_violated(history, "the store's check: %s", err_text(r));
    for (size_t i = 0; i < history->n; i++) {
        const Seen *seen = &history->jobs[i];
        Job job;

        arena_reset(&arena);
        r = queue_get(&arena, queues, &seen->id, &job);
        if (r == -ERR_NOT_FOUND) {
            if (seen->is_acknowledged)
                history_violated(history, "job %zu: acknowledged and lost", i);
            continue;
        }
        if (r < 0) {
            history_violated(history, "job %zu cannot be read: %s", i, err_text(r));
            return;
        }
        n_found++;
        check_end(history, seen, &job);
        if (is_end && !job_state_is_final(job.state))
            history_violated(history, "job %zu: never ends, is %s, attempt %u, lost %u", i,
                             job_state_name(job.state), job.attempt, job.lost);
    }
    if (n_found != n_in_store)
        history_violated(history, "%llu jobs in the store, %llu of them pushed",
                         (unsigned long long) n_in_store, (unsigned long long) n_found);
}
