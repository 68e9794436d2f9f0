/*
 * crawl: pages of web sites, politely, into rows.
 *
 *   arguments ── plan ── frontier ──▶ gate ──▶ HTTP ──▶ parse ──▶ rows ──▶ sinks
 *                           ▲                            │
 *                           └────────── links ───────────┘
 *
 * This file is the handler: what it is called with, what it answers, what it says at the end. The
 * README of the folder says which file does what; docs/guide/crawl.md is for users.
 *
 * Result: an object with the report and, where rows went nowhere else, the rows. A crawl in which
 * some pages failed is done, and partial (exit code 2); one in which every page failed is an error.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/macro.h"
#include "handlers/crawl/compare.h"
#include "handlers/crawl/run.h"
#include "handlers/crawl/settings.h"

#include <sluice/handler.h>
#include <sluice/rt.h>
#include <sluice/rt/file.h>

/* ---- what is said ---------------------------------------------------------------------------- */

static void log_lines(Task *task, Str text)
{
    Str rest = text;

    while (rest.len)
        task_log(task, str_cut(rest, '\n', &rest));
}

static void warn_of_robots(Task *task, const CrawlArgs *args)
{
    if (!args->ignore_robots)
        return;
    task_log(task, str_from_c("WARNING: --ignore-robots: no robots.txt is asked, and what sites "
                              "say to crawlers is not heard."));
    task_log(task, str_from_c("WARNING: do this only where the site is yours, or its owner said "
                              "you may."));
}

static void say_how_to_go_on(Task *task, const CrawlArgs *args, const CrawlReport *report)
{
    if (!report->queued || (args->is_state_beside && !report->was_stopped))
        return;
    if (args->state.len)
        task_log(task, arena_printf(task->arena,
                                    "The crawl is kept in %.*s: the same command goes on with it.",
                                    (int) args->state.len, args->state.data));
    else if (report->was_stopped && task->is_foreground)
        task_log(task, str_from_c("Without --state FILE the queue is not kept: the next run begins "
                                  "anew."));
}

static void say_result(Task *task, const CrawlArgs *args, const CrawlResult *result)
{
    AUTO(buf_deinit) Buf text = { 0 };

    if (result->is_over) {
        task_log(task, arena_printf(task->arena,
                                    "The crawl in %.*s came to its end: there is nothing left to "
                                    "do. --revisit asks for what has changed since; without the "
                                    "file it begins anew.",
                                    (int) args->state.len, args->state.data));
        return;
    }
    report_write_text(&result->report, &text);
    log_lines(task, buf_str(&text));
    log_lines(task, result->wrote_to);
    say_how_to_go_on(task, args, &result->report);
}

/* ---- what is written ------------------------------------------------------------------------- */

static void write_report(JsonWriter *writer, const CrawlResult *result, bool has_rows)
{
    json_write_object(writer);
    report_write_json(&result->report, writer);
    if (has_rows && result->rows.len) {
        json_write_key(writer, "data");
        json_write_raw(writer, result->rows);
    }
    json_write_object_end(writer);
}

SUSPENDS static int write_stats(Task *task, const CrawlArgs *args, const CrawlResult *result)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text, .indent = 2);
    char *path;
    int r;

    if (!args->stats_file.len)
        return 0;
    path = arena_copy_c(task->arena, args->stats_file);
    write_report(&writer, result, false);
    buf_add_char(&text, '\n');
    r = buf_check(&text);
    if (r == 0)
        r = sl_file_write_all(path, text.data, text.len, 0644);
    return wrap(r, "--stats-file %s", path);
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Every page failed: with the commonest reason, which is all that a caller of the API sees. */
static int fail_all(const CrawlReport *report, uint64_t errors)
{
    CrawlOutcome most = CRAWL_FAILED;

    for (CrawlOutcome i = 0; i < CRAWL_OUTCOME_COUNT; i++)
        if (crawl_outcome_is_error(i) && report->outcomes[i] > report->outcomes[most])
            most = i;
    if (errors == 1)
        return fail(-ERR_JOB_FAILED, "the page could not be fetched: %s: %s",
                    crawl_outcome_word(most), crawl_outcome_text(most));
    return fail(-ERR_JOB_FAILED, "none of %llu pages could be fetched: %llu %s: %s",
                (unsigned long long) errors, (unsigned long long) report->outcomes[most],
                crawl_outcome_word(most), crawl_outcome_text(most));
}

