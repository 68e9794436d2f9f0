/*
 * A fan-out with two brakes: at most three requests at once, at most two hundred a second.
 *
 *     limiter = aiolimiter.AsyncLimiter(200, 1); semaphore = asyncio.Semaphore(3)
 *
 * `.limit` of a nursery makes sl_spawn wait while three children are alive, so that a million
 * inputs need three fibers. The rate limiter is a token bucket on the loop's clock.
 */
#include <sluice/rt.h>

#include <stdio.h>

enum { REQUESTS = 14, AT_ONCE = 3 };

typedef struct Crawl {
    sl_rate rate;
    int in_flight;
    int most_in_flight;
    int done;
} Crawl;

SL_SUSPENDS static int request(void *arg)
{
    Crawl *crawl = arg;
    int r = sl_rate_take(&crawl->rate, 1);

    if (r < 0)
        return r;
    crawl->in_flight++;
    if (crawl->in_flight > crawl->most_in_flight)
        crawl->most_in_flight = crawl->in_flight;
    r = sl_sleep_ms(20); /* stands for the network */
    crawl->in_flight--;
    crawl->done += r == 0;
    return r;
}

SL_SUSPENDS static int fan_out(Crawl *crawl)
{
    SL_CLEANUP(sl_nursery_close_auto)
    sl_nursery *nursery = sl_nursery_open(.name = "requests", .limit = AT_ONCE);

    for (int i = 0; i < REQUESTS; i++)
        sl_spawn(nursery, request, crawl);
    return sl_nursery_join(nursery);
}

SL_SUSPENDS static int rate_limited_main(void *arg)
{
    Crawl crawl = { .rate = { .per_second = 200, .burst = 4 } };
    int64_t begin_ns = sl_now_ns(), took_ns;
    int r = fan_out(&crawl);

    (void) arg;
    took_ns = sl_now_ns() - begin_ns;
    printf("%d requests done, %d at once at most\n", crawl.done, crawl.most_in_flight);

    /* Four tokens were there; the other ten came five milliseconds apart. */
    printf("%s than the limit allows\n", took_ns >= 49000000 ? "no faster" : "faster");
    return r;
}

int main(void)
{
    return sl_run(rate_limited_main, NULL) < 0;
}
