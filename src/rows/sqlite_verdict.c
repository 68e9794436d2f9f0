/*
 * What an error of SQLite means for a feed; see the header.
 *
 *   locks, no memory, an IOERR of a disk that may come back   FEED_RETRY
 *   FULL, and an IOERR of a quota or a limit on file sizes    FEED_FULL
 *   CONSTRAINT, MISMATCH, TOOBIG of the INSERT                the row is refused
 *   all else: table, column, rights, a damaged file           FEED_STOP
 */
#include "rows/sqlite_verdict.h"

#include "base/err.h"
#include "base/macro.h"

#include <stdio.h>

/* ---- rows ------------------------------------------------------------------------------------ */

static const char *code_of_constraint(int rc)
{
    switch (rc) {
    case SQLITE_CONSTRAINT_CHECK: return "check";
    case SQLITE_CONSTRAINT_DATATYPE: return "datatype";
    case SQLITE_CONSTRAINT_FOREIGNKEY: return "foreign_key";
    case SQLITE_CONSTRAINT_NOTNULL: return "not_null";
    case SQLITE_CONSTRAINT_PRIMARYKEY: return "primary_key";
    case SQLITE_CONSTRAINT_ROWID: return "rowid";
    case SQLITE_CONSTRAINT_TRIGGER: return "trigger";
    case SQLITE_CONSTRAINT_UNIQUE: return "unique";
    }
    return "constraint";
}

bool sqlite_refusal(SqliteDb *db, const SqliteLot *lot, int rc, SqliteRefusal *ret_why)
{
    const char *text = sqlite3_errmsg(db->handle);
    Str cut;

    if (lot->is_refused) {
        ret_why->code = lot->code;
        text = lot->words;
    } else if ((rc & 0xff) == SQLITE_CONSTRAINT) {
        ret_why->code = code_of_constraint(rc);
    } else if ((rc & 0xff) == SQLITE_MISMATCH) {
        ret_why->code = "mismatch";
    } else if ((rc & 0xff) == SQLITE_TOOBIG) {
        ret_why->code = "too_big";
    } else {
        return false;
    }
    ret_why->row = sqlite_lot_row(lot);
    cut = str_cut_utf8(str_from_c(text), sizeof(ret_why->text) - 1);
    memcpy(ret_why->text, cut.data, cut.len);
    ret_why->text[cut.len] = '\0';
    return true;
}

/* ---- all else -------------------------------------------------------------------------------- */

/* What helps, for FEED_STOP. */
static const char *advice(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return "let this program write to the file and its folder";
    case SQLITE_CANTOPEN: return "name a folder that is there and that this program may write to";
    case SQLITE_NOTADB: return "name another file: this one is none of SQLite, or is encrypted";
    case SQLITE_CORRUPT: return "the file is damaged: see PRAGMA integrity_check, and .recover";
    case SQLITE_IOERR: return "mend the file system";
    case SQLITE_CONSTRAINT:
        return "a rule is looked at only when the transaction ends, so no single row can be "
               "blamed: make it an immediate one";
    }
    return "make the table fit the rows, then start again";
}

static int outcome_of(const SqliteDb *db, int r)
{
    switch (db->rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT:
    case SQLITE_NOMEM: return FEED_RETRY;
    case SQLITE_FULL: return FEED_FULL;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return db->rc == SQLITE_IOERR_CORRUPTFS ? FEED_STOP : feed_outcome_of_errno(-r);
    }
    return FEED_STOP;
}

static const char *code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY: return "busy";
    case SQLITE_LOCKED: return "locked";
    case SQLITE_PROTOCOL: return "protocol";
    case SQLITE_NOMEM: return "no_memory";
    case SQLITE_FULL: return "full";
    case SQLITE_CANTOPEN: return "cannot_open";
    case SQLITE_IOERR: return "io_error";
    case SQLITE_READONLY: return "read_only";
    case SQLITE_PERM:
    case SQLITE_AUTH: return "not_allowed";
    case SQLITE_NOTADB: return "not_a_database";
    case SQLITE_CORRUPT: return "corrupt";
    case SQLITE_CONSTRAINT: return code_of_constraint(rc);
    }
    return "sql";
}

int sqlite_verdict(const SqliteDb *db, int r, FeedVerdict *verdict, bool *ret_is_lost)
{
    int outcome;
    Err err;

    *ret_is_lost = false;
    if (r >= 0 || db->rc == SQLITE_OK)
        return r;
    outcome = outcome_of(db, r);
    err_take(r, &err);
    if (outcome == FEED_STOP)
        feed_verdict_say(verdict, code_of(db->rc), "%.300s: %s", err.text, advice(db->rc));
    else
        feed_verdict_say(verdict, code_of(db->rc), "%.400s", err.text);
    *ret_is_lost = outcome != FEED_STOP && (db->rc & 0xff) == SQLITE_IOERR;
    return outcome;
}
