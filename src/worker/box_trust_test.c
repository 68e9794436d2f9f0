/*
 * Boxes that cannot be trusted: what they say on the wire that no box says, and that where each run
 * has a fresh box none meets what another has left behind.
 */
#include "worker/box_world_int.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a handler that lies on the wire --------------------------------------------------------- */

/* What it is told in its arguments: the bytes to send, as a kind and numbers. */
static int forge(Task *task, const void *args, JsonWriter *result)
{
    const SchemaJson *given = args;
    const BoxRunMessage *run = CONTAINER_OF(task->job_id, BoxRunMessage, job_id);
    BoxResult lie = { .kind = BOX_RESULT, .number = run->number };
    size_t len = offsetof(BoxResult, outputs);
    Str how;

    if (!json_get_str(given->value, &how))
        return -ERR_INVALID;
    if (str_eq_c(how, "kind"))
        lie.kind = 77;
    else if (str_eq_c(how, "short"))
        len = 3;
    else if (str_eq_c(how, "offset"))
        lie.offset = UINT64_MAX - 2, lie.len = 8;
    else if (str_eq_c(how, "length"))
        lie.len = UINT64_MAX;
    else if (str_eq_c(how, "json"))
        lie.len = 10; /* what lies there is no JSON */
    else if (str_eq_c(how, "outputs"))
        lie.n_outputs = 4000000000U;
    else if (str_eq_c(how, "output"))
        lie.n_outputs = 1, len = offsetof(BoxResult, outputs[1]),
        lie.outputs[0].offset = LIMIT_BOX_OUTPUT_BYTES, lie.outputs[0].len = 1;
    else if (str_eq_c(how, "overlap"))
        lie.n_outputs = 2, len = offsetof(BoxResult, outputs[2]),
        lie.outputs[0].len = lie.outputs[1].len = LIMIT_BOX_OUTPUT_BYTES / 2 + 1;
    else if (str_eq_c(how, "name"))
        lie.n_outputs = 1, len = offsetof(BoxResult, outputs[1]),
        memcpy(lie.outputs[0].media_type, "a\r\nSet-Cookie: b", 17);
    else if (str_eq_c(how, "endless"))
        memset(lie.code, 'x', sizeof(lie.code));
    else if (str_eq_c(how, "outcome"))
        lie.r = 5;
    else if (str_eq_c(how, "wish"))
        lie.kind = BOX_RESERVE, lie.r = -1, lie.number = (uint64_t) -5, len = sizeof(BoxWord);
    else if (str_eq_c(how, "gift"))
        lie.kind = BOX_GIVE_BACK, lie.number = 1, len = sizeof(BoxWord);
    else if (str_eq_c(how, "late"))
        lie.number--;
    else if (str_eq_c(how, "early"))
        lie.number++;
    else if (str_eq_c(how, "cancelled"))
        lie.r = -ECANCELED;
    for (int fd = 0; fd < 32; fd++)
        (void) send(fd, &lie, len, MSG_NOSIGNAL);
    json_write_bool(result, true);
    return 0;
}

/* How many runs this process has had. */
static int count_runs(Task *task, const void *args, JsonWriter *result)
{
    static int64_t runs;

    (void) task;
    (void) args;
    json_write_i64(result, ++runs);
    return 0;
}

static const Handler handler_counter = {
    .type = "counter", .summary = "Counts.", .cost = HANDLER_BOX, .run = count_runs
};

static const Handler handler_forger = {
    .type = "forger", .summary = "Lies.", .cost = HANDLER_BOX, .run = forge
};

static const Handler *const test_handlers[] = { &handler_rogue, &handler_forger, &handler_counter };

/* ---- lies ------------------------------------------------------------------------------------ */

static void lies_body(World *world)
{
    static const char *const ways[] = { "kind",    "short",  "offset", "length",  "json",
                                        "outputs", "output", "name",   "overlap", "endless",
                                        "outcome", "wish",   "gift",   "late",    "early" };
    BoxPoolStats stats;

    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        char args[32];
        Try try = { .pool = world->pool, .run.handler = &handler_forger };

        (void) snprintf(args, sizeof(args), "\"%s\"", ways[i]);
        try.run.args = str_from_c(args);
        run_try(&try);
        if (try.r != -ERR_BOX || !strstr(try.err.text, "rules"))
            test_fail(__FILE__, __LINE__, "%s: %d %s", ways[i], try.r, try.err.text);
        end_try(&try);
        EXPECT_OK(box_pool_stats(world->pool, &stats));
        EXPECT_EQ(stats.crashes, i + 1); /* it is replaced at once */
    }
    expect_result(world, "{\"data\":\"alive\"}", "\"alive\"");
}

