/*
 * The queues on every store: what a job lives through, from push to its end.
 *
 * Runs on the loop of this machine and on the simulated one. Where time must pass it is virtual, or
 * the durations are a few milliseconds and nothing depends on how exactly they are kept.
 */
#include "queue/queue.h"

#include "base/limits.h"
#include "base/test.h"
#include "gen/stores.h"
#include "rt/sim.h"
#include "store/redis_server_test.h"

#include <sluice/rt.h>

#include <errno.h>

typedef void (*Body)(Queues *queues, Arena *arena);

typedef struct Setup {
    Body body;
    char store[200];
} Setup;

static int run_body(void *arg)
{
    const Setup *setup = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "test");
    AUTO(arena_deinit) Arena arena = { 0 };
    StoreRetention keep = { .completed_max = 50, .cancelled_max = 50, .discarded_max = 50 };
    QueueOpts opts = {
        .store = setup->store, .max_bytes = 32 << 20, .lease_ms = 60000, .retention = &keep
    };
    Queues *queues;
    int r = queue_start(nursery, &opts, &queues);

    EXPECT_OK(r);
    if (r < 0)
        return 0;
    arena_init(&arena, 0);
    setup->body(queues, &arena);
    EXPECT_OK(queue_check(queues, NULL));
    queue_stop(queues);
    return 0;
}

/* On this machine's loop and on simulated ones. */
static void on_local(const StoreDriver *driver, Body body)
{
    static unsigned n_stores;

    for (int loop = 0; loop < 3; loop++) {
        Setup setup = { .body = body };

        snprintf(setup.store, sizeof(setup.store), "%s:q%u", driver->name, n_stores++);
        if (loop == 0)
            EXPECT_OK(sl_run(run_body, &setup, .stall_ms = -1));
        else
            EXPECT_OK(sl_run(run_body, &setup, .loop = SL_LOOP_SIM, .seed = (uint64_t) loop));
        if (test_has_failed()) {
            fprintf(stderr, "    in store %s, loop %d\n", setup.store, loop);
            return;
        }
    }
}

/* On a server of our own; nothing where there is none. */
static void on_redis(Body body)
{
    static RedisServer server;
    static bool was_tried;
    Setup setup = { .body = body };

    if (!was_tried && !redis_server_start(&server, "redis", NULL))
        fprintf(stderr, "    " TEST_NO_REDIS ": the store redis is not tested\n");
    was_tried = true;
    if (server.pid == 0)
        return;
    redis_server_url(&server, 1, setup.store, sizeof(setup.store));
    EXPECT_OK(sl_run(run_body, &setup, .stall_ms = -1));
    if (test_has_failed())
        fprintf(stderr, "    in store %s\n", setup.store);
}

static void on_every_store(Body body)
{
    for (size_t i = 0; i < stores_count; i++) {
        if (stores_table[i]->remote)
            on_redis(body);
        else
            on_local(stores_table[i], body);
    }
}

