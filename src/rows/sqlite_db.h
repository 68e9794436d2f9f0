/*
 * SQLite: what the sink and the feed share. Opening, statements, errors in words, marks, tables.
 *
 * Everything here blocks: it runs on a pool thread (sl_offload), one call at a time for each
 * SqliteDb.
 *
 *   sluice_marks   run  text primary key   the run's id
 *                  mark integer            its last checkpoint, or lot
 *                  note text               what the caller keeps with it
 */
#pragma once

#include "rows/row_types.h"
#include "rows/sink.h"

#include <sqlite3.h>
#include <stdatomic.h>

/* Zeroed it is closed. */
typedef struct SqliteDb {
    sqlite3 *handle;
    char *path;        /* owned */
    bool is_file_ours; /* it was not there before */
    int rc;            /* extended code of the last failure that was put in words; 0: none */
    int lock_ms;       /* how long another writer's lock is waited for */
    int waited_ms;     /* for the lock that is waited for now */
    atomic_bool hurry; /* the fiber is cancelled: do not wait for locks */
} SqliteDb;

/* Open the file at PATH (copied), and read from it. After an error sqlite_db_close. */
MUST int sqlite_db_open(SqliteDb *db, Str path, int lock_ms);

/* Undo what is open and close; a file that is ours and still empty goes. Statements must have been
 * finalized. Nothing for what is closed. */
void sqlite_db_close(SqliteDb *db);

/* For sl_offload's on_cancel: ARG is a SqliteDb. */
void sqlite_db_hurry(void *arg);

/* The error of the call just made, which returned RC; WHAT it was about. */
MUST int sqlite_db_fail(SqliteDb *db, int rc, const char *what);

MUST int sqlite_db_run(SqliteDb *db, const char *what, const char *sql);
MUST int sqlite_db_run_buf(SqliteDb *db, const char *what, Buf *sql);
MUST int sqlite_db_prepare(SqliteDb *db, const char *what, Str sql, sqlite3_stmt **ret_statement);

/* Run a prepared statement that gives no rows, and reset it. */
MUST int sqlite_db_step(SqliteDb *db, const char *what, sqlite3_stmt *statement);

void sqlite_finalize(sqlite3_stmt *statement); /* NULL is nothing */
DEFINE_AUTO(sqlite3_stmt *, sqlite_finalize);

int sqlite_bind_str(sqlite3_stmt *statement, int index, Str text); /* borrowed while it runs */

/* ---- marks ----------------------------------------------------------------------------------- */

/* The mark of RUN and its note (appended to NOTE). *RET_FOUND tells whether there is one. */
MUST int sqlite_marks_read(SqliteDb *db, Str run, bool *ret_found, uint64_t *ret_mark, Buf *note);
MUST int sqlite_marks_forget(SqliteDb *db, Str run);
MUST int sqlite_marks_make(SqliteDb *db); /* the table, unless it is there */

/* ---- tables ---------------------------------------------------------------------------------- */

/* What a table that may be there makes of COLUMNS. */
typedef struct SqliteTable {
    bool is_there;
    bool *is_found; /* of each column; owned */
    RowKind *kinds; /* of each one found; ROW_ANY: its type is none of ours, it takes all; owned */
} SqliteTable;

void sqlite_table_deinit(SqliteTable *table);
DEFINE_AUTO_VALUE(SqliteTable, sqlite_table_deinit);

MUST int sqlite_table_look(SqliteDb *db, Str name, const RowColumn *columns, size_t n_columns,
                           SqliteTable *ret_table);

/* "INTEGER", "TEXT"; TIME is the type of times. */
const char *sqlite_type_of(RowKind kind, const char *time);

/* Make the table of SPEC with COLUMNS of KINDS, and its primary key for an upsert. */
MUST int sqlite_table_make(SqliteDb *db, const SinkSpec *spec, const RowColumn *columns,
                           const RowKind *kinds, size_t n_columns, const char *time);

/* Add what follows the values of an INSERT to upsert; and the error R of preparing it, made to say
 * what index is lacking if that is it. */
MUST int sqlite_upsert_fail(const SinkSpec *spec, int r);
