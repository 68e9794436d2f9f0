/*
 * Where jobs live: the contract of a store, and the gate in front of it.
 *
 * A store is a backend (`StoreDriver`: memory, lmdb) that applies operations in batches. A batch
 * is one transaction: begin, apply operations one by one, commit with one sync. An operation that
 * cannot be done (the guard of a move does not hold, an id exists already) changes nothing, says so
 * in its own result and does no harm to the others. A commit that fails undoes all of them.
 *
 * The gate (gate.c) is what fibers talk to. They hand it chains of operations and suspend; the
 * gate takes everything that is waiting into the next batch and wakes them when it is committed.
 * For a backend that blocks the gate has a thread of its own, otherwise it works on the loop.
 *
 *   S1  An operation is answered only after the commit that contains it.
 *   S2  The operations of one chain are in the same batch, in order, and so are applied together
 *       or not at all. Each has its own result.
 *   S3  A job is in exactly one place of the index, the one its record says.
 *   S4  Counts are changed by the transaction that moves the job.
 *   S5  A lease that waits is served in the batch that brings the job; jobs go to the waiters of a
 *       queue in the order of their arrival, and one job wakes one waiter.
 *   S6  The fence of a job grows with each lease, and never goes back.
 *
 * Policy is not here: what becomes of a job that failed is computed by the queue and arrives as a
 * guarded move ("if active with fence 7, then retryable at T").
 *
 * To add a backend: a folder with `const StoreDriver store_foo`; the contract test finds it.
 */
#pragma once

#include "base/text.h"

#include <sluice/job.h>
#include <sluice/rt/fiber.h>
#include <sluice/rt/offload.h>
#include <sluice/rt/sync.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- operations ------------------------------------------------------------------------------ */

/* Outcomes of an operation, above zero. */
enum {
    STORE_EMPTY = 1, /* LEASE: no job; WAIT, WATCH: taken back before it happened */
    STORE_EXISTS =
        2,          /* PUSH: the idempotency key is known; `out` has the record of its first job */
    STORE_MORE = 3, /* LIST, PROMOTE, SWEEP, EXPIRED: there is more to do */
};

typedef enum StoreOpKind {
    STORE_PUSH,      /* add jobs, all or none */
    STORE_LEASE,     /* give up to n available jobs to a worker */
    STORE_MOVE,      /* guarded moves, each with its own result */
    STORE_EXTEND,    /* renew leases, each with its own result */
    STORE_PROMOTE,   /* make due jobs available */
    STORE_EXPIRED,   /* read active jobs whose lease has ended */
    STORE_GET,       /* read one job */
    STORE_LIST,      /* read a page of jobs in a state */
    STORE_QUEUES,    /* read a page of queues with their counts */
    STORE_QUEUE_SET, /* pause or resume a queue */
    STORE_DELETE,    /* forget one finished job */
    STORE_SWEEP,     /* forget finished jobs and idempotency keys that are too old or too many */
    STORE_META,      /* read or write a small named value */
    STORE_WAIT,      /* GET, parked until the job is final */
    STORE_WATCH,     /* parked until something is due earlier than `due` says */
    STORE_CHECK,     /* walk everything and verify the invariants */
    STORE_CANCEL,    /* take back a parked operation of the same gate */
    STORE_WORKER,    /* put or remove a worker's card, which ends by itself unless it is renewed */
    STORE_WORKERS,   /* read a page of the workers' cards */
    STORE_IMPORT,    /* put jobs and idempotency keys of another store, as they are there */
    STORE_KEYS,      /* read a page of the idempotency keys */
} StoreOpKind;

