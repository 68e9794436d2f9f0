/*
 * The plan: what the arguments mean, before anything is asked.
 *
 * Each source gets its fields with their expressions read, its defaults, its place at a host. The
 * table has a column for each name that any source uses, in the order of first use, between
 * `source` and `error`. Where two sources give one name different types the column takes any; the
 * first unit counts.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/url.h"
#include "handlers/fetch/fetch_int.h"

static const char *const type_words[] = {
#define X(name, word, kind) word,
    FETCH_TYPES(X)
#undef X
        NULL
};

static const RowKind type_kinds[] = {
#define X(name, word, kind) ROW_##kind,
    FETCH_TYPES(X)
#undef X
};

/* ---- fields ---------------------------------------------------------------------------------- */

typedef struct FieldSpec {
    Str path;
    Str jq;
    Str unit;
    int type; /* FetchType */
    bool required;
} FieldSpec;

static const SchemaField spec_fields[] = {
    FIELD_STR(FieldSpec, path, "a path, or an expression of jq",
              .range = RANGE(1, LIMIT_FETCH_EXPR_BYTES)),
    FIELD_STR(FieldSpec, jq, "an expression of jq, though it looks like a path",
              .range = RANGE(1, LIMIT_FETCH_EXPR_BYTES)),
    FIELD_STR(FieldSpec, unit, "shown in tables", .range = RANGE(0, 40)),
    FIELD_ENUM(FieldSpec, type, type_words, "what it must be", .default_text = "any"),
    FIELD_BOOL(FieldSpec, required, "a row without it fails the source"),
};

static const char *check_spec(const void *value)
{
    const FieldSpec *spec = value;

    return (spec->path.len > 0) == (spec->jq.len > 0) ? "needs either path or jq" : NULL;
}
static const Schema spec_schema = SCHEMA(FieldSpec, spec_fields, "A field.", .check = check_spec);

/* `.price` written without a dot, or jq; IS_JQ says that it must be. */
static int read_expr(FetchRun *run, Str text, bool is_jq, FetchExpr *ret_expr)
{
    FetchExpr expr = { .text = str_trim(text) };

    if (expr.text.len == 0 || expr.text.len > LIMIT_FETCH_EXPR_BYTES)
        return fail(-ERR_INVALID, "must be a path or an expression of jq, of 1 to %d bytes",
                    LIMIT_FETCH_EXPR_BYTES);
    expr.is_jq = is_jq || !path_parse(run->arena, expr.text, &expr.path);
    if (expr.is_jq && str_starts(expr.text, (Str) STR("$.")))
        return fail(-ERR_INVALID,
                    "\"%.*s\" is more than the plain JSONPath that is taken here; write it in jq",
                    (int) MIN(expr.text.len, (size_t) 80), expr.text.data);
#if !SL_HAVE_JQ
    if (expr.is_jq)
        return fail(-ERR_UNSUPPORTED,
                    "\"%.*s\" is no plain path, and this build has no libjq for more",
                    (int) MIN(expr.text.len, (size_t) 80), expr.text.data);
#endif
    *ret_expr = expr;
    return 0;
}

static int read_spec(FetchRun *run, Json value, FieldSpec *spec)
{
    SchemaDecodeOpts opts = { 0 };
    Str text;

    if (json_get_str(value, &text)) {
        *spec = (FieldSpec){ .path = text };
        return 0;
    }
    if (!json_is_object(value))
        return fail(-ERR_INVALID, "must be a path, or an object with a path, unit and type");
    return schema_decode(run->arena, &spec_schema, value, spec, &opts);
}

static int add_field(FetchSource *source, Str name, const FieldSpec *spec)
{
    FetchField *field = &source->fields[source->n_fields];
    int r;

    if (name.len == 0 || name.len > 200)
        return fail(-ERR_INVALID, "the name of a field must have 1 to 200 bytes");
    if (str_eq_c(name, "source") || str_eq_c(name, "error"))
        return fail(-ERR_INVALID, "there is a column of this name already; choose another");
    for (size_t i = 0; i < source->n_fields; i++)
        if (str_eq(source->fields[i].name, name))
            return fail(-ERR_INVALID, "given twice");
    *field = (FetchField){ .name = name,
                           .unit = spec->unit,
                           .type = (FetchType) spec->type,
                           .is_required = spec->required };
    r = read_expr(source->run, spec->jq.len > 0 ? spec->jq : spec->path, spec->jq.len > 0,
                  &field->expr);
    if (r < 0)
        return r;
    if (field->expr.is_jq)
        field->jq_index = source->n_jq++;
    source->n_fields++;
    return 0;
}

