/*
 * Scopes: deadlines, cancellation, shields, and whose cancellation it was.
 */
/* loops: all */
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>

static int sleeps(void *arg)
{
    return sl_sleep_ms((int64_t) (intptr_t) arg);
}

static int sleeps_for_ever(void *arg)
{
    (void) arg;
    return sl_sleep_forever();
}

/* -- Deadlines -- */

static int times_out(void *arg)
{
    int64_t before = sl_now_ns();

    (void) arg;
    EXPECT_ERR(sl_with_timeout(5, sleeps_for_ever, NULL), -ETIMEDOUT, "timed out");
    EXPECT(sl_clock_ns() - before >= 5 * NS_PER_MS);
    EXPECT_OK(sl_with_timeout(10000, sleeps, (void *) 1));
    EXPECT(!sl_is_cancelled());
    return sl_yield();
}

TEST(a_deadline_cuts_a_wait_short)
{
    EXPECT_OK(sl_run(times_out, NULL));
}

static int over_before_it_begins(void *arg)
{
    sl_scope scope;
    int r;

    (void) arg;
    sl_scope_begin(&scope, .timeout_ms = -1);
    EXPECT(sl_is_cancelled());
    EXPECT(sl_scope_is_expired(&scope));
    EXPECT_EQ(sl_checkpoint(), -ECANCELED);
    r = sl_yield();
    EXPECT_EQ(r, -ECANCELED); /* again and again */
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);

    sl_scope_begin(&scope, .timeout_ms = -1);
    EXPECT_EQ(sl_scope_end(&scope, 7), 7); /* what was done in spite of it counts */
    sl_scope_begin(&scope, .timeout_ms = -1);
    EXPECT_EQ(sl_scope_end(&scope, -EIO), -EIO);
    return 0;
}

TEST(a_deadline_may_be_over_already)
{
    EXPECT_OK(sl_run(over_before_it_begins, NULL));
}

static int spins_until_cancelled(void *arg)
{
    int r;

    (void) arg;
    while ((r = sl_yield()) == 0) {}
    return r;
}

/* Would catch deadlines that only parked fibers have. */
static int spins(void *arg)
{
    (void) arg;
    EXPECT_EQ(sl_with_timeout(2, spins_until_cancelled, NULL), -ETIMEDOUT);
    return 0;
}

TEST(a_fiber_that_never_waits_sees_its_deadline)
{
    EXPECT_OK(sl_run(spins, NULL));
}

static int deadlines_nest(void *arg)
{
    sl_scope outer;
    sl_scope inner;
    int64_t now = sl_now_ns();

    (void) arg;
    EXPECT_EQ(sl_deadline_ns(), INT64_MAX);
    sl_scope_begin(&outer, .timeout_ms = 100);
    EXPECT_EQ(sl_deadline_ns(), now + 100 * NS_PER_MS);
    sl_scope_begin(&inner, .timeout_ms = 1000);
    EXPECT_EQ(sl_deadline_ns(), now + 100 * NS_PER_MS); /* the earlier counts */
    EXPECT_OK(sl_scope_end(&inner, 0));
    sl_scope_begin(&inner, .timeout_ms = 50, .deadline_ns = now + 20 * NS_PER_MS);
    EXPECT_EQ(sl_deadline_ns(), now + 20 * NS_PER_MS);
    sl_scope_set_deadline(&inner, now + 30 * NS_PER_MS);
    EXPECT_EQ(sl_deadline_ns(), now + 30 * NS_PER_MS);
    sl_scope_set_deadline(&inner, 0);
    EXPECT_EQ(sl_deadline_ns(), now + 100 * NS_PER_MS);
    EXPECT_OK(sl_scope_end(&inner, 0));
    sl_scope_begin(&inner, .timeout_ms = 5000, .is_shield = true);
    EXPECT_EQ(sl_deadline_ns(), now + 5000 * NS_PER_MS); /* what is outside is not seen */
    EXPECT_OK(sl_scope_end(&inner, 0));
    EXPECT_OK(sl_scope_end(&outer, 0));
    EXPECT_EQ(sl_deadline_ns(), INT64_MAX);
    sl_scope_begin(&outer, .timeout_ms = INT64_MAX); /* too far to count */
    EXPECT_EQ(sl_deadline_ns(), INT64_MAX);
    return sl_scope_end(&outer, 0);
}

TEST(deadlines_nest)
{
    EXPECT_OK(sl_run(deadlines_nest, NULL));
}

