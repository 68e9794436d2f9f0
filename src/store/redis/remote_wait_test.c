/*
 * Waiting across machines: two and three stores on one server, as processes on machines of their
 * own would have them.
 *
 * Nobody asks unless a message came: a wake-up that is lost, or that somebody keeps who has left,
 * hangs the test.
 */
#include "store/redis/remote_world_int.h"

enum { ROUNDS = 60 };

/* One who waits for a job. */
typedef struct Waiter {
    Store *store;
    const char *queue;
    const StoreFilter *filter;
    size_t max;
    int r;
    bool has_ended;
    size_t n;
    unsigned first;
} Waiter;

static int wait_for_job(void *arg)
{
    Waiter *waiter = arg;
    Str name = str_from_c(waiter->queue), record;
    size_t cursor = 0;
    AUTO(store_op_deinit) StoreOp op = { 0 };

    lease_init(&op, &name, waiter->max ? waiter->max : 1, true);
    op.lease.filter = waiter->filter;
    if (strcmp(waiter->queue, "*") == 0)
        op.lease.n_queues = 0;
    waiter->r = store_run(waiter->store, &op);
    if (waiter->r == 0)
        waiter->r = op.r;
    waiter->n = op.lease.n;
    if (store_out_next(&op.out, &cursor, &record))
        waiter->first = job_number(record);
    waiter->has_ended = true;
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

/* Until the calls of STORE stand still: who waits has asked. */
static void await_quiet(Store *store)
{
    StoreStats stats;
    uint64_t before;

    do {
        store_stats(store, &stats);
        before = stats.commits;
        EXPECT_OK(sl_sleep_ms(15));
        store_stats(store, &stats);
    } while (stats.commits != before);
}

static Store *open_quiet(World *world)
{
    world->seams.never_asks = true;
    return world_open(world);
}

/* ---- one waits, the other pushes ------------------------------------------------------------- */

static void push_elsewhere(World *world)
{
    Store *here = open_quiet(world), *there = open_quiet(world);
    StoreStats before, after;

    for (unsigned i = 0; i < ROUNDS; i++) {
        sl_nursery *nursery = sl_nursery_open(.name = "waiter");
        Waiter waiter = { .store = there, .queue = i % 3 ? "a" : "*" };

        sl_spawn(nursery, wait_for_job, &waiter, .name = "waiter");
        await_parked(there, 1);
        if (i % 2)
            await_quiet(there);
        store_stats(there, &before);
        EXPECT_OK(job_push(here, i, "a", "t"));
        EXPECT_OK(sl_nursery_join(nursery));
        sl_nursery_close(nursery);
        store_stats(there, &after);
        EXPECT_EQ(waiter.r, 0);
        EXPECT_EQ(waiter.first, i);
        if (i % 2)
            EXPECT(after.commits - before.commits <= 2); /* it was told, and asked once */
        EXPECT_OK(job_complete(there, i));
    }
    store_check(here);
    store_close(there);
    store_close(here);
}

TEST(a_lease_that_waits_hears_of_a_push_elsewhere)
{
    world_run(push_elsewhere, 1, NULL);
}

TEST(so_it_does_over_several_partitions)
{
    world_run(push_elsewhere, 4, NULL);
}

/* ---- many wait ------------------------------------------------------------------------------- */

static void many_wait(World *world)
{
    Store *stores[3] = { open_quiet(world), open_quiet(world), open_quiet(world) };
    sl_nursery *nursery = sl_nursery_open(.name = "waiters");
    Waiter waiters[30] = { 0 };
    bool seen[30] = { false };

    for (unsigned i = 0; i < 30; i++) {
        waiters[i] = (Waiter){ .store = stores[i % 3], .queue = i % 4 ? "a" : "*", .max = 1 };
        sl_spawn(nursery, wait_for_job, &waiters[i], .name = "waiter");
    }
    for (unsigned i = 0; i < 3; i++)
        await_parked(stores[i], 10);
    for (unsigned i = 0; i < 30; i++)
        EXPECT_OK(job_push(stores[i % 2], i, "a", "t"));
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    for (unsigned i = 0; i < 30; i++) {
        EXPECT_EQ(waiters[i].r, 0);
        EXPECT(!seen[waiters[i].first]);
        seen[waiters[i].first] = true;
    }
    store_check(stores[0]);
    for (unsigned i = 0; i < 3; i++)
        store_close(stores[i]);
}

TEST(each_of_many_who_wait_gets_a_job)
{
    world_run(many_wait, 1, NULL);
}

TEST(each_of_many_who_wait_gets_a_job_of_several_partitions)
{
    world_run(many_wait, 4, NULL);
}

/* ---- who was woken leaves -------------------------------------------------------------------- */

/*
 * The first of two machines is told of a job and its waiter is cancelled at about that moment: the
 * job goes to it, or the other machine is told.
 */
static void leave_when_woken(World *world, const char *queue)
{
    Store *first = open_quiet(world), *second = open_quiet(world), *pusher = open_quiet(world);
    unsigned n_first = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        sl_nursery *staying = sl_nursery_open(.name = "staying");
        sl_nursery *leaving = sl_nursery_open(.name = "leaving");
        Waiter leaver = { .store = first, .queue = queue },
               stayer = { .store = second, .queue = queue };

        sl_spawn(leaving, wait_for_job, &leaver, .name = "leaver");
        await_parked(first, 1);
        await_quiet(first);
        sl_spawn(staying, wait_for_job, &stayer, .name = "stayer");
        await_parked(second, 1);
        if (i % 3)
            await_quiet(second);
        EXPECT_OK(job_push(pusher, i, "a", "t"));
        for (unsigned turn = 0; turn < i % 8; turn++)
            EXPECT_OK(sl_yield());
        sl_nursery_cancel(leaving);
        sl_nursery_close(leaving);
        if (leaver.n > 0) {
            n_first++;
            EXPECT_OK(job_push(pusher, 1000 + i, "a", "t"));
        }
        EXPECT_OK(sl_nursery_join(staying));
        sl_nursery_close(staying);
        EXPECT_EQ(stayer.r, 0);
        EXPECT_EQ(stayer.first, leaver.n > 0 ? 1000 + i : i);
    }
    EXPECT(n_first < ROUNDS);
    store_check(pusher);
    store_close(pusher);
    store_close(second);
    store_close(first);
}

