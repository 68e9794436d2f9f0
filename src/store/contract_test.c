/*
 * The contract of a store, run against every backend the build finds.
 *
 * Each test would catch a backend (or the engine, or the gate) that breaks what store.h promises:
 * an order, a guard, a count, the unity of a transaction. After each the invariants are walked with
 * STORE_CHECK, and again after the store was closed and opened.
 */
#include "base/limits.h"
#include "base/test.h"
#include "gen/stores.h"
#include "store/memory/memory.h"
#include "store/record.h"
#include "store/redis_server_test.h"
#include "store/store.h"

#include <sluice/rt.h>

#include <errno.h>

typedef void (*Body)(Store *store);

typedef struct Setup {
    const StoreDriver *driver;
    Body body;
    bool forces_thread;
    bool is_async;
    char path[200];
    MemoryImage image;
} Setup;

/* ---- small helpers --------------------------------------------------------------------------- */

static JobId id_of(unsigned n)
{
    JobId id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

    id.bytes[12] = (uint8_t) (n >> 24);
    id.bytes[13] = (uint8_t) (n >> 16);
    id.bytes[14] = (uint8_t) (n >> 8);
    id.bytes[15] = (uint8_t) n;
    return id;
}

static unsigned n_of(const JobId *id)
{
    return (unsigned) id->bytes[12] << 24 | (unsigned) id->bytes[13] << 16 |
           (unsigned) id->bytes[14] << 8 | id->bytes[15];
}

static int push_spec(Store *store, const JobSpec *spec)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    Str record;
    int r;

    record_encode(&buf, spec, store_now(store).wall_ms);
    record = buf_str(&buf);
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    r = store_run(store, &op);
    return r < 0 ? r : op.r;
}

static int push(Store *store, unsigned n, const char *queue, int priority)
{
    JobSpec spec = {
        .id = id_of(n), .type = STR_C("t.a"), .queue = str_from_c(queue), .priority = priority
    };

    return push_spec(store, &spec);
}

/* Lease up to MAX into IDS and FENCES; how many. */
static size_t lease_as(Store *store, const char *queue, size_t max, const char *worker,
                       unsigned *ns, uint32_t *fences)
{
    Str name = str_from_c(queue), record;
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_LEASE,
                   .lease = { .queues = &name,
                              .n_queues = 1,
                              .max = max,
                              .default_ms = 30000,
                              .worker = str_from_c(worker) } };
    size_t cursor = 0, n = 0;

    EXPECT_OK(store_run(store, &op));
    EXPECT(op.r == (op.lease.n > 0 ? 0 : STORE_EMPTY));
    while (store_out_next(&op.out, &cursor, &record)) {
        RecordHead head;
        JobId id = record_id(record);

        record_head_get(record_body(record), &head);
        EXPECT_EQ(head.state, JOB_ACTIVE);
        if (ns)
            ns[n] = n_of(&id);
        if (fences)
            fences[n] = head.fence;
        n++;
    }
    EXPECT_EQ(n, op.lease.n);
    return n;
}

static size_t lease(Store *store, const char *queue, size_t max, unsigned *ns)
{
    return lease_as(store, queue, max, "", ns, NULL);
}

static int move(Store *store, StoreMove *what)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_MOVE, .move = { .moves = what, .n = 1 } };

    EXPECT_OK(store_run(store, &op));
    EXPECT_EQ(op.r, 0);
    return what->r;
}

static int complete(Store *store, unsigned n, uint32_t fence)
{
    StoreMove what = {
        .id = id_of(n), .from = JOB_IN(ACTIVE), .fence = fence, .to = JOB_COMPLETED
    };

    return move(store, &what);
}

static bool get_head(Store *store, unsigned n, RecordHead *head)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_GET, .get.id = id_of(n) };
    size_t cursor = 0;
    Str record;

    EXPECT_OK(store_run(store, &op));
    if (op.r < 0) {
        EXPECT_EQ(op.r, -ERR_NOT_FOUND);
        return false;
    }
    EXPECT(store_out_next(&op.out, &cursor, &record));
    record_head_get(record_body(record), head);
    return true;
}

static int state_of(Store *store, unsigned n)
{
    RecordHead head;

    return get_head(store, n, &head) ? (int) head.state : -1;
}

static uint64_t count_of(Store *store, const char *queue, JobState state)
{
    StoreQueueInfo info = { 0 };
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_QUEUES,
                   .queues = { .only = str_from_c(queue), .infos = &info, .max = 1 } };

    EXPECT_OK(store_run(store, &op));
    return op.r == 0 ? info.counts[state] : 0;
}

static void check(Store *store)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_CHECK };

    EXPECT_OK(store_run(store, &op));
    EXPECT_C(op.check.why, "");
    EXPECT_EQ(op.r, 0);
}

static int run_setup(void *arg)
{
    Setup *setup = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "store");
    StoreOpts opts = { .driver = setup->driver,
                       .config = { .path = str_from_c(setup->path),
                                   .image = &setup->image,
                                   .nursery = nursery,
                                   .is_async = setup->is_async,
                                   .max_bytes = 64 << 20 },
                       .forces_thread = setup->forces_thread };

    for (int round = 0; round < 2; round++) {
        Store *store;
        int r = store_open(&opts, &store);

        EXPECT_OK(r);
        if (r < 0)
            return 0;
        if (round == 0)
            setup->body(store);
        check(store);
        store_close(store);
    }
    memory_image_free(&setup->image);
    return 0;
}

