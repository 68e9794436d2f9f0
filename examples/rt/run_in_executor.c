/*
 * Work that burns the processor goes to the pool; the loop goes on.
 *
 *     n = await asyncio.to_thread(count_primes, low, high)
 *
 * sl_offload runs a plain function on a pool thread and gives its result back, words of an error
 * included. Threads share nothing with the loop but the argument, which stays valid because the
 * fiber waits, even when it is cancelled.
 */
#include <sluice/rt.h>

#include <stdbool.h>
#include <stdio.h>

enum { RANGES = 4, UP_TO = 200000 };

typedef struct Range {
    int low;
    int high;
    int n_primes;
} Range;

/* On a pool thread: must not call anything that suspends. */
static int count_primes(void *arg)
{
    Range *range = arg;

    for (int i = range->low; i < range->high; i++) {
        bool is_prime = i > 1;

        for (int d = 2; is_prime && (int64_t) d * d <= i; d++)
            is_prime = i % d != 0;
        range->n_primes += is_prime;
    }
    return 0;
}

SL_SUSPENDS static int offload_range(void *arg)
{
    return sl_offload(count_primes, arg, .name = "count primes");
}

/* Meanwhile: something that would suffer if the loop were held. */
SL_SUSPENDS static int tick(void *arg)
{
    int r;

    while ((r = sl_sleep_ns(50000)) == 0)
        ++*(int *) arg;
    return r;
}

SL_SUSPENDS static int count_all(Range *ranges, size_t n)
{
    SL_CLEANUP(sl_nursery_close_auto) sl_nursery *nursery = sl_nursery_open(.name = "ranges");

    for (size_t i = 0; i < n; i++)
        sl_spawn(nursery, offload_range, &ranges[i]);
    return sl_nursery_join(nursery);
}

SL_SUSPENDS static int executor_main(void *arg)
{
    SL_CLEANUP(sl_nursery_close_auto) sl_nursery *background = sl_nursery_open();
    Range ranges[RANGES];
    int ticks = 0, total = 0, r;

    (void) arg;
    for (int i = 0; i < RANGES; i++)
        ranges[i] = (Range){ .low = UP_TO / RANGES * i, .high = UP_TO / RANGES * (i + 1) };
    sl_spawn(background, tick, &ticks, .name = "ticker");
    r = count_all(ranges, RANGES);
    sl_nursery_cancel(background);
    for (int i = 0; i < RANGES; i++)
        total += ranges[i].n_primes;
    printf("%d primes below %d\n", total, UP_TO);
    printf("the loop %s meanwhile\n", ticks > 0 ? "went on" : "stood still");
    return r;
}

int main(void)
{
    return sl_run(executor_main, NULL) < 0;
}
