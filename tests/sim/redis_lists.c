/*
 * Lists, hashes and sets of the simulated Redis.
 */
#include "../sim/redis_call.h"

#include "base/mem.h"

#include <stdio.h>

/* ---- lists ----------------------------------------------------------------------------------- */

static bool is_left(const Call *call)
{
    return call->argv[0].data[0] == 'l' || call->argv[0].data[0] == 'L';
}

/* LPUSH, RPUSH, LPUSHX, RPUSHX. */
static void push(Call *call)
{
    bool only_if = call->argv[0].len == 6;
    DataKey *key;

    if (!arg_key(call, 1, DATA_LIST, &key))
        return;
    if (!key && only_if)
        return say_number(call, 0);
    if (!key)
        key = data_make(call->data, call->argv[1], DATA_LIST);
    for (size_t i = 2; i < call->argc; i++)
        list_value_push(key->value, call->argv[i], is_left(call));
    say_number(call, (int64_t) key->value->n);
}

static void pop(Call *call)
{
    DataKey *key;
    int64_t count = 1;

    if (call->argc > 3)
        return say_error(call, "ERR wrong number of arguments for '%s' command",
                         is_left(call) ? "lpop" : "rpop");
    if (call->argc == 3 && (str_to_i64(call->argv[2], 0, INT64_MAX, &count) < 0))
        return say_error(call, "ERR value is out of range, must be positive");
    if (!arg_key(call, 1, DATA_LIST, &key))
        return;
    if (!key)
        return call->argc == 3 ? say_null_list(call) : say_null(call);
    if ((uint64_t) count > key->value->n)
        count = (int64_t) key->value->n;
    if (call->argc == 3)
        say_list(call, (size_t) count);
    for (int64_t i = 0; i < count; i++) {
        Str text = list_value_pop(key->value, is_left(call));

        say_text(call, text);
        text_drop(&text);
    }
    key_tidy(call, key);
}

static void list_length(Call *call)
{
    DataKey *key;

    if (arg_key(call, 1, DATA_LIST, &key))
        say_number(call, key ? (int64_t) key->value->n : 0);
}

static void lrange(Call *call)
{
    DataKey *key;
    int64_t start, stop;

    if (!arg_number(call, 2, &start) || !arg_number(call, 3, &stop) ||
        !arg_key(call, 1, DATA_LIST, &key))
        return;
    if (!key || !range_clip(&start, &stop, key->value->n))
        return say_list(call, 0);
    say_list(call, (size_t) (stop - start + 1));
    for (int64_t i = start; i <= stop; i++)
        say_text(call, key->value->texts[key->value->head + (size_t) i]);
}

static void lindex(Call *call)
{
    DataKey *key;
    int64_t at;

    if (!arg_key(call, 1, DATA_LIST, &key))
        return;
    if (!key)
        return say_null(call);
    if (!arg_number(call, 2, &at))
        return;
    if (at < 0)
        at += (int64_t) key->value->n;
    if (at < 0 || at >= (int64_t) key->value->n)
        return say_null(call);
    say_text(call, key->value->texts[key->value->head + (size_t) at]);
}

static void lset(Call *call)
{
    DataKey *key;
    int64_t at;
    Str *slot;

    if (!arg_key(call, 1, DATA_LIST, &key))
        return;
    if (!key)
        return say_error(call, "ERR no such key");
    if (!arg_number(call, 2, &at))
        return;
    if (at < 0)
        at += (int64_t) key->value->n;
    if (at < 0 || at >= (int64_t) key->value->n)
        return say_error(call, "ERR index out of range");
    slot = &key->value->texts[key->value->head + (size_t) at];
    text_drop(slot);
    *slot = text_own(call->argv[3]);
    say_status(call, "OK");
}

static void ltrim(Call *call)
{
    DataKey *key;
    int64_t start, stop, n;
    bool has_any;

    if (!arg_number(call, 2, &start) || !arg_number(call, 3, &stop) ||
        !arg_key(call, 1, DATA_LIST, &key))
        return;
    say_status(call, "OK");
    if (!key)
        return;
    n = (int64_t) key->value->n;
    has_any = range_clip(&start, &stop, key->value->n);
    for (int64_t i = 0; i < (has_any ? start : n); i++) {
        Str text = list_value_pop(key->value, true);

        text_drop(&text);
    }
    for (int64_t i = stop + 1; has_any && i < n; i++) {
        Str text = list_value_pop(key->value, false);

        text_drop(&text);
    }
    key_tidy(call, key);
}

static void lrem(Call *call)
{
    DataKey *key;
    int64_t count, n = 0, most;

    if (!arg_number(call, 2, &count) || !arg_key(call, 1, DATA_LIST, &key))
        return;
    if (!key)
        return say_number(call, 0);
    most = count == 0 ? INT64_MAX : count < 0 ? -count : count;
    for (size_t left = key->value->n, at = count < 0 ? left - 1 : 0; left > 0 && n < most; left--) {
        bool is_it = str_eq(key->value->texts[key->value->head + at], call->argv[3]);

        if (is_it)
            list_value_cut(key->value, at);
        n += is_it;
        at = count < 0 ? at - 1 : at + !is_it;
    }
    say_number(call, n);
    key_tidy(call, key);
}

