/*
 * The gate across processes: one SQLite file in which every process of a user or an engine claims
 * its requests to hosts and addresses that have a delay or a limit.
 *
 *   keys(key, next_at)                when the next request of a key may begin
 *   slots(id, key, holder, expires)   requests that are under way
 *
 * A claim takes a slot of each of its keys and moves next_at, all or nothing, by UPDATE … RETURNING
 * in one transaction; leaving gives the slots back and moves next_at behind the end. Claims of all
 * hosts that wait are made together, by one call on the pool.
 *
 *   P1  Times are of the machine's steady clock (CLOCK_MONOTONIC is one for all processes), so that
 *       a step of the wall clock means nothing; the file is emptied after a boot.
 *   P2  A slot expires: its holder prolongs it every third of LIMIT_GATE_SHARED_SLOT_MS while it
 *       lives. What a dead process held blocks no longer than that.
 *   P3  A next_at further ahead than any delay can be is nonsense and does not count.
 *   P4  A granted claim is used within SHARED_FRESH_MS or made anew: what others were told about
 *       when it begins stays true to that.
 */
#pragma once

#include "base/text.h"

#include <sluice/rt.h>

typedef struct GateShared GateShared;

/* One thing to claim. */
typedef struct SharedKey {
    Str key; /* "host:shop.test", "addr:192.0.2.7"; empty: none */
    int64_t delay_ns;
    uint32_t at_once;
} SharedKey;

enum { SHARED_KEYS = 2, SHARED_FRESH_MS = 10 };

typedef struct SharedClaim {
    SharedKey keys[SHARED_KEYS];
    uint64_t id;     /* set when it is granted; 0: it is not */
    int64_t when_ns; /* of one not granted: ask again then */
} SharedClaim;

/* Open the file at PATH, made when there is none. Suspends. */
MUST SUSPENDS int gate_shared_open(GateShared **ret_shared, const char *path);

/* Give back what is held; no fiber may be inside. Suspends, also when cancelled. */
SUSPENDS void gate_shared_close(GateShared *shared);

/* Ask for the N CLAIMS, give back what was left, and prolong what is held. Suspends. */
MUST SUSPENDS int gate_shared_exchange(GateShared *shared, SharedClaim *claims, size_t n);

/* A claimed request has ended; others may go from NEXT_NS on (by our own reckoning; the delay of
 * its keys counts anyway). Told to others with the next exchange. Does not suspend. */
void gate_shared_leave(GateShared *shared, uint64_t id, int64_t next_ns);

/* Wake who waits in gate_shared_wait: there is something to exchange. */
void gate_shared_wake(GateShared *shared);

/* Wait for something to exchange: a wake, something left, slots to prolong. Suspends. */
MUST SUSPENDS int gate_shared_wait(GateShared *shared);
