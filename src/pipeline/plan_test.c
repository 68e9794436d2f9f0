/*
 * Plans: mistakes are named with the place where they stand, whether it is a list or a flag.
 */
#include "pipeline/plan.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/test.h"
#include "base/text.h"
#include "codec/schema.h"

static void expect_refused(const char *json, int code, const char *part)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    PipelineConfig config;
    Plan *plan = NULL;

    EXPECT_OK(schema_decode_text(&arena, &pipeline_config_schema, str_from_c(json), &config, NULL));
    EXPECT_ERR(plan_new(&config, &plan), code, part);
}

TEST(places)
{
    expect_refused("{\"sources\":[{\"sim\":{\"x\":1}}],\"out\":[\"x.jsonl\"]}", -ERR_CONFIG,
                   "sources[0]: x: unknown");
    expect_refused("{\"source\":[\"sim\",\"sim:x=1\"],\"out\":[\"x.jsonl\"]}", -ERR_USAGE,
                   "source[1]: sim: --x: unknown");
    expect_refused("{\"source\":[\"sim\"],\"step\":[\"filter: 1 +\"],\"out\":[\"x.jsonl\"]}",
                   -ERR_INVALID, "step[0]: filter: ");
    expect_refused("{\"source\":[\"sim\"],\"sinks\":[{\"to\":\"x.jsonl\",\"overflow\":\"drop\"}]}",
                   -ERR_CONFIG, "sinks[0]: overflow: ");
    expect_refused("{\"source\":[\"sim\"],\"out\":[\"x.json\"]}", -ERR_INVALID,
                   "out[0]: x.json: the sink json is whole only at its end");
}

/* Would catch a plan whose second sink finds its file locked, hours later. */
TEST(a_file_has_one_writer)
{
    expect_refused("{\"source\":[\"sim\"],\"out\":[\"x.csv\",\"csv:./x.csv\"]}", -ERR_CONFIG,
                   "sinks: csv-2: csv writes x.csv already");
    expect_refused("{\"source\":[\"sim\"],\"out\":[\"x.jsonl\"],\"dead_letters\":\"x.jsonl\"}",
                   -ERR_CONFIG, "dead_letters: jsonl: jsonl writes x.jsonl already");
}

static Plan *plan_of(Arena *arena, const char *json)
{
    PipelineConfig config;
    Plan *plan = NULL;

    EXPECT_OK(schema_decode_text(arena, &pipeline_config_schema, str_from_c(json), &config, NULL));
    EXPECT_OK(plan_new(&config, &plan));
    return plan;
}

/* A folder for the spill is a folder that outlives the process: no other is asked for. */
TEST(the_state_lies_beside_the_spill)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(plan_unref) Plan *beside = NULL, *apart = NULL;

    expect_refused(
        "{\"source\":[\"sim\"],\"out\":[\"x.jsonl\"],\"channel\":{\"overflow\":\"spill\"}}",
        -ERR_CONFIG, "give state: DIR, or channel.spill_dir");
    beside = plan_of(&arena,
                     "{\"source\":[\"sim\"],\"out\":[\"x.jsonl\"],\"channel\":{\"overflow\":"
                     "\"spill\",\"spill_dir\":\"over\"}}");
    EXPECT_STR(beside->config.state, STR_C("over"));
    apart = plan_of(&arena, "{\"source\":[\"sim\"],\"out\":[\"x.jsonl\"],\"state\":\"kept\","
                            "\"channel\":{\"overflow\":\"spill\",\"spill_dir\":\"over\"}}");
    EXPECT_STR(apart->config.state, STR_C("kept"));
}

/* What a configuration says nothing of is what the limits say. */
TEST(defaults_are_the_limits)
{
    AUTO(plan_unref) Plan *plan = NULL;
    AUTO(arena_deinit) Arena arena = { 0 };
    PipelineConfig config;

    EXPECT_OK(schema_decode_text(&arena, &pipeline_config_schema,
                                 str_from_c("{\"source\":[\"sim\"],\"out\":[\"a.jsonl\"]}"),
                                 &config, NULL));
    EXPECT_OK(plan_new(&config, &plan));
    if (!plan)
        return;
    EXPECT_EQ(plan->config.channel.rows, LIMIT_CHANNEL_ROWS);
    EXPECT_EQ(plan->config.channel.bytes, LIMIT_CHANNEL_BYTES);
    EXPECT_EQ(plan->config.channel.spill_bytes, LIMIT_SPILL_BYTES);
    EXPECT_EQ(plan->config.batch.rows, LIMIT_BATCH_ROWS);
    EXPECT_EQ(plan->config.batch.bytes, LIMIT_BATCH_BYTES);
    EXPECT_EQ(plan->config.batch.age_ms, LIMIT_BATCH_AGE_MS);
    EXPECT_EQ(plan->config.drain_ms, LIMIT_PIPELINE_DRAIN_MS);
    EXPECT_EQ(plan->config.save_ms, LIMIT_PIPELINE_SAVE_MS);
    EXPECT_EQ(plan->config.retry_max_ms, LIMIT_FEED_RETRY_MAX_MS);
}

