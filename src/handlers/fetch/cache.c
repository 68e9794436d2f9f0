/*
 * Answers kept on disk, as HTTP allows it (RFC 9111): used without asking while they are fresh,
 * asked for again with their validators when they are not, and used though stale when the server is
 * away and had agreed to that.
 *
 * One file for each request, named for the SHA-256 of its method, URL and credentials, so that one
 * user's answers are never another's and no key stands in a name:
 *
 *   sluice-cache-1 SUM\n                                     16 digits: the hash of all behind it
 *   STATUS REQUEST_MS RESPONSE_MS TYPE HEAD VARY BODY\n      the last four in bytes
 *   type head vary body
 *
 * A file is written under a name of its own and renamed. One that is cut, changed or of another
 * version counts as not there and is written anew. The folder is bounded: beyond
 * LIMIT_FETCH_CACHE_BYTES or LIMIT_FETCH_CACHE_FILES the oldest files go. A cache that cannot be
 * read or written is a warning, never a failure.
 */
#include "handlers/fetch/fetch_int.h"

#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/hex.h"
#include "codec/http_cache.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_MAGIC     "sluice-cache-1 "
#define CACHE_SUM_BYTES 16
#define CACHE_SUFFIX    ".answer"
#define CACHE_LENGTHS   4

struct FetchCache {
    const char *dir;
    bool has_stored; /* in this round: look at the size */
};

/* ---- the folder ------------------------------------------------------------------------------ */

/* On the pool. */
static int make_dir(void *arg)
{
    FetchCache *cache = arg;

    if (mkdir(cache->dir, 0700) < 0 && errno != EEXIST)
        return fail_errno("cache_dir %s", cache->dir);
    if (access(cache->dir, R_OK | W_OK | X_OK) < 0)
        return fail_errno("cache_dir %s", cache->dir);
    return 0;
}

/* Where the task may keep files: the rule for rows decides for files of any kind. */
static int place_dir(FetchRun *run, Str *ret_dir)
{
    static const Str prefix = STR("jsonl:"), suffix = STR("/answers");
    Str dir = run->args->cache_dir, placed;
    int r;

    *ret_dir = dir;
    if (run->task->is_foreground || !run->task->ops->allow_out)
        return 0;
    r = run->task->ops->allow_out(
        run->task, arena_printf(run->arena, "jsonl:%.*s/answers", (int) dir.len, dir.data),
        &placed);
    if (r < 0)
        return wrap(r, "cache_dir");
    if (str_starts(placed, prefix))
        placed = str_sub(placed, prefix.len, placed.len);
    if (str_ends(placed, suffix))
        placed.len -= suffix.len;
    *ret_dir = placed;
    return 0;
}

int fetch_cache_open(FetchRun *run)
{
    FetchCache *cache;
    Str dir;
    int r;

    if (!run->args->cache)
        return 0;
    r = place_dir(run, &dir);
    if (r < 0)
        return r;
    cache = arena_new(run->arena, FetchCache);
    cache->dir = arena_copy_c(run->arena, dir);
    r = sl_offload(make_dir, cache, .name = "cache");
    if (r == 0)
        run->cache = cache;
    return r;
}

typedef struct CacheFile {
    char name[80];
    int64_t at_s;
    int64_t bytes;
} CacheFile;

static int compare_age(const void *a, const void *b)
{
    const CacheFile *first = a, *second = b;

    return (first->at_s > second->at_s) - (first->at_s < second->at_s);
}

/* Add the entry NAME to FILES if it is ours. */
static void look_at(const char *dir, const char *name, Buf *files, int64_t *total)
{
    CacheFile file = { 0 };
    char path[1200];
    struct stat info;

    if (!str_ends(str_from_c(name), (Str) STR(CACHE_SUFFIX)) || strlen(name) >= sizeof(file.name) ||
        snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int) sizeof(path) ||
        lstat(path, &info) < 0 || !S_ISREG(info.st_mode))
        return;
    memcpy(file.name, name, strlen(name));
    file.at_s = info.st_mtime;
    file.bytes = info.st_size;
    *total += file.bytes;
    buf_add(files, &file, sizeof(file));
}

/* On the pool: the oldest files go until a tenth of the room is free. */
static int prune(void *arg)
{
    const FetchCache *cache = arg;
    AUTO(buf_deinit) Buf files = { 0 };
    DIR *dir = opendir(cache->dir);
    int64_t total = 0;
    size_t n, i;
    CacheFile *items;

    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        look_at(cache->dir, entry->d_name, &files, &total);
    (void) closedir(dir);
    items = (CacheFile *) (void *) files.data;
    n = files.len / sizeof(CacheFile);
    if (total <= LIMIT_FETCH_CACHE_BYTES && n <= LIMIT_FETCH_CACHE_FILES)
        return 0;
    qsort(items, n, sizeof(CacheFile), compare_age);
    for (i = 0; i < n && (total > LIMIT_FETCH_CACHE_BYTES / 10 * 9 ||
                          n - i > LIMIT_FETCH_CACHE_FILES / 10 * 9);
         i++) {
        char path[1200];

        (void) snprintf(path, sizeof(path), "%s/%s", cache->dir, items[i].name);
        (void) unlink(path); /* another process may have been first */
        total -= items[i].bytes;
    }
    return 0;
}

