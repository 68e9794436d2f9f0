/*
 * CSS selectors: from text, through lexbor's parser, to the compiled form.
 *
 * lexbor says what it did not expect but not where; the place is the first occurrence of that token
 * at which the text up to there is already refused for the same reason.
 */
#include "codec/html_select.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/html_select_int.h"

#include <lexbor/css/css.h>

typedef lxb_css_selector_list_t LexborList;

static void parser_free(lxb_css_parser_t *parser)
{
    (void) lxb_css_parser_destroy(parser, true);
}
DEFINE_AUTO(lxb_css_parser_t *, parser_free);

static void list_free(LexborList *list)
{
    lxb_css_selector_list_destroy_memory(list);
}
DEFINE_AUTO(LexborList *, list_free);

/* ---- what is wrong, and where ---------------------------------------------------------------- */

/* Read TEXT; NULL or a list. The first complaint goes to *ret_why, copied to the arena. */
static LexborList *read_list(Arena *arena, Str text, Str *ret_why)
{
    AUTO(parser_free) lxb_css_parser_t *parser = lxb_css_parser_create();
    LexborList *list;

    *ret_why = (Str){ 0 };
    if (!parser || lxb_css_parser_init(parser, NULL) != LXB_STATUS_OK)
        return NULL;
    list = lxb_css_selectors_parse_relative_list(parser, (const lxb_char_t *) text.data, text.len);
    if (lexbor_array_obj_length(&parser->log->messages) > 0) {
        const lxb_css_log_message_t *first = lexbor_array_obj_get(&parser->log->messages, 0);

        *ret_why = arena_copy(arena, str_from((const char *) first->text.data, first->text.length));
    }
    return list;
}

/* The token that the complaint WHY is about: "Selectors. Unexpected token: foo". */
static Str token_of(Str why)
{
    Str token;

    (void) str_cut(why, ':', &token);
    return str_trim(token);
}

/* Where in TEXT the parser stumbled, from 0; TEXT's length for its end. */
static size_t find_place(Arena *arena, Str text, Str why)
{
    Str token = token_of(why);

    for (size_t i = 0; token.len > 0 && i + token.len <= text.len; i++) {
        AUTO(list_free) LexborList *list = NULL;
        Str other;

        if (!str_eq(str_sub(text, i, token.len), token))
            continue;
        list = read_list(arena, str_sub(text, 0, i + token.len), &other);
        if (str_eq(other, why))
            return i;
    }
    return text.len;
}

static int fail_at(size_t at, const char *what, Str which)
{
    return fail(-ERR_INVALID, "at %zu: %s%.*s%s", at + 1, what, (int) MIN(which.len, (size_t) 60),
                which.data ? which.data : "", which.len > 0 ? "\"" : "");
}

static int fail_text(Arena *arena, Str text, Str why)
{
    size_t at = find_place(arena, text, why);
    Str token = token_of(why);

    if (str_contains(why, (Str) STR("Not supported")))
        return fail_at(at, "not supported: \"", token);
    if (at >= text.len)
        return fail_at(text.len, "the selector ends too early", (Str){ 0 });
    if (str_contains(why, (Str) STR("empty")))
        return fail_at(at, "nothing in the parentheses of \"", token);
    if (at > 0 && text.data[at - 1] == ':')
        return fail_at(at, "no such pseudo-class: \"", token);
    return fail_at(at, "did not expect \"", token);
}

/* ---- compiling ------------------------------------------------------------------------------- */

typedef struct Compiler {
    Arena *arena;
    Str text; /* the whole, for places */
    unsigned depth;
} Compiler;

static int compile_list(Compiler *compiler, const LexborList *from, bool is_relative,
                        const SelectorList **ret_list);

static Str from_lexbor(const Compiler *compiler, lexbor_str_t s)
{
    return s.data ? arena_copy(compiler->arena, str_from((const char *) s.data, s.length))
                  : (Str){ 0 };
}

