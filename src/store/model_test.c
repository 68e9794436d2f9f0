/*
 * The store against a model of two hundred lines: random operations, every answer and the whole
 * state compared after each. A disagreement is shrunk by leaving operations out, and printed.
 *
 * The model knows nothing of indexes, transactions or bytes: an array of jobs, and loops over it.
 * Time is virtual: what becomes due does so half way between two steps, so that no rounding
 * matters.
 */
#include "base/rand.h"
#include "base/test.h"
#include "gen/stores.h"
#include "store/record.h"
#include "store/redis/seams.h"
#include "store/redis_server_test.h"
#include "store/store.h"

#include <sluice/rt.h>

enum { JOBS = 12, OPS = 120, RUNS = 60, STEP_MS = 1000 };

typedef enum Kind {
    DO_PUSH,
    DO_LEASE,
    DO_COMPLETE,
    DO_FAIL,
    DO_DISCARD,
    DO_RELEASE,
    DO_LOSE,
    DO_CANCEL,
    DO_RETRY,
    DO_ACTIVATE,
    DO_EXTEND,
    DO_PROMOTE,
    DO_DELETE,
    DO_PAUSE,
    DO_WAIT,
    KINDS,
} Kind;

static const char *const kind_names[KINDS] = { "push",    "lease",    "complete", "fail",
                                               "discard", "release",  "lose",     "cancel",
                                               "retry",   "activate", "extend",   "promote",
                                               "delete",  "pause",    "wait" };

typedef struct Op {
    Kind kind;
    uint32_t job;   /* which */
    uint32_t queue; /* 0, 1 */
    uint32_t n;     /* how many, how long, which flavour */
    int fence_off;  /* added to the right fence */
} Op;

typedef struct ModelJob {
    bool is_there;
    JobState state;
    uint32_t queue;
    int priority;
    uint64_t line;
    uint32_t fence, attempt, lost;
    int64_t due; /* steps */
    bool is_dead;
} ModelJob;

typedef struct Model {
    ModelJob jobs[JOBS];
    uint64_t next_line;
    bool is_paused[2];
    int64_t step;
} Model;

typedef struct Run {
    const StoreDriver *driver;
    Op ops[OPS];
    bool is_left_out[OPS];
    char why[200];
    int failed_at;
    char path[200];
    RedisServer *server; /* a store elsewhere: on this one */
    unsigned partitions;
    int64_t now_ms; /* its clock */
} Run;

static const Str queue_names[2] = { STR("a"), STR("b") };

static JobId id_of(uint32_t n)
{
    JobId id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

    id.bytes[15] = (uint8_t) (n * 37); /* no order that means anything */
    id.bytes[14] = (uint8_t) n;
    return id;
}

static void differ(Run *run, const char *what, long long got, long long want)
{
    if (!run->why[0])
        snprintf(run->why, sizeof(run->why), "%s: store %lld, model %lld", what, got, want);
}

static void same(Run *run, const char *what, long long got, long long want)
{
    if (got != want)
        differ(run, what, got, want);
}

/* ---- pushes and leases ----------------------------------------------------------------------- */

static void do_push(Run *run, Store *store, Model *model, const Op *op, int64_t begin_ms)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    ModelJob *job = &model->jobs[op->job];
    int64_t due = op->n % 4 == 1 ? model->step + 1 + op->n % 3 : 0;
    JobSpec spec = { .id = id_of(op->job),
                     .type = STR_C("t"),
                     .queue = queue_names[op->queue],
                     .priority = (int) (op->n % 3),
                     .is_pending = op->n % 8 == 2 };
    Str record;

    if (due)
        spec.run_at_ms = begin_ms + due * STEP_MS + STEP_MS / 2;
    record_encode(&buf, &spec, store_now(store).wall_ms);
    record = buf_str(&buf);
    AUTO(store_op_deinit)
    StoreOp push = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    same(run, "run", store_run(store, &push), 0);
    same(run, "push", push.r, job->is_there ? -ERR_DUPLICATE : 0);
    if (job->is_there)
        return;
    *job = (ModelJob){ .is_there = true,
                       .queue = op->queue,
                       .priority = spec.priority,
                       .due = due,
                       .state = spec.is_pending ? JOB_PENDING
                                : due           ? JOB_SCHEDULED
                                                : JOB_AVAILABLE };
    if (job->state == JOB_AVAILABLE)
        job->line = ++model->next_line;
}

