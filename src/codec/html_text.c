/*
 * HTML: the text of a node.
 *
 * One walk in the order of the page. White space is not written but remembered as the break that
 * is due before the next character, the strongest of what came: a space, a tab between cells, a
 * line feed where a block begins or ends. So there is never a break at an end, and never two.
 */
#include "codec/html.h"

#include "base/macro.h"
#include "codec/html_int.h"

typedef enum Due {
    DUE_NOTHING,
    DUE_SPACE,
    DUE_TAB,
    DUE_LINE,
} Due;

typedef struct Flow {
    Buf *out;
    size_t start; /* where the text began in out */
    Due due;
    unsigned n_pre; /* open elements that keep white space */
    bool is_line;   /* all breaks are spaces */
} Flow;

static bool is_block(const lxb_dom_node_t *node)
{
    if (node->ns != LXB_NS_HTML)
        return false;
    switch (node->local_name) {
    case LXB_TAG_ADDRESS:
    case LXB_TAG_ARTICLE:
    case LXB_TAG_ASIDE:
    case LXB_TAG_BLOCKQUOTE:
    case LXB_TAG_BODY:
    case LXB_TAG_BR:
    case LXB_TAG_CAPTION:
    case LXB_TAG_CENTER:
    case LXB_TAG_DD:
    case LXB_TAG_DETAILS:
    case LXB_TAG_DIALOG:
    case LXB_TAG_DIR:
    case LXB_TAG_DIV:
    case LXB_TAG_DL:
    case LXB_TAG_DT:
    case LXB_TAG_FIELDSET:
    case LXB_TAG_FIGCAPTION:
    case LXB_TAG_FIGURE:
    case LXB_TAG_FOOTER:
    case LXB_TAG_FORM:
    case LXB_TAG_H1:
    case LXB_TAG_H2:
    case LXB_TAG_H3:
    case LXB_TAG_H4:
    case LXB_TAG_H5:
    case LXB_TAG_H6:
    case LXB_TAG_HEADER:
    case LXB_TAG_HGROUP:
    case LXB_TAG_HR:
    case LXB_TAG_HTML:
    case LXB_TAG_LEGEND:
    case LXB_TAG_LI:
    case LXB_TAG_MAIN:
    case LXB_TAG_MENU:
    case LXB_TAG_NAV:
    case LXB_TAG_OL:
    case LXB_TAG_OPTGROUP:
    case LXB_TAG_OPTION:
    case LXB_TAG_P:
    case LXB_TAG_PRE:
    case LXB_TAG_SECTION:
    case LXB_TAG_SUMMARY:
    case LXB_TAG_TABLE:
    case LXB_TAG_TBODY:
    case LXB_TAG_TFOOT:
    case LXB_TAG_THEAD:
    case LXB_TAG_TR:
    case LXB_TAG_UL: return true;
    default: return false;
    }
}

static bool is_cell(const lxb_dom_node_t *node)
{
    return html_is_tag(node, LXB_TAG_TD) || html_is_tag(node, LXB_TAG_TH);
}

static bool is_pre(const lxb_dom_node_t *node)
{
    return html_is_tag(node, LXB_TAG_PRE) || html_is_tag(node, LXB_TAG_TEXTAREA);
}

/* What a reader does not see. */
static bool is_hidden(const lxb_dom_node_t *node)
{
    return node->ns == LXB_NS_HTML &&
           (node->local_name == LXB_TAG_SCRIPT || node->local_name == LXB_TAG_STYLE ||
            node->local_name == LXB_TAG_TEMPLATE || node->local_name == LXB_TAG_HEAD);
}

static void add_due(Flow *flow)
{
    static const char breaks[] = { [DUE_SPACE] = ' ', [DUE_TAB] = '\t', [DUE_LINE] = '\n' };

    if (flow->due != DUE_NOTHING && flow->out->len > flow->start)
        buf_add_char(flow->out, flow->is_line ? ' ' : breaks[flow->due]);
    flow->due = DUE_NOTHING;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

static void add_text(Flow *flow, Str text)
{
    for (size_t i = 0; i < text.len;) {
        size_t start = i;

        if (is_space(text.data[i])) {
            flow->due = MAX(flow->due, (Due) DUE_SPACE);
            i++;
            continue;
        }
        add_due(flow);
        while (i < text.len && !is_space(text.data[i]))
            i++;
        buf_add(flow->out, text.data + start, i - start);
    }
}

static Str text_of(const lxb_dom_node_t *node)
{
    const lexbor_str_t *data = &lxb_dom_interface_character_data(node)->data;

    return data->data ? str_from((const char *) data->data, data->length) : (Str){ 0 };
}

static void enter(Flow *flow, const lxb_dom_node_t *node)
{
    if (node->type == LXB_DOM_NODE_TYPE_TEXT) {
        if (flow->n_pre > 0 && !flow->is_line) {
            add_due(flow);
            buf_add_str(flow->out, text_of(node));
        } else {
            add_text(flow, text_of(node));
        }
    } else if (is_block(node)) {
        flow->due = DUE_LINE;
    }
    flow->n_pre += is_pre(node);
}

static void leave(Flow *flow, const lxb_dom_node_t *node)
{
    flow->n_pre -= is_pre(node);
    if (is_cell(node))
        flow->due = MAX(flow->due, (Due) DUE_TAB);
    else if (is_block(node))
        flow->due = DUE_LINE;
}

static bool is_seen(const lxb_dom_node_t *node, const lxb_dom_node_t *root)
{
    return node->type == LXB_DOM_NODE_TYPE_TEXT || node == root ||
           (node->type == LXB_DOM_NODE_TYPE_ELEMENT && !is_hidden(node));
}

static void walk(Flow *flow, lxb_dom_node_t *root)
{
    lxb_dom_node_t *node = root;

    for (;;) {
        bool is_entered = is_seen(node, root);

        if (is_entered)
            enter(flow, node);
        if (is_entered && node->first_child) {
            node = node->first_child;
            continue;
        }
        if (is_entered)
            leave(flow, node);
        while (node != root && !node->next) {
            node = node->parent;
            leave(flow, node);
        }
        if (node == root)
            return;
        node = node->next;
    }
}

bool html_only_text(const lxb_dom_node_t *node, Str *ret_text)
{
    const lxb_dom_node_t *child = node->first_child;

    if (!child || child->next || child->type != LXB_DOM_NODE_TYPE_TEXT)
        return false;
    *ret_text = text_of(child);
    return true;
}

static void add_flow(const HtmlNode *node, Buf *out, bool is_line)
{
    Flow flow = { .out = out, .start = out->len, .is_line = is_line };
    Str text;

    if (html_only_text(html_to_dom(node), &text) && !is_pre(html_to_dom(node))) {
        add_text(&flow, text);
        return;
    }
    walk(&flow, html_to_dom(node));
    while (out->len > flow.start && is_space(out->data[out->len - 1]))
        out->len--;
}

void html_node_text(const HtmlNode *node, Buf *out)
{
    add_flow(node, out, false);
}

void html_node_text_line(const HtmlNode *node, Buf *out)
{
    add_flow(node, out, true);
}

void html_node_text_raw(const HtmlNode *node, Buf *out)
{
    lxb_dom_node_t *root = html_to_dom(node);

    for (lxb_dom_node_t *at = html_next(root, root); at; at = html_next(at, root))
        if (at->type == LXB_DOM_NODE_TYPE_TEXT)
            buf_add_str(out, text_of(at));
}
