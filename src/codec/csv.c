/*
 * CSV, written; see the header.
 *
 * Almost every cell needs no quotes: one pass over its bytes by a table tells.
 */
#include "codec/csv.h"

#include "base/macro.h"

static bool needs_quotes(Str text, char separator)
{
    if (text.len == 0 || text.data[0] == ' ' || text.data[text.len - 1] == ' ')
        return true;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '"' || c == '\n' || c == '\r' || c == '\t' || c == separator)
            return true;
    }
    return false;
}

static bool is_formula(Str text)
{
    return text.len > 0 && memchr("=+-@\t\r", text.data[0], 6);
}

static void add_quoted(Buf *out, Str text)
{
    while (text.len > 0) {
        const char *quote = memchr(text.data, '"', text.len);
        size_t len = quote ? (size_t) (quote - text.data) + 1 : text.len;

        buf_add(out, text.data, len);
        if (quote)
            buf_add_char(out, '"');
        text = str_sub(text, len, text.len);
    }
}

/* TEXT with U+FFFD for each byte that is not UTF-8, in BUF. */
static Str repaired(Buf *buf, Str text)
{
    while (text.len > 0) {
        size_t len = str_utf8_len(text);

        if (len > 0)
            buf_add(buf, text.data, len);
        else
            buf_add_c(buf, "\xef\xbf\xbd");
        text = str_sub(text, MAX(len, (size_t) 1), text.len);
    }
    return buf_str(buf);
}

void csv_add_text(Buf *out, const CsvForm *form, Str text)
{
    AUTO(buf_deinit) Buf whole = { 0 };
    bool is_guarded = form->is_safe && is_formula(text);
    char separator = form->separator ? form->separator : ',';

    if (!str_is_utf8(text))
        text = repaired(&whole, text);
    if (whole.is_failed)
        out->is_failed = out->is_oom = true; /* never a cell that is cut short */
    if (!is_guarded && !needs_quotes(text, separator)) {
        buf_add_str(out, text);
        return;
    }
    buf_add_char(out, '"');
    if (is_guarded)
        buf_add_char(out, '\'');
    add_quoted(out, text);
    buf_add_char(out, '"');
}

void csv_add_end(Buf *out, const CsvForm *form)
{
    buf_add_c(out, form->is_eol_lf ? "\n" : "\r\n");
}

void csv_add_separator(Buf *out, const CsvForm *form)
{
    buf_add_char(out, form->separator ? form->separator : ',');
}
