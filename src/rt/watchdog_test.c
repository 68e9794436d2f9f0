/*
 * The watchdog: a fiber that holds its loop is reported, by name, once, and from the right place;
 * one that does not is not.
 */
/* loops: all */
#include <sluice/rt.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/metrics.h"
#include "base/test.h"
#include "rt/sim.h"

/* Rounds of holding before a test gives up on the report; far beyond any machine's patience. */
#define ROUNDS_MAX 3000

/* Tries at a crowd without a report. Time that a hypervisor takes away from the whole machine looks
 * like a fiber's own, so that one report proves nothing. */
#define CROWDS_MAX 6

/* ThreadSanitizer delays signals until it finds it convenient; then the report has no frames. */
#if defined(__SANITIZE_THREAD__)
#define DELAYS_SIGNALS true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DELAYS_SIGNALS true
#endif
#endif
#ifndef DELAYS_SIGNALS
#define DELAYS_SIGNALS false
#endif

static atomic_int n_reports;
/* The fiber that holds on purpose; a busy machine makes others. */
static const char *_Atomic holder;
static atomic_int n_held;      /* reports of the holder */
static char reported_name[64]; /* written before n_reports is raised */
static int64_t reported_ms;
static size_t reported_frames;
static bool is_inside; /* one of the frames is in the function that held */

int hold_the_loop(void *arg);

static void note_stall(const sl_stall *stall)
{
    const char *name = atomic_load(&holder);
    bool is_holder = name && strcmp(stall->fiber, name) == 0;

    if (atomic_load(&n_reports) == 0 || (is_holder && atomic_load(&n_held) == 0)) {
        (void) snprintf(reported_name, sizeof(reported_name), "%s", stall->fiber);
        reported_ms = stall->held_ms;
        reported_frames = stall->n_frames;
        for (size_t i = 0; i < stall->n_frames; i++) {
            uintptr_t at = (uintptr_t) stall->frames[i], from = (uintptr_t) hold_the_loop;

            is_inside |= at >= from && at < from + 4096;
        }
    }
    atomic_fetch_add(&n_reports, 1);
    atomic_fetch_add(&n_held, is_holder);
}

static void forget(void)
{
    atomic_store(&n_reports, 0);
    atomic_store(&n_held, 0);
    atomic_store(&holder, NULL);
    reported_name[0] = '\0';
    reported_frames = 0;
    is_inside = false;
}

/* Hold the loop until somebody complains. */
__attribute__((noinline)) int hold_the_loop(void *arg)
{
    (void) arg;
    atomic_store(&holder, sl_self_name());
    for (int i = 0; i < ROUNDS_MAX && atomic_load(&n_held) == 0; i++)
        (void) usleep(10000);
    return 0;
}

static int held_main(void *arg)
{
    sl_nursery *nursery = sl_nursery_open();
    sl_stats stats;
    int r;

    if (sl_sim_is_on()) {
        *(bool *) arg = true;
        sl_nursery_close(nursery);
        return 0;
    }
    (void) sl_spawn(nursery, hold_the_loop, NULL, .name = "greedy"); /* join tells */
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    sl_stats_get(&stats);
    EXPECT(stats.stalls >= 1);
    return r;
}

TEST(held_loop_is_reported)
{
    bool is_sim = false;

    forget();
    metrics_reset();
    sl_on_stall(note_stall);
    EXPECT_OK(sl_run(held_main, &is_sim));
    sl_on_stall(NULL);
    if (is_sim) {
        test_skip("the simulated loop has no watchdog");
        return;
    }
    EXPECT(atomic_load(&n_reports) >= 1);
    EXPECT_EQ(metrics_value(METRIC_LOOP_STALLS), atomic_load(&n_reports));
    EXPECT_C(reported_name, "greedy");
    EXPECT(reported_ms >= 10);
    if (!DELAYS_SIGNALS) {
        EXPECT(reported_frames >= 2);
        EXPECT(is_inside);
    }
}

/* The same stall is reported once, however long it lasts. */
static int hold_on(void *arg)
{
    if (sl_sim_is_on())
        return 0;
    (void) hold_the_loop(arg);
    (void) usleep(60000);
    return 0;
}

TEST(one_report_for_one_stall)
{
    forget();
    sl_on_stall(note_stall);
    EXPECT_OK(sl_run(hold_on, NULL, .name = "long"));
    sl_on_stall(NULL);
    EXPECT(atomic_load(&n_reports) <= 1);
}

