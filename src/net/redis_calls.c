/*
 * Calls: handed over, answered, given up, sent elsewhere.
 *
 * Most calls see two functions here: hand_over writes the command into its node's bytes and
 * redis_take_answer decodes the answer into the caller's arena and wakes it. The rest is for days on
 * which something goes wrong:
 *
 *   the server says     MOVED           the slot's node is another one: there, and read the map again
 *                       ASK             there, this once, with ASKING before it
 *                       TRYAGAIN, CLUSTERDOWN, LOADING, MASTERDOWN, READONLY
 *                                       after a little while, to wherever the slot is then
 *   the connection      is lost         sent again, in front of everything newer
 *   nothing at all      for answer_ms   the connection is broken
 *                       for its patience  the caller is told; the place in the row stays
 *
 * One fiber, the clock, sees to all times. It sleeps until the first of them and is told only of
 * earlier ones, so a client that is busy wakes it every few seconds and one that is idle never.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#include <stdio.h>
#include <string.h>

#define LATER_MS 20   /* before a call that cannot be done now is tried again */
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
static void detach(Pending *pending, int r, const char *words)
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

/* ---- answers -------------------------------------------------------------------------------- */

static int decode(RedisCall *call, Str frame)
{
    char *copy = arena_try(call->arena, frame.len);
    int r;

    if (!copy)
        return fail(-ENOMEM, "an answer of %zu bytes does not fit its arena", frame.len);
    memcpy(copy, frame.data, frame.len);
    r = resp_decode(call->arena, str_from(copy, frame.len), &call->reply);
    if (r < 0)
        return r;
    return call->reply.type == RESP_ERROR ? REDIS_REFUSED : 0;
}

int64_t redis_barrier_ms(const Redis *redis)
{
    return MIN((int64_t) LIMIT_REDIS_CONFIRM_MS, redis->opts.answer_ms / 2 + 1);
}

/* How many confirmed, by the answer to WAIT or WAITAOF; or an error. */
static int read_barrier(const Redis *redis, Str frame, int64_t *ret_replicas, bool *ret_is_local)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 64 << 10 };
    RespValue value;
    int r;

    *ret_is_local = true;
    r = resp_decode(&arena, frame, &value);
    if (r < 0)
        return r;
    if (value.type == RESP_ERROR)
        return fail(-ERR_UNSUPPORTED, "written, but the server cannot confirm it: %.*s",
                    (int) MIN(value.text.len, (size_t) 120), value.text.data);
    if (redis->opts.durability == REDIS_WAIT)
        return resp_to_number(&value, ret_replicas) ? 0 : fail(-ERR_NETWORK, "no answer to WAIT");
    if (!resp_to_number(resp_item(&value, 1), ret_replicas))
        return fail(-ERR_NETWORK, "no answer to WAITAOF");
    *ret_is_local = resp_item(&value, 0)->number > 0;
    return 0;
}

/* The writes before it are answered. */
static void take_barrier(RedisNode *node, Str frame)
{
    Redis *redis = node->redis;
    char words[REDIS_WORDS_BYTES] = "";
    int64_t replicas = 0;
    bool is_local = true;
    Pending *pending;
    int r;

    r = read_barrier(redis, frame, &replicas, &is_local);
    if (r == 0 && !is_local)
        r = fail(-ERR_UNAVAILABLE, "written, but not on the server's disk within %lld ms",
                 (long long) redis_barrier_ms(redis));
    if (r == 0 && replicas < (int64_t) redis->opts.replicas)
        r = fail(-ERR_UNAVAILABLE, "written, but only %lld of %u replicas confirmed within %lld ms",
                 (long long) replicas, redis->opts.replicas, (long long) redis_barrier_ms(redis));
    if (r < 0)
        redis_say(words, "%s", err_text(r));
    node->is_barrier_due = false;
    while ((pending = queue_pop(&node->held)))
        redis_finish(redis, pending, r < 0 && pending->r == 0 ? r : pending->r, words);
    sl_cond_wake_one(&node->can_write);
}

/* ---- errors that are ours ------------------------------------------------------------------- */

void redis_put_later(Redis *redis, Pending *pending)
{
    pending->redirects = 0;
    pending->due_ns = sl_now_ns() + LATER_MS * NS_PER_MS;
    queue_push(&redis->later, pending);
    redis_watch(redis, pending->due_ns);
}

void redis_route_pending(Redis *redis, Pending *pending, bool is_asking, RedisNode *node)
{
    if (!pending->call) {
        redis_pending_free(redis, pending);
        return;
    }
    if (!node)
        node = redis_node_for(redis, pending->slot);
    if (!node || pending->redirects > LIMIT_REDIS_REDIRECTS) {
        redis_put_later(redis, pending);
        return;
    }
    if (redis_recode(redis, node, pending, is_asking) < 0) {
        redis_finish(redis, pending, -ENOMEM, "no memory to send it elsewhere");
        return;
    }
    redis_node_want(node);
    redis_node_push(node, pending);
}

