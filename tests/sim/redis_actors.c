/*
 * Producers, workers and cancellers: see redis_actors.h.
 *
 * They take every answer as it comes and write it into the ledger. An error that says nothing of
 * what happened (the server was away) leaves a fact open; words that no error may have are a
 * violation.
 */
#include "../sim/redis_actors.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

uint64_t world_below(RedisWorld *world, uint64_t bound)
{
    return rand_below(&world->rand, bound);
}

bool world_chance(RedisWorld *world, double p)
{
    return rand_unit(&world->rand) < p;
}

Str world_queue(uint64_t n)
{
    static const Str names[WORLD_QUEUES] = { STR("q0"), STR("q1"), STR("q2") };

    return names[n % WORLD_QUEUES];
}

Actor *actor_new(RedisWorld *world, Process *process)
{
    Actor *actor = mem_new(Actor);

    *actor = (Actor){ .world = world, .process = process };
    return actor;
}

/* An answer of an operation that may fail because of the server, and in no other way. */
static void expect_store_error(RedisWorld *world, const char *what, int r)
{
    if (r >= 0 || r == -ECANCELED || r == -ERR_UNAVAILABLE || r == -ERR_CLOSED ||
        r == -ERR_STORE_FULL || r == -ERR_STORE || r == -ETIMEDOUT)
        return;
    ledger_violated(&world->ledger, "%s: %s", what, err_text(r));
}

/* ---- producers ------------------------------------------------------------------------------- */

/* Bytes 11 to 13 are the number; 14 and 15 choose the partition. */
static JobId next_id(RedisWorld *world, uint8_t high, uint8_t low)
{
    JobId id = { { 1, 0x9b, 0, 0, 0, 0, 0x70, 0, 0x80 } };
    uint64_t n = ++world->next_id;

    id.bytes[11] = (uint8_t) n;
    id.bytes[12] = (uint8_t) (n >> 8);
    id.bytes[13] = (uint8_t) (n >> 16);
    id.bytes[14] = high;
    id.bytes[15] = low;
    return id;
}

static JobSpec draw_spec(RedisWorld *world, const JobRetry *retry, uint8_t high, uint8_t low)
{
    JobSpec spec = { .id = next_id(world, high, low),
                     .type = str_from_c("sim.t"),
                     .queue = world_queue(world_below(world, WORLD_QUEUES)),
                     .priority = (int) world_below(world, 3) - 1,
                     .retry = retry };

    if (world_chance(world, world->later))
        spec.run_at_ms = sim_redis_now_ms(world->fleet.redis) +
                         (int64_t) world_below(world, (uint64_t) world->later_ms);
    if (world_chance(world, 0.1))
        spec.timeout_ms = 1 + (int64_t) world_below(world, 300);
    return spec;
}

SUSPENDS static void produce_one(RedisWorld *world, Process *process)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JobRetry retry = { .max_attempts = 1 + (uint32_t) world_below(world, 4),
                       .backoff = (JobBackoff) world_below(world, JOB_BACKOFF_COUNT),
                       .coefficient = 2,
                       .initial_ms = 1 + (int64_t) world_below(world, 500),
                       .max_ms = 5000,
                       .has_jitter = world_chance(world, 0.5),
                       .on_exhaustion = (JobExhaustion) world_below(world, 2) };
    size_t n = world_chance(world, 0.2) ? 3 : 1, got;
    uint8_t high = (uint8_t) world_below(world, 256), low = (uint8_t) world_below(world, 256);
    JobSpec specs[3];
    LedgerJob *seen[3];
    int r;

    arena_init(&arena, 0);
    for (size_t i = 0; i < n; i++) {
        specs[i] = draw_spec(world, &retry, high, low);
        seen[i] = ledger_push(&world->ledger, &specs[i].id, retry.max_attempts);
        seen[i]->run_at = specs[i].run_at_ms;
    }
    r = queue_push_many(&arena, process->queues, specs, n, NULL, NULL, &got);
    for (size_t i = 0; i < n; i++)
        ledger_pushed(&world->ledger, seen[i], r);
    world->pushed += r == 0 ? n : 0;
    expect_store_error(world, "push", r);
}

int actor_producer(void *arg)
{
    AUTO(mem_free) Actor *actor = arg;
    RedisWorld *world = actor->world;

    for (unsigned i = 0; i < world->n_push && !world->is_over; i++) {
        bool is_burst = world->burst > 0 && world_chance(world, 0.02);

        for (unsigned n = is_burst ? world->burst : 1; n > 0 && !sl_is_cancelled(); n--)
            produce_one(world, actor->process);
        if (sl_sleep_ns((int64_t) world_below(world, (uint64_t) (world->pause_ms * NS_PER_MS))) < 0)
            return 0;
    }
    return 0;
}

