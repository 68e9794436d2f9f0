/*
 * The simulated Redis on the network: connections, faults, crash and failover.
 *
 * Each connection has a fiber that reads commands and runs them one by one, and one that writes
 * what there is to write: answers, and messages of channels, in the order in which they were made.
 * A fault is decided before each command that came from a client.
 */
#include "../sim/redis_call.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>

enum { ARGS_MAX = 65536, STACK_BYTES = 256 << 10 };

static bool happens(double p)
{
    return p > 0 && (double) (sl_random() >> 11) * 0x1p-53 < p;
}

int64_t sim_redis_now_ms(const SimRedis *redis)
{
    return sl_wall_ms() + redis->step_ms;
}

/* ---- which dataset --------------------------------------------------------------------------- */

static bool split_is_on(const SimRedis *redis)
{
    return redis->split && redis->split_until_ns > sl_now_ns();
}

Data *redis_data_of(SimRedis *redis, const RedisConn *conn)
{
    return conn && conn->is_old && split_is_on(redis) ? redis->split : &redis->data;
}

bool redis_is_read_only(const SimRedis *redis, const RedisConn *conn)
{
    return conn && conn->is_old && !split_is_on(redis);
}

/* What persistence has to do since the last command. */
static void sync_data(SimRedis *redis)
{
    int64_t now = sl_now_ns(), lag = redis->opts.lag_ms * NS_PER_MS, keep_ns = now;

    if (lag > 0)
        data_mark(&redis->data);
    if (redis->opts.sync == SIM_REDIS_EVERYSEC && now - redis->synced_ns >= NS_PER_S) {
        redis->synced_ns = now;
        data_mark(&redis->data);
    }
    if (redis->opts.sync == SIM_REDIS_EVERYSEC)
        keep_ns = redis->synced_ns;
    data_forget_undo(&redis->data, MIN(keep_ns, now - lag));
}

/* ---- one command ----------------------------------------------------------------------------- */

/* Cut the first command off TEXT: how many bytes it has; 0 when it is not whole, -1 for nonsense.
 */
static ssize_t command_cut(Str text, Str *argv, size_t *ret_argc)
{
    Str rest = text, line = str_cut(rest, '\n', &rest);
    int64_t n, len;

    if (line.len + 1 > text.len)
        return 0;
    if (line.len < 2 || line.data[0] != '*' ||
        str_to_i64(str_sub(line, 1, line.len - 2), 1, ARGS_MAX, &n) < 0)
        return -1;
    for (int64_t i = 0; i < n; i++) {
        line = str_cut(rest, '\n', &rest);
        if (line.data + line.len >= text.data + text.len || line.len == 0)
            return 0;
        if (line.data[0] != '$' ||
            str_to_i64(str_sub(line, 1, line.len - 2), 0, 512 << 20, &len) < 0)
            return -1;
        if (rest.len < (size_t) len + 2)
            return 0;
        argv[i] = str_sub(rest, 0, (size_t) len);
        rest = str_sub(rest, (size_t) len + 2, SIZE_MAX);
    }
    *ret_argc = (size_t) n;
    return (ssize_t) (text.len - rest.len);
}

static void command_run(SimRedis *redis, RedisConn *conn, const Str *argv, size_t argc, Buf *out)
{
    Call call = { .redis = redis,
                  .data = redis_data_of(redis, conn),
                  .conn = conn,
                  .out = out,
                  .is_resp3 = conn && conn->is_resp3,
                  .now_ms = sim_redis_now_ms(redis),
                  .argv = argv,
                  .argc = argc };

    SL_NO_SUSPEND
    {
        redis->is_for_old = conn && conn->is_old;
        sync_data(redis);
        (void) redis_call_run(&call);
        sync_data(redis);
    }
    redis->stats.commands++;
}

void sim_redis_do(SimRedis *redis, const Str *argv, size_t argc, Buf *ret_reply)
{
    command_run(redis, NULL, argv, argc, ret_reply);
}

/* A command whose client has gone: its bytes were on their way, or lay in the server's buffer. */
typedef struct Late {
    SimRedis *redis;
    Buf text;
    int64_t delay_ns;
    uint64_t life; /* of the server, that it was sent to */
} Late;

