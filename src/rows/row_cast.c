/*
 * Casting values. Numbers of up to 19 digits with a small exponent are computed in place, exactly:
 * a product or quotient of two doubles that are exact is rounded once. The others go through the C
 * library, which knows how.
 */
#include "rows/row_cast.h"

#include "base/err.h"
#include "base/macro.h"
#include "codec/json.h"
#include "codec/time_text.h"

#include <math.h>
#include <stdlib.h>

#define NUMBER_TEXT_MAX 512
#define EXACT_DIGITS    19
#define EXACT_POWER     22
#define EXACT_MANTISSA  (UINT64_C(1) << 53)
#define INT64_AS_REAL   9223372036854775808.0 /* 2^63 */

/* ---- numbers --------------------------------------------------------------------------------- */

/* A number while it is read. */
typedef struct Digits {
    uint64_t mantissa; /* right while n is at most EXACT_DIGITS */
    unsigned n;        /* digits from the first that is not 0 */
    int64_t exponent;  /* of ten */
    bool is_negative;
    bool has_point; /* a fraction or an exponent is written */
} Digits;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *read_digits(const char *at, const char *end, Digits *digits)
{
    for (; at < end && is_digit(*at); at++) {
        if (digits->n > 0 || *at != '0')
            digits->n++;
        if (digits->n <= EXACT_DIGITS)
            digits->mantissa = digits->mantissa * 10 + (unsigned) (*at - '0');
    }
    return at;
}

/* The exponent that begins at AT, behind its "e"; NULL when there is none. */
static const char *read_exponent(const char *at, const char *end, Digits *digits)
{
    bool is_negative = at < end && *at == '-';
    int64_t value = 0;

    at += at < end && (*at == '-' || *at == '+');
    if (at == end || !is_digit(*at))
        return NULL;
    for (; at < end && is_digit(*at); at++)
        value = MIN(value * 10 + (*at - '0'), (int64_t) 100000);
    digits->exponent += is_negative ? -value : value;
    digits->has_point = true;
    return at;
}

/* Whether all of TEXT is a number. */
static bool read_number(Str text, Digits *digits)
{
    const char *at = text.data, *end = text.data + text.len, *from;

    digits->is_negative = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    from = at;
    at = read_digits(at, end, digits);
    if (at < end && *at == '.') {
        const char *point = at;

        if (end - from == 1)
            return false;
        at = read_digits(at + 1, end, digits);
        digits->exponent = -(at - point - 1);
        digits->has_point = true;
    }
    if (at == from)
        return false;
    if (at < end && (*at == 'e' || *at == 'E'))
        at = read_exponent(at + 1, end, digits);
    return at == end;
}

/* The real that was read, by the C library. */
static bool convert_slowly(Str text, double *ret)
{
    char copy[NUMBER_TEXT_MAX + 1];

    if (text.len > NUMBER_TEXT_MAX)
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *ret = strtod(copy, NULL);
    return isfinite(*ret);
}

static bool convert(Str text, const Digits *digits, double *ret)
{
    static const double powers[EXACT_POWER + 1] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    double real;

    if (digits->n > EXACT_DIGITS || digits->mantissa > EXACT_MANTISSA ||
        digits->exponent < -EXACT_POWER || digits->exponent > EXACT_POWER)
        return convert_slowly(text, ret);
    real = (double) digits->mantissa;
    if (digits->exponent < 0)
        real /= powers[-digits->exponent];
    else
        real *= powers[digits->exponent];
    *ret = digits->is_negative ? -real : real;
    return true;
}

bool row_parse_number(Str text, RowValue *ret)
{
    Digits digits = { 0 };
    uint64_t most = (uint64_t) INT64_MAX;
    double real;

    text = str_trim(text);
    if (text.len == 0 || !read_number(text, &digits))
        return false;
    most += digits.is_negative;
    if (!digits.has_point && digits.n <= EXACT_DIGITS && digits.mantissa <= most) {
        *ret = row_integer(digits.is_negative ? (int64_t) (0 - digits.mantissa)
                                              : (int64_t) digits.mantissa);
        return true;
    }
    if (!convert(text, &digits, &real))
        return false;
    *ret = row_real(real, (Str){ 0 });
    return true;
}

