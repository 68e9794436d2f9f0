/*
 * Channels: bounded queues between fibers of one loop, and select over several.
 *
 * A channel carries items of one fixed size, copied in and out. Sending to a full channel waits;
 * receiving from an empty one waits; capacity 0 is a rendezvous. Waiters are served in order. Its
 * owner closes it: receivers drain what is there and then get SL_CLOSED, senders get SL_CLOSED at
 * once. A buffered send that nobody waits for is a copy and a counter.
 */
#pragma once

#include <sluice/rt/run.h>

#include <stdbool.h>

SL_BEGIN_DECLS

typedef struct sl_chan sl_chan;

typedef struct sl_chan_opts {
    size_t size;      /* filled by the macro */
    const char *name; /* shown in dumps; must outlive the channel; default "channel" */
    void (*drop)(
        void *item); /* releases what an item owns; called for items that are never received */
} sl_chan_opts;

/* A channel for CAPACITY items of ITEM_BYTES, at most SL_CHAN_ITEM_MAX each. Aborts when there is
 * no memory. */
#define sl_chan_new(item_bytes, capacity, ...) \
    sl_chan_new_with((item_bytes), (capacity), \
                     &(sl_chan_opts){ .size = sizeof(sl_chan_opts), ##__VA_ARGS__ })
SL_API SL_MUST sl_chan *sl_chan_new_with(size_t item_bytes, size_t capacity,
                                         const sl_chan_opts *opts);

#define SL_CHAN_ITEM_MAX 4096 /* bytes of one item */

/* Free a channel nobody waits on (asserted). Items still inside are dropped. NULL is nothing. */
SL_API void sl_chan_free(sl_chan *chan);
static inline void sl_chan_free_auto_(sl_chan **slot)
{
    if (*slot)
        sl_chan_free(*slot);
}

/* Send the item at ITEM. 0, SL_CLOSED, or -ECANCELED. Consumes the item on every path: what is not
 * sent is dropped. */
SL_API SL_MUST SL_SUSPENDS int sl_chan_send(sl_chan *chan, const void *item);

/* Receive into ITEM. 0, SL_CLOSED (closed and empty), or -ECANCELED. */
SL_API SL_MUST SL_SUSPENDS int sl_chan_recv(sl_chan *chan, void *item);

/* As above without waiting: also SL_FULL, SL_EMPTY. A try_send consumes its item only when it
 * returns 0. */
SL_API SL_MUST int sl_chan_try_send(sl_chan *chan, const void *item);
SL_API SL_MUST int sl_chan_try_recv(sl_chan *chan, void *item);

/* No more sends; wakes everybody who waits. Twice is nothing. */
SL_API void sl_chan_close(sl_chan *chan);

SL_API bool sl_chan_is_closed(const sl_chan *chan); /* a send would say SL_CLOSED */
SL_API size_t sl_chan_len(const sl_chan *chan);     /* items inside */
SL_API size_t sl_chan_capacity(const sl_chan *chan);

/* Receive until closed: sl_chan_each(r, chan, item) { use(item); }; afterwards R says why it ended
 * (SL_CLOSED, -ECANCELED). */
#define sl_chan_each(r, chan, item) while (((r) = sl_chan_recv((chan), &(item))) == 0)

/* One arm of a select: exactly one of recv and send is set. */
typedef struct sl_select_case {
    sl_chan *chan;
    void *recv;       /* receive into here */
    const void *send; /* send from here */
} sl_select_case;

#define SL_SELECT_MAX 16 /* arms in one select */

/*
 * Wait until one arm can go, do it, and tell which: *ret_index. Among arms that can go, the first
 * in a rotating order. 0, SL_CLOSED (the arm at *ret_index is closed), or -ECANCELED.
 */
SL_API SL_MUST SL_SUSPENDS int sl_select(sl_select_case *cases, size_t n, size_t *ret_index);

/* As sl_select without waiting: also SL_EMPTY when no arm can go. */
SL_API SL_MUST int sl_try_select(sl_select_case *cases, size_t n, size_t *ret_index);

SL_END_DECLS
