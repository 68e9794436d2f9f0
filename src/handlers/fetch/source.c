/*
 * One source: its pages one after the other, and what becomes of it.
 *
 * What fails here fails this source alone. The fiber ends its own error, keeps the words, and hands
 * on a row that says why; only a lost sink or a cancelled run ends the others as well.
 *
 * Rows leave in the order of the sources, so that two runs give the same table. A source that is
 * done before its turn waits with its batch; one whose batch is full waits, too, and the time does
 * not count as its own.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "codec/time_text.h"
#include "handlers/fetch/fetch_int.h"

int fetch_mark(FetchSource *source, FetchFailureKind kind)
{
    source->failure = kind;
    return -ERR_HTTP_STATUS;
}

void fetch_note(FetchSource *source, const char *fmt, ...)
{
    va_list args;

    if (source->notes.len > 0)
        buf_add_c(&source->notes, "; ");
    va_start(args, fmt);
    buf_vprintf(&source->notes, fmt, args);
    va_end(args);
}

void fetch_page_deinit(FetchPage *page)
{
    http_answer_deinit(&page->answer);
    fetch_stored_deinit(&page->stored);
    arena_deinit(&page->arena);
    *page = (FetchPage){ 0 };
}

void fetch_source_reset(FetchSource *source)
{
    sl_event_clear(&source->turn);
    if (source->has_batch)
        row_batch_reset(&source->batch);
    buf_reset(&source->notes);
    source->is_timed = source->is_done = false;
    source->started_ns = source->waited_ns = source->busy_ns = 0;
    source->n_rows = source->n_pages = source->n_cached = 0;
    source->failure = FETCH_FAILURE_NONE;
    source->failure_text = (Str){ 0 };
    source->status = 0;
    source->attempts = 0;
    for (size_t i = 0; i < source->n_fields; i++)
        source->fields[i].n_missing = source->fields[i].n_wrong = 0;
}

void fetch_source_deinit(FetchSource *source)
{
    if (source->has_batch)
        row_batch_deinit(&source->batch);
    source->has_batch = false;
    buf_deinit(&source->notes);
    if (source->jq)
        fetch_jq_close(TAKE(source->jq));
}

/* ---- handing on ------------------------------------------------------------------------------ */

int fetch_open_outlet(FetchRun *run)
{
    OutletOpts opts = { .out = run->args->out };
    int r = 0;

    if (run->is_found_later) /* no item has told */
        r = fetch_find_columns(&run->sources[0], (PathPlace){ 0 });
    opts.columns = run->columns;
    opts.n_columns = run->n_columns;
    return r < 0 ? r : outlet_open(&run->outlet, run->task, &opts, NULL);
}

/* The batch, or what of it is worth showing again. */
SUSPENDS static int write_batch(FetchSource *source)
{
    FetchRun *run = source->run;
    int r = run->outlet ? 0 : fetch_open_outlet(run);

    if (r == 0 && run->watch)
        r = fetch_watch_mark(run->watch, source, &source->batch);
    return r < 0 ? r : outlet_write(run->outlet, &source->batch);
}

int fetch_source_flush(FetchSource *source)
{
    FetchRun *run = source->run;
    int64_t since_ns = sl_clock_ns(), waited_ns;
    int r = sl_event_wait(&source->turn);

    waited_ns = sl_clock_ns() - since_ns;
    if (r < 0)
        return r;
    r = write_batch(source);
    if (r < 0) {
        run->has_lost_sink = true;
        return r;
    }
    row_batch_reset(&source->batch);
    source->waited_ns += waited_ns;
    if (source->is_timed)
        sl_scope_set_deadline(&source->scope,
                              MIN(run->deadline_ns, source->deadline_ns + source->waited_ns));
    return 0;
}

/* ---- pages ----------------------------------------------------------------------------------- */

SUSPENDS static int read_page(FetchSource *source, FetchPage *page)
{
    int r = fetch_ask(source, page);

    if (r < 0)
        return r;
    source->n_pages++;
    if ((page->status == 204 || page->status == 205) && page->body.len == 0) {
        fetch_note(source, "answered %d: there is nothing to read", page->status);
        return 0;
    }
    r = fetch_read_body(source, page);
    if (r < 0)
        return r;
    page->whole = page->doc;
    return fetch_add_rows(source, page);
}

/* One page after the other; the URL of the next one outlives the page that named it. */
SUSPENDS static int read_pages(FetchSource *source)
{
    FetchRun *run = source->run;
    uint64_t limit = (uint64_t) source->args->pagination.limit;
    Str url = fetch_first_url(source, &run->round);
    int r = 0;

    while (r == 0 && url.len > 0) {
        AUTO(fetch_page_deinit) FetchPage page = { .url = url };

        arena_init(&page.arena, LIMIT_FETCH_ARENA_BYTES);
        r = read_page(source, &page);
        if (r == 0 && page.whole.root)
            r = fetch_next_url(source, &page, &page.arena, &url);
        else
            url = (Str){ 0 };
        if (r == 0 && url.len > 0 && source->n_pages >= limit) {
            fetch_note(source, "there are more pages than the limit of %llu",
                       (unsigned long long) limit);
            url = (Str){ 0 };
        }
        if (r == 0 && url.len > 0)
            url = arena_copy(&run->round, url);
    }
    return r;
}