#define QUEUE_TEST(name)                                   \
    static void name##_body(Queues *queues, Arena *arena); \
    TEST(name)                                             \
    {                                                      \
        on_every_store(name##_body);                       \
    }                                                      \
    static void name##_body(Queues *queues UNUSED, Arena *arena UNUSED)

/* ---- helpers --------------------------------------------------------------------------------- */

static Job push(Queues *queues, Arena *arena, const char *queue)
{
    JobSpec spec = { .type = STR_C("test.a"),
                     .queue = str_from_c(queue),
                     .args = STR_C("[1.0, {\"b\":1,\"a\":2}]") };
    Job job = { 0 };

    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    return job;
}

static size_t lease(Queues *queues, Arena *arena, const char *queue, size_t max, int64_t wait_ms,
                    Job *jobs)
{
    Str name = str_from_c(queue);
    LeaseOpts opts = {
        .queues = &name, .n_queues = 1, .max = max, .wait_ms = wait_ms, .worker = STR_C("w1")
    };
    size_t n = 0;
    int r = queue_lease(arena, queues, &opts, jobs, &n);

    EXPECT(r == 0 || r == QUEUE_EMPTY);
    return r == 0 ? n : 0;
}

static JobState state_of(Queues *queues, Arena *arena, const JobId *id)
{
    Job job = { 0 };

    EXPECT_OK(queue_get(arena, queues, id, &job));
    return job.state;
}

static int finish(Queues *queues, Arena *arena, FinishKind kind, const Job *job, Finish *ret_finish)
{
    Finish done = { .kind = kind,
                    .id = job->id,
                    .fence = job->fence,
                    .result = STR_C("{\"ok\": 1.0}"),
                    .error = { .type = STR_C("Boom"),
                               .code = STR_C("handler_error"),
                               .message = STR_C("it broke") } };
    int r = queue_finish(arena, queues, &done, NULL);

    if (ret_finish)
        *ret_finish = done;
    return r;
}

/* Wait until the job is in STATE: the ticker has to do it, however long it takes. */
static void await(Queues *queues, Arena *arena, const JobId *id, JobState state)
{
    while (state_of(queues, arena, id) != state && !test_has_failed())
        EXPECT_OK(sl_sleep_ms(2));
}

/* ---- the plain life -------------------------------------------------------------------------- */

QUEUE_TEST(a_job_is_pushed_leased_completed_and_read)
{
    Job jobs[2], job = push(queues, arena, "a"), got;

    EXPECT_EQ(job.state, JOB_AVAILABLE);
    EXPECT_EQ(job.attempt, 0);
    EXPECT_EQ(job.max_attempts, 3);
    EXPECT_STR(job.args, STR_C("[1.0, {\"b\":1,\"a\":2}]"));
    EXPECT(job.created_ms > 0 && job.enqueued_ms == job.created_ms && job.started_ms == 0);
    EXPECT_EQ(lease(queues, arena, "a", 2, 0, jobs), 1);
    EXPECT(job_id_eq(&jobs[0].id, &job.id));
    EXPECT_EQ(jobs[0].attempt, 1);
    EXPECT_EQ(jobs[0].state, JOB_ACTIVE);
    EXPECT_OK(queue_get(arena, queues, &job.id, &got));
    EXPECT_STR(got.worker, STR_C("w1"));
    EXPECT_OK(finish(queues, arena, FINISH_COMPLETE, &jobs[0], NULL));
    EXPECT_OK(queue_get(arena, queues, &job.id, &got));
    EXPECT_EQ(got.state, JOB_COMPLETED);
    EXPECT_STR(got.result, STR_C("{\"ok\": 1.0}"));
    EXPECT(got.finished_ms >= got.started_ms && got.started_ms > 0);
    EXPECT_EQ(finish(queues, arena, FINISH_COMPLETE, &jobs[0], NULL), -ERR_CONFLICT);
    EXPECT_EQ(finish(queues, arena, FINISH_FAIL, &jobs[0], NULL), -ERR_CONFLICT);
    EXPECT_EQ(queue_cancel(arena, queues, &job.id, NULL, NULL), -ERR_CONFLICT);
}

QUEUE_TEST(what_a_spec_says_comes_back)
{
    static const Str patterns[] = { STR("Bad"), STR("auth.*") };
    JobRetry retry = { .max_attempts = 7,
                       .backoff = JOB_BACKOFF_LINEAR,
                       .coefficient = 1.5,
                       .initial_ms = 250,
                       .max_ms = 9000,
                       .on_exhaustion = JOB_EXHAUSTION_DEAD_LETTER,
                       .non_retryable = patterns,
                       .n_non_retryable = 2 };
    JobSpec spec = { .type = STR_C("x.y"),
                     .meta = STR_C("{\"t\":[1]}"),
                     .extra = STR_C("\"tags\":[\"a\"]"),
                     .priority = -100,
                     .timeout_ms = 5000,
                     .lease_ms = 777,
                     .expires_at_ms = INT64_C(4000000000000),
                     .directive = JOB_DIRECTIVE_TERMINATE,
                     .retry = &retry };
    Job job, got;

    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    EXPECT_OK(queue_get(arena, queues, &job.id, &got));
    EXPECT_STR(got.queue, STR_C("default"));
    EXPECT_STR(got.args, STR_C("[]"));
    EXPECT_STR(got.meta, spec.meta);
    EXPECT_STR(got.extra, spec.extra);
    EXPECT_EQ(got.priority, -100);
    EXPECT_EQ(got.timeout_ms, 5000);
    EXPECT_EQ(got.lease_ms, 777);
    EXPECT_EQ(got.expires_at_ms, spec.expires_at_ms);
    EXPECT_EQ(got.directive, JOB_DIRECTIVE_TERMINATE);
    EXPECT_EQ(got.retry.max_attempts, 7);
    EXPECT_EQ(got.max_attempts, 7);
    EXPECT_EQ(got.retry.backoff, JOB_BACKOFF_LINEAR);
    EXPECT(got.retry.coefficient == 1.5 && !got.retry.has_jitter);
    EXPECT_EQ(got.retry.initial_ms, 250);
    EXPECT_EQ(got.retry.max_ms, 9000);
    EXPECT_EQ(got.retry.on_exhaustion, JOB_EXHAUSTION_DEAD_LETTER);
    EXPECT_EQ(got.retry.n_non_retryable, 2);
    EXPECT_STR(got.retry.non_retryable[1], patterns[1]);
}

QUEUE_TEST(what_is_out_of_bounds_is_refused)
{
    JobRetry retry = JOB_RETRY_DEFAULT;
    JobSpec spec = { .type = STR_C("t"), .priority = 101 };

    EXPECT_ERR(queue_push(arena, queues, &spec, NULL, NULL), -ERR_INVALID, "priority");
    spec = (JobSpec){ .type = { 0 } };
    EXPECT_ERR(queue_push(arena, queues, &spec, NULL, NULL), -ERR_INVALID, "type");
    retry.max_ms = 1;
    spec = (JobSpec){ .type = STR_C("t"), .retry = &retry };
    EXPECT_ERR(queue_push(arena, queues, &spec, NULL, NULL), -ERR_INVALID, "retry");
    spec = (JobSpec){ .type = STR_C("t"), .run_at_ms = -5 };
    EXPECT_ERR(queue_push(arena, queues, &spec, NULL, NULL), -ERR_INVALID, "times");
    char *args = mem_zalloc(5 << 20);
    spec = (JobSpec){ .type = STR_C("t"), .args = str_from(args, 5 << 20) };
    EXPECT_ERR(queue_push(arena, queues, &spec, NULL, NULL), -ERR_TOO_LARGE, "bytes");
    JobSpec two[] = { { .type = STR_C("t") }, { .type = STR_C("t"), .priority = -101 } };
    EXPECT_ERR(queue_push_many(arena, queues, two, 2, NULL, NULL, NULL), -ERR_INVALID, "jobs[1]");
    mem_free(args);
}

/* ---- failures -------------------------------------------------------------------------------- */

QUEUE_TEST(a_failing_job_is_retried_and_gives_up)
{
    JobRetry retry = { .max_attempts = 2,
                       .backoff = JOB_BACKOFF_CONSTANT,
                       .coefficient = 1,
                       .initial_ms = 5,
                       .max_ms = 5,
                       .on_exhaustion = JOB_EXHAUSTION_DEAD_LETTER };
    JobSpec spec = { .type = STR_C("t"), .queue = STR_C("a"), .retry = &retry };
    Job job, jobs[1], got;
    Finish done;

    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
    EXPECT_OK(finish(queues, arena, FINISH_FAIL, jobs, &done));
    EXPECT_EQ(done.state, JOB_RETRYABLE);
    EXPECT_EQ(done.attempt, 1);
    EXPECT_EQ(done.max_attempts, 2);
    EXPECT_EQ(done.retry_delay_ms, 5);
    EXPECT_EQ(lease(queues, arena, "a", 1, -1, jobs), 1); /* waits for the ticker */
    EXPECT_EQ(jobs[0].attempt, 2);
    EXPECT_EQ(jobs[0].retry_delay_ms, 5);
    EXPECT_EQ(jobs[0].n_errors, 1);
    EXPECT_OK(finish(queues, arena, FINISH_FAIL, jobs, &done));
    EXPECT_EQ(done.state, JOB_DISCARDED);
    EXPECT_OK(queue_get(arena, queues, &job.id, &got));
    EXPECT(got.is_dead_letter);
    EXPECT_EQ(got.reason, JOB_REASON_EXHAUSTED);
    EXPECT_EQ(got.n_errors, 2);
    EXPECT_STR(got.errors[1].message, STR_C("it broke"));
    EXPECT_EQ(got.errors[0].attempt, 1);
    EXPECT_EQ(got.errors[1].attempt, 2);
    EXPECT_OK(queue_retry(arena, queues, &job.id, true, &got));
    EXPECT_EQ(got.state, JOB_AVAILABLE);
    EXPECT_EQ(got.attempt, 0);
    EXPECT_EQ(got.n_errors, 2);
    EXPECT_ERR(queue_retry(arena, queues, &job.id, true, NULL), -ERR_NOT_FOUND, "no such");
    EXPECT_ERR(queue_delete(queues, &job.id, false), -ERR_CONFLICT, "available");
}

QUEUE_TEST(the_history_of_errors_is_bounded)
{
    JobRetry retry = { .max_attempts = 100,
                       .backoff = JOB_BACKOFF_NONE,
                       .coefficient = 1,
                       .initial_ms = 1,
                       .max_ms = 1 };
    JobSpec spec = { .type = STR_C("t"), .queue = STR_C("a"), .retry = &retry };
    Job job, jobs[1], got;

    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    for (int i = 0; i < LIMIT_JOB_ERRORS + 5; i++) {
        EXPECT_EQ(lease(queues, arena, "a", 1, -1, jobs), 1);
        EXPECT_OK(finish(queues, arena, FINISH_FAIL, jobs, NULL));
    }
    EXPECT_OK(queue_get(arena, queues, &job.id, &got));
    EXPECT_EQ(got.n_errors, LIMIT_JOB_ERRORS);
    EXPECT_EQ(got.errors[0].attempt, 6);
    EXPECT_EQ(got.errors[LIMIT_JOB_ERRORS - 1].attempt, LIMIT_JOB_ERRORS + 5);
}

QUEUE_TEST(a_failure_without_the_job_at_hand_reads_it)
{
    Job job = push(queues, arena, "a"), jobs[1];
    Finish done = { .kind = FINISH_FAIL, .id = job.id, .error = { .message = STR_C("m") } };

    EXPECT_ERR(queue_finish(arena, queues, &done, NULL), -ERR_CONFLICT, "available");
    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
    EXPECT_OK(queue_finish(arena, queues, &done, NULL));
    EXPECT_EQ(done.state, JOB_RETRYABLE);
    done.id.bytes[15] ^= 1;
    EXPECT_ERR(queue_finish(arena, queues, &done, NULL), -ERR_NOT_FOUND, "no such");
}

/* ---- leases ---------------------------------------------------------------------------------- */

QUEUE_TEST(lost_leases_give_the_job_back_and_are_counted_apart)
{
    JobSpec spec = { .type = STR_C("test.a"), .queue = STR_C("a"), .lease_ms = 300 };
    Job job, jobs[1], got;
    uint32_t fence = 0;

    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    for (uint32_t i = 0; i < LIMIT_JOB_LOSSES; i++) {
        EXPECT_EQ(lease(queues, arena, "a", 1, -1, jobs), 1);
        EXPECT_EQ(jobs[0].attempt, 1);
        EXPECT_EQ(jobs[0].lost, i);
        EXPECT(jobs[0].fence > fence);
        fence = jobs[0].fence;
        if (i + 1 < LIMIT_JOB_LOSSES)
            await(queues, arena, &job.id, JOB_AVAILABLE);
        EXPECT(i + 1 == LIMIT_JOB_LOSSES ||
               finish(queues, arena, FINISH_COMPLETE, jobs, NULL) == -ERR_CONFLICT);
    }
    await(queues, arena, &job.id, JOB_DISCARDED);
    EXPECT_OK(queue_get(arena, queues, &job.id, &got));
    EXPECT(got.is_dead_letter);
    EXPECT_EQ(got.reason, JOB_REASON_WORKER_LOST);
    EXPECT_EQ(got.lost, LIMIT_JOB_LOSSES);
    EXPECT_EQ(got.n_errors, 1);
    EXPECT(str_contains(got.errors[0].message, STR_C("w1")));
}

QUEUE_TEST(a_heartbeat_keeps_a_lease_and_tells_of_a_cancellation)
{
    Job job = push(queues, arena, "a"), jobs[1];
    Beat beat;

    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
    beat = (Beat){ .id = job.id, .fence = jobs[0].fence };
    for (int i = 0; i < 10; i++) {
        EXPECT_OK(sl_sleep_ms(5));
        EXPECT_OK(queue_heartbeat(queues, STR_C("w1"), 60000, &beat, 1));
        EXPECT(beat.is_extended);
    }
    EXPECT_OK(queue_heartbeat(queues, STR_C("w2"), 0, &beat, 1));
    EXPECT(!beat.is_extended && beat.is_lost);
    EXPECT_OK(queue_cancel(arena, queues, &job.id, NULL, NULL));
    EXPECT_OK(queue_heartbeat(queues, STR_C("w1"), 0, &beat, 1));
    EXPECT(!beat.is_extended && beat.is_cancelled && !beat.is_lost);
    EXPECT_EQ(finish(queues, arena, FINISH_COMPLETE, jobs, NULL), -ERR_CONFLICT);
    beat.id.bytes[15] ^= 1;
    EXPECT_OK(queue_heartbeat(queues, STR_C("w1"), 0, &beat, 1));
    EXPECT(beat.is_lost);
}

QUEUE_TEST(an_attempt_over_its_timeout_fails_whatever_its_heartbeats_say)
{
    JobRetry retry = { .max_attempts = 1, .coefficient = 1, .initial_ms = 1, .max_ms = 1 };
    JobSpec spec = { .type = STR_C("t"),
                     .queue = STR_C("a"),
                     .timeout_ms = 20,
                     .lease_ms = 10000,
                     .retry = &retry };
    Job job, jobs[1], got;
    Beat beat;

    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
    beat = (Beat){ .id = job.id };
    EXPECT_OK(queue_heartbeat(queues, STR_C("w1"), 60000, &beat, 1));
    await(queues, arena, &job.id, JOB_DISCARDED);
    EXPECT_OK(queue_get(arena, queues, &job.id, &got));
    EXPECT_EQ(got.lost, 0);
    EXPECT_EQ(got.attempt, 1);
    EXPECT_STR(got.errors[0].code, STR_C("timeout"));
}

QUEUE_TEST(a_released_job_is_there_at_once_and_not_counted)
{
    Job job = push(queues, arena, "a"), jobs[1];
    Finish done;

    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
    EXPECT_OK(finish(queues, arena, FINISH_RELEASE, jobs, &done));
    EXPECT_EQ(done.state, JOB_AVAILABLE);
    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
    EXPECT_EQ(jobs[0].attempt, 1);
    EXPECT(job_id_eq(&jobs[0].id, &job.id));
}

/* ---- waiting --------------------------------------------------------------------------------- */

typedef struct Waiter {
    Queues *queues;
    const char *queue;
    size_t n, max;
    int order; /* in which it was served */
    int *served;
    int r;
} Waiter;

static int wait_for_jobs(void *arg)
{
    Waiter *waiter = arg;
    AUTO(arena_deinit) Arena arena = { 0 };
    Job jobs[8];
    Str name = str_from_c(waiter->queue);
    LeaseOpts opts = { .queues = &name, .n_queues = 1, .max = waiter->max, .wait_ms = -1 };

    arena_init(&arena, 0);
    waiter->r = queue_lease(&arena, waiter->queues, &opts, jobs, &waiter->n);
    waiter->order = (*waiter->served)++;
    return 0;
}

QUEUE_TEST(one_job_wakes_one_waiter_in_the_order_they_came)
{
    sl_nursery *nursery = sl_nursery_open(.name = "waiters", .keep_going = true);
    Waiter waiters[5];
    int served = 0;

    for (int i = 0; i < 5; i++) {
        StoreStats stats;

        waiters[i] =
            (Waiter){ .queues = queues, .queue = "a", .max = 3, .served = &served, .r = -1 };
        sl_spawn(nursery, wait_for_jobs, &waiters[i], .name = "waiter");
        do { /* until it is parked */
            EXPECT_OK(sl_sleep_ms(1));
            queue_store_stats(queues, &stats);
        } while (stats.parked < (size_t) i + 1);
    }
    for (int i = 0; i < 3; i++) {
        push(queues, arena, "a");
        while (served <= i)
            EXPECT_OK(sl_sleep_ms(1));
    }
    EXPECT_EQ(served, 3);
    sl_nursery_cancel(nursery);
    sl_nursery_close(nursery);
    for (int i = 0; i < 5; i++) {
        EXPECT_EQ(waiters[i].r, i < 3 ? 0 : -ECANCELED);
        if (i < 3) {
            EXPECT_EQ(waiters[i].n, 1);
            EXPECT_EQ(waiters[i].order, i);
        }
    }
    Job jobs[4]; /* nothing went to those who left */
    push(queues, arena, "a");
    EXPECT_EQ(lease(queues, arena, "a", 4, 0, jobs), 1);
}

QUEUE_TEST(a_wait_for_jobs_is_over_when_its_time_is)
{
    Job jobs[1];
    int64_t before = sl_now_ns(); /* as the scope reads it */

    EXPECT_EQ(lease(queues, arena, "a", 1, 10, jobs), 0);
    EXPECT(sl_clock_ns() - before >= 9 * NS_PER_MS);
    push(queues, arena, "a");
    EXPECT_EQ(lease(queues, arena, "a", 1, 10, jobs), 1);
}

static int complete_soon(void *arg)
{
    Waiter *waiter = arg;
    AUTO(arena_deinit) Arena arena = { 0 };
    Job jobs[1];

    arena_init(&arena, 0);
    EXPECT_OK(sl_sleep_ms(5));
    EXPECT_EQ(lease(waiter->queues, &arena, "a", 1, -1, jobs), 1);
    EXPECT_OK(finish(waiter->queues, &arena, FINISH_COMPLETE, jobs, NULL));
    return 0;
}

QUEUE_TEST(a_wait_for_a_job_ends_with_it)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "worker");
    Waiter waiter = { .queues = queues };
    Job job = push(queues, arena, "a"), got;

    EXPECT_EQ(queue_wait_job(arena, queues, &job.id, 0, &got), QUEUE_PENDING);
    EXPECT_EQ(queue_wait_job(arena, queues, &job.id, 3, &got), QUEUE_PENDING);
    EXPECT_EQ(got.state, JOB_AVAILABLE);
    sl_spawn(nursery, complete_soon, &waiter, .name = "worker");
    EXPECT_OK(queue_wait_job(arena, queues, &job.id, -1, &got));
    EXPECT_EQ(got.state, JOB_COMPLETED);
    EXPECT_OK(queue_wait_job(arena, queues, &job.id, -1, &got));
    job.id.bytes[15] ^= 1;
    EXPECT_ERR(queue_wait_job(arena, queues, &job.id, 5, &got), -ERR_NOT_FOUND, "no such");
    EXPECT_OK(sl_nursery_join(nursery));
}

