/*
 * Cells: the items of an answer become rows.
 *
 * A number goes into its cell with the digits it was written with. null is an empty cell; so are a
 * missing field and one of the wrong type, but those are counted and become a warning, or, where
 * the field is required, the failure of the source. In the one row of a source that gives just one
 * they also stand in its `error`, because there they are most likely a mistake in the path.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/time_text.h"
#include "handlers/fetch/fetch_int.h"

#define MS_IN_SECONDS_MAX INT64_C(100000000000) /* seconds until the year 5138; more is in ms */

/* ---- items ----------------------------------------------------------------------------------- */

typedef struct Items {
    Arena *arena;
    PathPlace *items;
    size_t len;
    size_t cap;
} Items;

static int add_item(void *ctx, PathPlace place)
{
    Items *items = ctx;

    if (items->len == items->cap) {
        size_t cap = items->cap ? 2 * items->cap : 64;
        PathPlace *grown = arena_try(items->arena, cap * sizeof(PathPlace));

        if (!grown)
            return fail(-ERR_TOO_LARGE, "there are more than %zu items in one answer", items->len);
        if (items->len > 0)
            memcpy(grown, items->items, items->len * sizeof(PathPlace));
        items->items = grown;
        items->cap = cap;
    }
    items->items[items->len++] = place;
    return 0;
}

/* Whether a path of the source takes an array at the root apart by itself. */
static bool wants_whole(const FetchSource *source)
{
    for (size_t i = 0; i < source->n_fields; i++) {
        const FetchExpr *expr = &source->fields[i].expr;

        if (!expr->is_jq && expr->path.len > 0 && expr->path.steps[0].kind != PATH_MEMBER)
            return true;
    }
    return false;
}

SUSPENDS static int find_items(FetchSource *source, FetchPage *page, Items *items)
{
    static const Path whole = { 0 };
    PathPlace root = { .value = page->doc.root };
    const Path *path = source->has_each ? &source->each.path : &whole;
    PathEnd end;
    Str text;
    int r;

    if (source->has_each && source->each.is_jq) {
        r = fetch_jq_each(source, &page->arena, json_raw(&page->doc, page->doc.root), &text);
        if (r == 0)
            r = json_parse_opts(
                &page->arena, text,
                &(JsonParseOpts){ .max_bytes = 2 * (size_t) LIMIT_FETCH_BODY_BYTES }, &page->doc);
        if (r < 0)
            return r;
        root.value = page->doc.root;
        path = &whole;
        if (json_len(root.value) == 1 && json_is_array(json_at(root.value, 0)))
            root.value = json_at(root.value, 0); /* `.items` for `.items[]` */
    }
    r = path_each(&page->doc, path, root, source->has_each || !wants_whole(source), add_item, items,
                  &end);
    if (r < 0)
        (void) fetch_mark(source, FETCH_FAILURE_TOO_LARGE);
    if (r < 0 || items->len > 0)
        return r;
    if (end == PATH_MISSING || end == PATH_WRONG)
        return fetch_fail(source, FETCH_FAILURE_FIELD_MISSING, "there are no items at %.*s%s",
                          (int) source->each.text.len, source->each.text.data,
                          end == PATH_WRONG ? ": it leads into what has none" : "");
    return 0;
}

/* ---- one value ------------------------------------------------------------------------------- */

/* The value of a row's field, before it is made a cell. */
typedef struct Found {
    const JsonDoc *doc;
    PathPlace place;
    PathEnd end;
} Found;

static RowValue real_cell(RowBatch *batch, Json value, Str raw)
{
    double real;

    if (!json_get_real(value, &real))
        real = raw.len > 0 && raw.data[0] == '-' ? -__builtin_inf() : __builtin_inf();
    return row_real(real, row_batch_copy(batch, raw));
}

static bool is_integer_text(Str raw)
{
    for (size_t i = 0; i < raw.len; i++)
        if (raw.data[i] == '.' || raw.data[i] == 'e' || raw.data[i] == 'E')
            return false;
    return true;
}

/* Any value as it is. */
static RowValue any_cell(Arena *arena, RowBatch *batch, const Found *found)
{
    const PathPlace *place = &found->place;
    Str raw = path_raw(arena, found->doc, *place), text;
    int64_t integer;

    if (place->is_key)
        return row_text(row_batch_copy(batch, place->key));
    if (place->is_entry)
        return row_json(row_batch_copy(batch, raw));
    switch (json_kind(place->value)) {
    case JSON_NONE:
    case JSON_NULL: return row_null();
    case JSON_BOOL: return row_boolean(json_bool_or(place->value, false));
    case JSON_NUMBER:
        if (is_integer_text(raw) && json_get_i64(place->value, &integer))
            return row_integer(integer);
        return real_cell(batch, place->value, raw);
    case JSON_STRING:
        text = json_str_or(place->value, (Str){ 0 });
        return row_text(row_batch_copy(batch, text));
    case JSON_ARRAY:
    case JSON_OBJECT: return row_json(row_batch_copy(batch, raw));
    }
    UNREACHABLE("a value of no kind");
}