/* ---- hashes ---------------------------------------------------------------------------------- */

static void hset(Call *call)
{
    bool is_hmset = call->argv[0].len == 5;
    DataKey *key;
    int64_t n = 0;

    if (call->argc % 2 == 1)
        return say_error(call, "ERR wrong number of arguments for '%s' command",
                         is_hmset ? "hmset" : "hset");
    if (!arg_key_made(call, 1, DATA_HASH, &key))
        return;
    for (size_t i = 2; i < call->argc; i += 2)
        n += item_put(key->value, call->argv[i], call->argv[i + 1], 0);
    if (is_hmset)
        say_status(call, "OK");
    else
        say_number(call, n);
}

static void hsetnx(Call *call)
{
    DataKey *key;
    bool is_new;

    if (!arg_key_made(call, 1, DATA_HASH, &key))
        return;
    is_new = !item_find(key->value, call->argv[2]);
    if (is_new)
        item_put(key->value, call->argv[2], call->argv[3], 0);
    say_number(call, is_new);
}

static const DataItem *field(const DataKey *key, Str name)
{
    return key ? item_find(key->value, name) : NULL;
}

static void hget(Call *call)
{
    DataKey *key;
    const DataItem *item;

    if (!arg_key(call, 1, DATA_HASH, &key))
        return;
    item = field(key, call->argv[2]);
    if (item)
        say_text(call, item->value);
    else
        say_null(call);
}

static void hmget(Call *call)
{
    DataKey *key;

    if (!arg_key(call, 1, DATA_HASH, &key))
        return;
    say_list(call, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) {
        const DataItem *item = field(key, call->argv[i]);

        if (item)
            say_text(call, item->value);
        else
            say_null(call);
    }
}

/* HDEL, SREM, ZREM. */
static void remove_items(Call *call, DataKind kind)
{
    DataKey *key;
    int64_t n = 0;

    if (!arg_key(call, 1, kind, &key))
        return;
    for (size_t i = 2; key && i < call->argc; i++)
        n += item_remove(key->value, call->argv[i]);
    say_number(call, n);
    key_tidy(call, key);
}

static void hdel(Call *call)
{
    remove_items(call, DATA_HASH);
}

static void srem(Call *call)
{
    remove_items(call, DATA_SET);
}

static void zrem(Call *call)
{
    remove_items(call, DATA_ZSET);
}

static void count_items(Call *call, DataKind kind)
{
    DataKey *key;

    if (arg_key(call, 1, kind, &key))
        say_number(call, key ? (int64_t) key->value->items.len : 0);
}

static void hlen(Call *call)
{
    count_items(call, DATA_HASH);
}

static void scard(Call *call)
{
    count_items(call, DATA_SET);
}

static void zcard(Call *call)
{
    count_items(call, DATA_ZSET);
}

static void hexists(Call *call)
{
    DataKey *key;

    if (arg_key(call, 1, DATA_HASH, &key))
        say_number(call, field(key, call->argv[2]) != NULL);
}

static void hstrlen(Call *call)
{
    DataKey *key;
    const DataItem *item;

    if (!arg_key(call, 1, DATA_HASH, &key))
        return;
    item = field(key, call->argv[2]);
    say_number(call, item ? (int64_t) item->value.len : 0);
}

static void hincrby(Call *call)
{
    DataKey *key;
    const DataItem *item;
    int64_t by, value = 0;
    char text[24];

    if (!arg_number(call, 3, &by) || !arg_key_made(call, 1, DATA_HASH, &key))
        return;
    item = field(key, call->argv[2]);
    if (item && str_to_i64(item->value, INT64_MIN, INT64_MAX, &value) < 0)
        return say_error(call, "ERR hash value is not an integer");
    if (__builtin_add_overflow(value, by, &value)) {
        say_error(call, "ERR increment or decrement would overflow");
        return key_tidy(call, key);
    }
    snprintf(text, sizeof(text), "%lld", (long long) value);
    item_put(key->value, call->argv[2], str_from_c(text), 0);
    say_number(call, value);
}

static void hgetall(Call *call)
{
    DataKey *key;

    if (!arg_key(call, 1, DATA_HASH, &key))
        return;
    say_map(call, key ? key->value->items.len : 0);
    if (!key)
        return;
    list_each(&key->value->order, link) {
        const DataItem *item = LIST_ITEM(link, DataItem, link);

        say_text(call, item->name);
        say_text(call, item->value);
    }
}

static void list_items(Call *call, DataKind kind, bool wants_values)
{
    DataKey *key;

    if (!arg_key(call, 1, kind, &key))
        return;
    if (kind == DATA_SET)
        say_set(call, key ? key->value->items.len : 0);
    else
        say_list(call, key ? key->value->items.len : 0);
    if (!key)
        return;
    list_each(&key->value->order, link) {
        const DataItem *item = LIST_ITEM(link, DataItem, link);

        say_text(call, wants_values ? item->value : item->name);
    }
}

static void hkeys(Call *call)
{
    list_items(call, DATA_HASH, false);
}

