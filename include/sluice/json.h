/*
 * JSON: values read, and text written.
 *
 * Reading. `json_parse` turns a text into a tree that lives in an arena; a `Json` is a handle of
 * one value in it, NULL for "there is none", so that a chain of finds needs one check at its end.
 * The text is UTF-8, strictly RFC 8259: no comments, no trailing commas, no NaN. Size and depth are
 * bounded. Numbers of any size are kept: those that fit no 64-bit integer and no double keep
 * their digits, and `json_raw` gives the exact source text of any value, so that a payload can be
 * passed on byte for byte (`1.0`, big integers, the order of keys).
 *
 * Keys that occur twice: the tree has both, `json_find` gives the first. Whatever is decided on a
 * value goes through a schema, and `schema_decode` refuses a field that is given twice.
 *
 * Writing. A `JsonWriter` appends to a buffer, puts commas and escapes where they belong, and
 * asserts that what is opened is closed. It never fails by itself; the buffer says at the end
 * whether everything fitted.
 *
 * Nothing here suspends, reads a clock or touches a file. Values may be read from any thread.
 */
#pragma once

#include <sluice/attr.h>
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

SL_BEGIN_DECLS

typedef struct Arena Arena;
typedef struct Buf Buf;

/* ---- values ---------------------------------------------------------------------------------- */

/* One value of a parsed document; NULL means there is none. Lives as long as the document. */
typedef const struct JsonValue *Json;

typedef enum JsonKind {
    JSON_NONE, /* the handle is NULL */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
} JsonKind;

/* A parsed document. Zeroed means none. Its memory is the arena's; there is nothing to free. */
typedef struct JsonDoc {
    Json root;
    Str text;         /* the source, borrowed: json_raw and json_offset want it alive */
    const char *copy; /* the parser's copy of it, into which strings point */
    size_t n_values;  /* values and keys in the tree */
} JsonDoc;

/* Bounds of a parse; zero means the default. */
typedef struct JsonParseOpts {
    size_t max_bytes;   /* of text; 0 means LIMIT_JSON_BYTES (16 MiB) */
    unsigned max_depth; /* of nesting; 0 means LIMIT_JSON_DEPTH (64), which is also the most */
} JsonParseOpts;

/*
 * Parse TEXT, one JSON value with white space around it. Memory comes from ARENA: about 4 times
 * the text, and up to 50 times if it is nothing but brackets and digits. The text itself stays
 * borrowed, see JsonDoc.text.
 *
 * Returns 0, -ERR_INVALID ("line 3, column 7: …"), -ERR_TOO_LARGE (over the limit of bytes, or
 * more than the arena may hold) or -ENOMEM.
 */
SL_API SL_MUST int json_parse(Arena *arena, Str text, JsonDoc *ret_doc);
SL_API SL_MUST int json_parse_opts(Arena *arena, Str text, const JsonParseOpts *opts,
                                   JsonDoc *ret_doc);

/* What VALUE is; JSON_NONE for NULL. */
SL_API JsonKind json_kind(Json value);

/* "null" "boolean" "number" "string" "array" "object"; "nothing" for JSON_NONE. Static text. */
SL_API const char *json_kind_name(JsonKind kind);

static inline bool json_is_null(Json value)
{
    return json_kind(value) == JSON_NULL;
}

static inline bool json_is_string(Json value)
{
    return json_kind(value) == JSON_STRING;
}

static inline bool json_is_number(Json value)
{
    return json_kind(value) == JSON_NUMBER;
}

static inline bool json_is_array(Json value)
{
    return json_kind(value) == JSON_ARRAY;
}

static inline bool json_is_object(Json value)
{
    return json_kind(value) == JSON_OBJECT;
}

/*
 * The value as a C value. False, and *ret untouched, when it is absent, of another kind or does
 * not fit: `1.0` and `1e3` are integers, `1.5` and 2^63 are not. A string may hold NUL bytes.
 */
SL_API bool json_get_str(Json value, Str *ret);
SL_API bool json_get_i64(Json value, int64_t *ret);
SL_API bool json_get_u64(Json value, uint64_t *ret);
SL_API bool json_get_real(Json value, double *ret);
SL_API bool json_get_bool(Json value, bool *ret);

/* As above, or FALLBACK. */
SL_API Str json_str_or(Json value, Str fallback);
SL_API int64_t json_i64_or(Json value, int64_t fallback);
SL_API double json_real_or(Json value, double fallback);
SL_API bool json_bool_or(Json value, bool fallback);

/* ---- arrays and objects ---------------------------------------------------------------------- */

/* Elements of an array, members of an object, 0 of anything else. */
SL_API size_t json_len(Json value);

/* The member called NAME (the first, if there are several), or NULL; NULL for what is no object. */
SL_API Json json_find(Json object, const char *name);
SL_API Json json_find_str(Json object, Str name);

/* The element at INDEX, or NULL. Walks from the front: iterate instead where there are many. */
SL_API Json json_at(Json array, size_t index);

/*
 * Walk an array or an object; anything else is as if empty.
 *
 *   for (JsonIter it = json_iter(object); json_next(&it);)
 *       use(it.key, it.value);
 */
typedef struct JsonIter {
    Str key;      /* of an object's member; empty in an array */
    Json key_at;  /* the key as a value, for json_offset; NULL in an array */
    Json value;   /* the current element */
    size_t index; /* of the current element, from 0 */
    size_t left;  /* elements still to come */
    Json next;
    bool is_object;
} JsonIter;

