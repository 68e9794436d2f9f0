/*
 * Sitemaps: URLs out of sitemap.xml, a sitemap index, RSS, Atom, or a plain list, as bytes come.
 *
 * The bytes are given piece by piece, decompressed; each URL is given on as soon as its entry is
 * complete. Memory is a fixed few KiB whatever the file is: no tree is made.
 *
 *   AUTO(sitemap_free) Sitemap *sitemap = sitemap_new(on_entry, ctx);
 *   while (… piece …)
 *       if ((r = sitemap_feed(sitemap, piece)) != 0) break;
 *   r = sitemap_finish(sitemap);
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SitemapKind {
    SITEMAP_UNKNOWN, /* nothing has been seen that would tell */
    SITEMAP_URLSET,  /* <urlset>: pages */
    SITEMAP_INDEX,   /* <sitemapindex>: other sitemaps */
    SITEMAP_RSS,     /* <rss> or <rdf:RDF>: the links of its items */
    SITEMAP_ATOM,    /* <feed>: the links of its entries */
    SITEMAP_TEXT,    /* one URL a line */
} SitemapKind;

/* One URL. Views are good until the callback returns. */
typedef struct SitemapEntry {
    SitemapKind kind;   /* of the file: INDEX means that url is a sitemap itself */
    Str url;            /* trimmed, entities replaced; not checked to be a URL */
    Str lastmod;        /* as written, trimmed; empty: none */
    int64_t lastmod_ms; /* when has_lastmod */
    bool has_lastmod;   /* lastmod is a time: W3C's forms, and those of HTTP in feeds */
} SitemapEntry;

typedef struct Sitemap Sitemap;

/* Called for each entry. Below zero stops the parser with that error. Does not suspend. */
typedef int SitemapFn(void *ctx, const SitemapEntry *entry);

Sitemap *sitemap_new(SitemapFn *on_entry, void *ctx);
void sitemap_free(Sitemap *sitemap);
DEFINE_AUTO(Sitemap *, sitemap_free);

enum {
    SITEMAP_FULL = 1, /* LIMIT_SITEMAP_URLS or LIMIT_SITEMAP_BYTES: the rest is ignored */
    SITEMAP_CUT = 2,  /* the file ended in the middle; what was complete has been given on */
};

/*
 * Take the next bytes. Returns 0, SITEMAP_FULL, the error of the callback, or -ERR_INVALID when
 * this is no sitemap (a page of HTML, UTF-16). After anything but 0 further bytes are ignored and
 * the same is returned.
 */
MUST int sitemap_feed(Sitemap *sitemap, Str piece);

/* No more bytes come. As sitemap_feed, and SITEMAP_CUT. An empty file is 0 and has no entry. */
MUST int sitemap_finish(Sitemap *sitemap);

size_t sitemap_n_entries(const Sitemap *sitemap); /* given on */
size_t sitemap_n_skipped(const Sitemap *sitemap); /* without a URL, or with one too long */
