/*
 * The inside of the gate: what gate.c (handing over, batches, answers) and gate_park.c (operations
 * that wait) share. All of it but the inbox and the published numbers belongs to the side that runs
 * the batches: the store's thread, or the loop where there is none.
 *
 *   G1  An operation is in one place: the inbox, the waiting chains, the running batch, or parked.
 *   G2  A parked operation is alone in its chain and is in the line of each thing it waits for.
 *   G3  What is granted to a parked operation counts only when the batch is committed; before that
 *       it keeps its place in line.
 */
#pragma once

#include "base/assert.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/err.h"
#include "base/map.h"
#include "base/rand.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

/* A line of parked operations: for a queue's jobs, or for a job's end. */
typedef struct ParkLine {
    List spots;
    size_t key_len;
    char key[];
} ParkLine;

typedef struct ParkSpot {
    ListLink link;
    ParkLine *line;
    struct StorePark *park;
} ParkSpot;

typedef struct StorePark {
    StoreOp *op;
    ListLink in_batch; /* parked, granted or to be asked again by the running batch */
    bool is_new;       /* parked by the running batch */
    bool is_granted;   /* by the running batch */
    bool is_again;     /* looked at as many jobs as one lease may: goes on in the next batch */
    ListLink watch;    /* of a WATCH */
    size_t n_spots;
    ParkSpot spots[];
} StorePark;

typedef struct Parking {
    Map lease_lines; /* queue name -> ParkLine */
    Map wait_lines;  /* job id -> ParkLine */
    List watchers;
    List in_batch;
    size_t n_leases, n_waits;
    size_t events_seen; /* of the running batch, by park_serve */
} Parking;

#define STORE_LOOPS_MAX 64

/* Chains to be answered, gathered for each loop so that each is woken once. */
typedef struct Answers {
    struct {
        sl_loop *loop;
        sl_task *first, *last;
    } loops[STORE_LOOPS_MAX];
    size_t n;
} Answers;

struct Store {
    const StoreDriver *driver;
    void *db; /* the backend's, or the remote store's: then nothing below is used */
    bool is_threaded;
    bool is_async;
    StoreListener listener;
    void *listener_ctx;

    /* handing over: any thread */
    _Atomic(StoreOp *) inbox; /* chains, newest first */
    _Atomic uint32_t is_asleep;
    atomic_bool is_closing;
    int64_t base_steady_ms; /* steady clock at base_ns */
    int64_t base_ns;

    /* the gate's own */
    pthread_t thread;
    sl_task run_task;
    bool is_posted;
    StoreOp *first, *last; /* waiting chains, oldest first */
    StoreNow now;
    StoreOp *batch; /* chains of the running batch */
    bool refuses_push;
    size_t n_alone;  /* chains to be tried one by one, after a batch that had no room */
    Answers answers; /* of the batch that ends */
    Parking parking;
    int64_t unsynced_ns; /* when the oldest commit not yet on disk was made; 0: none */

    /* published */
    _Atomic uint64_t jobs, bytes, bytes_free, commits, ops, parked;
    atomic_bool is_full;
};

/* ---- gate.c: what store.c leads to for a store on this machine ------------------------------- */

MUST SUSPENDS int gate_open(const StoreOpts *opts, Store **ret_store);
SUSPENDS void gate_close(Store *store);
MUST SUSPENDS int gate_run(Store *store, StoreOp *chain);
StoreNow gate_now(const Store *store);
void gate_stats(Store *store, StoreStats *ret_stats);

/* ---- gate_park.c ----------------------------------------------------------------------------- */

void parking_init(Parking *parking);
void parking_deinit(Parking *parking);

/* Park OP (applied, with nothing found), or answer it with -ERR_BUSY. */
void park_add(Store *store, StoreOp *op);

/* Give what the batch has brought to those who wait for it. Below zero ends the batch. */
MUST int park_serve(Store *store);

/* QUEUE gives jobs again. */
MUST int park_serve_queue(Store *store, Str queue);

/* Who watches for something due, at the end of a batch. */
void park_serve_watchers(Store *store);

/* Take OP back unless it has been granted. */
void park_cancel(Store *store, StoreOp *op);

/*
 * The batch is committed: hand each granted operation to ON_DONE, each to be asked again to
 * ON_AGAIN.
 */
void park_commit(Store *store, void (*on_done)(Store *, StoreOp *),
                 void (*on_again)(Store *, StoreOp *));

/* The batch is undone: what it parked is unparked, what it granted waits on. */
void park_undo(Store *store);

/* Unpark everything, as STORE_EMPTY. */
void park_end(Store *store, void (*on_done)(Store *, StoreOp *));
