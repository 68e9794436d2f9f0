/*
 * Lookup tables; see the header. A key is the texts of its values with their lengths before them.
 */
#include "rows/lookup_table.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/csv_read.h"
#include "codec/json.h"
#include "codec/suggest.h"
#include "rows/row_cast.h"

/* ---- keys ------------------------------------------------------------------------------------ */

/* Append VALUE to the key in OUT. False when it is null. */
static bool add_key(Buf *out, const RowValue *value)
{
    size_t at = out->len;
    uint32_t len;

    if (value->kind == ROW_ANY)
        return false;
    buf_add(out, &(uint32_t){ 0 }, sizeof(len));
    if (value->kind == ROW_TEXT)
        buf_add_str(out, value->text);
    else
        row_value_format(out, value);
    if (out->is_failed)
        return false;
    len = (uint32_t) (out->len - at - sizeof(len));
    memcpy(out->data + at, &len, sizeof(len));
    return true;
}

const RowValue *lookup_table_find(const LookupTable *table, const RowValue *const *keys, size_t n,
                                  Buf *scratch)
{
    uintptr_t row;

    buf_reset(scratch);
    for (size_t i = 0; i < n; i++) {
        if (!add_key(scratch, keys[i]))
            return NULL;
    }
    row = (uintptr_t) map_find(&table->by_key, buf_str(scratch));
    return row > 0 ? table->values + (row - 1) * table->n_columns : NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A table while it is read. */
typedef struct Reading {
    LookupTable *table;
    const LookupOpts *opts;
    RowValue *keys; /* of the row */
    size_t number;  /* of the row, from 1 */
} Reading;

static size_t find_name(const Str *names, size_t n, Str name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(names[i], name))
            return i;
    }
    return SIZE_MAX;
}

/* The column called NAME, or SIZE_MAX. GUESS is looked at first. */
static size_t find_column(const LookupTable *table, Str name, size_t guess)
{
    if (guess < table->n_columns && str_eq(table->columns[guess].name, name))
        return guess;
    for (size_t i = 0; i < table->n_columns; i++) {
        if (str_eq(table->columns[i].name, name))
            return i;
    }
    return SIZE_MAX;
}

static int add_column(Reading *reading, Str name)
{
    LookupTable *table = reading->table;

    if (find_name(reading->opts->keys, reading->opts->n_keys, name) != SIZE_MAX ||
        (reading->opts->n_take > 0 &&
         find_name(reading->opts->take, reading->opts->n_take, name) == SIZE_MAX) ||
        find_column(table, name, 0) != SIZE_MAX)
        return 0;
    if (table->n_columns == LIMIT_SHAPE_COLUMNS)
        return fail(-ERR_TOO_LARGE, "it has more than %d columns", LIMIT_SHAPE_COLUMNS);
    table->columns = mem_resize_array(table->columns, table->n_columns + 1,
                                      sizeof(table->columns[0]));
    table->columns[table->n_columns++] = (RowColumn){ .name = arena_copy(&table->arena, name) };
    return 0;
}

/* A row of nulls, whose keys are null until they are put. */
static int begin_row(Reading *reading)
{
    LookupTable *table = reading->table;
    RowValue *row;

    if (table->n_rows == LIMIT_JOIN_ROWS)
        return fail(-ERR_TOO_LARGE, "it has more than %d rows", LIMIT_JOIN_ROWS);
    if (table->n_rows == table->cap_rows) {
        table->cap_rows = MAX(2 * table->cap_rows, (size_t) 64);
        table->values = mem_resize_array(table->values, table->cap_rows * table->n_columns + 1,
                                         sizeof(table->values[0]));
    }
    row = table->values + table->n_rows * table->n_columns;
    for (size_t c = 0; c < table->n_columns; c++)
        row[c] = row_null();
    for (size_t i = 0; i < reading->opts->n_keys; i++)
        reading->keys[i] = row_null();
    reading->number++;
    return 0;
}

/* Put VALUE, whose text lives as long as the table, under NAME. */
static void put_value(Reading *reading, Str name, size_t guess, const RowValue *value)
{
    LookupTable *table = reading->table;
    size_t key = find_name(reading->opts->keys, reading->opts->n_keys, name);
    size_t column = key == SIZE_MAX ? find_column(table, name, guess) : SIZE_MAX;

    if (key != SIZE_MAX)
        reading->keys[key] = *value;
    else if (column != SIZE_MAX)
        table->values[table->n_rows * table->n_columns + column] = *value;
}

