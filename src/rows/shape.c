/*
 * Shapes: columns that are found out as rows come.
 *
 * The columns stand in an array that doubles; the arrays before it are kept until the shape goes,
 * because batches borrow them. All arrays together are at most twice the last one. A column is
 * found by a guess first (readings of one kind come with the same fields in the same order, so the
 * caller knows where it stood the last time), then in a table of names.
 */
#include "rows/shape.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"

#include <stdatomic.h>

#define SHAPE_FIRST_COLUMNS 8
#define SHAPE_ARRAYS        16 /* 8 doubled 15 times is above every limit */

struct Shape {
    atomic_uint refs; /* parcels are let go on several threads */
    bool is_sealed;
    char *name;
    size_t name_len;
    RowColumn *columns; /* the newest of ARRAYS */
    size_t n_columns;
    size_t cap;
    size_t columns_max;
    Map by_name; /* to a column's index, counted from 1 */
    Arena names; /* of columns, and their units */
    RowColumn *arrays[SHAPE_ARRAYS];
    size_t n_arrays;
};

Shape *shape_new(Str name, size_t columns_max)
{
    Shape *shape = mem_new(Shape);

    atomic_init(&shape->refs, 1);
    shape->name = mem_copy_c(name.data, name.len);
    shape->name_len = name.len;
    shape->columns_max = columns_max > 0 ? columns_max : LIMIT_SHAPE_COLUMNS;
    map_init(&shape->by_name, rand_entropy(), rand_entropy());
    arena_init(&shape->names, 0);
    return shape;
}

Shape *shape_ref(Shape *shape)
{
    unsigned before = atomic_fetch_add_explicit(&shape->refs, 1, memory_order_relaxed);

    ASSERT(before > 0);
    return shape;
}

void shape_unref(Shape *shape)
{
    if (!shape || atomic_fetch_sub_explicit(&shape->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < shape->n_arrays; i++)
        mem_free(shape->arrays[i]);
    map_deinit(&shape->by_name);
    arena_deinit(&shape->names);
    mem_free(shape->name);
    mem_free(shape);
}

static void grow(Shape *shape)
{
    size_t cap = MAX(2 * shape->cap, (size_t) SHAPE_FIRST_COLUMNS);
    RowColumn *columns = mem_new_array(RowColumn, cap);

    ASSERT(shape->n_arrays < SHAPE_ARRAYS);
    if (shape->n_columns > 0)
        memcpy(columns, shape->columns, shape->n_columns * sizeof(columns[0]));
    shape->arrays[shape->n_arrays++] = columns;
    shape->columns = columns;
    shape->cap = cap;
}

int shape_add(Shape *shape, Str name, RowKind kind, Str unit, size_t *ret_index)
{
    size_t index = shape_find(shape, name, 0);

    if (index != SHAPE_NONE) {
        if (shape->columns[index].kind != kind)
            return fail(-ERR_CONFLICT, "column %.*s is %s already, not %s", (int) name.len,
                        name.data, row_kind_name(shape->columns[index].kind), row_kind_name(kind));
        *ret_index = index;
        return 0;
    }
    if (shape->is_sealed)
        return fail(-ERR_INVALID, "there is no column %.*s", (int) name.len, name.data);
    if (shape->n_columns >= shape->columns_max)
        return fail(-ERR_TOO_LARGE, "column %.*s would be one more than the %zu that are allowed",
                    (int) name.len, name.data, shape->columns_max);
    if (shape->n_columns == shape->cap)
        grow(shape);
    shape->columns[shape->n_columns] = (RowColumn){
        .name = arena_copy(&shape->names, name),
        .kind = kind,
        .unit = unit.len > 0 ? arena_copy(&shape->names, unit) : (Str){ 0 },
    };
    (void) map_put(&shape->by_name, name, (void *) (uintptr_t) (shape->n_columns + 1));
    *ret_index = shape->n_columns++;
    return 0;
}

size_t shape_find(const Shape *shape, Str name, size_t guess)
{
    uintptr_t found;

    if (guess < shape->n_columns && str_eq(shape->columns[guess].name, name))
        return guess;
    found = (uintptr_t) map_find(&shape->by_name, name);
    return found > 0 ? (size_t) found - 1 : SHAPE_NONE;
}

Str shape_name(const Shape *shape)
{
    return str_from(shape->name, shape->name_len);
}

size_t shape_width(const Shape *shape)
{
    return shape->n_columns;
}

const RowColumn *shape_columns(const Shape *shape)
{
    return shape->columns;
}

bool shape_is_sealed(const Shape *shape)
{
    return shape->is_sealed;
}

void shape_seal(Shape *shape)
{
    shape->is_sealed = true;
}

/* ---- shapes by name -------------------------------------------------------------------------- */

struct Shapes {
    Map by_name;
    Shape *last; /* the one that was asked for last: it mostly is again */
};

Shapes *shapes_new(void)
{
    Shapes *shapes = mem_new(Shapes);

    map_init(&shapes->by_name, rand_entropy(), rand_entropy());
    return shapes;
}

void shapes_free(Shapes *shapes)
{
    size_t cursor = 0;
    void *value;
    Str key;

    if (!shapes)
        return;
    while (map_next(&shapes->by_name, &cursor, &key, &value))
        shape_unref(value);
    map_deinit(&shapes->by_name);
    mem_free(shapes);
}

int shapes_get(Shapes *shapes, Str name, Shape **ret_shape)
{
    Shape *shape = shapes->last;

    if (!shape || !str_eq(shape_name(shape), name))
        shape = map_find(&shapes->by_name, name);
    if (!shape) {
        if (shapes->by_name.len >= LIMIT_SHAPES)
            return fail(-ERR_TOO_LARGE, "%.*s would be one table more than the %d that are allowed",
                        (int) name.len, name.data, LIMIT_SHAPES);
        shape = shape_new(name, 0);
        (void) map_put(&shapes->by_name, name, shape);
    }
    shapes->last = shape;
    *ret_shape = shape;
    return 0;
}
