/*
 * Turns on the offload pool, for handlers that burn processor time.
 *
 * The pool has one line for everything that blocks: files, child processes, and handlers. So no
 * more handlers are put into it than there are processors for; the others wait here (slots.h),
 * where callers take turns and priorities count, and where the line of those who wait for an answer
 * has a bound. Each loop has its share of the slots, and nothing here crosses threads.
 */
#pragma once

#include "base/own.h"
#include "worker/slots.h"

typedef struct Burns Burns;

/* Slots for LOOPS loops together, at least one on each; SLOTS 0 means one for each processor. */
Burns *burns_new(size_t loops, size_t slots);
void burns_free(Burns *burns);

/*
 * Wait for a slot on the calling loop, for a handler of TYPE; burns_leave gives it back. 0,
 * -ERR_BUSY (LIMIT_BURN_WAITING wait already, or it would take longer than LIMIT_BURN_WAIT_MS or
 * the deadline), or -ECANCELED.
 */
MUST SUSPENDS int burns_enter(Burns *burns, Str type, SlotAsk *ask);
void burns_leave(Burns *burns, Str type, const SlotAsk *ask);
