/*
 * RESP, the wire format of Redis.
 *
 * Every value begins with a line; the first byte is its type, the rest is the value or a count.
 *
 *   +OK  -ERR words  :42  ,1.5  #t  _  (123…      the line is the value
 *   $5\r\nhello\r\n   !5\r\nERR x\r\n   =6\r\ntxt:hi\r\n     a text of that length
 *   *2\r\n…   ~2\r\n…   >2\r\n…                      that many values follow
 *   %1\r\n…   |1\r\n…                                that many pairs follow
 *   $-1\r\n   *-1\r\n                                version 2's null
 *
 * The scan keeps a small stack of how many values each open level still misses. A text is jumped
 * over without a look at it; a line whose end has not come is looked at from where the last call
 * stopped. A pair of attributes opens a level that the level around it does not count.
 *
 * Counts are strict: digits without sign and without zeros in front, so that two readers never
 * disagree about where a frame ends. Decoding trusts nothing that the scan found: it may be given
 * any bytes. A list's items come in one piece from the arena, sized only after its count was held
 * against the bytes that are there (a value has at least VALUE_BYTES_MIN).
 */
#include "codec/resp.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#include <stdlib.h>
#include <string.h>

STATIC_ASSERT(RESP_DEPTH_MAX == LIMIT_RESP_DEPTH, "the scan's stack has the levels of the limit");

/* "+\r\n" is the shortest value; 20 digits and a sign the longest count; reals have 17 digits. */
enum { VALUE_BYTES_MIN = 3, DIGITS_MAX = 20, REAL_BYTES_MAX = 63, SHOWN_BYTES = 40 };

typedef enum Shape {
    SHAPE_NONE,
    SHAPE_LINE,  /* all of it is in its line */
    SHAPE_TEXT,  /* the line says how long its text is */
    SHAPE_LIST,  /* the line says how many values follow */
    SHAPE_PAIRS, /* the line says how many pairs follow */
} Shape;

/* Outcome of count_parse: the null of version 2. */
enum { COUNT_NULL = 1 };

static Shape shape_of(char type)
{
    switch (type) {
    case '+':
    case '-':
    case ':':
    case ',':
    case '#':
    case '_':
    case '(': return SHAPE_LINE;
    case '$':
    case '!':
    case '=': return SHAPE_TEXT;
    case '*':
    case '~':
    case '>': return SHAPE_LIST;
    case '%':
    case '|': return SHAPE_PAIRS;
    }
    return SHAPE_NONE;
}

static COLD int fail_type(char type)
{
    unsigned char byte = (unsigned char) type;

    if (type == ';' || type == '.')
        return fail(-ERR_NETWORK, "resp: streamed values are not understood");
    if (byte == 0x15 || byte == 0x16)
        return fail(-ERR_NETWORK, "resp: the server speaks TLS");
    if (byte >= 0x20 && byte < 0x7f)
        return fail(-ERR_NETWORK, "resp: no value begins with '%c'", type);
    return fail(-ERR_NETWORK, "resp: no value begins with the byte 0x%02x", byte);
}

static COLD int fail_line(const char *what, char type, Str line)
{
    Str shown = str_sub(line, 0, SHOWN_BYTES);

    return fail(-ERR_NETWORK, "resp: %s: \"%c%.*s\"", what, type, (int) shown.len,
                shown.len > 0 ? shown.data : "");
}

static COLD int fail_cut(void)
{
    return fail(-ERR_NETWORK, "resp: the frame is cut off");
}

/* Digits of TEXT as a number up to MAX; false when they are none, too many, or have a zero before
 * them. */
