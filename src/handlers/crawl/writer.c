/*
 * Rows out, pages ended, marks set. See the header for the order of things and why.
 */
#include "handlers/crawl/writer.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "handlers/crawl/groups.h"
#include "rows/outlet.h"

#include <sluice/rt.h>
#include <sluice/rt/file.h>

#include <fcntl.h>

#define BATCH_ROWS    256
#define PENDING_PAGES 256
#define GRACE_MS      30000 /* for what has begun to be written */

/* A page whose rows are in the batch and that waits for them to go out. */
typedef struct Pending {
    Page *page;
    PageEnd end; /* its texts are copies in `arena` of the writer */
} Pending;

struct Writer {
    WriterOpts opts;
    Outlet *outlet; /* NULL: rows go to the groups alone, or nowhere */
    Groups *groups; /* NULL: nothing is grouped */
    Err first_err;  /* of a write that failed; code 0: none */
    sl_mutex lock;
    RowBatch batch;
    Arena arena; /* of what pending pages hold; reset when all have ended */
    Pending *pending;
    size_t n_pending;
    bool is_durable;
    bool is_dirty;     /* rows or pages since the last mark */
    bool is_left_open; /* the outlet waits at its last mark for the crawl to go on */
};

/* ---- opening --------------------------------------------------------------------------------- */

/* A revisit gives the rows of what changed: they may be added to those of the first visit, but
 * not take their place. */
SUSPENDS static int check_revisit(Arena *arena, const CrawlArgs *args)
{
    const Str *out = args->out.items;
    SinkSpec spec;
    int fd, r = 0;

    for (size_t i = 0; r == 0 && args->revisit && i < args->out.len; i++) {
        r = sink_spec_parse(arena, out[i], &spec);
        if (r < 0 || spec.mode != SINK_REPLACE || str_eq_c(spec.target, "-"))
            continue;
        if (sl_file_open(arena_copy_c(arena, spec.target), O_RDONLY, 0, &fd) < 0)
            continue; /* there is nothing to lose */
        (void) sl_file_close(fd);
        r = fail(-ERR_CONFLICT,
                 "--out %.*s: --revisit gives the rows of pages that changed, which would take "
                 "the place of all others; name another file, or add ?mode=append to it, or "
                 "?mode=upsert&key=url for a database",
                 (int) spec.text.len, spec.text.data);
    }
    return r;
}

SUSPENDS static int open_outlet(Writer *writer)
{
    const WriterOpts *opts = &writer->opts;
    const FrontierResume *resume = frontier_resume(opts->frontier);
    OutletOpts outlet = { .columns = crawl_plan_columns(opts->plan),
                          .n_columns = crawl_plan_n_columns(opts->plan),
                          .out = opts->args->out };
    uint64_t mark = resume->mark;
    int r = 0;

    if (writer->is_durable && outlet.out.len) {
        outlet.run_id = resume->run_id;
        outlet.is_resume = resume->is_resumed;
        outlet.mark = resume->mark;
        outlet.positions = resume->positions;
    }
    r = check_revisit(&writer->arena, opts->args);
    if (r == 0 && (!writer->groups || outlet.out.len))
        r = outlet_open(&writer->outlet, opts->task, &outlet, &mark);
    return r < 0 ? r : frontier_settle(opts->frontier, mark);
}

int writer_open(Writer **ret_writer, const WriterOpts *opts)
{
    AUTO(writer_close) Writer *writer = mem_new(Writer);
    int r = 0;

    writer->opts = *opts;
    writer->is_durable = frontier_is_durable(opts->frontier);
    writer->pending = mem_new_array(Pending, PENDING_PAGES);
    arena_init(&writer->arena, 0);
    row_batch_init(&writer->batch, crawl_plan_columns(opts->plan),
                   crawl_plan_n_columns(opts->plan));
    if (opts->args->group_by.len)
        r = groups_open(&writer->groups, opts->args, opts->plan);
    if (r == 0 && !opts->is_silent)
        r = open_outlet(writer);
    if (r < 0)
        return r;
    *ret_writer = TAKE(writer);
    return 0;
}

void writer_close(Writer *writer)
{
    if (!writer)
        return;
    outlet_close(writer->outlet);
    groups_close(writer->groups);
    row_batch_deinit(&writer->batch);
    arena_deinit(&writer->arena);
    mem_free(writer->pending);
    mem_free(writer);
}

/* ---- one at a time --------------------------------------------------------------------------- */

/* Take the lock, and keep cancellation away: half of what follows must not happen. After a write
 * that failed there is no other: everybody gets its error, so that none is lost on the way. */
SUSPENDS static int enter(Writer *writer, sl_scope *shield)
{
    int r = sl_mutex_lock(&writer->lock);

    if (r < 0)
        return r;
    if (writer->first_err.code) {
        sl_mutex_unlock(&writer->lock);
        return err_put(&writer->first_err);
    }
    sl_scope_begin(shield, .is_shield = true, .timeout_ms = GRACE_MS);
    return 0;
}

static int leave(Writer *writer, sl_scope *shield, int r)
{
    r = sl_scope_end(shield, r);
    if (r < 0) {
        err_take(r, &writer->first_err);
        r = err_put(&writer->first_err);
    }
    sl_mutex_unlock(&writer->lock);
    return r;
}

/* ---- sending --------------------------------------------------------------------------------- */

