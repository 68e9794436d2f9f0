/*
 * Keys and strings of the simulated Redis.
 */
#include "../sim/redis_call.h"

#include "base/mem.h"

#include <stdio.h>

static DataKey *find(Call *call, Str name)
{
    return data_find(call->data, name, call->now_ms);
}

static void string_put(Call *call, Str name, Str text)
{
    DataKey *key = data_make(call->data, name, DATA_STRING);

    key->value->text = text_own(text);
}

static void get(Call *call)
{
    DataKey *key;

    if (!arg_key(call, 1, DATA_STRING, &key))
        return;
    if (key)
        say_text(call, key->value->text);
    else
        say_null(call);
}

typedef struct SetOptions {
    bool is_nx, is_xx, is_get, keeps_ttl;
    int64_t expires_ms;
} SetOptions;

static bool set_expiry(Call *call, size_t i, SetOptions *options)
{
    bool is_seconds = arg_is(call->argv[i], "ex") || arg_is(call->argv[i], "exat");
    bool is_at = arg_is(call->argv[i], "exat") || arg_is(call->argv[i], "pxat");
    int64_t number;

    if (i + 1 == call->argc) {
        say_syntax(call);
        return false;
    }
    if (!arg_number(call, i + 1, &number))
        return false;
    if (number <= 0 || number > INT64_MAX / 4000) {
        say_error(call, "ERR invalid expire time in 'set' command");
        return false;
    }
    options->expires_ms = (is_seconds ? number * 1000 : number) + (is_at ? 0 : call->now_ms);
    return true;
}

static bool set_options(Call *call, SetOptions *options)
{
    for (size_t i = 3; i < call->argc; i++) {
        Str word = call->argv[i];

        if (arg_is(word, "nx")) {
            options->is_nx = true;
        } else if (arg_is(word, "xx")) {
            options->is_xx = true;
        } else if (arg_is(word, "get")) {
            options->is_get = true;
        } else if (arg_is(word, "keepttl")) {
            options->keeps_ttl = true;
        } else if (arg_is(word, "px") || arg_is(word, "ex") || arg_is(word, "pxat") ||
                   arg_is(word, "exat")) {
            if (!set_expiry(call, i++, options))
                return false;
        } else {
            say_syntax(call);
            return false;
        }
    }
    if (!(options->is_nx && options->is_xx))
        return true;
    say_syntax(call);
    return false;
}

static void set(Call *call)
{
    SetOptions options = { 0 };
    DataKey *key;
    bool is_refused;

    if (!set_options(call, &options))
        return;
    key = find(call, call->argv[1]);
    if (options.is_get && key && key->value->kind != DATA_STRING)
        return say_wrong_type(call);
    is_refused = (options.is_nx && key) || (options.is_xx && !key);
    if (options.is_get && key)
        say_text(call, key->value->text);
    else if (options.is_get || is_refused)
        say_null(call);
    else
        say_status(call, "OK");
    if (is_refused)
        return;
    if (options.keeps_ttl && key)
        options.expires_ms = key->expires_ms;
    string_put(call, call->argv[1], call->argv[2]);
    find(call, call->argv[1])->expires_ms = options.expires_ms;
}

static void setnx(Call *call)
{
    DataKey *key = find(call, call->argv[1]);

    if (!key)
        string_put(call, call->argv[1], call->argv[2]);
    say_number(call, !key);
}

static void setex(Call *call)
{
    bool is_ms = call->argv[0].data[0] == 'p' || call->argv[0].data[0] == 'P';
    int64_t number;

    if (!arg_number(call, 2, &number))
        return;
    if (number <= 0 || number > INT64_MAX / 4000)
        return say_error(call, "ERR invalid expire time in '%s' command",
                         is_ms ? "psetex" : "setex");
    string_put(call, call->argv[1], call->argv[3]);
    find(call, call->argv[1])->expires_ms = call->now_ms + (is_ms ? number : number * 1000);
    say_status(call, "OK");
}

static void getset(Call *call)
{
    DataKey *key;

    if (!arg_key(call, 1, DATA_STRING, &key))
        return;
    if (key)
        say_text(call, key->value->text);
    else
        say_null(call);
    string_put(call, call->argv[1], call->argv[2]);
}

static void getdel(Call *call)
{
    DataKey *key;

    if (!arg_key(call, 1, DATA_STRING, &key))
        return;
    if (!key)
        return say_null(call);
    say_text(call, key->value->text);
    data_remove(call->data, call->argv[1]);
}

static void mget(Call *call)
{
    say_list(call, call->argc - 1);
    for (size_t i = 1; i < call->argc; i++) {
        DataKey *key = find(call, call->argv[i]);

        if (key && key->value->kind == DATA_STRING)
            say_text(call, key->value->text);
        else
            say_null(call);
    }
}

static void mset(Call *call)
{
    bool is_nx = call->argv[0].len == 6;

    if (call->argc % 2 == 0)
        return say_error(call, "ERR wrong number of arguments for '%s' command",
                         is_nx ? "msetnx" : "mset");
    for (size_t i = 1; is_nx && i < call->argc; i += 2) {
        if (find(call, call->argv[i]))
            return say_number(call, 0);
    }
    for (size_t i = 1; i < call->argc; i += 2)
        string_put(call, call->argv[i], call->argv[i + 1]);
    if (is_nx)
        say_number(call, 1);
    else
        say_status(call, "OK");
}

