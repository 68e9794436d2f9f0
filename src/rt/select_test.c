/*
 * Select: exactly one arm, the right one, fairly.
 */
/* loops: all */
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>

enum { ARMS = 4 };

typedef struct Arms {
    sl_chan *chans[ARMS];
    int sent;
} Arms;

static void arms_new(Arms *arms, size_t capacity)
{
    for (int i = 0; i < ARMS; i++)
        arms->chans[i] = sl_chan_new(sizeof(int), capacity);
}

static void arms_free(Arms *arms)
{
    for (int i = 0; i < ARMS; i++)
        sl_chan_free(arms->chans[i]);
}

/* -- Waiting -- */

static int sends_to_each(void *arg)
{
    Arms *arms = arg;

    for (int i = 0; i < 100; i++) {
        EXPECT_OK(sl_chan_send(arms->chans[(i * 7) % ARMS], &i));
        if (i % 3 == 0)
            EXPECT_OK(sl_sleep_ms(1));
    }
    return 0;
}

static int selects_each(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Arms arms;
    int items[ARMS];
    bool seen[100] = { false };
    sl_select_case cases[ARMS];
    size_t index;

    arms_new(&arms, (size_t) (uintptr_t) arg);
    for (int i = 0; i < ARMS; i++)
        cases[i] = (sl_select_case){ .chan = arms.chans[i], .recv = &items[i] };
    sl_spawn(nursery, sends_to_each, &arms);
    for (int i = 0; i < 100; i++) {
        EXPECT_OK(sl_select(cases, ARMS, &index));
        EXPECT(index < ARMS && items[index] >= 0 && items[index] < 100);
        EXPECT_EQ((size_t) (items[index] * 7) % ARMS, index);
        EXPECT(!seen[items[index]]);
        seen[items[index]] = true;
    }
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(sl_try_select(cases, ARMS, &index), SL_EMPTY);
    arms_free(&arms);
    return 0;
}

TEST(select_receives_each_item_once)
{
    EXPECT_OK(sl_run(selects_each, (void *) 0));
    EXPECT_OK(sl_run(selects_each, (void *) 3));
}

/* -- Fairness -- */

static int selects_fairly(void *arg)
{
    Arms arms;
    sl_select_case cases[ARMS];
    size_t counts[ARMS] = { 0 };
    int item = 0;
    size_t index;

    (void) arg;
    arms_new(&arms, 1000);
    for (int i = 0; i < ARMS; i++) {
        cases[i] = (sl_select_case){ .chan = arms.chans[i], .recv = &item };
        for (int j = 0; j < 1000; j++)
            EXPECT_OK(sl_chan_try_send(arms.chans[i], &item));
    }
    for (int i = 0; i < 400; i++) {
        EXPECT_OK(sl_select(cases, ARMS, &index));
        counts[index]++;
    }
    for (int i = 0; i < ARMS; i++)
        EXPECT(counts[i] >= 50); /* Would catch an arm that starves the others. */
    arms_free(&arms);
    return 0;
}

TEST(no_arm_starves_the_others)
{
    EXPECT_OK(sl_run(selects_fairly, NULL));
}

/* -- Sending arms -- */

static int receives_from_second(void *arg)
{
    Arms *arms = arg;
    int item;

    EXPECT_OK(sl_sleep_ms(1));
    EXPECT_OK(sl_chan_recv(arms->chans[1], &item));
    EXPECT_EQ(item, 11);
    return 0;
}

static int selects_to_send(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Arms arms;
    int out[ARMS] = { 10, 11, 12, 13 };
    int in = 0;
    size_t index;

    (void) arg;
    arms_new(&arms, 0);
    sl_select_case cases[] = {
        { .chan = arms.chans[0], .send = &out[0] },
        { .chan = arms.chans[1], .send = &out[1] },
        { .chan = arms.chans[2], .recv = &in },
    };
    sl_spawn(nursery, receives_from_second, &arms);
    EXPECT_OK(sl_select(cases, ARRAY_LEN(cases), &index));
    EXPECT_EQ(index, 1);
    EXPECT_EQ(sl_try_select(cases, ARRAY_LEN(cases), &index), SL_EMPTY);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(sl_chan_try_recv(arms.chans[0], &in), SL_EMPTY); /* the other arms have left */
    arms_free(&arms);
    return 0;
}

TEST(an_arm_may_send)
{
    EXPECT_OK(sl_run(selects_to_send, NULL));
}

static int both_ends(void *arg)
{
    sl_chan *chan = arg;
    int in = 0;
    int out = 1;
    size_t index;
    sl_select_case cases[] = { { .chan = chan, .recv = &in }, { .chan = chan, .send = &out } };

    return sl_select(cases, 2, &index);
}

static int meets_itself(void *arg)
{
    AUTO(sl_chan_free) sl_chan *chan = sl_chan_new(sizeof(int), 0);
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    sl_spawn(nursery, both_ends, chan);
    EXPECT_OK(sl_sleep_ms(1));
    EXPECT_EQ(sl_nursery_count(nursery), 1); /* alone it waits: it is no partner for itself */
    sl_spawn(nursery, both_ends, chan);
    return sl_nursery_join(nursery);
}

TEST(a_select_does_not_meet_itself)
{
    EXPECT_OK(sl_run(meets_itself, NULL));
}

/* -- Closing and cancelling -- */

static int closes_third(void *arg)
{
    Arms *arms = arg;

    EXPECT_OK(sl_sleep_ms(1));
    sl_chan_close(arms->chans[2]);
    return 0;
}

static int select_sees_close(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Arms arms;
    sl_select_case cases[ARMS];
    int item;
    size_t index;

    (void) arg;
    arms_new(&arms, 1);
    for (int i = 0; i < ARMS; i++)
        cases[i] = (sl_select_case){ .chan = arms.chans[i], .recv = &item };
    sl_spawn(nursery, closes_third, &arms);
    EXPECT_EQ(sl_select(cases, ARMS, &index), SL_CLOSED);
    EXPECT_EQ(index, 2);
    EXPECT_EQ(sl_select(cases, ARMS, &index), SL_CLOSED); /* at once */
    EXPECT_EQ(index, 2);
    EXPECT_OK(sl_nursery_join(nursery));
    arms_free(&arms);
    return 0;
}

TEST(select_tells_which_arm_is_closed)
{
    EXPECT_OK(sl_run(select_sees_close, NULL));
}

static int select_is_cancelled(void *arg)
{
    Arms arms;
    sl_select_case cases[ARMS];
    sl_scope scope;
    int item = 0;
    size_t index;
    int r;

    (void) arg;
    arms_new(&arms, 0);
    for (int i = 0; i < ARMS; i++)
        cases[i] = (sl_select_case){ .chan = arms.chans[i], .recv = &item };
    sl_scope_begin(&scope, .timeout_ms = 2);
    r = sl_select(cases, ARMS, &index);
    EXPECT_EQ(r, -ECANCELED);
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    for (int i = 0; i < ARMS; i++)
        EXPECT_EQ(sl_chan_try_send(arms.chans[i], &item), SL_FULL); /* nobody is left waiting */
    arms_free(&arms);
    return 0;
}

TEST(a_cancelled_select_leaves_all_queues)
{
    EXPECT_OK(sl_run(select_is_cancelled, NULL));
}

TEST_MAIN()