static void run_variant(Setup *setup, const char *variant)
{
    EXPECT_OK(sl_run(run_setup, setup, .stall_ms = setup->driver->remote ? -1 : 0));
    if (test_has_failed())
        fprintf(stderr, "    in store %s, %s\n", setup->driver->name, variant);
}

/* On a server of our own, with a prefix for each test; nothing where there is no server. */
static void on_redis(const StoreDriver *driver, Body body, unsigned partitions)
{
    static RedisServer server;
    static bool was_tried;
    Setup setup = { .driver = driver, .body = body };

    if (!was_tried && !redis_server_start(&server, "redis", NULL))
        fprintf(stderr, "    " TEST_NO_REDIS ": the store redis is not tested\n");
    was_tried = true;
    if (server.pid == 0)
        return;
    redis_server_url(&server, partitions, setup.path, sizeof(setup.path));
    run_variant(&setup, partitions == 1 ? "one partition" : "several partitions");
}

static void on_local(const StoreDriver *driver, Body body)
{
    static const char *const variants[] = { "plain", "with a thread", "async" };
    static unsigned n_stores;

    for (int variant = 0; variant < 3; variant++) {
        Setup setup = {
            .driver = driver, .body = body, .forces_thread = variant == 1, .is_async = variant == 2
        };

        if (variant == 1 && driver->blocks)
            continue; /* has a thread anyway */
        snprintf(setup.path, sizeof(setup.path), "store%u", n_stores++);
        run_variant(&setup, variants[variant]);
    }
}

static void on_every_store(Body body, bool has_order)
{
    for (size_t i = 0; i < stores_count; i++) {
        if (!stores_table[i]->remote) {
            on_local(stores_table[i], body);
            continue;
        }
        on_redis(stores_table[i], body, 1);
        if (!has_order)
            on_redis(stores_table[i], body, 4);
    }
}

#define STORE_TEST_WITH(name, has_order)        \
    static void name##_body(Store *store);      \
    TEST(name)                                  \
    {                                           \
        on_every_store(name##_body, has_order); \
    }                                           \
    static void name##_body(Store *store)

#define STORE_TEST(name)          STORE_TEST_WITH(name, true)

/* What holds also where the jobs lie in several partitions, among which there is no order. */
#define STORE_TEST_ANYWHERE(name) STORE_TEST_WITH(name, false)

/* ---- push and lease -------------------------------------------------------------------------- */

STORE_TEST_ANYWHERE(a_pushed_job_is_there_and_counted)
{
    RecordHead head;

    EXPECT_OK(push(store, 1, "a", 0));
    EXPECT(get_head(store, 1, &head));
    EXPECT_EQ(head.state, JOB_AVAILABLE);
    EXPECT_EQ(head.attempt, 0);
    EXPECT_EQ(count_of(store, "a", JOB_AVAILABLE), 1);
    EXPECT_EQ(state_of(store, 2), -1);
}

STORE_TEST_ANYWHERE(an_id_is_given_once)
{
    EXPECT_OK(push(store, 1, "a", 0));
    EXPECT_EQ(push(store, 1, "a", 0), -ERR_DUPLICATE);
    EXPECT_EQ(push(store, 1, "b", 5), -ERR_DUPLICATE);
    EXPECT_EQ(count_of(store, "a", JOB_AVAILABLE), 1);
    EXPECT_EQ(count_of(store, "b", JOB_AVAILABLE), 0);
}

STORE_TEST(jobs_come_by_priority_then_by_arrival)
{
    unsigned ns[10];

    for (unsigned i = 0; i < 3; i++) {
        EXPECT_OK(push(store, 100 - i, "a", 0)); /* ids descend: arrival counts, not the id */
        EXPECT_OK(push(store, 200 - i, "a", 10));
        EXPECT_OK(push(store, 300 - i, "a", -10));
    }
    EXPECT_EQ(lease(store, "a", 10, ns), 9);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(ns[i], 200 - i);
        EXPECT_EQ(ns[3 + i], 100 - i);
        EXPECT_EQ(ns[6 + i], 300 - i);
    }
}

STORE_TEST_ANYWHERE(a_lease_gives_each_job_once_and_no_more_than_asked)
{
    bool seen[150] = { false };
    unsigned ns[64];
    size_t total = 0, n;

    for (unsigned i = 0; i < 150; i++)
        EXPECT_OK(push(store, i, "a", (int) (i % 3)));
    while ((n = lease(store, "a", 64, ns)) > 0) {
        EXPECT(n <= 64);
        for (size_t i = 0; i < n; i++) {
            EXPECT(!seen[ns[i]]);
            seen[ns[i]] = true;
        }
        total += n;
    }
    EXPECT_EQ(total, 150);
    EXPECT_EQ(count_of(store, "a", JOB_ACTIVE), 150);
}

STORE_TEST(queues_are_drained_in_the_order_they_are_named)
{
    Str names[] = { STR_C("b"), STR_C("nobody"), STR_C("a") }, record;
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_LEASE,
                   .lease = { .queues = names, .n_queues = 3, .max = 3, .default_ms = 1000 } };
    unsigned want[] = { 3, 4, 1 };
    size_t cursor = 0, i = 0;

    EXPECT_OK(push(store, 1, "a", 9));
    EXPECT_OK(push(store, 2, "a", 0));
    EXPECT_OK(push(store, 3, "b", 0));
    EXPECT_OK(push(store, 4, "b", 0));
    EXPECT_OK(store_run(store, &op));
    while (store_out_next(&op.out, &cursor, &record)) {
        JobId id = record_id(record);
        EXPECT(i < 3 && n_of(&id) == want[i]);
        i++;
    }
    EXPECT_EQ(i, 3);
}

