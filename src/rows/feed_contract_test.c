/*
 * The contract of a feed (F1–F5 in feed.h), run against every feed the build finds.
 *
 * Each rule is a body that runs once for each feed. What others would see is read by programs of
 * the test's own, while the feed is open. Where a feed cannot be tried here (no server, no reader),
 * the test says so and counts as skipped.
 */
#include "base/arena.h"
#include "base/rand.h"
#include "base/test.h"
#include "gen/sinks.h"
#include "rows/feed.h"
#include "rows/feed_place_test.h"
#include "rows/pg_cluster_test.h"

#include <sluice/rt.h>

#include <fcntl.h>
#include <sys/resource.h>

enum { LOT = 50, LOTS = 40 };

typedef void (*Body)(const FeedPlace *place);

/* ---- delivering ------------------------------------------------------------------------------ */

/* Rows as the test makes them: id, name, and further columns. */
typedef struct Rows {
    RowColumn columns[8];
    size_t n_columns;
    RowValue *values;
    const RowValue **rows;
    char (*names)[24];
    size_t n;
} Rows;

static void rows_deinit(Rows *rows)
{
    mem_free(rows->values);
    mem_free(rows->rows);
    mem_free(rows->names);
    *rows = (Rows){ 0 };
}
DEFINE_AUTO_VALUE(Rows, rows_deinit);

/* Rows FROM … FROM+N-1 with the columns id, name, x2, x3 …: N_COLUMNS of them. */
static void rows_init(Rows *rows, unsigned from, size_t n, size_t n_columns)
{
    static const char *const names[] = { "id", "name", "x2", "x3", "x4", "x5" };

    *rows = (Rows){ .n = n,
                    .n_columns = n_columns,
                    .values = mem_new_array(RowValue, n * n_columns),
                    .rows = mem_zalloc_array(n, sizeof(RowValue *)),
                    .names = mem_zalloc_array(n, 24) };
    for (size_t c = 0; c < n_columns; c++)
        rows->columns[c] = (RowColumn){ .name = str_from_c(names[c]),
                                        .kind = c == 1 ? ROW_TEXT : ROW_INT };
    for (size_t i = 0; i < n; i++) {
        RowValue *row = rows->values + i * n_columns;

        (void) snprintf(rows->names[i], 24, "n%u", from + (unsigned) i);
        row[0] = row_integer(from + i);
        row[1] = row_text(str_from_c(rows->names[i]));
        for (size_t c = 2; c < n_columns; c++)
            row[c] = row_integer((int64_t) (10 * c + (from + i) % 10));
        rows->rows[i] = row;
    }
}

static FeedLot lot_of(const Rows *rows, uint64_t mark, const char *note)
{
    return (FeedLot){ .columns = rows->columns,
                      .n_columns = rows->n_columns,
                      .rows = rows->rows,
                      .n_rows = rows->n,
                      .mark = mark,
                      .note = str_from_c(note) };
}

static FeedVerdict verdict; /* of the last call */

static int open_place(Feed **ret_feed, const FeedPlace *place, const char *options, FeedOpts opts,
                      uint64_t *ret_mark)
{
    static SinkSpec spec;
    static Arena kept;
    char text[600];
    int r;

    (void) snprintf(text, sizeof(text), "%s%s%s", place->text,
                    options[0] == '\0'         ? ""
                    : strchr(place->text, '?') ? "&"
                                               : "?",
                    options);
    arena_deinit(&kept);
    r = sink_spec_parse(&kept, str_from_c(text), &spec);
    return r < 0 ? r : feed_open(ret_feed, &spec, &opts, ret_mark, &verdict);
}

static int deliver(Feed *feed, unsigned from, size_t n, size_t n_columns, uint64_t mark)
{
    AUTO(rows_deinit) Rows rows = { 0 };
    FeedLot lot;

    rows_init(&rows, from, n, n_columns);
    lot = lot_of(&rows, mark, "source=1");
    return feed_deliver(feed, &lot, &verdict);
}

#define EXPECT_DELIVERED(call)                                                           \
    do {                                                                                 \
        int r_ = (call);                                                                 \
        if (r_ != 0)                                                                     \
            test_fail(__FILE__, __LINE__, "%s: %s: got %d (%s)", place->text, #call, r_, \
                      r_ < 0 ? err_text(r_) : verdict.text);                             \
    } while (0)

