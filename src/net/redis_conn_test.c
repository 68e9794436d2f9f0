/*
 * The client of Redis against a small server inside the test, on the simulated network: what it
 * does when answers are cut, late, missing, wrong or not asked for. On every loop; on the
 * simulated one time costs nothing, so the waits of seconds are tested there.
 */
#include "net/redis_fake_int.h"

#include <stdlib.h>

static void on_loops(Fake fake)
{
    static const enum sl_loop_kind kinds[] = { SL_LOOP_SIM, SL_LOOP_EPOLL, SL_LOOP_URING };

    for (size_t i = 0; i < (fake.is_sim_only ? 1 : ARRAY_LEN(kinds)); i++) {
        Fake copy = fake;
        int r = sl_run(fake_run, &copy, .loop = kinds[i]);

        if (r != -ERR_UNSUPPORTED)
            EXPECT_OK(r);
    }
}

/* ---- one write for all ---------------------------------------------------------------------- */

SUSPENDS static void check_one_write(Fake *fake)
{
    enum { N = 64 };
    AUTO(mem_free) Caller *callers = mem_new_array(Caller, N);
    uint64_t writes = fake->client->writes;

    EXPECT_OK(call_all(fake, callers, N));
    for (size_t i = 0; i < N; i++) {
        EXPECT_EQ(callers[i].r, 0);
        EXPECT_C(callers[i].got, callers[i].word);
        EXPECT_EQ(callers[i].sends, 1);
    }
    if (strcmp(sl_loop_name(), "sim") != 0) /* which wakes fibers in any order */
        EXPECT_EQ(fake->client->writes - writes, 1);
    EXPECT_EQ(fake->ups, 1);
    EXPECT_EQ(fake->downs, 0);
}

TEST(fibers_share_a_write)
{
    on_loops((Fake){ .check = check_one_write, .serve = serve_echo });
}

/* ---- cut ------------------------------------------------------------------------------------ */

/* The first connection answers w0 and w1, and ends when it has all: answers are lost. */
SUSPENDS static int serve_and_cut(FakeConn *conn, Str name, Str arg)
{
    (void) name;
    if (conn->number > 1 || str_eq_c(arg, "w0") || str_eq_c(arg, "w1"))
        return reply_bulk(conn, arg);
    return str_eq_c(arg, "w4") ? 1 : 0;
}

SUSPENDS static void check_cut(Fake *fake)
{
    Caller callers[5];
    RedisAbout about;

    EXPECT_OK(call_row(fake, callers, ARRAY_LEN(callers)));
    for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
        EXPECT_EQ(callers[i].r, 0);
        EXPECT_C(callers[i].got, callers[i].word);
        EXPECT_EQ(callers[i].sends, i < 2 ? 1 : 2);
        EXPECT_C(callers[i].again, i < 2 ? "0" : "1");
    }
    EXPECT_STR(buf_str(&fake->seen), str_from_c("w0 w1 w2 w3 w4 w2! w3! w4! ")); /* N1 */
    redis_about(fake->redis, &about);
    EXPECT_EQ(about.reconnects, 1);
    EXPECT_EQ(about.resent, 3);
    EXPECT(strstr(about.last_error, "closed"));
    EXPECT_EQ(fake->downs, 1);
}

TEST(cut_after_the_command)
{
    on_loops((Fake){ .check = check_cut, .serve = serve_and_cut });
}

/* What came later goes out behind what was sent before. */
SUSPENDS static int serve_nothing_first(FakeConn *conn, Str name, Str arg)
{
    (void) name;
    if (conn->number > 1)
        return reply_bulk(conn, arg);
    return str_eq_c(arg, "w9") ? 1 : 0;
}

SUSPENDS static void check_order(Fake *fake)
{
    Caller callers[10];

    EXPECT_OK(call_row(fake, callers, ARRAY_LEN(callers)));
    EXPECT_STR(buf_str(&fake->seen), str_from_c("w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 "
                                                "w0! w1! w2! w3! w4! w5! w6! w7! w8! w9! "));
}

TEST(order_after_a_reconnect)
{
    on_loops((Fake){ .check = check_order, .serve = serve_nothing_first });
}

SUSPENDS static int serve_half(FakeConn *conn, Str name, Str arg)
{
    (void) name;
    if (conn->number > 1)
        return reply_bulk(conn, arg);
    (void) reply(conn, "$2\r\nw"); /* and no more */
    return 1;
}

