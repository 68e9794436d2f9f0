/*
 * Moving a store into another: everything arrives as it was, however often the move dies on its
 * way.
 *
 * Both stores are in memory and stay in images, so that a commit can be made to die as the machine
 * does, at each one of either store in turn.
 */
#include "base/limits.h"
#include "base/test.h"
#include "queue/queue.h"
#include "rt/sim.h"
#include "store/memory/memory.h"

#include <sluice/rt.h>

/* A store's contents and at which commit it dies. */
typedef struct World {
    MemoryImage image;
    size_t commits;
    size_t dies_at; /* the n-th from here; 0: never */
    MemoryFault how;
} World;

static World source, target;

static MemoryFault on_commit(void *ctx)
{
    World *world = ctx;

    world->commits++;
    return world->dies_at && world->commits == world->dies_at ? world->how : MEMORY_OK;
}

static void world_reset(World *world)
{
    memory_image_free(&world->image);
    *world = (World){ .image = { .on_commit = on_commit } };
    world->image.ctx = world;
}

SUSPENDS static int open_world(sl_nursery *nursery, World *world, bool is_still, Queues **ret)
{
    QueueOpts opts = { .store = "memory:", .image = &world->image, .is_still = is_still };

    return queue_start(nursery, &opts, ret);
}

/* ---- the source ------------------------------------------------------------------------------ */

SUSPENDS static void push(Queues *queues, Arena *arena, const char *queue, int n, int64_t run_at_ms)
{
    for (int i = 0; i < n; i++) {
        JobSpec spec = { .type = STR_C("test.a"),
                         .queue = str_from_c(queue),
                         .args = STR_C("[1.0]"),
                         .priority = i % 3,
                         .run_at_ms = run_at_ms };

        EXPECT_OK(queue_push(arena, queues, &spec, NULL, NULL));
    }
}

SUSPENDS static void finish(Queues *queues, Arena *arena, const Job *job, FinishKind kind,
                            bool is_final)
{
    Finish done = { .kind = kind,
                    .id = job->id,
                    .fence = job->fence,
                    .result = STR_C("{\"ok\": 1.0}"),
                    .error = { .type = STR_C("Boom"),
                               .code = STR_C("handler_error"),
                               .message = STR_C("it broke"),
                               .is_final = is_final } };

    EXPECT_OK(queue_finish(arena, queues, &done, NULL));
}

/* Jobs in every state but one, in two queues, of which one is paused; an idempotency key. */
SUSPENDS static void fill(Queues *queues, Arena *arena)
{
    static const Str names[] = { STR("b") };
    LeaseOpts opts = { .queues = names, .n_queues = 1, .max = 5, .worker = STR_C("w1") };
    PushOpts key = { .key = STR_C("once"), .print = 7 };
    JobSpec spec = { .type = STR_C("test.k"), .queue = STR_C("a"), .args = STR_C("[]") };
    Job jobs[5] = { 0 };
    size_t n = 0;

    push(queues, arena, "a", 9, 0);
    push(queues, arena, "b", 8, 0);
    push(queues, arena, "b", 2, queue_now_ms(queues) + 3600000);
    EXPECT_OK(queue_push(arena, queues, &spec, &key, NULL));
    EXPECT_OK(queue_lease(arena, queues, &opts, jobs, &n));
    EXPECT_EQ(n, 5);
    finish(queues, arena, &jobs[0], FINISH_COMPLETE, false);
    finish(queues, arena, &jobs[1], FINISH_FAIL, false);
    finish(queues, arena, &jobs[2], FINISH_FAIL, true);
    EXPECT_OK(queue_cancel(arena, queues, &jobs[3].id, NULL, NULL));
    EXPECT_OK(queue_pause(queues, STR_C("a"), true)); /* jobs[4] stays active */
}

/* ---- comparing ------------------------------------------------------------------------------- */

SUSPENDS static void expect_same(Arena *arena, Queues *one, Queues *two, const char *queue,
                                 JobState state)
{
    ListOpts opts = { .state = state, .queue = str_from_c(queue), .max = 100 };
    JobPage a = { 0 }, b = { 0 };

    EXPECT_OK(queue_list(arena, one, &opts, &a));
    EXPECT_OK(queue_list(arena, two, &opts, &b));
    EXPECT_EQ(a.n, b.n);
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        EXPECT(job_id_eq(&a.jobs[i].id, &b.jobs[i].id));
        EXPECT_EQ(a.jobs[i].fence, b.jobs[i].fence);
        EXPECT_EQ(a.jobs[i].attempt, b.jobs[i].attempt);
        EXPECT_EQ(a.jobs[i].priority, b.jobs[i].priority);
        EXPECT_EQ(a.jobs[i].created_ms, b.jobs[i].created_ms);
        EXPECT_EQ(a.jobs[i].n_errors, b.jobs[i].n_errors);
        EXPECT(str_eq(a.jobs[i].result, b.jobs[i].result));
        EXPECT(str_eq(a.jobs[i].args, b.jobs[i].args));
        EXPECT(str_eq(a.jobs[i].worker, b.jobs[i].worker));
    }
}

/* Both hold the same; the target may be used, the source not. */
SUSPENDS static void expect_moved(void)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(arena_deinit) Arena arena = { 0 };
    PushOpts key = { .key = STR_C("once"), .print = 7 };
    JobSpec spec = { .type = STR_C("test.k"), .queue = STR_C("a"), .args = STR_C("[]") };
    StoreQueueInfo info;
    Queues *one, *two;

    arena_init(&arena, 0);
    EXPECT_ERR(open_world(nursery, &source, false, &one), -ERR_CONFIG, "were moved");
    REQUIRE(open_world(nursery, &source, true, &one) == 0);
    REQUIRE(open_world(nursery, &target, false, &two) == 0);
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        expect_same(&arena, one, two, "a", (JobState) state);
        expect_same(&arena, one, two, "b", (JobState) state);
    }
    EXPECT_OK(queue_stats(two, STR_C("a"), &info));
    EXPECT(info.is_paused);
    EXPECT_EQ(queue_push(&arena, two, &spec, &key, NULL), QUEUE_EXISTS);
    EXPECT_OK(queue_check(two, NULL));
    queue_stop(two);
    queue_stop(one);
}

