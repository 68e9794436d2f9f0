/*
 * Expressions: from text to nodes. A parser by descent, one function for each level of binding.
 * LIMIT_EXPR_DEPTH bounds its own recursion, LIMIT_EXPR_HEIGHT that of those who evaluate what it
 * builds.
 */
#include "rows/expr_token_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/row_cast.h"

static int parse_or(ExprParser *parser, uint16_t *ret);

static int unexpected(const ExprParser *parser, const char *wanted)
{
    if (parser->token.kind == TOKEN_END)
        return fail(-ERR_INVALID, "at %zu: it ends where %s is wanted", parser->token.at, wanted);
    return fail(-ERR_INVALID, "at %zu: \"%.*s\" stands where %s is wanted", parser->token.at,
                (int) MIN(parser->token.text.len, (size_t) 64), parser->token.text.data, wanted);
}

static int expect_sign(ExprParser *parser, const char *signs, const char *wanted)
{
    return expr_is_sign(parser, signs) ? expr_advance(parser) : unexpected(parser, wanted);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Add NODE, whose children are there. */
static int add_node(ExprParser *parser, ExprNode node, uint16_t *ret)
{
    Expr *expr = parser->expr;
    unsigned height = 0;

    if (expr->n_nodes == LIMIT_EXPR_NODES)
        return fail(-ERR_INVALID, "at %u: more than %d values and operators", node.at,
                    LIMIT_EXPR_NODES);
    for (uint16_t i = node.left; i != EXPR_NONE; i = expr->nodes[i].next)
        height = MAX(height, (unsigned) expr->nodes[i].height + 1);
    if (node.right != EXPR_NONE)
        height = MAX(height, (unsigned) expr->nodes[node.right].height + 1);
    if (height > LIMIT_EXPR_HEIGHT)
        return fail(-ERR_INVALID, "at %u: more than %d operators one upon the other", node.at,
                    LIMIT_EXPR_HEIGHT);
    if (expr->n_nodes == expr->cap_nodes) {
        expr->cap_nodes = MAX(2 * expr->cap_nodes, (size_t) 16);
        expr->nodes = mem_resize_array(expr->nodes, expr->cap_nodes, sizeof(expr->nodes[0]));
    }
    node.height = (uint16_t) height;
    node.next = EXPR_NONE;
    expr->nodes[expr->n_nodes] = node;
    *ret = (uint16_t) expr->n_nodes++;
    return 0;
}

static ExprNode node_of(ExprOp op, size_t at)
{
    return (ExprNode){ .op = (uint8_t) op,
                       .left = EXPR_NONE,
                       .right = EXPR_NONE,
                       .at = (uint32_t) at,
                       .column = EXPR_NONE };
}

static int add_const(ExprParser *parser, RowValue value, size_t at, uint16_t *ret)
{
    ExprNode node = node_of(EXPR_CONST, at);

    node.value = value;
    return add_node(parser, node, ret);
}

static int add_pair(ExprParser *parser, ExprOp op, size_t at, uint16_t left, uint16_t *ret_right)
{
    ExprNode node = node_of(op, at);

    node.left = left;
    node.right = *ret_right;
    return add_node(parser, node, ret_right);
}

static int add_column(ExprParser *parser, Str name, size_t at, uint16_t *ret)
{
    ExprNode node = node_of(EXPR_COLUMN, at);
    Expr *expr = parser->expr;
    size_t c = 0;

    if (name.len == 0)
        return fail(-ERR_INVALID, "at %zu: the name of a column is empty", at);
    while (c < expr->n_columns && !str_eq(expr->columns[c], name))
        c++;
    if (c == expr->n_columns) {
        if (c == expr->cap_columns) {
            expr->cap_columns = MAX(2 * expr->cap_columns, (size_t) 4);
            expr->columns = mem_resize_array(expr->columns, expr->cap_columns,
                                             sizeof(expr->columns[0]));
        }
        expr->columns[expr->n_columns++] = arena_copy(&expr->arena, name);
    }
    node.column = (uint32_t) c;
    return add_node(parser, node, ret);
}

/* ---- the grammar ----------------------------------------------------------------------------- */

/* Values parted by commas, until the closing parenthesis: a chain. */
static int parse_values(ExprParser *parser, uint16_t *ret_first, uint16_t *ret_n)
{
    uint16_t last = EXPR_NONE, item;
    int r;

    *ret_first = EXPR_NONE;
    *ret_n = 0;
    if (expr_is_sign(parser, ")"))
        return expr_advance(parser);
    while (true) {
        r = parse_or(parser, &item);
        if (r < 0)
            return r;
        if (last == EXPR_NONE)
            *ret_first = item;
        else
            parser->expr->nodes[last].next = item;
        last = item;
        (*ret_n)++;
        if (!expr_is_sign(parser, ","))
            return expect_sign(parser, ")", "a comma or a closing parenthesis");
        r = expr_advance(parser);
        if (r < 0)
            return r;
    }
}

static int unknown_function(Str name, size_t at, Str suggestion)
{
    if (suggestion.len > 0)
        return fail(-ERR_INVALID, "at %zu: there is no function \"%.*s\"; did you mean \"%.*s\"?",
                    at, (int) name.len, name.data, (int) suggestion.len, suggestion.data);
    return fail(-ERR_INVALID, "at %zu: there is no function \"%.*s\"", at, (int) name.len,
                name.data);
}

/* lower and upper beyond ASCII are done by a filter. */
static int prepare_case(ExprParser *parser, ExprNode *node)
{
    bool is_upper = strcmp(node->function->name, "upper") == 0;
    FilterChain **chain = &parser->expr->chains[is_upper];
    int r = 0;

    if (!is_upper && strcmp(node->function->name, "lower") != 0)
        return 0;
    if (!*chain)
        r = filter_chain_new(str_from_c(node->function->name), chain);
    node->chain = *chain;
    return r;
}

/* NAME with the parenthesis behind it already passed. */
static int parse_call(ExprParser *parser, Str name, size_t at, uint16_t *ret)
{
    ExprNode node = node_of(EXPR_CALL, at);
    const ExprFunction *function;
    Str suggestion = { 0 };
    int r;

    function = expr_function_find(name, &suggestion);
    if (!function)
        return unknown_function(name, at, suggestion);
    node.function = function;
    node.op = (uint8_t) function->op;
    r = parse_values(parser, &node.left, &node.n_args);
    if (r == 0)
        r = prepare_case(parser, &node);
    if (r < 0)
        return r;
    if (node.n_args < function->min_args || node.n_args > function->max_args)
        return fail(-ERR_INVALID, "at %zu: %s takes %d%s%s values, not %d", at, function->name,
                    function->min_args, function->max_args > function->min_args ? " or " : "",
                    function->max_args == UINT8_MAX           ? "more"
                    : function->max_args > function->min_args ? "one more"
                                                              : "",
                    node.n_args);
    return add_node(parser, node, ret);
}

/* A word or a name. */
static int parse_name(ExprParser *parser, uint16_t *ret)
{
    Str name = parser->token.text;
    size_t at = parser->token.at;
    int r;

    if (expr_is_word(parser, "true") || expr_is_word(parser, "false") ||
        expr_is_word(parser, "null")) {
        RowValue value = expr_is_word(parser, "null") ? row_null()
                                                      : row_boolean(expr_is_word(parser, "true"));

        r = expr_advance(parser);
        return r < 0 ? r : add_const(parser, value, at, ret);
    }
    if (expr_is_word(parser, "and") || expr_is_word(parser, "or") || expr_is_word(parser, "in"))
        return unexpected(parser, "a value");
    r = expr_advance(parser);
    if (r < 0)
        return r;
    if (!expr_is_sign(parser, "("))
        return add_column(parser, name, at, ret);
    r = expr_advance(parser);
    return r < 0 ? r : parse_call(parser, name, at, ret);
}

static int parse_literal(ExprParser *parser, uint16_t *ret)
{
    ExprToken token = parser->token;
    RowValue value = row_text(token.text);
    int r;

    if (token.kind == TOKEN_NUMBER && !row_parse_number(token.text, &value))
        return unexpected(parser, "a number");
    r = expr_advance(parser);
    return r < 0 ? r : add_const(parser, value, token.at, ret);
}

static int parse_primary(ExprParser *parser, uint16_t *ret)
{
    ExprToken token = parser->token;
    int r;

    switch (token.kind) {
    case TOKEN_NUMBER:
    case TOKEN_TEXT: return parse_literal(parser, ret);
    case TOKEN_NAME: return parse_name(parser, ret);
    case TOKEN_QUOTED:
        r = expr_advance(parser);
        return r < 0 ? r : add_column(parser, token.text, token.at, ret);
    case TOKEN_SIGN:
    case TOKEN_END: break;
    }
    if (!expr_is_sign(parser, "("))
        return unexpected(parser, "a value");
    r = expr_advance(parser);
    if (r == 0)
        r = parse_or(parser, ret);
    return r < 0 ? r : expect_sign(parser, ")", "a closing parenthesis");
}

static int parse_unary(ExprParser *parser, uint16_t *ret)
{
    bool is_minus = expr_is_sign(parser, "-");
    size_t at = parser->token.at;
    ExprNode node;
    int r;

    if (!is_minus && !expr_is_sign(parser, "!"))
        return parse_primary(parser, ret);
    if (++parser->depth > LIMIT_EXPR_DEPTH)
        return fail(-ERR_INVALID, "at %zu: more than %d levels", at, LIMIT_EXPR_DEPTH);
    r = expr_advance(parser);
    if (r == 0)
        r = parse_unary(parser, ret);
    parser->depth--;
    if (r < 0)
        return r;
    node = node_of(is_minus ? EXPR_NEGATE : EXPR_NOT, at);
    node.left = *ret;
    return add_node(parser, node, ret);
}

/* A level of operators that bind to the left. */
typedef struct Level {
    const char *signs[4];
    ExprOp ops[4];
    size_t n;
    int (*parse_inner)(ExprParser *parser, uint16_t *ret);
} Level;

static int parse_level(ExprParser *parser, const Level *level, uint16_t *ret)
{
    int r = level->parse_inner(parser, ret);

    while (r == 0) {
        size_t i = 0, at = parser->token.at;
        uint16_t left = *ret;

        while (i < level->n && !expr_is_sign(parser, level->signs[i]))
            i++;
        if (i == level->n)
            return 0;
        r = expr_advance(parser);
        if (r == 0)
            r = level->parse_inner(parser, ret);
        if (r == 0)
            r = add_pair(parser, level->ops[i], at, left, ret);
    }
    return r;
}

static int parse_product(ExprParser *parser, uint16_t *ret)
{
    static const Level level = {
        { "*", "/", "%" }, { EXPR_MULTIPLY, EXPR_DIVIDE, EXPR_REMAINDER }, 3, parse_unary
    };

    return parse_level(parser, &level, ret);
}

static int parse_sum(ExprParser *parser, uint16_t *ret)
{
    static const Level level = { { "+", "-" }, { EXPR_ADD, EXPR_SUBTRACT }, 2, parse_product };

    return parse_level(parser, &level, ret);
}

static int add_not(ExprParser *parser, size_t at, uint16_t *ret)
{
    ExprNode node = node_of(EXPR_NOT, at);

    node.left = *ret;
    return add_node(parser, node, ret);
}

/* `in` is passed: the list, and the node for LEFT, which becomes *ret. */
static int parse_in(ExprParser *parser, size_t at, uint16_t *ret)
{
    ExprNode node = node_of(EXPR_IN, at);
    int r = expect_sign(parser, "(", "an opening parenthesis");

    node.right = *ret;
    if (r == 0)
        r = parse_values(parser, &node.left, &node.n_args);
    if (r == 0 && node.n_args == 0)
        r = fail(-ERR_INVALID, "at %zu: the list is empty", at);
    return r < 0 ? r : add_node(parser, node, ret);
}

/* `=~` is passed: the pattern. */
static int parse_match(ExprParser *parser, size_t at, uint16_t *ret)
{
    ExprNode node = node_of(EXPR_MATCH, at);
    Expr *expr = parser->expr;
    Regex *regex = NULL;
    int r;

    if (parser->token.kind != TOKEN_TEXT)
        return unexpected(parser, "a regular expression in quotes");
    r = regex_new(parser->token.text, &regex);
    if (r < 0)
        return wrap(r, "at %zu", parser->token.at);
    expr->regexes = mem_resize_array(expr->regexes, expr->n_regexes + 1, sizeof(Regex *));
    expr->regexes[expr->n_regexes++] = regex;
    node.left = *ret;
    node.regex = regex;
    r = expr_advance(parser);
    return r < 0 ? r : add_node(parser, node, ret);
}

/* The comparison that the token is, or -1. */
static int comparison_of(const ExprParser *parser)
{
    static const struct {
        const char *signs;
        ExprOp op;
    } table[] = { { "==", EXPR_EQ }, { "=", EXPR_EQ }, { "!=", EXPR_NE }, { "<", EXPR_LT },
                  { "<=", EXPR_LE }, { ">", EXPR_GT }, { ">=", EXPR_GE } };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (expr_is_sign(parser, table[i].signs))
            return (int) table[i].op;
    }
    return -1;
}

