/*
 * For the tests of redis: a small server inside the test, on the simulated network, and callers.
 *
 * It answers greetings as Redis does and hands every other command to the test, which writes what
 * it likes. A test runs on every loop; on the simulated one, which wakes fibers in any order, time
 * costs nothing.
 */
#pragma once

#include "net/redis_int.h"

#include "base/macro.h"
#include "base/mem.h"
#include "base/test.h"
#include "net/sim_net.h"

/* ---- the server ----------------------------------------------------------------------------- */

typedef struct Fake Fake;

typedef struct FakeConn {
    Fake *fake;
    Stream *stream;
    RedisLine line;
    size_t number; /* 1 for the first */
} FakeConn;

/* Answer a command that is no greeting: 0, or 1 to close. NAME is its first word, ARG its last. */
typedef SUSPENDS int (*FakeServe)(FakeConn *conn, Str name, Str arg);

struct Fake {
    SimNet *net;
    SimNetOpts net_opts;
    Listener *listener;
    sl_nursery *nursery;
    Redis *redis;
    Stream *client; /* the last connection's other end */
    FakeServe serve;
    RedisOpts opts;
    RedisUrl url;
    SUSPENDS void (*check)(Fake *fake);
    const char *info;
    Buf seen; /* last words of all commands that were answered by serve, with spaces between */
    size_t n_connections, n_commands;
    size_t ups, downs;
    bool is_old;       /* knows no HELLO */
    bool is_refusing;  /* its AUTH */
    bool is_unstarted; /* the check starts the client by itself */
    bool is_sim_only;
};

static const char fake_info[] = "redis_version:7.0.15\r\nredis_mode:standalone\r\nloading:0\r\n";

SUSPENDS static inline int reply(FakeConn *conn, const char *text)
{
    return stream_write_all(conn->stream, text, strlen(text));
}

SUSPENDS static inline int reply_bulk(FakeConn *conn, Str text)
{
    AUTO(buf_deinit) Buf out = { .len = 0 };

    buf_printf(&out, "$%zu\r\n", text.len);
    buf_add_str(&out, text);
    buf_add_c(&out, "\r\n");
    return stream_write_all(conn->stream, out.data, out.len);
}

/* The usual answers to a greeting; 2 when it is none. */
SUSPENDS static inline int greet(FakeConn *conn, Str name)
{
    Fake *fake = conn->fake;

    if (str_eq_c(name, "HELLO") && fake->is_old)
        return reply(conn, "-ERR unknown command `HELLO`, with args beginning with: `3`\r\n");
    if (str_eq_c(name, "HELLO") && fake->is_refusing)
        return reply(conn, "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    if (str_eq_c(name, "HELLO"))
        return reply(conn, "%1\r\n+proto\r\n:3\r\n");
    if (str_eq_c(name, "AUTH") && fake->is_refusing)
        return reply(conn, "-ERR invalid password\r\n");
    if (str_eq_c(name, "AUTH") || str_eq_c(name, "CLIENT"))
        return reply(conn, "+OK\r\n");
    if (str_eq_c(name, "INFO"))
        return reply_bulk(conn, str_from_c(fake->info ?: fake_info));
    return 2;
}

SUSPENDS static inline int talk(FakeConn *conn)
{
    for (;;) {
        AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
        RespValue command;
        Str frame, arg;
        int r;

        r = redis_line_frame(&conn->line, &frame);
        if (r == 0)
            r = resp_decode(&arena, frame, &command);
        if (r < 0)
            return r;
        r = greet(conn, resp_item(&command, 0)->text);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        arg = resp_item(&command, command.n - 1)->text;
        conn->fake->n_commands++;
        buf_add_str(&conn->fake->seen, arg);
        if (command.n == 3 && str_eq_c(resp_item(&command, 1)->text, "1"))
            buf_add_char(&conn->fake->seen, '!'); /* sent again, and says so */
        buf_add_char(&conn->fake->seen, ' ');
        r = conn->fake->serve(conn, resp_item(&command, 0)->text, arg);
        if (r != 0)
            return r;
    }
}

SUSPENDS static inline int serve_one(void *arg)
{
    FakeConn *conn = arg;

    (void) talk(conn); /* ends when either end does */
    redis_line_close(&conn->line);
    mem_free(conn);
    return 0;
}

SUSPENDS static inline int accept_all(void *arg)
{
    Fake *fake = arg;

    for (;;) {
        FakeConn *conn = mem_new(FakeConn);
        int r = listener_accept(fake->listener, &conn->stream);

        if (r < 0) {
            mem_free(conn);
            return r;
        }
        conn->fake = fake;
        conn->line.stream = conn->stream;
        conn->number = ++fake->n_connections;
        r = sl_spawn(fake->nursery, serve_one, conn);
        if (r < 0)
            return r;
    }
}

SUSPENDS static inline int fake_connect(void *ctx, const RedisHost *host, Stream **ret_stream)
{
    Fake *fake = ctx;
    int r = sim_net_connect(fake->net, "redis", ret_stream);

    (void) host;
    if (r == 0)
        fake->client = *ret_stream;
    return r;
}

static inline void on_state(void *ctx, const char *node, bool is_up)
{
    Fake *fake = ctx;

    (void) node;
    fake->ups += is_up;
    fake->downs += !is_up;
}

SUSPENDS static inline int fake_start(Fake *fake)
{
    fake->url.n_hosts = 1;
    fake->url.hosts[0] = (RedisHost){ .name = STR("redis"), .port = 1 };
    fake->opts.url = &fake->url;
    fake->opts.connect = fake_connect;
    fake->opts.connect_ctx = fake;
    fake->opts.on_state = on_state;
    fake->opts.state_ctx = fake;
    return redis_start(&fake->redis, fake->nursery, &fake->opts);
}

SUSPENDS static inline int fake_run(void *arg)
{
    Fake *fake = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.keep_going = true);
    int r;

    fake->nursery = nursery;
    fake->net = sim_net_new(&fake->net_opts);
    r = sim_net_listen(fake->net, "redis", &fake->listener);
    if (r == 0)
        r = sl_spawn(nursery, accept_all, fake);
    if (r == 0 && !fake->is_unstarted)
        r = fake_start(fake);
    EXPECT_OK(r);
    if (r == 0)
        fake->check(fake);
    redis_stop(fake->redis);
    sl_nursery_cancel(nursery);
    (void) sl_nursery_join(nursery); /* the servers end as they may */
    listener_close(fake->listener);
    buf_deinit(&fake->seen);
    sl_nursery_close(TAKE(nursery));
    sim_net_free(fake->net);
    return 0;
}

