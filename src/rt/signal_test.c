/*
 * Signals: each delivery goes to one fiber that waits, none is lost, and the runtime leaves the
 * process as it found it.
 */
/* loops: all */
#include <sluice/rt.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"

#define BIT(signal) (UINT64_C(1) << (signal))

/*
 * Whether the thread sanitizer holds a real signal back: it delivers one only when the thread
 * enters a call it intercepts. epoll_wait is one; the simulated loop and io_uring, which sleeps in
 * a system call of its own, may make none while they wait.
 */
static bool is_signal_held_back(void)
{
#if defined(__SANITIZE_THREAD__)
    const char *loop = getenv("SLUICE_LOOP");

    if (!loop || strcmp(loop, "epoll") != 0) {
        test_skip("the thread sanitizer holds signals back on this loop");
        return true;
    }
#endif
    return false;
}

/*
 * Whether it may lose a signal of another thread for good: it keeps one that arrives between two
 * intercepted calls with the fiber that runs at that moment, and hands it over when that fiber
 * makes the next such call. A fiber that now waits for the signal makes none.
 */
static bool is_foreign_signal_lost(void)
{
#if defined(__SANITIZE_THREAD__)
    test_skip("the thread sanitizer keeps the signals of other threads with a fiber");
    return true;
#else
    return false;
#endif
}

static int kept_main(void *arg)
{
    sl_scope scope;
    int signal = 0, r;

    (void) arg;
    /* The first wait installs the handler; it is given up at once. */
    sl_scope_begin(&scope, .timeout_ms = 1);
    r = sl_signal_wait(BIT(SIGUSR1) | BIT(SIGUSR2), &signal);
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);

    EXPECT(raise(SIGUSR1) == 0); /* nobody waits: kept */
    EXPECT(raise(SIGUSR1) == 0);
    EXPECT(raise(SIGUSR2) == 0);
    EXPECT_OK(sl_signal_wait(BIT(SIGUSR2), &signal));
    EXPECT_EQ(signal, SIGUSR2);
    EXPECT_OK(sl_signal_wait(BIT(SIGUSR1) | BIT(SIGUSR2), &signal));
    EXPECT_EQ(signal, SIGUSR1);
    EXPECT_OK(sl_signal_wait(BIT(SIGUSR1) | BIT(SIGUSR2), &signal));
    EXPECT_EQ(signal, SIGUSR1);
    return 0;
}

TEST(deliveries_between_waits_are_kept)
{
    if (!is_signal_held_back())
        EXPECT_OK(sl_run(kept_main, NULL));
}

/* ---- one delivery, one waiter ---- */

typedef struct Waiter {
    int got;
    int r;
} Waiter;

static int wait_fiber(void *arg)
{
    Waiter *waiter = arg;

    waiter->r = sl_signal_wait(BIT(SIGUSR1), &waiter->got);
    return 0;
}

/* Whether all children wait, as the tree tells. */
static void count_waiting(void *ctx, const char *line)
{
    *(size_t *) ctx += strstr(line, "for signal") != NULL;
}

static bool has_waiters(const sl_nursery *nursery)
{
    size_t n = 0;

    sl_dump(count_waiting, &n);
    return n == sl_nursery_count(nursery);
}

static int one_each_main(void *arg)
{
    Waiter waiters[3] = { { 0 } };
    sl_nursery *nursery = sl_nursery_open(.name = "waiters");
    int n_got = 0, n_cancelled = 0;

    (void) arg;
    for (int i = 0; i < 3; i++)
        (void) sl_spawn(nursery, wait_fiber, &waiters[i]); /* join tells */
    while (!has_waiters(nursery))
        EXPECT_OK(sl_yield()); /* before the first wait the signal would end us */
    EXPECT(raise(SIGUSR1) == 0);
    while (sl_nursery_count(nursery) == 3)
        EXPECT_OK(sl_yield());
    sl_nursery_cancel(nursery);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    for (int i = 0; i < 3; i++) {
        n_got += waiters[i].got == SIGUSR1;
        n_cancelled += waiters[i].r == -ECANCELED;
    }
    EXPECT_EQ(n_got, 1);
    EXPECT_EQ(n_cancelled, 2);
    return 0;
}

