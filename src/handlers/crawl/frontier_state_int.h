/*
 * The frontier's own struct, for frontier.c (what a page goes through), frontier_host.c (windows)
 * and frontier_flush.c (batches).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "handlers/crawl/frontier_int.h"

/* One batch on its way to the database and back. Its buffers belong to the pool meanwhile. */
typedef struct FrontierBatch {
    Buf changes;
    Buf rows;
    DbRefill *refills; /* LIMIT_FRONTIER_REFILLS */
    Host **hosts;      /* whose they are */
    size_t n_refills;
    size_t n_wanted; /* rows that the refills may bring; charged to the windows */
    uint64_t n_made; /* batches so far: the number of this one */
    bool is_sync;
    bool is_waiting; /* made and not applied yet: a cancelled caller has left it */
    int64_t busy_ns;
} FrontierBatch;

struct Frontier {
    FrontierOpts opts;
    FrontierWatch watch;
    const Gate *gate;
    RobotsCache *robots;
    char *path;     /* owned; NULL: no state file */
    FrontierDb *db; /* NULL: not needed so far */
    FrontierResume resume;
    Arena arena; /* what resume points at */
    bool is_settled;

    Seen seen;
    Seen contents;
    Map by_name;  /* of hosts */
    Host **hosts; /* by id */
    size_t n_hosts;
    size_t hosts_cap;
    uint64_t page_id; /* of the page that came last */

    List hungry;     /* hosts whose windows want to be refilled */
    List unwritten;  /* PageItems that a state file lacks */
    Heap retries;    /* PageItems by the time of their back-off's end */
    List leased;     /* PageItems that somebody works on, or did when the crawl failed */
    size_t n_window; /* PageItems in windows, and rows that refills under way may bring */

    Buf changes;      /* gathered for the next batch */
    int64_t dirty_ns; /* since when a state file lacks something; 0: it does not */
    FrontierBatch batch;
    sl_mutex flushing; /* held by the fiber that makes and applies a batch */
    sl_cond work;      /* the writer waits for something to do */
    sl_cond room;      /* wait_room waits for a batch to be taken */
    sl_event stopped;  /* the writer has ended */
    bool is_closing;
    Err first_err; /* of the database; nothing is written behind it */

    uint64_t mark_open; /* pages that end belong to it */
    uint64_t n_unmarked;
    uint64_t n_queued, n_leased, n_counted, n_retries;
    uint64_t by_end[PAGE_STATE_COUNT];
    uint64_t by_outcome[CRAWL_OUTCOME_COUNT];
    uint64_t db_busy_ns;
};

/* Hosts and windows: frontier_host.c. */
Host *frontier_host_new(Frontier *frontier, uint32_t id, Str name);
void frontier_hosts_deinit(Frontier *frontier);
void frontier_window_put(Frontier *frontier, PageItem *item);
void frontier_feed(Frontier *frontier, Host *host);
size_t frontier_window_share(const Frontier *frontier);                  /* pages of one host */
size_t frontier_window_room(const Frontier *frontier, const Host *host); /* F3 */
bool frontier_takes_page(const Frontier *frontier, const Host *host,
                         int64_t place); /* a new one at PLACE, into its window */
PageItem *frontier_item_new(const Page *page, Host *host);
void frontier_item_free(Frontier *frontier, PageItem *item);

/* Batches: frontier_flush.c. */
void frontier_put_change(Frontier *frontier, const DbRecord *record);
DbRecord frontier_page_record(Frontier *frontier, const PageItem *item); /* puts its host, once */
void frontier_put_meta(Frontier *frontier, const char *name, Str value);
bool frontier_wants_flush(const Frontier *frontier, int64_t now_ns);
MUST SUSPENDS int frontier_flush(Frontier *frontier, bool is_sync);
SUSPENDS int frontier_writer(void *arg);
