/*
 * convert: columns from expressions (rows/expr), new ones or in place; and units.
 *
 *   convert:
 *     columns:
 *       celsius: (fahrenheit - 32) / 1.8
 *       sensor:  lower(sensor)
 *       id:      { value: number(id), kind: integer }
 *       speed:   { from: km/h, unit: m/s }
 *
 * They are worked out in the order given, and each sees what those before it have made. The kind of
 * a column is the declared one, or what its expression gives; where that depends on the row, the
 * column takes every kind. What cannot be computed, and what does not fit the declared kind, is
 * null or refuses its row ("cannot_compute"), which then goes to the dead letters as it came.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/schema.h"
#include "rows/derive.h"
#include "rows/expr.h"
#include "rows/row_cast.h"
#include "rows/step.h"
#include "rows/units.h"

#define STAGE         "convert"
#define CACHED_SHAPES 16

typedef enum Otherwise { OTHERWISE_NULL, OTHERWISE_REFUSE } Otherwise;

typedef struct ConvertArgs {
    SchemaJson columns;
    int otherwise;
} ConvertArgs;

static const char *const otherwise_words[] = { "null", "refuse", NULL };
static const SchemaField convert_fields[] = {
    FIELD_JSON(ConvertArgs, columns,
               "the expression of each column, or an object of value, kind, unit, from",
               .is_required = true),
    FIELD_ENUM(ConvertArgs, otherwise, otherwise_words,
               "what cannot be computed: it is null, or its row is refused",
               .default_text = "null"),
};
static const Schema convert_args = SCHEMA(ConvertArgs, convert_fields,
                                          "Settings of the step convert.");

/* In the order of RowKind. */
static const char *const kind_words[] = { "any",     "text", "integer", "number",
                                          "boolean", "time", "json",    NULL };

typedef struct ColumnArgs {
    Str value;
    int kind; /* RowKind */
    Str unit, from;
} ColumnArgs;

static const SchemaField column_fields[] = {
    FIELD_STR(ColumnArgs, value, "an expression; the column itself otherwise"),
    FIELD_ENUM(ColumnArgs, kind, kind_words, "what it is to be", .default_text = "any"),
    FIELD_STR(ColumnArgs, unit, "its unit, into which it is changed"),
    FIELD_STR(ColumnArgs, from, "the unit of the value"),
};
static const Schema column_args = SCHEMA(ColumnArgs, column_fields, "A column of convert.");

/* A column that is made. */
typedef struct Making {
    Str name; /* of the settings */
    Expr *expr;
    RowKind kind; /* ROW_ANY: as the expression gives */
    Str unit;
    bool has_change;
    UnitChange change;
} Making;

/* How it is done for rows of one shape. */
typedef struct ConvertPlan {
    Derived derived;
    size_t n;
    ExprPlan **plans; /* of each making */
    size_t *at;       /* its column */
    RowKind *kinds;   /* and what that is */
} ConvertPlan;

typedef struct Convert {
    Otherwise otherwise;
    Making *makings;
    size_t n_makings;
    Arena names;
    Shapes *made;
    StepCache plans[CACHED_SHAPES];
    Arena arena;   /* texts of one row */
    Buf scratch;   /* of casts */
    RowValue *row; /* as it came */
    size_t cap_row;
} Convert;

/* ---- settings -------------------------------------------------------------------------------- */

static void free_plan(void *ptr)
{
    ConvertPlan *plan = ptr;

    for (size_t i = 0; plan->plans && i < plan->n; i++)
        expr_plan_free(plan->plans[i]);
    mem_free(plan->plans);
    mem_free(plan->at);
    mem_free(plan->kinds);
    derived_deinit(&plan->derived);
    mem_free(plan);
}

static void convert_close(void *state)
{
    Convert *convert = state;

    if (!convert)
        return;
    step_cache_deinit(convert->plans, CACHED_SHAPES, free_plan);
    for (size_t i = 0; i < convert->n_makings; i++)
        expr_free(convert->makings[i].expr);
    mem_free(convert->makings);
    mem_free(convert->row);
    arena_deinit(&convert->names);
    arena_deinit(&convert->arena);
    buf_deinit(&convert->scratch);
    shapes_free(convert->made);
    mem_free(convert);
}

static void close_state(Convert *convert)
{
    convert_close(convert);
}
DEFINE_AUTO(Convert *, close_state);

static int read_unit(Convert *convert, Making *making, const ColumnArgs *args)
{
    int r;

    making->unit = arena_copy(&convert->names, units_sign(args->unit));
    if (args->from.len == 0)
        return 0;
    if (args->unit.len == 0)
        return fail(-ERR_INVALID, "from: wants the unit into which to change");
    if (making->kind != ROW_ANY && making->kind != ROW_REAL)
        return fail(-ERR_INVALID, "from: is for kind number");
    making->kind = ROW_REAL;
    r = units_change(args->from, args->unit, &making->change);
    making->has_change = r == 0;
    return wrap(r, "from");
}

