/*
 * robots cache: what counts for how long, what happens while nobody answers, and its bound.
 */
#include "base/limits.h"
#include "base/test.h"
#include "handlers/crawl/robots_cache.h"

#define DAY (INT64_C(24) * 3600 * 1000)

static const Str page = STR("http://shop.test/private/a");

static int take(RobotsCache *cache, int status, const char *body, int64_t now_ms)
{
    RobotsRecord record = { .authority = STR("http://shop.test"),
                            .status = status,
                            .body = str_from_c(body) };

    return robots_cache_take(cache, &record, now_ms);
}

TEST(urls_are_cut)
{
    EXPECT_STR(robots_authority(STR_C("https://a.test:8443/x?y")), STR_C("https://a.test:8443"));
    EXPECT_STR(robots_authority(STR_C("http://a.test?y")), STR_C("http://a.test"));
    EXPECT_STR(robots_authority(STR_C("http://a.test")), STR_C("http://a.test"));
    EXPECT_STR(robots_authority(STR_C("ftp://a.test/")), STR_C(""));
    EXPECT_STR(robots_host(STR_C("https://a.test:8443/x")), STR_C("a.test"));
    EXPECT_STR(robots_host(STR_C("http://[::1]:80/x")), STR_C("::1"));
    EXPECT_STR(robots_host(STR_C("http://a.test")), STR_C("a.test"));
    EXPECT_STR(robots_host(STR_C("mailto:a")), STR_C(""));
}

TEST(rules_count_until_their_time_is_over)
{
    AUTO(robots_cache_free) RobotsCache *cache = robots_cache_new(&(RobotsCacheOpts){ 0 });
    RobotsRecord record = { .authority = STR("http://shop.test"),
                            .status = 200,
                            .body = STR("User-agent: *\nDisallow: /private/\n"),
                            .cache_control = STR("max-age=3600") };

    EXPECT_EQ(robots_cache_ask(cache, page, 1000, NULL), ROBOTS_CACHE_UNKNOWN);
    EXPECT_OK(robots_cache_take(cache, &record, 1000));
    EXPECT_EQ(record.good_until_ms, 1000 + 3600000);
    EXPECT_EQ(robots_cache_ask(cache, page, 2000, NULL), ROBOTS_CACHE_DISALLOWED);
    EXPECT_EQ(robots_cache_ask(cache, STR_C("http://shop.test/"), 2000, NULL),
              ROBOTS_CACHE_ALLOWED);
    EXPECT_EQ(robots_cache_ask(cache, STR_C("https://shop.test/"), 2000, NULL),
              ROBOTS_CACHE_UNKNOWN);
    EXPECT_EQ(robots_cache_ask(cache, STR_C("http://shop.test:81/"), 2000, NULL),
              ROBOTS_CACHE_UNKNOWN);
    EXPECT_EQ(robots_cache_ask(cache, page, 1000 + 3600000, NULL), ROBOTS_CACHE_UNKNOWN);
    EXPECT_EQ(robots_cache_ask(cache, page, 1000 - 2 * DAY, NULL), ROBOTS_CACHE_UNKNOWN);
    EXPECT(robots_cache_find(cache, page) != NULL);
}

TEST(pages_wait_for_some_tries_and_then_stay_away)
{
    AUTO(robots_cache_free)
    RobotsCache *cache = robots_cache_new(&(RobotsCacheOpts){ .tries_max = 3, .retry_ms = 100 });
    int64_t when = 0;

    EXPECT_OK(take(cache, 503, "", 1000));
    EXPECT_EQ(robots_cache_ask(cache, page, 1050, &when), ROBOTS_CACHE_LATER);
    EXPECT_EQ(when, 1100);
    EXPECT_EQ(robots_cache_ask(cache, page, 1100, &when), ROBOTS_CACHE_UNKNOWN);
    EXPECT_OK(take(cache, ROBOTS_UNREACHABLE, "", 1100));
    EXPECT_EQ(robots_cache_ask(cache, page, 1250, &when), ROBOTS_CACHE_LATER);
    EXPECT_EQ(when, 1300);
    EXPECT_OK(take(cache, 503, "", 1300));
    EXPECT_EQ(robots_cache_ask(cache, page, 1301, &when), ROBOTS_CACHE_DOWN);
    EXPECT_EQ(robots_cache_ask(cache, page, 1300 + LIMIT_ROBOTS_RETRY_MAX_MS, &when),
              ROBOTS_CACHE_UNKNOWN);
    EXPECT_OK(take(cache, 404, "", 1300 + LIMIT_ROBOTS_RETRY_MAX_MS));
    EXPECT_EQ(robots_cache_ask(cache, page, 1301 + LIMIT_ROBOTS_RETRY_MAX_MS, &when),
              ROBOTS_CACHE_ALLOWED);
}

