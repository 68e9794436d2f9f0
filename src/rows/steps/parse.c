/*
 * parse: a column of text into columns.
 *
 *   parse: { as: json, column: payload }
 *   parse: { as: logfmt }
 *   parse: { as: csv, names: [time, sensor, value] }
 *   parse: { as: regex, pattern: '^(?P<verb>[A-Z]+) (?P<path>[^ ]+)' }
 *   parse: { as: pattern, pattern: '{ip} - {user} [{time}] "{verb} {path}"' }
 *
 * What the formats are is said in rows/text_fields.h. Of JSON the members of an object become
 * columns, those of objects in it with the names joined by dots; arrays stay JSON. A column that
 * the rows have already is replaced where the text has it. All values but those of JSON are text; a
 * `validate` behind it gives them kinds.
 *
 * A time that the rows have, mostly that of their arrival, gives way to what a pattern, a regular
 * expression or the names of CSV call the same: logs write their times in many ways, and to be a
 * text until `validate` reads it is what `{time}` asks for. A row whose text is wrong and which
 * goes on all the same keeps its time, as text.
 *
 * What is found goes through rows/cells, because only the rows say which columns there are.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/cells.h"
#include "rows/derive.h"
#include "rows/step.h"
#include "rows/text_fields.h"

#define STAGE         "parse"
#define CACHED_SHAPES 16

/* AS_JSON, then those of TextFormat. */
static const char *const as_words[] = { "json",  "key_value", "logfmt", "csv",
                                        "regex", "pattern",   NULL };
#define AS_JSON 0

typedef enum Otherwise { OTHERWISE_REFUSE, OTHERWISE_KEEP } Otherwise;

typedef struct ParseArgs {
    int as;
    Str column;
    Str pattern;
    SchemaList names; /* of Str */
    Str separator, assign;
    Str prefix;
    bool keep;
    int otherwise;
} ParseArgs;

static const char *const otherwise_words[] = { "refuse", "keep", NULL };
static const SchemaField name_item = ITEM(STR, .range = RANGE(0, LIMIT_CELL_NAME_BYTES));
static const SchemaField parse_fields[] = {
    FIELD_ENUM(ParseArgs, as, as_words, "what the text is", .is_required = true, .positional = 1),
    FIELD_STR(ParseArgs, column, "the column with the text", .default_text = "line",
              .range = RANGE(1, 256)),
    FIELD_STR(ParseArgs, pattern,
              "regex: an expression with named groups; pattern: text with {fields}"),
    FIELD_LIST(ParseArgs, names, &name_item, "csv: the names of the cells",
               .range = RANGE(0, LIMIT_SHAPE_COLUMNS)),
    FIELD_STR(ParseArgs, separator, "csv, key_value: what parts the values", .range = RANGE(1, 1)),
    FIELD_STR(ParseArgs, assign, "key_value: what stands between name and value",
              .range = RANGE(1, 1)),
    FIELD_STR(ParseArgs, prefix, "put before each name", .range = RANGE(0, 64)),
    FIELD_BOOL(ParseArgs, keep, "keep the column with the text"),
    FIELD_ENUM(ParseArgs, otherwise, otherwise_words,
               "a text that is wrong: its row is refused, or goes on without the columns",
               .default_text = "refuse"),
};
static const Schema parse_args = SCHEMA(ParseArgs, parse_fields, "Settings of the step parse.");

typedef struct Parse {
    const ParseArgs *args;
    TextFields *fields; /* NULL: JSON */
    Shapes *made;
    StepCache plans[CACHED_SHAPES]; /* of Derived */
    Cells cells;
    Arena arena; /* JSON of one row */
    Buf name;    /* of a column, with its prefix */
    Parcel *parcel;
} Parse;

/* Why a row is refused. */
typedef struct Trouble {
    int outcome;     /* of cells, 0: the text is wrong */
    const char *why; /* then */
} Trouble;

/* ---- open and close -------------------------------------------------------------------------- */

static void free_plan(void *plan)
{
    derived_deinit(plan);
    mem_free(plan);
}

static void parse_close(void *state)
{
    Parse *parse = state;

    if (!parse)
        return;
    step_cache_deinit(parse->plans, CACHED_SHAPES, free_plan);
    text_fields_free(parse->fields);
    shapes_free(parse->made);
    cells_deinit(&parse->cells);
    arena_deinit(&parse->arena);
    buf_deinit(&parse->name);
    mem_free(parse);
}

