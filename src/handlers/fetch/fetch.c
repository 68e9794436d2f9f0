/*
 * fetch: several JSON APIs asked at once, the fields that matter taken out, one table.
 *
 * The run: a plan is made of the arguments, each source gets a fiber, and each fiber hands its rows
 * to one outlet when its turn has come. A source that fails is a row that says why. The summary
 * tells what it took and what one after the other would have taken.
 *
 * How it ends: all sources answered: done. Some: done, and the task is marked as partial. None, or
 * some where `strict` says that this is not enough: an error, and what `out` names stays as it was.
 */
#include "base/macro.h"
#include "handlers/fetch/fetch_int.h"
#include "handlers/fetch/result_int.h"

#include <stdio.h>

typedef struct Tally {
    size_t ok;
    size_t failed;
    uint64_t rows;
    uint64_t cached;
    int64_t busy_ns;
} Tally;

static Tally tally_of(const FetchRun *run)
{
    Tally tally = { 0 };

    for (size_t i = 0; i < run->n_sources; i++) {
        const FetchSource *source = &run->sources[i];

        tally.ok += source->failure == FETCH_FAILURE_NONE;
        tally.failed += source->failure != FETCH_FAILURE_NONE;
        tally.rows += source->n_rows;
        tally.cached += source->n_cached;
        tally.busy_ns += source->busy_ns;
    }
    return tally;
}

/* ---- the result ------------------------------------------------------------------------------ */

static Str summary_of(FetchRun *run, const Tally *tally, int64_t took_ns)
{
    Str text = arena_printf(&run->round, "%zu of %zu source%s in %.3f s", tally->ok, run->n_sources,
                            run->n_sources == 1 ? "" : "s", (double) took_ns / (double) NS_PER_S);

    if (run->n_sources > 1)
        text = arena_printf(&run->round, "%.*s; one after the other %.3f s", (int) text.len,
                            text.data, (double) tally->busy_ns / (double) NS_PER_S);
    if (tally->cached > 0)
        text = arena_printf(&run->round, "%.*s; %llu from the cache", (int) text.len, text.data,
                            (unsigned long long) tally->cached);
    return text;
}

static SchemaList list_errors(FetchRun *run, size_t n)
{
    FetchErrorResult *items = arena_zalloc(&run->round, (n + 1) * sizeof(FetchErrorResult));
    size_t len = 0;

    for (size_t i = 0; i < run->n_sources; i++) {
        const FetchSource *source = &run->sources[i];

        if (source->failure == FETCH_FAILURE_NONE)
            continue;
        items[len++] = (FetchErrorResult){ .source = source->name,
                                           .kind = str_from_c(fetch_failure_word(source->failure)),
                                           .message = source->failure_text,
                                           .status = source->status,
                                           .attempts = source->attempts };
    }
    return (SchemaList){ items, len };
}

static SchemaList list_warnings(FetchRun *run)
{
    FetchWarningResult *items = arena_zalloc(&run->round,
                                             (run->n_sources + 1) * sizeof(FetchWarningResult));
    size_t len = 0;

    for (size_t i = 0; i < run->n_sources; i++) {
        const FetchSource *source = &run->sources[i];

        if (source->notes.len > 0)
            items[len++] = (FetchWarningResult){
                .source = source->name,
                .message = fetch_scrub(&run->round, source, buf_str(&source->notes)),
            };
    }
    return (SchemaList){ items, len };
}

static void log_warnings(FetchRun *run, const FetchResult *result)
{
    const FetchWarningResult *items = result->warnings.items;

    for (size_t i = 0; i < result->warnings.len; i++)
        task_log(run->task, arena_printf(&run->round, "warning: %.*s: %.*s",
                                         (int) items[i].source.len, items[i].source.data,
                                         (int) items[i].message.len, items[i].message.data));
}

