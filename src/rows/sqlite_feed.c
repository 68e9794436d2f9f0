/*
 * SQLite as a feed: each lot is a transaction, with its mark and note.
 *
 *   open     WAL, the mark of the run; the table is looked at when its columns are known
 *   deliver  BEGIN IMMEDIATE, the table is made or widened if need be, one INSERT for the whole lot
 *            (sqlite_lot.h), the mark, COMMIT: all of it in one call on a pool thread
 *   bad row  ROLLBACK, and once more from the beginning, now range by range under savepoints, until
 *            every row is in or refused; then the transaction waits for finish (F3)
 *   finish   COMMIT
 *
 * The mark is written with a condition: it must be the one that this feed wrote last. So two
 * pipelines of one name that write to one file stop instead of undoing each other's promise. When a
 * COMMIT fails in a way that leaves open what became of it, the next deliver asks the file (F2).
 *
 * In WAL mode readers never wait for the feed nor the feed for them; synchronous is NORMAL, which
 * survives kill -9, or FULL, which survives the loss of power. A file system that cannot have WAL
 * keeps its journal and gets FULL. The -wal file is emptied into the database whenever it has
 * LIMIT_FEED_WAL_BYTES, by the commit that passes it; pages that many lots change (those of an
 * index over sensors) are then written once for all of them.
 *
 * The file is looked at before each lot: SQLite would go on writing into one that was removed.
 */
#include "rows/sqlite_feed.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/sql_text.h"
#include "rows/sqlite_verdict.h"

#include <sluice/rt.h>

#include <sys/stat.h>

#define FEED_GRACE_MS 60000

enum { SYNC_AUTO, SYNC_FULL, SYNC_NORMAL }; /* the words of ?sync= */

/* Prepared once for each connection. */
typedef enum Statement { BEGIN, COMMIT, SAVEPOINT, RELEASE, UNDO, PUT_MARK, STATEMENTS } Statement;

typedef struct SqliteFeed {
    SqliteDb db;
    Arena arena;   /* texts, until the end */
    SinkSpec spec; /* with our table */
    Str run_id;
    bool can_grow;
    bool is_synced;
    SqliteColumns columns;

    /* The connection. */
    sqlite3_stmt *statements[STATEMENTS];
    sqlite3_stmt *insert;
    SqliteLot lot;
    dev_t device;
    ino_t inode;
    bool is_ready;  /* the table has all columns, the INSERT is prepared */
    bool was_ready; /* the table has been there: nobody but others drops it */
    bool has_made;  /* this transaction made or changed a table */
    bool is_unsure; /* the last commit may have gone through */

    uint64_t mark;
    Buf note;
    uint64_t lot_mark; /* of the lot that waits for finish */
    Buf lot_note;
} SqliteFeed;

/* ---- the connection -------------------------------------------------------------------------- */

static void drop_insert(SqliteFeed *feed)
{
    sqlite_finalize(feed->insert);
    feed->insert = NULL;
    feed->is_ready = false;
}

static void disconnect(SqliteFeed *feed)
{
    drop_insert(feed);
    for (size_t i = 0; i < STATEMENTS; i++) {
        sqlite_finalize(feed->statements[i]);
        feed->statements[i] = NULL;
    }
    sqlite_db_close(&feed->db);
}

/* End the error R, if it is one, as an outcome of the feed. */
static int judge(SqliteFeed *feed, int r, FeedVerdict *verdict)
{
    bool is_lost = false;

    r = sqlite_verdict(&feed->db, r, verdict, &is_lost);
    if (is_lost) {
        feed->is_unsure = true;
        disconnect(feed);
    }
    return r;
}

static int on_mode(void *ctx, int n, char **values, char **names)
{
    bool *is_wal = ctx;

    (void) names;
    *is_wal = n > 0 && values[0] && sqlite3_stricmp(values[0], "wal") == 0;
    return 0;
}

/* How the file is written. What cannot be had is done without. */
static int set_up(SqliteFeed *feed)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    bool is_wal = false;

    (void) sqlite3_exec(feed->db.handle, "PRAGMA journal_mode = WAL", on_mode, &is_wal, NULL);
    buf_printf(&sql,
               "PRAGMA synchronous = %s; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -%d;",
               feed->is_synced || !is_wal ? "FULL" : "NORMAL", LIMIT_FEED_CACHE_BYTES >> 10);
    (void) sqlite3_wal_autocheckpoint(feed->db.handle, LIMIT_FEED_WAL_BYTES / 4096);
    return sqlite_db_run_buf(&feed->db, "open", &sql);
}

