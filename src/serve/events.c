/*
 * The ring of events.
 *
 * Event number n stands at n modulo the size of the ring, and is there while n is among the last
 * LIMIT_SERVE_EVENTS. Its id carries the number in the 62 random bits of a UUID version 7 and its
 * time in the time bits, so that it sorts by time and leads back to the number.
 *
 * Of a store that is shared with other processes the ring hears only from the first read on, and
 * for LIMIT_SERVE_EVENTS_HEARD_MS after the last one: each event costs a part of a message there.
 */
#include "serve/events.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/http_text.h"
#include "codec/uuid.h"

#include <sluice/rt.h>

#define EVENT_TYPE_BYTES  64 /* of a job's type kept with an event; the rest is cut */
#define EVENT_QUEUE_BYTES 64
#define EVENT_SOURCE_LOOP 0

typedef struct Event {
    JobId id;
    const char *name; /* "job.enqueued"; static */
    int64_t at_ms;
    int64_t duration_ms;
    int64_t due_ms;
    JobReason reason;
    int priority;
    uint32_t attempt;
    uint32_t max_attempts;
    uint8_t type_len;
    uint8_t queue_len;
    char type[EVENT_TYPE_BYTES];
    char queue[EVENT_QUEUE_BYTES];
} Event;

struct Events {
    Queues *queues;
    QueueListener listener;
    const char *source;
    bool is_heard;   /* the listener is among the queues' */
    int64_t read_ns; /* when somebody read last */
    uint64_t count;  /* events ever; the newest has number count - 1 */
    Event ring[LIMIT_SERVE_EVENTS];
};

/* What the Open Job Spec calls a move to STATE. */
static const char *event_name(JobState state)
{
    switch (state) {
    case JOB_SCHEDULED: return "job.scheduled";
    case JOB_AVAILABLE: return "job.enqueued";
    case JOB_PENDING: return "job.pending";
    case JOB_ACTIVE: return "job.started";
    case JOB_COMPLETED: return "job.completed";
    case JOB_RETRYABLE: return "job.retrying";
    case JOB_CANCELLED: return "job.cancelled";
    case JOB_DISCARDED: return "job.discarded";
    }
    return "job.unknown";
}

static uint8_t copy_cut(char *out, size_t cap, Str text)
{
    size_t len = MIN(text.len, cap);

    if (len)
        memcpy(out, text.data, len);
    return (uint8_t) len;
}

/* Hear of moves; of a shared store only while somebody reads, since each costs a message there. */
static void events_hear(Events *events, bool hears)
{
    if (hears == events->is_heard)
        return;
    events->is_heard = hears;
    if (hears)
        queue_listen(events->queues, &events->listener);
    else
        queue_unlisten(events->queues, &events->listener);
}

static void on_events(void *ctx, const StoreEvent *happened, size_t n)
{
    Events *events = ctx;

    if (queue_is_shared(events->queues) &&
        sl_clock_ns() - events->read_ns > LIMIT_SERVE_EVENTS_HEARD_MS * NS_PER_MS) {
        events_hear(events, false);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const StoreEvent *from = &happened[i];
        Event *event = &events->ring[events->count++ % LIMIT_SERVE_EVENTS];

        event->id = from->id;
        event->name = event_name(from->to);
        event->at_ms = from->at_ms;
        event->duration_ms = from->duration_ms;
        event->due_ms = from->due_ms;
        event->reason = from->reason;
        event->priority = from->priority;
        event->attempt = from->attempt;
        event->max_attempts = from->max_attempts;
        event->type_len = copy_cut(event->type, EVENT_TYPE_BYTES, from->type);
        event->queue_len = copy_cut(event->queue, EVENT_QUEUE_BYTES, from->queue);
    }
}

Events *events_new(Queues *queues, const char *source)
{
    Events *events = mem_new(Events);

    events->queues = queues;
    events->source = source;
    events->listener = (QueueListener){ .fn = on_events, .ctx = events };
    events_hear(events, !queue_is_shared(queues));
    return events;
}

void events_free(Events *events)
{
    if (!events)
        return;
    events_hear(events, false);
    mem_free(events);
}

/* ---- ids ------------------------------------------------------------------------------------- */

#define EVENT_ID_BYTES (4 + UUID_TEXT_BYTES)

static Str event_id(uint64_t number, int64_t at_ms, char *out)
{
    Uuid uuid = { { 0 } };

    for (int i = 0; i < 6; i++)
        uuid.bytes[i] = (uint8_t) ((uint64_t) at_ms >> (40 - 8 * i));
    uuid.bytes[6] = 0x70;
    uuid.bytes[8] = (uint8_t) (0x80 | (number >> 56 & 0x3f));
    for (int i = 0; i < 7; i++)
        uuid.bytes[9 + i] = (uint8_t) (number >> (48 - 8 * i));
    memcpy(out, "evt_", 4);
    return str_from(out, 4 + uuid_format(&uuid, out + 4).len);
}

