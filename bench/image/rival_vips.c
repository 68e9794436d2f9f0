/*
 * The plain loop: vips_thumbnail_buffer to 320 pixels and jpegsave, as often as asked, in as many
 * threads as asked. What libvips alone can do here, without a server.
 *
 *   cc -O2 rival_vips.c $(pkg-config --cflags --libs vips) -o rival_vips
 *   ./rival_vips FILE RUNS THREADS
 *
 * Prints pictures a second, and milliseconds of processor for each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <vips/vips.h>

typedef struct Loop {
    void *bytes;
    gsize len;
    int runs;
} Loop;

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void *resize(void *arg)
{
    const Loop *loop = arg;

    for (int i = 0; i < loop->runs; i++) {
        VipsImage *image;
        void *out;
        size_t len;

        if (vips_thumbnail_buffer(loop->bytes, loop->len, &image, 320, "height", 10000, NULL) ||
            vips_jpegsave_buffer(image, &out, &len, "Q", 80, "strip", TRUE, NULL))
            vips_error_exit(NULL);
        g_object_unref(image);
        g_free(out);
    }
    vips_thread_shutdown();
    return NULL;
}

int main(int argc, char **argv)
{
    Loop loop = { 0 };
    GThread *threads[64];
    int n = argc > 3 ? atoi(argv[3]) : 0;
    double wall, cpu;

    if (n < 1 || n > 64 || VIPS_INIT(argv[0]) ||
        !g_file_get_contents(argv[1], (char **) &loop.bytes, &loop.len, NULL))
        return 2;
    loop.runs = atoi(argv[2]);
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    wall = seconds(CLOCK_MONOTONIC);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < n; i++)
        threads[i] = g_thread_new("loop", resize, &loop);
    for (int i = 0; i < n; i++)
        g_thread_join(threads[i]);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%.1f pictures/s, %.1f ms of processor each\n", n * loop.runs / wall,
           1000 * cpu / (n * loop.runs));
    return 0;
}
