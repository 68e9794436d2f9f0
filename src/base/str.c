/*
 * Str: views of bytes, compared, cut and read as numbers.
 *
 * Nothing here allocates or looks at the locale: letters are ASCII letters, and a byte is a byte.
 * UTF-8 is checked as RFC 3629 draws it: no overlong form, no surrogate, nothing above U+10FFFF.
 */
#include "base/text.h"

#include "base/err.h"
#include "base/macro.h"

#include <inttypes.h>
#include <string.h>

/* How much of a text that is not a number the error repeats. */
#define SHOWN(s) ((int) MIN((s).len, (size_t) 40)), ((s).data ? (s).data : "")

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

Str str_sub(Str s, size_t from, size_t len)
{
    if (from >= s.len)
        return str_from(NULL, 0);
    return str_from(s.data + from, MIN(len, s.len - from));
}

Str str_trim(Str s)
{
    while (s.len > 0 && is_space(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool str_starts(Str s, Str prefix)
{
    return s.len >= prefix.len && str_eq(str_from(s.data, prefix.len), prefix);
}

bool str_ends(Str s, Str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.data + s.len - suffix.len, suffix.data, suffix.len) == 0);
}

bool str_eq_nocase(Str a, Str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (a.data[i] != b.data[i] && lower(a.data[i]) != lower(b.data[i]))
            return false;
    }
    return true;
}

bool str_contains(Str s, Str part)
{
    return part.len == 0 ||
           (s.len >= part.len && memmem(s.data, s.len, part.data, part.len) != NULL);
}

int str_cmp(Str a, Str b)
{
    size_t len = MIN(a.len, b.len);
    int diff = len ? memcmp(a.data, b.data, len) : 0;

    if (diff != 0)
        return diff < 0 ? -1 : 1;
    return (a.len > b.len) - (a.len < b.len);
}

ssize_t str_find(Str s, char c)
{
    const char *at = s.len ? memchr(s.data, c, s.len) : NULL;

    return at ? at - s.data : -1;
}

Str str_cut(Str s, char sep, Str *rest)
{
    ssize_t at = str_find(s, sep);

    if (at < 0) {
        *rest = str_from(NULL, 0);
        return s;
    }
    *rest = str_from(s.data + at + 1, s.len - (size_t) at - 1);
    return str_from(s.data, (size_t) at);
}

typedef enum Digits { DIGITS_OK, DIGITS_NONE, DIGITS_OVERFLOW } Digits;

/* All of S as an unsigned number; no sign, no white space. */
static Digits digits_to_u64(Str s, uint64_t *ret)
{
    uint64_t value = 0;
    bool over = false;

    if (s.len == 0)
        return DIGITS_NONE;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned) (unsigned char) s.data[i] - '0';

        if (digit > 9)
            return DIGITS_NONE;
        over = over || __builtin_mul_overflow(value, 10u, &value) ||
               __builtin_add_overflow(value, digit, &value);
    }
    *ret = value;
    return over ? DIGITS_OVERFLOW : DIGITS_OK;
}

int str_to_i64(Str s, int64_t min, int64_t max, int64_t *ret)
{
    bool is_negative = s.len > 0 && s.data[0] == '-';
    uint64_t size = 0;
    Digits digits = digits_to_u64(is_negative ? str_sub(s, 1, s.len) : s, &size);
    uint64_t size_max = (uint64_t) INT64_MAX + (is_negative ? 1 : 0);
    int64_t value;

    if (digits == DIGITS_NONE)
        return fail(-ERR_INVALID, "\"%.*s\" is not a whole number", SHOWN(s));
    value = (int64_t) (is_negative ? 0 - size : size);
    if (digits == DIGITS_OVERFLOW || size > size_max || value < min || value > max)
        return fail(-ERR_INVALID, "must be between %" PRId64 " and %" PRId64 ", got %.*s", min, max,
                    SHOWN(s));
    *ret = value;
    return 0;
}

int str_to_u64(Str s, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    Digits digits = digits_to_u64(s, &value);

    if (digits == DIGITS_NONE)
        return fail(-ERR_INVALID, "\"%.*s\" is not a whole number of 0 or more", SHOWN(s));
    if (digits == DIGITS_OVERFLOW || value > max)
        return fail(-ERR_INVALID, "must be between 0 and %" PRIu64 ", got %.*s", max, SHOWN(s));
    *ret = value;
    return 0;
}

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* The range that the second byte must be in is narrower after some first bytes; everything else
 * follows one pattern. */
size_t str_utf8_len(Str s)
{
    const unsigned char *p = (const unsigned char *) s.data;
    unsigned char low, high;

    if (s.len == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.len < 2)
        return 0;
    low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    if (p[0] < 0xe0)
        return 2;
    if (s.len < 3 || !is_tail(p[2]))
        return 0;
    if (p[0] < 0xf0)
        return 3;
    return s.len >= 4 && is_tail(p[3]) ? 4 : 0;
}

bool str_is_utf8(Str s)
{
    size_t i = 0;

    while (i < s.len) {
        uint64_t eight;
        size_t n;

        if (s.len - i >= sizeof eight) {
            memcpy(&eight, s.data + i, sizeof eight);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                i += sizeof eight;
                continue;
            }
        }
        n = str_utf8_len(str_from(s.data + i, s.len - i));
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

Str str_cut_utf8(Str s, size_t bytes)
{
    size_t len = bytes;

    if (s.len <= bytes)
        return s;
    while (len > 0 && bytes - len < 3 && is_tail((unsigned char) s.data[len]))
        len--;
    if (is_tail((unsigned char) s.data[len]))
        len = bytes;
    return str_from(s.data, len);
}
