/*
 * Fuzz: schemas. The bytes are a JSON text decoded against a schema with every kind; what is
 * taken is written and must be taken again. The same bytes, cut at newlines, are a command line.
 *
 * Nothing may fail but for a reason in words: -ERR_INVALID or -ERR_USAGE, or memory.
 */
#include "codec/schema.h"

#include "base/assert.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

typedef struct Inner {
    int64_t max;
    Str note;
} Inner;

typedef struct Outer {
    Str text;
    Str name;
    int64_t count;
    double ratio;
    bool follow;
    int64_t timeout_ms;
    int64_t at_ms;
    Str target;
    int mode;
    SchemaList tags;
    SchemaList inners;
    SchemaPairs headers;
    Inner retry;
    SchemaJson payload;
} Outer;

static const SchemaField inner_fields[] = {
    FIELD_INT(Inner, max, "how often", .range = RANGE(0, 9), .default_text = "3"),
    FIELD_STR(Inner, note, "a note", .pattern = SCHEMA_HEADER_TEXT),
};
static const Schema inner_schema = SCHEMA(Inner, inner_fields, "Something within.");
static const char *const modes[] = { "fast", "slow", NULL };
static const SchemaField tag_item = ITEM(STR, .range = RANGE(1, 8), .pattern = SCHEMA_NAME);
static const SchemaField inner_item = ITEM(OBJECT, .schema = &inner_schema);
static const SchemaField fields[] = {
    FIELD_STR(Outer, text, "t", .is_required = true, .positional = 1, .range = RANGE(0, 20)),
    FIELD_STR(Outer, name, "n", .pattern = SCHEMA_BASE64),
    FIELD_INT(Outer, count, "c", .range = AT_LEAST(-5)),
    FIELD_REAL(Outer, ratio, "r", .real_range = REAL_RANGE(-1, 1)),
    FIELD_BOOL(Outer, follow, "f", .default_text = "true"),
    FIELD_DURATION(Outer, timeout_ms, "timeout", "d", .default_text = "5s"),
    FIELD_TIME(Outer, at_ms, "at", "a"),
    FIELD_URL(Outer, target, "u"),
    FIELD_ENUM(Outer, mode, modes, "m"),
    FIELD_LIST(Outer, tags, &tag_item, "l", .range = RANGE(0, 5)),
    FIELD_LIST(Outer, inners, &inner_item, "i"),
    FIELD_MAP(Outer, headers, "h", .pattern = SCHEMA_HEADER_NAME),
    FIELD_OBJECT(Outer, retry, &inner_schema, "o"),
    FIELD_JSON(Outer, payload, "p"),
};
static const Schema outer_schema = SCHEMA(Outer, fields, "All kinds.");

/* Whether R is NAME, or a limit that was reached: the only reasons there may be. */
static bool is_reason(int r, const char *name)
{
    Str reason = str_from_c(err_name(r));

    return str_eq_c(reason, name) || str_eq_c(reason, "ENOMEM") || str_eq_c(reason, "TOO_LARGE");
}

static void fuzz_text(Str text)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf again = { 0 };
    JsonWriter writer = JSON_WRITER(&again);
    SchemaErrors errors;
    SchemaDecodeOpts opts = { .errors = &errors };
    Outer outer;
    int r = schema_decode_text(&arena, &outer_schema, text, &outer, &opts);

    ASSERT(r == 0 || is_reason(r, "INVALID"));
    if (r < 0)
        return;
    ASSERT(errors.total == 0);
    schema_encode(&writer, &outer_schema, &outer);
    ASSERT(schema_decode_text(&arena, &outer_schema, buf_str(&again), &outer, NULL) == 0);
}

static void fuzz_words(Str text)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *words[16];
    Outer outer;
    SchemaFlags set = { .schema = &outer_schema, .out = &outer };
    size_t n = 0;
    int r;

    if (text.len > 4096)
        return;
    for (Str rest = text; rest.len > 0 && n < ARRAY_LEN(words);)
        words[n++] = arena_copy_c(&arena, str_cut(rest, '\n', &rest));
    r = schema_from_flags(&arena, &set, 1, words, n);
    ASSERT(r == 0 || is_reason(r, "USAGE"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Str text = str_from((const char *) data, len);

    fuzz_text(text);
    fuzz_words(text);
    return 0;
}
