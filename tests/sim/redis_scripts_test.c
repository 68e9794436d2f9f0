/*
 * The store's scripts on the simulated Redis and on a real one: the same calls from a seed, the
 * same answers, and the same data afterwards.
 *
 * Calls are made by the store's own code and say what time it is, so that nothing depends on a
 * clock. Half of the seeds call functions, half the texts of the scripts.
 */
#include "../sim/redis_duel.h"

#include "base/test.h"
#include "store/redis/scripts.h"

#include <stdlib.h>

#if SL_HAVE_LUA

enum { JOBS = 24, QUEUES = 3 };

typedef struct Calls {
    Duel *duel;
    bool has_functions;
    int64_t now_ms;
    uint64_t number;
    uint32_t fence[JOBS]; /* a guess */
    Arena arena;
} Calls;

static const Str queue_names[QUEUES] = { STR("a"), STR("b"), STR("c:d") };

static uint64_t below(Calls *calls, uint64_t bound)
{
    return rand_below(&calls->duel->rand, bound);
}

static bool chance(Calls *calls, unsigned percent)
{
    return below(calls, 100) < percent;
}

static JobId id_of(uint64_t n)
{
    JobId id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

    id.bytes[15] = (uint8_t) (n * 37);
    id.bytes[14] = (uint8_t) n;
    return id;
}

static RequestHead head_of(Calls *calls)
{
    RequestHead head = { .prefix = STR_C("sl{0}:"),
                         .epoch = STR_C("E"),
                         .client = STR_C("client"),
                         .number = ++calls->number,
                         .now_ms = calls->now_ms };

    if (chance(calls, 30) && calls->number > 5)
        head.heard = arena_printf(&calls->arena, "%llu %llu",
                                  (unsigned long long) calls->number - 3,
                                  (unsigned long long) calls->number - 4);
    return head;
}

/* To both, and now and then again as after a lost answer. */
SUSPENDS static void ask_both(Calls *calls, const Request *request)
{
    duel_ask(calls->duel, request->argv, request->argc);
    if (request->again && chance(calls, 10)) {
        *request->again = '1';
        duel_ask(calls->duel, request->argv, request->argc);
    }
}

SUSPENDS static void do_push(Calls *calls)
{
    RequestHead head = head_of(calls);
    StoreOp ops[2] = { 0 }, *list[2] = { &ops[0], &ops[1] };
    Str records[2][2];
    Buf bufs[2][2] = { 0 };
    Request request;
    size_t n = 1 + below(calls, 2);

    for (size_t i = 0; i < n; i++) {
        ops[i].kind = STORE_PUSH;
        ops[i].push.records = records[i];
        ops[i].push.n = 1 + below(calls, 2);
        for (size_t j = 0; j < ops[i].push.n; j++) {
            JobSpec spec = { .id = id_of(below(calls, JOBS)),
                             .type = chance(calls, 50) ? STR_C("t") : STR_C("u"),
                             .queue = queue_names[below(calls, QUEUES)],
                             .priority = (int) below(calls, 3) - 1,
                             .args = STR_C("[1,\"two\"]"),
                             .is_pending = chance(calls, 5),
                             .timeout_ms = chance(calls, 20) ? 500 : 0,
                             .expires_at_ms = chance(calls, 10) ? calls->now_ms + 2000 : 0,
                             .run_at_ms = chance(calls, 30)
                                              ? calls->now_ms + (int64_t) below(calls, 3000)
                                              : 0 };

            record_encode(&bufs[i][j], &spec, calls->now_ms);
            records[i][j] = buf_str(&bufs[i][j]);
        }
        if (chance(calls, 20)) {
            ops[i].push.key = arena_printf(&calls->arena, "key%d", (int) below(calls, 3));
            ops[i].push.key_ttl_ms = 10000000;
            ops[i].push.key_print = below(calls, 2);
        }
    }
    EXPECT_OK(request_push(&calls->arena, &head, calls->has_functions, list, n, &request));
    ask_both(calls, &request);
    for (size_t i = 0; i < 4; i++)
        buf_deinit(&bufs[i / 2][i % 2]);
}

