/*
 * Writers: from a line to a sink, a lot at a time.
 *
 *   gather   until a lot is full, its oldest row has waited long enough, somebody waits for the
 *            answer, or a save or a stop asks for what there is
 *   deliver  again and again, with growing pauses, while the sink is away, locked or full; that
 *            pause is what holds the whole pipeline back
 *   bury     rows that the sink refused are durable dead letters before the rest is committed
 *   account  rows get their fate, portions that are done answer for their parcel

 *
 * What a lot is made of is in lot.c, what becomes of its rows in lot_fates.c.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/lot.h"

/* ---- conditions ------------------------------------------------------------------------------ */

static void free_plan(void *plan)
{
    expr_plan_free(plan);
}

uint32_t writer_choose(Writer *writer, Parcel *parcel, uint32_t *picks)
{
    ExprPlan *plan = step_cache_find(writer->conditions, WRITER_CACHES, parcel);
    ExprRun run = { 0 };
    uint32_t n = 0;

    if (!plan) {
        int r = expr_bind(writer->where, parcel->rows.columns, parcel->rows.n_columns, false,
                          &plan);

        ASSERT(r == 0); /* without is_strict there is nothing to refuse */
        step_cache_put(writer->conditions, WRITER_CACHES, parcel, plan, free_plan);
    }
    for (uint32_t i = 0; i < parcel_count(parcel); i++) {
        if (expr_test(plan, parcel_row(parcel, i), &run))
            picks[n++] = i;
    }
    return n;
}

/* ---- delivering ------------------------------------------------------------------------------ */

static void say(Writer *writer, bool is_up, const char *text)
{
    (void) snprintf(writer->about, sizeof(writer->about), "%s", text);
    writer->is_up = is_up;
}

/* The sink cannot take rows now: say so, and wait. */
SUSPENDS static int wait_for_sink(Writer *writer, int outcome, int64_t *pause_ms)
{
    Pipeline *pipeline = writer->pipeline;
    int64_t jitter = (int64_t) (sl_random() % (uint64_t) (*pause_ms / 2 + 1));
    int r;

    say(writer, false, writer->verdict.text);
    writer->is_tried = true;
    pipeline_wake(pipeline);
    writer->errors++;
    obstacle_meet(pipeline, &writer->away,
                  outcome == FEED_FULL ? PIPELINE_PAUSED : PIPELINE_WAITING, "%.*s: %s",
                  (int) writer->sink->name.len, writer->sink->name.data, writer->verdict.text);
    log_debug("sink waits", L_STR("sink", writer->sink->name), L_C("why", writer->verdict.text),
              L_INT("pause_ms", *pause_ms));
    r = sl_sleep_ms(*pause_ms + jitter);
    *pause_ms = MIN(2 * *pause_ms, pipeline->plan->config.retry_max_ms);
    return r;
}

static void is_well(Writer *writer)
{
    if (writer->is_up)
        return;
    say(writer, true, "");
    obstacle_pass(writer->pipeline, &writer->away);
}

static int must_be_mended(const Writer *writer)
{
    return fail(-ERR_CONFLICT, "sink %.*s: %s", (int) writer->sink->name.len,
                writer->sink->name.data, writer->verdict.text);
}

SUSPENDS static int deliver_once(Writer *writer, const FeedLot *lot)
{
    int r = feed_deliver(writer->feed, lot, &writer->verdict);

    if (r != FEED_REFUSED)
        return r;
    r = lot_bury_refused(writer);
    return r < 0 ? r : feed_finish(writer->feed, &writer->verdict);
}

SUSPENDS static int deliver(Writer *writer, const FeedLot *lot)
{
    int64_t pause_ms = LIMIT_FEED_RETRY_MS;
    int r;

    for (;;) {
        r = deliver_once(writer, lot);
        if (r < 0)
            return wrap(r, "sink %.*s", (int) writer->sink->name.len, writer->sink->name.data);
        if (r == FEED_STOP)
            return must_be_mended(writer);
        if (r == 0)
            break;
        r = wait_for_sink(writer, r, &pause_ms);
        if (r < 0)
            return r;
    }
    is_well(writer);
    writer->mark = lot->mark;
    writer->batches++;
    return 0;
}

/* For --dry-run: rows go to whoever shows them. */
SUSPENDS static int show(Writer *writer, const FeedLot *lot)
{
    RowBatch batch;
    int r = 0;

    if (lot->n_rows == 0)
        return 0;
    row_batch_init(&batch, lot->columns, lot->n_columns);
    for (size_t i = 0; i < lot->n_rows && r == 0; i++) {
        RowValue *row = row_batch_add(&batch);

        if (!row) {
            r = writer->pipeline->opts.show(writer->pipeline->opts.show_ctx, &batch);
            row_batch_reset(&batch);
            row = row_batch_add(&batch);
        }
        memcpy(row, lot->rows[i], lot->n_columns * sizeof(*row));
    }
    if (r == 0)
        r = writer->pipeline->opts.show(writer->pipeline->opts.show_ctx, &batch);
    row_batch_deinit(&batch);
    return r;
}

