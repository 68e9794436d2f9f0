/*
 * An asynchronous iterator: a fiber that sends into a channel of capacity 0.
 *
 *     async def fibonacci(): ... yield a            async for n in fibonacci(): ...
 *
 * A rendezvous channel makes the generator as lazy as `yield`: it runs when somebody asks. The
 * consumer may stop early; closing the channel ends the generator, which sees it as a result of its
 * send and cleans up like any function.
 */
#include <sluice/rt.h>

#include <stdio.h>

SL_SUSPENDS static int fibonacci(void *arg)
{
    sl_chan *out = arg;
    uint64_t a = 0, b = 1;
    int r;

    while ((r = sl_chan_send(out, &a)) == 0) {
        uint64_t next = a + b;

        a = b;
        b = next;
    }
    printf("the generator was closed\n");
    return r == SL_CLOSED ? 0 : r;
}

/* A step between two iterators: passes on what is even, and ends when its input does. */
typedef struct Filter {
    sl_chan *in;
    sl_chan *out;
} Filter;

SL_SUSPENDS static int only_even(void *arg)
{
    Filter *filter = arg;
    uint64_t n;
    int r, sent = 0;

    sl_chan_each(r, filter->in, n) {
        if (n % 2 == 0 && (sent = sl_chan_send(filter->out, &n)) != 0)
            break;
    }
    sl_chan_close(filter->in); /* upstream hears that nobody wants more */
    return r < 0 ? r : sent < 0 ? sent : 0;
}

SL_SUSPENDS static int iterator_main(void *arg)
{
    Filter filter = { .in = sl_chan_new(sizeof(uint64_t), 0, .name = "numbers"),
                      .out = sl_chan_new(sizeof(uint64_t), 0, .name = "even numbers") };
    sl_nursery *nursery = sl_nursery_open(.name = "iterators");
    uint64_t n;
    int r;

    (void) arg;
    sl_spawn(nursery, fibonacci, filter.in, .name = "fibonacci");
    sl_spawn(nursery, only_even, &filter, .name = "only even");

    sl_chan_each(r, filter.out, n) {
        printf("%llu\n", (unsigned long long) n);
        if (n > 1000)
            break;
    }
    sl_chan_close(filter.out);
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    sl_chan_free(filter.out);
    sl_chan_free(filter.in);
    return r;
}

int main(void)
{
    return sl_run(iterator_main, NULL) < 0;
}
