/*
 * throttle: each kind of answer moves the pace the way throttle.h says, and no row of answers moves
 * it out of its bounds.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "base/rand.h"
#include "base/test.h"
#include "handlers/crawl/throttle.h"

#define MS NS_PER_MS

static ThrottleEvent answer(int status, int64_t began_ms, int64_t own_ms)
{
    return (ThrottleEvent){
        .status = status,
        .began_ns = began_ms * MS,
        .latency_ns = 10 * MS,
        .retry_after_ms = -1,
        .is_adaptive = true,
        .own_delay_ns = own_ms * MS,
        .at_once = 1,
    };
}

TEST(a_429_halves_the_rate_and_good_answers_bring_it_back)
{
    Throttle throttle = { 0 };
    ThrottleEvent event = answer(429, 1, 100);
    int64_t last;
    int n = 0;

    throttle_learn(&throttle, &event, 20 * MS);
    EXPECT_EQ(throttle_delay_ns(&throttle, 100 * MS), 200 * MS);
    EXPECT_EQ(throttle.pause_ns, 220 * MS);
    event = answer(503, 230, 100);
    throttle_learn(&throttle, &event, 250 * MS);
    EXPECT_EQ(throttle_delay_ns(&throttle, 100 * MS), 400 * MS);

    last = throttle.delay_ns;
    for (event = answer(200, 900, 100); throttle.delay_ns; n++) {
        throttle_learn(&throttle, &event, (1000 + n) * MS);
        EXPECT(throttle_delay_ns(&throttle, 100 * MS) < last);
        EXPECT(throttle_delay_ns(&throttle, 100 * MS) >= 100 * MS);
        last = throttle_delay_ns(&throttle, 100 * MS);
        REQUIRE(n < 100);
    }
    EXPECT(n > 10); /* slowly */
    EXPECT_EQ(last, 100 * MS);
}

/* Twenty refusals of requests that were under way together are one refusal. */
TEST(answers_to_requests_before_the_push_back_say_nothing_new)
{
    Throttle throttle = { 0 };
    ThrottleEvent event = answer(503, 1, 100);

    for (int i = 0; i < 20; i++)
        throttle_learn(&throttle, &event, (20 + i) * MS);
    EXPECT_EQ(throttle_delay_ns(&throttle, 100 * MS), 200 * MS);
    EXPECT_EQ(throttle.n_pushed, 20);
    event.retry_after_ms = 5000; /* but what it asks for counts */
    throttle_learn(&throttle, &event, 40 * MS);
    EXPECT_EQ(throttle.pause_ns, 5040 * MS);
}

TEST(retry_after_pauses_and_is_cut)
{
    Throttle throttle = { 0 };
    ThrottleEvent event = answer(429, 1, 100);

    event.retry_after_ms = 3000;
    throttle_learn(&throttle, &event, 20 * MS);
    EXPECT_EQ(throttle.pause_ns, 3020 * MS);
    event.retry_after_ms = INT64_MAX / 4;
    throttle_learn(&throttle, &event, 30 * MS);
    EXPECT_EQ(throttle.pause_ns, (30 + (int64_t) LIMIT_THROTTLE_RETRY_AFTER_MS) * MS);
}

/* A host without a delay has a rate all the same, and its half is not nothing. */
TEST(a_host_without_delay_is_slowed_by_its_latency)
{
    Throttle throttle = { 0 };
    ThrottleEvent event = answer(200, 1, 0);

    event.latency_ns = 80 * MS;
    event.at_once = 8;
    throttle_learn(&throttle, &event, 20 * MS);
    EXPECT_EQ(throttle_delay_ns(&throttle, 0), 0); /* latency alone does not slow it */
    event.status = 503;
    event.began_ns = 30 * MS;
    throttle_learn(&throttle, &event, 40 * MS);
    EXPECT_EQ(throttle_delay_ns(&throttle, 0), 20 * MS);
    event.status = 200;
    for (int i = 0; i < 60; i++)
        throttle_learn(&throttle, &event, (50 + i) * MS);
    EXPECT_EQ(throttle_delay_ns(&throttle, 0), 0);
}

