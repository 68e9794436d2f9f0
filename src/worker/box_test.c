/*
 * Boxes: runs end to end, the walls from the inside, boxes that end in each way there is, turns,
 * memory, and that nothing is left behind.
 */
#include "worker/box_world_int.h"

#include <dirent.h>
#include <signal.h>
#include <sys/socket.h>

static const Handler *const test_handlers[] = { &handler_rogue };

/* ---- runs ------------------------------------------------------------------------------------ */

static void echoes_body(World *world)
{
    BoxPoolStats stats;

    EXPECT_OK(box_pool_stats(world->pool, &stats));
    EXPECT_EQ(stats.boxes, 0); /* P5 */
    EXPECT_OK(box_pool_check(world->pool));
    EXPECT_OK(box_pool_check(world->pool));
    expect_result(world, "{\"data\":\"hello\"}", "\"hello\"");
    expect_result(world, "{\"data\":\"again\"}", "\"again\"");
    expect_error(world, "{\"act\":\"fail\"}", -ERR_HANDLER, "it failed as it was told");
    expect_error(world, "{\"act\":\"nothing\"}", -ERR_INVALID, "act");
    expect_result(world, "{\"data\":\"still\"}", "\"still\"");
    EXPECT_OK(box_pool_stats(world->pool, &stats));
    EXPECT_EQ(stats.boxes, 1);
    EXPECT_EQ(stats.runs, 5);
    EXPECT_EQ(stats.crashes, 0);
    EXPECT(stats.is_known);
    EXPECT(!(stats.missing & BOX_WALL_BIT(FILTER)));
}

/* Would catch: a box that is not used again, and one that is started before anybody wants it. */
TEST(runs_one_after_the_other)
{
    in_world(echoes_body, (BoxPoolOpts){ .boxes_max = 1 });
}

static void bytes_body(World *world)
{
    size_t len = (size_t) 3 << 20;
    char *bytes = mem_new_array(char, len);

    for (size_t i = 0; i < len; i++)
        bytes[i] = (char) (i * 7);
    for (size_t i = 0; i < 3; i++) {
        size_t n = i == 0 ? len : i == 1 ? 0 : 5;
        Try try = { .pool = world->pool,
                    .run = { .args = str_from_c("{\"act\":\"copy\"}"),
                             .input = { str_from(bytes, n), NULL, "image/x-test" } } };

        run_try(&try);
        EXPECT_EQ(try.r, 0);
        EXPECT_EQ(try.run.n_outputs, 1);
        EXPECT_STR(try.run.outputs[0].bytes, str_from(bytes, n));
        EXPECT_C(try.run.outputs[0].media_type, "image/x-test");
        EXPECT_C(try.run.outputs[0].name, "copy");
        end_try(&try);
    }
    mem_free(bytes);
}

/* Would catch: bytes of the run before, and an empty input or output. */
TEST(carries_bytes_both_ways)
{
    in_world(bytes_body, (BoxPoolOpts){ .boxes_max = 1 });
}

static void talks_body(World *world)
{
    Try try = { .pool = world->pool, .run.args = str_from_c("{\"act\":\"talk\"}") };

    run_try(&try);
    EXPECT_EQ(try.r, 0);
    EXPECT_EQ(try.lines, LIMIT_BOX_LINES);
    EXPECT(try.fraction == 1);
    end_try(&try);
}

/* Would catch: lines without a bound, and a last word of progress that gets lost. */
TEST(talks_while_it_runs)
{
    in_world(talks_body, (BoxPoolOpts){ .boxes_max = 1 });
}

/* ---- walls ----------------------------------------------------------------------------------- */

static void walls_body(World *world)
{
    static const char *const acts[] = { "open",   "socket", "fork",  "exec",
                                        "ptrace", "kill",   "limit", "shrink" };
    BoxPoolStats stats;

    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        char args[64];

        (void) snprintf(args, sizeof(args), "{\"act\":\"%s\"}", acts[i]);
        expect_result(world, args, "\"EPERM\"");
    }
    EXPECT_OK(box_pool_stats(world->pool, &stats));
    EXPECT_EQ(stats.crashes, 0);
    for (unsigned i = 0; i < BOX_WALL_COUNT; i++)
        if (stats.missing & UINT32_C(1) << i)
            printf("  missing here: %s\n", box_wall_name(i));
}

