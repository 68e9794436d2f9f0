/*
 * Values checked against a schema and put into the C struct that is bound to it.
 *
 * One walk over the object: each member finds its field, each field of the table that no member
 * named gets its default or a complaint. The walk goes on after a complaint, so that a user is
 * told of several mistakes at once; the texts are made for the first SCHEMA_ERRORS_MAX of them,
 * the rest is counted. Paths are links on the stack (JsonPath) and become text only in a
 * complaint: a value that is right costs no formatting at all.
 *
 * Everything a user sent may be wrong in kind, size, number or spelling; nothing here asserts on
 * it, and all memory whose size it decides comes from the arena by way of arena_try.
 */
#include "codec/schema.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/json_int.h"
#include "codec/schema_int.h"
#include "codec/suggest.h"
#include "codec/time_text.h"
#include "codec/url.h"

#include <stdio.h>
#include <stdlib.h>

static void decode_value(SchemaDecoder *decoder, const SchemaField *field, Json value, void *slot,
                         const JsonPath *path);
static void decode_object(SchemaDecoder *decoder, const Schema *schema, Json object, void *out,
                          const JsonPath *path);

/* ---- scalars --------------------------------------------------------------------------------- */

static size_t count_characters(Str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char) s.data[i] & 0xc0) != 0x80;
    return n;
}

static void check_str(SchemaDecoder *decoder, const SchemaField *field, Json value, Str s,
                      const JsonPath *path)
{
    const SchemaPatternInfo *pattern = schema_pattern_info(field->pattern);
    char shown[SCHEMA_SHOWN_BYTES];

    if (field->range.is_set)
        schema_check_count(decoder, field, value, count_characters(s), " characters", path);
    if (pattern && !pattern->matches(s))
        schema_complain(decoder, path, value, "%s, got %s", pattern->words,
                        schema_show(field, value, shown));
}

static void decode_str(SchemaDecoder *decoder, const SchemaField *field, Json value, Str *out,
                       const JsonPath *path)
{
    char shown[SCHEMA_SHOWN_BYTES];
    Url url;

    if (!json_get_str(value, out)) {
        schema_complain_kind(decoder, field, value, path);
        return;
    }
    check_str(decoder, field, value, *out, path);
    if (field->kind == SCHEMA_URL && url_parse(*out, &url) < 0)
        schema_complain(decoder, path, value, "must be a URL such as https://example.org/x, got %s",
                        schema_show(field, value, shown));
}

static void decode_int(SchemaDecoder *decoder, const SchemaField *field, Json value, int64_t *out,
                       const JsonPath *path)
{
    char shown[SCHEMA_SHOWN_BYTES];
    double real;

    if (json_get_i64(value, out)) {
        if (schema_is_outside(&field->range, *out))
            schema_complain_range(decoder, &field->range, value, "be", "",
                                  schema_show(field, value, shown), path);
        return;
    }
    if (!json_is_number(value) || (json_get_real(value, &real) && real > -0x1p63 && real < 0x1p63))
        schema_complain_kind(decoder, field, value, path);
    else if (field->range.is_set)
        schema_complain_range(decoder, &field->range, value, "be", "",
                              schema_show(field, value, shown), path);
    else
        schema_complain(decoder, path, value, "does not fit 64 bits: %s",
                        schema_show(field, value, shown));
}

static void decode_real(SchemaDecoder *decoder, const SchemaField *field, Json value, double *out,
                        const JsonPath *path)
{
    const SchemaRealRange *range = &field->real_range;
    char shown[SCHEMA_SHOWN_BYTES];

    if (!json_get_real(value, out))
        schema_complain_kind(decoder, field, value, path);
    else if (range->is_set && !(*out >= range->min && *out <= range->max))
        schema_complain(decoder, path, value, "must be between %g and %g, got %s", range->min,
                        range->max, schema_show(field, value, shown));
}

