/*
 * Starting and stopping: options, the choice of the loop, again and again, nothing left behind.
 */
#include "base/test.h"

#include "rt/loop_choice_int.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

static int nothing(void *arg)
{
    (void) arg;
    return 0;
}

static int tells_name(void *arg)
{
    EXPECT_C(sl_loop_name(), (const char *) arg);
    return 0;
}

TEST(the_loop_is_what_was_asked_for)
{
    EXPECT_OK(sl_run(tells_name, (char[]){ "epoll" }, .loop = SL_LOOP_EPOLL));
    EXPECT_OK(sl_run(tells_name, (char[]){ "sim" }, .loop = SL_LOOP_SIM));
}

TEST(the_environment_is_asked_second)
{
    LoopChoice choice = { .ops = NULL };

    EXPECT_OK(loop_choose(SL_LOOP_AUTO, "epoll", &choice));
    EXPECT_C(choice.ops->name, "epoll");
    EXPECT_C(choice.reason, "asked for by SLUICE_LOOP");
    EXPECT_OK(loop_choose(SL_LOOP_AUTO, "sim", &choice));
    EXPECT_C(choice.ops->name, "sim");
    EXPECT_OK(loop_choose(SL_LOOP_EPOLL, "sim", &choice));
    EXPECT_C(choice.ops->name, "epoll");
    EXPECT_C(choice.reason, "asked for by the program");
    EXPECT_OK(loop_choose(SL_LOOP_AUTO, NULL, &choice));
    EXPECT(choice.ops && choice.reason);
    EXPECT_ERR(loop_choose(SL_LOOP_AUTO, "kqueue", &choice), -ERR_INVALID, "kqueue");
}

TEST(options_out_of_range_are_refused)
{
    EXPECT_ERR(sl_run(nothing, NULL, .loops = 1000), -ERR_INVALID, "1000 loops");
    EXPECT_ERR(sl_run(nothing, NULL, .stack_bytes = (size_t) 1 << 40), -ERR_INVALID, "stacks of");
}

static size_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    (void) closedir(dir);
    return n;
}

static int uses_things(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    for (int i = 0; i < 10; i++)
        sl_spawn(nursery, nothing, NULL);
    EXPECT_OK(sl_sleep_ms(1));
    return sl_nursery_join(nursery);
}

/* Would catch a descriptor or a thread that outlives its runtime. */
TEST(a_runtime_may_run_again_and_leaves_nothing)
{
    size_t before = 0;

    for (int i = 0; i < 10; i++) {
        EXPECT_OK(sl_run(uses_things, NULL, .loops = 2));
        if (i == 2)
            before = count_fds();
    }
    EXPECT_EQ(count_fds(), before);
}

static int asks_sigpipe(void *arg)
{
    struct sigaction action;

    (void) arg;
    EXPECT_EQ(sigaction(SIGPIPE, NULL, &action), 0);
    EXPECT(action.sa_handler == SIG_IGN);
    return 0;
}

TEST(a_broken_pipe_is_an_error_and_no_signal)
{
    struct sigaction action;

    EXPECT_OK(sl_run(asks_sigpipe, NULL));
    EXPECT_EQ(sigaction(SIGPIPE, NULL, &action), 0);
    EXPECT(action.sa_handler == SIG_DFL);
}

static int random_numbers(void *arg)
{
    for (int i = 0; i < 4; i++)
        ((uint64_t *) arg)[i] = sl_random();
    return 0;
}

TEST(the_simulated_loop_repeats_itself)
{
    uint64_t first[4];
    uint64_t again[4];
    uint64_t other[4];

    EXPECT_OK(sl_run(random_numbers, first, .loop = SL_LOOP_SIM, .seed = 7));
    EXPECT_OK(sl_run(random_numbers, again, .loop = SL_LOOP_SIM, .seed = 7));
    EXPECT_OK(sl_run(random_numbers, other, .loop = SL_LOOP_SIM, .seed = 8));
    EXPECT_EQ(memcmp(first, again, sizeof first), 0);
    EXPECT(memcmp(first, other, sizeof first) != 0);
    EXPECT_OK(sl_run(random_numbers, first, .loop = SL_LOOP_EPOLL));
    EXPECT_OK(sl_run(random_numbers, again, .loop = SL_LOOP_EPOLL));
    EXPECT(memcmp(first, again, sizeof first) != 0);
}

TEST_MAIN()
