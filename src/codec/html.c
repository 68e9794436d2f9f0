/*
 * HTML: the parser, and its limits.
 *
 * lexbor builds the tree as the HTML standard says, and knows no limits. Two places let us set
 * them: a callback for each token, which stands between tokenizer and tree builder, and the pieces
 * in which the text is given to it.
 *
 *   text ─ PIECE_BYTES → tokenizer → on_token → tree builder
 *              │                        └ depth, attributes, formatting elements, nodes
 *              └ memory, attributes of a tag that has not ended
 *
 * What would cost quadratic time or memory elsewhere is bounded by these: the stack of open
 * elements is searched for most tags; attributes of one tag are compared with each other; names
 * that are not HTML's go into a hash table that does not grow; the list of formatting elements is
 * opened anew in each paragraph.
 *
 * An element that is deeper than LIMIT_HTML_DEPTH is closed as soon as it is opened, so that what
 * is inside it becomes its siblings. If it had brought the tree builder into another state (a
 * table), the state is found anew from what is still open.
 */
#include "codec/html.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/html_int.h"

#include <lexbor/html/serialize.h>
#include <lexbor/html/tree/active_formatting.h>
#include <lexbor/html/tree/insertion_mode.h>
#include <lexbor/html/tree/open_elements.h>

#define PIECE_BYTES (64u << 10)

struct HtmlParser {
    lxb_html_document_t *document;      /* NULL until the first use */
    lxb_html_tokenizer_token_f on_tree; /* the tree builder's own callback */
    void *tree_ctx;
    size_t max_chunks; /* of the document's nodes: LIMIT_HTML_MEMORY_BYTES */
    bool is_cut;
};

/* ---- limits ---------------------------------------------------------------------------------- */

static lxb_html_tree_t *tree_of(const HtmlParser *parser)
{
    const lxb_html_parser_t *lexbor = parser->document->dom_document.parser;

    return lexbor->tree;
}

static lxb_html_tokenizer_t *tokenizer_of(const HtmlParser *parser)
{
    const lxb_html_parser_t *lexbor = parser->document->dom_document.parser;

    return lexbor->tkz;
}

/* Drop the attributes of TOKEN past the limit. */
static void cut_attributes(lxb_html_token_t *token)
{
    lxb_html_token_attr_t *attr = token->attr_first;

    for (size_t n = 1; attr && n < LIMIT_HTML_ATTRIBUTES; n++)
        attr = attr->next;
    if (attr && attr->next) {
        attr->next = NULL;
        token->attr_last = attr;
    }
}

/* Close what is nested too deep. */
static void cut_depth(lxb_html_tree_t *tree)
{
    while (lexbor_array_length(tree->open_elements) > LIMIT_HTML_DEPTH) {
        lxb_dom_node_t *node = lxb_html_tree_open_elements_pop(tree);

        if (html_is_tag(node, LXB_TAG_TEMPLATE))
            (void) lexbor_array_obj_pop(tree->template_insertion_modes);
        lxb_html_tree_active_formatting_remove_by_node(tree, node);
    }
    if (tree->mode != lxb_html_tree_insertion_mode_in_body)
        lxb_html_tree_reset_insertion_mode_appropriately(tree);
}

static lxb_html_token_t *on_token(lxb_html_tokenizer_t *tokenizer, lxb_html_token_t *token,
                                  void *ctx)
{
    HtmlParser *parser = ctx;
    lxb_html_tree_t *tree = tree_of(parser);
    const lxb_dom_document_t *document = &parser->document->dom_document;
    const lexbor_mraw_t *nodes = document->mraw;

    cut_attributes(token);
    token = parser->on_tree(tokenizer, token, parser->tree_ctx);
    if (!token)
        return NULL;
    lexbor_array_obj_clean(tree->parse_errors);
    if (UNLIKELY(lexbor_array_length(tree->open_elements) > LIMIT_HTML_DEPTH) &&
        tree->mode != lxb_html_tree_insertion_mode_text)
        cut_depth(tree);
    if (UNLIKELY(lexbor_array_length(tree->active_formatting) > LIMIT_HTML_FORMATTING))
        lexbor_array_delete(tree->active_formatting, 0, 1);
    if (UNLIKELY(nodes->ref_count > LIMIT_HTML_NODES ||
                 nodes->mem->chunk_length > parser->max_chunks ||
                 document->attrs->entries->allocated > LIMIT_HTML_NAMES ||
                 document->tags->entries->allocated > LIMIT_HTML_NAMES)) {
        parser->is_cut = true;
        tokenizer->status = LXB_STATUS_STOP;
        return NULL;
    }
    return token;
}

