/*
 * The types of columns where a sink must know them: declared ones, and those of ROW_ANY columns as
 * the first rows have them.
 */
#pragma once

#include "rows/row.h"

typedef struct RowTypes {
    const RowColumn *columns; /* borrowed */
    size_t n_columns;
    RowKind *kinds;   /* owned; ROW_ANY: not settled, or every kind is taken */
    bool *has_digits; /* owned; REAL whose digits are kept: prices */
} RowTypes;

void row_types_init(RowTypes *types, const RowColumn *columns, size_t n_columns);
void row_types_deinit(RowTypes *types);
DEFINE_AUTO_VALUE(RowTypes, row_types_deinit);

/*
 * Settle the columns that are not: integers and numbers give numbers, other mixtures text, and so
 * does a column without a value. BATCH may be NULL (no rows came).
 */
void row_types_settle(RowTypes *types, const RowBatch *batch);

/* The same for rows that lie anywhere, each as wide as TYPES. */
void row_types_settle_rows(RowTypes *types, const RowValue *const *rows, size_t n_rows);

/* There are N_COLUMNS, as many or more: those behind have their own kinds. COLUMNS is borrowed. */
void row_types_grow(RowTypes *types, const RowColumn *columns, size_t n_columns);

/*
 * VALUE as its column (C) takes it: in *ret, texts in SCRATCH. What a text column gets becomes
 * text, a number takes integers, JSON everything; anything else is -ERR_INVALID with words that
 * name the ROW (from 0), column and value.
 */
MUST int row_types_fit(const RowTypes *types, size_t c, const RowValue *value, uint64_t row,
                       Buf *scratch, RowValue *ret);
