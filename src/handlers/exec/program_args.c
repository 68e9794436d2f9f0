/*
 * Schemas made from a declaration; see the header.
 *
 * Nobody reads the struct that such a schema binds into: the program gets its arguments as they
 * were given. So each field has a slot of the same size, large enough for any kind.
 */
#include "handlers/exec/program_args.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"

#define SLOT_BYTES 32

typedef struct FieldDeclaration {
    int type;
    Str summary;
    bool required;
    SchemaList choices;
    double min;
    double max;
    int items;
} FieldDeclaration;

static const struct {
    const char *name;
    SchemaKind kind;
} kinds[] = {
    { "string", SCHEMA_STR },   { "integer", SCHEMA_INT },       { "number", SCHEMA_REAL },
    { "boolean", SCHEMA_BOOL }, { "duration", SCHEMA_DURATION }, { "time", SCHEMA_TIME },
    { "url", SCHEMA_URL },      { "any", SCHEMA_JSON },          { "list", SCHEMA_LIST },
};

static const char *const type_names[] = { "string", "integer", "number", "boolean", "duration",
                                          "time",   "url",     "any",    "list",    NULL };
static const char *const item_names[] = { "string", "integer", "number", "boolean", NULL };
static const SchemaField choice_item = ITEM(STR, .range = RANGE(1, 256));

static const SchemaField field_fields[] = {
    FIELD_ENUM(FieldDeclaration, type, type_names, "what it is", .default_text = "any"),
    FIELD_STR(FieldDeclaration, summary, "a phrase about it", .range = RANGE(1, 400)),
    FIELD_BOOL(FieldDeclaration, required, "whether it must be given"),
    FIELD_LIST(FieldDeclaration, choices, &choice_item, "the words it may be",
               .range = RANGE(1, 256)),
    FIELD_REAL(FieldDeclaration, min, "the least, in number or in characters",
               .real_range = REAL_RANGE(-9e15, 9e15), .default_text = "-9e15"),
    FIELD_REAL(FieldDeclaration, max, "the most, in number or in characters",
               .real_range = REAL_RANGE(-9e15, 9e15), .default_text = "9e15"),
    FIELD_ENUM(FieldDeclaration, items, item_names, "of a list: what its elements are",
               .default_text = "string"),
};
static const Schema field_schema = SCHEMA(FieldDeclaration, field_fields,
                                          "A field of a program's argument.");

/* NULL-terminated, as an enum's schema has its words. */
static const char *const *make_choices(Arena *arena, const SchemaList *choices)
{
    const Str *words = choices->items;
    const char **names = arena_zalloc(arena, (choices->len + 1) * sizeof(char *));

    for (size_t i = 0; i < choices->len; i++)
        names[i] = arena_copy_c(arena, words[i]);
    return names;
}

static void set_bounds(SchemaField *field, const FieldDeclaration *declaration)
{
    bool has_min = declaration->min > -9e15, has_max = declaration->max < 9e15;

    if (!has_min && !has_max)
        return;
    if (field->kind == SCHEMA_REAL)
        field->real_range = (SchemaRealRange){ true, declaration->min, declaration->max };
    else
        field->range = (SchemaRange){ true,
                                      has_min                     ? (int64_t) declaration->min
                                      : field->kind == SCHEMA_INT ? INT64_MIN
                                                                  : 0,
                                      has_max ? (int64_t) declaration->max : INT64_MAX };
}

static int make_field(Arena *arena, const YamlDoc *doc, const JsonIter *it, SchemaField *field)
{
    FieldDeclaration declaration;
    int r;

    r = yaml_decode(arena, doc, &field_schema, it->value, &declaration, NULL);
    if (r < 0)
        return r;
    *field = (SchemaField){
        .name = arena_copy_c(arena, it->key),
        .summary = declaration.summary.len ? arena_copy_c(arena, declaration.summary) : "",
        .kind = kinds[declaration.type].kind,
        .is_required = declaration.required,
    };
    set_bounds(field, &declaration);
    if (declaration.choices.len) {
        if (field->kind != SCHEMA_STR && field->kind != SCHEMA_JSON)
            return fail(-ERR_CONFIG, "%s:%u: %s: choices are for strings", doc->name,
                        yaml_line(doc, it->value), field->name);
        field->kind = SCHEMA_ENUM;
        field->names = make_choices(arena, &declaration.choices);
        field->range = (SchemaRange){ 0 };
    }
    if (field->kind == SCHEMA_LIST) {
        SchemaField *item = arena_new(arena, SchemaField);

        item->kind = kinds[declaration.items].kind;
        field->item = item;
    }
    return 0;
}

int program_args_read(Arena *arena, const YamlDoc *doc, Json fields, const char *type,
                      const Schema **ret_schema)
{
    size_t n = json_len(fields), at = 0;
    SchemaField *table = arena_zalloc(arena, (n + 1) * sizeof(SchemaField));
    Schema *schema = arena_new(arena, Schema);

    if (!json_is_object(fields) || n == 0 || n > SCHEMA_FIELDS_MAX)
        return fail(-ERR_CONFIG, "%s:%u: args: must be a mapping of 1 to %d names of fields",
                    doc->name, yaml_line(doc, fields), SCHEMA_FIELDS_MAX);
    for (JsonIter it = json_iter(fields); json_next(&it); at++) {
        int r = make_field(arena, doc, &it, &table[at]);

        if (r < 0)
            return r;
        table[at].offset = at * SLOT_BYTES;
    }
    *schema = (Schema){ .name = type,
                        .summary = "The argument of a program.",
                        .fields = table,
                        .n_fields = n,
                        .struct_bytes = n * SLOT_BYTES };
    *ret_schema = schema;
    return schema_check(schema);
}
