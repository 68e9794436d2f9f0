/*
 * Space: what happens before the disk is full.
 *
 * Finishing a job needs a few pages too, because LMDB never writes over a page that is in use. So
 * the file is allocated ahead of what is used, and the last part of what is allocated is not for
 * pushes:
 *
 *   0            used                    allocated            map
 *   |#############|......|<-- reserve --->|                    |
 *                  pushes  moves only
 *
 * When the file cannot grow any more (disk, quota, map) pushes are refused as soon as they would
 * eat into the reserve; moves go on, and the pages that retention frees are counted so that pushes
 * begin again. Where the file system cannot allocate, what statvfs says is free takes the place of
 * it.
 */
#include "store/lmdb/lmdb_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { RETRY_TXNS = 16, SMALL_FS_SHARE = 16 };

/*
 * What a push needs at most: its records with page slack and index; the paths above, once until
 * the next checkpoint.
 */
static uint64_t need_of(const LmdbSpace *space, uint64_t bytes)
{
    return bytes + bytes / 2 + 128 + (space->promised == 0 ? 16 * 4096 : 0);
}

static void reserve_size(LmdbSpace *space, int64_t reserve_bytes)
{
    struct statvfs fs;
    uint64_t reserve = (uint64_t) (reserve_bytes > 0 ? reserve_bytes : LIMIT_STORE_RESERVE);
    uint64_t grow = LIMIT_STORE_GROW;

    if (fstatvfs(space->fd, &fs) == 0) {
        uint64_t total = (uint64_t) fs.f_blocks * fs.f_frsize;
        reserve = MIN(reserve, total / SMALL_FS_SHARE);
        grow = MIN(grow, total / SMALL_FS_SHARE / 2);
    }
    reserve = MIN(reserve, space->map_bytes / SMALL_FS_SHARE);
    grow = MIN(grow, space->map_bytes / SMALL_FS_SHARE);
    space->reserve_bytes = MAX(reserve, (uint64_t) 64 * 4096);
    space->grow_bytes = MAX(grow, (uint64_t) 64 * 4096);
}

