/*
 * table: rows for people, in aligned columns under a head.
 *
 * Rows are gathered until the end, or until TABLE_ROWS or TABLE_BYTES of them are there; then the
 * columns are as wide as what was gathered needs, and later rows are fitted to these widths. On a
 * terminal the whole is cut to its width: the widest columns give way first, a cut cell ends in an
 * ellipsis. In a pipe and in a file nothing is cut, and a later cell that is wider pushes the rest
 * of its line to the right.
 *
 *   name            price EUR  rating
 *   ──────────────  ─────────  ──────
 *   Copper kettle       19.90     4.5
 *   Enamel mug           7.00       –
 *
 * Numbers stand to the right. A column in which nothing has a value is left out unless it is
 * needed. No value is "–"; a null that came as such is "null", what is of the wrong type "!". Text
 * loses what could steer the terminal (codec/width). A resumed run goes on with the widths it had:
 * they are part of the position, behind the bytes.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/width.h"
#include "rows/text_sink.h"

#define TABLE_GAP     2
#define TABLE_CUT_MIN 8 /* no column is cut below this */
#define TABLE_HIDDEN  SIZE_MAX

typedef struct TableColumnState {
    Str head;      /* name and unit; in the arena */
    size_t width;  /* columns of the terminal; TABLE_HIDDEN: left out */
    bool is_right; /* numbers only, so far */
    bool is_left;  /* something else was there */
    bool has_value;
    bool is_needed;
} TableColumnState;

typedef struct TableSink {
    OutFile *file;
    Arena arena;    /* heads, and the cells gathered */
    Str *cells;     /* row by row; owned */
    size_t n_cells; /* gathered */
    size_t cap_cells;
    size_t cell_bytes;
    TableColumnState *columns; /* owned */
    size_t n_columns;
    size_t columns_wide; /* of the terminal; 0: nothing is cut */
    bool has_colour;
    bool is_settled; /* widths are fixed and the head is out */
    uint64_t rows;
} TableSink;

/* ---- widths ---------------------------------------------------------------------------------- */

static void measure(TableSink *table)
{
    for (size_t i = 0; i < table->n_cells; i++) {
        TableColumnState *column = &table->columns[i % table->n_columns];

        column->width = MAX(column->width, width_of(table->cells[i]));
    }
    for (size_t c = 0; c < table->n_columns; c++) {
        TableColumnState *column = &table->columns[c];

        if (!column->has_value && !column->is_needed && table->n_cells > 0)
            column->width = TABLE_HIDDEN;
        else
            column->width = MAX(column->width, width_of(column->head));
    }
}

static size_t total_width(const TableSink *table, size_t *ret_widest)
{
    size_t total = 0;

    *ret_widest = table->n_columns;
    for (size_t c = 0; c < table->n_columns; c++) {
        size_t width = table->columns[c].width;

        if (width == TABLE_HIDDEN)
            continue;
        total += (total > 0 ? TABLE_GAP : 0) + width;
        if (width > TABLE_CUT_MIN &&
            (*ret_widest == table->n_columns || width > table->columns[*ret_widest].width))
            *ret_widest = c;
    }
    return total;
}

