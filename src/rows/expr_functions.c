/*
 * Expressions: the functions. To add one: a function of values and a row in the table, which is
 * sorted by name for those who read it in the documentation.
 */
#include "rows/expr_int.h"

#include "base/limits.h"
#include "base/macro.h"
#include "codec/suggest.h"
#include "rows/row_cast.h"

#include <math.h>

#define DIGITS_MAX 15 /* of round */

#define FUNCTION(name)                                                                        \
    static void name(const ExprEval *eval, const ExprNode *node, const RowValue *const *args, \
                     size_t n, RowValue *ret)

static void give_wrong(const ExprEval *eval, RowValue *ret)
{
    eval->run->is_wrong = true;
    *ret = row_gap(ROW_GAP_WRONG);
}

static void give_real(const ExprEval *eval, double real, RowValue *ret)
{
    if (isfinite(real))
        *ret = row_real(real, (Str){ 0 });
    else
        give_wrong(eval, ret);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* A function of one double. */
#define REAL_FUNCTION(name, expression)                             \
    FUNCTION(name)                                                  \
    {                                                               \
        RowValue slot;                                              \
        const RowValue *number = expr_number(eval, args[0], &slot); \
                                                                    \
        (void) node, (void) n;                                      \
        if (number) {                                               \
            double x = expr_real(number);                           \
                                                                    \
            give_real(eval, (expression), ret);                     \
        }                                                           \
    }

REAL_FUNCTION(fn_exp, exp(x))
REAL_FUNCTION(fn_log, log(x))
REAL_FUNCTION(fn_log10, log10(x))
REAL_FUNCTION(fn_sqrt, sqrt(x))

FUNCTION(fn_abs)
{
    RowValue slot;
    const RowValue *number = expr_number(eval, args[0], &slot);

    (void) node, (void) n;
    if (!number)
        return;
    if (number->kind == ROW_INT && number->integer == INT64_MIN)
        give_wrong(eval, ret);
    else if (number->kind == ROW_INT)
        *ret = row_integer(number->integer < 0 ? -number->integer : number->integer);
    else
        give_real(eval, fabs(expr_real(number)), ret);
}

FUNCTION(fn_pow)
{
    RowValue slots[2];
    const RowValue *x = expr_number(eval, args[0], &slots[0]);
    const RowValue *y = expr_number(eval, args[1], &slots[1]);

    (void) node, (void) n;
    if (x && y)
        give_real(eval, pow(expr_real(x), expr_real(y)), ret);
}

/* Whole numbers are integers where they fit. */
static void give_whole(const ExprEval *eval, double whole, RowValue *ret)
{
    if (fabs(whole) < 9.2e18)
        *ret = row_integer((int64_t) whole);
    else
        give_wrong(eval, ret);
}

#define WHOLE_FUNCTION(name, expression)                            \
    FUNCTION(name)                                                  \
    {                                                               \
        RowValue slot;                                              \
        const RowValue *number = expr_number(eval, args[0], &slot); \
                                                                    \
        (void) node, (void) n;                                      \
        if (number && number->kind == ROW_INT) {                    \
            *ret = *number;                                         \
        } else if (number) {                                        \
            double x = number->real;                                \
                                                                    \
            give_whole(eval, (expression), ret);                    \
        }                                                           \
    }

WHOLE_FUNCTION(fn_ceil, ceil(x))
WHOLE_FUNCTION(fn_floor, floor(x))
WHOLE_FUNCTION(fn_round, round(x))

FUNCTION(fn_round_to)
{
    RowValue slots[2];
    const RowValue *x = expr_number(eval, args[0], &slots[0]);
    const RowValue *digits = expr_number(eval, args[1], &slots[1]);
    double scale;

    (void) node, (void) n;
    if (!x || !digits)
        return;
    if (!(fabs(expr_real(digits)) <= DIGITS_MAX)) {
        give_wrong(eval, ret);
        return;
    }
    scale = pow(10, fabs(round(expr_real(digits))));
    if (expr_real(digits) < 0)
        give_real(eval, round(expr_real(x) / scale) * scale, ret);
    else
        give_real(eval, round(expr_real(x) * scale) / scale, ret);
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* Whether all N arguments are texts. */
static bool are_texts(const ExprEval *eval, const RowValue *const *args, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!expr_is_text(args[i])) {
            eval->run->is_wrong |= args[i]->kind != ROW_ANY;
            return false;
        }
    }
    return true;
}