/* ---- cancellers ------------------------------------------------------------------------------ */

int actor_canceller(void *arg)
{
    AUTO(mem_free) Actor *actor = arg;
    RedisWorld *world = actor->world;

    while (!world->is_over && sl_sleep_ns((int64_t) world_below(
                                  world, (uint64_t) (world->pause_ms * 4 * NS_PER_MS))) == 0) {
        AUTO(arena_deinit) Arena arena = { 0 };
        LedgerJob *seen;
        Job job;
        int r;

        if (world->ledger.n == 0)
            continue;
        arena_init(&arena, 0);
        seen = world->ledger.jobs[world->ledger.n - 1 -
                                  world_below(world, world->ledger.n < 50 ? world->ledger.n : 50)];
        r = queue_cancel(&arena, actor->process->queues, &seen->id, &job, NULL);
        ledger_cancelled(&world->ledger, seen, r, r == 0 ? job.finished_ms : 0);
        if (r != -ERR_NOT_FOUND && r != -ERR_CONFLICT)
            expect_store_error(world, "cancel", r);
    }
    return 0;
}

/* ---- workers --------------------------------------------------------------------------------- */

typedef struct Worker {
    RedisWorld *world;
    Process *process;
    char name[24];
} Worker;

static void result_of(const Job *job, char *out, size_t cap)
{
    snprintf(out, cap, "{\"fence\":%u}", job->fence);
}

SUSPENDS static void complete(Worker *worker, Arena *arena, const Job *job)
{
    char result[24];
    Finish finish = { .kind = FINISH_COMPLETE,
                      .id = job->id,
                      .fence = job->fence,
                      .worker = str_from_c(worker->name) };
    int r;

    result_of(job, result, sizeof(result));
    finish.result = str_from_c(result);
    r = queue_finish(arena, worker->process->queues, &finish, NULL);
    ledger_completed(&worker->world->ledger, &job->id, job->fence, worker->name, result, r);
}

SUSPENDS static void fail_job(Worker *worker, Arena *arena, const Job *job)
{
    RedisWorld *world = worker->world;
    Finish finish = { .kind = FINISH_FAIL,
                      .id = job->id,
                      .fence = job->fence,
                      .worker = str_from_c(worker->name),
                      .job = world_chance(world, 0.5) ? job : NULL,
                      .error = { .type = str_from_c("SimError"),
                                 .message = str_from_c("as it pleased"),
                                 .is_final = world_chance(world, 0.05) } };
    int r;

    ledger_held(&world->ledger, &job->id, job->fence, 0);
    r = queue_finish(arena, worker->process->queues, &finish, NULL);
    ledger_failed(&world->ledger, &job->id, &finish, r);
}

SUSPENDS static void release(Worker *worker, Arena *arena, const Job *job)
{
    Finish finish = { .kind = FINISH_RELEASE,
                      .id = job->id,
                      .fence = job->fence,
                      .worker = str_from_c(worker->name) };

    /* Given up before the call: the next holder may hear of its grant before we hear the answer. */
    ledger_held(&worker->world->ledger, &job->id, job->fence, 0);
    (void) queue_finish(arena, worker->process->queues, &finish, NULL);
}

SUSPENDS static void beat(Worker *worker, const Job *job)
{
    Beat one = { .id = job->id, .fence = job->fence };

    if (queue_heartbeat(worker->process->queues, str_from_c(worker->name), 0, &one, 1) == 0 &&
        one.is_extended)
        ledger_held(&worker->world->ledger, &job->id, job->fence, one.until_ms);
}

/* What a worker does with one job; false when it vanishes. */
SUSPENDS static bool work_on(Worker *worker, Arena *arena, const Job *job)
{
    RedisWorld *world = worker->world;
    bool is_end = world->is_end;
    int64_t length = (int64_t) world_below(world, 30 * NS_PER_MS);

    if (!is_end && world_chance(world, 0.06))
        return true; /* forgets it: the lease must end */
    if (!is_end && world_chance(world, 0.1))
        length = world->lease_ms * NS_PER_MS + (int64_t) world_below(world, 300 * NS_PER_MS);
    if (sl_sleep_ns(length) < 0)
        return false;
    if (world_chance(world, 0.3))
        beat(worker, job);
    if (sl_sleep_ns((int64_t) world_below(world, 10 * NS_PER_MS)) < 0)
        return false;
    if (!is_end && world_chance(world, 0.2))
        fail_job(worker, arena, job);
    else if (!is_end && world_chance(world, 0.05))
        release(worker, arena, job);
    else
        complete(worker, arena, job);
    if (world_chance(world, 0.05))
        complete(worker, arena, job); /* says it twice */
    return !sl_is_cancelled();
}

