/*
 * The feed of PostgreSQL: connection, transactions, marks, errors.
 *
 * A lot is one transaction and one message to the server:
 *
 *   BEGIN; COPY readings (…) FROM STDIN (FORMAT binary); INSERT INTO sluice_marks …; COMMIT
 *
 * with the rows behind it, and for mode=upsert the INSERT … SELECT … ON CONFLICT from the temporary
 * table between COPY and mark. Only when the server refuses values is it done piece by piece
 * (F3): each range of rows under a savepoint, as text, so that the server's words name the value,
 * and its position the row. Constraints that wait for the commit are checked at once then.
 *
 *   sluice_marks   run  text primary key   the run's id
 *                  mark bigint             of the last lot that is in
 *                  note text               the positions of the sources then
 *
 * A lot whose fate is unknown (F2) is found by its mark. That alone is not enough: the server may
 * be still at work on the lot of a process that was killed, and commit it after its successor has
 * read the old mark. So a session holds an advisory lock for its run, and the mark is read under
 * it. A database whose mark has gone back (a backup that was restored, commits that were lost with
 * synchronous_commit off) is told, loudly, and nothing is written to it.
 *
 * synchronous_commit is the server's to say, or the URL's (options=-c synchronous_commit=off); a
 * feed that must survive a loss of power switches it on. It is never switched off here: a
 * lot is acknowledged to its source after the commit, and a server that crashes forgets the last
 * commits that were not synchronous, marks included.
 */
#include "rows/pg_feed.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "rows/pg_feed_int.h"

#include <stdio.h>

#define PG_LOTS_AS_TEXT 8 /* after one with an odd value */

/* ---- what errors mean ------------------------------------------------------------------------ */

static void drop_connection(PgFeed *feed)
{
    pg_conn_close(feed->conn);
    feed->conn = NULL;
    feed->n_staged = 0;
    pg_feed_forget_table(feed);
}

int pg_feed_run_sql(PgFeed *feed, const char *what)
{
    int r;

    buf_add_char(&feed->sql, '\0');
    r = buf_check(&feed->sql);
    return r < 0 ? r : pg_conn_run(feed->conn, what, feed->sql.data);
}

bool pg_feed_is_of_server(const PgFeed *feed, int r)
{
    return r < 0 && r != -ECANCELED && pg_conn_state(feed->conn)[0] != '\0';
}

PgSense pg_feed_sense(const PgFeed *feed)
{
    return pg_conn_is_alive(feed->conn) ? pg_sense_of(pg_conn_state(feed->conn)) : PG_SENSE_LATER;
}

/* Undo what is open; a connection that cannot is dropped. */
SUSPENDS static int roll_back(PgFeed *feed)
{
    int r = pg_conn_run(feed->conn, "roll back", "ROLLBACK");

    if (r < 0)
        drop_connection(feed);
    if (r < 0 && r != -ECANCELED)
        err_take(r, NULL);
    return r == -ECANCELED ? r : 0;
}

static void say(FeedVerdict *verdict, const char *state, const char *words)
{
    if (strcmp(state, "42P10") == 0)
        feed_verdict_say(verdict, state,
                         "%s: mode=upsert needs a unique index over its key: CREATE UNIQUE INDEX …",
                         words);
    else
        feed_verdict_say(verdict, state, "%s", words);
}

