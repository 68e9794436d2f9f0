/*
 * CSV as RFC 4180 has it, read: one record at a time, its cells as views of the input. Pure.
 *
 * A cell in quotes may hold separators, line ends and doubled quotes; a quote inside a cell that
 * does not begin with one stands for itself. Records end in LF or CRLF; blank lines are skipped,
 * and so is a byte order mark at the beginning.
 *
 * A record that is wrong is one outcome, and reading goes on behind it: at the first line feed
 * behind its beginning, so that a forgotten quote costs one line.
 */
#pragma once

#include "base/text.h"

/* X(NAME, "code", "words") */
#define CSV_FAULTS(X)                                                                    \
    X(NONE, "", "")                                                                      \
    X(OPEN_QUOTE, "open_quote", "a quoted cell has no closing quote")                    \
    X(BEHIND_QUOTE, "bad_quote", "a cell's closing quote is followed by something else") \
    X(BAD_UTF8, "bad_utf8", "the line is not valid UTF-8")                               \
    X(TOO_MANY, "too_many_cells", "the line has too many cells")                         \
    X(TOO_LONG, "line_too_long", "the line is too long")

typedef enum CsvFault {
#define CSV_FAULT_ENUM_(name, code, words) CSV_FAULT_##name,
    CSV_FAULTS(CSV_FAULT_ENUM_)
#undef CSV_FAULT_ENUM_
} CsvFault;

typedef struct CsvCell {
    Str text;        /* without the quotes around it */
    bool is_quoted;  /* an empty one that is not is no value */
    bool is_doubled; /* quotes in it are doubled: csv_undouble */
} CsvCell;

typedef struct CsvRecord {
    const CsvCell *cells; /* the reader's until it is asked for the next */
    size_t n_cells;
    size_t begin; /* of its bytes in the input */
    size_t end;   /* behind them, without the line end */
    uint64_t line;
} CsvRecord;

typedef struct CsvReader {
    Str text;
    size_t at;
    size_t line_bytes_max; /* a longer record is CSV_FAULT_TOO_LONG */
    uint64_t line;         /* of `at`, from 1 */
    char separator;
    CsvCell *cells; /* owned */
    size_t n_cells, cap_cells;
    CsvFault fault; /* of the last record that was wrong, and where */
    size_t fault_at;
} CsvReader;

enum { CSV_END = 1, CSV_BAD = 2 };

/* A reader of nothing; SEPARATOR 0 means a comma. */
void csv_reader_init(CsvReader *reader, char separator);
void csv_reader_deinit(CsvReader *reader);
DEFINE_AUTO_VALUE(CsvReader, csv_reader_deinit);

/* Read TEXT, which is whole and stays where it is; its first line counts as number LINE. */
void csv_reader_begin(CsvReader *reader, Str text, uint64_t line);

/* The next record: 0; CSV_END; or CSV_BAD: RECORD has begin, end and line, and the reader knows the
 * fault. */
MUST int csv_reader_next(CsvReader *reader, CsvRecord *ret_record);

/* "open_quote", and a sentence. Static text. */
const char *csv_fault_code(CsvFault fault);
const char *csv_fault_words(CsvFault fault);

/* TEXT of a cell whose quotes are doubled, as it is meant, in OUT, which has room for as many
 * bytes. Returns how many. */
size_t csv_undouble(Str text, char *out);

/*
 * The bytes of PIECE, a part of a stream that begins where a record does, up to and with the last
 * line feed that ends a record. *SCAN is zero at first and whenever PIECE begins anew; a piece that
 * has merely grown is scanned on from where it was.
 */
typedef struct CsvScan {
    size_t at;
    size_t whole;
    size_t begin; /* of the record that it is in */
    uint8_t state;
} CsvScan;
size_t csv_scan_whole(CsvScan *scan, Str piece, char separator);
