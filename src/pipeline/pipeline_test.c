/*
 * Pipelines against a sink that does as it is told: refuses rows, is away, is full, forgets
 * nothing.
 *
 * The vault stands for a database: what is committed stays when the pipeline is gone, together with
 * mark and note, so that a second pipeline goes on where a killed one stopped.
 */
#include "pipeline/pipeline_world_int.h"

#include <stdlib.h>

#define VAULT_ROWS 400000

/* What a test's sink has, and how it behaves. */
typedef struct Vault {
    int64_t *times; /* of rows, in the order in which they were committed */
    uint64_t *sensors;
    size_t n_rows;
    uint64_t mark;
    Buf note;
    uint64_t lots;
    int outcome;           /* of the next delivers … */
    int outcome_times;     /* … so often; -1: for ever */
    uint64_t refuse_every; /* rows whose number in the lot is a multiple are refused; 0: none */
    bool is_exact;
    uint64_t cancel_after;  /* lots; then the pipeline is hurried in the middle of a lot */
    const FeedLot *waiting; /* with refused rows, for finish */
} Vault;

static Vault vault;

static uint64_t hash_name(const RowValue *value)
{
    return hash_bytes(value->text.data, value->text.len, 1, 2);
}

static bool is_refused(uint64_t row)
{
    return vault.refuse_every > 0 && row % vault.refuse_every == 0;
}

static void keep(const FeedLot *lot)
{
    size_t time = 0, sensor = 0;

    for (size_t c = 0; c < lot->n_columns; c++) {
        time = str_eq_c(lot->columns[c].name, "time") ? c : time;
        sensor = str_eq_c(lot->columns[c].name, "sensor") ? c : sensor;
    }
    for (size_t i = 0; i < lot->n_rows; i++) {
        if (is_refused(i) || vault.n_rows == VAULT_ROWS)
            continue;
        vault.times[vault.n_rows] = lot->rows[i][time].time_ns;
        vault.sensors[vault.n_rows++] = hash_name(&lot->rows[i][sensor]);
    }
    world_keep_note(lot, &vault.mark, &vault.note);
    vault.lots++;
}

SUSPENDS static int vault_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                               uint64_t *ret_mark, FeedVerdict *verdict)
{
    (void) spec;
    (void) opts;
    (void) verdict;
    *ret_state = &vault;
    *ret_mark = vault.mark;
    return 0;
}

SUSPENDS static int vault_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    size_t n = 0;
    int r = sl_yield();

    (void) state;
    if (r < 0)
        return r;
    if (vault.cancel_after > 0 && vault.lots + 1 == vault.cancel_after) {
        keep(lot); /* it is committed, and nobody hears of it */
        pipeline_hurry(world_pipeline);
        return sl_yield();
    }
    if (vault.outcome_times != 0) {
        vault.outcome_times -= vault.outcome_times > 0;
        feed_verdict_say(verdict, "TEST", "the vault is shut");
        return vault.outcome;
    }
    for (size_t i = 0; i < lot->n_rows && vault.refuse_every > 0; i += vault.refuse_every) {
        if (!verdict->refused)
            verdict->refused = mem_new_array(FeedRefusal, FEED_REFUSALS);
        verdict->refused[n] = (FeedRefusal){ .row = i, .code = "BAD" };
        n++;
    }
    if (n > 0) {
        verdict->n_refused = n;
        vault.waiting = lot;
        return FEED_REFUSED;
    }
    keep(lot);
    return 0;
}

SUSPENDS static int vault_finish(void *state, FeedVerdict *verdict)
{
    (void) state;
    (void) verdict;
    keep(vault.waiting);
    return sl_yield();
}

static Str vault_note(const void *state)
{
    (void) state;
    return buf_str(&vault.note);
}

static const FeedDriver exact_feed = WORLD_FEED(vault, true);
static const FeedDriver plain_feed = WORLD_FEED(vault, false);
static const SinkDriver exact_sink = { .name = "vault", .feed = &exact_feed };
static const SinkDriver plain_sink = { .name = "vault", .feed = &plain_feed };

