/*
 * The robots cache: which robots.txt counts for an authority (scheme, host, port).
 *
 * Answers are kept for as long as codec/robots.h says (at most a day, Cache-Control), the least
 * recently used go when there are more than LIMIT_ROBOTS_CACHE or they take more than
 * LIMIT_ROBOTS_CACHE_BYTES. With a state file they are kept there too, so that a crawl that goes on
 * does not ask again. Fetching is the scheduler's: the cache says what is known and takes what was
 * answered.
 */
#pragma once

#include "base/text.h"
#include "codec/robots.h"

typedef struct RobotsCache RobotsCache;

typedef struct RobotsCacheOpts {
    bool is_ignored;    /* --ignore-robots: everything is allowed and nothing is fetched */
    Str product_token;  /* by which robots.txt knows us; empty means "sluice". Borrowed */
    unsigned tries_max; /* until pages end as ROBOTS_UNREACHABLE; 0 means LIMIT_ROBOTS_TRIES */
    int64_t retry_ms;   /* the first back-off between tries; 0 means LIMIT_ROBOTS_TRY_MS */
    int64_t timeout_ms; /* of one fetch; 0 means LIMIT_ROBOTS_TIMEOUT_MS */
    size_t authorities; /* kept; 0 means LIMIT_ROBOTS_CACHE; for tests */
} RobotsCacheOpts;

/* The authority of an absolute URL: "https://shop.test:8443", the default port left out; borrowed
 * from URL. And its politeness host: "shop.test". Both empty when it is no http or https URL. */
Str robots_authority(Str url);
Str robots_host(Str url);

enum {
    ROBOTS_CACHE_ALLOWED = 0,
    ROBOTS_CACHE_DISALLOWED = 1, /* by a rule */
    ROBOTS_CACHE_DOWN = 2,       /* nobody knows the rules: stay away */
    ROBOTS_CACHE_UNKNOWN = 3,    /* not asked yet, or too long ago */
};

/* Whether URL may be fetched, as far as is known at NOW (wall clock). One of the above; does not
 * suspend. For links and redirects that the pipeline wants to judge early. */
int robots_cache_ask(RobotsCache *cache, Str url, int64_t now_ms);

/* The rules of URL's authority, for its sitemaps and for robots_explain; NULL when unknown.
 * Borrowed until the next suspension. */
const Robots *robots_cache_find(RobotsCache *cache, Str url);
