/*
 * Limits of types: how many run at once, over all loops, and that they are in nobody else's way.
 */
#include "worker/type_limits.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/metrics.h"
#include "base/test.h"

#include <sluice/rt.h>

#include <stdatomic.h>

#define RUNS 200

typedef struct Runner {
    TypeLimits *limits;
    const char *type;
    SlotAsk ask;
    size_t loop;
    int turns;
    int r;
} Runner;

static atomic_int running, most, ended;

/* Hold a slot for some turns of the loop. */
static int run(void *arg)
{
    Runner *runner = arg;
    Str type = str_from_c(runner->type);
    int seen;

    runner->r = type_limits_enter(runner->limits, type, &runner->ask);
    if (runner->r < 0) {
        err_take(runner->r, NULL);
        return 0;
    }
    seen = atomic_fetch_add(&running, 1) + 1;
    if (seen > atomic_load(&most))
        atomic_store(&most, seen);
    for (int i = 0; i < runner->turns; i++)
        EXPECT_OK(sl_yield());
    atomic_fetch_sub(&running, 1);
    atomic_fetch_add(&ended, 1);
    type_limits_leave(runner->limits, type, &runner->ask);
    return 0;
}

static int run_there(void *arg)
{
    Runner *runner = arg;

    return sl_call_on(runner->loop, run, runner, "runner");
}

static void reset(void)
{
    atomic_store(&running, 0);
    atomic_store(&most, 0);
    atomic_store(&ended, 0);
}

static int crowd_main(void *arg)
{
    const TypeLimit items[] = { { "image", 2 }, { "digest", 1000 } };
    TypeLimits *limits = type_limits_new(items, ARRAY_LEN(items));
    static Runner runners[RUNS];
    sl_nursery *nursery = sl_nursery_open(.name = "runners");

    reset();
    for (size_t i = 0; i < RUNS; i++) {
        runners[i] = (Runner){ .limits = limits,
                               .type = arg,
                               .ask.is_patient = true,
                               .loop = i % sl_loop_count(),
                               .turns = 3 };
        EXPECT_OK(sl_spawn(nursery, run_there, &runners[i], .name = "runner"));
    }
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_EQ(atomic_load(&ended), RUNS);
    for (size_t i = 1; i < sl_loop_count(); i++)
        EXPECT_OK(sl_call_on(i, run, &(Runner){ .limits = limits, .type = "image" }, "last"));
    type_limits_free(limits); /* asserts that every slot is back */
    return 0;
}

/* Would catch: a limit for each loop instead of all, and a slot that is lost between two. */
TEST(a_limit_is_for_all_loops)
{
    EXPECT_OK(sl_run(crowd_main, (void *) (uintptr_t) "image", .loops = 3, .stall_ms = -1));
    EXPECT(atomic_load(&most) <= 2);
    EXPECT_OK(sl_run(crowd_main, (void *) (uintptr_t) "image", .stall_ms = -1));
    EXPECT_EQ(atomic_load(&most), 2);
}

/* Would catch: a limit that is never reached and holds somebody back, and one that nobody set. */
TEST(a_limit_above_what_comes_is_none)
{
    EXPECT_OK(sl_run(crowd_main, (void *) (uintptr_t) "digest", .stall_ms = -1));
    EXPECT_EQ(atomic_load(&most), RUNS);
    EXPECT_OK(sl_run(crowd_main, (void *) (uintptr_t) "echo", .stall_ms = -1));
    EXPECT_EQ(atomic_load(&most), RUNS);
}

