/*
 * Settings: flags over the file, the file over the defaults, and what is wrong with a file.
 */
#define SL_MAY_BLOCK
#include "app/config.h"

#include "base/err.h"
#include "base/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Settle what WORDS and the file sluice.yaml with TEXT (NULL: no file) say. */
static int settle(Arena *arena, const char *const *words, size_t n, const char *text,
                  EngineConfig *ret_config)
{
    EngineConfig flags = { 0 };
    SchemaFlags set = { .schema = &engine_config_schema, .out = &flags };
    const char *all[16] = { "--config", "sluice.yaml" };
    size_t n_all = text ? 2 : 0;
    int r;

    if (text) {
        FILE *file = fopen("sluice.yaml", "we");

        if (!file)
            return fail_errno("sluice.yaml");
        (void) fputs(text, file);
        (void) fclose(file);
    }
    for (size_t i = 0; i < n; i++)
        all[n_all++] = words[i];
    arena_deinit(arena); /* of the call before */
    arena_init(arena, 0);
    r = schema_from_flags(arena, &set, 1, all, n_all);
    return r < 0 ? r : config_settle(arena, &flags, set.json, ret_config);
}

#define SETTLE(text, config, ...)                        \
    settle(&arena, (const char *const[]){ __VA_ARGS__ }, \
           sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *), (text), (config))

/* Would catch a default that differs from what the documentation says. */
TEST(defaults)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;

    EXPECT_OK(settle(&arena, NULL, 0, NULL, &config));
    EXPECT_EQ(config.listen.len, 0);
    EXPECT_STR(config.store, STR_C("lmdb:sluice-data"));
    EXPECT_EQ(config.workers, 64);
    EXPECT_EQ(config.loops, 0);
    EXPECT_EQ(config.queues.len, 0);
    EXPECT_EQ(config.durability.len, 0);
    EXPECT_EQ(config.wait_for_store_ms, 0);
    EXPECT_EQ(config.lease_ms, 30000);
    EXPECT_EQ(config.drain_ms, 30000);
    EXPECT(!config.allow_private);
}

/* Would catch keys of the file that follow another rule than the rest: a flag's words with _
 * between them. Schema names are the keys, so none may have a hyphen. */
TEST(every_key_of_the_file)
{
    static const char file[] = "log_level: warn\nlog_format: json\nport_file: port\ndrain: 2s\n"
                               "keep_completed: 1s\nkeep_completed_max: 5\nkeep_discarded: 2s\n"
                               "keep_discarded_max: 3\nstore_max_mib: 64\nconnections: 50\n";
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;

    for (size_t i = 0; i < engine_config_schema.n_fields; i++)
        EXPECT(!strchr(engine_config_schema.fields[i].name, '-'));
    EXPECT_OK(SETTLE(file, &config));
    EXPECT_EQ(config.keep_completed_ms, 1000);
    EXPECT_EQ(config.keep_completed_max, 5);
    EXPECT_EQ(config.keep_discarded_ms, 2000);
    EXPECT_EQ(config.store_max_mib, 64);
    EXPECT_OK(SETTLE(file, &config, "--keep-completed", "3s"));
    EXPECT_EQ(config.keep_completed_ms, 3000);
}

/* Would catch a file that wins over the command line, or is not read. */
TEST(flags_win_over_the_file)
{
    static const char file[] =
        "store: \"memory:\"\nworkers: 8\nqueues: [mail, slow]\nlease: 5s\ndurability: async\n"
        "allow_private: true\n";
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;

    EXPECT_OK(SETTLE(file, &config, "--workers", "3", "--lease=1m"));
    EXPECT_EQ(config.workers, 3);
    EXPECT_EQ(config.lease_ms, 60000);
    EXPECT_STR(config.store, STR_C("memory:"));
    EXPECT_STR(config.durability, STR_C("async"));
    EXPECT(config.allow_private);
    REQUIRE(config.queues.len == 2);
    EXPECT_STR(((const Str *) config.queues.items)[1], STR_C("slow"));
    arena_deinit(&arena);

    EXPECT_OK(SETTLE(file, &config, "--queue", "own"));
    REQUIRE(config.queues.len == 1);
    EXPECT_STR(((const Str *) config.queues.items)[0], STR_C("own"));
}

