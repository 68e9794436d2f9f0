/*
 * Step keys; see the header.
 */
#include "rows/step_key.h"

#include "base/mem.h"

void step_key_init(StepKey *key, SchemaList names)
{
    *key = (StepKey){ .names = names.items, .n = names.len };
    key->at = mem_new_array(size_t, names.len + 1);
}

void step_key_deinit(StepKey *key)
{
    shape_unref(key->shape);
    mem_free(key->at);
    *key = (StepKey){ 0 };
}

void step_key_bind(StepKey *key, const Parcel *parcel)
{
    if (key->shape == parcel->shape && key->width == parcel->rows.n_columns)
        return;
    for (size_t i = 0; i < key->n; i++) {
        size_t at = shape_find(parcel->shape, key->names[i], 0);

        key->at[i] = at < parcel->rows.n_columns ? at : SHAPE_NONE;
    }
    shape_unref(key->shape);
    key->shape = shape_ref(parcel->shape);
    key->width = parcel->rows.n_columns;
}

bool step_key_of(const StepKey *key, const RowValue *row, RowKey *ret)
{
    static const RowValue nothing = { .kind = ROW_ANY };

    ret->len = 0;
    for (size_t i = 0; i < key->n; i++) {
        if (!row_key_add(ret, key->at[i] == SHAPE_NONE ? &nothing : &row[key->at[i]]))
            return false;
    }
    return true;
}