/* ---- times ----------------------------------------------------------------------------------- */

/* What the digits of TEXT behind a point say beyond milliseconds, in ns. */
static int64_t beyond_ms(Str text)
{
    ssize_t point = str_find(text, '.');
    int64_t ns = 0;
    size_t n = 0;

    if (point < 0)
        return 0;
    text = str_sub(text, (size_t) point + 1, text.len);
    for (; n < 9; n++) {
        bool is_there = n < text.len && is_digit(text.data[n]);

        if (!is_there)
            text.len = MIN(text.len, n);
        ns = ns * 10 + (is_there && n >= 3 ? text.data[n] - '0' : 0);
    }
    return ns;
}

bool row_parse_time(Str text, int64_t *ret_ns)
{
    char whole[TIME_TEXT_BYTES + 16];
    int64_t ms, ns;
    size_t len;

    text = str_trim(text);
    len = text.len;
    if (len < 10 || len > TIME_TEXT_BYTES || text.data[4] != '-' || !is_digit(text.data[0]))
        return false;
    memcpy(whole, text.data, len);
    if (len == 10) {
        memcpy(whole + len, "T00:00:00", 9);
        len += 9;
    }
    /* Without a zone it is UTC. */
    if (!memchr("Zz", whole[len - 1], 2) && !memchr(whole + 10, '+', len - 10) &&
        !memchr(whole + 10, '-', len - 10))
        whole[len++] = 'Z';
    if (time_parse_rfc3339(str_from(whole, len), &ms) < 0) {
        err_take(-ERR_INVALID, NULL);
        return false;
    }
    return !__builtin_mul_overflow(ms, NS_PER_MS, &ns) &&
           !__builtin_add_overflow(ns, beyond_ms(text), ret_ns);
}

static RowTimeUnit unit_of(double number)
{
    number = fabs(number);
    return number < 1e11 ? NS_PER_S : number < 1e14 ? NS_PER_MS : number < 1e17 ? NS_PER_US : 1;
}

static int time_of_number(const RowValue *number, RowTimeUnit unit, RowValue *ret)
{
    int64_t ns, whole;
    double part;

    if (number->kind == ROW_INT) {
        unit = unit > 0 ? unit : unit_of((double) number->integer);
        if (__builtin_mul_overflow(number->integer, unit, &ns))
            return ROW_CAST_WRONG;
        *ret = row_time_ns(ns);
        return 0;
    }
    unit = unit > 0 ? unit : unit_of(number->real);
    if (!(fabs(number->real) < INT64_AS_REAL / (double) unit))
        return ROW_CAST_WRONG;
    whole = (int64_t) floor(number->real);
    part = number->real - floor(number->real);
    if (__builtin_mul_overflow(whole, unit, &ns) ||
        __builtin_add_overflow(ns, (int64_t) llround(part * (double) unit), &ns))
        return ROW_CAST_WRONG;
    *ret = row_time_ns(ns);
    return 0;
}

/* ---- by kind --------------------------------------------------------------------------------- */

static int to_integer(const RowValue *value, RowValue *ret)
{
    RowValue number = *value;

    if (value->kind == ROW_BOOL) {
        *ret = row_integer(value->boolean);
        return 0;
    }
    if (value->kind == ROW_TEXT && !row_parse_number(value->text, &number))
        return ROW_CAST_WRONG;
    if (number.kind == ROW_REAL) {
        if (!(fabs(number.real) < INT64_AS_REAL) || number.real != floor(number.real))
            return ROW_CAST_WRONG;
        number = row_integer((int64_t) number.real);
    }
    if (number.kind != ROW_INT)
        return ROW_CAST_WRONG;
    *ret = number;
    return 0;
}

