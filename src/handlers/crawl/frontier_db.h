/*
 * The frontier's database: SQLite, one file, one connection, one call at a time on the pool.
 *
 * Nothing here is for a loop: every function blocks, and is called through sl_offload. What crosses
 * are batches: a buffer of changes in, a buffer of rows out, both records one behind the other.
 *
 *   meta(name, value)         what the crawl is: seed, run id, mark, positions, cookies,
 *                             "setting:--start" …
 *   hosts(id, name)           politeness hosts
 *   pages(id, host, place …)  one row for each URL, for good; id is the order of arrival, place the
 *                             order in its host
 *   robots(authority …)       robots.txt as they came
 *
 * The index pages_queued has the queued rows only, so that a host's next URLs are one short range
 * of it however many are done.
 *
 *   D1  A row with state QUEUED may be in flight: being leased is a matter of the living process.
 *   D2  An ended row has the mark under which its rows were written. Until the outlet has confirmed
 *       that mark, a crash queues it again (frontier_db_settle).
 *   D3  A batch is one transaction: a page never ends without the links that it led to.
 *   D4  With a state file a batch survives the death of the process at once, and that of the
 *       machine from the next batch with is_sync and a change in it on. Without one nothing does.
 *
 * Files: application_id "SlCr", user_version DB_VERSION; another version is refused. The connection
 * holds the file exclusively for its whole life: a second crawl on it is told so. A file is made
 * for its owner only (0600), since cookies and URLs may be secrets.
 */
#pragma once

#include "base/text.h"
#include "handlers/crawl/frontier.h"
#include "handlers/crawl/robots_cache.h"
#include "handlers/crawl/scheduler.h"
#include "handlers/crawl/seen.h"

typedef struct FrontierDb FrontierDb;

/* Open or make the file at PATH; NULL: a private one that is gone when it is closed. The settings
 * are compared with (or, when RET_IS_NEW says so, put into) the file. Errors as scheduler_open. */
MUST int frontier_db_open(FrontierDb **ret_db, const char *path, const FrontierSetting *settings,
                          size_t n_settings, FrontierMode mode, bool *ret_is_new);

/* Close. IS_REMOVED: the files go too. */
void frontier_db_close(FrontierDb *db, bool is_removed);

/* A value of meta, appended to OUT; 0, FRONTIER_DB_NONE or an error. */
enum { FRONTIER_DB_NONE = 1 };
MUST int frontier_db_meta(FrontierDb *db, const char *name, Buf *out);
MUST int frontier_db_meta_u64(FrontierDb *db, const char *name, uint64_t *ret_value);

/* ---- changes and rows -------------------------------------------------------------------------*/

typedef enum DbKind {
    DB_META,       /* name in text[0], value in text[1] */
    DB_HOST,       /* id, name in text[0] */
    DB_PAGE_NEW,   /* all of it */
    DB_PAGE_AGAIN, /* id; attempts change */
    DB_PAGE_END, /* id; state, mark, attempts, outcome, status, etag … content, visited_ms change */
    DB_ROBOTS,   /* authority in text[0], body in text[1]; status; visited_ms is good_until,
                      place unreachable_since */
} DbKind;

/* Texts of a page. */
enum { DB_URL, DB_REQUESTED, DB_REFERRER, DB_ETAG, DB_LAST_MODIFIED, DB_OUTCOME, DB_TEXTS };

typedef struct DbRecord {
    DbKind kind;
    PageState state;
    uint32_t host;
    int32_t depth;
    uint16_t hops;
    uint16_t attempts;
    int32_t status;
    uint64_t id;
    uint64_t mark;
    uint64_t seen;
    uint64_t content;
    int64_t place;
    int64_t visited_ms;
    Str text[DB_TEXTS]; /* borrowed */
} DbRecord;

/* Append RECORD with its texts to BUF; take the next from *rest (start with the whole; texts are
 * borrowed from it), false at the end. */
void db_record_put(Buf *buf, const DbRecord *record);
bool db_record_next(Str *rest, DbRecord *ret_record);

/* Wanted of a host: up to `n` queued pages behind `cursor`. */
typedef struct DbRefill {
    uint32_t host;
    uint32_t n;
    int64_t cursor;
} DbRefill;

/* Apply CHANGES, then read REFILLS into ROWS (records of kind DB_PAGE_NEW), in one transaction.
 * IS_SYNC: on the disk before it returns. */
MUST int frontier_db_apply(FrontierDb *db, Str changes, const DbRefill *refills, size_t n_refills,
                           bool is_sync, Buf *rows);

/* ---- going on ---------------------------------------------------------------------------------*/

/* Ended rows of marks behind MARK, and those that ended as robots_unreachable, are queued again. */
MUST int frontier_db_settle(FrontierDb *db, uint64_t mark);

/* All rows are queued again, with their validators. */
MUST int frontier_db_revisit(FrontierDb *db);

/* How many rows have ended, and how many have not. */
MUST int frontier_db_count(FrontierDb *db, uint64_t *ret_n_ended, uint64_t *ret_n_queued);

/* What the rows say of a host. */
typedef struct DbHost {
    uint64_t n_queued;
    uint64_t n_counted;
    int64_t place_max; /* of its queued pages */
} DbHost;

/* What a crawl that goes on needs to know. on_host and on_robots get views for the call. */
typedef struct DbLoad {
    Seen *seen;     /* filled with the fingerprints of all rows */
    Seen *contents; /* the same with the contents of ended rows */
    uint64_t page_id_max;
    uint64_t mark_max;
    uint64_t by_state[PAGE_STATE_COUNT];
    uint64_t by_outcome[CRAWL_OUTCOME_COUNT];
    int (*on_host)(void *ctx, uint32_t id, Str name, const DbHost *host);
    int (*on_robots)(void *ctx, const RobotsRecord *record);
    void *ctx;
} DbLoad;

MUST int frontier_db_load(FrontierDb *db, DbLoad *load);

/* Whether an outcome counts towards pages_max: a page that was had, no redirect. */
bool frontier_counts(CrawlOutcome outcome);
