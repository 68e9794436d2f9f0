/*
 * Line protocol over HTTP into a pipeline with a sink: one figure a run, in lines/s.
 *
 *   http_rows LINES [SECONDS [CONNECTIONS [SINK [RATE]]]]
 *
 * LINES in each request; 2 seconds, 32 connections, sqlite:http_rows.db?table=readings ("-" too).
 * SINK may be the ADDRESS:PORT of another server of line protocol, which then gets the requests.
 * With a RATE so many requests a second are due at even times, and the figure is the 99th
 * percentile of the time from when one was due to its answer, in ms.
 *
 * Loop 0 has the pipeline with a source http that listens by itself, loop 1 has the writers. A
 * writer sends its next request when the last one is answered, that is: committed.
 */
#include "base/err.h"
#include "codec/schema.h"
#include "net/stream.h"
#include "pipeline/pipeline.h"

#include <sluice/rt.h>

#include <stdio.h>
#include <stdlib.h>

#define WRITERS_MAX 1000
#define DELAYS_MAX  1000000

typedef struct Bench {
    size_t lines, connections;
    double seconds;
    const char *sink;
    NetAddress address;
    Buf request;
    int64_t until_ns;
    uint64_t requests, failures;
    double rate;        /* requests a second; 0: as fast as they are answered */
    uint64_t due;       /* number of the next request, with a rate */
    int64_t began_ns;   /* when number 0 was due */
    int64_t *delays_ns; /* with a rate */
} Bench;

static Bench bench;

static void make_request(void)
{
    AUTO(buf_deinit) Buf body = { 0 };

    for (size_t i = 0; i < bench.lines; i++)
        buf_printf(&body, "temperature,sensor=s%zu value=%zu.%02zu %lld\n", i * 7 % 1000,
                   15 + i % 20, i * 7 % 100, 1600000000000000000LL + (long long) i * 1000003);
    buf_printf(&bench.request,
               "POST /write?db=bench HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n",
               body.len);
    buf_add_str(&bench.request, buf_str(&body));
}

/* With a rate: wait until the next request is due, and say when that was. */
SUSPENDS static int wait_until_due(int64_t *ret_due_ns)
{
    *ret_due_ns = bench.began_ns + (int64_t) ((double) bench.due++ * 1e9 / bench.rate);
    return *ret_due_ns > sl_now_ns() ? sl_sleep_until_ns(*ret_due_ns) : 0;
}

SUSPENDS static int writer(void *arg)
{
    Stream *stream = NULL;
    char answer[4096];
    int r = stream_connect(&bench.address, &stream);

    (void) arg;
    while (r == 0 && sl_now_ns() < bench.until_ns) {
        int64_t due_ns = 0;
        ssize_t n;

        if (bench.rate > 0)
            r = wait_until_due(&due_ns);
        if (r < 0)
            break;
        r = stream_write_all(stream, bench.request.data, bench.request.len);
        if (r < 0)
            break;
        n = stream_read(stream, answer, sizeof(answer));
        if (n < 12 || memcmp(answer + 9, "204", 3) != 0) {
            if (bench.failures++ == 0 && n > 0)
                fprintf(stderr, "%.*s\n", (int) n, answer);
            break;
        }
        if (bench.rate > 0 && bench.requests < DELAYS_MAX)
            bench.delays_ns[bench.requests] = sl_clock_ns() - due_ns;
        bench.requests++;
    }
    stream_close(stream);
    return r;
}

SUSPENDS static int write_all(void *arg)
{
    sl_nursery *nursery = sl_nursery_open(.name = "writers");
    int r;

    (void) arg;
    bench.began_ns = sl_now_ns();
    bench.until_ns = sl_now_ns() + (int64_t) (bench.seconds * 1e9);
    for (size_t i = 0; i < bench.connections; i++)
        sl_spawn(nursery, writer, NULL, .name = "writer");
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    return r;
}

