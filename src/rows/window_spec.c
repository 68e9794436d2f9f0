/*
 * The settings of the window step, read and checked.
 *
 *   aggregate: { value: [mean, p99], temp: max, "*": count }
 *   aggregate: "value:mean,p99;temp:max;count"
 *
 * A function of "*", or one that stands alone in the text, is of the rows themselves: count and
 * rate. Results are called value_mean, value_p99; those of the rows count and rate.
 */
#include "rows/window_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/json.h"
#include "codec/suggest.h"
#include "rows/aggregate_spec.h"

#define YEAR_MS (366ll * 24 * 3600 * 1000)

static const char *const late_words[] = { "drop", "refuse", "emit", NULL };
static const SchemaField by_item = ITEM(STR, .range = RANGE(1, 256));

static const SchemaField window_fields[] = {
    FIELD_DURATION(WindowArgs, every_ms, "every", "how often a window ends: 1m",
                   .is_required = true, .range = RANGE(1, YEAR_MS)),
    FIELD_DURATION(
        WindowArgs, size_ms, "size",
        "how long a window is, a multiple of every: longer windows overlap; every, unless "
        "said",
        .range = RANGE(1, YEAR_MS)),
    FIELD_DURATION(
        WindowArgs, offset_ms, "offset",
        "windows begin so much after whole multiples of every since 1970 in UTC: 23h for "
        "days in UTC+1",
        .range = RANGE(0, YEAR_MS)),
    FIELD_STR(WindowArgs, time, "the column with the time of a row", .default_text = "time",
              .range = RANGE(1, 256)),
    FIELD_LIST(WindowArgs, by, &by_item,
               "the columns whose values make a series; none: all rows are one. \"measurement\" is "
               "the name of the rows' table where there is no such column",
               .range = RANGE(0, WINDOW_BY_MAX)),
    FIELD_JSON(
        WindowArgs, aggregate,
        "what is computed of each column: {value: [mean, p99]}, or \"value:mean,p99;count\". "
        "Functions: count, sum, min, max, mean, stddev, median, p0 to p100 (within 1 %), "
        "first, last, rate (rise in a second, from first to last); of the rows themselves, "
        "\"*\": count, rate; without it, their count"),
    FIELD_DURATION(
        WindowArgs, lateness_ms, "lateness",
        "how far behind the newest time a row may be: a window waits so long for its rows",
        .default_text = "10s", .range = RANGE(0, YEAR_MS)),
    FIELD_ENUM(
        WindowArgs, late, late_words,
        "what happens to rows whose window is handed on: they are dropped and counted, refused "
        "to the dead letters, or handed on as a further row of the window with late = true",
        .default_text = "drop"),
    FIELD_DURATION(
        WindowArgs, idle_ms, "idle",
        "after so long without rows, time goes on by the clock, and windows end; 0: they "
        "wait for the next row",
        .default_text = "0s", .range = RANGE(0, YEAR_MS)),
    FIELD_DURATION(
        WindowArgs, max_ahead_ms, "max_ahead",
        "how far ahead of the clock a row's time may be; beyond it is refused, because it "
        "would end every window before it",
        .default_text = "1h", .range = RANGE(0, 50 * YEAR_MS)),
};

const Schema window_args_schema = SCHEMA(WindowArgs, window_fields,
                                         "Aggregates over windows of time, for each series");

/* ---- functions ------------------------------------------------------------------------------- */

static const struct {
    const char *word;
    WindowFunction function;
    unsigned parts;
} functions[] = {
#define WINDOW_ROW_(name, word, parts) { word, WINDOW_##name, parts },
    WINDOW_FUNCTIONS(WINDOW_ROW_)
#undef WINDOW_ROW_
};

static int fail_function(Str word, Suggest *suggest)
{
    if (suggest->best.len > 0)
        return fail(-ERR_INVALID, "aggregate: unknown function \"%.*s\"; did you mean %.*s?",
                    (int) word.len, word.data, (int) suggest->best.len, suggest->best.data);
    return fail(
        -ERR_INVALID,
        "aggregate: unknown function \"%.*s\"; there are count, sum, min, max, mean, stddev, "
        "median, first, last, rate and percentiles such as p99",
        (int) word.len, word.data ? word.data : "");
}