static int parse_comparison(ExprParser *parser, uint16_t *ret)
{
    int r = parse_sum(parser, ret), op = comparison_of(parser);
    bool is_not = expr_is_word(parser, "not"), is_match = expr_is_sign(parser, "=~");
    size_t at = parser->token.at;
    uint16_t left = *ret;

    if (r < 0)
        return r;
    if (op >= 0) {
        r = expr_advance(parser);
        if (r == 0)
            r = parse_sum(parser, ret);
        return r < 0 ? r : add_pair(parser, (ExprOp) op, at, left, ret);
    }
    if (is_match || expr_is_sign(parser, "!~")) {
        r = expr_advance(parser);
        if (r == 0)
            r = parse_match(parser, at, ret);
        return r < 0 || is_match ? r : add_not(parser, at, ret);
    }
    if (is_not)
        r = expr_advance(parser);
    if (r < 0 || (!is_not && !expr_is_word(parser, "in")))
        return r;
    if (!expr_is_word(parser, "in"))
        return unexpected(parser, "in");
    r = expr_advance(parser);
    if (r == 0)
        r = parse_in(parser, at, ret);
    return r < 0 || !is_not ? r : add_not(parser, at, ret);
}

static int parse_not(ExprParser *parser, uint16_t *ret)
{
    size_t at = parser->token.at;
    int r;

    if (!expr_is_word(parser, "not"))
        return parse_comparison(parser, ret);
    if (++parser->depth > LIMIT_EXPR_DEPTH)
        return fail(-ERR_INVALID, "at %zu: more than %d levels", at, LIMIT_EXPR_DEPTH);
    r = expr_advance(parser);
    if (r == 0)
        r = parse_not(parser, ret);
    parser->depth--;
    return r < 0 ? r : add_not(parser, at, ret);
}