/* What a crawl that ran to its end counts as. */
static int judge(Task *task, const CrawlReport *report)
{
    uint64_t errors = report_errors(report);

    if (errors && !report_pages(report) && !report->was_stopped)
        return fail_all(report, errors);
    task->is_partial = errors > 0 || report->was_stopped;
    if (report->was_stopped && !task->is_foreground && task_is_cancelled(task))
        return fail(-ECANCELED, "the crawl was stopped");
    return 0;
}

SUSPENDS static int crawl_once(Task *task, const CrawlArgs *args, CrawlPlan *plan,
                               JsonWriter *writer)
{
    CrawlResult *result = arena_new(task->arena, CrawlResult);
    int r = crawl_run_once(task, args, plan, &(CrawlRunOpts){ 0 }, result);

    if (r < 0)
        return r;
    say_result(task, args, result);
    r = write_stats(task, args, result);
    if (r == 0)
        r = judge(task, &result->report);
    if (r == 0)
        write_report(writer, result, true);
    return r;
}

typedef struct Compiling {
    Arena *arena;
    const CrawlArgs *args;
    CrawlPlan *plan;
} Compiling;

/* On the pool: selectors and expressions are read by recursion, which wants a larger stack. */
static int compile(void *arg)
{
    Compiling *compiling = arg;

    return crawl_plan_new(compiling->arena, compiling->args, &compiling->plan);
}

SUSPENDS static int crawl_run(Task *task, const void *arg, JsonWriter *writer)
{
    AUTO(crawl_plan_free) CrawlPlan *plan = NULL;
    const CrawlArgs *args = arg;
    Compiling compiling = { .arena = task->arena, .args = args };
    CrawlArgs settled;
    int r = crawl_args_allow(task, args);

    if (r < 0) {
        (void) task_mark_final(task, "x_forbidden");
        return r;
    }
    r = crawl_args_check(args);
    if (r == 0)
        r = sl_offload(compile, &compiling, .name = "plan");
    plan = compiling.plan;
    if (r == -ECANCELED)
        return r;
    if (r < 0) {
        (void) task_mark_final(task, "schema_validation"); /* it will not get any better */
        return r;
    }
    settled = *args;
    crawl_settle_state(task, &settled);
    warn_of_robots(task, args);
    return args->compare ? crawl_compare(task, args, plan, writer)
                         : crawl_once(task, &settled, plan, writer);
}

static const SchemaField crawl_result = ITEM(
    JSON, .summary = "the report: pages, rows, errors, what was left out and why, statuses, "
                     "slowest hosts; with `data`, the rows, where they went nowhere else");

extern const Handler handler_crawl;
const Handler handler_crawl = {
    .type = "crawl",
    .summary = "Crawls web sites politely and takes rows out of their pages.",
    .details =
        "Begins with the URLs given, with a list (--urls), or with a sitemap, and follows links "
        "where --follow, --domain or --include say so. Each page gives a row, or with --each one "
        "for each match. An expression is a CSS selector with ::text, ::attr(name) or ::html, and "
        "filters behind |, or jsonld:, microdata:, og:, meta: with a path. robots.txt, Crawl-delay "
        "and meta robots are obeyed, hosts are not hurried. docs/guide/crawl.md tells it all.",
    .args = &crawl_args_schema,
    .result = &crawl_result,
    .cost = HANDLER_WAITS,
    .is_command = true,
    .examples = "  $ sluice crawl http://localhost:7585/product/1 --select name=h1 "
                "--select 'price=.price|number'\n"
                "  $ sluice crawl http://localhost:7585/ --follow --rows-from '/product/*' "
                "--select name=h1 --out shop.csv\n"
                "  $ sluice crawl shop.yaml --state shop.state\n",
    .run = crawl_run,
};
