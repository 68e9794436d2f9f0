/*
 * Decoding: bytes that a source received, turned into parcels of rows.
 *
 *   influx  line protocol: measurement, tags, fields, time
 *   json    one value: an object is a row, an array of objects are rows
 *   ndjson  one JSON object on each line
 *   csv     a head line with the names, then rows; every value is text
 *   lines   each line is a row with one column, "line"
 *   auto    by the Content-Type where there is one, else by the first byte that is no white space
 *           ('{' '[': JSON, or NDJSON when a second value follows; otherwise influx)
 *
 * A piece that is no row in its format is refused by itself, with its line and what is wrong, and
 * the rest is taken: a refused line never costs its neighbours. It is in a parcel as a dead row, so
 * that its bytes reach the dead letters.
 *
 * Columns. influx: "time" (kind TIME), "measurement" unless shapes are told apart by it, then tags
 * (text) and fields (integer, unsigned as integer where it fits, number, boolean, text). json: a
 * member is a column; strings are text, numbers REAL, booleans BOOL, objects and arrays JSON. A
 * value that does not fit its column's kind is made to fit where nothing is lost (integer into
 * number, 3.0 into integer); otherwise the row is refused: "field_type_conflict".
 *
 * Two ways to use it: decode_all for a body that is there whole, and a Decoder that is fed pieces
 * (a socket, a file that grows), which keeps what stands behind the last line end.
 *
 * csv: the first line of a body, or of a stream, has the names of the columns; a cell that is empty
 * and not in quotes is no value. A column that is declared with another kind than text gets its
 * cells cast (row_cast.h). lines: a line end is LF or CRLF.
 *
 * Nothing suspends but TAKE. A row of more than LIMIT_DECODE_LINE_BYTES is refused and skipped.
 */
#pragma once

#include "rows/parcel.h"

/* X(NAME, "word") */
#define DECODE_FORMATS(X) \
    X(AUTO, "auto")       \
    X(INFLUX, "influx")   \
    X(JSON, "json")       \
    X(NDJSON, "ndjson")   \
    X(CSV, "csv")         \
    X(LINES, "lines")

typedef enum DecodeFormat {
#define DECODE_FORMAT_ENUM_(name, word) DECODE_##name,
    DECODE_FORMATS(DECODE_FORMAT_ENUM_)
#undef DECODE_FORMAT_ENUM_
} DecodeFormat;

/* The unit of timestamps written as plain numbers. */
typedef enum TimeUnit { TIME_NS, TIME_US, TIME_MS, TIME_S, TIME_MIN, TIME_H } TimeUnit;

/* "ns" "u" "us" "ms" "s" "m" "h" as InfluxDB's precision has them. 0 or -ERR_INVALID. */
MUST int time_unit_parse(Str text, TimeUnit *ret_unit);

typedef struct DecodeOpts {
    DecodeFormat format;
    TimeUnit unit;         /* of times that are plain numbers */
    Str time_column;       /* json, csv: which member is the time (a number of UNIT, or RFC 3339);
                          empty: "time" or "timestamp" where there is one */
    Str table;             /* name of the shape; default "rows" */
    bool by_measurement;   /* influx: one shape for each measurement, without that column */
    bool has_arrival_time; /* rows without a time get the receipt's received_ns as "time" */
    char separator;        /* csv; 0: a comma */
} DecodeOpts;

/* Takes what was decoded. Consumes PARCEL on every path. May suspend: that is how a full channel
 * reaches the source. */
typedef SUSPENDS int (*DecodeTake)(void *ctx, TAKES Parcel *parcel);

typedef struct Decoder Decoder;

/* OPTS are copied, their texts too. SHAPES and POOL are borrowed. */
MUST Decoder *decoder_new(Shapes *shapes, ParcelPool *pool, const DecodeOpts *opts);
void decoder_free(Decoder *decoder);
DEFINE_AUTO(Decoder *, decoder_free);

/*
 * Decode all of PAYLOAD, which is whole. Rows go to TAKE in parcels of RECEIPT, in order. BASE is
 * the position of the payload's first byte on its track (rows get BASE + their end); BASE_LINE the
 * number of lines before it. 0, or what TAKE returned. Refused pieces are no error. SUSPENDS only
 * in TAKE.
 */
MUST SUSPENDS int decode_all(Decoder *decoder, Payload *payload, Receipt *receipt, uint64_t base,
                             uint64_t base_line, DecodeTake take, void *ctx);

/*
 * How many bytes of a piece of a stream are whole rows: up to and with the last line end that ends
 * a row (line protocol, CSV: one outside quotes). 0: none yet. With IS_LAST everything counts. Call
 * it with what has gathered; decode_all takes the bytes it counted, at once, and what is behind
 * stays with the caller, who calls again when more has come behind it. A row that grows beyond
 * LIMIT_DECODE_LINE_BYTES counts as whole, is refused, and what is still to come of it is skipped.
 * The decoder remembers where it stands: one for each stream.
 */
size_t decoder_whole_bytes(Decoder *decoder, Str piece, bool is_last);

/* Begin another stream, such as the next file of a rotation: nothing is known of it. */
void decoder_reset(Decoder *decoder);

/* The names of the columns of a stream of CSV that is not read from its beginning: LINE is its
 * first one. */
void decoder_put_head(Decoder *decoder, Str line);

/* What comes begins within a row that was refused for its length: it is passed over to its end. */
void decoder_skip_row(Decoder *decoder);

/* The format that a Content-Type says: "application/json", "application/x-ndjson", "text/csv",
 * with or without parameters; DECODE_AUTO for any other. */
DecodeFormat decode_format_of_media(Str content_type);

/* The refusals' codes are those of codec/line_protocol.h and codec/csv_read.h, and:
 * "field_type_conflict", "duplicate_key", "unknown_column" (the shape takes no further ones),
 * "too_many_columns", "too_many_tables", "time_out_of_range", "bad_time", "bad_json", "not_an_object",
 * "no_fields", "no_head", "bad_name", "too_many_cells", "bad_utf8", "line_too_long". */

/*
 * The bytes of a body whose Content-Encoding is ENCODING ("gzip", "deflate", "identity", empty):
 * appended to OUT, at most MAX bytes and LIMIT_DECODE_RATIO for each byte of BODY. 0;
 * -ERR_TOO_LARGE; -ERR_INVALID for damaged or cut data; -ERR_UNSUPPORTED for another encoding.
 */
MUST int decode_encoding(Str body, Str encoding, size_t max, Buf *out);