static int parse_open(const StepOpts *opts, void **ret_state)
{
    const ParseArgs *args = opts->args;
    AUTO(text_fields_free) TextFields *fields = NULL;
    TextFieldsOpts text = { .format = (TextFormat) (args->as - 1),
                            .pattern = args->pattern,
                            .names = args->names.items,
                            .n_names = args->names.len,
                            .separator = args->separator.len > 0 ? args->separator.data[0] : '\0',
                            .assign = args->assign.len > 0 ? args->assign.data[0] : '\0' };
    int r = args->as == AS_JSON ? 0 : text_fields_new(&text, &fields);
    Parse *parse;

    if (r < 0)
        return r;
    parse = mem_new(Parse);
    parse->args = args;
    parse->fields = TAKE(fields);
    parse->made = shapes_new();
    arena_init(&parse->arena, 0);
    *ret_state = parse;
    return 0;
}

/* Whether OLD is a time that the text has a better one for. */
static bool gives_way(const Parse *parse, const RowColumn *old)
{
    Str prefix = parse->args->prefix;

    return parse->fields && old->kind == ROW_TIME && str_starts(old->name, prefix) &&
           text_fields_has_name(parse->fields, str_sub(old->name, prefix.len, old->name.len));
}

/* The columns that stay; what is found comes behind them. */
static int make_plan(Parse *parse, const Parcel *parcel, Derived **ret_plan)
{
    DeriveColumn *columns = mem_new_array(DeriveColumn, parcel->rows.n_columns);
    Derived *plan = mem_new(Derived);
    size_t n = 0;
    int r;

    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        const RowColumn *old = &parcel->rows.columns[c];

        if (gives_way(parse, old))
            continue;
        if (parse->args->keep || !str_eq(old->name, parse->args->column))
            columns[n++] = (DeriveColumn){ old->name, old->kind, old->unit, c };
    }
    r = derive(parse->made, parcel, columns, n, DERIVE_OPEN, plan);
    mem_free(columns);
    if (r < 0)
        mem_free(plan);
    else
        *ret_plan = plan;
    return r;
}

/* ---- names and values ------------------------------------------------------------------------ */

/* NAME with the prefix before it. */
static Str full_name(Parse *parse, Str name)
{
    if (parse->args->prefix.len == 0)
        return name;
    buf_reset(&parse->name);
    buf_add_str(&parse->name, parse->args->prefix);
    buf_add_str(&parse->name, name);
    return buf_str(&parse->name);
}

static int put_field(void *ctx, Str name, const RowValue *value, bool is_made)
{
    Parse *parse = ctx;
    RowValue kept = *value;
    int r = 0;

    if (is_made) {
        kept.text = parcel_copy_text(parse->parcel, value->text);
        r = kept.text.len < value->text.len ? CELLS_TOO_LARGE : 0;
    }
    if (r == 0)
        r = cells_put(&parse->cells, full_name(parse, name), &kept);
    if (r != 0 && parse->args->prefix.len == 0) { /* for the words of the refusal */
        buf_reset(&parse->name);
        buf_add_str(&parse->name, name);
    }
    return r;
}

/* The members of OBJECT, whose names begin with what is in parse->name. */
static int put_members(Parse *parse, const JsonDoc *doc, Json object, unsigned depth)
{
    size_t before = parse->name.len;
    int r = 0;

    for (JsonIter it = json_iter(object); r == 0 && json_next(&it);) {
        parse->name.len = before;
        buf_add_str(&parse->name, it.key);
        if (json_is_object(it.value) && json_len(it.value) > 0 && depth < LIMIT_PARSE_DEPTH) {
            buf_add_char(&parse->name, '.');
            r = put_members(parse, doc, it.value, depth + 1);
        } else {
            r = cells_put_json(&parse->cells, buf_str(&parse->name), doc, it.value, ROW_ANY);
        }
    }
    return r;
}