static int prepare_statements(SqliteFeed *feed)
{
    static const char *const texts[PUT_MARK] = {
        [BEGIN] = "BEGIN IMMEDIATE", [COMMIT] = "COMMIT",         [SAVEPOINT] = "SAVEPOINT rows",
        [RELEASE] = "RELEASE rows",  [UNDO] = "ROLLBACK TO rows",
    };
    int r = 0;

    for (size_t i = 0; i < PUT_MARK && r == 0; i++)
        r = sqlite_db_prepare(&feed->db, "open", str_from_c(texts[i]), &feed->statements[i]);
    return r;
}

/* Open the file. After an error it must be closed again. */
static int connect_main(SqliteFeed *feed)
{
    struct stat st;
    int rc, r = sqlite_db_open(&feed->db, feed->spec.target, LIMIT_FEED_LOCK_MS);
    bool is_found = false;

    if (r == 0)
        r = set_up(feed);
    if (r == 0)
        r = prepare_statements(feed);
    if (r < 0)
        return r;
    rc = sqlite_lot_register(&feed->lot, feed->db.handle);
    if (rc != SQLITE_OK)
        return sqlite_db_fail(&feed->db, rc, "open");
    if (stat(feed->db.path, &st) < 0)
        return fail_errno("%s", feed->db.path);
    feed->device = st.st_dev;
    feed->inode = st.st_ino;
    if (feed->run_id.len == 0)
        return 0;
    buf_reset(&feed->note);
    return sqlite_marks_read(&feed->db, feed->run_id, &is_found, &feed->mark, &feed->note);
}

static int prepare_insert(SqliteFeed *feed)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    int r;

    drop_insert(feed);
    buf_add_c(&sql, "INSERT INTO ");
    sql_add_name(&sql, feed->spec.table);
    buf_add_c(&sql, " (");
    sql_add_columns(&sql, feed->columns.in_table, feed->columns.n_used);
    buf_add_c(&sql, ") SELECT ");
    for (size_t i = 0; i < feed->columns.n_used; i++)
        buf_printf(&sql, i == 0 ? "c%zu" : ",c%zu", i);
    buf_printf(&sql, " FROM %s", feed->lot.name);
    if (feed->spec.mode == SINK_UPSERT) {
        buf_add_c(&sql, " WHERE true"); /* or ON would be read as that of a join */
        sql_add_on_conflict(&sql, &feed->spec, feed->columns.in_table, feed->columns.n_used);
    }
    r = buf_check(&sql);
    if (r == 0)
        r = sqlite_db_prepare(&feed->db, "insert", buf_str(&sql), &feed->insert);
    return sqlite_upsert_fail(&feed->spec, r);
}

static int prepare_mark(SqliteFeed *feed)
{
    static const Str sql = STR(
        "INSERT INTO sluice_marks (run, mark, note) VALUES (?1, ?2, ?3) ON CONFLICT (run) DO "
        "UPDATE SET mark = excluded.mark, note = excluded.note WHERE sluice_marks.mark = ?4");
    int r;

    if (feed->run_id.len == 0 || feed->statements[PUT_MARK])
        return 0;
    feed->has_made = true;
    r = sqlite_marks_make(&feed->db);
    return r < 0 ? r
                 : sqlite_db_prepare(&feed->db, "write the mark", sql, &feed->statements[PUT_MARK]);
}

/* In the transaction: the table is made ready for rows as wide as LOT. 0, FEED_STOP, an error. */
static int ready(SqliteFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    SqliteFit fit = { .db = &feed->db,
                      .spec = &feed->spec,
                      .lot = lot,
                      .can_grow = feed->can_grow,
                      .was_there = feed->was_ready };
    int r;

    if (sqlite_columns_take(&feed->columns, lot->columns, lot->n_columns))
        feed->is_ready = false;
    if (feed->is_ready)
        return 0;
    r = sqlite_columns_fit(&feed->columns, &fit, verdict);
    feed->has_made |= fit.has_made;
    if (r == 0)
        r = prepare_insert(feed);
    if (r == 0)
        r = prepare_mark(feed);
    feed->is_ready = r == 0;
    return r;
}

