/*
 * A crawl from its opening to its end.
 *
 *   open     client, scheduler (and the state file behind it), writer, readers
 *   seed     the pages to begin with
 *   run      page fibers, and the ticker: progress, flushes, marks, --max-time
 *   end      what has gathered is written even when the crawl was stopped, under a shield
 *
 * Closing goes the other way round and always happens.
 */
#include "handlers/crawl/run.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "handlers/crawl/crawl_int.h"
#include "handlers/crawl/descriptors.h"
#include "handlers/crawl/settings.h"

#include <sluice/rt.h>
#include <sluice/rt/file.h>

#include <stdio.h>

#define TICK_MS      100
#define MARK_SHARE   20
#define END_GRACE_MS 30000
#define PAGE_STACK   (64 << 10)
#define EXTRA_FIBERS 32 /* that read while others fetch */

/* ---- opening --------------------------------------------------------------------------------- */

static bool is_own_column(const CrawlPlan *plan, CrawlColumn column)
{
    const RowColumn *columns = crawl_plan_columns(plan);

    for (size_t i = 0; i < crawl_plan_n_columns(plan); i++)
        if (str_eq(columns[i].name, crawl_column_name(column)))
            return true;
    return false;
}

static void set_rules(Crawl *crawl)
{
    const CrawlArgs *args = crawl->args;

    crawl->rules = (ReadRules){
        .plan = crawl->plan,
        .robots_agent = crawl_args_robots_token(args),
        .obeys_robots = !args->ignore_robots,
        .obeys_nofollow = args->obey_nofollow,
        .wants_links = crawl_args_follows(args),
        .wants_refresh = args->meta_refresh,
        .wants_canonical = args->canonical,
        .wants_soft_404 = args->soft_404,
        .wants_title = is_own_column(crawl->plan, CRAWL_COLUMN_TITLE) ||
                       is_own_column(crawl->plan, CRAWL_COLUMN_LANG),
    };
    crawl->key_opts = (WebUrlKeyOpts){
        .is_tracking_dropped = args->drop_tracking,
        .dropped = args->drop_params.items,
        .n_dropped = args->drop_params.len,
    };
}

static bool is_secret_header(Str name)
{
    return str_eq_nocase(name, str_from_c("authorization")) ||
           str_eq_nocase(name, str_from_c("cookie")) ||
           str_eq_nocase(name, str_from_c("proxy-authorization")) ||
           str_eq_nocase(name, str_from_c("x-api-key"));
}

static void set_headers(Crawl *crawl)
{
    const SchemaPairs *given = &crawl->args->headers;
    Arena *arena = crawl->task->arena;

    crawl->headers = arena_zalloc(arena, (given->len + 1) * sizeof(*crawl->headers));
    crawl->secrets = arena_zalloc(arena, (given->len + 1) * sizeof(*crawl->secrets));
    for (size_t i = 0; i < given->len; i++) {
        HttpHeader header = { given->items[i].name, given->items[i].value };

        if (is_secret_header(header.name))
            crawl->secrets[crawl->n_secrets++] = header;
        else
            crawl->headers[crawl->n_headers++] = header;
    }
}

/* A client of its own: as many connections as pages at once, and the identity asked for. */
SUSPENDS static int open_client(Crawl *crawl, sl_nursery *nursery)
{
    const CrawlArgs *args = crawl->args;
    Arena *arena = crawl->task->arena;
    HttpResolve *resolve = arena_zalloc(arena, (args->resolve.len + 1) * sizeof(*resolve));
    HttpClientOpts opts = {
        .connections_per_host = (size_t) crawl->concurrency + 1,
        .connections_max = (size_t) crawl->concurrency + CRAWL_EXTRA_CONNECTIONS,
        .calls_max = (size_t) crawl->concurrency + 16,
        .user_agent = arena_copy_c(arena, crawl_args_user_agent(crawl->task, args)),
        .policy = crawl->policy,
        .resolve = resolve,
        .n_resolve = args->resolve.len,
    };

    for (size_t i = 0; i < args->resolve.len; i++)
        resolve[i] = (HttpResolve){ arena_copy_c(arena, args->resolve.items[i].name),
                                    arena_copy_c(arena, args->resolve.items[i].value) };
    if (args->proxy.len)
        crawl->proxy = arena_copy_c(arena, args->proxy);
    return http_client_start(&crawl->client, nursery, &opts);
}

