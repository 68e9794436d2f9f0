/*
 * The client of Redis behind Sentinel: a master, two replicas and a sentinel on loopback. The
 * master dies, and the one after it is demoted while it lives: calls go on at the new one.
 */
#include "net/redis_world_int.h"

#define SERVERS 3

typedef struct World {
    Server servers[SERVERS]; /* the first is the master at first */
    Server sentinel;
    sl_nursery *nursery;
    Redis *redis;
    RedisUrl url;
} World;

/* A client of one server that is none of those under test's. */
SUSPENDS static int wait_for_info(World *world, const RedisUrl *url, const char *section,
                                  const char *part)
{
    Redis *redis = NULL;
    int r;

    r = redis_start(&redis, world->nursery, &(RedisOpts){ .url = url });
    for (int i = 0; i < 6000 && r >= 0; i++) {
        AUTO(ask_deinit) Ask one = { .argc = 0 };
        char words[64];

        (void) snprintf(words, sizeof(words), "INFO %s", section);
        r = ask(redis, &one, words);
        if (r == 0 && str_contains(one.call.reply.text, str_from_c(part))) {
            redis_stop(redis);
            return 0;
        }
        r = sl_sleep_ms(10);
    }
    redis_stop(redis);
    return r < 0 ? r : fail(-ERR_UNAVAILABLE, "it never says %s", part);
}

SUSPENDS static int launch_servers(World *world)
{
    static const char *const names[] = { "one", "two", "three" };
    int r = 0;

    for (size_t i = 0; i < SERVERS && r == 0; i++) {
        Server *server = &world->servers[i];

        server_init(server, names[i]);
        server_arg(server, "--repl-diskless-sync-delay");
        server_arg(server, "0");
        if (i > 0) {
            server_arg(server, "--replicaof");
            server_arg(server, "127.0.0.1");
            server_arg(server, world->servers[0].port_text);
        }
        r = server_launch(server);
    }
    for (size_t i = 1; i < SERVERS && r == 0; i++) {
        RedisUrl url = server_url(&world->servers[i]);

        r = wait_for_info(world, &url, "replication", "master_link_status:up");
    }
    return r;
}

/* A sentinel wants its configuration in a file that it may write. */
SUSPENDS static int launch_sentinel(World *world)
{
    Server *server = &world->sentinel;
    char text[512];
    FILE *file;

    *server = (Server){ .port = test_port(), .is_tcp_only = true };
    (void) mkdir("sentinel", 0700);
    (void) snprintf(server->path, sizeof(server->path), "sentinel/sentinel.conf");
    (void) snprintf(text, sizeof(text),
                    "port %u\nbind 127.0.0.1\ndir %s/sentinel\n"
                    "sentinel monitor it 127.0.0.1 %u 1\n"
                    "sentinel down-after-milliseconds it 300\n"
                    "sentinel failover-timeout it 2000\n",
                    server->port, test_dir(), world->servers[0].port);
    file = fopen(server->path, "w");
    if (!file)
        return fail_errno("%s", server->path);
    (void) fputs(text, file); /* the server refuses half a file */
    (void) fclose(file);
    server_arg(server, test_redis_program());
    server_arg(server, server->path);
    server_arg(server, "--sentinel");
    return server_launch(server);
}

/* Send COMMAND to the sentinel until its answer has PART. */
SUSPENDS static int ask_sentinel_until(World *world, const char *command, const char *part)
{
    char text[64], answer[4096] = "";
    NetAddress address;
    int r;

    (void) snprintf(text, sizeof(text), "127.0.0.1:%u", world->sentinel.port);
    r = net_address_parse(str_from_c(text), &address);
    for (int i = 0; i < 3000 && r >= 0; i++) {
        Stream *stream = NULL;
        ssize_t n = 0;

        r = stream_connect(&address, &stream);
        if (r == 0)
            r = stream_write_all(stream, command, strlen(command));
        if (r == 0)
            n = stream_read(stream, answer, sizeof(answer) - 1);
        stream_close(stream);
        answer[n > 0 ? n : 0] = 0;
        if (strstr(answer, part))
            return 0;
        r = sl_sleep_ms(20);
    }
    return r < 0 ? r : fail(-ERR_UNAVAILABLE, "the sentinel says: %.200s", answer);
}

