/*
 * Guarded moves, renewed leases, and what time does to jobs.
 *
 * A move is decided elsewhere ("if active with fence 7, then retryable at T") and either applies
 * whole or not at all: guard and change are in one transaction.
 */
#include "store/engine_int.h"

/* ---- moves ----------------------------------------------------------------------------------- */

/* The guard: what stands against the move, or 0. */
static int guard(const RecordHead *head, uint32_t from, uint32_t fence, Str worker)
{
    if (!(from & 1u << head->state))
        return -ERR_CONFLICT;
    if (head->state != JOB_ACTIVE)
        return fence != 0 ? -ERR_CONFLICT : 0;
    if (fence != 0 && fence != head->fence)
        return -ERR_STALE_LEASE;
    if (worker.len > 0 && worker_hash(worker) != head->worker)
        return -ERR_STALE_LEASE;
    return 0;
}

static void head_count(const StoreMove *move, RecordHead *head)
{
    if (move->gives_back && head->attempt > 0)
        head->attempt--;
    if (move->is_loss && head->lost < UINT16_MAX)
        head->lost++;
    if (move->starts_over_if & 1u << move->was)
        head->attempt = head->lost = 0;
    if (move->retry_delay_ms > 0)
        head->retry_delay_ms = move->retry_delay_ms;
}

/* The record after the move into engine->scratch, its head still as it was. */
static int move_rewrite(Engine *engine, const StoreMove *move, Str body)
{
    RecordChange change = { .sets_result = move->to == JOB_COMPLETED,
                            .result = move->result,
                            .error = move->error };

    if (change.error || change.result.len > 0) {
        record_rewrite(body, &change, &engine->scratch);
    } else {
        buf_reset(&engine->scratch);
        buf_add_str(&engine->scratch, body);
    }
    return buf_check(&engine->scratch);
}

static int move_one(Engine *engine, StoreOp *op, StoreMove *move)
{
    RecordHead head;
    EngineQueue *queue;
    Str body;
    int r = engine_load(engine, &move->id, &body, &head);

    if (r < 0)
        return r;
    if (r == KV_NONE) {
        move->r = -ERR_NOT_FOUND;
        return 0;
    }
    move->was = head.state;
    move->attempt = head.attempt;
    move->r = guard(&head, move->from, move->fence, move->worker);
    if (move->only_dead_letter && place_of(&head) != PLACE_DEAD)
        move->r = -ERR_NOT_FOUND;
    if (move->r == 0 && move->only_expired && head.due_ms > engine->now.steady_ms)
        move->r = -ERR_CONFLICT; /* it was renewed meanwhile */
    if (move->r < 0)
        return 0;
    queue = queue_at(engine, head.queue);
    if (!queue)
        return fail(-ERR_STORE_FORMAT, "a job is of queue number %u, which there is not",
                    head.queue);
    r = move_rewrite(engine, move, body);
    if (r < 0)
        return r;
    if (engine->scratch.len > LIMIT_JOB_RECORD_BYTES) {
        move->r = -ERR_TOO_LARGE;
        return 0;
    }
    queue->tally_lost += move->is_loss;
    queue->tally_failed += move->to == JOB_RETRYABLE || (move->to == JOB_DISCARDED && move->error);
    Shift shift = {
        .id = &move->id,
        .queue = queue,
        .head = &head,
        .to = move->to,
        .reason = move->reason,
        .keeps_place = move->keeps_place,
        .is_dead_letter = move->is_dead_letter,
        .due_ms = job_state_is_final(move->to) ? engine->now.wall_ms : move->due_ms,
        .body = body,
    };
    r = engine_shift(engine, &shift);
    if (r < 0)
        return r;
    head_count(move, &head);
    record_head_put(engine->scratch.data, &head);
    r = engine->ops->replace(engine->kv, KV_JOBS, str_of_id(&move->id), buf_str(&engine->scratch));
    if (r < 0)
        return r;
    move->attempt = head.attempt;
    move->at_ms = engine->now.wall_ms;
    return op->move.wants_records ? op_add_record(op, &move->id, buf_str(&engine->scratch)) : 0;
}

