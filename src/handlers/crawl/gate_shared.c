/*
 * The file that all processes claim their requests in.
 *
 * What there is to tell and to ask gathers on the loop and goes to the pool as one exchange, one
 * immediate transaction: give back what was left, prolong what is held, then each claim in turn,
 * all of its keys or none. The time is read inside the transaction, when nobody else can be in one:
 * what is written there is true for everybody in the order of their transactions.
 *
 * The file needs no durability (P1: it is worth nothing after a boot, and a slot less or more after
 * a crash of the machine is no matter): synchronous is off, and a file that cannot be read is an
 * error with words, not a reason to be impolite.
 */
#include "handlers/crawl/gate_shared.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/rand.h"

#include <fcntl.h>
#include <sqlite3.h>

#define BUSY_MS        5000 /* for other processes' transactions, which take less than one */
#define BUSY_PAUSE_MS  5
#define SLOT_NS        (LIMIT_GATE_SHARED_SLOT_MS * NS_PER_MS)
#define POLL_NS        (LIMIT_GATE_SHARED_POLL_MS * NS_PER_MS)
#define AHEAD_NS       (3600 * NS_PER_S) /* P3 */
#define CLOSE_GRACE_MS 5000
#define BOOT_ID_BYTES  36

/* X(NAME, "statement") */
#define SHARED_STATEMENTS(X)                                                                    \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                 \
    X(COMMIT, "COMMIT")                                                                         \
    X(ROLLBACK, "ROLLBACK")                                                                     \
    X(LEAVE, "UPDATE keys SET next_at = max(next_at, ?2, ?3 + slots.delay) FROM slots "         \
             "WHERE slots.claim = ?1 AND keys.key = slots.key")                                 \
    X(DROP, "DELETE FROM slots WHERE claim = ?1")                                               \
    X(PROLONG, "UPDATE slots SET expires = ?2 WHERE holder = ?1")                               \
    X(EXPIRE, "DELETE FROM slots WHERE key = ?1 AND (expires <= ?2 OR expires > ?3)")           \
    X(HELD, "SELECT count(*), min(expires) FROM slots WHERE key = ?1")                          \
    X(ADD_KEY, "INSERT OR IGNORE INTO keys(key, next_at) VALUES(?1, 0)")                        \
    X(NEXT, "SELECT next_at FROM keys WHERE key = ?1")                                          \
    X(CLAIM, "UPDATE keys SET next_at = ?2 WHERE key = ?1 RETURNING next_at")                   \
    X(TAKE, "INSERT INTO slots(claim, key, holder, expires, delay) VALUES(?1, ?2, ?3, ?4, ?5)") \
    X(FORGET, "DELETE FROM keys WHERE next_at < ?1 AND key NOT IN (SELECT key FROM slots)")

typedef enum SharedStatement {
#define X(name, sql) SHARED_SQL_##name,
    SHARED_STATEMENTS(X)
#undef X
        SHARED_SQL_COUNT
} SharedStatement;

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS boot(id TEXT);"
    "CREATE TABLE IF NOT EXISTS keys(key TEXT PRIMARY KEY, next_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS slots(claim INTEGER, key TEXT NOT NULL, holder INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, delay INTEGER NOT NULL, PRIMARY KEY(key, claim)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS slots_claim ON slots(claim);"
    "CREATE INDEX IF NOT EXISTS slots_holder ON slots(holder);";

/* A claim given up. */
typedef struct Left {
    uint64_t id;
    int64_t end_ns;
    int64_t next_ns;
} Left;

struct GateShared {
    sqlite3 *sqlite;
    char *path;
    sqlite3_stmt *statements[SHARED_SQL_COUNT];
    int64_t holder; /* this process, among all */
    Buf left;       /* of Left, to be told */
    Buf telling;    /* the same, of the exchange under way */
    size_t n_held;
    int64_t prolong_ns; /* when what is held wants to be prolonged */
    sl_cond wanted;
    sl_mutex exchanging;
    bool is_wanted;
    bool is_closing;
    SharedClaim *claims; /* of the exchange under way */
    size_t n_claims;
};

/* ---- SQL --------------------------------------------------------------------------------------*/

static int sql_fail(GateShared *shared, int rc, const char *what)
{
    const char *why = shared->sqlite ? sqlite3_errmsg(shared->sqlite) : sqlite3_errstr(rc);

    if ((rc & 0xff) == SQLITE_NOTADB || (rc & 0xff) == SQLITE_CORRUPT)
        return fail(-ERR_STORE_FORMAT,
                    "%s: is damaged, or not the file in which crawls share their "
                    "pace; remove it",
                    shared->path);
    return fail(-ERR_STORE, "%s: %s: %s", shared->path, what, why);
}

