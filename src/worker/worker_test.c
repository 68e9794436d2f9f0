/*
 * Workers on the memory store: jobs run and are answered, are cancelled, lost, handed back, and the
 * store fails under them.
 *
 * Each test runs on the loop of this machine, on epoll and on the simulated one under several
 * orders; where leases must pass only on the last, whose time is virtual. Handlers wait for the
 * test at gates, so that nothing depends on how fast anything is.
 */
#include "worker/worker.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/test.h"
#include "rt/sim.h"
#include "store/memory/memory.h"
#include "worker/runner.h"
#include "worker/type_limits.h"

#include <sluice/rt.h>

#include <errno.h>

/* ---- handlers -------------------------------------------------------------------------------- */

/* What the handlers share with the test. */
typedef struct World {
    sl_event gate;    /* "gate" jobs wait for it */
    size_t at_gate;   /* of these, running */
    size_t cancelled; /* "gate" jobs that ended by cancellation */
    size_t ran;       /* "quick" jobs */
    size_t result_bytes;
    MemoryFault fault; /* of the store's commits from here on */
    size_t commits;
} World;

static World world;

static int quick_run(Task *task, const void *args, JsonWriter *result)
{
    (void) task;
    world.ran++;
    json_write_raw(result, ((const SchemaJson *) args)->raw);
    return 0;
}

SUSPENDS static int gate_run(Task *task, const void *args, JsonWriter *result)
{
    int r;

    (void) args;
    world.at_gate++;
    r = sl_event_wait(&world.gate);
    world.at_gate--;
    if (r < 0) {
        world.cancelled++;
        return r;
    }
    json_write_i64(result, task->attempt);
    return 0;
}

SUSPENDS static int nap_run(Task *task, const void *args, JsonWriter *result)
{
    int r = sl_sleep_ms(2000);

    (void) args;
    if (r == 0)
        json_write_i64(result, task->attempt);
    return r;
}

static int fail_run(Task *task, const void *args, JsonWriter *result)
{
    (void) args;
    if (task->attempt < 3)
        return fail(-ERR_NETWORK, "attempt %u of %u", task->attempt, task->max_attempts);
    json_write_i64(result, task->attempt);
    return 0;
}

static int final_run(Task *task, const void *args, JsonWriter *result)
{
    (void) args;
    (void) result;
    return task_fail(task, "no_use", "never");
}

static int large_run(Task *task, const void *args, JsonWriter *result)
{
    AUTO(buf_deinit) Buf text = { 0 };

    (void) task;
    (void) args;
    for (size_t i = 0; i < world.result_bytes; i++)
        buf_add_char(&text, 'r');
    json_write_str(result, buf_str(&text));
    return 0;
}

static const Handler quick = { .type = "quick", .summary = "Quick.", .run = quick_run };
static const Handler gate = { .type = "gate", .summary = "Waits.", .run = gate_run };
static const Handler nap = { .type = "nap", .summary = "Sleeps.", .run = nap_run };
static const Handler fails = { .type = "fails", .summary = "Fails.", .run = fail_run };
static const Handler finals = { .type = "final", .summary = "Fails.", .run = final_run };
static const Handler large = { .type = "large", .summary = "Large.", .run = large_run };
static const Handler *const handlers[] = { &quick, &gate, &nap, &fails, &finals, &large };

/* ---- an engine without a face ---------------------------------------------------------------- */

typedef struct Rig {
    WorkerOpts opts; /* set by the test's table */
    void (*body)(struct Rig *rig);
    sl_nursery *nursery;
    MemoryImage image;
    Queues *queues;
    Worker *worker;
    Arena arena;
} Rig;

static MemoryFault on_commit(void *ctx)
{
    (void) ctx;
    world.commits++;
    return world.fault;
}

SUSPENDS static void start_worker(Rig *rig)
{
    rig->opts.queues = rig->queues;
    rig->opts.handlers = handlers;
    rig->opts.n_handlers = ARRAY_LEN(handlers);
    EXPECT_OK(worker_start(&rig->worker, rig->nursery, &rig->opts));
}

SUSPENDS static void stop_worker(Rig *rig)
{
    worker_stop(rig->worker, 5000);
    rig->worker = NULL;
}

