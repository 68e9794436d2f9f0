/*
 * robots.txt: what each answer means and for how long, and the directives of single pages.
 */
#include "codec/robots.h"

#include "base/limits.h"
#include "base/test.h"

#define NOW INT64_C(1795230900000)
#define DAY (INT64_C(24) * 3600 * 1000)

static RobotsPolicy policy_of(int status)
{
    return robots_policy(&(RobotsFetch){ .status = status, .now_ms = NOW });
}

TEST(answers_mean)
{
    static const struct {
        int status;
        RobotsUse use;
    } cases[] = {
        { 200, ROBOTS_USE_BODY },
        { 204, ROBOTS_USE_BODY },
        { 206, ROBOTS_USE_BODY },
        { 301, ROBOTS_USE_ALLOW_ALL }, /* it led nowhere */
        { 304, ROBOTS_USE_ALLOW_ALL },
        { 400, ROBOTS_USE_ALLOW_ALL },
        { 401, ROBOTS_USE_ALLOW_ALL },
        { 403, ROBOTS_USE_ALLOW_ALL },
        { 404, ROBOTS_USE_ALLOW_ALL },
        { 410, ROBOTS_USE_ALLOW_ALL },
        { 451, ROBOTS_USE_ALLOW_ALL },
        { 429, ROBOTS_USE_DISALLOW_ALL },
        { 500, ROBOTS_USE_DISALLOW_ALL },
        { 503, ROBOTS_USE_DISALLOW_ALL },
        { 599, ROBOTS_USE_DISALLOW_ALL },
        { 999, ROBOTS_USE_DISALLOW_ALL },
        { 100, ROBOTS_USE_DISALLOW_ALL },
        { ROBOTS_UNREACHABLE, ROBOTS_USE_DISALLOW_ALL },
        { ROBOTS_REDIRECTS, ROBOTS_USE_ALLOW_ALL },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        RobotsPolicy policy = policy_of(cases[i].status);

        if (policy.use != cases[i].use)
            test_fail(__FILE__, __LINE__, "status %d: got %d", cases[i].status, policy.use);
        EXPECT_EQ(policy.is_unreachable, cases[i].use == ROBOTS_USE_DISALLOW_ALL);
        EXPECT(policy.good_ms > 0);
    }
}

TEST(unreachable_files)
{
    RobotsFetch fetch = { .status = 503, .now_ms = NOW };

    EXPECT_EQ(robots_policy(&fetch).good_ms, LIMIT_ROBOTS_RETRY_MS);
    fetch.failures = 1;
    EXPECT_EQ(robots_policy(&fetch).good_ms, 2 * LIMIT_ROBOTS_RETRY_MS);
    fetch.failures = 4000000000;
    EXPECT_EQ(robots_policy(&fetch).good_ms, LIMIT_ROBOTS_RETRY_MAX_MS);

    fetch.unreachable_since_ms = NOW - 30 * DAY + 1;
    EXPECT_EQ(robots_policy(&fetch).use, ROBOTS_USE_DISALLOW_ALL);
    fetch.unreachable_since_ms = NOW - 30 * DAY;
    EXPECT_EQ(robots_policy(&fetch).use, ROBOTS_USE_ALLOW_ALL);
    EXPECT(robots_policy(&fetch).is_unreachable);
    fetch.has_copy = true; /* an old copy is better than none, at any age */
    EXPECT_EQ(robots_policy(&fetch).use, ROBOTS_USE_STALE);
    fetch.status = 404;
    EXPECT_EQ(robots_policy(&fetch).use, ROBOTS_USE_ALLOW_ALL);
}

static int64_t good_for(const char *cache_control, int64_t age_ms)
{
    return robots_policy(&(RobotsFetch){ .status = 200,
                                         .now_ms = NOW,
                                         .cache_control = str_from_c(cache_control),
                                         .age_ms = age_ms })
        .good_ms;
}

TEST(copies_are_good_for)
{
    EXPECT_EQ(good_for("", 0), DAY);
    EXPECT_EQ(good_for("max-age=3600", 0), 3600000);
    EXPECT_EQ(good_for("public, max-age=3600", 600000), 3000000);
    EXPECT_EQ(good_for("max-age=31536000", 0), DAY);
    EXPECT_EQ(good_for("max-age=31536000", -5), DAY);
    EXPECT_EQ(good_for("max-age=0", 0), LIMIT_ROBOTS_FRESH_MIN_MS);
    EXPECT_EQ(good_for("max-age=600", 700000), LIMIT_ROBOTS_FRESH_MIN_MS);
    EXPECT_EQ(good_for("no-store", 0), LIMIT_ROBOTS_FRESH_MIN_MS);
    EXPECT_EQ(good_for("no-cache, max-age=9999", 0), LIMIT_ROBOTS_FRESH_MIN_MS);
    EXPECT_EQ(good_for("max-age=soon", 0), LIMIT_ROBOTS_FRESH_MIN_MS);
}

TEST(pages_say)
{
    static const struct {
        const char *value;
        bool noindex, nofollow, noarchive;
    } cases[] = {
        { "", 0, 0, 0 },
        { "noindex", 1, 0, 0 },
        { "NoIndex, NOFOLLOW", 1, 1, 0 },
        { "none", 1, 1, 0 },
        { "all", 0, 0, 0 },
        { "index, follow, noarchive", 0, 0, 1 },
        { "noindexing", 0, 0, 0 },
        { "sluice: noindex", 1, 0, 0 },
        { "SLUICE : nofollow , noindex", 1, 1, 0 },
        { "otherbot: noindex, nofollow", 0, 0, 0 },
        { "otherbot: noindex, sluice: nofollow", 0, 1, 0 },
        { "sluice: noindex, otherbot: nofollow, noarchive", 1, 0, 0 },
        { "*: noindex", 1, 0, 0 },
        { "otherbot:", 0, 0, 0 },
        { ":noindex", 0, 0, 0 },
        { "max-snippet:20, noindex", 1, 0, 0 },
        { "max-image-preview:large, nofollow", 0, 1, 0 },
        { "unavailable_after: 25 Jun 2010 15:00:00 PST, noindex", 1, 0, 0 },
        { "unavailable_after: Fri, 25 Jun 2010 15:00:00 PST, nofollow", 0, 1, 0 },
        { "unavailable_after: 2010-06-25T15:00:00, nofollow", 0, 1, 0 },
        { "otherbot: unavailable_after: 2010-06-25, nofollow", 0, 0, 0 },
        { ",,,noindex,,", 1, 0, 0 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        RobotsMeta meta = { 0 };

        robots_meta_parse(str_from_c(cases[i].value), STR_C("sluice"), &meta);
        if (meta.is_noindex != cases[i].noindex || meta.is_nofollow != cases[i].nofollow ||
            meta.is_noarchive != cases[i].noarchive)
            test_fail(__FILE__, __LINE__, "\"%s\": got %d %d %d", cases[i].value, meta.is_noindex,
                      meta.is_nofollow, meta.is_noarchive);
    }
}

TEST(directives_add_up)
{
    RobotsMeta meta = { 0 };

    robots_meta_parse(STR_C("noindex"), STR_C("sluice"), &meta);
    robots_meta_parse(STR_C("index, follow"), STR_C("sluice"), &meta);
    robots_meta_parse(STR_C("nofollow"), STR_C("sluice"), &meta);
    EXPECT(meta.is_noindex && meta.is_nofollow && !meta.is_noarchive);
}

TEST_MAIN()
