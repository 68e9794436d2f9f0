/*
 * Rows of a lot as text; see the header.
 */
#include "rows/lot_text.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/json.h"
#include "codec/line_protocol.h"

void lot_add_json(Buf *out, const FeedLot *lot, size_t index, bool has_nulls)
{
    JsonWriter writer = JSON_WRITER(out);
    bool is_first = true;

    ASSERT(index < lot->n_rows);
    buf_add_char(out, '{');
    for (size_t c = 0; c < lot->n_columns; c++) {
        const RowValue *value = &lot->rows[index][c];

        if (value->kind == ROW_ANY && !has_nulls)
            continue;
        if (!is_first)
            buf_add_char(out, ',');
        is_first = false;
        writer = JSON_WRITER(out);
        json_write_str(&writer, lot->columns[c].name);
        buf_add_char(out, ':');
        row_value_format_json(out, value);
    }
    buf_add_char(out, '}');
}

/* ---- line protocol --------------------------------------------------------------------------- */

static size_t time_column(const LotPoint *point, const FeedLot *lot, size_t index)
{
    size_t found = SIZE_MAX;

    for (size_t c = lot->n_columns; c > 0; c--) {
        const RowColumn *column = &lot->columns[c - 1];

        if (point->time.len > 0 ? str_eq(column->name, point->time)
                                : lot->rows[index][c - 1].kind == ROW_TIME)
            found = c - 1;
        if (point->time.len == 0 && str_eq_c(column->name, "time") &&
            lot->rows[index][c - 1].kind == ROW_TIME)
            return c - 1;
    }
    return found;
}

static bool is_tag(const LotPoint *point, const RowColumn *column, const RowValue *value)
{
    if (!point->tags)
        return value->kind == ROW_TEXT;
    for (size_t i = 0; i < point->n_tags; i++) {
        if (str_eq(point->tags[i], column->name))
            return true;
    }
    return false;
}

static int add_tag(LineWriter *line, Str key, const RowValue *value, Buf *scratch)
{
    if (value->kind == ROW_TEXT)
        return value->text.len > 0 ? line_write_tag(line, key, value->text) : 0;
    buf_reset(scratch);
    row_value_format(scratch, value);
    return line_write_tag(line, key, buf_str(scratch));
}

static int add_field(LineWriter *line, Str key, const RowValue *value, Buf *scratch)
{
    switch (value->kind) {
    case ROW_ANY: return 0;
    case ROW_INT: return line_write_i64(line, key, value->integer);
    case ROW_REAL: return line_write_real(line, key, value->real);
    case ROW_BOOL: return line_write_bool(line, key, value->boolean);
    case ROW_TEXT: return line_write_string(line, key, value->text);
    case ROW_TIME:
    case ROW_JSON:
        buf_reset(scratch);
        row_value_format(scratch, value);
        return line_write_string(line, key, buf_str(scratch));
    }
    UNREACHABLE("all kinds are above");
}

int lot_add_point(Buf *out, const LotPoint *point, const FeedLot *lot, size_t index)
{
    AUTO(buf_deinit) Buf scratch = { 0 };
    const RowValue *row = lot->rows[index];
    size_t at = time_column(point, lot, index);
    LineWriter line;
    int r = line_write_begin(&line, out, point->measurement);

    for (int fields = 0; fields < 2 && r == 0; fields++) {
        for (size_t c = 0; c < lot->n_columns && r == 0; c++) {
            if (c == at || row[c].kind == ROW_ANY ||
                is_tag(point, &lot->columns[c], &row[c]) == (fields == 1))
                continue;
            r = fields ? add_field(&line, lot->columns[c].name, &row[c], &scratch)
                       : add_tag(&line, lot->columns[c].name, &row[c], &scratch);
        }
    }
    /* After a refusal it drops what there is of the line, and gives the refusal again. */
    return line_write_end(&line,
                          at < SIZE_MAX && row[at].kind == ROW_TIME ? &row[at].time_ns : NULL);
}
