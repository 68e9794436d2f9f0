/*
 * The scripts against the engine: the same random operations to a Redis and to the memory store, at
 * the same moments, with every answer and everything that can be read compared. What one of them
 * does otherwise (an order, a count, a guard, a word) shows as the first difference.
 */
#include "store/redis/server_test_int.h"

#include "base/rand.h"
#include "gen/stores.h"
#include "store/engine_int.h"

enum { JOBS = 24, QUEUES = 3, STEPS = 400, RUNS = 6 };

#define T0 INT64_C(1763735520000)

typedef struct World {
    const StoreDriver *driver;
    void *db;
    int64_t now_ms;
    uint64_t number;
    uint64_t seed;
    int step;
    const char *doing;
} World;

static const char *const queue_names[QUEUES] = { "a", "b c", "*" };

static void differ(World *world, const char *what, long long got, long long want)
{
    if (got != want)
        test_fail(__FILE__, __LINE__, "seed %llu step %d %s: %s: redis %lld, engine %lld",
                  (unsigned long long) world->seed, world->step, world->doing, what, got, want);
}

static void differ_text(World *world, const char *what, Str got, Str want)
{
    if (!str_eq(got, want))
        test_fail(__FILE__, __LINE__, "seed %llu step %d %s: %s: redis \"%.*s\", engine \"%.*s\"",
                  (unsigned long long) world->seed, world->step, world->doing, what, (int) got.len,
                  got.data, (int) want.len, want.data);
}

static JobId id_of(unsigned n)
{
    JobId id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

    id.bytes[15] = (uint8_t) (n * 37);
    id.bytes[14] = (uint8_t) n;
    return id;
}

/* ---- both of them ---------------------------------------------------------------------------- */

static void by_engine(World *world, StoreOp *op)
{
    StoreNow now = { world->now_ms, world->now_ms };

    EXPECT_OK(world->driver->begin(world->db, &now));
    EXPECT_OK(world->driver->apply(world->db, op));
    EXPECT_OK(world->driver->commit(world->db));
}

static void by_redis(World *world, StoreOp *op)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RequestHead head = test_head(++world->number, world->now_ms);
    bool f = test_server.has_functions;
    StoreMove *moves[8];
    StoreBeat *beats[8];
    Request request;
    RespValue reply;
    int r;

    if (op->kind == STORE_PUSH) {
        r = request_push(&arena, &head, f, &op, 1, &request);
    } else if (op->kind == STORE_LEASE) {
        r = request_work(&arena, &head, f, NULL, NULL, 0, op, (Str){ 0 }, NULL, 0, &request);
    } else if (op->kind == STORE_MOVE) {
        for (size_t i = 0; i < op->move.n; i++)
            moves[i] = &op->move.moves[i];
        r = request_work(&arena, &head, f, op, moves, op->move.n, NULL, (Str){ 0 }, NULL, 0,
                         &request);
    } else if (op->kind == STORE_EXTEND) {
        for (size_t i = 0; i < op->extend.n; i++)
            beats[i] = &op->extend.beats[i];
        r = request_beat(&arena, &head, f, op, beats, op->extend.n, &request);
    } else {
        r = request_one(&arena, &head, f, op, (Str){ 0 }, &request);
    }
    EXPECT_OK(r);
    reply = test_ask(&arena, request.argv, request.argc);
    if (op->kind == STORE_PUSH)
        r = answer_push(&reply, &op, 1);
    else if (op->kind == STORE_LEASE)
        r = answer_work(&reply, NULL, NULL, 0, op);
    else if (op->kind == STORE_MOVE)
        r = answer_work(&reply, op, moves, op->move.n, NULL);
    else if (op->kind == STORE_EXTEND)
        r = answer_beat(&reply, beats, op->extend.n);
    else
        r = answer_one(&reply, op);
    EXPECT_OK(r);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void same_job(World *world, Str got, Str want)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Job a, b;

    EXPECT_OK(record_decode(&arena, got, &a));
    EXPECT_OK(record_decode(&arena, want, &b));
    differ(world, "id", a.id.bytes[14], b.id.bytes[14]);
    differ(world, "state", a.state, b.state);
    differ(world, "reason", a.reason, b.reason);
    differ(world, "is_dead_letter", a.is_dead_letter, b.is_dead_letter);
    differ(world, "priority", a.priority, b.priority);
    differ(world, "attempt", a.attempt, b.attempt);
    differ(world, "max_attempts", a.max_attempts, b.max_attempts);
    differ(world, "lost", a.lost, b.lost);
    differ(world, "fence", a.fence, b.fence);
    differ(world, "directive", a.directive, b.directive);
    differ(world, "created", a.created_ms, b.created_ms);
    differ(world, "enqueued", a.enqueued_ms, b.enqueued_ms);
    differ(world, "started", a.started_ms, b.started_ms);
    differ(world, "finished", a.finished_ms, b.finished_ms);
    differ(world, "run_at", a.run_at_ms, b.run_at_ms);
    differ(world, "next_attempt", a.next_attempt_ms, b.next_attempt_ms);
    differ(world, "lease_until", a.lease_until_ms, b.lease_until_ms);
    differ(world, "lease_length", a.lease_length_ms, b.lease_length_ms);
    differ(world, "expires", a.expires_at_ms, b.expires_at_ms);
    differ(world, "timeout", a.timeout_ms, b.timeout_ms);
    differ(world, "lease", a.lease_ms, b.lease_ms);
    differ(world, "retry_delay", a.retry_delay_ms, b.retry_delay_ms);
    differ(world, "errors", (long long) a.n_errors, (long long) b.n_errors);
    differ_text(world, "type", a.type, b.type);
    differ_text(world, "queue", a.queue, b.queue);
    differ_text(world, "args", a.args, b.args);
    differ_text(world, "meta", a.meta, b.meta);
    differ_text(world, "result", a.result, b.result);
    for (size_t i = 0; i < a.n_errors && i < b.n_errors; i++) {
        differ(world, "error at", a.errors[i].at_ms, b.errors[i].at_ms);
        differ_text(world, "error", a.errors[i].message, b.errors[i].message);
    }
}

