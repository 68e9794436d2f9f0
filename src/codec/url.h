/*
 * Pieces of URLs: percent-encoding, query strings, path segments, and the split of an absolute
 * http(s) URL that routes and flags need. What browsers do with broken URLs is not its business.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum UrlPart {
    URL_PATH_SEGMENT, /* keeps unreserved and sub-delims : @ */
    URL_QUERY,        /* keeps unreserved only; space becomes %20 */
} UrlPart;

/* Append TEXT percent-encoded for PART. */
void url_encode(Buf *out, Str text, UrlPart part);

/*
 * TEXT with %XX decoded (and + as a space if PLUS_IS_SPACE); TEXT itself when there is nothing to
 * decode. Refuses a % without two digits, and what does not decode to UTF-8. 0 or -ERR_INVALID.
 */
MUST int url_decode(Arena *arena, Str text, bool plus_is_space, Str *ret_text);

/* One pair of a query string. */
typedef struct UrlPair {
    Str name;
    Str value;      /* empty without = */
    bool has_value; /* there was an = */
} UrlPair;

/*
 * Take the next pair of QUERY ("a=1&b=2", without the ?), decoded; start with *rest = query.
 * Returns 0, URL_QUERY_END, or -ERR_INVALID.
 */
enum { URL_QUERY_END = 1 };
MUST int url_query_next(Arena *arena, Str *rest, UrlPair *ret_pair);

/* The first value of NAME in QUERY; URL_QUERY_END when there is none, -ERR_INVALID. */
MUST int url_query_find(Arena *arena, Str query, const char *name, Str *ret_value);

/* Cut TARGET ("/a/b?x=1#f") into path and query; the fragment goes. */
void url_split_target(Str target, Str *ret_path, Str *ret_query);

/*
 * Take the next segment of PATH, not decoded; start with *rest = path, which begins with "/".
 * There are as many as slashes: "/a//b" has "a", "" and "b", "/a/" has "a" and "", "/" has "".
 * False at the end.
 */
bool url_path_next(Str *rest, Str *ret_segment);

/* An absolute URL cut in pieces, all borrowed from the text. */
typedef struct Url {
    Str scheme;    /* "http" or "https", as written */
    Str userinfo;  /* empty without @ */
    Str host;      /* a name, or an address; IPv6 without its brackets */
    Str path;      /* begins with "/", or is empty */
    Str query;     /* without the ? */
    uint16_t port; /* 80 or 443 when the URL names none */
    bool is_https;
    bool is_ipv6;
    bool has_port;
} Url;

/* Cut an absolute http or https URL. 0 or -ERR_INVALID with words. */
MUST int url_parse(Str text, Url *ret_url);

/* "ADDR:PORT", ":PORT", "[::1]:PORT", "ADDR": for --listen. PORT is DEFAULT_PORT if not given. */
MUST int url_parse_host_port(Str text, uint16_t default_port, Str *ret_host, uint16_t *ret_port);
