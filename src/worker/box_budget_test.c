/*
 * The memory of runs in boxes: who waits, who goes first, that small runs go on beside large ones,
 * and that nobody waits for ever.
 */
#include "base/macro.h"
#include "base/rand.h"
#include "base/test.h"
#include "worker/box_int.h"

#include <sluice/rt.h>

#define TOTAL 160 /* of which one run may have 140, and small ones want at most 20 */

static char order[32];
static size_t n_order;

typedef struct Taker {
    BoxBudget *budget;
    BoxCharge charge;
    int64_t bytes;
    char name;
    int r;
} Taker;

static int take(void *arg)
{
    Taker *taker = arg;

    taker->r = budget_take(taker->budget, &taker->charge, taker->bytes);
    if (taker->r == 0)
        order[n_order++] = taker->name;
    else
        err_take(taker->r, NULL);
    return 0;
}

static void spawn_all(sl_nursery *nursery, Taker *takers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        EXPECT_OK(sl_spawn(nursery, take, &takers[i], .name = "taker"));
    EXPECT_OK(sl_yield());
    EXPECT_OK(sl_yield());
}

static void expect_order(const char *expected)
{
    EXPECT_OK(sl_yield());
    EXPECT_OK(sl_yield());
    EXPECT_STR(str_from(order, n_order), str_from_c(expected));
}

static void give_all(BoxBudget *budget, BoxCharge *charge)
{
    budget_give(budget, charge, charge->held);
}

static int line_main(void *arg)
{
    BoxBudget budget;
    BoxCharge first = { 0 };
    Taker takers[] = {
        { .budget = &budget, .bytes = 130, .name = 'L' },
        { .budget = &budget, .bytes = 30, .name = 'm' },
        { .budget = &budget, .bytes = 80, .name = 'H', .charge.priority = 1 },
    };
    sl_nursery *nursery = sl_nursery_open(.name = "takers");

    (void) arg;
    n_order = 0;
    budget_init(&budget, TOTAL);
    EXPECT_OK(budget_take(&budget, &first, 90));
    spawn_all(nursery, takers, 3);
    EXPECT_EQ(n_order, 0); /* the one of 30 fits, and waits behind the large one (I2) */
    give_all(&budget, &first);
    expect_order("H");
    give_all(&budget, &takers[2].charge);
    expect_order("HL");
    give_all(&budget, &takers[0].charge);
    EXPECT_OK(sl_nursery_join(nursery));
    expect_order("HLm");
    give_all(&budget, &takers[1].charge);
    EXPECT_EQ(budget.used, 0);
    sl_nursery_close(nursery);
    return 0;
}

/* Would catch: a large run that others starve, and a priority that does not count. */
TEST(the_line_is_kept)
{
    EXPECT_OK(sl_run(line_main, NULL, .loop = SL_LOOP_EPOLL));
}

static int beside_main(void *arg)
{
    BoxBudget budget;
    BoxCharge first = { 0 };
    Taker large = { .budget = &budget, .bytes = 100, .name = 'L' };
    Taker small[] = {
        { .budget = &budget, .bytes = 15, .name = '1' },
        { .budget = &budget, .bytes = 5, .name = '2' },
        { .budget = &budget, .bytes = 5, .name = '3' },
    };
    sl_nursery *nursery = sl_nursery_open(.name = "takers");

    (void) arg;
    n_order = 0;
    budget_init(&budget, TOTAL);
    EXPECT_OK(budget_take(&budget, &first, 140)); /* as much as one may have */
    spawn_all(nursery, &large, 1);
    spawn_all(nursery, small, 3);
    expect_order("12"); /* while one runs, and another waits */
    give_all(&budget, &small[0].charge);
    expect_order("123");
    give_all(&budget, &first);
    expect_order("123L");
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    give_all(&budget, &large.charge);
    give_all(&budget, &small[1].charge);
    give_all(&budget, &small[2].charge);
    EXPECT_EQ(budget.used + budget.small_used, 0);
    return 0;
}

