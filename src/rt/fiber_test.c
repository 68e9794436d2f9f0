/*
 * Fibers: order of running, sleeping, identity, results, thousands of them.
 */
/* loops: all */
#include "base/test.h"
#include "base/log.h"

#include <sluice/rt.h>

#include <errno.h>

/* What a test's fibers append to, to be compared with the order that was promised. */
static struct {
    char text[256];
    size_t len;
} trail;

static void trail_reset(void)
{
    trail.len = 0;
    trail.text[0] = '\0';
}

static void trail_add(const char *text)
{
    int n = snprintf(trail.text + trail.len, sizeof trail.text - trail.len, "%s", text);

    trail.len += (size_t) n;
}

static bool is_simulated(void)
{
    return strcmp(sl_loop_name(), "sim") == 0;
}

/* -- Results -- */

static int returns_arg(void *arg)
{
    return *(int *) arg;
}

static int fails_with_words(void *arg)
{
    (void) arg;
    return sl_fail(-EIO, "the %s is wet", "paper");
}

TEST(run_returns_what_main_returns)
{
    int seven = 7;

    EXPECT_EQ(sl_run(returns_arg, &seven), 7);
    EXPECT_ERR(sl_run(fails_with_words, NULL), -EIO, "the paper is wet");
}

static int runs_again(void *arg)
{
    (void) arg;
    return sl_run(returns_arg, arg) == -EBUSY ? 0 : 1;
}

TEST(one_runtime_at_a_time)
{
    EXPECT_OK(sl_run(runs_again, NULL));
}

/* -- Order -- */

static int adds_three_times(void *arg)
{
    for (int i = 0; i < 3; i++) {
        trail_add(arg);
        EXPECT_OK(sl_yield());
    }
    return 0;
}

static int takes_turns(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    trail_reset();
    sl_spawn(nursery, adds_three_times, (char[]){ "a" });
    sl_spawn(nursery, adds_three_times, (char[]){ "b" });
    sl_spawn(nursery, adds_three_times, (char[]){ "c" });
    trail_add("-");
    EXPECT_OK(sl_nursery_join(nursery));
    if (!is_simulated())
        EXPECT_C(trail.text, "-abcabcabc");
    EXPECT_EQ(trail.len, 10);
    return 0;
}

/* Would catch a queue that is not first in, first out, and a spawn that runs its fiber at once. */
TEST(fibers_take_turns)
{
    EXPECT_OK(sl_run(takes_turns, NULL));
}

/* -- Sleeping -- */

typedef struct Sleeper {
    int64_t ms;
    const char *text;
} Sleeper;

static int sleeps_and_adds(void *arg)
{
    const Sleeper *sleeper = arg;

    EXPECT_OK(sl_sleep_ms(sleeper->ms));
    trail_add(sleeper->text);
    return 0;
}

static int sleeps_sort(void *arg)
{
    static Sleeper sleepers[] = { { 30, "c" }, { 10, "a" }, { 0, "0" }, { 20, "b" }, { -5, "-" } };
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int64_t before = sl_now_ns(); /* as the sleeps read it */

    (void) arg;
    trail_reset();
    for (size_t i = 0; i < ARRAY_LEN(sleepers); i++)
        sl_spawn(nursery, sleeps_and_adds, &sleepers[i]);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_C(trail.text + 2, "abc");
    EXPECT(sl_clock_ns() - before >= 30 * NS_PER_MS);
    return 0;
}

TEST(sleepers_wake_in_the_order_of_their_times)
{
    EXPECT_OK(sl_run(sleeps_sort, NULL));
}

static int sleeps_until(void *arg)
{
    int64_t deadline = sl_now_ns() + 3 * NS_PER_MS;

    (void) arg;
    EXPECT_OK(sl_sleep_until_ns(deadline));
    EXPECT(sl_now_ns() >= deadline);
    EXPECT(sl_clock_ns() >= sl_now_ns());
    EXPECT_OK(sl_sleep_until_ns(deadline)); /* over already: a yield */
    return 0;
}

TEST(a_sleep_never_ends_early)
{
    EXPECT_OK(sl_run(sleeps_until, NULL));
}