/* ---- a world --------------------------------------------------------------------------------- */

static void vault_reset(void)
{
    mem_free(vault.times);
    mem_free(vault.sensors);
    buf_deinit(&vault.note);
    vault = (Vault){ .times = mem_new_array(int64_t, VAULT_ROWS),
                     .sensors = mem_new_array(uint64_t, VAULT_ROWS),
                     .is_exact = true };
}

/* The vault in the place of the only sink. */
void world_fit(Plan *plan)
{
    plan->sinks[0].spec.driver = vault.is_exact ? &exact_sink : &plain_sink;
}

/* One after which nothing is left. */
static World run(const char *json, void (*during)(Pipeline *pipeline))
{
    World world = world_run(json, during);

    EXPECT_EQ(world.stats.in_flight, 0);
    return world;
}

static void expect_in_order(size_t from)
{
    for (size_t i = from + 1; i < vault.n_rows; i++) {
        if (vault.times[i] < vault.times[i - 1]) {
            test_fail(__FILE__, __LINE__, "row %zu is older than the one before it", i);
            return;
        }
    }
}

/* ---- what goes through ----------------------------------------------------------------------- */

TEST(every_row_is_written_in_order)
{
    World world;

    vault_reset();
    world = run("{\"source\":[\"sim:sensors=7,count=20000\"],\"out\":[\"jsonl:x.jsonl\"]}", NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.written, 20000);
    EXPECT_EQ(vault.n_rows, 20000);
    expect_in_order(0);
}

TEST(malformed_rows_are_dead_letters)
{
    World world;
    char *text = NULL;
    FILE *file;
    size_t lines = 0;
    int c;

    vault_reset();
    (void) unlink("dead.jsonl");
    world = run("{\"source\":[\"sim:sensors=7,count=5000,malformed=0.02\"],"
                "\"out\":[\"jsonl:x.jsonl\"],\"dead_letters\":\"dead.jsonl\"}",
                NULL);
    EXPECT(world.stats.dead > 20);
    EXPECT_EQ(world.stats.dead + world.stats.written, 5000);
    EXPECT_EQ(vault.n_rows, world.stats.written);
    file = fopen("dead.jsonl", "r");
    REQUIRE(file);
    while ((c = fgetc(file)) != EOF)
        lines += c == '\n';
    (void) fclose(file);
    EXPECT_EQ(lines, world.stats.dead);
    mem_free(text);
}

TEST(rows_that_the_sink_refuses_are_dead_letters)
{
    World world;

    vault_reset();
    vault.refuse_every = 100;
    world = run("{\"source\":[\"sim:sensors=7,count=10000\"],\"out\":[\"jsonl:x.jsonl\"],"
                "\"batch\":{\"rows\":1000},\"dead_letters\":\"dead2.jsonl\"}",
                NULL);
    EXPECT(world.stats.dead >= 100);
    EXPECT_EQ(vault.n_rows, world.stats.written);
    EXPECT_EQ(world.stats.dead + world.stats.written, 10000);
}

