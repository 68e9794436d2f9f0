/*
 * Calls of fibers: handed over, waited for, ended.
 *
 * A call costs one command written into its node's bytes, one wake-up and no memory of its own: the
 * records are used again, the caller waits on its stack. What becomes of it in between is the
 * business of redis_conn.c (sent), redis_answers.c (answered, or sent elsewhere) and redis_clock.c
 * (given up).
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#include <stdio.h>

#define PURGE_MS 1000 /* after which the places of callers that have left are looked for */

void redis_say(char out[static REDIS_WORDS_BYTES], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void) vsnprintf(out, REDIS_WORDS_BYTES, fmt, args);
    va_end(args);
}

/* ---- the end of a call ---------------------------------------------------------------------- */

void redis_finish(Redis *redis, Pending *pending, int r, const char *words)
{
    RedisWaiter *waiter = pending->waiter;

    if (waiter) {
        ASSERT(waiter->left > 0); /* R4 */
        *pending->ret_r = r;
        if (r < 0 && !waiter->has_words) {
            waiter->has_words = true;
            redis_say(waiter->words, "%s", words);
        }
        if (--waiter->left == 0)
            sl_event_set(&waiter->done);
    }
    redis_pending_free(redis, pending);
}

/* The caller hears R; the place stays: R3. */
void redis_detach(Pending *pending, int r, const char *words)
{
    RedisWaiter *waiter = pending->waiter;

    pending->call = NULL;
    pending->waiter = NULL;
    ASSERT(waiter && waiter->left > 0); /* R4 */
    *pending->ret_r = r;
    if (r < 0 && !waiter->has_words) {
        waiter->has_words = true;
        redis_say(waiter->words, "%s", words);
    }
    if (--waiter->left == 0)
        sl_event_set(&waiter->done);
}

static void fail_queue(Redis *redis, PendingQueue *queue)
{
    Pending *pending;

    while ((pending = queue_pop(queue)))
        redis_finish(redis, pending, -ERR_CLOSED, "the client has stopped");
}

void redis_fail_all(Redis *redis)
{
    fail_queue(redis, &redis->later);
    for (size_t i = 0; i < redis->n_nodes; i++) {
        fail_queue(redis, &redis->nodes[i]->held);
        fail_queue(redis, &redis->nodes[i]->sent);
        fail_queue(redis, &redis->nodes[i]->unsent);
        sl_cond_wake_all(&redis->nodes[i]->room);
    }
}

/* ---- the fiber that asks -------------------------------------------------------------------- */

/* Wait until NODE has room for more bytes, at most until DEADLINE_NS. */
SUSPENDS static int wait_for_room(Redis *redis, RedisNode *node, int64_t deadline_ns)
{
    sl_scope scope;
    int r = 0;

    sl_scope_begin(&scope, .deadline_ns = deadline_ns);
    while (r == 0 && !redis->is_stopping && node->unsent_bytes > LIMIT_REDIS_UNSENT_BYTES)
        r = sl_cond_wait(&node->room);
    r = sl_scope_end(&scope, r);
    if (r == -ETIMEDOUT)
        return fail(-ERR_UNAVAILABLE, "%s does not take what waits to be sent", node->name);
    return r;
}

/* The node of a call, with room for it; NULL when there is none at present. */
SUSPENDS static int find_node(Redis *redis, const RedisCall *call, int64_t deadline_ns,
                              RedisNode **ret_node)
{
    int r;

    *ret_node = redis_node_for(redis, call->slot);
    if (*ret_node && UNLIKELY((*ret_node)->unsent_bytes > LIMIT_REDIS_UNSENT_BYTES)) {
        r = wait_for_room(redis, *ret_node, deadline_ns);
        if (r < 0)
            return r;
        *ret_node = redis_node_for(redis, call->slot); /* suspended: the map may be another */
    }
    if (redis->is_stopping)
        return fail(-ERR_CLOSED, "the client has stopped");
    return 0;
}

/* Make CALL a Pending of its node. 0, or an error with nothing handed over. */
SUSPENDS static int hand_over(Redis *redis, RedisCall *call, RedisWaiter *waiter, int *ret_r,
                              Pending **ret_pending)
{
    int64_t patience_ms = call->patience_ms > 0 ? call->patience_ms : redis->opts.patience_ms;
    int64_t deadline_ns = sl_now_ns() + patience_ms * NS_PER_MS;
    RedisNode *node = NULL;
    Pending *pending;
    int r;

    ASSERT(call->argc > 0 && call->arena);
    if (redis->n_pendings >= LIMIT_REDIS_CALLS)
        return fail(-ERR_BUSY, "%d calls of redis are under way", LIMIT_REDIS_CALLS);
    call->sends = 0;
    call->reply = (RespValue){ .type = RESP_NULL };
    r = find_node(redis, call, deadline_ns, &node);
    if (r < 0)
        return r;
    pending = redis_pending_new(redis);
    r = redis_encode(redis, node, pending, call);
    if (r < 0) {
        redis_pending_free(redis, pending);
        return r;
    }
    pending->call = call;
    pending->waiter = waiter;
    pending->ret_r = ret_r;
    pending->deadline_ns = deadline_ns;
    pending->slot = call->slot;
    pending->is_write = call->is_write;
    pending->is_once = call->is_once;
    waiter->left++;
    redis->calls++;
    redis_watch(redis, deadline_ns);
    if (node) {
        redis_node_want(node);
        redis_node_push(node, pending);
    } else {
        redis_put_later(redis, pending);
    }
    if (ret_pending)
        *ret_pending = pending;
    return 0;
}

