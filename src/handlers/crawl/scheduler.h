/*
 * The scheduler: which URL may be fetched now.
 *
 * It owns the frontier, the gate and the robots cache of one crawl. Each worker fiber asks for a
 * page, fetches it, says at once how it was answered, and finishes it at its leisure:
 *
 *   while ((r = scheduler_next(scheduler, &page)) == 0) {
 *       r = http_client_call(client, &call, &answer);       .redirects_max = -1, see below
 *       scheduler_answered(scheduler, page, r, &answer);    the host's delay counts from here
 *       …  parse, add links, write rows
 *       r = frontier_finish(scheduler_frontier(scheduler), page, &end);
 *   }                                                       SCHEDULER_END: nothing is left
 *
 * scheduler_next gives only pages that robots.txt allows and whose host and address may be asked
 * this moment; the request must follow at once. The robots.txt of a host is fetched inside it, by
 * the fiber that happens to ask, while other hosts go on; what robots.txt forbids is ended as
 * SKIPPED, with the outcome ROBOTS, and not seen outside unless somebody asks for it.
 *
 * Redirects: a hop is a request like others: it needs the robots.txt of where it leads, and its
 * turn. So fetch with redirects_max = -1, queue answer.location with frontier_add (.hops =
 * page->hops + 1, .requested, the page's depth, .priority 1 so that it comes soon) and finish the
 * page as CRAWL_REDIRECTED. A loop ends by itself, because its URLs are known: FRONTIER_SEEN.
 *
 * Fairness: hosts that may go take turns, one URL each; hosts that may not yet lie in a heap by the
 * time when they may. A step is O(log hosts).
 */
#pragma once

#include "handlers/crawl/frontier.h"
#include "handlers/crawl/gate.h"
#include "handlers/crawl/notes.h"
#include "handlers/crawl/robots_cache.h"
#include "net/http_client.h"

typedef struct Scheduler Scheduler;

/* One argument that decides what a crawl is. All are kept in the state file; going on with others
 * is refused with words that name those that differ. */
typedef struct FrontierSetting {
    const char *name; /* as people know it: "--start" */
    Str value;
} FrontierSetting;

typedef enum FrontierMode {
    FRONTIER_CONTINUE, /* go on with the state file where there is one */
    FRONTIER_RESTART,  /* what is in it is forgotten */
    FRONTIER_REVISIT,  /* what was done is queued again, with its validators; no file: a new one */
} FrontierMode;

typedef struct FrontierOpts {
    const char
        *path; /* of the state file; NULL: a private temporary database, when needed at all */
    FrontierMode mode;
    bool is_temporary; /* the file is removed by scheduler_close when the crawl is complete */
    const FrontierSetting *settings;
    size_t n_settings;
    unsigned attempts_max; /* of one page; 0 means 3 */
    int64_t retry_ms;      /* the first back-off, doubled for each attempt; 0 means 1 s */
    size_t window_urls;    /* in memory; 0 means LIMIT_FRONTIER_WINDOW_URLS; for tests */
} FrontierOpts;

typedef struct SchedulerOpts {
    FrontierOpts frontier;
    GateOpts gate;
    RobotsCacheOpts robots;
    HttpClient *client; /* for robots.txt; NULL only with robots.is_ignored */
    Notes *notes;       /* of what robots.txt kept the crawl from, and why; NULL: nobody asks */
    uint64_t pages_max; /* that end as outcomes of the class PAGE, redirects left out; then
                                SCHEDULER_END. Those of earlier processes count. 0: no limit */
    uint64_t host_pages_max; /* of one host; then its others end as TOO_MANY. 0: no limit */
    bool gives_barred;       /* scheduler_next gives pages that robots.txt or its absence forbids,
                                too, with page->barred saying so: not to be fetched nor answered,
                                only to be finished with that outcome. Otherwise they end unseen */
} SchedulerOpts;

/* Open or go on. Its fibers live in NURSERY. Suspends. -ERR_CONFLICT: the state file is of another
 * crawl; -ERR_STORE_LOCKED: a running crawl has it; -ERR_STORE_FORMAT: it is no state file of ours,
 * or damaged; each with words that say what to do. */
MUST SUSPENDS int scheduler_open(Scheduler **ret_scheduler, sl_nursery *nursery,
                                 const SchedulerOpts *opts);

/* Write what is unwritten, give the file back. No worker may be inside scheduler_next. Also after
 * an error and when cancelled. 0 or what went wrong with the state file. */
MUST SUSPENDS int scheduler_close(Scheduler *scheduler);

Frontier *scheduler_frontier(Scheduler *scheduler);
RobotsCache *scheduler_robots(Scheduler *scheduler);

enum { SCHEDULER_END = 1 };

/* The next page that may be fetched, leased to the caller. 0; SCHEDULER_END when all is done, or
 * scheduler_stop was called, or pages_max is reached; or an error. SUSPENDS until then. */
MUST SUSPENDS int scheduler_next(Scheduler *scheduler, Page **ret_page);

/*
 * The answer to PAGE's request has come, or failed with R: the gate's slot is free, the delay
 * counts from now, the throttle learns from status, Retry-After (keep_headers!) and latency.
 * ANSWER is as http_client_call left it. Exactly once for each page that scheduler_next gave.
 */
void scheduler_answered(Scheduler *scheduler, Page *page, int r, const HttpAnswer *answer);

/* No more pages: who waits in scheduler_next gets SCHEDULER_END. What is queued stays queued. */
void scheduler_stop(Scheduler *scheduler);

/* Whether more URLs are on their way, from a list that is being read: an empty frontier is no end
 * as long as they are. */
void scheduler_set_expecting(Scheduler *scheduler, bool is_expecting);

/* Whether nothing is left: no URL queued, none leased, none expected. */
bool scheduler_is_complete(const Scheduler *scheduler);

/* One host, for the closing report. */
typedef struct HostReport {
    Str host; /* borrowed from the scheduler */
    uint64_t requests;
    uint64_t errors; /* no answer, or 5xx */
    uint64_t bytes;  /* as carried */
    int64_t latency_sum_ns;
    int64_t latency_max_ns;
    uint64_t queued;
    int64_t delay_ms;       /* between its requests at the end, throttling included */
    int64_t crawl_delay_ms; /* what its robots.txt asks; -1: nothing */
    bool is_delay_capped;   /* that was more than crawl_delay_max_ms */
    uint32_t throttled;     /* times it answered 429 or 503 */
} HostReport;

typedef struct SchedulerStats {
    size_t hosts_ready;   /* may go now */
    size_t hosts_waiting; /* for their time, a slot, their robots.txt, or the database */
    int64_t next_ns;      /* when the next of them may go, on the clock of sl_now_ns; 0: none */
    uint64_t robots_fetched;
    uint64_t requests; /* robots.txt included */
} SchedulerStats;

void scheduler_stats(const Scheduler *scheduler, SchedulerStats *ret_stats);

/* The N hosts with the greatest mean latency (of at least one request), slowest first; how many. */
size_t scheduler_slowest(const Scheduler *scheduler, HostReport *ret_hosts, size_t n);