/* Cut the widest column, a bit at a time so that equals give way alike, until the whole fits. */
static void fit(TableSink *table)
{
    size_t widest;

    for (size_t c = 0; c < table->n_columns; c++) {
        if (table->columns[c].width != TABLE_HIDDEN)
            table->columns[c].width = MIN(table->columns[c].width,
                                          MAX(table->columns_wide, (size_t) TABLE_CUT_MIN));
    }
    while (total_width(table, &widest) > table->columns_wide && widest < table->n_columns)
        table->columns[widest].width--;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void pad(Buf *out, size_t n)
{
    while (n-- > 0)
        buf_add_char(out, ' ');
}

static void add_cell(const TableSink *table, const TableColumnState *column, Str cell, bool is_last,
                     Buf *out)
{
    size_t width = width_of(cell), room = column->width;

    if (table->columns_wide > 0)
        width = MIN(width, room);
    if (column->is_right && !column->is_left && width < room)
        pad(out, room - width);
    if (table->columns_wide > 0)
        width_add_cut(out, cell, room);
    else
        buf_add_str(out, cell);
    if ((!column->is_right || column->is_left) && width < room && !is_last)
        pad(out, room - width);
    if (!is_last)
        pad(out, TABLE_GAP);
}

static size_t last_shown(const TableSink *table)
{
    size_t last = 0;

    for (size_t c = 0; c < table->n_columns; c++) {
        if (table->columns[c].width != TABLE_HIDDEN)
            last = c;
    }
    return last;
}

static void add_line(const TableSink *table, const Str *cells, Buf *out)
{
    size_t last = last_shown(table);

    for (size_t c = 0; c < table->n_columns; c++) {
        if (table->columns[c].width != TABLE_HIDDEN)
            add_cell(table, &table->columns[c], cells[c], c == last, out);
    }
    buf_add_char(out, '\n');
}

static void add_head(const TableSink *table, Buf *out)
{
    size_t last = last_shown(table);

    buf_add_c(out, table->has_colour ? "\x1b[1m" : "");
    for (size_t c = 0; c < table->n_columns; c++) {
        if (table->columns[c].width != TABLE_HIDDEN)
            add_cell(table, &table->columns[c], table->columns[c].head, c == last, out);
    }
    buf_add_c(out, table->has_colour ? "\x1b[0m\n" : "\n");
    for (size_t c = 0; c < table->n_columns; c++) {
        if (table->columns[c].width == TABLE_HIDDEN)
            continue;
        for (size_t i = 0; i < table->columns[c].width; i++)
            buf_add_c(out, "─");
        pad(out, c == last ? 0 : TABLE_GAP);
    }
    buf_add_char(out, '\n');
}

/* Fix the widths and put out what was gathered. Runs on a pool thread when that is much. */
static int settle_main(void *arg)
{
    TableSink *table = arg;
    Buf *out = out_file_buf(table->file);

    if (!table->is_settled) {
        measure(table);
        if (table->columns_wide > 0)
            fit(table);
        add_head(table, out);
        table->is_settled = true;
    }
    for (size_t i = 0; i < table->n_cells; i += table->n_columns)
        add_line(table, table->cells + i, out);
    table->n_cells = 0;
    table->cell_bytes = 0;
    return 0;
}

SUSPENDS static int settle(TableSink *table)
{
    int r = table->n_cells > 4096 ? sl_offload(settle_main, table, .name = "format table")
                                  : settle_main(table);

    return r < 0 ? r : out_file_push(table->file);
}

/* ---- gathering ------------------------------------------------------------------------------- */

/* What stands where no value is. */
static Str text_of_gap(RowGap gap)
{
    switch (gap) {
    case ROW_GAP_NONE: return (Str) STR("–");
    case ROW_GAP_NULL: return (Str) STR("null");
    case ROW_GAP_WRONG: return (Str) STR("!");
    }
    UNREACHABLE("all gaps are above");
}

static Str cell_of(TableSink *table, const RowValue *value, Buf *scratch, bool *is_whole)
{
    AUTO(buf_deinit) Buf text = { 0 };

    buf_reset(scratch);
    if (value->kind == ROW_ANY)
        return text_of_gap(value->gap);
    row_value_format(&text, value);
    width_add_clean(scratch, buf_str(&text));
    if (text.is_failed)
        scratch->is_failed = scratch->is_oom = true;
    *is_whole &= !scratch->is_failed;
    table->cell_bytes += scratch->len;
    return arena_copy(&table->arena, buf_str(scratch));
}

/* 0 or -ENOMEM. */
static int gather_row(TableSink *table, const RowValue *row, Buf *scratch)
{
    bool is_whole = true;

    if (table->n_cells + table->n_columns > table->cap_cells) {
        size_t cap = MAX(2 * table->cap_cells, 32 * table->n_columns);

        table->cells = mem_resize_array(table->cells, cap, sizeof(table->cells[0]));
        table->cap_cells = cap;
    }
    for (size_t c = 0; c < table->n_columns; c++) {
        TableColumnState *column = &table->columns[c];
        bool is_number = row[c].kind == ROW_INT || row[c].kind == ROW_REAL;

        table->cells[table->n_cells++] = cell_of(table, &row[c], scratch, &is_whole);
        column->has_value |= row[c].kind != ROW_ANY;
        if (!table->is_settled) {
            column->is_right |= is_number;
            column->is_left |= row[c].kind != ROW_ANY && !is_number;
        }
    }
    return is_whole ? 0 : fail(-ENOMEM, "a row of a table");
}

/* Put out what has gathered when it is enough, or when the widths are fixed anyway. */
SUSPENDS static int put_out(TableSink *table)
{
    AUTO(arena_deinit) Arena kept = { 0 };
    int r = settle(table);

    if (r < 0)
        return r;
    /* The heads live in the same arena: carried over while the cells go. */
    for (size_t c = 0; c < table->n_columns; c++)
        table->columns[c].head = arena_copy(&kept, table->columns[c].head);
    arena_reset(&table->arena);
    for (size_t c = 0; c < table->n_columns; c++)
        table->columns[c].head = arena_copy(&table->arena, table->columns[c].head);
    return 0;
}

SUSPENDS static int table_write(void *state, const RowBatch *batch)
{
    TableSink *table = state;
    AUTO(buf_deinit) Buf scratch = { 0 };

    for (size_t i = 0; i < row_batch_count(batch); i++) {
        int r = gather_row(table, row_batch_row(batch, i), &scratch);

        if (r < 0)
            return r;
        table->rows++;
        if (table->n_cells / table->n_columns >= LIMIT_TABLE_ROWS ||
            table->cell_bytes >= LIMIT_TABLE_BYTES) {
            r = put_out(table);
            if (r < 0)
                return r;
        }
    }
    return table->is_settled && table->n_cells > 0 ? put_out(table) : 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void table_free(TableSink *table)
{
    arena_deinit(&table->arena);
    mem_free(table->cells);
    mem_free(table->columns);
    mem_free(table);
}
DEFINE_AUTO(TableSink *, table_free);

static Str head_of(Arena *arena, const RowColumn *column)
{
    AUTO(buf_deinit) Buf head = { 0 };

    width_add_clean(&head, column->name);
    if (column->unit.len > 0) {
        buf_add_char(&head, ' ');
        width_add_clean(&head, column->unit);
    }
    return arena_copy(arena, buf_str(&head));
}

/* Read the widths that stand behind the bytes of a position: "w" and a number for each column. */
static int resume_widths(TableSink *table, Str text)
{
    for (size_t c = 0; c < table->n_columns; c++) {
        Str word = str_cut(text, ',', &text);
        uint64_t width;
        int r;

        if (str_eq_c(word, "x")) {
            table->columns[c].width = TABLE_HIDDEN;
            continue;
        }
        table->columns[c].is_right = str_starts(word, str_from_c("r"));
        table->columns[c].is_left = !table->columns[c].is_right;
        r = str_to_u64(str_sub(word, 1, word.len), LIMIT_TABLE_BYTES, &width);
        if (r < 0)
            return wrap(r, "position of a table");
        table->columns[c].width = width;
    }
    table->is_settled = true;
    return 0;
}

SUSPENDS static int table_open(const SinkSpec *spec, const SinkOpts *opts, void **ret_state,
                               uint64_t *ret_mark)
{
    AUTO(table_free) TableSink *table = mem_new(TableSink);
    TextPosition position = { 0 };
    Str widths, numbers = str_cut(opts->position, '/', &widths);
    uint64_t bytes;
    int r = numbers.len > 0 ? text_position_parse(numbers, &position) : 0;

    (void) ret_mark; /* the position belongs to the caller's own mark */
    *table = (TableSink){ .n_columns = opts->n_columns,
                          .columns_wide = opts->columns_wide,
                          .has_colour = opts->has_colour,
                          .rows = position.rows,
                          .columns = mem_new_array(TableColumnState, opts->n_columns) };
    arena_init(&table->arena, 2 * (size_t) LIMIT_ARENA_BYTES);
    for (size_t c = 0; c < opts->n_columns; c++) {
        RowKind kind = opts->columns[c].kind;

        table->columns[c] = (TableColumnState){
            .head = head_of(&table->arena, &opts->columns[c]),
            .is_right = kind == ROW_INT || kind == ROW_REAL,
            .is_needed = opts->columns[c].is_needed,
        };
    }
    if (r == 0 && widths.len > 0)
        r = resume_widths(table, widths);
    if (r < 0)
        return r;
    r = out_file_open(&table->file,
                      &(OutFileOpts){ .path = spec->target,
                                      .fd = opts->fd,
                                      .is_resumable = opts->run_id.len > 0,
                                      .is_resume = opts->is_resume,
                                      .bytes = position.bytes,
                                      .inode = position.inode },
                      &bytes);
    if (r < 0)
        return r;
    *ret_state = TAKE(table);
    return 0;
}

SUSPENDS static int table_checkpoint(void *state, uint64_t mark, Buf *position)
{
    TableSink *table = state;
    int r = table->n_cells > 0 ? put_out(table) : 0;

    (void) mark; /* kept by the caller, with the position */
    if (r == 0)
        r = out_file_sync(table->file);
    if (r < 0)
        return r;
    text_position_format(position, &(TextPosition){ .bytes = out_file_bytes(table->file),
                                                    .rows = table->rows,
                                                    .inode = out_file_inode(table->file) });
    for (size_t c = 0; c < table->n_columns && table->is_settled; c++) {
        const TableColumnState *column = &table->columns[c];

        buf_add_char(position, c == 0 ? '/' : ',');
        if (column->width == TABLE_HIDDEN)
            buf_add_char(position, 'x');
        else
            buf_printf(position, "%c%zu", column->is_right && !column->is_left ? 'r' : 'l',
                       column->width);
    }
    return buf_check(position);
}

SUSPENDS static int table_commit(void *state)
{
    TableSink *table = state;
    int r = table->n_cells > 0 || !table->is_settled ? settle(table) : 0;

    return r < 0 ? r : out_file_commit(table->file);
}

SUSPENDS static void table_close(void *state)
{
    TableSink *table = state;

    out_file_close(table->file);
    table_free(table);
}

static const char *table_place(const void *state)
{
    const TableSink *table = state;

    return out_file_partial(table->file);
}

const SinkDriver sink_table = {
    .name = "table",
    .summary = "aligned columns for people",
    .modes = 1u << SINK_REPLACE,
    .is_stdout = true,
    .open = table_open,
    .write = table_write,
    .checkpoint = table_checkpoint,
    .commit = table_commit,
    .close = table_close,
    .get_place = table_place,
};
