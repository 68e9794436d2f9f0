/*
 * LMDB as a Kv.
 *
 * One LMDB transaction stays open over many batches. The changes of a batch go into it and, as one
 * record, into the redo log (redo.h); the batch is answered when the log has it. A checkpoint
 * commits the transaction, in LMDB's own way (pages, fdatasync, meta page), and begins a new epoch
 * of the log. LMDB's file is therefore whole at any moment, whatever happens to the power; what it
 * lacks is in the log. In async mode the log is synced every LIMIT_STORE_ASYNC_MS instead of for
 * each batch.
 *
 * A batch that must be given up takes the open transaction with it, because LMDB cannot take back a
 * part of one: it is begun again and the log's records of this epoch are applied to it. The same
 * happens when a checkpoint fails because the disk is full; the log then goes on filling.
 *
 * Where no log can be made (no room for it) each batch is an LMDB transaction of its own.
 *
 * Three cursors for each tree: one for gets and puts, one for removals, one for scans. A batch
 * works in few places at once, and a cursor that stays where it was finds the next key on the same
 * page.
 */
#include "store/lmdb/lmdb_int.h"

#include "base/log.h"
#include "base/rand.h"

#include <errno.h>

int lmdb_fail(int rc, const char *what)
{
    switch (rc) {
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT: return fail(-ERR_STORE_FULL, "%s: no room is left", what);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_PANIC: return fail(-ERR_STORE_FORMAT, "%s: %s", what, mdb_strerror(rc));
    default: return fail(-ERR_STORE, "%s: %s", what, mdb_strerror(rc));
    }
}

static MDB_val val(Str s)
{
    return (MDB_val){ .mv_size = s.len, .mv_data = (void *) s.data };
}

static Str str(const MDB_val *v)
{
    return str_from(v->mv_data, v->mv_size);
}

/* ---- transactions ---------------------------------------------------------------------------- */

static void forget_cursors(LmdbKv *kv)
{
    for (size_t i = 0; i < KV_TREES; i++)
        kv->at[i] = kv->dels[i] = kv->scan[i] = NULL; /* LMDB frees them with the transaction */
}

static bool has_redo(const LmdbKv *kv)
{
    return kv->redo.fd >= 0;
}

static int txn_begin(LmdbKv *kv)
{
    int rc = mdb_txn_begin(kv->env, NULL, 0, &kv->txn);

    if (rc != 0) {
        kv->txn = NULL;
        return lmdb_fail(rc, "begin");
    }
    lmdb_space_begin(kv);
    return 0;
}

static void txn_abort(LmdbKv *kv)
{
    if (kv->txn)
        mdb_txn_abort(TAKE(kv->txn));
    forget_cursors(kv);
}

/* Near the end of the disk's room. */
static bool is_tight(const LmdbKv *kv)
{
    return kv->space.full_since != 0 || kv->space.is_full || kv->space.is_inside;
}

/*
 * Full is full, anything else leaves doubt about what the disk holds. LMDB says EIO of a write that
 * was cut short, which is how a disk that becomes full looks first.
 */
static int commit_failed(LmdbKv *kv, int rc)
{
    if (rc == EIO && is_tight(kv))
        rc = ENOSPC;
    if (rc != ENOSPC && rc != EDQUOT && rc != MDB_MAP_FULL && rc != MDB_TXN_FULL)
        kv->has_failed = true;
    return lmdb_fail(rc, "commit");
}

static int txn_commit(LmdbKv *kv)
{
    int rc = mdb_txn_commit(TAKE(kv->txn));

    forget_cursors(kv);
    if (rc != 0)
        return commit_failed(kv, rc);
    lmdb_space_ahead(kv);
    return 0;
}

/* ---- the log --------------------------------------------------------------------------------- */

static const char epoch_key[] = "epoch";

static int apply_entry(void *ctx, KvTree tree, Str key, Str value, bool is_removed)
{
    LmdbKv *kv = ctx;
    MDB_val k = val(key), v = val(value);
    int rc = is_removed ? mdb_del(kv->txn, kv->trees[tree], &k, NULL)
                        : mdb_put(kv->txn, kv->trees[tree], &k, &v, 0);

    return rc != 0 && rc != MDB_NOTFOUND ? lmdb_fail(rc, "replay") : 0;
}

