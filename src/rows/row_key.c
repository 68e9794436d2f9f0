/*
 * Keys of rows; see the header for their bytes.
 */
#include "rows/row_key.h"

#include "base/assert.h"
#include "base/macro.h"

#include <math.h>

STATIC_ASSERT(LIMIT_ROW_KEY_BYTES <= UINT16_MAX, "a length has two bytes");

static bool add_bytes(RowKey *key, RowKind kind, const void *data, size_t len)
{
    if (UNLIKELY(len >= sizeof(key->bytes) - key->len))
        return false;
    key->bytes[key->len] = (char) kind;
    memcpy(key->bytes + key->len + 1, data, len);
    key->len += 1 + len;
    return true;
}

static bool add_text(RowKey *key, RowKind kind, Str text)
{
    uint16_t len = (uint16_t) text.len;
    char *at = key->bytes + key->len;

    if (UNLIKELY(sizeof(key->bytes) - key->len < 3 || text.len > sizeof(key->bytes) - key->len - 3))
        return false;
    at[0] = (char) kind;
    memcpy(at + 1, &len, sizeof(len));
    if (len > 0)
        memcpy(at + 3, text.data, len);
    key->len += 3 + text.len;
    return true;
}

bool row_key_add(RowKey *key, const RowValue *value)
{
    double real;

    switch (value->kind) {
    case ROW_TEXT:
    case ROW_JSON: return add_text(key, value->kind, value->text);
    case ROW_INT: return add_bytes(key, ROW_INT, &value->integer, sizeof(value->integer));
    case ROW_TIME: return add_bytes(key, ROW_TIME, &value->time_ns, sizeof(value->time_ns));
    case ROW_BOOL: return add_bytes(key, ROW_BOOL, &value->boolean, sizeof(value->boolean));
    case ROW_REAL:
        real = value->real == 0 ? 0 : isnan(value->real) ? (double) NAN : value->real;
        return add_bytes(key, ROW_REAL, &real, sizeof(real));
    case ROW_ANY: return add_bytes(key, ROW_ANY, "", 0);
    }
    UNREACHABLE("all kinds are above");
}

static bool take_bytes(Str *bytes, void *ret, size_t len)
{
    if (bytes->len < len)
        return false;
    memcpy(ret, bytes->data, len);
    *bytes = str_sub(*bytes, len, bytes->len);
    return true;
}

static bool take_text(Str *bytes, Str *ret_text)
{
    uint16_t len;

    if (!take_bytes(bytes, &len, sizeof(len)) || bytes->len < len)
        return false;
    *ret_text = str_sub(*bytes, 0, len);
    *bytes = str_sub(*bytes, len, bytes->len);
    return true;
}

bool row_key_take(Str *bytes, RowValue *ret_value)
{
    unsigned char kind, flag;
    Str rest = *bytes;
    bool is_there = take_bytes(&rest, &kind, 1) && kind <= ROW_JSON;

    if (!is_there)
        return false;
    *ret_value = row_value_of((RowKind) kind);
    switch ((RowKind) kind) {
    case ROW_TEXT:
    case ROW_JSON: is_there = take_text(&rest, &ret_value->text); break;
    case ROW_INT: is_there = take_bytes(&rest, &ret_value->integer, 8); break;
    case ROW_TIME: is_there = take_bytes(&rest, &ret_value->time_ns, 8); break;
    case ROW_REAL: is_there = take_bytes(&rest, &ret_value->real, 8); break;
    case ROW_BOOL:
        is_there = take_bytes(&rest, &flag, 1) && flag <= 1;
        ret_value->boolean = is_there && flag;
        break;
    case ROW_ANY: break;
    }
    if (is_there)
        *bytes = rest;
    return is_there;
}
