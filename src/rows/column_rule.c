/*
 * Column rules: compiled from their settings, and applied to one value at a time. The step looks at
 * plain values itself, in a loop; this is the way for all others, and where words are found.
 */
#include "rows/column_rule.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/schema.h"
#include "codec/time_text.h"

#include <float.h>
#include <stdio.h>

typedef struct RuleArgs {
    int kind; /* RowKind */
    bool required;
    SchemaJson min, max;
    SchemaJson one_of;
    SchemaJson fallback;
    Str pattern;
    int64_t min_length, max_length;
    Str unit, from;
    int precision;
    Str format;
    int64_t max_age_ms, max_ahead_ms;
    int otherwise;
} RuleArgs;

/* In the order of RowKind. */
static const char *const kind_words[] = { "any",     "text", "integer", "number",
                                          "boolean", "time", "json",    NULL };
static const char *const precisions[] = { "auto", "s", "ms", "us", "ns", NULL };
static const char *const otherwises[] = { "refuse", "null", NULL };

static const SchemaField rule_fields[] = {
    FIELD_ENUM(RuleArgs, kind, kind_words, "what it is; text is converted", .default_text = "any"),
    FIELD_BOOL(RuleArgs, required, "a row without it is refused"),
    FIELD_JSON(RuleArgs, min, "the least number or time allowed"),
    FIELD_JSON(RuleArgs, max, "the greatest number or time allowed"),
    FIELD_JSON(RuleArgs, one_of, "a list of the values allowed"),
    { .name = "default",
      .summary = "what stands for a missing value",
      .kind = SCHEMA_JSON,
      .offset = offsetof(RuleArgs, fallback) },
    FIELD_STR(RuleArgs, pattern, "a regular expression that a text must match"),
    FIELD_INT(RuleArgs, min_length, "characters of a text, at least", .range = AT_LEAST(0)),
    FIELD_INT(RuleArgs, max_length, "characters of a text, at most", .range = AT_LEAST(0),
              .absent = -1),
    FIELD_STR(RuleArgs, unit, "its unit: degC, kPa, km/h; shown, and what from is changed into"),
    FIELD_STR(RuleArgs, from, "the unit in which it comes"),
    FIELD_ENUM(RuleArgs, precision, precisions,
               "of times that are numbers; auto goes by their size", .default_text = "auto"),
    FIELD_STR(RuleArgs, format, "of times that are text, as strptime has it; RFC 3339 otherwise"),
    FIELD_DURATION(RuleArgs, max_age_ms, "max_age", "a time further before arrival is refused",
                   .absent = -1),
    FIELD_DURATION(RuleArgs, max_ahead_ms, "max_ahead", "a time further after arrival is refused",
                   .absent = -1),
    FIELD_ENUM(RuleArgs, otherwise, otherwises,
               "what a wrong value does: refuse its row, or become null", .default_text = "refuse"),
};
static const Schema rule_schema = SCHEMA(RuleArgs, rule_fields, "What a column must be.");

/* ---- settings -------------------------------------------------------------------------------- */

/* A setting of RULE as a value of its kind, with its text in the rule's arena. */
static int read_value(ColumnRule *rule, const char *what, Json json, RowValue *ret)
{
    AUTO(buf_deinit) Buf scratch = { 0 };
    RowKind kind = rule->kind;
    RowValue value = row_null();
    Str text;
    int r;

    if (json_get_str(json, &text))
        value = row_text(text);
    else if (json_get_bool(json, &value.boolean))
        value = row_boolean(value.boolean);
    else if (json_get_i64(json, &value.integer))
        value = row_integer(value.integer);
    else if (json_get_real(json, &value.real))
        value = row_real(value.real, (Str){ 0 });
    r = row_cast(&value, kind, rule->time_unit, &scratch, ret);
    if (r != 0 || ret->kind == ROW_ANY)
        return fail(-ERR_INVALID, "%.*s.%s: must be %s", (int) rule->name.len, rule->name.data,
                    what, kind == ROW_ANY ? "a text, a number or a boolean" : row_kind_name(kind));
    if (ret->text.len > 0)
        ret->text = arena_copy(&rule->arena, ret->text);
    return 0;
}

