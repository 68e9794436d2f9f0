/*
 * The inside of a channel, for chan.c and select.c.
 */
#pragma once

#include "rt/waitq_int.h"

#include <sluice/rt/chan.h>

#include <string.h>

struct sl_chan {
    uint32_t tag;
    uint32_t item_bytes;
    bool is_closed;
    size_t len; /* items in the ring */
    size_t capacity;
    size_t read;             /* index of the oldest item */
    size_t write;            /* index of the first free place */
    sl_wait_queue receivers; /* not empty only while the ring is empty: C1 */
    sl_wait_queue senders;   /* not empty only while the ring is full: C2 */
    const char *name;
    void (*drop)(void *item);
    char ring[];
};

#define CHAN_TAG TAG_OF('C', 'H', 'A', 'N')

/* Copy one item; the common sizes without a call. */
static inline void item_copy(const sl_chan *chan, void *to, const void *from)
{
    /* Forget whose storage it is: a compiler that sees all at once warns of the sizes not taken. */
    __asm__("" : "+r"(to), "+r"(from));
    if (LIKELY(chan->item_bytes == 8))
        memcpy(to, from, 8);
    else if (chan->item_bytes == 16)
        memcpy(to, from, 16);
    else
        memcpy(to, from, chan->item_bytes);
}

/* Send or receive if it can be done now: 0, SL_CLOSED, or SL_FULL and SL_EMPTY. Nothing is consumed
 * unless 0. */
int chan_send_now(sl_chan *chan, const void *item);
int chan_recv_now(sl_chan *chan, void *item);
