/*
 * A run in the foreground; see the header.
 *
 * Three fibers: the handler, one that waits for signals, one that draws the progress. The sink of
 * the rows is opened with the first batch, because only that names the columns, and again after an
 * answer that was complete (a handler that watches something gives one answer after the other).
 */
#include "app/foreground.h"

#include "app/shared_dir.h"
#include "base/err.h"
#include "base/log.h"
#include "base/macro.h"
#include "codec/width.h"
#include "net/http_client.h"
#include "rows/sink.h"
#include "worker/runner.h"

#include <sluice/rt.h>
#include <sluice/version.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROGRESS_MS      100
#define PROGRESS_COLUMNS 100
#define NO_TIMEOUT_MS    (INT64_C(3650) * 86400000) /* a person decides when it has been enough */
#define STACK_BYTES      (256 << 10)

typedef struct Foreground {
    HandlerRun *run;
    sl_scope scope; /* around the run; ^C cancels it */
    Run attempt;
    Arena arena; /* of the sink's text, and the folder's path */
    const char *shared_dir;
    Sink *sink;         /* of the rows; NULL before the first, and between two answers */
    RowColumn *columns; /* that it was opened with; a copy in the arena */
    size_t n_columns;
    bool is_ended; /* the answer in it is complete, and another one may follow */
    bool is_interrupted;
    bool has_progress;      /* stderr is a terminal */
    bool is_progress_shown; /* a line of progress stands where the next line belongs */
    int r;                  /* of the run */
    Err err;
} Foreground;

/* ---- stderr ---------------------------------------------------------------------------------- */

static void clear_progress(Foreground *foreground)
{
    if (foreground->is_progress_shown)
        (void) fputs("\r\033[K", stderr);
    foreground->is_progress_shown = false;
}

/* What a handler says may quote what came from outside. */
static void on_log(void *ctx, Str line)
{
    AUTO(buf_deinit) Buf clean = { 0 };

    width_add_clean(&clean, line);
    clear_progress(ctx);
    (void) fprintf(stderr, "%.*s\n", (int) clean.len, clean.data);
}

static void draw_progress(Foreground *foreground)
{
    AUTO(buf_deinit) Buf clean = { 0 };
    RunProgress progress;
    Str message;

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

SUSPENDS static int watch_interrupt(void *arg)
{
    Foreground *foreground = arg;
    int which, r;

    r = sl_signal_wait(1ULL << SIGINT | 1ULL << SIGTERM, &which);
    if (r < 0)
        return r;
    foreground->is_interrupted = true;
    if (isatty(STDERR_FILENO) == 1)
        on_log(foreground, str_from_c("stopping; ^C again stops at once"));
    sl_scope_cancel(&foreground->scope);
    r = sl_signal_wait(1ULL << SIGINT | 1ULL << SIGTERM, &which);
    if (r < 0)
        return r;
    clear_progress(foreground);
    _exit(128 + which);
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
                       .is_foreground = true,
                       .is_private_allowed = true,
                       .shared_dir = foreground->shared_dir };
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
    r = run_attempt(foreground);
    if (sl_scope_end(&foreground->scope, r) == 0 && r < 0)
        r = fail(-EINTR, "interrupted");
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
    HttpClient *http = NULL;
    int r;

    r = http_client_global_init();
    if (r == 0)
        r = http_client_start(&http, nursery, &opts);
    if (r < 0)
        return r;
    r = run_beside_watchers(arg, http);
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
    foreground.has_progress = isatty(STDERR_FILENO) == 1 && term && strcmp(term, "dumb") != 0;
    r = sl_run(foreground_main, &foreground, .stall_ms = -1);
    if (r == 0 && foreground.r < 0)
        r = err_put(&foreground.err);
    if (r == 0)
        buf_add_str(run->result, buf_str(&foreground.attempt.result));
    runner_deinit(&foreground.attempt);
    arena_deinit(&foreground.arena);
    return r;
}
