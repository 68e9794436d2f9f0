/*
 * Structured data: paths.
 *
 *   source ":" type { "." name | "[" "]" | "[" number "]" }
 *
 * A type is looked for in all values of the source, depth first; the first node of that type that
 * has the rest of the path answers.
 */
#include "codec/structured.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#define STEPS_MAX 16

typedef enum Source {
    SOURCE_JSONLD,
    SOURCE_MICRODATA,
    SOURCE_META,
} Source;

typedef enum StepKind {
    STEP_NAME,
    STEP_ALL,
    STEP_INDEX,
} StepKind;

typedef struct Step {
    StepKind kind;
    Str name;
    size_t index;
} Step;

struct StructuredPath {
    char *text; /* owned; names point into it */
    Source source;
    Str type; /* the name of a meta element, for SOURCE_META; "*" for any */
    Step steps[STEPS_MAX];
    size_t n;
    bool is_list; /* there is a [] */
};

/* ---- compiling ------------------------------------------------------------------------------- */

static const struct {
    const char *prefix;
    Source source;
} sources[] = {
    { "jsonld:", SOURCE_JSONLD },
    { "microdata:", SOURCE_MICRODATA },
    { "og:", SOURCE_META },
    { "meta:", SOURCE_META },
};

static ssize_t find_source(Str text)
{
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        if (str_starts(text, str_from_c(sources[i].prefix)))
            return (ssize_t) i;
    return -1;
}

bool structured_is_path(Str text)
{
    return find_source(text) >= 0;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_-@:/#*", c)) || ((unsigned char) c & 0x80);
}

static Str take_name(Str text, size_t *at)
{
    size_t start = *at;

    while (*at < text.len && is_name_char(text.data[*at]))
        ++*at;
    return str_sub(text, start, *at - start);
}

/* The step at *at, a "." or a "[". */
static int read_step(StructuredPath *path, Str text, size_t *at)
{
    Step *step = &path->steps[path->n];
    size_t start = *at;
    uint64_t index;

    if (path->n == STEPS_MAX)
        return fail(-ERR_INVALID, "at %zu: more than %d steps", start + 1, STEPS_MAX);
    path->n++;
    ++*at;
    if (text.data[start] == '.') {
        step->name = take_name(text, at);
        if (step->name.len == 0)
            return fail(-ERR_INVALID, "at %zu: a name is missing behind the \".\"", *at + 1);
        return 0;
    }
    while (*at < text.len && text.data[*at] >= '0' && text.data[*at] <= '9')
        ++*at;
    if (*at == text.len || text.data[*at] != ']')
        return fail(-ERR_INVALID, "at %zu: expected [] or a number in brackets", start + 1);
    step->kind = *at == start + 1 ? STEP_ALL : STEP_INDEX;
    path->is_list |= step->kind == STEP_ALL;
    if (step->kind == STEP_INDEX) {
        int r = str_to_u64(str_sub(text, start + 1, *at - start - 1), 100000, &index);

        if (r < 0)
            return wrap(r, "at %zu", start + 2);
        step->index = (size_t) index;
    }
    ++*at;
    return 0;
}

