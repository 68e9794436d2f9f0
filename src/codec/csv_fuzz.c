/*
 * Fuzz: CSV. Whatever the cells hold, a reader of RFC 4180 gets them back, cell by cell.
 *
 * The first byte chooses the form; the rest is cut into cells at 0x01 and into rows at 0x02.
 */
#include "codec/csv.h"

#include "base/arena.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Read one cell at *AT of TEXT, in quotes or not; *AT then stands on what ended it. */
static void read_cell(Str text, size_t *at, char separator, Buf *cell)
{
    bool is_quoted = *at < text.len && text.data[*at] == '"';

    buf_reset(cell);
    if (!is_quoted) {
        while (*at < text.len && text.data[*at] != separator && text.data[*at] != '\r' &&
               text.data[*at] != '\n') {
            ASSERT(text.data[*at] != '"');
            buf_add_char(cell, text.data[(*at)++]);
        }
        return;
    }
    for ((*at)++;; (*at)++) {
        ASSERT(*at < text.len);
        if (text.data[*at] == '"' && (*at + 1 >= text.len || text.data[*at + 1] != '"'))
            break;
        *at += text.data[*at] == '"';
        buf_add_char(cell, text.data[*at]);
    }
    (*at)++;
}

/* TEXT as it must come back: U+FFFD for what is no UTF-8, guarded where it is a formula. */
static void expect(const CsvForm *form, Str text, Buf *want)
{
    buf_reset(want);
    if (form->is_safe && text.len > 0 && memchr("=+-@\t\r", text.data[0], 6))
        buf_add_char(want, '\'');
    while (text.len > 0) {
        size_t n = str_utf8_len(text);

        if (n > 0)
            buf_add(want, text.data, n);
        else
            buf_add_c(want, "\xef\xbf\xbd");
        text = str_sub(text, n > 0 ? n : 1, text.len);
    }
}

static void check_row(const CsvForm *form, Str row)
{
    AUTO(buf_deinit) Buf out = { 0 };
    AUTO(buf_deinit) Buf cell = { 0 };
    AUTO(buf_deinit) Buf want = { 0 };
    char separator = form->separator ? form->separator : ',';
    Str rest = row;
    size_t at = 0;

    do {
        if (rest.len < row.len)
            csv_add_separator(&out, form);
        csv_add_text(&out, form, str_cut(rest, 1, &rest));
    } while (rest.len > 0);
    csv_add_end(&out, form);
    ASSERT(str_is_utf8(buf_str(&out)));

    rest = row;
    do {
        ASSERT(rest.len == row.len || out.data[at++] == separator);
        expect(form, str_cut(rest, 1, &rest), &want);
        read_cell(buf_str(&out), &at, separator, &cell);
        ASSERT(str_eq(buf_str(&cell), buf_str(&want)));
    } while (rest.len > 0);
    ASSERT(str_eq_c(str_sub(buf_str(&out), at, out.len), form->is_eol_lf ? "\n" : "\r\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char separators[] = { 0, '\t', ';', '|' };
    Str text = str_from((const char *) data, len);
    CsvForm form = { 0 };

    if (len == 0)
        return 0;
    form.separator = separators[data[0] & 3];
    form.is_eol_lf = data[0] & 4;
    form.is_safe = data[0] & 8;
    for (text = str_sub(text, 1, text.len); text.len > 0;)
        check_row(&form, str_cut(text, 2, &text));
    return 0;
}
