/*
 * The client of Redis against a real cluster: three masters and a replica on loopback. A slot is
 * moved while calls to it are under way, a master dies and its replica takes over, shard channels
 * follow their slot.
 */
#include "net/redis_int.h"
#include "net/redis_world_int.h"

#define MASTERS     3
#define SERVERS     4 /* the last one is the first one's replica */
#define LOADERS     8
#define NODE_ID_LEN 40
#define BUS_BESIDE  10000 /* where a node talks to the others, above its port */

typedef struct World {
    Server servers[SERVERS];
    char ids[SERVERS][NODE_ID_LEN + 1];
    sl_nursery *nursery;
    Redis *redis;
    RedisUrl url;
    SUSPENDS void (*check)(struct World *world);
    bool is_done; /* loaders stop */
} World;

/* ---- the cluster ---------------------------------------------------------------------------- */

/* Ask a node by itself, on a connection of its own. */
SUSPENDS static int admin_argv(const Server *server, Arena *arena, RespValue *ret, size_t argc,
                               const Str *argv)
{
    char text[64];
    NetAddress address;
    RedisLine line = { .stream = NULL };
    int r;

    (void) snprintf(text, sizeof(text), "127.0.0.1:%u", server->port);
    r = net_address_parse(str_from_c(text), &address);
    if (r == 0)
        r = stream_connect(&address, &line.stream);
    if (r == 0)
        r = redis_line_ask(&line, arena, ret, argc, argv);
    redis_line_close(&line);
    if (r == 0 && ret->type == RESP_ERROR)
        r = fail(-ERR_UNAVAILABLE, "%.*s", (int) ret->text.len, ret->text.data);
    return r;
}

SUSPENDS static int admin(const Server *server, Arena *arena, RespValue *ret, const char *words)
{
    Str argv[16], rest = arena_copy(arena, str_from_c(words));
    size_t argc = 0;

    while (rest.len > 0 && argc < ARRAY_LEN(argv))
        argv[argc++] = str_cut(rest, ' ', &rest);
    return admin_argv(server, arena, ret, argc, argv);
}

SUSPENDS static int admin_do(const Server *server, const char *fmt, ...) SL_PRINTF(2, 3);
SUSPENDS static int admin_do(const Server *server, const char *fmt, ...)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
    RespValue value;
    char words[256];
    va_list args;

    va_start(args, fmt);
    (void) vsnprintf(words, sizeof(words), fmt, args);
    va_end(args);
    return admin(server, &arena, &value, words);
}

SUSPENDS static int add_slots(const Server *server, unsigned from, unsigned to)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 4 << 20 };
    AUTO(mem_free) Str *argv = mem_new_array(Str, to - from + 2);
    RespValue value;
    size_t argc = 0;

    argv[argc++] = str_from_c("CLUSTER");
    argv[argc++] = str_from_c("ADDSLOTS");
    for (unsigned slot = from; slot < to; slot++)
        argv[argc++] = arena_printf(&arena, "%u", slot);
    return admin_argv(server, &arena, &value, argc, argv);
}

SUSPENDS static int add_all_slots(const Server *server, unsigned from, unsigned to)
{
    int r = 0;

    for (; from < to && r == 0; from += 2000)
        r = add_slots(server, from, MIN(from + 2000, to));
    return r;
}

/* Wait until CLUSTER INFO or ROLE of SERVER has PART in it. */
SUSPENDS static int wait_for_words(const Server *server, const char *command, const char *part)
{
    int r = 0;

    for (int i = 0; i < 6000 && r == 0; i++) {
        AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
        RespValue value;

        if (admin(server, &arena, &value, command) == 0 &&
            str_contains(value.text, str_from_c(part)))
            return 0;
        r = sl_sleep_ms(10);
    }
    return r < 0 ? r : fail(-ERR_UNAVAILABLE, "%s never says %s", command, part);
}

SUSPENDS static int cluster_launch(World *world)
{
    int r = 0;

    for (size_t i = 0; i < SERVERS && r == 0; i++) {
        Server *server = &world->servers[i];
        char name[16];

        (void) snprintf(name, sizeof(name), "node%zu", i);
        server_init_at(server, name, test_port_pair(BUS_BESIDE));
        server_arg(server, "--cluster-enabled");
        server_arg(server, "yes");
        server_arg(server, "--cluster-node-timeout");
        server_arg(server, "600");
        server_arg(server, "--repl-diskless-sync-delay");
        server_arg(server, "0");
        r = server_launch(server);
    }
    return r;
}