/* Whether a tag that has not ended has more attributes than a tag may have. */
static bool has_too_many_attributes(const HtmlParser *parser)
{
    const lxb_html_token_t *token = tokenizer_of(parser)->token;
    size_t n = 0;

    if (!token)
        return false;
    for (const lxb_html_token_attr_t *attr = token->attr_first; attr; attr = attr->next)
        n++;
    return n > LIMIT_HTML_ATTRIBUTES;
}

static size_t count_mem(const lexbor_mem_t *mem)
{
    size_t bytes = 0;

    for (const lexbor_mem_chunk_t *chunk = mem->chunk_first; chunk; chunk = chunk->next)
        bytes += chunk->size;
    return bytes;
}

static size_t count_hash(const lexbor_hash_t *hash)
{
    return count_mem(hash->entries->mem) + count_mem(hash->mraw->mem);
}

size_t html_parser_bytes(const HtmlParser *parser)
{
    const lxb_dom_document_t *document;
    size_t bytes = sizeof(*parser);

    if (!parser->document)
        return bytes;
    document = &parser->document->dom_document;
    bytes += count_mem(document->mraw->mem) + count_mem(document->text->mem) +
             count_hash(document->tags) + count_hash(document->attrs);
    if (document->parser) {
        const lxb_html_tokenizer_t *tokenizer = tokenizer_of(parser);

        bytes += count_mem(tokenizer->mraw->mem) + count_mem(tokenizer->dobj_token_attr->mem) +
                 (size_t) (tokenizer->end - tokenizer->start);
    }
    return bytes;
}

/* ---- parsing --------------------------------------------------------------------------------- */

HtmlParser *html_parser_new(void)
{
    return mem_new(HtmlParser);
}

static void drop_document(HtmlParser *parser)
{
    if (parser->document)
        (void) lxb_html_document_destroy(parser->document);
    parser->document = NULL;
}

void html_parser_free(HtmlParser *parser)
{
    if (!parser)
        return;
    drop_document(parser);
    mem_free(parser);
}

/* An empty document with the parser in its first state. */
static int begin(HtmlParser *parser)
{
    lxb_html_tokenizer_t *tokenizer;

    if (parser->document && html_parser_bytes(parser) > LIMIT_HTML_KEPT_BYTES)
        drop_document(parser);
    if (parser->document)
        lxb_html_document_clean(parser->document);
    else
        parser->document = lxb_html_document_create();
    if (!parser->document ||
        lxb_html_document_parse_chunk_begin(parser->document) != LXB_STATUS_OK) {
        drop_document(parser);
        return fail(-ENOMEM, "no memory for an HTML document");
    }
    /* Cleaning leaves the mode that the last page was in. */
    parser->document->dom_document.compat_mode = LXB_DOM_DOCUMENT_CMODE_NO_QUIRKS;
    tokenizer = tokenizer_of(parser);
    if (tokenizer->callback_token_done != on_token) {
        parser->on_tree = tokenizer->callback_token_done;
        parser->tree_ctx = tokenizer->callback_token_ctx;
        lxb_html_tokenizer_callback_token_done_set(tokenizer, on_token, parser);
    }
    parser->max_chunks = (size_t) LIMIT_HTML_MEMORY_BYTES /
                         parser->document->dom_document.mraw->mem->chunk_min_size;
    parser->is_cut = false;
    return 0;
}

