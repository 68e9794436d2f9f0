/*
 * seen: what was added is there and nothing else, through every split; sizes stay as promised.
 */
#include "base/rand.h"
#include "base/test.h"
#include "handlers/crawl/seen.h"

static uint64_t nth(const Seen *seen, size_t i)
{
    char text[40];
    int len = snprintf(text, sizeof(text), "http://shop.test/p/%zu", i);

    return seen_fingerprint(seen, str_from(text, (size_t) len));
}

/* A split that lost or doubled a fingerprint would show at the sizes around each. */
TEST(what_was_added_is_there_and_nothing_else)
{
    static const size_t sizes[] = { 1, 895, 896, 897, 2000, 40000 };

    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        AUTO(seen_deinit) Seen seen = { 0 };
        size_t n_new = 0, n_missing = 0, n_false = 0, n_again = 0;

        seen_init(&seen, 7, s);
        for (size_t i = 0; i < sizes[s]; i++)
            n_new += seen_add(&seen, nth(&seen, i));
        for (size_t i = 0; i < sizes[s]; i++) {
            n_missing += !seen_has(&seen, nth(&seen, i));
            n_again += seen_add(&seen, nth(&seen, i));
        }
        for (size_t i = sizes[s]; i < 2 * sizes[s]; i++)
            n_false += seen_has(&seen, nth(&seen, i));
        EXPECT_EQ(n_new, sizes[s]);
        EXPECT_EQ(n_missing, 0);
        EXPECT_EQ(n_again, 0);
        EXPECT_EQ(n_false, 0);
        EXPECT_EQ(seen.len, sizes[s]);
    }
}

/* The bound that the memory of a crawl with a million URLs stands on. */
TEST(it_takes_less_than_twenty_bytes_each)
{
    AUTO(seen_deinit) Seen seen = { 0 };
    size_t worst = 0;

    seen_init(&seen, 1, 2);
    for (size_t i = 0; i < 120000; i++) {
        (void) seen_add(&seen, nth(&seen, i));
        if (i > 50000 && seen_bytes(&seen) / seen.len > worst)
            worst = seen_bytes(&seen) / seen.len;
    }
    EXPECT(worst < 20);
}

/* Two crawls must not agree on fingerprints, or somebody could make them collide. */
TEST(the_seed_decides_the_fingerprint)
{
    AUTO(seen_deinit) Seen a = { 0 };
    AUTO(seen_deinit) Seen b = { 0 };

    seen_init(&a, 1, 2);
    seen_init(&b, 1, 3);
    EXPECT(nth(&a, 5) != nth(&b, 5));
    EXPECT_EQ(nth(&a, 5), nth(&a, 5));
}

TEST_MAIN()
