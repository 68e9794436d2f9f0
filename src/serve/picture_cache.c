/*
 * The cache of pictures; see the header.
 *
 * I1  `bytes` is the sum of the sizes of all files in the index, each in `by_use` exactly once.
 * I2  A file is in the index only after it has been renamed into its place; a file that is being
 *     removed is not in the index any more.
 *
 * Folders are walked, and files touched and removed, on the pool.
 */
#include "serve/picture_cache.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "codec/hex.h"

#include <sluice/rt.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC           "sluice-picture 2 "
#define SUM_BYTES       16
#define HEAD_BYTES_MAX  1024
#define TOUCH_S         600
#define FOLDERS         256
#define REMOVED_AT_ONCE 64
#define ABANDONED_S     60 /* a temporary file that is older is nobody's any more */

typedef struct Kept {
    ListLink link; /* in by_use, what was used longest ago first */
    char key[PICTURE_KEY_BYTES + 1];
    uint64_t bytes;    /* of the file */
    int64_t touched_s; /* its modification time, as last set */
} Kept;

struct PictureCache {
    char *dir;
    uint64_t max_bytes;
    uint64_t bytes;
    Map kept; /* key -> Kept */
    List by_use;
};

void picture_entry_deinit(PictureEntry *entry)
{
    free(entry->memory); /* of sl_file_read_all */
    *entry = (PictureEntry){ 0 };
}

static char *path_of(const PictureCache *cache, Arena *arena, const char *key)
{
    return arena_copy_c(arena, arena_printf(arena, "%s/%.2s/%s", cache->dir, key, key + 2));
}

static void tell_bytes(const PictureCache *cache)
{
    metrics_set(METRIC_PICTURE_CACHE_BYTES, (int64_t) cache->bytes);
}

static int64_t now_s(void)
{
    return sl_wall_ms() / MS_PER_S;
}

/* ---- the index ------------------------------------------------------------------------------- */

static void forget(PictureCache *cache, Kept *kept)
{
    cache->bytes -= kept->bytes;
    list_remove(&kept->link);
    (void) map_remove(&cache->kept, str_from(kept->key, PICTURE_KEY_BYTES));
    mem_free(kept);
    tell_bytes(cache);
}

static void remember(PictureCache *cache, const char *key, uint64_t bytes, int64_t touched_s)
{
    Str name = str_from(key, PICTURE_KEY_BYTES);
    Kept *kept = map_find(&cache->kept, name);

    if (kept)
        forget(cache, kept);
    kept = mem_new(Kept);
    memcpy(kept->key, key, PICTURE_KEY_BYTES);
    kept->bytes = bytes;
    kept->touched_s = touched_s;
    cache->bytes += bytes;
    list_push_back(&cache->by_use, &kept->link);
    (void) map_put(&cache->kept, name, kept);
    tell_bytes(cache);
}

/* ---- removing -------------------------------------------------------------------------------- */

typedef struct Removal {
    Arena arena;
    char *paths[REMOVED_AT_ONCE];
    size_t n;
} Removal;

static int remove_files(void *arg)
{
    Removal *removal = arg;

    for (size_t i = 0; i < removal->n; i++)
        (void) unlink(removal->paths[i]); /* what is not there is what we want */
    return 0;
}

