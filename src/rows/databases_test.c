/*
 * What the databases make of values: types of new tables, tables that are there, hostile texts,
 * values that do not fit. Read back by the databases' own libraries.
 */
#include "base/test.h"
#include "rows/pg_cluster_test.h"
#include "rows/sink.h"

#include <sluice/rt.h>

#if SL_HAVE_SQLITE
#include <sqlite3.h>
#endif

static const RowColumn columns[] = {
    { .name = STR("t"), .kind = ROW_TEXT },
    { .name = STR("i"), .kind = ROW_INT },
    { .name = STR("r"), .kind = ROW_REAL },
    { .name = STR("b"), .kind = ROW_BOOL },
    { .name = STR("at"), .kind = ROW_TIME },
    { .name = STR("j"), .kind = ROW_JSON },
    { .name = STR("any \"1\"") },
};

static PgCluster cluster = { .why_not = "not started" };
static char answer[4096];

typedef struct Write {
    const char *text;
    const RowColumn *columns;
    size_t n_columns;
    const RowBatch *batches[2];
} Write;

static int write_main(void *arg)
{
    Write *op = arg;
    AUTO(arena_deinit) Arena arena = { 0 };
    SinkSpec spec;
    Sink *sink = NULL;
    int r = sink_spec_parse(&arena, str_from_c(op->text), &spec);

    if (r == 0)
        r = sink_open(&sink, &spec,
                      &(SinkOpts){ .columns = op->columns, .n_columns = op->n_columns }, NULL);
    for (size_t i = 0; i < 2 && op->batches[i] && r == 0; i++)
        r = sink_write(sink, op->batches[i]);
    if (r == 0)
        r = sink_commit(sink);
    sink_close(sink);
    return r;
}

static int write_batches(const char *text, const RowBatch *first, const RowBatch *second)
{
    Write op = { text, first->columns, first->n_columns, { first, second } };

    return sl_run(write_main, &op, .loop = SL_LOOP_EPOLL, .stall_ms = -1);
}

static void fill(RowBatch *batch)
{
    RowValue *row;

    row_batch_init(batch, columns, ARRAY_LEN(columns));
    row = row_batch_add(batch);
    row[0] = row_text(STR_C("a'b\"c\\.\n\t\\N"));
    row[1] = row_integer(INT64_MIN);
    row[2] = row_real(19.9, STR_C("19.90"));
    row[3] = row_boolean(true);
    row[4] = row_time_ns(1500 * INT64_C(1000000));
    row[5] = row_json(STR_C("{\"a\":\"\\u0000\"}"));
    row[6] = row_integer(7);
    row = row_batch_add(batch);
    row[0] = row_text(STR_C("")); /* not null */
    row[6] = row_text(STR_C("mixed \xff"));
    (void) row_batch_add(batch);
}

static int on_row(void *ctx, int n, char **values, char **names)
{
    (void) ctx;
    (void) names;
    for (int i = 0; i < n; i++) {
        size_t at = strlen(answer);

        (void) snprintf(answer + at, sizeof(answer) - at, "%s%s", values[i] ? values[i] : "NULL",
                        i + 1 < n ? "|" : "\n");
    }
    return 0;
}

