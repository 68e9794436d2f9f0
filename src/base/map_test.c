/*
 * Catches: a hash that differs from SipHash-1-3, keys lost when a neighbour is removed, long and
 * short keys mixed up, a table that slows down after many removals.
 */
#include "base/map.h"

#include "base/rand.h"
#include "base/test.h"

enum { KEYS = 400 };

TEST(hash_is_siphash_1_3)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } known[] = {
        { "a", UINT64_C(0x407448d2b89b1813) },
        { "hello", UINT64_C(0xe2e77b41cb4e1f9e) },
        { "12345678", UINT64_C(0x3489982430560a87) },
        { "123456789", UINT64_C(0x0fbc0f0007965fcf) },
        { "0123456789abcdef", UINT64_C(0x1d42b30f7e060c24) },
        { "The quick brown fox jumps over the lazy dog", UINT64_C(0x8df676d3d00c451e) },
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        EXPECT(hash_bytes(known[i].text, strlen(known[i].text), 0, 0) == known[i].hash);
    EXPECT(hash_bytes("a", 1, 1, 0) != hash_bytes("a", 1, 0, 0));
    EXPECT(hash_bytes("a", 1, 0, 1) != hash_bytes("a", 1, 0, 0));
    EXPECT(hash_bytes(NULL, 0, 0, 0) == hash_bytes("", 0, 0, 0));
}

/* Key I: some empty or short, some of exactly the length kept in the slot and one more, some long,
 * with NUL inside. */
static Str key_of(size_t i, char out[128])
{
    static const size_t lengths[] = { 4, 8, 39, 40, 41, 100 };
    size_t len = i == 0 ? 0 : lengths[i % ARRAY_LEN(lengths)];

    memset(out, 0, len);
    if (len >= 4)
        memcpy(out + len - 4, (uint32_t[]){ (uint32_t) i }, 4);
    return str_from(out, len);
}

/* Counts what iteration meets and checks that each pair is the model's. */
static bool iterates(const Map *map, void *const *model)
{
    size_t cursor = 0, met = 0;
    Str key;
    void *value;

    while (map_next(map, &cursor, &key, &value)) {
        char text[128];
        size_t i = (size_t) ((char **) value - (char **) model);

        if (i >= KEYS || model[i] != value || !str_eq(key, key_of(i, text)))
            return false;
        met++;
    }
    return met == map->len;
}

static void run_against_model(uint64_t seed)
{
    AUTO(map_deinit) Map map;
    static void *model[KEYS]; /* the value of key i is &model[i] */
    size_t len = 0;
    Rand rand;

    memset(model, 0, sizeof model);
    map_init(&map, seed, seed + 1);
    rand_init(&rand, seed);
    for (int step = 0; step < 30000; step++) {
        char text[128];
        size_t i = rand_below(&rand, step / 5000 % 2 ? KEYS : KEYS / 10);
        Str key = key_of(i, text);
        void *value = &model[i];

        switch (rand_below(&rand, 3)) {
        case 0:
            len += model[i] == NULL;
            REQUIRE(map_put(&map, key, value) == model[i]);
            model[i] = value;
            break;
        case 1:
            len -= model[i] != NULL;
            REQUIRE(map_remove(&map, key) == model[i]);
            model[i] = NULL;
            break;
        default: break;
        }
        REQUIRE(map_find(&map, key) == model[i]);
        REQUIRE(map.len == len);
        if (step % 1000 == 0)
            REQUIRE(iterates(&map, model));
    }
    for (size_t i = 0; i < KEYS; i++) {
        char text[128];

        EXPECT(map_find(&map, key_of(i, text)) == model[i]);
    }
}

TEST(behaves_as_an_array_of_keys)
{
    for (uint64_t seed = 0; seed < 5; seed++)
        run_against_model(seed);
}

TEST(removal_leaves_no_trace)
{
    AUTO(map_deinit) Map map = { 0 };
    int value;
    size_t cap;

    for (uint32_t i = 0; i < 20; i++)
        map_put(&map, str_from((char *) &i, 4), &value);
    cap = map.cap;
    for (uint32_t i = 20; i < 200000; i++) {
        uint32_t old = i - 20;

        map_put(&map, str_from((char *) &i, 4), &value);
        REQUIRE(map_remove(&map, str_from((char *) &old, 4)) == &value);
    }
    EXPECT_EQ(map.len, 20);
    EXPECT(map.cap <= cap * 2);
}

TEST(keys_are_copied)
{
    AUTO(map_deinit) Map map = { 0 };
    char key[100];
    int a, b;

    memset(key, 'k', sizeof key);
    EXPECT(!map_put(&map, str_from(key, 100), &a));
    EXPECT(!map_put(&map, str_from(key, 10), &b));
    memset(key, 'x', sizeof key);
    EXPECT(!map_find(&map, str_from(key, 100)));
    memset(key, 'k', sizeof key);
    EXPECT(map_find(&map, str_from(key, 100)) == &a);
    EXPECT(map_find(&map, str_from(key, 10)) == &b);
}

TEST(an_empty_map_answers)
{
    Map map = { 0 };
    size_t cursor = 0;

    EXPECT(!map_find(&map, STR_C("a")));
    EXPECT(!map_remove(&map, STR_C("a")));
    EXPECT(!map_next(&map, &cursor, NULL, NULL));
    map_deinit(&map);
    EXPECT_ABORT(map_put(&map, STR_C("a"), NULL), "value");
}

TEST_MAIN()