static bool is_ascii(Str text)
{
    unsigned char all = 0;

    for (size_t i = 0; i < text.len; i++)
        all |= (unsigned char) text.data[i];
    return all < 0x80;
}

/* Letters beyond ASCII: what the filter makes of them. */
static void change_case_slowly(const ExprEval *eval, const ExprNode *node, Str text, RowValue *ret)
{
    Value value = value_text(text);

    if (!expr_room(eval, text.len) ||
        filter_chain_run(node->chain, eval->run->arena, NULL, &value) != 0)
        give_wrong(eval, ret);
    else
        *ret = row_text(value.text);
}

static void change_case(const ExprEval *eval, const ExprNode *node, const RowValue *const *args,
                        RowValue *ret)
{
    bool is_upper = node->function->name[0] == 'u';
    char from = is_upper ? 'a' : 'A', to = is_upper ? 'z' : 'Z', *room;
    Str text = args[0]->text;

    if (!are_texts(eval, args, 1))
        return;
    if (!is_ascii(text)) {
        change_case_slowly(eval, node, text, ret);
        return;
    }
    room = expr_room(eval, text.len);
    for (size_t i = 0; room && i < text.len; i++)
        room[i] = (char) (text.data[i] ^ (text.data[i] >= from && text.data[i] <= to ? 0x20 : 0));
    *ret = room ? row_text(str_from(room, text.len)) : row_gap(ROW_GAP_WRONG);
}

FUNCTION(fn_case)
{
    (void) n;
    change_case(eval, node, args, ret);
}

FUNCTION(fn_trim)
{
    (void) node, (void) n;
    if (are_texts(eval, args, 1))
        *ret = row_text(str_trim(args[0]->text));
}

FUNCTION(fn_length)
{
    int64_t characters = 0;

    (void) node, (void) n;
    if (!are_texts(eval, args, 1))
        return;
    for (size_t i = 0; i < args[0]->text.len; i++)
        characters += ((unsigned char) args[0]->text.data[i] & 0xc0) != 0x80;
    *ret = row_integer(characters);
}

FUNCTION(fn_contains)
{
    (void) node;
    *ret = row_boolean(are_texts(eval, args, n) && str_contains(args[0]->text, args[1]->text));
}

FUNCTION(fn_starts_with)
{
    (void) node;
    *ret = row_boolean(are_texts(eval, args, n) && str_starts(args[0]->text, args[1]->text));
}

