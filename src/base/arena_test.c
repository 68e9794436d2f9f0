/*
 * Catches: pieces that overlap or are not aligned, a limit that can be passed, memory lost at reset
 * or on a fault.
 */
#include "base/arena.h"

#include "base/limits.h"
#include "base/rand.h"
#include "base/test.h"

/* Every piece is filled with its own byte; at the end all pieces must still hold it. */
TEST(pieces_are_aligned_and_apart)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    static unsigned char *pieces[300];
    static size_t sizes[300];
    Rand rand;

    rand_init(&rand, 1);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        sizes[i] = rand_below(&rand, i % 50 == 49 ? 10000 : 200);
        pieces[i] = arena_try(&arena, sizes[i]);
        REQUIRE(pieces[i]);
        EXPECT_EQ((uintptr_t) pieces[i] % 16, 0);
        memset(pieces[i], (int) (i & 0xff), sizes[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        for (size_t k = 0; k < sizes[i]; k++)
            REQUIRE(pieces[i][k] == (i & 0xff));
    }
}

TEST(the_limit_holds)
{
    AUTO(arena_deinit) Arena arena;
    size_t got = 0;

    arena_init(&arena, 100000);
    EXPECT(!arena_try(&arena, 100000)); /* the head of the chunk counts as well */
    while (arena_try(&arena, 100))
        got += 112;
    EXPECT(got > 90000 && got <= 100000);
    EXPECT(arena.total_bytes <= 100000);
    EXPECT(!arena_try(&arena, SIZE_MAX));
    EXPECT(!arena_try(&arena, SIZE_MAX - 100));
}

TEST(the_default_limit_holds)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    EXPECT(!arena_try(&arena, LIMIT_ARENA_BYTES));
    EXPECT(arena_try(&arena, LIMIT_ARENA_BYTES / 2));
}

TEST(reset_keeps_one_chunk)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    void *first = arena_try(&arena, 10);
    size_t one = arena.total_bytes;

    for (int i = 0; i < 1000; i++)
        EXPECT(arena_try(&arena, 100));
    EXPECT(arena.total_bytes > one);
    arena_reset(&arena);
    EXPECT_EQ(arena.total_bytes, one);
    EXPECT(arena_try(&arena, 10) == first);
    arena_deinit(&arena);
    EXPECT_EQ(arena.total_bytes, 0);
    arena_reset(&arena);
    EXPECT(arena_try(&arena, 10));
}

TEST(reset_hoards_nothing_large)
{
    AUTO(arena_deinit) Arena arena;

    arena_init(&arena, 10 << 20);
    EXPECT(arena_try(&arena, 5 << 20));
    EXPECT(arena_try(&arena, 100));
    arena_reset(&arena);
    EXPECT_EQ(arena.total_bytes, 0);
    EXPECT(arena_try(&arena, 9 << 20));
    EXPECT(!arena_try(&arena, 9 << 20));
}

TEST(texts)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    char *raw = arena_copy_c(&arena, STR_C("abc"));
    Str copy = arena_copy(&arena, STR_C("a\0b"));
    Str empty = arena_copy(&arena, str_from(NULL, 0));
    Str made = arena_printf(&arena, "%s-%d-%0500d", "x", 7, 1);
    int *zero = arena_new(&arena, int);

    EXPECT_C(raw, "abc");
    EXPECT_EQ(copy.len, 3);
    EXPECT(str_eq(copy, STR_C("a\0b")));
    EXPECT(empty.len == 0 && empty.data && empty.data[0] == '\0');
    EXPECT_EQ(made.len, 504);
    EXPECT(made.data[made.len] == '\0');
    EXPECT(str_starts(made, STR_C("x-7-000")));
    EXPECT_EQ(*zero, 0);
}

TEST(faults_leave_the_arena_whole)
{
    FOR_EACH_FAULT {
        AUTO(arena_deinit) Arena arena = { 0 };
        size_t got = 0;

        for (int i = 0; i < 6; i++)
            got += arena_try(&arena, 3000) != NULL;
        EXPECT(got == 6 - mem_faults_hit());
    }
}

TEST(small_things_without_room_abort)
{
    Arena arena;

    arena_init(&arena, 48);
    EXPECT_ABORT(arena_copy_c(&arena, STR_C("0123456789012345678901234567890123456789")),
                 "the arena is full");
}

TEST_MAIN()
