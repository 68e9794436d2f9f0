/*
 * Start and stop; the loops; the clock.
 *
 * A loop is one thread's scheduler and poller. `sl_run` makes the calling thread loop 0, starts
 * further loops when asked, runs MAIN as the first fiber of loop 0 and returns when MAIN and all
 * its children have ended. One runtime at a time in a process; it may be started again after it has
 * ended.
 */
#pragma once

#include <sluice/attr.h>

#include <stddef.h>
#include <stdint.h>

SL_BEGIN_DECLS

/* What a function that runs as a fiber, or on the pool, looks like. Its result follows the
 * convention of rt.h. */
typedef int (*sl_fn)(void *arg);

/* Outcomes above zero, for all calls of the runtime. */
enum sl_outcome {
    SL_CLOSED = 1, /* the channel is closed (and, for a receiver, empty); the stream has ended */
    SL_EMPTY = 2,  /* try_: nothing there now */
    SL_FULL = 3,   /* try_: no room now */
    SL_BUSY = 4    /* try_: somebody else holds it now */
};

enum sl_loop_kind {
    SL_LOOP_AUTO = 0, /* the environment variable SLUICE_LOOP (uring, epoll, sim), else io_uring
                         where it works, else epoll */
    SL_LOOP_URING = 1,
    SL_LOOP_EPOLL = 2,
    SL_LOOP_SIM = 3 /* virtual clock, seeded order, one thread: for tests */
};

typedef struct sl_run_opts {
    size_t size;            /* filled by the macro */
    enum sl_loop_kind loop; /* default: SL_LOOP_AUTO */
    size_t loops;           /* loop threads; 0 means 1 */
    size_t pool_threads;    /* offload threads; 0 means one for each processor, at least 2 */
    size_t stack_bytes;     /* of a fiber that asks for nothing else; 0 means 64 KiB */
    int64_t stall_ms; /* the watchdog reports a fiber that holds its loop longer; 0 means 10, -1
                         never */
    uint64_t seed; /* of the simulated loop; 0 means the environment variable SLUICE_SEED, else 1 */
    const char *name; /* of the first fiber; default "main" */
} sl_run_opts;

/*
 * Run MAIN(ARG) as the first fiber and return its result when it and everything it started has
 * ended. Blocks the thread. -ERR_UNSUPPORTED when the loop asked for does not work here, -EBUSY
 * when a runtime is running already.
 */
#define sl_run(main_fn, arg, ...) \
    sl_run_with((main_fn), (arg), &(sl_run_opts){ .size = sizeof(sl_run_opts), ##__VA_ARGS__ })
SL_API SL_MUST int sl_run_with(sl_fn main_fn, void *arg, const sl_run_opts *opts);

/* The loop of the calling thread: its kind as text ("uring", "epoll", "sim") and why it was chosen.
 * Static text. */
SL_API const char *sl_loop_name(void);
SL_API const char *sl_loop_reason(void);

/* How many loops run, and the index of the calling thread's (0 … count-1). */
SL_API size_t sl_loop_count(void);
SL_API size_t sl_loop_index(void);

/* Whether the calling thread is a loop that is running a fiber now. */
SL_API int sl_in_fiber(void);

/* Monotonic nanoseconds, read once a loop turn: cheap, and equal for everything that happens in one
 * turn. */
SL_API int64_t sl_now_ns(void);

/* Monotonic nanoseconds, read from the clock now (20 ns); virtual under the simulated loop. */
SL_API int64_t sl_clock_ns(void);

/* Wall-clock milliseconds since 1970, UTC; virtual under the simulated loop. For timestamps, never
 * for durations. */
SL_API int64_t sl_wall_ms(void);

/* Random 64 bits: from the seed under the simulated loop, from a per-loop generator otherwise. Not
 * for secrets. */
SL_API uint64_t sl_random(void);

/* The words of error R (below zero) of the calling fiber. Borrowed until the next failing call. */
SL_API const char *sl_error_text(int r);

/* Start an error from a program's own fiber: returns CODE (below zero) and keeps the words for
 * sl_error_text(). */
SL_API int sl_fail(int code, const char *fmt, ...) SL_PRINTF(2, 3);

SL_END_DECLS
