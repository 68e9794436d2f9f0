/*
 * Fuzz: expressions. Whatever is written parses or is refused in words; what parses can be bound
 * and evaluated over rows of every kind, gives the kind that was promised, and as a condition says
 * the same as its value.
 */
#include "rows/expr.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const RowColumn columns[] = {
    { .name = STR("a"), .kind = ROW_REAL }, { .name = STR("b"), .kind = ROW_INT },
    { .name = STR("c"), .kind = ROW_TEXT }, { .name = STR("d"), .kind = ROW_BOOL },
    { .name = STR("e"), .kind = ROW_TIME }, { .name = STR("f"), .kind = ROW_JSON },
    { .name = STR("g"), .kind = ROW_ANY },
};

static const RowValue rows[][ARRAY_LEN(columns)] = {
    { { .kind = ROW_REAL, .real = -1.5 },
      { .kind = ROW_INT, .integer = INT64_MIN },
      { .kind = ROW_TEXT, .text = STR("12\xff") },
      { .kind = ROW_BOOL, .boolean = true },
      { .kind = ROW_TIME, .time_ns = INT64_MAX },
      { .kind = ROW_JSON, .text = STR("{\"a\":1}") },
      { .kind = ROW_TEXT, .text = STR("9e99") } },
    { { .kind = ROW_ANY },
      { .kind = ROW_INT, .integer = -1 },
      { .kind = ROW_TEXT },
      { .kind = ROW_ANY },
      { .kind = ROW_TIME, .time_ns = INT64_MIN },
      { .kind = ROW_ANY },
      { .kind = ROW_REAL, .real = __builtin_nan("") } },
};

static void evaluate(const ExprPlan *plan, const RowValue *row)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    ExprRun run = { .arena = &arena };
    RowValue value = expr_eval(plan, row, &run);
    bool is_true = expr_test(plan, row, &run);

    if (expr_kind(plan) != ROW_ANY && value.kind != ROW_ANY)
        ASSERT(value.kind == expr_kind(plan));
    if (value.kind == ROW_BOOL)
        ASSERT(value.boolean == is_true);
    if (value.kind == ROW_ANY)
        ASSERT(!is_true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(expr_free) Expr *expr = NULL;
    AUTO(expr_plan_free) ExprPlan *plan = NULL;
    AUTO(expr_plan_free) ExprPlan *strict = NULL;
    int r = expr_parse(str_from((const char *) data, len), &expr);

    if (r < 0) {
        ASSERT(err_text(r)[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < expr_columns(expr); i++)
        ASSERT(expr_column(expr, i).len > 0);
    ASSERT(expr_bind(expr, columns, ARRAY_LEN(columns), false, &plan) == 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        evaluate(plan, rows[i]);
    (void) expr_bind(expr, columns, ARRAY_LEN(columns), true, &strict); /* may refuse */
    for (size_t i = 0; strict && i < ARRAY_LEN(rows); i++)
        evaluate(strict, rows[i]);
    return 0;
}
