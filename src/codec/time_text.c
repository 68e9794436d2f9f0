/*
 * Points in time as text: RFC 3339 for the API, IMF-fixdate for HTTP, a short form for tables.
 *
 * Days are counted with the civil calendar shifted to begin in March, so that the leap day is the
 * last of its year and the months' lengths follow one formula (30.6 days, five months to 153):
 *
 *   era = 400 years = 146097 days;   day of year = (153 * month + 2) / 5 + day - 1
 *
 * Text is read by a cursor that takes what it expects or says no; nothing is skipped, nothing is
 * guessed. Durations are in duration_text.c.
 */
#include "codec/time_text.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/text.h"

#include <stdio.h>

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char *const weekdays[7] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                         "Thursday", "Friday", "Saturday" };

/* ---- the calendar ---------------------------------------------------------------------------- */

int64_t time_days_from_civil(int64_t year, unsigned month, unsigned day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

void time_civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;

    *ret_day = (unsigned) (day_of_year - (153 * march_month + 2) / 5 + 1);
    *ret_month = (unsigned) (march_month < 10 ? march_month + 3 : march_month - 9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static unsigned days_in_month(int64_t year, unsigned month)
{
    static const unsigned char days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A broken-down time as it was read. */
typedef struct Civil {
    int64_t year;
    unsigned month, day, hour, minute, second, ms;
} Civil;

static bool take_digits(Str *s, unsigned n, unsigned *ret)
{
    unsigned value = 0;

    if (s->len < n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        unsigned char c = (unsigned char) s->data[i];

        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (unsigned) (c - '0');
    }
    *s = str_sub(*s, n, s->len);
    *ret = value;
    return true;
}

static bool take_char(Str *s, char c)
{
    if (s->len == 0 || s->data[0] != c)
        return false;
    *s = str_sub(*s, 1, s->len);
    return true;
}

static bool take_text(Str *s, const char *text)
{
    if (!str_starts(*s, str_from_c(text)))
        return false;
    *s = str_sub(*s, strlen(text), s->len);
    return true;
}

static bool take_clock(Str *s, Civil *civil)
{
    return take_digits(s, 2, &civil->hour) && take_char(s, ':') &&
           take_digits(s, 2, &civil->minute) && take_char(s, ':') &&
           take_digits(s, 2, &civil->second);
}

static bool take_fraction(Str *s, unsigned *ret_ms)
{
    unsigned digit, n = 0;

    *ret_ms = 0;
    if (!take_char(s, '.'))
        return true;
    for (; take_digits(s, 1, &digit); n++)
        if (n < 3)
            *ret_ms = *ret_ms * 10 + digit;
    for (unsigned i = n; i < 3; i++)
        *ret_ms *= 10;
    return n > 0;
}

/* "Z", "+02:00": how many minutes the text is ahead of UTC. */
static bool take_offset(Str *s, int64_t *ret_minutes)
{
    unsigned hours, minutes;
    bool is_behind;

    *ret_minutes = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return true;
    is_behind = take_char(s, '-');
    if (!is_behind && !take_char(s, '+'))
        return false;
    if (!take_digits(s, 2, &hours) || !take_char(s, ':') || !take_digits(s, 2, &minutes))
        return false;
    if (hours > 23 || minutes > 59)
        return false;
    *ret_minutes = (int64_t) (hours * 60 + minutes) * (is_behind ? -1 : 1);
    return true;
}

/* Milliseconds of CIVIL in UTC when its clock is OFFSET_MINUTES ahead; false: no such time. */
static bool time_of_civil(const Civil *civil, int64_t offset_minutes, int64_t *ret_ms)
{
    int64_t seconds, ms;

    if (civil->year < 1 || civil->month < 1 || civil->month > 12 || civil->day < 1 ||
        civil->day > days_in_month(civil->year, civil->month))
        return false;
    if (civil->hour > 23 || civil->minute > 59 || civil->second > 60)
        return false;
    seconds = time_days_from_civil(civil->year, civil->month, civil->day) * 86400 +
              civil->hour * 3600 + civil->minute * 60 + civil->second - offset_minutes * 60;
    if (civil->second == 60 && seconds % 86400 != 0)
        return false; /* leap seconds are inserted at midnight UTC only */
    ms = seconds * 1000 + civil->ms;
    if (ms < TIME_MS_MIN || ms > TIME_MS_MAX)
        return false;
    *ret_ms = ms;
    return true;
}

static int fail_time(Str text, const char *example)
{
    return fail(-ERR_INVALID, "\"%.*s\" is not a time such as %s", (int) MIN(text.len, 40ul),
                text.data, example);
}

int time_parse_rfc3339(Str text, int64_t *ret_ms)
{
    Civil civil = { 0 };
    unsigned year = 0;
    int64_t offset = 0;
    Str s = text;
    bool is_good;

    is_good = take_digits(&s, 4, &year) && take_char(&s, '-') && take_digits(&s, 2, &civil.month) &&
              take_char(&s, '-') && take_digits(&s, 2, &civil.day) &&
              (take_char(&s, 'T') || take_char(&s, 't') || take_char(&s, ' ')) &&
              take_clock(&s, &civil) && take_fraction(&s, &civil.ms) && take_offset(&s, &offset) &&
              s.len == 0;
    civil.year = year;
    if (!is_good || !time_of_civil(&civil, offset, ret_ms))
        return fail_time(text, "2026-11-21T03:15:00Z");
    return 0;
}

static bool take_month(Str *s, unsigned *ret_month)
{
    for (unsigned i = 0; i < 12; i++) {
        if (take_text(s, months[i])) {
            *ret_month = i + 1;
            return true;
        }
    }
    return false;
}

/* The name of a day, whole or its first three letters; which one is not checked. */
static bool take_weekday(Str *s, bool is_whole)
{
    for (unsigned i = 0; i < 7; i++) {
        Str name = str_sub(str_from_c(weekdays[i]), 0, is_whole ? SIZE_MAX : 3);

        if (str_starts(*s, name)) {
            *s = str_sub(*s, name.len, s->len);
            return true;
        }
    }
    return false;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool read_imf(Str s, Civil *civil)
{
    unsigned year = 0;
    bool is_good = take_weekday(&s, false) && take_text(&s, ", ") &&
                   take_digits(&s, 2, &civil->day) && take_char(&s, ' ') &&
                   take_month(&s, &civil->month) && take_char(&s, ' ') &&
                   take_digits(&s, 4, &year) && take_char(&s, ' ') && take_clock(&s, civil) &&
                   str_eq_c(s, " GMT");

    civil->year = year;
    return is_good;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT"; years 70 to 99 are of the last century. */
static bool read_rfc850(Str s, Civil *civil)
{
    unsigned year = 0;
    bool is_good = take_weekday(&s, true) && take_text(&s, ", ") &&
                   take_digits(&s, 2, &civil->day) && take_char(&s, '-') &&
                   take_month(&s, &civil->month) && take_char(&s, '-') &&
                   take_digits(&s, 2, &year) && take_char(&s, ' ') && take_clock(&s, civil) &&
                   str_eq_c(s, " GMT");

    civil->year = year + (year >= 70 ? 1900 : 2000);
    return is_good;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool read_asctime(Str s, Civil *civil)
{
    unsigned year = 0;
    bool is_good = take_weekday(&s, false) && take_char(&s, ' ') && take_month(&s, &civil->month) &&
                   take_char(&s, ' ') &&
                   (take_char(&s, ' ') ? take_digits(&s, 1, &civil->day)
                                       : take_digits(&s, 2, &civil->day)) &&
                   take_char(&s, ' ') && take_clock(&s, civil) && take_char(&s, ' ') &&
                   take_digits(&s, 4, &year) && s.len == 0;

    civil->year = year;
    return is_good;
}

int time_parse_http(Str text, int64_t *ret_ms)
{
    static bool (*const readers[])(Str, Civil *) = { read_imf, read_rfc850, read_asctime };

    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        Civil civil = { 0 };

        if (readers[i](text, &civil) && time_of_civil(&civil, 0, ret_ms))
            return 0;
    }
    return fail_time(text, "Sat, 21 Nov 2026 03:15:00 GMT");
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Returns the weekday, 0 for Sunday. */
static unsigned civil_of_time(int64_t time_ms, Civil *ret_civil)
{
    int64_t days, rest, seconds;

    ASSERT(time_ms >= TIME_MS_MIN && time_ms <= TIME_MS_MAX);
    days = time_ms / 86400000 - (time_ms % 86400000 < 0);
    rest = time_ms - days * 86400000;
    seconds = rest / 1000;
    time_civil_from_days(days, &ret_civil->year, &ret_civil->month, &ret_civil->day);
    ret_civil->hour = (unsigned) (seconds / 3600);
    ret_civil->minute = (unsigned) (seconds / 60 % 60);
    ret_civil->second = (unsigned) (seconds % 60);
    ret_civil->ms = (unsigned) (rest % 1000);
    return (unsigned) (((days + 4) % 7 + 7) % 7);
}

static char *put2(char *out, unsigned value)
{
    out[0] = (char) ('0' + value / 10);
    out[1] = (char) ('0' + value % 10);
    return out + 2;
}

static char *put_date(char *out, const Civil *civil)
{
    out = put2(out, (unsigned) (civil->year / 100));
    out = put2(out, (unsigned) (civil->year % 100));
    *out++ = '-';
    out = put2(out, civil->month);
    *out++ = '-';
    return put2(out, civil->day);
}

static char *put_clock(char *out, const Civil *civil)
{
    out = put2(out, civil->hour);
    *out++ = ':';
    out = put2(out, civil->minute);
    *out++ = ':';
    return put2(out, civil->second);
}

Str time_format_rfc3339(int64_t time_ms, char *out)
{
    Civil civil;
    char *at = out;

    (void) civil_of_time(time_ms, &civil); /* the weekday is not shown */
    at = put_date(at, &civil);
    *at++ = 'T';
    at = put_clock(at, &civil);
    *at++ = '.';
    *at++ = (char) ('0' + civil.ms / 100);
    at = put2(at, civil.ms % 100);
    *at++ = 'Z';
    *at = '\0';
    return str_from(out, (size_t) (at - out));
}

Str time_format_table(int64_t time_ms, char *out)
{
    Civil civil;
    char *at = out;

    (void) civil_of_time(time_ms, &civil); /* the weekday is not shown */
    at = put_date(at, &civil);
    *at++ = ' ';
    at = put_clock(at, &civil);
    *at = '\0';
    return str_from(out, (size_t) (at - out));
}

Str time_format_http(int64_t time_ms, char *out)
{
    Civil civil;
    unsigned weekday = civil_of_time(time_ms, &civil);
    char *at = out;

    memcpy(at, weekdays[weekday], 3);
    memcpy(at + 3, ", ", 2);
    at = put2(at + 5, civil.day);
    *at++ = ' ';
    memcpy(at, months[civil.month - 1], 3);
    at[3] = ' ';
    at = put2(at + 4, (unsigned) (civil.year / 100));
    at = put2(at, (unsigned) (civil.year % 100));
    *at++ = ' ';
    at = put_clock(at, &civil);
    memcpy(at, " GMT", 5);
    return str_from(out, (size_t) (at - out) + 4);
}