static sqlite3_stmt *statement(GateShared *shared, SharedStatement which)
{
    return shared->statements[which];
}

/* Run to the end; the first column of the first row, where there is one. */
static int run(GateShared *shared, SharedStatement which, int64_t *ret_value)
{
    sqlite3_stmt *sql = statement(shared, which);
    int rc = sqlite3_step(sql);

    if (rc == SQLITE_ROW && ret_value)
        *ret_value = sqlite3_column_int64(sql, 0);
    while (rc == SQLITE_ROW)
        rc = sqlite3_step(sql);
    (void) sqlite3_reset(sql);
    return rc == SQLITE_DONE ? 0 : sql_fail(shared, rc, sqlite3_sql(sql));
}

static void bind_key(GateShared *shared, SharedStatement which, int at, Str key)
{
    (void) sqlite3_bind_text(statement(shared, which), at, key.data, (int) key.len, SQLITE_STATIC);
}

static void bind_i64(GateShared *shared, SharedStatement which, int at, int64_t value)
{
    (void) sqlite3_bind_int64(statement(shared, which), at, value);
}

/* ---- the exchange, on the pool ----------------------------------------------------------------*/

static int tell_left(GateShared *shared)
{
    const Left *left = (const Left *) (const void *) shared->telling.data;
    size_t n = shared->telling.len / sizeof(*left);
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        bind_i64(shared, SHARED_SQL_LEAVE, 1, (int64_t) left[i].id);
        bind_i64(shared, SHARED_SQL_LEAVE, 2, left[i].next_ns);
        bind_i64(shared, SHARED_SQL_LEAVE, 3, left[i].end_ns);
        bind_i64(shared, SHARED_SQL_DROP, 1, (int64_t) left[i].id);
        r = run(shared, SHARED_SQL_LEAVE, NULL);
        if (r == 0)
            r = run(shared, SHARED_SQL_DROP, NULL);
    }
    return r;
}

static int prolong(GateShared *shared, int64_t now_ns)
{
    bind_i64(shared, SHARED_SQL_PROLONG, 1, shared->holder);
    bind_i64(shared, SHARED_SQL_PROLONG, 2, now_ns + SLOT_NS);
    return run(shared, SHARED_SQL_PROLONG, NULL);
}

/* Whether KEY may go at NOW: *ret_when_ns is 0, or the time to ask again. */
static int look_at_key(GateShared *shared, const SharedKey *key, int64_t now_ns,
                       int64_t *ret_when_ns)
{
    int64_t n = 0, next_ns = 0;
    int r;

    bind_key(shared, SHARED_SQL_EXPIRE, 1, key->key);
    bind_i64(shared, SHARED_SQL_EXPIRE, 2, now_ns);
    bind_i64(shared, SHARED_SQL_EXPIRE, 3, now_ns + 2 * SLOT_NS); /* P2 for nonsense */
    bind_key(shared, SHARED_SQL_HELD, 1, key->key);
    bind_key(shared, SHARED_SQL_NEXT, 1, key->key);
    r = run(shared, SHARED_SQL_EXPIRE, NULL);
    if (r == 0)
        r = run(shared, SHARED_SQL_HELD, &n);
    if (r == 0)
        r = run(shared, SHARED_SQL_NEXT, &next_ns);
    if (r < 0)
        return r;
    *ret_when_ns = 0;
    if (n >= key->at_once)
        *ret_when_ns = now_ns + POLL_NS;
    if (next_ns > now_ns && next_ns - now_ns <= AHEAD_NS) /* P3 */
        *ret_when_ns = MAX(*ret_when_ns, next_ns);
    return 0;
}

static int take_key(GateShared *shared, const SharedKey *key, uint64_t id, int64_t now_ns)
{
    int r;

    bind_key(shared, SHARED_SQL_ADD_KEY, 1, key->key);
    bind_key(shared, SHARED_SQL_CLAIM, 1, key->key);
    bind_i64(shared, SHARED_SQL_CLAIM, 2, now_ns + key->delay_ns);
    bind_i64(shared, SHARED_SQL_TAKE, 1, (int64_t) id);
    bind_key(shared, SHARED_SQL_TAKE, 2, key->key);
    bind_i64(shared, SHARED_SQL_TAKE, 3, shared->holder);
    bind_i64(shared, SHARED_SQL_TAKE, 4, now_ns + SLOT_NS);
    bind_i64(shared, SHARED_SQL_TAKE, 5, key->delay_ns);
    r = run(shared, SHARED_SQL_ADD_KEY, NULL);
    if (r == 0)
        r = run(shared, SHARED_SQL_CLAIM, NULL);
    return r == 0 ? run(shared, SHARED_SQL_TAKE, NULL) : r;
}

