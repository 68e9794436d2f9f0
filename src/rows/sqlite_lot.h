/*
 * A lot of rows as a table that SQLite reads: INSERT INTO t SELECT c0, c1 … FROM the lot.
 *
 * One prepared statement takes lots of any length, which is faster than VALUES with a hundred rows
 * of variables, and when a row is refused the lot knows which one was being read.
 *
 * The table has a name that nobody else has, is there for one connection only, and cannot be read
 * from triggers and views.
 */
#pragma once

#include "rows/feed.h"
#include "rows/sqlite_columns.h"

typedef struct SqliteLot {
    char name[40]; /* of the table: letters, digits and _ */

    /* What is read: rows FROM … TO-1 of LOT. Borrowed, set before each statement. */
    const FeedLot *lot;
    size_t from, to;

    /* How: column c of the table is column columns->used[c] of the lot. Borrowed, set once. */
    const SqliteColumns *columns;

    /* What came of it. */
    size_t at;       /* the row that is read; TO behind the last one */
    bool is_refused; /* the row AT: by us, with code and words */
    const char *code;
    char words[REFUSAL_TEXT_BYTES];

    Buf scratch; /* a value that was made to fit */
} SqliteLot;

/* Make LOT's table known to the connection. It must stay where it is until that is closed. 0 or an
 * SQLite code. */
MUST int sqlite_lot_register(SqliteLot *lot, sqlite3 *handle);
void sqlite_lot_deinit(SqliteLot *lot);

/* Read rows [FROM, TO) of ROWS next. */
void sqlite_lot_set(SqliteLot *lot, const FeedLot *rows, size_t from, size_t to);

/* The row that a statement which has just failed is to blame on, or SIZE_MAX: with
 * triggers SQLite reads all rows before it writes the first. */
size_t sqlite_lot_row(const SqliteLot *lot);
