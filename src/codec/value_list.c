/*
 * Filters of lists, which are JSON arrays in text: made by `split` or by a field that asks for all
 * matches, and taken apart here without building anything that lives longer than the filter.
 */
#include "codec/value_filter_int.h"

#include "base/err.h"
#include "base/macro.h"
#include "codec/json.h"

/* The array that VALUE is; a single value counts as an array of one. 0, VALUE_MISMATCH, -ENOMEM. */
static int read_array(Arena *arena, const Value *value, JsonDoc *ret_doc)
{
    Err ignored;
    int r;

    if (value->kind != VALUE_JSON)
        return VALUE_MISMATCH;
    r = json_parse(arena, value->text, ret_doc);
    if (r < 0) {
        err_take(r, &ignored);
        return VALUE_MISMATCH;
    }
    return json_is_array(ret_doc->root) ? 0 : VALUE_MISMATCH;
}

/* An element as a value; texts are copied to the arena of RUN. */
static int from_json(const FilterRun *run, const JsonDoc *doc, Json json, Value *ret_value)
{
    Str raw = json_raw(doc, json), text;
    Value value = { 0 };

    switch (json_kind(json)) {
    case JSON_NONE:
    case JSON_NULL: break;
    case JSON_BOOL:
        value.kind = VALUE_BOOL;
        value.boolean = json_bool_or(json, false);
        break;
    case JSON_NUMBER:
        value.text = raw;
        value.kind = json_get_i64(json, &value.integer) && str_find(raw, '.') < 0 ? VALUE_INT
                                                                                  : VALUE_REAL;
        if (value.kind == VALUE_REAL)
            value.real = json_real_or(json, 0);
        break;
    case JSON_STRING: value = value_text(json_get_str(json, &text) ? text : (Str){ 0 }); break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        value.kind = VALUE_JSON;
        value.text = raw;
        break;
    }
    if (value.text.len > 0) {
        char *copy;
        int r = value_room(run, value.text.len, &copy);

        if (r < 0)
            return r;
        memcpy(copy, value.text.data, value.text.len);
        value.text = str_from(copy, value.text.len);
    }
    *ret_value = value;
    return 0;
}

static int take_at(const FilterRun *run, int64_t index, Value *value)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;
    int64_t n;
    int r = read_array(&arena, value, &doc);

    if (r != 0)
        return r;
    n = (int64_t) json_len(doc.root);
    if (index < 0)
        index += n;
    if (index < 0 || index >= n) {
        *value = (Value){ .is_missing = true };
        return 0;
    }
    return from_json(run, &doc, json_at(doc.root, (size_t) index), value);
}

int filter_first(const Filter *filter, const FilterRun *run, Value *value)
{
    (void) filter;
    return take_at(run, 0, value);
}

int filter_last(const Filter *filter, const FilterRun *run, Value *value)
{
    (void) filter;
    return take_at(run, -1, value);
}

int filter_at(const Filter *filter, const FilterRun *run, Value *value)
{
    return take_at(run, filter->number, value);
}

int filter_init_at(Filter *filter)
{
    int r = str_to_i64(filter->args[0], -1000000, 1000000, &filter->number);

    if (r == 0 && filter->n_args > 1 && filter->args[1].len > 0)
        r = str_to_i64(filter->args[1], -1000000, 1000000, &filter->number_2);
    else
        filter->number_2 = INT64_MAX;
    return wrap(r, "%s", filter->kind->name);
}

int filter_count(const Filter *filter, const FilterRun *run, Value *value)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;
    int r = read_array(&arena, value, &doc);

    (void) filter;
    if (r != 0)
        return r;
    *value = (Value){ .kind = VALUE_INT, .integer = (int64_t) json_len(doc.root) };
    value->text = arena_printf(run->arena, "%lld", (long long) value->integer);
    return 0;
}

int filter_join(const Filter *filter, const FilterRun *run, Value *value)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    JsonDoc doc;
    int r = read_array(&arena, value, &doc);

    if (r != 0)
        return r;
    for (JsonIter it = json_iter(doc.root); json_next(&it);) {
        Str text;

        if (it.index > 0)
            buf_add_str(&out, filter->args[0]);
        buf_add_str(&out, json_get_str(it.value, &text) ? text : json_raw(&doc, it.value));
    }
    if (json_len(doc.root) == 0) {
        *value = (Value){ .is_missing = true };
        return 0;
    }
    return value_from_buf(run, &out, VALUE_TEXT, value);
}

int filter_unique(const Filter *filter, const FilterRun *run, Value *value)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    size_t n_kept = 0, n_compared = 0;
    JsonDoc doc;
    Str *kept;
    int r = read_array(&arena, value, &doc);

    (void) filter;
    if (r != 0)
        return r;
    kept = arena_try(&arena, (json_len(doc.root) + 1) * sizeof(*kept));
    if (!kept)
        return fail(-ENOMEM, "no memory for a list");
    buf_add_char(&out, '[');
    for (JsonIter it = json_iter(doc.root); json_next(&it);) {
        Str raw = json_raw(&doc, it.value);
        bool is_known = false;

        for (size_t i = 0; i < n_kept && !is_known && n_compared < 10000000; i++, n_compared++)
            is_known = str_eq(kept[i], raw);
        if (is_known)
            continue;
        if (n_kept > 0)
            buf_add_char(&out, ',');
        buf_add_str(&out, raw);
        kept[n_kept++] = raw;
    }
    buf_add_char(&out, ']');
    return value_from_buf(run, &out, VALUE_JSON, value);
}

int filter_split(const Filter *filter, const FilterRun *run, Value *value)
{
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);
    Str sep = filter->args[0], text;
    size_t start = 0;
    int r = value_to_text(run, value, &text);

    if (r != 0)
        return r;
    json_write_array(&writer);
    for (size_t i = 0; i <= text.len; i++) {
        bool is_end = i == text.len;
        bool is_cut = sep.len > 0 ? str_starts(str_sub(text, i, text.len), sep)
                                  : !is_end && strchr(" \t\r\n\f", text.data[i]);

        if (!is_end && !is_cut)
            continue;
        if (sep.len > 0 || i > start)
            json_write_str(&writer, str_sub(text, start, i - start));
        start = i + (sep.len > 0 ? sep.len : 1);
        i = start - 1;
    }
    json_write_array_end(&writer);
    return value_from_buf(run, &out, VALUE_JSON, value);
}

int filter_json(const Filter *filter, const FilterRun *run, Value *value)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;
    Err ignored;
    Str text;
    int r = value_to_text(run, value, &text);

    (void) filter;
    if (r != 0)
        return r;
    text = str_trim(text);
    r = json_parse(&arena, text, &doc);
    if (r < 0) {
        err_take(r, &ignored);
        return VALUE_MISMATCH;
    }
    *value = (Value){ .kind = VALUE_JSON, .text = text };
    return 0;
}