/* A stale copy is better than none: the site goes on being crawled by its old rules. */
TEST(an_old_copy_goes_on_counting_while_nobody_answers)
{
    AUTO(robots_cache_free) RobotsCache *cache = robots_cache_new(&(RobotsCacheOpts){ 0 });

    EXPECT_OK(take(cache, 200, "User-agent: *\nDisallow: /private/\n", 1000));
    EXPECT_EQ(robots_cache_ask(cache, page, 1000 + DAY, NULL), ROBOTS_CACHE_UNKNOWN);
    EXPECT_OK(take(cache, 500, "", 1000 + DAY));
    EXPECT_EQ(robots_cache_ask(cache, page, 2000 + DAY, NULL), ROBOTS_CACHE_DISALLOWED);
    EXPECT_EQ(robots_cache_ask(cache, STR_C("http://shop.test/"), 2000 + DAY, NULL),
              ROBOTS_CACHE_ALLOWED);
}

/* The 30 days of RFC 9309, across a state file. */
TEST(after_thirty_days_without_an_answer_all_is_allowed)
{
    AUTO(robots_cache_free) RobotsCache *cache = robots_cache_new(&(RobotsCacheOpts){ 0 });
    RobotsRecord record = { .authority = STR("http://shop.test"),
                            .status = 503,
                            .good_until_ms = 5000,
                            .unreachable_since_ms = 1000 };

    EXPECT_OK(robots_cache_restore(cache, &record));
    EXPECT_EQ(robots_cache_ask(cache, page, 1000 + 29 * DAY, NULL), ROBOTS_CACHE_UNKNOWN);
    EXPECT_OK(take(cache, 503, "", 1000 + 29 * DAY));
    EXPECT_EQ(robots_cache_ask(cache, page, 1001 + 29 * DAY, NULL), ROBOTS_CACHE_DOWN);
    EXPECT_OK(take(cache, 503, "", 1000 + 31 * DAY));
    EXPECT_EQ(robots_cache_ask(cache, page, 1001 + 31 * DAY, NULL), ROBOTS_CACHE_ALLOWED);
}

TEST(what_was_kept_comes_back)
{
    AUTO(robots_cache_free) RobotsCache *cache = robots_cache_new(&(RobotsCacheOpts){ 0 });
    RobotsRecord record = { .authority = STR("http://shop.test"),
                            .status = 200,
                            .body = STR("User-agent: *\nDisallow: /private/\n"),
                            .good_until_ms = 5000 };

    EXPECT_OK(robots_cache_restore(cache, &record));
    EXPECT_EQ(robots_cache_ask(cache, page, 4999, NULL), ROBOTS_CACHE_DISALLOWED);
    EXPECT_EQ(robots_cache_ask(cache, page, 5000, NULL), ROBOTS_CACHE_UNKNOWN);
}

TEST(the_one_not_asked_for_longest_goes)
{
    AUTO(robots_cache_free)
    RobotsCache *cache = robots_cache_new(&(RobotsCacheOpts){ .authorities = 3 });
    char text[40];

    for (int i = 0; i < 4; i++) {
        int len = snprintf(text, sizeof(text), "http://h%d.test", i);
        RobotsRecord record = { .authority = str_from(text, (size_t) len), .status = 404 };

        if (i == 3) /* h0 is asked for: h1 is the oldest */
            EXPECT_EQ(robots_cache_ask(cache, STR_C("http://h0.test/"), 1000, NULL),
                      ROBOTS_CACHE_ALLOWED);
        EXPECT_OK(robots_cache_take(cache, &record, 1000));
    }
    EXPECT_EQ(robots_cache_len(cache), 3);
    EXPECT_EQ(robots_cache_ask(cache, STR_C("http://h0.test/"), 1000, NULL), ROBOTS_CACHE_ALLOWED);
    EXPECT_EQ(robots_cache_ask(cache, STR_C("http://h1.test/"), 1000, NULL), ROBOTS_CACHE_UNKNOWN);
}

TEST(all_robots_together_are_bounded)
{
    AUTO(robots_cache_free) RobotsCache *cache = robots_cache_new(&(RobotsCacheOpts){ 0 });
    AUTO(buf_deinit) Buf body = { 0 };
    char text[40];

    buf_add_c(&body, "User-agent: *\n");
    for (int i = 0; i < 20000; i++)
        buf_printf(&body, "Disallow: /p%d/\n", i);
    for (int i = 0; i < 100; i++) {
        int len = snprintf(text, sizeof(text), "http://h%d.test", i);
        RobotsRecord record = { .authority = str_from(text, (size_t) len),
                                .status = 200,
                                .body = buf_str(&body) };

        EXPECT_OK(robots_cache_take(cache, &record, 1000));
        EXPECT(robots_cache_bytes(cache) <= LIMIT_ROBOTS_CACHE_BYTES);
    }
    EXPECT(robots_cache_len(cache) < 100);
}

TEST(ignored_means_allowed)
{
    AUTO(robots_cache_free)
    RobotsCache *cache = robots_cache_new(&(RobotsCacheOpts){ .is_ignored = true });

    EXPECT_EQ(robots_cache_ask(cache, page, 0, NULL), ROBOTS_CACHE_ALLOWED);
}

TEST_MAIN()
