/*
 * Scalars of YAML 1.2's core schema as JSON.
 *
 *   null   empty, ~, null, Null, NULL
 *   bool   true, True, TRUE, false, False, FALSE
 *   int    [-+]?[0-9]+   0o[0-7]+   0x[0-9a-fA-F]+
 *   float  [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
 *
 * Everything else is a string. .inf and .nan are refused, JSON having no such numbers. Digits are
 * kept as they are where JSON can spell them, so that large integers lose nothing.
 */
#include "codec/yaml_int.h"

#include "base/err.h"
#include "base/macro.h"
#include "codec/hex.h"
#include "codec/schema_int.h"

#include <math.h>
#include <stdlib.h>

#define NUMBER_BYTES_MAX 400

static const Str core_prefix = STR("tag:yaml.org,2002:");

static bool is_one_of(Str text, const char *const *words)
{
    for (; *words; words++)
        if (str_eq_c(text, *words))
            return true;
    return false;
}

static Str skip_sign(Str text)
{
    bool has_sign = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+');

    return has_sign ? str_sub(text, 1, text.len) : text;
}

static Str skip_digits(Str text)
{
    while (text.len > 0 && text.data[0] >= '0' && text.data[0] <= '9')
        text = str_sub(text, 1, text.len);
    return text;
}

static bool is_int(Str text)
{
    Str digits = skip_sign(text);

    return digits.len > 0 && skip_digits(digits).len == 0;
}

static bool is_float(Str text)
{
    Str rest = skip_sign(text), behind = skip_digits(rest);
    size_t n_digits = rest.len - behind.len;

    rest = behind;
    if (rest.len > 0 && rest.data[0] == '.') {
        rest = str_sub(rest, 1, rest.len);
        behind = skip_digits(rest);
        n_digits += rest.len - behind.len;
    }
    if (n_digits == 0)
        return false;
    if (behind.len > 0 && (behind.data[0] == 'e' || behind.data[0] == 'E')) {
        rest = skip_sign(str_sub(behind, 1, behind.len));
        behind = skip_digits(rest);
        if (rest.len == behind.len)
            return false;
    }
    return behind.len == 0;
}

/* "+012" is 12 */
static void write_int(JsonWriter *writer, Str text)
{
    bool is_negative = text.data[0] == '-';
    Str digits = skip_sign(text);
    Buf *out = writer->out;

    while (digits.len > 1 && digits.data[0] == '0')
        digits = str_sub(digits, 1, digits.len);
    if (!is_negative) {
        json_write_raw(writer, digits);
        return;
    }
    json_write_raw(writer, (Str) STR("-"));
    buf_add_str(out, digits);
}

static int write_float(JsonWriter *writer, Str text)
{
    char copy[NUMBER_BYTES_MAX];
    double real;

    if (schema_is_json_number(text)) {
        json_write_raw(writer, text);
        return 0;
    }
    if (text.len >= sizeof(copy))
        return fail(-ERR_INVALID, "a number of %zu digits", text.len);
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    real = strtod(copy, NULL);
    if (!isfinite(real))
        return fail(-ERR_INVALID, "the number %.40s is too large", copy);
    json_write_real(writer, real);
    return 0;
}

/* The digits of "0x1f" or "0o17", in base 1 << SHIFT. */
static bool write_based(JsonWriter *writer, Str digits, unsigned shift)
{
    uint64_t value = 0;

    if (digits.len == 0)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        int digit = hex_digit(digits.data[i]);

        if (digit < 0 || digit >> shift != 0 || value >> (64 - shift) != 0)
            return false;
        value = value << shift | (unsigned) digit;
    }
    json_write_u64(writer, value);
    return true;
}

static int write_plain(JsonWriter *writer, Str text)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };
    static const char *const strange[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL };

    if (is_one_of(text, nulls)) {
        json_write_null(writer);
    } else if (is_one_of(text, trues)) {
        json_write_bool(writer, true);
    } else if (is_one_of(text, falses)) {
        json_write_bool(writer, false);
    } else if (is_int(text)) {
        write_int(writer, text);
    } else if (is_float(text)) {
        return write_float(writer, text);
    } else if (is_one_of(skip_sign(text), strange)) {
        return fail(-ERR_INVALID, "%.*s is no number here", (int) text.len, text.data);
    } else if ((str_starts(text, (Str) STR("0x")) &&
                write_based(writer, str_sub(text, 2, text.len), 4)) ||
               (str_starts(text, (Str) STR("0o")) &&
                write_based(writer, str_sub(text, 2, text.len), 3))) {
        return 0;
    } else {
        json_write_str(writer, text);
    }
    return 0;
}

int yaml_write_scalar(JsonWriter *writer, Str text, bool is_plain, Str tag)
{
    static const char *const resolved[] = { "int", "float", "bool", "null", NULL };

    if (tag.len > 0 && !str_eq_c(tag, "!")) {
        Str kind = str_sub(tag, core_prefix.len, tag.len);

        if (!str_starts(tag, core_prefix) || (!str_eq_c(kind, "str") && !is_one_of(kind, resolved)))
            return fail(-ERR_INVALID, "the tag %.*s is not supported", (int) MIN(tag.len, 60ul),
                        tag.data);
        is_plain = !str_eq_c(kind, "str");
    } else if (tag.len > 0) {
        is_plain = false;
    }
    if (is_plain)
        return write_plain(writer, text);
    json_write_str(writer, text);
    return 0;
}

bool yaml_is_container_tag(Str tag, bool is_mapping)
{
    return str_starts(tag, core_prefix) &&
           str_eq_c(str_sub(tag, core_prefix.len, tag.len), is_mapping ? "map" : "seq");
}
