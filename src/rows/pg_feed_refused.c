/*
 * Rows that PostgreSQL refuses; see pg_feed_int.h.
 *
 * The lot goes as text, so that the server's words name the value, and in slices: for each row that
 * is refused the rows of its slice are sent again, and no others. The context of an error says at
 * which line of the COPY it was; errors that come from the end of a statement (foreign keys, the
 * INSERT of an upsert) do not, and the slice is halved. Constraints that wait for the commit are
 * checked at once here, because a COMMIT that fails names nobody.
 */
#include "base/err.h"
#include "base/macro.h"
#include "rows/pg_feed_int.h"

#include <stdio.h>

#define PG_SLICE_ROWS 512 /* under one savepoint */

/* The name behind ", column " in a context; empty when there is none. It ends at `: "` or at the
 * parenthesis that closes the context. */
static Str column_of(Str context)
{
    static const Str before = STR(", column "), after = STR(": \"");
    const char *at = memmem(context.data, context.len, before.data, before.len), *end;

    if (!at)
        return (Str){ 0 };
    context = str_sub(context, (size_t) (at - context.data) + before.len, context.len);
    end = memmem(context.data, context.len, after.data, after.len);
    return str_sub(context, 0, end ? (size_t) (end - context.data) : context.len - 1);
}

/* What the server said of a row: without the number of its line, which is that of the slice. */
static void cut_words(const char *words, char *out, size_t cap)
{
    static const Str ours = STR("copy: "), before = STR(" (COPY ");
    Str text = str_from_c(words), column = { 0 };
    const char *at;

    if (str_starts(text, ours))
        text = str_sub(text, ours.len, text.len);
    at = memmem(text.data, text.len, before.data, before.len);
    if (at) {
        column = column_of(str_sub(text, (size_t) (at - text.data), text.len));
        text.len = (size_t) (at - text.data);
    }
    text = str_cut_utf8(text, cap - 1);
    column = str_cut_utf8(column, 64);
    (void) snprintf(out, cap, column.len > 0 ? "column %.*s: %.*s" : "%.*s%.*s", (int) column.len,
                    column.data ? column.data : "", (int) text.len, text.data);
}

/* A range has failed for its values: tell the walk. */
SUSPENDS static int isolate_range(PgFeed *feed, FeedIsolation *walk, int r, FeedVerdict *verdict)
{
    Str relation = pg_feed_is_upsert(feed) ? str_from_c("sluice_staging") : feed->relation;
    uint64_t line = pg_conn_copy_line(feed->conn, relation);
    size_t row = line > 0 && line <= walk->to - walk->from ? walk->from + (size_t) line - 1
                                                           : SIZE_MAX;
    char state[8], words[REFUSAL_TEXT_BYTES];
    Err err;

    err_take(r, &err);
    cut_words(err.text, words, sizeof(words));
    (void) snprintf(state, sizeof(state), "%s", pg_conn_state(feed->conn));
    r = pg_conn_run(feed->conn, "roll back",
                    "ROLLBACK TO SAVEPOINT sluice; RELEASE SAVEPOINT sluice");
    if (r == 0)
        feed_isolation_bad(walk, row, verdict, state, words);
    return r;
}

/* Write the range of WALK, without the rows that are refused: 0, or an error. */
SUSPENDS static int write_slice(PgFeed *feed, PgCopyPlan *plan, FeedIsolation *walk,
                                FeedVerdict *verdict)
{
    int r = 0;

    while (r == 0 && feed_isolation_next(walk, &plan->from, &plan->to)) {
        PgSense sense;

        r = pg_feed_copy(feed, plan);
        if (r == 0) {
            feed_isolation_good(walk);
            continue;
        }
        if (!pg_feed_is_of_server(feed, r))
            break;
        sense = pg_feed_sense(feed);
        if (sense == PG_SENSE_DATA || sense == PG_SENSE_STALE)
            r = isolate_range(feed, walk, r, verdict);
    }
    return r;
}

int pg_feed_write_slices(PgFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    PgCopyPlan plan = { .lot = lot, .as_text = true, .before = "SAVEPOINT sluice; " };
    FeedIsolation walk = { 0 };
    int r = pg_conn_run(feed->conn, "begin", "BEGIN; SET CONSTRAINTS ALL IMMEDIATE");

    plan.after = str_from_c(pg_feed_is_upsert(feed) ? "; TRUNCATE " PG_STAGING
                                                      "; RELEASE SAVEPOINT sluice"
                                                    : "; RELEASE SAVEPOINT sluice");
    for (size_t from = 0; from < lot->n_rows && r == 0 && !walk.is_overfull; from = walk.end) {
        size_t to = MIN(from + PG_SLICE_ROWS, lot->n_rows);

        walk = (FeedIsolation){ .from = from, .to = to, .end = to, .n_refused = walk.n_refused };
        r = write_slice(feed, &plan, &walk, verdict);
    }
    return r == 0 && walk.is_overfull ? feed_verdict_overfull(verdict, lot->n_rows) : r;
}