static int outer_expires_first(void *arg)
{
    sl_scope outer;
    sl_scope inner;
    int r;

    (void) arg;
    sl_scope_begin(&outer, .timeout_ms = 3);
    sl_scope_begin(&inner, .timeout_ms = 10000);
    r = sl_sleep_forever();
    r = sl_scope_end(&inner, r);
    EXPECT_EQ(r, -ECANCELED); /* not the inner's own: left alone */
    r = sl_scope_end(&outer, r);
    EXPECT_EQ(r, -ETIMEDOUT);
    return sl_yield();
}

TEST(a_scope_leaves_outer_cancellation_alone)
{
    EXPECT_OK(sl_run(outer_expires_first, NULL));
}

static int both_expire(void *arg)
{
    sl_scope outer;
    sl_scope inner;
    int r;

    (void) arg;
    sl_scope_begin(&outer, .timeout_ms = 3);
    sl_scope_begin(&inner, .timeout_ms = 3);
    r = sl_sleep_forever();
    r = sl_scope_end(&inner, r);
    EXPECT_EQ(r, -ECANCELED); /* the outer one has the last word */
    EXPECT_EQ(sl_scope_end(&outer, r), -ETIMEDOUT);
    return 0;
}

TEST(of_two_expired_scopes_the_outer_tells)
{
    EXPECT_OK(sl_run(both_expire, NULL));
}

/* -- Moving a deadline -- */

typedef struct Waited {
    sl_scope scope;
    bool has_begun;
} Waited;

static int waits_in_scope(void *arg)
{
    Waited *waited = arg;
    int r;

    sl_scope_begin(&waited->scope, .timeout_ms = 60000);
    waited->has_begun = true;
    r = sl_sleep_forever();
    return sl_scope_end(&waited->scope, r);
}

static int moves_deadline(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Waited sooner = { .has_begun = false };
    Waited passed = { .has_begun = false };
    int r;

    (void) arg;
    sl_spawn(nursery, waits_in_scope, &sooner);
    while (!sooner.has_begun)
        EXPECT_OK(sl_yield());
    EXPECT_OK(sl_yield());
    sl_scope_set_deadline(&sooner.scope, 0);
    sl_scope_set_deadline(&sooner.scope, sl_now_ns() + 2 * NS_PER_MS);
    EXPECT_EQ(sl_nursery_join(nursery), -ETIMEDOUT);

    AUTO(sl_nursery_close) sl_nursery *second = sl_nursery_open();
    sl_spawn(second, waits_in_scope, &passed);
    while (!passed.has_begun)
        EXPECT_OK(sl_yield());
    sl_scope_set_deadline(&passed.scope, sl_now_ns() - 1);
    r = sl_nursery_join(second);
    EXPECT_EQ(r, -ETIMEDOUT);
    return 0;
}

TEST(another_fiber_may_move_a_deadline)
{
    EXPECT_OK(sl_run(moves_deadline, NULL));
}

/* -- Cancelling a scope -- */

static int cancels_from_outside(void *arg)
{
    Waited *waited = arg;

    while (!waited->has_begun)
        EXPECT_OK(sl_yield());
    sl_scope_cancel(&waited->scope);
    sl_scope_cancel(&waited->scope);
    return 0;
}

static int cancelled_scope_is_no_error(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Waited waited = { .has_begun = false };

    (void) arg;
    sl_spawn(nursery, waits_in_scope, &waited);
    sl_spawn(nursery, cancels_from_outside, &waited);
    return sl_nursery_join(nursery); /* sl_scope_end made 0 of it */
}

TEST(a_cancelled_scope_ends_well)
{
    EXPECT_OK(sl_run(cancelled_scope_is_no_error, NULL));
}

/* -- Nurseries inside scopes -- */

static int64_t seen_deadline;

static int notes_deadline_and_waits(void *arg)
{
    (void) arg;
    seen_deadline = sl_deadline_ns();
    return sl_sleep_forever();
}

static int children_inherit(void *arg)
{
    sl_scope scope;
    sl_scope later;
    int64_t deadline = sl_now_ns() + 5 * NS_PER_MS;
    int r;

    (void) arg;
    sl_scope_begin(&scope, .deadline_ns = deadline);
    {
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

        sl_scope_begin(&later, .timeout_ms = 1); /* around the spawn: it does not count */
        sl_spawn(nursery, notes_deadline_and_waits, NULL);
        EXPECT_OK(sl_scope_end(&later, 0));
        r = sl_nursery_join(nursery);
    }
    EXPECT_EQ(seen_deadline, deadline);
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    return 0;
}

