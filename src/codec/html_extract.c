/*
 * Extraction: plans, from text to the compiled form.
 *
 *   NAME[] = SELECTOR ::what(arg) | filter | filter
 *            └ structured path, or nothing, in its place
 *
 * Positions in errors count from the beginning of the expression.
 */
#include "codec/html_extract.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/html_extract_int.h"

HtmlPlan *html_plan_new(void)
{
    HtmlPlan *plan = mem_new(HtmlPlan);

    plan->fields = mem_new_array(HtmlField, LIMIT_EXTRACT_FIELDS);
    return plan;
}

static void deinit_field(HtmlField *field)
{
    mem_free(field->name);
    html_selector_free(field->selector);
    structured_path_free(field->path);
    html_plan_free(field->inner);
    filter_chain_free(field->filters);
    for (size_t i = 0; i < ATTR_NAMES_MAX; i++)
        mem_free(field->attrs[i]);
}
DEFINE_AUTO_VALUE(HtmlField, deinit_field);

void html_plan_free(HtmlPlan *plan)
{
    if (!plan)
        return;
    html_selector_free(plan->each);
    for (size_t i = 0; i < plan->n; i++)
        deinit_field(&plan->fields[i]);
    mem_free(plan->fields);
    mem_free(plan);
}

int html_plan_each(HtmlPlan *plan, Str selector)
{
    HtmlSelector *compiled;
    int r = html_selector_new(selector, &compiled);

    if (r < 0)
        return r;
    html_selector_free(plan->each);
    plan->each = compiled;
    return 0;
}

/* ---- cutting an expression ------------------------------------------------------------------- */

/* Walk over TEXT outside of brackets, parentheses and quotes: the place of the first "|" that ends
 * a selector (TEXT's length: none), and of the last "::" before it (-1: none). */
static size_t find_end(Str text, ssize_t *ret_colons)
{
    unsigned depth = 0;
    char quote = '\0';
    size_t i = 0;

    *ret_colons = -1;
    for (; i < text.len; i++) {
        char c = text.data[i], next = i + 1 < text.len ? text.data[i + 1] : '\0';

        if (c == '\\') {
            i++;
        } else if (quote) {
            if (c == quote)
                quote = '\0';
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '(' || c == '[') {
            depth++;
        } else if (c == ')' || c == ']') {
            depth -= depth > 0;
        } else if (c == ':' && next == ':' && depth == 0) {
            *ret_colons = (ssize_t) i++;
        } else if (c == '|' && depth == 0) {
            if (next != '|' && next != '=')
                return i;
            i++;
        }
    }
    return MIN(i, text.len);
}

static int read_attr_names(Str args, size_t at, HtmlField *field)
{
    while (args.len > 0) {
        Str name = str_trim(str_cut(args, ',', &args));

        if (name.len == 0)
            return fail(-ERR_INVALID, "at %zu: the name of an attribute is missing", at + 1);
        if (field->n_attrs == ATTR_NAMES_MAX)
            return fail(-ERR_INVALID, "at %zu: more than %d attributes", at + 1, ATTR_NAMES_MAX);
        field->attrs[field->n_attrs] = mem_copy_c(name.data, name.len);
        for (char *c = field->attrs[field->n_attrs]; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c |= 0x20;
        field->n_attrs++;
    }
    if (field->n_attrs == 0)
        return fail(-ERR_INVALID, "at %zu: ::attr needs a name, as in ::attr(href)", at + 1);
    return 0;
}

/* What is behind the "::" at AT. */
static int read_taking(Str what, size_t at, HtmlField *field)
{
    static const char *const names[] = {
        [TAKE_TEXT] = "text",     [TAKE_LINES] = "lines",           [TAKE_RAW] = "raw",
        [TAKE_HTML] = "html",     [TAKE_OUTER_HTML] = "outer-html", [TAKE_ATTR] = "attr",
        [TAKE_EXISTS] = "exists",
    };
    Str name, args;

    what = str_trim(what);
    name = str_cut(what, '(', &args);
    if (name.len < what.len) {
        if (args.len == 0 || args.data[args.len - 1] != ')')
            return fail(-ERR_INVALID, "at %zu: the parenthesis is not closed", at + 3);
        args.len--;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!str_eq_c(name, names[i]))
            continue;
        field->taking = (Taking) i;
        if (field->taking == TAKE_ATTR)
            return read_attr_names(args, at, field);
        if (name.len < what.len)
            return fail(-ERR_INVALID, "at %zu: ::%s takes no argument", at + 1, names[i]);
        return 0;
    }
    return fail(-ERR_INVALID,
                "at %zu: no \"::%.*s\"; there are ::text, ::attr(name), ::html, "
                "::lines, ::raw, ::outer-html and ::exists",
                at + 1, (int) MIN(name.len, (size_t) 40), name.data ? name.data : "");
}

