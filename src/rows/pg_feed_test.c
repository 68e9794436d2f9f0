/*
 * The feed of PostgreSQL against a server of the test's own: what lands there, whichever format of
 * COPY carries it; what is refused, and what an error means. The end of server and process is in
 * pg_feed_crash_test.c.
 */
#include "base/map.h"
#include "rows/pg_feed_world_test.h"

#include <math.h>

#define RUN(name)                                                                    \
    SUSPENDS static int name##_main(void *arg);                                      \
    TEST(name)                                                                       \
    {                                                                                \
        if (cluster.why_not) {                                                       \
            test_skip(cluster.why_not);                                              \
            return;                                                                  \
        }                                                                            \
        EXPECT_OK(sl_run(name##_main, NULL, .loop = SL_LOOP_EPOLL, .stall_ms = -1)); \
    }                                                                                \
    SUSPENDS static int name##_main(UNUSED void *arg)

TEST(server_starts)
{
    pg_cluster_start(&cluster);
    if (cluster.why_not)
        test_skip(cluster.why_not);
}

/* ---- types ----------------------------------------------------------------------------------- */

static const RowColumn all_columns[] = {
    { .name = STR("i2") },  { .name = STR("i4") }, { .name = STR("i8") }, { .name = STR("f4") },
    { .name = STR("f8") },  { .name = STR("n") },  { .name = STR("n2") }, { .name = STR("t") },
    { .name = STR("v") },   { .name = STR("c") },  { .name = STR("b") },  { .name = STR("tz") },
    { .name = STR("ts") },  { .name = STR("d") },  { .name = STR("j") },  { .name = STR("jb") },
    { .name = STR("u") },   { .name = STR("by") }, { .name = STR("e") },  { .name = STR("dom") },
    { .name = STR("net") },
};
enum { ALL_COLUMNS = ARRAY_LEN(all_columns) };

static const char all_types[] =
    "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN positive AS integer CHECK (value > 0);"
    "CREATE TABLE bin (i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric,"
    "n2 numeric(12,2), t text, v varchar(40), c char(8), b boolean, tz timestamptz, ts timestamp,"
    "d date, j json, jb jsonb, u uuid, by bytea, e mood, dom positive);"
    "CREATE TABLE txt (LIKE bin); ALTER TABLE txt ADD net inet";

/* Row K of values: every kind in every column that takes it. */
static void fill_all(RowValue *row, int k)
{
    static const double reals[] = { 0, -0.0, 1.5, -2.25e10, 1e-7, 123456789.125, 3, 0.1 };
    static const int64_t times[] = { 0,
                                     -1500,
                                     INT64_C(946684799999999500),
                                     INT64_C(1700000000123456789),
                                     INT64_C(1700000000123456500),
                                     INT64_C(-86400000000001),
                                     INT64_C(4102444800000000000),
                                     INT64_C(-2208988800000000000) };
    static const char *const digits[] = { "0",   "-0.00", "19.90",  "1234567.891",
                                          "1e5", "10000", "0.0001", "-99999.99999" };
    static const char *const texts[] = {
        "",         "plain", "a\tb\nc\\.",       "\\N", "\xc3\xa4 \xe2\x82\xac",
        "bad \xff", "1,5",   "12345678 and more"
    };
    static const char *const jsons[] = {
        "null", "[1, 2]",   "\"\\u0000\"", "\"\\ud83d\"", "{\"a\":\"\\n\"}",
        "1.50", "\"\xff\"", "true"
    };
    int64_t number = (int64_t[]){ 0, 1, -1, 32767, -32768, 7, 42, 10000 }[k];
    Str text = str_from_c(texts[k]), decimal = str_from_c(digits[k]);

    row[0] = k == 3 ? row_text(STR_C("-17")) : row_integer(number);
    row[1] = k == 4 ? row_real(12, (Str){ 0 }) : row_integer(number * 65536);
    row[2] = row_integer(k == 0 ? INT64_MIN : number * (INT64_C(1) << 40));
    row[3] = k == 2 ? row_integer(3) : row_real(reals[k], (Str){ 0 });
    row[4] = k == 5   ? row_real((double) NAN, (Str){ 0 })
             : k == 6 ? row_real((double) -INFINITY, (Str){ 0 })
                      : row_real(reals[k], (Str){ 0 });
    row[5] = k == 1   ? row_integer(INT64_MAX)
             : k == 2 ? row_real(reals[k], (Str){ 0 })
             : k == 4 ? row_text(STR_C("123456789012345678901234567890.12345"))
                      : row_real(1, decimal);
    row[6] = row_real(1, decimal);
    row[7] = k == 6 ? row_boolean(true) : k == 7 ? row_integer(-5) : row_text(text);
    row[8] = k == 6   ? row_time_ns(times[3])
             : k == 7 ? row_real(1.5, STR_C("1.50"))
                      : row_text(text);
    row[9] = row_text(str_cut_utf8(text, 6));
    row[10] = k < 2 ? row_integer(k) : row_boolean(k & 1);
    row[11] = k == 7 ? row_text(STR_C("2026-11-21T03:15:00.250Z")) : row_time_ns(times[k]);
    row[12] = row_time_ns(times[k]);
    row[13] = row_time_ns(times[k]);
    row[14] = row_json(str_from_c(jsons[k]));
    row[15] = k == 5 ? row_time_ns(0) : k == 6 ? row_integer(5) : row_json(str_from_c(jsons[k]));
    row[16] = row_text(STR_C("01234567-89AB-cdef-0123-456789abcdef"));
    row[17] = str_find(text, '\\') >= 0 || !str_is_utf8(text) ? row_null() : row_text(text);
    row[18] = row_text(k & 1 ? STR_C("sad") : STR_C("glad"));
    row[19] = row_integer(k + 1);
    row[20] = row_null();
}

/* Both formats say the same: each value of each type lands as it would have as text. */
RUN(both_formats_say_the_same)
{
    World world = { 0 };
    static RowValue wide[9][ALL_COLUMNS], narrow[9][ALL_COLUMNS - 1];

    for (int k = 0; k < 8; k++)
        fill_all(wide[k], k);
    for (size_t c = 0; c < ALL_COLUMNS; c++)
        wide[8][c] = row_null();
    for (size_t k = 0; k < 9; k++)
        memcpy(narrow[k], wide[k], sizeof(narrow[k]));
    EXPECT_C(ask_pg(all_types), "");
    EXPECT_OK(world_open(&world, cluster.url, "table=bin"));
    EXPECT_OK(world_deliver(&world, all_columns, ALL_COLUMNS - 1, narrow[0], 9));
    EXPECT_C(world.verdict.text, "");
    world_close(&world);
    EXPECT_OK(world_open(&world, cluster.url, "table=txt"));
    EXPECT_OK(world_deliver(&world, all_columns, ALL_COLUMNS, wide[0], 9));
    EXPECT_C(world.verdict.text, "");
    world_close(&world);
    EXPECT_C(ask_pg("ALTER TABLE txt DROP net; SELECT count(*) FROM bin"), "9");
    EXPECT_C(ask_pg("SELECT bin::text FROM bin EXCEPT ALL SELECT txt::text FROM txt"), "");
    EXPECT_C(ask_pg("SELECT txt::text FROM txt EXCEPT ALL SELECT bin::text FROM bin"), "");
    EXPECT_C(
        ask_pg("SET timezone='UTC'; SELECT i2, i4, i8, n, n2, v, tz, d, jb FROM bin WHERE dom = 4"),
        "-17|2147418112|36027697507336192|1234567.891|1234567.89|\\N|2023-11-14 22:13:20.123457+00|"
        "2023-11-14|\"\xef\xbf\xbd\"");
    return 0;
}

/* Values that only the server can make sense of take the lot over to text, and later ones back. */
RUN(odd_values)
{
    static const RowColumn columns[] = { { .name = STR("a") }, { .name = STR("at") } };
    World world = { 0 };
    RowValue values[3][2] = { { row_integer(1), row_text(STR_C("2026-11-21 00:00:00+01")) },
                              { row_text(STR_C(" 2 ")), row_null() },
                              { row_text(STR_C("3")), row_time_ns(0) } };

    (void) ask_pg("CREATE TABLE odd (a integer, at timestamptz)");
    EXPECT_OK(world_open(&world, cluster.url, "table=odd"));
    for (int i = 0; i < 12; i++)
        EXPECT_OK(DELIVER(&world, columns, values));
    world_close(&world);
    EXPECT_C(
        ask_pg("SET timezone='UTC'; SELECT DISTINCT *, count(*) FROM odd GROUP BY 1, 2 ORDER BY 1"),
        "1|2026-11-20 23:00:00+00|12\n2|NULL|12\n3|1970-01-01 00:00:00+00|12");
    return 0;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const RowColumn three[] = { { .name = STR("k\"ey") },
                                   { .name = STR("v"), .kind = ROW_REAL },
                                   { .name = STR("at"), .kind = ROW_TIME } };

RUN(tables_are_made_and_grow)
{
    static const RowColumn four[] = { { .name = STR("k\"ey") },
                                      { .name = STR("v"), .kind = ROW_REAL },
                                      { .name = STR("at"), .kind = ROW_TIME },
                                      { .name = STR("new") } };
    World world = { .opts = { .can_grow = true } };
    RowValue narrow[2][3] = { { row_text(STR_C("a")), row_real(1, STR_C("1.0")), row_null() },
                              { row_text(STR_C("b")), row_null(), row_null() } };
    RowValue wide[2][4] = { { row_null(), row_null(), row_null(), row_integer(7) },
                            { row_null(), row_null(), row_null(), row_real(0.5, (Str){ 0 }) } };

    EXPECT_OK(world_open(&world, cluster.url, "table=grown"));
    EXPECT_EQ(world.mark, 0);
    EXPECT_OK(DELIVER(&world, three, narrow));
    EXPECT_OK(DELIVER(&world, four, wide));
    EXPECT_OK(DELIVER(&world, three, narrow)); /* narrower again: the others are null */
    EXPECT_STR(feed_note(world.feed), STR_C("it's \\ 3"));
    world_close(&world);
    EXPECT_C(
        ask_pg("SELECT string_agg(column_name || ' ' || data_type, ',' ORDER BY ordinal_position) "
               "FROM information_schema.columns WHERE table_name = 'grown'"),
        "k\"ey text,v double precision,at timestamp with time zone,new double precision");
    EXPECT_C(ask_pg("SELECT count(*), count(v), count(new), sum(new) FROM grown"), "6|2|2|7.5");

    world.opts.can_grow = false;
    EXPECT_OK(world_open(&world, cluster.url, "table=grown"));
    EXPECT_EQ(world.mark, 3);
    EXPECT_STR(feed_note(world.feed), STR_C("it's \\ 3"));
    (void) ask_pg("ALTER TABLE grown DROP new");
    EXPECT_EQ(DELIVER(&world, four, wide), FEED_STOP);
    EXPECT(strstr(world.verdict.text, "has no column \"new\""));
    EXPECT_OK(DELIVER(&world, three, narrow)); /* after a stop it goes on when it is mended */
    world_close(&world);
    return 0;
}

RUN(tables_that_change)
{
    static const RowColumn one[] = { { .name = STR("a"), .kind = ROW_INT } };
    World world = { .opts = { .can_grow = true } };
    RowValue values[2][1] = { { row_integer(1) }, { row_integer(2) } };

    EXPECT_OK(world_open(&world, cluster.url, "table=changing"));
    EXPECT_OK(DELIVER(&world, one, values));
    (void) ask_pg("ALTER TABLE changing ALTER a TYPE integer");
    EXPECT_OK(DELIVER(&world, one, values)); /* what was encoded as bigint fits no more */
    (void) ask_pg("ALTER TABLE changing ALTER a TYPE text");
    EXPECT_OK(DELIVER(&world, one, values));
    EXPECT_C(ask_pg("SELECT string_agg(a, ',') FROM changing"), "1,2,1,2,1,2");

    (void) ask_pg("ALTER TABLE changing RENAME TO elsewhere");
    EXPECT_EQ(DELIVER(&world, one, values), FEED_STOP);
    EXPECT_C(world.verdict.code, "42P01");
    EXPECT_EQ(DELIVER(&world, one, values), FEED_STOP);
    EXPECT(strstr(world.verdict.text, "was there and is gone"));
    (void) ask_pg("ALTER TABLE elsewhere RENAME TO changing");
    EXPECT_OK(DELIVER(&world, one, values));
    world_close(&world);
    return 0;
}

/* ---- rows that are refused ------------------------------------------------------------------- */

enum { MANY = 3000 };

/* Rows of a number and a text; those at BAD have -1 for a number. */
static RowValue *make_many(const size_t *bad, size_t n_bad)
{
    RowValue *values = mem_new_array(RowValue, MANY * 2);

    for (size_t i = 0; i < MANY; i++) {
        values[2 * i] = row_integer((int64_t) i);
        values[2 * i + 1] = row_text(STR_C("some text"));
    }
    for (size_t i = 0; i < n_bad; i++)
        values[2 * bad[i]] = row_integer(-1);
    return values;
}

static const RowColumn two[] = { { .name = STR("a"), .kind = ROW_INT },
                                 { .name = STR("b"), .kind = ROW_TEXT } };

SUSPENDS static void expect_refused(const char *table, const char *code)
{
    static const size_t bad[] = { 0, 1, 777, 1500, MANY - 1 };
    AUTO(mem_free) RowValue *values = make_many(bad, ARRAY_LEN(bad));
    World world = { 0 };
    char text[200];

    (void) snprintf(text, sizeof(text), "table=%s", table);
    EXPECT_OK(world_open(&world, cluster.url, text));
    EXPECT_EQ(world_deliver(&world, two, 2, values, MANY), FEED_REFUSED);
    EXPECT_EQ(world.verdict.n_refused, ARRAY_LEN(bad));
    for (size_t i = 0; i < world.verdict.n_refused; i++) {
        EXPECT_EQ(world.verdict.refused[i].row, bad[i]);
        EXPECT_C(world.verdict.refused[i].code, code);
        EXPECT(world.verdict.refused[i].text[0]);
    }
    (void) snprintf(text, sizeof(text), "SELECT count(*) FROM %s", table);
    EXPECT_C(ask_pg(text), "0"); /* waits for finish */
    EXPECT_OK(feed_finish(world.feed, &world.verdict));
    (void) snprintf(text, sizeof(text), "SELECT count(*), min(a), max(a) FROM %s", table);
    EXPECT_C(ask_pg(text), "2995|2|2998");

    /* Not finished: not there, and the same lot comes again. */
    EXPECT_EQ(world_deliver(&world, two, 2, values, MANY), FEED_REFUSED);
    world_close(&world);
    EXPECT_C(ask_pg(text), "2995|2|2998");
    (void) snprintf(text, sizeof(text), "SELECT mark, note FROM sluice_marks WHERE run = '%s'",
                    table);
    EXPECT_C(ask_pg(text), "1|it's \\ 1");
}

RUN(refused_with_a_position)
{
    (void) ask_pg("CREATE TABLE checked (a bigint CHECK (a >= 0), b text)");
    expect_refused("checked", "23514");
    (void) ask_pg(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.a < 0 THEN "
        "RAISE EXCEPTION 'not this one'; END IF; RETURN new; END $$;"
        "CREATE TABLE triggered (a bigint, b text); CREATE TRIGGER no BEFORE INSERT ON "
        "triggered FOR EACH ROW EXECUTE FUNCTION no()");
    expect_refused("triggered", "P0001");
    return 0;
}

/* Where the server does not say which row: halving. */
RUN(refused_without_a_position)
{
    (void) ask_pg(
        "CREATE TABLE known (a bigint PRIMARY KEY); INSERT INTO known SELECT "
        "generate_series(0, 5000); CREATE TABLE referring (a bigint REFERENCES known, b text)");
    expect_refused("referring", "23503");
    (void) ask_pg("CREATE TABLE late (a bigint REFERENCES known INITIALLY DEFERRED, b text)");
    expect_refused("late", "23503");
    return 0;
}

RUN(refused_by_a_unique_index)
{
    static const size_t bad[] = { 5, 6, 7, 2000 };
    AUTO(mem_free) RowValue *values = make_many(bad, ARRAY_LEN(bad));
    World world = { 0 };

    (void) ask_pg("CREATE TABLE uniq (a bigint UNIQUE, b text)");
    EXPECT_OK(world_open(&world, cluster.url, "table=uniq"));
    EXPECT_EQ(world_deliver(&world, two, 2, values, MANY), FEED_REFUSED);
    EXPECT_EQ(world.verdict.n_refused, 3); /* the first of them is in */
    EXPECT_EQ(world.verdict.refused[0].row, 6);
    EXPECT_C(world.verdict.refused[0].code, "23505");
    EXPECT_OK(feed_finish(world.feed, &world.verdict));
    EXPECT_C(ask_pg("SELECT count(*) FROM uniq"), "2997");
    /* A producer that heard nothing sends the lot once more: every row of it is there already. */
    EXPECT_EQ(world_deliver(&world, two, 2, values, MANY), FEED_REFUSED);
    EXPECT_EQ(world.verdict.n_refused, MANY);
    EXPECT_OK(feed_finish(world.feed, &world.verdict));
    EXPECT_C(ask_pg("SELECT count(*) FROM uniq"), "2997");
    world_close(&world);
    return 0;
}

/* Values that do not fit their column: what the server says of them as text. */
RUN(refused_values)
{
    World world = { 0 };
    RowValue values[4][2] = { { row_text(STR_C("soon")), row_null() },
                              { row_integer(INT64_C(1) << 40), row_null() },
                              { row_integer(3), row_text(STR_C("too long for it")) },
                              { row_integer(4), row_text(STR_C("ok")) } };

    (void) ask_pg("CREATE TABLE narrow (a integer, b varchar(4))");
    EXPECT_OK(world_open(&world, cluster.url, "table=narrow"));
    EXPECT_EQ(DELIVER(&world, two, values), FEED_REFUSED);
    EXPECT_EQ(world.verdict.n_refused, 3);
    EXPECT_C(world.verdict.refused[0].code, "22P02");
    EXPECT_C(world.verdict.refused[0].text,
             "column a: invalid input syntax for type integer: \"soon\"");
    EXPECT_C(world.verdict.refused[1].code, "22003");
    EXPECT_C(world.verdict.refused[2].code, "22001");
    EXPECT_OK(feed_finish(world.feed, &world.verdict));
    EXPECT_C(ask_pg("SELECT * FROM narrow"), "4|ok");
    world_close(&world);
    return 0;
}

/* ---- upsert ---------------------------------------------------------------------------------- */

RUN(upserts)
{
    World world = { .opts = { .can_grow = true } };
    RowValue first[4][2] = { { row_integer(1), row_text(STR_C("old")) },
                             { row_integer(2), row_text(STR_C("b")) },
                             { row_integer(1), row_null() },
                             { row_integer(1), row_text(STR_C("new")) } };
    RowValue second[3][2] = { { row_integer(2), row_text(STR_C("B")) },
                              { row_null(), row_text(STR_C("no key")) },
                              { row_integer(3), row_text(STR_C("c")) } };

    EXPECT_OK(world_open(&world, cluster.url, "table=upserted&mode=upsert&key=a"));
    EXPECT_OK(DELIVER(&world, two, first));
    EXPECT_C(ask_pg("SELECT * FROM upserted ORDER BY a"), "1|new\n2|b");
    EXPECT_EQ(DELIVER(&world, two, second), FEED_REFUSED);
    EXPECT_EQ(world.verdict.n_refused, 1);
    EXPECT_EQ(world.verdict.refused[0].row, 1);
    EXPECT_C(world.verdict.refused[0].code, "23502");
    EXPECT_OK(feed_finish(world.feed, &world.verdict));
    EXPECT_C(ask_pg("SELECT * FROM upserted ORDER BY a"), "1|new\n2|B\n3|c");
    world_close(&world);

    EXPECT_OK(world_open(&world, cluster.url, "table=upserted&mode=upsert&key=b"));
    EXPECT_EQ(DELIVER(&world, two, first), FEED_STOP);
    EXPECT_C(world.verdict.code, "42P10");
    EXPECT(strstr(world.verdict.text, "CREATE UNIQUE INDEX"));
    world_close(&world);
    return 0;
}

RUN(upserts_of_keys_alone_and_wider_rows)
{
    static const RowColumn one[] = { { .name = STR("a"), .kind = ROW_INT } };
    World world = { .opts = { .can_grow = true } };
    RowValue keys[3][1] = { { row_integer(1) }, { row_integer(1) }, { row_integer(2) } };
    RowValue wide[2][2] = { { row_integer(2), row_text(STR_C("x")) },
                            { row_integer(9), row_text(STR_C("bad \xff")) } };

    EXPECT_OK(world_open(&world, cluster.url, "table=keys&mode=upsert&key=a"));
    EXPECT_OK(DELIVER(&world, one, keys));
    EXPECT_OK(DELIVER(&world, one, keys));
    EXPECT_OK(DELIVER(&world, two, wide));
    (void) ask_pg("ALTER TABLE keys ALTER a TYPE smallint"); /* the temporary table is stale */
    EXPECT_OK(DELIVER(&world, two, wide));
    EXPECT_OK(DELIVER(&world, one, keys));
    EXPECT_C(ask_pg("SELECT * FROM keys ORDER BY a"), "1|NULL\n2|x\n9|bad \xef\xbf\xbd");
    world_close(&world);
    return 0;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void raise_in_trigger(const char *state)
{
    char sql[500];

    (void) snprintf(
        sql, sizeof(sql),
        "CREATE OR REPLACE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'as told' USING ERRCODE = '%s'; END $$",
        state);
    EXPECT_C(ask_pg(sql), "");
}

/* A full disk, a deadlock and so on: said by the server, not by the rows. */
RUN(what_states_mean)
{
    static const struct {
        const char *state;
        int outcome;
    } cases[] = { { "53100", FEED_FULL },  { "40P01", FEED_RETRY }, { "40001", FEED_RETRY },
                  { "53200", FEED_RETRY }, { "57014", FEED_RETRY }, { "25006", FEED_RETRY },
                  { "42501", FEED_STOP },  { "42703", FEED_STOP },  { "XX001", FEED_STOP } };
    World world = { 0 };
    RowValue values[1][2] = { { row_integer(1), row_null() } };

    (void) ask_pg("CREATE TABLE raising (a bigint, b text)");
    raise_in_trigger("53100");
    (void) ask_pg(
        "CREATE TRIGGER t BEFORE INSERT ON raising FOR EACH ROW EXECUTE FUNCTION raise()");
    EXPECT_OK(world_open(&world, cluster.url, "table=raising"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        raise_in_trigger(cases[i].state);
        EXPECT_EQ(DELIVER(&world, two, values), cases[i].outcome);
        EXPECT_C(world.verdict.code, cases[i].state);
        EXPECT(strstr(world.verdict.text, "as told"));
    }
    (void) ask_pg("DROP TRIGGER t ON raising");
    EXPECT_OK(DELIVER(&world, two, values));
    world_close(&world);
    EXPECT_C(ask_pg("SELECT count(*) FROM raising"), "1");
    return 0;
}

SUSPENDS static int hold_lock(void *arg)
{
    FILE **pipe = arg;
    char command[500], line[64] = "";

    (void) snprintf(command, sizeof(command),
                    "%s/psql -h %s -U sluice -d postgres -qAt -c 'BEGIN; LOCK TABLE locked; SELECT "
                    "1' -c 'SELECT pg_sleep(60)' 2>&1",
                    cluster.bin, cluster.dir);
    *pipe = popen(command, "r");
    return *pipe && fgets(line, sizeof(line), *pipe) ? 0 : -EIO;
}

RUN(locks_and_rights)
{
    World world = { 0 };
    RowValue values[1][2] = { { row_integer(1), row_null() } };
    FILE *pipe = NULL;

    (void) ask_pg(
        "CREATE TABLE locked (a bigint, b text); CREATE ROLE poor LOGIN; GRANT ALL ON SCHEMA "
        "public TO poor; GRANT INSERT ON locked TO poor");
    EXPECT_OK(world_open(&world, cluster.url, "table=locked&options=-c%20lock_timeout%3D100ms"));
    EXPECT_OK(sl_offload(hold_lock, &pipe));
    EXPECT_EQ(DELIVER(&world, two, values), FEED_RETRY);
    EXPECT_C(world.verdict.code, "55P03");
    (void) ask_pg(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' "
        "AND pid <> pg_backend_pid()");
    if (pipe)
        (void) pclose(pipe);
    EXPECT_OK(DELIVER(&world, two, values));
    world_close(&world);
    {
        char url[300];

        (void) snprintf(url, sizeof(url), "postgresql:///postgres?host=%s&user=poor", cluster.dir);
        (void) ask_pg("GRANT ALL ON sluice_marks TO poor");
        world.opts.run_id = STR_C("poor");
        EXPECT_OK(world_open(&world, url, "table=locked"));
        EXPECT_OK(DELIVER(&world, two, values));
        (void) ask_pg("REVOKE INSERT ON locked FROM poor");
        EXPECT_EQ(DELIVER(&world, two, values), FEED_STOP);
        EXPECT_C(world.verdict.code, "42501");
        (void) ask_pg("GRANT INSERT ON locked TO poor");
        EXPECT_OK(DELIVER(&world, two, values));
        world_close(&world);
    }
    EXPECT_C(ask_pg("SELECT count(*) FROM locked"), "3");
    return 0;
}

/* ---- marks ----------------------------------------------------------------------------------- */

RUN(marks)
{
    World world = { 0 }, other = { .opts = { .run_id = STR("marks") } };
    RowValue values[1][2] = { { row_integer(1), row_null() } };

    EXPECT_OK(world_open(&world, cluster.url, "table=marks"));
    EXPECT_OK(DELIVER(&world, two, values));
    world.mark = 0;
    EXPECT_OK(DELIVER(&world, two, values)); /* F2: nothing is written twice */
    EXPECT_C(ask_pg("SELECT count(*) FROM marks"), "1");
    /* Another session of the run waits: this one may be in the middle of a commit. */
    EXPECT_EQ(world_open(&other, cluster.url, "table=marks&options=-c%20lock_timeout%3D100ms"),
              FEED_RETRY);
    EXPECT_C(other.verdict.code, "55P03");
    EXPECT(strstr(other.verdict.text, "another one may hold this run"));
    world_close(&other);
    /* The server ends the session, and somebody has restored a backup meanwhile. */
    (void) ask_pg(
        "UPDATE sluice_marks SET mark = 0 WHERE run = 'marks'; SELECT pg_terminate_backend(pid) "
        "FROM pg_stat_activity WHERE application_name = 'sluice'");
    EXPECT_EQ(DELIVER(&world, two, values), FEED_RETRY);
    EXPECT_EQ(DELIVER(&world, two, values), FEED_STOP);
    EXPECT(strstr(world.verdict.text, "a backup was restored"));
    world_close(&world);
    world.opts.is_synced = true;
    EXPECT_OK(world_open(&world, cluster.url, "table=marks&options=-c%20synchronous_commit%3Doff"));
    EXPECT_OK(DELIVER(&world, two, values));
    world_close(&world);
    return 0;
}

/* Take the lock of the run "unsure" as soon as it is free, and keep it. */
SUSPENDS static int hold_run(void *arg)
{
    FILE **pipe = arg;
    char command[500], line[64] = "";

    (void) snprintf(
        command, sizeof(command),
        "%s/psql -h %s -U sluice -d postgres -qAt -c 'SELECT pg_advisory_lock(%lld)' -c "
        "'SELECT pg_sleep(60)' 2>&1",
        cluster.bin, cluster.dir, (long long) (int64_t) hash_bytes("unsure", 6, 7584, 5));
    (void) ask_pg("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                  "'sluice'");
    *pipe = popen(command, "r");
    return *pipe && fgets(line, sizeof(line), *pipe) ? 0 : -EIO;
}

/* The connection was lost in a commit at which the server still is. Would catch: a session that
 * could not have the lock, and goes on without it and without a look at the mark. */
RUN(a_commit_that_takes_its_time)
{
    World world = { 0 };
    RowValue values[1][2] = { { row_integer(1), row_null() } };
    FILE *pipe = NULL;
    int r;

    EXPECT_OK(world_open(&world, cluster.url, "table=unsure&options=-c%20lock_timeout%3D100ms"));
    EXPECT_OK(DELIVER(&world, two, values));
    EXPECT_OK(sl_offload(hold_run, &pipe));
    EXPECT_EQ(DELIVER(&world, two, values), FEED_RETRY);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(DELIVER(&world, two, values), FEED_RETRY);
        EXPECT_C(world.verdict.code, "55P03");
    }
    (void) ask_pg(
        "INSERT INTO unsure VALUES (1, NULL); UPDATE sluice_marks SET mark = 2 WHERE run = "
        "'unsure'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE "
        "'%pg_sleep%' AND pid <> pg_backend_pid()");
    if (pipe)
        (void) pclose(pipe);
    do
        r = DELIVER(&world, two, values);
    while (r == FEED_RETRY); /* until the other session has let the lock go */
    EXPECT_OK(r);
    EXPECT_C(ask_pg("SELECT count(*) FROM unsure"), "2");
    world_close(&world);
    return 0;
}

RUN(databases_that_are_not_there)
{
    World world = { 0 };
    char url[300];

    EXPECT_EQ(world_open(&world, "postgresql://u:geheim@127.0.0.1:1/d?x=1", "table=t"), FEED_STOP);
    world_close(&world);
    EXPECT_EQ(
        world_open(&world, "postgresql://u:geheim@127.0.0.1:1/d?connect_timeout=2", "table=t"),
        FEED_RETRY);
    EXPECT(strstr(world.verdict.text, "refused") && !strstr(world.verdict.text, "geheim"));
    world_close(&world);
    (void) snprintf(url, sizeof(url), "postgresql:///nix?host=%s&user=sluice", cluster.dir);
    EXPECT_EQ(world_open(&world, url, "table=t"), FEED_STOP);
    EXPECT(strstr(world.verdict.text, "\"nix\" does not exist"));
    world_close(&world);
    return 0;
}

/* ---- a full disk ----------------------------------------------------------------------------- */

/* A disk of 8 MB for the server; only root may make one. */
static bool make_small_disk(void)
{
    char command[400], sql[200];

    if (getuid() != 0)
        return false;
    (void) snprintf(
        command, sizeof(command),
        "mkdir %s/small && mount -t tmpfs -o size=8m,uid=$(id -u nobody),mode=0700 tmpfs "
        "%s/small 2>&1",
        cluster.dir, cluster.dir);
    if (system(command) != 0)
        return false;
    (void) snprintf(sql, sizeof(sql), "CREATE TABLESPACE small LOCATION '%s/small'", cluster.dir);
    EXPECT_C(ask_pg(sql), "");
    return true;
}

SUSPENDS static int fill_disk_main(UNUSED void *arg)
{
    AUTO(mem_free) RowValue *values = make_many(NULL, 0);
    World world = { 0 };
    char sql[100];
    uint64_t mark;
    int r = 0;

    (void) ask_pg(
        "CREATE TABLE filler (t text) TABLESPACE small; INSERT INTO filler SELECT "
        "repeat('x', 1000) FROM generate_series(1, 5000); CREATE TABLE full_disk (a bigint, b "
        "text) TABLESPACE small");
    EXPECT_OK(world_open(&world, cluster.url, "table=full_disk"));
    for (int i = 0; i < 100 && r == 0; i++)
        r = world_deliver(&world, two, 2, values, MANY);
    EXPECT_EQ(r, FEED_FULL);
    EXPECT_C(world.verdict.code, "53100");
    mark = world.mark;
    EXPECT_EQ(world_deliver(&world, two, 2, values, MANY), FEED_FULL);
    EXPECT_C(ask_pg("DROP TABLE filler; CHECKPOINT"), "");
    EXPECT_OK(world_deliver(&world, two, 2, values, MANY));
    EXPECT_EQ(world.mark, mark + 1);
    world_close(&world);
    (void) snprintf(sql, sizeof(sql), "%llu", (unsigned long long) (MANY * (mark + 1)));
    EXPECT_C(ask_pg("SELECT count(*) FROM full_disk"), sql);
    return 0;
}

TEST(a_disk_that_is_full)
{
    char command[200];

    if (cluster.why_not) {
        test_skip(cluster.why_not);
        return;
    }
    if (!make_small_disk()) {
        test_skip("a small disk cannot be mounted here");
        return;
    }
    EXPECT_OK(sl_run(fill_disk_main, NULL, .loop = SL_LOOP_EPOLL, .stall_ms = -1));
    EXPECT_C(ask_pg("DROP TABLE full_disk; DROP TABLESPACE small"), "");
    (void) snprintf(command, sizeof(command), "umount %s/small && rmdir %s/small", cluster.dir,
                    cluster.dir);
    EXPECT_EQ(system(command), 0);
}

TEST(server_ends)
{
    pg_cluster_stop(&cluster);
}

TEST_MAIN()