FUNCTION(fn_ends_with)
{
    (void) node;
    *ret = row_boolean(are_texts(eval, args, n) && str_ends(args[0]->text, args[1]->text));
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static void cast_to(const ExprEval *eval, const RowValue *value, RowKind kind, RowValue *ret)
{
    AUTO(buf_deinit) Buf scratch = { .max_bytes = LIMIT_EXPR_TEXT_BYTES };
    char *room;

    if (row_cast(value, kind, NS_PER_S, &scratch, ret) != 0) {
        give_wrong(eval, ret);
        return;
    }
    if (ret->text.len == 0 || ret->text.data != scratch.data)
        return;
    room = expr_room(eval, ret->text.len);
    if (room)
        memcpy(room, ret->text.data, ret->text.len);
    *ret = room ? row_text(str_from(room, ret->text.len)) : row_gap(ROW_GAP_WRONG);
}

FUNCTION(fn_boolean)
{
    (void) node, (void) n;
    cast_to(eval, args[0], ROW_BOOL, ret);
}

FUNCTION(fn_integer)
{
    RowValue slot;
    const RowValue *number = args[0];

    (void) node, (void) n;
    if (number->kind == ROW_BOOL) {
        *ret = row_integer(number->boolean);
        return;
    }
    number = expr_number(eval, number, &slot);
    if (number && number->kind == ROW_INT)
        *ret = *number;
    else if (number)
        give_whole(eval, trunc(number->real), ret);
}

FUNCTION(fn_number)
{
    (void) node, (void) n;
    if (args[0]->kind == ROW_TIME)
        *ret = row_real((double) args[0]->time_ns / 1e9, (Str){ 0 });
    else
        cast_to(eval, args[0], ROW_REAL, ret);
}

FUNCTION(fn_text)
{
    (void) node, (void) n;
    if (args[0]->kind == ROW_JSON)
        *ret = row_text(args[0]->text);
    else
        cast_to(eval, args[0], ROW_TEXT, ret);
}

FUNCTION(fn_time)
{
    (void) node, (void) n;
    cast_to(eval, args[0], ROW_TIME, ret);
}

FUNCTION(fn_is_null)
{
    (void) eval, (void) node, (void) n;
    *ret = row_boolean(args[0]->kind == ROW_ANY);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const ExprFunction functions[] = {
    { "abs", "number without its sign", 1, 1, EXPR_CALL, ROW_ANY, fn_abs },
    { "boolean", "text or number as true or false", 1, 1, EXPR_CALL, ROW_BOOL, fn_boolean },
    { "ceil", "the next integer, not below it", 1, 1, EXPR_CALL, ROW_INT, fn_ceil },
    { "coalesce", "the first value that is not null", 1, UINT8_MAX, EXPR_COALESCE, ROW_ANY, NULL },
    { "contains", "whether a text holds another", 2, 2, EXPR_CALL, ROW_BOOL, fn_contains },
    { "ends_with", "whether a text ends with another", 2, 2, EXPR_CALL, ROW_BOOL, fn_ends_with },
    { "exp", "e to its power", 1, 1, EXPR_CALL, ROW_REAL, fn_exp },
    { "floor", "the next integer, not above it", 1, 1, EXPR_CALL, ROW_INT, fn_floor },
    { "if", "if(condition, then, else)", 3, 3, EXPR_IF, ROW_ANY, NULL },
    { "integer", "text or number as an integer, its fraction cut", 1, 1, EXPR_CALL, ROW_INT,
      fn_integer },
    { "is_null", "whether it is null", 1, 1, EXPR_CALL, ROW_BOOL, fn_is_null },
    { "length", "characters of a text", 1, 1, EXPR_CALL, ROW_INT, fn_length },
    { "log", "natural logarithm", 1, 1, EXPR_CALL, ROW_REAL, fn_log },
    { "log10", "logarithm to the base of ten", 1, 1, EXPR_CALL, ROW_REAL, fn_log10 },
    { "lower", "text in small letters", 1, 1, EXPR_CALL, ROW_TEXT, fn_case },
    { "max", "the greatest", 1, UINT8_MAX, EXPR_MAX, ROW_ANY, NULL },
    { "min", "the least", 1, UINT8_MAX, EXPR_MIN, ROW_ANY, NULL },
    { "number", "text, boolean or time (seconds since 1970) as a number", 1, 1, EXPR_CALL, ROW_REAL,
      fn_number },
    { "pow", "pow(x, y)", 2, 2, EXPR_CALL, ROW_REAL, fn_pow },
    { "round", "the nearest integer", 1, 1, EXPR_CALL, ROW_INT, fn_round },
    { "round_to", "round_to(x, digits behind the point)", 2, 2, EXPR_CALL, ROW_REAL, fn_round_to },
    { "sqrt", "square root", 1, 1, EXPR_CALL, ROW_REAL, fn_sqrt },
    { "starts_with", "whether a text begins with another", 2, 2, EXPR_CALL, ROW_BOOL,
      fn_starts_with },
    { "text", "any value as text", 1, 1, EXPR_CALL, ROW_TEXT, fn_text },
    { "time", "text (RFC 3339) or number (seconds since 1970) as a time", 1, 1, EXPR_CALL, ROW_TIME,
      fn_time },
    { "trim", "text without white space at its ends", 1, 1, EXPR_CALL, ROW_TEXT, fn_trim },
    { "upper", "text in capital letters", 1, 1, EXPR_CALL, ROW_TEXT, fn_case },
};

const ExprFunction *expr_function_find(Str name, Str *suggestion)
{
    Suggest suggest = { .word = name };

    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        Str candidate = str_from_c(functions[i].name);

        if (str_eq_nocase(candidate, name))
            return &functions[i];
        suggest_consider(&suggest, candidate);
    }
    *suggestion = suggest.best;
    return NULL;
}
