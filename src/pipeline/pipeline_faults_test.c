/*
 * Pipelines that are cut off at bad moments: in the middle of a spill, while a
 * dead letter cannot be written, with a commit that has to be tried again.
 *
 * The giver is a source that hands on numbered rows, and keeps what its receipts said; the store is
 * a sink that counts how often it has each of them.
 */
#include "pipeline/pipeline_world_int.h"

#include <fcntl.h>
#include <glob.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define ROWS_MAX 200000

/* ---- the store ------------------------------------------------------------------------------- */

typedef struct Store {
    uint8_t *times;   /* how often row i is in */
    bool *is_refused; /* rows that it refuses, for ever */
    uint64_t mark;
    Buf note;
    uint64_t rows, lots;
    uint64_t kill_at; /* commits; then the pipeline is hurried, and hears nothing of the last */
    bool is_away;
    int finish_retries; /* of the next feed_finish */
    int64_t linger_ms;  /* a deliver cannot be cut off for so long */
    bool is_plain;      /* it keeps no notes */
    const FeedLot *waiting;
} Store;

static Store store;

static void store_reset(void)
{
    mem_free(store.times);
    mem_free(store.is_refused);
    buf_deinit(&store.note);
    store = (Store){ .times = mem_new_array(uint8_t, ROWS_MAX),
                     .is_refused = mem_new_array(bool, ROWS_MAX) };
}

static void keep(const FeedLot *lot)
{
    for (size_t i = 0; i < lot->n_rows; i++) {
        size_t n = world_number_of(lot, i);

        if (store.is_refused[n])
            continue;
        store.times[n]++;
        store.rows++;
    }
    world_keep_note(lot, &store.mark, &store.note);
    store.lots++;
}

SUSPENDS static int store_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                               uint64_t *ret_mark, FeedVerdict *verdict)
{
    (void) spec;
    (void) opts;
    (void) verdict;
    *ret_state = &store;
    *ret_mark = store.mark;
    return 0;
}

SUSPENDS static int linger(void *arg)
{
    return sl_sleep_ms(*(const int64_t *) arg);
}

static size_t find_refused(const FeedLot *lot, FeedVerdict *verdict)
{
    size_t n = 0;

    if (!verdict->refused)
        verdict->refused = mem_new_array(FeedRefusal, FEED_REFUSALS);
    for (size_t i = 0; i < lot->n_rows; i++) {
        if (store.is_refused[world_number_of(lot, i)])
            verdict->refused[n++] = (FeedRefusal){ .row = i, .code = "BAD" };
    }
    verdict->n_refused = n;
    return n;
}

SUSPENDS static int store_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    int r = sl_yield();

    (void) state;
    if (store.linger_ms > 0)
        (void) sl_shielded(2 * store.linger_ms, linger, &store.linger_ms);
    if (r < 0)
        return r;
    if (store.is_away) {
        feed_verdict_say(verdict, "TEST", "the store is shut");
        return FEED_RETRY;
    }
    if (find_refused(lot, verdict) > 0) {
        store.waiting = lot;
        return FEED_REFUSED;
    }
    keep(lot);
    if (store.lots != store.kill_at)
        return 0;
    pipeline_hurry(world_pipeline);
    return sl_yield();
}

SUSPENDS static int store_finish(void *state, FeedVerdict *verdict)
{
    (void) state;
    if (store.finish_retries > 0) {
        store.finish_retries--;
        feed_verdict_say(verdict, "TEST", "the connection was lost");
        return FEED_RETRY;
    }
    keep(store.waiting);
    return sl_yield();
}

static Str store_note(const void *state)
{
    (void) state;
    return buf_str(&store.note);
}

static const FeedDriver store_feed = WORLD_FEED(store, true);
static const FeedDriver plain_feed = WORLD_FEED(store, false);
static const SinkDriver plain_sink = { .name = "store", .feed = &plain_feed };
static const SinkDriver store_sink = { .name = "store", .feed = &store_feed };

