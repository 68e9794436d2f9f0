/*
 * CSV, read; see the header.
 *
 * The scan of a stream follows the reader, state by state, and may stop anywhere:
 *
 *   BEGIN --quote--> QUOTED --quote--> BEHIND --quote--> QUOTED
 *     '--other--> PLAIN                  '--separator--> BEGIN
 *
 * What follows a closing quote and may not is a mistake; the record has then ended at its first
 * line feed, which lies behind.
 */
#include "codec/csv_read.h"

#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#define FIRST_CELLS 16
#define MARK        "\xef\xbb\xbf"

enum { BEGIN, PLAIN, QUOTED, BEHIND };

static const char *word_of(CsvFault fault, bool is_code)
{
    static const char *const codes[] = {
#define CSV_FAULT_CODE_(name, code, words) code,
        CSV_FAULTS(CSV_FAULT_CODE_)
#undef CSV_FAULT_CODE_
    };
    static const char *const sentences[] = {
#define CSV_FAULT_WORDS_(name, code, words) words,
        CSV_FAULTS(CSV_FAULT_WORDS_)
#undef CSV_FAULT_WORDS_
    };

    return is_code ? codes[fault] : sentences[fault];
}

const char *csv_fault_code(CsvFault fault)
{
    return word_of(fault, true);
}

const char *csv_fault_words(CsvFault fault)
{
    return word_of(fault, false);
}

void csv_reader_init(CsvReader *reader, char separator)
{
    *reader = (CsvReader){ .separator = separator ? separator : ',', .line_bytes_max = SIZE_MAX };
}

void csv_reader_deinit(CsvReader *reader)
{
    mem_free(reader->cells);
    *reader = (CsvReader){ 0 };
}

void csv_reader_begin(CsvReader *reader, Str text, uint64_t line)
{
    reader->text = text;
    reader->at = str_starts(text, str_from_c(MARK)) ? sizeof(MARK) - 1 : 0;
    reader->line = line;
}

static CsvCell *add_cell(CsvReader *reader)
{
    if (reader->n_cells == reader->cap_cells) {
        if (reader->cap_cells >= LIMIT_CSV_CELLS)
            return NULL;
        reader->cap_cells = MIN(MAX(2 * reader->cap_cells, (size_t) FIRST_CELLS),
                                (size_t) LIMIT_CSV_CELLS);
        reader->cells = mem_resize_array(reader->cells, reader->cap_cells, sizeof(CsvCell));
    }
    reader->cells[reader->n_cells] = (CsvCell){ 0 };
    return &reader->cells[reader->n_cells++];
}

static bool set_fault(CsvReader *reader, CsvFault fault, size_t at)
{
    reader->fault = fault;
    reader->fault_at = at;
    return false;
}

static inline char byte_at(const CsvReader *reader, size_t at)
{
    return at < reader->text.len ? reader->text.data[at] : '\n';
}

static inline bool is_line_end(const CsvReader *reader, size_t at)
{
    char c = byte_at(reader, at);

    return c == '\n' || (c == '\r' && byte_at(reader, at + 1) == '\n');
}

/* A cell in quotes; *AT is on the first one, then behind the last one. */
static bool read_quoted(CsvReader *reader, CsvCell *cell, size_t *at)
{
    size_t from = *at + 1, end = from;

    for (;;) {
        const char *quote = end < reader->text.len
                                ? memchr(reader->text.data + end, '"', reader->text.len - end)
                                : NULL;

        if (!quote)
            return set_fault(reader, CSV_FAULT_OPEN_QUOTE, from - 1);
        end = (size_t) (quote - reader->text.data);
        if (end - from > reader->line_bytes_max)
            return set_fault(reader, CSV_FAULT_TOO_LONG, from - 1);
        if (byte_at(reader, end + 1) != '"')
            break;
        cell->is_doubled = true;
        end += 2;
    }
    cell->is_quoted = true;
    cell->text = str_from(reader->text.data + from, end - from);
    *at = end + 1;
    if (byte_at(reader, *at) != reader->separator && !is_line_end(reader, *at))
        return set_fault(reader, CSV_FAULT_BEHIND_QUOTE, *at);
    return true;
}

