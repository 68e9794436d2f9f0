/*
 * Did you mean: distances, and when no suggestion is better than a far one.
 */
#include "codec/suggest.h"

#include "base/test.h"

TEST(distances)
{
    EXPECT_EQ(suggest_distance(STR_C(""), STR_C(""), 9), 0);
    EXPECT_EQ(suggest_distance(STR_C("abc"), STR_C(""), 9), 3);
    EXPECT_EQ(suggest_distance(STR_C("rounds"), STR_C("ronds"), 9), 1);
    EXPECT_EQ(suggest_distance(STR_C("rounds"), STR_C("ruonds"), 9), 1);
    EXPECT_EQ(suggest_distance(STR_C("Rounds"), STR_C("rounds"), 9), 0);
    EXPECT_EQ(suggest_distance(STR_C("kitten"), STR_C("sitting"), 9), 3);
    EXPECT_EQ(suggest_distance(STR_C("kitten"), STR_C("sitting"), 1), 2);
}

static Str nearest(Str word)
{
    Suggest suggest = { .word = word };

    suggest_consider(&suggest, STR_C("listen"));
    suggest_consider(&suggest, STR_C("store"));
    suggest_consider(&suggest, STR_C("workers"));
    return suggest.best;
}

TEST(suggests_what_is_near)
{
    char longest[200];

    EXPECT_STR(nearest(STR_C("listn")), STR_C("listen"));
    EXPECT_STR(nearest(STR_C("stroe")), STR_C("store"));
    EXPECT_STR(nearest(STR_C("worker")), STR_C("workers"));
    EXPECT_STR(nearest(STR_C("banana")), (Str){ 0 });
    EXPECT_STR(nearest(STR_C("")), (Str){ 0 });
    memset(longest, 'a', sizeof(longest));
    EXPECT_STR(nearest(str_from(longest, sizeof(longest))), (Str){ 0 });
}

TEST_MAIN()
