/*
 * What runs in the frontier's batches: statements prepared once, changes applied, rows read.
 *
 * Opening, and what a resumed crawl does once, is in frontier_load.c.
 */
#include "handlers/crawl/frontier_db_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"

/* ---- errors -----------------------------------------------------------------------------------*/

int db_fail(FrontierDb *db, int rc, const char *what)
{
    const char *path = db->path ? db->path : "the temporary database of the crawl";

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return fail(-ERR_STORE_FULL,
                    "%s: no room left on its disk; make room and start the crawl "
                    "again, it goes on where it was",
                    path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fail(-ERR_STORE_LOCKED,
                    "%s: a running crawl has it; wait for it, or give this one "
                    "a --state of its own",
                    path);
    case SQLITE_NOTADB: return fail(-ERR_STORE_FORMAT, "%s: is no state file of a crawl", path);
    case SQLITE_CORRUPT:
        return fail(-ERR_STORE_FORMAT, "%s: is damaged (%s); remove it to start anew", path,
                    sqlite3_errmsg(db->sqlite));
    case SQLITE_NOMEM: return fail(-ENOMEM, "%s: %s", path, what);
    case SQLITE_READONLY:
    case SQLITE_PERM: return fail(-ERR_STORE, "%s: may not be written", path);
    }
    return fail(-ERR_STORE, "%s: %s: %s", path, what,
                db->sqlite ? sqlite3_errmsg(db->sqlite) : sqlite3_errstr(rc));
}

int db_fail_damaged(FrontierDb *db, const char *what)
{
    return fail(-ERR_STORE_FORMAT, "%s: is damaged (%s); remove it to start anew",
                db->path ? db->path : "the temporary database of the crawl", what);
}

int db_exec(FrontierDb *db, const char *sql)
{
    int rc = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : db_fail(db, rc, sql);
}

/* ---- binding ----------------------------------------------------------------------------------*/

void db_bind_text(sqlite3_stmt *statement, int at, Str text)
{
    if (text.len)
        (void) sqlite3_bind_text(statement, at, text.data, (int) text.len, SQLITE_STATIC);
    else
        (void) sqlite3_bind_null(statement, at);
}

void db_bind_u64(sqlite3_stmt *statement, int at, uint64_t value)
{
    (void) sqlite3_bind_int64(statement, at, (int64_t) value);
}

Str db_column_text(sqlite3_stmt *statement, int at)
{
    const char *text = (const char *) sqlite3_column_blob(statement, at);
    int len = sqlite3_column_bytes(statement, at);

    return str_from(text, len > 0 ? (size_t) len : 0);
}

/* Run a statement that gives no rows, and make it ready for the next time. */
int db_run(FrontierDb *db, sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);
    int r = rc == SQLITE_DONE ? 0 : db_fail(db, rc, sqlite3_sql(statement));

    (void) sqlite3_reset(statement);
    return r;
}

/* ---- records ----------------------------------------------------------------------------------*/

void db_record_put(Buf *buf, const DbRecord *record)
{
    buf_add(buf, record, sizeof(*record));
    for (size_t i = 0; i < DB_TEXTS; i++)
        buf_add_str(buf, record->text[i]);
}

bool db_record_next(Str *rest, DbRecord *ret_record)
{
    size_t at = sizeof(*ret_record);

    if (!rest->len)
        return false;
    ASSERT(rest->len >= at);
    memcpy(ret_record, rest->data, at);
    for (size_t i = 0; i < DB_TEXTS; i++) {
        ASSERT(ret_record->text[i].len <= rest->len - at);
        ret_record->text[i].data = rest->data + at;
        at += ret_record->text[i].len;
    }
    *rest = str_sub(*rest, at, rest->len);
    return true;
}

/* ---- changes ----------------------------------------------------------------------------------*/

static int put_meta(FrontierDb *db, const DbRecord *record)
{
    sqlite3_stmt *statement = db->statements[DB_SQL_META_PUT];

    db_bind_text(statement, 1, record->text[0]);
    (void) sqlite3_bind_blob(statement, 2, record->text[1].data, (int) record->text[1].len,
                             SQLITE_STATIC);
    return db_run(db, statement);
}

static int put_host(FrontierDb *db, const DbRecord *record)
{
    sqlite3_stmt *statement = db->statements[DB_SQL_HOST_PUT];

    db_bind_u64(statement, 1, record->host);
    db_bind_text(statement, 2, record->text[0]);
    return db_run(db, statement);
}

static int put_page(FrontierDb *db, const DbRecord *record)
{
    sqlite3_stmt *statement = db->statements[DB_SQL_PAGE_PUT];

    db_bind_u64(statement, 1, record->id);
    db_bind_u64(statement, 2, record->host);
    (void) sqlite3_bind_int64(statement, 3, record->place);
    (void) sqlite3_bind_int(statement, 4, (int) record->state);
    db_bind_u64(statement, 5, record->mark);
    db_bind_u64(statement, 6, record->seen);
    (void) sqlite3_bind_int(statement, 7, record->depth);
    (void) sqlite3_bind_int(statement, 8, record->hops);
    (void) sqlite3_bind_int(statement, 9, record->attempts);
    (void) sqlite3_bind_int(statement, 10, record->status);
    db_bind_u64(statement, 11, record->content);
    (void) sqlite3_bind_int64(statement, 12, record->visited_ms);
    for (int i = 0; i < DB_TEXTS; i++)
        db_bind_text(statement, 13 + i, record->text[i]);
    return db_run(db, statement);
}