/* Would catch a flag that was written with the default's value and loses against the file. */
TEST(a_written_default_wins_as_well)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;

    EXPECT_OK(SETTLE("workers: 8\n", &config, "--workers", "64"));
    EXPECT_EQ(config.workers, 64);
}

TEST(an_empty_file_says_nothing)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;

    EXPECT_OK(settle(&arena, NULL, 0, "# nothing\n", &config));
    EXPECT_EQ(config.workers, 64);
}

/* Would catch a mistake that is passed over, and words that do not lead to it. */
TEST(mistakes_are_pointed_at)
{
    static const struct {
        const char *file;
        const char *words;
    } bad[] = {
        { "store: \"memory:\"\nworkres: 8\n", "sluice.yaml:2" },
        { "workres: 8\n", "workers" },
        { "workers: many\n", "sluice.yaml:1" },
        { "workers: -1\n", "sluice.yaml:1" },
        { "queues: [\"Bad Name\"]\n", "sluice.yaml:1" },
        { "- a\n- b\n", "sluice.yaml" },
        { "workers: 1\nworkers: 2\n", "workers" },
        { "a: [\n", "sluice.yaml" },
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        EngineConfig config;
        int r = settle(&arena, NULL, 0, bad[i].file, &config);

        if (r >= 0 || !strstr(err_text(r), bad[i].words) || err_exit_code(r) == 0)
            test_fail(__FILE__, __LINE__, "%s: got %d \"%s\"", bad[i].file, r,
                      r < 0 ? err_text(r) : "");
    }
}

/* Would catch weights that get lost, and a list without weights that is no order of preference. */
TEST(queues_with_weights)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;

    EXPECT_OK(SETTLE(NULL, &config, "--queues", "mail, slow:3"));
    REQUIRE(config.n_queue_names == 2 && config.weights);
    EXPECT_STR(config.queue_names[0], STR_C("mail"));
    EXPECT_STR(config.queue_names[1], STR_C("slow"));
    EXPECT_EQ(config.weights[0], 1);
    EXPECT_EQ(config.weights[1], 3);
    EXPECT_OK(SETTLE(NULL, &config, "--queues", "mail,slow"));
    REQUIRE(config.n_queue_names == 2);
    EXPECT(!config.weights);
    EXPECT_OK(SETTLE("queue_weights: a:2\n", &config, "--concurrency", "9"));
    REQUIRE(config.n_queue_names == 1);
    EXPECT_EQ(config.workers, 9);
    EXPECT_OK(SETTLE(NULL, &config, "--workers", "7"));
    EXPECT_EQ(config.workers, 7);

    static const char *const bad[] = {
        "a:0", "a:x", "a:", ":2", "a,,b", "Bad", "a,a:2", "a:100001"
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_ERR(SETTLE(NULL, &config, "--queues", bad[i]), -ERR_CONFIG, "queues");
    EXPECT_ERR(SETTLE(NULL, &config, "--queues", "a", "--queue", "b"), -ERR_CONFIG, "either");
}

