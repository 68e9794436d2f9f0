/*
 * Events: what every process does to jobs, as it is said on P:events.
 *
 * Scripts publish the moves they make while P:listen exists; it is renewed by each process that
 * wants events and ends by itself. A process hears of its own moves the same way, so that no event
 * comes twice and all come in the order in which the server did them. What is published while the
 * connection is down is not heard.
 *
 *   P:events   "MS", then for each move a line
 *              "FROM TO ID QUEUE TYPE PRIORITY ATTEMPT ATTEMPTS REASON DURATION DUE"
 *   P:control  "cancelled ID": of an active job, whether events are wanted or not
 *              "ticker": a process that kept time has left
 *
 * Only the loop that opened the store subscribes.
 */
#include "store/redis/remote_int.h"

#include "base/log.h"
#include "store/redis/value.h"

typedef struct EventRead {
    StoreEvent *events;
    size_t n, cap;
    Arena arena; /* decoded names */
} EventRead;

/* ---- one line -------------------------------------------------------------------------------- */

static int64_t number_of(Str text)
{
    int64_t number = 0;
    int r = str_to_i64(text, INT64_MIN, INT64_MAX, &number);
    Err err;

    if (r < 0)
        err_take(r, &err);
    return number;
}

static JobReason reason_of(Str text)
{
    for (int i = 0; i < JOB_REASON_COUNT; i++) {
        if (str_eq_c(text, job_reason_name((JobReason) i)))
            return (JobReason) i;
    }
    return JOB_REASON_NONE;
}

/* False for what is no event. */
static bool read_line(EventRead *read, Str line, int64_t at_ms)
{
    enum { FROM, TO, ID, QUEUE, TYPE, PRIORITY, ATTEMPT, ATTEMPTS, REASON, DURATION, DUE, FIELDS };
    StoreEvent event = { .at_ms = at_ms };
    Str fields[FIELDS], rest = line;
    Err err;
    int r;

    for (int i = 0; i < FIELDS; i++) {
        Str text = rest;
        fields[i] = str_cut(text, ' ', &rest);
    }
    event.is_new = str_eq_c(fields[FROM], "new");
    if ((!event.is_new && !job_state_parse(fields[FROM], &event.from)) ||
        !job_state_parse(fields[TO], &event.to))
        return false;
    r = job_id_parse(fields[ID], &event.id);
    if (r < 0) {
        err_take(r, &err);
        return false;
    }
    if (!value_take_name(&read->arena, fields[QUEUE], &event.queue) ||
        !value_take_name(&read->arena, fields[TYPE], &event.type))
        return false;
    event.priority = (int) number_of(fields[PRIORITY]);
    event.attempt = (uint32_t) number_of(fields[ATTEMPT]);
    event.max_attempts = (uint32_t) number_of(fields[ATTEMPTS]);
    event.reason = reason_of(fields[REASON]);
    event.duration_ms = number_of(fields[DURATION]);
    event.due_ms = number_of(fields[DUE]);
    if (read->n == read->cap) {
        read->cap = MAX(read->cap * 2, (size_t) 16);
        read->events = mem_resize_array(read->events, read->cap, sizeof(StoreEvent));
    }
    read->events[read->n++] = event;
    return true;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void on_events(void *ctx, Str message, bool is_gap)
{
    RemotePart *part = ctx;
    Remote *remote = part->loop->remote;
    EventRead read = { 0 };
    Str rest, line;
    int64_t at_ms;

    if (is_gap)
        return;
    arena_init(&read.arena, 0);
    at_ms = number_of(str_cut(message, '\n', &rest));
    while (rest.len > 0) {
        Str text = rest;

        line = str_cut(text, '\n', &rest);
        if (!read_line(&read, line, at_ms))
            log_debug("an event that is none", L_STR("line", line));
    }
    if (read.n > 0)
        remote->listener(remote->listener_ctx, read.events, read.n);
    mem_free(read.events);
    arena_deinit(&read.arena);
}

static void on_control(void *ctx, Str message, bool is_gap)
{
    RemotePart *part = ctx;
    Remote *remote = part->loop->remote;
    StoreEvent event = { .from = JOB_ACTIVE, .to = JOB_CANCELLED };
    Str rest, word = str_cut(message, ' ', &rest);
    Err err;
    int r;

    if (is_gap)
        return;
    if (str_eq_c(word, "ticker"))
        watch_wake(part->loop);
    if (!str_eq_c(word, "cancelled") || !remote->listener || atomic_load(&remote->wants_events))
        return;
    r = job_id_parse(rest, &event.id);
    if (r < 0) {
        err_take(r, &err);
        return;
    }
    event.reason = JOB_REASON_REQUESTED;
    event.at_ms = remote_wall_ms(part->loop);
    remote->listener(remote->listener_ctx, &event, 1);
}

/* ---- wanting --------------------------------------------------------------------------------- */

void events_start(RemoteLoop *loop)
{
    for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
        RemotePart *part = &loop->parts[p];
        int prefix = (int) part->prefix.len;

        part->events = (RedisSub){ .channel = arena_printf(&loop->arena, "%.*sevents", prefix,
                                                           part->prefix.data),
                                   .slot = part->slot,
                                   .on_message = on_events,
                                   .ctx = part };
        part->control = (RedisSub){ .channel = arena_printf(&loop->arena, "%.*scontrol", prefix,
                                                            part->prefix.data),
                                    .slot = part->slot,
                                    .on_message = on_control,
                                    .ctx = part };
        redis_subscribe(loop->redis, &part->control);
    }
}

/* Say to all who make moves that somebody listens. */
SUSPENDS static void renew_listen(RemotePart *part)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str key, ttl;
    RespValue reply;
    Err err;
    int r;

    arena_init(&arena, 0);
    key = arena_printf(&arena, "%.*slisten", (int) part->prefix.len, part->prefix.data);
    ttl = arena_printf(&arena, "%d", 4 * LIMIT_STORE_ASK_MS);
    const char *argv[] = { "SET", key.data, "1", "PX", ttl.data };
    r = remote_command(part->loop, &arena, part->slot, argv, ARRAY_LEN(argv), &reply);
    if (r < 0) {
        err_take(r, &err);
        log_debug("events not asked for", L_C("error", err.text));
    }
}

void events_care(RemoteLoop *loop, bool is_time)
{
    bool wants = atomic_load(&loop->remote->wants_events);

    if (!loop->remote->listener)
        return;
    for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
        RemotePart *part = &loop->parts[p];

        if (wants && !part->hears_events)
            redis_subscribe(loop->redis, &part->events);
        if (!wants && part->hears_events)
            redis_unsubscribe(loop->redis, &part->events);
        if (wants && (is_time || !part->hears_events))
            renew_listen(part);
        part->hears_events = wants;
    }
}

static void on_want(sl_task *task)
{
    Remote *remote = CONTAINER_OF(task, Remote, want_task);

    sl_event_set(&remote->loops[remote->home].care);
    atomic_store(&remote->is_want_posted, false);
}

void remote_want_events(void *ctx, bool wants)
{
    Remote *remote = ctx;

    atomic_store(&remote->wants_events, wants);
    if (sl_loop_index() == remote->home) {
        sl_event_set(&remote->loops[remote->home].care);
        return;
    }
    if (atomic_exchange(&remote->is_want_posted, true))
        return;
    remote->want_task = (sl_task){ .fn = on_want };
    sl_post(sl_loop_at(remote->home), &remote->want_task);
}
