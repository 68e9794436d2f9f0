/*
 * validate: rows against declared columns.
 *
 *   validate:
 *     columns:
 *       time:   { kind: time, required: true, max_age: 1h, max_ahead: 1m }
 *       sensor: { kind: text, required: true, pattern: '^t-[0-9]+$' }
 *       value:  { kind: number, unit: degC, from: degF, min: -40, max: 125 }
 *       state:  { kind: text, one_of: [on, off], default: on }
 *     unknown: drop
 *
 * Text is converted to the declared kind, so that CSV becomes typed. A row with a wrong value is
 * refused ("wrong_type", "out_of_range", "missing" …) and goes to the dead letters as it came.
 *
 * The rows get their columns first (rows/derive). Then each rule goes down its column in a loop
 * that passes over what is plainly good; all else is looked at by itself (column_rule). The first
 * rule that a row breaks is the one that it is refused for. Units are changed last, in the rows
 * that are left, so that what is refused is as it came.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/column_rule.h"
#include "rows/derive.h"
#include "rows/step.h"

#include <stdio.h>

#define STAGE         "validate"
#define CACHED_SHAPES 16

typedef enum Unknown { UNKNOWN_KEEP, UNKNOWN_DROP, UNKNOWN_REFUSE } Unknown;

typedef struct ValidateArgs {
    SchemaJson columns;
    int unknown;
} ValidateArgs;

static const char *const unknown_words[] = { "keep", "drop", "refuse", NULL };

static const SchemaField validate_fields[] = {
    FIELD_JSON(ValidateArgs, columns,
               "what each column must be: its kind, or an object of kind, required, min, max, "
               "one_of, default, pattern, min_length, max_length, unit, from, precision, format, "
               "max_age, max_ahead, otherwise",
               .is_required = true),
    FIELD_ENUM(ValidateArgs, unknown, unknown_words,
               "other columns: keep them, drop them, or refuse rows that have them",
               .default_text = "keep"),
};
static const Schema validate_args = SCHEMA(ValidateArgs, validate_fields,
                                           "Settings of the step validate.");

/* What is done with parcels of one shape and width. */
typedef struct ValidatePlan {
    Derived derived;
    size_t *at;    /* where the column of each rule stands afterwards */
    size_t *extra; /* columns of the parcel that nobody declared; for UNKNOWN_REFUSE */
    size_t n_extra;
} ValidatePlan;

typedef struct Validate {
    Unknown unknown;
    ColumnRule *rules;
    size_t n_rules;
    Shapes *made;
    StepCache plans[CACHED_SHAPES];
    Buf scratch;
} Validate;

/* ---- open and close -------------------------------------------------------------------------- */

static void free_plan(void *ptr)
{
    ValidatePlan *plan = ptr;

    derived_deinit(&plan->derived);
    mem_free(plan->extra);
    mem_free(plan->at);
    mem_free(plan);
}

static void validate_close(void *state)
{
    Validate *validate = state;

    if (!validate)
        return;
    step_cache_deinit(validate->plans, CACHED_SHAPES, free_plan);
    for (size_t i = 0; i < validate->n_rules; i++)
        column_rule_deinit(&validate->rules[i]);
    mem_free(validate->rules);
    shapes_free(validate->made);
    buf_deinit(&validate->scratch);
    mem_free(validate);
}

static void close_state(Validate *validate)
{
    validate_close(validate);
}
DEFINE_AUTO(Validate *, close_state);