static void ask_sqlite(const char *path, const char *sql)
{
    answer[0] = '\0';
#if SL_HAVE_SQLITE
    sqlite3 *db = NULL;

    (void) sqlite3_open(path, &db);
    if (sqlite3_exec(db, sql, on_row, NULL, NULL) != SQLITE_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", sql, sqlite3_errmsg(db));
    (void) sqlite3_close(db);
#else
    (void) path;
    (void) sql;
    (void) on_row;
#endif
}

TEST(sqlite_types_and_values)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };

    if (!SL_HAVE_SQLITE || chdir(test_dir()) < 0) {
        test_skip("no sqlite");
        return;
    }
    fill(&batch);
    EXPECT_OK(write_batches("v.db?table=a \"b\"", &batch, NULL));
    ask_sqlite("v.db", "SELECT sql FROM sqlite_master");
    EXPECT_C(answer, "CREATE TABLE \"a \"\"b\"\"\" (\"t\" TEXT, \"i\" INTEGER, \"r\" REAL, \"b\" "
                     "BOOLEAN, \"at\" TEXT, \"j\" TEXT, \"any \"\"1\"\"\" TEXT)\n");
    ask_sqlite("v.db", "SELECT *, typeof(r) FROM \"a \"\"b\"\"\"");
    EXPECT_C(answer,
             "a'b\"c\\.\n\t\\N|-9223372036854775808|19.9|1|1970-01-01T00:00:01.500Z|"
             "{\"a\":\"\\u0000\"}|7|real\n|NULL|NULL|NULL|NULL|NULL|mixed \xef\xbf\xbd|null\n"
             "NULL|NULL|NULL|NULL|NULL|NULL|NULL|null\n");
    ask_sqlite("v.db", "PRAGMA journal_mode");
    EXPECT_C(answer, "delete\n");
}

/* Rows of two columns, the second of which is VALUE. */
static void fill_two(RowBatch *batch, RowValue value)
{
    static const RowColumn two[] = { { .name = STR("a") }, { .name = STR("b") } };
    RowValue *row;

    row_batch_init(batch, two, 2);
    row = row_batch_add(batch);
    row[0] = row_text(STR_C("k"));
    row[1] = value;
}

TEST(sqlite_tables_that_are_there)
{
    AUTO(row_batch_deinit) RowBatch ints = { 0 };
    AUTO(row_batch_deinit) RowBatch texts = { 0 };

    if (!SL_HAVE_SQLITE)
        return;
    fill_two(&ints, row_integer(1));
    fill_two(&texts, row_text(STR_C("soon")));
    ask_sqlite("w.db", "CREATE TABLE rows (a, id INTEGER PRIMARY KEY); CREATE TABLE fits (z "
                       "DEFAULT 9, B, A); CREATE INDEX ix ON fits (a); CREATE TABLE k (a, b)");
    EXPECT_ERR(write_batches("w.db", &ints, NULL), -ERR_CONFLICT,
               "the table rows is there and has no column \"b\"; add it");
    EXPECT_OK(write_batches("w.db?table=fits", &ints, &texts)); /* untyped columns take all */
    ask_sqlite("w.db", "SELECT * FROM fits");
    EXPECT_C(answer, "9|1|k\n9|soon|k\n");
    EXPECT_OK(write_batches("w.db?table=fits&mode=replace", &ints, NULL)); /* keeps its index */
    ask_sqlite("w.db", "SELECT * FROM fits; SELECT name FROM sqlite_master WHERE name = 'ix'");
    EXPECT_C(answer, "9|1|k\nix\n");
    EXPECT_OK(write_batches("w.db?mode=replace", &ints, NULL)); /* made anew */
    ask_sqlite("w.db", "SELECT * FROM rows");
    EXPECT_C(answer, "k|1\n");
    EXPECT_ERR(write_batches("w.db?table=k&mode=upsert&key=a", &ints, NULL), -ERR_CONFLICT,
               "no unique index over (\"a\")");
    EXPECT_ERR(write_batches("w.db?table=n", &ints, &texts), -ERR_INVALID,
               "row 2, column b: the value soon is of kind text, and the column takes integer");
    ask_sqlite("w.db", "SELECT count(*) FROM sqlite_master WHERE name = 'n'");
    EXPECT_C(answer, "0\n");
    {
        FILE *file = fopen("no.db", "w");

        (void) fputs("this is certainly not a database, but a text of some length\n", file);
        (void) fclose(file);
    }
    EXPECT_ERR(write_batches("no.db", &ints, NULL), -ERR_INVALID, "file is not a database");
}

static void ask_pg(const char *sql)
{
    char command[1500];
    FILE *pipe;
    size_t n;

    (void) snprintf(command, sizeof(command),
                    "psql -h %s -U sluice -d postgres -qAt -P null=NULL -c \"%s\" 2>&1",
                    cluster.dir, sql);
    pipe = popen(command, "r");
    n = pipe ? fread(answer, 1, sizeof(answer) - 1, pipe) : 0;
    answer[n] = '\0';
    if (pipe)
        (void) pclose(pipe);
}

