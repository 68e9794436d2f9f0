/*
 * The gate: many fibers on several loops, batches that fail, answers that cross threads.
 *
 * Would catch an answer that goes to the wrong fiber, is lost or comes twice; a failed commit that
 * leaves something behind; a parked operation that a failed batch forgets or serves from nothing.
 */
#include "base/test.h"
#include "gen/stores.h"
#include "store/memory/memory.h"
#include "store/record.h"
#include "store/redis_server_test.h"
#include "store/store.h"

#include <sluice/rt.h>

#include <errno.h>
#include <stdatomic.h>

enum {
    LOOPS = 3,
    PRODUCERS = 4,
    WORKERS = 4,
    JOBS_EACH = 150,
    TOTAL = LOOPS * PRODUCERS * JOBS_EACH
};

typedef struct World {
    Store *store;
    const StoreDriver *driver;
    MemoryImage image;
    char path[200];
    atomic_int completed;
    atomic_int seen[TOTAL]; /* leases of each job */
    atomic_uint commits;
    _Atomic MemoryFault fault; /* of the next commit */
} World;

static JobId id_of(unsigned n)
{
    JobId id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

    id.bytes[14] = (uint8_t) (n >> 8);
    id.bytes[15] = (uint8_t) n;
    return id;
}

static int push(Store *store, unsigned n)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    JobSpec spec = { .id = id_of(n), .type = STR_C("t") };
    Str record;
    int r;

    record_encode(&buf, &spec, store_now(store).wall_ms);
    record = buf_str(&buf);
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    r = store_run(store, &op);
    return r < 0 ? r : op.r;
}

static void init_lease(StoreOp *op, const Str *queue, bool waits)
{
    *op = (StoreOp){
        .kind = STORE_LEASE,
        .lease = { .queues = queue, .n_queues = 1, .max = 1, .default_ms = 60000, .waits = waits }
    };
}

static unsigned leased(const StoreOp *op)
{
    size_t cursor = 0;
    Str record;
    JobId id;

    if (!store_out_next(&op->out, &cursor, &record))
        return UINT32_MAX;
    id = record_id(record);
    return (unsigned) id.bytes[14] << 8 | id.bytes[15];
}

static void check(Store *store)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_CHECK };

    EXPECT_OK(store_run(store, &op));
    EXPECT_C(op.check.why, "");
}

/* ---- many loops ------------------------------------------------------------------------------ */

typedef struct Actor {
    World *world;
    unsigned first;
} Actor;

static int produce(void *arg)
{
    const Actor *actor = arg;

    for (unsigned i = 0; i < JOBS_EACH; i++)
        EXPECT_OK(push(actor->world->store, actor->first + i));
    return 0;
}

static int work(void *arg)
{
    World *world = ((const Actor *) arg)->world;
    static const Str queue = STR("default");

    for (;;) {
        StoreOp lease;
        unsigned n;

        init_lease(&lease, &queue, true);
        if (store_run(world->store, &lease) < 0)
            return 0;
        n = leased(&lease);
        store_op_deinit(&lease);
        if (n == UINT32_MAX)
            return 0; /* taken back: cancelled */
        atomic_fetch_add(&world->seen[n], 1);
        StoreMove done = { .id = id_of(n), .from = JOB_IN(ACTIVE), .to = JOB_COMPLETED };
        AUTO(store_op_deinit)
        StoreOp op = { .kind = STORE_MOVE, .move = { .moves = &done, .n = 1 } };
        EXPECT_OK(store_run(world->store, &op));
        EXPECT_EQ(done.r, 0);
        atomic_fetch_add(&world->completed, 1);
    }
}

static int run_loop(void *arg)
{
    World *world = arg;
    sl_nursery *workers = sl_nursery_open(.name = "workers", .keep_going = true);
    sl_nursery *producers = sl_nursery_open(.name = "producers", .keep_going = true);
    Actor actors[PRODUCERS];

    for (unsigned i = 0; i < WORKERS; i++)
        sl_spawn(workers, work, &actors[0], .name = "worker");
    for (unsigned i = 0; i < PRODUCERS; i++) {
        actors[i] = (Actor){ world, (unsigned) (sl_loop_index() * PRODUCERS + i) * JOBS_EACH };
        sl_spawn(producers, produce, &actors[i], .name = "producer");
    }
    EXPECT_OK(sl_nursery_join(producers));
    while (atomic_load(&world->completed) < TOTAL && !test_has_failed())
        EXPECT_OK(sl_sleep_ms(1));
    sl_nursery_close(producers);
    sl_nursery_cancel(workers);
    sl_nursery_close(workers);
    return 0;
}

static int call_loop(void *arg)
{
    Actor *actor = arg;

    return sl_call_on(actor->first, run_loop, actor->world, "loop");
}