TEST(one_delivery_goes_to_one_fiber)
{
    if (!is_signal_held_back())
        EXPECT_OK(sl_run(one_each_main, NULL));
}

/* ---- from outside, while the loop sleeps ---- */

static void *kill_thread(void *arg)
{
    (void) kill(getpid(), SIGUSR2);
    return arg;
}

static int start_killer(void *arg)
{
    return pthread_create(arg, NULL, kill_thread, NULL) == 0 ? 0 : -EAGAIN;
}

static int asleep_main(void *arg)
{
    pthread_t killer;
    sl_nursery *nursery = sl_nursery_open(.name = "waiter");
    Waiter waiter = { 0 };
    int signal = 0, r;
    sl_scope scope;

    (void) arg;
    sl_scope_begin(&scope, .timeout_ms = 1);
    r = sl_signal_wait(BIT(SIGUSR2), &signal); /* installs the handler */
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    (void) sl_spawn(nursery, wait_fiber, &waiter); /* another signal's waiter is left alone */
    EXPECT_OK(start_killer(&killer));
    EXPECT_OK(sl_signal_wait(BIT(SIGUSR2), &signal));
    EXPECT_EQ(signal, SIGUSR2);
    sl_nursery_close(nursery);
    EXPECT_EQ(waiter.r, -ECANCELED);
    EXPECT(pthread_join(killer, NULL) == 0);
    return 0;
}

TEST(signal_wakes_a_sleeping_loop)
{
    if (!is_foreign_signal_lost())
        EXPECT_OK(sl_run(asleep_main, NULL));
}

/* ---- a storm ---- */

#define STORM 2000

static void *storm_thread(void *arg)
{
    for (int i = 0; i < STORM; i++)
        (void) pthread_kill(*(pthread_t *) arg, i % 2 ? SIGUSR1 : SIGUSR2);
    (void) pthread_kill(*(pthread_t *) arg, SIGTERM);
    return arg;
}

/* Ordinary signals of one number merge while one is pending; what counts is that SIGTERM comes
 * through and nothing breaks. */
static int storm_main(void *arg)
{
    pthread_t self = pthread_self(), storm;
    uint64_t mask = BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGTERM);
    int signal = 0, n = 0, r;
    sl_scope scope;

    (void) arg;
    sl_scope_begin(&scope, .timeout_ms = 1);
    r = sl_signal_wait(mask, &signal);
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    EXPECT(pthread_create(&storm, NULL, storm_thread, &self) == 0);
    do {
        r = sl_signal_wait(mask, &signal);
        n++;
    } while (r == 0 && signal != SIGTERM);
    EXPECT_OK(r);
    EXPECT(n <= STORM + 1);
    EXPECT(pthread_join(storm, NULL) == 0);
    return 0;
}

TEST(signal_storm)
{
    if (!is_foreign_signal_lost())
        EXPECT_OK(sl_run(storm_main, NULL));
}

/* ---- errors, and after ---- */

static int refused_main(void *arg)
{
    int signal = 0;

    (void) arg;
    EXPECT_ERR(sl_signal_wait(BIT(SIGKILL), &signal), -EINVAL, "catch signal 9");
    return 0;
}

TEST(signal_that_cannot_be_caught)
{
    EXPECT_OK(sl_run(refused_main, NULL));
}

static int n_own;

static void own_handler(int signal)
{
    n_own += signal == SIGUSR1;
}

TEST(dispositions_come_back)
{
    struct sigaction now;

    (void) signal(SIGUSR1, own_handler);
    EXPECT_OK(sl_run(kept_main, NULL));
    EXPECT(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == own_handler);
    EXPECT(sigaction(SIGUSR2, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    (void) raise(SIGUSR1);
    EXPECT_EQ(n_own, 1);
    (void) signal(SIGUSR1, SIG_DFL);
    EXPECT_OK(sl_run(kept_main, NULL)); /* and again */
}

TEST_MAIN()
