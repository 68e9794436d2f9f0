/*
 * Line protocol: writing.
 *
 * A point that turns out to be wrong is cut off again, so that the buffer holds whole lines only.
 */
#include "codec/line_protocol.h"

#include "base/err.h"
#include "codec/json.h"

#include <math.h>

/* TEXT with a backslash before each byte of SPECIAL. */
static void add_escaped(Buf *out, Str text, const char *special)
{
    size_t from = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] && strchr(special, text.data[i])) {
            buf_add(out, text.data + from, i - from);
            buf_add_char(out, '\\');
            from = i;
        }
    }
    buf_add(out, text.data + from, text.len - from);
}

static int refuse(LineWriter *writer, const char *what, const char *why)
{
    if (writer->first_err == 0)
        writer->first_err = fail(-ERR_INVALID, "line protocol: %s %s", what, why);
    return writer->first_err;
}

static int check_name(LineWriter *writer, const char *what, Str name)
{
    if (name.len == 0)
        return refuse(writer, what, "must not be empty");
    if (!str_is_utf8(name))
        return refuse(writer, what, "is not UTF-8");
    if (name.data[name.len - 1] == '\\')
        return refuse(writer, what, "ends in a backslash");
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char) name.data[i] < ' ' || name.data[i] == 0x7f)
            return refuse(writer, what, "holds a control character");
    return 0;
}

int line_write_begin(LineWriter *writer, Buf *out, Str measurement)
{
    int r;

    *writer = (LineWriter){ .out = out, .begin = out->len };
    r = check_name(writer, "the measurement", measurement);
    if (r < 0)
        return r;
    if (measurement.data[0] == '#')
        return refuse(writer, "the measurement", "begins with #, as comments do");
    add_escaped(out, measurement, ", ");
    return 0;
}

int line_write_tag(LineWriter *writer, Str key, Str value)
{
    int r = writer->first_err;

    if (r == 0)
        r = check_name(writer, "a tag's key", key);
    if (r == 0)
        r = check_name(writer, "a tag's value", value);
    if (r < 0)
        return r;
    if (writer->has_fields)
        return refuse(writer, "a tag", "comes behind a field");
    buf_add_char(writer->out, ',');
    add_escaped(writer->out, key, ",= ");
    buf_add_char(writer->out, '=');
    add_escaped(writer->out, value, ",= ");
    return 0;
}

static int begin_field(LineWriter *writer, Str key)
{
    int r = writer->first_err;

    if (r == 0)
        r = check_name(writer, "a field's key", key);
    if (r < 0)
        return r;
    buf_add_char(writer->out, writer->has_fields ? ',' : ' ');
    add_escaped(writer->out, key, ",= ");
    buf_add_char(writer->out, '=');
    writer->has_fields = true;
    return 0;
}

int line_write_real(LineWriter *writer, Str key, double value)
{
    JsonWriter json = JSON_WRITER(writer->out);
    int r;

    if (!isfinite(value))
        return refuse(writer, "a field's value", "is no finite number");
    r = begin_field(writer, key);
    if (r < 0)
        return r;
    json_write_real(&json, value);
    if (str_ends(buf_str(writer->out), str_from(".0", 2)))
        writer->out->len -= 2;
    return 0;
}

int line_write_i64(LineWriter *writer, Str key, int64_t value)
{
    int r = begin_field(writer, key);

    if (r < 0)
        return r;
    buf_add_i64(writer->out, value);
    buf_add_char(writer->out, 'i');
    return 0;
}

int line_write_u64(LineWriter *writer, Str key, uint64_t value)
{
    int r = begin_field(writer, key);

    if (r < 0)
        return r;
    buf_add_u64(writer->out, value);
    buf_add_char(writer->out, 'u');
    return 0;
}

int line_write_bool(LineWriter *writer, Str key, bool value)
{
    int r = begin_field(writer, key);

    if (r < 0)
        return r;
    buf_add_c(writer->out, value ? "true" : "false");
    return 0;
}

int line_write_string(LineWriter *writer, Str key, Str value)
{
    int r;

    if (!str_is_utf8(value))
        return refuse(writer, "a string", "is not UTF-8");
    r = begin_field(writer, key);
    if (r < 0)
        return r;
    buf_add_char(writer->out, '"');
    add_escaped(writer->out, value, "\"\\");
    buf_add_char(writer->out, '"');
    return 0;
}

int line_write_end(LineWriter *writer, const int64_t *time)
{
    if (writer->first_err == 0 && !writer->has_fields)
        (void) refuse(writer, "a point", "has no fields"); /* kept in first_err */
    if (writer->first_err < 0) {
        writer->out->len = writer->begin;
        return writer->first_err;
    }
    if (time) {
        buf_add_char(writer->out, ' ');
        buf_add_i64(writer->out, *time);
    }
    buf_add_char(writer->out, '\n');
    return buf_check(writer->out);
}
