/*
 * Requests of a move between stores, and what their answers mean: import, keys.
 */
#include "store/redis/args_int.h"

#include "codec/uuid.h"
#include "store/engine_int.h"
#include "store/redis/value.h"

#include <errno.h>

/* ---- import ---------------------------------------------------------------------------------- */

static int add_job(Args *args, const StoreImport *job, Buf *head, Buf *front, Buf *tail)
{
    JobId id = record_id(job->record);
    int r;

    buf_reset(head);
    buf_reset(front);
    buf_reset(tail);
    r = value_add_any(args->arena, job->record, job->holder, head, front, tail);
    if (r == 0)
        r = buf_check(head);
    if (r == 0)
        r = buf_check(front);
    if (r == 0)
        r = buf_check(tail);
    if (r < 0)
        return wrap(r, "write a job for Redis");
    args_add_copy(args, buf_str(head));
    args_add_id(args, &id);
    args_add_copy(args, buf_str(front));
    args_add_copy(args, buf_str(tail));
    return 0;
}

static int add_key(Args *args, const StoreKey *key, int64_t wall_ms)
{
    AUTO(buf_deinit) Buf text = { 0 };

    args_add(args, arena_printf(args->arena, "%lld %.*s",
                                (long long) MAX(key->until_ms - wall_ms, INT64_C(1)),
                                (int) key->key.len, key->key.data));
    buf_add_u64(&text, key->print);
    for (size_t i = 0; i < key->n_ids; i++) {
        char id_text[JOB_ID_TEXT_BYTES];
        JobId id;

        memcpy(id.bytes, key->ids + i * RECORD_ID_BYTES, sizeof(id.bytes));
        buf_add_char(&text, ' ');
        buf_add_str(&text, job_id_format(&id, id_text));
    }
    args_add_copy(args, buf_str(&text));
    return buf_check(&text);
}

int request_import(Arena *arena, const RequestHead *head, bool has_functions,
                   const StoreImport *const *jobs, size_t n, const StoreKey *const *keys,
                   size_t n_keys, int64_t wall_ms, Request *ret)
{
    AUTO(buf_deinit) Buf head_text = { 0 }, front = { 0 }, tail = { 0 };
    Args args;
    int r = 0;

    args_begin(&args, arena, SCRIPT_IMPORT, head, has_functions, ret);
    args_add(&args, arena_printf(arena, "%zu %zu", n, n_keys));
    for (size_t i = 0; i < n && r == 0; i++)
        r = add_job(&args, jobs[i], &head_text, &front, &tail);
    for (size_t i = 0; i < n_keys && r == 0; i++)
        r = add_key(&args, keys[i], wall_ms);
    return r < 0 ? r : args_end(&args, ret);
}

int answer_import(const RespValue *reply, StoreOp *op)
{
    int r = reply_check(reply, 3);

    if (r < 0)
        return r;
    if (resp_item(reply, 1)->type == RESP_TEXT && str_eq_c(resp_item(reply, 1)->text, "b"))
        return op_fail(op, -ERR_BUSY, "there are too many queues (%d)", LIMIT_QUEUES);
    op->import.n_added += (size_t) MAX(reply_number(reply, 2), INT64_C(0));
    return 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

int request_keys(Arena *arena, const RequestHead *head, bool has_functions, Str cursor,
                 Request *ret)
{
    Args args;

    args_begin(&args, arena, SCRIPT_KEYS, head, has_functions, ret);
    args_add(&args, cursor.len > 0 ? cursor : str_from_c("0"));
    args_add_number(&args, LIMIT_REDIS_SCAN);
    return args_end(&args, ret);
}

/* "PRINT ID ID …" as STORE_KEYS has it. What is none is left out: somebody else's. */
static int add_value(StoreOp *op, Str name, int64_t until_ms, Str text)
{
    AUTO(buf_deinit) Buf value = { 0 };
    uint64_t print;
    Str rest, word = str_cut(text, ' ', &rest);
    int r;

    if (str_to_u64(word, UINT64_MAX, &print) < 0)
        return 0;
    buf_add(&value, &until_ms, 8);
    buf_add(&value, &print, 8);
    while (rest.len > 0) {
        JobId id;

        word = str_cut(rest, ' ', &rest);
        if (job_id_parse(word, &id) < 0)
            return 0;
        buf_add(&value, id.bytes, sizeof(id.bytes));
    }
    r = buf_check(&value);
    if (r == 0)
        r = op_add_text(op, name);
    if (r == 0)
        r = op_add_text(op, buf_str(&value));
    if (r == 0)
        op->keys.n++;
    return r;
}

int answer_keys(const RespValue *reply, StoreOp *op, Buf *next)
{
    int64_t now_ms;
    int r = reply_check(reply, 2);

    if (r < 0)
        return r;
    now_ms = answer_now_ms(reply);
    for (size_t i = 2; i + 2 < reply->n && r == 0; i += 3)
        r = add_value(op, resp_item(reply, i)->text, now_ms + reply_number(reply, i + 1),
                      resp_item(reply, i + 2)->text);
    buf_reset(next);
    if (resp_item(reply, 1)->type == RESP_TEXT && !str_eq_c(resp_item(reply, 1)->text, "0"))
        buf_add_str(next, resp_item(reply, 1)->text);
    return r < 0 ? r : buf_check(next);
}