SUSPENDS static int rig_main(void *arg)
{
    Rig *rig = arg;
    QueueOpts queues = { .store = "memory:", .image = &rig->image };
    int r;

    world = (World){ 0 };
    log_setup(LOG_OFF, LOG_FORMAT_AUTO, STDERR_FILENO); /* the store fails on purpose */
    rig->image = (MemoryImage){ .on_commit = on_commit };
    rig->nursery = sl_nursery_open(.name = "test");
    arena_init(&rig->arena, 0);
    r = queue_start(rig->nursery, &queues, &rig->queues);
    EXPECT_OK(r);
    if (r == 0) {
        start_worker(rig);
        rig->body(rig);
        stop_worker(rig);
        EXPECT_OK(queue_check(rig->queues, NULL));
        queue_stop(rig->queues);
    }
    arena_deinit(&rig->arena);
    sl_nursery_close(rig->nursery);
    memory_image_free(&rig->image);
    return 0;
}

static void run_rig(void (*body)(Rig *), const WorkerOpts *opts, const sl_run_opts *run)
{
    Rig rig = { .opts = *opts, .body = body };

    EXPECT_OK(sl_run_with(rig_main, &rig, run));
    if (test_has_failed())
        fprintf(stderr, "    loop %d, seed %llu, slots %zu, events %d\n", run->loop,
                (unsigned long long) run->seed, opts->slots, opts->hears_events);
}

/* Under every loop, with and without events. */
static void run_everywhere(void (*body)(Rig *), size_t slots, bool only_sim)
{
    for (int events = 0; events < 2; events++) {
        WorkerOpts opts = { .slots = slots, .hears_events = events, .name = "w" };

        for (uint64_t seed = 1; seed <= 3; seed++)
            run_rig(
                body, &opts,
                &(sl_run_opts){ .size = sizeof(sl_run_opts), .loop = SL_LOOP_SIM, .seed = seed });
        for (int kind = SL_LOOP_AUTO; kind <= SL_LOOP_EPOLL && !only_sim; kind += SL_LOOP_EPOLL)
            run_rig(body, &opts,
                    &(sl_run_opts){ .size = sizeof(sl_run_opts),
                                    .loop = (enum sl_loop_kind) kind,
                                    .stall_ms = -1 });
    }
}

