/*
 * The writer: rows of pages to the outlet, and pages to their end, in that order.
 *
 * Rows gather in a batch, which goes out when it is large, when it has waited for a moment, and
 * when no page is under way. In a crawl with a state a page is ended only after its rows went out,
 * and a mark is set ten times a second, so that a crawl that is killed goes on with no row lost and
 * none written twice (frontier.h says how). With --group-by the rows go to the aggregate too, and
 * to the outlet only when --out names one.
 *
 *   W1  One fiber at a time is inside: `lock` is held from a page's first row to its end, and from
 *       the beginning of a mark to its end.
 */
#pragma once

#include "codec/html_extract.h"
#include "handlers/crawl/plan.h"
#include "handlers/crawl/report.h"
#include "handlers/crawl/scheduler.h"

#include <sluice/handler.h>

typedef struct Writer Writer;

typedef struct WriterOpts {
    Task *task;
    const CrawlArgs *args;
    const CrawlPlan *plan;
    Frontier *frontier;
    CrawlReport *report;
    bool is_silent; /* rows are counted and thrown away: the slow half of --compare */
} WriterOpts;

/* Open the outlet, and when the frontier goes on with an earlier run, where that run stopped. */
MUST SUSPENDS int writer_open(Writer **ret_writer, const WriterOpts *opts);

/* What becomes of a page. */
typedef struct WriterPage {
    Page *page;
    PageEnd end;
    const CrawlFacts *facts;    /* NULL: no rows */
    const HtmlRecords *records; /* NULL: one row of the facts alone */
} WriterPage;

/* Write the rows of a page, then end it. *RET_IS_RETRY: it was queued again. */
MUST SUSPENDS int writer_add(Writer *writer, const WriterPage *page, bool *ret_is_retry);

/* Send what has gathered. */
MUST SUSPENDS int writer_flush(Writer *writer);
bool writer_has_pending(const Writer *writer);

/* Flush, and in a crawl with a state set a mark. */
MUST SUSPENDS int writer_mark(Writer *writer);

/*
 * The end: everything is sent. A crawl that is COMPLETE, or keeps no state, is committed; one that
 * will go on is left at its last mark. Then the groups are printed, if there are any.
 */
MUST SUSPENDS int writer_finish(Writer *writer, bool is_complete);
SUSPENDS void writer_close(Writer *writer);
DEFINE_AUTO(Writer *, writer_close);

/* Where the rows went, in words; empty: nowhere that needs saying. */
void writer_describe(const Writer *writer, Buf *out);

/* The rows that belong into the result, as JSON; empty: none do. */
Str writer_result_rows(const Writer *writer);
