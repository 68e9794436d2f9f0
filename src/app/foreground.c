/*
 * A run in the foreground; see the header.
 *
 * Three fibers: the handler, one that waits for signals, one that draws the progress: a line, or
 * for a handler that lets itself be watched (a pipeline) all that goes on in it. The sink of
 * the rows is opened with the first batch, because only that names the columns, and again after an
 * answer that was complete (a handler that watches something gives one answer after the other).
 */
#include "app/foreground.h"

#include "app/hangup.h"
#include "app/plan_mistake.h"
#include "app/shared_dir.h"
#include "base/err.h"
#include "base/log.h"
#include "base/macro.h"
#include "cli/term/pipeline_view.h"
#include "cli/term/screen.h"
#include "codec/json.h"
#include "codec/width.h"
#include "handlers/exec/program.h"
#include "net/http_client.h"
#include "pipeline/config.h"
#include "rows/sink.h"
#include "worker/box.h"
#include "worker/runner.h"

#include <sluice/rt.h>
#include <sluice/version.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PROGRESS_MS      100
#define PROGRESS_COLUMNS 100
#define VIEW_EVERY       5  /* of those: a point of the sparklines */
#define VIEW_COLUMNS     80 /* of a terminal that does not say */
#define VIEW_ROWS        24
#define NO_TIMEOUT_MS    (INT64_C(3650) * 86400000) /* a person decides when it has been enough */
#define STACK_BYTES      (256 << 10)

typedef struct Foreground {
    HandlerRun *run;
    sl_scope scope; /* around the run; ^C cancels it */
    bool has_scope; /* it is there: a signal may come before the run, or behind it */
    BoxPool *boxes; /* NULL: it needs none */
    Run attempt;
    Arena arena; /* of the sink's text, and the folder's path */
    const char *shared_dir;
    Sink *sink;         /* of the rows; NULL before the first, and between two answers */
    RowColumn *columns; /* that it was opened with; a copy in the arena */
    size_t n_columns;
    bool is_ended;          /* the answer in it is complete, and another one may follow */
    int stopped_by;         /* the signal that asked the run to end; 0: none */
    bool is_reread_asked;   /* by SIGHUP */
    PipelineView *view;     /* owned; NULL before it is drawn */
    Screen screen;          /* with the view on it */
    int ticks;              /* of the progress */
    int hurried_by;         /* the second signal, when the run was asked to hurry; 0: none */
    bool has_progress;      /* stderr is a terminal */
    bool is_progress_shown; /* a line of progress stands where the next line belongs */
    int r;                  /* of the run */
    Err err;
} Foreground;

/* ---- stderr ---------------------------------------------------------------------------------- */

static struct winsize terminal_size(void)
{
    struct winsize size = { 0 };

    (void) ioctl(STDERR_FILENO, TIOCGWINSZ, &size); /* it stays 0 */
    size.ws_col = size.ws_col ? size.ws_col : VIEW_COLUMNS;
    size.ws_row = size.ws_row ? size.ws_row : VIEW_ROWS;
    return size;
}

static void show(const Buf *bytes)
{
    if (!bytes->is_failed)
        (void) fwrite(bytes->data, 1, bytes->len, stderr);
    (void) fflush(stderr);
}

static void clear_progress(Foreground *foreground)
{
    AUTO(buf_deinit) Buf out = { 0 };

    screen_clear(&foreground->screen, terminal_size().ws_col, &out);
    if (foreground->is_progress_shown)
        buf_add_c(&out, "\r\033[K");
    foreground->is_progress_shown = false;
    if (out.len > 0)
        show(&out);
}

/* What a handler says may quote what came from outside. */
static void on_log(void *ctx, Str line)
{
    AUTO(buf_deinit) Buf clean = { 0 };

    width_add_clean(&clean, line);
    clear_progress(ctx);
    (void) fprintf(stderr, "%.*s\n", (int) clean.len, clean.data);
}

