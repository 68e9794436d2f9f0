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
    (void) printf("%.*s\n", (int) result.len, result.data);
    return 0;
}

static Str sink_of_rows(const CommandContext *context)
{
    return str_from_c(context->common->json  ? "json:-"
                      : context->is_terminal ? "table:-"
                                             : "csv:-");
}

int cli_run_handler(CommandContext *context, const Handler *handler, const char *const *words,
                    size_t n)
{
    AUTO(buf_deinit) Buf result = { 0 };
    HandlerRun run = { .handler = handler, .result = &result };
    int r;

    r = cli_read_argument(context, handler, NULL, NULL, words, n, &run.args);
    if (r < 0)
        return r;
    run.rows_to = sink_of_rows(context);
    run.columns = context->is_terminal ? context->columns : 0;
    run.has_colour = context->has_colour;
    r = context->host->run_handler(&run);
    if (r < 0)
        return r;
    /* A command of its own has said on stderr what there is to say. */
    if (!run.has_rows && (!handler->is_command || context->common->json))
        r = print_result(context, buf_str(&result));
    if (run.is_partial)
        context->exit_code = err_exit_code(-ERR_PARTIAL);
    return r;
}

static int run_handler_command(CommandContext *context)
{
    return cli_run_handler(context, context->verb->handler, context->words, context->n_words);
}

const Command *cli_handler_command(Arena *arena, const Handler *handler)
{
    Command *command = arena_new(arena, Command);
    CommandVerb *verb = arena_new(arena, CommandVerb);

    *verb = (CommandVerb){
        .usage = "[FILE.yaml] [FLAGS]",
        .summary = handler->summary,
        .details = handler->details,
        .examples = handler->examples,
        .reads_words = true,
        .handler = handler,
        .run = run_handler_command,
    };
    *command = (Command){
        .name = handler->type,
        .summary = handler->summary,
        .verbs = verb,
        .n_verbs = 1,
    };
    return command;
}
