/*
 * sqlite: rows into a table of an SQLite file.
 *
 *   open        the file is opened and read; on resume the run's mark is looked up
 *   first rows  BEGIN IMMEDIATE; the table is made, emptied or checked; the INSERT is prepared
 *   checkpoint  the mark goes into sluice_marks; COMMIT; the next rows begin anew
 *   commit      COMMIT
 *   close       ROLLBACK where something is open; a file that is empty and ours goes
 *
 * From the first row to the commit the file is locked against other writers, not against readers
 * (SQLite's rules: while a large transaction spills over its cache, and at the commit itself, a
 * file in rollback-journal mode turns readers away for a moment too). The journal mode is the
 * file's own and stays as it is.
 *
 * Replace keeps a table that has all our columns, with its indexes, and deletes its rows; otherwise
 * it is dropped and made anew. Both happen in the transaction.
 *
 * Types: integer INTEGER, number REAL, boolean BOOLEAN (0 or 1), text, time (RFC 3339) and JSON
 * TEXT.
 *
 * The mark of a run stays after its end: a process that dies between the commit and its own note of
 * it asks again.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/sql_text.h"
#include "rows/sqlite_db.h"
#include "rows/sqlite_feed.h"

#include <sluice/rt.h>

#define SQLITE_PLACE_BYTES 256
#define SQLITE_GRACE_MS    60000

typedef struct SqliteSink {
    const SinkSpec *spec; /* borrowed from the sink */
    const RowColumn *columns;
    size_t n_columns;
    Str run_id;
    uint64_t caller_mark;
    bool is_resume;
    SqliteDb db;
    sqlite3_stmt *insert; /* NULL before the first rows */
    RowTypes types;
    bool is_typed;     /* columns of the table are settled */
    bool is_open;      /* a transaction is */
    bool is_continued; /* the table holds rows of this run */
    uint64_t mark;
    uint64_t rows; /* of this process */
    Buf note;
    char place[SQLITE_PLACE_BYTES];
    Buf scratch;  /* a value that was made to fit */
    Buf repaired; /* a text that was made UTF-8 */
} SqliteSink;

/* ---- opening --------------------------------------------------------------------------------- */

static int resume(SqliteSink *sink)
{
    int r = sqlite_marks_read(&sink->db, sink->run_id, &sink->is_continued, &sink->mark,
                              &sink->note);

    if (r < 0)
        return r;
    if (sink->mark < sink->caller_mark)
        return fail(-ERR_CONFLICT,
                    "it holds mark %llu of this run, which had reached %llu: it is "
                    "another file than then; start the run anew",
                    (unsigned long long) sink->mark, (unsigned long long) sink->caller_mark);
    return 0;
}

static int open_main(void *arg)
{
    SqliteSink *sink = arg;
    int r = sqlite_db_open(&sink->db, sink->spec->target, LIMIT_SINK_LOCK_MS);

    if (r < 0)
        return r;
    return sink->is_resume ? resume(sink) : sqlite_marks_forget(&sink->db, sink->run_id);
}

static int close_main(void *arg)
{
    SqliteSink *sink = arg;

    sqlite_finalize(sink->insert);
    sink->insert = NULL;
    sqlite_db_close(&sink->db);
    return 0;
}

SUSPENDS static int close_on_pool(void *arg)
{
    return sl_offload(close_main, arg, .name = "close sqlite");
}

SUSPENDS static void sqlite_close(void *state)
{
    SqliteSink *sink = state;

    (void) sl_shielded(SQLITE_GRACE_MS, close_on_pool, sink); /* the handle tells whether it ran */
    if (sink->db.handle)
        (void) close_main(sink);
    row_types_deinit(&sink->types);
    buf_deinit(&sink->note);
    buf_deinit(&sink->scratch);
    buf_deinit(&sink->repaired);
    mem_free(sink);
}

static void hurry_sink(void *arg)
{
    SqliteSink *sink = arg;

    sqlite_db_hurry(&sink->db);
}

