/*
 * The frontier's database at the beginning: made, or opened and judged, and read by a crawl that
 * goes on.
 *
 * The order of opening matters. Whose file it is is looked at before anything is written; the
 * exclusive lock is taken with the first read and never given back; the settings are compared
 * before a row is touched.
 */
#include "handlers/crawl/frontier_db_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#include <sys/stat.h>

#define BUSY_MS             100 /* for another process that only looks */
#define SETTING_PREFIX      "setting:"
#define SETTING_SHOWN_BYTES 60

static const char schema[] =
    "BEGIN;"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;"
    "CREATE TABLE hosts(id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
    "CREATE TABLE pages(id INTEGER PRIMARY KEY, host INTEGER NOT NULL, place INTEGER NOT NULL,"
    " state INTEGER NOT NULL, mark INTEGER NOT NULL, seen INTEGER NOT NULL, depth INTEGER NOT NULL,"
    " hops INTEGER NOT NULL, attempts INTEGER NOT NULL, status INTEGER NOT NULL,"
    " content INTEGER NOT NULL, visited INTEGER NOT NULL, url TEXT NOT NULL, requested TEXT,"
    " referrer TEXT, etag TEXT, last_modified TEXT, outcome TEXT);"
    "CREATE INDEX pages_queued ON pages(host, place) WHERE state = 0;"
    "CREATE TABLE robots(authority TEXT PRIMARY KEY, status INTEGER NOT NULL,"
    " good_until INTEGER NOT NULL, since INTEGER NOT NULL, body BLOB) WITHOUT ROWID;"
    "PRAGMA application_id=" STRINGIFY(DB_APPLICATION_ID) ";"
                                                          "PRAGMA user_version=" STRINGIFY(
                                                              DB_VERSION) ";"
                                                                          "COMMIT;";

static const char drop[] = "DROP TABLE IF EXISTS meta; DROP TABLE IF EXISTS hosts;"
                           "DROP TABLE IF EXISTS pages; DROP TABLE IF EXISTS robots;";

/* ---- opening ----------------------------------------------------------------------------------*/

static int prepare(FrontierDb *db, const char *sql, sqlite3_stmt **ret_statement)
{
    int rc = sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement,
                                NULL);

    return rc == SQLITE_OK ? 0 : db_fail(db, rc, sql);
}

/* The one number that SQL gives. */
static int query_i64(FrontierDb *db, const char *sql, int64_t *ret_value)
{
    sqlite3_stmt *statement = NULL;
    int rc, r = prepare(db, sql, &statement);

    if (r < 0)
        return r;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(statement, 0);
    else
        r = db_fail(db, rc, sql);
    (void) sqlite3_finalize(statement);
    return r;
}

/* Whose file it is: *ret_is_new when it is empty; an error when it is somebody else's. */
static int judge_file(FrontierDb *db, bool *ret_is_new)
{
    int64_t application = 0, version = 0, tables = 0;
    int r = query_i64(db, "SELECT count(*) FROM sqlite_schema", &tables);

    if (r == 0)
        r = query_i64(db, "PRAGMA application_id", &application);
    if (r == 0)
        r = query_i64(db, "PRAGMA user_version", &version);
    if (r < 0)
        return r;
    *ret_is_new = !application && !tables;
    if (*ret_is_new)
        return 0;
    if (application != DB_APPLICATION_ID)
        return fail(-ERR_STORE_FORMAT, "%s: is a database, but no state file of a crawl", db->path);
    if (version != DB_VERSION)
        return fail(-ERR_STORE_FORMAT,
                    "%s: is a state file of another version (%lld, this one "
                    "reads %d); remove it to start anew",
                    db->path, (long long) version, DB_VERSION);
    return 0;
}

static int put_setting(FrontierDb *db, const FrontierSetting *setting)
{
    char name[100];
    int len = snprintf(name, sizeof(name), SETTING_PREFIX "%s", setting->name);
    sqlite3_stmt *statement = db->statements[DB_SQL_META_PUT];

    ASSERT(len > 0 && (size_t) len < sizeof(name));
    db_bind_text(statement, 1, str_from(name, (size_t) len));
    (void) sqlite3_bind_blob(statement, 2, setting->value.len ? setting->value.data : NULL,
                             (int) setting->value.len, SQLITE_STATIC);
    return db_run(db, statement);
}

