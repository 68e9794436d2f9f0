/*
 * Base64: three bytes are four digits of six bits.
 *
 * Decoding takes exactly what encoding gives: padding where the variant has it, none where not,
 * and no bits left over in the last digit, so that two texts never mean the same bytes.
 */
#include "codec/base64.h"

#include "base/err.h"

#include <stdint.h>

static const char alphabets[2][65] = {
    [BASE64_STANDARD] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

size_t base64_encoded_bytes(size_t len, Base64Variant variant)
{
    size_t rest = len % 3;

    if (variant == BASE64_STANDARD)
        return (len + 2) / 3 * 4;
    return len / 3 * 4 + (rest > 0 ? rest + 1 : 0);
}

size_t base64_decoded_bytes_max(size_t len)
{
    return len / 4 * 3 + 3;
}

void base64_encode(Buf *out, Str data, Base64Variant variant)
{
    const char *digits = alphabets[variant];
    const uint8_t *bytes = (const uint8_t *) data.data;
    size_t encoded = base64_encoded_bytes(data.len, variant);
    char *begin = buf_reserve(out, encoded), *at = begin;
    size_t i = 0;

    if (!begin)
        return;
    for (; data.len - i >= 3; i += 3) {
        uint32_t three = (uint32_t) bytes[i] << 16 | (uint32_t) bytes[i + 1] << 8 | bytes[i + 2];

        *at++ = digits[three >> 18];
        *at++ = digits[three >> 12 & 63];
        *at++ = digits[three >> 6 & 63];
        *at++ = digits[three & 63];
    }
    if (data.len - i > 0) {
        bool has_two = data.len - i == 2;
        uint32_t rest = (uint32_t) bytes[i] << 16 | (has_two ? (uint32_t) bytes[i + 1] << 8 : 0);

        *at++ = digits[rest >> 18];
        *at++ = digits[rest >> 12 & 63];
        if (has_two)
            *at++ = digits[rest >> 6 & 63];
    }
    while (at < begin + encoded)
        *at++ = '=';
    out->len += encoded;
}

static int digit_value(char c, Base64Variant variant)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == alphabets[variant][62])
        return 62;
    if (c == alphabets[variant][63])
        return 63;
    return -1;
}

static Str without_padding(Str text)
{
    for (int i = 0; i < 2 && text.len > 0 && text.data[text.len - 1] == '='; i++)
        text.len--;
    return text;
}

ssize_t base64_decode(Str text, Base64Variant variant, void *out)
{
    Str digits = variant == BASE64_STANDARD ? without_padding(text) : text;
    uint8_t *bytes = out;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;

    if (digits.len % 4 == 1 || (variant == BASE64_STANDARD && text.len % 4 != 0))
        return fail(-ERR_INVALID, "%zu bytes are no length for base64", text.len);
    for (size_t i = 0; i < digits.len; i++) {
        int value = digit_value(digits.data[i], variant);

        if (value < 0)
            return fail(-ERR_INVALID, "no base64 digit at byte %zu", i);
        bits = bits << 6 | (uint32_t) value;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            bytes[n++] = (uint8_t) (bits >> n_bits);
        }
        bits &= (1u << n_bits) - 1;
    }
    if (bits != 0)
        return fail(-ERR_INVALID, "bits left over at the end of base64");
    return (ssize_t) n;
}
