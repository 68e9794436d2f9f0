/*
 * The report: what became of every URL, how fast, and what the pages said.
 *
 * Counted while the crawl runs, on the loop; at the end written three ways: lines for people, the
 * result object of the task, and the same as a file (--stats-file).
 */
#pragma once

#include "base/text.h"
#include "codec/html_extract.h"
#include "codec/json.h"
#include "handlers/crawl/outcome.h"
#include "handlers/crawl/scheduler.h"

#define REPORT_STATUSES 600 /* those above count as the last */
#define REPORT_SLOWEST  5
#define REPORT_NOTES    20

typedef struct CrawlReport {
    int64_t started_ms; /* wall clock */
    int64_t started_ns;
    int64_t took_ns;

    uint64_t outcomes[CRAWL_OUTCOME_COUNT];
    uint64_t statuses[REPORT_STATUSES]; /* answers to pages */
    uint64_t answers;                   /* to pages, each hop and each try */
    uint64_t retries;
    uint64_t rows;
    uint64_t bytes_wire; /* bodies as they came */
    uint64_t bytes_body; /* and unpacked */
    uint64_t links;      /* found on pages */
    uint64_t duplicates; /* pages with the content of another one, with rows or without */
    uint64_t cut;        /* pages that were read in part */
    uint64_t seeds;      /* URLs to begin with, those of sitemaps too */
    uint64_t queued;     /* left in the frontier */
    uint64_t done_before;
    uint64_t pooled; /* pages read on the pool */
    bool was_stopped;
    bool ignored_robots;
    uint64_t robots_fetched;
    uint64_t cookies; /* in the jar at the end */

    const HtmlPlan *plan; /* NULL: nothing is selected */
    const HtmlFieldCounts *fields;

    Note notes[REPORT_NOTES]; /* what stood in the way, and why */
    size_t n_notes;
    uint64_t more_notes; /* beside these */

    HostReport slowest[REPORT_SLOWEST]; /* their names live in the scheduler */
    size_t n_slowest;
} CrawlReport;

static inline void report_count(CrawlReport *report, CrawlOutcome outcome)
{
    report->outcomes[outcome]++;
}

/* Pages asked for that ended well, and in vain. */
uint64_t report_pages(const CrawlReport *report);
uint64_t report_errors(const CrawlReport *report);

/* "1 240 pages · 812/s · queue 403 · 3 errors · ETA 0:12", into OUT. */
void report_progress(const CrawlReport *report, int64_t now_ns, uint64_t queued, Buf *out);

/* The lines for people, each ended by a line feed. */
void report_write_text(const CrawlReport *report, Buf *out);

/* The members of an object that WRITER has open. */
void report_write_json(const CrawlReport *report, JsonWriter *writer);
