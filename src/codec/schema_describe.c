/*
 * Schemas described: JSON Schema for OpenAPI, structs written as JSON, and the check of a table.
 *
 * JSON Schema has no word for a duration as people write it, so a duration is a string or a
 * number with its forms named in the description. Defaults are written as the JSON a client would
 * send. Secrets are "writeOnly" and never have their default shown.
 */
#include "codec/schema.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/schema_int.h"
#include "codec/time_text.h"

#include <stdio.h>

static void describe_object(JsonWriter *writer, const Schema *schema, const char *summary);

/* ---- JSON Schema ----------------------------------------------------------------------------- */

static void describe_range(JsonWriter *writer, const SchemaRange *range, const char *min_name,
                           const char *max_name)
{
    if (!range->is_set)
        return;
    if (range->min != INT64_MIN && !(range->min == 0 && strcmp(min_name, "minimum") != 0))
        json_write_member_i64(writer, min_name, range->min);
    if (range->max != INT64_MAX)
        json_write_member_i64(writer, max_name, range->max);
}

static void describe_type(JsonWriter *writer, const char *type, const char *format)
{
    json_write_member_c(writer, "type", type);
    if (format)
        json_write_member_c(writer, "format", format);
}

static void describe_text(JsonWriter *writer, const SchemaField *field)
{
    const SchemaPatternInfo *pattern = schema_pattern_info(field->pattern);

    describe_type(writer, "string", NULL);
    describe_range(writer, &field->range, "minLength", "maxLength");
    if (pattern)
        json_write_member_c(writer, "pattern", pattern->regex);
}

static void describe_number(JsonWriter *writer, const SchemaField *field)
{
    describe_type(writer, "number", NULL);
    if (!field->real_range.is_set)
        return;
    json_write_member_real(writer, "minimum", field->real_range.min);
    json_write_member_real(writer, "maximum", field->real_range.max);
}

static void describe_types(JsonWriter *writer, const char *const *types, size_t n)
{
    json_write_key(writer, "type");
    json_write_array(writer);
    for (size_t i = 0; i < n; i++)
        json_write_str(writer, str_from_c(types[i]));
    json_write_array_end(writer);
}

static void describe_duration(JsonWriter *writer)
{
    static const char *const types[] = { "string", "number" };

    describe_types(writer, types, ARRAY_LEN(types));
    json_write_key(writer, "examples");
    json_write_array(writer);
    for (size_t i = 0; i < 4; i++)
        json_write_str(writer,
                       ((const Str[]){ STR("250ms"), STR("2s"), STR("1h30m"), STR("PT1S") })[i]);
    json_write_array_end(writer);
}

static void describe_map(JsonWriter *writer, const SchemaField *field)
{
    static const char *const value_types[] = { "string", "number", "boolean", "null", "array" };
    const SchemaPatternInfo *pattern = schema_pattern_info(field->pattern);

    describe_type(writer, "object", NULL);
    json_write_key(writer, "additionalProperties");
    json_write_object(writer);
    if (field->takes_values)
        describe_types(writer, value_types, ARRAY_LEN(value_types));
    else
        describe_type(writer, "string", NULL);
    json_write_object_end(writer);
    if (pattern) {
        json_write_key(writer, "propertyNames");
        json_write_object(writer);
        json_write_member_c(writer, "pattern", pattern->regex);
        json_write_object_end(writer);
    }
    describe_range(writer, &field->range, "minProperties", "maxProperties");
}

static void describe_names(JsonWriter *writer, const SchemaField *field)
{
    describe_type(writer, "string", NULL);
    json_write_key(writer, "enum");
    json_write_array(writer);
    for (int i = 0; field->names[i]; i++)
        json_write_str(writer, str_from_c(field->names[i]));
    json_write_array_end(writer);
}

/* The summary, with what the type does not say. */
static void describe_summary(JsonWriter *writer, const SchemaField *field)
{
    char text[400];

    if (!field->summary)
        return;
    if (field->kind == SCHEMA_DURATION)
        snprintf(text, sizeof(text), "%s (a duration such as 250ms, 1h30m or PT1S, or seconds)",
                 field->summary);
    else
        snprintf(text, sizeof(text), "%s", field->summary);
    json_write_member_c(writer, "description", text);
}

static void describe_rest(JsonWriter *writer, const SchemaField *field)
{
    describe_summary(writer, field);
    if (field->default_text && !field->is_secret) {
        json_write_key(writer, "default");
        schema_write_text(writer, field, str_from_c(field->default_text));
    }
    if (field->is_secret)
        json_write_member_bool(writer, "writeOnly", true);
}

