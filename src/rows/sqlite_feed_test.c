/*
 * SQLite as a feed, beyond the contract: how values are kept, tables of other people, columns that
 * SQLite cannot have, and every kind of error with its outcome.
 */
#include "rows/feed.h"

#include "base/arena.h"
#include "base/test.h"

#include <sluice/rt.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#define NOON_NS 1795262400000000000LL

/* A feed, and what its last call gave. */
typedef struct World {
    Arena arena;
    SinkSpec spec;
    Feed *feed;
    FeedVerdict verdict;
    uint64_t mark;
    int r;
} World;

SUSPENDS static void world_open(World *world, const char *text, FeedOpts opts)
{
    *world = (World){ 0 };
    world->r = sink_spec_parse(&world->arena, str_from_c(text), &world->spec);
    if (world->r == 0)
        world->r = feed_open(&world->feed, &world->spec, &opts, &world->mark, &world->verdict);
}

SUSPENDS static void world_close(World *world)
{
    feed_close(world->feed);
    feed_verdict_deinit(&world->verdict);
    arena_deinit(&world->arena);
    *world = (World){ 0 };
}

/* One row. */
SUSPENDS static void put(World *world, const RowColumn *columns, const RowValue *row, size_t n)
{
    FeedLot lot = { .columns = columns,
                    .n_columns = n,
                    .rows = &row,
                    .n_rows = 1,
                    .mark = ++world->mark,
                    .note = STR_C("at=1") };

    world->r = feed_deliver(world->feed, &lot, &world->verdict);
}

static char answer[8192];

static int on_row(void *ctx, int n, char **values, char **names)
{
    (void) ctx;
    (void) names;
    for (int i = 0; i < n; i++) {
        size_t at = strlen(answer);

        (void) snprintf(answer + at, sizeof(answer) - at, "%s%s", i == 0 ? "" : "|",
                        values[i] ? values[i] : "NULL");
    }
    strncat(answer, "\n", sizeof(answer) - strlen(answer) - 1);
    return 0;
}

/* What the file PATH says to SQL. */
static const char *ask(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *error = NULL;

    answer[0] = '\0';
    (void) sqlite3_open(path, &db);
    (void) sqlite3_busy_timeout(db, 2000);
    if (sqlite3_exec(db, sql, on_row, NULL, &error) != SQLITE_OK)
        (void) snprintf(answer, sizeof(answer), "error: %s", error);
    sqlite3_free(error);
    (void) sqlite3_close(db);
    return answer;
}

static void expect(int line, World *world, int r, const char *code, const char *text)
{
    if (world->r != r || strcmp(world->verdict.code, code) != 0 ||
        !strstr(world->verdict.text, text))
        test_fail(__FILE__, line, "got %d %s: %s", world->r, world->verdict.code,
                  world->r < 0 ? err_text(world->r) : world->verdict.text);
}
#define EXPECT_OUT(world, r, code, text) expect(__LINE__, (world), (r), (code), (text))

static void run(int (*body)(void *arg))
{
    EXPECT_OK(sl_run(body, NULL, .loop = SL_LOOP_EPOLL, .stall_ms = -1));
}

/* ---- values ---------------------------------------------------------------------------------- */

static const RowColumn kinds[] = {
    { .name = STR("t"), .kind = ROW_TIME }, { .name = STR("i"), .kind = ROW_INT },
    { .name = STR("r"), .kind = ROW_REAL }, { .name = STR("b"), .kind = ROW_BOOL },
    { .name = STR("s"), .kind = ROW_TEXT }, { .name = STR("j"), .kind = ROW_JSON },
    { .name = STR("x"), .kind = ROW_ANY },
};

static void fill(RowValue *row, int64_t time_ns)
{
    row[0] = row_time_ns(time_ns);
    row[1] = row_integer(INT64_MIN);
    row[2] = row_real(0.1, STR_C("0.1"));
    row[3] = row_boolean(true);
    row[4] = row_text(STR_C("\xff"));
    row[5] = row_json(STR_C("{\"a\":1}"));
    row[6] = row_real(2.5, (Str){ 0 });
}

