/*
 * CSV cells: when they are quoted, and what ?safe=1 does.
 */
#include "codec/csv.h"

#include "base/test.h"

static void expect_cell(CsvForm form, Str text, const char *want)
{
    AUTO(buf_deinit) Buf out = { 0 };

    csv_add_text(&out, &form, text);
    EXPECT_STR(buf_str(&out), str_from_c(want));
}

TEST(cells_are_quoted_when_they_must_be)
{
    CsvForm plain = { 0 }, tabs = { .separator = '\t' }, semicolons = { .separator = ';' };

    expect_cell(plain, STR_C("abc"), "abc");
    expect_cell(plain, STR_C("a b"), "a b");
    expect_cell(plain, STR_C(" a"), "\" a\"");
    expect_cell(plain, STR_C("a "), "\"a \"");
    expect_cell(plain, STR_C(""), "\"\"");
    expect_cell(plain, STR_C("a,b"), "\"a,b\"");
    expect_cell(plain, STR_C("a;b"), "a;b");
    expect_cell(semicolons, STR_C("a;b"), "\"a;b\"");
    expect_cell(semicolons, STR_C("a,b"), "a,b");
    expect_cell(tabs, STR_C("a\tb"), "\"a\tb\"");
    expect_cell(plain, STR_C("say \"hi\""), "\"say \"\"hi\"\"\"");
    expect_cell(plain, STR_C("\""), "\"\"\"\"");
    expect_cell(plain, STR_C("a\nb"), "\"a\nb\"");
    expect_cell(plain, STR_C("a\r\nb"), "\"a\r\nb\"");
    expect_cell(plain, STR_C("日本"), "日本");
    expect_cell(plain, STR_C("a\xff"), "a\xef\xbf\xbd");
}

TEST(formulas_are_guarded_when_asked)
{
    static const char *const texts[] = { "=1+1", "+1", "-1", "@x", "\tx", "\rx" };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO(buf_deinit) Buf out = { 0 };

        csv_add_text(&out, &(CsvForm){ .is_safe = true }, str_from_c(texts[i]));
        EXPECT(str_starts(buf_str(&out), STR_C("\"'")));
        buf_reset(&out);
        csv_add_text(&out, &(CsvForm){ 0 }, str_from_c(texts[i]));
        EXPECT(!str_contains(buf_str(&out), STR_C("'")));
    }
    expect_cell((CsvForm){ .is_safe = true }, STR_C("x=1"), "x=1");
    expect_cell((CsvForm){ .is_safe = true }, STR_C("=\"a\""), "\"'=\"\"a\"\"\"");
}

/* Without memory a cell fails; it is never cut short. */
TEST(no_memory_is_an_error)
{
    FOR_EACH_FAULT {
        AUTO(buf_deinit) Buf out = { 0 };

        csv_add_text(&out, &(CsvForm){ 0 }, STR_C("bad \xff, quoted"));
        if (buf_check(&out) == 0)
            EXPECT_STR(buf_str(&out), STR_C("\"bad \xef\xbf\xbd, quoted\""));
    }
}

TEST_MAIN()
