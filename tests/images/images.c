/*
 * The handler `image` over files, for tests/images/run: each line of standard input is ARGS, a tab,
 * the input file, a tab, the output file; each gets one line of output: "ok RESULT" or
 * "error CODE WORDS".
 *
 * With --boxed each line is run in a box, as the engine does it; otherwise this process answers all
 * lines by itself. Either way bytes that kill who reads them are seen at once. With --measured it
 * does so too, and each line begins with the bytes that the run asked for and those that it used.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/text.h"

#include "base/macro.h"
#include "worker/box.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 65536
#define FILE_BYTES (64 << 20)

extern const Handler handler_image;

/* fontconfig keeps patterns for the life of the process where LeakSanitizer does not see them. */
SL_API const char *__lsan_default_suppressions(void);
SL_API const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

static bool on_is_cancelled(Task *task)
{
    (void) task;
    return false;
}

static int on_output(Task *task, size_t bytes, unsigned char **ret_room)
{
    *ret_room = arena_try(task->arena, bytes);
    return *ret_room ? 0 : -ENOMEM;
}

static int64_t reserved_bytes;

static int on_reserve(Task *task, int64_t bytes)
{
    (void) task;
    reserved_bytes += bytes;
    return 0;
}

static const TaskOps ops = { .is_cancelled = on_is_cancelled,
                             .output = on_output,
                             .reserve = on_reserve };

/* A figure of this process's memory, in bytes: "VmRSS:" is now, "VmHWM:" the most. */
static int64_t memory_bytes(const char *what)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long long kib = 0;

    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtoll(line + strlen(what), NULL, 10);
    if (file)
        (void) fclose(file);
    return kib * 1024;
}

/* Give back what is free and let the most be what there is. Returns that. */
static int64_t memory_reset(void)
{
    FILE *file;

    (void) malloc_trim(0);
    file = fopen("/proc/self/clear_refs", "we");
    if (!file || fputs("5", file) < 0 || fclose(file) != 0)
        exit(2);
    return memory_bytes("VmRSS:");
}

static Str read_whole(const char *path, char *room)
{
    FILE *file = fopen(path, "rb");
    size_t len = file ? fread(room, 1, FILE_BYTES, file) : 0;

    if (file)
        (void) fclose(file);
    return str_from(room, len);
}

static void write_whole(const char *path, Str bytes)
{
    FILE *file = fopen(path, "wb");

    if (!file || fwrite(bytes.data, 1, bytes.len, file) != bytes.len || fclose(file) != 0)
        exit(2);
}

static void say(int r, Str result)
{
    if (r < 0)
        printf("error %s %s\n", err_name(r), err_text(r));
    else
        printf("ok %.*s\n", (int) result.len, result.data);
    (void) fflush(stdout);
}

/* Run it in a box of POOL. */
static void answer_boxed(BoxPool *pool, const char *args, Str input, const char *out)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf result = { 0 };
    BoxRun run = { .handler = &handler_image,
                   .args = str_from_c(args),
                   .is_direct = true,
                   .is_foreground = true,
                   .input.bytes = input,
                   .timeout_ms = 60000,
                   .arena = &arena,
                   .result = &result };
    int r;

    arena_init(&arena, 0);
    buf_init(&result, 0);
    r = box_pool_run(pool, &run);
    if (r == 0 && run.n_outputs > 0)
        write_whole(out, run.outputs[0].bytes);
    say(r, buf_str(&result));
    box_run_deinit(&run);
}

static void answer(const char *args, Str input, const char *out, bool is_measured)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf result = { 0 };
    JsonWriter writer = JSON_WRITER(&result);
    Task task = {
        .ops = &ops, .type = "image", .arena = &arena, .is_foreground = true, .input.bytes = input
    };
    int64_t before = is_measured ? memory_reset() : 0;
    void *bound;
    int r;

    reserved_bytes = 0;
    arena_init(&arena, 512 << 20);
    bound = arena_zalloc(&arena, handler_image.args->struct_bytes);
    r = schema_decode_text(&arena, handler_image.args, str_from_c(args), bound, NULL);
    if (r == 0)
        r = handler_image.run(&task, bound, &writer);
    if (r == 0 && task.n_outputs > 0)
        write_whole(out, task.outputs[0].bytes);
    if (is_measured)
        printf("%lld %lld ", (long long) reserved_bytes,
               (long long) (memory_bytes("VmHWM:") - before));
    say(r, buf_str(&result));
}

/* Answer every line; without a POOL in this process. */
static int answer_all(BoxPool *pool, bool is_measured)
{
    static char line[LINE_BYTES];
    char *room = malloc(FILE_BYTES);

    while (room && fgets(line, sizeof(line), stdin)) {
        char *in = strchr(line, '\t'), *out = in ? strchr(in + 1, '\t') : NULL;

        if (!out)
            return 2;
        *in++ = *out++ = '\0';
        out[strcspn(out, "\n")] = '\0';
        if (pool)
            answer_boxed(pool, line, read_whole(in, room), out);
        else
            answer(line, read_whole(in, room), out, is_measured);
    }
    free(room);
    return 0;
}

static int boxed_main(void *arg)
{
    const BoxPoolOpts opts = { .boxes_max = 1 };
    sl_nursery *nursery = sl_nursery_open(.name = "images", .keep_going = true);
    BoxPool *pool;
    int r = box_pool_start(&pool, nursery, &opts);

    (void) arg;
    if (r == 0) {
        r = answer_all(pool, false);
        box_pool_stop(pool);
    }
    sl_nursery_close(nursery);
    return r;
}

int main(int argc, char **argv)
{
    static const Handler *const handlers[] = { &handler_image };

    if (argc > 1 && strcmp(argv[1], BOX_SPAWNER_VERB) == 0)
        return box_spawner_main(handlers, ARRAY_LEN(handlers));
    if (argc > 1 && strcmp(argv[1], "--boxed") == 0)
        return sl_run(boxed_main, NULL, .stall_ms = -1) == 0 ? 0 : 2;
    return handler_image.prepare() == 0
               ? answer_all(NULL, argc > 1 && strcmp(argv[1], "--measured") == 0)
               : 2;
}
