/*
 * Structured data: gathering what a page has into one JSON text, and parsing that once.
 *
 * JSON-LD in the wild is often not JSON. A script that the parser refuses is cleaned (`mend`) and
 * tried again: comment and CDATA marks around it, comments and trailing commas inside it, and raw
 * control characters in strings are all that is forgiven.
 */
#include "codec/structured.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "codec/structured_int.h"

#define META_MAX      512
#define SCRIPT_DEPTH  60 /* LIMIT_JSON_DEPTH less what is put around it */
#define META_NAME_MAX 256

typedef struct Gathering {
    Arena scratch;
    Buf all;  /* the JSON text */
    Buf text; /* of one script */
    Structured result;
} Gathering;

/* ---- JSON-LD --------------------------------------------------------------------------------- */

/* Length of a comment at the front of S, or of a mark that hides one; 0: none. */
static size_t comment_len(Str s)
{
    static const char *const marks[] = { "<!--", "-->", "<![CDATA[", "]]>" };
    size_t i = 2;

    for (size_t k = 0; k < sizeof(marks) / sizeof(marks[0]); k++)
        if (str_starts(s, str_from_c(marks[k])))
            return strlen(marks[k]);
    if (str_starts(s, (Str) STR("/*"))) {
        while (i < s.len && !str_starts(str_sub(s, i, 2), (Str) STR("*/")))
            i++;
        return i + 2 < s.len ? i + 2 : s.len;
    }
    if (str_starts(s, (Str) STR("//"))) {
        while (i < s.len && s.data[i] != '\n')
            i++;
        return i;
    }
    return 0;
}

/* Copy a string from the front of S; returns its length. */
static size_t mend_string(Str s, Buf *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t i = 1;

    buf_add_char(out, '"');
    for (; i < s.len && s.data[i] != '"'; i++) {
        unsigned char c = (unsigned char) s.data[i];

        if (c == '\\' && i + 1 < s.len && (unsigned char) s.data[i + 1] >= 0x20) {
            buf_add(out, s.data + i, 2);
            i++;
        } else if (c < 0x20) {
            char escape[6] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };

            buf_add(out, escape, sizeof(escape));
        } else {
            buf_add_char(out, (char) c);
        }
    }
    buf_add_char(out, '"');
    return i < s.len ? i + 1 : s.len;
}

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void mend(Str s, Buf *out)
{
    size_t last = 0; /* where the last thing that is not white space ends in OUT */

    while (s.len > 0 && (s.data[s.len - 1] == ';' || is_white(s.data[s.len - 1])))
        s.len--;
    for (size_t i = 0; i < s.len;) {
        Str rest = str_sub(s, i, s.len);
        size_t n = comment_len(rest);

        if (n > 0) {
            i += n;
            continue;
        }
        if (s.data[i] == '"') {
            i += mend_string(rest, out);
            last = out->len;
            continue;
        }
        if ((s.data[i] == '}' || s.data[i] == ']') && last > 0 && out->data[last - 1] == ',')
            out->len = last - 1;
        buf_add_char(out, s.data[i]);
        if (!is_white(s.data[i++]))
            last = out->len;
        if (out->is_failed)
            return;
    }
}

static bool is_json(Gathering *gathering, Str text)
{
    JsonParseOpts opts = { .max_depth = SCRIPT_DEPTH };
    JsonDoc doc;
    Err ignored;
    int r;

    arena_reset(&gathering->scratch);
    r = json_parse_opts(&gathering->scratch, text, &opts, &doc);
    if (r < 0)
        err_take(r, &ignored);
    return r == 0;
}

static void add_script(Gathering *gathering, JsonWriter *writer, const lxb_dom_node_t *node)
{
    AUTO(buf_deinit) Buf mended = { .max_bytes = LIMIT_STRUCTURED_BYTES };
    Str text;

    buf_reset(&gathering->text);
    html_node_text_raw(html_from_dom((lxb_dom_node_t *) (uintptr_t) node), &gathering->text);
    text = buf_str(&gathering->text);
    if (gathering->all.len + text.len > LIMIT_STRUCTURED_BYTES) {
        gathering->result.n_cut++;
        return;
    }
    if (!is_json(gathering, text)) {
        mend(text, &mended);
        text = buf_str(&mended);
        if (mended.is_failed || !is_json(gathering, text)) {
            gathering->result.n_broken++;
            return;
        }
    }
    json_write_raw(writer, str_trim(text));
}

