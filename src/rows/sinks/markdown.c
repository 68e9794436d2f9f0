/*
 * markdown: a table as GitHub and most others read it. Numbers stand to the right.
 *
 * What would end a cell or begin markup is escaped: the pipe and the backslash, angle brackets (a
 * cell is text, never HTML), backticks, stars, underscores, square brackets. Line breaks become
 * <br>, other control characters spaces.
 */
#include "codec/width.h"
#include "rows/text_sink.h"

static void add_cell(Buf *out, Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '\n')
            buf_add_c(out, "<br>");
        else if (c == '<')
            buf_add_c(out, "&lt;");
        else if (c == '&')
            buf_add_c(out, "&amp;");
        else if (strchr("|\\`*_[]~", c) && c != '\0')
            buf_printf(out, "\\%c", c);
        else
            buf_add_char(out, c);
    }
}

static bool is_number(RowKind kind)
{
    return kind == ROW_INT || kind == ROW_REAL;
}

/* TEXT, as a cell; line breaks are kept through the cleaning. */
static void add_clean_cell(Buf *out, Str text)
{
    AUTO(buf_deinit) Buf clean = { 0 };

    while (text.len > 0) {
        Str rest, line = str_cut(text, '\n', &rest);
        bool has_break = line.len < text.len;

        width_add_clean(&clean, line);
        if (has_break)
            buf_add_char(&clean, '\n');
        text = rest;
    }
    if (clean.is_failed)
        out->is_failed = out->is_oom = true; /* never a cell that is cut short */
    add_cell(out, buf_str(&clean));
}

static void markdown_head(Buf *out, const SinkSpec *spec, const RowColumn *columns,
                          size_t n_columns)
{
    (void) spec;
    for (size_t c = 0; c < n_columns; c++) {
        buf_add_c(out, "| ");
        add_clean_cell(out, columns[c].name);
        if (columns[c].unit.len > 0) {
            buf_add_c(out, " (");
            add_clean_cell(out, columns[c].unit);
            buf_add_char(out, ')');
        }
        buf_add_char(out, ' ');
    }
    buf_add_c(out, "|\n");
    for (size_t c = 0; c < n_columns; c++)
        buf_add_c(out, is_number(columns[c].kind) ? "| ---: " : "| --- ");
    buf_add_c(out, "|\n");
}

static void markdown_row(Buf *out, const SinkSpec *spec, const RowBatch *batch, size_t index,
                         uint64_t first)
{
    const RowValue *row = row_batch_row(batch, index);

    (void) spec;
    (void) first;
    for (size_t c = 0; c < row_batch_width(batch); c++) {
        buf_add_c(out, "| ");
        if (row[c].kind == ROW_TEXT || row[c].kind == ROW_JSON)
            add_clean_cell(out, row[c].text);
        else
            row_value_format(out, &row[c]);
        buf_add_char(out, ' ');
    }
    buf_add_c(out, "|\n");
}

static const TextForm markdown_form = { .head = markdown_head, .row = markdown_row };

SUSPENDS static int markdown_open(const SinkSpec *spec, const SinkOpts *opts, void **ret_state,
                                  uint64_t *ret_mark)
{
    return text_sink_open(&markdown_form, spec, opts, ret_state, ret_mark);
}

const SinkDriver sink_markdown = {
    .name = "markdown",
    .summary = "a table in Markdown",
    .suffixes = { ".md", ".markdown" },
    .modes = 1u << SINK_REPLACE,
    .is_stdout = true,
    .open = markdown_open,
    TEXT_SINK_OPS,
};