SUSPENDS static int cluster_join(World *world)
{
    Server *servers = world->servers;
    int r = 0;

    for (size_t i = 0; i < SERVERS && r == 0; i++) {
        AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
        RespValue value;

        r = admin(&servers[i], &arena, &value, "CLUSTER MYID");
        if (r == 0)
            (void) snprintf(world->ids[i], sizeof(world->ids[i]), "%.*s", (int) value.text.len,
                            value.text.data);
        if (r == 0 && i < MASTERS)
            r = add_all_slots(&servers[i], (unsigned) (i * REDIS_SLOTS / MASTERS),
                              (unsigned) ((i + 1) * REDIS_SLOTS / MASTERS));
        if (r == 0)
            r = admin_do(&servers[i], "CLUSTER SET-CONFIG-EPOCH %zu", i + 1);
        if (r == 0 && i > 0)
            r = admin_do(&servers[i], "CLUSTER MEET 127.0.0.1 %u", servers[0].port);
    }
    for (size_t i = 0; i < SERVERS && r == 0; i++)
        r = wait_for_words(&servers[i], "CLUSTER INFO", "cluster_known_nodes:4");
    for (int i = 0; i < 200 && r == 0; i++) { /* the replica must know its master first */
        if (admin_do(&servers[MASTERS], "CLUSTER REPLICATE %s", world->ids[0]) == 0)
            break;
        r = sl_sleep_ms(10);
    }
    for (size_t i = 0; i < SERVERS && r == 0; i++)
        r = wait_for_words(&servers[i], "CLUSTER INFO", "cluster_state:ok");
    if (r == 0)
        r = wait_for_words(&servers[MASTERS], "INFO replication", "master_link_status:up");
    return r;
}

SUSPENDS static int world_run(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int r;

    world->nursery = nursery;
    r = cluster_launch(world);
    if (r == 0)
        r = cluster_join(world);
    EXPECT_OK(r);
    if (r == 0) {
        world->url = server_url(&world->servers[2]);
        r = redis_start(
            &world->redis, nursery,
            &(RedisOpts){ .url = &world->url, .patience_ms = 15000, .answer_ms = 1000 });
        EXPECT_OK(r);
    }
    if (r == 0)
        world->check(world);
    redis_stop(world->redis);
    for (size_t i = 0; i < SERVERS; i++)
        server_kill(&world->servers[i]);
    return sl_nursery_join(nursery);
}

/* ---- load ----------------------------------------------------------------------------------- */

typedef struct Loader {
    World *world;
    char key[32];
    int64_t answered; /* additions that the server confirmed */
    int errors;
    char words[200];
} Loader;

SUSPENDS static int load(void *arg)
{
    Loader *loader = arg;
    int r = 0;

    while (!loader->world->is_done && r >= 0) {
        AUTO(arena_deinit) Arena arena = { .max_bytes = 64 << 10 };
        Str argv[] = { STR("INCR"), str_from_c(loader->key) };
        RedisCall call = { .argv = argv,
                           .argc = 2,
                           .slot = redis_slot(str_from_c(loader->key)),
                           .is_write = true,
                           .arena = &arena };

        r = redis_call(loader->world->redis, &call);
        if (r == 0) {
            loader->answered++;
        } else {
            loader->errors++;
            (void) snprintf(loader->words, sizeof(loader->words), "%s",
                            r < 0 ? err_text(r) : arena_copy_c(&arena, call.reply.text));
            r = r < 0 ? r : 0;
        }
        if (r >= 0)
            r = sl_yield();
    }
    return 0;
}

/* The value of KEY, at wherever it is. */
SUSPENDS static int64_t value_of(Redis *redis, const char *key)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 64 << 10 };
    Str argv[] = { STR("GET"), str_from_c(key) };
    RedisCall call = { .argv = argv, .argc = 2, .slot = redis_slot(argv[1]), .arena = &arena };
    int64_t value = -1;

    if (redis_call(redis, &call) != 0 || !resp_to_number(&call.reply, &value))
        return -1;
    return value;
}

/* ---- checks --------------------------------------------------------------------------------- */