/* Append how SETTING differs from what the file has; nothing when it does not. */
static int compare_setting(FrontierDb *db, const FrontierSetting *setting, Buf *differences)
{
    AUTO(buf_deinit) Buf kept = { 0 };
    char name[100];
    int r;

    (void) snprintf(name, sizeof(name), SETTING_PREFIX "%s", setting->name);
    r = frontier_db_meta(db, name, &kept);
    if (r < 0)
        return r;
    if (str_eq(buf_str(&kept), setting->value))
        return 0;
    if (differences->len) {
        buf_printf(differences, ", %s", setting->name);
    } else {
        Str was = str_cut_utf8(buf_str(&kept), SETTING_SHOWN_BYTES);
        Str is = str_cut_utf8(setting->value, SETTING_SHOWN_BYTES);

        buf_printf(differences, "%s was \"%.*s\" and is \"%.*s\"", setting->name, (int) was.len,
                   was.data ? was.data : "", (int) is.len, is.data ? is.data : "");
    }
    return 0;
}

static int compare_settings(FrontierDb *db, const FrontierSetting *settings, size_t n)
{
    AUTO(buf_deinit) Buf differences = { 0 };
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = compare_setting(db, &settings[i], &differences);
    if (r == 0 && differences.len)
        r = fail(-ERR_CONFLICT,
                 "%s: is the state of another crawl: %.*s; ask for the same again "
                 "to go on, name another --state, or begin anew with --fresh",
                 db->path, (int) differences.len, differences.data);
    return r;
}

static int make_tables(FrontierDb *db)
{
    return db_exec(db, schema);
}

static int prepare_statements(FrontierDb *db)
{
    static const char *const texts[] = {
#define X(name, sql) sql,
        DB_STATEMENTS(X)
#undef X
    };
    int r = 0;

    STATIC_ASSERT(ARRAY_LEN(texts) == DB_SQL_COUNT, "a text for each statement");
    for (size_t i = 0; r == 0 && i < DB_SQL_COUNT; i++)
        r = prepare(db, texts[i], &db->statements[i]);
    return r;
}

/* A private database: nothing is ever read after a crash. */
static int open_private(FrontierDb *db)
{
    int r = db_exec(db, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-4096;"
                        "PRAGMA locking_mode=EXCLUSIVE");

    return r < 0 ? r : make_tables(db);
}

