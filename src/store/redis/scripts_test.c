/*
 * What the scripts promise beside the results of operations: an answer given twice when it was
 * lost, a server that lost its data noticed, one keeper of time, waiters told in the order in
 * which they came, ends and events published, types passed over, no room.
 */
#include "store/redis/server_test_int.h"

#include "store/engine_int.h"

#define T0 INT64_C(1763735520000)

static JobId id_of(unsigned n)
{
    JobId id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

    id.bytes[15] = (uint8_t) n;
    return id;
}

/* A call of a request; its reply in the arena. */
static RespValue ask(Arena *arena, const Request *request)
{
    return test_ask(arena, request->argv, request->argc);
}

static void push(uint64_t number, unsigned n, const char *queue, const char *type)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf buf = { 0 };
    JobSpec spec = { .id = id_of(n), .type = str_from_c(type), .queue = str_from_c(queue) };
    RequestHead head = test_head(number, T0);
    Request request;
    Str record;

    record_encode(&buf, &spec, T0);
    record = buf_str(&buf);
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    StoreOp *ops[] = { &op };
    EXPECT_OK(request_push(&arena, &head, test_server.has_functions, ops, 1, &request));
    RespValue reply = ask(&arena, &request);
    EXPECT_OK(answer_push(&reply, ops, 1));
    EXPECT_EQ(op.r, 0);
}

typedef struct Taken {
    unsigned ns[16];
    size_t n;
    int r;
} Taken;

static Taken lease(uint64_t number, bool again, const char *queue, size_t max, const char *process,
                   const Str *skip, size_t n_skip)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str name = str_from_c(queue), record;
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_LEASE,
                   .lease = { .queues = &name,
                              .n_queues = *queue ? 1 : 0,
                              .max = max,
                              .default_ms = 30000,
                              .worker = STR_C("w") } };
    RequestHead head = test_head(number, again ? T0 + 5 : T0);
    Taken taken = { 0 };
    size_t cursor = 0;
    Request request;

    EXPECT_OK(request_work(&arena, &head, test_server.has_functions, NULL, NULL, 0, &op,
                           str_from_c(process), skip, n_skip, &request));
    if (again)
        *request.again = '1';
    RespValue reply = ask(&arena, &request);
    EXPECT_OK(answer_work(&reply, NULL, NULL, 0, &op));
    taken.r = op.r;
    while (store_out_next(&op.out, &cursor, &record)) {
        JobId id = record_id(record);
        taken.ns[taken.n++] = id.bytes[15];
    }
    EXPECT_EQ(taken.n, op.lease.n);
    return taken;
}

static int move_to(uint64_t number, unsigned n, JobState to, bool again)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    StoreMove what = { .id = id_of(n),
                       .from = JOB_IN_LIVE,
                       .to = to,
                       .keeps_place = to == JOB_AVAILABLE,
                       .reason = to == JOB_CANCELLED ? JOB_REASON_REQUESTED : JOB_REASON_NONE };
    StoreMove *moves[] = { &what };
    StoreOp op = { .kind = STORE_MOVE, .move = { .moves = &what, .n = 1 } };
    RequestHead head = test_head(number, T0);
    Request request;

    EXPECT_OK(request_work(&arena, &head, test_server.has_functions, &op, moves, 1, NULL,
                           (Str){ 0 }, NULL, 0, &request));
    if (again)
        *request.again = '1';
    RespValue reply = ask(&arena, &request);
    EXPECT_OK(answer_work(&reply, &op, moves, 1, NULL));
    return what.r;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* A second connection that hears CHANNEL. */
static int listen_to(const char *channel)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Str argv[] = { STR_C("SUBSCRIBE"), str_from_c(channel) };
    int fd = test_server_connect();
    char answer[256];

    resp_add_command(&out, argv, 2);
    EXPECT_EQ(write(fd, out.data, out.len), (long long) out.len);
    EXPECT(read(fd, answer, sizeof(answer)) > 0);
    return fd;
}

/* Whether a message came; a question on the first connection has been answered since. */
static bool hears(int fd, const char *part)
{
    char text[2048];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    if (n <= 0)
        return false;
    text[n] = '\0';
    if (!strstr(text, part))
        test_fail(__FILE__, __LINE__, "heard \"%s\", wanted \"%s\"", text, part);
    return true;
}

static void settle(void)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    for (int i = 0; i < 3; i++)
        (void) TEST_ASK(&arena, "PING");
}

