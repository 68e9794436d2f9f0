/*
 * From bytes to records. The order matters: what robots headers forbid is not parsed, what is not
 * HTML is not decoded, and the links are resolved while the parser still holds the page.
 */
#include "handlers/crawl/reader.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/http_cache.h"
#include "codec/http_text.h"
#include "codec/robots.h"
#include "codec/sniff.h"

void reader_init(Reader *reader, const ReadRules *rules)
{
    const HtmlPlan *html = crawl_plan_html(rules->plan);

    *reader = (Reader){ .parser = html_parser_new(), .n_counts = html ? html_plan_len(html) : 0 };
    reader->counts = mem_new_array(HtmlFieldCounts, reader->n_counts + 1);
}

void reader_deinit(Reader *reader)
{
    html_parser_free(reader->parser);
    buf_deinit(&reader->decoded);
    mem_free(reader->counts);
    *reader = (Reader){ 0 };
}

/* ---- what the headers say -------------------------------------------------------------------- */

static RobotsMeta header_robots(Str head, Str agent)
{
    RobotsMeta meta = { 0 };
    Str name, value, rest = head;

    while (http_head_next(&rest, &name, &value))
        if (str_eq_nocase(name, str_from_c("x-robots-tag")))
            robots_meta_parse(value, agent, &meta);
    return meta;
}

static bool is_html(const PageRead *page)
{
    Str no_sniff = http_head_find(page->head, "x-content-type-options");
    Sniff sniff = sniff_bytes(page->content_type,
                              str_eq_nocase(str_trim(no_sniff), str_from_c("nosniff")),
                              str_sub(page->body, 0, SNIFF_BYTES));

    return sniff.kind == SNIFF_HTML ||
           (sniff.kind == SNIFF_XML && http_media_is(sniff.mime, "application/xhtml+xml"));
}

/* ---- the text -------------------------------------------------------------------------------- */

static int parse(Reader *reader, PageRead *page, Charset *ret_charset)
{
    Str label = { 0 }, text;
    int r;

    if (!http_media_param(page->content_type, "charset", &label))
        label = (Str){ 0 };
    *ret_charset = charset_detect(page->body, label);
    r = charset_decode(*ret_charset, page->body, &reader->decoded, &text);
    if (r == 0)
        r = html_parse(reader->parser, text);
    if (reader->decoded.cap > LIMIT_CRAWL_KEPT_BODY_BYTES)
        buf_deinit(&reader->decoded);
    page->is_cut = r == HTML_CUT;
    return r == HTML_CUT ? 0 : r;
}

/* ---- soft 404 -------------------------------------------------------------------------------- */

static bool has_word(Str text, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= text.len; i++)
        if (str_eq_nocase(str_sub(text, i, len), str_from_c(word)))
            return true;
    return false;
}

