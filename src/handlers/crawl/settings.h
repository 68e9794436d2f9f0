/*
 * Settings: the arguments that decide what a crawl finds, as the state file keeps them.
 *
 * Going on with other ones would mix two crawls, so the frontier compares them. How fast and how
 * politely it is done may change from one run to the next.
 */
#pragma once

#include "handlers/crawl/args.h"
#include "handlers/crawl/scheduler.h"

/* Fill OPTS->settings, in ARENA. */
void crawl_settings(Arena *arena, const CrawlArgs *args, FrontierOpts *opts);
