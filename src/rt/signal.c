/*
 * Signals as something to wait for.
 *
 * The first wait for a signal installs a handler for it, which counts and posts one task to loop 0;
 * the task gives what was counted to the fibers that wait, in order of arrival, each delivery to
 * one of them. What nobody waits for stays counted until somebody does. When the runtime ends the
 * old dispositions come back.
 *
 * A handler rather than a signalfd: a signalfd needs the signal blocked in every thread, also in
 * those that the program has made before and that libraries make, or the default action kills the
 * process.
 *
 *   I1  The handler touches only atomics and calls sl_post and nothing else; both are
 *       async-signal-safe.
 *   I2  is_posted is cleared before the counts are read: a signal that comes later posts again.
 *   I3  When rt_signals_stop returns no handler of ours runs and none will: dispositions first,
 *       then the count of handlers under way goes to zero.
 */
#include <sluice/rt/process.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>

#include "base/list.h"
#include "base/mem.h"
#include "rt/rt_int.h"
#include "rt/sim.h"

#define SIGNALS 64 /* a mask of 64 bits names 1 … 63 */

/* A fiber that waits, on its own stack. */
typedef struct SignalWait {
    ListLink link;
    sl_fiber *fiber;
    uint64_t signals;
    int signal; /* the one it got */
} SignalWait;

/* Of the runtime; on loop 0. */
typedef struct Signals {
    List waits;      /* in order of arrival */
    uint64_t caught; /* signals that have our handler */
    struct sigaction before[SIGNALS];
} Signals;

/* What the handler reaches. It outlives every runtime, because a handler may run late. */
static struct {
    _Atomic(sl_loop *) loop; /* loop 0; NULL when nothing is caught */
    atomic_uint n_running;   /* handlers under way */
    atomic_bool is_posted;
    atomic_uint counts[SIGNALS];
    sl_task task;
} caught;

static void on_signal(int signal)
{
    int saved_errno = errno;
    sl_loop *loop;

    atomic_fetch_add(&caught.n_running, 1); /* I3 */
    loop = atomic_load(&caught.loop);
    if (loop) {
        atomic_fetch_add(&caught.counts[signal], 1);
        if (!atomic_exchange(&caught.is_posted, true)) {
            caught.task.next = NULL;
            sl_post(loop, &caught.task); /* I1 */
        }
    }
    atomic_fetch_sub(&caught.n_running, 1);
    errno = saved_errno;
}

/* Take one delivery of a signal in the mask SIGNALS; the number, or 0. */
static int take_delivery(uint64_t signals)
{
    for (int i = 1; i < SIGNALS; i++) {
        if ((signals & UINT64_C(1) << i) && atomic_load(&caught.counts[i]) > 0) {
            atomic_fetch_sub(&caught.counts[i], 1); /* only this loop takes */
            return i;
        }
    }
    return 0;
}

static void end_wait(Signals *signals, SignalWait *wait)
{
    ASSERT(wait->link.list == &signals->waits);
    list_remove(&wait->link);
    sl_sim_expect(-1);
}

/* On loop 0: hand out what has been counted. */
static void deliver(sl_task *task)
{
    Signals *signals = rt_runtime->signals;

    (void) task;
    atomic_store(&caught.is_posted, false); /* I2 */
    list_each(&signals->waits, link) {
        SignalWait *wait = LIST_ITEM(link, SignalWait, link);

        wait->signal = take_delivery(wait->signals);
        if (wait->signal != 0) {
            end_wait(signals, wait);
            rt_unpark(wait->fiber, 0);
        }
    }
}

static bool take_out(sl_fiber *fiber)
{
    end_wait(rt_runtime->signals, fiber->wait_ctx);
    return true;
}

static const WaitKind wait_for_signal = { "signal of mask", WAIT_TARGET_NUMBER, take_out };

/* See to it that we catch all of SIGNALS. 0 or an error; what was caught before it stays so. */
static int catch_signals(Signals *signals, sl_loop *loop, uint64_t mask)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK };

    (void) sigfillset(&action.sa_mask);
    caught.task.fn = deliver;
    atomic_store(&caught.loop, loop);
    for (int i = 1; i < SIGNALS; i++) {
        uint64_t bit = UINT64_C(1) << i;

        if (!(mask & bit) || (signals->caught & bit))
            continue;
        if (sigaction(i, &action, &signals->before[i]) != 0)
            return fail_errno("catch signal %d", i);
        signals->caught |= bit;
    }
    return 0;
}

int sl_signal_wait(uint64_t signals, int *ret_signal)
{
    sl_loop *loop = rt_loop;
    SignalWait wait = { .fiber = loop->current, .signals = signals };
    Signals *state;
    int r;

    ASSERT(signals != 0 && (signals & 1) == 0 && ret_signal);
    ASSERT(loop->index == 0);
    r = rt_checkpoint(loop);
    if (r < 0)
        return r;

    if (!loop->runtime->signals)
        loop->runtime->signals = mem_new(Signals);
    state = loop->runtime->signals;
    if (signals & ~state->caught) {
        r = catch_signals(state, loop, signals);
        if (r < 0)
            return r;
    }

    wait.signal = take_delivery(signals);
    if (wait.signal == 0) {
        list_push_back(&state->waits, &wait.link);
        sl_sim_expect(1);
        r = rt_park(&wait_for_signal, (intptr_t) signals, &wait);
        if (r < 0)
            return r;
    }
    *ret_signal = wait.signal;
    return 0;
}

void rt_signals_stop(Runtime *runtime)
{
    Signals *signals = runtime->signals;

    if (!signals)
        return;
    ASSERT(list_is_empty(&signals->waits));
    for (int i = 1; i < SIGNALS; i++) {
        if (signals->caught & UINT64_C(1) << i)
            (void) sigaction(i, &signals->before[i], NULL); /* it worked the other way */
    }
    atomic_store(&caught.loop, NULL);
    while (atomic_load(&caught.n_running) > 0) /* I3 */
        (void) sched_yield();
    atomic_store(&caught.is_posted, false);
    for (int i = 1; i < SIGNALS; i++)
        atomic_store(&caught.counts[i], 0);
    mem_free(signals);
    runtime->signals = NULL;
}
