/*
 * A node's connection: made, used, lost, made anew.
 *
 * A node has one fiber, which connects, greets, and then reads: it hands each answer to the call at
 * the head of `sent`. A second fiber lives as long as the connection and writes. It sleeps while
 * there is nothing to send; the first call that comes wakes it, and as a woken fiber runs behind
 * those that are ready already, all of them have added their calls by then: one write for all.
 *
 * What ends a connection: the server (end of stream, error), bytes that are no RESP, an answer that
 * nobody asked for, silence while answers are due (redis_calls.c sees it), Sentinel or a map that
 * says that the node is not a master. Each time the calls that were sent go back to the front, the
 * fiber waits a little, longer each time, and begins again, until the client stops.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#include <stdio.h>
#include <string.h>

#define IOV_AT_ONCE 32

/* ---- calls come in -------------------------------------------------------------------------- */

void redis_node_push(RedisNode *node, Pending *pending)
{
    bool was_empty = !node->unsent.first;

    queue_push(&node->unsent, pending);
    node->unsent_bytes += pending->len;
    if (was_empty && node->is_up)
        sl_cond_wake_one(&node->can_write);
}

/* ---- the writer ----------------------------------------------------------------------------- */

typedef struct Batch {
    struct iovec iov[IOV_AT_ONCE + 1];   /* the last one for a barrier */
    RedisChunk *chunks[IOV_AT_ONCE + 1]; /* counted while they are written */
    int n;
    bool has_writes;
} Batch;

/* Put the bytes of PENDING into BATCH; false when it has MOST pieces and needs one more. */
static bool batch_add(Batch *batch, const Pending *pending, int most)
{
    char *data = pending->chunk->data + pending->at;
    struct iovec *last = batch->n > 0 ? &batch->iov[batch->n - 1] : NULL;

    if (last && batch->chunks[batch->n - 1] == pending->chunk &&
        (char *) last->iov_base + last->iov_len == data) {
        last->iov_len += pending->len;
        return true;
    }
    if (batch->n == most)
        return false;
    redis_chunk_ref(pending->chunk);
    batch->chunks[batch->n] = pending->chunk;
    batch->iov[batch->n++] = (struct iovec){ .iov_base = data, .iov_len = pending->len };
    return true;
}

static void mark_sent(RedisNode *node, Pending *pending)
{
    Redis *redis = node->redis;

    if (pending->sends++ > 0)
        redis->resent++;
    if (pending->call)
        pending->call->sends = pending->sends;
    if (!node->sent.first) {
        node->waiting_since_ns = sl_now_ns();
        redis_watch(redis, node->waiting_since_ns + redis->opts.answer_ms * NS_PER_MS);
    }
    queue_push(&node->sent, pending);
}

/* What waits to be sent, as far as it fits, moves to `sent`. */
static void gather(RedisNode *node, Batch *batch)
{
    Pending *pending;

    batch->n = 0;
    batch->has_writes = false;
    while ((pending = node->unsent.first)) {
        if (pending->call && !batch_add(batch, pending, IOV_AT_ONCE))
            break;
        (void) queue_pop(&node->unsent); /* it is PENDING */
        node->unsent_bytes -= pending->len;
        if (!pending->call) { /* its caller has left in time */
            redis_pending_free(node->redis, pending);
            continue;
        }
        batch->has_writes |= pending->is_write;
        mark_sent(node, pending);
    }
    sl_cond_wake_all(&node->room);
}