/* Make room: what was used longest ago goes. */
SUSPENDS static void shrink(PictureCache *cache)
{
    while (cache->bytes > cache->max_bytes || cache->kept.len > LIMIT_SERVE_PICTURES_KEPT) {
        Removal removal = { 0 };
        int r;

        while (removal.n < REMOVED_AT_ONCE && !list_is_empty(&cache->by_use) &&
               (cache->bytes > cache->max_bytes || cache->kept.len > LIMIT_SERVE_PICTURES_KEPT)) {
            Kept *kept = LIST_ITEM(cache->by_use.first, Kept, link);

            removal.paths[removal.n++] = path_of(cache, &removal.arena, kept->key);
            forget(cache, kept); /* I2 */
        }
        metrics_add(METRIC_PICTURES_EVICTED, (int64_t) removal.n);
        r = sl_offload(remove_files, &removal, .name = "remove pictures");
        arena_deinit(&removal.arena);
        if (r < 0)
            return; /* cancelled: the next start finds them again */
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

typedef struct Found {
    char key[PICTURE_KEY_BYTES + 1];
    int64_t touched_s;
    uint64_t bytes;
} Found;

typedef struct Walk {
    const char *dir;
    int64_t now_s;
    Found *found;
    size_t n, cap;
} Walk;

/* How many bytes of NAME are the rest of a key: all that it has, or none. */
static size_t rest_of_key(const char *name)
{
    size_t i = 0;

    while (name[i] && (hex_digit(name[i]) >= 0 && !(name[i] >= 'A' && name[i] <= 'F')))
        i++;
    return i == PICTURE_KEY_BYTES - 2 ? i : 0;
}

/* A file of ours that an engine did not live to give its name. */
static void remove_if_abandoned(const Walk *walk, int dir, const char *name)
{
    struct stat st;

    if (rest_of_key(name) == 0 || !str_ends(str_from_c(name), str_from_c(".tmp")))
        return; /* somebody else's */
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        walk->now_s - st.st_mtim.tv_sec > ABANDONED_S)
        (void) unlinkat(dir, name, 0); /* the next start tries again */
}

static void add_found(Walk *walk, unsigned folder, int dir, const char *name)
{
    struct stat st;
    Found *found;

    if (rest_of_key(name) == 0 || name[PICTURE_KEY_BYTES - 2]) {
        remove_if_abandoned(walk, dir, name);
        return;
    }
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return;
    if (walk->n == walk->cap) {
        walk->cap = MAX(walk->cap * 2, (size_t) 1024);
        walk->found = mem_resize_array(walk->found, walk->cap, sizeof(Found));
    }
    found = &walk->found[walk->n++];
    (void) snprintf(found->key, sizeof(found->key), "%02x%.*s", folder, PICTURE_KEY_BYTES - 2,
                    name);
    found->touched_s = st.st_mtim.tv_sec;
    found->bytes = (uint64_t) st.st_size;
}

static int by_time(const void *a, const void *b)
{
    const Found *one = a, *two = b;

    return one->touched_s != two->touched_s ? (one->touched_s > two->touched_s ? 1 : -1)
                                            : strcmp(one->key, two->key);
}

static int make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return fail_errno("cache of pictures: %s", path);
}

/* One that is not there is made when something is put there. */
static int walk_folder(Walk *walk, unsigned folder, const char *path)
{
    struct dirent *entry;
    DIR *dir = opendir(path);

    if (!dir)
        return errno == ENOENT ? 0 : fail_errno("cache of pictures: %s", path);
    while ((entry = readdir(dir)))
        add_found(walk, folder, dirfd(dir), entry->d_name);
    (void) closedir(dir);
    return 0;
}

static int walk_folders(void *arg)
{
    Walk *walk = arg;
    size_t room = strlen(walk->dir) + 4;
    char *path = mem_zalloc(room);
    int r = make_folder(walk->dir);

    for (unsigned i = 0; r == 0 && i < FOLDERS; i++) {
        (void) snprintf(path, room, "%s/%02x", walk->dir, i & 0xff);
        r = walk_folder(walk, i, path);
    }
    mem_free(path);
    if (r == 0 && access(walk->dir, R_OK | W_OK | X_OK) < 0)
        r = fail_errno("cache of pictures: %s", walk->dir);
    if (walk->n > 0)
        qsort(walk->found, walk->n, sizeof(Found), by_time);
    return r;
}

int picture_cache_open(PictureCache **ret_cache, const char *dir, uint64_t max_bytes)
{
    PictureCache *cache = mem_new(PictureCache);
    Walk walk = { .dir = dir, .now_s = now_s() };
    int r;

    cache->dir = mem_copy_c(dir, strlen(dir));
    cache->max_bytes = max_bytes;
    map_init(&cache->kept, sl_random(), sl_random());
    r = sl_offload(walk_folders, &walk, .name = "cache of pictures");
    for (size_t i = 0; r == 0 && i < walk.n; i++)
        remember(cache, walk.found[i].key, walk.found[i].bytes, walk.found[i].touched_s);
    mem_free(walk.found);
    if (r < 0) {
        picture_cache_free(cache);
        return r;
    }
    shrink(cache);
    *ret_cache = cache;
    return 0;
}

