/*
 * Several loops: calling a function on another one, results, words, cancellation.
 */
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { LOOPS = 3 };

static int tells_loop(void *arg)
{
    *(size_t *) arg = sl_loop_index();
    EXPECT_C(sl_self_name(), "visitor");
    EXPECT_OK(sl_yield());
    return 5;
}

static int visits_all(void *arg)
{
    (void) arg;
    EXPECT_EQ(sl_loop_count(), LOOPS);
    for (size_t i = 0; i < LOOPS; i++) {
        size_t seen = 99;

        if (i == sl_loop_index())
            sl_set_name("visitor"); /* a call on the own loop is a plain call */
        EXPECT_EQ(sl_call_on(i, tells_loop, &seen, "visitor"), 5);
        EXPECT_EQ(seen, i);
    }
    return 0;
}

TEST(a_function_runs_on_each_loop)
{
    EXPECT_OK(sl_run(visits_all, NULL, .loops = LOOPS, .loop = SL_LOOP_EPOLL));
    EXPECT_OK(sl_run(visits_all, NULL, .loops = LOOPS));
}

static int fails_far_away(void *arg)
{
    (void) arg;
    return sl_fail(-ERR_DNS, "seen from loop %d", (int) sl_loop_index());
}

static int hears_words(void *arg)
{
    (void) arg;
    EXPECT_ERR(sl_call_on(2, fails_far_away, NULL, "fails"), -ERR_DNS, "seen from loop 2");
    return 0;
}

TEST(words_come_back_by_value)
{
    EXPECT_OK(sl_run(hears_words, NULL, .loops = LOOPS, .loop = SL_LOOP_EPOLL));
}

static atomic_int n_cancelled;

static int sleeps_far_away(void *arg)
{
    int64_t *deadline = arg;
    int r;

    *deadline = sl_deadline_ns();
    r = sl_sleep_forever();
    EXPECT_EQ(sl_yield(), -ECANCELED);
    atomic_fetch_add(&n_cancelled, 1);
    return r;
}

static int calls_sleeper(void *arg)
{
    int64_t seen = 0;
    int r = sl_call_on(1, sleeps_far_away, &seen, "sleeper");

    EXPECT_EQ(seen, sl_deadline_ns());
    (void) arg;
    return r;
}

static int cancels_far_away(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    atomic_store(&n_cancelled, 0);
    EXPECT_ERR(sl_with_timeout(5, calls_sleeper, NULL), -ETIMEDOUT, "timed out");
    EXPECT_EQ(atomic_load(&n_cancelled), 1);
    for (int i = 0; i < 20; i++)
        sl_spawn(nursery, calls_sleeper, NULL);
    EXPECT_OK(sl_sleep_ms(2));
    sl_nursery_cancel(nursery);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(atomic_load(&n_cancelled), 21);
    return 0;
}

TEST(cancellation_crosses_loops)
{
    EXPECT_OK(sl_run(cancels_far_away, NULL, .loops = LOOPS, .loop = SL_LOOP_EPOLL));
    EXPECT_OK(sl_run(cancels_far_away, NULL, .loops = LOOPS));
}

static int counts(void *arg)
{
    *(int *) arg += 1;
    return 0;
}

/* Cancelled at the moment the call is made, or done, or in between: the caller always waits for
 * both answers. */
static int call_and_cancel_race(void *arg)
{
    (void) arg;
    for (int i = 0; i < 300; i++) {
        sl_scope scope;
        int n = 0;
        int r;

        sl_scope_begin(&scope, .deadline_ns = sl_now_ns() + i * 1000);
        r = sl_call_on(1 + (size_t) i % 2, counts, &n, "race");
        EXPECT(r == 0 || r == -ECANCELED);
        EXPECT_EQ(n, r == 0 ? 1 : 0);
        r = sl_scope_end(&scope, r);
        EXPECT(r == 0 || r == -ETIMEDOUT);
    }
    return 0;
}

TEST(a_call_and_its_cancellation_race)
{
    EXPECT_OK(sl_run(call_and_cancel_race, NULL, .loops = LOOPS, .loop = SL_LOOP_EPOLL));
}

static int bounces(void *arg)
{
    size_t left = *(size_t *) arg;

    if (left == 0)
        return (int) sl_loop_index() + 1;
    left--;
    return sl_call_on((sl_loop_index() + 1) % LOOPS, bounces, &left, "ball");
}

static int throws_balls(void *arg)
{
    size_t many = 50;

    EXPECT_EQ(sl_call_on((size_t) (uintptr_t) arg, bounces, &many, "ball"),
              (int) (((uintptr_t) arg + many) % LOOPS) + 1);
    return 0;
}

static int throws_many(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    for (int i = 0; i < 30; i++)
        sl_spawn(nursery, throws_balls, (void *) (uintptr_t) (i % LOOPS));
    return sl_nursery_join(nursery);
}

TEST(calls_bounce_between_loops)
{
    EXPECT_OK(sl_run(throws_many, NULL, .loops = LOOPS, .loop = SL_LOOP_EPOLL));
    EXPECT_OK(sl_run(throws_many, NULL, .loops = LOOPS));
}

TEST_MAIN()