/* Answers that are jobs (and, for some, holders' names behind them), in order. */
static void same_out(World *world, const StoreOp *got, const StoreOp *want)
{
    size_t a = 0, b = 0;
    Str left, right;

    for (;;) {
        bool has_left = store_out_next(&got->out, &a, &left);
        bool has_right = store_out_next(&want->out, &b, &right);

        differ(world, "records", has_left, has_right);
        if (!has_left || !has_right)
            return;
        if (left.len > RECORD_ID_BYTES + RECORD_HEAD_BYTES &&
            right.len > RECORD_ID_BYTES + RECORD_HEAD_BYTES)
            same_job(world, left, right);
        else
            differ_text(world, "holder", left, right);
    }
}

static void same(World *world, const StoreOp *got, const StoreOp *want)
{
    differ(world, "r", got->r, want->r);
    differ_text(world, "words", str_from_c(got->why), str_from_c(want->why));
    same_out(world, got, want);
}

/* ---- operations ------------------------------------------------------------------------------ */

static void do_push(World *world, Rand *rand)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    JobRetry retry = JOB_RETRY_DEFAULT;
    static const Str pattern = STR("auth.*");
    size_t n = 1 + rand_below(rand, 3), at = 0;
    Str records[3];
    char key[8] = "";

    retry.non_retryable = &pattern;
    retry.n_non_retryable = 1;
    retry.coefficient = 1.1;
    for (size_t i = 0; i < n; i++) {
        size_t before = buf.len;
        JobSpec spec = { .id = id_of((unsigned) rand_below(rand, JOBS)),
                         .type = rand_below(rand, 3) ? STR_C("t.a") : STR_C("t b\n"),
                         .queue = str_from_c(queue_names[rand_below(rand, QUEUES)]),
                         .args = rand_below(rand, 2) ? STR_C("[\"a\nb\"]") : STR_C(""),
                         .meta = rand_below(rand, 3) ? STR_C("") : STR_C("{\"m\":1}"),
                         .priority = (int) rand_below(rand, 3) - 1,
                         .run_at_ms = rand_below(rand, 4) ? 0 : world->now_ms + 1500,
                         .expires_at_ms = rand_below(rand, 8) ? 0 : world->now_ms + 5500,
                         .timeout_ms = rand_below(rand, 5) ? 0 : 3500,
                         .lease_ms = rand_below(rand, 5) ? 0 : 2500,
                         .is_pending = rand_below(rand, 8) == 0,
                         .directive = (JobDirective) rand_below(rand, 3),
                         .retry = rand_below(rand, 4) ? NULL : &retry };

        record_encode(&buf, &spec, world->now_ms);
        records[i].len = buf.len - before;
    }
    for (size_t i = 0; i < n; i++, at += records[i - 1].len)
        records[i].data = buf.data + at;
    if (rand_below(rand, 4) == 0)
        snprintf(key, sizeof(key), "k %u", (unsigned) rand_below(rand, 6));
    StoreOp op = { .kind = STORE_PUSH,
                   .push = { .records = records,
                             .n = n,
                             .key = str_from_c(key),
                             .key_print = rand_below(rand, 5) ? UINT64_MAX : 7,
                             .key_ttl_ms = 1 << 30 } };
    AUTO(store_op_deinit) StoreOp other = op;
    AUTO(store_op_deinit) StoreOp mine = op;
    by_engine(world, &other);
    by_redis(world, &mine);
    same(world, &mine, &other);
    if (other.r == -ERR_DUPLICATE)
        differ(world, "at", (long long) mine.push.at, (long long) other.push.at);
}

