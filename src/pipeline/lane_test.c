/*
 * Lanes whose steps hang: a program of jq that never ends costs the row it hangs on, and no more;
 * and a pipeline that is hurried waits for none.
 */
#include "pipeline/pipeline_int.h"

#include "base/test.h"
#include "codec/schema.h"

#include <semaphore.h>
#include <stdatomic.h>

typedef struct World {
    const char *json;
    bool is_hurried; /* once the rows are in the lane */
    bool is_halved;  /* the first step is the one that follows */
    PipelineStats stats;
    int r;
} World;

/* ---- a step that ends some of a parcel's rows, and then hangs -------------------------------- */

static sem_t given_up;
static atomic_bool is_half_done;

static int half_run(void *state, StepRun *run)
{
    (void) state;
    parcel_end_row(run->parcel, 0, FATE_FILTERED);
    parcel_end_row(run->parcel, 1, FATE_DROPPED);
    parcel_refuse(run->parcel, 2, "half", "bad", "it is bad");
    atomic_store(&is_half_done, true);
    while (sem_wait(&given_up) < 0) {}
    return fail(-ECANCELED, "the rows are given up");
}

static void half_watch(void *state, int64_t now_ns, bool is_given_up)
{
    (void) state;
    (void) now_ns;
    if (is_given_up)
        (void) sem_post(&given_up);
}

static void put_half(Plan *plan)
{
    static StepDriver half;

    half = *plan->steps[0].driver;
    half.burns = true;
    half.run = half_run;
    half.watch = half_watch;
    plan->steps[0].driver = &half;
    atomic_store(&is_half_done, false);
    EXPECT_EQ(sem_init(&given_up, 0, 0), 0);
}

/* ---- a world --------------------------------------------------------------------------------- */

SUSPENDS static void hurry_in_the_step(Pipeline *pipeline, const atomic_bool *is_there)
{
    PipelineStats stats = { 0 };

    while (stats.in_flight == 0 || stats.channel_rows > 0 || !atomic_load(is_there)) {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    }
    pipeline_hurry(pipeline);
}

SUSPENDS static int world_main(void *arg)
{
    static const atomic_bool yes = true;
    World *world = arg;
    AUTO(arena_deinit) Arena arena = { 0 };
    sl_nursery *nursery = sl_nursery_open(.name = "test", .keep_going = true);
    PipelineOpts opts = { .is_local_allowed = true };
    Pipeline *pipeline = NULL;
    PipelineConfig config;
    Plan *plan = NULL;

    EXPECT_OK(schema_decode_text(&arena, &pipeline_config_schema, str_from_c(world->json), &config,
                                 NULL));
    EXPECT_OK(plan_new(&config, &plan));
    if (plan && world->is_halved)
        put_half(plan);
    world->r = plan ? pipeline_start(&pipeline, nursery, plan, &opts) : -1;
    if (world->r == 0) {
        if (world->is_hurried)
            hurry_in_the_step(pipeline, world->is_halved ? &is_half_done : &yes);
        world->r = pipeline_wait(pipeline);
        if (world->r < 0)
            err_take(world->r, NULL);
        pipeline_stats(pipeline, &world->stats);
        (void) pipeline_stop(pipeline, 1000);
    }
    sl_nursery_close(nursery);
    return 0;
}

static void run(World *world)
{
    EXPECT_OK(sl_run(world_main, world, .loop = SL_LOOP_EPOLL));
    EXPECT_EQ(world->stats.in_flight, 0);
    EXPECT_EQ(world->stats.received, world->stats.written + world->stats.filtered +
                                         world->stats.dead + world->stats.dropped);
}

TEST(a_program_without_end_costs_its_row)
{
    World world = { .json = "{\"source\":[\"sim:sensors=3,count=5\"],\"out\":[\"jsonl:x.jsonl\"],"
                            "\"steps\":[{\"jq\":\"if .sensor == \\\"sensor-0002\\\" then "
                            "until(false; .) else . end\"}],\"dead_letters\":\"dead.jsonl\"}" };

    run(&world);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.written, 4);
    EXPECT_EQ(world.stats.dead, 1);
}

TEST(a_hurried_pipeline_waits_for_no_program)
{
    World world = { .json = "{\"source\":[\"sim:sensors=3,count=5\"],\"out\":[\"jsonl:x.jsonl\"],"
                            "\"steps\":[{\"jq\":{\"program\":\"until(false; .)\","
                            "\"timeout\":\"1h\"}}],\"dead_letters\":\"dead.jsonl\"}",
                    .is_hurried = true };

    run(&world);
    EXPECT_EQ(world.stats.written, 0);
    EXPECT_EQ(world.stats.dead, 0);
    EXPECT_EQ(world.stats.dropped, 5);
}

/* Would catch: rows that a step had ended before it was given up, and that are in no book. */
TEST(a_step_that_is_given_up_leaves_even_books)
{
    World world = {
        .json = "{\"source\":[\"sim:sensors=3,count=5\"],\"out\":[\"jsonl:x.jsonl\"],"
                "\"steps\":[{\"filter\":\"value > -1e9\"}],\"dead_letters\":\"dead.jsonl\"}",
        .is_hurried = true,
        .is_halved = true
    };

    run(&world);
    EXPECT_EQ(world.r, -ECANCELED);
    EXPECT_EQ(world.stats.written, 0);
    EXPECT_EQ(world.stats.dead, 0);
    EXPECT_EQ(world.stats.filtered, 1);
    EXPECT_EQ(world.stats.dropped, 4);
}

/* Would catch parcels of the loop's own pool in the hands of another thread. */
TEST(a_table_is_read_beside_the_loop)
{
    World world = { .json =
                        "{\"source\":[\"sim:sensors=2,count=30000\"],\"out\":[\"jsonl:x.jsonl\"],"
                        "\"steps\":[{\"join\":{\"on\":[\"sensor\"],\"file\":\"rooms.csv\","
                        "\"missing\":\"filter\"}}],\"dead_letters\":\"dead.jsonl\"}" };
    FILE *file = fopen("rooms.csv", "w");

    REQUIRE(file);
    (void) fputs("sensor,room\nsensor-0001,hall\n", file);
    (void) fclose(file);
    run(&world);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.written, 15000);
    EXPECT_EQ(world.stats.filtered, 15000);
}

TEST_MAIN()
