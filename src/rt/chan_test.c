/*
 * Channels: order, waiting, closing, cancellation, and what becomes of items.
 */
/* loops: all */
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>

/* -- A stream of numbers -- */

typedef struct Stream {
    sl_chan *chan;
    uint64_t n;
    uint64_t sum;
    uint64_t last;
} Stream;

static int sends_numbers(void *arg)
{
    Stream *stream = arg;

    for (uint64_t i = 1; i <= stream->n; i++)
        EXPECT_OK(sl_chan_send(stream->chan, &i));
    sl_chan_close(stream->chan);
    return 0;
}

static int receives_numbers(void *arg)
{
    Stream *stream = arg;
    uint64_t item;
    int r;

    sl_chan_each(r, stream->chan, item) {
        EXPECT_EQ(item, stream->last + 1);
        stream->last = item;
        stream->sum += item;
    }
    EXPECT_EQ(r, SL_CLOSED);
    return 0;
}

static int streams(void *arg)
{
    static const size_t capacities[] = { 0, 1, 2, 7, 128 };

    (void) arg;
    for (size_t i = 0; i < ARRAY_LEN(capacities); i++) {
        AUTO(sl_chan_free) sl_chan *chan = sl_chan_new(sizeof(uint64_t), capacities[i]);
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
        Stream stream = { .chan = chan, .n = 1000 };

        EXPECT_EQ(sl_chan_capacity(chan), capacities[i]);
        sl_spawn(nursery, sends_numbers, &stream);
        sl_spawn(nursery, receives_numbers, &stream);
        EXPECT_OK(sl_nursery_join(nursery));
        EXPECT_EQ(stream.sum, 500500);
        EXPECT(sl_chan_is_closed(chan));
    }
    return 0;
}

TEST(items_come_in_order_at_any_capacity)
{
    EXPECT_OK(sl_run(streams, NULL));
}

/* -- Many on both sides -- */

static uint64_t received[8];

static int receives_some(void *arg)
{
    Stream *stream = arg;
    uint64_t item;
    int r;

    sl_chan_each(r, stream->chan, item) {
        received[item % 8]++;
        stream->sum += item;
    }
    return r == SL_CLOSED ? 0 : r;
}

static int sends_some(void *arg)
{
    Stream *stream = arg;

    for (uint64_t i = 0; i < stream->n; i++)
        EXPECT_OK(sl_chan_send(stream->chan, &i));
    return 0;
}

static int many_to_many(void *arg)
{
    (void) arg;
    for (size_t capacity = 0; capacity < 4; capacity++) {
        AUTO(sl_chan_free) sl_chan *chan = sl_chan_new(sizeof(uint64_t), capacity);
        AUTO(sl_nursery_close) sl_nursery *receivers = sl_nursery_open();
        AUTO(sl_nursery_close) sl_nursery *senders = sl_nursery_open();
        Stream in = { .chan = chan };
        Stream out = { .chan = chan, .n = 80 };

        memset(received, 0, sizeof received);
        for (int i = 0; i < 5; i++) {
            sl_spawn(receivers, receives_some, &in);
            sl_spawn(senders, sends_some, &out);
        }
        EXPECT_OK(sl_nursery_join(senders));
        sl_chan_close(chan);
        sl_chan_close(chan); /* twice is nothing */
        EXPECT_OK(sl_nursery_join(receivers));
        EXPECT_EQ(in.sum, 5 * (79 * 80 / 2));
        for (int i = 0; i < 8; i++)
            EXPECT_EQ(received[i], 50);
    }
    return 0;
}

TEST(nothing_is_lost_or_doubled_among_many)
{
    EXPECT_OK(sl_run(many_to_many, NULL));
}

/* -- Without waiting -- */

