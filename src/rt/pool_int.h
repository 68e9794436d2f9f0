/*
 * The threads behind sl_offload: calls go in from loops, come back as posted tasks.
 *
 * A PoolCall lives on the stack of the fiber that waits for it, so that giving work to the pool
 * allocates nothing and the queue is never longer than the number of waiting fibers. At most
 * SL_OFFLOAD_QUEUE calls wait in the queue; what comes above that stands in a second line and moves
 * up in order of arrival.
 */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include <sluice/rt/offload.h>

typedef struct Pool Pool;

typedef enum PoolState {
    POOL_IDLE,   /* not given, or taken back */
    POOL_QUEUED, /* in the queue */
    POOL_TURN,   /* in the line before the queue */
    POOL_RUNNING /* a thread has it, or had it */
} PoolState;

typedef struct PoolCall {
    ListLink link;   /* in queue or turn, under the pool's lock */
    PoolState state; /* under the pool's lock */
    sl_task task;    /* posted to the loop once fn has returned; its fn is the caller's */
    sl_loop *loop;   /* where the task goes */
    sl_fn fn;        /* what runs on the pool thread */
    void *arg;
    LogContext *context; /* of the fiber, which stands still meanwhile: borrowed for what fn logs */
    int r;               /* result of fn */
    Err err;             /* its words; set when r is below zero */
} PoolCall;

/* A pool of at most THREADS threads (0: one for each processor, at least 2), each started when
 * first needed. */
MUST Pool *pool_new(size_t threads);

/* Stop the threads, join them, free. No call may be inside (asserted). NULL is nothing. */
void pool_free(Pool *pool);

/*
 * Give CALL to the pool. When fn has run, call->task is posted to call->loop, whose loop must still
 * be there. 0, or an error when not a single thread can be started. Any thread.
 */
MUST int pool_submit(Pool *pool, PoolCall *call);

/* Take back a call that no thread has begun. True if it will not run. Any thread. */
MUST bool pool_take_back(Pool *pool, PoolCall *call);

/* Calls given so far. */
uint64_t pool_calls(const Pool *pool);

/* How many threads there may be, and calls waiting now, the line before the queue included. */
size_t pool_threads_max(const Pool *pool);
size_t pool_waiting(Pool *pool);

DEFINE_AUTO(Pool *, pool_free);