static void draw_move(Calls *calls, StoreMove *move, JobState to)
{
    size_t job = below(calls, JOBS);

    *move = (StoreMove){ .id = id_of(job), .to = to, .from = JOB_IN(ACTIVE) };
    switch (to) {
    case JOB_COMPLETED: move->result = STR_C("{\"x\":1}"); break;
    case JOB_RETRYABLE:
        move->due_ms = calls->now_ms + (int64_t) below(calls, 2000);
        move->retry_delay_ms = 7;
        break;
    case JOB_AVAILABLE:
        move->keeps_place = move->gives_back = chance(calls, 50);
        move->is_loss = chance(calls, 30);
        move->only_expired = chance(calls, 30);
        break;
    case JOB_CANCELLED:
        move->from = JOB_IN_LIVE;
        move->reason = JOB_REASON_REQUESTED;
        break;
    case JOB_DISCARDED:
        move->reason = JOB_REASON_EXHAUSTED;
        move->is_dead_letter = true;
        break;
    case JOB_SCHEDULED:
    case JOB_PENDING:
    case JOB_ACTIVE: break;
    }
    if (to != JOB_CANCELLED && chance(calls, 70))
        move->fence = 1 + (uint32_t) below(calls, 4);
    if (chance(calls, 20))
        move->worker = STR_C("w1");
}

SUSPENDS static void do_work(Calls *calls)
{
    static const JobState ends[] = { JOB_COMPLETED, JOB_RETRYABLE, JOB_AVAILABLE, JOB_CANCELLED,
                                     JOB_DISCARDED };
    RequestHead head = head_of(calls);
    StoreMove moves[4], *list[4] = { &moves[0], &moves[1], &moves[2], &moves[3] };
    StoreOp move = { .kind = STORE_MOVE,
                     .move = { .moves = moves, .wants_records = chance(calls, 30) } };
    StoreOp lease = { .kind = STORE_LEASE,
                      .lease = { .queues = queue_names,
                                 .n_queues = below(calls, QUEUES + 1),
                                 .max = 1 + below(calls, 4),
                                 .lease_ms = chance(calls, 80) ? 300 : 0,
                                 .default_ms = 700,
                                 .worker = chance(calls, 50) ? STR_C("w1") : STR_C("w2") } };
    Str skip = STR_C("u");
    Request request;
    bool has_lease = chance(calls, 60);
    JobState to = ends[below(calls, ARRAY_LEN(ends))];

    move.move.n = has_lease ? below(calls, 4) : 1 + below(calls, 3);
    for (size_t i = 0; i < move.move.n; i++)
        draw_move(calls, &moves[i], chance(calls, 80) ? to : ends[below(calls, ARRAY_LEN(ends))]);
    EXPECT_OK(request_work(
        &calls->arena, &head, calls->has_functions, move.move.n > 0 ? &move : NULL, list,
        move.move.n, has_lease ? &lease : NULL, chance(calls, 30) ? STR_C("process") : (Str){ 0 },
        &skip, chance(calls, 20), &request));
    ask_both(calls, &request);
}

SUSPENDS static void do_beat(Calls *calls)
{
    RequestHead head = head_of(calls);
    StoreBeat beats[2] = { { .id = id_of(below(calls, JOBS)), .fence = 1 },
                           { .id = id_of(below(calls, JOBS)) } };
    StoreBeat *list[2] = { &beats[0], &beats[1] };
    StoreOp op = { .kind = STORE_EXTEND, .extend = { .beats = beats, .n = 2 } };
    Request request;

    if (chance(calls, 30))
        op.extend.worker = STR_C("w2");
    EXPECT_OK(request_beat(&calls->arena, &head, calls->has_functions, &op, list, 2, &request));
    ask_both(calls, &request);
}

