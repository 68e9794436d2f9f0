/*
 * Feeds: what is the same for all of them.
 *
 * The driver does the work; here the order of calls is asserted (open, then deliver and, after
 * FEED_REFUSED, finish; nothing but close after an error), what cannot be a feed is refused, and
 * the columns that an upsert goes by are looked for. A verdict begins empty with each call and has
 * words whenever the outcome is not 0.
 */
#include "rows/feed.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#include "gen/sinks.h"

#include <errno.h>
#include <stdio.h>

#define FEED_NAMES_BYTES 200

struct Feed {
    const FeedDriver *driver;
    void *state; /* the driver's */
    SinkSpec spec;
    bool is_exact;
    bool is_refused;   /* the last lot waits for feed_finish */
    bool has_failed;   /* only close is allowed */
    size_t n_columns;  /* of the widest lot whose keys were looked for */
    uint64_t mark;     /* of the last lot that is in */
    uint64_t mark_lot; /* of the one that waits */
};

/* ---- verdicts -------------------------------------------------------------------------------- */

void feed_verdict_say(FeedVerdict *verdict, const char *code, const char *fmt, ...)
{
    va_list args;

    verdict->n_refused = 0;
    (void) snprintf(verdict->code, sizeof(verdict->code), "%.15s", code);
    va_start(args, fmt);
    (void) vsnprintf(verdict->text, sizeof(verdict->text), fmt, args);
    va_end(args);
}

void feed_verdict_deinit(FeedVerdict *verdict)
{
    mem_free(verdict->refused);
    *verdict = (FeedVerdict){ 0 };
}

static void verdict_reset(FeedVerdict *verdict)
{
    verdict->n_refused = 0;
    verdict->code[0] = '\0';
    verdict->text[0] = '\0';
}

int feed_verdict_overfull(FeedVerdict *verdict, size_t n_rows)
{
    FeedRefusal first = { .code = "REFUSED", .text = "" };

    if (verdict->n_refused > 0)
        first = verdict->refused[0];
    feed_verdict_say(verdict, first.code,
                     "more than %d of %zu rows are refused, the first one because %s; this is more "
                     "than single bad rows: compare the rows with the table",
                     FEED_REFUSALS, n_rows, first.text);
    return FEED_STOP;
}

int feed_outcome_of_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return FEED_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EINVAL:
    case ENAMETOOLONG: return FEED_STOP;
    }
    return FEED_RETRY;
}

/* ---- opening --------------------------------------------------------------------------------- */

int feed_check(const SinkSpec *spec)
{
    AUTO(buf_deinit) Buf names = { .max_bytes = FEED_NAMES_BYTES };
    int len = (int) spec->text.len;

    if (spec->driver->feed && spec->has_mode && spec->mode == SINK_REPLACE)
        return fail(-ERR_INVALID,
                    "%.*s: rows without end are added to what is there; mode=replace would "
                    "empty it with every start: leave it out, and empty the %s by hand",
                    len, spec->text.data, spec->driver->has_table ? "table" : "file");
    if (spec->driver->feed)
        return 0;
    for (size_t i = 0; i < sinks_count; i++) {
        if (sinks_table[i]->feed)
            buf_printf(&names, "%s%s", names.len == 0 ? "" : ", ", sinks_table[i]->name);
    }
    return fail(-ERR_INVALID,
                "%.*s: the sink %s is whole only at its end and cannot take rows without "
                "end; those that can are %.*s",
                len, spec->text.data, spec->driver->name, (int) names.len, names.data);
}

