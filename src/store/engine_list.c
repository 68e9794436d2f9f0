/*
 * Reading: one job, and a page of jobs in a state.
 *
 * A page walks the index from its cursor, so its cost is its length, however many jobs there are. A
 * cursor is the index key of the last entry given: it stays valid when that job moves on, and
 * nothing is given twice or left out because of what happens elsewhere. Over all queues the order
 * is queue by queue, in the order in which the queues were made.
 *
 * Jobs may be large. A page that has one ends before the job that would bring it over
 * LIMIT_LIST_BYTES.
 *
 * An active job's record is followed by the name of its holder.
 */
#include "store/engine_int.h"

static int add_holder(Engine *engine, StoreOp *op, const JobId *id, const RecordHead *head)
{
    char key[INDEX_KEY_BYTES];
    Str name;
    int r = engine->ops->get(engine->kv, KV_INDEX,
                             index_key(key, PLACE_ACTIVE, head->queue, order_of(head), id), &name);

    if (r == KV_NONE)
        return fail(-ERR_STORE_FORMAT, "a job is not in the index where its record says"); /* E1 */
    return r < 0 ? r : op_add_text(op, name);
}

int engine_get(Engine *engine, StoreOp *op)
{
    RecordHead head;
    Str body;
    int r = engine_load(engine, &op->get.id, &body, &head);

    if (r == KV_NONE)
        return op_fail(op, -ERR_NOT_FOUND, "there is no such job");
    if (r == 0)
        r = op_add_record(op, &op->get.id, body);
    if (r == 0 && head.state == JOB_ACTIVE)
        r = add_holder(engine, op, &op->get.id, &head);
    return r;
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* A stretch of the index: places FIRST to LAST, of one queue or of all. */
typedef struct Stretch {
    Place first, last;
    const EngineQueue *queue; /* NULL: all; then first to last is one stretch */
} Stretch;

/* The stretches of the asked state, in the order in which they are walked. */
static size_t stretches_of(const Engine *engine, const StoreOp *op, Stretch out[2])
{
    const EngineQueue *queue = NULL;
    RecordHead head = { .flags = op->list.dead_letters ? RECORD_DEAD_LETTER : 0 };
    Place place;

    while (op->list.states != 1u << head.state) {
        ASSERT((unsigned) head.state < JOB_STATE_COUNT); /* exactly one state */
        head.state = (JobState) (head.state + 1);
    }
    if (op->list.queue.len > 0) {
        queue = queue_find(engine, op->list.queue);
        if (!queue)
            return 0;
    }
    place = place_of(&head);
    out[0] = (Stretch){ place, place, queue };
    if (place != PLACE_DISCARDED)
        return 1;
    if (!queue) {
        out[0].last = PLACE_DEAD;
        return 1;
    }
    out[1] = (Stretch){ PLACE_DEAD, PLACE_DEAD, queue };
    if (op->list.is_newest_first) {
        Stretch first = out[0];
        out[0] = out[1];
        out[1] = first;
    }
    return 2;
}

static bool is_in_stretch(const Stretch *stretch, Str key)
{
    uint8_t place = (uint8_t) key.data[0];

    if (stretch->queue)
        return index_key_is_in(key, stretch->first, stretch->queue->number);
    return place >= (uint8_t) stretch->first && place <= (uint8_t) stretch->last;
}

/* Where the walk of STRETCH begins: the key to seek. */
static Str stretch_start(const Stretch *stretch, bool is_backward, char *out)
{
    static const JobId nil = { { 0 } };

    if (!is_backward)
        return index_key(out, stretch->first, stretch->queue ? stretch->queue->number : 0, 0, &nil);
    if (stretch->queue)
        return index_key(out, stretch->first, stretch->queue->number + 1, 0, &nil);
    return index_key(out, (Place) (stretch->last + 1), 0, 0, &nil);
}

static bool has_type(const StoreOp *op, Str body)
{
    Str type;

    return op->list.type.len == 0 ||
           (record_find(body, RECORD_TYPE, &type) && str_eq(type, op->list.type));
}

/* One entry of the index: into the page unless it is of another type. STORE_MORE: no room. */
static int list_entry(Engine *engine, StoreOp *op, Str key, Str holder)
{
    JobId id = index_key_id(key);
    RecordHead head;
    Str body;
    int r = engine_load(engine, &id, &body, &head);

    if (r == KV_NONE)
        return fail(-ERR_STORE_FORMAT, "the index names a job that is not there"); /* E1 */
    if (r < 0 || !has_type(op, body))
        return r;
    if (op->list.n > 0 && !op_has_room(op, body, holder, LIMIT_LIST_BYTES))
        return STORE_MORE;
    r = op_add_record(op, &id, body);
    if (r == 0 && head.state == JOB_ACTIVE)
        r = op_add_text(op, holder);
    if (r == 0)
        op->list.n++;
    return r;
}

/* Walk one stretch. STORE_MORE when the page is full before its end. */
static int list_stretch(Engine *engine, StoreOp *op, const Stretch *stretch, size_t *skip,
                        size_t *scan_left)
{
    bool is_backward = op->list.is_newest_first;
    Str cursor = op->list.cursor, key, value;
    char start[INDEX_KEY_BYTES];
    int r;

    if (cursor.len == INDEX_KEY_BYTES && is_in_stretch(stretch, cursor)) {
        r = engine->ops->seek(engine->kv, KV_INDEX, cursor, is_backward, &key, &value);
        if (r == 0 && str_eq(key, cursor))
            r = engine->ops->next(engine->kv, KV_INDEX, &key, &value);
    } else {
        r = engine->ops->seek(engine->kv, KV_INDEX, stretch_start(stretch, is_backward, start),
                              is_backward, &key, &value);
    }
    while (r == 0 && is_in_stretch(stretch, key)) {
        if (op->list.n == op->list.max || *scan_left == 0)
            return STORE_MORE;
        if (*skip > 0) {
            (*skip)--;
        } else {
            (*scan_left)--;
            r = list_entry(engine, op, key, value);
            if (r != 0)
                return r;
        }
        memcpy(op->list.next, key.data, INDEX_KEY_BYTES);
        op->list.next_len = INDEX_KEY_BYTES;
        r = engine->ops->next(engine->kv, KV_INDEX, &key, &value);
    }
    return r < 0 ? r : 0;
}

static uint64_t count_of(const StoreOp *op, const EngineQueue *queue)
{
    uint64_t total = 0;

    if (op->list.dead_letters)
        return queue->now.dead_letters;
    for (size_t i = 0; i < JOB_STATE_COUNT; i++) {
        if (op->list.states & 1u << i)
            total += queue->now.counts[i];
    }
    return total;
}

static uint64_t list_total(const Engine *engine, const StoreOp *op)
{
    uint64_t total = 0;

    if (op->list.queue.len > 0) {
        const EngineQueue *queue = queue_find(engine, op->list.queue);
        return queue ? count_of(op, queue) : 0;
    }
    for (size_t i = 0; i < engine->n_queues; i++) {
        if (engine->queues[i])
            total += count_of(op, engine->queues[i]);
    }
    return total;
}

int engine_list(Engine *engine, StoreOp *op)
{
    Stretch stretches[2];
    size_t n = stretches_of(engine, op, stretches), skip = op->list.skip,
           scan_left = LIMIT_LIST_SCAN;
    bool is_past_cursor = op->list.cursor.len == 0;

    ASSERT(op->list.max > 0);
    STATIC_ASSERT(sizeof(op->list.next) >= INDEX_KEY_BYTES, "a cursor is an index key");
    op->list.n = 0;
    op->list.next_len = 0;
    op->list.total = list_total(engine, op);
    for (size_t i = 0; i < n; i++) {
        int r;

        /* Stretches that the last page has left behind. */
        if (!is_past_cursor && op->list.cursor.len == INDEX_KEY_BYTES &&
            is_in_stretch(&stretches[i], op->list.cursor))
            is_past_cursor = true;
        else if (!is_past_cursor)
            continue;
        r = list_stretch(engine, op, &stretches[i], &skip, &scan_left);
        if (r != 0) {
            op->r = r;
            return r < 0 ? r : 0;
        }
    }
    return 0;
}
