/*
 * ingest: a pipeline run by somebody who waits for it, or as a job.
 *
 * The argument is the pipeline's configuration; the result is its balance. A pipeline whose sources
 * come to an end ends with them; one that has none runs until it is asked to stop. That request is
 * no cancellation for the rows in flight: they are written first, within `drain`, so the pipeline
 * runs on a fiber behind a shield, which looks ten times a second whether it should stop. Who asks
 * again (the second ^C) does not want to wait for them: they go back to their producers.
 *
 * Who is not in front of this machine may not name sources that read its files, and sinks only
 * where the engine's rule allows them.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "pipeline/pipeline.h"
#include "rows/outlet.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

#include <stdio.h>
#include <string.h>

#define LOOK_MS       100
#define GIVE_UP_MS    (LIMIT_MESSAGES_DRAIN_MS + 5000) /* for what hurries to end */
#define TELL_AGAIN_MS 30000 /* before other words of a source that is still down are logged */
#define FOREVER_MS    (INT64_C(100) * 365 * 24 * 3600 * 1000)

/* What the log has of a source. */
typedef struct Told {
    bool is_down;
    int64_t at_ns;
    char words[512];
} Told;

typedef struct IngestRun {
    Task *task;
    Plan *plan;         /* until the pipeline has it */
    Pipeline *pipeline; /* NULL before and after */
    sl_nursery *nursery;
    bool is_reloading;
    JsonWriter *result;
    bool is_asked; /* to stop */
    bool is_held;  /* a sink is away, or a disk full: it was said */
    uint64_t last_written;
    int64_t last_ns;
    Told *told; /* one for each source; owned */
    sl_event ended;
    int r; /* how */
    Err err;
} IngestRun;

/* ---- what may be named ----------------------------------------------------------------------- */

static int check_parts(Task *task, const Plan *plan)
{
    for (size_t i = 0; i < plan->n_sources && !task->is_foreground; i++) {
        if (plan->sources[i].driver->is_local)
            return task_fail(task, "forbidden",
                             "source %s reads what is this machine's; a job may not name it",
                             plan->sources[i].driver->name);
    }
    for (size_t i = 0; i < plan->n_steps && !task->is_foreground; i++) {
        const PlanStep *step = &plan->steps[i];

        if (step->driver->is_local && step->driver->is_local(step->args))
            return task_fail(task, "forbidden",
                             "step %s reads a file of this machine; a job may not name it",
                             step->driver->name);
    }
    return 0;
}

/* Dead letters of a job lie with its rows: in a file, where the engine allows one. */
static int place_dead_letters(Task *task, PipelineConfig *config, Buf *text)
{
    int r;

    buf_printf(text, "jsonl:%.*s.dead.jsonl", (int) config->name.len, config->name.data);
    r = buf_check(text);
    if (r == 0)
        r = task->ops->allow_out(task, buf_str(text), &config->dead_letters);
    return wrap(r, "what an ingest job refuses goes to a file of dead letters");
}