SUSPENDS static int open_scheduler(Crawl *crawl, sl_nursery *nursery)
{
    const CrawlArgs *args = crawl->args;
    SchedulerOpts opts = {
        .frontier = { .mode = args->revisit ? FRONTIER_REVISIT
                              : args->fresh ? FRONTIER_RESTART
                                            : FRONTIER_CONTINUE,
                      .is_temporary = args->is_state_beside,
                      .attempts_max = (unsigned) args->retries + 1 },
        .gate = { .concurrency = (size_t) crawl->concurrency,
                  .host_at_once = (size_t) args->per_host,
                  .address_at_once = (size_t) args->per_address,
                  .delay_ms = args->delay_ms,
                  .address_delay_ms = -1,
                  .jitter = args->jitter,
                  .crawl_delay_max_ms = args->ignore_robots ? -1 : args->crawl_delay_max_ms,
                  .no_throttle = !args->throttle,
                  .is_proxied = args->proxy.len > 0 },
        .robots = { .is_ignored = args->ignore_robots,
                    .proxy = crawl->proxy,
                    .product_token = crawl->rules.robots_agent,
                    .timeout_ms = args->timeout_ms },
        .client = crawl->client,
        .notes = crawl->notes,
        .pages_max = (uint64_t) args->count,
        .host_pages_max = (uint64_t) args->per_host_count,
        .gives_barred = args->error_rows,
    };

    if (crawl->task->shared_dir)
        opts.gate.shared_path =
            arena_printf(crawl->task->arena, "%s/crawl-pace.db", crawl->task->shared_dir).data;
    if (!crawl->task->is_foreground && (!args->count || args->count > LIMIT_CRAWL_API_PAGES))
        opts.pages_max = LIMIT_CRAWL_API_PAGES;
    if (args->state.len) {
        opts.frontier.path = arena_copy_c(crawl->task->arena, args->state);
        crawl_settings(crawl->task->arena, args, &opts.frontier);
    }
    return scheduler_open(&crawl->scheduler, nursery, &opts);
}

enum { CRAWL_OVER = 1 }; /* the state file says that nothing is left to do */

SUSPENDS static int open_all(Crawl *crawl, sl_nursery *nursery, const CrawlRunOpts *opts)
{
    int64_t concurrency = opts->concurrency ? opts->concurrency : crawl->args->concurrency;
    FrontierStats stats;
    int r = scope_new(crawl->args, &crawl->scope);

    if (r < 0)
        return r;
    set_rules(crawl);
    set_headers(crawl);
    crawl->concurrency = crawl_descriptors_fit(crawl->task, concurrency, crawl->args->out.len);
    crawl->requests.count = (size_t) crawl->concurrency;
    r = open_client(crawl, nursery);
    if (r == 0)
        r = open_scheduler(crawl, nursery);
    if (r < 0)
        return r;
    crawl->frontier = scheduler_frontier(crawl->scheduler);
    if (frontier_resume(crawl->frontier)->is_complete)
        return CRAWL_OVER;
    r = crawl_cookies_open(crawl);
    if (r < 0)
        return r;
    crawl->report->done_before = frontier_resume(crawl->frontier)->n_done;
    r = writer_open(&crawl->writer, &(WriterOpts){ .task = crawl->task,
                                                   .args = crawl->args,
                                                   .plan = crawl->plan,
                                                   .frontier = crawl->frontier,
                                                   .report = crawl->report,
                                                   .is_silent = opts->is_silent });
    if (r < 0)
        return r;
    frontier_stats(crawl->frontier, &stats);
    memcpy(crawl->before, stats.by_outcome, sizeof(crawl->before));
    return reading_start(&crawl->reading, &crawl->rules, nursery);
}

/* ---- running --------------------------------------------------------------------------------- */

static void show_progress(Crawl *crawl)
{
    char message[200];
    Buf text = { 0 };
    FrontierStats stats;
    uint64_t ended = report_pages(crawl->report) + report_errors(crawl->report);
    uint64_t all;

    frontier_stats(crawl->frontier, &stats);
    all = ended + stats.by_state[PAGE_QUEUED] + stats.by_state[PAGE_LEASED];
    if (crawl->args->count && all > (uint64_t) crawl->args->count)
        all = (uint64_t) crawl->args->count;
    report_progress(crawl->report, sl_now_ns(), all - MIN(ended, all), &text);
    (void) snprintf(message, sizeof(message), "%.*s", (int) text.len, text.data);
    buf_deinit(&text);
    task_progress(crawl->task, all ? (double) MIN(ended, all) / (double) all : 0,
                  str_from_c(message));
}

