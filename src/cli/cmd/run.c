/*
 * run: a handler at once, in the foreground, without an engine.
 */
#include "base/macro.h"
#include "cli/command.h"
#include "codec/suggest.h"

static int find_handler(const CommandHost *host, Str type, const Handler **ret_handler)
{
    Suggest suggest = { .word = type };

    for (size_t i = 0; i < host->n_handlers; i++) {
        *ret_handler = host->handlers[i];
        if (str_eq_c(type, host->handlers[i]->type))
            return 0;
        suggest_consider(&suggest, str_from_c(host->handlers[i]->type));
    }
    if (suggest.best.len)
        return fail(-ERR_USAGE, "there is no type \"%.*s\"; did you mean \"%.*s\"?", (int) type.len,
                    type.data, (int) suggest.best.len, suggest.best.data);
    return fail(-ERR_USAGE, "there is no type \"%.*s\"; `sluice help run` lists them",
                (int) type.len, type.data);
}

static int run_run(CommandContext *context)
{
    const Handler *handler = NULL;
    int r;

    if (!context->n_words || context->words[0][0] == '-')
        return fail(-ERR_USAGE, "run needs a type first, for example `sluice run digest --data x`");
    r = find_handler(context->host, str_from_c(context->words[0]), &handler);
    if (r < 0)
        return r;
    return cli_run_handler(context, handler, context->words + 1, context->n_words - 1);
}

static const CommandVerb run_verbs[] = {
    { .usage = "TYPE [JSON | FILE.yaml] [FLAGS]",
      .summary = "Runs a handler in the foreground, without an engine, and prints its result.",
      .details = "The argument is JSON, or a YAML file, or flags made from the type's schema; "
                 "`sluice run TYPE --help` lists them. ^C stops it.",
      .examples = "  $ sluice run digest --data hello --rounds 1\n"
                  "  $ sluice run digest '{\"data\": \"hello\", \"rounds\": 1}'\n",
      .reads_words = true,
      .run = run_run },
};

extern const Command cmd_run;
const Command cmd_run = {
    .name = "run",
    .summary = "Run a handler in the foreground.",
    COMMAND_VERBS(run_verbs),
};
