/*
 * Line protocol: what is read and written, every fault, where reading goes on behind one, reals
 * against the C library, and lines of a stream cut at every place.
 */
#include "codec/line_protocol_int.h"

#include "base/rand.h"
#include "base/test.h"

#include <inttypes.h>
#include <stdlib.h>

/* Read TEXT, one line; false when it is refused. Its views stay good as long as READER. */
static bool read_one(LineReader *reader, const char *text, LinePoint *point)
{
    line_reader_begin(reader, str_from_c(text), 1);
    return line_reader_next(reader, point) == 0;
}

static void expect_fault(const char *text, const char *code)
{
    AUTO(line_reader_deinit) LineReader reader;
    LinePoint point;
    char words[200];

    line_reader_init(&reader);
    line_reader_begin(&reader, str_from_c(text), 1);
    if (line_reader_next(&reader, &point) != LINE_BAD)
        return test_fail(__FILE__, __LINE__, "\"%s\" is not refused", text);
    if (strcmp(line_fault_code(reader.fault), code) != 0)
        test_fail(__FILE__, __LINE__, "\"%s\": got %s, want %s", text,
                  line_fault_code(reader.fault), code);
    line_fault_format(&reader, &point, words, sizeof(words));
    EXPECT(strlen(words) > 10);
}

TEST(reads_a_point)
{
    AUTO(line_reader_deinit) LineReader reader;
    LinePoint point;

    line_reader_init(&reader);
    REQUIRE(read_one(&reader,
                     "cpu,host=a,region=eu usage=1.5,cores=4i,max=18446744073709551615u,on=t,"
                     "note=\"x y, z\" 1600000000000000000\n",
                     &point));
    EXPECT_STR(point.measurement, STR_C("cpu"));
    REQUIRE(point.n_tags == 2 && point.n_items == 7);
    EXPECT_STR(point.items[1].key, STR_C("region"));
    EXPECT_STR(point.items[1].text, STR_C("eu"));
    EXPECT(point.items[2].kind == LINE_REAL && point.items[2].real == 1.5);
    EXPECT_STR(point.items[2].text, STR_C("1.5"));
    EXPECT(point.items[3].kind == LINE_INTEGER && point.items[3].integer == 4);
    EXPECT(point.items[4].kind == LINE_UNSIGNED && point.items[4].natural == UINT64_MAX);
    EXPECT(point.items[5].kind == LINE_BOOLEAN && point.items[5].boolean);
    EXPECT_STR(point.items[6].text, STR_C("x y, z"));
    EXPECT(point.has_time);
    EXPECT_EQ(point.time, 1600000000000000000);
    EXPECT_EQ(line_reader_next(&reader, &point), LINE_END);
}

/* A time before 1970, none at all, spaces, carriage returns, no line end, a line of 100 KB. */
TEST(reads_what_is_unusual)
{
    AUTO(line_reader_deinit) LineReader reader;
    AUTO(buf_deinit) Buf text = { 0 };
    LinePoint point;

    line_reader_init(&reader);
    REQUIRE(read_one(&reader, "  m f=1i   -62135596800000000000\r\n", &point) == false);
    REQUIRE(read_one(&reader, "  m f=1i   -6213559680  \r\n", &point));
    EXPECT_EQ(point.time, -6213559680);
    EXPECT_EQ(point.begin, 2);
    REQUIRE(read_one(&reader, "m f=FALSE", &point));
    EXPECT(!point.has_time && !point.items[0].boolean);
    REQUIRE(read_one(&reader, "m f=1\r", &point));
    REQUIRE(read_one(&reader, "m=1\\,\\ \\= f=1 9223372036854775807", &point));
    EXPECT(point.is_measurement_escaped);
    EXPECT_EQ(point.time, INT64_MAX);
    REQUIRE(read_one(&reader, "m f=-9223372036854775808i,g=-0 -9223372036854775808", &point));
    EXPECT_EQ(point.items[0].integer, INT64_MIN);
    EXPECT_EQ(point.time, INT64_MIN);
    REQUIRE(read_one(&reader, "m f=\"a\nb\"\n", &point));
    EXPECT_STR(point.items[0].text, STR_C("a\nb"));

    buf_add_c(&text, "m f=\"");
    for (size_t i = 0; i < 100000; i++)
        buf_add_char(&text, i % 7 ? 'x' : ',');
    buf_add_c(&text, "\",g=2i 5");
    line_reader_begin(&reader, buf_str(&text), 1);
    REQUIRE(line_reader_next(&reader, &point) == 0);
    EXPECT_EQ(point.items[0].text.len, 100000);
    EXPECT_EQ(point.items[1].integer, 2);
    reader.line_bytes_max = 1000;
    line_reader_begin(&reader, buf_str(&text), 1);
    EXPECT_EQ(line_reader_next(&reader, &point), LINE_BAD);
    EXPECT_C(line_fault_code(reader.fault), "line_too_long");
}