static bool is_json_ld(const lxb_dom_node_t *node)
{
    Str type, rest;

    return html_is_tag(node, LXB_TAG_SCRIPT) && html_attr(node, LXB_DOM_ATTR_TYPE, &type) &&
           str_eq_nocase(str_trim(str_cut(type, ';', &rest)), (Str) STR("application/ld+json"));
}

/* ---- meta ------------------------------------------------------------------------------------ */

/* The name of a meta element in lower case, in the arena; false: it has none of use. */
static bool read_meta_name(Arena *arena, const lxb_dom_node_t *node, Str *ret_name)
{
    const HtmlNode *meta = (const HtmlNode *) node;
    Str name;
    char *copy;

    if (!html_is_tag(node, LXB_TAG_META) || (!html_node_attr(meta, (Str) STR("property"), &name) &&
                                             !html_node_attr(meta, (Str) STR("name"), &name)))
        return false;
    name = str_trim(name);
    if (name.len == 0 || name.len > META_NAME_MAX)
        return false;
    copy = arena_copy_c(arena, name);
    for (size_t i = 0; i < name.len; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] |= 0x20;
    *ret_name = str_from(copy, name.len);
    return true;
}

static void add_meta(Gathering *gathering, JsonWriter *writer, lxb_dom_node_t *root)
{
    Str *names = arena_zalloc(&gathering->scratch, META_MAX * sizeof(*names));
    Str name, content;
    size_t n = 0;

    for (lxb_dom_node_t *node = root; node; node = html_next(node, root)) {
        bool is_known = false;

        if (!read_meta_name(&gathering->scratch, node, &name) ||
            !html_attr(node, LXB_DOM_ATTR_CONTENT, &content))
            continue;
        for (size_t i = 0; i < n && !is_known; i++)
            is_known = str_eq(names[i], name);
        if (is_known)
            continue;
        if (n == META_MAX || gathering->all.len + content.len > LIMIT_STRUCTURED_BYTES) {
            gathering->result.n_cut++;
            continue;
        }
        names[n++] = name;
        json_write_key_str(writer, name);
        json_write_str(writer, content);
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

static int parse_all(Arena *arena, Gathering *gathering)
{
    JsonParseOpts opts = { .max_bytes = 2 * LIMIT_STRUCTURED_BYTES };
    Structured *result = &gathering->result;
    char *copy;
    int r = buf_check(&gathering->all);

    if (r < 0)
        return wrap(r, "structured data");
    copy = arena_try(arena, gathering->all.len);
    if (!copy)
        return fail(-ENOMEM, "no memory for structured data");
    memcpy(copy, gathering->all.data, gathering->all.len);
    r = json_parse_opts(arena, str_from(copy, gathering->all.len), &opts, &result->doc);
    if (r < 0)
        return wrap(r, "structured data");
    result->jsonld = json_find(result->doc.root, "jsonld");
    result->microdata = json_find(result->doc.root, "microdata");
    result->meta = json_find(result->doc.root, "meta");
    return 0;
}

int structured_read(Arena *arena, HtmlParser *parser, Structured *ret_structured)
{
    lxb_dom_node_t *root = html_to_dom(html_document(parser));
    Gathering gathering = { .all = { .max_bytes = 2 * LIMIT_STRUCTURED_BYTES } };
    JsonWriter writer = JSON_WRITER(&gathering.all);
    int r;

    json_write_object(&writer);
    json_write_key(&writer, "jsonld");
    json_write_array(&writer);
    for (lxb_dom_node_t *node = root; node; node = html_next(node, root))
        if (is_json_ld(node))
            add_script(&gathering, &writer, node);
    json_write_array_end(&writer);
    json_write_key(&writer, "microdata");
    json_write_array(&writer);
    arena_reset(&gathering.scratch);
    structured_write_items(&gathering.scratch, &writer, root, &gathering.result.n_cut);
    json_write_array_end(&writer);
    json_write_key(&writer, "meta");
    json_write_object(&writer);
    add_meta(&gathering, &writer, root);
    json_write_object_end(&writer);
    json_write_object_end(&writer);

    r = parse_all(arena, &gathering);
    arena_deinit(&gathering.scratch);
    buf_deinit(&gathering.all);
    buf_deinit(&gathering.text);
    if (r == 0)
        *ret_structured = gathering.result;
    return r;
}
