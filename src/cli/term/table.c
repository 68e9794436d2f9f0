/*
 * Tables for people and for pipes; see the header.
 */
#include "cli/term/table.h"

#include "base/assert.h"
#include "codec/width.h"

#define TABLE_GAP     2
#define TABLE_CUT_MIN 8 /* no column is cut below this */

void table_init(Table *table, Arena *arena, const TableColumn *columns, size_t n_columns)
{
    ASSERT(n_columns <= TABLE_COLUMNS_MAX);
    *table = (Table){ .arena = arena, .columns = columns, .n_columns = n_columns };
}

/* TEXT as it may be shown; itself when nothing in it is odd. */
static Str clean(Arena *arena, Str text)
{
    AUTO(buf_deinit) Buf shown = { 0 };

    width_add_clean(&shown, text);
    return str_eq(buf_str(&shown), text) ? text : arena_copy(arena, buf_str(&shown));
}

void table_add(Table *table, const Str *cells)
{
    size_t row_bytes = table->n_columns * sizeof(Str);

    if (table->n_rows == table->cap_rows) {
        size_t cap = table->cap_rows ? 2 * table->cap_rows : 32;
        Str *grown = arena_zalloc(table->arena, cap * row_bytes);

        if (table->n_rows)
            memcpy(grown, table->cells, table->n_rows * row_bytes);
        table->cells = grown;
        table->cap_rows = cap;
    }
    for (size_t c = 0; c < table->n_columns; c++)
        table->cells[table->n_rows * table->n_columns + c] = clean(table->arena, cells[c]);
    table->n_rows++;
}

size_t table_width(Str text)
{
    return width_of(text);
}

static void pad(Buf *out, size_t n)
{
    while (n-- > 0)
        buf_add_char(out, ' ');
}

static void measure(const Table *table, size_t *widths)
{
    for (size_t c = 0; c < table->n_columns; c++) {
        widths[c] = table_width(str_from_c(table->columns[c].name));
        for (size_t i = 0; i < table->n_rows; i++)
            widths[c] = MAX(widths[c], table_width(table->cells[i * table->n_columns + c]));
    }
}

/* Cut the widest column that may be cut, a bit at a time, until the whole fits. */
static void fit(const Table *table, size_t *widths, size_t columns)
{
    for (;;) {
        size_t total = (table->n_columns - 1) * TABLE_GAP, widest = table->n_columns;

        for (size_t c = 0; c < table->n_columns; c++) {
            total += widths[c];
            if (!table->columns[c].is_fixed && widths[c] > TABLE_CUT_MIN &&
                (widest == table->n_columns || widths[c] > widths[widest]))
                widest = c;
        }
        if (total <= columns || widest == table->n_columns)
            return;
        widths[widest] -= MIN(total - columns, widths[widest] - TABLE_CUT_MIN);
    }
}

static void print_row(const Table *table, const Str *cells, const size_t *widths, Buf *out)
{
    for (size_t c = 0; c < table->n_columns; c++) {
        size_t width = MIN(table_width(cells[c]), widths[c]);
        bool is_last = c + 1 == table->n_columns;

        if (table->columns[c].is_right)
            pad(out, widths[c] - width);
        width_add_cut(out, cells[c], widths[c]);
        if (!table->columns[c].is_right && !is_last)
            pad(out, widths[c] - width);
        if (!is_last)
            pad(out, TABLE_GAP);
    }
    buf_add_char(out, '\n');
}

static void print_lines(const Table *table, Buf *out)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        for (size_t c = 0; c < table->n_columns; c++) {
            Str cell = table->cells[i * table->n_columns + c];

            if (c)
                buf_add_char(out, '\t');
            width_add_cut(out, cell, SIZE_MAX);
        }
        buf_add_char(out, '\n');
    }
}

void table_print(const Table *table, const TableStyle *style, Buf *out)
{
    size_t widths[TABLE_COLUMNS_MAX];
    Str names[TABLE_COLUMNS_MAX];

    if (!style->is_terminal) {
        print_lines(table, out);
        return;
    }
    measure(table, widths);
    fit(table, widths, style->columns);
    for (size_t c = 0; c < table->n_columns; c++)
        names[c] = str_from_c(table->columns[c].name);
    if (style->has_colour)
        buf_add_c(out, "\x1b[1m");
    print_row(table, names, widths, out);
    if (style->has_colour)
        buf_add_c(out, "\x1b[0m");
    for (size_t i = 0; i < table->n_rows; i++)
        print_row(table, table->cells + i * table->n_columns, widths, out);
}
