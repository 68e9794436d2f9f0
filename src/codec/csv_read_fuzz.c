/*
 * Fuzz: CSV, read. Reading ends, lines are counted right, cells lie in their record, and where
 * records of a stream end does not depend on how it comes in pieces. The first byte chooses the
 * separator.
 */
#include "codec/csv_read.h"

#include "base/assert.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_cell(const CsvReader *reader, const CsvRecord *record, const CsvCell *cell)
{
    char *room = mem_new_array(char, cell->text.len + 1);

    ASSERT(cell->text.data >= reader->text.data + record->begin);
    ASSERT(cell->text.data + cell->text.len <= reader->text.data + record->end);
    ASSERT(csv_undouble(cell->text, room) <= cell->text.len);
    mem_free(room);
}

static void check_records(Str text, char separator)
{
    AUTO(csv_reader_deinit) CsvReader reader;
    CsvRecord record;
    uint64_t line = 1;
    size_t behind = 0;
    int r;

    csv_reader_init(&reader, separator);
    csv_reader_begin(&reader, text, 1);
    while ((r = csv_reader_next(&reader, &record)) != CSV_END) {
        ASSERT(record.begin >= behind && record.end >= record.begin && reader.at >= record.end);
        for (; behind < record.begin; behind++)
            line += text.data[behind] == '\n';
        ASSERT(record.line == line);
        for (; behind < reader.at; behind++)
            line += text.data[behind] == '\n';
        ASSERT(r == CSV_BAD || record.n_cells > 0);
        for (size_t i = 0; i < record.n_cells; i++)
            check_cell(&reader, &record, &record.cells[i]);
    }
    ASSERT(reader.at == text.len);
}

static void check_stream(Str text, char separator)
{
    CsvScan all = { 0 }, grown = { 0 };
    size_t whole = csv_scan_whole(&all, text, separator), last = 0;

    for (size_t len = 0; len <= text.len; len++) {
        size_t n = csv_scan_whole(&grown, str_sub(text, 0, len), separator);

        ASSERT(n >= last && n <= len);
        ASSERT(n == 0 || text.data[n - 1] == '\n');
        last = n;
    }
    ASSERT(last == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char separators[] = { 0, ';', '\t', '|' };
    char separator;

    if (len == 0)
        return 0;
    separator = separators[data[0] & 3];
    check_records(str_from((const char *) data + 1, len - 1), separator);
    if (len < 4096)
        check_stream(str_from((const char *) data + 1, len - 1), separator);
    return 0;
}
