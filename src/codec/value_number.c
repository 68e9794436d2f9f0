/*
 * Filters: numbers out of text that people read. The rules are in value_filter.h.
 *
 *   − 1.234,50 €        sign, groups and what parts them; then the shape decides
 *   └─┘└──┘└─┘
 */
#include "codec/value_filter_int.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

#define LEXEME_MAX 64

/* A number while it is read. */
typedef struct Reading {
    char digits[LEXEME_MAX]; /* all digits, without what parts them */
    size_t n_digits;
    size_t after_dot, after_comma; /* digits behind the last one; meaningful when counted */
    unsigned n_dots, n_commas, n_others;
    char last; /* the last of '.' and ','; 0: there was none */
    bool is_negative;
    long exponent;
    bool has_exponent;
} Reading;

static bool is_digit_at(Str s, size_t i)
{
    return i < s.len && s.data[i] >= '0' && s.data[i] <= '9';
}

static bool is_alpha_at(Str s, size_t i)
{
    return i < s.len && ((s.data[i] | 0x20) >= 'a' && (s.data[i] | 0x20) <= 'z');
}

static bool has_at(Str s, size_t i, const char *what)
{
    return str_starts(str_sub(s, i, s.len), str_from_c(what));
}

/* Length of a separator of thousands that is neither dot nor comma; 0: none. */
static size_t other_separator(Str s, size_t i)
{
    static const char *const separators[] = {
        " ", "'", "\xc2\xa0", "\xe2\x80\xaf", "\xe2\x80\x89", "\xe2\x80\x99", "_"
    };

    for (size_t k = 0; k < sizeof(separators) / sizeof(separators[0]); k++)
        if (i < s.len && has_at(s, i, separators[k]))
            return strlen(separators[k]);
    return 0;
}

static bool has_three_digits(Str s, size_t i)
{
    return is_digit_at(s, i) && is_digit_at(s, i + 1) && is_digit_at(s, i + 2) &&
           !is_digit_at(s, i + 3);
}

static size_t minus_len(Str s, size_t i)
{
    if (i < s.len && s.data[i] == '-')
        return 1;
    return i < s.len && (has_at(s, i, "\xe2\x88\x92") || has_at(s, i, "\xe2\x80\x93")) ? 3 : 0;
}

/* Whether the number that begins at AT has a minus or a parenthesis before it, perhaps with a
 * currency sign and spaces between. */
static bool has_sign_before(Str s, size_t at, bool *ret_is_parenthesis)
{
    size_t i = at;

    *ret_is_parenthesis = false;
    while (i > 0) {
        size_t n = 1;

        while (i > n && ((unsigned char) s.data[i - n] & 0xc0) == 0x80)
            n++;
        if (s.data[i - n] == '(') {
            *ret_is_parenthesis = true;
            return true;
        }
        if (minus_len(s, i - n) == n)
            return i == n || (!is_alpha_at(s, i - n - 1) && !is_digit_at(s, i - n - 1));
        /* Only currency signs and spaces may stand between. */
        if (n == 1 && s.data[i - 1] != ' ' && s.data[i - 1] != '$')
            return false;
        i -= n;
    }
    return false;
}

/* Read the digits from AT on; returns where they end. */
static size_t read_digits(Str s, size_t at, Reading *reading)
{
    size_t i = at;

    while (i < s.len && reading->n_digits < LEXEME_MAX - 8) {
        size_t other = other_separator(s, i);

        if (is_digit_at(s, i)) {
            reading->digits[reading->n_digits++] = s.data[i++];
            reading->after_dot++;
            reading->after_comma++;
        } else if ((s.data[i] == '.' || s.data[i] == ',') && is_digit_at(s, i + 1)) {
            reading->last = s.data[i];
            if (s.data[i] == '.') {
                reading->n_dots++;
                reading->after_dot = 0;
            } else {
                reading->n_commas++;
                reading->after_comma = 0;
            }
            i++;
        } else if (other > 0 && reading->last == 0 && has_three_digits(s, i + other)) {
            reading->n_others++;
            i += other;
        } else {
            break;
        }
    }
    return i;
}

static size_t read_exponent(Str s, size_t i, Reading *reading)
{
    size_t k = i + 1;
    bool is_negative = k < s.len && s.data[k] == '-';
    long exponent = 0;

    if (i >= s.len || (s.data[i] | 0x20) != 'e')
        return i;
    k += k < s.len && (s.data[k] == '-' || s.data[k] == '+');
    if (!is_digit_at(s, k))
        return i;
    for (; is_digit_at(s, k); k++)
        if (exponent < 10000)
            exponent = exponent * 10 + (s.data[k] - '0');
    if (is_alpha_at(s, k))
        return i;
    reading->has_exponent = true;
    reading->exponent = is_negative ? -exponent : exponent;
    return k;
}

/* How many of the digits are behind the decimal point; false: the shape makes no sense. */
static bool count_decimals(const Reading *reading, char decimal, size_t *ret_n)
{
    unsigned n_last = reading->last == '.' ? reading->n_dots : reading->n_commas;
    size_t after = reading->last == '.' ? reading->after_dot : reading->after_comma;
    size_t n_before = reading->n_digits - after;

    *ret_n = 0;
    if (decimal != 0) {
        unsigned n = decimal == '.' ? reading->n_dots : reading->n_commas;

        if (n == 1)
            *ret_n = decimal == '.' ? reading->after_dot : reading->after_comma;
        /* "1,234.5,6": what parts thousands may not stand behind the point. */
        return n == 0 || (n == 1 && reading->last == decimal);
    }
    if (reading->last == 0)
        return true;
    if (reading->n_dots > 0 && reading->n_commas > 0) {
        *ret_n = after;
        return n_last == 1;
    }
    if (n_last > 1)
        return true;
    if (reading->n_others == 0 && after == 3 && n_before >= 1 && n_before <= 3 &&
        reading->digits[0] != '0')
        return true; /* ambiguous: read as thousands */
    *ret_n = after;
    return true;
}

