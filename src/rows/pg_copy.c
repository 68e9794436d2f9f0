/*
 * Values for COPY; see the header.
 */
#include "rows/pg_copy.h"

#include "base/assert.h"

static const char replacement[] = "\xef\xbf\xbd";

/* How many bytes of TEXT go out as they are. */
static size_t plain_bytes(Str text)
{
    size_t i = 0;

    while (i < text.len && text.data[i] != '\\' && text.data[i] != '\n' && text.data[i] != '\r' &&
           text.data[i] != '\t' && text.data[i] != '\0')
        i++;
    return i;
}

static void add_escaped(Buf *out, Str text)
{
    for (;;) {
        size_t n = plain_bytes(text);

        buf_add(out, text.data, n);
        if (n == text.len)
            return;
        switch (text.data[n]) {
        case '\n': buf_add(out, "\\n", 2); break;
        case '\r': buf_add(out, "\\r", 2); break;
        case '\t': buf_add(out, "\\t", 2); break;
        case '\0': buf_add_c(out, replacement); break;
        case '\\': buf_add(out, "\\\\", 2); break;
        }
        text = str_sub(text, n + 1, text.len);
    }
}

static void add_text(Buf *out, Str text)
{
    AUTO(buf_deinit) Buf repaired = { 0 };

    if (str_is_utf8(text)) {
        add_escaped(out, text);
        return;
    }
    row_add_utf8(&repaired, text);
    if (repaired.is_failed)
        out->is_failed = out->is_oom = true; /* never a field that is cut short */
    add_escaped(out, buf_str(&repaired));
}

/* The number behind \u at AT of TEXT; -1 when there is none. */
static int unicode_at(Str text, size_t at)
{
    int value = 0;

    if (at + 6 > text.len || text.data[at] != '\\' || text.data[at + 1] != 'u')
        return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = text.data[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* How many bytes the escape at AT takes, and whether jsonb takes it. */
static size_t json_escape(Str text, size_t at, bool *ret_is_good)
{
    int first = unicode_at(text, at), second;

    *ret_is_good = true;
    if (first < 0)
        return at + 2 <= text.len ? 2 : 1;
    if (first >= 0xd800 && first <= 0xdbff) {
        second = unicode_at(text, at + 6);
        if (second >= 0xdc00 && second <= 0xdfff)
            return 12;
        *ret_is_good = false;
    } else if (first == 0 || (first >= 0xdc00 && first <= 0xdfff)) {
        *ret_is_good = false;
    }
    return 6;
}

void pg_copy_mend_json(Buf *out, Str json)
{
    size_t at = 0;

    while (at < json.len) {
        const char *slash = memchr(json.data + at, '\\', json.len - at);
        size_t plain = slash ? (size_t) (slash - json.data) - at : json.len - at, len;
        bool is_good;

        buf_add(out, json.data + at, plain);
        at += plain;
        if (at == json.len)
            break;
        len = json_escape(json, at, &is_good);
        if (is_good)
            buf_add(out, json.data + at, len);
        else
            buf_add_c(out, "\\ufffd");
        at += len;
    }
}

static void add_json(Buf *out, Str json)
{
    AUTO(buf_deinit) Buf good = { 0 };

    if (json.len == 0) {
        buf_add_c(out, "null");
        return;
    }
    pg_copy_mend_json(&good, json);
    if (good.is_failed)
        out->is_failed = out->is_oom = true;
    add_text(out, buf_str(&good));
}

void pg_copy_add(Buf *out, const RowValue *value)
{
    switch (value->kind) {
    case ROW_ANY: buf_add(out, "\\N", 2); return;
    case ROW_TEXT: add_text(out, value->text); return;
    case ROW_JSON: add_json(out, value->text); return;
    case ROW_REAL:
        if (value->text.len > 0)
            add_text(out, value->text);
        else
            row_value_format(out, value);
        return;
    case ROW_INT:
    case ROW_BOOL:
    case ROW_TIME: row_value_format(out, value); return;
    }
    UNREACHABLE("all kinds are above");
}