/* The fields of ARGS, which are those of the source or those for all. */
static int add_fields(FetchSource *source, const FetchSourceArgs *args)
{
    size_t n = json_len(args->fields.value) + args->field.len;
    int r = 0;

    if (args->fields.value && !json_is_null(args->fields.value) &&
        !json_is_object(args->fields.value))
        return fail(-ERR_INVALID, "fields: must be an object: a name and a path for each column");
    if (n > LIMIT_FETCH_FIELDS)
        return fail(-ERR_INVALID, "fields: %zu are more than the %d that one source may have", n,
                    LIMIT_FETCH_FIELDS);
    source->fields = arena_zalloc(source->run->arena, (n + 1) * sizeof(FetchField));
    for (JsonIter it = json_iter(args->fields.value); r == 0 && json_next(&it);) {
        FieldSpec spec;

        r = read_spec(source->run, it.value, &spec);
        if (r == 0)
            r = add_field(source, it.key, &spec);
        r = wrap(r, "fields.%.*s", (int) MIN(it.key.len, (size_t) 80), it.key.data);
    }
    for (size_t i = 0; r == 0 && i < args->field.len; i++) {
        const SchemaPair *pair = &args->field.items[i];

        r = add_field(source, pair->name, &(FieldSpec){ .path = pair->value });
        r = wrap(r, "field %.*s", (int) MIN(pair->name.len, (size_t) 80), pair->name.data);
    }
    return r;
}

/* ---- sources --------------------------------------------------------------------------------- */

static bool is_name_taken(const FetchRun *run, Str name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(run->sources[i].name, name))
            return true;
    return false;
}

/* The name given, or the host's; with a number behind it where another source has it. */
static Str choose_name(FetchRun *run, const FetchSourceArgs *args, size_t index)
{
    Str name = args->name, base;
    Url url;

    if (name.len > 0)
        return name;
    name = url_parse(args->url, &url) == 0 ? url.host : args->url;
    base = name;
    for (size_t n = 2; is_name_taken(run, name, index); n++)
        name = arena_printf(run->arena, "%.*s-%zu", (int) base.len, base.data, n);
    return name;
}

static FetchHost *find_host(FetchRun *run, Str url)
{
    Str origin = fetch_origin(run->arena, url);
    FetchHost *host;

    for (host = run->hosts; host; host = host->next)
        if (str_eq(host->origin, origin))
            return host;
    host = arena_new(run->arena, FetchHost);
    *host = (FetchHost){ .next = run->hosts,
                         .origin = origin,
                         .slots = { .count = (size_t) run->args->per_host },
                         .rate = { .per_second = run->args->rate },
                         .has_rate = run->args->rate > 0 };
    run->hosts = host;
    return host;
}

static int plan_source(FetchRun *run, size_t index, const FetchSourceArgs *args)
{
    const FetchSourceArgs *all = &run->args->one;
    bool has_fields = args->field.len > 0 || json_len(args->fields.value) > 0;
    FetchSource *source = &run->sources[index];
    Str each = args->each.len > 0 ? args->each : all->each;
    int r = 0;

    *source = (FetchSource){
        .run = run,
        .index = index,
        .args = args,
        .name = choose_name(run, args, index),
        .method = args->method,
        .timeout_ms = args->timeout_ms > 0 ? args->timeout_ms : all->timeout_ms,
        .attempt_timeout_ms = args->attempt_timeout_ms > 0 ? args->attempt_timeout_ms
                                                           : all->attempt_timeout_ms,
        .retries = args->retries >= 0 ? args->retries : all->retries,
    };
    if (source->method.len == 0)
        source->method = args->body.raw.len > 0 ? (Str) STR("POST") : (Str) STR("GET");
    source->host = find_host(run, args->url);
    buf_init(&source->notes, LIMIT_FETCH_NOTES_BYTES);
    fetch_find_secrets(source);
    if (each.len > 0) {
        source->has_each = true;
        r = wrap(read_expr(run, each, false, &source->each), "each");
    }
    if (r == 0)
        r = add_fields(source, has_fields ? args : all);
    return r;
}

/* ---- columns --------------------------------------------------------------------------------- */

static RowColumn *find_column(FetchRun *run, Str name)
{
    for (size_t i = 0; i < run->n_columns; i++)
        if (str_eq(run->columns[i].name, name))
            return &run->columns[i];
    return NULL;
}

static int add_column(FetchRun *run, RowColumn column, size_t *ret_index)
{
    RowColumn *known = find_column(run, column.name);

    if (!known && run->n_columns == LIMIT_ROW_COLUMNS)
        return fail(-ERR_INVALID, "the table would have more than %d columns", LIMIT_ROW_COLUMNS);
    if (!known) {
        known = &run->columns[run->n_columns++];
        *known = column;
    }
    if (known->kind != column.kind)
        known->kind = ROW_ANY;
    if (known->unit.len == 0)
        known->unit = column.unit;
    *ret_index = (size_t) (known - run->columns);
    return 0;
}

static int add_field_columns(FetchSource *source)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < source->n_fields; i++) {
        FetchField *field = &source->fields[i];

        r = add_column(source->run,
                       (RowColumn){ .name = field->name,
                                    .kind = type_kinds[field->type],
                                    .unit = field->unit,
                                    .is_needed = true },
                       &field->column);
    }
    return r;
}

