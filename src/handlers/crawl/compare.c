/*
 * The two runs of a comparison fetch the same pages; the first throws its rows away, the second
 * writes them. What is compared is the time from the first request to the last row.
 */
#include "handlers/crawl/compare.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"
#include "rows/bar.h"

#include <sluice/handler.h>

#define COMPARE_CONCURRENCY 100

typedef struct Side {
    int64_t concurrency;
    CrawlResult result;
} Side;

static double seconds(const Side *side)
{
    return (double) side->result.report.took_ns / NS_PER_S;
}

static Str side_text(Arena *arena, const Side *side)
{
    double rate = seconds(side) > 0 ? (double) report_pages(&side->result.report) / seconds(side)
                                    : 0;

    return arena_printf(arena, "%.2f s, %.0f pages/s", seconds(side), rate);
}

static void say_bars(Task *task, const Side *one, const Side *many)
{
    AUTO(buf_deinit) Buf text = { 0 };
    const Bar bars[] = {
        { .label = str_from_c("one at a time"),
          .value = seconds(one),
          .text = side_text(task->arena, one) },
        { .label = arena_printf(task->arena, "%lld at once", (long long) many->concurrency),
          .value = seconds(many),
          .text = side_text(task->arena, many) },
    };
    Str rest;

    bar_print(&text, bars, ARRAY_LEN(bars), &(BarStyle){ 0 });
    for (rest = buf_str(&text); rest.len;)
        task_log(task, str_cut(rest, '\n', &rest));
}

static void write_side(JsonWriter *writer, const Side *side)
{
    json_write_object(writer);
    json_write_member_i64(writer, "concurrency", side->concurrency);
    report_write_json(&side->result.report, writer);
    if (side->result.rows.len) {
        json_write_key(writer, "data");
        json_write_raw(writer, side->result.rows);
    }
    json_write_object_end(writer);
}

static void say_both(Task *task, const Side *one, const Side *many, double speed_up)
{
    AUTO(buf_deinit) Buf text = { 0 };
    Str rest;

    report_write_text(&many->result.report, &text);
    for (rest = buf_str(&text); rest.len;)
        task_log(task, str_cut(rest, '\n', &rest));
    if (many->result.wrote_to.len)
        task_log(task, many->result.wrote_to);
    say_bars(task, one, many);
    task_log(task, arena_printf(task->arena, "%.1f times as fast", speed_up));
}

int crawl_compare(Task *task, const CrawlArgs *args, CrawlPlan *plan, JsonWriter *writer)
{
    Side *one = arena_new(task->arena, Side), *many = arena_new(task->arena, Side);
    double speed_up;
    int r;

    one->concurrency = 1;
    many->concurrency = args->concurrency > 16 ? args->concurrency : COMPARE_CONCURRENCY;
    r = crawl_run_once(task, args, plan, &(CrawlRunOpts){ .concurrency = 1, .is_silent = true },
                       &one->result);
    if (r == 0 && !one->result.report.was_stopped)
        r = crawl_run_once(task, args, plan, &(CrawlRunOpts){ .concurrency = many->concurrency },
                           &many->result);
    if (r < 0)
        return r;
    if (one->result.report.was_stopped)
        return fail(-ECANCELED, "stopped before there was something to compare");
    speed_up = seconds(many) > 0 ? seconds(one) / seconds(many) : 0;
    say_both(task, one, many, speed_up);
    task->is_partial = report_errors(&many->result.report) > 0 || many->result.report.was_stopped;
    json_write_object(writer);
    json_write_key(writer, "one");
    write_side(writer, one);
    json_write_key(writer, "many");
    write_side(writer, many);
    json_write_member_real(writer, "speed_up", (double) (int64_t) (speed_up * 100) / 100);
    json_write_object_end(writer);
    return 0;
}
