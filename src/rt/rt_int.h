/*
 * The inside of the runtime: fibers, loops, and the one way in which a fiber waits.
 *
 * How to make a call that suspends:
 *
 *   sl_loop *loop = rt_loop;
 *   r = rt_checkpoint(loop);            cancellation is seen even when there is no need to wait
 *   if (r < 0) return r;
 *   if (can be done now) return do it;
 *   register where the waker finds `loop->current`;
 *   r = rt_park(&kind, target, ctx);    another fiber runs; returns what rt_unpark() or the
 *                                       cancel hook gave
 *
 * The waker unregisters the fiber and then calls rt_unpark(fiber, r), on the fiber's own loop;
 * another thread posts a task (sl_post) that does so. A cancelled fiber is woken by the runtime: it
 * calls kind->on_cancel, which must take the fiber out of wherever it is registered, so that nobody
 * else wakes it; then rt_park returns -ECANCELED.
 *
 * Invariants, cited by assertions:
 *   I1  A fiber is touched only by the thread of its loop. Threads meet in sl_post() and in
 *       fields that say "atomic".
 *   I2  A fiber is in the ready queue exactly when its state is READY; it has state RUNNING
 *       exactly when it is loop->current.
 *   I3  A parked fiber has a wait kind; it is woken once, by rt_unpark() or by cancellation,
 *       never by both.
 *   I4  fiber->is_cancelled equals fiber->region->is_effective, at every moment when other code
 *       can look.
 *   I5  Cancellation is never taken back: a region that is effective stays so until it ends.
 *   I6  While a fiber is not running, each of its scopes that has a deadline is in the loop's
 *       timer heap.
 *   I7  A nursery outlives its children; the region of a child is the nursery's or lies inside
 *       it.
 *   I8  Between no_suspend_enter and leave the fiber does not leave the processor.
 */
#pragma once

#include "base/assert.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/rand.h"

#include <sluice/rt.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct Region Region;
typedef struct RtTimer RtTimer;
typedef struct Runtime Runtime;
typedef struct LoopOps LoopOps;
typedef struct FdTable FdTable;
typedef struct StackPool StackPool;

/* -- Waiting -- */

/* How sl_dump reads fiber->wait_target. */
typedef enum WaitTarget {
    WAIT_TARGET_NONE,  /* the text says it all */
    WAIT_TARGET_FD,    /* a descriptor */
    WAIT_TARGET_NAME,  /* a NUL-terminated name that outlives the wait */
    WAIT_TARGET_TIME,  /* a deadline on the loop's clock, in nanoseconds */
    WAIT_TARGET_NUMBER /* a pid, an index, a mask */
} WaitTarget;

/* What a fiber can wait for: one static constant for each place that parks. */
typedef struct WaitKind {
    const char *
        text; /* follows "waits 1.2 s for": "fd %d readable" is { "fd readable", WAIT_TARGET_FD } */
    WaitTarget target;

    /*
     * Called on the loop when the parked fiber becomes cancelled; once for each park. Takes the
     * fiber out of where it is registered and returns true: the fiber is woken with -ECANCELED.
     * Returns false: the fiber goes on waiting and is woken by rt_unpark() alone. NULL: nothing to
     * take out, true. It must not suspend.
     */
    bool (*on_cancel)(sl_fiber *fiber);
} WaitKind;

/* An on_cancel for waits that cannot be cut short. */
bool rt_refuse_cancel(sl_fiber *fiber);

/*
 * Park the running fiber until rt_unpark(). Does not look at cancellation before it parks unless
 * the fiber is cancelled already and KIND lets itself be cancelled: then it calls the hook and
 * returns -ECANCELED without parking. TARGET is for dumps, CTX is kept in fiber->wait_ctx for the
 * hook.
 */
SUSPENDS int rt_park(const WaitKind *kind, intptr_t target, void *ctx);

/* Park until DEADLINE_NS on the loop's clock. 0 then, or -ECANCELED. KIND's hook is
 * rt_sleep_cancelled. */