/* Escapes differ by position; a backslash before anything else stands for itself. */
TEST(unescapes_by_position)
{
    static const struct {
        const char *raw;
        LinePlace place;
        const char *want;
    } cases[] = {
        { "a\\,b\\ c\\=d", LINE_IN_MEASUREMENT, "a,b c\\=d" },
        { "a\\,b\\ c\\=d\\\"", LINE_IN_KEY, "a,b c=d\\\"" },
        { "a\\\"b\\\\c\\n\\,", LINE_IN_STRING, "a\"b\\c\\n\\," },
        { "C:\\\\new\\", LINE_IN_KEY, "C:\\\\new\\" },
        { "\\\\,", LINE_IN_KEY, "\\," },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[64];
        size_t n = line_unescape(str_from_c(cases[i].raw), cases[i].place, out);

        EXPECT_STR(str_from(out, n), str_from_c(cases[i].want));
    }
}

TEST(says_what_is_wrong)
{
    static const char *const cases[][2] = {
        { ",a=b f=1", "no_measurement" },
        { "\x01 f=1", "control_character" },
        { "#\x01", "bad_comment" },
        { "m", "no_fields" },
        { "m,a=b", "no_fields" },
        { "m  \n", "no_fields" },
        { "m, f=1", "bad_tag" },
        { "m,a f=1", "bad_tag" },
        { "m,=b f=1", "bad_tag" },
        { "m,a=b=c f=1", "bad_tag" },
        { "m,a= f=1", "no_tag_value" },
        { "m,a\x01=b f=1", "control_character" },
        { "m f", "bad_field" },
        { "m =1", "bad_field" },
        { "m f=1,", "bad_field" },
        { "m f=1,=2", "bad_field" },
        { "m f=", "no_field_value" },
        { "m f=,g=1", "no_field_value" },
        { "m f=yes", "bad_value" },
        { "m f=tRUE", "bad_value" },
        { "m f=+1", "bad_value" },
        { "m f=NaN", "bad_value" },
        { "m f=-NaN", "bad_number" },
        { "m f=inf", "bad_value" },
        { "m f=-inf", "bad_number" },
        { "m f=1=2", "bad_value" },
        { "m f=1.2.3", "bad_number" },
        { "m f=.", "bad_number" },
        { "m f=-", "bad_number" },
        { "m f=1e", "bad_number" },
        { "m f=0x10", "bad_number" },
        { "m f=1.5i", "bad_number" },
        { "m f=-i", "bad_number" },
        { "m f=-1u", "bad_number" },
        { "m f=1e999", "out_of_range" },
        { "m f=9223372036854775808i", "out_of_range" },
        { "m f=-9223372036854775809i", "out_of_range" },
        { "m f=18446744073709551616u", "out_of_range" },
        { "m f=\"abc", "open_quote" },
        { "m f=\"abc\\\"", "open_quote" },
        { "m f=\"abc\"d", "bad_string" },
        { "m f=1 now", "bad_time" },
        { "m f=1 1.5", "bad_time" },
        { "m f=1 1-2", "bad_time" },
        { "m f=1 9223372036854775808", "time_out_of_range" },
        { "m f=1 1 2", "bad_line" },
        { "m f=1 1\rx", "bad_line" },
        { "m,a=\xff f=1", "bad_utf8" },
        { "m f=\"\xc3\"", "bad_utf8" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_fault(cases[i][0], cases[i][1]);
}

/* A refused line never costs its neighbours, and line numbers stay right. */
TEST(goes_on_behind_a_fault)
{
    static const char text[] = "a v=1i\n"
                               "# comment\n"
                               "bad\r\n"
                               "b v=2i\n"
                               "\n"
                               "open v=\"oops\n"
                               "c v=3i\n"
                               "two v=\"x\ny\",w=1 nonsense\n"
                               "d v=4i\n"
                               "wrong v=\"x\n"
                               "e v=\"y\"\n"
                               "f v=6i";
    static const struct {
        int r;
        uint64_t line;
        const char *bytes;
    } want[] = {
        { 0, 1, "a v=1i" },     { LINE_BAD, 3, "bad" },
        { 0, 4, "b v=2i" },     { LINE_BAD, 6, "open v=\"oops" },
        { 0, 7, "c v=3i" },     { LINE_BAD, 8, "two v=\"x\ny\",w=1 nonsense" },
        { 0, 10, "d v=4i" },    { LINE_BAD, 11, "wrong v=\"x" },
        { 0, 12, "e v=\"y\"" }, { 0, 13, "f v=6i" },
    };
    AUTO(line_reader_deinit) LineReader reader;
    LinePoint point;

    line_reader_init(&reader);
    line_reader_begin(&reader, str_from_c(text), 1);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        EXPECT_EQ(line_reader_next(&reader, &point), want[i].r);
        EXPECT_EQ(point.line, want[i].line);
        EXPECT_STR(str_from(text + point.begin, point.end - point.begin),
                   str_from_c(want[i].bytes));
    }
    EXPECT_EQ(line_reader_next(&reader, &point), LINE_END);
}

/* Every prefix of every line ends, in whatever way, and reads nothing behind itself. */
TEST(ends_at_every_prefix)
{
    static const char text[] =
        "m\\,x=1,a\\ b=\\=c,d=e f\\==1.5e-3,\\,g=\"a\\\"b\\\\\nc\",h=TRUE,i=5u "
        "-1234567890\n";
    AUTO(line_reader_deinit) LineReader reader;
    LinePoint point;

    line_reader_init(&reader);
    for (size_t len = 0; len < sizeof(text); len++) {
        char *copy = mem_new_array(char,
                                   MAX(len, (size_t) 1)); /* so that the sanitizer sees its end */
        int r;

        memcpy(copy, text, len);
        line_reader_begin(&reader, str_from(copy, len), 1);
        for (size_t n = 0; (r = line_reader_next(&reader, &point)) != LINE_END; n++)
            REQUIRE(n < 10);
        EXPECT_EQ(reader.at, len);
        mem_free(copy);
    }
}

static void expect_real(const char *text)
{
    LineItem item = { 0 };
    double want = strtod(text, NULL);

    EXPECT_EQ(line_value_parse(str_from_c(text), &item), LINE_FAULT_NONE);
    if (memcmp(&want, &item.real, sizeof(want)) != 0)
        test_fail(__FILE__, __LINE__, "%s: got %.17g, want %.17g", text, item.real, want);
}

/* Rounded as the C library rounds, ties included. */
TEST(reads_reals_to_the_last_bit)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "0.1",
        "1.",
        ".5",
        "-.5e1",
        "9007199254740993",
        "9007199254740992.5",
        "9007199254740994.5",
        "1e22",
        "1e23",
        "1e27",
        "1e-27",
        "1e28",
        "5e-324",
        "2e-324",
        "1.7976931348623157e308",
        "2.2250738585072014e-308",
        "0.30000000000000004",
        "9999999999999999999",
        "18446744073709551615",
        "123456789012345678901234567890",
        "1e-400",
        "0e99999999999",
        "100000000000000016777215",
        "4503599627370496.5",
        "4503599627370497.5",
        "0.000000000000000000000000001",
        "8.988465674311579e307",
    };
    Rand random;
    char text[64];

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        expect_real(texts[i]);
    rand_init(&random, 7);
    for (size_t i = 0; i < 200000; i++) {
        uint64_t bits = rand_u64(&random);
        double real;

        snprintf(text, sizeof(text), "%" PRIu64 "e%d", bits >> (bits & 63),
                 (int) (rand_u64(&random) % 61) - 30);
        expect_real(text);
        memcpy(&real, &bits, sizeof(real));
        if (!isfinite(real))
            continue;
        snprintf(text, sizeof(text), "%.17g", real);
        expect_real(text);
        snprintf(text, sizeof(text), "%.*f", (int) (bits % 9), (double) (bits >> 32) / 1000);
        expect_real(text);
    }
}

