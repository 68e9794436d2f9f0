/*
 * Expressions: evaluated. A walk over the nodes: conditions by `test`, values by `expr_get`, which
 * hands out pointers to where values stand already (the row, a constant) instead of copies.
 */
#include "rows/expr_int.h"

#include "base/limits.h"
#include "base/macro.h"
#include "rows/row_cast.h"

#include <math.h>

static bool test(const ExprEval *eval, unsigned index);

/* ---- numbers --------------------------------------------------------------------------------- */

const RowValue *expr_number(const ExprEval *eval, const RowValue *value, RowValue *slot)
{
    if (value->kind == ROW_INT || value->kind == ROW_REAL)
        return value;
    if (value->kind == ROW_TEXT && row_parse_number(value->text, slot))
        return slot;
    eval->run->is_wrong |= value->kind != ROW_ANY;
    return NULL;
}

char *expr_room(const ExprEval *eval, size_t len)
{
    ExprRun *run = eval->run;
    char *room = NULL;

    if (run->arena && len <= LIMIT_EXPR_TEXT_BYTES)
        room = arena_try(run->arena, len + 1);
    run->is_wrong |= !room;
    run->has_made |= room != NULL;
    return room;
}

static RowValue wrong(const ExprEval *eval)
{
    eval->run->is_wrong = true;
    return row_gap(ROW_GAP_WRONG);
}

/* A time plus SECONDS. */
static RowValue add_seconds(const ExprEval *eval, int64_t time_ns, const RowValue *seconds,
                            double sign)
{
    double ns = sign * expr_real(seconds) * (double) NS_PER_S;
    int64_t sum;

    if (!(fabs(ns) < 9.2e18) || __builtin_add_overflow(time_ns, (int64_t) llround(ns), &sum))
        return wrong(eval);
    return row_time_ns(sum);
}

static RowValue join_texts(const ExprEval *eval, Str a, Str b)
{
    char *room = expr_room(eval, a.len + b.len);

    if (!room)
        return row_gap(ROW_GAP_WRONG);
    if (a.len > 0)
        memcpy(room, a.data, a.len);
    if (b.len > 0)
        memcpy(room + a.len, b.data, b.len);
    return row_text(str_from(room, a.len + b.len));
}

static RowValue compute_integers(const ExprEval *eval, ExprOp op, int64_t a, int64_t b)
{
    int64_t result;
    bool is_over;

    if (op == EXPR_REMAINDER)
        return row_integer(b == -1 ? 0 : a % b);
    is_over = op == EXPR_ADD        ? __builtin_add_overflow(a, b, &result)
              : op == EXPR_SUBTRACT ? __builtin_sub_overflow(a, b, &result)
                                    : __builtin_mul_overflow(a, b, &result);
    return is_over ? wrong(eval) : row_integer(result);
}

/* A op B of two numbers. */
static RowValue compute(const ExprEval *eval, ExprOp op, const RowValue *a, const RowValue *b)
{
    bool are_integers = a->kind == ROW_INT && b->kind == ROW_INT;
    double x = expr_real(a), y = expr_real(b), result;

    if ((op == EXPR_DIVIDE || op == EXPR_REMAINDER) && y == 0)
        return wrong(eval);
    if (are_integers && op != EXPR_DIVIDE)
        return compute_integers(eval, op, a->integer, b->integer);
    result = op == EXPR_ADD        ? x + y
             : op == EXPR_SUBTRACT ? x - y
             : op == EXPR_MULTIPLY ? x * y
             : op == EXPR_DIVIDE   ? x / y
                                   : fmod(x, y);
    return isfinite(result) ? row_real(result, (Str){ 0 }) : wrong(eval);
}

