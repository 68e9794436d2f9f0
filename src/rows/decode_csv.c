/*
 * Decoding: CSV.
 *
 * The first record names the columns: of a body, or of a stream. A name that is empty becomes
 * "column_3", one that is there already "name_3" (3 is where it stands, from 1). A record with more
 * cells than there are names is refused; one with fewer has nulls at its end.
 *
 * Cells are text, views of the payload where no quotes are doubled. Where the column is of another
 * kind, because it is the time's or because it was declared, they are cast.
 */
#include "rows/decode_int.h"

#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/row_cast.h"

#include <stdio.h>

/* What the records of a text have in common; the columns are in decoder->columns. */
typedef struct CsvTable {
    Shape *shape;
    size_t width;
    size_t arrival;   /* column of the time of arrival, or SHAPE_NONE */
    const char *code; /* why there are no columns; NULL: there are */
    char why[REFUSAL_TEXT_BYTES];
} CsvTable;

/* ---- the head -------------------------------------------------------------------------------- */

static bool is_there(const Decoder *decoder, Str name)
{
    for (size_t i = 0; i < decoder->n_head; i++)
        if (str_eq(decoder->head[i], name))
            return true;
    return false;
}

/* The text of CELL as it is meant, copied. */
static Str copy_cell(Arena *arena, const CsvCell *cell)
{
    Str text = arena_copy(arena, cell->text);

    if (cell->is_doubled)
        text.len = csv_undouble(cell->text, (char *) text.data);
    return cell->is_quoted ? text : str_trim(text);
}

void decode_csv_take_head(Decoder *decoder, const CsvRecord *record)
{
    Arena *arena = &decoder->head_texts;
    size_t n = MIN(record->n_cells, (size_t) LIMIT_SHAPE_COLUMNS);

    arena_reset(arena);
    decoder->n_head = 0;
    decoder->head = mem_resize_array(decoder->head, n, sizeof(decoder->head[0]));
    for (size_t i = 0; i < n; i++) {
        Str name = copy_cell(arena, &record->cells[i]);

        if (name.len == 0)
            name = arena_printf(arena, "column_%zu", i + 1);
        else if (is_there(decoder, name))
            name = arena_printf(arena, "%.*s_%zu", (int) name.len, name.data, i + 1);
        decoder->head[decoder->n_head++] = name;
    }
}

/* The columns for the names at hand. */
static void begin_table(DecodeRun *run, CsvTable *table)
{
    Decoder *decoder = run->decoder;

    if (decoder->is_headless) {
        (void) snprintf(table->why, sizeof(table->why), "the first line does not name the columns");
        table->code = "no_head";
        return;
    }
    decode_begin_row(decoder);
    decode_reserve_columns(decoder, decoder->n_head);
    table->code = decode_shape(decoder, decoder->opts.table, &table->shape);
    for (size_t i = 0; i < decoder->n_head && !table->code; i++) {
        RowKind kind = decode_is_time(decoder, decoder->head[i]) ? ROW_TIME : ROW_TEXT;

        table->code = decode_find_column(decoder, table->shape, decoder->head[i], kind, i,
                                         &decoder->columns[i]);
        if (!table->code)
            table->width = MAX(table->width, decoder->columns[i] + 1);
    }
    memcpy(table->why, decoder->why, sizeof(table->why));
    if (table->code)
        return;
    table->arrival = decode_arrival_column(run, table->shape);
    if (table->arrival != SHAPE_NONE)
        table->width = MAX(table->width, table->arrival + 1);
}

/* ---- records --------------------------------------------------------------------------------- */

/* CELL for a column of KIND; false when it is none of that kind. */
static bool convert(DecodeRun *run, const CsvCell *cell, RowKind kind, RowValue *ret)
{
    Decoder *decoder = run->decoder;
    Str text = cell->text;
    char *out;

    if (text.len == 0 && !cell->is_quoted) {
        *ret = row_null();
        return true;
    }
    if (cell->is_doubled) {
        buf_reset(&decoder->scratch);
        out = buf_reserve(&decoder->scratch, text.len);
        if (!out)
            return false;
        text = parcel_copy_text(run->parcel, str_from(out, csv_undouble(text, out)));
    }
    *ret = row_text(text);
    if (kind == ROW_TEXT || kind == ROW_ANY)
        return true;
    if (row_cast(ret, kind, decoder->unit_ns, &decoder->scratch, ret) != 0)
        return false;
    if (ret->kind == ROW_JSON)
        ret->text = parcel_copy_text(run->parcel, ret->text);
    return true;
}

