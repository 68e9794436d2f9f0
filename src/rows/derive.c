/*
 * Derived shapes; see the header.
 */
#include "rows/derive.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

/* Whether COLUMNS are those of PARCEL, in their order. */
static bool is_same(const Parcel *parcel, const DeriveColumn *columns, size_t n, DeriveEnd end)
{
    const RowColumn *old = parcel->rows.columns;
    bool is_sealed = shape_is_sealed(parcel->shape);

    if (n != parcel->rows.n_columns || end == DERIVE_OPEN || (end == DERIVE_SEALED && !is_sealed))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (columns[i].from != i || columns[i].kind != old[i].kind ||
            !str_eq(columns[i].name, old[i].name) || !str_eq(columns[i].unit, old[i].unit))
            return false;
    }
    return true;
}

/* Put COLUMNS into SHAPE, and where they stand into INDEX. */
static int add_columns(Shape *shape, const DeriveColumn *columns, size_t n, size_t *index)
{
    for (size_t i = 0; i < n; i++) {
        int r = shape_add(shape, columns[i].name, columns[i].kind, columns[i].unit, &index[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

/* The shape with COLUMNS: the shared one of its name, or one of its own. */
static int make_shape(Shapes *made, Str name, const DeriveColumn *columns, size_t n, Derived *ret)
{
    Shape *shape;
    int r = shapes_get(made, name, &shape);

    if (r == 0)
        r = add_columns(shape, columns, n, ret->index);
    if (r == 0) {
        ret->shape = shape_ref(shape);
        return 0;
    }
    err_take(r, NULL);
    ret->shape = shape_new(name, LIMIT_ROW_COLUMNS);
    return add_columns(ret->shape, columns, n, ret->index);
}

int derive(Shapes *made, const Parcel *parcel, const DeriveColumn *columns, size_t n, DeriveEnd end,
           Derived *ret)
{
    Derived derived = { .index = mem_new_array(size_t, n + 1) };
    int r;

    if (is_same(parcel, columns, n, end)) {
        for (size_t i = 0; i < n; i++)
            derived.index[i] = i;
        derived.shape = shape_ref(parcel->shape);
        *ret = derived;
        return 0;
    }
    r = make_shape(made, shape_name(parcel->shape), columns, n, &derived);
    if (r < 0) {
        derived_deinit(&derived);
        return r;
    }
    if (end == DERIVE_SEALED || (end == DERIVE_AS_BEFORE && shape_is_sealed(parcel->shape)))
        shape_seal(derived.shape);
    derived.n_from = shape_width(derived.shape);
    derived.from = mem_new_array(size_t, derived.n_from + 1);
    for (size_t i = 0; i < derived.n_from; i++)
        derived.from[i] = SHAPE_NONE;
    for (size_t i = 0; i < n; i++)
        derived.from[derived.index[i]] = columns[i].from;
    *ret = derived;
    return 0;
}

void derived_deinit(Derived *derived)
{
    shape_unref(derived->shape);
    mem_free(derived->from);
    mem_free(derived->index);
    *derived = (Derived){ 0 };
}

/* The shared shape has become wider since: what is new is null here. */
static void widen(Derived *derived, size_t width)
{
    derived->from = mem_resize_array(derived->from, width, sizeof(derived->from[0]));
    while (derived->n_from < width)
        derived->from[derived->n_from++] = SHAPE_NONE;
}

void derived_apply(Derived *derived, Parcel *parcel)
{
    if (!derived->from)
        return;
    if (derived->n_from < shape_width(derived->shape))
        widen(derived, shape_width(derived->shape));
    parcel_reshape(parcel, derived->shape, derived->from);
}
