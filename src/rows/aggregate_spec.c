/*
 * The texts of --group-by and --agg; see aggregate.h for their grammar.
 */
#include "rows/aggregate_spec.h"

#include "base/err.h"
#include "base/macro.h"
#include "codec/suggest.h"

static const struct {
    const char *word;
    AggregateFunction function;
} functions[] = {
#define AGGREGATE_ROW_(name, word) { word, AGGREGATE_##name },
    AGGREGATE_FUNCTIONS(AGGREGATE_ROW_)
#undef AGGREGATE_ROW_
};

static int find_column(const char *flag, Str name, const RowColumn *columns, size_t n_columns,
                       size_t *ret_column)
{
    Suggest suggest = { .word = name };

    for (size_t c = 0; c < n_columns; c++) {
        suggest_consider(&suggest, columns[c].name);
        if (str_eq(columns[c].name, name)) {
            *ret_column = c;
            return 0;
        }
    }
    return fail(-ERR_INVALID, "%s: the rows have no column \"%.*s\"%s%.*s%s", flag, (int) name.len,
                name.data, suggest.best.len > 0 ? "; did you mean " : "", (int) suggest.best.len,
                suggest.best.data ? suggest.best.data : "", suggest.best.len > 0 ? "?" : "");
}

bool aggregate_percentile_parse(Str word, double *ret_percentile)
{
    double value = 0, unit = 0;

    if (word.len < 2 || word.len > 8 || word.data[0] != 'p')
        return false;
    for (size_t i = 1; i < word.len; i++) {
        char c = word.data[i];

        if (c == '.' && unit == 0 && i > 1) {
            unit = 1;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        if (unit > 0)
            value += (unit /= 10) * (c - '0');
        else
            value = 10 * value + (c - '0');
    }
    *ret_percentile = value;
    return value <= 100;
}

static int parse_function(Str word, AggregateOutput *output)
{
    Suggest suggest = { .word = word };

    output->word = word;
    if (aggregate_percentile_parse(word, &output->percentile)) {
        output->function = AGGREGATE_PERCENTILE;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        suggest_consider(&suggest, str_from_c(functions[i].word));
        if (str_eq_c(word, functions[i].word)) {
            output->function = functions[i].function;
            return 0;
        }
    }
    if (suggest.best.len > 0)
        return fail(-ERR_INVALID, "--agg: unknown function \"%.*s\"; did you mean %.*s?",
                    (int) word.len, word.data, (int) suggest.best.len, suggest.best.data);
    return fail(-ERR_INVALID,
                "--agg: unknown function \"%.*s\"; there are min, max, mean, median, sum, stddev, "
                "count and percentiles such as p90",
                (int) word.len, word.data);
}

static int add_output(AggregateSpec *spec, const AggregateOutput *output)
{
    for (size_t i = 0; i < spec->n_outputs; i++) {
        const AggregateOutput *other = &spec->outputs[i];

        if (other->column == output->column && str_eq(other->word, output->word) &&
            (other->function == AGGREGATE_ROWS) == (output->function == AGGREGATE_ROWS))
            return fail(-ERR_INVALID, "--agg: %.*s is asked for twice", (int) output->word.len,
                        output->word.data);
    }
    if (spec->n_outputs == AGGREGATE_OUTPUTS_MAX)
        return fail(-ERR_INVALID, "--agg: more than %d results", AGGREGATE_OUTPUTS_MAX);
    spec->outputs[spec->n_outputs++] = *output;
    return 0;
}

/* The last colon of ITEM, or its length: a column's name may hold one. */
static size_t last_colon(Str item)
{
    for (size_t i = item.len; i > 0; i--) {
        if (item.data[i - 1] == ':')
            return i - 1;
    }
    return item.len;
}

static int parse_item(AggregateSpec *spec, Str item, const RowColumn *columns, size_t n_columns)
{
    size_t colon = last_colon(item), column;
    Str list = str_sub(item, colon + 1, item.len);
    int r;

    if (str_eq_c(item, "count"))
        return add_output(spec, &(AggregateOutput){ .function = AGGREGATE_ROWS, .word = item });
    if (colon == item.len || str_trim(list).len == 0)
        return fail(-ERR_INVALID,
                    "--agg: \"%.*s\" names no function; write COLUMN:FUNCTION,…, as in "
                    "price:min,median,max",
                    (int) item.len, item.data);
    r = find_column("--agg", str_trim(str_sub(item, 0, colon)), columns, n_columns, &column);
    while (r == 0 && list.len > 0) {
        AggregateOutput output = { .column = column };

        r = parse_function(str_trim(str_cut(list, ',', &list)), &output);
        if (r == 0)
            r = add_output(spec, &output);
    }
    return r;
}

int aggregate_spec_parse(Str group_by, Str text, const RowColumn *columns, size_t n_columns,
                         AggregateSpec *ret_spec)
{
    AggregateSpec *spec = ret_spec;
    int r = 0;

    *spec = (AggregateSpec){ 0 };
    while (group_by.len > 0 && r == 0) {
        Str name = str_trim(str_cut(group_by, ',', &group_by));

        if (spec->n_groups == AGGREGATE_GROUPS_MAX)
            return fail(-ERR_INVALID, "--group-by: more than %d columns", AGGREGATE_GROUPS_MAX);
        r = find_column("--group-by", name, columns, n_columns, &spec->groups[spec->n_groups]);
        for (size_t i = 0; i < spec->n_groups && r == 0; i++) {
            if (spec->groups[i] == spec->groups[spec->n_groups])
                r = fail(-ERR_INVALID, "--group-by: %.*s is named twice", (int) name.len,
                         name.data);
        }
        spec->n_groups++;
    }
    if (r == 0 && str_trim(text).len == 0)
        r = parse_item(spec, str_from_c("count"), columns, n_columns);
    while (r == 0 && text.len > 0)
        r = parse_item(spec, str_trim(str_cut(text, ';', &text)), columns, n_columns);
    return r;
}
