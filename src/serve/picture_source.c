/*
 * Where pictures come from; see the header.
 *
 * A path is opened below the folder by rows/file_below.h. Of a URL's answer the head says what may
 * be done with it (RFC 9111, as for a cache that serves many): whether it may be kept, for how long
 * it is fresh, and by what it is asked for again.
 */
#include "serve/picture_source.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/metrics.h"
#include "codec/http_cache.h"
#include "codec/url.h"
#include "net/http_client.h"
#include "rows/file_below.h"

#include <sluice/rt.h>

#include <sys/stat.h>
#include <unistd.h>

#define TAG_BYTES_MAX 256

void picture_source_deinit(PictureSource *source)
{
    buf_deinit(&source->bytes);
    buf_deinit(&source->tag);
}

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct FileRead {
    const char *folder;
    const char *path;
    Str known_tag;
    PictureSource *source;
} FileRead;

static int read_whole(int fd, uint64_t bytes, Buf *out)
{
    char *room;

    buf_init(out, LIMIT_SERVE_PICTURE_BYTES + 1);
    room = buf_reserve(out, (size_t) bytes + 1);
    if (!room)
        return buf_check(out);
    while (out->len <= bytes) {
        ssize_t n = read(fd, room + out->len, (size_t) bytes + 1 - out->len);

        if (n < 0)
            return fail_errno("the picture cannot be read");
        if (n == 0)
            return 0;
        out->len += (size_t) n;
    }
    return fail(-ERR_UNAVAILABLE, "the picture grows while it is read");
}

static int read_file(void *arg)
{
    FileRead *task = arg;
    PictureSource *source = task->source;
    struct stat st;
    int fd, r = file_below_open(task->folder, task->path, &fd, &st);

    if (r < 0)
        return r;
    if (st.st_size > LIMIT_SERVE_PICTURE_BYTES) {
        r = fail(-ERR_TOO_LARGE, "the picture has %lld bytes; it may have %d",
                 (long long) st.st_size, LIMIT_SERVE_PICTURE_BYTES);
    } else {
        buf_printf(&source->tag, "%lld.%09ld-%lld-%llu", (long long) st.st_mtim.tv_sec,
                   (long) st.st_mtim.tv_nsec, (long long) st.st_size,
                   (unsigned long long) st.st_ino);
        r = str_eq(buf_str(&source->tag), task->known_tag)
                ? PICTURE_SOURCE_SAME
                : read_whole(fd, (uint64_t) st.st_size, &source->bytes);
    }
    (void) close(fd);
    return r;
}

/* ---- URLs ------------------------------------------------------------------------------------ */

static bool fits_a_rule(const PicturesOpts *opts, Str url)
{
    Url parts;

    if (opts->n_rules == 0)
        return !opts->is_unsigned && url_parse(url, &parts) == 0 && parts.userinfo.len == 0;
    for (size_t i = 0; i < opts->n_rules; i++) {
        if (image_url_fits(opts->rules[i], url))
            return true;
    }
    return false;
}

int picture_source_allow(const PicturesOpts *opts, ImageSourceKind kind, Str text)
{
    if (kind == IMAGE_SOURCE_PATH && !opts->folder)
        return fail(-ERR_FORBIDDEN, "pictures are not read from files here; see images.folder");
    if (kind == IMAGE_SOURCE_URL && !fits_a_rule(opts, text))
        return fail(-ERR_FORBIDDEN, "pictures are not fetched from there; see images.sources");
    return 0;
}

static int on_redirect(void *ctx, const HttpRedirect *redirect)
{
    return picture_source_allow(ctx, IMAGE_SOURCE_URL, redirect->to);
}

/* A Date of whole seconds makes an answer look up to one older than it is. */
static int64_t seconds_above(int64_t ms)
{
    return ms > 0 ? (ms + MS_PER_S - 1) / MS_PER_S : 0;
}