void picture_cache_free(PictureCache *cache)
{
    if (!cache)
        return;
    while (!list_is_empty(&cache->by_use))
        forget(cache, LIST_ITEM(cache->by_use.first, Kept, link));
    ASSERT(cache->bytes == 0); /* I1 */
    map_deinit(&cache->kept);
    mem_free(cache->dir);
    mem_free(cache);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void sum_of(Str bytes, char out[static SUM_BYTES + 1])
{
    (void) snprintf(out, SUM_BYTES + 1, "%016llx",
                    (unsigned long long) hash_bytes(bytes.data, bytes.len, 3, 5));
}

/* The parts of the file in DATA; false: it is damaged. The source's tag is decoded in place. */
static bool parse_file(char *data, size_t len, PictureEntry *entry)
{
    Str magic = str_from_c(MAGIC), rest = str_from(data, len), word;
    char sum[SUM_BYTES + 1];

    if (!str_starts(rest, magic) || len < magic.len + SUM_BYTES + 1)
        return false;
    rest = str_sub(rest, magic.len + SUM_BYTES + 1, len);
    sum_of(rest, sum);
    if (memcmp(sum, data + magic.len, SUM_BYTES) != 0)
        return false;
    word = str_cut(rest, '\n', &entry->bytes);
    if (str_to_i64(str_cut(word, ' ', &word), 0, INT64_MAX, &entry->kept_s) < 0 ||
        str_to_i64(str_cut(word, ' ', &word), -1, INT64_MAX, &entry->fresh_s) < 0)
        return false;
    entry->type = str_cut(word, ' ', &word);
    entry->etag = str_cut(word, ' ', &word);
    if (word.len % 2 > 0 || hex_decode(word, data + (word.data - data)) < 0)
        return false;
    entry->tag = str_from(word.data, word.len / 2);
    return true;
}

typedef struct Touch {
    const char *path;
} Touch;

static int touch_file(void *arg)
{
    const Touch *touch = arg;

    (void) utimensat(AT_FDCWD, touch->path, NULL, 0); /* it may have been removed */
    return 0;
}

void picture_cache_remove(PictureCache *cache, const char *key)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Kept *kept = map_find(&cache->kept, str_from(key, PICTURE_KEY_BYTES));
    Removal removal = { .paths = { path_of(cache, &arena, key) }, .n = 1 };
    int r;

    if (!kept)
        return;
    forget(cache, kept);
    r = sl_offload(remove_files, &removal, .name = "remove pictures");
    (void) r; /* cancelled: the next start finds it again */
}

/* It has been used now. */
SUSPENDS static int note_use(PictureCache *cache, Arena *arena, Kept *kept)
{
    Touch touch = { .path = path_of(cache, arena, kept->key) };
    int64_t now = now_s();

    list_remove(&kept->link);
    list_push_back(&cache->by_use, &kept->link);
    if (now - kept->touched_s < TOUCH_S)
        return 0;
    kept->touched_s = now;
    return sl_offload(touch_file, &touch, .name = "touch picture");
}

int picture_cache_get(PictureCache *cache, const char *key, PictureEntry *ret_entry)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Kept *kept = map_find(&cache->kept, str_from(key, PICTURE_KEY_BYTES));
    size_t len = 0;
    int r;

    *ret_entry = (PictureEntry){ 0 };
    if (!kept)
        return PICTURE_CACHE_NONE;
    r = note_use(cache, &arena, kept);
    if (r == 0)
        r = sl_file_read_all(path_of(cache, &arena, key),
                             LIMIT_SERVE_PICTURE_BYTES + HEAD_BYTES_MAX, &ret_entry->memory, &len);
    if (r == 0 && parse_file(ret_entry->memory, len, ret_entry))
        return 0;
    picture_entry_deinit(ret_entry);
    if (r < 0 && sl_is_cancelled())
        return r;
    log_debug("picture in the cache is damaged", L_C("key", key));
    picture_cache_remove(cache, key); /* whatever is under it by now */
    return sl_is_cancelled() ? sl_checkpoint() : PICTURE_CACHE_NONE;
}