/* The number that a value is, or that its text spells ("19.90"). */
static Json number_of(Arena *arena, const Found *found, Str *ret_raw)
{
    JsonDoc doc;
    Str text;

    if (json_is_number(found->place.value)) {
        *ret_raw = path_raw(arena, found->doc, found->place);
        return found->place.value;
    }
    if (!json_get_str(found->place.value, &text))
        return NULL;
    *ret_raw = str_trim(text);
    if (ret_raw->len == 0 || ret_raw->len > 400 || json_parse(arena, *ret_raw, &doc) < 0)
        return NULL;
    return json_is_number(doc.root) ? doc.root : NULL;
}

/* The forms of times that APIs write: RFC 3339, without seconds or zone (UTC), days, HTTP's. */
static bool parse_time(Arena *arena, Str text, int64_t *ret_ms)
{
    static const char *const tails[] = { "", "Z", ":00Z", "T00:00:00Z" };

    text = str_trim(text);
    if (text.len < 10 || text.len > 60)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(tails); i++)
        if (time_parse_rfc3339(arena_printf(arena, "%.*s%s", (int) text.len, text.data, tails[i]),
                               ret_ms) == 0)
            return true;
    return time_parse_http(text, ret_ms) == 0;
}

static bool time_cell(Arena *arena, const Found *found, RowValue *ret)
{
    Str raw, text;
    double seconds;
    int64_t ms;
    Json number = json_is_number(found->place.value) ? number_of(arena, found, &raw) : NULL;

    if (number && json_get_real(number, &seconds)) {
        double most = (double) MS_IN_SECONDS_MAX;

        if (!(seconds > -most * 1000 && seconds < most * 1000))
            return false;
        ms = (int64_t) (seconds > -most && seconds < most ? seconds * 1000 : seconds);
    } else if (!json_get_str(found->place.value, &text) || !parse_time(arena, text, &ms)) {
        return false;
    }
    if (ms > INT64_MAX / NS_PER_MS || ms < INT64_MIN / NS_PER_MS)
        return false;
    *ret = row_time_ns(ms * NS_PER_MS);
    return true;
}

static bool boolean_cell(Json value, RowValue *ret)
{
    bool is_true;
    Str text;

    if (!json_get_bool(value, &is_true)) {
        if (!json_get_str(value, &text) ||
            (!str_eq_nocase(text, (Str) STR("true")) && !str_eq_nocase(text, (Str) STR("false"))))
            return false;
        is_true = text.len == 4;
    }
    *ret = row_boolean(is_true);
    return true;
}

/* FOUND as a cell of TYPE; false: it is of another. */
static bool make_cell(Arena *arena, RowBatch *batch, FetchType type, const Found *found,
                      RowValue *ret)
{
    Json value = found->place.value, number;
    bool is_whole = found->place.is_entry || json_is_array(value) || json_is_object(value);
    Str raw = { 0 };
    int64_t integer;

    switch (type) {
    case FETCH_TYPE_ANY: *ret = any_cell(arena, batch, found); return true;
    case FETCH_TYPE_JSON:
        *ret = row_json(row_batch_copy(batch, path_raw(arena, found->doc, found->place)));
        return true;
    case FETCH_TYPE_TEXT:
        raw = path_raw(arena, found->doc, found->place);
        if (found->place.is_key)
            raw = found->place.key;
        *ret = row_text(row_batch_copy(batch, json_str_or(value, raw)));
        return !is_whole;
    case FETCH_TYPE_INTEGER:
        number = number_of(arena, found, &raw);
        *ret = row_integer(json_i64_or(number, 0));
        return !is_whole && json_get_i64(number, &integer);
    case FETCH_TYPE_NUMBER:
        number = number_of(arena, found, &raw);
        if (number)
            *ret = real_cell(batch, number, raw);
        return number != NULL && !is_whole;
    case FETCH_TYPE_BOOLEAN: return !is_whole && boolean_cell(value, ret);
    case FETCH_TYPE_TIME: return !is_whole && time_cell(arena, found, ret);
    }
    UNREACHABLE("a field of no type");
}

/* ---- one row --------------------------------------------------------------------------------- */

