/*
 * What kind of bytes an answer is: HTML, XML, JSON, text, or something else.
 *
 * The MIME Sniffing standard (mimesniff.spec.whatwg.org) as far as a crawler needs it: the
 * Content-Type counts, but for the cases in which it is known to be made up; then the first bytes
 * say. No byte behind SNIFF_BYTES is looked at.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>

#define SNIFF_BYTES 1445

typedef enum SniffKind {
    SNIFF_EMPTY,  /* there are no bytes, and no type */
    SNIFF_HTML,   /* text/html */
    SNIFF_XML,    /* text/xml, application/xml, anything +xml: XHTML, feeds, sitemaps, SVG */
    SNIFF_JSON,   /* application/json, text/json, anything +json */
    SNIFF_TEXT,   /* other text */
    SNIFF_BINARY, /* images, archives, PDF, and what is unknown and not text */
} SniffKind;

typedef enum SniffBom {
    SNIFF_BOM_NONE,
    SNIFF_BOM_UTF8,
    SNIFF_BOM_UTF16_LE,
    SNIFF_BOM_UTF16_BE,
} SniffBom;

typedef struct Sniff {
    SniffKind kind;
    SniffBom bom;
    bool is_by_content; /* the bytes decided, not the header */
    Str mime;           /* the type without parameters: from the header (as written), or static */
} Sniff;

/*
 * Tell what HEAD, the first bytes of a body (all of a short one, SNIFF_BYTES of a long one), is.
 * CONTENT_TYPE is the header as it came, empty without one; NO_SNIFF: X-Content-Type-Options is
 * "nosniff".
 */
Sniff sniff_bytes(Str content_type, bool no_sniff, Str head);

/* The byte order mark that HEAD begins with, and how many bytes it has. */
SniffBom sniff_bom(Str head, size_t *ret_bytes);