/* The next available job of a queue, or JOBS. */
static uint32_t model_next(const Model *model, uint32_t queue)
{
    uint32_t best = JOBS;

    for (uint32_t i = 0; i < JOBS; i++) {
        const ModelJob *job = &model->jobs[i], *than = &model->jobs[best % JOBS];
        if (!job->is_there || job->state != JOB_AVAILABLE || job->queue != queue)
            continue;
        if (best == JOBS || job->priority > than->priority ||
            (job->priority == than->priority && job->line < than->line))
            best = i;
    }
    return model->is_paused[queue] ? JOBS : best;
}

static void do_lease(Run *run, Store *store, Model *model, const Op *op)
{
    Str names[2] = { queue_names[op->queue], queue_names[1 - op->queue] }, record;
    AUTO(store_op_deinit)
    StoreOp lease = { .kind = STORE_LEASE,
                      .lease = { .queues = names,
                                 .n_queues = 1 + op->n % 2,
                                 .max = 1 + op->n % 3,
                                 .lease_ms = 2 * STEP_MS + STEP_MS / 2,
                                 .default_ms = 1,
                                 .worker = STR_C("w") } };
    size_t cursor = 0, n = 0;

    same(run, "run", store_run(store, &lease), 0);
    for (size_t q = 0; q < lease.lease.n_queues; q++) {
        uint32_t queue = q ? 1 - op->queue : op->queue, next;
        while (n < lease.lease.max && (next = model_next(model, queue)) < JOBS) {
            ModelJob *job = &model->jobs[next];
            JobId id, want = id_of(next);

            job->state = JOB_ACTIVE;
            job->attempt++;
            job->fence++;
            job->due = model->step + 2;
            n++;
            if (!store_out_next(&lease.out, &cursor, &record)) {
                differ(run, "leased", (long long) n - 1, (long long) n);
                return;
            }
            id = record_id(record);
            same(run, "leased job", id.bytes[14], want.bytes[14]);
        }
    }
    same(run, "leased", (long long) lease.lease.n, (long long) n);
}

/* ---- moves ----------------------------------------------------------------------------------- */

static int model_guard(const ModelJob *job, uint32_t from, uint32_t fence)
{
    if (!job->is_there)
        return -ERR_NOT_FOUND;
    if (!(from & 1u << job->state) || (fence && job->state != JOB_ACTIVE))
        return -ERR_CONFLICT;
    return fence && fence != job->fence ? -ERR_STALE_LEASE : 0;
}

static void describe(const Op *op, const ModelJob *job, int64_t begin_steady_ms, int64_t step,
                     StoreMove *move)
{
    uint32_t fence = (uint32_t) ((int) job->fence + op->fence_off);

    *move = (StoreMove){ .id = id_of(op->job), .from = JOB_IN(ACTIVE), .fence = fence };
    switch (op->kind) {
    case DO_COMPLETE: move->to = JOB_COMPLETED; break;
    case DO_FAIL:
        move->to = JOB_RETRYABLE;
        move->due_ms = begin_steady_ms + (step + 1 + op->n % 2) * STEP_MS + STEP_MS / 2;
        break;
    case DO_DISCARD:
        move->to = JOB_DISCARDED;
        move->is_dead_letter = op->n % 2;
        break;
    case DO_RELEASE:
        move->to = JOB_AVAILABLE;
        move->gives_back = move->keeps_place = true;
        break;
    case DO_LOSE:
        move->to = JOB_AVAILABLE;
        move->gives_back = move->keeps_place = move->is_loss = move->only_expired = true;
        break;
    case DO_CANCEL:
        move->from = JOB_IN_LIVE;
        move->fence = 0;
        move->to = JOB_CANCELLED;
        break;
    case DO_RETRY:
        move->from = JOB_IN(DISCARDED) | JOB_IN(RETRYABLE) | JOB_IN(SCHEDULED);
        move->fence = 0;
        move->to = JOB_AVAILABLE;
        move->starts_over_if = JOB_IN(DISCARDED);
        break;
    case DO_ACTIVATE:
        move->from = JOB_IN(PENDING);
        move->fence = 0;
        move->to = JOB_AVAILABLE;
        break;
    case DO_PUSH:
    case DO_LEASE:
    case DO_EXTEND:
    case DO_PROMOTE:
    case DO_DELETE:
    case DO_PAUSE:
    case DO_WAIT:
    case KINDS: break;
    }
}

