/*
 * The store in Redis when something goes wrong: lost answers, a server without its scripts, without
 * its data, without room; and what it refuses to start on.
 *
 * Would catch an effect that comes twice or not at all, and silence about what was lost.
 */
#include "store/redis/remote_world_int.h"

enum { JOBS = 40 };

/* ---- answers that are lost ------------------------------------------------------------------- */

static void expect_once(Store *store, unsigned n)
{
    RecordHead head = { 0 };

    EXPECT(job_head(store, n, &head));
    EXPECT_EQ(head.state, JOB_COMPLETED);
    EXPECT_EQ(head.fence, 1);
    EXPECT_EQ(head.attempt, 1);
    EXPECT_EQ(head.lost, 0);
}

static void lose_answers(World *world)
{
    Lossy lossy = { .path = world->server.socket };
    Store *store;
    unsigned id;

    world->seams.connect = lossy_connect;
    world->seams.connect_ctx = &lossy;
    store = world_open(world);
    for (unsigned i = 0; i < JOBS; i++) {
        lossy.cuts = i % 2;
        EXPECT_OK(job_push(store, i, "a", "t"));
        lossy.cuts = i % 3 == 0;
        EXPECT_EQ(jobs_lease(store, "a", 1, &id), 1);
        EXPECT_EQ(id, i);
        lossy.cuts = i % 5 == 0;
        EXPECT_OK(job_complete(store, i));
    }
    EXPECT(lossy.lost >= JOBS / 2);
    for (unsigned i = 0; i < JOBS; i++)
        expect_once(store, i);
    store_check(store);
    store_close(store);
}

TEST(a_call_whose_answer_was_lost_has_its_effect_once)
{
    world_run(lose_answers, 1, NULL);
}

TEST(so_it_has_over_several_partitions)
{
    world_run(lose_answers, 4, NULL);
}

/* The server keeps an answer until it is told that it was heard. */
static void hear_answers(World *world)
{
    static const char kept[] = "EVAL return\tredis.call('HLEN',redis.call('KEYS','*:ops:*')[1]) 0";
    Store *store = world_open(world);
    unsigned id;

    for (unsigned i = 0; i < 300; i++) {
        EXPECT_OK(job_push(store, i, "a", "t"));
        EXPECT_EQ(jobs_lease(store, "a", 1, &id), 1);
        EXPECT_OK(job_complete(store, i));
    }
    EXPECT_EQ(world_command(world, kept), 1); /* the last one's */
    store_close(store);
}

TEST(an_answer_that_was_heard_is_forgotten)
{
    world_run(hear_answers, 1, NULL);
}

/* ---- scripts that are gone ------------------------------------------------------------------- */

static bool has_command(World *world, const char *name)
{
    char words[128];

    snprintf(words, sizeof(words),
             "EVAL return\ttype(redis.call('COMMAND','INFO','%s')[1])=='table'and\t1\tor\t0 0",
             name);
    return world_command(world, words) == 1;
}

static void lose_scripts(World *world)
{
    Store *store;
    unsigned id;

    if (!world->seams.is_old && !has_command(world, "fcall")) {
        test_skip("this server has no functions");
        return;
    }
    store = world_open(world);
    for (unsigned i = 0; i < 10; i++) {
        world_command(world, world->seams.is_old ? "SCRIPT FLUSH" : "FUNCTION FLUSH");
        EXPECT_OK(job_push(store, i, "a", "t"));
        world_command(world, world->seams.is_old ? "SCRIPT FLUSH" : "FUNCTION FLUSH");
        EXPECT_EQ(jobs_lease(store, "a", 1, &id), 1);
        EXPECT_EQ(id, i);
        EXPECT_OK(job_complete(store, i));
        expect_once(store, i);
    }
    store_check(store);
    store_close(store);
}

TEST(functions_that_were_flushed_are_loaded_again)
{
    world_run(lose_scripts, 1, NULL);
}

static void lose_old_scripts(World *world)
{
    world->seams.is_old = true;
    lose_scripts(world);
}

TEST(scripts_that_were_flushed_are_loaded_again)
{
    world_run(lose_old_scripts, 1, NULL);
}

/* ---- a server that was emptied --------------------------------------------------------------- */

static void flush_all(World *world)
{
    Store *store = world_open(world), *other = world_open(world);
    RecordHead head;

    EXPECT_OK(job_push(store, 1, "a", "t"));
    world_command(world, "FLUSHALL");
    EXPECT_ERR(job_push(store, 2, "a", "t"), -ERR_STORE, "lost what it held");
    EXPECT(has_note(store, "emptied", STORE_NOTE_BROKEN, "lost what it held"));
    EXPECT_OK(job_push(store, 2, "a", "t"));
    EXPECT(!job_head(store, 1, &head));
    /* The other machine hears of it by its next call, and then works in the same store. */
    EXPECT_ERR(job_push(other, 3, "a", "t"), -ERR_STORE, "lost what it held");
    EXPECT_OK(job_push(other, 3, "a", "t"));
    EXPECT(job_head(store, 3, &head));
    store_check(store);
    store_close(other);
    store_close(store);
}

