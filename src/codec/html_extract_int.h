/*
 * Inside html_extract: a plan, compiled.
 */
#pragma once

#include "codec/html_extract.h"
#include "codec/html_select.h"
#include "codec/structured.h"

#define ATTR_NAMES_MAX 4

/* What a field takes of a node. */
typedef enum Taking {
    TAKE_TEXT,       /* ::text, in one line */
    TAKE_LINES,      /* ::lines */
    TAKE_RAW,        /* ::raw */
    TAKE_HTML,       /* ::html */
    TAKE_OUTER_HTML, /* ::outer-html */
    TAKE_ATTR,       /* ::attr(a, b) */
    TAKE_EXISTS,     /* ::exists */
} Taking;

typedef struct HtmlField {
    char *name;
    HtmlSelector *selector; /* NULL: the record's own node */
    StructuredPath *path;   /* instead of a selector */
    HtmlPlan *inner;        /* instead of both: records inside the record */
    FilterChain *filters;   /* NULL for inner */
    size_t list_at;         /* filters before it are for each match */
    Taking taking;
    bool is_list; /* all matches */
    size_t n_attrs;
    char *attrs[ATTR_NAMES_MAX];
} HtmlField;

struct HtmlPlan {
    HtmlSelector *each; /* NULL: the page is one record */
    HtmlField *fields;
    size_t n;
    bool has_structured; /* a field here or inside asks for it */
};