/* What the head of ANSWER, which is 200 or 304, allows. */
static void judge_head(const PicturesOpts *opts, const HttpAnswer *answer, PictureSource *source)
{
    HttpCacheAnswer asked = { .status = 200, /* a 304 speaks of the one before */
                              .head = buf_str(&answer->head),
                              .response_ms = sl_wall_ms(),
                              .is_shared = true };
    HttpCacheEntry entry;
    Str tag;

    asked.request_ms = asked.response_ms - answer->took_ns / NS_PER_MS;
    http_cache_judge(&asked, &entry);
    tag = entry.etag.len > 0 ? entry.etag : entry.last_modified;
    if (tag.len <= TAG_BYTES_MAX)
        buf_add_str(&source->tag, tag);
    if (!opts->heeds_source)
        return;
    source->keep = entry.can_store    ? PICTURE_KEEP
                   : entry.is_private ? PICTURE_KEEP_PRIVATE
                                      : PICTURE_KEEP_NONE;
    if (entry.is_timed)
        source->fresh_s = seconds_above(entry.fresh_until_ms - asked.response_ms);
}

static int judge_answer(const PicturesOpts *opts, HttpAnswer *answer, bool has_condition,
                        PictureSource *source)
{
    if (answer->status == 404 || answer->status == 410)
        return fail(-ERR_NOT_FOUND, "the source has no such picture (status %d)", answer->status);
    if (answer->status == 304 && !has_condition)
        return fail(-ERR_HTTP, "the source answers 304 to a question without a condition");
    if (answer->status != 200 && answer->status != 304)
        return fail(-ERR_HTTP_STATUS, "the source answers with status %d", answer->status);
    judge_head(opts, answer, source);
    if (answer->status == 304)
        return PICTURE_SOURCE_SAME;
    source->bytes = answer->body;
    answer->body = (Buf){ 0 };
    return 0;
}

SUSPENDS static int fetch(const PicturesOpts *opts, Str url, Str known_tag, PictureSource *source)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    HttpEtag etag;
    const char *name = http_etag_parse(known_tag, &etag) ? "If-None-Match" : "If-Modified-Since";
    HttpHeader condition = { .name = str_from_c(name), .value = known_tag };
    HttpCall call = { .url = url,
                      .headers = &condition,
                      .n_headers = known_tag.len > 0,
                      .body_bytes_max = LIMIT_SERVE_PICTURE_BYTES,
                      .timeout_ms = opts->source_ms,
                      .on_redirect = on_redirect,
                      .ctx = (void *) (uintptr_t) opts, /* read only */
                      .accept = "image/*",
                      .keep_headers = true };
    int r = http_client_call(opts->http, &call, &answer);

    return r < 0 ? wrap(r, "source") : judge_answer(opts, &answer, known_tag.len > 0, source);
}

SUSPENDS static int load(const PicturesOpts *opts, ImageSourceKind kind, Str text, Str known_tag,
                         PictureSource *ret_source)
{
    AUTO(buf_deinit) Buf path = { 0 };
    FileRead task = { .folder = opts->folder, .known_tag = known_tag, .source = ret_source };
    int r;

    *ret_source = (PictureSource){ .fresh_s = -1 };
    if (kind == IMAGE_SOURCE_URL)
        return fetch(opts, text, known_tag, ret_source);
    buf_add_str(&path, text);
    buf_add_char(&path, '\0');
    r = buf_check(&path);
    if (r < 0)
        return r;
    task.path = path.data;
    return sl_offload(read_file, &task, .name = "picture");
}

/* ---- both ------------------------------------------------------------------------------------ */

static void count_error(int r)
{
    int status = err_http_status(r);

    metrics_add_label(METRIC_PICTURE_SOURCE_ERRORS,
                      str_from_c(status == 404   ? "missing"
                                 : status == 403 ? "forbidden"
                                 : status == 413 ? "too large"
                                 : status == 504 ? "timeout"
                                 : status == 502 ? "server"
                                                 : "other"),
                      1);
}

int picture_source_load(const PicturesOpts *opts, ImageSourceKind kind, Str text, Str known_tag,
                        PictureSource *ret_source)
{
    int r = load(opts, kind, text, known_tag, ret_source);

    if (r < 0)
        count_error(r);
    return r;
}
