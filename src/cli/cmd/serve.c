/*
 * serve: the HTTP API and the store without workers; jobs are run by workers that fetch them.
 */
#include "cli/command.h"

static int run_serve(CommandContext *context)
{
    return context->host->run_engine(context->flags, context->given, ENGINE_API);
}

static const CommandVerb serve_verbs[] = {
    { .usage = "[FLAGS]",
      .summary = "Starts the engine without workers: jobs wait for workers that fetch them.",
      .details = "As `sluice up --workers 0`. Direct runs (POST /v1/run/TYPE) are still answered. "
                 "With a store elsewhere any number of them may serve it.",
      .examples = "  $ sluice serve --listen 127.0.0.1:7584 --store lmdb:/var/lib/sluice\n"
                  "  $ sluice serve --listen 0.0.0.0:7584 --store-file /etc/sluice/store\n",
      .run = run_serve },
};

extern const Command cmd_serve;
const Command cmd_serve = {
    .name = "serve",
    .summary = "Start the API and the store without workers.",
    .has_engine_flags = true,
    COMMAND_VERBS(serve_verbs),
};