SUSPENDS static int sqlite_open(const SinkSpec *spec, const SinkOpts *opts, void **ret_state,
                                uint64_t *ret_mark)
{
    SqliteSink *sink;
    int r;

    sink = mem_new(SqliteSink);
    sink->spec = spec;
    sink->columns = opts->columns;
    sink->n_columns = opts->n_columns;
    sink->run_id = opts->run_id;
    sink->is_resume = opts->is_resume;
    sink->caller_mark = opts->is_resume ? opts->mark : 0;
    (void) snprintf(sink->place, sizeof(sink->place), "the table %.*s", (int) spec->table.len,
                    spec->table.data);
    row_types_init(&sink->types, opts->columns, opts->n_columns);
    r = sl_offload(open_main, sink, .name = "open sqlite", .on_cancel = hurry_sink);
    if (r < 0) {
        Err err;

        err_take(r, &err);
        sqlite_close(sink);
        return err_put(&err);
    }
    *ret_mark = MAX(sink->mark, *ret_mark);
    *ret_state = sink;
    return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Look at the table that may be there: whether it is, and which of our columns it lacks. */
static int look_at_table(SqliteSink *sink, bool *ret_is_there, Buf *missing)
{
    AUTO(sqlite_table_deinit) SqliteTable table = { 0 };
    int r = sqlite_table_look(&sink->db, sink->spec->table, sink->columns, sink->n_columns, &table);

    if (r < 0)
        return r;
    *ret_is_there = table.is_there;
    for (size_t c = 0; c < sink->n_columns && table.is_there; c++) {
        if (!table.is_found[c] && missing->len > 0)
            buf_add_c(missing, ", ");
        if (!table.is_found[c])
            sql_add_name(missing, sink->columns[c].name);
        else if (sink->columns[c].kind == ROW_ANY)
            sink->types.kinds[c] = table.kinds[c];
    }
    return buf_check(missing);
}

static int empty_table(SqliteSink *sink, bool is_dropped)
{
    AUTO(buf_deinit) Buf sql = { 0 };

    buf_add_c(&sql, is_dropped ? "DROP TABLE " : "DELETE FROM ");
    sql_add_name(&sql, sink->spec->table);
    return sqlite_db_run_buf(&sink->db, "replace the table", &sql);
}

/* Make the table ready for rows, whatever is there. */
static int ready_table(SqliteSink *sink, const RowBatch *first)
{
    AUTO(buf_deinit) Buf missing = { 0 };
    bool is_there = false;
    int r = look_at_table(sink, &is_there, &missing);

    if (r < 0)
        return r;
    if (is_there && sink->spec->mode == SINK_REPLACE && !sink->is_continued) {
        r = empty_table(sink, missing.len > 0);
        is_there = missing.len == 0;
    } else if (is_there && missing.len > 0) {
        return sql_refuse_columns(sink->spec, buf_str(&missing));
    }
    if (r < 0 || is_there)
        return r;
    for (size_t c = 0; c < sink->n_columns; c++)
        sink->types.kinds[c] = sink->columns[c].kind;
    row_types_settle(&sink->types, first);
    return sqlite_table_make(&sink->db, sink->spec, sink->columns, sink->types.kinds,
                             sink->n_columns, "TEXT");
}

static int prepare_insert(SqliteSink *sink)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    int r;

    buf_add_c(&sql, "INSERT INTO ");
    sql_add_name(&sql, sink->spec->table);
    buf_add_c(&sql, " (");
    sql_add_columns(&sql, sink->columns, sink->n_columns);
    buf_add_c(&sql, ") VALUES (");
    for (size_t c = 0; c < sink->n_columns; c++)
        buf_add_c(&sql, c == 0 ? "?" : ",?");
    buf_add_char(&sql, ')');
    if (sink->spec->mode == SINK_UPSERT)
        sql_add_on_conflict(&sql, sink->spec, sink->columns, sink->n_columns);
    r = buf_check(&sql);
    if (r == 0)
        r = sqlite_db_prepare(&sink->db, "insert", buf_str(&sql), &sink->insert);
    return sqlite_upsert_fail(sink->spec, r);
}