STORE_TEST_ANYWHERE(a_paused_queue_takes_and_gives_nothing)
{
    AUTO(store_op_deinit)
    StoreOp pause = { .kind = STORE_QUEUE_SET,
                      .queue_set = { .name = STR_C("a"), .is_paused = true, .creates = true } };
    AUTO(store_op_deinit)
    StoreOp resume = { .kind = STORE_QUEUE_SET, .queue_set = { .name = STR_C("a") } };
    AUTO(store_op_deinit)
    StoreOp none = { .kind = STORE_QUEUE_SET, .queue_set = { .name = STR_C("zz") } };

    EXPECT_OK(store_run(store, &pause));
    EXPECT_OK(push(store, 1, "a", 0));
    EXPECT_EQ(lease(store, "a", 1, NULL), 0);
    EXPECT_OK(store_run(store, &resume));
    EXPECT_EQ(lease(store, "a", 1, NULL), 1);
    EXPECT_OK(store_run(store, &none));
    EXPECT_EQ(none.r, -ERR_NOT_FOUND);
}

STORE_TEST(an_expired_job_is_discarded_instead_of_given)
{
    JobSpec spec = {
        .id = id_of(1), .type = STR_C("t"), .queue = STR_C("a"), .expires_at_ms = 1000
    };
    RecordHead head;

    EXPECT_OK(push_spec(store, &spec));
    EXPECT_OK(push(store, 2, "a", 0));
    unsigned ns[2];
    EXPECT_EQ(lease(store, "a", 1, ns), 1);
    EXPECT_EQ(ns[0], 2);
    EXPECT(get_head(store, 1, &head));
    EXPECT_EQ(head.state, JOB_DISCARDED);
    EXPECT_EQ(head.reason, JOB_REASON_EXPIRED);
}

static bool takes_b(void *ctx, Str type)
{
    ++*(unsigned *) ctx;
    return str_eq_c(type, "b");
}

STORE_TEST(a_filter_skips_foreign_types_and_looks_at_them_once)
{
    unsigned looked = 0;
    StoreFilter filter = { takes_b, &looked };
    Str name = STR_C("a");

    for (unsigned i = 0; i < 300; i++) {
        JobSpec spec = { .id = id_of(i),
                         .type = i % 100 == 99 ? STR_C("b") : STR_C("x"),
                         .queue = name };
        EXPECT_OK(push_spec(store, &spec));
    }
    for (int round = 0; round < 3; round++) {
        AUTO(store_op_deinit)
        StoreOp op = { .kind = STORE_LEASE,
                       .lease = { .queues = &name,
                                  .n_queues = 1,
                                  .max = 1,
                                  .default_ms = 1000,
                                  .filter = &filter } };
        EXPECT_OK(store_run(store, &op));
        EXPECT_EQ(op.r, 0);
        EXPECT_EQ(op.lease.n, 1);
    }
    EXPECT(store_is_remote(store) ? looked <= 300 : looked == 300); /* types, there */
    /* One that comes to stand before the others is seen. */
    JobSpec first = { .id = id_of(1000), .type = STR_C("b"), .queue = name, .priority = 50 };
    EXPECT_OK(push_spec(store, &first));
    AUTO(store_op_deinit)
    StoreOp op = {
        .kind = STORE_LEASE,
        .lease = { .queues = &name, .n_queues = 1, .max = 1, .default_ms = 1000, .filter = &filter }
    };
    EXPECT_OK(store_run(store, &op));
    EXPECT_EQ(op.r, 0);
}

/* ---- push many, idempotency ------------------------------------------------------------------ */

static int push_many(Store *store, const unsigned *ns, size_t n, const char *key, uint64_t print,
                     size_t *ret_out)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    Str records[32], record;
    size_t at = 0, cursor = 0;
    int r;

    for (size_t i = 0; i < n; i++) {
        JobSpec spec = { .id = id_of(ns[i]), .type = STR_C("t"), .queue = STR_C("a") };
        size_t before = buf.len;
        record_encode(&buf, &spec, store_now(store).wall_ms);
        records[i].len = buf.len - before;
    }
    for (size_t i = 0; i < n; i++) {
        records[i].data = buf.data + at;
        at += records[i].len;
    }
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_PUSH,
                   .push = { .records = records,
                             .n = n,
                             .key = str_from_c(key),
                             .key_print = print,
                             .key_ttl_ms = 3600000 } };
    r = store_run(store, &op);
    if (ret_out) {
        *ret_out = 0;
        while (store_out_next(&op.out, &cursor, &record))
            ++*ret_out;
    }
    return r < 0 ? r : op.r;
}

STORE_TEST(a_push_of_many_is_all_or_nothing)
{
    EXPECT_OK(push_many(store, (unsigned[]){ 1, 2, 3 }, 3, "", 0, NULL));
    EXPECT_EQ(push_many(store, (unsigned[]){ 4, 5, 2, 6 }, 4, "", 0, NULL), -ERR_DUPLICATE);
    EXPECT_EQ(push_many(store, (unsigned[]){ 7, 9, 8, 7 }, 4, "", 0, NULL), -ERR_DUPLICATE);
    EXPECT_EQ(count_of(store, "a", JOB_AVAILABLE), 3);
    EXPECT_EQ(state_of(store, 4), -1);
    EXPECT_EQ(state_of(store, 7), -1);
}

