/*
 * Schema: what a value must look like, said once.
 *
 * A handler declares its arguments and its result as tables of fields bound to C structs. From
 * the table come validation with a pointer to what is wrong, the C struct filled in, JSON Schema
 * for OpenAPI, flags and help of the command line, and the writer of the result.
 *
 *   typedef struct DigestArgs {
 *       Str     data;
 *       int64_t rounds;
 *   } DigestArgs;
 *
 *   static const SchemaField digest_fields[] = {
 *       FIELD_STR(DigestArgs, data, "what to hash", .positional = 1),
 *       FIELD_INT(DigestArgs, rounds, "how often", .range = RANGE(1, 99), .default_text = "1"),
 *   };
 *   static const Schema digest_args = SCHEMA(DigestArgs, digest_fields, "Arguments of digest");
 *
 *   kind        C member          JSON                              on the command line
 *   STR         Str               string                            --name text
 *   INT         int64_t           number without fraction           --name 12
 *   REAL        double            number                            --name 0.5
 *   BOOL        bool              true or false                     --name, --no-name
 *   DURATION    int64_t, in ms    "250ms" "1h30m" "PT1S", seconds   --name 250ms
 *   TIME        int64_t, in ms    RFC 3339 string                   --name 2026-11-21T03:15:00Z
 *   URL         Str               string, absolute http or https    --name http://…
 *   ENUM        int               one of `names`, by index          --name word
 *   LIST        SchemaList        array of `item`                   --name a --name b
 *   MAP         SchemaPairs       object of strings                 --name key=value, repeated
 *                                 (with takes_values: of numbers, booleans and lists too)
 *   OBJECT      struct, in place  object of `schema`                --name.inner value
 *   JSON        SchemaJson        anything                          --name '{"a": 1}'
 *
 * A plain number for a duration is in seconds (0.25 is 250 ms); in text a number needs its unit,
 * except on the command line, where it is in seconds too. An absent optional field has its
 * default, and without one the zero of its type. null counts as absent where a field is optional
 * (but not for JSON, where it is a value). A field that is given twice is refused.
 *
 * To add a kind: a row in SCHEMA_KINDS, then the compiler names every switch that must know it.
 */
#pragma once

#include <sluice/attr.h>
#include <sluice/json.h>
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

SL_BEGIN_DECLS

/* X(NAME, "how it is called in messages", C type) */
#define SCHEMA_KINDS(X)                \
    X(STR, "a string", Str)            \
    X(INT, "an integer", int64_t)      \
    X(REAL, "a number", double)        \
    X(BOOL, "true or false", bool)     \
    X(DURATION, "a duration", int64_t) \
    X(TIME, "a time", int64_t)         \
    X(URL, "a URL", Str)               \
    X(ENUM, "a word", int)             \
    X(LIST, "an array", SchemaList)    \
    X(MAP, "an object", SchemaPairs)   \
    X(OBJECT, "an object", char)       \
    X(JSON, "any JSON value", SchemaJson)

typedef enum SchemaKind {
#define SCHEMA_KIND_ENUM_(name, text, type) SCHEMA_##name,
    SCHEMA_KINDS(SCHEMA_KIND_ENUM_)
#undef SCHEMA_KIND_ENUM_
} SchemaKind;

/* What a string must look like beyond its length. */
typedef enum SchemaPattern {
    SCHEMA_ANY_TEXT,
    SCHEMA_NAME,       /* words of lower-case letters, digits, - and _, joined by dots; job types */
    SCHEMA_QUEUE_NAME, /* [a-z0-9][a-z0-9._-]* */
    SCHEMA_UUID,       /* 8-4-4-4-12 hexadecimal digits */
    SCHEMA_HEADER_NAME, /* a token of HTTP */
    SCHEMA_HEADER_TEXT, /* visible text, spaces and tabs: no control characters */
    SCHEMA_HEX,         /* an even number of hexadecimal digits */
    SCHEMA_BASE64,      /* RFC 4648, with padding */
} SchemaPattern;

