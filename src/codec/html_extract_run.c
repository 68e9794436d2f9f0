/*
 * Extraction: running a plan on a page.
 *
 * All searches of one page draw on one number of steps. A field that was not found because they ran
 * out is missing and counted as cut.
 */
#include "codec/html_extract.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "codec/html_extract_int.h"
#include "codec/json.h"

typedef struct Run {
    Arena *arena;
    HtmlParser *parser;
    FilterContext context;
    HtmlSearch search;
    Structured structured;
    Buf text; /* scratch */
    unsigned depth;
} Run;

static int run_plan(Run *run, const HtmlPlan *plan, HtmlNode *scope, HtmlFieldCounts *counts,
                    HtmlRecords *ret_records);

static int resolve(void *ctx, Arena *arena, Str text, Str *ret_href)
{
    WebUrl url;
    int r = web_url_resolve(arena, ctx, text, &url);

    if (r == 0)
        *ret_href = url.href;
    return r;
}

static int fail_memory(void)
{
    return fail(-ENOMEM, "no memory for the records of a page");
}

/* The scratch text in the arena. */
static int keep_text(Run *run, Str *ret_text)
{
    char *copy;

    if (run->text.is_failed)
        return buf_check(&run->text);
    copy = arena_try(run->arena, run->text.len);
    if (!copy)
        return fail_memory();
    if (run->text.len > 0)
        memcpy(copy, run->text.data, run->text.len);
    *ret_text = str_from(copy, run->text.len);
    return 0;
}

/* ---- one node, one value --------------------------------------------------------------------- */

/* What FIELD takes of NODE. */
static int take(Run *run, const HtmlField *field, const HtmlNode *node, Value *ret_value)
{
    bool is_found = true;
    Str text = { 0 };
    int r;

    buf_reset(&run->text);
    switch (field->taking) {
    case TAKE_TEXT: html_node_text_line(node, &run->text); break;
    case TAKE_LINES: html_node_text(node, &run->text); break;
    case TAKE_RAW: html_node_text_raw(node, &run->text); break;
    case TAKE_HTML: html_node_inner_html(node, &run->text); break;
    case TAKE_OUTER_HTML: html_node_outer_html(node, &run->text); break;
    case TAKE_ATTR:
        is_found = false;
        for (size_t i = 0; i < field->n_attrs && !is_found; i++)
            is_found = html_node_attr(node, str_from_c(field->attrs[i]), &text);
        buf_add_str(&run->text, text);
        break;
    case TAKE_EXISTS: *ret_value = (Value){ .kind = VALUE_BOOL, .boolean = true }; return 0;
    }
    *ret_value = (Value){ .is_missing = true };
    if (!is_found)
        return 0;
    r = keep_text(run, &text);
    if (r == 0)
        *ret_value = value_text(text);
    return r;
}

static int take_first(Run *run, const HtmlField *field, HtmlNode *scope, Value *value)
{
    HtmlNode *node = scope;

    if (field->selector)
        node = html_selector_next(field->selector, &run->search, scope, NULL);
    *value = (Value){ .is_missing = true };
    /* The first match that has the attribute, not the attribute of the first match. */
    while (node) {
        int r = take(run, field, node, value);

        if (r < 0 || !value->is_missing || !field->selector)
            return r;
        node = html_selector_next(field->selector, &run->search, scope, node);
    }
    if (field->taking == TAKE_EXISTS && !run->search.is_cut)
        *value = (Value){ .kind = VALUE_BOOL, .boolean = false };
    return 0;
}

static int take_all(Run *run, const HtmlField *field, HtmlNode *scope, Value *value)
{
    AUTO(buf_deinit) Buf list = { 0 };
    bool is_mismatch = false;
    HtmlNode *node = scope;
    size_t n = 0;
    int r;

    buf_add_char(&list, '[');
    if (field->selector)
        node = html_selector_next(field->selector, &run->search, scope, NULL);
    while (node && n < LIMIT_EXTRACT_RECORDS) {
        Value item;

        r = take(run, field, node, &item);
        if (r == 0 && !item.is_missing)
            r = filter_chain_run_part(field->filters, 0, field->list_at, run->arena, &run->context,
                                      &item);
        if (r < 0)
            return r;
        is_mismatch |= item.is_mismatch;
        if (item.kind != VALUE_NULL) {
            if (n++ > 0)
                buf_add_char(&list, ',');
            value_write_json(&item, &list);
        }
        node = field->selector ? html_selector_next(field->selector, &run->search, scope, node)
                               : NULL;
    }
    buf_add_char(&list, ']');
    buf_reset(&run->text);
    buf_add_str(&run->text, buf_str(&list));
    run->text.is_failed |= list.is_failed;
    *value = (Value){ .kind = VALUE_JSON };
    r = keep_text(run, &value->text);
    value->is_missing = n == 0 && !is_mismatch;
    value->is_mismatch = is_mismatch;
    return r;
}

/* ---- one field ------------------------------------------------------------------------------- */

