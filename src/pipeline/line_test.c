/*
 * Several sinks, of which one is slow or away: who waits, what is lost, and for whom.
 *
 * Each vault stands for a database of its own; "jsonl:0.jsonl" is vault 0. The giver hands on
 * numbered rows, of one table or of several with columns of their own.
 */
#include "pipeline/pipeline_world_int.h"

#include <signal.h>
#include <unistd.h>
#include <sys/resource.h>

#define ROWS_MAX 100000
#define VAULTS   WORLD_SINKS

/* ---- vaults ---------------------------------------------------------------------------------- */

typedef struct Vault {
    uint8_t *times; /* how often row i is in */
    uint64_t rows;
    size_t last; /* the number of the row that came last */
    bool is_in_order;
    size_t width;
    uint64_t mark;
    Buf note;
    bool is_asked; /* for a deliver */
    bool is_broken;
    bool is_away, is_shut; /* for delivers, for opens */
} Vault;

static Vault vaults[VAULTS];
static bool are_exact;

static void vaults_reset(void)
{
    for (size_t i = 0; i < VAULTS; i++) {
        mem_free(vaults[i].times);
        buf_deinit(&vaults[i].note);
        vaults[i] = (Vault){ .times = mem_new_array(uint8_t, ROWS_MAX), .is_in_order = true };
    }
    are_exact = false;
}

SUSPENDS static int vault_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                               uint64_t *ret_mark, FeedVerdict *verdict)
{
    Vault *vault = &vaults[spec->target.data[0] - '0'];
    int r = sl_yield();

    (void) opts;
    if (r < 0)
        return r;
    if (vault->is_shut) {
        feed_verdict_say(verdict, "TEST", "the vault is shut");
        return FEED_RETRY;
    }
    *ret_state = vault;
    *ret_mark = vault->mark;
    return 0;
}

SUSPENDS static int vault_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    Vault *vault = state;
    int r = sl_yield();

    if (r < 0)
        return r;
    vault->is_asked = true;
    if (vault->is_broken) {
        feed_verdict_say(verdict, "TEST", "the vault is broken");
        return FEED_STOP;
    }
    if (vault->is_away) {
        feed_verdict_say(verdict, "TEST", "the vault is away");
        return FEED_RETRY;
    }
    for (size_t i = 0; i < lot->n_rows; i++) {
        vault->is_in_order = vault->is_in_order && world_number_of(lot, i) >= vault->last;
        vault->last = world_number_of(lot, i);
        vault->times[vault->last]++;
    }
    vault->rows += lot->n_rows;
    vault->width = lot->n_columns;
    world_keep_note(lot, &vault->mark, &vault->note);
    return 0;
}

SUSPENDS static int vault_finish(void *state, FeedVerdict *verdict)
{
    (void) state;
    (void) verdict;
    return sl_yield();
}

static Str vault_note(const void *state)
{
    return buf_str(&((const Vault *) state)->note);
}

static const FeedDriver plain_feed = WORLD_FEED(vault, false);
static const FeedDriver exact_feed = WORLD_FEED(vault, true);
static const SinkDriver plain_sink = { .name = "vault", .feed = &plain_feed };
static const SinkDriver exact_sink = { .name = "vault", .feed = &exact_feed };

/* ---- the giver ------------------------------------------------------------------------------- */

typedef struct Giver {
    size_t rows, per_parcel;
    size_t tables;             /* that the parcels are of in turn; 0: one */
    size_t columns;            /* that each table has for itself */
    bool does_grow;            /* each parcel brings a column */
    size_t wait_at;            /* it hands on no more until this is another number; 0: never */
    size_t for_slow;           /* rows at the end that wait for the slow vault */
    int64_t rest_ms;           /* behind each parcel */
    int64_t done_ns, ended_ns; /* when the last receipt was done, and the source; of sl_now_ns */
    uint64_t good, dropped, refused; /* of receipts */
} Giver;

static Giver giver;

static void giver_reset(size_t rows, size_t per_parcel)
{
    giver = (Giver){ .rows = rows, .per_parcel = per_parcel };
    vaults_reset();
    (void) unlink("dead.jsonl");
}