static bool read_cell(CsvReader *reader, size_t *at)
{
    CsvCell *cell = add_cell(reader);
    size_t end = *at;

    if (!cell)
        return set_fault(reader, CSV_FAULT_TOO_MANY, *at);
    if (byte_at(reader, *at) == '"')
        return read_quoted(reader, cell, at);
    while (byte_at(reader, end) != reader->separator && !is_line_end(reader, end))
        end++;
    cell->text = str_from(reader->text.data + *at, end - *at);
    *at = end;
    return true;
}

static bool read_record(CsvReader *reader, size_t begin, size_t *at)
{
    reader->n_cells = 0;
    for (;; (*at)++) {
        if (!read_cell(reader, at))
            return false;
        if (is_line_end(reader, *at))
            break;
    }
    if (*at - begin > reader->line_bytes_max)
        return set_fault(reader, CSV_FAULT_TOO_LONG, begin);
    if (!str_is_utf8(str_from(reader->text.data + begin, *at - begin)))
        return set_fault(reader, CSV_FAULT_BAD_UTF8, begin);
    return true;
}

int csv_reader_next(CsvReader *reader, CsvRecord *ret_record)
{
    size_t begin = reader->at, at;
    bool is_good;

    for (; begin < reader->text.len && is_line_end(reader, begin); begin++)
        reader->line += reader->text.data[begin] == '\n';
    reader->at = at = begin;
    if (begin >= reader->text.len)
        return CSV_END;
    is_good = read_record(reader, begin, &at);
    if (!is_good) {
        const char *feed = memchr(reader->text.data + begin, '\n', reader->text.len - begin);

        at = feed ? (size_t) (feed - reader->text.data) : reader->text.len;
        at -= feed && at > begin && reader->text.data[at - 1] == '\r';
    }
    *ret_record = (CsvRecord){ .begin = begin, .end = at, .line = reader->line };
    if (is_good) {
        ret_record->cells = reader->cells;
        ret_record->n_cells = reader->n_cells;
    }
    at += byte_at(reader, at) == '\r' && is_line_end(reader, at);
    reader->at = MIN(at + 1, reader->text.len);
    for (size_t i = begin; i < reader->at; i++)
        reader->line += reader->text.data[i] == '\n';
    return is_good ? 0 : CSV_BAD;
}

size_t csv_undouble(Str text, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        out[n++] = text.data[i];
        i += text.data[i] == '"' && i + 1 < text.len && text.data[i + 1] == '"';
    }
    return n;
}

/* ---- the end of records in a stream ---------------------------------------------------------- */

/* A record, or the mistaken one, ends with the line feed before END. */
static void end_record(CsvScan *scan, size_t end)
{
    scan->at = scan->whole = scan->begin = end;
    scan->state = BEGIN;
}

/* Whether AT is where a record begins, were it not for a byte order mark. */
static bool is_behind_mark(const CsvScan *scan, Str piece)
{
    return scan->at == scan->begin + sizeof(MARK) - 1 &&
           memcmp(piece.data + scan->begin, MARK, sizeof(MARK) - 1) == 0;
}

/* One byte on; false when the one behind it has to be known first. */
static bool step(CsvScan *scan, Str piece, char separator)
{
    char c = piece.data[scan->at];
    const char *feed;

    if (scan->state == QUOTED) {
        scan->state = c == '"' ? BEHIND : QUOTED;
    } else if (c == '\n') {
        end_record(scan, scan->at + 1);
        return true;
    } else if (c == separator) {
        scan->state = BEGIN;
    } else if (c == '"' && (scan->state != PLAIN || is_behind_mark(scan, piece))) {
        scan->state = QUOTED;
    } else if (scan->state == BEGIN) {
        scan->state = PLAIN;
    } else if (scan->state == BEHIND) {
        if (c == '\r' && scan->at + 1 >= piece.len)
            return false;
        if (c != '\r' || piece.data[scan->at + 1] != '\n') {
            feed = memchr(piece.data + scan->begin, '\n', scan->at - scan->begin);
            if (feed)
                end_record(scan, (size_t) (feed - piece.data) + 1);
            else
                scan->state = PLAIN;
            return true;
        }
    }
    scan->at++;
    return true;
}

size_t csv_scan_whole(CsvScan *scan, Str piece, char separator)
{
    separator = separator ? separator : ',';
    while (scan->at < piece.len && step(scan, piece, separator))
        ;
    return scan->whole;
}
