/*
 * run: a handler at once, in the foreground, without an engine.
 */
#include "base/macro.h"
#include "cli/command.h"
#include "codec/suggest.h"

static int find_handler(const Handler *const *handlers, size_t n, Str type,
                        const Handler **ret_handler)
{
    Suggest suggest = { .word = type };

    for (size_t i = 0; i < n; i++) {
        *ret_handler = handlers[i];
        if (str_eq_c(type, handlers[i]->type))
            return 0;
        suggest_consider(&suggest, str_from_c(handlers[i]->type));
    }
    if (suggest.best.len)
        return fail(-ERR_USAGE, "there is no type \"%.*s\"; did you mean \"%.*s\"?", (int) type.len,
                    type.data, (int) suggest.best.len, suggest.best.data);
    return fail(-ERR_USAGE, "there is no type \"%.*s\"; `sluice help run` lists them",
                (int) type.len, type.data);
}

static int run_run(CommandContext *context)
{
    const Handler *const *handlers = context->host->handlers;
    const char *const *words = context->words;
    size_t n_handlers = context->host->n_handlers, n = context->n_words;
    const Handler *handler = NULL;
    int r = 0;

    if (n >= 2 && strcmp(words[0], "--config") == 0) {
        r = context->host->read_handlers(context->arena, words[1], &handlers, &n_handlers);
        words += 2;
        n -= 2;
    }
    if (r == 0 && (n == 0 || words[0][0] == '-'))
        r = fail(-ERR_USAGE, "run needs a type first, for example `sluice run digest --data x`");
    if (r == 0)
        r = find_handler(handlers, n_handlers, str_from_c(words[0]), &handler);
    return r < 0 ? r : cli_run_handler(context, handler, words + 1, n - 1);
}

static const CommandVerb run_verbs[] = {
    { .usage = "[--config FILE] TYPE [JSON | FILE.yaml] [FLAGS]",
      .summary = "Runs a handler in the foreground, without an engine, and prints its result.",
      .details =
          "The argument is JSON, or a YAML file, or flags made from the type's schema; "
          "`sluice run TYPE --help` lists them. With --config, before the type, the programs that "
          "FILE declares are types too. ^C stops it.",
      .examples = "  $ sluice run digest --data hello --rounds 1\n"
                  "  $ sluice run digest '{\"data\": \"hello\", \"rounds\": 1}'\n"
                  "  $ sluice run --config sluice.yaml thumbs.make --width 320\n",
      .flags = &cli_run_flags,
      .reads_words = true,
      .run = run_run },
};

extern const Command cmd_run;
const Command cmd_run = {
    .name = "run",
    .summary = "Run a handler in the foreground.",
    COMMAND_VERBS(run_verbs),
};