STORE_TEST(an_idempotency_key_makes_its_jobs_once)
{
    size_t n;

    EXPECT_OK(push_many(store, (unsigned[]){ 1, 2 }, 2, "k", 77, NULL));
    EXPECT_EQ(push_many(store, (unsigned[]){ 3, 4 }, 2, "k", 77, &n), STORE_EXISTS);
    EXPECT_EQ(n, 2);
    EXPECT_EQ(push_many(store, (unsigned[]){ 3, 4 }, 2, "k", 78, NULL), -ERR_DUPLICATE);
    EXPECT_EQ(count_of(store, "a", JOB_AVAILABLE), 2);
    EXPECT_OK(push_many(store, (unsigned[]){ 3 }, 1, "k2", 77, NULL));
}

/* ---- guards ---------------------------------------------------------------------------------- */

STORE_TEST_ANYWHERE(only_the_current_fence_finishes)
{
    uint32_t fence, second;
    StoreMove back = { .id = id_of(1),
                       .from = JOB_IN(ACTIVE),
                       .to = JOB_AVAILABLE,
                       .gives_back = true,
                       .keeps_place = true };

    EXPECT_OK(push(store, 1, "a", 0));
    EXPECT_EQ(complete(store, 1, 0), -ERR_CONFLICT);
    EXPECT_EQ(lease_as(store, "a", 1, "w1", NULL, &fence), 1);
    EXPECT_OK(move(store, &back));
    EXPECT_EQ(back.attempt, 0);
    EXPECT_EQ(lease_as(store, "a", 1, "w2", NULL, &second), 1);
    EXPECT(second > fence);
    EXPECT_EQ(complete(store, 1, fence), -ERR_STALE_LEASE);
    EXPECT_EQ(state_of(store, 1), JOB_ACTIVE);
    EXPECT_OK(complete(store, 1, second));
    EXPECT_EQ(complete(store, 1, second), -ERR_CONFLICT);
    EXPECT_EQ(complete(store, 99, 0), -ERR_NOT_FOUND);
    EXPECT_EQ(count_of(store, "a", JOB_COMPLETED), 1);
    EXPECT_EQ(count_of(store, "a", JOB_ACTIVE), 0);
}

STORE_TEST_ANYWHERE(only_the_holder_finishes_when_it_is_asked_for)
{
    StoreMove by_other = {
        .id = id_of(1), .from = JOB_IN(ACTIVE), .worker = STR_C("w2"), .to = JOB_COMPLETED
    };
    StoreMove by_holder = { .id = id_of(1),
                            .from = JOB_IN(ACTIVE),
                            .worker = STR_C("w1"),
                            .to = JOB_COMPLETED,
                            .result = STR_C("{\"x\":1}") };

    EXPECT_OK(push(store, 1, "a", 0));
    EXPECT_EQ(lease_as(store, "a", 1, "w1", NULL, NULL), 1);
    EXPECT_EQ(move(store, &by_other), -ERR_STALE_LEASE);
    EXPECT_OK(move(store, &by_holder));
}

STORE_TEST_ANYWHERE(one_failed_guard_does_not_fail_the_others)
{
    StoreMove moves[3] = {
        { .id = id_of(1), .from = JOB_IN(ACTIVE), .to = JOB_COMPLETED },
        { .id = id_of(2), .from = JOB_IN(ACTIVE), .fence = 9, .to = JOB_COMPLETED },
        { .id = id_of(3), .from = JOB_IN(ACTIVE), .to = JOB_COMPLETED }
    };
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_MOVE, .move = { .moves = moves, .n = 3 } };

    for (unsigned i = 1; i <= 3; i++)
        EXPECT_OK(push(store, i, "a", 0));
    EXPECT_EQ(lease(store, "a", 3, NULL), 3);
    EXPECT_OK(store_run(store, &op));
    EXPECT_EQ(moves[0].r, 0);
    EXPECT_EQ(moves[1].r, -ERR_STALE_LEASE);
    EXPECT_EQ(moves[2].r, 0);
    EXPECT_EQ(count_of(store, "a", JOB_COMPLETED), 2);
}

STORE_TEST_ANYWHERE(a_chain_sees_its_own_changes_in_order)
{
    Str name = STR_C("a");
    StoreMove done = { .id = id_of(1), .from = JOB_IN(ACTIVE), .to = JOB_COMPLETED };
    AUTO(store_op_deinit) StoreOp get = { .kind = STORE_GET, .get.id = id_of(1) };
    AUTO(store_op_deinit)
    StoreOp lease_op = { .kind = STORE_LEASE,
                         .next = &get,
                         .lease = {
                             .queues = &name, .n_queues = 1, .max = 5, .default_ms = 1000 } };
    AUTO(store_op_deinit)
    StoreOp move_op = { .kind = STORE_MOVE, .next = &lease_op, .move = { .moves = &done, .n = 1 } };
    RecordHead head;
    size_t cursor = 0;
    Str record;

    EXPECT_OK(push(store, 1, "a", 0));
    EXPECT_EQ(lease(store, "a", 1, NULL), 1);
    EXPECT_OK(push(store, 2, "a", 0));
    EXPECT_OK(store_run(store, &move_op));
    EXPECT_EQ(done.r, 0);
    EXPECT_EQ(lease_op.lease.n, 1);
    EXPECT(store_out_next(&get.out, &cursor, &record));
    record_head_get(record_body(record), &head);
    EXPECT_EQ(head.state, JOB_COMPLETED);
}

