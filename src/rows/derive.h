/*
 * Deriving: what a step makes of the columns of the parcels that come to it.
 *
 * Parcels of one table should stay of one shape behind a step, whatever widths they had before it:
 * sinks keep a plan for each shape. So a step has one derived shape for each name, which grows as
 * shapes do; only where two do not fit together (a column that is a number here and a text there)
 * do they part.
 */
#pragma once

#include "rows/parcel.h"

/* A column as the step wants it. */
typedef struct DeriveColumn {
    Str name;
    RowKind kind;
    Str unit;
    size_t from; /* of the parcel's columns; SHAPE_NONE: null at first */
} DeriveColumn;

/* How parcels of one shape and width become those of the derived shape. Zeroed it is nothing. */
typedef struct Derived {
    Shape *shape; /* owned reference */
    size_t *from; /* for parcel_reshape; NULL: the rows stay as they are */
    size_t n_from;
    size_t *index; /* where each wanted column stands in the derived shape */
} Derived;

/* Whether the derived shape takes further columns. */
typedef enum DeriveEnd {
    DERIVE_AS_BEFORE, /* unless the parcel's shape takes none */
    DERIVE_SEALED,
    DERIVE_OPEN, /* more are found in the rows */
} DeriveEnd;

/*
 * Work out how PARCEL gets the N COLUMNS. MADE are the shapes that this step has made. 0; or
 * -ERR_TOO_LARGE when there are more than LIMIT_ROW_COLUMNS.
 */
MUST int derive(Shapes *made, const Parcel *parcel, const DeriveColumn *columns, size_t n,
                DeriveEnd end, Derived *ret);
void derived_deinit(Derived *derived);

/* Give PARCEL, of the shape and width that DERIVED was made for, its columns. */
void derived_apply(Derived *derived, Parcel *parcel);