static int put_again(FrontierDb *db, const DbRecord *record)
{
    sqlite3_stmt *statement = db->statements[DB_SQL_PAGE_AGAIN];

    db_bind_u64(statement, 1, record->id);
    (void) sqlite3_bind_int(statement, 2, record->attempts);
    return db_run(db, statement);
}

static int put_end(FrontierDb *db, const DbRecord *record)
{
    sqlite3_stmt *statement = db->statements[DB_SQL_PAGE_END];

    db_bind_u64(statement, 1, record->id);
    (void) sqlite3_bind_int(statement, 2, (int) record->state);
    db_bind_u64(statement, 3, record->mark);
    (void) sqlite3_bind_int(statement, 4, record->attempts);
    (void) sqlite3_bind_int(statement, 5, record->status);
    db_bind_u64(statement, 6, record->content);
    (void) sqlite3_bind_int64(statement, 7, record->visited_ms);
    db_bind_text(statement, 8, record->text[DB_ETAG]);
    db_bind_text(statement, 9, record->text[DB_LAST_MODIFIED]);
    db_bind_text(statement, 10, record->text[DB_OUTCOME]);
    return db_run(db, statement);
}

static int put_robots(FrontierDb *db, const DbRecord *record)
{
    sqlite3_stmt *statement = db->statements[DB_SQL_ROBOTS_PUT];

    db_bind_text(statement, 1, record->text[0]);
    (void) sqlite3_bind_int(statement, 2, record->status);
    (void) sqlite3_bind_int64(statement, 3, record->visited_ms);
    (void) sqlite3_bind_int64(statement, 4, record->place);
    (void) sqlite3_bind_blob(statement, 5, record->text[1].len ? record->text[1].data : NULL,
                             (int) record->text[1].len, SQLITE_STATIC);
    return db_run(db, statement);
}

static int put_record(FrontierDb *db, const DbRecord *record)
{
    switch (record->kind) {
    case DB_META: return put_meta(db, record);
    case DB_HOST: return put_host(db, record);
    case DB_PAGE_NEW: return put_page(db, record);
    case DB_PAGE_AGAIN: return put_again(db, record);
    case DB_PAGE_END: return put_end(db, record);
    case DB_ROBOTS: return put_robots(db, record);
    }
    UNREACHABLE("a change of no kind");
}

/* ---- rows -------------------------------------------------------------------------------------*/

static int read_page(FrontierDb *db, sqlite3_stmt *statement, uint32_t host, Buf *rows)
{
    DbRecord record = {
        .kind = DB_PAGE_NEW,
        .host = host,
        .id = (uint64_t) sqlite3_column_int64(statement, 0),
        .place = sqlite3_column_int64(statement, 1),
        .seen = (uint64_t) sqlite3_column_int64(statement, 2),
        .depth = sqlite3_column_int(statement, 3),
        .hops = (uint16_t) sqlite3_column_int(statement, 4),
        .attempts = (uint16_t) sqlite3_column_int(statement, 5),
        .content = (uint64_t) sqlite3_column_int64(statement, 6),
        .visited_ms = sqlite3_column_int64(statement, 7),
    };

    for (int i = 0; i < DB_OUTCOME; i++)
        record.text[i] = db_column_text(statement, 8 + i);
    if (!record.text[DB_URL].len || record.text[DB_URL].len > LIMIT_CRAWL_URL_BYTES)
        return db_fail_damaged(db, "a page without a URL");
    db_record_put(rows, &record);
    return 0;
}

static int refill(FrontierDb *db, const DbRefill *wanted, Buf *rows)
{
    sqlite3_stmt *statement = db->statements[DB_SQL_REFILL];
    int rc, r = 0;

    db_bind_u64(statement, 1, wanted->host);
    (void) sqlite3_bind_int64(statement, 2, wanted->cursor);
    db_bind_u64(statement, 3, wanted->n);
    while (r == 0 && (rc = sqlite3_step(statement)) != SQLITE_DONE)
        r = rc == SQLITE_ROW ? read_page(db, statement, wanted->host, rows)
                             : db_fail(db, rc, "read a host's next pages");
    (void) sqlite3_reset(statement);
    return r;
}

static int apply_inside(FrontierDb *db, Str changes, const DbRefill *refills, size_t n_refills,
                        Buf *rows)
{
    DbRecord record;
    int r = 0;

    while (r == 0 && db_record_next(&changes, &record))
        r = put_record(db, &record);
    for (size_t i = 0; r == 0 && i < n_refills; i++)
        r = refill(db, &refills[i], rows);
    return r < 0 ? r : buf_check(rows);
}

int frontier_db_apply(FrontierDb *db, Str changes, const DbRefill *refills, size_t n_refills,
                      bool is_sync, Buf *rows)
{
    bool is_full = is_sync && db->path;
    int r;

    if (is_full) {
        r = db_exec(db, "PRAGMA synchronous=FULL");
        if (r < 0)
            return r;
    }
    r = db_exec(db, "BEGIN");
    if (r < 0)
        return r;
    r = apply_inside(db, changes, refills, n_refills, rows);
    if (r == 0)
        r = db_exec(db, "COMMIT"); /* D3 */
    if (r < 0)
        (void) sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL); /* the first error counts */
    if (is_full && r == 0)
        r = db_exec(db, "PRAGMA synchronous=NORMAL");
    return r;
}
