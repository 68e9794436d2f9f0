/*
 * Nurseries: who waits for whom, what a failure does, limits, errors by value.
 */
/* loops: all */
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>

static size_t count_done;
static size_t count_cancelled;

static int sleeps_for_ever(void *arg)
{
    int r = sl_sleep_forever();

    (void) arg;
    count_cancelled++;
    return r;
}

static int done_after_yields(void *arg)
{
    for (uintptr_t i = 0; i < (uintptr_t) arg; i++) {
        int r = sl_yield();

        if (r < 0)
            return r;
    }
    count_done++;
    return 0;
}

static int fails_after_yields(void *arg)
{
    int r = done_after_yields(arg);

    return r < 0 ? r : sl_fail(-EIO, "child of %d yields", (int) (uintptr_t) arg);
}

static void reset(void)
{
    count_done = 0;
    count_cancelled = 0;
}

/* -- Waiting -- */

static int join_waits(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    reset();
    EXPECT_OK(sl_nursery_join(nursery)); /* of nobody */
    for (uintptr_t i = 0; i < 10; i++)
        sl_spawn(nursery, done_after_yields, (void *) i);
    EXPECT_EQ(sl_nursery_count(nursery), 10);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count_done, 10);
    EXPECT_EQ(sl_nursery_count(nursery), 0);

    sl_spawn(nursery, done_after_yields, NULL); /* it may be used again */
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count_done, 11);
    return 0;
}

TEST(join_waits_for_all_children)
{
    EXPECT_OK(sl_run(join_waits, NULL));
}

static int close_cancels(void *arg)
{
    (void) arg;
    reset();
    {
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

        for (int i = 0; i < 10; i++)
            sl_spawn(nursery, sleeps_for_ever, NULL);
        EXPECT_OK(sl_yield());
    }
    EXPECT_EQ(count_cancelled, 10);
    sl_nursery_close(NULL);
    return 0;
}

TEST(close_cancels_and_waits)
{
    EXPECT_OK(sl_run(close_cancels, NULL));
}

static int never_run(void *arg)
{
    (void) arg;
    {
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

        reset();
        sl_spawn(nursery, sleeps_for_ever, NULL);
    }
    EXPECT_EQ(count_cancelled, 1); /* it began, cancelled as it was, and could clean up */
    return 0;
}

TEST(a_child_that_had_no_turn_still_runs)
{
    EXPECT_OK(sl_run(never_run, NULL));
}

/* -- Failure -- */

static int first_failure(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    reset();
    for (int i = 0; i < 5; i++)
        sl_spawn(nursery, sleeps_for_ever, NULL);
    sl_spawn(nursery, fails_after_yields, (void *) 3);
    EXPECT_ERR(sl_nursery_join(nursery), -EIO, "child of 3 yields");
    EXPECT_EQ(count_cancelled, 5);
    EXPECT(!sl_is_cancelled()); /* the owner is outside */
    EXPECT_OK(sl_yield());
    EXPECT_ERR(sl_nursery_join(nursery), -EIO, "child of 3 yields"); /* and again */
    EXPECT_EQ(sl_spawn(nursery, sleeps_for_ever, NULL), -ECANCELED);
    return 0;
}

TEST(the_first_failure_cancels_the_others)
{
    EXPECT_OK(sl_run(first_failure, NULL));
}

static int fails_as_told(void *arg)
{
    return sl_fail(-EIO, "number %d", (int) (uintptr_t) arg);
}

static int one_error_of_many(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    for (uintptr_t i = 0; i < 5; i++)
        sl_spawn(nursery, fails_as_told, (void *) i);
    return sl_nursery_join(nursery);
}

TEST(join_gives_one_error)
{
    EXPECT_ERR(sl_run(one_error_of_many, NULL), -EIO, "number ");
}

static int keeps_going(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.keep_going = true);

    (void) arg;
    reset();
    sl_spawn(nursery, fails_after_yields, (void *) 1);
    for (int i = 0; i < 5; i++)
        sl_spawn(nursery, done_after_yields, (void *) 5);
    EXPECT_ERR(sl_nursery_join(nursery), -EIO, "child of 1");
    EXPECT_EQ(count_done, 6);
    return 0;
}

TEST(keep_going_lets_the_others_finish)
{
    EXPECT_OK(sl_run(keeps_going, NULL));
}

static int positive(void *arg)
{
    (void) arg;
    return SL_CLOSED;
}

static int outcomes_are_no_failure(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    sl_spawn(nursery, positive, NULL);
    return sl_nursery_join(nursery);
}

TEST(an_outcome_above_zero_is_no_failure)
{
    EXPECT_OK(sl_run(outcomes_are_no_failure, NULL));
}

/* -- Errors by value -- */

static int error_moves_up(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    uintptr_t depth = (uintptr_t) arg;
    int r;

    if (depth == 0)
        return sl_fail(-ERR_DNS, "the deepest");
    sl_spawn(nursery, error_moves_up, (void *) (depth - 1));
    r = sl_nursery_join(nursery);
    return wrap(r, "level %d", (int) depth);
}

/* Would catch a record that dies with the child's stack. */
TEST(words_move_up_through_nurseries)
{
    EXPECT_ERR(sl_run(error_moves_up, (void *) 3), -ERR_DNS,
               "level 3: level 2: level 1: the deepest");
}