/* A WAIT behind the writes of a batch: they are answered when it is. */
static void gather_barrier(RedisNode *node, Batch *batch)
{
    Redis *redis = node->redis;
    char replicas[16], ms[16];
    Str argv[4];
    size_t n = 0;
    Pending *barrier;
    RedisCall call;
    int r;

    (void) snprintf(replicas, sizeof(replicas), "%u", redis->opts.replicas);
    (void) snprintf(ms, sizeof(ms), "%lld", (long long) redis_barrier_ms(redis));
    if (redis->opts.durability == REDIS_WAITAOF) {
        argv[n++] = str_from_c("WAITAOF");
        argv[n++] = str_from_c("1");
    } else {
        argv[n++] = str_from_c("WAIT");
    }
    argv[n++] = str_from_c(replicas);
    argv[n++] = str_from_c(ms);
    call = (RedisCall){ .argv = argv, .argc = n };
    barrier = redis_pending_new(redis);
    barrier->is_barrier = true;
    barrier->deadline_ns = INT64_MAX;
    r = redis_encode(redis, node, barrier, &call);
    if (r < 0 || !batch_add(batch, barrier, IOV_AT_ONCE + 1)) {
        redis_pending_free(redis, barrier);
        redis_node_break(node, "no memory to ask for the replicas");
        return;
    }
    mark_sent(node, barrier);
    node->is_barrier_due = true;
}

SUSPENDS static int write_some(RedisNode *node)
{
    Batch batch;
    int r;

    gather(node, &batch);
    if (batch.n == 0)
        return 0;
    if (batch.has_writes && node->redis->opts.durability != REDIS_NONE)
        gather_barrier(node, &batch);
    node->redis->writes++;
    r = stream_writev_all(node->line.stream, batch.iov, batch.n);
    for (int i = 0; i < batch.n; i++)
        redis_chunk_unref(node->redis, batch.chunks[i]);
    return r;
}

SUSPENDS static int writer_run(void *arg)
{
    RedisNode *node = arg;
    int r;

    for (;;) {
        while (!node->unsent.first || node->is_barrier_due) {
            r = sl_cond_wait(&node->can_write);
            if (r < 0)
                return r;
        }
        r = write_some(node);
        if (r < 0) {
            redis_node_break(node, err_text(r));
            return 0;
        }
    }
}

/* ---- the reader ----------------------------------------------------------------------------- */

static int take_frame(RedisNode *node, Str frame)
{
    Pending *pending = node->sent.first;

    if (frame.data[0] == '>')
        return 0; /* nobody asked for it: a push */
    if (!pending)
        return fail(-ERR_NETWORK, "an answer that nobody asked for");
    if (pending->skip > 0) {
        pending->skip--; /* of ASKING: what it says, its command hears as well */
        return 0;
    }
    (void) queue_pop(&node->sent); /* it is PENDING */
    node->failures = 0;
    return redis_take_answer(node, pending, frame);
}

/* Everything that is whole in the buffer. */
static int take_frames(RedisNode *node)
{
    bool has_taken = false;
    Str frame;
    int r;

    while ((r = redis_line_try_frame(&node->line, &frame)) == 0) {
        r = take_frame(node, frame);
        if (r < 0)
            return r;
        has_taken = true;
    }
    if (r < 0)
        return r;
    if (has_taken || node->sent.first)
        node->waiting_since_ns = sl_now_ns();
    return 0;
}

SUSPENDS static int reader_run(RedisNode *node)
{
    int r;

    for (;;) {
        r = take_frames(node);
        if (r < 0)
            return r;
        r = redis_line_fill(&node->line);
        if (r < 0)
            return r;
    }
}

/* ---- up and down ---------------------------------------------------------------------------- */

void redis_node_break(RedisNode *node, const char *words)
{
    if (node->backoff)
        sl_scope_cancel(node->backoff); /* no time to lose: whoever breaks it knows why */
    if (!node->is_up || node->is_broken)
        return;
    node->is_broken = true;
    redis_say(node->words, "%s", words);
    stream_abort(node->line.stream);
}

static void note_error(RedisNode *node, const char *words)
{
    Redis *redis = node->redis;

    redis_say(redis->last_error, "%s: %s", node->name, words);
}

SUSPENDS static int serve(RedisNode *node)
{
    AUTO(sl_nursery_close)
    sl_nursery *nursery = sl_nursery_open(.name = "redis connection", .keep_going = true);

    (void) sl_spawn(nursery, writer_run, node, .name = "redis writer"); /* close tells */
    return reader_run(node);
}