/* Where the source listens, once it does. */
SUSPENDS static int find_address(Pipeline *pipeline)
{
    for (int i = 0; i < 1000; i++) {
        const char *at = strstr(pipeline_source(pipeline, 0).about, "listens on ");
        int r;

        if (at)
            return net_address_parse(str_from_c(at + strlen("listens on ")), &bench.address);
        r = sl_sleep_ms(1);
        if (r < 0)
            return r;
    }
    return fail(-ERR_TIMEOUT, "the source does not listen");
}

static int by_value(const void *a, const void *b)
{
    int64_t left = *(const int64_t *) a, right = *(const int64_t *) b;

    return (left > right) - (left < right);
}

static void print_figure(double took_s)
{
    if (bench.rate > 0) {
        size_t n = bench.requests < DELAYS_MAX ? bench.requests : DELAYS_MAX;

        qsort(bench.delays_ns, n, sizeof(bench.delays_ns[0]), by_value);
        printf("%.2f ms p99, %.2f ms p50 (%zu requests)\n",
               n ? (double) bench.delays_ns[n * 99 / 100] / 1e6 : 0.0,
               n ? (double) bench.delays_ns[n / 2] / 1e6 : 0.0, n);
        return;
    }
    printf("%.0f lines/s in %.0f requests/s of %zu (%zu connections, %llu failures)\n",
           (double) (bench.requests * bench.lines) / took_s, (double) bench.requests / took_s,
           bench.lines, bench.connections, (unsigned long long) bench.failures);
}

SUSPENDS static int measure(void)
{
    int64_t began_ns = sl_clock_ns();
    int r = sl_call_on(1, write_all, NULL, "writers");

    if (r == 0)
        print_figure((double) (sl_clock_ns() - began_ns) / 1e9);
    return r;
}

SUSPENDS static int run(Arena *arena)
{
    const char *text = "{\"name\":\"bench\",\"sources\":[{\"http\":{\"listen\":\"127.0.0.1:0\"}}]}";
    PipelineOpts opts = { .is_private_allowed = true, .is_local_allowed = true };
    sl_nursery *nursery = sl_nursery_open(.name = "bench");
    PipelineConfig config;
    Str sink = str_from_c(bench.sink);
    Pipeline *pipeline = NULL;
    Plan *plan = NULL;
    int r = schema_decode_text(arena, &pipeline_config_schema, str_from_c(text), &config, NULL);

    config.out = (SchemaList){ &sink, 1 };
    if (r == 0)
        r = plan_new(&config, &plan);
    if (r == 0)
        r = pipeline_start(&pipeline, nursery, plan, &opts);
    if (r == 0)
        r = find_address(pipeline);
    if (r == 0)
        r = measure();
    if (pipeline)
        r = r < 0 ? r : pipeline_stop(pipeline, 5000);
    sl_nursery_close(nursery);
    return r;
}

SUSPENDS static int main_fiber(void *arg)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    int r;

    (void) arg;
    arena_init(&arena, 0);
    if (net_address_parse(str_from_c(bench.sink), &bench.address) == 0)
        r = measure();
    else
        r = run(&arena);
    if (r < 0)
        fprintf(stderr, "http_rows: %s\n", sl_error_text(r));
    return r;
}

int main(int argc, char **argv)
{
    bench.lines = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    bench.seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
    bench.connections = argc > 3 ? strtoul(argv[3], NULL, 10) : 32;
    bench.sink = argc > 4 && strcmp(argv[4], "-") != 0 ? argv[4]
                                                       : "sqlite:http_rows.db?table=readings";
    bench.rate = argc > 5 ? strtod(argv[5], NULL) : 0;
    bench.delays_ns = calloc(DELAYS_MAX, sizeof(bench.delays_ns[0]));
    if (!bench.lines || !bench.connections || bench.connections > WRITERS_MAX) {
        fprintf(stderr, "usage: http_rows LINES [SECONDS [CONNECTIONS [SINK [RATE]]]]\n");
        return 2;
    }
    make_request();
    return sl_run(main_fiber, NULL, .loops = 2, .stall_ms = -1) < 0;
}
