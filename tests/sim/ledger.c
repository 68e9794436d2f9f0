/*
 * The ledger: see ledger.h.
 */
#include "../sim/ledger.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <sluice/rt.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ledger_deinit(Ledger *ledger)
{
    for (size_t i = 0; i < ledger->n; i++)
        mem_free(ledger->jobs[i]);
    mem_free(ledger->jobs);
    map_deinit(&ledger->by_id);
    *ledger = (Ledger){ 0 };
}

void ledger_violated(Ledger *ledger, const char *fmt, ...)
{
    va_list args;

    if (ledger->why[0])
        return;
    va_start(args, fmt);
    vsnprintf(ledger->why, sizeof(ledger->why), fmt, args);
    va_end(args);
}

static Str key_of(const JobId *id)
{
    return str_from((const char *) id->bytes, sizeof(id->bytes));
}

LedgerJob *ledger_find(const Ledger *ledger, const JobId *id)
{
    return map_find(&ledger->by_id, key_of(id));
}

LedgerJob *ledger_push(Ledger *ledger, const JobId *id, uint32_t max_attempts)
{
    LedgerJob *job = mem_new(LedgerJob);

    *job = (LedgerJob){ .id = *id, .max_attempts = max_attempts };
    job->pushed.is_possible = true;
    if (ledger->n == ledger->cap) {
        ledger->cap = ledger->cap * 2 + 64;
        ledger->jobs = mem_resize_array(ledger->jobs, ledger->cap, sizeof(LedgerJob *));
    }
    ledger->jobs[ledger->n++] = job;
    (void) map_put(&ledger->by_id, key_of(id), job);
    return job;
}

static int number(const LedgerJob *job)
{
    return job->id.bytes[13] << 16 | job->id.bytes[12] << 8 | job->id.bytes[11];
}

bool ledger_is_open(int r)
{
    return r < 0 && r != -ERR_NOT_FOUND && r != -ERR_CONFLICT && r != -ERR_STALE_LEASE &&
           r != -ERR_TOO_LARGE && r != -ERR_INVALID && r != -ERR_STORE_FULL && r != -ERR_DUPLICATE;
}

static void fact(Ledger *ledger, Fact *fact, int r)
{
    bool is_doubtful = sl_now_ns() < ledger->doubt_until_ns;

    if (ledger_is_open(r) || (r == 0 && is_doubtful))
        fact->is_possible = true;
    if (r == 0 && !is_doubtful)
        *fact = (Fact){ .is_known = true, .at_ns = sl_now_ns() };
}

void ledger_pushed(Ledger *ledger, LedgerJob *job, int r)
{
    job->pushed.is_possible = false;
    fact(ledger, &job->pushed, r);
}

void ledger_cancelled(Ledger *ledger, LedgerJob *job, int r, int64_t at_ms)
{
    if (r == 0 && (job->completed.is_known || job->cancelled.is_known))
        ledger_violated(ledger, "job %d: cancelled after its end", number(job));
    fact(ledger, &job->cancelled, r);
    if (r == 0)
        job->cancelled_ms = at_ms;
}

/* ---- leases ---------------------------------------------------------------------------------- */

static size_t kept(const LedgerJob *job)
{
    return job->n_leases < LEDGER_LEASES ? job->n_leases : LEDGER_LEASES;
}

static LedgerLease *lease_find(LedgerJob *job, uint32_t fence)
{
    for (size_t i = 0; i < kept(job); i++) {
        if (job->leases[i].fence == fence && !job->leases[i].is_doubtful)
            return &job->leases[i];
    }
    return NULL;
}

static void compare_leases(Ledger *ledger, const LedgerJob *seen, const LedgerLease *other,
                           const Job *job)
{
    if (other->is_doubtful) {
        ledger->n_repeated += other->fence == job->fence;
        return;
    }
    if (other->fence == job->fence)
        ledger_violated(ledger, "job %d: fence %u was given to %s and again", number(seen),
                        job->fence, other->worker);
    if (ledger->has_steps)
        return;
    if (other->fence < job->fence && job->started_steady_ms < other->until_ms)
        ledger_violated(ledger, "job %d: leased %lld ms before the end of %s's lease", number(seen),
                        (long long) (other->until_ms - job->started_steady_ms), other->worker);
    if (other->fence > job->fence && job->started_steady_ms > other->started_ms)
        ledger_violated(ledger, "job %d: fence %u is younger than fence %u", number(seen),
                        job->fence, other->fence);
}

