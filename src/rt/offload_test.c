/*
 * The offload pool: results and words come back, nothing is lost or run twice in a flood, and
 * cancellation takes back what has not begun and hurries what has.
 */
/* loops: all */
#include <sluice/rt.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/test.h"
#include "rt/sim.h"

#define FLOOD 5000

static int with_threads(sl_fn fn, void *arg, size_t threads)
{
    return sl_run(fn, arg, .pool_threads = threads);
}

/* ---- results ---- */

typedef struct Square {
    int64_t n;
    int64_t squared;
    pthread_t thread;
    int in_fiber;
} Square;

static int square(void *arg)
{
    Square *job = arg;

    job->squared = job->n * job->n;
    job->thread = pthread_self();
    job->in_fiber = sl_in_fiber();
    return job->n == 13 ? SL_CLOSED : 0;
}

static int fail_with_words(void *arg)
{
    (void) arg;
    return sl_fail(-ERR_HANDLER, "the thumb is too large by %d pixels", 7);
}

static int results_main(void *arg)
{
    Square job = { .n = 12 };

    (void) arg;
    EXPECT_OK(sl_offload(square, &job));
    EXPECT_EQ(job.squared, 144);
    EXPECT_EQ(job.in_fiber, 0);
    EXPECT(sl_sim_is_on() || !pthread_equal(job.thread, pthread_self()));
    EXPECT(sl_in_fiber());

    job.n = 13;
    EXPECT_EQ(sl_offload(square, &job, .name = "outcome"), SL_CLOSED);
    EXPECT_ERR(sl_offload(fail_with_words, NULL), -ERR_HANDLER, "too large by 7 pixels");
    return 0;
}

TEST(results_and_words_come_back)
{
    EXPECT_OK(with_threads(results_main, NULL, 0));
    EXPECT_OK(with_threads(results_main, NULL, 1)); /* and once more: the runtime starts again */
}

static int sees_context(void *arg)
{
    (void) arg;
    return log_context && str_eq_c(log_context->field.str, "81") ? 0 : -ERR_INTERNAL;
}

static int context_main(void *arg)
{
    LogContext context;

    (void) arg;
    log_push(&context, L_C("job", "81"));
    EXPECT_OK(sl_offload(sees_context, NULL));
    log_pop(&context);
    return 0;
}

TEST(log_context_goes_along)
{
    EXPECT_OK(sl_run(context_main, NULL));
}

/* ---- a flood ---- */

typedef struct Flood {
    atomic_int runs[FLOOD];
    int done;
} Flood;

typedef struct Drop {
    Flood *flood;
    int index;
} Drop;

static int count_run(void *arg)
{
    Drop *drop = arg;

    atomic_fetch_add(&drop->flood->runs[drop->index], 1);
    return 0;
}

static int flood_fiber(void *arg)
{
    Drop *drop = arg;
    int r = sl_offload(count_run, drop);

    if (r == 0)
        drop->flood->done++;
    return r;
}

static Flood flood;
static Drop drops[FLOOD];

static int flood_main(void *arg)
{
    sl_nursery *nursery = sl_nursery_open(.name = "flood");
    sl_stats stats;
    int r;

    (void) arg;
    for (int i = 0; i < FLOOD; i++) {
        drops[i] = (Drop){ &flood, i };
        (void) sl_spawn(nursery, flood_fiber, &drops[i]); /* join tells */
    }
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    sl_stats_get(&stats);
    EXPECT_EQ(stats.offloads, FLOOD);
    return r;
}

/* More calls than the queue has places: the line before it, and that each call runs once. */
TEST(flood_of_calls)
{
    STATIC_ASSERT(FLOOD > SL_OFFLOAD_QUEUE, "the flood overflows the queue");
    metrics_reset();
    EXPECT_OK(sl_run(flood_main, NULL));
    EXPECT_EQ(flood.done, FLOOD);
    for (int i = 0; i < FLOOD; i++)
        EXPECT_EQ(atomic_load(&flood.runs[i]), 1);
    EXPECT_EQ(metrics_value(METRIC_OFFLOAD_QUEUED), 0);
}

/* ---- cancellation ---- */

typedef struct Gate {
    int fd;         /* fn waits for it; an eventfd */
    sl_event begun; /* set on the loop once fn has begun */
    sl_task task;
    sl_loop *loop;
    int told;         /* calls of on_cancel */
    bool is_late_run; /* the call that was taken back ran all the same */
    int r_held, r_waiting;
} Gate;

