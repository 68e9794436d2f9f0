/*
 * JSON values over yyjson.
 *
 * yyjson reads the text in a copy of our own ("in situ"), so that the strings of the tree point
 * to where they stood in the source. json_text.c finds the source of any value from that. The
 * tree is one array of 16-byte values in the order of the text: the root, and then, for objects,
 * key, value, key, value. A container knows where it ends, which makes walking a matter of adding.
 *
 * The reader itself does not recurse, but those who walk the tree may: depth is checked once,
 * after the read, by a walk over the array with a stack of ends. What a hostile text can make the
 * reader allocate is bounded by the arena.
 *
 * Integers beyond 64 bits and numbers beyond a double stay as their digits (YYJSON_TYPE_RAW): they
 * are numbers, they pass through, and only asking for a C number of them says no.
 */
#include "codec/json.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "codec/json_int.h"

#include <math.h>
#include <stdlib.h>

STATIC_ASSERT(LIMIT_JSON_DEPTH <= JSON_WRITER_DEPTH_MAX, "what was read can be written");

/* ---- memory ---------------------------------------------------------------------------------- */

static void *on_alloc(void *context, size_t bytes)
{
    return arena_try(context, bytes);
}

static void *on_resize(void *context, void *ptr, size_t old_bytes, size_t bytes)
{
    void *grown;

    if (bytes <= old_bytes)
        return ptr;
    grown = arena_try(context, bytes);
    if (grown && old_bytes > 0)
        memcpy(grown, ptr, old_bytes);
    return grown;
}

static void on_free(void *context, void *ptr)
{
    (void) context;
    (void) ptr;
}

/* ---- parsing --------------------------------------------------------------------------------- */

/* Whether nothing in the N values at ROOT is nested deeper than MAX_DEPTH. */
static bool is_shallow(yyjson_val *root, size_t n, unsigned max_depth)
{
    const yyjson_val *ends[LIMIT_JSON_DEPTH];
    unsigned depth = 0;

    ASSERT(max_depth <= LIMIT_JSON_DEPTH);
    for (yyjson_val *val = root; val < root + n; val++) {
        while (depth > 0 && val >= ends[depth - 1])
            depth--;
        if (!unsafe_yyjson_is_ctn(val))
            continue;
        if (depth == max_depth)
            return false;
        ends[depth++] = unsafe_yyjson_get_next(val);
    }
    return true;
}

/*
 * No memory: is it the arena that is full, or the machine? An arena refuses what does not fit its
 * limit; as yyjson asks for half as much again each time, it is then more than a quarter full.
 */
static int fail_memory(const Arena *arena, Str text)
{
    size_t max = arena->max_bytes ? arena->max_bytes : LIMIT_ARENA_BYTES;

    if (text.len > max / 4 || arena->total_bytes > max / 4)
        return fail(-ERR_TOO_LARGE, "JSON of %zu bytes takes more memory than it may", text.len);
    return fail(-ENOMEM, "no memory for %zu bytes of JSON", text.len);
}

