/*
 * Text fields; see the header.
 */
#include "rows/text_fields.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/csv_read.h"
#include "codec/regex.h"

/* A piece of a pattern: literal text, then a field. */
typedef struct Piece {
    Str before;
    Str name;
    bool has_field; /* the last piece may have none */
} Piece;

struct TextFields {
    TextFormat format;
    char separator, assign;
    Arena arena; /* names */
    Str *names;
    size_t n_names;
    Regex *regex;
    Piece *pieces;
    size_t n_pieces;
    CsvReader csv;
    Buf made; /* a value without its escapes */
};

/* One reading. */
typedef struct Reading {
    TextFields *fields;
    TextFieldsPut put;
    void *ctx;
    const char *why;
} Reading;

static int wrong(Reading *reading, const char *why)
{
    reading->why = why;
    return TEXT_FIELDS_WRONG;
}

static int put_text(Reading *reading, Str name, Str text, bool is_made)
{
    RowValue value = row_text(text);

    return reading->put(reading->ctx, name, &value, is_made);
}

/* ---- pairs ----------------------------------------------------------------------------------- */

/* The value in quotes at the front of *REST, without its escapes where it has some. */
static int read_quoted(Reading *reading, Str *rest, Str *ret_text, bool *ret_is_made)
{
    Buf *made = &reading->fields->made;
    bool has_escape = false;
    size_t i = 1;

    while (i < rest->len && rest->data[i] != '"') {
        has_escape |= rest->data[i] == '\\';
        i += rest->data[i] == '\\' ? 2 : 1;
    }
    if (i >= rest->len)
        return wrong(reading, "a quote is not closed");
    *ret_text = str_sub(*rest, 1, i - 1);
    *rest = str_sub(*rest, i + 1, rest->len);
    *ret_is_made = has_escape;
    if (!has_escape)
        return 0;
    buf_reset(made);
    for (size_t k = 0; k < ret_text->len; k++) {
        char c = ret_text->data[k], next = k + 1 < ret_text->len ? ret_text->data[k + 1] : '\0';

        if (c == '\\' && next != '\0' && strchr("\"\\ntr", next)) {
            c = next == 'n' ? '\n' : next == 't' ? '\t' : next == 'r' ? '\r' : next;
            k++;
        }
        buf_add_char(made, c);
    }
    *ret_text = buf_str(made);
    return made->is_failed ? wrong(reading, "a value is too long") : 0;
}

/* Bytes of TEXT before the first A or B. */
static size_t length_before(Str text, char a, char b)
{
    size_t n = 0;

    while (n < text.len && text.data[n] != a && text.data[n] != b)
        n++;
    return n;
}

/* The pair at the front of *REST. */
static int read_pair(Reading *reading, Str *rest)
{
    const TextFields *fields = reading->fields;
    size_t n = length_before(*rest, fields->assign, fields->separator);
    Str name = str_trim(str_sub(*rest, 0, n)), text;
    bool has_value = n < rest->len && rest->data[n] == fields->assign, is_made = false;
    RowValue yes = row_boolean(true);
    int r;

    *rest = str_sub(*rest, n + has_value, rest->len);
    if (name.len == 0)
        return wrong(reading, "a value has no name");
    if (!has_value && fields->format == TEXT_LOGFMT)
        return reading->put(reading->ctx, name, &yes, false);
    if (!has_value)
        return wrong(reading, "a name has no value");
    if (rest->len > 0 && rest->data[0] == '"') {
        r = read_quoted(reading, rest, &text, &is_made);
        if (r != 0)
            return r;
        if (rest->len > 0 && rest->data[0] != fields->separator)
            return wrong(reading, "something stands behind a closing quote");
        return put_text(reading, name, text, is_made);
    }
    n = length_before(*rest, fields->separator, fields->separator);
    text = str_trim(str_sub(*rest, 0, n));
    *rest = str_sub(*rest, n, rest->len);
    return text.len > 0 ? put_text(reading, name, text, false) : 0;
}

static int read_pairs(Reading *reading, Str line)
{
    Str rest = str_trim(line);
    int r = 0;

    while (r == 0) {
        while (rest.len > 0 && (rest.data[0] == reading->fields->separator || rest.data[0] == ' '))
            rest = str_sub(rest, 1, rest.len);
        if (rest.len == 0)
            return 0;
        r = read_pair(reading, &rest);
    }
    return r;
}

/* ---- the others ------------------------------------------------------------------------------ */

