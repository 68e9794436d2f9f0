/*
 * Subscriptions: a connection for each node that has any, kept for ever.
 *
 * Where a channel is subscribed: in a cluster with shard channels at the node of its slot
 * (SSUBSCRIBE), everywhere else at one node, the home (a cluster carries messages to all its
 * nodes). When the map changes, or a node ends a shard subscription because its slot has gone, the
 * subscriptions concerned are moved.
 *
 *   redis_subscribe -> assign: which node -> its line's fiber: connect, SUBSCRIBE, read
 *                                                  lost: all its subscriptions are asked anew
 *
 * Each answer to a SUBSCRIBE is a gap: what was published before it may have been missed (N3).
 * A line that hears nothing asks PING every LIMIT_REDIS_SUB_PING_MS; that is all an idle client
 * sends. One fiber starts the fibers of lines, because redis_subscribe itself never suspends.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/macro.h"
#include "base/mem.h"

#define OUT_BYTES_MAX (16 << 20) /* of subscriptions that wait to be sent on one line */

struct RedisSubLine {
    Redis *redis;
    RedisNode *node;
    RedisLine line;
    Buf out; /* commands to be sent */
    sl_cond changed;
    bool is_up, is_running, is_broken;
    int64_t heard_ns; /* when the server last said something */
    int64_t asked_ns; /* when it was last asked something; above heard_ns: an answer is due */
    unsigned failures;
};

struct RedisSubs {
    RedisSub *first;
    RedisSub *deliver_next; /* the one after the one that is being told; kept by unsubscribe */
    RedisNode *home;
    sl_cond wanted; /* a line without a fiber is needed */
};

/* ---- where ---------------------------------------------------------------------------------- */

static bool is_shard(const Redis *redis, const RedisSub *sub)
{
    return redis->slots && sub->slot >= 0 && redis_version(redis) >= 0x070000;
}

static RedisNode *home_of(Redis *redis, const RedisSub *sub)
{
    RedisSubs *subs = redis->subs;

    if (is_shard(redis, sub))
        return redis->slots[sub->slot];
    if (!subs->home || !subs->home->is_master || !subs->home->is_up)
        subs->home = redis_node_for(redis, REDIS_ANY);
    return subs->home;
}

static RedisSubLine *line_of(RedisNode *node)
{
    if (!node->sub) {
        node->sub = mem_new(RedisSubLine);
        node->sub->redis = node->redis;
        node->sub->node = node;
        buf_init(&node->sub->out, OUT_BYTES_MAX);
    }
    return node->sub;
}

/* ---- what is said --------------------------------------------------------------------------- */

static void say(RedisSubLine *line, const char *verb, Str channel)
{
    Str argv[] = { str_from_c(verb), channel };

    resp_add_command(&line->out, argv, channel.len > 0 ? 2 : 1);
    line->asked_ns = sl_now_ns();
    sl_cond_wake_one(&line->changed);
}

static void ask_for(RedisSub *sub)
{
    RedisSubLine *line = sub->line_;

    sub->is_asked_ = true;
    say(line, is_shard(line->redis, sub) ? "SSUBSCRIBE" : "SUBSCRIBE", sub->channel);
}

static bool is_shared(const Redis *redis, const RedisSub *sub)
{
    for (const RedisSub *other = redis->subs->first; other; other = other->next_)
        if (other != sub && other->line_ == sub->line_ && str_eq(other->channel, sub->channel))
            return true;
    return false;
}

/* SUB is no longer on its line. */
static void leave(Redis *redis, RedisSub *sub)
{
    RedisSubLine *line = sub->line_;

    if (line && line->is_up && sub->is_asked_ && !is_shared(redis, sub))
        say(line, is_shard(redis, sub) ? "SUNSUBSCRIBE" : "UNSUBSCRIBE", sub->channel);
    if (line)
        sl_cond_wake_one(&line->changed); /* it may have been the last one */
    sub->line_ = NULL;
    sub->is_asked_ = false;
    sub->is_live_ = false;
}

/* Put SUB on the line where it belongs. */
static void assign(Redis *redis, RedisSub *sub)
{
    RedisNode *node = home_of(redis, sub);

    if (!node)
        return; /* the next map will have one */
    if (sub->line_ != line_of(node)) {
        leave(redis, sub);
        sub->line_ = line_of(node);
    }
    if (sub->line_->is_up && !sub->is_asked_)
        ask_for(sub);
    else if (!sub->line_->is_running)
        sl_cond_wake_one(&redis->subs->wanted);
}

