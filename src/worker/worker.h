/*
 * Worker: leases jobs and runs their handlers, on one loop.
 *
 * A worker has `slots` places in which jobs run. It keeps them filled: whenever places are free it
 * answers what has ended and leases more in one transaction. While jobs run it renews their leases,
 * and hears in the same breath which of them were cancelled. It takes only types it has a handler
 * for; others stay for workers elsewhere.
 *
 *   W1  A job is answered with the fence of its own lease, and answered once.
 *   W2  A leased job is in exactly one place: waiting to start, running, or among the answers.
 *   W3  After worker_drain nothing starts any more.
 */
#pragma once

#include "base/own.h"
#include "queue/queue.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

typedef struct RunDoors RunDoors; /* worker/runner.h */

typedef struct Worker Worker;

typedef struct WorkerOpts {
    Queues *queues;                 /* borrowed */
    const Handler *const *handlers; /* borrowed */
    size_t n_handlers;
    HttpClient *http;       /* of this loop; may be NULL */
    const RunDoors *doors;  /* for its runs; may be NULL */
    size_t slots;           /* jobs that run at once; 0 means LIMIT_WORKER_SLOTS */
    const Str *queue_names; /* in order of preference; borrowed; none: any queue, in turn */
    size_t n_queue_names;
    const uint32_t *queue_weights; /* one for each name: how often it is asked first; borrowed;
                                      NULL: by preference */
    const char *host;              /* where it runs, for its card; borrowed; NULL: has no card */
    const char *name;  /* of the worker in leases and logs; copied; default "worker-<pid>-<loop>" */
    int64_t lease_ms;  /* 0 means each job's own, else the engine's default */
    bool hears_events; /* this loop started the queues: cancellations arrive as events, not by
                          heartbeat */
} WorkerOpts;

typedef struct WorkerStats {
    size_t running;
    size_t waiting; /* leased, not started */
    uint64_t completed;
    uint64_t failed;
    uint64_t released;
    uint64_t refused; /* answers that came too late */
} WorkerStats;

/* Start a worker whose fibers live in NURSERY. 0 or an error. */
MUST SUSPENDS int worker_start(Worker **ret_worker, sl_nursery *nursery, const WorkerOpts *opts);

/* Stop leasing and hand back at once what has not started. What runs goes on. Does not wait. */
void worker_drain(Worker *worker);

/* Cancel what runs; those jobs are handed back too. For the second signal and the end of the grace.
 */
void worker_hurry(Worker *worker);

void worker_stats(const Worker *worker, WorkerStats *ret_stats);

/*
 * Drain, wait until everything that runs has ended and is answered, at most GRACE_MS, then hurry;
 * free. NULL is nothing. Returns when all fibers have ended, also when the caller is cancelled.
 */
SUSPENDS void worker_stop(Worker *worker, int64_t grace_ms);
