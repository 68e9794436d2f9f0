/*
 * From what a page says to the frontier: links, redirects, refreshes, sitemaps.
 *
 * Each link is judged by the scope and then queued, or counted as left out, once for each URL. The
 * same URL in another spelling is the same page: what counts is its key (web_url_key).
 */
#include "handlers/crawl/crawl_int.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/robots.h"
#include "codec/sitemap.h"

#include <stdio.h>

#define SITEMAP_PIECE_BYTES (16 << 10)
#define SEED_PRIORITY       1
#define SITEMAP_PRIORITY    2

/* Queue LINK to URL, or count it as already known. */
static int add(Crawl *crawl, const WebUrl *url, FrontierLink *link)
{
    int r;

    web_url_key(url, &crawl->key_opts, &crawl->key);
    if (crawl->key.is_failed) {
        buf_reset(&crawl->key);
        report_count(crawl->report, CRAWL_BAD_URL);
        return 0;
    }
    link->url = web_url_without_fragment(url);
    link->key = buf_str(&crawl->key);
    r = frontier_add(crawl->frontier, link);
    if (r == FRONTIER_SEEN)
        report_count(crawl->report, CRAWL_SEEN);
    return r;
}

/* Count a link that is not followed, once for each URL. */
static void leave_out(Crawl *crawl, const WebUrl *url, CrawlOutcome why)
{
    web_url_key(url, &crawl->key_opts, &crawl->key);
    if (frontier_skip(crawl->frontier, buf_str(&crawl->key), why) == 0)
        report_count(crawl->report, why);
}

/* ---- seeds ----------------------------------------------------------------------------------- */

/* IS_OURS: we were told to begin with it; otherwise a site named it. */
SUSPENDS static int queue_seed(Crawl *crawl, Str text, const char *referrer, bool is_ours)
{
    FrontierLink link = { .priority = referrer ? SITEMAP_PRIORITY : SEED_PRIORITY,
                          .referrer = str_from_c(referrer) };
    WebUrl url;
    int r;

    arena_reset(&crawl->scratch);
    r = web_url_parse(&crawl->scratch, text, &url);
    if (r < 0)
        return r;
    if (is_ours)
        scope_add_start(crawl->scope, &url);
    crawl->report->seeds++;
    r = add(crawl, &url, &link);
    return r < 0 ? r : frontier_wait_room(crawl->frontier);
}

int follow_seed(Crawl *crawl, Str text, const char *referrer)
{
    return queue_seed(crawl, text, referrer, true);
}

/* ---- links ----------------------------------------------------------------------------------- */

static int follow_one(Crawl *crawl, const Page *page, const WebUrl *url, bool is_nofollow)
{
    FrontierLink link = { .depth = page->depth + 1, .referrer = page->url };
    CrawlOutcome verdict = scope_judge_link(crawl->scope, url, link.depth);
    int r;

    if (verdict == CRAWL_DONE && is_nofollow)
        verdict = CRAWL_NOFOLLOW;
    if (verdict != CRAWL_DONE) {
        leave_out(crawl, url, verdict);
        return 0;
    }
    r = add(crawl, url, &link);
    return r < 0 ? r : 0;
}

int follow_links(Crawl *crawl, const Page *page, const PageRead *read)
{
    CrawlReport *report = crawl->report;
    int r = 0;

    report->links += read->n_links + read->n_bad_links + read->n_other_links;
    report->outcomes[CRAWL_BAD_URL] += read->n_bad_links;
    report->outcomes[CRAWL_OTHER_SCHEME] += read->n_other_links;
    for (size_t i = 0; r == 0 && i < read->n_links; i++) {
        r = follow_one(crawl, page, &read->links[i].url,
                       read->is_nofollow || read->links[i].is_nofollow);
        if (r == 0 && i % LIMIT_FRONTIER_ADD_URLS == LIMIT_FRONTIER_ADD_URLS - 1)
            r = frontier_wait_room(crawl->frontier);
    }
    if (r == 0 && read->refresh.href.len)
        r = follow_one(crawl, page, &read->refresh, read->is_nofollow);
    return r;
}

/* ---- redirects ------------------------------------------------------------------------------- */

/* A wall of cookies: the way led to where a cookie was set and back, and the same URL may answer
 * with the page. It is asked once more under a key of its own; hops say when it is enough. */
static int add_again(Crawl *crawl, const WebUrl *url, FrontierLink *link)
{
    web_url_key(url, &crawl->key_opts, &crawl->key);
    buf_printf(&crawl->key, "#%u", link->hops);
    link->url = web_url_without_fragment(url);
    link->key = buf_str(&crawl->key);
    return crawl->key.is_failed ? 0 : frontier_add(crawl->frontier, link);
}

