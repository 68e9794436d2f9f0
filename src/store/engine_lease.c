/*
 * Lease: give available jobs to a worker, in order of priority, then of arrival.
 *
 * Keys are gathered first and their jobs moved afterwards, because a scan ends with the first
 * change. Jobs whose time has run out (expires_at) are discarded on the way instead of given.
 *
 * A worker that takes only some types skips the others. So that it does not look at the same
 * foreign jobs each time, a queue remembers up to where there is nothing for the filter it saw last
 * (filter_from); a job that comes to stand before that place moves it back.
 *
 * Jobs may be large. A lease that has one ends before the job that would bring its answer over
 * LIMIT_LEASE_BYTES: that one stays in its place and is the next to be given.
 */
#include "store/engine_int.h"

enum {
    GATHER = 48,
    LEASE_FULL = 1, /* the next job is too large for what the lease has */
};

typedef struct Gathered {
    char keys[GATHER][INDEX_KEY_BYTES];
    size_t n;
} Gathered;

/* Up to MAX keys of available jobs of QUEUE from order FROM on. */
static int gather(Engine *engine, const EngineQueue *queue, uint64_t from, size_t max,
                  Gathered *found)
{
    static const JobId nil = { { 0 } };
    char start[INDEX_KEY_BYTES];
    Str key, value;
    int r;

    found->n = 0;
    r = engine->ops->seek(engine->kv, KV_INDEX,
                          index_key(start, PLACE_AVAILABLE, queue->number, from, &nil), false, &key,
                          &value);
    while (r == 0 && index_key_is_in(key, PLACE_AVAILABLE, queue->number)) {
        memcpy(found->keys[found->n++], key.data, INDEX_KEY_BYTES);
        if (found->n == MIN(max, (size_t) GATHER))
            return 0;
        r = engine->ops->next(engine->kv, KV_INDEX, &key, &value);
    }
    return r < 0 ? r : 0;
}

static int64_t lease_length(const StoreOp *op, const RecordHead *head, Str body)
{
    int64_t length = op->lease.lease_ms;

    if (length <= 0 && head->flags & RECORD_HAS_LEASE)
        length = record_find_i64(body, RECORD_LEASE);
    if (length <= 0)
        length = op->lease.default_ms;
    return MIN(MAX(length, INT64_C(1)), (int64_t) INT32_MAX);
}

static int grant(Engine *engine, StoreOp *op, EngineQueue *queue, const JobId *id, RecordHead *head,
                 Str body)
{
    int64_t length = lease_length(op, head, body), until = engine->now.steady_ms + length;
    size_t at = op->out.len + sizeof(uint32_t) + RECORD_ID_BYTES;
    Shift shift = { .id = id,
                    .queue = queue,
                    .head = head,
                    .to = JOB_ACTIVE,
                    .worker = op->lease.worker,
                    .body = body };
    int r;

    if (head->flags & RECORD_HAS_TIMEOUT)
        until = MIN(until, engine->now.steady_ms + record_find_i64(body, RECORD_TIMEOUT));
    shift.due_ms = until;
    if (head->attempt < UINT16_MAX)
        head->attempt++;
    ASSERT(head->fence < UINT32_MAX); /* S6 */
    head->fence++;
    head->lease_length_ms = (uint32_t) length;
    head->started_ms = engine->now.wall_ms;
    head->started_steady_ms = engine->now.steady_ms;
    r = engine_shift(engine, &shift);
    if (r < 0)
        return r;
    r = op_add_record(op, id, body);
    if (r < 0)
        return r;
    record_head_put(op->out.data + at, head);
    op->lease.n++;
    return engine->ops->replace(engine->kv, KV_JOBS, str_of_id(id),
                                str_from(op->out.data + at, body.len));
}

static int discard_expired(Engine *engine, EngineQueue *queue, const JobId *id, RecordHead *head,
                           Str body)
{
    Shift shift = { .id = id,
                    .queue = queue,
                    .head = head,
                    .to = JOB_DISCARDED,
                    .reason = JOB_REASON_EXPIRED,
                    .due_ms = engine->now.wall_ms,
                    .body = body };
    int r = engine_shift(engine, &shift);

    if (r < 0)
        return r;
    buf_reset(&engine->scratch);
    buf_add_str(&engine->scratch, body);
    r = buf_check(&engine->scratch);
    if (r < 0)
        return r;
    record_head_put(engine->scratch.data, head);
    return engine->ops->replace(engine->kv, KV_JOBS, str_of_id(id), buf_str(&engine->scratch));
}