static void decode_duration(SchemaDecoder *decoder, const SchemaField *field, Json value,
                            int64_t *out, const JsonPath *path)
{
    char low[TIME_TEXT_BYTES], high[TIME_TEXT_BYTES], shown[SCHEMA_SHOWN_BYTES];
    double seconds;
    int r = -1;
    Str text;

    if (json_get_str(value, &text))
        r = duration_parse(text, out);
    else if (json_get_real(value, &seconds))
        r = duration_from_seconds(seconds, out);
    if (r < 0) {
        schema_complain(
            decoder, path, value,
            "must be a duration such as 250ms, 2s, 1h30m or PT1S, or a number of seconds, "
            "got %s",
            schema_show(field, value, shown));
        return;
    }
    if (!schema_is_outside(&field->range, *out))
        return;
    (void) duration_format(field->range.min, low);
    (void) duration_format(MIN(field->range.max, (int64_t) DURATION_MS_MAX), high);
    if (field->range.max == INT64_MAX)
        schema_complain(decoder, path, value, "must be at least %s, got %s", low,
                        schema_show(field, value, shown));
    else
        schema_complain(decoder, path, value, "must be between %s and %s, got %s", low, high,
                        schema_show(field, value, shown));
}

static void decode_time(SchemaDecoder *decoder, const SchemaField *field, Json value, int64_t *out,
                        const JsonPath *path)
{
    char shown[SCHEMA_SHOWN_BYTES];
    Str text;

    if (!json_get_str(value, &text) || time_parse_rfc3339(text, out) < 0)
        schema_complain(decoder, path, value, "must be a time such as 2026-11-21T03:15:00Z, got %s",
                        schema_show(field, value, shown));
}

static void decode_enum(SchemaDecoder *decoder, const SchemaField *field, Json value, int *out,
                        const JsonPath *path)
{
    char shown[SCHEMA_SHOWN_BYTES], words[192], digits[24];
    Suggest suggest = { 0 };
    size_t len = 0;
    int64_t number;

    if (json_get_i64(value, &number)) { /* `qos: 1`: a word of digits, as YAML reads it */
        (void) snprintf(digits, sizeof(digits), "%lld", (long long) number);
        suggest.word = str_from_c(digits);
    }
    if (json_get_str(value, &suggest.word) || suggest.word.len > 0) {
        *out = schema_name_index(field, suggest.word);
        if (*out >= 0)
            return;
    }
    for (int i = 0; field->names[i] && len < sizeof(words); i++) {
        const char *sep = i == 0 ? "" : field->names[i + 1] ? ", " : " or ";

        suggest_consider(&suggest, str_from_c(field->names[i]));
        len += (size_t) snprintf(words + len, sizeof(words) - len, "%s%s", sep, field->names[i]);
    }
    if (suggest.best.len > 0 && json_is_string(value))
        schema_complain(decoder, path, value, "must be %s, got %s; did you mean \"%.*s\"?", words,
                        schema_show(field, value, shown), (int) suggest.best.len,
                        suggest.best.data);
    else
        schema_complain(decoder, path, value, "must be %s, got %s", words,
                        schema_show(field, value, shown));
}

/* ---- lists, maps and the rest ---------------------------------------------------------------- */

/* Room for N items of BYTES each, zeroed; NULL when there is none or none is wanted. */
static void *make_items(SchemaDecoder *decoder, size_t n, size_t bytes)
{
    void *items;

    if (n == 0 || decoder->lacks_memory)
        return NULL;
    items = arena_try(decoder->arena, n * bytes);
    if (items)
        memset(items, 0, n * bytes);
    else
        decoder->lacks_memory = true;
    return items;
}

