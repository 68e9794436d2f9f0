/*
 * What the runtime's primitives cost: one figure a run, in nanoseconds or bytes.
 *
 *   ours switch N        a ring of N fibers, each yields in turn         ns a switch
 *   ours spawn           spawn 1000 children of a nursery and join them   ns a fiber
 *   ours chan            one producer, one consumer, buffer of 128        ns a message
 *   ours deadline        a scope with a deadline that never fires         ns a scope
 *   ours cancel          spawn a sleeper, cancel it, reap it              ns a fiber
 *   ours idle N          N fibers parked in a sleep                       private bytes a fiber
 *   ours offload N       N calls to the pool under way at once            ns a call
 *
 * Prints one number. The rivals beside it print the same for the same words.
 */
#include <sluice/rt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHAN_CAPACITY 128
#define SPAWN_BATCH   1000

typedef struct Bench {
    const char *what;
    long n;
    long rounds;
    sl_chan *chan;
    double figure;
} Bench;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int yielder(void *arg)
{
    Bench *bench = arg;

    for (long i = 0; i < bench->rounds; i++) {
        int r = sl_yield();

        if (r < 0)
            return r;
    }
    return 0;
}

static int nothing(void *arg)
{
    (void) arg;
    return 0;
}

static int sleeper(void *arg)
{
    (void) arg;
    return sl_sleep_forever();
}

static int bench_switch(Bench *bench)
{
    sl_nursery *nursery = sl_nursery_open(.name = "ring");
    double began;
    int r;

    bench->rounds = 20000000 / bench->n;
    for (long i = 0; i < bench->n; i++)
        (void) sl_spawn(nursery, yielder, bench);
    began = seconds();
    r = sl_nursery_join(nursery);
    bench->figure = (seconds() - began) * 1e9 / (double) (bench->n * bench->rounds);
    sl_nursery_close(nursery);
    return r;
}

static int bench_spawn(Bench *bench)
{
    long batches = 4000;
    double began = 0;
    int r = 0;

    for (long i = 0; i < batches && r == 0; i++) {
        sl_nursery *nursery = sl_nursery_open(.name = "batch");

        if (i == batches / 10)
            began = seconds();
        for (long k = 0; k < SPAWN_BATCH; k++)
            (void) sl_spawn(nursery, nothing, NULL);
        r = sl_nursery_join(nursery);
        sl_nursery_close(nursery);
    }
    bench->figure = (seconds() - began) * 1e9 / (double) ((batches - batches / 10) * SPAWN_BATCH);
    return r;
}

static int producer(void *arg)
{
    Bench *bench = arg;

    for (long i = 0; i < bench->rounds; i++) {
        int r = sl_chan_send(bench->chan, &i);

        if (r != 0)
            return r;
    }
    sl_chan_close(bench->chan);
    return 0;
}

static int consumer(void *arg)
{
    Bench *bench = arg;
    long item, sum = 0;
    int r;

    sl_chan_each(r, bench->chan, item)
        sum += item;
    return r == SL_CLOSED && sum == bench->rounds * (bench->rounds - 1) / 2 ? 0 : -1;
}

static int bench_chan(Bench *bench)
{
    sl_nursery *nursery = sl_nursery_open(.name = "pair");
    double began = seconds();
    int r;

    bench->rounds = 20000000;
    bench->chan = sl_chan_new(sizeof(long), CHAN_CAPACITY, .name = "bench");
    (void) sl_spawn(nursery, producer, bench);
    (void) sl_spawn(nursery, consumer, bench);
    r = sl_nursery_join(nursery);
    bench->figure = (seconds() - began) * 1e9 / (double) bench->rounds;
    sl_nursery_close(nursery);
    sl_chan_free(bench->chan);
    return r;
}

static int bench_deadline(Bench *bench)
{
    double began = seconds();
    long rounds = 20000000;

    for (long i = 0; i < rounds; i++) {
        sl_scope scope;

        sl_scope_begin(&scope, .timeout_ms = 1000);
        if (sl_scope_end(&scope, 0) != 0)
            return -1;
    }
    bench->figure = (seconds() - began) * 1e9 / (double) rounds;
    return 0;
}

static int bench_cancel(Bench *bench)
{
    double began = seconds();
    long rounds = 2000;

    for (long i = 0; i < rounds; i++) {
        sl_nursery *nursery = sl_nursery_open(.name = "sleepers");

        for (long k = 0; k < 100; k++)
            (void) sl_spawn(nursery, sleeper, NULL);
        if (sl_yield() < 0)
            return -1;
        sl_nursery_close(nursery);
    }
    bench->figure = (seconds() - began) * 1e9 / (double) (rounds * 100);
    return 0;
}

/* Private anonymous memory of this process, in bytes. */
static double private_bytes(void)
{
    char line[256];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, "RssAnon:", 8) || !strncmp(line, "VmPTE:", 6))
            kib += strtod(strchr(line, ':') + 1, NULL);
    if (f)
        fclose(f);
    return kib * 1024;
}

static int bench_idle(Bench *bench)
{
    double before = private_bytes();
    sl_nursery *nursery = sl_nursery_open(.name = "idle");
    int r = 0;

    for (long i = 0; i < bench->n && r == 0; i++)
        r = sl_spawn(nursery, sleeper, NULL);
    if (r == 0)
        r = sl_sleep_ms(1);
    bench->figure = (private_bytes() - before) / (double) bench->n;
    sl_nursery_close(nursery);
    return r;
}

static int offloader(void *arg)
{
    Bench *bench = arg;

    for (long i = 0; i < bench->rounds; i++) {
        int r = sl_offload(nothing, NULL);

        if (r < 0)
            return r;
    }
    return 0;
}

static int bench_offload(Bench *bench)
{
    sl_nursery *nursery = sl_nursery_open(.name = "offload");
    double began = seconds();
    int r;

    bench->rounds = 200000 / bench->n;
    for (long i = 0; i < bench->n; i++)
        (void) sl_spawn(nursery, offloader, bench);
    r = sl_nursery_join(nursery);
    bench->figure = (seconds() - began) * 1e9 / (double) (bench->n * bench->rounds);
    sl_nursery_close(nursery);
    return r;
}

static int bench_main(void *arg)
{
    static const struct {
        const char *name;
        int (*run)(Bench *bench);
    } benches[] = {
        { "switch", bench_switch },     { "spawn", bench_spawn },   { "chan", bench_chan },
        { "deadline", bench_deadline }, { "cancel", bench_cancel }, { "idle", bench_idle },
        { "offload", bench_offload },
    };
    Bench *bench = arg;

    for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++)
        if (!strcmp(benches[i].name, bench->what))
            return benches[i].run(bench);
    fprintf(stderr, "no benchmark called %s\n", bench->what);
    return -1;
}

int main(int argc, char **argv)
{
    Bench bench = { .what = argc > 1 ? argv[1] : "switch", .n = argc > 2 ? atol(argv[2]) : 1000 };
    int r = sl_run(bench_main, &bench);

    if (r != 0) {
        fprintf(stderr, "%s: %d %s\n", bench.what, r, r < 0 ? sl_error_text(r) : "");
        return 1;
    }
    printf("%.2f\n", bench.figure);
    return 0;
}