static int parse_function(Str word, WindowOutput *output, unsigned *ret_parts)
{
    Suggest suggest = { .word = word };
    double percentile;

    output->quantile = 0.5;
    if (aggregate_percentile_parse(word, &percentile)) {
        output->function = WINDOW_PERCENTILE;
        output->quantile = percentile / 100;
        *ret_parts = PART(SKETCH);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        suggest_consider(&suggest, str_from_c(functions[i].word));
        if (!str_eq_c(word, functions[i].word))
            continue;
        output->function = functions[i].function;
        *ret_parts = functions[i].parts;
        return 0;
    }
    return fail_function(word, &suggest);
}

/* The measure of COLUMN, made when it is new. */
static size_t measure_of(WindowSpec *spec, Str column)
{
    size_t i = 0;

    while (i < spec->n_measures && !str_eq(spec->measures[i].column, column))
        i++;
    if (i == spec->n_measures)
        spec->measures[spec->n_measures++] =
            (WindowMeasure){ .column = arena_copy(&spec->arena, column), .parts = PART(COUNT) };
    return i;
}

/* Ask for WORD of COLUMN; an empty one: of the rows. */
static int add_output(WindowSpec *spec, Str column, Str word)
{
    WindowOutput *output = &spec->outputs[spec->n_outputs];
    unsigned parts = 0;
    int r;

    if (spec->n_outputs == WINDOW_OUTPUTS_MAX)
        return fail(-ERR_INVALID, "aggregate: more than %d results", WINDOW_OUTPUTS_MAX);
    r = parse_function(word, output, &parts);
    if (r < 0)
        return r;
    output->measure = WINDOW_NO_MEASURE;
    if (column.len == 0 && output->function != WINDOW_COUNT && output->function != WINDOW_RATE)
        return fail(
            -ERR_INVALID,
            "aggregate: %.*s wants a column, as in value:%.*s; of the rows themselves there "
            "are count and rate",
            (int) word.len, word.data, (int) word.len, word.data);
    output->name = arena_copy(&spec->arena, word);
    if (column.len > 0) {
        output->measure = measure_of(spec, column);
        spec->measures[output->measure].parts |= parts;
        output->name = arena_printf(&spec->arena, "%.*s_%.*s", (int) column.len, column.data,
                                    (int) word.len, word.data);
    }
    spec->n_outputs++;
    return 0;
}

/* ---- the two forms --------------------------------------------------------------------------- */

/* "value:mean,p99", "count". */
static int parse_item(WindowSpec *spec, Str item)
{
    size_t colon = item.len;
    Str column, list;
    int r = 0;

    for (size_t i = item.len; i > 0 && colon == item.len; i--) /* a name may hold a colon */
        colon = item.data[i - 1] == ':' ? i - 1 : colon;
    column = colon < item.len ? str_trim(str_sub(item, 0, colon)) : (Str){ 0 };
    list = colon < item.len ? str_sub(item, colon + 1, item.len) : item;
    if (str_trim(list).len == 0 || (colon < item.len && column.len == 0))
        return fail(-ERR_INVALID,
                    "aggregate: \"%.*s\" is not COLUMN:FUNCTION,…, as in value:mean,p99",
                    (int) item.len, item.data ? item.data : "");
    while (r == 0 && list.len > 0)
        r = add_output(spec, str_eq_c(column, "*") ? (Str){ 0 } : column,
                       str_trim(str_cut(list, ',', &list)));
    return r;
}

static int parse_text(WindowSpec *spec, Str text)
{
    int r = 0;

    while (r == 0 && text.len > 0)
        r = parse_item(spec, str_trim(str_cut(text, ';', &text)));
    return r;
}

static int parse_member(WindowSpec *spec, Str column, Json value)
{
    Str word;
    int r = 0;

    if (column.len == 0)
        return fail(-ERR_INVALID, "aggregate: a column without a name; \"*\" stands for the rows");
    if (str_eq_c(column, "*"))
        column = (Str){ 0 };
    if (json_get_str(value, &word))
        return add_output(spec, column, word);
    if (!json_is_array(value) || json_len(value) == 0)
        return fail(-ERR_INVALID, "aggregate: a column wants a function or a list of them");
    for (JsonIter it = json_iter(value); r == 0 && json_next(&it);) {
        if (!json_get_str(it.value, &word))
            return fail(-ERR_INVALID, "aggregate: a function is a word such as mean");
        r = add_output(spec, column, word);
    }
    return r;
}