static void decode_list(SchemaDecoder *decoder, const SchemaField *field, Json value,
                        SchemaList *out, const JsonPath *path)
{
    size_t item_bytes = schema_member_bytes(field->item), n = json_len(value);

    if (!json_is_array(value)) {
        schema_complain_kind(decoder, field, value, path);
        return;
    }
    schema_check_count(decoder, field, value, n, " entries", path);
    if (schema_is_outside(&field->range, (int64_t) n))
        return; /* what is refused needs no room */
    out->items = make_items(decoder, n, item_bytes);
    out->len = out->items ? n : 0;
    for (JsonIter it = json_iter(value); out->items && json_next(&it);) {
        JsonPath here = { .outer = path, .index = it.index };

        decoder->beside = field->inherits ? decoder->object : NULL;
        decode_value(decoder, field->item, it.value, (char *) out->items + it.index * item_bytes,
                     &here);
    }
}

static void decode_pair(SchemaDecoder *decoder, const SchemaField *field, const JsonIter *it,
                        SchemaPair *out, const JsonPath *path)
{
    const SchemaPatternInfo *pattern = schema_pattern_info(field->pattern);
    JsonPath here = { .outer = path, .key = it->key };
    char shown[SCHEMA_SHOWN_BYTES];

    out->name = it->key;
    if (!json_get_str(it->value, &out->value))
        schema_complain(decoder, &here, it->value, "must be a string, got %s",
                        schema_show(field, it->value, shown));
    else if (pattern && !pattern->matches(it->key))
        schema_complain(decoder, &here, it->key_at, "its name %s", pattern->words);
    else if (field->pattern == SCHEMA_HEADER_NAME &&
             !schema_pattern_info(SCHEMA_HEADER_TEXT)->matches(out->value))
        schema_complain(decoder, &here, it->value, "%s",
                        schema_pattern_info(SCHEMA_HEADER_TEXT)->words);
}

/* How many pairs the member of a map that takes values makes. */
static size_t count_pairs(const SchemaField *field, Json value)
{
    if (field->takes_values && json_is_array(value))
        return json_len(value);
    return field->takes_values && json_is_null(value) ? 0 : 1;
}

/* The text of a number or a boolean, as it was written where the source is known. */
static Str scalar_text(SchemaDecoder *decoder, Json value)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);

    if (decoder->doc)
        return json_raw(decoder->doc, value);
    json_write_value(&writer, value);
    return arena_copy(decoder->arena, buf_str(&text));
}

/* A pair of a map that takes values; IT is where its name stands, VALUE one of its values. */
static void decode_loose_pair(SchemaDecoder *decoder, const SchemaField *field, const JsonIter *it,
                              Json value, SchemaPair *out, const JsonPath *path)
{
    JsonPath here = { .outer = path, .key = it->key };
    char shown[SCHEMA_SHOWN_BYTES];

    switch (json_kind(value)) {
    case JSON_NUMBER:
    case JSON_BOOL: *out = (SchemaPair){ it->key, scalar_text(decoder, value) }; return;
    case JSON_STRING: *out = (SchemaPair){ it->key, json_str_or(value, (Str){ 0 }) }; return;
    case JSON_NONE:
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        schema_complain(decoder, &here, value,
                        "must be a string, a number, a boolean or a list of them, got %s",
                        schema_show(field, value, shown));
        return;
    }
}

static void decode_pairs(SchemaDecoder *decoder, const SchemaField *field, const JsonIter *it,
                         SchemaPairs *out, const JsonPath *path)
{
    if (!field->takes_values) {
        decode_pair(decoder, field, it, &out->items[out->len++], path);
        return;
    }
    if (!json_is_array(it->value)) {
        if (count_pairs(field, it->value) > 0)
            decode_loose_pair(decoder, field, it, it->value, &out->items[out->len++], path);
        return;
    }
    for (JsonIter each = json_iter(it->value); json_next(&each);)
        decode_loose_pair(decoder, field, it, each.value, &out->items[out->len++], path);
}

