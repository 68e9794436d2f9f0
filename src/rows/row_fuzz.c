/*
 * Fuzz: rows as JSON and as fields of COPY. Whatever a value holds, its JSON is valid, on one line
 * and of UTF-8, a text comes back as it was, and a field of COPY neither ends early nor holds what
 * PostgreSQL refuses.
 *
 * The first byte is the kind; the rest the text, or the number.
 */
#include "base/assert.h"
#include "codec/json.h"
#include "rows/pg_copy.h"
#include "rows/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static RowValue value_of(const uint8_t *data, size_t len, Arena *arena)
{
    Str text = str_from((const char *) data + 1, len - 1);
    int64_t number = 0;
    JsonDoc doc;

    memcpy(&number, text.data, text.len < sizeof(number) ? text.len : sizeof(number));
    switch (data[0] % 7) {
    case ROW_TEXT: return row_text(text);
    case ROW_INT: return row_integer(number);
    case ROW_REAL: {
        double real;

        memcpy(&real, &number, sizeof(real));
        return row_real(real, data[0] & 0x80 ? text : (Str){ 0 });
    }
    case ROW_BOOL: return row_boolean(number & 1);
    case ROW_TIME: return row_time_ns(number);
    case ROW_JSON: return json_parse(arena, text, &doc) == 0 ? row_json(text) : row_null();
    }
    return row_null();
}

/* FIELD taken back as COPY reads it. */
static void unescape(Str field, Buf *out)
{
    for (size_t i = 0; i < field.len; i++) {
        char c = field.data[i];

        ASSERT(c != '\t' && c != '\n' && c != '\r' && c != '\0');
        if (c != '\\') {
            buf_add_char(out, c);
            continue;
        }
        ASSERT(++i < field.len);
        c = field.data[i];
        ASSERT(c == '\\' || c == 'n' || c == 'r' || c == 't');
        buf_add_char(out, c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : '\\');
    }
}

static void check_copy(const RowValue *value)
{
    AUTO(buf_deinit) Buf field = { 0 };
    AUTO(buf_deinit) Buf back = { 0 };

    pg_copy_add(&field, value);
    if (value->kind == ROW_ANY) {
        ASSERT(str_eq_c(buf_str(&field), "\\N"));
        return;
    }
    ASSERT(str_is_utf8(buf_str(&field)));
    unescape(buf_str(&field), &back);
    if (value->kind == ROW_TEXT && str_is_utf8(value->text) &&
        (value->text.len == 0 || !memchr(value->text.data, '\0', value->text.len)))
        ASSERT(str_eq(buf_str(&back), value->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const RowColumn columns[] = { { .name = STR("v") } };
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    AUTO(buf_deinit) Buf line = { 0 };
    RowValue value;
    JsonDoc doc;
    Json member;

    if (len == 0)
        return 0;
    value = value_of(data, len, &arena);
    row_batch_init(&batch, columns, 1);
    row_batch_add(&batch)[0] = value;
    row_format_json(&line, &batch, 0);
    ASSERT(str_is_utf8(buf_str(&line)));
    ASSERT(!memchr(line.data, '\n', line.len) && !memchr(line.data, '\r', line.len));
    ASSERT(json_parse(&arena, buf_str(&line), &doc) == 0);
    member = json_find(doc.root, "v");
    if (value.kind == ROW_TEXT && str_is_utf8(value.text))
        ASSERT(str_eq(json_str_or(member, (Str){ 0 }), value.text));
    check_copy(&value);
    return 0;
}