static int parse_aggregate(WindowSpec *spec, Json value)
{
    Str text;
    int r = 0;

    if (!value || json_is_null(value))
        return add_output(spec, (Str){ 0 }, str_from_c("count"));
    if (json_get_str(value, &text))
        r = parse_text(spec, text);
    else if (!json_is_object(value))
        return fail(-ERR_INVALID, "aggregate: is an object or a text such as value:mean,p99");
    for (JsonIter it = json_iter(json_is_object(value) ? value : NULL); r == 0 && json_next(&it);)
        r = parse_member(spec, it.key, it.value);
    if (r == 0 && spec->n_outputs == 0)
        return fail(-ERR_INVALID, "aggregate: asks for nothing");
    return r;
}

/* ---- all together ---------------------------------------------------------------------------- */

/* Say where in a group each part of each cell is. */
static void place_cells(WindowSpec *spec)
{
    static const size_t part_bytes[] = {
#define WINDOW_PART_BYTES_(name, type) sizeof(type),
        WINDOW_PARTS(WINDOW_PART_BYTES_)
#undef WINDOW_PART_BYTES_
    };
    size_t at = sizeof(WindowGroup);

    for (size_t i = 0; i < spec->n_measures; i++) {
        for (size_t part = 0; part < ARRAY_LEN(part_bytes); part++) {
            if (!(spec->measures[i].parts & 1u << part))
                continue;
            spec->measures[i].at[part] = (uint16_t) at;
            spec->has_sketches |= part == WINDOW_PART_SKETCH;
            at += part_bytes[part];
        }
    }
    ASSERT(at <= UINT16_MAX && at % 8 == 0);
    spec->group_bytes = at;
}

/* No two columns of the results have one name. */
static int check_names(const WindowSpec *spec)
{
    Str names[WINDOW_BY_MAX + WINDOW_OUTPUTS_MAX + 3];
    size_t n = 0;

    for (size_t i = 0; i < spec->n_by; i++)
        names[n++] = spec->by[i];
    names[n++] = str_from_c("window_start");
    names[n++] = str_from_c("window_end");
    if (spec->late == WINDOW_LATE_EMIT)
        names[n++] = str_from_c("late");
    for (size_t i = 0; i < spec->n_outputs; i++)
        names[n++] = spec->outputs[i].name;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (str_eq(names[i], names[k]))
                return fail(-ERR_INVALID, "two columns of the result are called %.*s",
                            (int) names[i].len, names[i].data);
        }
    }
    return 0;
}

static int check_times(const WindowSpec *spec)
{
    if (spec->size_ns % spec->every_ns != 0)
        return fail(-ERR_INVALID, "size: must be a multiple of every");
    if (spec->n_panes > LIMIT_WINDOW_OVERLAP)
        return fail(-ERR_INVALID, "size: at most %d times every", LIMIT_WINDOW_OVERLAP);
    if (spec->late == WINDOW_LATE_EMIT && spec->n_panes > 1)
        return fail(-ERR_INVALID, "late: emit is for windows that do not overlap");
    return 0;
}

int window_spec_init(WindowSpec *spec, const WindowArgs *args)
{
    const Str *by = args->by.items;
    int64_t size_ms = args->size_ms > 0 ? args->size_ms : args->every_ms;
    int r;

    *spec = (WindowSpec){ .every_ns = args->every_ms * NS_PER_MS,
                          .size_ns = size_ms * NS_PER_MS,
                          .offset_ns = args->offset_ms % args->every_ms * NS_PER_MS,
                          .lateness_ns = args->lateness_ms * NS_PER_MS,
                          .idle_ns = args->idle_ms * NS_PER_MS,
                          .max_ahead_ns = args->max_ahead_ms * NS_PER_MS,
                          .n_panes = size_ms / args->every_ms,
                          .late = (WindowLate) args->late,
                          .n_by = args->by.len };
    ASSERT(spec->n_by <= WINDOW_BY_MAX);
    arena_init(&spec->arena, 0);
    spec->time = arena_copy(&spec->arena, args->time);
    for (size_t i = 0; i < spec->n_by; i++)
        spec->by[i] = arena_copy(&spec->arena, by[i]);
    r = check_times(spec);
    if (r == 0)
        r = parse_aggregate(spec, args->aggregate.value);
    if (r == 0)
        r = check_names(spec);
    if (r < 0)
        return r;
    place_cells(spec);
    return 0;
}

void window_spec_deinit(WindowSpec *spec)
{
    arena_deinit(&spec->arena);
    *spec = (WindowSpec){ 0 };
}
