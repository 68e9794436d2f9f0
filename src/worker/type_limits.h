/*
 * How many runs of a type there may be at once in this process, where the operator sets a limit.
 *
 * A run takes a slot of its type before it stands in line for a box or a processor, and gives it
 * back when it has ended. So what waits for its type's limit stands in that type's own line
 * (slots.h) and nowhere else: it holds back nobody of another type. A type without a limit passes.
 *
 * The slots live on the loop that made them and count for all loops; a run of a limited type on
 * another loop asks there.
 */
#pragma once

#include "base/own.h"
#include "worker/slots.h"

typedef struct TypeLimits TypeLimits;

/* At most RUNS_MAX runs of TYPE at once. */
typedef struct TypeLimit {
    const char *type;
    size_t runs_max; /* at least 1 */
} TypeLimit;

/* The N limits ITEMS, whose texts outlive it, on the calling loop. */
TypeLimits *type_limits_new(const TypeLimit *items, size_t n);

/* Nobody may hold a slot any more. NULL is nothing. */
void type_limits_free(TypeLimits *limits);

/*
 * Wait until a run of TYPE may go on; from any loop. type_limits_leave on the same loop ends what a
 * 0 began. 0, -ERR_BUSY (LIMIT_TYPE_WAITING wait already, or it would take longer than
 * LIMIT_TYPE_WAIT_MS or the deadline), or -ECANCELED.
 */
MUST SUSPENDS int type_limits_enter(TypeLimits *limits, Str type, SlotAsk *ask);
void type_limits_leave(TypeLimits *limits, Str type, const SlotAsk *ask);
