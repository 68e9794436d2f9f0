/*
 * join: each form of a table, keys of several columns and kinds, what is missing, columns that are
 * there already, and a file that changes.
 */
#include "base/limits.h"
#include "rows/step_world_int.h"

#include <fcntl.h>

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    REQUIRE(file);
    EXPECT(fputs(text, file) >= 0);
    EXPECT(fclose(file) == 0);
}

TEST(a_table_in_the_settings)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    REQUIRE(step_world_open(&world, "join",
                            "{\"on\":{\"id\":\"sensor_id\",\"site\":\"site\"},\"rows\":["
                            "{\"sensor_id\":7,\"site\":\"a\",\"room\":\"hall\",\"floor\":1},"
                            "{\"sensor_id\":\"8\",\"site\":\"a\",\"room\":\"attic\",\"floor\":2.5},"
                            "{\"sensor_id\":9,\"site\":null,\"room\":\"nowhere\"},"
                            "{\"sensor_id\":7,\"site\":\"b\",\"room\":null,\"tags\":[1]}]}"));
    step_world_columns(&world, "id:integer site:text floor:text");
    step_world_row(&world, "[7, \"a\", \"old\"]");
    step_world_row(&world, "[8, \"a\", \"old\"]");
    step_world_row(&world, "[7, \"b\", \"old\"]");
    step_world_row(&world, "[9, null, \"old\"]");
    step_world_row(&world, "[9, \"c\", \"old\"]");
    step_world_run(&world);
    EXPECT_STEP(
        &world,
        "readings {\"id\":7,\"site\":\"a\",\"floor\":1.0,\"room\":\"hall\",\"tags\":null}\n"
        "readings {\"id\":8,\"site\":\"a\",\"floor\":2.5,\"room\":\"attic\",\"tags\":null}\n"
        "readings {\"id\":7,\"site\":\"b\",\"floor\":null,\"room\":null,\"tags\":[1]}\n"
        "readings {\"id\":9,\"site\":null,\"floor\":null,\"room\":null,\"tags\":null}\n"
        "readings {\"id\":9,\"site\":\"c\",\"floor\":null,\"room\":null,\"tags\":null}\n");
}

TEST(files)
{
    static const char *const settings[] = {
        "{\"on\":[\"s\"],\"file\":\"t.csv\",\"prefix\":\"x_\",\"missing\":\"refuse\"}",
        "{\"on\":[\"s\"],\"file\":\"t.json\",\"prefix\":\"x_\",\"missing\":\"refuse\"}",
        "{\"on\":[\"s\"],\"file\":\"t.jsonl\",\"prefix\":\"x_\",\"missing\":\"refuse\"}",
    };

    write_file("t.csv", "s,room\r\nt1,\"the \"\"hall\"\"\"\r\nt2,\r\n");
    write_file("t.json", "[{\"s\":\"t1\",\"room\":\"the \\\"hall\\\"\"},{\"s\":\"t2\"}]");
    write_file("t.jsonl", "{\"s\":\"t1\",\"room\":\"the \\\"hall\\\"\"}\n\n{\"s\":\"t2\"}\n");
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        AUTO(step_world_deinit) StepWorld world = { 0 };

        REQUIRE(step_world_open(&world, "join", settings[i]));
        step_world_columns(&world, "s:text room:integer");
        step_world_row(&world, "[\"t1\", 1]");
        step_world_row(&world, "[\"t2\", 2]");
        step_world_row(&world, "[\"t3\", 3]");
        step_world_run(&world);
        EXPECT_STEP(&world, "readings {\"s\":\"t1\",\"room\":1,\"x_room\":\"the \\\"hall\\\"\"}\n"
                            "readings {\"s\":\"t2\",\"room\":2,\"x_room\":null}\n"
                            "! join not_found: the lookup table has no row with its s\n");
    }
}

TEST(a_file_that_changes)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };

    write_file("live.csv", "s,room\na,1\n");
    REQUIRE(step_world_open(&world, "join",
                            "{\"on\":[\"s\"],\"file\":\"live.csv\",\"missing\":\"filter\"}"));
    step_world_columns(&world, "s:text");
    step_world_row(&world, "[\"a\"]");
    step_world_row(&world, "[\"b\"]");
    step_world_run(&world);
    write_file("live.csv", "s,room,floor\nb,22,3\n");
    step_world_row(&world, "[\"a\"]");
    step_world_run(&world); /* too soon to look */
    world.now_ns = STEP_WORLD_NOW_NS + 2 * LIMIT_JOIN_LOOK_MS * NS_PER_MS;
    step_world_row(&world, "[\"a\"]");
    step_world_row(&world, "[\"b\"]");
    step_world_run(&world);
    write_file("live.csv", "\"s");
    world.now_ns += 2 * LIMIT_JOIN_LOOK_MS * NS_PER_MS;
    step_world_row(&world, "[\"b\"]");
    step_world_run(&world); /* what cannot be read does not count */
    EXPECT_STEP(&world, "readings {\"s\":\"a\",\"room\":\"1\"}\n- filtered 1\n"
                        "readings {\"s\":\"a\",\"room\":\"1\"}\n"
                        "readings {\"s\":\"b\",\"room\":\"22\",\"floor\":\"3\"}\n- filtered 1\n"
                        "readings {\"s\":\"b\",\"room\":\"22\",\"floor\":\"3\"}\n");
}

TEST(settings_that_are_wrong)
{
    static const struct {
        const char *settings, *words;
    } table[] = {
        { "{\"on\":[\"a\"]}", "give either file or rows" },
        { "{\"on\":[],\"rows\":[]}", "on: must be a list" },
        { "{\"on\":[7],\"rows\":[]}", "on: must name columns" },
        { "{\"on\":[\"a\"],\"rows\":7}", "rows: it is no array" },
        { "{\"on\":[\"a\"],\"rows\":[1]}", "rows: row 1 is no object" },
        { "{\"on\":[\"a\"],\"rows\":[{\"a\":1}]}", "no column beside its keys" },
        { "{\"on\":[\"a\"],\"rows\":[{\"a\":1,\"room\":2}],\"columns\":[\"rom\"]}",
          "there is no column \"rom\"" },
        { "{\"on\":{\"id\":\"a\"},\"rows\":[{\"a\":1,\"id\":2}]}", "would replace the key" },
        { "{\"on\":[\"a\"],\"file\":\"none.csv\"}", "none.csv: it cannot be opened" },
        { "{\"on\":[\"a\"],\"file\":\"/\"}", "/: it is no file" },
        { "{\"on\":[\"a\"],\"file\":\"bad.csv\"}", "bad.csv: line 2: " },
    };

    write_file("bad.csv", "a,b\n\"1,2\n");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(step_world_deinit) StepWorld world = { 0 };
        int r = step_world_try_open(&world, "join", table[i].settings);

        EXPECT(r < 0 && strstr(err_text(r), table[i].words));
        if (r == 0 || !strstr(err_text(r), table[i].words))
            test_fail(__FILE__, __LINE__, "%s: \"%s\"", table[i].settings,
                      r < 0 ? err_text(r) : "");
    }
}

TEST_MAIN()
