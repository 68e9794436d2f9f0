/*
 * One crawl from the inside: what its fibers share. All of them live on one loop.
 *
 *   run.c       opens everything, starts the fibers, ends the crawl
 *   seeds.c     the pages to begin with: arguments, lists, sitemaps
 *   pages.c     a page: asked for, judged, read, written; N fibers do this
 *   reading.c   where pages are read: on the loop or on the pool
 *   cookies.c   the jar, and how it gets into the state file and out of it
 *   follow.c    links, redirects, refreshes: from what a page says to the frontier
 */
#pragma once

#include "handlers/crawl/reader.h"
#include "handlers/crawl/redirects.h"
#include "handlers/crawl/report.h"
#include "handlers/crawl/run.h"
#include "handlers/crawl/scheduler.h"
#include "handlers/crawl/scope.h"
#include "handlers/crawl/writer.h"
#include "net/http_client.h"

#define CRAWL_EXTRA_CONNECTIONS 4 /* beside those of the pages at once: kept ones, robots.txt */

typedef struct Reading Reading;

typedef struct Crawl {
    Task *task;
    const CrawlArgs *args;
    CrawlPlan *plan;
    Scope *scope;
    ReadRules rules;
    WebUrlKeyOpts key_opts;

    int64_t concurrency;     /* pages at once: what was asked for, or what there is room for */
    HttpClient *client;      /* NULL before and after */
    HttpCookies *cookies;    /* NULL: none are kept */
    uint64_t cookie_file;    /* the hash of --cookie-file; 0: none */
    uint64_t cookie_changes; /* http_cookies_changes of what the state file has */
    HttpHeader *headers;     /* to everybody; then two free places for validators */
    size_t n_headers;
    HttpHeader *secrets; /* to the origins of the first pages only */
    size_t n_secrets;
    char *proxy; /* NULL: none */
    HttpPolicy policy;

    Scheduler *scheduler;
    Frontier *frontier;
    Writer *writer;
    Reading *reading;
    CrawlReport *report;
    Notes *notes;
    uint64_t before[CRAWL_OUTCOME_COUNT]; /* of earlier processes of this run */
    Redirects redirects;
    Buf key;         /* scratch of follow.c */
    Arena scratch;   /* the same */
    sl_sem requests; /* places for requests under way */
    size_t n_busy;   /* fibers between scheduler_next and the end of their page */
    bool is_seeded;  /* everything to begin with is queued */
} Crawl;

/* ---- pages.c --------------------------------------------------------------------------------- */

/* Take pages until there are none. A fiber; ARG is the Crawl. */
MUST SUSPENDS int crawl_pages(void *arg);

/* ---- reading.c ------------------------------------------------------------------------------- */

/* Get ready; with more than one processor a fiber of NURSERY hands batches of pages to the pool. */
MUST SUSPENDS int reading_start(Reading **ret_reading, const ReadRules *rules, sl_nursery *nursery);
void reading_free(Reading *reading); /* after its fiber has ended */

/* No more pages come: its fiber ends. */
void reading_stop(Reading *reading);

/* Read PAGE, on the loop or on the pool. 0 or -ECANCELED. */
MUST SUSPENDS int reading_read(Reading *reading, Arena *arena, PageRead *page);

/* Whether pages may be read while others are fetched, so that more fibers than requests help. */
bool reading_has_pool(const Reading *reading);

/* Add up what the readers counted: COUNTS has an entry for each field of the plan. */
void reading_sum(const Reading *reading, HtmlFieldCounts *counts, CrawlReport *report);

/* ---- follow.c -------------------------------------------------------------------------------- */

/* What a page was found as: kept in Page.referrer for the documents that only lead to pages. */
#define REFERRER_SITEMAP "sluice:sitemap"
#define REFERRER_ROBOTS  "sluice:robots"

/* Queue a page to begin with, or a sitemap (REFERRER_SITEMAP). 0 or an error of the URL. */
MUST SUSPENDS int follow_seed(Crawl *crawl, Str url, const char *referrer);

/* Queue the links of a page that was read. */
MUST SUSPENDS int follow_links(Crawl *crawl, const Page *page, const PageRead *read);

/* Queue where a redirect leads. *RET_OUTCOME: REDIRECTED, or what is wrong with it. */
MUST int follow_redirect(Crawl *crawl, const Page *page, Str location, CrawlOutcome *ret_outcome);

/* Queue the pages that a sitemap names, or the sitemaps that a robots.txt names. */
MUST SUSPENDS int follow_sitemap(Crawl *crawl, const Page *page, Str body);
MUST SUSPENDS int follow_robots(Crawl *crawl, const Page *page, Str body);

/* ---- cookies.c ------------------------------------------------------------------------------- */

/* Make the jar, where one is asked for, with the cookies of --cookie-file or of the state. */
MUST SUSPENDS int crawl_cookies_open(Crawl *crawl);

/* Put the cookies into the state file, if there is one and they have changed. */
void crawl_cookies_keep(Crawl *crawl);

/* ---- seeds.c --------------------------------------------------------------------------------- */

/* Queue the pages and sitemaps that the arguments begin with; and those of their list, which may be
 * long. */
MUST SUSPENDS int crawl_seed(Crawl *crawl);
MUST SUSPENDS int crawl_seed_list(Crawl *crawl);
