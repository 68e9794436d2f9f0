/*
 * Catches: a fault that fires at the wrong call or twice, memory that is not zeroed, sizes that
 * overflow, and AUTO or TAKE that free twice or never.
 */
#include "base/mem.h"

#include "base/test.h"

static int thing_frees;

typedef struct Thing {
    int value;
} Thing;

static Thing *thing_new(int value)
{
    Thing *thing = mem_new(Thing);

    thing->value = value;
    return thing;
}

static void thing_free(Thing *thing)
{
    thing_frees++;
    mem_free(thing);
}
DEFINE_AUTO(Thing *, thing_free);

static Thing *thing_made_then_taken(void)
{
    AUTO(thing_free) Thing *thing = thing_new(4);

    return TAKE(thing);
}

TEST(auto_frees_and_take_keeps)
{
    thing_frees = 0;
    {
        AUTO(thing_free) Thing *a = thing_new(1);
        AUTO(thing_free) Thing *none = NULL;

        EXPECT_EQ(a->value, 1);
        EXPECT(!none);
    }
    EXPECT_EQ(thing_frees, 1);
    {
        AUTO(thing_free) Thing *taken = thing_made_then_taken();

        EXPECT_EQ(thing_frees, 1);
        EXPECT_EQ(taken->value, 4);
    }
    EXPECT_EQ(thing_frees, 2);
}

TEST(auto_mem_free_fits_any_pointer)
{
    AUTO(mem_free) char *text = mem_copy_c("abc", 3);
    AUTO(mem_free) Thing *thing = mem_new(Thing);
    AUTO(mem_free) void *none = NULL;

    EXPECT_C(text, "abc");
    EXPECT_EQ(thing->value, 0);
    EXPECT(!none);
}

TEST(the_nth_call_fails_once)
{
    for (size_t n = 1; n <= 5; n++) {
        mem_fail_at(n);
        for (size_t i = 1; i <= 8; i++) {
            AUTO(mem_free) void *ptr = mem_try(8);

            EXPECT((ptr == NULL) == (i == n));
        }
        EXPECT_EQ(mem_faults_hit(), 1);
    }
    mem_fail_at(0);
    EXPECT_EQ(mem_faults_hit(), 0);
}

TEST(for_each_fault_visits_every_call_and_ends)
{
    unsigned rounds = 0, failures = 0;

    FOR_EACH_FAULT {
        AUTO(mem_free) char *a = mem_try(16);
        char *grown = a ? mem_try_resize(a, 32) : NULL;

        if (grown)
            a = grown;
        rounds++;
        failures += !a || !grown;
    }
    EXPECT_EQ(rounds, 3);
    EXPECT_EQ(failures, 2);
    EXPECT_EQ(mem_faults_hit(), 0);
}

TEST(new_memory_is_zeroed)
{
    AUTO(mem_free) unsigned char *dirty = mem_try(512);
    AUTO(mem_free) uint64_t *clean = NULL;

    memset(dirty, 0xff, 512);
    mem_free(TAKE(dirty));
    clean = mem_new_array(uint64_t, 64);
    for (size_t i = 0; i < 64; i++)
        EXPECT_EQ(clean[i], 0);
}

TEST(zero_bytes_are_a_pointer)
{
    AUTO(mem_free) void *a = mem_try(0);
    AUTO(mem_free) void *b = mem_zalloc(0);
    AUTO(mem_free) char *c = mem_copy_c(NULL, 0);

    EXPECT(a && b && c && c[0] == '\0');
}

TEST(sizes_that_overflow_abort)
{
    EXPECT_ABORT((void) !mem_zalloc_array(SIZE_MAX / 2, 3), "the size overflows");
    EXPECT_ABORT((void) !mem_resize_array(NULL, SIZE_MAX, 2), "the size overflows");
}

TEST_MAIN()
