/*
 * SQLite: what the sink and the feed share; see the header.
 *
 * Locks are waited for in steps that grow, by a handler of our own: SQLite's would not hear that
 * the fiber was cancelled.
 */
#include "rows/sqlite_db.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/sql_text.h"

#include <sys/stat.h>
#include <unistd.h>

#define SQLITE_BUSY_STEP_MS 10

/* ---- errors ---------------------------------------------------------------------------------- */

/* The system's error behind an IOERR: of the journal or the -wal file, of the database, or what
 * errno was. 0 when nobody knows. */
static int system_error(sqlite3 *handle)
{
    sqlite3_file *journal = NULL;
    int number = 0;

    (void) sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &journal);
    if (journal && journal->pMethods)
        (void) journal->pMethods->xFileControl(journal, SQLITE_FCNTL_LAST_ERRNO, &number);
    if (number == 0)
        (void) sqlite3_file_control(handle, "main", SQLITE_FCNTL_LAST_ERRNO, &number);
    return number > 0 ? number : sqlite3_system_errno(handle);
}

static int code_of(sqlite3 *handle, int rc)
{
    int number;

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
    case SQLITE_CANTOPEN: number = sqlite3_system_errno(handle); return number > 0 ? -number : -EIO;
    case SQLITE_IOERR: number = system_error(handle); return number > 0 ? -number : -EIO;
    }
    return -ERR_DATABASE;
}

int sqlite_db_fail(SqliteDb *db, int rc, const char *what)
{
    int code = code_of(db->handle, rc);

    db->rc = rc;
    if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_IOERR)
        return fail(code, "%s: %s (%s)", what, sqlite3_errmsg(db->handle), err_sentence(code));
    if ((rc & 0xff) == SQLITE_BUSY)
        return fail(code, "%s: another program has been writing to it for %d s", what,
                    db->lock_ms / 1000);
    return fail(code, "%s: %s", what, sqlite3_errmsg(db->handle));
}

/* Called while a lock is waited for; 0 gives up. */
static int on_busy(void *arg, int count)
{
    SqliteDb *db = arg;
    int step = MIN(1 << MIN(count, 8), SQLITE_BUSY_STEP_MS);

    db->waited_ms = count == 0 ? step : db->waited_ms + step;
    if (atomic_load_explicit(&db->hurry, memory_order_relaxed) || db->waited_ms > db->lock_ms)
        return 0;
    (void) sqlite3_sleep(step);
    return 1;
}

void sqlite_db_hurry(void *arg)
{
    SqliteDb *db = arg;

    atomic_store_explicit(&db->hurry, true, memory_order_relaxed);
}

/* ---- statements ------------------------------------------------------------------------------ */

int sqlite_db_run(SqliteDb *db, const char *what, const char *sql)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : sqlite_db_fail(db, rc, what);
}

int sqlite_db_run_buf(SqliteDb *db, const char *what, Buf *sql)
{
    int r;

    buf_add_char(sql, '\0');
    r = buf_check(sql);
    return r < 0 ? r : sqlite_db_run(db, what, sql->data);
}

void sqlite_finalize(sqlite3_stmt *statement)
{
    (void) sqlite3_finalize(statement); /* repeats the error of the last step */
}

int sqlite_db_prepare(SqliteDb *db, const char *what, Str sql, sqlite3_stmt **ret_statement)
{
    int rc = sqlite3_prepare_v3(db->handle, sql.data, (int) sql.len, SQLITE_PREPARE_PERSISTENT,
                                ret_statement, NULL);

    return rc == SQLITE_OK ? 0 : sqlite_db_fail(db, rc, what);
}

int sqlite_db_step(SqliteDb *db, const char *what, sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement), r;

    r = rc == SQLITE_DONE ? 0 : sqlite_db_fail(db, rc, what);
    (void) sqlite3_reset(statement); /* repeats the error of the step */
    return r;
}

