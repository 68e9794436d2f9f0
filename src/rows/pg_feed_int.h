/*
 * The feed of PostgreSQL from the inside: what its files share.
 *
 *   pg_feed.c          the connection, transactions, marks, and what errors mean
 *   pg_feed_table.c    the table: looked at, made, widened; the temporary one of an upsert
 *   pg_feed_rows.c     rows of a lot, encoded and copied
 *   pg_feed_refused.c  a lot of which the server refuses some rows
 */
#pragma once

#include "rows/feed.h"
#include "rows/pg_binary.h"
#include "rows/pg_conn.h"
#include "rows/pg_state.h"
#include "rows/sql_text.h"

#define PG_STAGING "pg_temp.sluice_staging"
#define PG_ORDER   "\"sluice row\""

typedef struct PgFeed {
    const SinkSpec *spec; /* borrowed from the feed */
    char *run_id;         /* owned; names the mark */
    bool is_synced;
    bool can_grow;

    PgConn *conn;          /* NULL: not connected */
    Buf table;             /* its name, quoted */
    char *table_name;      /* owned */
    Str relation;          /* the last part of its name, as the server says it; borrowed */
    bool was_there;        /* it has been looked at: it is not made again when it is gone */
    RowColumn *columns;    /* that were looked for in it, names owned */
    PgType *types;         /* of them */
    size_t n_columns;      /* how many; 0: look */
    size_t n_staged;       /* columns of the temporary table of this connection; 0: there is none */
    unsigned lots_as_text; /* the next ones, because the last one had an odd value */

    uint64_t mark;    /* of the last lot that is in */
    Buf note;         /* of that */
    bool is_refused;  /* a transaction waits for finish */
    uint64_t pending; /* its mark */
    Buf pending_note;

    PgBinary binary; /* rows on their way */
    Buf copy;        /* the same as text */
    Buf scratch;
    Buf sql;
} PgFeed;

static inline bool pg_feed_is_upsert(const PgFeed *feed)
{
    return feed->spec->mode == SINK_UPSERT;
}

static inline bool pg_feed_has_marks(const PgFeed *feed)
{
    return feed->run_id[0] != '\0';
}

/* Run what is in feed->sql, and empty it. */
MUST SUSPENDS int pg_feed_run_sql(PgFeed *feed, const char *what);

/* Whether error R was the server's, or the connection's; and what it means then. */
bool pg_feed_is_of_server(const PgFeed *feed, int r);
PgSense pg_feed_sense(const PgFeed *feed);

/* ---- pg_feed_table.c ------------------------------------------------------------------------- */

/* Append the name of the table, quoted; returns its last part. GIVEN, which came with the rows, is
 * in the place of the spec's where it is not empty. */
Str pg_feed_add_table(Buf *out, const SinkSpec *spec, Str given);

/* Why there can be no such table or column, in words that follow the name; NULL: there can. */
const char *pg_feed_table_fault(const SinkSpec *spec, Str table);
const char *pg_feed_column_fault(Str column);

/* What stands in the way of rows, in VERDICT's words: FEED_STOP. Otherwise 0, or an error. The
 * table has LOT's columns then, and feed->types tells what they take. */
MUST SUSPENDS int pg_feed_ready_table(PgFeed *feed, const FeedLot *lot, FeedVerdict *verdict);

void pg_feed_forget_table(PgFeed *feed); /* look at it again before the next rows */

/* Make the temporary table of an upsert for N_COLUMNS columns, where there is none such. */
MUST SUSPENDS int pg_feed_ready_staging(PgFeed *feed, size_t n_columns);

/* Append the statement that moves its rows over, the newest of each key. */
void pg_feed_add_move(PgFeed *feed, size_t n_columns);

/* ---- pg_feed_rows.c -------------------------------------------------------------------------- */

enum { PG_FEED_ODD = 1 };

/*
 * Copy the rows [FROM, TO) of LOT: BEFORE, the COPY, and what AFTER says, in one message. With
 * AS_TEXT in the text format; otherwise PG_FEED_ODD when a value is for the server to judge: then
 * the transaction has failed. Also on other errors the transaction is as the server left it.
 */
typedef struct PgCopyPlan {
    const FeedLot *lot;
    size_t from, to;
    bool as_text;
    const char *before; /* "BEGIN; " */
    Str after;          /* "; COMMIT" */
} PgCopyPlan;

MUST SUSPENDS int pg_feed_copy(PgFeed *feed, const PgCopyPlan *plan);

/* ---- pg_feed_refused.c ----------------------------------------------------------------------- */

/*
 * Write LOT slice by slice, without the rows that are refused: 0 with the transaction open,
 * FEED_STOP when they are too many, or an error.
 */
MUST SUSPENDS int pg_feed_write_slices(PgFeed *feed, const FeedLot *lot, FeedVerdict *verdict);