/* The values of jq for one item; see fetch_jq_fields. */
typedef struct JqRow {
    const JsonDoc *doc;
    Json values;
} JqRow;

typedef struct Gathering {
    Arena *arena;
    const JsonDoc *doc;
    JsonWriter writer;
} Gathering;

static int gather_value(void *ctx, PathPlace place)
{
    Gathering *gathering = ctx;

    json_write_raw(&gathering->writer, path_raw(gathering->arena, gathering->doc, place));
    return 0;
}

/* All that a path for many leads to, as one array in a document of its own. */
static int gather(Arena *arena, const JsonDoc *doc, const Path *path, PathPlace item, Found *found)
{
    AUTO(buf_deinit) Buf text = { 0 };
    Gathering gathering = { .arena = arena, .doc = doc, .writer = { .out = &text } };
    JsonDoc *own = arena_new(arena, JsonDoc);
    PathEnd end;
    char *copy;
    int r;

    json_write_array(&gathering.writer);
    r = path_each(doc, path, item, false, gather_value, &gathering, &end);
    json_write_array_end(&gathering.writer);
    copy = r == 0 && buf_check(&text) == 0 ? arena_try(arena, text.len) : NULL;
    if (!copy)
        return fail(-ERR_TOO_LARGE, "a list is too large");
    memcpy(copy, text.data, text.len);
    r = json_parse_opts(arena, str_from(copy, text.len),
                        &(JsonParseOpts){ .max_bytes = 2 * (size_t) LIMIT_FETCH_BODY_BYTES }, own);
    *found = (Found){ .doc = own, .place = { .value = own->root }, .end = PATH_FOUND };
    if (r == 0 && json_len(own->root) == 0 && end != PATH_FOUND)
        found->end = end;
    return r;
}

/* What jq gave: nothing, one value, or several as an array; or an error. */
static void find_jq(FetchSource *source, const FetchField *field, const JqRow *row, Found *found)
{
    Json cell = json_at(row->values, field->jq_index), values = json_find(cell, "v");
    Str words;

    found->doc = row->doc;
    if (!values) {
        words = json_str_or(json_find(cell, "e"), (Str) STR("no value"));
        if (field->n_wrong == 0)
            fetch_note(source, "%.*s: jq: %.*s", (int) field->name.len, field->name.data,
                       (int) MIN(words.len, (size_t) 200), words.data);
        found->end = PATH_WRONG;
        return;
    }
    found->place.value = json_len(values) == 1 ? json_at(values, 0) : values;
    found->end = json_len(values) == 0              ? PATH_MISSING
                 : json_is_null(found->place.value) ? PATH_NULL
                                                    : PATH_FOUND;
}

static int find_value(FetchSource *source, FetchPage *page, const FetchField *field, PathPlace item,
                      const JqRow *jq, Found *found)
{
    *found = (Found){ .doc = &page->doc };
    if (field->expr.is_jq)
        find_jq(source, field, jq, found);
    else if (field->expr.path.is_many)
        return gather(&page->arena, &page->doc, &field->expr.path, item, found);
    else
        found->end = path_find(&page->doc, &field->expr.path, item, &found->place);
    return 0;
}

/* FIELD is not there, or not what it must be. ERROR gets words where it is not NULL. */
static int miss(FetchSource *source, FetchField *field, const Found *found, Buf *error)
{
    bool is_wrong = found->end == PATH_FOUND || found->end == PATH_WRONG;
    const char *given = json_kind_name(json_kind(found->place.value));
    Str name = field->name, text = field->expr.text;
    static const char *const wanted[] = { "anything",  "text",   "an integer", "a number",
                                          "a boolean", "a time", "JSON" };

    if (is_wrong)
        field->n_wrong++;
    else
        field->n_missing++;
    if (field->is_required && found->end == PATH_FOUND)
        return fetch_fail(source, FETCH_FAILURE_FIELD_MISSING, "%.*s must be %s, and %.*s is %s %s",
                          (int) name.len, name.data, wanted[field->type], (int) text.len, text.data,
                          json_is_null(found->place.value) ? "" : "of kind", given);
    if (field->is_required)
        return fetch_fail(source, FETCH_FAILURE_FIELD_MISSING, "%.*s: there is nothing at %.*s",
                          (int) name.len, name.data, (int) text.len, text.data);
    if (!error)
        return 0;
    buf_printf(error, "%s%.*s ", error->len > 0 ? ", " : "field_missing: ", (int) name.len,
               name.data);
    if (found->end == PATH_FOUND)
        buf_printf(error, "must be %s, got %s", wanted[field->type], given);
    else
        buf_printf(error, "(nothing at %.*s)", (int) MIN(text.len, (size_t) 80), text.data);
    return 0;
}