#define EXPECT_OUTCOME(call, want)                                                                \
    do {                                                                                          \
        int r_ = (call);                                                                          \
        if (r_ != (want) || !verdict.text[0])                                                     \
            test_fail(__FILE__, __LINE__, "%s: %s: got %d, want %d (%s)", place->text, #call, r_, \
                      (want), r_ < 0 ? err_text(r_) : verdict.text);                              \
    } while (0)

/* Exactly the rows FROM … TO-1 are there, in order. */
static void expect_rows_at(int line, const FeedPlace *place, unsigned from, unsigned to)
{
    AUTO(buf_deinit) Buf want = { 0 };
    AUTO(buf_deinit) Buf seen = { 0 };

    for (unsigned i = from; i < to; i++)
        buf_printf(&want, "%u,n%u\n", i, i);
    if (!feed_place_see(place, &seen) && from < to)
        test_fail(__FILE__, line, "%s: nothing is there", place->text);
    else if (!str_eq(buf_str(&seen), buf_str(&want)))
        test_fail(__FILE__, line, "%s: rows %u to %u wanted, got %zu bytes: %.60s … %.60s",
                  place->text, from, to, seen.len, seen.len ? seen.data : "",
                  seen.len > 60 ? seen.data + seen.len - 60 : "");
}
#define expect_rows(place, from, to) expect_rows_at(__LINE__, (place), (from), (to))

/* ---- running a body for each feed ------------------------------------------------------------ */

typedef struct Round {
    Body body;
    FeedPlace place;
} Round;

static int run_body(void *arg)
{
    Round *round = arg;

    round->body(&round->place);
    return 0;
}

static void for_each_feed(Body body)
{
    for (size_t i = 0; i < sinks_count; i++) {
        Round round = { .body = body };

        if (!feed_place_make(&round.place, sinks_table[i]))
            continue;
        EXPECT_OK(sl_run(run_body, &round, .loop = SL_LOOP_EPOLL, .stall_ms = -1));
    }
}

TEST(feeds_that_can_be_tried_here)
{
    if (chdir(test_dir()) < 0)
        test_skip("no folder");
    feed_places_start();
    for (size_t i = 0; i < sinks_count; i++) {
        FeedPlace place;

        if (sinks_table[i]->feed && !feed_place_make(&place, sinks_table[i]))
            (void) printf("    %s cannot be tried here: %s\n", sinks_table[i]->name,
                          feed_place_why_not(sinks_table[i]));
    }
}

/* ---- F1, F5 ---------------------------------------------------------------------------------- */

static void f1_body(const FeedPlace *place)
{
    Feed *feed = NULL;
    uint64_t mark = 77;
    unsigned at = 0;

    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("f1") }, &mark));
    REQUIRE(feed);
    EXPECT_EQ(mark, 0);
    EXPECT_EQ(feed_is_exact(feed), place->driver->feed->is_exact);
    for (unsigned n = 1; n <= 10000; n = n * 3 + 1) {
        EXPECT_DELIVERED(deliver(feed, at, n, 2, ++mark));
        at += n;
        if (n < 50 || n > 5000)
            expect_rows(place, 0, at);
    }
    EXPECT_DELIVERED(deliver(feed, at, 10000, 2, ++mark));
    at += 10000;
    feed_close(feed);
    expect_rows(place, 0, at);
}

TEST(f1_what_is_delivered_is_there_for_others_and_in_order)
{
    for_each_feed(f1_body);
}

/* A feed adds to what is there, also when it is opened again. */
static void again_body(const FeedPlace *place)
{
    for (unsigned i = 0; i < 4; i++) {
        Feed *feed = NULL;
        uint64_t mark;

        EXPECT_DELIVERED(
            open_place(&feed, place, "", (FeedOpts){ .is_synced = i % 2 == 1 }, &mark));
        REQUIRE(feed);
        EXPECT(!feed_is_exact(feed));
        EXPECT_DELIVERED(deliver(feed, 10 * i, 10, 2, 1));
        feed_close(feed);
    }
    expect_rows(place, 0, 40);
}

TEST(f1_a_feed_without_a_name_adds)
{
    for_each_feed(again_body);
}

