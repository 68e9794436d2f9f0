/*
 * The engine: one transaction from begin to commit, and which function does which operation.
 *
 * An operation looks before it writes: when its guard does not hold it has changed nothing, and the
 * others of the batch are not concerned. What fails below (no room, a damaged page) ends the batch:
 * the driver undoes the transaction and the engine forgets what it had noted (E6).
 */
#include "store/engine_int.h"

#include "base/rand.h"

static const char clock_key[] = "c";

static int clock_load(Engine *engine)
{
    Str value;
    int r = engine->ops->get(engine->kv, KV_META, str_from(clock_key, 1), &value);

    if (r == KV_NONE)
        return 0;
    if (r < 0)
        return r;
    if (value.len != sizeof(engine->last_steady_ms))
        return fail(-ERR_STORE_FORMAT, "the store's clock is damaged");
    memcpy(&engine->last_steady_ms, value.data, sizeof(engine->last_steady_ms));
    return 0;
}

int engine_init(Engine *engine, const KvOps *ops, void *kv)
{
    int r;

    *engine = (Engine){ .ops = ops, .kv = kv };
    map_init(&engine->by_name, rand_entropy(), rand_entropy()); /* names come from outside */
    r = ops->begin(kv);
    if (r < 0)
        return r;
    r = engine_queues_load(engine);
    if (r == 0)
        r = clock_load(engine);
    ops->abort(kv);
    return r;
}

void engine_deinit(Engine *engine)
{
    engine_workers_deinit(engine);
    for (size_t i = 0; i < engine->n_queues; i++)
        mem_free(engine->queues[i]);
    mem_free(engine->queues);
    mem_free(engine->dirty);
    mem_free(engine->events);
    map_deinit(&engine->by_name);
    arena_deinit(&engine->event_texts);
    buf_deinit(&engine->scratch);
    buf_deinit(&engine->scratch2);
    *engine = (Engine){ 0 };
}

int engine_begin(void *db, const StoreNow *now)
{
    Engine *engine = db;
    int r;

    ASSERT(!engine->is_open);
    ASSERT(engine->n_dirty == 0);
    engine->n_events = 0;
    arena_reset(&engine->event_texts);
    engine->now = *now;
    engine->has_changes = false;
    r = engine->ops->begin(engine->kv);
    if (r < 0)
        return r;
    engine->is_open = true;
    return 0;
}

int engine_commit(void *db)
{
    Engine *engine = db;
    int r = 0;

    ASSERT(engine->is_open);
    if (engine->has_changes || engine->n_dirty > 0) {
        r = engine_queues_save(engine);
        if (r == 0)
            r = engine->ops->put(
                engine->kv, KV_META, str_from(clock_key, 1),
                str_from((const char *) &engine->now.steady_ms, sizeof(engine->now.steady_ms)));
    }
    if (r < 0) {
        engine_abort(engine);
        return r;
    }
    r = engine->ops->commit(engine->kv);
    engine->is_open = false;
    if (r < 0) {
        engine_queues_forget_changes(engine);
        engine->n_events = 0;
        engine->next_wall_ms = engine->next_steady_ms = 0;
        return r;
    }
    if (engine->has_changes || engine->n_dirty > 0)
        engine->last_steady_ms = engine->now.steady_ms;
    engine_queues_keep_changes(engine);
    return 0;
}

void engine_abort(void *db)
{
    Engine *engine = db;

    ASSERT(engine->is_open);
    engine->is_open = false;
    engine->ops->abort(engine->kv);
    engine_queues_forget_changes(engine);
    engine->n_events = 0;
    engine->next_wall_ms = engine->next_steady_ms = 0; /* E4: to be found again */
}

void engine_events(void *db, const StoreEvent **ret_events, size_t *ret_n)
{
    const Engine *engine = db;

    *ret_events = engine->events;
    *ret_n = engine->n_events;
}

void engine_want_types(void *db, bool wants)
{
    ((Engine *) db)->wants_types = wants;
}