static int decide(GateShared *shared, SharedClaim *claim, int64_t now_ns)
{
    uint64_t id = rand_entropy() >> 1 | 1;
    int r = 0;

    claim->id = 0;
    claim->when_ns = 0;
    for (size_t i = 0; r == 0 && i < SHARED_KEYS; i++) {
        int64_t when_ns = 0;

        if (!claim->keys[i].key.len)
            continue;
        r = look_at_key(shared, &claim->keys[i], now_ns, &when_ns);
        claim->when_ns = MAX(claim->when_ns, when_ns);
    }
    if (r < 0 || claim->when_ns)
        return r;
    for (size_t i = 0; r == 0 && i < SHARED_KEYS; i++)
        if (claim->keys[i].key.len)
            r = take_key(shared, &claim->keys[i], id, now_ns);
    claim->id = id;
    claim->when_ns = now_ns;
    return r;
}

static int exchange_inside(GateShared *shared)
{
    int64_t now_ns = sl_clock_ns();
    int r = tell_left(shared);

    if (r == 0)
        r = prolong(shared, now_ns);
    for (size_t i = 0; r == 0 && i < shared->n_claims; i++)
        r = decide(shared, &shared->claims[i], now_ns);
    return r;
}

static int exchange(void *arg)
{
    GateShared *shared = arg;
    int r = run(shared, SHARED_SQL_BEGIN, NULL);

    if (r < 0)
        return r;
    r = exchange_inside(shared);
    if (r == 0)
        r = run(shared, SHARED_SQL_COMMIT, NULL);
    if (r < 0)
        (void) sqlite3_exec(shared->sqlite, "ROLLBACK", NULL, NULL,
                            NULL); /* the first error counts */
    return r;
}

/* ---- opening and closing, on the pool ---------------------------------------------------------*/

/* What tells this boot of the machine from others; "" where the system does not say. */
static void read_boot_id(char out[static BOOT_ID_BYTES + 1])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, BOOT_ID_BYTES);

    out[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        (void) close(fd);
}

/* P1: what an earlier boot has left is forgotten. */
static int forget_earlier_boots(GateShared *shared)
{
    char boot[BOOT_ID_BYTES + 1];
    char sql[400];
    int rc;

    read_boot_id(boot);
    (void) snprintf(sql, sizeof(sql),
                    "BEGIN IMMEDIATE;"
                    "DELETE FROM keys WHERE NOT EXISTS (SELECT 1 FROM boot WHERE id = '%s');"
                    "DELETE FROM slots WHERE NOT EXISTS (SELECT 1 FROM boot WHERE id = '%s');"
                    "DELETE FROM boot; INSERT INTO boot VALUES('%s'); COMMIT",
                    boot, boot, boot);
    rc = sqlite3_exec(shared->sqlite, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sql_fail(shared, rc, "begin");
}

static int prepare_all(GateShared *shared)
{
    static const char *const texts[] = {
#define X(name, sql) sql,
        SHARED_STATEMENTS(X)
#undef X
    };
    int rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < SHARED_SQL_COUNT; i++)
        rc = sqlite3_prepare_v3(shared->sqlite, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &shared->statements[i], NULL);
    return rc == SQLITE_OK ? 0 : sql_fail(shared, rc, "prepare");
}

/* Two processes that begin at once both turn the file to WAL; SQLite tells one of them at once that
 * it is busy, without waiting as it does elsewhere, so we wait. */