static void add(Call *call, int64_t by)
{
    DataKey *key;
    int64_t value = 0;
    char text[24];

    if (!arg_key(call, 1, DATA_STRING, &key))
        return;
    if (key && str_to_i64(key->value->text, INT64_MIN, INT64_MAX, &value) < 0)
        return say_not_integer(call);
    if (__builtin_add_overflow(value, by, &value))
        return say_error(call, "ERR increment or decrement would overflow");
    if (!key)
        key = data_make(call->data, call->argv[1], DATA_STRING);
    text_drop(&key->value->text);
    snprintf(text, sizeof(text), "%lld", (long long) value);
    key->value->text = text_own(str_from_c(text));
    say_number(call, value);
}

static void incr(Call *call)
{
    add(call, 1);
}

static void decr(Call *call)
{
    add(call, -1);
}

static void incrby(Call *call)
{
    int64_t by;

    if (arg_number(call, 2, &by))
        add(call, by);
}

static void decrby(Call *call)
{
    int64_t by;

    if (arg_number(call, 2, &by))
        add(call, -by);
}

static void append(Call *call)
{
    AUTO(buf_deinit) Buf text = { 0 };
    DataKey *key;

    if (!arg_key_made(call, 1, DATA_STRING, &key))
        return;
    buf_add_str(&text, key->value->text);
    buf_add_str(&text, call->argv[2]);
    text_drop(&key->value->text);
    key->value->text = text_own(buf_str(&text));
    say_number(call, (int64_t) text.len);
}

static void string_length(Call *call)
{
    DataKey *key;

    if (arg_key(call, 1, DATA_STRING, &key))
        say_number(call, key ? (int64_t) key->value->text.len : 0);
}

static void getrange(Call *call)
{
    DataKey *key;
    int64_t start, stop;

    if (!arg_number(call, 2, &start) || !arg_number(call, 3, &stop) ||
        !arg_key(call, 1, DATA_STRING, &key))
        return;
    if (key && stop < 0 && stop + (int64_t) key->value->text.len < 0 &&
        !(start < 0 && start > stop))
        stop = -(int64_t) key->value->text.len;
    if (!key || (start < 0 && stop < 0 && start > stop) ||
        !range_clip(&start, &stop, key->value->text.len))
        return say_c(call, "");
    say_text(call, str_sub(key->value->text, (size_t) start, (size_t) (stop - start + 1)));
}

