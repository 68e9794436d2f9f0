/*
 * Other consumers: what windows and dedupe hold goes to other lanes, over reloads and over starts
 * after a kill, and what comes out is what one run without any of it gives.
 *
 * A table stands for a database with a key: a result that comes again, as it does after a kill,
 * replaces itself. So the tables of two runs are compared.
 */
#include "base/assert.h"
#include "base/map.h"
#include "pipeline/pipeline_world_int.h"

#include <unistd.h>

typedef struct Table {
    Map rows; /* by sensor and beginning of the window; the row as text, owned */
    uint64_t mark;
    Buf note;
    uint64_t lots;
    uint64_t cancel_at; /* a lot; 0: none */
} Table;

static Table *table;

static void table_deinit(Table *which)
{
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&which->rows, &cursor, &name, &value))
        mem_free(value);
    map_deinit(&which->rows);
    buf_deinit(&which->note);
}
DEFINE_AUTO_VALUE(Table, table_deinit);

static void put_row(const FeedLot *lot, size_t row)
{
    AUTO(buf_deinit) Buf key = { 0 }, text = { 0 };

    for (size_t c = 0; c < lot->n_columns; c++) {
        Str name = lot->columns[c].name;

        buf_add_char(&text, ' ');
        row_value_format(&text, &lot->rows[row][c]);
        if (str_eq_c(name, "id") || str_eq_c(name, "window_start")) {
            buf_add_char(&key, ' ');
            row_value_format(&key, &lot->rows[row][c]);
        }
    }
    mem_free(map_remove(&table->rows, buf_str(&key)));
    (void) map_put(&table->rows, buf_str(&key), mem_copy_c(text.data, text.len));
}

SUSPENDS static int table_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                               uint64_t *ret_mark, FeedVerdict *verdict)
{
    (void) spec;
    (void) opts;
    (void) verdict;
    *ret_state = table;
    *ret_mark = table->mark;
    return 0;
}

SUSPENDS static int table_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    int r = sl_yield();

    (void) state;
    (void) verdict;
    if (r < 0)
        return r;
    for (size_t i = 0; i < lot->n_rows; i++)
        put_row(lot, i);
    world_keep_note(lot, &table->mark, &table->note);
    if (++table->lots == table->cancel_at) {
        pipeline_hurry(world_pipeline); /* it is committed, and nobody hears of it */
        return sl_yield();
    }
    return 0;
}

SUSPENDS static int table_finish(void *state, FeedVerdict *verdict)
{
    (void) state;
    (void) verdict;
    return sl_yield();
}

static Str table_note(const void *state)
{
    (void) state;
    return buf_str(&table->note);
}

static const FeedDriver table_feed = WORLD_FEED(table, true);
static const SinkDriver table_sink = { .name = "table", .feed = &table_feed };

void world_fit(Plan *plan)
{
    plan->sinks[0].spec.driver = &table_sink;
}

/* ---- plans ----------------------------------------------------------------------------------- */

#define SIM                                                              \
    "\"sources\":[{\"sim\":{\"sensors\":23,\"count\":24000,\"rate\":%d," \
    "\"start\":\"2026-01-01T00:00:00Z\",\"interval\":\"1s\",\"duplicated\":0.05}}]"
#define COMMON                                                                             \
    "\"channel\":{\"rows\":2000},\"batch\":{\"rows\":25},\"dead_letters\":\"jsonl:dead\"," \
    "\"save\":\"10ms\",\"out\":[\"jsonl:x\"]"
#define DEDUPE  "{\"dedupe\":{\"within\":\"1m\",\"key\":[\"id\",\"time\"],\"time\":\"time\"}}"
#define RENAME  "{\"rename\":{\"columns\":{\"sensor\":\"id\"}}}"
#define COLUMNS "{\"validate\":{\"columns\":{\"sensor\":\"text\"}}}"
#define TUMBLING \
    "{\"window\":{\"every\":\"10s\",\"by\":[\"id\"],\"aggregate\":\"value:count,min,last\"}}"
#define SLIDING                                                       \
    "{\"window\":{\"every\":\"10s\",\"size\":\"1m\",\"by\":[\"id\"]," \
    "\"aggregate\":\"value:count,max,first\"}}"

#define FAST 400000 /* rows a second */
#define SLOW 60000  /* so that it goes on while it is reloaded */

static char plan_text[2000];

static const char *plan_of(const char *window, const char *state, int rate, int consumers)
{
    (void) snprintf(plan_text, sizeof(plan_text),
                    "{" SIM "," COMMON ",\"state\":\"%s\",\"steps\":[" COLUMNS "," RENAME "," DEDUPE
                    ",%s],\"consumers\":{\"count\":%d,\"key\":[\"sensor\"]}}",
                    rate, state, window, consumers);
    return plan_text;
}

static void expect_same(const Table *got, const Table *want)
{
    size_t cursor = 0;
    void *value;
    Str key;

    EXPECT(want->rows.len > 1000);
    EXPECT_EQ(got->rows.len, want->rows.len);
    while (map_next(&want->rows, &cursor, &key, &value)) {
        const char *text = map_find(&got->rows, key);

        if (!text || strcmp(text, value) != 0) {
            test_fail(__FILE__, __LINE__, "%.*s: got %s, want %s", (int) key.len, key.data,
                      text ? text : "nothing", (const char *) value);
            return;
        }
    }
}

