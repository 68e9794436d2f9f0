/*
 * Expressions: what each gives, what null and the wrong kind do, what is refused in which words,
 * and that hostile ones end.
 */
#include "rows/expr.h"

#include "base/limits.h"
#include "base/test.h"

#include <stdio.h>
#include <time.h>

static const RowColumn columns[] = {
    { .name = STR("value"), .kind = ROW_REAL },  { .name = STR("count"), .kind = ROW_INT },
    { .name = STR("sensor"), .kind = ROW_TEXT }, { .name = STR("is_ok"), .kind = ROW_BOOL },
    { .name = STR("at"), .kind = ROW_TIME },     { .name = STR("nothing"), .kind = ROW_REAL },
    { .name = STR("digits"), .kind = ROW_TEXT }, { .name = STR("a b.c"), .kind = ROW_INT },
};

static const RowValue row[] = {
    { .kind = ROW_REAL, .real = 21.5 },
    { .kind = ROW_INT, .integer = 7 },
    { .kind = ROW_TEXT, .text = STR("t-0042") },
    { .kind = ROW_BOOL, .boolean = true },
    { .kind = ROW_TIME, .time_ns = INT64_C(1700000000500000000) },
    { .kind = ROW_ANY },
    { .kind = ROW_TEXT, .text = STR("12.5") },
    { .kind = ROW_INT, .integer = 3 },
};

/* What TEXT gives for the row, as JSON, with "!" behind it when it is wrong and "@ …" before the
 * words of an error. Its kind is what was promised. */
static const char *eval(const char *text)
{
    static char out[512];
    AUTO(expr_free) Expr *expr = NULL;
    AUTO(expr_plan_free) ExprPlan *plan = NULL;
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf json = { 0 };
    ExprRun run = { .arena = &arena }, again = { .arena = &arena };
    RowValue value;
    int r = expr_parse(str_from_c(text), &expr);

    if (r == 0)
        r = expr_bind(expr, columns, ARRAY_LEN(columns), true, &plan);
    if (r < 0) {
        (void) snprintf(out, sizeof(out), "@ %s", err_text(r));
        return out;
    }
    value = expr_eval(plan, row, &run);
    if (value.kind == ROW_BOOL)
        EXPECT_EQ(expr_test(plan, row, &again), value.boolean);
    if (expr_kind(plan) != ROW_ANY && value.kind != ROW_ANY)
        EXPECT_C(row_kind_name(value.kind), row_kind_name(expr_kind(plan)));
    row_value_format_json(&json, &value);
    (void) snprintf(out, sizeof(out), "%.*s%s", (int) json.len, json.data, run.is_wrong ? "!" : "");
    return out;
}

TEST(arithmetic)
{
    EXPECT_C(eval("1 + 2 * 3"), "7");
    EXPECT_C(eval("(1 + 2) * 3"), "9");
    EXPECT_C(eval("7 / 2"), "3.5");
    EXPECT_C(eval("-7 % 3"), "-1");
    EXPECT_C(eval("7.5 % 2"), "1.5");
    EXPECT_C(eval("count * 2 - -1"), "15");
    EXPECT_C(eval("(value - 32) / 1.8"), "-5.833333333333333");
    EXPECT_C(eval("count + value"), "28.5");
    EXPECT_C(eval("digits * 2"), "25.0");
    EXPECT_C(eval("9223372036854775807 + 1"), "null!");
    EXPECT_C(eval("(-9223372036854775807 - 1) % -1"), "0");
    EXPECT_C(eval("1 / 0"), "null!");
    EXPECT_C(eval("count % 0"), "null!");
    EXPECT_C(eval("sensor * 2"), "null!");
    EXPECT_C(eval("is_ok + 1"), "null!");
    EXPECT_C(eval("nothing * 2"), "null");
    EXPECT_C(eval("1e308 * 10"), "null!");
    EXPECT_C(eval("`a b.c` + 1"), "4");
}

TEST(texts)
{
    EXPECT_C(eval("'a' + \"b\""), "\"ab\"");
    EXPECT_C(eval("sensor + '/' + text(count)"), "\"t-0042/7\"");
    EXPECT_C(eval("'it\\'s\\n\\d'"), "\"it's\\n\\\\d\"");
    EXPECT_C(eval("upper(sensor)"), "\"T-0042\"");
    EXPECT_C(eval("lower('ÄBC Ж')"), "\"äbc ж\"");
    EXPECT_C(eval("trim('  x ')"), "\"x\"");
    EXPECT_C(eval("length('äö')"), "2");
    EXPECT_C(
        eval("contains(sensor, '00') and starts_with(sensor, 't-') and ends_with(sensor, '2')"),
        "true");
    EXPECT_C(eval("contains(nothing, 'a')"), "false");
    EXPECT_C(eval("length(5)"), "null!");
}