static void decode_map(SchemaDecoder *decoder, const SchemaField *field, Json value,
                       SchemaPairs *out, const JsonPath *path)
{
    size_t n = 0;

    if (!json_is_object(value)) {
        schema_complain_kind(decoder, field, value, path);
        return;
    }
    for (JsonIter it = json_iter(value); json_next(&it);)
        n += count_pairs(field, it.value);
    schema_check_count(decoder, field, value, n, " entries", path);
    if (schema_is_outside(&field->range, (int64_t) n))
        return;
    out->items = make_items(decoder, n, sizeof(*out->items));
    out->len = 0;
    for (JsonIter it = json_iter(value); out->items && json_next(&it);)
        decode_pairs(decoder, field, &it, out, path);
}

static void decode_json(SchemaDecoder *decoder, const SchemaField *field, Json value,
                        SchemaJson *out, const JsonPath *path)
{
    out->value = value;
    if (!decoder->doc)
        return;
    out->raw = json_raw(decoder->doc, value);
    schema_check_count(decoder, field, value, out->raw.len, " bytes", path);
}

static void decode_value(SchemaDecoder *decoder, const SchemaField *field, Json value, void *slot,
                         const JsonPath *path)
{
    switch (field->kind) {
    case SCHEMA_STR:
    case SCHEMA_URL: decode_str(decoder, field, value, slot, path); return;
    case SCHEMA_INT: decode_int(decoder, field, value, slot, path); return;
    case SCHEMA_REAL: decode_real(decoder, field, value, slot, path); return;
    case SCHEMA_BOOL:
        if (!json_get_bool(value, slot))
            schema_complain_kind(decoder, field, value, path);
        return;
    case SCHEMA_DURATION: decode_duration(decoder, field, value, slot, path); return;
    case SCHEMA_TIME: decode_time(decoder, field, value, slot, path); return;
    case SCHEMA_ENUM: decode_enum(decoder, field, value, slot, path); return;
    case SCHEMA_LIST: decode_list(decoder, field, value, slot, path); return;
    case SCHEMA_MAP: decode_map(decoder, field, value, slot, path); return;
    case SCHEMA_OBJECT:
        if (json_is_object(value))
            decode_object(decoder, field->schema, value, slot, path);
        else
            schema_complain_kind(decoder, field, value, path);
        return;
    case SCHEMA_JSON: decode_json(decoder, field, value, slot, path); return;
    }
}

/* ---- defaults -------------------------------------------------------------------------------- */

static void set_defaults(SchemaDecoder *decoder, const Schema *schema, void *out);

/* Defaults that are JSON: parsed in the arena each time, for they are rare. */
static void set_json_default(SchemaDecoder *decoder, const SchemaField *field, void *slot)
{
    SchemaDecoder inner = *decoder;
    JsonDoc doc;

    if (json_parse(decoder->arena, str_from_c(field->default_text), &doc) < 0) {
        decoder->lacks_memory = true; /* schema_check has seen that the text is valid */
        return;
    }
    inner.doc = &doc;
    decode_value(&inner, field, doc.root, slot, NULL);
    decoder->lacks_memory |= inner.lacks_memory;
}

static void set_default(SchemaDecoder *decoder, const SchemaField *field, void *slot)
{
    Str text = str_from_c(field->default_text);
    int r = 0;

    if (field->kind == SCHEMA_OBJECT && !field->default_text) {
        set_defaults(decoder, field->schema, slot);
        return;
    }
    if (!field->default_text) {
        if (field->kind == SCHEMA_INT || field->kind == SCHEMA_DURATION)
            *(int64_t *) slot = field->absent;
        return;
    }
    switch (field->kind) {
    case SCHEMA_STR:
    case SCHEMA_URL: *(Str *) slot = text; return;
    case SCHEMA_INT: r = str_to_i64(text, INT64_MIN, INT64_MAX, slot); break;
    case SCHEMA_REAL: *(double *) slot = strtod(field->default_text, NULL); return;
    case SCHEMA_BOOL: *(bool *) slot = str_eq_c(text, "true"); return;
    case SCHEMA_DURATION: r = duration_parse_flag(text, slot); break;
    case SCHEMA_TIME: r = time_parse_rfc3339(text, slot); break;
    case SCHEMA_ENUM: *(int *) slot = MAX(schema_name_index(field, text), 0); return;
    case SCHEMA_LIST:
    case SCHEMA_MAP:
    case SCHEMA_OBJECT:
    case SCHEMA_JSON: set_json_default(decoder, field, slot); return;
    }
    ASSERT(r == 0); /* the tables are ours: schema_check holds them to it */
}

