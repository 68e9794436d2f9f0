/*
 * Structured data: Microdata, written as JSON-LD has it.
 *
 *   <div itemscope itemtype="https://schema.org/Product">   {"@type":"Product",
 *     <h2 itemprop=name>Shoe</h2>                            "name":"Shoe",
 *     <div itemprop=offers itemscope>…</div>                 "offers":{…}}
 *
 * The properties of an item are collected first, because those of one name stand together, as a
 * list. Items inside items recurse, LIMIT_STRUCTURED_DEPTH deep.
 */
#include "codec/structured_int.h"

#include "base/assert.h"
#include "base/limits.h"

#define PROPERTIES_MAX 512

typedef struct Property {
    Str name;
    lxb_dom_node_t *node;
    bool is_written;
} Property;

typedef struct Writing {
    Arena *scratch;
    JsonWriter *writer;
    size_t *n_cut;
} Writing;

static bool get(const lxb_dom_node_t *node, const char *name, Str *ret_value)
{
    return html_node_attr((const HtmlNode *) node, str_from_c(name), ret_value);
}

static bool is_item(const lxb_dom_node_t *node)
{
    Str ignored;

    return get(node, "itemscope", &ignored);
}

/* Take the next word of S. */
static bool next_word(Str *s, Str *ret_word)
{
    size_t start = 0, end;

    while (start < s->len && strchr(" \t\r\n\f", s->data[start]))
        start++;
    end = start;
    while (end < s->len && !strchr(" \t\r\n\f", s->data[end]))
        end++;
    *ret_word = str_sub(*s, start, end - start);
    *s = str_sub(*s, end, s->len);
    return ret_word->len > 0;
}

static void write_type(Writing *writing, const lxb_dom_node_t *item)
{
    static const char *const homes[] = { "https://schema.org/", "http://schema.org/" };
    Str types, type;

    if (!get(item, "itemtype", &types) || !next_word(&types, &type))
        return;
    for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++)
        if (str_starts(type, str_from_c(homes[i])) && type.len > strlen(homes[i]))
            type = str_sub(type, strlen(homes[i]), type.len);
    json_write_member_str(writing->writer, "@type", type);
}

/* The attribute that holds the value of a property on this element; NULL: its text does. */
static const char *value_attr(const lxb_dom_node_t *node)
{
    switch (node->ns == LXB_NS_HTML ? node->local_name : LXB_TAG__UNDEF) {
    case LXB_TAG_META: return "content";
    case LXB_TAG_AUDIO:
    case LXB_TAG_EMBED:
    case LXB_TAG_IFRAME:
    case LXB_TAG_IMG:
    case LXB_TAG_SOURCE:
    case LXB_TAG_TRACK:
    case LXB_TAG_VIDEO: return "src";
    case LXB_TAG_A:
    case LXB_TAG_AREA:
    case LXB_TAG_LINK: return "href";
    case LXB_TAG_OBJECT: return "data";
    case LXB_TAG_DATA:
    case LXB_TAG_METER: return "value";
    case LXB_TAG_TIME: return "datetime";
    default: return NULL;
    }
}

static void write_plain(Writing *writing, const lxb_dom_node_t *node)
{
    AUTO(buf_deinit) Buf text = { .max_bytes = LIMIT_STRUCTURED_BYTES };
    const char *name = value_attr(node);
    Str value;

    /* Shops put the machine's form in `content` of any element. */
    if ((name && get(node, name, &value)) || get(node, "content", &value)) {
        json_write_str(writing->writer, str_trim(value));
        return;
    }
    html_node_text_line((const HtmlNode *) node, &text);
    json_write_str(writing->writer, buf_str(&text));
}

/* The properties of ITEM, in the order of the page; returns how many. */
static size_t collect(Writing *writing, lxb_dom_node_t *item, Property *properties)
{
    lxb_dom_node_t *node = html_next(item, item);
    size_t n = 0;

    while (node) {
        Str names, name;

        if (node->type == LXB_DOM_NODE_TYPE_ELEMENT && get(node, "itemprop", &names)) {
            while (next_word(&names, &name)) {
                if (n == PROPERTIES_MAX)
                    ++*writing->n_cut;
                else
                    properties[n++] = (Property){ .name = name, .node = node };
            }
        }
        node = is_item(node) ? html_next_after(node, item) : html_next(node, item);
    }
    return n;
}

static void write_item(Writing *writing, lxb_dom_node_t *item, unsigned depth);

static void write_value(Writing *writing, lxb_dom_node_t *node, unsigned depth)
{
    if (!is_item(node))
        write_plain(writing, node);
    else
        write_item(writing, node, depth + 1);
}

static void write_item(Writing *writing, lxb_dom_node_t *item, unsigned depth)
{
    Property *properties;
    size_t n;

    if (depth >= LIMIT_STRUCTURED_DEPTH || writing->writer->out->len > LIMIT_STRUCTURED_BYTES) {
        ++*writing->n_cut;
        json_write_null(writing->writer);
        return;
    }
    properties = arena_try(writing->scratch, PROPERTIES_MAX * sizeof(*properties));
    n = properties ? collect(writing, item, properties) : 0;
    json_write_object(writing->writer);
    write_type(writing, item);
    for (size_t i = 0; i < n; i++) {
        bool is_list = false;

        if (properties[i].is_written)
            continue;
        for (size_t k = i + 1; k < n && !is_list; k++)
            is_list = str_eq(properties[i].name, properties[k].name);
        json_write_key_str(writing->writer, properties[i].name);
        if (is_list)
            json_write_array(writing->writer);
        for (size_t k = i; k < n; k++) {
            if (!str_eq(properties[i].name, properties[k].name))
                continue;
            properties[k].is_written = true;
            write_value(writing, properties[k].node, depth);
        }
        if (is_list)
            json_write_array_end(writing->writer);
    }
    json_write_object_end(writing->writer);
}

void structured_write_items(Arena *scratch, JsonWriter *writer, lxb_dom_node_t *root, size_t *n_cut)
{
    Writing writing = { .scratch = scratch, .writer = writer, .n_cut = n_cut };
    lxb_dom_node_t *node = html_next(root, root);
    Str ignored;

    while (node) {
        if (node->type == LXB_DOM_NODE_TYPE_ELEMENT && is_item(node) &&
            !get(node, "itemprop", &ignored)) {
            if (writer->out->len > LIMIT_STRUCTURED_BYTES) {
                ++*n_cut;
                return;
            }
            arena_reset(scratch);
            write_item(&writing, node, 0);
        }
        node = html_next(node, root);
    }
}