int fetch_cache_prune(FetchRun *run)
{
    if (!run->cache || !run->cache->has_stored)
        return 0;
    run->cache->has_stored = false;
    return sl_offload(prune, run->cache, .name = "cache");
}

/* ---- the name -------------------------------------------------------------------------------- */

static void add_headers(Buf *out, const HttpHeader *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_add_str(out, headers[i].name);
        buf_add_char(out, ':');
        buf_add_str(out, headers[i].value);
        buf_add_char(out, '\n');
    }
}

static const char *path_of(Arena *arena, const FetchCache *cache, const HttpCall *call)
{
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(buf_deinit) Buf name = { 0 };
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    buf_add_str(&text, call->url);
    buf_add_char(&text, '\n');
    buf_add_str(&text, call->credentials.user);
    buf_add_char(&text, ':');
    buf_add_str(&text, call->credentials.password);
    buf_add_char(&text, '\n');
    buf_add_str(&text, call->credentials.bearer);
    buf_add_char(&text, '\n');
    add_headers(&text, call->secrets, call->n_secrets);
    if (!EVP_Digest(text.data, text.len, digest, &len, EVP_sha256(), NULL))
        return NULL;
    hex_encode_buf(&name, str_from((const char *) digest, len));
    return arena_printf(arena, "%s/%.*s" CACHE_SUFFIX, cache->dir, (int) name.len, name.data).data;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool take_number(Str *line, int64_t *ret)
{
    return str_to_i64(str_cut(*line, ' ', line), 0, INT64_MAX, ret) == 0;
}

/* The parts of the file in DATA; false: it is damaged. */
static bool parse_file(Str data, FetchStored *stored)
{
    static const Str magic = STR(CACHE_MAGIC);
    Str rest, line = str_cut(data, '\n', &rest);
    Str *parts[CACHE_LENGTHS] = { &stored->type, &stored->head, &stored->vary, &stored->body };
    int64_t status, lengths[CACHE_LENGTHS];
    char sum[CACHE_SUM_BYTES + 1];

    if (!str_starts(line, magic))
        return false;
    (void) snprintf(sum, sizeof(sum), "%016llx",
                    (unsigned long long) hash_bytes(rest.data, rest.len, 1, 2));
    if (!str_eq_c(str_sub(line, magic.len, line.len), sum))
        return false;
    line = str_cut(rest, '\n', &rest);
    if (!take_number(&line, &status) || !take_number(&line, &stored->request_ms) ||
        !take_number(&line, &stored->response_ms))
        return false;
    stored->status = (int) status;
    for (size_t i = 0; i < CACHE_LENGTHS; i++) {
        if (!take_number(&line, &lengths[i]) || (uint64_t) lengths[i] > rest.len)
            return false;
        *parts[i] = str_sub(rest, 0, (size_t) lengths[i]);
        rest = str_sub(rest, (size_t) lengths[i], rest.len);
    }
    return rest.len == 0;
}

static Str header_of(void *ctx, Str name)
{
    const HttpCall *call = ctx;

    for (size_t i = 0; i < call->n_headers; i++)
        if (str_eq_nocase(call->headers[i].name, name))
            return call->headers[i].value;
    for (size_t i = 0; i < call->n_secrets; i++)
        if (str_eq_nocase(call->secrets[i].name, name))
            return call->secrets[i].value;
    if (call->accept && str_eq_nocase(name, (Str) STR("Accept")))
        return str_from_c(call->accept);
    return (Str){ 0 };
}

static HttpCacheEntry judge(const FetchStored *stored)
{
    HttpCacheEntry entry;

    http_cache_judge(&(HttpCacheAnswer){ .status = stored->status,
                                         .head = stored->head,
                                         .request_ms = stored->request_ms,
                                         .response_ms = stored->response_ms },
                     &entry);
    return entry;
}

int fetch_cache_find(FetchSource *source, Arena *arena, HttpCall *call, FetchStored *stored)
{
    FetchCache *cache = source->run->cache;
    AUTO(buf_deinit) Buf vary = { 0 };
    size_t len;
    int r;

    *stored = (FetchStored){ 0 };
    if (!cache || !str_eq_c(source->method, "GET") || call->body.data)
        return 0;
    stored->path = path_of(arena, cache, call);
    if (!stored->path)
        return 0;
    r = sl_file_read_all(stored->path, LIMIT_FETCH_BODY_BYTES + (1 << 20), &stored->data, &len);
    if (r == -ECANCELED)
        return r;
    if (r < 0) {
        err_take(r, NULL); /* it is not there, which is what a cache begins with */
        return 0;
    }
    stored->is_there = parse_file(str_from(stored->data, len), stored) &&
                       http_cache_vary(stored->head, header_of, call, &vary) &&
                       str_eq(buf_str(&vary), stored->vary);
    if (!stored->is_there)
        return 0;
    stored->entry = judge(stored);
    stored->use = http_cache_use(&stored->entry, stored->response_ms, sl_wall_ms());
    return 0;
}

void fetch_stored_deinit(FetchStored *stored)
{
    free(stored->data); /* from sl_file_read_all */
    *stored = (FetchStored){ 0 };
}

/* ---- asking again ---------------------------------------------------------------------------- */

void fetch_cache_condition(Arena *arena, const FetchStored *stored, HttpCall *call)
{
    HttpHeader *headers;
    size_t n = call->n_headers;

    if (!stored->is_there || stored->use != HTTP_CACHE_REVALIDATE)
        return;
    headers = arena_zalloc(arena, (n + 2) * sizeof(HttpHeader));
    if (n > 0)
        memcpy(headers, call->headers, n * sizeof(HttpHeader));
    if (stored->entry.etag.len > 0)
        headers[n++] = (HttpHeader){ STR("If-None-Match"), stored->entry.etag };
    if (stored->entry.last_modified.len > 0)
        headers[n++] = (HttpHeader){ STR("If-Modified-Since"), stored->entry.last_modified };
    call->headers = headers;
    call->n_headers = n;
}

bool fetch_cache_may_stand_in(const FetchStored *stored)
{
    return stored->is_there && http_cache_may_use_on_error(&stored->entry, sl_wall_ms());
}

void fetch_cache_use(FetchSource *source, const FetchStored *stored, FetchPage *page)
{
    source->n_cached++;
    page->status = stored->status;
    page->type = stored->type;
    page->head = stored->head;
    page->body = stored->body;
}

/* ---- keeping --------------------------------------------------------------------------------- */

SUSPENDS static int write_file(FetchSource *source, const char *path, const FetchStored *kept)
{
    AUTO(buf_deinit) Buf rest = { 0 };
    AUTO(buf_deinit) Buf file = { 0 };
    int r;

    buf_printf(&rest, "%d %lld %lld %zu %zu %zu %zu\n", kept->status, (long long) kept->request_ms,
               (long long) kept->response_ms, kept->type.len, kept->head.len, kept->vary.len,
               kept->body.len);
    buf_add_str(&rest, kept->type);
    buf_add_str(&rest, kept->head);
    buf_add_str(&rest, kept->vary);
    buf_add_str(&rest, kept->body);
    buf_printf(&file, CACHE_MAGIC "%016llx\n",
               (unsigned long long) hash_bytes(rest.data, rest.len, 1, 2));
    buf_add_str(&file, buf_str(&rest));
    r = buf_check(&file);
    if (r == 0)
        r = sl_file_write_all(path, file.data, file.len, 0600);
    if (r == -ECANCELED)
        return r;
    if (r < 0) {
        fetch_note(source, "the cache cannot be written: %s", err_text(r));
        err_take(r, NULL);
    }
    source->run->cache->has_stored = true;
    return 0;
}

int fetch_cache_keep(FetchSource *source, HttpCall *call, FetchStored *stored, FetchPage *page)
{
    AUTO(buf_deinit) Buf vary = { 0 };
    AUTO(buf_deinit) Buf head = { 0 };
    bool is_renewed = page->answer.status == 304;
    FetchStored kept = {
        .status = page->answer.status,
        .type = str_from_c(page->answer.content_type),
        .head = buf_str(&page->answer.head),
        .body = buf_str(&page->answer.body),
        .response_ms = sl_wall_ms(),
    };

    if (!stored->path || source->run->cache == NULL)
        return 0;
    kept.request_ms = kept.response_ms - page->answer.took_ns / NS_PER_MS;
    if (is_renewed) {
        http_cache_merge(stored->head, kept.head, &head);
        kept.status = stored->status;
        kept.type = stored->type;
        kept.head = buf_str(&head);
        kept.body = stored->body;
    }
    kept.entry = judge(&kept);
    if (!kept.entry.can_store || !http_cache_vary(kept.head, header_of, call, &vary))
        return 0;
    kept.vary = buf_str(&vary);
    return write_file(source, stored->path, &kept);
}
