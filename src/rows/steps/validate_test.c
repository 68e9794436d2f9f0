/*
 * validate: each rule breaks in its own words, text becomes typed, units change, columns that
 * nobody declared go as they were told to.
 */
#include "rows/step_world_int.h"

TEST(rows_that_are_right_go_through)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    Shape *shape;

    REQUIRE(step_world_open(&world, "validate",
                            "{\"columns\":{\"value\":{\"kind\":\"number\",\"min\":-40,\"max\":125},"
                            "\"sensor\":\"text\"}}"));
    step_world_columns(&world, "sensor:text value:number other:integer");
    step_world_row(&world, "[\"a\", 21.5, 7]");
    step_world_row(&world, "[null, null, null]");
    shape = world.parcel->shape;
    EXPECT(shape == world.shape);
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"sensor\":\"a\",\"value\":21.5,\"other\":7}\n"
                        "readings {\"sensor\":null,\"value\":null,\"other\":null}\n");
}

TEST(each_rule_in_its_words)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(
        &world, "validate",
        "{\"columns\":{"
        "\"t\":{\"kind\":\"time\",\"max_age\":\"1h\",\"max_ahead\":\"1m\"},"
        "\"s\":{\"kind\":\"text\",\"required\":true,\"pattern\":\"^t-[0-9]+$\",\"max_length\":6},"
        "\"v\":{\"kind\":\"number\",\"min\":-40,\"max\":125,\"unit\":\"degC\"},"
        "\"n\":{\"kind\":\"integer\",\"one_of\":[1,2,3]},"
        "\"o\":{\"kind\":\"text\",\"one_of\":[\"on\",\"off\"]}}}"));
    step_world_columns(&world, "t:time s:text v:number n:integer o:text");
    step_world_row(&world, "[1700000000, \"t-1\", 20, 3, \"on\"]");
    step_world_row(&world, "[1699990000, \"t-1\", 20, 3, \"on\"]");
    step_world_row(&world, "[1700000100, \"t-1\", 20, 3, \"on\"]");
    step_world_row(&world, "[null, null, 20, 3, \"on\"]");
    step_world_row(&world, "[null, \"x\", 20, 3, \"on\"]");
    step_world_row(&world, "[null, \"t-12345\", 20, 3, \"on\"]");
    step_world_row(&world, "[null, \"t-1\", 125.5, 3, \"on\"]");
    step_world_row(&world, "[null, \"t-1\", -41, 3, \"on\"]");
    step_world_row(&world, "[null, \"t-1\", -40, 4, \"on\"]");
    step_world_row(&world, "[null, \"t-1\", null, null, \"of\"]");
    step_world_run(&world);
    EXPECT_STEP(
        &world,
        "readings {\"t\":\"2023-11-14T22:13:20Z\",\"s\":\"t-1\",\"v\":20.0,\"n\":3,\"o\":\"on\"}\n"
        "! validate too_old: t: \"2023-11-14T19:26:40Z\" is more than 1h before its arrival\n"
        "! validate too_new: t: \"2023-11-14T22:15:00Z\" is more than 1m after its arrival\n"
        "! validate missing: s is missing\n"
        "! validate no_match: s: \"x\" does not match the pattern\n"
        "! validate too_long: s: \"t-12345\" has 7 characters, more than 6\n"
        "! validate out_of_range: v: \"125.5\" is above 125 °C\n"
        "! validate out_of_range: v: \"-41\" is below -40 °C\n"
        "! validate not_allowed: n: \"4\" is none of the values allowed\n"
        "! validate not_allowed: o: \"of\" is none of the values allowed\n");
}

TEST(text_becomes_typed)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(
        &world, "validate",
        "{\"columns\":{\"t\":{\"kind\":\"time\",\"precision\":\"ms\"},\"v\":\"number\","
        "\"n\":{\"kind\":\"integer\",\"min\":0},\"b\":\"boolean\","
        "\"x\":\"text\",\"d\":{\"kind\":\"time\",\"format\":\"%d.%m.%Y %H:%M\"},"
        "\"later\":{\"kind\":\"text\",\"default\":\"none\"}},\"unknown\":\"drop\"}"));
    step_world_columns(&world, "t:text v:text n:text b:text x:integer d:text gone:text");
    step_world_row(&world, "[\"1700000000250\", \"2.50\", \"12\", \"yes\", 5, "
                           "\"21.11.2026 03:15\", \"z\"]");
    step_world_row(&world, "[\"\", \"\", \" \", \"\", null, \"\", \"\"]");
    step_world_row(&world, "[\"soon\", \"1\", \"1\", \"on\", 1, \"\", \"\"]");
    step_world_row(&world, "[\"5\", \"12 kg\", \"1\", \"on\", 1, \"\", \"\"]");
    step_world_row(&world, "[\"5\", \"1\", \"-1\", \"on\", 1, \"\", \"\"]");
    step_world_row(&world, "[\"5\", \"1\", \"1\", \"perhaps\", 1, \"\", \"\"]");
    step_world_row(&world, "[\"5\", \"1\", \"1\", \"1\", 1, \"31.02.2026 03:15\", \"\"]");
    step_world_run(&world);
    EXPECT_STEP(&world,
                "readings {\"t\":\"2023-11-14T22:13:20.250Z\",\"v\":2.5,\"n\":12,\"b\":true,"
                "\"x\":\"5\",\"d\":\"2026-11-21T03:15:00Z\",\"later\":\"none\"}\n"
                "readings {\"t\":null,\"v\":null,\"n\":null,\"b\":null,\"x\":null,\"d\":null,"
                "\"later\":\"none\"}\n"
                "! validate wrong_type: t: \"soon\" is no time\n"
                "! validate wrong_type: v: \"12 kg\" is no number\n"
                "! validate out_of_range: n: \"-1\" is below 0\n"
                "! validate wrong_type: b: \"perhaps\" is no boolean\n"
                "! validate wrong_type: d: \"31.02.2026 03:15\" is no time\n");
}

