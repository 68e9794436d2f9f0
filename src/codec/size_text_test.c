/*
 * Sizes as people write them. A unit that is read as another one fills a disk a thousand times
 * over, so each is tried.
 */
#include "codec/size_text.h"

#include "base/test.h"

static int64_t size_of(const char *text)
{
    int64_t bytes = -1;
    int r = size_parse(str_from_c(text), &bytes);

    return r < 0 ? r : bytes;
}

TEST(units_are_told_apart)
{
    EXPECT_EQ(size_of("0"), 0);
    EXPECT_EQ(size_of("4096"), 4096);
    EXPECT_EQ(size_of("4096B"), 4096);
    EXPECT_EQ(size_of("64k"), 65536);
    EXPECT_EQ(size_of("64KiB"), 65536);
    EXPECT_EQ(size_of("64kB"), 64000);
    EXPECT_EQ(size_of("100MiB"), 104857600);
    EXPECT_EQ(size_of("100 mb"), 100000000);
    EXPECT_EQ(size_of("2G"), 2147483648LL);
    EXPECT_EQ(size_of("1.5GiB"), 1610612736LL);
    EXPECT_EQ(size_of("0.5k"), 512);
    EXPECT_EQ(size_of("1.25TB"), 1250000000000LL);
    EXPECT_EQ(size_of("1TiB"), 1LL << 40);
    EXPECT_EQ(size_of("1.9"), 1);
    EXPECT_EQ(size_of("9223372036854775807"), INT64_MAX);
}

TEST(what_is_no_size_is_said)
{
    static const char *const bad[] = {
        "",         " ",
        "-1",       "k",
        "1x",       "1kk",
        "1..5k",    ".5k",
        "1.k",      "9223372036854775808",
        "9000000T", "99999999999999999999",
        "1 k b",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (size_of(bad[i]) >= 0)
            test_fail(__FILE__, __LINE__, "\"%s\" is taken for %lld", bad[i],
                      (long long) size_of(bad[i]));
    }
    EXPECT_ERR((int) size_of("many"), -ERR_INVALID, "not a size such as 4096");
}

TEST_MAIN()
