/*
 * HTML: what a page says of itself, and where it leads. One walk over all elements.
 */
#include "codec/html.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/html_int.h"

/* ---- words in attributes --------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

/* Take the next word of a list parted by white space (and commas, if HAS_COMMAS). */
static bool next_word(Str *rest, bool has_commas, Str *ret_word)
{
    size_t start = 0, end;

    while (start < rest->len &&
           (is_space(rest->data[start]) || (has_commas && rest->data[start] == ',')))
        start++;
    end = start;
    while (end < rest->len && !is_space(rest->data[end]) && !(has_commas && rest->data[end] == ','))
        end++;
    *ret_word = str_sub(*rest, start, end - start);
    *rest = str_sub(*rest, end, rest->len);
    return ret_word->len > 0;
}

static bool has_word(Str list, const char *word)
{
    Str item;

    while (next_word(&list, false, &item))
        if (str_eq_nocase(item, str_from_c(word)))
            return true;
    return false;
}

unsigned html_robots_parse(Str content)
{
    static const struct {
        const char *word;
        unsigned bits;
    } words[] = {
        { "noindex", HTML_ROBOTS_NOINDEX },
        { "nofollow", HTML_ROBOTS_NOFOLLOW },
        { "none", HTML_ROBOTS_NOINDEX | HTML_ROBOTS_NOFOLLOW },
        { "noarchive", HTML_ROBOTS_NOARCHIVE },
        { "nocache", HTML_ROBOTS_NOARCHIVE },
        { "nosnippet", HTML_ROBOTS_NOSNIPPET },
    };
    unsigned bits = 0;
    Str word;

    while (next_word(&content, true, &word))
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
            if (str_eq_nocase(word, str_from_c(words[i].word)))
                bits |= words[i].bits;
    return bits;
}

static Str trim_left(Str s)
{
    while (s.len > 0 && is_space(s.data[0]))
        s = str_sub(s, 1, s.len);
    return s;
}