/* Would catch: a hole in the filter. */
TEST(walls_hold)
{
    in_world(walls_body, (BoxPoolOpts){ .boxes_max = 1 });
}

/* ---- ends ------------------------------------------------------------------------------------ */

/* ThreadSanitizer has so much to say of a crash that the words before it are lost. */
#if defined(__SANITIZE_THREAD__)
#define CRASH_WORDS "its last words: "
#else
#define CRASH_WORDS "farewell"
#endif

static void ends_body(World *world)
{
    BoxPoolStats stats;

    expect_error(world, "{\"act\":\"crash\"}", -ERR_BOX, CRASH_WORDS);
    expect_result(world, "{\"data\":\"alive\"}", "\"alive\"");
    expect_error(world, "{\"act\":\"exit\"}", -ERR_BOX, "exit code 3; its last words: farewell");
    expect_error(world, "{\"act\":\"abort\"}", -ERR_BOX, "farewell");
    expect_error(world, "{\"act\":\"stack\"}", -ERR_BOX, "its last words");
    expect_result(world, "{\"data\":\"alive\"}", "\"alive\"");
    EXPECT_OK(box_pool_stats(world->pool, &stats));
    EXPECT_EQ(stats.crashes, 4);
}

/* Would catch: an end that is not told, or that is told with another box's words. */
TEST(each_end_costs_one_run)
{
    in_world(ends_body, (BoxPoolOpts){ .boxes_max = 1 });
}

static void loops_body(World *world)
{
    Try try = { .pool = world->pool,
                .run.args = str_from_c("{\"act\":\"loop\"}"),
                .timeout_ms = 150 };
    BoxPoolStats stats;

    expect_result(world, "{\"data\":\"warm\"}", "\"warm\"");
    run_try(&try);
    EXPECT_EQ(try.r, -ETIMEDOUT);
    end_try(&try);
    expect_result(world, "{\"data\":\"next\"}", "\"next\"");
    EXPECT_OK(box_pool_stats(world->pool, &stats));
    EXPECT_EQ(stats.killed, 1);
    EXPECT_EQ(stats.crashes, 0);
}

