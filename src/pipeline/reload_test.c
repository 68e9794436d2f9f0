/*
 * Another plan while the sources run: no row is lost or doubled, what windows hold is carried on or
 * handed on, and a plan that is wrong changes nothing.
 *
 * Two safes stand for databases, `a` and `b`; each keeps what is committed with its note.
 */
#include "pipeline/pipeline_world_int.h"

#include <stdlib.h>

#define SAFE_ROWS 400000
#define SAFES     2

typedef struct Safe {
    int64_t *numbers; /* of rows: the column that was asked for */
    size_t n_rows;
    uint64_t mark;
    Buf note;
    int opens;        /* so far */
    int outcome;      /* of opening */
    int refuses;      /* so many lots lose their first row */
    int deliver_away; /* so many delivers find it away; -1: all */
} Safe;

static Safe safes[SAFES];
static const char *number_column = "time";

SUSPENDS static int safe_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                              uint64_t *ret_mark, FeedVerdict *verdict)
{
    Safe *safe = &safes[spec->target.data[spec->target.len - 1] - 'a'];

    (void) opts;
    safe->opens++;
    *ret_state = safe;
    *ret_mark = safe->mark;
    if (safe->outcome != 0)
        feed_verdict_say(verdict, "TEST", "the safe does not open");
    return safe->outcome;
}

SUSPENDS static int safe_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    Safe *safe = state;
    size_t column = 0;
    bool is_refusing;
    int r = sl_yield();

    if (r < 0)
        return r;
    if (safe->deliver_away != 0) {
        safe->deliver_away -= safe->deliver_away > 0;
        feed_verdict_say(verdict, "TEST", "the safe is shut");
        return FEED_RETRY;
    }
    for (size_t c = 0; c < lot->n_columns; c++)
        column = str_eq_c(lot->columns[c].name, number_column) ? c : column;
    EXPECT(lot->mark > safe->mark);
    is_refusing = safe->refuses > 0;
    safe->refuses -= is_refusing;
    for (size_t i = is_refusing; i < lot->n_rows && safe->n_rows < SAFE_ROWS; i++)
        safe->numbers[safe->n_rows++] = lot->rows[i][column].integer;
    world_keep_note(lot, &safe->mark, &safe->note);
    if (!is_refusing)
        return 0;
    if (!verdict->refused)
        verdict->refused = mem_new_array(FeedRefusal, FEED_REFUSALS);
    verdict->refused[0] = (FeedRefusal){ .row = 0, .code = "BAD" };
    verdict->n_refused = 1;
    return FEED_REFUSED;
}

SUSPENDS static int safe_finish(void *state, FeedVerdict *verdict)
{
    (void) state;
    (void) verdict;
    return sl_yield();
}

static Str safe_note(const void *state)
{
    const Safe *safe = state;

    return buf_str(&safe->note);
}

static const FeedDriver safe_feed = WORLD_FEED(safe, true);
static const SinkDriver safe_sink = { .name = "safe", .feed = &safe_feed };

/* ---- graves ---------------------------------------------------------------------------------- */

/* Two sinks of dead letters, of which each takes its time. */
typedef struct Grave {
    bool is_open;
    bool is_busy; /* in a deliver */
    bool is_slow; /* delivers do not end */
    size_t n_rows;
} Grave;

static Grave graves[2];
static bool are_graves_asked;

SUSPENDS static int grave_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                               uint64_t *ret_mark, FeedVerdict *verdict)
{
    Grave *grave = &graves[spec->target.data[spec->target.len - 1] == 'e'];

    (void) opts;
    (void) verdict;
    EXPECT(!grave->is_open);
    grave->is_open = true;
    *ret_state = grave;
    *ret_mark = 0;
    return sl_yield();
}

SUSPENDS static int grave_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    Grave *grave = state;
    int r = sl_yield();

    (void) verdict;
    EXPECT(grave->is_open);
    grave->is_busy = true;
    while (r == 0 && grave->is_slow)
        r = sl_yield();
    grave->is_busy = false;
    grave->n_rows += r == 0 ? lot->n_rows : 0;
    return r;
}