/* ---- the move -------------------------------------------------------------------------------- */

SUSPENDS static int move(void)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    MigrateOpts opts = { .from_name = "one", .to_name = "two" };
    MigrateStats stats;
    int r;

    r = open_world(nursery, &source, true, &opts.from);
    if (r < 0)
        return r;
    r = open_world(nursery, &target, true, &opts.to);
    if (r == 0)
        r = queue_migrate(&opts, &stats);
    queue_stop(opts.to);
    queue_stop(opts.from);
    return r;
}

SUSPENDS static void begin_worlds(void)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(arena_deinit) Arena arena = { 0 };
    Queues *queues;

    arena_init(&arena, 0);
    world_reset(&source);
    world_reset(&target);
    REQUIRE(open_world(nursery, &source, false, &queues) == 0);
    fill(queues, &arena);
    queue_stop(queues);
    source.commits = target.commits = 0;
}

SUSPENDS static int plain_main(void *arg)
{
    (void) arg;
    begin_worlds();
    EXPECT_OK(move());
    expect_moved();
    EXPECT_ERR(move(), -ERR_CONFLICT, "already");
    expect_moved();
    return 0;
}

/* Would catch anything that does not arrive, arrives changed or in another order. */
TEST(everything_arrives_as_it_was)
{
    EXPECT_OK(sl_run(plain_main, NULL, .loop = SL_LOOP_SIM, .seed = 1));
    EXPECT_OK(sl_run(plain_main, NULL, .stall_ms = -1));
    world_reset(&source);
    world_reset(&target);
}

/* Let WORLD die at its n-th commit, for every n; then the move is made again. */
SUSPENDS static void sweep(World *world, MemoryFault how)
{
    for (size_t n = 1;; n++) {
        Err err;
        int r;

        begin_worlds();
        world->dies_at = n;
        world->how = how;
        r = move();
        world->dies_at = 0;
        if (r == 0)
            break;
        err_take(r, &err);
        r = move();
        if (r < 0) { /* it was done, and died before it could say so */
            EXPECT_ERR(r, -ERR_CONFLICT, "already");
        }
        expect_moved();
        if (test_has_failed()) {
            fprintf(stderr, "    commit %zu\n", n);
            return;
        }
    }
}

SUSPENDS static int sweep_main(void *arg)
{
    (void) arg;
    sweep(&target, MEMORY_DIES_BEFORE);
    sweep(&target, MEMORY_DIES_AFTER);
    sweep(&source, MEMORY_DIES_BEFORE);
    sweep(&source, MEMORY_DIES_AFTER);
    return 0;
}

/* Would catch a move that cannot be taken up again, or copies a job twice. */
TEST(a_move_that_dies_anywhere_is_made_again)
{
    EXPECT_OK(sl_run(sweep_main, NULL, .loop = SL_LOOP_SIM, .seed = 1));
    world_reset(&source);
    world_reset(&target);
}

SUSPENDS static int strangers_main(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(arena_deinit) Arena arena = { 0 };
    Queues *queues;

    (void) arg;
    arena_init(&arena, 0);
    begin_worlds();
    EXPECT(open_world(nursery, &target, false, &queues) == 0);
    if (test_has_failed())
        return 0;
    push(queues, &arena, "mine", 1, 0);
    queue_stop(queues);
    EXPECT_ERR(move(), -ERR_CONFLICT, "--merge");

    /* The source is as it was: nothing has been marked. */
    EXPECT(open_world(nursery, &source, false, &queues) == 0);
    if (test_has_failed())
        return 0;
    EXPECT_ERR(queue_reopen(queues), -ERR_CONFLICT, "was not moved");
    queue_stop(queues);
    return 0;
}

/* Would catch a move over somebody else's jobs. */
TEST(a_target_with_jobs_is_left_alone)
{
    EXPECT_OK(sl_run(strangers_main, NULL, .loop = SL_LOOP_SIM, .seed = 1));
    world_reset(&source);
    world_reset(&target);
}

SUSPENDS static int reopen_main(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Queues *queues;
    Err err;
    int r;

    (void) arg;
    begin_worlds();
    target.dies_at = 3;
    target.how = MEMORY_DIES_BEFORE;
    r = move();
    EXPECT(r < 0);
    if (r < 0)
        err_take(r, &err);
    target.dies_at = 0;
    EXPECT_ERR(open_world(nursery, &target, false, &queues), -ERR_CONFIG, "not all are here");
    EXPECT_ERR(open_world(nursery, &source, false, &queues), -ERR_CONFIG, "were moved");
    EXPECT(open_world(nursery, &source, true, &queues) == 0);
    if (test_has_failed())
        return 0;
    EXPECT_OK(queue_reopen(queues));
    queue_stop(queues);
    EXPECT(open_world(nursery, &source, false, &queues) == 0);
    if (test_has_failed())
        return 0;
    queue_stop(queues);
    EXPECT_ERR(move(), -ERR_CONFLICT, "being filled");
    return 0;
}

/* Would catch two engines that run the same jobs, one at each store. */
TEST(a_move_that_was_given_up)
{
    EXPECT_OK(sl_run(reopen_main, NULL, .loop = SL_LOOP_SIM, .seed = 1));
    world_reset(&source);
    world_reset(&target);
}

TEST_MAIN()
