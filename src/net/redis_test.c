/*
 * The client of Redis against a real server: TCP and Unix socket, users, a server that stops, goes
 * on, dies and comes back, connections that are killed, many fibers on several loops.
 */
#include "net/redis_world_int.h"

#include "base/limits.h"

/* ---- the world ------------------------------------------------------------------------------ */

typedef struct World {
    Server server;
    sl_nursery *nursery;
    Redis *redis;
    SUSPENDS void (*check)(struct World *world);
    SUSPENDS void (*prepare)(struct World *world); /* more arguments for the server */
    RedisOpts opts;
    RedisUrl url;
    bool is_unix, is_unstarted;
} World;

SUSPENDS static void world_run_checks(World *world)
{
    world->url = world->is_unix ? server_url_unix(&world->server) : server_url(&world->server);
    world->opts.url = &world->url;
    if (!world->is_unstarted)
        EXPECT_OK(redis_start(&world->redis, world->nursery, &world->opts));
    if (world->redis || world->is_unstarted)
        world->check(world);
    redis_stop(world->redis);
    world->redis = NULL;
}

SUSPENDS static int world_run(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int r;

    world->nursery = nursery;
    server_init(&world->server, sl_loop_name());
    if (world->prepare)
        world->prepare(world);
    r = server_launch(&world->server);
    EXPECT_OK(r);
    if (r == 0)
        world_run_checks(world);
    server_kill(&world->server);
    return sl_nursery_join(nursery);
}

static void on_loops(World world)
{
    static const enum sl_loop_kind kinds[] = { SL_LOOP_EPOLL, SL_LOOP_URING };

    if (!test_redis_program()) {
        test_skip(TEST_NO_REDIS);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        World copy = world;
        int r = sl_run(world_run, &copy, .loop = kinds[i]);

        if (r != -ERR_UNSUPPORTED) /* no io_uring here */
            EXPECT_OK(r);
    }
}

/* ---- plain ---------------------------------------------------------------------------------- */

SUSPENDS static void check_plain(World *world)
{
    RedisAbout about;
    AUTO(ask_deinit) Ask wrong = { .argc = 0 };

    EXPECT_ANSWER(world->redis, "SET a 1", "OK");
    EXPECT_ANSWER(world->redis, "INCR a", "2");
    EXPECT_ANSWER(world->redis, "GET a", "2");
    EXPECT_EQ(ask(world->redis, &wrong, "LPUSH a x"), REDIS_REFUSED);
    EXPECT(resp_is_error(&wrong.call.reply, "WRONGTYPE"));
    redis_about(world->redis, &about);
    EXPECT(about.is_connected);
    EXPECT(!about.is_cluster);
    EXPECT(about.version >= 0x060200);
    EXPECT_EQ(about.protocol, 3);
    EXPECT_EQ(about.calls, 4);
    EXPECT_EQ(about.n_nodes, 1);
}

TEST(tcp)
{
    on_loops((World){ .check = check_plain });
}

TEST(unix_socket)
{
    on_loops((World){ .check = check_plain, .is_unix = true });
}

/* ---- messages ------------------------------------------------------------------------------- */

typedef struct Heard {
    size_t gaps, messages;
    char last[32];
    sl_cond changed;
} Heard;

static void on_message(void *ctx, Str message, bool is_gap)
{
    Heard *heard = ctx;

    if (is_gap) {
        heard->gaps++;
    } else {
        heard->messages++;
        (void) snprintf(heard->last, sizeof(heard->last), "%.*s", (int) message.len, message.data);
    }
    sl_cond_wake_all(&heard->changed);
}

SUSPENDS static int hear(Heard *heard, size_t gaps, size_t messages)
{
    sl_scope scope;
    int r = 0;

    sl_scope_begin(&scope, .timeout_ms = 5000);
    while (r == 0 && (heard->gaps < gaps || heard->messages < messages))
        r = sl_cond_wait(&heard->changed);
    return sl_scope_end(&scope, r);
}