/* How much of a growing piece is whole, asked at every byte, is what a look at all of it says. */
TEST(finds_whole_lines_in_a_stream)
{
    static const char text[] = "a v=1i\n"
                               "# \"comment\n"
                               "b,t=\" v=2i\n"
                               "c\\ \"x=\" f\\=\\ =\"a\\\"b\nc\\\\\",g=\"\" 5\n"
                               "d v=\"x\n"
                               "e v=\"y\"\n"
                               "f v=6i\n";
    static const char *const lines[] = {
        "a v=1i\n",      "# \"comment\n",
        "b,t=\" v=2i\n", "c\\ \"x=\" f\\=\\ =\"a\\\"b\nc\\\\\",g=\"\" 5\n",
        "d v=\"x\n",     "e v=\"y\"\n",
        "f v=6i\n",
    };
    size_t ends[ARRAY_LEN(lines)], n = 0, want = 0;
    LineScan scan = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        ends[i] = n += strlen(lines[i]);
    REQUIRE(n == sizeof(text) - 1);
    for (size_t len = 0; len <= n; len++) {
        LineScan anew = { 0 };
        size_t whole = line_scan_whole(&scan, str_from(text, len));

        EXPECT_EQ(line_scan_whole(&anew, str_from(text, len)), whole);
        for (size_t i = 0; i < ARRAY_LEN(lines); i++)
            if (ends[i] <= len && i != 4)
                want = ends[i];
        /* That line d has ended shows only behind the quote in line e. */
        if (len < ends[4] + 5 || len >= ends[5])
            EXPECT_EQ(whole, want);
    }
}