static void giver_on_done(Receipt *receipt, void *ctx)
{
    (void) ctx;
    giver.good += receipt->r == 0;
    giver.done_ns = sl_now_ns();
    giver.dropped += receipt->dropped;
    giver.refused += receipt->refused;
    receipt_free(receipt);
}

/* The table of parcel INDEX: "t" or "t0", "t1" …, with its columns. */
static Shape *table_of(Source *source, size_t index)
{
    size_t table = giver.tables > 0 ? index % giver.tables : 0, column;
    char name[64];
    Shape *shape;

    (void) snprintf(name, sizeof(name), giver.tables > 0 ? "t%zu" : "t", table);
    EXPECT_OK(shapes_get(source->shapes, str_from_c(name), &shape));
    EXPECT_OK(shape_add(shape, str_from_c("n"), ROW_INT, (Str){ 0 }, &column));
    for (size_t c = 0; c < (giver.does_grow ? index + 1 : giver.columns); c++) {
        (void) snprintf(name, sizeof(name), "c%zu_%zu", table, c);
        EXPECT_OK(shape_add(shape, str_from_c(name), ROW_INT, (Str){ 0 }, &column));
    }
    return shape;
}

static Parcel *make_parcel(Source *source, size_t from)
{
    Shape *shape = table_of(source, from / giver.per_parcel);
    Parcel *parcel = world_parcel(source, shape, giver_on_done);

    for (size_t n = from; n < MIN(from + giver.per_parcel, giver.rows); n++) {
        RowValue *row = parcel_add(parcel, &(RowPlace){ .position = n + 1 });

        row[0] = row_integer((int64_t) n);
        for (size_t c = 1; c < parcel->rows.n_columns && n % 2 == 0; c++)
            row[c] = row_integer((int64_t) c);
    }
    receipt_seal(parcel->receipt);
    return parcel;
}

SUSPENDS static int giver_run(Source *source)
{
    size_t from = source_start_position(source, str_from_c("numbers"));
    int r = 0;

    for (; r == 0 && from < giver.rows && !source_is_stopping(source); from += giver.per_parcel) {
        while (r == 0 && giver.wait_at > 0 && from >= giver.wait_at && !source_is_stopping(source))
            r = sl_yield();
        if (r == 0)
            r = source_put(source, make_parcel(source, from));
        if (r == 0 && giver.rest_ms > 0)
            r = sl_sleep_ms(giver.rest_ms);
    }
    giver.ended_ns = sl_now_ns();
    return r;
}

static const SourceDriver giver_source = { .name = "giver",
                                           .has_position = true,
                                           .run = giver_run };

/* ---- a world --------------------------------------------------------------------------------- */

void world_fit(Plan *plan)
{
    for (size_t i = 0; i < plan->n_sinks; i++)
        plan->sinks[i].spec.driver = are_exact ? &exact_sink : &plain_sink;
    plan->sources[0].driver = &giver_source;
}

#define SINKS(second)                                                                   \
    "{\"source\":[\"sim\"],\"dead_letters\":\"dead.jsonl\",\"batch\":{\"rows\":100},"   \
    "\"channel\":{\"rows\":1000},\"retry_max\":\"100ms\",\"sinks\":[\"jsonl:0.jsonl\"," \
    "{\"to\":\"jsonl:1.jsonl\",\"name\":\"slow\"," second "}]}"

/* Vault 0 has everything that it can have; then vault 1 comes back. */
SUSPENDS static void come_back_when_the_other_has_all(Pipeline *pipeline)
{
    (void) pipeline;
    while (vaults[0].rows < giver.rows - giver.for_slow && sl_yield() == 0)
        ;
    vaults[1].is_away = vaults[1].is_shut = false;
}

static void expect_all_in(const Vault *vault)
{
    for (size_t n = 0; n < giver.rows; n++)
        EXPECT_EQ(vault->times[n], 1);
}

/* ---- who waits ------------------------------------------------------------------------------- */

