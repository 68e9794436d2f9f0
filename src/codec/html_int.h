/*
 * Inside html: nodes are lexbor's.
 */
#pragma once

#include "codec/html.h"

#include <lexbor/dom/dom.h>
#include <lexbor/html/html.h>

static inline lxb_dom_node_t *html_to_dom(const HtmlNode *node)
{
    return (lxb_dom_node_t *) (uintptr_t) node;
}

static inline HtmlNode *html_from_dom(lxb_dom_node_t *node)
{
    return (HtmlNode *) node;
}

/* The node after NODE in the order of the page, inside ROOT; NULL at the end. */
lxb_dom_node_t *html_next(lxb_dom_node_t *node, const lxb_dom_node_t *root);

/* As html_next, but what is inside NODE is passed over. */
lxb_dom_node_t *html_next_after(lxb_dom_node_t *node, const lxb_dom_node_t *root);

/* Whether NODE is an HTML element with this tag. */
static inline bool html_is_tag(const lxb_dom_node_t *node, lxb_tag_id_t tag)
{
    return node->local_name == tag && node->ns == LXB_NS_HTML &&
           node->type == LXB_DOM_NODE_TYPE_ELEMENT;
}

/* The value of the attribute with this id; false: there is none. */
bool html_attr(const lxb_dom_node_t *node, lxb_dom_attr_id_t id, Str *ret_value);

/* The text of NODE, or of all text nodes inside it when there is one only; else false. A view. */
bool html_only_text(const lxb_dom_node_t *node, Str *ret_text);
