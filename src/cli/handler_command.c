/*
 * Handlers as commands: `sluice run digest …`, and `sluice crawl …` for those that are commands of
 * their own.
 *
 * stdout gets the rows the handler shows, or else its result; everything else it has to say (its
 * log lines, the progress) goes to stderr. On a terminal rows are a table, in a pipe they are CSV,
 * with --json one JSON array.
 */
#include "base/macro.h"
#include "cli/command.h"

#include <stdio.h>

/* A string result is printed as it is, anything else as JSON. */
static int print_result(CommandContext *context, Str result)
{
    JsonDoc doc;
    Str text;
    int r;

    if (!result.len)
        result = str_from_c("null");
    r = json_parse(context->arena, result, &doc);
    if (r < 0)
        return wrap(r, "the handler's result is not JSON");
    if (!context->common->json && json_get_str(doc.root, &text))
        result = text;
    (void) fwrite(result.data, 1, result.len, stdout); /* it may have NUL in it */
    (void) putchar('\n');
    return 0;
}

static Str sink_of_rows(const CommandContext *context)
{
    return str_from_c(context->common->json  ? "json:-"
                      : context->is_terminal ? "table:-"
                                             : "csv:-");
}

void cli_place_rows(const CommandContext *context, HandlerRun *run)
{
    run->rows_to = sink_of_rows(context);
    run->columns = context->is_terminal ? context->columns : 0;
    run->has_colour = context->has_colour;
}

static const SchemaField run_fields[] = {
    FIELD_BOOL(CliRunFlags, quiet, "show no progress on a terminal"),
};
const Schema cli_run_flags = SCHEMA(CliRunFlags, run_fields, "Flags of a run.");

/* What the argument was read from, to read it again. */
typedef struct Rereading {
    const CommandContext *context;
    const Handler *handler;
    const char *const *words;
    size_t n;
} Rereading;

static int reread(void *ctx, Arena *arena, Str *ret_args)
{
    const Rereading *rereading = ctx;
    CommandContext context = *rereading->context;
    CliRunFlags flags;

    context.arena = arena;
    return cli_read_argument(&context, rereading->handler, &cli_run_flags, &flags, rereading->words,
                             rereading->n, ret_args);
}

int cli_prepare_run(CommandContext *context, const Handler *handler, const char *const *words,
                    size_t n, HandlerRun *ret_run)
{
    Rereading *rereading = arena_new(context->arena, Rereading);
    CliRunFlags flags = { 0 };
    Str args;
    int r = cli_read_argument(context, handler, &cli_run_flags, &flags, words, n, &args);

    if (r < 0)
        return r;
    *rereading = (Rereading){ .context = context, .handler = handler, .words = words, .n = n };
    *ret_run = (HandlerRun){ .handler = handler,
                             .args = args,
                             .is_quiet = flags.quiet,
                             .reread = reread,
                             .reread_ctx = rereading,
                             .file = cli_argument_file(words, n) };
    cli_place_rows(context, ret_run);
    return 0;
}

int cli_perform_run(CommandContext *context, HandlerRun *run)
{
    int r = context->host->run_handler(run);

    if (run->stopped_by)
        context->exit_code = 128 + run->stopped_by;
    if (r < 0)
        return r;
    /* A command of its own has said on stderr what there is to say. */
    if (!run->has_rows && (!run->handler->is_command || context->common->json))
        r = print_result(context, buf_str(run->result));
    if (run->is_partial)
        context->exit_code = err_exit_code(-ERR_PARTIAL);
    if (run->hurried_by)
        context->exit_code = 128 + run->hurried_by;
    return r;
}

int cli_run_handler(CommandContext *context, const Handler *handler, const char *const *words,
                    size_t n)
{
    AUTO(buf_deinit) Buf result = { 0 };
    HandlerRun run;
    int r = cli_prepare_run(context, handler, words, n, &run);

    run.result = &result;
    return r < 0 ? r : cli_perform_run(context, &run);
}

static int run_handler_command(CommandContext *context)
{
    return cli_run_handler(context, context->verb->handler, context->words, context->n_words);
}

const Command *cli_handler_command(Arena *arena, const Handler *handler)
{
    bool is_ingest = strcmp(handler->type, "ingest") == 0;
    bool is_image = strcmp(handler->type, "image") == 0 && handler->cost == HANDLER_BOX;
    size_t n = is_ingest ? n_ingest_verbs : is_image ? n_image_verbs : 0;
    Command *command = arena_new(arena, Command);
    CommandVerb *verb = arena_zalloc(arena, (n + 1) * sizeof(*verb));

    *verb = (CommandVerb){
        .usage = "[FILE.yaml] [FLAGS]",
        .summary = handler->summary,
        .details = handler->details,
        .examples = handler->examples,
        .flags = &cli_run_flags,
        .reads_words = true,
        .handler = handler,
        .run = is_ingest ? ingest_verb_run : run_handler_command,
    };
    if (is_image) {
        verb->usage = image_verbs[0].usage;
        verb->examples = image_verbs[0].examples;
        verb->flags = image_verbs[0].flags;
        verb->run = image_verbs[0].run;
        verb->handler = cli_image_handler(arena, handler);
    }
    for (size_t i = 0; i < n; i++) {
        verb[i + 1] = is_image ? image_verbs[i + 1] : ingest_verbs[i];
        verb[i + 1].handler = verb[i + 1].reads_words ? handler : NULL;
    }
    *command = (Command){
        .name = handler->type,
        .summary = handler->summary,
        .verbs = verb,
        .n_verbs = n + 1,
    };
    return command;
}