static int run_loops(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *store = sl_nursery_open(.name = "store");
    StoreOpts opts = {
        .driver = world->driver,
        .config = { .path = str_from_c(world->path), .nursery = store, .max_bytes = 64 << 20 }
    };
    sl_nursery *nursery = sl_nursery_open(.name = "loops");
    Actor actors[LOOPS];

    EXPECT_OK(store_open(&opts, &world->store));
    for (unsigned i = 0; i < LOOPS; i++) {
        actors[i] = (Actor){ world, i };
        sl_spawn(nursery, call_loop, &actors[i], .name = "caller");
    }
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    check(world->store);
    store_close(world->store);
    return 0;
}

static void run_three_loops(const StoreDriver *driver, const char *path)
{
    World *world = mem_new(World);

    world->driver = driver;
    snprintf(world->path, sizeof(world->path), "%s", path);
    EXPECT_OK(sl_run(run_loops, world, .loops = LOOPS, .stall_ms = -1));
    EXPECT_EQ(atomic_load(&world->completed), TOTAL);
    for (size_t n = 0; n < TOTAL; n++)
        EXPECT_EQ(atomic_load(&world->seen[n]), 1);
    mem_free(world);
}

TEST(each_job_is_done_once_by_workers_on_three_loops)
{
    for (size_t i = 0; i < stores_count; i++) {
        char path[64];

        if (stores_table[i]->remote)
            continue;
        snprintf(path, sizeof(path), "loops-%s", stores_table[i]->name);
        run_three_loops(stores_table[i], path);
    }
}

/* The same on Redis, where each loop is a client of its own; in one partition and in four. */
TEST(each_job_is_done_once_by_workers_on_three_loops_of_a_store_elsewhere)
{
    RedisServer server = { 0 };

    if (!redis_server_start(&server, "redis", NULL)) {
        test_skip(TEST_NO_REDIS);
        return;
    }
    for (unsigned partitions = 1; partitions <= 4; partitions += 3) {
        const StoreDriver *driver;
        char url[200];
        Str path;

        redis_server_url(&server, partitions, url, sizeof(url));
        EXPECT_OK(store_find_driver(str_from_c(url), &driver, &path));
        run_three_loops(driver, url);
    }
    redis_server_stop(&server);
}

/* ---- commits that fail ----------------------------------------------------------------------- */

static MemoryFault next_fault(void *ctx)
{
    World *world = ctx;
    MemoryFault fault = world->fault;

    world->fault = MEMORY_OK;
    return fault;
}

static int run_in_memory(World *world, int (*body)(World *world), bool forces_thread)
{
    StoreOpts opts = { .driver = world->driver,
                       .config = { .image = &world->image },
                       .forces_thread = forces_thread };
    int r;

    world->image.on_commit = next_fault;
    world->image.ctx = world;
    EXPECT_OK(store_open(&opts, &world->store));
    r = body(world);
    check(world->store);
    store_close(world->store);
    memory_image_free(&world->image);
    return r;
}

static const StoreDriver *memory_driver(void)
{
    const StoreDriver *driver;
    Str path;

    EXPECT_OK(store_find_driver(STR_C("memory:"), &driver, &path));
    return driver;
}

static int fail_once(World *world)
{
    static const Str queue = STR("default");
    StoreOp lease;

    EXPECT_OK(push(world->store, 1));
    world->fault = MEMORY_FAILS;
    EXPECT_EQ(push(world->store, 2), -ERR_STORE);
    world->fault = MEMORY_FAILS;
    init_lease(&lease, &queue, false);
    EXPECT_OK(store_run(world->store, &lease));
    EXPECT_EQ(lease.r, -ERR_STORE);
    EXPECT_EQ(leased(&lease), UINT32_MAX);
    store_op_deinit(&lease);
    init_lease(&lease, &queue, false);
    EXPECT_OK(store_run(world->store, &lease));
    EXPECT_EQ(leased(&lease), 1);
    store_op_deinit(&lease);
    EXPECT_OK(push(world->store, 2));
    return 0;
}

static int park(void *arg)
{
    Actor *actor = arg;
    static const Str queue = STR("default");
    StoreOp lease;

    int r;

    init_lease(&lease, &queue, true);
    r = store_run(actor->world->store, &lease);
    EXPECT(r == 0 || r == -ECANCELED); /* cancelled before it was handed over */
    actor->first = leased(&lease);
    store_op_deinit(&lease);
    return 0;
}

static void await_parked(Store *store, size_t n)
{
    StoreStats stats;

    do {
        EXPECT_OK(sl_sleep_ms(1));
        store_stats(store, &stats);
    } while (stats.parked != n && !test_has_failed());
}

/* What was granted to a parked lease by a batch that failed is granted again by the next. */
static int fail_a_grant(World *world)
{
    sl_nursery *nursery = sl_nursery_open(.name = "parked");
    Actor actor = { world, 0 };

    sl_spawn(nursery, park, &actor, .name = "parked");
    await_parked(world->store, 1);
    world->fault = MEMORY_FAILS;
    EXPECT_EQ(push(world->store, 7), -ERR_STORE);
    await_parked(world->store, 1);
    EXPECT_OK(push(world->store, 8));
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_EQ(actor.first, 8);
    return 0;
}

