/*
 * Decoding: what all formats share. The decoder, parcels, columns, and where rows of a stream end.
 *
 *   decode_all --> decode_FORMAT --row by row--> decode_add_row --full, other shape, wider--> take
 *                                '-------------> decode_refuse
 *
 * A parcel has rows of one shape, as wide as the shape was when it was begun; a row that brings a
 * new column closes it and begins a wider one. A refused piece is a row of the parcel at hand,
 * whatever its shape is, because only its bytes count; where none is begun, of the shape that was
 * used last.
 */
#include "rows/decode_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>

#define DEFAULT_TABLE  "rows"
#define EXACT_INTEGERS (INT64_C(1) << 53) /* doubles have every whole number up to here */

/* ---- units and formats ----------------------------------------------------------------------- */

int time_unit_parse(Str text, TimeUnit *ret_unit)
{
    static const struct {
        const char *word;
        TimeUnit unit;
    } words[] = {
        { "ns", TIME_NS },        { "n", TIME_NS },        { "us", TIME_US }, { "u", TIME_US },
        { "\xc2\xb5s", TIME_US }, { "\xc2\xb5", TIME_US }, { "ms", TIME_MS }, { "s", TIME_S },
        { "m", TIME_MIN },        { "h", TIME_H },
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq_c(text, words[i].word)) {
            *ret_unit = words[i].unit;
            return 0;
        }
    }
    return fail(-ERR_INVALID, "\"%.*s\" is no precision: ns, us, ms, s, m or h", (int) text.len,
                text.data);
}

static int64_t unit_ns(TimeUnit unit)
{
    switch (unit) {
    case TIME_NS: return 1;
    case TIME_US: return NS_PER_US;
    case TIME_MS: return NS_PER_MS;
    case TIME_S: return NS_PER_S;
    case TIME_MIN: return 60 * NS_PER_S;
    case TIME_H: return 3600 * NS_PER_S;
    }
    UNREACHABLE("a unit of times");
}

DecodeFormat decode_format_of_media(Str content_type)
{
    static const struct {
        const char *media;
        DecodeFormat format;
    } known[] = {
        { "application/json", DECODE_JSON },        { "application/x-ndjson", DECODE_NDJSON },
        { "application/ndjson", DECODE_NDJSON },    { "application/jsonl", DECODE_NDJSON },
        { "application/x-jsonl", DECODE_NDJSON },   { "application/json-seq", DECODE_NDJSON },
        { "application/jsonlines", DECODE_NDJSON }, { "text/csv", DECODE_CSV },
    };
    Str rest, media = str_trim(str_cut(content_type, ';', &rest));

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq_nocase(media, str_from_c(known[i].media)))
            return known[i].format;
    return DECODE_AUTO;
}

/* ---- life ------------------------------------------------------------------------------------ */

Decoder *decoder_new(Shapes *shapes, ParcelPool *pool, const DecodeOpts *opts)
{
    Decoder *decoder = mem_new(Decoder);
    Str table = opts->table.len > 0 ? opts->table : str_from_c(DEFAULT_TABLE);

    decoder->shapes = shapes;
    decoder->pool = pool;
    decoder->opts = *opts;
    decoder->opts.table = arena_copy(&decoder->texts, table);
    decoder->opts.time_column = arena_copy(&decoder->texts, opts->time_column);
    decoder->unit_ns = unit_ns(opts->unit);
    line_reader_init(&decoder->lines);
    decoder->lines.line_bytes_max = LIMIT_DECODE_LINE_BYTES;
    csv_reader_init(&decoder->csv, opts->separator);
    decoder->csv.line_bytes_max = LIMIT_DECODE_LINE_BYTES;
    arena_init(&decoder->json, 0);
    return decoder;
}

void decoder_free(Decoder *decoder)
{
    if (!decoder)
        return;
    shape_unref(decoder->refused);
    line_reader_deinit(&decoder->lines);
    csv_reader_deinit(&decoder->csv);
    influx_plans_free(decoder->plans);
    arena_deinit(&decoder->texts);
    arena_deinit(&decoder->head_texts);
    arena_deinit(&decoder->json);
    buf_deinit(&decoder->scratch);
    mem_free(decoder->columns);
    mem_free(decoder->head);
    mem_free(decoder);
}

/* ---- rows ------------------------------------------------------------------------------------ */

RowPlace decode_place(const DecodeRun *run, size_t begin, size_t end, size_t next, uint64_t line)
{
    size_t len = MIN(end - begin, (size_t) LIMIT_DECODE_LINE_BYTES);

    return (RowPlace){ .position = run->has_positions ? run->base + run->begin + next : 0,
                       .line = run->base_line + line,
                       .offset = (uint32_t) (run->begin + begin),
                       .len = (uint32_t) len };
}

/* Hand on the oldest parcel. */
static SUSPENDS int flush_oldest(DecodeRun *run)
{
    Parcel *parcel = run->parcels[0];

    run->n_parcels--;
    for (size_t i = 0; i < run->n_parcels; i++)
        run->parcels[i] = run->parcels[i + 1];
    if (run->parcel == parcel)
        run->parcel = NULL;
    return run->take(run->ctx, parcel);
}