static int values_body(void *arg)
{
    RowValue row[ARRAY_LEN(kinds)];
    World world;

    (void) arg;
    fill(row, NOON_NS + 123456789);
    world_open(&world, "v.db?table=v", (FeedOpts){ .run_id = STR_C("v") });
    put(&world, kinds, row, ARRAY_LEN(kinds));
    EXPECT_EQ(world.r, 0);
    for (size_t c = 0; c < ARRAY_LEN(kinds); c++)
        row[c] = row_null();
    put(&world, kinds, row, ARRAY_LEN(kinds));
    EXPECT_EQ(world.r, 0);
    world_close(&world);
    EXPECT_C(ask("v.db", "SELECT * FROM v"),
             "1795262400123456789|-9223372036854775808|0.1|1|\xef\xbf\xbd|{\"a\":1}|2.5\n"
             "NULL|NULL|NULL|NULL|NULL|NULL|NULL\n");
    EXPECT_C(ask("v.db", "SELECT group_concat(type) FROM pragma_table_info('v')"),
             "INTEGER,INTEGER,REAL,BOOLEAN,TEXT,TEXT,REAL\n");
    EXPECT_C(ask("v.db", "SELECT run, mark, note FROM sluice_marks"), "v|2|at=1\n");
    EXPECT_C(ask("v.db", "PRAGMA journal_mode"), "wal\n");
    return 0;
}

TEST(values_are_kept_by_their_kinds)
{
    REQUIRE(chdir(test_dir()) == 0);
    run(values_body);
}

static int times_body(void *arg)
{
    static const struct {
        const char *text, *want;
    } forms[] = {
        { "t.db?table=ns&time=ns", "-1\n" },
        { "t.db?table=us&time=us", "-1\n" },
        { "t.db?table=ms&time=ms", "-1\n" },
        { "t.db?table=s&time=s", "-1\n" },
        { "t.db?table=text&time=text", "1969-12-31T23:59:59.999999999Z\n" },
        { "t.db?table=old", "1969-12-31T23:59:59.999999999Z\n" },
        { "t.db?table=old2&time=ms", "-1\n" },
    };
    RowValue row[] = { row_time_ns(-1) };

    (void) arg;
    (void) ask("t.db", "CREATE TABLE old (t TEXT); CREATE TABLE old2 (t TEXT)");
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        World world;
        char sql[100];

        world_open(&world, forms[i].text, (FeedOpts){ 0 });
        put(&world, kinds, row, 1);
        EXPECT_EQ(world.r, 0);
        (void) snprintf(sql, sizeof(sql), "SELECT t FROM %.*s", (int) world.spec.table.len,
                        world.spec.table.data);
        world_close(&world);
        EXPECT_C(ask("t.db", sql), forms[i].want);
    }
    return 0;
}

TEST(times_are_kept_as_asked_or_as_the_table_has_them)
{
    run(times_body);
}

/* ---- rows that are refused ------------------------------------------------------------------- */

static int misfit_body(void *arg)
{
    RowColumn any[] = { { .name = STR("x") } };
    RowValue row[] = { row_integer(1) };
    World world;

    (void) arg;
    world_open(&world, "m.db?table=m", (FeedOpts){ .run_id = STR_C("m") });
    put(&world, any, row, 1);
    EXPECT_EQ(world.r, 0);
    row[0] = row_text(STR_C("many"));
    put(&world, any, row, 1);
    EXPECT_EQ(world.r, FEED_REFUSED);
    EXPECT_C(world.verdict.refused[0].code, "mismatch");
    EXPECT(strstr(world.verdict.refused[0].text, "column x: the value many is of kind text"));
    EXPECT_OK(feed_finish(world.feed, &world.verdict));
    world_close(&world);
    EXPECT_C(ask("m.db", "SELECT count(*) FROM m; SELECT mark FROM sluice_marks"), "1\n2\n");
    return 0;
}

TEST(a_value_that_does_not_fit_its_column_is_refused)
{
    run(misfit_body);
}

