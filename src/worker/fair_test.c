/*
 * Turns: callers in turn, priorities before that, and places that leave in between.
 */
#include "worker/fair.h"

#include "base/test.h"

/* Would catch: one caller's crowd served before another's first. */
TEST(callers_take_turns)
{
    FairPlace many[5] = { 0 }, one[1] = { 0 };
    Fair fair = { 0 };

    for (size_t i = 0; i < 5; i++)
        fair_push(&fair, &many[i], STR_C("a"), 0);
    fair_push(&fair, &one[0], STR_C("b"), 0);
    EXPECT_EQ(fair.len, 6);
    EXPECT(fair_pop(&fair) == &many[0]);
    EXPECT(fair_pop(&fair) == &one[0]);
    for (size_t i = 1; i < 5; i++)
        EXPECT(fair_pop(&fair) == &many[i]);
    EXPECT(fair_pop(&fair) == NULL);
    EXPECT_EQ(fair.len, 0);
}

/* Would catch: priorities that only count within one caller. */
TEST(higher_priorities_go_first)
{
    FairPlace low = { 0 }, normal = { 0 }, high = { 0 };
    Fair fair = { 0 };

    fair_push(&fair, &low, STR_C("a"), -7);
    fair_push(&fair, &normal, STR_C("a"), 0);
    fair_push(&fair, &high, STR_C("b"), 100);
    EXPECT(fair_pop(&fair) == &high);
    EXPECT(fair_pop(&fair) == &normal);
    EXPECT(fair_pop(&fair) == &low);
}

/* Would catch: an empty line that stays in its round, and a name that is longer than its room. */
TEST(whoever_leaves_is_forgotten)
{
    FairPlace first = { 0 }, second = { 0 }, third = { 0 };
    char name[200];
    Fair fair = { 0 };

    memset(name, 'x', sizeof(name));
    fair_push(&fair, &first, str_from(name, sizeof(name)), 0);
    fair_push(&fair, &second, (Str){ 0 }, 0);
    fair_push(&fair, &third, (Str){ 0 }, 0);
    fair_remove(&fair, &first);
    fair_remove(&fair, &first);
    EXPECT_EQ(fair.rounds[1].len, 1);
    fair_remove(&fair, &second);
    EXPECT(fair_pop(&fair) == &third);
    EXPECT_EQ(fair.rounds[1].len, 0);
    EXPECT_EQ(fair.len, 0);
}

TEST_MAIN()