TEST(a_server_that_was_emptied_is_noticed)
{
    world_run(flush_all, 1, NULL);
}

/* ---- a server that is full ------------------------------------------------------------------- */

static void fill_up(World *world)
{
    Store *store = world_open(world);
    unsigned id;

    EXPECT_OK(job_push(store, 1, "a", "t"));
    EXPECT_OK(job_push(store, 2, "a", "t"));
    EXPECT_EQ(jobs_lease(store, "a", 1, &id), 1);
    world_command(world, "CONFIG SET maxmemory 1000");
    EXPECT_ERR(job_push(store, 3, "a", "t"), -ERR_STORE_FULL, "maxmemory");
    EXPECT_OK(job_complete(store, 1));
    EXPECT_EQ(jobs_lease(store, "a", 1, &id), 1);
    EXPECT_OK(job_complete(store, 2));
    world_command(world, "CONFIG SET maxmemory 0");
    EXPECT_OK(job_push(store, 3, "a", "t"));
    store_check(store);
    store_close(store);
}

TEST(a_full_server_refuses_pushes_and_nothing_else)
{
    world_run(fill_up, 1, NULL);
}

static void fill_up_old(World *world)
{
    world->seams.is_old = true;
    fill_up(world);
}

TEST(so_does_one_without_functions)
{
    world_run(fill_up_old, 1, NULL);
}

/* ---- what the check sees --------------------------------------------------------------------- */

static void expect_unsound(Store *store, const char *part)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_CHECK };

    EXPECT_OK(store_run(store, &op));
    EXPECT_EQ(op.r, -ERR_STORE);
    if (!strstr(op.check.why, part))
        test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\"", op.check.why, part);
}

/* Somebody changes things by hand, and changes them back. */
static void change_by_hand(World *world)
{
    Store *store = world_open(world);
    unsigned id;

    for (unsigned i = 1; i <= 3; i++)
        EXPECT_OK(job_push(store, i, "a", "t"));
    EXPECT_EQ(jobs_lease(store, "a", 1, &id), 1);
    store_check(store);
    world_command(world, "RENAME t0{0}:ready:a:0 t0{0}:ready:a:1");
    expect_unsound(store, "a:1"); /* another line, and two jobs that are not in theirs */
    world_command(world, "RENAME t0{0}:ready:a:1 t0{0}:ready:a:0");
    world_command(world, "RENAME t0{0}:active:a t0{0}:completed:a");
    expect_unsound(store, "not in the one place");
    world_command(world, "RENAME t0{0}:completed:a t0{0}:active:a");
    world_command(world, "ZADD t0{0}:due 9999999999999 active:a");
    expect_unsound(store, "due");
    world_command(world, "ZADD t0{0}:due 1 active:a");
    world_command(world, "ZREM t0{0}:prio:a 0");
    expect_unsound(store, "priorities");
    world_command(world, "ZADD t0{0}:prio:a 0 0");
    world_command(world, "SET t0{0}:mine 1");
    expect_unsound(store, "not ours");
    world_command(world, "DEL t0{0}:mine");
    world_command(world, "ZADD t0{0}:dead:a 1 019b0000-0000-7000-8000-000000000000");
    expect_unsound(store, "was seen in dead:a");
    world_command(world, "DEL t0{0}:dead:a");
    store_check(store);
    store_close(store);
}

TEST(the_check_sees_what_was_changed_by_hand)
{
    world_run(change_by_hand, 1, NULL);
}

/* ---- what it does not start on --------------------------------------------------------------- */

static void refuse(World *world)
{
    Store *store = NULL;
    const char *why;

    EXPECT_ERR(world_open_with(world, (Str){ 0 }, false, &store), -ERR_CONFIG,
               "redis-cli CONFIG SET maxmemory-policy noeviction");
    EXPECT_OK(world_open_with(world, (Str){ 0 }, true, &store));
    EXPECT(has_note(store, "eviction", STORE_NOTE_WARNING, "allkeys-lru"));
    store_close(store);
    world_command(world, "CONFIG SET maxmemory-policy noeviction");
    EXPECT_OK(world_open_with(world, STR_C("wait(2)"), false, &store));
    EXPECT(has_note(store, "replicas", STORE_NOTE_WARNING, "wait(2)"));
    EXPECT(has_note(store, "persistence", STORE_NOTE_WARNING, "no persistence"));
    store_close(store);
    why = has_command(world, "waitaof") ? "CONFIG SET appendonly yes" : "7.2";
    EXPECT_ERR(world_open_with(world, STR_C("waitaof"), false, &store), -ERR_CONFIG, why);
    EXPECT_ERR(world_open_with(world, STR_C("always"), false, &store), -ERR_USAGE, "wait(N)");
}

TEST(a_server_that_drops_keys_is_refused)
{
    const char *options[] = { "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", NULL };

    world_run(refuse, 1, options);
}

static void refuse_replica(World *world)
{
    Store *store;

    world_command(world, "REPLICAOF 127.0.0.1 1");
    EXPECT_ERR(world_open_with(world, (Str){ 0 }, false, &store), -ERR_CONFIG, "it is a replica");
    world_command(world, "REPLICAOF NO ONE");
}