static int hold_quietly(void *arg)
{
    (void) arg;
    if (!sl_sim_is_on())
        (void) usleep(60000);
    return 0;
}

TEST(no_watchdog_when_told_so)
{
    forget();
    sl_on_stall(note_stall);
    EXPECT_OK(sl_run(hold_quietly, NULL, .stall_ms = -1));
    EXPECT_OK(sl_run(hold_quietly, NULL, .stall_ms = 100000));
    sl_on_stall(NULL);
    EXPECT_EQ(atomic_load(&n_reports), 0);
}

static int sleep_on_pool(void *arg)
{
    (void) arg;
    if (!sl_sim_is_on())
        (void) usleep(250000);
    return 0;
}

static int patient_main(void *arg)
{
    (void) arg;
    EXPECT_OK(sl_offload(sleep_on_pool, NULL)); /* a pool thread may take its time */
    return sl_sleep_ms(250);                    /* and so may a fiber that sleeps */
}

TEST(waiting_is_no_stall)
{
    forget();
    sl_on_stall(note_stall);
    EXPECT_OK(sl_run(patient_main, NULL, .stall_ms = 100));
    sl_on_stall(NULL);
    EXPECT_EQ(atomic_load(&n_reports), 0);
}

/* After a rest that is long enough for the watchdog to rest as well, a stall is still seen. */
static int rested_main(void *arg)
{
    int r = sl_sleep_ms(300);

    *(bool *) arg = sl_sim_is_on();
    return r < 0 || sl_sim_is_on() ? r : hold_the_loop(NULL);
}

TEST(stall_after_a_rest_is_reported)
{
    bool is_sim = false;

    forget();
    sl_on_stall(note_stall);
    EXPECT_OK(sl_run(rested_main, &is_sim, .name = "rested"));
    sl_on_stall(NULL);
    EXPECT(is_sim || atomic_load(&n_reports) >= 1);
}

/*
 * A fiber that computes for a few milliseconds at a time, on a processor that it shares with busy
 * threads: what it waits for them is not its fault.
 */
static atomic_bool is_over;

static int64_t thread_time_ns(void)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void *burn(void *arg)
{
    cpu_set_t one;

    (void) arg;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    (void) sched_setaffinity(0, sizeof(one), &one);
    while (!atomic_load(&is_over)) {}
    return NULL;
}

static int crowded_main(void *arg)
{
    cpu_set_t all, one;

    *(bool *) arg = sl_sim_is_on();
    if (sl_sim_is_on())
        return 0;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (sched_getaffinity(0, sizeof(all), &all) != 0 ||
        sched_setaffinity(0, sizeof(one), &one) != 0) {
        *(bool *) arg = true;
        return 0;
    }
    for (int i = 0; i < 10; i++) {
        int64_t until_ns = thread_time_ns() + 3 * NS_PER_MS;

        while (thread_time_ns() < until_ns) {}
        EXPECT_OK(sl_yield());
    }
    (void) sched_setaffinity(0, sizeof(all), &all);
    return 0;
}

/* True when the loop has a watchdog and could be put into a crowd. */
static bool run_crowd(void)
{
    pthread_t threads[8];
    bool cannot = false;
    size_t n = 0;

    forget();
    atomic_store(&is_over, false);
    while (n < 8 && pthread_create(&threads[n], NULL, burn, NULL) == 0)
        n++;
    sl_on_stall(note_stall);
    EXPECT_OK(sl_run(crowded_main, &cannot, .name = "crowded"));
    sl_on_stall(NULL);
    atomic_store(&is_over, true);
    for (size_t i = 0; i < n; i++)
        (void) pthread_join(threads[i], NULL);
    return !cannot;
}

/* Would catch: a busy machine that is reported as a fiber's fault. */
TEST(waiting_for_a_processor_is_no_stall)
{
    int n = 0;

    do {
        if (!run_crowd() || access("/proc/self/schedstat", R_OK) != 0) {
            test_skip("there is no watchdog here, or the kernel does not count waits");
            return;
        }
        n++;
    } while (n < CROWDS_MAX && atomic_load(&n_reports) > 0);
    EXPECT_EQ(atomic_load(&n_reports), 0);
}

TEST_MAIN()
