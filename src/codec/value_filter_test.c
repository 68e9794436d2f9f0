/*
 * Filters: numbers as people write them, dates, expressions, lists, and what must be refused.
 */
#include "codec/value_filter.h"

#include "base/rand.h"
#include "base/test.h"
#include "codec/json.h"

/* TEXT through CHAIN as JSON; "mismatch" before it when a filter said so. */
static const char *run(const char *chain_text, Value value)
{
    static char out[2048];
    AUTO(filter_chain_free) FilterChain *chain = NULL;
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf json = { 0 };
    int r = filter_chain_new(str_from_c(chain_text), &chain);

    if (r < 0) {
        Err err;

        err_take(r, &err);
        snprintf(out, sizeof(out), "error: %s", err.text);
        return out;
    }
    r = filter_chain_run(chain, &arena, NULL, &value);
    if (r == VALUE_MISMATCH)
        buf_add_c(&json, "mismatch ");
    value_write_json(&value, &json);
    snprintf(out, sizeof(out), "%.*s", (int) json.len, json.data);
    return out;
}

#define EXPECT_RUN(chain, text, want) EXPECT_C(run(chain, value_text(STR_C(text))), want)

TEST(numbers_by_their_shape)
{
    EXPECT_RUN("number", "42", "42");
    EXPECT_RUN("number", " -7 ", "-7");
    EXPECT_RUN("number", "+7", "7");
    EXPECT_RUN("number", "19.99", "19.99");
    EXPECT_RUN("number", "19,99", "19.99");
    EXPECT_RUN("number", "1.234,56 \xe2\x82\xac", "1234.56");
    EXPECT_RUN("number", "1,234.56", "1234.56");
    EXPECT_RUN("number", "$1,234.50", "1234.50");
    EXPECT_RUN("number", "1.234.567", "1234567");
    EXPECT_RUN("number", "1,234,567", "1234567");
    EXPECT_RUN("number", "1.234.567,8", "1234567.8");
    EXPECT_RUN("number",
               "1\xc2\xa0"
               "234,5",
               "1234.5");
    EXPECT_RUN("number",
               "1\xe2\x80\xaf"
               "234\xe2\x80\xaf"
               "567",
               "1234567");
    EXPECT_RUN("number", "1'234.50 CHF", "1234.50");
    EXPECT_RUN("number",
               "1\xe2\x80\x99"
               "234.50",
               "1234.50");
    EXPECT_RUN("number", "1 234.567", "1234.567");
    EXPECT_RUN("number", "EUR 5,-", "5");
    EXPECT_RUN("number", "5.\xe2\x80\x93", "5");
    EXPECT_RUN("number", "0.125", "0.125");
    EXPECT_RUN("number", "0,125", "0.125");
    EXPECT_RUN("number", "1234.567", "1234.567");
    EXPECT_RUN("number", "007", "7");
    EXPECT_RUN("number", ".5", "0.5");
    EXPECT_RUN("number", "12 %", "12");
    EXPECT_RUN("number", "1.5e3", "1.5e3");
    EXPECT_RUN("number", "5em", "5");
    EXPECT_RUN("number", "3 items", "3");
    EXPECT_RUN("number", "Price: 3.50 (was 4.50)", "3.50");
    EXPECT_RUN("number", "10-20", "10");
    EXPECT_RUN("number", "10 20", "10");
    EXPECT_RUN("number", "No. 5", "5");
    EXPECT_RUN("number", "call us", "mismatch null");
    EXPECT_RUN("number", "", "mismatch null");
    EXPECT_RUN("number", "1,2.3,4", "mismatch null");
}

TEST(ambiguous_numbers_are_read_as_thousands)
{
    EXPECT_RUN("number", "1.234", "1234");
    EXPECT_RUN("number", "1,234", "1234");
    EXPECT_RUN("number(en)", "1.234", "1.234");
    EXPECT_RUN("number(de)", "1.234", "1234");
    EXPECT_RUN("number(de)", "1,234", "1.234");
    EXPECT_RUN("number(.)", "1,234.5", "1234.5");
    EXPECT_RUN("number(,)", "1.234,5", "1234.5");
    EXPECT_RUN("number(de)", "1,234.5", "mismatch null");
}

