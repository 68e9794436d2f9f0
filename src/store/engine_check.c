/*
 * Check: walk everything and verify what the engine promises. `sluice doctor` and the tests call
 * it.
 *
 *   index -> records   every entry names a job that is there and that names the entry (E1)
 *   records -> index   as many of the one as of the other, and each record can be read
 *   counts             a recount gives the numbers that are kept (E2)
 *   line               no available job stands behind the next number of its queue (E3)
 *   due                nothing is due before the bound of its queue (E4)
 *   keys               each idempotency key has its entry in the sweep's order
 */
#include "store/engine_int.h"

#include <stdarg.h>
#include <stdio.h>

static int violated(StoreOp *op, const char *fmt, ...) SL_PRINTF(2, 3);

static int violated(StoreOp *op, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(op->check.why, sizeof(op->check.why), fmt, args);
    va_end(args);
    return 1;
}

static const char *id_text(Str key)
{
    static _Thread_local char text[JOB_ID_TEXT_BYTES];
    JobId id;

    memcpy(id.bytes, key.data, sizeof(id.bytes));
    job_id_format(&id, text);
    return text;
}

/* One entry of the index against its record; counted in COUNTS of its queue. */
static int check_entry(Engine *engine, StoreOp *op, Str key, QueueNumbers *recounts)
{
    char want[INDEX_KEY_BYTES];
    const EngineQueue *queue;
    RecordHead head;
    JobId id;
    Str body;
    int r;

    if (key.len != INDEX_KEY_BYTES)
        return violated(op, "an entry of the index has %zu bytes", key.len);
    id = index_key_id(key);
    r = engine->ops->get(engine->kv, KV_JOBS, str_of_id(&id), &body);
    if (r == KV_NONE)
        return violated(op, "job %s is in the index and has no record", id_text(str_of_id(&id)));
    if (r < 0)
        return r;
    r = record_check(body);
    if (r < 0)
        return violated(op, "job %s: %s", id_text(str_of_id(&id)), err_text(r));
    record_head_get(body, &head);
    if (!str_eq(key, index_key(want, place_of(&head), head.queue, order_of(&head), &id)))
        return violated(op, "job %s (%s) is filed elsewhere than its record says",
                        id_text(str_of_id(&id)), job_state_name(head.state));
    queue = queue_at(engine, head.queue);
    if (!queue)
        return violated(op, "job %s is of queue number %u, which there is not",
                        id_text(str_of_id(&id)), head.queue);
    recounts[head.queue].counts[head.state]++;
    recounts[head.queue].dead_letters += place_of(&head) == PLACE_DEAD;
    if (head.state == JOB_AVAILABLE &&
        (head.order & ((UINT64_C(1) << 48) - 1)) >= queue->now.next_order)
        return violated(op, "job %s stands in line where nobody has been yet",
                        id_text(str_of_id(&id)));
    if ((head.state == JOB_SCHEDULED || head.state == JOB_RETRYABLE || head.state == JOB_ACTIVE) &&
        head.due_ms < queue->due_bound[head.state])
        return violated(op, "job %s is due before the bound of its queue", id_text(str_of_id(&id)));
    if ((head.state == JOB_ACTIVE) != (head.fence > 0 && head.state == JOB_ACTIVE))
        return violated(op, "job %s is active without a lease", id_text(str_of_id(&id)));
    op->check.jobs++;
    return 0;
}

static int check_index(Engine *engine, StoreOp *op, QueueNumbers *recounts)
{
    Str key, value;
    int r = engine->ops->seek(engine->kv, KV_INDEX, str_from("", 1), false, &key, &value);

    while (r == 0) {
        r = check_entry(engine, op, key, recounts);
        if (r != 0)
            return r;
        r = engine->ops->next(engine->kv, KV_INDEX, &key, &value);
    }
    return r < 0 ? r : 0;
}

static int check_records(Engine *engine, StoreOp *op)
{
    uint64_t n = 0;
    Str key, value;
    int r = engine->ops->seek(engine->kv, KV_JOBS, str_from("", 1), false, &key, &value);

    while (r == 0) {
        n++;
        r = engine->ops->next(engine->kv, KV_JOBS, &key, &value);
    }
    if (r < 0)
        return r;
    if (n != op->check.jobs)
        return violated(op, "%llu records, %llu entries of the index", (unsigned long long) n,
                        (unsigned long long) op->check.jobs);
    return 0;
}

static int check_counts(const Engine *engine, StoreOp *op, const QueueNumbers *recounts)
{
    for (size_t i = 0; i < engine->n_queues; i++) {
        const EngineQueue *queue = engine->queues[i];

        if (!queue)
            continue;
        for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
            if (queue->now.counts[s] != recounts[i].counts[s])
                return violated(op, "queue %s counts %llu jobs %s and has %llu", queue->name,
                                (unsigned long long) queue->now.counts[s],
                                job_state_name((JobState) s),
                                (unsigned long long) recounts[i].counts[s]);
        }
        if (queue->now.dead_letters != recounts[i].dead_letters)
            return violated(op, "queue %s counts %llu dead letters and has %llu", queue->name,
                            (unsigned long long) queue->now.dead_letters,
                            (unsigned long long) recounts[i].dead_letters);
    }
    return 0;
}

static int check_keys(Engine *engine, StoreOp *op)
{
    char bytes[KV_KEY_BYTES];
    Str key, value, none;
    int r = engine->ops->seek(engine->kv, KV_META, str_from("i", 1), false, &key, &value);

    while (r == 0 && key.data[0] == 'i') {
        uint64_t until_ms;

        if (value.len < 16 || key.len + 8 > sizeof(bytes))
            return violated(op, "an idempotency key is damaged");
        memcpy(&until_ms, value.data, 8);
        bytes[0] = 'x';
        for (int i = 0; i < 8; i++)
            bytes[1 + i] = (char) (unsigned char) (until_ms >> (56 - 8 * i));
        memcpy(bytes + 9, key.data + 1, key.len - 1);
        r = engine->ops->get(engine->kv, KV_META, str_from(bytes, key.len + 8), &none);
        if (r == KV_NONE)
            return violated(op, "an idempotency key would never be forgotten");
        if (r < 0)
            return r;
        r = engine->ops->next(engine->kv, KV_META, &key, &value);
    }
    return r < 0 ? r : 0;
}

int engine_check(Engine *engine, StoreOp *op)
{
    QueueNumbers *recounts = mem_new_array(QueueNumbers, engine->n_queues + 1);
    int r;

    op->check.why[0] = '\0';
    op->check.jobs = 0;
    r = check_index(engine, op, recounts);
    if (r == 0)
        r = check_records(engine, op);
    if (r == 0)
        r = check_counts(engine, op, recounts);
    if (r == 0)
        r = check_keys(engine, op);
    mem_free(recounts);
    if (r > 0)
        return op_fail(op, -ERR_STORE, "%.150s", op->check.why);
    return r;
}
