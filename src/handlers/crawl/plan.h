/*
 * The plan of a crawl: its columns, and how each row's values are found.
 *
 * Columns of the crawl itself come first, then the selected ones in the order they were given, then
 * those of nested records; with --error-rows `outcome` and `error` are there too. Compiled once,
 * then only read: any thread may use it.
 */
#pragma once

#include "codec/html_extract.h"
#include "handlers/crawl/args.h"
#include "handlers/crawl/outcome.h"
#include "rows/row.h"

typedef struct CrawlPlan CrawlPlan;

/* Compile what ARGS say; columns live in ARENA. 0 or -ERR_INVALID with words. */
MUST int crawl_plan_new(Arena *arena, const CrawlArgs *args, CrawlPlan **ret_plan);
void crawl_plan_free(CrawlPlan *plan);
DEFINE_AUTO(CrawlPlan *, crawl_plan_free);

const RowColumn *crawl_plan_columns(const CrawlPlan *plan);
size_t crawl_plan_n_columns(const CrawlPlan *plan);

/* What is taken from the page's HTML; NULL: nothing is. */
const HtmlPlan *crawl_plan_html(const CrawlPlan *plan);

/* What the columns of the crawl itself are filled with. */
typedef struct CrawlFacts {
    Str url;       /* of the page, after redirects */
    Str requested; /* the URL that was asked for */
    int status;    /* 0: no answer */
    int64_t depth;
    Str title;
    Str lang;
    int64_t fetched_ms; /* wall clock */
    int64_t took_ns;
    uint64_t bytes; /* of the body, decoded */
    Str content_type;
    Str referrer;
    CrawlOutcome outcome;
    Str error; /* in words; empty: none */
} CrawlFacts;

/* Fill ROW of BATCH with FACTS and the VALUES of one record (NULL: there is none). */
void crawl_plan_fill(const CrawlPlan *plan, RowBatch *batch, RowValue *row, const CrawlFacts *facts,
                     const Value *values);
