/*
 * The engine: what the operations of the store mean, written once over a Kv.
 *
 * A backend that has ordered maps with transactions (memory, lmdb) gives them to the engine and is
 * done. The engine keeps in memory what each queue needs, never anything for each job: name,
 * counts, the next number in line, and for the due times of its scheduled, retryable and active
 * jobs a bound below which nothing is due (so that the ticker looks at a queue only when it must).
 *
 *   E1  A job's record names its place in the index; there and nowhere else is its entry (S3).
 *   E2  counts[s] of a queue is the number of its records with state s (S4).
 *   E3  A number in line is given once. A job that keeps its place keeps its number.
 *   E4  No job of a queue in state s is due before due_bound[s].
 *   E5  Only engine_shift changes a state. It asserts the edge, counts, and notes the event.
 *   E6  What the engine keeps in memory about queues is rolled back with the transaction.
 */
#pragma once

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/kv_int.h"
#include "store/record.h"
#include "store/store.h"

#define QUEUE_NAME_MAX  128
#define INDEX_KEY_BYTES 29

/* Where in the index a job is filed. AVAILABLE is last so that pushes append to the tree. */
typedef enum Place {
    PLACE_SCHEDULED = 0x10,
    PLACE_PENDING = 0x20,
    PLACE_RETRYABLE = 0x30,
    PLACE_ACTIVE = 0x40,
    PLACE_COMPLETED = 0x50,
    PLACE_CANCELLED = 0x60,
    PLACE_DISCARDED = 0x70,
    PLACE_DEAD = 0x78, /* discarded, and a dead letter */
    PLACE_AVAILABLE = 0xf0,
} Place;

/* The part of a queue that a transaction changes. */
typedef struct QueueNumbers {
    uint64_t next_order; /* 48 bits */
    uint64_t pushed;
    uint64_t counts[JOB_STATE_COUNT];
    uint64_t dead_letters;
    bool is_paused;
} QueueNumbers;

typedef struct EngineQueue {
    uint32_t number;
    bool is_dirty; /* changed by the running transaction; in engine->dirty */
    bool is_born;  /* made by the running transaction */
    QueueNumbers now;
    QueueNumbers before; /* as the last commit left it; valid while is_dirty */
    int64_t due_bound[JOB_STATE_COUNT];
    uint32_t
        tally[JOB_STATE_COUNT]; /* moves into each state in this transaction, for the metrics */
    uint32_t tally_failed, tally_lost, tally_pushed;
    const StoreFilter *filter; /* whose types were looked at last … */
    uint64_t filter_from;      /* … jobs before this order are of no use to it */
    uint32_t name_len;
    char name[QUEUE_NAME_MAX + 1];
} EngineQueue;

typedef struct Engine {
    const KvOps *ops;
    void *kv;
    StoreNow now;
    bool is_open;     /* a transaction runs */
    bool has_changes; /* it has written something */
    Map by_name;
    EngineQueue **queues; /* by number; NULL where there is none */
    size_t n_queues, cap_queues;
    size_t lease_turn; /* where the next lease from any queue begins */
    EngineQueue **dirty;
    size_t n_dirty, cap_dirty;
    int64_t last_steady_ms;
    int64_t next_wall_ms, next_steady_ms; /* bounds over all queues, as E4 */
    StoreEvent *events;
    size_t n_events, cap_events;
    bool wants_types; /* events carry the type */
    Arena event_texts;
    Buf scratch; /* a rewritten record */
    Buf scratch2;
    size_t sweep_at; /* queue where the next sweep begins */
    Map workers;     /* name -> card; of this process's life only */
    uint64_t commits, ops_done;
} Engine;

/* Read the queues of a store that is there. In a transaction of its own. */
MUST int engine_init(Engine *engine, const KvOps *ops, void *kv);
void engine_deinit(Engine *engine);

/* The functions of a StoreDriver; `db` there begins with an Engine. */
MUST int engine_begin(void *db, const StoreNow *now);
MUST int engine_apply(void *db, StoreOp *op);
MUST int engine_commit(void *db);
void engine_abort(void *db);
void engine_events(void *db, const StoreEvent **ret_events, size_t *ret_n);
void engine_want_types(void *db, bool wants);
void engine_next_due(void *db, int64_t *ret_wall_ms, int64_t *ret_steady_ms);
int64_t engine_last_steady_ms(void *db);

/* ---- one file each --------------------------------------------------------------------------- */

MUST int engine_push(Engine *engine, StoreOp *op);
MUST int engine_lease(Engine *engine, StoreOp *op);
MUST int engine_moves(Engine *engine, StoreOp *op);
MUST int engine_extend(Engine *engine, StoreOp *op);
MUST int engine_promote(Engine *engine, StoreOp *op);
MUST int engine_expired(Engine *engine, StoreOp *op);
MUST int engine_get(Engine *engine, StoreOp *op);
MUST int engine_list(Engine *engine, StoreOp *op);
MUST int engine_delete(Engine *engine, StoreOp *op);
MUST int engine_sweep(Engine *engine, StoreOp *op);
MUST int engine_check(Engine *engine, StoreOp *op);

