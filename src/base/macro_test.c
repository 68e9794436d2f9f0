/* Catches: macros that evaluate an argument twice, and nesting that loses one. */
#include "base/macro.h"

#include "base/assert.h"
#include "base/test.h"

typedef struct Outer {
    int before;
    int member;
} Outer;

TEST(min_and_max_evaluate_once_and_nest)
{
    int i = 1, k = 5;

    EXPECT_EQ(MIN(i++, k++), 1);
    EXPECT_EQ(i, 2);
    EXPECT_EQ(k, 6);
    EXPECT_EQ(MAX(MAX(1, 9), MIN(20, MAX(3, 4))), 9);
    EXPECT_EQ(MIN(MIN(MIN(7, 3), 5), 4), 3);
    EXPECT(MIN(-1L, 1L) == -1);
}

TEST(container_of_leads_back)
{
    Outer outer;

    EXPECT(CONTAINER_OF(&outer.member, Outer, member) == &outer);
}

TEST_MAIN()