SUSPENDS static void grave_close(void *state)
{
    Grave *grave = state;

    EXPECT(!grave->is_busy); /* a feed is one fiber's at a time */
    grave->is_open = false;
}

static const FeedDriver grave_feed = {
    .open = grave_open, .deliver = grave_deliver, .finish = safe_finish, .close = grave_close
};
static const SinkDriver grave_sink = { .name = "grave", .feed = &grave_feed };

/* ---- a world --------------------------------------------------------------------------------- */

static void safes_reset(void)
{
    for (size_t i = 0; i < SAFES; i++) {
        mem_free(safes[i].numbers);
        buf_deinit(&safes[i].note);
        safes[i] = (Safe){ .numbers = mem_new_array(int64_t, SAFE_ROWS) };
    }
    number_column = "time";
}

void world_fit(Plan *plan)
{
    for (size_t i = 0; i < plan->n_sinks; i++)
        plan->sinks[i].spec.driver = &safe_sink;
    if (are_graves_asked)
        plan->dead_letters.spec.driver = &grave_sink;
}

/* One after which nothing is left. */
static World run(const char *json, void (*during)(Pipeline *pipeline))
{
    World world = world_run(json, during);

    EXPECT_EQ(world.stats.in_flight, 0);
    return world;
}

/* Wait until N rows have come. */
SUSPENDS static void wait_received(Pipeline *pipeline, uint64_t n)
{
    PipelineStats stats;

    do {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    } while (stats.received < n && stats.state != PIPELINE_STOPPED);
}

static int compare_numbers(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;

    return *left < *right ? -1 : *left > *right;
}

