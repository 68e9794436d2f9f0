/*
 * Which positions a spill has.
 */
#include "pipeline/spill_ranges.h"

#include "base/limits.h"
#include "base/rand.h"
#include "base/test.h"

static bool has(const SpillRanges *ranges, const char *track, uint64_t position)
{
    const TrackRanges *of = spill_ranges_find(ranges, str_from_c(track));
    size_t guess = 0;

    return of && track_ranges_has(of, position, &guess);
}

TEST(ranges_that_touch_are_one)
{
    SpillRanges ranges = { 0 };

    EXPECT(!has(&ranges, "a", 1));
    for (uint64_t i = 0; i < 100; i++) { /* two partitions in turn */
        spill_ranges_add(&ranges, STR_C("a"), 10 * i + 1, 10 * i + 10);
        spill_ranges_add(&ranges, STR_C("b"), 20 * i + 1, 20 * i + 10);
    }
    EXPECT_EQ(ranges.n, 101);
    spill_ranges_add(&ranges, STR_C("b"), 11, 20); /* an older one, behind younger ones */
    spill_ranges_seal(&ranges);
    EXPECT_EQ(ranges.n, 100);
    EXPECT(has(&ranges, "a", 1) && has(&ranges, "a", 1000) && !has(&ranges, "a", 1001));
    EXPECT(has(&ranges, "b", 1) && has(&ranges, "b", 15) && has(&ranges, "b", 30));
    EXPECT(!has(&ranges, "b", 31) && has(&ranges, "b", 41) && !has(&ranges, "b", 0));
    EXPECT(!has(&ranges, "c", 1));
    spill_ranges_deinit(&ranges);
}

TEST(any_order_and_any_guess_finds_the_same)
{
    bool want[2000] = { 0 };
    SpillRanges ranges = { 0 };
    const TrackRanges *of;
    size_t guess = 77;
    Rand rand;

    rand_init(&rand, 5);
    for (int i = 0; i < 100; i++) {
        uint64_t from = 1 + rand_below(&rand, 1900), to = from + rand_below(&rand, 20);

        spill_ranges_add(&ranges, STR_C("a"), from, to);
        for (uint64_t k = from; k <= to; k++)
            want[k] = true;
    }
    spill_ranges_seal(&ranges);
    of = spill_ranges_find(&ranges, STR_C("a"));
    for (int i = 0; i < 20000; i++) {
        uint64_t position = rand_below(&rand, 2000);

        EXPECT_EQ(track_ranges_has(of, position, &guess), want[position]);
    }
    spill_ranges_deinit(&ranges);
}

/* A spill of a thousand segments with gaps everywhere costs no more than the limit says. */
TEST(they_are_bounded)
{
    SpillRanges ranges = { 0 };

    for (uint64_t i = 0; i < LIMIT_SPILL_RANGES + 1000; i++)
        spill_ranges_add(&ranges, STR_C("a"), 10 * i + 1, 10 * i + 3);
    EXPECT_EQ(ranges.n, LIMIT_SPILL_RANGES);
    spill_ranges_seal(&ranges);
    EXPECT(has(&ranges, "a", 3));
    EXPECT(!has(&ranges, "a", 10 * (LIMIT_SPILL_RANGES + 500) + 1));
    spill_ranges_deinit(&ranges);
}

TEST_MAIN()