/* Begin the open transaction anew, with what the log has of this epoch. */
static int rebuild(LmdbKv *kv)
{
    uint64_t records;
    int r;

    txn_abort(kv);
    r = txn_begin(kv);
    if (r == 0)
        r = redo_replay(&kv->redo, kv->redo.epoch, apply_entry, kv, &records);
    if (r < 0)
        kv->has_failed = true; /* what was answered is in the log, and only there */
    return r;
}

/* Bring everything to LMDB's file and begin the next epoch (R1: both in one commit). */
static int checkpoint(LmdbKv *kv)
{
    uint64_t epoch = kv->redo.epoch + 1;
    MDB_val k = { sizeof(epoch_key) - 1, (void *) epoch_key }, v = { sizeof(epoch), &epoch };
    int rc = mdb_put(kv->txn, kv->epoch_tree, &k, &v, 0);
    int r;

    if (rc != 0)
        return lmdb_fail(rc, "checkpoint");
    r = txn_commit(kv);
    if (r == 0)
        redo_begin(&kv->redo, epoch);
    return r;
}

static int read_epoch(LmdbKv *kv, uint64_t *ret_epoch)
{
    MDB_val k = { sizeof(epoch_key) - 1, (void *) epoch_key }, v;
    int rc = mdb_dbi_open(kv->txn, "redo", MDB_CREATE, &kv->epoch_tree);

    *ret_epoch = rand_entropy() >> 1 |
                 1; /* of a new store: not that of a log left behind by another */
    if (rc == 0)
        rc = mdb_get(kv->txn, kv->epoch_tree, &k, &v);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return lmdb_fail(rc, "read the epoch");
    if (v.mv_size != sizeof(*ret_epoch))
        return fail(-ERR_STORE_FORMAT, "the epoch of the redo log has %zu bytes", v.mv_size);
    memcpy(ret_epoch, v.mv_data, sizeof(*ret_epoch));
    return 0;
}

/* There is no room for a checkpoint: the log stays as it is and goes on filling. */
static int go_on(LmdbKv *kv, int why)
{
    Err err;
    int r;

    err_take(why, &err);
    log_debug("checkpoint failed", L_C("error", err.text));
    r = rebuild(kv);
    if (r == 0)
        lmdb_space_refused(kv);
    return r;
}

int lmdb_kv_recover(LmdbKv *kv)
{
    uint64_t epoch, records = 0;
    int r = txn_begin(kv);

    if (r == 0)
        r = read_epoch(kv, &epoch);
    if (r == 0 && has_redo(kv))
        r = redo_replay(&kv->redo, epoch, apply_entry, kv, &records);
    if (r == 0 && !has_redo(kv))
        return txn_commit(kv);
    if (r == 0) {
        r = checkpoint(kv);
        if (r < 0 && records > 0 && !kv->has_failed)
            r = go_on(kv, r);
    }
    if (r < 0)
        txn_abort(kv);
    else if (records > 0)
        log_debug("redo log applied", L_UINT("records", records));
    return r;
}

/* ---- batches --------------------------------------------------------------------------------- */

static int kv_begin(void *ctx)
{
    LmdbKv *kv = ctx;
    int r = 0;

    ASSERT(!kv->is_batch);
    if (kv->has_failed)
        return fail(
            -ERR_STORE,
            "the disk has failed; the store stands still until the engine is started again");
    if (!kv->txn)
        r = txn_begin(kv);
    kv->is_batch = r == 0;
    return r;
}

static void kv_abort(void *ctx)
{
    LmdbKv *kv = ctx;

    ASSERT(kv->is_batch);
    kv->is_batch = false;
    if (!has_redo(kv)) {
        txn_abort(kv);
        return;
    }
    redo_forget(&kv->redo);
    (void) rebuild(kv); /* has_failed says it if not */
}

/*
 * LMDB's own commit makes the batch durable: when it does not fit into the log, and when it has
 * pushes that count on pages freed inside. Whether those serve (a large record needs them side by
 * side) only a commit can tell, and a push that is in the log must not be what never fits.
 */
static int commit_whole(LmdbKv *kv)
{
    int r = checkpoint(kv);
    Err err;

    if (r == 0)
        return 0;
    err_take(r, &err);
    redo_forget(&kv->redo);
    if (!kv->has_failed && rebuild(kv) == 0)
        lmdb_space_refused(kv);
    return err_put(&err);
}