/* "SLOT HOST:PORT": the node it names; an empty host is the one that says it. NULL for nonsense. */
static RedisNode *read_target(RedisNode *from, Str words, uint16_t *ret_slot)
{
    Str address;
    Str slot_text = str_cut(words, ' ', &address);
    uint64_t slot, port;
    size_t colon = address.len;
    Str host;

    while (colon > 0 && address.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || str_to_u64(slot_text, REDIS_SLOTS - 1, &slot) < 0 ||
        str_to_u64(str_sub(address, colon, address.len), UINT16_MAX, &port) < 0)
        return NULL;
    host = str_sub(address, 0, colon - 1);
    if (host.len == 0 || str_eq_c(host, "?"))
        host = from->host.name;
    *ret_slot = (uint16_t) slot;
    return redis_node_at(from->redis, host, (uint16_t) port);
}

static bool redirect(RedisNode *node, Pending *pending, Str words, bool is_asking)
{
    Redis *redis = node->redis;
    uint16_t slot = 0;
    RedisNode *target;

    if (!redis->slots)
        return false;
    target = read_target(node, words, &slot);
    if (!target)
        return false;
    if (!is_asking) {
        redis->slots[slot] = target;
        redis_topology_refresh(redis);
    }
    pending->redirects++;
    redis_route_pending(redis, pending, is_asking, target);
    return true;
}

/* An error that this client deals with: PENDING has been seen to. False: it is the caller's. */
static bool take_error(RedisNode *node, Pending *pending, Str frame)
{
    static const char *const waited_out[] = { "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN",
                                              "READONLY" };
    Redis *redis = node->redis;
    Str words = str_trim(str_sub(frame, 1, frame.len)), rest;
    Str code = str_cut(words, ' ', &rest);

    if (str_eq_c(code, "MOVED"))
        return redirect(node, pending, rest, false);
    if (str_eq_c(code, "ASK"))
        return redirect(node, pending, rest, true);
    for (size_t i = 0; i < ARRAY_LEN(waited_out); i++) {
        if (!str_eq_c(code, waited_out[i]))
            continue;
        redis_say(redis->last_error, "%s: %.*s", node->name, (int) MIN(words.len, (size_t) 120),
                  words.data);
        if (i > 0)
            redis_topology_refresh(redis);
        redis_put_later(redis, pending);
        return true;
    }
    return false;
}

int redis_take_answer(RedisNode *node, Pending *pending, Str frame)
{
    Redis *redis = node->redis;
    int r;

    if (pending->is_barrier) {
        take_barrier(node, frame);
        redis_pending_free(redis, pending);
        return 0;
    }
    if (UNLIKELY(frame.data[0] == '-') && take_error(node, pending, frame))
        return 0;
    if (!pending->call) {
        redis_pending_free(redis, pending);
        return 0;
    }
    r = decode(pending->call, frame);
    if (pending->is_write && node->is_barrier_due) {
        pending->r = r;
        queue_push(&node->held, pending);
        return 0;
    }
    redis_finish(redis, pending, r, r < 0 ? err_text(r) : "");
    return 0;
}

/* ---- a lost connection ---------------------------------------------------------------------- */

static void take_back_one(RedisNode *node, Pending *pending, const char *words)
{
    Redis *redis = node->redis;
    bool was_sent = pending->sends > 0;

    if (!pending->call) {
        redis_pending_free(redis, pending); /* a barrier, or nobody waits */
        return;
    }
    if (was_sent && pending->is_once) {
        redis_finish(redis, pending, -ERR_UNAVAILABLE, words);
        return;
    }
    if (was_sent && pending->again_at != SIZE_MAX) {
        pending->chunk->data[pending->at + pending->again_at] = '1';
        *pending->call->again = '1';
    }
    if (!node->is_master) {
        redis_route_pending(redis, pending, false, NULL);
        return;
    }
    pending->skip = pending->is_asking ? 1 : 0;
    redis_node_push(node, pending);
}

void redis_take_back(RedisNode *node, const char *words)
{
    PendingQueue all = { NULL, NULL };
    char text[REDIS_WORDS_BYTES];
    Pending *pending;

    redis_say(text, "the answer was lost: %.150s", words);
    ASSERT(!node->is_up);
    queue_append(&all, &node->held); /* R2: the oldest */
    queue_append(&all, &node->sent);
    queue_append(&all, &node->unsent);
    node->unsent_bytes = 0;
    node->is_barrier_due = false;
    while ((pending = queue_pop(&all)))
        take_back_one(node, pending, text);
    sl_cond_wake_all(&node->room);
}

/* ---- the clock ------------------------------------------------------------------------------ */

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
        detach(pending, -ERR_UNAVAILABLE, words);
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
    PendingQueue due = { NULL, NULL };
    Pending *pending;

    expire(redis, &redis->later, now_ns);
    purge(redis, &redis->later, NULL);
    while (redis->later.first && redis->later.first->due_ns <= now_ns)
        queue_push(&due, queue_pop(&redis->later));
    if (redis->later.first)
        redis_watch(redis, redis->later.first->due_ns);
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
    redis->writes += call->is_write;
    redis_watch(redis, deadline_ns);
    if (node)
        redis_node_push(node, pending);
    else
        redis_put_later(redis, pending);
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
        detach(pending, r, "");
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
            detach(pending, -ECANCELED, "");
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
