/*
 * Catches: limits without words, two with one name, and a value above INT_MAX that changes its kin.
 */
#include "base/limits.h"

#include "base/test.h"

#define LIMIT(name, value, unit, text) enum { TRIAL_##name = (value) };
#include "base/limits.def"
#undef LIMIT
enum { TRIAL_HUGE = 8LL << 30 };

STATIC_ASSERT(TRIAL_HUGE == 8LL << 30, "a limit may be larger than an int");
STATIC_ASSERT(sizeof(TRIAL_LOG_RING_LINES) == sizeof(int), "the others stay ints");

TEST(each_limit_has_a_value_and_words)
{
    size_t n;
    const LimitInfo *table = limits_table(&n);

    REQUIRE(n > 5);
    for (size_t i = 0; i < n; i++) {
        EXPECT(table[i].value > 0);
        EXPECT(table[i].unit[0] && strlen(table[i].text) > 10);
        for (size_t k = 0; k < i; k++)
            EXPECT(strcmp(table[i].name, table[k].name) != 0);
    }
}

TEST_MAIN()