SUSPENDS static void check_half(Fake *fake)
{
    expect_echo(fake, 0);
    EXPECT_EQ(fake->n_connections, 2);
}

TEST(cut_in_mid_answer)
{
    on_loops((Fake){ .check = check_half, .serve = serve_half });
}

SUSPENDS static void check_once(Fake *fake)
{
    Caller caller = caller_of(fake, 4);

    caller.is_once = true;
    (void) call(&caller);
    EXPECT_EQ(caller.r, -ERR_UNAVAILABLE);
    EXPECT(strstr(caller.got, "the answer was lost"));
    EXPECT_EQ(caller.sends, 1);
    expect_echo(fake, 5);
}

TEST(what_must_not_be_repeated)
{
    on_loops((Fake){ .check = check_once, .serve = serve_and_cut });
}

/* ---- silence -------------------------------------------------------------------------------- */

SUSPENDS static int serve_half_open(FakeConn *conn, Str name, Str arg)
{
    (void) name;
    if (conn->number == 1) {
        sim_stream_silence(conn->stream);
        return 0;
    }
    return reply_bulk(conn, arg);
}

SUSPENDS static void check_half_open(Fake *fake)
{
    RedisAbout about;

    expect_echo(fake, 0);
    redis_about(fake->redis, &about);
    EXPECT(about.reconnects >= 1);
    if (strcmp(sl_loop_name(), "sim") == 0)
        EXPECT_EQ(about.reconnects, 1); /* elsewhere 50 ms may pass before the answer is read */
    EXPECT(strstr(about.last_error, "no answer for 50 ms"));
}

TEST(half_open)
{
    on_loops(
        (Fake){ .check = check_half_open, .serve = serve_half_open, .opts = { .answer_ms = 50 } });
}

/* One byte at a time, slower than answer_ms as a whole: it is no silence. */
SUSPENDS static int serve_slowly(FakeConn *conn, Str name, Str arg)
{
    static const char text[] = "$20\r\naaaaaaaaaaaaaaaaaaaa\r\n";
    int r = 0;

    (void) name;
    (void) arg;
    for (size_t i = 0; i < sizeof(text) - 1 && r >= 0; i++) {
        r = sl_sleep_ms(300);
        if (r == 0)
            r = stream_write_all(conn->stream, &text[i], 1);
    }
    return r;
}

SUSPENDS static void check_slow(Fake *fake)
{
    Caller hasty = caller_of(fake, 0), patient = caller_of(fake, 1);
    RedisAbout about;

    hasty.patience_ms = 2000;
    (void) call(&hasty);
    EXPECT_EQ(hasty.r, -ERR_UNAVAILABLE);
    EXPECT(strstr(hasty.got, "no answer in time"));
    (void) call(&patient); /* the late answer was not taken for this one's: there are two of them */
    EXPECT_EQ(patient.r, 0);
    EXPECT_EQ(fake->n_commands, 2);
    redis_about(fake->redis, &about);
    EXPECT_EQ(about.reconnects, 0);
    EXPECT_EQ(fake->redis->n_pendings, 0);
}

TEST(slow_answers)
{
    on_loops((Fake){ .check = check_slow,
                     .serve = serve_slowly,
                     .is_sim_only = true,
                     .opts = { .answer_ms = 500 } });
}

/* A server that is away for an hour holds no calls of people who have gone. */
SUSPENDS static void check_away(Fake *fake)
{
    sim_net_set(fake->net, &(SimNetOpts){ .refuse = 1 });
    sim_stream_cut(fake->client);
    for (int i = 0; i < 50; i++) {
        Caller caller = caller_of(fake, i);

        caller.patience_ms = 60000;
        (void) call(&caller);
        EXPECT_EQ(caller.r, -ERR_UNAVAILABLE);
        EXPECT(strstr(caller.got, "refused"));
        EXPECT(caller.sends <= (i == 0)); /* the cut is noticed by writing */
    }
    EXPECT_EQ(fake->redis->n_pendings, 0);
    sim_net_set(fake->net, &(SimNetOpts){ .refuse = 0 });
    expect_echo(fake, 99);
    EXPECT_STR(buf_str(&fake->seen), str_from_c("w99 "));
}

TEST(server_that_is_away)
{
    on_loops((Fake){ .check = check_away, .serve = serve_echo, .is_sim_only = true });
}

