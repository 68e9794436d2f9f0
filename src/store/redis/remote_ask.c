/*
 * Calls: one script, one partition, one effect (R1).
 *
 * A call whose repetition would do harm has a number. The server keeps its answer under that number
 * until it is told that the answer was heard: with each call go the numbers that were heard since
 * the last one. When such a call is not answered itself, the numbers are told again with the next;
 * telling twice does no harm.
 *
 *   answered               number is heard
 *   no script there        SCRIPT LOAD or FUNCTION LOAD on that node, and again
 *   another epoch          the server has lost everything: agree on the new one, fail this call
 *   no answer in time      -ERR_UNAVAILABLE; the words say whether it may have run
 *
 * A call that has been sent is waited for however often the fiber is cancelled: what it grants must
 * be delivered or given back (R7), and the connection has its own patience.
 */
#include "store/redis/remote_int.h"

#include "base/log.h"
#include "base/metrics.h"

#include <stdio.h>

enum { GRACE_MS = 10000, TRIES = 3 };

/* ---- operations ------------------------------------------------------------------------------ */

void op_set_error(StoreOp *op, int r, const char *why)
{
    ASSERT(r < 0);
    op->r = r;
    snprintf(op->why, sizeof(op->why), "%s", why);
}

void op_take_error(StoreOp *op, int r)
{
    Err err;

    err_take(r, &err);
    op->r = r;
    snprintf(op->why, sizeof(op->why), "%.150s", err.text);
}

bool ask_has_answer(const Ask *ask, StoreOp *op)
{
    if (ask->r < 0) {
        op_set_error(op, ask->r, ask->why);
        return false;
    }
    return true;
}

/* ---- a call ---------------------------------------------------------------------------------- */

static void take_heard(Ask *ask)
{
    RemotePart *part = ask->part;
    AUTO(buf_deinit) Buf text = { 0 };

    if (part->n_heard == 0)
        return;
    ask->taken = TAKE(part->heard);
    ask->n_taken = part->n_heard;
    part->n_heard = part->cap_heard = 0;
    for (size_t i = 0; i < ask->n_taken; i++)
        buf_printf(&text, "%s%llu", i > 0 ? " " : "", (unsigned long long) ask->taken[i]);
    ask->head.heard = arena_copy(&ask->arena, buf_str(&text));
}

/* The server keeps an answer until it is told; so all are told, if not with this call then later.
 */
static void hear(RemotePart *part, const uint64_t *numbers, size_t n)
{
    if (part->n_heard + n > part->cap_heard) {
        part->cap_heard = (part->n_heard + n) * 2;
        part->heard = mem_resize_array(part->heard, part->cap_heard, sizeof(uint64_t));
    }
    for (size_t i = 0; i < n; i++)
        part->heard[part->n_heard++] = numbers[i];
}

void ask_begin(Ask *ask, RemotePart *part, ScriptKind kind)
{
    RemoteLoop *loop = part->loop;
    const StoreSeams *seams = loop->remote->seams;

    *ask = (Ask){ .part = part, .epoch_turn = part->epoch_turn };
    arena_init(&ask->arena, 0);
    ask->head = (RequestHead){ .prefix = part->prefix,
                               .epoch = arena_copy(&ask->arena, str_from_c(part->epoch)),
                               .client = str_from_c(loop->client),
                               .publish = loop->remote->publish };
    if (scripts_table[kind].is_numbered) {
        ask->head.number = ++loop->number;
        take_heard(ask);
    }
    if (seams && seams->now_ms)
        ask->head.now_ms = seams->now_ms(seams->now_ctx);
}

void ask_end(Ask *ask)
{
    if (ask->n_taken > 0) /* it was never answered: tell again */
        hear(ask->part, ask->taken, ask->n_taken);
    mem_free(ask->taken);
    ask->taken = NULL;
    ask->n_taken = 0;
    arena_deinit(&ask->arena);
}

/* ---- what the server says -------------------------------------------------------------------- */

static bool has_word(Str text, const char *word)
{
    return str_contains(text, str_from_c(word));
}

