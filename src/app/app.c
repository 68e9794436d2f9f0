/*
 * What the commands may ask of the program: run an engine, run a handler, say what is built in.
 */
#include "app/app.h"

#include "app/config.h"
#include "app/engine.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/command.h"
#include "demo/demo.h"
#include "gen/features.h"
#include "gen/handlers.h"
#include "net/http_client.h"
#include "worker/runner.h"

#include <sluice/rt.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* ---- an engine ------------------------------------------------------------------------------- */

static int run_engine(const void *flags, Str given, bool has_workers)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;
    int r;

    r = config_settle(&arena, flags, given, &config);
    if (r < 0)
        return r;
    if (!has_workers)
        config.workers = 0;
    return engine_run(&config);
}

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct Foreground {
    const Handler *handler;
    Str args;
    Buf *result;
    sl_scope scope; /* around the run; ^C cancels it */
} Foreground;

SUSPENDS static int watch_interrupt(void *arg)
{
    Foreground *foreground = arg;
    int which, r;

    r = sl_signal_wait(1ULL << SIGINT | 1ULL << SIGTERM, &which);
    if (r == 0)
        sl_scope_cancel(&foreground->scope);
    return r;
}

SUSPENDS static int run_with_client(Foreground *foreground, HttpClient *http)
{
    AUTO(runner_deinit) Run run = { 0 };
    int r;

    run.handler = foreground->handler;
    run.args = foreground->args;
    run.is_direct = true;
    run.attempt = 1;
    run.http = http;
    sl_scope_begin(&foreground->scope);
    r = runner_run(&run);
    if (sl_scope_end(&foreground->scope, r) == 0 && r < 0)
        return fail(-EINTR, "interrupted");
    if (r == 0)
        buf_add_str(foreground->result, buf_str(&run.result));
    return r;
}

SUSPENDS static int foreground_main(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "run");
    HttpClientOpts opts = { .policy = HTTP_POLICY_ALLOW_ALL };
    HttpClient *http = NULL;
    int r;

    r = http_client_global_init();
    if (r == 0)
        r = http_client_start(&http, nursery, &opts);
    if (r < 0)
        return r;
    (void) sl_spawn(nursery, watch_interrupt, arg, .name = "signals");
    r = run_with_client(arg, http);
    http_client_stop(http);
    return r;
}

static int run_handler(const Handler *handler, Str args, Buf *result)
{
    Foreground foreground = { .handler = handler, .args = args, .result = result };

    log_setup(LOG_INFO, LOG_FORMAT_AUTO, STDERR_FILENO);
    return sl_run(foreground_main, &foreground, .stall_ms = -1);
}

/* ---- what is built in ------------------------------------------------------------------------ */

static void list_words(const char *words, bool is_in,
                       void (*tell)(void *ctx, const char *name, bool is_in), void *ctx)
{
    Str rest = str_from_c(words), word;

    while (rest.len) {
        char name[32];

        word = str_cut(rest, ' ', &rest);
        (void) snprintf(name, sizeof(name), "%.*s", (int) word.len, word.data);
        if (word.len)
            tell(ctx, name, is_in);
    }
}

static void list_features(void (*tell)(void *ctx, const char *name, bool is_in), void *ctx)
{
    list_words(SL_FEATURES, true, tell, ctx);
    list_words(SL_FEATURES_MISSING, false, tell, ctx);
}

int app_main(int argc, char **argv)
{
    CommandHost host = {
        .handlers = handlers_table,
        .n_handlers = handlers_count,
        .engine_flags = &engine_config_schema,
        .run_engine = run_engine,
        .demo_flags = &demo_options_schema,
        .run_demo = demo_run,
        .run_handler = run_handler,
        .list_features = list_features,
    };

    log_setup(LOG_WARN, LOG_FORMAT_AUTO, STDERR_FILENO);
    return cli_main(argc, argv, &host);
}