static int late_run(void *arg)
{
    Late *late = arg;
    SimRedis *redis = late->redis;
    AUTO(buf_deinit) Buf out = { 0 };
    Str *argv = mem_new_array(Str, ARGS_MAX);
    size_t argc = 0;

    if (sl_sleep_ns(late->delay_ns) == 0 && late->life == redis->lives &&
        command_cut(buf_str(&late->text), argv, &argc) > 0)
        command_run(redis, NULL, argv, argc, &out);
    mem_free(argv);
    buf_deinit(&late->text);
    mem_free(late);
    redis->late--;
    return 0;
}

static void run_late(SimRedis *redis, Str text)
{
    Late *late = mem_new(Late);

    late->redis = redis;
    late->life = redis->lives;
    late->delay_ns = (int64_t) (sl_random() % (3000 * (uint64_t) NS_PER_MS));
    buf_add_str(&late->text, text);
    redis->late++;
    if (sl_spawn(redis->opts.nursery, late_run, late, .name = "late", .stack_bytes = STACK_BYTES) ==
        0)
        return;
    redis->late--;
    buf_deinit(&late->text);
    mem_free(late);
}

/* ---- faults ---------------------------------------------------------------------------------- */

typedef enum Strike {
    STRIKE_NONE,
    STRIKE_BEFORE,
    STRIKE_AFTER,
    STRIKE_INSIDE,
    STRIKE_MUTE_BEFORE,
    STRIKE_MUTE_AFTER,
    STRIKE_LATE,
} Strike;

static Strike draw_strike(SimRedis *redis)
{
    const SimRedisFaults *faults = &redis->faults;
    Strike strike = happens(faults->cut_before)   ? STRIKE_BEFORE
                    : happens(faults->cut_after)  ? STRIKE_AFTER
                    : happens(faults->cut_inside) ? STRIKE_INSIDE
                    : happens(faults->mute)
                        ? (sl_random() & 1 ? STRIKE_MUTE_BEFORE : STRIKE_MUTE_AFTER)
                    : happens(faults->late) ? STRIKE_LATE
                                            : STRIKE_NONE;

    redis->stats.faults += strike != STRIKE_NONE;
    if (happens(faults->forget)) {
        redis->stats.faults++;
        script_forget(redis);
        if (sl_random() & 1)
            function_forget(redis);
    }
    if (happens(faults->full) && redis->full_until_ns < sl_now_ns()) {
        redis->stats.faults++;
        redis->full_until_ns =
            sl_now_ns() + (int64_t) (sl_random() % (uint64_t) (faults->full_ms * NS_PER_MS + 1));
    }
    return strike;
}

static void conn_end(RedisConn *conn)
{
    conn->is_closing = true;
    conn->is_reset = sl_random() & 1;
    sl_cond_wake_all(&conn->has_output);
}

/* One command with what befalls it. */
static void conn_command(RedisConn *conn, const Str *argv, size_t argc, Str text)
{
    Strike strike = draw_strike(conn->redis);
    size_t at = conn->out.len;

    if (strike == STRIKE_BEFORE)
        return conn_end(conn);
    if (strike == STRIKE_LATE) {
        run_late(conn->redis, text);
        return conn_end(conn);
    }
    if (strike == STRIKE_MUTE_BEFORE)
        return sim_stream_silence(conn->stream);
    command_run(conn->redis, conn, argv, argc, &conn->out);
    if (strike == STRIKE_MUTE_AFTER)
        sim_stream_silence(conn->stream);
    if (strike == STRIKE_AFTER)
        conn->write_at_most = at;
    if (strike == STRIKE_INSIDE)
        conn->write_at_most = at + (conn->out.len - at) / 2;
    if (strike == STRIKE_AFTER || strike == STRIKE_INSIDE)
        conn_end(conn);
    sl_cond_wake_all(&conn->has_output);
}

/* Until the server may work for CONN: frozen, slow. */
SUSPENDS static int conn_pause(RedisConn *conn)
{
    const SimRedis *redis = conn->redis;

    if (happens(redis->faults.delay) &&
        sl_sleep_ns((int64_t) (sl_random() % (uint64_t) (redis->faults.delay_ms * NS_PER_MS + 1))) <
            0)
        return -ECANCELED;
    while (redis->frozen_until_ns > sl_now_ns()) {
        if (sl_sleep_until_ns(redis->frozen_until_ns) < 0)
            return -ECANCELED;
    }
    return 0;
}

