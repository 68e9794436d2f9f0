/*
 * The pace of a host, as pure arithmetic.
 *
 * To half a rate one must know it. A host with a delay has the rate 1 / delay; one without has as
 * many requests under way as it may, each for as long as its latency, so the delay that stands for
 * its rate is latency / at_once.
 */
#include "handlers/crawl/throttle.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"

#define DELAY_MAX_NS       (LIMIT_THROTTLE_DELAY_MS * NS_PER_MS)
#define DELAY_MIN_NS       NS_PER_MS /* of a delay that was pushed up from nothing */
#define FAILED_ROW_FREE    2         /* answers may be missing before the host is paused */
#define FAILED_PAUSE_NS    NS_PER_S  /* the first pause */
#define FAILED_DOUBLED_MAX 10        /* times the pause doubles; the cap comes sooner */

int64_t throttle_delay_ns(const Throttle *throttle, int64_t own_delay_ns)
{
    return MAX(throttle->delay_ns, own_delay_ns);
}

static void pause_until(Throttle *throttle, int64_t when_ns)
{
    throttle->pause_ns = MAX(throttle->pause_ns, when_ns);
}

/* The pace that the host's latency asks for. */
static int64_t latency_delay_ns(const Throttle *throttle, const ThrottleEvent *event)
{
    return MIN(throttle->latency_ns / (int64_t) event->at_once, DELAY_MAX_NS);
}

static void learn_push_back(Throttle *throttle, const ThrottleEvent *event, int64_t now_ns)
{
    int64_t delay_ns = throttle_delay_ns(throttle, event->own_delay_ns);

    if (event->retry_after_ms >= 0)
        pause_until(throttle,
                    now_ns + MIN(event->retry_after_ms, (int64_t) LIMIT_THROTTLE_RETRY_AFTER_MS) *
                                 NS_PER_MS);
    throttle->n_pushed++;
    if (throttle->pushed_ns && event->began_ns < throttle->pushed_ns)
        return;
    if (!delay_ns)
        delay_ns = latency_delay_ns(throttle, event);
    throttle->delay_ns = MIN(MAX(2 * delay_ns, DELAY_MIN_NS), DELAY_MAX_NS);
    throttle->pushed_ns = now_ns;
    if (event->retry_after_ms < 0)
        pause_until(throttle, now_ns + throttle->delay_ns);
}

static void learn_silence(Throttle *throttle, const ThrottleEvent *event, int64_t now_ns)
{
    uint32_t n;

    if (throttle->pushed_ns && event->began_ns < throttle->pushed_ns)
        return;
    throttle->n_failed_row++;
    if (throttle->n_failed_row <= FAILED_ROW_FREE)
        return;
    n = MIN(throttle->n_failed_row - FAILED_ROW_FREE - 1, (uint32_t) FAILED_DOUBLED_MAX);
    throttle->pushed_ns = now_ns;
    pause_until(throttle, now_ns + MIN(FAILED_PAUSE_NS << n, DELAY_MAX_NS));
}

static void learn_good(Throttle *throttle, const ThrottleEvent *event)
{
    int64_t latency_ns = MAX(event->latency_ns, (int64_t) 0);
    int64_t target_ns = event->own_delay_ns;
    int64_t delay_ns = throttle_delay_ns(throttle, event->own_delay_ns);

    throttle->latency_ns = throttle->latency_ns ? (throttle->latency_ns + latency_ns) / 2
                                                : latency_ns;
    if (event->is_adaptive && event->own_delay_ns)
        target_ns = MAX(target_ns, latency_delay_ns(throttle, event));
    if (target_ns > delay_ns)
        delay_ns += (target_ns - delay_ns + 1) / 2;
    else
        delay_ns = MAX(target_ns, delay_ns - delay_ns / 10);
    if (!event->own_delay_ns && delay_ns < DELAY_MIN_NS / 10)
        delay_ns = 0;
    throttle->delay_ns = delay_ns > event->own_delay_ns ? delay_ns : 0;
}

void throttle_learn(Throttle *throttle, const ThrottleEvent *event, int64_t now_ns)
{
    ASSERT(event->at_once > 0 && event->own_delay_ns >= 0);

    if (event->status == 0)
        return learn_silence(throttle, event, now_ns);
    throttle->n_failed_row = 0;
    if (event->status == 429 || event->status == 503)
        learn_push_back(throttle, event, now_ns);
    else if (event->status < 400)
        learn_good(throttle, event);
}
