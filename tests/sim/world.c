/*
 * One run: a few lives of an engine over one memory image, and the end.
 *
 *   life 1 … k   producers push, workers work and vanish, cancellers cancel, commits fail; it
 *                ends with the death of the store at some commit (before or after it took effect),
 *                or with a polite stop
 *   the end      no faults any more; workers that do their work; until every job is final
 */
#include "../sim/sim.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/sim.h"

#include <sluice/rt.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct World {
    History *history;
    Queues *queues;
    Rand rand;
    MemoryImage image;
    unsigned commits_left; /* until the store dies; 0: it does not */
    bool dies_after;       /* the last commit takes effect */
    bool is_dead;
    double commit_faults;
    bool is_end;
    uint64_t next_id;
    int64_t lease_ms;
    unsigned n_push; /* jobs that each producer pushes in a life */
} World;

static uint64_t below(World *world, uint64_t bound)
{
    return rand_below(&world->rand, bound);
}

static bool chance(World *world, double p)
{
    return rand_unit(&world->rand) < p;
}

static Str queue_name(uint64_t n)
{
    static const Str names[SIM_QUEUES] = { STR("q0"), STR("q1"), STR("q2") };

    return names[n % SIM_QUEUES];
}

static MemoryFault on_commit(void *ctx)
{
    World *world = ctx;

    if (world->commits_left > 0 && --world->commits_left == 0) {
        world->is_dead = true;
        return world->dies_after ? MEMORY_DIES_AFTER : MEMORY_DIES_BEFORE;
    }
    if (!chance(world, world->commit_faults))
        return MEMORY_OK;
    world->history->faults++;
    return chance(world, 0.3) ? MEMORY_FULL : MEMORY_FAILS;
}

/* ---- producers ------------------------------------------------------------------------------- */

static JobId next_id(World *world)
{
    JobId id = { { 1, 0x9b, 0, 0, 0, 0, 0x70, 0, 0x80 } };
    uint64_t n = ++world->next_id;

    for (int i = 0; i < 6; i++)
        id.bytes[15 - i] = (uint8_t) (n >> (8 * i));
    return id;
}

/* A lost answer: the store died while it was on its way. */
static bool is_lost(const World *world, int r)
{
    return r < 0 && world->is_dead;
}

static void produce_one(World *world)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JobRetry retry = { .max_attempts = 1 + (uint32_t) below(world, 4),
                       .backoff = (JobBackoff) below(world, JOB_BACKOFF_COUNT),
                       .coefficient = 2,
                       .initial_ms = 1 + (int64_t) below(world, 500),
                       .max_ms = 5000,
                       .has_jitter = chance(world, 0.5),
                       .on_exhaustion = (JobExhaustion) below(world, 2) };
    JobSpec specs[3];
    Seen *seen[3];
    size_t n = chance(world, 0.2) ? 3 : 1, got;
    int r;

    arena_init(&arena, 0);
    for (size_t i = 0; i < n; i++) {
        specs[i] = (JobSpec){ .id = next_id(world),
                              .type = str_from_c("sim.t"),
                              .queue = queue_name(below(world, SIM_QUEUES)),
                              .priority = (int) below(world, 3) - 1,
                              .retry = &retry };
        if (chance(world, 0.25))
            specs[i].run_at_ms = sl_wall_ms() + (int64_t) below(world, 3000);
        if (chance(world, 0.1))
            specs[i].timeout_ms = 1 + (int64_t) below(world, 300);
        seen[i] = history_push(world->history, &specs[i].id, retry.max_attempts);
        if (!seen[i])
            return;
        seen[i]->run_at = specs[i].run_at_ms;
    }
    r = queue_push_many(&arena, world->queues, specs, n, NULL, NULL, &got);
    for (size_t i = 0; i < n; i++)
        seen[i]->is_acknowledged = r == 0;
    if (r < 0 && r != -ECANCELED && !is_lost(world, r) && r != -ERR_STORE && r != -ERR_STORE_FULL)
        history_violated(world->history, "push: %s", err_text(r));
}

static int producer(void *arg)
{
    World *world = arg;

    for (unsigned i = 0; i < world->n_push && !world->is_dead; i++) {
        produce_one(world);
        if (sl_sleep_ns((int64_t) below(world, 20 * NS_PER_MS)) < 0)
            return 0;
    }
    return 0;
}

/* ---- cancellers ------------------------------------------------------------------------------ */