static void do_lease(World *world, Rand *rand)
{
    Str names[2] = { str_from_c(queue_names[rand_below(rand, QUEUES)]),
                     str_from_c(queue_names[rand_below(rand, QUEUES)]) };
    StoreOp op = { .kind = STORE_LEASE,
                   .lease = { .queues = names,
                              .n_queues = 1 + rand_below(rand, 2),
                              .max = 1 + rand_below(rand, 4),
                              .lease_ms = rand_below(rand, 2) ? 2500 : 0,
                              .default_ms = 4500,
                              .worker = rand_below(rand, 2) ? STR_C("w") : STR_C("- %") } };
    AUTO(store_op_deinit) StoreOp other = op;
    AUTO(store_op_deinit) StoreOp mine = op;

    by_engine(world, &other);
    by_redis(world, &mine);
    differ(world, "n", (long long) mine.lease.n, (long long) other.lease.n);
    same(world, &mine, &other);
}

static uint32_t fence_of(World *world, const JobId *id)
{
    AUTO(store_op_deinit) StoreOp get = { .kind = STORE_GET, .get.id = *id };
    RecordHead head;
    size_t cursor = 0;
    Str record;

    by_engine(world, &get);
    if (get.r != 0 || !store_out_next(&get.out, &cursor, &record))
        return 1;
    record_head_get(record_body(record), &head);
    return head.fence;
}

static void describe(World *world, Rand *rand, StoreMove *move, const JobError *error)
{
    *move = (StoreMove){ .id = id_of((unsigned) rand_below(rand, JOBS)), .from = JOB_IN(ACTIVE) };
    move->fence = rand_below(rand, 4) ? fence_of(world, &move->id) : (uint32_t) rand_below(rand, 3);
    if (rand_below(rand, 3) == 0)
        move->worker = rand_below(rand, 2) ? STR_C("w") : STR_C("- %");
    switch (rand_below(rand, 8)) {
    case 0:
    case 1:
        move->to = JOB_COMPLETED;
        move->result = rand_below(rand, 2) ? STR_C("{\"r\": 1}") : STR_C("");
        break;
    case 2:
        move->to = JOB_RETRYABLE;
        move->due_ms = world->now_ms + 1500;
        move->retry_delay_ms = 1500;
        move->error = error;
        break;
    case 3:
        move->to = JOB_DISCARDED;
        move->is_dead_letter = rand_below(rand, 2);
        move->reason = JOB_REASON_EXHAUSTED;
        move->error = error;
        break;
    case 4:
        move->to = JOB_AVAILABLE;
        move->gives_back = true;
        move->keeps_place = rand_below(rand, 2);
        move->is_loss = move->only_expired = rand_below(rand, 2);
        break;
    case 5:
        move->from = JOB_IN_LIVE;
        move->fence = 0;
        move->to = JOB_CANCELLED;
        move->reason = JOB_REASON_REQUESTED;
        break;
    case 6:
        move->from = JOB_IN(DISCARDED) | JOB_IN(RETRYABLE) | JOB_IN(SCHEDULED);
        move->fence = 0;
        move->to = JOB_AVAILABLE;
        move->only_dead_letter = rand_below(rand, 2);
        move->starts_over_if = JOB_IN(DISCARDED);
        break;
    default:
        move->from = JOB_IN(PENDING);
        move->fence = 0;
        move->to = JOB_AVAILABLE;
    }
}

