/*
 * Paths into JSON: read and followed. See path.h for what they look like.
 *
 * Reading decides between a path and jq, so it is strict: a name begins with a letter or an
 * underscore and goes on with letters, digits, underscores, and hyphens before letters (`a-1` is a
 * subtraction of jq, `a-b` can only be a name). Whatever else occurs makes the whole no path.
 *
 * Following carries the source text along where it is known. Finding the text of a number costs a
 * scan from the string before it, which in an array of numbers is the whole array; cutting the
 * array's own text into elements beside the walk keeps that linear.
 */
#include "handlers/fetch/path.h"

#include "base/assert.h"
#include "base/macro.h"

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct PathReader {
    Arena *arena;
    Str text;
    size_t at;
    PathStep steps[PATH_STEPS_MAX];
    size_t len;
} PathReader;

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char) c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char peek(const PathReader *reader, size_t ahead)
{
    size_t at = reader->at + ahead;

    return at < reader->text.len ? reader->text.data[at] : '\0';
}

static bool add_step(PathReader *reader, PathStep step)
{
    if (reader->len == PATH_STEPS_MAX)
        return false;
    reader->steps[reader->len++] = step;
    return true;
}

static bool read_name(PathReader *reader)
{
    size_t from = reader->at;

    while (is_letter(peek(reader, 0)) || (reader->at > from && is_digit(peek(reader, 0))) ||
           (reader->at > from && peek(reader, 0) == '-' && is_letter(peek(reader, 1))))
        reader->at++;
    if (reader->at == from)
        return false;
    return add_step(reader, (PathStep){ .kind = PATH_MEMBER,
                                        .name = str_sub(reader->text, from, reader->at - from) });
}

/* Digits, perhaps with a minus before them, as an index. */
static bool read_index(PathReader *reader, PathStep *step)
{
    size_t from = reader->at;

    if (peek(reader, 0) == '-')
        reader->at++;
    while (is_digit(peek(reader, 0)))
        reader->at++;
    step->kind = PATH_ELEMENT;
    step->name = str_sub(reader->text, from, reader->at - from);
    return reader->at > from && step->name.len <= 10 &&
           is_digit(step->name.data[step->name.len - 1]) &&
           str_to_i64(step->name, -INT32_MAX, INT32_MAX, &step->index) == 0;
}

/* A quoted name: JSON's string, or one in single quotes without escapes. */
static bool read_quoted(PathReader *reader, Str *ret_name)
{
    char quote = peek(reader, 0);
    size_t from = reader->at++;
    JsonDoc doc;

    while (peek(reader, 0) != quote) {
        if (peek(reader, 0) == '\0')
            return false;
        reader->at += peek(reader, 0) == '\\' && peek(reader, 1) != '\0' ? 2 : 1;
    }
    reader->at++;
    if (quote == '\'') {
        *ret_name = str_sub(reader->text, from + 1, reader->at - from - 2);
        return str_find(*ret_name, '\\') < 0;
    }
    return json_parse(reader->arena, str_sub(reader->text, from, reader->at - from), &doc) == 0 &&
           json_get_str(doc.root, ret_name);
}

/* What stands in brackets; the opening one has been read. */
static bool read_brackets(PathReader *reader)
{
    PathStep step = { .kind = PATH_ALL };
    bool is_good = true;

    if (peek(reader, 0) == '*')
        reader->at++;
    else if (peek(reader, 0) == '"' || peek(reader, 0) == '\'') {
        step.kind = PATH_MEMBER;
        is_good = read_quoted(reader, &step.name);
    } else if (peek(reader, 0) != ']') {
        is_good = read_index(reader, &step);
        step.name = (Str){ 0 };
    }
    if (!is_good || peek(reader, 0) != ']')
        return false;
    reader->at++;
    return add_step(reader, step);
}

static bool read_step(PathReader *reader, bool is_first)
{
    char c = peek(reader, 0);
    PathStep step;

    if (c == '[') {
        reader->at++;
        return read_brackets(reader);
    }
    if (c == '{' && peek(reader, 1) == '}') {
        reader->at += 2;
        return !is_first && add_step(reader, (PathStep){ .kind = PATH_ENTRIES });
    }
    if (c == '.') {
        reader->at++;
        c = peek(reader, 0);
        if (c == '*') {
            reader->at++;
            return add_step(reader, (PathStep){ .kind = PATH_ALL });
        }
        if (!is_first && is_digit(c))
            return read_index(reader, &step) && add_step(reader, step);
        if (c == '[' || c == '{')
            return is_first; /* `.[0]` at the beginning alone */
        if (c == '"') {
            step = (PathStep){ .kind = PATH_MEMBER };
            return read_quoted(reader, &step.name) && add_step(reader, step);
        }
        return read_name(reader);
    }
    return is_first && read_name(reader);
}

