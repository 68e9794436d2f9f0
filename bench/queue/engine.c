/*
 * An engine with two handlers for measuring: `noop` does nothing, `stamp` notes how long ago its
 * argument (monotonic nanoseconds) was.
 *
 *   engine drain STORE JOBS          push JOBS no-op jobs, then run them all: thousands a second,
 *                                    and microseconds of processor time for each
 *   engine latency STORE SECONDS     serve HTTP on a free port (printed), run stamp jobs, and print
 *                                    the median and the 99th percentile in milliseconds
 *   engine serve STORE SECONDS       only serve
 *   engine work STORE SECONDS        only run stamp jobs, and print as above
 *   STORE is lmdb:DIR, memory:, async:DIR (lmdb with durability async) or redis://…
 */
#include "base/macro.h"
#include "base/mem.h"
#include "base/text.h"
#include "queue/queue.h"
#include "serve/serve.h"
#include "worker/worker.h"

#include <sluice/rt.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BATCH       1000
#define STAMPS_MAX  1000000
#define STAMPS_WARM 50 /* left out: the first ones */

typedef struct Bench {
    const char *what;
    char store[512];
    bool is_async;
    long n;
    Queues *queues;
    double *stamps; /* ms */
    size_t n_stamps;
    long left;
    sl_event done;
} Bench;

static Bench bench;

static int run_noop(Task *task, const void *args, JsonWriter *result)
{
    (void) task;
    (void) args;
    (void) result;
    if (bench.left > 0 && --bench.left == 0)
        sl_event_set(&bench.done);
    return 0;
}

static int run_stamp(Task *task, const void *args, JsonWriter *result)
{
    const SchemaJson *given = args;
    double sent = 0;

    (void) task;
    (void) result;
    (void) json_get_real(json_at(given->value, 0), &sent);
    if (bench.n_stamps < STAMPS_MAX)
        bench.stamps[bench.n_stamps++] = ((double) sl_clock_ns() - sent) / 1e6;
    return 0;
}

static const Handler noop = { .type = "noop", .summary = "Nothing.", .run = run_noop };
static const Handler stamp = { .type = "stamp", .summary = "Time.", .run = run_stamp };
static const Handler *const handlers[] = { &noop, &stamp };

static int push_all(void)
{
    static JobSpec specs[BATCH];

    for (size_t i = 0; i < BATCH; i++) {
        specs[i].type = str_from_c("noop");
        specs[i].args = str_from_c(
            "[\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]");
    }
    for (long left = bench.n; left > 0; left -= BATCH) {
        AUTO(arena_deinit) Arena arena = { 0 };
        int r = queue_push_many(&arena, bench.queues, specs, (size_t) MIN(left, (long) BATCH), NULL,
                                NULL, NULL);

        if (r != 0)
            return r;
    }
    return 0;
}

static double cpu_us(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (double) (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double) (used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static int bench_drain(sl_nursery *nursery)
{
    WorkerOpts opts = {
        .queues = bench.queues, .handlers = handlers, .n_handlers = 2, .hears_events = true
    };
    StoreQueueInfo info = { 0 };
    Worker *worker;
    int64_t began;
    double cpu;
    int r;

    r = push_all();
    if (r < 0)
        return r;
    bench.left = bench.n;
    began = sl_clock_ns();
    cpu = cpu_us();
    r = worker_start(&worker, nursery, &opts);
    if (r == 0)
        r = sl_event_wait(&bench.done);
    if (r < 0)
        return r;
    worker_stop(worker, 10000); /* the last answers are on disk when it returns */
    printf("%.2f %.3f\n", (double) bench.n * 1e6 / (double) (sl_clock_ns() - began),
           (cpu_us() - cpu) / (double) bench.n);
    r = queue_stats(bench.queues, str_from_c("default"), &info);
    if (r == 0 && info.counts[JOB_COMPLETED] != (uint64_t) bench.n)
        fprintf(stderr, "engine: %llu of %ld jobs are completed\n",
                (unsigned long long) info.counts[JOB_COMPLETED], bench.n);
    return r;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}

/* Take jobs over HTTP; the port is printed. */
static int start_serving(sl_nursery *nursery, Listener **ret_listener, Serve **ret_serve)
{
    ServeOpts opts = { .queues = bench.queues, .handlers = handlers, .n_handlers = 2 };
    NetAddress address;
    int r;

    r = net_address_parse(str_from_c("127.0.0.1:0"), &address);
    if (r == 0)
        r = listener_open(&address, NULL, ret_listener);
    if (r == 0)
        r = serve_start(ret_serve, nursery, *ret_listener, &opts);
    if (r < 0)
        return r;
    printf("%u\n", net_address_port(&(*ret_listener)->address));
    fflush(stdout);
    return 0;
}

static int print_stamps(void)
{
    size_t n;

    if (bench.n_stamps <= STAMPS_WARM)
        return -1;
    n = bench.n_stamps - STAMPS_WARM;
    qsort(bench.stamps + STAMPS_WARM, n, sizeof(double), by_value);
    printf("%.3f %.3f %zu\n", bench.stamps[STAMPS_WARM + n / 2],
           bench.stamps[STAMPS_WARM + n * 99 / 100], n);
    return 0;
}

static int bench_latency(sl_nursery *nursery)
{
    WorkerOpts opts = {
        .queues = bench.queues, .handlers = handlers, .n_handlers = 2, .hears_events = true
    };
    bool serves = strcmp(bench.what, "work") != 0, works = strcmp(bench.what, "serve") != 0;
    Listener *listener = NULL;
    Worker *worker = NULL;
    Serve *serve = NULL;
    int r = 0;

    bench.stamps = mem_new_array(double, STAMPS_MAX);
    if (serves)
        r = start_serving(nursery, &listener, &serve);
    if (r == 0 && works)
        r = worker_start(&worker, nursery, &opts);
    if (r < 0)
        return r;
    r = sl_sleep_ms(bench.n * 1000);

    worker_stop(worker, 1000);
    serve_stop(serve, 100);
    if (listener)
        listener_close(listener);
    return r == 0 && works ? print_stamps() : r;
}

static int bench_main(void *arg)
{
    sl_nursery *nursery = sl_nursery_open(.name = "bench");
    StoreRetention keep = { 0 };
    QueueOpts opts = { .store = bench.store, .is_async = bench.is_async, .retention = &keep };
    int r;

    (void) arg;
    r = queue_start(nursery, &opts, &bench.queues);
    if (r == 0)
        r = strcmp(bench.what, "drain") == 0 ? bench_drain(nursery) : bench_latency(nursery);
    queue_stop(bench.queues);
    sl_nursery_close(nursery);
    return r;
}

int main(int argc, char **argv)
{
    int r;

    if (argc != 4) {
        fprintf(stderr,
                "usage: engine drain STORE JOBS | engine latency|serve|work STORE SECONDS\n");
        return 64;
    }
    bench.what = argv[1];
    bench.is_async = !strncmp(argv[2], "async:", 6);
    snprintf(bench.store, sizeof(bench.store), "%s%s", bench.is_async ? "lmdb:" : "",
             bench.is_async ? argv[2] + 6 : argv[2]);
    bench.n = atol(argv[3]);
    r = sl_run(bench_main, NULL, .loop = SL_LOOP_AUTO);
    if (r != 0)
        fprintf(stderr, "engine: %d %s\n", r, r < 0 ? sl_error_text(r) : "");
    return r == 0 ? 0 : 1;
}