/* One guarded move of one job. */
typedef struct StoreMove {
    JobId id;
    /* the guard: all that are set must hold */
    uint32_t from;         /* set of states (JOB_IN) */
    bool only_dead_letter; /* else -ERR_NOT_FOUND */
    bool only_expired;     /* the lease has ended, else -ERR_CONFLICT */
    uint32_t fence;        /* of the current lease; 0 means any */
    Str worker;            /* holder of the current lease; empty means any */
    /* the change */
    JobState to;
    JobReason reason;
    bool is_dead_letter; /* to DISCARDED: in the list of dead letters */
    bool gives_back;     /* the attempt under way is not counted */
    bool is_loss;        /* count a lost lease */
    uint32_t
        starts_over_if; /* set of states: coming from one, attempt and losses begin at 0 again */
    bool keeps_place;   /* to AVAILABLE: back to where it stood in line, not to the end */
    int64_t due_ms;     /* to RETRYABLE (steady clock) or SCHEDULED (wall clock) */
    uint32_t retry_delay_ms; /* kept in the record; 0 leaves it */
    Str result;              /* to COMPLETED: JSON; empty for none */
    const JobError *error;   /* appended to the history; NULL for none */
    /* the answer */
    int r;        /* 0, -ERR_NOT_FOUND, -ERR_CONFLICT (state), -ERR_STALE_LEASE (fence, worker) */
    JobState was; /* the state it was found in */
    uint32_t attempt; /* after the move */
    int64_t at_ms;    /* when the move happened */
} StoreMove;

/* One lease to renew. */
typedef struct StoreBeat {
    JobId id;
    uint32_t fence; /* 0 means whatever lease the worker has */
    /* the answer */
    int r;                  /* as StoreMove.r */
    JobState state;         /* the state it was found in */
    JobDirective directive; /* of the job */
    int64_t until_ms;       /* the lease's new end, on the steady clock */
} StoreBeat;

/* One queue as STORE_QUEUES gives it. */
typedef struct StoreQueueInfo {
    char name[129]; /* NUL-terminated */
    bool is_paused;
    uint64_t counts[JOB_STATE_COUNT];
    uint64_t dead_letters; /* of the discarded ones */
    uint64_t pushed;       /* since the queue was made */
} StoreQueueInfo;

/* Which types of job a worker takes. ACCEPTS is called on the store's thread; pure. */
typedef struct StoreFilter {
    bool (*accepts)(void *ctx, Str type);
    void *ctx;
} StoreFilter;

/* How long finished jobs are kept; 0 means for ever or without number. */
typedef struct StoreRetention {
    int64_t completed_ms;
    uint64_t completed_max; /* for each queue */
    int64_t cancelled_ms;
    uint64_t cancelled_max;
    int64_t discarded_ms;
    uint64_t discarded_max;
} StoreRetention;

/*
 * One job of another store, in whatever state. Its steady times have been moved to this store's
 * clock; the number of its queue and its place in line are this store's to give, in the order of
 * the import.
 */
typedef struct StoreImport {
    Str record; /* id and body */
    Str holder; /* of its lease, when it is active */
} StoreImport;

/* One idempotency key. */
typedef struct StoreKey {
    Str key;
    uint64_t print;
    int64_t until_ms;   /* wall time when it is forgotten */
    const uint8_t *ids; /* 16 bytes for each job it made */
    size_t n_ids;
} StoreKey;