/* ---- answers --------------------------------------------------------------------------------- */

TEST(a_lost_answer_is_given_again_and_nothing_is_done_twice)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    push(1, 1, "a", "t");
    push(2, 2, "a", "t");
    Taken first = lease(3, false, "a", 1, "", NULL, 0);
    Taken again = lease(3, true, "a", 1, "", NULL, 0);
    EXPECT_EQ(first.n, 1);
    EXPECT_EQ(again.n, 1);
    EXPECT_EQ(again.ns[0], first.ns[0]);
    EXPECT_OK(move_to(4, 1, JOB_COMPLETED, false));
    EXPECT_OK(move_to(4, 1, JOB_COMPLETED, true)); /* its own answer, not a conflict */
    EXPECT_EQ(move_to(5, 1, JOB_COMPLETED, true), -ERR_CONFLICT); /* it had not run */
}

/* Whether a call that is no repeat is told that it comes too late. */
static bool is_late(uint64_t number)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str name = STR_C("a");
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_LEASE,
                   .lease = { .queues = &name, .n_queues = 1, .max = 1, .default_ms = 30000 } };
    RequestHead head = test_head(number, T0);
    Request request;

    EXPECT_OK(request_work(&arena, &head, test_server.has_functions, NULL, NULL, 0, &op, (Str){ 0 },
                           NULL, 0, &request));
    RespValue reply = ask(&arena, &request);
    return resp_is_error(&reply, "SLUICELATE");
}

TEST(what_arrives_behind_its_own_repeat_does_nothing)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    push(1, 1, "a", "t");
    (void) lease(7, true, "a", 1, "", NULL, 0);
    (void) lease(5, true, "a", 1, "", NULL, 0); /* repeats may come in another order */
    EXPECT(is_late(5));
    EXPECT(is_late(7));
    EXPECT(!is_late(8));
}

TEST(a_job_that_has_gone_on_is_not_given_again)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    push(1, 1, "a", "t");
    EXPECT_EQ(lease(2, false, "a", 1, "", NULL, 0).n, 1);
    EXPECT_OK(move_to(3, 1, JOB_CANCELLED, false));
    Taken again = lease(2, true, "a", 1, "", NULL, 0);
    EXPECT_EQ(again.n, 0);
    EXPECT_EQ(again.r, STORE_EMPTY);
}

TEST(another_epoch_is_refused_before_anything)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    for (int round = 0; round < 2; round++) {
        StoreOp op = { .kind = STORE_GET, .get.id = id_of(1) };
        RequestHead head = test_head(0, T0);
        Request request;

        (void) (round == 0 ? TEST_ASK(&arena, "SET", "sl{0}:epoch", "e2")
                           : TEST_ASK(&arena, "FLUSHALL"));
        EXPECT_OK(request_one(&arena, &head, test_server.has_functions, &op, (Str){ 0 }, &request));
        RespValue reply = ask(&arena, &request);
        EXPECT(resp_is_error(&reply, "SLUICEEPOCH"));
    }
}

static void fill_up(bool has_functions)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf buf = { 0 };
    JobSpec spec = { .id = id_of(9), .type = STR_C("t"), .queue = STR_C("a") };
    RequestHead head = test_head(9, T0);
    Request request;
    Str record;

    test_server_empty(has_functions);
    push(1, 1, "a", "t");
    (void) TEST_ASK(&arena, "CONFIG", "SET", "maxmemory", "1");
    record_encode(&buf, &spec, T0);
    record = buf_str(&buf);
    StoreOp op = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    StoreOp *ops[] = { &op };
    EXPECT_OK(request_push(&arena, &head, test_server.has_functions, ops, 1, &request));
    RespValue reply = ask(&arena, &request);
    EXPECT_OK(answer_push(&reply, ops, 1));
    EXPECT_EQ(op.r, -ERR_STORE_FULL);
    EXPECT_EQ(lease(2, false, "a", 1, "", NULL, 0).n, 1);
    EXPECT_OK(move_to(3, 1, JOB_COMPLETED, false));
    (void) TEST_ASK(&arena, "CONFIG", "SET", "maxmemory", "0");
}

TEST(no_room_refuses_pushes_and_lets_jobs_end)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    if (test_server_has_functions())
        fill_up(true);
    fill_up(false);
}