SUSPENDS static int send_rows(Writer *writer)
{
    int r = 0;

    if (!row_batch_count(&writer->batch))
        return 0;
    if (writer->groups)
        r = groups_add(writer->groups, &writer->batch);
    if (r == 0 && writer->outlet)
        r = outlet_write(writer->outlet, &writer->batch);
    if (r < 0)
        return r;
    row_batch_reset(&writer->batch);
    writer->is_dirty = true;
    return 0;
}

SUSPENDS static int end_pending(Writer *writer)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < writer->n_pending; i++)
        r = frontier_finish(writer->opts.frontier, writer->pending[i].page,
                            &writer->pending[i].end);
    writer->n_pending = 0;
    arena_reset(&writer->arena);
    return r < 0 ? r : 0;
}

/* I hold the lock: nobody adds rows or ends pages meanwhile (W1). */
SUSPENDS static int flush(Writer *writer)
{
    int r = send_rows(writer);

    return r < 0 ? r : end_pending(writer);
}

int writer_flush(Writer *writer)
{
    sl_scope shield;
    int r = enter(writer, &shield);

    return r < 0 ? r : leave(writer, &shield, flush(writer));
}

bool writer_has_pending(const Writer *writer)
{
    return writer->n_pending > 0;
}

/* ---- one page -------------------------------------------------------------------------------- */

SUSPENDS static int add_row(Writer *writer, const CrawlFacts *facts, const Value *values)
{
    RowValue *row = row_batch_add(&writer->batch);

    if (!row) { /* full: other rows of this page may be inside, which go out a little early */
        int r = send_rows(writer);

        if (r < 0)
            return r;
        row = row_batch_add(&writer->batch);
    }
    ASSERT(row);
    crawl_plan_fill(writer->opts.plan, &writer->batch, row, facts, values);
    writer->opts.report->rows++;
    return 0;
}

SUSPENDS static int add_rows(Writer *writer, const WriterPage *page)
{
    const HtmlRecords *records = page->records;
    int r = 0;

    if (!page->facts)
        return 0;
    if (!records)
        return add_row(writer, page->facts, NULL);
    for (size_t i = 0; r == 0 && i < records->n; i++)
        r = add_row(writer, page->facts, &records->values[i * records->n_fields]);
    return r;
}

SUSPENDS static int end_page(Writer *writer, const WriterPage *page, bool *ret_is_retry)
{
    Pending *pending;
    int r;

    *ret_is_retry = false;
    if (!writer->is_durable || !page->facts || page->end.is_retry) {
        r = frontier_finish(writer->opts.frontier, page->page, &page->end);
        *ret_is_retry = r == FRONTIER_RETRY;
        return r < 0 ? r : 0;
    }
    pending = &writer->pending[writer->n_pending++];
    pending->page = page->page;
    pending->end = page->end;
    pending->end.etag = arena_copy(&writer->arena, page->end.etag);
    pending->end.last_modified = arena_copy(&writer->arena, page->end.last_modified);
    return 0;
}

int writer_add(Writer *writer, const WriterPage *page, bool *ret_is_retry)
{
    sl_scope shield;
    int r = enter(writer, &shield);

    if (r < 0)
        return r;
    r = add_rows(writer, page);
    if (r == 0)
        r = end_page(writer, page, ret_is_retry);
    if (r == 0 &&
        (row_batch_count(&writer->batch) >= BATCH_ROWS || writer->n_pending == PENDING_PAGES))
        r = flush(writer);
    return leave(writer, &shield, r);
}

/* ---- marks and the end ----------------------------------------------------------------------- */

SUSPENDS static int set_mark(Writer *writer)
{
    Frontier *frontier = writer->opts.frontier;
    AUTO(buf_deinit) Buf positions = { 0 };
    uint64_t mark = 0;
    int r;

    if (!writer->is_durable || (!writer->is_dirty && !frontier_unmarked(frontier)))
        return 0;
    r = frontier_begin_mark(frontier, &mark);
    if (r == 0 && writer->outlet && writer->opts.args->out.len)
        r = outlet_checkpoint(writer->outlet, mark, &positions);
    if (r == 0)
        r = frontier_end_mark(frontier, mark, buf_str(&positions));
    writer->is_dirty = false;
    return r;
}

int writer_mark(Writer *writer)
{
    sl_scope shield;
    int r = enter(writer, &shield);

    if (r < 0)
        return r;
    r = flush(writer);
    if (r == 0)
        r = set_mark(writer);
    return leave(writer, &shield, r);
}

int writer_finish(Writer *writer, bool is_complete)
{
    int r = writer_mark(writer);

    if (r < 0)
        return r;
    if (writer->outlet && (is_complete || !writer->is_durable || !writer->opts.args->out.len))
        r = outlet_commit(writer->outlet);
    else
        writer->is_left_open = writer->outlet != NULL;
    if (r == 0 && is_complete && writer->is_durable)
        r = frontier_complete(writer->opts.frontier);
    if (r == 0 && writer->groups && !writer->opts.is_silent)
        r = groups_print(writer->groups, writer->opts.task);
    return r;
}

void writer_describe(const Writer *writer, Buf *out)
{
    if (!writer->outlet || !writer->opts.args->out.len)
        return;
    if (writer->is_left_open)
        buf_add_c(out, "The rows so far are kept aside, and get their place when the crawl is "
                       "complete.");
    else
        outlet_describe(writer->outlet, out);
}

Str writer_result_rows(const Writer *writer)
{
    if (writer->groups)
        return groups_result_rows(writer->groups);
    return writer->outlet ? outlet_result_rows(writer->outlet) : (Str){ 0 };
}
