/*
 * Batches of rows; see sluice/rows.h for what a row is.
 *
 * Values stand row by row in one array, which doubles up to LIMIT_ROW_BATCH rows and is kept; their
 * texts are in the batch's arena. A batch counts as full when half of LIMIT_ROW_BATCH_BYTES is
 * used, so that the texts of a row that has been begun find room for as much again; only beyond
 * that is a text cut, and the batch counts it.
 *
 * Numbers keep the digits they were written with, wherever the form allows it: JSON refuses `.5`
 * and `+1`, which are then written anew from the value.
 */
#include "rows/row.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/time_text.h"

#include <math.h>
#include <stdio.h>

#define ROW_FIRST_ROWS  16
#define ROW_BYTES_FULL  (LIMIT_ROW_BATCH_BYTES / 2)
#define SECONDS_PER_DAY 86400

const char *row_kind_name(RowKind kind)
{
    static const char *const names[] = {
#define ROW_KIND_NAME_(name, word) word,
        ROW_KINDS(ROW_KIND_NAME_)
#undef ROW_KIND_NAME_
    };

    ASSERT((size_t) kind < ARRAY_LEN(names));
    return names[kind];
}

/* ---- batches --------------------------------------------------------------------------------- */

void row_batch_init(RowBatch *batch, const RowColumn *columns, size_t n_columns)
{
    ASSERT(columns && n_columns > 0 && n_columns <= LIMIT_ROW_COLUMNS);
    *batch = (RowBatch){ .columns = columns, .n_columns = n_columns };
    arena_init(&batch->arena, 2 * (size_t) LIMIT_ROW_BATCH_BYTES);
}

void row_batch_deinit(RowBatch *batch)
{
    arena_deinit(&batch->arena);
    mem_free(batch->values);
    *batch = (RowBatch){ 0 };
}

void row_batch_reset(RowBatch *batch)
{
    batch->n_rows = 0;
    batch->text_bytes = 0;
    batch->n_cut = 0;
    arena_reset(&batch->arena);
}

RowValue *row_batch_add(RowBatch *batch)
{
    RowValue *row;

    if (batch->n_rows >= LIMIT_ROW_BATCH || batch->text_bytes >= ROW_BYTES_FULL)
        return NULL;
    if (batch->n_rows == batch->cap_rows) {
        size_t cap = MIN(MAX(2 * batch->cap_rows, (size_t) ROW_FIRST_ROWS),
                         (size_t) LIMIT_ROW_BATCH);

        batch->values = mem_resize_array(batch->values, cap * batch->n_columns,
                                         sizeof(batch->values[0]));
        batch->cap_rows = cap;
    }
    row = batch->values + batch->n_rows * batch->n_columns;
    for (size_t i = 0; i < batch->n_columns; i++)
        row[i] = row_null();
    batch->n_rows++;
    return row;
}

Str row_batch_copy(RowBatch *batch, Str text)
{
    size_t room = (size_t) LIMIT_ROW_BATCH_BYTES - batch->text_bytes;
    Str kept = str_cut_utf8(text, room);
    char *copy;

    if (kept.len < text.len)
        batch->n_cut++;
    if (kept.len == 0)
        return (Str){ 0 };
    copy = arena_try(&batch->arena, kept.len);
    if (!copy) {
        batch->n_cut++;
        return (Str){ 0 };
    }
    memcpy(copy, kept.data, kept.len);
    batch->text_bytes += kept.len;
    return str_from(copy, kept.len);
}

size_t row_batch_count(const RowBatch *batch)
{
    return batch->n_rows;
}

size_t row_batch_width(const RowBatch *batch)
{
    return batch->n_columns;
}

const RowColumn *row_batch_columns(const RowBatch *batch)
{
    return batch->columns;
}

const RowValue *row_batch_row(const RowBatch *batch, size_t index)
{
    ASSERT(index < batch->n_rows);
    return batch->values + index * batch->n_columns;
}

/* ---- values as text -------------------------------------------------------------------------- */

/* The fewest digits that give VALUE back, without the ".0" of a whole number. */
static void add_real(Buf *out, double value)
{
    size_t from = out->len;
    JsonWriter writer = JSON_WRITER(out);

    if (isnan(value)) {
        buf_add_c(out, "NaN");
        return;
    }
    if (isinf(value)) {
        buf_add_c(out, value < 0 ? "-Infinity" : "Infinity");
        return;
    }
    json_write_real(&writer, value);
    if (out->len >= from + 3 && memcmp(out->data + out->len - 2, ".0", 2) == 0)
        out->len -= 2;
}

