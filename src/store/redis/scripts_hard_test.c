/*
 * The scripts on hard days: jobs so large that one answer cannot have them all, jobs that somebody
 * has edited, pushes of which one is refused, a client that comes seldom.
 */
#include "store/redis/server_test_int.h"

#include "store/engine_int.h"

#define T0 INT64_C(1763735520000)

enum { BYTES = 1 << 20, N = 24 };

static JobId id_of(unsigned n)
{
    JobId id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

    id.bytes[15] = (uint8_t) n;
    return id;
}

static Str key_of(Arena *arena, unsigned n)
{
    JobId id = id_of(n);
    char text[JOB_ID_TEXT_BYTES];

    return arena_printf(arena, "sl{0}:job:%s", job_id_format(&id, text).data);
}

/* A record of job N with LEN bytes of arguments. */
static void make(Buf *record, unsigned n, size_t len)
{
    char *args = mem_zalloc(len + 2);
    JobSpec spec = { .id = id_of(n), .type = STR_C("t"), .queue = STR_C("a") };

    memset(args, '1', len);
    args[0] = '[';
    args[len - 1] = ']';
    spec.args = str_from(args, len);
    record->max_bytes = 4 << 20;
    record_encode(record, &spec, T0);
    mem_free(args);
}

/* Push two jobs in two pushes of one call; the results. */
static void push_two(uint64_t number, unsigned first, unsigned second, int rs[2])
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf one = { 0 };
    AUTO(buf_deinit) Buf two = { 0 };
    RequestHead head = test_head(number, T0);
    Request request;
    Str records[2];

    make(&one, first, 3);
    make(&two, second, 3);
    records[0] = buf_str(&one);
    records[1] = buf_str(&two);
    AUTO(store_op_deinit)
    StoreOp a = { .kind = STORE_PUSH, .push = { .records = &records[0], .n = 1 } };
    AUTO(store_op_deinit)
    StoreOp b = { .kind = STORE_PUSH, .push = { .records = &records[1], .n = 1 } };
    StoreOp *ops[] = { &a, &b };
    EXPECT_OK(request_push(&arena, &head, test_server.has_functions, ops, 2, &request));
    RespValue reply = test_ask(&arena, request.argv, request.argc);
    EXPECT_OK(answer_push(&reply, ops, 2));
    rs[0] = a.r;
    rs[1] = b.r;
}

static void push_large(unsigned n, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf buf = { 0 };
    RequestHead head = test_head(n, T0);
    Request request;
    Str record;

    make(&buf, n, len);
    record = buf_str(&buf);
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    StoreOp *ops[] = { &op };
    EXPECT_OK(request_push(&arena, &head, test_server.has_functions, ops, 1, &request));
    RespValue reply = test_ask(&arena, request.argv, request.argc);
    EXPECT_OK(answer_push(&reply, ops, 1));
    EXPECT_EQ(op.r, 0);
}

/* Lease up to MAX; expects that they follow on *LAST, which is moved. How many. */
static size_t lease(uint64_t number, size_t max, const Str *skip, size_t n_skip, unsigned *last)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str name = STR_C("a"), record;
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_LEASE,
                   .lease = { .queues = &name,
                              .n_queues = 1,
                              .max = max,
                              .default_ms = 30000,
                              .worker = STR_C("w") } };
    RequestHead head = test_head(number, T0);
    size_t cursor = 0;
    Request request;

    EXPECT_OK(request_work(&arena, &head, test_server.has_functions, NULL, NULL, 0, &op, (Str){ 0 },
                           skip, n_skip, &request));
    RespValue reply = test_ask(&arena, request.argv, request.argc);
    EXPECT_OK(answer_work(&reply, NULL, NULL, 0, &op));
    while (store_out_next(&op.out, &cursor, &record)) {
        EXPECT_EQ(record_id(record).bytes[15], *last + 1);
        *last = record_id(record).bytes[15];
    }
    return op.lease.n;
}

