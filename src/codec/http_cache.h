/*
 * HTTP caching (RFC 9111) for a cache that serves one user, or several: may an answer be kept,
 * until when is it fresh, how is it asked for again.
 *
 * The head of an answer goes in as it came (header lines), times are wall clock milliseconds, and
 * everything that comes out is a view into the head or a number. Where things are kept is the
 * caller's business: the head, the body, `vary_key` of the request and `request_ms`/`response_ms`
 * are all that must be stored; http_cache_judge of the stored head gives the rest back.
 *
 *   http_cache_judge(&answer, &entry);
 *   if (entry.can_store) … keep …
 *   later: HTTP_CACHE_FRESH: use it.  HTTP_CACHE_REVALIDATE: ask with entry.etag as If-None-Match
 *   and entry.last_modified as If-Modified-Since; on 304 http_cache_merge the heads and judge anew.
 */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- heads ------------------------------------------------------------------------------------*/

/*
 * Take the next header of a head ("Name: value\r\n" lines; a status line and what is malformed is
 * passed over; a folded line belongs to none). The value is trimmed. False at the end.
 */
bool http_head_next(Str *rest, Str *ret_name, Str *ret_value);

/* The first value of NAME, any case; data is NULL when there is none. */
Str http_head_find(Str head, const char *name);

/* ---- Cache-Control ----------------------------------------------------------------------------*/

typedef struct HttpCacheControl {
    bool no_store;
    bool no_cache; /* with field names too, which is stricter than it says */
    bool must_revalidate;
    bool is_private;
    bool is_public;
    bool is_immutable;
    bool has_max_age;
    bool has_shared_max_age;           /* s-maxage */
    int64_t max_age_ms;                /* 0 when it is no number */
    int64_t shared_max_age_ms;         /* as above */
    int64_t stale_if_error_ms;         /* 0: none */
    int64_t stale_while_revalidate_ms; /* 0: none */
} HttpCacheControl;

/* Add the directives of one Cache-Control value. The smallest of several max-age counts, and of
 * several s-maxage. */
void http_cache_control_parse(Str value, HttpCacheControl *control);

/* ---- answers ----------------------------------------------------------------------------------*/

typedef struct HttpCacheAnswer {
    Str method; /* of the request; empty means GET */
    int status;
    Str head;            /* header lines of the answer */
    int64_t request_ms;  /* when the request was sent */
    int64_t response_ms; /* when the answer came */
    bool is_shared; /* the cache serves several users: s-maxage counts, what is private is not kept
                       (can_store, where the answer's status would allow it) */
} HttpCacheAnswer;

/* What a head says. Views are borrowed from it. */
typedef struct HttpCacheEntry {
    bool can_store;
    bool can_revalidate;    /* there is a validator */
    bool must_revalidate;   /* never use it stale, not even when the server is away */
    bool is_heuristic;      /* nothing said how long it is fresh: it was guessed */
    bool is_timed;          /* something said it, if only that it is never fresh */
    bool is_private;        /* for one user only */
    int64_t fresh_until_ms; /* at or before response_ms: never without asking */
    int64_t error_until_ms; /* when the server is away it may be used until then */
    Str etag;               /* with quotes and W/; empty: none, or malformed */
    Str last_modified;      /* empty: none, or no date */
} HttpCacheEntry;

/* Judge an answer. Malformed headers count in the direction of asking again. */
void http_cache_judge(const HttpCacheAnswer *answer, HttpCacheEntry *ret_entry);

typedef enum HttpCacheUse {
    HTTP_CACHE_FRESH,      /* use it without asking */
    HTTP_CACHE_REVALIDATE, /* ask with its validators; a 304 makes it fresh */
    HTTP_CACHE_FETCH,      /* no validator: ask as if it were not there */
} HttpCacheUse;

/* What to do with a kept answer at NOW_MS. A clock that went back makes nothing fresher. */
HttpCacheUse http_cache_use(const HttpCacheEntry *entry, int64_t response_ms, int64_t now_ms);

/* Whether a kept answer may stand in at NOW_MS for one that failed (5xx, or no answer). */
bool http_cache_may_use_on_error(const HttpCacheEntry *entry, int64_t now_ms);

/*
 * Append to OUT the head of a kept answer brought up to date by a 304: fields of FRESH take the
 * place of those of STORED with their name, except what describes the body.
 */
void http_cache_merge(Str stored, Str fresh, Buf *out);

/* ---- Vary -------------------------------------------------------------------------------------*/

/* The value of request header NAME; data is NULL when the request has none. */
typedef Str HttpRequestHeaderFn(void *ctx, Str name);

/*
 * Append to OUT the values of the request headers that the Vary of HEAD names, one "name: value"
 * line each. A kept answer fits a request when this text is the same for both. False: Vary is "*",
 * nothing ever fits.
 */
bool http_cache_vary(Str head, HttpRequestHeaderFn *get, void *ctx, Buf *out);

/* ---- validators -------------------------------------------------------------------------------*/

typedef struct HttpEtag {
    Str opaque; /* between the quotes */
    bool is_weak;
} HttpEtag;

/* "abc" or W/"abc"; false: it is no entity tag. */
bool http_etag_parse(Str text, HttpEtag *ret_etag);