/* ---- the grave: a sink of dead letters ------------------------------------------------------- */

typedef struct Grave {
    uint8_t *times; /* how often the letter of row i is in: by its position */
    int stops;      /* of the next delivers */
    bool is_away;
} Grave;

static Grave grave;

static void grave_reset(void)
{
    mem_free(grave.times);
    grave = (Grave){ .times = mem_new_array(uint8_t, ROWS_MAX) };
}

SUSPENDS static int grave_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    (void) state;
    if (grave.is_away || grave.stops > 0) {
        grave.stops -= grave.stops > 0;
        feed_verdict_say(verdict, "TEST", "no letters today");
        return grave.is_away ? FEED_RETRY : FEED_STOP;
    }
    for (size_t i = 0; i < lot->n_rows; i++) {
        for (size_t c = 0; c < lot->n_columns; c++) {
            if (str_eq_c(lot->columns[c].name, "position") && lot->rows[i][c].integer > 0)
                grave.times[lot->rows[i][c].integer - 1]++;
        }
    }
    return sl_yield();
}

static const FeedDriver grave_feed = { .open = store_open,
                                       .deliver = grave_deliver,
                                       .finish = store_finish,
                                       .note = store_note,
                                       .close = world_close };
static const SinkDriver grave_sink = { .name = "grave", .feed = &grave_feed };

/* ---- the giver ------------------------------------------------------------------------------- */

typedef struct Giver {
    size_t rows; /* in all */
    size_t per_parcel;
    size_t bad_every;  /* rows that cannot be read; 0: none */
    size_t long_from;  /* from this row on each has a long text; 0: none */
    int64_t linger_ms; /* after its end, whatever is asked */
    size_t good, bad;  /* receipts */
    uint64_t refused;  /* by receipts */
} Giver;

static Giver giver;

static void giver_on_done(Receipt *receipt, void *ctx)
{
    (void) ctx;
    giver.good += receipt->r == 0;
    giver.bad += receipt->r < 0;
    giver.refused += receipt->refused;
    receipt_free(receipt);
}

#define LONG_BYTES (1 << 20) /* LIMIT_DECODE_LINE_BYTES */

static Str long_text(void)
{
    static char text[LONG_BYTES];

    memset(text, 'x', sizeof(text));
    return str_from(text, sizeof(text));
}

static Parcel *make_parcel(Source *source, Shape *shape, size_t from)
{
    Parcel *parcel = world_parcel(source, shape, giver_on_done);
    Str text = giver.long_from > 0 ? long_text() : (Str){ 0 };

    for (size_t n = from; n < MIN(from + giver.per_parcel, giver.rows); n++) {
        RowValue *row = parcel_add(parcel, &(RowPlace){ .position = n + 1 });

        row[0] = row_integer((int64_t) n);
        row[1] = row_integer((int64_t) (n % 7));
        if (giver.long_from > 0)
            row[2] = row_text(str_sub(text, 0, n >= giver.long_from ? text.len : 1));
        if (giver.bad_every > 0 && n % giver.bad_every == giver.bad_every - 1)
            parcel_refuse(parcel, parcel_count(parcel) - 1, "parse", "bad", "it is bad");
    }
    receipt_seal(parcel->receipt);
    return parcel;
}

SUSPENDS static int giver_run(Source *source)
{
    size_t from = source_start_position(source, str_from_c("numbers")), column;
    Shape *shape;
    int r = shapes_get(source->shapes, str_from_c("t"), &shape);

    if (r == 0)
        r = shape_add(shape, str_from_c("n"), ROW_INT, (Str){ 0 }, &column);
    if (r == 0)
        r = shape_add(shape, str_from_c("key"), ROW_INT, (Str){ 0 }, &column);
    if (r == 0 && giver.long_from > 0)
        r = shape_add(shape, str_from_c("text"), ROW_TEXT, (Str){ 0 }, &column);
    for (; r == 0 && from < giver.rows && !source_is_stopping(source); from += giver.per_parcel)
        r = source_put(source, make_parcel(source, shape, from));
    if (giver.linger_ms > 0)
        (void) sl_shielded(2 * giver.linger_ms, linger, &giver.linger_ms);
    return r;
}