/* What an operation of time or a list gives; how many jobs. */
static size_t ask_one(StoreOp *op, int64_t now_ms)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RequestHead head = test_head(0, now_ms);
    Request request;

    EXPECT_OK(request_one(&arena, &head, test_server.has_functions, op, (Str){ 0 }, &request));
    RespValue reply = test_ask(&arena, request.argv, request.argc);
    EXPECT_OK(answer_one(&reply, op));
    return op->kind == STORE_LIST ? op->list.n : op->due.n;
}

static size_t list(uint32_t states, int *ret_r)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_LIST, .list = { .states = states, .max = 200 } };
    size_t n = ask_one(&op, T0);

    *ret_r = op.r;
    return n;
}

static size_t expired(int64_t now_ms, int *ret_r)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_EXPIRED,
                   .due = { .max = 200, .next_wall_ms = INT64_MAX, .next_steady_ms = INT64_MAX } };
    size_t n = ask_one(&op, now_ms);

    *ret_r = op.r;
    return n;
}

TEST(an_answer_ends_before_it_is_too_large)
{
    static const Str skip[] = { STR("x") };
    unsigned last = 0;
    size_t n;
    int r;

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    for (unsigned i = 1; i <= N; i++)
        push_large(i, BYTES);
    n = list(JOB_IN(AVAILABLE), &r);
    EXPECT(n >= LIMIT_LIST_BYTES / BYTES - 1 && n <= LIMIT_LIST_BYTES / BYTES + 1);
    EXPECT_EQ(r, STORE_MORE);
    n = lease(100, 200, NULL, 0, &last);
    EXPECT(n >= LIMIT_LEASE_BYTES / BYTES - 1 && n <= LIMIT_LEASE_BYTES / BYTES + 1);
    n = lease(101, 200, skip, 1, &last); /* what went back before the line, by type */
    EXPECT(n >= LIMIT_LEASE_BYTES / BYTES - 1 && n <= LIMIT_LEASE_BYTES / BYTES + 1);
    push_large(N + 1, 3);
    for (uint64_t number = 102; last < N + 1 && number < 110; number++)
        (void) lease(number, 200, NULL, 0, &last);
    EXPECT_EQ(last, N + 1);
    EXPECT_EQ(lease(110, 200, NULL, 0, &last), 0);
    n = expired(T0 + 60000, &r);
    EXPECT(n >= LIMIT_LIST_BYTES / BYTES - 1 && n <= LIMIT_LIST_BYTES / BYTES + 2);
    EXPECT_EQ(r, STORE_MORE);
}

TEST(a_job_that_was_edited_stops_no_other)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    static const char *const texts[] = { "{}", "active 1 1", "" };
    unsigned last = 0;
    int r;

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        test_server_empty(test_server_has_functions());
        for (unsigned n = 1; n <= 3; n++)
            push_large(n, 3);
        last = 0;
        EXPECT_EQ(lease(10, 3, NULL, 0, &last), 3);
        (void) TEST_ASK(&arena, "SET", key_of(&arena, 2).data, texts[i]);
        EXPECT_EQ(list(JOB_IN(ACTIVE), &r), 2);
        EXPECT_EQ(expired(T0 + 60000, &r), 2);
        EXPECT_EQ(expired(T0 + 60000, &r), 2); /* until they are moved */
    }
    /* Its first line is that of a job, what follows is not: the answer has the others. */
    test_server_empty(test_server_has_functions());
    for (unsigned n = 1; n <= 3; n++)
        push_large(n, 3);
    (void) TEST_ASK(&arena, "APPEND", key_of(&arena, 3).data, "and so on");
    last = 0;
    EXPECT_EQ(list(JOB_IN(AVAILABLE), &r), 2);
    EXPECT_EQ(lease(10, 3, NULL, 0, &last), 2);
    EXPECT_EQ(expired(T0 + 60000, &r), 2);
}

