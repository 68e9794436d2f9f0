/*
 * robots.txt: which rule decides about a target.
 *
 * A pattern is cut at its stars. The first piece must begin the target, each further one is looked
 * for behind the one before, as far to the left as it can be, and with "$" at the end the last
 * piece must end the target. Going left first never loses a match, so nothing is ever tried twice:
 * a pattern of a thousand stars costs one walk over the target (memmem is linear but for a constant
 * where the piece is short). A file may have fifty thousand patterns, each worth a walk over a long
 * target: the walks for one question are counted, and past LIMIT_ROBOTS_STEPS the answer is no.
 *
 *   /a*b*c$   against   /a..b..b..c      "/a" begins it, "b" at the first b, "c" ends it
 *
 * The rules are in the order in which they count, so the first that matches is the answer.
 */
#include "codec/robots.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/robots_int.h"

#define SCRATCH_BYTES 512 /* of targets that are normalised without asking the heap */
#define SHOWN_BYTES   200 /* of a pattern, where it is named */

/* ---- patterns ---------------------------------------------------------------------------------*/

/* Find PIECE in TARGET from AT on; moves *at behind it. False as well when *steps, which are the
 * bytes that may yet be walked over, do not suffice: they are 0 then. */
static bool skip_to(Str target, Str piece, size_t *at, size_t *steps)
{
    const char *found;
    size_t end;

    if (piece.len == 0)
        return true;
    found = memmem(target.data + *at, target.len - *at, piece.data, piece.len);
    end = found ? (size_t) (found - target.data) + piece.len : target.len;
    *steps -= MIN(*steps, end - *at);
    *at = end;
    return found && *steps > 0;
}

/* Whether TARGET ends with PIECE, not before AT. */
static bool ends_with(Str target, Str piece, size_t at)
{
    return target.len - at >= piece.len && str_ends(target, piece);
}

static bool pattern_matches(Str pattern, Str target, size_t *steps)
{
    bool is_anchored = pattern.data[pattern.len - 1] == '$';
    bool has_star;
    size_t at;
    Str piece;

    if (is_anchored)
        pattern.len--;
    has_star = str_find(pattern, '*') >= 0;
    piece = str_cut(pattern, '*', &pattern);
    if (!str_starts(target, piece))
        return false;
    if (!has_star)
        return !is_anchored || target.len == piece.len;
    at = piece.len;
    for (;;) {
        has_star = str_find(pattern, '*') >= 0;
        piece = str_cut(pattern, '*', &pattern);
        if (!has_star)
            return is_anchored ? ends_with(target, piece, at) : skip_to(target, piece, &at, steps);
        if (!skip_to(target, piece, &at, steps))
            return false;
    }
}

static Str pattern_of(const Robots *robots, const RobotsRule *rule)
{
    return str_from(robots->text + rule->at, rule->len);
}

/* TARGET begins with "/". */
static RobotsMatch decide(const Robots *robots, Str target)
{
    size_t steps = LIMIT_ROBOTS_STEPS;

    for (size_t i = 0; i < robots->n_rules; i++) {
        const RobotsRule *rule = &robots->rules[i];

        if (pattern_matches(pattern_of(robots, rule), target, &steps))
            return (RobotsMatch){
                .is_allowed = rule->is_allow,
                .is_by_rule = true,
                .is_allow_rule = rule->is_allow,
                .line = rule->line,
                .pattern = pattern_of(robots, rule),
            };
        if (steps == 0)
            return (RobotsMatch){ .is_undecided = true };
    }
    return (RobotsMatch){ .is_allowed = true };
}

/* ---- targets ----------------------------------------------------------------------------------*/

/* The index of the first byte of S that is one of SET, from FROM on; SIZE_MAX: there is none. */
static size_t find_any(Str s, const char *set, size_t from)
{
    for (size_t i = from; i < s.len; i++)
        if (s.data[i] != '\0' && strchr(set, s.data[i]))
            return i;
    return SIZE_MAX;
}

/* Where "://" is in S from FROM on; SIZE_MAX: nowhere. */
static size_t find_authority(Str s, size_t from)
{
    for (size_t i = from; i + 3 <= s.len; i++)
        if (memcmp(s.data + i, "://", 3) == 0)
            return i;
    return SIZE_MAX;
}

Str robots_target(Str url)
{
    size_t begin = str_starts(url, (Str) STR("//")) ? 2 : 0;
    size_t authority = find_authority(url, begin);
    size_t hash = find_any(url, "#", begin), path;

    if (find_any(url, "/?;", begin) < authority) /* "://" is part of the query, say */
        authority = SIZE_MAX;
    path = find_any(url, "/?;", authority == SIZE_MAX ? begin : authority + 3);
    if (path == SIZE_MAX || hash < path)
        return str_sub(url, 0, 0);
    return str_sub(url, path, MIN(hash, url.len) - path);
}

