/*
 * JSON source: where in the text a value stands, and text that is known to be valid cut in pieces.
 *
 * The tree keeps no positions, but its strings point into the parser's copy of the text, so the
 * place of every key and string is known for nothing. Any other value is found from the nearest
 * string before it in document order (for a member of an object that is its own key) by stepping
 * over as many tokens of the text as there are values between the two:
 *
 *   text    {"type" : "x", "args":[{"a":1.0}, 2]}      values   { type x args [ { a 1.0 2
 *                          ^ known      ^ one step                   ^      ^ one step
 *
 * All of it trusts that the text is the one that was parsed, which the assertions hold to.
 */
#include "codec/json.h"

#include "base/assert.h"
#include "codec/json_int.h"

#include <stdio.h>

/* ---- stepping over valid text ---------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(Str text, size_t pos)
{
    while (pos < text.len && is_space(text.data[pos]))
        pos++;
    return pos;
}

/* The end of the string whose opening quote is at POS. */
static size_t skip_string(Str text, size_t pos)
{
    const char *end = text.data + text.len;
    const char *at = text.data + pos + 1;

    for (;;) {
        const char *quote = at < end ? memchr(at, '"', (size_t) (end - at)) : NULL;
        const char *slash = quote;

        ASSERT(quote);
        while (slash > text.data + pos + 1 && slash[-1] == '\\')
            slash--;
        if ((quote - slash) % 2 == 0)
            return (size_t) (quote - text.data) + 1;
        at = quote + 1;
    }
}

/* The end of the number or literal at POS. */
static size_t skip_word(Str text, size_t pos)
{
    while (pos < text.len && !is_space(text.data[pos]) && text.data[pos] != ',' &&
           text.data[pos] != ']' && text.data[pos] != '}')
        pos++;
    return pos;
}

/* The end of the array or object that opens at POS. */
static size_t skip_container(Str text, size_t pos)
{
    size_t depth = 0;

    while (pos < text.len) {
        char c = text.data[pos];

        if (c == '"') {
            pos = skip_string(text, pos);
            continue;
        }
        pos++;
        if (c == '[' || c == '{')
            depth++;
        else if ((c == ']' || c == '}') && --depth == 0)
            return pos;
    }
    UNREACHABLE("a container without its end");
}

static size_t skip_value(Str text, size_t pos)
{
    ASSERT(pos < text.len);
    if (text.data[pos] == '"')
        return skip_string(text, pos);
    if (text.data[pos] == '[' || text.data[pos] == '{')
        return skip_container(text, pos);
    return skip_word(text, pos);
}

/* From the value or key at POS to the next one in document order. */
static size_t skip_to_next(Str text, size_t pos)
{
    char c;

    ASSERT(pos < text.len);
    c = text.data[pos];
    if (c == '"')
        pos = skip_string(text, pos);
    else if (c == '[' || c == '{')
        pos++;
    else
        pos = skip_word(text, pos);
    while (pos < text.len && (is_space(text.data[pos]) || strchr(",:]}", text.data[pos])))
        pos++;
    return pos;
}

/* ---- where a value stands -------------------------------------------------------------------- */

static bool has_place(yyjson_val *val)
{
    yyjson_type type = unsafe_yyjson_get_type(val);

    return type == YYJSON_TYPE_STR || type == YYJSON_TYPE_RAW;
}

size_t json_index(const JsonDoc *doc, Json value)
{
    return (size_t) (json_val(value) - json_val(doc->root));
}

size_t json_offset(const JsonDoc *doc, Json value)
{
    yyjson_val *root = json_val(doc->root);
    yyjson_val *val = json_val(value);
    yyjson_val *anchor = val;
    size_t pos;

    ASSERT(val >= root && val < root + doc->n_values);
    while (anchor > root && !has_place(anchor))
        anchor--;
    if (has_place(anchor)) {
        pos = (size_t) (anchor->uni.str - doc->copy);
        if (unsafe_yyjson_get_type(anchor) == YYJSON_TYPE_STR) {
            pos--;
            ASSERT(pos < doc->text.len && doc->text.data[pos] == '"');
        }
    } else {
        pos = skip_space(doc->text, 0);
    }
    for (; anchor < val; anchor++)
        pos = skip_to_next(doc->text, pos);
    ASSERT(pos < doc->text.len);
    return pos;
}

