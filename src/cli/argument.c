/*
 * The argument of a handler, from what was written on the command line.
 *
 *   sluice run digest '{"data": "x"}'         JSON, as it stands
 *   sluice fetch weather.yaml --strict        a file, and flags over it
 *   sluice run digest --data x                flags
 *
 * A file is expanded here and nowhere else: `${NAME}` and `${file:PATH}` reach into the environment
 * and the disk of the person who types, never into those of an engine that is asked over HTTP.
 */
#define SL_MAY_BLOCK
#include "base/limits.h"
#include "base/macro.h"
#include "cli/command.h"
#include "codec/yaml.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_BYTES_MAX   255
#define SECRET_BYTES_MAX (64 << 10) /* of a file named by ${file:…} */

/* A file while it is expanded. */
typedef struct Expansion {
    Arena *arena;
    const YamlDoc *doc;
} Expansion;

static bool is_json_text(const char *word)
{
    return word[0] == '{' || word[0] == '[' || word[0] == '"';
}

static bool is_file_name(const char *word)
{
    static const char *const suffixes[] = { ".yaml", ".yml", ".json" };
    Str name = str_from_c(word);

    if (word[0] == '-' || strstr(word, "://"))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (str_ends(name, str_from_c(suffixes[i])))
            return true;
    }
    return false;
}

static int read_file(Arena *arena, const char *name, size_t bytes_max, Str *ret_text)
{
    AUTO(buf_deinit) Buf text = { 0 };
    FILE *file = fopen(name, "rbe");
    char piece[1024];
    size_t len;
    bool is_broken;

    if (!file)
        return fail_errno("%s", name);
    buf_init(&text, bytes_max);
    while ((len = fread(piece, 1, sizeof(piece), file)) > 0)
        buf_add(&text, piece, len);
    is_broken = ferror(file) != 0;
    (void) fclose(file);
    if (is_broken)
        return fail(-ERR_USAGE, "%s cannot be read; it must be a file", name);
    if (text.is_failed)
        return fail(-ERR_TOO_LARGE, "%s is larger than %zu bytes", name, bytes_max);
    *ret_text = arena_copy(arena, buf_str(&text));
    return 0;
}

/* ---- expanding ------------------------------------------------------------------------------- */

/* What stands between the braces, in its place. */
static int expand_one(Expansion *expansion, Str inner, Str *ret_text)
{
    static const Str file_prefix = STR("file:");
    char name[NAME_BYTES_MAX + 1];
    Str fallback = str_from(NULL, 0);
    const char *value;
    size_t len = inner.len;
    int r;

    if (str_starts(inner, file_prefix)) {
        inner = str_sub(inner, file_prefix.len, inner.len);
        r = read_file(expansion->arena, arena_copy_c(expansion->arena, inner), SECRET_BYTES_MAX,
                      ret_text);
        *ret_text = r == 0 ? str_trim(*ret_text) : *ret_text;
        return r;
    }
    for (size_t i = 0; i + 1 < inner.len; i++) {
        if (inner.data[i] == ':' && inner.data[i + 1] == '-') {
            fallback = str_from(inner.data + i + 2, inner.len - i - 2);
            len = i;
            break;
        }
    }
    if (len == 0 || len > NAME_BYTES_MAX)
        return fail(-ERR_CONFIG, "${…} needs the name of a variable");
    memcpy(name, inner.data, len);
    name[len] = '\0';
    value = getenv(name);
    if (!value && !fallback.data)
        return fail(-ERR_CONFIG,
                    "${%s} is not set in the environment; export it, or write "
                    "${%s:-a default}",
                    name, name);
    *ret_text = value ? str_from_c(value) : fallback;
    return 0;
}

/* TEXT with every ${…} expanded, appended to OUT. */
static int expand_text(Expansion *expansion, Str text, Buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        Str rest = str_sub(text, i, text.len), value;
        ssize_t end;
        int r;

        if (rest.data[0] != '$' || rest.len < 2 || (rest.data[1] != '{' && rest.data[1] != '$')) {
            buf_add_char(out, rest.data[0]);
            continue;
        }
        if (rest.data[1] == '$') {
            buf_add_char(out, '$');
            i++;
            continue;
        }
        end = str_find(rest, '}');
        if (end < 0)
            return fail(-ERR_CONFIG, "${ without }");
        r = expand_one(expansion, str_sub(rest, 2, (size_t) end - 2), &value);
        if (r < 0)
            return r;
        buf_add_str(out, value);
        i += (size_t) end;
    }
    return buf_check(out);
}

static int expand_string(Expansion *expansion, Json value, JsonWriter *out)
{
    AUTO(buf_deinit) Buf text = { 0 };
    Str given;
    int r;

    (void) json_get_str(value, &given); /* the caller knows that it is one */
    if (str_find(given, '$') < 0) {
        json_write_str(out, given);
        return 0;
    }
    r = expand_text(expansion, given, &text);
    if (r < 0) {
        json_write_null(out); /* the writer wants a value behind its key */
        return wrap(r, "%s:%u", expansion->doc->name, yaml_line(expansion->doc, value));
    }
    json_write_str(out, buf_str(&text));
    return 0;
}

/* VALUE with its strings expanded; the depth is bounded by the parser of the file. */
static int expand_value(Expansion *expansion, Json value, JsonWriter *out)
{
    Str text;
    int r = 0;

    if (json_get_str(value, &text))
        return expand_string(expansion, value, out);
    if (json_is_object(value)) {
        json_write_object(out);
        for (JsonIter it = json_iter(value); r == 0 && json_next(&it);) {
            json_write_key_str(out, it.key);
            r = expand_value(expansion, it.value, out);
        }
        json_write_object_end(out);
        return r;
    }
    if (json_is_array(value)) {
        json_write_array(out);
        for (JsonIter it = json_iter(value); r == 0 && json_next(&it);)
            r = expand_value(expansion, it.value, out);
        json_write_array_end(out);
        return r;
    }
    json_write_value(out, value);
    return 0;
}

