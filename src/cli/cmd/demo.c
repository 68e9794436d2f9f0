/*
 * demo: the playground, a web to try fetch and crawl on.
 */
#include "cli/command.h"

static int run_demo(CommandContext *context)
{
    return context->host->run_demo(context->flags);
}

static const CommandVerb demo_verbs[] = {
    { .usage = "[FLAGS]",
      .summary = "Serves a playground: a shop, three JSON APIs and many bad pages, until ^C.",
      .details =
          "Everything is decided by the seed, so that a crawl of the shop must always give the "
          "same rows; --expected prints them, and /expected.json has them. /bad/ lists the bad "
          "pages and what must come of each. /stats.json tells for each Host header how many "
          "requests came, the most at once and the least time between two.\n\n"
          "--robots chooses how robots.txt is served: ok, 404, 403, 429, 503, redirect, redirect5 "
          "(five hops), loop, big400k and big500k (the rules behind that much), bom-crlf, longest "
          "(the longest match decides), crawl-delay, html (a web page), gzip, hang.\n\n"
          "--api-fault makes an API (weather, headlines, rates) fail, as the parameter ?fault= "
          "does for one request: slow, hang, fail, down, flaky, rate-limit, rate-date, quota, "
          "nonsense, html, truncated, garbage, nan, empty, no-content, bom, nulls, missing, deep, "
          "not-found.\n\n"
          "It is a toy full of traps: keep it on 127.0.0.1.",
      .examples = "  $ sluice demo\n"
                  "  $ sluice demo --products 100 --latency 50ms --error-rate 0.02\n"
                  "  $ sluice demo --robots 503 --api-fault weather=slow\n"
                  "  $ sluice demo --expected --products 100 >rows.json\n",
      .run = run_demo },
};

extern const Command cmd_demo;
const Command cmd_demo = {
    .name = "demo",
    .summary = "Serve a playground: a shop, APIs, bad pages.",
    .has_demo_flags = true,
    COMMAND_VERBS(demo_verbs),
};