static int fail_name(const Compiler *compiler, Str name, const char *why)
{
    size_t at = 0;

    while (at + name.len <= compiler->text.len &&
           !str_eq_nocase(str_sub(compiler->text, at, name.len), name))
        at++;
    return fail(-ERR_INVALID, "at %zu: \":%.*s\" %s", MIN(at, compiler->text.len) + 1,
                (int) MIN(name.len, (size_t) 60), name.data, why);
}

/* first-child and its kin, which are nth-child(1) and its kin. */
static bool compile_position(unsigned type, Simple *simple)
{
    simple->kind = SIMPLE_NTH;
    simple->b = 1;
    switch (type) {
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FIRST_CHILD: return true;
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FIRST_OF_TYPE: simple->is_of_type = true; return true;
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_LAST_CHILD: simple->is_from_end = true; return true;
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_LAST_OF_TYPE:
        simple->is_from_end = simple->is_of_type = true;
        return true;
    default: return false;
    }
}

static int compile_state(Compiler *compiler, const lxb_css_selector_t *from, Simple *simple)
{
    static const struct {
        unsigned type;
        State state;
    } states[] = {
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_ROOT, STATE_ROOT },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_EMPTY, STATE_EMPTY },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_BLANK, STATE_BLANK },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_ANY_LINK, STATE_LINK },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_LINK, STATE_LINK },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_CHECKED, STATE_CHECKED },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_DISABLED, STATE_DISABLED },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_ENABLED, STATE_ENABLED },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_REQUIRED, STATE_REQUIRED },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_OPTIONAL, STATE_OPTIONAL },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_READ_ONLY, STATE_READ_ONLY },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_READ_WRITE, STATE_READ_WRITE },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_PLACEHOLDER_SHOWN, STATE_PLACEHOLDER },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_ONLY_CHILD, STATE_ONLY_CHILD },
        { LXB_CSS_SELECTOR_PSEUDO_CLASS_ONLY_OF_TYPE, STATE_ONLY_OF_TYPE },
    };

    if (compile_position(from->u.pseudo.type, simple))
        return 0;
    simple->kind = SIMPLE_STATE;
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (states[i].type == from->u.pseudo.type) {
            simple->state = states[i].state;
            return 0;
        }
    }
    return fail_name(compiler, simple->name,
                     "is a state of a browser; no page that was only fetched has it");
}

static int compile_nth(Compiler *compiler, const lxb_css_selector_t *from, Simple *simple)
{
    const lxb_css_selector_anb_of_t *nth = from->u.pseudo.data;
    unsigned type = from->u.pseudo.type;

    simple->kind = SIMPLE_NTH;
    simple->a = nth->anb.a;
    simple->b = nth->anb.b;
    simple->is_from_end = type == LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_NTH_LAST_CHILD ||
                          type == LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_NTH_LAST_OF_TYPE;
    simple->is_of_type = type == LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_NTH_OF_TYPE ||
                         type == LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_NTH_LAST_OF_TYPE;
    return nth->of ? compile_list(compiler, nth->of, false, &simple->list) : 0;
}

static int compile_function(Compiler *compiler, const lxb_css_selector_t *from, Simple *simple)
{
    const lxb_css_selector_contains_t *contains;

    switch (from->u.pseudo.type) {
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_IS:
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_WHERE:
        simple->kind = SIMPLE_IS;
        return compile_list(compiler, from->u.pseudo.data, false, &simple->list);
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_NOT:
        simple->kind = SIMPLE_NOT;
        return compile_list(compiler, from->u.pseudo.data, false, &simple->list);
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_HAS:
        simple->kind = SIMPLE_HAS;
        return compile_list(compiler, from->u.pseudo.data, true, &simple->list);
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_NTH_CHILD:
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_NTH_LAST_CHILD:
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_NTH_OF_TYPE:
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_NTH_LAST_OF_TYPE:
        return compile_nth(compiler, from, simple);
    case LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_LEXBOR_CONTAINS:
        contains = from->u.pseudo.data;
        simple->kind = SIMPLE_CONTAINS;
        simple->value = from_lexbor(compiler, contains->str);
        simple->is_nocase = contains->insensitive;
        return 0;
    default: return fail_name(compiler, simple->name, "is not supported");
    }
}

