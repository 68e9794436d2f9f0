/*
 * Fuzz: sitemaps. In one piece and byte by byte the entries are the same, and so is the end; no URL
 * is empty or longer than its limit.
 */
#include "codec/sitemap.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int on_entry(void *ctx, const SitemapEntry *entry)
{
    Buf *seen = ctx;

    ASSERT(entry->url.len > 0 && entry->url.len <= LIMIT_SITEMAP_URL_BYTES);
    if (entry->has_lastmod)
        ASSERT(entry->lastmod.len > 0);
    buf_add_str(seen, entry->url);
    buf_add_char(seen, '\n');
    buf_add_i64(seen, entry->has_lastmod ? entry->lastmod_ms : -1);
    buf_add_char(seen, '\n');
    return 0;
}

static int read_pieces(Str file, size_t piece, Buf *seen)
{
    AUTO(sitemap_free) Sitemap *sitemap = sitemap_new(on_entry, seen);
    int r = 0;

    for (size_t i = 0; i < file.len && r == 0; i += piece)
        r = sitemap_feed(sitemap, str_sub(file, i, piece));
    r = sitemap_finish(sitemap);
    if (r < 0)
        err_take(r, NULL); /* as good as any other end */
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(buf_deinit) Buf whole = { 0 }, bytes = { 0 };
    Str file = str_from((const char *) data, len);
    int r = read_pieces(file, len + 1, &whole);

    ASSERT(read_pieces(file, 1, &bytes) == r);
    ASSERT(str_eq(buf_str(&whole), buf_str(&bytes)));
    return 0;
}
