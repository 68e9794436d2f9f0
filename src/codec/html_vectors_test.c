/*
 * HTML: html5lib's tree-construction data, which browsers and parsers are held to; today it is
 * kept by the web platform's tests. $SLUICE_HTML_VECTORS names the folder.
 *
 * All pages go through one parser, as a crawl does it, so that what one leaves behind is seen in
 * the next. Fragments are left out (a crawl has whole pages only), as is what wants scripts to
 * run.
 */
#include "codec/html.h"
#include "codec/html_int.h"
#include "codec/vectors_test.h"

#define ATTRIBUTES_MAX 64

/* Trees that the library builds otherwise than the standard: a formatting element that is opened
 * again behind a table which the first one was moved before. */
static const char *const known[] = { "<nobr><table><marquee></table><nobr>" };

/* ---- the tree as the data writes it ---------------------------------------------------------- */

typedef struct Attribute {
    Str name; /* "xlink href" for one of another namespace */
    Str value;
} Attribute;

static int compare_attributes(const void *a, const void *b)
{
    return str_cmp(((const Attribute *) a)->name, ((const Attribute *) b)->name);
}

static Str attribute_name(Arena *arena, lxb_dom_attr_t *attr)
{
    size_t len;
    const lxb_char_t *name = lxb_dom_attr_qualified_name(attr, &len);
    Str qualified = str_from((const char *) name, len), local, prefix;

    if (attr->node.ns != LXB_NS_XLINK && attr->node.ns != LXB_NS_XML &&
        attr->node.ns != LXB_NS_XMLNS)
        return qualified;
    prefix = str_cut(qualified, ':', &local);
    if (local.len == 0)
        local = prefix;
    return arena_printf(arena, "%.*s %.*s", (int) prefix.len, prefix.data, (int) local.len,
                        local.data);
}

static void indent(Buf *out, unsigned depth)
{
    buf_printf(out, "| %*s", (int) depth * 2, "");
}

static void add_attributes(Arena *arena, lxb_dom_node_t *node, unsigned depth, Buf *out)
{
    lxb_dom_element_t *element = lxb_dom_interface_element(node);
    Attribute attributes[ATTRIBUTES_MAX];
    size_t n = 0;

    for (lxb_dom_attr_t *attr = element->first_attr; attr && n < ATTRIBUTES_MAX;
         attr = attr->next) {
        size_t len;
        const lxb_char_t *value = lxb_dom_attr_value(attr, &len);

        attributes[n].name = attribute_name(arena, attr);
        attributes[n++].value = value ? str_from((const char *) value, len) : (Str){ 0 };
    }
    qsort(attributes, n, sizeof(attributes[0]), compare_attributes);
    for (size_t i = 0; i < n; i++) {
        indent(out, depth);
        buf_add_str(out, attributes[i].name);
        buf_add_c(out, "=\"");
        buf_add_str(out, attributes[i].value);
        buf_add_c(out, "\"\n");
    }
}

static void add_tag(lxb_dom_node_t *node, Buf *out)
{
    size_t len;
    const lxb_char_t *name = lxb_dom_element_qualified_name(lxb_dom_interface_element(node), &len);

    buf_add_c(out, node->ns == LXB_NS_SVG ? "<svg " : node->ns == LXB_NS_MATH ? "<math " : "<");
    buf_add(out, name, len);
    buf_add_c(out, ">\n");
}

static void add_doctype(lxb_dom_node_t *node, Buf *out)
{
    lxb_dom_document_type_t *doctype = lxb_dom_interface_document_type(node);
    size_t len, public_len = 0, system_len = 0;
    const lxb_char_t *name = lxb_dom_document_type_name(doctype, &len);
    const lxb_char_t *public_id = lxb_dom_document_type_public_id(doctype, &public_len);
    const lxb_char_t *system_id = lxb_dom_document_type_system_id(doctype, &system_len);

    buf_add_c(out, "<!DOCTYPE ");
    buf_add(out, name, name ? len : 0);
    if (public_len > 0 || system_len > 0) {
        buf_add_c(out, " \"");
        buf_add(out, public_id, public_len);
        buf_add_c(out, "\" \"");
        buf_add(out, system_id, system_len);
        buf_add_c(out, "\"");
    }
    buf_add_c(out, ">\n");
}

