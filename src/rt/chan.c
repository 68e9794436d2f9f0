/*
 * Channels: a ring of items and two queues of fibers.
 *
 *   C1  Receivers wait only while the ring is empty and nobody sends.
 *   C2  Senders wait only while the ring is full; with capacity 0 the ring is always both empty
 *       and full.
 *   C3  Nobody waits on a closed channel.
 *
 * A send finds a waiting receiver and copies straight into its hands, or puts the item into the
 * ring, or waits with the item where it is. A receive takes the oldest of the ring, moves the item
 * of the first waiting sender into the place that became free and wakes it; so order is kept and
 * nobody who came later overtakes. The woken fiber runs at its turn: a producer fills the whole
 * ring before its consumer runs, and the two switch once for a ring of items.
 */
#include "rt/chan_int.h"

#include "base/mem.h"
#include "rt/sched_int.h"

static const WaitKind wait_send = { "room in channel", WAIT_TARGET_NAME, waitq_cancelled };
static const WaitKind wait_recv = { "an item from channel", WAIT_TARGET_NAME, waitq_cancelled };

sl_chan *sl_chan_new_with(size_t item_bytes, size_t capacity, const sl_chan_opts *opts)
{
    sl_chan *chan;
    size_t bytes;

    ASSERT(item_bytes > 0 && item_bytes <= SL_CHAN_ITEM_MAX);
    if (__builtin_mul_overflow(item_bytes, capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(sl_chan), &bytes))
        UNREACHABLE("a channel larger than memory");
    chan = mem_zalloc(bytes);
    chan->tag = CHAN_TAG;
    chan->item_bytes = (uint32_t) item_bytes;
    chan->capacity = capacity;
    chan->name = opts->name ? opts->name : "channel";
    chan->drop = opts->drop;
    return chan;
}

static void *ring_at(sl_chan *chan, size_t index)
{
    return chan->ring + index * chan->item_bytes;
}

static inline size_t ring_after(const sl_chan *chan, size_t index)
{
    return index + 1 == chan->capacity ? 0 : index + 1;
}

static inline void ring_put(sl_chan *chan, const void *item)
{
    item_copy(chan, ring_at(chan, chan->write), item);
    chan->write = ring_after(chan, chan->write);
    chan->len++;
}

static inline void ring_take(sl_chan *chan, void *item)
{
    item_copy(chan, item, ring_at(chan, chan->read));
    chan->read = ring_after(chan, chan->read);
    chan->len--;
}

static void drop_item(const sl_chan *chan, const void *item)
{
    union {
        const void *from;
        void *to;
    } cast = { .from = item };

    if (chan->drop)
        chan->drop(cast.to);
}

void sl_chan_free(sl_chan *chan)
{
    if (!chan)
        return;
    ASSERT(chan->tag == CHAN_TAG);
    ASSERT(waitq_is_empty(&chan->receivers) && waitq_is_empty(&chan->senders));
    for (; chan->len > 0; chan->len--) {
        drop_item(chan, ring_at(chan, chan->read));
        chan->read = ring_after(chan, chan->read);
    }
    chan->tag = 0;
    mem_free(chan);
}

/* Give ITEM to the first who waits for one. */
static void hand_over(sl_chan *chan, const void *item)
{
    Waiter *waiter = waitq_first(&chan->receivers);

    ASSERT(chan->len == 0); /* C1 */
    item_copy(chan, waiter->item, item);
    waitq_fire(waiter, 0);
}

inline int chan_send_now(sl_chan *chan, const void *item)
{
    ASSERT(chan->tag == CHAN_TAG);
    if (UNLIKELY(chan->is_closed))
        return SL_CLOSED;
    if (UNLIKELY(!waitq_is_empty(&chan->receivers))) {
        hand_over(chan, item);
        return 0;
    }
    if (UNLIKELY(chan->len == chan->capacity))
        return SL_FULL;
    ring_put(chan, item);
    return 0;
}

/* The ring has room or has none at all, and a sender waits: take its item along. */
static void refill(sl_chan *chan)
{
    Waiter *waiter = waitq_first(&chan->senders);

    ring_put(chan, waiter->item);
    waitq_fire(waiter, 0);
}

inline int chan_recv_now(sl_chan *chan, void *item)
{
    ASSERT(chan->tag == CHAN_TAG);
    if (LIKELY(chan->len > 0)) {
        ring_take(chan, item);
        if (UNLIKELY(!waitq_is_empty(&chan->senders)))
            refill(chan); /* C2 */
        return 0;
    }
    if (!waitq_is_empty(&chan->senders)) {
        Waiter *waiter = waitq_first(&chan->senders);

        ASSERT(chan->capacity == 0); /* C2 */
        item_copy(chan, item, waiter->item);
        waitq_fire(waiter, 0);
        return 0;
    }
    return chan->is_closed ? SL_CLOSED : SL_EMPTY;
}

/* Stand in QUEUE with ITEM until served, closed or cancelled. */
SUSPENDS static int chan_wait(sl_chan *chan, sl_wait_queue *queue, const WaitKind *kind, void *item)
{
    Waiter waiter = { .fiber = rt_loop->current, .n = 1, .item = item };

    ASSERT(!chan->is_closed); /* C3 */
    waiter.group = &waiter;
    waitq_push(queue, &waiter);
    return rt_park(kind, (intptr_t) chan->name, &waiter);
}

int sl_chan_send(sl_chan *chan, const void *item)
{
    union {
        const void *from;
        void *to;
    } cast = { .from = item };
    int r;

    r = rt_checkpoint(rt_loop);
    if (LIKELY(r == 0)) {
        r = chan_send_now(chan, item);
        if (UNLIKELY(r == SL_FULL))
            r = chan_wait(chan, &chan->senders, &wait_send, cast.to);
    }
    if (UNLIKELY(r != 0))
        drop_item(chan, item);
    return r;
}

int sl_chan_recv(sl_chan *chan, void *item)
{
    int r;

    r = rt_checkpoint(rt_loop);
    if (UNLIKELY(r < 0))
        return r;
    r = chan_recv_now(chan, item);
    if (UNLIKELY(r == SL_EMPTY))
        r = chan_wait(chan, &chan->receivers, &wait_recv, item);
    return r;
}

int sl_chan_try_send(sl_chan *chan, const void *item)
{
    return chan_send_now(chan, item);
}

int sl_chan_try_recv(sl_chan *chan, void *item)
{
    return chan_recv_now(chan, item);
}

void sl_chan_close(sl_chan *chan)
{
    ASSERT(chan->tag == CHAN_TAG);
    chan->is_closed = true;
    waitq_wake_all(&chan->receivers, SL_CLOSED);
    waitq_wake_all(&chan->senders, SL_CLOSED); /* each drops its own item */
}

bool sl_chan_is_closed(const sl_chan *chan)
{
    return chan->is_closed;
}

size_t sl_chan_len(const sl_chan *chan)
{
    return chan->len;
}

size_t sl_chan_capacity(const sl_chan *chan)
{
    return chan->capacity;
}
