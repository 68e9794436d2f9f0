/*
 * Reading a page: from the bytes of an answer to records and links.
 *
 * Pure work on one processor: sniff, decode, parse, extract. It runs on the loop, or on the pool
 * for a whole batch of pages (pages.c decides), with a Reader for each thread that does. What
 * it finds lives in the page's arena; nothing points into the parser or the body.
 */
#pragma once

#include "codec/charset.h"
#include "codec/html.h"
#include "codec/html_extract.h"
#include "codec/web_url.h"
#include "handlers/crawl/args.h"
#include "handlers/crawl/outcome.h"
#include "handlers/crawl/plan.h"

/* What every page of a crawl is read by. Borrowed, and not changed while pages are read. */
typedef struct ReadRules {
    const CrawlPlan *plan;
    Str robots_agent;    /* the product token: <meta name=THIS> counts too */
    bool obeys_robots;   /* meta robots and X-Robots-Tag */
    bool obeys_nofollow; /* of single links */
    bool wants_links;
    bool wants_refresh;
    bool wants_canonical;
    bool wants_soft_404;
    bool wants_title; /* title and lang are columns */
} ReadRules;

/* What one thread reads pages with. */
typedef struct Reader {
    HtmlParser *parser;
    Buf decoded;             /* a page that was not UTF-8 */
    HtmlFieldCounts *counts; /* of all pages so far; one for each field of the plan */
    size_t n_counts;
    uint64_t pages;
    uint64_t cut; /* pages that were longer or had more records than is read */
} Reader;

/* Get ready to read pages for RULES. */
void reader_init(Reader *reader, const ReadRules *rules);
void reader_deinit(Reader *reader);
DEFINE_AUTO_VALUE(Reader, reader_deinit);

typedef struct PageLink {
    WebUrl url;
    bool is_nofollow;
} PageLink;

/* One page: the first part is given, the second found. Zero is "nothing". */
typedef struct PageRead {
    const WebUrl *url; /* of the answer */
    Str body;
    Str content_type;
    Str head;        /* header lines */
    bool wants_rows; /* take records */

    CrawlOutcome outcome; /* DONE, NOT_HTML, NOINDEX, NOT_CANONICAL, SOFT_404, UNREADABLE */
    HtmlRecords records;
    Str title;
    Str lang;
    PageLink *links;
    size_t n_links;
    size_t n_bad_links;   /* that are no URLs */
    size_t n_other_links; /* neither http nor https */
    bool is_nofollow;     /* the page asks that none of its links be followed */
    bool is_cut;
    WebUrl refresh; /* where it sends the reader on; href empty: nowhere */
    WebUrl canonical;
} PageRead;

/* Read PAGE. Does not suspend and does not fail: what goes wrong is an outcome. */
void reader_read(Reader *reader, const ReadRules *rules, Arena *arena, PageRead *page);
