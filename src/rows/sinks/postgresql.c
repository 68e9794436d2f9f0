/*
 * postgresql: rows into a table of a PostgreSQL database, by COPY.
 *
 *   open        connect; on resume the run's mark is looked up
 *   first rows  BEGIN; the table is made, emptied or checked; COPY begins
 *   checkpoint  COPY ends; with upsert the rows move over; the mark goes into sluice_marks; COMMIT
 *   commit      as above without the mark
 *   close       the connection goes, and with it what is not committed
 *
 * Upsert copies into a temporary table with a number for each row and moves the newest row of each
 * key with INSERT … ON CONFLICT: a key may come twice in a run.
 *
 * Replace deletes the rows of a table that has all our columns, so that readers see the old ones
 * until the commit and its indexes and rights stay; otherwise the table is dropped and made anew.
 *
 * Types: text, bigint, double precision (numeric, where the first rows carry digits as they were
 * written: prices stay 19.90), boolean, timestamptz, jsonb. A table that is there keeps its own
 * types, and the server says which value does not fit.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/pg_conn.h"
#include "rows/pg_copy.h"
#include "rows/pg_feed.h"
#include "rows/row_types.h"
#include "rows/sql_text.h"

#define PG_PLACE_BYTES    256
#define PG_GRACE_MS       60000
#define PG_OFFLOAD_VALUES 4096 /* formatted on a pool thread */
#define PG_STAGING        "pg_temp.sluice_staging"
#define PG_ORDER          "\"sluice row\""

typedef struct PgSink {
    const SinkSpec *spec; /* borrowed from the sink */
    const RowColumn *columns;
    size_t n_columns;
    char *run_id; /* owned */
    PgConn *conn;
    RowTypes types;
    bool is_ready; /* the table is there and fits */
    bool is_begun; /* a transaction is open */
    bool is_copying;
    bool is_continued; /* the table holds rows of this run */
    uint64_t mark;
    uint64_t rows; /* of this process */
    Buf table;     /* its name, quoted, NUL-terminated */
    Buf copy;      /* of one batch */
    Buf note;
    char place[PG_PLACE_BYTES];
} PgSink;

/* ---- statements ------------------------------------------------------------------------------ */

SUSPENDS static int run_buf(PgSink *sink, const char *what, Buf *sql)
{
    int r;

    buf_add_char(sql, '\0');
    r = buf_check(sql);
    return r < 0 ? r : pg_conn_run(sink->conn, what, sql->data);
}

static void on_mark(void *ctx, const char *const *values, int n_values)
{
    PgSink *sink = ctx;
    int64_t mark = 0;

    if (n_values != 2 || !values[0] || str_to_i64(str_from_c(values[0]), 0, INT64_MAX, &mark) < 0)
        return;
    sink->is_continued = true;
    sink->mark = (uint64_t) mark;
    buf_add_c(&sink->note, values[1] ? values[1] : "");
}

static void on_one(void *ctx, const char *const *values, int n_values)
{
    bool *is_there = ctx;

    *is_there = n_values > 0 && values[0];
}

