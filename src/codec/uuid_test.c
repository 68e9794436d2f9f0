/*
 * UUIDs: the layout of version 7, order under every kind of clock, text that is refused.
 */
#include "codec/uuid.h"

#include "base/test.h"

TEST(version_7_has_its_layout)
{
    Rand rand;
    UuidMaker maker;
    char text[UUID_TEXT_BYTES];
    Uuid uuid, back;

    rand_init(&rand, 1);
    uuid_maker_init(&maker, &rand);
    uuid = uuid_make_v7(&maker, 0x0123456789ab);
    EXPECT(uuid_is_v7(&uuid));
    EXPECT(!uuid_is_nil(&uuid));
    EXPECT_EQ(uuid_time_ms(&uuid), 0x0123456789ab);
    EXPECT_EQ(uuid_format(&uuid, text).len, 36);
    EXPECT(memcmp(text, "01234567-89ab-7", 15) == 0);
    EXPECT(strchr("89ab", text[19]) != NULL);
    EXPECT_OK(uuid_parse(str_from_c(text), &back));
    EXPECT_EQ(uuid_cmp(&uuid, &back), 0);
}

/* Ids of one maker grow when the clock stands, jumps, steps back and runs dry. */
TEST(ids_always_grow)
{
    Rand rand;
    UuidMaker maker;
    Uuid last = { { 0 } };
    int64_t now = 1000000;

    rand_init(&rand, 2);
    uuid_maker_init(&maker, &rand);
    for (int i = 0; i < 50000; i++) {
        Uuid next;

        if (i % 10000 == 9999)
            now += (int64_t) rand_below(&rand, 2000) - 1000;
        next = uuid_make_v7(&maker, now);
        EXPECT(uuid_cmp(&last, &next) < 0);
        EXPECT(uuid_is_v7(&next));
        last = next;
    }
    EXPECT(uuid_time_ms(&last) < now + 1100);
}

TEST(ids_of_two_makers_differ)
{
    Rand rand_a, rand_b;
    UuidMaker a, b;

    rand_init(&rand_a, 3);
    rand_init(&rand_b, 4);
    uuid_maker_init(&a, &rand_a);
    uuid_maker_init(&b, &rand_b);
    for (int i = 0; i < 1000; i++) {
        Uuid x = uuid_make_v7(&a, 5), y = uuid_make_v7(&b, 5);

        EXPECT(uuid_cmp(&x, &y) != 0);
    }
}

TEST(clocks_that_are_nonsense)
{
    Rand rand;
    UuidMaker maker;
    Uuid uuid;

    rand_init(&rand, 5);
    uuid_maker_init(&maker, &rand);
    uuid = uuid_make_v7(&maker, -5);
    EXPECT_EQ(uuid_time_ms(&uuid), 0);
    uuid = uuid_make_v7(&maker, INT64_MAX);
    EXPECT(uuid_is_v7(&uuid));
    EXPECT_EQ(uuid_time_ms(&uuid), (1LL << 48) - 2);
}

TEST(refuses_what_is_no_uuid)
{
    static const char *const cases[] = {
        "",
        "01234567-89ab-7def-8123-456789abcde",
        "01234567-89ab-7def-8123-456789abcdef0",
        "0123456789ab-7def-8123-456789abcdef--",
        "01234567-89ab-7def-8123_456789abcdef",
        "g1234567-89ab-7def-8123-456789abcdef",
        "01234567-89ab-7def-8123-456789abcde ",
        "{1234567-89ab-7def-8123-456789abcde}",
    };
    Uuid uuid;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_ERR(uuid_parse(str_from_c(cases[i]), &uuid), -ERR_INVALID, "is not a UUID");
    EXPECT_OK(uuid_parse(STR_C("01234567-89AB-7DEF-8123-456789ABCDEF"), &uuid));
    EXPECT_OK(uuid_parse(STR_C("00000000-0000-0000-0000-000000000000"), &uuid));
    EXPECT(uuid_is_nil(&uuid) && !uuid_is_v7(&uuid));
    EXPECT_OK(uuid_parse(STR_C("01234567-89ab-4def-8123-456789abcdef"), &uuid));
    EXPECT(!uuid_is_v7(&uuid));
    EXPECT_OK(uuid_parse(STR_C("01234567-89ab-7def-c123-456789abcdef"), &uuid));
    EXPECT(!uuid_is_v7(&uuid));
}

TEST_MAIN()
