/*
 * Cancellation over random trees of fibers, scopes, shields and nurseries.
 *
 * Fibers grow a random tree and wait in random ways. A driver cancels random regions, moves
 * deadlines into the past, and after each step compares what the runtime keeps in each fiber with
 * the definition, evaluated naively: a region is effective when it was cancelled, or is no shield
 * and lies in an effective one. At the end everything is cancelled and must end.
 */
/* loops: all */
#include "base/test.h"

#include "base/rand.h"
#include "rt/region_int.h"

#include <sluice/rt.h>

enum { SCOPES_MAX = 3, CHILDREN_MAX = 4, DEPTH_MAX = 5, LIVE_MAX = 4096, STEPS = 60 };

/* One fiber of the tree and the regions it has open; on its own stack. */
typedef struct Node {
    size_t live_index;
    sl_fiber *fiber;
    sl_scope scopes[SCOPES_MAX];
    size_t n_scopes;
    sl_nursery *nursery;
    bool has_seen_cancel;
} Node;

static struct {
    Rand rand;
    Node *live[LIVE_MAX];
    size_t n_live;
    size_t begun;
    size_t ended;
    sl_chan *chan;
    sl_event event;
    sl_sem sem;
    bool is_over; /* nobody grows any more */
} world;

static uint64_t below(uint64_t n)
{
    return rand_below(&world.rand, n);
}

/* The definition. */
static bool is_effective(const Region *region)
{
    if (region->is_cancelled)
        return true;
    return !region->is_shield && region->outer && is_effective(region->outer);
}

static void check(void)
{
    for (size_t i = 0; i < world.n_live; i++) {
        const Node *node = world.live[i];
        const sl_fiber *fiber = node->fiber;

        if (fiber->is_cancelled != is_effective(fiber->region))
            test_fail(__FILE__, __LINE__, "fiber %llu: cancelled %d, by definition %d",
                      (unsigned long long) fiber->id, fiber->is_cancelled,
                      is_effective(fiber->region));
        for (const Region *region = fiber->region; region; region = region->outer)
            EXPECT_EQ(region->is_effective, is_effective(region));
        for (const sl_nursery *n = fiber->nurseries; n; n = n->outer_nursery)
            EXPECT_EQ(n->region.is_effective, is_effective(&n->region));
        if (fiber->is_cancelled && fiber->state == FIBER_PARKED)
            EXPECT(fiber->is_told);
    }
}

static void live_add(Node *node)
{
    node->live_index = world.n_live;
    world.live[world.n_live++] = node;
    world.begun++;
}

static void live_remove(Node *node)
{
    Node *last = world.live[--world.n_live];

    world.live[node->live_index] = last;
    last->live_index = node->live_index;
    world.ended++;
}

/* Wait in one of many ways; what cannot be had is waited for until cancelled. */
static int wait_somehow(Node *node)
{
    sl_select_case cases[2] = { { .chan = world.chan, .recv = &(int){ 0 } },
                                { .chan = world.chan, .send = &(int){ 1 } } };
    int item;
    size_t index;

    switch (below(8)) {
    case 0: return sl_sleep_forever();
    case 1: return sl_chan_recv(world.chan, &item);
    case 2: return sl_event_wait(&world.event);
    case 3: return sl_sem_acquire(&world.sem);
    case 4: return sl_sleep_ms(1 + (int64_t) below(5));
    case 5: return sl_select(cases, 1 + below(2), &index);
    case 6: return node->nursery ? sl_nursery_join(node->nursery) : sl_yield();
    case 7: return sl_yield();
    }
    return 0;
}

static int grows(void *arg);

static void spawn_children(Node *node, uintptr_t depth)
{
    size_t n = depth >= DEPTH_MAX ? 0 : below(CHILDREN_MAX + 1);

    for (size_t i = 0; i < n && world.n_live + n < LIVE_MAX / 2 && !world.is_over; i++)
        sl_spawn(node->nursery, grows, (void *) (depth + 1), .name = "node");
}