SUSPENDS static void complete_all(Worker *worker, Arena *arena, const Job *jobs, size_t n,
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
                                .worker = str_from_c(worker->name),
                                .result = str_from_c(results[i]),
                                .r = -ERR_UNAVAILABLE };
    }
    *ret_n = 0;
    r = queue_finish_and_lease(arena, worker->process->queues, finishes, n, opts, more, ret_n);
    for (size_t i = 0; i < n; i++)
        ledger_completed(&worker->world->ledger, &jobs[i].id, jobs[i].fence, worker->name,
                         results[i], r < 0 ? r : finishes[i].r);
    for (size_t i = 0; i < *ret_n; i++)
        ledger_leased(&worker->world->ledger, &more[i], worker->name);
}

/* Lease and work once. False when it is over. */
SUSPENDS static bool work_once(Worker *worker, LeaseOpts *opts)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RedisWorld *world = worker->world;
    Job jobs[4], more[4];
    size_t n = 0, n_more;
    int r;

    arena_init(&arena, 0);
    opts->max = 1 + world_below(world, 4);
    opts->wait_ms = world->is_patient || world_chance(world, 0.7)
                        ? -1
                        : (int64_t) world_below(world, 50);
    r = queue_lease(&arena, worker->process->queues, opts, jobs, &n);
    expect_store_error(world, "lease", r);
    if (r != 0)
        return sl_sleep_ms(1 + (int64_t) world_below(world, 50)) == 0;
    for (size_t i = 0; i < n; i++)
        ledger_leased(&world->ledger, &jobs[i], worker->name);
    if (world_chance(world, 0.2)) {
        complete_all(worker, &arena, jobs, n, opts, more, &n_more);
        memcpy(jobs, more, n_more * sizeof(Job));
        n = n_more;
    }
    for (size_t i = 0; i < n; i++) {
        if (!work_on(worker, &arena, &jobs[i]))
            return false;
    }
    return !sl_is_cancelled();
}

SUSPENDS static int one_life(Worker *worker)
{
    RedisWorld *world = worker->world;
    Str queues[WORLD_QUEUES];
    uint64_t first = world_below(world, WORLD_QUEUES);
    LeaseOpts opts = { .queues = queues,
                       .n_queues = 1 + world_below(world, WORLD_QUEUES),
                       .lease_ms = world->lease_ms };

    if (world->is_end)
        opts.n_queues = WORLD_QUEUES;
    snprintf(worker->name, sizeof(worker->name), "%s.%llu", worker->process->name,
             (unsigned long long) ++world->next_id);
    opts.worker = str_from_c(worker->name);
    for (uint64_t i = 0; i < WORLD_QUEUES; i++)
        queues[i] = world_queue(first + i);
    while (work_once(worker, &opts)) {}
    return sl_is_cancelled() ? -ECANCELED : 0;
}

int actor_worker(void *arg)
{
    AUTO(mem_free) Actor *actor = arg;
    RedisWorld *world = actor->world;
    Worker worker = { .world = world, .process = actor->process };

    while (!sl_is_cancelled()) {
        sl_scope life;
        int r;

        sl_scope_begin(&life, .timeout_ms = world->is_end ? 36000000
                                            : world->is_patient
                                                ? (int64_t) world_below(world, 900000)
                                                : 200 + (int64_t) world_below(world, 9000));
        r = sl_scope_end(&life, one_life(&worker));
        if (r < 0 && r != -ETIMEDOUT)
            return 0;
        if (sl_sleep_ms((int64_t) world_below(world, 20)) < 0)
            return 0;
    }
    return 0;
}

bool world_all_final(Queues *queues)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    StoreQueueInfo *infos;
    size_t n;

    arena_init(&arena, 0);
    if (queue_list_queues(&arena, queues, (Str){ 0 }, 16, &infos, &n) < 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
            if (!job_state_is_final((JobState) s) && infos[i].counts[s] > 0)
                return false;
        }
    }
    return true;
}