/* We refuse these rows ourselves, in the middle of an INSERT that SQLite thinks cannot fail: what
 * it wrote before them must not stay twice. */
static int misfits_body(void *arg)
{
    RowColumn any[] = { { .name = STR("x") } };
    RowValue values[20];
    const RowValue *rows[20];
    FeedLot lot = { .columns = any, .n_columns = 1, .rows = rows, .n_rows = 20, .mark = 1 };
    World world;

    (void) arg;
    (void) ask("n.db", "CREATE TABLE n (x INTEGER)");
    for (int64_t i = 0; i < 20; i++) {
        values[i] = i % 8 == 3 ? row_text(STR_C("no number")) : row_integer(i);
        rows[i] = &values[i];
    }
    world_open(&world, "n.db?table=n", (FeedOpts){ .run_id = STR_C("n") });
    world.r = feed_deliver(world.feed, &lot, &world.verdict);
    EXPECT_EQ(world.r, FEED_REFUSED);
    EXPECT_EQ(world.verdict.n_refused, 3);
    EXPECT_EQ(world.verdict.refused[2].row, 19);
    EXPECT_OK(feed_finish(world.feed, &world.verdict));
    world_close(&world);
    EXPECT_C(ask("n.db", "SELECT group_concat(x, ' ') FROM n"),
             "0 1 2 4 5 6 7 8 9 10 12 13 14 15 16 17 18\n");
    return 0;
}

TEST(rows_before_a_misfit_go_in_once)
{
    run(misfits_body);
}

/* A column without a declared kind, over two starts: the table then says INTEGER, and the times
 * that made it so must go on to fit. */
static int settled_body(void *arg)
{
    RowColumn any[] = { { .name = STR("x") } };
    RowValue row[] = { row_time_ns(7) };
    World world;

    (void) arg;
    for (int i = 0; i < 2; i++) {
        world_open(&world, "y.db?table=y", (FeedOpts){ .run_id = STR_C("y") });
        put(&world, any, row, 1);
        EXPECT_EQ(world.r, 0);
        world_close(&world);
    }
    EXPECT_C(ask("y.db", "SELECT x FROM y; SELECT type FROM pragma_table_info('y')"),
             "7\n7\nINTEGER\n");
    return 0;
}

TEST(what_a_column_became_is_what_it_takes)
{
    run(settled_body);
}

/* "Temp" and "temp" are one column to SQLite: neither may be lost in silence, nor stop the rest. */
static int barred_body(void *arg)
{
    static const RowColumn columns[] = {
        { .name = STR("temp"), .kind = ROW_INT }, { .name = STR("Temp"), .kind = ROW_INT },
        { .name = STR("a\0b"), .kind = ROW_INT }, { .name = STR("\xff"), .kind = ROW_INT },
        { .name = STR(""), .kind = ROW_INT },     { .name = STR("last"), .kind = ROW_INT },
    };
    RowValue row[ARRAY_LEN(columns)];
    World world;

    (void) arg;
    world_open(&world, "b.db?table=b", (FeedOpts){ .can_grow = true });
    for (size_t bad = 0; bad < ARRAY_LEN(columns); bad++) {
        bool is_good = bad == 0 || bad == 5;

        for (size_t c = 0; c < ARRAY_LEN(columns); c++)
            row[c] = c == bad || c == 5 ? row_integer((int64_t) bad) : row_null();
        put(&world, columns, row, ARRAY_LEN(columns));
        EXPECT_EQ(world.r, is_good ? 0 : FEED_REFUSED);
        if (is_good)
            continue;
        EXPECT_C(world.verdict.refused[0].code, "column_name");
        EXPECT_OK(feed_finish(world.feed, &world.verdict));
    }
    world_close(&world);
    EXPECT_C(ask("b.db", "SELECT * FROM b"), "0|0\nNULL|5\n");
    return 0;
}

TEST(columns_that_sqlite_cannot_have_are_refused_by_the_row)
{
    run(barred_body);
}