SUSPENDS static void check_messages(World *world)
{
    Heard one = { .gaps = 0 }, two = { .gaps = 0 };
    RedisSub a = {
        .channel = STR("one"), .slot = REDIS_ANY, .on_message = on_message, .ctx = &one
    };
    RedisSub b = {
        .channel = STR("two"), .slot = REDIS_ANY, .on_message = on_message, .ctx = &two
    };

    redis_subscribe(world->redis, &a);
    redis_subscribe(world->redis, &b);
    EXPECT_OK(hear(&one, 1, 0));
    EXPECT_OK(hear(&two, 1, 0));
    EXPECT_ANSWER(world->redis, "PUBLISH one hello", "1");
    EXPECT_OK(hear(&one, 1, 1));
    EXPECT_C(one.last, "hello");
    EXPECT_EQ(two.messages, 0);

    /* A lost connection is a gap, and the messages go on. */
    EXPECT_ANSWER(world->redis, "CLIENT KILL TYPE pubsub", "1");
    EXPECT_OK(hear(&one, 2, 1));
    EXPECT_OK(hear(&two, 2, 0));
    EXPECT_ANSWER(world->redis, "PUBLISH two again", "1");
    EXPECT_OK(hear(&two, 2, 1));

    redis_unsubscribe(world->redis, &a);
    EXPECT_ANSWER(world->redis, "PUBLISH two last", "1");
    EXPECT_OK(hear(&two, 2, 2));
    EXPECT_ANSWER(world->redis, "PUBLISH one nobody", "0");
    redis_unsubscribe(world->redis, &b);
}

TEST(messages)
{
    on_loops((World){ .check = check_messages });
}

/* ---- users ---------------------------------------------------------------------------------- */

SUSPENDS static int start_with(World *world, const char *user, const char *password)
{
    RedisOpts opts = world->opts;
    RedisUrl url = world->url;
    Redis *redis = NULL;
    int r;

    url.user = str_from_c(user);
    url.password = str_from_c(password);
    opts.url = &url;
    r = redis_start(&redis, world->nursery, &opts);
    if (r == 0)
        EXPECT_ANSWER(redis, "ACL WHOAMI", user[0] ? user : "default");
    if (r == 0 && strcmp(password, "master") == 0)
        EXPECT_ANSWER(redis, "ACL SETUSER bob on >hush ~* +@all", "OK");
    redis_stop(redis);
    return r;
}

SUSPENDS static void prepare_password(World *world)
{
    server_arg(&world->server, "--requirepass");
    server_arg(&world->server, "master");
}

SUSPENDS static void check_users(World *world)
{
    EXPECT_ERR(start_with(world, "", ""), -ERR_FORBIDDEN, "default");
    EXPECT_ERR(start_with(world, "", "guess"), -ERR_FORBIDDEN, "default");
    EXPECT_OK(start_with(world, "", "master"));
    EXPECT_OK(start_with(world, "bob", "hush"));
    EXPECT_ERR(start_with(world, "bob", "guess"), -ERR_FORBIDDEN, "bob");
    EXPECT(!strstr(err_text(-ERR_FORBIDDEN), "guess"));
    EXPECT_ERR(start_with(world, "nobody", "hush"), -ERR_FORBIDDEN, "nobody");
}

TEST(users)
{
    on_loops((World){ .check = check_users, .prepare = prepare_password, .is_unstarted = true });
}

SUSPENDS static void check_refusals(World *world)
{
    RedisOpts opts = world->opts;
    RedisUrl url = world->url;
    Redis *redis = NULL;

    opts.url = &url;
    url.db = 99;
    EXPECT_ERR(redis_start(&redis, world->nursery, &opts), -ERR_USAGE, "database 99");
    url = server_url(&world->server);
    url.n_hosts = 2;
    url.hosts[1] = url.hosts[0];
    EXPECT_ERR(redis_start(&redis, world->nursery, &opts), -ERR_USAGE, "entrances");
    server_kill(&world->server);
    url.n_hosts = 1;
    EXPECT_ERR(redis_start(&redis, world->nursery, &opts), -ERR_UNAVAILABLE, "127.0.0.1");
}

TEST(refusals_at_start)
{
    on_loops((World){ .check = check_refusals, .is_unstarted = true });
}