SUSPENDS static void come_back_when_all_is_spilled(Pipeline *pipeline)
{
    (void) pipeline;
    while (giver.good < 190 && sl_yield() == 0)
        ;
    vaults[0].is_away = vaults[1].is_away = false;
}

SUSPENDS static void hurry_soon(Pipeline *pipeline)
{
    for (int i = 0; i < 200; i++)
        EXPECT_OK(sl_yield());
    pipeline_hurry(pipeline);
}

TEST(a_sink_that_drops_what_comes_holds_nobody)
{
    World world;

    giver_reset(20000, 100);
    vaults[1].is_away = true;
    world = world_run(SINKS("\"overflow\":\"drop_new\""), come_back_when_the_other_has_all);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    EXPECT_EQ(world.stats.written, 20000);
    EXPECT_EQ(world.stats.dropped, 0); /* the other sink has them */
    EXPECT(world.sinks[1].dropped >= 19000);
    EXPECT_EQ(world.sinks[1].rows_in, 20000);
    EXPECT_EQ(world.sinks[1].rows_out + world.sinks[1].dropped, 20000);
    EXPECT_EQ(vaults[1].times[0], 1);
    EXPECT_EQ(giver.good, 200);
    EXPECT_EQ(giver.dropped, 0);
}

TEST(a_sink_that_drops_what_is_oldest_has_the_newest)
{
    World world;

    giver_reset(20000, 100);
    vaults[1].is_away = true;
    world = world_run(SINKS("\"overflow\":\"drop_old\""), come_back_when_the_other_has_all);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    EXPECT_EQ(world.sinks[1].rows_out + world.sinks[1].dropped, 20000);
    EXPECT(world.sinks[1].dropped >= 19000);
    EXPECT_EQ(vaults[1].last, 19999);
    EXPECT_EQ(giver.good, 200);
}

static PipelineState state_of(const Pipeline *pipeline)
{
    PipelineStats stats;

    pipeline_stats(pipeline, &stats);
    return stats.state;
}

SUSPENDS static void see_it_open_late(Pipeline *pipeline)
{
    while (vaults[0].rows < giver.wait_at && sl_yield() == 0)
        ;
    EXPECT_EQ(state_of(pipeline), PIPELINE_WAITING);
    vaults[1].is_shut = false;
    while (vaults[1].rows == 0 && sl_yield() == 0)
        ;
    EXPECT_EQ(state_of(pipeline), PIPELINE_RUNNING);
    giver.wait_at = 0;
}

/* It waited, and then it did not: the state must not stay behind. */
TEST(a_sink_that_opens_late_lets_the_pipeline_run)
{
    World world;

    giver_reset(20000, 100);
    giver.wait_at = 10000;
    vaults[1].is_shut = true;
    world = world_run(SINKS("\"overflow\":\"drop_new\""), see_it_open_late);
    EXPECT_EQ(world.r, 0);
}

SUSPENDS static void see_one_come_back(Pipeline *pipeline)
{
    while ((!vaults[0].is_asked || !vaults[1].is_asked) && sl_yield() == 0)
        ;
    vaults[0].is_away = false;
    while (vaults[0].rows == 0 && sl_yield() == 0)
        ;
    EXPECT_OK(sl_yield());
    EXPECT_EQ(state_of(pipeline), PIPELINE_WAITING);
    vaults[1].is_away = false;
    while (vaults[1].rows == 0 && sl_yield() == 0)
        ;
    EXPECT_OK(sl_yield());
    EXPECT_EQ(state_of(pipeline), PIPELINE_RUNNING);
    giver.wait_at = 0;
}

/* Of two sinks that are away one comes back: the pipeline still waits, and says so. */
TEST(a_pipeline_waits_until_all_sinks_are_back)
{
    World world;

    giver_reset(20000, 100);
    giver.wait_at = 1000;
    vaults[0].is_away = vaults[1].is_away = true;
    world = world_run(SINKS("\"overflow\":\"block\""), see_one_come_back);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    expect_all_in(&vaults[1]);
}