STORE_TEST(a_released_job_keeps_its_place_and_a_retried_one_does_not)
{
    unsigned ns[3];
    StoreMove back = { .id = id_of(1),
                       .from = JOB_IN(ACTIVE),
                       .to = JOB_AVAILABLE,
                       .gives_back = true,
                       .keeps_place = true };

    for (unsigned i = 1; i <= 3; i++)
        EXPECT_OK(push(store, i, "a", 0));
    EXPECT_EQ(lease(store, "a", 1, ns), 1);
    EXPECT_OK(move(store, &back));
    EXPECT_EQ(lease(store, "a", 1, ns), 1);
    EXPECT_EQ(ns[0], 1);
    back.keeps_place = false;
    EXPECT_OK(move(store, &back));
    EXPECT_EQ(lease(store, "a", 3, ns), 3);
    EXPECT_EQ(ns[0], 2);
    EXPECT_EQ(ns[2], 1);
}

/* ---- time ------------------------------------------------------------------------------------ */

static size_t promote(Store *store)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_PROMOTE, .due.max = 100 };

    EXPECT_OK(store_run(store, &op));
    return op.due.n;
}

STORE_TEST_ANYWHERE(scheduled_and_retryable_jobs_come_when_they_are_due)
{
    int64_t now = store_now(store).wall_ms, steady = store_now(store).steady_ms;
    JobSpec later = {
        .id = id_of(1), .type = STR_C("t"), .queue = STR_C("a"), .run_at_ms = now + 3600000
    };
    StoreMove retry = {
        .id = id_of(2), .from = JOB_IN(ACTIVE), .to = JOB_RETRYABLE, .due_ms = steady - 1
    };
    StoreMove far = {
        .id = id_of(3), .from = JOB_IN(ACTIVE), .to = JOB_RETRYABLE, .due_ms = steady + 3600000
    };

    EXPECT_OK(push_spec(store, &later));
    EXPECT_OK(push(store, 2, "a", 0));
    EXPECT_OK(push(store, 3, "a", 0));
    EXPECT_EQ(lease(store, "a", 5, NULL), 2);
    EXPECT_OK(move(store, &retry));
    EXPECT_OK(move(store, &far));
    EXPECT_EQ(promote(store), 1);
    EXPECT_EQ(promote(store), 0);
    EXPECT_EQ(state_of(store, 1), JOB_SCHEDULED);
    EXPECT_EQ(state_of(store, 2), JOB_AVAILABLE);
    EXPECT_EQ(state_of(store, 3), JOB_RETRYABLE);
}

STORE_TEST_ANYWHERE(a_lease_ends_unless_it_is_renewed)
{
    Str name = STR_C("a"), record, holder;
    StoreBeat beats[3] = { { .id = id_of(1) }, { .id = id_of(2), .fence = 9 }, { .id = id_of(7) } };
    size_t cursor = 0;
    AUTO(store_op_deinit)
    StoreOp take = { .kind = STORE_LEASE,
                     .lease = { .queues = &name,
                                .n_queues = 1,
                                .max = 1,
                                .lease_ms = 1,
                                .default_ms = 1000,
                                .worker = STR_C("w1") } };
    AUTO(store_op_deinit)
    StoreOp extend = { .kind = STORE_EXTEND,
                       .extend = {
                           .beats = beats, .n = 3, .lease_ms = 60000, .worker = STR_C("w1") } };
    AUTO(store_op_deinit) StoreOp expired = { .kind = STORE_EXPIRED, .due.max = 10 };

    EXPECT_OK(push(store, 1, "a", 0));
    EXPECT_OK(push(store, 2, "a", 0));
    for (int i = 0; i < 2; i++) { /* of two at once a store in parts may give one */
        EXPECT_OK(store_run(store, &take));
        EXPECT_EQ(take.lease.n, 1);
        store_op_deinit(&take);
    }
    EXPECT_OK(store_run(store, &extend));
    EXPECT_EQ(beats[0].r, 0);
    EXPECT_EQ(beats[1].r, -ERR_STALE_LEASE);
    EXPECT_EQ(beats[2].r, -ERR_NOT_FOUND);
    EXPECT_OK(sl_sleep_ms(3));
    EXPECT_OK(store_run(store, &expired));
    EXPECT_EQ(expired.due.n, 1);
    REQUIRE(store_out_next(&expired.out, &cursor, &record) &&
            store_out_next(&expired.out, &cursor, &holder));
    JobId id = record_id(record);
    EXPECT_EQ(n_of(&id), 2);
    EXPECT_STR(holder, STR_C("w1"));
    /*
     * The end of a lease applies to a lease that has ended, not to one that was renewed meanwhile.
     */
    StoreMove renewed = {
        .id = id_of(1), .from = JOB_IN(ACTIVE), .only_expired = true, .to = JOB_AVAILABLE
    };
    StoreMove ended = {
        .id = id_of(2), .from = JOB_IN(ACTIVE), .only_expired = true, .to = JOB_AVAILABLE
    };
    EXPECT_EQ(move(store, &renewed), -ERR_CONFLICT);
    EXPECT_OK(move(store, &ended));
    EXPECT_EQ(state_of(store, 1), JOB_ACTIVE);
    EXPECT_EQ(state_of(store, 2), JOB_AVAILABLE);
}

/* ---- reading and forgetting ------------------------------------------------------------------ */

