/*
 * Fuzz: robots.txt. Of any file and any target: what is kept is bounded, the rules lie in the order
 * in which they count, what is escaped already is answered the same verbatim, patterns agree with a
 * matcher that tries everything.
 *
 * The input is an agent, a target and a file, each but the last up to a NUL.
 */
#include "codec/robots.h"

#include "base/assert.h"
#include "base/limits.h"
#include "codec/robots_int.h"

#define SLOW_BYTES 64 /* patterns and targets that the slow matcher is asked about */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What a pattern means, word for word: every way to fill a star is tried. */
static bool matches_slowly(Str pattern, Str target)
{
    if (pattern.len == 0)
        return true;
    if (pattern.len == 1 && pattern.data[0] == '$')
        return target.len == 0;
    if (pattern.data[0] == '*') {
        for (size_t i = 0; i <= target.len; i++)
            if (matches_slowly(str_sub(pattern, 1, pattern.len),
                               str_from(target.data + i, target.len - i)))
                return true;
        return false;
    }
    return target.len > 0 && pattern.data[0] == target.data[0] &&
           matches_slowly(str_sub(pattern, 1, pattern.len),
                          str_from(target.data + 1, target.len - 1));
}

static size_t stars_in(Str pattern)
{
    size_t n = 0;

    for (size_t i = 0; i < pattern.len; i++)
        n += pattern.data[i] == '*';
    return n;
}

static Str pattern_of(const Robots *robots, size_t i)
{
    return str_from(robots->text + robots->rules[i].at, robots->rules[i].len);
}

static void check_rules(const Robots *robots)
{
    ASSERT(robots->n_sitemaps <= LIMIT_ROBOTS_SITEMAPS);
    ASSERT(robots->bytes < 16 * LIMIT_ROBOTS_BYTES);
    ASSERT(robots->delay_ms >= -1);
    for (size_t i = 0; i < robots->n_rules; i++) {
        ASSERT(robots->rules[i].len > 0 && robots->rules[i].line > 0);
        if (i > 0)
            ASSERT(robots->rules[i].len <= robots->rules[i - 1].len);
    }
}

/* The first rule that matches slowly is the one that decided. */
static void check_match(const Robots *robots, Str target)
{
    RobotsMatch match = robots_match_verbatim(robots, target);

    if (target.len == 0 || target.data[0] != '/' || target.len > SLOW_BYTES)
        return;
    for (size_t i = 0; i < robots->n_rules; i++) {
        Str pattern = pattern_of(robots, i);

        if (pattern.len > SLOW_BYTES || stars_in(pattern) > 4)
            return;
        if (matches_slowly(pattern, target)) {
            ASSERT(match.is_by_rule && match.line == robots->rules[i].line);
            ASSERT(match.is_allowed == robots->rules[i].is_allow);
            return;
        }
    }
    ASSERT(match.is_allowed && !match.is_by_rule);
}

static void check_escaped(const Robots *robots, Str target)
{
    AUTO(buf_deinit) Buf escaped = { 0 }, words = { 0 };
    RobotsMatch match = robots_match(robots, target);
    Str fragment, plain = str_cut(target, '#', &fragment);

    ASSERT(robots_allows(robots, target) == match.is_allowed);
    robots_explain(robots, target, &words);
    ASSERT(words.len > 0);
    if (!buf_reserve(&escaped, 3 * plain.len + 1) || (!match.is_by_rule && match.is_allowed))
        return;
    escaped.len = robots_escape(escaped.data, plain);
    ASSERT(robots_match_verbatim(robots, buf_str(&escaped)).line == match.line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(robots_free) Robots *robots = NULL;
    Str body = str_from((const char *) data, len);
    Str agent = str_cut(body, '\0', &body);
    Str target = str_cut(body, '\0', &body);
    RobotsMeta meta = { 0 };

    ASSERT(robots_parse(body, agent, &robots) == 0);
    check_rules(robots);
    check_match(robots, target);
    check_match(robots, robots_target(target));
    check_escaped(robots, target);
    robots_meta_parse(body, agent, &meta);
    return 0;
}