static void do_move(Run *run, Store *store, Model *model, const Op *op, int64_t begin_steady_ms)
{
    ModelJob *job = &model->jobs[op->job];
    StoreMove move;
    int want;

    describe(op, job, begin_steady_ms, model->step, &move);
    AUTO(store_op_deinit)
    StoreOp store_op = { .kind = STORE_MOVE, .move = { .moves = &move, .n = 1 } };
    same(run, "run", store_run(store, &store_op), 0);
    want = model_guard(job, move.from, move.fence);
    if (want == 0 && move.only_expired && job->due >= model->step)
        want = -ERR_CONFLICT;
    same(run, kind_names[op->kind], move.r, want);
    if (want < 0)
        return;
    if (move.starts_over_if & 1u << job->state)
        job->attempt = job->lost = 0;
    job->attempt -= move.gives_back && job->attempt > 0;
    job->lost += move.is_loss;
    job->state = move.to;
    job->is_dead = move.is_dead_letter;
    job->due = move.to == JOB_RETRYABLE ? model->step + 1 + op->n % 2 : 0;
    if (move.to == JOB_AVAILABLE && !(move.keeps_place && job->line))
        job->line = ++model->next_line;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void do_extend(Run *run, Store *store, Model *model, const Op *op)
{
    ModelJob *job = &model->jobs[op->job];
    StoreBeat beat = { .id = id_of(op->job),
                       .fence = (uint32_t) ((int) job->fence + op->fence_off) };
    AUTO(store_op_deinit)
    StoreOp extend = { .kind = STORE_EXTEND,
                       .extend = { .beats = &beat,
                                   .n = 1,
                                   .lease_ms = 4 * STEP_MS + STEP_MS / 2,
                                   .worker = STR_C("w") } };
    int want = model_guard(job, JOB_IN(ACTIVE), beat.fence);

    same(run, "run", store_run(store, &extend), 0);
    same(run, "extend", beat.r, want);
    if (want == 0)
        job->due = model->step + 4;
}

static bool model_promote(Model *model, JobState state)
{
    uint32_t best = JOBS;

    for (uint32_t i = 0; i < JOBS; i++) {
        const ModelJob *job = &model->jobs[i];
        if (job->is_there && job->state == state && job->due < model->step &&
            (best == JOBS || job->due < model->jobs[best].due))
            best = i;
    }
    if (best == JOBS)
        return false;
    model->jobs[best].state = JOB_AVAILABLE;
    model->jobs[best].line = 0; /* those of one moment stand in any order: see check_state */
    return true;
}

static void do_promote(Run *run, Store *store, Model *model)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_PROMOTE, .due.max = 100 };
    size_t n = 0;

    same(run, "run", store_run(store, &op), 0);
    while (model_promote(model, JOB_SCHEDULED) || model_promote(model, JOB_RETRYABLE))
        n++;
    same(run, "promoted", (long long) op.due.n, (long long) n);
}

static void do_delete(Run *run, Store *store, Model *model, const Op *op)
{
    ModelJob *job = &model->jobs[op->job];
    AUTO(store_op_deinit)
    StoreOp del = { .kind = STORE_DELETE, .del = { id_of(op->job), JOB_IN_FINAL, op->n % 2 } };
    int want = !job->is_there                                                ? -ERR_NOT_FOUND
               : !job_state_is_final(job->state)                             ? -ERR_CONFLICT
               : op->n % 2 && !(job->state == JOB_DISCARDED && job->is_dead) ? -ERR_NOT_FOUND
                                                                             : 0;

    same(run, "run", store_run(store, &del), 0);
    same(run, "delete", del.r, want);
    if (want == 0)
        *job = (ModelJob){ 0 };
}