/* A chain of conditions under one node. */
static int parse_chain(ExprParser *parser, ExprOp op, uint16_t *ret)
{
    int (*parse_inner)(ExprParser *, uint16_t *) = op == EXPR_OR ? NULL : parse_not;
    const char *word = op == EXPR_OR ? "or" : "and", *signs = op == EXPR_OR ? "||" : "&&";
    ExprNode node = node_of(op, parser->token.at);
    uint16_t last, item;
    int r = parse_inner ? parse_inner(parser, ret) : parse_chain(parser, EXPR_AND, ret);

    node.left = last = *ret;
    node.n_args = 1;
    while (r == 0 && (expr_is_word(parser, word) || expr_is_sign(parser, signs))) {
        r = expr_advance(parser);
        if (r == 0)
            r = parse_inner ? parse_inner(parser, &item) : parse_chain(parser, EXPR_AND, &item);
        if (r < 0)
            return r;
        parser->expr->nodes[last].next = item;
        last = item;
        node.n_args++;
    }
    return r < 0 || node.n_args == 1 ? r : add_node(parser, node, ret);
}

static int parse_or(ExprParser *parser, uint16_t *ret)
{
    int r;

    if (++parser->depth > LIMIT_EXPR_DEPTH)
        return fail(-ERR_INVALID, "at %zu: more than %d levels", parser->token.at,
                    LIMIT_EXPR_DEPTH);
    r = parse_chain(parser, EXPR_OR, ret);
    parser->depth--;
    return r;
}