static void ask_a_replica(bool has_functions)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf buf = { 0 };
    JobSpec spec = { .id = id_of(1), .type = STR_C("t"), .queue = STR_C("a") };
    RequestHead head = test_head(1, T0);
    Request request;
    Str record;

    test_server_empty(has_functions);
    (void) TEST_ASK(&arena, "REPLICAOF", "127.0.0.1", "1");
    record_encode(&buf, &spec, T0);
    record = buf_str(&buf);
    StoreOp op = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    StoreOp *ops[] = { &op };
    EXPECT_OK(request_push(&arena, &head, has_functions, ops, 1, &request));
    RespValue reply = ask(&arena, &request);
    EXPECT(resp_is_error(&reply, "READONLY"));
    (void) TEST_ASK(&arena, "REPLICAOF", "NO", "ONE");
}

TEST(a_server_that_has_become_a_replica_says_so)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    if (test_server_has_functions())
        ask_a_replica(true);
    ask_a_replica(false);
}

/* ---- time ------------------------------------------------------------------------------------ */

static StoreOp promote_as(const char *process, int64_t now_ms)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    StoreOp op = { .kind = STORE_PROMOTE,
                   .due = { .max = 10, .next_wall_ms = INT64_MAX, .next_steady_ms = INT64_MAX } };
    RequestHead head = test_head(0, now_ms);
    Request request;

    EXPECT_OK(
        request_one(&arena, &head, test_server.has_functions, &op, str_from_c(process), &request));
    RespValue reply = ask(&arena, &request);
    EXPECT_OK(answer_one(&reply, &op));
    return op;
}

TEST(one_process_keeps_time_until_it_is_silent)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    EXPECT(!promote_as("p1", T0).due.is_elsewhere);
    StoreOp other = promote_as("p2", T0 + 1);
    EXPECT(other.due.is_elsewhere);
    EXPECT_EQ(other.due.next_wall_ms, T0 + LIMIT_REDIS_TICKER_MS);
    EXPECT(!promote_as("p1", T0 + LIMIT_REDIS_TICKER_MS - 1).due.is_elsewhere);
    EXPECT(promote_as("p2", T0 + LIMIT_REDIS_TICKER_MS).due.is_elsewhere);
    EXPECT(!promote_as("p2", T0 + 2 * LIMIT_REDIS_TICKER_MS).due.is_elsewhere);
    EXPECT(promote_as("p1", T0 + 2 * LIMIT_REDIS_TICKER_MS).due.is_elsewhere);
}

TEST(the_keeper_of_time_hears_of_what_is_due_before_it_looks)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    int fd = listen_to("sl{0}:wake:p1");
    EXPECT(!promote_as("p1", T0).due.is_elsewhere);
    push(1, 1, "a", "t");
    EXPECT_EQ(lease(2, false, "a", 1, "", NULL, 0).n, 1); /* ends in 30 s: time enough */
    settle();
    EXPECT(!hears(fd, "*"));
    StoreBeat beat = { .id = id_of(1) };
    StoreBeat *beats[] = { &beat };
    StoreOp op = { .kind = STORE_EXTEND, .extend = { .beats = &beat, .n = 1, .lease_ms = 100 } };
    RequestHead head = test_head(0, T0);
    Request request;
    EXPECT_OK(request_beat(&arena, &head, test_server.has_functions, &op, beats, 1, &request));
    (void) ask(&arena, &request);
    settle();
    EXPECT(hears(fd, "*"));
    close(fd);
}

/* ---- waiting --------------------------------------------------------------------------------- */

TEST(waiters_are_told_in_turn_and_one_for_each_job)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    int one = listen_to("sl{0}:wake:p1"), two = listen_to("sl{0}:wake:p2");

    EXPECT_EQ(lease(1, false, "a", 1, "p1", NULL, 0).n, 0);
    EXPECT_EQ(lease(2, true, "a", 1, "p2", NULL, 0).n, 0); /* five ms later */
    push(3, 1, "a", "t");
    settle();
    EXPECT(hears(one, "\r\na\r\n"));
    EXPECT(!hears(two, "a"));
    push(4, 2, "a", "t");
    settle();
    EXPECT(!hears(one, "a"));
    EXPECT(hears(two, "a"));
    push(5, 3, "a", "t"); /* nobody waits any more */
    settle();
    EXPECT(!hears(one, "a") && !hears(two, "a"));
    close(one);
    close(two);
}