static void stop_when_asked(Crawl *crawl)
{
    int64_t max_ms = crawl->args->max_time_ms;
    bool is_over = max_ms && sl_now_ns() - crawl->report->started_ns > max_ms * NS_PER_MS;

    if (!is_over && !task_is_cancelled(crawl->task))
        return;
    crawl->report->was_stopped = true;
    scheduler_stop(crawl->scheduler);
}

/* Send what has gathered; and set a mark, unless that took long the last time: marks cost the
 * crawl a twentieth of its time at most. */
SUSPENDS static int flush_or_mark(Crawl *crawl, int64_t *next_mark_ns)
{
    int64_t began_ns = sl_clock_ns();
    int r;

    if (began_ns < *next_mark_ns)
        return writer_flush(crawl->writer);
    crawl_cookies_keep(crawl);
    r = writer_mark(crawl->writer);
    *next_mark_ns = began_ns + MARK_SHARE * (sl_clock_ns() - began_ns);
    return r;
}

SUSPENDS static int run_ticker(void *arg)
{
    Crawl *crawl = arg;
    int64_t next_mark_ns = 0;
    int r = 0;

    while (r == 0) {
        r = sl_sleep_ms(TICK_MS);
        if (r < 0)
            return r;
        show_progress(crawl);
        stop_when_asked(crawl);
        r = flush_or_mark(crawl, &next_mark_ns);
    }
    return r;
}

SUSPENDS static int run_pages(Crawl *crawl)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "pages");
    int64_t n = crawl->concurrency;
    int r = 0;

    if (n > 1 && reading_has_pool(crawl->reading))
        n += EXTRA_FIBERS;
    for (int64_t i = 0; r == 0 && i < n; i++)
        r = sl_spawn(nursery, crawl_pages, crawl, .name = "page", .stack_bytes = PAGE_STACK);
    return r < 0 ? r : sl_nursery_join(nursery);
}

/* A list may be long, or come from a pipe: it is read while its first pages are fetched. */
SUSPENDS static int run_list(void *arg)
{
    Crawl *crawl = arg;
    int r = crawl_seed_list(crawl);

    crawl->is_seeded = r == 0;
    scheduler_set_expecting(crawl->scheduler, false);
    if (r < 0)
        scheduler_stop(crawl->scheduler);
    return r;
}

