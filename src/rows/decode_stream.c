/*
 * Decoding: streams. What a stream's first byte says, where its rows end, and what becomes of a row
 * that is longer than rows may be.
 *
 * A row too long is cut off where it stands when it has passed the limit, and refused with what is
 * there of it; decode_all then passes over everything up to the next line feed, in as many pieces
 * as that takes. Where such a row holds line feeds, behind a quote that nobody has closed, the
 * reader finds its way by itself from the first of them.
 */
#include "rows/decode_int.h"

#include "base/assert.h"

/* ---- formats by their first byte ------------------------------------------------------------- */

DecodeFormat decode_sniff(Str text, bool is_stream)
{
    Str rest = text;

    if (str_starts(rest, str_from_c("\xef\xbb\xbf")))
        rest = str_sub(rest, 3, rest.len);
    rest = str_trim(rest);
    if (rest.len == 0)
        return DECODE_AUTO;
    if (rest.data[0] != '{' && rest.data[0] != '[')
        return DECODE_INFLUX;
    if (rest.data[0] == '{' && is_stream)
        return DECODE_NDJSON;
    return decode_json_is_several(rest) ? DECODE_NDJSON : DECODE_JSON;
}

/* ---- where a stream stands ------------------------------------------------------------------- */

/* What comes next begins where a row does. */
static void scan_anew(Decoder *decoder)
{
    decoder->line_scan = (LineScan){ 0 };
    decoder->csv_scan = (CsvScan){ 0 };
    decoder->scanned = 0;
    decoder->seen = 0;
}

void decoder_reset(Decoder *decoder)
{
    scan_anew(decoder);
    decoder->format = DECODE_AUTO;
    decoder->is_stream = decoder->is_cut = decoder->is_skipping = false;
    decoder->n_head = 0;
    decoder->is_headless = false;
}

void decoder_put_head(Decoder *decoder, Str line)
{
    CsvRecord record;

    csv_reader_begin(&decoder->csv, line, 1);
    if (csv_reader_next(&decoder->csv, &record) == 0)
        decode_csv_take_head(decoder, &record);
    decoder->is_stream = true;
}

void decoder_skip_row(Decoder *decoder)
{
    decoder->is_stream = true;
    decoder->is_skipping = true;
}

/* ---- where rows end -------------------------------------------------------------------------- */

/* Up to and with the last line feed of PIECE; only what is new is looked at. */
static size_t scan_feeds(Decoder *decoder, Str piece)
{
    size_t left = piece.len - decoder->scanned;
    const char *feed = left > 0 ? memrchr(piece.data + decoder->scanned, '\n', left) : NULL;

    decoder->scanned = piece.len;
    return feed ? (size_t) (feed - piece.data) + 1 : 0;
}

static size_t scan_rows(Decoder *decoder, Str piece)
{
    switch (decoder->format) {
    case DECODE_AUTO: return 0;
    case DECODE_JSON: return piece.len > LIMIT_DECODE_JSON_BYTES ? piece.len : 0;
    case DECODE_INFLUX: return line_scan_whole(&decoder->line_scan, piece);
    case DECODE_CSV: return csv_scan_whole(&decoder->csv_scan, piece, decoder->opts.separator);
    case DECODE_NDJSON:
    case DECODE_LINES: return scan_feeds(decoder, piece);
    }
    UNREACHABLE("a format");
}

/* PIECE, longer than a row may be, has no whole one: what of it decode_all shall be given. The
 * reader finds its way from a line feed on; without one it is all a part of one row. */
static size_t scan_too_long(Decoder *decoder, Str piece)
{
    const char *feed = memrchr(piece.data, '\n', piece.len);

    decoder->is_cut = feed == NULL;
    return feed ? (size_t) (feed - piece.data) + 1 : piece.len;
}

/* Behind the first line feed of PIECE, or all of it. */
static size_t behind_feed(Str piece)
{
    const char *feed = piece.len > 0 ? memchr(piece.data, '\n', piece.len) : NULL;

    return feed ? (size_t) (feed - piece.data) + 1 : piece.len;
}

size_t decoder_whole_bytes(Decoder *decoder, Str piece, bool is_last)
{
    size_t whole, begin = 0; /* behind what is skipped */
    Str rest;

    if (piece.len < decoder->seen)
        scan_anew(decoder); /* it is another one: the caller has thrown the last away */
    decoder->is_stream = true;
    if (decoder->format == DECODE_AUTO)
        decoder->format = decoder->opts.format != DECODE_AUTO ? decoder->opts.format
                                                              : decode_sniff(piece, !is_last);
    if (decoder->is_skipping)
        begin = behind_feed(piece);
    rest = str_sub(piece, begin, piece.len);
    whole = is_last ? rest.len : scan_rows(decoder, rest);
    if (whole == 0 && rest.len > LIMIT_DECODE_LINE_BYTES && decoder->format != DECODE_JSON)
        whole = scan_too_long(decoder, rest);
    whole += begin;
    decoder->seen = piece.len;
    if (whole > 0)
        scan_anew(decoder);
    return whole;
}

/* The rest of a row that is too long: what of it is in the run's text is passed over. */
void decode_skip_long_row(DecodeRun *run)
{
    size_t len = behind_feed(run->text);
    bool is_behind = len > 0 && run->text.data[len - 1] == '\n';

    run->decoder->is_skipping = !is_behind;
    run->text = str_sub(run->text, len, run->text.len);
    run->begin += len;
    run->base_line += is_behind;
}
