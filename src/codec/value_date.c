/*
 * Filters: points in time out of text.
 *
 * Without an argument ISO 8601 and what mails and HTTP write are read, and dates whose month is a
 * word. With an argument of two letters the order of a country comes first; any other argument is a
 * format as strptime has it. A time without a zone is UTC. Names of months are known in English,
 * German, French, Spanish, Italian, Dutch and Portuguese, all at once: no word means two months.
 */
#include "codec/value_filter_int.h"

#include "base/err.h"
#include "base/macro.h"
#include "codec/time_text.h"

typedef struct Moment {
    int64_t year;
    unsigned month, day, hour, minute, second;
    int64_t ns;
    int64_t offset_s; /* east of UTC */
    bool is_pm, has_12_hours;
    bool has_epoch;
    int64_t epoch_s;
} Moment;

static const char *const months[12] = {
    "january januar janvier enero gennaio januari janeiro jan\xc3\xa4n j\xc3\xa4nner",
    "february februar f\xc3\xa9vrier febrero febbraio februari fevereiro feb",
    "march m\xc3\xa4rz mars marzo maart mar\xc3\xa7o m\xc3\xa4r mrt",
    "april avril abril aprile apr avr abr",
    "may mai mayo maggio mei maio mag",
    "june juni juin junio giugno junho jun giu",
    "july juli juillet julio luglio julho jul lug juil",
    "august ao\xc3\xbbt agosto augustus aug ago",
    "september septembre septiembre settembre setembro sep sept set",
    "october oktober octobre octubre ottobre outubro oct okt out ott",
    "november novembre noviembre novembro nov",
    "december dezember d\xc3\xa9"
    "cembre diciembre dicembre dezembro dec dez dic d\xc3\xa9"
    "c",
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ((unsigned char) c & 0x80);
}

/* Take letters from the front of S; a dot behind an abbreviation goes too. */
static Str take_word(Str *s)
{
    size_t n = 0;
    Str word;

    while (n < s->len && is_letter(s->data[n]))
        n++;
    word = str_sub(*s, 0, n);
    if (n > 0 && n < s->len && s->data[n] == '.')
        n++;
    *s = str_sub(*s, n, s->len);
    return word;
}

static bool read_month(Str *s, unsigned *ret)
{
    Str word = take_word(s);

    for (unsigned i = 0; i < 12 && word.len >= 3; i++) {
        Str rest = str_from_c(months[i]);

        while (rest.len > 0) {
            Str name = str_cut(rest, ' ', &rest);

            if (str_eq_nocase(name, word) ||
                (word.len == 3 && str_eq_nocase(str_sub(name, 0, 3), word))) {
                *ret = i + 1;
                return true;
            }
        }
    }
    return false;
}

static bool read_digits(Str *s, size_t min, size_t max, int64_t *ret)
{
    size_t n = 0;
    int64_t value = 0;

    while (n < s->len && n < max && s->data[n] >= '0' && s->data[n] <= '9')
        value = value * 10 + (s->data[n++] - '0');
    if (n < min)
        return false;
    *s = str_sub(*s, n, s->len);
    *ret = value;
    return true;
}

static bool read_unsigned(Str *s, size_t max, unsigned *ret)
{
    int64_t value;

    if (!read_digits(s, 1, max, &value))
        return false;
    *ret = (unsigned) value;
    return true;
}

static void read_fraction(Str *s, int64_t *ret_ns)
{
    int64_t scale = 100000000;
    size_t n = 0;

    *ret_ns = 0;
    for (; n < s->len && s->data[n] >= '0' && s->data[n] <= '9'; n++, scale /= 10)
        *ret_ns += (s->data[n] - '0') * scale;
    *s = str_sub(*s, n, s->len);
}

static bool read_zone(Str *s, int64_t *ret_offset_s)
{
    int64_t hours, minutes = 0, sign;
    Str word, rest = *s;

    *ret_offset_s = 0;
    if (s->len == 0)
        return false;
    if (s->data[0] != '+' && s->data[0] != '-') {
        word = take_word(&rest);
        *s = rest;
        return str_eq_nocase(word, (Str) STR("z")) || str_eq_nocase(word, (Str) STR("gmt")) ||
               str_eq_nocase(word, (Str) STR("utc")) || str_eq_nocase(word, (Str) STR("ut"));
    }
    sign = s->data[0] == '-' ? -1 : 1;
    *s = str_sub(*s, 1, s->len);
    if (!read_digits(s, 2, 2, &hours))
        return false;
    if (s->len > 0 && s->data[0] == ':')
        *s = str_sub(*s, 1, s->len);
    if (s->len > 0 && s->data[0] >= '0' && s->data[0] <= '9' && !read_digits(s, 2, 2, &minutes))
        return false;
    *ret_offset_s = sign * (hours * 3600 + minutes * 60);
    return hours <= 23 && minutes <= 59;
}