static int read_bound(ColumnRule *rule, const char *what, Json json, double *real, int64_t *integer)
{
    RowValue value;
    int r;

    if (!json)
        return 0;
    if (rule->kind != ROW_REAL && rule->kind != ROW_INT && rule->kind != ROW_TIME)
        return fail(-ERR_INVALID, "%.*s.%s: is for columns of kind integer, number or time",
                    (int) rule->name.len, rule->name.data, what);
    r = read_value(rule, what, json, &value);
    if (r < 0)
        return r;
    if (value.kind == ROW_REAL)
        *real = value.real;
    else
        *integer = value.kind == ROW_TIME ? value.time_ns : value.integer;
    return 0;
}

static int read_choice(ColumnRule *rule, Json list)
{
    size_t n = json_len(list);

    if (!list)
        return 0;
    if (!json_is_array(list) || n == 0 || n > LIMIT_VALIDATE_CHOICE)
        return fail(-ERR_INVALID, "%.*s.one_of: must be a list of 1 to %d values",
                    (int) rule->name.len, rule->name.data, LIMIT_VALIDATE_CHOICE);
    rule->choice = mem_new_array(RowValue, n);
    for (JsonIter it = json_iter(list); json_next(&it);) {
        RowValue *value = &rule->choice[rule->n_choice];
        int r = read_value(rule, "one_of", it.value, value);

        if (r < 0)
            return r;
        rule->n_choice++;
        if (value->kind == ROW_TEXT)
            (void) map_put(&rule->texts, value->text, rule->choice);
    }
    return 0;
}

static int read_text_rules(ColumnRule *rule, const RuleArgs *args)
{
    bool has_any = args->pattern.len > 0 || args->min_length > 0 || args->max_length >= 0;
    int r = 0;

    if (has_any && rule->kind != ROW_TEXT)
        return fail(-ERR_INVALID, "%.*s: pattern, min_length and max_length are for kind text",
                    (int) rule->name.len, rule->name.data);
    rule->length_min = (size_t) args->min_length;
    rule->length_max = args->max_length >= 0 ? (size_t) args->max_length : SIZE_MAX;
    if (args->pattern.len > 0)
        r = regex_new(args->pattern, &rule->regex);
    return wrap(r, "%.*s.pattern", (int) rule->name.len, rule->name.data);
}

static int read_time_rules(ColumnRule *rule, const RuleArgs *args)
{
    static const RowTimeUnit units[] = { 0, NS_PER_S, NS_PER_MS, NS_PER_US, 1 };
    AUTO(buf_deinit) Buf chain = { 0 };
    bool has_any = args->precision != 0 || args->format.len > 0 || args->max_age_ms >= 0 ||
                   args->max_ahead_ms >= 0;
    int r = 0;

    if (has_any && rule->kind != ROW_TIME)
        return fail(-ERR_INVALID,
                    "%.*s: precision, format, max_age and max_ahead are for kind time",
                    (int) rule->name.len, rule->name.data);
    rule->time_unit = units[args->precision];
    rule->age_ns = args->max_age_ms >= 0 ? args->max_age_ms * NS_PER_MS : INT64_MAX;
    rule->ahead_ns = args->max_ahead_ms >= 0 ? args->max_ahead_ms * NS_PER_MS : INT64_MAX;
    if (args->format.len > 0) {
        if (memchr(args->format.data, '"', args->format.len))
            return fail(-ERR_INVALID, "%.*s.format: may not have quotes", (int) rule->name.len,
                        rule->name.data);
        buf_printf(&chain, "date(\"%.*s\")", (int) args->format.len, args->format.data);
        r = filter_chain_new(buf_str(&chain), &rule->date);
    }
    return wrap(r, "%.*s.format", (int) rule->name.len, rule->name.data);
}

static int read_unit(ColumnRule *rule, const RuleArgs *args)
{
    int r;

    rule->unit = arena_copy(&rule->arena, units_sign(args->unit));
    if (args->from.len == 0)
        return 0;
    if (rule->kind != ROW_REAL)
        return fail(-ERR_INVALID, "%.*s.from: is for columns of kind number", (int) rule->name.len,
                    rule->name.data);
    if (args->unit.len == 0)
        return fail(-ERR_INVALID, "%.*s.from: wants the unit into which to change",
                    (int) rule->name.len, rule->name.data);
    r = units_change(args->from, args->unit, &rule->change);
    rule->has_change = r == 0;
    return wrap(r, "%.*s.from", (int) rule->name.len, rule->name.data);
}

