/*
 * Rate limiters and intervals.
 *
 * A rate limiter is a bucket into which tokens drip on the loop's clock. Fibers are served in order
 * of arrival: the first in the queue sleeps until the bucket has enough for it, the others stand
 * behind it without a timer. When the first has been served, or is cancelled, the next becomes the
 * first. Who asks for more than the bucket can ever hold waits for a full bucket and leaves it in
 * debt, so that the long-term rate holds for any request.
 */
#include <sluice/rt/sync.h>

#include "rt/sched_int.h"
#include "rt/waitq_int.h"

static bool rate_cancelled(sl_fiber *fiber);

static const WaitKind wait_first = { "tokens of a rate limiter", WAIT_TARGET_NONE, rate_cancelled };
static const WaitKind wait_turn = { "its turn at a rate limiter", WAIT_TARGET_NONE,
                                    rate_cancelled };
static const WaitKind wait_tick = { "the next tick", WAIT_TARGET_TIME, rt_sleep_cancelled };

/* One fiber in the queue of a limiter; on its stack. */
typedef struct RateWait {
    Waiter waiter;
    RtTimer timer; /* started while it is the first */
} RateWait;

static void rate_refill(sl_rate *rate, int64_t now_ns)
{
    double burst = rate->burst > 0 ? rate->burst : 1;

    if (!rate->is_started) {
        rate->is_started = true;
        rate->tokens = burst;
        rate->at_ns = now_ns;
        return;
    }
    rate->tokens += (double) (now_ns - rate->at_ns) * rate->per_second / (double) NS_PER_S;
    rate->at_ns = now_ns;
    if (rate->tokens > burst)
        rate->tokens = burst;
}

/* What must be in the bucket before TOKENS may be taken. */
static double rate_need(const sl_rate *rate, double tokens)
{
    double burst = rate->burst > 0 ? rate->burst : 1;

    return MIN(tokens, burst);
}

/* Rounding must not make a fiber wait for the last billionth of a token. */
static bool rate_has(const sl_rate *rate, double need)
{
    return rate->tokens + 1e-9 * (1 + need) >= need;
}

int sl_rate_try_take(sl_rate *rate, double tokens)
{
    ASSERT(rate->per_second > 0 && tokens >= 0);
    rate_refill(rate, rt_loop->now_ns);
    if (!waitq_is_empty(&rate->waiters) || !rate_has(rate, rate_need(rate, tokens)))
        return SL_BUSY;
    rate->tokens -= tokens;
    return 0;
}

static void rate_time_over(RtTimer *timer)
{
    rt_unpark(CONTAINER_OF(timer, RateWait, timer)->waiter.fiber, 0);
}

/* Let the first of the queue look at the bucket. */
static void rate_wake_first(sl_wait_queue *queue)
{
    Waiter *first = waitq_first(queue);

    if (first && first->fiber->state == FIBER_PARKED)
        rt_unpark(first->fiber, 0);
}

static bool rate_cancelled(sl_fiber *fiber)
{
    rt_timer_stop(fiber->loop, &((RateWait *) fiber->wait_ctx)->timer);
    return true; /* it leaves the queue itself */
}

int sl_rate_take(sl_rate *rate, double tokens)
{
    sl_loop *loop = rt_loop;
    RateWait wait = { .waiter = { .fiber = loop->current, .n = 1 },
                      .timer = { .fire = rate_time_over } };
    double need = rate_need(rate, tokens);
    int r;

    r = rt_checkpoint(loop);
    if (r < 0 || sl_rate_try_take(rate, tokens) == 0)
        return r;
    wait.waiter.group = &wait.waiter;
    waitq_push(&rate->waiters, &wait.waiter);
    while (r == 0) {
        bool is_first = waitq_first(&rate->waiters) == &wait.waiter;
        int64_t wait_ns;

        rate_refill(rate, loop->now_ns);
        if (is_first && rate_has(rate, need)) {
            rate->tokens -= tokens;
            break;
        }
        if (is_first) {
            wait_ns = (int64_t) ((need - rate->tokens) * (double) NS_PER_S / rate->per_second) + 1;
            rt_timer_start(loop, &wait.timer, loop->now_ns + wait_ns);
        }
        r = rt_park(is_first ? &wait_first : &wait_turn, 0, &wait);
    }
    if (waitq_first(&rate->waiters) != &wait.waiter) {
        waitq_remove(&wait.waiter);
        return r;
    }
    waitq_remove(&wait.waiter);
    rate_wake_first(&rate->waiters);
    return r;
}

/* -- Interval -- */

int sl_interval_wait(sl_interval *interval)
{
    sl_loop *loop = rt_loop;
    int64_t tick_ns;
    int64_t late;

    ASSERT(interval->period_ns > 0);
    if (interval->next_ns == 0)
        interval->next_ns = loop->now_ns + interval->period_ns;
    tick_ns = interval->next_ns;
    if (tick_ns <= loop->now_ns) {
        late = (loop->now_ns - tick_ns) / interval->period_ns;
        interval->missed += (uint64_t) late;
        interval->next_ns = tick_ns + (late + 1) * interval->period_ns;
        return sl_yield();
    }
    interval->next_ns = tick_ns + interval->period_ns;
    return rt_park_until(loop, &wait_tick, tick_ns);
}
