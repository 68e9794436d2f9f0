/*
 * Places: where in the index a job is filed, and the one function that moves it (E5).
 *
 * An entry of the index is found by place, queue and order. The order is the place in line for
 * available jobs (priority inverted, then number), the time of creation for pending ones, and a
 * time in milliseconds for all others: so the first entry of a place and queue is the next to run,
 * the next due, the first lease to end, the first to be forgotten.
 */
#include "store/engine_int.h"

#include "base/metrics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int op_fail(StoreOp *op, int r, const char *fmt, ...)
{
    va_list args;

    ASSERT(r < 0);
    op->r = r;
    va_start(args, fmt);
    vsnprintf(op->why, sizeof(op->why), fmt, args);
    va_end(args);
    return 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

Place place_of(const RecordHead *head)
{
    switch (head->state) {
    case JOB_SCHEDULED: return PLACE_SCHEDULED;
    case JOB_AVAILABLE: return PLACE_AVAILABLE;
    case JOB_PENDING: return PLACE_PENDING;
    case JOB_ACTIVE: return PLACE_ACTIVE;
    case JOB_COMPLETED: return PLACE_COMPLETED;
    case JOB_RETRYABLE: return PLACE_RETRYABLE;
    case JOB_CANCELLED: return PLACE_CANCELLED;
    case JOB_DISCARDED: return head->flags & RECORD_DEAD_LETTER ? PLACE_DEAD : PLACE_DISCARDED;
    }
    UNREACHABLE("a state that is none");
}

uint64_t order_of(const RecordHead *head)
{
    if (head->state == JOB_AVAILABLE)
        return head->order;
    if (head->state == JOB_PENDING)
        return (uint64_t) head->created_ms;
    return (uint64_t) head->due_ms;
}

uint64_t line_order(int16_t priority, uint64_t number)
{
    ASSERT(number < UINT64_C(1) << 48);
    return (uint64_t) (uint16_t) (INT16_MAX - priority) << 48 | number;
}

Str index_key(char *out, Place place, uint32_t queue, uint64_t order, const JobId *id)
{
    out[0] = (char) place;
    for (int i = 0; i < 4; i++)
        out[1 + i] = (char) (unsigned char) (queue >> (24 - 8 * i));
    for (int i = 0; i < 8; i++)
        out[5 + i] = (char) (unsigned char) (order >> (56 - 8 * i));
    memcpy(out + 13, id->bytes, sizeof(id->bytes));
    return str_from(out, INDEX_KEY_BYTES);
}

JobId index_key_id(Str key)
{
    JobId id;

    ASSERT(key.len == INDEX_KEY_BYTES);
    memcpy(id.bytes, key.data + 13, sizeof(id.bytes));
    return id;
}

uint64_t index_key_order(Str key)
{
    uint64_t order = 0;

    ASSERT(key.len == INDEX_KEY_BYTES);
    for (int i = 0; i < 8; i++)
        order = order << 8 | (uint8_t) key.data[5 + i];
    return order;
}

int64_t due_of_order(uint64_t order)
{
    return (int64_t) order;
}

bool index_key_is_in(Str key, Place place, uint32_t queue)
{
    uint32_t found = 0;

    if (key.len != INDEX_KEY_BYTES || (uint8_t) key.data[0] != (uint8_t) place)
        return false;
    for (int i = 0; i < 4; i++)
        found = found << 8 | (uint8_t) key.data[1 + i];
    return found == queue;
}

/* ---- events ---------------------------------------------------------------------------------- */

static int event_add(Engine *engine, const EngineQueue *queue, const StoreEvent *event, Str body)
{
    StoreEvent *slot;
    Str type;

    if (engine->n_events == engine->cap_events) {
        size_t cap = engine->cap_events ? engine->cap_events * 2 : 256;
        StoreEvent *grown = mem_try_resize(engine->events, cap * sizeof(StoreEvent));
        if (!grown)
            return fail(-ENOMEM, "no memory for the events of a transaction");
        engine->events = grown;
        engine->cap_events = cap;
    }
    slot = &engine->events[engine->n_events++];
    *slot = *event;
    slot->queue = str_from(queue->name, queue->name_len);
    slot->type = (Str){ 0 };
    if (engine->wants_types && record_find(body, RECORD_TYPE, &type)) {
        char *copy = arena_try(&engine->event_texts, type.len + 1);
        if (copy) {
            memcpy(copy, type.data, type.len);
            slot->type = str_from(copy, type.len);
        }
    }
    return 0;
}

/* ---- records --------------------------------------------------------------------------------- */

int engine_load(Engine *engine, const JobId *id, Str *ret_body, RecordHead *ret_head)
{
    int r = engine->ops->get(engine->kv, KV_JOBS, str_of_id(id), ret_body);

    if (r != 0)
        return r;
    r = record_check(*ret_body);
    if (r < 0)
        return r;
    record_head_get(*ret_body, ret_head);
    return 0;
}

uint64_t worker_hash(Str name)
{
    uint64_t hash;

    if (name.len == 0)
        return 0;
    hash = hash_bytes(name.data, name.len, 0x736c7569, 0x63653031); /* fixed: it is stored */
    return hash ? hash : 1;
}

int op_add_text(StoreOp *op, Str text)
{
    uint32_t len = (uint32_t) text.len;

    buf_add(&op->out, &len, sizeof(len));
    buf_add_str(&op->out, text);
    return buf_check(&op->out);
}

int op_add_record(StoreOp *op, const JobId *id, Str body)
{
    uint32_t len = (uint32_t) (body.len + RECORD_ID_BYTES);

    buf_add(&op->out, &len, sizeof(len));
    buf_add(&op->out, id->bytes, RECORD_ID_BYTES);
    buf_add_str(&op->out, body);
    return buf_check(&op->out);
}

bool op_has_room(const StoreOp *op, Str body, Str text, size_t max_bytes)
{
    size_t need = sizeof(uint32_t) + RECORD_ID_BYTES + body.len + sizeof(uint32_t) + text.len;

    return op->out.len <= max_bytes && need <= max_bytes - op->out.len;
}

bool store_out_next(const Buf *out, size_t *cursor, Str *ret_record)
{
    uint32_t len;

    if (*cursor >= out->len)
        return false;
    ASSERT(out->len - *cursor >= sizeof(len));
    memcpy(&len, out->data + *cursor, sizeof(len));
    *cursor += sizeof(len);
    ASSERT(out->len - *cursor >= len);
    *ret_record = str_from(out->data + *cursor, len);
    *cursor += len;
    return true;
}

/* ---- moving ---------------------------------------------------------------------------------- */

static void note_place(Engine *engine, EngineQueue *queue, const RecordHead *head)
{
    engine_note_due(engine, queue, head->state, head->due_ms);
    if (head->state == JOB_AVAILABLE && head->order < queue->filter_from)
        queue->filter_from = head->order;
}

static void count_in(EngineQueue *queue, const RecordHead *head)
{
    queue->now.counts[head->state]++;
    if (place_of(head) == PLACE_DEAD)
        queue->now.dead_letters++;
}

static void count_out(EngineQueue *queue, const RecordHead *head)
{
    ASSERT(queue->now.counts[head->state] > 0); /* E2 */
    queue->now.counts[head->state]--;
    if (place_of(head) == PLACE_DEAD) {
        ASSERT(queue->now.dead_letters > 0);
        queue->now.dead_letters--;
    }
}

/* The head after the move: what follows from the new state alone. */
static void head_enter(Engine *engine, const Shift *shift, RecordHead *head)
{
    bool was_active = head->state == JOB_ACTIVE;

    head->state = shift->to;
    head->reason = shift->reason;
    head->flags = (uint8_t) (head->flags & ~RECORD_DEAD_LETTER);
    head->due_ms = shift->due_ms;
    if (shift->is_dead_letter) {
        ASSERT(shift->to == JOB_DISCARDED);
        head->flags |= RECORD_DEAD_LETTER;
    }
    if (was_active)
        head->worker = 0;
    if (shift->to == JOB_AVAILABLE) {
        head->due_ms = 0;
        head->enqueued_ms = engine->now.wall_ms;
        if (!shift->keeps_place || head->order == 0)
            head->order = line_order(head->priority, shift->queue->now.next_order++); /* E3 */
    }
    if (shift->to == JOB_ACTIVE)
        head->worker = worker_hash(shift->worker);
}

int engine_shift(Engine *engine, Shift *shift)
{
    RecordHead *head = shift->head;
    const RecordHead was = *head;
    EngineQueue *queue = shift->queue;
    char key[INDEX_KEY_BYTES];
    int r;

    ASSERT(engine->is_open);
    ASSERT(job_edge_is_allowed(was.state, shift->to)); /* E5 */
    ASSERT(was.queue == queue->number);
    r = engine->ops->del(engine->kv, KV_INDEX,
                         index_key(key, place_of(&was), was.queue, order_of(&was), shift->id));
    if (r == KV_NONE)
        return fail(-ERR_STORE_FORMAT, "a job is not in the index where its record says"); /* E1 */
    if (r < 0)
        return r;
    queue_touch(engine, queue);
    count_out(queue, &was);
    head_enter(engine, shift, head);
    r = engine->ops->add(engine->kv, KV_INDEX,
                         index_key(key, place_of(head), head->queue, order_of(head), shift->id),
                         shift->to == JOB_ACTIVE ? shift->worker : (Str){ 0 });
    if (r < 0)
        return r;
    ASSERT(r == 0); /* E1: an id is filed once */
    count_in(queue, head);
    note_place(engine, queue, head);
    queue->tally[shift->to]++;
    return event_add(
        engine, queue,
        &(StoreEvent){
            .id = *shift->id,
            .from = was.state,
            .to = head->state,
            .reason = head->reason,
            .priority = head->priority,
            .attempt = was.state == JOB_ACTIVE ? was.attempt : head->attempt,
            .max_attempts = head->max_attempts,
            .at_ms = engine->now.wall_ms,
            .due_ms = head->state == JOB_RETRYABLE ? head->due_ms : 0,
            .duration_ms = was.state == JOB_ACTIVE
                               ? MAX(engine->now.steady_ms - was.started_steady_ms, (int64_t) 0)
                               : 0 },
        shift->body);
}

int engine_file_new(Engine *engine, EngineQueue *queue, const JobId *id, const RecordHead *head,
                    Str body, Str holder)
{
    char key[INDEX_KEY_BYTES];
    int r;

    ASSERT(engine->is_open && queue->is_dirty);
    r = engine->ops->add(engine->kv, KV_INDEX,
                         index_key(key, place_of(head), head->queue, order_of(head), id), holder);
    if (r < 0)
        return r;
    ASSERT(r == 0); /* E1 */
    count_in(queue, head);
    note_place(engine, queue, head);
    queue->now.pushed++;
    queue->tally_pushed++;
    return event_add(engine, queue,
                     &(StoreEvent){ .id = *id,
                                    .is_new = true,
                                    .from = head->state,
                                    .to = head->state,
                                    .priority = head->priority,
                                    .max_attempts = head->max_attempts,
                                    .at_ms = engine->now.wall_ms,
                                    .due_ms = head->due_ms },
                     body);
}

int engine_unfile(Engine *engine, EngineQueue *queue, const JobId *id, const RecordHead *head)
{
    char key[INDEX_KEY_BYTES];
    int r;

    r = engine->ops->del(engine->kv, KV_INDEX,
                         index_key(key, place_of(head), head->queue, order_of(head), id));
    if (r == 0)
        r = engine->ops->del(engine->kv, KV_JOBS, str_of_id(id));
    if (r == KV_NONE)
        return fail(-ERR_STORE_FORMAT, "a job is not in the index where its record says");
    if (r < 0)
        return r;
    queue_touch(engine, queue);
    count_out(queue, head);
    return 0;
}

int engine_drop(Engine *engine, EngineQueue *queue, const JobId *id, const RecordHead *head)
{
    ASSERT(job_state_is_final(head->state));
    return engine_unfile(engine, queue, id, head);
}
