/*
 * The scheduler's own struct, for scheduler.c (the face), scheduler_step.c (who may go),
 * scheduler_robots.c (fetching robots.txt) and scheduler_claim.c (asking other processes).
 */
#pragma once

#include "base/err.h"
#include "handlers/crawl/frontier_int.h"
#include "handlers/crawl/gate_shared.h"
#include "handlers/crawl/scheduler.h"

struct Scheduler {
    SchedulerOpts opts;
    Frontier *frontier;
    Gate *gate;
    RobotsCache *robots;
    GateShared *shared; /* NULL: no other processes */

    List ready;           /* of Host: may go, as far as is known; served in turn */
    Heap timed;           /* of Host: by the time when they may go */
    Heap timed_addresses; /* of GateAddress: the same, with hosts that wait for them */
    List claims;          /* of Host: other processes are to be asked */
    sl_cond workers;      /* wait for a host that may go */
    sl_cond left;         /* redirects of robots.txt wait for a host to be left */
    sl_cond clock;        /* the clock's fiber waits for an earlier time */
    int64_t clock_ns;     /* until when it sleeps */
    sl_event clock_stopped;
    sl_event claims_stopped;
    Err claim_err; /* other processes cannot be asked any more; code 0: they can */
    bool is_closing;
    bool is_expecting; /* more URLs are on their way */
    bool is_stopped;

    uint64_t robots_fetched;
    uint64_t n_requests;
};

/* Outcomes of scheduler_step. */
enum {
    STEP_NONE = 1,   /* nobody may go now */
    STEP_ROBOTS = 2, /* *ret_host has entered its gate and wants *ret_item's robots.txt */
};

/* Who may go now: 0 and *ret_item, leased and through its gates; or one of the above. */
int scheduler_step(Scheduler *scheduler, PageItem **ret_item, Host **ret_host);

/* Put HOST where it may be tested again; nothing when it is there already. */
void scheduler_host_ready(Scheduler *scheduler, Host *host);
void scheduler_host_timed(Scheduler *scheduler, Host *host, int64_t when_ns);

/* A request of HOST, which went through ADDRESS's gate where that is not NULL, has ended. ANSWER as
 * in gate_leave. */
void scheduler_leave(Scheduler *scheduler, Host *host, GateAddress *address, uint64_t claim,
                     const GateAnswer *answer, int64_t now_ns);

/* What came back for a request to HOST: its class, its address, its figures. Returns what there is
 * to learn in *ret_learn; false: nothing. */
bool scheduler_note(Scheduler *scheduler, Host *host, int r, const HttpAnswer *http,
                    int64_t began_ns, GateAnswer *ret_learn);

/* The fiber that wakes hosts when their time has come. */
SUSPENDS int scheduler_clock(void *arg);

/* Fetch the robots.txt of URL's authority for HOST, whose gate has been entered: 0 (known by now)
 * or an error of the crawl. */
MUST SUSPENDS int scheduler_fetch_robots(Scheduler *scheduler, Host *host, Str url);

/* The fiber that asks other processes for the hosts in `claims`. */
SUSPENDS int scheduler_claims(void *arg);
