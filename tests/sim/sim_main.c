/*
 * sim --seed N        one run, and what it did
 * sim --seeds N       runs 1 … N, and how many failed (--from M: M … M+N-1)
 *
 * A failure prints one line that says how to have it again.
 */
#include "../sim/sim.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    uint64_t seed = 0, seeds = 20, from = 1, failed = 0;

    for (int i = 1; i < argc; i++) {
        uint64_t *target = strcmp(argv[i], "--seed") == 0    ? &seed
                           : strcmp(argv[i], "--seeds") == 0 ? &seeds
                           : strcmp(argv[i], "--from") == 0  ? &from
                                                             : NULL;

        if (!target || i + 1 >= argc || str_to_u64(str_from_c(argv[++i]), UINT64_MAX, target) < 0) {
            fprintf(stderr, "usage: sim [--seed N | --seeds N [--from M]]\n");
            return 64;
        }
    }
    if (seed > 0)
        return world_run(seed, true);
    for (uint64_t i = 0; i < seeds; i++)
        failed += (uint64_t) world_run(from + i, false);
    printf("%llu passed, %llu failed\n", (unsigned long long) (seeds - failed),
           (unsigned long long) failed);
    return failed > 0;
}