static void do_pause(Run *run, Store *store, Model *model, const Op *op)
{
    AUTO(store_op_deinit)
    StoreOp pause = { .kind = STORE_QUEUE_SET,
                      .queue_set = { .name = queue_names[op->queue],
                                     .is_paused = op->n % 3 == 0,
                                     .creates = true } };

    same(run, "run", store_run(store, &pause), 0);
    model->is_paused[op->queue] = op->n % 3 == 0;
}

/*
 * Everything the store has against everything the model has; lines are taken over where they are
 * free.
 */
static void check_state(Run *run, Store *store, Model *model)
{
    for (uint32_t i = 0; i < JOBS; i++) {
        ModelJob *job = &model->jobs[i];
        AUTO(store_op_deinit) StoreOp get = { .kind = STORE_GET, .get.id = id_of(i) };
        RecordHead head;
        size_t cursor = 0;
        Str record;

        same(run, "run", store_run(store, &get), 0);
        same(run, "is there", get.r == 0, job->is_there);
        if (get.r != 0 || !job->is_there || !store_out_next(&get.out, &cursor, &record))
            continue;
        record_head_get(record_body(record), &head);
        same(run, "state", head.state, job->state);
        same(run, "attempt", head.attempt, job->attempt);
        same(run, "lost", head.lost, job->lost);
        same(run, "fence", head.fence, job->fence);
        if (job->state == JOB_AVAILABLE && job->line == 0) {
            /* Behind all others, in the store's order. */
            job->line = model->next_line + 1 + (head.order & ((UINT64_C(1) << 48) - 1));
        }
    }
    for (uint32_t i = 0; i < JOBS; i++)
        model->next_line = MAX(model->next_line, model->jobs[i].line);
    AUTO(store_op_deinit) StoreOp check = { .kind = STORE_CHECK };
    same(run, "run", store_run(store, &check), 0);
    if (check.check.why[0] && !run->why[0])
        snprintf(run->why, sizeof(run->why), "check: %.150s", check.check.why);
}

static void do_one(Run *run, Store *store, Model *model, const Op *op, StoreNow begin)
{
    switch (op->kind) {
    case DO_PUSH: do_push(run, store, model, op, begin.wall_ms); break;
    case DO_LEASE: do_lease(run, store, model, op); break;
    case DO_COMPLETE:
    case DO_FAIL:
    case DO_DISCARD:
    case DO_RELEASE:
    case DO_LOSE:
    case DO_CANCEL:
    case DO_RETRY:
    case DO_ACTIVATE: do_move(run, store, model, op, begin.steady_ms); break;
    case DO_EXTEND: do_extend(run, store, model, op); break;
    case DO_PROMOTE: do_promote(run, store, model); break;
    case DO_DELETE: do_delete(run, store, model, op); break;
    case DO_PAUSE: do_pause(run, store, model, op); break;
    case DO_WAIT:
        model->step += 1 + op->n % 2;
        run->now_ms = begin.wall_ms + model->step * STEP_MS;
        if (!run->server)
            same(run, "sleep",
                 sl_sleep_until_ns(NS_PER_S * 100 + model->step * STEP_MS * NS_PER_MS), 0);
        break;
    case KINDS: break;
    }
}

static int64_t clock_of(void *ctx)
{
    return ((const Run *) ctx)->now_ms;
}

