/*
 * Decoding: lines. Each is a row with one column, "line", and perhaps the time of its arrival.
 */
#include "rows/decode_int.h"

#include "base/macro.h"

/* What all rows of a text of lines have in common. */
typedef struct LinesForm {
    Shape *shape;
    size_t column;
    size_t arrival;   /* column of the time of arrival, or SHAPE_NONE */
    const char *code; /* why there are no columns; NULL: there are */
} LinesForm;

static SUSPENDS int add_line(DecodeRun *run, const LinesForm *form, Str text, const RowPlace *place)
{
    RowValue *row;
    int r;

    if (form->code)
        return decode_refuse(run, place, form->code, run->decoder->why);
    if (text.len > LIMIT_DECODE_LINE_BYTES)
        return decode_refuse(run, place, "line_too_long", "the line is too long");
    if (!str_is_utf8(text))
        return decode_refuse(run, place, "bad_utf8", "the line is not valid UTF-8");
    r = decode_add_row(run, form->shape, form->column + 1, place, &row);
    if (r < 0)
        return r;
    row[form->column] = row_text(text);
    if (form->arrival != SHAPE_NONE)
        row[form->arrival] = row_time_ns(run->receipt->received_ns);
    return 0;
}

SUSPENDS int decode_lines(DecodeRun *run)
{
    Decoder *decoder = run->decoder;
    LinesForm form = { .arrival = SHAPE_NONE };
    size_t at = 0;
    int r = 0;

    decode_begin_row(decoder);
    form.code = decode_shape(decoder, decoder->opts.table, &form.shape);
    if (!form.code) {
        form.arrival = decode_arrival_column(run, form.shape);
        form.code = decode_find_column(decoder, form.shape, str_from_c("line"), ROW_TEXT, 0,
                                       &form.column);
    }
    for (uint64_t line = 1; at < run->text.len && r == 0; line++) {
        Str rest, text = str_cut(str_sub(run->text, at, run->text.len), '\n', &rest);
        size_t next = run->text.len - rest.len;
        RowPlace place;

        text.len -= text.len > 0 && text.data[text.len - 1] == '\r';
        place = decode_place(run, at, at + text.len, next, line);
        at = next;
        r = add_line(run, &form, text, &place);
    }
    return r;
}