static void waiter_init(RedisWaiter *waiter)
{
    waiter->left = 0;
    waiter->done = (sl_event){ .is_set = false };
    waiter->has_words = false;
}

SUSPENDS static int wait_for_answers(RedisWaiter *waiter)
{
    int r = waiter->left > 0 ? sl_event_wait(&waiter->done) : 0;

    return waiter->left == 0 ? 0 : r; /* what is there is given, also to who is cancelled */
}

static void leave(Redis *redis)
{
    ASSERT(redis->n_inside > 0);
    if (--redis->n_inside == 0 && redis->is_stopping)
        sl_cond_wake_all(&redis->outside);
}

SUSPENDS static int call_one(Redis *redis, RedisCall *call)
{
    RedisWaiter waiter;
    Pending *pending = NULL;
    int result = -ECANCELED;
    int r;

    waiter_init(&waiter);
    r = hand_over(redis, call, &waiter, &result, &pending);
    if (r < 0)
        return r;
    r = wait_for_answers(&waiter);
    if (r < 0) {
        redis_detach(pending, r, "");
        redis_watch(redis, sl_now_ns() + PURGE_MS * NS_PER_MS);
        return r;
    }
    return result < 0 ? fail(result, "redis: %s", waiter.words) : result;
}

int redis_call(Redis *redis, RedisCall *call)
{
    int r;

    if (UNLIKELY(sl_is_cancelled()))
        return sl_checkpoint();
    if (redis->is_stopping)
        return fail(-ERR_CLOSED, "the client has stopped");
    redis->n_inside++;
    r = call_one(redis, call);
    leave(redis);
    return r;
}

/* All places of WAITER are nobody's from here on. */
static void detach_queue(PendingQueue *queue, const RedisWaiter *waiter)
{
    for (Pending *pending = queue->first; pending; pending = pending->next)
        if (pending->waiter == waiter)
            redis_detach(pending, -ECANCELED, "");
}

static void detach_all(Redis *redis, const RedisWaiter *waiter)
{
    detach_queue(&redis->later, waiter);
    for (size_t i = 0; i < redis->n_nodes; i++) {
        detach_queue(&redis->nodes[i]->held, waiter);
        detach_queue(&redis->nodes[i]->sent, waiter);
        detach_queue(&redis->nodes[i]->unsent, waiter);
    }
    ASSERT(waiter->left == 0); /* R4 */
    redis_watch(redis, sl_now_ns() + PURGE_MS * NS_PER_MS);
}

SUSPENDS static int call_many(Redis *redis, RedisCall *calls, int *rs, size_t n)
{
    RedisWaiter waiter;
    int first_r = 0;
    int r = 0;

    waiter_init(&waiter);
    for (size_t i = 0; i < n; i++)
        rs[i] = -ECANCELED;
    for (size_t i = 0; i < n; i++) {
        r = hand_over(redis, &calls[i], &waiter, &rs[i], NULL);
        if (r < 0)
            rs[i] = r;
        if (r == -ECANCELED)
            break;
        if (waiter.left > 0 && r == 0)
            waiter.done.is_set = false; /* those before may have been answered while it waited */
    }
    if (r != -ECANCELED)
        r = wait_for_answers(&waiter);
    if (r < 0)
        detach_all(redis, &waiter);
    for (size_t i = 0; i < n && r == 0 && first_r == 0; i++)
        first_r = rs[i] < 0 ? rs[i] : 0;
    if (first_r < 0 && waiter.has_words)
        (void) fail(first_r, "redis: %s", waiter.words); /* for who looks at the words of one */
    return r;
}

int redis_call_many(Redis *redis, RedisCall *calls, int *rs, size_t n)
{
    int r;

    if (sl_is_cancelled()) {
        for (size_t i = 0; i < n; i++)
            rs[i] = -ECANCELED;
        return sl_checkpoint();
    }
    redis->n_inside++;
    r = call_many(redis, calls, rs, n);
    leave(redis);
    return r;
}