SUSPENDS int rt_park_until(sl_loop *loop, const WaitKind *kind, int64_t deadline_ns);
bool rt_sleep_cancelled(sl_fiber *fiber);

/* Wake a parked fiber of this loop: its rt_park returns R. It runs at its turn. */
void rt_unpark(sl_fiber *fiber, int r);

/* Calls that return fast before the fiber yields anyway. */
#define RT_FAST_RETURNS LIMIT_RT_FAST_RETURNS

/* -- Fibers -- */

typedef enum FiberState {
    FIBER_FREE,    /* its stack lies in the pool */
    FIBER_READY,   /* in the ready queue */
    FIBER_RUNNING, /* loop->current */
    FIBER_PARKED   /* waits: wait, wait_target and wait_since_ns say for what */
} FiberState;

/* Lives at the upper end of its own stack, so that an idle fiber touches one page. The first cache
 * line is the hot one. */
struct sl_fiber {
    /* What a switch touches. */
    _Alignas(64) void *sp; /* saved stack pointer, frame pointer and resume address */
    void *fp;
    void *pc;
    sl_fiber *ready_next;    /* in the ready queue; in the pool: the next free one */
    LogContext *log_context; /* saved while it does not run */
    const WaitKind *wait;    /* when parked */
    intptr_t wait_target;
    int wait_result;   /* what rt_park returns */
    uint8_t state;     /* FiberState */
    bool is_cancelled; /* I4 */
    union {
        struct {
            bool has_unarmed;   /* a scope's deadline is not in the heap yet: I6 */
            uint8_t no_suspend; /* depth of SL_NO_SUSPEND */
        };
        uint16_t attention; /* not 0: leaving the processor takes more than a switch */
    };

    /* Life. */
    uint32_t tag;
    bool is_walking;    /* in the queue of a cancellation under way */
    bool is_told;       /* the hook of this park has been called */
    uint8_t size_class; /* of the stack */
    uint64_t id;        /* unique in the process */
    const char *name;
    sl_loop *loop;
    void *wait_ctx;
    int64_t wait_since_ns;
    Region *region;        /* the innermost scope; never NULL */
    sl_nursery *nurseries; /* open ones, innermost first, linked by outer_nursery */
    sl_nursery *parent;    /* the nursery it is a child of */
    sl_fiber *child_next;  /* siblings in parent->children */
    sl_fiber *child_prev;
    sl_fiber *walk_next; /* while is_walking */
    sl_fn fn;
    void *arg;
    void *local;        /* sl_local_get */
    char *stack_low;    /* lowest usable address, above the guard */
    size_t stack_bytes; /* from there to the top */
    void *sanitizer;    /* TSan's fiber, or ASan's fake stack */
    unsigned valgrind_id;

    Err err; /* the record of errors; last, because it is large and cold */
};

#define FIBER_TAG TAG_OF('F', 'I', 'B', 'R')

/* -- Timers -- */

/* Calls fire(timer) on the loop at the first turn at or after its time, once, out of the heap.
 * Embed it. */
struct RtTimer {
    HeapNode node;
    void (*fire)(RtTimer *timer); /* must not suspend */
};

void rt_timer_start(sl_loop *loop, RtTimer *timer, int64_t at_ns); /* must not be started */
void rt_timer_stop(sl_loop *loop, RtTimer *timer);                 /* nothing when not started */

/* -- Loops -- */

/* One thread's scheduler and poller. */
struct sl_loop {
    /* The scheduler. */
    sl_fiber *
        current; /* the running fiber, or &scheduler; read by the watchdog: relaxed atomic stores */
    sl_fiber *ready_first;
    sl_fiber *ready_last;
    uint64_t resumes;  /* switches into a fiber since start; read by the watchdog like current */
    uint64_t readied;  /* fibers put into the ready queue since start; the difference is the queue's
                          length */
    uint64_t turn_end; /* value of resumes at which the scheduler takes over */
    uint32_t fast_left; /* fast returns until the running fiber must yield */
    bool is_draining;   /* a cancellation is being delivered */
    int64_t now_ns;     /* the clock as of this turn */
    Heap timers;