static void compile_attr(const Compiler *compiler, const lxb_css_selector_t *from, Simple *simple)
{
    static const AttrOp ops[] = {
        [LXB_CSS_SELECTOR_MATCH_EQUAL] = OP_EQUAL,   [LXB_CSS_SELECTOR_MATCH_INCLUDE] = OP_WORD,
        [LXB_CSS_SELECTOR_MATCH_DASH] = OP_DASH,     [LXB_CSS_SELECTOR_MATCH_PREFIX] = OP_PREFIX,
        [LXB_CSS_SELECTOR_MATCH_SUFFIX] = OP_SUFFIX, [LXB_CSS_SELECTOR_MATCH_SUBSTRING] = OP_PART,
    };
    const lxb_css_selector_attribute_t *attr = &from->u.attribute;

    simple->kind = SIMPLE_ATTR;
    simple->is_nocase = attr->modifier == LXB_CSS_SELECTOR_MODIFIER_I;
    if (attr->value.data) {
        ASSERT(attr->match < ARRAY_LEN(ops));
        simple->op = ops[attr->match];
        simple->value = from_lexbor(compiler, attr->value);
    }
}

static int compile_simple(Compiler *compiler, const lxb_css_selector_t *from, Simple *simple)
{
    simple->name = from_lexbor(compiler, from->name);
    if (from->ns.data && !(from->ns.length == 1 && from->ns.data[0] == '*'))
        return fail(-ERR_INVALID, "namespaces are not supported: \"%.*s|\"",
                    (int) MIN(from->ns.length, (size_t) 60), (const char *) from->ns.data);
    switch ((int) from->type) {
    case LXB_CSS_SELECTOR_TYPE_ANY: simple->kind = SIMPLE_ANY; return 0;
    case LXB_CSS_SELECTOR_TYPE_ELEMENT: simple->kind = SIMPLE_TYPE; return 0;
    case LXB_CSS_SELECTOR_TYPE_ID:
        simple->kind = SIMPLE_ID;
        simple->value = simple->name;
        return 0;
    case LXB_CSS_SELECTOR_TYPE_CLASS:
        simple->kind = SIMPLE_CLASS;
        simple->value = simple->name;
        return 0;
    case LXB_CSS_SELECTOR_TYPE_ATTRIBUTE: compile_attr(compiler, from, simple); return 0;
    case LXB_CSS_SELECTOR_TYPE_PSEUDO_CLASS: return compile_state(compiler, from, simple);
    case LXB_CSS_SELECTOR_TYPE_PSEUDO_CLASS_FUNCTION:
        return compile_function(compiler, from, simple);
    default: return fail_name(compiler, simple->name, "is not supported");
    }
}

static Combinator combinator_from(lxb_css_selector_combinator_t combinator)
{
    switch ((int) combinator) {
    case LXB_CSS_SELECTOR_COMBINATOR_CHILD: return COMBINATOR_CHILD;
    case LXB_CSS_SELECTOR_COMBINATOR_SIBLING: return COMBINATOR_NEXT;
    case LXB_CSS_SELECTOR_COMBINATOR_FOLLOWING: return COMBINATOR_AFTER;
    default: return COMBINATOR_INSIDE;
    }
}