/* engine_import.c */
MUST int engine_import(Engine *engine, StoreOp *op);
MUST int engine_keys(Engine *engine, StoreOp *op);

/* engine_push.c: remember an idempotency key with N ids, 16 bytes each. */
MUST int engine_key_put(Engine *engine, const StoreKey *key);

/* engine_workers.c */
MUST int engine_worker(Engine *engine, StoreOp *op);
MUST int engine_workers(Engine *engine, StoreOp *op);
void engine_workers_deinit(Engine *engine);

/* ---- queues (engine_queues.c) ---------------------------------------------------------------- */

MUST int engine_queues_load(Engine *engine);
MUST int engine_queues_save(Engine *engine);
void engine_queues_forget_changes(Engine *engine);
void engine_queues_keep_changes(Engine *engine);
EngineQueue *queue_find(const Engine *engine, Str name);
EngineQueue *queue_at(const Engine *engine, uint32_t number);

/* Find or make. 0; or the op's own error: -ERR_INVALID, -ERR_BUSY. */
MUST int queue_need(Engine *engine, Str name, EngineQueue **ret_queue);

/* Before the first change of QUEUE in a transaction: remember what was. */
void queue_touch(Engine *engine, EngineQueue *queue);
MUST int engine_queues(Engine *engine, StoreOp *op);
MUST int engine_queue_set(Engine *engine, StoreOp *op);

/* ---- records and places (engine_record.c) ---------------------------------------------------- */

static inline Str str_of_id(const JobId *id)
{
    return str_from((const char *) id->bytes, sizeof(id->bytes));
}

/* The op ends with R (below zero) and words; the batch goes on: returns 0. */
int op_fail(StoreOp *op, int r, const char *fmt, ...) SL_PRINTF(3, 4);

/* The place of a job with HEAD, and its key in the index. */
Place place_of(const RecordHead *head);
uint64_t order_of(const RecordHead *head);
Str index_key(char *out, Place place, uint32_t queue, uint64_t order, const JobId *id);
JobId index_key_id(Str key);
uint64_t index_key_order(Str key);
int64_t due_of_order(uint64_t order);
bool index_key_is_in(Str key, Place place, uint32_t queue);

/* A job of QUEUE is due in STATE: keep E4. */
void engine_note_due(Engine *engine, EngineQueue *queue, JobState state, int64_t due_ms);

/* Work out the bounds over all queues again. */
void engine_find_next_due(Engine *engine);

/* The place in line for PRIORITY and NUMBER. */
uint64_t line_order(int16_t priority, uint64_t number);

/* Read and check a record. 0, KV_NONE, or an error that ends the batch. */
MUST int engine_load(Engine *engine, const JobId *id, Str *ret_body, RecordHead *ret_head);

/* What a move changes beside the state. */
typedef struct Shift {
    const JobId *id;
    EngineQueue *queue;
    RecordHead *head; /* as it was; as it is to be, afterwards */
    JobState to;
    int64_t due_ms; /* scheduled, retryable, active, final */
    bool keeps_place;
    bool is_dead_letter;
    JobReason reason;
    Str worker; /* to active */
    Str body;   /* of the record as it is, for the event's type */
} Shift;

/*
 * Move a job's index entry and its counts; SHIFT->head is changed, the record is the caller's to
 * save.
 */
MUST int engine_shift(Engine *engine, Shift *shift);

/* A new job's index entry, counts and event. HEAD has its queue, order and due time; HOLDER is that
 * of its lease, if it has one. */
MUST int engine_file_new(Engine *engine, EngineQueue *queue, const JobId *id,
                         const RecordHead *head, Str body, Str holder);

/* Take a job out of the index and the counts, and its record out of the store. */
MUST int engine_drop(Engine *engine, EngineQueue *queue, const JobId *id, const RecordHead *head);

/* The same for a job in any state, before another version of it comes in its place. */
MUST int engine_unfile(Engine *engine, EngineQueue *queue, const JobId *id, const RecordHead *head);

/* Append a record to the op's answer. Below zero when there is no memory: ends the batch. */
MUST int op_add_record(StoreOp *op, const JobId *id, Str body);
MUST int op_add_text(StoreOp *op, Str text);

/* Whether a record goes into an answer of at most MAX_BYTES; TEXT follows it, or is empty. */
bool op_has_room(const StoreOp *op, Str body, Str text, size_t max_bytes);

/* The hash that a record keeps of a worker's name; 0 for an empty one. */
uint64_t worker_hash(Str name);
