/*
 * Fuzz: lines of text read as names and values. What is put is within the line or made by the
 * reader, names are not empty, and nothing is read beyond the end.
 *
 * The first byte is the format; for regex and pattern the text up to the first line end is the
 * pattern, the rest the line.
 */
#include "rows/text_fields.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int put(void *ctx, Str name, const RowValue *value, bool is_made)
{
    const Str *line = ctx;
    Str text = value->text;

    ASSERT(name.len > 0);
    ASSERT(value->kind == ROW_TEXT || value->kind == ROW_BOOL);
    if (value->kind == ROW_TEXT && !is_made && text.len > 0)
        ASSERT(text.data >= line->data && text.data + text.len <= line->data + line->len);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const Str names[] = { STR("a"), STR(""), STR("c") };
    AUTO(text_fields_free) TextFields *fields = NULL;
    Str text = str_from((const char *) data, len), line;
    TextFieldsOpts opts = { .names = names, .n_names = ARRAY_LEN(names) };
    const char *why = NULL;
    int r;

    if (len == 0)
        return 0;
    opts.format = (TextFormat) (data[0] % 5);
    line = str_sub(text, 1, text.len);
    if (opts.format == TEXT_REGEX || opts.format == TEXT_PATTERN)
        opts.pattern = str_cut(line, '\n', &line);
    if (opts.format == TEXT_KEY_VALUE && (data[0] & 0x80)) {
        opts.separator = ';';
        opts.assign = ':';
    }
    if (text_fields_new(&opts, &fields) < 0)
        return 0;
    r = text_fields_read(fields, line, put, &line, &why);
    ASSERT(r == 0 || (r == TEXT_FIELDS_WRONG && why));
    return 0;
}
