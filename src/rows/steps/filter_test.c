/*
 * filter: what is true stays, in order; what is not is counted; columns that are settled are looked
 * at strictly, others may come.
 */
#include "rows/step_world_int.h"

TEST(keeps_what_is_true)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "filter",
                            "{\"expression\":\"value > 0 and upper(sensor) != 'B'\"}"));
    step_world_columns(&world, "sensor:text value:number");
    step_world_row(&world, "[\"a\", 1]");
    step_world_row(&world, "[\"b\", 1]");
    step_world_row(&world, "[\"c\", -1]");
    step_world_row(&world, "[\"d\", null]");
    step_world_row(&world, "[\"e\", 2]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"sensor\":\"a\",\"value\":1.0}\n"
                        "readings {\"sensor\":\"e\",\"value\":2.0}\n"
                        "- filtered 3\n");
}

TEST(columns_that_come_later)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    size_t index;

    REQUIRE(step_world_open(&world, "filter", "{\"expression\":\"later == 1\"}"));
    step_world_columns(&world, "value:number");
    step_world_row(&world, "[1]");
    step_world_run(&world);
    EXPECT_OK(shape_add(world.shape, STR_C("later"), ROW_INT, STR_C(""), &index));
    step_world_row(&world, "[2, 1]");
    step_world_run(&world);
    EXPECT_STEP(&world, "- filtered 1\nreadings {\"value\":2.0,\"later\":1}\n");
}

TEST(settled_columns_are_strict)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "filter", "{\"expression\":\"valeu > 1\"}"));
    step_world_columns(&world, "value:number");
    shape_seal(world.shape);
    step_world_row(&world, "[1]");
    EXPECT_ERR(step_world_try_run(&world), -ERR_INVALID, "did you mean \"value\"");
}

TEST(settings_that_are_wrong)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    EXPECT_ERR(step_world_try_open(&world, "filter", "{\"expression\":\"value >\"}"), -ERR_INVALID,
               "expression: at 8: it ends");
    EXPECT_ERR(step_world_try_open(&world, "filter", "{}"), -ERR_INVALID, "expression");
}

TEST_MAIN()
