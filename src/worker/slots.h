/*
 * A number of slots, and the line of those who wait for one.
 *
 * What runs holds a slot. Who finds none free stands in line, where callers take turns and
 * priorities count (fair.h). A run that can be put off is refused when the line is full, or when
 * what stands before it would take longer than it may wait, by the mean of the last runs. All of it
 * belongs to one loop.
 *
 *   I1  Somebody waits only while all slots are taken: a slot that is given back goes to who is
 *       next, without being free in between.
 */
#pragma once

#include "base/own.h"
#include "worker/fair.h"

#include <sluice/attr.h>

#include <stdbool.h>

typedef struct Slots {
    const char *what; /* for words: "runs wait for WHAT already" */
    size_t max;
    size_t waiting_max;  /* of those who can be put off */
    int64_t wait_max_ms; /* that they may have to wait */
    size_t busy;
    Fair waiting;
    double held_ns; /* moving mean of how long a slot is held; 0: none has been */
} Slots;

/* One who asks for a slot, and what it is told. On its fiber's stack until it has left. */
typedef struct SlotAsk {
    Str caller; /* who takes turns with others; may be empty */
    int priority;
    bool is_patient;   /* waits however long it takes: a job that has been leased already */
    int64_t wait_ms;   /* after -ERR_BUSY: about how long the wait would be, at least 1 */
    int64_t waited_ns; /* added to */
    int64_t began_ns;  /* when it got its slot */
} SlotAsk;

/* Wait for a slot; slots_leave gives it back. 0, -ERR_BUSY or -ECANCELED. */
MUST SUSPENDS int slots_enter(Slots *slots, SlotAsk *ask);
void slots_leave(Slots *slots, const SlotAsk *ask);

/* About how long one that comes now would wait. */
int64_t slots_wait_ms(const Slots *slots);
