/*
 * robots.txt: what a site asks of crawlers, as RFC 9309 says and as Google's library answers.
 *
 * A file is parsed once for one product token into the rules of its group, sorted so that the
 * first rule that matches is the one that counts. Everything else about robots.txt that needs no
 * network is here too: what the status of the file means, how long a copy is good, and what
 * X-Robots-Tag and <meta name=robots> say.
 *
 *   r = robots_parse(body, STR_C("sluice"), &robots);
 *   if (!robots_allows(robots, STR_C("/shop?page=2")))
 *       … robots_explain(robots, target, out) …   "line 12: Disallow: /shop (group of *)"
 */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The rules of one file for one agent. Immutable: any number of fibers and threads may ask it. */
typedef struct Robots Robots;

/*
 * Parse BODY, decoded, for the agent PRODUCT_TOKEN ("sluice"; see robots_product_token). Bytes
 * behind LIMIT_ROBOTS_BYTES, and the line that is cut there, are ignored. No text is malformed:
 * lines that mean nothing are passed over. 0 or -ENOMEM.
 */
MUST int robots_parse(Str body, Str product_token, Robots **ret_robots);
void robots_free(Robots *robots);
DEFINE_AUTO(Robots *, robots_free);

/* What stands for a file of which nothing is known: all allowed, or nothing but /robots.txt.
 * Static, and robots_free leaves them alone. */
Robots *robots_allow_all(void);
Robots *robots_disallow_all(void);

/*
 * The token that a User-Agent begins with, which is what robots.txt names: "Sluice/1.0 (+…)" has
 * "Sluice". Empty when it begins with none.
 */
Str robots_product_token(Str user_agent);

/* Path and query of an absolute URL, borrowed from it, without the fragment; empty for "/". */
Str robots_target(Str url);

/*
 * Whether TARGET may be fetched: path and query as they go on the wire ("/a/b?x=1"), beginning
 * with "/" (an empty one and "?x" count as "/" and "/?x"). Hexadecimal digits of escapes are made
 * upper case and bytes above 0x7f escaped before the comparison, as in the rules. /robots.txt
 * always may. When it cannot be told (RobotsMatch.is_undecided) it may not.
 */
bool robots_allows(const Robots *robots, Str target);

typedef struct RobotsMatch {
    bool is_allowed;
    bool is_by_rule;    /* a rule decided: the fields below are set */
    bool is_allow_rule; /* Allow, otherwise Disallow */
    unsigned line;      /* of the rule, from 1 */
    Str pattern;        /* as compared: escaped; borrowed from the rules */
    bool is_undecided;  /* not allowed for want of memory, or after LIMIT_ROBOTS_STEPS */
} RobotsMatch;

/* As robots_allows, with the rule that decided. */
RobotsMatch robots_match(const Robots *robots, Str target);

/* Append why TARGET is allowed or not: "line 12: Disallow: /private/ (group of *)", "no rule
 * matches". One line of printable text, whatever the file has; long patterns are cut. */
void robots_explain(const Robots *robots, Str target, Buf *out);

size_t robots_bytes(const Robots *robots); /* of memory, for the cache that keeps it */

/* Whether the file was longer than LIMIT_ROBOTS_BYTES, or named more than LIMIT_ROBOTS_SITEMAPS. */
bool robots_is_cut(const Robots *robots);

/* The greatest Crawl-delay of our group, as the file says it; -1 when it says none. */
int64_t robots_crawl_delay_ms(const Robots *robots);

/* The Sitemap lines of the whole file, as written: URLs that should be absolute. */
size_t robots_n_sitemaps(const Robots *robots);
Str robots_sitemap(const Robots *robots, size_t i);

/* ---- what an answer means ---------------------------------------------------------------------*/

#define ROBOTS_UNREACHABLE 0    /* in place of a status: no answer, whatever the reason */
#define ROBOTS_REDIRECTS   (-1) /* in place of a status: more than LIMIT_ROBOTS_REDIRECTS hops */

typedef enum RobotsUse {
    ROBOTS_USE_BODY,         /* parse it */
    ROBOTS_USE_STALE,        /* go on with the copy that is there, past its time */
    ROBOTS_USE_ALLOW_ALL,    /* there is no robots.txt */
    ROBOTS_USE_DISALLOW_ALL, /* there may be one, nobody can tell: stay away */
} RobotsUse;

typedef struct RobotsFetch {
    int status;                   /* of the last answer, after redirects; or one of the above */
    int64_t now_ms;               /* wall clock */
    int64_t unreachable_since_ms; /* of the first failure in a row; 0: this is the first */
    unsigned failures;            /* in a row before this one */
    bool has_copy;                /* rules of an earlier answer are there */
    Str cache_control;            /* of the answer; empty: none */
    int64_t age_ms;               /* of the answer: its Age header; 0: none */
} RobotsFetch;

typedef struct RobotsPolicy {
    RobotsUse use;
    bool is_unreachable; /* it counts as a failure; the run of failures goes on */
    int64_t good_ms;     /* ask again after this long */
} RobotsPolicy;

/*
 * What to do after asking for a robots.txt. 2xx is parsed; 4xx and too many redirects allow all;
 * 429, 5xx and no answer mean stay away, or go on with the old copy where there is one, and ask
 * again soon. After LIMIT_ROBOTS_UNREACHABLE_DAYS without an answer and without a copy all is
 * allowed.
 */
RobotsPolicy robots_policy(const RobotsFetch *fetch);

/* ---- X-Robots-Tag and <meta name=robots> ------------------------------------------------------*/

typedef struct RobotsMeta {
    bool is_noindex;
    bool is_nofollow;
    bool is_noarchive;
} RobotsMeta;

/*
 * Add what VALUE says to META: the value of one X-Robots-Tag, or the content of one <meta>.
 * Directives for other agents ("otherbot: noindex") do not count; those for PRODUCT_TOKEN and for
 * nobody in particular add up. Unknown ones are passed over, unavailable_after too.
 */
void robots_meta_parse(Str value, Str product_token, RobotsMeta *meta);