static int live_on(Node *node, uintptr_t depth)
{
    int r = 0;

    node->nursery = sl_nursery_open(.keep_going = true);
    spawn_children(node, depth);
    for (size_t i = 0; i < 6 && r >= 0; i++) {
        EXPECT_EQ(sl_is_cancelled(), is_effective(node->fiber->region));
        r = wait_somehow(node);
        if (r == -ECANCELED)
            EXPECT(sl_is_cancelled());
    }
    if (r == -ECANCELED)
        node->has_seen_cancel = true;
    sl_nursery_close(node->nursery);
    node->nursery = NULL;
    return r;
}

/* A node: some scopes, a nursery inside with children, waits, and everything undone in reverse. */
static int grows(void *arg)
{
    Node node = { .fiber = sl_self() };
    size_t n = below(SCOPES_MAX + 1);
    int r;

    live_add(&node);
    for (size_t i = 0; i < n; i++) {
        bool is_shield = below(4) == 0;

        sl_scope_begin(&node.scopes[i], .is_shield = is_shield,
                       .timeout_ms = is_shield || below(2) ? 1 + (int64_t) below(30) : 0);
        node.n_scopes++;
    }
    r = live_on(&node, (uintptr_t) arg);
    while (node.n_scopes > 0) {
        node.n_scopes--;
        r = sl_scope_end(&node.scopes[node.n_scopes], r);
        EXPECT_EQ(sl_is_cancelled(), is_effective(node.fiber->region));
    }
    live_remove(&node);
    return r == -ECANCELED ? r : 0;
}

/* Cancel something, anything. */
static void step(void)
{
    Node *node = world.n_live ? world.live[below(world.n_live)] : NULL;

    if (!node)
        return;
    switch (below(4)) {
    case 0:
        if (node->n_scopes > 0)
            sl_scope_cancel(&node->scopes[below(node->n_scopes)]);
        break;
    case 1:
        if (node->n_scopes > 0)
            sl_scope_set_deadline(&node->scopes[below(node->n_scopes)],
                                  sl_now_ns() + (int64_t) below(3) * NS_PER_MS - NS_PER_MS);
        break;
    case 2:
        if (node->nursery)
            sl_nursery_cancel(node->nursery);
        break;
    case 3: sl_event_set(&world.event); break;
    }
}

static int drives(void *arg)
{
    sl_nursery *roots = sl_nursery_open(.name = "roots");
    int item = 0;

    (void) arg;
    for (int i = 0; i < 6; i++)
        sl_spawn(roots, grows, NULL, .name = "root");
    for (int i = 0; i < STEPS; i++) {
        EXPECT_OK(below(3) ? sl_yield() : sl_sleep_ms((int64_t) below(3)));
        check();
        step();
        check();
        if (below(4) == 0)
            (void) !sl_chan_try_send(world.chan, &item); /* perhaps somebody takes it */
        if (below(4) == 0)
            sl_sem_release(&world.sem);
        sl_event_clear(&world.event);
    }
    world.is_over = true;
    sl_nursery_cancel(roots);
    check();
    EXPECT_OK(sl_nursery_join(roots));
    EXPECT_EQ(world.n_live, 0);
    EXPECT_EQ(world.ended, world.begun);
    sl_nursery_close(roots);
    return 0;
}

static int drives_with_seeds(void *arg)
{
    size_t begun = 0;

    (void) arg;
    for (uint64_t seed = 1; seed <= 20 && !test_has_failed(); seed++) {
        world.n_live = 0;
        world.begun = 0;
        world.ended = 0;
        world.is_over = false;
        world.event = (sl_event){ .is_set = false };
        world.sem = (sl_sem){ .count = 0 };
        world.chan = sl_chan_new(sizeof(int), 1);
        rand_init(&world.rand, seed);
        EXPECT_OK(drives(NULL));
        sl_chan_free(world.chan);
        begun += world.begun;
        if (test_has_failed())
            test_fail(__FILE__, __LINE__, "with seed %llu", (unsigned long long) seed);
    }
    EXPECT(begun > 1000);
    return 0;
}

TEST(random_trees_are_cancelled_as_defined)
{
    EXPECT_OK(sl_run(drives_with_seeds, NULL));
}

TEST_MAIN()