SUSPENDS static void check_map(World *world)
{
    RedisAbout about;
    int wrong = 0;

    redis_about(world->redis, &about);
    EXPECT(about.is_cluster);
    EXPECT(about.is_connected);
    EXPECT_EQ(about.n_nodes, MASTERS);
    for (int i = 0; i < 300; i++) {
        AUTO(arena_deinit) Arena arena = { .max_bytes = 64 << 10 };
        Str argv[] = { STR("SET"), arena_printf(&arena, "key%d", i), STR("1") };
        RedisCall call = { .argv = argv, .argc = 3, .slot = redis_slot(argv[1]), .arena = &arena };

        wrong += redis_call(world->redis, &call) != 0 || call.sends != 1;
    }
    EXPECT_EQ(wrong, 0);
    for (size_t i = 0; i < redis_n_nodes(world->redis); i++) {
        AUTO(ask_deinit) Ask one = { .argc = 0 };

        ask_init(&one, "DBSIZE");
        one.call.slot = REDIS_NODE(i);
        EXPECT_OK(redis_call(world->redis, &one.call));
        EXPECT(one.call.reply.number > 50 && one.call.reply.number < 150);
    }
}

/* Move SLOT with all its keys, one at a time, as redis-cli does. */
SUSPENDS static int move_slot(World *world, unsigned slot, size_t from, size_t to)
{
    Server *servers = world->servers;
    int r;

    r = admin_do(&servers[to], "CLUSTER SETSLOT %u IMPORTING %s", slot, world->ids[from]);
    if (r == 0)
        r = admin_do(&servers[from], "CLUSTER SETSLOT %u MIGRATING %s", slot, world->ids[to]);
    while (r == 0) {
        AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
        RespValue value;
        char words[64];

        (void) snprintf(words, sizeof(words), "CLUSTER GETKEYSINSLOT %u 1", slot);
        r = admin(&servers[from], &arena, &value, words);
        if (r < 0 || value.n == 0)
            break;
        r = admin_do(&servers[from], "MIGRATE 127.0.0.1 %u %.*s 0 5000", servers[to].port,
                     (int) value.items[0].text.len, value.items[0].text.data);
        if (r == 0)
            r = sl_sleep_ms(20); /* calls to keys that are still here and to those that are not */
    }
    if (r == 0)
        r = admin_do(&servers[to], "CLUSTER SETSLOT %u NODE %s", slot, world->ids[to]);
    if (r == 0)
        r = admin_do(&servers[from], "CLUSTER SETSLOT %u NODE %s", slot, world->ids[to]);
    return r;
}

/* One call to a key of the slot that is half moved; it must not wait for the move's end. */
SUSPENDS static void expect_half(World *world, const char *verb, const char *key, unsigned sends)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 64 << 10 };
    Str argv[] = { str_from_c(verb), str_from_c(key) };
    RedisCall call = {
        .argv = argv, .argc = 2, .slot = redis_slot(argv[1]), .patience_ms = 5000, .arena = &arena
    };

    EXPECT_OK(redis_call(world->redis, &call));
    EXPECT_EQ(call.sends, sends);
}

/* What is still there is answered there; what has gone, and what is new, by way of ASK. */
SUSPENDS static void check_half_moved(World *world)
{
    unsigned slot = redis_slot(str_from_c("{h}"));
    size_t from = (size_t) slot * MASTERS / REDIS_SLOTS, to = (from + 1) % MASTERS;
    Server *servers = world->servers;

    expect_half(world, "INCR", "{h}a", 1);
    expect_half(world, "INCR", "{h}b", 1);
    EXPECT_OK(admin_do(&servers[to], "CLUSTER SETSLOT %u IMPORTING %s", slot, world->ids[from]));
    EXPECT_OK(admin_do(&servers[from], "CLUSTER SETSLOT %u MIGRATING %s", slot, world->ids[to]));
    EXPECT_OK(admin_do(&servers[from], "MIGRATE 127.0.0.1 %u {h}b 0 5000", servers[to].port));
    for (int i = 0; i < 2; i++) {
        expect_half(world, "INCR", "{h}a", 1);
        expect_half(world, "INCR", "{h}b", 2);
        expect_half(world, "INCR", "{h}new", 2);
    }
    EXPECT_OK(move_slot(world, slot, from, to));
    EXPECT_EQ(value_of(world->redis, "{h}a"), 3);
    EXPECT_EQ(value_of(world->redis, "{h}b"), 3);
    EXPECT_EQ(value_of(world->redis, "{h}new"), 2);
}