static void check_due(Ledger *ledger, const LedgerJob *seen, const Job *job)
{
    if (ledger->has_steps)
        return;
    if (job->started_ms < seen->run_at)
        ledger_violated(ledger, "job %d: run %lld ms before its time", number(seen),
                        (long long) (seen->run_at - job->started_ms));
    if (job->fence > seen->failed_fence && job->started_steady_ms < seen->not_before)
        ledger_violated(ledger, "job %d: retried %lld ms early", number(seen),
                        (long long) (seen->not_before - job->started_steady_ms));
    if (seen->cancelled.is_known && job->started_ms > seen->cancelled_ms)
        ledger_violated(ledger, "job %d: leased after it was cancelled", number(seen));
}

void ledger_leased(Ledger *ledger, const Job *job, const char *worker)
{
    LedgerJob *seen = ledger_find(ledger, &job->id);
    LedgerLease *lease;

    if (!seen) {
        ledger_violated(ledger, "a job was leased that nobody pushed");
        return;
    }
    for (size_t i = 0; i < kept(seen); i++)
        compare_leases(ledger, seen, &seen->leases[i], job);
    check_due(ledger, seen, job);
    if (seen->completed.is_known && job->fence > seen->completed_fence)
        ledger_violated(ledger, "job %d: leased after it was completed", number(seen));
    if (job->attempt == 0 || job->attempt > job->max_attempts)
        ledger_violated(ledger, "job %d: attempt %u of %u", number(seen), job->attempt,
                        job->max_attempts);
    if (job->state != JOB_ACTIVE)
        ledger_violated(ledger, "job %d: leased and %s", number(seen), job_state_name(job->state));
    ledger->n_again += seen->n_leases > 0;
    lease = &seen->leases[seen->n_leases++ % LEDGER_LEASES];
    *lease = (LedgerLease){ .fence = job->fence,
                            .started_ms = job->started_steady_ms,
                            .until_ms = job->lease_until_ms,
                            .at_ns = sl_now_ns(),
                            .is_doubtful = sl_now_ns() < ledger->doubt_until_ns };
    snprintf(lease->worker, sizeof(lease->worker), "%s", worker);
}

void ledger_held(Ledger *ledger, const JobId *id, uint32_t fence, int64_t until_ms)
{
    LedgerJob *seen = ledger_find(ledger, id);
    LedgerLease *lease = seen ? lease_find(seen, fence) : NULL;

    if (lease && (until_ms == 0 || lease->until_ms != 0))
        lease->until_ms = until_ms;
}

/* ---- ends ------------------------------------------------------------------------------------ */

void ledger_completed(Ledger *ledger, const JobId *id, uint32_t fence, const char *worker,
                      const char *result, int r)
{
    LedgerJob *seen = ledger_find(ledger, id);
    LedgerLease *lease = lease_find(seen, fence);

    ledger_held(ledger, id, fence, 0);
    ledger->n_refused += r < 0 && !ledger_is_open(r);
    if (r == 0) {
        if (seen->completed.is_known)
            ledger_violated(ledger, "job %d: completed twice", number(seen));
        if (seen->cancelled.is_known || seen->discarded.is_known)
            ledger_violated(ledger, "job %d: completed after its end", number(seen));
        for (size_t i = 0; i < kept(seen); i++) {
            if (!seen->leases[i].is_doubtful && seen->leases[i].fence > fence)
                ledger_violated(ledger, "job %d: completion with fence %u accepted, %u was given",
                                number(seen), fence, seen->leases[i].fence);
        }
        if (lease && strcmp(lease->worker, worker) != 0)
            ledger_violated(ledger, "job %d: completion of %s accepted, %s holds it", number(seen),
                            worker, lease->worker);
        ledger->n_completed++;
    }
    fact(ledger, &seen->completed, r);
    if (r == 0) {
        seen->completed_fence = fence;
        snprintf(seen->result, sizeof(seen->result), "%s", result);
    }
}

void ledger_failed(Ledger *ledger, const JobId *id, const Finish *finish, int r)
{
    LedgerJob *seen = ledger_find(ledger, id);
    bool is_discarded = r == 0 && finish->state == JOB_DISCARDED;

    if (r == 0 && finish->state == JOB_RETRYABLE && finish->attempt >= finish->max_attempts)
        ledger_violated(ledger, "job %d: retried after the last attempt", number(seen));
    if (r == 0 && finish->state == JOB_RETRYABLE && sl_now_ns() >= ledger->doubt_until_ns &&
        finish->next_attempt_ms > seen->not_before) {
        seen->not_before = finish->next_attempt_ms;
        seen->failed_fence = finish->fence;
    }
    if (is_discarded || ledger_is_open(r))
        fact(ledger, &seen->discarded, r);
}

