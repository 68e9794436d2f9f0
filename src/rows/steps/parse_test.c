/*
 * parse: each format, what is refused in which words, and columns that come with the rows.
 */
#include "rows/step_world_int.h"

static void put(StepWorld *world, const char *text)
{
    AUTO(buf_deinit) Buf values = { 0 };
    JsonWriter writer = JSON_WRITER(&values);

    json_write_array(&writer);
    json_write_i64(&writer, (int64_t) (world->parcel ? parcel_count(world->parcel) : 0) + 1);
    json_write_str(&writer, str_from_c(text));
    json_write_array_end(&writer);
    buf_add_char(&values, '\0');
    step_world_row(world, values.data);
}

TEST(json)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "parse", "{\"as\":\"json\",\"column\":\"line\"}"));
    step_world_columns(&world, "n:integer line:text");
    put(&world, "{\"a\":1.5,\"b\":{\"c\":\"x\\ny\",\"d\":{}},\"e\":[1,2]}");
    put(&world, "{\"b\":{\"c\":7},\"f\":true,\"a\":\"2\"}");
    put(&world, "{\"a\":\"two\"}");
    put(&world, "{\"a\":");
    put(&world, "[1]");
    put(&world, "{\"\":1}");
    put(&world, "{}");
    put(&world, "{\"n\":9}");
    step_world_run(&world);
    EXPECT_STEP(&world,
                "readings {\"n\":1,\"a\":1.5,\"b.c\":\"x\\ny\",\"b.d\":{},\"e\":[1,2],\"f\":null}\n"
                "readings {\"n\":2,\"a\":2.0,\"b.c\":\"7\",\"b.d\":null,\"e\":null,\"f\":true}\n"
                "readings {\"n\":7,\"a\":null,\"b.c\":null,\"b.d\":null,\"e\":null,\"f\":null}\n"
                "readings {\"n\":9,\"a\":null,\"b.c\":null,\"b.d\":null,\"e\":null,\"f\":null}\n"
                "! parse field_type_conflict: a is of another kind than in the rows before\n"
                "! parse bad_text: line: it is no JSON\n"
                "! parse bad_text: line: it is no JSON object\n"
                "! parse bad_column: : an empty or long name, or a column too many\n");
}

TEST(pairs)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "parse", "{\"as\":\"logfmt\",\"prefix\":\"x_\"}"));
    step_world_columns(&world, "n:integer line:text");
    put(&world, "  level=info msg=\"a \\\"b\\\"\" ok empty= dur=1.5ms");
    put(&world, "level=warn");
    put(&world, "=1");
    put(&world, "a=\"x");
    put(&world, "a=\"x\"y");
    step_world_run(&world);
    EXPECT_STEP(&world,
                "readings {\"n\":1,\"x_level\":\"info\",\"x_msg\":\"a \\\"b\\\"\",\"x_ok\":true,"
                "\"x_dur\":\"1.5ms\"}\n"
                "readings {\"n\":2,\"x_level\":\"warn\",\"x_msg\":null,\"x_ok\":null,"
                "\"x_dur\":null}\n"
                "! parse bad_text: line: a value has no name\n"
                "! parse bad_text: line: a quote is not closed\n"
                "! parse bad_text: line: something stands behind a closing quote\n");
}

TEST(pairs_with_own_signs)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(
        step_world_open(&world, "parse",
                        "{\"as\":\"key_value\",\"separator\":\";\",\"assign\":\":\",\"keep\":true,"
                        "\"otherwise\":\"keep\"}"));
    step_world_columns(&world, "n:integer line:text");
    put(&world, "a: 1 ; b:x y;");
    put(&world, "only");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"n\":1,\"line\":\"a: 1 ; b:x y;\",\"a\":\"1\",\"b\":\"x y\"}\n"
                        "readings {\"n\":2,\"line\":\"only\",\"a\":null,\"b\":null}\n");
}

TEST(csv)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "parse",
                            "{\"as\":\"csv\",\"names\":[\"a\",\"\",\"b\"],\"separator\":\";\"}"));
    step_world_columns(&world, "n:integer line:text");
    put(&world, "1;gone;\"x \"\"y\"\"\"");
    put(&world, ";;");
    put(&world, "1;2");
    put(&world, "1;2;3;4");
    put(&world, "1;2;\"3");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"n\":1,\"a\":\"1\",\"b\":\"x \\\"y\\\"\"}\n"
                        "readings {\"n\":2,\"a\":null,\"b\":null}\n"
                        "! parse bad_text: line: it has fewer cells than names\n"
                        "! parse bad_text: line: it has more cells than names\n"
                        "! parse bad_text: line: a quoted cell has no closing quote\n");
}