Str json_raw(const JsonDoc *doc, Json value)
{
    size_t start;

    if (!value)
        return (Str){ 0 };
    start = json_offset(doc, value);
    return str_sub(doc->text, start, skip_value(doc->text, start) - start);
}

void json_line_column(Str text, size_t offset, size_t *ret_line, size_t *ret_column)
{
    size_t line = 1, begin = 0;

    offset = MIN(offset, text.len);
    while (begin < offset) {
        const char *newline = memchr(text.data + begin, '\n', offset - begin);

        if (!newline)
            break;
        line++;
        begin = (size_t) (newline - text.data) + 1;
    }
    *ret_line = line;
    *ret_column = offset - begin + 1;
}

bool json_raw_next(Str raw, size_t *cursor, Str *ret_item)
{
    size_t pos = *cursor, end;

    if (pos == 0) {
        pos = skip_space(raw, 0);
        if (pos >= raw.len || raw.data[pos] != '[')
            return false;
        pos++;
    }
    while (pos < raw.len && (is_space(raw.data[pos]) || raw.data[pos] == ','))
        pos++;
    if (pos >= raw.len || raw.data[pos] == ']')
        return false;
    end = skip_value(raw, pos);
    *ret_item = str_sub(raw, pos, end - pos);
    *cursor = end;
    return true;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* A fixed piece of text being filled; what does not fit is dropped. */
typedef struct Fixed {
    char *out;
    size_t cap;
    size_t len;
} Fixed;

static void fixed_add(Fixed *fixed, const char *data, size_t len)
{
    size_t room = fixed->cap - 1 - fixed->len;

    len = MIN(len, room);
    memcpy(fixed->out + fixed->len, data, len);
    fixed->len += len;
}

static Str fixed_end(Fixed *fixed)
{
    fixed->out[fixed->len] = '\0';
    return str_from(fixed->out, fixed->len);
}

static void fixed_add_index(Fixed *fixed, size_t index)
{
    char digits[24];

    fixed_add(fixed, digits, (size_t) snprintf(digits, sizeof(digits), "%zu", index));
}

static bool is_plain_key(Str key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';

        if (!is_letter && !(c >= '0' && c <= '9' && i > 0))
            return false;
    }
    return key.len > 0;
}

/* A key that would be mistaken for more than one step stands in brackets and quotes. */
static void add_odd_key(Fixed *fixed, Str key)
{
    fixed_add(fixed, "[\"", 2);
    for (size_t i = 0; i < key.len; i++) {
        unsigned char c = (unsigned char) key.data[i];

        if (c == '"' || c == '\\')
            fixed_add(fixed, "\\", 1);
        fixed_add(fixed, c < 0x20 || c == 0x7f ? "?" : key.data + i, 1);
    }
    fixed_add(fixed, "\"]", 2);
}

static void add_path(Fixed *fixed, const JsonPath *path)
{
    if (!path)
        return;
    add_path(fixed, path->outer);
    if (!path->key.data) {
        fixed_add(fixed, "[", 1);
        fixed_add_index(fixed, path->index);
        fixed_add(fixed, "]", 1);
    } else if (is_plain_key(path->key)) {
        if (fixed->len > 0)
            fixed_add(fixed, ".", 1);
        fixed_add(fixed, path->key.data, path->key.len);
    } else {
        add_odd_key(fixed, path->key);
    }
}

Str json_path_format(const JsonPath *path, char *out, size_t cap)
{
    Fixed fixed = { out, cap, 0 };

    ASSERT(cap > 0);
    add_path(&fixed, path);
    return fixed_end(&fixed);
}

static void add_pointer(Fixed *fixed, const JsonPath *path)
{
    if (!path)
        return;
    add_pointer(fixed, path->outer);
    fixed_add(fixed, "/", 1);
    if (!path->key.data) {
        fixed_add_index(fixed, path->index);
        return;
    }
    for (size_t i = 0; i < path->key.len; i++) {
        if (path->key.data[i] == '~')
            fixed_add(fixed, "~0", 2);
        else if (path->key.data[i] == '/')
            fixed_add(fixed, "~1", 2);
        else
            fixed_add(fixed, path->key.data + i, 1);
    }
}

Str json_path_format_pointer(const JsonPath *path, char *out, size_t cap)
{
    Fixed fixed = { out, cap, 0 };

    ASSERT(cap > 0);
    add_pointer(&fixed, path);
    return fixed_end(&fixed);
}
