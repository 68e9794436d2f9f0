/*
 * Line protocol: reading.
 *
 * The scan looks at 64 bytes at once and keeps a bit for each byte that may end a name ("stops"),
 * or that counts inside a string ("quotes"); the reader jumps from bit to bit. So most bytes are
 * looked at once, sixteen a step, and what is left to do is proportional to the number of tags and
 * fields.
 *
 *   cpu,host=a,region=eu usage=1.5 1600000000
 *   ...|....|.|......|..|.....|...|..........|      stops
 *
 * The block at hand is part of the reader. Behind the input everything reads as line feeds, so that
 * a bit is always found; whoever finds one at or behind the end is at the end.
 *
 * UTF-8 is checked for a line as a whole, and only where the scan has seen a byte that is no ASCII:
 * all that parts a line is ASCII, so the line is valid if and only if its pieces are.
 */
#include "codec/line_protocol_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK_BYTES 64
#define FIRST_ITEMS 32

/* ---- the scan -------------------------------------------------------------------------------- */

#ifdef __SSE2__

static inline uint64_t mask_of(__m128i bytes)
{
    return (uint64_t) (unsigned) _mm_movemask_epi8(bytes);
}

static inline void scan_block(const char *from, LineBlock *block)
{
    const __m128i space = _mm_set1_epi8(' '), comma = _mm_set1_epi8(',');
    const __m128i equals = _mm_set1_epi8('='), backslash = _mm_set1_epi8('\\');
    const __m128i del = _mm_set1_epi8(0x7f), quote = _mm_set1_epi8('"');
    const __m128i feed = _mm_set1_epi8('\n');
    uint64_t stops = 0, quotes = 0, high = 0;

    for (unsigned i = 0; i < BLOCK_BYTES; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *) (const void *) (from + i));
        __m128i escape = _mm_cmpeq_epi8(v, backslash);
        __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(v, space), v), escape);

        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, comma));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, equals));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, del));
        escape = _mm_or_si128(escape, _mm_cmpeq_epi8(v, quote));
        escape = _mm_or_si128(escape, _mm_cmpeq_epi8(v, feed));
        stops |= mask_of(stop) << i;
        quotes |= mask_of(escape) << i;
        high |= mask_of(v) << i;
    }
    *block = (LineBlock){ stops, quotes, high };
}

#else

static inline void scan_block(const char *from, LineBlock *block)
{
    uint64_t stops = 0, quotes = 0, high = 0;

    for (unsigned i = 0; i < BLOCK_BYTES; i++) {
        unsigned char c = (unsigned char) from[i];

        stops |= (uint64_t) (c <= ' ' || c == ',' || c == '=' || c == '\\' || c == 0x7f) << i;
        quotes |= (uint64_t) (c == '"' || c == '\\' || c == '\n') << i;
        high |= (uint64_t) (c >> 7) << i;
    }
    *block = (LineBlock){ stops, quotes, high };
}

#endif

static void load_block(LineReader *reader, size_t at)
{
    size_t left = reader->text.len - at;

    if (LIKELY(left >= BLOCK_BYTES)) {
        scan_block(reader->text.data + at, &reader->block);
    } else {
        char padded[BLOCK_BYTES];

        memset(padded, '\n', sizeof(padded));
        if (left > 0)
            memcpy(padded, reader->text.data + at, left);
        scan_block(padded, &reader->block);
    }
    reader->block_at = at;
    reader->has_high |= reader->block.high != 0;
}

/* Where the first stop is, from FROM on; the text's end is one. */
static inline size_t next_stop(LineReader *reader, size_t from)
{
    size_t at = from & ~(size_t) (BLOCK_BYTES - 1);
    uint64_t bits;

    if (at != reader->block_at)
        load_block(reader, at);
    bits = reader->block.stops & (UINT64_MAX << (from & (BLOCK_BYTES - 1)));
    while (UNLIKELY(bits == 0)) {
        at += BLOCK_BYTES;
        load_block(reader, at);
        bits = reader->block.stops;
    }
    return at + (size_t) __builtin_ctzll(bits);
}

/* The same for what counts in a string. */
static inline size_t next_quote(LineReader *reader, size_t from)
{
    size_t at = from & ~(size_t) (BLOCK_BYTES - 1);
    uint64_t bits;

    if (at != reader->block_at)
        load_block(reader, at);
    bits = reader->block.quotes & (UINT64_MAX << (from & (BLOCK_BYTES - 1)));
    while (UNLIKELY(bits == 0)) {
        at += BLOCK_BYTES;
        load_block(reader, at);
        bits = reader->block.quotes;
    }
    return at + (size_t) __builtin_ctzll(bits);
}