TEST(regex)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "parse",
                            "{\"as\":\"regex\",\"pattern\":\"^(?P<verb>[A-Z]+) ([^ ]+)( "
                            "(?P<status>[0-9]+))?$\"}"));
    step_world_columns(&world, "n:integer line:text");
    put(&world, "GET /a 200");
    put(&world, "PUT /b");
    put(&world, "get /b");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"n\":1,\"verb\":\"GET\",\"status\":\"200\"}\n"
                        "readings {\"n\":2,\"verb\":\"PUT\",\"status\":null}\n"
                        "! parse bad_text: line: it does not match the expression\n");
}

TEST(pattern)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(
        &world, "parse",
        "{\"as\":\"pattern\",\"pattern\":\"{{{ip} - {_} [{time}] \\\"{verb} {path}\\\"\"}"));
    step_world_columns(&world, "n:integer line:text");
    put(&world, "{10.0.0.7 - me [now] \"GET /a b\"");
    put(&world, "10.0.0.7 - me [now] \"GET /a\"");
    put(&world, "{10.0.0.7 - me (now) \"GET /a\"");
    put(&world, "{10.0.0.7 - me [now] \"GET /a\" more");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"n\":1,\"ip\":\"10.0.0.7\",\"time\":\"now\",\"verb\":\"GET\","
                        "\"path\":\"/a b\"}\n"
                        "! parse bad_text: line: it does not begin as the pattern does\n"
                        "! parse bad_text: line: it does not have all that the pattern has\n"
                        "! parse bad_text: line: it has more than the pattern\n");
}

/* Lines get the time of their arrival where the source gives them one. */
TEST(a_column_of_another_kind)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "parse", "{\"as\":\"pattern\",\"pattern\":\"{n} {rest}\"}"));
    step_world_columns(&world, "n:integer line:text");
    put(&world, "7 a");
    put(&world, "x b");
    step_world_run(&world);
    EXPECT_STEP(&world,
                "readings {\"n\":7,\"rest\":\"a\"}\n"
                "! parse field_type_conflict: n is of another kind than in the rows before\n");
}

/* A log line has a time of its own, in the log's own way; its arrival must not stand against it. */
TEST(a_time_of_the_text)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "parse",
                            "{\"as\":\"pattern\",\"pattern\":\"{host} [{time}] {rest}\","
                            "\"otherwise\":\"keep\"}"));
    step_world_columns(&world, "line:text time:time");
    step_world_row(&world, "[\"a [21/Nov/2026:10:00:00 +0000] x\", 1700000000]");
    step_world_row(&world, "[\"nothing\", 1700000001]");
    step_world_run(&world);
    EXPECT_STEP(&world,
                "readings {\"host\":\"a\",\"time\":\"21/Nov/2026:10:00:00 +0000\",\"rest\":\"x\"}\n"
                "readings {\"host\":null,\"time\":\"2023-11-14T22:13:21Z\",\"rest\":null}\n");
}

TEST(columns_stay)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "parse", "{\"as\":\"json\"}"));
    step_world_columns(&world, "line:text a:integer");
    step_world_row(&world, "[\"{\\\"b\\\":1,\\\"a\\\":5}\", 4]");
    step_world_run(&world);
    step_world_row(&world, "[\"{\\\"c\\\":2}\", 6]");
    step_world_row(&world, "[null, 7]");
    step_world_run(&world);
    EXPECT_STEP(&world, "readings {\"a\":5,\"b\":1.0}\nreadings {\"a\":6,\"b\":null,\"c\":2.0}\n"
                        "! parse bad_text: line: it is missing\n");
}

TEST(settings_that_are_wrong)
{
    static const struct {
        const char *settings, *words;
    } table[] = {
        { "{\"as\":\"xml\"}", "as: must be" },
        { "{\"as\":\"csv\"}", "names: csv wants" },
        { "{\"as\":\"regex\",\"pattern\":\"(a)\"}", "no group with a name" },
        { "{\"as\":\"regex\"}", "pattern: the expression must have" },
        { "{\"as\":\"pattern\",\"pattern\":\"abc\"}", "has no field" },
        { "{\"as\":\"pattern\",\"pattern\":\"{a}{b}\"}", "nothing between" },
        { "{\"as\":\"pattern\",\"pattern\":\"{a\"}", "not closed" },
        { "{\"as\":\"key_value\",\"separator\":\"=\"}", "must differ" },
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(step_world_deinit) StepWorld world = { 0 };

        EXPECT_ERR(step_world_try_open(&world, "parse", table[i].settings), -ERR_INVALID,
                   table[i].words);
    }
}

TEST_MAIN()
