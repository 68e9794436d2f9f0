/*
 * Requests of everything but push, work and beat, and what their answers mean. Each is for one
 * partition; an answer adds to what the partitions before it have said.
 *
 * A cursor of a list, inside of one partition:
 *
 *   byte  0  6 bytes  beginning of the SHA-1 of the queue's name
 *         6  u8       place: 'b' back, 'r' ready, 'd' dead letters, 'z' any other
 *         7  i16      priority, for 'b' and 'r'         (little-endian, as the next)
 *         9  u48      score: time in ms, or number in line
 *        15  16 bytes id
 */
#include "store/redis/args_int.h"

#include "codec/uuid.h"
#include "store/engine_int.h"
#include "store/redis/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHA_BYTES = 6, SCORE_BYTES = 6, QUEUE_FIELDS = 12 };

STATIC_ASSERT(SHA_BYTES + 3 + SCORE_BYTES + RECORD_ID_BYTES == LIST_CURSOR_BYTES,
              "a cursor as drawn");

static int bad_reply(void)
{
    return fail(-ERR_STORE, "a reply of Redis is none of ours");
}

static bool text_is(const RespValue *reply, size_t i, const char *text)
{
    const RespValue *item = resp_item(reply, i);

    return item->type == RESP_TEXT && str_eq_c(item->text, text);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void add_cursor(Args *args, Str cursor)
{
    const uint8_t *bytes = (const uint8_t *) cursor.data;
    uint64_t score = 0;
    JobId id;

    if (cursor.len != LIST_CURSOR_BYTES) {
        for (int i = 0; i < 4; i++)
            args_add(args, (Str){ 0 });
        return;
    }
    for (int i = 0; i < SCORE_BYTES; i++)
        score |= (uint64_t) bytes[9 + i] << (8 * i);
    args_add(args, arena_printf(args->arena, "%02x%02x%02x%02x%02x%02x", bytes[0], bytes[1],
                                bytes[2], bytes[3], bytes[4], bytes[5]));
    if (bytes[6] == 'b' || bytes[6] == 'r')
        args_add(args, arena_printf(args->arena, "%d%c",
                                    (int16_t) (uint16_t) (bytes[7] | bytes[8] << 8), bytes[6]));
    else
        args_add(args, arena_printf(args->arena, "%c", bytes[6] == 'd' ? 'd' : 'z'));
    args_add_number(args, (int64_t) score);
    memcpy(id.bytes, bytes + 15, sizeof(id.bytes));
    args_add_id(args, &id);
}

static void add_list(Args *args, const StoreOp *op)
{
    unsigned state = 0;

    while (state < JOB_STATE_COUNT && op->list.states != 1u << state)
        state++;
    ASSERT(state < JOB_STATE_COUNT); /* exactly one */
    args_add(args, str_from_c(job_state_name((JobState) state)));
    args_add_flag(args, op->list.dead_letters);
    if (op->list.queue.len > 0)
        args_add_name(args, op->list.queue);
    else
        args_add(args, (Str){ 0 });
    args_add(args, op->list.type);
    args_add_flag(args, op->list.is_newest_first);
    args_add_number(args, (int64_t) (op->list.max - MIN(op->list.n, op->list.max)));
    args_add_number(args, (int64_t) op->list.skip);
    add_cursor(args, op->list.cursor);
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

static void put_cursor(const RespValue *reply, StoreOp *op)
{
    Str sha = resp_item(reply, 4)->text, place = resp_item(reply, 5)->text;
    uint64_t score = (uint64_t) reply_number(reply, 6);
    uint8_t *bytes = op->list.next;
    int64_t priority = 0;
    Uuid id = { { 0 } };

    memset(bytes, 0, LIST_CURSOR_BYTES);
    for (size_t i = 0; i < SHA_BYTES && 2 * i + 1 < sha.len; i++)
        bytes[i] = (uint8_t) (hex_value(sha.data[2 * i]) * 16 + hex_value(sha.data[2 * i + 1]));
    if (place.len > 1 &&
        str_to_i64(str_sub(place, 0, place.len - 1), INT16_MIN, INT16_MAX, &priority) < 0)
        priority = 0;
    bytes[6] = place.len > 0 ? (uint8_t) place.data[place.len - 1] : 'z';
    bytes[7] = (uint8_t) (priority & 0xff);
    bytes[8] = (uint8_t) (priority >> 8 & 0xff);
    for (int i = 0; i < SCORE_BYTES; i++)
        bytes[9 + i] = (uint8_t) (score >> (8 * i));
    if (uuid_parse(resp_item(reply, 7)->text, &id) == 0)
        memcpy(bytes + 15, id.bytes, sizeof(id.bytes));
    op->list.next_len = LIST_CURSOR_BYTES;
}

/* Jobs of a reply from item I on, three items each: id, text, score. */
static int add_scored(const RespValue *reply, size_t i, StoreOp *op, size_t *n)
{
    for (; i + 2 < reply->n; i += 3) {
        int64_t until = reply_number(reply, i + 2);
        int r = reply_add_readable(op, resp_item(reply, i)->text, resp_item(reply, i + 1)->text,
                                   until, true, n);

        if (r < 0)
            return r;
    }
    return 0;
}

static int answer_list(const RespValue *reply, StoreOp *op)
{
    size_t skipped;
    int r = reply_check(reply, 8);

    if (r < 0)
        return r;
    skipped = (size_t) reply_number(reply, 2);
    op->list.skip -= MIN(skipped, op->list.skip);
    op->list.total += (uint64_t) reply_number(reply, 3);
    op->r = text_is(reply, 1, "m") ? STORE_MORE : 0;
    op->list.next_len = 0;
    if (op->r == STORE_MORE)
        put_cursor(reply, op);
    return add_scored(reply, 8, op, &op->list.n);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void add_due(Args *args, const StoreOp *op, Str process)
{
    args_add_number(args, (int64_t) (op->due.max - MIN(op->due.n, op->due.max)));
    args_add(args, process);
}

static int answer_due(const RespValue *reply, StoreOp *op)
{
    int64_t next;
    size_t n = 0;
    int r = reply_check(reply, 4);

    if (r < 0)
        return r;
    next = reply_number(reply, 2);
    if (next >= 0) {
        op->due.next_wall_ms = MIN(op->due.next_wall_ms, next);
        op->due.next_steady_ms = MIN(op->due.next_steady_ms, next);
    }
    op->r = text_is(reply, 1, "m") ? STORE_MORE : 0;
    if (text_is(reply, 1, "t"))
        op->due.is_elsewhere = true;
    if (op->kind == STORE_EXPIRED) {
        r = add_scored(reply, 4, op, &n);
        op->due.n += n;
        return r;
    }
    op->due.n += (size_t) reply_number(reply, 3);
    return 0;
}

static void add_sweep(Args *args, const StoreOp *op, Str process)
{
    const StoreRetention *keep = &op->sweep.keep;

    args_add_number(args, (int64_t) (op->sweep.max - MIN(op->sweep.n, op->sweep.max)));
    args_add(args, process);
    args_add_number(args, keep->completed_ms);
    args_add_number(args, (int64_t) keep->completed_max);
    args_add_number(args, keep->cancelled_ms);
    args_add_number(args, (int64_t) keep->cancelled_max);
    args_add_number(args, keep->discarded_ms);
    args_add_number(args, (int64_t) keep->discarded_max);
}

static int answer_sweep(const RespValue *reply, StoreOp *op)
{
    int r = reply_check(reply, 3);

    if (r < 0)
        return r;
    op->r = text_is(reply, 1, "m") ? STORE_MORE : 0;
    op->sweep.n += (size_t) reply_number(reply, 2);
    return 0;
}

/* ---- one job --------------------------------------------------------------------------------- */

static int answer_get(const RespValue *reply, StoreOp *op)
{
    char id[JOB_ID_TEXT_BYTES];
    const RespValue *text;
    int r = reply_check(reply, 1);

    if (r < 0)
        return r;
    text = resp_item(reply, 1);
    op->r = 0;
    if (text->type != RESP_TEXT)
        return op_fail(op, -ERR_NOT_FOUND, "there is no such job");
    return reply_add_job(op, job_id_format(&op->get.id, id), text->text,
                         reply->n > 2 ? reply_number(reply, 2) : -1, true);
}

static int answer_delete(const RespValue *reply, StoreOp *op)
{
    Str word;
    int r = reply_check(reply, 2);

    if (r < 0)
        return r;
    word = resp_item(reply, 1)->text;
    op->r = 0;
    if (word.len == 0)
        return 0;
    if (str_eq_c(word, "n"))
        return op_fail(op, -ERR_NOT_FOUND, "there is no such job");
    if (str_eq_c(word, "d"))
        return op_fail(op, -ERR_NOT_FOUND, "the job is no dead letter");
    return op_fail(op, -ERR_CONFLICT, "the job is %.*s", (int) MIN(word.len, 20u), word.data);
}

/* ---- queues ---------------------------------------------------------------------------------- */

/* The place of NAME among the infos; counts are added to those that are there already. */
static StoreQueueInfo *info_need(StoreOp *op, Str name)
{
    StoreQueueInfo *infos = op->queues.infos;
    size_t at = 0;

    while (at < op->queues.n && str_cmp(str_from_c(infos[at].name), name) < 0)
        at++;
    if (at < op->queues.n && str_eq_c(name, infos[at].name))
        return &infos[at];
    if (at == op->queues.max)
        return NULL;
    if (op->queues.n == op->queues.max)
        op->queues.n--;
    memmove(&infos[at + 1], &infos[at], (op->queues.n - at) * sizeof(StoreQueueInfo));
    op->queues.n++;
    infos[at] = (StoreQueueInfo){ 0 };
    memcpy(infos[at].name, name.data, name.len);
    return &infos[at];
}

static int answer_queues(const RespValue *reply, StoreOp *op)
{
    int r = reply_check(reply, 1);

    if (r < 0)
        return r;
    for (size_t i = 1; i + QUEUE_FIELDS <= reply->n; i += QUEUE_FIELDS) {
        AUTO(arena_deinit) Arena arena = { 0 };
        StoreQueueInfo *info;
        Str name;

        if (!value_take_name(&arena, resp_item(reply, i)->text, &name) || name.len > QUEUE_NAME_MAX)
            return bad_reply();
        info = info_need(op, name);
        if (!info)
            continue;
        info->is_paused |= reply_number(reply, i + 1) != 0;
        info->pushed += (uint64_t) reply_number(reply, i + 2);
        for (size_t state = 0; state < JOB_STATE_COUNT; state++)
            info->counts[state] += (uint64_t) reply_number(reply, i + 3 + state);
        info->dead_letters += (uint64_t) reply_number(reply, i + 11);
    }
    op->r = 0;
    if (op->queues.only.len > 0 && op->queues.n == 0)
        return op_fail(op, -ERR_NOT_FOUND, "there is no queue of that name");
    return 0;
}

static void add_queues(Args *args, const StoreOp *op)
{
    if (op->queues.after.len > 0)
        args_add_name(args, op->queues.after);
    else
        args_add(args, (Str){ 0 });
    if (op->queues.only.len > 0)
        args_add_name(args, op->queues.only);
    else
        args_add(args, (Str){ 0 });
    args_add_number(args, (int64_t) op->queues.max);
}

static int answer_queue_set(const RespValue *reply, StoreOp *op)
{
    int r = reply_check(reply, 2);

    if (r < 0)
        return r;
    op->r = 0;
    if (text_is(reply, 1, "n"))
        return op_fail(op, -ERR_NOT_FOUND, "there is no queue of that name");
    if (text_is(reply, 1, "b"))
        return op_fail(op, -ERR_BUSY, "a queue of that name cannot be made");
    return 0;
}

/* ---- values and workers ---------------------------------------------------------------------- */

static int answer_meta(const RespValue *reply, StoreOp *op)
{
    int r = reply_check(reply, 1);

    if (r < 0)
        return r;
    op->r = 0;
    if (op->meta.writes)
        return 0;
    if (resp_item(reply, 1)->type != RESP_TEXT)
        return op_fail(op, -ERR_NOT_FOUND, "there is no value of that name");
    buf_add_str(&op->out, resp_item(reply, 1)->text);
    return buf_check(&op->out);
}

static int answer_worker(const RespValue *reply, StoreOp *op)
{
    int r = reply_check(reply, 2);

    if (r < 0)
        return r;
    op->r = 0;
    if (text_is(reply, 1, "b"))
        return op_fail(op, -ERR_BUSY, "there are too many workers (%d)", LIMIT_WORKERS);
    return 0;
}

static int answer_workers(const RespValue *reply, StoreOp *op)
{
    int r = reply_check(reply, 2);

    for (size_t i = 2; r == 0 && i + 1 < reply->n; i += 2) {
        r = op_add_text(op, resp_item(reply, i)->text);
        if (r == 0)
            r = op_add_text(op, resp_item(reply, i + 1)->text);
        op->workers.n++;
    }
    if (r == 0)
        op->r = text_is(reply, 1, "m") ? STORE_MORE : 0;
    return r;
}

/* ---- which is which -------------------------------------------------------------------------- */

static ScriptKind kind_of(StoreOpKind kind)
{
    switch (kind) {
    case STORE_PROMOTE: return SCRIPT_PROMOTE;
    case STORE_EXPIRED: return SCRIPT_EXPIRED;
    case STORE_GET: return SCRIPT_GET;
    case STORE_WAIT: return SCRIPT_WAIT;
    case STORE_LIST: return SCRIPT_LIST;
    case STORE_QUEUES: return SCRIPT_QUEUES;
    case STORE_QUEUE_SET: return SCRIPT_QUEUE_SET;
    case STORE_DELETE: return SCRIPT_DELETE;
    case STORE_SWEEP: return SCRIPT_SWEEP;
    case STORE_META: return SCRIPT_META;
    case STORE_WORKER: return SCRIPT_WORKER;
    case STORE_WORKERS: return SCRIPT_WORKERS;
    case STORE_PUSH:
    case STORE_LEASE:
    case STORE_MOVE:
    case STORE_EXTEND:
    case STORE_WATCH:
    case STORE_IMPORT:
    case STORE_KEYS:
    case STORE_CHECK:
    case STORE_CANCEL: break;
    }
    UNREACHABLE("an operation that is no request of its own");
}

int request_one(Arena *arena, const RequestHead *head, bool has_functions, const StoreOp *op,
                Str process, Request *ret)
{
    ScriptKind kind = kind_of(op->kind);
    Args args;

    args_begin(&args, arena, kind, head, has_functions, ret);
    if (kind == SCRIPT_PROMOTE || kind == SCRIPT_EXPIRED)
        add_due(&args, op, process);
    if (kind == SCRIPT_GET || kind == SCRIPT_WAIT)
        args_add_id(&args, &op->get.id);
    if (kind == SCRIPT_LIST)
        add_list(&args, op);
    if (kind == SCRIPT_QUEUES)
        add_queues(&args, op);
    if (kind == SCRIPT_QUEUE_SET) {
        args_add_name(&args, op->queue_set.name);
        args_add_flag(&args, op->queue_set.is_paused);
        args_add_flag(&args, op->queue_set.creates);
    }
    if (kind == SCRIPT_DELETE) {
        args_add_id(&args, &op->del.id);
        args_add_number(&args, op->del.from);
        args_add_flag(&args, op->del.dead_letter);
    }
    if (kind == SCRIPT_SWEEP)
        add_sweep(&args, op, process);
    if (kind == SCRIPT_META) {
        args_add(&args, op->meta.name);
        args_add_flag(&args, op->meta.writes);
        args_add(&args, op->meta.value);
    }
    if (kind == SCRIPT_WORKER) {
        args_add(&args, op->worker.name);
        args_add(&args, op->worker.card);
        args_add_number(&args, MAX(op->worker.ttl_ms, INT64_C(1)));
    }
    if (kind == SCRIPT_WORKERS) {
        args_add(&args, op->workers.after);
        args_add_number(&args, (int64_t) op->workers.max);
    }
    return args_end(&args, ret);
}

int answer_one(const RespValue *reply, StoreOp *op)
{
    switch (kind_of(op->kind)) {
    case SCRIPT_PROMOTE:
    case SCRIPT_EXPIRED: return answer_due(reply, op);
    case SCRIPT_GET:
    case SCRIPT_WAIT: return answer_get(reply, op);
    case SCRIPT_LIST: return answer_list(reply, op);
    case SCRIPT_QUEUES: return answer_queues(reply, op);
    case SCRIPT_QUEUE_SET: return answer_queue_set(reply, op);
    case SCRIPT_DELETE: return answer_delete(reply, op);
    case SCRIPT_SWEEP: return answer_sweep(reply, op);
    case SCRIPT_META: return answer_meta(reply, op);
    case SCRIPT_WORKER: return answer_worker(reply, op);
    case SCRIPT_WORKERS: return answer_workers(reply, op);
    case SCRIPT_PUSH:
    case SCRIPT_WORK:
    case SCRIPT_BEAT:
    case SCRIPT_IMPORT:
    case SCRIPT_KEYS:
    case SCRIPT_COUNT: break;
    }
    UNREACHABLE("no script of this file");
}