static StoreOp draw_one(Calls *calls)
{
    StoreOp op = { 0 };

    switch (below(calls, 9)) {
    case 0:
        op.kind = STORE_PROMOTE;
        op.due.max = 1 + below(calls, 5);
        break;
    case 1:
        op.kind = STORE_EXPIRED;
        op.due.max = 1 + below(calls, 5);
        break;
    case 2:
        op.kind = chance(calls, 50) ? STORE_GET : STORE_WAIT;
        op.get.id = id_of(below(calls, JOBS));
        break;
    case 3:
        op.kind = STORE_LIST;
        op.list.states = 1u << below(calls, JOB_STATE_COUNT);
        op.list.queue = chance(calls, 50) ? queue_names[below(calls, QUEUES)] : (Str){ 0 };
        op.list.type = chance(calls, 20) ? STR_C("t") : (Str){ 0 };
        op.list.is_newest_first = chance(calls, 50);
        op.list.max = 1 + below(calls, 5);
        op.list.skip = below(calls, 3);
        break;
    case 4:
        op.kind = STORE_QUEUES;
        op.queues.max = 10;
        break;
    case 5:
        op.kind = STORE_QUEUE_SET;
        op.queue_set.name = queue_names[below(calls, QUEUES)];
        op.queue_set.is_paused = chance(calls, 30);
        op.queue_set.creates = chance(calls, 50);
        break;
    case 6:
        op.kind = STORE_DELETE;
        op.del.id = id_of(below(calls, JOBS));
        op.del.from = JOB_IN_FINAL;
        op.del.dead_letter = chance(calls, 20);
        break;
    case 7:
        op.kind = STORE_SWEEP;
        op.sweep.max = 3;
        op.sweep.keep = (StoreRetention){ .completed_ms = 5000, .cancelled_max = 3 };
        break;
    default:
        op.kind = chance(calls, 50) ? STORE_WORKER : STORE_WORKERS;
        if (op.kind == STORE_WORKERS) {
            op.workers.max = 10;
            break;
        }
        op.worker.name = chance(calls, 50) ? STR_C("w1") : STR_C("w2");
        op.worker.card = chance(calls, 70) ? STR_C("{}") : (Str){ 0 };
        op.worker.ttl_ms = 100000000;
        break;
    }
    return op;
}

SUSPENDS static void do_one(Calls *calls)
{
    RequestHead head = head_of(calls);
    StoreOp op = draw_one(calls);
    Request request;

    EXPECT_OK(request_one(&calls->arena, &head, calls->has_functions, &op,
                          chance(calls, 20) ? STR_C("process") : (Str){ 0 }, &request));
    ask_both(calls, &request);
}

SUSPENDS static void load_scripts(Calls *calls)
{
    Str library[] = { STR("function"), STR("load"), STR("replace"), str_from_c(scripts_library) };
    Str epoch[] = { STR("set"), STR("sl{0}:epoch"), STR("E") };

    duel_ask_c(calls->duel, "flushall", NULL, NULL);
    duel_ask(calls->duel, library, 4);
    for (size_t i = 0; i < SCRIPT_COUNT; i++)
        duel_ask_c(calls->duel, "script", "load", scripts_table[i].text);
    duel_ask(calls->duel, epoch, 3);
    if (chance(calls, 50))
        duel_ask_c(calls->duel, "set", "sl{0}:listen", "1");
}

SUSPENDS static void one_seed(Duel *duel, uint64_t seed, unsigned n)
{
    Calls calls = { .duel = duel, .has_functions = seed % 2, .now_ms = 1763735520123 };

    rand_init(&duel->rand, seed);
    load_scripts(&calls);
    for (unsigned i = 0; i < n && duel->n_differences < 3; i++) {
        arena_reset(&calls.arena);
        calls.now_ms += (int64_t) below(&calls, 100);
        switch (below(&calls, 8)) {
        case 0:
        case 1:
        case 2: do_push(&calls); break;
        case 3:
        case 4:
        case 5: do_work(&calls); break;
        case 6: do_beat(&calls); break;
        default: do_one(&calls); break;
        }
    }
    duel_compare_data(duel);
    arena_deinit(&calls.arena);
    if (duel->n_differences > 0)
        printf("  (seed %llu)\n", (unsigned long long) seed);
}

static void seeds(Duel *duel)
{
    scripts_init();
    for (uint64_t seed = 1; seed <= 10 && duel->n_differences == 0; seed++)
        one_seed(duel, seed, 400);
}

TEST(scripts_do_the_same_to_both)
{
    duel_run(seeds);
}

#else

TEST(scripts_do_the_same_to_both)
{
    test_skip("no Lua in this build");
}

#endif

TEST_MAIN()
