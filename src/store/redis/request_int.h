/*
 * Between operations and scripts: what a call of each script says, and what its answer means.
 *
 * Pure: no connection, no clock, no fiber. A request is the arguments of one script for one
 * partition; what concerns several partitions is several requests, which remote.c makes and puts
 * together. docs/internals/redis.md has the keys, the text of a job and the scripts; the scripts
 * are the .lua files of this folder, which the build makes into one library.
 */
#pragma once

#include "base/arena.h"
#include "codec/resp.h"
#include "store/record.h"
#include "store/store.h"

typedef enum ScriptKind {
    SCRIPT_PUSH,
    SCRIPT_WORK, /* moves, and then a lease */
    SCRIPT_BEAT,
    SCRIPT_PROMOTE,
    SCRIPT_EXPIRED,
    SCRIPT_GET,
    SCRIPT_WAIT, /* GET, and "tell me of its end" */
    SCRIPT_LIST,
    SCRIPT_QUEUES,
    SCRIPT_QUEUE_SET,
    SCRIPT_DELETE,
    SCRIPT_SWEEP,
    SCRIPT_META,
    SCRIPT_WORKER,
    SCRIPT_WORKERS,
    SCRIPT_IMPORT,
    SCRIPT_KEYS,
    SCRIPT_COUNT,
} ScriptKind;

typedef struct Script {
    const char *name;  /* "push" */
    bool is_write;     /* durability counts, and a replica cannot do it */
    bool is_numbered;  /* exactly once: needs a call number */
    bool may_oom;      /* frees memory in the end: runs also when maxmemory is reached */
    const char *piece; /* text of its file */
    const char *text;  /* for EVAL and SCRIPT LOAD: prelude, piece, call; made by scripts_init */
    char sha[41];      /* of the text, for EVALSHA */
} Script;

extern Script scripts_table[SCRIPT_COUNT]; /* made by tools/gen-lua, as the next */
extern const char *const scripts_name;     /* of the library: "sluice_SUM", and _push behind it */
extern const char *scripts_library;        /* text for FUNCTION LOAD; made by scripts_init */

/* Put the texts together. Before the first call; further ones do nothing. One thread at a time. */
void scripts_init(void);

/* How a script sends a message to a process. */
typedef enum RequestPublish {
    PUBLISH_PLAIN, /* PUBLISH, and the number of those who heard it counts: one server */
    PUBLISH_SHARD, /* SPUBLISH: a Cluster with shard channels */
    PUBLISH_BLIND, /* PUBLISH in a Cluster: nobody knows who heard it */
} RequestPublish;

/* What stands in front of each call's own arguments. */
typedef struct RequestHead {
    Str prefix; /* "sl{7}:" */
    Str epoch;
    Str client;
    uint64_t number; /* 0: none */
    Str heard;       /* numbers, separated by spaces */
    int64_t now_ms;  /* 0: the server's clock */
    RequestPublish publish;
} RequestHead;

typedef struct Request {
    ScriptKind kind;
    Str *argv; /* FCALL or EVALSHA, its name, 2, both keys, the head, the rest; in the arena */
    size_t argc;
    char *again; /* the byte to set to '1' when it is sent again; inside of argv */
} Request;

/*
 * Several pushes in one call: each is all or none by itself. HAS_FUNCTIONS: FCALL, else EVALSHA.
 *
 * All requests: 0, -ENOMEM, or -ERR_STORE_FORMAT for a record that cannot be read. All answers: 0
 * (then each op has its own r and words, as engine_apply would have left them), -ENOMEM, or
 * -ERR_STORE for an error of the server or a reply that is none of ours; -ERR_STORE_FORMAT for a
 * job that somebody else wrote there.
 */
MUST int request_push(Arena *arena, const RequestHead *head, bool has_functions,
                      StoreOp *const *ops, size_t n, Request *ret);
MUST int answer_push(const RespValue *reply, StoreOp *const *ops, size_t n);

