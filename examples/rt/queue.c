/*
 * A queue between producers and consumers.
 *
 *     queue = asyncio.Queue(maxsize=4); await queue.put(x); x = await queue.get()
 *
 * The channel holds four items; a producer that is ahead waits, so that nothing ever grows without
 * bound. Closing it is how the consumers hear that there is no more: no sentinel, no task_done.
 */
#include <sluice/rt.h>

#include <stdio.h>

enum { PRODUCERS = 2, CONSUMERS = 3, PARCELS_EACH = 50 };

typedef struct Parcel {
    int number;
    int weight;
} Parcel;

typedef struct Depot {
    sl_chan *belt;
    int n_packed;
    int weight;
    int seen[PRODUCERS * PARCELS_EACH]; /* how often each parcel came */
    int next;                           /* number of the next producer */
} Depot;

SL_SUSPENDS static int produce(void *arg)
{
    Depot *depot = arg;
    int first = depot->next++ * PARCELS_EACH;
    int r = 0;

    for (int i = first; i < first + PARCELS_EACH && r == 0; i++)
        r = sl_chan_send(depot->belt, &(Parcel){ .number = i, .weight = i % 7 + 1 });
    return r;
}

SL_SUSPENDS static int consume(void *arg)
{
    Depot *depot = arg;
    Parcel parcel;
    int r;

    sl_chan_each(r, depot->belt, parcel) {
        depot->seen[parcel.number]++; /* fibers take turns: no lock */
        depot->weight += parcel.weight;
        depot->n_packed++;
    }
    return r == SL_CLOSED ? 0 : r;
}

SL_SUSPENDS static int run_all(Depot *depot, sl_fn fn, int n)
{
    SL_CLEANUP(sl_nursery_close_auto) sl_nursery *nursery = sl_nursery_open(.name = "producers");

    for (int i = 0; i < n; i++)
        sl_spawn(nursery, fn, depot);
    return sl_nursery_join(nursery);
}

SL_SUSPENDS static int queue_main(void *arg)
{
    Depot depot = { .belt = sl_chan_new(sizeof(Parcel), 4, .name = "belt") };
    sl_nursery *consumers = sl_nursery_open(.name = "consumers");
    int r, once = 0;

    (void) arg;
    for (int i = 0; i < CONSUMERS; i++)
        sl_spawn(consumers, consume, &depot);
    r = run_all(&depot, produce, PRODUCERS);
    sl_chan_close(depot.belt);
    if (r == 0)
        r = sl_nursery_join(consumers);
    sl_nursery_close(consumers);
    sl_chan_free(depot.belt);

    for (int i = 0; i < PRODUCERS * PARCELS_EACH; i++)
        once += depot.seen[i] == 1;
    printf("%d parcels packed, %d of them once, %d kg\n", depot.n_packed, once, depot.weight);
    return r;
}

int main(void)
{
    return sl_run(queue_main, NULL) < 0;
}