/* ---- what is no answer ---------------------------------------------------------------------- */

SUSPENDS static int serve_garbage(FakeConn *conn, Str name, Str arg)
{
    static const char *const garbage[] = { "HTTP/1.1 400 Bad Request\r\n\r\n", "$-7\r\n",
                                           "*99999999\r\n", "$999999999999\r\n" };

    (void) name;
    if (conn->number <= ARRAY_LEN(garbage))
        return reply(conn, garbage[conn->number - 1]);
    return reply_bulk(conn, arg);
}

SUSPENDS static void check_garbage(Fake *fake)
{
    expect_echo(fake, 0);
    EXPECT_EQ(fake->n_connections, 5);
}

TEST(garbage)
{
    on_loops((Fake){ .check = check_garbage, .serve = serve_garbage });
}

SUSPENDS static int serve_too_much(FakeConn *conn, Str name, Str arg)
{
    int r = reply_bulk(conn, arg);

    (void) name;
    return r == 0 && conn->number == 1 ? reply(conn, "+what\r\n") : r;
}

SUSPENDS static void check_too_much(Fake *fake)
{
    RedisAbout about;

    expect_echo(fake, 0);
    for (int i = 0; i < 200 && fake->ups < 2; i++)
        EXPECT_OK(sl_sleep_ms(5));
    expect_echo(fake, 1);
    redis_about(fake->redis, &about);
    EXPECT(strstr(about.last_error, "nobody asked for"));
}

TEST(answer_that_nobody_asked_for)
{
    on_loops((Fake){ .check = check_too_much, .serve = serve_too_much });
}

SUSPENDS static int serve_pushes(FakeConn *conn, Str name, Str arg)
{
    int r = reply(conn, ">2\r\n+invalidate\r\n*1\r\n+a\r\n|1\r\n+ttl\r\n:3\r\n");

    (void) name;
    if (r == 0)
        r = reply_bulk(conn, arg);
    return r == 0 ? reply(conn, ">1\r\n+x\r\n") : r;
}

SUSPENDS static void check_pushes(Fake *fake)
{
    for (int i = 0; i < 5; i++)
        expect_echo(fake, i);
    EXPECT_EQ(fake->n_connections, 1);
}

TEST(pushes_between_answers)
{
    on_loops((Fake){ .check = check_pushes, .serve = serve_pushes });
}

/* Errors that pass: the client waits them out. */
SUSPENDS static int serve_passing(FakeConn *conn, Str name, Str arg)
{
    static const char *const errors[] = { "-LOADING Redis is loading the dataset in memory\r\n",
                                          "-READONLY You can't write against a replica.\r\n",
                                          "-TRYAGAIN Multiple keys request during rehashing\r\n",
                                          "-MASTERDOWN Link with MASTER is down\r\n",
                                          "-CLUSTERDOWN The cluster is down\r\n" };

    (void) name;
    if (conn->fake->n_commands <= ARRAY_LEN(errors))
        return reply(conn, errors[conn->fake->n_commands - 1]);
    return reply_bulk(conn, arg);
}

SUSPENDS static void check_passing(Fake *fake)
{
    Caller caller = caller_of(fake, 7);

    (void) call(&caller);
    EXPECT_EQ(caller.r, 0);
    EXPECT_C(caller.got, "w7");
    EXPECT_EQ(caller.sends, 6);
    EXPECT_C(caller.again, "0"); /* refused is not run */
}

TEST(errors_that_pass)
{
    on_loops((Fake){ .check = check_passing, .serve = serve_passing });
}

/* A master that has become a replica, and a name that leads to the new master from then on. */
SUSPENDS static int serve_demoted(FakeConn *conn, Str name, Str arg)
{
    (void) name;
    if (conn->number < 3)
        return reply(conn, "-READONLY You can't write against a replica.\r\n");
    return reply_bulk(conn, arg);
}

SUSPENDS static void check_demoted(Fake *fake)
{
    Caller caller = caller_of(fake, 7);

    (void) call(&caller);
    EXPECT_EQ(caller.r, 0);
    EXPECT_C(caller.got, "w7");
    EXPECT_EQ(fake->n_connections, 3);
}

TEST(a_server_that_became_a_replica_is_dialled_anew)
{
    on_loops((Fake){ .check = check_demoted, .serve = serve_demoted });
}