/* ---- servers that stop, die and come back --------------------------------------------------- */

SUSPENDS static int resume_soon(void *arg)
{
    World *world = arg;
    RedisAbout about;
    int r = 0;

    /* Stopped until the client has noticed. */
    do {
        r = sl_sleep_ms(5);
        redis_about(world->redis, &about);
    } while (r == 0 && about.is_connected);
    server_signal(&world->server, SIGCONT);
    return r;
}

SUSPENDS static void check_frozen(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(arena_deinit) Arena arena = { .max_bytes = 64 << 10 };
    char again[2] = "0";
    Str argv[] = { STR("ECHO"), str_from(again, 1) };
    RedisCall call = {
        .argv = argv, .argc = 2, .slot = REDIS_ANY, .again = again, .arena = &arena
    };
    AUTO(ask_deinit) Ask hasty = { .argc = 0 };
    RedisAbout about;

    server_signal(&world->server, SIGSTOP);
    ask_init(&hasty, "GET x");
    hasty.call.patience_ms = 30;
    EXPECT_ERR(redis_call(world->redis, &hasty.call), -ERR_UNAVAILABLE, "no answer");
    sl_spawn(nursery, resume_soon, world);
    EXPECT_OK(redis_call(world->redis, &call));
    EXPECT(call.sends >= 2);
    EXPECT_STR(call.reply.text, str_from_c("1")); /* what the server was sent the second time */
    EXPECT_OK(sl_nursery_join(nursery));
    redis_about(world->redis, &about);
    EXPECT(about.reconnects >= 1);
    EXPECT(about.resent >= 1);
    EXPECT(strstr(about.last_error, "no answer") || strstr(about.last_error, "no connection"));
}

TEST(frozen_server)
{
    on_loops((World){ .check = check_frozen, .opts = { .answer_ms = 100, .connect_ms = 100 } });
}

typedef struct OneCall {
    World *world;
    const char *words;
    bool is_once;
    int r;
    char text[200];
} OneCall;

SUSPENDS static int call_once(void *arg)
{
    OneCall *one = arg;
    AUTO(ask_deinit) Ask call = { .argc = 0 };

    ask_init(&call, one->words);
    call.call.is_once = one->is_once;
    one->r = redis_call(one->world->redis, &call.call);
    if (one->r < 0)
        (void) snprintf(one->text, sizeof(one->text), "%s", err_text(one->r));
    return 0;
}

SUSPENDS static int wait_until_down(World *world)
{
    RedisAbout about;
    int r;

    do {
        r = sl_sleep_ms(2);
        redis_about(world->redis, &about);
    } while (r == 0 && about.is_connected);
    return r;
}

SUSPENDS static void check_killed(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    OneCall once = { .world = world, .words = "BLPOP none 0", .is_once = true };
    OneCall waits[8];

    sl_spawn(nursery, call_once, &once);
    EXPECT_OK(sl_sleep_ms(20)); /* it is on its way; also right if it is not */
    server_kill(&world->server);
    EXPECT_OK(wait_until_down(world));
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        waits[i] = (OneCall){ .world = world, .words = "SET a 1", .is_once = i % 2 == 0 };
        sl_spawn(nursery, call_once, &waits[i]);
    }
    EXPECT_OK(sl_sleep_ms(20));
    EXPECT_OK(server_launch(&world->server));
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(once.r, -ERR_UNAVAILABLE);
    EXPECT(strstr(once.text, "the answer was lost"));
    for (size_t i = 0; i < ARRAY_LEN(waits); i++)
        EXPECT_EQ(waits[i].r, 0); /* never sent before: also those that may be sent once */
}

TEST(killed_and_started_again)
{
    on_loops((World){ .check = check_killed });
}

typedef struct Caller {
    Redis *redis;
    size_t n;
    int errors;
    const bool *is_over;
} Caller;

