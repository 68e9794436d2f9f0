/*
 * What runs, what it waits for and since when.
 *
 * Every fiber has an id, a name, a parent nursery, a state and what it waits for. sl_dump prints
 * the tree of one loop; sl_stats counts. The watchdog (sl_run_opts.stall_ms) reports through the
 * callback set here.
 */
#pragma once

#include <sluice/rt/run.h>

SL_BEGIN_DECLS

/* Print the tree of the calling thread's loop to WRITE, line by line, indented by depth:
 *   main (1) running
 *     nursery fetch: 2 children
 *       shop (7) waits 1.2 s for fd 14 readable
 */
SL_API void sl_dump(void (*write)(void *ctx, const char *line), void *ctx);

/* The same to a descriptor. Does not suspend. */
SL_API void sl_dump_fd(int fd);

typedef struct sl_stats {
    size_t fibers;       /* alive on this loop */
    size_t fibers_ready; /* ready to run */
    size_t timers;
    uint64_t switches; /* resumptions since start */
    uint64_t turns;    /* loop turns since start */
    uint64_t stalls;   /* reported by the watchdog, all loops */
    size_t stacks;     /* stacks mapped, in use or pooled */
    uint64_t offloads; /* calls given to the pool, all loops */
} sl_stats;

/* Counters of the calling thread's loop. */
SL_API void sl_stats_get(sl_stats *ret_stats);

/* A fiber that held its loop: who, how long so far, and the addresses of its frames, innermost
 * first. */
typedef struct sl_stall {
    const char *fiber;
    uint64_t fiber_id;
    int64_t held_ms;
    void *const *frames;
    size_t n_frames;
} sl_stall;

/* Report stalls through FN, on the watchdog's thread; the default prints to stderr. NULL restores
 * the default. */
SL_API void sl_on_stall(void (*fn)(const sl_stall *stall));

SL_END_DECLS
