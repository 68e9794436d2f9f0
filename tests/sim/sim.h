/*
 * The simulator: the production queue, gate and engine over the memory store, on the simulated
 * loop.
 *
 * A run is decided by its seed: how many producers, workers and cancellers, what each does next,
 * when workers vanish, when commits fail, when the machine dies and is started again, when the
 * clocks jump. What the actors were told is written down (history.c) and must be true of what is
 * found at the end.
 */
#pragma once

#include "base/rand.h"
#include "queue/queue.h"
#include "store/memory/memory.h"

#include <stdbool.h>
#include <stdint.h>

enum { SIM_JOBS_MAX = 600, SIM_QUEUES = 3 };

/* What is known of one job from the outside. */
typedef struct Seen {
    JobId id;
    bool is_attempted;    /* a push was begun */
    bool is_acknowledged; /* and answered with yes */
    uint32_t fence;       /* greatest that a lease was delivered with */
    uint32_t n_leases;    /* delivered */
    int64_t held_until;   /* the current holder's lease, on the steady clock; 0: nobody holds it */
    int64_t run_at;       /* wall time before which it must not run; 0: none */
    int64_t not_before;   /* steady time before which it must not run again; 0: none */
    uint32_t max_attempts;
    uint32_t n_completions; /* accepted */
    bool may_be_completed;  /* an answer to a completion was lost */
    bool is_cancelled;      /* acknowledged */
    int64_t cancelled_ms;   /* wall time of it */
    bool may_be_cancelled;
    bool is_discarded; /* a failure was answered so */
    char result[24];   /* of the accepted completion */
} Seen;

typedef struct History {
    uint64_t seed;
    size_t n;
    Seen jobs[SIM_JOBS_MAX];
    uint32_t faults; /* deaths and failed commits: grants may have been lost, or not given back */
    bool has_steps;  /* the wall clock was set: run_at says nothing */
    uint64_t duplicates;
    uint64_t refused; /* answers that came too late */
    char why[300];    /* the first violation; empty when there is none */
} History;

/* Write down a violation; the first one is kept. */
void history_violated(History *history, const char *fmt, ...) SL_PRINTF(2, 3);

Seen *history_push(History *history, const JobId *id,
                   uint32_t max_attempts); /* before; NULL: enough */
Seen *history_find(History *history, const JobId *id);

/* A lease was delivered. */
void history_leased(History *history, const Job *job);

/* The holder's lease was renewed; or it has answered, and the answer was accepted (UNTIL 0). */
void history_held(History *history, const JobId *id, uint32_t fence, int64_t until);

/* The store has died: leases may have ended meanwhile, grants may have been lost. */
void history_died(History *history);

/*
 * A completion was answered: R as queue_finish gave it; IS_LOST when the store had died under it.
 */
void history_completed(History *history, const JobId *id, uint32_t fence, const char *result, int r,
                       bool is_lost);

/* Every fact against what the store has. IS_END: every job must be final. */
void history_check(History *history, Queues *queues, bool is_end);

/* One run from SEED. 0, or 1 with the violation on stderr. */
int world_run(uint64_t seed, bool is_loud);

/* The same on the simulated Redis, with several processes. */
int redis_world_run(uint64_t seed, bool is_loud);

/* A day of light traffic there, with something started anew every few minutes. */
int redis_day_run(uint64_t seed, bool is_loud);

/* Two hundred processes that wait for jobs of one queue: nobody is woken for nothing. */
int redis_herd_run(uint64_t seed, bool is_loud);
