/*
 * Policy: what becomes of a job, as pure functions of the job and the time.
 *
 * No clock, no store, no dice of their own: a random number comes in as an argument. So every
 * branch is tested with a table.
 */
#pragma once

#include "store/store.h"

#include <sluice/job.h>

/* What is to become of an active job. */
typedef struct Verdict {
    JobState to; /* RETRYABLE, DISCARDED or AVAILABLE */
    JobReason reason;
    bool is_dead_letter;
    int64_t delay_ms; /* to RETRYABLE */
} Verdict;

/*
 * The delay before retry number N (from 1: the first). UNIT is uniform in [0, 1). At least 0, at
 * most retry->max_ms.
 */
int64_t policy_retry_delay(const JobRetry *retry, uint32_t n, double unit);

/* Whether ERROR is one that RETRY never tries again: by type or code, exact or `prefix.*`. */
bool policy_is_non_retryable(const JobRetry *retry, const JobError *error);

/* JOB's attempt has failed with ERROR. */
Verdict policy_failure(const Job *job, const JobError *error, double unit);

/* JOB's lease has ended without an answer. LIMIT: losses before it is given up. */
Verdict policy_loss(const Job *job, uint32_t limit);

/* Whether the end of JOB's lease at STEADY_MS is that of the time an attempt may take. */
bool policy_is_timeout(const Job *job, int64_t steady_ms);

/* What is kept of finished jobs: as CONFIGURED, and less while the store is full. */
StoreRetention policy_retention(const StoreRetention *configured, bool is_full);
