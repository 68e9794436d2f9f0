/*
 * Numbers as bytes; see the header.
 */
#include "codec/varint.h"

#include "base/macro.h"

#define VARINT_BYTES 10 /* of the longest one */

STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed numbers lie as they do in memory");

void varint_add(Buf *out, uint64_t value)
{
    char bytes[VARINT_BYTES];
    size_t n = 0;

    for (; value > 0x7f; value >>= 7)
        bytes[n++] = (char) (value | 0x80);
    bytes[n++] = (char) value;
    buf_add(out, bytes, n);
}

bool varint_take(Str *bytes, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes->len && i < VARINT_BYTES; i++) {
        uint64_t part = (unsigned char) bytes->data[i];

        if (i == VARINT_BYTES - 1 && part > 1)
            return false;
        value |= (part & 0x7f) << (7 * i);
        if (part > 0x7f)
            continue;
        *bytes = str_sub(*bytes, i + 1, bytes->len);
        *ret_value = value;
        return true;
    }
    return false;
}

void varint_add_signed(Buf *out, int64_t value)
{
    varint_add(out, (uint64_t) value << 1 ^ (uint64_t) (value >> 63));
}

bool varint_take_signed(Str *bytes, int64_t *ret_value)
{
    uint64_t folded;

    if (!varint_take(bytes, &folded))
        return false;
    *ret_value = (int64_t) (folded >> 1 ^ (0 - (folded & 1)));
    return true;
}

void fixed_add_u64(Buf *out, uint64_t value)
{
    buf_add(out, &value, sizeof(value));
}

bool fixed_take_u64(Str *bytes, uint64_t *ret_value)
{
    if (bytes->len < sizeof(*ret_value))
        return false;
    memcpy(ret_value, bytes->data, sizeof(*ret_value));
    *bytes = str_sub(*bytes, sizeof(*ret_value), bytes->len);
    return true;
}

void fixed_add_real(Buf *out, double value)
{
    buf_add(out, &value, sizeof(value));
}

bool fixed_take_real(Str *bytes, double *ret_value)
{
    uint64_t bits;

    if (!fixed_take_u64(bytes, &bits))
        return false;
    memcpy(ret_value, &bits, sizeof(bits));
    return true;
}

void varint_add_str(Buf *out, Str text)
{
    varint_add(out, text.len);
    buf_add_str(out, text);
}

bool varint_take_str(Str *bytes, Str *ret_text)
{
    Str rest = *bytes;
    uint64_t len;

    if (!varint_take(&rest, &len) || len > rest.len)
        return false;
    *ret_text = str_sub(rest, 0, (size_t) len);
    *bytes = str_sub(rest, (size_t) len, rest.len);
    return true;
}
