/*
 * Line protocol: the values of fields that are no strings, and times.
 *
 *   true          t T true True TRUE f F false False FALSE
 *   -17i  17u     whole numbers of 64 bits
 *   -1.5e3        [-] digits [. [digits]] [e [+-] digits], or [-] . digits [e …]; no NaN, no Inf
 *
 * Reals. A number of up to 19 digits is an integer w times a power of ten. 10^q is 2^q · 5^q, and
 * 5^q is in the table with 128 bits; one product of 64 × 64 bits, rarely two, gives enough bits of
 * the result to round it right. This is the algorithm of Lemire, "Number parsing at a gigabyte per
 * second" (2021), for the exponents -27 … 27, where its proof needs no fallback; everything else
 * goes to strtod.
 */
#include "codec/line_protocol_int.h"

#include "base/assert.h"
#include "base/macro.h"

#include <stdlib.h>

#define POWER_MAX     27
#define DIGITS_MAX    19 /* as many always fit 64 bits */
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define EXPONENT_HUGE 100000

typedef struct Power {
    uint64_t high, low;
} Power;

/* 5^q scaled to 128 bits with the highest one set. */
static const Power powers[2 * POWER_MAX + 1] = {
    { 0x9e74d1b791e07e48, 0x775ea264cf55347e }, /* -27 */
    { 0xc612062576589dda, 0x95364afe032a819e }, /* -26 */
    { 0xf79687aed3eec551, 0x3a83ddbd83f52205 }, /* -25 */
    { 0x9abe14cd44753b52, 0xc4926a9672793543 }, /* -24 */
    { 0xc16d9a0095928a27, 0x75b7053c0f178294 }, /* -23 */
    { 0xf1c90080baf72cb1, 0x5324c68b12dd6339 }, /* -22 */
    { 0x971da05074da7bee, 0xd3f6fc16ebca5e04 }, /* -21 */
    { 0xbce5086492111aea, 0x88f4bb1ca6bcf585 }, /* -20 */
    { 0xec1e4a7db69561a5, 0x2b31e9e3d06c32e6 }, /* -19 */
    { 0x9392ee8e921d5d07, 0x3aff322e62439fd0 }, /* -18 */
    { 0xb877aa3236a4b449, 0x09befeb9fad487c3 }, /* -17 */
    { 0xe69594bec44de15b, 0x4c2ebe687989a9b4 }, /* -16 */
    { 0x901d7cf73ab0acd9, 0x0f9d37014bf60a11 }, /* -15 */
    { 0xb424dc35095cd80f, 0x538484c19ef38c95 }, /* -14 */
    { 0xe12e13424bb40e13, 0x2865a5f206b06fba }, /* -13 */
    { 0x8cbccc096f5088cb, 0xf93f87b7442e45d4 }, /* -12 */
    { 0xafebff0bcb24aafe, 0xf78f69a51539d749 }, /* -11 */
    { 0xdbe6fecebdedd5be, 0xb573440e5a884d1c }, /* -10 */
    { 0x89705f4136b4a597, 0x31680a88f8953031 }, /* -9 */
    { 0xabcc77118461cefc, 0xfdc20d2b36ba7c3e }, /* -8 */
    { 0xd6bf94d5e57a42bc, 0x3d32907604691b4d }, /* -7 */
    { 0x8637bd05af6c69b5, 0xa63f9a49c2c1b110 }, /* -6 */
    { 0xa7c5ac471b478423, 0x0fcf80dc33721d54 }, /* -5 */
    { 0xd1b71758e219652b, 0xd3c36113404ea4a9 }, /* -4 */
    { 0x83126e978d4fdf3b, 0x645a1cac083126ea }, /* -3 */
    { 0xa3d70a3d70a3d70a, 0x3d70a3d70a3d70a4 }, /* -2 */
    { 0xcccccccccccccccc, 0xcccccccccccccccd }, /* -1 */
    { 0x8000000000000000, 0x0000000000000000 }, /* 0 */
    { 0xa000000000000000, 0x0000000000000000 }, /* 1 */
    { 0xc800000000000000, 0x0000000000000000 }, /* 2 */
    { 0xfa00000000000000, 0x0000000000000000 }, /* 3 */
    { 0x9c40000000000000, 0x0000000000000000 }, /* 4 */
    { 0xc350000000000000, 0x0000000000000000 }, /* 5 */
    { 0xf424000000000000, 0x0000000000000000 }, /* 6 */
    { 0x9896800000000000, 0x0000000000000000 }, /* 7 */
    { 0xbebc200000000000, 0x0000000000000000 }, /* 8 */
    { 0xee6b280000000000, 0x0000000000000000 }, /* 9 */
    { 0x9502f90000000000, 0x0000000000000000 }, /* 10 */
    { 0xba43b74000000000, 0x0000000000000000 }, /* 11 */
    { 0xe8d4a51000000000, 0x0000000000000000 }, /* 12 */
    { 0x9184e72a00000000, 0x0000000000000000 }, /* 13 */
    { 0xb5e620f480000000, 0x0000000000000000 }, /* 14 */
    { 0xe35fa931a0000000, 0x0000000000000000 }, /* 15 */
    { 0x8e1bc9bf04000000, 0x0000000000000000 }, /* 16 */
    { 0xb1a2bc2ec5000000, 0x0000000000000000 }, /* 17 */
    { 0xde0b6b3a76400000, 0x0000000000000000 }, /* 18 */
    { 0x8ac7230489e80000, 0x0000000000000000 }, /* 19 */
    { 0xad78ebc5ac620000, 0x0000000000000000 }, /* 20 */
    { 0xd8d726b7177a8000, 0x0000000000000000 }, /* 21 */
    { 0x878678326eac9000, 0x0000000000000000 }, /* 22 */
    { 0xa968163f0a57b400, 0x0000000000000000 }, /* 23 */
    { 0xd3c21bcecceda100, 0x0000000000000000 }, /* 24 */
    { 0x84595161401484a0, 0x0000000000000000 }, /* 25 */
    { 0xa56fa5b99019a5c8, 0x0000000000000000 }, /* 26 */
    { 0xcecb8f27f4200f3a, 0x0000000000000000 }, /* 27 */
};

