/*
 * Expressions: bound to the columns of a shape.
 *
 * A plan is a copy of the nodes with columns in place, their kinds worked out, texts beside times
 * and numbers read once, and what is constant computed. Children stand before their parents, so one
 * walk from the front does it.
 */
#include "rows/expr_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/suggest.h"
#include "rows/row_cast.h"

/* What is bound to what. */
typedef struct Binding {
    const Expr *expr;
    const RowColumn *columns;
    size_t n_columns;
    bool is_strict;
    ExprPlan *plan;
} Binding;

static int unknown_column(const Binding *binding, Str name, unsigned at)
{
    Suggest suggest = { .word = name };

    for (size_t i = 0; i < binding->n_columns; i++)
        suggest_consider(&suggest, binding->columns[i].name);
    if (suggest.best.len > 0)
        return fail(-ERR_INVALID, "at %u: there is no column \"%.*s\"; did you mean \"%.*s\"?", at,
                    (int) name.len, name.data, (int) suggest.best.len, suggest.best.data);
    return fail(-ERR_INVALID, "at %u: there is no column \"%.*s\"", at, (int) name.len, name.data);
}

static int bind_column(const Binding *binding, ExprNode *node)
{
    Str name = binding->expr->columns[node->column];

    for (size_t i = 0; i < binding->n_columns; i++) {
        if (str_eq(binding->columns[i].name, name)) {
            node->column = (uint32_t) i;
            node->kind = (uint8_t) binding->columns[i].kind;
            return 0;
        }
    }
    if (binding->is_strict)
        return unknown_column(binding, name, node->at);
    node->column = EXPR_NONE;
    return 0;
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static bool is_number(RowKind kind)
{
    return kind == ROW_INT || kind == ROW_REAL;
}

/* The kind of a number made of one value of KIND. */
static RowKind number_kind(RowKind kind)
{
    return is_number(kind) ? kind : ROW_ANY;
}

/* The kind that covers both, where a null has none. */
static RowKind both_kinds(RowKind a, RowKind b)
{
    if (a == b)
        return a;
    return is_number(a) && is_number(b) ? ROW_REAL : ROW_ANY;
}

static bool is_null_const(const ExprNode *node)
{
    return node->op == EXPR_CONST && node->value.kind == ROW_ANY;
}

/* The kind of the values in the chain that begins at INDEX. */
static RowKind chain_kind(const ExprNode *nodes, unsigned index)
{
    RowKind kind = ROW_ANY;
    bool is_first = true;

    for (unsigned i = index; i != EXPR_NONE; i = nodes[i].next) {
        if (is_null_const(&nodes[i]))
            continue;
        kind = is_first ? (RowKind) nodes[i].kind : both_kinds(kind, (RowKind) nodes[i].kind);
        is_first = false;
    }
    return kind;
}

static RowKind arithmetic_kind(ExprOp op, RowKind a, RowKind b)
{
    if (op == EXPR_ADD && a == ROW_TEXT && b == ROW_TEXT)
        return ROW_TEXT;
    if (op == EXPR_SUBTRACT && a == ROW_TIME && b == ROW_TIME)
        return ROW_REAL;
    if ((a == ROW_TIME && (op == EXPR_ADD || op == EXPR_SUBTRACT)) ||
        (b == ROW_TIME && op == EXPR_ADD))
        return ROW_TIME;
    if (op == EXPR_DIVIDE)
        return ROW_REAL;
    return is_number(a) && is_number(b) ? both_kinds(a, b) : ROW_ANY;
}

static RowKind kind_of(const ExprNode *nodes, const ExprNode *node)
{
    switch ((ExprOp) node->op) {
    case EXPR_CONST: return node->value.kind;
    case EXPR_COLUMN: return (RowKind) node->kind;
    case EXPR_NEGATE: return number_kind((RowKind) nodes[node->left].kind);
    case EXPR_ADD:
    case EXPR_SUBTRACT:
    case EXPR_MULTIPLY:
    case EXPR_DIVIDE:
    case EXPR_REMAINDER:
        return arithmetic_kind((ExprOp) node->op, (RowKind) nodes[node->left].kind,
                               (RowKind) nodes[node->right].kind);
    case EXPR_IF: return chain_kind(nodes, nodes[node->left].next);
    case EXPR_COALESCE:
    case EXPR_MIN:
    case EXPR_MAX: return chain_kind(nodes, node->left);
    case EXPR_CALL:
        return node->function->kind != ROW_ANY ? node->function->kind
                                               : number_kind((RowKind) nodes[node->left].kind);
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
    return ROW_BOOL;
}

/* ---- constants ------------------------------------------------------------------------------- */

/* NODE is compared with values of KIND: a text becomes what it is wanted as. One that cannot is
 * refused where the columns are settled; elsewhere other rows may be of another kind. */
static int fit_const(const Binding *binding, ExprNode *node, RowKind kind)
{
    AUTO(buf_deinit) Buf scratch = { 0 };
    RowValue value;

    if (node->op != EXPR_CONST || node->value.kind != ROW_TEXT ||
        (kind != ROW_TIME && kind != ROW_INT && kind != ROW_REAL && kind != ROW_BOOL))
        return 0;
    if (row_cast(&node->value, kind == ROW_INT ? ROW_REAL : kind, NS_PER_S, &scratch, &value) !=
        0) {
        if (!binding->is_strict)
            return 0;
        return fail(-ERR_INVALID, "at %u: \"%.*s\" is compared with a column of kind %s", node->at,
                    (int) MIN(node->value.text.len, (size_t) 64), node->value.text.data,
                    row_kind_name(kind));
    }
    node->value = value;
    node->kind = (uint8_t) value.kind;
    return 0;
}

static int fit_consts(const Binding *binding, ExprNode *nodes, const ExprNode *node)
{
    int r = 0;

    if (node->op >= EXPR_EQ && node->op <= EXPR_GE) {
        r = fit_const(binding, &nodes[node->left], (RowKind) nodes[node->right].kind);
        if (r == 0)
            r = fit_const(binding, &nodes[node->right], (RowKind) nodes[node->left].kind);
    }
    for (unsigned i = node->left; node->op == EXPR_IN && r == 0 && i != EXPR_NONE;
         i = nodes[i].next)
        r = fit_const(binding, &nodes[i], (RowKind) nodes[node->right].kind);
    return r;
}

static bool has_const_children(const ExprNode *nodes, const ExprNode *node)
{
    if (node->op == EXPR_CONST || node->op == EXPR_COLUMN)
        return false;
    if (node->right != EXPR_NONE && nodes[node->right].op != EXPR_CONST)
        return false;
    for (unsigned i = node->left; i != EXPR_NONE; i = nodes[i].next) {
        if (nodes[i].op != EXPR_CONST)
            return false;
    }
    return true;
}

/* Compute what is constant, unless it is wrong: then each row says so. */
static void fold(ExprPlan *plan, unsigned index)
{
    ExprRun run = { .arena = &plan->arena };
    ExprEval eval = { .nodes = plan->nodes, .run = &run };
    ExprNode *node = &plan->nodes[index];
    RowValue slot, value;

    if (!has_const_children(plan->nodes, node))
        return;
    value = *expr_get(&eval, index, &slot);
    if (run.is_wrong)
        return;
    node->op = EXPR_CONST;
    node->value = value;
    node->left = node->right = EXPR_NONE;
}

/* ---- the whole ------------------------------------------------------------------------------- */

void expr_plan_free(ExprPlan *plan)
{
    if (!plan)
        return;
    arena_deinit(&plan->arena);
    mem_free(plan->nodes);
    mem_free(plan);
}

static int bind_node(const Binding *binding, size_t i)
{
    ExprNode *nodes = binding->plan->nodes, *node = &nodes[i];
    int r = node->op == EXPR_COLUMN ? bind_column(binding, node) : fit_consts(binding, nodes, node);

    if (r < 0)
        return r;
    node->kind = (uint8_t) kind_of(nodes, node);
    fold(binding->plan, (unsigned) i);
    return 0;
}

int expr_bind(const Expr *expr, const RowColumn *columns, size_t n, bool is_strict,
              ExprPlan **ret_plan)
{
    AUTO(expr_plan_free) ExprPlan *plan = mem_new(ExprPlan);
    Binding binding = {
        .expr = expr, .columns = columns, .n_columns = n, .is_strict = is_strict, .plan = plan
    };

    ASSERT(expr->n_nodes > 0);
    arena_init(&plan->arena, 0);
    plan->nodes = mem_new_array(ExprNode, expr->n_nodes);
    memcpy(plan->nodes, expr->nodes, expr->n_nodes * sizeof(plan->nodes[0]));
    plan->root = expr->root;
    for (size_t i = 0; i < expr->n_nodes; i++) {
        int r = bind_node(&binding, i);

        if (r < 0)
            return r;
    }
    *ret_plan = TAKE(plan);
    return 0;
}

RowKind expr_kind(const ExprPlan *plan)
{
    return (RowKind) plan->nodes[plan->root].kind;
}