static int write_pg(const char *options, const RowBatch *first, const RowBatch *second)
{
    char text[500];

    (void) snprintf(text, sizeof(text), "%s&%s", cluster.url, options);
    return write_batches(text, first, second);
}

static void pg_body(void)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    AUTO(row_batch_deinit) RowBatch ints = { 0 };
    AUTO(row_batch_deinit) RowBatch texts = { 0 };

    fill(&batch);
    fill_two(&ints, row_integer(1));
    fill_two(&texts, row_text(STR_C("soon")));
    EXPECT_OK(write_pg("table=v", &batch, NULL));
    ask_pg("SELECT string_agg(data_type, ',' ORDER BY ordinal_position) FROM "
           "information_schema.columns WHERE table_name = 'v'");
    EXPECT_C(answer, "text,bigint,numeric,boolean,timestamp with time zone,jsonb,text\n");
    ask_pg("SET timezone = 'UTC'; SELECT * FROM v");
    EXPECT_C(answer, "a'b\"c\\.\n\t\\N|-9223372036854775808|19.90|t|1970-01-01 00:00:01.5+00|"
                     "{\"a\": \"\xef\xbf\xbd\"}|7\n|NULL|NULL|NULL|NULL|NULL|mixed \xef\xbf\xbd\n"
                     "NULL|NULL|NULL|NULL|NULL|NULL|NULL\n");
    ask_pg("CREATE TABLE less (a text); CREATE SCHEMA s; CREATE TABLE s.typed (a text, b integer)");
    EXPECT_ERR(write_pg("table=less", &ints, NULL), -ERR_CONFLICT, "has no column \"b\"");
    EXPECT_ERR(write_pg("table=s.typed", &ints, &texts), -ERR_INVALID,
               "invalid input syntax for type integer: \"soon\" (COPY typed, line 2, column b");
    EXPECT_ERR(write_pg("table=s.typed&mode=upsert&key=a", &ints, NULL), -ERR_CONFLICT,
               "no unique index");
    ask_pg("SELECT count(*) FROM s.typed");
    EXPECT_C(answer, "0\n");
    EXPECT_ERR(write_pg("table=n", &ints, &texts), -ERR_INVALID, "row 2, column b: the value soon");
}

TEST(postgresql_types_and_values)
{
    pg_cluster_start(&cluster);
    if (cluster.why_not)
        test_skip(cluster.why_not);
    else
        pg_body();
}

TEST(postgresql_that_cannot_be_reached)
{
    AUTO(row_batch_deinit) RowBatch ints = { 0 };

    if (!SL_HAVE_PQ)
        return;
    fill_two(&ints, row_integer(1));
    EXPECT_ERR(write_batches("postgresql://u:geheim@127.0.0.1:1/d", &ints, NULL), -ERR_NETWORK,
               "postgresql://u:***@127.0.0.1:1/d: connection to");
    EXPECT_ERR(write_batches("postgresql://u@h.invalid/d", &ints, NULL), -ERR_DNS, "h.invalid");
    EXPECT_ERR(write_batches("postgresql://u@h/d?nonsense=1", &ints, NULL), -ERR_INVALID,
               "nonsense");
    if (cluster.why_not)
        return;
    {
        char text[300];

        (void) snprintf(text, sizeof(text), "postgresql:///nix?host=%s&user=sluice", cluster.dir);
        EXPECT_ERR(write_batches(text, &ints, NULL), -ERR_NOT_FOUND, "\"nix\" does not exist");
        (void) snprintf(text, sizeof(text), "postgresql:///postgres?host=%s&user=nix", cluster.dir);
        EXPECT_ERR(write_batches(text, &ints, NULL), -ERR_FORBIDDEN, "role \"nix\"");
    }
}

TEST(server_ends)
{
    pg_cluster_stop(&cluster);
}

TEST_MAIN()
