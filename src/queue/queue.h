/*
 * The queues: what a job may become.
 *
 * `Queues` is all the named queues of one store. Everything that happens to a job goes through
 * here; each call is one transaction, and it returns when the store has it (on disk, with lmdb in
 * sync mode). Any loop may call. Nothing here knows HTTP; texts are checked by whoever takes them
 * from outside.
 *
 *   Q1  A job has one holder at most: an answer counts only with the fence of the current lease.
 *   Q2  Completion applies once, together with what follows from it.
 *   Q3  A lost lease is not a failure: the attempt is given back and the loss is counted apart.
 *   Q4  Every job ends completed, cancelled or discarded, with a reason.
 *   Q5  Nothing is lost between grant and delivery: a lease whose taker was cancelled before it
 *       could see the jobs is given back at once.
 *
 * What follows a failure or a loss is decided by policy_*.c, pure functions of job and time.
 */
#pragma once

#include "base/arena.h"
#include "store/store.h"

#include <sluice/job.h>
#include <sluice/rt/fiber.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Queues Queues;

/* Outcomes above zero. */
enum {
    QUEUE_EMPTY = 1,   /* lease: no job, or the wait was over */
    QUEUE_EXISTS = 2,  /* push: the idempotency key is known; the job given is the first one */
    QUEUE_PENDING = 3, /* wait: the job is not final yet; the job given is as it stands */
};

/* ---- life ------------------------------------------------------------------------------------ */

typedef struct QueueOpts {
    const char *store;     /* "lmdb:DIR", "memory:", "redis://…" */
    bool is_async;         /* durability async, of a store on this machine */
    Str durability;        /* the same in words, or what a store elsewhere knows; empty: is_async */
    bool allow_eviction;   /* see StoreConfig */
    int64_t max_bytes;     /* of the store; 0: LIMIT_STORE_MIB */
    int64_t reserve_bytes; /* 0: LIMIT_STORE_RESERVE */
    int64_t lease_ms;      /* default length of a lease; 0: LIMIT_LEASE_MS */
    uint32_t loss_limit;   /* lost leases before a job is discarded; 0: LIMIT_JOB_LOSSES */
    int64_t idempotency_ms;          /* how long a key is remembered; 0: LIMIT_IDEMPOTENCY_MS */
    const StoreRetention *retention; /* NULL: the LIMIT_RETENTION_… */
    struct MemoryImage *image;       /* memory: see StoreConfig */
    const struct StoreSeams *seams;  /* tests: see StoreConfig */
    bool is_still; /* nothing happens by itself (no ticker), and a store that was moved is opened
                      too: for whoever copies or repairs it */
} QueueOpts;

/*
 * Open the store and start the ticker (a fiber in NURSERY, which must outlive the queues): it
 * promotes what is due, ends leases, sweeps. A store whose jobs were moved elsewhere is refused
 * (-ERR_CONFIG), as is one that such a move has filled in part. -ERR_USAGE, -ERR_STORE_LOCKED,
 * -ERR_STORE_FORMAT, -ERR_STORE with words.
 */
MUST SUSPENDS int queue_start(sl_nursery *nursery, const QueueOpts *opts, Queues **ret_queues);

/* Stop the ticker, commit, close, free. Nobody may call any more. NULL is nothing. */
SUSPENDS void queue_stop(Queues *queues);

/* ---- push ------------------------------------------------------------------------------------ */

typedef struct PushOpts {
    Str key;        /* idempotency key; empty for none; at most LIMIT_IDEMPOTENCY_KEY bytes */
    uint64_t print; /* hash of what was asked: the same key with another is -ERR_DUPLICATE */
} PushOpts;

/*
 * Push N jobs, all or none; RET_JOBS (N, or NULL) are the jobs as stored. OPTS may be NULL.
 * 0, QUEUE_EXISTS (RET_JOBS[0 …] are those of the first time that still exist, *ret_n of them),
 * -ERR_DUPLICATE (an id exists, "jobs[3]: …"), -ERR_INVALID, -ERR_TOO_LARGE, -ERR_STORE_FULL.
 */
MUST SUSPENDS int queue_push_many(Arena *arena, Queues *queues, const JobSpec *specs, size_t n,
                                  const PushOpts *opts, Job *ret_jobs, size_t *ret_n);
MUST SUSPENDS int queue_push(Arena *arena, Queues *queues, const JobSpec *spec,
                             const PushOpts *opts, Job *ret_job);

/* ---- lease and finish ------------------------------------------------------------------------ */

typedef struct LeaseOpts {
    const Str *queues;         /* in order of preference */
    size_t n_queues;           /* at most LIMIT_LEASE_QUEUES; 0: any queue, in turn */
    size_t max;                /* jobs at most; 0 means 1; at most LIMIT_LEASE_JOBS */
    int64_t lease_ms;          /* 0: each job's own, else the default */
    int64_t wait_ms;           /* for the first job; 0: not at all, below zero: until cancelled */
    Str worker;                /* who takes them; may be empty */
    const StoreFilter *filter; /* types that are taken; NULL: all; must stay at its address */
} LeaseOpts;

