/*
 * Expressions: the tokens of their text. A text in quotes is put in the expression's arena without
 * its escapes; everything else is a view of the text.
 */
#include "rows/expr_token_int.h"

#include "base/err.h"
#include "base/macro.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '@' || c == '$' ||
           ((unsigned char) c & 0x80);
}

static size_t number_length(Str text)
{
    size_t n = 0;

    while (n < text.len && (is_digit(text.data[n]) || text.data[n] == '.'))
        n++;
    if (n < text.len && (text.data[n] | 0x20) == 'e') {
        size_t e = n + 1;

        e += e < text.len && (text.data[e] == '-' || text.data[e] == '+');
        if (e < text.len && is_digit(text.data[e])) {
            while (e < text.len && is_digit(text.data[e]))
                e++;
            n = e;
        }
    }
    return n;
}

/* What stands between quotes, with its escapes undone. */
static int read_quoted(ExprParser *parser, char quote, Str *ret)
{
    Str rest = str_sub(parser->text, parser->pos + 1, parser->text.len);
    char *out = arena_zalloc(&parser->expr->arena, rest.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < rest.len; i++) {
        char c = rest.data[i], next = i + 1 < rest.len ? rest.data[i + 1] : '\0';

        if (c == quote) {
            parser->pos += i + 2;
            *ret = str_from(out, n);
            return 0;
        }
        if (c == '\\' && quote != '`' && next != '\0' && strchr("nt\\'\"", next)) {
            c = next == 'n' ? '\n' : next == 't' ? '\t' : next;
            i++;
        }
        out[n++] = c;
    }
    return fail(-ERR_INVALID, "at %zu: the %c is not closed", parser->token.at, quote);
}

static void read_sign(ExprParser *parser)
{
    static const char *const pairs[] = { "==", "!=", "<=", ">=", "=~", "!~", "&&", "||" };
    Str rest = str_sub(parser->text, parser->pos, 2);
    ExprToken *token = &parser->token;
    size_t len = 1;

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        len = str_eq_c(rest, pairs[i]) ? 2 : len;
    token->kind = TOKEN_SIGN;
    token->text = str_sub(rest, 0, len);
    token->signs[0] = rest.data[0];
    token->signs[1] = len == 2 ? rest.data[1] : '\0';
    token->signs[2] = '\0';
    parser->pos += len;
}

int expr_advance(ExprParser *parser)
{
    Str text = parser->text;
    ExprToken *token = &parser->token;
    size_t from;
    char c;

    while (parser->pos < text.len && strchr(" \t\r\n", text.data[parser->pos]) &&
           text.data[parser->pos] != '\0')
        parser->pos++;
    from = parser->pos;
    *token = (ExprToken){ .at = from + 1 };
    if (from == text.len)
        return 0;
    c = text.data[from];
    if (c == '\'' || c == '"' || c == '`') {
        token->kind = c == '`' ? TOKEN_QUOTED : TOKEN_TEXT;
        return read_quoted(parser, c, &token->text);
    }
    if (is_digit(c) || (c == '.' && from + 1 < text.len && is_digit(text.data[from + 1]))) {
        token->kind = TOKEN_NUMBER;
        token->text = str_sub(text, from, number_length(str_sub(text, from, text.len)));
        parser->pos += token->text.len;
    } else if (is_name_start(c)) {
        size_t n = 1;

        while (from + n < text.len && (is_name_start(text.data[from + n]) ||
                                       is_digit(text.data[from + n]) || text.data[from + n] == '.'))
            n++;
        token->kind = TOKEN_NAME;
        token->text = str_sub(text, from, n);
        parser->pos += n;
    } else {
        read_sign(parser);
    }
    return 0;
}

bool expr_is_sign(const ExprParser *parser, const char *signs)
{
    return parser->token.kind == TOKEN_SIGN && strcmp(parser->token.signs, signs) == 0;
}

bool expr_is_word(const ExprParser *parser, const char *word)
{
    return parser->token.kind == TOKEN_NAME && str_eq_nocase(parser->token.text, str_from_c(word));
}