static void leave_a_queue(World *world)
{
    leave_when_woken(world, "a");
}

static void leave_any_queue(World *world)
{
    leave_when_woken(world, "*");
}

TEST(a_wake_up_of_one_who_has_left_is_passed_on)
{
    world_run(leave_a_queue, 1, NULL);
}

TEST(so_it_is_when_any_queue_was_waited_for)
{
    world_run(leave_any_queue, 1, NULL);
}

/* A store that closes takes its name out of the registers. */
static void close_while_registered(World *world)
{
    Store *staying = open_quiet(world), *pusher = open_quiet(world);

    for (unsigned i = 0; i < 10; i++) {
        Store *leaving = open_quiet(world);
        sl_nursery *first = sl_nursery_open(.name = "first"), *second;
        Waiter leaver = { .store = leaving, .queue = "a" },
               stayer = { .store = staying, .queue = "a" };

        sl_spawn(first, wait_for_job, &leaver, .name = "leaver");
        await_parked(leaving, 1);
        await_quiet(leaving);
        sl_nursery_cancel(first);
        sl_nursery_close(first);
        second = sl_nursery_open(.name = "second");
        sl_spawn(second, wait_for_job, &stayer, .name = "stayer");
        await_parked(staying, 1);
        await_quiet(staying);
        if (i % 2) {
            store_close(leaving);
            EXPECT_OK(job_push(pusher, i, "a", "t"));
        } else {
            EXPECT_OK(job_push(pusher, i, "a", "t"));
            store_close(leaving);
        }
        EXPECT_OK(sl_nursery_join(second));
        sl_nursery_close(second);
        EXPECT_EQ(stayer.first, i);
    }
    store_close(pusher);
    store_close(staying);
}

TEST(a_store_that_closes_keeps_no_wake_up)
{
    world_run(close_while_registered, 1, NULL);
}

/* ---- types ----------------------------------------------------------------------------------- */

static bool takes(void *ctx, Str type)
{
    return str_eq_c(type, ctx);
}

/* The machine that has waited longest is told first, and does not take the type. */
static void other_types(World *world)
{
    Store *stores[2] = { open_quiet(world), open_quiet(world) }, *pusher = open_quiet(world);
    char x[] = "x", y[] = "y";
    StoreFilter filters[2] = { { takes, x }, { takes, y } };

    for (unsigned i = 0; i < 6; i++) {
        sl_nursery *nursery = sl_nursery_open(.name = "waiters");
        Waiter waiters[2];

        for (unsigned k = 0; k < 2; k++) {
            waiters[k] =
                (Waiter){ .store = stores[k], .queue = "a", .filter = &filters[k], .max = 3 };
            sl_spawn(nursery, wait_for_job, &waiters[k], .name = "waiter");
            await_parked(stores[k], 1);
            await_quiet(stores[k]);
        }
        EXPECT_OK(job_push(pusher, 2 * i, "a", "y"));
        while (!waiters[1].has_ended)
            EXPECT_OK(sl_sleep_ms(1));
        EXPECT_OK(job_push(pusher, 2 * i + 1, "a", "x"));
        EXPECT_OK(sl_nursery_join(nursery));
        sl_nursery_close(nursery);
        EXPECT_EQ(waiters[1].first, 2 * i);
        EXPECT_EQ(waiters[0].first, 2 * i + 1);
    }
    store_check(pusher);
    store_close(pusher);
    store_close(stores[1]);
    store_close(stores[0]);
}

