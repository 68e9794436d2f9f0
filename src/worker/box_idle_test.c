/*
 * Boxes that have nothing to do: they end, then their spawner, and the next run finds both again.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "base/test.h"
#include "worker/box.h"

#include <sluice/rt.h>

#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#define SHORT_MS 5
#define LONG_MS  (INT64_C(3600) * 1000)

/* Echoes its argument, after as many milliseconds if it is a number. */
static int echo(Task *task, const void *args, JsonWriter *result)
{
    const SchemaJson *given = args;
    struct timespec now, end;
    int64_t ms = 0;

    (void) task;
    if (str_to_i64(given->raw, 0, 1000, &ms) == 0) {
        (void) clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_nsec += (long) (ms * NS_PER_MS);
        do {
            (void) clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((now.tv_sec - end.tv_sec) * NS_PER_S + now.tv_nsec < end.tv_nsec);
    }
    json_write_raw(result, given->raw);
    return 0;
}

static const Handler handler_echo = {
    .type = "echo", .summary = "Echoes.", .cost = HANDLER_BOX, .run = echo
};
static const Handler *const test_handlers[] = { &handler_echo };

typedef struct World {
    BoxPool *pool;
    void (*body)(struct World *world);
    BoxPoolOpts opts;
    const char *args;
    int runs; /* of each caller */
    int64_t pause_ms;
    int done;
} World;

SUSPENDS static int world_main(void *arg)
{
    World *world = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "world", .keep_going = true);

    EXPECT_OK(box_pool_start(&world->pool, nursery, &world->opts));
    world->body(world);
    box_pool_stop(world->pool);
    sl_nursery_close(nursery);
    return 0;
}

static void in_world(void (*body)(World *world), BoxPoolOpts opts)
{
    World world = { .body = body, .opts = opts, .args = "\"x\"", .runs = 1 };

    EXPECT_OK(sl_run(world_main, &world, .stall_ms = -1));
}

SUSPENDS static int caller(void *arg)
{
    World *world = arg;

    for (int i = 0; i < world->runs; i++) {
        Arena arena = { 0 };
        Buf result = { 0 };
        BoxRun run = { .handler = &handler_echo,
                       .args = str_from_c(world->args),
                       .is_direct = true,
                       .is_patient = true,
                       .timeout_ms = 60000,
                       .arena = &arena,
                       .result = &result };

        EXPECT_OK(box_pool_run(world->pool, &run));
        EXPECT_STR(buf_str(&result), str_from_c(world->args));
        world->done++;
        box_run_deinit(&run);
        arena_deinit(&arena);
        buf_deinit(&result);
        EXPECT_OK(sl_sleep_ms(world->pause_ms));
    }
    return 0;
}

SUSPENDS static void call(World *world, int callers)
{
    sl_nursery *nursery = sl_nursery_open(.name = "callers");

    for (int i = 0; i < callers; i++)
        EXPECT_OK(sl_spawn(nursery, caller, world, .name = "caller"));
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
}

SUSPENDS static BoxPoolStats stats_of(World *world)
{
    BoxPoolStats stats;

    EXPECT_OK(box_pool_stats(world->pool, &stats));
    return stats;
}

/* As long as it takes. */
SUSPENDS static BoxPoolStats wait_until_gone(World *world)
{
    BoxPoolStats stats = stats_of(world);

    while ((stats.boxes > 0 || stats.has_spawner) && sl_sleep_ms(1) == 0)
        stats = stats_of(world);
    return stats;
}

static size_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        (void) closedir(dir);
    return n;
}

SUSPENDS static void gone_body(World *world)
{
    BoxPoolStats stats;
    size_t before = 0;

    for (uint64_t round = 1; round <= 3; round++) {
        call(world, 2);
        stats = wait_until_gone(world);
        EXPECT(stats.retired >= round);
        EXPECT_EQ(stats.crashes, 0);
        EXPECT_EQ(stats.runs, 2 * round);
        if (round == 1)
            before = count_fds();
    }
    EXPECT(count_fds() <= before + 4); /* the last spawner's may still be open */
}

/* Would catch: boxes or a spawner that stay, and a pool that cannot begin again after them. */
TEST(nothing_to_do_ends_all)
{
    in_world(gone_body,
             (BoxPoolOpts){ .boxes_max = 2, .idle_ms = SHORT_MS, .spawner_idle_ms = SHORT_MS });
}

SUSPENDS static void spawner_body(World *world)
{
    BoxPoolStats stats;

    call(world, 2);
    do {
        EXPECT_OK(sl_sleep_ms(1));
        stats = stats_of(world);
    } while (stats.boxes > 0);
    EXPECT(stats.has_spawner);
    call(world, 1);
    EXPECT_EQ(stats_of(world).crashes, 0);
}

/* Would catch: a spawner that ends with its last box instead of after its own time. */
TEST(the_spawner_stays_longer)
{
    in_world(spawner_body,
             (BoxPoolOpts){ .boxes_max = 2, .idle_ms = SHORT_MS, .spawner_idle_ms = LONG_MS });
}

SUSPENDS static void ready_body(World *world)
{
    BoxPoolStats stats;

    call(world, 2);
    do {
        EXPECT_OK(sl_sleep_ms(1));
        stats = stats_of(world);
    } while (stats.retired == 0);
    EXPECT_OK(sl_sleep_ms(4 * SHORT_MS)); /* for what must not happen */
    stats = stats_of(world);
    EXPECT_EQ(stats.boxes, 1);
    EXPECT_EQ(stats.retired, 1);
    EXPECT(stats.has_spawner);
}

/* Would catch: fewer boxes than are to be ready, and boxes that end and start in a circle. */
TEST(ready_boxes_stay)
{
    in_world(ready_body, (BoxPoolOpts){ .boxes_max = 2,
                                        .boxes_ready = 1,
                                        .idle_ms = SHORT_MS,
                                        .spawner_idle_ms = SHORT_MS });
}

SUSPENDS static void busy_body(World *world)
{
    world->args = "60";
    call(world, 1);
    EXPECT_EQ(world->done, 1);
}

/* Would catch: a box that ends under its run. */
TEST(a_busy_box_is_not_idle)
{
    in_world(busy_body,
             (BoxPoolOpts){ .boxes_max = 1, .idle_ms = SHORT_MS, .spawner_idle_ms = SHORT_MS });
}

SUSPENDS static void race_body(World *world)
{
    world->runs = 40;
    world->pause_ms = 2;
    call(world, 3);
    EXPECT_EQ(world->done, 120);
    EXPECT_EQ(stats_of(world).crashes, 0);
}

/* Would catch: a run that gets a box or a spawner on its way out. */
TEST(runs_and_ends_do_not_meet)
{
    in_world(race_body, (BoxPoolOpts){ .boxes_max = 2, .idle_ms = 1, .spawner_idle_ms = 1 });
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], BOX_SPAWNER_VERB) == 0)
        return box_spawner_main(test_handlers, ARRAY_LEN(test_handlers));
    return test_main(argc, argv);
}
