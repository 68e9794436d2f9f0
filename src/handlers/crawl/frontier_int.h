/*
 * What the frontier and the scheduler share: hosts, and pages that are in memory.
 *
 * The frontier owns both. Of a host it keeps the window and the counts; the other part belongs to
 * the scheduler, which finds its hosts this way without a second table.
 */
#pragma once

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "handlers/crawl/frontier_db.h"
#include "handlers/crawl/gate.h"

#include <sluice/rt.h>

/* Where the scheduler has a host. */
#define HOST_STATES(X)                                               \
    X(IDLE, "nothing in its window")                                 \
    X(READY, "in the list of hosts that may go, as far as is known") \
    X(TIMED, "in the heap of hosts that wait for their time")        \
    X(FULL, "has as many requests under way as it may")              \
    X(ADDRESS, "waits in the list of its address")                   \
    X(ROBOTS, "a worker fetches its robots.txt")                     \
    X(CLAIM, "other processes are being asked")

typedef enum HostState {
#define X(name, text) HOST_##name,
    HOST_STATES(X)
#undef X
        HOST_STATE_COUNT
} HostState;

typedef struct Host {
    /* the frontier's */
    uint32_t id;        /* in the database */
    uint32_t n_leased;  /* pages with workers */
    Heap window;        /* PageItems by place: queued and in memory */
    ListLink hungry;    /* in Frontier.hungry: its window wants to be refilled */
    uint64_t in_db;     /* queued pages that are in the database only */
    int64_t cursor;     /* F2 */
    int64_t place_max;  /* of all pages that were put into the database for it */
    uint64_t n_counted; /* pages towards pages_max */
    bool is_written;    /* the database has it */
    bool is_loading;    /* a refill is under way */

    /* the scheduler's */
    HostState state;
    ListLink link;  /* READY: Scheduler.ready; ADDRESS: GateAddress.waiting; CLAIM: .claims */
    HeapNode timed; /* TIMED: Scheduler.timed */
    GateKey gate;
    GateAddress *address; /* of its last answer; NULL: not known, or it does not count */
    CrawlOutcome down;    /* why its robots.txt cannot be had, where that says more; else DONE */
    uint64_t claim;       /* granted and not yet used; 0: none */
    int64_t claim_ns;     /* when it was granted */
    uint32_t n_requests;
    uint32_t n_errors;
    uint64_t bytes;
    int64_t latency_sum_ns;
    int64_t latency_max_ns;

    uint32_t name_len;
    char name[];
} Host;

static inline Str host_name(const Host *host)
{
    return str_from(host->name, host->name_len);
}

/* A page in memory. */
typedef struct PageItem {
    Page page;
    Host *host;
    HeapNode node;      /* in its host's window, or in Frontier.retries */
    ListLink unwritten; /* in Frontier.unwritten: a state file has no row for it yet */
    ListLink leased;    /* in Frontier.leased */
    int64_t place;      /* in the order of its host */
    uint64_t seen;      /* its fingerprint */

    /* the scheduler's, while it is leased */
    GateAddress *address; /* whose gate it entered beside its host's */
    int64_t began_ns;
    uint64_t claim;  /* on other processes; 0: none */
    bool is_entered; /* between gate_enter and gate_leave */

    char text[]; /* what the views of page point at */
} PageItem;

/* Whom the frontier tells of changes; calls do not suspend. */
typedef struct FrontierWatch {
    void (*on_window)(void *ctx, Host *host); /* there is something in its window */
    void (*on_change)(void *ctx,
                      Host *host); /* a page of it has ended, or failed for good (NULL) */
    void *ctx;
} FrontierWatch;

typedef struct FrontierParts {
    const FrontierOpts *opts;
    FrontierWatch watch;
    const Gate *gate;    /* for the gates of new hosts */
    RobotsCache *robots; /* filled from the state file */
} FrontierParts;

/* Open; the fiber that writes lives in NURSERY. Close writes what is unwritten, also when
 * cancelled. Both suspend. */
MUST SUSPENDS int frontier_open(Frontier **ret_frontier, sl_nursery *nursery,
                                const FrontierParts *parts);
MUST SUSPENDS int frontier_close(Frontier *frontier);

/* The page of HOST that comes next, still queued; NULL when its window is empty. Borrowed. */
PageItem *frontier_peek(const Host *host);

/* Lease it. */
PageItem *frontier_lease(Frontier *frontier, Host *host);

/* End the page that comes next without leasing it. Does not suspend. */
void frontier_end_next(Frontier *frontier, Host *host, CrawlOutcome outcome);

/* Pages whose back-off is over go back into their windows. *ret_when_ns: when the next one's is;
 * INT64_MAX: there is none. */
void frontier_wake_retries(Frontier *frontier, int64_t now_ns, int64_t *ret_when_ns);

/* The time of the first of them, INT64_MAX: there is none. */
int64_t frontier_retry_ns(const Frontier *frontier);

/* Keep a robots.txt in the state file. */
void frontier_keep_robots(Frontier *frontier, const RobotsRecord *record);

/* The host NAME, made when there is none; NULL over LIMIT_CRAWL_HOSTS. */
Host *frontier_host(Frontier *frontier, Str name);

/* Hosts in order of arrival. */
Host *const *frontier_hosts(const Frontier *frontier, size_t *ret_n);

/* 0, or the error that ended the database's work, with its words. */
MUST int frontier_check(const Frontier *frontier);

uint64_t frontier_n_queued(const Frontier *frontier);
uint64_t frontier_n_leased(const Frontier *frontier);
uint64_t frontier_n_counted(const Frontier *frontier);