/* ---- the whole ------------------------------------------------------------------------------- */

int expr_parse(Str text, Expr **ret_expr)
{
    AUTO(expr_free) Expr *expr = mem_new(Expr);
    ExprParser parser = { .text = text, .expr = expr };
    int r;

    if (text.len > LIMIT_EXPR_BYTES)
        return fail(-ERR_INVALID, "an expression has at most %d bytes", LIMIT_EXPR_BYTES);
    if (!str_is_utf8(text))
        return fail(-ERR_INVALID, "the expression is not UTF-8");
    arena_init(&expr->arena, 0);
    r = expr_advance(&parser);
    if (r == 0)
        r = parse_or(&parser, &expr->root);
    if (r < 0)
        return r;
    if (parser.token.kind != TOKEN_END)
        return unexpected(&parser, "an operator or the end");
    *ret_expr = TAKE(expr);
    return 0;
}

void expr_free(Expr *expr)
{
    if (!expr)
        return;
    for (size_t i = 0; i < expr->n_regexes; i++)
        regex_free(expr->regexes[i]);
    filter_chain_free(expr->chains[0]);
    filter_chain_free(expr->chains[1]);
    mem_free(expr->regexes);
    mem_free(expr->columns);
    mem_free(expr->nodes);
    arena_deinit(&expr->arena);
    mem_free(expr);
}

size_t expr_columns(const Expr *expr)
{
    return expr->n_columns;
}

Str expr_column(const Expr *expr, size_t index)
{
    ASSERT(index < expr->n_columns);
    return expr->columns[index];
}
