/*
 * sample and throttle: how many stay, which, and that the same ones do again.
 */
#include "base/limits.h"
#include "rows/step_share.h"
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

/* Catches a burst that a restart gives again, to a key or to all rows, and a key that is lost on
 * the way to other lanes. */
TEST(a_restart_gives_no_burst)
{
    static const char *const settings[] = { "{\"rate\":1,\"burst\":5,\"by\":[\"sensor\"]}",
                                            "{\"rate\":1,\"burst\":5}" };
    static const StepShare share = { .n_lanes = 2 };

    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        AUTO(step_world_deinit) StepWorld before = { 0 };
        AUTO(step_world_deinit) StepWorld after = { 0 };
        AUTO(step_world_deinit) StepWorld other = { 0 };
        AUTO(buf_deinit) Buf saved = { 0 };

        REQUIRE(step_world_open(&before, "throttle", settings[i]));
        REQUIRE(step_world_open(&after, "throttle", settings[i]));
        REQUIRE(step_world_open(&other, "throttle", settings[i]));
        step_world_columns(&before, "sensor:text n:integer");
        put_rows(&before, 7, 1);
        EXPECT_EQ(before.n_out, 5);
        EXPECT_OK(before.driver->save(before.state, &saved));
        EXPECT_OK(
            after.driver->deal((void *[]){ after.state, other.state }, &share, buf_str(&saved)));
        for (StepWorld *world = &after;; world = &other) {
            step_world_columns(world, "sensor:text n:integer");
            world->now_ns = STEP_WORLD_NOW_NS + 2 * NS_PER_S;
            put_rows(world, 7, 1);
            EXPECT_EQ(world->n_out, 2);
            if (world == &other)
                break;
        }
    }
}

/* Catches keys without a debt that are saved, and one in both tables that is saved as it was. */
TEST(little_is_saved)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    AUTO(buf_deinit) Buf saved = { 0 };

    REQUIRE(step_world_open(&world, "throttle", "{\"rate\":1,\"by\":[\"sensor\"]}"));
    step_world_columns(&world, "sensor:text n:integer");
    put_rows(&world, 900, 900);
    world.now_ns = STEP_WORLD_NOW_NS + 10 * NS_PER_S;
    put_rows(&world, 1, 1);
    EXPECT_OK(world.driver->save(world.state, &saved));
    EXPECT(saved.len < 60);
}

TEST(a_sample_counts_on)
{
    AUTO(step_world_deinit) StepWorld before = { 0 };
    AUTO(step_world_deinit) StepWorld after = { 0 };
    AUTO(buf_deinit) Buf saved = { 0 };

    REQUIRE(step_world_open(&before, "sample", "{\"every\":10}"));
    REQUIRE(step_world_open(&after, "sample", "{\"every\":10}"));
    step_world_columns(&before, "sensor:text n:integer");
    step_world_columns(&after, "sensor:text n:integer");
    put_rows(&before, 15, 1);
    EXPECT_OK(before.driver->save(before.state, &saved));
    EXPECT_OK(after.driver->load(after.state, buf_str(&saved)));
    put_rows(&after, 15, 1);
    EXPECT_STEP(&after, "readings {\"sensor\":\"s0\",\"n\":5}\n- filtered 14\n");
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