/* Would catch a limit that is taken for another type's, for none, or for nothing. */
TEST(limits_of_types)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    static const char file[] = "type_limits: {image: 1, digest: 20}\nboxes_ready: 1\n";
    EngineConfig config;

    EXPECT_OK(SETTLE(file, &config, "--boxes", "2"));
    EXPECT_EQ(config.boxes_ready, 1);
    REQUIRE(config.n_limits == 2);
    EXPECT_C(config.limits[0].type, "image");
    EXPECT_EQ(config.limits[0].runs_max, 1);
    EXPECT_C(config.limits[1].type, "digest");
    EXPECT_EQ(config.limits[1].runs_max, 20);
    EXPECT_OK(SETTLE(file, &config, "--type-limit", "image=3"));
    REQUIRE(config.n_limits == 1);
    EXPECT_EQ(config.limits[0].runs_max, 3);
    EXPECT_OK(SETTLE("type_limits: {thumb: 2}\n"
                     "handlers: {thumb: {summary: x, command: [cat]}}\n",
                     &config, "--boxes", "1"));
    EXPECT_EQ(config.n_limits, 1);

    EXPECT_ERR(SETTLE(NULL, &config, "--type-limit", "imgae=1"), -ERR_CONFIG,
               "there is no handler \"imgae\"; did you mean image");
    EXPECT_ERR(SETTLE(NULL, &config, "--type-limit", "image=0"), -ERR_CONFIG,
               "type_limits: image: must be a number from 1 to 100000, got \"0\"");
    EXPECT_ERR(SETTLE(NULL, &config, "--type-limit", "image=x"), -ERR_CONFIG, "image");
    EXPECT_ERR(SETTLE("type_limits: {image: [1, 2]}\n", &config, "--boxes", "1"), -ERR_CONFIG,
               "image: stands there twice");
    EXPECT_ERR(SETTLE(file, &config, "--boxes", "1", "--boxes-ready", "2"), -ERR_CONFIG,
               "boxes_ready");
}

/* Would catch a password that changes what the URL says, and a variable that is not there. */
TEST(secrets_of_the_store)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;

    REQUIRE(setenv("SLUICE_TEST_SECRET", "p@ss/w:rd", 1) == 0);
    REQUIRE(setenv("SLUICE_TEST_STORE", "redis://:x@h/", 1) == 0);
    EXPECT_OK(SETTLE(NULL, &config, "--store", "redis://:${SLUICE_TEST_SECRET}@h:1/"));
    EXPECT_STR(config.store, STR_C("redis://:p%40ss%2Fw%3Ard@h:1/"));
    EXPECT_OK(SETTLE(NULL, &config, "--store", "${SLUICE_TEST_STORE}"));
    EXPECT_STR(config.store, STR_C("redis://:x@h/"));
    EXPECT_OK(SETTLE(NULL, &config, "--store", "lmdb:a$$b"));
    EXPECT_STR(config.store, STR_C("lmdb:a$b"));
    EXPECT_ERR(SETTLE(NULL, &config, "--store", "redis://${SLUICE_TEST_NONE}@h"), -ERR_CONFIG,
               "SLUICE_TEST_NONE");
    EXPECT_ERR(SETTLE(NULL, &config, "--store", "redis://$x@h"), -ERR_CONFIG, "${NAME}");
    EXPECT_ERR(SETTLE(NULL, &config, "--store", "redis://${x@h"), -ERR_CONFIG, "${NAME}");

    FILE *file = fopen("secret", "we");
    REQUIRE(file);
    (void) fputs("  redis://:${SLUICE_TEST_SECRET}@h:1/ \nsecond\n", file);
    (void) fclose(file);
    EXPECT_OK(SETTLE(NULL, &config, "--store-file", "secret"));
    EXPECT_STR(config.store, STR_C("redis://:p%40ss%2Fw%3Ard@h:1/"));
    EXPECT_ERR(SETTLE(NULL, &config, "--store-file", "absent"), -ENOENT, "absent");
}

TEST(a_missing_file_is_named)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;

    EXPECT_ERR(SETTLE(NULL, &config, "--config", "none.yaml"), -ENOENT, "none.yaml");
    arena_deinit(&arena);
    EXPECT_ERR(SETTLE(NULL, &config, "--config", "."), -ERR_CONFIG, "must be a file");
}

TEST_MAIN()
