/*
 * One run of a few processes on one Redis that is not kind.
 *
 *   the plan     what the server's settings promise: nothing may be lost (AOF always; a replica and
 *                WAIT), the last second may (everysec), what the replica had not got may, all may
 *   the middle   processes come and go, are killed, are cut off for longer than a lease; the server
 *                cuts connections around commands, stops, crashes, loads, fails over, forgets its
 *                scripts, is full, has its clock set
 *   the end      no faults; workers that do their work; until every job is final; then the ledger
 *                is compared with what is there
 */
#include "../sim/redis_actors.h"
#include "../sim/sim.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>

typedef enum Plan {
    PLAN_ALWAYS,
    PLAN_EVERYSEC,
    PLAN_NONE,
    PLAN_REPLICA,
    PLAN_WAIT,
    PLAN_FLUSH,
    PLAN_COUNT,
} Plan;

static const char *const plan_names[] = { "AOF always", "AOF everysec",     "no persistence",
                                          "replica",    "replica and WAIT", "FLUSHALL" };

/* How long things take in a run, ms. */
typedef struct Pace {
    int64_t length, length_more; /* of the middle */
    int64_t life, life_more;     /* of a process */
    int64_t mischief;            /* between two blows, at most */
} Pace;

static const Pace pace_short = { 5000, 25000, 500, 15000, 4000 };
static const Pace pace_day = { 86400000, 1, 180000, 900000, 900000 };

typedef struct Run {
    RedisWorld world;
    const Pace *pace;
    bool is_day;
    Plan plan;
    size_t n_processes;
    unsigned crashes, failovers, kills, cuts;
    uint64_t books[JOB_STATE_COUNT]; /* at the end */
    SimRedisStats stats;
} Run;

static uint64_t below(Run *run, uint64_t bound)
{
    return world_below(&run->world, bound);
}

static bool chance(Run *run, double p)
{
    return world_chance(&run->world, p);
}

/* ---- processes ------------------------------------------------------------------------------- */

typedef struct Seat {
    Run *run;
    Process *process;
} Seat;

/* One life of a process: until it is over, or killed. */
SUSPENDS static void process_life(Run *run, Process *process)
{
    RedisWorld *world = &run->world;
    sl_nursery *actors = sl_nursery_open(.name = "actors", .keep_going = true);
    size_t n_workers = run->is_day ? 3 : below(run, 4),
           n_producers = run->is_day ? 1 : below(run, 3);

    for (size_t i = 0; i < n_workers; i++)
        sl_spawn(actors, actor_worker, actor_new(world, process), .name = "worker");
    for (size_t i = 0; i < n_producers; i++)
        sl_spawn(actors, actor_producer, actor_new(world, process), .name = "producer");
    if (chance(run, 0.3))
        sl_spawn(actors, actor_canceller, actor_new(world, process), .name = "canceller");
    (void) sl_sleep_ms(run->pace->life + (int64_t) below(run, (uint64_t) run->pace->life_more));
    if (!world->is_over && chance(run, 0.5)) {
        process_kill(process);
        run->kills++;
    }
    sl_nursery_cancel(actors);
    sl_nursery_close(actors);
}

static int seat_main(void *arg)
{
    Seat *seat = arg;
    Run *run = seat->run;

    while (!run->world.is_over && !run->world.ledger.why[0]) {
        if (process_start(seat->process, false) == 0) {
            process_life(run, seat->process);
            process_stop(seat->process);
        }
        if (sl_sleep_ms((int64_t) below(run, 500)) < 0)
            break;
    }
    mem_free(seat);
    return 0;
}

/* ---- mischief -------------------------------------------------------------------------------- */

static void went_back(Run *run, int64_t back_to_ns, int64_t doubt_ms)
{
    if (back_to_ns == INT64_MAX || run->plan == PLAN_WAIT)
        return;
    run->world.ledger.doubt_until_ns = sl_now_ns() + doubt_ms * NS_PER_MS;
    ledger_went_back(&run->world.ledger, back_to_ns);
}