static int fail_read(const Arena *arena, Str text, const yyjson_read_err *err)
{
    size_t line, column;

    if (err->code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return fail_memory(arena, text);
    json_line_column(text, err->pos, &line, &column);
    return fail(-ERR_INVALID, "line %zu, column %zu: %s", line, column,
                err->msg ? err->msg : "not valid JSON");
}

int json_parse_opts(Arena *arena, Str text, const JsonParseOpts *opts, JsonDoc *ret_doc)
{
    size_t max_bytes = opts && opts->max_bytes ? opts->max_bytes : LIMIT_JSON_BYTES;
    unsigned max_depth = opts && opts->max_depth ? opts->max_depth : LIMIT_JSON_DEPTH;
    yyjson_alc alc = { on_alloc, on_resize, on_free, arena };
    yyjson_read_err err;
    yyjson_doc *doc;
    char *copy;

    ASSERT(arena && ret_doc);
    ASSERT(text.data || text.len == 0);
    if (text.len > max_bytes)
        return fail(-ERR_TOO_LARGE, "JSON of %zu bytes is over the limit of %zu", text.len,
                    max_bytes);
    if (text.len == 0)
        return fail(-ERR_INVALID, "line 1, column 1: empty where JSON is expected");

    copy = arena_try(arena, text.len + YYJSON_PADDING_SIZE);
    if (!copy)
        return fail_memory(arena, text);
    memcpy(copy, text.data, text.len);
    memset(copy + text.len, 0, YYJSON_PADDING_SIZE);

    doc = yyjson_read_opts(copy, text.len, YYJSON_READ_INSITU | YYJSON_READ_BIGNUM_AS_RAW, &alc,
                           &err);
    if (!doc)
        return fail_read(arena, text, &err);
    if (!is_shallow(doc->root, doc->val_read, max_depth))
        return fail(-ERR_INVALID, "JSON is nested more than %u levels deep", max_depth);

    *ret_doc = (JsonDoc){
        .root = json_of(doc->root),
        .text = text,
        .copy = copy,
        .n_values = doc->val_read,
    };
    return 0;
}

int json_parse(Arena *arena, Str text, JsonDoc *ret_doc)
{
    return json_parse_opts(arena, text, NULL, ret_doc);
}

/* ---- one value ------------------------------------------------------------------------------- */

JsonKind json_kind(Json value)
{
    if (!value)
        return JSON_NONE;
    switch (unsafe_yyjson_get_type(json_val(value))) {
    case YYJSON_TYPE_NULL: return JSON_NULL;
    case YYJSON_TYPE_BOOL: return JSON_BOOL;
    case YYJSON_TYPE_RAW:
    case YYJSON_TYPE_NUM: return JSON_NUMBER;
    case YYJSON_TYPE_STR: return JSON_STRING;
    case YYJSON_TYPE_ARR: return JSON_ARRAY;
    case YYJSON_TYPE_OBJ: return JSON_OBJECT;
    }
    UNREACHABLE("a value of no type");
}

const char *json_kind_name(JsonKind kind)
{
    switch (kind) {
    case JSON_NONE: return "nothing";
    case JSON_NULL: return "null";
    case JSON_BOOL: return "boolean";
    case JSON_NUMBER: return "number";
    case JSON_STRING: return "string";
    case JSON_ARRAY: return "array";
    case JSON_OBJECT: return "object";
    }
    UNREACHABLE("a kind of no name");
}

bool json_get_str(Json value, Str *ret)
{
    if (json_kind(value) != JSON_STRING)
        return false;
    *ret = json_text_of(json_val(value));
    return true;
}

bool json_get_i64(Json value, int64_t *ret)
{
    yyjson_val *val = json_val(value);

    if (json_kind(value) != JSON_NUMBER)
        return false;
    switch (unsafe_yyjson_get_tag(val)) {
    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_SINT: *ret = val->uni.i64; return true;
    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_UINT:
        if (val->uni.u64 > INT64_MAX)
            return false;
        *ret = (int64_t) val->uni.u64;
        return true;
    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL:
        if (!(val->uni.f64 >= -0x1p63 && val->uni.f64 < 0x1p63) ||
            val->uni.f64 != trunc(val->uni.f64))
            return false;
        *ret = (int64_t) val->uni.f64;
        return true;
    }
    return false; /* only its digits are kept: it fits nothing */
}

bool json_get_u64(Json value, uint64_t *ret)
{
    yyjson_val *val = json_val(value);

    if (json_kind(value) != JSON_NUMBER)
        return false;
    switch (unsafe_yyjson_get_tag(val)) {
    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_UINT: *ret = val->uni.u64; return true;
    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL:
        if (!(val->uni.f64 >= 0 && val->uni.f64 < 0x1p64) || val->uni.f64 != trunc(val->uni.f64))
            return false;
        *ret = (uint64_t) val->uni.f64;
        return true;
    }
    return false; /* negative, or too large */
}

bool json_get_real(Json value, double *ret)
{
    yyjson_val *val = json_val(value);
    double real;

    if (json_kind(value) != JSON_NUMBER)
        return false;
    if (unsafe_yyjson_is_num(val))
        real = unsafe_yyjson_get_num(val);
    else
        real = strtod(val->uni.str, NULL); /* digits, with a NUL behind them */
    if (!isfinite(real))
        return false;
    *ret = real;
    return true;
}

bool json_get_bool(Json value, bool *ret)
{
    if (json_kind(value) != JSON_BOOL)
        return false;
    *ret = unsafe_yyjson_get_bool(json_val(value));
    return true;
}

Str json_str_or(Json value, Str fallback)
{
    (void) json_get_str(value, &fallback); /* false leaves the fallback */
    return fallback;
}

int64_t json_i64_or(Json value, int64_t fallback)
{
    (void) json_get_i64(value, &fallback); /* false leaves the fallback */
    return fallback;
}

double json_real_or(Json value, double fallback)
{
    (void) json_get_real(value, &fallback); /* false leaves the fallback */
    return fallback;
}

bool json_bool_or(Json value, bool fallback)
{
    (void) json_get_bool(value, &fallback); /* false leaves the fallback */
    return fallback;
}

/* ---- arrays and objects ---------------------------------------------------------------------- */

size_t json_len(Json value)
{
    JsonKind kind = json_kind(value);

    if (kind != JSON_ARRAY && kind != JSON_OBJECT)
        return 0;
    return unsafe_yyjson_get_len(json_val(value));
}

Json json_find_str(Json object, Str name)
{
    for (JsonIter it = json_iter(object); it.is_object && json_next(&it);)
        if (str_eq(it.key, name))
            return it.value;
    return NULL;
}

Json json_find(Json object, const char *name)
{
    return json_find_str(object, str_from_c(name));
}

Json json_at(Json array, size_t index)
{
    if (json_kind(array) != JSON_ARRAY || index >= json_len(array))
        return NULL;
    for (JsonIter it = json_iter(array); json_next(&it);)
        if (it.index == index)
            return it.value;
    UNREACHABLE("an array shorter than its length");
}

JsonIter json_iter(Json container)
{
    JsonIter iter = {
        .left = json_len(container),
        .is_object = json_kind(container) == JSON_OBJECT,
    };

    if (iter.left > 0)
        iter.next = json_of(json_val(container) + 1);
    return iter;
}

bool json_next(JsonIter *iter)
{
    yyjson_val *val = json_val(iter->next);

    if (iter->left == 0)
        return false;
    if (iter->value)
        iter->index++;
    iter->left--;
    if (iter->is_object) {
        iter->key_at = json_of(val);
        iter->key = json_text_of(val);
        val++;
    }
    iter->value = json_of(val);
    iter->next = json_of(unsafe_yyjson_get_next(val));
    return true;
}