TEST(comparing)
{
    EXPECT_C(eval("value > 21 and value <= 21.5"), "true");
    EXPECT_C(eval("value = 21.5"), "true");
    EXPECT_C(eval("count == 7.0"), "true");
    EXPECT_C(eval("count != 7"), "false");
    EXPECT_C(eval("digits > 9"), "true"); /* as a number, not as text */
    EXPECT_C(eval("digits == '12.5'"), "true");
    EXPECT_C(eval("count > '3'"), "true");
    EXPECT_C(eval("sensor < 'u'"), "true");
    EXPECT_C(eval("sensor > 3"), "false!");
    EXPECT_C(eval("is_ok == true"), "true");
    EXPECT_C(eval("is_ok == 'yes'"), "true");
    EXPECT_C(eval("at > '2023-11-14T22:13:20Z'"), "true");
    EXPECT_C(eval("at < '2023-11-14'"), "false");
    EXPECT_C(eval("at < is_ok"), "false!");
    EXPECT_C(eval("is_ok < at"), "false!");
    EXPECT_C(eval("count in (1, 7, 9)"), "true");
    EXPECT_C(eval("sensor not in ('a', 't-0042')"), "false");
    EXPECT_C(eval("sensor IN ('a')"), "false");
    EXPECT_C(eval("sensor =~ '^t-\\d+$'"), "true");
    EXPECT_C(eval("sensor !~ '^x'"), "true");
    EXPECT_C(eval("count =~ '7'"), "false!");
}

TEST(nulls)
{
    EXPECT_C(eval("nothing > 5"), "false");
    EXPECT_C(eval("not (nothing > 5)"), "true");
    EXPECT_C(eval("nothing == null"), "true");
    EXPECT_C(eval("nothing <= null"), "false");
    EXPECT_C(eval("value != null"), "true");
    EXPECT_C(eval("nothing != 3"), "true");
    EXPECT_C(eval("nothing in (1, null)"), "true");
    EXPECT_C(eval("is_null(nothing) and not is_null(value)"), "true");
    EXPECT_C(eval("coalesce(nothing, null, 4)"), "4.0");
    EXPECT_C(eval("coalesce(nothing, null)"), "null");
    EXPECT_C(eval("if(nothing, 1, 2)"), "2");
    EXPECT_C(eval("max(nothing, 2)"), "null");
    EXPECT_C(eval("round(nothing)"), "null");
}

TEST(logic)
{
    EXPECT_C(eval("true or false and false"), "true");
    EXPECT_C(eval("not true or true"), "true");
    EXPECT_C(eval("not (true or true)"), "false");
    EXPECT_C(eval("!false && !0"), "true");
    EXPECT_C(eval("count || false"), "true");
    EXPECT_C(eval("not count == 7"), "false");
    EXPECT_C(eval("if(value > 20, 'warm', 'cold')"), "\"warm\"");
    EXPECT_C(eval("is_ok and sensor"), "false");
}

TEST(functions)
{
    EXPECT_C(eval("abs(-3)"), "3");
    EXPECT_C(eval("abs(-3.5)"), "3.5");
    EXPECT_C(eval("round(2.5) + floor(2.9) + ceil(2.1)"), "8");
    EXPECT_C(eval("round(-2.5)"), "-3");
    EXPECT_C(eval("round_to(3.14159, 2)"), "3.14");
    EXPECT_C(eval("round_to(1250, -2)"), "1300.0");
    EXPECT_C(eval("round(1e300)"), "null!");
    EXPECT_C(eval("min(3, 1.5, 2)"), "1.5");
    EXPECT_C(eval("max(value, count, 30)"), "30.0");
    EXPECT_C(eval("max('a', 'b')"), "\"b\"");
    EXPECT_C(eval("sqrt(16) + pow(2, 10) + log10(1000)"), "1031.0");
    EXPECT_C(eval("sqrt(-1)"), "null!");
    EXPECT_C(eval("log(exp(1))"), "1.0");
    EXPECT_C(eval("number('4') + number(is_ok)"), "5.0");
    EXPECT_C(eval("number('x')"), "null!");
    EXPECT_C(eval("integer(-2.9)"), "-2");
    EXPECT_C(eval("text(21.50)"), "\"21.5\"");
    EXPECT_C(eval("boolean('on')"), "true");
}

TEST(times)
{
    EXPECT_C(eval("at + 1.5"), "\"2023-11-14T22:13:22Z\"");
    EXPECT_C(eval("at - 60"), "\"2023-11-14T22:12:20.500Z\"");
    EXPECT_C(eval("at - time('2023-11-14T22:13:20Z')"), "0.5");
    EXPECT_C(eval("time(1700000000)"), "\"2023-11-14T22:13:20Z\"");
    EXPECT_C(eval("number(at)"), "1700000000.5");
    EXPECT_C(eval("at * 2"), "null!");
    EXPECT_C(eval("at + 1e300"), "null!");
}