static int open_file(FrontierDb *db, FrontierMode mode, bool *ret_is_new)
{
    int r;

    (void) sqlite3_busy_timeout(db->sqlite, BUSY_MS);
    r = db_exec(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-4096");
    if (r == 0)
        r = judge_file(db, ret_is_new);
    if (r == 0 && (*ret_is_new || mode == FRONTIER_RESTART))
        (void) chmod(db->path, 0600); /* where it cannot be had, SQLite's way is what there is */
    if (r == 0)
        r = db_exec(db, "PRAGMA synchronous=OFF; PRAGMA journal_mode=WAL;"
                        "PRAGMA wal_autocheckpoint=4000");
    if (r == 0 && mode == FRONTIER_RESTART && !*ret_is_new) {
        r = db_exec(db, drop);
        *ret_is_new = true;
    }
    if (r == 0 && *ret_is_new)
        r = make_tables(db);
    return r < 0 ? r : db_exec(db, "PRAGMA synchronous=NORMAL");
}

static int open_inside(FrontierDb *db, const FrontierSetting *settings, size_t n_settings,
                       FrontierMode mode, bool *ret_is_new)
{
    int rc, r;

    rc = sqlite3_open_v2(db->path ? db->path : "", &db->sqlite,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return db_fail(db, rc, "open");
    *ret_is_new = true;
    r = db->path ? open_file(db, mode, ret_is_new) : open_private(db);
    if (r == 0)
        r = prepare_statements(db);
    if (r < 0 || !db->path)
        return r;
    if (!*ret_is_new)
        return compare_settings(db, settings, n_settings);
    r = db_exec(db, "BEGIN");
    for (size_t i = 0; r == 0 && i < n_settings; i++)
        r = put_setting(db, &settings[i]);
    return r < 0 ? r : db_exec(db, "COMMIT");
}

int frontier_db_open(FrontierDb **ret_db, const char *path, const FrontierSetting *settings,
                     size_t n_settings, FrontierMode mode, bool *ret_is_new)
{
    FrontierDb *db = mem_new(FrontierDb);
    int r;

    db->path = path ? mem_copy_c(path, strlen(path)) : NULL;
    r = open_inside(db, settings, n_settings, mode, ret_is_new);
    if (r < 0)
        frontier_db_close(db, false);
    else
        *ret_db = db;
    return r;
}

static void remove_file(const char *path, const char *suffix)
{
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(mem_free) char *name = NULL;

    buf_add_c(&text, path);
    buf_add_c(&text, suffix);
    name = buf_take_c(&text);
    if (name)
        (void) unlink(name); /* SQLite has most likely removed it already */
}

void frontier_db_close(FrontierDb *db, bool is_removed)
{
    for (size_t i = 0; i < DB_SQL_COUNT; i++)
        (void) sqlite3_finalize(db->statements[i]);
    (void) sqlite3_close(db->sqlite);
    if (is_removed && db->path) {
        remove_file(db->path, "");
        remove_file(db->path, "-wal");
        remove_file(db->path, "-shm");
    }
    mem_free(db->path);
    mem_free(db);
}

/* ---- meta -------------------------------------------------------------------------------------*/

int frontier_db_meta(FrontierDb *db, const char *name, Buf *out)
{
    sqlite3_stmt *statement = db->statements[DB_SQL_META_GET];
    int rc, r = 0;

    db_bind_text(statement, 1, str_from_c(name));
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        buf_add_str(out, db_column_text(statement, 0));
    else
        r = rc == SQLITE_DONE ? FRONTIER_DB_NONE : db_fail(db, rc, "read meta");
    (void) sqlite3_reset(statement);
    return r < 0 ? r : buf_check(out) < 0 ? buf_check(out) : r;
}

int frontier_db_meta_u64(FrontierDb *db, const char *name, uint64_t *ret_value)
{
    AUTO(buf_deinit) Buf text = { 0 };
    int r = frontier_db_meta(db, name, &text);

    if (r != 0)
        return r;
    r = str_to_u64(buf_str(&text), UINT64_MAX, ret_value);
    return r < 0 ? db_fail_damaged(db, name) : 0;
}

/* ---- going on ---------------------------------------------------------------------------------*/

#define QUEUE_AGAIN "UPDATE pages SET state = 0, mark = 0, attempts = 0, outcome = NULL "

int frontier_db_settle(FrontierDb *db, uint64_t mark)
{
    char sql[200];

    (void) snprintf(sql, sizeof(sql),
                    QUEUE_AGAIN "WHERE state <> 0 AND (mark > %llu OR outcome = '%s')",
                    (unsigned long long) mark, crawl_outcome_word(CRAWL_ROBOTS_UNREACHABLE));
    return db_exec(db, sql);
}

int frontier_db_revisit(FrontierDb *db)
{
    return db_exec(db, QUEUE_AGAIN "WHERE state <> 0");
}

int frontier_db_count(FrontierDb *db, uint64_t *ret_n_ended, uint64_t *ret_n_queued)
{
    int64_t ended = 0, queued = 0;
    int r = query_i64(db, "SELECT count(*) FROM pages WHERE state = 0", &queued);

    if (r == 0)
        r = query_i64(db, "SELECT count(*) FROM pages", &ended);
    *ret_n_queued = (uint64_t) queued;
    *ret_n_ended = (uint64_t) (ended - queued);
    return r;
}

bool frontier_counts(CrawlOutcome outcome)
{
    return crawl_outcome_class(outcome) == CRAWL_CLASS_PAGE && outcome != CRAWL_REDIRECTED;
}

/* What was counted of each host while all pages were read. */
typedef struct HostCounts {
    DbHost *items; /* by id */
    size_t len;
} HostCounts;

static DbHost *host_count(HostCounts *counts, int64_t id)
{
    size_t len = MAX((size_t) id + 1, counts->len * 2);

    if ((size_t) id >= counts->len) {
        counts->items = mem_resize_array(counts->items, len, sizeof(DbHost));
        for (size_t i = counts->len; i < len; i++)
            counts->items[i] = (DbHost){ 0 };
        counts->len = len;
    }
    return &counts->items[id];
}

static CrawlOutcome outcome_of_word(Str word)
{
    for (CrawlOutcome outcome = 0; outcome < CRAWL_OUTCOME_COUNT; outcome++)
        if (str_eq_c(word, crawl_outcome_word(outcome)))
            return outcome;
    return CRAWL_FAILED;
}

static int load_page(FrontierDb *db, sqlite3_stmt *statement, DbLoad *load, HostCounts *counts)
{
    int64_t host = sqlite3_column_int64(statement, 1);
    int64_t state = sqlite3_column_int64(statement, 2);
    uint64_t id = (uint64_t) sqlite3_column_int64(statement, 0);
    uint64_t mark = (uint64_t) sqlite3_column_int64(statement, 3);
    uint64_t seen = (uint64_t) sqlite3_column_int64(statement, 4);
    uint64_t content = (uint64_t) sqlite3_column_int64(statement, 5);

    if (host < 0 || host >= LIMIT_CRAWL_HOSTS || state < 0 || state >= PAGE_STATE_COUNT || !seen)
        return db_fail_damaged(db, "a page that makes no sense");
    load->page_id_max = MAX(load->page_id_max, id);
    load->mark_max = MAX(load->mark_max, mark);
    load->by_state[state]++;
    (void) seen_add(load->seen, seen);
    if (state == PAGE_QUEUED) {
        DbHost *count = host_count(counts, host);

        count->n_queued++;
        count->place_max = MAX(count->place_max, (int64_t) sqlite3_column_int64(statement, 7));
    } else {
        CrawlOutcome outcome = outcome_of_word(db_column_text(statement, 6));

        load->by_outcome[outcome]++;
        host_count(counts, host)->n_counted += frontier_counts(outcome);
        if (content)
            (void) seen_add(load->contents, content);
    }
    return 0;
}

static int load_pages(FrontierDb *db, DbLoad *load, HostCounts *counts)
{
    sqlite3_stmt *statement = NULL;
    int rc, r = prepare(db,
                        "SELECT id, host, state, mark, seen, content, outcome, "
                        "place FROM pages",
                        &statement);

    while (r == 0 && (rc = sqlite3_step(statement)) != SQLITE_DONE)
        r = rc == SQLITE_ROW ? load_page(db, statement, load, counts)
                             : db_fail(db, rc, "read the pages");
    (void) sqlite3_finalize(statement);
    return r;
}

static int load_host(FrontierDb *db, sqlite3_stmt *statement, DbLoad *load, HostCounts *counts)
{
    int64_t id = sqlite3_column_int64(statement, 0);
    Str name = db_column_text(statement, 1);
    DbHost *count;

    if (id < 0 || id >= LIMIT_CRAWL_HOSTS || !name.len)
        return db_fail_damaged(db, "a host that makes no sense");
    count = host_count(counts, id);
    return load->on_host(load->ctx, (uint32_t) id, name,
                         &(DbHost){ count->n_queued, count->n_counted, count->place_max });
}

static int load_hosts(FrontierDb *db, DbLoad *load, HostCounts *counts)
{
    sqlite3_stmt *statement = NULL;
    int rc, r = prepare(db, "SELECT id, name FROM hosts ORDER BY id", &statement);

    while (r == 0 && (rc = sqlite3_step(statement)) != SQLITE_DONE)
        r = rc == SQLITE_ROW ? load_host(db, statement, load, counts)
                             : db_fail(db, rc, "read the hosts");
    (void) sqlite3_finalize(statement);
    return r;
}

static int load_robots_row(sqlite3_stmt *statement, DbLoad *load)
{
    RobotsRecord record = {
        .authority = db_column_text(statement, 0),
        .status = sqlite3_column_int(statement, 1),
        .good_until_ms = sqlite3_column_int64(statement, 2),
        .unreachable_since_ms = sqlite3_column_int64(statement, 3),
        .body = db_column_text(statement, 4),
    };

    return record.authority.len ? load->on_robots(load->ctx, &record) : 0;
}

static int load_robots(FrontierDb *db, DbLoad *load)
{
    sqlite3_stmt *statement = NULL;
    int rc, r = prepare(db,
                        "SELECT authority, status, good_until, since, body FROM robots "
                        "ORDER BY good_until",
                        &statement);

    while (r == 0 && (rc = sqlite3_step(statement)) != SQLITE_DONE)
        r = rc == SQLITE_ROW ? load_robots_row(statement, load)
                             : db_fail(db, rc, "read the robots.txt kept");
    (void) sqlite3_finalize(statement);
    return r;
}

int frontier_db_load(FrontierDb *db, DbLoad *load)
{
    HostCounts counts = { 0 };
    int r = load_pages(db, load, &counts);

    if (r == 0)
        r = load_hosts(db, load, &counts);
    if (r == 0)
        r = load_robots(db, load);
    mem_free(counts.items);
    return r;
}
