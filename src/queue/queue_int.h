/*
 * The inside of the queues: what the files of this folder share.
 */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/uuid.h"
#include "queue/policy_int.h"
#include "queue/queue.h"
#include "store/record.h"

#include <sluice/rt/scope.h>

#include <stdatomic.h>

/* What makes ids; one for each loop, so that no lock is needed. */
typedef struct IdMaker {
    Rand rand;
    UuidMaker maker;
    bool is_ready;
} IdMaker;

#define QUEUE_LOOPS_MAX 64

struct Queues {
    Store *store;
    int64_t lease_ms;
    uint32_t loss_limit;
    int64_t idempotency_ms;
    StoreRetention retention;
    IdMaker ids[QUEUE_LOOPS_MAX];

    /* the ticker */
    bool is_stopping;
    sl_scope *sleep; /* what the ticker sleeps in; NULL while it works */
    sl_event stopped;
    int64_t last_wall_ms; /* to notice steps of the clock */
    int64_t last_steady_ms;

    /* events: from the store's side to the loop of the start */
    QueueListener *listeners;
    atomic_bool has_listeners;
    sl_loop *home;
    atomic_size_t events_under_way; /* batches posted and not yet delivered */
};

/* Hand over one operation and end with its error, if it has one: 0, or an outcome above zero. */
MUST SUSPENDS int queue_run_op(Queues *queues, StoreOp *op);

/* The records of an answer as jobs in ARENA (which gets a copy). */
MUST int jobs_from_out(Arena *arena, const StoreOp *op, Job *ret_jobs, size_t max, size_t *ret_n);

/* migrate.c: -ERR_CONFIG with words when the store was moved, or a move into it is not done. */
MUST SUSPENDS int migrate_refuse_moved(Queues *queues);

/* ticker.c */
SUSPENDS int ticker_main(void *arg);

/* events.c */
void events_from_store(void *ctx, const StoreEvent *events, size_t n);
SUSPENDS void events_drain(Queues *queues);

/* Give back what a lease that nobody will see has granted (Q5). */
SUSPENDS void lease_give_back(Queues *queues, const StoreOp *op);

/* lease.c: the operation for OPTS; -ERR_INVALID with words. */
MUST int lease_to_op(const Queues *queues, const LeaseOpts *opts, StoreOp *op);

/* finish.c: N answers, and THEN behind them in the same chain (or NULL); see each r. */
MUST SUSPENDS int finish_run(Queues *queues, Finish *finishes, size_t n, StoreOp *then);

/* What the retry policy draws: uniform in [0, 1). */
double queue_draw(void);