    /* Identity and parts. */
    uint32_t tag;
    uint32_t index;
    Runtime *runtime;
    const LoopOps *ops;
    void *backend; /* the backend's own */
    FdTable *fds;  /* NULL under the simulated loop */
    StackPool *stacks;
    sl_nursery *root;   /* parent of the first fiber and of those called from other loops */
    const char *reason; /* why this backend */
    pthread_t thread;
    pid_t tid; /* of that thread, for /proc */
    Rand rand;
    uint64_t next_id;
    sl_nursery *free_nurseries;
    sl_fiber *walk_first; /* fibers to be told of a cancellation */
    sl_fiber *walk_last;
    size_t select_turn; /* where the next select begins to look */
    uint64_t turn_min;  /* resumptions a turn may take at least */

    /* Counters. */
    uint64_t turns;
    size_t fibers;    /* alive */
    bool is_stopping; /* leave when no fiber is alive */

    /* Shared with other threads, on lines of its own. */
    _Alignas(64) _Atomic(sl_task *) mailbox; /* newest first */
    atomic_int is_asleep;                    /* in ops->poll with a wait: a poster must wake it */

    _Alignas(64) sl_fiber scheduler; /* stands for the thread's own stack; no fiber of a program */
};

#define LOOP_TAG TAG_OF('L', 'O', 'O', 'P')

/* The loop of this thread; NULL on a thread that is none. */
extern _Thread_local sl_loop *rt_loop;

/* Yield as a checkpoint that found its fast returns used up. */
SUSPENDS int rt_checkpoint_slow(sl_loop *loop);

/* What a cancelled fiber returns: -ECANCELED, whose words are its own and not an older
 * cancellation's. */
int rt_cancelled(sl_loop *loop) COLD;

/* The beginning of every suspending call: 0, or -ECANCELED. May let others run. */
SUSPENDS static inline int rt_checkpoint(sl_loop *loop)
{
    ASSERT_SLOW(loop->current->no_suspend == 0); /* I8 */
    if (UNLIKELY(loop->current->is_cancelled || --loop->fast_left == 0))
        return rt_checkpoint_slow(loop);
    return 0;
}

/* As rt_checkpoint, without letting others run. */
static inline int rt_checkpoint_only(sl_loop *loop)
{
    return UNLIKELY(loop->current->is_cancelled) ? rt_cancelled(loop) : 0;
}

/* -- The runtime -- */

#define RT_LOOPS_MAX LIMIT_RT_LOOPS

struct Runtime {
    uint32_t tag;
    size_t n_loops;
    sl_loop *loops[RT_LOOPS_MAX];
    sl_run_opts opts;                 /* defaults filled in */
    void *offload;                    /* of offload.c */
    void *watchdog;                   /* of watchdog.c */
    void *signals;                    /* of signal.c; loop 0 */
    _Atomic uint32_t *fd_gens;        /* of fd.c: uses of each descriptor number */
    _Atomic uint32_t watchdog_parked; /* 1: all loops sleep and so does it; who wakes says so */
    _Atomic uint64_t stalls;
    _Atomic uint64_t offloads;
};

#define RUNTIME_TAG TAG_OF('R', 'U', 'N', 'T')

/* The one runtime of the process; NULL when none runs. Written by sl_run before and after
 * everything else. */
extern Runtime *rt_runtime;

/* Parts with a life of their own; called by sl_run on loop 0's thread, all loops initialised, none
 * running. */
MUST int rt_offload_start(Runtime *runtime);
void rt_offload_stop(Runtime *runtime);
MUST int rt_watchdog_start(Runtime *runtime);
void rt_watchdog_stop(Runtime *runtime);
void rt_watchdog_unpark(Runtime *runtime) COLD; /* a loop has woken: look again */
void rt_signals_stop(
    Runtime *runtime); /* undo what sl_signal_wait set up; nothing if it set up nothing */
