/*
 * Compiling the plan, and values into rows.
 */
#include "handlers/crawl/plan.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

struct CrawlPlan {
    HtmlPlan *html; /* NULL: nothing is selected */
    RowColumn *columns;
    size_t n_columns;
    CrawlColumn own[CRAWL_COLUMN_COUNT + 4]; /* what the first columns are */
    size_t n_own;
};

static RowKind own_kind(CrawlColumn column)
{
    switch (column) {
    case CRAWL_COLUMN_STATUS:
    case CRAWL_COLUMN_DEPTH:
    case CRAWL_COLUMN_TOOK_MS:
    case CRAWL_COLUMN_BYTES: return ROW_INT;
    case CRAWL_COLUMN_FETCHED_AT: return ROW_TIME;
    case CRAWL_COLUMN_URL:
    case CRAWL_COLUMN_START_URL:
    case CRAWL_COLUMN_TITLE:
    case CRAWL_COLUMN_CONTENT_TYPE:
    case CRAWL_COLUMN_REFERRER:
    case CRAWL_COLUMN_LANG:
    case CRAWL_COLUMN_OUTCOME:
    case CRAWL_COLUMN_ERROR: return ROW_TEXT;
    case CRAWL_COLUMN_COUNT: break;
    }
    UNREACHABLE("a column without a kind");
}

static RowKind kind_of_value(ValueKind kind)
{
    switch (kind) {
    case VALUE_NULL: return ROW_ANY;
    case VALUE_TEXT: return ROW_TEXT;
    case VALUE_INT: return ROW_INT;
    case VALUE_REAL: return ROW_REAL;
    case VALUE_BOOL: return ROW_BOOL;
    case VALUE_TIME: return ROW_TIME;
    case VALUE_JSON: return ROW_JSON;
    }
    UNREACHABLE("a value without a kind");
}

/* ---- compiling ------------------------------------------------------------------------------- */

static void add_own(CrawlPlan *plan, CrawlColumn column)
{
    for (size_t i = 0; i < plan->n_own; i++)
        if (plan->own[i] == column)
            return;
    plan->own[plan->n_own++] = column;
}

static void choose_own(CrawlPlan *plan, const CrawlArgs *args)
{
    const int *words = args->columns.items;

    for (size_t i = 0; i < args->columns.len; i++)
        if (words[i] < CRAWL_COLUMN_COUNT)
            add_own(plan, (CrawlColumn) words[i]);
    if (!args->columns.len) {
        add_own(plan, CRAWL_COLUMN_URL);
        if (!plan->html) {
            add_own(plan, CRAWL_COLUMN_STATUS);
            add_own(plan, CRAWL_COLUMN_TITLE);
        }
    }
    if (args->error_rows) {
        add_own(plan, CRAWL_COLUMN_OUTCOME);
        add_own(plan, CRAWL_COLUMN_ERROR);
    }
}

static int compile_select(HtmlPlan *html, SchemaPairs select)
{
    for (size_t i = 0; i < select.len; i++) {
        int r = html_plan_add_field(html, select.items[i].name, select.items[i].value);

        if (r < 0)
            return wrap(r, "--select %.*s", (int) select.items[i].name.len,
                        select.items[i].name.data);
    }
    return 0;
}

static int compile_nested(HtmlPlan *html, const CrawlNested *nested)
{
    AUTO(html_plan_free) HtmlPlan *inner = html_plan_new();
    int r = html_plan_each(inner, nested->each);

    if (r < 0)
        return wrap(r, "nested %.*s: each", (int) nested->name.len, nested->name.data);
    r = compile_select(inner, nested->select);
    if (r == 0)
        r = html_plan_add_records(html, nested->name, TAKE(inner));
    return wrap(r, "nested %.*s", (int) nested->name.len, nested->name.data);
}

static int compile_html(CrawlPlan *plan, const CrawlArgs *args)
{
    const CrawlNested *nested = args->nested.items;
    int r = 0;

    if (!args->select.len && !args->nested.len)
        return 0;
    plan->html = html_plan_new();
    if (args->each.len)
        r = wrap(html_plan_each(plan->html, args->each), "--each");
    if (r == 0)
        r = compile_select(plan->html, args->select);
    for (size_t i = 0; r == 0 && i < args->nested.len; i++)
        r = compile_nested(plan->html, &nested[i]);
    return r;
}

static int name_columns(Arena *arena, CrawlPlan *plan)
{
    size_t n_html = plan->html ? html_plan_len(plan->html) : 0;

    plan->n_columns = plan->n_own + n_html;
    plan->columns = arena_zalloc(arena, (plan->n_columns + 1) * sizeof(*plan->columns));
    for (size_t i = 0; i < plan->n_own; i++)
        plan->columns[i] = (RowColumn){ .name = crawl_column_name(plan->own[i]),
                                        .kind = own_kind(plan->own[i]) };
    for (size_t i = 0; i < n_html; i++)
        plan->columns[plan->n_own + i] =
            (RowColumn){ .name = arena_copy(arena, html_plan_name(plan->html, i)),
                         .kind = kind_of_value(html_plan_kind(plan->html, i)),
                         .is_needed = true };
    for (size_t i = plan->n_own; i < plan->n_columns; i++)
        for (size_t k = 0; k < plan->n_own; k++)
            if (str_eq(plan->columns[i].name, plan->columns[k].name))
                return fail(-ERR_INVALID,
                            "--select %.*s: the crawl has a column of this name itself; take "
                            "another, or leave that out with --column none",
                            (int) plan->columns[i].name.len, plan->columns[i].name.data);
    if (!plan->n_columns)
        return fail(-ERR_INVALID, "--column none leaves no column: select something");
    return 0;
}