static int take_records(Run *run, const HtmlField *field, HtmlNode *scope, Value *value)
{
    HtmlRecords records;
    JsonWriter writer = JSON_WRITER(&run->text);
    int r;

    if (++run->depth > LIMIT_SELECTOR_DEPTH)
        return fail(-ERR_TOO_LARGE, "records inside records deeper than %d levels",
                    LIMIT_SELECTOR_DEPTH);
    r = run_plan(run, field->inner, scope, NULL, &records);
    run->depth--;
    if (r < 0)
        return r;
    buf_reset(&run->text);
    json_write_array(&writer);
    for (size_t i = 0; i < records.n; i++) {
        json_write_object(&writer);
        for (size_t k = 0; k < records.n_fields; k++) {
            AUTO(buf_deinit) Buf text = { 0 };

            value_write_json(&records.values[i * records.n_fields + k], &text);
            json_write_key_str(&writer, html_plan_name(field->inner, k));
            json_write_raw(&writer, buf_str(&text));
        }
        json_write_object_end(&writer);
    }
    json_write_array_end(&writer);
    *value = (Value){ .kind = VALUE_JSON, .is_missing = records.n == 0 };
    return keep_text(run, &value->text);
}

static int take_field(Run *run, const HtmlField *field, HtmlNode *scope, Value *value)
{
    size_t from = 0, to;
    bool is_missing;
    int r;

    if (field->inner) {
        r = take_records(run, field, scope, value);
    } else if (field->path) {
        r = structured_find(run->arena, &run->structured, field->path, value);
    } else if (field->is_list) {
        r = take_all(run, field, scope, value);
        from = field->list_at;
    } else {
        r = take_first(run, field, scope, value);
    }
    if (r < 0 || field->inner)
        return r;
    to = filter_chain_len(field->filters);
    /* "tags[]" without a match is null; `count` and its kin still see an empty list. */
    if (field->is_list && value->is_missing && from == to)
        *value = (Value){ .is_missing = true };
    is_missing = value->is_missing;
    r = filter_chain_run_part(field->filters, from, to, run->arena, &run->context, value);
    value->is_missing = is_missing && value->kind == VALUE_NULL;
    return r < 0 ? r : 0;
}

static void count(HtmlFieldCounts *counts, const Value *value, bool is_cut)
{
    if (value->is_mismatch)
        counts->mismatch++;
    else if (value->kind != VALUE_NULL && !value->is_missing)
        counts->found++;
    else if (is_cut)
        counts->cut++;
    else
        counts->missing++;
}

/* ---- records --------------------------------------------------------------------------------- */

/* Room for N values more than RECORDS has; they grow by doubling. */
static Value *add_record(Run *run, HtmlRecords *records, size_t *cap)
{
    if (records->n == *cap) {
        size_t grown_cap = *cap ? 2 * *cap : 1;
        size_t bytes = grown_cap * records->n_fields * sizeof(Value);
        Value *grown = arena_try(run->arena, bytes ? bytes : 1);

        if (!grown)
            return NULL;
        if (records->n > 0)
            memcpy(grown, records->values, records->n * records->n_fields * sizeof(Value));
        records->values = grown;
        *cap = grown_cap;
    }
    return &records->values[records->n++ * records->n_fields];
}

static int run_plan(Run *run, const HtmlPlan *plan, HtmlNode *scope, HtmlFieldCounts *counts,
                    HtmlRecords *ret_records)
{
    HtmlRecords records = { .n_fields = plan->n };
    HtmlNode *node = scope;
    size_t cap = 0;

    if (plan->each)
        node = html_selector_next(plan->each, &run->search, scope, NULL);
    while (node) {
        Value *values;

        if (records.n == LIMIT_EXTRACT_RECORDS) {
            records.is_cut = true;
            break;
        }
        values = add_record(run, &records, &cap);
        if (!values)
            return fail_memory();
        for (size_t i = 0; i < plan->n; i++) {
            bool was_cut = run->search.is_cut;
            int r = take_field(run, &plan->fields[i], node, &values[i]);

            if (r < 0)
                return r;
            if (counts)
                count(&counts[i], &values[i], was_cut || run->search.is_cut);
        }
        if (!plan->each)
            break;
        node = html_selector_next(plan->each, &run->search, scope, node);
    }
    records.is_cut |= run->search.is_cut;
    *ret_records = records;
    return 0;
}

int html_plan_run(const HtmlPlan *plan, Arena *arena, HtmlParser *parser, const WebUrl *base,
                  HtmlFieldCounts *counts, HtmlRecords *ret_records)
{
    Run run = { .arena = arena, .parser = parser };
    int r = 0;

    run.search.steps_left = LIMIT_EXTRACT_STEPS;
    if (base)
        run.context = (FilterContext){ .resolve = resolve, .ctx = (void *) (uintptr_t) base };
    if (plan->has_structured)
        r = structured_read(arena, parser, &run.structured);
    if (r == 0)
        r = run_plan(&run, plan, html_document(parser), counts, ret_records);
    buf_deinit(&run.text);
    return r;
}