TEST(what_is_refused)
{
    EXPECT_C(eval("valeu > 1"), "@ at 1: there is no column \"valeu\"; did you mean \"value\"?");
    EXPECT_C(eval("1 + rond(2)"), "@ at 5: there is no function \"rond\"; did you mean \"round\"?");
    EXPECT_C(eval("xyz(2)"), "@ at 1: there is no function \"xyz\"");
    EXPECT_C(eval("value >"), "@ at 8: it ends where a value is wanted");
    EXPECT_C(eval(""), "@ at 1: it ends where a value is wanted");
    EXPECT_C(eval("value 3"), "@ at 7: \"3\" stands where an operator or the end is wanted");
    EXPECT_C(eval("(1"), "@ at 3: it ends where a closing parenthesis is wanted");
    EXPECT_C(eval("'abc"), "@ at 1: the ' is not closed");
    EXPECT_C(eval("1 < 2 < 3"), "@ at 7: \"<\" stands where an operator or the end is wanted");
    EXPECT_C(eval("if(1, 2)"), "@ at 1: if takes 3 values, not 2");
    EXPECT_C(eval("pow(1)"), "@ at 1: pow takes 2 values, not 1");
    EXPECT_C(eval("coalesce()"), "@ at 1: coalesce takes 1 or more values, not 0");
    EXPECT_C(eval("sensor =~ '('"), "@ at 11: Unmatched ( or \\(");
    EXPECT_C(eval("sensor =~ value"),
             "@ at 11: \"value\" stands where a regular expression in quotes is wanted");
    EXPECT_C(eval("count in ()"), "@ at 7: the list is empty");
    EXPECT_C(eval("count not 3"), "@ at 11: \"3\" stands where in is wanted");
    EXPECT_C(eval("at > 'soon'"), "@ at 6: \"soon\" is compared with a column of kind time");
    EXPECT_C(eval("value > 1.2.3"), "@ at 9: \"1.2.3\" stands where a number is wanted");
    EXPECT_C(eval("value > 1 # x"), "@ at 11: \"#\" stands where an operator or the end is wanted");
    EXPECT_C(eval("``"), "@ at 1: the name of a column is empty");
}

TEST(bounds)
{
    AUTO(buf_deinit) Buf text = { 0 };
    Expr *expr = NULL;

    for (size_t i = 0; i < 1000; i++)
        buf_add_char(&text, '(');
    EXPECT_ERR(expr_parse(buf_str(&text), &expr), -ERR_INVALID, "levels");
    buf_reset(&text);
    for (size_t i = 0; i < 1000; i++)
        buf_add_char(&text, '-');
    EXPECT_ERR(expr_parse(buf_str(&text), &expr), -ERR_INVALID, "levels");
    buf_reset(&text);
    for (size_t i = 0; i < 100; i++)
        buf_add_c(&text, "1+");
    EXPECT_ERR(expr_parse(buf_str(&text), &expr), -ERR_INVALID, "upon the other");
    buf_reset(&text);
    for (size_t i = 0; i < 2000; i++)
        buf_add_c(&text, "a or ");
    EXPECT_ERR(expr_parse(buf_str(&text), &expr), -ERR_INVALID, "values");
    for (size_t i = 0; i < 20000; i++)
        buf_add_c(&text, " ");
    EXPECT_ERR(expr_parse(buf_str(&text), &expr), -ERR_INVALID, "bytes");
    EXPECT(expr == NULL);
    buf_reset(&text);
    for (size_t i = 0; i < 300; i++) /* a chain is not deep */
        buf_add_c(&text, "a or ");
    buf_add_c(&text, "a");
    EXPECT_OK(expr_parse(buf_str(&text), &expr));
    EXPECT_EQ(expr_columns(expr), 1);
    expr_free(expr);
}

/* A column that the rows do not have is null where they may yet get it. */
TEST(columns_to_come)
{
    AUTO(expr_free) Expr *expr = NULL;
    AUTO(expr_plan_free) ExprPlan *plan = NULL;
    ExprRun run = { 0 };

    REQUIRE(expr_parse(STR_C("later == null and value > 'x'"), &expr) == 0);
    REQUIRE(expr_bind(expr, columns, ARRAY_LEN(columns), false, &plan) == 0);
    EXPECT(!expr_test(plan, row, &run));
    EXPECT(run.is_wrong); /* 'x' is no number */
}

TEST(texts_need_room)
{
    AUTO(expr_free) Expr *expr = NULL;
    AUTO(expr_plan_free) ExprPlan *plan = NULL;
    ExprRun run = { 0 };

    REQUIRE(expr_parse(STR_C("upper(sensor)"), &expr) == 0);
    REQUIRE(expr_bind(expr, columns, ARRAY_LEN(columns), true, &plan) == 0);
    EXPECT_EQ(expr_eval(plan, row, &run).kind, ROW_ANY);
    EXPECT(run.is_wrong);
}

TEST_MAIN()