TEST(children_inherit_the_scopes_of_their_nursery)
{
    EXPECT_OK(sl_run(children_inherit, NULL));
}

static int spins_beside_children(void *arg)
{
    sl_scope scope;
    int r;

    (void) arg;
    sl_scope_begin(&scope, .timeout_ms = 3);
    {
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

        sl_spawn(nursery, sleeps_for_ever, NULL);
        while (sl_nursery_count(nursery) > 0)
            r = sl_yield(); /* the owner never waits: its deadline must come all the same */
        r = sl_nursery_join(nursery);
    }
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    return 0;
}

TEST(a_deadline_reaches_children_of_a_busy_owner)
{
    EXPECT_OK(sl_run(spins_beside_children, NULL));
}

/* -- Shields -- */

static int cleanup_r;

static int cleans_up(void *arg)
{
    (void) arg;
    return sl_sleep_ms(2);
}

static int waits_then_cleans_up(void *arg)
{
    int r = sl_sleep_forever();

    (void) arg;
    EXPECT_EQ(sl_sleep_ms(1), -ECANCELED);
    cleanup_r = sl_shielded(10000, cleans_up, NULL);
    EXPECT(sl_is_cancelled()); /* behind the shield it is as before */
    EXPECT_EQ(sl_yield(), -ECANCELED);
    return r;
}

static int shields_cleanup(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    cleanup_r = 1;
    sl_spawn(nursery, waits_then_cleans_up, NULL);
    EXPECT_OK(sl_sleep_ms(1));
    sl_nursery_cancel(nursery);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(cleanup_r, 0);
    return 0;
}

TEST(a_shield_lets_cleanup_talk)
{
    EXPECT_OK(sl_run(shields_cleanup, NULL));
}

static int shield_has_an_end(void *arg)
{
    sl_scope outer;
    int r;

    (void) arg;
    sl_scope_begin(&outer, .timeout_ms = 1);
    r = sl_sleep_forever();
    EXPECT_EQ(sl_shielded(2, sleeps_for_ever, NULL),
              -ETIMEDOUT); /* its own time: its own verdict */
    EXPECT_EQ(sl_scope_end(&outer, r), -ETIMEDOUT);
    return 0;
}

TEST(a_shield_has_a_grace)
{
    EXPECT_OK(sl_run(shield_has_an_end, NULL));
}

static int child_in_shield(void *arg)
{
    sl_scope shield;
    int r;

    (void) arg;
    sl_scope_begin(&shield, .timeout_ms = 10000, .is_shield = true);
    {
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

        sl_spawn(nursery, cleans_up, NULL);
        r = sl_nursery_join(nursery);
    }
    cleanup_r = r;
    return sl_scope_end(&shield, r);
}

static int cancels_shielded_tree(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    cleanup_r = 1;
    sl_spawn(nursery, child_in_shield, NULL);
    EXPECT_OK(sl_yield());
    EXPECT_OK(sl_yield());
    sl_nursery_cancel(nursery);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(cleanup_r, 0);
    return 0;
}

TEST(a_shield_covers_the_children_inside)
{
    EXPECT_OK(sl_run(cancels_shielded_tree, NULL));
}

static int cancelled_inside_shield(void *arg)
{
    sl_scope shield;
    sl_scope inner;
    int r;

    (void) arg;
    sl_scope_begin(&shield, .timeout_ms = 10000, .is_shield = true);
    sl_scope_begin(&inner, .timeout_ms = 1);
    r = sl_sleep_forever();
    r = sl_scope_end(&inner, r);
    EXPECT_EQ(r, -ETIMEDOUT);
    EXPECT(!sl_is_cancelled());
    return sl_scope_end(&shield, 0);
}

TEST(scopes_inside_a_shield_work_as_ever)
{
    EXPECT_OK(sl_run(cancelled_inside_shield, NULL));
}

/* -- The words of a cancellation -- */

static int words_are_fresh(void *arg)
{
    sl_scope scope;
    int r;

    (void) arg;
    sl_scope_begin(&scope, .timeout_ms = -1);
    r = wrap(sl_yield(), "old story");
    EXPECT_ERR(r, -ECANCELED, "old story");
    r = sl_yield();
    EXPECT(!strstr(sl_error_text(r), "old story"));
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    return 0;
}

TEST(a_new_cancellation_has_no_old_words)
{
    EXPECT_OK(sl_run(words_are_fresh, NULL));
}

TEST_MAIN()