static void assign_all(Redis *redis)
{
    for (RedisSub *sub = redis->subs->first; sub; sub = sub->next_)
        assign(redis, sub);
}

static bool has_any(const RedisSubLine *line)
{
    for (const RedisSub *sub = line->redis->subs->first; sub; sub = sub->next_)
        if (sub->line_ == line)
            return true;
    return false;
}

/* ---- what is heard -------------------------------------------------------------------------- */

/* Tell all who hear CHANNEL on LINE: a message, or that the subscription has taken effect. */
static void tell(RedisSubLine *line, Str channel, Str message, bool is_gap)
{
    RedisSubs *subs = line->redis->subs;

    for (RedisSub *sub = subs->first; sub; sub = subs->deliver_next) {
        subs->deliver_next = sub->next_;
        if (sub->line_ != line || !sub->is_asked_ || !str_eq(sub->channel, channel))
            continue;
        if (is_gap)
            sub->is_live_ = true;
        sub->on_message(sub->ctx, message, is_gap);
    }
    subs->deliver_next = NULL;
}

/* The server has ended the subscription by itself: the slot has moved away. */
static void ended(RedisSubLine *line, Str channel)
{
    for (RedisSub *sub = line->redis->subs->first; sub; sub = sub->next_) {
        if (sub->line_ != line || !sub->is_live_ || !str_eq(sub->channel, channel))
            continue;
        sub->is_live_ = false;
        sub->is_asked_ = false;
        sub->line_ = NULL;
        sl_cond_wake_one(&line->changed);
        redis_topology_refresh(line->redis);
    }
}

/* A SUBSCRIBE was refused, which may be any that is not live: they are asked anew. */
static int take_refusal(RedisSubLine *line, Str words)
{
    Redis *redis = line->redis;

    redis_say(redis->last_error, "%s: %.*s", line->node->name, (int) MIN(words.len, (size_t) 120),
              words.data);
    redis_topology_refresh(redis);
    return fail(-ERR_UNAVAILABLE, "subscribe: %.*s", (int) MIN(words.len, (size_t) 120),
                words.data);
}

static int take_message(RedisSubLine *line, Str frame)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = LIMIT_RESP_FRAME_BYTES };
    RespValue value;
    Str kind;
    int r;

    r = resp_decode(&arena, frame, &value);
    if (r < 0)
        return r;
    if (value.type == RESP_ERROR)
        return take_refusal(line, value.text);
    kind = resp_item(&value, 0)->text;
    if (str_eq_c(kind, "message") || str_eq_c(kind, "smessage"))
        tell(line, resp_item(&value, 1)->text, resp_item(&value, 2)->text, false);
    else if (str_eq_c(kind, "subscribe") || str_eq_c(kind, "ssubscribe"))
        tell(line, resp_item(&value, 1)->text, str_from("", 0), true);
    else if (str_eq_c(kind, "sunsubscribe"))
        ended(line, resp_item(&value, 1)->text);
    return 0; /* unsubscribe, pong */
}

SUSPENDS static int read_messages(RedisSubLine *line)
{
    Str frame;
    int r;

    for (;;) {
        r = redis_line_frame(&line->line, &frame);
        if (r < 0)
            return r;
        line->heard_ns = sl_now_ns();
        r = take_message(line, frame);
        if (r < 0)
            return r;
    }
}

/* ---- the writer ----------------------------------------------------------------------------- */

SUSPENDS static int flush(RedisSubLine *line)
{
    AUTO(buf_deinit) Buf out = line->out;
    int r;

    buf_init(&line->out, OUT_BYTES_MAX);
    r = buf_check(&out);
    return r < 0 ? r : stream_write_all(line->line.stream, out.data, out.len);
}

/* When to look at the line's silence. */
static int64_t look_at_ns(const RedisSubLine *line)
{
    if (line->asked_ns > line->heard_ns)
        return line->asked_ns + line->redis->opts.answer_ms * NS_PER_MS;
    return line->heard_ns + LIMIT_REDIS_SUB_PING_MS * NS_PER_MS;
}

SUSPENDS static int write_asks(RedisSubLine *line)
{
    sl_scope scope;
    int r = 0;

    for (;;) {
        if (line->out.len > 0)
            r = flush(line);
        if (r == 0 && !has_any(line))
            r = fail(-ERR_CLOSED, "nobody hears it");
        if (r < 0)
            return r;
        sl_scope_begin(&scope, .deadline_ns = look_at_ns(line));
        if (line->out.len == 0 && !line->out.is_failed)
            r = sl_cond_wait(&line->changed);
        r = sl_scope_end(&scope, r);
        if (r == -ECANCELED)
            return r;
        r = 0;
        if (sl_now_ns() < look_at_ns(line))
            continue;
        if (line->asked_ns > line->heard_ns)
            return fail(-ERR_UNAVAILABLE, "no answer on the connection for messages");
        say(line, "PING", str_from("", 0));
    }
}