static bool digits_parse(Str text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (text.len == 0 || text.len > DIGITS_MAX || (text.len > 1 && text.data[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned) (unsigned char) text.data[i] - '0';

        if (digit > 9 || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return number <= max;
}

static bool number_parse(Str text, int64_t *ret_number)
{
    bool is_negative = text.len > 0 && text.data[0] == '-';
    bool is_signed = is_negative || (text.len > 0 && text.data[0] == '+');
    uint64_t number;

    if (!digits_parse(str_sub(text, is_signed, text.len), (uint64_t) INT64_MAX + is_negative,
                      &number))
        return false;
    if (is_negative && number == 0)
        return false;
    *ret_number = is_negative ? (int64_t) (0 - number) : (int64_t) number;
    return true;
}

/* The count in the line of a text, list or map: 0, COUNT_NULL, or an error. */
static int count_parse(char type, Str line, size_t *ret_count)
{
    bool is_text = shape_of(type) == SHAPE_TEXT;
    uint64_t max = is_text ? LIMIT_RESP_FRAME_BYTES : LIMIT_RESP_ITEMS;
    uint64_t count;

    if (LIKELY(digits_parse(line, max, &count))) {
        *ret_count = (size_t) count;
        return 0;
    }
    if ((type == '$' || type == '*') && str_eq_c(line, "-1"))
        return COUNT_NULL;
    if (str_eq_c(line, "?"))
        return fail_line("streamed values are not understood", type, line);
    if (digits_parse(line, UINT64_MAX, &count))
        return fail_line(is_text ? "a text over the limit" : "more values than the limit", type,
                         line);
    return fail_line("no such count", type, line);
}

/* -- scan -- */

/* COUNT values follow on a level of their own. */
static int scan_open(RespScan *scan, size_t count)
{
    if (scan->depth >= RESP_DEPTH_MAX)
        return fail(-ERR_NETWORK, "resp: lists nest deeper than %d levels", RESP_DEPTH_MAX);
    scan->items += count;
    if (scan->items > LIMIT_RESP_ITEMS)
        return fail(-ERR_NETWORK, "resp: the answer has more than %d values", LIMIT_RESP_ITEMS);
    scan->left[++scan->depth] = count;
    return 0;
}

/* The value whose LINE ends at scan->at. */
static int scan_value(RespScan *scan, char type, Str line)
{
    Shape shape = shape_of(type);
    size_t count;
    int r;

    if (type != '|')
        scan->left[scan->depth]--;
    if (shape == SHAPE_LINE)
        return 0;
    if (type == '>' && scan->depth > 0)
        return fail(-ERR_NETWORK, "resp: a push message inside of another value");
    r = count_parse(type, line, &count);
    if (r != 0)
        return r < 0 ? r : 0;
    if (shape != SHAPE_TEXT)
        return scan_open(scan, shape == SHAPE_PAIRS ? 2 * count : count);
    if (scan->at + count + 2 > LIMIT_RESP_FRAME_BYTES)
        return fail_line("the frame is over the limit", type, line);
    scan->at += count;
    scan->is_text = true;
    return 0;
}

static int scan_line(RespScan *scan, Str bytes)
{
    const char *start, *end;
    size_t len;

    if (scan->at >= bytes.len)
        return RESP_MORE;
    start = bytes.data + scan->line;
    if (scan->at == scan->line && shape_of(*start) == SHAPE_NONE)
        return fail_type(*start);
    end = memchr(bytes.data + scan->at, '\r', bytes.len - scan->at);
    scan->at = end ? (size_t) (end - bytes.data) : bytes.len;
    len = scan->at - scan->line;
    if (len > LIMIT_RESP_LINE_BYTES)
        return fail(-ERR_NETWORK, "resp: a line of more than %d bytes", LIMIT_RESP_LINE_BYTES);
    if (!end || scan->at + 1 >= bytes.len)
        return RESP_MORE;
    if (end[1] != '\n')
        return fail_line("a carriage return inside of a line", *start,
                         str_from(start + 1, len - 1));
    scan->at += 2;
    if (scan->at > LIMIT_RESP_FRAME_BYTES)
        return fail(-ERR_NETWORK, "resp: the frame is over %d bytes", LIMIT_RESP_FRAME_BYTES);
    scan->line = scan->at;
    return scan_value(scan, *start, str_from(start + 1, len - 1));
}

static int scan_text_end(RespScan *scan, Str bytes)
{
    if (scan->at + 2 > bytes.len)
        return RESP_MORE;
    if (bytes.data[scan->at] != '\r' || bytes.data[scan->at + 1] != '\n')
        return fail(-ERR_NETWORK, "resp: a text is longer than its length says");
    scan->at += 2;
    scan->line = scan->at;
    scan->is_text = false;
    return 0;
}

int resp_scan(RespScan *scan, Str bytes, size_t *ret_len)
{
    int r;

    if (scan->at == 0)
        scan->left[0] = 1;
    for (;;) {
        r = scan->is_text ? scan_text_end(scan, bytes) : scan_line(scan, bytes);
        if (r != 0)
            return r;
        if (scan->is_text)
            continue;
        while (scan->depth > 0 && scan->left[scan->depth] == 0)
            scan->depth--;
        if (scan->depth == 0 && scan->left[0] == 0)
            break;
    }
    *ret_len = scan->at;
    scan->at = scan->line = scan->items = 0; /* the rest is zero at the end of a frame */
    return 0;
}

/* -- decode -- */

typedef struct Decoder {
    Arena *arena;
    const char *at, *end;
} Decoder;

static int decode_value(Decoder *decoder, unsigned depth, RespValue *value);

/* Take the line that is next: its type and the rest. */
static int decode_line(Decoder *decoder, char *ret_type, Str *ret_line)
{
    const char *start = decoder->at;
    const char *end;

    if (start == decoder->end)
        return fail_cut();
    end = memchr(start, '\r', (size_t) (decoder->end - start));
    if (shape_of(*start) == SHAPE_NONE)
        return fail_type(*start);
    if (!end || decoder->end - end < 2 || end[1] != '\n')
        return fail_cut();
    decoder->at = end + 2;
    *ret_type = *start;
    *ret_line = str_from(start + 1, (size_t) (end - start - 1));
    return 0;
}

static bool is_real(Str text)
{
    size_t i = 0, digits = 0;

    if (i < text.len && (text.data[i] == '-' || text.data[i] == '+'))
        i++;
    if (text.len - i == 3 &&
        (memcmp(text.data + i, "inf", 3) == 0 || memcmp(text.data + i, "nan", 3) == 0))
        return true;
    for (; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        digits++;
    if (i < text.len && text.data[i] == '.' && digits > 0)
        i++;
    for (; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        digits++;
    if (digits == 0 || i == text.len)
        return digits > 0;
    if (text.data[i] != 'e' && text.data[i] != 'E')
        return false;
    i++;
    if (i < text.len && (text.data[i] == '-' || text.data[i] == '+'))
        i++;
    for (digits = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        digits++;
    return digits > 0 && i == text.len;
}

static bool real_parse(Str text, double *ret_real)
{
    char copy[REAL_BYTES_MAX + 1];

    if (text.len > REAL_BYTES_MAX || !is_real(text))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *ret_real = strtod(copy, NULL);
    return true;
}

static bool is_big_number(Str text)
{
    size_t i = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+');

    if (i == text.len)
        return false;
    while (i < text.len && text.data[i] >= '0' && text.data[i] <= '9')
        i++;
    return i == text.len;
}

/* A value that is its line. */
static int decode_scalar(char type, Str line, RespValue *value)
{
    bool is_right = true;

    switch (type) {
    case '+': *value = (RespValue){ .type = RESP_TEXT, .text = line }; break;
    case '-': *value = (RespValue){ .type = RESP_ERROR, .text = line }; break;
    case ':':
        *value = (RespValue){ .type = RESP_NUMBER };
        is_right = number_parse(line, &value->number);
        break;
    case ',':
        *value = (RespValue){ .type = RESP_REAL };
        is_right = real_parse(line, &value->real);
        break;
    case '#':
        is_right = str_eq_c(line, "t") || str_eq_c(line, "f");
        *value = (RespValue){ .type = RESP_BOOL, .number = is_right && line.data[0] == 't' };
        break;
    case '(':
        *value = (RespValue){ .type = RESP_TEXT, .text = line };
        is_right = is_big_number(line);
        break;
    case '_':
        *value = (RespValue){ .type = RESP_NULL };
        is_right = line.len == 0;
        break;
    }
    return is_right ? 0 : fail_line("no such value", type, line);
}

static int decode_text(Decoder *decoder, char type, size_t len, RespValue *value)
{
    size_t there = (size_t) (decoder->end - decoder->at);
    Str text = str_from(decoder->at, len);

    if (there < 2 || len > there - 2)
        return fail_cut();
    if (decoder->at[len] != '\r' || decoder->at[len + 1] != '\n')
        return fail(-ERR_NETWORK, "resp: a text is longer than its length says");
    decoder->at += len + 2;
    if (type == '=' && (len < 4 || text.data[3] != ':'))
        return fail(-ERR_NETWORK, "resp: a verbatim text without its format");
    if (type == '=')
        text = str_sub(text, 4, text.len);
    *value = (RespValue){ .type = type == '!' ? RESP_ERROR : RESP_TEXT, .text = text };
    return 0;
}

/* N items on level DEPTH. */
static int decode_items(Decoder *decoder, unsigned depth, size_t n, const RespValue **ret_items)
{
    RespValue *items = NULL;
    int r;

    if (depth > RESP_DEPTH_MAX)
        return fail(-ERR_NETWORK, "resp: lists nest deeper than %d levels", RESP_DEPTH_MAX);
    if (n > (size_t) (decoder->end - decoder->at) / VALUE_BYTES_MIN)
        return fail_cut();
    if (n > 0) {
        items = arena_try(decoder->arena, n * sizeof(*items));
        if (!items)
            return fail(-ENOMEM, "resp: no room for a list of %zu values", n);
    }
    for (size_t i = 0; i < n; i++) {
        r = decode_value(decoder, depth, &items[i]);
        if (r < 0)
            return r;
    }
    *ret_items = items;
    return 0;
}

/* As decode_line; attributes before it are dropped. */
static int decode_head(Decoder *decoder, unsigned depth, char *ret_type, Str *ret_line)
{
    const RespValue *dropped;
    size_t n;
    int r;

    for (;;) {
        r = decode_line(decoder, ret_type, ret_line);
        if (r < 0 || *ret_type != '|')
            return r;
        r = count_parse('|', *ret_line, &n);
        if (r < 0)
            return r;
        r = decode_items(decoder, depth + 1, 2 * n, &dropped);
        if (r < 0)
            return r;
    }
}

/* A value that stands on level DEPTH. */
static int decode_value(Decoder *decoder, unsigned depth, RespValue *value)
{
    Shape shape;
    size_t n;
    Str line;
    char type;
    int r;

    r = decode_head(decoder, depth, &type, &line);
    if (r < 0)
        return r;
    shape = shape_of(type);
    if (shape == SHAPE_LINE)
        return decode_scalar(type, line, value);
    r = count_parse(type, line, &n);
    if (r < 0)
        return r;
    if (r == COUNT_NULL) {
        *value = (RespValue){ .type = RESP_NULL };
        return 0;
    }
    if (shape == SHAPE_TEXT)
        return decode_text(decoder, type, n, value);
    if (type == '>' && depth > 0)
        return fail(-ERR_NETWORK, "resp: a push message inside of another value");
    *value = (RespValue){ .type = shape == SHAPE_PAIRS ? RESP_MAP : RESP_LIST,
                          .is_push = type == '>',
                          .n = shape == SHAPE_PAIRS ? 2 * n : n };
    return decode_items(decoder, depth + 1, value->n, &value->items);
}

int resp_decode(Arena *arena, Str frame, RespValue *ret_value)
{
    Decoder decoder;
    RespValue value;
    int r;

    if (frame.len == 0)
        return fail_cut();
    decoder = (Decoder){ arena, frame.data, frame.data + frame.len };
    r = decode_value(&decoder, 0, &value);
    if (r < 0)
        return r;
    if (decoder.at != decoder.end)
        return fail(-ERR_NETWORK, "resp: bytes behind the end of the frame");
    *ret_value = value;
    return 0;
}

/* -- commands -- */

/* Write TYPE, COUNT and a line's end to AT; returns what is behind it. */
static char *write_count(char *at, char type, size_t count)
{
    char digits[DIGITS_MAX];
    size_t n = 0;

    do
        digits[n++] = (char) ('0' + count % 10);
    while ((count /= 10) > 0);
    *at++ = type;
    while (n > 0)
        *at++ = digits[--n];
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

void resp_add_command(Buf *out, const Str *argv, size_t argc)
{
    size_t room = DIGITS_MAX + 3;
    char *at;

    for (size_t i = 0; i < argc; i++)
        room += argv[i].len + DIGITS_MAX + 5;
    at = buf_reserve(out, room);
    if (!at)
        return;
    at = write_count(at, '*', argc);
    for (size_t i = 0; i < argc; i++) {
        at = write_count(at, '$', argv[i].len);
        if (argv[i].len > 0)
            memcpy(at, argv[i].data, argv[i].len);
        at += argv[i].len;
        *at++ = '\r';
        *at++ = '\n';
    }
    out->len = (size_t) (at - out->data);
}

/* -- questions -- */

/* Behind "ERR Error running script (call to f_…): @user_script:7: @user_script: 7: -READONLY …". */
Str resp_error_words(Str words)
{
    static const Str running = STR("ERR Error running script");

    if (!str_starts(words, running))
        return words;
    for (size_t i = 0; i + 3 < words.len; i++) {
        if (memcmp(words.data + i, ": -", 3) == 0)
            return str_sub(words, i + 3, words.len);
    }
    return words;
}

bool resp_is_error(const RespValue *value, const char *code)
{
    Str rest;

    return value->type == RESP_ERROR &&
           str_eq_c(str_cut(resp_error_words(value->text), ' ', &rest), code);
}

bool resp_to_number(const RespValue *value, int64_t *ret_number)
{
    if (value->type == RESP_TEXT)
        return number_parse(value->text, ret_number);
    if (value->type != RESP_NUMBER)
        return false;
    *ret_number = value->number;
    return true;
}

const RespValue *resp_item(const RespValue *list, size_t i)
{
    static const RespValue none = { .type = RESP_NULL };
    bool has_items = list->type == RESP_LIST || list->type == RESP_MAP;

    return has_items && i < list->n ? &list->items[i] : &none;
}
