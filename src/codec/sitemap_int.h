/*
 * Sitemaps, what their files share: the parser's state, and the seam between its two halves. The
 * tokenizer (sitemap.c) cuts bytes into tags and text; the reader (sitemap_entry.c) makes entries
 * of them.
 */
#pragma once

#include "base/limits.h"
#include "codec/sitemap.h"

#define SITEMAP_RAW_BYTES     (2 * LIMIT_SITEMAP_URL_BYTES) /* of text, raw */
#define SITEMAP_TAG_BYTES     (2 * LIMIT_SITEMAP_URL_BYTES) /* a tag with its attributes */
#define SITEMAP_LASTMOD_BYTES 64
#define SITEMAP_PREFIX_BYTES  32

typedef enum SitemapField { FIELD_NONE, FIELD_URL, FIELD_LASTMOD } SitemapField;

/* Which part of the text the next byte belongs to. */
typedef enum SitemapMode {
    MODE_START,   /* before the first byte that tells XML from a list */
    MODE_LINE,    /* a list: in a line */
    MODE_CONTENT, /* between tags */
    MODE_TAG,     /* behind <, kind not yet known or an element */
    MODE_COMMENT, /* up to --> */
    MODE_CDATA,   /* up to ]]> */
    MODE_PI,      /* up to ?> */
    MODE_DOCTYPE, /* up to > outside of brackets and quotes */
} SitemapMode;

struct Sitemap {
    SitemapFn *on_entry;
    void *ctx;

    SitemapMode mode;
    SitemapKind kind;
    int outcome; /* what feed returns from here on; 0: it goes on */
    size_t bytes;
    size_t n_entries;
    size_t n_skipped;

    /* The tokenizer's. */
    unsigned matched; /* bytes of the end of a comment, CDATA section or instruction seen so far */
    char quote;       /* open in a tag or DOCTYPE; 0: none */
    bool in_subset;   /* of a DOCTYPE, between [ and ] */
    bool is_tag_cut;  /* the tag is longer than tag[] */
    size_t tag_len;
    char tag[SITEMAP_TAG_BYTES]; /* between < and > */

    /* The reader's. */
    size_t depth;       /* of the element that is open; 1 is the root */
    size_t entry_depth; /* of the entry that is open; 0: none */
    size_t field_depth; /* of the field that is open; 0: none */
    SitemapField field;
    size_t prefix_len;
    char prefix[SITEMAP_PREFIX_BYTES]; /* of the root's name: "sm" of <sm:urlset> */
    bool is_url_bad;                   /* it did not fit */
    size_t url_len;
    char url[LIMIT_SITEMAP_URL_BYTES];
    size_t lastmod_len;
    char lastmod[SITEMAP_LASTMOD_BYTES];
    bool is_raw_cut;
    size_t raw_len;
    char raw[SITEMAP_RAW_BYTES]; /* text of the field that is open; of a line */
};

/* A tag is complete: what stands between < and >. 0, or what feed shall return. */
MUST int sitemap_take_tag(Sitemap *sitemap, Str tag);

/* Text of the open field; with IS_LITERAL, ampersands in it are no entities. */
void sitemap_take_text(Sitemap *sitemap, Str text, bool is_literal);

/* A line of a list is in raw. 0, or what feed shall return. */
MUST int sitemap_take_line(Sitemap *sitemap);

/* TEXT as a time: the forms of W3C's note on dates, of mail and of HTTP. False: it is none. */
bool sitemap_time_parse(Str text, int64_t *ret_ms);