static int canceller(void *arg)
{
    World *world = arg;

    while (!world->is_dead && sl_sleep_ns((int64_t) below(world, 60 * NS_PER_MS)) == 0) {
        AUTO(arena_deinit) Arena arena = { 0 };
        Seen *seen;
        Job job;
        int r;

        if (world->history->n == 0)
            continue;
        arena_init(&arena, 0);
        seen = &world->history->jobs[below(world, world->history->n)];
        r = queue_cancel(&arena, world->queues, &seen->id, &job, NULL);
        if (r == 0 && (seen->n_completions > 0 || seen->is_cancelled))
            history_violated(world->history, "cancelled after its end");
        if (r == 0) {
            seen->is_cancelled = true;
            seen->cancelled_ms = job.finished_ms;
        }
        if (is_lost(world, r) || r == -ECANCELED)
            seen->may_be_cancelled = true;
    }
    return 0;
}

/* ---- workers --------------------------------------------------------------------------------- */

static void result_of(const Job *job, char *out, size_t cap)
{
    snprintf(out, cap, "{\"fence\":%u}", job->fence);
}

static void complete(World *world, Arena *arena, const Job *job)
{
    char result[24];
    int r;

    result_of(job, result, sizeof(result));
    Finish finish = {
        .kind = FINISH_COMPLETE, .id = job->id, .fence = job->fence, .result = str_from_c(result)
    };
    r = queue_finish(arena, world->queues, &finish, NULL);
    history_completed(world->history, &job->id, job->fence, result, r,
                      is_lost(world, r) || r == -ECANCELED);
}

static void fail_job(World *world, Arena *arena, const Job *job)
{
    Finish finish = { .kind = FINISH_FAIL,
                      .id = job->id,
                      .fence = job->fence,
                      .job = chance(world, 0.5) ? job : NULL,
                      .error = { .type = str_from_c("SimError"),
                                 .message = str_from_c("as it pleased"),
                                 .is_final = chance(world, 0.05) } };
    Seen *seen = history_find(world->history, &job->id);
    int r;

    history_held(world->history, &job->id, job->fence, 0); /* as in release */
    r = queue_finish(arena, world->queues, &finish, NULL);
    if (r == 0 && finish.state == JOB_RETRYABLE && job->fence == seen->fence)
        seen->not_before = finish.next_attempt_ms;
    if (r == 0 && finish.state == JOB_DISCARDED)
        seen->is_discarded = true;
    if (r == 0 && finish.state == JOB_RETRYABLE && finish.attempt >= finish.max_attempts)
        history_violated(world->history, "retried after the last attempt");
}

static void release(World *world, Arena *arena, const Job *job)
{
    Finish finish = { .kind = FINISH_RELEASE, .id = job->id, .fence = job->fence };

    /* Given up before the call: the next holder may hear of its grant before we hear the answer. */
    history_held(world->history, &job->id, job->fence, 0);
    (void) queue_finish(arena, world->queues, &finish, NULL); /* shows at the next lease */
}

static void beat(World *world, const Job *job, Str worker)
{
    Beat one = { .id = job->id, .fence = job->fence };

    if (queue_heartbeat(world->queues, worker, 0, &one, 1) == 0 && one.is_extended)
        history_held(world->history, &job->id, job->fence, one.until_ms);
}

/* What a worker does with one job; false when it vanishes. */
static bool work_on(World *world, Arena *arena, const Job *job, Str worker)
{
    int64_t begun = sl_now_ns(), length = (int64_t) below(world, 30 * NS_PER_MS);

    if (!world->is_end && chance(world, 0.08))
        return true; /* forgets it: the lease must end */
    if (!world->is_end && chance(world, 0.1))
        length = world->lease_ms * NS_PER_MS +
                 (int64_t) below(world, 100 * NS_PER_MS); /* too slow: answers late */
    if (sl_sleep_ns(length) < 0)
        return false;
    if (!world->is_end && chance(world, 0.15) &&
        sl_sleep_until_ns(begun + (job->lease_until_ms - job->started_steady_ms) * NS_PER_MS +
                          (int64_t) below(world, NS_PER_MS)) < 0)
        return false; /* the renewal and the end of the lease meet */
    if (chance(world, 0.3))
        beat(world, job, worker);
    if (sl_sleep_ns((int64_t) below(world, 10 * NS_PER_MS)) < 0)
        return false;
    if (!world->is_end && chance(world, 0.2))
        fail_job(world, arena, job);
    else if (!world->is_end && chance(world, 0.05))
        release(world, arena, job);
    else
        complete(world, arena, job);
    if (chance(world, 0.05))
        complete(world, arena, job); /* says it twice */
    return !sl_is_cancelled();
}

