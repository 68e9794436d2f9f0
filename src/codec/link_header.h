/*
 * Link headers (RFC 8288): <https://api.example/items?page=2>; rel="next".
 *
 * Nothing is allocated: what is found is a view into the header. Targets may be relative; they are
 * resolved by the caller, against the URL of the answer. Several Link lines of one answer are read
 * one after the other.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>

/* One link. Parameter values are unquoted; backslashes in them are left as they are. */
typedef struct LinkItem {
    Str target;      /* between < and >, trimmed; may be empty, which is the page itself */
    Str rel;         /* the first rel: one or more words; empty: none */
    Str type;        /* a hint at the media type; empty: none */
    Str title;       /* empty: none */
    Str params;      /* all parameters, raw: "; rel=next; n=1" */
    bool has_anchor; /* the link is about another resource than the page */
} LinkItem;

/*
 * Take the next link of a header; start with *rest = the value. What is malformed is passed over up
 * to the next comma. False at the end.
 */
bool link_header_next(Str *rest, LinkItem *ret_item);

/* Whether REL is one of the words of the link's rel, case ignored. */
bool link_has_rel(const LinkItem *item, const char *rel);

/* The next parameter of *rest (start with item->params): "title" and its value, which is empty and
 * without data when there is no "=". False at the end. */
bool link_param_next(Str *rest, Str *ret_name, Str *ret_value);

/* The target of the first link of HEADER with REL that is about the page; false: there is none. */
bool link_header_find(Str header, const char *rel, Str *ret_target);