int engine_moves(Engine *engine, StoreOp *op)
{
    for (size_t i = 0; i < op->move.n; i++) {
        int r = move_one(engine, op, &op->move.moves[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- leases ---------------------------------------------------------------------------------- */

/* File the active job under another end of its lease. Its state stays, so this is no shift. */
static int lease_refile(Engine *engine, const JobId *id, RecordHead *head, int64_t until_ms)
{
    char key[INDEX_KEY_BYTES], name[LIMIT_WORKER_NAME];
    Str value;
    int r;

    r = engine->ops->get(engine->kv, KV_INDEX,
                         index_key(key, PLACE_ACTIVE, head->queue, order_of(head), id), &value);
    if (r == KV_NONE || (r == 0 && value.len > sizeof(name)))
        return fail(-ERR_STORE_FORMAT, "a job is not in the index where its record says"); /* E1 */
    if (r < 0)
        return r;
    memcpy(name, value.data, value.len);
    value.data = name;
    r = engine->ops->del(engine->kv, KV_INDEX, str_from(key, INDEX_KEY_BYTES));
    if (r < 0)
        return r;
    ASSERT(r == 0);
    head->due_ms = until_ms;
    return engine->ops->put(engine->kv, KV_INDEX,
                            index_key(key, PLACE_ACTIVE, head->queue, order_of(head), id), value);
}

static int extend_one(Engine *engine, const StoreOp *op, StoreBeat *beat)
{
    RecordHead head;
    EngineQueue *queue;
    int64_t until;
    Str body;
    int r = engine_load(engine, &beat->id, &body, &head);

    if (r < 0)
        return r;
    if (r == KV_NONE) {
        beat->r = -ERR_NOT_FOUND;
        return 0;
    }
    beat->state = head.state;
    beat->directive = (JobDirective) (head.flags >> RECORD_DIRECTIVE_SHIFT & 3);
    beat->r = guard(&head, JOB_IN(ACTIVE), beat->fence, op->extend.worker);
    if (beat->r < 0)
        return 0;
    until = engine->now.steady_ms +
            (op->extend.lease_ms > 0 ? op->extend.lease_ms : head.lease_length_ms);
    if (head.flags & RECORD_HAS_TIMEOUT)
        until = MIN(until, head.started_steady_ms + record_find_i64(body, RECORD_TIMEOUT));
    beat->until_ms = until;
    if (until == head.due_ms)
        return 0;
    engine->has_changes = true;
    r = lease_refile(engine, &beat->id, &head, until);
    if (r < 0)
        return r;
    queue = queue_at(engine, head.queue);
    ASSERT(queue);
    engine_note_due(engine, queue, JOB_ACTIVE, until);
    buf_reset(&engine->scratch);
    buf_add_str(&engine->scratch, body);
    r = buf_check(&engine->scratch);
    if (r < 0)
        return r;
    record_head_put(engine->scratch.data, &head);
    return engine->ops->replace(engine->kv, KV_JOBS, str_of_id(&beat->id),
                                buf_str(&engine->scratch));
}

int engine_extend(Engine *engine, StoreOp *op)
{
    ASSERT(op->extend.worker.len <= LIMIT_WORKER_NAME);
    for (size_t i = 0; i < op->extend.n; i++) {
        int r = extend_one(engine, op, &op->extend.beats[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- time ------------------------------------------------------------------------------------ */

static const JobId nil_id = { { 0 } };

static int64_t now_for(const Engine *engine, Place place)
{
    return place == PLACE_SCHEDULED ? engine->now.wall_ms : engine->now.steady_ms;
}

static int promote_one(Engine *engine, EngineQueue *queue, const JobId *id)
{
    RecordHead head;
    Str body;
    int r = engine_load(engine, id, &body, &head);

    if (r == KV_NONE || (r == 0 && head.queue != queue->number))
        return fail(-ERR_STORE_FORMAT, "the index names a job that is not there"); /* E1 */
    if (r < 0)
        return r;
    Shift shift = { .id = id, .queue = queue, .head = &head, .to = JOB_AVAILABLE, .body = body };
    r = engine_shift(engine, &shift);
    if (r < 0)
        return r;
    buf_reset(&engine->scratch);
    buf_add_str(&engine->scratch, body);
    r = buf_check(&engine->scratch);
    if (r < 0)
        return r;
    record_head_put(engine->scratch.data, &head);
    return engine->ops->replace(engine->kv, KV_JOBS, str_of_id(id), buf_str(&engine->scratch));
}

/* Make available what is due in one place of one queue; above zero when there is more. */
static int promote_place(Engine *engine, EngineQueue *queue, Place place, JobState state,
                         size_t max, size_t *n)
{
    char start[INDEX_KEY_BYTES];
    int64_t now = now_for(engine, place);
    Str key, value;

    if (queue->now.counts[state] == 0 || queue->due_bound[state] > now)
        return 0;
    for (;;) {
        JobId id;
        int r = engine->ops->seek(engine->kv, KV_INDEX,
                                  index_key(start, place, queue->number, 0, &nil_id), false, &key,
                                  &value);
        if (r < 0)
            return r;
        if (r == KV_NONE || !index_key_is_in(key, place, queue->number)) {
            queue->due_bound[state] = INT64_MAX;
            return 0;
        }
        queue->due_bound[state] = due_of_order(index_key_order(key)); /* E4 */
        if (queue->due_bound[state] > now)
            return 0;
        if (*n == max)
            return STORE_MORE;
        id = index_key_id(key);
        r = promote_one(engine, queue, &id);
        if (r < 0)
            return r;
        (*n)++;
    }
}

int engine_promote(Engine *engine, StoreOp *op)
{
    op->due.n = 0;
    for (size_t i = 0; i < engine->n_queues && op->r == 0; i++) {
        EngineQueue *queue = engine->queues[i];
        int r = 0;

        if (!queue)
            continue;
        r = promote_place(engine, queue, PLACE_SCHEDULED, JOB_SCHEDULED, op->due.max, &op->due.n);
        if (r == 0)
            r = promote_place(engine, queue, PLACE_RETRYABLE, JOB_RETRYABLE, op->due.max,
                              &op->due.n);
        if (r < 0)
            return r;
        op->r = r;
    }
    engine_find_next_due(engine);
    engine_next_due(engine, &op->due.next_wall_ms, &op->due.next_steady_ms);
    return 0;
}

/*
 * Read the leases of QUEUE that have ended, each record followed by the holder's name. STORE_MORE
 * when there are more than were asked for, or than go into LIMIT_LIST_BYTES.
 */
static int expired_in(Engine *engine, EngineQueue *queue, StoreOp *op)
{
    char start[INDEX_KEY_BYTES];
    Str key, value, body;
    RecordHead head;
    bool is_first = true;
    int r;

    r = engine->ops->seek(engine->kv, KV_INDEX,
                          index_key(start, PLACE_ACTIVE, queue->number, 0, &nil_id), false, &key,
                          &value);
    while (r == 0 && index_key_is_in(key, PLACE_ACTIVE, queue->number)) {
        int64_t due = due_of_order(index_key_order(key));
        if (is_first)
            queue->due_bound[JOB_ACTIVE] = due; /* E4 */
        is_first = false;
        if (due > engine->now.steady_ms)
            return 0;
        if (op->due.n == op->due.max)
            return STORE_MORE;
        JobId id = index_key_id(key);
        r = engine_load(engine, &id, &body, &head);
        if (r == KV_NONE)
            return fail(-ERR_STORE_FORMAT, "the index names a job that is not there"); /* E1 */
        if (r == 0 && op->due.n > 0 && !op_has_room(op, body, value, LIMIT_LIST_BYTES))
            return STORE_MORE;
        if (r == 0)
            r = op_add_record(op, &id, body);
        if (r == 0)
            r = op_add_text(op, value);
        if (r < 0)
            return r;
        op->due.n++;
        r = engine->ops->next(engine->kv, KV_INDEX, &key, &value);
    }
    if (r < 0)
        return r;
    if (is_first)
        queue->due_bound[JOB_ACTIVE] = INT64_MAX;
    return 0;
}

int engine_expired(Engine *engine, StoreOp *op)
{
    op->due.n = 0;
    for (size_t i = 0; i < engine->n_queues && op->r == 0; i++) {
        EngineQueue *queue = engine->queues[i];
        int r;

        if (!queue || queue->now.counts[JOB_ACTIVE] == 0 ||
            queue->due_bound[JOB_ACTIVE] > engine->now.steady_ms)
            continue;
        r = expired_in(engine, queue, op);
        if (r < 0)
            return r;
        op->r = r;
    }
    engine_find_next_due(engine);
    engine_next_due(engine, &op->due.next_wall_ms, &op->due.next_steady_ms);
    return 0;
}