/* ---- starts ---------------------------------------------------------------------------------- */

/* Killed in the middle of a lot again and again, and each time begun with other consumers. */
static void is_same_after_kills(const char *window, const char *name)
{
    static const int counts[] = { 1, 4, 2, 5, 3, 1, 2 };
    AUTO(table_deinit) Table one = { 0 }, many = { 0 };
    char state[32];
    size_t kills = 0, i = 0;
    World world = { 0 };

    table = &one;
    (void) snprintf(state, sizeof(state), "%s-one", name);
    EXPECT_OK(world_run(plan_of(window, state, FAST, 1), NULL).r);
    table = &many;
    (void) snprintf(state, sizeof(state), "%s-many", name);
    do {
        many.cancel_at = i < 12 ? many.lots + 3 + i % 5 : 0;
        world = world_run(plan_of(window, state, FAST, counts[i % ARRAY_LEN(counts)]), NULL);
        kills += world.r == -ECANCELED;
    } while (++i < 40 && world.r == -ECANCELED);
    EXPECT_OK(world.r);
    EXPECT(kills >= 5);
    expect_same(&many, &one);
}

TEST(tumbling_windows_after_kills)
{
    is_same_after_kills(TUMBLING, "tumbling");
}

TEST(sliding_windows_after_kills)
{
    is_same_after_kills(SLIDING, "sliding");
}

/* By a column that windows do not know nothing can be dealt out: that is said, and the state stays
 * where it is for who sets it back. */
TEST(what_cannot_be_dealt_out_is_refused_and_kept)
{
    AUTO(table_deinit) Table one = { 0 }, many = { 0 };
    const char *other;
    char *key;

    table = &one;
    EXPECT_OK(world_run(plan_of(TUMBLING, "kept-one", FAST, 1), NULL).r);
    table = &many;
    many.cancel_at = 25;
    EXPECT_EQ(world_run(plan_of(TUMBLING, "kept", SLOW, 1), NULL).r, -ECANCELED);
    other = plan_of(TUMBLING, "kept", FAST, 3);
    key = strstr(plan_text, "\"key\":[\"sensor\"]}}");
    ASSERT(key);
    (void) snprintf(key, sizeof(plan_text) - (size_t) (key - plan_text), "\"key\":[\"value\"]}}");
    EXPECT_EQ(world_run(other, NULL).r, -ERR_CONFLICT);
    EXPECT_OK(world_run(plan_of(TUMBLING, "kept", FAST, 2), NULL).r);
    expect_same(&many, &one);
}

/* ---- reloads --------------------------------------------------------------------------------- */

static const char *reload_window;

typedef struct Change {
    Pipeline *pipeline;
    int consumers;
    bool is_over;
} Change;

SUSPENDS static int reload_once(void *arg)
{
    Change *change = arg;

    EXPECT_OK(pipeline_reload(change->pipeline,
                              world_plan(plan_of(reload_window, "two", SLOW, change->consumers))));
    change->is_over = true;
    return 0;
}

static uint64_t received(Pipeline *pipeline)
{
    PipelineStats stats;

    pipeline_stats(pipeline, &stats);
    return stats.received;
}

/* While rows come, but never to their end: on a busy machine a reload takes longer than they do. */
SUSPENDS static void reload_often(Pipeline *pipeline)
{
    static const int counts[] = { 4, 2, 1, 3, 5 };

    for (uint64_t i = 0; i < ARRAY_LEN(counts); i++) {
        Change change = { pipeline, counts[i], false };
        sl_nursery *nursery = sl_nursery_open(.name = "reload");

        while (received(pipeline) < (i + 1) * 3000 && !pipeline->is_failing)
            EXPECT_OK(sl_yield());
        EXPECT_OK(sl_spawn(nursery, reload_once, &change, .name = "reload"));
        while (!change.is_over) {
            if (received(pipeline) >= (i + 2) * 3000)
                pipeline_pause(pipeline);
            EXPECT_OK(sl_yield());
        }
        sl_nursery_close(nursery);
        pipeline_resume(pipeline);
    }
}

static void is_same_after_reloads(const char *window)
{
    AUTO(table_deinit) Table one = { 0 }, many = { 0 };
    char first[sizeof(plan_text)];
    World world;

    table = &one;
    (void) unlink("one/ingest.state");
    (void) unlink("two/ingest.state");
    EXPECT_OK(world_run(plan_of(window, "one", FAST, 1), NULL).r);
    table = &many;
    reload_window = window;
    (void) snprintf(first, sizeof(first), "%s", plan_of(window, "two", SLOW, 1));
    world = world_run(first, reload_often);
    EXPECT_OK(world.r);
    EXPECT_EQ(world.stats.reloads, 5);
    expect_same(&many, &one);
}

TEST(windows_after_reloads)
{
    is_same_after_reloads(TUMBLING);
    is_same_after_reloads(SLIDING);
}

TEST_MAIN()