/* On resume read the run's mark; otherwise forget one that an earlier start of the run left. */
SUSPENDS static int read_mark(PgSink *sink, bool is_resume, uint64_t caller_mark)
{
    static const char select[] = "SELECT mark, note FROM sluice_marks WHERE run = $1";
    static const char forget[] = "DELETE FROM sluice_marks WHERE run = $1";
    const char *const params[] = { sink->run_id };
    bool is_there = false;
    int r = pg_conn_ask(sink->conn, "read the marks", "SELECT to_regclass('sluice_marks')", NULL, 0,
                        on_one, &is_there);

    if (r == 0 && is_there)
        r = pg_conn_ask(sink->conn, "read the marks", is_resume ? select : forget, params, 1,
                        on_mark, sink);
    if (r == 0 && sink->mark < caller_mark)
        return fail(-ERR_CONFLICT,
                    "it holds mark %llu of this run, which had reached %llu: it is "
                    "another database than then; start the run anew",
                    (unsigned long long) sink->mark, (unsigned long long) caller_mark);
    return r;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const char *type_of(const PgSink *sink, size_t c)
{
    switch (sink->types.kinds[c]) {
    case ROW_INT: return "bigint";
    case ROW_REAL: return sink->types.has_digits[c] ? "numeric" : "double precision";
    case ROW_BOOL: return "boolean";
    case ROW_TIME: return "timestamptz";
    case ROW_JSON: return "jsonb";
    case ROW_ANY:
    case ROW_TEXT: return "text";
    }
    UNREACHABLE("all kinds are above");
}

SUSPENDS static int make_table(PgSink *sink, const RowBatch *first)
{
    AUTO(buf_deinit) Buf sql = { 0 };

    for (size_t c = 0; c < sink->n_columns; c++)
        sink->types.kinds[c] = sink->columns[c].kind;
    row_types_settle(&sink->types, first);
    buf_printf(&sql, "CREATE TABLE %s (", sink->table.data);
    for (size_t c = 0; c < sink->n_columns; c++) {
        buf_add_c(&sql, c == 0 ? "" : ", ");
        sql_add_name(&sql, sink->columns[c].name);
        buf_printf(&sql, " %s", type_of(sink, c));
    }
    if (sink->spec->n_keys > 0) {
        buf_add_c(&sql, ", PRIMARY KEY (");
        sql_add_keys(&sql, sink->spec);
        buf_add_char(&sql, ')');
    }
    buf_add_char(&sql, ')');
    return run_buf(sink, "make the table", &sql);
}

typedef struct PgLook {
    const PgSink *sink;
    bool *is_found; /* for each column */
    bool is_there;
} PgLook;

static void on_column(void *ctx, const char *const *values, int n_values)
{
    PgLook *look = ctx;

    look->is_there = true;
    for (size_t c = 0; c < look->sink->n_columns && n_values > 0 && values[0]; c++) {
        if (str_eq_c(look->sink->columns[c].name, values[0]))
            look->is_found[c] = true;
    }
}

/* Look at the table that may be there: whether it is, and which of our columns it lacks. */
SUSPENDS static int look_at_table(PgSink *sink, bool *ret_is_there, Buf *missing)
{
    static const char sql[] =
        "SELECT coalesce(a.attname, '') FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = "
        "c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE c.oid = to_regclass($1)";
    AUTO(mem_free) bool *is_found = mem_new_array(bool, sink->n_columns);
    const char *const params[] = { sink->table.data };
    PgLook look = { .sink = sink, .is_found = is_found };
    int r = pg_conn_ask(sink->conn, "look at the table", sql, params, 1, on_column, &look);

    if (r < 0)
        return r;
    for (size_t c = 0; c < sink->n_columns && look.is_there; c++) {
        if (is_found[c])
            continue;
        if (missing->len > 0)
            buf_add_c(missing, ", ");
        sql_add_name(missing, sink->columns[c].name);
    }
    *ret_is_there = look.is_there;
    return buf_check(missing);
}

SUSPENDS static int ready_table(PgSink *sink, const RowBatch *first)
{
    AUTO(buf_deinit) Buf missing = { 0 };
    AUTO(buf_deinit) Buf sql = { 0 };
    bool is_there = false, is_replaced = sink->spec->mode == SINK_REPLACE && !sink->is_continued;
    int r = look_at_table(sink, &is_there, &missing);

    if (r < 0)
        return r;
    if (!is_there)
        return make_table(sink, first);
    if (missing.len > 0 && !is_replaced)
        return sql_refuse_columns(sink->spec, buf_str(&missing));
    for (size_t c = 0; c < sink->n_columns; c++)
        sink->types.kinds[c] = ROW_ANY; /* the server knows its types */
    if (!is_replaced)
        return 0;
    buf_printf(&sql, "%s %s", missing.len > 0 ? "DROP TABLE" : "DELETE FROM", sink->table.data);
    r = run_buf(sink, "replace the table", &sql);
    return r < 0 || missing.len == 0 ? r : make_table(sink, first);
}

/* ---- transactions ---------------------------------------------------------------------------- */

/* The temporary table that an upsert copies into. */
SUSPENDS static int make_staging(PgSink *sink)
{
    AUTO(buf_deinit) Buf sql = { 0 };

    buf_add_c(&sql, "CREATE TEMP TABLE sluice_staging ON COMMIT DROP AS SELECT ");
    sql_add_columns(&sql, sink->columns, sink->n_columns);
    buf_printf(&sql, ", 0::bigint AS " PG_ORDER " FROM %s WITH NO DATA", sink->table.data);
    return run_buf(sink, "make the temporary table", &sql);
}

/* Move what was copied from the temporary table over. */
SUSPENDS static int move_staging(PgSink *sink)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    Err err;
    int r;

    buf_printf(&sql, "INSERT INTO %s (", sink->table.data);
    sql_add_columns(&sql, sink->columns, sink->n_columns);
    buf_add_c(&sql, ") SELECT DISTINCT ON (");
    sql_add_keys(&sql, sink->spec);
    buf_add_c(&sql, ") ");
    sql_add_columns(&sql, sink->columns, sink->n_columns);
    buf_add_c(&sql, " FROM " PG_STAGING " ORDER BY ");
    sql_add_keys(&sql, sink->spec);
    buf_add_c(&sql, ", " PG_ORDER " DESC");
    sql_add_on_conflict(&sql, sink->spec, sink->columns, sink->n_columns);
    r = run_buf(sink, "upsert", &sql);
    if (r == 0)
        return 0;
    err_take(r, &err);
    if (!strstr(err.text, "ON CONFLICT"))
        return err_put(&err);
    return fail(-ERR_CONFLICT,
                "the table %.*s has no unique index over its key, which mode=upsert "
                "needs: CREATE UNIQUE INDEX …",
                (int) sink->spec->table.len, sink->spec->table.data);
}