TEST(a_sink_that_drops_need_not_be_there_at_the_start)
{
    World world;

    giver_reset(20000, 100);
    vaults[1].is_shut = true;
    world = world_run(SINKS("\"overflow\":\"drop_old\""), come_back_when_the_other_has_all);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    EXPECT_EQ(vaults[1].last, 19999);
}

/* It is never there, and no row is for it. Would catch: an end that waits for it for ever. */
TEST(a_sink_that_has_nothing_is_not_waited_for_at_the_end)
{
    World world;

    giver_reset(2000, 100);
    vaults[1].is_shut = true;
    world = world_run(SINKS("\"overflow\":\"drop_new\",\"where\":\"n < 0\""), NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.state, PIPELINE_ENDED);
    expect_all_in(&vaults[0]);
}

/* A pipeline with steps that keep state saves at moments of silence, which a sink that is away
 * never gives. */
TEST(a_sink_that_drops_does_not_hold_the_saves_of_the_others)
{
    World world;

    giver_reset(20000, 100);
    vaults[1].is_away = true;
    world = world_run(
        "{\"source\":[\"sim\"],\"dead_letters\":\"dead.jsonl\",\"batch\":{\"rows\":100},"
        "\"channel\":{\"rows\":1000},\"retry_max\":\"100ms\",\"save\":\"10ms\","
        "\"state\":\"lines1\",\"step\":[\"dedupe: {within: 1h, key: [n]}\"],"
        "\"sinks\":[\"jsonl:0.jsonl\",{\"to\":\"jsonl:1.jsonl\","
        "\"overflow\":\"drop_new\"}]}",
        come_back_when_the_other_has_all);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    EXPECT_EQ(giver.good, 200);
}

SUSPENDS static void come_back_when_much_is_held(Pipeline *pipeline)
{
    while (!(pipeline->n_held >= LIMIT_PIPELINE_HELD && pipeline->channel.is_held) &&
           sl_yield() == 0)
        ;
    EXPECT(vaults[0].rows < giver.rows);
    vaults[1].is_away = false;
    giver.wait_at = 0;
}

/* Receipts wait for a save, which waits for the sink: there is an end to that. */
TEST(a_sink_that_drops_holds_the_others_before_memory_grows)
{
    World world;

    giver_reset(70000, 1);
    giver.wait_at = 60000;
    vaults[1].is_away = true;
    world = world_run(
        "{\"source\":[\"sim\"],\"dead_letters\":\"dead.jsonl\",\"batch\":{\"rows\":100},"
        "\"channel\":{\"rows\":1000},\"retry_max\":\"100ms\",\"save\":\"10ms\","
        "\"state\":\"lines9\",\"step\":[\"dedupe: {within: 1h, key: [n]}\"],"
        "\"sinks\":[\"jsonl:0.jsonl\",{\"to\":\"jsonl:1.jsonl\","
        "\"overflow\":\"drop_new\"}]}",
        come_back_when_much_is_held);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    EXPECT_EQ(giver.good, 70000);
}

SUSPENDS static void come_back_when_much_is_dropped(Pipeline *pipeline)
{
    PipelineStats stats;

    do {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    } while (stats.dropped < 10000);
    vaults[0].is_away = false;
}

SUSPENDS static void look_at_the_spill_and_come_back(Pipeline *pipeline)
{
    come_back_when_the_other_has_all(pipeline);
    EXPECT(pipeline_sink(pipeline, 1).spilled > 19000);
}

#define SPILLING(state, more)                                                                 \
    "{\"source\":[\"sim\"],\"dead_letters\":\"dead.jsonl\",\"batch\":{\"rows\":100},"         \
    "\"channel\":{\"rows\":1000},\"retry_max\":\"100ms\",\"save\":\"10ms\","                  \
    "\"state\":\"" state "\"," more "\"sinks\":[\"jsonl:0.jsonl\",{\"to\":\"jsonl:1.jsonl\"," \
    "\"overflow\":\"spill\"}]}"