/* ---- F2, marks ------------------------------------------------------------------------------- */

static void f2_body(const FeedPlace *place)
{
    Feed *feed = NULL;
    uint64_t mark = 0;

    if (!place->driver->feed->is_exact)
        return;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("f2") }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(deliver(feed, 0, 10, 2, 5));
    EXPECT_STR(feed_note(feed), STR_C("source=1"));
    EXPECT_DELIVERED(deliver(feed, 0, 10, 2, 5)); /* the same, once more */
    expect_rows(place, 0, 10);
    EXPECT_DELIVERED(deliver(feed, 10, 10, 2, 9));
    feed_close(feed);
    feed = NULL;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("f2") }, &mark));
    REQUIRE(feed);
    EXPECT_EQ(mark, 9);
    EXPECT_STR(feed_note(feed), STR_C("source=1"));
    EXPECT_DELIVERED(deliver(feed, 10, 10, 2, 9));
    EXPECT_DELIVERED(deliver(feed, 20, 10, 2, 10));
    feed_close(feed);
    expect_rows(place, 0, 30);
    feed = NULL;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("other") }, &mark));
    REQUIRE(feed);
    EXPECT_EQ(mark, 0);
    EXPECT_EQ(feed_note(feed).len, 0);
    feed_close(feed);
}

TEST(f2_a_lot_with_a_mark_that_is_held_is_not_written_twice)
{
    for_each_feed(f2_body);
}

/* Two pipelines of one name would each take the other's mark for its own. */
static void two_body(const FeedPlace *place)
{
    Feed *one = NULL, *two = NULL;
    uint64_t mark;
    int r;

    if (!place->driver->feed->is_exact)
        return;
    EXPECT_DELIVERED(open_place(&one, place, "", (FeedOpts){ .run_id = STR_C("two") }, &mark));
    REQUIRE(one);
    EXPECT_DELIVERED(deliver(one, 0, 10, 2, 1));
    r = open_place(&two, place, "", (FeedOpts){ .run_id = STR_C("two") }, &mark);
    EXPECT(r == 0 || r == FEED_RETRY); /* a server may keep the second one waiting */
    EXPECT_DELIVERED(deliver(one, 10, 10, 2, 2));
    if (two) {
        EXPECT_OUTCOME(deliver(two, 20, 10, 2, 3), FEED_STOP);
        EXPECT(strstr(verdict.text, "another pipeline"));
    }
    feed_close(one);
    feed_close(two);
    expect_rows(place, 0, 20);
}

TEST(f2_two_pipelines_of_one_name_are_told_apart)
{
    for_each_feed(two_body);
}

/* ---- F3, refused rows ------------------------------------------------------------------------ */

/* Deliver N rows of which those with IS_BAD are refused by a rule of the table, and compare. */
static void refuse_some(const FeedPlace *place, Feed *feed, unsigned *at, uint64_t mark, size_t n,
                        const bool *is_bad)
{
    AUTO(rows_deinit) Rows rows = { 0 };
    AUTO(buf_deinit) Buf want = { 0 };
    AUTO(buf_deinit) Buf before = { 0 };
    AUTO(buf_deinit) Buf seen = { 0 };
    size_t n_bad = 0, k = 0;
    FeedLot lot;
    int r;

    (void) feed_place_see(place, &before); /* nothing at first */
    buf_add_str(&want, buf_str(&before));
    rows_init(&rows, *at, n, 2);
    for (size_t i = 0; i < n; i++) {
        n_bad += is_bad[i];
        if (is_bad[i])
            rows.values[i * 2 + 1] = row_text(STR_C("bad"));
        else
            buf_printf(&want, "%zu,n%zu\n", *at + i, *at + i);
    }
    *at += (unsigned) n;
    lot = lot_of(&rows, mark, "n");
    r = feed_deliver(feed, &lot, &verdict);
    if (r != (n_bad > 0 ? FEED_REFUSED : 0)) {
        test_fail(__FILE__, __LINE__, "%s: %zu bad of %zu: got %d (%s)", place->text, n_bad, n, r,
                  r < 0 ? err_text(r) : verdict.text);
        return;
    }
    EXPECT_EQ(verdict.n_refused, n_bad);
    for (size_t i = 0; i < n && r == FEED_REFUSED; i++) {
        if (!is_bad[i])
            continue;
        EXPECT_EQ(verdict.refused[k].row, i);
        EXPECT(verdict.refused[k].code[0] && verdict.refused[k].text[0]);
        k++;
    }
    if (r == FEED_REFUSED) {
        (void) feed_place_see(place, &seen);
        EXPECT_STR(buf_str(&seen), buf_str(&before)); /* nothing is seen before the finish */
        EXPECT_DELIVERED(feed_finish(feed, &verdict));
    }
    buf_reset(&seen);
    (void) feed_place_see(place, &seen);
    if (!str_eq(buf_str(&seen), buf_str(&want)))
        test_fail(__FILE__, __LINE__, "%s: %zu bad of %zu: the good ones are not there in order",
                  place->text, n_bad, n);
}