typedef struct StoreOp StoreOp;
struct StoreOp {
    StoreOpKind kind;
    StoreOp *next; /* in the chain; NULL ends it */
    union {
        struct {
            const Str *records; /* as record_encode makes them; borrowed until the answer */
            size_t n;
            Str key; /* idempotency key; empty for none */
            int64_t key_ttl_ms;
            uint64_t key_print; /* of what was asked: the same key with another print is refused */
            size_t at;          /* answer to -ERR_DUPLICATE: which record */
            uint64_t orders;    /* answer: place in line of the first record */
        } push;
        struct {
            const Str *queues; /* names in order of preference; none: any queue, in turn */
            size_t n_queues;
            size_t max;       /* jobs at most */
            int64_t lease_ms; /* 0: the job's own, else default_ms */
            int64_t default_ms;
            Str worker;                /* name of the taker; may be empty */
            const StoreFilter *filter; /* NULL takes all */
            bool waits;                /* parked until there is a job */
            size_t n;                  /* answer: records in out */
        } lease;
        struct {
            StoreMove *moves;
            size_t n;
            bool wants_records; /* put the record after each move that was done into out */
        } move;
        struct {
            StoreBeat *beats;
            size_t n;
            int64_t lease_ms; /* 0: as long as the lease was taken for */
            Str worker;       /* must hold the lease, unless empty */
        } extend;
        struct {
            size_t max;
            size_t n;             /* answer: how many */
            bool is_elsewhere;    /* answer: another process does it; nothing was done here */
            int64_t next_wall_ms; /* answer: nothing scheduled is due before; INT64_MAX: nothing */
            int64_t next_steady_ms; /* answer: no retry or lease is due before */
        } due;                      /* PROMOTE, EXPIRED; WATCH reads the two times */
        struct {
            JobId id;
        } get; /* GET, WAIT */
        struct {
            uint32_t states;   /* one state (JOB_IN) */
            bool dead_letters; /* of DISCARDED: only these */
            Str queue;         /* empty: all */
            Str type;          /* empty: all */
            bool is_newest_first;
            size_t max;
            size_t skip;
            Str cursor;       /* where the last page ended; empty: from the start */
            size_t n;         /* answer: records in out */
            uint8_t next[40]; /* answer to STORE_MORE: the next cursor, next_len bytes */
            size_t next_len;
            uint64_t total; /* answer: how many there are in all, types not regarded */
        } list;
        struct {
            Str after; /* a name; the page begins behind it; empty: at the first */
            Str only;  /* just this queue, if there is one; empty: a page */
            StoreQueueInfo *infos;
            size_t max;
            size_t n; /* answer */
        } queues;
        struct {
            Str name;
            bool is_paused;
            bool creates; /* make the queue if there is none, else -ERR_NOT_FOUND */
        } queue_set;
        struct {
            JobId id;
            uint32_t from;    /* set of final states */
            bool dead_letter; /* only if it is one */
        } del;
        struct {
            StoreRetention keep;
            size_t max;
            size_t n; /* answer: jobs forgotten */
        } sweep;
        struct {
            Str name;
            Str value;   /* to write */
            bool writes; /* else read into out; -ERR_NOT_FOUND when there is none */
        } meta;
        struct {
            char why[200]; /* answer: the first violation, NUL-terminated; empty when sound */
            uint64_t jobs; /* answer: jobs seen */
        } check;
        StoreOp *cancel; /* CANCEL: the parked operation */
        struct {
            Str name;       /* at most LIMIT_WORKER_NAME bytes */
            Str card;       /* JSON; empty removes it */
            int64_t ttl_ms; /* how long without renewal */
        } worker;
        struct {
            Str after; /* a name; the page begins behind it */
            size_t max;
            size_t n; /* answer: for each a name and a card in out, by name */
        } workers;
        struct {
            const StoreImport *jobs; /* all or none, but those that are here already with the same
                                        fence or a higher one are passed over (S6) */
            size_t n;
            const StoreKey *keys; /* one that is here already stays as it is */
            size_t n_keys;
            size_t n_added; /* answer: jobs that were not here */
        } import;
        struct {
            Str cursor; /* where the last page ended; empty: from the start */
            size_t max;
            size_t n;  /* answer: for each the key in out, and then: i64 until_ms, u64 print (both
                         little-endian), ids */
            Buf *next; /* answer to STORE_MORE: the next cursor */
        } keys;
    };

    /* the answer */
    int r;         /* 0, an outcome above, -ERR_… */
    Buf out;       /* records: u32 length, bytes; owned by the op */
    char why[160]; /* words of r below zero; empty for the general sentence */

    /* the gate's */
    sl_task done_task;
    sl_loop *home;
    StoreOp *chain;  /* first operation of its chain */
    StoreOp *queued; /* next chain in the queue of the gate */
    sl_event done;   /* set on the home loop when the whole chain is answered */
    int64_t wall_ms; /* when it was handed over */
    int64_t steady_ms;
    bool is_parked;
    bool is_taken_back;
    struct StorePark *park;
};

