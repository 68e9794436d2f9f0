/*
 * The connection behind frontier_db.h, for frontier_db.c and frontier_load.c.
 */
#pragma once

#include "base/limits.h"
#include "handlers/crawl/frontier_db.h"

#include <sqlite3.h>

#define DB_APPLICATION_ID 0x536c4372 /* "SlCr" */
#define DB_VERSION        1

/* X(NAME, "statement") */
#define DB_STATEMENTS(X)                                                                        \
    X(META_PUT, "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)")                      \
    X(META_GET, "SELECT value FROM meta WHERE name = ?1")                                       \
    X(HOST_PUT, "INSERT INTO hosts(id, name) VALUES(?1, ?2)")                                   \
    X(PAGE_PUT, "INSERT INTO pages(id, host, place, state, mark, seen, depth, hops, attempts, " \
                "status, content, visited, url, requested, referrer, etag, last_modified, "     \
                "outcome) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, " \
                "?15, ?16, ?17, ?18)")                                                          \
    X(PAGE_AGAIN, "UPDATE pages SET attempts = ?2 WHERE id = ?1")                               \
    X(PAGE_END, "UPDATE pages SET state = ?2, mark = ?3, attempts = ?4, status = ?5, "          \
                "content = ?6, visited = ?7, etag = ?8, last_modified = ?9, outcome = ?10 "     \
                "WHERE id = ?1")                                                                \
    X(ROBOTS_PUT, "INSERT OR REPLACE INTO robots(authority, status, good_until, since, body) "  \
                  "VALUES(?1, ?2, ?3, ?4, ?5)")                                                 \
    X(REFILL, "SELECT id, place, seen, depth, hops, attempts, content, visited, url, "          \
              "requested, referrer, etag, last_modified FROM pages "                            \
              "WHERE host = ?1 AND state = 0 AND place > ?2 ORDER BY place LIMIT ?3")

typedef enum DbStatement {
#define X(name, sql) DB_SQL_##name,
    DB_STATEMENTS(X)
#undef X
        DB_SQL_COUNT
} DbStatement;

struct FrontierDb {
    sqlite3 *sqlite;
    char *path; /* owned; NULL: private */
    sqlite3_stmt *statements[DB_SQL_COUNT];
};

/* The error for SQLite's code RC, while WHAT was done; and for rows that make no sense. */
int db_fail(FrontierDb *db, int rc, const char *what);
int db_fail_damaged(FrontierDb *db, const char *what);
MUST int db_exec(FrontierDb *db, const char *sql);
MUST int db_run(FrontierDb *db, sqlite3_stmt *statement);
void db_bind_text(sqlite3_stmt *statement, int at, Str text);
void db_bind_u64(sqlite3_stmt *statement, int at, uint64_t value);
Str db_column_text(sqlite3_stmt *statement, int at); /* borrowed until the next step */