static Str skip_space(Str s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t' || s.data[0] == '\n'))
        s = str_sub(s, 1, s.len);
    return s;
}

static bool read_format(Str *s, const char *format, Moment *moment);

/* One conversion. */
static bool read_field(Str *s, char field, Moment *moment)
{
    int64_t value = 0;
    Str word;

    switch (field) {
    case 'Y': return read_digits(s, 4, 4, &moment->year);
    case 'y':
        if (!read_digits(s, 2, 2, &value))
            return false;
        moment->year = value + (value < 69 ? 2000 : 1900);
        return true;
    case 'm': return read_unsigned(s, 2, &moment->month);
    case 'b':
    case 'B':
    case 'h': return read_month(s, &moment->month);
    case 'd':
    case 'e': *s = skip_space(*s); return read_unsigned(s, 2, &moment->day);
    case 'H': return read_unsigned(s, 2, &moment->hour);
    case 'I': moment->has_12_hours = true; return read_unsigned(s, 2, &moment->hour);
    case 'M': return read_unsigned(s, 2, &moment->minute);
    case 'S': return read_unsigned(s, 2, &moment->second);
    case 'f': read_fraction(s, &moment->ns); return true;
    case 'p':
        word = take_word(s);
        moment->is_pm = str_eq_nocase(word, (Str) STR("pm"));
        return moment->is_pm || str_eq_nocase(word, (Str) STR("am"));
    case 'a':
    case 'A': return take_word(s).len > 0;
    case 'z':
    case 'Z': return read_zone(s, &moment->offset_s);
    case 's': moment->has_epoch = true; return read_digits(s, 1, 11, &moment->epoch_s);
    case 'F': return read_format(s, "%Y-%m-%d", moment);
    case 'T': return read_format(s, "%H:%M:%S", moment);
    case 'R': return read_format(s, "%H:%M", moment);
    case 'D': return read_format(s, "%m/%d/%y", moment);
    case '%':
        value = s->len > 0 && s->data[0] == '%';
        *s = str_sub(*s, 1, s->len);
        return value != 0;
    default: return false;
    }
}

static bool read_format(Str *s, const char *format, Moment *moment)
{
    for (const char *at = format; *at; at++) {
        if (*at == '%') {
            if (!read_field(s, *++at, moment))
                return false;
        } else if (*at == ' ') {
            *s = skip_space(*s);
        } else {
            if (s->len == 0 || s->data[0] != *at)
                return false;
            *s = str_sub(*s, 1, s->len);
        }
    }
    return true;
}

/* An optional time of day behind a date: "T10:30", " 10:30:05.25 +0100", ", 3:05 pm". */
static bool read_clock(Str *s, Moment *moment)
{
    Str rest = *s;

    while (rest.len > 0 && (rest.data[0] == ' ' || rest.data[0] == ','))
        rest = str_sub(rest, 1, rest.len);
    if (rest.len > 0 && (rest.data[0] == 'T' || rest.data[0] == 't'))
        rest = str_sub(rest, 1, rest.len);
    if (!read_format(&rest, "%H:%M", moment))
        return true; /* there is none; what is left is judged by who called */
    if (rest.len > 0 && rest.data[0] == ':' && !read_format(&rest, ":%S", moment))
        return false;
    if (rest.len > 1 && (rest.data[0] == '.' || rest.data[0] == ',')) {
        rest = str_sub(rest, 1, rest.len);
        read_fraction(&rest, &moment->ns);
    }
    rest = skip_space(rest);
    if (rest.len >= 2 && (rest.data[1] | 0x20) == 'm' &&
        ((rest.data[0] | 0x20) == 'a' || (rest.data[0] | 0x20) == 'p')) {
        moment->has_12_hours = true;
        if (!read_field(&rest, 'p', moment))
            return false;
        rest = skip_space(rest);
    }
    if (rest.len > 0 && !read_zone(&rest, &moment->offset_s))
        return false;
    *s = rest;
    return true;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool to_ns(const Moment *moment, int64_t *ret_ns)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    unsigned hour = moment->hour, last_day;
    int64_t seconds, ns;

    if (moment->month < 1 || moment->month > 12 || moment->day < 1 || moment->minute > 59 ||
        moment->second > 60 || moment->year < 1)
        return false;
    last_day = days[moment->month - 1];
    if (moment->month == 2 && is_leap(moment->year))
        last_day++;
    if (moment->day > last_day)
        return false;
    if (moment->has_12_hours) {
        if (hour < 1 || hour > 12)
            return false;
        hour = hour % 12 + (moment->is_pm ? 12 : 0);
    }
    if (hour > 23 && !(hour == 24 && moment->minute == 0 && moment->second == 0))
        return false;
    seconds = time_days_from_civil(moment->year, moment->month, moment->day) * 86400 +
              (int64_t) hour * 3600 + moment->minute * 60 + moment->second - moment->offset_s;
    if (moment->has_epoch)
        seconds = moment->epoch_s;
    return !__builtin_mul_overflow(seconds, NS_PER_S, &ns) &&
           !__builtin_add_overflow(ns, moment->ns, ret_ns);
}

