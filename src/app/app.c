/*
 * What the commands may ask of the program: run an engine, run a handler, say what is built in.
 */
#define SL_MAY_BLOCK
#include "app/app.h"

#include "app/boxes.h"
#include "app/config.h"
#include "app/engine.h"
#include "app/foreground.h"
#include "app/image_command.h"
#include "app/ingest_command.h"
#include "app/store_command.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/command.h"
#include "demo/demo.h"
#include "gen/features.h"
#include "gen/handlers.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- an engine ------------------------------------------------------------------------------- */

static int run_engine(const void *flags, Str given, EngineFace face)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    EngineConfig config;
    int r;

    r = config_settle(&arena, flags, given, &config);
    return r < 0 ? r : engine_run(&config, face);
}

static int read_handlers(Arena *arena, const char *file, const Handler *const **ret_handlers,
                         size_t *ret_n)
{
    ProgramTable table;
    int r = config_read_programs(arena, file, &table);

    if (r < 0)
        return r;
    *ret_handlers = table.handlers;
    *ret_n = table.n_handlers;
    return 0;
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

/* One of the three that is closed would be the number of the next file that is opened, into which
 * what is printed would go. What stands there now refuses it. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            (void) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* else as it was */
    }
}

int app_main(int argc, char **argv)
{
    CommandHost host = {
        .handlers = handlers_table,
        .n_handlers = handlers_count,
        .read_handlers = read_handlers,
        .engine_flags = &engine_config_schema,
        .run_engine = run_engine,
        .demo_flags = &demo_options_schema,
        .run_demo = demo_run,
        .run_handler = foreground_run,
        .run_store = store_command_run,
        .run_ingest = ingest_command_run,
        .run_images = image_command_run,
        .list_features = list_features,
    };

    int code = boxes_spawner(argc, argv);

    if (code >= 0)
        return code;
    fill_standard_descriptors();
    log_setup(LOG_WARN, LOG_FORMAT_AUTO, STDERR_FILENO);
    return cli_main(argc, argv, &host);
}
