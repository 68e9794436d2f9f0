/*
 * The simulated loop: one thread, no kernel, everything from a seed.
 *
 * The scheduler asks three things of a backend: wait, tell the time, pick who runs. Here waiting is
 * moving a number: the clock jumps to the next timer. Picking draws from the seed, so that 200
 * seeds try 200 orders of what may happen in any order. Two runs of the same program with the same
 * seed do the same things at the same virtual times; a hash over all picks and times (sl_sim_trace)
 * says so, and the tests compare it.
 *
 *   I1  The clock never goes back. It moves a hair at each look and each turn, so that code
 *       that spins on it ends.
 *   I2  A draw happens only where the scheduler or a fiber asks, both of which follow from the
 *       seed; nothing here looks at real time, addresses or the process id.
 *   I3  Nothing to run, no timer and nobody outside who could bring something is a deadlock:
 *       the tree of fibers goes to stderr with the seed, and the process aborts.
 *
 * To make the world worse, place fault points (rt/sim.h) where the world could be bad, not here.
 */
#include "rt/sim.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "rt/loop_int.h"

#define START_NS \
    NS_PER_S /* the clock at the start: not zero, which means "none" in many places \
              */
#define START_WALL_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define LOOK_NS       10                     /* each look at the clock takes so long */
#define TURN_NS_MAX   2000                   /* and each turn up to this */
#define JUMP_NS_MAX \
    (10 * NS_PER_S) /* a machine that was suspended, a process that got no processor */

typedef struct Sim {
    uint32_t tag;
    uint64_t seed;
    Rand rand;
    int64_t now_ns;
    int64_t wall_step_ms;
    double fault_rate;
    uint64_t trace;
    int expected;         /* answers on their way from outside */
    atomic_bool is_woken; /* by wake(), from any thread */
    sem_t wakes;          /* one for each wake(); a futex that the sanitizers understand */
} Sim;

#define SIM_TAG TAG_OF('S', 'I', 'M', ' ')

static Sim *sim_of(sl_loop *loop)
{
    return CAST(Sim, SIM_TAG, loop->backend);
}

/* The simulation of this thread, or NULL. */
static Sim *sim_here(void)
{
    return rt_loop && rt_loop->ops == &rt_loop_sim ? sim_of(rt_loop) : NULL;
}

/* FNV-1a over the eight bytes at once, then mixed, so that order counts. */
static void trace_add(Sim *sim, uint64_t value)
{
    sim->trace = (sim->trace ^ value) * UINT64_C(0x100000001b3);
    sim->trace ^= sim->trace >> 29;
}

static int sim_probe(void)
{
    return 0;
}

static int sim_init(sl_loop *loop)
{
    Sim *sim = mem_new(Sim);

    ASSERT(loop->runtime->n_loops == 1); /* one owner of the clock */
    sim->tag = SIM_TAG;
    sim->seed = loop->runtime->opts.seed;
    sim->now_ns = START_NS;
    rand_init(&sim->rand, sim->seed);
    (void) sem_init(&sim->wakes, 0, 0); /* cannot fail for 0 */
    loop->backend = sim;
    return 0;
}

static void sim_deinit(sl_loop *loop)
{
    Sim *sim = sim_of(loop);

    (void) sem_destroy(&sim->wakes); /* nobody waits */
    mem_free(sim);
    loop->backend = NULL;
}

_Noreturn static void die_of_deadlock(Sim *sim)
{
    (void) dprintf(
        STDERR_FILENO,
        "simulated loop: deadlock with seed %llu at %lld ns: nobody can run, no timer is set\n",
        (unsigned long long) sim->seed, (long long) sim->now_ns);
    sl_dump_fd(STDERR_FILENO);
    abort();
}

