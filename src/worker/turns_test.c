/*
 * Turns: over a round each queue is first as often as its weight says, and evenly spread.
 */
#include "base/test.h"
#include "worker/worker_int.h"

/* Would catch a weight that does not count, and a queue that is left out. */
TEST(first_as_often_as_the_weight)
{
    static const Str names[] = { STR("a"), STR("b"), STR("c") };
    static const uint32_t weights[] = { 1, 2, 4 };
    int64_t turns[3] = { 0 };
    int first[3] = { 0 };
    Str order[3];

    for (int round = 0; round < 70; round++) {
        bool seen[3] = { false };

        turns_next(names, weights, turns, 3, order);
        first[order[0].data[0] - 'a']++;
        for (int i = 0; i < 3; i++)
            seen[order[i].data[0] - 'a'] = true;
        EXPECT(seen[0] && seen[1] && seen[2]);
        EXPECT_EQ(turns[0] + turns[1] + turns[2], 0);
    }
    EXPECT_EQ(first[0], 10);
    EXPECT_EQ(first[1], 20);
    EXPECT_EQ(first[2], 40);
}

/* Would catch a heavy queue that is first for long and then not for long. */
TEST(evenly_spread)
{
    static const Str names[] = { STR("a"), STR("b") };
    static const uint32_t weights[] = { 1, 1 };
    int64_t turns[2] = { 0 };
    Str one[2], two[2];

    for (int i = 0; i < 10; i++) {
        turns_next(names, weights, turns, 2, one);
        turns_next(names, weights, turns, 2, two);
        EXPECT(!str_eq(one[0], two[0]));
    }
}

TEST_MAIN()