static bool is_plain(Str target)
{
    if (target.len == 0 || target.data[0] != '/')
        return false;
    for (size_t i = 0; i < target.len; i++)
        if (target.data[i] == '%' || target.data[i] == '#' || (target.data[i] & 0x80))
            return false;
    return true;
}

/* Without the fragment. */
static Str cut_fragment(Str target)
{
    Str fragment;

    return str_cut(target, '#', &fragment);
}

static bool is_robots_txt(Str target)
{
    Str query;

    return str_eq_c(str_cut(target, '?', &query), "/robots.txt");
}

/* Decide about TARGET with a slash before it if it has none, and escaped if SHOULD_ESCAPE. */
static RobotsMatch decide_copy(const Robots *robots, Str target, bool should_escape)
{
    char scratch[SCRATCH_BYTES];
    size_t bytes = 3 * target.len + 1, n = 0;
    AUTO(mem_free) char *heap = bytes > sizeof(scratch) ? mem_try(bytes) : NULL;
    char *copy = bytes > sizeof(scratch) ? heap : scratch;

    if (!copy)
        return (RobotsMatch){ .is_undecided = true };
    if (target.len == 0 || target.data[0] != '/')
        copy[n++] = '/';
    if (should_escape)
        return decide(robots, str_from(copy, n + robots_escape(copy + n, target)));
    if (target.len > 0)
        memcpy(copy + n, target.data, target.len);
    return decide(robots, str_from(copy, n + target.len));
}

RobotsMatch robots_match(const Robots *robots, Str target)
{
    if (robots->n_rules == 0 || is_robots_txt(cut_fragment(target)))
        return (RobotsMatch){ .is_allowed = true };
    if (is_plain(target))
        return decide(robots, target);
    return decide_copy(robots, cut_fragment(target), true);
}

RobotsMatch robots_match_verbatim(const Robots *robots, Str target)
{
    if (target.len > 0 && target.data[0] == '/')
        return decide(robots, target);
    return decide_copy(robots, target, false);
}

bool robots_allows(const Robots *robots, Str target)
{
    return robots_match(robots, target).is_allowed;
}

/* PATTERN, cut where it is very long, with what is not printable escaped. */
static void add_pattern(Str pattern, Buf *out)
{
    Str shown = str_sub(pattern, 0, SHOWN_BYTES);

    for (size_t i = 0; i < shown.len; i++) {
        unsigned char c = (unsigned char) shown.data[i];

        if (c < 0x20 || c >= 0x7f)
            buf_printf(out, "%%%02X", c);
        else
            buf_add_char(out, (char) c);
    }
    if (shown.len < pattern.len)
        buf_add_c(out, "...");
}

void robots_explain(const Robots *robots, Str target, Buf *out)
{
    RobotsMatch match = robots_match(robots, target);

    if (is_robots_txt(cut_fragment(target)))
        buf_add_c(out, "/robots.txt itself is always allowed");
    else if (robots->standing)
        buf_add_c(out, robots->standing);
    else if (match.is_undecided)
        buf_add_c(out, "the rules take too long to compare it with");
    else if (!match.is_by_rule)
        buf_add_c(out, "no rule matches");
    if (!match.is_by_rule || robots->standing)
        return;
    buf_printf(out, "line %u: %s: ", match.line, match.is_allow_rule ? "Allow" : "Disallow");
    add_pattern(match.pattern, out);
    buf_printf(out, " (group %s)", robots->group == ROBOTS_GROUP_AGENT ? "of our name" : "of *");
}

/* ---- without a file ---------------------------------------------------------------------------*/

Robots *robots_allow_all(void)
{
    static const Robots all = { .delay_ms = -1, .standing = "there is no robots.txt" };

    return (Robots *) &all; /* nothing writes to one */
}

Robots *robots_disallow_all(void)
{
    static const RobotsRule rule = { .len = 1 };
    static const Robots none = {
        .rules = &rule,
        .text = "/",
        .n_rules = 1,
        .delay_ms = -1,
        .standing = "robots.txt could not be read",
    };

    return (Robots *) &none; /* nothing writes to one */
}

/* ---- questions --------------------------------------------------------------------------------*/

size_t robots_bytes(const Robots *robots)
{
    return robots->bytes;
}

bool robots_is_cut(const Robots *robots)
{
    return robots->is_cut;
}

int64_t robots_crawl_delay_ms(const Robots *robots)
{
    return robots->delay_ms;
}

size_t robots_n_sitemaps(const Robots *robots)
{
    return robots->n_sitemaps;
}

Str robots_sitemap(const Robots *robots, size_t i)
{
    ASSERT(i < robots->n_sitemaps);
    return str_from(robots->text + robots->sitemaps[i].at, robots->sitemaps[i].len);
}