static void end_row(Reading *reading)
{
    LookupTable *table = reading->table;

    buf_reset(&table->scratch);
    for (size_t i = 0; i < reading->opts->n_keys; i++) {
        if (!add_key(&table->scratch, &reading->keys[i]))
            return; /* it is never found */
    }
    table->n_rows++;
    (void) map_put(&table->by_key, buf_str(&table->scratch), (void *) (uintptr_t) table->n_rows);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static RowValue value_of(LookupTable *table, const JsonDoc *doc, Json json)
{
    RowValue value = row_null();
    Str text;

    switch (json_kind(json)) {
    case JSON_NONE:
    case JSON_NULL: break;
    case JSON_BOOL: return row_boolean(json_bool_or(json, false));
    case JSON_NUMBER:
        if (json_get_i64(json, &value.integer))
            return row_integer(value.integer);
        return row_real(json_real_or(json, 0), (Str){ 0 });
    case JSON_STRING:
        text = json_str_or(json, (Str){ 0 });
        return row_text(arena_copy(&table->arena, text));
    case JSON_ARRAY:
    case JSON_OBJECT: return row_json(arena_copy(&table->arena, json_raw(doc, json)));
    }
    return value;
}

static int read_object(Reading *reading, const JsonDoc *doc, Json object)
{
    size_t k = 0;
    int r = begin_row(reading);

    if (r < 0)
        return r;
    for (JsonIter it = json_iter(object); json_next(&it);) {
        RowValue value = value_of(reading->table, doc, it.value);

        put_value(reading, it.key, k++, &value);
    }
    end_row(reading);
    return 0;
}

static int add_names(Reading *reading, Json object, size_t number)
{
    int r = 0;

    if (!json_is_object(object))
        return fail(-ERR_INVALID, "row %zu is no object", number);
    for (JsonIter it = json_iter(object); r == 0 && json_next(&it);)
        r = add_column(reading, it.key);
    return r;
}

/* An array of objects: names first, then values, for all rows have all columns. */
static int read_json(Reading *reading, Str text)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    size_t number = 0;
    JsonDoc doc;
    int r;

    arena_init(&arena, 16 * (size_t) LIMIT_JOIN_BYTES);
    r = json_parse_opts(&arena, text, &(JsonParseOpts){ .max_bytes = LIMIT_JOIN_BYTES }, &doc);
    if (r == 0 && !json_is_array(doc.root))
        r = fail(-ERR_INVALID, "it is no array of objects");
    if (r < 0)
        return r;
    for (JsonIter it = json_iter(doc.root); r == 0 && json_next(&it);)
        r = add_names(reading, it.value, ++number);
    for (JsonIter it = json_iter(doc.root); r == 0 && json_next(&it);)
        r = read_object(reading, &doc, it.value);
    return r;
}

/* Objects on lines; PASS 0 takes the names, 1 the values. */
static int read_lines(Reading *reading, Str text, int pass)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    size_t number = 0;
    JsonDoc doc;
    int r = 0;

    arena_init(&arena, 0);
    while (r == 0 && text.len > 0) {
        Str line = str_trim(str_cut(text, '\n', &text));

        number++;
        if (line.len == 0)
            continue;
        arena_reset(&arena);
        r = wrap(json_parse(&arena, line, &doc), "line %zu", number);
        if (r == 0)
            r = pass == 0 ? add_names(reading, doc.root, number)
                          : read_object(reading, &doc, doc.root);
    }
    return r;
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static Str cell_text(LookupTable *table, const CsvCell *cell)
{
    char *room;

    if (!cell->is_doubled)
        return arena_copy(&table->arena, cell->text);
    room = arena_try(&table->arena, cell->text.len);
    return room ? str_from(room, csv_undouble(cell->text, room)) : (Str){ 0 };
}

static int read_record(Reading *reading, const CsvRecord *record, const Str *names, size_t n_names)
{
    int r = begin_row(reading);

    if (r == 0 && record->n_cells > n_names)
        r = fail(-ERR_INVALID, "line %llu has more cells than the head",
                 (unsigned long long) record->line);
    if (r < 0)
        return r;
    for (size_t i = 0; i < record->n_cells; i++) {
        RowValue value = row_text(cell_text(reading->table, &record->cells[i]));

        if (value.text.len > 0 || record->cells[i].is_quoted)
            put_value(reading, names[i], i, &value);
    }
    end_row(reading);
    return 0;
}

