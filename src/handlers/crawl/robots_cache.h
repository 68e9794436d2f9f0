/*
 * The robots cache: which robots.txt counts for an authority (scheme, host, port).
 *
 * Answers are kept for as long as codec/robots.h says (at most a day, Cache-Control); the least
 * recently used go when there are more than LIMIT_ROBOTS_CACHE or they take more than
 * LIMIT_ROBOTS_CACHE_BYTES. With a state file they are kept there too, so that a crawl that goes on
 * does not ask again. Fetching is the scheduler's: the cache says what is known, and takes what was
 * answered. Pure bookkeeping: the time (wall clock) is an argument, nothing suspends.
 *
 * While a robots.txt cannot be had (5xx, 429, no answer) and no copy is there, its pages wait for
 * `tries_max` tries; after them the authority is DOWN for as long as codec/robots.h says, its pages
 * end as robots_unreachable, and those found later ask again. A copy whose time is over goes on
 * counting when its successor cannot be had.
 */
#pragma once

#include "base/text.h"
#include "codec/robots.h"

typedef struct RobotsCache RobotsCache;

typedef struct RobotsCacheOpts {
    bool is_ignored;    /* --ignore-robots: everything is allowed and nothing is fetched */
    Str product_token;  /* by which robots.txt knows us; empty means "sluice". Borrowed */
    unsigned tries_max; /* until pages end as robots_unreachable; 0 means LIMIT_ROBOTS_TRIES */
    int64_t retry_ms;   /* the first back-off between tries; 0 means LIMIT_ROBOTS_TRY_MS */
    int64_t timeout_ms; /* of one fetch; 0 means LIMIT_ROBOTS_TIMEOUT_MS */
    const char *proxy;  /* that it is fetched through; NULL: none. Borrowed */
    size_t authorities; /* kept; 0 means LIMIT_ROBOTS_CACHE; for tests */
} RobotsCacheOpts;

MUST RobotsCache *robots_cache_new(const RobotsCacheOpts *opts);
void robots_cache_free(RobotsCache *cache);
DEFINE_AUTO(RobotsCache *, robots_cache_free);

const RobotsCacheOpts *robots_cache_opts(const RobotsCache *cache); /* without zeros */

/* The authority of a canonical http or https URL, "https://shop.test:8443", and its host,
 * "shop.test"; borrowed from URL. Empty when it is none. */
Str robots_authority(Str url);
Str robots_host(Str url);

enum {
    ROBOTS_CACHE_ALLOWED = 0,
    ROBOTS_CACHE_DISALLOWED = 1, /* by a rule */
    ROBOTS_CACHE_DOWN = 2,       /* nobody knows the rules: stay away */
    ROBOTS_CACHE_UNKNOWN = 3,    /* not asked yet, or too long ago: fetch it */
    ROBOTS_CACHE_LATER = 4,      /* not answered so far: fetch it again at *ret_when_ms */
};

/* Whether URL may be fetched, as far as is known at NOW: one of the above. RET_WHEN_MS may be NULL.
 * For links and redirects that the pipeline wants to judge early, too. */
int robots_cache_ask(RobotsCache *cache, Str url, int64_t now_ms, int64_t *ret_when_ms);

/* Append why URL may not be fetched, where that is the answer: the line that says so, or why the
 * rules cannot be had. */
void robots_cache_explain(RobotsCache *cache, Str url, Buf *out);

/* The rules of URL's authority, old ones too; NULL when there are none. Borrowed until the next
 * suspension. */
const Robots *robots_cache_find(RobotsCache *cache, Str url);

/* What an authority answered; and, with the times, what is kept in the state file. */
typedef struct RobotsRecord {
    Str authority;
    int status; /* after redirects, or ROBOTS_UNREACHABLE, ROBOTS_REDIRECTS */
    Str body;   /* of 2xx, decoded */
    Str cache_control;
    int64_t age_ms;
    bool is_final; /* no answer will ever come: no further tries while pages wait */
    Str cause;     /* why there was no answer: "connect: Connection refused"; not kept in files */

    int64_t good_until_ms;        /* set by robots_cache_take */
    int64_t unreachable_since_ms; /* the same; 0: it is not */
} RobotsRecord;

/* Take an answer that has just come, and fill its times. 0 or -ENOMEM. */
MUST int robots_cache_take(RobotsCache *cache, RobotsRecord *record, int64_t now_ms);

/* Take a record of the state file. Its body is parsed anew. 0 or -ENOMEM. */
MUST int robots_cache_restore(RobotsCache *cache, const RobotsRecord *record);

/* For tests. */
size_t robots_cache_len(const RobotsCache *cache);
size_t robots_cache_bytes(const RobotsCache *cache);
