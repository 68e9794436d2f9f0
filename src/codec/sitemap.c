/*
 * Sitemaps: bytes to tags and text, without an XML library.
 *
 * A sitemap is a flat list of URLs in a few elements, up to 50 MB of it, written by programs that
 * often do not escape what they should. What is needed of XML is a small part (tags, text, CDATA,
 * comments, the five named entities and the numeric ones), and what an XML library adds would have
 * to be switched off: entities that a file defines itself, files that it includes, a tree of all of
 * it in memory, and stopping at the first "&" that is not escaped. So the file is cut by hand, one
 * byte after the other, in a machine with eight states and buffers of fixed size:
 *
 *   START ── "<" ──> TAG ── ">" ──> CONTENT ── "<" ──> TAG …
 *     │               ├── "!--" ──> COMMENT ── "-->" ──> CONTENT
 *     │               ├── "![CDATA[" ─> CDATA ── "]]>" ─> CONTENT
 *     │               ├── "?" ────> PI ── "?>" ────────> CONTENT
 *     │               └── "!" ────> DOCTYPE ── ">" ────> CONTENT
 *     └── anything else ──> LINE, one URL each
 *
 * A DOCTYPE is walked over, so that what it defines is not known and "&lol9;" stays what it is.
 * Entries are made of tags and text in sitemap_entry.c.
 *
 * The encoding is taken to be UTF-8, as the protocol demands; other supersets of ASCII get through,
 * their letters as they are. UTF-16 is refused.
 */
#include "codec/sitemap.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/sitemap_int.h"

Sitemap *sitemap_new(SitemapFn *on_entry, void *ctx)
{
    Sitemap *sitemap = mem_new(Sitemap);

    ASSERT(on_entry);
    sitemap->on_entry = on_entry;
    sitemap->ctx = ctx;
    return sitemap;
}

void sitemap_free(Sitemap *sitemap)
{
    mem_free(sitemap);
}

size_t sitemap_n_entries(const Sitemap *sitemap)
{
    return sitemap->n_entries;
}

size_t sitemap_n_skipped(const Sitemap *sitemap)
{
    return sitemap->n_skipped;
}

/* ---- what ends at a mark ----------------------------------------------------------------------*/

/*
 * Whether C completes MARK ("-->", "]]>", "?>"), of which sitemap->matched bytes have been seen.
 * All bytes of a mark but the last are the same, and may come more often than needed: "--->" ends
 * a comment, too.
 */
static bool completes(Sitemap *sitemap, char c, const char *mark)
{
    unsigned last = (unsigned) strlen(mark) - 1;

    if (c == mark[sitemap->matched])
        sitemap->matched++;
    else if (c != mark[0])
        sitemap->matched = 0;
    if (sitemap->matched <= last)
        return false;
    sitemap->matched = 0;
    return true;
}

static void take_skipped(Sitemap *sitemap, char c, const char *mark)
{
    if (completes(sitemap, c, mark))
        sitemap->mode = MODE_CONTENT;
}

/* Brackets are held back until it is known that they do not end the section. */
static void take_cdata(Sitemap *sitemap, char c)
{
    unsigned held = sitemap->matched;

    if (completes(sitemap, c, "]]>")) {
        sitemap->mode = MODE_CONTENT;
        return;
    }
    if (sitemap->matched > held)
        return; /* C is held back */
    if (sitemap->matched > 0) {
        sitemap_take_text(sitemap, (Str) STR("]"), true); /* one more than is needed */
        return;
    }
    sitemap_take_text(sitemap, str_sub((Str) STR("]]"), 0, held), true);
    sitemap_take_text(sitemap, str_from(&c, 1), true);
}

static void take_doctype(Sitemap *sitemap, char c)
{
    if (sitemap->quote) {
        if (c == sitemap->quote)
            sitemap->quote = 0;
    } else if (c == '"' || c == '\'') {
        sitemap->quote = c;
    } else if (c == '[') {
        sitemap->in_subset = true;
    } else if (c == ']') {
        sitemap->in_subset = false;
    } else if (c == '>' && !sitemap->in_subset) {
        sitemap->mode = MODE_CONTENT;
    }
}

/* ---- tags -------------------------------------------------------------------------------------*/

/* What the first bytes behind < open; MODE_TAG when it is an element, or not clear yet. */
static SitemapMode mode_of(Str tag)
{
    static const Str cdata = STR("![CDATA[");

    if (str_eq_c(tag, "?"))
        return MODE_PI;
    if (tag.len == 1 && memchr(" \t\r\n0123456789=", tag.data[0], 15))
        return MODE_CONTENT; /* "a < b" */
    if (tag.len == 0 || tag.data[0] != '!')
        return MODE_TAG;
    if (str_eq_c(tag, "!--"))
        return MODE_COMMENT;
    if (str_eq(tag, cdata))
        return MODE_CDATA;
    if (str_eq_c(tag, "!") || str_eq_c(tag, "!-") || str_starts(cdata, tag))
        return MODE_TAG;
    return MODE_DOCTYPE;
}

