/*
 * Sitemaps: tags and text to entries.
 *
 *   kind    root             entry     URL                          time
 *   URLSET  urlset           url       loc                          lastmod
 *   INDEX   sitemapindex     sitemap   loc                          lastmod
 *   RSS     rss, rdf:RDF     item      link                         pubDate, dc:date
 *   ATOM    feed             entry     link href=, rel=alternate    updated
 *
 * An element counts as a field when it is a child of an entry and its name has the prefix of the
 * root's name, so that <image:loc> is not taken for <loc> whatever the namespaces are called. The
 * depth is a number and no stack: an end tag is believed to end what is open, and that of an entry
 * all that is open in it.
 *
 * Entities are replaced once the text of a field is complete: the five of XML and the numeric ones.
 * Others, and an "&" that begins none, stay as they are, since they are mostly URLs that somebody
 * forgot to escape. CDATA is stored with its ampersands escaped, so that one rule fits both.
 */
#include "codec/sitemap_int.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"

#define ENTITY_BYTES 10

/* ---- entities ---------------------------------------------------------------------------------*/

/* Write the character CODE to OUT (4 bytes); 0 when it is none that XML allows. */
static size_t put_utf8(uint32_t code, char *out)
{
    bool is_control = code < 0x20 && code != '\t' && code != '\n' && code != '\r';

    if (is_control || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    if (code < 0x80) {
        out[0] = (char) code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char) (0xc0 | code >> 6);
        out[1] = (char) (0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char) (0xe0 | code >> 12);
        out[1] = (char) (0x80 | (code >> 6 & 0x3f));
        out[2] = (char) (0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char) (0xf0 | code >> 18);
    out[1] = (char) (0x80 | (code >> 12 & 0x3f));
    out[2] = (char) (0x80 | (code >> 6 & 0x3f));
    out[3] = (char) (0x80 | (code & 0x3f));
    return 4;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* "#38" or "#x26"; 0 when it is no number. */
static uint32_t read_code(Str name)
{
    bool is_hex = name.len > 1 && (name.data[1] == 'x' || name.data[1] == 'X');
    int base = is_hex ? 16 : 10;
    uint32_t code = 0;

    for (size_t i = is_hex ? 2 : 1; i < name.len; i++) {
        int digit = digit_of(name.data[i]);

        if (digit >= base || code > 0x10ffff)
            return 0;
        code = code * (uint32_t) base + (uint32_t) digit;
    }
    return code;
}

/* Write what &NAME; stands for to OUT (4 bytes); 0: it is unknown. */
static size_t put_entity(Str name, char *out)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = {
        { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' },
    };

    if (name.len > 1 && name.data[0] == '#')
        return put_utf8(read_code(name), out);
    for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
        if (str_eq_c(name, entities[i].name)) {
            *out = entities[i].c;
            return 1;
        }
    }
    return 0;
}

/* Copy TEXT, trimmed, to OUT with its entities replaced; false: it has no room for it. */
static bool put_text(Str text, char *out, size_t room, size_t *ret_len)
{
    size_t len = 0;

    text = str_trim(text);
    while (text.len > 0) {
        char character[4];
        Str name = str_sub(text, 1, ENTITY_BYTES);
        ssize_t end = text.data[0] == '&' ? str_find(name, ';') : -1;
        size_t n = end > 0 ? put_entity(str_sub(name, 0, (size_t) end), character) : 0;
        size_t used = n > 0 ? (size_t) end + 2 : 1;

        if (n == 0)
            character[n++] = text.data[0];
        if (len + n > room)
            return false;
        memcpy(out + len, character, n);
        len += n;
        text = str_sub(text, used, text.len);
    }
    *ret_len = len;
    return true;
}

/* ---- tags -------------------------------------------------------------------------------------*/

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The name that a tag begins with. */
static Str tag_name(Str tag)
{
    size_t n = 0;

    while (n < tag.len && !is_space(tag.data[n]) && tag.data[n] != '/')
        n++;
    return str_sub(tag, 0, n);
}

/* Cut "sm:url" into prefix and local name. */
static Str local_name(Str name, Str *ret_prefix)
{
    Str local;
    Str prefix = str_cut(name, ':', &local);

    if (prefix.len == name.len) {
        *ret_prefix = str_from(NULL, 0);
        return name;
    }
    *ret_prefix = prefix;
    return local;
}

static bool is_named(Str name, const char *word)
{
    return str_eq_nocase(name, str_from_c(word));
}

/* The value of attribute NAME in TAG, raw; empty: there is none. */
static Str attribute(Str tag, const char *name)
{
    Str rest = str_sub(tag, tag_name(tag).len, tag.len);

    while (rest.len > 0) {
        Str behind, value;
        Str found = str_trim(str_cut(rest, '=', &behind));

        behind = str_trim(behind);
        if (behind.len == 0 || (behind.data[0] != '"' && behind.data[0] != '\''))
            return str_from(NULL, 0);
        value = str_cut(str_sub(behind, 1, behind.len), behind.data[0], &rest);
        if (is_named(found, name))
            return value;
    }
    return str_from(NULL, 0);
}

/* ---- entries ----------------------------------------------------------------------------------*/

static const struct {
    const char *root;
    SitemapKind kind;
    const char *entry;
} roots[] = {
    { "urlset", SITEMAP_URLSET, "url" }, { "sitemapindex", SITEMAP_INDEX, "sitemap" },
    { "rss", SITEMAP_RSS, "item" },      { "RDF", SITEMAP_RSS, "item" },
    { "feed", SITEMAP_ATOM, "entry" },
};

static int take_root(Sitemap *sitemap, Str name)
{
    Str prefix;
    Str local = local_name(name, &prefix);

    for (size_t i = 0; i < ARRAY_LEN(roots); i++)
        if (is_named(local, roots[i].root))
            sitemap->kind = roots[i].kind;
    if (sitemap->kind == SITEMAP_UNKNOWN)
        return fail(-ERR_INVALID, "not a sitemap: its root element is <%.*s>",
                    (int) MIN(name.len, (size_t) 40), name.data);
    if (is_named(local, "RDF"))
        prefix.len = 0; /* items have none */
    sitemap->prefix_len = MIN(prefix.len, sizeof(sitemap->prefix));
    if (sitemap->prefix_len > 0)
        memcpy(sitemap->prefix, prefix.data, sitemap->prefix_len);
    return 0;
}

static bool has_prefix_of_root(const Sitemap *sitemap, Str prefix)
{
    return str_eq(str_sub(prefix, 0, sizeof(sitemap->prefix)),
                  str_from(sitemap->prefix, sitemap->prefix_len));
}

static bool is_entry(const Sitemap *sitemap, Str name)
{
    Str prefix;
    Str local = local_name(name, &prefix);

    for (size_t i = 0; i < ARRAY_LEN(roots); i++)
        if (roots[i].kind == sitemap->kind && is_named(local, roots[i].entry))
            return has_prefix_of_root(sitemap, prefix);
    return false;
}

static SitemapField field_of(const Sitemap *sitemap, Str name)
{
    bool is_feed = sitemap->kind == SITEMAP_RSS || sitemap->kind == SITEMAP_ATOM;
    Str prefix;
    Str local = local_name(name, &prefix);

    if (is_named(name, "dc:date") && is_feed)
        return FIELD_LASTMOD;
    if (!has_prefix_of_root(sitemap, prefix))
        return FIELD_NONE;
    if (is_named(local, is_feed ? "link" : "loc"))
        return FIELD_URL;
    if (is_named(local, is_feed ? "pubDate" : "lastmod") || (is_feed && is_named(local, "updated")))
        return FIELD_LASTMOD;
    return FIELD_NONE;
}

static void put_url(Sitemap *sitemap, Str raw)
{
    if (sitemap->url_len > 0)
        return; /* the first counts */
    if (!put_text(raw, sitemap->url, sizeof(sitemap->url), &sitemap->url_len))
        sitemap->is_url_bad = true;
}

/* Atom's links carry their URL in an attribute. */
static void take_atom_link(Sitemap *sitemap, Str tag)
{
    Str rel = attribute(tag, "rel");

    if (rel.len == 0 || is_named(rel, "alternate"))
        put_url(sitemap, attribute(tag, "href"));
}

static void open_entry(Sitemap *sitemap)
{
    sitemap->entry_depth = sitemap->depth;
    sitemap->url_len = sitemap->lastmod_len = 0;
    sitemap->is_url_bad = false;
}

static void open_field(Sitemap *sitemap, Str tag, bool is_empty)
{
    SitemapField field = field_of(sitemap, tag_name(tag));

    if (field == FIELD_URL && sitemap->kind == SITEMAP_ATOM) {
        take_atom_link(sitemap, tag);
        return;
    }
    if (field == FIELD_NONE || is_empty)
        return;
    sitemap->field = field;
    sitemap->field_depth = sitemap->depth;
    sitemap->raw_len = 0;
    sitemap->is_raw_cut = false;
}

static void close_field(Sitemap *sitemap)
{
    Str raw = str_from(sitemap->raw, sitemap->raw_len);

    if (sitemap->field == FIELD_URL && sitemap->is_raw_cut)
        sitemap->is_url_bad = true;
    else if (sitemap->field == FIELD_URL)
        put_url(sitemap, raw);
    else if (!put_text(raw, sitemap->lastmod, sizeof(sitemap->lastmod), &sitemap->lastmod_len))
        sitemap->lastmod_len = 0; /* no time is that long */
    sitemap->field = FIELD_NONE;
    sitemap->field_depth = 0;
}

/* ---- the seam ---------------------------------------------------------------------------------*/

static int give_entry(Sitemap *sitemap)
{
    SitemapEntry entry = {
        .kind = sitemap->kind,
        .url = str_from(sitemap->url, sitemap->url_len),
        .lastmod = str_from(sitemap->lastmod, sitemap->lastmod_len),
    };

    if (sitemap->is_url_bad || entry.url.len == 0) {
        sitemap->n_skipped++;
        return 0;
    }
    if (sitemap->n_entries == LIMIT_SITEMAP_URLS)
        return SITEMAP_FULL;
    sitemap->n_entries++;
    entry.has_lastmod = sitemap_time_parse(entry.lastmod, &entry.lastmod_ms);
    return sitemap->on_entry(sitemap->ctx, &entry);
}

static int open_element(Sitemap *sitemap, Str tag, bool is_empty)
{
    int r = 0;

    sitemap->depth++;
    if (sitemap->depth == 1)
        r = sitemap->kind == SITEMAP_UNKNOWN ? take_root(sitemap, tag_name(tag)) : 0;
    else if (sitemap->entry_depth == 0 && !is_empty && is_entry(sitemap, tag_name(tag)))
        open_entry(sitemap);
    else if (sitemap->entry_depth > 0 && sitemap->depth == sitemap->entry_depth + 1)
        open_field(sitemap, tag, is_empty);
    if (is_empty)
        sitemap->depth--;
    return r;
}

/* The end of an entry ends what is open in it, too: descriptions of feeds forget their end tags. */
static int close_element(Sitemap *sitemap, Str name)
{
    bool is_end = sitemap->entry_depth > 0 && is_entry(sitemap, name);
    int r = 0;

    if (sitemap->depth == 0)
        return 0; /* nothing is open */
    if (sitemap->field_depth > 0 && (is_end || sitemap->field_depth == sitemap->depth))
        close_field(sitemap);
    if (is_end)
        sitemap->depth = sitemap->entry_depth;
    if (sitemap->entry_depth == sitemap->depth) {
        sitemap->entry_depth = 0;
        r = give_entry(sitemap);
    }
    sitemap->depth--;
    return r;
}

int sitemap_take_tag(Sitemap *sitemap, Str tag)
{
    bool is_empty = tag.len > 0 && tag.data[tag.len - 1] == '/' && !sitemap->is_tag_cut;

    if (tag.len == 0 || tag.data[0] == '!')
        return 0;
    if (tag.data[0] == '/')
        return close_element(sitemap, tag_name(str_sub(tag, 1, tag.len)));
    return open_element(sitemap, is_empty ? str_sub(tag, 0, tag.len - 1) : tag, is_empty);
}

static void put_raw(Sitemap *sitemap, Str text)
{
    size_t n = MIN(text.len, sizeof(sitemap->raw) - sitemap->raw_len);

    if (n < text.len)
        sitemap->is_raw_cut = true;
    if (n == 0)
        return;
    memcpy(sitemap->raw + sitemap->raw_len, text.data, n);
    sitemap->raw_len += n;
}

void sitemap_take_text(Sitemap *sitemap, Str text, bool is_literal)
{
    if (sitemap->field_depth == 0 || sitemap->depth != sitemap->field_depth)
        return;
    if (sitemap->raw_len == 0 && !is_literal) /* space before a long URL needs no room */
        while (text.len > 0 && is_space(text.data[0]))
            text = str_sub(text, 1, text.len);
    if (is_literal && str_eq_c(text, "&"))
        put_raw(sitemap, (Str) STR("&amp;"));
    else
        put_raw(sitemap, text);
}

int sitemap_take_line(Sitemap *sitemap)
{
    Str line = str_trim(str_from(sitemap->raw, sitemap->raw_len));
    bool is_cut = sitemap->is_raw_cut || line.len > sizeof(sitemap->url);
    bool is_url = str_eq_nocase(str_sub(line, 0, 7), (Str) STR("http://")) ||
                  str_eq_nocase(str_sub(line, 0, 8), (Str) STR("https://"));

    sitemap->raw_len = 0;
    sitemap->is_raw_cut = false;
    if (line.len == 0)
        return 0;
    sitemap->is_url_bad = is_cut || !is_url;
    sitemap->url_len = is_cut ? 0 : line.len;
    memcpy(sitemap->url, line.data, sitemap->url_len);
    return give_entry(sitemap);
}
