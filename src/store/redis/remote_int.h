/*
 * The inside of the store in Redis: what its files share.
 *
 *   fiber --remote_run(chain)--> this loop's RemoteLoop
 *            |                        |
 *            | push: waits one turn   | work: moves and a lease, one request a partition
 *            | for others' pushes     | each: one operation, asked of one partition or of all
 *            v                        v
 *          Ask  =  one call of one script for one partition  -->  redis_call  -->  server
 *
 *   channel P:wake:CLIENT --> the line of the queue --> its first parked lease asks again
 *   channel P:end:ID      --> the fiber that waits for the job asks again
 *
 * Each loop is a client of its own: it has its own connections, its own name (unique in time), its
 * own numbers of calls, its own parked operations, and shares nothing with the other loops but the
 * store's notes and counters. So nothing here needs a lock or crosses threads, and a server sees a
 * process with three loops as three processes.
 *
 *   R1  A numbered call has its effect once, whatever is lost on the way: it keeps its number while
 *       it is sent again, and the number is acknowledged only after its answer was heard.
 *   R2  An operation is answered once, and only with what the server said, or with an error whose
 *       words say whether it may have happened.
 *   R3  The jobs of one push lie in one partition. What concerns several partitions is one request
 *       to each, and no unity between them is promised.
 *   R4  A parked lease is registered with the server in every partition it would take jobs from, or
 *       is about to ask there, or another lease of its line is.
 *   R5  A message that wakes somebody is never swallowed: the lease that was chosen asks; when it
 *       is taken back first, the next of its line is chosen; when there is none, the server is
 *       told to choose another process.
 *   R6  The clock shown here is never ahead of the server's, and never goes back.
 *   R7  A grant is delivered to the caller of remote_run, even when its fiber is cancelled.
 *
 * remote.c        life, and which way an operation goes
 * remote_ask.c    calls: numbers, scripts to load, a server that lost everything, words
 * remote_push.c   pushes that go together
 * remote_work.c   moves and leases over partitions
 * remote_park.c   leases that wait; remote_wait.c: for a job's end, for the ticker
 * remote_filter.c leases that take some types only
 * remote_each.c   operations of one partition, or of each
 * remote_merge.c  pages over partitions
 * remote_about.c  start checks, what the store is; remote_notes.c: what an operator should know
 * remote_care.c   what a fiber on each loop does now and then: clock, statistics, safety net
 * remote_leave.c  what a loop says to the server when it ends
 * remote_events.c moves that are made, here and elsewhere
 * remote_count.c  metrics
 * remote_check.c  STORE_CHECK
 * remote_import.c a move from another store, or to it
 */
#pragma once

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/uuid.h"
#include "net/redis.h"
#include "store/redis/request_int.h"
#include "store/redis/seams.h"

#include <sluice/rt.h>

#include <pthread.h>
#include <stdatomic.h>

#define REMOTE_NAME_BYTES 128
#define REMOTE_PREFIX_MAX 128

typedef struct Remote Remote;
typedef struct RemoteLoop RemoteLoop;
typedef struct ParkedPush ParkedPush;
typedef struct CarePass CarePass;

/* One partition, as one loop sees it. */
typedef struct RemotePart {
    RemoteLoop *loop;
    uint32_t index;
    int32_t slot;
    Str prefix; /* "sl{7}:" */
    char epoch[UUID_TEXT_BYTES];
    unsigned epoch_turn; /* how often the epoch was found to be another */

    uint64_t *heard; /* numbers whose answers have come, and which the server still keeps */
    size_t n_heard, cap_heard;

    ParkedPush *first, *last; /* pushes that wait for the next call */
    bool is_gathering;        /* one of them waits a turn for more, and then sends */
    unsigned under_way;       /* calls with pushes */
    int64_t begun_ns;         /* the oldest of them; 0 without */

    bool is_elsewhere;     /* another process is the ticker, as far as is known */
    bool keeps_time;       /* this one is */
    int64_t away_until_ns; /* it has failed: what time asks for leaves it out until then */
    bool hears_events;
    RedisSub wake;            /* P:wake:CLIENT */
    RedisSub events, control; /* P:events, P:control: of the home loop */
} RemotePart;

/* The server's clock. Two windows, so that an old best sample is forgotten in time. */
typedef struct RemoteClock {
    int64_t best_ns[2]; /* server minus ours, the most seen; INT64_MIN for none */
    int64_t since_ns;   /* begin of the newer window */
    int64_t last_ms;    /* shown last */
} RemoteClock;

struct RemoteLoop {
    Remote *remote;
    size_t index;
    bool is_started, is_ending;
    Arena arena; /* texts that live as long as the loop's client */
    Redis *redis;
    char client[REMOTE_NAME_BYTES]; /* also the process's name in registers and channels */
    uint64_t number;                /* of the last call */
    RemotePart *parts;
    uint32_t turn;      /* the partition at which the next lease or push begins */
    uint32_t rich;      /* the partition that had jobs last */
    unsigned lost_turn; /* how often a partition was found to have lost everything */
    sl_mutex renewing;
    RemoteClock clock;
    size_t under_way;  /* calls of remote_run */
    size_t push_bytes; /* of the pushes among them */