/* How many different numbers both safes have; the rows in *RET_ROWS. */
static size_t count_numbers(size_t *ret_rows)
{
    size_t n = safes[0].n_rows + safes[1].n_rows, different = 0;
    AUTO(mem_free) int64_t *all = mem_new_array(int64_t, n + 1);

    memcpy(all, safes[0].numbers, safes[0].n_rows * sizeof(all[0]));
    memcpy(all + safes[0].n_rows, safes[1].numbers, safes[1].n_rows * sizeof(all[0]));
    qsort(all, n, sizeof(all[0]), compare_numbers);
    for (size_t i = 0; i < n; i++)
        different += i == 0 || all[i] != all[i - 1];
    *ret_rows = n;
    return different;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Endless ones: each test stops them when it has seen enough. */
#define SIM_ARGS \
    "\"sensors\":1,\"rate\":200000,\"start\":\"2026-01-01T00:00:00Z\",\"interval\":\"1s\""
#define SIM "\"sources\":[{\"sim\":{" SIM_ARGS "}}]"
#define SIM_TOO \
    "\"sources\":[{\"sim\":{" SIM_ARGS ",\"seed\":1}}]" /* the same rows, other settings */
#define SMALL   "\"channel\":{\"rows\":3000},\"batch\":{\"rows\":500},\"dead_letters\":\"jsonl:d\""
#define TO_A    "\"out\":[\"jsonl:a\"]"
#define TO_B    "\"out\":[\"jsonl:b\"]"
#define RENAMES "\"steps\":[{\"rename\":{\"columns\":{\"value\":\"v\"}}}]"

#define DEDUPES "\"steps\":[{\"dedupe\":{\"key\":[\"time\"],\"within\":\"1h\"}}]"

static const char *plan_a, *plan_b;

SUSPENDS static void reload_ten_times(Pipeline *pipeline)
{
    for (uint64_t i = 0; i < 10; i++) {
        wait_received(pipeline, (i + 1) * 2000);
        EXPECT_OK(pipeline_reload(pipeline, world_plan(i % 2 ? plan_a : plan_b)));
    }
    wait_received(pipeline, 22000);
    pipeline_ask_to_stop(pipeline);
}

static void each_row_once(const char *a, const char *b)
{
    World world;
    size_t rows;

    safes_reset();
    plan_a = a;
    plan_b = b;
    world = run(a, reload_ten_times);
    EXPECT_OK(world.r);
    EXPECT_EQ(world.stats.reloads, 10);
    EXPECT_EQ(world.stats.written, world.stats.received);
    EXPECT_EQ(count_numbers(&rows), world.stats.received);
    EXPECT_EQ(rows, world.stats.received);
    EXPECT(safes[1].n_rows == 0 || safes[0].n_rows > 0);
}

TEST(a_step_that_comes_and_goes_loses_no_row)
{
    each_row_once("{" SIM "," SMALL "," TO_A "}", "{" SIM "," SMALL "," TO_A "," RENAMES "}");
    EXPECT_EQ(safes[0].opens, 1); /* its feed stays */
}

TEST(a_sink_that_changes_loses_no_row)
{
    each_row_once("{" SIM "," SMALL "," TO_A "}", "{" SIM "," SMALL "," TO_B "}");
    EXPECT(safes[1].n_rows > 0);
}

TEST(consumers_that_change_lose_no_row)
{
    each_row_once("{" SIM "," SMALL "," TO_A "}",
                  "{" SIM "," SMALL "," TO_A ",\"consumers\":{\"count\":3,\"key\":[\"value\"]}}");
}

TEST(a_source_that_changes_goes_on_where_it_was)
{
    /* Another name of the column of time is another setting: the source begins anew, at its
     * position. */
    each_row_once("{" SIM "," SMALL "," TO_A "}", "{" SIM_TOO "," SMALL "," TO_A "}");
}

/* ---- windows --------------------------------------------------------------------------------- */

#define WINDOW "{\"window\":{\"every\":\"10s\",\"by\":[\"sensor\"],\"aggregate\":\"count\"}}"
#define OTHER  "{\"window\":{\"every\":\"20s\",\"by\":[\"sensor\"],\"aggregate\":\"count\"}}"

static void nothing(Pipeline *pipeline)
{
    (void) pipeline;
}

static int64_t sum_of(const Safe *safe)
{
    int64_t sum = 0;

    for (size_t i = 0; i < safe->n_rows; i++)
        sum += safe->numbers[i];
    return sum;
}

TEST(what_a_window_holds_is_carried_on)
{
    AUTO(mem_free) int64_t *numbers = mem_new_array(int64_t, SAFE_ROWS);
    char json[1000];
    World world;
    size_t n;

    safes_reset();
    number_column = "count";
    plan_a = "{" SIM "," SMALL "," TO_A ",\"steps\":[" WINDOW "]}";
    plan_b = "{" SIM "," SMALL "," TO_A ",\"steps\":[" WINDOW
             ",{\"rename\":{\"columns\":{\"sensor\":\"s\"}}}]}";
    world = run(plan_a, reload_ten_times);
    EXPECT_OK(world.r);
    n = safes[0].n_rows;
    memcpy(numbers, safes[0].numbers, n * sizeof(numbers[0]));
    safes_reset();
    number_column = "count";
    (void) snprintf(json, sizeof(json),
                    "{\"sources\":[{\"sim\":{" SIM_ARGS ",\"count\":%llu}}]," SMALL "," TO_A
                    ",\"steps\":[" WINDOW "]}",
                    (unsigned long long) (world.stats.received - world.stats.made));
    world = run(json, nothing);
    EXPECT_OK(world.r);
    EXPECT_EQ(safes[0].n_rows, n);
    EXPECT(memcmp(numbers, safes[0].numbers, n * sizeof(numbers[0])) == 0);
}

TEST(what_a_window_holds_that_goes_is_handed_on)
{
    World world;

    safes_reset();
    number_column = "count";
    plan_a = "{" SIM "," SMALL "," TO_A ",\"steps\":[" WINDOW "]}";
    plan_b = "{" SIM "," SMALL "," TO_A ",\"steps\":[" OTHER "]}";
    world = run(plan_a, reload_ten_times);
    EXPECT_OK(world.r);
    EXPECT_EQ(sum_of(&safes[0]), world.stats.received - world.stats.made);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static int reload_r;
static char reload_why[1024];

static bool is_saving_asked; /* the reload is to find a save that waits for the sink */

SUSPENDS static void reload_once(Pipeline *pipeline)
{
    Err err = { 0 };

    wait_received(pipeline, 3000);
    while (is_saving_asked && !pipeline->channel.is_held && sl_yield() == 0)
        ;
    reload_r = pipeline_reload(pipeline, world_plan(plan_b));
    if (reload_r < 0)
        err_take(reload_r, &err);
    (void) snprintf(reload_why, sizeof(reload_why), "%s", err.text);
    safes[0].deliver_away = 0;
    wait_received(pipeline, 6000);
    pipeline_ask_to_stop(pipeline);
}

static void is_refused(const char *a, const char *b, const char *word)
{
    World world;
    size_t rows;

    plan_b = b;
    world = run(a, reload_once);
    EXPECT_OK(world.r);
    EXPECT(reload_r < 0);
    EXPECT(strstr(reload_why, word) != NULL);
    EXPECT_EQ(world.stats.reloads, 0);
    EXPECT_EQ(count_numbers(&rows), world.stats.received);
    EXPECT_EQ(rows, world.stats.received);
}

TEST(another_name_is_refused)
{
    safes_reset();
    is_refused("{" SIM "," SMALL "," TO_A "}", "{\"name\":\"other\"," SIM "," SMALL "," TO_A "}",
               "name");
}

TEST(a_sink_that_does_not_open_changes_nothing)
{
    safes_reset();
    safes[1].outcome = FEED_STOP;
    is_refused("{" SIM "," SMALL "," TO_A "}", "{" SIM "," SMALL "," TO_B "}",
               "the safe does not open");
    EXPECT_EQ(safes[0].opens, 1);
}

TEST(a_reload_that_is_refused_late_begins_sources_again)
{
    /* Rows wait for a sink that is away: there is no silence, and the source that was ended for
     * the new plan goes on. */
    safes_reset();
    safes[0].deliver_away = -1;
    is_refused("{" SIM "," SMALL ",\"drain\":\"1s\",\"retry_max\":\"100ms\"," TO_A "}",
               "{" SIM_TOO "," SMALL "," TO_A "}", "nothing was changed");
}

/* The same, while a save waits for that sink. Would catch: a reload that waits for the save. */
TEST(a_reload_during_a_save_is_refused_late_too)
{
    safes_reset();
    safes[0].deliver_away = -1;
    is_saving_asked = true;
    is_refused("{" SIM "," SMALL
               ",\"drain\":\"100ms\",\"retry_max\":\"100ms\",\"state\":\"reload2\","
               "\"save\":\"10ms\"," DEDUPES "," TO_A "}",
               "{" SIM_TOO "," SMALL ",\"state\":\"reload2\"," DEDUPES "," TO_A "}",
               "nothing was changed");
    is_saving_asked = false;
}

TEST(state_that_cannot_be_dealt_out_is_not_thrown_away)
{
    World world;

    safes_reset();
    number_column = "count";
    plan_b = "{" SIM "," SMALL "," TO_A ",\"consumers\":{\"count\":2,\"key\":[\"value\"]},"
             "\"steps\":[" WINDOW "]}";
    world = run("{" SIM "," SMALL "," TO_A ",\"steps\":[" WINDOW "]}", reload_once);
    EXPECT_OK(world.r);
    EXPECT(reload_r < 0);
    EXPECT(strstr(reload_why, "not in the key of step window") != NULL);
    EXPECT_EQ(sum_of(&safes[0]), world.stats.received - world.stats.made);
}

TEST(a_new_sink_that_is_away_is_waited_for)
{
    World world;
    size_t rows;

    safes_reset();
    safes[1].deliver_away = 2;
    plan_b = "{" SIM "," SMALL "," TO_B "}";
    world = run("{" SIM "," SMALL "," TO_A "}", reload_once);
    EXPECT_OK(world.r);
    EXPECT_OK(reload_r);
    EXPECT_EQ(count_numbers(&rows), world.stats.received);
    EXPECT_EQ(rows, world.stats.received);
}

/* ---- stops ----------------------------------------------------------------------------------- */

SUSPENDS static int reload_in_a_fiber(void *arg)
{
    int r = pipeline_reload(arg, world_plan(plan_b));

    if (r < 0)
        err_take(r, NULL);
    return 0;
}

SUSPENDS static void stop_in_the_middle(Pipeline *pipeline)
{
    sl_nursery *nursery = sl_nursery_open(.name = "reload");

    wait_received(pipeline, 3000);
    (void) sl_spawn(nursery, reload_in_a_fiber, pipeline, .name = "reload");
    for (int i = 0; i < 3; i++)
        EXPECT_OK(sl_yield());
    pipeline_ask_to_stop(pipeline);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
}

/* ---- dead letters ---------------------------------------------------------------------------- */

SUSPENDS static void reload_while_a_letter_is_written(Pipeline *pipeline)
{
    sl_nursery *nursery = sl_nursery_open(.name = "reload");

    wait_received(pipeline, 3000);
    safes[1].refuses = 2;
    safes[1].deliver_away = 0;
    while (!graves[0].is_busy && sl_yield() == 0)
        ;
    (void) sl_spawn(nursery, reload_in_a_fiber, pipeline, .name = "reload");
    while (!dead_has_ended(pipeline->dead) && sl_yield() == 0)
        ;
    for (int i = 0; i < 100; i++)
        EXPECT_OK(sl_yield());
    graves[0].is_slow = false;
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    wait_received(pipeline, 6000);
    pipeline_ask_to_stop(pipeline);
}

#define SPILLS                                                                          \
    "\"state\":\"reload1\",\"retry_max\":\"100ms\",\"channel\":{\"rows\":3000},"        \
    "\"batch\":{\"rows\":500},\"sinks\":[\"jsonl:a\",{\"to\":\"jsonl:b\",\"overflow\":" \
    "\"spill\"}]"

/* The rows of a sink that spills are not waited for: it may be burying one when the dead letters
 * are to go elsewhere. */
TEST(dead_letters_that_move_are_waited_for)
{
    World world;

    safes_reset();
    safes[1].deliver_away = -1;
    graves[0] = (Grave){ .is_slow = true };
    graves[1] = (Grave){ 0 };
    are_graves_asked = true;
    plan_b = "{" SIM "," SPILLS ",\"dead_letters\":\"jsonl:e\"}";
    world = run("{" SIM "," SPILLS ",\"dead_letters\":\"jsonl:d\"}",
                reload_while_a_letter_is_written);
    are_graves_asked = false;
    EXPECT_OK(world.r);
    EXPECT_EQ(world.stats.reloads, 1);
    EXPECT_EQ(safes[0].n_rows, world.stats.received);
    EXPECT_EQ(safes[1].n_rows + graves[0].n_rows + graves[1].n_rows, world.stats.received);
    EXPECT_EQ(graves[0].n_rows + graves[1].n_rows, 2);
}

TEST(a_stop_while_it_is_reloaded_loses_no_row)
{
    World world;
    size_t rows;

    safes_reset();
    plan_b = "{" SIM "," SMALL "," TO_B "}";
    world = run("{" SIM "," SMALL "," TO_A "}", stop_in_the_middle);
    EXPECT_OK(world.r);
    EXPECT_EQ(world.stats.written, world.stats.received);
    EXPECT_EQ(count_numbers(&rows), world.stats.received);
    EXPECT_EQ(rows, world.stats.received);
}

TEST_MAIN()
