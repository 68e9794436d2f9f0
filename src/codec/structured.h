/*
 * Structured data: what a page says to machines, in JSON-LD, Microdata and OpenGraph.
 *
 * Read once for each page, then asked by path:
 *
 *   jsonld:Product.offers.price     the first node whose @type is Product, in any script, at the
 *                                   top, in @graph or nested; then its members by name; of a list
 *                                   the first that has the member
 *   jsonld:Product.offers[].price   all of them, a JSON array
 *   jsonld:Product.image[1]         the second
 *   microdata:Product.name          itemscope with an itemtype that ends in /Product
 *   og:title                        <meta property="og:title">
 *   meta:description                <meta name=description>, also twitter:card
 *
 * Type names match behind the last /, # or `:`, and `*` is any. Names of meta are in lower case. Of
 * Microdata `itemref` is not followed, and URLs are as in the page (use the filter `url`). A script
 * that is not JSON even when comments, CDATA marks and trailing commas are taken away is counted
 * and left out. Depth and size are bounded: LIMIT_STRUCTURED_*.
 */
#pragma once

#include "codec/html.h"
#include "codec/json.h"
#include "codec/value_filter.h"

/* Zeroed: a page that says nothing. */
typedef struct Structured {
    Json jsonld;     /* an array: one value for each script */
    Json microdata;  /* an array of items: {"@type": "…", "name": "…"}, as JSON-LD has it */
    Json meta;       /* an object: "og:title", "description", … : the first content of each */
    size_t n_broken; /* scripts that are not JSON */
    size_t n_cut;    /* items and scripts over a limit */
    JsonDoc doc; /* all of it: {"jsonld":…,"microdata":…,"meta":…}; doc.text is valid JSON */
} Structured;

/* Read all that the page has. Everything lives in the arena. 0, -ERR_TOO_LARGE or -ENOMEM. */
MUST int structured_read(Arena *arena, HtmlParser *parser, Structured *ret_structured);

typedef struct StructuredPath StructuredPath; /* compiled, immutable */

/* Whether TEXT begins with jsonld:, microdata:, og: or meta:, so that it is no CSS selector. */
bool structured_is_path(Str text);

/* Compile a path. 0 or -ERR_INVALID with words and position. */
MUST int structured_path_new(Str text, StructuredPath **ret_path);
void structured_path_free(StructuredPath *path);
DEFINE_AUTO(StructuredPath *, structured_path_free);

/*
 * What is there: text for a string, integer, number (with its lexeme), boolean, JSON for a list or
 * an object; missing (VALUE_NULL) when there is none or it is null.
 * 0 or -ENOMEM.
 */
MUST int structured_find(Arena *arena, const Structured *structured, const StructuredPath *path,
                         Value *ret_value);