/* WAIT and WAITAOF look after the replica has followed, or the time is over. */
SUSPENDS static int conn_wait(RedisConn *conn, const Str *argv, size_t argc)
{
    int64_t timeout_ms = 0, until = conn->last_write_ns + conn->redis->opts.lag_ms * NS_PER_MS;

    if (argc != 3 || !arg_is(argv[0], "wait"))
        return 0;
    if (str_to_i64(argv[2], 0, 1000000, &timeout_ms) < 0)
        return 0;
    if (conn->is_old || conn->redis->opts.lag_ms == 0)
        until = INT64_MAX / 2;
    if (timeout_ms > 0)
        until = MIN(until, sl_now_ns() + timeout_ms * NS_PER_MS);
    return until > sl_now_ns() ? sl_sleep_until_ns(until) : 0;
}

/* ---- connections ----------------------------------------------------------------------------- */

SUSPENDS static int conn_write(RedisConn *conn)
{
    AUTO(buf_deinit) Buf out = { 0 };
    int r = 0;

    while (conn->out.len == 0 && !conn->is_closing) {
        if (sl_cond_wait(&conn->has_output) < 0)
            return -ECANCELED;
    }
    out = conn->out;
    conn->out = (Buf){ 0 };
    if (conn->write_at_most < out.len)
        out.len = conn->write_at_most;
    if (out.len > 0)
        r = stream_write_all(conn->stream, out.data, out.len);
    return conn->is_closing && r == 0 ? SL_CLOSED : r;
}

static int writer(void *arg)
{
    RedisConn *conn = arg;
    int r;

    while ((r = conn_write(conn)) == 0) {}
    if (conn->is_reset)
        sim_stream_cut(conn->stream);
    else if (r == SL_CLOSED)
        (void) stream_shutdown(conn->stream);
    conn->is_closing = true;
    return -ECANCELED;
}

SUSPENDS static int conn_commands(RedisConn *conn, Str *argv)
{
    while (!conn->is_closing) {
        size_t argc = 0;
        ssize_t len = command_cut(buf_str(&conn->in), argv, &argc);

        if (len == 0)
            return 0;
        if (len < 0)
            return -EPROTO;
        if (conn_pause(conn) < 0 || conn_wait(conn, argv, argc) < 0)
            return -ECANCELED;
        if (conn->is_closing)
            return 0;
        conn_command(conn, argv, argc, str_sub(buf_str(&conn->in), 0, (size_t) len));
        buf_consume(&conn->in, (size_t) len);
    }
    return 0;
}

static int reader(void *arg)
{
    RedisConn *conn = arg;
    Str *argv = mem_new_array(Str, ARGS_MAX);
    ssize_t n = 1;

    while (!conn->is_closing && n > 0) {
        char *room = buf_reserve(&conn->in, 16384);

        n = stream_read(conn->stream, room, 16384);
        if (n > 0)
            conn->in.len += (size_t) n;
        if (n > 0 && conn_commands(conn, argv) < 0)
            break;
    }
    conn->is_closing = true;
    sl_cond_wake_all(&conn->has_output);
    mem_free(argv);
    return 0;
}

static void conn_free(RedisConn *conn)
{
    while (conn->channels)
        (void) conn_subscribe(conn, conn->channels->name, false);
    list_remove(&conn->link);
    text_drop(&conn->client);
    buf_deinit(&conn->in);
    buf_deinit(&conn->out);
    mem_free(conn);
}

static int conn_main(void *arg)
{
    RedisConn *conn = arg;

    {
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "redis-conn");

        sl_spawn(nursery, writer, conn, .name = "redis-writer");
        sl_spawn(nursery, reader, conn, .name = "redis-reader", .stack_bytes = STACK_BYTES);
        if (sl_nursery_join(nursery) < 0)
            conn->is_closing = true;
    }
    stream_close(conn->stream);
    conn_free(conn);
    return 0;
}

SUSPENDS static void conn_add(SimRedis *redis, TAKES Stream *stream, const void *owner)
{
    RedisConn *conn = mem_new(RedisConn);

    conn->redis = redis;
    conn->stream = stream;
    conn->owner = owner;
    conn->id = ++redis->next_conn;
    conn->write_at_most = SIZE_MAX;
    list_push_back(&redis->conns, &conn->link);
    if (sl_spawn(redis->opts.nursery, conn_main, conn, .name = "redis-conn") < 0) {
        stream_close(stream);
        conn_free(conn);
    }
}