TEST(a_sink_that_spills_holds_nobody_and_loses_nothing)
{
    World world;

    giver_reset(20000, 100);
    vaults[1].is_away = true;
    world = world_run(SPILLING("lines2", ""), look_at_the_spill_and_come_back);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    expect_all_in(&vaults[1]);
    EXPECT(vaults[1].is_in_order);
    EXPECT_EQ(world.stats.written, 20000);
    EXPECT_EQ(world.stats.in_flight, 0);
    EXPECT_EQ(world.sinks[1].spilled, 0);
    EXPECT_EQ(giver.good, 200);
}

TEST(a_sink_that_spills_does_so_behind_several_lanes)
{
    World world;

    giver_reset(20000, 100);
    are_exact = true;
    vaults[1].is_away = true;
    world = world_run(SPILLING("lines3", "\"consumers\":{\"count\":3,\"key\":[\"n\"]},"),
                      look_at_the_spill_and_come_back);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    expect_all_in(&vaults[1]);
    EXPECT_EQ(world.stats.written, 20000);
}

/* Some rows are for one sink, some for the other, some for both, and both are away: each row
 * stands in the books once. */
TEST(two_spills_and_the_books_are_even)
{
    World world;

    giver_reset(20000, 100);
    giver.for_slow = giver.rows; /* wait for nobody */
    vaults[0].is_away = vaults[1].is_away = true;
    world = world_run("{\"source\":[\"sim\"],\"batch\":{\"rows\":100},\"retry_max\":\"100ms\","
                      "\"save\":\"10ms\",\"state\":\"lines4\",\"sinks\":["
                      "{\"to\":\"jsonl:0.jsonl\",\"overflow\":\"spill\",\"where\":\"n % 3 < 2\"},"
                      "{\"to\":\"jsonl:1.jsonl\",\"overflow\":\"spill\",\"where\":\"n % 3 > 0\"},"
                      "{\"to\":\"jsonl:2.jsonl\",\"where\":\"n % 6 == 1\"}]}",
                      come_back_when_all_is_spilled);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.written, 20000);
    EXPECT_EQ(vaults[0].rows, 13334);
    EXPECT_EQ(vaults[1].rows, 13333);
    EXPECT_EQ(world.stats.made, 0);
}

SUSPENDS static void hurry_when_all_is_answered(Pipeline *pipeline)
{
    while (giver.good < 190 && sl_yield() == 0)
        ;
    pipeline_hurry(pipeline);
}

/* What is in the spill of a sink is there for the next process. */
TEST(a_spill_of_a_sink_survives_its_process)
{
    World world;

    giver_reset(20000, 100);
    for (int round = 0; round < 3; round++) {
        vaults[1].is_away = true;
        giver.good = 0;
        world = world_run(SPILLING("lines5", ""),
                          round == 0 ? hurry_when_all_is_answered : hurry_soon);
        EXPECT(round > 0 || world.sinks[1].spilled > 15000);
        EXPECT_EQ(world.stats.in_flight, world.stats.spilled_rows);
    }
    vaults[1].is_away = false;
    world = world_run(SPILLING("lines5", ""), NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.in_flight, 0);
    for (size_t n = 0; n < giver.rows; n++)
        EXPECT(vaults[0].times[n] >= 1 && vaults[1].times[n] >= 1);
}

/* It may end, or it may stand still: then this is cut off after a while. */
SUSPENDS static void come_back_when_the_disk_is_full(Pipeline *pipeline)
{
    PipelineStats stats;

    do {
        EXPECT_OK(sl_sleep_ms(1));
        pipeline_stats(pipeline, &stats);
    } while (!strstr(stats.about, "spill ") && stats.state != PIPELINE_ENDED);
    vaults[1].is_away = false;
    for (int i = 0; i < 3000 && stats.state != PIPELINE_ENDED; i++) {
        EXPECT_OK(sl_sleep_ms(10));
        pipeline_stats(pipeline, &stats);
    }
    if (stats.state != PIPELINE_ENDED)
        pipeline_hurry(pipeline);
}

/* A file may not grow: what is read of it makes room. A save, which waits until all is in the
 * spill, must not be what makes that room. */
