/*
 * Forgetting: finished jobs that are too old or too many, keys that have served their time.
 *
 * Only final states are swept, the oldest end first; how many of each state are kept is the queue's
 * to say. Queues are looked at in turn, a few in each transaction, so that ten thousand of them do
 * not hold up a commit.
 */
#include "store/engine_int.h"

enum { QUEUES_A_SWEEP = 256, GATHER = 32 };

static const JobId nil_id = { { 0 } };

int engine_delete(Engine *engine, StoreOp *op)
{
    RecordHead head;
    EngineQueue *queue;
    Str body;
    int r = engine_load(engine, &op->del.id, &body, &head);

    if (r == KV_NONE)
        return op_fail(op, -ERR_NOT_FOUND, "there is no such job");
    if (r < 0)
        return r;
    ASSERT((op->del.from & ~JOB_IN_FINAL) == 0);
    if (!(op->del.from & 1u << head.state))
        return op_fail(op, -ERR_CONFLICT, "the job is %s", job_state_name(head.state));
    if (op->del.dead_letter && place_of(&head) != PLACE_DEAD)
        return op_fail(op, -ERR_NOT_FOUND, "the job is no dead letter");
    queue = queue_at(engine, head.queue);
    if (!queue)
        return fail(-ERR_STORE_FORMAT, "a job is of queue number %u, which there is not",
                    head.queue);
    return engine_drop(engine, queue, &op->del.id, &head);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

typedef struct Rule {
    Place place;
    JobState state;
    int64_t keep_ms;   /* 0: for ever */
    uint64_t keep_max; /* 0: all */
} Rule;

static uint64_t place_count(const EngineQueue *queue, Place place, JobState state)
{
    if (place == PLACE_DEAD)
        return queue->now.dead_letters;
    if (place == PLACE_DISCARDED)
        return queue->now.counts[state] - queue->now.dead_letters;
    return queue->now.counts[state];
}

static int drop_key(Engine *engine, EngineQueue *queue, Str key)
{
    JobId id = index_key_id(key);
    RecordHead head;
    Str body;
    int r = engine_load(engine, &id, &body, &head);

    if (r == KV_NONE)
        return fail(-ERR_STORE_FORMAT, "the index names a job that is not there"); /* E1 */
    return r < 0 ? r : engine_drop(engine, queue, &id, &head);
}

/* Keys of entries of RULE in QUEUE that go: those before CUTOFF, and EXCESS ones in any case. */
static int sweep_gather(Engine *engine, const EngineQueue *queue, const Rule *rule, int64_t cutoff,
                        uint64_t excess, size_t max, char keys[][INDEX_KEY_BYTES], size_t *ret_n)
{
    char start[INDEX_KEY_BYTES];
    Str key, value;
    int r = engine->ops->seek(engine->kv, KV_INDEX,
                              index_key(start, rule->place, queue->number, 0, &nil_id), false, &key,
                              &value);

    *ret_n = 0;
    while (r == 0 && *ret_n < max && index_key_is_in(key, rule->place, queue->number) &&
           (*ret_n < excess || due_of_order(index_key_order(key)) < cutoff)) {
        memcpy(keys[(*ret_n)++], key.data, INDEX_KEY_BYTES);
        r = engine->ops->next(engine->kv, KV_INDEX, &key, &value);
    }
    return r < 0 ? r : 0;
}

static int sweep_rule(Engine *engine, EngineQueue *queue, const Rule *rule, StoreOp *op)
{
    char keys[GATHER][INDEX_KEY_BYTES];
    int64_t cutoff = rule->keep_ms > 0 ? engine->now.wall_ms - rule->keep_ms : 0;
    size_t n;

    for (;;) {
        uint64_t have = place_count(queue, rule->place, rule->state);
        uint64_t excess = rule->keep_max > 0 && have > rule->keep_max ? have - rule->keep_max : 0;
        int r;

        if (have == 0 || (excess == 0 && cutoff <= 0))
            return 0;
        if (op->sweep.n >= op->sweep.max)
            return STORE_MORE;
        r = sweep_gather(engine, queue, rule, cutoff, excess,
                         MIN((size_t) GATHER, op->sweep.max - op->sweep.n), keys, &n);
        if (r < 0 || n == 0)
            return r;
        for (size_t i = 0; i < n; i++) {
            r = drop_key(engine, queue, str_from(keys[i], INDEX_KEY_BYTES));
            if (r < 0)
                return r;
        }
        op->sweep.n += n;
    }
}

static int sweep_queue(Engine *engine, EngineQueue *queue, StoreOp *op)
{
    const StoreRetention *keep = &op->sweep.keep;
    const Rule rules[] = {
        { PLACE_COMPLETED, JOB_COMPLETED, keep->completed_ms, keep->completed_max },
        { PLACE_CANCELLED, JOB_CANCELLED, keep->cancelled_ms, keep->cancelled_max },
        { PLACE_DISCARDED, JOB_DISCARDED, keep->discarded_ms, keep->discarded_max },
        { PLACE_DEAD, JOB_DISCARDED, keep->discarded_ms, keep->discarded_max },
    };

    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        int r = sweep_rule(engine, queue, &rules[i], op);
        if (r != 0)
            return r;
    }
    return 0;
}

/* ---- idempotency keys ------------------------------------------------------------------------ */

static int sweep_keys(Engine *engine, StoreOp *op)
{
    char bytes[KV_KEY_BYTES];

    for (size_t n = 0; n < op->sweep.max; n++) {
        Str key, value;
        int64_t until_ms = 0, found_ms;
        int r = engine->ops->seek(engine->kv, KV_META, str_from("x", 1), false, &key, &value);

        if (r < 0)
            return r;
        if (r == KV_NONE || key.len < 9 || key.data[0] != 'x')
            return 0;
        for (int i = 0; i < 8; i++)
            until_ms = (int64_t) ((uint64_t) until_ms << 8 | (uint8_t) key.data[1 + i]);
        if (until_ms > engine->now.wall_ms)
            return 0;
        size_t len = key.len;
        ASSERT(len <= sizeof(bytes));
        memcpy(bytes, key.data, len);
        engine->has_changes = true;
        r = engine->ops->del(engine->kv, KV_META, str_from(bytes, len));
        if (r < 0)
            return r;
        bytes[8] = 'i'; /* the key's own entry, unless it was made anew meanwhile */
        r = engine->ops->get(engine->kv, KV_META, str_from(bytes + 8, len - 8), &value);
        if (r == 0 && value.len >= 8) {
            memcpy(&found_ms, value.data, 8);
            if (found_ms == until_ms)
                r = engine->ops->del(engine->kv, KV_META, str_from(bytes + 8, len - 8));
        }
        if (r < 0)
            return r;
    }
    return STORE_MORE;
}

int engine_sweep(Engine *engine, StoreOp *op)
{
    size_t n_looked = MIN(engine->n_queues, (size_t) QUEUES_A_SWEEP);
    int r;

    op->sweep.n = 0;
    for (size_t i = 0; i < n_looked; i++) {
        EngineQueue *queue;

        if (engine->sweep_at >= engine->n_queues)
            engine->sweep_at = 0;
        queue = engine->queues[engine->sweep_at];
        r = queue ? sweep_queue(engine, queue, op) : 0;
        if (r < 0)
            return r;
        if (r == STORE_MORE) {
            op->r = r;
            return 0;
        }
        engine->sweep_at++;
    }
    r = sweep_keys(engine, op);
    if (r < 0)
        return r;
    op->r = r;
    return 0;
}