static RowValue arithmetic(const ExprEval *eval, const ExprNode *node)
{
    RowValue slots[2], numbers[2];
    const RowValue *a = expr_get(eval, node->left, &slots[0]);
    const RowValue *b = expr_get(eval, node->right, &slots[1]);
    ExprOp op = (ExprOp) node->op;

    if (a->kind == ROW_ANY || b->kind == ROW_ANY)
        return row_null();
    if (op == EXPR_ADD && a->kind == ROW_TEXT && b->kind == ROW_TEXT)
        return join_texts(eval, a->text, b->text);
    if (op == EXPR_SUBTRACT && a->kind == ROW_TIME && b->kind == ROW_TIME)
        return row_real((double) (a->time_ns / NS_PER_S - b->time_ns / NS_PER_S) +
                            (double) (a->time_ns % NS_PER_S - b->time_ns % NS_PER_S) / 1e9,
                        (Str){ 0 });
    if (op == EXPR_ADD && b->kind == ROW_TIME) {
        const RowValue *swap = a;

        a = b;
        b = swap;
    }
    if (a->kind == ROW_TIME && (op == EXPR_ADD || op == EXPR_SUBTRACT)) {
        b = expr_number(eval, b, &numbers[1]);
        return b ? add_seconds(eval, a->time_ns, b, op == EXPR_ADD ? 1 : -1)
                 : row_gap(ROW_GAP_WRONG);
    }
    a = expr_number(eval, a, &numbers[0]);
    b = expr_number(eval, b, &numbers[1]);
    return a && b ? compute(eval, op, a, b) : row_gap(ROW_GAP_WRONG);
}

static RowValue negate(const ExprEval *eval, const ExprNode *node)
{
    RowValue slot, number;
    const RowValue *a = expr_get(eval, node->left, &slot);

    if (a->kind == ROW_ANY)
        return row_null();
    a = expr_number(eval, a, &number);
    if (!a)
        return row_gap(ROW_GAP_WRONG);
    if (a->kind == ROW_INT)
        return a->integer == INT64_MIN ? wrong(eval) : row_integer(-a->integer);
    return row_real(-expr_real(a), (Str){ 0 });
}

/* ---- comparing ------------------------------------------------------------------------------- */

enum { UNORDERED = 2 };

static int order_reals(double a, double b)
{
    return a < b ? -1 : a > b ? 1 : a == b ? 0 : UNORDERED;
}

static int order_integers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* A time or boolean beside a value of another kind. */
static int order_cast(const ExprEval *eval, const RowValue *a, const RowValue *b)
{
    AUTO(buf_deinit) Buf scratch = { 0 };
    RowValue other;

    if (row_cast(b, a->kind, NS_PER_S, &scratch, &other) != 0 || other.kind != a->kind) {
        eval->run->is_wrong = true;
        return UNORDERED;
    }
    return a->kind == ROW_TIME ? order_integers(a->time_ns, other.time_ns)
                               : (int) a->boolean - (int) other.boolean;
}

/* Two values of different kinds, neither null. */
static int order_mixed(const ExprEval *eval, const RowValue *a, const RowValue *b)
{
    RowValue numbers[2];
    int how;

    if (a->kind == ROW_TIME || a->kind == ROW_BOOL)
        return order_cast(eval, a, b);
    if (b->kind == ROW_TIME || b->kind == ROW_BOOL) {
        how = order_cast(eval, b, a);
        return how == UNORDERED ? how : -how;
    }
    if (expr_is_text(a) && expr_is_text(b)) {
        how = str_cmp(a->text, b->text);
        return (how > 0) - (how < 0);
    }
    a = expr_number(eval, a, &numbers[0]);
    b = expr_number(eval, b, &numbers[1]);
    return a && b ? order_reals(expr_real(a), expr_real(b)) : UNORDERED;
}

/* -1, 0, 1, or UNORDERED. */
static int order(const ExprEval *eval, const RowValue *a, const RowValue *b)
{
    if (LIKELY(a->kind == b->kind)) {
        switch (a->kind) {
        case ROW_REAL: return order_reals(a->real, b->real);
        case ROW_INT: return order_integers(a->integer, b->integer);
        case ROW_TIME: return order_integers(a->time_ns, b->time_ns);
        case ROW_BOOL: return (int) a->boolean - (int) b->boolean;
        case ROW_TEXT:
        case ROW_JSON: {
            int by_bytes = str_cmp(a->text, b->text);

            return (by_bytes > 0) - (by_bytes < 0);
        }
        case ROW_ANY: return 0; /* null is null */
        }
    }
    if (a->kind == ROW_ANY || b->kind == ROW_ANY)
        return UNORDERED;
    if (a->kind == ROW_REAL && b->kind == ROW_INT)
        return order_reals(a->real, (double) b->integer);
    if (a->kind == ROW_INT && b->kind == ROW_REAL)
        return order_reals((double) a->integer, b->real);
    return order_mixed(eval, a, b);
}