TEST(a_spill_of_a_sink_makes_room_before_a_save)
{
    struct rlimit was, small;
    World world;

    giver_reset(80000, 100);
    giver.columns = 20;
    giver.for_slow = giver.rows;
    vaults[1].is_away = true;
    (void) signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){ .rlim_cur = 6 << 20, .rlim_max = was.rlim_max };
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    world = world_run(SPILLING("lines11", "\"step\":[\"dedupe: {key: [n], within: 1ms}\"],"),
                      come_back_when_the_disk_is_full);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &was), 0);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    expect_all_in(&vaults[1]);
}

SUSPENDS static void break_while_it_drains(Pipeline *pipeline)
{
    while (!pipeline->is_draining && sl_yield() == 0)
        ;
    vaults[0].is_broken = true;
}

SUSPENDS static void break_the_other_while_it_drains(Pipeline *pipeline)
{
    while (!pipeline->is_draining && sl_yield() == 0)
        ;
    vaults[1].is_broken = true;
}

/* The end of a drain is waited for by who leads: a failure must reach him there, too. */
TEST(a_pipeline_may_fail_while_its_spill_drains)
{
    World world;

    giver_reset(20000, 100);
    vaults[0].is_away = true;
    world = world_run(
        "{\"source\":[\"sim\"],\"dead_letters\":\"dead.jsonl\",\"batch\":{\"rows\":100},"
        "\"channel\":{\"rows\":1000,\"overflow\":\"spill\"},\"retry_max\":\"100ms\","
        "\"state\":\"lines7\",\"out\":[\"jsonl:0.jsonl\"]}",
        break_while_it_drains);
    EXPECT(world.r < 0);
    EXPECT_EQ(world.stats.state, PIPELINE_STOPPED);
}

/* The same for the spill of a sink. */
TEST(a_pipeline_may_fail_while_a_sink_s_spill_drains)
{
    World world;

    giver_reset(20000, 100);
    vaults[1].is_away = true;
    world = world_run(SPILLING("lines8", ""), break_the_other_while_it_drains);
    EXPECT(world.r < 0);
    EXPECT_EQ(world.stats.state, PIPELINE_STOPPED);
}

/* What no sink has is dropped in the books, and the producer hears of it. */
TEST(what_the_only_sink_loses_is_dropped)
{
    World world;

    giver_reset(20000, 100);
    vaults[0].is_away = true;
    world = world_run("{\"source\":[\"sim\"],\"batch\":{\"rows\":100},\"sinks\":[{\"to\":"
                      "\"jsonl:0.jsonl\",\"name\":\"only\",\"overflow\":\"drop_new\"}]}",
                      come_back_when_much_is_dropped);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.written + world.stats.dropped, 20000);
    EXPECT_EQ(world.stats.written, vaults[0].rows);
    EXPECT_EQ(world.stats.dropped, giver.dropped);
    EXPECT_EQ(world.stats.dropped_by.n, 1);
    EXPECT_C(world.dropped_by, "only full");
    EXPECT_EQ(giver.good, 200);
}

/* Its line is full to the brim, and nothing more comes for it. */
TEST(a_sink_that_wants_none_of_the_rows_is_not_waited_for)
{
    World world;

    giver_reset(20000, 100);
    vaults[1].is_away = true;
    world = world_run(SINKS("\"where\":\"n < 200\""), come_back_when_the_other_has_all);
    EXPECT_EQ(world.r, 0);
    expect_all_in(&vaults[0]);
    EXPECT_EQ(vaults[1].rows, 200);
}