static FetchResult make_result(FetchRun *run, const Tally *tally)
{
    int64_t took_ns = sl_clock_ns() - run->started_ns;
    FetchResult result = {
        .sources = (int64_t) run->n_sources,
        .ok = (int64_t) tally->ok,
        .failed = (int64_t) tally->failed,
        .row_count = (int64_t) tally->rows,
        .errors = list_errors(run, tally->failed),
        .warnings = list_warnings(run),
        .cached = (int64_t) tally->cached,
        .elapsed_ms = took_ns / NS_PER_MS,
        .sequential_ms = tally->busy_ns / NS_PER_MS,
        .summary = summary_of(run, tally, took_ns),
    };

    if (run->outlet)
        result.rows.raw = outlet_result_rows(run->outlet);
    return result;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Ask all sources. 0 when each of them has had its say. */
SUSPENDS static int ask_all(FetchRun *run)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "fetch");

    run->slots.count = run->args->sequential ? 1 : (size_t) run->args->concurrency;
    sl_event_set(&run->sources[0].turn);
    for (size_t i = 0; i < run->n_sources; i++)
        (void) sl_spawn(nursery, fetch_source_run, &run->sources[i], .name = "source");
    return sl_nursery_join(nursery); /* also tells of a spawn that failed */
}

#define FAILURES_NAMED 3

/*
 * The error of a run in which too many sources failed. Who sits in front of it has seen the rows
 * and is told of the first; others are told of some.
 */
static int fail_run(FetchRun *run, const Tally *tally)
{
    AUTO(buf_deinit) Buf text = { 0 };
    size_t most = run->task->is_foreground ? 1 : FAILURES_NAMED, n_named = 0;

    for (size_t i = 0; i < run->n_sources && n_named < most; i++) {
        const FetchSource *source = &run->sources[i];
        Str words = str_cut_utf8(source->failure_text, most > 1 ? 240 : 800);

        if (source->failure == FETCH_FAILURE_NONE)
            continue;
        buf_printf(&text, "%s%.*s: %s: %.*s", n_named++ > 0 ? "; " : "", (int) source->name.len,
                   source->name.data, fetch_failure_word(source->failure), (int) words.len,
                   words.data);
    }
    (void) task_mark_final(run->task, "fetch_failed"); /* each source has had its retries */
    return fail(-ERR_JOB_FAILED, "%zu of %zu source%s failed: %.*s", tally->failed, run->n_sources,
                run->n_sources == 1 ? "" : "s", (int) text.len, text.data);
}

/* Rows for a person are shown however it ends; what `out` names is only replaced by what counts. */
SUSPENDS static int commit(FetchRun *run, bool is_good)
{
    AUTO(buf_deinit) Buf text = { 0 };
    int r;

    if (!is_good && run->args->out.len > 0)
        return 0;
    r = run->outlet ? 0 : fetch_open_outlet(run);
    if (r == 0)
        r = outlet_commit(run->outlet);
    if (r < 0)
        return r;
    outlet_describe(run->outlet, &text);
    if (text.len > 0)
        task_log(run->task, buf_str(&text));
    return 0;
}

/* Everything that one round leaves behind. */
static void begin_round(FetchRun *run)
{
    arena_reset(&run->round);
    run->started_ns = sl_clock_ns();
    run->deadline_ns = INT64_MAX;
    if (run->args->deadline_ms > 0)
        run->deadline_ns = sl_clock_ns() + run->args->deadline_ms * NS_PER_MS;
    run->n_done = 0;
    for (size_t i = 0; i < run->n_sources; i++)
        fetch_source_reset(&run->sources[i]);
}

/* R, which will be the same the next time where its kind says so. */
static int refuse(FetchRun *run, int r)
{
    if (r < 0 && r != -ECANCELED && !err_is_retryable(r))
        (void) task_mark_final(run->task, err_wire_name(r));
    return r;
}

/* One round: everything asked, shown, and told. *RET_RESULT lives until the next one. */
SUSPENDS static int run_round(FetchRun *run, FetchResult *ret_result)
{
    Tally tally;
    bool is_good;
    int r;

    begin_round(run);
    /* What may not be written is refused before anything is asked. */
    r = run->is_found_later ? outlet_check(run->task, run->args->out) : fetch_open_outlet(run);
    if (r < 0)
        return refuse(run, r);
    r = ask_all(run);
    if (r < 0)
        return r;
    tally = tally_of(run);
    is_good = tally.failed == 0 || (tally.ok > 0 && !run->args->strict);
    r = commit(run, is_good);
    if (r == 0)
        r = fetch_cache_prune(run);
    if (r < 0)
        return r;
    *ret_result = make_result(run, &tally);
    task_progress(run->task, 1, ret_result->summary);
    if (!run->watch || fetch_watch_has_news(run->watch)) {
        log_warnings(run, ret_result);
        task_log(run->task, ret_result->summary);
    }
    run->task->is_partial = tally.failed > 0;
    return is_good || run->watch ? 0 : fail_run(run, &tally); /* a watch asks again */
}