SUSPENDS static int count_up(void *arg)
{
    Caller *caller = arg;

    for (size_t i = 0; i < caller->n && !(caller->is_over && *caller->is_over); i++) {
        AUTO(ask_deinit) Ask one = { .argc = 0 };
        char want[32];

        (void) snprintf(want, sizeof(want), "ECHO %p-%zu", arg, i);
        if (ask(caller->redis, &one, want) != 0 ||
            !str_eq_c(one.call.reply.text, want + strlen("ECHO ")))
            caller->errors++;
    }
    return 0;
}

SUSPENDS static void check_cut(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    RedisOpts opts = world->opts;
    Caller callers[16];
    Redis *killer = NULL;
    RedisAbout about;
    bool is_over = false;
    char kill_words[64];

    opts.client_name = "killer";
    EXPECT_OK(redis_start(&killer, world->nursery, &opts));
    for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
        callers[i] = (Caller){ .redis = world->redis, .n = SIZE_MAX, .is_over = &is_over };
        sl_spawn(nursery, count_up, &callers[i]);
    }
    (void) snprintf(kill_words, sizeof(kill_words), "CLIENT KILL TYPE normal");
    for (int i = 0; i < 1000; i++) {
        AUTO(ask_deinit) Ask one = { .argc = 0 };

        EXPECT_OK(ask(killer, &one, kill_words));
        EXPECT_OK(sl_sleep_ms(5));
        redis_about(world->redis, &about);
        if (about.reconnects >= 5)
            break;
    }
    is_over = true;
    EXPECT_OK(sl_nursery_join(nursery));
    for (size_t i = 0; i < ARRAY_LEN(callers); i++)
        EXPECT_EQ(callers[i].errors, 0);
    EXPECT(about.reconnects >= 5);
    redis_stop(killer);
}

TEST(cut_connections)
{
    on_loops((World){ .check = check_cut });
}

/* ---- callers that leave --------------------------------------------------------------------- */

SUSPENDS static void check_cancelled(World *world)
{
    for (int i = 0; i < 2; i++) {
        AUTO(ask_deinit) Ask slow = { .argc = 0 };
        sl_scope scope;
        char words[64];
        int r;

        sl_scope_begin(&scope, .timeout_ms = 10);
        r = ask(world->redis, &slow, "BLPOP none 0.05");
        r = sl_scope_end(&scope, r);
        EXPECT_EQ(r, -ETIMEDOUT);
        (void) snprintf(words, sizeof(words), "ECHO %d", i);
        EXPECT_ANSWER(world->redis, words, words + strlen("ECHO "));
    }
}

TEST(cancelled_callers)
{
    on_loops((World){ .check = check_cancelled });
}

/* ---- many ----------------------------------------------------------------------------------- */

SUSPENDS static void check_many(World *world)
{
    enum { N = 300 };
    Ask *asks = mem_new_array(Ask, N);
    RedisCall *calls = mem_new_array(RedisCall, N);
    int *rs = mem_new_array(int, N);
    int wrong = 0;

    for (int i = 0; i < N; i++) {
        ask_init(&asks[i], i % 100 == 99 ? "HGET counter x" : "INCR counter");
        calls[i] = asks[i].call;
    }
    EXPECT_OK(redis_call_many(world->redis, calls, rs, N));
    for (int i = 0; i < N; i++) {
        if (i % 100 == 99)
            wrong += rs[i] != REDIS_REFUSED;
        else
            wrong += rs[i] != 0 || calls[i].reply.number != i + 1 - i / 100;
        ask_deinit(&asks[i]);
    }
    EXPECT_EQ(wrong, 0);
    mem_free(asks);
    mem_free(calls);
    mem_free(rs);
}

TEST(many_at_once)
{
    on_loops((World){ .check = check_many });
}

/* A client on a loop of its own, with 32 fibers. */
SUSPENDS static int loop_part(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(sl_nursery_close) sl_nursery *fibers = sl_nursery_open();
    RedisOpts opts = world->opts;
    Caller callers[32];
    Redis *redis = NULL;
    int errors = 0;
    int r;

    r = redis_start(&redis, nursery, &opts);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
        callers[i] = (Caller){ .redis = redis, .n = 100 };
        sl_spawn(fibers, count_up, &callers[i]);
    }
    r = sl_nursery_join(fibers);
    for (size_t i = 0; i < ARRAY_LEN(callers); i++)
        errors += callers[i].errors;
    redis_stop(redis);
    return r < 0 ? r : errors;
}

