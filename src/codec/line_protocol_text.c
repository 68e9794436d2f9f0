/*
 * Line protocol: the end of lines in a stream, escapes, and words for what is wrong.
 *
 * Where a line of a stream ends is found by a small machine, byte by byte, because it must be able
 * to stop anywhere and go on when more has come. It follows the reader: a line feed inside a string
 * ends nothing, unless the string's closing quote is followed by what cannot follow it, and then
 * the line has ended at the first line feed of the string. Where a line is wrong in another way the
 * machine may wait for more than the reader needs, never the other way round.
 *
 *   START --> HEAD --space--> FIELDS --> KEY --=--> VALUE --"--> STRING --"--> BEHIND
 *     |                                   ^----,----'-----------------,-----------'
 *     '-#--> REST (of the line, in which nothing counts but its end)
 *
 * Where there is no quote at all, which is the usual case, the last line feed is looked for from
 * the end.
 */
#include "codec/line_protocol_int.h"

#include "base/macro.h"

#include <stdio.h>

enum { START, REST, HEAD, FIELDS, KEY, VALUE, PLAIN, STRING, BEHIND };

/* ---- the end of lines in a stream ------------------------------------------------------------ */

/* The state that C, at AT, leads to, for states in which no backslash counts. */
static uint8_t step_plainly(uint8_t state, char c)
{
    switch (state) {
    case START: return c == ' ' ? START : c == '#' ? REST : HEAD;
    case VALUE: return c == '"' ? STRING : c == ',' ? KEY : c == ' ' ? REST : PLAIN;
    case PLAIN: return c == ',' ? KEY : c == ' ' ? REST : PLAIN;
    case BEHIND: return c == ',' ? KEY : REST;
    default: return REST;
    }
}

/* The same for names: HEAD, FIELDS and KEY. */
static uint8_t step_name(uint8_t state, char c)
{
    if (state == HEAD)
        return c == ' ' ? FIELDS : HEAD;
    if (c == '=')
        return state == KEY ? VALUE : REST;
    if (c == ' ')
        return state == FIELDS ? FIELDS : REST;
    return c == ',' ? REST : KEY;
}

static bool is_escape(uint8_t state, char next)
{
    return state == STRING ? next == '"' || next == '\\'
                           : next == ' ' || next == '=' || next == ',';
}

/* What stands behind a string at AT cannot: the line ends at the first line feed of the string, if
 * there is one. */
static void leave_string(LineScan *scan, Str piece)
{
    const char *feed = memchr(piece.data + scan->quote_at, '\n', scan->at - scan->quote_at);

    if (!feed) {
        scan->state = REST;
        return;
    }
    scan->at = (size_t) (feed - piece.data) + 1;
    scan->whole = scan->at;
    scan->state = START;
}

/* One byte on, or two; false when the next byte has to be known first. */
static bool step(LineScan *scan, Str piece)
{
    char c = piece.data[scan->at];
    bool is_named = scan->state == HEAD || scan->state == FIELDS || scan->state == KEY;

    if (c == '\n' && scan->state != STRING) {
        scan->at++;
        scan->whole = scan->at;
        scan->state = START;
        return true;
    }
    if (c == '\\' && (is_named || scan->state == STRING || scan->state == START)) {
        if (scan->at + 1 >= piece.len)
            return false;
        if (scan->state == START || scan->state == FIELDS)
            scan->state = scan->state == START ? HEAD : KEY;
        scan->at += 1 + is_escape(scan->state, piece.data[scan->at + 1]);
        return true;
    }
    if (scan->state == BEHIND && c != ',' && c != ' ' && c != '\r') {
        leave_string(scan, piece);
        return true;
    }
    if (scan->state == STRING) {
        scan->state = c == '"' ? BEHIND : STRING;
    } else {
        scan->state = is_named ? step_name(scan->state, c) : step_plainly(scan->state, c);
        if (scan->state == STRING)
            scan->quote_at = scan->at;
    }
    scan->at++;
    return true;
}

size_t line_scan_whole(LineScan *scan, Str piece)
{
    size_t left = piece.len - scan->at;
    const char *from, *feed;

    if (left == 0)
        return scan->whole;
    from = piece.data + scan->at;
    if (scan->state != STRING && scan->state != BEHIND && !memchr(from, '"', left)) {
        feed = memrchr(from, '\n', left);
        if (feed)
            *scan = (LineScan){ .at = (size_t) (feed - piece.data) + 1,
                                .whole = (size_t) (feed - piece.data) + 1 };
    }
    while (scan->at < piece.len && step(scan, piece))
        ;
    return scan->whole;
}

/* ---- escapes --------------------------------------------------------------------------------- */

/* Whether a backslash before NEXT is an escape at PLACE. */
static bool is_escape_at(LinePlace place, char next)
{
    if (place == LINE_IN_STRING)
        return next == '"' || next == '\\';
    return next == ',' || next == ' ' || (next == '=' && place == LINE_IN_KEY);
}

size_t line_unescape(Str raw, LinePlace place, char *out)
{
    size_t n = 0, at = 0;

    while (at < raw.len) {
        const char *found = memchr(raw.data + at, '\\', raw.len - at);
        size_t len = found ? (size_t) (found - raw.data) - at : raw.len - at;
        char next;

        memmove(out + n, raw.data + at, len);
        n += len;
        at += len;
        if (at >= raw.len)
            break;
        next = at + 1 < raw.len ? raw.data[at + 1] : 0;
        at += is_escape_at(place, next);
        out[n++] = raw.data[at++];
    }
    return n;
}

/* ---- faults in words ------------------------------------------------------------------------- */

#define EXCERPT_BEFORE 12
#define EXCERPT_BEHIND 20

const char *line_fault_code(LineFault fault)
{
    static const char *const codes[] = {
#define LINE_FAULT_CODE_(name, code, words) code,
        LINE_FAULTS(LINE_FAULT_CODE_)
#undef LINE_FAULT_CODE_
    };

    return codes[fault];
}

static const char *words_of(LineFault fault)
{
    static const char *const words[] = {
#define LINE_FAULT_WORDS_(name, code, words) words,
        LINE_FAULTS(LINE_FAULT_WORDS_)
#undef LINE_FAULT_WORDS_
    };

    return words[fault];
}

void line_fault_format(const LineReader *reader, const LinePoint *point, char *out, size_t cap)
{
    size_t at = MIN(MAX(reader->fault_at, point->begin), point->end);
    size_t from = at - MIN(at - point->begin, (size_t) EXCERPT_BEFORE);
    size_t to = MIN(at + EXCERPT_BEHIND, point->end);
    char excerpt[EXCERPT_BEFORE + EXCERPT_BEHIND + 1];
    size_t n = 0;

    for (size_t i = from; i < to; i++) {
        char c = reader->text.data[i];

        excerpt[n++] = c >= ' ' && c < 0x7f ? c : '?';
    }
    excerpt[n] = 0;
    snprintf(out, cap, "%s, at byte %zu of it: %s%s%s", words_of(reader->fault),
             at - point->begin + 1, from > point->begin ? "\u2026" : "", excerpt,
             to < point->end ? "\u2026" : "");
}
