/*
 * Fuzz: heads of answers. Whatever a server sends, what is found lies in the head, times stay
 * within reason, a merged head is read again, and a wait is never longer than its cap.
 *
 * The input is a head that is kept and, behind a NUL, one that comes with a 304.
 */
#include "codec/http_cache.h"

#include "base/assert.h"
#include "codec/http_wait.h"

#define NOW    INT64_C(1795230900000)
#define CAP    INT64_C(60000)
#define AGE_MS INT64_C(2147483648000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_within(Str text, Str part)
{
    if (part.len > 0)
        ASSERT(part.data >= text.data && part.data + part.len <= text.data + text.len);
}

static Str no_header(void *ctx, Str name)
{
    (void) ctx;
    return name;
}

static void check_head(Str head)
{
    AUTO(buf_deinit) Buf vary = { 0 };
    HttpCacheEntry entry;
    HttpWait wait = http_wait(429, head, NOW, CAP);

    http_cache_judge(
        &(HttpCacheAnswer){
            .status = 200, .head = head, .request_ms = NOW - 1, .response_ms = NOW },
        &entry);
    check_within(head, entry.etag);
    check_within(head, entry.last_modified);
    ASSERT(entry.error_until_ms >= entry.fresh_until_ms);
    ASSERT(entry.fresh_until_ms <= NOW + INT64_C(253402300799999) * 2);
    ASSERT(http_cache_use(&entry, NOW, NOW - 1) != HTTP_CACHE_FRESH);
    (void) http_cache_vary(head, no_header, NULL, &vary);
    ASSERT(wait.wait_ms >= 0 && wait.wait_ms <= CAP && wait.is_limited);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(buf_deinit) Buf merged = { 0 }, again = { 0 };
    Str fresh, head = str_cut(str_from((const char *) data, len), '\0', &fresh);

    check_head(head);
    check_head(fresh);
    http_cache_merge(head, fresh, &merged);
    check_head(buf_str(&merged));
    http_cache_merge(buf_str(&merged), str_from(NULL, 0), &again);
    ASSERT(again.len <= merged.len);
    return 0;
}