static void open_tag(Sitemap *sitemap)
{
    sitemap->mode = MODE_TAG;
    sitemap->tag_len = 0;
    sitemap->quote = 0;
    sitemap->is_tag_cut = false;
    sitemap->in_subset = false;
}

static int take_tag_byte(Sitemap *sitemap, char c)
{
    Str tag = str_from(sitemap->tag, sitemap->tag_len);

    if (c == '>' && !sitemap->quote) {
        sitemap->mode = MODE_CONTENT;
        return sitemap_take_tag(sitemap, tag);
    }
    if (sitemap->quote && c == sitemap->quote)
        sitemap->quote = 0;
    else if (!sitemap->quote && (c == '"' || c == '\''))
        sitemap->quote = c;
    if (tag.len == sizeof(sitemap->tag)) {
        sitemap->is_tag_cut = true;
        return 0;
    }
    sitemap->tag[sitemap->tag_len++] = c;
    tag.len++;
    if (tag.len <= sizeof("![CDATA[") - 1) {
        sitemap->mode = mode_of(tag);
        sitemap->matched = 0;
    }
    return 0;
}

/* ---- lines ------------------------------------------------------------------------------------*/

static int take_line_byte(Sitemap *sitemap, char c)
{
    if (c == '\n' || c == '\r')
        return sitemap_take_line(sitemap);
    if (sitemap->raw_len == sizeof(sitemap->raw))
        sitemap->is_raw_cut = true;
    else
        sitemap->raw[sitemap->raw_len++] = c;
    return 0;
}

/* The first bytes: byte order mark, space, and then the one that tells what this is. */
static int take_first(Sitemap *sitemap, char c)
{
    unsigned char byte = (unsigned char) c;

    if (byte == 0xfe || byte == 0xff || byte == 0)
        return fail(-ERR_INVALID, "not a sitemap: it is UTF-16, or no text");
    if (byte == 0xef || byte == 0xbb || byte == 0xbf || byte == ' ' ||
        (byte >= '\t' && byte <= '\r'))
        return 0;
    if (c == '<') {
        open_tag(sitemap);
        return 0;
    }
    sitemap->kind = SITEMAP_TEXT;
    sitemap->mode = MODE_LINE;
    return take_line_byte(sitemap, c);
}

/* ---- pieces -----------------------------------------------------------------------------------*/

/* As much text as there is before the next tag. */
static size_t take_content(Sitemap *sitemap, Str piece)
{
    const char *tag = memchr(piece.data, '<', piece.len);
    size_t n = tag ? (size_t) (tag - piece.data) : piece.len;

    if (n > 0)
        sitemap_take_text(sitemap, str_sub(piece, 0, n), false);
    if (!tag)
        return n;
    open_tag(sitemap);
    return n + 1;
}

static int take_byte(Sitemap *sitemap, char c)
{
    switch (sitemap->mode) {
    case MODE_START: return take_first(sitemap, c);
    case MODE_LINE: return take_line_byte(sitemap, c);
    case MODE_TAG: return take_tag_byte(sitemap, c);
    case MODE_COMMENT: take_skipped(sitemap, c, "-->"); return 0;
    case MODE_PI: take_skipped(sitemap, c, "?>"); return 0;
    case MODE_CDATA: take_cdata(sitemap, c); return 0;
    case MODE_DOCTYPE: take_doctype(sitemap, c); return 0;
    case MODE_CONTENT: break;
    }
    UNREACHABLE("content is taken as a whole");
}

int sitemap_feed(Sitemap *sitemap, Str piece)
{
    size_t room = LIMIT_SITEMAP_BYTES - sitemap->bytes, i = 0;
    bool is_full = piece.len > room;

    piece = str_sub(piece, 0, room);
    while (i < piece.len && sitemap->outcome == 0) {
        if (sitemap->mode == MODE_CONTENT)
            i += take_content(sitemap, str_sub(piece, i, piece.len));
        else
            sitemap->outcome = take_byte(sitemap, piece.data[i++]);
    }
    sitemap->bytes += i;
    if (sitemap->outcome == 0 && is_full)
        sitemap->outcome = SITEMAP_FULL;
    return sitemap->outcome;
}

/* Whether what has been seen ends where a sitemap may. */
static bool is_whole(const Sitemap *sitemap)
{
    return sitemap->mode == MODE_START || (sitemap->mode == MODE_CONTENT && sitemap->depth == 0);
}

int sitemap_finish(Sitemap *sitemap)
{
    if (sitemap->outcome == 0 && sitemap->mode == MODE_LINE)
        sitemap->outcome = sitemap_take_line(sitemap);
    if (sitemap->outcome != 0)
        return sitemap->outcome;
    if (sitemap->kind == SITEMAP_TEXT && sitemap->n_entries == 0)
        return sitemap->outcome = fail(-ERR_INVALID, "not a sitemap: no line of it is a URL");
    if (sitemap->kind == SITEMAP_TEXT)
        return 0;
    return sitemap->outcome = is_whole(sitemap) ? 0 : SITEMAP_CUT;
}