static SUSPENDS int flush_all(DecodeRun *run)
{
    int r = 0;

    while (run->n_parcels > 0 && r == 0)
        r = flush_oldest(run);
    return r;
}

/* The parcel for rows of SHAPE that is being filled becomes the one at hand. */
static bool choose_parcel(DecodeRun *run, const Shape *shape)
{
    for (size_t i = 0; i < run->n_parcels; i++) {
        if (run->parcels[i]->shape == shape) {
            run->parcel = run->parcels[i];
            return true;
        }
    }
    return false;
}

/* Room for one more parcel: what is full or too narrow goes, and what came before it. */
static SUSPENDS int make_room(DecodeRun *run, const Shape *shape)
{
    int r = 0;

    while (r == 0 && choose_parcel(run, shape))
        r = flush_oldest(run);
    while (r == 0 && run->n_parcels >= (run->has_positions ? 1 : DECODE_PARCELS_MAX))
        r = flush_oldest(run);
    return r;
}

SUSPENDS int decode_add_row(DecodeRun *run, Shape *shape, size_t width, const RowPlace *place,
                            RowValue **ret_row)
{
    Parcel *parcel;
    int r;

    if (LIKELY((run->parcel && run->parcel->shape == shape) || choose_parcel(run, shape))) {
        parcel = run->parcel;
        if (LIKELY(parcel->rows.n_columns >= width)) {
            *ret_row = parcel_add(parcel, place);
            if (LIKELY(*ret_row))
                return 0;
        }
    }
    r = make_room(run, shape);
    if (r < 0)
        return r;
    parcel = parcel_new(run->decoder->pool, shape, run->receipt, run->payload);
    run->parcel = run->parcels[run->n_parcels++] = parcel;
    *ret_row = parcel_add(parcel, place);
    ASSERT(*ret_row && parcel->rows.n_columns >= width);
    return 0;
}

/* A shape for what is refused before any row was taken. */
static Shape *shape_of_refused(Decoder *decoder)
{
    size_t column;
    int r;

    if (!decoder->refused) {
        decoder->refused = shape_new(decoder->opts.table, 1);
        r = shape_add(decoder->refused, str_from_c("line"), ROW_TEXT, (Str){ 0 }, &column);
        ASSERT(r == 0);
    }
    return decoder->refused;
}

void decode_refuse_added(DecodeRun *run, const char *code, const char *words)
{
    parcel_refuse(run->parcel, parcel_count(run->parcel) - 1, "parse", code, "%s", words);
}

SUSPENDS int decode_refuse(DecodeRun *run, const RowPlace *place, const char *code,
                           const char *words)
{
    Shape *shape = run->parcel ? run->parcel->shape : shape_of_refused(run->decoder);
    RowValue *row;
    int r;

    if (words != run->decoder->why)
        (void) snprintf(run->decoder->why, sizeof(run->decoder->why), "%s", words);
    r = decode_add_row(run, shape, 1, place, &row);
    if (r == 0)
        decode_refuse_added(run, code, run->decoder->why);
    return r;
}

/* ---- columns and values ---------------------------------------------------------------------- */

void decode_begin_row(Decoder *decoder)
{
    if (++decoder->turn > 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(decoder->marks); i++)
        decoder->marks[i] = 0;
    decoder->turn = 1;
}

void decode_reserve_columns(Decoder *decoder, size_t n)
{
    size_t cap = MAX(2 * decoder->cap_columns, n);

    if (n <= decoder->cap_columns)
        return;
    decoder->columns = mem_resize_array(decoder->columns, cap, sizeof(decoder->columns[0]));
    for (size_t i = decoder->cap_columns; i < cap; i++)
        decoder->columns[i] = 0;
    decoder->cap_columns = cap;
}

/* R, an error, ends here: its words are for the refusal. */
static const char *explain(Decoder *decoder, int r, const char *code)
{
    Err err;

    err_take(r, &err);
    (void) snprintf(decoder->why, sizeof(decoder->why), "%.*s", (int) sizeof(decoder->why) - 1,
                    err.text);
    return code;
}

static const char *explain_name(Decoder *decoder, Str name, const char *code, const char *what)
{
    (void) snprintf(decoder->why, sizeof(decoder->why), "%.*s: %s",
                    (int) MIN(name.len, (size_t) 80), name.data, what);
    return code;
}

const char *decode_find_column(Decoder *decoder, Shape *shape, Str name, RowKind kind, size_t guess,
                               size_t *ret_column)
{
    size_t column = shape_find(shape, name, guess);
    int r;

    if (column == SHAPE_NONE) {
        if (name.len == 0 || memchr(name.data, 0, name.len) || !str_is_utf8(name))
            return explain_name(decoder, str_from_c("a name"), "bad_name",
                                "empty, with a NUL byte, or not UTF-8");
        r = shape_add(shape, name, kind, (Str){ 0 }, &column);
        if (r < 0)
            return explain(decoder, r,
                           shape_is_sealed(shape) ? "unknown_column" : "too_many_columns");
    }
    if (decoder->marks[column] == decoder->turn)
        return explain_name(decoder, name, "duplicate_key", "this name is there twice");
    decoder->marks[column] = decoder->turn;
    *ret_column = column;
    return NULL;
}

