/*
 * Events: what happened lately, for `GET /ojs/v1/events`.
 *
 * A ring of the last LIMIT_SERVE_EVENTS moves of jobs, filled from the queues' listener on the loop
 * that started them and read there (routes on other loops call over). An event's id is a UUID
 * version 7 made from its time and its number, so that `after` finds its place without a search.
 */
#pragma once

#include "base/arena.h"
#include "queue/queue.h"

#include <sluice/json.h>

typedef struct Events Events;

/* Which events a reader wants. Lists are comma-separated; empty means all. A type may end in `*`.
 */
typedef struct EventsFilter {
    Str types;
    Str queues;
    Str job_types;
    Str after; /* the id of an event; empty: from the oldest */
    size_t max;
} EventsFilter;

/* Start to listen to QUEUES (borrowed, and stopped later). On the loop that started them. The
 * caller owns it. */
Events *events_new(Queues *queues, const char *source);
void events_free(Events *events);

/* Write {"events": […], "cursor": …, "has_more": …}. Any loop. */
MUST SUSPENDS int events_write(Events *events, const EventsFilter *filter, JsonWriter *out);