TEST(signs)
{
    EXPECT_RUN("number",
               "-\xe2\x82\xac"
               "5",
               "-5");
    EXPECT_RUN("number",
               "\xe2\x88\x92"
               "5.5",
               "-5.5");
    EXPECT_RUN("number", "5,00-", "-5.00");
    EXPECT_RUN("number", "(5.00)", "-5.00");
    EXPECT_RUN("number", "($5.00)", "-5.00");
    EXPECT_RUN("number", "X-5", "5");
    EXPECT_RUN("number", "$ -5", "-5");
}

TEST(numbers_keep_their_digits)
{
    EXPECT_RUN("number", "0.1000000000000000000000001", "0.1000000000000000000000001");
    EXPECT_RUN("number", "19.90", "19.90");
    EXPECT_RUN("number", "9223372036854775807", "9223372036854775807");
    EXPECT_RUN("number", "9223372036854775808", "9223372036854775808");
    EXPECT_RUN("number", "-9223372036854775808", "-9223372036854775808");
    EXPECT_RUN("integer", "5.00", "5");
    EXPECT_RUN("integer", "5.01", "mismatch null");
    EXPECT_RUN("integer", "1,234", "1234");
}

TEST(dates)
{
    EXPECT_RUN("date", "2026-11-21", "\"2026-11-21T00:00:00Z\"");
    EXPECT_RUN("date", "2026-11-21T10:30:05.25+01:00", "\"2026-11-21T09:30:05.25Z\"");
    EXPECT_RUN("date", "2026-11-21 10:30", "\"2026-11-21T10:30:00Z\"");
    EXPECT_RUN("date", "20261121T103000Z", "mismatch null");
    EXPECT_RUN("date", "Sat, 21 Nov 2026 03:15:00 GMT", "\"2026-11-21T03:15:00Z\"");
    EXPECT_RUN("date", "Saturday, 21-Nov-26 03:15:00 GMT", "\"2026-11-21T03:15:00Z\"");
    EXPECT_RUN("date", "November 21, 2026", "\"2026-11-21T00:00:00Z\"");
    EXPECT_RUN("date", "Nov 21, 2026, 3:05 pm", "\"2026-11-21T15:05:00Z\"");
    EXPECT_RUN("date", "21. M\xc3\xa4rz 2026", "\"2026-03-21T00:00:00Z\"");
    EXPECT_RUN("date",
               "21 d\xc3\xa9"
               "cembre 2026",
               "\"2026-12-21T00:00:00Z\"");
    EXPECT_RUN("date(de)", "21.11.2026 10:30", "\"2026-11-21T10:30:00Z\"");
    EXPECT_RUN("date(us)", "11/21/2026", "\"2026-11-21T00:00:00Z\"");
    EXPECT_RUN("date(gb)", "11/12/2026", "\"2026-12-11T00:00:00Z\"");
    EXPECT_RUN("date(%d.%m.%y %H:%M)", "01.02.99 03:04", "\"1999-02-01T03:04:00Z\"");
    EXPECT_RUN("date(%s)", "86400", "\"1970-01-02T00:00:00Z\"");
    EXPECT_RUN("date(%I:%M %p)", "12:05 am", "\"1970-01-01T00:05:00Z\"");
    EXPECT_RUN("date", "1969-12-31T23:59:59.5Z", "\"1969-12-31T23:59:59.5Z\"");
    EXPECT_RUN("date", "2024-02-29", "\"2024-02-29T00:00:00Z\"");
    EXPECT_RUN("date", "2026-02-29", "mismatch null");
    EXPECT_RUN("date", "2026-13-01", "mismatch null");
    EXPECT_RUN("date", "9999-01-01", "mismatch null");
    EXPECT_RUN("date", "11/21/2026", "mismatch null");
    EXPECT_RUN("date", "soon", "mismatch null");
}