static void complete_all(World *world, Arena *arena, const Job *jobs, size_t n,
                         const LeaseOpts *opts, Job *more, size_t *ret_n)
{
    Finish finishes[4];
    char results[4][24];
    int r;

    for (size_t i = 0; i < n; i++) {
        result_of(&jobs[i], results[i], sizeof(results[i]));
        finishes[i] = (Finish){ .kind = FINISH_COMPLETE,
                                .id = jobs[i].id,
                                .fence = jobs[i].fence,
                                .result = str_from_c(results[i]),
                                .r = -ERR_UNAVAILABLE };
    }
    r = queue_finish_and_lease(arena, world->queues, finishes, n, opts, more, ret_n);
    for (size_t i = 0; i < n; i++)
        history_completed(world->history, &jobs[i].id, jobs[i].fence, results[i],
                          r < 0 ? r : finishes[i].r, is_lost(world, r) || r == -ECANCELED);
    for (size_t i = 0; i < *ret_n; i++)
        history_leased(world->history, &more[i]);
}

static int worker(void *arg)
{
    World *world = arg;
    char name[24];
    Str queues[SIM_QUEUES];
    uint64_t first = below(world, SIM_QUEUES);
    LeaseOpts opts = { .queues = queues,
                       .n_queues = 1 + below(world, SIM_QUEUES),
                       .lease_ms = world->lease_ms };

    if (world->is_end)
        opts.n_queues = SIM_QUEUES;
    snprintf(name, sizeof(name), "w%llu", (unsigned long long) sl_self_id());
    opts.worker = str_from_c(name);
    for (uint64_t i = 0; i < SIM_QUEUES; i++)
        queues[i] = queue_name(first + i);
    while (!world->is_dead && !sl_is_cancelled()) {
        AUTO(arena_deinit) Arena arena = { 0 };
        Job jobs[4], more[4];
        size_t n = 0, n_more = 0;
        int r;

        arena_init(&arena, 0);
        opts.max = 1 + below(world, 4);
        opts.wait_ms = chance(world, 0.5) ? -1 : (int64_t) below(world, 50);
        r = queue_lease(&arena, world->queues, &opts, jobs, &n);
        if (r != 0 && sl_sleep_ms(1 + (int64_t) below(world, 10)) < 0)
            return 0;
        if (r != 0)
            continue;
        for (size_t i = 0; i < n; i++)
            history_leased(world->history, &jobs[i]);
        if (chance(world, 0.2)) {
            complete_all(world, &arena, jobs, n, &opts, more, &n_more);
            memcpy(jobs, more, n_more * sizeof(Job));
            n = n_more;
        }
        for (size_t i = 0; i < n; i++) {
            if (!work_on(world, &arena, &jobs[i], opts.worker))
                return 0;
        }
    }
    return 0;
}

/* A worker process: killed now and then, with whatever it holds, and started again. */
static int worker_life(void *arg)
{
    World *world = arg;

    while (!world->is_dead && !sl_is_cancelled()) {
        sl_scope life;
        int r;

        sl_scope_begin(&life,
                       .timeout_ms = world->is_end ? 3600000 : 20 + (int64_t) below(world, 2000));
        r = sl_scope_end(&life, worker(world));
        if (r < 0 && r != -ETIMEDOUT)
            return 0;
        if (sl_sleep_ms((int64_t) below(world, 20)) < 0)
            return 0;
    }
    return 0;
}

/* ---- lives ----------------------------------------------------------------------------------- */

static int clock_setter(void *arg)
{
    World *world = arg;

    world->history->has_steps = true;
    while (sl_sleep_ns((int64_t) below(world, 500 * NS_PER_MS)) == 0)
        sl_sim_step_wall((int64_t) below(world, 240000) - 120000);
    return 0;
}

static int begin_life(World *world, sl_nursery *nursery)
{
    StoreRetention keep = { 0 };
    QueueOpts opts = { .store = "memory:", .image = &world->image, .retention = &keep };

    world->is_dead = false;
    return queue_start(nursery, &opts, &world->queues);
}