static void crash(Run *run)
{
    run->crashes++;
    went_back(run,
              sim_redis_crash(run->world.fleet.redis, (int64_t) below(run, 3000),
                              chance(run, 0.5) ? (int64_t) below(run, 3000) : 0),
              0);
}

static void fail_over(Run *run)
{
    int64_t split_ms = chance(run, 0.5) ? (int64_t) below(run, 2000) : 0;

    run->failovers++;
    went_back(run, sim_redis_fail_over(run->world.fleet.redis, split_ms), split_ms + 200);
}

static void mischief(Run *run)
{
    Fleet *fleet = &run->world.fleet;
    bool has_crashes = run->plan <= PLAN_NONE;
    bool has_replica = run->plan == PLAN_REPLICA || run->plan == PLAN_WAIT;

    switch (below(run, 6)) {
    case 0:
        if (has_crashes)
            crash(run);
        break;
    case 1:
        if (has_replica)
            fail_over(run);
        break;
    case 2: sim_redis_freeze(fleet->redis, (int64_t) below(run, 8000)); break;
    case 3:
        run->cuts++;
        process_cut_off(&fleet->processes[below(run, run->n_processes)],
                        run->world.lease_ms + (int64_t) below(run, 3000));
        break;
    case 4:
        if (run->plan == PLAN_FLUSH && chance(run, 0.3)) {
            sim_redis_flush_all(fleet->redis);
            went_back(run, 0, 100); /* answers that are on their way */
        }
        break;
    default:
        if (run->world.ledger.has_steps)
            sim_redis_step_clock(fleet->redis, (int64_t) below(run, 20000) - 10000);
        break;
    }
}

static int director(void *arg)
{
    Run *run = arg;

    while (sl_sleep_ms(100 + (int64_t) below(run, (uint64_t) run->pace->mischief)) == 0)
        mischief(run);
    return 0;
}

