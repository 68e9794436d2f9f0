/*
 * Queues of waiting fibers: what channels, events, mutexes and the like are made of.
 *
 * A Waiter lives on the stack of the fiber that waits, one for each queue it stands in: one for a
 * plain wait, one for each arm of a select. All waiters of one wait are a group, an array; waking
 * through any of them takes all of them out of their queues, so that a fiber is woken once (I3).
 */
#pragma once

#include "rt/rt_int.h"

typedef struct Waiter Waiter;

struct Waiter {
    Waiter *next;
    Waiter *prev;
    sl_wait_queue *queue; /* the one it stands in; NULL when in none */
    sl_fiber *fiber;
    Waiter *group;  /* the first of its group */
    uint32_t n;     /* of the group; set in the first */
    uint32_t fired; /* index of the one that was woken; set in the first */
    void *item;     /* where to receive into; what to send (a const pointer then) */
};

static inline Waiter *waitq_first(const sl_wait_queue *queue)
{
    return (Waiter *) queue->opaque_[0];
}

static inline bool waitq_is_empty(const sl_wait_queue *queue)
{
    return !queue->opaque_[0];
}

/* Put a waiter at the end of QUEUE. */
void waitq_push(sl_wait_queue *queue, Waiter *waiter);

/* Take a waiter out of its queue; nothing when it is in none. */
void waitq_remove(Waiter *waiter);

/* Take the whole group out and wake the fiber: its rt_park returns R, group->fired tells through
 * which. */
void waitq_fire(Waiter *waiter, int r);

/* Wake the first of QUEUE with R; false when there is none. All of them: */
bool waitq_wake_one(sl_wait_queue *queue, int r);
void waitq_wake_all(sl_wait_queue *queue, int r);

/* For WaitKind.on_cancel when wait_ctx is the first waiter of the group: takes all out. */
bool waitq_cancelled(sl_fiber *fiber);

/* Stand in QUEUE until woken. KIND's hook is waitq_cancelled or calls it. */
SUSPENDS int waitq_park(sl_wait_queue *queue, const WaitKind *kind, intptr_t target);
