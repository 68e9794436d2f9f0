/*
 * Sizes as text; see the header.
 *
 * A fraction is read as millionths, which is more than anybody writes and keeps all arithmetic
 * whole: "1.5GiB" is exactly 1610612736.
 */
#include "codec/size_text.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"

#define SIZE_MILLION 1000000

static const struct {
    const char *name;
    int64_t bytes;
} size_units[] = {
    { "", 1 },
    { "b", 1 },
    { "k", 1LL << 10 },
    { "kib", 1LL << 10 },
    { "kb", 1000 },
    { "m", 1LL << 20 },
    { "mib", 1LL << 20 },
    { "mb", 1000000 },
    { "g", 1LL << 30 },
    { "gib", 1LL << 30 },
    { "gb", 1000000000 },
    { "t", 1LL << 40 },
    { "tib", 1LL << 40 },
    { "tb", 1000000000000 },
};

static int refuse(Str text)
{
    return fail(-ERR_INVALID, "\"%.*s\" is not a size such as 4096, 64KiB, 100MiB or 1GB",
                (int) MIN(text.len, 40ul), text.data ? text.data : "");
}

static bool is_digit(Str s)
{
    return s.len > 0 && s.data[0] >= '0' && s.data[0] <= '9';
}

/* The digits at the front of *S, which loses them; false when they are too many. */
static bool take_whole(Str *s, int64_t *ret)
{
    *ret = 0;
    for (; is_digit(*s); *s = str_sub(*s, 1, s->len)) {
        if (__builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, s->data[0] - '0', ret))
            return false;
    }
    return true;
}

/* ".5" at the front of *S in millionths; 0 when there is none. */
static int64_t take_millionths(Str *s)
{
    int64_t sum = 0, scale = SIZE_MILLION / 10;

    if (s->len < 2 || s->data[0] != '.' || !is_digit(str_sub(*s, 1, s->len)))
        return 0;
    for (*s = str_sub(*s, 1, s->len); is_digit(*s); *s = str_sub(*s, 1, s->len), scale /= 10)
        sum += (s->data[0] - '0') * scale;
    return sum;
}

int size_parse(Str text, int64_t *ret_bytes)
{
    Str rest = str_trim(text);
    int64_t whole, millionths, bytes;

    if (!is_digit(rest) || !take_whole(&rest, &whole))
        return refuse(text);
    millionths = take_millionths(&rest);
    rest = str_trim(rest);
    for (size_t i = 0; i < ARRAY_LEN(size_units); i++) {
        if (!str_eq_nocase(rest, str_from_c(size_units[i].name)))
            continue;
        if (__builtin_mul_overflow(whole, size_units[i].bytes, &bytes) ||
            __builtin_add_overflow(bytes,
                                   size_units[i].bytes / SIZE_MILLION * millionths +
                                       size_units[i].bytes % SIZE_MILLION * millionths /
                                           SIZE_MILLION,
                                   &bytes))
            return refuse(text);
        *ret_bytes = bytes;
        return 0;
    }
    return refuse(text);
}