static int refuse_pushes_when_full(World *world)
{
    static const Str queue = STR("default");
    StoreOp lease;

    EXPECT_OK(push(world->store, 1));
    world->image.is_full = true;
    EXPECT_EQ(push(world->store, 2), -ERR_STORE_FULL);
    init_lease(&lease, &queue, false);
    EXPECT_OK(store_run(world->store, &lease));
    EXPECT_EQ(leased(&lease), 1);
    store_op_deinit(&lease);
    world->image.is_full = false;
    EXPECT_OK(push(world->store, 2));
    /* Full is found out at the commit: the push is refused, the rest of the batch goes through. */
    world->fault = MEMORY_FULL;
    EXPECT_EQ(push(world->store, 3), -ERR_STORE_FULL);
    EXPECT_OK(push(world->store, 3));
    return 0;
}

static int complete_one(void *arg)
{
    Actor *actor = arg;
    StoreMove done = { .id = id_of(actor->first), .from = JOB_IN(ACTIVE), .to = JOB_COMPLETED };
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_MOVE, .move = { .moves = &done, .n = 1 } };

    EXPECT_OK(store_run(actor->world->store, &op));
    EXPECT_EQ(op.r, 0);
    EXPECT_EQ(done.r, 0);
    return 0;
}

/* What has no room together is tried one by one. */
static int split_a_batch(World *world)
{
    sl_nursery *nursery = sl_nursery_open(.name = "finishers");
    static const Str queue = STR("default");
    Actor actors[4];

    for (unsigned i = 0; i < 4; i++) {
        StoreOp lease;

        EXPECT_OK(push(world->store, i));
        init_lease(&lease, &queue, false);
        EXPECT_OK(store_run(world->store, &lease));
        store_op_deinit(&lease);
        actors[i] = (Actor){ world, i };
    }
    world->fault = MEMORY_FULL; /* of the batch with all four */
    for (unsigned i = 0; i < 4; i++)
        sl_spawn(nursery, complete_one, &actors[i], .name = "finisher");
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_EQ(world->fault, MEMORY_OK);
    return 0;
}

static int (*const failures[])(World *world) = { fail_once, fail_a_grant, refuse_pushes_when_full,
                                                 split_a_batch };

static int run_failures(void *arg)
{
    bool forces_thread = *(bool *) arg;

    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        World *world;

        if (forces_thread && failures[i] == split_a_batch)
            continue; /* how many are in a batch is the thread's to say */
        world = mem_new(World);
        world->driver = memory_driver();
        run_in_memory(world, failures[i], forces_thread);
        mem_free(world);
    }
    return 0;
}

TEST(a_commit_that_fails_leaves_nothing_behind)
{
    bool forces_thread = false;

    EXPECT_OK(sl_run(run_failures, &forces_thread));
    forces_thread = true;
    EXPECT_OK(sl_run(run_failures, &forces_thread));
}

/* ---- cancellation ---------------------------------------------------------------------------- */

static int cancel_parked(World *world)
{
    for (int i = 0; i < 50; i++) {
        sl_nursery *nursery = sl_nursery_open(.name = "parked");
        Actor actor = { world, 0 };

        sl_spawn(nursery, park, &actor, .name = "parked");
        if (i % 2)
            EXPECT_OK(sl_yield());
        if (i % 3 == 0)
            await_parked(world->store, 1);
        sl_nursery_cancel(nursery);
        sl_nursery_close(nursery);
        EXPECT(actor.first == UINT32_MAX || actor.first == 0);
    }
    await_parked(world->store, 0);
    return 0;
}

static int run_cancel(void *arg)
{
    World *world = mem_new(World);

    world->driver = memory_driver();
    run_in_memory(world, cancel_parked, *(bool *) arg);
    mem_free(world);
    return 0;
}

TEST(parked_operations_are_taken_back_at_any_moment)
{
    bool forces_thread = false;

    EXPECT_OK(sl_run(run_cancel, &forces_thread));
    forces_thread = true;
    EXPECT_OK(sl_run(run_cancel, &forces_thread));
}

TEST(a_store_is_found_by_its_url)
{
    const StoreDriver *driver;
    Str path;

    EXPECT_OK(store_find_driver(STR_C("lmdb:/a:b"), &driver, &path));
    EXPECT_C(driver->name, "lmdb");
    EXPECT_STR(path, STR_C("/a:b"));
    EXPECT_ERR(store_find_driver(STR_C("memory"), &driver, &path), -ERR_USAGE, "memory");
    EXPECT_ERR(store_find_driver(STR_C("mysql:x"), &driver, &path), -ERR_USAGE, "mysql");
    EXPECT_ERR(store_find_driver(STR_C(""), &driver, &path), -ERR_USAGE, "is none of");
}

TEST_MAIN()