/* A transaction is open and the INSERT is ready; FIRST may be NULL. */
static int begin(SqliteSink *sink, const RowBatch *first)
{
    int r;

    if (sink->is_open)
        return 0;
    r = sqlite_db_run(&sink->db, "begin", "BEGIN IMMEDIATE");
    if (r < 0)
        return r;
    sink->is_open = true;
    if (sink->is_typed)
        return 0;
    r = ready_table(sink, first);
    if (r == 0)
        r = prepare_insert(sink);
    sink->is_typed = r == 0;
    return r;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Bind VALUE. OWNER tells whether its text outlives the step (SQLITE_STATIC) or is copied. */
static int bind_value(SqliteSink *sink, int index, const RowValue *value,
                      sqlite3_destructor_type owner)
{
    sqlite3_stmt *insert = sink->insert;

    switch (value->kind) {
    case ROW_ANY: return sqlite3_bind_null(insert, index);
    case ROW_INT: return sqlite3_bind_int64(insert, index, value->integer);
    case ROW_REAL: return sqlite3_bind_double(insert, index, value->real);
    case ROW_BOOL: return sqlite3_bind_int(insert, index, value->boolean);
    case ROW_TIME:
        buf_reset(&sink->scratch);
        row_time_format_ms(&sink->scratch, value->time_ns);
        return sqlite3_bind_text64(insert, index, sink->scratch.data, sink->scratch.len,
                                   SQLITE_TRANSIENT, SQLITE_UTF8);
    case ROW_TEXT:
    case ROW_JSON:
        /* A null pointer would bind NULL, where the text is empty. */
        return sqlite3_bind_text64(insert, index, value->text.data ? value->text.data : "",
                                   value->text.len, owner, SQLITE_UTF8);
    }
    UNREACHABLE("all kinds are above");
}

static bool is_text(const RowValue *value)
{
    return value->kind == ROW_TEXT || value->kind == ROW_JSON;
}

static int bind_column(SqliteSink *sink, size_t c, const RowValue *given, uint64_t number)
{
    bool is_broken = is_text(given) && !str_is_utf8(given->text);
    bool fits = given->kind == sink->types.kinds[c] || given->kind == ROW_ANY;
    RowValue value = *given;
    int rc, r = 0;

    if (is_broken) {
        buf_reset(&sink->repaired);
        row_add_utf8(&sink->repaired, given->text);
        r = buf_check(&sink->repaired);
        if (r < 0)
            return r;
        value.text = buf_str(&sink->repaired);
    }
    if (!fits) {
        RowValue before = value;

        buf_reset(&sink->scratch);
        r = row_types_fit(&sink->types, c, &before, number, &sink->scratch, &value);
        if (r < 0)
            return r;
    }
    rc = bind_value(sink, (int) c + 1, &value,
                    fits && !is_broken ? SQLITE_STATIC : SQLITE_TRANSIENT);
    return rc == SQLITE_OK ? 0 : sqlite_db_fail(&sink->db, rc, "insert");
}

static int insert_row(SqliteSink *sink, const RowValue *row, uint64_t number)
{
    int rc, r;

    for (size_t c = 0; c < sink->n_columns; c++) {
        r = bind_column(sink, c, &row[c], number);
        if (r < 0)
            return r;
    }
    rc = sqlite3_step(sink->insert);
    (void) sqlite3_reset(sink->insert); /* repeats the error of the step */
    if (rc == SQLITE_DONE)
        return 0;
    r = sqlite_db_fail(&sink->db, rc, "insert");
    return wrap(r, "row %llu", (unsigned long long) number + 1);
}

typedef struct SqliteRows {
    SqliteSink *sink;
    const RowBatch *batch;
    uint64_t mark;
} SqliteRows;

static int write_main(void *arg)
{
    SqliteRows *rows = arg;
    SqliteSink *sink = rows->sink;
    int r = begin(sink, rows->batch);

    for (size_t i = 0; i < row_batch_count(rows->batch) && r == 0; i++)
        r = insert_row(sink, row_batch_row(rows->batch, i), sink->rows + i);
    if (r == 0)
        sink->rows += row_batch_count(rows->batch);
    return r;
}

SUSPENDS static int sqlite_write(void *state, const RowBatch *batch)
{
    SqliteSink *sink = state;
    SqliteRows rows = { .sink = sink, .batch = batch };

    return sl_offload(write_main, &rows, .name = "sqlite");
}

/* ---- marks and the end ----------------------------------------------------------------------- */

static int write_mark(SqliteSink *sink, uint64_t mark)
{
    static const Str sql = STR(
        "INSERT INTO sluice_marks (run, mark, note) VALUES (?, ?, ?) ON CONFLICT (run) "
        "DO UPDATE SET mark = excluded.mark, note = excluded.note");
    AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;
    int r = sqlite_marks_make(&sink->db);

    if (r == 0)
        r = sqlite_db_prepare(&sink->db, "write the mark", sql, &statement);
    if (r < 0)
        return r;
    (void) sqlite_bind_str(statement, 1, sink->run_id); /* fail for want of memory only */
    (void) sqlite3_bind_int64(statement, 2, (int64_t) mark);
    (void) sqlite_bind_str(statement, 3, buf_str(&sink->note));
    return sqlite_db_step(&sink->db, "write the mark", statement);
}

static int commit_main(void *arg)
{
    SqliteRows *rows = arg;
    SqliteSink *sink = rows->sink;
    int r = begin(sink, NULL);

    if (r == 0 && rows->mark > 0)
        r = write_mark(sink, rows->mark);
    if (r == 0)
        r = sqlite_db_run(&sink->db, "commit", "COMMIT");
    if (r < 0)
        return r;
    sink->is_open = false;
    sink->is_continued = true;
    return 0;
}

SUSPENDS static int commit_on_pool(void *arg)
{
    SqliteRows *rows = arg;

    return sl_offload(commit_main, rows, .name = "commit sqlite");
}

SUSPENDS static int sqlite_checkpoint(void *state, uint64_t mark, Buf *position)
{
    SqliteRows rows = { .sink = state, .mark = mark };
    int r = commit_on_pool(&rows);

    (void) position; /* the mark is in the file itself */
    if (r == 0)
        rows.sink->mark = mark;
    return r;
}

SUSPENDS static int sqlite_commit(void *state)
{
    SqliteRows rows = { .sink = state };
    int r = sl_shielded(SQLITE_GRACE_MS, commit_on_pool, &rows);

    return r == -ECANCELED ? fail(-ETIMEDOUT, "the disk took too long") : r;
}

static void sqlite_put_note(void *state, Str note)
{
    SqliteSink *sink = state;

    buf_reset(&sink->note);
    buf_add_str(&sink->note, note);
}

static Str sqlite_get_note(const void *state)
{
    const SqliteSink *sink = state;

    return buf_str(&sink->note);
}

static const char *sqlite_place(const void *state)
{
    const SqliteSink *sink = state;

    return sink->place;
}

static const SinkOption sqlite_options[] = {
    { .name = "time",
      .kind = SINK_OPTION_WORD,
      .words = "ns|us|ms|s|text",
      .summary = "how times are kept: whole numbers since 1970 in this unit, or RFC 3339 text",
      .is_for_feed = true },
    { .name = "sync",
      .kind = SINK_OPTION_WORD,
      .words = "auto|full|normal",
      .summary = "full: each commit survives a loss of power; normal: it survives kill -9",
      .is_for_feed = true },
    { 0 },
};

const SinkDriver sink_sqlite = {
    .name = "sqlite",
    .summary = "a table of an SQLite file",
    .suffixes = { ".db", ".sqlite", ".sqlite3" },
    .modes = 1u << SINK_REPLACE | 1u << SINK_APPEND | 1u << SINK_UPSERT,
    .mode_default = SINK_APPEND,
    .has_table = true,
    .options = sqlite_options,
    .feed = &sqlite_feed,
    .open = sqlite_open,
    .write = sqlite_write,
    .checkpoint = sqlite_checkpoint,
    .commit = sqlite_commit,
    .close = sqlite_close,
    .put_note = sqlite_put_note,
    .get_note = sqlite_get_note,
    .get_place = sqlite_place,
};