typedef struct Part {
    World *world;
    size_t index;
    int r;
} Part;

SUSPENDS static int run_part(void *arg)
{
    Part *part = arg;

    part->r = sl_call_on(part->index, loop_part, part->world, "part");
    return 0;
}

SUSPENDS static void check_loops(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Part parts[3];

    for (size_t i = 0; i < sl_loop_count(); i++) {
        parts[i] = (Part){ .world = world, .index = i };
        sl_spawn(nursery, run_part, &parts[i]);
    }
    EXPECT_OK(sl_nursery_join(nursery));
    for (size_t i = 0; i < sl_loop_count(); i++)
        EXPECT_EQ(parts[i].r, 0);
}

TEST(several_loops)
{
    World world = { .check = check_loops };

    if (!test_redis_program()) {
        test_skip(TEST_NO_REDIS);
        return;
    }
    EXPECT_OK(sl_run(world_run, &world, .loops = 3));
}

/* ---- durability ----------------------------------------------------------------------------- */

SUSPENDS static int set_write(Redis *redis, const char *words)
{
    AUTO(ask_deinit) Ask one = { .argc = 0 };

    ask_init(&one, words);
    one.call.is_write = true;
    return redis_call(redis, &one.call);
}

/* A replica takes its time: to catch up, and where many processes share few processors. */
SUSPENDS static int write_until_confirmed(Redis *redis, const char *words)
{
    int r = -1;

    for (int i = 0; i < 30 && r < 0; i++)
        r = set_write(redis, words);
    return r;
}

SUSPENDS static void check_replicas(World *world)
{
    Server replica;
    RedisOpts opts = world->opts;
    Redis *redis = NULL;

    server_init(&replica, "replica");
    server_arg(&replica, "--replicaof");
    server_arg(&replica, "127.0.0.1");
    server_arg(&replica, world->server.port_text);
    EXPECT_OK(server_launch(&replica));
    opts.durability = REDIS_WAIT;
    opts.replicas = 1;
    EXPECT_OK(redis_start(&redis, world->nursery, &opts));
    EXPECT_OK(write_until_confirmed(redis, "SET a 2"));
    server_signal(&replica, SIGSTOP);
    EXPECT_ERR(set_write(redis, "SET a 3"), -ERR_UNAVAILABLE,
               "written, but only 0 of 1 replicas confirmed");
    EXPECT_ANSWER(redis, "GET a", "3"); /* what is no write waits for nobody */
    EXPECT_EQ(set_write(redis, "LPUSH a x"), REDIS_REFUSED);
    server_signal(&replica, SIGCONT);
    EXPECT_OK(write_until_confirmed(redis, "SET a 4"));
    redis_stop(redis);
    server_kill(&replica);
}

SUSPENDS static void prepare_replicas(World *world)
{
    server_arg(&world->server, "--repl-diskless-sync-delay");
    server_arg(&world->server, "0");
}

TEST(writes_that_wait_for_replicas)
{
    on_loops((World){
        .check = check_replicas, .prepare = prepare_replicas, .opts = { .answer_ms = 800 } });
}

SUSPENDS static void check_aof(World *world)
{
    RedisOpts opts = world->opts;
    Redis *redis = NULL;
    RedisAbout about;

    opts.durability = REDIS_WAITAOF;
    EXPECT_OK(redis_start(&redis, world->nursery, &opts));
    redis_about(redis, &about);
    if (about.has_waitaof)
        EXPECT_OK(set_write(redis, "SET a 1"));
    else
        EXPECT_ERR(set_write(redis, "SET a 1"), -ERR_UNSUPPORTED, "written, but");
    redis_stop(redis);
}

SUSPENDS static void prepare_aof(World *world)
{
    server_arg(&world->server, "--appendonly");
    server_arg(&world->server, "yes");
}

TEST(writes_that_wait_for_the_disk)
{
    on_loops((World){ .check = check_aof, .prepare = prepare_aof });
}

TEST_MAIN()