/* ---- transactions ---------------------------------------------------------------------------- */

static int step(SqliteFeed *feed, Statement which, const char *what)
{
    return sqlite_db_step(&feed->db, what, feed->statements[which]);
}

static void roll_back(SqliteFeed *feed)
{
    if (feed->db.handle && !sqlite3_get_autocommit(feed->db.handle))
        (void) sqlite3_exec(feed->db.handle, "ROLLBACK", NULL, NULL, NULL); /* it cannot do less */
    if (feed->has_made)
        feed->is_ready = false;
    if (feed->has_made && feed->statements[PUT_MARK]) {
        sqlite_finalize(feed->statements[PUT_MARK]);
        feed->statements[PUT_MARK] = NULL;
    }
    feed->has_made = false;
}

/* The mark that the file holds, when the last commit left it open. */
static int ask_mark(SqliteFeed *feed)
{
    bool is_found = false;
    int r;

    if (!feed->is_unsure || feed->run_id.len == 0)
        return 0;
    buf_reset(&feed->note);
    r = sqlite_marks_read(&feed->db, feed->run_id, &is_found, &feed->mark, &feed->note);
    feed->is_unsure = r < 0;
    return r;
}

static bool is_in_already(const SqliteFeed *feed, const FeedLot *lot)
{
    return feed->run_id.len > 0 && lot->mark <= feed->mark;
}

static int begin(SqliteFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    int r = step(feed, BEGIN, "begin");

    if (r == 0)
        r = ask_mark(feed);
    if (r == 0 && !is_in_already(feed, lot))
        r = ready(feed, lot, verdict);
    return r;
}

/* In the transaction of the rows. 0, FEED_STOP, or an error. */
static int put_mark(SqliteFeed *feed, uint64_t mark, Str note, FeedVerdict *verdict)
{
    sqlite3_stmt *statement = feed->statements[PUT_MARK];
    int r;

    if (feed->run_id.len == 0)
        return 0;
    (void) sqlite_bind_str(statement, 1, feed->run_id); /* fail for want of memory only */
    (void) sqlite3_bind_int64(statement, 2, (int64_t) mark);
    (void) sqlite_bind_str(statement, 3, note);
    (void) sqlite3_bind_int64(statement, 4, (int64_t) feed->mark);
    r = step(feed, PUT_MARK, "write the mark");
    if (r < 0 || sqlite3_changes(feed->db.handle) == 1)
        return r;
    feed_verdict_say(verdict, "mark",
                     "another pipeline writes to %s under the name %.*s: stop one of the two, or "
                     "give it another name",
                     feed->db.path, (int) feed->run_id.len, feed->run_id.data);
    return FEED_STOP;
}