static bool is_wanted(const StoreOp *op, Str body)
{
    const StoreFilter *filter = op->lease.filter;
    Str type;

    return !filter || (record_find(body, RECORD_TYPE, &type) && filter->accepts(filter->ctx, type));
}

/* Give the job of KEY, or what else becomes of it. LEASE_FULL: it was left as it is. */
static int lease_key(Engine *engine, StoreOp *op, EngineQueue *queue, Str key)
{
    JobId id = index_key_id(key);
    RecordHead head;
    Str body;
    int r = engine_load(engine, &id, &body, &head);

    if (r == KV_NONE || (r == 0 && head.state != JOB_AVAILABLE))
        return fail(-ERR_STORE_FORMAT, "the index names a job that is not available"); /* E1 */
    if (r < 0)
        return r;
    if (head.flags & RECORD_HAS_EXPIRES &&
        record_find_i64(body, RECORD_EXPIRES) <= engine->now.wall_ms)
        return discard_expired(engine, queue, &id, &head, body);
    if (!is_wanted(op, body))
        return 0;
    if (op->lease.n > 0 && !op_has_room(op, body, (Str){ 0 }, LIMIT_LEASE_BYTES))
        return LEASE_FULL;
    return grant(engine, op, queue, &id, &head, body);
}

/* Lease what was FOUND; *FROM is behind the last job that was looked at and not left as it is. */
static int lease_found(Engine *engine, StoreOp *op, EngineQueue *queue, const Gathered *found,
                       uint64_t *from)
{
    for (size_t i = 0; i < found->n; i++) {
        Str key = str_from(found->keys[i], INDEX_KEY_BYTES);
        int r = lease_key(engine, op, queue, key);

        if (r != 0)
            return r;
        *from = index_key_order(key) + 1;
    }
    return 0;
}

static int lease_queue(Engine *engine, StoreOp *op, EngineQueue *queue, size_t *scan_left)
{
    uint64_t from = 0;
    Gathered found;
    int r = 0;

    if (op->lease.filter && queue->filter == op->lease.filter)
        from = queue->filter_from;
    while (r == 0 && *scan_left > 0 && op->lease.n < op->lease.max) {
        r = gather(engine, queue, from, MIN(op->lease.max - op->lease.n, *scan_left), &found);
        if (r < 0)
            return r;
        if (found.n == 0)
            break;
        r = lease_found(engine, op, queue, &found, &from);
        if (r < 0)
            return r;
        if (op->lease.filter)
            *scan_left -= MIN(found.n, *scan_left);
    }
    if (op->lease.filter) {
        queue->filter = op->lease.filter;
        queue->filter_from = from;
    }
    return r;
}

/* Lease from one queue; nothing when there is none, it is paused or has no jobs. LEASE_FULL. */
static int lease_from(Engine *engine, StoreOp *op, EngineQueue *queue, size_t *scan_left)
{
    if (!queue || queue->now.is_paused || queue->now.counts[JOB_AVAILABLE] == 0)
        return 0;
    return lease_queue(engine, op, queue, scan_left);
}

/* Lease from any queue, a further one first each time, so that none is always last. LEASE_FULL. */
static int lease_any(Engine *engine, StoreOp *op, size_t *scan_left)
{
    size_t first = engine->lease_turn++;

    for (size_t i = 0; i < engine->n_queues && op->lease.n < op->lease.max; i++) {
        int r = lease_from(engine, op, engine->queues[(first + i) % engine->n_queues], scan_left);

        if (r != 0)
            return r;
    }
    return 0;
}

int engine_lease(Engine *engine, StoreOp *op)
{
    size_t scan_left = LIMIT_LEASE_SCAN;
    int r = 0;

    ASSERT(op->lease.max > 0 && op->lease.max <= LIMIT_LEASE_JOBS);
    ASSERT(op->lease.default_ms > 0);
    op->lease.n = 0;
    if (op->lease.n_queues == 0)
        r = lease_any(engine, op, &scan_left);
    for (size_t i = 0; r == 0 && i < op->lease.n_queues && op->lease.n < op->lease.max; i++)
        r = lease_from(engine, op, queue_find(engine, op->lease.queues[i]), &scan_left);
    if (r < 0)
        return r;
    if (op->lease.n == 0)
        op->r = scan_left == 0 ? STORE_MORE : STORE_EMPTY;
    return 0;
}