/* ---- callers -------------------------------------------------------------------------------- */

typedef struct Caller {
    Fake *fake;
    char word[32]; /* what it sends; the server echoes it as a rule */
    char again[2]; /* in front of the word */
    bool is_once;
    int64_t patience_ms;
    int r;
    unsigned sends;
    char got[256]; /* answer or words */
} Caller;

SUSPENDS static inline int call(void *arg)
{
    Caller *caller = arg;
    AUTO(arena_deinit) Arena arena = { .max_bytes = 64 << 10 };
    Str argv[] = { STR("ECHO"), str_from(caller->again, 1), str_from_c(caller->word) };
    RedisCall one = { .argv = argv,
                      .argc = 3,
                      .slot = REDIS_ANY,
                      .is_once = caller->is_once,
                      .patience_ms = caller->patience_ms,
                      .again = caller->again,
                      .arena = &arena };
    Str text;

    caller->r = redis_call(caller->fake->redis, &one);
    caller->sends = one.sends;
    text = caller->r < 0 ? str_from_c(err_text(caller->r)) : one.reply.text;
    (void) snprintf(caller->got, sizeof(caller->got), "%.*s", (int) MIN(text.len, (size_t) 250),
                    text.data);
    return 0;
}

static inline Caller caller_of(Fake *fake, int number)
{
    Caller caller = { .fake = fake, .again = "0" };

    (void) snprintf(caller.word, sizeof(caller.word), "w%d", number);
    return caller;
}

/* N calls of one fiber, in order. */
SUSPENDS static inline int call_row(Fake *fake, Caller *callers, size_t n)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
    AUTO(mem_free) RedisCall *calls = mem_new_array(RedisCall, n);
    AUTO(mem_free) Str *argv = mem_new_array(Str, n * 3);
    AUTO(mem_free) int *rs = mem_new_array(int, n);
    int r;

    for (size_t i = 0; i < n; i++) {
        callers[i] = caller_of(fake, (int) i);
        argv[i * 3] = str_from_c("ECHO");
        argv[i * 3 + 1] = str_from(callers[i].again, 1);
        argv[i * 3 + 2] = str_from_c(callers[i].word);
        calls[i] = (RedisCall){ .argv = &argv[i * 3],
                                .argc = 3,
                                .slot = REDIS_ANY,
                                .again = callers[i].again,
                                .arena = &arena };
    }
    r = redis_call_many(fake->redis, calls, rs, n);
    for (size_t i = 0; i < n; i++) {
        callers[i].r = rs[i];
        callers[i].sends = calls[i].sends;
        (void) snprintf(callers[i].got, sizeof(callers[i].got), "%.*s",
                        (int) calls[i].reply.text.len, calls[i].reply.text.data);
    }
    return r;
}

/* N fibers, a call each. */
SUSPENDS static inline int call_all(Fake *fake, Caller *callers, size_t n)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    for (size_t i = 0; i < n; i++) {
        callers[i] = caller_of(fake, (int) i);
        (void) sl_spawn(nursery, call, &callers[i]); /* join tells */
    }
    return sl_nursery_join(nursery);
}

/* Call once; the answer is the word. */
SUSPENDS static inline void expect_echo(Fake *fake, int number)
{
    Caller caller = caller_of(fake, number);

    (void) call(&caller);
    EXPECT_EQ(caller.r, 0);
    EXPECT_C(caller.got, caller.word);
}

SUSPENDS static inline int serve_echo(FakeConn *conn, Str name, Str arg)
{
    (void) name;
    return reply_bulk(conn, arg);
}