/* The byte at AT; behind the end all is line feeds. */
static inline char byte_at(const LineReader *reader, size_t at)
{
    return LIKELY(at < reader->text.len) ? reader->text.data[at] : '\n';
}

static inline Str slice(const LineReader *reader, size_t from, size_t to)
{
    return str_from(reader->text.data + from, to - from);
}

/* ---- faults ---------------------------------------------------------------------------------- */

COLD static bool set_fault(LineReader *reader, LineFault fault, size_t at)
{
    reader->fault = fault;
    reader->fault_at = at;
    reader->resume_at = at;
    return false;
}

/* One of a string, whose opening quote may be the mistake: the line ends as if there were none. */
COLD static bool set_string_fault(LineReader *reader, LineFault fault, size_t at, size_t quote_at)
{
    set_fault(reader, fault, at);
    reader->resume_at = quote_at;
    return false;
}

/* FAULT at the stop AT, unless what stands there is a mistake by itself. */
COLD static bool set_stop_fault(LineReader *reader, LineFault fault, size_t at)
{
    char c = byte_at(reader, at);
    bool is_control = c != ' ' && c != ',' && c != '=' && c != '\\' && c != '\n' && c != '\r';

    return set_fault(reader, is_control ? LINE_FAULT_CONTROL : fault, at);
}

/* ---- the parts of a line: each returns false with a fault ------------------------------------ */

/* A name from FROM up to the stop that ends it, which is returned. */
static inline size_t take_name(LineReader *reader, size_t from, bool *ret_is_escaped)
{
    size_t at = next_stop(reader, from);

    while (UNLIKELY(byte_at(reader, at) == '\\')) {
        char next = byte_at(reader, at + 1);
        bool is_escape = next == ',' || next == '=' || next == ' ';

        *ret_is_escaped |= is_escape;
        at = next_stop(reader, at + 1 + is_escape);
    }
    return at;
}

static inline LineItem *add_item(LineReader *reader)
{
    if (UNLIKELY(reader->n_items == reader->cap_items)) {
        if (reader->cap_items >= LIMIT_LINE_ITEMS)
            return NULL;
        reader->cap_items = MIN(MAX(2 * reader->cap_items, (size_t) FIRST_ITEMS),
                                (size_t) LIMIT_LINE_ITEMS);
        reader->items = mem_resize_array(reader->items, reader->cap_items, sizeof(LineItem));
    }
    return &reader->items[reader->n_items++];
}

/* The measurement, in which an equals sign is nothing special. */
static bool read_measurement(LineReader *reader, LinePoint *point, size_t *at)
{
    size_t from = *at, end = next_stop(reader, from);
    char c = byte_at(reader, end);

    while (UNLIKELY(c == '=' || c == '\\')) {
        char next = byte_at(reader, end + 1);
        bool is_escape = c == '\\' && (next == ',' || next == ' ');

        point->is_measurement_escaped |= is_escape;
        end = next_stop(reader, end + 1 + is_escape);
        c = byte_at(reader, end);
    }
    if (end == from)
        return set_stop_fault(reader, LINE_FAULT_NO_MEASUREMENT, end);
    if (c != ',' && c != ' ')
        return set_stop_fault(reader, LINE_FAULT_NO_FIELDS, end);
    point->measurement = slice(reader, from, end);
    *at = end;
    return true;
}

/* The tags; *AT is on the comma before the first one, then on the space behind the last one. */
static bool read_tags(LineReader *reader, size_t *at)
{
    size_t end = *at;

    while (byte_at(reader, end) == ',') {
        size_t from = end + 1, equals;
        LineItem *item = add_item(reader);

        if (!item)
            return set_fault(reader, LINE_FAULT_TOO_MANY, from);
        *item = (LineItem){ .kind = LINE_TAG };
        equals = take_name(reader, from, &item->is_key_escaped);
        if (equals == from || byte_at(reader, equals) != '=')
            return set_stop_fault(reader, LINE_FAULT_BAD_TAG, equals);
        end = take_name(reader, equals + 1, &item->is_text_escaped);
        if (end == equals + 1)
            return set_stop_fault(reader, LINE_FAULT_NO_TAG_VALUE, end);
        item->key = slice(reader, from, equals);
        item->text = slice(reader, equals + 1, end);
    }
    *at = end;
    if (byte_at(reader, end) == '=')
        return set_fault(reader, LINE_FAULT_BAD_TAG, end);
    if (byte_at(reader, end) != ' ')
        return set_stop_fault(reader, LINE_FAULT_NO_FIELDS, end);
    return true;
}