static int draw_state(Foreground *foreground, const TaskWatch *watch)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf json = { 0 }, frame = { 0 }, out = { 0 };
    JsonWriter writer = JSON_WRITER(&json);
    struct winsize size = terminal_size();
    const char *no_colour = getenv("NO_COLOR");
    PipelineViewStyle style = { .columns = size.ws_col,
                                .rows = size.ws_row,
                                .has_colour = !no_colour || !*no_colour };
    JsonDoc doc;
    int r;

    watch->write_state(watch->ctx, &writer);
    r = json_parse(&arena, buf_str(&json), &doc);
    if (r < 0)
        return r;
    if (!foreground->view)
        foreground->view = pipeline_view_new();
    pipeline_view_take(foreground->view, doc.root, sl_clock_ns());
    pipeline_view_draw(foreground->view, &style, &frame);
    screen_draw(&foreground->screen, buf_str(&frame), size.ws_col, &out);
    show(&out);
    return 0;
}

static void draw_progress(Foreground *foreground)
{
    AUTO(buf_deinit) Buf clean = { 0 };
    const TaskWatch *watch = runner_watch(&foreground->attempt);
    RunProgress progress;
    Str message;

    if (watch->write_state) {
        if (foreground->ticks++ % VIEW_EVERY == 0)
            (void) draw_state(foreground, watch); /* a person misses a picture */
        return;
    }
    if (!runner_progress(&foreground->attempt, &progress))
        return;
    width_add_clean(&clean, str_from_c(progress.message));
    message = width_cut(buf_str(&clean), PROGRESS_COLUMNS);
    (void) fprintf(stderr, "\r\033[K%3.0f%%  %.*s", progress.fraction * 100, (int) message.len,
                   message.data);
    (void) fflush(stderr);
    foreground->is_progress_shown = true;
}

SUSPENDS static int show_progress(void *arg)
{
    Foreground *foreground = arg;
    int r;

    while ((r = sl_sleep_ms(PROGRESS_MS)) == 0)
        draw_progress(foreground);
    return r;
}

static void say(Foreground *foreground, const char *words)
{
    if (isatty(STDERR_FILENO) != 1)
        return;
    if (foreground->has_progress)
        foreground->is_progress_shown = true; /* the terminal has echoed "^C" there */
    on_log(foreground, str_from_c(words));
}

/* Whether the run can be asked to hurry; it is then. */
static bool hurry(Foreground *foreground)
{
    const TaskWatch *watch = runner_watch(&foreground->attempt);

    if (watch->hurry)
        watch->hurry(watch->ctx);
    return watch->hurry != NULL;
}

static void stop_run(Foreground *foreground)
{
    if (foreground->has_scope)
        sl_scope_cancel(&foreground->scope);
}

SUSPENDS static int watch_interrupt(void *arg)
{
    Foreground *foreground = arg;
    bool can_hurry;
    int which, r;

    r = sl_signal_wait(1ULL << SIGINT | 1ULL << SIGTERM, &which);
    if (r < 0)
        return r;
    foreground->stopped_by = which;
    can_hurry = runner_watch(&foreground->attempt)->hurry != NULL;
    say(foreground, can_hurry ? "stopping: what is in flight is written; ^C again to hurry"
                              : "stopping; ^C again stops at once");
    stop_run(foreground);
    r = sl_signal_wait(1ULL << SIGINT | 1ULL << SIGTERM, &which);
    if (r == 0 && hurry(foreground)) {
        foreground->hurried_by = which;
        say(foreground, "hurrying: what is in flight is given back; ^C again stops at once");
        r = sl_signal_wait(1ULL << SIGINT | 1ULL << SIGTERM, &which);
    }
    if (r < 0)
        return r;
    clear_progress(foreground);
    _exit(128 + which);
}

/* ---- the argument once more ------------------------------------------------------------------ */

typedef struct Rereading {
    const HandlerRun *run;
    Arena *arena;
    Str args;
} Rereading;

static int reread(void *arg)
{
    Rereading *rereading = arg;
    const HandlerRun *run = rereading->run;
    int r = run->reread(run->reread_ctx, rereading->arena, &rereading->args);

    if (r == 0 && run->handler->args == &pipeline_config_schema) /* a mistake has its line */
        r = plan_mistake_find(rereading->arena, run->file, rereading->args);
    return r;
}

