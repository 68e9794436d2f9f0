/*
 * The frontier: every URL that a crawl knows, and in which state it is.
 *
 * In memory are a fingerprint of each URL (`seen`), a window of next URLs for each host, and what
 * is not written yet; everything else is in SQLite. A crawl that stays below
 * LIMIT_FRONTIER_WINDOW_URLS and keeps no state never opens a database. The scheduler decides which
 * host may go; the page pipeline adds links, ends pages and sets marks:
 *
 *   r = scheduler_next(scheduler, &page);                           queued → leased
 *   …  fetch, scheduler_answered(), parse, for each link: frontier_add(frontier, &link)
 *   …  outlet_write(rows of the page)
 *   r = frontier_finish(frontier, page, &(PageEnd){ .outcome = CRAWL_DONE, … });
 *
 * Marks, which make "no row twice, no page lost" true (rows/sink.h S3). Only in a crawl with a
 * state (frontier_is_durable); every now and then, and before outlet_commit:
 *
 *   r = frontier_begin_mark(frontier, &mark);        all pages ended so far belong to MARK; durable
 *   r = outlet_checkpoint(outlet, mark, &positions); their rows are durable
 *   r = frontier_end_mark(frontier, mark, buf_str(&positions));
 *
 * From before a page's outlet_write until its frontier_finish, and from frontier_begin_mark until
 * outlet_checkpoint has returned, nothing else may come between: hold one sl_mutex around each of
 * the two. Otherwise a page's rows and its state end up under two marks. (Rows of several pages may
 * go out as one batch; their pages are finished after it, under the same lock.)
 *
 * On resume: read frontier_resume(), open the outlet with its run id, mark and positions, and tell
 * frontier_settle() the mark that the outlet says it holds. Only then may scheduler_next be called.
 *
 * Not for other loops. Functions suspend only where it says so.
 */
#pragma once

#include "base/text.h"
#include "handlers/crawl/outcome.h"
#include "handlers/crawl/page_state.h"

typedef struct Frontier Frontier;

/* A URL on its way; borrowed, and no longer there once it has been finished. */
typedef struct Page {
    uint64_t id;         /* from 1, in order of arrival */
    Str url;             /* to fetch */
    Str requested;       /* the URL that redirects led here from; empty: the same */
    Str referrer;        /* where it was found; empty when nobody gave it */
    int32_t depth;       /* links from a start */
    uint16_t hops;       /* redirects from `requested` */
    uint16_t attempts;   /* that failed so far, this visit */
    Str etag;            /* of the last visit, for --revisit: If-None-Match */
    Str last_modified;   /* the same: If-Modified-Since */
    uint64_t content;    /* hash of the last visit's content; 0: none */
    int64_t visited_ms;  /* wall clock of the last visit that was answered; 0: none */
    PageState state;     /* QUEUED or LEASED, as long as it is in memory */
    CrawlOutcome barred; /* not DONE: it may not be fetched, see SchedulerOpts.gives_barred */
} Page;

/* A URL found. Views are borrowed for the call. */
typedef struct FrontierLink {
    Str url;       /* absolute http or https, canonical, without fragment, as it will be fetched */
    Str key;       /* what makes it the same page (tracking parameters gone …); empty: url */
    Str requested; /* of a redirect's target: Page.requested, or Page.url when that is empty */
    Str referrer;  /* only when somebody wants to know */
    int32_t depth;
    int32_t priority; /* pages with more go first; default 0. Then the least depth, then arrival */
    uint16_t hops;
} FrontierLink;

enum {
    FRONTIER_SEEN = 1,    /* known already, in whatever state */
    FRONTIER_REFUSED = 2, /* a limit (hosts, URL length): counted as skipped */
    FRONTIER_RETRY = 3,   /* the page is queued again: no row for it yet */
};

/*
 * Queue a URL, unless it is known. 0, FRONTIER_SEEN or FRONTIER_REFUSED. Does not suspend: new URLs
 * gather in memory, so whoever adds many calls frontier_wait_room after every
 * LIMIT_FRONTIER_ADD_URLS of them; frontier_finish does so anyway.
 */
MUST int frontier_add(Frontier *frontier, const FrontierLink *link);
MUST SUSPENDS int frontier_wait_room(Frontier *frontier);

/* Count a URL that will not be queued, once for each KEY; 0 or FRONTIER_SEEN. Does not suspend. */
int frontier_skip(Frontier *frontier, Str key, CrawlOutcome outcome);

