/*
 * The arguments of a request: command, keys, the head that all scripts share (call.lua), then the
 * script's own. Everything is in the arena or borrowed from the operation.
 */
#include "store/redis/args_int.h"

#include "base/log.h"

#include "store/engine_int.h"
#include "store/redis/value.h"

#include <errno.h>
#include <stdio.h>

static const Str flag_texts[] = { STR(""), STR("1") };

void args_add(Args *args, Str item)
{
    if (args->is_failed)
        return;
    if (args->n == args->cap) {
        size_t cap = args->cap ? args->cap * 2 : 64;
        Str *grown = arena_try(args->arena, cap * sizeof(Str));

        if (!grown) {
            args->is_failed = true;
            return;
        }
        if (args->n > 0)
            memcpy(grown, args->items, args->n * sizeof(Str));
        args->items = grown;
        args->cap = cap;
    }
    args->items[args->n++] = item;
}

void args_add_copy(Args *args, Str item)
{
    char *copy = item.len > 0 ? arena_try(args->arena, item.len) : NULL;

    if (item.len > 0 && !copy) {
        args->is_failed = true;
        return;
    }
    if (copy)
        memcpy(copy, item.data, item.len);
    args_add(args, str_from(copy, item.len));
}

void args_add_number(Args *args, int64_t number)
{
    char text[24], *at = text + sizeof(text);
    uint64_t left = number < 0 ? 0 - (uint64_t) number : (uint64_t) number;

    do {
        *--at = (char) ('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0)
        *--at = '-';
    args_add_copy(args, str_from(at, (size_t) (text + sizeof(text) - at)));
}

void args_add_id(Args *args, const JobId *id)
{
    char *text = arena_try(args->arena, JOB_ID_TEXT_BYTES);

    if (!text)
        args->is_failed = true;
    else
        args_add(args, job_id_format(id, text));
}

void args_add_name(Args *args, Str name)
{
    AUTO(buf_deinit) Buf text = { 0 };

    value_add_name(&text, name);
    if (buf_check(&text) < 0)
        args->is_failed = true;
    else
        args_add_copy(args, buf_str(&text));
}

void args_add_flag(Args *args, bool flag)
{
    args_add(args, flag_texts[flag]);
}

static void add_key(Args *args, Str prefix, const char *name)
{
    char key[LIMIT_REDIS_PREFIX_BYTES + 32];
    int len = snprintf(key, sizeof(key), "%.*s%s", (int) prefix.len, prefix.data, name);

    ASSERT(len > 0 && (size_t) len < sizeof(key));
    args_add_copy(args, str_from(key, (size_t) len));
}

void args_begin(Args *args, Arena *arena, ScriptKind kind, const RequestHead *head,
                bool has_functions, Request *ret)
{
    static const Str publish_texts[] = {
        [PUBLISH_PLAIN] = STR("p"), [PUBLISH_SHARD] = STR("s"), [PUBLISH_BLIND] = STR("b")
    };
    const Script *script = &scripts_table[kind];
    char name[48];
    char *again = arena_try(arena, 1);

    ASSERT(script->name);
    *args = (Args){ .arena = arena, .is_failed = !again };
    *ret = (Request){ .kind = kind, .again = again };
    if (!again)
        return;
    *again = '0';
    snprintf(name, sizeof(name), "%s_%s", scripts_name, script->name);
    args_add(args, str_from_c(has_functions ? "FCALL" : "EVALSHA"));
    args_add_copy(args, str_from_c(has_functions ? name : script->sha));
    args_add(args, (Str) STR("2"));
    add_key(args, head->prefix, "epoch");
    add_key(args, head->prefix, "none");
    args_add(args, head->epoch);
    args_add(args, head->client);
    if (script->is_numbered && head->number > 0)
        args_add_number(args, (int64_t) head->number);
    else
        args_add(args, (Str){ 0 });
    args_add(args, str_from(again, 1));
    args_add(args, head->heard);
    if (head->now_ms > 0)
        args_add_number(args, head->now_ms);
    else
        args_add(args, (Str){ 0 });
    args_add(args, publish_texts[head->publish]);
}

int args_end(const Args *args, Request *ret)
{
    if (args->is_failed)
        return fail(-ENOMEM, "no memory for a call of Redis");
    ret->argv = args->items;
    ret->argc = args->n;
    return 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

int reply_check(const RespValue *reply, size_t n)
{
    int64_t now;

    if (reply->type == RESP_ERROR)
        return fail(-ERR_STORE, "Redis refused a script: %.*s", (int) MIN(reply->text.len, 300u),
                    reply->text.data);
    if (reply->type != RESP_LIST || reply->n < n || !resp_to_number(resp_item(reply, 0), &now))
        return fail(-ERR_STORE, "a reply of Redis is none of ours");
    return 0;
}

int64_t reply_number(const RespValue *reply, size_t i)
{
    int64_t number = 0;

    return resp_to_number(resp_item(reply, i), &number) ? number : 0;
}

int64_t answer_now_ms(const RespValue *reply)
{
    return reply->type == RESP_LIST ? reply_number(reply, 0) : 0;
}

int reply_add_job(StoreOp *op, Str id, Str text, int64_t until_ms, bool has_holder)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    size_t before = op->out.len;
    uint32_t len = 0;
    Str holder;
    int r;

    buf_add(&op->out, &len, sizeof(len));
    r = value_to_record(&arena, id, text, until_ms, &op->out, &holder);
    if (r < 0) {
        if (!op->out.is_failed)
            op->out.len = before;
        return r;
    }
    len = (uint32_t) (op->out.len - before - sizeof(len));
    memcpy(op->out.data + before, &len, sizeof(len));
    if (has_holder && op->out.data[before + sizeof(len) + RECORD_ID_BYTES + 1] == (char) JOB_ACTIVE)
        return op_add_text(op, holder);
    return 0;
}

int reply_add_readable(StoreOp *op, Str id, Str text, int64_t until_ms, bool has_holder, size_t *n)
{
    int r = reply_add_job(op, id, text, until_ms, has_holder);
    Err err;

    if (r == 0) {
        (*n)++;
        return 0;
    }
    if (op->out.is_failed)
        return r;
    err_take(r, &err);
    log_debug("job left out", L_C("why", err.text));
    return 0;
}
