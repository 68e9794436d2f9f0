/*
 * Words of HTTP: reason phrases, tokens, media types, Accept. Dates are in time_text.h.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>

/* "Not Found" for 404; "Unknown" for a status without a phrase. Static text. */
const char *http_reason(int status);

/* Whether S is a token: a method or the name of a header. */
bool http_is_token(Str s);

/* Whether S may be the value of a header: no control character but tab, no space at its ends. */
bool http_is_field_value(Str s);

/*
 * Whether LIST, a comma-separated header such as Connection, has TOKEN, without regard to case.
 */
bool http_list_has(Str list, const char *token);

/* Take the next element of a comma-separated header, trimmed; quoted strings are kept whole. */
bool http_list_next(Str *rest, Str *ret_item);

/* Whether CONTENT_TYPE is TYPE ("application/json") whatever its parameters; case is ignored. */
bool http_media_is(Str content_type, const char *type);

/* Whether CONTENT_TYPE is JSON: application/json or anything that ends in +json. */
bool http_media_is_json(Str content_type);

/* The value of parameter NAME of a header such as Content-Type, unquoted; false: not there. */
bool http_media_param(Str header, const char *name, Str *ret_value);

/*
 * How much the Accept header ACCEPT wants TYPE, in thousandths: 1000 for an absent header, 0 for
 * "not at all". The most exact range counts (a type before a wildcard), as RFC 9110 says.
 */
int http_accept_quality(Str accept, const char *type);

/* The index of what ACCEPT wants most of the N types at OFFERED, the first of equals; -1: none. */
int http_accept_best(Str accept, const char *const *offered, size_t n);