/* What is refused is as it came: another rule's unit is not yet changed in it. */
TEST(units)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    Parcel *parcel;

    REQUIRE(step_world_open(
        &world, "validate",
        "{\"columns\":{\"v\":{\"kind\":\"number\",\"unit\":\"degC\",\"from\":\"degF\",\"max\":100,"
        "\"default\":-1},\"p\":{\"kind\":\"number\",\"max\":1}}}"));
    step_world_columns(&world, "v:text p:number");
    step_world_row(&world, "[\"212\", 1]");
    step_world_row(&world, "[\"213\", 1]");
    step_world_row(&world, "[\"\", 1]");
    step_world_row(&world, "[\"212\", 2]");
    parcel = parcel_ref(world.parcel);
    step_world_run(&world);
    EXPECT_EQ(parcel->n_dead, 2);
    EXPECT_STR(buf_str(&parcel->dead[1].values), STR_C("{\"v\":212.0,\"p\":2.0}"));
    parcel_free(&world.pool, parcel);
    EXPECT_STEP(&world, "readings {\"v\":100.0,\"p\":1.0}\n"
                        "readings {\"v\":-1.0,\"p\":1.0}\n"
                        "! validate out_of_range: v: \"100.55555555555556\" is above 100 °C\n"
                        "! validate out_of_range: p: \"2\" is above 1\n");
}

TEST(a_wrong_value_may_become_null)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "validate",
                            "{\"columns\":{\"v\":{\"kind\":\"number\",\"max\":9,\"otherwise\":"
                            "\"null\"},\"w\":{\"kind\":\"integer\",\"otherwise\":\"null\","
                            "\"default\":7},\"x\":{\"kind\":\"integer\",\"otherwise\":\"null\","
                            "\"required\":true}}}"));
    step_world_columns(&world, "v:number w:text x:text");
    step_world_row(&world, "[10, \"no\", \"1\"]");
    step_world_row(&world, "[1, \"1\", \"no\"]");
    step_world_run(&world);
    EXPECT_STEP(&world,
                "readings {\"v\":null,\"w\":7,\"x\":1}\n! validate missing: x is missing\n");
}

TEST(unknown_columns)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "validate",
                            "{\"columns\":{\"v\":\"number\"},\"unknown\":\"refuse\"}"));
    step_world_columns(&world, "a:text v:number b:text");
    step_world_row(&world, "[null, 1, null]");
    step_world_row(&world, "[null, 1, \"x\"]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"v\":1.0}\n"
                        "! validate unknown_column: there is no column \"b\"\n");
}

/* A shape that grows, and another of the same name, become one. */
TEST(one_shape_behind_it)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    size_t index;

    REQUIRE(step_world_open(&world, "validate", "{\"columns\":{\"v\":\"number\"}}"));
    step_world_columns(&world, "v:text");
    step_world_row(&world, "[\"1\"]");
    step_world_run(&world);
    EXPECT_OK(shape_add(world.shape, STR_C("w"), ROW_TEXT, STR_C(""), &index));
    step_world_row(&world, "[\"2\", \"x\"]");
    step_world_run(&world);
    step_world_columns(&world, "u:text v:integer");
    step_world_row(&world, "[\"y\", 3]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"v\":1.0}\nreadings {\"v\":2.0,\"w\":\"x\"}\n"
                        "readings {\"v\":3.0,\"w\":null,\"u\":\"y\"}\n");
}

TEST(settings_that_are_wrong)
{
    static const struct {
        const char *settings, *words;
    } table[] = {
        { "{\"columns\":{}}", "columns: must be an object of 1 to" },
        { "{\"columns\":{\"v\":\"nubmer\"}}", "v: must be any, text" },
        { "{\"columns\":{\"v\":{\"kind\":\"number\",\"min\":\"a\"}}}", "v.min: must be number" },
        { "{\"columns\":{\"v\":{\"kind\":\"number\",\"min\":2,\"max\":1}}}",
          "v: min is above max" },
        { "{\"columns\":{\"v\":{\"kind\":\"text\",\"min\":2}}}", "v.min: is for columns of kind" },
        { "{\"columns\":{\"v\":{\"kind\":\"number\",\"mni\":2}}}", "columns.v.mni" },
        { "{\"columns\":{\"v\":{\"kind\":\"number\",\"unit\":\"degC\",\"from\":\"kPa\"}}}",
          "v.from: kPa is a unit of pressure" },
        { "{\"columns\":{\"v\":{\"kind\":\"text\",\"pattern\":\"(\"}}}", "v.pattern: " },
        { "{\"columns\":{\"v\":{\"kind\":\"number\",\"pattern\":\"a\"}}}", "are for kind text" },
        { "{\"columns\":{\"v\":{\"kind\":\"integer\",\"one_of\":[1,\"x\"]}}}",
          "v.one_of: must be" },
        { "{\"columns\":{\"v\":{\"kind\":\"number\",\"max_age\":\"1h\"}}}", "are for kind time" },
        { "{\"columns\":{\"v\":7}}", "columns.v: must be a kind or an object" },
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(step_world_deinit) StepWorld world = { 0 };

        EXPECT_ERR(step_world_try_open(&world, "validate", table[i].settings), -ERR_INVALID,
                   table[i].words);
    }
}

TEST_MAIN()
