/*
 * Hexadecimal text: two tables, one for each direction.
 *
 * digit_values holds the value of a digit plus one, so that 0 stands for "no digit".
 */
#include "codec/hex.h"

#include "base/err.h"

static const char hex_digits[] = "0123456789abcdef";
static const uint8_t digit_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

void hex_encode(const void *data, size_t len, char *out)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex_digits[bytes[i] >> 4];
        out[2 * i + 1] = hex_digits[bytes[i] & 15];
    }
}

void hex_encode_buf(Buf *out, Str data)
{
    char *at = buf_reserve(out, 2 * data.len);

    if (!at)
        return;
    hex_encode(data.data, data.len, at);
    out->len += 2 * data.len;
}

int hex_digit(char c)
{
    return digit_values[(unsigned char) c] - 1;
}

int hex_decode(Str text, void *out)
{
    uint8_t *bytes = out;

    if (text.len % 2 != 0)
        return fail(-ERR_INVALID, "an odd number of hexadecimal digits");
    for (size_t i = 0; i < text.len / 2; i++) {
        int high = hex_digit(text.data[2 * i]), low = hex_digit(text.data[2 * i + 1]);

        if (high < 0 || low < 0)
            return fail(-ERR_INVALID, "no hexadecimal digit at byte %zu", 2 * i + (high >= 0));
        bytes[i] = (uint8_t) (high << 4 | low);
    }
    return 0;
}