TEST(texts)
{
    EXPECT_RUN("trim", "\xc2\xa0 a \n b\xe2\x80\xaf", "\"a b\"");
    EXPECT_RUN("upper", "stra\xc3\xa4\xc5\xa1\xd0\xb6\xce\xb1 \xe2\x82\xac",
               "\"STRA\xc3\x84\xc5\xa0\xd0\x96\xce\x91 \xe2\x82\xac\"");
    EXPECT_RUN("lower", "STRA\xc3\x84\xc5\xa0\xd0\x96\xce\x91",
               "\"stra\xc3\xa4\xc5\xa1\xd0\xb6\xce\xb1\"");
    EXPECT_RUN("length",
               "\xc3\xa4"
               "b",
               "2");
    EXPECT_RUN("slice(1,3)",
               "a\xc3\xa4"
               "bcd",
               "\"\xc3\xa4"
               "b\"");
    EXPECT_RUN("slice(-2)", "abcd", "\"cd\"");
    EXPECT_RUN("slice(3,1)", "abcd", "\"\"");
    EXPECT_RUN("remove(,)|prefix(<)|suffix('>')", "a,b", "\"<ab>\"");
    EXPECT_RUN("bool", " Yes ", "true");
    EXPECT_RUN("bool", "off", "false");
    EXPECT_RUN("bool", "maybe", "mismatch null");
    EXPECT_RUN("json", " {\"a\":1} ", "{\"a\":1}");
    EXPECT_RUN("json", "{a:1}", "mismatch null");
    EXPECT_RUN("", "a\"b", "\"a\\\"b\"");
    EXPECT_RUN("url", "/a", "mismatch null");
}

TEST(expressions)
{
    EXPECT_RUN("regex(\\d+)", "a 12 b 34", "\"12\"");
    EXPECT_RUN("regex(SKU: ([A-Z]+)-(\\d+))", "SKU: AB-12", "\"AB\"");
    EXPECT_RUN("regex('(a)|(b)')", "xb", "\"b\"");
    EXPECT_RUN("regex((?i)sku)", "the SKU", "\"SKU\"");
    EXPECT_RUN("regex([^\\d,]+$)", "12,ab", "\"ab\"");
    EXPECT_RUN("regex(a{2,3})", "caaaat", "\"aaa\"");
    EXPECT_RUN("regex(x)", "abc", "mismatch null");
    EXPECT_RUN("replace('(\\w+) (\\w+)','\\2 \\1')", "a b", "\"b a\"");
    EXPECT_RUN("replace('x*','-')", "abc", "\"-a-b-c-\"");
    EXPECT_RUN("regex(\\d+)|number", "EUR 12", "12");
    EXPECT(strstr(run("regex((a)", value_text(STR_C(""))), "parenthesis"));
    EXPECT(strstr(run("regex([)", value_text(STR_C(""))), "error"));
    EXPECT(strstr(run("regex('(?:a)')", value_text(STR_C(""))), "not supported"));
    EXPECT(strstr(run("regex(a*?)", value_text(STR_C(""))), "lazy"));
    EXPECT(strstr(run("regex('(a)\\1')", value_text(STR_C(""))), "back-references"));
    /* Would catch what ends the process or eats its memory when it is compiled. */
    EXPECT(strstr(run("regex('(((((((((((((((((a)))))))))))))))))')", value_text(STR_C(""))),
                  "inside each other"));
    EXPECT(strstr(run("regex('(((a{1,99}){1,99}){1,99})')", value_text(STR_C(""))), "written out"));
    EXPECT(strstr(run("regex('a{32000}')", value_text(STR_C(""))), "written out"));
    EXPECT(strstr(run("regex('((((((((((a+)+)+)+)+)+)+)+)+)+)')", value_text(STR_C(""))),
                  "written out"));
    EXPECT_RUN("regex('([0-9]{4})-[0-9]{1,2}-([]{a]{2}|\\{)+')", "2026-11-{a", "\"2026\"");
}