static int make_tables(GateShared *shared)
{
    int rc = SQLITE_BUSY;

    for (int waited_ms = 0; waited_ms <= BUSY_MS; waited_ms += BUSY_PAUSE_MS) {
        rc = sqlite3_exec(shared->sqlite, "PRAGMA synchronous=OFF; PRAGMA journal_mode=WAL", NULL,
                          NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(shared->sqlite, schema, NULL, NULL, NULL);
        if ((rc & 0xff) != SQLITE_BUSY)
            break;
        (void) sqlite3_sleep(BUSY_PAUSE_MS);
    }
    return rc;
}

static int open_file(void *arg)
{
    GateShared *shared = arg;
    int r, rc = sqlite3_open_v2(shared->path, &shared->sqlite,
                                SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                                NULL);

    if (rc != SQLITE_OK)
        return sql_fail(shared, rc, "open");
    (void) sqlite3_busy_timeout(shared->sqlite, BUSY_MS);
    rc = make_tables(shared);
    if (rc != SQLITE_OK)
        return sql_fail(shared, rc, "make the tables");
    r = forget_earlier_boots(shared);
    return r < 0 ? r : prepare_all(shared);
}

static int close_file(void *arg)
{
    GateShared *shared = arg;
    int r = 0;

    if (shared->statements[SHARED_SQL_FORGET]) {
        r = exchange(shared);
        bind_i64(shared, SHARED_SQL_FORGET, 1, sl_clock_ns());
        if (r == 0)
            r = run(shared, SHARED_SQL_FORGET, NULL);
    }
    for (size_t i = 0; i < SHARED_SQL_COUNT; i++)
        (void) sqlite3_finalize(shared->statements[i]);
    (void) sqlite3_close(shared->sqlite);
    shared->sqlite = NULL;
    return r;
}

/* ---- the loop's side --------------------------------------------------------------------------*/

static void shared_free(GateShared *shared)
{
    buf_deinit(&shared->left);
    buf_deinit(&shared->telling);
    mem_free(shared->path);
    mem_free(shared);
}

SUSPENDS static int close_inside(void *arg)
{
    return sl_offload(close_file, arg, .name = "crawl claims");
}

int gate_shared_open(GateShared **ret_shared, const char *path)
{
    GateShared *shared = mem_new(GateShared);
    Err err;
    int r;

    shared->path = mem_copy_c(path, strlen(path));
    shared->holder = (int64_t) (rand_entropy() >> 1);
    r = sl_offload(open_file, shared, .name = "crawl claims");
    if (r < 0) {
        err_take(r, &err);
        gate_shared_close(shared);
        return err_put(&err);
    }
    *ret_shared = shared;
    return 0;
}

void gate_shared_close(GateShared *shared)
{
    int r;

    buf_reset(&shared->telling);
    buf_add_str(&shared->telling, buf_str(&shared->left));
    shared->n_claims = 0;
    r = sl_shielded(CLOSE_GRACE_MS, close_inside, shared);
    if (r < 0)
        err_take(r, NULL); /* what it held expires */
    if (shared->sqlite)
        (void) close_file(shared); /* the grace was over before the call began */
    shared_free(shared);
}

int gate_shared_exchange(GateShared *shared, SharedClaim *claims, size_t n)
{
    Buf empty;
    int r = sl_mutex_lock(&shared->exchanging);

    if (r < 0)
        return r;
    empty = shared->telling;
    buf_reset(&empty);
    shared->telling = shared->left;
    shared->left = empty;
    shared->claims = claims;
    shared->n_claims = n;
    shared->is_wanted = false;
    shared->prolong_ns = sl_now_ns() + SLOT_NS / 3;
    r = sl_offload(exchange, shared, .name = "crawl claims");
    if (r == 0) {
        for (size_t i = 0; i < n; i++)
            shared->n_held += claims[i].id != 0;
        buf_reset(&shared->telling);
    } else {
        buf_add_str(&shared->telling, buf_str(&shared->left)); /* not told yet: next time */
        empty = shared->left;
        shared->left = shared->telling;
        shared->telling = empty;
    }
    shared->claims = NULL;
    sl_mutex_unlock(&shared->exchanging);
    return r;
}

void gate_shared_leave(GateShared *shared, uint64_t id, int64_t next_ns)
{
    Left left = { .id = id, .end_ns = sl_clock_ns(), .next_ns = next_ns };

    ASSERT(id && shared->n_held > 0);
    shared->n_held--;
    buf_add(&shared->left, &left, sizeof(left));
    gate_shared_wake(shared);
}

void gate_shared_wake(GateShared *shared)
{
    shared->is_wanted = true;
    sl_cond_wake_all(&shared->wanted);
}

int gate_shared_wait(GateShared *shared)
{
    sl_scope scope;
    int r;

    if (shared->is_wanted)
        return sl_checkpoint();
    if (!shared->n_held)
        return sl_cond_wait(&shared->wanted);
    sl_scope_begin(&scope, .deadline_ns = shared->prolong_ns);
    r = sl_cond_wait(&shared->wanted);
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? 0 : r;
}