/* ---- going back ------------------------------------------------------------------------------ */

static void fact_doubt(Ledger *ledger, Fact *fact, int64_t back_to_ns)
{
    if (!fact->is_known || fact->at_ns <= back_to_ns)
        return;
    *fact = (Fact){ .is_possible = true };
    ledger->n_doubts++;
}

void ledger_went_back(Ledger *ledger, int64_t back_to_ns)
{
    if (back_to_ns == INT64_MAX)
        return;
    for (size_t i = 0; i < ledger->n; i++) {
        LedgerJob *job = ledger->jobs[i];

        fact_doubt(ledger, &job->pushed, back_to_ns);
        fact_doubt(ledger, &job->completed, back_to_ns);
        fact_doubt(ledger, &job->cancelled, back_to_ns);
        fact_doubt(ledger, &job->discarded, back_to_ns);
        job->not_before = 0;
        for (size_t l = 0; l < kept(job); l++)
            job->leases[l].is_doubtful |= job->leases[l].at_ns > back_to_ns;
    }
}

/* ---- the check ------------------------------------------------------------------------------- */

static void check_job(Ledger *ledger, const LedgerJob *seen, const Job *job)
{
    JobState state = job->state;
    bool may_be_completed = seen->completed.is_known || seen->completed.is_possible;

    if (seen->completed.is_known && state != JOB_COMPLETED)
        ledger_violated(ledger, "job %d: said to be completed, is %s", number(seen),
                        job_state_name(state));
    if (seen->completed.is_known && !str_eq_c(job->result, seen->result))
        ledger_violated(ledger, "job %d: result is not the accepted one", number(seen));
    if (seen->cancelled.is_known && state != JOB_CANCELLED)
        ledger_violated(ledger, "job %d: said to be cancelled, is %s", number(seen),
                        job_state_name(state));
    if (seen->discarded.is_known && state != JOB_DISCARDED)
        ledger_violated(ledger, "job %d: said to be discarded, is %s", number(seen),
                        job_state_name(state));
    if (state == JOB_COMPLETED && !may_be_completed)
        ledger_violated(ledger, "job %d: completed by nobody", number(seen));
    if (state == JOB_CANCELLED && !seen->cancelled.is_known && !seen->cancelled.is_possible)
        ledger_violated(ledger, "job %d: cancelled by nobody", number(seen));
    for (size_t i = 0; i < kept(seen); i++) {
        if (!seen->leases[i].is_doubtful && job->fence < seen->leases[i].fence)
            ledger_violated(ledger, "job %d: its fence went back", number(seen));
    }
    if (state == JOB_DISCARDED && job->reason == JOB_REASON_NONE)
        ledger_violated(ledger, "job %d: a silent end", number(seen));
}

void ledger_check(Ledger *ledger, Queues *queues, bool is_end)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    uint64_t n_found = 0, n_in_store = 0;
    int r = queue_check(queues, &n_in_store);

    arena_init(&arena, 0);
    if (r < 0)
        ledger_violated(ledger, "the store's check: %s", err_text(r));
    ledger->n_lost = 0;
    for (size_t i = 0; i < ledger->n && !ledger->why[0]; i++) {
        const LedgerJob *seen = ledger->jobs[i];
        Job job;

        arena_reset(&arena);
        r = queue_get(&arena, queues, &seen->id, &job);
        if (r == -ERR_NOT_FOUND) {
            if (seen->pushed.is_known)
                ledger_violated(ledger, "job %d: acknowledged and lost", number(seen));
            ledger->n_lost += seen->n_leases > 0;
            continue;
        }
        if (r < 0) {
            ledger_violated(ledger, "job %d cannot be read: %s", number(seen), err_text(r));
            return;
        }
        n_found++;
        if (!seen->pushed.is_known && !seen->pushed.is_possible && seen->n_leases == 0)
            ledger_violated(ledger, "job %d: refused and there", number(seen));
        check_job(ledger, seen, &job);
        if (is_end && !job_state_is_final(job.state))
            ledger_violated(ledger, "job %d: never ends, is %s, attempt %u, lost %u", number(seen),
                            job_state_name(job.state), job.attempt, job.lost);
    }
    if (!ledger->why[0] && n_found != n_in_store)
        ledger_violated(ledger, "%llu jobs in the store, %llu of them pushed",
                        (unsigned long long) n_in_store, (unsigned long long) n_found);
}