/* Free what the answer holds. Nothing for a zeroed op. */
void store_op_deinit(StoreOp *op);
DEFINE_AUTO_VALUE(StoreOp, store_op_deinit);

/* The words of OP's error as the current error; returns op->r (below zero). */
int store_op_fail(const StoreOp *op);

/* Walk the records of an answer: start with *cursor = 0; false at the end. */
bool store_out_next(const Buf *out, size_t *cursor, Str *ret_record);

/* ---- events ---------------------------------------------------------------------------------- */

/* A job has moved. */
typedef struct StoreEvent {
    JobId id;
    bool is_new; /* pushed: `from` means nothing */
    JobState from;
    JobState to;
    JobReason reason;
    int priority;
    uint32_t attempt;
    uint32_t max_attempts;
    int64_t at_ms;       /* wall time */
    int64_t duration_ms; /* of the attempt that ended; 0 otherwise */
    int64_t due_ms;      /* to scheduled, retryable: when */
    Str type;            /* borrowed for the time of the call */
    Str queue;
} StoreEvent;

/* Hears of the moves of each batch after its commit, in order, on the store's thread. */
typedef void (*StoreListener)(void *ctx, const StoreEvent *events, size_t n);

/* ---- backends -------------------------------------------------------------------------------- */

typedef struct StoreConfig {
    Str path;      /* what stands behind the colon of lmdb:DIR */
    bool is_async; /* commits do not wait for the disk; it follows within LIMIT_STORE_ASYNC_MS */
    int64_t max_bytes;     /* of the store; 0: LIMIT_STORE_MIB */
    int64_t reserve_bytes; /* kept for finishing jobs when submits are refused; 0:
                              LIMIT_STORE_RESERVE */
    int64_t wall_ms;       /* now */
    struct MemoryImage
        *image; /* memory: where its contents stay when it is closed (tests); or NULL */

    /* of stores elsewhere */
    Str durability;                 /* "none", "wait(2)", "waitaof"; empty: none */
    bool allow_eviction;            /* a server that may drop keys is taken with a warning */
    sl_nursery *nursery;            /* where the store's fibers live; must outlive it */
    const struct StoreSeams *seams; /* tests: other clock and network; or NULL */
} StoreConfig;

/* A moment, as a batch sees it. */
typedef struct StoreNow {
    int64_t wall_ms;
    int64_t steady_ms; /* ms since 1970 at open, and from there on by the monotonic clock */
} StoreNow;

/* What a backend tells about itself. */
typedef struct StoreStats {
    uint64_t jobs;
    uint64_t bytes;      /* on disk or in memory */
    uint64_t bytes_free; /* that can be used before submits are refused */
    bool is_full;        /* submits are refused */
    uint64_t commits;
    uint64_t ops;
    size_t parked; /* operations that wait in the gate */
} StoreStats;

/* What an operator should know of a store. */
typedef struct StoreNote {
    enum { STORE_NOTE_FACT, STORE_NOTE_WARNING, STORE_NOTE_BROKEN } kind; /* BROKEN: not ready */
    char name[32];                                                        /* "persistence" */
    char text[240]; /* a sentence: "appendonly yes, appendfsync everysec: a crash of Redis may lose
                       the last second" */
} StoreNote;

#define STORE_NOTES_MAX 16

typedef struct StoreOpts StoreOpts;

/*
 * A store elsewhere: it takes chains as they are, without a gate. What is said of store_run below
 * holds for run; S2 holds for the jobs of one partition. Any loop may call.
 */
typedef struct StoreRemote {
    MUST SUSPENDS int (*open)(const StoreOpts *opts, void **ret_remote);
    SUSPENDS void (*close)(void *remote);
    MUST SUSPENDS int (*run)(void *remote, StoreOp *chain);
    StoreNow (*now)(const void *remote); /* the server's clock, as far as it is known here */
    void (*stats)(void *remote, StoreStats *ret_stats);
    /* What is said of store_fit_ids, store_notes and store_want_events below. */
    void (*fit_ids)(void *remote, Str key, JobId *ids, size_t n);
    size_t (*notes)(void *remote, StoreNote *notes, size_t max);
    void (*want_events)(void *remote, bool wants);
} StoreRemote;