int lmdb_space_open(LmdbSpace *space, const char *file, uint64_t map_bytes, int64_t reserve_bytes)
{
    struct stat st;
    int fd = open(file, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return fail_errno("%s", file);
    if (fstat(fd, &st) < 0) {
        close(fd);
        return fail_errno("%s", file);
    }
    *space =
        (LmdbSpace){ .fd = fd, .page_bytes = 4096, .map_bytes = map_bytes, .can_allocate = true };
    if ((uint64_t) st.st_blocks * 512 >= (uint64_t) st.st_size) /* no holes: what was had is had */
        space->allocated = (uint64_t) st.st_size / 4096 * 4096;
    reserve_size(space, reserve_bytes);
    return 0;
}

void lmdb_space_close(LmdbSpace *space)
{
    if (space->fd >= 0)
        close(space->fd);
    space->fd = -1;
}

/* Have the file allocated up to END, or as far as it goes. */
static void allocate_to(LmdbSpace *space, uint64_t end)
{
    struct statvfs fs;

    end = MIN(end, space->map_bytes);
    if (end <= space->allocated)
        return;
    if (space->can_allocate) {
        uint64_t from = space->allocated;
        int r;

        do {
            r = fallocate(space->fd, 0, (off_t) from, (off_t) (end - from));
        } while (r < 0 && errno == EINTR);
        if (r == 0) {
            space->allocated = end;
            return;
        }
        if (errno != EOPNOTSUPP && errno != ENOSYS)
            return;
        space->can_allocate = false;
    }
    if (fstatvfs(space->fd, &fs) == 0)
        space->allocated = MIN(end, space->used + (uint64_t) fs.f_bavail * fs.f_frsize);
}

void lmdb_space_begin(LmdbKv *kv)
{
    LmdbSpace *space = &kv->space;
    MDB_envinfo info;

    mdb_env_info(kv->env, &info);
    space->used = ((uint64_t) info.me_last_pgno + 1) * space->page_bytes;
    space->promised = 0;
    space->is_inside = false;
    kv->txns++;
}

void lmdb_space_ahead(LmdbKv *kv)
{
    LmdbSpace *space = &kv->space;
    uint64_t want = space->used + space->reserve_bytes + space->grow_bytes / 2;

    if (space->allocated >= want)
        return;
    if (space->full_since != 0 && kv->txns - space->full_since < RETRY_TXNS)
        return;
    allocate_to(space, space->used + space->reserve_bytes + 2 * space->grow_bytes);
    space->full_since = space->allocated < want ? kv->txns : 0;
}

/*
 * Pages of a list of LMDB's (their number, then they in descending order) in runs of RUN and more.
 */
static uint64_t count_in_runs(const MDB_val *list, size_t run)
{
    const char *at = list->mv_data;
    size_t n, page, next, begin = 0;
    uint64_t pages = 0;

    memcpy(&n, at, sizeof(n));
    n = MIN(n, list->mv_size / sizeof(n) - 1);
    for (size_t i = 1; i <= n; i++) {
        memcpy(&page, at + i * sizeof(page), sizeof(page));
        if (i < n)
            memcpy(&next, at + (i + 1) * sizeof(next), sizeof(next));
        if (i < n && next + 1 == page)
            continue;
        if (i - begin >= run)
            pages += i - begin;
        begin = i;
    }
    return pages;
}

/*
 * Count the pages that were freed and can be written again by a record that needs RUN of them side
 * by side. What the last transaction freed serves only after one more. LMDB shows its list to
 * transactions that only read; no commit can come between, because there is one thread.
 */
static void count_free_inside(LmdbKv *kv, size_t run)
{
    uint64_t pages = 0, young = 0;
    MDB_cursor *cursor;
    MDB_txn *reader;
    MDB_val key, data;

    kv->space.free_inside = kv->space.free_young = 0;
    if (mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &reader) != 0)
        return;
    if (mdb_cursor_open(reader, 0, &cursor) == 0) {
        while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0) {
            size_t freed_by = 0;

            if (data.mv_size < sizeof(size_t) || key.mv_size != sizeof(freed_by))
                continue;
            memcpy(&freed_by, key.mv_data, sizeof(freed_by));
            if (freed_by < mdb_txn_id(reader))
                pages += count_in_runs(&data, run);
            else
                young += count_in_runs(&data, run);
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(reader);
    kv->space.free_inside = pages * kv->space.page_bytes;
    kv->space.free_young = young * kv->space.page_bytes;
    kv->space.counted_at = kv->txns;
    kv->space.counted_run = run;
}

void lmdb_space_refused(LmdbKv *kv)
{
    kv->space.refused_at = kv->txns;
    kv->space.is_full = true;
    kv->space.wants_commit = true;
}

uint64_t lmdb_space_left(const LmdbSpace *space)
{
    uint64_t end = space->used + space->reserve_bytes + space->promised;

    return space->allocated > end ? space->allocated - end : 0;
}

/* What goes to the end of the file all the same, because pages inside do not fit together, leaves
 * most of what is kept back there to moves. */
static bool has_reserve(const LmdbSpace *space)
{
    return space->allocated >= space->used + space->reserve_bytes / 4 * 3;
}

/* The file cannot grow: only what was freed inside is left. */
static bool has_room_inside(LmdbKv *kv, uint64_t bytes, uint64_t need)
{
    LmdbSpace *space = &kv->space;
    uint64_t want = need + space->reserve_bytes + space->promised;
    size_t run = (size_t) (bytes / space->page_bytes) + 1;

    space->is_full = true;
    if (space->refused_at == kv->txns || !has_reserve(space))
        return false;
    if (space->counted_at != kv->txns || space->counted_run != run)
        count_free_inside(kv, run);
    if (space->free_inside < want) {
        space->wants_commit = space->free_inside + space->free_young >= want;
        return false;
    }
    space->is_full = false;
    space->promised += need;
    space->is_inside = true;
    return true;
}

bool lmdb_has_room(void *ctx, uint64_t bytes)
{
    LmdbKv *kv = ctx;
    LmdbSpace *space = &kv->space;
    uint64_t need = need_of(space, bytes);

    if (need > lmdb_space_left(space))
        allocate_to(space, space->used + space->promised + space->reserve_bytes + need +
                               space->grow_bytes);
    if (need > lmdb_space_left(space))
        allocate_to(space, space->used + space->promised + space->reserve_bytes + need);
    if (need <= lmdb_space_left(space)) {
        space->is_full = false;
        space->promised += need;
        return true;
    }
    return has_room_inside(kv, bytes, need);
}