static void f3_body(const FeedPlace *place)
{
    static bool is_bad[2000];
    Feed *feed = NULL;
    uint64_t mark = 0;
    unsigned at = 0;
    Rand rand;

    if (!feed_place_make_picky(place))
        return;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("f3") }, &mark));
    REQUIRE(feed);
    rand_init(&rand, 3);
    for (unsigned round = 0; round < 12 && !test_has_failed(); round++) {
        size_t n = round < 8 ? 1 + 97 * (round % 4) : 200 + rand_below(&rand, 300);

        memset(is_bad, round == 7, sizeof(is_bad));
        is_bad[0] |= round == 1 || round == 4 || round == 6;
        is_bad[n - 1] |= round == 2 || round == 4 || round == 5;
        for (size_t i = 0; i < n && round >= 8; i++)
            is_bad[i] = rand_below(&rand, 100) < (round == 11 ? 90 : 5);
        refuse_some(place, feed, &at, ++mark, n, is_bad);
    }
    feed_close(feed);
}

TEST(f3_refused_rows_are_isolated_and_the_rest_goes_in)
{
    for_each_feed(f3_body);
}

/* Hundreds of refused rows are dead letters; all of thousands are a wrong table. */
static void many_body(const FeedPlace *place)
{
    AUTO(rows_deinit) Rows rows = { 0 };
    Feed *feed = NULL;
    uint64_t mark = 0;
    FeedLot lot;

    if (!feed_place_make_picky(place))
        return;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("many") }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(deliver(feed, 0, 3, 2, 1));
    rows_init(&rows, 3, 1500, 2);
    for (size_t i = 0; i < rows.n; i++)
        rows.values[2 * i + 1] = row_text(STR_C("bad"));
    lot = lot_of(&rows, 2, "n");
    EXPECT_OUTCOME(feed_deliver(feed, &lot, &verdict), FEED_STOP);
    EXPECT(strstr(verdict.text, "more than 1024 of 1500 rows are refused"));
    EXPECT_DELIVERED(deliver(feed, 3, 3, 2, 2));
    feed_close(feed);
    expect_rows(place, 0, 6);
}

TEST(f3_a_lot_that_is_nearly_all_refused_stops)
{
    for_each_feed(many_body);
}

/* A process that ends, or is cancelled, before the finish leaves nothing of the lot. */
static void unfinished_body(const FeedPlace *place)
{
    AUTO(rows_deinit) Rows rows = { 0 };
    Feed *feed = NULL;
    uint64_t mark = 0;
    FeedLot lot;

    if (!feed_place_make_picky(place))
        return;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("u") }, &mark));
    REQUIRE(feed);
    rows_init(&rows, 0, 10, 2);
    rows.values[1] = row_text(STR_C("bad"));
    lot = lot_of(&rows, 4, "n");
    EXPECT_EQ(feed_deliver(feed, &lot, &verdict), FEED_REFUSED);
    feed_close(feed);
    expect_rows(place, 0, 0);
    feed = NULL;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("u") }, &mark));
    REQUIRE(feed);
    EXPECT_EQ(mark, 0);
    EXPECT_EQ(feed_deliver(feed, &lot, &verdict), FEED_REFUSED);
    EXPECT_DELIVERED(feed_finish(feed, &verdict));
    feed_close(feed);
    expect_rows(place, 1, 10);
}