/* Would catch: a length, offset or text of a box that the engine believes. */
TEST(lies_are_not_believed)
{
    in_world(lies_body, (BoxPoolOpts){ .boxes_max = 2 });
}

static void whispers_body(World *world)
{
    Try try = { .pool = world->pool,
                .run = { .handler = &handler_forger, .args = str_from_c("\"twice\"") } };
    BoxPoolStats stats;
    Box *box;

    run_try(&try);
    EXPECT_EQ(try.r, 0); /* its lie is as good as any answer: nobody else is harmed */
    end_try(&try);
    REQUIRE(!list_is_empty(&world->pool->idle));
    box = LIST_ITEM(world->pool->idle.first, Box, link);
    EXPECT_OK(sl_fd_wait(box->socket, SL_FD_READ, NULL)); /* the answer of forge itself */
    expect_result(world, "{\"data\":\"mine\"}", "\"mine\"");
    EXPECT_OK(box_pool_stats(world->pool, &stats));
    EXPECT_EQ(stats.crashes, 1);
}

/* Would catch: what a box says between two runs being heard as the answer to the next. */
TEST(a_box_without_a_run_is_silent)
{
    in_world(whispers_body, (BoxPoolOpts){ .boxes_max = 1 });
}

/* Would catch: a loop that is held for as long as somebody talks. */
TEST(words_without_an_end_are_not_heard_out)
{
    static Box box;

    box.words = open("/dev/zero", O_RDONLY | O_CLOEXEC); /* as quick as a box can be */
    REQUIRE(box.words >= 0);
    box_hear_words(&box);
    EXPECT_EQ(box.last_words_len, LIMIT_BOX_WORDS_BYTES);
    (void) close(box.words);
}

static void pretends_body(World *world)
{
    Try try = { .pool = world->pool,
                .run = { .handler = &handler_forger, .args = str_from_c("\"cancelled\"") } };

    run_try(&try);
    EXPECT_EQ(try.r, -ERR_HANDLER);
    end_try(&try);
}

/* Would catch: a box that ends its caller by claiming that it was cancelled. */
TEST(a_box_cancels_nobody)
{
    in_world(pretends_body, (BoxPoolOpts){ .boxes_max = 1 });
}

/* ---- a fresh box for each run ---------------------------------------------------------------- */

static int fresh_member(void *arg)
{
    World *world = arg;

    for (int i = 0; i < 6; i++) {
        Try try = {
            .pool = world->pool,
            .run = { .handler = &handler_counter, .args = str_from_c("{}"), .is_patient = true }
        };

        run_try(&try);
        EXPECT_EQ(try.r, 0);
        EXPECT_STR(buf_str(&try.result), str_from_c("1"));
        EXPECT(world->pool->busy <= world->pool->opts.boxes_max);
        end_try(&try);
    }
    return 0;
}

static void fresh_body(World *world)
{
    sl_nursery *nursery = sl_nursery_open(.name = "crowd");
    BoxPoolStats stats = { 0 };
    Try looping = { .pool = world->pool,
                    .run.args = str_from_c("{\"act\":\"loop\"}"),
                    .timeout_ms = 60000 };

    for (int i = 0; i < 4; i++)
        EXPECT_OK(sl_spawn(nursery, fresh_member, world, .name = "member"));
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_OK(box_pool_stats(world->pool, &stats));
    EXPECT_EQ(stats.recycled, 24);

    nursery = sl_nursery_open(.name = "looping");
    EXPECT_OK(sl_spawn(nursery, run_try, &looping, .name = "try"));
    while (stats.busy == 0 || stats.boxes < 2) { /* the next box, while this one runs */
        EXPECT_OK(sl_sleep_ms(1));
        EXPECT_OK(box_pool_stats(world->pool, &stats));
    }
    sl_nursery_cancel(nursery);
    sl_nursery_close(nursery);
    end_try(&looping);
}

/* Would catch: a box that runs twice where it must not, more runs at a time than boxes are allowed,
 * and a next box that is made only once somebody waits for it. */
TEST(each_run_has_a_fresh_box)
{
    in_world(fresh_body, (BoxPoolOpts){ .boxes_max = 2, .runs_max = 1 });
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], BOX_SPAWNER_VERB) == 0)
        return box_spawner_main(test_handlers, ARRAY_LEN(test_handlers));
    return test_main(argc, argv);
}
