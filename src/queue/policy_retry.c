/*
 * Retries. First rule that fits:
 *
 *   1  the handler said "not retryable"                     -> exhausted, not_retryable
 *   2  error code DISCARD or FAIL                           -> discarded, and no dead letter
 *      error code DEAD_LETTER                               -> dead letter
 *   3  type, details' class or code is in non_retryable     -> exhausted, not_retryable
 *   4  this was the last attempt                            -> exhausted, retries_exhausted
 *   5                                                       -> retryable after the delay
 *
 * "Exhausted" is discarded; on_exhaustion says whether it is also a dead letter.
 *
 * Delay of retry n, with i = initial_ms and c = coefficient:
 *   exponential i * c^(n-1), linear i * n, constant i, polynomial i * n^c, none 0
 * cut at max_ms, times a number between 0.5 and 1.5 when there is jitter, and cut again.
 */
#include "queue/policy_int.h"

#include "base/assert.h"
#include "base/text.h"

#include <math.h>

static double bare_delay(const JobRetry *retry, uint32_t n)
{
    double initial = (double) retry->initial_ms;

    switch (retry->backoff) {
    case JOB_BACKOFF_EXPONENTIAL: return initial * pow(retry->coefficient, n - 1);
    case JOB_BACKOFF_LINEAR: return initial * n;
    case JOB_BACKOFF_CONSTANT: return initial;
    case JOB_BACKOFF_POLYNOMIAL: return initial * pow(n, retry->coefficient);
    case JOB_BACKOFF_NONE: return 0;
    }
    UNREACHABLE("a backoff that is none");
}

int64_t policy_retry_delay(const JobRetry *retry, uint32_t n, double unit)
{
    double longest = (double) retry->max_ms, delay;

    ASSERT(n >= 1);
    ASSERT(unit >= 0 && unit < 1);
    delay = fmin(bare_delay(retry, n), longest); /* also when pow overflows to infinity */
    if (retry->has_jitter)
        delay = fmin(delay * (0.5 + unit), longest);
    return (int64_t) llround(fmax(delay, 0));
}

static bool matches(Str pattern, Str name)
{
    static const Str any = STR(".*");

    if (name.len == 0)
        return false;
    if (str_ends(pattern, any))
        return str_starts(
            name, str_from(pattern.data, pattern.len - 1)); /* the dot belongs to the prefix */
    return str_eq(pattern, name);
}

bool policy_is_non_retryable(const JobRetry *retry, const JobError *error)
{
    for (size_t i = 0; i < retry->n_non_retryable; i++) {
        if (matches(retry->non_retryable[i], error->type) ||
            matches(retry->non_retryable[i], error->code))
            return true;
    }
    return false;
}

static Verdict exhausted(const Job *job, JobReason reason)
{
    return (Verdict){ .to = JOB_DISCARDED,
                      .reason = reason,
                      .is_dead_letter = job->retry.on_exhaustion == JOB_EXHAUSTION_DEAD_LETTER };
}

Verdict policy_failure(const Job *job, const JobError *error, double unit)
{
    if (error->is_final)
        return exhausted(job, JOB_REASON_NOT_RETRYABLE);
    if (str_eq_c(error->code, "DISCARD") || str_eq_c(error->code, "FAIL"))
        return (Verdict){ .to = JOB_DISCARDED, .reason = JOB_REASON_DISCARD_ASKED };
    if (str_eq_c(error->code, "DEAD_LETTER"))
        return (Verdict){ .to = JOB_DISCARDED,
                          .reason = JOB_REASON_DISCARD_ASKED,
                          .is_dead_letter = true };
    if (policy_is_non_retryable(&job->retry, error))
        return exhausted(job, JOB_REASON_NOT_RETRYABLE);
    if (job->attempt >= job->max_attempts)
        return exhausted(job, JOB_REASON_EXHAUSTED);
    return (Verdict){ .to = JOB_RETRYABLE,
                      .delay_ms = policy_retry_delay(&job->retry,
                                                     job->attempt > 0 ? job->attempt : 1, unit) };
}
