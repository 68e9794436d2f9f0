/*
 * Push: new jobs, all or none, with or without an idempotency key.
 *
 * A key is remembered as KV_META 'i' key:
 *
 *   byte  0  i64  wall ms when it is forgotten      (little-endian, as all below)
 *         8  u64  print of what was asked
 *        16       ids of the jobs it made, 16 bytes each
 *
 * and, so that the sweep finds it, 'x' time (8, big-endian) key. It is written in the transaction
 * of the jobs, so a client that asks again after any crash gets its first answer or makes the jobs.
 */
#include "store/engine_int.h"

#include <errno.h>
#include <stdlib.h>

enum { KEY_HEAD = 16, RECORD_OVERHEAD = 96 };

static Str idempotency_key(char *out, Str key)
{
    ASSERT(key.len + 1 <= KV_KEY_BYTES);
    out[0] = 'i';
    memcpy(out + 1, key.data, key.len);
    return str_from(out, key.len + 1);
}

/* The first answer to a key that is known: the records of its jobs as far as they still exist. */
static int answer_again(Engine *engine, StoreOp *op, Str value)
{
    /* A copy: reading jobs does not change KV_META, but the ids outlive this call's view of it. */
    buf_reset(&engine->scratch2);
    buf_add(&engine->scratch2, value.data + KEY_HEAD, value.len - KEY_HEAD);
    if (buf_check(&engine->scratch2) < 0)
        return -ERR_STORE;
    op->r = STORE_EXISTS;
    for (size_t at = 0; at + RECORD_ID_BYTES <= engine->scratch2.len; at += RECORD_ID_BYTES) {
        JobId id;
        Str body;
        int r;

        memcpy(id.bytes, engine->scratch2.data + at, sizeof(id.bytes));
        r = engine->ops->get(engine->kv, KV_JOBS, str_of_id(&id), &body);
        if (r == 0)
            r = op_add_record(op, &id, body);
        if (r < 0)
            return r;
    }
    return 0;
}

/* 0: the key is free; above: op is answered. */
static int key_look_up(Engine *engine, StoreOp *op)
{
    char bytes[KV_KEY_BYTES];
    int64_t until_ms;
    uint64_t print;
    Str value;
    int r = engine->ops->get(engine->kv, KV_META, idempotency_key(bytes, op->push.key), &value);

    if (r != 0)
        return r == KV_NONE ? 0 : r;
    if (value.len < KEY_HEAD || (value.len - KEY_HEAD) % RECORD_ID_BYTES != 0)
        return fail(-ERR_STORE_FORMAT, "the store's entry for an idempotency key is damaged");
    memcpy(&until_ms, value.data, 8);
    memcpy(&print, value.data + 8, 8);
    if (until_ms <= engine->now.wall_ms)
        return 0;
    if (print != op->push.key_print)
        r = op_fail(op, -ERR_DUPLICATE, "the idempotency key was used for another request");
    else
        r = answer_again(engine, op, value);
    return r < 0 ? r : 1;
}

int engine_key_put(Engine *engine, const StoreKey *key)
{
    char bytes[KV_KEY_BYTES];
    int r;

    buf_reset(&engine->scratch2);
    buf_add(&engine->scratch2, &key->until_ms, 8);
    buf_add(&engine->scratch2, &key->print, 8);
    buf_add(&engine->scratch2, key->ids, key->n_ids * RECORD_ID_BYTES);
    r = buf_check(&engine->scratch2);
    if (r == 0)
        r = engine->ops->put(engine->kv, KV_META, idempotency_key(bytes, key->key),
                             buf_str(&engine->scratch2));
    if (r < 0)
        return r;
    bytes[0] = 'x';
    for (int i = 0; i < 8; i++)
        bytes[1 + i] = (char) (unsigned char) ((uint64_t) key->until_ms >> (56 - 8 * i));
    memcpy(bytes + 9, key->key.data, key->key.len);
    return engine->ops->put(engine->kv, KV_META, str_from(bytes, 9 + key->key.len), (Str){ 0 });
}

static int key_remember(Engine *engine, const StoreOp *op)
{
    size_t bytes = op->push.n * RECORD_ID_BYTES;
    StoreKey key = { .key = op->push.key,
                     .print = op->push.key_print,
                     .until_ms = engine->now.wall_ms + op->push.key_ttl_ms,
                     .n_ids = op->push.n };
    uint8_t *ids = mem_try(bytes);
    int r;

    if (!ids)
        return fail(-ENOMEM, "no memory for the ids of a push");
    for (size_t i = 0; i < op->push.n; i++)
        memcpy(ids + i * RECORD_ID_BYTES, op->push.records[i].data, RECORD_ID_BYTES);
    key.ids = ids;
    r = engine_key_put(engine, &key);
    mem_free(ids);
    return r;
}

