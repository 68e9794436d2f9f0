/*
 * Whose turn it is among queues with weights.
 *
 * Each queue gains its weight with every lease; the one that has gained most stands first and pays
 * the sum of all weights; the others follow in the order of what they have. So over any
 * sum-of-weights leases each queue is first as often as its weight, evenly spread, and none
 * starves: a lease goes on to the next queue when the first has too few jobs.
 *
 * The sum of all turns stays zero, and none leaves [-sum, sum]: nothing can overflow.
 */
#include "worker/worker_int.h"

#include "base/assert.h"
#include "base/limits.h"

void turns_next(const Str *names, const uint32_t *weights, int64_t *turns, size_t n, Str *ret_order)
{
    size_t order[LIMIT_LEASE_QUEUES];
    int64_t sum = 0;

    ASSERT(n > 0 && n <= LIMIT_LEASE_QUEUES);
    for (size_t i = 0; i < n; i++) {
        size_t at = i;

        sum += weights[i];
        turns[i] += weights[i];
        for (; at > 0 && turns[order[at - 1]] < turns[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    turns[order[0]] -= sum;
    for (size_t i = 0; i < n; i++)
        ret_order[i] = names[order[i]];
}
