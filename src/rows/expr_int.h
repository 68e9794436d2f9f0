/*
 * Inside of expressions: the nodes.
 *
 * Nodes stand in one array, children before their parents. `and`, `or`, `in` and calls have any
 * number of children, linked by `next`; so a long chain of conditions is not deep.
 */
#pragma once

#include "codec/regex.h"
#include "codec/value_filter.h"
#include "rows/expr.h"

#define EXPR_NONE     UINT16_MAX
#define EXPR_ARGS_MAX 3 /* of a function; what takes more folds two at a time */

typedef enum ExprOp {
    EXPR_CONST,
    EXPR_COLUMN,
    EXPR_NEGATE,
    EXPR_NOT,
    EXPR_AND,
    EXPR_OR,
    EXPR_ADD,
    EXPR_SUBTRACT,
    EXPR_MULTIPLY,
    EXPR_DIVIDE,
    EXPR_REMAINDER,
    EXPR_EQ,
    EXPR_NE,
    EXPR_LT,
    EXPR_LE,
    EXPR_GT,
    EXPR_GE,
    EXPR_IN,
    EXPR_MATCH,
    EXPR_IF,
    EXPR_COALESCE,
    EXPR_MIN,
    EXPR_MAX,
    EXPR_CALL,
} ExprOp;

typedef struct ExprNode ExprNode;
typedef struct ExprEval ExprEval;

/* A function of up to EXPR_ARGS_MAX values, none of them null. Sets *RET, which is null before. */
typedef void ExprFn(const ExprEval *eval, const ExprNode *node, const RowValue *const *args,
                    size_t n, RowValue *ret);

typedef struct ExprFunction {
    const char *name;
    const char *about; /* for help: "text: the number that it is" */
    uint8_t min_args, max_args;
    ExprOp op;    /* EXPR_CALL, or one of its own */
    RowKind kind; /* that it gives; ROW_ANY: that of its argument, a number */
    ExprFn *run;  /* of EXPR_CALL */
} ExprFunction;

struct ExprNode {
    uint8_t op;
    uint8_t kind; /* RowKind; ROW_ANY: it depends */
    uint16_t left, right;
    uint16_t next;   /* sibling in a chain */
    uint16_t n_args; /* in the chain that begins at left */
    uint16_t height;
    uint32_t column; /* COLUMN: of the expression's columns, in a plan of the row's; EXPR_NONE */
    uint32_t at;     /* in the text, from 1 */
    RowValue value;  /* CONST */
    const ExprFunction *function;
    const Regex *regex;       /* MATCH; of the expression */
    const FilterChain *chain; /* lower, upper; of the expression */
};

struct Expr {
    Arena arena; /* texts, names */
    ExprNode *nodes;
    size_t n_nodes, cap_nodes;
    uint16_t root;
    Str *columns;
    size_t n_columns, cap_columns;
    Regex **regexes; /* owned */
    size_t n_regexes;
    FilterChain *chains[2]; /* lower and upper; owned, NULL when not used */
};

struct ExprPlan {
    ExprNode *nodes;
    uint16_t root;
    Arena arena; /* texts of constants that were computed */
};

/* One evaluation. */
struct ExprEval {
    const ExprNode *nodes;
    const RowValue *row;
    ExprRun *run;
};

/* The function called NAME, or NULL; then SUGGESTION is the nearest one, if there is one. */
const ExprFunction *expr_function_find(Str name, Str *suggestion);

/* The value of the node at INDEX: borrowed, or in SLOT. */
const RowValue *expr_get(const ExprEval *eval, unsigned index, RowValue *slot);

/* The number that VALUE is or says, in SLOT if it must be read; NULL and wrong when it is none. */
const RowValue *expr_number(const ExprEval *eval, const RowValue *value, RowValue *slot);

/* Room for a text of LEN bytes, or NULL and wrong. */
char *expr_room(const ExprEval *eval, size_t len);

static inline bool expr_is_text(const RowValue *value)
{
    return value->kind == ROW_TEXT || value->kind == ROW_JSON;
}

static inline double expr_real(const RowValue *number)
{
    return number->kind == ROW_INT ? (double) number->integer : number->real;
}
