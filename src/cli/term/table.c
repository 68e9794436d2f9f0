/*
 * Tables for people and for pipes; see the header.
 */
#include "cli/term/table.h"

#include "base/assert.h"

#define TABLE_GAP     2
#define TABLE_CUT_MIN 8 /* no column is cut below this */

void table_init(Table *table, Arena *arena, const TableColumn *columns, size_t n_columns)
{
    ASSERT(n_columns <= TABLE_COLUMNS_MAX);
    *table = (Table){ .arena = arena, .columns = columns, .n_columns = n_columns };
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
    memcpy(table->cells + table->n_rows * table->n_columns, cells, row_bytes);
    table->n_rows++;
}

static bool is_continuation(char c)
{
    return ((unsigned char) c & 0xc0) == 0x80;
}

size_t table_width(Str text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.len; i++)
        width += !is_continuation(text.data[i]);
    return width;
}

/* TEXT without control characters, at most WIDTH columns, with an ellipsis where it was cut. */
static void add_cell(Buf *out, Str text, size_t width)
{
    bool is_cut = table_width(text) > width;
    size_t room = is_cut ? width - 1 : width;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char) text.data[i];

        if (!is_continuation(text.data[i])) {
            if (room == 0)
                break;
            room--;
        }
        buf_add_char(out, c < 0x20 || c == 0x7f ? ' ' : text.data[i]);
    }
    if (is_cut)
        buf_add_c(out, "…");
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
        add_cell(out, cells[c], widths[c]);
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
            add_cell(out, cell, SIZE_MAX);
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