static size_t list_page(Store *store, StoreOp *op, unsigned *ns)
{
    size_t cursor = 0, n = 0;
    Str record;

    EXPECT_OK(store_run(store, op));
    while (store_out_next(&op->out, &cursor, &record)) {
        JobId id = record_id(record);
        ns[n++] = n_of(&id);
    }
    EXPECT_EQ(n, op->list.n);
    return n;
}

STORE_TEST(pages_follow_each_other_in_both_directions)
{
    for (unsigned i = 0; i < 25; i++)
        EXPECT_OK(push(store, i, i % 2 ? "b" : "a", 0));
    for (int newest = 0; newest < 2; newest++) {
        uint8_t cursor[40];
        size_t len = 0, total = 0;
        int last = newest ? 1000 : -1, r;

        do {
            AUTO(store_op_deinit)
            StoreOp op = { .kind = STORE_LIST,
                           .list = { .states = JOB_IN(AVAILABLE),
                                     .queue = STR_C("a"),
                                     .is_newest_first = newest,
                                     .max = 5,
                                     .cursor = str_from((char *) cursor, len) } };
            unsigned ns[5];
            size_t n = list_page(store, &op, ns);
            for (size_t i = 0; i < n; i++) {
                EXPECT(newest ? (int) ns[i] < last : (int) ns[i] > last);
                last = (int) ns[i];
            }
            total += n;
            EXPECT_EQ(op.list.total, 13);
            len = op.list.next_len;
            memcpy(cursor, op.list.next, len);
            r = op.r;
        } while (r == STORE_MORE);
        EXPECT_EQ(total, 13);
    }
    unsigned all[40];
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_LIST,
                   .list = { .states = JOB_IN(AVAILABLE), .max = 40, .skip = 5 } };
    EXPECT_EQ(list_page(store, &op, all), 20);
}

static void discard(Store *store, unsigned n, bool is_dead_letter)
{
    StoreMove what = { .id = id_of(n),
                       .from = JOB_IN(ACTIVE),
                       .to = JOB_DISCARDED,
                       .is_dead_letter = is_dead_letter };

    EXPECT_OK(move(store, &what));
}

STORE_TEST_ANYWHERE(dead_letters_are_a_list_of_their_own)
{
    unsigned ns[10];
    AUTO(store_op_deinit)
    StoreOp dead = { .kind = STORE_LIST,
                     .list = { .states = JOB_IN(DISCARDED), .dead_letters = true, .max = 10 } };
    AUTO(store_op_deinit)
    StoreOp all = { .kind = STORE_LIST, .list = { .states = JOB_IN(DISCARDED), .max = 10 } };
    AUTO(store_op_deinit)
    StoreOp one = { .kind = STORE_LIST,
                    .list = { .states = JOB_IN(DISCARDED), .queue = STR_C("a"), .max = 10 } };
    AUTO(store_op_deinit)
    StoreOp no = { .kind = STORE_DELETE, .del = { id_of(1), JOB_IN_FINAL, true } };
    AUTO(store_op_deinit)
    StoreOp yes = { .kind = STORE_DELETE, .del = { id_of(2), JOB_IN_FINAL, true } };

    for (unsigned i = 1; i <= 3; i++)
        EXPECT_OK(push(store, i, "a", 0));
    EXPECT_EQ(lease(store, "a", 3, NULL), 3);
    discard(store, 1, false);
    discard(store, 2, true);
    discard(store, 3, true);
    EXPECT_EQ(list_page(store, &dead, ns), 2);
    EXPECT_EQ(dead.list.total, 2);
    EXPECT_EQ(list_page(store, &all, ns), 3);
    EXPECT_EQ(list_page(store, &one, ns), 3);
    EXPECT_OK(store_run(store, &no));
    EXPECT_EQ(no.r, -ERR_NOT_FOUND);
    EXPECT_OK(store_run(store, &yes));
    EXPECT_EQ(yes.r, 0);
    EXPECT_EQ(state_of(store, 2), -1);
    EXPECT_EQ(count_of(store, "a", JOB_DISCARDED), 2);
}

STORE_TEST(the_sweep_takes_the_oldest_finished_and_nothing_else)
{
    AUTO(store_op_deinit)
    StoreOp sweep = { .kind = STORE_SWEEP,
                      .sweep = { .keep = { .completed_max = 10 }, .max = 1000 } };
    AUTO(store_op_deinit)
    StoreOp by_age = { .kind = STORE_SWEEP, .sweep = { .keep = { .completed_ms = 1 }, .max = 4 } };

    for (unsigned i = 0; i < 60; i++)
        EXPECT_OK(push(store, i, "a", 0));
    EXPECT_EQ(lease(store, "a", 55, NULL), 55);
    for (unsigned i = 0; i < 50; i++)
        EXPECT_OK(complete(store, i, 0));
    EXPECT_OK(store_run(store, &sweep));
    EXPECT_EQ(sweep.sweep.n, 40);
    EXPECT_EQ(count_of(store, "a", JOB_COMPLETED), 10);
    EXPECT_EQ(count_of(store, "a", JOB_ACTIVE), 5);
    EXPECT_EQ(count_of(store, "a", JOB_AVAILABLE), 5);
    EXPECT_OK(sl_sleep_ms(3));
    EXPECT_OK(store_run(store, &by_age));
    EXPECT_EQ(by_age.r, STORE_MORE);
    EXPECT_EQ(count_of(store, "a", JOB_COMPLETED), 6);
}

