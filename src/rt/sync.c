/*
 * Events, futures, mutexes, semaphores and conditions.
 *
 * All are a queue of fibers and a word of state. Who gives something up gives it to the first in
 * the queue (the mutex gets its new owner, the permit its new holder) before that fiber runs, so
 * that nobody who comes in between can take it and nobody starves. A fiber that is cancelled after
 * it was given something keeps it and learns of the cancellation at its next checkpoint: it was
 * woken with 0, and cancellation does not touch a fiber that no longer waits (I3).
 */
#include <sluice/rt/sync.h>

#include "rt/sched_int.h"
#include "rt/waitq_int.h"

static const WaitKind wait_event = { "event", WAIT_TARGET_NONE, waitq_cancelled };
static const WaitKind wait_mutex = { "mutex", WAIT_TARGET_NONE, waitq_cancelled };
static const WaitKind wait_sem = { "semaphore", WAIT_TARGET_NONE, waitq_cancelled };
static const WaitKind wait_cond = { "condition", WAIT_TARGET_NONE, waitq_cancelled };

/* -- Event -- */

void sl_event_set(sl_event *event)
{
    event->is_set = true;
    waitq_wake_all(&event->waiters, 0);
}

void sl_event_clear(sl_event *event)
{
    event->is_set = false;
}

int sl_event_wait(sl_event *event)
{
    int r;

    r = rt_checkpoint(rt_loop);
    if (r < 0 || event->is_set)
        return r;
    return waitq_park(&event->waiters, &wait_event, 0);
}

/* -- Future -- */

void sl_future_set(sl_future *future, int r, void *value)
{
    ASSERT(!future->done.is_set);
    future->r = r;
    future->value = value;
    sl_event_set(&future->done);
}

int sl_future_wait(sl_future *future, void **ret_value)
{
    int r;

    r = sl_event_wait(&future->done);
    if (r < 0)
        return r;
    if (ret_value)
        *ret_value = future->value;
    return future->r;
}

/* -- Mutex -- */

int sl_mutex_try_lock(sl_mutex *mutex)
{
    if (mutex->owner)
        return SL_BUSY;
    mutex->owner = rt_loop->current;
    return 0;
}

int sl_mutex_lock(sl_mutex *mutex)
{
    int r;

    ASSERT(mutex->owner != rt_loop->current); /* not recursive */
    r = rt_checkpoint(rt_loop);
    if (r < 0 || sl_mutex_try_lock(mutex) == 0)
        return r;
    r = waitq_park(&mutex->waiters, &wait_mutex, 0);
    if (r == 0)
        ASSERT(mutex->owner == rt_loop->current);
    return r;
}

void sl_mutex_unlock(sl_mutex *mutex)
{
    Waiter *waiter = waitq_first(&mutex->waiters);

    ASSERT(mutex->owner == rt_loop->current);
    mutex->owner = waiter ? waiter->fiber : NULL;
    if (waiter)
        waitq_fire(waiter, 0);
}

/* -- Semaphore -- */

int sl_sem_try_acquire(sl_sem *sem)
{
    if (sem->count == 0)
        return SL_BUSY;
    sem->count--;
    return 0;
}

int sl_sem_acquire(sl_sem *sem)
{
    int r;

    r = rt_checkpoint(rt_loop);
    if (r < 0 || sl_sem_try_acquire(sem) == 0)
        return r;
    return waitq_park(&sem->waiters, &wait_sem, 0);
}

void sl_sem_release(sl_sem *sem)
{
    if (!waitq_wake_one(&sem->waiters, 0))
        sem->count++;
}

/* -- Condition -- */

int sl_cond_wait(sl_cond *cond)
{
    int r;

    r = rt_checkpoint_only(rt_loop); /* no yield: the caller has just looked at its condition */
    if (r < 0)
        return r;
    return waitq_park(&cond->waiters, &wait_cond, 0);
}

void sl_cond_wake_one(sl_cond *cond)
{
    (void) waitq_wake_one(&cond->waiters, 0); /* nobody waits: nothing to do */
}

void sl_cond_wake_all(sl_cond *cond)
{
    waitq_wake_all(&cond->waiters, 0);
}
