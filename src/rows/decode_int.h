/*
 * Decoding, the part that only its own files see: the decoder, one call of it, and how a format
 * puts rows into parcels.
 *
 * A format's file has one function, decode_FORMAT(run): it goes through run->text, and for each
 * piece either finds the columns of its shape, asks decode_add_row for a row that has them and
 * fills it in, or calls decode_refuse.
 */
#pragma once

#include "base/limits.h"
#include "codec/csv_read.h"
#include "codec/line_protocol.h"
#include "rows/decode.h"

/* The name of the time's column where the data has none of its own. */
#define DECODE_TIME "time"

typedef struct InfluxPlans InfluxPlans;

struct Decoder {
    Shapes *shapes;
    ParcelPool *pool;
    DecodeOpts opts; /* texts are in `texts` */
    Arena texts;
    int64_t unit_ns;
    Shape *refused; /* for rows that are refused before there is a shape; owned, NULL at first */

    /* Columns of the row at hand, item by item, and which have a value already. */
    size_t *columns; /* owned */
    size_t cap_columns;
    uint32_t marks[LIMIT_SHAPE_COLUMNS]; /* the turn in which the column was marked */
    uint32_t turn;

    /* A stream. */
    DecodeFormat format; /* that AUTO has been found to be */
    bool is_stream;      /* decoder_whole_bytes is used */
    bool is_cut;         /* what decode_all is given next is the beginning of a row too long */
    bool is_skipping;    /* the rest of a row too long is still to come */
    LineScan line_scan;
    CsvScan csv_scan;
    size_t scanned; /* of a format whose rows end at line feeds */
    size_t seen;    /* bytes of the piece, the last time */

    /* Formats. */
    LineReader lines;
    InfluxPlans *plans; /* owned */
    CsvReader csv;
    Str *head; /* names of the columns of CSV, in head_texts; owned array */
    size_t n_head;
    bool is_headless; /* the first line of CSV was none: there are no names */
    Arena head_texts;
    Arena json;  /* of one row's tree */
    Buf scratch; /* of one value */

    char why[REFUSAL_TEXT_BYTES]; /* words for the code that a function has returned */
};

/* Parcels that are filled at once, where rows need not keep their order across shapes. */
#define DECODE_PARCELS_MAX 16

/* One call of decode_all. */
typedef struct DecodeRun {
    Decoder *decoder;
    Payload *payload;
    Receipt *receipt;
    Str text;           /* of the payload, what is to be decoded */
    size_t begin;       /* of `text` in the payload */
    uint64_t base;      /* of the payload's first byte on its track */
    uint64_t base_line; /* lines before `text` */
    bool has_positions; /* rows have them: parcels are handed on in their order */
    SUSPENDS int (*take)(void *ctx, TAKES Parcel *parcel);
    void *ctx;
    Parcel *parcel;                      /* that the last row is in; NULL: none */
    Parcel *parcels[DECODE_PARCELS_MAX]; /* being filled, oldest first; `parcel` is one of them */
    size_t n_parcels;
} DecodeRun;

/* Where the bytes from BEGIN to END of the text stand, LINE in it counted from 1; the next row
 * begins at NEXT. */
RowPlace decode_place(const DecodeRun *run, size_t begin, size_t end, size_t next, uint64_t line);

/* A row of SHAPE of at least WIDTH columns, all null; *RET_ROW until the next is asked for. */
MUST SUSPENDS int decode_add_row(DecodeRun *run, Shape *shape, size_t width, const RowPlace *place,
                                 RowValue **ret_row);

/* A row that is none: it is refused with CODE and the words. */
MUST SUSPENDS int decode_refuse(DecodeRun *run, const RowPlace *place, const char *code,
                                const char *words);

/* Refuse the row that was added last. */
void decode_refuse_added(DecodeRun *run, const char *code, const char *words);

/*
 * Columns. decode_begin_row forgets the marks. decode_find_column gives the column NAME of SHAPE,
 * made with KIND when it is new, and marks it; GUESS as for shape_find. NULL; or the code of why
 * there is none, with words in decoder->why.
 */
void decode_begin_row(Decoder *decoder);
const char *decode_find_column(Decoder *decoder, Shape *shape, Str name, RowKind kind, size_t guess,
                               size_t *ret_column);

/* Room for the columns of N items in decoder->columns; what is new is 0. */
void decode_reserve_columns(Decoder *decoder, size_t n);

/* The shape that rows go into which are not told apart. NULL and the code, as above. */
const char *decode_shape(Decoder *decoder, Str name, Shape **ret_shape);

#define DECODE_MARK     "\xef\xbb\xbf" /* of UTF-8, which may begin a text */
#define DECODE_BAD_TIME "the time is no number and no RFC 3339, or outside the years 1677 to 2262"

/* Whether INTEGER is one of those of which a double is sure to have every one. */
bool decode_is_exact(int64_t integer);

/* VALUE made to fit KIND where nothing is lost; false: it is of another type. */
bool decode_fit(RowValue *value, RowKind kind);

/* Refuse the row that was added last, whose column has another kind than VALUE. */
void decode_refuse_conflict(DecodeRun *run, size_t column, const RowValue *value);

/* The column for the time of arrival in SHAPE, made when it is new; SHAPE_NONE: none is wanted, or
 * there is no room for it. */
size_t decode_arrival_column(const DecodeRun *run, Shape *shape);

/* Whether NAME is that of the time, for formats in which any member may be it. */
bool decode_is_time(const Decoder *decoder, Str name);

/* What TEXT is by its first byte; AUTO: there is none that tells. In a stream another value may
 * come behind the first one at any time. */
DecodeFormat decode_sniff(Str text, bool is_stream);

/* Pass over what the run's text has of a row that is too long. */
void decode_skip_long_row(DecodeRun *run);

/* The formats. */
MUST SUSPENDS int decode_influx(DecodeRun *run);
MUST SUSPENDS int decode_json(DecodeRun *run);
MUST SUSPENDS int decode_ndjson(DecodeRun *run);
MUST SUSPENDS int decode_csv(DecodeRun *run);
MUST SUSPENDS int decode_lines(DecodeRun *run);

void influx_plans_free(InfluxPlans *plans); /* NULL is nothing */

/* RECORD, the first one of CSV, names the columns. */
void decode_csv_take_head(Decoder *decoder, const CsvRecord *record);

/* Whether what follows the first value of TEXT, which begins with { or [, is another value. */
bool decode_json_is_several(Str text);