/* Would catch: one run that has all the memory until its time-out, and small ones that wait behind
 * a large one. */
TEST(small_runs_go_on)
{
    EXPECT_OK(sl_run(beside_main, NULL, .loop = SL_LOOP_EPOLL));
}

static int crowd_main(void *arg)
{
    BoxBudget budget;
    BoxCharge crowd[8] = { 0 };
    Taker large = { .budget = &budget, .bytes = 120, .name = 'L' };
    Taker late = { .budget = &budget, .bytes = 20, .name = 's' };
    sl_nursery *nursery = sl_nursery_open(.name = "takers");

    (void) arg;
    n_order = 0;
    budget_init(&budget, TOTAL);
    for (size_t i = 0; i < 8; i++)
        EXPECT_OK(budget_take(&budget, &crowd[i], 20)); /* alone they may have all of it */
    spawn_all(nursery, &large, 1);
    spawn_all(nursery, &late, 1);
    for (size_t i = 0; i < 5; i++)
        give_all(&budget, &crowd[i]);
    expect_order(""); /* what came back is kept for the large one (I3) */
    give_all(&budget, &crowd[5]);
    expect_order("L");
    give_all(&budget, &crowd[6]);
    expect_order("Ls");
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    give_all(&budget, &crowd[7]);
    give_all(&budget, &large.charge);
    give_all(&budget, &late.charge);
    EXPECT_EQ(budget.used + budget.small_used, 0);
    return 0;
}

/* Would catch: a large run that small ones starve. */
TEST(large_runs_go_on)
{
    EXPECT_OK(sl_run(crowd_main, NULL, .loop = SL_LOOP_EPOLL));
}

static int part_main(void *arg)
{
    BoxBudget budget;
    BoxCharge first = { 0 };
    Taker second = { .budget = &budget, .bytes = 60, .name = '2' };
    sl_nursery *nursery = sl_nursery_open(.name = "takers");

    (void) arg;
    n_order = 0;
    budget_init(&budget, TOTAL);
    EXPECT_OK(budget_take(&budget, &first, 130));
    spawn_all(nursery, &second, 1);
    budget_give(&budget, &first, 49);
    expect_order("");
    budget_give(&budget, &first, 1);
    expect_order("2");
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    budget_give(&budget, &first, 70); /* what is left is little: it counts as small */
    EXPECT_EQ(budget.small_used, 10);
    give_all(&budget, &first);
    give_all(&budget, &second.charge);
    EXPECT_EQ(budget.used + budget.small_used, 0);
    return 0;
}

/* Would catch: memory that is given back before the end and helps nobody. */
TEST(a_part_may_come_back)
{
    EXPECT_OK(sl_run(part_main, NULL, .loop = SL_LOOP_EPOLL));
}

static int more_main(void *arg)
{
    BoxBudget budget;
    Taker one = { .budget = &budget, .bytes = 50, .name = '1' };
    Taker other = { .budget = &budget, .bytes = 50, .name = '2' };
    Taker fresh = { .budget = &budget, .bytes = 100, .name = '3' };
    Taker small = { .budget = &budget, .bytes = 10, .name = 's' };
    BoxCharge greedy = { 0 };
    sl_nursery *nursery = sl_nursery_open(.name = "takers");

    (void) arg;
    n_order = 0;
    budget_init(&budget, TOTAL);
    EXPECT_ERR(budget_take(&budget, &greedy, 141), -ERR_TOO_LARGE, "one run may have");
    EXPECT_OK(budget_take(&budget, &one.charge, 70));
    EXPECT_OK(budget_take(&budget, &other.charge, 70));
    spawn_all(nursery, &fresh, 1);
    spawn_all(nursery, &one, 1);
    spawn_all(nursery, &other, 1); /* the second that holds some and wants more */
    EXPECT_EQ(other.r, -ERR_BUSY);
    spawn_all(nursery, &small, 1);
    expect_order("s");
    give_all(&budget, &other.charge);
    expect_order("s1"); /* before the one that came first (I4) */
    give_all(&budget, &one.charge);
    EXPECT_OK(sl_nursery_join(nursery));
    expect_order("s13");
    give_all(&budget, &fresh.charge);
    give_all(&budget, &small.charge);
    EXPECT_EQ(budget.used + budget.small_used, 0);
    sl_nursery_close(nursery);
    return 0;
}