static void fill(DecodeRun *run, const CsvTable *table, const CsvRecord *record, RowValue *row)
{
    const RowColumn *columns = shape_columns(table->shape);

    for (size_t i = 0; i < record->n_cells; i++) {
        size_t column = run->decoder->columns[i];
        RowValue value;

        if (!convert(run, &record->cells[i], columns[column].kind, &value)) {
            if (columns[column].kind == ROW_TIME)
                return decode_refuse_added(run, "bad_time", DECODE_BAD_TIME);
            return decode_refuse_conflict(run, column, &value);
        }
        row[column] = value;
    }
    if (table->arrival != SHAPE_NONE && row[table->arrival].kind == ROW_ANY)
        row[table->arrival] = row_time_ns(run->receipt->received_ns);
}

static SUSPENDS int add_record(DecodeRun *run, const CsvTable *table, const CsvRecord *record)
{
    Decoder *decoder = run->decoder;
    RowPlace place = decode_place(run, record->begin, record->end, decoder->csv.at, record->line);
    RowValue *row;
    int r;

    if (table->code)
        return decode_refuse(run, &place, table->code, table->why);
    if (record->n_cells > decoder->n_head) {
        (void) snprintf(decoder->why, sizeof(decoder->why),
                        "%zu cells, and %zu columns in the head", record->n_cells, decoder->n_head);
        return decode_refuse(run, &place, "too_many_cells", decoder->why);
    }
    r = decode_add_row(run, table->shape, table->width, &place, &row);
    if (r < 0)
        return r;
    fill(run, table, record, row);
    return 0;
}

static SUSPENDS int refuse_record(DecodeRun *run, const CsvRecord *record)
{
    CsvReader *csv = &run->decoder->csv;
    RowPlace place = decode_place(run, record->begin, record->end, csv->at, record->line);

    return decode_refuse(run, &place, csv_fault_code(csv->fault), csv_fault_words(csv->fault));
}

/* The first record: names. What is wrong with it is wrong with every record. */
static SUSPENDS int take_head(DecodeRun *run, const CsvRecord *record, bool is_good)
{
    Decoder *decoder = run->decoder;

    decoder->n_head = 0;
    decoder->is_headless = !is_good || record->n_cells > LIMIT_SHAPE_COLUMNS;
    if (!is_good)
        return refuse_record(run, record);
    decode_csv_take_head(decoder, record);
    return 0;
}

/* The names go with the bytes: a row alone does not say what its cells are. */
static void keep_head(const DecodeRun *run)
{
    const Decoder *decoder = run->decoder;
    char separator = decoder->opts.separator ? decoder->opts.separator : ',';
    Buf *out = &run->payload->head;

    buf_reset(out);
    for (size_t i = 0; i < decoder->n_head; i++) {
        Str name = decoder->head[i];

        if (i > 0)
            buf_add_char(out, separator);
        buf_add_char(out, '"');
        for (size_t k = 0; k < name.len; k++) {
            if (name.data[k] == '"')
                buf_add_char(out, '"');
            buf_add_char(out, name.data[k]);
        }
        buf_add_char(out, '"');
    }
}

SUSPENDS int decode_csv(DecodeRun *run)
{
    Decoder *decoder = run->decoder;
    CsvTable table = { .arrival = SHAPE_NONE };
    bool is_first = !decoder->is_stream || (decoder->n_head == 0 && !decoder->is_headless);
    bool has_table = false;
    CsvRecord record;
    int r;

    csv_reader_begin(&decoder->csv, run->text, 1);
    while ((r = csv_reader_next(&decoder->csv, &record)) != CSV_END) {
        if (is_first) {
            is_first = false;
            r = take_head(run, &record, r == 0);
        } else if (r == CSV_BAD) {
            r = refuse_record(run, &record);
        } else {
            if (!has_table)
                begin_table(run, &table);
            if (!has_table)
                keep_head(run);
            has_table = true;
            r = add_record(run, &table, &record);
        }
        if (r < 0)
            return r;
    }
    return 0;
}
