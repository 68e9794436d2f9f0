/*
 * Answers, and what becomes of calls that get none.
 *
 * An answer is decoded into its caller's arena and wakes it; with a durability asked for, writes
 * are held until the WAIT behind them is answered too. The rest is for days on which something
 * goes wrong:
 *
 *   the server says     MOVED           the slot's node is another one: there; the map is read
 *                       ASK             there, this once, with ASKING before it
 *                       TRYAGAIN, CLUSTERDOWN, LOADING, MASTERDOWN, READONLY
 *                                       after a little while, to wherever the slot is then; one
 *                                       server that says READONLY is also dialled anew
 *   the connection      is lost         sent again, in front of everything newer
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#include <stdio.h>
#include <string.h>

#define LATER_MS      20 /* before a call that cannot be done now is tried again, at first */
#define LATER_DOUBLED 4  /* times that this is doubled */

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
    int64_t limit_ms = redis->opts.durability == REDIS_WAITAOF ? LIMIT_REDIS_SYNC_MS
                                                               : LIMIT_REDIS_CONFIRM_MS;

    return MIN(limit_ms, (redis->opts.answer_ms + 1) / 2);
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
    pending->due_ns = sl_now_ns() + (LATER_MS << pending->waits) * NS_PER_MS;
    if (pending->waits < LATER_DOUBLED)
        pending->waits++;
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
    Str words = resp_error_words(str_trim(str_sub(frame, 1, frame.len))), rest;
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
        if (str_eq_c(code, "READONLY") && !redis->slots && !redis->url.is_sentinel)
            redis_node_break(node, "it is a replica: its name may lead to the master by now");
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