static void sim_poll(sl_loop *loop, int64_t timeout_ns)
{
    Sim *sim = sim_of(loop);

    sim->now_ns += 1 + (int64_t) rand_below(&sim->rand, TURN_NS_MAX);
    if (timeout_ns > 0) {
        sim->now_ns = MAX(sim->now_ns, loop->now_ns + timeout_ns); /* I1 */
        if (sl_sim_chance("rt.time_jump"))
            sim->now_ns += (int64_t) rand_below(&sim->rand, (uint64_t) JUMP_NS_MAX);
    }
    if (timeout_ns < 0) {
        if (sim->expected == 0 && !atomic_load(&sim->is_woken))
            die_of_deadlock(sim); /* I3 */
        while (!atomic_load(&sim->is_woken))
            (void) sem_wait(&sim->wakes); /* a signal's handler may end it: look again */
    }
    atomic_store(&sim->is_woken, false);
    trace_add(sim, (uint64_t) sim->now_ns);
}

static void sim_wake(sl_loop *loop)
{
    Sim *sim = sim_of(loop);

    atomic_store(&sim->is_woken, true);
    (void) sem_post(&sim->wakes); /* full only when there are wakes enough */
}

static int64_t sim_clock_ns(sl_loop *loop)
{
    Sim *sim = sim_of(loop);

    sim->now_ns += LOOK_NS; /* I1 */
    return sim->now_ns;
}

static int64_t sim_wall_ms(sl_loop *loop)
{
    Sim *sim = sim_of(loop);

    return START_WALL_MS + (sim->now_ns - START_NS) / NS_PER_MS + sim->wall_step_ms;
}

static int sim_fd_watch(sl_loop *loop, int fd, uint32_t gen)
{
    (void) loop;
    (void) gen;
    return fail(-ERR_UNSUPPORTED, "the simulated loop has no descriptors; %d was offered", fd);
}

static size_t sim_pick(sl_loop *loop, size_t n)
{
    Sim *sim = sim_of(loop);
    size_t i = (size_t) rand_below(&sim->rand, n);

    trace_add(sim, (uint64_t) n << 32 | i);
    return i;
}

const LoopOps rt_loop_sim = {
    .name = "sim",
    .kind = SL_LOOP_SIM,
    .is_virtual = true,
    .probe = sim_probe,
    .init = sim_init,
    .deinit = sim_deinit,
    .poll = sim_poll,
    .wake = sim_wake,
    .clock_ns = sim_clock_ns,
    .wall_ms = sim_wall_ms,
    .fd_watch = sim_fd_watch,
    .pick = sim_pick,
};

/* ---- for tests ---- */

bool sl_sim_is_on(void)
{
    return sim_here() != NULL;
}

uint64_t sl_sim_seed(void)
{
    Sim *sim = sim_here();

    return sim ? sim->seed : 0;
}

/* Half of the points, chosen by seed and name, are on. */
static bool is_point_on(const Sim *sim, const char *point)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ sim->seed;

    for (const char *c = point; *c; c++)
        hash = (hash ^ (uint8_t) *c) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return hash >> 63 != 0;
}

bool sl_sim_chance(const char *point)
{
    Sim *sim = sim_here();

    if (!sim || sim->fault_rate <= 0 || !is_point_on(sim, point))
        return false;
    return rand_unit(&sim->rand) < sim->fault_rate;
}

void sl_sim_set_fault(double rate)
{
    Sim *sim = sim_here();

    ASSERT(rate >= 0 && rate <= 1);
    if (sim)
        sim->fault_rate = rate;
}

int64_t sl_sim_delay_ns(int64_t min_ns, int64_t max_ns)
{
    Sim *sim = sim_here();

    ASSERT(min_ns <= max_ns);
    return sim ? min_ns + (int64_t) rand_below(&sim->rand, (uint64_t) (max_ns - min_ns) + 1)
               : min_ns;
}

void sl_sim_step_wall(int64_t ms)
{
    Sim *sim = sim_here();

    if (sim)
        sim->wall_step_ms += ms;
}

uint64_t sl_sim_trace(void)
{
    Sim *sim = sim_here();

    return sim ? sim->trace : 0;
}

void sl_sim_expect(int delta)
{
    Sim *sim = sim_here();

    if (!sim)
        return;
    sim->expected += delta;
    ASSERT(sim->expected >= 0);
}
