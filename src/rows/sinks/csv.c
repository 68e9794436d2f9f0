/*
 * csv: comma-separated values as RFC 4180 has them, a head of names first.
 *
 * Lines end in CRLF as the RFC says (?eol=lf for LF alone), `.tsv` and ?sep= change the separator.
 * No value is an empty cell; the empty text is "" in quotes, which readers that care (PostgreSQL's
 * COPY) tell apart. A row of one column without a value is "" too, because an empty line is no row.
 *
 * A text that begins with = + - @ TAB or CR is a formula to a spreadsheet, and text from the web
 * may begin with anything. The default is nevertheless the value as it is: a CSV file is read by
 * programs more often than by people, and "-5 %" with an apostrophe before it is a wrong value.
 * ?safe=1 writes the apostrophe, for files that people will open in a spreadsheet.
 */
#include "codec/csv.h"
#include "rows/file_feed.h"
#include "rows/text_sink.h"

static CsvForm form_of(const SinkSpec *spec)
{
    return (CsvForm){ .separator = spec->separator,
                      .is_eol_lf = spec->is_eol_lf,
                      .is_safe = spec->is_safe };
}

static void csv_head(Buf *out, const SinkSpec *spec, const RowColumn *columns, size_t n_columns)
{
    CsvForm form = form_of(spec);

    for (size_t c = 0; c < n_columns; c++) {
        if (c > 0)
            csv_add_separator(out, &form);
        csv_add_text(out, &form, columns[c].name);
    }
    csv_add_end(out, &form);
}

static void csv_row(Buf *out, const SinkSpec *spec, const RowBatch *batch, size_t index,
                    uint64_t first)
{
    const RowValue *row = row_batch_row(batch, index);
    CsvForm form = form_of(spec);

    (void) first;
    for (size_t c = 0; c < row_batch_width(batch); c++) {
        if (c > 0)
            csv_add_separator(out, &form);
        if (row[c].kind == ROW_TEXT || row[c].kind == ROW_JSON)
            csv_add_text(out, &form, row[c].text);
        else
            row_value_format(out, &row[c]);
    }
    if (row_batch_width(batch) == 1 && row[0].kind == ROW_ANY)
        buf_add_c(out, "\"\"");
    csv_add_end(out, &form);
}

static const TextForm csv_form = {
    .head = csv_head, .row = csv_row, .row_end = "\r\n", .is_head_needed = true
};

SUSPENDS static int csv_open(const SinkSpec *spec, const SinkOpts *opts, void **ret_state,
                             uint64_t *ret_mark)
{
    return text_sink_open(&csv_form, spec, opts, ret_state, ret_mark);
}

SUSPENDS static int csv_feed_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                                  uint64_t *ret_mark, FeedVerdict *verdict)
{
    return file_feed_open(&csv_form, spec, opts, ret_state, ret_mark, verdict);
}

static const FeedDriver csv_feed = { .open = csv_feed_open, FILE_FEED_OPS };

const SinkDriver sink_csv = {
    .name = "csv",
    .summary = "comma-separated values (RFC 4180) with a head of names",
    .suffixes = { ".csv", ".tsv" },
    .modes = 1u << SINK_REPLACE | 1u << SINK_APPEND,
    .is_stdout = true,
    .is_csv_like = true,
    .options = file_feed_options,
    .feed = &csv_feed,
    .open = csv_open,
    TEXT_SINK_OPS,
};