static int run_ops(void *arg)
{
    Run *run = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "store");
    Model *model = mem_new(Model);
    StoreSeams seams = { .now_ms = clock_of, .now_ctx = run };
    StoreOpts opts = { .driver = run->driver,
                       .config = { .path = str_from_c(run->path),
                                   .max_bytes = 8 << 20,
                                   .nursery = nursery,
                                   .seams = run->server ? &seams : NULL } };
    StoreNow begin;
    Store *store;

    run->why[0] = '\0';
    run->now_ms = 1700000000000;
    if ((!run->server && sl_sleep_until_ns(NS_PER_S * 100) < 0) || store_open(&opts, &store) < 0) {
        differ(run, "open", 1, 0);
        mem_free(model);
        return 0;
    }
    begin = store_now(store);
    for (int i = 0; i < OPS && !run->why[0]; i++) {
        if (run->is_left_out[i])
            continue;
        run->failed_at = i;
        do_one(run, store, model, &run->ops[i], begin);
        check_state(run, store, model);
    }
    store_close(store);
    mem_free(model);
    return 0;
}

/* Whether the operations that are not left out still disagree. */
static bool disagrees(Run *run)
{
    static unsigned n_paths;

    if (run->server) {
        redis_server_url(run->server, run->partitions, run->path, sizeof(run->path));
        EXPECT_OK(sl_run(run_ops, run, .stall_ms = -1));
    } else {
        snprintf(run->path, sizeof(run->path), "model%u", n_paths++);
        EXPECT_OK(sl_run(run_ops, run, .loop = SL_LOOP_SIM, .stall_ms = -1));
    }
    return run->why[0] != '\0';
}

static void shrink_and_print(Run *run, uint64_t seed)
{
    for (int i = 0; i < OPS; i++) {
        run->is_left_out[i] = true;
        if (!disagrees(run))
            run->is_left_out[i] = false;
    }
    (void) disagrees(run);
    test_fail(__FILE__, __LINE__, "seed %llu, store %s: %s", (unsigned long long) seed,
              run->driver->name, run->why);
    for (int i = 0; i <= run->failed_at; i++) {
        if (!run->is_left_out[i])
            fprintf(stderr, "    %s job %u queue %u n %u fence %+d\n", kind_names[run->ops[i].kind],
                    run->ops[i].job, run->ops[i].queue, run->ops[i].n, run->ops[i].fence_off);
    }
}

static void make_ops(Run *run, Rand *rand)
{
    static const uint8_t weights[KINDS] = { 12, 12, 8, 5, 3, 4, 4, 2, 4, 2, 3, 5, 2, 1, 5 };
    unsigned total = 0;

    for (size_t i = 0; i < KINDS; i++)
        total += weights[i];
    for (int i = 0; i < OPS; i++) {
        unsigned pick = (unsigned) rand_below(rand, total), kind = 0;

        while (pick >= weights[kind])
            pick -= weights[kind++];
        run->ops[i] = (Op){ .kind = (Kind) kind,
                            .job = (uint32_t) rand_below(rand, JOBS),
                            .queue = (uint32_t) rand_below(rand, 2),
                            .n = (uint32_t) rand_below(rand, 100),
                            .fence_off = rand_below(rand, 6) == 0 ? 1 : 0 };
    }
}

static void compare(const StoreDriver *driver, RedisServer *server, uint64_t runs)
{
    for (uint64_t seed = 1; seed <= runs && !test_has_failed(); seed++) {
        Run *run = mem_new(Run);
        Rand rand;

        rand_init(&rand, seed);
        run->driver = driver;
        run->server = server;
        run->partitions = 1; /* several have no order among them that the model knows */
        make_ops(run, &rand);
        if (disagrees(run))
            shrink_and_print(run, seed);
        mem_free(run);
    }
}

TEST(the_store_does_what_the_model_does)
{
    for (size_t i = 0; i < stores_count; i++) {
        if (!stores_table[i]->remote)
            compare(stores_table[i], NULL, stores_table[i]->blocks ? RUNS / 6 : RUNS);
    }
}

TEST(a_store_in_redis_does_what_the_model_does)
{
    RedisServer server = { 0 };
    const StoreDriver *driver;
    Str path;

    if (!redis_server_start(&server, "redis", NULL)) {
        test_skip(TEST_NO_REDIS);
        return;
    }
    EXPECT_OK(store_find_driver(STR_C("redis://x"), &driver, &path));
    compare(driver, &server, RUNS / 6);
    redis_server_stop(&server);
}

TEST_MAIN()
