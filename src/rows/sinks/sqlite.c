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
 *   sluice_marks   run  text primary key   the run's id
 *                  mark integer            its last checkpoint
 *                  note text               where the files of the same run stood then
 *
 * The mark of a run stays after its end: a process that dies between the commit and its own note of
 * it asks again.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/row_types.h"
#include "rows/sql_text.h"

#include <sluice/rt.h>

#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#define SQLITE_PLACE_BYTES  256
#define SQLITE_BUSY_STEP_MS 10
#define SQLITE_GRACE_MS     60000

typedef struct SqliteSink {
    const SinkSpec *spec; /* borrowed from the sink */
    const RowColumn *columns;
    size_t n_columns;
    Str run_id;
    uint64_t caller_mark;
    bool is_resume;
    sqlite3 *db;
    sqlite3_stmt *insert; /* NULL before the first rows */
    RowTypes types;
    bool is_typed;     /* columns of the table are settled */
    bool is_open;      /* a transaction is */
    bool is_continued; /* the table holds rows of this run */
    bool is_file_ours; /* it was not there before */
    atomic_bool hurry; /* the fiber is cancelled: do not wait for locks */
    uint64_t mark;
    uint64_t rows; /* of this process */
    Buf note;
    char *path;
    char place[SQLITE_PLACE_BYTES];
    Buf scratch;  /* a value that was made to fit */
    Buf repaired; /* a text that was made UTF-8 */
} SqliteSink;

/* ---- errors ---------------------------------------------------------------------------------- */

static int code_of(sqlite3 *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return -ERR_BUSY;
    case SQLITE_FULL: return -ENOSPC;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return -EACCES;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH: return -ERR_CONFLICT;
    case SQLITE_NOTADB:
    case SQLITE_TOOBIG: return -ERR_INVALID;
    case SQLITE_NOMEM: return -ENOMEM;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR: return sqlite3_system_errno(db) > 0 ? -sqlite3_system_errno(db) : -EIO;
    }
    return -ERR_DATABASE;
}

/* The failure of the call just made, WHAT it was about. */
static int fail_sqlite(const SqliteSink *sink, int rc, const char *what)
{
    int code = code_of(sink->db, rc);

    if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_IOERR)
        return fail(code, "%s: %s (%s)", what, sqlite3_errmsg(sink->db), err_sentence(code));
    if ((rc & 0xff) == SQLITE_BUSY)
        return fail(code, "%s: another program has been writing to it for %d s", what,
                    LIMIT_SINK_LOCK_MS / 1000);
    return fail(code, "%s: %s", what, sqlite3_errmsg(sink->db));
}

/* Called while a lock is waited for; 0 gives up. */
static int on_busy(void *arg, int count)
{
    SqliteSink *sink = arg;

    if (atomic_load_explicit(&sink->hurry, memory_order_relaxed) ||
        count >= LIMIT_SINK_LOCK_MS / SQLITE_BUSY_STEP_MS)
        return 0;
    (void) sqlite3_sleep(SQLITE_BUSY_STEP_MS);
    return 1;
}

/* ---- statements ------------------------------------------------------------------------------ */