/* One column: EXPRESSION, or SETTINGS. */
static int read_making(Convert *convert, Str name, Json settings, const JsonPath *at)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Making *making = &convert->makings[convert->n_makings++];
    SchemaDecodeOpts opts = { .at = at };
    ColumnArgs args = { .kind = ROW_ANY };
    int r = 0;

    arena_init(&arena, 0);
    making->name = arena_copy(&convert->names, name);
    if (!json_get_str(settings, &args.value))
        r = schema_decode(&arena, &column_args, settings, &args, &opts);
    if (r < 0)
        return r;
    making->kind = (RowKind) args.kind;
    if (args.value.len == 0)
        args.value = arena_printf(&arena, "`%.*s`", (int) name.len, name.data);
    r = expr_parse(args.value, &making->expr);
    if (r == 0)
        r = read_unit(convert, making, &args);
    return wrap(r, "columns.%.*s", (int) name.len, name.data);
}

static int convert_open(const StepOpts *opts, void **ret_state)
{
    const ConvertArgs *args = opts->args;
    AUTO(close_state) Convert *convert = mem_new(Convert);
    JsonPath outer = { .key = str_from_c("columns") };
    Json columns = args->columns.value;

    if (!json_is_object(columns) || json_len(columns) == 0 ||
        json_len(columns) > LIMIT_CONVERT_COLUMNS)
        return fail(-ERR_INVALID, "columns: must be an object of 1 to %d columns",
                    LIMIT_CONVERT_COLUMNS);
    convert->otherwise = (Otherwise) args->otherwise;
    convert->made = shapes_new();
    arena_init(&convert->names, 0);
    arena_init(&convert->arena, 0);
    convert->makings = mem_new_array(Making, json_len(columns));
    for (JsonIter it = json_iter(columns); json_next(&it);) {
        JsonPath at = { .outer = &outer, .key = it.key };
        int r;

        if (it.key.len == 0 || (!json_is_string(it.value) && !json_is_object(it.value)))
            return fail(-ERR_INVALID, "columns.%.*s: must be an expression or an object",
                        (int) it.key.len, it.key.data);
        r = read_making(convert, it.key, it.value, &at);
        if (r < 0)
            return r;
    }
    *ret_state = TAKE(convert);
    return 0;
}

/* ---- plans ----------------------------------------------------------------------------------- */

/* Bind the expression of MAKING to the N columns, of the kinds that they have by then. */
static int bind_making(const Making *making, const Parcel *parcel, const RowColumn *columns,
                       size_t n, ExprPlan **ret_plan)
{
    int r = expr_bind(making->expr, columns, n, shape_is_sealed(parcel->shape), ret_plan);

    return wrap(r, "columns.%.*s", (int) making->name.len, making->name.data);
}

static size_t find(const RowColumn *columns, size_t n, Str name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(columns[i].name, name))
            return i;
    }
    return SHAPE_NONE;
}

/* Find out the kind of each column that is made: COLUMNS, *N of them and with room, become those
 * afterwards. */
static int find_kinds(const Convert *convert, const Parcel *parcel, ConvertPlan *plan,
                      RowColumn *columns, size_t *n)
{
    for (size_t i = 0; i < convert->n_makings; i++) {
        const Making *making = &convert->makings[i];
        AUTO(expr_plan_free) ExprPlan *expr = NULL;
        int r = bind_making(making, parcel, columns, *n, &expr);
        size_t at = find(columns, *n, making->name);

        if (r < 0)
            return r;
        if (at == SHAPE_NONE) {
            at = (*n)++;
            columns[at] = (RowColumn){ .name = making->name };
        }
        plan->kinds[i] = making->kind != ROW_ANY ? making->kind : expr_kind(expr);
        columns[at].kind = plan->kinds[i];
        if (making->unit.len > 0)
            columns[at].unit = making->unit;
    }
    return 0;
}

/* Bind all expressions to the derived shape. COLUMNS is room for its columns. */
static int bind_all(const Convert *convert, const Parcel *parcel, ConvertPlan *plan)
{
    size_t n = shape_width(plan->derived.shape);
    RowColumn *columns = mem_new_array(RowColumn, n);
    int r = 0;

    memcpy(columns, shape_columns(plan->derived.shape), n * sizeof(columns[0]));
    for (size_t c = 0; c < n; c++) {
        size_t from = plan->derived.from ? plan->derived.from[c] : c;

        columns[c].kind = from == SHAPE_NONE ? ROW_ANY : parcel->rows.columns[from].kind;
    }
    for (size_t i = 0; r == 0 && i < convert->n_makings; i++) {
        plan->at[i] = shape_find(plan->derived.shape, convert->makings[i].name, 0);
        r = bind_making(&convert->makings[i], parcel, columns, n, &plan->plans[i]);
        columns[plan->at[i]].kind = plan->kinds[i];
    }
    mem_free(columns);
    return r;
}

