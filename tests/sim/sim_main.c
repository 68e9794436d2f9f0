/*
 * sim [WORLD] --seed N        one run, and what it did
 * sim [WORLD] --seeds N       runs 1 … N, and how many failed (--from M: M … M+N-1)
 *
 * WORLD is memory (one engine on the memory store, the default), redis (several processes on a
 * simulated Redis), redis-day (a day of that), or redis-herd (very many processes). A failure
 * prints one line that says how to have it again.
 */
#include "../sim/sim.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

typedef struct World {
    const char *name;
    int (*run)(uint64_t seed, bool is_loud);
    bool needs_lua; /* for the store's scripts */
} World;

static const World worlds[] = {
    { "memory", world_run, false },
    { "redis", redis_world_run, true },
    { "redis-day", redis_day_run, true },
    { "redis-herd", redis_herd_run, true },
};

static const World *world_find(const char *name)
{
    for (size_t i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
        if (strcmp(worlds[i].name, name) == 0)
            return &worlds[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const World *world = argc > 1 ? world_find(argv[1]) : NULL;
    uint64_t seed = 0, seeds = 20, from = 1, failed = 0;

    for (int i = world ? 2 : 1; i < argc; i++) {
        uint64_t *target = strcmp(argv[i], "--seed") == 0    ? &seed
                           : strcmp(argv[i], "--seeds") == 0 ? &seeds
                           : strcmp(argv[i], "--from") == 0  ? &from
                                                             : NULL;

        if (!target || i + 1 >= argc || str_to_u64(str_from_c(argv[++i]), UINT64_MAX, target) < 0) {
            fprintf(
                stderr,
                "usage: sim [memory|redis|redis-day|redis-herd] [--seed N | --seeds N [--from M]]\n");
            return 64;
        }
    }
    world = world ? world : &worlds[0];
    if (world->needs_lua && !SL_HAVE_LUA) {
        printf("%s is skipped: this build has no Lua (liblua5.1-0-dev)\n0 passed, 0 failed\n",
               world->name);
        return 0;
    }
    if (seed > 0)
        return world->run(seed, true);
    for (uint64_t i = 0; i < seeds; i++)
        failed += (uint64_t) world->run(from + i, false);
    printf("%llu passed, %llu failed\n", (unsigned long long) (seeds - failed),
           (unsigned long long) failed);
    return failed > 0;
}