static Str trim(Str s)
{
    s = trim_left(s);
    while (s.len > 0 && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* The URL behind the delay, with or without "url=" and quotes. */
static Str refresh_target(Str s)
{
    Str rest;
    ssize_t end;

    if (s.len >= 3 && str_eq_nocase(str_sub(s, 0, 3), (Str) STR("url"))) {
        rest = trim_left(str_sub(s, 3, s.len));
        if (rest.len == 0 || rest.data[0] != '=')
            return s;
        s = trim_left(str_sub(rest, 1, rest.len));
    }
    if (s.len > 0 && (s.data[0] == '"' || s.data[0] == '\'')) {
        rest = str_sub(s, 1, s.len);
        end = str_find(rest, s.data[0]);
        return end < 0 ? rest : str_sub(rest, 0, (size_t) end);
    }
    return s;
}

bool html_refresh_parse(Str content, int64_t *ret_delay_s, Str *ret_href)
{
    Str s = trim_left(content);
    int64_t delay = 0;
    size_t n = 0;

    for (; n < s.len && s.data[n] >= '0' && s.data[n] <= '9'; n++)
        delay = MIN(delay * 10 + (s.data[n] - '0'), (int64_t) INT32_MAX);
    if (n == 0 && (s.len == 0 || s.data[0] != '.'))
        return false;
    while (n < s.len && ((s.data[n] >= '0' && s.data[n] <= '9') || s.data[n] == '.'))
        n++;
    s = str_sub(s, n, s.len);
    if (s.len > 0 && s.data[0] != ';' && s.data[0] != ',' && !is_space(s.data[0]))
        return false;
    s = trim_left(s);
    if (s.len > 0 && (s.data[0] == ';' || s.data[0] == ','))
        s = trim_left(str_sub(s, 1, s.len));
    *ret_delay_s = delay;
    *ret_href = trim(refresh_target(s));
    return true;
}

/* ---- the walk -------------------------------------------------------------------------------- */

typedef struct Reader {
    Arena *arena;
    const HtmlPageOpts *opts;
    HtmlPage *page;
    Buf text; /* scratch */
    size_t max_links, cap;
    lxb_dom_attr_id_t rel, name, lang; /* of this page; 0: no element has it */
    bool has_title;
    bool is_oom;
} Reader;

/* The words of NODE in one line, in the arena. */
static Str read_text(Reader *reader, const lxb_dom_node_t *node)
{
    char *copy;

    buf_reset(&reader->text);
    html_node_text_line(html_from_dom((lxb_dom_node_t *) (uintptr_t) node), &reader->text);
    copy = arena_try(reader->arena, reader->text.len);
    if (!copy || reader->text.is_failed) {
        reader->is_oom = true;
        return (Str){ 0 };
    }
    if (reader->text.len > 0)
        memcpy(copy, reader->text.data, reader->text.len);
    return str_from(copy, reader->text.len);
}

/* Room for one more link; NULL: over the limit, or no memory. */
static HtmlLink *add_link(Reader *reader)
{
    HtmlPage *page = reader->page;
    HtmlLink *grown;
    size_t cap;

    if (page->n_links == reader->max_links) {
        page->n_links_dropped++;
        return NULL;
    }
    if (page->n_links == reader->cap) {
        cap = reader->cap ? 2 * reader->cap : 64;
        grown = arena_try(reader->arena, cap * sizeof(*grown));
        if (!grown) {
            reader->is_oom = true;
            return NULL;
        }
        if (page->n_links > 0)
            memcpy(grown, page->links, page->n_links * sizeof(*grown));
        page->links = grown;
        reader->cap = cap;
    }
    return &page->links[page->n_links++];
}

static void read_link(Reader *reader, const lxb_dom_node_t *node, Str href, HtmlLinkKind kind,
                      Str rel)
{
    HtmlLink *link;

    href = trim(href);
    link = add_link(reader);
    if (!link)
        return;
    *link = (HtmlLink){ .href = href, .kind = kind };
    link->is_nofollow = rel.len > 0 && (has_word(rel, "nofollow") || has_word(rel, "ugc") ||
                                        has_word(rel, "sponsored"));
    if (reader->opts->has_link_text && kind != HTML_LINK_ALTERNATE)
        link->text = read_text(reader, node);
}

static void read_anchor(Reader *reader, const lxb_dom_node_t *node)
{
    HtmlLinkKind kind = html_is_tag(node, LXB_TAG_A) ? HTML_LINK_A : HTML_LINK_AREA;
    Str href, rel = { 0 };

    if (!html_attr(node, LXB_DOM_ATTR_HREF, &href))
        return;
    if (html_attr(node, reader->rel, &rel) && rel.len > 0) {
        if (has_word(rel, "next"))
            kind = HTML_LINK_NEXT;
        else if (has_word(rel, "prev"))
            kind = HTML_LINK_PREV;
    }
    read_link(reader, node, href, kind, rel);
}

static void read_link_element(Reader *reader, const lxb_dom_node_t *node)
{
    Str href, rel;

    if (!html_attr(node, LXB_DOM_ATTR_HREF, &href) || !html_attr(node, reader->rel, &rel))
        return;
    if (has_word(rel, "canonical") && reader->page->canonical.len == 0)
        reader->page->canonical = trim(href);
    if (has_word(rel, "next"))
        read_link(reader, node, href, HTML_LINK_NEXT, rel);
    else if (has_word(rel, "prev"))
        read_link(reader, node, href, HTML_LINK_PREV, rel);
    else if (has_word(rel, "alternate") && !has_word(rel, "stylesheet"))
        read_link(reader, node, href, HTML_LINK_ALTERNATE, rel);
}

static void read_meta(Reader *reader, const lxb_dom_node_t *node)
{
    HtmlPage *page = reader->page;
    Str content, name;

    if (!html_attr(node, LXB_DOM_ATTR_CONTENT, &content))
        return;
    if (html_attr(node, reader->name, &name) &&
        (str_eq_nocase(trim(name), (Str) STR("robots")) ||
         (reader->opts->robots_agent.len > 0 &&
          str_eq_nocase(trim(name), reader->opts->robots_agent))))
        page->robots |= html_robots_parse(content);
    if (page->refresh_s < 0 && html_attr(node, LXB_DOM_ATTR_HTTP_EQUIV, &name) &&
        str_eq_nocase(name, (Str) STR("refresh")))
        (void) html_refresh_parse(content, &page->refresh_s, &page->refresh_href); /* or stays -1 */
}

static void read_element(Reader *reader, const lxb_dom_node_t *node)
{
    HtmlPage *page = reader->page;
    Str value;

    switch (node->local_name) {
    case LXB_TAG_A:
    case LXB_TAG_AREA: read_anchor(reader, node); break;
    case LXB_TAG_LINK: read_link_element(reader, node); break;
    case LXB_TAG_META: read_meta(reader, node); break;
    case LXB_TAG_BASE:
        if (page->base_href.len == 0 && html_attr(node, LXB_DOM_ATTR_HREF, &value))
            page->base_href = trim(value);
        break;
    case LXB_TAG_TITLE:
        if (!reader->has_title)
            page->title = read_text(reader, node);
        reader->has_title = true;
        break;
    case LXB_TAG_HTML:
        if (page->lang.len == 0 && html_attr(node, reader->lang, &value))
            page->lang = trim(value);
        break;
    case LXB_TAG_IFRAME:
    case LXB_TAG_FRAME:
        if (reader->opts->has_frames && html_attr(node, LXB_DOM_ATTR_SRC, &value))
            read_link(reader, node, value, HTML_LINK_IFRAME, (Str){ 0 });
        break;
    default: break;
    }
}

static lxb_dom_attr_id_t find_id(const lxb_dom_node_t *root, const char *name)
{
    const lxb_dom_attr_data_t *data = lxb_dom_attr_data_by_local_name(
        root->owner_document->attrs, (const lxb_char_t *) name, strlen(name));

    return data ? data->attr_id : 0;
}

int html_page_read(Arena *arena, HtmlParser *parser, const HtmlPageOpts *opts, HtmlPage *ret_page)
{
    static const HtmlPageOpts none;
    lxb_dom_node_t *root = html_to_dom(html_document(parser));
    HtmlPage page = { .refresh_s = -1 };
    Reader reader = { .arena = arena, .opts = opts ? opts : &none, .page = &page };

    reader.max_links = reader.opts->max_links ? reader.opts->max_links : LIMIT_HTML_LINKS;
    reader.rel = find_id(root, "rel");
    reader.name = find_id(root, "name");
    reader.lang = find_id(root, "lang");
    for (lxb_dom_node_t *node = root; node; node = html_next(node, root))
        if (node->type == LXB_DOM_NODE_TYPE_ELEMENT && node->ns == LXB_NS_HTML)
            read_element(&reader, node);
    buf_deinit(&reader.text);
    if (reader.is_oom)
        return fail(-ENOMEM, "no memory for what the page says");
    *ret_page = page;
    return 0;
}