    Str types[LIMIT_STORE_TYPES]; /* that filters were asked about */
    size_t n_types, n_types_seen;

    Map lines;      /* queue -> ParkLine; "*": any queue */
    Map registered; /* queues where the server may have this loop's name */
    List parked;    /* all parked leases, in order of arrival */
    size_t n_waits;
    List watches;  /* of the ticker */
    bool has_news; /* for it, since it last looked */
    bool is_subscribed;
    CarePass *passes; /* queues of which another process must hear */
    CarePass *later;  /* those that go at the next turn of the care fiber */
    sl_event care;    /* there are some */
    sl_mutex passing; /* held by whoever asks for them */

    sl_event stop;   /* on the loop: its host ends */
    sl_future ready; /* on the home loop: 0, or why it did not start */
    sl_event ended;  /* on the home loop */
    sl_task ready_task;
    int ready_r;
    Err ready_err;
    bool has_host;
};

struct Remote {
    StoreListener listener;
    void *listener_ctx;
    const StoreSeams *seams; /* or NULL */
    Arena arena;             /* texts that live as long as the store */
    RedisUrl url;
    RedisDurability durability;
    unsigned replicas;
    bool allow_eviction;
    bool has_functions;
    RequestPublish publish;
    uint32_t n_parts;
    RemoteLoop *loops;
    size_t n_loops;
    size_t home; /* the loop that opened the store */

    pthread_mutex_t notes_lock;
    StoreNote notes[STORE_NOTES_MAX];
    size_t n_notes;

    _Atomic int64_t emptied_ms; /* wall time at which a loss of everything was noticed; 0: never */
    _Atomic uint64_t jobs, bytes, bytes_free, commits, ops, parked;
    atomic_bool is_full;
    atomic_bool wants_stats; /* somebody has looked at them */
    atomic_bool wants_events, is_want_posted;
    sl_task want_task;
};

/* ---- remote.c: the driver's functions -------------------------------------------------------- */

MUST SUSPENDS int remote_open(const StoreOpts *opts, void **ret_remote);
SUSPENDS void remote_close(void *remote);
MUST SUSPENDS int remote_run(void *remote, StoreOp *chain);
void remote_stats(void *remote, StoreStats *ret_stats);

/* ---- remote_count.c: metrics of an operation that is answered -------------------------------- */

void remote_count(const StoreOp *op);

/* ---- remote_ask.c: calls --------------------------------------------------------------------- */

/* One call of one script. */
typedef struct Ask {
    RemotePart *part;
    Arena arena; /* the request's and the reply's */
    RequestHead head;
    Request request;
    RespValue reply;
    unsigned epoch_turn;
    int64_t patience_ms; /* 0: the client's */
    uint64_t *taken;     /* numbers that this call acknowledges */
    size_t n_taken;
    int r;             /* 0, or below zero with `why` */
    bool has_lost_all; /* the server has another epoch, or none */
    char why[160];
} Ask;

/* Prepare a call of script KIND for PART: then make ask->request with ask->head and ask->arena. */
void ask_begin(Ask *ask, RemotePart *part, ScriptKind kind);
void ask_end(Ask *ask);

/* Run N calls at once, in order where they go to one node; each has its own ask->r. */
SUSPENDS void asks_run(RemoteLoop *loop, Ask **asks, size_t n);

/* The result of a call as OP's. False when there is no answer to read. */
bool ask_has_answer(const Ask *ask, StoreOp *op);

/* A reply that did not fit what was expected: r of answer_…, into OP. */
void op_take_error(StoreOp *op, int r);
void op_set_error(StoreOp *op, int r, const char *why);

/* Agree with the server on PART's epoch, anew if it is another than TURN's. */
MUST SUSPENDS int part_renew(RemotePart *part, unsigned turn);

/* One command without a script, to the node of SLOT. 0, or an error with words. */
MUST SUSPENDS int remote_command(RemoteLoop *loop, Arena *arena, int32_t slot,
                                 const char *const *argv, size_t argc, RespValue *ret_reply);

/* ---- remote_push.c --------------------------------------------------------------------------- */

SUSPENDS void remote_push(RemoteLoop *loop, StoreOp *op);
void remote_fit_ids(void *remote, Str key, JobId *ids, size_t n);

/* ---- remote_work.c --------------------------------------------------------------------------- */

/* MOVE, or NULL; LEASE, or NULL; and then GET, or NULL. */
SUSPENDS void remote_work(RemoteLoop *loop, StoreOp *move, StoreOp *lease, StoreOp *get);

/* Lease from the partitions that WANTED says; those that were asked are taken out of it. They know
 * afterwards that this loop waits, when REGISTERS and they had nothing. Whether all that was asked
 * for was given, also if the filter then refused some of it. */
SUSPENDS bool remote_lease(RemoteLoop *loop, StoreOp *lease, bool *wanted, bool registers);