STORE_TEST_ANYWHERE(queues_are_listed_by_name)
{
    StoreQueueInfo infos[3];
    AUTO(store_op_deinit)
    StoreOp first = { .kind = STORE_QUEUES, .queues = { .infos = infos, .max = 3 } };
    AUTO(store_op_deinit)
    StoreOp second = { .kind = STORE_QUEUES,
                       .queues = { .infos = infos, .max = 3, .after = STR_C("d") } };
    const char *names[] = { "e", "c", "g", "a", "d", "b", "f" };

    for (unsigned i = 0; i < 7; i++)
        EXPECT_OK(push(store, i, names[i], 0));
    EXPECT_OK(store_run(store, &first));
    EXPECT_EQ(first.queues.n, 3);
    EXPECT_C(infos[0].name, "a");
    EXPECT_C(infos[2].name, "c");
    EXPECT_OK(store_run(store, &second));
    EXPECT_EQ(second.queues.n, 3);
    EXPECT_C(infos[0].name, "e");
    EXPECT_EQ(infos[0].pushed, 1);
}

STORE_TEST_ANYWHERE(small_values_are_kept)
{
    AUTO(store_op_deinit)
    StoreOp put = { .kind = STORE_META,
                    .meta = { .name = STR_C("n"), .value = STR_C("v1"), .writes = true } };
    AUTO(store_op_deinit) StoreOp get = { .kind = STORE_META, .meta = { .name = STR_C("n") } };
    AUTO(store_op_deinit) StoreOp none = { .kind = STORE_META, .meta = { .name = STR_C("o") } };

    EXPECT_OK(store_run(store, &put));
    EXPECT_OK(store_run(store, &get));
    EXPECT_STR(buf_str(&get.out), STR_C("v1"));
    EXPECT_OK(store_run(store, &none));
    EXPECT_EQ(none.r, -ERR_NOT_FOUND);
}

STORE_TEST_ANYWHERE(large_records_survive_every_move)
{
    size_t size = 300000;
    char *args = mem_zalloc(size);
    RecordHead head;

    memset(args, 'x', size);
    JobSpec spec = {
        .id = id_of(1), .type = STR_C("t"), .queue = STR_C("a"), .args = str_from(args, size)
    };
    EXPECT_OK(push_spec(store, &spec));
    EXPECT_EQ(lease(store, "a", 1, NULL), 1);
    StoreMove done = {
        .id = id_of(1), .from = JOB_IN(ACTIVE), .to = JOB_COMPLETED, .result = str_from(args, 5000)
    };
    EXPECT_OK(move(store, &done));
    EXPECT(get_head(store, 1, &head));
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_GET, .get.id = id_of(1) };
    size_t cursor = 0;
    Str record, value;
    EXPECT_OK(store_run(store, &op));
    EXPECT(store_out_next(&op.out, &cursor, &record));
    EXPECT_OK(record_check(record_body(record)));
    EXPECT(record_find(record_body(record), RECORD_ARGS, &value) && value.len == size);
    EXPECT(record_find(record_body(record), RECORD_RESULT, &value) && value.len == 5000);
    mem_free(args);
}

/* ---- large jobs ------------------------------------------------------------------------------ */

enum { LARGE_JOBS = 20, LARGE_BYTES = 900000 }; /* together more than a lease or a page may be */

/* Push LARGE_JOBS jobs 0, 1, … of type "b" into the queue "a", each fourth of them into OTHER. */
static void push_large(Store *store, const char *other)
{
    char *args = mem_zalloc(LARGE_BYTES);

    memset(args, 'x', LARGE_BYTES);
    for (unsigned i = 0; i < LARGE_JOBS; i++) {
        JobSpec spec = { .id = id_of(i),
                         .type = STR_C("b"),
                         .queue = str_from_c(i % 4 == 3 ? other : "a"),
                         .args = str_from(args, LARGE_BYTES) };
        EXPECT_OK(push_spec(store, &spec));
    }
    mem_free(args);
}

/* Whether OP's answer is no larger than MAX; there, one job may be too much. */
static bool is_within(Store *store, const StoreOp *op, size_t max)
{
    return op->out.len <= max + (store_is_remote(store) ? LARGE_BYTES + 1000 : 0);
}

/* Count in SEEN what OP has in its answer, each record with HOLDERS texts behind it; how many. */
static size_t see_all(const StoreOp *op, size_t holders, unsigned seen[LARGE_JOBS])
{
    size_t cursor = 0, n = 0;
    Str record, holder;

    while (store_out_next(&op->out, &cursor, &record)) {
        JobId id = record_id(record);
        EXPECT(n_of(&id) < LARGE_JOBS);
        seen[n_of(&id) % LARGE_JOBS]++;
        n++;
        for (size_t i = 0; i < holders; i++)
            EXPECT(store_out_next(&op->out, &cursor, &holder));
    }
    return n;
}

static void expect_each_once(const unsigned seen[LARGE_JOBS])
{
    for (unsigned i = 0; i < LARGE_JOBS; i++)
        EXPECT_EQ(seen[i], 1);
}

/* Lease all large jobs of the N queues NAMES, for LEASE_MS; how many leases it took. */
static unsigned lease_large(Store *store, const Str *names, size_t n, const StoreFilter *filter,
                            int64_t lease_ms)
{
    unsigned seen[LARGE_JOBS] = { 0 }, leases = 0;
    size_t total = 0;

    while (total < LARGE_JOBS && leases < LARGE_JOBS) {
        AUTO(store_op_deinit)
        StoreOp op = { .kind = STORE_LEASE,
                       .lease = { .queues = names,
                                  .n_queues = n,
                                  .max = 400,
                                  .lease_ms = lease_ms,
                                  .default_ms = 60000,
                                  .worker = STR_C("w"),
                                  .filter = filter } };
        EXPECT_OK(store_run(store, &op));
        EXPECT(op.r == 0 || op.r == STORE_MORE);
        EXPECT(is_within(store, &op, LIMIT_LEASE_BYTES));
        EXPECT_EQ(see_all(&op, 0, seen), op.lease.n);
        total += op.lease.n;
        leases++;
    }
    EXPECT_EQ(total, LARGE_JOBS);
    expect_each_once(seen);
    return leases;
}

