/*
 * convert: new columns and others in place, kinds that are found out, units, and rows that stay as
 * they came when they are refused.
 */
#include "rows/step_world_int.h"

TEST(new_and_in_place)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "convert",
                            "{\"columns\":{\"v\":\"(v - 32) / 1.8\",\"sensor\":\"upper(sensor)\","
                            "\"label\":\"sensor + ':' + text(n)\",\"warm\":\"v > 20\","
                            "\"twice\":\"n * 2\"}}"));
    step_world_columns(&world, "sensor:text v:number n:integer");
    step_world_row(&world, "[\"a\", 212, 7]");
    step_world_row(&world, "[null, null, null]");
    step_world_run(&world);
    EXPECT_STEP(&world,
                "readings {\"sensor\":\"A\",\"v\":100.0,\"n\":7,\"label\":\"A:7\",\"warm\":true,"
                "\"twice\":14}\n"
                "readings {\"sensor\":null,\"v\":null,\"n\":null,\"label\":null,\"warm\":false,"
                "\"twice\":null}\n");
}

TEST(kinds)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    Parcel *parcel;

    REQUIRE(step_world_open(
        &world, "convert",
        "{\"columns\":{\"v\":\"number(v)\",\"n\":{\"value\":\"v * 2\",\"kind\":\"integer\"},"
        "\"t\":{\"kind\":\"time\"},\"s\":{\"kind\":\"text\",\"value\":\"v + 1\"}}}"));
    step_world_columns(&world, "v:text t:text");
    step_world_row(&world, "[\"2.5\", \"2026-11-21T03:15:00Z\"]");
    step_world_row(&world, "[\"2.25\", \"soon\"]");
    parcel = parcel_ref(world.parcel);
    step_world_run(&world);
    EXPECT_EQ(parcel->rows.columns[0].kind, ROW_REAL);
    EXPECT_EQ(parcel->rows.columns[1].kind, ROW_TIME);
    EXPECT_EQ(parcel->rows.columns[2].kind, ROW_INT);
    EXPECT_EQ(parcel->rows.columns[3].kind, ROW_TEXT);
    parcel_free(&world.pool, parcel);
    EXPECT_STEP(&world,
                "readings {\"v\":2.5,\"t\":\"2026-11-21T03:15:00Z\",\"n\":5,\"s\":\"3.5\"}\n"
                "readings {\"v\":2.25,\"t\":null,\"n\":null,\"s\":\"3.25\"}\n");
}

TEST(units)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    Parcel *parcel;

    REQUIRE(step_world_open(&world, "convert",
                            "{\"columns\":{\"v\":{\"from\":\"km/h\",\"unit\":\"m/s\"},"
                            "\"c\":{\"value\":\"v * 10\",\"from\":\"degF\",\"unit\":\"degC\"}}}"));
    step_world_columns(&world, "v:integer");
    step_world_row(&world, "[36]");
    parcel = parcel_ref(world.parcel);
    step_world_run(&world);
    EXPECT_STR(parcel->rows.columns[1].unit, STR_C("°C"));
    parcel_free(&world.pool, parcel);
    EXPECT_STEP(&world, "readings {\"v\":10.0,\"c\":37.77777777777778}\n");
}

TEST(refused_rows_stay_as_they_came)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    Parcel *parcel;

    REQUIRE(step_world_open(&world, "convert",
                            "{\"columns\":{\"a\":\"a * 2\",\"b\":\"1 / b\"},"
                            "\"otherwise\":\"refuse\"}"));
    step_world_columns(&world, "a:integer b:integer");
    step_world_row(&world, "[1, 2]");
    step_world_row(&world, "[3, 0]");
    parcel = parcel_ref(world.parcel);
    step_world_run(&world);
    EXPECT_STR(buf_str(&parcel->dead[0].values), STR_C("{\"a\":3,\"b\":0}"));
    parcel_free(&world.pool, parcel);
    EXPECT_STEP(&world, "readings {\"a\":2,\"b\":0.5}\n"
                        "! convert cannot_compute: b cannot be computed from this row\n");
}

TEST(shapes_that_differ_and_grow)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    size_t index;

    REQUIRE(step_world_open(&world, "convert", "{\"columns\":{\"x\":\"a + 1\"}}"));
    step_world_columns(&world, "a:integer");
    step_world_row(&world, "[1]");
    step_world_run(&world);
    EXPECT_OK(shape_add(world.shape, STR_C("b"), ROW_TEXT, STR_C(""), &index));
    step_world_row(&world, "[2, \"b\"]");
    step_world_run(&world);
    step_world_columns(&world, "a:number");
    step_world_row(&world, "[3.5]");
    step_world_run(&world);
    step_world_columns(&world, "c:text");
    step_world_row(&world, "[\"c\"]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"a\":1,\"x\":2}\nreadings {\"a\":2,\"x\":3,\"b\":\"b\"}\n"
                        "readings {\"a\":3.5,\"x\":4.5}\nreadings {\"c\":\"c\",\"x\":null}\n");
}

TEST(settings_that_are_wrong)
{
    static const struct {
        const char *settings, *words;
    } table[] = {
        { "{\"columns\":{}}", "must be an object of 1 to" },
        { "{\"columns\":{\"a\":\"1 +\"}}", "columns.a: at 4: it ends" },
        { "{\"columns\":{\"a\":{\"from\":\"degC\"}}}", "columns.a: from: wants the unit" },
        { "{\"columns\":{\"a\":{\"from\":\"degC\",\"unit\":\"kg\"}}}", "a unit of temperature" },
        { "{\"columns\":{\"a\":{\"from\":\"degC\",\"unit\":\"K\",\"kind\":\"text\"}}}",
          "from: is for kind number" },
        { "{\"columns\":{\"a\":3}}", "must be an expression or an object" },
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(step_world_deinit) StepWorld world = { 0 };

        EXPECT_ERR(step_world_try_open(&world, "convert", table[i].settings), -ERR_INVALID,
                   table[i].words);
    }
}

TEST_MAIN()