SUSPENDS void remote_beat(RemoteLoop *loop, StoreOp *op);

/* ---- remote_filter.c ------------------------------------------------------------------------- */

/* The types that FILTER (or NULL) is known to refuse, in ARENA. */
const Str *filter_skips(RemoteLoop *loop, Arena *arena, const StoreFilter *filter, size_t *ret_n);
/* Give back what LEASE was granted and does not take; how many. */
SUSPENDS size_t filter_apply(RemoteLoop *loop, StoreOp *lease);
/* Whether FILTER (or NULL) refuses a type that was seen. */
bool filter_refuses(RemoteLoop *loop, const StoreFilter *filter);
void filter_deinit(RemoteLoop *loop);

/* ---- remote_park.c --------------------------------------------------------------------------- */

SUSPENDS void remote_park(RemoteLoop *loop, StoreOp *lease);
/* A message on P:wake:CLIENT, or a gap. */
void remote_hear(RemotePart *part, Str message, bool is_gap);
/* Somebody of each line asks again: of PART, or of all (NULL). */
void remote_ask_again(RemoteLoop *loop, const RemotePart *part);
/* Hear what is said to this loop, from now on. */
void remote_subscribe(RemoteLoop *loop);
/* All parked leases end with what they have. */
void remote_unpark(RemoteLoop *loop);

/* ---- remote_wait.c --------------------------------------------------------------------------- */

SUSPENDS void remote_wait(RemoteLoop *loop, StoreOp *op);
SUSPENDS void remote_watch(RemoteLoop *loop, StoreOp *op);
void watch_wake(RemoteLoop *loop);

/* ---- remote_each.c, remote_merge.c ----------------------------------------------------------- */

/* An operation of one partition. */
SUSPENDS void remote_one(RemoteLoop *loop, RemotePart *part, StoreOp *op, ScriptKind kind);
/* PROMOTE, EXPIRED, SWEEP, QUEUE_SET: of each partition. */
SUSPENDS void remote_each(RemoteLoop *loop, StoreOp *op);
SUSPENDS void remote_queues(RemoteLoop *loop, StoreOp *op);
SUSPENDS void remote_list(RemoteLoop *loop, StoreOp *op);

/* ---- remote_import.c ------------------------------------------------------------------------- */

SUSPENDS void remote_import(RemoteLoop *loop, StoreOp *op);
SUSPENDS void remote_keys(RemoteLoop *loop, StoreOp *op);

/* ---- remote_leave.c -------------------------------------------------------------------------- */

/* Let the server wake another process for the jobs of QUEUE ("*": of any). */
SUSPENDS void remote_pass(RemotePart *part, Str queue);
/* Take this loop out of all registers, and give the ticker's place back. */
SUSPENDS void remote_leave(RemoteLoop *loop);

/* ---- remote_about.c -------------------------------------------------------------------------- */

MUST int remote_durability(Str text, RedisDurability *ret_durability, unsigned *ret_replicas);
MUST SUSPENDS int remote_check_server(RemoteLoop *loop);
/* Persistence and replicas, as notes. */
MUST SUSPENDS int remote_look(RemoteLoop *loop);
MUST SUSPENDS int remote_agree_store(RemoteLoop *loop);
MUST SUSPENDS int remote_agree_epochs(RemoteLoop *loop);
MUST SUSPENDS int info_read(RemoteLoop *loop, Arena *arena, int32_t slot, const char *section,
                            Str *ret_info);
int64_t info_number(Str info, const char *name);

/* ---- remote_notes.c -------------------------------------------------------------------------- */

size_t remote_notes(void *remote, StoreNote *notes, size_t max);
void note_put(Remote *remote, int kind, const char *name, const char *fmt, ...) SL_PRINTF(4, 5);
void note_drop(Remote *remote, const char *name);

/* ---- remote_care.c --------------------------------------------------------------------------- */

SUSPENDS int care_main(void *loop);
/* Another process must hear of the jobs of QUEUE. */
void care_pass(RemotePart *part, Str queue);
/* The same, but not at once: it may be that nobody takes them, and the question goes round. */
void care_pass_later(RemotePart *part, Str queue);
/* Ask for all of these, and wait for those that are under way. */
SUSPENDS void care_pass_all(RemoteLoop *loop);
/* Forget those that are left. */
void care_forget(RemoteLoop *loop);
void clock_init(RemoteClock *clock);
void clock_hear(RemoteLoop *loop, int64_t server_ms);
int64_t remote_wall_ms(RemoteLoop *loop);
StoreNow remote_now(const void *remote);

/* ---- remote_events.c ------------------------------------------------------------------------- */

/* On the home loop: hear what all processes must hear. */
void events_start(RemoteLoop *loop);
/* Subscribe as is wanted; IS_TIME: and say so to the server once more. */
SUSPENDS void events_care(RemoteLoop *loop, bool is_time);
void remote_want_events(void *remote, bool wants);

/* ---- remote_check.c -------------------------------------------------------------------------- */

SUSPENDS void remote_check(RemoteLoop *loop, StoreOp *op);
