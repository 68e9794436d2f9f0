/*
 * Aggregates over rows; see the header.
 *
 * A group is found by the text of its values in a hash table and keeps, for each column that is
 * asked about, a running count, sum, mean and variance (Welford's way, which does not lose digits),
 * least and greatest; the values themselves only where a median or a percentile wants them. Sums
 * are compensated (Neumaier), so that a million prices of 0.10 are 100000.00.
 */
#include "rows/aggregate.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "rows/aggregate_spec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DECIMALS_MAX   9
#define DECIMALS_EXTRA 2   /* of mean, stddev and percentiles */
#define NUMBER_BYTES   400 /* the longest %f of a double, with its decimals */

/* What a group knows of one column. */
typedef struct Measure {
    uint64_t count;
    double sum;
    double lost; /* what the sum lost by rounding */
    double mean;
    double squares; /* of the distances from the mean */
    double min;
    double max;
    double *values; /* owned; NULL unless kept */
    size_t cap_values;
} Measure;

typedef struct Group {
    RowValue keys[AGGREGATE_GROUPS_MAX]; /* texts in the arena */
    uint64_t rows;
    Measure *measures; /* in the arena */
} Group;

/* A column of the rows that is asked about. */
typedef struct Asked {
    size_t column;
    bool is_kept; /* the values themselves are */
    int decimals; /* the most that entered */
} Asked;

struct Aggregate {
    AggregateSpec spec;
    Asked asked[AGGREGATE_OUTPUTS_MAX];
    size_t n_asked;
    size_t asked_of[AGGREGATE_OUTPUTS_MAX]; /* for each output, the index in asked */
    RowColumn *columns;                     /* of the result; owned, names in the arena */
    size_t n_columns;
    Map map;
    Group **groups; /* owned; the groups are in the arena */
    size_t n_groups;
    size_t cap_groups;
    size_t n_values; /* kept by all groups */
    uint64_t left_out;
    size_t next; /* group to give */
    bool is_finished;
    Arena arena;
    Buf key;
};

/* ---- making one ------------------------------------------------------------------------------ */

static void ask(Aggregate *aggregate, size_t index)
{
    const AggregateOutput *output = &aggregate->spec.outputs[index];
    size_t i = 0;

    if (output->function == AGGREGATE_ROWS)
        return;
    while (i < aggregate->n_asked && aggregate->asked[i].column != output->column)
        i++;
    if (i == aggregate->n_asked)
        aggregate->asked[aggregate->n_asked++] = (Asked){ .column = output->column };
    aggregate->asked[i].is_kept |= output->function == AGGREGATE_MEDIAN ||
                                   output->function == AGGREGATE_PERCENTILE;
    aggregate->asked_of[index] = i;
}

static void name_columns(Aggregate *aggregate, const RowColumn *columns)
{
    const AggregateSpec *spec = &aggregate->spec;

    aggregate->columns = mem_new_array(RowColumn, spec->n_groups + spec->n_outputs);
    for (size_t i = 0; i < spec->n_groups; i++)
        aggregate->columns[aggregate->n_columns++] = columns[spec->groups[i]];
    for (size_t i = 0; i < spec->n_outputs; i++) {
        const AggregateOutput *output = &spec->outputs[i];
        const RowColumn *source = &columns[output->column];
        bool is_count = output->function == AGGREGATE_COUNT || output->function == AGGREGATE_ROWS;
        RowColumn *column = &aggregate->columns[aggregate->n_columns++];

        *column = (RowColumn){ .kind = is_count ? ROW_INT : ROW_REAL, .is_needed = true };
        if (output->function == AGGREGATE_ROWS) {
            column->name = arena_copy(&aggregate->arena, output->word);
            continue;
        }
        column->name = arena_printf(&aggregate->arena, "%.*s_%.*s", (int) source->name.len,
                                    source->name.data, (int) output->word.len, output->word.data);
        column->unit = is_count ? (Str){ 0 } : source->unit;
    }
}

/* Names of results may meet those of groups: `count` grouped by a column called count. */
static int check_names(const Aggregate *aggregate)
{
    for (size_t i = 0; i < aggregate->n_columns; i++) {
        for (size_t k = 0; k < i; k++) {
            Str name = aggregate->columns[i].name;

            if (str_eq(name, aggregate->columns[k].name))
                return fail(-ERR_INVALID, "--agg: two results are called %.*s", (int) name.len,
                            name.data);
        }
    }
    return 0;
}