/* The texts of sinks as the task's owner allows them; they may be placed elsewhere. */
static int allow_sinks(Task *task, PipelineConfig *config)
{
    Str *out = config->out.items;

    if (!task->ops->allow_out)
        return 0;
    if (!task->is_foreground && (json_len(config->sinks.value) > 0 || config->dead_letters.len > 0))
        return task_fail(task, "forbidden", "a job names its sinks with out alone");
    if (!task->is_foreground && (config->state.len > 0 || config->channel.spill_dir.len > 0))
        return task_fail(task, "forbidden", "a job may not name folders of this machine");
    for (size_t i = 0; i < config->out.len; i++) {
        int r = task->ops->allow_out(task, out[i], &out[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the plan -------------------------------------------------------------------------------- */

typedef struct Compiling {
    const PipelineConfig *config;
    Plan *plan;
} Compiling;

static int compile(void *arg)
{
    Compiling *compiling = arg;

    return plan_new(compiling->config, &compiling->plan);
}

/* On the pool: steps read tables, and compile programs. */
SUSPENDS static int make_plan(const PipelineConfig *config, Plan **ret_plan)
{
    Compiling compiling = { .config = config };
    int r = sl_offload(compile, &compiling, .name = "compile a pipeline");

    *ret_plan = compiling.plan;
    return r;
}

/* ---- running --------------------------------------------------------------------------------- */

SUSPENDS static int show(void *ctx, const RowBatch *batch)
{
    Task *task = ctx;

    return task_has_watcher(task) ? task_emit(task, batch) : 0;
}

/* "1 234 567 rows, 45 600/s, 3 dead; waiting: readings: connection refused" */
static void report(IngestRun *run)
{
    AUTO(buf_deinit) Buf text = { 0 };
    int64_t now_ns = sl_clock_ns(), took_ns = now_ns - run->last_ns;
    PipelineStats stats;

    pipeline_stats(run->pipeline, &stats);
    buf_printf(&text, "%llu rows written", (unsigned long long) stats.written);
    if (took_ns > 0)
        buf_printf(&text, ", %.0f/s",
                   (double) (stats.written - run->last_written) * 1e9 / (double) took_ns);
    if (stats.in_flight > 0)
        buf_printf(&text, ", %llu in flight", (unsigned long long) stats.in_flight);
    if (stats.dead > 0)
        buf_printf(&text, ", %llu dead", (unsigned long long) stats.dead);
    if (stats.dropped > 0)
        buf_printf(&text, ", %llu dropped", (unsigned long long) stats.dropped);
    if (stats.about[0] != '\0')
        buf_printf(&text, "; %s: %s", pipeline_state_name(stats.state), stats.about);
    run->last_written = stats.written;
    run->last_ns = now_ns;
    task_progress(run->task, 0, buf_str(&text));
}

/* One that is down says why, and that it is up again: nobody may be looking at the report. */
static void tell_source(IngestRun *run, Told *told, const PipelinePart *part)
{
    AUTO(buf_deinit) Buf line = { 0 };
    bool is_down = !part->is_up && part->about[0] != '\0';
    bool is_same = is_down == told->is_down && (!is_down || strcmp(part->about, told->words) == 0);
    bool is_soon = is_down && told->is_down &&
                   sl_clock_ns() - told->at_ns < TELL_AGAIN_MS * NS_PER_MS;

    if (is_same || is_soon)
        return;
    told->is_down = is_down;
    told->at_ns = sl_clock_ns();
    (void) snprintf(told->words, sizeof(told->words), "%s", part->about);
    buf_printf(&line, "source %.*s: %s", (int) part->name.len, part->name.data, part->about);
    if (part->about[0] != '\0')
        task_log(run->task, buf_str(&line));
}

static void tell_sources(IngestRun *run)
{
    size_t n = pipeline_plan(run->pipeline)->n_sources;

    if (!run->told)
        run->told = mem_new_array(Told, LIMIT_PIPELINE_SOURCES); /* a reload may bring more */
    for (size_t i = 0; i < n; i++) {
        PipelinePart part = pipeline_source(run->pipeline, i);

        tell_source(run, &run->told[i], &part);
    }
}

SUSPENDS static int wait_for_end(void *arg)
{
    return pipeline_wait(arg);
}

/* What the pipeline was told to leave behind is said to whoever watches. */
static void tell_news(const IngestRun *run)
{
    PipelineStats stats;

    pipeline_stats(run->pipeline, &stats);
    if (stats.news[0] != '\0')
        task_log(run->task, str_from_c(stats.news));
}

/* Go on by ARGS, read anew. */
SUSPENDS static int go_on_by(IngestRun *run, Str args)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    PipelineConfig config;
    Plan *plan = NULL;
    int r = schema_decode_text(&arena, &pipeline_config_schema, args, &config, NULL);

    if (r == 0)
        r = make_plan(&config, &plan);
    if (r == 0 && !run->pipeline) { /* it has ended meanwhile */
        plan_unref(plan);
        r = PIPELINE_NOT_RUNNING;
    } else if (r == 0) {
        r = pipeline_reload(run->pipeline, plan);
    }
    return r;
}

/* A fiber of its own: a reload may take as long as rows in flight do. */
SUSPENDS static int reload(void *arg)
{
    IngestRun *run = arg;
    AUTO(buf_deinit) Buf line = { 0 };
    Err err;
    Str args;
    int r = task_reread(run->task, &args);

    run->is_reloading = r != TASK_SAME;
    if (r == TASK_SAME)
        return 0;
    if (r == 0)
        r = go_on_by(run, args);
    if (r < 0) {
        err_take(r, &err);
        buf_printf(&line, "not reloaded, it goes on as it was: %s", err.text);
    } else {
        buf_add_c(&line, r == 0 ? "reloaded" : "not reloaded: it is at its end");
    }
    task_log(run->task, buf_str(&line));
    if (r == 0 && run->pipeline)
        tell_news(run);
    run->is_reloading = false;
    return 0;
}

static void write_state(void *ctx, JsonWriter *out)
{
    const IngestRun *run = ctx;

    pipeline_write_json(run->pipeline, out);
}

/* What is in flight goes back to its producers. */
static void hurry(void *ctx)
{
    const IngestRun *run = ctx;

    pipeline_hurry(run->pipeline);
}

/* Hurry, so that the balance is of the end; a deliver that does not let go is left in flight. */
SUSPENDS static int give_up_draining(IngestRun *run)
{
    PipelineStats stats;
    int r;

    pipeline_stats(run->pipeline, &stats);
    pipeline_hurry(run->pipeline);
    r = sl_with_timeout(GIVE_UP_MS, wait_for_end, run->pipeline);
    if (stats.in_flight == 0)
        return r == -ETIMEDOUT ? 0 : r; /* the stop waits for the rest */
    return fail(-ETIMEDOUT, "%llu rows in flight were given back",
                (unsigned long long) stats.in_flight);
}

/* Until the pipeline has ended by itself; after a request to stop, for as long as it may drain. */
SUSPENDS static int wait_or_drain(IngestRun *run)
{
    int64_t drain_ms = pipeline_plan(run->pipeline)->config.drain_ms, asked_ns = 0;
    int r;

    for (;;) {
        r = sl_with_timeout(LOOK_MS, wait_for_end, run->pipeline);
        if (r != -ETIMEDOUT)
            return r;
        report(run);
        tell_sources(run);
        if (run->task->is_foreground && !run->is_reloading && !run->is_asked) {
            run->is_reloading = true;
            (void) sl_spawn(run->nursery, reload, run, .name = "reload"); /* it says how it went */
        }
        if (run->is_asked && asked_ns == 0) {
            asked_ns = sl_clock_ns();
            pipeline_ask_to_stop(run->pipeline);
        }
        if (asked_ns > 0 && sl_clock_ns() - asked_ns > drain_ms * NS_PER_MS)
            return give_up_draining(run);
    }
}

/* The balance is the result, however it ended, which R says. */
SUSPENDS static int conclude(IngestRun *run, int r)
{
    AUTO(buf_deinit) Buf balance = { 0 };
    Err err = { 0 };
    int stopped;

    if (r < 0)
        err_take(r, &err);
    run->task->watch = (TaskWatch){ 0 };
    pipeline_write_json(run->pipeline, run->result);
    pipeline_write_balance(run->pipeline, &balance);
    task_log(run->task, buf_str(&balance));
    stopped = pipeline_stop(TAKE(run->pipeline), r < 0 ? 0 : 1);
    return r < 0 && r != -ECANCELED ? err_put(&err) : stopped; /* cancelled is: hurried */
}

/* What holds the rows, and that nothing does any more. */
static void on_state(void *ctx, const Pipeline *pipeline, PipelineState state, const char *about)
{
    IngestRun *run = ctx;
    AUTO(buf_deinit) Buf line = { 0 };
    bool is_held = state == PIPELINE_WAITING || state == PIPELINE_PAUSED;

    if (is_held)
        buf_printf(&line, "%.*s is %s: %s", (int) pipeline_name(pipeline).len,
                   pipeline_name(pipeline).data, pipeline_state_name(state), about);
    else if (run->is_held && state == PIPELINE_RUNNING)
        buf_printf(&line, "%.*s goes on", (int) pipeline_name(pipeline).len,
                   pipeline_name(pipeline).data);
    run->is_held = is_held;
    if (line.len > 0)
        task_log(run->task, buf_str(&line));
}

/* The client for sinks. Where a job may write has been asked of the engine's rule, which names
 * addresses; the rule that keeps handlers from private ones does not know of it. */
SUSPENDS static int open_client(const IngestRun *run, sl_nursery *nursery, HttpClient **ret_client)
{
    HttpClientOpts opts = { .user_agent = "sluice", .policy = HTTP_POLICY_ALLOW_ALL };

    return run->task->is_foreground ? 0 : http_client_start(ret_client, nursery, &opts);
}

SUSPENDS static int run_pipeline(IngestRun *run, sl_nursery *nursery)
{
    int64_t dry_run = run->plan->config.dry_run;
    PipelineOpts opts = { .http = task_http(run->task),
                          .is_private_allowed = run->task->is_foreground ||
                                                run->task->is_private_allowed,
                          .is_local_allowed = run->task->is_foreground,
                          .rows_max = dry_run,
                          .show = dry_run > 0 ? show : NULL,
                          .show_ctx = run->task,
                          .on_state = on_state,
                          .on_state_ctx = run };
    HttpClient *client = NULL;
    int r = open_client(run, nursery, &client);

    if (client)
        opts.http = client;
    if (r == 0)
        r = pipeline_start(&run->pipeline, nursery, TAKE(run->plan), &opts);
    if (r == 0) {
        run->last_ns = sl_clock_ns();
        run->nursery = nursery;
        tell_news(run);
        run->task->watch = (TaskWatch){ .ctx = run, .write_state = write_state, .hurry = hurry };
        r = conclude(run, wait_or_drain(run));
    }
    http_client_stop(client);
    return r;
}

SUSPENDS static int run_in_nursery(void *arg)
{
    IngestRun *run = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "ingest", .keep_going = true);
    int r = run_pipeline(run, nursery);

    sl_nursery_close(nursery);
    return r;
}

/* The fiber that has the pipeline: cancelling does not reach it, a request to stop does. */
SUSPENDS static int run_shielded(void *arg)
{
    IngestRun *run = arg;

    run->r = sl_shielded(FOREVER_MS, run_in_nursery, run);
    if (run->r < 0)
        err_take(run->r, &run->err);
    sl_event_set(&run->ended);
    return 0;
}

SUSPENDS static int run_to_end(IngestRun *run)
{
    sl_nursery *nursery = sl_nursery_open(.name = "ingest");
    int r = sl_spawn(nursery, run_shielded, run, .name = "ingest");

    if (r == 0)
        r = sl_event_wait(&run->ended);
    run->is_asked = r < 0; /* what is in flight is written, and then it ends */
    sl_nursery_close(nursery);
    if (run->ended.is_set)
        return run->r < 0 ? err_put(&run->err) : 0;
    return r;
}

SUSPENDS static int ingest_run(Task *task, const void *args, JsonWriter *result)
{
    AUTO(buf_deinit) Buf dead_letters = { 0 };
    PipelineConfig config = *(const PipelineConfig *) args;
    IngestRun run = { .task = task, .result = result };
    int r = allow_sinks(task, &config);

    if (r == 0 && !task->is_foreground && task->ops->allow_out)
        r = place_dead_letters(task, &config, &dead_letters);
    if (r == 0)
        r = make_plan(&config, &run.plan);
    if (r == 0)
        r = check_parts(task, run.plan);
    if (r == 0)
        r = run_to_end(&run);
    plan_unref(run.plan);
    mem_free(run.told);
    return r;
}

static const SchemaField ingest_result = ITEM(
    JSON, .summary = "the balance: received = written + filtered + dead + dropped + in "
                     "flight, with what each source, step and sink did");

extern const Handler handler_ingest;
const Handler handler_ingest = {
    .type = "ingest",
    .summary = "Takes rows from sources, through a bounded channel and steps, into sinks.",
    .details =
        "A pipeline is a YAML file, or flags: --source, --step and --out name drivers with their "
        "settings. Sources wait while the channel is full, and are acknowledged when the sinks "
        "have committed; what is refused goes to the dead letters with its bytes and the reason. "
        "docs/guide/ingest.md tells it all.",
    .args = &pipeline_config_schema,
    .result = &ingest_result,
    .cost = HANDLER_WAITS,
    .timeout_ms = FOREVER_MS,
    .is_command = true,
    .rereads = true,
    .examples = "  $ sluice ingest --source 'sim:sensors=1000,count=1000000' --out "
                "'sqlite:readings.db?table=readings'\n"
                "  $ sluice ingest pipeline.yaml\n"
                "  $ sluice ingest --source readings.csv --step 'filter: value > 0' --out "
                "readings.jsonl\n",
    .run = ingest_run,
};