/* Would catch: a cancelled run that holds its box. */
TEST(a_loop_ends_with_its_time)
{
    in_world(loops_body, (BoxPoolOpts){ .boxes_max = 1 });
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void eats_body(World *world)
{
    Try try = { .pool = world->pool, .run.args = str_from_c("{\"act\":\"memory\"}") };
    int64_t mib = 0;

    run_try(&try);
    EXPECT_EQ(try.r, 0); /* it hears that there is no more */
    EXPECT_OK(str_to_i64(buf_str(&try.result), 0, 1 << 20, &mib));
    EXPECT(mib <= ((LIMIT_BOX_HEADROOM_BYTES + (64 << 20)) >> 20));
    end_try(&try);
    expect_result(world, "{\"data\":\"alive\"}", "\"alive\"");
}

/* Would catch: a box without a limit on its memory. */
TEST(memory_is_bounded)
{
    in_world(eats_body, (BoxPoolOpts){ .boxes_max = 1, .memory_bytes = 64 << 20 });
}
#endif

/* ---- many ------------------------------------------------------------------------------------ */

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

typedef struct Crowd {
    World *world;
    size_t runs;
    size_t done, failed;
} Crowd;

static int crowd_member(void *arg)
{
    Crowd *crowd = arg;

    for (size_t i = 0; i < crowd->runs; i++) {
        Try try = { .pool = crowd->world->pool,
                    .run.args = str_from_c("{\"data\":\"one of many\"}"),
                    .run.is_patient = true };

        run_try(&try);
        if (try.r == 0)
            crowd->done++;
        else if (try.r == -ERR_BOX || try.r == -ERR_UNAVAILABLE)
            crowd->failed++;
        else
            test_fail(__FILE__, __LINE__, "%d %s", try.r, try.err.text);
        end_try(&try);
    }
    return 0;
}

static void many_body(World *world)
{
    Crowd crowd = { .world = world, .runs = 250 };
    size_t before;
    BoxPoolStats stats;

    expect_result(world, "{\"data\":\"warm\"}", "\"warm\"");
    before = count_fds();
    for (int round = 0; round < 2; round++) {
        sl_nursery *nursery = sl_nursery_open(.name = "crowd");

        for (int i = 0; i < 8; i++)
            EXPECT_OK(sl_spawn(nursery, crowd_member, &crowd, .name = "member"));
        EXPECT_OK(sl_nursery_join(nursery));
        sl_nursery_close(nursery);
    }
    EXPECT_EQ(crowd.done, 4000);
    EXPECT_OK(box_pool_stats(world->pool, &stats));
    EXPECT(stats.recycled >= 4);
    EXPECT(count_fds() <= before + 2 * 4);
}

/* Would catch: descriptors that stay when boxes are replaced, and runs that get lost then. */
TEST(nothing_is_left_behind)
{
    size_t before = count_fds();

    in_world(many_body, (BoxPoolOpts){ .boxes_max = 2, .runs_max = 500 });
    EXPECT(count_fds() <= before + 2); /* what a runtime opens once */
}

#define RUNS_UNDER_FIRE 400
#define RUNS_A_VOLLEY   40 /* that succeed between one killing and the next */

/* ---- killed from outside --------------------------------------------------------------------- */

/* Kill the children of our children of children: boxes, whoever they belong to here. */
static size_t kill_boxes(void)
{
    char path[64], text[4096];
    size_t killed = 0;
    DIR *dir = opendir("/proc");
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        int pid = atoi(entry->d_name), parent = 0, group = 0;
        FILE *file;

        (void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        file = pid > 0 ? fopen(path, "r") : NULL;
        if (!file)
            continue;
        if (fgets(text, sizeof(text), file) && strstr(text, "(sluice-box)") &&
            sscanf(strrchr(text, ')'), ") %*c %d %d", &parent, &group) == 2) {
            char own[64];
            FILE *leader;

            /* Ours: the group's leader is our child. */
            (void) snprintf(own, sizeof(own), "/proc/%d/stat", group);
            leader = fopen(own, "r");
            if (leader && fgets(text, sizeof(text), leader) &&
                sscanf(strrchr(text, ')'), ") %*c %d", &parent) == 1 && parent == (int) getpid() &&
                kill(pid, SIGKILL) == 0)
                killed++;
            if (leader)
                (void) fclose(leader);
        }
        (void) fclose(file);
    }
    if (dir)
        (void) closedir(dir);
    return killed;
}

typedef struct Killer {
    const Crowd *crowd;
    size_t killed;
} Killer;

/* Kills what runs and a little later what has come in its place, perhaps while it starts; then
 * waits until some more runs have succeeded, however long a start takes here. */
static int killer_main(void *arg)
{
    Killer *killer = arg;
    size_t done = 0;
    int r = 0;

    while (r == 0) {
        r = sl_sleep_ms(1);
        if (r < 0 || killer->crowd->done < done + RUNS_A_VOLLEY)
            continue;
        killer->killed += kill_boxes();
        r = sl_sleep_ms(20);
        killer->killed += kill_boxes();
        done = killer->crowd->done;
    }
    return r;
}

static void killed_body(World *world)
{
    Crowd crowd = { .world = world, .runs = RUNS_UNDER_FIRE };
    sl_nursery *killers = sl_nursery_open(.name = "killers");
    sl_nursery *nursery = sl_nursery_open(.name = "crowd");
    Killer killer = { .crowd = &crowd };

    EXPECT_OK(sl_spawn(killers, killer_main, &killer, .name = "killer"));
    for (int i = 0; i < 8; i++)
        EXPECT_OK(sl_spawn(nursery, crowd_member, &crowd, .name = "member"));
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    sl_nursery_close(killers);
    EXPECT_EQ(crowd.done + crowd.failed, 8 * RUNS_UNDER_FIRE);
    EXPECT(crowd.done > crowd.failed);
    crowd = (Crowd){ .world = world, .runs = 8 };
    (void) crowd_member(&crowd); /* a signal may still be on its way */
    EXPECT(crowd.done >= 6);
    EXPECT(killer.killed > 0);
}

/* Would catch: a run without an answer when its box, or the next one in line, is killed. */
TEST(every_run_gets_an_answer)
{
    in_world(killed_body, (BoxPoolOpts){ .boxes_max = 2 });
}

static void idle_death_body(World *world)
{
    BoxPoolStats stats = { 0 };

    while (stats.boxes == 0 && sl_sleep_ms(1) == 0)
        EXPECT_OK(box_pool_stats(world->pool, &stats));
    for (uint64_t deaths = 1; deaths <= 2; deaths++) {
        while (kill_boxes() == 0)
            EXPECT_OK(sl_sleep_ms(1));
        while ((stats.crashes < deaths || stats.boxes == 0) && sl_sleep_ms(1) == 0)
            EXPECT_OK(box_pool_stats(world->pool, &stats));
    }
}

/* Would catch: a box that is to be ready and is missed only once somebody wants it. */
TEST(a_ready_box_that_dies_is_replaced)
{
    in_world(idle_death_body, (BoxPoolOpts){ .boxes_max = 1, .boxes_ready = 1 });
}

/* ---- stopped --------------------------------------------------------------------------------- */

/* Whether the box that starts has said that it is ready, and the keeper is about to hear it. */
static bool is_about_to_start(const World *world)
{
    sl_stats stats;
    Box *box;
    char byte;

    if (list_is_empty(&world->pool->all))
        return false;
    box = LIST_ITEM(world->pool->all.first, Box, all_link);
    sl_stats_get(&stats);
    return stats.fibers_ready > 0 && box->place == BOX_STARTING &&
           recv(box->socket, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void stopped_body(World *world)
{
    sl_nursery *nursery = sl_nursery_open(.name = "caller", .keep_going = true);
    Try try = { .pool = world->pool, .run.args = str_from_c("{\"data\":\"x\"}") };

    EXPECT_OK(sl_spawn(nursery, run_try, &try, .name = "try"));
    while (!is_about_to_start(world) && world->pool->stats.runs == 0) /* else it was missed */
        EXPECT_OK(sl_yield());
    sl_nursery_cancel(world->nursery);
    sl_nursery_close(nursery);
    EXPECT(try.r < 0 || world->pool->stats.runs > 0);
    end_try(&try);
}

/* Would catch: a box that gets ready at the moment of the stop, and is nobody's. */
TEST(a_box_may_get_ready_while_the_pool_stops)
{
    in_world(stopped_body, (BoxPoolOpts){ .boxes_max = 1 });
}

static void stillborn_body(World *world)
{
    Box *box;

    while (!is_about_to_start(world) && list_is_empty(&world->pool->idle)) /* else it was missed */
        EXPECT_OK(sl_yield());
    box = LIST_ITEM(world->pool->all.first, Box, all_link);
    if (box->place == BOX_STARTING) { /* as the spawner's word does it that comes first */
        box->status = SIGKILL;
        sl_event_set(&box->ended);
    }
    while (list_is_empty(&world->pool->idle))
        EXPECT_OK(sl_sleep_ms(1));
    EXPECT(!LIST_ITEM(world->pool->idle.first, Box, link)->ended.is_set);
    expect_result(world, "{\"data\":\"alive\"}", "\"alive\"");
}

/* Would catch: a box that is kept ready though it has ended behind its first word. */
TEST(a_box_may_end_as_it_gets_ready)
{
    in_world(stillborn_body, (BoxPoolOpts){ .boxes_max = 1, .boxes_ready = 1 });
}

/* ---- turns and memory ------------------------------------------------------------------------ */

static void full_body(World *world)
{
    sl_nursery *nursery = sl_nursery_open(.name = "crowd");
    Try tries[4] = { 0 };
    size_t busy = 0;

    for (size_t i = 0; i < 4; i++) {
        tries[i].pool = world->pool;
        tries[i].run.args = str_from_c("{\"data\":\"x\"}");
        EXPECT_OK(sl_spawn(nursery, run_try, &tries[i], .name = "try"));
    }
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    for (size_t i = 0; i < 4; i++) {
        busy += tries[i].r == -ERR_BUSY;
        EXPECT(tries[i].r == 0 || tries[i].r == -ERR_BUSY);
        end_try(&tries[i]);
    }
    EXPECT_EQ(busy, 2); /* while the only box starts, two stand in line */
}

/* Would catch: a line without a bound. */
TEST(the_line_is_bounded)
{
    in_world(full_body, (BoxPoolOpts){ .boxes_max = 1, .waiting_max = 2 });
}

static void memory_body(World *world)
{
    expect_result(world, "{\"act\":\"reserve\",\"mib\":70}", "true");
    expect_error(world, "{\"act\":\"reserve\",\"mib\":71}", -ERR_TOO_LARGE, "71 MiB");
    expect_result(world, "{\"act\":\"reserve\",\"mib\":70}", "true"); /* given back */
}

/* Would catch: memory that is kept after its run, and a wish that can never come true. */
TEST(memory_is_reserved_for_a_run)
{
    in_world(memory_body, (BoxPoolOpts){ .boxes_max = 1, .memory_bytes = 80 << 20 });
}

/* Start one that has asked for its memory, has said so, and goes on for ever. */
static void begin_holder(World *world, sl_nursery *nursery, Try *holder, const char *args)
{
    holder->pool = world->pool;
    holder->run.args = str_from_c(args);
    EXPECT_OK(sl_spawn(nursery, run_try, holder, .name = "holder"));
    while (holder->lines == 0 && holder->r == 0)
        EXPECT_OK(sl_sleep_ms(1));
}

static void beside_body(World *world)
{
    sl_nursery *nursery = sl_nursery_open(.name = "holders", .keep_going = true);
    Try holder = { 0 }, giver = { 0 };

    begin_holder(world, nursery, &giver, "{\"act\":\"return\",\"mib\":70}");
    begin_holder(world, nursery, &holder, "{\"act\":\"hold\",\"mib\":70}");
    expect_result(world, "{\"act\":\"reserve\",\"mib\":10}", "true");
    expect_result(world, "{\"act\":\"reserve\",\"mib\":10}", "true");
    sl_nursery_cancel(nursery);
    sl_nursery_close(nursery);
    EXPECT_EQ(holder.r, -ECANCELED);
    EXPECT_EQ(giver.r, -ECANCELED);
    end_try(&holder);
    end_try(&giver);
    expect_result(world, "{\"act\":\"reserve\",\"mib\":70}", "true"); /* killed, and given back */
}

/* Would catch: a run that keeps what it has given back, and one that keeps small ones waiting. */
TEST(memory_is_shared)
{
    in_world(beside_body, (BoxPoolOpts){ .boxes_max = 3, .memory_bytes = 80 << 20 });
}

/* ---- what cannot be started ------------------------------------------------------------------ */

static void broken_body(World *world)
{
    int r = box_pool_check(world->pool);

    EXPECT_ERR(r, -ERR_UNAVAILABLE, "no box can be started");
    expect_error(world, "{}", -ERR_UNAVAILABLE, "no box can be started");
}

/* Would catch: callers that wait for ever for boxes that never start. */
TEST(a_spawner_that_fails_is_told)
{
    static const char *const argv[] = { "/bin/false", NULL };

    in_world(broken_body, (BoxPoolOpts){ .boxes_max = 1, .argv = argv });
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], BOX_SPAWNER_VERB) == 0)
        return box_spawner_main(test_handlers, ARRAY_LEN(test_handlers));
    return test_main(argc, argv);
}
