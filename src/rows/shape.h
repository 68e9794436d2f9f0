/*
 * Shape: the name and the columns of rows that are alike, while they are still being found out.
 *
 * A stream of readings has no list of columns beforehand: a field that was never seen may come with
 * any line. A shape begins with the columns that are declared, if any, and grows at its end: a
 * column never moves, changes its kind or goes. So a batch that was made when the shape had five
 * columns is still right when it has six, and is merely narrower: the columns it lacks are null.
 *
 * The array of columns that a batch borrows stays where it is for as long as the shape lives.
 * Not for several threads at once; columns that are there may be read by others.
 */
#pragma once

#include "rows/row.h"

typedef struct Shape Shape;

#define SHAPE_NONE SIZE_MAX

/* A shape called NAME (of the table or measurement; copied), without columns, with room for
 * COLUMNS_MAX (0: LIMIT_SHAPE_COLUMNS). One reference, the caller's. */
MUST Shape *shape_new(Str name, size_t columns_max);
Shape *shape_ref(Shape *shape);
void shape_unref(Shape *shape); /* NULL is nothing */
DEFINE_AUTO(Shape *, shape_unref);

/* Add a column; NAME and UNIT are copied. 0 and its index; -ERR_TOO_LARGE when there is no room,
 * -ERR_CONFLICT when it is there with another kind. One that is there with this kind is found. */
MUST int shape_add(Shape *shape, Str name, RowKind kind, Str unit, size_t *ret_index);

/* The index of the column called NAME, or SHAPE_NONE. GUESS is looked at first: where it stood the
 * last time; 0 when nothing is known. */
size_t shape_find(const Shape *shape, Str name, size_t guess);

Str shape_name(const Shape *shape);
size_t shape_width(const Shape *shape);
const RowColumn *shape_columns(const Shape *shape); /* of all indexes below the width */
bool shape_is_sealed(const Shape *shape);           /* takes no further columns */
void shape_seal(Shape *shape);                      /* shape_add of what is new: -ERR_INVALID */

/*
 * Shapes by name: one for each measurement. Bounded by LIMIT_SHAPES.
 */
typedef struct Shapes Shapes;

MUST Shapes *shapes_new(void);
void shapes_free(Shapes *shapes);
DEFINE_AUTO(Shapes *, shapes_free);

/* The shape called NAME, made when it is new: *RET_SHAPE, borrowed. 0 or -ERR_TOO_LARGE. */
MUST int shapes_get(Shapes *shapes, Str name, Shape **ret_shape);
