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

/*
 * Where the crawl is kept when nobody says: beside the output, where that is one file of text
 * (`shop.csv.crawl` for shop.csv), until the crawl has come to its end. Fills args->state and
 * args->is_state_beside. Databases keep their one transaction, and a crawl that groups its rows
 * could not go on with half of them.
 */
void crawl_settle_state(Task *task, CrawlArgs *args);
