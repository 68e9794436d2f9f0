/*
 * A stack overflow names its fiber and dies; another fault dies as it always would.
 */
#include "base/test.h"

#include <sluice/rt.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER true
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER false
#endif

/* Run FN in a child; its stderr in TEXT, its wait status returned. */
static int in_child(sl_fn fn, char *text, size_t size)
{
    int ends[2];
    int status = 0;
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    EXPECT_EQ(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        (void) dup2(ends[1], STDERR_FILENO);
        _exit(sl_run(fn, NULL, .loop = SL_LOOP_EPOLL) == 0 ? 0 : 1);
    }
    (void) close(ends[1]);
    while (len < size - 1 && (n = read(ends[0], text + len, size - 1 - len)) > 0)
        len += (size_t) n;
    text[len] = '\0';
    (void) close(ends[0]);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

/* Deeper without end, in a way the compiler cannot turn into a loop. */
static int falls(volatile int *above)
{
    volatile int frame[64];

    frame[0] = *above + 1;
    return frame[0] + (frame[0] < 1000000000 ? falls(frame) : 0) + frame[0];
}

static int falls_for_ever(void *arg)
{
    volatile int start = 0;

    (void) arg;
    return falls(&start);
}

static int has_deep_child(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    sl_spawn(nursery, falls_for_ever, NULL, .name = "diver");
    return sl_nursery_join(nursery);
}

TEST(an_overflow_names_the_fiber)
{
    char text[1024];
    int status;

    if (HAS_SANITIZER) {
        test_skip("the sanitizer has its own handler");
        return;
    }
    status = in_child(has_deep_child, text, sizeof text);

    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    EXPECT(strstr(text, "stack overflow in fiber diver (2), stack 64 KiB"));
}

static int faults(void *arg)
{
    int *volatile nowhere = (int *) 16;

    (void) arg;
    *nowhere = 1;
    return 0;
}

TEST(another_fault_is_not_taken_for_an_overflow)
{
    char text[1024];
    int status;

    if (HAS_SANITIZER) {
        test_skip("the sanitizer has its own handler");
        return;
    }
    status = in_child(faults, text, sizeof text);

    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    EXPECT(!strstr(text, "overflow"));
}

static int leaves_nursery_open(void *arg)
{
    (void) arg;
    (void) sl_nursery_open();
    return 0;
}

static int suspends_in_no_suspend(void *arg)
{
    (void) arg;
    SL_NO_SUSPEND
    {
        (void) !sl_yield();
    }
    return 0;
}

static int receives_from(void *arg)
{
    uint64_t item;

    return sl_chan_recv(arg, &item);
}

static int unlocks_what_it_has_not(void *arg)
{
    sl_mutex mutex = { .owner = NULL };

    (void) arg;
    sl_mutex_unlock(&mutex);
    return 0;
}

static void suspends(sl_task *task)
{
    (void) task;
    (void) !sl_yield();
}

static int posts_what_suspends(void *arg)
{
    sl_task task = { .fn = suspends };

    (void) arg;
    sl_post(sl_loop_self(), &task);
    return sl_sleep_ms(1);
}

static int frees_chan_with_waiter(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    sl_chan *chan = sl_chan_new(sizeof(uint64_t), 1);

    (void) arg;
    sl_spawn(nursery, receives_from, chan);
    (void) !sl_yield();
    sl_chan_free(chan);
    return 0;
}

/* Misuse is an assertion that says where, and in which fiber. */
TEST(misuse_is_an_assertion)
{
    static const sl_fn misuses[] = { leaves_nursery_open, suspends_in_no_suspend,
                                     unlocks_what_it_has_not, posts_what_suspends,
                                     frees_chan_with_waiter };
    char text[1024];

    for (size_t i = 0; i < ARRAY_LEN(misuses); i++) {
        int status = in_child(misuses[i], text, sizeof text);

        EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        EXPECT(strstr(text, "assertion failed") && strstr(text, "main"));
    }
}

TEST_MAIN()
