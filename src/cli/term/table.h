/*
 * Tables: aligned columns on a terminal, tab-separated lines in a pipe.
 *
 * On a terminal the header is shown, columns are as wide as their widest cell, and when the whole
 * is wider than the terminal the widest column is cut, with an ellipsis. In a pipe each row is a
 * line of cells with tabs between, uncut and without a header, for cut(1) and awk(1). Cells hold
 * what users sent: escape sequences and other control characters go (codec/width).
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#define TABLE_COLUMNS_MAX 12

typedef struct TableColumn {
    const char *name;
    bool is_right; /* numbers */
    bool is_fixed; /* never cut: ids */
} TableColumn;

typedef struct Table {
    Arena *arena;
    const TableColumn *columns;
    size_t n_columns;
    Str *cells; /* row by row */
    size_t n_rows;
    size_t cap_rows;
} Table;

/* A table of COLUMNS (borrowed); cells live in ARENA. */
void table_init(Table *table, Arena *arena, const TableColumn *columns, size_t n_columns);

/* Add a row of n_columns cells; their texts must outlive the table. Aborts beyond the arena's
 * limit. */
void table_add(Table *table, const Str *cells);

typedef struct TableStyle {
    bool is_terminal;
    bool has_colour;
    size_t columns; /* of the terminal */
} TableStyle;

void table_print(const Table *table, const TableStyle *style, Buf *out);

/* How many columns of a terminal TEXT takes. */
size_t table_width(Str text);