static void add_characters(lxb_dom_node_t *node, const char *before, const char *behind, Buf *out)
{
    const lexbor_str_t *data = &lxb_dom_interface_character_data(node)->data;

    buf_add_c(out, before);
    buf_add(out, data->data, data->length);
    buf_add_c(out, behind);
}

static void add_nodes(Arena *arena, lxb_dom_node_t *first, unsigned depth, Buf *out);

static void add_element(Arena *arena, lxb_dom_node_t *node, unsigned depth, Buf *out)
{
    add_tag(node, out);
    add_attributes(arena, node, depth + 1, out);
    if (html_is_tag(node, LXB_TAG_TEMPLATE)) {
        const lxb_html_template_element_t *template = lxb_html_interface_template(node);

        indent(out, depth + 1);
        buf_add_c(out, "content\n");
        if (template->content)
            add_nodes(arena, template->content->node.first_child, depth + 2, out);
    }
    add_nodes(arena, node->first_child, depth + 1, out);
}

static void add_nodes(Arena *arena, lxb_dom_node_t *first, unsigned depth, Buf *out)
{
    for (lxb_dom_node_t *node = first; node; node = node->next) {
        indent(out, depth);
        if (node->type == LXB_DOM_NODE_TYPE_ELEMENT)
            add_element(arena, node, depth, out);
        else if (node->type == LXB_DOM_NODE_TYPE_TEXT)
            add_characters(node, "\"", "\"\n", out);
        else if (node->type == LXB_DOM_NODE_TYPE_COMMENT)
            add_characters(node, "<!-- ", " -->\n", out);
        else if (node->type == LXB_DOM_NODE_TYPE_DOCUMENT_TYPE)
            add_doctype(node, out);
        else
            buf_add_c(out, "?\n");
    }
}

/* ---- the tests ------------------------------------------------------------------------------- */

static bool is_known(Str page)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(page, str_from_c(known[i])))
            return true;
    return false;
}

static Str without_line_feeds(Str text)
{
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    return text;
}

static void run_vector(HtmlParser *parser, const char *path, Str test, VectorCounts *counts)
{
    AUTO(buf_deinit) Buf tree = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str page, behind, between, want, got;

    if (!vectors_cut(test, "\n#errors\n", &page, &behind) ||
        !vectors_cut(behind, "#document\n", &between, &want) ||
        str_contains(between, STR_C("#document-fragment\n")) ||
        str_contains(between, STR_C("#script-on\n")))
        return (void) counts->left_out++;
    page = str_sub(page, 1, page.len);
    want = without_line_feeds(want);
    EXPECT_OK(html_parse(parser, page));
    add_nodes(&arena, html_to_dom(html_document(parser))->first_child, 0, &tree);
    got = without_line_feeds(buf_str(&tree));
    if (str_eq(got, want))
        return (void) counts->passed++;
    if (is_known(page))
        return (void) counts->known++;
    counts->failed++;
    test_fail(__FILE__, __LINE__, "%s: for\n%.*s\nwant\n%.*s\ngot\n%.*s", path, (int) page.len,
              page.data, (int) want.len, want.data, (int) got.len, got.data);
}

TEST(builds_trees_as_browsers_do)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    VectorCounts counts = { 0 };
    glob_t files;

    if (!vectors_list("SLUICE_HTML_VECTORS", "*.dat", &files))
        return;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        AUTO(buf_deinit) Buf text = { 0 };
        Str rest, test;

        REQUIRE(vectors_read(files.gl_pathv[i], &text));
        rest = buf_str(&text);
        while (vectors_next(&rest, &test))
            run_vector(parser, files.gl_pathv[i], test, &counts);
    }
    globfree(&files);
    vectors_print("HTML", &counts, "fragments, and scripts that run");
}

TEST_MAIN()