static void setrange(Call *call)
{
    DataKey *key;
    int64_t at;
    size_t end, len;
    char *text;

    if (!arg_number(call, 2, &at))
        return;
    if (at < 0)
        return say_error(call, "ERR offset is out of range");
    if (!arg_key(call, 1, DATA_STRING, &key))
        return;
    len = key ? key->value->text.len : 0;
    if (call->argv[3].len == 0)
        return say_number(call, (int64_t) len);
    if (!key)
        key = data_make(call->data, call->argv[1], DATA_STRING);
    end = (size_t) at + call->argv[3].len;
    end = end > len ? end : len;
    text = mem_zalloc(end + 1);
    if (len > 0)
        memcpy(text, key->value->text.data, len);
    memcpy(text + at, call->argv[3].data, call->argv[3].len);
    text_drop(&key->value->text);
    key->value->text = str_from(text, end);
    say_number(call, (int64_t) end);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void del(Call *call)
{
    int64_t n = 0;

    for (size_t i = 1; i < call->argc; i++) {
        if (!find(call, call->argv[i]))
            continue;
        data_remove(call->data, call->argv[i]);
        n++;
    }
    say_number(call, n);
}

static void exists(Call *call)
{
    int64_t n = 0;

    for (size_t i = 1; i < call->argc; i++)
        n += find(call, call->argv[i]) != NULL;
    say_number(call, n);
}

static void type(Call *call)
{
    static const char *const names[] = { "string", "list", "hash", "set", "zset" };
    DataKey *key = find(call, call->argv[1]);

    say_status(call, key ? names[key->value->kind] : "none");
}

static bool may_expire(Call *call, const DataKey *key, int64_t at_ms)
{
    if (call->argc < 4)
        return true;
    if (arg_is(call->argv[3], "nx"))
        return key->expires_ms == 0;
    if (arg_is(call->argv[3], "xx"))
        return key->expires_ms != 0;
    if (arg_is(call->argv[3], "gt"))
        return key->expires_ms != 0 && at_ms > key->expires_ms;
    return key->expires_ms == 0 || at_ms < key->expires_ms;
}

/* EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT. */
static void expire(Call *call)
{
    bool is_ms = call->argv[0].data[0] == 'p' || call->argv[0].data[0] == 'P';
    bool is_at = str_eq_nocase(str_sub(call->argv[0], call->argv[0].len - 2, 2), str_from_c("at"));
    DataKey *key;
    int64_t number;

    if (!arg_number(call, 2, &number))
        return;
    if (call->argc > 3 && !arg_is(call->argv[3], "nx") && !arg_is(call->argv[3], "xx") &&
        !arg_is(call->argv[3], "gt") && !arg_is(call->argv[3], "lt"))
        return say_error(call, "ERR Unsupported option %.*s", (int) call->argv[3].len,
                         call->argv[3].data);
    key = find(call, call->argv[1]);
    number = (is_ms ? number : number * 1000) + (is_at ? 0 : call->now_ms);
    if (!key || !may_expire(call, key, number))
        return say_number(call, 0);
    if (number <= call->now_ms)
        data_remove(call->data, call->argv[1]);
    else
        key->expires_ms = number;
    say_number(call, 1);
}

/* TTL, PTTL, EXPIRETIME, PEXPIRETIME. */
static void ttl(Call *call)
{
    bool is_ms = call->argv[0].data[0] == 'p' || call->argv[0].data[0] == 'P';
    bool is_at = call->argv[0].len > 4;
    DataKey *key = find(call, call->argv[1]);
    int64_t left;

    if (!key)
        return say_number(call, -2);
    if (key->expires_ms == 0)
        return say_number(call, -1);
    left = key->expires_ms - (is_at ? 0 : call->now_ms);
    say_number(call, is_ms ? left : (left + 500) / 1000);
}

static void persist(Call *call)
{
    DataKey *key = find(call, call->argv[1]);

    say_number(call, key && key->expires_ms != 0);
    if (key)
        key->expires_ms = 0;
}

static void rename_key(Call *call)
{
    DataKey *key = find(call, call->argv[1]), *made;

    if (!key)
        return say_error(call, "ERR no such key");
    if (!str_eq(call->argv[1], call->argv[2])) {
        made = data_make(call->data, call->argv[2], key->value->kind);
        value_free(made->value);
        made->value = TAKE(key->value);
        made->expires_ms = key->expires_ms;
        data_remove(call->data, call->argv[1]);
    }
    say_status(call, "OK");
}

static void scan(Call *call)
{
    ScanItem *items = mem_new_array(ScanItem, call->data->keys.len + 1);
    size_t cursor = 0, n = 0;
    Str name;
    void *slot;

    while (map_next(&call->data->keys, &cursor, &name, &slot)) {
        const DataKey *key = slot;

        if (key->expires_ms == 0 || key->expires_ms > call->now_ms)
            items[n++].name = key->name;
    }
    say_scan(call, 1, items, n, false);
    mem_free(items);
}

static void dbsize(Call *call)
{
    say_number(call, (int64_t) call->data->keys.len);
}

enum { W = COMMAND_WRITE, WG = COMMAND_WRITE | COMMAND_GROWS };

const Command redis_key_commands[] = {
    { "get", get, 2, 0, 1, 1, 1 },
    { "set", set, -3, WG, 1, 1, 1 },
    { "setnx", setnx, 3, WG, 1, 1, 1 },
    { "setex", setex, 4, WG, 1, 1, 1 },
    { "psetex", setex, 4, WG, 1, 1, 1 },
    { "getset", getset, 3, WG, 1, 1, 1 },
    { "getdel", getdel, 2, W, 1, 1, 1 },
    { "mget", mget, -2, 0, 1, -1, 1 },
    { "mset", mset, -3, WG, 1, -1, 2 },
    { "msetnx", mset, -3, WG, 1, -1, 2 },
    { "incr", incr, 2, WG, 1, 1, 1 },
    { "decr", decr, 2, WG, 1, 1, 1 },
    { "incrby", incrby, 3, WG, 1, 1, 1 },
    { "decrby", decrby, 3, WG, 1, 1, 1 },
    { "append", append, 3, WG, 1, 1, 1 },
    { "strlen", string_length, 2, 0, 1, 1, 1 },
    { "getrange", getrange, 4, 0, 1, 1, 1 },
    { "setrange", setrange, 4, WG, 1, 1, 1 },
    { "del", del, -2, W, 1, -1, 1 },
    { "unlink", del, -2, W, 1, -1, 1 },
    { "exists", exists, -2, 0, 1, -1, 1 },
    { "type", type, 2, 0, 1, 1, 1 },
    { "expire", expire, -3, W, 1, 1, 1 },
    { "pexpire", expire, -3, W, 1, 1, 1 },
    { "expireat", expire, -3, W, 1, 1, 1 },
    { "pexpireat", expire, -3, W, 1, 1, 1 },
    { "ttl", ttl, 2, 0, 1, 1, 1 },
    { "pttl", ttl, 2, 0, 1, 1, 1 },
    { "expiretime", ttl, 2, 0, 1, 1, 1 },
    { "pexpiretime", ttl, 2, 0, 1, 1, 1 },
    { "persist", persist, 2, W, 1, 1, 1 },
    { "rename", rename_key, 3, W, 1, 2, 1 },
    { "scan", scan, -2, 0, 0, 0, 0 },
    { "dbsize", dbsize, 1, 0, 0, 0, 0 },
    { 0 },
};
