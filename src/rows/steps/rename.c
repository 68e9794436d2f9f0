/*
 * rename: other names for columns.
 *
 *   rename: { columns: { temp: temperature, hum: humidity } }
 *
 * All names change at once, so that two may change places. A column that has the new name of
 * another already makes room for it and goes.
 */
#include "base/err.h"
#include "base/mem.h"
#include "rows/derive.h"
#include "rows/step.h"

#define CACHED_SHAPES 16

typedef struct RenameArgs {
    SchemaPairs columns;
} RenameArgs;

static const SchemaField rename_fields[] = {
    FIELD_MAP(RenameArgs, columns, "the new name of each column", .is_required = true,
              .range = RANGE(1, 512)),
};
static const Schema rename_args = SCHEMA(RenameArgs, rename_fields, "Settings of the step rename.");

typedef struct Rename {
    const SchemaPairs *names;
    Shapes *made;
    StepCache plans[CACHED_SHAPES]; /* of Derived */
} Rename;

static void free_plan(void *plan)
{
    derived_deinit(plan);
    mem_free(plan);
}

static void rename_close(void *state)
{
    Rename *rename = state;

    if (!rename)
        return;
    step_cache_deinit(rename->plans, CACHED_SHAPES, free_plan);
    shapes_free(rename->made);
    mem_free(rename);
}

static int rename_open(const StepOpts *opts, void **ret_state)
{
    const RenameArgs *args = opts->args;
    Rename *rename;

    for (size_t i = 0; i < args->columns.len; i++) {
        Str name = args->columns.items[i].value;

        if (name.len == 0)
            return fail(-ERR_INVALID, "columns: the new name of %.*s is empty",
                        (int) args->columns.items[i].name.len, args->columns.items[i].name.data);
        for (size_t k = 0; k < i; k++) {
            if (str_eq(args->columns.items[k].value, name))
                return fail(-ERR_INVALID, "columns: %.*s would be the name of two columns",
                            (int) name.len, name.data);
        }
    }
    rename = mem_new(Rename);
    rename->names = &args->columns;
    rename->made = shapes_new();
    *ret_state = rename;
    return 0;
}

/* The name that NAME becomes, and whether it is a new one. */
static Str new_name(const Rename *rename, Str name, bool *ret_is_new)
{
    for (size_t i = 0; i < rename->names->len; i++) {
        if (str_eq(rename->names->items[i].name, name)) {
            *ret_is_new = true;
            return rename->names->items[i].value;
        }
    }
    *ret_is_new = false;
    return name;
}

/* Whether a column of PARCEL is renamed to NAME. */
static bool is_taken(const Rename *rename, const Parcel *parcel, Str name)
{
    bool is_new;

    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        if (str_eq(new_name(rename, parcel->rows.columns[c].name, &is_new), name) && is_new)
            return true;
    }
    return false;
}

static int make_plan(Rename *rename, const Parcel *parcel, Derived **ret_plan)
{
    DeriveColumn *columns = mem_new_array(DeriveColumn, parcel->rows.n_columns);
    Derived *plan = mem_new(Derived);
    size_t n = 0;
    int r;

    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        const RowColumn *old = &parcel->rows.columns[c];
        bool is_new;
        Str name = new_name(rename, old->name, &is_new);

        if (is_new || !is_taken(rename, parcel, name))
            columns[n++] = (DeriveColumn){ name, old->kind, old->unit, c };
    }
    r = derive(rename->made, parcel, columns, n, DERIVE_AS_BEFORE, plan);
    mem_free(columns);
    if (r < 0)
        mem_free(plan);
    else
        *ret_plan = plan;
    return r;
}

static int rename_run(void *state, StepRun *run)
{
    Rename *rename = state;
    Derived *plan = step_cache_find(rename->plans, CACHED_SHAPES, run->parcel);
    int r;

    if (!plan) {
        r = make_plan(rename, run->parcel, &plan);
        if (r < 0)
            return r;
        step_cache_put(rename->plans, CACHED_SHAPES, run->parcel, plan, free_plan);
    }
    derived_apply(plan, run->parcel);
    return 0;
}

static Str rename_column_after(const void *state, Str name)
{
    const Rename *rename = state;
    bool is_new, is_other_s = false;
    Str after = new_name(rename, name, &is_new);

    for (size_t i = 0; i < rename->names->len; i++)
        is_other_s |= !is_new && str_eq(rename->names->items[i].value, name);
    return is_other_s ? (Str){ 0 } : after;
}

extern const StepDriver step_rename;
const StepDriver step_rename = {
    .name = "rename",
    .summary = "Gives columns other names",
    .args = &rename_args,
    .open = rename_open,
    .close = rename_close,
    .run = rename_run,
    .column_after = rename_column_after,
};