TEST(writes_what_it_reads)
{
    AUTO(line_reader_deinit) LineReader reader;
    AUTO(buf_deinit) Buf out = { 0 };
    int64_t time = -5;
    LineWriter writer;
    LinePoint point;

    EXPECT_OK(line_write_begin(&writer, &out, STR_C("a b,c=")));
    EXPECT_OK(line_write_tag(&writer, STR_C("k=1"), STR_C("v,2 3")));
    EXPECT_OK(line_write_real(&writer, STR_C("r"), 0.1));
    EXPECT_OK(line_write_real(&writer, STR_C("w"), 3));
    EXPECT_OK(line_write_i64(&writer, STR_C("i"), INT64_MIN));
    EXPECT_OK(line_write_u64(&writer, STR_C("u"), UINT64_MAX));
    EXPECT_OK(line_write_bool(&writer, STR_C("b"), true));
    EXPECT_OK(line_write_string(&writer, STR_C("s"), STR_C("a\"b\\c\n")));
    EXPECT_OK(line_write_end(&writer, &time));
    EXPECT_STR(buf_str(&out), STR_C("a\\ b\\,c=,k\\=1=v\\,2\\ 3 r=0.1,w=3,i=-9223372036854775808i,"
                                    "u=18446744073709551615u,b=true,s=\"a\\\"b\\\\c\n\" -5\n"));
    line_reader_init(&reader);
    line_reader_begin(&reader, buf_str(&out), 1);
    REQUIRE(line_reader_next(&reader, &point) == 0);
    EXPECT_EQ(point.n_items, 7);
    EXPECT_EQ(point.time, -5);
    EXPECT_EQ(line_reader_next(&reader, &point), LINE_END);
}

/* What could not be read back is refused, and no part of it stays. */
TEST(refuses_to_write_what_cannot_be_read)
{
    static const char *const names[] = { "", "a\\", "a\nb", "\x7f", "\xff" };
    AUTO(buf_deinit) Buf out = { 0 };
    LineWriter writer;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        EXPECT(line_write_begin(&writer, &out, str_from_c(names[i])) < 0);
        EXPECT(line_write_end(&writer, NULL) < 0);
        EXPECT_OK(line_write_begin(&writer, &out, STR_C("m")));
        EXPECT(line_write_tag(&writer, STR_C("k"), str_from_c(names[i])) < 0);
        EXPECT(line_write_end(&writer, NULL) < 0);
        EXPECT_OK(line_write_begin(&writer, &out, STR_C("m")));
        EXPECT(line_write_i64(&writer, str_from_c(names[i]), 1) < 0);
        EXPECT(line_write_end(&writer, NULL) < 0);
    }
    EXPECT_OK(line_write_begin(&writer, &out, STR_C("m")));
    EXPECT_ERR(line_write_real(&writer, STR_C("f"), (double) NAN), -ERR_INVALID, "finite");
    EXPECT_ERR(line_write_end(&writer, NULL), -ERR_INVALID, "finite");
    EXPECT_OK(line_write_begin(&writer, &out, STR_C("m")));
    EXPECT_ERR(line_write_end(&writer, NULL), -ERR_INVALID, "no fields");
    EXPECT_ERR(line_write_begin(&writer, &out, STR_C("#m")), -ERR_INVALID, "#");
    EXPECT_EQ(out.len, 0);
}

TEST_MAIN()