SUSPENDS static int launch(World *world)
{
    int r;

    r = launch_servers(world);
    if (r == 0)
        r = launch_sentinel(world);
    /* Before that it could promote nobody. */
    return r < 0 ? r : ask_sentinel_until(world, "INFO sentinel\r\n", "slaves=2");
}

/* ---- checks --------------------------------------------------------------------------------- */

static const char *node_port(const Redis *redis)
{
    return strrchr(redis_node_name(redis, 0), ':') + 1;
}

SUSPENDS static void check_start(World *world)
{
    RedisOpts opts = { .url = &world->url, .answer_ms = 500, .connect_ms = 500 };
    RedisUrl wrong;

    world->url = (RedisUrl){ .is_sentinel = true, .n_hosts = 2, .master = STR("it") };
    world->url.hosts[0] = (RedisHost){ .name = STR("127.0.0.1"), .port = 1 }; /* nobody */
    world->url.hosts[1] = (RedisHost){ .name = STR("127.0.0.1"), .port = world->sentinel.port };
    EXPECT_OK(redis_start(&world->redis, world->nursery, &opts));
    if (world->redis)
        EXPECT_C(node_port(world->redis), world->servers[0].port_text);

    wrong = world->url;
    wrong.master = str_from_c("other");
    opts.url = &wrong;
    EXPECT_ERR(redis_start(&(Redis *){ NULL }, world->nursery, &opts), -ERR_UNAVAILABLE,
               "no master called other");
}

/* Which of the servers the client uses. */
static size_t find_master(const World *world)
{
    for (size_t i = 0; i < SERVERS; i++)
        if (strcmp(node_port(world->redis), world->servers[i].port_text) == 0)
            return i;
    return SERVERS;
}

SUSPENDS static void check_killed(World *world)
{
    EXPECT_ANSWER(world->redis, "SET a 1", "OK");
    server_kill(&world->servers[0]);
    EXPECT_ANSWER(world->redis, "SET a 2", "OK");
    EXPECT(find_master(world) == 1 || find_master(world) == 2);
    EXPECT_ANSWER(world->redis, "GET a", "2");
}

/* Sentinel is told to change places: the master goes on as if nothing had been, and what is written
 * to it is lost. So the client must hear of it from Sentinel. */
SUSPENDS static void check_demoted(World *world)
{
    size_t old = find_master(world);
    RedisUrl url;

    if (old >= SERVERS)
        return;
    url = server_url(&world->servers[3 - old]); /* the other of 1 and 2 */
    EXPECT_OK(wait_for_info(world, &url, "replication", "master_link_status:up"));
    EXPECT_OK(ask_sentinel_until(world, "SENTINEL FAILOVER it\r\n", "+OK"));
    EXPECT_OK(wait_for_info(world, &url, "replication", "role:master"));
    for (int i = 0; i < 500 && find_master(world) == old; i++)
        EXPECT_OK(sl_sleep_ms(10));
    EXPECT_EQ(find_master(world), 3 - old);
    EXPECT_ANSWER(world->redis, "SET a 3", "OK");
    EXPECT_ANSWER(world->redis, "GET a", "3");
}

SUSPENDS static int world_run(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int r;

    world->nursery = nursery;
    r = launch(world);
    EXPECT_OK(r);
    if (r == 0)
        check_start(world);
    if (world->redis) {
        check_killed(world);
        check_demoted(world);
    }
    redis_stop(world->redis);
    server_kill(&world->sentinel);
    for (size_t i = 0; i < SERVERS; i++)
        server_kill(&world->servers[i]);
    return sl_nursery_join(nursery);
}

TEST(sentinel)
{
    World world = { .redis = NULL };

    if (!test_redis_program()) {
        test_skip(TEST_NO_REDIS);
        return;
    }
    EXPECT_OK(sl_run(world_run, &world));
}

TEST_MAIN()
