/*
 * InfluxDB's line protocol: points read from bytes, and written.
 *
 *   cpu,host=a,region=eu usage=1.5,cores=4i,on=t,note="a \"b\"" 1600000000000000000
 *   └┬┘ └──────┬───────┘ └───────────────┬─────────────────┘    └───────┬─────────┘
 *  measurement tags            fields, of five kinds                  time
 *
 * Reading copies nothing: names and texts are views of the input. Where one holds an escape
 * (is_…_escaped), line_unescape says what it means. A backslash escapes a comma and a space, in
 * keys, tag values and field keys also an equals sign; in a string a quote and a backslash; before
 * anything else it stands for itself. A string may hold line ends.
 *
 * A line that is wrong is one outcome, and reading goes on behind it. The line ends at the line
 * feed behind the mistake; where a string's closing quote is missing or followed by something else,
 * at the first one behind the opening quote, so that a forgotten quote costs one line.
 *
 * Pure; one reader for one thread.
 */
#pragma once

#include "base/text.h"

/* X(NAME, "code", "words") */
#define LINE_FAULTS(X)                                                                       \
    X(NONE, "", "")                                                                          \
    X(NO_MEASUREMENT, "no_measurement", "the line does not begin with a measurement")        \
    X(BAD_COMMENT, "bad_comment", "the comment holds a control character")                   \
    X(NO_FIELDS, "no_fields", "the line has no fields")                                      \
    X(BAD_TAG, "bad_tag", "a tag is not key=value")                                          \
    X(NO_TAG_VALUE, "no_tag_value", "a tag has no value")                                    \
    X(BAD_FIELD, "bad_field", "a field is not key=value")                                    \
    X(NO_FIELD_VALUE, "no_field_value", "a field has no value")                              \
    X(BAD_VALUE, "bad_value", "a field's value is no number, boolean or string in quotes")   \
    X(BAD_NUMBER, "bad_number", "a field's value begins as a number and is none")            \
    X(OUT_OF_RANGE, "out_of_range", "a number is too large for its kind")                    \
    X(OPEN_QUOTE, "open_quote", "a string has no closing quote")                             \
    X(BEHIND_STRING, "bad_string", "a string's closing quote is followed by something else") \
    X(BAD_TIME, "bad_time", "the time is not a whole number")                                \
    X(TIME_RANGE, "time_out_of_range", "the time is outside the years 1677 to 2262")         \
    X(BEHIND_TIME, "bad_line", "something stands behind the time")                           \
    X(BAD_UTF8, "bad_utf8", "the line is not valid UTF-8")                                   \
    X(CONTROL, "control_character", "a name holds a control character")                      \
    X(TOO_MANY, "too_many_items", "the line has too many tags and fields")                   \
    X(TOO_LONG, "line_too_long", "the line is too long")

typedef enum LineFault {
#define LINE_FAULT_ENUM_(name, code, words) LINE_FAULT_##name,
    LINE_FAULTS(LINE_FAULT_ENUM_)
#undef LINE_FAULT_ENUM_
} LineFault;

typedef enum LineKind {
    LINE_TAG,
    LINE_REAL,
    LINE_INTEGER,
    LINE_UNSIGNED,
    LINE_BOOLEAN,
    LINE_STRING
} LineKind;

/* A tag or a field. */
typedef struct LineItem {
    Str key;
    Str text; /* tag: its value; string: what is between the quotes; else as written */
    union {
        double real;
        int64_t integer;
        uint64_t natural; /* LINE_UNSIGNED */
        bool boolean;
    };
    uint8_t kind; /* LineKind */
    bool is_key_escaped;
    bool is_text_escaped;
} LineItem;

typedef struct LinePoint {
    Str measurement;
    const LineItem *items; /* tags, then fields; the reader's until it is asked for the next */
    size_t n_tags;
    size_t n_items;
    int64_t time; /* in whatever unit the writer meant */
    bool has_time;
    bool is_measurement_escaped;
    size_t begin; /* of its bytes in the input, without spaces before it */
    size_t end;   /* behind them, without the line end */
    uint64_t line;
} LinePoint;

