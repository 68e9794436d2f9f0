/*
 * Retention: which finished jobs may go.
 *
 * By age and number, as configured. While the store is full and refuses new jobs, all but the
 * newest completed and cancelled ones of each queue go as well: results that were there to be
 * looked at make way before work is turned away. Discarded jobs are a person's to decide about and
 * stay as long as configured; what is not finished never goes.
 */
#include "queue/policy_int.h"

#include "base/limits.h"
#include "base/macro.h"

static uint64_t at_most(uint64_t configured, uint64_t limit)
{
    return configured == 0 ? limit : MIN(configured, limit); /* 0 means all */
}

StoreRetention policy_retention(const StoreRetention *configured, bool is_full)
{
    StoreRetention keep = *configured;

    if (is_full) {
        keep.completed_max = at_most(keep.completed_max, LIMIT_RETENTION_FULL);
        keep.cancelled_max = at_most(keep.cancelled_max, LIMIT_RETENTION_FULL);
    }
    return keep;
}