static int put_cell(Reading *reading, Str name, const CsvCell *cell)
{
    Buf *made = &reading->fields->made;
    char *room;

    if (name.len == 0 || (cell->text.len == 0 && !cell->is_quoted))
        return 0;
    if (!cell->is_doubled)
        return put_text(reading, name, cell->text, false);
    buf_reset(made);
    room = buf_reserve(made, cell->text.len);
    if (!room)
        return wrong(reading, "a cell is too long");
    return put_text(reading, name, str_from(room, csv_undouble(cell->text, room)), true);
}

static int read_csv(Reading *reading, Str line)
{
    TextFields *fields = reading->fields;
    CsvRecord record;
    int r;

    csv_reader_begin(&fields->csv, line, 1);
    r = csv_reader_next(&fields->csv, &record);
    if (r == CSV_END)
        return wrong(reading, "it is empty");
    if (r != 0)
        return wrong(reading, csv_fault_words(fields->csv.fault));
    if (record.n_cells != fields->n_names)
        return wrong(reading, record.n_cells < fields->n_names ? "it has fewer cells than names"
                                                               : "it has more cells than names");
    for (size_t i = 0; i < record.n_cells && r == 0; i++)
        r = put_cell(reading, fields->names[i], &record.cells[i]);
    return r;
}

static int read_regex(Reading *reading, Str line)
{
    const Regex *regex = reading->fields->regex;
    RegexSpan spans[LIMIT_REGEX_GROUPS + 1];
    int r = 0;

    if (!regex_find(regex, line, 0, spans, ARRAY_LEN(spans)))
        return wrong(reading, "it does not match the expression");
    for (size_t i = 1; i <= regex_groups(regex) && r == 0; i++) {
        Str name = regex_group_name(regex, i);

        if (name.len > 0 && spans[i].is_there)
            r = put_text(reading, name, regex_span(line, spans[i]), false);
    }
    return r;
}

/* Where PART stands in TEXT, or SIZE_MAX. */
static size_t find_text(Str text, Str part)
{
    const char *at;

    if (part.len == 0 || part.len > text.len)
        return part.len == 0 ? 0 : SIZE_MAX;
    at = memmem(text.data, text.len, part.data, part.len);
    return at ? (size_t) (at - text.data) : SIZE_MAX;
}

static int read_pattern(Reading *reading, Str line)
{
    const TextFields *fields = reading->fields;
    Str rest = line;
    int r = 0;

    if (!str_starts(rest, fields->pieces[0].before))
        return wrong(reading, "it does not begin as the pattern does");
    rest = str_sub(rest, fields->pieces[0].before.len, rest.len);
    for (size_t i = 0; i < fields->n_pieces && fields->pieces[i].has_field && r == 0; i++) {
        const Piece *piece = &fields->pieces[i], *next = piece + 1;
        bool is_last = i + 1 == fields->n_pieces;
        size_t at = is_last ? rest.len : find_text(rest, next->before);
        Str text;

        if (!is_last && !next->has_field && str_ends(rest, next->before))
            at = rest.len - next->before.len; /* the end of the pattern is the end of the line */
        if (at == SIZE_MAX)
            return wrong(reading, "it does not have all that the pattern has");
        text = str_sub(rest, 0, at);
        rest = str_sub(rest, at + (is_last ? 0 : next->before.len), rest.len);
        if (piece->name.len > 0 && text.len > 0)
            r = put_text(reading, piece->name, text, false);
    }
    return r == 0 && rest.len > 0 ? wrong(reading, "it has more than the pattern") : r;
}

int text_fields_read(TextFields *fields, Str line, TextFieldsPut put, void *ctx,
                     const char **ret_why)
{
    Reading reading = { .fields = fields, .put = put, .ctx = ctx };
    int r = 0;

    switch (fields->format) {
    case TEXT_KEY_VALUE:
    case TEXT_LOGFMT: r = read_pairs(&reading, line); break;
    case TEXT_CSV: r = read_csv(&reading, line); break;
    case TEXT_REGEX: r = read_regex(&reading, line); break;
    case TEXT_PATTERN: r = read_pattern(&reading, line); break;
    }
    if (r == TEXT_FIELDS_WRONG)
        *ret_why = reading.why;
    return r;
}

/* ---- compiling ------------------------------------------------------------------------------- */

void text_fields_free(TextFields *fields)
{
    if (!fields)
        return;
    regex_free(fields->regex);
    csv_reader_deinit(&fields->csv);
    buf_deinit(&fields->made);
    mem_free(fields->pieces);
    mem_free(fields->names);
    arena_deinit(&fields->arena);
    mem_free(fields);
}