TEST(f3_a_lot_that_is_not_finished_is_not_there)
{
    for_each_feed(unfinished_body);
}

/* ---- F4, errors told apart ------------------------------------------------------------------- */

static void locked_body(const FeedPlace *place)
{
    Feed *feed = NULL;
    uint64_t mark = 0;

    if (!place->can_lock)
        return;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("l") }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(deliver(feed, 0, 10, 2, 1));
    feed_place_lock(place, true);
    EXPECT_OUTCOME(deliver(feed, 10, 10, 2, 2), FEED_RETRY);
    feed_place_lock(place, false);
    EXPECT_DELIVERED(deliver(feed, 10, 10, 2, 2));
    feed_close(feed);
    expect_rows(place, 0, 20);
}

TEST(f4_a_lock_of_others_is_for_later)
{
    for_each_feed(locked_body);
}

static void dropped_body(const FeedPlace *place)
{
    Feed *feed = NULL;
    uint64_t mark = 0;

    if (!place->driver->has_table)
        return;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("d") }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(deliver(feed, 0, 10, 2, 1));
    feed_place_sql(place, "DROP TABLE %s");
    EXPECT_OUTCOME(deliver(feed, 10, 10, 2, 2), FEED_STOP);
    EXPECT_OUTCOME(deliver(feed, 10, 10, 2, 2), FEED_STOP);
    feed_close(feed);
    feed = NULL;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("d") }, &mark));
    REQUIRE(feed);
    EXPECT_EQ(mark, 1);
    EXPECT_DELIVERED(deliver(feed, 10, 10, 2, 2));
    feed_close(feed);
    expect_rows(place, 10, 20);
}

TEST(f4_a_table_that_is_dropped_stops_the_feed)
{
    for_each_feed(dropped_body);
}

/* A full disk: files may not grow. Afterwards the same lot goes in, once. */
static void full_body(const FeedPlace *place)
{
    struct rlimit old, small;
    Feed *feed = NULL;
    uint64_t mark = 0;
    unsigned at = 0, n_full = 0;
    int r;

    if (!place->path[0])
        return;
    (void) signal(SIGXFSZ, SIG_IGN);
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("full") }, &mark));
    REQUIRE(feed);
    (void) getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){ .rlim_cur = 300 << 10, .rlim_max = old.rlim_max };
    (void) setrlimit(RLIMIT_FSIZE, &small);
    for (mark = 1; n_full < 2 && at < 200000;) { /* a database may find room once more */
        r = deliver(feed, at, 1000, 2, mark);
        n_full = r == 0 ? 0 : n_full + 1;
        if (r == 0) {
            at += 1000;
            mark++;
        } else if (r != FEED_FULL || !verdict.text[0]) {
            test_fail(__FILE__, __LINE__, "%s: got %d (%s)", place->text, r,
                      r < 0 ? err_text(r) : verdict.text);
            break;
        }
    }
    (void) setrlimit(RLIMIT_FSIZE, &old);
    expect_rows(place, 0, at);
    EXPECT_DELIVERED(deliver(feed, at, 1000, 2, mark));
    feed_close(feed);
    expect_rows(place, 0, at + 1000);
}

TEST(f4_a_full_disk_is_waited_for)
{
    for_each_feed(full_body);
}

static void places_body(const FeedPlace *place)
{
    FeedPlace bad = *place;
    Feed *feed = NULL;
    uint64_t mark;

    if (!place->path[0])
        return;
    (void) mkdir("folder.out", 0755);
    (void) snprintf(bad.text, sizeof(bad.text), "%s:not/there/x.out", place->driver->name);
    EXPECT_OUTCOME(open_place(&feed, &bad, "", (FeedOpts){ 0 }, &mark), FEED_STOP);
    (void) snprintf(bad.text, sizeof(bad.text), "%s:folder.out", place->driver->name);
    EXPECT_OUTCOME(open_place(&feed, &bad, "", (FeedOpts){ 0 }, &mark), FEED_STOP);
    EXPECT(!feed);
}

TEST(f4_places_that_cannot_be_written_stop_at_once)
{
    for_each_feed(places_body);
}