const char *decode_shape(Decoder *decoder, Str name, Shape **ret_shape)
{
    int r = shapes_get(decoder->shapes, name, ret_shape);

    return r < 0 ? explain(decoder, r, "too_many_tables") : NULL;
}

bool decode_is_exact(int64_t integer)
{
    return integer <= EXACT_INTEGERS && integer >= -EXACT_INTEGERS;
}

/* Whether INTEGER becomes itself when it has been a double. */
static bool fits_real(int64_t integer)
{
    double real = (double) integer;

    return decode_is_exact(integer) || (real < 0x1p63 && (int64_t) real == integer);
}

bool decode_fit(RowValue *value, RowKind kind)
{
    double real = value->real;

    if (value->kind == kind || value->kind == ROW_ANY || kind == ROW_ANY)
        return true;
    if (value->kind == ROW_INT && kind == ROW_REAL && fits_real(value->integer)) {
        *value = row_real((double) value->integer, (Str){ 0 });
        return true;
    }
    if (value->kind == ROW_REAL && kind == ROW_INT && real == floor(real) &&
        fabs(real) <= (double) EXACT_INTEGERS) {
        *value = row_integer((int64_t) real);
        return true;
    }
    return false;
}

bool decode_is_time(const Decoder *decoder, Str name)
{
    if (decoder->opts.time_column.len > 0)
        return str_eq(name, decoder->opts.time_column);
    return str_eq_c(name, DECODE_TIME) || str_eq_c(name, "timestamp");
}

void decode_refuse_conflict(DecodeRun *run, size_t column, const RowValue *value)
{
    const RowColumn *known = &shape_columns(run->parcel->shape)[column];
    Decoder *decoder = run->decoder;

    (void) snprintf(decoder->why, sizeof(decoder->why), "%.*s is %s, and here it is %s",
                    (int) MIN(known->name.len, (size_t) 80), known->name.data,
                    row_kind_name(known->kind), row_kind_name(value->kind));
    decode_refuse_added(run, "field_type_conflict", decoder->why);
}

size_t decode_arrival_column(const DecodeRun *run, Shape *shape)
{
    const DecodeOpts *opts = &run->decoder->opts;
    Str name = opts->time_column.len > 0 ? opts->time_column : str_from_c(DECODE_TIME);
    size_t column;
    Err err;
    int r = 0;

    if (!opts->has_arrival_time || !run->receipt)
        return SHAPE_NONE;
    column = shape_find(shape, name, 0);
    if (column == SHAPE_NONE)
        r = shape_add(shape, name, ROW_TIME, (Str){ 0 }, &column);
    if (r < 0) {
        err_take(r, &err);
        return SHAPE_NONE;
    }
    return shape_columns(shape)[column].kind == ROW_TIME ? column : SHAPE_NONE;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static SUSPENDS int decode_as(DecodeRun *run, DecodeFormat format)
{
    run->payload->format = (uint8_t) format;
    switch (format) {
    case DECODE_AUTO: return 0; /* nothing but white space */
    case DECODE_INFLUX: return decode_influx(run);
    case DECODE_JSON: return decode_json(run);
    case DECODE_NDJSON: return decode_ndjson(run);
    case DECODE_CSV: return decode_csv(run);
    case DECODE_LINES: return decode_lines(run);
    }
    UNREACHABLE("a format");
}

static SUSPENDS int decode_run(DecodeRun *run)
{
    Decoder *decoder = run->decoder;
    DecodeFormat format = decoder->opts.format;

    if (decoder->is_stream && decoder->format != DECODE_AUTO)
        format = decoder->format;
    if (decoder->is_skipping)
        decode_skip_long_row(run);
    if (decoder->is_cut) {
        RowPlace place = decode_place(run, 0, run->text.len, run->text.len, 1);

        decoder->is_cut = false;
        decoder->is_skipping = true;
        return decode_refuse(run, &place, "line_too_long", "the line is too long");
    }
    if (run->text.len == 0)
        return 0;
    return decode_as(run, format != DECODE_AUTO ? format : decode_sniff(run->text, false));
}

SUSPENDS int decode_all(Decoder *decoder, Payload *payload, Receipt *receipt, uint64_t base,
                        uint64_t base_line, DecodeTake take, void *ctx)
{
    DecodeRun run = { .decoder = decoder,
                      .payload = payload,
                      .receipt = receipt,
                      .text = buf_str(&payload->bytes),
                      .base = base,
                      .base_line = base_line,
                      .has_positions = receipt && receipt->track.len > 0,
                      .take = take,
                      .ctx = ctx };
    int r;

    ASSERT(payload->bytes.len <= UINT32_MAX);
    r = decode_run(&run);
    if (r == 0)
        r = flush_all(&run);
    for (size_t i = 0; i < run.n_parcels; i++)
        parcel_free(decoder->pool, run.parcels[i]);
    return r;
}