static int run_sql(SqliteSink *sink, const char *what, const char *sql)
{
    int rc = sqlite3_exec(sink->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : fail_sqlite(sink, rc, what);
}

static int run_buf(SqliteSink *sink, const char *what, Buf *sql)
{
    int r;

    buf_add_char(sql, '\0');
    r = buf_check(sql);
    return r < 0 ? r : run_sql(sink, what, sql->data);
}

static void finalize(sqlite3_stmt *statement)
{
    (void) sqlite3_finalize(statement); /* repeats the error of the last step */
}
DEFINE_AUTO(sqlite3_stmt *, finalize);

static int prepare(SqliteSink *sink, const char *what, Str sql, sqlite3_stmt **ret_statement)
{
    int rc = sqlite3_prepare_v3(sink->db, sql.data, (int) sql.len, SQLITE_PREPARE_PERSISTENT,
                                ret_statement, NULL);

    return rc == SQLITE_OK ? 0 : fail_sqlite(sink, rc, what);
}

static bool has_marks_table(SqliteSink *sink)
{
    return sqlite3_table_column_metadata(sink->db, "main", "sluice_marks", "mark", NULL, NULL, NULL,
                                         NULL, NULL) == SQLITE_OK;
}

/* Look for the mark of the run. *RET_FOUND tells. */
static int read_mark(SqliteSink *sink, bool *ret_found)
{
    static const Str sql = STR("SELECT mark, note FROM sluice_marks WHERE run = ?");
    AUTO(finalize) sqlite3_stmt *statement = NULL;
    int rc, r;

    *ret_found = false;
    if (!has_marks_table(sink))
        return 0;
    r = prepare(sink, "read the marks", sql, &statement);
    if (r < 0)
        return r;
    (void) sqlite3_bind_text64(statement, 1, sink->run_id.data, sink->run_id.len, SQLITE_STATIC,
                               SQLITE_UTF8);
    rc = sqlite3_step(statement);
    if (rc == SQLITE_DONE)
        return 0;
    if (rc != SQLITE_ROW)
        return fail_sqlite(sink, rc, "read the marks");
    *ret_found = true;
    sink->mark = (uint64_t) sqlite3_column_int64(statement, 0);
    buf_add(&sink->note, sqlite3_column_text(statement, 1),
            (size_t) sqlite3_column_bytes(statement, 1));
    return buf_check(&sink->note);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Forget a mark that an earlier start of the run left. */
static int forget_mark(SqliteSink *sink)
{
    static const Str sql = STR("DELETE FROM sluice_marks WHERE run = ?");
    AUTO(finalize) sqlite3_stmt *statement = NULL;
    int rc, r;

    if (sink->run_id.len == 0 || !has_marks_table(sink))
        return 0;
    r = prepare(sink, "forget the mark", sql, &statement);
    if (r < 0)
        return r;
    (void) sqlite3_bind_text64(statement, 1, sink->run_id.data, sink->run_id.len, SQLITE_STATIC,
                               SQLITE_UTF8);
    rc = sqlite3_step(statement);
    return rc == SQLITE_DONE ? 0 : fail_sqlite(sink, rc, "forget the mark");
}

static int resume(SqliteSink *sink)
{
    int r = read_mark(sink, &sink->is_continued);

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
    struct stat st;
    int rc, r;

    sink->is_file_ours = stat(sink->path, &st) < 0 && errno == ENOENT;
    rc = sqlite3_open_v2(sink->path, &sink->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return fail_sqlite(sink, rc, "open");
    (void) sqlite3_extended_result_codes(sink->db, 1);
    (void) sqlite3_busy_handler(sink->db, on_busy, sink);
    r = run_sql(sink, "open", "SELECT count(*) FROM sqlite_master");
    if (r < 0)
        return r;
    return sink->is_resume ? resume(sink) : forget_mark(sink);
}

static int close_main(void *arg)
{
    SqliteSink *sink = arg;
    struct stat st;

    finalize(sink->insert);
    sink->insert = NULL;
    if (sink->db && !sqlite3_get_autocommit(sink->db))
        (void) sqlite3_exec(sink->db, "ROLLBACK", NULL, NULL, NULL); /* the close does it too */
    (void) sqlite3_close(sink->db);
    sink->db = NULL;
    if (sink->is_file_ours && stat(sink->path, &st) == 0 && st.st_size == 0)
        (void) unlink(sink->path); /* nothing was committed to it, by nobody */
    return 0;
}

SUSPENDS static int close_on_pool(void *arg)
{
    return sl_offload(close_main, arg, .name = "close sqlite");
}

SUSPENDS static void sqlite_close(void *state)
{
    SqliteSink *sink = state;

    (void) sl_shielded(SQLITE_GRACE_MS, close_on_pool, sink); /* db tells whether it ran */
    if (sink->db)
        (void) close_main(sink);
    row_types_deinit(&sink->types);
    buf_deinit(&sink->note);
    buf_deinit(&sink->scratch);
    buf_deinit(&sink->repaired);
    mem_free(sink->path);
    mem_free(sink);
}

static void hurry(void *arg)
{
    SqliteSink *sink = arg;

    atomic_store_explicit(&sink->hurry, true, memory_order_relaxed);
}

SUSPENDS static int sqlite_open(const SinkSpec *spec, const SinkOpts *opts, void **ret_state,
                                uint64_t *ret_mark)
{
    SqliteSink *sink;
    int r;

    if (str_starts(spec->target, str_from_c(":memory:")))
        return fail(-ERR_INVALID, "a database in memory is gone with the process");
    sink = mem_new(SqliteSink);
    sink->spec = spec;
    sink->columns = opts->columns;
    sink->n_columns = opts->n_columns;
    sink->run_id = opts->run_id;
    sink->is_resume = opts->is_resume;
    sink->caller_mark = opts->is_resume ? opts->mark : 0;
    sink->path = mem_copy_c(spec->target.data, spec->target.len);
    (void) snprintf(sink->place, sizeof(sink->place), "the table %.*s", (int) spec->table.len,
                    spec->table.data);
    row_types_init(&sink->types, opts->columns, opts->n_columns);
    r = sl_offload(open_main, sink, .name = "open sqlite", .on_cancel = hurry);
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

static const char *type_of(RowKind kind)
{
    switch (kind) {
    case ROW_INT: return "INTEGER";
    case ROW_REAL: return "REAL";
    case ROW_BOOL: return "BOOLEAN";
    case ROW_ANY:
    case ROW_TEXT:
    case ROW_TIME:
    case ROW_JSON: return "TEXT";
    }
    UNREACHABLE("all kinds are above");
}

static int make_table(SqliteSink *sink)
{
    AUTO(buf_deinit) Buf sql = { 0 };

    buf_add_c(&sql, "CREATE TABLE ");
    sql_add_name(&sql, sink->spec->table);
    buf_add_c(&sql, " (");
    for (size_t c = 0; c < sink->n_columns; c++) {
        buf_add_c(&sql, c == 0 ? "" : ", ");
        sql_add_name(&sql, sink->columns[c].name);
        buf_printf(&sql, " %s", type_of(sink->types.kinds[c]));
        if (sql_is_key(sink->spec, sink->columns[c].name))
            buf_add_c(&sql, " NOT NULL");
    }
    if (sink->spec->n_keys > 0) {
        buf_add_c(&sql, ", PRIMARY KEY (");
        sql_add_keys(&sql, sink->spec);
        buf_add_char(&sql, ')');
    }
    buf_add_char(&sql, ')');
    return run_buf(sink, "make the table", &sql);
}

/* What a table that is there makes of a column: our types keep their rules, others take all. */
static RowKind kind_of_type(const char *type, RowKind declared)
{
    if (declared != ROW_ANY)
        return declared;
    if (sqlite3_stricmp(type, "INTEGER") == 0)
        return ROW_INT;
    if (sqlite3_stricmp(type, "REAL") == 0)
        return ROW_REAL;
    if (sqlite3_stricmp(type, "BOOLEAN") == 0)
        return ROW_BOOL;
    return sqlite3_stricmp(type, "TEXT") == 0 ? ROW_TEXT : ROW_ANY;
}

/* Look at the table that may be there: whether it is, and which of our columns it lacks. */
static int look_at_table(SqliteSink *sink, bool *ret_is_there, Buf *missing)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    AUTO(finalize) sqlite3_stmt *statement = NULL;
    AUTO(mem_free) RowKind *kinds = mem_new_array(RowKind, sink->n_columns);
    AUTO(mem_free) bool *is_found = mem_new_array(bool, sink->n_columns);
    int rc, r;

    buf_add_c(&sql, "PRAGMA table_info(");
    sql_add_name(&sql, sink->spec->table);
    buf_add_char(&sql, ')');
    r = buf_check(&sql);
    if (r == 0)
        r = prepare(sink, "look at the table", buf_str(&sql), &statement);
    if (r < 0)
        return r;
    *ret_is_there = false;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        Str name = str_from_c((const char *) sqlite3_column_text(statement, 1));
        const char *type = (const char *) sqlite3_column_text(statement, 2);

        *ret_is_there = true;
        for (size_t c = 0; c < sink->n_columns; c++) {
            if (!str_eq_nocase(name, sink->columns[c].name))
                continue;
            is_found[c] = true;
            kinds[c] = kind_of_type(type ? type : "", sink->columns[c].kind);
        }
    }
    if (rc != SQLITE_DONE)
        return fail_sqlite(sink, rc, "look at the table");
    for (size_t c = 0; c < sink->n_columns && *ret_is_there; c++) {
        if (!is_found[c] && missing->len > 0)
            buf_add_c(missing, ", ");
        if (!is_found[c])
            sql_add_name(missing, sink->columns[c].name);
        else
            sink->types.kinds[c] = kinds[c];
    }
    return buf_check(missing);
}

static int empty_table(SqliteSink *sink, bool is_dropped)
{
    AUTO(buf_deinit) Buf sql = { 0 };

    buf_add_c(&sql, is_dropped ? "DROP TABLE " : "DELETE FROM ");
    sql_add_name(&sql, sink->spec->table);
    return run_buf(sink, "replace the table", &sql);
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
    return make_table(sink);
}

static int prepare_insert(SqliteSink *sink)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    AUTO(buf_deinit) Buf keys = { 0 };
    Err err;
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
        r = prepare(sink, "insert", buf_str(&sql), &sink->insert);
    if (r == 0 || sink->spec->mode != SINK_UPSERT)
        return r;
    err_take(r, &err);
    if (!str_contains(str_from_c(err.text), str_from_c("ON CONFLICT clause")))
        return err_put(&err);
    sql_add_keys(&keys, sink->spec);
    return fail(-ERR_CONFLICT,
                "the table %.*s has no unique index over (%.*s), which mode=upsert "
                "needs: CREATE UNIQUE INDEX …",
                (int) sink->spec->table.len, sink->spec->table.data, (int) keys.len, keys.data);
}

/* A transaction is open and the INSERT is ready; FIRST may be NULL. */
static int begin(SqliteSink *sink, const RowBatch *first)
{
    int r;

    if (sink->is_open)
        return 0;
    r = run_sql(sink, "begin", "BEGIN IMMEDIATE");
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
    return rc == SQLITE_OK ? 0 : fail_sqlite(sink, rc, "insert");
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
    r = fail_sqlite(sink, rc, "insert");
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
    AUTO(finalize) sqlite3_stmt *statement = NULL;
    int rc, r = run_sql(sink, "make the table of marks",
                        "CREATE TABLE IF NOT EXISTS sluice_marks (run text PRIMARY KEY, mark "
                        "integer NOT NULL, note text)");

    if (r == 0)
        r = prepare(sink, "write the mark", sql, &statement);
    if (r < 0)
        return r;
    (void) sqlite3_bind_text64(statement, 1, sink->run_id.data, sink->run_id.len, SQLITE_STATIC,
                               SQLITE_UTF8);
    (void) sqlite3_bind_int64(statement, 2, (int64_t) mark);
    (void) sqlite3_bind_text64(statement, 3, sink->note.data ? sink->note.data : "", sink->note.len,
                               SQLITE_STATIC, SQLITE_UTF8);
    rc = sqlite3_step(statement);
    return rc == SQLITE_DONE ? 0 : fail_sqlite(sink, rc, "write the mark");
}

static int commit_main(void *arg)
{
    SqliteRows *rows = arg;
    SqliteSink *sink = rows->sink;
    int r = begin(sink, NULL);

    if (r == 0 && rows->mark > 0)
        r = write_mark(sink, rows->mark);
    if (r == 0)
        r = run_sql(sink, "commit", "COMMIT");
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

const SinkDriver sink_sqlite = {
    .name = "sqlite",
    .summary = "a table of an SQLite file",
    .suffixes = { ".db", ".sqlite", ".sqlite3" },
    .modes = 1u << SINK_REPLACE | 1u << SINK_APPEND | 1u << SINK_UPSERT,
    .mode_default = SINK_APPEND,
    .has_table = true,
    .open = sqlite_open,
    .write = sqlite_write,
    .checkpoint = sqlite_checkpoint,
    .commit = sqlite_commit,
    .close = sqlite_close,
    .put_note = sqlite_put_note,
    .get_note = sqlite_get_note,
    .get_place = sqlite_place,
};