/* With at least DIGITS digits of a second, 0 or 3. */
static void add_time(Buf *out, int64_t time_ns, int digits)
{
    int64_t seconds = time_ns / NS_PER_S, rest = time_ns % NS_PER_S, days, year;
    unsigned month, day, of_day;

    if (rest < 0) {
        rest += NS_PER_S;
        seconds--;
    }
    days = seconds / SECONDS_PER_DAY;
    if (seconds % SECONDS_PER_DAY < 0)
        days--;
    of_day = (unsigned) (seconds - days * SECONDS_PER_DAY);
    time_civil_from_days(days, &year, &month, &day);
    buf_printf(out, "%04lld-%02u-%02uT%02u:%02u:%02u", (long long) year, month, day, of_day / 3600,
               of_day / 60 % 60, of_day % 60);
    if (rest % 1000 != 0)
        buf_printf(out, ".%09lld", (long long) rest);
    else if (rest % 1000000 != 0)
        buf_printf(out, ".%06lld", (long long) rest / 1000);
    else if (rest != 0 || digits > 0)
        buf_printf(out, ".%03lld", (long long) rest / 1000000);
    buf_add_char(out, 'Z');
}

void row_time_format(Buf *out, int64_t time_ns)
{
    add_time(out, time_ns, 0);
}

void row_time_format_ms(Buf *out, int64_t time_ns)
{
    add_time(out, time_ns, 3);
}

void row_value_format(Buf *out, const RowValue *value)
{
    switch (value->kind) {
    case ROW_ANY: return;
    case ROW_TEXT:
    case ROW_JSON: buf_add_str(out, value->text); return;
    case ROW_INT: buf_add_i64(out, value->integer); return;
    case ROW_REAL:
        if (value->text.len > 0)
            buf_add_str(out, value->text);
        else
            add_real(out, value->real);
        return;
    case ROW_BOOL: buf_add_c(out, value->boolean ? "true" : "false"); return;
    case ROW_TIME: row_time_format(out, value->time_ns); return;
    }
    UNREACHABLE("all kinds are above");
}

static size_t skip_digits(Str text, size_t at)
{
    while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    return at;
}

/* Whether DIGITS are a number as JSON writes it. */
static bool is_json_number(Str digits)
{
    size_t at = digits.len > 0 && digits.data[0] == '-', from = at;

    at = skip_digits(digits, at);
    if (at == from || (digits.data[from] == '0' && at > from + 1))
        return false;
    if (at < digits.len && digits.data[at] == '.') {
        from = ++at;
        at = skip_digits(digits, at);
        if (at == from)
            return false;
    }
    if (at < digits.len && (digits.data[at] == 'e' || digits.data[at] == 'E')) {
        at++;
        if (at < digits.len && (digits.data[at] == '+' || digits.data[at] == '-'))
            at++;
        from = at;
        at = skip_digits(digits, at);
        if (at == from)
            return false;
    }
    return at == digits.len;
}

/* TEXT, valid JSON, on one line: the breaks between its tokens become spaces. */
static void add_json_line(Buf *out, Str text)
{
    size_t from = out->len;

    row_add_utf8(out, text);
    for (size_t i = from; i < out->len; i++) {
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
    }
}

void row_value_format_json(Buf *out, const RowValue *value)
{
    JsonWriter writer = JSON_WRITER(out);

    switch (value->kind) {
    case ROW_ANY: json_write_null(&writer); return;
    case ROW_TEXT: json_write_str(&writer, value->text); return;
    case ROW_INT: json_write_i64(&writer, value->integer); return;
    case ROW_BOOL: json_write_bool(&writer, value->boolean); return;
    case ROW_REAL:
        if (is_json_number(value->text))
            buf_add_str(out, value->text);
        else
            json_write_real(&writer, value->real);
        return;
    case ROW_TIME:
        buf_add_char(out, '"');
        row_time_format(out, value->time_ns);
        buf_add_char(out, '"');
        return;
    case ROW_JSON:
        if (value->text.len > 0)
            add_json_line(out, value->text);
        else
            json_write_null(&writer);
        return;
    }
    UNREACHABLE("all kinds are above");
}

void row_format_json(Buf *out, const RowBatch *batch, size_t index)
{
    const RowValue *row = row_batch_row(batch, index);

    buf_add_char(out, '{');
    for (size_t c = 0; c < batch->n_columns; c++) {
        JsonWriter writer = JSON_WRITER(out);

        if (c > 0)
            buf_add_char(out, ',');
        json_write_str(&writer, batch->columns[c].name);
        buf_add_char(out, ':');
        row_value_format_json(out, &row[c]);
    }
    buf_add_char(out, '}');
}

void row_add_utf8(Buf *out, Str text)
{
    static const char replacement[] = "\xef\xbf\xbd";

    if (str_is_utf8(text)) {
        buf_add_str(out, text);
        return;
    }
    while (text.len > 0) {
        size_t len = str_utf8_len(text);

        if (len > 0)
            buf_add(out, text.data, len);
        else
            buf_add_c(out, replacement);
        text = str_sub(text, MAX(len, (size_t) 1), text.len);
    }
}
