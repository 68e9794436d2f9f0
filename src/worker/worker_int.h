/*
 * The inside of a worker: what its four files share.
 *
 *   worker.c  its life: start, drain, hurry, stop
 *   held.c    the jobs it holds, in which list each is, and running them
 *   pump.c    between the worker and the queue: leases in, answers out
 *   beat.c    renewing leases, and hearing of jobs to stop
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "worker/runner.h"
#include "worker/worker.h"

#define WORKER_HOLD_NS     (1 * NS_PER_S)
#define WORKER_BEAT_MIN_NS (50 * NS_PER_MS)
#define WORKER_RETRY_MS    200 /* between two tries to reach a store that fails */

/* The jobs of one lease, and the memory their texts live in; freed with the last of them. */
typedef struct Batch {
    Arena arena;
    Job *jobs;
    size_t left;  /* Held that still point into it */
    size_t bytes; /* charged to the worker while it lives */
} Batch;

/* Where a held job is; a list of the worker for each but FREE's end and ANSWERING (W2). */
typedef enum HeldPlace {
    HELD_FREE,
    HELD_WAITING,
    HELD_RUNNING,
    HELD_DONE,
    HELD_ANSWERING
} HeldPlace;

typedef struct Held {
    ListLink link;
    HeldPlace place;
    Batch *batch;
    const Job *job; /* in the batch */
    int64_t leased_ns;
    int64_t beat_ns; /* when its lease is renewed next */
    bool is_revoked; /* cancelled or lost: no answer is given */
    sl_scope scope;  /* around the handler, while it runs */
    Run run;
    Finish finish; /* once done */
    char id[JOB_ID_TEXT_BYTES];
    Err err; /* the failure's words, which finish points into */
} Held;

struct Worker {
    WorkerOpts opts;
    char name[128];
    sl_nursery *nursery; /* of the runners */
    StoreFilter filter;
    QueueListener listener;
    bool hears_all;     /* every cancellation comes as an event */
    int64_t *turns;     /* of weighted queues: how long each has waited to be first; or NULL */
    Str *leaser_queues; /* their order in the leaser's lease, and in the pump's */
    Str *pump_queues;
    int64_t started_ms;    /* wall time */
    sl_event card_changed; /* the card is to be put at once */

    List waiting;
    List running;
    List done;
    List free;
    size_t held;       /* in any of the first three, and those being answered */
    size_t held_bytes; /* of the batches they point into */
    size_t runners;    /* runner fibers alive */
    double run_ns;     /* moving average of how long a job runs */
    size_t take_max;   /* jobs in one lease: halved when one fails, doubled when one works */

    bool is_draining;
    bool is_pump_leasing;  /* the pump's transaction takes jobs too */
    sl_cond pump_cond;     /* something is done */
    sl_cond lease_cond;    /* there may be room */
    sl_cond idle_cond;     /* nothing is held any more, or the fibers have ended */
    sl_scope *lease_scope; /* around the leaser's wait, while it waits */
    sl_scope *beat_scope;  /* around the beater's sleep, while it sleeps */
    int64_t beat_at_ns;    /* when that sleep ends */
    int64_t said_ns;       /* when the log last said that the store fails */
    sl_event stop;         /* the fibers may end */
    sl_event ended;        /* they have */

    WorkerStats stats;
};

/* ---- held.c ---------------------------------------------------------------------------------- */

Held *held_first(List *list);
void held_move(Worker *worker, Held *held, HeldPlace place);

/* The text of the job's id; of the held's own memory. */
const char *held_id(Held *held);

/* The end of a held job's way: its place is free again. */
void held_release(Worker *worker, Held *held);

/* Memory for a lease of at most MAX jobs; dropped when the lease gave none. */
Batch *batch_new(size_t max);
void batch_drop(Batch *batch);

/* How many more jobs may be taken once LEAVING of those held have gone. */
size_t worker_room(const Worker *worker, size_t leaving);

/* Take over the N jobs of BATCH, which may be none. */
SUSPENDS void worker_accept(Worker *worker, TAKES Batch *batch, size_t n);

/* Hand back what has waited longer than that behind others; how many that were. */
size_t worker_release_waiting(Worker *worker, int64_t longer_than_ns);

/* For StoreFilter: whether there is a handler. Any thread. */
bool worker_accepts_type(void *ctx, Str type);

/* ---- pump.c ---------------------------------------------------------------------------------- */

/* Fibers: take jobs while there is room; give answers. End when cancelled. */
SUSPENDS int worker_leaser(void *arg);
SUSPENDS int worker_pump(void *arg);

/* Say now and then that the store fails, wait, and let the caller try again: 0, or -ECANCELED. */
MUST SUSPENDS int worker_pause_after(Worker *worker, int r, const char *what);

/* ---- turns.c --------------------------------------------------------------------------------- */

/*
 * Weighted turns: put the N queues NAMES with WEIGHTS into ORDER for the next lease. TURNS is what
 * is kept between two calls, zero at first.
 */
void turns_next(const Str *names, const uint32_t *weights, int64_t *turns, size_t n,
                Str *ret_order);

/* ---- card.c ---------------------------------------------------------------------------------- */

/* Fiber: keep the worker's card in the registry. Ends when cancelled, and then takes it out. */
SUSPENDS int worker_carder(void *arg);

/* ---- beat.c ---------------------------------------------------------------------------------- */

/* Fiber: renew leases. Ends when cancelled. */
SUSPENDS int worker_beater(void *arg);

/* When the lease of JOB, taken now, is to be renewed; the beater wakes in time for it. */
int64_t worker_plan_beat(Worker *worker, const Job *job);

/* QueueListener: cancellations as they happen, on the loop that started the queues. */
void worker_on_events(void *ctx, const StoreEvent *events, size_t n);
