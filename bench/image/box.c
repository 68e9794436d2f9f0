/*
 * What a box costs: runs of an echo with SIZE bytes of argument through BOXES boxes.
 *
 *   box one SIZE N        one caller: microseconds from call to answer (p50, p99)
 *   box many SIZE N B C   C callers, B boxes: runs a second
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/text.h"
#include "worker/box.h"

#include <sluice/rt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US 1000

static int echo(Task *task, const void *args, JsonWriter *result)
{
    const SchemaJson *given = args;

    (void) task;
    json_write_raw(result, given->raw);
    return 0;
}

static const Handler handler_bench = {
    .type = "bench", .summary = "Echoes.", .cost = HANDLER_BOX, .run = echo
};
static const Handler *const table[] = { &handler_bench };

typedef struct Bench {
    BoxPool *pool;
    Str args;
    long runs; /* of each caller */
    size_t boxes;
    long callers;
    int64_t *took_ns; /* of one caller; NULL: nobody asks */
} Bench;

static int caller(void *arg)
{
    Bench *bench = arg;
    Arena arena = { 0 };
    Buf result = { 0 };
    int r = 0;

    for (long i = 0; i < bench->runs && r == 0; i++) {
        BoxRun run = { .handler = &handler_bench,
                       .args = bench->args,
                       .is_direct = true,
                       .is_patient = true,
                       .timeout_ms = 10000,
                       .arena = &arena,
                       .result = &result };
        int64_t began_ns = sl_clock_ns();

        r = box_pool_run(bench->pool, &run);
        if (bench->took_ns)
            bench->took_ns[i] = sl_clock_ns() - began_ns;
        arena_reset(&arena);
        buf_reset(&result);
    }
    arena_deinit(&arena);
    buf_deinit(&result);
    return r;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return x < y ? -1 : x > y;
}

static int measure(Bench *bench)
{
    sl_nursery *callers = sl_nursery_open(.name = "callers");
    int64_t began_ns = sl_clock_ns();
    int r = 0;

    for (long i = 0; i < bench->callers && r == 0; i++)
        r = sl_spawn(callers, caller, bench, .name = "caller");
    r = sl_nursery_join(callers);
    sl_nursery_close(callers);
    if (r == 0 && !bench->took_ns)
        printf("%.0f runs/s\n",
               (double) (bench->runs * bench->callers) * 1e9 / (double) (sl_clock_ns() - began_ns));
    return r;
}

static int bench_main(void *arg)
{
    sl_nursery *nursery = sl_nursery_open(.name = "bench", .keep_going = true);
    Bench *bench = arg, warm;
    int r = box_pool_start(&bench->pool, nursery,
                           &(BoxPoolOpts){ .boxes_max = bench->boxes,
                                           .boxes_ready = bench->boxes,
                                           .runs_max = UINT64_MAX });

    warm = *bench;
    warm.runs = 100;
    if (r == 0)
        r = caller(&warm);
    if (r == 0)
        r = measure(bench);
    box_pool_stop(bench->pool);
    sl_nursery_close(nursery);
    return r;
}

int main(int argc, char **argv)
{
    Bench bench = { .boxes = 1, .callers = 1 };
    size_t size;
    char *text;
    int r;

    if (argc > 1 && strcmp(argv[1], BOX_SPAWNER_VERB) == 0)
        return box_spawner_main(table, 1);
    if (argc < 4)
        return 64;
    size = strtoul(argv[2], NULL, 10);
    bench.runs = strtol(argv[3], NULL, 10);
    text = malloc(size + 3);
    if (!text)
        return 1;
    memset(text, 'x', size + 2);
    text[0] = text[size + 1] = '"';
    bench.args = str_from(text, size + 2);
    if (strcmp(argv[1], "one") == 0) {
        bench.took_ns = calloc((size_t) bench.runs, sizeof(int64_t));
    } else if (argc == 6) {
        bench.boxes = strtoul(argv[4], NULL, 10);
        bench.callers = strtol(argv[5], NULL, 10);
        bench.runs /= bench.callers;
    }
    r = sl_run(bench_main, &bench, .stall_ms = -1);
    if (r == 0 && bench.took_ns) {
        qsort(bench.took_ns, (size_t) bench.runs, sizeof(int64_t), by_size);
        printf("p50 %.1f us, p99 %.1f us\n", (double) bench.took_ns[bench.runs / 2] / NS_PER_US,
               (double) bench.took_ns[bench.runs * 99 / 100] / NS_PER_US);
    }
    if (r < 0)
        (void) fprintf(stderr, "box: %s\n", err_text(r));
    free(bench.took_ns);
    free(text);
    return r < 0;
}