/* ---- time ------------------------------------------------------------------------------------ */

QUEUE_TEST(a_delayed_job_comes_at_its_time_and_wakes_a_waiter)
{
    JobSpec spec = { .type = STR_C("t"), .queue = STR_C("a") };
    Job job, jobs[1];
    size_t n;

    EXPECT_OK(sl_sleep_ms(20)); /* the ticker sleeps, and not for so short a time */
    spec.run_at_ms = sl_wall_ms() + 30;
    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    EXPECT_EQ(job.state, JOB_SCHEDULED);
    EXPECT_EQ(job.enqueued_ms, 0);
    n = lease(queues, arena, "a", 1, 0, jobs);
    EXPECT(n == 0 || sl_wall_ms() >= spec.run_at_ms); /* a slow disk is late itself */
    if (n == 0)
        EXPECT_EQ(lease(queues, arena, "a", 1, -1, jobs), 1);
    EXPECT(jobs[0].started_ms >= spec.run_at_ms);
    EXPECT_EQ(jobs[0].run_at_ms, spec.run_at_ms);
    EXPECT(jobs[0].enqueued_ms >= spec.run_at_ms);
    if (sl_sim_is_on()) /* the ticker was woken from a longer sleep */
        EXPECT(jobs[0].enqueued_ms <= spec.run_at_ms + 5);
    spec.run_at_ms = 1;
    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    EXPECT_EQ(job.state, JOB_AVAILABLE);
}