static const SourceDriver giver_source = { .name = "giver",
                                           .has_position = true,
                                           .run = giver_run };

static void giver_reset(size_t rows, size_t per_parcel)
{
    giver = (Giver){ .rows = rows, .per_parcel = per_parcel };
    store_reset();
    grave_reset();
}

/* ---- a world --------------------------------------------------------------------------------- */

void world_fit(Plan *plan)
{
    for (size_t i = 0; i < plan->n_sinks; i++)
        plan->sinks[i].spec.driver = store.is_plain ? &plain_sink : &store_sink;
    plan->sources[0].driver = &giver_source;
    plan->dead_letters.spec.driver = &grave_sink;
}

/* Each row once in the store, or among the dead letters. */
static void expect_each_once(void)
{
    size_t missing = 0, twice = 0;

    for (size_t n = 0; n < giver.rows; n++) {
        missing += store.times[n] == 0 && grave.times[n] == 0;
        twice += store.times[n] > 1;
    }
    EXPECT_EQ(missing, 0);
    EXPECT_EQ(twice, 0);
}

/* ---- several lanes --------------------------------------------------------------------------- */

TEST(killed_with_several_lanes_each_row_is_in_once)
{
    static const char json[] = "{\"source\":[\"sim\"],\"out\":[\"jsonl:x.jsonl\"],"
                               "\"step\":[\"filter: n >= 0\"],\"batch\":{\"rows\":300},"
                               "\"consumers\":{\"count\":3,\"key\":[\"key\"]}}";
    size_t kills = 0;

    giver_reset(30000, 1000);
    for (int round = 0; round < 20; round++) {
        store.kill_at = store.lots + 2 + (uint64_t) round % 5;
        kills += world_run(json, NULL).r == -ECANCELED;
    }
    store.kill_at = 0;
    EXPECT_EQ(world_run(json, NULL).r, 0);
    EXPECT(kills >= 3);
    expect_each_once();
}

/* ---- the spill ------------------------------------------------------------------------------- */

#define SPILL_JSON                                                                \
    "{\"source\":[\"sim\"],\"out\":[\"jsonl:x.jsonl\"],\"batch\":{\"rows\":500}," \
    "\"channel\":{\"rows\":2000,\"overflow\":\"spill\"%s},\"save\":\"10ms\","     \
    "\"retry_max\":\"100ms\",\"state\":\"%s\"}"

SUSPENDS static void hurry_with_much_in_the_spill(Pipeline *pipeline)
{
    PipelineStats stats;

    do {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    } while ((stats.spilled_rows < 5000 || stats.spill_bytes < 100000) &&
             stats.state != PIPELINE_ENDED);
    pipeline_hurry(pipeline);
}

/* What was between the channel and the sink, before the first row that was spilled. */
TEST(a_spill_hides_no_row_that_came_before_it)
{
    char json[600];

    giver_reset(20000, 500);
    (void) snprintf(json, sizeof(json), SPILL_JSON, "", "faults1");
    store.is_away = true;
    (void) world_run(json, hurry_with_much_in_the_spill);
    store.is_away = false;
    EXPECT_EQ(world_run(json, NULL).r, 0);
    expect_each_once();
}

/* A refused row of a parcel in the spill, whose dead letter was not written when it was killed. */
TEST(a_spill_hides_no_dead_letter)
{
    char json[600];

    giver_reset(20000, 500);
    giver.bad_every = 499;
    (void) snprintf(json, sizeof(json), SPILL_JSON, "", "faults2");
    store.is_away = true;
    grave.is_away = true;
    (void) world_run(json, hurry_with_much_in_the_spill);
    store.is_away = false;
    grave.is_away = false;
    EXPECT_EQ(world_run(json, NULL).r, 0);
    expect_each_once();
}