/* The number and the time behind an id; false when it is none of ours. */
static bool event_number(Str id, uint64_t *ret_number, int64_t *ret_ms)
{
    Uuid uuid;

    if (!str_starts(id, str_from_c("evt_")) || uuid_parse(str_sub(id, 4, id.len), &uuid) < 0)
        return false;
    *ret_number = uuid.bytes[8] & 0x3f;
    for (int i = 0; i < 7; i++)
        *ret_number = *ret_number << 8 | uuid.bytes[9 + i];
    *ret_ms = 0;
    for (int i = 0; i < 6; i++)
        *ret_ms = *ret_ms << 8 | uuid.bytes[i];
    return true;
}

/*
 * Where to go on behind the event called AFTER: behind it while it is in the ring, else at the
 * oldest. An id of the time before a restart has a number that may be anybody's here; its time
 * tells.
 */
static int find_start(const Events *events, uint64_t oldest, Str after, uint64_t *ret_at)
{
    uint64_t number;
    int64_t at_ms;

    *ret_at = oldest;
    if (!after.len)
        return 0;
    if (!event_number(after, &number, &at_ms))
        return fail(-ERR_INVALID, "after: must be the id of an event, such as a page's cursor");
    if (number >= oldest && number < events->count &&
        events->ring[number % LIMIT_SERVE_EVENTS].at_ms == at_ms)
        *ret_at = number + 1;
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool list_matches(Str list, Str word)
{
    Str item;

    if (!list.len)
        return true;
    while (http_list_next(&list, &item)) {
        if (item.len && item.data[item.len - 1] == '*'
                ? str_starts(word, str_sub(item, 0, item.len - 1))
                : str_eq(item, word))
            return true;
    }
    return false;
}

static bool is_wanted(const Event *event, const EventsFilter *filter)
{
    return list_matches(filter->types, str_from_c(event->name)) &&
           list_matches(filter->queues, str_from(event->queue, event->queue_len)) &&
           list_matches(filter->job_types, str_from(event->type, event->type_len));
}

static void write_data(JsonWriter *out, const Event *event, Str subject)
{
    json_write_key(out, "data");
    json_write_object(out);
    json_write_member_str(out, "job_id", subject);
    json_write_member_str(out, "job_type", str_from(event->type, event->type_len));
    json_write_member_str(out, "queue", str_from(event->queue, event->queue_len));
    json_write_member_i64(out, "priority", event->priority);
    json_write_member_u64(out, "attempt", event->attempt);
    json_write_member_u64(out, "max_attempts", event->max_attempts);
    if (event->duration_ms || str_eq_c(str_from_c("job.completed"), event->name))
        json_write_member_i64(out, "duration_ms", event->duration_ms);
    if (event->due_ms)
        json_write_member_time_ms(out, "scheduled_at", event->due_ms);
    if (event->reason != JOB_REASON_NONE)
        json_write_member_c(out, "reason", job_reason_name(event->reason));
    json_write_object_end(out);
}

static void write_event(JsonWriter *out, const Events *events, const Event *event, uint64_t number)
{
    char id[EVENT_ID_BYTES], subject[JOB_ID_TEXT_BYTES];
    Str subject_text = job_id_format(&event->id, subject);

    json_write_object(out);
    json_write_member_c(out, "specversion", "1.0");
    json_write_member_str(out, "id", event_id(number, event->at_ms, id));
    json_write_member_c(out, "type", event->name);
    json_write_member_c(out, "source", events->source);
    json_write_member_time_ms(out, "time", event->at_ms);
    json_write_member_str(out, "subject", subject_text);
    write_data(out, event, subject_text);
    json_write_object_end(out);
}

typedef struct Reading {
    Events *events;
    const EventsFilter *filter;
    JsonWriter *out;
} Reading;

static int read_here(void *arg)
{
    Reading *reading = arg;
    Events *events = reading->events;
    const EventsFilter *filter = reading->filter;
    JsonWriter *out = reading->out;
    uint64_t oldest = events->count > LIMIT_SERVE_EVENTS ? events->count - LIMIT_SERVE_EVENTS : 0;
    uint64_t at;
    char id[EVENT_ID_BYTES];
    size_t n = 0;
    int r = find_start(events, oldest, filter->after, &at);

    if (r < 0)
        return r;
    events->read_ns = sl_clock_ns();
    events_hear(events, true);

    json_write_object(out);
    json_write_key(out, "events");
    json_write_array(out);
    for (; at < events->count && n < filter->max; at++) {
        const Event *event = &events->ring[at % LIMIT_SERVE_EVENTS];

        if (!is_wanted(event, filter))
            continue;
        write_event(out, events, event, at);
        n++;
    }
    json_write_array_end(out);
    if (at > 0 && at - 1 >= oldest)
        json_write_member_str(
            out, "cursor", event_id(at - 1, events->ring[(at - 1) % LIMIT_SERVE_EVENTS].at_ms, id));
    json_write_member_bool(out, "has_more", at < events->count);
    json_write_object_end(out);
    return 0;
}

int events_write(Events *events, const EventsFilter *filter, JsonWriter *out)
{
    Reading reading = { events, filter, out };

    return sl_call_on(EVENT_SOURCE_LOOP, read_here, &reading, "events");
}