static void one_life(World *world)
{
    AUTO(sl_nursery_close)
    sl_nursery *nursery = sl_nursery_open(.name = "engine", .keep_going = true);
    sl_nursery *actors;
    size_t n_workers = 1 + below(world, 6), n_producers = 1 + below(world, 4),
           n_cancellers = below(world, 3);
    int64_t length_ms = 50 + (int64_t) below(world, 3000);

    world->commits_left = chance(world, 0.7) ? 1 + (unsigned) below(world, 600) : 0;
    world->dies_after = chance(world, 0.5);
    world->commit_faults = chance(world, 0.5) ? 0.05 * rand_unit(&world->rand) : 0;
    world->lease_ms = 50 + (int64_t) below(world, 400);
    world->n_push = 5 + (unsigned) below(world, 30);
    if (begin_life(world, nursery) < 0) {
        history_violated(world->history, "the store does not open again");
        return;
    }
    actors = sl_nursery_open(.name = "actors", .keep_going = true);
    for (size_t i = 0; i < n_workers; i++)
        sl_spawn(actors, worker_life, world, .name = "worker");
    for (size_t i = 0; i < n_producers; i++)
        sl_spawn(actors, producer, world, .name = "producer");
    for (size_t i = 0; i < n_cancellers; i++)
        sl_spawn(actors, canceller, world, .name = "canceller");
    if (chance(world, 0.3))
        sl_spawn(actors, clock_setter, world, .name = "clock");
    for (int64_t at = 0; at < length_ms && !world->is_dead; at += 10) {
        if (sl_sleep_ms(10) < 0)
            break;
    }
    sl_nursery_cancel(actors);
    sl_nursery_close(actors);
    if (!world->is_dead) {
        world->commits_left = 0;
        world->commit_faults = 0;
        history_check(world->history, world->queues, false);
    }
    queue_stop(world->queues);
    history_died(world->history);
}

static bool all_final(World *world)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    StoreQueueInfo *infos;
    size_t n;

    arena_init(&arena, 0);
    if (queue_list_queues(&arena, world->queues, (Str){ 0 }, SIM_QUEUES, &infos, &n) < 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
            if (!job_state_is_final((JobState) s) && infos[i].counts[s] > 0)
                return false;
        }
    }
    return true;
}

static void the_end(World *world)
{
    AUTO(sl_nursery_close)
    sl_nursery *nursery = sl_nursery_open(.name = "engine", .keep_going = true);
    sl_nursery *actors;

    world->is_end = true;
    world->commits_left = 0;
    world->commit_faults = 0;
    sl_sim_set_fault(0);
    if (begin_life(world, nursery) < 0) {
        history_violated(world->history, "the store does not open again");
        return;
    }
    history_check(world->history, world->queues, false);
    actors = sl_nursery_open(.name = "actors", .keep_going = true);
    for (size_t i = 0; i < 4; i++)
        sl_spawn(actors, worker_life, world, .name = "worker");
    for (int i = 0; i < 60000 && !all_final(world);
         i++) { /* 100 min: the wall clock may have been set back */
        if (sl_sleep_ms(100) < 0)
            break;
    }
    sl_nursery_cancel(actors);
    sl_nursery_close(actors);
    history_check(world->history, world->queues, true);
    queue_stop(world->queues);
}

static int run(void *arg)
{
    World *world = arg;
    size_t lives;

    rand_init(&world->rand, sl_random());
    world->image.on_commit = on_commit;
    world->image.ctx = world;
    sl_sim_set_fault(chance(world, 0.5) ? 0.001 : 0);
    lives = 1 + below(world, 4);
    for (size_t i = 0; i < lives && !world->history->why[0]; i++)
        one_life(world);
    if (!world->history->why[0])
        the_end(world);
    return 0;
}

int world_run(uint64_t seed, bool is_loud)
{
    World *world = mem_new(World);
    History *history = mem_new(History);
    uint64_t completed = 0;
    int r;

    history->seed = seed;
    world->history = history;
    r = sl_run(run, world, .loop = SL_LOOP_SIM, .seed = seed, .stack_bytes = 128 << 10);
    if (r < 0)
        history_violated(history, "the run ended with %s", err_text(r));
    memory_image_free(&world->image);
    for (size_t i = 0; i < history->n; i++)
        completed += history->jobs[i].n_completions;
    if (history->why[0])
        fprintf(stderr, "seed %llu: %s\n  make sim SEED=%llu\n", (unsigned long long) seed,
                history->why, (unsigned long long) seed);
    else if (is_loud)
        printf("seed %llu: %zu jobs, %llu completed, %llu leased again, %llu answers refused\n",
               (unsigned long long) seed, history->n, (unsigned long long) completed,
               (unsigned long long) history->duplicates, (unsigned long long) history->refused);
    r = history->why[0] ? 1 : 0;
    mem_free(history);
    mem_free(world);
    return r;
}