/* What the scan knows of 64 bytes of the input; a bit for each. */
typedef struct LineBlock {
    uint64_t stops;  /* what may end a name: , = \ space, control characters */
    uint64_t quotes; /* what counts in a string: " \ line feed */
    uint64_t high;   /* no ASCII */
} LineBlock;

typedef struct LineReader {
    Str text;
    size_t at;
    size_t line_bytes_max; /* a longer line is LINE_FAULT_TOO_LONG */
    uint64_t line;         /* of `at`, from 1 */
    LineItem *items;       /* owned */
    size_t n_items, cap_items;
    LineBlock block;
    size_t block_at; /* of `block` in the text; SIZE_MAX: none is loaded */
    bool has_high;   /* a block of the line holds bytes that are no ASCII */
    LineFault fault; /* of the last line that was wrong, and where */
    size_t fault_at;
    size_t resume_at; /* the line ends at the first line feed from here */
} LineReader;

enum { LINE_END = 1, LINE_BAD = 2 };

/* A reader of nothing; line_reader_begin gives it text. */
void line_reader_init(LineReader *reader);
void line_reader_deinit(LineReader *reader);
DEFINE_AUTO_VALUE(LineReader, line_reader_deinit);

/* Read TEXT, which is whole and stays where it is; its first line counts as number LINE. */
void line_reader_begin(LineReader *reader, Str text, uint64_t line);

/*
 * The next point; blank lines and comments are skipped. 0; LINE_END, and *RET_POINT is of no use;
 * or LINE_BAD: it has begin, end and line, and the reader knows the fault.
 */
MUST int line_reader_next(LineReader *reader, LinePoint *ret_point);

/* "bad_tag", and a sentence with the column and what stands there, in OUT. Both of LINE_BAD. */
const char *line_fault_code(LineFault fault);
void line_fault_format(const LineReader *reader, const LinePoint *point, char *out, size_t cap);

/*
 * The bytes of PIECE, a part of a stream that begins where a line does, up to and with the last
 * line feed that ends a line. *SCAN is zero at first and whenever PIECE begins anew; a piece that
 * has merely grown is scanned on from where it was.
 */
typedef struct LineScan {
    size_t at;    /* scanned */
    size_t whole; /* what was found up to there */
    uint8_t state;
    size_t quote_at; /* of the string that it is in */
} LineScan;
size_t line_scan_whole(LineScan *scan, Str piece);

typedef enum LinePlace { LINE_IN_MEASUREMENT, LINE_IN_KEY, LINE_IN_STRING } LinePlace;

/* RAW, which stands at PLACE (a tag's value is LINE_IN_KEY), without its escapes, in OUT, which has
 * room for as many bytes and may be RAW itself. Returns how many. */
size_t line_unescape(Str raw, LinePlace place, char *out);

/*
 * Writing. A point is begun, gets tags, then fields, then is ended. Names and tag values must be
 * UTF-8, not empty, without control characters and without a backslash at the end, which would
 * escape what follows; a real must be finite. Otherwise the call refuses, -ERR_INVALID with words,
 * and line_write_end drops the point and returns that error again. Tags are written in the order
 * given.
 */
typedef struct LineWriter {
    Buf *out; /* borrowed */
    size_t begin;
    bool has_fields;
    int first_err;
} LineWriter;

MUST int line_write_begin(LineWriter *writer, Buf *out, Str measurement);
MUST int line_write_tag(LineWriter *writer, Str key, Str value);
MUST int line_write_real(LineWriter *writer, Str key, double value);
MUST int line_write_i64(LineWriter *writer, Str key, int64_t value);
MUST int line_write_u64(LineWriter *writer, Str key, uint64_t value);
MUST int line_write_bool(LineWriter *writer, Str key, bool value);
MUST int line_write_string(LineWriter *writer, Str key, Str value);
/* TIME NULL: none is written. Ends with a line feed. */
MUST int line_write_end(LineWriter *writer, const int64_t *time);