static int read_rules(ColumnRule *rule, const RuleArgs *args)
{
    int r = read_time_rules(rule, args);

    rule->min = -DBL_MAX;
    rule->max = DBL_MAX;
    rule->int_min = INT64_MIN;
    rule->int_max = INT64_MAX;
    if (r == 0)
        r = read_unit(rule, args);
    if (r == 0)
        r = read_bound(rule, "min", args->min.value, &rule->min, &rule->int_min);
    if (r == 0)
        r = read_bound(rule, "max", args->max.value, &rule->max, &rule->int_max);
    if (r == 0 && (rule->min > rule->max || rule->int_min > rule->int_max))
        r = fail(-ERR_INVALID, "%.*s: min is above max", (int) rule->name.len, rule->name.data);
    if (r == 0)
        r = read_choice(rule, args->one_of.value);
    if (r == 0)
        r = read_text_rules(rule, args);
    if (r == 0 && args->fallback.value && !json_is_null(args->fallback.value))
        r = read_value(rule, "default", args->fallback.value, &rule->fallback);
    rule->is_plain = rule->n_choice == 0 && !rule->regex && rule->length_min == 0 &&
                     rule->kind != ROW_ANY;
    return r;
}

int column_rule_init(ColumnRule *rule, Str name, Json settings, const JsonPath *at)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    SchemaDecodeOpts opts = { .at = at };
    RuleArgs args;
    Str word;
    int r;

    *rule = (ColumnRule){ .name = { 0 } };
    arena_init(&arena, 0);
    arena_init(&rule->arena, 0);
    rule->name = arena_copy(&rule->arena, name);
    r = schema_decode(&arena, &rule_schema, json_is_string(settings) ? NULL : settings, &args,
                      &opts);
    if (r < 0)
        return r;
    if (json_get_str(settings, &word)) {
        while (kind_words[args.kind] && !str_eq_c(word, kind_words[args.kind]))
            args.kind++;
        if (!kind_words[args.kind])
            return fail(-ERR_INVALID,
                        "%.*s: must be any, text, integer, number, boolean, time or json",
                        (int) name.len, name.data);
    }
    rule->kind = (RowKind) args.kind;
    rule->is_required = args.required;
    rule->otherwise = (RuleOtherwise) args.otherwise;
    return read_rules(rule, &args);
}

void column_rule_deinit(ColumnRule *rule)
{
    filter_chain_free(rule->date);
    regex_free(rule->regex);
    map_deinit(&rule->texts);
    mem_free(rule->choice);
    arena_deinit(&rule->arena);
    *rule = (ColumnRule){ .name = { 0 } };
}

/* ---- values ---------------------------------------------------------------------------------- */

/* VALUE for people, cut. */
static Str show(const RowValue *value, Buf *out)
{
    row_value_format(out, value);
    return str_cut_utf8(buf_str(out), 60);
}

static int say(RuleFault *fault, const ColumnRule *rule, const char *code, const RowValue *value,
               const char *what)
{
    AUTO(buf_deinit) Buf shown = { 0 };
    Str text = show(value, &shown);

    fault->code = code;
    (void) snprintf(fault->text, sizeof(fault->text), "%.*s: \"%.*s\" %s",
                    (int) MIN(rule->name.len, (size_t) 60), rule->name.data, (int) text.len,
                    text.data, what);
    return RULE_FAULT;
}

/* A text as a time in the rule's own format. */
static int cast_date(const ColumnRule *rule, const RowValue *value, RowValue *ret)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Value date = value_text(value->text);

    arena_init(&arena, 0);
    if (filter_chain_run(rule->date, &arena, NULL, &date) != 0 || date.kind != VALUE_TIME)
        return ROW_CAST_WRONG;
    *ret = row_time_ns(date.time_ns);
    return 0;
}

int column_rule_cast(const ColumnRule *rule, const RowValue *value, Buf *scratch, RowValue *ret,
                     RuleFault *fault)
{
    char what[96];
    int r;

    if (rule->date && value->kind == ROW_TEXT && str_trim(value->text).len > 0)
        r = cast_date(rule, value, ret);
    else
        r = row_cast(value, rule->kind, rule->time_unit, scratch, ret);
    if (r == 0)
        return 0;
    (void) snprintf(what, sizeof(what), "is no %s", row_kind_name(rule->kind));
    return say(fault, rule, "wrong_type", value, what);
}

