/*
 * What all feeds share: isolating refused rows, verdicts, and what cannot be a feed. Drivers are
 * tested in feed_contract_test.c.
 */
#include "rows/feed.h"

#include "base/arena.h"
#include "base/rand.h"
#include "base/test.h"

/* ---- isolation ------------------------------------------------------------------------------- */

enum { LOT_MAX = 5000 };

/* A sink that takes rows, but not those that are bad. */
typedef struct Taker {
    bool is_bad[LOT_MAX];
    uint32_t order[LOT_MAX]; /* of the rows that are in */
    size_t n_in;
    size_t tried; /* rows that were written, taken back ones included */
} Taker;

/* 0 or 1 with the first bad row. */
static int put(Taker *taker, size_t from, size_t to, size_t *ret_bad)
{
    for (size_t i = from; i < to; i++) {
        taker->tried++;
        if (taker->is_bad[i]) {
            *ret_bad = i;
            return 1;
        }
    }
    for (size_t i = from; i < to; i++)
        taker->order[taker->n_in++] = (uint32_t) i;
    return 0;
}

/* Walk over N rows. HINTS: of a hundred bad ranges, how many name their row. */
static void isolate(Taker *taker, size_t n, unsigned hints, Rand *rand, FeedVerdict *verdict)
{
    FeedIsolation walk;
    size_t from, to, bad = 0;

    verdict->n_refused = 0;
    feed_isolation_begin(&walk, n);
    while (feed_isolation_next(&walk, &from, &to)) {
        REQUIRE(from < to && to <= n);
        if (put(taker, from, to, &bad) == 0)
            feed_isolation_good(&walk);
        else
            feed_isolation_bad(&walk, rand_below(rand, 100) < hints ? bad : SIZE_MAX, verdict,
                               "BAD", "it is bad");
    }
    EXPECT(!walk.is_overfull);
    EXPECT_EQ(walk.n_refused, verdict->n_refused);
}

static size_t log2_of(size_t n)
{
    size_t bits = 0;

    while (n > 1) {
        n = (n + 1) / 2;
        bits++;
    }
    return bits;
}

/* Every good row is in once and in order, every bad one refused once and in order. */
static void check_walk(const Taker *taker, size_t n, size_t n_bad, unsigned hints,
                       const FeedVerdict *verdict)
{
    size_t at_in = 0, at_bad = 0;
    size_t bound = hints == 100 ? 2 * n : n + 2 * n_bad * (log2_of(n) + 1) * (n / (n_bad + 1) + 1);

    EXPECT_EQ(taker->n_in, n - n_bad);
    EXPECT_EQ(verdict->n_refused, n_bad);
    for (size_t i = 0; i < n; i++) {
        bool is_right = taker->is_bad[i]
                            ? at_bad < verdict->n_refused && verdict->refused[at_bad].row == i
                            : at_in < taker->n_in && taker->order[at_in] == i;

        at_in += !taker->is_bad[i];
        at_bad += taker->is_bad[i];
        if (!is_right) {
            test_fail(__FILE__, __LINE__, "row %zu of %zu (%zu bad, %u %% hints)", i, n, n_bad,
                      hints);
            return;
        }
    }
    if (taker->tried > bound)
        test_fail(__FILE__, __LINE__, "%zu rows with %zu bad: %zu tried, at most %zu wanted", n,
                  n_bad, taker->tried, bound);
}

static void try_once(size_t n, size_t n_bad, unsigned hints, Rand *rand, FeedVerdict *verdict)
{
    static Taker taker;

    taker = (Taker){ 0 };
    for (size_t i = 0; i < n_bad;) {
        size_t row = rand_below(rand, n);

        i += !taker.is_bad[row];
        taker.is_bad[row] = true;
    }
    isolate(&taker, n, hints, rand, verdict);
    check_walk(&taker, n, n_bad, hints, verdict);
}

TEST(every_good_row_goes_in_once_and_in_order_whatever_is_bad)
{
    AUTO(feed_verdict_deinit) FeedVerdict verdict = { 0 };
    static const unsigned hints[] = { 0, 100, 50, 3 };
    Rand rand;

    rand_init(&rand, 7);
    for (unsigned round = 0; round < 2000 && !test_has_failed(); round++) {
        size_t n = 1 + rand_below(&rand, round % 50 == 0 ? LOT_MAX : 40);
        size_t n_bad = rand_below(&rand, MIN(n, (size_t) FEED_REFUSALS) + 1);

        try_once(n, n_bad, hints[round % ARRAY_LEN(hints)], &rand, &verdict);
    }
    try_once(1, 1, 0, &rand, &verdict);
    try_once(1000, 1000, 0, &rand, &verdict);
    try_once(1000, 1000, 100, &rand, &verdict);
    try_once(LOT_MAX, 1, 0, &rand, &verdict);
}

/* A server that names a row outside of the range must not lead the walk astray. */
TEST(a_wrong_hint_is_no_hint)
{
    AUTO(feed_verdict_deinit) FeedVerdict verdict = { 0 };
    FeedIsolation walk;
    size_t from, to, n_in = 0;

    feed_isolation_begin(&walk, 100);
    while (feed_isolation_next(&walk, &from, &to)) {
        if (from <= 42 && 42 < to) {
            feed_isolation_bad(&walk, to + 7, &verdict, "22P02", "no");
            continue;
        }
        n_in += to - from;
        feed_isolation_good(&walk);
    }
    EXPECT_EQ(n_in, 99);
    EXPECT_EQ(verdict.n_refused, 1);
    EXPECT_EQ(verdict.refused[0].row, 42);
    EXPECT_C(verdict.refused[0].code, "22P02");
}