void schema_field_to_json_schema(JsonWriter *writer, const SchemaField *field)
{
    if (field->kind == SCHEMA_OBJECT) {
        describe_object(writer, field->schema, field->summary);
        return;
    }
    json_write_object(writer);
    switch (field->kind) {
    case SCHEMA_STR: describe_text(writer, field); break;
    case SCHEMA_INT:
        describe_type(writer, "integer", "int64");
        describe_range(writer, &field->range, "minimum", "maximum");
        break;
    case SCHEMA_REAL: describe_number(writer, field); break;
    case SCHEMA_BOOL: describe_type(writer, "boolean", NULL); break;
    case SCHEMA_DURATION: describe_duration(writer); break;
    case SCHEMA_TIME: describe_type(writer, "string", "date-time"); break;
    case SCHEMA_URL:
        describe_type(writer, "string", "uri");
        json_write_member_c(writer, "pattern", "^https?://");
        describe_range(writer, &field->range, "minLength", "maxLength");
        break;
    case SCHEMA_ENUM: describe_names(writer, field); break;
    case SCHEMA_LIST:
        describe_type(writer, "array", NULL);
        json_write_key(writer, "items");
        schema_field_to_json_schema(writer, field->item);
        describe_range(writer, &field->range, "minItems", "maxItems");
        break;
    case SCHEMA_MAP: describe_map(writer, field); break;
    case SCHEMA_OBJECT:
    case SCHEMA_JSON: break; /* anything */
    }
    describe_rest(writer, field);
    json_write_object_end(writer);
}

static void describe_required(JsonWriter *writer, const Schema *schema)
{
    bool is_open = false;

    for (size_t i = 0; i < schema->n_fields; i++) {
        if (!schema->fields[i].is_required)
            continue;
        if (!is_open) {
            json_write_key(writer, "required");
            json_write_array(writer);
            is_open = true;
        }
        json_write_str(writer, str_from_c(schema->fields[i].name));
    }
    if (is_open)
        json_write_array_end(writer);
}

static void describe_object(JsonWriter *writer, const Schema *schema, const char *summary)
{
    json_write_object(writer);
    json_write_member_c(writer, "type", "object");
    if (summary)
        json_write_member_c(writer, "description", summary);
    json_write_key(writer, "properties");
    json_write_object(writer);
    for (size_t i = 0; i < schema->n_fields; i++) {
        json_write_key(writer, schema->fields[i].name);
        schema_field_to_json_schema(writer, &schema->fields[i]);
    }
    json_write_object_end(writer);
    describe_required(writer, schema);
    if (!schema->allows_unknown)
        json_write_member_bool(writer, "additionalProperties", false);
    json_write_object_end(writer);
}

void schema_to_json_schema(JsonWriter *writer, const Schema *schema)
{
    describe_object(writer, schema, schema->summary);
}

/* ---- structs written as JSON ----------------------------------------------------------------- */

