/*
 * The scheduler: turns of a loop, parking and waking.
 *
 * A turn reads the clock once, collects what has happened (timers, posted tasks, descriptors and
 * completions), and then lets ready fibers run. They hand the processor from one to the next
 * without coming back here; the turn ends when nobody is ready or after turn_min resumptions. That
 * number follows the work: it doubles while turns are short and halves while they are long, so that
 * cheap fibers do not pay for looking at the kernel and expensive ones do not make it wait.
 *
 *     poll -> mailbox -> timers -> [ready fibers, one to the next] -> clock -> poll ...
 *
 * With nobody ready the poll sleeps until the nearest timer. Before it sleeps it says so in
 * is_asleep and looks at the mailbox once more; a poster looks at is_asleep after it has posted.
 * Both in sequentially consistent order, so that at least one of the two sees the other: no wake-up
 * is lost, and a loop that is awake costs its posters no system call.
 *
 * The scheduler runs on the thread's own stack and stands as loop->scheduler where a fiber is asked
 * for; it is never in the ready queue. The invariants I1 to I8 are in rt_int.h.
 */
#include "rt/sched_int.h"

#include "rt/loop_int.h"
#include "rt/stack_int.h"

/* How long a turn should take, and the resumptions it may have. */
#define TURN_SHORT_NS (100 * NS_PER_US)
#define TURN_LONG_NS  (400 * NS_PER_US)
enum { TURN_LEAST = 16, TURN_FIRST = 64, TURN_MOST = 4096, TRIM_IDLE = 64, PICK_FROM = 64 };

_Thread_local sl_loop *rt_loop;

void sched_attend(sl_fiber *self)
{
    ASSERT(self->no_suspend == 0); /* I8 */
    region_arm(self);
}

bool rt_refuse_cancel(sl_fiber *fiber)
{
    (void) fiber;
    return false;
}

int rt_park(const WaitKind *kind, intptr_t target, void *ctx)
{
    sl_loop *loop = rt_loop;
    sl_fiber *self = loop->current;

    ASSERT(self->state == FIBER_RUNNING); /* I2 */
    self->wait = kind;
    self->wait_target = target;
    self->wait_ctx = ctx;
    self->wait_since_ns = loop->now_ns;
    self->is_told = false;
    if (UNLIKELY(self->is_cancelled)) {
        self->is_told = true;
        if (!kind->on_cancel || kind->on_cancel(self))
            return rt_cancelled(loop);
    }
    self->state = FIBER_PARKED;
    self = sched_leave(loop, self);
    if (UNLIKELY(self->wait_result == -ECANCELED))
        return rt_cancelled(self->loop);
    return self->wait_result;
}

void rt_unpark(sl_fiber *fiber, int r)
{
    sl_loop *loop = fiber->loop;

    ASSERT(fiber->state == FIBER_PARKED); /* I3 */
    ASSERT_SLOW(loop == rt_loop);         /* I1 */
    fiber->wait_result = r;
    ready_push(loop, fiber);
}

int sl_yield(void)
{
    sl_loop *loop = rt_loop;
    sl_fiber *self = loop->current;

    ASSERT(self->state == FIBER_RUNNING); /* I2 */
    ready_push(loop, self);
    self = sched_leave(loop, self);
    if (UNLIKELY(self->is_cancelled))
        return rt_cancelled(self->loop);
    return 0;
}

int rt_checkpoint_slow(sl_loop *loop)
{
    sl_fiber *self = loop->current;

    ASSERT(self->no_suspend == 0); /* I8 */
    if (self->is_cancelled && loop->fast_left > 1) {
        loop->fast_left--; /* a fiber that does not take the hint must not hold the loop */
        return rt_cancelled(loop);
    }
    return sl_yield();
}

int sl_checkpoint(void)
{
    return rt_checkpoint(rt_loop);
}

void rt_timer_start(sl_loop *loop, RtTimer *timer, int64_t at_ns)
{
    ASSERT(timer->fire);
    heap_push(&loop->timers, &timer->node, at_ns);
}

void rt_timer_stop(sl_loop *loop, RtTimer *timer)
{
    heap_remove(&loop->timers, &timer->node);
}