SUSPENDS static void load_while(World *world, SUSPENDS int (*act)(World *world), bool is_exact)
{
    Loader loaders[LOADERS];
    sl_nursery *nursery = sl_nursery_open();

    world->is_done = false;
    for (size_t i = 0; i < LOADERS; i++) {
        loaders[i] = (Loader){ .world = world };
        (void) snprintf(loaders[i].key, sizeof(loaders[i].key), "{t}count%zu%d", i, is_exact);
        (void) sl_spawn(nursery, load, &loaders[i]); /* the counts tell */
    }
    EXPECT_OK(sl_sleep_ms(50));
    EXPECT_OK(act(world));
    EXPECT_OK(sl_sleep_ms(50));
    world->is_done = true;
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    for (size_t i = 0; i < LOADERS; i++) {
        EXPECT(loaders[i].answered > 10);
        EXPECT_EQ(loaders[i].errors, 0);
        if (loaders[i].errors > 0)
            EXPECT_C(loaders[i].words, "");
        if (is_exact)
            EXPECT_EQ(value_of(world->redis, loaders[i].key), loaders[i].answered);
    }
}

/* The masters whose slot "{t}" is, and the next one. */
SUSPENDS static int move_there_and_back(World *world)
{
    unsigned slot = redis_slot(str_from_c("{t}"));
    size_t home = (size_t) slot * MASTERS / REDIS_SLOTS;
    int r;

    r = move_slot(world, slot, home, (home + 1) % MASTERS);
    return r < 0 ? r : move_slot(world, slot, (home + 1) % MASTERS, home);
}

typedef struct Heard {
    size_t gaps, messages;
    sl_cond changed;
} Heard;

static void on_message(void *ctx, Str message, bool is_gap)
{
    Heard *heard = ctx;

    (void) message;
    heard->gaps += is_gap;
    heard->messages += !is_gap;
    sl_cond_wake_all(&heard->changed);
}

SUSPENDS static int hear(Heard *heard, size_t gaps, size_t messages)
{
    sl_scope scope;
    int r = 0;

    sl_scope_begin(&scope, .timeout_ms = 10000);
    while (r == 0 && (heard->gaps < gaps || heard->messages < messages))
        r = sl_cond_wait(&heard->changed);
    return sl_scope_end(&scope, r);
}

SUSPENDS static int publish(Redis *redis)
{
    AUTO(ask_deinit) Ask one = { .argc = 0 };

    ask_init(&one, "SPUBLISH {t}chan hello");
    one.call.slot = redis_slot(one.argv[1]);
    return redis_call(redis, &one.call);
}

SUSPENDS static void check_messages(World *world)
{
    Heard heard = { .gaps = 0 };
    RedisAbout about;
    RedisSub sub = { .channel = STR("{t}chan"), .on_message = on_message, .ctx = &heard };

    redis_about(world->redis, &about);
    if (!about.has_shard_pubsub)
        return;
    sub.slot = redis_slot(sub.channel);
    redis_subscribe(world->redis, &sub);
    EXPECT_OK(hear(&heard, 1, 0));
    EXPECT_OK(publish(world->redis));
    EXPECT_OK(hear(&heard, 1, 1));
    EXPECT_OK(move_there_and_back(world)); /* the node ends it: asked at the new one */
    EXPECT_OK(hear(&heard, 2, 1));
    for (int i = 0; i < 500 && heard.messages < 2; i++) {
        EXPECT_OK(publish(world->redis));
        EXPECT_OK(sl_sleep_ms(10));
    }
    EXPECT(heard.messages >= 2);
    redis_unsubscribe(world->redis, &sub);
}

SUSPENDS static int kill_first(World *world)
{
    int r;

    server_signal(&world->servers[0], SIGKILL);
    r = wait_for_words(&world->servers[MASTERS], "INFO replication", "role:master");
    if (r == 0)
        r = wait_for_words(&world->servers[MASTERS], "CLUSTER INFO", "cluster_state:ok");
    return r == 0 ? sl_sleep_ms(500) : r;
}

SUSPENDS static void check_all(World *world)
{
    RedisAbout about;

    check_map(world);
    check_half_moved(world);
    load_while(world, move_there_and_back, true);
    check_messages(world);
    load_while(world, kill_first, false);
    for (int i = 0; i < 1000; i++) { /* until its connections are there again */
        redis_about(world->redis, &about);
        if (about.is_connected && about.n_nodes == MASTERS)
            break;
        EXPECT_OK(sl_sleep_ms(10));
    }
    EXPECT(about.is_connected);
    EXPECT_EQ(about.n_nodes, MASTERS);
    EXPECT(value_of(world->redis, "key1") == 1);
}

TEST(cluster)
{
    World world = { .check = check_all };
    int r;

    if (!test_redis_program()) {
        test_skip(TEST_NO_REDIS);
        return;
    }
    r = sl_run(world_run, &world);
    EXPECT_OK(r);
}

TEST_MAIN()