static bool is_chosen(const ColumnRule *rule, const RowValue *value)
{
    if (value->kind == ROW_TEXT)
        return map_find(&rule->texts, value->text) != NULL;
    for (size_t i = 0; i < rule->n_choice; i++) {
        const RowValue *choice = &rule->choice[i];

        if (choice->kind != value->kind)
            continue;
        if (value->kind == ROW_REAL ? choice->real == value->real
            : value->kind == ROW_BOOL
                ? choice->boolean == value->boolean
                : value->kind != ROW_JSON && choice->integer == value->integer)
            return true;
        if (value->kind == ROW_JSON && str_eq(choice->text, value->text))
            return true;
    }
    return false;
}

static int check_number(const ColumnRule *rule, const RowValue *value, RuleFault *fault)
{
    bool is_below = value->kind == ROW_REAL ? value->real < rule->min
                                            : value->integer < rule->int_min;
    char what[96];

    if (value->kind == ROW_REAL
            ? value->real >= rule->min && value->real <= rule->max
            : value->integer >= rule->int_min && value->integer <= rule->int_max)
        return 0;
    if (value->kind == ROW_REAL && !__builtin_isfinite(value->real))
        return say(fault, rule, "out_of_range", value, "is not finite");
    if (value->kind == ROW_REAL)
        (void) snprintf(what, sizeof(what), "is %s %.15g%s%.*s", is_below ? "below" : "above",
                        is_below ? rule->min : rule->max, rule->unit.len > 0 ? " " : "",
                        (int) MIN(rule->unit.len, (size_t) 16), rule->unit.data);
    else
        (void) snprintf(what, sizeof(what), "is %s %lld", is_below ? "below" : "above",
                        (long long) (is_below ? rule->int_min : rule->int_max));
    return say(fault, rule, "out_of_range", value, what);
}

static int check_time(const ColumnRule *rule, const RowValue *value, int64_t now_ns,
                      RuleFault *fault)
{
    char age[TIME_TEXT_BYTES], what[96];
    int64_t before;

    if (value->time_ns < rule->int_min || value->time_ns > rule->int_max)
        return say(fault, rule, "out_of_range", value,
                   value->time_ns < rule->int_min ? "is before the least that is allowed"
                                                  : "is after the greatest that is allowed");
    if (__builtin_sub_overflow(now_ns, value->time_ns, &before))
        before = value->time_ns < 0 ? INT64_MAX : INT64_MIN + 1;
    if (before > rule->age_ns) {
        (void) duration_format(rule->age_ns / NS_PER_MS, age);
        (void) snprintf(what, sizeof(what), "is more than %s before its arrival", age);
        return say(fault, rule, "too_old", value, what);
    }
    if (rule->ahead_ns < INT64_MAX && before < -rule->ahead_ns) {
        (void) duration_format(rule->ahead_ns / NS_PER_MS, age);
        (void) snprintf(what, sizeof(what), "is more than %s after its arrival", age);
        return say(fault, rule, "too_new", value, what);
    }
    return 0;
}

static size_t count_characters(Str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += ((unsigned char) text.data[i] & 0xc0) != 0x80;
    return n;
}

static int check_text(const ColumnRule *rule, const RowValue *value, RuleFault *fault)
{
    size_t length = rule->length_max < value->text.len || rule->length_min > 0
                        ? count_characters(value->text)
                        : 0;
    char what[96];

    if (length > rule->length_max) {
        (void) snprintf(what, sizeof(what), "has %zu characters, more than %zu", length,
                        rule->length_max);
        return say(fault, rule, "too_long", value, what);
    }
    if (length < rule->length_min) {
        (void) snprintf(what, sizeof(what), "has %zu characters, fewer than %zu", length,
                        rule->length_min);
        return say(fault, rule, "too_short", value, what);
    }
    if (rule->regex && !regex_find(rule->regex, value->text, 0, NULL, 0))
        return say(fault, rule, "no_match", value, "does not match the pattern");
    return 0;
}

int column_rule_check(const ColumnRule *rule, const RowValue *value, int64_t now_ns,
                      RuleFault *fault)
{
    int r = 0;

    if (rule->n_choice > 0 && !is_chosen(rule, value))
        return say(fault, rule, "not_allowed", value, "is none of the values allowed");
    switch (rule->kind) {
    case ROW_REAL:
    case ROW_INT: r = check_number(rule, value, fault); break;
    case ROW_TIME: r = check_time(rule, value, now_ns, fault); break;
    case ROW_TEXT: r = check_text(rule, value, fault); break;
    case ROW_ANY:
    case ROW_BOOL:
    case ROW_JSON: break;
    }
    return r;
}