/* `/a/b~1c` */
static bool read_pointer(PathReader *reader)
{
    Str rest = str_sub(reader->text, 1, reader->text.len);
    bool is_last;

    do {
        Str token = rest;
        ssize_t slash = str_find(rest, '/');
        char *name = arena_copy_c(reader->arena,
                                  slash < 0 ? rest : str_sub(rest, 0, (size_t) slash));
        PathStep step = { .kind = PATH_MEMBER };
        size_t len = 0, n = strlen(name);

        is_last = slash < 0;
        if (!is_last)
            rest = str_sub(token, (size_t) slash + 1, token.len);
        for (size_t i = 0; i < n; i++) {
            if (name[i] == '~' && (name[i + 1] == '0' || name[i + 1] == '1'))
                name[len++] = name[++i] == '0' ? '~' : '/';
            else
                name[len++] = name[i];
        }
        step.name = str_from(name, len);
        if (len > 0 && len <= 9 && (len == 1 || name[0] != '0') &&
            str_to_i64(step.name, 0, INT32_MAX, &step.index) == 0)
            step.kind = PATH_ELEMENT;
        if (!add_step(reader, step))
            return false;
    } while (!is_last);
    return true;
}

static bool read_path(PathReader *reader)
{
    bool is_first = true;

    if (str_eq_c(reader->text, ".") || str_eq_c(reader->text, "$"))
        return true;
    if (peek(reader, 0) == '/')
        return read_pointer(reader);
    if (peek(reader, 0) == '$') {
        reader->at++;
        if (peek(reader, 0) != '.' && peek(reader, 0) != '[')
            return false;
    }
    while (reader->at < reader->text.len) {
        if (!read_step(reader, is_first))
            return false;
        is_first = false;
    }
    return reader->len > 0;
}

bool path_parse(Arena *arena, Str text, Path *ret_path)
{
    PathReader reader = { .arena = arena, .text = str_trim(text) };
    Path path = { 0 };

    if (reader.text.len == 0 || memchr(reader.text.data, '\0', reader.text.len) ||
        !read_path(&reader))
        return false;
    path.len = reader.len;
    path.steps = arena_zalloc(arena, (reader.len + 1) * sizeof(PathStep));
    memcpy(path.steps, reader.steps, reader.len * sizeof(PathStep));
    for (size_t i = 0; i < path.len; i++)
        path.is_many |= path.steps[i].kind == PATH_ALL || path.steps[i].kind == PATH_ENTRIES;
    *ret_path = path;
    return true;
}

/* ---- following ------------------------------------------------------------------------------- */

static PathEnd end_of(PathPlace place)
{
    if (place.is_key)
        return PATH_FOUND;
    if (!place.value)
        return PATH_MISSING;
    return !place.is_entry && json_is_null(place.value) ? PATH_NULL : PATH_FOUND;
}

static Json find_last(Json object, Str name)
{
    Json found = NULL;

    for (JsonIter it = json_iter(object); it.is_object && json_next(&it);)
        if (str_eq(it.key, name))
            found = it.value;
    return found;
}

static PathEnd step_to_member(PathPlace *place, const PathStep *step)
{
    if (place->is_entry) {
        if (str_eq_c(step->name, "value"))
            *place = (PathPlace){ .value = place->value, .raw = place->raw };
        else if (str_eq_c(step->name, "key"))
            *place = (PathPlace){ .key = place->key, .is_key = true };
        else
            return PATH_MISSING;
        return end_of(*place);
    }
    if (!json_is_object(place->value))
        return json_is_null(place->value) ? PATH_NULL : PATH_WRONG;
    *place = (PathPlace){ .value = find_last(place->value, step->name) };
    return end_of(*place);
}