/* Would catch: two runs that wait for each other's memory. */
TEST(nobody_waits_for_ever)
{
    EXPECT_OK(sl_run(more_main, NULL, .loop = SL_LOOP_EPOLL));
}

static int leave_main(void *arg)
{
    BoxBudget budget;
    Taker large = { .budget = &budget, .bytes = 130, .name = 'L' };
    Taker medium = { .budget = &budget, .bytes = 30, .name = 'm' };
    BoxCharge first = { 0 };
    sl_nursery *nursery = sl_nursery_open(.name = "takers");
    sl_nursery *doomed = sl_nursery_open(.name = "doomed");

    (void) arg;
    n_order = 0;
    budget_init(&budget, TOTAL);
    EXPECT_OK(budget_take(&budget, &first, 90));
    spawn_all(doomed, &large, 1);
    spawn_all(nursery, &medium, 1);
    EXPECT_EQ(n_order, 0);
    sl_nursery_cancel(doomed);
    sl_nursery_close(doomed);
    EXPECT_EQ(large.r, -ECANCELED);
    EXPECT_OK(sl_nursery_join(nursery));
    expect_order("m"); /* it fits once nobody stands before it */
    give_all(&budget, &medium.charge);
    give_all(&budget, &first);
    EXPECT_EQ(budget.used, 0);
    sl_nursery_close(nursery);
    return 0;
}

/* Would catch: a line that stands still behind somebody who has left. */
TEST(whoever_leaves_lets_others_on)
{
    EXPECT_OK(sl_run(leave_main, NULL, .loop = SL_LOOP_EPOLL));
}

/* ---- any order ------------------------------------------------------------------------------- */

typedef struct Walker {
    BoxBudget *budget;
    Rand *rand;
    int refused;
} Walker;

/* Take, take more, give back some, and end; at random. */
static int walk(void *arg)
{
    Walker *walker = arg;

    for (int i = 0; i < 50; i++) {
        BoxCharge charge = { .priority = (int) rand_below(walker->rand, 3) - 1 };
        int r = 0;

        for (int k = 0; k < 3 && r == 0; k++) {
            int64_t bytes = 1 + (int64_t) rand_below(walker->rand, k ? 10 : 140);

            r = budget_take(walker->budget, &charge, MIN(bytes, 140 - charge.held));
            if (r < 0)
                err_take(r, NULL), walker->refused++;
            EXPECT_OK(sl_yield());
            budget_give(walker->budget, &charge,
                        (int64_t) rand_below(walker->rand, (uint64_t) charge.held / 2 + 1));
        }
        give_all(walker->budget, &charge);
    }
    return 0;
}

static int walk_main(void *arg)
{
    BoxBudget budget;
    Rand rand;
    Walker walker = { &budget, &rand, 0 };
    sl_nursery *nursery = sl_nursery_open(.name = "walkers");

    (void) arg;
    rand_init(&rand, 7);
    budget_init(&budget, TOTAL);
    for (int i = 0; i < 40; i++)
        EXPECT_OK(sl_spawn(nursery, walk, &walker, .name = "walker"));
    EXPECT_OK(sl_nursery_join(nursery)); /* which is the assertion: everybody comes to an end */
    sl_nursery_close(nursery);
    EXPECT_EQ(budget.used + budget.small_used, 0);
    return 0;
}

/* Would catch: an order of events in which everybody waits, and sums that drift (I1). */
TEST(whatever_comes_it_goes_on)
{
    EXPECT_OK(sl_run(walk_main, NULL, .loop = SL_LOOP_EPOLL));
}

TEST_MAIN()