int feed_open(Feed **ret_feed, const SinkSpec *spec, const FeedOpts *opts, uint64_t *ret_mark,
              FeedVerdict *verdict)
{
    AUTO(mem_free) Feed *feed = mem_new(Feed);
    uint64_t mark = 0;
    int r;

    ASSERT(ret_feed && spec->driver && ret_mark && verdict);
    verdict_reset(verdict);
    r = feed_check(spec);
    if (r < 0)
        return r;
    feed->driver = spec->driver->feed;
    feed->spec = *spec;
    feed->is_exact = feed->driver->is_exact && opts->run_id.len > 0;
    r = feed->driver->open(&feed->spec, opts, &feed->state, &mark, verdict);
    if (r > 0)
        ASSERT(r >= FEED_RETRY && r <= FEED_STOP && verdict->text[0]);
    if (r < 0)
        return wrap(r, "%.*s", (int) spec->text.len, spec->text.data);
    if (r > 0)
        return r;
    feed->mark = mark;
    *ret_mark = mark;
    *ret_feed = TAKE(feed);
    return 0;
}

const char *feed_table_fault(const SinkSpec *spec, Str table)
{
    const FeedDriver *driver = spec->driver->feed;

    return driver->table_fault ? driver->table_fault(spec, table) : NULL;
}

const char *feed_column_fault(const SinkSpec *spec, Str column)
{
    const FeedDriver *driver = spec->driver->feed;

    return driver->column_fault ? driver->column_fault(column) : NULL;
}

/* ---- delivering ------------------------------------------------------------------------------ */

/* The columns that an upsert goes by are there: 0 or FEED_STOP. */
static int check_keys(Feed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    if (lot->n_columns <= feed->n_columns)
        return 0;
    for (size_t k = 0; k < feed->spec.n_keys; k++) {
        size_t c = 0;

        while (c < lot->n_columns && !str_eq(lot->columns[c].name, feed->spec.keys[k]))
            c++;
        if (c < lot->n_columns)
            continue;
        feed_verdict_say(verdict, "NO_KEY",
                         "key=%.*s: the rows have no such column; rename one to it, or correct the "
                         "sink's text",
                         (int) feed->spec.keys[k].len, feed->spec.keys[k].data);
        return FEED_STOP;
    }
    feed->n_columns = lot->n_columns;
    return 0;
}

int feed_deliver(Feed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    int r;

    ASSERT(!feed->is_refused && !feed->has_failed); /* F5 */
    ASSERT(lot->n_rows > 0 && lot->n_columns > 0);
    if (feed->is_exact)
        ASSERT(lot->mark > 0);
    verdict_reset(verdict);
    r = check_keys(feed, lot, verdict);
    if (r == 0)
        r = feed->driver->deliver(feed->state, lot, verdict);
    if (r == FEED_REFUSED)
        ASSERT(verdict->n_refused > 0 && verdict->n_refused <= lot->n_rows);
    if (r > FEED_REFUSED)
        ASSERT(r <= FEED_STOP && verdict->text[0]);
    feed->is_refused = r == FEED_REFUSED;
    feed->mark_lot = lot->mark;
    if (r == 0)
        feed->mark = lot->mark;
    if (r < 0 && r != -ECANCELED)
        feed->has_failed = true;
    return wrap(r, "%.*s", (int) feed->spec.text.len, feed->spec.text.data);
}

int feed_finish(Feed *feed, FeedVerdict *verdict)
{
    int r;

    ASSERT(feed->is_refused && !feed->has_failed); /* F3 */
    verdict->code[0] = verdict->text[0] = '\0'; /* the refused rows stay for whoever reads them */
    r = feed->driver->finish(feed->state, verdict);
    ASSERT(r != FEED_REFUSED);
    if (r > 0)
        ASSERT(r <= FEED_STOP && verdict->text[0]);
    feed->is_refused = false;
    if (r == 0)
        feed->mark = feed->mark_lot;
    if (r < 0 && r != -ECANCELED)
        feed->has_failed = true;
    return wrap(r, "%.*s", (int) feed->spec.text.len, feed->spec.text.data);
}

Str feed_note(const Feed *feed)
{
    return feed->driver->note ? feed->driver->note(feed->state) : (Str){ 0 };
}

bool feed_is_exact(const Feed *feed)
{
    return feed->is_exact;
}

void feed_close(Feed *feed)
{
    if (!feed)
        return;
    feed->driver->close(feed->state);
    mem_free(feed);
}