SUSPENDS static int writer_run(void *arg)
{
    RedisSubLine *line = arg;

    if (write_asks(line) != -ECANCELED)
        stream_abort(line->line.stream); /* the reader ends with it */
    return 0;
}

/* ---- a line --------------------------------------------------------------------------------- */

SUSPENDS static int serve(RedisSubLine *line)
{
    AUTO(sl_nursery_close)
    sl_nursery *nursery = sl_nursery_open(.name = "redis messages", .keep_going = true);

    (void) sl_spawn(nursery, writer_run, line, .name = "redis asker"); /* close tells */
    return read_messages(line);
}

SUSPENDS static int connect_and_serve(RedisSubLine *line)
{
    Redis *redis = line->redis;
    RedisGreeting greeting;
    int r;

    r = redis_line_open(redis, &line->node->host, REDIS_LINE_NODE, &line->line, &greeting);
    if (r < 0)
        return r;
    buf_reset(&line->out);
    line->is_up = true;
    line->heard_ns = sl_now_ns();
    line->asked_ns = 0;
    assign_all(redis);
    r = serve(line);
    line->is_up = false;
    if (line->heard_ns > line->asked_ns)
        line->failures = 0;
    redis_line_close(&line->line);
    return r;
}

static void forget_line(RedisSubLine *line)
{
    for (RedisSub *sub = line->redis->subs->first; sub; sub = sub->next_) {
        if (sub->line_ != line)
            continue;
        sub->is_asked_ = false;
        sub->is_live_ = false;
    }
}

SUSPENDS static int line_run(void *arg)
{
    RedisSubLine *line = arg;
    int r = 0;

    while (has_any(line)) {
        r = connect_and_serve(line);
        forget_line(line);
        if (r == -ECANCELED || !has_any(line))
            break;
        redis_say(line->redis->last_error, "%s: messages: %.120s", line->node->name, err_text(r));
        redis_topology_lost(line->node);
        r = sl_sleep_ms(redis_backoff_ms(++line->failures));
        if (r < 0)
            break;
        assign_all(line->redis);
    }
    line->is_running = false;
    return 0;
}

/* ---- the face ------------------------------------------------------------------------------- */

static RedisSubLine *find_idle(Redis *redis)
{
    for (RedisSub *sub = redis->subs->first; sub; sub = sub->next_)
        if (sub->line_ && !sub->line_->is_running)
            return sub->line_;
    return NULL;
}

int redis_subs_run(void *arg)
{
    Redis *redis = arg;
    RedisSubLine *line;
    int r;

    for (;;) {
        while ((line = find_idle(redis))) {
            line->is_running = true;
            r = sl_spawn(redis->fibers, line_run, line, .name = "redis messages");
            if (r < 0)
                return r;
        }
        r = sl_cond_wait(&redis->subs->wanted);
        if (r < 0)
            return r;
    }
}

void redis_subs_init(Redis *redis)
{
    redis->subs = mem_new(RedisSubs);
}

void redis_subs_free(Redis *redis)
{
    for (size_t i = 0; i < redis->n_nodes; i++) {
        if (redis->nodes[i]->sub)
            buf_deinit(&redis->nodes[i]->sub->out);
        mem_free(redis->nodes[i]->sub);
    }
    mem_free(redis->subs);
}

void redis_subs_moved(Redis *redis)
{
    assign_all(redis);
}

void redis_subscribe(Redis *redis, RedisSub *sub)
{
    ASSERT(sub->on_message && sub->channel.len > 0);
    sub->line_ = NULL;
    sub->is_asked_ = false;
    sub->is_live_ = false;
    sub->next_ = redis->subs->first;
    redis->subs->first = sub;
    assign(redis, sub);
}

void redis_unsubscribe(Redis *redis, RedisSub *sub)
{
    RedisSub **at = &redis->subs->first;

    while (*at && *at != sub)
        at = &(*at)->next_;
    if (!*at)
        return;
    *at = sub->next_;
    if (redis->subs->deliver_next == sub)
        redis->subs->deliver_next = sub->next_;
    leave(redis, sub);
}