static int read_json(Parse *parse, Str text, Trouble *trouble)
{
    JsonDoc doc;
    int r;

    arena_reset(&parse->arena);
    r = json_parse(&parse->arena, text, &doc);
    if (r < 0) {
        err_take(r, NULL);
        trouble->why = "it is no JSON";
        return TEXT_FIELDS_WRONG;
    }
    if (!json_is_object(doc.root)) {
        trouble->why = "it is no JSON object";
        return TEXT_FIELDS_WRONG;
    }
    buf_reset(&parse->name);
    buf_add_str(&parse->name, parse->args->prefix);
    return put_members(parse, &doc, doc.root, 1);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Read the text of a row. 0, or what is wrong in *TROUBLE. */
static int read_row(Parse *parse, const RowValue *value, Trouble *trouble)
{
    *trouble = (Trouble){ .why = "it is no text" };
    if (value->kind == ROW_ANY) {
        trouble->why = "it is missing";
        return TEXT_FIELDS_WRONG;
    }
    if (value->kind != ROW_TEXT && value->kind != ROW_JSON)
        return TEXT_FIELDS_WRONG;
    if (!parse->fields)
        return read_json(parse, value->text, trouble);
    return text_fields_read(parse->fields, value->text, put_field, parse, &trouble->why);
}

/* The times that have given way, of a row whose text has none in their place. */
static void keep_times(Parse *parse, Parcel *parcel, const RowValue *row)
{
    AUTO(buf_deinit) Buf text = { 0 };

    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        const RowColumn *old = &parcel->rows.columns[c];
        RowValue value;

        if (row[c].kind == ROW_ANY || !gives_way(parse, old))
            continue;
        buf_reset(&text);
        row_value_format(&text, &row[c]);
        value = row_text(parcel_copy_text(parcel, buf_str(&text)));
        (void) cells_put(&parse->cells, old->name, &value); /* or the row goes without it */
    }
}

static void parse_row(Parse *parse, Parcel *parcel, size_t index, const RowValue *value)
{
    Str column = parse->args->column;
    Trouble trouble;
    int r;

    cells_row(&parse->cells, index);
    r = read_row(parse, value, &trouble);
    if (r == 0)
        return;
    cells_undo(&parse->cells);
    if (r != TEXT_FIELDS_WRONG)
        cells_refuse(r, parcel, index, STAGE, buf_str(&parse->name));
    else if (parse->args->otherwise == OTHERWISE_REFUSE)
        parcel_refuse(parcel, index, STAGE, "bad_text", "%.*s: %s",
                      (int) MIN(column.len, (size_t) 100), column.data, trouble.why);
    else
        keep_times(parse, parcel, parcel_row(parcel, index));
}

static int parse_run(void *state, StepRun *run)
{
    static const RowValue nothing = { .kind = ROW_ANY };
    Parse *parse = state;
    Parcel *parcel = run->parcel;
    Derived *plan = step_cache_find(parse->plans, CACHED_SHAPES, parcel);
    size_t column = shape_find(parcel->shape, parse->args->column, 0);
    int r;

    if (!plan) {
        r = make_plan(parse, parcel, &plan);
        if (r < 0)
            return r;
        step_cache_put(parse->plans, CACHED_SHAPES, parcel, plan, free_plan);
    }
    parse->parcel = parcel;
    cells_begin(&parse->cells, plan->shape, parcel);
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        const RowValue *row = parcel_row(parcel, i);

        if (parcel->fates[i] == FATE_OPEN)
            parse_row(parse, parcel, i, column < parcel->rows.n_columns ? &row[column] : &nothing);
    }
    if (shape_width(plan->shape) == 0) { /* nothing was found, and nothing else is there */
        for (size_t i = 0; i < parcel_count(parcel); i++) {
            if (parcel->fates[i] == FATE_OPEN)
                parcel_refuse(parcel, i, STAGE, "no_columns", "it has no values");
        }
    } else {
        derived_apply(plan, parcel);
        cells_apply(&parse->cells, parcel);
    }
    parcel_compact(parcel);
    return 0;
}

/* Which columns a text has is not known before it comes; but all of them have the prefix. */
static Str parse_column_after(const void *state, Str name)
{
    const Parse *parse = state;
    Str prefix = parse->args->prefix;
    bool is_read = str_eq(name, parse->args->column) && !parse->args->keep;

    return is_read || prefix.len == 0 || str_starts(name, prefix) ? (Str){ 0 } : name;
}

extern const StepDriver step_parse;
const StepDriver step_parse = {
    .name = "parse",
    .summary = "Takes a column of text apart: JSON, CSV, pairs, a regular expression, a pattern",
    .args = &parse_args,
    .open = parse_open,
    .close = parse_close,
    .run = parse_run,
    .column_after = parse_column_after,
};
