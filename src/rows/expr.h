/*
 * Expressions over the columns of a row: `value > 0 and sensor =~ '^t[0-9]'`, `(f - 32) / 1.8`.
 *
 * A text is parsed once, bound once to the columns of a shape (where each name stands), and then
 * evaluated in some tens of nanoseconds a row, without allocation unless it makes a text.
 *
 *   12  2.5  1e3  'text'  "text"  true  false  null
 *   temperature  cpu.load  `a name with spaces`          columns
 *   + - * / %                                            numbers; + joins two texts
 *   == (or =) != < <= > >=                               see below
 *   x in (1, 2, 3)   x not in ('a', 'b')
 *   name =~ '^re'   name !~ 're'                         regular expressions (codec/regex)
 *   and (&&)  or (||)  not (!)
 *   functions: see the table in expr_functions.c, and if(condition, then, else), coalesce(a, b, …)
 *
 * Weakest first: or, and, not, comparisons, + -, * / %, - and !. In a text \n, \t, \\, \' and \"
 * are what they are elsewhere; another \ stays, so that '\d' is \d.
 *
 * Kinds. A text that is wanted as a number is read as one, so that columns of CSV can be compared
 * and computed with; a boolean is not a number. Integers stay integers under + - * %, and / is
 * always real. time - time is seconds; time + seconds is a time. A text beside a time is read as a
 * time.
 *
 * Null. A column that is null, or that the rows do not have, is null. Arithmetic and functions give
 * null for null (coalesce, if and is_null look at it); so does what cannot be computed, such as
 * 1/0, a number beyond its kind, or 'a' * 2, and then ExprRun says is_wrong. Conditions are true or
 * false, never null: null equals null and nothing else, it is neither less nor greater than
 * anything, it matches nothing. So with x null `x > 5` is false and `not (x > 5)` is true. Where a
 * condition is wanted, true, numbers but 0, and texts that say true are true; all else is false.
 *
 * Bounds: LIMIT_EXPR_BYTES, LIMIT_EXPR_NODES, LIMIT_EXPR_DEPTH, LIMIT_EXPR_HEIGHT and
 * LIMIT_EXPR_TEXT_BYTES. Nothing here loops. A parsed expression and a plan never change: any
 * number of threads may use them, each with a run of its own.
 */
#pragma once

#include "rows/row.h"

typedef struct Expr Expr;
typedef struct ExprPlan ExprPlan;

/* Parse TEXT. 0, or -ERR_INVALID with words: "at 7: there is no function "rond"; did you mean
 * "round"?", where 7 counts bytes from 1. */
MUST int expr_parse(Str text, Expr **ret_expr);
void expr_free(Expr *expr);
DEFINE_AUTO(Expr *, expr_free);

/* The columns that it names, each once. Borrowed. */
size_t expr_columns(const Expr *expr);
Str expr_column(const Expr *expr, size_t index);

/*
 * Bind EXPR, which must outlive the plan, to rows of N COLUMNS. With IS_STRICT a column that is not
 * among them is refused (-ERR_INVALID with words and a suggestion); otherwise it is null.
 */
MUST int expr_bind(const Expr *expr, const RowColumn *columns, size_t n, bool is_strict,
                   ExprPlan **ret_plan);
void expr_plan_free(ExprPlan *plan);
DEFINE_AUTO(ExprPlan *, expr_plan_free);

/* The kind that it gives when it gives something; ROW_ANY when that depends on the row. */
RowKind expr_kind(const ExprPlan *plan);

/* What one evaluation needs and leaves behind. */
typedef struct ExprRun {
    Arena *arena;  /* for texts that are made; NULL: none are, they are null and wrong */
    bool is_wrong; /* something was there and could not be used; stays until cleared */
    bool has_made; /* a text lies in the arena; stays until cleared */
} ExprRun;

/* The value for ROW. Its text is borrowed from the row, the plan or the arena. */
RowValue expr_eval(const ExprPlan *plan, const RowValue *row, ExprRun *run);

/* Whether it is true of ROW. */
bool expr_test(const ExprPlan *plan, const RowValue *row, ExprRun *run);
