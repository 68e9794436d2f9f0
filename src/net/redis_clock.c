/*
 * The clock: one fiber that sees to all times of a client.
 *
 *   silence    answers are due and nothing has come for answer_ms: the connection is broken
 *   patience   of a call is over: its caller is told, its place in the row stays (R3)
 *   later      calls that could not be done are tried again
 *
 * It sleeps until the first of these and is told only of earlier ones, so a client that is busy
 * wakes it every few seconds, one that is idle never, and no call has a timer.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

void redis_watch(Redis *redis, int64_t at_ns)
{
    if (at_ns >= redis->watch_ns)
        return;
    redis->watch_ns = at_ns;
    sl_cond_wake_one(&redis->watch_changed);
}

/* Callers whose patience is over hear it. */
static void expire(Redis *redis, PendingQueue *queue, int64_t now_ns)
{
    char words[REDIS_WORDS_BYTES];

    for (Pending *pending = queue->first; pending; pending = pending->next) {
        if (!pending->call)
            continue;
        if (pending->deadline_ns > now_ns) {
            redis_watch(redis, pending->deadline_ns);
            continue;
        }
        redis_say(words, "no answer in time%s%.150s",
                  redis->last_error[0] ? "; the last trouble was: " : "", redis->last_error);
        redis_detach(pending, -ERR_UNAVAILABLE, words);
    }
}

/* Take out those that nobody waits for: in queues whose places do not matter. */
static void purge(Redis *redis, PendingQueue *queue, size_t *bytes)
{
    PendingQueue kept = { NULL, NULL };
    Pending *pending;

    while ((pending = queue_pop(queue))) {
        if (pending->call) {
            queue_push(&kept, pending);
            continue;
        }
        if (bytes)
            *bytes -= pending->len;
        redis_pending_free(redis, pending);
    }
    *queue = kept;
}

static void check_node(RedisNode *node, int64_t now_ns)
{
    Redis *redis = node->redis;
    int64_t silent_at_ns = node->waiting_since_ns + redis->opts.answer_ms * NS_PER_MS;

    expire(redis, &node->held, now_ns);
    expire(redis, &node->sent, now_ns);
    expire(redis, &node->unsent, now_ns);
    purge(redis, &node->unsent, &node->unsent_bytes);
    sl_cond_wake_all(&node->room);
    if (!node->is_up || node->is_broken || !node->sent.first)
        return;
    if (silent_at_ns > now_ns) {
        redis_watch(redis, silent_at_ns);
    } else {
        char words[REDIS_WORDS_BYTES];

        redis_say(words, "no answer for %lld ms", (long long) redis->opts.answer_ms);
        redis_node_break(node, words);
    }
}

static void check_later(Redis *redis, int64_t now_ns)
{
    PendingQueue all = { NULL, NULL }, due = { NULL, NULL };
    Pending *pending;

    expire(redis, &redis->later, now_ns);
    purge(redis, &redis->later, NULL);
    queue_append(&all, &redis->later);
    while ((pending = queue_pop(&all))) {
        queue_push(pending->due_ns <= now_ns ? &due : &redis->later, pending);
        if (pending->due_ns > now_ns)
            redis_watch(redis, pending->due_ns);
    }
    while ((pending = queue_pop(&due)))
        redis_route_pending(redis, pending, false, NULL);
}

static void check_all(Redis *redis)
{
    int64_t now_ns = sl_now_ns();

    redis->watch_ns = INT64_MAX;
    check_later(redis, now_ns);
    for (size_t i = 0; i < redis->n_nodes; i++)
        check_node(redis->nodes[i], now_ns);
}

int redis_clock_run(void *arg)
{
    Redis *redis = arg;
    int r;

    for (;;) {
        sl_scope scope;

        sl_scope_begin(&scope, .deadline_ns = redis->watch_ns);
        r = sl_cond_wait(&redis->watch_changed);
        r = sl_scope_end(&scope, r);
        if (r == -ECANCELED)
            return r;
        if (sl_now_ns() >= redis->watch_ns)
            check_all(redis);
    }
}