static int others_main(void *arg)
{
    const TypeLimit items[] = { { "image", 1 } };
    TypeLimits *limits = type_limits_new(items, 1);
    SlotAsk held = { .is_patient = true };
    Runner first = { .limits = limits, .type = "image", .ask.is_patient = true };
    Runner second = { .limits = limits, .type = "image", .ask.is_patient = true };
    Runner other = { .limits = limits, .type = "digest" };
    sl_nursery *nursery = sl_nursery_open(.name = "runners");
    sl_nursery *doomed = sl_nursery_open(.name = "doomed");

    (void) arg;
    reset();
    EXPECT_OK(type_limits_enter(limits, STR_C("image"), &held));
    EXPECT_OK(sl_spawn(doomed, run, &first, .name = "first"));
    EXPECT_OK(sl_spawn(nursery, run, &second, .name = "second"));
    EXPECT_OK(sl_yield());
    EXPECT_EQ(metrics_value(METRIC_TYPE_WAITING), 2);
    EXPECT_OK(run(&other)); /* passes those who wait */
    EXPECT_EQ(atomic_load(&ended), 1);
    sl_nursery_cancel(doomed);
    type_limits_leave(limits, STR_C("image"), &held); /* called and cancelled at once */
    sl_nursery_close(doomed);
    EXPECT_EQ(first.r, -ECANCELED);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_OK(second.r);
    EXPECT_EQ(metrics_value(METRIC_TYPE_WAITING) + metrics_value(METRIC_TYPE_RUNNING), 0);
    type_limits_free(limits);
    return 0;
}

/* Would catch: a type at its limit in front of another, and a slot that goes with a run that is
 * cancelled. */
TEST(other_types_pass)
{
    EXPECT_OK(sl_run(others_main, NULL, .stall_ms = -1));
}

static int refuse_main(void *arg)
{
    const TypeLimit items[] = { { "image", 1 } };
    TypeLimits *limits = type_limits_new(items, 1);
    static Runner runners[LIMIT_TYPE_WAITING];
    Runner extra = { .limits = limits, .type = "image" };
    Runner job = { .limits = limits, .type = "image", .ask.is_patient = true };
    SlotAsk held = { .is_patient = true };
    sl_nursery *nursery = sl_nursery_open(.name = "runners");

    (void) arg;
    reset();
    EXPECT_OK(type_limits_enter(limits, STR_C("image"), &held));
    for (size_t i = 0; i < LIMIT_TYPE_WAITING; i++) {
        runners[i] = (Runner){ .limits = limits, .type = "image" };
        EXPECT_OK(sl_spawn(nursery, run, &runners[i], .name = "runner"));
    }
    EXPECT_OK(sl_yield());
    EXPECT_OK(run(&extra));
    EXPECT_EQ(extra.r, -ERR_BUSY);
    EXPECT(extra.ask.wait_ms > 0);
    EXPECT_OK(sl_spawn(nursery, run, &job, .name = "job")); /* is let in all the same */
    type_limits_leave(limits, STR_C("image"), &held);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_EQ(atomic_load(&ended), LIMIT_TYPE_WAITING + 1);
    EXPECT_EQ(atomic_load(&most), 1);
    EXPECT_EQ(metrics_value(METRIC_TYPE_REFUSED), 1);
    type_limits_free(limits);
    return 0;
}

/* Would catch: a line without a bound, and a leased job that is refused. */
TEST(the_line_is_bounded)
{
    metrics_reset();
    EXPECT_OK(sl_run(refuse_main, NULL, .stall_ms = -1));
}

static int deadline_main(void *arg)
{
    const TypeLimit items[] = { { "image", 1 } };
    TypeLimits *limits = type_limits_new(items, 1);
    SlotAsk held = { .is_patient = true }, late = { .priority = 0 };
    sl_scope scope;
    int r;

    (void) arg;
    EXPECT_OK(type_limits_enter(limits, STR_C("image"), &held));
    held.began_ns -= 60 * NS_PER_S; /* as if it had taken a minute */
    type_limits_leave(limits, STR_C("image"), &held);
    EXPECT_OK(type_limits_enter(limits, STR_C("image"), &held));
    sl_scope_begin(&scope, .timeout_ms = 10000);
    r = type_limits_enter(limits, STR_C("image"), &late);
    r = sl_scope_end(&scope, r);
    EXPECT_ERR(r, -ERR_BUSY, "0 runs wait for the limit of their type");
    EXPECT(late.wait_ms >= 60000);
    type_limits_leave(limits, STR_C("image"), &held);
    type_limits_free(limits);
    return 0;
}

/* Would catch: a wait that cannot end well, and a Retry-After that says nothing. */
TEST(who_would_be_late_is_told_at_once)
{
    EXPECT_OK(sl_run(deadline_main, NULL, .stall_ms = -1));
}

TEST_MAIN()