/*
 * N moves of one STORE_MOVE (NULL for none) that lie in this partition, and then a lease (or NULL)
 * of at most lease->lease.max - lease->lease.n jobs. PROCESS waits from here on when the lease ends
 * up with none, and no longer when it has some (empty: neither). SKIP are types to be passed over:
 * the filter is the caller's, who gives back what it does not want and names its type from then on.
 * A lease of no jobs (n is max) lets the script wake another process that waits, if there is a
 * job. The answer adds records to MOVE->out (if it wants them, in the order of MOVES) and to
 * LEASE->out, and sets LEASE->r for this partition: 0 once it has jobs, STORE_EMPTY, or STORE_MORE
 * when too many were passed over.
 */
MUST int request_work(Arena *arena, const RequestHead *head, bool has_functions,
                      const StoreOp *move, StoreMove *const *moves, size_t n, const StoreOp *lease,
                      Str process, const Str *skip, size_t n_skip, Request *ret);
MUST int answer_work(const RespValue *reply, StoreOp *move, StoreMove *const *moves, size_t n,
                     StoreOp *lease);

/* N beats of one STORE_EXTEND that lie in this partition. */
MUST int request_beat(Arena *arena, const RequestHead *head, bool has_functions, const StoreOp *op,
                      StoreBeat *const *beats, size_t n, Request *ret);
MUST int answer_beat(const RespValue *reply, StoreBeat *const *beats, size_t n);

/*
 * Every other operation that has one partition, or is asked of each: PROMOTE, EXPIRED, SWEEP
 * (PROCESS is who does them), GET, WAIT (its end is said on P:end:ID), LIST, QUEUES, QUEUE_SET,
 * DELETE, META, WORKER, WORKERS. An answer sets OP->r for its partition and adds to what OP has:
 *
 *   PROMOTE, EXPIRED  n and out grow, next_…_ms is the least; start with n 0, both INT64_MAX,
 *                     is_elsewhere false (it becomes true when this partition is another's)
 *   LIST     at most max - n more; skip is lessened by what was skipped; total grows. CURSOR is
 *            the partition's own (at most LIST_CURSOR_BYTES), so is NEXT
 *   QUEUES   the first MAX by name, counts of the same name added up
 *   SWEEP    n grows; at most max - n
 *   QUEUE_SET without CREATES is -ERR_NOT_FOUND where a partition does not know the queue: when
 *            another does, ask again with it
 */
#define LIST_CURSOR_BYTES 31
MUST int request_one(Arena *arena, const RequestHead *head, bool has_functions, const StoreOp *op,
                     Str process, Request *ret);
MUST int answer_one(const RespValue *reply, StoreOp *op);

/*
 * Of one STORE_IMPORT the N jobs and N_KEYS keys that lie in this partition; WALL_MS is the
 * server's time as far as it is known. The answer adds to n_added.
 */
MUST int request_import(Arena *arena, const RequestHead *head, bool has_functions,
                        const StoreImport *const *jobs, size_t n, const StoreKey *const *keys,
                        size_t n_keys, int64_t wall_ms, Request *ret);
MUST int answer_import(const RespValue *reply, StoreOp *op);

/* A page of the idempotency keys; CURSOR is the server's, as NEXT gave it, empty at both ends. */
MUST int request_keys(Arena *arena, const RequestHead *head, bool has_functions, Str cursor,
                      Request *ret);
MUST int answer_keys(const RespValue *reply, StoreOp *op, Buf *next);

/* The server's time in an answer, ms. */
int64_t answer_now_ms(const RespValue *reply);

/* The partition of an id, and of an idempotency key, among N. */
uint32_t partition_of_id(const JobId *id, uint32_t n);
uint32_t partition_of_key(Str key, uint32_t n);

/* The text between the braces of partition I of N: "0" for the only one. */
uint32_t partition_tag(uint32_t i, uint32_t n);
