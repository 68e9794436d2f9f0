/*
 * Redirects that are remembered: circles, and how much memory they may take.
 */
#include "handlers/crawl/redirects.h"

#include "base/limits.h"
#include "base/test.h"
#include "base/text.h"

TEST(circles_are_found)
{
    AUTO(redirects_deinit) Redirects redirects = { 0 };

    redirects_init(&redirects, 1, 2);
    EXPECT(!redirects_is_circle(&redirects, STR_C("a")));
    redirects_put(&redirects, STR_C("a"), STR_C("b"));
    redirects_put(&redirects, STR_C("b"), STR_C("c"));
    EXPECT(!redirects_is_circle(&redirects, STR_C("a")));
    redirects_put(&redirects, STR_C("c"), STR_C("b"));
    EXPECT(redirects_is_circle(&redirects, STR_C("b")));
    EXPECT(redirects_is_circle(&redirects, STR_C("c")));
    EXPECT(!redirects_is_circle(&redirects, STR_C("a"))); /* it leads into one */
    redirects_put(&redirects, STR_C("c"), STR_C("d"));
    EXPECT(!redirects_is_circle(&redirects, STR_C("b")));
    redirects_put(&redirects, STR_C("x"), STR_C("x"));
    EXPECT(redirects_is_circle(&redirects, STR_C("x")));
}

/* A site that redirects for ever, to URLs of 8 KiB, takes the same few MiB as any other. */
TEST(the_memory_is_bounded)
{
    static char url[8 << 10];
    AUTO(redirects_deinit) Redirects redirects = { 0 };
    Str last = STR_C("start");

    redirects_init(&redirects, 1, 2);
    for (unsigned i = 0; i < LIMIT_CRAWL_REDIRECTS_KEPT + 100; i++) {
        char from[20];
        int len = snprintf(from, sizeof(from), "from%u", i);

        redirects_put(&redirects, str_from(from, (size_t) len), last);
        (void) snprintf(url, sizeof(url), "%u", i);
        last = str_from(url, i % 100 ? 20 : sizeof(url));
    }
    EXPECT_EQ(redirects.len, LIMIT_CRAWL_REDIRECTS_KEPT);
    EXPECT(redirects.cap * sizeof(*redirects.places) <= 4 << 20);
    redirects_put(&redirects, STR_C("from7"), STR_C("from7")); /* one that is there may change */
    EXPECT(redirects_is_circle(&redirects, STR_C("from7")));
}

TEST_MAIN()
