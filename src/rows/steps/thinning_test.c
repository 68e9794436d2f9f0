/*
 * sample and throttle: how many stay, which, and that the same ones do again.
 */
#include "base/limits.h"
#include "rows/step_world_int.h"

#include <stdio.h>

/* N rows, of sensors 0 to N_SENSORS - 1 in turn. */
static void put_rows(StepWorld *world, int n, int n_sensors)
{
    char values[64];

    for (int i = 0; i < n; i++) {
        (void) snprintf(values, sizeof(values), "[\"s%d\", %d]", i % n_sensors, i);
        step_world_row(world, values);
    }
    step_world_run(world);
}

TEST(one_in_so_many)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "sample", "{\"every\":3}"));
    step_world_columns(&world, "sensor:text n:integer");
    put_rows(&world, 4, 2);
    put_rows(&world, 4, 2);
    EXPECT_STEP(&world,
                "readings {\"sensor\":\"s0\",\"n\":0}\nreadings {\"sensor\":\"s1\",\"n\":3}\n"
                "- filtered 2\nreadings {\"sensor\":\"s0\",\"n\":2}\n- filtered 3\n");
}

TEST(a_share_by_key)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    AUTO(buf_deinit) Buf first = { 0 };

    REQUIRE(step_world_open(&world, "sample", "{\"share\":0.3,\"by\":[\"sensor\"]}"));
    step_world_columns(&world, "sensor:text n:integer");
    put_rows(&world, 1000, 1000);
    EXPECT(world.n_out > 230 && world.n_out < 370);
    buf_add_str(&first, buf_str(&world.text));
    buf_reset(&world.text);
    put_rows(&world, 1000, 1000); /* the same sensors again */
    EXPECT_STR(buf_str(&world.text), buf_str(&first));
}

TEST(a_share_of_rows)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "sample", "{\"share\":0.5}"));
    step_world_columns(&world, "sensor:text n:integer");
    put_rows(&world, 1000, 1);
    EXPECT(world.n_out > 430 && world.n_out < 570);
}

TEST(settings_of_sample)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    EXPECT_ERR(step_world_try_open(&world, "sample", "{}"), -ERR_INVALID, "either every or");
    EXPECT_ERR(step_world_try_open(&world, "sample", "{\"every\":2,\"share\":0.5}"), -ERR_INVALID,
               "either every or");
    EXPECT_ERR(step_world_try_open(&world, "sample", "{\"every\":2,\"by\":[\"a\"]}"), -ERR_INVALID,
               "goes with share");
}

TEST(at_most_so_many_a_second)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "throttle", "{\"rate\":2,\"by\":[\"sensor\"]}"));
    step_world_columns(&world, "sensor:text n:integer");
    put_rows(&world, 8, 2);
    EXPECT_EQ(world.n_out, 4); /* a burst of two for each of two sensors */
    EXPECT_EQ(world.n_dropped, 4);
    world.now_ns = STEP_WORLD_NOW_NS + 500 * NS_PER_MS;
    put_rows(&world, 8, 2);
    EXPECT_EQ(world.n_out, 6);
    world.now_ns = STEP_WORLD_NOW_NS + 3600 * NS_PER_S;
    put_rows(&world, 8, 2);
    EXPECT_EQ(world.n_out, 10);       /* a pause is worth no more than the burst */
    world.now_ns = STEP_WORLD_NOW_NS; /* the clock goes back: nobody gains */
    put_rows(&world, 8, 2);
    EXPECT_EQ(world.n_out, 10);
    world.now_ns = STEP_WORLD_NOW_NS +
                   500 * NS_PER_MS; /* and nobody waits until it is there again */
    put_rows(&world, 8, 2);
    EXPECT_EQ(world.n_out, 12);
}

TEST(what_is_over_may_be_marked)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "throttle", "{\"rate\":0.5,\"burst\":1,\"over\":\"mark\"}"));
    step_world_columns(&world, "n:integer");
    step_world_row(&world, "[1]");
    step_world_row(&world, "[2]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"n\":1,\"throttled\":false}\n"
                        "readings {\"n\":2,\"throttled\":true}\n");
}

/* More keys than are kept: nothing grows without end, and those that are seen go on. */
TEST(many_keys)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    char values[64];

    REQUIRE(step_world_open(&world, "throttle", "{\"rate\":0.001,\"by\":[\"sensor\"]}"));
    step_world_columns(&world, "sensor:text n:integer");
    for (int i = 0; i < LIMIT_THROTTLE_KEYS / 2 + 20000;) {
        for (int k = 0; k < 999; k++, i++) {
            (void) snprintf(values, sizeof(values), "[\"s%d\", 0]", i);
            step_world_row(&world, values);
        }
        step_world_row(&world, "[\"always\", 0]");
        step_world_run(&world);
        buf_reset(&world.text);
    }
    EXPECT(world.n_dropped > 100); /* "always", all but once */
    EXPECT_EQ(world.n_dropped + 1, world.n_in / 1000);
}

TEST_MAIN()