static int compile_regex(TextFields *fields, Str pattern)
{
    int r = regex_new(pattern, &fields->regex);
    size_t named = 0;

    if (r < 0)
        return wrap(r, "pattern");
    for (size_t i = 1; i <= regex_groups(fields->regex); i++)
        named += regex_group_name(fields->regex, i).len > 0;
    return named > 0 ? 0 : fail(-ERR_INVALID, "pattern: has no group with a name, (?P<name>…)");
}

bool text_fields_has_name(const TextFields *fields, Str name)
{
    if (name.len == 0)
        return false;
    for (size_t i = 0; i < fields->n_names; i++) {
        if (str_eq(fields->names[i], name))
            return true;
    }
    for (size_t i = 0; i < fields->n_pieces; i++) {
        if (fields->pieces[i].has_field && str_eq(fields->pieces[i].name, name))
            return true;
    }
    for (size_t i = 1; fields->regex && i <= regex_groups(fields->regex); i++) {
        if (str_eq(regex_group_name(fields->regex, i), name))
            return true;
    }
    return false;
}

/* The literal text at the front of *REST, up to a field or the end. */
static Str take_literal(TextFields *fields, Str *rest)
{
    char *out = arena_zalloc(&fields->arena, rest->len + 1);
    size_t n = 0, i = 0;

    while (i < rest->len && (rest->data[i] != '{' || str_sub(*rest, i, 2).len == 2)) {
        if (rest->data[i] == '{' && rest->data[i + 1] != '{')
            break;
        i += rest->data[i] == '{';
        out[n++] = rest->data[i++];
    }
    *rest = str_sub(*rest, i, rest->len);
    return str_from(out, n);
}

static int compile_pattern(TextFields *fields, Str pattern)
{
    Str rest = pattern;
    size_t named = 0;

    if (pattern.len > LIMIT_REGEX_BYTES)
        return fail(-ERR_INVALID, "pattern: has more than %d bytes", LIMIT_REGEX_BYTES);
    fields->pieces = mem_new_array(Piece, pattern.len + 1);
    while (rest.len > 0) {
        Piece *piece = &fields->pieces[fields->n_pieces++];
        ssize_t end;

        piece->before = take_literal(fields, &rest);
        if (rest.len == 0)
            break;
        end = str_find(rest, '}');
        if (end < 0)
            return fail(-ERR_INVALID, "pattern: a { is not closed");
        if (piece->before.len == 0 && fields->n_pieces > 1)
            return fail(-ERR_INVALID, "pattern: two fields with nothing between them");
        piece->has_field = true;
        piece->name = arena_copy(&fields->arena, str_sub(rest, 1, (size_t) end - 1));
        if (str_eq_c(piece->name, "_"))
            piece->name = (Str){ 0 };
        named += piece->name.len > 0;
        rest = str_sub(rest, (size_t) end + 1, rest.len);
    }
    return named > 0 ? 0 : fail(-ERR_INVALID, "pattern: has no field, {name}");
}

static int compile_names(TextFields *fields, const TextFieldsOpts *opts)
{
    if (opts->n_names == 0)
        return fail(-ERR_INVALID, "names: csv wants the names of its cells");
    fields->names = mem_new_array(Str, opts->n_names);
    for (size_t i = 0; i < opts->n_names; i++)
        fields->names[i] = arena_copy(&fields->arena, opts->names[i]);
    fields->n_names = opts->n_names;
    csv_reader_init(&fields->csv, opts->separator);
    return 0;
}

int text_fields_new(const TextFieldsOpts *opts, TextFields **ret_fields)
{
    AUTO(text_fields_free) TextFields *fields = mem_new(TextFields);
    bool is_pairs = opts->format == TEXT_KEY_VALUE;
    int r = 0;

    fields->format = opts->format;
    fields->separator = is_pairs && opts->separator ? opts->separator : ' ';
    fields->assign = is_pairs && opts->assign ? opts->assign : '=';
    fields->made.max_bytes = LIMIT_ROW_BATCH_BYTES;
    arena_init(&fields->arena, 0);
    if (fields->separator == fields->assign)
        return fail(-ERR_INVALID, "separator and assign must differ");
    switch (opts->format) {
    case TEXT_REGEX: r = compile_regex(fields, opts->pattern); break;
    case TEXT_PATTERN: r = compile_pattern(fields, opts->pattern); break;
    case TEXT_CSV: r = compile_names(fields, opts); break;
    case TEXT_KEY_VALUE:
    case TEXT_LOGFMT: break;
    }
    if (r < 0)
        return r;
    *ret_fields = TAKE(fields);
    return 0;
}
