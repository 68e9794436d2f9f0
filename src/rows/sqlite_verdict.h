/*
 * What an error of SQLite means for a feed: who is to blame, and what helps.
 */
#pragma once

#include "rows/feed.h"
#include "rows/sqlite_db.h"
#include "rows/sqlite_lot.h"

/* A row that is refused for its values. */
typedef struct SqliteRefusal {
    size_t row; /* in the lot, or SIZE_MAX when SQLite does not tell */
    const char *code;
    char text[REFUSAL_TEXT_BYTES];
} SqliteRefusal;

/* Whether RC, of the INSERT that read LOT, is a row's own fault; then *RET_WHY. */
bool sqlite_refusal(SqliteDb *db, const SqliteLot *lot, int rc, SqliteRefusal *ret_why);

/*
 * End the error R of DB as an outcome: FEED_RETRY, FEED_FULL, or FEED_STOP with what to do. An
 * error that is not SQLite's stays one. *RET_IS_LOST: the connection is of no more use.
 */
MUST int sqlite_verdict(const SqliteDb *db, int r, FeedVerdict *verdict, bool *ret_is_lost);
