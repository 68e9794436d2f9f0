/*
 * One crawl, from its arguments to its report.
 */
#pragma once

#include "handlers/crawl/args.h"
#include "handlers/crawl/plan.h"
#include "handlers/crawl/report.h"

typedef struct CrawlRunOpts {
    int64_t concurrency; /* 0: what the arguments say */
    bool is_silent;      /* rows are counted and thrown away */
} CrawlRunOpts;

/* What a crawl leaves behind. */
typedef struct CrawlResult {
    CrawlReport report;
    bool is_over; /* the state file is that of a crawl that came to its end: nothing was done */
    Str rows;     /* JSON, in the task's arena; empty: they went elsewhere */
    Str wrote_to; /* "wrote 2 000 rows to prices.csv"; in the task's arena, may be empty */
} CrawlResult;

/*
 * Crawl as ARGS say. PLAN is compiled from them. A crawl that is stopped (the task is cancelled)
 * writes what it has and returns 0 with report.was_stopped. 0 or an error with words.
 */
MUST SUSPENDS int crawl_run_once(Task *task, const CrawlArgs *args, CrawlPlan *plan,
                                 const CrawlRunOpts *opts, CrawlResult *result);
