/*
 * Turns on the offload pool: places, the order in which they are given, and waits that end early.
 */
#include "worker/burns.h"

#include "base/test.h"

#include <sluice/rt.h>

typedef struct Burner {
    Burns *burns;
    const char *caller;
    int priority;
    char name;
    sl_scope *scope;
    int r;
} Burner;

static char order[32];
static size_t n_order;

static int burn(void *arg)
{
    Burner *burner = arg;
    SlotAsk ask = { .caller = str_from_c(burner->caller),
                    .priority = burner->priority,
                    .is_patient = true };
    sl_scope scope;
    int r;

    sl_scope_begin(&scope);
    burner->scope = &scope;
    r = burns_enter(burner->burns, STR_C("digest"), &ask);
    burner->scope = NULL;
    burner->r = r;
    if (r == 0) {
        order[n_order++] = burner->name;
        EXPECT_OK(sl_yield());
        burns_leave(burner->burns, STR_C("digest"), &ask);
    }
    (void) sl_scope_end(&scope, r);
    return 0;
}

static int turns_main(void *arg)
{
    Burns *burns = burns_new(sl_loop_count(), 1);
    Burner burners[] = {
        { burns, "a", 0, '1', NULL, 0 }, { burns, "a", 0, '2', NULL, 0 },
        { burns, "a", 0, '3', NULL, 0 }, { burns, "b", 0, '4', NULL, 0 },
        { burns, "c", 5, '5', NULL, 0 },
    };
    sl_nursery *nursery = sl_nursery_open(.name = "burners");

    (void) arg;
    n_order = 0;
    for (size_t i = 0; i < 5; i++)
        EXPECT_OK(sl_spawn(nursery, burn, &burners[i], .name = "burner"));
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_STR(str_from(order, n_order), STR_C("15243"));
    burns_free(burns);
    return 0;
}

/* Would catch: a crowd of one caller in front of everybody, and priorities that do not count. */
TEST(callers_take_turns)
{
    EXPECT_OK(sl_run(turns_main, NULL, .loop = SL_LOOP_EPOLL));
}

static int cancel_main(void *arg)
{
    Burns *burns = burns_new(sl_loop_count(), 1);
    Burner burners[] = { { burns, "a", 0, '1', NULL, 0 }, { burns, "a", 0, '2', NULL, 0 } };
    sl_nursery *nursery = sl_nursery_open(.name = "burners");

    SlotAsk ask = { .is_patient = true };

    (void) arg;
    n_order = 0;
    EXPECT_OK(burns_enter(burns, STR_C("digest"), &ask));
    for (size_t i = 0; i < 2; i++)
        EXPECT_OK(sl_spawn(nursery, burn, &burners[i], .name = "burner"));
    EXPECT_OK(sl_yield());
    EXPECT_OK(sl_yield());
    EXPECT(burners[0].scope && burners[1].scope);
    if (burners[0].scope)
        sl_scope_cancel(burners[0].scope);
    burns_leave(burns, STR_C("digest"), &ask);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_EQ(burners[1].r, 0); /* the place went on to it */
    EXPECT_STR(str_from(order, n_order), STR_C("2"));
    burns_free(burns); /* asserts that every place is back */
    return 0;
}

/* Would catch: a place that is lost with a fiber that is called and cancelled at once. */
TEST(a_place_is_never_lost)
{
    int r = sl_run(cancel_main, NULL, .loop = SL_LOOP_EPOLL);

    EXPECT_OK(r);
}

TEST_MAIN()
