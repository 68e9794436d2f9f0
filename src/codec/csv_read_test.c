/*
 * CSV, read: cells and their quotes, line ends, mistakes that cost one line, records of a stream
 * cut at every place, and that what is written is read back.
 */
#include "codec/csv.h"
#include "codec/csv_read.h"

#include "base/test.h"

/* What reading TEXT gives, a line for each record: cells with | between, quoted ones in '…', a
 * record that is refused as !code. */
static void show(const char *text, char separator, Buf *out)
{
    AUTO(csv_reader_deinit) CsvReader reader;
    CsvRecord record;
    char room[256];
    int r;

    buf_reset(out);
    csv_reader_init(&reader, separator);
    csv_reader_begin(&reader, str_from_c(text), 1);
    while ((r = csv_reader_next(&reader, &record)) != CSV_END) {
        buf_printf(out, "%d:", (int) record.line);
        if (r == CSV_BAD)
            buf_printf(out, "!%s", csv_fault_code(reader.fault));
        for (size_t i = 0; i < record.n_cells; i++) {
            const CsvCell *cell = &record.cells[i];
            Str shown = cell->text;

            if (cell->is_doubled)
                shown = str_from(room, csv_undouble(cell->text, room));
            buf_add_c(out, i > 0 ? "|" : "");
            buf_add_c(out, cell->is_quoted ? "'" : "");
            buf_add_str(out, shown);
            buf_add_c(out, cell->is_quoted ? "'" : "");
        }
        buf_add_char(out, ';');
    }
    EXPECT_EQ(reader.at, strlen(text));
}

TEST(reads_records)
{
    static const struct {
        const char *text;
        char separator;
        const char *want;
    } cases[] = {
        { "a,b\n1,2\n", 0, "1:a|b;2:1|2;" },
        { "a,b\r\n1,2\r\n", 0, "1:a|b;2:1|2;" },
        { "a,b\n1,2", 0, "1:a|b;2:1|2;" },
        { "\xef\xbb\xbf"
          "a\n",
          0, "1:a;" },
        { "a;b,c", ';', "1:a|b,c;" },
        { "a\tb", '\t', "1:a|b;" },
        { ",\n", 0, "1:|;" },
        { "\"\",\n", 0, "1:''|;" },
        { "\"a,b\",\"c\"\"d\",\"e\nf\"\ng\n", 0, "1:'a,b'|'c\"d'|'e\nf';3:g;" },
        { "\"a\r\nb\"\r\n", 0, "1:'a\r\nb';" },
        { "\n\r\na\n\n\nb", 0, "3:a;6:b;" },
        { "a\rb\n", 0, "1:a\rb;" },
        { "a\"b\",c\n", 0, "1:a\"b\"|c;" },
        { " \"a\"\n", 0, "1: \"a\";" },
        { "\"\"\"\"\n", 0, "1:'\"';" },
        { "", 0, "" },
        { "\n", 0, "" },
        { "\"a\"b,c\nd\n", 0, "1:!bad_quote;2:d;" },
        { "\"a\" ,c\nd\n", 0, "1:!bad_quote;2:d;" },
        { "\"a\nb\nc", 0, "1:!open_quote;2:b;3:c;" },
        { "\"a\nb\"c\nd", 0, "1:!bad_quote;2:b\"c;3:d;" },
        { "a\xff\nb", 0, "1:!bad_utf8;2:b;" },
        { "\"a\"\rb\n", 0, "1:!bad_quote;" },
    };
    AUTO(buf_deinit) Buf out = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        show(cases[i].text, cases[i].separator, &out);
        EXPECT_STR(buf_str(&out), str_from_c(cases[i].want));
    }
}

TEST(bounds_a_record)
{
    AUTO(csv_reader_deinit) CsvReader reader;
    AUTO(buf_deinit) Buf text = { 0 };
    CsvRecord record;

    for (size_t i = 0; i < 100000; i++)
        buf_add_char(&text, ',');
    buf_add_c(&text, "\nx\n");
    csv_reader_init(&reader, 0);
    csv_reader_begin(&reader, buf_str(&text), 1);
    EXPECT_EQ(csv_reader_next(&reader, &record), CSV_BAD);
    EXPECT_C(csv_fault_code(reader.fault), "too_many_cells");
    EXPECT_EQ(csv_reader_next(&reader, &record), 0);
    EXPECT_EQ(record.line, 2);
    reader.line_bytes_max = 10;
    csv_reader_begin(&reader, STR_C("01234567890123\nok\n"), 1);
    EXPECT_EQ(csv_reader_next(&reader, &record), CSV_BAD);
    EXPECT_C(csv_fault_code(reader.fault), "line_too_long");
    EXPECT_EQ(csv_reader_next(&reader, &record), 0);
}

TEST(finds_whole_records_in_a_stream)
{
    static const char text[] = "a,b\n\"c\nd\",\"\"\"\n\"\r\ne\"f\n\"x\ny\"z\n\"\n\"\n";
    static const size_t ends[] = { 4, 17, 21, 24, 28, 32 };
    CsvScan scan = { 0 };

    for (size_t len = 0; len < sizeof(text); len++) {
        CsvScan anew = { 0 };
        size_t whole = csv_scan_whole(&scan, str_from(text, len), 0), want = 0;

        EXPECT_EQ(csv_scan_whole(&anew, str_from(text, len), 0), whole);
        for (size_t i = 0; i < ARRAY_LEN(ends); i++)
            want = ends[i] <= len ? ends[i] : want;
        /* That the record "x has ended shows only behind the quote in the next line. */
        if (len < 24 || len > 26)
            EXPECT_EQ(whole, want);
    }
    EXPECT_EQ(scan.whole, sizeof(text) - 1);
}

TEST(reads_what_is_written)
{
    static const char *const texts[] = {
        "plain", "", " spaced ", "a,b", "say \"x\"", "two\nlines"
    };
    AUTO(csv_reader_deinit) CsvReader reader;
    AUTO(buf_deinit) Buf out = { 0 };
    CsvForm form = { 0 };
    CsvRecord record;
    char room[64];

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (i > 0)
            csv_add_separator(&out, &form);
        csv_add_text(&out, &form, str_from_c(texts[i]));
    }
    csv_add_end(&out, &form);
    csv_reader_init(&reader, 0);
    csv_reader_begin(&reader, buf_str(&out), 1);
    REQUIRE(csv_reader_next(&reader, &record) == 0);
    REQUIRE(record.n_cells == ARRAY_LEN(texts));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        EXPECT_STR(str_from(room, csv_undouble(record.cells[i].text, room)), str_from_c(texts[i]));
    EXPECT_EQ(csv_reader_next(&reader, &record), CSV_END);
}

TEST_MAIN()