/* A sink that keeps positions hears of rows that it does not want, without holding them. */
TEST(positions_of_rows_that_a_sink_does_not_want_hold_nobody)
{
    World world;

    giver_reset(20000, 100);
    giver.for_slow = 100;
    are_exact = true;
    vaults[1].is_away = true;
    world = world_run(SINKS("\"where\":\"n < 200 or n == 19950\""),
                      come_back_when_the_other_has_all);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(vaults[1].rows, 201);
    EXPECT(strstr(vaults[1].note.data, "20000")); /* all of the parcel with row 19950 */
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* Where nothing is said of the table, rows of all measurements go into one: there each line may
 * invent columns. */
TEST(rows_with_too_many_columns_are_dead_letters)
{
    World world;

    giver_reset(4000, 100);
    giver.tables = 4;
    giver.columns = 200;
    world = world_run("{\"source\":[\"sim\"],\"dead_letters\":\"dead.jsonl\",\"out\":"
                      "[\"jsonl:0.jsonl\"]}",
                      NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.written + world.stats.dead, 4000);
    EXPECT(world.stats.dead >= 500 && world.stats.dead <= 1000); /* every second row has values */
    EXPECT_EQ(giver.refused, world.stats.dead);
    EXPECT_EQ(vaults[0].rows, world.stats.written);
    EXPECT_EQ(vaults[0].width, LIMIT_SHAPE_COLUMNS);
    EXPECT_C(world.dead_by, "write");
    for (size_t n = 1; n < 4000; n += 2)
        EXPECT_EQ(vaults[0].times[n], 1); /* they have no value there */
}

/* A field that was never seen comes while parcels without it wait for their lane. */
TEST(several_lanes_and_a_table_that_grows)
{
    World world;

    giver_reset(6000, 100);
    giver.does_grow = true;
    world = world_run("{\"source\":[\"sim\"],\"dead_letters\":\"dead.jsonl\",\"out\":"
                      "[\"jsonl:0.jsonl\"],\"consumers\":{\"count\":3,\"key\":[\"n\"]}}",
                      NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.written, 6000);
    EXPECT_EQ(vaults[0].width, 61);
}

#define HOUR_MS (60 * 60 * 1000)

SUSPENDS static void come_back_after_an_hour(Pipeline *pipeline)
{
    (void) pipeline;
    EXPECT_OK(sl_sleep_ms(HOUR_MS));
    vaults[0].is_away = false;
}

/* A save that had to wait for a sink. Would catch: the next one twenty times as late, with all
 * producers waiting for it. */
TEST(a_sink_that_was_away_does_not_put_off_the_next_save)
{
    World world = { .json =
                        "{\"source\":[\"sim\"],\"state\":\"lines10\",\"out\":[\"jsonl:0.jsonl\"],"
                        "\"retry_max\":\"1m\",\"step\":[\"dedupe: {key: [n], within: 1h}\"]}",
                    .during = come_back_after_an_hour,
                    .stop_ms = -1 };

    giver_reset(200, 100);
    giver.rest_ms = 2 * HOUR_MS;
    vaults[0].is_away = true;
    EXPECT_OK(sl_run(world_main, &world, .loop = SL_LOOP_SIM));
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(giver.good, 2);
    EXPECT(giver.ended_ns - giver.done_ns >
           HOUR_MS * NS_PER_MS); /* long before the source rested */
}

/* While the rows of the first parcel are in the steps, nobody writes to their table yet. */
SUSPENDS static void save_while_a_table_comes(Pipeline *pipeline)
{
    int64_t began_ns;

    while (!pipeline->lanes[0].is_busy && sl_sleep_ns(1000) == 0)
        ;
    EXPECT(!pipeline->writers[0]);
    began_ns = sl_now_ns();
    EXPECT_OK(save_now(pipeline));
    EXPECT(sl_now_ns() - began_ns < 60 * NS_PER_S); /* of a clock that knows no busy machine */
    EXPECT_EQ(vaults[1].rows, 100);
}

/* Would catch: a save, or a reload, that waits for as long as a batch of a new table may. */
TEST(a_table_that_comes_during_a_save_does_not_hold_it)
{
    World world = { .json =
                        "{\"source\":[\"sim\"],\"state\":\"lines20\",\"save\":\"1h\",\"batch\":{"
                        "\"age\":\"1h\"},\"out\":[\"sqlite:1.db?table={measurement}\"],\"step\":["
                        "\"dedupe: {key: [n], within: 1h}\",\"jq: .\"]}",
                    .during = save_while_a_table_comes,
                    .stop_ms = -1 };

    giver_reset(100, 100);
    giver.tables = 1;
    EXPECT_OK(sl_run(world_main, &world, .loop = SL_LOOP_SIM));
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.written, 100);
}

TEST_MAIN()