/* Would catch a lease that nobody could carry, and one that forgets where it stopped. */
STORE_TEST(a_lease_of_large_jobs_gives_as_many_as_go)
{
    const Str names[] = { STR_C("a"), STR_C("b") };
    unsigned ns[LARGE_JOBS];

    push_large(store, "b");
    EXPECT(lease_large(store, names, 2, NULL, 0) >= 2);
    EXPECT_EQ(lease(store, "a", LARGE_JOBS, ns), 0);
    EXPECT_EQ(count_of(store, "a", JOB_ACTIVE), LARGE_JOBS * 3 / 4);
}

STORE_TEST(a_lease_of_large_jobs_from_any_queue_ends_too)
{
    push_large(store, "b");
    EXPECT(lease_large(store, NULL, 0, NULL, 0) >= 2);
}

STORE_TEST(a_filter_passes_no_job_over_that_was_too_large)
{
    unsigned looked = 0;
    StoreFilter filter = { takes_b, &looked };
    const Str name = STR_C("a");

    push_large(store, "a");
    EXPECT(lease_large(store, &name, 1, &filter, 0) >= 2);
}

/* Would catch a job that loses its place because a lease had no room for it. */
STORE_TEST(large_jobs_keep_their_order)
{
    unsigned ns[LARGE_JOBS], next = 0;
    size_t n;

    push_large(store, "a");
    while ((n = lease(store, "a", LARGE_JOBS, ns)) > 0) {
        for (size_t i = 0; i < n; i++)
            EXPECT_EQ(ns[i], next + i);
        next += (unsigned) n;
    }
    EXPECT_EQ(next, LARGE_JOBS);
}

/* Read all jobs in STATE, page by page. */
static void list_large(Store *store, JobState state, bool is_newest_first)
{
    unsigned seen[LARGE_JOBS] = { 0 }, pages = 0;
    uint8_t cursor[40];
    size_t len = 0, total = 0;
    int r;

    do {
        AUTO(store_op_deinit)
        StoreOp op = { .kind = STORE_LIST,
                       .list = { .states = 1u << state,
                                 .is_newest_first = is_newest_first,
                                 .max = 200,
                                 .cursor = str_from((char *) cursor, len) } };
        EXPECT_OK(store_run(store, &op));
        EXPECT(is_within(store, &op, LIMIT_LIST_BYTES));
        EXPECT(op.list.n > 0 || op.r == 0);
        EXPECT_EQ(op.list.total, LARGE_JOBS);
        EXPECT_EQ(see_all(&op, state == JOB_ACTIVE, seen), op.list.n);
        total += op.list.n;
        len = op.list.next_len;
        memcpy(cursor, op.list.next, len);
        r = op.r;
    } while (r == STORE_MORE && ++pages < LARGE_JOBS);
    EXPECT(pages > 0);
    EXPECT_EQ(total, LARGE_JOBS);
    expect_each_once(seen);
}

/* Would catch a page that nobody could carry, and a cursor that leaves jobs out. */
STORE_TEST(a_page_of_large_jobs_ends_early)
{
    const Str names[] = { STR_C("a"), STR_C("b") };

    push_large(store, "b");
    list_large(store, JOB_AVAILABLE, false);
    list_large(store, JOB_AVAILABLE, true);
    (void) lease_large(store, names, 2, NULL, 0);
    list_large(store, JOB_ACTIVE, false);
    list_large(store, JOB_ACTIVE, true);
}

/* Would catch a round of ended leases that is too much to be read, so that none is rescued. */
STORE_TEST(a_round_of_ended_leases_of_large_jobs_ends_early)
{
    const Str name = STR_C("a");
    unsigned seen[LARGE_JOBS] = { 0 }, rounds = 0;
    int r;

    push_large(store, "a");
    (void) lease_large(store, &name, 1, NULL, 1);
    EXPECT_OK(sl_sleep_ms(3));
    do {
        unsigned now[LARGE_JOBS] = { 0 };
        AUTO(store_op_deinit) StoreOp op = { .kind = STORE_EXPIRED, .due.max = 1000 };

        EXPECT_OK(store_run(store, &op));
        EXPECT(is_within(store, &op, LIMIT_LIST_BYTES));
        EXPECT_EQ(see_all(&op, 1, now), op.due.n);
        for (unsigned i = 0; i < LARGE_JOBS; i++) {
            StoreMove back = {
                .id = id_of(i), .from = JOB_IN(ACTIVE), .only_expired = true, .to = JOB_AVAILABLE
            };
            if (now[i] > 0)
                EXPECT_OK(move(store, &back));
            seen[i] += now[i];
        }
        r = op.r;
    } while (r == STORE_MORE && ++rounds < LARGE_JOBS);
    EXPECT(rounds > 0);
    expect_each_once(seen);
    EXPECT_EQ(count_of(store, "a", JOB_AVAILABLE), LARGE_JOBS);
}

TEST_MAIN()