int sqlite_bind_str(sqlite3_stmt *statement, int index, Str text)
{
    /* A null pointer would bind NULL, where the text is empty. */
    return sqlite3_bind_text64(statement, index, text.data ? text.data : "", text.len,
                               SQLITE_STATIC, SQLITE_UTF8);
}

/* ---- opening --------------------------------------------------------------------------------- */

int sqlite_db_open(SqliteDb *db, Str path, int lock_ms)
{
    struct stat st;
    int rc;

    ASSERT(!db->handle && !db->path);
    if (str_starts(path, str_from_c(":memory:")))
        return fail(-ERR_INVALID, "a database in memory is gone with the process");
    db->path = mem_copy_c(path.data, path.len);
    db->lock_ms = lock_ms;
    db->is_file_ours = stat(db->path, &st) < 0 && errno == ENOENT;
    rc = sqlite3_open_v2(db->path, &db->handle,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return sqlite_db_fail(db, sqlite3_extended_errcode(db->handle), "open");
    (void) sqlite3_extended_result_codes(db->handle, 1);
    (void) sqlite3_busy_handler(db->handle, on_busy, db);
    return sqlite_db_run(db, "open", "SELECT count(*) FROM sqlite_master");
}

void sqlite_db_close(SqliteDb *db)
{
    struct stat st;

    if (db->handle && !sqlite3_get_autocommit(db->handle))
        (void) sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL); /* the close does it too */
    (void) sqlite3_close(db->handle);
    db->handle = NULL;
    if (db->is_file_ours && db->path && stat(db->path, &st) == 0 && st.st_size == 0)
        (void) unlink(db->path); /* nothing was committed to it, by nobody */
    mem_free(db->path);
    db->path = NULL;
}

/* ---- marks ----------------------------------------------------------------------------------- */

static bool has_marks_table(SqliteDb *db)
{
    return sqlite3_table_column_metadata(db->handle, "main", "sluice_marks", "mark", NULL, NULL,
                                         NULL, NULL, NULL) == SQLITE_OK;
}

int sqlite_marks_read(SqliteDb *db, Str run, bool *ret_found, uint64_t *ret_mark, Buf *note)
{
    static const Str sql = STR("SELECT mark, note FROM sluice_marks WHERE run = ?");
    AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;
    int rc, r;

    *ret_found = false;
    if (!has_marks_table(db))
        return 0;
    r = sqlite_db_prepare(db, "read the marks", sql, &statement);
    if (r < 0)
        return r;
    (void) sqlite_bind_str(statement, 1, run); /* fails for want of memory only, and so the step */
    rc = sqlite3_step(statement);
    if (rc == SQLITE_DONE)
        return 0;
    if (rc != SQLITE_ROW)
        return sqlite_db_fail(db, rc, "read the marks");
    *ret_found = true;
    *ret_mark = (uint64_t) sqlite3_column_int64(statement, 0);
    buf_add(note, sqlite3_column_text(statement, 1), (size_t) sqlite3_column_bytes(statement, 1));
    return buf_check(note);
}

int sqlite_marks_forget(SqliteDb *db, Str run)
{
    static const Str sql = STR("DELETE FROM sluice_marks WHERE run = ?");
    AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;
    int r;

    if (run.len == 0 || !has_marks_table(db))
        return 0;
    r = sqlite_db_prepare(db, "forget the mark", sql, &statement);
    if (r < 0)
        return r;
    (void) sqlite_bind_str(statement, 1, run); /* as above */
    return sqlite_db_step(db, "forget the mark", statement);
}

int sqlite_marks_make(SqliteDb *db)
{
    return sqlite_db_run(db, "make the table of marks",
                         "CREATE TABLE IF NOT EXISTS sluice_marks (run text PRIMARY KEY, mark "
                         "integer NOT NULL, note text)");
}

/* ---- tables ---------------------------------------------------------------------------------- */

void sqlite_table_deinit(SqliteTable *table)
{
    mem_free(table->is_found);
    mem_free(table->kinds);
    *table = (SqliteTable){ 0 };
}