TEST(too_many_bad_rows_are_a_case_for_a_person)
{
    AUTO(feed_verdict_deinit) FeedVerdict verdict = { 0 };
    FeedIsolation walk;
    size_t from, to;

    feed_isolation_begin(&walk, LOT_MAX);
    while (feed_isolation_next(&walk, &from, &to))
        feed_isolation_bad(&walk, from, &verdict, "SQLITE_CONSTRAINT_CHECK", "value must be 1");
    EXPECT(walk.is_overfull);
    EXPECT_EQ(verdict.n_refused, FEED_REFUSALS);
    EXPECT_C(verdict.refused[0].code, "SQLITE_CONSTRAI");
    EXPECT_EQ(feed_verdict_overfull(&verdict, LOT_MAX), FEED_STOP);
    EXPECT(strstr(verdict.text, "more than 1024 of 5000 rows") &&
           strstr(verdict.text, "because value must be 1"));
}

/* A producer that heard nothing of the commit sends all of its lot once more. */
TEST(rows_that_are_there_already_are_no_case_for_a_person)
{
    AUTO(feed_verdict_deinit) FeedVerdict verdict = { 0 };
    FeedIsolation walk;
    size_t from, to;

    feed_isolation_begin(&walk, LOT_MAX);
    while (feed_isolation_next(&walk, &from, &to))
        feed_isolation_bad(&walk, from, &verdict, "23505", "it is there");
    EXPECT(!walk.is_overfull);
    EXPECT_EQ(verdict.n_refused, LOT_MAX);
    EXPECT_EQ(verdict.refused[LOT_MAX - 1].row, LOT_MAX - 1);
}

TEST(words_are_cut_between_characters)
{
    AUTO(feed_verdict_deinit) FeedVerdict verdict = { 0 };
    char text[2 * REFUSAL_TEXT_BYTES] = "x";
    FeedIsolation walk;
    size_t from, to;

    for (size_t i = 1; i + 3 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 3);
    feed_isolation_begin(&walk, 1);
    while (feed_isolation_next(&walk, &from, &to))
        feed_isolation_bad(&walk, SIZE_MAX, &verdict, "A", text);
    REQUIRE(verdict.n_refused == 1);
    EXPECT(str_is_utf8(str_from_c(verdict.refused[0].text)));
    EXPECT_EQ(strlen(verdict.refused[0].text), REFUSAL_TEXT_BYTES - 1);
}

/* ---- what cannot be a feed ------------------------------------------------------------------- */

static int check(Arena *arena, const char *text)
{
    SinkSpec spec;
    int r = sink_spec_parse(arena, str_from_c(text), &spec);

    return r < 0 ? r : feed_check(&spec);
}

TEST(what_is_whole_only_at_its_end_cannot_be_a_feed)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    EXPECT_ERR(check(&arena, "x.md"), -ERR_INVALID, "cannot take rows without end; those that can");
    EXPECT_ERR(check(&arena, "x.json"), -ERR_INVALID, "csv, http, jobs, jsonl");
    EXPECT_OK(check(&arena, "x.csv"));
    EXPECT_OK(check(&arena, "x.csv?mode=append&rotate=1MiB"));
    EXPECT_ERR(check(&arena, "x.csv?mode=replace"), -ERR_INVALID, "leave it out");
#if SL_HAVE_SQLITE
    EXPECT_OK(check(&arena, "x.db?mode=upsert&key=id"));
    EXPECT_ERR(check(&arena, "x.db?mode=replace"), -ERR_INVALID, "empty the table by hand");
#endif
}

/* A measurement is what a stranger says: net.if is one name, and what the database keeps for itself
 * is told before it is asked. */
TEST(names_that_come_with_rows_may_be_none_for_the_sink)
{
    static const struct {
        const char *sink, *table;
        bool is_faulty;
    } tables[] = {
        { "sqlite:x.db?table={measurement}", "cpu", false },
        { "sqlite:x.db?table={measurement}", "sqlite_master", true },
        { "sqlite:x.db?table={measurement}", "SQLITE_x", true },
        { "sqlite:x.db?table={measurement}", "Sluice_Marks", true },
        { "postgresql:///x?table={measurement}", "net.if", false },
        { "postgresql:///x?table={measurement}", "pg_class", true },
        { "postgresql:///x?table={measurement}", "sluice_marks", true },
        { "postgresql:///x?table=s.{measurement}", "s.net.if", false },
        { "postgresql:///x?table=a.{measurement}", "a.pg_class", true },
        { "jsonl:x.jsonl", "pg_class", false },
    };
    char name[65] = { 0 };

    memset(name, 'x', sizeof(name) - 1);
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        SinkSpec spec = { 0 };
        int r = sink_spec_parse(&arena, str_from_c(tables[i].sink), &spec);
        bool is_postgresql = tables[i].sink[0] == 'p';

        if (r < 0) { /* this build lacks it */
            err_take(r, NULL);
            continue;
        }
        EXPECT_EQ(feed_table_fault(&spec, str_from_c(tables[i].table)) != NULL,
                  tables[i].is_faulty);
        EXPECT_EQ(feed_column_fault(&spec, STR_C("ctid")) != NULL, is_postgresql);
        EXPECT_EQ(feed_column_fault(&spec, str_from_c(name)) != NULL, is_postgresql);
        EXPECT(!feed_column_fault(&spec, str_from(name, 63)));
    }
}

TEST_MAIN()
