/*
 * CSS selectors: the matching.
 *
 * A complex selector is matched from its last compound to its first, each combinator trying the
 * nodes that may stand to the left until the rest fits. Recursion is as deep as the selector is
 * long, never as deep as the page. Every comparison of a compound with a node is a step; when they
 * run out everything answers "no" and the search says that it was cut.
 *
 * nth-child counts siblings. As nodes are visited in the order of the page, the count of the
 * sibling before is usually the one that was found last, so that a long list costs one step each.
 */
#include "codec/html_select.h"

#include "base/assert.h"
#include "codec/html_int.h"
#include "codec/html_select_int.h"

typedef const lxb_dom_node_t Node;

static bool match_list(HtmlSearch *search, const SelectorList *list, Node *scope, Node *node);

static bool take_step(HtmlSearch *search)
{
    if (search->steps_left == 0) {
        search->is_cut = true;
        return false;
    }
    search->steps_left--;
    return true;
}

static bool is_element(Node *node)
{
    return node && node->type == LXB_DOM_NODE_TYPE_ELEMENT;
}

static Node *parent_of(Node *node)
{
    return is_element(node->parent) ? node->parent : NULL;
}

static Node *before(Node *node)
{
    do
        node = node->prev;
    while (node && node->type != LXB_DOM_NODE_TYPE_ELEMENT);
    return node;
}