static SimRedisFaults draw_faults(Run *run)
{
    double most = chance(run, 0.8) ? 0.02 : 0;
    SimRedisFaults faults = { .cut_before = most * rand_unit(&run->world.rand),
                              .cut_after = most * rand_unit(&run->world.rand),
                              .cut_inside = most * rand_unit(&run->world.rand),
                              .mute = most * 0.2 * rand_unit(&run->world.rand),
                              .late = chance(run, 0.5) ? most * rand_unit(&run->world.rand) : 0,
                              .delay = most * rand_unit(&run->world.rand),
                              .delay_ms = 1 + (int64_t) below(run, 3000),
                              .forget = chance(run, 0.5) ? most * 0.5 : 0,
                              .full = chance(run, 0.3) ? 0.002 : 0,
                              .full_ms = 3000 };

    if (run->is_day)
        return (SimRedisFaults){ .cut_before = 1e-4,
                                 .cut_after = 2e-4,
                                 .cut_inside = 1e-4,
                                 .mute = 2e-5,
                                 .late = 5e-5,
                                 .forget = 1e-4 };
    return faults;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* A day: nothing may be lost, traffic is light, and every few minutes something is started anew. */
SUSPENDS static int begin_day(Run *run, sl_nursery *nursery)
{
    FleetOpts opts = { .net = { .latency_min_us = 50, .latency_max_us = 400 },
                       .sync = SIM_REDIS_ALWAYS,
                       .url = "redis://redis?partitions=2" };

    run->plan = PLAN_ALWAYS;
    run->n_processes = 3;
    run->world.lease_ms = 10000;
    run->world.n_push = UINT32_MAX;
    run->world.pause_ms = 120000;
    run->world.is_patient = true;
    run->world.burst = 40;
    run->world.later = 0.3;
    run->world.later_ms = 7200000;
    return fleet_start(&run->world.fleet, nursery, &opts);
}

SUSPENDS static int begin(Run *run, sl_nursery *nursery)
{
    RedisWorld *world = &run->world;
    FleetOpts opts = { .net = { .latency_min_us = 20,
                                .latency_max_us = 50 + (int64_t) below(run, 3000),
                                .short_read = chance(run, 0.3) ? 0.2 : 0,
                                .short_write = chance(run, 0.3) ? 0.2 : 0 },
                       .version = chance(run, 0.3) ? 0x060205 : 0 };

    run->plan = (Plan) below(run, PLAN_COUNT);
    run->n_processes = 2 + below(run, 4);
    opts.sync = run->plan == PLAN_EVERYSEC                          ? SIM_REDIS_EVERYSEC
                : run->plan == PLAN_NONE || run->plan == PLAN_FLUSH ? SIM_REDIS_NONE
                                                                    : SIM_REDIS_ALWAYS;
    if (run->plan == PLAN_REPLICA || run->plan == PLAN_WAIT)
        opts.lag_ms = 1 + (int64_t) below(run, 300);
    if (run->plan == PLAN_WAIT)
        opts.durability = "wait(1)";
    if (chance(run, 0.4))
        opts.url = "redis://redis?partitions=4";
    world->lease_ms = 300 + (int64_t) below(run, 3000);
    world->n_push = 5 + (unsigned) below(run, 30);
    world->pause_ms = 1 + (int64_t) below(run, 100);
    world->later = 0.25;
    world->later_ms = 4000;
    world->ledger.has_steps = chance(run, 0.2);
    return fleet_start(&world->fleet, nursery, &opts);
}

SUSPENDS static void the_middle(Run *run)
{
    sl_nursery *nursery = sl_nursery_open(.name = "middle", .keep_going = true);
    sl_nursery *mischief_nursery = sl_nursery_open(.name = "mischief", .keep_going = true);
    SimRedisFaults faults = draw_faults(run);

    sim_redis_set_faults(run->world.fleet.redis, &faults);
    for (size_t i = 0; i < run->n_processes; i++) {
        Seat *seat = mem_new(Seat);

        *seat = (Seat){ .run = run, .process = &run->world.fleet.processes[i] };
        sl_spawn(nursery, seat_main, seat, .name = "process", .stack_bytes = 128 << 10);
    }
    if (run->is_day || chance(run, 0.8))
        sl_spawn(mischief_nursery, director, run, .name = "director");
    (void) sl_sleep_ms(run->pace->length + (int64_t) below(run, (uint64_t) run->pace->length_more));
    run->world.is_over = true;
    sl_nursery_close(mischief_nursery);
    if (sl_nursery_join(nursery) < 0)
        ledger_violated(&run->world.ledger, "a process ended badly");
    sl_nursery_close(nursery);
}

/* Start PROCESS, however often that takes. */
SUSPENDS static bool open_again(Run *run, Process *process, bool is_still)
{
    int r = -1;

    for (int i = 0; i < 60 && r < 0; i++) {
        r = process_start(process, is_still);
        if (r < 0 && sl_sleep_ms(1000) < 0)
            return false;
    }
    if (r < 0)
        ledger_violated(&run->world.ledger, "the store does not open again: %s", err_text(r));
    return r == 0;
}

/* The books: what came in is what is there, in one state or another, for each queue. */
SUSPENDS static void balance(Run *run, Queues *queues)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    StoreQueueInfo *infos;
    uint64_t pushed = 0;
    size_t n;

    arena_init(&arena, 0);
    if (queue_list_queues(&arena, queues, (Str){ 0 }, 16, &infos, &n) < 0) {
        ledger_violated(&run->world.ledger, "queues cannot be listed");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t sum = 0;

        for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
            sum += infos[i].counts[s];
            run->books[s] += infos[i].counts[s];
        }
        if (sum != infos[i].pushed)
            ledger_violated(&run->world.ledger, "%s: %llu jobs came in, %llu are there",
                            infos[i].name, (unsigned long long) infos[i].pushed,
                            (unsigned long long) sum);
        pushed += infos[i].pushed;
    }
    if (run->plan == PLAN_ALWAYS && pushed < run->world.pushed)
        ledger_violated(&run->world.ledger, "%llu jobs were accepted, %llu came in",
                        (unsigned long long) run->world.pushed, (unsigned long long) pushed);
}

/* The ledger against the store while nothing moves there. */
SUSPENDS static void check_still(Run *run, bool is_end)
{
    Process *process = &run->world.fleet.processes[0];

    if (run->world.ledger.why[0] || !open_again(run, process, true))
        return;
    ledger_check(&run->world.ledger, process->queues, is_end);
    if (is_end && !run->world.ledger.why[0])
        balance(run, process->queues);
    process_stop(process);
}

