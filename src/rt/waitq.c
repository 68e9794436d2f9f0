/*
 * Queues of waiting fibers: see waitq_int.h. First in, first out.
 */
#include "rt/waitq_int.h"

static Waiter *last(const sl_wait_queue *queue)
{
    return (Waiter *) queue->opaque_[1];
}

void waitq_push(sl_wait_queue *queue, Waiter *waiter)
{
    Waiter *before = last(queue);

    waiter->queue = queue;
    waiter->next = NULL;
    waiter->prev = before;
    if (before)
        before->next = waiter;
    else
        queue->opaque_[0] = waiter;
    queue->opaque_[1] = waiter;
}

void waitq_remove(Waiter *waiter)
{
    sl_wait_queue *queue = waiter->queue;

    if (!queue)
        return;
    if (waiter->prev)
        waiter->prev->next = waiter->next;
    else
        queue->opaque_[0] = waiter->next;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    else
        queue->opaque_[1] = waiter->prev;
    waiter->queue = NULL;
}

void waitq_fire(Waiter *waiter, int r)
{
    Waiter *group = waiter->group;

    ASSERT(waiter->queue && waiter >= group && waiter < group + group->n);
    group->fired = (uint32_t) (waiter - group);
    for (uint32_t i = 0; i < group->n; i++)
        waitq_remove(&group[i]);
    rt_unpark(waiter->fiber, r);
}

bool waitq_wake_one(sl_wait_queue *queue, int r)
{
    Waiter *waiter = waitq_first(queue);

    if (!waiter)
        return false;
    waitq_fire(waiter, r);
    return true;
}

void waitq_wake_all(sl_wait_queue *queue, int r)
{
    while (waitq_wake_one(queue, r)) {}
}

bool waitq_cancelled(sl_fiber *fiber)
{
    Waiter *group = (Waiter *) fiber->wait_ctx;

    ASSERT(group && group->fiber == fiber);
    for (uint32_t i = 0; i < group->n; i++)
        waitq_remove(&group[i]);
    return true;
}

int waitq_park(sl_wait_queue *queue, const WaitKind *kind, intptr_t target)
{
    Waiter waiter = { .fiber = rt_loop->current, .n = 1 };

    waiter.group = &waiter;
    waitq_push(queue, &waiter);
    return rt_park(kind, target, &waiter);
}