/* ---- gathering ------------------------------------------------------------------------------- */

/* When the lot must go though it is not full. */
static int64_t due_ns(const Writer *writer)
{
    const Line *line = &writer->line;
    const Portion *first = LIST_ITEM(line->portions.first, Portion, link);

    if (line->is_closed || line->is_urgent || line->awaited > 0)
        return 0;
    return first->at_ns + writer->sink->batch.age_ms * 1000000;
}

static bool is_lot_full(const Writer *writer)
{
    return writer->line.rows >= (size_t) writer->sink->batch.rows ||
           writer->line.bytes >= (size_t) writer->sink->batch.bytes;
}

/* Wait until there is a lot to deliver. SL_CLOSED when nothing more comes. */
SUSPENDS static int gather(Writer *writer)
{
    Line *line = &writer->line;
    sl_scope scope;
    int r = 0;

    while (r == 0 && list_is_empty(&line->portions)) {
        if (line->is_closed)
            return SL_CLOSED;
        r = sl_cond_wait(&line->item);
    }
    if (r == 0 && !is_lot_full(writer))
        r = sl_yield(); /* whoever is ready now may still bring his rows */
    while (r == 0 && !is_lot_full(writer) && due_ns(writer) > sl_now_ns()) {
        sl_scope_begin(&scope, .deadline_ns = due_ns(writer));
        r = sl_cond_wait(&line->item);
        r = sl_scope_end(&scope, r);
        if (r == -ETIMEDOUT)
            return 0;
    }
    return r;
}

