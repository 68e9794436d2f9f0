/*
 * What an idle fiber costs: however it waits, its stack stays within the one page it has touched.
 */
/* loops: all */
#include "base/test.h"

#include "rt/sanitizer_int.h"
#include "rt/stack_int.h"

#include <sluice/rt.h>

#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
#define HAS_LARGE_FRAMES true
#else
#define HAS_LARGE_FRAMES false
#endif

enum { PAGE = 4096, FIBERS = 6, ROUNDS = 40 };

static struct {
    sl_fiber *fibers[FIBERS];
    sl_chan *chan;
    sl_event event;
    int fd;
} world;

static int sleeps(void *arg)
{
    (void) arg;
    world.fibers[0] = sl_self();
    return sl_sleep_forever();
}

static int receives(void *arg)
{
    uint64_t item;
    int r;

    (void) arg;
    world.fibers[1] = sl_self();
    r = sl_chan_recv(world.chan, &item);
    return r < 0 ? r : 0;
}

static int waits_for_event(void *arg)
{
    (void) arg;
    world.fibers[2] = sl_self();
    return sl_event_wait(&world.event);
}

static int sleeps_with_deadline(void *arg)
{
    sl_scope scope;
    int r;

    (void) arg;
    world.fibers[3] = sl_self();
    sl_scope_begin(&scope, .timeout_ms = 60000);
    r = sl_sleep_ms(60000);
    return sl_scope_end(&scope, r);
}

static int joins(void *arg)
{
    sl_nursery *nursery = sl_nursery_open();
    int r;

    (void) arg;
    world.fibers[4] = sl_self();
    sl_spawn(nursery, sleeps, NULL);
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    return r;
}

static int reads(void *arg)
{
    char byte;

    (void) arg;
    world.fibers[5] = sl_self();
    return (int) sl_fd_recv(world.fd, &byte, 1);
}

/* Whether FIBER, which is parked, has used no page but its top one. */
static bool is_in_one_page(const sl_fiber *fiber)
{
    return (uintptr_t) fiber / PAGE == (uintptr_t) fiber->sp / PAGE;
}

static int looks_at_idle_fibers(void *arg)
{
    bool is_real = strcmp(sl_loop_name(), "sim") != 0;
    int ends[2];

    (void) arg;
    world.chan = sl_chan_new(sizeof(uint64_t), 1);
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    world.fd = ends[0];
    for (int round = 0; round < ROUNDS; round++) { /* so that each meets each colour */
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

        sl_spawn(nursery, receives, NULL);
        sl_spawn(nursery, waits_for_event, NULL);
        sl_spawn(nursery, sleeps_with_deadline, NULL);
        sl_spawn(nursery, joins, NULL);
        if (is_real)
            sl_spawn(nursery, reads, NULL);
        for (int i = round % 7; i >= 0; i--)
            sl_spawn(nursery, sleeps, NULL);
        EXPECT_OK(sl_sleep_ms(1));
        for (size_t i = 0; i < (is_real ? FIBERS : FIBERS - 1); i++) {
            EXPECT_EQ(world.fibers[i]->state, FIBER_PARKED);
            if (!is_in_one_page(world.fibers[i]))
                test_fail(__FILE__, __LINE__, "fiber of kind %zu is %td bytes deep", i,
                          (char *) world.fibers[i] - (char *) world.fibers[i]->sp);
        }
    }
    sl_fd_close(ends[0]);
    sl_fd_close(ends[1]);
    sl_chan_free(world.chan);
    return 0;
}

TEST(an_idle_fiber_stays_in_one_page)
{
    if (HAS_LARGE_FRAMES) {
        test_skip("frames are larger in this build");
        return;
    }
    EXPECT_OK(sl_run(looks_at_idle_fibers, NULL));
}

/* The switch touches one line of the fiber and the lines below it; the record of errors is last. */
TEST(the_hot_fields_are_in_one_line)
{
    EXPECT(offsetof(sl_fiber, attention) + sizeof(uint16_t) <= 64);
    EXPECT(offsetof(sl_fiber, ready_next) < 64 && offsetof(sl_fiber, log_context) < 64);
    EXPECT(offsetof(sl_fiber, err) + sizeof(Err) + 64 > sizeof(sl_fiber));
    EXPECT(sizeof(sl_fiber) + 1024 <= PAGE - 1700);
}

TEST_MAIN()
