/*
 * Fibers: how one begins and ends, sleeping, and what a fiber knows of itself.
 *
 *     FREE --fiber_start--> READY --switch--> RUNNING --rt_park--> PARKED --rt_unpark--> READY ...
 *                             ^                  |  \--returns--> FREE
 *                             +-----sl_yield-----+
 *
 * A fiber begins in fiber_main, to which the first switch jumps, and ends there: its stack goes
 * back to the pool while it still stands on it, which is sound because nobody takes a stack from
 * the pool before the switch that follows. It never returns from there.
 */
#include "rt/sched_int.h"

#include <sluice/rt/fiber.h>

#include "rt/loop_int.h"
#include "rt/stack_int.h"

static const WaitKind wait_for_ever = { "ever", WAIT_TARGET_NONE, NULL };

/* Nothing is left of what the fiber began: nurseries, scopes, log fields, open NO_SUSPEND blocks.
 */
static void assert_is_over(const sl_fiber *self)
{
    ASSERT(!self->nurseries);                      /* I7 */
    ASSERT(self->region == &self->parent->region); /* every scope has been ended */
    ASSERT(self->no_suspend == 0);                 /* I8 */
    ASSERT(!self->is_walking);
}

static _Noreturn void fiber_main(void)
{
    sl_loop *loop = rt_loop;
    sl_fiber *self = loop->current;
    int r;

    sanitizer_arrive_first();
    r = self->fn(self->arg);

    assert_is_over(self);
    nursery_child_ended(self->parent, self, r);
    self->has_unarmed = false;
    self->state = FIBER_FREE;
    loop->fibers--;
    stack_put(loop->stacks, self);
    (void) sched_leave(loop, self);
    UNREACHABLE("a fiber that has ended was resumed");
}

void fiber_init(sl_fiber *fiber, sl_loop *loop, sl_fn fn, void *arg, const char *name)
{
    ASSERT(fiber->state == FIBER_FREE);
    sanitizer_begin(fiber);
    fiber->sp = switch_first_sp(fiber);
    fiber->fp = NULL;
    fiber->pc = (void *) (uintptr_t) fiber_main;
    fiber->wait_result = 0;
    fiber->has_unarmed = false;
    fiber->no_suspend = 0;
    fiber->tag = FIBER_TAG;
    fiber->is_walking = false;
    fiber->is_told = false;
    fiber->id = loop->next_id;
    fiber->name = name ? name : "fiber";
    fiber->loop = loop;
    fiber->wait = NULL;
    fiber->wait_since_ns = loop->now_ns;
    fiber->nurseries = NULL;
    fiber->fn = fn;
    fiber->arg = arg;
    fiber->err.code = 0;
    loop->next_id += loop->runtime->n_loops;
}

/* -- Sleeping -- */

/* A sleeper's timer, on its own stack. */
typedef struct Sleep {
    RtTimer timer;
    sl_fiber *fiber;
} Sleep;

static void sleep_over(RtTimer *timer)
{
    rt_unpark(CONTAINER_OF(timer, Sleep, timer)->fiber, 0);
}

bool rt_sleep_cancelled(sl_fiber *fiber)
{
    rt_timer_stop(fiber->loop, &((Sleep *) fiber->wait_ctx)->timer);
    return true;
}

static const WaitKind wait_until = { "time", WAIT_TARGET_TIME, rt_sleep_cancelled };

int rt_park_until(sl_loop *loop, const WaitKind *kind, int64_t deadline_ns)
{
    Sleep sleep = { { .fire = sleep_over }, loop->current };

    rt_timer_start(loop, &sleep.timer, deadline_ns);
    return rt_park(kind, (intptr_t) deadline_ns, &sleep);
}

int sl_sleep_until_ns(int64_t deadline_ns)
{
    sl_loop *loop = rt_loop;

    if (deadline_ns <= loop->now_ns)
        return sl_yield();
    return rt_park_until(loop, &wait_until, deadline_ns);
}

int sl_sleep_ns(int64_t ns)
{
    int64_t deadline_ns;

    if (__builtin_add_overflow(rt_loop->ops->clock_ns(rt_loop), ns, &deadline_ns))
        deadline_ns = INT64_MAX;
    return ns <= 0 ? sl_yield() : sl_sleep_until_ns(deadline_ns);
}

int sl_sleep_ms(int64_t ms)
{
    int64_t ns;

    if (__builtin_mul_overflow(ms, NS_PER_MS, &ns))
        ns = ms < 0 ? INT64_MIN : INT64_MAX;
    return sl_sleep_ns(ns);
}

int sl_sleep_forever(void)
{
    int r = rt_park(&wait_for_ever, 0, NULL);

    ASSERT(r == -ECANCELED);
    return r;
}

/* -- Self -- */

/* The running fiber; NULL on a thread that runs none. */
static sl_fiber *self_or_null(void)
{
    sl_loop *loop = rt_loop;

    return loop && loop->current != &loop->scheduler ? loop->current : NULL;
}

int sl_in_fiber(void)
{
    return self_or_null() != NULL;
}

sl_fiber *sl_self(void)
{
    return self_or_null();
}

uint64_t sl_self_id(void)
{
    sl_fiber *self = self_or_null();

    return self ? self->id : 0;
}

const char *sl_self_name(void)
{
    sl_fiber *self = self_or_null();

    return self ? self->name : "thread";
}

void sl_set_name(const char *name)
{
    ASSERT(name);
    rt_loop->current->name = name;
}

void *sl_local_get(void)
{
    return rt_loop->current->local;
}

void sl_local_set(void *value)
{
    rt_loop->current->local = value;
}

bool sl_is_cancelled(void)
{
    return rt_loop->current->is_cancelled;
}

void sl_no_suspend_enter(void)
{
    ASSERT(rt_loop->current->no_suspend < UINT8_MAX);
    rt_loop->current->no_suspend++;
}

void sl_no_suspend_leave(void)
{
    ASSERT(rt_loop->current->no_suspend > 0);
    rt_loop->current->no_suspend--;
}