QUEUE_TEST(pending_jobs_wait_to_be_activated)
{
    JobSpec spec = { .type = STR_C("t"), .queue = STR_C("a"), .is_pending = true };
    Job job, jobs[1];

    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    EXPECT_EQ(job.state, JOB_PENDING);
    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 0);
    EXPECT_OK(queue_activate(arena, queues, &job.id, &job));
    EXPECT_EQ(job.state, JOB_AVAILABLE);
    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
    EXPECT_ERR(queue_activate(arena, queues, &job.id, NULL), -ERR_CONFLICT, "active");
}

QUEUE_TEST(every_live_state_can_be_cancelled)
{
    JobSpec later = { .type = STR_C("t"),
                      .queue = STR_C("a"),
                      .run_at_ms = sl_wall_ms() + 3600000 };
    JobSpec pending = { .type = STR_C("t"), .queue = STR_C("a"), .is_pending = true };
    Job jobs[5], leased[1], got;
    JobState was;

    EXPECT_OK(queue_push(arena, queues, &later, NULL, &jobs[0]));
    EXPECT_OK(queue_push(arena, queues, &pending, NULL, &jobs[1]));
    jobs[2] = push(queues, arena, "b");
    EXPECT_EQ(lease(queues, arena, "b", 1, 0, leased), 1);
    EXPECT_OK(finish(queues, arena, FINISH_FAIL, leased, NULL));
    jobs[3] = push(queues, arena, "a");
    EXPECT_EQ(lease(queues, arena, "a", 1, 0, leased), 1);
    jobs[4] = push(queues, arena, "a");
    const JobState want[] = { JOB_SCHEDULED, JOB_PENDING, JOB_RETRYABLE, JOB_ACTIVE,
                              JOB_AVAILABLE };
    for (int i = 0; i < 5; i++) {
        EXPECT_OK(queue_cancel(arena, queues, &jobs[i].id, &got, &was));
        EXPECT_EQ(was, want[i]);
        EXPECT_EQ(got.state, JOB_CANCELLED);
        EXPECT(got.finished_ms > 0);
        EXPECT_ERR(queue_cancel(arena, queues, &jobs[i].id, NULL, NULL), -ERR_CONFLICT,
                   "cancelled");
    }
}