/* What a column of TYPE takes: our types keep their rules, others take all. */
static RowKind kind_of_type(const char *type)
{
    if (sqlite3_stricmp(type, "INTEGER") == 0)
        return ROW_INT;
    if (sqlite3_stricmp(type, "REAL") == 0)
        return ROW_REAL;
    if (sqlite3_stricmp(type, "BOOLEAN") == 0)
        return ROW_BOOL;
    return sqlite3_stricmp(type, "TEXT") == 0 ? ROW_TEXT : ROW_ANY;
}

int sqlite_table_look(SqliteDb *db, Str name, const RowColumn *columns, size_t n_columns,
                      SqliteTable *ret_table)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;
    AUTO(sqlite_table_deinit) SqliteTable table = { 0 };
    int rc, r;

    buf_add_c(&sql, "PRAGMA table_info(");
    sql_add_name(&sql, name);
    buf_add_char(&sql, ')');
    r = buf_check(&sql);
    if (r == 0)
        r = sqlite_db_prepare(db, "look at the table", buf_str(&sql), &statement);
    if (r < 0)
        return r;
    table.is_found = mem_new_array(bool, MAX(n_columns, 1ul));
    table.kinds = mem_new_array(RowKind, MAX(n_columns, 1ul));
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        Str found = str_from_c((const char *) sqlite3_column_text(statement, 1));
        const char *type = (const char *) sqlite3_column_text(statement, 2);

        table.is_there = true;
        for (size_t c = 0; c < n_columns; c++) {
            if (!str_eq_nocase(found, columns[c].name))
                continue;
            table.is_found[c] = true;
            table.kinds[c] = kind_of_type(type ? type : "");
        }
    }
    if (rc != SQLITE_DONE)
        return sqlite_db_fail(db, rc, "look at the table");
    *ret_table = table;
    table = (SqliteTable){ 0 };
    return 0;
}

const char *sqlite_type_of(RowKind kind, const char *time)
{
    switch (kind) {
    case ROW_INT: return "INTEGER";
    case ROW_REAL: return "REAL";
    case ROW_BOOL: return "BOOLEAN";
    case ROW_TIME: return time;
    case ROW_ANY:
    case ROW_TEXT:
    case ROW_JSON: return "TEXT";
    }
    UNREACHABLE("all kinds are above");
}

int sqlite_table_make(SqliteDb *db, const SinkSpec *spec, const RowColumn *columns,
                      const RowKind *kinds, size_t n_columns, const char *time)
{
    AUTO(buf_deinit) Buf sql = { 0 };

    buf_add_c(&sql, "CREATE TABLE ");
    sql_add_name(&sql, spec->table);
    buf_add_c(&sql, " (");
    for (size_t c = 0; c < n_columns; c++) {
        buf_add_c(&sql, c == 0 ? "" : ", ");
        sql_add_name(&sql, columns[c].name);
        buf_printf(&sql, " %s", sqlite_type_of(kinds[c], time));
        if (sql_is_key(spec, columns[c].name))
            buf_add_c(&sql, " NOT NULL");
    }
    if (spec->n_keys > 0) {
        buf_add_c(&sql, ", PRIMARY KEY (");
        sql_add_keys(&sql, spec);
        buf_add_char(&sql, ')');
    }
    buf_add_char(&sql, ')');
    return sqlite_db_run_buf(db, "make the table", &sql);
}

int sqlite_upsert_fail(const SinkSpec *spec, int r)
{
    AUTO(buf_deinit) Buf keys = { 0 };
    Err err;

    if (r >= 0 || spec->mode != SINK_UPSERT)
        return r;
    err_take(r, &err);
    if (!str_contains(str_from_c(err.text), str_from_c("ON CONFLICT clause")))
        return err_put(&err);
    sql_add_keys(&keys, spec);
    return fail(-ERR_CONFLICT,
                "the table %.*s has no unique index over (%.*s), which mode=upsert needs: CREATE "
                "UNIQUE INDEX …",
                (int) spec->table.len, spec->table.data, (int) keys.len, keys.data);
}