static int tries(void *arg)
{
    AUTO(sl_chan_free) sl_chan *chan = sl_chan_new(sizeof(int), 2, .name = "small");
    int item = 1;

    (void) arg;
    EXPECT_EQ(sl_chan_try_recv(chan, &item), SL_EMPTY);
    EXPECT_OK(sl_chan_try_send(chan, &item));
    item = 2;
    EXPECT_OK(sl_chan_try_send(chan, &item));
    EXPECT_EQ(sl_chan_try_send(chan, &item), SL_FULL);
    EXPECT_EQ(sl_chan_len(chan), 2);
    sl_chan_close(chan);
    EXPECT_EQ(sl_chan_try_send(chan, &item), SL_CLOSED);
    EXPECT_EQ(sl_chan_send(chan, &item), SL_CLOSED);
    EXPECT_OK(sl_chan_try_recv(chan, &item)); /* what is inside is drained */
    EXPECT_EQ(item, 1);
    EXPECT_OK(sl_chan_recv(chan, &item));
    EXPECT_EQ(item, 2);
    EXPECT_EQ(sl_chan_try_recv(chan, &item), SL_CLOSED);
    EXPECT_EQ(sl_chan_recv(chan, &item), SL_CLOSED);
    return 0;
}

TEST(try_calls_do_not_wait)
{
    EXPECT_OK(sl_run(tries, NULL));
}

/* -- Order of waiters -- */

static int served[8];
static size_t n_served;

static int receives_one(void *arg)
{
    Stream *stream = arg;
    uint64_t who = stream->n;
    uint64_t item;

    EXPECT_OK(sl_chan_recv(stream->chan, &item));
    EXPECT_EQ(item, n_served);
    served[n_served++] = (int) who;
    return 0;
}

static int serves_in_order(void *arg)
{
    AUTO(sl_chan_free) sl_chan *chan = sl_chan_new(sizeof(uint64_t), 0);
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Stream waiters[5];

    (void) arg;
    n_served = 0;
    for (uint64_t i = 0; i < 5; i++) {
        waiters[i] = (Stream){ .chan = chan, .n = i };
        sl_spawn(nursery, receives_one, &waiters[i]);
        EXPECT_OK(sl_sleep_ms(1)); /* on any loop it now waits */
    }
    for (uint64_t i = 0; i < 5; i++) {
        EXPECT_OK(sl_chan_send(chan, &i));
        EXPECT_OK(sl_sleep_ms(1));
    }
    EXPECT_OK(sl_nursery_join(nursery));
    for (int i = 0; i < 5; i++)
        EXPECT_EQ(served[i], i);
    return 0;
}

TEST(waiters_are_served_in_order)
{
    EXPECT_OK(sl_run(serves_in_order, NULL));
}

/* -- Ownership -- */

static size_t n_dropped;

static void counts_drop(void *item)
{
    EXPECT_EQ(*(int *) item, 42);
    n_dropped++;
}

static int sends_item(void *arg)
{
    int item = 42;

    return sl_chan_send(arg, &item);
}

static int drops_items(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.keep_going = true);
    sl_chan *chan = sl_chan_new(sizeof(int), 1, .drop = counts_drop);
    int item = 42;

    (void) arg;
    n_dropped = 0;
    EXPECT_OK(sl_chan_send(chan, &item));
    for (int i = 0; i < 3; i++)
        sl_spawn(nursery, sends_item, chan); /* wait: the channel is full */
    EXPECT_OK(sl_sleep_ms(1));
    sl_nursery_cancel(nursery);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(n_dropped, 3); /* cancelled sends consume */
    EXPECT_EQ(sl_chan_try_send(chan, &item), SL_FULL);
    EXPECT_EQ(n_dropped, 3); /* a refused try does not */
    sl_chan_close(chan);
    EXPECT_EQ(sl_chan_send(chan, &item), SL_CLOSED);
    EXPECT_EQ(n_dropped, 4);
    sl_chan_free(chan);
    EXPECT_EQ(n_dropped, 5); /* and what was inside */
    sl_chan_free(NULL);
    return 0;
}

TEST(every_item_is_received_or_dropped_once)
{
    EXPECT_OK(sl_run(drops_items, NULL));
}