/* Lease jobs into RET_JOBS (room for opts->max). 0 and *ret_n above zero, QUEUE_EMPTY, or an error.
 */
MUST SUSPENDS int queue_lease(Arena *arena, Queues *queues, const LeaseOpts *opts, Job *ret_jobs,
                              size_t *ret_n);

typedef enum FinishKind {
    FINISH_COMPLETE, /* done, with a result */
    FINISH_FAIL,     /* failed; the policy decides */
    FINISH_RELEASE,  /* handed back unrun: available at once, nothing counted */
} FinishKind;

/* One answer to a lease. */
typedef struct Finish {
    FinishKind kind;
    JobId id;
    uint32_t fence; /* the lease's; 0: whatever lease is current */
    Str worker;     /* must hold the lease; empty: not looked at */
    const Job *job; /* as it was leased, if the caller has it: saves a read for FAIL; or NULL */
    Str result;     /* COMPLETE: JSON; empty for none */
    JobError error; /* FAIL */
    /* the answer */
    int r;                 /* 0, -ERR_NOT_FOUND, -ERR_CONFLICT, -ERR_STALE_LEASE, -ERR_TOO_LARGE */
    JobState state;        /* after; when r is below zero: as it was found */
    uint32_t attempt;      /* the one that ended */
    uint32_t max_attempts; /* FAIL only */
    int64_t at_ms;         /* when */
    int64_t next_attempt_ms; /* to retryable */
    int64_t retry_delay_ms;
} Finish;

/* Finish many in one transaction. An error only when the store failed; else see each r. */
MUST SUSPENDS int queue_finish_many(Queues *queues, Finish *finishes, size_t n);

/* Finish one; RET_JOB (or NULL) is the job afterwards. Returns finish->r with words. */
MUST SUSPENDS int queue_finish(Arena *arena, Queues *queues, Finish *finish, Job *ret_job);

/*
 * Finish N and lease more in one transaction: the inner loop of a worker. Never waits for jobs
 * (opts->wait_ms is not looked at). 0 (then *ret_n may be 0), or the store's error.
 */
MUST SUSPENDS int queue_finish_and_lease(Arena *arena, Queues *queues, Finish *finishes, size_t n,
                                         const LeaseOpts *opts, Job *ret_jobs, size_t *ret_n);

/* One running job, to a heartbeat. */
typedef struct Beat {
    JobId id;
    uint32_t fence; /* 0: whatever lease the worker has */
    /* the answer */
    bool is_extended;
    bool is_cancelled; /* the job was cancelled: stop */
    bool is_lost;      /* the lease is gone (or the job is): stop, the answer will be refused */
    JobDirective directive;
    int64_t until_ms; /* the new end of the lease */
} Beat;

/* Renew the leases of WORKER (empty: not looked at) by LEASE_MS (0: each as long as it was taken
 * for). */
MUST SUSPENDS int queue_heartbeat(Queues *queues, Str worker, int64_t lease_ms, Beat *beats,
                                  size_t n);

/* ---- one job --------------------------------------------------------------------------------- */

/* RET_JOB may be NULL in all of them. -ERR_NOT_FOUND, -ERR_CONFLICT (wrong state) with words. */
MUST SUSPENDS int queue_get(Arena *arena, Queues *queues, const JobId *id, Job *ret_job);
MUST SUSPENDS int queue_cancel(Arena *arena, Queues *queues, const JobId *id, Job *ret_job,
                               JobState *ret_was);
MUST SUSPENDS int queue_activate(Arena *arena, Queues *queues, const JobId *id, Job *ret_job);

/* Run again now: discarded (attempts start over), or scheduled and retryable ahead of their time.
 */
MUST SUSPENDS int queue_retry(Arena *arena, Queues *queues, const JobId *id, bool only_dead_letter,
                              Job *ret_job);

/* Forget a finished job. */
MUST SUSPENDS int queue_delete(Queues *queues, const JobId *id, bool only_dead_letter);

/*
 * Wait until the job is final, at most WAIT_MS (below zero: until cancelled). 0, QUEUE_PENDING when
 * the time was over first, -ERR_NOT_FOUND, -ERR_BUSY above LIMIT_JOB_WAITERS.
 */
MUST SUSPENDS int queue_wait_job(Arena *arena, Queues *queues, const JobId *id, int64_t wait_ms,
                                 Job *ret_job);

/* ---- lists ----------------------------------------------------------------------------------- */

#define QUEUE_CURSOR_BYTES 96

typedef struct ListOpts {
    JobState state;
    bool only_dead_letters; /* of discarded jobs */
    Str queue;              /* empty: all */
    Str type;               /* empty: all */
    bool is_newest_first;
    size_t max;  /* at most LIMIT_LIST_JOBS */
    size_t skip; /* entries to pass over first, at most LIMIT_LIST_SKIP */
    Str cursor;  /* as the last page gave it; empty: from the start */
} ListOpts;

typedef struct JobPage {
    Job *jobs;
    size_t n;
    uint64_t total; /* in that state and queue, the type not regarded */
    bool has_more;
    char next_cursor[QUEUE_CURSOR_BYTES]; /* NUL-terminated; empty when there is no more */
} JobPage;