TEST(a_replica_is_refused_at_once)
{
    world_run(refuse_replica, 1, NULL);
}

static void refuse_other(World *world)
{
    Store *store = world_open(world);
    char url[200], command[100];

    store_close(store);
    memcpy(url, world->url, sizeof(url));
    snprintf(world->url, sizeof(world->url), "%.*s=8", (int) (strrchr(url, '=') - url), url);
    EXPECT_ERR(world_open_with(world, (Str){ 0 }, false, &store), -ERR_CONFIG, "has 4 partitions");
    memcpy(world->url, url, sizeof(url));
    snprintf(command, sizeof(command), "HSET t0:about format 2");
    world_command(world, command);
    EXPECT_ERR(world_open_with(world, (Str){ 0 }, false, &store), -ERR_STORE_FORMAT, "format 2");
}

TEST(another_number_of_partitions_and_another_format_are_refused)
{
    world_run(refuse_other, 4, NULL);
}

/* ---- partitions ------------------------------------------------------------------------------ */

static void spread(World *world)
{
    Store *store = world_open(world);
    StoreQueueInfo info = { 0 };
    bool seen[200] = { false };
    unsigned ids[200];
    size_t n, total = 0;
    AUTO(store_op_deinit)
    StoreOp queues = { .kind = STORE_QUEUES,
                       .queues = { .only = STR_C("a"), .infos = &info, .max = 1 } };
    uint8_t cursor[40];
    size_t cursor_len = 0, listed = 0;
    int r;

    for (unsigned i = 0; i < 200; i++)
        EXPECT_OK(job_push(store, i, "a", "t"));
    EXPECT_OK(store_run(store, &queues));
    EXPECT_EQ(info.counts[JOB_AVAILABLE], 200);
    EXPECT_EQ(info.pushed, 200);
    do {
        AUTO(store_op_deinit)
        StoreOp list = { .kind = STORE_LIST,
                         .list = { .states = JOB_IN(AVAILABLE),
                                   .queue = STR_C("a"),
                                   .max = 30,
                                   .cursor = str_from((char *) cursor, cursor_len) } };

        EXPECT_OK(store_run(store, &list));
        EXPECT_EQ(list.list.total, 200);
        listed += list.list.n;
        r = list.r;
        cursor_len = list.list.next_len;
        memcpy(cursor, list.list.next, cursor_len);
    } while (r == STORE_MORE);
    EXPECT_EQ(listed, 200);
    while ((n = jobs_lease(store, "a", 7, ids)) > 0) {
        for (size_t i = 0; i < n; i++) {
            EXPECT(!seen[ids[i]]);
            seen[ids[i]] = true;
        }
        total += n;
    }
    EXPECT_EQ(total, 200);
    store_check(store);
    store_close(store);
}

TEST(jobs_spread_over_partitions_and_come_together_again)
{
    world_run(spread, 4, NULL);
}

static void fit(World *world)
{
    Store *store = world_open(world);
    bool is_used[4] = { false };

    for (unsigned round = 0; round < 8; round++) {
        JobId ids[50];

        for (unsigned i = 0; i < 50; i++)
            ids[i] = job_id(i * 1311);
        store_fit_ids(store, (Str){ 0 }, ids, 50);
        for (unsigned i = 0; i < 50; i++) {
            unsigned part = ((unsigned) ids[i].bytes[14] << 8 | ids[i].bytes[15]) % 4;

            EXPECT(i == 0 || part == ((unsigned) ids[0].bytes[14] << 8 | ids[0].bytes[15]) % 4);
            is_used[part] = true;
        }
    }
    EXPECT(is_used[0] && is_used[1] && is_used[2] && is_used[3]);
    store_close(store);
}

TEST(fresh_ids_are_made_to_fit_one_partition)
{
    world_run(fit, 4, NULL);
}

/* ---- pushes that go together ----------------------------------------------------------------- */

typedef struct Pusher {
    Store *store;
    unsigned n;
} Pusher;

static int push_one(void *arg)
{
    const Pusher *pusher = arg;

    EXPECT_OK(job_push(pusher->store, pusher->n, "a", "t"));
    return 0;
}

static void push_together(World *world)
{
    sl_nursery *nursery = sl_nursery_open(.name = "pushers");
    Store *store = world_open(world);
    StoreStats before, after;
    Pusher pushers[50];

    EXPECT_OK(job_push(store, 1000, "a", "t"));
    store_stats(store, &before);
    for (unsigned i = 0; i < 50; i++) {
        pushers[i] = (Pusher){ store, i };
        sl_spawn(nursery, push_one, &pushers[i], .name = "pusher");
    }
    EXPECT_OK(sl_nursery_join(nursery));
    store_stats(store, &after);
    sl_nursery_close(nursery);
    EXPECT(after.commits - before.commits <= 3); /* the first may have left alone; others read */
    EXPECT_EQ(after.ops - before.ops, 50);
    store_check(store);
    store_close(store);
}

TEST(pushes_of_one_turn_are_one_call)
{
    world_run(push_together, 1, NULL);
}

TEST_MAIN()