/* A file that is removed under the feed would take every further row with it. */
static void removed_body(const FeedPlace *place)
{
    Feed *feed = NULL;
    uint64_t mark = 0;
    int r;

    if (!place->path[0])
        return;
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("r") }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(deliver(feed, 0, 10, 2, 1));
    (void) unlink(place->path);
    r = deliver(feed, 10, 10, 2, 2);
    feed_close(feed);
    if (place->driver->has_table)
        EXPECT_EQ(r, FEED_STOP);
    else
        expect_rows(place, 10, 20);
}

TEST(f4_a_file_that_is_removed_is_noticed)
{
    for_each_feed(removed_body);
}

/* ---- columns --------------------------------------------------------------------------------- */

static void growth_body(const FeedPlace *place)
{
    Feed *feed = NULL;
    uint64_t mark = 0;

    EXPECT_DELIVERED(
        open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("g"), .can_grow = true }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(deliver(feed, 0, 10, 2, 1));
    EXPECT_DELIVERED(deliver(feed, 10, 10, 4, 2));
    EXPECT_DELIVERED(deliver(feed, 20, 10, 3, 3)); /* made when the shape was narrower */
    EXPECT_DELIVERED(deliver(feed, 30, 10, 6, 4));
    feed_close(feed);
    expect_rows(place, 0, 40);
    feed_place_expect_columns(place, 6);
}

TEST(columns_that_come_later_are_added)
{
    for_each_feed(growth_body);
}

static void fixed_body(const FeedPlace *place)
{
    AUTO(rows_deinit) Rows rows = { 0 };
    Feed *feed = NULL;
    uint64_t mark = 0;
    int r;

    if (!place->driver->has_table)
        return;
    rows_init(&rows, 0, 1, 3);
    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("x") }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(deliver(feed, 0, 10, 2, 1));
    EXPECT_OUTCOME(deliver(feed, 10, 10, 3, 2), FEED_STOP);
    EXPECT(strstr(verdict.text, "x2"));
    feed_close(feed);
    feed = NULL;
    r = open_place(&feed, place, "",
                   (FeedOpts){ .run_id = STR_C("x"), .columns = rows.columns, .n_columns = 3 },
                   &mark);
    if (r == 0)
        r = deliver(feed, 10, 10, 3, 2);
    EXPECT_EQ(r, FEED_STOP);
    EXPECT(strstr(verdict.text, "x2"));
    feed_close(feed);
    expect_rows(place, 0, 10);
}

TEST(columns_that_may_not_be_added_stop_the_feed)
{
    for_each_feed(fixed_body);
}

static void upsert_body(const FeedPlace *place)
{
    Feed *feed = NULL;
    uint64_t mark = 0;

    if (!(place->driver->modes & 1u << SINK_UPSERT))
        return;
    EXPECT_DELIVERED(open_place(&feed, place, "mode=upsert&key=id",
                                (FeedOpts){ .run_id = STR_C("up"), .can_grow = true }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(deliver(feed, 0, 50, 2, 1));
    EXPECT_DELIVERED(deliver(feed, 20, 50, 2, 2));
    EXPECT_DELIVERED(deliver(feed, 50, 50, 4, 3));
    feed_close(feed);
    feed = NULL;
    EXPECT_EQ(feed_place_count(place), 100);
    EXPECT_DELIVERED(
        open_place(&feed, place, "mode=upsert&key=nix", (FeedOpts){ .run_id = STR_C("v") }, &mark));
    REQUIRE(feed);
    EXPECT_OUTCOME(deliver(feed, 0, 50, 2, 1), FEED_STOP);
    EXPECT(strstr(verdict.text, "nix"));
    feed_close(feed);
}

TEST(upsert_keeps_one_row_for_each_key)
{
    for_each_feed(upsert_body);
}

/* ---- hostile texts and names ----------------------------------------------------------------- */

static const char *const hostile_texts[] = {
    "",
    "'); DROP TABLE rows; --",
    "\"quoted\", and, commas",
    "line\r\nbreak\n",
    "\xff\xfe broken",
    "NULL",
    "\\N",
    "\\.",
    "=1+1",
    "\t tab ",
    "\xf0\x9f\x98\x80",
    "a\\b\\\\c",
    "{\"json\": [1,2]}",
};

static void texts_body(const FeedPlace *place)
{
    AUTO(rows_deinit) Rows rows = { 0 };
    Feed *feed = NULL;
    uint64_t mark = 0;
    FeedLot lot;

    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("h") }, &mark));
    REQUIRE(feed);
    rows_init(&rows, 0, ARRAY_LEN(hostile_texts) + 2, 2);
    for (size_t i = 0; i < ARRAY_LEN(hostile_texts); i++)
        rows.values[2 * i + 1] = row_text(str_from_c(hostile_texts[i]));
    rows.values[2 * ARRAY_LEN(hostile_texts) + 1] = row_null();
    rows.values[2 * ARRAY_LEN(hostile_texts) + 3] = row_text(STR_C("nul\0inside"));
    lot = lot_of(&rows, 1, "positions=\"'; DROP\n\xf0\x9f\x98\x80");
    EXPECT_DELIVERED(feed_deliver(feed, &lot, &verdict));
    feed_close(feed);
    EXPECT_EQ(feed_place_count(place), ARRAY_LEN(hostile_texts) + 2);
    feed_place_expect_text(place, 1, "'); DROP TABLE rows; --");
    feed_place_expect_text(place, 2, "\"quoted\", and, commas");
    feed_place_expect_text(place, 11, "a\\b\\\\c");
}