int follow_redirect(Crawl *crawl, const Page *page, Str location, CrawlOutcome *ret_outcome)
{
    FrontierLink link = { .depth = page->depth,
                          .priority = SEED_PRIORITY,
                          .hops = (uint16_t) (page->hops + 1),
                          .requested = page->requested.len ? page->requested : page->url,
                          .referrer = page->referrer };
    CrawlOutcome verdict;
    bool is_round;
    WebUrl url;
    int r;

    *ret_outcome = CRAWL_BAD_REDIRECT;
    arena_reset(&crawl->scratch);
    if (!location.len || web_url_resolve(&crawl->scratch, NULL, location, &url) != 0)
        return 0;
    redirects_put(&crawl->redirects, page->url, web_url_without_fragment(&url));
    is_round = redirects_is_circle(&crawl->redirects, page->url);
    *ret_outcome = is_round ? CRAWL_REDIRECT_LOOP : CRAWL_TOO_MANY_REDIRECTS;
    if (link.hops > LIMIT_CRAWL_REDIRECTS || (is_round && !crawl->cookies))
        return 0;
    *ret_outcome = CRAWL_REDIRECTED;
    verdict = scope_judge_redirect(crawl->scope, &url, page->depth);
    if (verdict != CRAWL_DONE) {
        leave_out(crawl, &url, verdict);
        return 0;
    }
    if (page->depth == 0)
        scope_add_host(crawl->scope, &url);
    r = is_round ? add_again(crawl, &url, &link) : add(crawl, &url, &link);
    return r < 0 ? r : 0;
}

/* ---- sitemaps -------------------------------------------------------------------------------- */

typedef struct SitemapReader {
    Crawl *crawl;
    const Page *page;
} SitemapReader;

static int on_entry(void *ctx, const SitemapEntry *entry)
{
    SitemapReader *reader = ctx;
    Crawl *crawl = reader->crawl;
    bool is_index = entry->kind == SITEMAP_INDEX;
    FrontierLink link = { .depth = is_index ? reader->page->depth + 1 : 0,
                          .priority = is_index ? SITEMAP_PRIORITY : 0,
                          .referrer = str_from_c(is_index ? REFERRER_SITEMAP : NULL) };
    CrawlOutcome verdict;
    WebUrl url;
    int r;

    arena_reset(&crawl->scratch);
    r = web_url_resolve(&crawl->scratch, NULL, entry->url, &url);
    if (r != 0) {
        report_count(crawl->report, CRAWL_BAD_URL);
        return r < 0 ? r : 0;
    }
    verdict = !is_index                                ? scope_judge_link(crawl->scope, &url, 0)
              : link.depth > LIMIT_CRAWL_SITEMAP_DEPTH ? CRAWL_TOO_DEEP
                                                       : CRAWL_DONE;
    if (verdict == CRAWL_OTHER_HOST && !crawl_args_follows(crawl->args))
        verdict = CRAWL_DONE;
    if (verdict != CRAWL_DONE) {
        leave_out(crawl, &url, verdict);
        return 0;
    }
    crawl->report->seeds++;
    r = add(crawl, &url, &link);
    return r < 0 ? r : 0;
}

/* What of a sitemap was not taken: R is how reading it ended. */
static void note_sitemap(Crawl *crawl, const Page *page, const Sitemap *sitemap, int r)
{
    char why[120];
    int len = 0;

    if (r == SITEMAP_FULL)
        len = snprintf(why, sizeof(why), "%zu URLs were taken; no more than %d, and %d MiB, are",
                       sitemap_n_entries(sitemap), LIMIT_SITEMAP_URLS, LIMIT_SITEMAP_BYTES >> 20);
    else if (r == SITEMAP_CUT)
        len = snprintf(why, sizeof(why), "the file ends in the middle, %zu URLs were taken",
                       sitemap_n_entries(sitemap));
    if (len > 0)
        notes_add(crawl->notes, NOTE_SITEMAP_CUT, page->url, str_from(why, (size_t) len), 1);
    if (sitemap_n_skipped(sitemap))
        notes_add(crawl->notes, NOTE_SITEMAP_SKIPPED, page->url,
                  str_from_c("without a URL, or with one that is too long"),
                  sitemap_n_skipped(sitemap));
}

int follow_sitemap(Crawl *crawl, const Page *page, Str body)
{
    SitemapReader reader = { crawl, page };
    AUTO(sitemap_free) Sitemap *sitemap = sitemap_new(on_entry, &reader);
    int r = 0;

    for (size_t at = 0; r == 0 && at < body.len; at += SITEMAP_PIECE_BYTES) {
        r = sitemap_feed(sitemap, str_sub(body, at, SITEMAP_PIECE_BYTES));
        if (r == 0)
            r = frontier_wait_room(crawl->frontier);
    }
    if (r == 0)
        r = sitemap_finish(sitemap);
    note_sitemap(crawl, page, sitemap, r);
    return r < 0 ? r : 0; /* full or cut: what was complete counts */
}

int follow_robots(Crawl *crawl, const Page *page, Str body)
{
    AUTO(robots_free) Robots *robots = NULL;
    int r = robots_parse(body, crawl_args_robots_token(crawl->args), &robots);

    if (r == 0 && robots_is_cut(robots))
        notes_add_robots_cut(crawl->notes, robots_authority(page->url),
                             body.len > LIMIT_ROBOTS_BYTES);
    for (size_t i = 0; r == 0 && i < robots_n_sitemaps(robots); i++) {
        int queued = queue_seed(crawl, robots_sitemap(robots, i), REFERRER_SITEMAP, false);

        if (queued == -ECANCELED)
            return queued;
        if (queued < 0)
            report_count(crawl->report, CRAWL_BAD_URL);
    }
    return r;
}