static bool compare(const ExprEval *eval, const ExprNode *node)
{
    RowValue slots[2];
    const RowValue *a = expr_get(eval, node->left, &slots[0]);
    const RowValue *b = expr_get(eval, node->right, &slots[1]);
    int how;

    if (node->op == EXPR_EQ || node->op == EXPR_NE) {
        bool is_equal = a->kind == ROW_TEXT && b->kind == ROW_TEXT ? str_eq(a->text, b->text)
                                                                   : order(eval, a, b) == 0;

        return is_equal == (node->op == EXPR_EQ);
    }
    how = order(eval, a, b);
    if (how == UNORDERED || (a->kind == ROW_ANY && b->kind == ROW_ANY))
        return false;
    return node->op == EXPR_LT   ? how < 0
           : node->op == EXPR_LE ? how <= 0
           : node->op == EXPR_GT ? how > 0
                                 : how >= 0;
}

static bool is_in(const ExprEval *eval, const ExprNode *node)
{
    RowValue slots[2];
    const RowValue *value = expr_get(eval, node->right, &slots[0]), *item;
    bool is_text = value->kind == ROW_TEXT;

    for (unsigned i = node->left; i != EXPR_NONE; i = eval->nodes[i].next) {
        item = expr_get(eval, i, &slots[1]);
        if (is_text && item->kind == ROW_TEXT ? str_eq(value->text, item->text)
                                              : order(eval, value, item) == 0)
            return true;
    }
    return false;
}

static bool matches(const ExprEval *eval, const ExprNode *node)
{
    RowValue slot;
    const RowValue *value = expr_get(eval, node->left, &slot);

    if (!expr_is_text(value)) {
        eval->run->is_wrong |= value->kind != ROW_ANY;
        return false;
    }
    return regex_find(node->regex, value->text, 0, NULL, 0);
}

/* ---- conditions ------------------------------------------------------------------------------ */

static bool says_true(const RowValue *text)
{
    AUTO(buf_deinit) Buf scratch = { 0 };
    RowValue boolean;

    return row_cast(text, ROW_BOOL, 0, &scratch, &boolean) == 0 && boolean.kind == ROW_BOOL &&
           boolean.boolean;
}

static bool is_true(const RowValue *value)
{
    switch (value->kind) {
    case ROW_BOOL: return value->boolean;
    case ROW_INT: return value->integer != 0;
    case ROW_REAL: return value->real != 0 && !isnan(value->real);
    case ROW_TEXT: return says_true(value);
    case ROW_ANY:
    case ROW_TIME:
    case ROW_JSON: break;
    }
    return false;
}

static bool test(const ExprEval *eval, unsigned index)
{
    const ExprNode *node = &eval->nodes[index];
    RowValue slot;

    switch ((ExprOp) node->op) {
    case EXPR_AND:
        for (unsigned i = node->left; i != EXPR_NONE; i = eval->nodes[i].next) {
            if (!test(eval, i))
                return false;
        }
        return true;
    case EXPR_OR:
        for (unsigned i = node->left; i != EXPR_NONE; i = eval->nodes[i].next) {
            if (test(eval, i))
                return true;
        }
        return false;
    case EXPR_NOT: return !test(eval, node->left);
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE: return compare(eval, node);
    case EXPR_IN: return is_in(eval, node);
    case EXPR_MATCH: return matches(eval, node);
    case EXPR_CONST:
    case EXPR_COLUMN:
    case EXPR_NEGATE:
    case EXPR_ADD:
    case EXPR_SUBTRACT:
    case EXPR_MULTIPLY:
    case EXPR_DIVIDE:
    case EXPR_REMAINDER:
    case EXPR_IF:
    case EXPR_COALESCE:
    case EXPR_MIN:
    case EXPR_MAX:
    case EXPR_CALL: break;
    }
    return is_true(expr_get(eval, index, &slot));
}