/* ---- many at once ---------------------------------------------------------------------------- */

QUEUE_TEST(many_are_finished_and_leased_in_one_call)
{
    enum { N = 200 };
    JobSpec *specs = arena_zalloc(arena, N * sizeof(JobSpec));
    Job *jobs = arena_zalloc(arena, 64 * sizeof(Job));
    Finish *finishes = arena_zalloc(arena, 64 * sizeof(Finish));
    Str name = STR_C("a");
    LeaseOpts opts = { .queues = &name, .n_queues = 1, .max = 64, .lease_ms = 60000 };
    size_t n, done = 0;
    StoreQueueInfo info;

    for (int i = 0; i < N; i++)
        specs[i] = (JobSpec){ .type = STR_C("t"), .queue = name };
    EXPECT_OK(queue_push_many(arena, queues, specs, N, NULL, NULL, NULL));
    EXPECT_OK(queue_lease(arena, queues, &opts, jobs, &n));
    while (n > 0) {
        size_t had = n;

        for (size_t i = 0; i < n; i++)
            finishes[i] =
                (Finish){ .kind = FINISH_COMPLETE, .id = jobs[i].id, .fence = jobs[i].fence };
        EXPECT_OK(queue_finish_and_lease(arena, queues, finishes, had, &opts, jobs, &n));
        for (size_t i = 0; i < had; i++)
            EXPECT_EQ(finishes[i].r, 0);
        done += had;
    }
    EXPECT_EQ(done, N);
    EXPECT_OK(queue_stats(queues, name, &info));
    EXPECT_EQ(info.counts[JOB_ACTIVE], 0);
    EXPECT_EQ(info.pushed, N);
}