static void begun(sl_task *task)
{
    sl_event_set(&CONTAINER_OF(task, Gate, task)->begun);
}

/* Says that it has begun, then blocks its thread until the gate opens. */
static int hold(void *arg)
{
    Gate *gate = arg;
    uint64_t n;

    gate->task.fn = begun;
    sl_post(gate->loop, &gate->task);
    if (!sl_sim_is_on() && read(gate->fd, &n, sizeof(n)) != (ssize_t) sizeof(n))
        return -EIO;
    return SL_CLOSED;
}

static void open_gate(void *arg)
{
    Gate *gate = arg;
    uint64_t one = 1;

    gate->told++;
    EXPECT(write(gate->fd, &one, sizeof(one)) == (ssize_t) sizeof(one));
}

static int run_late(void *arg)
{
    ((Gate *) arg)->is_late_run = true;
    return 0;
}

static int held_fiber(void *arg)
{
    Gate *gate = arg;

    gate->r_held = sl_offload(hold, gate, .name = "hold", .on_cancel = open_gate);
    return 0;
}

static int waiting_fiber(void *arg)
{
    Gate *gate = arg;

    gate->r_waiting = sl_offload(run_late, gate);
    return 0;
}

static int cancel_main(void *arg)
{
    Gate *gate = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "cancel");
    int r;

    gate->loop = sl_loop_self();
    (void) sl_spawn(nursery, held_fiber, gate); /* join tells */
    EXPECT_OK(sl_event_wait(&gate->begun));
    (void) sl_spawn(nursery, waiting_fiber, gate);
    EXPECT_OK(sl_yield()); /* it has given its call, which waits behind the held one */
    sl_nursery_cancel(nursery);
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    return r == -ECANCELED ? 0 : r;
}

/* One thread: the first call holds it, the second waits. Both are cancelled. */
TEST(cancelled_calls_are_taken_back_or_told)
{
    Gate gate = { .fd = eventfd(0, EFD_CLOEXEC) };

    REQUIRE(gate.fd >= 0);
    EXPECT_OK(with_threads(cancel_main, &gate, 1));
    EXPECT_EQ(gate.told, 1);
    EXPECT_EQ(gate.r_held, SL_CLOSED); /* its own result, in spite of the cancellation */
    EXPECT_EQ(gate.r_waiting, -ECANCELED);
    EXPECT(!gate.is_late_run);
    (void) close(gate.fd);
}

static int cancelled_before_main(void *arg)
{
    Gate *gate = arg;
    sl_scope scope;
    int r;

    sl_scope_begin(&scope);
    sl_scope_cancel(&scope);
    r = sl_offload(run_late, gate);
    EXPECT_EQ(r, -ECANCELED);
    return sl_scope_end(&scope, r);
}

TEST(cancelled_fiber_gives_no_call)
{
    Gate gate = { 0 };

    EXPECT_OK(sl_run(cancelled_before_main, &gate));
    EXPECT(!gate.is_late_run);
}

/* ---- several loops ---- */

static int hundred_calls(void *arg)
{
    (void) arg;
    for (int i = 0; i < 100; i++) {
        Square job = { .n = i + 20 };
        int r = sl_offload(square, &job);

        if (r != 0)
            return r;
        if (job.squared != (i + 20) * (i + 20))
            return sl_fail(-ERR_INTERNAL, "wrong square of %d", i + 20);
    }
    return 0;
}

static int other_loop(void *arg)
{
    return sl_call_on(1, hundred_calls, arg, "other");
}

static int two_loops_main(void *arg)
{
    sl_nursery *nursery = sl_nursery_open(.name = "loops");
    int r;

    (void) sl_spawn(nursery, other_loop, arg); /* join tells */
    (void) sl_spawn(nursery, hundred_calls, arg);
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    return r;
}

static int sim_probe_main(void *arg)
{
    *(bool *) arg = sl_sim_is_on();
    return 0;
}

TEST(calls_from_two_loops)
{
    bool is_sim = false;

    EXPECT_OK(sl_run(sim_probe_main, &is_sim));
    if (is_sim) {
        test_skip("the simulated loop is one thread");
        return;
    }
    EXPECT_OK(sl_run(two_loops_main, NULL, .loops = 2));
}

TEST_MAIN()