/* ---- its end --------------------------------------------------------------------------------- */

/* End error R of the source: its kind and its words are kept. */
static void keep_failure(FetchSource *source, int r)
{
    FetchRun *run = source->run;
    const char *attempts = "";
    Err err;
    Str text;

    err_take(r, &err);
    if (r == -ETIMEDOUT && source->failure == FETCH_FAILURE_NONE) {
        bool is_all = run->deadline_ns <= sl_now_ns();
        char limit[TIME_TEXT_BYTES];

        (void) duration_format(is_all ? run->args->deadline_ms : source->timeout_ms, limit);
        text = arena_printf(&run->round, "the %s of %s is over", is_all ? "deadline" : "timeout",
                            limit);
        source->failure = FETCH_FAILURE_TIMEOUT;
    } else {
        text = fetch_scrub(&run->round, source, str_from(err.text, (size_t) err.len));
    }
    if (source->attempts > 1)
        attempts = arena_printf(&run->round, " (%lld attempts)", (long long) source->attempts).data;
    source->failure_text = arena_printf(&run->round, "%.*s%s", (int) text.len, text.data, attempts);
    if (source->failure == FETCH_FAILURE_NONE)
        source->failure = FETCH_FAILURE_OTHER;
}

static void add_field_notes(FetchSource *source)
{
    for (size_t i = 0; i < source->n_fields; i++) {
        const FetchField *field = &source->fields[i];

        if (field->n_missing > 0)
            fetch_note(source, "%.*s (%.*s) is missing in %llu of %llu rows", (int) field->name.len,
                       field->name.data, (int) MIN(field->expr.text.len, (size_t) 80),
                       field->expr.text.data, (unsigned long long) field->n_missing,
                       (unsigned long long) source->n_rows);
        if (field->n_wrong > 0)
            fetch_note(source, "%.*s (%.*s) is of the wrong type in %llu of %llu rows",
                       (int) field->name.len, field->name.data,
                       (int) MIN(field->expr.text.len, (size_t) 80), field->expr.text.data,
                       (unsigned long long) field->n_wrong, (unsigned long long) source->n_rows);
    }
}

static void show_progress(FetchRun *run)
{
    double fraction = (double) run->n_done / (double) run->n_sources;
    AUTO(buf_deinit) Buf text = { 0 };
    size_t n_named = 0;

    if (run->n_done == run->n_sources)
        return; /* the summary follows */
    buf_printf(&text, "%zu of %zu sources", run->n_done, run->n_sources);
    for (size_t i = 0; i < run->n_sources && n_named < 3; i++) {
        const FetchSource *source = &run->sources[i];

        if (source->is_done || source->started_ns == 0)
            continue;
        buf_printf(&text, "%s%.*s", n_named++ == 0 ? "; waiting for " : ", ",
                   (int) MIN(source->name.len, (size_t) 40), source->name.data);
    }
    task_progress(run->task, fraction, buf_str(&text));
}

/* Its pages, with a fiber beside them that compiles what jq needs. */
SUSPENDS static int ask_and_read(FetchSource *source)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "jq");
    int r = fetch_jq_open(source, nursery);

    return r < 0 ? r : read_pages(source);
}

/* Everything before its turn. 0, also when it failed; -ECANCELED; or the sink's error. */
SUSPENDS static int work(FetchSource *source)
{
    FetchRun *run = source->run;
    int r;

    source->started_ns = sl_clock_ns();
    source->deadline_ns = source->started_ns + source->timeout_ms * NS_PER_MS;
    source->is_timed = true;
    sl_scope_begin(&source->scope, .deadline_ns = MIN(source->deadline_ns, run->deadline_ns));
    r = ask_and_read(source);
    r = sl_scope_end(&source->scope, r);
    source->is_timed = false;
    source->busy_ns = MAX(sl_clock_ns() - source->started_ns - source->waited_ns, INT64_C(0));
    if (r < 0 && (r == -ECANCELED || run->has_lost_sink))
        return r;
    if (r < 0)
        keep_failure(source, r);
    add_field_notes(source);
    source->is_done = true;
    run->n_done++;
    show_progress(run);
    return 0;
}

/* Wait for a slot, at most until the deadline of all. */
SUSPENDS static int enter(FetchSource *source)
{
    FetchRun *run = source->run;
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .deadline_ns = run->deadline_ns == INT64_MAX ? 0 : run->deadline_ns);
    r = sl_sem_acquire(&run->slots);
    r = sl_scope_end(&scope, r);
    if (r != -ETIMEDOUT)
        return r;
    keep_failure(source, r);
    source->is_done = true;
    run->n_done++;
    return 0;
}

int fetch_source_run(void *arg)
{
    FetchSource *source = arg;
    FetchRun *run = source->run;
    int r = enter(source);

    if (r == 0 && !source->is_done) {
        r = work(source);
        sl_sem_release(&run->slots);
    }
    if (r < 0)
        return r;
    if (source->failure != FETCH_FAILURE_NONE)
        r = fetch_add_failure(source);
    if (r == 0 && source->has_batch && row_batch_count(&source->batch) > 0)
        r = fetch_source_flush(source);
    if (r == 0)
        r = sl_event_wait(&source->turn);
    if (r == 0 && source->index + 1 < run->n_sources)
        sl_event_set(&run->sources[source->index + 1].turn);
    return r;
}