/* -- Identity -- */

static uint64_t seen_ids[3];

static int looks_at_itself(void *arg)
{
    size_t index = (size_t) (uintptr_t) arg;

    seen_ids[index] = sl_self_id();
    EXPECT_C(sl_self_name(), "child");
    sl_set_name("renamed");
    EXPECT_C(sl_self_name(), "renamed");
    EXPECT(sl_self() != NULL);
    EXPECT_EQ(sl_in_fiber(), 1);
    EXPECT_EQ((uintptr_t) sl_local_get(), 42);
    sl_local_set(NULL);
    return 0;
}

static int has_identity(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    EXPECT_C(sl_self_name(), "first");
    sl_local_set((void *) 42);
    for (uintptr_t i = 0; i < 3; i++)
        sl_spawn(nursery, looks_at_itself, (void *) i, .name = "child");
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ((uintptr_t) sl_local_get(), 42); /* a child's change is its own */
    EXPECT(seen_ids[0] != seen_ids[1] && seen_ids[1] != seen_ids[2] && seen_ids[0] != seen_ids[2]);
    EXPECT(seen_ids[0] != sl_self_id());
    return 0;
}

TEST(a_fiber_knows_itself)
{
    EXPECT_EQ(sl_in_fiber(), 0);
    EXPECT(sl_self() == NULL);
    EXPECT_OK(sl_run(has_identity, NULL, .name = "first"));
    EXPECT_EQ(sl_in_fiber(), 0);
}

/* -- Errors are the fiber's own -- */

static int fails_and_yields(void *arg)
{
    int r = sl_fail(-EIO, "%s", (const char *) arg);

    EXPECT_OK(sl_yield());
    EXPECT_C(sl_error_text(r), (const char *) arg);
    return 0;
}

static int keeps_errors_apart(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    sl_spawn(nursery, fails_and_yields, (char[]){ "one" });
    sl_spawn(nursery, fails_and_yields, (char[]){ "two" });
    return sl_nursery_join(nursery);
}

/* Would catch a switch that forgets the error record. */
TEST(each_fiber_has_its_own_error)
{
    EXPECT_OK(sl_run(keeps_errors_apart, NULL));
}

static int logs_and_yields(void *arg)
{
    LogContext context;

    (void) arg;
    log_push(&context, L_INT("n", 1));
    EXPECT_OK(sl_yield());
    EXPECT(log_context == &context);
    log_pop(&context);
    return 0;
}

static int keeps_logs_apart(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    for (int i = 0; i < 3; i++)
        sl_spawn(nursery, logs_and_yields, NULL);
    EXPECT(log_context == NULL);
    EXPECT_OK(sl_yield());
    EXPECT(log_context == NULL);
    return sl_nursery_join(nursery);
}

TEST(each_fiber_has_its_own_log_context)
{
    EXPECT_OK(sl_run(keeps_logs_apart, NULL));
}

/* -- Registers and floating point survive a switch -- */

static int computes(void *arg)
{
    double x = (double) (uintptr_t) arg;
    uint64_t a = (uintptr_t) arg, b = a * 3, c = a * 5, d = a * 7, e = a * 11, f = a * 13;
    double y = x / 3, z = x / 7;

    for (int i = 0; i < 50; i++) {
        EXPECT_OK(sl_yield());
        a += b + 1;
        b ^= c;
        c += d;
        d ^= e;
        e += f;
        f ^= a;
        y += z;
        z *= 1.5;
    }
    return (int) ((a ^ b ^ c ^ d ^ e ^ f ^ (uint64_t) y) & 0x3fffffff);
}

static int stores_result(void *arg)
{
    uint64_t *slot = arg;

    *slot = (uint64_t) computes((void *) (uintptr_t) *slot);
    return 0;
}

static int computes_alone_and_together(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    uint64_t results[20];

    (void) arg;
    for (uint64_t i = 0; i < 20; i++) {
        results[i] = i + 1;
        sl_spawn(nursery, stores_result, &results[i]);
    }
    EXPECT_OK(sl_nursery_join(nursery));
    for (uint64_t i = 0; i < 20; i++)
        EXPECT_EQ(computes((void *) (uintptr_t) (i + 1)), results[i]);
    return 0;
}