SUSPENDS static int run_once(FetchRun *run, JsonWriter *result)
{
    FetchResult values;
    int r = run_round(run, &values);

    if (r == 0)
        schema_encode(result, fetch_result.schema, &values);
    return r;
}

static void run_deinit(FetchRun *run)
{
    for (size_t i = 0; run->sources && i < run->n_sources; i++)
        fetch_source_deinit(&run->sources[i]);
    fetch_watch_free(run->watch);
    arena_deinit(&run->round);
}

/* ---- watching -------------------------------------------------------------------------------- */

SUSPENDS static int watch_round(FetchRun *run)
{
    FetchResult values;
    int r = run_round(run, &values);

    outlet_close(TAKE(run->outlet));
    fetch_watch_turn(run->watch);
    return r;
}

/* Until ^C, which is how it ends well. */
SUSPENDS static int run_watch(FetchRun *run, JsonWriter *result)
{
    sl_interval interval = { .period_ns = run->args->watch_ms * NS_PER_MS };
    int64_t rounds = 0;
    int r = 0;

    if (!run->task->is_foreground)
        return refuse(run, fail(-ERR_UNSUPPORTED,
                                "watch needs somebody in front of it; in an engine a schedule "
                                "asks again, for example every minute"));
    run->watch = fetch_watch_new(run);
    while (r == 0) {
        r = watch_round(run);
        rounds += r == 0;
        if (r == 0)
            r = sl_interval_wait(&interval);
    }
    if (r != -ECANCELED)
        return r;
    err_take(r, NULL);
    run->task->is_partial = false;
    json_write_object(result);
    json_write_member_i64(result, "rounds", rounds);
    json_write_object_end(result);
    return 0;
}

/* ---- the handler ----------------------------------------------------------------------------- */

SUSPENDS static int fetch_run(Task *task, const void *args, JsonWriter *result)
{
    FetchRun *run = arena_new(task->arena, FetchRun);
    int r;

    *run = (FetchRun){
        .task = task,
        .args = args,
        .arena = task->arena,
        .http = task_http(task),
        .policy = task->is_private_allowed ? HTTP_POLICY_ALLOW_ALL : HTTP_POLICY_DENY_PRIVATE,
    };
    if (!run->http)
        return fail(-ERR_UNSUPPORTED, "there is no HTTP client here");
    arena_init(&run->round, 0);
    r = fetch_plan(run);
    if (r == 0)
        r = refuse(run, fetch_cache_open(run));
    if (r == 0)
        r = run->args->watch_ms > 0 ? run_watch(run, result) : run_once(run, result);
    outlet_close(run->outlet);
    run_deinit(run);
    return r;
}

extern const Handler handler_fetch;
const Handler handler_fetch = {
    .type = "fetch",
    .summary = "Asks several JSON APIs at once and shows the fields that matter as one table.",
    .details =
        "Sources, their fields and everything else stand in a YAML file, or in flags for one\n"
        "source. Fields are paths (current.temperature) or expressions of jq. A source that\n"
        "fails is a row that says why; the exit code is 0 when all answered, 2 when some did, 1\n"
        "when none did or with --strict. In a file ${NAME} and ${file:PATH} stand for variables\n"
        "and files, which is where keys belong. Private addresses are refused when it runs in\n"
        "an engine, unless the configuration allows them.",
    .args = &fetch_args,
    .result = &fetch_result,
    .cost = HANDLER_WAITS,
    .is_command = true,
    .examples = "  $ sluice fetch weather.yaml\n"
                "  $ sluice fetch https://api.github.com/repos/jqlang/jq "
                "--field stars=stargazers_count\n"
                "  $ sluice fetch weather.yaml --watch 30s\n",
    .run = fetch_run,
};