static int to_real(const RowValue *value, RowValue *ret)
{
    RowValue number = *value;

    if (value->kind == ROW_TEXT && !row_parse_number(value->text, &number))
        return ROW_CAST_WRONG;
    if (number.kind == ROW_INT)
        number = row_real((double) number.integer, (Str){ 0 });
    else if (number.kind == ROW_BOOL)
        number = row_real(number.boolean ? 1 : 0, (Str){ 0 });
    if (number.kind != ROW_REAL)
        return ROW_CAST_WRONG;
    *ret = number;
    return 0;
}

static int to_boolean(const RowValue *value, RowValue *ret)
{
    static const struct {
        const char *word;
        bool is_true;
    } words[] = { { "true", true }, { "false", false }, { "1", true },  { "0", false },
                  { "yes", true },  { "no", false },    { "on", true }, { "off", false },
                  { "t", true },    { "f", false },     { "y", true },  { "n", false } };
    Str text = str_trim(value->text);

    if ((value->kind == ROW_INT && (value->integer == 0 || value->integer == 1)) ||
        (value->kind == ROW_REAL && (value->real == 0 || value->real == 1))) {
        *ret = row_boolean(value->kind == ROW_INT ? value->integer == 1 : value->real == 1);
        return 0;
    }
    if (value->kind != ROW_TEXT)
        return ROW_CAST_WRONG;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq_nocase(text, str_from_c(words[i].word))) {
            *ret = row_boolean(words[i].is_true);
            return 0;
        }
    }
    return ROW_CAST_WRONG;
}

static int to_time(const RowValue *value, RowTimeUnit unit, RowValue *ret)
{
    RowValue number = *value;
    int64_t ns;

    if (value->kind == ROW_TEXT) {
        if (row_parse_time(value->text, &ns)) {
            *ret = row_time_ns(ns);
            return 0;
        }
        if (!row_parse_number(value->text, &number))
            return ROW_CAST_WRONG;
    }
    if (number.kind != ROW_INT && number.kind != ROW_REAL)
        return ROW_CAST_WRONG;
    return time_of_number(&number, unit, ret);
}

static bool is_json_text(Str text)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;
    int r = json_parse(&arena, text, &doc);

    if (r < 0)
        err_take(r, NULL);
    return r == 0;
}

static int to_json(const RowValue *value, Buf *scratch, RowValue *ret)
{
    if (value->kind == ROW_TEXT && value->text.len > 0 && is_json_text(value->text)) {
        *ret = row_json(value->text);
        return 0;
    }
    row_value_format_json(scratch, value);
    *ret = row_json(buf_str(scratch));
    return scratch->is_failed ? ROW_CAST_WRONG : 0;
}

static int to_text(const RowValue *value, Buf *scratch, RowValue *ret)
{
    row_value_format(scratch, value);
    *ret = row_text(buf_str(scratch));
    return scratch->is_failed ? ROW_CAST_WRONG : 0;
}

int row_cast(const RowValue *value, RowKind kind, RowTimeUnit unit, Buf *scratch, RowValue *ret)
{
    bool is_blank = value->kind == ROW_TEXT && kind != ROW_TEXT && kind != ROW_JSON &&
                    str_trim(value->text).len == 0;

    if (value->kind == kind || value->kind == ROW_ANY || kind == ROW_ANY) {
        *ret = *value;
        return 0;
    }
    if (is_blank) {
        *ret = row_null();
        return 0;
    }
    buf_reset(scratch);
    switch (kind) {
    case ROW_INT: return to_integer(value, ret);
    case ROW_REAL: return to_real(value, ret);
    case ROW_BOOL: return to_boolean(value, ret);
    case ROW_TIME: return to_time(value, unit, ret);
    case ROW_JSON: return to_json(value, scratch, ret);
    case ROW_TEXT: return to_text(value, scratch, ret);
    case ROW_ANY: break;
    }
    return ROW_CAST_WRONG;
}