void engine_note_due(Engine *engine, EngineQueue *queue, JobState state, int64_t due_ms)
{
    queue->due_bound[state] = MIN(queue->due_bound[state], due_ms); /* E4 */
    if (state == JOB_SCHEDULED)
        engine->next_wall_ms = MIN(engine->next_wall_ms, due_ms);
    if (state == JOB_RETRYABLE || state == JOB_ACTIVE)
        engine->next_steady_ms = MIN(engine->next_steady_ms, due_ms);
}

void engine_find_next_due(Engine *engine)
{
    engine->next_wall_ms = engine->next_steady_ms = INT64_MAX;
    for (size_t i = 0; i < engine->n_queues; i++) {
        const EngineQueue *queue = engine->queues[i];

        if (!queue)
            continue;
        if (queue->now.counts[JOB_SCHEDULED] > 0)
            engine->next_wall_ms = MIN(engine->next_wall_ms, queue->due_bound[JOB_SCHEDULED]);
        if (queue->now.counts[JOB_RETRYABLE] > 0)
            engine->next_steady_ms = MIN(engine->next_steady_ms, queue->due_bound[JOB_RETRYABLE]);
        if (queue->now.counts[JOB_ACTIVE] > 0)
            engine->next_steady_ms = MIN(engine->next_steady_ms, queue->due_bound[JOB_ACTIVE]);
    }
}

void engine_next_due(void *db, int64_t *ret_wall_ms, int64_t *ret_steady_ms)
{
    const Engine *engine = db;

    *ret_wall_ms = engine->next_wall_ms;
    *ret_steady_ms = engine->next_steady_ms;
}

int64_t engine_last_steady_ms(void *db)
{
    return ((const Engine *) db)->last_steady_ms;
}

/* ---- small values ---------------------------------------------------------------------------- */

static int engine_meta(Engine *engine, StoreOp *op)
{
    char bytes[KV_KEY_BYTES];
    Str key, value;
    int r;

    ASSERT(op->meta.name.len > 0 && op->meta.name.len < sizeof(bytes) - 1);
    bytes[0] = 'm';
    memcpy(bytes + 1, op->meta.name.data, op->meta.name.len);
    key = str_from(bytes, op->meta.name.len + 1);
    if (op->meta.writes) {
        engine->has_changes = true;
        return engine->ops->put(engine->kv, KV_META, key, op->meta.value);
    }
    r = engine->ops->get(engine->kv, KV_META, key, &value);
    if (r == KV_NONE)
        return op_fail(op, -ERR_NOT_FOUND, "there is no value of that name");
    if (r < 0)
        return r;
    buf_add_str(&op->out, value);
    return buf_check(&op->out);
}

/* ---- dispatch -------------------------------------------------------------------------------- */

int engine_apply(void *db, StoreOp *op)
{
    Engine *engine = db;

    ASSERT(engine->is_open);
    buf_reset(&op->out);
    op->r = 0;
    op->why[0] = '\0';
    engine->ops_done++;
    switch (op->kind) {
    case STORE_PUSH: return engine_push(engine, op);
    case STORE_LEASE: return engine_lease(engine, op);
    case STORE_MOVE: return engine_moves(engine, op);
    case STORE_EXTEND: return engine_extend(engine, op);
    case STORE_PROMOTE: return engine_promote(engine, op);
    case STORE_EXPIRED: return engine_expired(engine, op);
    case STORE_GET:
    case STORE_WAIT: return engine_get(engine, op);
    case STORE_LIST: return engine_list(engine, op);
    case STORE_QUEUES: return engine_queues(engine, op);
    case STORE_QUEUE_SET: return engine_queue_set(engine, op);
    case STORE_DELETE: return engine_delete(engine, op);
    case STORE_SWEEP: return engine_sweep(engine, op);
    case STORE_META: return engine_meta(engine, op);
    case STORE_CHECK: return engine_check(engine, op);
    case STORE_WORKER: return engine_worker(engine, op);
    case STORE_WORKERS: return engine_workers(engine, op);
    case STORE_IMPORT: return engine_import(engine, op);
    case STORE_KEYS: return engine_keys(engine, op);
    case STORE_WATCH:
    case STORE_CANCEL: break; /* the gate's own */
    }
    UNREACHABLE("an operation that is the gate's");
}