static void do_moves(World *world, Rand *rand)
{
    JobError error = {
        .type = STR_C("E x"), .message = STR_C("bad\nline"), .at_ms = world->now_ms, .attempt = 1
    };
    StoreMove left[6], right[6];
    size_t n = 1 + rand_below(rand, 6);

    describe(world, rand, &left[0], &error);
    for (size_t i = 1; i < n; i++) {
        if (rand_below(rand, 2)) {
            left[i] = left[i - 1];
            left[i].id = id_of((unsigned) rand_below(rand, JOBS));
            if (left[i].fence)
                left[i].fence = fence_of(world, &left[i].id);
        } else {
            describe(world, rand, &left[i], &error);
        }
    }
    memcpy(right, left, sizeof(left));
    bool wants = rand_below(rand, 2);
    AUTO(store_op_deinit)
    StoreOp mine = { .kind = STORE_MOVE,
                     .move = { .moves = left, .n = n, .wants_records = wants } };
    AUTO(store_op_deinit)
    StoreOp other = { .kind = STORE_MOVE,
                      .move = { .moves = right, .n = n, .wants_records = wants } };

    by_engine(world, &other);
    by_redis(world, &mine);
    for (size_t i = 0; i < n; i++) {
        differ(world, "move r", left[i].r, right[i].r);
        differ(world, "move was", left[i].was, right[i].was);
        differ(world, "move attempt", left[i].attempt, right[i].attempt);
        differ(world, "move at", left[i].at_ms, right[i].at_ms);
    }
    same(world, &mine, &other);
}

static void do_beats(World *world, Rand *rand)
{
    StoreBeat left[4], right[4];
    size_t n = 1 + rand_below(rand, 4);

    for (size_t i = 0; i < n; i++) {
        left[i] = (StoreBeat){ .id = id_of((unsigned) rand_below(rand, JOBS)) };
        left[i].fence = rand_below(rand, 3) ? fence_of(world, &left[i].id) : 0;
    }
    memcpy(right, left, sizeof(left));
    StoreOp mine = { .kind = STORE_EXTEND,
                     .extend = { .beats = left,
                                 .n = n,
                                 .lease_ms = rand_below(rand, 2) ? 3500 : 0,
                                 .worker = rand_below(rand, 2) ? STR_C("w") : STR_C("") } };
    StoreOp other = mine;

    other.extend.beats = right;
    by_engine(world, &other);
    by_redis(world, &mine);
    for (size_t i = 0; i < n; i++) {
        differ(world, "beat r", left[i].r, right[i].r);
        differ(world, "beat state", left[i].state, right[i].state);
        differ(world, "beat directive", left[i].directive, right[i].directive);
        differ(world, "beat until", left[i].until_ms, right[i].until_ms);
    }
}

/* When the first thing is due, as the jobs themselves say. */
static int64_t first_due(World *world)
{
    int64_t first = INT64_MAX;

    for (unsigned i = 0; i < JOBS; i++) {
        AUTO(store_op_deinit) StoreOp get = { .kind = STORE_GET, .get.id = id_of(i) };
        RecordHead head;
        size_t cursor = 0;
        Str record;

        by_engine(world, &get);
        if (get.r != 0 || !store_out_next(&get.out, &cursor, &record))
            continue;
        record_head_get(record_body(record), &head);
        if (1u << head.state & (JOB_IN(SCHEDULED) | JOB_IN(RETRYABLE) | JOB_IN(ACTIVE)))
            first = MIN(first, head.due_ms);
    }
    return first;
}

static void do_promote(World *world)
{
    AUTO(store_op_deinit) StoreOp mine = { .kind = STORE_PROMOTE, .due.max = 100 };
    AUTO(store_op_deinit) StoreOp other = { .kind = STORE_PROMOTE, .due.max = 100 };

    mine.due.next_wall_ms = mine.due.next_steady_ms = INT64_MAX;
    by_engine(world, &other);
    by_redis(world, &mine);
    differ(world, "promoted", (long long) mine.due.n, (long long) other.due.n);
    EXPECT(mine.due.next_wall_ms <= first_due(world));
}

