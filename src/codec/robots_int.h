/*
 * robots.txt, what its files share: the rules as they lie in memory.
 */
#pragma once

#include "codec/robots.h"

typedef enum RobotsGroup {
    ROBOTS_GROUP_NONE,  /* no group speaks of us: everything is allowed */
    ROBOTS_GROUP_ANY,   /* the group of "*" */
    ROBOTS_GROUP_AGENT, /* a group that names our product token; "*" does not count */
} RobotsGroup;

typedef struct RobotsRule {
    uint32_t at;   /* of the pattern, in text */
    uint32_t line; /* from 1 */
    uint16_t len;  /* of the pattern, escaped: at most three times LIMIT_ROBOTS_LINE_BYTES */
    bool is_allow;
} RobotsRule;

typedef struct RobotsSpan {
    uint32_t at, len; /* in text */
} RobotsSpan;

/* One block of memory: this, the rules, the sitemaps, the text. */
struct Robots {
    const RobotsRule *rules; /* what counts most first; no pattern is empty */
    const RobotsSpan *sitemaps;
    const char *text;
    size_t n_rules;
    size_t n_sitemaps;
    size_t bytes;
    int64_t delay_ms;
    RobotsGroup group;
    bool is_cut;
    const char *standing; /* why, where no file was parsed; NULL otherwise. Such are static */
};

/*
 * Write IN to OUT, which has room for three times its length: the hexadecimal digits of escapes in
 * upper case, bytes above 0x7f escaped. The length of what was written.
 */
size_t robots_escape(char *out, Str in);

/* robots_match with TARGET compared byte by byte as it is, which is what Google's library does: by
 * this the rules are held against its vectors. */
RobotsMatch robots_match_verbatim(const Robots *robots, Str target);