/* All functions are called from one thread at a time. A driver has `remote` or the rest. */
typedef struct StoreDriver {
    const char *name;           /* the scheme: "lmdb" */
    const char *help;           /* "lmdb:DIR  a directory on this machine" */
    const char *const *schemes; /* further schemes, NULL at the end; the path then has all of the
                                   URL; or NULL */
    const StoreRemote *remote;  /* the store is elsewhere: none of what follows */
    bool blocks;                /* needs a thread of its own */
    MUST int (*open)(const StoreConfig *config, void **ret_db);
    void (*close)(void *db);
    MUST int (*begin)(void *db, const StoreNow *now);
    /* Below zero only when the whole batch must be given up; the op's own result is in op->r. */
    MUST int (*apply)(void *db, StoreOp *op);
    MUST int (*commit)(void *db); /* an error has undone everything */
    void (*abort)(void *db);
    MUST int (*sync)(void *db); /* async mode: bring to disk what was committed */
    void (*stats)(void *db, StoreStats *ret_stats);
    /* The steady clock at the last commit, 0 for a new store: where it must go on. */
    int64_t (*last_steady_ms)(void *db);
    /* The moves of the running batch, or of the last one; valid until the next begins. */
    void (*events)(void *db, const StoreEvent **ret_events, size_t *ret_n);
    void (*want_types)(void *db, bool wants); /* whether somebody reads the type in events */
    /* Nothing is due before: scheduled jobs (wall clock); retries and leases (steady clock). */
    void (*next_due)(void *db, int64_t *ret_wall_ms, int64_t *ret_steady_ms);
} StoreDriver;

/* The driver for URL ("lmdb:DIR", "memory:") and its path. -ERR_USAGE with words when there is
 * none. */
MUST int store_find_driver(Str url, const StoreDriver **ret_driver, Str *ret_path);

/* ---- the gate -------------------------------------------------------------------------------- */

typedef struct Store Store;

struct StoreOpts {
    const StoreDriver *driver;
    StoreConfig config;
    bool forces_thread;     /* a thread even for a driver that does not block */
    StoreListener listener; /* may be NULL */
    void *listener_ctx;
};

/* Open the backend and its gate. On the loop. */
MUST SUSPENDS int store_open(const StoreOpts *opts, Store **ret_store);

/* Commit what waits, answer what is parked (STORE_EMPTY), close. Nobody may call any more. */
SUSPENDS void store_close(Store *store);

/*
 * Hand over CHAIN and wait for its answers. Any loop. 0: answered, look at each op's r. -ECANCELED:
 * the fiber was cancelled before the chain was handed over, nothing happened. A chain that was
 * handed over is waited for even when the fiber is cancelled. Parked operations (LEASE with waits,
 * WAIT, WATCH) stand alone in their chain; when the fiber is cancelled they are taken back: the
 * result is 0 with op->r STORE_EMPTY, or what had been granted meanwhile.
 */
MUST SUSPENDS int store_run(Store *store, StoreOp *chain);

/* The moment as the next batch would see it. On a loop. */
StoreNow store_now(const Store *store);

void store_stats(Store *store, StoreStats *ret_stats);
const char *store_driver_name(const Store *store);

/*
 * Let the N fresh ids of one push lie where it can be one transaction; KEY is its idempotency key,
 * or empty. Changes the random bits at their end only, and nothing where a store has one place.
 */
void store_fit_ids(Store *store, Str key, JobId *ids, size_t n);

/* What an operator should know: how many of at most MAX were put into NOTES. None of a local store.
 */
size_t store_notes(Store *store, StoreNote *notes, size_t max);

/*
 * Whether the listener is to hear of all moves. A store elsewhere tells it only then, and a little
 * after; before, it tells of nothing but cancellations of active jobs. A local store tells always.
 */
void store_want_events(Store *store, bool wants);

/* Whether the store is shared with other processes: then moves may be made by others too. */
bool store_is_remote(const Store *store);