static int read_meta(StructuredPath *path, Str text, ssize_t source)
{
    size_t skip = str_starts(text, (Str) STR("meta:")) ? 5 : 0;

    if (text.len == strlen(sources[source].prefix))
        return fail(-ERR_INVALID, "at %zu: a name is missing", text.len + 1);
    for (char *c = path->text; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c |= 0x20;
    path->type = str_sub(text, skip, text.len);
    return 0;
}

int structured_path_new(Str text, StructuredPath **ret_path)
{
    AUTO(structured_path_free) StructuredPath *path = mem_new(StructuredPath);
    ssize_t source = find_source(text);
    size_t at;
    int r = 0;

    if (source < 0)
        return fail(-ERR_INVALID, "at 1: expected jsonld:, microdata:, og: or meta:");
    path->text = mem_copy_c(text.data, text.len);
    text.data = path->text;
    path->source = sources[source].source;
    at = strlen(sources[source].prefix);
    if (path->source == SOURCE_META) {
        r = read_meta(path, text, source);
    } else {
        path->type = take_name(text, &at);
        if (path->type.len == 0)
            r = fail(-ERR_INVALID, "at %zu: a type is missing, as in jsonld:Product.name", at + 1);
        while (r == 0 && at < text.len) {
            if (text.data[at] != '.' && text.data[at] != '[')
                r = fail(-ERR_INVALID, "at %zu: expected \".\" or \"[\"", at + 1);
            else
                r = read_step(path, text, &at);
        }
    }
    if (r < 0)
        return r;
    *ret_path = TAKE(path);
    return 0;
}

void structured_path_free(StructuredPath *path)
{
    if (!path)
        return;
    mem_free(path->text);
    mem_free(path);
}

/* ---- finding --------------------------------------------------------------------------------- */

typedef struct Search {
    const Structured *structured;
    const StructuredPath *path;
    Json found; /* for a path that is no list */
    Buf list;   /* elements, for one that is */
} Search;

/* A name without what stands before its last "/", "#" or ":". */
static Str short_name(Str name)
{
    for (size_t i = name.len; i > 0; i--)
        if (strchr("/#:", name.data[i - 1]))
            return str_sub(name, i, name.len);
    return name;
}

static bool is_of_type(Json node, Str type)
{
    Json types = json_find(node, "@type");
    Str name;

    if (str_eq_c(type, "*"))
        return json_is_object(node);
    if (json_get_str(types, &name))
        return str_eq(short_name(name), short_name(type));
    for (JsonIter it = json_iter(types); json_next(&it);)
        if (json_get_str(it.value, &name) && str_eq(short_name(name), short_name(type)))
            return true;
    return false;
}

static Json find_member(Json object, Str name)
{
    Json member = json_find_str(object, name);

    if (member)
        return member;
    for (JsonIter it = json_iter(object); json_next(&it);)
        if (str_starts(it.key, (Str) STR("schema:")) && str_eq(short_name(it.key), name))
            return it.value;
    return NULL;
}

/* Follow the steps from STEP on; true when there was something. */
static bool follow(Search *search, Json value, size_t step)
{
    const StructuredPath *path = search->path;
    bool is_list = json_is_array(value), is_found = false;
    const Step *at = &path->steps[step];
    size_t next = step + 1;

    if (!value || json_is_null(value))
        return false;
    if (step == path->n) {
        if (path->is_list) {
            if (search->list.len > 1)
                buf_add_char(&search->list, ',');
            buf_add_str(&search->list, json_raw(&search->structured->doc, value));
        } else {
            search->found = value;
        }
        return true;
    }
    if (at->kind == STEP_INDEX)
        return follow(search,
                      is_list          ? json_at(value, at->index)
                      : at->index == 0 ? value
                                       : NULL,
                      next);
    if (!is_list)
        return follow(search, at->kind == STEP_NAME ? find_member(value, at->name) : value, next);
    for (JsonIter it = json_iter(value); json_next(&it);) {
        is_found |= follow(search, it.value, at->kind == STEP_NAME ? step : next);
        if (is_found && !path->is_list)
            return true;
    }
    return is_found;
}

/* Look for a node of the type at VALUE and inside it. The depth is that of the JSON text. */
static bool look(Search *search, Json value)
{
    if (json_is_object(value) && is_of_type(value, search->path->type) && follow(search, value, 0))
        return true;
    for (JsonIter it = json_iter(value); json_next(&it);)
        if ((json_is_object(it.value) || json_is_array(it.value)) && look(search, it.value))
            return true;
    return false;
}

static Value to_value(const Structured *structured, Json json)
{
    Str raw = json_raw(&structured->doc, json), text;
    Value value = { 0 };

    switch (json_kind(json)) {
    case JSON_NONE:
    case JSON_NULL: value.is_missing = true; break;
    case JSON_BOOL:
        value.kind = VALUE_BOOL;
        value.boolean = json_bool_or(json, false);
        break;
    case JSON_NUMBER:
        value.text = raw;
        value.kind = VALUE_REAL;
        if (str_find(raw, '.') < 0 && json_get_i64(json, &value.integer))
            value.kind = VALUE_INT;
        else
            value.real = json_real_or(json, 0);
        break;
    case JSON_STRING: value = value_text(json_get_str(json, &text) ? text : (Str){ 0 }); break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        value.kind = VALUE_JSON;
        value.text = raw;
        break;
    }
    return value;
}

int structured_find(Arena *arena, const Structured *structured, const StructuredPath *path,
                    Value *ret_value)
{
    Search search = { .structured = structured, .path = path };
    char *copy;

    *ret_value = (Value){ .is_missing = true };
    if (path->source == SOURCE_META) {
        *ret_value = to_value(structured, json_find_str(structured->meta, path->type));
        return 0;
    }
    if (path->is_list)
        buf_add_char(&search.list, '[');
    if (look(&search, path->source == SOURCE_JSONLD ? structured->jsonld : structured->microdata)) {
        if (!path->is_list) {
            *ret_value = to_value(structured, search.found);
            return 0;
        }
        buf_add_char(&search.list, ']');
        copy = search.list.is_failed ? NULL : arena_try(arena, search.list.len);
        if (!copy) {
            buf_deinit(&search.list);
            return fail(-ENOMEM, "no memory for structured data");
        }
        memcpy(copy, search.list.data, search.list.len);
        *ret_value = (Value){ .kind = VALUE_JSON, .text = str_from(copy, search.list.len) };
    }
    buf_deinit(&search.list);
    return 0;
}
