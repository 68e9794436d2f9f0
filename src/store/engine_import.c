/*
 * Import: jobs of another store, put as they are there; and the listing of idempotency keys that
 * goes with it.
 *
 * Id, state, fence, attempts, errors, result and times stay. What belongs to a store is given anew:
 * the number of the queue and, to jobs that wait in line or may come back to it, a place at the end
 * of the line; whoever imports in the order of the other line keeps that order.
 *
 * A job that is here with the same fence, or a higher one, is passed over, so that an import can be
 * made again after it was cut short. One with a lower fence is an older version, and is replaced.
 */
#include "store/engine_int.h"

#include <errno.h>

/* Everything that could refuse the import, before anything is written. 0 also when op->r is set. */
static int import_check(Engine *engine, StoreOp *op)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < op->import.n; i++) {
        Str name, record = op->import.jobs[i].record;
        EngineQueue *queue;
        int r;

        if (record.len < RECORD_ID_BYTES + RECORD_HEAD_BYTES)
            return op_fail(op, -ERR_STORE_FORMAT, "a record is cut short");
        r = record_check(record_body(record));
        if (r < 0 || !record_find(record_body(record), RECORD_QUEUE, &name))
            return op_fail(op, -ERR_STORE_FORMAT, "a record of the other store cannot be read");
        r = queue_need(engine, name, &queue);
        if (r < 0)
            return op_fail(op, r,
                           r == -ERR_BUSY ? "there are too many queues (%d)"
                                          : "the queue's name is not valid",
                           LIMIT_QUEUES);
        bytes += record.len + sizeof(RecordHead);
    }
    if (!engine->ops->has_room(engine->kv, bytes))
        return op_fail(op, -ERR_STORE_FULL, "the store has no room for the jobs");
    return 0;
}

/* Make way for version HEAD of the job. 0; above: it stays out, the one here is as new. */
static int make_way(Engine *engine, const JobId *id, const RecordHead *head)
{
    EngineQueue *queue;
    RecordHead here;
    Str body;
    int r = engine_load(engine, id, &body, &here);

    if (r == KV_NONE)
        return 0;
    if (r < 0 || here.fence >= head->fence)
        return r < 0 ? r : 1; /* S6 */
    queue = queue_at(engine, here.queue);
    if (!queue)
        return fail(-ERR_STORE_FORMAT, "a job is of a queue that there is not");
    return engine_unfile(engine, queue, id, &here);
}

static int import_one(Engine *engine, StoreOp *op, const StoreImport *job)
{
    Str name, body = record_body(job->record);
    JobId id = record_id(job->record);
    EngineQueue *queue;
    RecordHead head;
    bool has_queue;
    int r;

    record_head_get(body, &head);
    r = make_way(engine, &id, &head);
    if (r != 0)
        return r < 0 ? r : 0;
    has_queue = record_find(body, RECORD_QUEUE, &name);
    ASSERT(has_queue);
    queue = queue_find(engine, name);
    ASSERT(queue);
    queue_touch(engine, queue);
    head.queue = queue->number;
    head.order = 0;
    if (head.state == JOB_AVAILABLE || head.state == JOB_ACTIVE)
        head.order = line_order(head.priority, queue->now.next_order++); /* E3 */
    head.worker = head.state == JOB_ACTIVE ? worker_hash(job->holder) : 0;
    buf_reset(&engine->scratch);
    buf_add_str(&engine->scratch, body);
    r = buf_check(&engine->scratch);
    if (r < 0)
        return r;
    record_head_put(engine->scratch.data, &head);
    r = engine->ops->add(engine->kv, KV_JOBS, str_of_id(&id), buf_str(&engine->scratch));
    if (r < 0)
        return r;
    ASSERT(r == 0); /* its way is free */
    op->import.n_added++;
    return engine_file_new(engine, queue, &id, &head, buf_str(&engine->scratch),
                           head.state == JOB_ACTIVE ? job->holder : (Str){ 0 });
}

static int import_key(Engine *engine, const StoreKey *key)
{
    char bytes[KV_KEY_BYTES];
    Str value;
    int r;

    if (key->until_ms <= engine->now.wall_ms || key->key.len == 0 ||
        key->key.len > LIMIT_IDEMPOTENCY_KEY)
        return 0;
    bytes[0] = 'i';
    memcpy(bytes + 1, key->key.data, key->key.len);
    r = engine->ops->get(engine->kv, KV_META, str_from(bytes, key->key.len + 1), &value);
    if (r != KV_NONE)
        return r < 0 ? r : 0;
    engine->has_changes = true;
    return engine_key_put(engine, key);
}

int engine_import(Engine *engine, StoreOp *op)
{
    int r = import_check(engine, op);

    op->import.n_added = 0;
    if (r < 0 || op->r != 0)
        return r;
    for (size_t i = 0; i < op->import.n && r == 0; i++)
        r = import_one(engine, op, &op->import.jobs[i]);
    for (size_t i = 0; i < op->import.n_keys && r == 0; i++)
        r = import_key(engine, &op->import.keys[i]);
    return r;
}

int engine_keys(Engine *engine, StoreOp *op)
{
    char bytes[KV_KEY_BYTES];
    Str key, value;
    int r;

    op->keys.n = 0;
    if (op->keys.cursor.len >= sizeof(bytes) - 1)
        return op_fail(op, -ERR_INVALID, "the cursor is none");
    bytes[0] = 'i';
    memcpy(bytes + 1, op->keys.cursor.data ? op->keys.cursor.data : "", op->keys.cursor.len);
    r = engine->ops->seek(engine->kv, KV_META, str_from(bytes, op->keys.cursor.len + 1), false,
                          &key, &value);
    while (r == 0 && key.len > 0 && key.data[0] == 'i') {
        Str name = str_from(key.data + 1, key.len - 1);

        if (!str_eq(name, op->keys.cursor)) {
            if (op->keys.n == op->keys.max) {
                op->r = STORE_MORE;
                return 0;
            }
            r = op_add_text(op, name);
            if (r == 0)
                r = op_add_text(op, value);
            if (r < 0)
                return r;
            buf_reset(op->keys.next);
            buf_add_str(op->keys.next, name);
            op->keys.n++;
        }
        r = engine->ops->next(engine->kv, KV_META, &key, &value);
    }
    return r < 0 ? r : buf_check(op->keys.next);
}