static const RowColumn pair[] = {
    { .name = STR("id"), .kind = ROW_INT },
    { .name = STR("name"), .kind = ROW_TEXT },
};

/* Rows 1 … N, and the outcome. */
SUSPENDS static void put_rows(World *world, size_t n)
{
    RowValue values[20][2];
    const RowValue *rows[20];
    FeedLot lot = { .columns = pair, .n_columns = 2, .rows = rows, .n_rows = n };

    for (size_t i = 0; i < n; i++) {
        values[i][0] = row_integer((int64_t) i + 1);
        values[i][1] = row_text(STR_C("n"));
        rows[i] = values[i];
    }
    lot.mark = ++world->mark;
    world->r = feed_deliver(world->feed, &lot, &world->verdict);
}

static int rules_body(void *arg)
{
    static const struct {
        const char *table, *code;
        size_t row;
    } rules[] = {
        { "CREATE TABLE x (id INTEGER, name TEXT); CREATE TRIGGER y BEFORE INSERT ON x WHEN "
          "new.id = 7 BEGIN SELECT RAISE(ABORT, 'seven'); END",
          "trigger", 6 },
        { "CREATE TABLE x (id INTEGER CHECK (id <> 3), name TEXT)", "check", 2 },
        { "CREATE TABLE x (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO x VALUES (5, 'old')",
          "primary_key", 4 },
        { "CREATE TABLE x (id INTEGER, name TEXT); CREATE UNIQUE INDEX y ON x (id % 19)", "unique",
          19 },
        { "CREATE TABLE x (id INTEGER, name INTEGER) STRICT", "datatype", 0 },
    };

    (void) arg;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        World world;
        bool is_all = i == ARRAY_LEN(rules) - 1;

        (void) unlink("r.db");
        EXPECT_C(ask("r.db", rules[i].table), "");
        world_open(&world, "r.db?table=x", (FeedOpts){ .run_id = STR_C("r") });
        put_rows(&world, 20);
        EXPECT_EQ(world.r, FEED_REFUSED);
        EXPECT_EQ(world.verdict.n_refused, is_all ? 20 : 1);
        EXPECT_EQ(world.verdict.refused[0].row, rules[i].row);
        EXPECT_C(world.verdict.refused[0].code, rules[i].code);
        EXPECT_OK(feed_finish(world.feed, &world.verdict));
        world_close(&world);
        if (!is_all)
            EXPECT_C(ask("r.db", "SELECT count(*) FROM x WHERE name = 'n'"), "19\n");
    }
    return 0;
}

TEST(each_rule_of_a_table_names_its_row)
{
    run(rules_body);
}

/* ---- errors that are nobody's row ------------------------------------------------------------ */

static int stops_body(void *arg)
{
    World world;

    (void) arg;
    (void) ask("s.db", "CREATE TABLE x (id INTEGER UNIQUE ON CONFLICT ROLLBACK, name TEXT); "
                       "INSERT INTO x VALUES (3, 'old')");
    world_open(&world, "s.db?table=x", (FeedOpts){ 0 });
    put_rows(&world, 5);
    EXPECT_OUT(&world, FEED_STOP, "unique", "gives up the whole transaction");
    world_close(&world);
    EXPECT_C(ask("s.db", "SELECT count(*) FROM x"), "1\n");

    world_open(&world, "s.db?table=x&mode=upsert&key=name", (FeedOpts){ 0 });
    put_rows(&world, 5);
    EXPECT_EQ(world.r, FEED_STOP);
    EXPECT(strstr(world.verdict.text, "no unique index over (\"name\")"));
    world_close(&world);

    world_open(&world, "s.db?table=sqlite_x", (FeedOpts){ 0 });
    put_rows(&world, 5);
    EXPECT_OUT(&world, FEED_STOP, "sql", "reserved");
    world_close(&world);

    world_open(&world, "s.db?table=Sluice_Marks", (FeedOpts){ 0 });
    EXPECT_EQ(world.r, -ERR_INVALID);
    world_close(&world);

    (void) ask("s.db", "CREATE VIEW w AS SELECT * FROM x");
    world_open(&world, "s.db?table=w", (FeedOpts){ 0 });
    put_rows(&world, 5);
    EXPECT_OUT(&world, FEED_STOP, "sql", "cannot modify w because it is a view");
    world_close(&world);
    return 0;
}