SUSPENDS static int write_lot(Writer *writer)
{
    AUTO(buf_deinit) Buf note = { 0 };
    FeedLot lot;
    int r = lot_take(writer, &lot, &note);

    if (r == 0)
        r = lot_wait_letters(writer);
    if (r == 0)
        r = lot_bury_outside(writer);
    if (r < 0)
        return r;
    lot_pack(writer, &lot);
    if (writer->pipeline->opts.show)
        r = show(writer, &lot);
    else if (lot.n_rows > 0) /* without rows the positions go with the next lot */
        r = deliver(writer, &lot);
    if (r < 0)
        return r;
    lot_account(writer);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

SUSPENDS static int open_feed(Writer *writer)
{
    Pipeline *pipeline = writer->pipeline;
    FeedOpts opts = { .table = writer->feed_table,
                      .columns = shape_columns(writer->shape),
                      .n_columns = shape_width(writer->shape),
                      .run_id = writer->run_id,
                      .is_synced = pipeline->is_synced,
                      .can_grow = pipeline->plan->config.grow,
                      .http = pipeline->opts.http,
                      .engine_url = pipeline->opts.engine_url };
    const PlanSink *sink = &writer->plan->sinks[writer->index];
    int64_t pause_ms = LIMIT_FEED_RETRY_MS;
    int r;

    for (;;) {
        r = feed_open(&writer->feed, &sink->spec, &opts, &writer->mark, &writer->verdict);
        if (r < 0)
            return wrap(r, "sink %.*s", (int) writer->sink->name.len, writer->sink->name.data);
        if (r == FEED_STOP)
            return must_be_mended(writer);
        if (r == 0)
            break;
        r = wait_for_sink(writer, r, &pause_ms);
        if (r < 0)
            return r;
    }
    is_well(writer);
    if (pipeline->plan->config.forget)
        return 0;
    r = tracks_parse(&writer->before, feed_note(writer->feed));
    writer->has_before = tracks_count(&writer->before) > 0;
    return r == 0 ? tracks_parse(&writer->tracks, feed_note(writer->feed)) : r;
}

SUSPENDS static int write_all(Writer *writer)
{
    int r = 0;

    while (r == 0) {
        r = gather(writer);
        if (r == 0) {
            writer->is_busy = true;
            r = write_lot(writer);
            writer->is_busy = false;
        }
        pipeline_wake(writer->pipeline);
    }
    return r == SL_CLOSED ? 0 : r;
}

void writer_abort(Writer *writer)
{
    ListLink *link;

    for (size_t i = 0; i < writer->n_runs; i++) {
        Portion *portion = writer->runs[i].portion;

        if (!list_is_linked(&portion->link) && writer->runs[i].ends)
            list_push_front(&writer->line.portions, &portion->link);
    }
    writer->n_runs = 0;
    while ((link = list_pop_front(&writer->line.portions)) != NULL) {
        Portion *portion = LIST_ITEM(link, Portion, link);

        if (portion->parcel->receipt)
            portion->parcel->receipt->r = -ECANCELED;
        portion_end(writer, portion);
    }
}

SUSPENDS static int open_or_leave(Writer *writer)
{
    int r;

    sl_scope_begin(&writer->opening);
    writer->has_opening = true;
    r = open_feed(writer);
    writer->has_opening = false;
    return sl_scope_end(&writer->opening, r);
}

SUSPENDS int writer_run(void *arg)
{
    Writer *writer = arg;
    Pipeline *pipeline = writer->pipeline;
    int r = pipeline->opts.show || writer->fault ? 0 : open_or_leave(writer);

    writer->is_open = r == 0 && !writer->line.is_closed;
    pipeline_wake(pipeline);
    if (r == 0)
        r = write_all(writer);
    if (r < 0)
        pipeline_fail(pipeline, r);
    writer->has_ended = true;
    pipeline_wake(pipeline);
    return r;
}

void writer_leave(Writer *writer)
{
    ASSERT(writer_is_idle(writer));
    writer->line.is_closed = true;
    sl_cond_wake_all(&writer->line.item);
    if (writer->has_opening) /* it may be trying for a long time */
        sl_scope_cancel(&writer->opening);
}

bool writer_is_idle(const Writer *writer)
{
    return list_is_empty(&writer->line.portions) && !writer->is_busy;
}

bool writer_is_left_behind(const Writer *writer)
{
    return writer->sink->overflow != SINK_BLOCK && !writer->is_up && !writer_is_quiet(writer);
}

bool writer_is_quiet(const Writer *writer)
{
    return writer->line.fresh == 0;
}

/* The table's name with the shape's in the place of {measurement}. */
static Str table_of(Writer *writer)
{
    static const Str placeholder = STR(PLAN_PLACEHOLDER);
    Str text = writer->sink->spec.table;
    size_t at = 0;

    if (writer->table.len == 0)
        return (Str){ 0 };
    while (!str_starts(str_sub(text, at, SIZE_MAX), placeholder))
        at++;
    return arena_printf(&writer->arena, "%.*s%.*s%.*s", (int) at, text.data,
                        (int) writer->table.len, writer->table.data,
                        (int) (text.len - at - placeholder.len), text.data + at + placeholder.len);
}

/* "readings/sqlite", or "readings/sqlite/cpu" where each table keeps its own mark: sinks may share a
 * database. */
static Str run_id_of(Writer *writer)
{
    Str name = writer->pipeline->plan->name, sink = writer->sink->name;

    return arena_printf(&writer->arena, "%.*s/%.*s%s%.*s", (int) name.len, name.data,
                        (int) sink.len, sink.data, writer->table.len > 0 ? "/" : "",
                        (int) writer->table.len, writer->table.data);
}

int writer_new(Pipeline *pipeline, uint32_t sink, Str table, Writer **ret_writer)
{
    Writer *writer = mem_new(Writer);
    size_t rows;
    int r = 0;

    writer->pipeline = pipeline;
    writer->plan = plan_ref(pipeline->plan);
    writer->sink = &pipeline->plan->sinks[sink];
    writer->index = sink;
    writer->line.is_urgent = pipeline->is_urgent;
    arena_init(&writer->arena, 0);
    if (table.len > 0)
        writer->table = arena_copy(&writer->arena, table);
    writer->run_id = run_id_of(writer);
    writer->feed_table = table_of(writer);
    if (table.len > 0)
        writer->fault = feed_table_fault(&writer->sink->spec, writer->feed_table);
    writer->shape = shape_new(table.len > 0 ? table : pipeline->plan->name, 0);
    rows = (size_t) writer->sink->batch.rows;
    writer->rows = mem_new_array(const RowValue *, rows);
    writer->run_rows = mem_new_array(const RowValue *, rows);
    writer->lot_index = mem_new_array(uint32_t, rows);
    writer->outside = mem_new_array(uint32_t, rows);
    writer->cap_runs = rows;
    writer->runs = mem_new_array(LotRun, rows);
    if (writer->sink->where.len > 0)
        r = expr_parse(writer->sink->where, &writer->where);
    writer->next = pipeline->writers[sink];
    pipeline->writers[sink] = writer;
    if (r == 0)
        *ret_writer = writer;
    return r;
}

void writer_free(Writer *writer)
{
    if (!writer)
        return;
    ASSERT(list_is_empty(&writer->line.portions) && !writer->feed);
    list_remove(&writer->away.link);
    feed_verdict_deinit(&writer->verdict);
    step_cache_deinit(writer->maps, WRITER_CACHES, mem_free);
    step_cache_deinit(writer->conditions, WRITER_CACHES, free_plan);
    expr_free(writer->where);
    shape_unref(writer->shape);
    tracks_deinit(&writer->tracks);
    tracks_deinit(&writer->before);
    tracks_deinit(&writer->passed);
    mem_free(writer->rows);
    mem_free(writer->run_rows);
    mem_free(writer->lot_index);
    mem_free(writer->outside);
    mem_free(writer->runs);
    mem_free(writer->copies);
    plan_unref(writer->plan);
    arena_deinit(&writer->arena);
    mem_free(writer);
}