/*
 * Whether CONTENT (a keyed or good hash of a page's content) came up before in this crawl; it has
 * from now on. Bounded by LIMIT_FRONTIER_CONTENTS; beyond it new ones are not remembered.
 */
bool frontier_has_content(Frontier *frontier, uint64_t content);

/* How a visit ended. */
typedef struct PageEnd {
    CrawlOutcome outcome; /* its class decides: PAGE is DONE, LINK is SKIPPED, ERROR is FAILED */
    bool is_retry;        /* try again instead, unless it has had its attempts */
    bool is_no_attempt;   /* with is_retry: does not count as one (the crawl is stopping) */
    int64_t retry_ms; /* with is_retry: not before this long from now; 0: a back-off by attempts */
    int status;       /* of the answer; 0: none came */
    Str etag;         /* for the next visit; a 304 gives those of the page again */
    Str last_modified;
    uint64_t content; /* hash of the content; 0: none */
} PageEnd;

/*
 * End a leased page: 0, FRONTIER_RETRY, or an error of the database. PAGE is not yours any more
 * afterwards. Suspends, after the page has ended, while too much waits to be written.
 */
MUST SUSPENDS int frontier_finish(Frontier *frontier, Page *page, const PageEnd *end);

/* Whether is_retry would queue PAGE again, or it has had its attempts. */
bool frontier_has_attempts(const Frontier *frontier, const Page *page);

/* ---- marks and resuming -----------------------------------------------------------------------*/

/* Whether there is a state file: marks are worth setting. */
bool frontier_is_durable(const Frontier *frontier);

/* Pages ended since the last mark; 0: a mark would be empty. */
uint64_t frontier_unmarked(const Frontier *frontier);

MUST SUSPENDS int frontier_begin_mark(Frontier *frontier, uint64_t *ret_mark);
MUST SUSPENDS int frontier_end_mark(Frontier *frontier, uint64_t mark, Str positions);

/*
 * Keep COOKIES (a cookies.txt) in the state file, in place of those that are there, for whoever
 * goes on; COOKIE_FILE tells from which file of the user they began. Nothing without a state file.
 */
void frontier_keep_cookies(Frontier *frontier, Str cookies, uint64_t cookie_file);

/* The outlet has committed: the crawl is over, and the state file says so from now on. */
MUST SUSPENDS int frontier_complete(Frontier *frontier);

/* What an earlier process of the run left; borrowed from the frontier. */
typedef struct FrontierResume {
    bool is_resumed;   /* there was something; otherwise only run_id is set */
    bool is_complete;  /* frontier_complete was called: nothing is left to do */
    Str run_id;        /* for OutletOpts.run_id */
    uint64_t mark;     /* the last that the outlet has confirmed; 0: none */
    Str positions;     /* for OutletOpts.positions; empty: none */
    uint64_t n_done;   /* that ended, before settling */
    uint64_t n_queued; /* the same, those in flight included */

    /* also of a visit that is over, for --revisit */
    Str cookies;          /* as frontier_keep_cookies was given them; empty: none */
    uint64_t cookie_file; /* the same; 0: none */
} FrontierResume;
const FrontierResume *frontier_resume(const Frontier *frontier);

/* Pages of marks up to MARK are done, all others that were in flight or written are queued again.
 * Nothing when nothing was resumed. */
MUST SUSPENDS int frontier_settle(Frontier *frontier, uint64_t mark);

/* ---- what it knows ----------------------------------------------------------------------------*/

typedef struct FrontierStats {
    uint64_t by_state[PAGE_STATE_COUNT];      /* of the whole run */
    uint64_t by_outcome[CRAWL_OUTCOME_COUNT]; /* of the whole run, frontier_skip included */
    uint64_t seen;                            /* URLs known, frontier_skip included */
    uint64_t hosts;
    uint64_t retries;
    size_t in_memory;    /* URLs in windows */
    size_t unwritten;    /* changes that wait for the database */
    uint64_t db_calls;   /* transactions */
    uint64_t db_busy_ns; /* the time they took, on their thread */
    size_t memory_bytes; /* of seen, windows, hosts and buffers; estimated */
} FrontierStats;

void frontier_stats(const Frontier *frontier, FrontierStats *ret_stats);

/* The path of the state file; NULL: none. Borrowed. */
const char *frontier_path(const Frontier *frontier);
