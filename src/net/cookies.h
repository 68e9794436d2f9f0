/*
 * A cookie jar: what servers asked the HTTP client to send back, in memory.
 *
 * The rules (RFC 6265bis: domains, paths, Secure, HttpOnly, the __Host- and __Secure- prefixes,
 * expiry, public suffixes where libcurl knows them) are libcurl's cookie engine. What is added here
 * is a bound: a jar holds at most so many cookies and bytes, in all and for each domain, and beyond
 * that the domain that has most loses its oldest, so that a hostile site pushes out its own.
 *
 * A jar serves any number of calls at once, of clients on one loop. Calls without a jar neither
 * send cookies nor keep them.
 */
#pragma once

#include "base/own.h"
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

typedef struct HttpCookies HttpCookies;

typedef struct HttpCookiesOpts {
    size_t cookies_max;    /* 0 means LIMIT_HTTP_COOKIES */
    size_t per_domain_max; /* 0 means LIMIT_HTTP_COOKIES_PER_DOMAIN */
    size_t bytes_max;      /* names, values, domains and paths; 0 means LIMIT_HTTP_COOKIES_BYTES */
} HttpCookiesOpts;

/* An empty jar, or NULL without memory. OPTS may be NULL. */
MUST HttpCookies *http_cookies_new(const HttpCookiesOpts *opts);

/* Not while a call uses it (asserted). */
void http_cookies_free(HttpCookies *jar);
DEFINE_AUTO(HttpCookies *, http_cookies_free);

/*
 * Add cookies from a text in Netscape's format (cookies.txt: domain, subdomains, path, secure,
 * expiry, name, value, with tabs), comments and empty lines included. Later lines replace earlier
 * ones. 0, or -ERR_INVALID with the number of the first line that is not one; those before it are
 * in.
 */
MUST int http_cookies_load(HttpCookies *jar, Str text);

/* Append all cookies to OUT in the same format, session cookies too (expiry 0), so that a crawl
 * that goes on later can load them. */
void http_cookies_save(HttpCookies *jar, Buf *out);

/* How often a server has set a cookie, or one was loaded: another number than the last time means
 * that there is something to save. */
uint64_t http_cookies_changes(const HttpCookies *jar);

/* What a browser does when it is closed: cookies without an expiry go. */
void http_cookies_end_session(HttpCookies *jar);

size_t http_cookies_count(HttpCookies *jar);