static int commit(SqliteFeed *feed, uint64_t mark, Str note)
{
    int r = step(feed, COMMIT, "commit");

    feed->is_unsure = r < 0;
    if (r < 0)
        return r;
    feed->has_made = false;
    feed->was_ready = true;
    feed->mark = mark;
    if (str_eq(buf_str(&feed->note), note))
        return 0;
    buf_reset(&feed->note);
    buf_add_str(&feed->note, note);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* An SQLite code: SQLITE_DONE, or why not all of the rows [from, to) are in. */
static int insert_rows(SqliteFeed *feed, const FeedLot *lot, size_t from, size_t to)
{
    sqlite_lot_set(&feed->lot, lot, from, to);
    return sqlite3_step(feed->insert);
}

/* One range under a savepoint. 0; FEED_REFUSED with the walk told; FEED_STOP; or an error. */
static int try_range(SqliteFeed *feed, const FeedLot *lot, FeedIsolation *walk,
                     FeedVerdict *verdict)
{
    SqliteRefusal why;
    int rc, r = step(feed, SAVEPOINT, "begin");

    if (r < 0)
        return r;
    rc = insert_rows(feed, lot, walk->from, walk->to);
    if (rc == SQLITE_DONE) {
        (void) sqlite3_reset(feed->insert); /* it is done */
        r = step(feed, RELEASE, "insert");
        if (r == 0)
            feed_isolation_good(walk);
        return r;
    }
    if (!sqlite_refusal(&feed->db, &feed->lot, rc, &why))
        r = sqlite_db_fail(&feed->db, rc, "insert");
    (void) sqlite3_reset(feed->insert); /* repeats the error of the step */
    if (r < 0)
        return r;
    if (sqlite3_get_autocommit(feed->db.handle)) {
        feed_verdict_say(verdict, why.code,
                         "%s, and a trigger or a rule of the table (ON CONFLICT ROLLBACK) gives up "
                         "the whole transaction for it: let it give up the row alone (ABORT)",
                         why.text);
        return FEED_STOP;
    }
    r = step(feed, UNDO, "insert");
    if (r == 0)
        r = step(feed, RELEASE, "insert");
    if (r == 0)
        feed_isolation_bad(walk, why.row, verdict, why.code, why.text);
    return r;
}

/* The lot from the beginning, without those rows that are refused. 0 or FEED_REFUSED: the
 * transaction is open; FEED_STOP or an error. */
static int isolate(SqliteFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    FeedIsolation walk;
    size_t from, to;
    int r = begin(feed, lot, verdict);

    feed_isolation_begin(&walk, lot->n_rows);
    while (r == 0 && feed_isolation_next(&walk, &from, &to))
        r = try_range(feed, lot, &walk, verdict);
    if (r == 0 && walk.is_overfull)
        r = feed_verdict_overfull(verdict, lot->n_rows);
    return r == 0 && verdict->n_refused > 0 ? FEED_REFUSED : r;
}

/* All rows of the lot in the open transaction, as above. */
static int write_rows(SqliteFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    int rc = insert_rows(feed, lot, 0, lot->n_rows), r = 0;
    SqliteRefusal why;

    if (rc == SQLITE_DONE) {
        (void) sqlite3_reset(feed->insert); /* it is done */
        return 0;
    }
    if (!sqlite_refusal(&feed->db, &feed->lot, rc, &why))
        r = sqlite_db_fail(&feed->db, rc, "insert");
    (void) sqlite3_reset(feed->insert); /* repeats the error of the step */
    if (r < 0)
        return r;
    roll_back(feed);
    return isolate(feed, lot, verdict);
}

/* ---- delivering ------------------------------------------------------------------------------ */

/* The file of the connection still has its name: 0 or FEED_STOP. */
static int check_file(SqliteFeed *feed, FeedVerdict *verdict)
{
    struct stat st;

    if (stat(feed->db.path, &st) == 0 && st.st_dev == feed->device && st.st_ino == feed->inode)
        return 0;
    feed_verdict_say(verdict, "moved",
                     "the file %s was removed, renamed or replaced while rows were written to it: "
                     "put it back, or start again with the one that is there",
                     feed->db.path);
    return FEED_STOP;
}

typedef struct Delivery {
    SqliteFeed *feed;
    const FeedLot *lot;
    FeedVerdict *verdict;
} Delivery;

/* As deliver, but errors of SQLite are still to be judged. */
static int deliver_lot(SqliteFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    int r = begin(feed, lot, verdict);

    if (r != 0)
        return r;
    if (is_in_already(feed, lot)) {
        roll_back(feed);
        return 0;
    }
    r = write_rows(feed, lot, verdict);
    if (r == 0 || r == FEED_REFUSED) {
        int r_mark = put_mark(feed, lot->mark, lot->note, verdict);

        r = r_mark != 0 ? r_mark : r;
    }
    return r == 0 ? commit(feed, lot->mark, lot->note) : r;
}

static int deliver_main(void *arg)
{
    Delivery *delivery = arg;
    SqliteFeed *feed = delivery->feed;
    int r = 0;

    atomic_store_explicit(&feed->db.hurry, false, memory_order_relaxed);
    roll_back(feed); /* of a finish that was cancelled */
    feed->db.rc = SQLITE_OK;
    if (!feed->db.handle)
        r = connect_main(feed);
    if (r < 0) {
        r = judge(feed, r, delivery->verdict);
        disconnect(feed);
        return r;
    }
    r = check_file(feed, delivery->verdict);
    if (r == 0)
        r = deliver_lot(feed, delivery->lot, delivery->verdict);
    if (r == FEED_REFUSED) {
        feed->lot_mark = delivery->lot->mark;
        buf_reset(&feed->lot_note);
        buf_add_str(&feed->lot_note, delivery->lot->note);
        return r;
    }
    if (r != 0)
        roll_back(feed);
    return judge(feed, r, delivery->verdict);
}

static int finish_main(void *arg)
{
    Delivery *delivery = arg;
    SqliteFeed *feed = delivery->feed;
    int r;

    feed->db.rc = SQLITE_OK;
    r = commit(feed, feed->lot_mark, buf_str(&feed->lot_note));
    if (r < 0)
        roll_back(feed);
    return judge(feed, r, delivery->verdict);
}

static void hurry(void *arg)
{
    Delivery *delivery = arg;

    sqlite_db_hurry(&delivery->feed->db);
}

SUSPENDS static int sqlite_feed_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    Delivery delivery = { state, lot, verdict };

    return sl_offload(deliver_main, &delivery, .name = "sqlite", .on_cancel = hurry);
}

