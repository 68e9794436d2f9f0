/*
 * Pushes that go together: what fibers of one loop push in one turn is one call.
 *
 *   fiber A   first: gathers -- lets the others run once -- takes all that wait -- calls -- answers
 *   fiber B   waits for A's answer
 *   fiber C   comes while calls are under way: waits; leads the next call when one returns
 *
 * Whoever comes first leads; there is no fiber for it. At most LIMIT_STORE_PUSH_CALLS calls are
 * under way for a partition, so that under load the next ones gather more, as in the gate's group
 * commit. Each push is all or none by itself, and has its own answer.
 *
 * Nobody waits much longer than LIMIT_REDIS_PATIENCE_MS: a call has the patience that the first of
 * its pushes has left. A loop keeps LIMIT_STORE_PUSH_BYTES of pushes; further ones are refused at
 * once, so that submitters who come again and again cannot fill the memory of a process whose
 * server is away.
 *
 *   pending pushes => somebody gathers, or as many calls are under way as may be
 */
#include "store/redis/remote_int.h"

struct ParkedPush {
    StoreOp *op;
    ParkedPush *next;
    size_t bytes;
    int64_t since_ns;
    bool is_done;
    bool leads;
    sl_event event; /* it is done, or leads */
};

/* ---- where ----------------------------------------------------------------------------------- */

/* A partition whose calls have been waiting for long is passed over while others answer. */
static bool is_slow(const RemotePart *part)
{
    return part->under_way > 0 && sl_now_ns() - part->begun_ns > LIMIT_STORE_SLOW_MS * NS_PER_MS;
}

static uint32_t next_partition(RemoteLoop *loop)
{
    uint32_t n = loop->remote->n_parts, first = loop->turn++ % n;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = (first + i) % n;
        if (!is_slow(&loop->parts[index]))
            return index;
    }
    return first;
}

/*
 * An id's partition is its last two bytes modulo the number of partitions: take the nearest number
 * below, or above when there is none below.
 */
static void fit_id(JobId *id, uint32_t index, uint32_t n)
{
    uint32_t number = (uint32_t) id->bytes[14] << 8 | id->bytes[15];
    uint32_t fitted = number - number % n + index;

    if (fitted > UINT16_MAX)
        fitted -= n;
    id->bytes[14] = (uint8_t) (fitted >> 8);
    id->bytes[15] = (uint8_t) fitted;
    ASSERT(partition_of_id(id, n) == index);
}

void remote_fit_ids(void *remote, Str key, JobId *ids, size_t n)
{
    Remote *store = remote;
    RemoteLoop *loop = &store->loops[sl_loop_index()];
    uint32_t index;

    if (store->n_parts == 1)
        return;
    index = key.len > 0 ? partition_of_key(key, store->n_parts) : next_partition(loop);
    for (size_t i = 0; i < n; i++)
        fit_id(&ids[i], index, store->n_parts);
}

/* The partition of all of OP's jobs (R3). False, and the op refused, when they have several. */
static bool find_partition(const RemoteLoop *loop, StoreOp *op, uint32_t *ret_index)
{
    uint32_t n = loop->remote->n_parts;
    JobId id = record_id(op->push.records[0]);
    uint32_t index = partition_of_id(&id, n);

    for (size_t i = 1; i < op->push.n; i++) {
        id = record_id(op->push.records[i]);
        if (partition_of_id(&id, n) != index) {
            op_set_error(op, -ERR_INVALID,
                         "ids: those of one push must lie in one partition of the store; leave "
                         "them out, or push the jobs one by one");
            return false;
        }
    }
    if (op->push.key.len > 0 && partition_of_key(op->push.key, n) != index) {
        op_set_error(op, -ERR_INVALID,
                     "id: with an idempotency key it must lie in the key's partition of the "
                     "store; leave one of them out");
        return false;
    }
    *ret_index = index;
    return true;
}

/* ---- a call ---------------------------------------------------------------------------------- */

static size_t bytes_of(const StoreOp *op)
{
    size_t bytes = 0;

    for (size_t i = 0; i < op->push.n; i++)
        bytes += op->push.records[i].len;
    return bytes;
}

/* As many of the waiting pushes as go into one call: the first whatever its size. */
static ParkedPush *take_batch(RemotePart *part, size_t *ret_n)
{
    ParkedPush *first = part->first, *last = NULL;
    size_t n = 0, n_jobs = 0, bytes = 0;

    for (ParkedPush *push = first; push; push = push->next) {
        n_jobs += push->op->push.n;
        bytes += push->bytes;
        if (last && (n_jobs > LIMIT_STORE_BATCH_OPS || bytes > LIMIT_STORE_BATCH_BYTES))
            break;
        last = push;
        n++;
    }
    ASSERT(last);
    part->first = last->next;
    if (!part->first)
        part->last = NULL;
    last->next = NULL;
    *ret_n = n;
    return first;
}