TEST(a_job_goes_to_the_machine_that_takes_its_type)
{
    world_run(other_types, 1, NULL);
}

/* ---- a job's end ----------------------------------------------------------------------------- */

typedef struct EndWaiter {
    Store *store;
    unsigned n;
    int r;
    JobState state;
} EndWaiter;

static int wait_for_end(void *arg)
{
    EndWaiter *waiter = arg;
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_WAIT, .get.id = job_id(waiter->n) };
    size_t cursor = 0;
    RecordHead head;
    Str record;

    waiter->r = store_run(waiter->store, &op);
    if (waiter->r == 0)
        waiter->r = op.r;
    if (store_out_next(&op.out, &cursor, &record)) {
        record_head_get(record_body(record), &head);
        waiter->state = head.state;
    }
    return 0;
}

static void end_elsewhere(World *world)
{
    Store *here = open_quiet(world), *there = open_quiet(world);
    unsigned id;

    for (unsigned i = 0; i < ROUNDS; i++) {
        sl_nursery *nursery = sl_nursery_open(.name = "waiters");
        EndWaiter waiters[3] = { 0 };

        EXPECT_OK(job_push(here, i, "a", "t"));
        EXPECT_EQ(jobs_lease(there, "a", 1, &id), 1);
        for (unsigned k = 0; k < 3; k++) {
            waiters[k] = (EndWaiter){ .store = k ? here : there, .n = i };
            sl_spawn(nursery, wait_for_end, &waiters[k], .name = "waiter");
        }
        for (unsigned turn = 0; turn < i % 9; turn++)
            EXPECT_OK(sl_yield());
        if (i % 4 == 0)
            await_quiet(here);
        EXPECT_OK(job_complete(there, i));
        EXPECT_OK(sl_nursery_join(nursery));
        sl_nursery_close(nursery);
        for (unsigned k = 0; k < 3; k++) {
            EXPECT_EQ(waiters[k].r, 0);
            EXPECT_EQ(waiters[k].state, JOB_COMPLETED);
        }
    }
    await_parked(here, 0);
    store_close(there);
    store_close(here);
}

TEST(a_wait_hears_of_an_end_elsewhere)
{
    world_run(end_elsewhere, 1, NULL);
}

/* ---- who keeps time -------------------------------------------------------------------------- */

static bool keeps_time(Store *store)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_PROMOTE, .due.max = 10 };

    EXPECT_OK(store_run(store, &op));
    EXPECT_EQ(op.r, 0);
    return !op.due.is_elsewhere;
}

static int watch(void *arg)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_WATCH,
                   .due = { .next_wall_ms = INT64_MAX, .next_steady_ms = INT64_MAX } };

    EXPECT_OK(store_run(arg, &op));
    EXPECT_EQ(op.r, 0);
    return 0;
}

static void hand_over(World *world)
{
    Store *first = open_quiet(world), *second = open_quiet(world);
    sl_nursery *nursery = sl_nursery_open(.name = "watch");

    EXPECT(keeps_time(first));
    EXPECT(!keeps_time(second));
    EXPECT(keeps_time(first));
    sl_spawn(nursery, watch, second, .name = "watch");
    EXPECT_OK(sl_sleep_ms(20));
    store_close(first);
    EXPECT_OK(sl_nursery_join(nursery)); /* hears that the place is free */
    sl_nursery_close(nursery);
    EXPECT(keeps_time(second));
    store_close(second);
}

TEST(one_keeps_time_and_hands_it_over_when_it_leaves)
{
    world_run(hand_over, 1, NULL);
}

static void wake_the_ticker(World *world)
{
    Store *keeper = open_quiet(world), *pusher = open_quiet(world);
    sl_nursery *nursery = sl_nursery_open(.name = "watch");
    AUTO(buf_deinit) Buf buf = { 0 };
    JobSpec spec = { .id = job_id(1), .type = STR_C("t"), .queue = STR_C("a") };
    Str record;

    EXPECT(keeps_time(keeper));
    sl_spawn(nursery, watch, keeper, .name = "watch");
    EXPECT_OK(sl_sleep_ms(20));
    spec.run_at_ms = store_now(pusher).wall_ms + 100;
    record_encode(&buf, &spec, store_now(pusher).wall_ms);
    record = buf_str(&buf);
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    EXPECT_OK(store_run(pusher, &op));
    EXPECT_EQ(op.r, 0);
    EXPECT_OK(sl_nursery_join(nursery)); /* something is due earlier than it knew */
    sl_nursery_close(nursery);
    store_close(pusher);
    store_close(keeper);
}

TEST(a_delayed_job_pushed_elsewhere_wakes_who_keeps_time)
{
    world_run(wake_the_ticker, 1, NULL);
}

TEST_MAIN()