/* Cut off again and again: with the sink away, in the middle of commits, as the spill is read. */
static void kill_often(const char *json)
{
    giver_reset(60000, 500);
    giver.bad_every = 499;
    for (int round = 0; round < 12; round++) {
        store.is_away = round % 3 == 0;
        grave.is_away = round % 2 == 0;
        store.kill_at = round % 3 == 1 ? store.lots + 5 : 0;
        (void) world_run(json, round % 3 == 1 ? NULL : hurry_with_much_in_the_spill);
    }
    store.kill_at = 0;
    store.is_away = grave.is_away = false;
    EXPECT_EQ(world_run(json, NULL).r, 0);
    expect_each_once();
}

TEST(a_spill_that_is_killed_often_has_each_row_once)
{
    char json[600];

    (void) snprintf(json, sizeof(json), SPILL_JSON, "", "faults5");
    kill_often(json);
}

TEST(a_spill_before_several_lanes_has_each_row_once)
{
    char json[600];

    (void) snprintf(json, sizeof(json), SPILL_JSON,
                    "},\"consumers\":{\"count\":3,\"key\":[\"key\"]", "faults6");
    kill_often(json);
}

SUSPENDS static void hurry_when_more_is_in_the_spill(Pipeline *pipeline)
{
    PipelineStats stats;
    uint64_t bytes;

    pipeline_stats(pipeline, &stats);
    bytes = stats.spill_bytes;
    while (stats.spill_bytes == bytes && stats.state != PIPELINE_ENDED) {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    }
    pipeline_hurry(pipeline);
}

SUSPENDS static void come_back_when_all_is_answered(Pipeline *pipeline)
{
    PipelineStats stats = { 0 };

    while (!pipeline->is_draining && stats.state != PIPELINE_STOPPED && sl_yield() == 0)
        pipeline_stats(pipeline, &stats);
    store.is_away = false;
}

/* Would catch: a reader that looks again at the segment it reads in after others were trimmed. */
TEST(a_spill_is_trimmed_while_it_is_read)
{
    char json[600];

    giver_reset(60000, 50);
    (void) snprintf(json, sizeof(json), SPILL_JSON, "", "faults7");
    store.is_away = true;
    for (giver.rows = 4000; giver.rows < 60000; giver.rows += 2000)
        (void) world_run(json, hurry_when_more_is_in_the_spill); /* each begins a segment */
    store.is_away = false;
    EXPECT_EQ(world_run(json, NULL).r, 0);
    expect_each_once();
}

/* Would catch: a parcel that is put into the spill, and that nobody reads from it again. */
TEST(a_spill_takes_whatever_a_source_brings)
{
    char json[600];

    giver_reset(400, 80);
    giver.long_from = 320; /* the last parcel */
    (void) snprintf(json, sizeof(json),
                    "{\"source\":[\"sim\"],\"out\":[\"jsonl:x.jsonl\"],\"batch\":{\"rows\":10},"
                    "\"channel\":{\"rows\":1,\"overflow\":\"spill\"},\"retry_max\":\"100ms\","
                    "\"state\":\"faults8\"}");
    store.is_away = true;
    EXPECT_EQ(world_run(json, come_back_when_all_is_answered).r, 0);
    expect_each_once();
}

/* A file that was not deleted when others behind it were, as a stop in the middle may leave it: it
 * is done with. */
