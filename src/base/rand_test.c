/*
 * Catches: a generator that differs from the published one (the simulator's seeds would mean
 * something else), and draws outside their bounds.
 */
#include "base/rand.h"

#include "base/test.h"

TEST(is_the_published_generator)
{
    Rand rand;

    rand_init(&rand, 0);
    EXPECT(rand.state[0] == UINT64_C(0xe220a8397b1dcdaf)); /* splitmix64 of seed 0 */
    EXPECT(rand.state[1] == UINT64_C(0x6e789e6aa1b965f4));
    EXPECT(rand_u64(&rand) == UINT64_C(0x99ec5f36cb75f2b4));
    EXPECT(rand_u64(&rand) == UINT64_C(0xbf6e1f784956452a));

    rand = (Rand){ { 1, 2, 3, 4 } };
    EXPECT_EQ(rand_u64(&rand), 11520);
    EXPECT_EQ(rand_u64(&rand), 0);
    EXPECT_EQ(rand_u64(&rand), 1509978240);
    EXPECT_EQ(rand_u64(&rand), 1215971899390074240);
}

TEST(same_seed_same_numbers)
{
    Rand a, b, c;
    bool differs = false;

    rand_init(&a, 42);
    rand_init(&b, 42);
    rand_init(&c, 43);
    for (int i = 0; i < 100; i++) {
        uint64_t x = rand_u64(&a);

        EXPECT(x == rand_u64(&b));
        differs = differs || x != rand_u64(&c);
    }
    EXPECT(differs);
}

TEST(below_stays_below_and_is_even)
{
    Rand rand;
    unsigned seen[7] = { 0 };

    rand_init(&rand, 1);
    for (int i = 0; i < 70000; i++) {
        uint64_t n = rand_below(&rand, 7);

        REQUIRE(n < 7);
        seen[n]++;
    }
    for (int i = 0; i < 7; i++)
        EXPECT(seen[i] > 9500 && seen[i] < 10500);
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(rand_below(&rand, 1), 0);
    for (int i = 0; i < 1000; i++) {
        EXPECT(rand_below(&rand, UINT64_C(3) << 62) < UINT64_C(3) << 62);
        EXPECT(rand_below(&rand, UINT64_MAX) < UINT64_MAX);
    }
}

TEST(unit_is_in_its_interval)
{
    Rand rand;
    double sum = 0;

    rand_init(&rand, 2);
    for (int i = 0; i < 10000; i++) {
        double x = rand_unit(&rand);

        REQUIRE(x >= 0 && x < 1);
        sum += x;
    }
    EXPECT(sum > 4800 && sum < 5200);
}

TEST(bytes_fill_exactly)
{
    Rand rand;
    unsigned char data[32];

    for (size_t len = 0; len <= 24; len++) {
        unsigned char all = 0;

        rand_init(&rand, len);
        memset(data, 0, sizeof data);
        for (int round = 0; round < 64; round++) {
            unsigned char fresh[32] = { 0 };

            rand_bytes(&rand, fresh, len);
            for (size_t i = 0; i < sizeof data; i++)
                data[i] |= fresh[i];
        }
        for (size_t i = 0; i < sizeof data; i++) {
            if (i < len)
                EXPECT_EQ(data[i], 0xff);
            else
                all |= data[i];
        }
        EXPECT_EQ(all, 0);
    }
}

TEST(entropy_differs)
{
    EXPECT(rand_entropy() != rand_entropy());
}

TEST_MAIN()
