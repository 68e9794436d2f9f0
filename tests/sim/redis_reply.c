/*
 * What the simulated Redis says, in RESP2 or RESP3, and how it reads its arguments.
 */
#include "../sim/redis_call.h"

#include "base/err.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

void say_status(Call *call, const char *text)
{
    buf_printf(call->out, "+%s\r\n", text);
}

void say_error(Call *call, const char *fmt, ...)
{
    va_list args;

    buf_add_char(call->out, '-');
    va_start(args, fmt);
    buf_vprintf(call->out, fmt, args);
    va_end(args);
    buf_add_c(call->out, "\r\n");
}

static void say_head(Call *call, char mark, int64_t number)
{
    buf_add_char(call->out, mark);
    buf_add_i64(call->out, number);
    buf_add_c(call->out, "\r\n");
}

void say_number(Call *call, int64_t number)
{
    say_head(call, ':', number);
}

size_t real_to_text(double number, char out[static 40])
{
    if (isinf(number))
        return (size_t) snprintf(out, 40, "%s", number > 0 ? "inf" : "-inf");
    return (size_t) snprintf(out, 40, "%.17g", number);
}

void say_real(Call *call, double number)
{
    char text[40];
    size_t len = real_to_text(number, text);

    if (call->is_resp3)
        buf_printf(call->out, ",%s\r\n", text);
    else
        say_text(call, str_from(text, len));
}

void say_text(Call *call, Str text)
{
    say_head(call, '$', (int64_t) text.len);
    buf_add_str(call->out, text);
    buf_add_c(call->out, "\r\n");
}

void say_c(Call *call, const char *text)
{
    say_text(call, str_from_c(text));
}

void say_null(Call *call)
{
    buf_add_c(call->out, call->is_resp3 ? "_\r\n" : "$-1\r\n");
}

void say_null_list(Call *call)
{
    buf_add_c(call->out, call->is_resp3 ? "_\r\n" : "*-1\r\n");
}

void say_list(Call *call, size_t n)
{
    say_head(call, '*', (int64_t) n);
}

void say_map(Call *call, size_t pairs)
{
    if (call->is_resp3)
        say_head(call, '%', (int64_t) pairs);
    else
        say_head(call, '*', (int64_t) pairs * 2);
}

void say_set(Call *call, size_t n)
{
    say_head(call, call->is_resp3 ? '~' : '*', (int64_t) n);
}

void say_push(Call *call, size_t n)
{
    say_head(call, call->is_resp3 ? '>' : '*', (int64_t) n);
}

void say_syntax(Call *call)
{
    say_error(call, "ERR syntax error");
}

void say_not_integer(Call *call)
{
    say_error(call, "ERR value is not an integer or out of range");
}