/* Elements of a LIST, one behind the other: `Str *`, `int64_t *` … as the item's kind says. */
typedef struct SchemaList {
    void *items;
    size_t len;
} SchemaList;

typedef struct SchemaPair {
    Str name;
    Str value;
} SchemaPair;

typedef struct SchemaPairs {
    SchemaPair *items; /* in the order given */
    size_t len;
} SchemaPairs;

/* Anything: the value, and its source text byte for byte. Both empty when absent. */
typedef struct SchemaJson {
    Json value;
    Str raw;
} SchemaJson;

/* Bounds, both included. Zeroed means none. */
typedef struct SchemaRange {
    bool is_set;
    int64_t min;
    int64_t max; /* INT64_MAX means none above */
} SchemaRange;

typedef struct SchemaRealRange {
    bool is_set;
    double min;
    double max;
} SchemaRealRange;

#define RANGE(low, high)    \
    {                       \
        true, (low), (high) \
    }
#define AT_LEAST(low)          \
    {                          \
        true, (low), INT64_MAX \
    }
#define REAL_RANGE(low, high) \
    {                         \
        true, (low), (high)   \
    }

typedef struct Schema Schema;
typedef struct SchemaField SchemaField;

struct SchemaField {
    const char *name;    /* as in JSON */
    const char *summary; /* a phrase without capital and stop, for help and OpenAPI */
    SchemaKind kind;
    size_t offset; /* of the member in the struct */

    bool is_required;
    const char *default_text; /* as on the command line: "250ms", "true", "sha256"; NULL: none */
    int64_t absent; /* INT, DURATION without a default: what stands for "not given"; -1, say */

    /* INT: the value. STR, URL: characters. DURATION: ms. LIST, MAP: entries. JSON: bytes. */
    SchemaRange range;
    SchemaRealRange real_range; /* REAL */
    SchemaPattern pattern;      /* STR; of MAP: its names */
    const char *const *names;   /* ENUM: the words, NULL-terminated */
    const SchemaField *item;    /* LIST: its elements (name and offset unused) */
    const Schema *schema;       /* OBJECT: the struct within */

    /* LIST of objects: what an element leaves out it takes from the field of that name beside the
     * list, if that is given. */
    bool inherits;

    /* MAP: numbers and booleans are taken as they are written, a list as its name once for each
     * element, null as absent. */
    bool takes_values;

    bool is_secret;     /* never shown: not in messages, not in dumps; "writeOnly" in OpenAPI */
    const char *flag;   /* name of the flag without dashes; NULL: `name` with - for _ */
    int positional;     /* also taken as the n-th word without a flag, from 1; 0: never */
    const char *holder; /* what help shows for the value: "FILE"; NULL: by kind */
};

struct Schema {
    const char *name;    /* of the struct; names the component in OpenAPI */
    const char *summary; /* a sentence */
    const SchemaField *fields;
    size_t n_fields; /* at most SCHEMA_FIELDS_MAX */
    size_t struct_bytes;
    bool allows_unknown; /* fields that are not in the table are ignored instead of refused */

    /* What no single field can say. Returns a complaint ("from must not be after to") or NULL. */
    const char *(*check)(const void *value);
};

#define SCHEMA_FIELDS_MAX 64
#define SCHEMA_DEPTH_MAX  8 /* of schemas within schemas */

/* The offset of MEMBER, which must be of type TYPE. */
#define SCHEMA_OFFSET_(Struct, member, type)                                                 \
    (offsetof(Struct, member) +                                                              \
     0 * sizeof(                                                                             \
             char[__builtin_types_compatible_p(__typeof__(((Struct *) 0)->member), type) ? 1 \
                                                                                         : -1]))

#define SCHEMA_FIELD_(Kind, type, Struct, member, text, ...)          \
    {                                                                 \
        .name = #member, .summary = (text), .kind = SCHEMA_##Kind,    \
        .offset = SCHEMA_OFFSET_(Struct, member, type), ##__VA_ARGS__ \
    }