static bool is_zero(const SchemaField *field, const void *slot)
{
    const char *bytes = slot;

    for (size_t i = 0; i < schema_member_bytes(field); i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* Whether the value says no more than that nothing was given. */
static bool says_nothing(const SchemaField *field, const void *slot)
{
    if (field->absent != 0)
        return *(const int64_t *) slot == field->absent;
    return is_zero(field, slot);
}

static void encode_value(JsonWriter *writer, const SchemaField *field, const void *slot);

static void encode_list(JsonWriter *writer, const SchemaField *field, const SchemaList *list)
{
    size_t item_bytes = schema_member_bytes(field->item);

    json_write_array(writer);
    for (size_t i = 0; i < list->len; i++)
        encode_value(writer, field->item, (const char *) list->items + i * item_bytes);
    json_write_array_end(writer);
}

static void encode_map(JsonWriter *writer, const SchemaPairs *pairs)
{
    json_write_object(writer);
    for (size_t i = 0; i < pairs->len; i++) {
        json_write_key_str(writer, pairs->items[i].name);
        json_write_str(writer, pairs->items[i].value);
    }
    json_write_object_end(writer);
}

static void encode_json(JsonWriter *writer, const SchemaJson *json)
{
    if (json->raw.len > 0)
        json_write_raw(writer, json->raw);
    else
        json_write_value(writer, json->value);
}

static void encode_value(JsonWriter *writer, const SchemaField *field, const void *slot)
{
    char text[TIME_TEXT_BYTES];

    if (field->is_secret) {
        json_write_str(writer, (Str) STR("***"));
        return;
    }
    switch (field->kind) {
    case SCHEMA_STR:
    case SCHEMA_URL: json_write_str(writer, *(const Str *) slot); return;
    case SCHEMA_INT: json_write_i64(writer, *(const int64_t *) slot); return;
    case SCHEMA_REAL: json_write_real(writer, *(const double *) slot); return;
    case SCHEMA_BOOL: json_write_bool(writer, *(const bool *) slot); return;
    case SCHEMA_DURATION:
        json_write_str(writer, duration_format(*(const int64_t *) slot, text));
        return;
    case SCHEMA_TIME: json_write_time_ms(writer, *(const int64_t *) slot); return;
    case SCHEMA_ENUM: json_write_str(writer, str_from_c(field->names[*(const int *) slot])); return;
    case SCHEMA_LIST: encode_list(writer, field, slot); return;
    case SCHEMA_MAP: encode_map(writer, slot); return;
    case SCHEMA_OBJECT: schema_encode(writer, field->schema, slot); return;
    case SCHEMA_JSON: encode_json(writer, slot); return;
    }
}

void schema_encode(JsonWriter *writer, const Schema *schema, const void *value)
{
    json_write_object(writer);
    for (size_t i = 0; i < schema->n_fields; i++) {
        const SchemaField *field = &schema->fields[i];
        const char *slot = (const char *) value + field->offset;

        if (!field->is_required && says_nothing(field, slot))
            continue;
        json_write_key(writer, field->name);
        encode_value(writer, field, slot);
    }
    json_write_object_end(writer);
}

/* ---- the table itself ------------------------------------------------------------------------ */

static int check_table(const Schema *schema, unsigned depth);

static int check_shape(const Schema *schema, const SchemaField *field, unsigned depth)
{
    if (!field->name)
        return fail(-ERR_INTERNAL, "%s: a field without a name", schema->name);
    if (field->kind == SCHEMA_ENUM && (!field->names || !field->names[0]))
        return fail(-ERR_INTERNAL, "%s.%s: a word without its names", schema->name, field->name);
    if (field->kind == SCHEMA_LIST &&
        (!field->item || (field->item->kind == SCHEMA_ENUM && !field->item->names)))
        return fail(-ERR_INTERNAL, "%s.%s: a list without its item", schema->name, field->name);
    if (field->range.is_set && field->range.min > field->range.max)
        return fail(-ERR_INTERNAL, "%s.%s: the range is empty", schema->name, field->name);
    if (field->absent != 0 && field->kind != SCHEMA_INT && field->kind != SCHEMA_DURATION)
        return fail(-ERR_INTERNAL, "%s.%s: absent is for numbers", schema->name, field->name);
    if (field->is_required && field->default_text)
        return fail(-ERR_INTERNAL, "%s.%s: required, and has a default", schema->name, field->name);
    if (field->offset + schema_member_bytes(field) > schema->struct_bytes)
        return fail(-ERR_INTERNAL, "%s.%s: outside of its struct", schema->name, field->name);
    if (field->kind == SCHEMA_OBJECT)
        return check_table(field->schema, depth + 1);
    if (field->kind == SCHEMA_LIST && field->item->kind == SCHEMA_OBJECT)
        return check_table(field->item->schema, depth + 1);
    return 0;
}

/* Decode the default as if a client had sent it. */
static int check_default(const Schema *schema, const SchemaField *field)
{
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonWriter writer = JSON_WRITER(&text);
    SchemaField alone = *field;
    Schema only = { .name = schema->name, .fields = &alone, .n_fields = 1 };
    void *out;

    if (!field->default_text)
        return 0;
    alone.offset = 0;
    only.struct_bytes = schema_member_bytes(field);
    arena_init(&arena, 0);
    json_write_object(&writer);
    json_write_key(&writer, field->name);
    schema_write_text(&writer, field, str_from_c(field->default_text));
    json_write_object_end(&writer);
    out = arena_zalloc(&arena, only.struct_bytes);
    return wrap(schema_decode_text(&arena, &only, buf_str(&text), out, NULL), "default of %s.%s",
                schema->name, field->name);
}

static int check_table(const Schema *schema, unsigned depth)
{
    int r = 0;

    if (depth > SCHEMA_DEPTH_MAX)
        return fail(-ERR_INTERNAL, "%s: schemas nested too deeply", schema->name);
    if (schema->n_fields > SCHEMA_FIELDS_MAX)
        return fail(-ERR_INTERNAL, "%s: too many fields", schema->name);
    for (size_t i = 0; r == 0 && i < schema->n_fields; i++) {
        const SchemaField *field = &schema->fields[i];

        r = check_shape(schema, field, depth);
        for (size_t j = 0; r == 0 && j < i; j++)
            if (strcmp(field->name, schema->fields[j].name) == 0)
                r = fail(-ERR_INTERNAL, "%s.%s: there twice", schema->name, field->name);
        if (r == 0)
            r = check_default(schema, field);
    }
    return r;
}

int schema_check(const Schema *schema)
{
    return check_table(schema, 1);
}