SUSPENDS static int on_reread(void *ctx, Arena *arena, Str *ret_args)
{
    AUTO(arena_deinit) Arena scratch = { 0 }; /* of the pool's thread */
    Foreground *foreground = ctx;
    Rereading rereading = { .run = foreground->run, .arena = &scratch };
    int r;

    if (!foreground->is_reread_asked)
        return TASK_SAME;
    foreground->is_reread_asked = false;
    r = sl_offload(reread, &rereading, .name = "read the argument");
    if (r == 0)
        *ret_args = arena_copy(arena, rereading.args);
    return r;
}

/* SIGHUP asks to read the argument again, unless it is the terminal that goes away. */
SUSPENDS static int watch_hangup(void *arg)
{
    Foreground *foreground = arg;
    bool had_terminal = hangup_has_terminal();
    int which, r;

    for (;;) {
        r = sl_signal_wait(1ULL << SIGHUP, &which);
        if (r < 0)
            return r;
        if (hangup_is_real(had_terminal))
            break;
        foreground->is_reread_asked = true;
    }
    foreground->stopped_by = which;
    stop_run(foreground);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The sink may outlive the answer, and with it what the columns of the handler are in. */
static void copy_columns(Foreground *foreground, const RowBatch *rows)
{
    const RowColumn *columns = row_batch_columns(rows);
    size_t n = row_batch_width(rows);

    foreground->columns = arena_zalloc(&foreground->arena, n * sizeof(RowColumn));
    foreground->n_columns = n;
    for (size_t i = 0; i < n; i++) {
        foreground->columns[i] = columns[i];
        foreground->columns[i].name = arena_copy(&foreground->arena, columns[i].name);
        foreground->columns[i].unit = arena_copy(&foreground->arena, columns[i].unit);
    }
}

static bool has_same_columns(const Foreground *foreground, const RowBatch *rows)
{
    const RowColumn *columns = row_batch_columns(rows);

    if (row_batch_width(rows) != foreground->n_columns)
        return false;
    for (size_t i = 0; i < foreground->n_columns; i++)
        if (!str_eq(columns[i].name, foreground->columns[i].name) ||
            columns[i].kind != foreground->columns[i].kind)
            return false;
    return true;
}

SUSPENDS static int open_sink(Foreground *foreground, const RowBatch *rows)
{
    const HandlerRun *run = foreground->run;
    SinkOpts opts = { .columns_wide = run->columns, .has_colour = run->has_colour };
    SinkSpec spec;
    int r;

    copy_columns(foreground, rows);
    opts.columns = foreground->columns;
    opts.n_columns = foreground->n_columns;
    r = sink_spec_parse(&foreground->arena, run->rows_to, &spec);
    return r < 0 ? r : sink_open(&foreground->sink, &spec, &opts, NULL);
}

SUSPENDS static int end_answer(Foreground *foreground)
{
    int r = foreground->sink ? sink_commit(foreground->sink) : 0;

    sink_close(TAKE(foreground->sink));
    foreground->is_ended = false;
    return r;
}

/* In a pipe the answers of one table are one text, with one head; a terminal shows each at once. */
SUSPENDS static int on_rows(void *ctx, const RowBatch *rows)
{
    Foreground *foreground = ctx;
    int r = 0;

    clear_progress(foreground);
    if (!rows && foreground->run->columns == 0) {
        foreground->is_ended = foreground->sink != NULL;
        return 0;
    }
    if (!rows || (foreground->is_ended && !has_same_columns(foreground, rows)))
        r = end_answer(foreground);
    if (!rows || r < 0)
        return r;
    if (!foreground->sink)
        r = open_sink(foreground, rows);
    foreground->is_ended = false;
    foreground->run->has_rows = true;
    return r < 0 ? r : sink_write(foreground->sink, rows);
}

/* ---- the run --------------------------------------------------------------------------------- */

SUSPENDS static int run_attempt(Foreground *foreground)
{
    HandlerRun *run = foreground->run;
    RunDoors doors = { .ctx = foreground,
                       .emit = on_rows,
                       .reread = run->reread ? on_reread : NULL,
                       .is_foreground = true,
                       .is_private_allowed = true,
                       .shared_dir = foreground->shared_dir,
                       .boxes = foreground->boxes };
    Run *attempt = &foreground->attempt;
    int r;

    if (run->handler->is_command)
        doors.log = on_log;
    attempt->handler = run->handler;
    attempt->args = run->args;
    attempt->is_direct = true;
    attempt->attempt = 1;
    attempt->doors = &doors;
    attempt->timeout_ms = NO_TIMEOUT_MS;
    r = runner_run(attempt);
    run->is_partial = attempt->is_partial;
    return r;
}

/* The fiber of the handler, with the stack that a handler may use. */
SUSPENDS static int run_fiber(void *arg)
{
    Foreground *foreground = arg;
    int r;

    sl_scope_begin(&foreground->scope);
    foreground->has_scope = true;
    if (foreground->stopped_by) /* before there was a scope */
        stop_run(foreground);
    r = run_attempt(foreground);
    foreground->has_scope = false;
    if (sl_scope_end(&foreground->scope, r) == 0 && r < 0) {
        foreground->run->stopped_by = foreground->stopped_by;
        r = fail(-EINTR, "interrupted");
    }
    foreground->r = r;
    if (r < 0)
        err_take(r, &foreground->err);
    if (r == 0 || foreground->is_ended)
        r = end_answer(foreground); /* also of a handler that was not asked for an end */
    if (foreground->r == 0 && r < 0) {
        foreground->r = r;
        err_take(r, &foreground->err);
    }
    sink_close(TAKE(foreground->sink));
    return 0;
}

SUSPENDS static int run_beside_watchers(Foreground *foreground, HttpClient *http)
{
    AUTO(sl_nursery_close) sl_nursery *watchers = sl_nursery_open(.name = "watchers");
    sl_nursery *nursery = sl_nursery_open(.name = "run");
    int r;

    foreground->attempt.http = http;
    r = sl_spawn(watchers, watch_interrupt, foreground, .name = "signals");
    if (r == 0 && foreground->run->reread && foreground->run->handler->rereads &&
        !hangup_is_ignored())
        r = sl_spawn(watchers, watch_hangup, foreground, .name = "hangup");
    if (r == 0 && foreground->has_progress)
        r = sl_spawn(watchers, show_progress, foreground, .name = "progress");
    if (r == 0)
        r = sl_spawn(nursery, run_fiber, foreground, .name = foreground->run->handler->type,
                     .stack_bytes = STACK_BYTES);
    if (r == 0)
        r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    clear_progress(foreground);
    return r;
}

SUSPENDS static int foreground_main(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "client");
    HttpClientOpts opts = { .policy = HTTP_POLICY_ALLOW_ALL,
                            .user_agent = "sluice/" SLUICE_VERSION };
    const BoxPoolOpts boxes = { .boxes_max = 0 };
    Foreground *foreground = arg;
    ProgramTable programs = { .declared = &foreground->run->handler,
                              .n_declared = foreground->run->handler->declared != NULL };
    sl_nursery *nursery_of_programs;
    HttpClient *http = NULL;
    int r;

    r = http_client_global_init();
    if (r == 0)
        r = http_client_start(&http, nursery, &opts);
    if (r < 0)
        return r;
    nursery_of_programs = programs_start(&programs);
    if (foreground->run->handler->cost == HANDLER_BOX)
        r = box_pool_start(&foreground->boxes, nursery, &boxes);
    if (r == 0)
        r = run_beside_watchers(arg, http);
    box_pool_stop(foreground->boxes);
    programs_stop(&programs, nursery_of_programs);
    http_client_stop(http);
    return r;
}

int foreground_run(HandlerRun *run)
{
    Foreground foreground = { .run = run };
    const char *term = getenv("TERM");
    int r;

    log_setup(LOG_INFO, LOG_FORMAT_AUTO, STDERR_FILENO);
    foreground.shared_dir = shared_dir_make(&foreground.arena);
    foreground.has_progress = !run->is_quiet && isatty(STDERR_FILENO) == 1 && term &&
                              strcmp(term, "dumb") != 0;
    r = sl_run(foreground_main, &foreground, .stall_ms = -1);
    if (r == 0 && foreground.r < 0)
        r = err_put(&foreground.err);
    buf_add_str(run->result, buf_str(&foreground.attempt.result));
    run->hurried_by = foreground.hurried_by;
    pipeline_view_free(foreground.view);
    runner_deinit(&foreground.attempt);
    arena_deinit(&foreground.arena);
    return r;
}
