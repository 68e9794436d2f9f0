/*
 * The ledger: what actors were told about jobs in a store that many share and that may lose, and
 * whether it can be true.
 *
 * A fact is known (the answer came), possible (it did not, or the server went back behind it), or
 * neither. Known facts must hold, now and at the end; possible ones may. Answers may come late and
 * in any order: leases are compared by what the server wrote into them, never by when they came.
 *
 *   total queue    what was acknowledged is there, what is there was attempted
 *   fences         a fence is given once; of a job's leases the later has the greater fence
 *   exclusion      no lease begins before the one before it has ended or was given up
 *   completion     accepted once, with the greatest fence and from its holder; no lease follows
 *   time           nothing runs before it is due
 *   end            every job is final, and is what was said of it
 */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "queue/queue.h"

#include <stdbool.h>
#include <stdint.h>

enum { LEDGER_LEASES = 24 };

typedef struct Fact {
    bool is_known, is_possible;
    int64_t at_ns; /* when it became known */
} Fact;

typedef struct LedgerLease {
    uint32_t fence;
    char worker[24];
    int64_t started_ms, until_ms; /* the server's clock; UNTIL 0: given up */
    int64_t at_ns;                /* delivered */
    bool is_doubtful;             /* the server may have forgotten it */
} LedgerLease;

typedef struct LedgerJob {
    JobId id;
    uint32_t max_attempts;
    int64_t run_at;     /* the server's wall clock; 0: at once */
    int64_t not_before; /* of a retry, after the lease with failed_fence */
    uint32_t failed_fence;
    Fact pushed, completed, cancelled, discarded;
    int64_t cancelled_ms;
    uint32_t completed_fence;
    char result[24];
    LedgerLease leases[LEDGER_LEASES];
    uint32_t n_leases; /* delivered in all; the last LEDGER_LEASES are kept */
} LedgerJob;

typedef struct Ledger {
    Map by_id;
    LedgerJob **jobs;
    size_t n, cap;
    bool has_steps;         /* clocks were set: times say nothing */
    int64_t doubt_until_ns; /* facts that are heard until then are only possible */
    uint64_t n_completed, n_refused, n_again, n_doubts, n_lost;
    uint64_t n_repeated; /* fences given twice because the server had forgotten */
    char why[400];       /* the first violation; empty when there is none */
} Ledger;

void ledger_deinit(Ledger *ledger);
void ledger_violated(Ledger *ledger, const char *fmt, ...) SL_PRINTF(2, 3);

LedgerJob *ledger_push(Ledger *ledger, const JobId *id, uint32_t max_attempts); /* before */
LedgerJob *ledger_find(const Ledger *ledger, const JobId *id);

/* An answer came (R as the queue gave it): 0 makes it known; a doubtful error possible. */
void ledger_pushed(Ledger *ledger, LedgerJob *job, int r);
void ledger_cancelled(Ledger *ledger, LedgerJob *job, int r, int64_t at_ms);
void ledger_completed(Ledger *ledger, const JobId *id, uint32_t fence, const char *worker,
                      const char *result, int r);
void ledger_failed(Ledger *ledger, const JobId *id, const Finish *finish, int r);

void ledger_leased(Ledger *ledger, const Job *job, const char *worker);
/* The lease with FENCE ends at UNTIL; 0: its holder has given it up. */
void ledger_held(Ledger *ledger, const JobId *id, uint32_t fence, int64_t until_ms);

/* Whether R leaves open what happened. */
bool ledger_is_open(int r);

/* The server forgot what it did after BACK_TO_NS (0: everything). */
void ledger_went_back(Ledger *ledger, int64_t back_to_ns);

/* All facts against the store; IS_END: every job must be final. */
SUSPENDS void ledger_check(Ledger *ledger, Queues *queues, bool is_end);