SUSPENDS static int begin(PgSink *sink, const RowBatch *first)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    int r;

    if (sink->is_begun)
        return 0;
    buf_printf(&sql, "BEGIN; SET LOCAL lock_timeout = %d", LIMIT_SINK_LOCK_MS);
    r = run_buf(sink, "begin", &sql);
    if (r == 0 && !sink->is_ready)
        r = ready_table(sink, first);
    if (r == 0 && sink->spec->mode == SINK_UPSERT)
        r = make_staging(sink);
    sink->is_begun = r == 0;
    sink->is_ready |= r == 0;
    return r;
}

SUSPENDS static int begin_copy(PgSink *sink, const RowBatch *first)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    bool is_upsert = sink->spec->mode == SINK_UPSERT;
    int r = begin(sink, first);

    if (r < 0 || sink->is_copying)
        return r;
    buf_printf(&sql, "COPY %s (", is_upsert ? PG_STAGING : sink->table.data);
    sql_add_columns(&sql, sink->columns, sink->n_columns);
    buf_printf(&sql, "%s) FROM STDIN", is_upsert ? ", " PG_ORDER : "");
    buf_add_char(&sql, '\0');
    r = buf_check(&sql);
    if (r == 0)
        r = pg_conn_copy_begin(sink->conn, sql.data);
    sink->is_copying = r == 0;
    return r;
}

SUSPENDS static int write_mark(PgSink *sink, uint64_t mark)
{
    static const char sql[] =
        "INSERT INTO sluice_marks (run, mark, note) VALUES ($1, $2, $3) ON CONFLICT (run) "
        "DO UPDATE SET mark = excluded.mark, note = excluded.note";
    char number[24];
    const char *const params[] = { sink->run_id, number, sink->note.data };
    int r;

    (void) snprintf(number, sizeof(number), "%llu", (unsigned long long) mark);
    buf_add_char(&sink->note, '\0');
    r = buf_check(&sink->note);
    if (r == 0)
        r = pg_conn_run(sink->conn, "make the table of marks",
                        "CREATE TABLE IF NOT EXISTS sluice_marks (run text PRIMARY KEY, mark "
                        "bigint NOT NULL, note text)");
    return r < 0 ? r : pg_conn_ask(sink->conn, "write the mark", sql, params, 3, NULL, NULL);
}