TEST(registers_survive_a_switch)
{
    EXPECT_OK(sl_run(computes_alone_and_together, NULL));
}

/* -- Checkpoints -- */

static bool has_other_run;

static int notes_that_it_ran(void *arg)
{
    (void) arg;
    has_other_run = true;
    return 0;
}

static int checks_often(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    has_other_run = false;
    sl_spawn(nursery, notes_that_it_ran, NULL);
    for (int i = 0; i < 1000 && !has_other_run; i++)
        EXPECT_OK(sl_checkpoint());
    EXPECT(has_other_run);
    return sl_nursery_join(nursery);
}

/* Would catch a checkpoint that never lets others run. */
TEST(a_checkpoint_yields_in_the_end)
{
    EXPECT_OK(sl_run(checks_often, NULL));
}

static int works_undisturbed(void *arg)
{
    (void) arg;
    SL_NO_SUSPEND
    {
        sl_event event = { 0 };

        sl_event_set(&event);
    }
    return sl_yield();
}

TEST(what_does_not_suspend_is_allowed_in_no_suspend)
{
    EXPECT_OK(sl_run(works_undisturbed, NULL));
}

/* -- Many -- */

static size_t count_done;

static int yields_ten_times(void *arg)
{
    (void) arg;
    for (int i = 0; i < 10; i++) {
        if (sl_yield() < 0)
            return -ECANCELED;
    }
    count_done++;
    return 0;
}

#if defined(__SANITIZE_THREAD__)
enum { MANY = 2000 }; /* the sanitizer has an end of fibers */
#else
enum { MANY = 20000 };
#endif

static int runs_many(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    sl_stats stats;

    (void) arg;
    count_done = 0;
    for (int i = 0; i < MANY; i++)
        EXPECT_OK(sl_spawn(nursery, yields_ten_times, NULL));
    sl_stats_get(&stats);
    EXPECT(stats.fibers > 1);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count_done, MANY);
    sl_stats_get(&stats);
    EXPECT_EQ(stats.fibers, 1);
    EXPECT_EQ(stats.fibers_ready, 0);
    return 0;
}

TEST(twenty_thousand_fibers)
{
    EXPECT_OK(sl_run(runs_many, NULL));
}

static int sums_on_stack(void *arg)
{
    volatile char bytes[1500];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char) i;
    if ((uintptr_t) arg == 0)
        return bytes[7] == 7 ? 0 : 1;
    return sums_on_stack((void *) ((uintptr_t) arg - 1));
}

static int uses_large_stack(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    sl_spawn(nursery, sums_on_stack, (void *) 500, .stack_bytes = 2 << 20, .name = "deep");
    sl_spawn(nursery, sums_on_stack, (void *) 10);
    EXPECT_EQ(sl_spawn(nursery, sums_on_stack, NULL, .stack_bytes = (size_t) 1 << 40), -ENOMEM);
    EXPECT_ERR(sl_nursery_join(nursery), -ENOMEM, "larger than the largest");
    return 0;
}

TEST(stack_sizes_are_honoured)
{
    EXPECT_OK(sl_run(uses_large_stack, NULL));
}

static int asks_clocks(void *arg)
{
    uint64_t first = sl_random();

    (void) arg;
    EXPECT(sl_random() != first);
    EXPECT(sl_wall_ms() > 0);
    EXPECT(sl_now_ns() <= sl_clock_ns());
    EXPECT_EQ(sl_loop_count(), 1);
    EXPECT_EQ(sl_loop_index(), 0);
    EXPECT(sl_loop_reason()[0] != '\0');
    EXPECT(sl_loop_self() == sl_loop_at(0));
    return 0;
}

TEST(clocks_and_loop_can_be_asked)
{
    EXPECT_C(sl_loop_name(), "none");
    EXPECT_OK(sl_run(asks_clocks, NULL));
    EXPECT(sl_now_ns() > 0 && sl_clock_ns() > 0 && sl_wall_ms() > 0);
}

TEST_MAIN()