static bool is_missing_script(const RespValue *reply)
{
    return resp_is_error(reply, "NOSCRIPT") || has_word(reply->text, "Function not found");
}

static bool is_out_of_room(const RespValue *reply)
{
    return has_word(reply->text, "OOM command not allowed") || resp_is_error(reply, "OOM");
}

static int code_of(const RespValue *reply)
{
    static const char *const later[] = { "MISCONF",     "NOREPLICAS", "BUSY",     "LOADING",
                                         "CLUSTERDOWN", "MASTERDOWN", "READONLY", "TRYAGAIN" };

    if (is_out_of_room(reply))
        return -ERR_STORE_FULL;
    if (resp_is_error(reply, "NOPERM") || resp_is_error(reply, "NOAUTH") ||
        resp_is_error(reply, "WRONGPASS"))
        return -ERR_FORBIDDEN;
    for (size_t i = 0; i < ARRAY_LEN(later); i++) {
        if (resp_is_error(reply, later[i]))
            return -ERR_UNAVAILABLE;
    }
    return -ERR_STORE;
}

static void take_refusal(Ask *ask, const RedisCall *call)
{
    const RespValue *reply = &ask->reply;
    Str text = str_cut_utf8(reply->text, 120);

    ask->r = code_of(reply);
    if (is_out_of_room(reply) && call->sends > 1) {
        ask->r = -ERR_UNAVAILABLE; /* what was sent first may have run */
        snprintf(ask->why, sizeof(ask->why),
                 "the Redis server has reached its maxmemory; it is not known whether it was done");
    } else if (is_out_of_room(reply)) {
        snprintf(ask->why, sizeof(ask->why),
                 "the Redis server has reached its maxmemory; nothing was added");
    } else if (has_word(reply->text, "SLUICEEPOCH")) {
        ask->has_lost_all = true;
    } else {
        snprintf(ask->why, sizeof(ask->why), "Redis: %.*s", (int) text.len, text.data);
    }
}

static void take_failure(Ask *ask, int r, const RedisCall *call)
{
    bool is_known = call->sends == 0 || !scripts_table[ask->request.kind].is_write;
    Err err;

    err_take(r, &err);
    ask->r = r == -ECANCELED ? -ERR_UNAVAILABLE : r;
    snprintf(ask->why, sizeof(ask->why), "%.90s%s", err.text,
             is_known ? "; nothing was done" : "; it is not known whether it was done");
}

static void take_answer(Ask *ask, int r, const RedisCall *call)
{
    RemoteLoop *loop = ask->part->loop;

    ask->r = 0;
    if (r < 0) {
        take_failure(ask, r, call);
        return;
    }
    ask->reply = call->reply;
    if (ask->head.number > 0)
        hear(ask->part, &ask->head.number, 1);
    ask->n_taken = 0; /* they are told */
    if (r == REDIS_REFUSED || call->reply.type == RESP_ERROR) {
        take_refusal(ask, call);
        return;
    }
    if (!loop->remote->seams || !loop->remote->seams->now_ms)
        clock_hear(loop, answer_now_ms(&ask->reply));
    metrics_add(METRIC_STORE_COMMITS, 1);
    atomic_fetch_add_explicit(&loop->remote->commits, 1, memory_order_relaxed);
}

/* ---- running --------------------------------------------------------------------------------- */

static void fill_call(const Ask *ask, RedisCall *call)
{
    *call = (RedisCall){ .argv = ask->request.argv,
                         .argc = ask->request.argc,
                         .slot = ask->part->slot,
                         .is_write = scripts_table[ask->request.kind].is_write,
                         .again = ask->request.again,
                         .patience_ms = ask->patience_ms,
                         .arena = (Arena *) &ask->arena };
}

/* The node of PART has not got the scripts: give them. */
SUSPENDS static int load_scripts(RemotePart *part, ScriptKind kind)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *function[] = { "FUNCTION", "LOAD", "REPLACE", scripts_library };
    const char *script[] = { "SCRIPT", "LOAD", scripts_table[kind].text };
    bool has_functions = part->loop->remote->has_functions;
    RespValue reply;

    arena_init(&arena, 0);
    return has_functions ? remote_command(part->loop, &arena, part->slot, function, 4, &reply)
                         : remote_command(part->loop, &arena, part->slot, script, 3, &reply);
}

