/*
 * Facts of the kinds: their names, sizes and patterns, and how text of the command line becomes
 * JSON for each of them.
 *
 * A pattern is here three times side by side, as code, as words and as a regular expression for
 * JSON Schema; the test holds code and words together.
 */
#include "codec/schema_int.h"

#include "base/assert.h"
#include "codec/hex.h"
#include "codec/http_text.h"
#include "codec/time_text.h"
#include "codec/uuid.h"

const char *schema_kind_name(SchemaKind kind)
{
    static const char *const names[] = {
#define KIND_NAME(name, text, type) [SCHEMA_##name] = (text),
        SCHEMA_KINDS(KIND_NAME)
#undef KIND_NAME
    };

    ASSERT((size_t) kind < ARRAY_LEN(names));
    return names[kind];
}

size_t schema_member_bytes(const SchemaField *field)
{
    static const size_t sizes[] = {
#define KIND_BYTES(name, text, type) [SCHEMA_##name] = sizeof(type),
        SCHEMA_KINDS(KIND_BYTES)
#undef KIND_BYTES
    };

    return field->kind == SCHEMA_OBJECT ? field->schema->struct_bytes : sizes[field->kind];
}

int schema_name_index(const SchemaField *field, Str word)
{
    for (int i = 0; field->names[i]; i++)
        if (str_eq_c(word, field->names[i]))
            return i;
    return -1;
}

Str schema_flag_name(const SchemaField *field, char *out, size_t cap)
{
    const char *name = field->flag ? field->flag : field->name;
    size_t len = MIN(strlen(name), cap - 1);

    for (size_t i = 0; i < len; i++)
        out[i] = name[i] == '_' && !field->flag ? '-' : name[i];
    out[len] = '\0';
    return str_from(out, len);
}

/* ---- patterns -------------------------------------------------------------------------------- */

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool schema_is_name(Str text)
{
    bool is_word_start = true;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '.' && !is_word_start) {
            is_word_start = true;
            continue;
        }
        if (!is_lower_or_digit(c) && (is_word_start || (c != '-' && c != '_')))
            return false;
        if (i == 0 && c >= '0' && c <= '9')
            return false;
        is_word_start = false;
    }
    return !is_word_start;
}

static bool matches_queue_name(Str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_lower_or_digit(text.data[i]) &&
            (i == 0 || (text.data[i] != '-' && text.data[i] != '_' && text.data[i] != '.')))
            return false;
    return text.len > 0;
}

static bool matches_uuid(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (is_dash ? text.data[i] != '-' : hex_digit(text.data[i]) < 0)
            return false;
    }
    return text.len == UUID_TEXT_BYTES - 1;
}

static bool matches_header_text(Str text)
{
    return http_is_field_value(text);
}

static bool matches_hex(Str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (hex_digit(text.data[i]) < 0)
            return false;
    return text.len % 2 == 0;
}

static bool matches_base64(Str text)
{
    size_t len = text.len;

    for (int i = 0; i < 2 && len > 0 && text.data[len - 1] == '='; i++)
        len--;
    for (size_t i = 0; i < len; i++) {
        char c = text.data[i];

        if (!is_lower_or_digit(c) && !(c >= 'A' && c <= 'Z') && c != '+' && c != '/')
            return false;
    }
    return text.len % 4 == 0;
}

const SchemaPatternInfo *schema_pattern_info(SchemaPattern pattern)
{
    static const SchemaPatternInfo infos[] = {
        [SCHEMA_NAME] = { "^[a-z][a-z0-9_-]*(\\.[a-z0-9][a-z0-9_-]*)*$",
                          "must be words of lower-case letters, digits, - and _ joined by dots, "
                          "such as email.send",
                          schema_is_name },
        [SCHEMA_QUEUE_NAME] = { "^[a-z0-9][a-z0-9._-]*$",
                                "must be lower-case letters, digits, -, _ and dots, and begin with "
                                "a letter or a digit",
                                matches_queue_name },
        [SCHEMA_UUID] = { "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", "must be a UUID",
                          matches_uuid },
        [SCHEMA_HEADER_NAME] = { "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "must be the name of a header",
                                 http_is_token },
        [SCHEMA_HEADER_TEXT] = { "^([^\\u0000-\\u0020\\u007f]([^\\u0000-\\u0008\\u000a-\\u001f"
                                 "\\u007f]*[^\\u0000-\\u0020\\u007f])?)?$",
                                 "must hold no control characters and no spaces at its ends",
                                 matches_header_text },
        [SCHEMA_HEX] = { "^([0-9a-fA-F]{2})*$", "must be an even number of hexadecimal digits",
                         matches_hex },
        [SCHEMA_BASE64] = { "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
                            "must be base64 with its padding", matches_base64 },
    };

    ASSERT((size_t) pattern < ARRAY_LEN(infos));
    return pattern == SCHEMA_ANY_TEXT ? NULL : &infos[pattern];
}

/* ---- text of the command line ---------------------------------------------------------------- */

static size_t count_digits(Str text, size_t from)
{
    size_t i = from;

    while (i < text.len && text.data[i] >= '0' && text.data[i] <= '9')
        i++;
    return i - from;
}

bool schema_is_json_number(Str text)
{
    size_t i = text.len > 0 && text.data[0] == '-';
    size_t n = count_digits(text, i);

    if (n == 0 || (n > 1 && text.data[i] == '0'))
        return false;
    i += n;
    if (i < text.len && text.data[i] == '.') {
        n = count_digits(text, i + 1);
        i += n + 1;
        if (n == 0)
            return false;
    }
    if (i < text.len && (text.data[i] == 'e' || text.data[i] == 'E')) {
        i++;
        if (i < text.len && (text.data[i] == '+' || text.data[i] == '-'))
            i++;
        n = count_digits(text, i);
        i += n;
        if (n == 0)
            return false;
    }
    return i == text.len;
}

static bool read_bool(Str text, bool *ret)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq_nocase(text, str_from_c(words[i]))) {
            *ret = i % 2 == 1;
            return true;
        }
    }
    return false;
}

void schema_write_text(JsonWriter *writer, const SchemaField *field, Str text)
{
    bool is_true;

    switch (field->kind) {
    case SCHEMA_INT:
    case SCHEMA_REAL:
    case SCHEMA_DURATION: /* a plain number is in seconds in JSON as well */
        if (schema_is_json_number(text))
            json_write_raw(writer, text);
        else
            json_write_str(writer, text);
        return;
    case SCHEMA_BOOL:
        if (read_bool(text, &is_true))
            json_write_bool(writer, is_true);
        else
            json_write_str(writer, text);
        return;
    case SCHEMA_STR:
    case SCHEMA_TIME:
    case SCHEMA_URL:
    case SCHEMA_ENUM: json_write_str(writer, text); return;
    case SCHEMA_LIST:
    case SCHEMA_MAP:
    case SCHEMA_OBJECT:
    case SCHEMA_JSON: json_write_raw(writer, text); return;
    }
}
