/*
 * Other threads: the offload pool, other loops, and posting into a loop.
 *
 * Loops share nothing; work crosses in batches. `sl_offload` runs a function that blocks or burns
 * processor time on a pool thread while the fiber waits. `sl_call_on` runs a function as a fiber of
 * another loop. `sl_post` hands tasks to a loop from any thread with one wake-up however many they
 * are.
 */
#pragma once

#include <sluice/rt/run.h>

SL_BEGIN_DECLS

typedef struct sl_loop sl_loop;

typedef struct sl_offload_opts {
    size_t size;      /* filled by the macro */
    const char *name; /* shown in dumps; default "offload" */
    void (*on_cancel)(
        void *arg); /* called once, on the loop, when the fiber is cancelled: tells FN to hurry */
} sl_offload_opts;

/*
 * Run FN(ARG) on a pool thread and wait. Returns FN's result with its words. When the fiber is
 * cancelled meanwhile it still waits for FN (ARG must stay valid) and then returns FN's result; a
 * call that has not started yet is taken back and returns -ECANCELED. At most SL_OFFLOAD_QUEUE
 * calls wait; more callers wait their turn. FN must not suspend. Worth it from about 20
 * microseconds of work. Under the simulated loop FN runs on the loop after a virtual delay.
 */
#define sl_offload(fn, arg, ...) \
    sl_offload_with((fn), (arg), \
                    &(sl_offload_opts){ .size = sizeof(sl_offload_opts), ##__VA_ARGS__ })
SL_API SL_MUST SL_SUSPENDS int sl_offload_with(sl_fn fn, void *arg, const sl_offload_opts *opts);

#define SL_OFFLOAD_QUEUE 1024

/*
 * Run FN(ARG) as a fiber of loop INDEX and wait for its result. Cancelling the caller cancels that
 * fiber, and the caller still waits for it. The fiber belongs to the caller as a child does. On the
 * caller's own loop it is a plain call.
 */
SL_API SL_MUST SL_SUSPENDS int sl_call_on(size_t index, sl_fn fn, void *arg, const char *name);

/* A task posted into a loop. Embedded in what it belongs to; valid until FN runs. */
typedef struct sl_task {
    struct sl_task *next;
    void (*fn)(struct sl_task *task); /* runs on the loop, must not suspend; may free the task */
} sl_task;

/* The loop of the calling thread, and the loop with an index; for sl_post. */
SL_API sl_loop *sl_loop_self(void);
SL_API sl_loop *sl_loop_at(size_t index);

/*
 * Post a chain of tasks (linked by next, the last one's NULL) into LOOP. Any thread, also one that
 * is no loop. One wake-up for the chain, none if the loop is awake. Tasks run in order, before
 * fibers that become ready later. The poster must know that the loop still runs: somebody there
 * waits for the answer, or holds a hold.
 */
SL_API void sl_post(sl_loop *loop, sl_task *chain);

SL_END_DECLS
