/*
 * The types of columns; see the header.
 */
#include "rows/row_types.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/width.h"

#define SHOWN_COLUMNS 60 /* of a value in an error */

void row_types_init(RowTypes *types, const RowColumn *columns, size_t n_columns)
{
    *types = (RowTypes){ .columns = columns,
                         .n_columns = n_columns,
                         .kinds = mem_new_array(RowKind, n_columns),
                         .has_digits = mem_new_array(bool, n_columns) };
    for (size_t c = 0; c < n_columns; c++)
        types->kinds[c] = columns[c].kind;
}

void row_types_deinit(RowTypes *types)
{
    mem_free(types->kinds);
    mem_free(types->has_digits);
    *types = (RowTypes){ 0 };
}

/* The kind that takes both A and B, which are not ROW_ANY. */
static RowKind kind_of_both(RowKind a, RowKind b)
{
    if (a == b)
        return a;
    if ((a == ROW_INT && b == ROW_REAL) || (a == ROW_REAL && b == ROW_INT))
        return ROW_REAL;
    return ROW_TEXT;
}

/* Of one column: FOUND, the kind so far, with VALUE. */
static RowKind settle_value(RowTypes *types, size_t c, RowKind found, const RowValue *value)
{
    if (value->kind == ROW_REAL && value->text.len > 0)
        types->has_digits[c] = true;
    if (value->kind == ROW_ANY)
        return found;
    return found == ROW_ANY ? value->kind : kind_of_both(found, value->kind);
}

static void settle_column(RowTypes *types, size_t c, RowKind found)
{
    if (types->kinds[c] == ROW_ANY)
        types->kinds[c] = found == ROW_ANY ? ROW_TEXT : found;
}

void row_types_settle(RowTypes *types, const RowBatch *batch)
{
    size_t rows = batch ? row_batch_count(batch) : 0;

    for (size_t c = 0; c < types->n_columns; c++) {
        RowKind found = ROW_ANY;

        for (size_t i = 0; i < rows; i++)
            found = settle_value(types, c, found, &row_batch_row(batch, i)[c]);
        settle_column(types, c, found);
    }
}

void row_types_settle_rows(RowTypes *types, const RowValue *const *rows, size_t n_rows)
{
    for (size_t c = 0; c < types->n_columns; c++) {
        RowKind found = ROW_ANY;

        for (size_t i = 0; i < n_rows; i++)
            found = settle_value(types, c, found, &rows[i][c]);
        settle_column(types, c, found);
    }
}

void row_types_grow(RowTypes *types, const RowColumn *columns, size_t n_columns)
{
    ASSERT(n_columns >= types->n_columns);
    types->kinds = mem_resize_array(types->kinds, n_columns, sizeof(types->kinds[0]));
    types->has_digits = mem_resize_array(types->has_digits, n_columns,
                                         sizeof(types->has_digits[0]));
    for (size_t c = types->n_columns; c < n_columns; c++) {
        types->kinds[c] = columns[c].kind;
        types->has_digits[c] = false;
    }
    types->columns = columns;
    types->n_columns = n_columns;
}

static int refuse(const RowTypes *types, size_t c, const RowValue *value, uint64_t row)
{
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(buf_deinit) Buf clean = { 0 };
    AUTO(buf_deinit) Buf shown = { 0 };
    const RowColumn *column = &types->columns[c];

    row_value_format(&text, value);
    width_add_clean(&clean, str_cut_utf8(buf_str(&text), 8 * SHOWN_COLUMNS));
    width_add_cut(&shown, buf_str(&clean), SHOWN_COLUMNS);
    return fail(-ERR_INVALID,
                "row %llu, column %.*s: the value %.*s is of kind %s, and the column takes %s%s; "
                "give the column a type that takes both, or write to a file",
                (unsigned long long) row + 1, (int) column->name.len, column->name.data,
                (int) shown.len, shown.data ? shown.data : "", row_kind_name(value->kind),
                row_kind_name(types->kinds[c]),
                column->kind == ROW_ANY ? " as the rows before it had" : "");
}

int row_types_fit(const RowTypes *types, size_t c, const RowValue *value, uint64_t row,
                  Buf *scratch, RowValue *ret)
{
    RowKind kind = types->kinds[c];
    size_t from = scratch->len;

    *ret = *value;
    if (kind == value->kind || value->kind == ROW_ANY || kind == ROW_ANY)
        return 0;
    if (kind == ROW_REAL && value->kind == ROW_INT) {
        buf_add_i64(scratch, value->integer);
        *ret = row_real((double) value->integer, str_sub(buf_str(scratch), from, scratch->len));
        return buf_check(scratch);
    }
    if (kind == ROW_TEXT)
        row_value_format(scratch, value);
    else if (kind == ROW_JSON)
        row_value_format_json(scratch, value);
    else
        return refuse(types, c, value, row);
    *ret = (RowValue){ .kind = kind, .text = str_sub(buf_str(scratch), from, scratch->len) };
    return buf_check(scratch);
}