/* ---- values ---------------------------------------------------------------------------------- */

static const RowValue *choose(const ExprEval *eval, const ExprNode *node, RowValue *slot)
{
    unsigned then = eval->nodes[node->left].next;

    return expr_get(eval, test(eval, node->left) ? then : eval->nodes[then].next, slot);
}

static const RowValue *first_there(const ExprEval *eval, const ExprNode *node, RowValue *slot)
{
    for (unsigned i = node->left; i != EXPR_NONE; i = eval->nodes[i].next) {
        const RowValue *value = expr_get(eval, i, slot);

        if (value->kind != ROW_ANY)
            return value;
    }
    *slot = row_null();
    return slot;
}

/* The least or the greatest; null when one is null. */
static RowValue extreme(const ExprEval *eval, const ExprNode *node)
{
    int wanted = node->op == EXPR_MIN ? -1 : 1;
    RowValue best = row_null(), slot;

    for (unsigned i = node->left; i != EXPR_NONE; i = eval->nodes[i].next) {
        const RowValue *value = expr_get(eval, i, &slot);
        int how = i == node->left ? wanted : order(eval, value, &best);

        if (value->kind == ROW_ANY)
            return row_null();
        if (how == UNORDERED)
            return wrong(eval);
        if (how == wanted)
            best = *value;
    }
    return best;
}

/* An integer among numbers is a number. */
static const RowValue *as_promised(const ExprNode *node, const RowValue *value, RowValue *slot)
{
    if (value->kind != ROW_INT || node->kind != ROW_REAL)
        return value;
    *slot = row_real((double) value->integer, (Str){ 0 });
    return slot;
}

static RowValue call(const ExprEval *eval, const ExprNode *node)
{
    RowValue slots[EXPR_ARGS_MAX], ret = row_null();
    const RowValue *args[EXPR_ARGS_MAX];
    size_t n = 0;

    for (unsigned i = node->left; i != EXPR_NONE; i = eval->nodes[i].next, n++) {
        args[n] = expr_get(eval, i, &slots[n]);
        if (args[n]->kind == ROW_ANY && node->function->kind != ROW_BOOL)
            return ret;
    }
    node->function->run(eval, node, args, n, &ret);
    return ret;
}

const RowValue *expr_get(const ExprEval *eval, unsigned index, RowValue *slot)
{
    static const RowValue nothing = { .kind = ROW_ANY };
    const ExprNode *node = &eval->nodes[index];

    switch ((ExprOp) node->op) {
    case EXPR_CONST: return &node->value;
    case EXPR_COLUMN: return node->column == EXPR_NONE ? &nothing : &eval->row[node->column];
    case EXPR_NEGATE: *slot = negate(eval, node); return slot;
    case EXPR_ADD:
    case EXPR_SUBTRACT:
    case EXPR_MULTIPLY:
    case EXPR_DIVIDE:
    case EXPR_REMAINDER: *slot = arithmetic(eval, node); return slot;
    case EXPR_IF: return as_promised(node, choose(eval, node, slot), slot);
    case EXPR_COALESCE: return as_promised(node, first_there(eval, node, slot), slot);
    case EXPR_MIN:
    case EXPR_MAX: *slot = extreme(eval, node); return as_promised(node, slot, slot);
    case EXPR_CALL: *slot = call(eval, node); return slot;
    case EXPR_NOT:
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:
    case EXPR_IN:
    case EXPR_MATCH: break;
    }
    *slot = row_boolean(test(eval, index));
    return slot;
}

RowValue expr_eval(const ExprPlan *plan, const RowValue *row, ExprRun *run)
{
    ExprEval eval = { .nodes = plan->nodes, .row = row, .run = run };
    RowValue slot;

    return *expr_get(&eval, plan->root, &slot);
}

bool expr_test(const ExprPlan *plan, const RowValue *row, ExprRun *run)
{
    ExprEval eval = { .nodes = plan->nodes, .row = row, .run = run };

    return test(&eval, plan->root);
}
