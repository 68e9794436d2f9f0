/*
 * Waiting for each other, within one loop: events, futures, mutexes, semaphores, conditions, rate
 * limiters, intervals.
 *
 * None of these needs an atomic: fibers of one loop take turns. All live in storage the caller has,
 * are usable when zeroed unless an init is given, and are served in order of arrival.
 */
#pragma once

#include <sluice/rt/run.h>

#include <stdbool.h>

SL_BEGIN_DECLS

/* A queue of waiting fibers. Its contents are the runtime's. */
typedef struct sl_wait_queue {
    void *opaque_[2];
} sl_wait_queue;

/* -- Event: a flag that fibers wait for. -- */
typedef struct sl_event {
    sl_wait_queue waiters;
    bool is_set;
} sl_event;

SL_API void sl_event_set(sl_event *event); /* wakes all who wait; stays set */
SL_API void sl_event_clear(sl_event *event);
SL_API SL_MUST SL_SUSPENDS int sl_event_wait(sl_event *event); /* 0 or -ECANCELED */

/* -- Future: a result set once, waited for by many. -- */
typedef struct sl_future {
    sl_event done;
    int r;
    void *value;
} sl_future;

SL_API void sl_future_set(sl_future *future, int r, void *value); /* once; asserted */
/* Wait for it: its r, and its value in *ret_value (which may be NULL); or -ECANCELED. */
SL_API SL_MUST SL_SUSPENDS int sl_future_wait(sl_future *future, void **ret_value);

/* -- Mutex: held across suspensions. Not recursive. -- */
typedef struct sl_mutex {
    sl_wait_queue waiters;
    void *owner;
} sl_mutex;

SL_API SL_MUST SL_SUSPENDS int sl_mutex_lock(sl_mutex *mutex); /* 0 or -ECANCELED */
SL_API SL_MUST int sl_mutex_try_lock(sl_mutex *mutex);         /* 0 or SL_BUSY */
SL_API void sl_mutex_unlock(sl_mutex *mutex); /* by the fiber that locked it; asserted */

/* -- Semaphore. -- */
typedef struct sl_sem {
    sl_wait_queue waiters;
    size_t count; /* set before first use: how many may pass */
} sl_sem;

SL_API SL_MUST SL_SUSPENDS int sl_sem_acquire(sl_sem *sem); /* 0 or -ECANCELED */
SL_API SL_MUST int sl_sem_try_acquire(sl_sem *sem);         /* 0 or SL_BUSY */
SL_API void sl_sem_release(sl_sem *sem);

/* -- Condition: wait for a change of what a fiber can see. No lock: fibers take turns. -- */
typedef struct sl_cond {
    sl_wait_queue waiters;
} sl_cond;

SL_API SL_MUST SL_SUSPENDS int sl_cond_wait(
    sl_cond *cond); /* 0 when woken, or -ECANCELED; test the condition again */
SL_API void sl_cond_wake_one(sl_cond *cond);
SL_API void sl_cond_wake_all(sl_cond *cond);

/* -- Rate limiter: a token bucket on the loop's clock. -- */
typedef struct sl_rate {
    double per_second;     /* tokens that arrive; above zero */
    double burst;          /* the most that gather; 0 means 1 */
    double tokens;         /* the runtime's */
    int64_t at_ns;         /* the runtime's */
    sl_wait_queue waiters; /* the runtime's */
    bool is_started;       /* the runtime's */
} sl_rate;

SL_API SL_MUST SL_SUSPENDS int sl_rate_take(sl_rate *rate,
                                            double tokens); /* waits its turn: 0 or -ECANCELED */
SL_API SL_MUST int sl_rate_try_take(sl_rate *rate, double tokens); /* 0 or SL_BUSY */

/* -- Interval: ticks at a fixed period that do not drift. -- */
typedef struct sl_interval {
    int64_t period_ns; /* above zero */
    int64_t next_ns;   /* the runtime's; 0 before the first wait */
    uint64_t missed;   /* ticks that passed while nobody waited; they are skipped and counted */
} sl_interval;

SL_API SL_MUST SL_SUSPENDS int sl_interval_wait(
    sl_interval *interval); /* until the next tick: 0 or -ECANCELED */

SL_END_DECLS
