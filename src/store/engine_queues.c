/*
 * The queues of a store: names, counts, numbers in line.
 *
 * A queue is one entry of KV_META, 'q' and its number (4 bytes, big-endian):
 *
 *   byte  0  u8   version, 1
 *         1  u8   flags: 1 paused
 *         2  u64  next number in line          (little-endian, as all below)
 *        10  u64  jobs pushed since it was made
 *        18  u64  how many jobs in each state, 8 times, in the order of JobState
 *        82  u64  how many of the discarded ones are dead letters
 *        90       name, to the end
 *
 * All queues are in memory; a transaction writes those it changed. Counts are kept, never computed:
 * opening a store with a million jobs reads as many entries as it has queues.
 */
#include "store/engine_int.h"

#include "base/metrics.h"

#include <stdlib.h>

enum { QUEUE_VERSION = 1, QUEUE_HEAD = 90, KEY_BYTES = 5, PAUSED = 1 };

static void put_u64(char *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (char) (unsigned char) (value >> (8 * i));
}

static uint64_t get_u64(const char *at)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value |= (uint64_t) (unsigned char) at[i] << (8 * i);
    return value;
}

static Str queue_key(char *out, uint32_t number)
{
    out[0] = 'q';
    for (int i = 0; i < 4; i++)
        out[1 + i] = (char) (unsigned char) (number >> (24 - 8 * i));
    return str_from(out, KEY_BYTES);
}

/* ---- finding and making ---------------------------------------------------------------------- */

EngineQueue *queue_find(const Engine *engine, Str name)
{
    return map_find(&engine->by_name, name);
}

EngineQueue *queue_at(const Engine *engine, uint32_t number)
{
    return number < engine->n_queues ? engine->queues[number] : NULL;
}

static void *grow_array(void *array, size_t *cap, size_t item_bytes)
{
    size_t new_cap = *cap ? *cap * 2 : 16;
    void *grown = mem_try_resize(array, new_cap * item_bytes);

    ASSERT(grown); /* bounded by LIMIT_QUEUES */
    *cap = new_cap;
    return grown;
}

static EngineQueue *queue_new(Engine *engine, uint32_t number, Str name)
{
    EngineQueue *queue = mem_new(EngineQueue);

    ASSERT(name.len > 0 && name.len <= QUEUE_NAME_MAX);
    queue->number = number;
    queue->name_len = (uint32_t) name.len;
    memcpy(queue->name, name.data, name.len);
    while (engine->n_queues <= number) {
        if (engine->n_queues == engine->cap_queues)
            engine->queues = grow_array(engine->queues, &engine->cap_queues, sizeof(EngineQueue *));
        engine->queues[engine->n_queues++] = NULL;
    }
    ASSERT(!engine->queues[number]);
    engine->queues[number] = queue;
    map_put(&engine->by_name, name, queue);
    return queue;
}

int queue_need(Engine *engine, Str name, EngineQueue **ret_queue)
{
    EngineQueue *queue = queue_find(engine, name);

    if (!queue) {
        if (name.len == 0 || name.len > QUEUE_NAME_MAX)
            return -ERR_INVALID;
        if (engine->n_queues >= LIMIT_QUEUES)
            return -ERR_BUSY;
        queue = queue_new(engine, (uint32_t) engine->n_queues, name);
        queue->is_born = true;
        for (size_t i = 0; i < JOB_STATE_COUNT; i++)
            queue->due_bound[i] = INT64_MAX;
    }
    *ret_queue = queue;
    return 0;
}

void queue_touch(Engine *engine, EngineQueue *queue)
{
    if (queue->is_dirty)
        return;
    queue->is_dirty = true;
    queue->before = queue->now;
    if (engine->n_dirty == engine->cap_dirty)
        engine->dirty = grow_array(engine->dirty, &engine->cap_dirty, sizeof(EngineQueue *));
    engine->dirty[engine->n_dirty++] = queue;
}