void say_wrong_type(Call *call)
{
    say_error(call, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

/* ---- arguments ------------------------------------------------------------------------------- */

bool arg_is(Str arg, const char *word)
{
    return str_eq_nocase(arg, str_from_c(word));
}

bool arg_number(Call *call, size_t i, int64_t *ret)
{
    Str text = call->argv[i];
    bool has_zeros = text.len > 1 && (text.data[0] == '0' || str_starts(text, str_from_c("-0")));

    if (!has_zeros && str_to_i64(text, INT64_MIN, INT64_MAX, ret) == 0)
        return true;
    say_not_integer(call);
    return false;
}

bool text_to_real(Str text, double *ret)
{
    char copy[64], *end;

    if (text.len == 0 || text.len >= sizeof(copy) || text.data[0] == ' ')
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *ret = strtod(copy, &end);
    return end == copy + text.len && !isnan(*ret);
}

bool arg_real(Call *call, size_t i, double *ret)
{
    if (text_to_real(call->argv[i], ret))
        return true;
    say_error(call, "ERR value is not a valid float");
    return false;
}

bool arg_key(Call *call, size_t i, DataKind kind, DataKey **ret_key)
{
    *ret_key = data_find(call->data, call->argv[i], call->now_ms);
    if (!*ret_key || (*ret_key)->value->kind == kind)
        return true;
    say_wrong_type(call);
    return false;
}

bool arg_key_made(Call *call, size_t i, DataKind kind, DataKey **ret_key)
{
    if (!arg_key(call, i, kind, ret_key))
        return false;
    if (!*ret_key)
        *ret_key = data_make(call->data, call->argv[i], kind);
    return true;
}

void key_tidy(Call *call, DataKey *key)
{
    if (key && value_len(key->value) == 0)
        data_remove(call->data, key->name);
}

bool range_clip(int64_t *start, int64_t *stop, size_t n)
{
    int64_t len = (int64_t) n;

    if (*start < 0)
        *start = *start + len < 0 ? 0 : *start + len;
    if (*stop < 0)
        *stop += len;
    if (*stop >= len)
        *stop = len - 1;
    return *start <= *stop && *start < len;
}

static int scan_cmp(const void *a, const void *b)
{
    const ScanItem *x = a, *y = b;

    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Whether a key passes MATCH: * and ? and classes, as fnmatch without its treatment of '/'. */
static bool glob(const char *pattern, Str text)
{
    size_t at = 0;

    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            for (size_t i = at; i <= text.len; i++) {
                if (glob(pattern + 1, str_sub(text, i, SIZE_MAX)))
                    return true;
            }
            return false;
        }
        if (at == text.len)
            return false;
        if (*pattern == '\\' && pattern[1])
            pattern++;
        else if (*pattern == '?') {
            at++;
            continue;
        }
        if (text.data[at++] != *pattern)
            return false;
    }
    return at == text.len;
}

/*
 * In order of a hash of the name; the cursor is the hash where the next page begins. Whatever is
 * there throughout is given, as Redis promises.
 */
void say_scan(Call *call, size_t cursor_arg, ScanItem *items, size_t n, bool has_values)
{
    char pattern[256] = "*", next[24] = "0";
    int64_t count = 10;
    uint64_t cursor;
    size_t at = 0, end, matches = 0;

    if (str_to_u64(call->argv[cursor_arg], UINT64_MAX, &cursor) < 0) {
        say_error(call, "ERR invalid cursor");
        return;
    }
    for (size_t i = cursor_arg + 1; i < call->argc; i += 2) {
        if (i + 1 == call->argc ||
            !(arg_is(call->argv[i], "count") || arg_is(call->argv[i], "match")))
            return say_syntax(call);
        if (arg_is(call->argv[i], "count") && !arg_number(call, i + 1, &count))
            return;
        if (arg_is(call->argv[i], "match"))
            snprintf(pattern, sizeof(pattern), "%.*s", (int) call->argv[i + 1].len,
                     call->argv[i + 1].data);
    }
    for (size_t i = 0; i < n; i++)
        items[i].hash = 1 + (hash_bytes(items[i].name.data, items[i].name.len, 7, 9) >> 20);
    if (n > 1)
        qsort(items, n, sizeof(*items), scan_cmp);
    while (at < n && items[at].hash < cursor)
        at++;
    end = at + (size_t) (count < 1 ? 1 : count) < n ? at + (size_t) count : n;
    while (end < n && end > at && items[end].hash == items[end - 1].hash)
        end++;
    if (end < n)
        snprintf(next, sizeof(next), "%llu", (unsigned long long) items[end].hash);
    for (size_t i = at; i < end; i++)
        matches += glob(pattern, items[i].name);
    say_list(call, 2);
    say_c(call, next);
    say_list(call, matches * (has_values ? 2 : 1));
    for (size_t i = at; i < end; i++) {
        if (!glob(pattern, items[i].name))
            continue;
        say_text(call, items[i].name);
        if (has_values)
            say_text(call, items[i].value);
    }
}