SUSPENDS static int serve_errors(FakeConn *conn, Str name, Str arg)
{
    (void) name;
    (void) arg;
    return reply(conn, "-NOSCRIPT No matching script\r\n");
}

SUSPENDS static void check_errors(Fake *fake)
{
    Caller caller = caller_of(fake, 7);

    (void) call(&caller);
    EXPECT_EQ(caller.r, REDIS_REFUSED);
    EXPECT_C(caller.got, "NOSCRIPT No matching script");
}

TEST(errors_that_are_the_callers)
{
    on_loops((Fake){ .check = check_errors, .serve = serve_errors });
}

/* ---- greetings ------------------------------------------------------------------------------ */

SUSPENDS static void check_old(Fake *fake)
{
    RedisAbout about;

    fake->url.password = str_from_c("hush");
    fake->opts.client_name = "us";
    EXPECT_OK(fake_start(fake));
    expect_echo(fake, 0);
    redis_about(fake->redis, &about);
    EXPECT_EQ(about.protocol, 2);
}

TEST(version_2_of_the_protocol)
{
    on_loops(
        (Fake){ .check = check_old, .serve = serve_echo, .is_old = true, .is_unstarted = true });
}

SUSPENDS static void check_refusing(Fake *fake)
{
    fake->url.password = str_from_c("hush");
    fake->url.user = str_from_c("bob");
    for (int i = 0; i < 2; i++) {
        int r = fake_start(fake);

        EXPECT_ERR(r, -ERR_FORBIDDEN, "bob");
        EXPECT(!strstr(err_text(r), "hush"));
        fake->is_old = true;
    }
}

TEST(refused_passwords)
{
    on_loops((Fake){
        .check = check_refusing, .serve = serve_echo, .is_refusing = true, .is_unstarted = true });
}

SUSPENDS static void check_wrong_servers(Fake *fake)
{
    fake->info = "redis_version:6.0.16\r\n";
    EXPECT_ERR(fake_start(fake), -ERR_UNSUPPORTED, "6.0 is too old");
    fake->info = "something:else\r\n";
    EXPECT_ERR(fake_start(fake), -ERR_UNSUPPORTED, "no Redis");
    fake->info = "redis_version:7.2.4\r\nloading:1\r\n";
    EXPECT_ERR(fake_start(fake), -ERR_UNAVAILABLE, "loading");
    fake->info = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n";
    EXPECT_OK(fake_start(fake));
    if (fake->redis) {
        RedisAbout about;

        redis_about(fake->redis, &about);
        EXPECT(about.is_valkey);
        EXPECT(about.has_waitaof);
        EXPECT_EQ(about.version, 0x070204);
    }
}

TEST(servers_that_will_not_do)
{
    on_loops((Fake){ .check = check_wrong_servers, .serve = serve_echo, .is_unstarted = true });
}

/* ---- callers that leave, clients that stop -------------------------------------------------- */

SUSPENDS static int serve_late(FakeConn *conn, Str name, Str arg)
{
    int r = str_eq_c(arg, "w0") ? sl_sleep_ms(30) : 0;

    (void) name;
    return r < 0 ? r : reply_bulk(conn, arg);
}

SUSPENDS static void check_cancelled(Fake *fake)
{
    Caller leaving = caller_of(fake, 0);
    sl_scope scope;

    sl_scope_begin(&scope, .timeout_ms = 5);
    (void) call(&leaving);
    EXPECT_EQ(sl_scope_end(&scope, leaving.r), -ETIMEDOUT);
    memset(&leaving, 'x', sizeof(leaving)); /* its argv has gone */
    expect_echo(fake, 1);
    EXPECT_EQ(fake->n_connections, 1);
    EXPECT_EQ(fake->redis->n_pendings, 0);
}

TEST(callers_that_leave)
{
    on_loops((Fake){ .check = check_cancelled, .serve = serve_late });
}

SUSPENDS static int serve_never(FakeConn *conn, Str name, Str arg)
{
    (void) conn;
    (void) name;
    (void) arg;
    return 0;
}

SUSPENDS static void check_stopped(Fake *fake)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Caller callers[5];

    for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
        callers[i] = caller_of(fake, (int) i);
        sl_spawn(nursery, call, &callers[i]);
    }
    while (fake->n_commands < ARRAY_LEN(callers))
        EXPECT_OK(sl_sleep_ms(1));
    redis_stop(TAKE(fake->redis));
    EXPECT_OK(sl_nursery_join(nursery));
    for (size_t i = 0; i < ARRAY_LEN(callers); i++)
        EXPECT_EQ(callers[i].r, -ERR_CLOSED);
}