/* A walk over CONTAINER, before its first element. */
SL_API JsonIter json_iter(Json container);

/* Step to the next element; false at the end, with the last one still in ITER. */
SL_API bool json_next(JsonIter *iter);

/* ---- the source text ------------------------------------------------------------------------- */

/*
 * The source text of VALUE, byte for byte; empty for NULL. VALUE is of DOC, whose text is still
 * alive. Costs a scan over the value (and over the numbers before it in a long array).
 */
SL_API Str json_raw(const JsonDoc *doc, Json value);

/* Where VALUE begins in the document's text, in bytes from 0. */
SL_API size_t json_offset(const JsonDoc *doc, Json value);

/* The line and column (both from 1, columns in bytes) of byte OFFSET of TEXT. */
SL_API void json_line_column(Str text, size_t offset, size_t *ret_line, size_t *ret_column);

/*
 * Take the next element of RAW, the text of an array as json_raw gives it; start with *cursor = 0.
 * False at the end. For splitting a stored array without building its tree; RAW must be valid.
 */
SL_API bool json_raw_next(Str raw, size_t *cursor, Str *ret_item);

/* ---- paths ----------------------------------------------------------------------------------- */

/* A place in a document, linked from the inside outward; lives on the stack of whoever walks. */
typedef struct JsonPath {
    const struct JsonPath *outer; /* NULL at the root */
    Str key;                      /* data NULL means an element at INDEX */
    size_t index;
} JsonPath;

/* As people write it: `args[0].rounds`; the root is empty. Cut to CAP - 1 bytes, NUL-terminated. */
SL_API Str json_path_format(const JsonPath *path, char *out, size_t cap);

/* As a JSON pointer (RFC 6901): `/args/0/rounds`. Cut as above. */
SL_API Str json_path_format_pointer(const JsonPath *path, char *out, size_t cap);

/* ---- writing --------------------------------------------------------------------------------- */

#define JSON_WRITER_DEPTH_MAX 96

/* Appends JSON to a buffer. Zeroed and with `out` set it is ready; the buffer is borrowed. */
typedef struct JsonWriter {
    Buf *out;
    unsigned indent;  /* spaces a level; 0 means compact */
    unsigned depth;   /* what is open */
    bool needs_comma; /* something stands before the next item of this level */
    bool has_key;     /* a key was written, its value was not */
    uint8_t is_object[JSON_WRITER_DEPTH_MAX / 8]; /* a bit for each open level */
} JsonWriter;

/* A writer to OUT, compact; `.indent = 2` for people. */
#define JSON_WRITER(buf, ...) ((JsonWriter){ .out = (buf), ##__VA_ARGS__ })

/* Open and close an object or an array. */
SL_API void json_write_object(JsonWriter *writer);
SL_API void json_write_object_end(JsonWriter *writer);
SL_API void json_write_array(JsonWriter *writer);
SL_API void json_write_array_end(JsonWriter *writer);

/* The name of the next member. */
SL_API void json_write_key_str(JsonWriter *writer, Str name);

static inline void json_write_key(JsonWriter *writer, const char *name)
{
    json_write_key_str(writer, str_from(name, strlen(name)));
}

/* A scalar. Bytes of a string that are not UTF-8 become U+FFFD; what is not finite, null. */
SL_API void json_write_str(JsonWriter *writer, Str value);
SL_API void json_write_i64(JsonWriter *writer, int64_t value);
SL_API void json_write_u64(JsonWriter *writer, uint64_t value);
SL_API void json_write_real(JsonWriter *writer, double value); /* the fewest digits that do */
SL_API void json_write_bool(JsonWriter *writer, bool value);
SL_API void json_write_null(JsonWriter *writer);

/* TEXT that is valid JSON already, as it is; empty TEXT gives null. */
SL_API void json_write_raw(JsonWriter *writer, Str text);

/* Milliseconds since 1970 as RFC 3339 in UTC: "2026-11-21T03:15:00.250Z". */
SL_API void json_write_time_ms(JsonWriter *writer, int64_t time_ms);

/* A value of a document, with everything in it; numbers keep their value, not their spelling. */
SL_API void json_write_value(JsonWriter *writer, Json value);

/* A key and its value in one call. */
static inline void json_write_member_str(JsonWriter *writer, const char *name, Str value)
{
    json_write_key(writer, name);
    json_write_str(writer, value);
}

static inline void json_write_member_c(JsonWriter *writer, const char *name, const char *value)
{
    json_write_key(writer, name);
    json_write_str(writer, str_from_c(value));
}

static inline void json_write_member_i64(JsonWriter *writer, const char *name, int64_t value)
{
    json_write_key(writer, name);
    json_write_i64(writer, value);
}

static inline void json_write_member_u64(JsonWriter *writer, const char *name, uint64_t value)
{
    json_write_key(writer, name);
    json_write_u64(writer, value);
}

static inline void json_write_member_real(JsonWriter *writer, const char *name, double value)
{
    json_write_key(writer, name);
    json_write_real(writer, value);
}

static inline void json_write_member_bool(JsonWriter *writer, const char *name, bool value)
{
    json_write_key(writer, name);
    json_write_bool(writer, value);
}

static inline void json_write_member_raw(JsonWriter *writer, const char *name, Str text)
{
    json_write_key(writer, name);
    json_write_raw(writer, text);
}

static inline void json_write_member_time_ms(JsonWriter *writer, const char *name, int64_t time_ms)
{
    json_write_key(writer, name);
    json_write_time_ms(writer, time_ms);
}

SL_END_DECLS