int sim_redis_connect(SimRedis *redis, const void *owner, Stream **ret_stream)
{
    Stream *far;
    int r = sl_yield();

    if (r < 0)
        return r;
    if (redis->down_until_ns > sl_now_ns())
        return fail(-ECONNREFUSED, "connect to %s: connection refused", redis->opts.name);
    sim_net_pair(redis->opts.net, ret_stream, &far);
    conn_add(redis, far, owner);
    return 0;
}

void sim_redis_sever(SimRedis *redis, const void *owner, bool is_silent)
{
    list_each(&redis->conns, link) {
        RedisConn *conn = LIST_ITEM(link, RedisConn, link);

        if (conn->owner != owner)
            continue;
        if (is_silent) {
            sim_stream_silence(conn->stream);
            continue;
        }
        conn->write_at_most = 0;
        conn->is_closing = true;
        sim_stream_cut(conn->stream);
        sl_cond_wake_all(&conn->has_output);
    }
}

SUSPENDS static int accept_all(SimRedis *redis)
{
    Stream *stream;
    int r;

    while ((r = listener_accept(redis->listener, &stream)) == 0) {
        if (redis->down_until_ns > sl_now_ns()) {
            stream_abort(stream);
            stream_close(stream);
            continue;
        }
        conn_add(redis, stream, NULL);
    }
    return r;
}

static int acceptor(void *arg)
{
    SimRedis *redis = arg;
    sl_scope scope;
    int r;

    sl_scope_begin(&scope);
    redis->accepting = &scope;
    r = accept_all(redis);
    redis->accepting = NULL;
    r = sl_scope_end(&scope, r);
    return r == -ECANCELED ? r : 0;
}

/* ---- messages -------------------------------------------------------------------------------- */

size_t conn_subscriptions(const RedisConn *conn)
{
    size_t n = 0;

    for (const Channel *channel = conn->channels; channel; channel = channel->next)
        n++;
    return n;
}

bool conn_subscribe(RedisConn *conn, Str name, bool is_on)
{
    Channel **slot = &conn->channels, *channel;

    while (*slot && !str_eq((*slot)->name, name))
        slot = &(*slot)->next;
    if (is_on == (*slot != NULL))
        return false;
    if (is_on) {
        channel = mem_new(Channel);
        channel->name = text_own(name);
        *slot = channel;
        return true;
    }
    channel = *slot;
    *slot = channel->next;
    text_drop(&channel->name);
    mem_free(channel);
    return true;
}

static bool conn_hears(const RedisConn *conn, Str name)
{
    for (const Channel *channel = conn->channels; channel; channel = channel->next) {
        if (str_eq(channel->name, name))
            return true;
    }
    return false;
}

size_t conn_publish(SimRedis *redis, Str channel, Str message)
{
    size_t n = 0;

    list_each(&redis->conns, link) {
        RedisConn *conn = LIST_ITEM(link, RedisConn, link);
        Call call = { .redis = redis, .out = &conn->out, .is_resp3 = conn->is_resp3 };

        if (conn->is_closing || conn->is_old != redis->is_for_old || !conn_hears(conn, channel))
            continue;
        say_push(&call, 3);
        say_c(&call, "message");
        say_text(&call, channel);
        say_text(&call, message);
        sl_cond_wake_all(&conn->has_output);
        n++;
        redis->stats.published++;
        if (redis->heard)
            redis->heard(redis->heard_ctx, conn->client, channel, message);
    }
    return n;
}

void sim_redis_on_message(SimRedis *redis, SimRedisHeard heard, void *ctx)
{
    redis->heard = heard;
    redis->heard_ctx = ctx;
}

/* ---- life ------------------------------------------------------------------------------------ */

