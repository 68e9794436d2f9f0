/*
 * Keys of rows: the values of some columns as bytes, equal exactly when the values are.
 *
 * Each value is its kind (a byte) and then: a text its length (two bytes) and itself, a boolean one
 * byte, a number or a time eight bytes, no value nothing. 0.0 and -0.0 are the same, and so are all
 * NaN; an integer and a number are not.
 */
#pragma once

#include "base/limits.h"
#include "rows/row.h"

typedef struct RowKey {
    size_t len;
    char bytes[LIMIT_ROW_KEY_BYTES];
} RowKey;

/* Append VALUE. False when the key would be longer than LIMIT_ROW_KEY_BYTES; it is as it was. */
MUST bool row_key_add(RowKey *key, const RowValue *value);

/* Take the value at the front of *BYTES, a key; its text is borrowed from there. False for what is
 * no key. */
MUST bool row_key_take(Str *bytes, RowValue *ret_value);

static inline Str row_key_str(const RowKey *key)
{
    return str_from(key->bytes, key->len);
}