static int read_source(Str text, ssize_t colons, HtmlField *field)
{
    Str selector = colons < 0 ? text : str_sub(text, 0, (size_t) colons);
    int r = 0;

    if (colons >= 0)
        r = read_taking(str_sub(text, (size_t) colons + 2, text.len), (size_t) colons, field);
    if (r < 0)
        return r;
    if (str_trim(selector).len == 0) {
        if (colons < 0)
            return fail(-ERR_INVALID, "at 1: a selector is missing");
        return 0;
    }
    return html_selector_new(selector, &field->selector);
}

static int compile_field(Str expression, HtmlField *field)
{
    ssize_t colons;
    size_t end = find_end(expression, &colons);
    Str source = str_sub(expression, 0, end);
    Str filters = str_sub(expression, end + 1, expression.len);
    int r;

    if (structured_is_path(str_trim(source)))
        r = structured_path_new(str_trim(source), &field->path);
    else
        r = read_source(source, colons, field);
    if (r == 0 && end < expression.len && str_trim(filters).len == 0)
        r = fail(-ERR_INVALID, "at %zu: a filter is missing", end + 2);
    if (r == 0)
        r = wrap(filter_chain_new(filters, &field->filters), "filters");
    if (r < 0)
        return r;
    field->list_at = filter_chain_list_at(field->filters);
    if (!field->path && field->list_at < filter_chain_len(field->filters))
        field->is_list = true;
    return 0;
}

/* ---- adding fields --------------------------------------------------------------------------- */

static int check_name(const HtmlPlan *plan, Str name)
{
    if (name.len == 0)
        return fail(-ERR_INVALID, "the name of a field is missing");
    if (!str_is_utf8(name) || name.len > 128)
        return fail(-ERR_INVALID, "the name of a field must be text of at most 128 bytes");
    for (size_t i = 0; i < plan->n; i++)
        if (str_eq_c(name, plan->fields[i].name))
            return fail(-ERR_INVALID, "there are two fields \"%s\"", plan->fields[i].name);
    if (plan->n == LIMIT_EXTRACT_FIELDS)
        return fail(-ERR_INVALID, "more than %d fields", LIMIT_EXTRACT_FIELDS);
    return 0;
}

int html_plan_add_field(HtmlPlan *plan, Str name, Str expression)
{
    AUTO(deinit_field) HtmlField field = { 0 };
    int r;

    name = str_trim(name);
    if (str_ends(name, (Str) STR("[]"))) {
        field.is_list = true;
        name = str_trim(str_sub(name, 0, name.len - 2));
    }
    r = check_name(plan, name);
    if (r < 0)
        return r;
    field.name = mem_copy_c(name.data, name.len);
    r = compile_field(expression, &field);
    if (r < 0)
        return wrap(r, "field \"%s\"", field.name);
    plan->has_structured |= field.path != NULL;
    plan->fields[plan->n++] = field;
    field = (HtmlField){ 0 };
    return 0;
}

int html_plan_add_records(HtmlPlan *plan, Str name, TAKES HtmlPlan *inner)
{
    AUTO(html_plan_free) HtmlPlan *owned = inner;
    HtmlField *field;
    int r = check_name(plan, name);

    if (r < 0)
        return r;
    plan->has_structured |= owned->has_structured;
    field = &plan->fields[plan->n++];
    field->name = mem_copy_c(name.data, name.len);
    field->inner = TAKE(owned);
    return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

size_t html_plan_len(const HtmlPlan *plan)
{
    return plan->n;
}

Str html_plan_name(const HtmlPlan *plan, size_t field)
{
    return str_from_c(plan->fields[field].name);
}

ValueKind html_plan_kind(const HtmlPlan *plan, size_t field)
{
    const HtmlField *at = &plan->fields[field];
    size_t n_filters = at->filters ? filter_chain_len(at->filters) : 0;

    if (at->inner || (at->is_list && at->list_at == n_filters))
        return VALUE_JSON;
    if (n_filters > 0)
        return filter_chain_kind(at->filters);
    if (at->path)
        return VALUE_NULL;
    return at->taking == TAKE_EXISTS ? VALUE_BOOL : VALUE_TEXT;
}
