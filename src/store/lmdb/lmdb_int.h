/*
 * The inside of the lmdb store: a directory that one engine at a time has open.
 *
 *   DIR/sluice.store   "sluice store 1\n": that the directory is ours, and in which format
 *   DIR/lock           locked (flock) while an engine runs; its process id as text
 *   DIR/data.mdb       LMDB's own file
 *   DIR/sluice.redo    what data.mdb lacks: see redo.h
 */
#pragma once

#include "store/engine_int.h"
#include "store/lmdb/redo.h"

#include <lmdb.h>

#define LMDB_FORMAT     1
#define LMDB_PATH_BYTES 3500

/* What is allocated, what is used, what is kept back. */
typedef struct LmdbSpace {
    int fd; /* of data.mdb, for fallocate; ours */
    uint64_t page_bytes;
    uint64_t map_bytes; /* the file never grows past this */
    uint64_t reserve_bytes;
    uint64_t grow_bytes;
    uint64_t allocated;   /* bytes of the file that are certain to be writable */
    uint64_t used;        /* at the begin of the transaction: up to the last page */
    uint64_t promised;    /* to pushes of the running transaction */
    uint64_t free_inside; /* pages that were freed and serve, when last counted */
    uint64_t free_young;  /* those that serve after one more commit */
    uint64_t counted_at;  /* transaction in which that was; 0: not */
    size_t counted_run;   /* and for records of how many pages */
    uint64_t refused_at;  /* transaction that has nothing free inside: a commit failed */
    bool can_allocate;    /* the file system knows fallocate */
    bool is_full;         /* pushes are refused */
    bool wants_commit;    /* one more would make room */
    bool is_inside;       /* pushes of the running transaction count on freed pages */
    uint64_t full_since;  /* transaction of the last failed growth */
} LmdbSpace;

typedef struct LmdbKv {
    MDB_env *env;
    MDB_dbi trees[KV_TREES];
    MDB_dbi epoch_tree;         /* one entry: the epoch of the redo log */
    MDB_txn *txn;               /* open over many batches; NULL before the first */
    bool is_batch;              /* one is under way */
    Redo redo;                  /* what TXN holds of finished batches, on disk */
    MDB_cursor *at[KV_TREES];   /* gets and puts */
    MDB_cursor *dels[KV_TREES]; /* removals: elsewhere in the index than puts */
    MDB_cursor *scan[KV_TREES];
    bool is_backward[KV_TREES];
    uint8_t last_added[16]; /* no job's id was seen behind it; see kv_add */
    bool is_async;
    bool has_failed; /* a sync failed: what the disk holds is not certain any more */
    uint64_t txns;
    LmdbSpace space;
} LmdbKv;

typedef struct LmdbDb {
    Engine engine; /* first: the driver's functions are the engine's */
    LmdbKv kv;
    int lock_fd;
    char path[LMDB_PATH_BYTES];
    char file[LMDB_PATH_BYTES + 16]; /* data.mdb */
    char redo_file[LMDB_PATH_BYTES + 16];
} LmdbDb;

/* ---- lock.c ---------------------------------------------------------------------------------- */

/*
 * Make sure that PATH is a directory of ours (make it when there is none) and take its lock.
 * -ERR_STORE_LOCKED, -ERR_STORE_FORMAT, -errno with words.
 */
MUST int lmdb_directory_open(const char *path, int *ret_lock_fd);
void lmdb_directory_close(int lock_fd);

/* ---- kv.c ------------------------------------------------------------------------------------ */

extern const KvOps lmdb_kv_ops;

/* LMDB's RC as one of our errors, with words. */
int lmdb_fail(int rc, const char *what);

/* After open: apply what the redo log has and data.mdb lacks. */
MUST int lmdb_kv_recover(LmdbKv *kv);

/* Async: bring to the disk what was answered. */
MUST int lmdb_kv_sync(LmdbKv *kv);

/* Before the environment is closed: a last checkpoint. */
void lmdb_kv_close(LmdbKv *kv);

/* ---- space.c --------------------------------------------------------------------------------- */

MUST int lmdb_space_open(LmdbSpace *space, const char *file, uint64_t map_bytes,
                         int64_t reserve_bytes);
void lmdb_space_close(LmdbSpace *space);

/* At the begin of each transaction. */
void lmdb_space_begin(LmdbKv *kv);

/* At the end of each: allocate ahead. */
void lmdb_space_ahead(LmdbKv *kv);
bool lmdb_has_room(void *kv, uint64_t bytes);

/*
 * After a commit that failed for want of room, in the transaction that was begun anew: what is free
 * inside does not serve, not before the next commit.
 */
void lmdb_space_refused(LmdbKv *kv);
uint64_t lmdb_space_left(const LmdbSpace *space);