int html_parse(HtmlParser *parser, Str text)
{
    lxb_status_t status = LXB_STATUS_OK;
    int r = begin(parser);

    if (r < 0)
        return r;
    for (size_t at = 0; at < text.len && status == LXB_STATUS_OK; at += PIECE_BYTES) {
        Str piece = str_sub(text, at, PIECE_BYTES);

        status = lxb_html_document_parse_chunk(parser->document, (const lxb_char_t *) piece.data,
                                               piece.len);
        lexbor_array_obj_clean(tokenizer_of(parser)->parse_errors);
        if (status == LXB_STATUS_OK && at + PIECE_BYTES < text.len &&
            (has_too_many_attributes(parser) ||
             html_parser_bytes(parser) > LIMIT_HTML_MEMORY_BYTES)) {
            parser->is_cut = true;
            return HTML_CUT;
        }
    }
    if (status == LXB_STATUS_OK)
        status = lxb_html_document_parse_chunk_end(parser->document);
    if (parser->is_cut)
        return HTML_CUT;
    if (status != LXB_STATUS_OK)
        return fail(-ENOMEM, "no memory for an HTML document of %zu bytes", text.len);
    return 0;
}

HtmlNode *html_document(HtmlParser *parser)
{
    if (!parser->document) {
        int r = html_parse(parser, (Str){ 0 });

        ASSERT(r == 0); /* an empty document is a small thing */
    }
    return html_from_dom(lxb_dom_interface_node(parser->document));
}

/* ---- nodes ----------------------------------------------------------------------------------- */

lxb_dom_node_t *html_next_after(lxb_dom_node_t *node, const lxb_dom_node_t *root)
{
    while (node != root && !node->next)
        node = node->parent;
    return node == root ? NULL : node->next;
}

lxb_dom_node_t *html_next(lxb_dom_node_t *node, const lxb_dom_node_t *root)
{
    return node->first_child ? node->first_child : html_next_after(node, root);
}

Str html_node_name(const HtmlNode *node)
{
    lxb_dom_node_t *dom = html_to_dom(node);
    const lxb_char_t *name;
    size_t len;

    if (dom->type != LXB_DOM_NODE_TYPE_ELEMENT)
        return (Str){ 0 };
    name = lxb_dom_element_local_name(lxb_dom_interface_element(dom), &len);
    return str_from((const char *) name, len);
}

static Str attr_value(lxb_dom_attr_t *attr)
{
    size_t len;
    const lxb_char_t *value = lxb_dom_attr_value(attr, &len);

    return value ? str_from((const char *) value, len) : (Str){ 0 };
}

bool html_attr(const lxb_dom_node_t *node, lxb_dom_attr_id_t id, Str *ret_value)
{
    const lxb_dom_element_t *element = (const lxb_dom_element_t *) node;

    if (node->type != LXB_DOM_NODE_TYPE_ELEMENT)
        return false;
    for (lxb_dom_attr_t *attr = element->first_attr; attr; attr = attr->next) {
        if (attr->node.local_name == id) {
            *ret_value = attr_value(attr);
            return true;
        }
    }
    return false;
}

bool html_node_attr(const HtmlNode *node, Str name, Str *ret_value)
{
    lxb_dom_node_t *dom = html_to_dom(node);
    lxb_dom_attr_t *attr;

    if (dom->type != LXB_DOM_NODE_TYPE_ELEMENT || name.len == 0)
        return false;
    attr = lxb_dom_element_attr_by_name(lxb_dom_interface_element(dom),
                                        (const lxb_char_t *) name.data, name.len);
    if (!attr)
        return false;
    *ret_value = attr_value(attr);
    return true;
}

static lxb_status_t on_piece(const lxb_char_t *data, size_t len, void *ctx)
{
    Buf *out = ctx;

    buf_add(out, data, len);
    return LXB_STATUS_OK;
}

void html_node_inner_html(const HtmlNode *node, Buf *out)
{
    (void) lxb_html_serialize_deep_cb(html_to_dom(node), on_piece, out); /* the buffer says it */
}

void html_node_outer_html(const HtmlNode *node, Buf *out)
{
    (void) lxb_html_serialize_tree_cb(html_to_dom(node), on_piece, out); /* the buffer says it */
}
