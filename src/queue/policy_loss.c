/*
 * Losses: leases that end without an answer.
 *
 * The worker was lost, not the attempt: the job is available again at once and the attempt is given
 * back. A job that loses LIMIT workers is what kills them, as likely as not: it becomes a dead
 * letter that says so, whatever its retry policy says of failures.
 *
 * A lease that ends because the attempt took longer than the job's time-out is a failure instead:
 * the worker may be well, it was the job that took too long.
 */
#include "queue/policy_int.h"

#include "base/assert.h"

Verdict policy_loss(const Job *job, uint32_t limit)
{
    ASSERT(job->state == JOB_ACTIVE);
    ASSERT(limit > 0);
    if (job->lost + 1 >= limit)
        return (Verdict){ .to = JOB_DISCARDED,
                          .reason = JOB_REASON_WORKER_LOST,
                          .is_dead_letter = true };
    return (Verdict){ .to = JOB_AVAILABLE };
}

bool policy_is_timeout(const Job *job, int64_t steady_ms)
{
    ASSERT(job->state == JOB_ACTIVE);
    return job->timeout_ms > 0 && steady_ms - job->started_steady_ms >= job->timeout_ms;
}