/* -- Cancellation -- */

static int cancel_then_join(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    reset();
    for (int i = 0; i < 3; i++)
        sl_spawn(nursery, sleeps_for_ever, NULL);
    EXPECT_OK(sl_yield());
    sl_nursery_cancel(nursery);
    sl_nursery_cancel(nursery);
    EXPECT_EQ(sl_spawn(nursery, sleeps_for_ever, NULL), -ECANCELED);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count_cancelled, 3);
    return 0;
}

TEST(cancel_and_join_is_no_error)
{
    EXPECT_OK(sl_run(cancel_then_join, NULL));
}

static int joins_in_child(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *inner = sl_nursery_open();

    (void) arg;
    for (int i = 0; i < 3; i++)
        sl_spawn(inner, sleeps_for_ever, NULL);
    return sl_nursery_join(inner);
}

static int cancels_grandchildren(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    reset();
    sl_spawn(nursery, joins_in_child, NULL);
    sl_spawn(nursery, joins_in_child, NULL);
    EXPECT_OK(sl_yield());
    EXPECT_OK(sl_yield());
    sl_nursery_cancel(nursery);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count_cancelled, 6);
    return 0;
}

TEST(cancellation_reaches_grandchildren)
{
    EXPECT_OK(sl_run(cancels_grandchildren, NULL));
}

static int join_in_scope(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    sl_scope scope;
    int r;

    (void) arg;
    reset();
    sl_spawn(nursery, sleeps_for_ever, NULL);
    sl_scope_begin(&scope, .timeout_ms = 5); /* around join alone: the nursery is outside */
    r = sl_nursery_join(nursery);
    EXPECT_EQ(r, -ECANCELED);
    EXPECT_EQ(count_cancelled, 1);
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    return 0;
}

TEST(a_deadline_around_join_cancels_the_children)
{
    EXPECT_OK(sl_run(join_in_scope, NULL));
}

/* -- Limits -- */

static size_t count_alive;
static size_t count_most;

static int counts_itself(void *arg)
{
    int r;

    (void) arg;
    count_alive++;
    count_most = MAX(count_most, count_alive);
    r = sl_sleep_ms(1);
    count_alive--;
    count_done++;
    return r;
}

static int limited(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.limit = 3);

    (void) arg;
    reset();
    count_most = 0;
    for (int i = 0; i < 20; i++)
        EXPECT_OK(sl_spawn(nursery, counts_itself, NULL));
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count_most, 3);
    EXPECT_EQ(count_done, 20);
    return 0;
}

TEST(a_limit_makes_spawn_wait)
{
    EXPECT_OK(sl_run(limited, NULL));
}

static int spawns_into(void *arg)
{
    sl_nursery *nursery = arg;

    while (true) {
        int r = sl_spawn(nursery, sleeps_for_ever, NULL);

        if (r < 0)
            return r;
    }
}

static int cancelled_at_limit(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *crowded = sl_nursery_open(.limit = 2);
    AUTO(sl_nursery_close) sl_nursery *spawners = sl_nursery_open();

    (void) arg;
    reset();
    sl_spawn(spawners, spawns_into, crowded);
    sl_spawn(spawners, spawns_into, crowded);
    EXPECT_OK(sl_sleep_ms(1));
    EXPECT_EQ(sl_nursery_count(crowded), 2);
    sl_nursery_cancel(spawners);
    EXPECT_OK(sl_nursery_join(spawners));
    EXPECT_EQ(sl_nursery_count(crowded), 2);
    return 0;
}

TEST(waiting_at_the_limit_can_be_cancelled)
{
    EXPECT_OK(sl_run(cancelled_at_limit, NULL));
}

/* Would catch one who waits for room that nobody will ever tell it about. */
static int cancelled_with_queue(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *crowded = sl_nursery_open(.limit = 2);
    AUTO(sl_nursery_close) sl_nursery *spawners = sl_nursery_open(.keep_going = true);

    (void) arg;
    for (int i = 0; i < 7; i++)
        sl_spawn(spawners, spawns_into, crowded);
    EXPECT_OK(sl_sleep_ms(1));
    EXPECT_EQ(sl_nursery_count(spawners), 7);
    sl_nursery_cancel(crowded);
    EXPECT_EQ(sl_nursery_join(spawners), -ECANCELED); /* what their sl_spawn said */
    EXPECT_OK(sl_nursery_join(crowded));
    return 0;
}

TEST(cancelling_a_full_nursery_frees_who_waits_for_room)
{
    EXPECT_OK(sl_run(cancelled_with_queue, NULL));
}

/* -- Stacks are used again -- */

static int churns(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    sl_stats before;
    sl_stats after;

    (void) arg;
    for (int i = 0; i < 100; i++)
        sl_spawn(nursery, done_after_yields, (void *) 1);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_stats_get(&before);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 100; i++)
            sl_spawn(nursery, done_after_yields, (void *) 1);
        EXPECT_OK(sl_nursery_join(nursery));
    }
    sl_stats_get(&after);
    EXPECT_EQ(after.stacks, before.stacks);
    return 0;
}

TEST(stacks_are_used_again)
{
    EXPECT_OK(sl_run(churns, NULL));
}

TEST_MAIN()