QUEUE_TEST(retention_keeps_what_it_says)
{
    StoreQueueInfo info;
    Job jobs[1];

    for (int i = 0; i < 80; i++) {
        push(queues, arena, "a");
        EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
        EXPECT_OK(finish(queues, arena, FINISH_COMPLETE, jobs, NULL));
    }
    do {
        EXPECT_OK(sl_sleep_ms(20));
        EXPECT_OK(queue_stats(queues, STR_C("a"), &info));
    } while (info.counts[JOB_COMPLETED] > 50 && !test_has_failed());
    EXPECT_EQ(info.counts[JOB_COMPLETED], 50);
}

QUEUE_TEST(an_idempotency_key_gives_the_same_job)
{
    JobSpec spec = { .type = STR_C("t"), .queue = STR_C("a") };
    PushOpts opts = { .key = STR_C("order-77"), .print = 1 };
    Job first, second;

    EXPECT_OK(queue_push(arena, queues, &spec, &opts, &first));
    EXPECT_EQ(queue_push(arena, queues, &spec, &opts, &second), QUEUE_EXISTS);
    EXPECT(job_id_eq(&first.id, &second.id));
    opts.print = 2;
    EXPECT_ERR(queue_push(arena, queues, &spec, &opts, &second), -ERR_DUPLICATE, "another request");
}