static bool says_not_found(Str title)
{
    static const char *const words[] = { "not found",      "404",
                                         "nicht gefunden", "introuvable",
                                         "no encontrad",   "non trovat",
                                         "does not exist", "no longer available" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (has_word(title, words[i]))
            return true;
    return false;
}

/* ---- links ----------------------------------------------------------------------------------- */

static int resolve_links(const ReadRules *rules, Arena *arena, const WebUrl *base,
                         const HtmlPage *html, PageRead *page)
{
    if (!html->n_links || !rules->wants_links)
        return 0;
    page->links = arena_try(arena, html->n_links * sizeof(*page->links));
    if (!page->links)
        return -ENOMEM;
    for (size_t i = 0; i < html->n_links; i++) {
        PageLink *link = &page->links[page->n_links];
        int r = web_url_resolve(arena, base, html->links[i].href, &link->url);

        if (r < 0)
            return r;
        page->n_bad_links += r == WEB_URL_INVALID;
        page->n_other_links += r == WEB_URL_OTHER;
        link->is_nofollow = rules->obeys_nofollow && html->links[i].is_nofollow;
        page->n_links += r == 0;
    }
    return 0;
}

/* Resolve HREF, if there is one, into *RET_URL; what is no URL leaves it empty. */
static int resolve_one(Arena *arena, const WebUrl *base, Str href, WebUrl *ret_url)
{
    WebUrl url;
    int r;

    if (!href.len)
        return 0;
    r = web_url_resolve(arena, base, href, &url);
    if (r == 0)
        *ret_url = url;
    return r < 0 ? r : 0;
}

/* Where the page sends its reader: by its header, or by <meta http-equiv=refresh>. */
static Str refresh_of(const HtmlPage *html, Str head)
{
    Str href = { 0 };
    int64_t delay_s;

    if (html_refresh_parse(http_head_find(head, "refresh"), &delay_s, &href) && href.len)
        return href;
    return html->refresh_href;
}

static int resolve_all(const ReadRules *rules, Arena *arena, const WebUrl *base,
                       const HtmlPage *html, PageRead *page)
{
    int r = resolve_links(rules, arena, base, html, page);

    if (r == 0 && rules->wants_refresh)
        r = resolve_one(arena, base, refresh_of(html, page->head), &page->refresh);
    if (r == 0 && rules->wants_canonical)
        r = resolve_one(arena, base, html->canonical, &page->canonical);
    return r;
}

/* ---- the page -------------------------------------------------------------------------------- */

/* Whether the walk over the whole page is needed for anything. */
static bool wants_walk(const ReadRules *rules)
{
    return rules->wants_links || rules->obeys_robots || rules->wants_refresh ||
           rules->wants_canonical || rules->wants_soft_404 || rules->wants_title;
}

static int walk(Reader *reader, const ReadRules *rules, Arena *arena, const Charset *charset,
                PageRead *page, WebUrl *base)
{
    HtmlPageOpts opts = { .robots_agent = rules->robots_agent };
    HtmlPage html = { .refresh_s = -1 };
    WebUrl resolved;
    int r;

    base->charset = charset->id;
    if (!wants_walk(rules))
        return 0;
    r = html_page_read(arena, reader->parser, &opts, &html);
    if (r < 0)
        return r;
    if (html.base_href.len && web_url_resolve(arena, base, html.base_href, &resolved) == 0) {
        *base = resolved;
        base->charset = charset->id;
    }
    page->is_cut |= html.n_links_dropped > 0;
    page->title = html.title;
    page->lang = arena_copy(arena, html.lang);
    if (rules->obeys_robots) {
        page->is_nofollow |= (html.robots & HTML_ROBOTS_NOFOLLOW) != 0;
        if (html.robots & HTML_ROBOTS_NOINDEX)
            page->outcome = CRAWL_NOINDEX;
    }
    if (rules->wants_soft_404 && says_not_found(html.title))
        page->outcome = CRAWL_SOFT_404;
    return resolve_all(rules, arena, base, &html, page);
}

static int read_html(Reader *reader, const ReadRules *rules, Arena *arena, PageRead *page)
{
    const HtmlPlan *plan = crawl_plan_html(rules->plan);
    WebUrl base = *page->url;
    Charset charset;
    int r = parse(reader, page, &charset);

    if (r == 0)
        r = walk(reader, rules, arena, &charset, page, &base);
    if (r < 0 || !plan || !page->wants_rows || page->outcome != CRAWL_DONE)
        return r;
    r = html_plan_run(plan, arena, reader->parser, &base, reader->counts, &page->records);
    page->is_cut |= page->records.is_cut;
    return r;
}

void reader_read(Reader *reader, const ReadRules *rules, Arena *arena, PageRead *page)
{
    RobotsMeta robots = { 0 };

    page->outcome = CRAWL_DONE;
    if (rules->obeys_robots)
        robots = header_robots(page->head, rules->robots_agent);
    page->is_nofollow = robots.is_nofollow;
    if (!is_html(page)) {
        page->outcome = CRAWL_NOT_HTML;
        return;
    }
    if (robots.is_noindex)
        page->outcome = CRAWL_NOINDEX;
    if (read_html(reader, rules, arena, page) < 0)
        page->outcome = CRAWL_UNREADABLE;
    reader->pages++;
    reader->cut += page->is_cut;
}