TEST(a_sink_that_is_away_is_waited_for)
{
    World world;

    vault_reset();
    vault.outcome = FEED_RETRY;
    vault.outcome_times = 3;
    world = run("{\"source\":[\"sim:sensors=7,count=3000\"],\"out\":[\"jsonl:x.jsonl\"]}", NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(vault.n_rows, 3000);
    EXPECT_EQ(vault.outcome_times, 0);
}

TEST(a_sink_that_must_be_mended_stops_the_pipeline)
{
    World world;

    vault_reset();
    vault.outcome = FEED_STOP;
    vault.outcome_times = -1;
    world = run("{\"source\":[\"sim:sensors=7\"],\"out\":[\"jsonl:x.jsonl\"]}", NULL);
    EXPECT_EQ(world.r, -ERR_CONFLICT);
    EXPECT_EQ(world.stats.state, PIPELINE_STOPPED);
    EXPECT_EQ(vault.n_rows, 0);
    EXPECT_EQ(world.stats.written, 0);
}

SUSPENDS static void stop_after_a_while(Pipeline *pipeline)
{
    PipelineStats stats;

    do {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    } while (stats.written < 10000);
    pipeline_ask_to_stop(pipeline);
}

TEST(a_stop_writes_what_is_in_flight)
{
    World world;

    vault_reset();
    world = run("{\"source\":[\"sim:sensors=7\"],\"out\":[\"jsonl:x.jsonl\"]}", stop_after_a_while);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.state, PIPELINE_ENDED);
    EXPECT_EQ(vault.n_rows, world.stats.written);
    EXPECT_EQ(world.stats.received, world.stats.written);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

SUSPENDS static void look_while_it_is_shut(Pipeline *pipeline)
{
    PipelineStats stats;

    do {
        for (int i = 0; i < 2000; i++)
            EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    } while (stats.state != PIPELINE_WAITING);
    EXPECT(stats.channel_rows <= 2000 + LIMIT_ROW_BATCH);
    EXPECT(stats.in_flight <= 2000 + 4 * 500 + 3 * LIMIT_ROW_BATCH);
    EXPECT_EQ(stats.state, PIPELINE_WAITING);
    vault.outcome_times = 0;
}

TEST(a_full_channel_makes_the_source_wait)
{
    World world;

    vault_reset();
    vault.outcome = FEED_RETRY;
    vault.outcome_times = -1;
    world = run("{\"source\":[\"sim:sensors=7,count=50000\"],\"out\":[\"jsonl:x.jsonl\"],"
                "\"channel\":{\"rows\":2000},\"batch\":{\"rows\":500},\"retry_max\":\"100ms\"}",
                look_while_it_is_shut);
    EXPECT_EQ(world.stats.written, 50000);
    EXPECT_EQ(world.stats.dropped, 0);
}

static void drops(const char *overflow, bool keeps_last)
{
    char json[400];
    World world;

    vault_reset();
    vault.outcome = FEED_RETRY;
    vault.outcome_times = 2;
    (void) snprintf(json, sizeof(json),
                    "{\"source\":[\"sim:sensors=7,count=50000\"],\"out\":[\"jsonl:x.jsonl\"],"
                    "\"channel\":{\"rows\":3000,\"overflow\":\"%s\"},\"batch\":{\"rows\":500}}",
                    overflow);
    world = run(json, NULL);
    EXPECT(world.stats.dropped > 0);
    EXPECT_EQ(world.stats.dropped_by.n, 1);
    EXPECT_C(world.dropped_by, "channel full");
    EXPECT_EQ(vault.n_rows, world.stats.written);
    EXPECT_EQ(world.stats.written + world.stats.dropped, 50000);
    expect_in_order(0);
    (void) keeps_last;
}

TEST(a_full_channel_may_drop_what_comes)
{
    drops("drop_new", false);
}

TEST(a_full_channel_may_drop_the_oldest)
{
    drops("drop_old", true);
}

/* ---- exactly once ---------------------------------------------------------------------------- */

/* How many different positions there are among the dead letters in FILE. */
static size_t count_letters(const char *path, size_t positions)
{
    AUTO(mem_free) bool *is_there = mem_new_array(bool, positions + 2);
    char line[4096];
    FILE *file = fopen(path, "r");
    size_t n = 0;

    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file)) {
        const char *at = strstr(line, "\"position\":");
        size_t position = at ? (size_t) atol(at + 11) : 0;

        if (position == 0 || position > positions || is_there[position])
            continue;
        is_there[position] = true;
        n++;
    }
    (void) fclose(file);
    return n;
}