QUEUE_TEST(pages_have_cursors_that_are_text)
{
    ListOpts opts = { .state = JOB_AVAILABLE, .max = 4 };
    char cursor[QUEUE_CURSOR_BYTES];
    JobPage page;
    size_t total = 0;

    for (int i = 0; i < 10; i++)
        push(queues, arena, "a");
    do {
        EXPECT_OK(queue_list(arena, queues, &opts, &page));
        EXPECT_EQ(page.total, 10);
        total += page.n;
        memcpy(cursor, page.next_cursor, sizeof(cursor));
        opts.cursor = str_from_c(cursor);
    } while (page.has_more);
    EXPECT_EQ(total, 10);
    opts.cursor = STR_C("xyz");
    EXPECT_ERR(queue_list(arena, queues, &opts, &page), -ERR_INVALID, "cursor");
}

/* ---- events ---------------------------------------------------------------------------------- */

typedef struct Heard {
    char text[400];
} Heard;

static void hear(void *ctx, const StoreEvent *events, size_t n)
{
    Heard *heard = ctx;

    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(heard->text);
        snprintf(heard->text + len, sizeof(heard->text) - len, "%s%.*s/%.*s ",
                 events[i].is_new ? "+" : "", (int) events[i].queue.len, events[i].queue.data,
                 (int) strlen(job_state_name(events[i].to)), job_state_name(events[i].to));
        EXPECT_STR(events[i].type, STR_C("test.a"));
    }
}

QUEUE_TEST(listeners_hear_of_every_move_in_order)
{
    static const char want[] = "+a/available a/active a/available a/cancelled ";
    Heard heard = { "" };
    QueueListener listener = { .fn = hear, .ctx = &heard };
    Job job, jobs[1];

    queue_listen(queues, &listener);
    while (queue_is_shared(queues) && !heard.text[0]) { /* it takes effect a little after */
        push(queues, arena, "probe");
        EXPECT_OK(sl_sleep_ms(2));
    }
    heard.text[0] = '\0';
    job = push(queues, arena, "a");
    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
    EXPECT_OK(finish(queues, arena, FINISH_RELEASE, jobs, NULL));
    EXPECT_OK(queue_cancel(arena, queues, &job.id, NULL, NULL));
    for (int i = 0; i < 1000 && strlen(heard.text) < strlen(want); i++)
        EXPECT_OK(sl_sleep_ms(2));
    queue_unlisten(queues, &listener);
    EXPECT_C(heard.text, want);
}

/* ---- memory that runs out -------------------------------------------------------------------- */

static void use_everything(Queues *queues)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JobSpec spec = { .type = STR_C("t"), .queue = STR_C("a"), .args = STR_C("[1]") };
    PushOpts keyed = { .key = STR_C("k"), .print = 1 };
    Str name = STR_C("a");
    LeaseOpts opts = { .queues = &name, .n_queues = 1, .max = 4, .worker = STR_C("w") };
    ListOpts list = { .state = JOB_RETRYABLE, .max = 10 };
    Finish finish = { .kind = FINISH_FAIL, .error = { .message = STR_C("m") } };
    StoreQueueInfo *infos;
    JobPage page;
    Job jobs[4];
    size_t n = 0;

    arena_init(&arena, 0);
    (void) queue_push(&arena, queues, &spec, &keyed, &jobs[0]);
    if (queue_push(&arena, queues, &spec, NULL, &jobs[0]) < 0)
        return;
    (void) queue_lease(&arena, queues, &opts, jobs, &n);
    finish.id = jobs[0].id;
    (void) queue_finish(&arena, queues, &finish, &jobs[0]);
    (void) queue_list(&arena, queues, &list, &page);
    (void) queue_list_queues(&arena, queues, (Str){ 0 }, 5, &infos, &n);
    (void) queue_wait_job(&arena, queues, &finish.id, 1, &jobs[0]);
}