static void timers_fire(sl_loop *loop)
{
    int64_t at_ns;
    HeapNode *node;

    while ((node = heap_peek(&loop->timers, &at_ns)) && at_ns <= loop->now_ns) {
        RtTimer *timer = HEAP_ITEM(node, RtTimer, node);

        heap_remove(&loop->timers, node);
        timer->fire(timer);
    }
}

/* Nanoseconds until the nearest timer, -1 when there is none. */
static int64_t timers_wait_ns(const sl_loop *loop)
{
    int64_t at_ns;

    if (!heap_peek(&loop->timers, &at_ns))
        return -1;
    return MAX(at_ns - loop->now_ns, (int64_t) 0);
}

/* Collect what has happened; sleep when there is nothing to do. */
static void collect(sl_loop *loop)
{
    int64_t wait_ns = 0;

    if (!loop->ready_first && !stack_trim(loop->stacks, TRIM_IDLE))
        wait_ns = timers_wait_ns(loop);
    if (wait_ns == 0) {
        loop->ops->poll(loop, 0);
        return;
    }
    atomic_store(&loop->is_asleep, 1);
    loop->ops->poll(loop, mailbox_is_empty(loop) ? wait_ns : 0);
    atomic_store(&loop->is_asleep, 0);
    if (UNLIKELY(atomic_load(&loop->runtime->watchdog_parked)))
        rt_watchdog_unpark(loop->runtime);
    loop->now_ns = loop->ops->clock_ns(loop);
}

/* Take the fiber the backend picks out of the ready queue. */
static sl_fiber *ready_pick(sl_loop *loop)
{
    size_t ready = (size_t) (loop->readied - loop->resumes);
    size_t n = loop->ops->pick(loop, MIN(ready, (size_t) PICK_FROM));
    sl_fiber **link = &loop->ready_first;
    sl_fiber *prev = NULL;
    sl_fiber *picked;

    for (; n > 0 && (*link)->ready_next; n--) {
        prev = *link;
        link = &prev->ready_next;
    }
    picked = *link;
    *link = picked->ready_next;
    if (loop->ready_last == picked)
        loop->ready_last = prev;
    return picked;
}

/* Let ready fibers run until the turn has had its share or nobody is ready. */
static void run_ready(sl_loop *loop)
{
    sl_fiber *first;

    if (loop->ops->pick) {
        first = ready_pick(loop);
        loop->turn_end = loop->resumes + 1;
    } else {
        first = loop->ready_first;
        loop->ready_first = first->ready_next;
        loop->turn_end = loop->resumes + loop->turn_min;
    }
    ready_to_running(loop, first);
    (void) switch_to(loop, &loop->scheduler, first);
}

/* Choose how many resumptions the next turn may have, from how long the last one took. */
static void adapt(sl_loop *loop, int64_t took_ns)
{
    bool is_cut = loop->resumes == loop->turn_end; /* it would have gone on */

    if (took_ns < TURN_SHORT_NS && is_cut)
        loop->turn_min = MIN(loop->turn_min * 2, (uint64_t) TURN_MOST);
    else if (took_ns > TURN_LONG_NS)
        loop->turn_min = MAX(loop->turn_min / 2, (uint64_t) TURN_LEAST);
}

void sched_run(sl_loop *loop)
{
    ASSERT(rt_loop == loop && loop->tag == LOOP_TAG);
    STORE_RELAXED(loop->current, &loop->scheduler);
    loop->scheduler.state = FIBER_RUNNING;
    loop->turn_min = TURN_FIRST;
    loop->now_ns = loop->ops->clock_ns(loop);

    while (!(loop->is_stopping && loop->fibers == 0)) {
        int64_t before_ns;

        loop->turns++;
        collect(loop);
        (void) mailbox_run(loop);
        timers_fire(loop);
        if (!loop->ready_first)
            continue;
        before_ns = loop->now_ns;
        run_ready(loop);
        loop->now_ns = loop->ops->clock_ns(loop);
        adapt(loop, loop->now_ns - before_ns);
    }
}