/* A string; *AT is on its opening quote, then behind its closing one. */
static bool read_string(LineReader *reader, LineItem *item, size_t *at)
{
    size_t quote_at = *at, end = quote_at + 1;

    for (;;) {
        char c;

        end = next_quote(reader, end);
        if (UNLIKELY(end >= reader->text.len))
            return set_string_fault(reader, LINE_FAULT_OPEN_QUOTE, quote_at, quote_at);
        if (UNLIKELY(end - quote_at > reader->line_bytes_max))
            return set_string_fault(reader, LINE_FAULT_TOO_LONG, quote_at, quote_at);
        c = reader->text.data[end];
        if (LIKELY(c == '"'))
            break;
        if (c == '\\') {
            char next = byte_at(reader, end + 1);
            bool is_escape = next == '"' || next == '\\';

            item->is_text_escaped |= is_escape;
            end += is_escape;
        } else {
            reader->line++;
        }
        end++;
    }
    item->kind = LINE_STRING;
    item->text = slice(reader, quote_at + 1, end);
    *at = end + 1;
    return true;
}

/* What stands behind a field's equals sign; *AT is then behind it. */
static inline bool read_value(LineReader *reader, LineItem *item, size_t *at)
{
    size_t from = *at, end;
    LineFault fault;

    if (byte_at(reader, from) == '"') {
        if (!read_string(reader, item, at))
            return false;
        switch (byte_at(reader, *at)) {
        case ',':
        case ' ':
        case '\n':
        case '\r': return true;
        default: return set_string_fault(reader, LINE_FAULT_BEHIND_STRING, *at, from);
        }
    }
    end = next_stop(reader, from);
    if (UNLIKELY(end == from))
        return set_stop_fault(reader, LINE_FAULT_NO_FIELD_VALUE, end);
    fault = line_value_parse(slice(reader, from, end), item);
    if (UNLIKELY(fault != LINE_FAULT_NONE))
        return set_fault(reader, fault, from);
    *at = end;
    return true;
}

/* The fields; *AT is on the first one, then on the space or line end behind the last one. */
static bool read_fields(LineReader *reader, size_t *at)
{
    size_t end = *at;

    for (;;) {
        size_t from = end, equals;
        LineItem *item = add_item(reader);
        char c;

        if (!item)
            return set_fault(reader, LINE_FAULT_TOO_MANY, from);
        *item = (LineItem){ 0 };
        equals = take_name(reader, from, &item->is_key_escaped);
        if (equals == from || byte_at(reader, equals) != '=')
            return set_stop_fault(reader, LINE_FAULT_BAD_FIELD, equals);
        item->key = slice(reader, from, equals);
        end = equals + 1;
        if (!read_value(reader, item, &end))
            return false;
        c = byte_at(reader, end);
        if (c != ',') {
            *at = end;
            return c == ' ' || c == '\n' || c == '\r' ||
                   set_stop_fault(reader, LINE_FAULT_BAD_VALUE, end);
        }
        end++;
    }
}

static inline size_t skip_spaces(const LineReader *reader, size_t at)
{
    while (at < reader->text.len && reader->text.data[at] == ' ')
        at++;
    return at;
}

/* Whether a line ends at AT: "\n", "\r\n", "\r" at the end, or the end. */
static inline bool is_line_end(const LineReader *reader, size_t at)
{
    char c = byte_at(reader, at);

    return c == '\n' || (c == '\r' && byte_at(reader, at + 1) == '\n');
}