int aggregate_new(Aggregate **ret_aggregate, const AggregateOpts *opts)
{
    AUTO(aggregate_free) Aggregate *aggregate = mem_new(Aggregate);
    int r;

    arena_init(&aggregate->arena, 4 * (size_t) LIMIT_ARENA_BYTES);
    r = aggregate_spec_parse(opts->group_by, opts->spec, opts->columns, opts->n_columns,
                             &aggregate->spec);
    if (r < 0)
        return r;
    for (size_t i = 0; i < aggregate->spec.n_outputs; i++)
        ask(aggregate, i);
    name_columns(aggregate, opts->columns);
    r = check_names(aggregate);
    if (r < 0)
        return r;
    *ret_aggregate = TAKE(aggregate);
    return 0;
}

void aggregate_free(Aggregate *aggregate)
{
    if (!aggregate)
        return;
    for (size_t i = 0; i < aggregate->n_groups; i++) {
        for (size_t k = 0; k < aggregate->n_asked; k++)
            mem_free(aggregate->groups[i]->measures[k].values);
    }
    mem_free(aggregate->groups);
    mem_free(aggregate->columns);
    map_deinit(&aggregate->map);
    arena_deinit(&aggregate->arena);
    buf_deinit(&aggregate->key);
    mem_free(aggregate);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* How many decimals DIGITS have; -1 when they are no plain number. */
static int decimals_of(Str digits)
{
    int decimals = 0;
    bool has_digit = false, has_point = false;

    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.data[i];

        if ((c == '-' || c == '+') && i == 0)
            continue;
        if (c == '.' && !has_point) {
            has_point = true;
            continue;
        }
        if (c < '0' || c > '9')
            return -1;
        has_digit = true;
        decimals += has_point;
    }
    return has_digit ? MIN(decimals, DECIMALS_MAX) : -1;
}

/* VALUE as a number and its decimals; false when it is none. */
static bool number_of(const RowValue *value, double *ret_number, int *ret_decimals)
{
    AUTO(buf_deinit) Buf text = { 0 };
    char copy[64];

    *ret_decimals = 0;
    switch (value->kind) {
    case ROW_INT: *ret_number = (double) value->integer; return true;
    case ROW_REAL:
        *ret_number = value->real;
        if (!isfinite(value->real))
            return false;
        *ret_decimals = decimals_of(value->text);
        if (*ret_decimals < 0) {
            row_value_format(&text, &(RowValue){ .kind = ROW_REAL, .real = value->real });
            *ret_decimals = decimals_of(buf_str(&text));
        }
        *ret_decimals = *ret_decimals < 0 ? DECIMALS_MAX : *ret_decimals;
        return true;
    case ROW_TEXT:
        *ret_decimals = decimals_of(str_trim(value->text));
        if (*ret_decimals < 0 || str_trim(value->text).len >= sizeof(copy))
            return false;
        (void) snprintf(copy, sizeof(copy), "%.*s", (int) str_trim(value->text).len,
                        str_trim(value->text).data);
        *ret_number = strtod(copy, NULL);
        return true;
    case ROW_ANY:
    case ROW_BOOL:
    case ROW_TIME:
    case ROW_JSON: return false;
    }
    UNREACHABLE("all kinds are above");
}

static int keep_value(Aggregate *aggregate, Measure *measure, double number)
{
    if (aggregate->n_values >= LIMIT_AGGREGATE_VALUES)
        return fail(-ERR_TOO_LARGE, "--agg: more than %d values for medians and percentiles",
                    LIMIT_AGGREGATE_VALUES);
    if (measure->count == measure->cap_values) {
        size_t cap = MAX(2 * measure->cap_values, (size_t) 8);
        double *grown = mem_try_resize(measure->values, cap * sizeof(double));

        if (!grown)
            return fail(-ENOMEM, "--agg: %zu values", aggregate->n_values);
        measure->values = grown;
        measure->cap_values = cap;
    }
    measure->values[measure->count] = number;
    aggregate->n_values++;
    return 0;
}