static Node *behind(Node *node)
{
    do
        node = node->next;
    while (node && node->type != LXB_DOM_NODE_TYPE_ELEMENT);
    return node;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static bool equal(Str a, Str b, bool is_nocase)
{
    return is_nocase ? str_eq_nocase(a, b) : str_eq(a, b);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

static bool has_word(Str list, Str word, bool is_nocase)
{
    size_t start, i = 0;

    while (i < list.len) {
        while (i < list.len && is_space(list.data[i]))
            i++;
        start = i;
        while (i < list.len && !is_space(list.data[i]))
            i++;
        if (i - start == word.len && word.len > 0 &&
            equal(str_from(list.data + start, i - start), word, is_nocase))
            return true;
    }
    return false;
}

static bool has_part(Str s, Str part, bool is_nocase)
{
    if (!is_nocase)
        return str_contains(s, part);
    for (size_t i = 0; i + part.len <= s.len; i++)
        if (str_eq_nocase(str_sub(s, i, part.len), part))
            return true;
    return false;
}

static bool match_value(const Simple *simple, Str value)
{
    Str want = simple->value;

    switch (simple->op) {
    case OP_PRESENT: return true;
    case OP_EQUAL: return equal(value, want, simple->is_nocase);
    case OP_WORD: return has_word(value, want, simple->is_nocase);
    case OP_DASH:
        return equal(str_sub(value, 0, want.len), want, simple->is_nocase) &&
               (value.len == want.len || (value.len > want.len && value.data[want.len] == '-'));
    case OP_PREFIX:
        return want.len > 0 && value.len >= want.len &&
               equal(str_sub(value, 0, want.len), want, simple->is_nocase);
    case OP_SUFFIX:
        return want.len > 0 && value.len >= want.len &&
               equal(str_sub(value, value.len - want.len, want.len), want, simple->is_nocase);
    case OP_PART: return want.len > 0 && has_part(value, want, simple->is_nocase);
    }
    UNREACHABLE("an operator of attributes");
}

static Str attr_text(const lxb_dom_attr_t *attr)
{
    if (!attr || !attr->value || !attr->value->data)
        return (Str){ 0 };
    return str_from((const char *) attr->value->data, attr->value->length);
}

static bool is_quirky(Node *node)
{
    return node->owner_document->compat_mode == LXB_DOM_DOCUMENT_CMODE_QUIRKS;
}

static bool has_attr(Node *node, const char *name)
{
    Str value;

    return html_node_attr((const HtmlNode *) node, str_from_c(name), &value);
}

static bool has_type(Node *node, const char *type)
{
    Str value;

    return html_attr(node, LXB_DOM_ATTR_TYPE, &value) && str_eq_nocase(value, str_from_c(type));
}

/* ---- states ---------------------------------------------------------------------------------- */

static bool is_form_control(Node *node)
{
    return html_is_tag(node, LXB_TAG_INPUT) || html_is_tag(node, LXB_TAG_BUTTON) ||
           html_is_tag(node, LXB_TAG_SELECT) || html_is_tag(node, LXB_TAG_TEXTAREA) ||
           html_is_tag(node, LXB_TAG_OPTION) || html_is_tag(node, LXB_TAG_OPTGROUP) ||
           html_is_tag(node, LXB_TAG_FIELDSET);
}

/* Disabled by itself, or by a fieldset around it (but for the fieldset's first legend). */
static bool is_disabled(Node *node)
{
    Node *child = node;

    if (!is_form_control(node))
        return false;
    if (has_attr(node, "disabled"))
        return true;
    for (Node *at = parent_of(node); at; child = at, at = parent_of(at)) {
        if (html_is_tag(at, LXB_TAG_OPTGROUP) && html_is_tag(node, LXB_TAG_OPTION) &&
            has_attr(at, "disabled"))
            return true;
        if (html_is_tag(at, LXB_TAG_FIELDSET) && has_attr(at, "disabled") &&
            !(html_is_tag(child, LXB_TAG_LEGEND) && !before(child)))
            return true;
    }
    return false;
}

static bool is_checked(Node *node)
{
    if (html_is_tag(node, LXB_TAG_OPTION))
        return has_attr(node, "selected");
    return html_is_tag(node, LXB_TAG_INPUT) &&
           (has_type(node, "checkbox") || has_type(node, "radio")) && has_attr(node, "checked");
}

static bool is_requirable(Node *node)
{
    return html_is_tag(node, LXB_TAG_INPUT) || html_is_tag(node, LXB_TAG_SELECT) ||
           html_is_tag(node, LXB_TAG_TEXTAREA);
}

static bool is_writable(Node *node)
{
    static const char *const others[] = { "hidden", "range",  "color", "checkbox", "radio",
                                          "file",   "submit", "image", "reset",    "button" };
    Str value;

    if (html_node_attr((const HtmlNode *) node, str_from_c("contenteditable"), &value))
        return !str_eq_nocase(value, str_from_c("false"));
    if (!html_is_tag(node, LXB_TAG_INPUT) && !html_is_tag(node, LXB_TAG_TEXTAREA))
        return false;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (html_is_tag(node, LXB_TAG_INPUT) && has_type(node, others[i]))
            return false;
    return !has_attr(node, "readonly") && !is_disabled(node);
}

static bool is_empty(Node *node, bool may_be_blank)
{
    for (Node *child = node->first_child; child; child = child->next) {
        const lexbor_str_t *data;

        if (child->type == LXB_DOM_NODE_TYPE_ELEMENT)
            return false;
        if (child->type != LXB_DOM_NODE_TYPE_TEXT)
            continue;
        data = &lxb_dom_interface_character_data(child)->data;
        for (size_t i = 0; i < data->length; i++)
            if (!may_be_blank || !is_space((char) data->data[i]))
                return false;
    }
    return true;
}

static bool is_same_type(Node *a, Node *b)
{
    return a->local_name == b->local_name && a->ns == b->ns;
}

static bool has_kin(HtmlSearch *search, Node *node, bool is_of_type)
{
    for (Node *at = before(node); at && take_step(search); at = before(at))
        if (!is_of_type || is_same_type(at, node))
            return true;
    for (Node *at = behind(node); at && take_step(search); at = behind(at))
        if (!is_of_type || is_same_type(at, node))
            return true;
    return search->is_cut;
}

static bool match_state(HtmlSearch *search, State state, Node *node)
{
    switch (state) {
    case STATE_ROOT: return node->parent && node->parent->type == LXB_DOM_NODE_TYPE_DOCUMENT;
    case STATE_EMPTY: return is_empty(node, false);
    case STATE_BLANK: return is_empty(node, true);
    case STATE_LINK:
        return (html_is_tag(node, LXB_TAG_A) || html_is_tag(node, LXB_TAG_AREA)) &&
               has_attr(node, "href");
    case STATE_CHECKED: return is_checked(node);
    case STATE_DISABLED: return is_disabled(node);
    case STATE_ENABLED: return is_form_control(node) && !is_disabled(node);
    case STATE_REQUIRED: return is_requirable(node) && has_attr(node, "required");
    case STATE_OPTIONAL: return is_requirable(node) && !has_attr(node, "required");
    case STATE_READ_ONLY: return !is_writable(node);
    case STATE_READ_WRITE: return is_writable(node);
    case STATE_PLACEHOLDER:
        return (html_is_tag(node, LXB_TAG_INPUT) || html_is_tag(node, LXB_TAG_TEXTAREA)) &&
               has_attr(node, "placeholder") && !has_attr(node, "value") && is_empty(node, false);
    case STATE_ONLY_CHILD: return !has_kin(search, node, false);
    case STATE_ONLY_OF_TYPE: return !has_kin(search, node, true);
    }
    UNREACHABLE("a state");
}

/* ---- positions ------------------------------------------------------------------------------- */

static bool counts(HtmlSearch *search, const Simple *simple, Node *scope, Node *node, Node *at)
{
    if (simple->is_of_type)
        return is_same_type(at, node);
    return !simple->list || match_list(search, simple->list, scope, at);
}

/* The place of NODE among those of its siblings that count, from 1. */
static int64_t count_place(HtmlSearch *search, const Simple *simple, Node *scope, Node *node)
{
    bool is_plain = !simple->list && !simple->is_of_type;
    int64_t n = 1;

    for (Node *at = simple->is_from_end ? behind(node) : before(node); at;
         at = simple->is_from_end ? behind(at) : before(at)) {
        if (!take_step(search))
            return 0;
        if (is_plain && !simple->is_from_end && search->counted_by == simple &&
            search->counted == (const HtmlNode *) at) {
            n += search->count;
            break;
        }
        n += counts(search, simple, scope, node, at);
    }
    if (is_plain) {
        search->counted_by = simple;
        search->counted = (const HtmlNode *) node;
        search->count = n;
    }
    return n;
}

static bool match_nth(HtmlSearch *search, const Simple *simple, Node *scope, Node *node)
{
    int64_t place, from_b;

    if (simple->list && !match_list(search, simple->list, scope, node))
        return false;
    place = count_place(search, simple, scope, node);
    from_b = place - simple->b;
    if (place == 0)
        return false;
    if (simple->a == 0)
        return from_b == 0;
    return from_b % simple->a == 0 && from_b / simple->a >= 0;
}

/* ---- simples, compounds, complexes ----------------------------------------------------------- */

static bool match_complex(HtmlSearch *search, const Complex *complex, size_t i, Node *scope,
                          Node *node);

/* Whether something that LIST finds stands to NODE as it says. */
static bool match_has(HtmlSearch *search, const SelectorList *list, Node *node)
{
    for (size_t i = 0; i < list->n; i++) {
        const Complex *complex = &list->items[i];
        Combinator first = complex->compounds[0].before;
        bool is_inside = first == COMBINATOR_INSIDE || first == COMBINATOR_CHILD;
        lxb_dom_node_t *root = (lxb_dom_node_t *) (uintptr_t) (is_inside ? node : node->parent);
        lxb_dom_node_t *at = (lxb_dom_node_t *) (uintptr_t) node;

        if (!root)
            continue;
        at = is_inside ? html_next(at, root) : html_next_after(at, root);
        for (; at; at = html_next(at, root)) {
            if (!take_step(search))
                return false;
            if (is_element(at) && match_complex(search, complex, complex->n - 1, node, at))
                return true;
        }
    }
    return false;
}

static bool match_contains(HtmlSearch *search, const Simple *simple, Node *node)
{
    AUTO(buf_deinit) Buf text = { 0 };
    size_t cost;

    html_node_text_raw((const HtmlNode *) node, &text);
    cost = text.len / 64;
    search->steps_left -= cost < search->steps_left ? cost : search->steps_left;
    return !text.is_failed && has_part(buf_str(&text), simple->value, simple->is_nocase);
}

static bool match_simple(HtmlSearch *search, const Simple *simple, Node *scope, Node *node)
{
    const lxb_dom_element_t *element = (const lxb_dom_element_t *) node;
    Str value;

    switch (simple->kind) {
    case SIMPLE_ANY: return true;
    case SIMPLE_TYPE: return str_eq_nocase(html_node_name((const HtmlNode *) node), simple->name);
    case SIMPLE_ID:
        return element->attr_id &&
               equal(attr_text(element->attr_id), simple->value, is_quirky(node));
    case SIMPLE_CLASS:
        return element->attr_class &&
               has_word(attr_text(element->attr_class), simple->value, is_quirky(node));
    case SIMPLE_ATTR:
        return html_node_attr((const HtmlNode *) node, simple->name, &value) &&
               match_value(simple, value);
    case SIMPLE_STATE: return match_state(search, simple->state, node);
    case SIMPLE_IS: return match_list(search, simple->list, scope, node);
    case SIMPLE_NOT: return !match_list(search, simple->list, scope, node) && !search->is_cut;
    case SIMPLE_HAS: return match_has(search, simple->list, node);
    case SIMPLE_NTH: return match_nth(search, simple, scope, node);
    case SIMPLE_CONTAINS: return match_contains(search, simple, node);
    }
    UNREACHABLE("a simple selector");
}

/* Whether NODE, which the first compound fits, stands to SCOPE as the selector's beginning says. */
static bool is_anchored_right(HtmlSearch *search, Combinator combinator, Node *scope, Node *node)
{
    switch (combinator) {
    case COMBINATOR_CHILD: return node->parent == scope;
    case COMBINATOR_NEXT: return before(node) == scope;
    case COMBINATOR_INSIDE:
        for (node = node->parent; node && take_step(search); node = node->parent)
            if (node == scope)
                return true;
        return false;
    case COMBINATOR_AFTER:
        for (node = before(node); node && take_step(search); node = before(node))
            if (node == scope)
                return true;
        return false;
    }
    UNREACHABLE("a combinator");
}

/* Whether compounds 0 to I fit, the last of them at NODE. */
static bool match_complex(HtmlSearch *search, const Complex *complex, size_t i, Node *scope,
                          Node *node)
{
    const Compound *compound = &complex->compounds[i];

    if (!take_step(search))
        return false;
    for (size_t k = 0; k < compound->n; k++)
        if (!match_simple(search, &compound->simples[k], scope, node))
            return false;
    if (i == 0)
        return !complex->is_anchored || is_anchored_right(search, compound->before, scope, node);
    switch (compound->before) {
    case COMBINATOR_CHILD:
        node = parent_of(node);
        return node && match_complex(search, complex, i - 1, scope, node);
    case COMBINATOR_NEXT:
        node = before(node);
        return node && match_complex(search, complex, i - 1, scope, node);
    case COMBINATOR_INSIDE:
        for (node = parent_of(node); node && !search->is_cut; node = parent_of(node))
            if (match_complex(search, complex, i - 1, scope, node))
                return true;
        return false;
    case COMBINATOR_AFTER:
        for (node = before(node); node && !search->is_cut; node = before(node))
            if (match_complex(search, complex, i - 1, scope, node))
                return true;
        return false;
    }
    UNREACHABLE("a combinator");
}

static bool match_list(HtmlSearch *search, const SelectorList *list, Node *scope, Node *node)
{
    for (size_t i = 0; i < list->n; i++)
        if (match_complex(search, &list->items[i], list->items[i].n - 1, scope, node))
            return true;
    return false;
}

/* ---- searching ------------------------------------------------------------------------------- */

HtmlNode *html_selector_next(const HtmlSelector *selector, HtmlSearch *search,
                             const HtmlNode *scope, HtmlNode *after)
{
    lxb_dom_node_t *start = html_to_dom(scope), *root = start, *node;

    if (selector->is_sideways && start->parent)
        root = start->parent;
    if (after)
        node = html_next(html_to_dom(after), root);
    else
        node = root == start ? html_next(start, root) : html_next_after(start, root);
    for (; node && !search->is_cut; node = html_next(node, root))
        if (is_element(node) && match_list(search, selector->list, start, node))
            return html_from_dom(node);
    return NULL;
}