TEST(hostile_texts_are_only_texts)
{
    for_each_feed(texts_body);
}

static void names_body(const FeedPlace *place)
{
    static const Str names[] = {
        STR("id"),          STR("name"), STR("select"), STR("a\"b; DROP TABLE x; --"),
        STR("rowid"),       STR("$1"),   STR("ä ö\nü"), STR("c0"),
        STR("x', (1), ('"),
    };
    RowColumn columns[ARRAY_LEN(names)] = { 0 };
    RowValue values[ARRAY_LEN(names)];
    const RowValue *row = values;
    FeedLot lot = {
        .columns = columns, .n_columns = ARRAY_LEN(names), .rows = &row, .n_rows = 1, .mark = 1
    };
    Feed *feed = NULL;
    uint64_t mark = 0;

    for (size_t c = 0; c < ARRAY_LEN(names); c++) {
        columns[c] = (RowColumn){ .name = names[c], .kind = c == 1 ? ROW_TEXT : ROW_INT };
        values[c] = c == 1 ? row_text(STR_C("n0")) : row_integer((int64_t) c);
    }
    EXPECT_DELIVERED(open_place(
        &feed, place, "", (FeedOpts){ .run_id = STR_C("a'b\"; --"), .can_grow = true }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(feed_deliver(feed, &lot, &verdict));
    lot.mark = 2;
    values[0] = row_integer(1);
    values[1] = row_text(STR_C("n1"));
    EXPECT_DELIVERED(feed_deliver(feed, &lot, &verdict));
    feed_close(feed);
    expect_rows(place, 0, 2);
    feed_place_expect_columns(place, ARRAY_LEN(names));
}

TEST(hostile_names_are_only_names)
{
    for_each_feed(names_body);
}

/* ---- cancelling and kill -9 ------------------------------------------------------------------ */

static void cancel_body(const FeedPlace *place)
{
    Feed *feed = NULL;
    uint64_t mark = 0;
    sl_scope scope;
    int r;

    EXPECT_DELIVERED(open_place(&feed, place, "", (FeedOpts){ .run_id = STR_C("c") }, &mark));
    REQUIRE(feed);
    EXPECT_DELIVERED(deliver(feed, 0, 10, 2, 1));
    sl_scope_begin(&scope);
    sl_scope_cancel(&scope);
    r = deliver(feed, 10, 5000, 2, 2);
    EXPECT(r == 0 || r == -ECANCELED || r == FEED_RETRY);
    r = sl_scope_end(&scope, r < 0 ? r : 0);
    EXPECT_EQ(r, 0);
    if (place->driver->feed->is_exact)
        EXPECT_DELIVERED(deliver(feed, 10, 5000, 2, 2));
    feed_close(feed);
    if (place->driver->feed->is_exact)
        expect_rows(place, 0, 5010);
}

TEST(f2_a_lot_that_is_cancelled_may_come_again)
{
    for_each_feed(cancel_body);
}

typedef struct Life {
    const FeedPlace *place;
    unsigned steps_left; /* until it kills itself; 0: never */
} Life;

static void step(Life *life)
{
    if (life->steps_left > 0 && --life->steps_left == 0)
        (void) kill(getpid(), SIGKILL);
}

/* What the pipeline knows where the feed keeps no marks: how many lots were acknowledged. */
static void note_lots(unsigned lots)
{
    FILE *file = fopen("note.tmp", "w");

    (void) fprintf(file, "%u", lots);
    (void) fclose(file);
    (void) rename("note.tmp", "note");
}

static unsigned noted_lots(void)
{
    FILE *file = fopen("note", "r");
    unsigned lots = 0;

    if (file && fscanf(file, "%u", &lots) != 1)
        lots = 0;
    if (file)
        (void) fclose(file);
    return lots;
}

static int life_main(void *arg)
{
    Life *life = arg;
    const FeedPlace *place = life->place;
    Feed *feed = NULL;
    uint64_t mark = 0;
    int r = open_place(&feed, place, "", (FeedOpts){ .run_id = str_from_c(place->table) }, &mark);

    if (r == 0 && !feed_is_exact(feed))
        mark = noted_lots();
    for (unsigned i = (unsigned) mark; i < LOTS && r == 0; i++) {
        step(life);
        r = deliver(feed, i * LOT, LOT, 2, i + 1);
        step(life);
        note_lots(i + 1);
    }
    if (r != 0)
        (void) fprintf(stderr, "%s: %s\n", place->text, r < 0 ? err_text(r) : verdict.text);
    feed_close(feed);
    return r;
}

/* A child that lives until it is done or killed. Whether it got to its end. */
static bool live(const FeedPlace *place, unsigned steps, unsigned microseconds)
{
    Life life = { place, steps };
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(sl_run(life_main, &life, .loop = SL_LOOP_EPOLL, .stall_ms = -1) == 0 ? 0 : 3);
    if (microseconds > 0) {
        (void) usleep(microseconds);
        (void) kill(pid, SIGKILL);
    }
    (void) waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        test_fail(__FILE__, __LINE__, "%s: the run failed", place->text);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Every row is there, whole, in order, and none more often than its lot was tried. */
static void expect_at_least_once(const FeedPlace *place, unsigned kills)
{
    AUTO(buf_deinit) Buf seen = { 0 };
    unsigned next = 0, n = 0;
    Str rest;

    EXPECT(feed_place_see(place, &seen));
    for (rest = buf_str(&seen); rest.len > 0; n++) {
        Str line = str_cut(rest, '\n', &rest), name, id = str_cut(line, ',', &name);
        char want[24];
        int64_t number = -1;

        if (str_to_i64(id, 0, INT32_MAX, &number) < 0 || number > next ||
            number < (int64_t) next - LOT) {
            test_fail(__FILE__, __LINE__, "%s: \"%.*s\" where row %u may be", place->text,
                      (int) line.len, line.data, next);
            return;
        }
        (void) snprintf(want, sizeof(want), "n%lld", (long long) number);
        EXPECT_STR(name, str_from_c(want));
        next = (unsigned) MAX((int64_t) next, number + 1);
    }
    EXPECT_EQ(next, LOTS * LOT);
    EXPECT(n <= LOTS * LOT + kills * LOT);
}

TEST(f1_f2_kill_9_at_any_moment)
{
    uint64_t seed = 42;

    for (size_t i = 0; i < sinks_count; i++) {
        FeedPlace place;

        for (unsigned round = 0; round < 6 && feed_place_make(&place, sinks_table[i]); round++) {
            bool is_done = false;
            unsigned kills = 0;

            (void) unlink("note");
            for (; kills < 5 && !is_done; kills++) {
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
                if (round % 2 == 0)
                    is_done = live(&place, 1 + (unsigned) (seed >> 33) % 30, 0);
                else
                    is_done = live(&place, 0, 500 + (unsigned) (seed >> 33) % 15000);
            }
            if (!is_done)
                EXPECT(live(&place, 0, 0));
            if (sinks_table[i]->feed->is_exact)
                expect_rows(&place, 0, LOTS * LOT);
            else
                expect_at_least_once(&place, kills);
        }
    }
}

TEST(ends)
{
    feed_verdict_deinit(&verdict);
    feed_places_stop();
}

TEST_MAIN()