/* ---- to and from the store ------------------------------------------------------------------- */

static int queue_load(Engine *engine, Str key, Str value)
{
    uint32_t number = 0;
    EngineQueue *queue;
    size_t name_len = value.len - QUEUE_HEAD;

    if (key.len != KEY_BYTES || value.len <= QUEUE_HEAD || value.data[0] != QUEUE_VERSION ||
        name_len > QUEUE_NAME_MAX)
        return fail(-ERR_STORE_FORMAT,
                    "the store's entry for a queue is damaged or of a newer program");
    for (int i = 0; i < 4; i++)
        number = number << 8 | (uint8_t) key.data[1 + i];
    if (number >= LIMIT_QUEUES)
        return fail(-ERR_STORE_FORMAT, "the store has a queue number %u", number);
    queue = queue_new(engine, number, str_from(value.data + QUEUE_HEAD, name_len));
    queue->now.is_paused = (value.data[1] & PAUSED) != 0;
    queue->now.next_order = get_u64(value.data + 2);
    queue->now.pushed = get_u64(value.data + 10);
    for (size_t i = 0; i < JOB_STATE_COUNT; i++)
        queue->now.counts[i] = get_u64(value.data + 18 + 8 * i);
    queue->now.dead_letters = get_u64(value.data + 82);
    return 0;
}

int engine_queues_load(Engine *engine)
{
    Str key, value;
    int r = engine->ops->seek(engine->kv, KV_META, str_from("q", 1), false, &key, &value);

    while (r == 0 && key.data[0] == 'q') {
        r = queue_load(engine, key, value);
        if (r < 0)
            return r;
        r = engine->ops->next(engine->kv, KV_META, &key, &value);
    }
    return r < 0 ? r : 0;
}

static int queue_save(Engine *engine, const EngineQueue *queue)
{
    char key[KEY_BYTES], value[QUEUE_HEAD + QUEUE_NAME_MAX];

    value[0] = QUEUE_VERSION;
    value[1] = queue->now.is_paused ? PAUSED : 0;
    put_u64(value + 2, queue->now.next_order);
    put_u64(value + 10, queue->now.pushed);
    for (size_t i = 0; i < JOB_STATE_COUNT; i++)
        put_u64(value + 18 + 8 * i, queue->now.counts[i]);
    put_u64(value + 82, queue->now.dead_letters);
    memcpy(value + QUEUE_HEAD, queue->name, queue->name_len);
    return engine->ops->put(engine->kv, KV_META, queue_key(key, queue->number),
                            str_from(value, QUEUE_HEAD + queue->name_len));
}