/* The outcome of error R of a call to the server, outside of the rows. */
SUSPENDS static int judge(PgFeed *feed, int r, FeedVerdict *verdict)
{
    PgSense sense;
    Err err;

    if (!pg_feed_is_of_server(feed, r)) {
        drop_connection(feed);
        return r;
    }
    sense = pg_feed_sense(feed);
    err_take(r, &err);
    say(verdict, pg_conn_state(feed->conn), err.text);
    /* A server that takes no writes may not be the one to write to any more. */
    if (!pg_conn_is_alive(feed->conn) || strcmp(pg_conn_state(feed->conn), "25006") == 0 ||
        (sense != PG_SENSE_LATER && sense != PG_SENSE_FULL))
        drop_connection(feed);
    else if (roll_back(feed) < 0)
        return -ECANCELED;
    if (sense == PG_SENSE_LATER)
        return FEED_RETRY;
    return sense == PG_SENSE_FULL ? FEED_FULL : FEED_STOP;
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* What a session is told first. The server notices within a minute that we are gone, too. */
SUSPENDS static int set_up_session(PgFeed *feed)
{
    static const char force[] = "; SELECT set_config('synchronous_commit', 'on', false) WHERE "
                                "current_setting('synchronous_commit') = 'off'";
    uint64_t lock = hash_bytes(feed->run_id, strlen(feed->run_id), 7584, 5);

    buf_reset(&feed->sql);
    buf_printf(&feed->sql,
               "SELECT set_config('lock_timeout', '%d', false) WHERE "
               "current_setting('lock_timeout') = '0'; SET tcp_keepalives_idle = 30; SET "
               "tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3",
               LIMIT_FEED_LOCK_MS);
    if (feed->is_synced)
        buf_add_c(&feed->sql, force);
    if (pg_feed_has_marks(feed))
        buf_printf(&feed->sql, "; SELECT pg_advisory_lock(%lld)", (long long) (int64_t) lock);
    return pg_feed_run_sql(feed, "begin a session (another one may hold this run)");
}

static void on_one(void *ctx, const char *const *values, int n_values)
{
    bool *is_there = ctx;

    *is_there = n_values > 0 && values[0];
}

typedef struct PgMark {
    uint64_t mark;
    Buf *note;
} PgMark;

static void on_mark(void *ctx, const char *const *values, int n_values)
{
    PgMark *held = ctx;
    int64_t mark = 0;

    if (n_values != 2 || !values[0] || str_to_i64(str_from_c(values[0]), 0, INT64_MAX, &mark) < 0)
        return;
    held->mark = (uint64_t) mark;
    buf_add_c(held->note, values[1] ? values[1] : "");
}

/* The mark that the database holds, in *ret, with its note; the table of marks is made. */
SUSPENDS static int read_mark(PgFeed *feed, PgMark *ret)
{
    static const char make[] =
        "CREATE TABLE IF NOT EXISTS sluice_marks (run text PRIMARY KEY, mark "
        "bigint NOT NULL, note text)";
    const char *const params[] = { feed->run_id };
    bool is_there = false;
    int r = pg_conn_ask(feed->conn, "read the marks", "SELECT to_regclass('sluice_marks')", NULL, 0,
                        on_one, &is_there);

    if (r == 0 && !is_there) {
        buf_reset(&feed->sql);
        buf_printf(&feed->sql,
                   "BEGIN; SELECT pg_advisory_xact_lock(7584, hashtext('sluice_marks')); %s; "
                   "COMMIT",
                   make);
        return pg_feed_run_sql(feed, "make the table of marks");
    }
    if (r < 0)
        return r;
    return pg_conn_ask(feed->conn, "read the marks",
                       "SELECT mark, note FROM sluice_marks WHERE run = $1", params, 1, on_mark,
                       ret);
}

/* Take the mark that is held for ours, unless it has gone back. */
SUSPENDS static int take_mark(PgFeed *feed, FeedVerdict *verdict)
{
    AUTO(buf_deinit) Buf note = { 0 };
    PgMark held = { .note = &note };
    int r;

    if (!pg_feed_has_marks(feed))
        return 0;
    r = read_mark(feed, &held);
    if (r == 0)
        r = buf_check(&note);
    if (r < 0)
        return judge(feed, r, verdict);
    if (held.mark < feed->mark) {
        feed_verdict_say(verdict, "mark",
                         "the database holds mark %llu of this run, and %llu had been committed: a "
                         "backup was restored, or commits were lost; rows are missing there",
                         (unsigned long long) held.mark, (unsigned long long) feed->mark);
        drop_connection(feed);
        return FEED_STOP;
    }
    feed->mark = held.mark;
    buf_reset(&feed->note);
    buf_add_str(&feed->note, buf_str(&note));
    return buf_check(&feed->note);
}

/* Be connected, with a session of ours. 0, an outcome with VERDICT, or an error. */
SUSPENDS static int be_connected(PgFeed *feed, FeedVerdict *verdict)
{
    Err err;
    int r;

    if (feed->conn && pg_conn_is_alive(feed->conn))
        return 0;
    drop_connection(feed);
    r = pg_conn_open(&feed->conn, feed->spec->target);
    if (r == -ECANCELED)
        return r;
    if (r < 0) {
        bool is_later = err_is_retryable(r);

        err_take(r, &err);
        say(verdict, PG_STATE_LOST, err.text);
        return is_later ? FEED_RETRY : FEED_STOP;
    }
    r = set_up_session(feed);
    r = r < 0 ? judge(feed, r, verdict) : take_mark(feed, verdict);
    if (r != 0)
        drop_connection(feed); /* without the lock and the mark it is no session of ours */
    return r;
}

/* ---- transactions ---------------------------------------------------------------------------- */

/* The end of a transaction, with its mark. */
static int add_end(PgFeed *feed, Buf *sql, uint64_t mark, Str note)
{
    int r;

    if (!pg_feed_has_marks(feed)) {
        buf_add_c(sql, "COMMIT");
        return buf_check(sql);
    }
    buf_add_c(sql, "INSERT INTO sluice_marks (run, mark, note) VALUES (");
    r = pg_conn_add_literal(feed->conn, sql, str_from_c(feed->run_id));
    if (r < 0)
        return r;
    buf_printf(sql, ", %llu, ", (unsigned long long) mark);
    r = pg_conn_add_literal(feed->conn, sql, note);
    if (r < 0)
        return r;
    buf_add_c(sql, ") ON CONFLICT (run) DO UPDATE SET mark = excluded.mark, note = excluded.note; "
                   "COMMIT");
    return buf_check(sql);
}

/* A lot is in. */
static int remember(PgFeed *feed, uint64_t mark, Str note)
{
    feed->mark = mark;
    buf_reset(&feed->note);
    buf_add_str(&feed->note, note);
    return buf_check(&feed->note);
}

static bool is_text(const PgFeed *feed, const FeedLot *lot)
{
    for (size_t c = 0; c < lot->n_columns; c++) {
        if (feed->types[c] == PG_OTHER)
            return true;
    }
    return feed->lots_as_text > 0;
}

/* The whole lot at once: 0, PG_FEED_ODD (undone), or an error. */
SUSPENDS static int write_whole(PgFeed *feed, const FeedLot *lot, bool as_text)
{
    AUTO(buf_deinit) Buf after = { 0 };
    PgCopyPlan plan = { .lot = lot, .to = lot->n_rows, .as_text = as_text, .before = "BEGIN; " };
    int r;

    buf_add_c(&after, "; ");
    r = add_end(feed, &after, lot->mark, lot->note);
    if (r < 0)
        return r;
    plan.after = buf_str(&after);
    r = pg_feed_copy(feed, &plan);
    if (r != PG_FEED_ODD)
        return r;
    r = roll_back(feed);
    return r < 0 ? r : PG_FEED_ODD;
}

/* Everything that comes before the rows: 0, an outcome, or an error of the server. */
SUSPENDS static int get_ready(PgFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    int r = pg_feed_ready_table(feed, lot, verdict);

    return r == 0 ? pg_feed_ready_staging(feed, lot->n_columns) : r;
}

/* ---- refused values -------------------------------------------------------------------------- */

SUSPENDS static int isolate(PgFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    int r;

    verdict->n_refused = 0;
    r = get_ready(feed, lot, verdict);
    if (r == 0)
        r = pg_feed_write_slices(feed, lot, verdict);
    if (r < 0) {
        verdict->n_refused = 0;
        return judge(feed, r, verdict);
    }
    if (r > 0) {
        drop_connection(feed);
        return r;
    }
    feed->is_refused = true;
    feed->pending = lot->mark;
    buf_reset(&feed->pending_note);
    buf_add_str(&feed->pending_note, lot->note);
    return buf_check(&feed->pending_note);
}

/* ---- the contract ---------------------------------------------------------------------------- */

SUSPENDS static int pg_feed_finish(void *state, FeedVerdict *verdict)
{
    PgFeed *feed = state;
    int r;

    ASSERT(feed->is_refused);
    feed->is_refused = false;
    buf_reset(&feed->sql);
    r = add_end(feed, &feed->sql, feed->pending, buf_str(&feed->pending_note));
    if (r == 0)
        r = pg_feed_run_sql(feed, "commit");
    return r < 0 ? judge(feed, r, verdict)
                 : remember(feed, feed->pending, buf_str(&feed->pending_note));
}

/* An error of the whole lot: the rows one by one where that may help, otherwise what it means. */
SUSPENDS static int after_failure(PgFeed *feed, const FeedLot *lot, int r, FeedVerdict *verdict)
{
    PgSense sense = PG_SENSE_STOP;

    if (pg_feed_is_of_server(feed, r))
        sense = pg_feed_sense(feed);
    if (sense != PG_SENSE_DATA && sense != PG_SENSE_STALE)
        return judge(feed, r, verdict);
    err_take(r, NULL);
    r = roll_back(feed);
    if (r < 0)
        return r;
    if (!feed->conn) {
        feed_verdict_say(verdict, PG_STATE_LOST, "the connection was lost");
        return FEED_RETRY;
    }
    if (sense == PG_SENSE_STALE)
        pg_feed_forget_table(feed);
    r = isolate(feed, lot, verdict);
    if (r != 0)
        return r;
    return verdict->n_refused > 0 ? FEED_REFUSED : pg_feed_finish(feed, verdict);
}

/* As binary where that is possible, otherwise as text: 0, FEED_RETRY, or an error. */
SUSPENDS static int write_lot(PgFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    int r = write_whole(feed, lot, is_text(feed, lot));

    if (feed->lots_as_text > 0)
        feed->lots_as_text--;
    if (r != PG_FEED_ODD)
        return r;
    feed->lots_as_text = PG_LOTS_AS_TEXT;
    if (feed->conn)
        return write_whole(feed, lot, true);
    feed_verdict_say(verdict, PG_STATE_LOST, "the connection was lost");
    return FEED_RETRY;
}

SUSPENDS static int pg_feed_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    PgFeed *feed = state;
    int r;

    ASSERT(!feed->is_refused);
    r = be_connected(feed, verdict);
    if (r != 0)
        return r;
    if (pg_feed_has_marks(feed) && feed->mark >= lot->mark)
        return 0; /* it is in: F2 */
    r = get_ready(feed, lot, verdict);
    if (r > 0)
        drop_connection(feed);
    if (r < 0)
        return judge(feed, r, verdict);
    if (r == 0)
        r = write_lot(feed, lot, verdict);
    if (r < 0)
        return after_failure(feed, lot, r, verdict);
    return r > 0 ? r : remember(feed, lot->mark, lot->note);
}

