/*
 * HTML: one page after another through one parser, and what a crawler asks of each.
 *
 * A parser keeps its document's memory from page to page, which is what makes it fast; after a
 * page that made it grow past LIMIT_HTML_KEPT_BYTES it gives the memory back. It belongs to
 * nobody in particular: any thread may use it, one at a time. Nodes live until the next parse; the
 * text given to html_parse may go at once.
 *
 * No page takes unbounded time or memory. Elements nested deeper than LIMIT_HTML_DEPTH are put
 * beside each other, as browsers do; attributes past LIMIT_HTML_ATTRIBUTES of one element are
 * dropped; what comes after LIMIT_HTML_NODES nodes, or after LIMIT_HTML_MEMORY_BYTES of memory,
 * is not read, and html_parse says so with HTML_CUT: what came before it can be used.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct HtmlParser HtmlParser; /* a parser and the document it parsed last */
typedef struct HtmlNode HtmlNode;     /* an element, or the document; lives until the next parse */

HtmlParser *html_parser_new(void);
void html_parser_free(HtmlParser *parser);
DEFINE_AUTO(HtmlParser *, html_parser_free);

enum { HTML_CUT = 1 };

/*
 * Parse TEXT (UTF-8: see charset.h), the whole page; the last one is forgotten. Scripts do not
 * run, so that what is in `noscript` is there.
 *
 * Returns 0, HTML_CUT (a limit ended it, the beginning is there), or -ENOMEM.
 */
MUST int html_parse(HtmlParser *parser, Str text);

/* The document parsed last; an empty one before the first. */
HtmlNode *html_document(HtmlParser *parser);

/* Bytes of memory that the parser holds. */
size_t html_parser_bytes(const HtmlParser *parser);

/* ---- nodes ----------------------------------------------------------------------------------- */

/* "a", "h1": lower case for HTML; empty for the document. */
Str html_node_name(const HtmlNode *node);

/* The value of attribute NAME (lower case), a view; false: there is none. */
bool html_node_attr(const HtmlNode *node, Str name, Str *ret_value);

/*
 * Append the text of NODE as a reader sees it, near to innerText: scripts, styles, templates and
 * comments are left out; a run of white space (also NBSP-free: U+00A0 stays) is one space, or one
 * line feed where a block (p, div, li, tr, h1, …) or a `br` begins or ends; cells of a table row
 * are parted by a tab; inside `pre` and `textarea` white space stays; nothing at the ends.
 */
void html_node_text(const HtmlNode *node, Buf *out);

/* As html_node_text, but every break is one space: text for a table or a CSV cell. */
void html_node_text_line(const HtmlNode *node, Buf *out);

/* Append all text below NODE as it is (textContent). */
void html_node_text_raw(const HtmlNode *node, Buf *out);

/* Append what is inside NODE as HTML; _outer with NODE itself. */
void html_node_inner_html(const HtmlNode *node, Buf *out);
void html_node_outer_html(const HtmlNode *node, Buf *out);

/* ---- what a crawler asks --------------------------------------------------------------------- */

typedef enum HtmlLinkKind {
    HTML_LINK_A,         /* <a href> */
    HTML_LINK_AREA,      /* <area href> */
    HTML_LINK_NEXT,      /* <link rel=next>, and <a rel=next> */
    HTML_LINK_PREV,      /* <link rel=prev>, and <a rel=prev> */
    HTML_LINK_ALTERNATE, /* <link rel=alternate>: feeds, languages, the mobile page */
    HTML_LINK_IFRAME,    /* <iframe src>, <frame src>; only with has_frames */
} HtmlLinkKind;

typedef struct HtmlLink {
    Str href; /* as in the page, white space around it gone; not resolved */
    Str text; /* its words in one line; empty unless has_link_text */
    HtmlLinkKind kind;
    bool is_nofollow; /* rel has nofollow, ugc or sponsored */
} HtmlLink;

/* What a page says of itself to robots: <meta name=robots>, X-Robots-Tag. Bits. */
enum {
    HTML_ROBOTS_NOINDEX = 1,
    HTML_ROBOTS_NOFOLLOW = 2,
    HTML_ROBOTS_NOARCHIVE = 4,
    HTML_ROBOTS_NOSNIPPET = 8,
};

/* The bits of "noindex, nofollow"; "none" is both. Unknown words are nothing. */
unsigned html_robots_parse(Str content);

typedef struct HtmlPageOpts {
    Str robots_agent;   /* also obey <meta name=THIS>, a product token; empty: robots only */
    size_t max_links;   /* 0 means LIMIT_HTML_LINKS */
    bool has_link_text; /* collect the words of links */
    bool has_frames;    /* frames are links */
} HtmlPageOpts;

/* Everything in the arena, except views of attributes, which live until the next parse. */
typedef struct HtmlPage {
    Str title;       /* in one line */
    Str base_href;   /* of the first <base href>; empty: the page's own URL is the base */
    Str canonical;   /* of the first <link rel=canonical> */
    Str lang;        /* of <html lang> */
    HtmlLink *links; /* in the order of the page */
    size_t n_links;
    size_t n_links_dropped; /* over max_links */
    Str refresh_href;       /* of <meta http-equiv=refresh>; empty: none, or the page itself */
    int64_t refresh_s;      /* its delay in seconds; -1: there is none */
    unsigned robots;        /* HTML_ROBOTS_ bits */
} HtmlPage;

/* Read what the page says of itself and where it leads, in one walk. 0 or -ENOMEM. */
MUST int html_page_read(Arena *arena, HtmlParser *parser, const HtmlPageOpts *opts,
                        HtmlPage *ret_page);

/*
 * The content of a Refresh header or of <meta http-equiv=refresh>: "5; url=next.html", by the
 * HTML standard's rules. False: not valid.
 */
bool html_refresh_parse(Str content, int64_t *ret_delay_s, Str *ret_href);