static int read_csv(Reading *reading, Str text)
{
    AUTO(csv_reader_deinit) CsvReader reader = { .at = 0 };
    AUTO(mem_free) Str *names = NULL;
    CsvRecord record;
    size_t n_names;
    int r, got;

    csv_reader_init(&reader, '\0');
    csv_reader_begin(&reader, text, 1);
    got = csv_reader_next(&reader, &record);
    if (got == CSV_END)
        return fail(-ERR_INVALID, "it is empty");
    n_names = got == 0 ? record.n_cells : 0;
    names = mem_new_array(Str, n_names + 1);
    r = 0;
    for (size_t i = 0; r == 0 && i < n_names; i++) {
        names[i] = str_trim(cell_text(reading->table, &record.cells[i]));
        r = add_column(reading, names[i]);
    }
    while (r == 0 && got == 0) {
        got = csv_reader_next(&reader, &record);
        if (got == 0)
            r = read_record(reading, &record, names, n_names);
    }
    if (r == 0 && got == CSV_BAD)
        return fail(-ERR_INVALID, "line %llu: %s", (unsigned long long) record.line,
                    csv_fault_words(reader.fault));
    return r;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* A column has the kind that all of its values have; integers among numbers are numbers, any other
 * mixture is text. */
static int settle_kind(LookupTable *table, size_t column)
{
    RowKind kind = ROW_ANY;

    for (size_t i = 0; i < table->n_rows; i++) {
        RowKind next = table->values[i * table->n_columns + column].kind;
        bool are_numbers = (kind == ROW_INT || kind == ROW_REAL) &&
                           (next == ROW_INT || next == ROW_REAL);

        if (next != ROW_ANY && kind != next)
            kind = kind == ROW_ANY ? next : are_numbers ? ROW_REAL : ROW_TEXT;
    }
    kind = kind == ROW_ANY ? ROW_TEXT : kind;
    table->columns[column].kind = kind;
    for (size_t i = 0; i < table->n_rows; i++) {
        RowValue *value = &table->values[i * table->n_columns + column];

        if (row_cast(value, kind, 0, &table->scratch, value) != 0)
            return fail(-ERR_INVALID, "column %.*s: a value is too long",
                        (int) table->columns[column].name.len, table->columns[column].name.data);
        if (value->text.len > 0 && value->text.data == table->scratch.data)
            value->text = arena_copy(&table->arena, value->text);
    }
    return 0;
}

/* What was asked for and is not there. */
static int check_taken(const LookupTable *table, const LookupOpts *opts)
{
    for (size_t i = 0; i < opts->n_take; i++) {
        Suggest suggest = { .word = opts->take[i] };

        if (find_column(table, opts->take[i], i) != SIZE_MAX)
            continue;
        for (size_t c = 0; c < table->n_columns; c++)
            suggest_consider(&suggest, table->columns[c].name);
        return fail(-ERR_INVALID, "there is no column \"%.*s\"%s%.*s%s", (int) opts->take[i].len,
                    opts->take[i].data, suggest.best.len > 0 ? "; did you mean \"" : "",
                    (int) suggest.best.len, suggest.best.data ? suggest.best.data : "",
                    suggest.best.len > 0 ? "\"?" : "");
    }
    if (table->n_columns == 0)
        return fail(-ERR_INVALID, "it has no column beside its keys");
    return 0;
}

int lookup_table_init(LookupTable *table, Str text, const LookupOpts *opts)
{
    Reading reading = { .table = table, .opts = opts };
    int r = 0;

    arena_init(&table->arena, 20 * (size_t) LIMIT_JOIN_BYTES); /* 16 for a cell of one */
    map_init(&table->by_key, rand_entropy(), rand_entropy());
    if (!str_is_utf8(text))
        return fail(-ERR_INVALID, "it is not UTF-8");
    reading.keys = mem_new_array(RowValue, opts->n_keys + 1);
    switch (opts->format) {
    case LOOKUP_CSV: r = read_csv(&reading, text); break;
    case LOOKUP_JSON: r = read_json(&reading, text); break;
    case LOOKUP_JSONL:
        r = read_lines(&reading, text, 0);
        if (r == 0)
            r = read_lines(&reading, text, 1);
        break;
    }
    mem_free(reading.keys);
    if (r == 0)
        r = check_taken(table, opts);
    for (size_t c = 0; r == 0 && c < table->n_columns; c++)
        r = settle_kind(table, c);
    return r;
}

void lookup_table_deinit(LookupTable *table)
{
    map_deinit(&table->by_key);
    arena_deinit(&table->arena);
    buf_deinit(&table->scratch);
    mem_free(table->columns);
    mem_free(table->values);
    *table = (LookupTable){ .columns = NULL };
}