/* What is left of the time that a push may take which came at SINCE_NS. */
static int64_t patience_left_ms(int64_t since_ns)
{
    int64_t waited_ms = (sl_now_ns() - since_ns) / NS_PER_MS;

    return MAX(LIMIT_REDIS_PATIENCE_MS - waited_ms, (int64_t) LIMIT_STORE_SLOW_MS);
}

SUSPENDS static void call(RemotePart *part, StoreOp **ops, size_t n, int64_t since_ns)
{
    Ask ask, *asks[1] = { &ask };
    int r;

    ask_begin(&ask, part, SCRIPT_PUSH);
    ask.patience_ms = patience_left_ms(since_ns);
    r = request_push(&ask.arena, &ask.head, part->loop->remote->has_functions, ops, n,
                     &ask.request);
    if (r == 0) {
        asks_run(part->loop, asks, 1);
        if (ask.r < 0)
            r = fail(ask.r, "%s", ask.why);
        else
            r = answer_push(&ask.reply, ops, n);
    }
    if (r < 0) {
        Err err;

        err_take(r, &err);
        for (size_t i = 0; i < n; i++)
            op_set_error(ops[i], r, err.text);
    }
    ask_end(&ask);
}

static void settle(RemotePart *part, ParkedPush *batch)
{
    while (batch) {
        ParkedPush *next = batch->next; /* it may be gone after the event */

        batch->is_done = true;
        sl_event_set(&batch->event);
        batch = next;
    }
    part->under_way--;
    if (part->under_way == 0)
        part->begun_ns = 0;
}

/* Let the first of those who wait lead, if one more call may be made. */
static void pass_lead(RemotePart *part)
{
    if (!part->first || part->is_gathering || part->under_way >= LIMIT_STORE_PUSH_CALLS)
        return;
    part->is_gathering = true;
    part->first->leads = true;
    sl_event_set(&part->first->event);
}

SUSPENDS static void lead(RemotePart *part)
{
    ParkedPush *batch;
    StoreOp **ops;
    size_t n, i = 0;

    ASSERT(part->is_gathering);
    batch = take_batch(part, &n);
    part->is_gathering = false;
    if (part->under_way++ == 0)
        part->begun_ns = sl_now_ns();
    pass_lead(part);
    ops = mem_new_array(StoreOp *, n);
    for (ParkedPush *push = batch; push; push = push->next)
        ops[i++] = push->op;
    call(part, ops, n, batch->since_ns);
    mem_free(ops);
    settle(part, batch);
    pass_lead(part);
}

/* Wait for EVENT however often the fiber is cancelled. */
SUSPENDS static void wait_shielded(sl_event *event)
{
    while (!event->is_set) {
        sl_scope shield;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = LIMIT_REDIS_PATIENCE_MS);
        (void) sl_scope_end(&shield, sl_event_wait(event)); /* is_set tells */
    }
}

SUSPENDS static void yield_shielded(void)
{
    sl_scope shield;

    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = LIMIT_REDIS_PATIENCE_MS);
    (void) sl_scope_end(&shield, sl_yield());
}

SUSPENDS static void push_to(RemotePart *part, ParkedPush *own)
{
    if (part->last)
        part->last->next = own;
    else
        part->first = own;
    part->last = own;
    if (!part->is_gathering && part->under_way < LIMIT_STORE_PUSH_CALLS) {
        ASSERT(part->first == own);
        part->is_gathering = own->leads = true;
        yield_shielded();
    } else {
        wait_shielded(&own->event);
    }
    if (own->is_done)
        return;
    ASSERT(own->leads && part->first == own);
    lead(part);
    ASSERT(own->is_done);
}

void remote_push(RemoteLoop *loop, StoreOp *op)
{
    ParkedPush push = { .op = op, .bytes = bytes_of(op), .since_ns = sl_now_ns() };
    uint32_t index;

    if (!find_partition(loop, op, &index))
        return;
    if (loop->push_bytes > 0 && loop->push_bytes + push.bytes > LIMIT_STORE_PUSH_BYTES) {
        op_set_error(op, -ERR_BUSY, "too many jobs wait for the Redis server to take them");
        return;
    }
    loop->push_bytes += push.bytes;
    push_to(&loop->parts[index], &push);
    loop->push_bytes -= push.bytes;
}
