/*
 * Rate limiters and intervals.
 */
/* loops: all */
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>

static size_t order[16];
static size_t n_order;
static sl_rate rate;

static int takes(void *arg)
{
    int r = sl_rate_take(&rate, 1);

    if (r == 0)
        order[n_order++] = (size_t) (uintptr_t) arg;
    return r;
}

static int limits(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int64_t before = sl_now_ns();
    int64_t took;

    (void) arg;
    rate = (sl_rate){ .per_second = 1000, .burst = 2 };
    n_order = 0;
    for (uintptr_t i = 0; i < 12; i++)
        sl_spawn(nursery, takes, (void *) i);
    EXPECT_OK(sl_nursery_join(nursery));
    took = sl_now_ns() - before;
    EXPECT_EQ(n_order, 12);
    EXPECT(took >= 10 * NS_PER_MS - NS_PER_MS / 100); /* two at once, ten at 1 ms each */
    return 0;
}

TEST(a_rate_is_kept)
{
    EXPECT_OK(sl_run(limits, NULL));
}

/* An empty bucket into which next to nothing drips: who takes now stands in the queue, for as long
 * as the rate is not raised and whoever is first in the queue stays. */
static void empty_bucket(void)
{
    rate = (sl_rate){ .per_second = 0.001 };
    n_order = 0;
    EXPECT_OK(sl_rate_try_take(&rate, 1));
    EXPECT_EQ(sl_rate_try_take(&rate, 1), SL_BUSY);
}

static int in_order(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(sl_nursery_close) sl_nursery *first = sl_nursery_open();

    (void) arg;
    empty_bucket();
    sl_spawn(first, takes, (void *) 9);
    EXPECT_OK(sl_sleep_ms(1)); /* on any loop it now waits */
    for (uintptr_t i = 0; i < 4; i++) {
        sl_spawn(nursery, takes, (void *) i);
        EXPECT_OK(sl_sleep_ms(1));
    }
    rate.per_second = 200;
    sl_nursery_cancel(first);
    EXPECT_EQ(sl_rate_try_take(&rate, 0), SL_BUSY); /* nobody overtakes the queue */
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(n_order, 4);
    for (size_t i = 0; i < 4; i++)
        EXPECT_EQ(order[i], i);
    return 0;
}

TEST(who_waits_for_tokens_is_served_in_order)
{
    EXPECT_OK(sl_run(in_order, NULL));
}

static int cancelled_in_queue(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *hasty = sl_nursery_open();
    AUTO(sl_nursery_close) sl_nursery *patient = sl_nursery_open();

    (void) arg;
    empty_bucket();
    sl_spawn(hasty, takes, (void *) 1); /* first in the queue, and gives up */
    EXPECT_OK(sl_sleep_ms(1));
    sl_spawn(hasty, takes, (void *) 2);
    EXPECT_OK(sl_sleep_ms(1));
    sl_spawn(patient, takes, (void *) 3);
    EXPECT_OK(sl_sleep_ms(1));
    rate.per_second = 50; /* for who becomes the first from here on */
    sl_nursery_cancel(hasty);
    EXPECT_OK(sl_nursery_join(hasty));
    EXPECT_OK(sl_nursery_join(patient));
    EXPECT_EQ(n_order, 1);
    EXPECT_EQ(order[0], 3);
    return 0;
}

TEST(who_gives_up_does_not_hold_the_others)
{
    EXPECT_OK(sl_run(cancelled_in_queue, NULL));
}

static int takes_more_than_fits(void *arg)
{
    int64_t before = sl_now_ns();

    (void) arg;
    rate = (sl_rate){ .per_second = 1000, .burst = 2 };
    EXPECT_OK(sl_rate_take(&rate, 5)); /* a full bucket is enough, and goes into debt */
    EXPECT_EQ(sl_rate_try_take(&rate, 1), SL_BUSY);
    EXPECT_OK(sl_rate_take(&rate, 1));
    EXPECT(sl_now_ns() - before >= 4 * NS_PER_MS - NS_PER_MS / 100);
    return 0;
}

TEST(a_request_larger_than_the_bucket_is_paid_later)
{
    EXPECT_OK(sl_run(takes_more_than_fits, NULL));
}

/* -- Intervals -- */

static int ticks(void *arg)
{
    sl_interval interval = { .period_ns = 2 * NS_PER_MS };
    int64_t before = sl_now_ns();
    sl_scope scope;
    int r;

    (void) arg;
    for (int64_t i = 1; i <= 5; i++) {
        EXPECT_OK(sl_interval_wait(&interval));
        EXPECT(sl_now_ns() >= before + i * 2 * NS_PER_MS); /* no drift: from the start */
    }
    interval.missed = 0;
    EXPECT_OK(sl_sleep_until_ns(interval.next_ns + 7 * NS_PER_MS));
    EXPECT_OK(sl_interval_wait(&interval)); /* late: at once */
    EXPECT(interval.missed >= 3);
    EXPECT(interval.next_ns > sl_now_ns() - 2 * NS_PER_MS);

    interval = (sl_interval){ .period_ns = 3600 * NS_PER_S };
    sl_scope_begin(&scope, .timeout_ms = 1);
    r = sl_interval_wait(&interval);
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    return 0;
}

TEST(an_interval_does_not_drift)
{
    EXPECT_OK(sl_run(ticks, NULL));
}

TEST_MAIN()
