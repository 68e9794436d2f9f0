/*
 * URLs as browsers read them (WHATWG): parse, resolve against a base, serialise; the key by which
 * a crawl tells that it has seen one; and the signs of a trap.
 *
 * Only http and https come out of here: a `mailto:` or `javascript:` link is the outcome
 * WEB_URL_OTHER. A user name and password are dropped, and told (`had_userinfo`): a link must not
 * make a crawler send somebody's credentials, and those of a start URL belong in the options.
 *
 * All pieces are views into `href`, one text in the arena that was given. The parser is our own,
 * for a page has fifty links and each may cost a fraction of a microsecond; hosts that are not
 * plain (international names, IP addresses) and queries in other charsets go to lexbor.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum WebUrlHost {
    WEB_URL_NAME, /* "www.example.com", ASCII; other scripts as punycode */
    WEB_URL_IPV4, /* "127.0.0.1", whatever form it was written in */
    WEB_URL_IPV6, /* "[::1]", compressed, with its brackets */
} WebUrlHost;

typedef struct WebUrl {
    Str href;     /* the whole, serialised: "https://example.com:8443/a?b=1#c" */
    Str host;     /* as in href */
    Str path;     /* begins with "/" */
    Str query;    /* without the "?" */
    Str fragment; /* without the "#" */
    WebUrlHost host_kind;
    uint16_t port;   /* the one to connect to: 80 and 443 when href names none */
    uint8_t charset; /* Charset.id of the document whose base this is: how the queries of links
                        resolved against it are encoded; 0 means UTF-8 */
    bool is_https;
    bool has_port;     /* href names one: it is not the scheme's own */
    bool has_query;    /* there is a "?", perhaps with nothing behind it */
    bool has_fragment; /* there is a "#" */
    bool had_userinfo; /* a user name or password was dropped */
} WebUrl;

enum {
    WEB_URL_INVALID = 1, /* no browser would follow it */
    WEB_URL_OTHER = 2,   /* neither http nor https */
};

/*
 * Read TEXT, a URL that is absolute unless BASE (may be NULL) is there to resolve it against. Of
 * the white space and control characters around it nothing stays.
 *
 * Returns 0, WEB_URL_INVALID (also for more than LIMIT_WEB_URL_BYTES), WEB_URL_OTHER, or -ENOMEM.
 */
MUST int web_url_resolve(Arena *arena, const WebUrl *base, Str text, WebUrl *ret_url);

/* As web_url_resolve without a base, for what a person wrote: -ERR_INVALID with words instead of
 * the outcomes. */
MUST int web_url_parse(Arena *arena, Str text, WebUrl *ret_url);

/* "https://example.com:8443", a view: what robots.txt and politeness go by. */
Str web_url_origin(const WebUrl *url);

/* href without its fragment, a view: what is fetched. */
Str web_url_without_fragment(const WebUrl *url);

/* Path and query, "/a?b=1", a view: what a request line and robots.txt rules see. */
Str web_url_target(const WebUrl *url);

/* ---- seen before? ---------------------------------------------------------------------------- */

/* What else makes two URLs one; zeroed: nothing. */
typedef struct WebUrlKeyOpts {
    bool has_sorted_query;    /* parameters are sorted by name, then value */
    bool is_tracking_dropped; /* utm_*, gclid, fbclid, …: see web_url_is_tracking */
    bool is_session_dropped;  /* PHPSESSID, jsessionid, sid, …: see web_url_is_session */
    bool is_scheme_ignored;   /* http and https are one */
    const Str *dropped;       /* names of further parameters to drop */
    size_t n_dropped;
} WebUrlKeyOpts;

/*
 * Write the canonical form of URL to OUT, whose old content goes: no fragment, no default port,
 * percent-encoding in capitals and only where it is needed (%7e is ~, %2f stays %2F), an empty
 * query gone when dropping made it empty; then what OPTS (NULL: nothing) says. It is a URL too.
 * OUT tells by itself whether all fitted.
 */
void web_url_key(const WebUrl *url, const WebUrlKeyOpts *opts, Buf *out);

/* Whether a query parameter of this name only says where the visitor came from. */
bool web_url_is_tracking(Str name);

/* Whether a query parameter of this name only says who the visitor is. */
bool web_url_is_session(Str name);

/* ---- traps ----------------------------------------------------------------------------------- */

/* Bounds of what a page that a person wrote looks like; zero means the default. */
typedef struct WebUrlTrapOpts {
    unsigned max_bytes;    /* of href; 0 means 2048 */
    unsigned max_segments; /* of the path; 0 means 24 */
    unsigned max_repeats;  /* of one path segment, or of a run of them in a row; 0 means 3 */
    unsigned max_pairs;    /* of the query; 0 means 24 */
} WebUrlTrapOpts;

/*
 * Why URL looks like one of an endless series: "too long", "too deep", "segments repeat", "too
 * many parameters"; NULL when it does not. OPTS may be NULL. Static text.
 */
const char *web_url_trap(const WebUrl *url, const WebUrlTrapOpts *opts);
