/*
 * rename and select: names and order of columns, and the corners of both.
 */
#include "rows/step_world_int.h"

TEST(rename_changes_places)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "rename",
                            "{\"columns\":{\"a\":\"b\",\"b\":\"a\",\"c\":\"d\",\"x\":\"y\"}}"));
    step_world_columns(&world, "a:text b:integer c:number d:boolean e:text");
    step_world_row(&world, "[\"one\", 2, 3, true, \"five\"]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"b\":\"one\",\"a\":2,\"d\":3.0,\"e\":\"five\"}\n");
}

TEST(rename_leaves_other_shapes_alone)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "rename", "{\"columns\":{\"x\":\"y\"}}"));
    step_world_columns(&world, "a:text");
    step_world_row(&world, "[\"one\"]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"a\":\"one\"}\n");
    EXPECT_ERR(step_world_try_open(&world, "rename", "{\"columns\":{\"a\":\"c\",\"b\":\"c\"}}"),
               -ERR_INVALID, "two columns");
    EXPECT_ERR(step_world_try_open(&world, "rename", "{\"columns\":{\"a\":\"\"}}"), -ERR_INVALID,
               "is empty");
}

TEST(select_keeps)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "select",
                            "{\"keep\":[\"time\",\"v_*\",\"none\"],\"drop\":[\"*_raw\"]}"));
    step_world_columns(&world, "v_b:integer x:text v_a:integer v_raw:integer time:time");
    step_world_row(&world, "[1, \"x\", 2, 3, 1700000000]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"time\":\"2023-11-14T22:13:20Z\",\"v_b\":1,\"v_a\":2}\n");
}

TEST(select_drops)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "select", "{\"drop\":[\"_*\",\"*a*b*c\"]}"));
    step_world_columns(&world, "_x:text a:integer abbc:text ab:integer");
    step_world_row(&world, "[\"x\", 1, \"y\", 2]");
    step_world_run(&world);
    step_world_columns(&world, "_y:text");
    step_world_row(&world, "[\"gone\"]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"a\":1,\"ab\":2}\n"
                        "! select no_columns: none of its columns is kept\n");
}

TEST_MAIN()