int engine_queues_save(Engine *engine)
{
    for (size_t i = 0; i < engine->n_dirty; i++) {
        int r = queue_save(engine, engine->dirty[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static void queue_clean(EngineQueue *queue)
{
    queue->is_dirty = false;
    memset(queue->tally, 0, sizeof(queue->tally));
    queue->tally_failed = queue->tally_lost = queue->tally_pushed = 0;
}

void engine_queues_forget_changes(Engine *engine)
{
    for (size_t i = 0; i < engine->n_dirty; i++) {
        EngineQueue *queue = engine->dirty[i];
        queue->now = queue->before;
        queue->filter = NULL;
        memset(queue->due_bound, 0, sizeof(queue->due_bound)); /* E4: may have been raised */
        queue_clean(queue);
    }
    engine->n_dirty = 0;
    while (engine->n_queues > 0 && engine->queues[engine->n_queues - 1] &&
           engine->queues[engine->n_queues - 1]->is_born) {
        EngineQueue *queue = engine->queues[--engine->n_queues];
        map_remove(&engine->by_name, str_from(queue->name, queue->name_len));
        mem_free(queue);
    }
}

static void count(Metric metric, const EngineQueue *queue, uint32_t n)
{
    if (n > 0)
        metrics_add_label(metric, str_from(queue->name, queue->name_len), n);
}

void engine_queues_keep_changes(Engine *engine)
{
    for (size_t i = 0; i < engine->n_dirty; i++) {
        EngineQueue *queue = engine->dirty[i];
        count(METRIC_JOBS_PUSHED, queue, queue->tally_pushed);
        count(METRIC_JOBS_LEASED, queue, queue->tally[JOB_ACTIVE]);
        count(METRIC_JOBS_COMPLETED, queue, queue->tally[JOB_COMPLETED]);
        count(METRIC_JOBS_CANCELLED, queue, queue->tally[JOB_CANCELLED]);
        count(METRIC_JOBS_DISCARDED, queue, queue->tally[JOB_DISCARDED]);
        count(METRIC_JOBS_FAILED, queue, queue->tally_failed);
        count(METRIC_JOBS_LOST, queue, queue->tally_lost);
        queue_clean(queue);
    }
    engine->n_dirty = 0;
    for (size_t i = engine->n_queues;
         i > 0 && engine->queues[i - 1] && engine->queues[i - 1]->is_born; i--)
        engine->queues[i - 1]->is_born = false;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void queue_info(const EngineQueue *queue, StoreQueueInfo *info)
{
    *info = (StoreQueueInfo){ .is_paused = queue->now.is_paused,
                              .dead_letters = queue->now.dead_letters,
                              .pushed = queue->now.pushed };
    memcpy(info->name, queue->name, queue->name_len);
    memcpy(info->counts, queue->now.counts, sizeof(info->counts));
}

static int compare_infos(const void *a, const void *b)
{
    return strcmp(((const StoreQueueInfo *) a)->name, ((const StoreQueueInfo *) b)->name);
}

/*
 * The names behind AFTER that come first. Queues have no order by name in memory: with at most
 * LIMIT_QUEUES of them a selection is cheap enough for a page.
 */
static void queue_page(const Engine *engine, StoreOp *op)
{
    size_t n = 0;

    for (size_t i = 0; i < engine->n_queues; i++) {
        const EngineQueue *queue = engine->queues[i];
        if (!queue || str_cmp(str_from(queue->name, queue->name_len), op->queues.after) <= 0)
            continue;
        if (n < op->queues.max) {
            queue_info(queue, &op->queues.infos[n++]);
            if (n == op->queues.max)
                qsort(op->queues.infos, n, sizeof(StoreQueueInfo), compare_infos);
        } else if (strcmp(queue->name, op->queues.infos[n - 1].name) < 0) {
            size_t at = n - 1;
            while (at > 0 && strcmp(queue->name, op->queues.infos[at - 1].name) < 0) {
                op->queues.infos[at] = op->queues.infos[at - 1];
                at--;
            }
            queue_info(queue, &op->queues.infos[at]);
        }
    }
    if (n < op->queues.max)
        qsort(op->queues.infos, n, sizeof(StoreQueueInfo), compare_infos);
    op->queues.n = n;
}

int engine_queues(Engine *engine, StoreOp *op)
{
    const EngineQueue *queue;

    ASSERT(op->queues.max > 0);
    op->queues.n = 0;
    if (op->queues.only.len == 0) {
        queue_page(engine, op);
        return 0;
    }
    queue = queue_find(engine, op->queues.only);
    if (!queue)
        return op_fail(op, -ERR_NOT_FOUND, "there is no queue of that name");
    queue_info(queue, &op->queues.infos[op->queues.n++]);
    return 0;
}

int engine_queue_set(Engine *engine, StoreOp *op)
{
    EngineQueue *queue = queue_find(engine, op->queue_set.name);

    if (!queue && !op->queue_set.creates)
        return op_fail(op, -ERR_NOT_FOUND, "there is no queue of that name");
    if (!queue) {
        int r = queue_need(engine, op->queue_set.name, &queue);
        if (r < 0)
            return op_fail(op, r, "a queue of that name cannot be made");
    }
    queue_touch(engine, queue);
    queue->now.is_paused = op->queue_set.is_paused;
    return 0;
}