static void hvals(Call *call)
{
    list_items(call, DATA_HASH, true);
}

static void smembers(Call *call)
{
    list_items(call, DATA_SET, false);
}

/* HSCAN, SSCAN, ZSCAN. */
static void scan_items(Call *call, DataKind kind)
{
    DataKey *key;
    ScanItem *items;
    char(*scores)[40];
    uint64_t number;
    size_t n = 0, cursor = 0;
    Str name;
    void *slot;

    if (str_to_u64(call->argv[2], UINT64_MAX, &number) < 0)
        return say_error(call, "ERR invalid cursor");
    if (!arg_key(call, 1, kind, &key))
        return;
    if (!key) { /* the options are not looked at then */
        call->argc = 3;
        return say_scan(call, 2, NULL, 0, false);
    }
    items = mem_new_array(ScanItem, key->value->items.len + 1);
    scores = mem_zalloc_array(key->value->items.len + 1, sizeof(*scores));
    while (map_next(&key->value->items, &cursor, &name, &slot)) {
        const DataItem *item = slot;

        items[n] = (ScanItem){ .name = item->name, .value = item->value };
        if (kind == DATA_ZSET)
            items[n].value = str_from(scores[n], real_to_text(item->score, scores[n]));
        n++;
    }
    say_scan(call, 2, items, n, kind != DATA_SET);
    mem_free(scores);
    mem_free(items);
}

static void hscan(Call *call)
{
    scan_items(call, DATA_HASH);
}

static void sscan(Call *call)
{
    scan_items(call, DATA_SET);
}

static void zscan(Call *call)
{
    scan_items(call, DATA_ZSET);
}

/* ---- sets ------------------------------------------------------------------------------------ */

static void sadd(Call *call)
{
    DataKey *key;
    int64_t n = 0;

    if (!arg_key_made(call, 1, DATA_SET, &key))
        return;
    for (size_t i = 2; i < call->argc; i++)
        n += item_put(key->value, call->argv[i], (Str){ 0 }, 0);
    say_number(call, n);
}

static void sismember(Call *call)
{
    DataKey *key;

    if (arg_key(call, 1, DATA_SET, &key))
        say_number(call, field(key, call->argv[2]) != NULL);
}

static void smismember(Call *call)
{
    DataKey *key;

    if (!arg_key(call, 1, DATA_SET, &key))
        return;
    say_list(call, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++)
        say_number(call, field(key, call->argv[i]) != NULL);
}

enum { W = COMMAND_WRITE, WG = COMMAND_WRITE | COMMAND_GROWS };

const Command redis_list_commands[] = {
    { "lpush", push, -3, WG, 1, 1, 1 },
    { "rpush", push, -3, WG, 1, 1, 1 },
    { "lpushx", push, -3, WG, 1, 1, 1 },
    { "rpushx", push, -3, WG, 1, 1, 1 },
    { "lpop", pop, -2, W, 1, 1, 1 },
    { "rpop", pop, -2, W, 1, 1, 1 },
    { "llen", list_length, 2, 0, 1, 1, 1 },
    { "lrange", lrange, 4, 0, 1, 1, 1 },
    { "lindex", lindex, 3, 0, 1, 1, 1 },
    { "lset", lset, 4, WG, 1, 1, 1 },
    { "ltrim", ltrim, 4, W, 1, 1, 1 },
    { "lrem", lrem, 4, W, 1, 1, 1 },
    { "hset", hset, -4, WG, 1, 1, 1 },
    { "hmset", hset, -4, WG, 1, 1, 1 },
    { "hsetnx", hsetnx, 4, WG, 1, 1, 1 },
    { "hget", hget, 3, 0, 1, 1, 1 },
    { "hmget", hmget, -3, 0, 1, 1, 1 },
    { "hdel", hdel, -3, W, 1, 1, 1 },
    { "hlen", hlen, 2, 0, 1, 1, 1 },
    { "hexists", hexists, 3, 0, 1, 1, 1 },
    { "hstrlen", hstrlen, 3, 0, 1, 1, 1 },
    { "hincrby", hincrby, 4, WG, 1, 1, 1 },
    { "hgetall", hgetall, 2, 0, 1, 1, 1 },
    { "hkeys", hkeys, 2, 0, 1, 1, 1 },
    { "hvals", hvals, 2, 0, 1, 1, 1 },
    { "hscan", hscan, -3, 0, 1, 1, 1 },
    { "sadd", sadd, -3, WG, 1, 1, 1 },
    { "srem", srem, -3, W, 1, 1, 1 },
    { "scard", scard, 2, 0, 1, 1, 1 },
    { "sismember", sismember, 3, 0, 1, 1, 1 },
    { "smismember", smismember, -3, 0, 1, 1, 1 },
    { "smembers", smembers, 2, 0, 1, 1, 1 },
    { "sscan", sscan, -3, 0, 1, 1, 1 },
    { "zrem", zrem, -3, W, 1, 1, 1 },
    { "zcard", zcard, 2, 0, 1, 1, 1 },
    { "zscan", zscan, -3, 0, 1, 1, 1 },
    { 0 },
};
