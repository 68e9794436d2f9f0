/*
 * --compare: the same crawl one page at a time and many at once, side by side.
 */
#pragma once

#include "handlers/crawl/run.h"

/* Crawl twice, say what each took with bars, write both reports to WRITER. */
MUST SUSPENDS int crawl_compare(Task *task, const CrawlArgs *args, CrawlPlan *plan,
                                JsonWriter *writer);