static Str pg_feed_note(const void *state)
{
    const PgFeed *feed = state;

    return buf_str(&feed->note);
}

static void pg_feed_free(PgFeed *feed)
{
    drop_connection(feed);
    pg_binary_deinit(&feed->binary);
    buf_deinit(&feed->table);
    buf_deinit(&feed->note);
    buf_deinit(&feed->pending_note);
    buf_deinit(&feed->copy);
    buf_deinit(&feed->scratch);
    buf_deinit(&feed->sql);
    mem_free(feed->run_id);
    mem_free(feed->table_name);
    mem_free(feed);
}
DEFINE_AUTO(PgFeed *, pg_feed_free);

SUSPENDS static void pg_feed_close(void *state)
{
    PgFeed *feed = state;

    pg_feed_free(feed);
}

SUSPENDS static int pg_feed_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                                 uint64_t *ret_mark, FeedVerdict *verdict)
{
    AUTO(pg_feed_free) PgFeed *feed = mem_new(PgFeed);
    Str table = opts->table.len > 0 ? opts->table : spec->table;
    int r;

    feed->spec = spec;
    feed->run_id = mem_copy_c(opts->run_id.data, opts->run_id.len);
    feed->is_synced = opts->is_synced;
    feed->can_grow = opts->can_grow;
    feed->table_name = mem_copy_c(table.data, table.len);
    table = str_from(feed->table_name, table.len);
    feed->relation = pg_feed_add_table(&feed->table, spec,
                                       opts->table.len > 0 ? table : (Str){ 0 });
    buf_add_char(&feed->table, '\0');
    r = be_connected(feed, verdict);
    if (r != 0)
        return r;
    *ret_mark = feed->mark;
    *ret_state = TAKE(feed);
    return 0;
}

const FeedDriver pg_feed_driver = {
    .is_exact = true,
    .table_fault = pg_feed_table_fault,
    .column_fault = pg_feed_column_fault,
    .open = pg_feed_open,
    .deliver = pg_feed_deliver,
    .finish = pg_feed_finish,
    .note = pg_feed_note,
    .close = pg_feed_close,
};