/* End the transaction so that its rows are durable; MARK 0: without one. */
SUSPENDS static int end(PgSink *sink, uint64_t mark)
{
    int r = begin(sink, NULL);

    if (r == 0 && sink->is_copying) {
        r = pg_conn_copy_end(sink->conn);
        sink->is_copying = false;
    }
    if (r == 0 && sink->spec->mode == SINK_UPSERT)
        r = move_staging(sink);
    if (r == 0 && mark > 0)
        r = write_mark(sink, mark);
    if (r < 0)
        return r;
    r = pg_conn_run(sink->conn, "commit", "COMMIT");
    if (r < 0 && !pg_conn_is_alive(sink->conn))
        return wrap(r, "whether the last rows were committed is not known");
    if (r < 0)
        return r;
    sink->is_begun = false;
    sink->is_continued = true;
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

typedef struct PgRows {
    PgSink *sink;
    const RowBatch *batch;
    uint64_t mark;
} PgRows;

static int format_row(PgSink *sink, const RowValue *row, uint64_t number, Buf *scratch)
{
    Buf *copy = &sink->copy;

    for (size_t c = 0; c < sink->n_columns; c++) {
        RowValue value = row[c];
        int r;

        if (c > 0)
            buf_add_char(copy, '\t');
        if (value.kind != sink->types.kinds[c] && value.kind != ROW_ANY) {
            buf_reset(scratch);
            r = row_types_fit(&sink->types, c, &row[c], number, scratch, &value);
            if (r < 0)
                return r;
        }
        pg_copy_add(copy, &value);
    }
    if (sink->spec->mode == SINK_UPSERT) {
        buf_add_char(copy, '\t');
        buf_add_u64(copy, number);
    }
    buf_add_char(copy, '\n');
    return 0;
}

static int format_main(void *arg)
{
    PgRows *rows = arg;
    AUTO(buf_deinit) Buf scratch = { 0 };
    int r = 0;

    buf_reset(&rows->sink->copy);
    for (size_t i = 0; i < row_batch_count(rows->batch) && r == 0; i++)
        r = format_row(rows->sink, row_batch_row(rows->batch, i), rows->sink->rows + i, &scratch);
    return r < 0 ? r : buf_check(&rows->sink->copy);
}

SUSPENDS static int pg_write(void *state, const RowBatch *batch)
{
    PgSink *sink = state;
    PgRows rows = { .sink = sink, .batch = batch };
    size_t values = row_batch_count(batch) * row_batch_width(batch);
    int r = begin_copy(sink, batch);

    if (r == 0)
        r = values > PG_OFFLOAD_VALUES ? sl_offload(format_main, &rows, .name = "format rows")
                                       : format_main(&rows);
    if (r == 0)
        r = pg_conn_copy_put(sink->conn, buf_str(&sink->copy));
    if (r == 0)
        sink->rows += row_batch_count(batch);
    return r;
}

SUSPENDS static int pg_checkpoint(void *state, uint64_t mark, Buf *position)
{
    PgSink *sink = state;
    int r = end(sink, mark);

    (void) position; /* the mark is in the database itself */
    if (r == 0)
        sink->mark = mark;
    return r;
}

SUSPENDS static int commit_main(void *arg)
{
    return end(arg, 0);
}

SUSPENDS static int pg_commit(void *state)
{
    int r = sl_shielded(PG_GRACE_MS, commit_main, state);

    return r == -ECANCELED ? fail(-ERR_NETWORK, "the server took too long to commit") : r;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void pg_free(PgSink *sink)
{
    pg_conn_close(sink->conn);
    row_types_deinit(&sink->types);
    buf_deinit(&sink->table);
    buf_deinit(&sink->copy);
    buf_deinit(&sink->note);
    mem_free(sink->run_id);
    mem_free(sink);
}
DEFINE_AUTO(PgSink *, pg_free);

SUSPENDS static int pg_open(const SinkSpec *spec, const SinkOpts *opts, void **ret_state,
                            uint64_t *ret_mark)
{
    AUTO(pg_free) PgSink *sink = mem_new(PgSink);
    int r;

    sink->spec = spec;
    sink->columns = opts->columns;
    sink->n_columns = opts->n_columns;
    sink->run_id = mem_copy_c(opts->run_id.data, opts->run_id.len);
    (void) sql_add_table_name(&sink->table, spec->table);
    buf_add_char(&sink->table, '\0');
    (void) snprintf(sink->place, sizeof(sink->place), "the table %.*s", (int) spec->table.len,
                    spec->table.data);
    row_types_init(&sink->types, opts->columns, opts->n_columns);
    r = pg_conn_open(&sink->conn, spec->target);
    if (r == 0 && opts->run_id.len > 0)
        r = read_mark(sink, opts->is_resume, opts->is_resume ? opts->mark : 0);
    if (r < 0)
        return r;
    *ret_mark = MAX(sink->mark, *ret_mark);
    *ret_state = TAKE(sink);
    return 0;
}

SUSPENDS static void pg_close(void *state)
{
    PgSink *sink = state;

    pg_free(sink);
}

static void pg_put_note(void *state, Str note)
{
    PgSink *sink = state;

    buf_reset(&sink->note);
    buf_add_str(&sink->note, note);
}

static Str pg_get_note(const void *state)
{
    const PgSink *sink = state;

    return buf_str(&sink->note);
}

static const char *pg_place(const void *state)
{
    const PgSink *sink = state;

    return sink->place;
}

const SinkDriver sink_postgresql = {
    .name = "postgresql",
    .summary = "a table of a PostgreSQL database, by COPY",
    .schemes = { "postgresql://", "postgres://" },
    .modes = 1u << SINK_REPLACE | 1u << SINK_APPEND | 1u << SINK_UPSERT,
    .mode_default = SINK_APPEND,
    .has_table = true,
    .feed = &pg_feed_driver,
    .open = pg_open,
    .write = pg_write,
    .checkpoint = pg_checkpoint,
    .commit = pg_commit,
    .close = pg_close,
    .put_note = pg_put_note,
    .get_note = pg_get_note,
    .get_place = pg_place,
};