/* Into the log. What cannot be written is given up; a sync that fails ends the store's work. */
static int commit_to_log(LmdbKv *kv)
{
    int r = redo_write(&kv->redo, !kv->is_async);
    Err err;

    if (r == 0)
        return 0;
    err_take(r, &err);
    kv->has_failed = !kv->redo.gathered.is_failed;
    redo_forget(&kv->redo);
    if (!kv->has_failed)
        (void) rebuild(kv);
    return err_put(&err);
}

/* A checkpoint when it is time. That it fails is no harm to the batch: the log has it. */
static void checkpoint_if_due(LmdbKv *kv)
{
    int r;

    if (!redo_is_long(&kv->redo) && !is_tight(kv))
        return;
    r = checkpoint(kv);
    if (r < 0 && !kv->has_failed)
        (void) go_on(kv, r); /* has_failed says it if not */
}

/* Pages that the last commit freed serve after one more, which no change may bring: a full store
 * refuses them. */
static void make_room(LmdbKv *kv)
{
    int r;

    if (!kv->space.wants_commit)
        return;
    kv->space.wants_commit = false;
    r = checkpoint(kv);
    if (r < 0 && !kv->has_failed)
        (void) go_on(kv, r); /* has_failed says it if not */
}

static int kv_commit(void *ctx)
{
    LmdbKv *kv = ctx;
    int r;

    ASSERT(kv->is_batch && kv->txn);
    kv->is_batch = false;
    if (!has_redo(kv))
        return txn_commit(kv);
    if (kv->redo.n == 0) { /* nothing has changed */
        make_room(kv);
        return 0;
    }
    r = redo_fits(&kv->redo) && !kv->space.is_inside ? commit_to_log(kv) : commit_whole(kv);
    if (r == 0 && kv->txn)
        checkpoint_if_due(kv);
    return r;
}

int lmdb_kv_sync(LmdbKv *kv)
{
    int r;

    ASSERT(!kv->is_batch);
    if (!has_redo(kv))
        return 0;
    r = redo_sync(&kv->redo);
    if (r < 0)
        kv->has_failed = true;
    return r;
}

void lmdb_kv_close(LmdbKv *kv)
{
    if (kv->txn && has_redo(kv) && !kv->has_failed && kv->redo.number > 0 && checkpoint(kv) < 0)
        log_debug("no checkpoint at the end; the log has it", L_UINT("records", kv->redo.number));
    txn_abort(kv);
    redo_close(&kv->redo);
}

static void gather(LmdbKv *kv, KvTree tree, Str key, Str value, bool is_removed)
{
    if (has_redo(kv))
        redo_gather(&kv->redo, tree, key, value, is_removed);
}

/* ---- entries --------------------------------------------------------------------------------- */

static int need_cursor(LmdbKv *kv, MDB_cursor **cursors, KvTree tree)
{
    int rc;

    ASSERT(kv->txn);
    if (cursors[tree])
        return 0;
    rc = mdb_cursor_open(kv->txn, kv->trees[tree], &cursors[tree]);
    return rc != 0 ? lmdb_fail(rc, "cursor") : 0;
}

static int kv_get(void *ctx, KvTree tree, Str key, Str *ret_value)
{
    LmdbKv *kv = ctx;
    MDB_val k = val(key), v;
    int r = need_cursor(kv, kv->at, tree), rc;

    if (r < 0)
        return r;
    rc = mdb_cursor_get(kv->at[tree], &k, &v, MDB_SET);
    if (rc == MDB_NOTFOUND)
        return KV_NONE;
    if (rc != 0)
        return lmdb_fail(rc, "read");
    *ret_value = str(&v);
    return 0;
}

static int put(LmdbKv *kv, KvTree tree, Str key, Str value, unsigned flags)
{
    MDB_val k = val(key), v = val(value);
    int r = need_cursor(kv, kv->at, tree), rc;

    if (r < 0)
        return r;
    ASSERT(key.len > 0 && key.len <= KV_KEY_BYTES);
    rc = mdb_cursor_put(kv->at[tree], &k, &v, flags);
    if (rc == MDB_KEYEXIST)
        return KV_EXISTS;
    if (rc != 0)
        return lmdb_fail(rc, "write");
    gather(kv, tree, key, value, false);
    return 0;
}

/*
 * Ids grow, so nearly every new job goes behind all others. LMDB splits a full page so that its
 * last entry moves too, unless it is told that this is an append: one place in eighteen.
 */