static void set_defaults(SchemaDecoder *decoder, const Schema *schema, void *out)
{
    for (size_t i = 0; i < schema->n_fields; i++)
        set_default(decoder, &schema->fields[i], (char *) out + schema->fields[i].offset);
}

/* ---- objects --------------------------------------------------------------------------------- */

static size_t find_field(const Schema *schema, Str name)
{
    for (size_t i = 0; i < schema->n_fields; i++)
        if (str_eq_c(name, schema->fields[i].name))
            return i;
    return schema->n_fields;
}

static void complain_unknown(SchemaDecoder *decoder, const Schema *schema, const JsonIter *it,
                             const JsonPath *path)
{
    const char *noun = decoder->opts->is_config ? "key" : "field";
    JsonPath here = { .outer = path, .key = it->key };
    Suggest suggest = { .word = it->key };

    if (decoder->errors->len < SCHEMA_ERRORS_MAX)
        for (size_t i = 0; i < schema->n_fields; i++)
            suggest_consider(&suggest, str_from_c(schema->fields[i].name));
    if (suggest.best.len > 0)
        schema_complain(decoder, &here, it->key_at, "unknown %s; did you mean \"%.*s\"?", noun,
                        (int) suggest.best.len, suggest.best.data);
    else
        schema_complain(decoder, &here, it->key_at, "unknown %s", noun);
}

/* A member of the object; SEEN has a bit for each field that was met. */
static void decode_member(SchemaDecoder *decoder, const Schema *schema, const JsonIter *it,
                          void *out, uint64_t *seen, const JsonPath *path)
{
    size_t i = find_field(schema, it->key);
    const SchemaField *field;
    JsonPath here = { .outer = path, .key = it->key };
    char flag[SCHEMA_FLAG_BYTES];

    if (i == schema->n_fields) {
        if (!schema->allows_unknown)
            complain_unknown(decoder, schema, it, path);
        return;
    }
    field = &schema->fields[i];
    if (decoder->opts->is_flags)
        here.key = schema_flag_name(field, flag, sizeof(flag));
    if (*seen >> i & 1) {
        schema_complain(decoder, &here, it->key_at, "given twice");
        return;
    }
    if (json_is_null(it->value) && !field->is_required && field->kind != SCHEMA_JSON)
        return; /* as if absent */
    *seen |= 1ull << i;
    decode_value(decoder, field, it->value, (char *) out + field->offset, &here);
}

static void complain_missing(SchemaDecoder *decoder, const SchemaField *field, const JsonPath *path)
{
    JsonPath here = { .outer = path, .key = str_from_c(field->name) };
    char flag[SCHEMA_FLAG_BYTES];

    if (decoder->opts->is_flags)
        here.key = schema_flag_name(field, flag, sizeof(flag));
    schema_complain(decoder, &here, NULL, "is required");
}

/* FIELD, which its object leaves out, takes what stands in BESIDE, if that is something. What is
 * wrong with it is said where it stands. */
static bool inherit(SchemaDecoder *decoder, const SchemaField *field, Json beside, void *out,
                    const JsonPath *path)
{
    size_t len = decoder->errors->len, total = decoder->errors->total;
    Json value = beside ? json_find(beside, field->name) : NULL;

    if (!value || json_is_null(value))
        return false;
    decode_value(decoder, field, value, (char *) out + field->offset, path);
    decoder->errors->len = len;
    decoder->errors->total = total;
    return true;
}

