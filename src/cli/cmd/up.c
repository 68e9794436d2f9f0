/*
 * up: the whole engine in one process: store, queue, workers and the HTTP API.
 */
#include "cli/command.h"

static int run_up(CommandContext *context)
{
    return context->host->run_engine(context->flags, context->given, ENGINE_ALL);
}

static const CommandVerb up_verbs[] = {
    { .usage = "[FLAGS]",
      .summary = "Starts the engine: takes jobs over HTTP and runs them, until SIGTERM or ^C.",
      .details =
          "The first signal stops it politely: it takes no further jobs, hands back those "
          "that have not begun, waits for those that run and exits 0. A second one hurries "
          "the running jobs; they go back to the queue. With a store elsewhere (redis://…) any "
          "number of processes may run, on any machine. Every flag may stand in the file of "
          "--config as well; the command line wins.",
      .examples = "  $ sluice up\n"
                  "  $ sluice up --listen 0.0.0.0:7584 --store lmdb:/var/lib/sluice --workers 128\n"
                  "  $ REDIS_PASSWORD=… sluice up --store 'redis://:${REDIS_PASSWORD}@db1/'\n"
                  "  $ sluice up --config sluice.yaml\n",
      .run = run_up },
};

extern const Command cmd_up;
const Command cmd_up = {
    .name = "up",
    .summary = "Start the engine: API, store and workers in one.",
    .has_engine_flags = true,
    COMMAND_VERBS(up_verbs),
};
