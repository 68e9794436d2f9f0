/*
 * Cells: values that a step finds in rows, with names that nobody knew before (`parse`, `jq`),
 * until the rows have columns for them.
 *
 * A parcel cannot become wider while its rows are read. So the step puts what it finds here, row by
 * row, and its columns into a shape that takes more (rows/derive, DERIVE_OPEN); at the end the
 * parcel gets the shape and the cells go into its rows.
 *
 * A column has the kind of its first value. A later one of another kind is made to fit where
 * nothing is lost (rows/row_cast), and otherwise refuses its row.
 */
#pragma once

#include "codec/json.h"
#include "rows/parcel.h"

typedef struct Cell {
    uint32_t row;
    uint32_t column;
    RowValue value;
} Cell;

/* Zeroed it is empty. */
typedef struct Cells {
    Cell *items; /* owned; kept from parcel to parcel */
    size_t n, cap;
    size_t *order; /* the column of the k-th name of the row before; owned */
    size_t cap_order;
    size_t k;     /* names of this row so far */
    size_t begun; /* cells before this row */
    uint32_t row;
    Shape *shape;  /* borrowed */
    Parcel *texts; /* whose rows keep the texts that are made; borrowed */
    Buf scratch;
} Cells;

/* Why a value was not taken. */
enum { CELLS_CONFLICT = 1, CELLS_TOO_MANY = 2, CELLS_TOO_LARGE = 3 };

/* Forget what there is; what comes is for rows of SHAPE, its texts are kept by TEXTS. */
void cells_begin(Cells *cells, Shape *shape, Parcel *texts);
void cells_deinit(Cells *cells);

/* What is put next is for ROW. */
void cells_row(Cells *cells, size_t row);

/* What was put for the row is forgotten: it is refused. */
void cells_undo(Cells *cells);

/* Put VALUE into column NAME, which is made if it is new. The text of VALUE is borrowed and lives
 * as long as the parcel's. Null is nothing. 0 or an outcome above. */
MUST int cells_put(Cells *cells, Str name, const RowValue *value);

/* As cells_put with a value of JSON, whose text DOC has; its text is copied. HINT is the kind that
 * the column had before (times are text in JSON, integers numbers), or ROW_ANY. */
MUST int cells_put_json(Cells *cells, Str name, const JsonDoc *doc, Json value, RowKind hint);

/* Put the cells into the rows of PARCEL, which has the shape now. */
void cells_apply(const Cells *cells, Parcel *parcel);

/* Refuse row INDEX of PARCEL for OUTCOME, about the column NAME. */
void cells_refuse(int outcome, Parcel *parcel, size_t index, const char *stage, Str name);