static int write_lexeme(const FilterRun *run, const Reading *reading, size_t n_decimals, Str *ret)
{
    size_t n_before = reading->n_digits - n_decimals, skip = 0, len = 0;
    char *out;
    int r = value_room(run, LEXEME_MAX + 16, &out);

    if (r < 0)
        return r;
    while (skip + 1 < n_before && reading->digits[skip] == '0')
        skip++;
    if (reading->is_negative)
        out[len++] = '-';
    if (n_before == 0)
        out[len++] = '0';
    for (size_t i = skip; i < reading->n_digits; i++) {
        if (i == n_before)
            out[len++] = '.';
        out[len++] = reading->digits[i];
    }
    if (reading->has_exponent)
        len += (size_t) snprintf(out + len, 16, "e%ld", reading->exponent);
    out[len] = '\0';
    *ret = str_from(out, len);
    return 0;
}

/* The number in TEXT as a lexeme. 0, VALUE_MISMATCH or -ENOMEM. */
static int read_number(const FilterRun *run, Str text, char decimal, Str *ret_lexeme,
                       bool *ret_is_whole)
{
    Reading reading = { 0 };
    size_t at = 0, end, n_decimals;
    bool is_parenthesis;

    while (at < text.len && !is_digit_at(text, at))
        at++;
    if (at == text.len)
        return VALUE_MISMATCH;
    /* ".5", but not "No.5" */
    if (at > 0 && (text.data[at - 1] == '.' || text.data[at - 1] == ',') &&
        (at == 1 || (!is_alpha_at(text, at - 2) && text.data[at - 2] != '.')))
        at--;
    reading.is_negative = has_sign_before(text, at, &is_parenthesis);
    end = read_digits(text, at, &reading);
    end = read_exponent(text, end, &reading);
    if (is_digit_at(text, end))
        return VALUE_MISMATCH; /* more digits than anybody means */
    if (is_parenthesis) {
        reading.is_negative = end < text.len && str_find(str_sub(text, end, text.len), ')') >= 0;
    } else if (!reading.is_negative && minus_len(text, end) > 0) {
        size_t next = end + minus_len(text, end);

        reading.is_negative = next == text.len || text.data[next] == ' ';
    }
    if (!count_decimals(&reading, decimal, &n_decimals))
        return VALUE_MISMATCH;
    *ret_is_whole = n_decimals == 0 && !reading.has_exponent;
    return write_lexeme(run, &reading, n_decimals, ret_lexeme);
}

int filter_number(const Filter *filter, const FilterRun *run, Value *value)
{
    bool is_whole;
    Str text, lexeme;
    int64_t integer;
    int r;

    if (value->kind == VALUE_INT || value->kind == VALUE_REAL)
        return 0;
    r = value_to_text(run, value, &text);
    if (r == 0)
        r = read_number(run, text, filter->decimal, &lexeme, &is_whole);
    if (r != 0)
        return r;
    *value = (Value){ .kind = VALUE_REAL, .text = lexeme };
    errno = 0;
    integer = is_whole ? strtoll(lexeme.data, NULL, 10) : 0;
    if (is_whole && errno == 0) {
        value->kind = VALUE_INT;
        value->integer = integer;
    } else {
        value->real = strtod(lexeme.data, NULL);
    }
    return 0;
}

int filter_integer(const Filter *filter, const FilterRun *run, Value *value)
{
    int r = filter_number(filter, run, value);

    if (r == 0 && value->kind == VALUE_REAL) {
        /* "5.00" is whole, "5.01" is not. */
        int64_t integer = (int64_t) (value->real > -9e15 && value->real < 9e15 ? value->real : 0);

        if ((double) integer != value->real)
            return VALUE_MISMATCH;
        *value = (Value){ .kind = VALUE_INT, .integer = integer };
        value->text = arena_printf(run->arena, "%lld", (long long) integer);
    }
    return r;
}

int filter_init_number(Filter *filter)
{
    static const char *const with_comma[] = { ",",  "de", "fr", "es", "it", "nl", "pt", "ru", "pl",
                                              "sv", "da", "nb", "no", "fi", "cs", "sk", "tr", "at",
                                              "hu", "ro", "bg", "el", "hr", "sl", "uk", "br" };
    static const char *const with_dot[] = { ".",  "en", "us", "gb", "ch", "ja", "jp", "zh", "cn",
                                            "ko", "kr", "he", "th", "hi", "in", "mx", "au", "ie" };

    if (filter->n_args == 0)
        return 0;
    for (size_t i = 0; i < sizeof(with_comma) / sizeof(with_comma[0]); i++)
        if (str_eq_nocase(filter->args[0], str_from_c(with_comma[i])))
            filter->decimal = ',';
    for (size_t i = 0; i < sizeof(with_dot) / sizeof(with_dot[0]); i++)
        if (str_eq_nocase(filter->args[0], str_from_c(with_dot[i])))
            filter->decimal = '.';
    if (filter->decimal == 0)
        return fail(-ERR_INVALID,
                    "%s(%s): no such locale; give the decimal point itself, "
                    "number(.) or number(,)",
                    filter->kind->name, filter->args_c[0]);
    return 0;
}