static int compile_complex(Compiler *compiler, const LexborList *from, bool is_relative,
                           Complex *complex)
{
    Compound *compounds;
    Simple *simples;
    size_t n = 0, n_compounds = 0;
    int r;

    for (const lxb_css_selector_t *at = from->first; at; at = at->next)
        n++;
    simples = arena_zalloc(compiler->arena, (n + 1) * sizeof(*simples));
    compounds = arena_zalloc(compiler->arena, (n + 1) * sizeof(*compounds));
    for (const lxb_css_selector_t *at = from->first; at; at = at->next, simples++) {
        if (at == from->first || at->combinator != LXB_CSS_SELECTOR_COMBINATOR_CLOSE) {
            compounds[n_compounds].before = combinator_from(at->combinator);
            compounds[n_compounds++].simples = simples;
        }
        compounds[n_compounds - 1].n++;
        r = compile_simple(compiler, at, simples);
        if (r < 0)
            return r;
    }
    complex->compounds = compounds;
    complex->n = n_compounds;
    complex->is_anchored = is_relative || compounds[0].before != COMBINATOR_INSIDE;
    return 0;
}

static int compile_list(Compiler *compiler, const LexborList *from, bool is_relative,
                        const SelectorList **ret_list)
{
    SelectorList *list = arena_new(compiler->arena, SelectorList);
    Complex *items;
    int r;

    if (++compiler->depth > LIMIT_SELECTOR_DEPTH)
        return fail(-ERR_INVALID, "pseudo-classes are nested deeper than %d levels",
                    LIMIT_SELECTOR_DEPTH);
    for (const LexborList *at = from; at; at = at->next)
        list->n++;
    items = arena_zalloc(compiler->arena, list->n * sizeof(*items));
    list->items = items;
    for (const LexborList *at = from; at; at = at->next) {
        r = compile_complex(compiler, at, is_relative, items++);
        if (r < 0)
            return r;
    }
    compiler->depth--;
    *ret_list = list;
    return 0;
}

/* How long ":scope" and what is behind it is at the beginning of TEXT; 0: it is not there. */
static size_t scope_len(Str text)
{
    static const Str scope = STR(":scope");
    size_t n = scope.len;

    if (!str_starts(text, scope) || text.len == n)
        return 0;
    while (n < text.len && strchr(" \t\r\n\f", text.data[n]))
        n++;
    return n > scope.len || strchr(">+~", text.data[n]) ? n : 0;
}

int html_selector_new(Str text, HtmlSelector **ret_selector)
{
    AUTO(html_selector_free) HtmlSelector *selector = mem_new(HtmlSelector);
    AUTO(arena_deinit) Arena scratch = { 0 };
    AUTO(list_free) LexborList *list = NULL;
    Compiler compiler = { .arena = &selector->arena, .text = text };
    size_t n_scope = scope_len(text);
    Str why;
    int r;

    arena_init(&selector->arena, 4 << 20);
    if (text.len > LIMIT_SELECTOR_BYTES)
        return fail(-ERR_INVALID, "the selector is longer than %d bytes", LIMIT_SELECTOR_BYTES);
    if (str_trim(text).len == 0)
        return fail(-ERR_INVALID, "at 1: the selector is empty");
    /* With blanks in place of ":scope" all places stay what they are. */
    text = arena_copy(&scratch, text);
    for (size_t i = 0; i < n_scope; i++)
        ((char *) (uintptr_t) text.data)[i] = ' ';
    list = read_list(&scratch, text, &why);
    if (!list || why.len > 0)
        return fail_text(&scratch, text, why);
    r = compile_list(&compiler, list, n_scope > 0, &selector->list);
    if (r < 0)
        return r;
    for (size_t i = 0; i < selector->list->n; i++) {
        const Complex *item = &selector->list->items[i];
        Combinator first = item->compounds[0].before;

        selector->is_sideways |= item->is_anchored &&
                                 (first == COMBINATOR_NEXT || first == COMBINATOR_AFTER);
    }
    *ret_selector = TAKE(selector);
    return 0;
}

void html_selector_free(HtmlSelector *selector)
{
    if (!selector)
        return;
    arena_deinit(&selector->arena);
    mem_free(selector);
}