TEST(who_is_deaf_is_passed_over_and_what_is_left_is_passed_on)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    int two = listen_to("sl{0}:wake:p2");

    EXPECT_EQ(lease(1, false, "a", 1, "gone", NULL, 0).n, 0);
    EXPECT_EQ(lease(2, true, "", 1, "p2", NULL, 0).n, 0); /* waits for any queue */
    push(3, 1, "a", "t");
    settle();
    EXPECT(hears(two, "\r\na\r\n"));
    EXPECT_EQ(lease(4, true, "", 1, "p2", NULL, 0).n, 1);
    EXPECT_EQ(lease(5, true, "", 1, "p2", NULL, 0).n, 0);
    push(6, 2, "a", "t");
    push(7, 3, "a", "t");
    settle();
    EXPECT(hears(two, "\r\na\r\n"));
    /* Another takes one and leaves one: a waiter that came since is told. */
    EXPECT_EQ(lease(8, true, "b", 1, "p2", NULL, 0).n, 0);
    EXPECT_EQ(lease(9, true, "a", 1, "p3", NULL, 0).n, 1);
    settle();
    EXPECT(!hears(two, "a")); /* it waits for b alone */
    close(two);
}

TEST(ends_and_events_are_published)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    StoreOp op = { .kind = STORE_WAIT, .get.id = id_of(1) };
    RequestHead head = test_head(0, T0);
    char channel[80], id[JOB_ID_TEXT_BYTES];
    Request request;

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    push(1, 1, "a", "t x");
    (void) job_id_format(&op.get.id, id);
    snprintf(channel, sizeof(channel), "sl{0}:end:%s", id);
    int end = listen_to(channel), events = listen_to("sl{0}:events"),
        control = listen_to("sl{0}:control");
    EXPECT_OK(request_one(&arena, &head, test_server.has_functions, &op, (Str){ 0 }, &request));
    RespValue reply = ask(&arena, &request);
    EXPECT_OK(answer_one(&reply, &op));
    EXPECT_EQ(op.r, 0);
    store_op_deinit(&op);
    (void) TEST_ASK(&arena, "SET", "sl{0}:listen", "1");
    EXPECT_EQ(lease(2, false, "a", 1, "", NULL, 0).n, 1);
    settle();
    EXPECT(hears(events, "available active 01900000-0000-7000-8000-000000000001 a t%20x 0 1 3"));
    EXPECT(!hears(end, ""));
    EXPECT_OK(move_to(3, 1, JOB_CANCELLED, false));
    settle();
    EXPECT(hears(end, id));
    EXPECT(hears(control, "cancelled 01900000"));
    EXPECT(hears(events, "active cancelled 01900000-0000-7000-8000-000000000001 a t%20x 0 1 3 "
                         "requested 0 0"));
    close(end);
    close(events);
    close(control);
}

/* ---- types ----------------------------------------------------------------------------------- */

TEST(types_are_passed_over_and_keep_their_place)
{
    static const Str skip[] = { STR("x"), STR("y") };

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    for (unsigned i = 1; i <= 9; i++)
        push(i, i, "a", i % 3 == 0 ? "b" : i % 2 ? "x" : "y");
    Taken some = lease(10, false, "a", 2, "", skip, 2);
    EXPECT_EQ(some.n, 2);
    EXPECT_EQ(some.ns[0], 3);
    EXPECT_EQ(some.ns[1], 6);
    EXPECT_OK(move_to(11, 3, JOB_AVAILABLE, false)); /* back to a place that was passed */
    some = lease(12, false, "a", 5, "", skip, 2);
    EXPECT_EQ(some.n, 2);
    EXPECT_EQ(some.ns[0], 3);
    EXPECT_EQ(some.ns[1], 9);
    EXPECT_EQ(lease(13, false, "a", 5, "", skip, 2).n, 0);
    some = lease(14, false, "a", 16, "", NULL, 0);
    EXPECT_EQ(some.n, 6);
    for (size_t i = 1; i < some.n; i++)
        EXPECT(some.ns[i] > some.ns[i - 1]);
}

TEST(queues_take_turns_when_any_will_do)
{
    unsigned seen = 0;

    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    test_server_empty(test_server_has_functions());
    for (unsigned i = 0; i < 9; i++)
        push(i + 1, i, i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", "t");
    for (unsigned i = 0; i < 3; i++)
        seen |= 1u << lease(20 + i, false, "", 1, "", NULL, 0).ns[0] % 3;
    EXPECT_EQ(seen, 7);
    EXPECT_EQ(lease(30, false, "", 16, "", NULL, 0).n, 6);
}

TEST_MAIN()
