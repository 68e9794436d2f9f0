/*
 * Durations as text, in the two ways people write them: "1h30m" and ISO 8601's "PT1H30M".
 *
 * Both are a row of numbers with units. All arithmetic is in whole nanoseconds, in which a
 * hundred years still fit 64 bits, so that "0.1s" is exactly 100 ms. What is shorter than a
 * millisecond and not nothing becomes one millisecond: a time-out of 0 often means none.
 */
#include "codec/time_text.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>

#define NS_MAX (DURATION_MS_MAX * 1000000)

/* A unit of time; in a row, those behind the first come in the order of the table. */
typedef struct Unit {
    const char *name;
    int64_t ns;
} Unit;

static const Unit human_units[] = {
    { "ms", 1000000 },    { "us", 1000 },           { "\xc2\xb5s", 1000 }, /* µs */
    { "ns", 1 },          { "w", 604800000000000 }, { "d", 86400000000000 }, { "h", 3600000000000 },
    { "m", 60000000000 }, { "s", 1000000000 },
};
static const Unit iso_date_units[] = { { "W", 604800000000000 }, { "D", 86400000000000 } };
static const Unit iso_time_units[] = {
    { "H", 3600000000000 },
    { "M", 60000000000 },
    { "S", 1000000000 },
};

/* ---- reading --------------------------------------------------------------------------------- */

/* A number as it was written: digits before the point, and up to nine behind it. */
typedef struct Decimal {
    int64_t whole;
    int64_t billionths;
} Decimal;

static bool is_digit(Str s)
{
    return s.len > 0 && s.data[0] >= '0' && s.data[0] <= '9';
}

static bool take_decimal(Str *s, Decimal *ret)
{
    int64_t scale = 100000000;

    *ret = (Decimal){ 0 };
    if (!is_digit(*s))
        return false;
    for (; is_digit(*s); *s = str_sub(*s, 1, s->len)) {
        if (ret->whole > NS_MAX / 10)
            return false;
        ret->whole = ret->whole * 10 + (s->data[0] - '0');
    }
    if (s->len < 2 || (s->data[0] != '.' && s->data[0] != ','))
        return true;
    *s = str_sub(*s, 1, s->len);
    if (!is_digit(*s))
        return false;
    for (; is_digit(*s); *s = str_sub(*s, 1, s->len), scale /= 10)
        ret->billionths += (s->data[0] - '0') * scale;
    return true;
}

/* Add NUMBER times UNIT_NS to *ns; false when that is too long. */
static bool add_units(int64_t *ns, Decimal number, int64_t unit_ns)
{
    int64_t product;
    __int128 fraction = (__int128) number.billionths * unit_ns / 1000000000;

    if (__builtin_mul_overflow(number.whole, unit_ns, &product))
        return false;
    if (__builtin_add_overflow(*ns, product, ns) ||
        __builtin_add_overflow(*ns, (int64_t) fraction, ns))
        return false;
    return *ns <= NS_MAX;
}

static const Unit *take_unit(Str *s, const Unit *units, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (str_starts(*s, str_from_c(units[i].name))) {
            *s = str_sub(*s, strlen(units[i].name), s->len);
            return &units[i];
        }
    }
    return NULL;
}

static bool read_human(Str s, int64_t *ret_ns)
{
    int64_t smallest = INT64_MAX;

    if (str_eq_c(s, "0"))
        return true;
    while (s.len > 0) {
        Decimal number;
        const Unit *unit;

        if (!take_decimal(&s, &number))
            return false;
        unit = take_unit(&s, human_units, ARRAY_LEN(human_units));
        if (!unit || unit->ns >= smallest || !add_units(ret_ns, number, unit->ns))
            return false; /* from the largest unit down, each once: "1m1h" is a slip */
        smallest = unit->ns;
    }
    return true;
}

/* The part of an ISO duration before or behind its T. */
static bool read_iso_units(Str s, const Unit *units, size_t n, int64_t *ret_ns)
{
    while (s.len > 0) {
        Decimal number;
        const Unit *unit;

        if (!take_decimal(&s, &number))
            return false;
        unit = take_unit(&s, units, n);
        if (!unit || !add_units(ret_ns, number, unit->ns))
            return false;
        n -= (size_t) (unit - units) + 1;
        units = unit + 1;
    }
    return true;
}

static bool read_iso(Str s, int64_t *ret_ns)
{
    Str time = { 0 };
    ssize_t t = str_find(s, 'T');
    Str date = str_cut(str_sub(s, 1, s.len), 'T', &time);

    if (t >= 0 ? time.len == 0 : date.len == 0)
        return false; /* "P", "PT", "P1DT" */
    return read_iso_units(date, iso_date_units, ARRAY_LEN(iso_date_units), ret_ns) &&
           read_iso_units(time, iso_time_units, ARRAY_LEN(iso_time_units), ret_ns);
}

static int64_t ms_from_ns(int64_t ns)
{
    return ns > 0 && ns < 1000000 ? 1 : ns / 1000000;
}

