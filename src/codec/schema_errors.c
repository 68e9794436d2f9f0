/*
 * Complaints of the schema decoder: what is wrong, where, and what was given instead.
 *
 * A message reads on from its path: "rounds" + "must be between 1 and 1000000, got -3". Text of a
 * user is shown in quotes, cut to 40 bytes, control characters as "?"; a secret is never shown.
 * Only the first SCHEMA_ERRORS_MAX complaints are made into text, the others are counted: what a
 * hostile document costs does not grow with its mistakes.
 */
#include "codec/schema_int.h"

#include "base/macro.h"
#include "codec/json_int.h"

#include <stdarg.h>
#include <stdio.h>

/* A copy in the arena; empty when it has no room, which the decoder then says. */
static Str keep(SchemaDecoder *decoder, Str text)
{
    char *copy = arena_try(decoder->arena, text.len + 1);

    if (!copy) {
        decoder->lacks_memory = true;
        return (Str){ 0 };
    }
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return str_from(copy, text.len);
}

void schema_complain(SchemaDecoder *decoder, const JsonPath *path, Json at, const char *fmt, ...)
{
    SchemaErrors *errors = decoder->errors;
    char text[384];
    SchemaError *error;
    va_list args;
    Str shown;
    int len;

    errors->total++;
    if (errors->len == SCHEMA_ERRORS_MAX)
        return;
    error = &errors->items[errors->len++];
    *error = (SchemaError){ .at = at };

    va_start(args, fmt);
    len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    error->message = keep(decoder, str_from(text, MIN((size_t) MAX(len, 0), sizeof(text) - 1)));
    error->pointer = keep(decoder, json_path_format_pointer(path, text, sizeof(text)));
    shown = json_path_format(path, text + 2, sizeof(text) - 2);
    if (decoder->opts->is_flags && path) {
        memcpy(text, "--", 2);
        shown = str_from(text, shown.len + 2);
    }
    error->path = keep(decoder, shown);
}

/* Text of a user in quotes: its beginning, without what would upset a terminal. */
static const char *show_str(Str s, char *out)
{
    size_t len = MIN(s.len, 40ul);
    char *at = out;

    while (len < s.len && len > 0 && ((unsigned char) s.data[len] & 0xc0) == 0x80)
        len--;
    *at++ = '"';
    for (size_t i = 0; i < len; i++)
        *at++ = (unsigned char) s.data[i] < 0x20 || s.data[i] == 0x7f ? '?' : s.data[i];
    memcpy(at, len < s.len ? "\xe2\x80\xa6\"" : "\"", len < s.len ? 5 : 2);
    return out;
}

const char *schema_show(const SchemaField *field, Json value, char *out)
{
    int64_t i64;
    double real;
    Str str;

    switch (json_kind(value)) {
    case JSON_NONE: return "nothing";
    case JSON_NULL: return "null";
    case JSON_ARRAY: return "an array";
    case JSON_OBJECT: return "an object";
    case JSON_BOOL:
    case JSON_NUMBER:
    case JSON_STRING: break;
    }
    if (field->is_secret)
        return "something else";
    if (json_is_string(value))
        return show_str(json_str_or(value, (Str){ 0 }), out);
    if (!json_is_number(value))
        return json_bool_or(value, false) ? "true" : "false";
    if (json_get_i64(value, &i64))
        snprintf(out, SCHEMA_SHOWN_BYTES, "%lld", (long long) i64);
    else if (json_get_real(value, &real) && !unsafe_yyjson_is_raw(json_val(value)))
        snprintf(out, SCHEMA_SHOWN_BYTES, "%.15g", real);
    else if (str = json_text_of(json_val(value)), str.len <= 40)
        snprintf(out, SCHEMA_SHOWN_BYTES, "%.*s", (int) str.len, str.data);
    else
        snprintf(out, SCHEMA_SHOWN_BYTES, "a number of %zu digits", str.len);
    return out;
}

void schema_complain_kind(SchemaDecoder *decoder, const SchemaField *field, Json value,
                          const JsonPath *path)
{
    char shown[SCHEMA_SHOWN_BYTES];

    schema_complain(decoder, path, value, "must be %s, got %s", schema_kind_name(field->kind),
                    schema_show(field, value, shown));
}

void schema_complain_range(SchemaDecoder *decoder, const SchemaRange *range, Json value,
                           const char *verb, const char *unit, const char *got,
                           const JsonPath *path)
{
    long long min = range->min, max = range->max;

    if (range->min == range->max)
        schema_complain(decoder, path, value, "must %s exactly %lld%s, got %s", verb, min, unit,
                        got);
    else if (range->max == INT64_MAX)
        schema_complain(decoder, path, value, "must %s at least %lld%s, got %s", verb, min, unit,
                        got);
    else if (range->min == INT64_MIN || (range->min == 0 && unit[0] != '\0'))
        schema_complain(decoder, path, value, "must %s at most %lld%s, got %s", verb, max, unit,
                        got);
    else
        schema_complain(decoder, path, value, "must %s between %lld and %lld%s, got %s", verb, min,
                        max, unit, got);
}

bool schema_is_outside(const SchemaRange *range, int64_t value)
{
    return range->is_set && (value < range->min || value > range->max);
}

/* Check how many characters, entries or bytes there are. */
void schema_check_count(SchemaDecoder *decoder, const SchemaField *field, Json value, size_t count,
                        const char *unit, const JsonPath *path)
{
    char got[24];

    if (!schema_is_outside(&field->range, (int64_t) count))
        return;
    snprintf(got, sizeof(got), "%zu", count);
    if (count == 0 && field->range.min == 1)
        schema_complain(decoder, path, value, "must not be empty");
    else
        schema_complain_range(decoder, &field->range, value, "have", unit, got, path);
}