TEST(a_piece_of_a_spill_that_was_left_behind_stops_nothing)
{
    glob_t files = { 0 };
    const char *first, *last;
    char json[600];

    giver_reset(60000, 50);
    (void) snprintf(json, sizeof(json), SPILL_JSON, "", "faults9");
    store.is_away = true;
    for (giver.rows = 4000; giver.rows < 12000; giver.rows += 2000)
        (void) world_run(json, hurry_when_more_is_in_the_spill); /* each begins a segment */
    REQUIRE(glob("faults9/*.spill/*", 0, NULL, &files) == 0 && files.gl_pathc >= 3);
    first = files.gl_pathv[0];
    last = files.gl_pathv[files.gl_pathc - 1];
    EXPECT(link(first, "kept-first") == 0 && link(last, "kept-last") == 0);
    store.is_away = false;
    EXPECT_EQ(world_run(json, NULL).r, 0);
    EXPECT(rename("kept-first", first) == 0 && rename("kept-last", last) == 0);
    giver.rows += 2000;
    EXPECT_EQ(world_run(json, NULL).r, 0);
    expect_each_once();
    globfree(&files);
}

/* It may end, or it may stand still: then this is cut off after a while. */
SUSPENDS static void wait_a_while(Pipeline *pipeline)
{
    PipelineStats stats;

    for (int i = 0; i < 6000; i++) {
        EXPECT_OK(sl_sleep_ms(10));
        pipeline_stats(pipeline, &stats);
        if (stats.state == PIPELINE_ENDED)
            return;
    }
    pipeline_hurry(pipeline);
}

TEST(a_small_spill_is_emptied_and_goes_on)
{
    char json[600];

    giver_reset(100000, 1000);
    (void) snprintf(json, sizeof(json), SPILL_JSON, ",\"spill_bytes\":1048576", "faults3");
    EXPECT_EQ(world_run(json, wait_a_while).r, 0);
    EXPECT_EQ(store.rows, 100000);
}

/* ---- no descriptors -------------------------------------------------------------------------- */

/* No file can be opened until the pipeline says that it waits for WHAT. */
SUSPENDS static void open_no_file_for_a_while(Pipeline *pipeline, const char *what)
{
    struct rlimit was, none;
    PipelineStats stats = { 0 };

    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = (struct rlimit){ .rlim_cur = 3, .rlim_max = was.rlim_max };
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    store.is_away = false;
    do {
        EXPECT_OK(sl_sleep_ms(1));
        pipeline_stats(pipeline, &stats);
    } while ((stats.state != PIPELINE_PAUSED || !strstr(stats.about, what)) &&
             stats.state != PIPELINE_ENDED && stats.state != PIPELINE_STOPPED);
    EXPECT_EQ(stats.state, PIPELINE_PAUSED);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
}

SUSPENDS static void open_no_state_for_a_while(Pipeline *pipeline)
{
    open_no_file_for_a_while(pipeline, "state: ");
}

/* When what was read from the spill waits for the sink, and there is more of it. */
SUSPENDS static void open_no_spill_for_a_while(Pipeline *pipeline)
{
    PipelineStats stats;

    do {
        EXPECT_OK(sl_yield());
        pipeline_stats(pipeline, &stats);
    } while (stats.channel_rows < stats.channel_rows_max && stats.state != PIPELINE_STOPPED);
    open_no_file_for_a_while(pipeline, "spill ");
}

TEST(a_spill_that_cannot_be_read_now_is_read_later)
{
    char json[600];

    giver_reset(60000, 50);
    (void) snprintf(json, sizeof(json), SPILL_JSON, "", "faults12");
    store.is_away = true;
    for (giver.rows = 4000; giver.rows < 20000; giver.rows += 2000)
        (void) world_run(json, hurry_when_more_is_in_the_spill); /* each begins a segment */
    EXPECT_EQ(world_run(json, open_no_spill_for_a_while).r, 0);
    expect_each_once();
}