static int fill_row(FetchSource *source, FetchPage *page, PathPlace item, const JqRow *jq,
                    RowValue *row, Buf *error)
{
    for (size_t i = 0; i < source->n_fields; i++) {
        FetchField *field = &source->fields[i];
        RowValue *cell = &row[field->column];
        Found found;
        int r = find_value(source, page, field, item, jq, &found);

        if (r < 0)
            return r;
        if (found.end == PATH_NULL && !field->is_required) {
            *cell = row_gap(ROW_GAP_NULL);
            continue;
        }
        if (found.end == PATH_FOUND &&
            make_cell(&page->arena, &source->batch, field->type, &found, cell))
            continue;
        *cell = row_gap(found.end == PATH_MISSING ? ROW_GAP_NONE : ROW_GAP_WRONG);
        r = miss(source, field, &found, error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* A row of the batch; a full batch is handed on first. */
SUSPENDS static int new_row(FetchSource *source, RowValue **ret_row)
{
    FetchRun *run = source->run;
    int r;

    if (!source->has_batch) {
        row_batch_init(&source->batch, run->columns, run->n_columns);
        source->has_batch = true;
    }
    *ret_row = row_batch_add(&source->batch);
    if (!*ret_row) {
        r = fetch_source_flush(source);
        if (r < 0)
            return r;
        *ret_row = row_batch_add(&source->batch);
        ASSERT(*ret_row);
    }
    (*ret_row)[run->source_column] = row_text(source->name);
    source->n_rows++;
    return 0;
}

SUSPENDS static int add_row(FetchSource *source, FetchPage *page, PathPlace item, const JqRow *jq,
                            bool is_only)
{
    AUTO(buf_deinit) Buf error = { 0 };
    RowValue *row;
    int r;

    r = new_row(source, &row);
    if (r < 0)
        return r;
    r = fill_row(source, page, item, jq, row, is_only ? &error : NULL);
    if (r < 0) {
        source->batch.n_rows--; /* its failure gets a row of its own */
        source->n_rows--;
        return r;
    }
    if (error.len > 0)
        row[source->run->error_column] = row_text(row_batch_copy(&source->batch, buf_str(&error)));
    return 0;
}

int fetch_add_failure(FetchSource *source)
{
    FetchRun *run = source->run;
    AUTO(buf_deinit) Buf text = { 0 };
    RowValue *row;
    int r;

    if (run->is_found_later) {
        r = fetch_find_columns(source, (PathPlace){ 0 });
        if (r < 0)
            return r;
    }
    r = new_row(source, &row);
    if (r < 0)
        return r;
    buf_printf(&text, "%s: %.*s", fetch_failure_word(source->failure),
               (int) source->failure_text.len, source->failure_text.data);
    row[run->error_column] = row_text(row_batch_copy(&source->batch, buf_str(&text)));
    return 0;
}

/* ---- all rows of a page ---------------------------------------------------------------------- */

SUSPENDS static int run_jq(FetchSource *source, FetchPage *page, const Items *items, JsonDoc *doc)
{
    Str *texts = arena_try(&page->arena, (items->len + 1) * sizeof(Str));
    Str values;
    int r;

    if (!texts)
        return fetch_fail(source, FETCH_FAILURE_TOO_LARGE, "there are too many items for jq");
    for (size_t i = 0; i < items->len; i++)
        texts[i] = path_raw(&page->arena, &page->doc, items->items[i]);
    r = fetch_jq_fields(source, &page->arena, texts, items->len, &values);
    if (r < 0)
        return r;
    return json_parse_opts(&page->arena, values,
                           &(JsonParseOpts){ .max_bytes = 4 * (size_t) LIMIT_FETCH_BODY_BYTES },
                           doc);
}

int fetch_add_rows(FetchSource *source, FetchPage *page)
{
    Items items = { .arena = &page->arena };
    JsonDoc jq = { 0 };
    JsonIter values;
    int r = find_items(source, page, &items);

    page->n_items = items.len;
    if (r == 0 && source->run->is_found_later && items.len > 0)
        r = fetch_find_columns(source, items.items[0]);
    if (r == 0 && source->n_jq > 0 && items.len > 0)
        r = run_jq(source, page, &items, &jq);
    values = json_iter(jq.root);
    for (size_t i = 0; r == 0 && i < items.len; i++) {
        bool has_jq = json_next(&values);
        JqRow row = { .doc = &jq, .values = has_jq ? values.value : NULL };

        r = add_row(source, page, items.items[i], &row, items.len == 1 && source->n_pages == 1);
    }
    return r;
}