static void do_expired(World *world)
{
    AUTO(store_op_deinit) StoreOp mine = { .kind = STORE_EXPIRED, .due.max = 100 };
    AUTO(store_op_deinit) StoreOp other = { .kind = STORE_EXPIRED, .due.max = 100 };

    mine.due.next_wall_ms = mine.due.next_steady_ms = INT64_MAX;
    by_engine(world, &other);
    by_redis(world, &mine);
    differ(world, "expired", (long long) mine.due.n, (long long) other.due.n);
    differ(world, "bytes of expired", (long long) mine.out.len, (long long) other.out.len);
}

static void do_delete(World *world, Rand *rand)
{
    StoreOp op = { .kind = STORE_DELETE,
                   .del = { id_of((unsigned) rand_below(rand, JOBS)),
                            rand_below(rand, 3) ? JOB_IN_FINAL : JOB_IN(COMPLETED),
                            rand_below(rand, 3) == 0 } };
    AUTO(store_op_deinit) StoreOp other = op;
    AUTO(store_op_deinit) StoreOp mine = op;

    by_engine(world, &other);
    by_redis(world, &mine);
    same(world, &mine, &other);
}

static void do_queue_set(World *world, Rand *rand)
{
    StoreOp op = { .kind = STORE_QUEUE_SET,
                   .queue_set = { .name = str_from_c(queue_names[rand_below(rand, QUEUES)]),
                                  .is_paused = rand_below(rand, 3) == 0,
                                  .creates = rand_below(rand, 2) } };
    AUTO(store_op_deinit) StoreOp other = op;
    AUTO(store_op_deinit) StoreOp mine = op;

    by_engine(world, &other);
    by_redis(world, &mine);
    same(world, &mine, &other);
}

static void do_sweep(World *world, Rand *rand)
{
    StoreOp op = { .kind = STORE_SWEEP,
                   .sweep = { .keep = { .completed_ms = rand_below(rand, 2) ? 4000 : 0,
                                        .completed_max = rand_below(rand, 3),
                                        .cancelled_max = 1,
                                        .discarded_ms = 9000 },
                              .max = 100 } };
    AUTO(store_op_deinit) StoreOp other = op;
    AUTO(store_op_deinit) StoreOp mine = op;

    by_engine(world, &other);
    by_redis(world, &mine);
    differ(world, "swept", (long long) mine.sweep.n, (long long) other.sweep.n);
    same(world, &mine, &other);
}

/* ---- everything that can be read ------------------------------------------------------------- */

/* All pages of one list into OUT. */
static void read_list(World *world, StoreOp *list, bool by_us, StoreOp *out)
{
    uint8_t cursor[40];
    size_t len = 0;
    int r = STORE_MORE;

    for (int page = 0; page < 100 && r == STORE_MORE; page++) {
        AUTO(store_op_deinit) StoreOp op = *list;

        op.list.cursor = str_from((const char *) cursor, len);
        if (by_us)
            by_redis(world, &op);
        else
            by_engine(world, &op);
        buf_add_str(&out->out, buf_str(&op.out));
        out->list.total = op.list.total;
        len = op.list.next_len;
        memcpy(cursor, op.list.next, len);
        r = op.r;
    }
}

static void same_lists(World *world, unsigned state, const char *queue, size_t page, unsigned bits)
{
    StoreOp list = { .kind = STORE_LIST,
                     .list = { .states = 1u << state,
                               .queue = str_from_c(queue),
                               .dead_letters = state == JOB_DISCARDED && bits & 1,
                               .is_newest_first = bits & 2,
                               .type = bits & 4 ? STR_C("t.a") : STR_C(""),
                               .max = page } };
    AUTO(store_op_deinit) StoreOp mine = { 0 };
    AUTO(store_op_deinit) StoreOp other = { 0 };

    world->doing = job_state_name((JobState) state);
    read_list(world, &list, true, &mine);
    read_list(world, &list, false, &other);
    differ(world, "total", (long long) mine.list.total, (long long) other.list.total);
    same_out(world, &mine, &other);
}

