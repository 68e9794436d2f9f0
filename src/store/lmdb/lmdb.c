/*
 * lmdb: jobs in a directory of this machine, durable when a call returns.
 *
 * The default store. One thread (the gate's) does all reading and writing, so LMDB's own lock file
 * is not needed (MDB_NOLOCK); the directory has a lock of ours instead. Nothing is kept in memory
 * for a job: a million of them cost address space and page cache. Opening reads the queues and
 * nothing else.
 *
 * LMDB checks little of what it reads from a file, so what can be told cheaply is told at open: the
 * format, the length of the file against the last page in use.
 */
#include "store/lmdb/lmdb_int.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LMDB_REDO_SHARE     16 /* of the disk and of the store, at most, for the log */
#define LMDB_REDO_BYTES_MIN (256 << 10)

static const char *const tree_names[KV_TREES] = { "jobs", "index", "meta" };

static int open_trees(LmdbKv *kv)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(kv->env, NULL, 0, &txn);

    if (rc != 0)
        return lmdb_fail(rc, "begin");
    for (size_t i = 0; i < KV_TREES && rc == 0; i++)
        rc = mdb_dbi_open(txn, tree_names[i], MDB_CREATE, &kv->trees[i]);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return lmdb_fail(rc, "open");
    }
    rc = mdb_txn_commit(txn);
    return rc != 0 ? lmdb_fail(rc, "commit") : 0;
}

/* A file that is shorter than it must be would end the process at the first look behind its end. */
static int check_length(const LmdbKv *kv, const char *file)
{
    MDB_envinfo info;
    MDB_stat stat_;
    struct stat st;
    uint64_t need;

    mdb_env_info(kv->env, &info);
    mdb_env_stat(kv->env, &stat_);
    need = ((uint64_t) info.me_last_pgno + 1) * stat_.ms_psize;
    if (stat(file, &st) < 0)
        return fail_errno("%s", file);
    if ((uint64_t) st.st_size < need && info.me_last_txnid > 0)
        return fail(-ERR_STORE_FORMAT, "%s is cut short: %lld bytes of %llu", file,
                    (long long) st.st_size, (unsigned long long) need);
    return 0;
}

/*
 * The log takes no more than a share of a small disk; where none can be made the store works
 * without. One that is there and cannot be opened is an error: it may hold what data.mdb lacks
 * (R3).
 */
static int open_redo(LmdbDb *db)
{
    uint64_t bytes = LIMIT_REDO_BYTES;
    struct statvfs fs;
    int r;

    if (statvfs(db->path, &fs) == 0)
        bytes = MIN(bytes, (uint64_t) fs.f_blocks * fs.f_frsize / LMDB_REDO_SHARE / 4096 * 4096);
    bytes = MIN(bytes, db->kv.space.map_bytes / LMDB_REDO_SHARE / 4096 * 4096);
    (void) snprintf(db->redo_file, sizeof(db->redo_file), "%s/sluice.redo", db->path);
    r = redo_open(&db->kv.redo, db->redo_file, MAX(bytes, (uint64_t) LMDB_REDO_BYTES_MIN));
    if (r != REDO_NO_ROOM)
        return r;
    log_debug("no room for a redo log: each batch is synced by LMDB");
    db->kv.redo = (Redo) REDO_NULL;
    return 0;
}

static int env_open(LmdbDb *db, const StoreConfig *config)
{
    char *path = db->path, *file = db->file;
    LmdbKv *kv = &db->kv;
    uint64_t map = (uint64_t) (config->max_bytes > 0 ? config->max_bytes
                                                     : (int64_t) LIMIT_STORE_MIB << 20);
    MDB_stat stat_;
    int r, rc;

    map = MAX(map / 4096 * 4096, (uint64_t) 1 << 20);
    rc = mdb_env_create(&kv->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(kv->env, KV_TREES + 1);
    if (rc == 0)
        rc = mdb_env_set_mapsize(kv->env, map);
    if (rc == 0)
        rc = mdb_env_open(kv->env, path, MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (rc != 0)
        return lmdb_fail(rc, "data.mdb");
    snprintf(file, sizeof(db->file), "%s/data.mdb", path);
    r = check_length(kv, file);
    if (r == 0)
        r = lmdb_space_open(&kv->space, file, map, config->reserve_bytes);
    if (r == 0) {
        mdb_env_stat(kv->env, &stat_);
        kv->space.page_bytes = stat_.ms_psize;
        lmdb_space_begin(kv);
        lmdb_space_ahead(kv);
        r = open_trees(kv);
    }
    kv->is_async = config->is_async;
    if (r < 0)
        return r;
    r = open_redo(db);
    return r < 0 ? r : lmdb_kv_recover(kv);
}

static void db_free(LmdbDb *db)
{
    engine_deinit(&db->engine);
    if (db->kv.env)
        lmdb_kv_close(&db->kv);
    lmdb_space_close(&db->kv.space);
    if (db->kv.env)
        mdb_env_close(db->kv.env);
    if (db->lock_fd >= 0)
        lmdb_directory_close(db->lock_fd);
    mem_free(db);
}

static int lmdb_open(const StoreConfig *config, void **ret_db)
{
    LmdbDb *db;
    int r;

    if (config->path.len == 0)
        return fail(-ERR_USAGE, "a directory is needed: lmdb:DIR");
    if (config->path.len >= LMDB_PATH_BYTES || memchr(config->path.data, '\0', config->path.len))
        return fail(-ERR_USAGE, "the directory's name is not valid");
    db = mem_new(LmdbDb);
    memcpy(db->path, config->path.data, config->path.len);
    db->lock_fd = db->kv.space.fd = db->kv.redo.fd = -1;
    r = lmdb_directory_open(db->path, &db->lock_fd);
    if (r == 0)
        r = env_open(db, config);
    if (r == 0)
        r = engine_init(&db->engine, &lmdb_kv_ops, &db->kv);
    if (r < 0) {
        db_free(db);
        return r;
    }
    *ret_db = db;
    return 0;
}

static int lmdb_sync(void *ctx)
{
    LmdbDb *db = ctx;

    return lmdb_kv_sync(&db->kv);
}

static void lmdb_close(void *ctx)
{
    LmdbDb *db = ctx;

    ASSERT(!db->kv.is_batch);
    db_free(db);
}

static void lmdb_stats(void *ctx, StoreStats *ret_stats)
{
    const LmdbDb *db = ctx;
    const Engine *engine = &db->engine;

    for (size_t i = 0; i < engine->n_queues; i++) {
        if (!engine->queues[i])
            continue;
        for (size_t s = 0; s < JOB_STATE_COUNT; s++)
            ret_stats->jobs += engine->queues[i]->now.counts[s];
    }
    ret_stats->bytes = db->kv.space.used;
    ret_stats->bytes_free = lmdb_space_left(&db->kv.space);
    ret_stats->is_full = db->kv.space.is_full;
}

const StoreDriver store_lmdb = {
    .name = "lmdb",
    .help = "lmdb:DIR    a directory of this machine, durable (the default)",
    .blocks = true,
    .open = lmdb_open,
    .close = lmdb_close,
    .begin = engine_begin,
    .apply = engine_apply,
    .commit = engine_commit,
    .abort = engine_abort,
    .sync = lmdb_sync,
    .stats = lmdb_stats,
    .last_steady_ms = engine_last_steady_ms,
    .events = engine_events,
    .want_types = engine_want_types,
    .next_due = engine_next_due,
};
