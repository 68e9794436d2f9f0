/*
 * Turns among callers: who waits for one of a few places, in which order.
 *
 * Each caller (a peer, a queue) has a line of its own, and the lines are served in turn, so that
 * one who sends a thousand at once delays another by one. There are three such rounds, by priority;
 * a lower one is served when the higher ones are empty. Plain data: nothing here suspends.
 *
 *   F1  A line is in its round exactly while somebody waits in it.
 */
#pragma once

#include "base/list.h"
#include <sluice/str.h>

#include <stddef.h>
#include <stdint.h>

#define FAIR_ROUNDS       3
#define FAIR_CALLER_BYTES 64 /* of a caller's name that are looked at */

typedef struct FairLine FairLine;

/* One that waits; embedded in what it stands for. */
typedef struct FairPlace {
    ListLink link;
    FairLine *line; /* NULL when it waits nowhere */
} FairPlace;

typedef struct Fair {
    List rounds[FAIR_ROUNDS]; /* of FairLine; the one to be served next is first */
    size_t len;               /* places that wait */
} Fair;

/* Put PLACE behind those of CALLER that wait with this PRIORITY (below, at, above zero). */
void fair_push(Fair *fair, FairPlace *place, Str caller, int priority);

/* The place whose turn it is, taken out; NULL when nobody waits. */
FairPlace *fair_pop(Fair *fair);

/* Take PLACE out; nothing when it does not wait. */
void fair_remove(Fair *fair, FairPlace *place);