#define FIELD_STR(Struct, member, text, ...) \
    SCHEMA_FIELD_(STR, Str, Struct, member, text, ##__VA_ARGS__)
#define FIELD_INT(Struct, member, text, ...) \
    SCHEMA_FIELD_(INT, int64_t, Struct, member, text, ##__VA_ARGS__)
#define FIELD_REAL(Struct, member, text, ...) \
    SCHEMA_FIELD_(REAL, double, Struct, member, text, ##__VA_ARGS__)
#define FIELD_BOOL(Struct, member, text, ...) \
    SCHEMA_FIELD_(BOOL, bool, Struct, member, text, ##__VA_ARGS__)
#define FIELD_URL(Struct, member, text, ...) \
    SCHEMA_FIELD_(URL, Str, Struct, member, text, ##__VA_ARGS__)
#define FIELD_MAP(Struct, member, text, ...) \
    SCHEMA_FIELD_(MAP, SchemaPairs, Struct, member, text, ##__VA_ARGS__)
#define FIELD_JSON(Struct, member, text, ...) \
    SCHEMA_FIELD_(JSON, SchemaJson, Struct, member, text, ##__VA_ARGS__)

/* The member carries its unit (`timeout_ms`), its JSON name does not: NAME is given. */
#define FIELD_DURATION(Struct, member, name_text, text, ...)             \
    {                                                                    \
        .name = (name_text), .summary = (text), .kind = SCHEMA_DURATION, \
        .offset = SCHEMA_OFFSET_(Struct, member, int64_t), ##__VA_ARGS__ \
    }
#define FIELD_TIME(Struct, member, name_text, text, ...)                 \
    {                                                                    \
        .name = (name_text), .summary = (text), .kind = SCHEMA_TIME,     \
        .offset = SCHEMA_OFFSET_(Struct, member, int64_t), ##__VA_ARGS__ \
    }
/* WORDS is a NULL-terminated array of names; the member gets the index. */
#define FIELD_ENUM(Struct, member, words, text, ...) \
    SCHEMA_FIELD_(ENUM, int, Struct, member, text, .names = (words), ##__VA_ARGS__)
/* ITEM_FIELD is a SchemaField that describes one element: `ITEM(STR, .range = RANGE(1, 99))`. */
#define FIELD_LIST(Struct, member, item_field, text, ...) \
    SCHEMA_FIELD_(LIST, SchemaList, Struct, member, text, .item = (item_field), ##__VA_ARGS__)
#define ITEM(Kind, ...)                      \
    {                                        \
        .kind = SCHEMA_##Kind, ##__VA_ARGS__ \
    }
/* INNER is the Schema of the member, which is a struct held in place. */
#define FIELD_OBJECT(Struct, member, inner, text, ...)                       \
    {                                                                        \
        .name = #member, .summary = (text), .kind = SCHEMA_OBJECT,           \
        .offset = offsetof(Struct, member), .schema = (inner), ##__VA_ARGS__ \
    }

#define SCHEMA(Struct, table, text, ...)                                                \
    {                                                                                   \
        .name = #Struct, .summary = (text), .fields = (table),                          \
        .n_fields = sizeof(table) / sizeof((table)[0]), .struct_bytes = sizeof(Struct), \
        ##__VA_ARGS__                                                                   \
    }

/* ---- decoding -------------------------------------------------------------------------------- */

#define SCHEMA_ERRORS_MAX 8

typedef struct SchemaError {
    Str path;    /* "args[0].rounds"; "--rounds" for flags; empty for the whole value */
    Str pointer; /* "/args/0/rounds" */
    Str message; /* "must be between 1 and 1000000, got -3" */
    Json at;     /* the value, or the key of an unknown field; NULL for what is missing */
} SchemaError;

/* What is wrong with a value. The texts live in the arena of the decode. */
typedef struct SchemaErrors {
    SchemaError items[SCHEMA_ERRORS_MAX];
    size_t len;
    size_t total; /* all that were found; more than len when there were too many to keep */
} SchemaErrors;

/* How to decode; zero means the default. */
typedef struct SchemaDecodeOpts {
    const JsonPath *at;   /* where VALUE stands in what the user sent; NULL: it is the root */
    const JsonDoc *doc;   /* what VALUE belongs to: fills SchemaJson.raw; may be NULL */
    SchemaErrors *errors; /* gets everything that is wrong; may be NULL */
    bool is_config;       /* a file: say "key" for "field"; the error is -ERR_CONFIG */
    bool is_flags;        /* the command line: name the flag; the error is -ERR_USAGE */
    const char *source;   /* put before the first error's words, with ": " */
} SchemaDecodeOpts;

/*
 * Check VALUE against SCHEMA and fill the struct at OUT (of schema->struct_bytes, any content).
 * Strings point into the document; lists live in ARENA. A NULL VALUE counts as {}.
 *
 * Returns 0, or -ERR_INVALID (or what OPTS says) with the first error in words:
 * "args[0].rounds: must be between 1 and 1000000, got -3", or -ENOMEM. OUT is defined after 0 only.
 */
SL_API SL_MUST int schema_decode(Arena *arena, const Schema *schema, Json value, void *out,
                                 const SchemaDecodeOpts *opts);

/* As above, the text being parsed first; the document lives in ARENA. Empty TEXT counts as {}. */
SL_API SL_MUST int schema_decode_text(Arena *arena, const Schema *schema, Str text, void *out,
                                      const SchemaDecodeOpts *opts);

/* Fill the struct at OUT with the defaults; required fields are left zero. 0 or -ENOMEM. */
SL_API SL_MUST int schema_defaults(Arena *arena, const Schema *schema, void *out);

/*
 * Write the struct at VALUE as a JSON object: the writer of results. Fields that are not required
 * and hold the zero of their type are left out; secrets are written as "***".
 */
SL_API void schema_encode(JsonWriter *writer, const Schema *schema, const void *value);

/* ---- describing ------------------------------------------------------------------------------ */

/* The JSON Schema (2020-12) of SCHEMA, inner schemas in place, as one value. */
SL_API void schema_to_json_schema(JsonWriter *writer, const Schema *schema);

/* The same for one field, such as the result of a handler. */
SL_API void schema_field_to_json_schema(JsonWriter *writer, const SchemaField *field);

/* Check the table itself: defaults that parse, ranges in order, names unique. For tests. */
SL_API SL_MUST int schema_check(const Schema *schema);

/* ---- the command line ------------------------------------------------------------------------ */

/* One table of flags, and what was read for it. */
typedef struct SchemaFlags {
    const Schema *schema;
    void *out; /* the struct to fill; NULL: only `json` is wanted */
    Str json;  /* result: what was given, as the text of a JSON object, in the arena */
} SchemaFlags;

/*
 * Read the N words at ARGS as flags of the tables in SETS, of which the first that knows a flag
 * gets it: `--rounds 1000`, `--rounds=1000`, `--follow`, `--no-follow`, `--header a=b`,
 * `--retry.max 3`, positional words, `--` before words that begin with a dash.
 *
 * Returns 0, or -ERR_USAGE with words: "--ronds: unknown flag; did you mean --rounds?".
 */
SL_API SL_MUST int schema_from_flags(Arena *arena, SchemaFlags *sets, size_t n_sets,
                                     const char *const *args, size_t n);

/* A line of help for each flag, names aligned: "  --rounds N   how often (1 to 1000000; …)". */
SL_API void schema_flags_help(Buf *out, const Schema *schema);

/* ---- walking --------------------------------------------------------------------------------- */

/* What a kind is called in messages: "an integer". Static text. */
SL_API const char *schema_kind_name(SchemaKind kind);

/* The flag of FIELD without its dashes, into OUT (cut to CAP - 1 bytes, NUL-terminated). */
SL_API Str schema_flag_name(const SchemaField *field, char *out, size_t cap);

SL_END_DECLS
