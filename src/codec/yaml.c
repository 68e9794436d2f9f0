/*
 * YAML through libfyaml, turned into JSON text while its events go by, and then parsed as JSON.
 *
 *   events of libfyaml  ->  text of JSON + a line for each value and key  ->  JsonDoc
 *
 * The JSON parser numbers values and keys in the order of the text, and so does this walk; that
 * is how a value of the tree finds its line. An anchor remembers which bytes of the text and which
 * lines its value became, an alias copies both: the text cannot grow beyond
 * LIMIT_YAML_RESULT_BYTES, whatever a file full of laughs says. An alias inside of its own
 * anchor is unknown there, since an anchor is known when its value has ended.
 *
 * Plain scalars become null, booleans and numbers as the core schema of YAML 1.2 says (yes and on
 * are strings); yaml_scalar.c knows how.
 */
#include "codec/yaml.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "codec/yaml_int.h"

unsigned yaml_line(const YamlDoc *doc, Json value)
{
    size_t i;

    if (!value || !doc->json.root)
        return 0;
    i = json_index(&doc->json, value);
    return i < doc->n_lines ? doc->lines[i] : 0;
}

static int fail_config(const YamlDoc *doc, const SchemaError *error)
{
    unsigned line = yaml_line(doc, error->at);

    if (line == 0) /* something is missing: name the file alone */
        return fail(-ERR_CONFIG, "%s: %.*s%s%.*s", doc->name, (int) error->path.len,
                    error->path.data, error->path.len > 0 ? ": " : "", (int) error->message.len,
                    error->message.data);
    return fail(-ERR_CONFIG, "%s:%u: %.*s%s%.*s", doc->name, line, (int) error->path.len,
                error->path.data, error->path.len > 0 ? ": " : "", (int) error->message.len,
                error->message.data);
}

int yaml_decode(Arena *arena, const YamlDoc *doc, const Schema *schema, Json value, void *out,
                SchemaErrors *errors)
{
    SchemaErrors own;
    SchemaDecodeOpts opts = {
        .doc = &doc->json,
        .errors = errors ? errors : &own,
        .is_config = true,
    };
    int r;

    opts.errors->total = 0;
    r = schema_decode(arena, schema, json_is_null(value) ? NULL : value, out, &opts);
    if (r < 0 && opts.errors->total > 0)
        return fail_config(doc, &opts.errors->items[0]);
    return wrap(r, "%s", doc->name);
}

#if SL_HAVE_FYAML

#include <libfyaml.h>

#define ANCHORS_MAX 256

typedef struct fy_parser FyParser;
typedef struct fy_diag FyDiag;
typedef struct fy_event FyEvent;
typedef struct fy_token FyToken;

DEFINE_AUTO(FyParser *, fy_parser_destroy);
DEFINE_AUTO(FyDiag *, fy_diag_unref);

/* A value that has a name: its bytes in the text, and its values in the list of lines. */
typedef struct Anchor {
    Str name;
    size_t begin, end;
    size_t first_line, end_line;
} Anchor;

/* An open mapping or sequence. */
typedef struct Level {
    Anchor anchor; /* name empty: none */
    bool is_mapping;
    bool wants_key;
} Level;

typedef struct Builder {
    Arena *arena;
    const char *name;
    Buf text;
    Buf lines; /* uint32_t each */
    JsonWriter writer;
    Level *levels; /* LIMIT_JSON_DEPTH */
    unsigned depth;
    Anchor *anchors; /* the latest of a name is the last */
    size_t n_anchors;
    unsigned line; /* of the current event */
    unsigned n_documents;
    char complaint[200]; /* of libfyaml; the first counts */
    size_t complaint_len;
} Builder;

static void builder_deinit(Builder *builder)
{
    buf_deinit(&builder->text);
    buf_deinit(&builder->lines);
}
DEFINE_AUTO_VALUE(Builder, builder_deinit);

/* ---- anchors --------------------------------------------------------------------------------- */

static size_t n_lines(const Builder *builder)
{
    return builder->lines.len / sizeof(uint32_t);
}

static void add_line(Builder *builder)
{
    uint32_t line = builder->line;

    buf_add(&builder->lines, &line, sizeof(line));
}

static int token_text(Builder *builder, FyToken *token, Str *ret)
{
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : "";
    char *copy;

    if (!text)
        return fail(-ENOMEM, "%s:%u: no memory", builder->name, builder->line);
    copy = arena_try(builder->arena, len);
    if (!copy)
        return fail(-ENOMEM, "%s:%u: no memory", builder->name, builder->line);
    if (len > 0)
        memcpy(copy, text, len);
    *ret = str_from(copy, len);
    return 0;
}