static bool is_declared(const Validate *validate, Str name, size_t *ret_index)
{
    for (size_t i = 0; i < validate->n_rules; i++) {
        if (str_eq(validate->rules[i].name, name)) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static int read_columns(Validate *validate, Json columns)
{
    JsonPath outer = { .key = str_from_c("columns") };
    size_t twin;

    if (!json_is_object(columns) || json_len(columns) == 0 ||
        json_len(columns) > LIMIT_SHAPE_COLUMNS)
        return fail(-ERR_INVALID, "columns: must be an object of 1 to %d columns",
                    LIMIT_SHAPE_COLUMNS);
    validate->rules = mem_new_array(ColumnRule, json_len(columns));
    for (JsonIter it = json_iter(columns); json_next(&it);) {
        JsonPath at = { .outer = &outer, .key = it.key };
        int r = 0;

        if (it.key.len == 0 || is_declared(validate, it.key, &twin))
            return fail(-ERR_INVALID, "columns: a name is empty or occurs twice");
        if (!json_is_string(it.value) && !json_is_object(it.value))
            return fail(-ERR_INVALID, "columns.%.*s: must be a kind or an object", (int) it.key.len,
                        it.key.data);
        r = column_rule_init(&validate->rules[validate->n_rules++], it.key, it.value, &at);
        if (r < 0)
            return r;
    }
    return 0;
}

static int validate_open(const StepOpts *opts, void **ret_state)
{
    const ValidateArgs *args = opts->args;
    AUTO(close_state) Validate *validate = mem_new(Validate);
    int r;

    validate->unknown = (Unknown) args->unknown;
    validate->made = shapes_new();
    r = read_columns(validate, args->columns.value);
    if (r < 0)
        return r;
    *ret_state = TAKE(validate);
    return 0;
}

/* ---- plans ----------------------------------------------------------------------------------- */

/* The column of PARCEL that RULE is about, or SHAPE_NONE. */
static size_t find_column(const Parcel *parcel, Str name)
{
    size_t index = shape_find(parcel->shape, name, 0);

    return index < parcel->rows.n_columns ? index : SHAPE_NONE;
}

/* A declared column as it will be. Without a unit of its own it keeps the one it had. */
static DeriveColumn declared(const ColumnRule *rule, const Parcel *parcel)
{
    size_t from = find_column(parcel, rule->name);
    const RowColumn *old = from == SHAPE_NONE ? NULL : &parcel->rows.columns[from];

    return (DeriveColumn){ .name = rule->name,
                           .kind = rule->kind == ROW_ANY && old ? old->kind : rule->kind,
                           .unit = rule->unit.len > 0 || !old ? rule->unit : old->unit,
                           .from = from };
}

/*
 * The columns afterwards. Where others are kept all stand where they stood, and what is missing
 * comes behind them; so rows that are right already stay as they are.
 */
static size_t list_columns(const Validate *validate, const Parcel *parcel, ValidatePlan *plan,
                           DeriveColumn *columns)
{
    size_t n = 0, index;

    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        const RowColumn *old = &parcel->rows.columns[c];

        if (is_declared(validate, old->name, &index))
            columns[n++] = declared(&validate->rules[index], parcel);
        else if (validate->unknown == UNKNOWN_KEEP)
            columns[n++] = (DeriveColumn){ old->name, old->kind, old->unit, c };
        else
            plan->extra[plan->n_extra++] = c;
    }
    for (size_t i = 0; i < validate->n_rules; i++) {
        if (find_column(parcel, validate->rules[i].name) == SHAPE_NONE)
            columns[n++] = declared(&validate->rules[i], parcel);
    }
    return n;
}

static int make_plan(Validate *validate, const Parcel *parcel, ValidatePlan **ret_plan)
{
    size_t most = parcel->rows.n_columns + validate->n_rules;
    ValidatePlan *plan = mem_new(ValidatePlan);
    DeriveColumn *columns = mem_new_array(DeriveColumn, most);
    size_t n;
    int r;

    plan->extra = mem_new_array(size_t, parcel->rows.n_columns);
    n = list_columns(validate, parcel, plan, columns);
    r = derive(validate->made, parcel, columns, n,
               validate->unknown == UNKNOWN_KEEP ? DERIVE_AS_BEFORE : DERIVE_SEALED,
               &plan->derived);
    mem_free(columns);
    if (r < 0) {
        free_plan(plan);
        return r;
    }
    plan->at = mem_new_array(size_t, validate->n_rules);
    for (size_t i = 0; i < validate->n_rules; i++)
        plan->at[i] = shape_find(plan->derived.shape, validate->rules[i].name, i);
    *ret_plan = plan;
    return 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* One rule on its way down a column. */
typedef struct Descent {
    Validate *validate;
    Parcel *parcel;
    const ColumnRule *rule;
    size_t column;
    int64_t now_ns;
    int64_t time_min, time_max; /* TIME: what is plainly good */
} Descent;

static void refuse(Descent *at, size_t row, const char *code, const char *text)
{
    if (at->parcel->fates[row] == FATE_OPEN)
        parcel_refuse(at->parcel, row, STAGE, code, "%s", text);
}

/* A value that is not there. */
static void look_at_null(Descent *at, size_t row, RowValue *value)
{
    char text[REFUSAL_TEXT_BYTES];

    if (at->rule->fallback.kind != ROW_ANY) {
        if (!at->rule->has_change)
            *value = at->rule->fallback;
    } else if (at->rule->is_required) {
        (void) snprintf(text, sizeof(text), "%.*s is missing",
                        (int) MIN(at->rule->name.len, (size_t) 100), at->rule->name.data);
        refuse(at, row, "missing", text);
    }
}

/* Put what was cast in its place; a text that was made is kept with the parcel. */
static bool settle(Descent *at, RowValue *value, RowValue cast)
{
    if (cast.text.len > 0 && cast.text.data == at->validate->scratch.data) {
        size_t len = cast.text.len;

        cast.text = parcel_copy_text(at->parcel, cast.text);
        if (cast.text.len < len)
            return false;
    }
    *value = cast;
    return true;
}

static void look_at(Descent *at, size_t row, RowValue *value)
{
    RowValue cast, changed;
    RuleFault fault;
    int r = 0;

    if (value->kind == ROW_ANY) {
        look_at_null(at, row, value);
        return;
    }
    r = column_rule_cast(at->rule, value, &at->validate->scratch, &cast, &fault);
    if (r == 0 && cast.kind == ROW_ANY) {
        *value = cast;
        look_at_null(at, row, value);
        return;
    }
    changed = cast;
    if (r == 0 && at->rule->has_change)
        changed = row_real(column_rule_change(at->rule, cast.real), (Str){ 0 });
    if (r == 0)
        r = column_rule_check(at->rule, &changed, at->now_ns, &fault);
    if (r != 0 && at->rule->otherwise == RULE_NULL) {
        *value = row_gap(ROW_GAP_WRONG);
        look_at_null(at, row, value);
    } else if (r != 0) {
        refuse(at, row, fault.code, fault.text);
    } else if (!settle(at, value, cast)) {
        refuse(at, row, "too_large", "the texts of its batch are more than it may hold");
    }
}

/* Whether VALUE is plainly good: of the rule's kind and within its bounds. */
static inline bool is_good(const Descent *at, RowKind kind, const RowValue *value)
{
    const ColumnRule *rule = at->rule;

    if (UNLIKELY(value->kind != kind))
        return false;
    switch (kind) {
    case ROW_REAL: return value->real >= rule->min && value->real <= rule->max;
    case ROW_INT: return value->integer >= rule->int_min && value->integer <= rule->int_max;
    case ROW_TIME: return value->time_ns >= at->time_min && value->time_ns <= at->time_max;
    case ROW_TEXT: return value->text.len <= rule->length_max;
    case ROW_BOOL:
    case ROW_JSON: return true;
    case ROW_ANY: break;
    }
    return false;
}

/* Down a column whose KIND is a constant where this is inlined. */
static inline __attribute__((always_inline)) void descend_as(Descent *at, RowKind kind)
{
    size_t n = at->parcel->rows.n_rows, width = at->parcel->rows.n_columns;
    RowValue *value = at->parcel->rows.values + at->column;

    for (size_t i = 0; i < n; i++, value += width) {
        if (UNLIKELY(!is_good(at, kind, value)))
            look_at(at, i, value);
    }
}

static void descend_slowly(Descent *at)
{
    for (size_t i = 0; i < at->parcel->rows.n_rows; i++)
        look_at(at, i, parcel_row(at->parcel, i) + at->column);
}

static void descend(Descent *at)
{
    if (!at->rule->is_plain || at->rule->has_change) {
        descend_slowly(at);
        return;
    }
    switch (at->rule->kind) {
    case ROW_REAL: descend_as(at, ROW_REAL); return;
    case ROW_INT: descend_as(at, ROW_INT); return;
    case ROW_TIME: descend_as(at, ROW_TIME); return;
    case ROW_TEXT: descend_as(at, ROW_TEXT); return;
    case ROW_BOOL: descend_as(at, ROW_BOOL); return;
    case ROW_JSON: descend_as(at, ROW_JSON); return;
    case ROW_ANY: break;
    }
    descend_slowly(at);
}

/* The times that are plainly good, where RULE looks at their age. */
static void set_times(Descent *at)
{
    int64_t from, to;

    if (__builtin_sub_overflow(at->now_ns, at->rule->age_ns, &from))
        from = INT64_MIN;
    if (__builtin_add_overflow(at->now_ns, at->rule->ahead_ns, &to))
        to = INT64_MAX;
    at->time_min = MAX(at->rule->int_min, at->rule->age_ns == INT64_MAX ? INT64_MIN : from);
    at->time_max = MIN(at->rule->int_max, to);
}

/* The default, which is in the unit that is wanted, is put in here, too. */
static void change_units(Parcel *parcel, const ColumnRule *rule, size_t column)
{
    for (size_t i = 0; i < parcel->rows.n_rows; i++) {
        RowValue *value = parcel_row(parcel, i) + column;

        if (parcel->fates[i] != FATE_OPEN)
            continue;
        if (value->kind == ROW_REAL)
            *value = row_real(column_rule_change(rule, value->real), (Str){ 0 });
        else if (rule->fallback.kind != ROW_ANY)
            *value = rule->fallback;
    }
}

/* Rows that have a value in a column that nobody declared. */
static void refuse_unknown(Parcel *parcel, const ValidatePlan *plan)
{
    for (size_t i = 0; i < parcel->rows.n_rows; i++) {
        const RowValue *row = parcel_row(parcel, i);

        for (size_t k = 0; k < plan->n_extra; k++) {
            Str name = parcel->rows.columns[plan->extra[k]].name;

            if (row[plan->extra[k]].kind == ROW_ANY)
                continue;
            parcel_refuse(parcel, i, STAGE, "unknown_column", "there is no column \"%.*s\"",
                          (int) MIN(name.len, (size_t) 100), name.data);
            break;
        }
    }
}

static int validate_run(void *state, StepRun *run)
{
    Validate *validate = state;
    Parcel *parcel = run->parcel;
    ValidatePlan *plan = step_cache_find(validate->plans, CACHED_SHAPES, parcel);
    int r;

    if (!plan) {
        r = make_plan(validate, parcel, &plan);
        if (r < 0)
            return r;
        step_cache_put(validate->plans, CACHED_SHAPES, parcel, plan, free_plan);
    }
    if (validate->unknown == UNKNOWN_REFUSE && plan->n_extra > 0) {
        refuse_unknown(parcel, plan);
        parcel_compact(parcel);
    }
    derived_apply(&plan->derived, parcel);
    for (size_t i = 0; i < validate->n_rules; i++) {
        const ColumnRule *rule = &validate->rules[i];
        Descent at = { .validate = validate,
                       .parcel = parcel,
                       .rule = rule,
                       .column = plan->at[i],
                       .now_ns = run->now_ns };

        if (rule->kind == ROW_TIME)
            set_times(&at);
        descend(&at);
    }
    for (size_t i = 0; i < validate->n_rules; i++) {
        if (validate->rules[i].has_change)
            change_units(parcel, &validate->rules[i], plan->at[i]);
    }
    parcel_compact(parcel);
    return 0;
}

/* A number and its text count as the same; a time and its text do not. */
static Str validate_column_after(const void *state, Str name)
{
    const Validate *validate = state;
    const ColumnRule *rule;
    size_t index;
    bool is_kept;

    if (!is_declared(validate, name, &index))
        return validate->unknown == UNKNOWN_DROP ? (Str){ 0 } : name;
    rule = &validate->rules[index];
    is_kept = rule->kind == ROW_ANY || rule->kind == ROW_TEXT || rule->kind == ROW_INT ||
              rule->kind == ROW_REAL;
    is_kept = is_kept && !rule->has_change && rule->otherwise == RULE_REFUSE &&
              rule->fallback.kind == ROW_ANY;
    return is_kept ? name : (Str){ 0 };
}

extern const StepDriver step_validate;
const StepDriver step_validate = {
    .name = "validate",
    .summary = "Refuses rows that are not as declared; text is converted to the declared kinds",
    .args = &validate_args,
    .open = validate_open,
    .close = validate_close,
    .run = validate_run,
    .column_after = validate_column_after,
};