int crawl_plan_new(Arena *arena, const CrawlArgs *args, CrawlPlan **ret_plan)
{
    AUTO(crawl_plan_free) CrawlPlan *plan = mem_new(CrawlPlan);
    int r = compile_html(plan, args);

    if (r < 0)
        return r;
    choose_own(plan, args);
    r = name_columns(arena, plan);
    if (r < 0)
        return r;
    *ret_plan = TAKE(plan);
    return 0;
}

void crawl_plan_free(CrawlPlan *plan)
{
    if (!plan)
        return;
    html_plan_free(plan->html);
    mem_free(plan);
}

const RowColumn *crawl_plan_columns(const CrawlPlan *plan)
{
    return plan->columns;
}

size_t crawl_plan_n_columns(const CrawlPlan *plan)
{
    return plan->n_columns;
}

const HtmlPlan *crawl_plan_html(const CrawlPlan *plan)
{
    return plan->html;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static RowValue text_or_null(RowBatch *batch, Str text)
{
    return text.len ? row_text(row_batch_copy(batch, text)) : row_null();
}

static RowValue own_value(RowBatch *batch, CrawlColumn column, const CrawlFacts *facts)
{
    switch (column) {
    case CRAWL_COLUMN_URL: return text_or_null(batch, facts->url);
    case CRAWL_COLUMN_START_URL: return text_or_null(batch, facts->requested);
    case CRAWL_COLUMN_STATUS: return facts->status ? row_integer(facts->status) : row_null();
    case CRAWL_COLUMN_DEPTH: return row_integer(facts->depth);
    case CRAWL_COLUMN_TITLE: return text_or_null(batch, facts->title);
    case CRAWL_COLUMN_FETCHED_AT: return row_time_ns(facts->fetched_ms * NS_PER_MS);
    case CRAWL_COLUMN_TOOK_MS: return row_integer(facts->took_ns / NS_PER_MS);
    case CRAWL_COLUMN_BYTES: return row_integer((int64_t) facts->bytes);
    case CRAWL_COLUMN_CONTENT_TYPE: return text_or_null(batch, facts->content_type);
    case CRAWL_COLUMN_REFERRER: return text_or_null(batch, facts->referrer);
    case CRAWL_COLUMN_LANG: return text_or_null(batch, facts->lang);
    case CRAWL_COLUMN_OUTCOME: return row_text(str_from_c(crawl_outcome_word(facts->outcome)));
    case CRAWL_COLUMN_ERROR: return text_or_null(batch, facts->error);
    case CRAWL_COLUMN_COUNT: break;
    }
    UNREACHABLE("a column without a value");
}

static RowValue value_as_is(RowBatch *batch, const Value *value)
{
    switch (value->kind) {
    case VALUE_NULL: return row_null();
    case VALUE_TEXT: return row_text(row_batch_copy(batch, value->text));
    case VALUE_INT: return row_integer(value->integer);
    case VALUE_REAL: return row_real(value->real, row_batch_copy(batch, value->text));
    case VALUE_BOOL: return row_boolean(value->boolean);
    case VALUE_TIME: return row_time_ns(value->time_ns);
    case VALUE_JSON: return row_json(row_batch_copy(batch, value->text));
    }
    UNREACHABLE("a value of no kind");
}

/* VALUE for a column of KIND: a value of another kind (a default after a number) is kept as text
 * where the column takes it, and is null elsewhere. */
static RowValue value_of_kind(RowBatch *batch, RowKind kind, const Value *value)
{
    RowValue out = value_as_is(batch, value);

    if (kind == ROW_ANY || out.kind == ROW_ANY || out.kind == kind)
        return out;
    if (kind == ROW_REAL && out.kind == ROW_INT)
        return row_real((double) value->integer, row_batch_copy(batch, value->text));
    if (kind == ROW_TEXT) {
        AUTO(buf_deinit) Buf text = { 0 };

        value_write_text(value, &text);
        return row_text(row_batch_copy(batch, buf_str(&text)));
    }
    return row_null();
}

void crawl_plan_fill(const CrawlPlan *plan, RowBatch *batch, RowValue *row, const CrawlFacts *facts,
                     const Value *values)
{
    for (size_t i = 0; i < plan->n_own; i++)
        row[i] = own_value(batch, plan->own[i], facts);
    for (size_t i = plan->n_own; i < plan->n_columns && values; i++)
        row[i] = value_of_kind(batch, plan->columns[i].kind, &values[i - plan->n_own]);
}
