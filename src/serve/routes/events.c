/*
 * Events: what happened lately, oldest first, page by page.
 */
#include "serve/serve_int.h"

typedef struct EventsQuery {
    Str types;
    Str queues;
    Str job_types;
    Str after;
    int64_t limit;
} EventsQuery;

static const SchemaField events_fields[] = {
    FIELD_STR(EventsQuery, types, "only these types, comma-separated; job.* takes all of a kind"),
    FIELD_STR(EventsQuery, queues, "only jobs of these queues, comma-separated"),
    FIELD_STR(EventsQuery, job_types, "only jobs of these types, comma-separated"),
    FIELD_STR(EventsQuery, after, "only what came after this event: cursor of the page before"),
    FIELD_INT(EventsQuery, limit, "events on the page", .range = RANGE(1, 1000),
              .default_text = "100"),
};
static const Schema events_query = SCHEMA(EventsQuery, events_fields, "Query of the events.");

SUSPENDS static int list_events(Call *call)
{
    const EventsQuery *query = call->query;
    EventsFilter filter = { .types = query->types,
                            .queues = query->queues,
                            .job_types = query->job_types,
                            .after = query->after,
                            .max = (size_t) query->limit };

    if (!call->serve->opts.events)
        return fail(-ERR_UNSUPPORTED, "this engine keeps no events");
    return events_write(call->serve->opts.events, &filter, &call->out);
}

static const Route events_routes[] = {
    { .method = HTTP_METHOD_GET,
      .path = "/ojs/v1/events",
      .operation = "listEvents",
      .summary = "List what happened lately.",
      .details = "The last events of this engine, from memory; they do not survive a restart.",
      .query = &events_query,
      .answers = { { 200, "A page, oldest first." } },
      .run = list_events },
};

extern const RouteGroup routes_events;
const RouteGroup routes_events = ROUTE_GROUP("Events", events_routes);