/* Begin a value that may have an anchor. */
static int begin_anchor(Builder *builder, FyToken *token, Anchor *ret)
{
    *ret = (Anchor){ .begin = builder->text.len, .first_line = n_lines(builder) };
    return token ? token_text(builder, token, &ret->name) : 0;
}

static int end_anchor(Builder *builder, Anchor *anchor)
{
    if (anchor->name.len == 0)
        return 0;
    if (builder->n_anchors == ANCHORS_MAX)
        return fail(-ERR_INVALID, "%s:%u: more than %d anchors", builder->name, builder->line,
                    ANCHORS_MAX);
    anchor->end = builder->text.len;
    anchor->end_line = n_lines(builder);
    if (builder->text.is_failed)
        return 0;
    /* The value begins behind the comma and the space that led to it. */
    while (anchor->begin < anchor->end && strchr(", \n", builder->text.data[anchor->begin]))
        anchor->begin++;
    builder->anchors[builder->n_anchors++] = *anchor;
    return 0;
}

static const Anchor *find_anchor(const Builder *builder, Str name)
{
    for (size_t i = builder->n_anchors; i > 0; i--)
        if (str_eq(builder->anchors[i - 1].name, name))
            return &builder->anchors[i - 1];
    return NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool is_key_place(const Builder *builder)
{
    const Level *level = builder->depth > 0 ? &builder->levels[builder->depth - 1] : NULL;

    return level && level->is_mapping && level->wants_key;
}

/* A value has been written: what comes next in a mapping is a key. */
static void end_value(Builder *builder)
{
    Level *level = builder->depth > 0 ? &builder->levels[builder->depth - 1] : NULL;

    if (level && level->is_mapping)
        level->wants_key = true;
}

static int on_key(Builder *builder, Str text, bool is_plain)
{
    if (is_plain && str_eq_c(text, "<<"))
        return fail(-ERR_INVALID, "%s:%u: merge keys (<<) are not supported", builder->name,
                    builder->line);
    add_line(builder);
    json_write_key_str(&builder->writer, text);
    builder->levels[builder->depth - 1].wants_key = false;
    return 0;
}

static int on_scalar(Builder *builder, const FyEvent *event)
{
    bool is_plain = fy_token_scalar_style(event->scalar.value) == FYSS_PLAIN;
    Anchor anchor;
    Str text, tag = { 0 };
    int r;

    r = token_text(builder, event->scalar.value, &text);
    if (r == 0 && event->scalar.tag)
        r = token_text(builder, event->scalar.tag, &tag);
    if (r < 0)
        return r;
    if (is_key_place(builder)) {
        if (event->scalar.anchor || tag.len > 0)
            return fail(-ERR_INVALID, "%s:%u: a key with an anchor or a tag", builder->name,
                        builder->line);
        return on_key(builder, text, is_plain);
    }
    r = begin_anchor(builder, event->scalar.anchor, &anchor);
    if (r < 0)
        return r;
    add_line(builder);
    r = yaml_write_scalar(&builder->writer, text, is_plain, tag);
    if (r < 0)
        return wrap(r, "%s:%u", builder->name, builder->line);
    end_value(builder);
    return end_anchor(builder, &anchor);
}

static int on_alias(Builder *builder, const FyEvent *event)
{
    const Anchor *anchor;
    size_t bytes, line_bytes;
    Str name;
    int r;

    r = token_text(builder, event->alias.anchor, &name);
    if (r < 0)
        return r;
    if (is_key_place(builder))
        return fail(-ERR_INVALID, "%s:%u: an alias as a key", builder->name, builder->line);
    anchor = find_anchor(builder, name);
    if (!anchor)
        return fail(-ERR_INVALID, "%s:%u: *%.*s stands for nothing above it", builder->name,
                    builder->line, (int) MIN(name.len, 40ul), name.data);
    bytes = anchor->end - anchor->begin;
    line_bytes = (anchor->end_line - anchor->first_line) * sizeof(uint32_t);
    /* Room first, comma included: the text to copy lies in the same buffer. */
    if (!buf_reserve(&builder->text, bytes + 1) || !buf_reserve(&builder->lines, line_bytes))
        return 0; /* too large, as is found at the end */
    json_write_raw(&builder->writer, str_from(builder->text.data + anchor->begin, bytes));
    buf_add(&builder->lines, builder->lines.data + anchor->first_line * sizeof(uint32_t),
            line_bytes);
    end_value(builder);
    return 0;
}

static int on_start(Builder *builder, FyToken *anchor, FyToken *tag, bool is_mapping)
{
    Level level = { .is_mapping = is_mapping, .wants_key = is_mapping };
    Str tag_text = { 0 };
    int r = 0;

    if (is_key_place(builder))
        return fail(-ERR_INVALID, "%s:%u: a key must be a plain word or a string", builder->name,
                    builder->line);
    if (builder->depth == LIMIT_JSON_DEPTH)
        return fail(-ERR_INVALID, "%s:%u: nested more than %d levels deep", builder->name,
                    builder->line, LIMIT_JSON_DEPTH);
    if (tag)
        r = token_text(builder, tag, &tag_text);
    if (r == 0 && tag_text.len > 0 && !yaml_is_container_tag(tag_text, is_mapping))
        r = fail(-ERR_INVALID, "%s:%u: the tag %.*s is not supported", builder->name, builder->line,
                 (int) MIN(tag_text.len, 60ul), tag_text.data);
    if (r == 0)
        r = begin_anchor(builder, anchor, &level.anchor);
    if (r < 0)
        return r;
    add_line(builder);
    if (is_mapping)
        json_write_object(&builder->writer);
    else
        json_write_array(&builder->writer);
    builder->levels[builder->depth++] = level;
    return 0;
}

static int on_end(Builder *builder)
{
    Level *level;

    ASSERT(builder->depth > 0);
    level = &builder->levels[--builder->depth];
    if (level->is_mapping)
        json_write_object_end(&builder->writer);
    else
        json_write_array_end(&builder->writer);
    end_value(builder);
    return end_anchor(builder, &level->anchor);
}

/* ---- events ---------------------------------------------------------------------------------- */

static FyToken *token_of(const FyEvent *event)
{
    switch (event->type) {
    case FYET_MAPPING_START: return event->mapping_start.mapping_start;
    case FYET_MAPPING_END: return event->mapping_end.mapping_end;
    case FYET_SEQUENCE_START: return event->sequence_start.sequence_start;
    case FYET_SEQUENCE_END: return event->sequence_end.sequence_end;
    case FYET_SCALAR: return event->scalar.value;
    case FYET_ALIAS: return event->alias.anchor;
    case FYET_DOCUMENT_START: return event->document_start.document_start;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END: return NULL;
    }
    return NULL;
}

static int on_event(Builder *builder, const FyEvent *event)
{
    FyToken *token = token_of(event);
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;

    if (mark)
        builder->line = (unsigned) mark->line + 1;
    switch (event->type) {
    case FYET_MAPPING_START:
        return on_start(builder, event->mapping_start.anchor, event->mapping_start.tag, true);
    case FYET_SEQUENCE_START:
        return on_start(builder, event->sequence_start.anchor, event->sequence_start.tag, false);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END: return on_end(builder);
    case FYET_SCALAR: return on_scalar(builder, event);
    case FYET_ALIAS: return on_alias(builder, event);
    case FYET_DOCUMENT_START:
        if (builder->n_documents++ > 0)
            return fail(-ERR_INVALID, "%s:%u: a second document", builder->name, builder->line);
        return 0;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END: return 0;
    }
    return 0;
}

/* "<memory-@0x1-0x2>:3:1: error: flow sequence without a closing bracket" */
static int fail_syntax(const Builder *builder)
{
    Str text = str_from(builder->complaint, builder->complaint_len), behind;
    unsigned line = builder->line;
    uint64_t number;

    text = str_trim(str_cut(text, '\n', &behind));
    (void) str_cut(text, '>', &behind); /* the name that libfyaml gives to memory */
    if (str_starts(behind, (Str) STR(":"))) {
        Str rest = str_sub(behind, 1, behind.len);

        if (str_to_u64(str_cut(rest, ':', &rest), UINT32_MAX, &number) == 0)
            line = (unsigned) number;
        (void) str_cut(rest, ':', &rest); /* the column */
        (void) str_cut(rest, ':', &rest); /* "error" */
        text = str_trim(rest);
    }
    if (text.len == 0)
        return fail(-ERR_INVALID, "%s:%u: not valid YAML", builder->name, line);
    return fail(-ERR_INVALID, "%s:%u: %.*s", builder->name, line, (int) text.len, text.data);
}

/* libfyaml says what is wrong piece by piece; the first piece is the sentence. */
static void on_diag_output(FyDiag *diag, void *user, const char *text, size_t len)
{
    Builder *builder = user;

    (void) diag;
    if (builder->complaint_len > 0)
        return;
    builder->complaint_len = MIN(len, sizeof(builder->complaint));
    memcpy(builder->complaint, text, builder->complaint_len);
}

static int read_events(Builder *builder, FyParser *parser, FyDiag *diag)
{
    FyEvent *event;
    int r = 0;

    while (r == 0 && !builder->text.is_failed && !builder->lines.is_failed &&
           (event = fy_parser_parse(parser)) != NULL) {
        bool is_last = event->type == FYET_STREAM_END;

        r = on_event(builder, event);
        fy_parser_event_free(parser, event);
        if (is_last)
            break;
    }
    if (r == 0)
        r = wrap(buf_check(&builder->text), "%s", builder->name);
    if (r == 0)
        r = wrap(buf_check(&builder->lines), "%s", builder->name);
    if (r == 0 && fy_diag_got_error(diag))
        r = fail_syntax(builder);
    return r;
}

static int parse_text(Builder *builder, Str text)
{
    struct fy_diag_cfg diag_config;
    AUTO(fy_diag_unref) FyDiag *diag = NULL;
    AUTO(fy_parser_destroy) FyParser *parser = NULL;

    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    diag_config.output_fn = on_diag_output;
    diag_config.user = builder;
    diag_config.colorize = false;
    diag = fy_diag_create(&diag_config);
    if (diag) {
        struct fy_parse_cfg config = {
            .flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
            .diag = diag,
        };

        parser = fy_parser_create(&config);
    }
    if (!parser || fy_parser_set_string(parser, text.data, text.len) != 0)
        return fail(-ENOMEM, "%s: no memory for the YAML parser", builder->name);
    return read_events(builder, parser, diag);
}

/* Copy what was built to the arena and parse it. */
static int finish(Builder *builder, YamlDoc *ret_doc)
{
    Str text = buf_str(&builder->text);
    YamlDoc doc = { .name = builder->name, .n_lines = n_lines(builder) };
    char *text_copy = arena_try(builder->arena, text.len);
    uint32_t *lines = arena_try(builder->arena, builder->lines.len);
    int r;

    if (!text_copy || !lines)
        return fail(-ENOMEM, "%s: no memory", builder->name);
    memcpy(text_copy, text.data, text.len);
    memcpy(lines, builder->lines.data, builder->lines.len);
    doc.lines = lines;
    r = json_parse(builder->arena, str_from(text_copy, text.len), &doc.json);
    if (r < 0)
        return wrap(r, "%s", builder->name);
    ASSERT(doc.json.n_values == doc.n_lines);
    *ret_doc = doc;
    return 0;
}

int yaml_parse(Arena *arena, Str text, const char *name, YamlDoc *ret_doc)
{
    AUTO(builder_deinit) Builder builder = { .arena = arena, .name = name, .line = 1 };
    int r = 0;

    if (text.len > LIMIT_YAML_BYTES)
        return fail(-ERR_TOO_LARGE, "%s: YAML of %zu bytes is over the limit of %d", name, text.len,
                    LIMIT_YAML_BYTES);
    if (!str_is_utf8(text) || (text.len > 0 && memchr(text.data, '\0', text.len)))
        return fail(-ERR_INVALID, "%s: not UTF-8 text", name);
    builder.anchors = arena_try(arena, ANCHORS_MAX * sizeof(Anchor));
    builder.levels = arena_try(arena, LIMIT_JSON_DEPTH * sizeof(Level));
    if (!builder.anchors || !builder.levels)
        return fail(-ENOMEM, "%s: no memory", name);
    buf_init(&builder.text, LIMIT_YAML_RESULT_BYTES);
    buf_init(&builder.lines, LIMIT_YAML_RESULT_BYTES);
    builder.writer = JSON_WRITER(&builder.text);
    if (text.len > 0)
        r = parse_text(&builder, text);
    if (r < 0)
        return r;
    if (builder.text.len == 0) { /* nothing but comments */
        json_write_null(&builder.writer);
        add_line(&builder);
    }
    return finish(&builder, ret_doc);
}

#else

int yaml_parse(Arena *arena, Str text, const char *name, YamlDoc *ret_doc)
{
    (void) arena;
    (void) text;
    (void) ret_doc;
    return fail(-ERR_UNSUPPORTED, "%s: this build has no libfyaml and reads no YAML", name);
}

#endif
