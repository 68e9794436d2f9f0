/*
 * Select: wait for the first of several channels.
 *
 * Each arm is tried once, from a place that moves on by one with each select of the loop, so that
 * no arm starves its neighbours. If none can go, the fiber stands in the queues of all of them with
 * a group of waiters; whoever serves one takes the others out in the same step (waitq.c), so that
 * exactly one arm is done.
 *
 * An arm to send does not consume its item unless it is the one that was done: the item stays the
 * caller's otherwise.
 */
#include "rt/chan_int.h"

#include "rt/sched_int.h"

static const WaitKind wait_select = { "one of several channels", WAIT_TARGET_NONE,
                                      waitq_cancelled };

static int arm_try(const sl_select_case *arm)
{
    ASSERT(arm->chan && !arm->recv != !arm->send);
    return arm->recv ? chan_recv_now(arm->chan, arm->recv) : chan_send_now(arm->chan, arm->send);
}

/* Try each arm from START on. 0, SL_CLOSED, or SL_EMPTY when none can go. */
static int arms_try(const sl_select_case *cases, size_t n, size_t start, size_t *ret_index)
{
    for (size_t i = 0; i < n; i++) {
        size_t index = (start + i) % n;
        int r = arm_try(&cases[index]);

        if (r == SL_FULL || r == SL_EMPTY)
            continue;
        *ret_index = index;
        return r;
    }
    return SL_EMPTY;
}

static size_t start_of(sl_loop *loop, size_t n)
{
    return loop->select_turn++ % n;
}

int sl_try_select(sl_select_case *cases, size_t n, size_t *ret_index)
{
    ASSERT(n > 0 && n <= SL_SELECT_MAX && ret_index);
    return arms_try(cases, n, start_of(rt_loop, n), ret_index);
}

int sl_select(sl_select_case *cases, size_t n, size_t *ret_index)
{
    Waiter group[SL_SELECT_MAX];
    sl_loop *loop = rt_loop;
    int r;

    ASSERT(n > 0 && n <= SL_SELECT_MAX && ret_index);
    r = rt_checkpoint(loop);
    if (r < 0)
        return r;
    r = arms_try(cases, n, start_of(loop, n), ret_index);
    if (r != SL_EMPTY)
        return r;
    for (size_t i = 0; i < n; i++) {
        union {
            const void *from;
            void *to;
        } item = { .from = cases[i].send };

        group[i] = (Waiter){ .fiber = loop->current, .group = group, .n = (uint32_t) n };
        if (cases[i].recv) {
            group[i].item = cases[i].recv;
            waitq_push(&cases[i].chan->receivers, &group[i]);
        } else {
            group[i].item = item.to;
            waitq_push(&cases[i].chan->senders, &group[i]);
        }
    }
    r = rt_park(&wait_select, 0, group);
    if (r >= 0)
        *ret_index = group[0].fired;
    return r;
}
