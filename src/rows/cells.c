/*
 * Cells; see the header. A name is looked for first where it stood in the row before: rows of one
 * kind have their names in the same order.
 */
#include "rows/cells.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/row_cast.h"

void cells_begin(Cells *cells, Shape *shape, Parcel *texts)
{
    cells->n = cells->begun = cells->k = 0;
    cells->shape = shape;
    cells->texts = texts;
}

void cells_deinit(Cells *cells)
{
    mem_free(cells->items);
    mem_free(cells->order);
    buf_deinit(&cells->scratch);
    *cells = (Cells){ .items = NULL };
}

void cells_row(Cells *cells, size_t row)
{
    cells->row = (uint32_t) row;
    cells->begun = cells->n;
    cells->k = 0;
}

void cells_undo(Cells *cells)
{
    cells->n = cells->begun;
}

/* The column called NAME, of KIND where it is new. */
static int find_column(Cells *cells, Str name, RowKind kind, size_t *ret_column)
{
    size_t k = cells->k++, column;
    int r;

    if (k >= cells->cap_order) {
        size_t cap = MAX(2 * cells->cap_order, (size_t) 16);

        cells->order = mem_resize_array(cells->order, cap, sizeof(cells->order[0]));
        for (size_t i = cells->cap_order; i < cap; i++)
            cells->order[i] = 0;
        cells->cap_order = cap;
    }
    column = shape_find(cells->shape, name, cells->order[k]);
    if (column == SHAPE_NONE) {
        r = shape_add(cells->shape, name, kind, (Str){ 0 }, &column);
        if (r < 0) {
            err_take(r, NULL);
            return CELLS_TOO_MANY;
        }
    }
    cells->order[k] = column;
    *ret_column = column;
    return 0;
}

/* A text in the scratch buffer becomes one that the parcel keeps. */
static bool keep_text(Cells *cells, RowValue *value)
{
    size_t len = value->text.len;

    if (len > 0)
        value->text = parcel_copy_text(cells->texts, value->text);
    return value->text.len == len;
}

static int add_cell(Cells *cells, size_t column, const RowValue *value)
{
    if (cells->n == cells->cap) {
        cells->cap = MAX(2 * cells->cap, (size_t) 64);
        cells->items = mem_resize_array(cells->items, cells->cap, sizeof(cells->items[0]));
    }
    cells->items[cells->n++] =
        (Cell){ .row = cells->row, .column = (uint32_t) column, .value = *value };
    return 0;
}

int cells_put(Cells *cells, Str name, const RowValue *value)
{
    RowValue fitted = *value;
    RowKind kind;
    size_t column;
    int r;

    if (value->kind == ROW_ANY)
        return 0;
    if (name.len == 0 || name.len > LIMIT_CELL_NAME_BYTES)
        return CELLS_TOO_MANY;
    r = find_column(cells, name, value->kind, &column);
    if (r != 0)
        return r;
    kind = shape_columns(cells->shape)[column].kind;
    if (LIKELY(value->kind == kind || kind == ROW_ANY))
        return add_cell(cells, column, value);
    if (row_cast(value, kind, 0, &cells->scratch, &fitted) != 0)
        return CELLS_CONFLICT;
    if (fitted.text.data == cells->scratch.data && !keep_text(cells, &fitted))
        return CELLS_TOO_LARGE;
    return add_cell(cells, column, &fitted);
}

int cells_put_json(Cells *cells, Str name, const JsonDoc *doc, Json value, RowKind hint)
{
    RowValue cell = row_null();
    int64_t integer;
    Str text;

    switch (json_kind(value)) {
    case JSON_NONE:
    case JSON_NULL: return 0;
    case JSON_BOOL: cell = row_boolean(json_bool_or(value, false)); break;
    case JSON_NUMBER:
        cell = row_real(json_real_or(value, 0), (Str){ 0 });
        if (hint == ROW_INT && json_get_i64(value, &integer))
            cell = row_integer(integer);
        break;
    case JSON_STRING:
        text = json_str_or(value, (Str){ 0 });
        cell = row_text(text);
        if (hint == ROW_TIME && row_parse_time(text, &integer))
            cell = row_time_ns(integer);
        else if (!keep_text(cells, &cell))
            return CELLS_TOO_LARGE;
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        cell = row_json(json_raw(doc, value));
        if (!keep_text(cells, &cell))
            return CELLS_TOO_LARGE;
        break;
    }
    return cells_put(cells, name, &cell);
}

void cells_apply(const Cells *cells, Parcel *parcel)
{
    ASSERT(parcel->shape == cells->shape);
    for (size_t i = 0; i < cells->n; i++) {
        const Cell *cell = &cells->items[i];

        parcel_row(parcel, cell->row)[cell->column] = cell->value;
    }
}

void cells_refuse(int outcome, Parcel *parcel, size_t index, const char *stage, Str name)
{
    int len = (int) MIN(name.len, (size_t) 100);

    if (outcome == CELLS_CONFLICT)
        parcel_refuse(parcel, index, stage, "field_type_conflict",
                      "%.*s is of another kind than in the rows before", len, name.data);
    else if (outcome == CELLS_TOO_LARGE)
        parcel_refuse(parcel, index, stage, "too_large",
                      "the texts of its batch are more than it may hold");
    else
        parcel_refuse(parcel, index, stage, "bad_column",
                      "%.*s: an empty or long name, or a column too many", len, name.data);
}
