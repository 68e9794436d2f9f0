/*
 * Decoding: JSON, one value or one on each line.
 *
 * An array is taken apart before anything is parsed, by counting brackets outside strings, so that
 * one element that is no JSON is refused by itself and the memory that is needed is that of one
 * element. Each object is then parsed, its members' columns are found (where a member stood in the
 * last object is where it is looked for first), and the row is filled.
 *
 * Texts without escapes are views of the payload; others are copied into the parcel. Numbers keep
 * the digits they are written with; a whole one beyond those that a double is sure to have is an
 * integer, so that identifiers arrive as they were sent.
 */
#include "rows/decode_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/json.h"
#include "rows/row_cast.h"

#include <stdio.h>

/* A piece of the text that should be an object. */
typedef struct JsonPiece {
    size_t begin, end, next;
    uint64_t line;
} JsonPiece;

/* ---- taking apart ---------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Pass over white space from *AT, counting lines. */
static void skip_space(Str text, size_t *at, uint64_t *line)
{
    for (; *at < text.len && is_space(text.data[*at]); (*at)++)
        *line += text.data[*at] == '\n';
}

/* Behind the string whose opening quote is at AT. */
static size_t skip_string(Str text, size_t at)
{
    for (at++; at < text.len && text.data[at] != '"'; at++)
        at += text.data[at] == '\\';
    return MIN(at + 1, text.len);
}

/* Where the value that begins at AT ends: behind its last bracket, or before the comma or bracket
 * that follows; the text's length when neither comes. */
static size_t find_value_end(Str text, size_t at)
{
    size_t depth = 0;

    while (at < text.len) {
        char c = text.data[at];

        if (c == '"') {
            at = skip_string(text, at);
            continue;
        }
        if (depth == 0 && (c == ',' || c == ']'))
            return at;
        if (c == '{' || c == '[')
            depth++;
        at++;
        if (depth > 0 && (c == '}' || c == ']') && --depth == 0)
            return at;
    }
    return text.len;
}