/* One round of the calls that are left; those that need a script stay left. */
SUSPENDS static void run_round(RemoteLoop *loop, Ask **asks, size_t *n, bool is_last)
{
    RedisCall one, *calls = *n == 1 ? &one : mem_new_array(RedisCall, *n);
    int one_r, *rs = *n == 1 ? &one_r : mem_new_array(int, *n);
    size_t left = 0;

    for (size_t i = 0; i < *n; i++)
        fill_call(asks[i], &calls[i]);
    if (*n == 1) {
        one_r = redis_call(loop->redis, &one);
    } else if (redis_call_many(loop->redis, calls, rs, *n) < 0) {
        log_debug("calls cut short", L_UINT("calls", *n)); /* rs says which */
    }
    for (size_t i = 0; i < *n; i++) {
        bool is_missing = rs[i] == REDIS_REFUSED && is_missing_script(&calls[i].reply);
        bool is_late = rs[i] == REDIS_REFUSED && resp_is_error(&calls[i].reply, "SLUICELATE");

        if (is_late && asks[i]->request.again)
            *asks[i]->request.again = '1'; /* it has not run: a later number was sent again */
        if ((is_missing || is_late) && !is_last)
            asks[left++] = asks[i];
        else
            take_answer(asks[i], rs[i], &calls[i]);
    }
    if (calls != &one) {
        mem_free(calls);
        mem_free(rs);
    }
    *n = left;
}

SUSPENDS static void run_all(RemoteLoop *loop, Ask **asks, size_t n)
{
    for (int tries = 1; n > 0; tries++) {
        run_round(loop, asks, &n, tries == TRIES);
        for (size_t i = 0; i < n; i++) {
            int r = load_scripts(asks[i]->part, asks[i]->request.kind);

            if (r < 0) { /* it is asked once more, and says itself what is wrong */
                Err err;

                err_take(r, &err);
                log_debug("scripts not loaded", L_C("error", err.text));
            }
        }
    }
}

static void fail_lost(Ask *ask)
{
    ask->r = -ERR_STORE;
    snprintf(ask->why, sizeof(ask->why),
             "the Redis server lost what it held (FLUSHALL, or a restart without its data)");
}

void asks_run(RemoteLoop *loop, Ask **asks, size_t n)
{
    Ask *few[4], **left = n <= ARRAY_LEN(few) ? few : mem_new_array(Ask *, n);
    int64_t begun_ns = sl_clock_ns();
    sl_scope shield;

    memcpy(left, asks, n * sizeof(Ask *));
    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = LIMIT_REDIS_PATIENCE_MS + GRACE_MS);
    run_all(loop, left, n);
    for (size_t i = 0; i < n; i++) {
        if (!asks[i]->has_lost_all)
            continue;
        fail_lost(asks[i]);
        if (part_renew(asks[i]->part, asks[i]->epoch_turn) < 0)
            log_debug("no new epoch yet", L_UINT("partition", asks[i]->part->index));
    }
    (void) sl_scope_end(&shield, 0);
    metrics_observe(METRIC_STORE_SECONDS, sl_clock_ns() - begun_ns);
    if (left != few)
        mem_free(left);
}

int remote_command(RemoteLoop *loop, Arena *arena, int32_t slot, const char *const *argv,
                   size_t argc, RespValue *ret_reply)
{
    Str args[12];
    RedisCall call = { .argv = args, .argc = argc, .slot = slot, .arena = arena };
    int r;

    ASSERT(argc <= ARRAY_LEN(args));
    for (size_t i = 0; i < argc; i++)
        args[i] = str_from_c(argv[i]);
    r = redis_call(loop->redis, &call);
    if (r == REDIS_REFUSED)
        return fail(code_of(&call.reply), "Redis: %.*s", (int) call.reply.text.len,
                    call.reply.text.data);
    if (r < 0)
        return r;
    *ret_reply = call.reply;
    return 0;
}