static void same_queues(World *world)
{
    StoreQueueInfo left[QUEUES], right[QUEUES];
    AUTO(store_op_deinit)
    StoreOp mine = { .kind = STORE_QUEUES, .queues = { .infos = left, .max = QUEUES } };
    AUTO(store_op_deinit)
    StoreOp other = { .kind = STORE_QUEUES, .queues = { .infos = right, .max = QUEUES } };

    world->doing = "queues";
    by_engine(world, &other);
    by_redis(world, &mine);
    differ(world, "queues", (long long) mine.queues.n, (long long) other.queues.n);
    for (size_t i = 0; i < mine.queues.n && i < other.queues.n; i++) {
        differ_text(world, "name", str_from_c(left[i].name), str_from_c(right[i].name));
        differ(world, "paused", left[i].is_paused, right[i].is_paused);
        differ(world, "pushed", (long long) left[i].pushed, (long long) right[i].pushed);
        differ(world, "dead", (long long) left[i].dead_letters, (long long) right[i].dead_letters);
        for (size_t state = 0; state < JOB_STATE_COUNT; state++)
            differ(world, job_state_name((JobState) state), (long long) left[i].counts[state],
                   (long long) right[i].counts[state]);
    }
}

static void same_state(World *world, Rand *rand)
{
    for (unsigned i = 0; i < JOBS; i++) {
        AUTO(store_op_deinit) StoreOp mine = { .kind = STORE_GET, .get.id = id_of(i) };
        AUTO(store_op_deinit) StoreOp other = { .kind = STORE_GET, .get.id = id_of(i) };

        world->doing = "get";
        by_engine(world, &other);
        by_redis(world, &mine);
        same(world, &mine, &other);
    }
    same_queues(world);
    for (unsigned state = 0; state < JOB_STATE_COUNT; state++)
        same_lists(world, state, queue_names[rand_below(rand, QUEUES)], 1 + rand_below(rand, 4),
                   (unsigned) rand_below(rand, 8));
}

static void do_one(World *world, Rand *rand)
{
    static const char *const names[] = { "push",    "lease",  "moves",     "beats", "promote",
                                         "expired", "delete", "queue_set", "sweep", "time" };
    static const uint8_t weights[] = { 14, 14, 22, 4, 8, 3, 4, 2, 1, 10 };
    unsigned pick = (unsigned) rand_below(rand, 82), kind = 0;

    while (pick >= weights[kind])
        pick -= weights[kind++];
    world->doing = names[kind];
    switch (kind) {
    case 0: return do_push(world, rand);
    case 1: return do_lease(world, rand);
    case 2: return do_moves(world, rand);
    case 3: return do_beats(world, rand);
    case 4: return do_promote(world);
    case 5: return do_expired(world);
    case 6: return do_delete(world, rand);
    case 7: return do_queue_set(world, rand);
    case 8: return do_sweep(world, rand);
    default: world->now_ms += 1000 + (int64_t) rand_below(rand, 2) * 1000;
    }
}

static void run_world(uint64_t seed, bool has_functions)
{
    World world = { .now_ms = T0, .seed = seed };
    StoreConfig config = { .max_bytes = 32 << 20, .wall_ms = T0 };
    Rand rand;

    for (size_t i = 0; i < stores_count; i++) {
        if (strcmp(stores_table[i]->name, "memory") == 0)
            world.driver = stores_table[i];
    }
    REQUIRE(world.driver);
    rand_init(&rand, seed);
    test_server_empty(has_functions);
    EXPECT_OK(world.driver->open(&config, &world.db));
    /* A push that is refused makes its queue or not: no promise, so they are all there. */
    for (size_t i = 0; i < QUEUES; i++) {
        StoreOp make = { .kind = STORE_QUEUE_SET,
                         .queue_set = { .name = str_from_c(queue_names[i]), .creates = true } };
        StoreOp other = make;
        by_engine(&world, &other);
        by_redis(&world, &make);
    }
    for (world.step = 0; world.step < STEPS && !test_has_failed(); world.step++) {
        do_one(&world, &rand);
        if (world.step % 8 == 0 && !test_has_failed())
            same_state(&world, &rand);
    }
    world.driver->close(world.db);
}

TEST(functions_do_what_the_engine_does)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    if (!test_server_has_functions())
        return test_skip("this server has no functions");
    for (uint64_t seed = 1; seed <= RUNS && !test_has_failed(); seed++)
        run_world(seed, true);
}

TEST(scripts_do_what_the_engine_does)
{
    if (!test_server_start())
        return test_skip(TEST_NO_REDIS);
    for (uint64_t seed = 101; seed <= 102 && !test_has_failed(); seed++)
        run_world(seed, false);
}

TEST_MAIN()