SUSPENDS static int run_all(Crawl *crawl)
{
    AUTO(sl_nursery_close) sl_nursery *beside = sl_nursery_open(.name = "beside the pages");
    int r = crawl_seed(crawl);

    if (r == 0)
        r = sl_spawn(beside, run_ticker, crawl, .name = "ticker");
    scheduler_set_expecting(crawl->scheduler, true);
    if (r == 0)
        r = sl_spawn(beside, run_list, crawl, .name = "list", .stack_bytes = PAGE_STACK);
    if (r == 0)
        r = run_pages(crawl);
    sl_nursery_cancel(beside);
    return r < 0 ? r : sl_nursery_join(beside);
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* The frontier knows what the scheduler ended by itself, the report what was never queued. */
static void count_ended(Crawl *crawl)
{
    CrawlReport *report = crawl->report;
    FrontierStats stats;

    frontier_stats(crawl->frontier, &stats);
    for (CrawlOutcome i = 0; i < CRAWL_OUTCOME_COUNT; i++) {
        uint64_t before = MIN(crawl->before[i], stats.by_outcome[i]);

        report->outcomes[i] = MAX(report->outcomes[i], stats.by_outcome[i] - before);
    }
    report->queued = stats.by_state[PAGE_QUEUED] + stats.by_state[PAGE_LEASED];
}

/* The notes that are shown, with texts that outlive the crawl. */
static void copy_notes(Crawl *crawl)
{
    CrawlReport *report = crawl->report;
    Arena *arena = crawl->task->arena;

    report->n_notes = notes_top(crawl->notes, report->notes, REPORT_NOTES, &report->more_notes);
    for (size_t i = 0; i < report->n_notes; i++) {
        report->notes[i].subject = arena_copy(arena, report->notes[i].subject);
        report->notes[i].why = arena_copy(arena, report->notes[i].why);
    }
}

static void fill_report(Crawl *crawl)
{
    CrawlReport *report = crawl->report;
    const HtmlPlan *html = crawl_plan_html(crawl->plan);
    SchedulerStats stats;

    report->took_ns = sl_clock_ns() - report->started_ns;
    report->cookies = crawl->cookies ? http_cookies_count(crawl->cookies) : 0;
    report->ignored_robots = crawl->args->ignore_robots;
    count_ended(crawl);
    scheduler_stats(crawl->scheduler, &stats);
    report->robots_fetched = stats.robots_fetched;
    report->plan = html;
    if (html) {
        HtmlFieldCounts *fields = arena_zalloc(crawl->task->arena,
                                               (html_plan_len(html) + 1) * sizeof(*fields));

        reading_sum(crawl->reading, fields, report);
        report->fields = fields;
    }
    copy_notes(crawl);
    report->n_slowest = scheduler_slowest(crawl->scheduler, report->slowest, REPORT_SLOWEST);
    for (size_t i = 0; i < report->n_slowest; i++)
        report->slowest[i].host = arena_copy(crawl->task->arena, report->slowest[i].host);
}

/* A crawl that has fetched as many pages as --count says is done, unless somebody named a --state,
 * where the next ones wait. */
SUSPENDS static int end_crawl(Crawl *crawl, CrawlResult *result)
{
    AUTO(buf_deinit) Buf text = { 0 };
    bool is_done = crawl->args->is_state_beside && !crawl->report->was_stopped;
    int r;

    http_client_stop(TAKE(crawl->client)); /* its connections make room for what follows */
    crawl_cookies_keep(crawl);
    r = writer_finish(crawl->writer,
                      is_done || (crawl->is_seeded && scheduler_is_complete(crawl->scheduler)));

    fill_report(crawl);
    writer_describe(crawl->writer, &text);
    result->wrote_to = arena_copy(crawl->task->arena, buf_str(&text));
    result->rows = arena_copy(crawl->task->arena, writer_result_rows(crawl->writer));
    return r;
}

SUSPENDS static int close_all(Crawl *crawl)
{
    int r = 0;

    writer_close(crawl->writer);
    if (crawl->scheduler)
        r = scheduler_close(crawl->scheduler);
    if (crawl->client)
        http_client_stop(crawl->client);
    if (crawl->cookies)
        http_cookies_free(crawl->cookies);
    scope_free(crawl->scope);
    notes_free(crawl->notes);
    redirects_deinit(&crawl->redirects);
    arena_deinit(&crawl->scratch);
    buf_deinit(&crawl->key);
    return r;
}

/* Run what was opened. A crawl that was cancelled is ended as one that was stopped: what it has
 * is written, while the cancellation is kept away for a while. */
SUSPENDS static int run_and_end(Crawl *crawl, CrawlResult *result)
{
    int r = run_all(crawl), end;
    sl_scope shield;
    Err first_err;

    reading_stop(crawl->reading);
    if (r < 0 && (r != -ECANCELED || !crawl->task->is_foreground))
        return r; /* of a job that was cancelled nothing takes the place of what was there */
    if (r == -ECANCELED) {
        crawl->report->was_stopped = true;
        err_take(r, &first_err);
    }
    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = END_GRACE_MS);
    end = end_crawl(crawl, result);
    return sl_scope_end(&shield, end);
}

int crawl_run_once(Task *task, const CrawlArgs *args, CrawlPlan *plan, const CrawlRunOpts *opts,
                   CrawlResult *result)
{
    Crawl *crawl = arena_new(task->arena, Crawl);
    sl_nursery *nursery = sl_nursery_open(.name = "crawl");
    bool is_open = task->is_foreground || task->is_private_allowed;
    Err *first_err = arena_new(task->arena, Err);
    int r, closed;

    *crawl = (Crawl){ .task = task,
                      .args = args,
                      .plan = plan,
                      .policy = is_open ? HTTP_POLICY_ALLOW_ALL : HTTP_POLICY_DENY_PRIVATE,
                      .report = &result->report };
    redirects_init(&crawl->redirects, sl_random(), sl_random());
    crawl->notes = notes_new();
    crawl->report->started_ms = sl_wall_ms();
    crawl->report->started_ns = sl_clock_ns();
    r = open_all(crawl, nursery, opts);
    result->is_over = r == CRAWL_OVER;
    if (r == 0)
        r = run_and_end(crawl, result);
    if (r < 0)
        err_take(r, first_err); /* closing may fail too, and has words of its own */
    closed = close_all(crawl);
    sl_nursery_close(nursery);
    reading_free(crawl->reading);
    return r < 0 ? err_put(first_err) : closed;
}