/* ---- a file and flags over it ---------------------------------------------------------------- */

static int merge(Expansion *expansion, Json file, Json flags, JsonWriter *out)
{
    int r = 0;

    json_write_object(out);
    for (JsonIter it = json_iter(file); r == 0 && json_next(&it);) {
        if (json_find_str(flags, it.key))
            continue;
        json_write_key_str(out, it.key);
        r = expand_value(expansion, it.value, out);
    }
    for (JsonIter it = json_iter(flags); json_next(&it);) {
        json_write_key_str(out, it.key);
        json_write_value(out, it.value);
    }
    json_write_object_end(out);
    return r;
}

/* Whether TEXT fits the schema; where the file itself does not, the message has the line. */
static int check(Arena *arena, const Handler *handler, const YamlDoc *doc, Str text)
{
    SchemaDecodeOpts opts = { .source = doc->name, .is_config = true };
    void *bound;
    Err err;
    int r;

    if (!handler || !handler->args)
        return 0;
    bound = arena_zalloc(arena, handler->args->struct_bytes);
    r = schema_decode_text(arena, handler->args, text, bound, &opts);
    if (r == 0)
        return 0;
    err_take(r, &err);
    r = yaml_decode(arena, doc, handler->args, doc->json.root, bound, NULL);
    return r < 0 ? r : err_put(&err);
}

static int add_file(Arena *arena, const Handler *handler, const char *name, Str flags_json,
                    Str *ret_json)
{
    AUTO(buf_deinit) Buf merged = { 0 };
    JsonWriter out = JSON_WRITER(&merged);
    YamlDoc yaml;
    Expansion expansion = { .arena = arena, .doc = &yaml };
    JsonDoc flags;
    Str text;
    int r;

    r = read_file(arena, name, LIMIT_YAML_BYTES, &text);
    if (r == 0)
        r = yaml_parse(arena, text, name, &yaml);
    if (r == 0 && !json_is_object(yaml.json.root))
        r = fail(-ERR_CONFIG, "%s: must hold keys and values", name);
    if (r == 0)
        r = json_parse(arena, flags_json.len ? flags_json : str_from_c("{}"), &flags);
    if (r == 0)
        r = merge(&expansion, yaml.json.root, flags.root, &out);
    if (r == 0)
        r = buf_check(&merged);
    if (r < 0)
        return r;
    *ret_json = arena_copy(arena, buf_str(&merged));
    return check(arena, handler, &yaml, *ret_json);
}

/* The next step of PATH from VALUE: ".name" or "[3]". NULL when it is not there. */
static Json walk(Json value, Str *path)
{
    Str rest = *path, name;
    size_t len = 0, index = 0;

    if (rest.len > 0 && rest.data[0] == '[') {
        name = str_cut(str_sub(rest, 1, rest.len), ']', path);
        for (size_t i = 0; i < name.len; i++)
            index = index * 10 + (size_t) (name.data[i] - '0');
        return name.len < 6 && json_is_array(value) && index < json_len(value)
                   ? json_at(value, index)
                   : NULL;
    }
    if (rest.len > 0 && rest.data[0] == '.')
        rest = str_sub(rest, 1, rest.len);
    while (len < rest.len && rest.data[len] != '.' && rest.data[len] != '[')
        len++;
    *path = str_sub(rest, len, rest.len);
    return json_is_object(value) ? json_find_str(value, str_sub(rest, 0, len)) : NULL;
}

unsigned cli_line_in_file(Arena *arena, const char *name, Str path)
{
    YamlDoc *yaml = arena_new(arena, YamlDoc);
    unsigned line = 0;
    Str text;
    Json value;
    Err err;
    int r = read_file(arena, name, LIMIT_YAML_BYTES, &text);

    if (r == 0)
        r = yaml_parse(arena, text, name, yaml);
    if (r < 0) {
        err_take(r, &err); /* the caller has better words */
        return 0;
    }
    value = yaml->json.root;
    while (path.len > 0 && (value = walk(value, &path)))
        line = yaml_line(yaml, value);
    return line;
}

const char *cli_argument_file(const char *const *words, size_t n)
{
    return n > 0 && !is_json_text(words[0]) && is_file_name(words[0]) ? words[0] : NULL;
}

int cli_read_argument_file(Arena *arena, const Handler *handler, const char *name, Str *ret_json)
{
    return add_file(arena, handler, name, str_from(NULL, 0), ret_json);
}

int cli_read_argument(CommandContext *context, const Handler *handler, const Schema *flags,
                      void *ret_flags, const char *const *words, size_t n, Str *ret_json)
{
    const Schema *args = handler ? handler->args : NULL;
    const char *file = NULL;
    JsonDoc doc;
    Str json = str_from(NULL, 0);
    int r;

    if (n > 0 && is_json_text(words[0])) {
        json = str_from_c(words[0]);
        words++;
        n--;
        args = NULL;
    } else if (n > 0 && is_file_name(words[0])) {
        file = words[0];
        words++;
        n--;
    }
    *ret_json = json;
    r = cli_parse_flags(context, flags, ret_flags, args, ret_json, words, n);
    if (r == 0 && file)
        r = add_file(context->arena, handler, file, *ret_json, ret_json);
    if (r < 0 || !json.len)
        return r;
    r = json_parse(context->arena, json, &doc);
    return wrap(r, "the argument is not JSON");
}
