/*
 * jq: objects in, objects out; kinds that stay, rows that multiply beyond a parcel, and what a
 * program can do wrong.
 */
#include "base/limits.h"
#include "rows/step_world_int.h"

#include <stdio.h>

TEST(objects_become_rows)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "jq",
                            "{\"program\":\"select(.n != 2) | .twice = .n * 2 | del(.sensor) | "
                            ".tags = [.n] | if .n == 3 then .extra = \\\"x\\\" else . end\"}"));
    step_world_columns(&world, "time:time n:integer sensor:text");
    step_world_row(&world, "[1700000000.5, 1, \"a\"]");
    step_world_row(&world, "[1700000001, 2, \"b\"]");
    step_world_row(&world, "[null, 3, \"c\"]");
    step_world_run(&world);
    EXPECT_STEP(
        &world,
        "readings {\"time\":\"2023-11-14T22:13:20.500Z\",\"n\":1,\"twice\":2.0,\"tags\":[1],"
        "\"extra\":null}\n"
        "readings {\"time\":null,\"n\":3,\"twice\":6.0,\"tags\":[3],\"extra\":\"x\"}\n"
        "- filtered 1\n");
}

TEST(what_a_program_can_do_wrong)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "jq",
                            "{\"program\":\"if .n == 1 then error(\\\"no\\\") elif .n == 2 then 7 "
                            "elif .n == 3 then {n: 3}, \\\"x\\\" elif .n == 4 then {a: \\\"t\\\"} "
                            "elif .n == 5 then {a: 5} elif .n == 6 then range(2000) | {n: .} "
                            "else {n: 7, a: \\\"u\\\"} end\"}"));
    step_world_columns(&world, "n:integer");
    for (int i = 1; i <= 7; i++) {
        char values[16];

        (void) snprintf(values, sizeof(values), "[%d]", i);
        step_world_row(&world, values);
    }
    step_world_run(&world);
    EXPECT_EQ(world.n_out, 3);
    EXPECT_EQ(world.n_dead, 4);
    EXPECT(strstr(buf_str(&world.text).data, "! jq jq_error: "));
    EXPECT(strstr(buf_str(&world.text).data, "! jq no_object: the program gives number, not"));
    EXPECT(strstr(buf_str(&world.text).data, "! jq no_object: the program gives string, not"));
    EXPECT_EQ(world.n_made, 0);
}

/* In order over all parcels, each row's objects together, and not one lost. */
TEST(rows_that_multiply)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    AUTO(buf_deinit) Buf seen = { 0 };
    Shape *shape;
    List made = { 0 };
    StepRun run = { .now_ns = 1, .made = &made, .late = &world.late };
    Receipt *receipt = receipt_new(0, STR_C("test"), STR_C(""));
    int64_t next = 0;
    size_t n = 0, index;
    ListLink *link;

    REQUIRE(step_world_open(
        &world, "jq", "{\"program\":\".n as $n | range(3) | {n: ($n * 3 + .), t: \\\"x\\\"}\"}"));
    shape = shape_new(STR_C("readings"), 0);
    EXPECT_OK(shape_add(shape, STR_C("n"), ROW_INT, STR_C(""), &index));
    run.parcel = parcel_new(NULL, shape, receipt, NULL);
    for (int i = 0; i < 1000; i++) {
        RowPlace place = { .line = (uint64_t) i + 1 };

        parcel_add(run.parcel, &place)[0] = row_integer(i);
    }
    EXPECT_OK(world.driver->run(world.state, &run));
    list_push_back(&made, &run.parcel->link);
    EXPECT_EQ(receipt->rows, 1000);
    receipt_seal(receipt);
    while ((link = list_pop_front(&made)) != NULL) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        EXPECT(parcel_count(parcel) <= LIMIT_ROW_BATCH);
        EXPECT(parcel->receipt == receipt);
        for (size_t i = 0; i < parcel_count(parcel); i++, next++, n++) {
            EXPECT_EQ(parcel_row(parcel, i)[0].integer, next);
            EXPECT_STR(parcel_row(parcel, i)[1].text, STR_C("x"));
            EXPECT_EQ(parcel->places[i].line, next / 3 + 1);
        }
        EXPECT(parcel->places[0].line != parcel->places[parcel_count(parcel) - 1].line);
        memset(parcel->fates, FATE_WRITTEN, parcel_count(parcel));
        parcel_free(NULL, parcel);
    }
    EXPECT_EQ(n, 3000);
    shape_unref(shape);
}

TEST(nothing_at_all)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "jq", "{\"program\":\"if .n > 1 then {} else empty end\"}"));
    step_world_columns(&world, "n:integer");
    step_world_row(&world, "[1]");
    step_world_row(&world, "[2]");
    step_world_run(&world);
    EXPECT_STEP(&world, "! jq no_columns: the program gives an empty object\n- filtered 1\n");
    EXPECT_ERR(step_world_try_open(&world, "jq", "{\"program\":\".a |\"}"), -ERR_INVALID,
               "program: jq: ");
}

TEST_MAIN()