bool decode_json_is_several(Str text)
{
    uint64_t line = 0;
    size_t at = text.len > 0 && text.data[0] == '{' ? find_value_end(text, 0) : text.len;

    skip_space(text, &at, &line);
    return at < text.len;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Whether the number VALUE has digits that a double may lose and an integer has. */
static bool is_long(const JsonDoc *doc, Json value)
{
    int64_t integer;
    Str raw;

    if (!json_get_i64(value, &integer) || decode_is_exact(integer))
        return false;
    raw = json_raw(doc, value);
    return str_find(raw, '.') < 0 && str_find(raw, 'e') < 0 && str_find(raw, 'E') < 0;
}

static RowKind kind_of(const JsonDoc *doc, Json value)
{
    switch (json_kind(value)) {
    case JSON_NONE:
    case JSON_NULL: return ROW_ANY;
    case JSON_BOOL: return ROW_BOOL;
    case JSON_NUMBER: return is_long(doc, value) ? ROW_INT : ROW_REAL;
    case JSON_STRING: return ROW_TEXT;
    case JSON_ARRAY:
    case JSON_OBJECT: return ROW_JSON;
    }
    UNREACHABLE("a kind of JSON");
}

/* The contents of a string: where it stands, if nothing in it is escaped. */
static Str text_of(DecodeRun *run, const JsonDoc *doc, Json value)
{
    Str text = json_str_or(value, (Str){ 0 });
    Str raw = str_sub(doc->text, json_offset(doc, value) + 1, text.len);

    if (text.len == 0)
        return str_from("", 0);
    if (raw.len == text.len && memcmp(raw.data, text.data, raw.len) == 0)
        return raw;
    return parcel_copy_text(run->parcel, text);
}

static RowValue value_of(DecodeRun *run, const JsonDoc *doc, Json value)
{
    double real = 0;
    bool boolean = false;
    int64_t integer;

    switch (kind_of(doc, value)) {
    case ROW_BOOL: return json_get_bool(value, &boolean) ? row_boolean(boolean) : row_null();
    case ROW_TEXT: return row_text(text_of(run, doc, value));
    case ROW_JSON: return row_json(json_raw(doc, value));
    case ROW_REAL:
        if (json_get_real(value, &real))
            return row_real(real, json_raw(doc, value));
        return row_gap(ROW_GAP_WRONG);
    case ROW_INT:
        if (json_get_i64(value, &integer))
            return row_integer(integer);
        break;
    case ROW_ANY:
    case ROW_TIME: break;
    }
    return row_gap(ROW_GAP_NULL);
}

/* VALUE for a column of KIND; false when it is of another type. */
static bool convert(DecodeRun *run, const JsonDoc *doc, Json value, RowKind kind, RowValue *row)
{
    Decoder *decoder = run->decoder;
    int64_t integer;

    *row = value_of(run, doc, value);
    if (row->kind == ROW_ANY)
        return row->gap != ROW_GAP_WRONG;
    if (row->kind == ROW_REAL && (kind == ROW_INT || kind == ROW_TIME) &&
        json_get_i64(value, &integer))
        *row = row_integer(integer);
    if (kind == ROW_TIME)
        return row->kind != ROW_BOOL && row->kind != ROW_JSON &&
               row_cast(row, kind, decoder->unit_ns, &decoder->scratch, row) == 0;
    if (kind == ROW_JSON && row->kind != ROW_JSON)
        *row = row_json(json_raw(doc, value));
    return decode_fit(row, kind);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The columns of the members of DOC, an object, in decoder->columns; null is no reason for a new
 * one. NULL, or a code. */
static const char *find_columns(Decoder *decoder, Shape *shape, const JsonDoc *doc,
                                size_t *ret_width)
{
    decode_reserve_columns(decoder, json_len(doc->root));
    decode_begin_row(decoder);
    for (JsonIter it = json_iter(doc->root); json_next(&it);) {
        size_t *column = &decoder->columns[it.index];
        RowKind kind = kind_of(doc, it.value);
        const char *code;

        if (kind == ROW_ANY) {
            *column = shape_find(shape, it.key, *column);
            continue;
        }
        if (decode_is_time(decoder, it.key))
            kind = ROW_TIME;
        code = decode_find_column(decoder, shape, it.key, kind, *column, column);
        if (code)
            return code;
        *ret_width = MAX(*ret_width, *column + 1);
    }
    return NULL;
}

/* The values of OBJECT into ROW; what does not fit refuses it. */
static void fill(DecodeRun *run, const JsonDoc *doc, RowValue *row)
{
    const RowColumn *columns = shape_columns(run->parcel->shape);
    size_t width = run->parcel->rows.n_columns;

    for (JsonIter it = json_iter(doc->root); json_next(&it);) {
        size_t column = run->decoder->columns[it.index];
        RowValue value;

        if (column >= width)
            continue; /* null, of a column that this parcel does not have */
        if (!convert(run, doc, it.value, columns[column].kind, &value)) {
            if (columns[column].kind == ROW_TIME)
                return decode_refuse_added(run, "bad_time", DECODE_BAD_TIME);
            return decode_refuse_conflict(run, column, &value);
        }
        row[column] = value;
    }
}

static void fill_arrival(DecodeRun *run, size_t arrival, RowValue *row)
{
    if (arrival < run->parcel->rows.n_columns && row[arrival].kind == ROW_ANY)
        row[arrival] = row_time_ns(run->receipt->received_ns);
}

static SUSPENDS int add_object(DecodeRun *run, const JsonDoc *doc, const RowPlace *place)
{
    Decoder *decoder = run->decoder;
    size_t width = 0, arrival = SHAPE_NONE;
    Shape *shape = NULL;
    const char *code;
    RowValue *row;
    int r;

    if (!json_is_object(doc->root))
        return decode_refuse(run, place, "not_an_object", "a row must be an object");
    code = decode_shape(decoder, decoder->opts.table, &shape);
    if (!code)
        code = find_columns(decoder, shape, doc, &width);
    if (code)
        return decode_refuse(run, place, code, decoder->why);
    if (width == 0)
        return decode_refuse(run, place, "no_fields", "the object has no values");
    arrival = decode_arrival_column(run, shape);
    width = arrival == SHAPE_NONE ? width : MAX(width, arrival + 1);
    r = decode_add_row(run, shape, width, place, &row);
    if (r < 0)
        return r;
    fill(run, doc, row);
    fill_arrival(run, arrival, row);
    return 0;
}

static SUSPENDS int refuse_piece(DecodeRun *run, const JsonPiece *piece, const char *code,
                                 const char *words)
{
    RowPlace place = decode_place(run, piece->begin, piece->end, piece->next, piece->line);

    return decode_refuse(run, &place, code, words);
}

static SUSPENDS int add_piece(DecodeRun *run, const JsonPiece *piece)
{
    RowPlace place = decode_place(run, piece->begin, piece->end, piece->next, piece->line);
    Str text = str_sub(run->text, piece->begin, piece->end - piece->begin);
    Decoder *decoder = run->decoder;
    JsonDoc doc;
    Err err;
    int r;

    if (text.len > LIMIT_DECODE_LINE_BYTES)
        return refuse_piece(run, piece, "line_too_long", "the object is too long");
    arena_reset(&decoder->json);
    r = json_parse(&decoder->json, text, &doc);
    if (r == 0)
        return add_object(run, &doc, &place);
    err_take(r, &err);
    (void) snprintf(decoder->why, sizeof(decoder->why), "%.*s", (int) sizeof(decoder->why) - 1,
                    err.text);
    return refuse_piece(run, piece, "bad_json", decoder->why);
}

/* ---- formats --------------------------------------------------------------------------------- */

/* The element that begins at *AT, which is then on what ends it: a comma or the bracket, or the
 * next element, where a comma is forgotten. */
static JsonPiece take_element(Str text, size_t *at, uint64_t *line)
{
    JsonPiece piece = { .begin = *at, .end = find_value_end(text, *at), .line = *line };

    for (; *at < piece.end; (*at)++)
        *line += text.data[*at] == '\n';
    while (piece.end > piece.begin && is_space(text.data[piece.end - 1]))
        piece.end--;
    piece.end += piece.end == piece.begin; /* nothing between two commas: the second one */
    skip_space(text, at, line);
    piece.next = *at;
    return piece;
}

static bool is_last_refused(const DecodeRun *run)
{
    return run->parcel->fates[parcel_count(run->parcel) - 1] == FATE_DEAD;
}

/* The elements of the array whose bracket is at *AT; it is then behind it. */
static SUSPENDS int decode_array(DecodeRun *run, size_t *at, uint64_t *line)
{
    Str text = run->text;
    JsonPiece open = { .begin = *at, .end = *at + 1, .next = text.len, .line = *line };
    int r = 0;

    for ((*at)++; r == 0;) {
        JsonPiece piece;

        skip_space(text, at, line);
        if (*at >= text.len)
            break;
        if (text.data[*at] == ']') {
            (*at)++;
            return 0;
        }
        piece = take_element(text, at, line);
        if (*at < text.len && text.data[*at] == ',')
            piece.next = ++*at;
        if (piece.next == text.len && piece.begin + 1 < text.len)
            piece.next--; /* the last position is that of the missing end */
        r = add_piece(run, &piece);
        if (*at >= text.len && r == 0 && is_last_refused(run))
            return 0; /* that the end is missing has been said */
    }
    return r < 0 ? r : refuse_piece(run, &open, "bad_json", "the array is not closed");
}

SUSPENDS int decode_json(DecodeRun *run)
{
    Str text = run->text;
    size_t at = str_starts(text, str_from_c(DECODE_MARK)) ? sizeof(DECODE_MARK) - 1 : 0;
    uint64_t line = 1;
    JsonPiece rest;
    int r = 0;

    skip_space(text, &at, &line);
    if (at < text.len && text.data[at] == '[')
        r = decode_array(run, &at, &line);
    if (r < 0)
        return r;
    skip_space(text, &at, &line);
    rest = (JsonPiece){ .begin = at, .end = text.len, .next = text.len, .line = line };
    return at < text.len ? add_piece(run, &rest) : 0;
}

SUSPENDS int decode_ndjson(DecodeRun *run)
{
    Str text = run->text;
    size_t at = str_starts(text, str_from_c(DECODE_MARK)) ? sizeof(DECODE_MARK) - 1 : 0;
    int r = 0;

    for (uint64_t line = 1; at < text.len && r == 0; line++) {
        const char *feed = memchr(text.data + at, '\n', text.len - at);
        JsonPiece piece = { .begin = at, .line = line };

        piece.end = feed ? (size_t) (feed - text.data) : text.len;
        at = piece.next = piece.end + (feed != NULL);
        while (piece.begin < piece.end && is_space(text.data[piece.begin]))
            piece.begin++;
        while (piece.end > piece.begin && is_space(text.data[piece.end - 1]))
            piece.end--;
        if (piece.begin < piece.end)
            r = add_piece(run, &piece);
    }
    return r;
}