static void gather(void *ctx, Str note)
{
    buf_add_str(ctx, note);
    buf_add_char(ctx, '\n');
}

/* Would catch a state folder that nobody can write to, and a check that says nothing of it. */
TEST(folders_that_cannot_be_written_to)
{
    static const struct {
        const char *state;
        const char *part;
    } cases[] = { { "new/er", "" }, { "file/x", "state: the folder file/x cannot" } };
    FILE *file = fopen("file", "w");

    REQUIRE(file != NULL);
    (void) fclose(file);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf notes = { 0 };
        AUTO(plan_unref)
        Plan *plan = plan_of(
            &arena,
            arena_printf(&arena, "{\"source\":[\"sim\"],\"out\":[\"x.csv\"],\"state\":\"%s\"}",
                         cases[i].state)
                .data);

        plan_folder_notes(plan, gather, &notes);
        if (cases[i].part[0] == '\0')
            EXPECT_STR(buf_str(&notes), str_from_c(""));
        else
            EXPECT(str_contains(buf_str(&notes), str_from_c(cases[i].part)));
    }
}

/* What is said of two consumers that share rows by KEY (JSON) before STEP, with SOURCES. */
static void expect_note(const char *sources, const char *key, const char *step, const char *part)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf notes = { 0 };
    AUTO(plan_unref) Plan *plan = NULL;
    PipelineConfig config;
    const char *json = arena_copy_c(
        &arena, arena_printf(&arena,
                             "{\"source\":%s,\"step\":[\"%s\"],\"out\":[\"x.jsonl\"],"
                             "\"state\":\"x\",\"consumers\":{\"count\":2,\"key\":%s}}",
                             sources, step, key));

    EXPECT_OK(schema_decode_text(&arena, &pipeline_config_schema, str_from_c(json), &config, NULL));
    EXPECT_OK(plan_new(&config, &plan));
    plan_notes(plan, gather, &notes);
    if (part[0] == '\0')
        EXPECT_STR(buf_str(&notes), str_from_c(""));
    else
        EXPECT(str_contains(buf_str(&notes), str_from_c(part)));
}

/* Would catch a plan whose windows are cut up by its consumers, and nobody says so; and a warning
 * of one that is right. */
TEST(consumers_that_cut_up_series)
{
    static const char one[] = "[\"sim\"]", two[] = "[\"sim\",\"-\"]";
    static const char by[] = "window: {every: 1m, by: [sensor, kind], aggregate: {value: count}}";
    static const char all[] = "window: {every: 1m, aggregate: {value: count}}";

    expect_note(one, "[\"sensor\"]", by, "");
    expect_note(one, "[\"sensor\",\"kind\"]", by, "");
    expect_note(one, "[\"room\"]", by, "window: `by` does not hold room");
    expect_note(one, "[\"sensor\"]", all, "does not hold sensor");
    expect_note(two, "[]", by, "share the rows by their source");
    expect_note(one, "[]", by, "one of them works");
    expect_note(one, "[\"sensor\"]", "dedupe: {within: 1h, key: [sensor, time]}", "");
    expect_note(one, "[\"sensor\"]", "dedupe: {within: 1h}", "");
    expect_note(one, "[\"sensor\"]", "dedupe: {within: 1h, key: [time]}", "dedupe: `key`");
    expect_note(one, "[\"sensor\"]", "throttle: {rate: 10}", "throttle: `by`");
    expect_note(one, "[\"sensor\"]", "filter: value > 0", "");
}

/* Would catch dead letters that nobody can feed back, and who wrote the plan learns it too late. */
TEST(dead_letters_that_cannot_be_fed_back)
{
    static const struct {
        const char *to;
        bool is_told;
    } cases[] = { { "x.dead.jsonl", false }, { "jsonl:x?rotate=1MiB", false }, { "x.csv", true } };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf notes = { 0 };
        AUTO(plan_unref) Plan *plan = NULL;
        PipelineConfig config;
        Str json = arena_printf(
            &arena, "{\"source\":[\"sim\"],\"out\":[\"x.jsonl\"],\"dead_letters\":\"%s\"}",
            cases[i].to);

        EXPECT_OK(schema_decode_text(&arena, &pipeline_config_schema, json, &config, NULL));
        EXPECT_OK(plan_new(&config, &plan));
        plan_notes(plan, gather, &notes);
        EXPECT_EQ(str_contains(buf_str(&notes), str_from_c("cannot be fed back")),
                  cases[i].is_told);
    }
}

TEST_MAIN()