/* Would catch: a pipeline that stops for good at what is over in a moment. */
TEST(a_state_that_cannot_be_saved_now_is_saved_later)
{
    static const char json[] = "{\"source\":[\"sim\"],\"out\":[\"jsonl:x.jsonl\"],"
                               "\"save\":\"10ms\",\"retry_max\":\"100ms\",\"state\":\"faults10\"}";

    giver_reset(5000, 100);
    store.is_plain = true;
    EXPECT_EQ(world_run(json, open_no_state_for_a_while).r, 0);
    EXPECT_EQ(world_run(json, NULL).r, 0);
    expect_each_once();
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);

    EXPECT(fd >= 0 && close(fd) == 0);
}

/* A process that is killed while it saves leaves a file, of up to LIMIT_STATE_BYTES. */
TEST(what_was_half_written_is_cleared_away)
{
    static const char json[] = "{\"name\":\"t\",\"source\":[\"sim\"],\"out\":[\"jsonl:x.jsonl\"],"
                               "\"state\":\"faults11\"}";

    giver_reset(1000, 100);
    EXPECT_EQ(mkdir("faults11", 0700), 0);
    touch("faults11/t.state.0123456789abcdef.tmp");
    touch("faults11/t2.state.0123456789abcdef.tmp");
    touch("faults11/t.state.mine.tmp");
    EXPECT_EQ(world_run(json, NULL).r, 0);
    EXPECT(access("faults11/t.state", F_OK) == 0);
    EXPECT(access("faults11/t.state.0123456789abcdef.tmp", F_OK) < 0);
    EXPECT(access("faults11/t2.state.0123456789abcdef.tmp", F_OK) == 0);
    EXPECT(access("faults11/t.state.mine.tmp", F_OK) == 0);
}

/* ---- dead letters ---------------------------------------------------------------------------- */

/* The pipeline fails, its source takes a while to end, and meanwhile it is time to save. */
TEST(what_a_failure_gives_back_is_not_saved_as_done)
{
    static const char json[] = "{\"source\":[\"sim\"],\"out\":[\"jsonl:x.jsonl\"],"
                               "\"batch\":{\"rows\":100},\"save\":\"10ms\",\"state\":\"faults4\"}";

    giver_reset(5000, 100);
    giver.bad_every = 1;
    store.is_plain = true;
    giver.linger_ms = 200;
    grave.stops = 1;
    EXPECT_EQ(world_run(json, NULL).r, -ERR_CONFLICT);
    giver.linger_ms = 0;
    EXPECT_EQ(world_run(json, NULL).r, 0);
    expect_each_once();
}

TEST(a_commit_that_is_tried_again_refuses_a_row_once)
{
    World world;

    giver_reset(1000, 1000);
    store.is_refused[17] = store.is_refused[18] = true;
    store.finish_retries = 2;
    world = world_run("{\"source\":[\"sim\"],\"out\":[\"jsonl:x.jsonl\"]}", NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.dead, 2);
    EXPECT_EQ(giver.refused, 2);
    EXPECT_EQ(giver.good, 1);
}

TEST(a_row_that_two_sinks_refuse_is_refused_once)
{
    World world;

    giver_reset(1000, 1000);
    store.is_refused[17] = store.is_refused[18] = true;
    world = world_run("{\"source\":[\"sim\"],\"out\":[\"jsonl:x.jsonl\",\"jsonl:y.jsonl\"]}", NULL);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(world.stats.dead, 2);
    EXPECT_EQ(giver.refused, 2);
}

/* ---- stops ----------------------------------------------------------------------------------- */

TEST(a_stop_waits_for_a_sink_that_cannot_be_cut_off)
{
    World world = { .json = "{\"source\":[\"sim\"],\"out\":[\"jsonl:x.jsonl\"]}", .stop_ms = 1 };

    giver_reset(1000, 1000);
    store.linger_ms = 11000;
    EXPECT_OK(sl_run(world_main, &world, .loop = SL_LOOP_SIM));
    EXPECT_EQ(giver.good + giver.bad, 1);
}

TEST_MAIN()