bool line_real_from_decimal(uint64_t digits, int exponent, double *ret_real)
{
    Power power;
    unsigned __int128 product;
    uint64_t upper, lower, mantissa, bits;
    int zeros, top, exponent2;

    if (digits == 0) {
        *ret_real = 0;
        return true;
    }
    if (exponent < -POWER_MAX || exponent > POWER_MAX)
        return false;
    power = powers[exponent + POWER_MAX];
    zeros = __builtin_clzll(digits);
    digits <<= zeros;
    product = (unsigned __int128) digits * power.high;
    upper = (uint64_t) (product >> 64);
    lower = (uint64_t) product;
    if ((upper & 0x1ff) == 0x1ff) {
        uint64_t more = (uint64_t) (((unsigned __int128) digits * power.low) >> 64);

        lower += more;
        upper += lower < more;
    }
    top = (int) (upper >> 63);
    mantissa = upper >> (top + 64 - MANTISSA_BITS - 3);
    exponent2 = (((152170 + 65536) * exponent) >> 16) + 63 + top - zeros + EXPONENT_BIAS;
    /* Exactly between two doubles: to the even one. Only small powers can be exact. */
    if (lower <= 1 && exponent >= -4 && exponent <= 23 && (mantissa & 3) == 1 &&
        mantissa << (top + 64 - MANTISSA_BITS - 3) == upper)
        mantissa &= ~UINT64_C(1);
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (mantissa >= UINT64_C(2) << MANTISSA_BITS) {
        mantissa = UINT64_C(1) << MANTISSA_BITS;
        exponent2++;
    }
    ASSERT(exponent2 > 0 && exponent2 < 2 * EXPONENT_BIAS);
    bits = (mantissa & ~(UINT64_C(1) << MANTISSA_BITS)) | (uint64_t) exponent2 << MANTISSA_BITS;
    memcpy(ret_real, &bits, sizeof(bits));
    return true;
}

static inline bool is_digit(char c)
{
    return (unsigned char) (c - '0') < 10;
}

