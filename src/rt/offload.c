/*
 * sl_offload: a fiber gives a function to the pool and parks until the result comes back as a
 * posted task.
 *
 * The call lies on the fiber's stack (pool_int.h). It goes through these hands:
 *
 *   fiber: pool_submit, park  →  pool thread: fn(arg), sl_post  →  loop: finish(), unpark
 *   →  fiber: result
 *
 * Cancellation, which comes to the parked fiber through on_cancel():
 *   - nobody has begun: the call is taken back, the fiber gets -ECANCELED and fn never runs;
 *   - fn runs: it is told through opts->on_cancel, once, and the fiber waits on, because arg is
 *     in use.
 *
 * Under the simulated loop there are no threads. A timer stands for the thread: fn runs when it
 * fires, on the loop's own stack (as large as a pool thread's), and its result is seen only after a
 * second timer. Between the two the rest of the program goes on, as it would beside a thread.
 */
#include <sluice/rt/offload.h>

#include "rt/pool_int.h"
#include "rt/rt_int.h"
#include "rt/loop_int.h"
#include "rt/sim.h"

/* How long a simulated call waits for its thread, and how long it takes. */
#define SIM_WAIT_NS_MAX (50 * NS_PER_US)
#define SIM_RUN_NS_MAX  NS_PER_MS
#define SIM_SLOW_NS_MAX NS_PER_S

/* On the stack of the waiting fiber. */
typedef struct Offloaded {
    PoolCall call;
    RtTimer timer;  /* simulated loop only */
    bool has_begun; /* the same */
    sl_fiber *fiber;
    Pool *pool; /* NULL under the simulated loop */
    const sl_offload_opts *opts;
} Offloaded;

static bool take_back_or_tell(sl_fiber *fiber)
{
    Offloaded *offloaded = fiber->wait_ctx;
    bool is_taken;

    if (offloaded->pool) {
        is_taken = pool_take_back(offloaded->pool, &offloaded->call);
    } else {
        is_taken = !offloaded->has_begun;
        if (is_taken)
            rt_timer_stop(fiber->loop, &offloaded->timer);
    }
    if (!is_taken && offloaded->opts->on_cancel)
        offloaded->opts->on_cancel(offloaded->call.arg);
    return is_taken;
}

static const WaitKind wait_for_pool = { "offload", WAIT_TARGET_NAME, take_back_or_tell };

/* On the loop, once fn has returned on its thread. */
static void finish(sl_task *task)
{
    Offloaded *offloaded = CONTAINER_OF(task, Offloaded, call.task);

    rt_unpark(offloaded->fiber, 0);
}

static void sim_finish(RtTimer *timer)
{
    finish(&CONTAINER_OF(timer, Offloaded, timer)->call.task);
}

/* A disk or a processor that is busy elsewhere, at times. */
static int64_t sim_run_ns_max(void)
{
    return sl_sim_chance("rt.slow_offload") ? SIM_SLOW_NS_MAX : SIM_RUN_NS_MAX;
}

static void sim_run(RtTimer *timer)
{
    Offloaded *offloaded = CONTAINER_OF(timer, Offloaded, timer);
    PoolCall *call = &offloaded->call;
    sl_loop *loop = offloaded->fiber->loop;

    offloaded->has_begun = true;
    log_context = call->context;
    call->r = call->fn(call->arg);
    log_context = NULL;
    if (call->r < 0)
        err_take(call->r, &call->err);
    timer->fire = sim_finish;
    rt_timer_start(loop, timer, loop->now_ns + sl_sim_delay_ns(1, sim_run_ns_max()));
}

int sl_offload_with(sl_fn fn, void *arg, const sl_offload_opts *opts)
{
    sl_loop *loop = rt_loop;
    Offloaded offloaded = {
        .call = { .fn = fn,
                  .arg = arg,
                  .loop = loop,
                  .task = { .fn = finish },
                  .context = log_context },
        .timer = { .fire = sim_run },
        .fiber = loop->current,
        .pool = loop->runtime->offload,
        .opts = opts,
    };
    int r;

    ASSERT(fn && opts);
    r = rt_checkpoint(loop);
    if (r < 0)
        return r;

    atomic_fetch_add_explicit(&loop->runtime->offloads, 1, memory_order_relaxed);
    if (offloaded.pool) {
        r = pool_submit(offloaded.pool, &offloaded.call);
        if (r < 0)
            return r;
    } else {
        rt_timer_start(loop, &offloaded.timer, loop->now_ns + sl_sim_delay_ns(1, SIM_WAIT_NS_MAX));
    }
    r = rt_park(&wait_for_pool, (intptr_t) (opts->name ? opts->name : "offload"), &offloaded);
    if (r < 0)
        return r; /* taken back */
    return offloaded.call.r < 0 ? err_put(&offloaded.call.err) : offloaded.call.r;
}

int rt_offload_start(Runtime *runtime)
{
    if (!runtime->loops[0]->ops->is_virtual)
        runtime->offload = pool_new(runtime->opts.pool_threads);
    return 0;
}

void rt_offload_stop(Runtime *runtime)
{
    pool_free(runtime->offload);
    runtime->offload = NULL;
}