TEST(stopped_with_calls_under_way)
{
    on_loops((Fake){ .check = check_stopped, .serve = serve_never });
}

/* ---- messages ------------------------------------------------------------------------------- */

typedef struct Heard {
    size_t gaps, messages;
} Heard;

static void on_message(void *ctx, Str message, bool is_gap)
{
    Heard *heard = ctx;

    (void) message;
    heard->gaps += is_gap;
    heard->messages += !is_gap;
}

/* Connections that hear messages: the first goes silent once it has one. */
SUSPENDS static int serve_messages(FakeConn *conn, Str name, Str arg)
{
    Fake *fake = conn->fake;
    int r;

    if (str_eq_c(name, "PING"))
        return fake->n_connections == conn->number && conn->number > 2 ? reply(conn, "+PONG\r\n")
                                                                       : 0;
    if (!str_eq_c(name, "SUBSCRIBE"))
        return reply_bulk(conn, arg);
    r = reply(conn, ">3\r\n+subscribe\r\n+news\r\n:1\r\n");
    return r < 0 ? r : reply(conn, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
}

SUSPENDS static void check_messages(Fake *fake)
{
    Heard heard = { .gaps = 0 };
    RedisSub sub = {
        .channel = STR("news"), .slot = REDIS_ANY, .on_message = on_message, .ctx = &heard
    };

    redis_subscribe(fake->redis, &sub);
    while (heard.messages < 1)
        EXPECT_OK(sl_sleep_ms(1));
    EXPECT_EQ(heard.gaps, 1);
    EXPECT_EQ(fake->n_connections, 2);
    EXPECT_OK(sl_sleep_ms(LIMIT_REDIS_SUB_PING_MS + LIMIT_REDIS_ANSWER_MS + 2000));
    EXPECT_EQ(heard.gaps, 2); /* nobody answered the PING: made anew */
    EXPECT_EQ(heard.messages, 2);
    EXPECT_EQ(fake->n_connections, 3);
    EXPECT_OK(sl_sleep_ms(LIMIT_REDIS_SUB_PING_MS * 10));
    EXPECT_EQ(fake->n_connections, 3); /* somebody answers: it stays */
    EXPECT(fake->n_commands <= 2 + 1 + 11);
    redis_unsubscribe(fake->redis, &sub);
}

TEST(connection_for_messages_that_is_half_open)
{
    on_loops((Fake){ .check = check_messages, .serve = serve_messages, .is_sim_only = true });
}

/* ---- all at once, on a bad network ---------------------------------------------------------- */

SUSPENDS static int call_often(void *arg)
{
    Caller *caller = arg;
    int wrong = 0;

    for (int i = 0; i < 100; i++) {
        Caller one = caller_of(caller->fake, i * 1000 + atoi(caller->word + 1));

        (void) call(&one);
        wrong += one.r != 0 || strcmp(one.got, one.word) != 0;
    }
    caller->r = wrong;
    return 0;
}

SUSPENDS static void check_bad_network(Fake *fake)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Caller callers[20];
    RedisAbout about;

    for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
        callers[i] = caller_of(fake, (int) i);
        sl_spawn(nursery, call_often, &callers[i]);
    }
    EXPECT_OK(sl_sleep_ms(1));
    sim_net_set(fake->net, &(SimNetOpts){ .latency_min_us = 50,
                                          .latency_max_us = 2000,
                                          .window_bytes = 300,
                                          .short_read = 0.3,
                                          .short_write = 0.3,
                                          .cut = 0.001,
                                          .silence = 0.0003,
                                          .refuse = 0.2 });
    EXPECT_OK(sl_nursery_join(nursery));
    for (size_t i = 0; i < ARRAY_LEN(callers); i++)
        EXPECT_EQ(callers[i].r, 0);
    redis_about(fake->redis, &about);
    EXPECT(about.reconnects > 0);
    EXPECT(about.resent > 0);
}

TEST(bad_network)
{
    on_loops((Fake){ .check = check_bad_network,
                     .serve = serve_echo,
                     .is_sim_only = true,
                     .opts = { .patience_ms = 600000 } });
}

TEST_MAIN()
