/*
 * The columns of a feed into SQLite: those that were delivered, those that are in the table, and
 * how the values of each are kept.
 *
 * A column whose name SQLite cannot have beside the others (it does not tell "Temp" from "temp")
 * is barred: it stays out of the table, and rows with a value in it are refused.
 */
#pragma once

#include "base/arena.h"
#include "rows/feed.h"
#include "rows/row_types.h"
#include "rows/sqlite_db.h"

/* How a time is kept. The order is that of the words of ?time=. */
typedef enum SqliteTime {
    SQLITE_TIME_NS,
    SQLITE_TIME_US,
    SQLITE_TIME_MS,
    SQLITE_TIME_S,
    SQLITE_TIME_TEXT
} SqliteTime;

/* Zeroed there are none, and times are kept as `time` says (0: nanoseconds). */
typedef struct SqliteColumns {
    int64_t time; /* SqliteTime; -1: as the table that is there has it, else nanoseconds */
    Arena names;
    RowColumn *columns; /* as they were delivered; owned, names in the arena */
    size_t n_columns;
    size_t cap_columns;
    RowTypes types;      /* of all of them */
    SqliteTime *times;   /* of each; owned */
    RowColumn *in_table; /* those that are; owned */
    size_t *used;        /* for each of these its index among all; owned */
    size_t n_used;
    size_t *barred; /* owned */
    size_t n_barred;
} SqliteColumns;

void sqlite_columns_deinit(SqliteColumns *columns);

/* Why there can be no table of that name, in words that follow it; NULL: there can. */
const char *sqlite_table_fault(const SinkSpec *spec, Str table);

/* Take note of those behind the ones known. Whether there were any. */
bool sqlite_columns_take(SqliteColumns *columns, const RowColumn *given, size_t n_given);

/* How the table of SPEC and the columns come together. */
typedef struct SqliteFit {
    SqliteDb *db;
    const SinkSpec *spec;
    const FeedLot *lot; /* types are settled from its rows; NULL: nothing is made or changed */
    bool can_grow;
    bool was_there; /* the table: when it is gone, somebody dropped it */
    bool has_made;  /* out: the table was made or changed */
} SqliteFit;

/* Make the table, or give it the columns that it lacks, in the open transaction. 0; FEED_STOP with
 * VERDICT; or an error of the database. */
MUST int sqlite_columns_fit(SqliteColumns *columns, SqliteFit *fit, FeedVerdict *verdict);
