/*
 * Inside of expressions: tokens, and the parser that looks at one at a time.
 */
#pragma once

#include "rows/expr_int.h"

typedef enum ExprTokenKind {
    TOKEN_END,
    TOKEN_NUMBER,
    TOKEN_TEXT,
    TOKEN_NAME,   /* of a column, a function, or a word such as and */
    TOKEN_QUOTED, /* of a column, in backticks */
    TOKEN_SIGN,   /* an operator or a parenthesis */
} ExprTokenKind;

typedef struct ExprToken {
    ExprTokenKind kind;
    Str text;      /* TEXT: without quotes and escapes */
    size_t at;     /* from 1 */
    char signs[3]; /* of SIGN */
} ExprToken;

typedef struct ExprParser {
    Str text;
    size_t pos;
    ExprToken token; /* the one that is looked at */
    Expr *expr;
    unsigned depth;
} ExprParser;

/* Look at the next token. 0 or -ERR_INVALID with words. */
MUST int expr_advance(ExprParser *parser);

/* Whether the token is this operator or parenthesis, or this word in any case. */
bool expr_is_sign(const ExprParser *parser, const char *signs);
bool expr_is_word(const ExprParser *parser, const char *word);