/* TOKEN, a number by its grammar, as the C library reads it. */
static LineFault parse_slowly(Str token, double *ret_real)
{
    char text[LINE_NUMBER_BYTES_MAX + 1];

    if (token.len > LINE_NUMBER_BYTES_MAX)
        return LINE_FAULT_OUT_OF_RANGE;
    memcpy(text, token.data, token.len);
    text[token.len] = 0;
    *ret_real = strtod(text, NULL);
    return isfinite(*ret_real) ? LINE_FAULT_NONE : LINE_FAULT_OUT_OF_RANGE;
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

/* The number that eight digits are; false when one of the bytes is none. The bytes are added up in
 * pairs, the pairs in fours, the fours to the whole. */
static inline bool take_eight(const char *p, uint64_t *ret_number)
{
    uint64_t bytes;

    memcpy(&bytes, p, sizeof(bytes));
    if (((bytes & UINT64_C(0xf0f0f0f0f0f0f0f0)) |
         ((bytes + UINT64_C(0x0606060606060606)) & UINT64_C(0xf0f0f0f0f0f0f0f0)) >> 4) !=
        UINT64_C(0x3333333333333333))
        return false;
    bytes = (bytes & UINT64_C(0x0f0f0f0f0f0f0f0f)) * (10 * 256 + 1) >> 8;
    bytes = (bytes & UINT64_C(0x00ff00ff00ff00ff)) * (100 * 65536 + 1) >> 16;
    *ret_number = (bytes & UINT64_C(0x0000ffff0000ffff)) * (10000 * (UINT64_C(1) << 32) + 1) >> 32;
    return true;
}

#else

static inline bool take_eight(const char *p, uint64_t *ret_number)
{
    (void) p, (void) ret_number;
    return false;
}

#endif

/* The digits from P on, behind DIGITS; returns where they end. */
static inline const char *take_digits(const char *p, const char *end, uint64_t *digits)
{
    uint64_t value = *digits, eight;

    for (; end - p >= 8 && take_eight(p, &eight); p += 8)
        value = value * 100000000 + eight;
    for (; p < end && is_digit(*p); p++)
        value = value * 10 + (uint64_t) (*p - '0');
    *digits = value;
    return p;
}

/* The exponent behind an E; NULL when there is none. */
static const char *take_exponent(const char *p, const char *end, int *ret_exponent)
{
    bool is_negative = p < end && *p == '-';
    int exponent = 0;
    const char *digits;

    p += p < end && (*p == '-' || *p == '+');
    for (digits = p; p < end && is_digit(*p); p++)
        exponent = MIN(exponent * 10 + (*p - '0'), EXPONENT_HUGE);
    *ret_exponent = is_negative ? -exponent : exponent;
    return p > digits ? p : NULL;
}

static LineFault parse_real(Str token, double *ret_real)
{
    const char *p = token.data, *end = p + token.len, *from, *behind;
    bool is_negative = *p == '-';
    uint64_t digits = 0;
    size_t n, n_behind = 0;
    int exponent = 0;
    double real;

    p += is_negative;
    from = p;
    p = take_digits(p, end, &digits);
    n = (size_t) (p - from);
    if (p < end && *p == '.') {
        behind = ++p;
        p = take_digits(p, end, &digits);
        n_behind = (size_t) (p - behind);
    }
    if (n + n_behind == 0)
        return LINE_FAULT_BAD_NUMBER;
    if (p < end && (*p == 'e' || *p == 'E'))
        p = take_exponent(p + 1, end, &exponent);
    if (p != end)
        return LINE_FAULT_BAD_NUMBER;
    if (n + n_behind > DIGITS_MAX ||
        !line_real_from_decimal(digits, exponent - (int) n_behind, &real))
        return parse_slowly(token, ret_real);
    *ret_real = is_negative ? -real : real;
    return LINE_FAULT_NONE;
}

/* DIGITS, a text of digits alone, as a number; leading zeros count for nothing. */
static LineFault parse_natural(Str text, uint64_t *ret_number)
{
    const char *p = text.data, *end;
    uint64_t number = 0;

    if (text.len == 0)
        return LINE_FAULT_BAD_NUMBER;
    end = p + text.len;
    if (LIKELY(text.len <= DIGITS_MAX)) {
        *ret_number = 0;
        return take_digits(p, end, ret_number) == end ? LINE_FAULT_NONE : LINE_FAULT_BAD_NUMBER;
    }
    for (; p < end; p++)
        if (!is_digit(*p))
            return LINE_FAULT_BAD_NUMBER;
    for (p = text.data; p < end; p++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t) (*p - '0'), &number))
            return LINE_FAULT_OUT_OF_RANGE;
    *ret_number = number;
    return LINE_FAULT_NONE;
}

static LineFault parse_integer(Str text, int64_t *ret_number)
{
    bool is_negative = text.len > 0 && text.data[0] == '-';
    uint64_t number;
    LineFault fault = parse_natural(str_sub(text, is_negative, text.len), &number);

    if (fault != LINE_FAULT_NONE)
        return fault;
    if (number > (uint64_t) INT64_MAX + is_negative)
        return LINE_FAULT_OUT_OF_RANGE;
    *ret_number = (int64_t) (is_negative ? 0 - number : number);
    return LINE_FAULT_NONE;
}

LineFault line_time_parse(Str token, int64_t *ret_time)
{
    LineFault fault = parse_integer(token, ret_time);

    if (fault == LINE_FAULT_BAD_NUMBER)
        return LINE_FAULT_BAD_TIME;
    return fault == LINE_FAULT_OUT_OF_RANGE ? LINE_FAULT_TIME_RANGE : fault;
}

static LineFault parse_boolean(Str token, LineItem *item)
{
    static const char *const words[] = { "t", "T", "true",  "True",  "TRUE",
                                         "f", "F", "false", "False", "FALSE" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq_c(token, words[i])) {
            item->kind = LINE_BOOLEAN;
            item->boolean = i < ARRAY_LEN(words) / 2;
            return LINE_FAULT_NONE;
        }
    }
    return LINE_FAULT_BAD_VALUE;
}

LineFault line_value_parse(Str token, LineItem *item)
{
    char first = token.data[0], last = token.data[token.len - 1];

    item->text = token;
    if (!is_digit(first) && first != '-' && first != '.')
        return parse_boolean(token, item);
    if (last == 'i' || last == 'u')
        item->text = str_from(token.data, token.len - 1);
    if (last == 'i') {
        item->kind = LINE_INTEGER;
        return parse_integer(item->text, &item->integer);
    }
    if (last == 'u') {
        item->kind = LINE_UNSIGNED;
        return parse_natural(item->text, &item->natural);
    }
    item->kind = LINE_REAL;
    return parse_real(token, &item->real);
}