static int add_behind(LmdbKv *kv, KvTree tree, Str key, Str value)
{
    int r;

    if (key.len != sizeof(kv->last_added) || memcmp(key.data, kv->last_added, key.len) <= 0)
        return KV_EXISTS; /* that is, not behind */
    r = put(kv, tree, key, value, MDB_APPEND);
    if (r == 0)
        memcpy(kv->last_added, key.data, key.len);
    return r;
}

/* After a put that found KEY not to be the last: which one is. */
static int find_last(LmdbKv *kv, KvTree tree)
{
    MDB_val k, v;
    int rc = mdb_cursor_get(kv->at[tree], &k, &v, MDB_LAST);

    if (rc != 0 && rc != MDB_NOTFOUND)
        return lmdb_fail(rc, "read");
    if (rc == 0 && k.mv_size == sizeof(kv->last_added))
        memcpy(kv->last_added, k.mv_data, k.mv_size);
    return 0;
}

static int kv_add(void *ctx, KvTree tree, Str key, Str value)
{
    LmdbKv *kv = ctx;
    int r;

    if (tree != KV_JOBS)
        return put(kv, tree, key, value, MDB_NOOVERWRITE);
    r = add_behind(kv, tree, key, value);
    if (r != KV_EXISTS)
        return r;
    r = put(kv, tree, key, value, MDB_NOOVERWRITE);
    return r == 0 ? find_last(kv, tree) : r;
}

static int kv_put(void *ctx, KvTree tree, Str key, Str value)
{
    return put(ctx, tree, key, value, 0);
}

static int kv_replace(void *ctx, KvTree tree, Str key, Str value)
{
#ifdef SL_DEBUG
    LmdbKv *kv = ctx;
    MDB_val k, v;

    ASSERT(kv->at[tree]);
    ASSERT(mdb_cursor_get(kv->at[tree], &k, &v, MDB_GET_CURRENT) == 0);
    ASSERT(str_eq(str(&k), key));
#endif
    return put(ctx, tree, key, value, MDB_CURRENT);
}

static int kv_del(void *ctx, KvTree tree, Str key)
{
    LmdbKv *kv = ctx;
    MDB_val k = val(key), v;
    int r = need_cursor(kv, kv->dels, tree), rc;

    if (r < 0)
        return r;
    rc = mdb_cursor_get(kv->dels[tree], &k, &v, MDB_SET);
    if (rc == MDB_NOTFOUND)
        return KV_NONE;
    if (rc == 0)
        rc = mdb_cursor_del(kv->dels[tree], 0);
    if (rc != 0)
        return lmdb_fail(rc, "remove");
    gather(kv, tree, key, str_from(NULL, 0), true);
    return 0;
}

/* ---- scans ----------------------------------------------------------------------------------- */

static int give(int rc, const MDB_val *k, const MDB_val *v, Str *ret_key, Str *ret_value)
{
    if (rc == MDB_NOTFOUND)
        return KV_NONE;
    if (rc != 0)
        return lmdb_fail(rc, "read");
    *ret_key = str(k);
    *ret_value = str(v);
    return 0;
}

static int kv_seek(void *ctx, KvTree tree, Str key, bool is_backward, Str *ret_key, Str *ret_value)
{
    LmdbKv *kv = ctx;
    MDB_val k = val(key), v;
    int r = need_cursor(kv, kv->scan, tree), rc;

    if (r < 0)
        return r;
    kv->is_backward[tree] = is_backward;
    rc = mdb_cursor_get(kv->scan[tree], &k, &v, MDB_SET_RANGE);
    if (is_backward)
        rc = mdb_cursor_get(kv->scan[tree], &k, &v, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
    return give(rc, &k, &v, ret_key, ret_value);
}

static int kv_next(void *ctx, KvTree tree, Str *ret_key, Str *ret_value)
{
    LmdbKv *kv = ctx;
    MDB_val k, v;
    int rc;

    ASSERT(kv->scan[tree]); /* a scan is under way */
    rc = mdb_cursor_get(kv->scan[tree], &k, &v, kv->is_backward[tree] ? MDB_PREV : MDB_NEXT);
    return give(rc, &k, &v, ret_key, ret_value);
}

const KvOps lmdb_kv_ops = {
    .begin = kv_begin,
    .commit = kv_commit,
    .abort = kv_abort,
    .get = kv_get,
    .add = kv_add,
    .put = kv_put,
    .replace = kv_replace,
    .del = kv_del,
    .seek = kv_seek,
    .next = kv_next,
    .has_room = lmdb_has_room,
};