SUSPENDS static void the_end(Run *run)
{
    Process *process = &run->world.fleet.processes[0];
    sl_nursery *actors;

    run->world.is_end = true;
    sim_redis_set_faults(run->world.fleet.redis, &(SimRedisFaults){ 0 });
    (void) sl_sleep_ms(5000); /* what is late has come */
    check_still(run, false);
    if (run->world.ledger.why[0] || !open_again(run, process, false))
        return;
    actors = sl_nursery_open(.name = "actors", .keep_going = true);
    for (size_t i = 0; i < 4; i++)
        sl_spawn(actors, actor_worker, actor_new(&run->world, process), .name = "worker");
    for (int i = 0; i < 6000 && !world_all_final(process->queues); i++) {
        if (sl_sleep_ms(run->is_day ? 5000 : 100) < 0)
            break;
    }
    sl_nursery_cancel(actors);
    sl_nursery_close(actors);
    process_stop(process);
    check_still(run, true);
}

static int run_main(void *arg)
{
    Run *run = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "server", .keep_going = true);
    int r;

    rand_init(&run->world.rand, sl_random());
    r = run->is_day ? begin_day(run, nursery) : begin(run, nursery);
    if (r == 0) {
        the_middle(run);
        if (!run->world.ledger.why[0])
            the_end(run);
        sim_redis_stats(run->world.fleet.redis, &run->stats);
        fleet_stop(&run->world.fleet);
    }
    sl_nursery_close(nursery);
    sim_net_free(run->world.fleet.net);
    if (run->stats.script_error[0])
        ledger_violated(&run->world.ledger, "a script ended with an error: %s",
                        run->stats.script_error);
    return r;
}

static int run_seed(uint64_t seed, bool is_day, bool is_loud)
{
    Run *run = mem_new(Run);
    Ledger *ledger = &run->world.ledger;
    int r;

    run->is_day = is_day;
    run->pace = is_day ? &pace_day : &pace_short;
    r = sl_run(run_main, run, .loop = SL_LOOP_SIM, .seed = seed, .stack_bytes = 128 << 10);
    if (r < 0)
        ledger_violated(ledger, "the run ended with %s", err_text(r));
    if (ledger->why[0])
        fprintf(stderr, "seed %llu (%s): %s\n  make sim STORE=%s SEED=%llu\n",
                (unsigned long long) seed, plan_names[run->plan], ledger->why,
                is_day ? "redis-day" : "redis", (unsigned long long) seed);
    if (!ledger->why[0] && is_loud && is_day)
        printf("books: %llu accepted; %llu completed, %llu cancelled, %llu discarded are there\n",
               (unsigned long long) run->world.pushed,
               (unsigned long long) run->books[JOB_COMPLETED],
               (unsigned long long) run->books[JOB_CANCELLED],
               (unsigned long long) run->books[JOB_DISCARDED]);
    if (!ledger->why[0] && is_loud)
        printf("seed %llu (%s): %zu jobs, %llu completed, %llu leased again, %llu answers refused; "
               "%u crashes, %u failovers, %u kills, %u cut off, %llu faults; %llu facts unsure, "
               "%llu jobs gone\n",
               (unsigned long long) seed, plan_names[run->plan], ledger->n,
               (unsigned long long) ledger->n_completed, (unsigned long long) ledger->n_again,
               (unsigned long long) ledger->n_refused, run->crashes, run->failovers, run->kills,
               run->cuts, (unsigned long long) run->stats.faults,
               (unsigned long long) ledger->n_doubts, (unsigned long long) ledger->n_lost);
    r = ledger->why[0] ? 1 : 0;
    ledger_deinit(ledger);
    mem_free(run);
    return r;
}

int redis_world_run(uint64_t seed, bool is_loud)
{
    return run_seed(seed, false, is_loud);
}

int redis_day_run(uint64_t seed, bool is_loud)
{
    return run_seed(seed, true, is_loud);
}
