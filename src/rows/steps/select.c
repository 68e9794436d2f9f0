/*
 * select: keeps some columns and drops the others.
 *
 *   select: { keep: [time, sensor, value_*] }
 *   select: { drop: [debug, '_*'] }
 *
 * A star in a name stands for any characters. With `keep` the columns come in the order of the
 * list. Rows that have no column left are refused.
 */
#include "base/err.h"
#include "base/mem.h"
#include "rows/derive.h"
#include "rows/step.h"

#define CACHED_SHAPES 16

typedef struct SelectArgs {
    SchemaList keep; /* of Str */
    SchemaList drop;
} SelectArgs;

static const SchemaField name_item = ITEM(STR, .range = RANGE(1, 256));
static const SchemaField select_fields[] = {
    FIELD_LIST(SelectArgs, keep, &name_item, "columns that stay; a star stands for any characters",
               .range = RANGE(0, 512), .positional = 1),
    FIELD_LIST(SelectArgs, drop, &name_item, "columns that go", .range = RANGE(0, 512)),
};
static const Schema select_args = SCHEMA(SelectArgs, select_fields, "Settings of the step select.");

typedef struct Select {
    const SelectArgs *args;
    Shapes *made;
    StepCache plans[CACHED_SHAPES];
} Select;

/* What is done with one shape. */
typedef struct SelectPlan {
    Derived derived;
    bool is_empty;
} SelectPlan;

static void free_plan(void *ptr)
{
    SelectPlan *plan = ptr;

    derived_deinit(&plan->derived);
    mem_free(plan);
}

static void select_close(void *state)
{
    Select *step = state;

    if (!step)
        return;
    step_cache_deinit(step->plans, CACHED_SHAPES, free_plan);
    shapes_free(step->made);
    mem_free(step);
}

static int select_open(const StepOpts *opts, void **ret_state)
{
    const SelectArgs *args = opts->args;
    Select *step;

    if (args->keep.len == 0 && args->drop.len == 0)
        return fail(-ERR_INVALID, "give keep or drop");
    step = mem_new(Select);
    step->args = args;
    step->made = shapes_new();
    *ret_state = step;
    return 0;
}

/* Whether NAME is like PATTERN, where a star is any characters. Takes steps in the product of both
 * lengths at most: only the last star is tried again. */
static bool is_like(Str name, Str pattern)
{
    size_t n = 0, p = 0, star = SIZE_MAX, tried = 0;

    while (n < name.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            tried = n;
        } else if (p < pattern.len && pattern.data[p] == name.data[n]) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++tried;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*')
        p++;
    return p == pattern.len;
}

static bool is_dropped(const Select *step, Str name)
{
    const Str *names = step->args->drop.items;

    for (size_t i = 0; i < step->args->drop.len; i++) {
        if (is_like(name, names[i]))
            return true;
    }
    return false;
}

/* Append the columns of PARCEL that are like PATTERN and not yet among COLUMNS. */
static size_t add_like(const Select *step, const Parcel *parcel, Str pattern, DeriveColumn *columns,
                       size_t n)
{
    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        const RowColumn *old = &parcel->rows.columns[c];
        bool is_there = false;

        for (size_t i = 0; i < n; i++)
            is_there |= columns[i].from == c;
        if (!is_there && is_like(old->name, pattern) && !is_dropped(step, old->name))
            columns[n++] = (DeriveColumn){ old->name, old->kind, old->unit, c };
    }
    return n;
}

static int make_plan(Select *step, const Parcel *parcel, SelectPlan **ret_plan)
{
    static const Str all = STR("*");
    DeriveColumn *columns = mem_new_array(DeriveColumn, parcel->rows.n_columns);
    const Str *keep = step->args->keep.len > 0 ? step->args->keep.items : &all;
    SelectPlan *plan = mem_new(SelectPlan);
    size_t n_keep = step->args->keep.len > 0 ? step->args->keep.len : 1, n = 0;
    int r = 0;

    for (size_t i = 0; i < n_keep; i++)
        n = add_like(step, parcel, keep[i], columns, n);
    plan->is_empty = n == 0;
    if (n > 0)
        r = derive(step->made, parcel, columns, n, DERIVE_AS_BEFORE, &plan->derived);
    mem_free(columns);
    if (r < 0)
        mem_free(plan);
    else
        *ret_plan = plan;
    return r;
}

static int select_run(void *state, StepRun *run)
{
    Select *step = state;
    SelectPlan *plan = step_cache_find(step->plans, CACHED_SHAPES, run->parcel);
    int r;

    if (!plan) {
        r = make_plan(step, run->parcel, &plan);
        if (r < 0)
            return r;
        step_cache_put(step->plans, CACHED_SHAPES, run->parcel, plan, free_plan);
    }
    if (!plan->is_empty) {
        derived_apply(&plan->derived, run->parcel);
        return 0;
    }
    for (size_t i = 0; i < parcel_count(run->parcel); i++) {
        if (run->parcel->fates[i] == FATE_OPEN)
            parcel_refuse(run->parcel, i, "select", "no_columns", "none of its columns is kept");
    }
    parcel_compact(run->parcel);
    return 0;
}

static Str select_column_after(const void *state, Str name)
{
    const Select *step = state;
    const Str *keep = step->args->keep.items;
    bool is_kept = step->args->keep.len == 0;

    for (size_t i = 0; i < step->args->keep.len; i++)
        is_kept |= is_like(name, keep[i]);
    return is_kept && !is_dropped(step, name) ? name : (Str){ 0 };
}

extern const StepDriver step_select;
const StepDriver step_select = {
    .name = "select",
    .summary = "Keeps some columns and drops the others",
    .args = &select_args,
    .open = select_open,
    .close = select_close,
    .run = select_run,
    .column_after = select_column_after,
};