SUSPENDS static int sqlite_feed_finish(void *state, FeedVerdict *verdict)
{
    Delivery delivery = { .feed = state, .verdict = verdict };

    return sl_offload(finish_main, &delivery, .name = "commit sqlite");
}

/* ---- opening and closing --------------------------------------------------------------------- */

static int open_main(void *arg)
{
    Delivery *delivery = arg;
    SqliteFeed *feed = delivery->feed;
    SqliteFit fit = { .db = &feed->db, .spec = &feed->spec, .can_grow = feed->can_grow };
    int r = connect_main(feed);

    if (r == 0 && feed->columns.n_used > 0) /* what the table lacks is said at once */
        r = sqlite_columns_fit(&feed->columns, &fit, delivery->verdict);
    return judge(feed, r, delivery->verdict);
}

static int close_main(void *arg)
{
    disconnect(arg);
    return 0;
}

SUSPENDS static int close_on_pool(void *arg)
{
    return sl_offload(close_main, arg, .name = "close sqlite");
}

SUSPENDS static void sqlite_feed_close(void *state)
{
    SqliteFeed *feed = state;

    (void) sl_shielded(FEED_GRACE_MS, close_on_pool, feed); /* the handle tells whether it ran */
    disconnect(feed);
    sqlite_lot_deinit(&feed->lot);
    sqlite_columns_deinit(&feed->columns);
    buf_deinit(&feed->note);
    buf_deinit(&feed->lot_note);
    arena_deinit(&feed->arena);
    mem_free(feed);
}

static SqliteFeed *new_feed(const SinkSpec *spec, const FeedOpts *opts)
{
    SqliteFeed *feed = mem_new(SqliteFeed);
    int64_t sync = sink_spec_number(spec, "sync", SYNC_AUTO);

    feed->spec = *spec;
    if (opts->table.len > 0)
        feed->spec.table = arena_copy(&feed->arena, opts->table);
    feed->run_id = arena_copy(&feed->arena, opts->run_id);
    feed->can_grow = opts->can_grow;
    feed->is_synced = sync == SYNC_FULL || (sync == SYNC_AUTO && opts->is_synced);
    feed->columns.time = sink_spec_number(spec, "time", -1);
    feed->lot.columns = &feed->columns;
    (void) sqlite_columns_take(&feed->columns, opts->columns, opts->n_columns); /* not ready yet */
    return feed;
}

SUSPENDS static int sqlite_feed_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                                     uint64_t *ret_mark, FeedVerdict *verdict)
{
    SqliteFeed *feed;
    Delivery delivery = { .verdict = verdict };
    Err err = { 0 };
    int r;

    if (str_eq_nocase(opts->table.len > 0 ? opts->table : spec->table, str_from_c("sluice_marks")))
        return fail(-ERR_INVALID, "the table sluice_marks is the engine's own: choose another");
    feed = new_feed(spec, opts);
    delivery.feed = feed;
    r = sl_offload(open_main, &delivery, .name = "open sqlite", .on_cancel = hurry);
    if (r == 0) {
        *ret_mark = feed->mark;
        *ret_state = feed;
        return 0;
    }
    if (r < 0)
        err_take(r, &err);
    sqlite_feed_close(feed);
    return r < 0 ? err_put(&err) : r;
}

static Str sqlite_feed_note(const void *state)
{
    const SqliteFeed *feed = state;

    return buf_str(&feed->note);
}

const FeedDriver sqlite_feed = {
    .is_exact = true,
    .table_fault = sqlite_table_fault,
    .open = sqlite_feed_open,
    .deliver = sqlite_feed_deliver,
    .finish = sqlite_feed_finish,
    .note = sqlite_feed_note,
    .close = sqlite_feed_close,
};
