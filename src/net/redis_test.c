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

    if (!has_program("redis-server")) {
        test_skip("there is no redis-server here");
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

TEST_MAIN()