static int fail_duration(Str text)
{
    return fail(-ERR_INVALID, "\"%.*s\" is not a duration such as 250ms, 2s, 1h30m or PT1S",
                (int) MIN(text.len, 40ul), text.data ? text.data : "");
}

int duration_parse(Str text, int64_t *ret_ms)
{
    int64_t ns = 0;
    bool is_iso = text.len > 0 && text.data[0] == 'P';

    if (text.len == 0 || !(is_iso ? read_iso(text, &ns) : read_human(text, &ns)))
        return fail_duration(text);
    *ret_ms = ms_from_ns(ns);
    return 0;
}

int duration_parse_flag(Str text, int64_t *ret_ms)
{
    Str rest = text;
    Decimal number;
    int64_t ns = 0;

    if (!take_decimal(&rest, &number) || rest.len > 0)
        return duration_parse(text, ret_ms);
    if (!add_units(&ns, number, 1000000000))
        return fail_duration(text);
    *ret_ms = ms_from_ns(ns);
    return 0;
}

int duration_from_seconds(double seconds, int64_t *ret_ms)
{
    if (!(seconds >= 0 && seconds <= (double) DURATION_MS_MAX / 1000))
        return fail(-ERR_INVALID, "%g is not a number of seconds from 0 to %lld", seconds,
                    DURATION_MS_MAX / 1000);
    *ret_ms = seconds > 0 && seconds < 0.001 ? 1 : (int64_t) llround(seconds * 1000);
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Append seconds with as many digits behind the point as there are. */
static char *put_seconds(char *at, int64_t ms, const char *unit)
{
    at += snprintf(at, 24, "%lld", (long long) (ms / 1000));
    if (ms % 1000 != 0) {
        at += snprintf(at, 8, ".%03d", (int) (ms % 1000));
        while (at[-1] == '0')
            at--;
    }
    return at + snprintf(at, 8, "%s", unit);
}

static char *put_count(char *at, int64_t count, char unit)
{
    return count > 0 ? at + snprintf(at, 24, "%lld%c", (long long) count, unit) : at;
}

Str duration_format(int64_t duration_ms, char *out)
{
    int64_t ms = duration_ms;
    char *at = out;

    ASSERT(ms >= 0 && ms <= DURATION_MS_MAX);
    if (ms > 0 && ms < 1000)
        return str_from(out, (size_t) snprintf(out, TIME_TEXT_BYTES, "%dms", (int) ms));
    at = put_count(at, ms / 86400000, 'd');
    at = put_count(at, ms / 3600000 % 24, 'h');
    at = put_count(at, ms / 60000 % 60, 'm');
    if (ms % 60000 > 0 || at == out)
        at = put_seconds(at, ms % 60000, "s");
    return str_from(out, (size_t) (at - out));
}

Str duration_format_iso(int64_t duration_ms, char *out)
{
    int64_t ms = duration_ms;
    char *at = out, *begin_time;

    ASSERT(ms >= 0 && ms <= DURATION_MS_MAX);
    *at++ = 'P';
    at = put_count(at, ms / 86400000, 'D');
    if (ms > 0 && ms % 86400000 == 0)
        return str_from(out, (size_t) (at - out));
    *at++ = 'T';
    begin_time = at;
    at = put_count(at, ms / 3600000 % 24, 'H');
    at = put_count(at, ms / 60000 % 60, 'M');
    if (ms % 60000 > 0 || at == begin_time)
        at = put_seconds(at, ms % 60000, "S");
    return str_from(out, (size_t) (at - out));
}

Str duration_format_table(int64_t duration_ms, char *out)
{
    const char *sign = duration_ms < 0 ? "-" : "";
    uint64_t ms = duration_ms < 0 ? 0 - (uint64_t) duration_ms : (uint64_t) duration_ms;
    uint64_t seconds = ms / 1000, big, small;
    const char *units;
    int n;

    if (ms < 1000) {
        n = snprintf(out, TIME_TEXT_BYTES, "%s%dms", sign, (int) ms);
        return str_from(out, (size_t) n);
    }
    if (seconds < 60) {
        bool has_tenth = seconds < 10 && ms % 1000 >= 100;

        n = has_tenth ? snprintf(out, TIME_TEXT_BYTES, "%s%d.%ds", sign, (int) seconds,
                                 (int) (ms % 1000 / 100))
                      : snprintf(out, TIME_TEXT_BYTES, "%s%ds", sign, (int) seconds);
        return str_from(out, (size_t) n);
    }
    if (seconds < 3600)
        units = "ms", big = seconds / 60, small = seconds % 60;
    else if (seconds < 86400)
        units = "hm", big = seconds / 3600, small = seconds / 60 % 60;
    else
        units = "dh", big = seconds / 86400, small = seconds / 3600 % 24;
    n = small > 0
            ? snprintf(out, TIME_TEXT_BYTES, "%s%llu%c%d%c", sign, (unsigned long long) big,
                       units[0], (int) small, units[1])
            : snprintf(out, TIME_TEXT_BYTES, "%s%llu%c", sign, (unsigned long long) big, units[0]);
    return str_from(out, (size_t) n);
}