/* ---- the jobs -------------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
    return memcmp((*(const Str *const *) a)->data, (*(const Str *const *) b)->data,
                  RECORD_ID_BYTES);
}

/*
 * Whether an id stands twice in the push; *ret_at the later one. Ids made by us ascend: one pass.
 */
static bool has_twins(const StoreOp *op, size_t *ret_at)
{
    const Str *records = op->push.records;
    const Str **sorted;
    bool ascends = true, found = false;

    for (size_t i = 1; i < op->push.n && ascends; i++)
        ascends = memcmp(records[i - 1].data, records[i].data, RECORD_ID_BYTES) < 0;
    if (ascends)
        return false;
    sorted = mem_new_array(const Str *, op->push.n);
    for (size_t i = 0; i < op->push.n; i++)
        sorted[i] = &records[i];
    qsort(sorted, op->push.n, sizeof(*sorted), compare_ids);
    for (size_t i = 1; i < op->push.n && !found; i++) {
        found = memcmp(sorted[i - 1]->data, sorted[i]->data, RECORD_ID_BYTES) == 0;
        if (found)
            *ret_at = (size_t) (MAX(sorted[i - 1], sorted[i]) - records);
    }
    mem_free(sorted);
    return found;
}

/* Everything that could refuse the push, before anything is written. 0 also when op->r is set. */
static int push_check(Engine *engine, StoreOp *op)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < op->push.n; i++) {
        Str name, body = record_body(op->push.records[i]);
        EngineQueue *queue;
        int r;

        ASSERT_SLOW(record_check(body) == 0);
        bytes += op->push.records[i].len + RECORD_OVERHEAD;
        op->push.at = i;
        if (!record_find(body, RECORD_QUEUE, &name))
            return op_fail(op, -ERR_INVALID, "a job needs a queue");
        r = queue_need(engine, name, &queue);
        if (r < 0)
            return op_fail(op, r,
                           r == -ERR_BUSY ? "there are too many queues (%d)"
                                          : "the queue's name is not valid",
                           LIMIT_QUEUES);
        if (op->push.n > 1) {
            JobId id = record_id(op->push.records[i]);
            r = engine->ops->get(engine->kv, KV_JOBS, str_of_id(&id), &name);
            if (r < 0)
                return r;
            if (r == 0)
                return op_fail(op, -ERR_DUPLICATE, "a job with this id exists already");
        }
    }
    if (!engine->ops->has_room(engine->kv, bytes))
        return op_fail(op, -ERR_STORE_FULL, "the store has no room for new jobs");
    if (op->push.n > 1 && has_twins(op, &op->push.at))
        return op_fail(op, -ERR_DUPLICATE, "two jobs of the push have the same id");
    op->push.at = 0;
    return 0;
}

/* 0, KV_EXISTS (nothing written), or an error that ends the batch. */
static int push_one(Engine *engine, Str record, uint64_t *ret_order)
{
    Str name, body = record_body(record);
    JobId id = record_id(record);
    EngineQueue *queue;
    RecordHead head;
    int r;

    record_head_get(body, &head);
    ASSERT(head.state == JOB_AVAILABLE || head.state == JOB_SCHEDULED || head.state == JOB_PENDING);
    bool has_queue = record_find(body, RECORD_QUEUE, &name);
    ASSERT(has_queue);
    queue = queue_find(engine, name);
    ASSERT(queue);
    head.queue = queue->number;
    if (head.state == JOB_AVAILABLE)
        head.order = line_order(head.priority, queue->now.next_order);
    buf_reset(&engine->scratch);
    buf_add_str(&engine->scratch, body);
    r = buf_check(&engine->scratch);
    if (r < 0)
        return r;
    record_head_put(engine->scratch.data, &head);
    r = engine->ops->add(engine->kv, KV_JOBS, str_of_id(&id), buf_str(&engine->scratch));
    if (r != 0)
        return r;
    queue_touch(engine, queue);
    if (head.state == JOB_AVAILABLE)
        queue->now.next_order++; /* E3 */
    *ret_order = head.order;
    return engine_file_new(engine, queue, &id, &head, buf_str(&engine->scratch), (Str){ 0 });
}

int engine_push(Engine *engine, StoreOp *op)
{
    uint64_t order = 0;
    int r;

    ASSERT(op->push.n > 0);
    if (op->push.key.len > 0) {
        r = key_look_up(engine, op);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    r = push_check(engine, op);
    if (r < 0 || op->r != 0)
        return r;
    for (size_t i = 0; i < op->push.n; i++) {
        r = push_one(engine, op->push.records[i], &order);
        if (r == KV_EXISTS) {
            ASSERT(op->push.n == 1);
            return op_fail(op, -ERR_DUPLICATE, "a job with this id exists already");
        }
        if (r < 0)
            return r;
        if (i == 0)
            op->push.orders = order;
    }
    return op->push.key.len > 0 ? key_remember(engine, op) : 0;
}