/* ---- keeping --------------------------------------------------------------------------------- */

static void write_file(const PictureEntry *entry, Buf *out)
{
    char sum[SUM_BYTES + 1];
    size_t head = strlen(MAGIC) + SUM_BYTES + 1;

    buf_init(out, LIMIT_SERVE_PICTURE_BYTES + HEAD_BYTES_MAX);
    buf_printf(out, "%s%0*d ", MAGIC, SUM_BYTES, 0);
    buf_printf(out, "%lld %lld %.*s %.*s ", (long long) entry->kept_s, (long long) entry->fresh_s,
               (int) entry->type.len, entry->type.data, (int) entry->etag.len, entry->etag.data);
    hex_encode_buf(out, entry->tag);
    buf_add_char(out, '\n');
    buf_add_str(out, entry->bytes);
    if (out->is_failed)
        return;
    sum_of(str_sub(buf_str(out), head, out->len), sum);
    memcpy(out->data + strlen(MAGIC), sum, SUM_BYTES);
}

/* One file, for the pool. */
typedef struct Writing {
    const char *dir;
    const char *inner; /* the folder below it */
    const char *temp;
    const char *path;
    Str bytes;
} Writing;

/* The temporary file; its folders too, where they are not there (any more). A descriptor, or -1. */
static int open_temp(const Writing *writing)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = open(writing->temp, flags, 0600);

    if (fd >= 0 || errno != ENOENT)
        return fd;
    (void) mkdir(writing->dir, 0700); /* if it fails, so does what follows */
    (void) mkdir(writing->inner, 0700);
    return open(writing->temp, flags, 0600);
}

/* Not synced: what a loss of power tears is found out by its sum. */
static int write_kept(void *arg)
{
    const Writing *writing = arg;
    Str rest = writing->bytes;
    int fd = open_temp(writing), r = 0;

    if (fd < 0)
        return fail_errno("%s", writing->temp);
    while (r == 0 && rest.len > 0) {
        ssize_t n = write(fd, rest.data, rest.len);

        if (n < 0)
            r = fail_errno("%s", writing->temp);
        else
            rest = str_sub(rest, (size_t) n, rest.len);
    }
    if (close(fd) < 0 && r == 0)
        r = fail_errno("%s", writing->temp);
    if (r == 0 && rename(writing->temp, writing->path) < 0)
        r = fail_errno("%s", writing->path);
    if (r < 0)
        (void) unlink(writing->temp); /* the first error is the one to tell */
    return r;
}

void picture_cache_put(PictureCache *cache, const char *key, const PictureEntry *entry)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf file = { 0 };
    Writing writing = { .dir = cache->dir };
    Err err;
    int r;

    write_file(entry, &file);
    if (file.is_failed || file.len > cache->max_bytes)
        return;
    writing.path = path_of(cache, &arena, key);
    writing.inner = arena_copy_c(&arena, arena_printf(&arena, "%s/%.2s", cache->dir, key));
    writing.temp = arena_copy_c(&arena, arena_printf(&arena, "%s.%016llx.tmp", writing.path,
                                                     (unsigned long long) sl_random()));
    writing.bytes = buf_str(&file);
    r = sl_offload(write_kept, &writing, .name = "keep picture");
    if (r < 0) {
        err_take(r, &err);
        metrics_add(METRIC_PICTURES_NOT_KEPT, 1);
        log_debug("picture not kept", L_C("why", err.text));
        return;
    }
    remember(cache, key, file.len, now_s());
    shrink(cache);
}

size_t picture_cache_len(const PictureCache *cache)
{
    return cache->kept.len;
}

uint64_t picture_cache_bytes(const PictureCache *cache)
{
    return cache->bytes;
}