static void faults_body(Queues *queues, Arena *arena)
{
    (void) arena;
    FOR_EACH_FAULT {
        use_everything(queues);
    }
}

/* Each call ends with an error or with what it promises; nothing leaks, nothing is half done. */
TEST(memory_that_runs_out_ends_a_call_and_nothing_else)
{
    Setup setup = { .body = faults_body, .store = "memory:" };

    EXPECT_OK(sl_run(run_body, &setup, .loop = SL_LOOP_SIM));
}

/* ---- clocks (simulated) ---------------------------------------------------------------------- */

static void step_body(Queues *queues, Arena *arena)
{
    JobRetry retry = { .max_attempts = 2, .coefficient = 1, .initial_ms = 1000, .max_ms = 1000 };
    JobSpec spec = { .type = STR_C("t"), .queue = STR_C("a"), .retry = &retry, .lease_ms = 60000 };
    JobSpec later = { .type = STR_C("t"),
                      .queue = STR_C("b"),
                      .run_at_ms = sl_wall_ms() + 3600000 };
    Job job, held, jobs[1], delayed;
    int64_t begun;

    EXPECT_OK(queue_push(arena, queues, &later, NULL, &delayed));
    held = push(queues, arena, "c");
    Str c = STR_C("c");
    LeaseOpts opts = { .queues = &c, .n_queues = 1, .lease_ms = 60000 };
    size_t n;
    EXPECT_OK(queue_lease(arena, queues, &opts, jobs, &n));
    EXPECT_OK(queue_push(arena, queues, &spec, NULL, &job));
    EXPECT_EQ(lease(queues, arena, "a", 1, 0, jobs), 1);
    EXPECT_OK(finish(queues, arena, FINISH_FAIL, jobs, NULL));
    sl_sim_step_wall(-7200000); /* two hours back: the retry still comes in a second */
    begun = sl_clock_ns();
    EXPECT_EQ(lease(queues, arena, "a", 1, -1, jobs), 1);
    EXPECT(sl_clock_ns() - begun < 3 * NS_PER_S);
    EXPECT_EQ(state_of(queues, arena, &delayed.id), JOB_SCHEDULED);
    sl_sim_step_wall(3 *
                     7200000); /* four hours ahead: the delayed job is due, the lease is not over */
    await(queues, arena, &delayed.id, JOB_AVAILABLE);
    EXPECT_EQ(state_of(queues, arena, &held.id), JOB_ACTIVE);
}

typedef struct AnyLease {
    Queues *queues;
    Arena *arena;
    Job job;
    int r;
} AnyLease;

static int lease_any_fiber(void *arg)
{
    AnyLease *any = arg;
    LeaseOpts opts = { .max = 1, .wait_ms = -1, .worker = STR_C("any") };
    size_t n = 0;

    any->r = queue_lease(any->arena, any->queues, &opts, &any->job, &n);
    return any->r;
}

/*
 * Would catch a worker for all queues that sees only some, starves one, or sleeps on while a new
 * queue gets a job.
 */
QUEUE_TEST(a_lease_without_names_takes_from_any_queue)
{
    sl_nursery *nursery = sl_nursery_open(.name = "any");
    LeaseOpts opts = { .max = 1, .worker = STR_C("any") };
    AnyLease any = { .queues = queues, .arena = arena };
    size_t taken_b = 0, n;
    Job job;

    (void) sl_spawn(nursery, lease_any_fiber, &any, .name = "waits");
    EXPECT_OK(sl_sleep_ms(1));
    job = push(queues, arena, "brand-new");
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT(any.r == 0 && job_id_eq(&any.job.id, &job.id));
    sl_nursery_close(nursery);

    for (int i = 0; i < 8; i++)
        (void) push(queues, arena, "a");
    (void) push(queues, arena, "b");
    for (int i = 0; i < 4; i++) {
        EXPECT_OK(queue_lease(arena, queues, &opts, &job, &n));
        taken_b += str_eq_c(job.queue, "b");
    }
    EXPECT_EQ(taken_b, 1);
}

TEST(steps_of_the_wall_clock_move_what_is_promised_for_a_time_of_day)
{
    Setup setup = { .body = step_body, .store = "memory:" };

    EXPECT_OK(sl_run(run_body, &setup, .loop = SL_LOOP_SIM));
}

TEST_MAIN()