/* The columns afterwards, in *DERIVED. */
static int derive_columns(Convert *convert, const Parcel *parcel, ConvertPlan *plan)
{
    size_t was = parcel->rows.n_columns, n = was;
    RowColumn *columns = mem_new_array(RowColumn, was + convert->n_makings);
    DeriveColumn *wanted = mem_new_array(DeriveColumn, was + convert->n_makings);
    int r;

    memcpy(columns, parcel->rows.columns, was * sizeof(columns[0]));
    r = find_kinds(convert, parcel, plan, columns, &n);
    for (size_t c = 0; c < n; c++)
        wanted[c] = (DeriveColumn){ columns[c].name, columns[c].kind, columns[c].unit,
                                    c < was ? c : SHAPE_NONE };
    if (r == 0)
        r = derive(convert->made, parcel, wanted, n, DERIVE_AS_BEFORE, &plan->derived);
    mem_free(wanted);
    mem_free(columns);
    return r;
}

static int make_plan(Convert *convert, const Parcel *parcel, ConvertPlan **ret_plan)
{
    ConvertPlan *plan = mem_new(ConvertPlan);
    size_t n = convert->n_makings;
    int r;

    plan->n = n;
    plan->plans = mem_new_array(ExprPlan *, n);
    plan->at = mem_new_array(size_t, n);
    plan->kinds = mem_new_array(RowKind, n);
    r = derive_columns(convert, parcel, plan);
    if (r == 0)
        r = bind_all(convert, parcel, plan);
    if (r < 0)
        free_plan(plan);
    else
        *ret_plan = plan;
    return r;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The value of making I for ROW, or null and wrong. */
static RowValue compute(Convert *convert, Parcel *parcel, const ConvertPlan *plan, size_t i,
                        const RowValue *row, bool *ret_is_wrong)
{
    const Making *making = &convert->makings[i];
    ExprRun eval = { .arena = &convert->arena };
    RowValue value = expr_eval(plan->plans[i], row, &eval);
    RowKind kind = plan->kinds[i];
    bool is_made = eval.has_made;
    size_t len;

    if (!eval.is_wrong && value.kind != kind && value.kind != ROW_ANY && kind != ROW_ANY) {
        eval.is_wrong = row_cast(&value, kind, 0, &convert->scratch, &value) != 0;
        is_made = true;
    }
    *ret_is_wrong = eval.is_wrong;
    if (eval.is_wrong)
        return row_gap(ROW_GAP_WRONG);
    if (making->has_change && value.kind == ROW_REAL)
        return row_real(unit_change(&making->change, value.real), (Str){ 0 });
    len = value.text.len;
    if (is_made && len > 0)
        value.text = parcel_copy_text(parcel, value.text);
    *ret_is_wrong = value.text.len < len;
    return value;
}

/* Keep ROW as it came. */
static void keep_row(Convert *convert, const RowValue *row, size_t width)
{
    if (width > convert->cap_row) {
        convert->row = mem_resize_array(convert->row, width, sizeof(row[0]));
        convert->cap_row = width;
    }
    memcpy(convert->row, row, width * sizeof(row[0]));
}

static void convert_row(Convert *convert, Parcel *parcel, const ConvertPlan *plan, size_t index)
{
    size_t width = parcel->rows.n_columns;
    RowValue *row = parcel_row(parcel, index);
    bool is_strict = convert->otherwise == OTHERWISE_REFUSE;

    if (is_strict)
        keep_row(convert, row, width);
    for (size_t i = 0; i < plan->n; i++) {
        bool is_wrong;

        row[plan->at[i]] = compute(convert, parcel, plan, i, row, &is_wrong);
        if (is_wrong && is_strict) {
            Str name = convert->makings[i].name;

            memcpy(row, convert->row, width * sizeof(row[0]));
            parcel_refuse(parcel, index, STAGE, "cannot_compute",
                          "%.*s cannot be computed from this row",
                          (int) MIN(name.len, (size_t) 100), name.data);
            break;
        }
    }
    arena_reset(&convert->arena);
}

static int convert_run(void *state, StepRun *run)
{
    Convert *convert = state;
    Parcel *parcel = run->parcel;
    ConvertPlan *plan = step_cache_find(convert->plans, CACHED_SHAPES, parcel);
    int r;

    if (!plan) {
        r = make_plan(convert, parcel, &plan);
        if (r < 0)
            return r;
        step_cache_put(convert->plans, CACHED_SHAPES, parcel, plan, free_plan);
    }
    derived_apply(&plan->derived, parcel);
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        if (parcel->fates[i] == FATE_OPEN)
            convert_row(convert, parcel, plan, i);
    }
    parcel_compact(parcel);
    return 0;
}

static Str convert_column_after(const void *state, Str name)
{
    const Convert *convert = state;

    for (size_t i = 0; i < convert->n_makings; i++) {
        if (str_eq(convert->makings[i].name, name))
            return (Str){ 0 };
    }
    return name;
}

extern const StepDriver step_convert;
const StepDriver step_convert = {
    .name = "convert",
    .summary = "Makes columns from expressions, and changes units",
    .args = &convert_args,
    .open = convert_open,
    .close = convert_close,
    .run = convert_run,
    .column_after = convert_column_after,
};