/* The time, if there is one, and the line's end, on which *AT is then. */
static bool read_time(LineReader *reader, LinePoint *point, size_t *at)
{
    size_t from = skip_spaces(reader, *at), end = from;
    LineFault fault;

    if (!is_line_end(reader, from)) {
        end = next_stop(reader, from);
        if (end == from)
            return set_stop_fault(reader, LINE_FAULT_BAD_TIME, from);
        fault = line_time_parse(slice(reader, from, end), &point->time);
        if (fault != LINE_FAULT_NONE)
            return set_fault(reader, fault, from);
        point->has_time = true;
        end = skip_spaces(reader, end);
        if (!is_line_end(reader, end))
            return set_fault(reader, LINE_FAULT_BEHIND_TIME, end);
    }
    *at = end;
    return true;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* The line from BEGIN on, whose fault is set, ends; reading goes on behind it. */
COLD static int end_bad_line(LineReader *reader, LinePoint *point)
{
    size_t from = MIN(reader->resume_at, reader->text.len), left = reader->text.len - from;
    const char *feed = left > 0 ? memchr(reader->text.data + from, '\n', left) : NULL;
    size_t end = feed ? (size_t) (feed - reader->text.data) : reader->text.len;

    reader->at = end + (feed != NULL);
    reader->line = point->line;
    for (size_t i = point->begin; i < reader->at; i++)
        reader->line += reader->text.data[i] == '\n';
    if (end > point->begin && reader->text.data[end - 1] == '\r')
        end--;
    point->end = end;
    point->n_tags = 0;
    return LINE_BAD;
}

/* A comment; false with a fault when it holds control characters. */
static bool skip_comment(LineReader *reader, size_t *at)
{
    size_t i = *at;

    for (; !is_line_end(reader, i); i++) {
        unsigned char c = (unsigned char) reader->text.data[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return set_fault(reader, LINE_FAULT_BAD_COMMENT, i);
    }
    *at = i;
    return true;
}

/* To the first byte of a point: 0; LINE_END; or LINE_BAD of a comment. */
static int find_point(LineReader *reader, LinePoint *point)
{
    size_t at = reader->at;

    for (;;) {
        at = skip_spaces(reader, at);
        point->begin = at;
        point->line = reader->line;
        if (at >= reader->text.len)
            break;
        if (reader->text.data[at] == '#' && !skip_comment(reader, &at))
            return LINE_BAD;
        if (!is_line_end(reader, at)) {
            reader->at = at;
            return 0;
        }
        at += byte_at(reader, at) == '\r';
        at++;
        reader->line += at <= reader->text.len;
    }
    reader->at = reader->text.len;
    return LINE_END;
}

static bool read_point(LineReader *reader, LinePoint *point, size_t *at)
{
    if (!read_measurement(reader, point, at) || !read_tags(reader, at))
        return false;
    point->n_tags = reader->n_items;
    *at = skip_spaces(reader, *at);
    if (is_line_end(reader, *at))
        return set_fault(reader, LINE_FAULT_NO_FIELDS, *at);
    if (!read_fields(reader, at) || !read_time(reader, point, at))
        return false;
    if (*at - point->begin > reader->line_bytes_max)
        return set_fault(reader, LINE_FAULT_TOO_LONG, *at);
    if (UNLIKELY(reader->has_high) && !str_is_utf8(slice(reader, point->begin, *at)))
        return set_fault(reader, LINE_FAULT_BAD_UTF8, *at);
    return true;
}

int line_reader_next(LineReader *reader, LinePoint *ret_point)
{
    size_t at;
    int r;

    *ret_point =
        (LinePoint){ 0 }; /* filled in place: a copy at the end would wait for its stores */
    r = find_point(reader, ret_point);
    if (r == LINE_END)
        return r;
    reader->n_items = 0;
    reader->has_high = reader->block.high != 0;
    at = reader->at;
    if (r == LINE_BAD || !read_point(reader, ret_point, &at))
        return end_bad_line(reader, ret_point);
    ret_point->end = at;
    ret_point->items = reader->items;
    ret_point->n_items = reader->n_items;
    at += byte_at(reader, at) == '\r';
    reader->line += at < reader->text.len;
    reader->at = MIN(at + 1, reader->text.len);
    return 0;
}

void line_reader_init(LineReader *reader)
{
    *reader = (LineReader){ .block_at = SIZE_MAX, .line_bytes_max = SIZE_MAX };
}

void line_reader_deinit(LineReader *reader)
{
    mem_free(reader->items);
    *reader = (LineReader){ 0 };
}

void line_reader_begin(LineReader *reader, Str text, uint64_t line)
{
    reader->text = text;
    reader->at = 0;
    reader->line = line;
    reader->block_at = SIZE_MAX;
    reader->block.high = 0;
}
