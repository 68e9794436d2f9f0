/*
 * The ready queue and the way from one fiber to the next.
 *
 * A fiber that leaves the processor picks the next ready one and jumps to it. The scheduler, which
 * runs on the thread's own stack, comes in when nobody is ready or when the turn has had its share
 * of resumptions; it looks at timers, mailbox and poller and starts the next turn.
 */
#pragma once

#include "rt/region_int.h"
#include "rt/sanitizer_int.h"
#include "rt/switch_int.h"

/* What a fiber that leaves the processor rarely has to do: arm its deadlines, or fail because it
 * must not leave. */
void sched_attend(sl_fiber *self) COLD;

/* Written for readers on other threads, such as the watchdog. */
#define STORE_RELAXED(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

/* Append FIBER to the ready queue: I2. */
static inline void ready_push(sl_loop *loop, sl_fiber *fiber)
{
    fiber->state = FIBER_READY;
    fiber->ready_next = NULL;
    if (loop->ready_first)
        loop->ready_last->ready_next = fiber;
    else
        loop->ready_first = fiber;
    loop->ready_last = fiber;
    loop->readied++;
}

/* Go from SELF, whose state says why, to TO, which is running from here on. Returns SELF when
 * resumed. */
static inline __attribute__((always_inline)) sl_fiber *switch_to(sl_loop *loop, sl_fiber *self,
                                                                 sl_fiber *to)
{
    STORE_RELAXED(loop->current, to);
    self->log_context = log_context;
    log_context = to->log_context;
    err_current = &to->err;
    sanitizer_leave(self, to);
    self = switch_stack(self, to);
    sanitizer_arrive(self);
    return self;
}

/* TO has been taken from the ready queue and runs next. */
static inline void ready_to_running(sl_loop *loop, sl_fiber *to)
{
    ASSERT(to->state == FIBER_READY); /* I2 */
    to->state = FIBER_RUNNING;
    STORE_RELAXED(loop->resumes, loop->resumes + 1);
    loop->fast_left = RT_FAST_RETURNS;
}

/*
 * FIBER runs after the next one: ask for the lines it is going to touch, its own and those of the
 * frames it has parked in, which lie right below it. With a thousand connections they have been
 * displaced by the kernel's work for the others.
 */
static inline __attribute__((always_inline)) void prefetch_fiber(const sl_fiber *fiber)
{
    uintptr_t at = (uintptr_t) fiber;

    __builtin_prefetch((const void *) at, 1);
    __builtin_prefetch((const void *) (at - 64), 1);
    __builtin_prefetch((const void *) (at - 128), 1);
    __builtin_prefetch((const void *) (at - 192), 1);
    __builtin_prefetch((const void *) (at - 256), 1);
    __builtin_prefetch((const void *) (at - 320), 1);
    __builtin_prefetch((const void *) (at - 384), 1);
}

/*
 * Leave the processor; returns the fiber itself when it is resumed. SELF is in the ready queue,
 * parked, or has ended. What the caller knows is stale then: it takes everything from what is
 * returned.
 */
static inline __attribute__((always_inline)) sl_fiber *sched_leave(sl_loop *loop, sl_fiber *self)
{
    sl_fiber *to = loop->ready_first;

    if (UNLIKELY(self->attention))
        sched_attend(self);
    if (UNLIKELY(!to || loop->resumes == loop->turn_end)) {
        to = &loop->scheduler;
    } else {
        sl_fiber *after = to->ready_next;

        loop->ready_first = after;
        if (after)
            prefetch_fiber(after);
        ready_to_running(loop, to);
    }
    return switch_to(loop, self, to);
}

/* Run turns until the loop is stopping and no fiber is alive. On the loop's thread. */
void sched_run(sl_loop *loop);

/* Run the tasks that were posted; in mailbox.c. Returns whether there were any. */
bool mailbox_run(sl_loop *loop);
bool mailbox_is_empty(sl_loop *loop);
