/*
 * work: workers without an API, for a store that many processes share.
 */
#include "cli/command.h"

static int run_work(CommandContext *context)
{
    return context->host->run_engine(context->flags, context->given, ENGINE_WORKERS);
}

static const CommandVerb work_verbs[] = {
    { .usage = "--store STORE [FLAGS]",
      .summary = "Starts workers without an API: they run jobs of a store elsewhere.",
      .details = "Any number of these processes may work on one store, on any machine; `sluice "
                 "worker list` shows them. It stops as `sluice up` does. With --listen it answers "
                 "/healthz, /readyz and /metrics, and nothing else.\n\n"
                 "--queue names the queues in order of preference: the next is looked at when the "
                 "one before has no job. --queues a,b:2 gives them weights instead: b is asked "
                 "first twice as often as a, and all are served.",
      .examples = "  $ sluice work --store redis://db1/ --queues mail,images:2 --concurrency 32\n"
                  "  $ sluice work --store-file /etc/sluice/store --listen 127.0.0.1:7585\n",
      .run = run_work },
};

extern const Command cmd_work;
const Command cmd_work = {
    .name = "work",
    .summary = "Start workers for a store that is elsewhere.",
    .has_engine_flags = true,
    COMMAND_VERBS(work_verbs),
};
