/*
 * filter: keeps the rows of which an expression (rows/expr) is true.
 *
 *   filter: value > 0 and sensor =~ '^t-'
 *
 * Behind a `validate` that drops or refuses other columns the columns are settled, and a name that
 * is not among them ends the pipeline in words; elsewhere a column may come with any line, and is
 * null until then.
 */
#include "base/err.h"
#include "base/mem.h"
#include "rows/expr.h"
#include "rows/step.h"

#define CACHED_SHAPES 16

typedef struct FilterArgs {
    Str expression;
} FilterArgs;

static const SchemaField filter_fields[] = {
    FIELD_STR(FilterArgs, expression, "what must be true of a row that is kept",
              .is_required = true, .positional = 1),
};
static const Schema filter_args = SCHEMA(FilterArgs, filter_fields, "Settings of the step filter.");

typedef struct RowFilter {
    Expr *expr;
    StepCache plans[CACHED_SHAPES];
    Arena arena; /* texts of one row */
} RowFilter;

static void free_plan(void *plan)
{
    expr_plan_free(plan);
}

static void filter_close(void *state)
{
    RowFilter *filter = state;

    if (!filter)
        return;
    step_cache_deinit(filter->plans, CACHED_SHAPES, free_plan);
    expr_free(filter->expr);
    arena_deinit(&filter->arena);
    mem_free(filter);
}

static int filter_open(const StepOpts *opts, void **ret_state)
{
    const FilterArgs *args = opts->args;
    AUTO(expr_free) Expr *expr = NULL;
    RowFilter *filter;
    int r = expr_parse(args->expression, &expr);

    if (r < 0)
        return wrap(r, "expression");
    filter = mem_new(RowFilter);
    filter->expr = TAKE(expr);
    arena_init(&filter->arena, 0);
    *ret_state = filter;
    return 0;
}

static int filter_run(void *state, StepRun *run)
{
    RowFilter *filter = state;
    Parcel *parcel = run->parcel;
    ExprPlan *plan = step_cache_find(filter->plans, CACHED_SHAPES, parcel);
    ExprRun eval = { .arena = &filter->arena };
    int r;

    if (!plan) {
        r = expr_bind(filter->expr, parcel->rows.columns, parcel->rows.n_columns,
                      shape_is_sealed(parcel->shape), &plan);
        if (r < 0)
            return wrap(r, "expression");
        step_cache_put(filter->plans, CACHED_SHAPES, parcel, plan, free_plan);
    }
    for (size_t i = 0; i < parcel->rows.n_rows; i++) {
        if (parcel->fates[i] == FATE_OPEN && !expr_test(plan, parcel_row(parcel, i), &eval))
            parcel_end_row(parcel, i, FATE_FILTERED);
        if (eval.has_made) {
            arena_reset(&filter->arena);
            eval.has_made = false;
        }
    }
    parcel_compact(parcel);
    return 0;
}

extern const StepDriver step_filter;
const StepDriver step_filter = {
    .name = "filter",
    .summary = "Keeps the rows of which an expression is true",
    .args = &filter_args,
    .open = filter_open,
    .close = filter_close,
    .run = filter_run,
};
