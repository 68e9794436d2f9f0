/*
 * Groups: what --group-by and --agg make of the rows.
 *
 * The table of groups is what the crawl prints, or puts into its result; the rows themselves are
 * seen only where --out sends them.
 */
#pragma once

#include "handlers/crawl/args.h"
#include "handlers/crawl/plan.h"

typedef struct Groups Groups;

/* 0 or -ERR_INVALID with words: a column that is not there, a function that is not known. */
MUST SUSPENDS int groups_open(Groups **ret_groups, const CrawlArgs *args, const CrawlPlan *plan);
SUSPENDS void groups_close(Groups *groups);
DEFINE_AUTO(Groups *, groups_close);

MUST int groups_add(Groups *groups, const RowBatch *rows);

/* Hand the table to whoever runs the task; once, at the end. */
MUST SUSPENDS int groups_print(Groups *groups, Task *task);

/* The table for the result, when nobody watched; empty otherwise. Borrowed. */
Str groups_result_rows(const Groups *groups);