/* Read the whole of S by FORMAT, and a time of day behind it if MAY_HAVE_CLOCK. */
static bool read_whole(Str s, const char *format, bool may_have_clock, int64_t *ret_ns)
{
    Moment moment = { .year = 1970, .month = 1, .day = 1 };

    return read_format(&s, format, &moment) && (!may_have_clock || read_clock(&s, &moment)) &&
           skip_space(s).len == 0 && to_ns(&moment, ret_ns);
}

typedef struct Country {
    const char *name;
    const char *formats[5];
} Country;

static const Country countries[] = {
    { "", { "%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y-%m", NULL } },
    { "de", { "%d.%m.%Y", "%d.%m.%y", "%d. %B %Y", "%A, %d. %B %Y", NULL } },
    { "us", { "%m/%d/%Y", "%m/%d/%y", "%m-%d-%Y", NULL } },
    { "gb", { "%d/%m/%Y", "%d/%m/%y", "%d-%m-%Y", NULL } },
    { "fr", { "%d/%m/%Y", "%d/%m/%y", "%d.%m.%Y", NULL } },
    { "es", { "%d/%m/%Y", "%d/%m/%y", "%d de %B de %Y", NULL } },
    { "it", { "%d/%m/%Y", "%d/%m/%y", NULL } },
    { "nl", { "%d-%m-%Y", "%d/%m/%Y", NULL } },
};

/* With the month as a word, no order is ambiguous. */
static const char *const worded[] = {
    "%d %B %Y",       "%B %d, %Y", "%B %d %Y", "%A, %d %B %Y", "%A, %B %d, %Y",
    "%a %b %d %T %Y", "%d. %B %Y", "%d-%b-%Y", "%A, %d-%b-%y", "%B %Y",
};

static const Country *find_country(Str name)
{
    for (size_t i = 0; i < ARRAY_LEN(countries); i++)
        if (str_eq_nocase(name, str_from_c(countries[i].name)))
            return &countries[i];
    return NULL;
}

static bool read_by_country(Str s, const Country *country, int64_t *ret_ns)
{
    for (const char *const *format = country->formats; *format; format++)
        if (read_whole(s, *format, true, ret_ns))
            return true;
    return false;
}

static bool read_any(Str s, const Country *country, int64_t *ret_ns)
{
    if (read_by_country(s, country, ret_ns) || read_by_country(s, &countries[0], ret_ns))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(worded); i++)
        if (read_whole(s, worded[i], true, ret_ns))
            return true;
    return false;
}

int filter_date(const Filter *filter, const FilterRun *run, Value *value)
{
    const Country *country = find_country(filter->n_args ? filter->args[0] : (Str){ 0 });
    int64_t ns = 0;
    Str text;
    int r;

    if (value->kind == VALUE_TIME)
        return 0;
    r = value_to_text(run, value, &text);
    if (r != 0)
        return r;
    text = str_trim(text);
    if (country ? !read_any(text, country, &ns) : !read_whole(text, filter->args_c[0], false, &ns))
        return VALUE_MISMATCH;
    *value = (Value){ .kind = VALUE_TIME, .time_ns = ns };
    return 0;
}

int filter_init_date(Filter *filter)
{
    const char *format = filter->n_args ? filter->args_c[0] : "";

    if (filter->n_args == 0 || find_country(filter->args[0]))
        return 0;
    if (!strchr(format, '%'))
        return fail(-ERR_INVALID,
                    "date(%s): neither a format such as %%d.%%m.%%Y nor one of de, "
                    "us, gb, fr, es, it, nl",
                    format);
    for (; *format; format++)
        if (*format == '%' && (!*++format || !strchr("YymbBhdeHIMSfpaAzZsFTRD%", *format)))
            return fail(-ERR_INVALID, "date(%s): %%%c is not known", filter->args_c[0], *format);
    return 0;
}