/* A page of jobs; its cost depends on the page, not on how many there are. */
MUST SUSPENDS int queue_list(Arena *arena, Queues *queues, const ListOpts *opts, JobPage *ret_page);

/* Queues by name, behind AFTER; *ret_n of at most MAX. */
MUST SUSPENDS int queue_list_queues(Arena *arena, Queues *queues, Str after, size_t max,
                                    StoreQueueInfo **ret_infos, size_t *ret_n);
MUST SUSPENDS int queue_stats(Queues *queues, Str queue, StoreQueueInfo *ret_info);

/* A paused queue takes jobs and gives none. Pausing makes a queue that does not exist. */
MUST SUSPENDS int queue_pause(Queues *queues, Str queue, bool is_paused);

/* ---- small values, checks, events ------------------------------------------------------------ */

/* A small named value in the store (schedules, settings). -ERR_NOT_FOUND when there is none. */
MUST SUSPENDS int queue_meta_get(Arena *arena, Queues *queues, Str name, Str *ret_value);
MUST SUSPENDS int queue_meta_put(Queues *queues, Str name, Str value);

/* ---- moving everything to another store ------------------------------------------------------ */

typedef struct MigrateStats {
    uint64_t total; /* jobs in the source at the start */
    uint64_t seen;
    uint64_t added;                 /* were not in the target */
    uint64_t jobs[JOB_STATE_COUNT]; /* seen, by state */
    uint64_t keys;                  /* idempotency keys */
    uint64_t queues;
} MigrateStats;

typedef struct MigrateOpts {
    Queues *from, *to;               /* both are still */
    const char *from_name, *to_name; /* for marks and words; without passwords */
    bool merges;                     /* the target may have other jobs */
    bool forces;                     /* although workers are there */
    bool is_dry;                     /* look, and write nothing */
    void (*progress)(void *ctx, const MigrateStats *stats); /* after each page; may be NULL */
    void *ctx;
} MigrateOpts;

/*
 * Copy every job of one store into another, as it is: id, state, fence, attempts, errors, result,
 * times and order in line; idempotency keys; which queues are paused. Active jobs keep their lease
 * and its holder. The source stays as it was, but is marked as moved, so that no engine opens it;
 * its queues are paused where other processes may have it open. May be cut short at any moment and
 * called again. -ERR_CONFLICT with words: workers are there, the target has other jobs, the counts
 * differ at the end because the source was not left alone.
 */
MUST SUSPENDS int queue_migrate(const MigrateOpts *opts, MigrateStats *ret_stats);

/* Take a store that was moved into use again: drop the mark, unpause what the move had paused. */
MUST SUSPENDS int queue_reopen(Queues *queues);

/* Walk the whole store and verify every invariant: 0, or -ERR_STORE with the first violation. */
MUST SUSPENDS int queue_check(Queues *queues, uint64_t *ret_jobs);

/* A trivial read through the store: 0 when it answers. For readiness; the words say what is wrong.
 */
MUST SUSPENDS int queue_ping(Queues *queues);

/* ---- workers --------------------------------------------------------------------------------- */

/*
 * A worker's card: a JSON object that says who it is and what it does. It is to be put again
 * before TTL_MS are over; then it is forgotten. -ERR_BUSY above LIMIT_WORKERS.
 */
MUST SUSPENDS int queue_worker_put(Queues *queues, Str name, Str card, int64_t ttl_ms);
MUST SUSPENDS int queue_worker_remove(Queues *queues, Str name);

typedef struct QueueWorker {
    Str name;
    Str card;
} QueueWorker;

/* A page of at most MAX cards by name, behind AFTER. */
MUST SUSPENDS int queue_worker_list(Arena *arena, Queues *queues, Str after, size_t max,
                                    QueueWorker **ret_workers, size_t *ret_n, bool *ret_has_more);

/* ---- the store ------------------------------------------------------------------------------- */

/* What an operator should know: how many of at most MAX were put into NOTES. */
size_t queue_store_notes(Queues *queues, StoreNote *notes, size_t max);

/* Whether other processes work on the same jobs. */
bool queue_is_shared(const Queues *queues);

/* The store's clock, wall time. */
int64_t queue_now_ms(const Queues *queues);

/* Memory, disk, counters; IS_FULL says that submits are refused. */
void queue_store_stats(Queues *queues, StoreStats *ret_stats);
const char *queue_store_name(const Queues *queues);

/* One who hears of every move. Fill fn and ctx; the rest is the queues'. */
typedef struct QueueListener {
    void (*fn)(void *ctx, const StoreEvent *events, size_t n);
    void *ctx;
    bool only_cancels; /* of active jobs; of a shared store others need not come, and cost much */
    struct QueueListener *next_;
} QueueListener;

/* Events arrive on the loop that started the queues, batch by batch, in order; FN may not suspend.
 */
void queue_listen(Queues *queues, QueueListener *listener);
void queue_unlisten(Queues *queues, QueueListener *listener);