TEST(what_somebody_must_mend_stops)
{
    run(stops_body);
}

static int files_body(void *arg)
{
    FILE *file = fopen("not.db", "w");
    World world;

    (void) arg;
    for (int i = 0; i < 1000; i++)
        (void) fputs("this is no database. ", file);
    (void) fclose(file);
    world_open(&world, "not.db", (FeedOpts){ 0 });
    EXPECT_OUT(&world, FEED_STOP, "not_a_database", "none of SQLite");
    world_close(&world);
    world_open(&world, "no/such/folder.db", (FeedOpts){ 0 });
    EXPECT_OUT(&world, FEED_STOP, "cannot_open", "name a folder that is there");
    world_close(&world);
    world_open(&world, "sqlite::memory:", (FeedOpts){ 0 });
    EXPECT_EQ(world.r, -ERR_INVALID);
    world_close(&world);
    EXPECT(access("no", F_OK) < 0);

    world_open(&world, "gone.db", (FeedOpts){ .run_id = STR_C("g") });
    put_rows(&world, 5);
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(rename("gone.db", "gone2.db"), 0);
    put_rows(&world, 5);
    EXPECT_OUT(&world, FEED_STOP, "moved", "put it back");
    EXPECT_EQ(rename("gone2.db", "gone.db"), 0);
    put_rows(&world, 5);
    EXPECT_EQ(world.r, 0);
    world_close(&world);
    EXPECT_C(ask("gone.db", "SELECT count(*) FROM rows"), "10\n");
    return 0;
}

TEST(files_that_are_none_of_sqlite_or_move_away)
{
    run(files_body);
}

/* A feed holds no lock between lots, and readers see them at once. */
static int others_body(void *arg)
{
    World world;

    (void) arg;
    world_open(&world, "o.db?table=x", (FeedOpts){ .run_id = STR_C("o") });
    put_rows(&world, 5);
    EXPECT_C(ask("o.db", "INSERT INTO x VALUES (0, 'mine'); SELECT count(*) FROM x"), "6\n");
    put_rows(&world, 5);
    EXPECT_EQ(world.r, 0);
    EXPECT_C(ask("o.db", "ALTER TABLE x ADD COLUMN more TEXT"), "");
    put_rows(&world, 5);
    EXPECT_EQ(world.r, 0);
    EXPECT_C(ask("o.db", "ALTER TABLE x DROP COLUMN name"), "");
    put_rows(&world, 5);
    EXPECT_OUT(&world, FEED_STOP, "sql", "no column named name");
    world_close(&world);
    EXPECT_C(ask("o.db", "SELECT count(*) FROM x; SELECT mark FROM sluice_marks"), "16\n3\n");
    return 0;
}

TEST(others_may_write_between_the_lots)
{
    run(others_body);
}

/* The -wal file must not grow with what was written since the start. */
static int wal_body(void *arg)
{
    World world;
    struct stat st;

    (void) arg;
    world_open(&world, "w.db?table=x", (FeedOpts){ .run_id = STR_C("w") });
    for (int i = 0; i < 3000 && world.r == 0; i++) {
        static char big[16 << 10];
        RowValue row[] = { row_integer(i), row_text(str_from(big, sizeof(big))) };

        memset(big, 'x', sizeof(big));
        put(&world, pair, row, 2);
    }
    EXPECT_EQ(world.r, 0);
    EXPECT_EQ(stat("w.db-wal", &st), 0);
    EXPECT(st.st_size < 20 << 20);
    world_close(&world);
    EXPECT_EQ(stat("w.db", &st), 0);
    EXPECT(st.st_size > 45 << 20);
    EXPECT(access("w.db-wal", F_OK) < 0);
    return 0;
}

TEST(the_wal_file_stays_small)
{
    run(wal_body);
}

TEST_MAIN()
