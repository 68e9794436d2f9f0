/*
 * Lanes whose steps hang: a program of jq that never ends costs the row it hangs on, and no more;
 * and a pipeline that is hurried waits for none.
 */
#include "pipeline/pipeline_int.h"

#include "base/test.h"
#include "codec/schema.h"

typedef struct World {
    const char *json;
    bool is_hurried; /* once the rows are in the lane */
    PipelineStats stats;
    int r;
} World;

SUSPENDS static void hurry_in_the_step(Pipeline *pipeline)
{
    PipelineStats stats = { 0 };

    while (stats.in_flight == 0 || stats.channel_rows > 0) {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    }
    pipeline_hurry(pipeline);
}

SUSPENDS static int world_main(void *arg)
{
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
    world->r = plan ? pipeline_start(&pipeline, nursery, plan, &opts) : -1;
    if (world->r == 0) {
        if (world->is_hurried)
            hurry_in_the_step(pipeline);
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