TEST(events_of_a_push_are_told_though_the_next_is_refused)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    Str argv[] = { STR_C("SUBSCRIBE"), STR_C("sl{0}:events") };
    char text[2048];
    ssize_t n;
    int rs[2];

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    push_large(2, 3);
    int fd = test_server_connect();
    resp_add_command(&out, argv, 2);
    EXPECT_EQ(write(fd, out.data, out.len), (long long) out.len);
    EXPECT(read(fd, text, sizeof(text)) > 0);
    (void) TEST_ASK(&arena, "SET", "sl{0}:listen", "1");
    push_two(9, 1, 2, rs);
    EXPECT_EQ(rs[0], 0);
    EXPECT_EQ(rs[1], -ERR_DUPLICATE);
    n = read(fd, text, sizeof(text) - 1);
    EXPECT(n > 0);
    text[MAX(n, (ssize_t) 0)] = '\0';
    EXPECT(strstr(text, "new available 01900000-0000-7000-8000-000000000001 a"));
    EXPECT(!strstr(text, "-000000000002 a"));
    close(fd);
}

TEST(answers_are_kept_for_their_time_after_the_last_call)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    unsigned last = 0;

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    push_large(1, 3);
    (void) TEST_ASK(&arena, "EXPIRE", "sl{0}:ops:c1", "100");
    RequestHead head = test_head(3, T0); /* hears the first, and no number that ends with 0 */
    head.heard = STR_C("1");
    StoreOp op = { .kind = STORE_DELETE, .del.id = id_of(9) };
    Request request;
    EXPECT_OK(request_one(&arena, &head, test_server.has_functions, &op, (Str){ 0 }, &request));
    (void) test_ask(&arena, request.argv, request.argc);
    RespValue left = TEST_ASK(&arena, "TTL", "sl{0}:ops:c1");
    EXPECT(left.number > LIMIT_REDIS_OPS_S - 100);
    EXPECT_EQ(lease(4, 1, NULL, 0, &last), 1);
}

/* Job N ends as cancelled and is forgotten. */
static void cancel(uint64_t number, unsigned n)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    StoreMove what = {
        .id = id_of(n), .from = JOB_IN_LIVE, .to = JOB_CANCELLED, .reason = JOB_REASON_REQUESTED
    };
    StoreMove *moves[] = { &what };
    StoreOp op = { .kind = STORE_MOVE, .move = { .moves = &what, .n = 1 } };
    RequestHead head = test_head(number, T0);
    Request request;

    EXPECT_OK(request_work(&arena, &head, test_server.has_functions, &op, moves, 1, NULL,
                           (Str){ 0 }, NULL, 0, &request));
    RespValue reply = test_ask(&arena, request.argv, request.argc);
    EXPECT_OK(answer_work(&reply, &op, moves, 1, NULL));
    EXPECT_EQ(what.r, 0);
    StoreOp del = { .kind = STORE_DELETE, .del = { .id = id_of(n), .from = JOB_IN(CANCELLED) } };
    head = test_head(number + 1, T0);
    EXPECT_OK(request_one(&arena, &head, test_server.has_functions, &del, (Str){ 0 }, &request));
    reply = test_ask(&arena, request.argv, request.argc);
    EXPECT_OK(answer_one(&reply, &del));
    EXPECT_EQ(del.r, 0);
}

TEST(cancelled_jobs_leave_a_line_that_nobody_leases_from)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    unsigned last = 0;
    int r;

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    push_large(1, 3);
    for (unsigned i = 0; i < 1000; i++) {
        push_large(10 + i % 7, 3);
        if (i == 500)
            push_large(2, 3);
        cancel(2 * i + 10000, 10 + i % 7);
    }
    push_large(3, 3);
    RespValue len = TEST_ASK(&arena, "LLEN", "sl{0}:ready:a:0");
    EXPECT(len.number <= 2 * LIMIT_REDIS_STALE + 8);
    RespValue stale = TEST_ASK(&arena, "HLEN", "sl{0}:stale:a:0");
    EXPECT(stale.number <= LIMIT_REDIS_STALE + 4);
    EXPECT_EQ(list(JOB_IN(AVAILABLE), &r), 3);
    EXPECT_EQ(lease(9, 10, NULL, 0, &last), 3);
    EXPECT_EQ(last, 3);
    EXPECT_EQ(lease(8, 10, NULL, 0, &last), 0);
}

TEST_MAIN()