static int sends_while_cancelled(void *arg)
{
    sl_chan *chan = sl_chan_new(sizeof(int), 4, .drop = counts_drop);
    sl_scope scope;
    int item = 42;
    int r;

    (void) arg;
    n_dropped = 0;
    sl_scope_begin(&scope, .timeout_ms = -1);
    r = sl_chan_send(chan, &item); /* there is room, and still it is a checkpoint */
    EXPECT_EQ(r, -ECANCELED);
    EXPECT_EQ(n_dropped, 1);
    EXPECT_EQ(sl_chan_recv(chan, &item), -ECANCELED);
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    sl_chan_free(chan);
    return 0;
}

TEST(a_send_with_room_is_a_checkpoint)
{
    EXPECT_OK(sl_run(sends_while_cancelled, NULL));
}

/* -- Closing -- */

static int expects_closed(void *arg)
{
    int item;

    EXPECT_EQ(sl_chan_recv(arg, &item), SL_CLOSED);
    return 0;
}

static int closes_on_waiters(void *arg)
{
    AUTO(sl_chan_free) sl_chan *chan = sl_chan_new(sizeof(int), 3);
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    for (int i = 0; i < 3; i++)
        sl_spawn(nursery, expects_closed, chan);
    EXPECT_OK(sl_sleep_ms(1));
    sl_chan_close(chan);
    return sl_nursery_join(nursery);
}

TEST(closing_wakes_all_receivers)
{
    EXPECT_OK(sl_run(closes_on_waiters, NULL));
}

/* -- Cancelled just after being served -- */

typedef struct Served {
    sl_chan *chan;
    int r;
    int item;
} Served;

static int receives_once(void *arg)
{
    Served *once = arg;

    once->r = sl_chan_recv(once->chan, &once->item);
    EXPECT_EQ(sl_yield(), -ECANCELED);
    return -ECANCELED;
}

static int serves_then_cancels(void *arg)
{
    AUTO(sl_chan_free) sl_chan *chan = sl_chan_new(sizeof(int), 0);
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Served once = { .chan = chan, .r = 1 };
    int item = 5;

    (void) arg;
    sl_spawn(nursery, receives_once, &once);
    EXPECT_OK(sl_sleep_ms(1));
    EXPECT_OK(sl_chan_try_send(chan, &item)); /* into its hands, but it has not run */
    sl_nursery_cancel(nursery);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(once.r, 0); /* Would catch an item that vanishes between the two. */
    EXPECT_EQ(once.item, 5);
    return 0;
}

TEST(an_item_handed_over_is_not_lost_to_cancellation)
{
    EXPECT_OK(sl_run(serves_then_cancels, NULL));
}

/* -- Sizes -- */

typedef struct Wide {
    char bytes[SL_CHAN_ITEM_MAX];
} Wide;

static Wide wide_in;
static Wide wide_out;

static int sizes(void *arg)
{
    static const size_t bytes[] = { 1, 2, 3, 4, 7, 8, 15, 16, 17, 100, SL_CHAN_ITEM_MAX };

    (void) arg;
    for (size_t i = 0; i < sizeof wide_in.bytes; i++)
        wide_in.bytes[i] = (char) (i * 7 + 1);
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        AUTO(sl_chan_free) sl_chan *chan = sl_chan_new(bytes[i], 3);

        for (int round = 0; round < 7; round++) {
            wide_out = (Wide){ { 0 } };
            EXPECT_OK(sl_chan_send(chan, &wide_in));
            EXPECT_OK(sl_chan_recv(chan, &wide_out));
            EXPECT_EQ(memcmp(&wide_in, &wide_out, bytes[i]), 0);
            if (bytes[i] < sizeof(Wide))
                EXPECT_EQ(wide_out.bytes[bytes[i]], 0); /* and not one byte more */
        }
    }
    return 0;
}

TEST(items_of_any_size)
{
    EXPECT_OK(sl_run(sizes, NULL));
}

TEST_MAIN()