TEST(the_delay_follows_a_slow_server)
{
    Throttle throttle = { 0 };
    ThrottleEvent event = answer(200, 1, 100);

    event.latency_ns = 2000 * MS;
    event.at_once = 2;
    for (int i = 0; i < 20; i++)
        throttle_learn(&throttle, &event, i * MS);
    EXPECT(throttle_delay_ns(&throttle, 100 * MS) > 990 * MS);
    EXPECT(throttle_delay_ns(&throttle, 100 * MS) <= 1000 * MS);
    event.latency_ns = 10 * MS;
    event.status = 404; /* quick to send: proves nothing */
    throttle_learn(&throttle, &event, 30 * MS);
    EXPECT(throttle_delay_ns(&throttle, 100 * MS) > 990 * MS);
    event.status = 200;
    for (int i = 0; i < 60; i++)
        throttle_learn(&throttle, &event, (40 + i) * MS);
    EXPECT_EQ(throttle_delay_ns(&throttle, 100 * MS), 100 * MS);
}

TEST(missing_answers_pause_from_the_third_on)
{
    Throttle throttle = { 0 };
    ThrottleEvent event = answer(0, 1, 0);

    throttle_learn(&throttle, &event, 10 * MS);
    throttle_learn(&throttle, &event, 20 * MS);
    EXPECT_EQ(throttle.pause_ns, 0);
    throttle_learn(&throttle, &event, 30 * MS);
    EXPECT_EQ(throttle.pause_ns, 1030 * MS);
    throttle_learn(&throttle, &event, 40 * MS); /* began before the pause */
    EXPECT_EQ(throttle.pause_ns, 1030 * MS);
    event.began_ns = 1040 * MS;
    throttle_learn(&throttle, &event, 1050 * MS);
    EXPECT_EQ(throttle.pause_ns, 3050 * MS);
    event = answer(200, 3060, 0);
    throttle_learn(&throttle, &event, 3070 * MS);
    EXPECT_EQ(throttle.n_failed_row, 0);
}

/* Whatever comes in whatever order: the delay is never below the host's own nor above the cap, and
 * no pause is longer than the longest there is. */
TEST(no_row_of_answers_leaves_the_bounds)
{
    static const int statuses[] = { 0, 200, 304, 404, 429, 500, 503 };
    Rand rand;

    for (uint64_t seed = 1; seed <= 100; seed++) {
        Throttle throttle = { 0 };
        int64_t now_ns = 0, own_ns;

        rand_init(&rand, seed);
        own_ns = (int64_t) rand_below(&rand, 3) * 400 * MS;
        for (int i = 0; i < 200; i++) {
            ThrottleEvent event = answer(statuses[rand_below(&rand, ARRAY_LEN(statuses))], 0, 0);
            int64_t pause_before_ns = throttle.pause_ns;

            event.own_delay_ns = own_ns;
            event.at_once = 1 + rand_below(&rand, 20);
            event.latency_ns = (int64_t) rand_below(&rand, 30 * NS_PER_S);
            event.retry_after_ms = (int64_t) rand_below(&rand, 5) - 1;
            event.is_adaptive = rand_below(&rand, 2);
            event.began_ns = now_ns;
            now_ns += (int64_t) rand_below(&rand, 5000) * MS;
            throttle_learn(&throttle, &event, now_ns);
            EXPECT(throttle_delay_ns(&throttle, own_ns) >= own_ns);
            EXPECT(throttle.delay_ns <= LIMIT_THROTTLE_DELAY_MS * MS);
            EXPECT(throttle.pause_ns >= pause_before_ns);
            EXPECT(throttle.pause_ns <= now_ns + LIMIT_THROTTLE_DELAY_MS * MS);
        }
    }
}

TEST_MAIN()