/* The connection is there: use it until it breaks. */
SUSPENDS static int use_connection(RedisNode *node)
{
    Redis *redis = node->redis;
    Err err;
    int r;

    node->is_up = true;
    node->up_ns = sl_now_ns();
    node->is_broken = false;
    node->is_barrier_due = false;
    node->waiting_since_ns = 0;
    if (node->was_up)
        redis->reconnects++;
    node->was_up = true;
    if (redis->opts.on_state)
        redis->opts.on_state(redis->opts.state_ctx, node->name, true);
    r = serve(node);
    node->is_up = false;
    if (sl_now_ns() - node->up_ns > LIMIT_REDIS_BACKOFF_MAX_MS * NS_PER_MS)
        node->failures = 0; /* it lived, if idle */
    redis_line_close(&node->line);
    if (r == -ECANCELED)
        return r;
    err_take(r, &err);
    if (!node->is_broken)
        redis_say(node->words, "%.190s", err.text);
    note_error(node, node->words);
    redis_take_back(node, node->words);
    if (redis->opts.on_state)
        redis->opts.on_state(redis->opts.state_ctx, node->name, false);
    return 0;
}

int64_t redis_backoff_ms(unsigned failures)
{
    int64_t most = LIMIT_REDIS_BACKOFF_MIN_MS;

    for (unsigned i = 1; i < failures && most < LIMIT_REDIS_BACKOFF_MAX_MS; i++)
        most *= 2;
    most = MIN(most, (int64_t) LIMIT_REDIS_BACKOFF_MAX_MS);
    return most / 2 + (int64_t) (sl_random() % (uint64_t) (most / 2 + 1));
}

SUSPENDS static int wait_before_next(RedisNode *node)
{
    sl_scope scope;
    int r;

    node->failures++;
    sl_scope_begin(&scope);
    node->backoff = &scope;
    r = sl_sleep_ms(redis_backoff_ms(node->failures));
    node->backoff = NULL;
    return sl_scope_end(&scope, r);
}

static void note_first(RedisNode *node, int r)
{
    if (node->is_tried)
        return;
    node->is_tried = true;
    node->first_r = r;
    if (r < 0)
        err_take(r, &node->first_err);
    sl_cond_wake_all(&node->tried);
}

SUSPENDS static int connect_once(RedisNode *node)
{
    Redis *redis = node->redis;
    int r;

    r = redis_line_open(redis, &node->host, REDIS_LINE_NODE, &node->line, &node->greeting);
    if (r < 0 && r != -ECANCELED)
        note_error(node, err_text(r));
    return r;
}

SUSPENDS static int node_live(RedisNode *node)
{
    int r;

    for (;;) {
        r = connect_once(node);
        if (r == -ECANCELED)
            return r;
        note_first(node, r);
        if (r == 0) {
            r = use_connection(node);
            if (r < 0)
                return r;
        }
        redis_topology_lost(node);
        if (r == 0 && !node->is_master)
            return 0; /* it was left */
        r = wait_before_next(node);
        if (r < 0 || !node->is_master)
            return r;
    }
}

SUSPENDS static int node_run(void *arg)
{
    RedisNode *node = arg;

    (void) node_live(node); /* ends when the client stops, or the node is no master */
    note_first(node, -ECANCELED);
    node->is_running = false;
    if (!node->redis->is_stopping)
        redis_take_back(node, node->words);
    return 0;
}

void redis_nodes_spawn(Redis *redis)
{
    for (size_t i = 0; i < redis->n_nodes; i++) {
        RedisNode *node = redis->nodes[i];

        if (node->is_running || !node->is_wanted || redis->is_stopping)
            continue;
        node->is_running = true;
        node->is_wanted = false;
        if (sl_spawn(redis->fibers, node_run, node, .name = "redis node") < 0)
            node->is_running = false;
    }
}
