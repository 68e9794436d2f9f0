/*
 * The pool of stacks: places, colours, reuse, trimming.
 */
#include "base/test.h"

#include "rt/stack_int.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 3000 };

static sl_fiber *fibers[MANY];

static sl_fiber *take(StackPool *pool, size_t bytes)
{
    sl_fiber *fiber = NULL;

    EXPECT_OK(stack_take(pool, bytes, &fiber));
    return fiber;
}

TEST(stacks_do_not_overlap)
{
    StackPool *pool = stack_pool_new();

    for (size_t i = 0; i < 300; i++) {
        fibers[i] = take(pool, i % 3 ? 64 << 10 : 16 << 10);
        EXPECT_EQ(stack_slot_bytes(fibers[i]), i % 3 ? 64 << 10 : 16 << 10);
        EXPECT_EQ((uintptr_t) fibers[i] % 64, 0);
        EXPECT_EQ(fibers[i]->stack_low + fibers[i]->stack_bytes - (char *) fibers[i], 0);
        EXPECT(fibers[i]->stack_bytes > stack_slot_bytes(fibers[i]) - 8192);
        memset(fibers[i]->stack_low, (int) i, fibers[i]->stack_bytes);
    }
    for (size_t i = 0; i < 300; i++) {
        EXPECT_EQ(fibers[i]->stack_low[0], (char) i);
        EXPECT_EQ(((char *) fibers[i])[-1], (char) i);
    }
    EXPECT_EQ(stack_count(pool), 300);
    for (size_t i = 0; i < 300; i++)
        stack_put(pool, fibers[i]);
    stack_pool_free(pool);
    stack_pool_free(NULL);
}

TEST(the_last_one_comes_back_first)
{
    StackPool *pool = stack_pool_new();
    sl_fiber *a = take(pool, 0);
    sl_fiber *b = take(pool, 0);

    EXPECT(a != b);
    stack_put(pool, b);
    stack_put(pool, a);
    EXPECT(take(pool, 1) == a);
    EXPECT(take(pool, 1) == b);
    stack_put(pool, b);
    stack_put(pool, a);
    stack_pool_free(pool);
}

/* Would catch stacks that share a few sets of the cache. */
TEST(neighbours_have_different_colours)
{
    StackPool *pool = stack_pool_new();
    size_t offsets[8];
    size_t distinct = 0;

    for (size_t i = 0; i < 8; i++) {
        fibers[i] = take(pool, 64 << 10);
        offsets[i] = (uintptr_t) fibers[i] % 4096;
    }
    for (size_t i = 0; i < 8; i++) {
        bool is_new = true;

        for (size_t j = 0; j < i; j++)
            is_new = is_new && offsets[j] != offsets[i];
        distinct += is_new;
        stack_put(pool, fibers[i]);
    }
    EXPECT_EQ(distinct, 8);
    stack_pool_free(pool);
}

TEST(trimmed_stacks_work_again)
{
    StackPool *pool = stack_pool_new();

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < MANY; i++) {
            fibers[i] = take(pool, 64 << 10);
            EXPECT_EQ(stack_slot_bytes(fibers[i]), 64 << 10);
            fibers[i]->stack_low[0] = 'x';
            ((char *) fibers[i])[-1] = 'x';
        }
        EXPECT(!stack_trim(pool, 1)); /* all in use */
        for (size_t i = 0; i < MANY; i++)
            stack_put(pool, fibers[i]);
        while (stack_trim(pool, 100)) {}
    }
    EXPECT_EQ(stack_count(pool), MANY);
    stack_pool_free(pool);
}

TEST(a_size_beyond_all_classes_is_an_error)
{
    StackPool *pool = stack_pool_new();
    sl_fiber *fiber = NULL;
    sl_fiber *large;

    EXPECT_ERR(stack_take(pool, STACK_BYTES_MAX + 1, &fiber), -ENOMEM, "larger than the largest");
    large = take(pool, STACK_BYTES_MAX);
    stack_put(pool, large);
    stack_pool_free(pool);
}

TEST(below_a_stack_is_a_guard)
{
    StackPool *pool = stack_pool_new();
    sl_fiber *fiber = take(pool, 64 << 10);
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void) signal(SIGSEGV, SIG_DFL);
        *(volatile char *) (fiber->stack_low - 1) = 1;
        _exit(0);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    stack_put(pool, fiber);
    stack_pool_free(pool);
}

TEST_MAIN()