int sim_redis_start(const SimRedisOpts *opts, SimRedis **ret_redis)
{
    SimRedis *redis = mem_new(SimRedis);
    int r;

    redis->opts = *opts;
    redis->synced_ns = sl_now_ns();
    redis->data.keeps_undo = opts->sync == SIM_REDIS_EVERYSEC || opts->lag_ms > 0;
    r = sim_net_listen(opts->net, opts->name, &redis->listener);
    if (r == 0)
        r = sl_spawn(opts->nursery, acceptor, redis, .name = "redis-acceptor");
    if (r < 0) {
        listener_close(redis->listener);
        mem_free(redis);
        return r;
    }
    *ret_redis = redis;
    return 0;
}

static void cut_all(SimRedis *redis)
{
    list_each(&redis->conns, link) {
        RedisConn *conn = LIST_ITEM(link, RedisConn, link);

        conn->write_at_most = 0;
        conn->is_closing = true;
        sim_stream_cut(conn->stream);
        sl_cond_wake_all(&conn->has_output);
    }
}

SUSPENDS static void wait_for_conns(SimRedis *redis)
{
    while (redis->conns.len > 0 || redis->late > 0 || redis->accepting) {
        if (sl_sleep_ms(1) < 0)
            return;
    }
}

static void drop_split(SimRedis *redis)
{
    if (!redis->split)
        return;
    data_deinit(redis->split);
    mem_free(redis->split);
    redis->split = NULL;
}

void sim_redis_stop(SimRedis *redis)
{
    if (!redis)
        return;
    redis->lives++;
    if (redis->accepting)
        sl_scope_cancel(redis->accepting);
    cut_all(redis);
    wait_for_conns(redis);
    listener_close(redis->listener);
    drop_split(redis);
    function_forget(redis);
    script_host_free(redis->scripts);
    data_deinit(&redis->data);
    map_deinit(&redis->commands);
    mem_free(redis);
}

void sim_redis_set_faults(SimRedis *redis, const SimRedisFaults *faults)
{
    redis->faults = *faults;
    redis->full_until_ns = 0;
}

int64_t sim_redis_crash(SimRedis *redis, int64_t down_ms, int64_t loading_ms)
{
    int64_t back_to_ns = INT64_MAX;

    redis->lives++;
    cut_all(redis);
    drop_split(redis);
    if (redis->opts.sync == SIM_REDIS_NONE) {
        back_to_ns = 0;
        data_clear(&redis->data);
        data_forget_undo(&redis->data, INT64_MAX);
        function_forget(redis);
    } else if (redis->opts.sync == SIM_REDIS_EVERYSEC &&
               data_undo(&redis->data, redis->synced_ns)) {
        back_to_ns = redis->synced_ns;
    }
    script_forget(redis);
    redis->stats.losses += back_to_ns != INT64_MAX;
    redis->frozen_until_ns = 0;
    redis->down_until_ns = sl_now_ns() + down_ms * NS_PER_MS;
    redis->loading_until_ns = redis->down_until_ns + loading_ms * NS_PER_MS;
    return back_to_ns;
}

int64_t sim_redis_fail_over(SimRedis *redis, int64_t split_ms)
{
    int64_t back_to_ns = sl_now_ns() - redis->opts.lag_ms * NS_PER_MS;
    Data *old = mem_new(Data);

    ASSERT(redis->opts.lag_ms > 0);
    drop_split(redis);
    data_copy(&redis->data, old);
    redis->split = old;
    redis->split_until_ns = sl_now_ns() + split_ms * NS_PER_MS;
    list_each(&redis->conns, link)
        LIST_ITEM(link, RedisConn, link)->is_old = true;
    redis->stats.losses += data_undo(&redis->data, back_to_ns);
    script_forget(redis);
    return back_to_ns;
}

void sim_redis_freeze(SimRedis *redis, int64_t ms)
{
    redis->frozen_until_ns = sl_now_ns() + ms * NS_PER_MS;
}

void sim_redis_flush_all(SimRedis *redis)
{
    data_clear(&redis->data);
    redis->stats.losses++;
}

void sim_redis_step_clock(SimRedis *redis, int64_t ms)
{
    redis->step_ms += ms;
}

void sim_redis_set_full(SimRedis *redis, bool is_full)
{
    redis->full_until_ns = is_full ? INT64_MAX : 0;
}

void sim_redis_stats(const SimRedis *redis, SimRedisStats *ret_stats)
{
    *ret_stats = redis->stats;
    ret_stats->keys = redis->data.keys.len;
    ret_stats->bytes = data_bytes(&redis->data);
}