/* The whole item in one column, for a source that names no fields. */
static void add_whole(FetchSource *source)
{
    static const Str name = STR("value"), all = STR(".");
    FetchField *field = &source->fields[source->n_fields++];

    *field = (FetchField){ .name = name, .expr = { .text = all } };
}

/* FIRST, or SECOND where a field has that name. */
static Str free_name(const FetchRun *run, const char *first, const char *second)
{
    for (size_t i = 0; i < run->n_sources; i++)
        for (size_t j = 0; j < run->sources[i].n_fields; j++)
            if (str_eq_c(run->sources[i].fields[j].name, first))
                return str_from_c(second);
    return str_from_c(first);
}

/* The column in which a watch says what changed, behind the fields. */
static int add_changed(FetchRun *run)
{
    if (run->args->watch_ms == 0)
        return 0;
    return add_column(
        run, (RowColumn){ .name = free_name(run, "changed", "what_changed"), .kind = ROW_TEXT },
        &run->changed_column);
}

static int end_columns(FetchRun *run)
{
    run->error_column = FETCH_NO_COLUMN;
    return add_column(run, (RowColumn){ .name = STR("error"), .kind = ROW_TEXT },
                      &run->error_column);
}

static int plan_columns(FetchRun *run)
{
    int r = 0;

    run->columns = arena_zalloc(run->arena, LIMIT_ROW_COLUMNS * sizeof(RowColumn));
    run->time_column = run->changed_column = FETCH_NO_COLUMN;
    if (run->args->watch_ms > 0)
        r = add_column(
            run, (RowColumn){ .name = free_name(run, "time", "watch_time"), .kind = ROW_TIME },
            &run->time_column);
    if (r == 0)
        r = add_column(run,
                       (RowColumn){ .name = STR("source"), .kind = ROW_TEXT, .is_needed = true },
                       &run->source_column);
    if (run->n_sources == 1 && run->sources[0].n_fields == 0) {
        run->is_found_later = true;
        return r;
    }
    for (size_t i = 0; r == 0 && i < run->n_sources; i++) {
        if (run->sources[i].n_fields == 0)
            add_whole(&run->sources[i]);
        r = add_field_columns(&run->sources[i]);
    }
    if (r == 0)
        r = add_changed(run);
    return r < 0 ? r : end_columns(run);
}

int fetch_find_columns(FetchSource *source, PathPlace item)
{
    FetchRun *run = source->run;
    size_t n = item.is_entry ? 2 : json_len(item.value);
    int r = 0;

    ASSERT(run->is_found_later && source->n_fields == 0);
    source->fields = arena_zalloc(run->arena,
                                  (MIN(n, (size_t) LIMIT_FETCH_FIELDS) + 1) * sizeof(FetchField));
    if (item.is_entry) {
        r = add_field(source, (Str) STR("key"), &(FieldSpec){ .path = STR("key") });
        if (r == 0)
            r = add_field(source, (Str) STR("value"), &(FieldSpec){ .path = STR("value") });
    }
    for (JsonIter it = json_iter(item.value); it.is_object && !item.is_entry && json_next(&it);) {
        FetchField *field = &source->fields[source->n_fields];
        Path path = { .steps = arena_new(run->arena, PathStep), .len = 1 };

        if (it.key.len == 0 || source->n_fields == LIMIT_FETCH_FIELDS ||
            source->n_fields + run->n_columns + 2 >= LIMIT_ROW_COLUMNS)
            continue;
        if (str_eq_c(it.key, "source") || str_eq_c(it.key, "error") || str_eq_c(it.key, "time") ||
            str_eq_c(it.key, "changed"))
            continue;
        path.steps[0] = (PathStep){ .kind = PATH_MEMBER, .name = arena_copy(run->arena, it.key) };
        *field = (FetchField){ .name = path.steps[0].name,
                               .expr = { .text = path.steps[0].name, .path = path } };
        source->n_fields++;
    }
    if (source->n_fields == 0)
        add_whole(source);
    run->is_found_later = false;
    if (r == 0)
        r = add_field_columns(source);
    if (r == 0)
        r = add_changed(run);
    return r < 0 ? r : end_columns(run);
}

/* ---- all of it ------------------------------------------------------------------------------- */

int fetch_plan(FetchRun *run)
{
    const FetchArgs *args = run->args;
    const FetchSourceArgs *items = args->sources.items;
    size_t n = args->sources.len;
    int r = 0;

    run->n_sources = n > 0 ? n : 1;
    run->sources = arena_zalloc(run->arena, run->n_sources * sizeof(FetchSource));
    for (size_t i = 0; r == 0 && i < run->n_sources; i++) {
        r = plan_source(run, i, n > 0 ? &items[i] : &args->one);
        if (n > 0)
            r = wrap(r, "sources[%zu]", i);
    }
    if (r == 0)
        r = plan_columns(run);
    if (r < 0)
        (void) task_mark_final(run->task, "schema_validation"); /* it will not get any better */
    return r;
}