TEST(a_killed_run_goes_on_exactly)
{
    static const char json[] = "{\"source\":[\"sim:sensors=7,count=30000,malformed=0.001\"],"
                               "\"out\":[\"jsonl:x.jsonl\"],\"batch\":{\"rows\":700},"
                               "\"dead_letters\":\"dead3.jsonl\"}";
    size_t kills = 0;
    World world;

    vault_reset();
    for (uint64_t lots = 3; vault.n_rows < 29000 && lots < 200; lots += 2) {
        vault.cancel_after = vault.lots + lots % 11 + 1;
        world = run(json, NULL);
        kills += world.r == -ECANCELED;
    }
    vault.cancel_after = 0;
    world = run(json, NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT(kills >= 3);
    expect_in_order(0);
    for (size_t i = 1; i < vault.n_rows; i++)
        EXPECT(vault.times[i] != vault.times[i - 1] || vault.sensors[i] != vault.sensors[i - 1]);
    EXPECT(vault.n_rows > 29900 && vault.n_rows < 30000);
    EXPECT_EQ(vault.n_rows + count_letters("dead3.jsonl", 30000), 30000);
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return (x > y) - (x < y);
}

/* How many rows are there again. */
static size_t count_twice(void)
{
    AUTO(mem_free) int64_t *keys = mem_new_array(int64_t, vault.n_rows + 1);
    size_t n = 0;

    for (size_t i = 0; i < vault.n_rows; i++)
        keys[i] = vault.times[i] ^ (int64_t) vault.sensors[i];
    qsort(keys, vault.n_rows, sizeof(keys[0]), compare_numbers);
    for (size_t i = 1; i < vault.n_rows; i++)
        n += keys[i] == keys[i - 1];
    return n;
}

/* Lanes bring rows of one parcel in pieces, whose positions lie in each other. */
TEST(a_killed_run_of_several_lanes_goes_on_exactly)
{
    static const char json[] = "{\"source\":[\"sim:sensors=7,count=30000\"],"
                               "\"out\":[\"jsonl:x.jsonl\"],\"batch\":{\"rows\":%d},"
                               "\"consumers\":{\"count\":3,\"key\":[\"sensor\"]}}";
    static const int rows[] = { 1500, 700, 90 };
    char text[400];

    for (size_t k = 0; k < 3; k++) {
        size_t kills = 0;
        World world;

        (void) snprintf(text, sizeof(text), json, rows[k]);
        vault_reset();
        for (uint64_t lots = 3; vault.n_rows < 29000 && lots < 200; lots += 2) {
            vault.cancel_after = vault.lots + lots % 11 + 1;
            world = run(text, NULL);
            kills += world.r == -ECANCELED;
        }
        vault.cancel_after = 0;
        world = run(text, NULL);
        EXPECT_EQ(world.r, 0);
        EXPECT(kills >= 3);
        EXPECT_EQ(vault.n_rows, 30000);
        EXPECT_EQ(count_twice(), 0);
    }
}

/* ---- the spill ------------------------------------------------------------------------------- */

#define SPILL_JSON                                                                              \
    "{\"source\":[\"sim:sensors=7,count=60000,malformed=0.0005\"],\"out\":[\"jsonl:x.jsonl\"]," \
    "\"channel\":{\"rows\":2000,\"overflow\":\"spill\"},\"batch\":{\"rows\":500},"              \
    "\"save\":\"20ms\",\"retry_max\":\"100ms\",\"state\":\"%s\"}"

static void expect_all_once(size_t least)
{
    expect_in_order(0);
    for (size_t i = 1; i < vault.n_rows; i++)
        EXPECT(vault.times[i] != vault.times[i - 1] || vault.sensors[i] != vault.sensors[i - 1]);
    EXPECT(vault.n_rows >= least);
}

SUSPENDS static void open_when_all_is_in(Pipeline *pipeline)
{
    PipelineStats stats;

    do {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    } while (stats.received < 60000);
    EXPECT(stats.spilled_rows > 50000);
    EXPECT(stats.channel_rows <= 2000 + LIMIT_ROW_BATCH);
    vault.outcome_times = 0;
}

/* With the sink away the source comes to its end all the same, and nothing is lost. */
/* Catches a throttle that a restart fills, and a sample that begins to count anew. */
TEST(what_goes_by_arrival_is_kept)
{
    static const char one[] = "{\"source\":[\"sim:sensors=1,count=%d,seed=%d\"],"
                              "\"out\":[\"jsonl:x.jsonl\"],\"state\":\"arrival.state\","
                              "\"steps\":[{\"throttle\":{\"rate\":0.001,\"burst\":50}},"
                              "{\"sample\":{\"every\":10}}]}";
    char json[400];
    World world;

    vault_reset();
    (void) snprintf(json, sizeof(json), one, 33, 1);
    world = run(json, NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(vault.n_rows, 4);
    (void) snprintf(json, sizeof(json), one, 100, 2);
    world = run(json, NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.dropped, 83); /* 17 of the burst of 50 were left */
    EXPECT_EQ(vault.n_rows, 5);         /* the 41st */
}

TEST(a_full_channel_may_spill)
{
    char json[600];
    World world;

    vault_reset();
    vault.outcome = FEED_RETRY;
    vault.outcome_times = -1;
    (void) snprintf(json, sizeof(json), SPILL_JSON, "spill1");
    world = run(json, open_when_all_is_in);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.written + world.stats.dead, 60000);
    EXPECT_EQ(world.stats.spilled_rows, 0);
    EXPECT_EQ(vault.n_rows, world.stats.written);
    expect_all_once(59900);
}

SUSPENDS static void hurry_with_much_in_the_spill(Pipeline *pipeline)
{
    PipelineStats stats;

    do {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    } while (stats.spilled_rows < 5000 && stats.state != PIPELINE_ENDED);
    pipeline_hurry(pipeline);
}

/* Cut off again and again, with the sink away, in the middle of commits, and while the spill is
 * read: nothing is lost. */
TEST(a_spill_survives_its_process)
{
    char json[600];
    World world;

    vault_reset();
    (void) snprintf(json, sizeof(json), SPILL_JSON, "spill2");
    for (int round = 0; round < 12; round++) {
        vault.outcome = FEED_RETRY;
        vault.outcome_times = round % 3 == 0 ? -1 : 0;
        vault.cancel_after = round % 3 == 1 ? vault.lots + 5 : 0;
        (void) world_run(json, round % 3 == 1 ? NULL : hurry_with_much_in_the_spill);
    }
    vault.outcome_times = 0;
    vault.cancel_after = 0;
    world = world_run(json, NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.in_flight, 0);
    EXPECT(vault.n_rows >= 59900); /* in which order: see the spill's L5; once: the other file */
    EXPECT(vault.n_rows < 60000);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

TEST(several_consumers_keep_the_order_of_each_key)
{
    World world;

    vault_reset();
    world = run(
        "{\"source\":[\"sim:sensors=50,count=40000\"],\"out\":[\"jsonl:x.jsonl\"],"
        "\"consumers\":{\"count\":4,\"key\":[\"sensor\"]},\"step\":[\"filter: value > -1e9\"]}",
        NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(vault.n_rows, 40000);
    for (size_t k = 0; k < 50; k++) {
        int64_t last = INT64_MIN;

        for (size_t i = k; i < vault.n_rows; i++) {
            if (vault.sensors[i] != vault.sensors[k])
                continue;
            EXPECT(vault.times[i] >= last);
            last = vault.times[i];
        }
    }
}

/* ---- words ----------------------------------------------------------------------------------- */

static void expect_refused(const char *json, const char *part)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    PipelineConfig config;
    Plan *plan = NULL;

    EXPECT_OK(schema_decode_text(&arena, &pipeline_config_schema, str_from_c(json), &config, NULL));
    EXPECT_ERR(plan_new(&config, &plan), -ERR_CONFIG, part);
}

TEST(what_cannot_be_is_refused_with_its_place)
{
    expect_refused("{\"out\":[\"jsonl:x.jsonl\"]}", "no source");
    expect_refused("{\"source\":[\"sim\"]}", "no sink");
    expect_refused("{\"source\":[\"simm:sensors=1\"],\"out\":[\"jsonl:x.jsonl\"]}",
                   "did you mean \"sim\"");
    expect_refused("{\"sources\":[{\"sim\":{\"sensers\":1}}],\"out\":[\"jsonl:x.jsonl\"]}",
                   "sources[0]");
    expect_refused("{\"source\":[\"sim\"],\"steps\":[{\"filtre\":\"a > 1\"}],"
                   "\"out\":[\"jsonl:x.jsonl\"]}",
                   "did you mean \"filter\"");
}

TEST_MAIN()