static int add_number(Aggregate *aggregate, const Asked *asked, Measure *measure, double number)
{
    double sum = measure->sum + number, distance = number - measure->mean;
    int r = asked->is_kept ? keep_value(aggregate, measure, number) : 0;

    if (r < 0)
        return r;
    measure->lost += fabs(measure->sum) >= fabs(number) ? measure->sum - sum + number
                                                        : number - sum + measure->sum;
    measure->sum = sum;
    measure->min = measure->count == 0 ? number : MIN(measure->min, number);
    measure->max = measure->count == 0 ? number : MAX(measure->max, number);
    measure->count++;
    measure->mean += distance / (double) measure->count;
    measure->squares += distance * (number - measure->mean);
    return 0;
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* The group's values as bytes, each with its kind and length before it. */
static void make_key(Aggregate *aggregate, const RowValue *row)
{
    Buf *key = &aggregate->key;

    buf_reset(key);
    for (size_t i = 0; i < aggregate->spec.n_groups; i++) {
        const RowValue *value = &row[aggregate->spec.groups[i]];
        size_t at = key->len, len;

        buf_add_char(key, (char) value->kind);
        buf_add(key, &at, sizeof(at));
        row_value_format(key, value);
        len = key->len - at;
        if (!key->is_failed)
            memcpy(key->data + at + 1, &len, sizeof(len));
    }
}

static int find_group(Aggregate *aggregate, const RowValue *row, Group **ret_group)
{
    Group *group;

    make_key(aggregate, row);
    group = map_find(&aggregate->map, buf_str(&aggregate->key));
    if (group) {
        *ret_group = group;
        return 0;
    }
    if (aggregate->n_groups >= LIMIT_AGGREGATE_GROUPS ||
        aggregate->arena.total_bytes > 2 * (size_t) LIMIT_ARENA_BYTES ||
        aggregate->key.len > LIMIT_AGGREGATE_KEY_BYTES)
        return fail(-ERR_TOO_LARGE, "--group-by: more than %d groups, or one of more than %d bytes",
                    LIMIT_AGGREGATE_GROUPS, LIMIT_AGGREGATE_KEY_BYTES);
    if (aggregate->n_groups == aggregate->cap_groups) {
        aggregate->cap_groups = MAX(2 * aggregate->cap_groups, (size_t) 16);
        aggregate->groups = mem_resize_array(aggregate->groups, aggregate->cap_groups,
                                             sizeof(Group *));
    }
    group = arena_new(&aggregate->arena, Group);
    group->measures = arena_zalloc(&aggregate->arena,
                                   MAX(aggregate->n_asked, (size_t) 1) * sizeof(Measure));
    for (size_t i = 0; i < aggregate->spec.n_groups; i++) {
        group->keys[i] = row[aggregate->spec.groups[i]];
        group->keys[i].text = arena_copy(&aggregate->arena, group->keys[i].text);
    }
    (void) map_put(&aggregate->map, buf_str(&aggregate->key), group);
    aggregate->groups[aggregate->n_groups++] = group;
    *ret_group = group;
    return 0;
}

static int add_row(Aggregate *aggregate, const RowValue *row)
{
    Group *group = NULL;
    int r = find_group(aggregate, row, &group);

    if (r < 0)
        return r;
    group->rows++;
    for (size_t i = 0; i < aggregate->n_asked && r == 0; i++) {
        Asked *asked = &aggregate->asked[i];
        double number;
        int decimals;

        if (!number_of(&row[asked->column], &number, &decimals)) {
            aggregate->left_out++;
            continue;
        }
        asked->decimals = MAX(asked->decimals, decimals);
        r = add_number(aggregate, asked, &group->measures[i], number);
    }
    return r;
}

int aggregate_add(Aggregate *aggregate, const RowBatch *batch)
{
    int r = 0;

    ASSERT(!aggregate->is_finished);
    for (size_t i = 0; i < row_batch_count(batch) && r == 0; i++)
        r = add_row(aggregate, row_batch_row(batch, i));
    return r;
}

/* ---- results --------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

static int compare_values(const RowValue *a, const RowValue *b)
{
    bool is_number_a = a->kind == ROW_INT || a->kind == ROW_REAL;
    bool is_number_b = b->kind == ROW_INT || b->kind == ROW_REAL;

    if (is_number_a && is_number_b) {
        double x = a->kind == ROW_INT ? (double) a->integer : a->real;
        double y = b->kind == ROW_INT ? (double) b->integer : b->real;

        return (x > y) - (x < y);
    }
    if (a->kind != b->kind) /* no value stands last */
        return a->kind == ROW_ANY ? 1 : b->kind == ROW_ANY ? -1 : (int) a->kind - (int) b->kind;
    if (a->kind == ROW_TIME)
        return (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
    if (a->kind == ROW_BOOL)
        return (int) a->boolean - (int) b->boolean;
    return str_cmp(a->text, b->text);
}

static int compare_groups(const void *a, const void *b)
{
    const Group *x = *(Group *const *) a, *y = *(Group *const *) b;

    for (size_t i = 0; i < AGGREGATE_GROUPS_MAX; i++) {
        int order = compare_values(&x->keys[i], &y->keys[i]);

        if (order != 0)
            return order;
    }
    return 0;
}

void aggregate_finish(Aggregate *aggregate)
{
    if (aggregate->n_groups > 1)
        qsort(aggregate->groups, aggregate->n_groups, sizeof(Group *), compare_groups);
    for (size_t i = 0; i < aggregate->n_groups; i++) {
        for (size_t k = 0; k < aggregate->n_asked; k++) {
            Measure *measure = &aggregate->groups[i]->measures[k];

            if (measure->values)
                qsort(measure->values, measure->count, sizeof(double), compare_doubles);
        }
    }
    aggregate->is_finished = true;
}

static double percentile_of(const Measure *measure, double percentile)
{
    double place = percentile / 100 * (double) (measure->count - 1), part;
    size_t low = (size_t) place;

    part = place - (double) low;
    if (low + 1 >= measure->count || part <= 0)
        return measure->values[MIN(low, (size_t) measure->count - 1)];
    return measure->values[low] + part * (measure->values[low + 1] - measure->values[low]);
}

/* NUMBER with DECIMALS, and up to EXTRA more where they are not zeros. */
static RowValue rounded(RowBatch *batch, double number, int decimals, int extra)
{
    char text[NUMBER_BYTES];
    size_t len;

    len = (size_t) snprintf(text, sizeof(text), "%.*f", decimals + extra, number);
    ASSERT(len < sizeof(text));
    for (int i = 0; i < extra && len > 0 && text[len - 1] == '0'; i++)
        len--;
    if (len > 0 && text[len - 1] == '.')
        len--;
    if (str_eq_c(str_from(text, len), "-0"))
        return row_real(0, row_batch_copy(batch, str_from_c("0")));
    text[len] = '\0';
    return row_real(strtod(text, NULL), row_batch_copy(batch, str_from(text, len)));
}

static RowValue result_of(const Aggregate *aggregate, const Group *group, size_t index,
                          RowBatch *batch)
{
    const AggregateOutput *output = &aggregate->spec.outputs[index];
    size_t asked = aggregate->asked_of[index];
    const Measure *measure = &group->measures[asked];
    int decimals = aggregate->asked[asked].decimals;

    if (output->function == AGGREGATE_ROWS)
        return row_integer((int64_t) group->rows);
    if (output->function == AGGREGATE_COUNT)
        return row_integer((int64_t) measure->count);
    if (measure->count == 0)
        return row_null();
    switch (output->function) {
    case AGGREGATE_MIN: return rounded(batch, measure->min, decimals, 0);
    case AGGREGATE_MAX: return rounded(batch, measure->max, decimals, 0);
    case AGGREGATE_SUM: return rounded(batch, measure->sum + measure->lost, decimals, 0);
    case AGGREGATE_MEAN:
        return rounded(batch, (measure->sum + measure->lost) / (double) measure->count, decimals,
                       DECIMALS_EXTRA);
    case AGGREGATE_MEDIAN:
        return rounded(batch, percentile_of(measure, 50), decimals, DECIMALS_EXTRA);
    case AGGREGATE_PERCENTILE:
        return rounded(batch, percentile_of(measure, output->percentile), decimals, DECIMALS_EXTRA);
    case AGGREGATE_STDDEV:
        if (measure->count < 2)
            return row_null();
        return rounded(batch, sqrt(measure->squares / (double) (measure->count - 1)), decimals,
                       DECIMALS_EXTRA);
    case AGGREGATE_COUNT:
    case AGGREGATE_ROWS: break;
    }
    UNREACHABLE("all functions are above");
}

bool aggregate_next(Aggregate *aggregate, RowBatch *batch)
{
    size_t n_groups = aggregate->spec.n_groups;

    ASSERT(aggregate->is_finished);
    row_batch_reset(batch);
    while (aggregate->next < aggregate->n_groups) {
        const Group *group = aggregate->groups[aggregate->next];
        RowValue *row = row_batch_add(batch);

        if (!row)
            break;
        for (size_t i = 0; i < n_groups; i++) {
            row[i] = group->keys[i];
            row[i].text = row_batch_copy(batch, group->keys[i].text);
        }
        for (size_t i = 0; i < aggregate->spec.n_outputs; i++)
            row[n_groups + i] = result_of(aggregate, group, i, batch);
        aggregate->next++;
    }
    return row_batch_count(batch) > 0;
}

const RowColumn *aggregate_columns(const Aggregate *aggregate, size_t *ret_n)
{
    *ret_n = aggregate->n_columns;
    return aggregate->columns;
}

uint64_t aggregate_left_out(const Aggregate *aggregate)
{
    return aggregate->left_out;
}