#define WORKER_TEST(name, slots, only_sim)                \
    static void name##_body(Rig *rig);                    \
    TEST(name)                                            \
    {                                                     \
        run_everywhere(name##_body, (slots), (only_sim)); \
    }                                                     \
    static void name##_body(Rig *rig)

/* ---- helpers --------------------------------------------------------------------------------- */

SUSPENDS static JobId push(Rig *rig, const char *type, const char *args)
{
    static const JobRetry at_once = { .max_attempts = 3,
                                      .backoff = JOB_BACKOFF_NONE,
                                      .coefficient = 1,
                                      .initial_ms = 1,
                                      .max_ms = 1,
                                      .on_exhaustion = JOB_EXHAUSTION_DEAD_LETTER };
    JobSpec spec = { .type = str_from_c(type), .args = str_from_c(args), .retry = &at_once };
    Job job = { 0 };

    EXPECT_OK(queue_push(&rig->arena, rig->queues, &spec, NULL, &job));
    return job.id;
}

SUSPENDS static Job get(Rig *rig, const JobId *id)
{
    Job job = { 0 };

    EXPECT_OK(queue_get(&rig->arena, rig->queues, id, &job));
    return job;
}

SUSPENDS static Job wait_for(Rig *rig, const JobId *id)
{
    Job job = { 0 };

    EXPECT_OK(queue_wait_job(&rig->arena, rig->queues, id, 120000, &job));
    return job;
}

SUSPENDS static void wait_at_gate(size_t n)
{
    while (world.at_gate != n && sl_sleep_ms(1) == 0) {}
}

/* Until the job is in STATE. */
SUSPENDS static Job wait_state(Rig *rig, const JobId *id, JobState state)
{
    Job job = get(rig, id);

    while (job.state != state && sl_sleep_ms(1) == 0)
        job = get(rig, id);
    return job;
}

/* ---- running --------------------------------------------------------------------------------- */

/* Would catch jobs that are not run, run twice, or answered with somebody else's result. */
WORKER_TEST(jobs_run_and_their_results_are_kept, 4, false)
{
    enum { N = 40 };
    JobId ids[N];
    char args[16];
    WorkerStats stats;

    for (size_t i = 0; i < N; i++) {
        (void) snprintf(args, sizeof(args), "[%zu]", i);
        ids[i] = push(rig, "quick", args);
    }
    for (size_t i = 0; i < N; i++) {
        Job job = wait_for(rig, &ids[i]);

        (void) snprintf(args, sizeof(args), "[%zu]", i);
        EXPECT_EQ(job.state, JOB_COMPLETED);
        EXPECT_EQ(job.attempt, 1);
        EXPECT_STR(job.result, str_from_c(args));
    }
    EXPECT_EQ(world.ran, N);
    do {
        worker_stats(rig->worker, &stats);
    } while (stats.completed < N && sl_sleep_ms(1) == 0);
    EXPECT_EQ(stats.running + stats.waiting, 0);
}

/* Would catch a batch that is left lying, and more running at once than there are places. */
WORKER_TEST(a_large_push_is_worked_off, 3, false)
{
    enum { N = 1200 };
    JobSpec *specs = mem_new_array(JobSpec, N);
    StoreQueueInfo info = { 0 };

    for (size_t i = 0; i < N; i++)
        specs[i] = (JobSpec){ .type = STR_C("quick") };
    EXPECT_OK(queue_push_many(&rig->arena, rig->queues, specs, N, NULL, NULL, NULL));
    while (info.counts[JOB_COMPLETED] < N) {
        EXPECT_OK(queue_stats(rig->queues, STR_C("default"), &info));
        if (sl_sleep_ms(1) < 0)
            break;
    }
    EXPECT_EQ(world.ran, N);
    mem_free(specs);
}

WORKER_TEST(no_more_run_than_there_are_places, 2, false)
{
    JobId ids[5];

    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        ids[i] = push(rig, "gate", "[]");
    wait_at_gate(2);
    for (int i = 0; i < 20; i++)
        EXPECT_OK(sl_yield());
    EXPECT_EQ(world.at_gate, 2);
    sl_event_set(&world.gate);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        EXPECT_EQ(wait_for(rig, &ids[i]).state, JOB_COMPLETED);
}

/* Would catch failures that lose their words, and ones that are tried again in vain. */
WORKER_TEST(failures_are_answered, 2, false)
{
    JobId again = push(rig, "fails", "[]");
    JobId never = push(rig, "final", "[]");
    Job job = wait_for(rig, &again);

    EXPECT_EQ(job.state, JOB_COMPLETED);
    EXPECT_EQ(job.attempt, 3);
    REQUIRE(job.n_errors == 2);
    EXPECT_STR(job.errors[0].message, STR_C("attempt 1 of 3"));
    EXPECT_STR(job.errors[0].type, STR_C("NETWORK"));
    EXPECT_STR(job.errors[0].code, STR_C("handler_error"));

    job = wait_for(rig, &never);
    EXPECT_EQ(job.state, JOB_DISCARDED);
    EXPECT_EQ(job.attempt, 1);
    REQUIRE(job.n_errors == 1);
    EXPECT_STR(job.errors[0].type, STR_C("no_use"));
    EXPECT(job.errors[0].is_final);
}

/* Would catch a worker that takes what it cannot run. */
WORKER_TEST(unknown_types_are_left_alone, 4, false)
{
    JobId other = push(rig, "elsewhere", "[]");
    JobId mine = push(rig, "quick", "[]");

    EXPECT_EQ(wait_for(rig, &mine).state, JOB_COMPLETED);
    EXPECT_EQ(get(rig, &other).state, JOB_AVAILABLE);
    EXPECT_EQ(get(rig, &other).fence, 0);
}

/* Would catch a worker that never sees its own job behind many that it cannot run, and one that
 * looks through them again and again. */
WORKER_TEST(a_job_behind_many_unknown_ones_is_found, 2, true)
{
    enum { N = 3 * LIMIT_LEASE_SCAN };
    JobSpec *specs = mem_new_array(JobSpec, N);
    size_t commits;
    JobId mine;

    for (size_t i = 0; i < N; i++)
        specs[i] = (JobSpec){ .type = STR_C("elsewhere") };
    EXPECT_OK(queue_push_many(&rig->arena, rig->queues, specs, N, NULL, NULL, NULL));
    mine = push(rig, "quick", "[]");
    EXPECT_EQ(wait_for(rig, &mine).state, JOB_COMPLETED);
    EXPECT_OK(sl_sleep_ms(1000));
    commits = world.commits;
    EXPECT_OK(sl_sleep_ms(10000));
    EXPECT(world.commits <= commits + 50);
    mine = push(rig, "quick", "[]");
    EXPECT_EQ(wait_for(rig, &mine).state, JOB_COMPLETED);
    mem_free(specs);
}

/* Would catch a job that goes round for ever because its result does not fit into its record. */
WORKER_TEST(a_result_that_does_not_fit_fails_the_job, 1, true)
{
    AUTO(buf_deinit) Buf args = { 0 };
    JobId id;
    Job job;

    world.result_bytes = LIMIT_JOB_RESULT_BYTES - 100;
    buf_add_c(&args, "[\"");
    while (args.len < LIMIT_JOB_RECORD_BYTES - LIMIT_JOB_RESULT_BYTES / 2)
        buf_add_c(&args, "0123456789abcdef");
    buf_add_c(&args, "\"]");
    buf_add_char(&args, '\0');
    id = push(rig, "large", args.data);
    job = wait_for(rig, &id);
    EXPECT_EQ(job.state, JOB_DISCARDED);
    REQUIRE(job.n_errors == 1);
    EXPECT_STR(job.errors[0].code, STR_C("result_too_large"));
}

/* ---- cancelling ------------------------------------------------------------------------------ */

/* Would catch a job that runs on, one that is answered after its end, and a place that is not used
 * again (the leaser must hear of it). */
WORKER_TEST(a_cancelled_job_stops_and_makes_room, 1, false)
{
    JobSpec spec = { .type = STR_C("gate"), .lease_ms = 600 }; /* renewed after a third of that */
    JobId id, next;
    Job job = { 0 };

    EXPECT_OK(queue_push(&rig->arena, rig->queues, &spec, NULL, &job));
    id = job.id;
    wait_at_gate(1);
    EXPECT_OK(queue_cancel(&rig->arena, rig->queues, &id, NULL, NULL));
    while (!world.cancelled && sl_sleep_ms(1) == 0) {}
    next = push(rig, "quick", "[]");
    EXPECT_EQ(wait_for(rig, &next).state, JOB_COMPLETED);
    EXPECT_EQ(get(rig, &id).state, JOB_CANCELLED);
    EXPECT_EQ(get(rig, &id).n_errors, 0);
}

/* Would catch a job that starts although it was cancelled while it waited behind another. */
WORKER_TEST(a_cancelled_job_does_not_start, 1, true)
{
    JobSpec specs[3] = { { .type = STR_C("gate") },
                         { .type = STR_C("quick") },
                         { .type = STR_C("quick") } };
    JobId first = push(rig, "quick", "[]");
    WorkerStats stats;
    Job jobs[3];

    EXPECT_EQ(wait_for(rig, &first).state, JOB_COMPLETED); /* jobs are quick: some are held ahead */
    EXPECT_OK(queue_push_many(&rig->arena, rig->queues, specs, 3, NULL, jobs, NULL));
    wait_at_gate(1);
    worker_stats(rig->worker, &stats);
    EXPECT_EQ(stats.waiting, 2);
    EXPECT_OK(queue_cancel(&rig->arena, rig->queues, &jobs[1].id, NULL, NULL));
    do {
        EXPECT_OK(sl_sleep_ms(20));
        worker_stats(rig->worker, &stats);
    } while (stats.waiting == 2);
    sl_event_set(&world.gate);
    EXPECT_EQ(wait_for(rig, &jobs[2].id).state, JOB_COMPLETED);
    EXPECT_EQ(wait_for(rig, &jobs[1].id).state, JOB_CANCELLED);
    EXPECT_EQ(world.ran, 2);
}

/* ---- leases ---------------------------------------------------------------------------------- */

/* Would catch a lease that nobody renews, also one that is shorter than the beater's sleep. */
WORKER_TEST(heartbeats_keep_a_long_job, 2, true)
{
    static const int64_t leases[] = { 200, 900, 3000 };

    for (size_t i = 0; i < ARRAY_LEN(leases); i++) {
        JobSpec spec = { .type = STR_C("nap"), .lease_ms = leases[i] };
        Job job;

        EXPECT_OK(sl_sleep_ms(300)); /* into the middle of the beater's sleep */
        EXPECT_OK(queue_push(&rig->arena, rig->queues, &spec, NULL, &job));
        job = wait_for(rig, &job.id);
        EXPECT_EQ(job.state, JOB_COMPLETED);
        EXPECT_EQ(job.attempt, 1);
        EXPECT_EQ(job.lost, 0);
    }
}

/* Would catch a run that goes on without its lease, and a late answer that ends the next attempt.
 */
WORKER_TEST(a_lost_lease_stops_the_run, 1, true)
{
    JobId id = push(rig, "gate", "[]");
    Finish taken = { .kind = FINISH_RELEASE, .id = id };
    Job job;

    wait_at_gate(1);
    EXPECT_OK(queue_finish(&rig->arena, rig->queues, &taken, NULL)); /* somebody takes it away */
    while (!world.cancelled && sl_sleep_ms(10) == 0) {}
    wait_at_gate(1); /* the job came back, under another fence */
    EXPECT_EQ(world.cancelled, 1);
    sl_event_set(&world.gate);
    job = wait_for(rig, &id);
    EXPECT_EQ(job.state, JOB_COMPLETED);
    EXPECT_EQ(job.fence, 2);
    EXPECT_EQ(job.n_errors, 0);
}

/* ---- stopping -------------------------------------------------------------------------------- */

/* Would catch jobs that wait for their lease to end, jobs that start after all, and a running job
 * that is not waited for. */
WORKER_TEST(drain_hands_back_what_has_not_begun, 1, true)
{
    JobSpec specs[3] = { { .type = STR_C("gate") },
                         { .type = STR_C("quick") },
                         { .type = STR_C("quick") } };
    JobId first = push(rig, "quick", "[]");
    WorkerStats stats;
    Job jobs[3];

    EXPECT_EQ(wait_for(rig, &first).state, JOB_COMPLETED);
    EXPECT_OK(queue_push_many(&rig->arena, rig->queues, specs, 3, NULL, jobs, NULL));
    wait_at_gate(1);
    worker_drain(rig->worker);
    for (int i = 1; i < 3; i++) {
        Job job = wait_state(rig, &jobs[i].id, JOB_AVAILABLE);

        EXPECT_EQ(job.attempt, 0);
        EXPECT_EQ(job.lost, 0);
    }
    (void) push(rig, "quick", "[]"); /* comes too late */
    EXPECT_OK(sl_sleep_ms(50));
    EXPECT_EQ(world.at_gate, 1);
    EXPECT_EQ(world.ran, 1);
    sl_event_set(&world.gate);
    EXPECT_EQ(wait_for(rig, &jobs[0].id).state, JOB_COMPLETED);
    do {
        worker_stats(rig->worker, &stats);
    } while (stats.released < 2 && sl_sleep_ms(1) == 0);
    EXPECT_EQ(stats.released, 2);
}

/* Would catch a stop that waits for jobs which themselves wait for their type's limit. */
WORKER_TEST(drain_hands_back_what_waits_for_a_limit, 4, false)
{
    const TypeLimit limit = { "gate", 1 };
    TypeLimits *limits = type_limits_new(&limit, 1);
    RunDoors doors = { .type_limits = limits };
    size_t states[JOB_STATE_COUNT] = { 0 };
    WorkerStats stats;
    JobId ids[3];

    stop_worker(rig);
    rig->opts.doors = &doors;
    start_worker(rig);
    for (size_t i = 0; i < 3; i++)
        ids[i] = push(rig, "gate", "[]");
    do {
        worker_stats(rig->worker, &stats);
    } while ((stats.running < 3 || world.at_gate < 1) && sl_sleep_ms(1) == 0);
    worker_drain(rig->worker);
    do {
        worker_stats(rig->worker, &stats);
    } while (stats.released < 2 && sl_sleep_ms(1) == 0);
    EXPECT_EQ(world.at_gate, 1);
    sl_event_set(&world.gate);
    stop_worker(rig);
    for (size_t i = 0; i < 3; i++) {
        Job job = get(rig, &ids[i]);

        states[job.state]++;
        EXPECT_EQ(job.attempt, job.state == JOB_COMPLETED);
    }
    EXPECT_EQ(states[JOB_COMPLETED], 1);
    EXPECT_EQ(states[JOB_AVAILABLE], 2);
    EXPECT_EQ(world.cancelled, 0);
    type_limits_free(limits);
}

/* Would catch a hurry that counts as a failure. */
WORKER_TEST(hurry_hands_back_what_runs, 2, false)
{
    JobId id = push(rig, "gate", "[]");
    Job job;

    wait_at_gate(1);
    worker_hurry(rig->worker);
    job = wait_state(rig, &id, JOB_AVAILABLE);
    EXPECT_EQ(job.attempt, 0);
    EXPECT_EQ(job.n_errors, 0);
    EXPECT_EQ(world.cancelled, 1);
}

/* Would catch a stop that does not hurry when the grace is over. */
WORKER_TEST(the_grace_ends, 2, false)
{
    JobId id = push(rig, "gate", "[]");

    wait_at_gate(1);
    worker_stop(rig->worker, 10);
    EXPECT_EQ(get(rig, &id).state, JOB_AVAILABLE);
    EXPECT_EQ(world.cancelled, 1);
    start_worker(rig);
    wait_at_gate(1);
    sl_event_set(&world.gate);
    EXPECT_EQ(wait_for(rig, &id).attempt, 1);
}

SUSPENDS static int host(void *arg)
{
    Rig *rig = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int r;

    EXPECT_OK(worker_start(&rig->worker, nursery, &rig->opts));
    r = sl_sleep_forever();
    stop_worker(rig);
    return r;
}

/* Would catch a stop that waits for fibers that were cancelled from above, or leaks what they held.
 */
WORKER_TEST(a_cancelled_worker_stops_as_well, 1, true)
{
    sl_nursery *nursery = sl_nursery_open();
    JobId id;

    stop_worker(rig);
    (void) sl_spawn(nursery, host, rig);
    id = push(rig, "gate", "[]");
    wait_at_gate(1);
    (void) push(rig, "quick", "[]");
    sl_nursery_cancel(nursery);
    sl_nursery_close(nursery);
    EXPECT(!rig->worker);
    EXPECT_EQ(world.cancelled, 1);
    EXPECT_EQ(get(rig, &id).state, JOB_ACTIVE); /* until its lease ends */
}

/* ---- a store that fails ---------------------------------------------------------------------- */

/* Would catch answers that are dropped when the store fails, or given twice when it comes back. */
WORKER_TEST(answers_wait_for_the_store, 2, true)
{
    JobId id = push(rig, "gate", "[]"), next;
    WorkerStats stats;
    size_t commits;

    wait_at_gate(1);
    world.fault = MEMORY_FAILS;
    commits = world.commits;
    sl_event_set(&world.gate);
    while (world.commits < commits + 3 && sl_sleep_ms(50) == 0) {}
    worker_stats(rig->worker, &stats);
    EXPECT_EQ(stats.completed, 0);
    world.fault = MEMORY_OK;
    EXPECT_EQ(wait_for(rig, &id).state, JOB_COMPLETED);
    next = push(rig, "quick", "[]");
    EXPECT_EQ(wait_for(rig, &next).state, JOB_COMPLETED);
    do {
        worker_stats(rig->worker, &stats);
    } while (stats.completed + stats.refused < 2 && sl_sleep_ms(1) == 0);
    EXPECT_EQ(stats.completed, 2);
}

/* Would catch a job that is stuck, or done twice with effect, when no lease could be renewed for a
 * while. */
WORKER_TEST(an_outage_longer_than_the_lease, 1, true)
{
    JobSpec spec = { .type = STR_C("gate"), .lease_ms = 300 };
    WorkerStats stats;
    Job job = { 0 };

    EXPECT_OK(queue_push(&rig->arena, rig->queues, &spec, NULL, &job));
    wait_at_gate(1);
    world.fault = MEMORY_FAILS;
    EXPECT_OK(sl_sleep_ms(3000));
    world.fault = MEMORY_OK;
    EXPECT_OK(sl_sleep_ms(3000));
    wait_at_gate(1);
    sl_event_set(&world.gate);
    job = wait_for(rig, &job.id);
    EXPECT_EQ(job.state, JOB_COMPLETED);
    EXPECT(job.lost <= 1);
    EXPECT_EQ(job.attempt, 1);
    EXPECT_EQ(job.fence, job.lost + 1);
    EXPECT_EQ(world.cancelled, job.lost); /* who lost the lease was told to stop */
    do {
        worker_stats(rig->worker, &stats);
    } while (stats.completed < 1 && sl_sleep_ms(1) == 0);
    EXPECT_EQ(stats.completed, 1);
}

/* Would catch a loop without a pause while the store fails. */
WORKER_TEST(a_failing_store_is_not_hammered, 2, true)
{
    size_t commits;

    (void) push(rig, "gate", "[]");
    wait_at_gate(1);
    world.fault = MEMORY_FAILS;
    sl_event_set(&world.gate);
    commits = world.commits;
    EXPECT_OK(sl_sleep_ms(10000));
    EXPECT(world.commits > commits);
    EXPECT(world.commits < commits + 400);
    world.fault = MEMORY_OK;
}

TEST_MAIN()