static PathEnd step_to_element(const JsonDoc *doc, PathPlace *place, const PathStep *step)
{
    int64_t len = (int64_t) json_len(place->value);
    int64_t index = step->index < 0 ? len + step->index : step->index;
    PathPlace found = { 0 };
    size_t cursor = 0;
    Str raw;

    if (json_is_object(place->value) && step->name.len > 0 && !place->is_entry)
        return step_to_member(place, step);
    if (place->is_entry || !json_is_array(place->value))
        return json_is_null(place->value) && !place->is_entry ? PATH_NULL : PATH_WRONG;
    if (index < 0 || index >= len)
        return PATH_MISSING;
    raw = place->raw.len > 0 ? place->raw : json_raw(doc, place->value);
    for (JsonIter it = json_iter(place->value); json_next(&it);) {
        if (!json_raw_next(raw, &cursor, &found.raw))
            break;
        found.value = it.value;
        if ((int64_t) it.index == index)
            break;
    }
    *place = found;
    return end_of(*place);
}

static PathEnd take_step(const JsonDoc *doc, PathPlace *place, const PathStep *step)
{
    switch (step->kind) {
    case PATH_MEMBER: return step_to_member(place, step);
    case PATH_ELEMENT: return step_to_element(doc, place, step);
    case PATH_ALL:
    case PATH_ENTRIES: break;
    }
    UNREACHABLE("a step for many");
}

PathEnd path_find(const JsonDoc *doc, const Path *path, PathPlace from, PathPlace *ret_place)
{
    PathPlace place = from;
    PathEnd end = end_of(from);

    ASSERT(!path->is_many);
    for (size_t i = 0; i < path->len; i++) {
        end = take_step(doc, &place, &path->steps[i]);
        if (end != PATH_FOUND)
            return end;
    }
    *ret_place = place;
    return end;
}

typedef struct PathWalk {
    const JsonDoc *doc;
    const Path *path;
    bool is_flat;
    PathVisit *visit;
    void *ctx;
    PathEnd end;
} PathWalk;

static int walk_from(PathWalk *walk, PathPlace place, size_t step);

/* Visit each element or member of PLACE with what is left of the path. */
static int walk_inside(PathWalk *walk, PathPlace place, size_t next, bool is_entries)
{
    bool is_array = json_is_array(place.value);
    size_t cursor = 0;
    Str raw = { 0 };
    int r = 0;

    if (place.is_entry || (!is_array && !json_is_object(place.value)) || (is_array && is_entries)) {
        walk->end = place.value && !place.is_entry && json_is_null(place.value) ? PATH_NULL
                                                                                : PATH_WRONG;
        return 0;
    }
    if (is_array)
        raw = place.raw.len > 0 ? place.raw : json_raw(walk->doc, place.value);
    for (JsonIter it = json_iter(place.value); r == 0 && json_next(&it);) {
        PathPlace inner = { .value = it.value, .is_entry = is_entries };

        if (is_entries)
            inner.key = it.key;
        if (is_array && !json_raw_next(raw, &cursor, &inner.raw))
            break;
        r = next <= walk->path->len ? walk_from(walk, inner, next) : walk->visit(walk->ctx, inner);
    }
    return r;
}

static int walk_from(PathWalk *walk, PathPlace place, size_t step)
{
    for (; step < walk->path->len; step++) {
        const PathStep *at = &walk->path->steps[step];
        PathEnd end;

        if (at->kind == PATH_ALL || at->kind == PATH_ENTRIES)
            return walk_inside(walk, place, step + 1, at->kind == PATH_ENTRIES);
        end = take_step(walk->doc, &place, at);
        if (end != PATH_FOUND && (end != PATH_NULL || step + 1 < walk->path->len)) {
            walk->end = end;
            return 0;
        }
    }
    if (walk->is_flat && !walk->path->is_many && json_is_array(place.value) && !place.is_entry)
        return walk_inside(walk, place, walk->path->len + 1, false);
    return walk->visit(walk->ctx, place);
}

int path_each(const JsonDoc *doc, const Path *path, PathPlace from, bool is_flat, PathVisit *visit,
              void *ctx, PathEnd *ret_end)
{
    PathWalk walk = { doc, path, is_flat, visit, ctx, PATH_FOUND };
    int r = walk_from(&walk, from, 0);

    *ret_end = walk.end;
    return r;
}

Str path_raw(Arena *arena, const JsonDoc *doc, PathPlace place)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);

    if (place.is_key) {
        json_write_str(&writer, place.key);
        return arena_copy(arena, buf_str(&text));
    }
    if (!place.is_entry)
        return place.raw.len > 0 ? place.raw : json_raw(doc, place.value);
    json_write_object(&writer);
    json_write_member_str(&writer, "key", place.key);
    json_write_key(&writer, "value");
    json_write_raw(&writer, place.raw.len > 0 ? place.raw : json_raw(doc, place.value));
    json_write_object_end(&writer);
    return arena_copy(arena, buf_str(&text));
}