static void decode_object(SchemaDecoder *decoder, const Schema *schema, Json object, void *out,
                          const JsonPath *path)
{
    size_t errors_before = decoder->errors->total;
    Json around = decoder->object, beside = decoder->beside;
    uint64_t seen = 0;
    const char *complaint;

    ASSERT(schema->n_fields <= SCHEMA_FIELDS_MAX);
    memset(out, 0, schema->struct_bytes);
    decoder->object = object;
    decoder->beside = NULL;
    for (JsonIter it = json_iter(object); json_next(&it);)
        decode_member(decoder, schema, &it, out, &seen, path);
    for (size_t i = 0; i < schema->n_fields; i++) {
        if (seen >> i & 1 || inherit(decoder, &schema->fields[i], beside, out, path))
            continue;
        if (schema->fields[i].is_required)
            complain_missing(decoder, &schema->fields[i], path);
        else
            set_default(decoder, &schema->fields[i], (char *) out + schema->fields[i].offset);
    }
    decoder->object = around;
    if (!schema->check || decoder->errors->total > errors_before || decoder->lacks_memory)
        return;
    complaint = schema->check(out);
    if (complaint)
        schema_complain(decoder, path, object, "%s", complaint);
}

/* ---- the way in and out ---------------------------------------------------------------------- */

static int finish(const SchemaDecoder *decoder)
{
    const SchemaDecodeOpts *opts = decoder->opts;
    const SchemaError *first = &decoder->errors->items[0];
    int code = opts->is_flags ? -ERR_USAGE : opts->is_config ? -ERR_CONFIG : -ERR_INVALID;

    if (decoder->lacks_memory)
        return fail(-ENOMEM, "no memory to check a value");
    if (decoder->errors->total == 0)
        return 0;
    return fail(code, "%s%s%.*s%s%.*s", opts->source ? opts->source : "", opts->source ? ": " : "",
                (int) first->path.len, first->path.data, first->path.len > 0 ? ": " : "",
                (int) first->message.len, first->message.data);
}

int schema_decode(Arena *arena, const Schema *schema, Json value, void *out,
                  const SchemaDecodeOpts *opts)
{
    static const SchemaDecodeOpts no_opts;
    SchemaErrors own;
    SchemaDecoder decoder = {
        .arena = arena,
        .opts = opts ? opts : &no_opts,
        .doc = opts ? opts->doc : NULL,
        .errors = opts && opts->errors ? opts->errors : &own,
    };
    SchemaField whole = { .name = "", .kind = SCHEMA_OBJECT, .schema = schema };

    ASSERT(arena && schema && out);
    decoder.errors->len = decoder.errors->total = 0;
    if (value)
        decode_value(&decoder, &whole, value, out, decoder.opts->at);
    else
        decode_object(&decoder, schema, NULL, out, decoder.opts->at);
    return finish(&decoder);
}

int schema_decode_text(Arena *arena, const Schema *schema, Str text, void *out,
                       const SchemaDecodeOpts *opts)
{
    SchemaDecodeOpts with_doc = opts ? *opts : (SchemaDecodeOpts){ 0 };
    JsonDoc doc = { 0 };
    int r = 0;

    if (with_doc.errors)
        with_doc.errors->len = with_doc.errors->total = 0;
    if (text.len > 0)
        r = json_parse(arena, text, &doc);
    if (r < 0)
        return with_doc.source ? wrap(r, "%s", with_doc.source) : r;
    with_doc.doc = &doc;
    return schema_decode(arena, schema, doc.root, out, &with_doc);
}

int schema_defaults(Arena *arena, const Schema *schema, void *out)
{
    static const SchemaDecodeOpts no_opts;
    SchemaErrors errors = { .len = 0 };
    SchemaDecoder decoder = { .arena = arena, .opts = &no_opts, .errors = &errors };

    memset(out, 0, schema->struct_bytes);
    set_defaults(&decoder, schema, out);
    return finish(&decoder);
}