TEST(lists)
{
    EXPECT_RUN("split(,)", "a,b,,c", "[\"a\",\"b\",\"\",\"c\"]");
    EXPECT_RUN("split", " a  b ", "[\"a\",\"b\"]");
    EXPECT_RUN("split(,)|join(; )", "a,b", "\"a; b\"");
    EXPECT_RUN("split(,)|first", "a,b", "\"a\"");
    EXPECT_RUN("split(,)|last|upper", "a,b", "\"B\"");
    EXPECT_RUN("split(,)|at(-2)", "a,b,c", "\"b\"");
    EXPECT_RUN("split(,)|at(5)|default(none)", "a", "\"none\"");
    EXPECT_RUN("split(,)|count", "a,b", "2");
    EXPECT_RUN("split(,)|unique", "a,b,a", "[\"a\",\"b\"]");
    EXPECT_RUN("json|at(1)", "[1,2.50]", "2.50");
    EXPECT_RUN("join(,)", "a", "mismatch null");
}

TEST(what_is_missing)
{
    EXPECT_C(run("number|default(0)", (Value){ .is_missing = true }), "\"0\"");
    EXPECT_C(run("number|default(0)|number", (Value){ .is_missing = true }), "0");
    EXPECT_C(run("trim|upper", (Value){ .is_missing = true }), "null");
    EXPECT_RUN("number|default(none)", "call us", "mismatch \"none\"");
}

#define EXPECT_BAD(chain, part)                                    \
    EXPECT(strstr(run(chain, value_text((Str){ 0 })), "error: ")); \
    EXPECT(strstr(run(chain, value_text((Str){ 0 })), part))

TEST(chains_that_are_refused)
{
    EXPECT_BAD("nubmer", "at 1: no filter \"nubmer\"; did you mean \"number\"?");
    EXPECT_BAD("trim|", "a filter is missing");
    EXPECT_BAD("trim|xyzzy", "at 6: no filter \"xyzzy\"");
    EXPECT_BAD("trim(1)", "takes no argument");
    EXPECT_BAD("regex", "needs an argument");
    EXPECT_BAD("replace(a)", "needs two arguments");
    EXPECT_BAD("number(xx)", "no such locale");
    EXPECT_BAD("default(a", "not closed");
    EXPECT_BAD("default('a)", "quote is not closed");
    EXPECT_BAD("trim lower", "expected \"|\"");
    EXPECT_BAD("date(%Q)", "%Q is not known");
    EXPECT_BAD("date(xx)", "neither a format");
    EXPECT_BAD("at(x)", "at");
    EXPECT_BAD("Trim", "no filter");
    EXPECT_BAD(
        "trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|"
        "trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim|trim",
        "more than");
}

TEST(kinds_are_known_beforehand)
{
    static const struct {
        const char *chain;
        ValueKind kind;
    } cases[] = {
        { "", VALUE_TEXT },         { "trim", VALUE_TEXT },
        { "number", VALUE_REAL },   { "number|default(0)", VALUE_REAL },
        { "integer", VALUE_INT },   { "date", VALUE_TIME },
        { "split(,)", VALUE_JSON }, { "split(,)|first", VALUE_NULL },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(filter_chain_free) FilterChain *chain = NULL;

        REQUIRE(filter_chain_new(str_from_c(cases[i].chain), &chain) == 0);
        EXPECT_EQ(filter_chain_kind(chain), cases[i].kind);
    }
}

/* What `number` gives is always a JSON number. */
TEST(lexemes_are_json)
{
    static const char *const pieces[] = { "1",        "0", "23",  ".", ",", " ",
                                          "-",        "(", ")",   "'", "e", "\xe2\x82\xac",
                                          "\xc2\xa0", "%", "999", "+", "a" };
    Rand rand;

    rand_init(&rand, 5);
    for (int i = 0; i < 5000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf text = { 0 };
        JsonDoc doc;
        const char *out;

        for (uint64_t n = rand_below(&rand, 9); n > 0; n--)
            buf_add_c(&text, pieces[rand_below(&rand, ARRAY_LEN(pieces))]);
        out = run("number", value_text(buf_str(&text)));
        if (strncmp(out, "mismatch", 8) == 0)
            continue;
        EXPECT_OK(json_parse(&arena, str_from_c(out), &doc));
        EXPECT(json_is_number(doc.root));
    }
}

TEST_MAIN()
