/*
 * One page after another: asked for, judged, read, followed, written.
 *
 *   scheduler_next ── fetch ── scheduler_answered ── judge ─┬─ redirect: where it leads is queued
 *                                                           ├─ error: tried again, or given up
 *                                                           ├─ sitemap: its pages are queued
 *                                                           └─ page: read, links queued, rows
 *   … and writer_add ends it.
 *
 * As many fibers do this as pages may be under way. Each has its own buffers, which it keeps from
 * page to page. Where pages are read on the pool there are more fibers than requests at once (the
 * semaphore `requests` holds them to that), so that the net is busy while pages wait to be read.
 */
#include "handlers/crawl/crawl_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/http_cache.h"
#include "codec/http_wait.h"
#include "handlers/crawl/content.h"
#include "handlers/crawl/unpack.h"

#define ACCEPT           "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
#define LOW_SPEED        64 /* bytes/s; below it for so long a body is given up */
#define LOW_SPEED_MS     15000
#define SITEMAP_BODY_MAX (64 << 20)
#define VALIDATORS       2

/* What one fiber works with. */
typedef struct PageWork {
    Crawl *crawl;
    Page *page;
    Arena arena; /* of the page: its links, its records */
    HttpAnswer answer;
    HttpHeader *headers; /* those of the crawl, secrets, validators */
    WebUrl url;
    PageRead read;
    CrawlFacts facts;
    CrawlOutcome outcome;
    Err error; /* of a call that failed; code 0: none */
    uint64_t content;
    bool has_rows;
    bool is_hopeless; /* no further try */
    Buf unpacked;     /* a sitemap that is a gzip file */
} PageWork;

static PageWork *work_new(Crawl *crawl)
{
    PageWork *work = mem_new(PageWork);

    work->crawl = crawl;
    work->headers = mem_new_array(HttpHeader, crawl->n_headers + crawl->n_secrets + VALIDATORS);
    arena_init(&work->arena, LIMIT_CRAWL_PAGE_ARENA_BYTES);
    return work;
}

static void work_free(PageWork *work)
{
    http_answer_deinit(&work->answer);
    arena_deinit(&work->arena);
    buf_deinit(&work->unpacked);
    mem_free(work->headers);
    mem_free(work);
}
DEFINE_AUTO(PageWork *, work_free);

/* Ready for the next page; a buffer that an odd page made large goes back. */
static void work_reset(PageWork *work)
{
    if (work->answer.body.cap > LIMIT_CRAWL_KEPT_BODY_BYTES)
        buf_deinit(&work->answer.body);
    buf_deinit(&work->unpacked);
    http_answer_reset(&work->answer);
    arena_reset(&work->arena);
    work->page = NULL;
    work->read = (PageRead){ 0 };
    work->facts = (CrawlFacts){ 0 };
    work->error.code = 0;
    work->content = 0;
    work->has_rows = false;
    work->is_hopeless = false;
}

static bool is_list(const Page *page)
{
    return str_starts(page->referrer, str_from_c("sluice:"));
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The headers of this request, into work->headers; how many. */
static size_t choose_headers(PageWork *work)
{
    const Crawl *crawl = work->crawl;
    const Page *page = work->page;
    size_t n = crawl->n_headers;

    memcpy(work->headers, crawl->headers, n * sizeof(*work->headers));
    if (crawl->n_secrets && scope_is_start_origin(crawl->scope, &work->url)) {
        memcpy(work->headers + n, crawl->secrets, crawl->n_secrets * sizeof(*work->headers));
        n += crawl->n_secrets;
    }
    if (page->etag.len)
        work->headers[n++] = (HttpHeader){ STR("If-None-Match"), page->etag };
    if (page->last_modified.len)
        work->headers[n++] = (HttpHeader){ STR("If-Modified-Since"), page->last_modified };
    return n;
}

SUSPENDS static int ask(PageWork *work)
{
    static const HttpVersion versions[] = { [CRAWL_HTTP_AUTO] = HTTP_VERSION_BEST,
                                            [CRAWL_HTTP_1_1] = HTTP_VERSION_1_1,
                                            [CRAWL_HTTP_2] = HTTP_VERSION_2_DIRECT };
    Crawl *crawl = work->crawl;
    const CrawlArgs *args = crawl->args;
    size_t body_max = is_list(work->page) ? SITEMAP_BODY_MAX : (size_t) args->max_body;
    HttpCall call = {
        .url = work->page->url,
        .headers = work->headers,
        .n_headers = choose_headers(work),
        .body_bytes_max = body_max,
        .wire_bytes_max = body_max,
        .redirects_max = -1,
        .timeout_ms = args->timeout_ms,
        .keep_headers = true,
        .policy = crawl->policy,
        .cookies = crawl->cookies,
        .proxy = crawl->proxy,
        .accept = ACCEPT,
        .version = versions[args->http],
        .low_speed = LOW_SPEED,
        .low_speed_ms = LOW_SPEED_MS,
    };
    int r = http_client_call(crawl->client, &call, &work->answer);

    if (r < 0 && r != -ECANCELED)
        err_take(r, &work->error); /* before somebody else's words are in its place */
    scheduler_answered(crawl->scheduler, work->page, r, &work->answer);
    sl_sem_release(&crawl->requests);
    return r;
}

static void count_answer(PageWork *work)
{
    CrawlReport *report = work->crawl->report;
    const HttpAnswer *answer = &work->answer;

    report->bytes_wire += answer->bytes_down;
    report->bytes_body += answer->body_bytes;
    if (answer->status <= 0)
        return;
    report->answers++;
    report->statuses[MIN(answer->status, REPORT_STATUSES - 1)]++;
}

/* It asks for more patience than a crawl has: no further try, and words that say so. */
static void give_up(PageWork *work, const HttpWait *wait)
{
    int r = fail(-ERR_UNAVAILABLE, "asks to be left alone for %lld s: not tried again",
                 (long long) (wait->wait_ms / MS_PER_S));

    err_take(r, &work->error);
    work->is_hopeless = true;
}

static CrawlOutcome outcome_of_answer(PageWork *work)
{
    const Page *page = work->page;
    CrawlOutcome outcome = crawl_outcome_of_status(work->answer.status);
    HttpWait wait;

    if (outcome == CRAWL_NOT_MODIFIED && !page->etag.len && !page->last_modified.len)
        return CRAWL_BAD_HTTP; /* nobody asked whether it was modified */
    if (!crawl_outcome_is_error(outcome))
        return outcome;
    wait = http_wait(work->answer.status, buf_str(&work->answer.head), sl_wall_ms(), INT64_MAX);
    if (outcome == CRAWL_CLIENT_ERROR && wait.is_limited)
        outcome = CRAWL_RATE_LIMITED;
    if (crawl_outcome_is_retryable(outcome) && wait.wait_ms > LIMIT_THROTTLE_RETRY_AFTER_MS)
        give_up(work, &wait);
    return outcome;
}

/* Ask for the page. 0 with an outcome, or -ECANCELED. */
SUSPENDS static int fetch(PageWork *work)
{
    int r = web_url_resolve(&work->arena, NULL, work->page->url, &work->url);

    ASSERT(r <= 0); /* it was one when it was queued */
    if (r < 0)
        return r;
    r = ask(work);
    count_answer(work);
    if (r == -ECANCELED)
        return r;
    if (r < 0) {
        work->outcome = crawl_outcome_of_error(r);
        return 0;
    }
    work->outcome = outcome_of_answer(work);
    return 0;
}

/* ---- judging --------------------------------------------------------------------------------- */

static Str header(const PageWork *work, const char *name)
{
    return http_head_find(buf_str(&work->answer.head), name);
}

/* Whether the content is that of a page that was there before; then the outcome says so. */
static bool is_known_content(PageWork *work)
{
    Crawl *crawl = work->crawl;
    const Page *page = work->page;

    work->content = content_hash(buf_str(&work->answer.body));
    if (page->content && crawl->args->revisit) { /* otherwise its rows did not hold: a new page */
        if (page->content != work->content) {
            (void) frontier_has_content(crawl->frontier, work->content);
            return false;
        }
        work->outcome = CRAWL_NOT_MODIFIED;
        return true;
    }
    if (!frontier_has_content(crawl->frontier, work->content))
        return false;
    crawl->report->duplicates++;
    if (page->depth == 0 || crawl->args->keep_duplicates)
        return false;
    work->outcome = CRAWL_DUPLICATE;
    return true;
}

/* Another URL stands for this page: that one is queued instead. */
SUSPENDS static int prefer_canonical(PageWork *work)
{
    Crawl *crawl = work->crawl;
    PageRead only = { .n_links = 1 };
    PageLink link = { .url = work->read.canonical };
    AUTO(buf_deinit) Buf key = { 0 };

    if (!link.url.href.len || work->outcome != CRAWL_DONE)
        return 0;
    web_url_key(&work->url, &crawl->key_opts, &key);
    web_url_key(&link.url, &crawl->key_opts, &crawl->key);
    if (str_eq(buf_str(&key), buf_str(&crawl->key)) ||
        scope_judge_redirect(crawl->scope, &link.url, work->page->depth) != CRAWL_DONE)
        return 0;
    work->outcome = CRAWL_NOT_CANONICAL;
    only.links = &link;
    return follow_links(crawl, work->page, &only);
}

SUSPENDS static int read_page(PageWork *work)
{
    Crawl *crawl = work->crawl;
    bool has_html = crawl_plan_html(crawl->plan) != NULL;
    int r;

    if (!crawl->rules.wants_canonical && is_known_content(work))
        return 0;
    work->has_rows = scope_gives_rows(crawl->scope, &work->url);
    work->read = (PageRead){ .url = &work->url,
                             .body = buf_str(&work->answer.body),
                             .content_type = str_from_c(work->answer.content_type),
                             .head = buf_str(&work->answer.head),
                             .wants_rows = work->has_rows && has_html };
    r = reading_read(crawl->reading, &work->arena, &work->read);
    if (r < 0)
        return r;
    work->outcome = work->read.outcome;
    if (crawl->rules.wants_canonical)
        r = prefer_canonical(work);
    if (r == 0 && crawl->rules.wants_canonical && work->outcome == CRAWL_DONE)
        (void) is_known_content(work); /* only here: a page that gives way stands for nothing */
    if (r == 0 && (work->outcome == CRAWL_DONE || work->outcome == CRAWL_NOINDEX))
        r = follow_links(crawl, work->page, &work->read);
    work->has_rows &= work->outcome == CRAWL_DONE || (work->outcome == CRAWL_NOT_HTML && !has_html);
    return r;
}

SUSPENDS static int read_list(PageWork *work)
{
    Str body = buf_str(&work->answer.body);
    int r;

    if (str_eq_c(work->page->referrer, REFERRER_ROBOTS))
        return follow_robots(work->crawl, work->page, body);
    r = unpack_gzip(body, SITEMAP_BODY_MAX, &work->unpacked, &body);
    if (r == 0)
        r = follow_sitemap(work->crawl, work->page, body);
    if (r >= 0 || r == -ECANCELED)
        return r;
    work->outcome = CRAWL_UNREADABLE;
    err_take(r, &work->error);
    return 0;
}

SUSPENDS static int judge(PageWork *work)
{
    if (work->outcome == CRAWL_REDIRECTED)
        return follow_redirect(work->crawl, work->page, str_from_c(work->answer.location),
                               &work->outcome);
    if (work->outcome != CRAWL_DONE)
        return 0;
    return is_list(work->page) ? read_list(work) : read_page(work);
}

/* ---- ending ---------------------------------------------------------------------------------- */

static PageEnd end_of(const PageWork *work)
{
    PageEnd end = { .outcome = work->outcome,
                    .status = work->answer.status,
                    .content = work->content };

    if (work->outcome == CRAWL_NOT_MODIFIED) {
        end.content = work->page->content;
        end.etag = work->page->etag;
        end.last_modified = work->page->last_modified;
    } else if (work->outcome == CRAWL_DONE) {
        end.etag = header(work, "etag");
        end.last_modified = header(work, "last-modified");
    }
    return end;
}

/* "robots.txt disallows it: line 12: Disallow: /cart (group of *)" */
static Str why_barred(PageWork *work)
{
    AUTO(buf_deinit) Buf text = { 0 };

    buf_printf(&text, "%s: ", crawl_outcome_text(work->outcome));
    robots_cache_explain(scheduler_robots(work->crawl->scheduler), work->page->url, &text);
    return arena_copy(&work->arena, buf_str(&text));
}

static void fill_facts(PageWork *work)
{
    const Page *page = work->page;

    work->facts = (CrawlFacts){
        .url = page->url,
        .requested = page->requested.len ? page->requested : page->url,
        .status = work->answer.status,
        .depth = page->depth,
        .title = work->read.title,
        .lang = work->read.lang,
        .fetched_ms = sl_wall_ms(),
        .took_ns = work->answer.took_ns,
        .bytes = work->answer.body_bytes,
        .content_type = str_from_c(work->answer.content_type),
        .referrer = is_list(page) ? (Str){ 0 } : page->referrer,
        .outcome = work->outcome,
    };
    if (work->outcome == CRAWL_DONE)
        return;
    work->facts.error = work->error.code ? str_from_c(work->error.text)
                        : page->barred != CRAWL_DONE
                            ? why_barred(work)
                            : str_from_c(crawl_outcome_text(work->outcome));
}

static bool is_worth_another_try(const PageWork *work)
{
    return crawl_outcome_is_retryable(work->outcome) && !work->is_hopeless &&
           work->page->barred == CRAWL_DONE && /* its robots.txt has had its tries */
           frontier_has_attempts(work->crawl->frontier, work->page);
}

SUSPENDS static int finish(PageWork *work)
{
    Crawl *crawl = work->crawl;
    bool has_html = crawl_plan_html(crawl->plan) != NULL, is_retry = false;
    bool is_error = crawl_outcome_is_error(work->outcome) || work->outcome == CRAWL_ROBOTS;
    bool is_counted;
    WriterPage page = { .page = work->page, .end = end_of(work) };
    int r;

    if (is_worth_another_try(work)) {
        page.end.is_retry = true;
    } else if ((is_error && crawl->args->error_rows) || work->has_rows) {
        fill_facts(work);
        page.facts = &work->facts;
        page.records = has_html && !is_error ? &work->read.records : NULL;
    }
    is_counted = !is_list(work->page) || is_error; /* asked before the page is gone */
    r = writer_add(crawl->writer, &page, &is_retry);
    if (r < 0)
        return r;
    if (is_retry)
        crawl->report->retries++;
    else if (is_counted)
        report_count(crawl->report, work->outcome);
    return 0;
}

/* The crawl is being stopped: the page was not read, and is queued as if nothing had happened. */
SUSPENDS static int give_back(Crawl *crawl, Page *page)
{
    PageEnd end = { .is_retry = true, .is_no_attempt = true };
    int r = frontier_finish(crawl->frontier, page, &end);

    return r < 0 ? r : -ECANCELED;
}

/* ---- the fiber ------------------------------------------------------------------------------- */

/* A page that may not be fetched is there for its row only. */
static int turn_away(PageWork *work)
{
    sl_sem_release(&work->crawl->requests);
    work->outcome = work->page->barred;
    return 0;
}

SUSPENDS static int visit(PageWork *work)
{
    int r = work->page->barred == CRAWL_DONE ? fetch(work) : turn_away(work);

    if (r == 0)
        r = judge(work);
    if (r == 0)
        r = finish(work);
    else if (r == -ECANCELED)
        r = give_back(work->crawl, work->page);
    return r;
}

/* Before a fiber waits for a page: what gathered goes out when nobody is about to add to it. */
SUSPENDS static int next_page(Crawl *crawl, Page **ret_page)
{
    int r = 0;

    if (crawl->n_busy == 0 && writer_has_pending(crawl->writer))
        r = writer_flush(crawl->writer);
    if (r == 0)
        r = sl_sem_acquire(&crawl->requests);
    if (r < 0)
        return r;
    r = scheduler_next(crawl->scheduler, ret_page);
    if (r != 0)
        sl_sem_release(&crawl->requests);
    return r;
}

int crawl_pages(void *arg)
{
    Crawl *crawl = arg;
    AUTO(work_free) PageWork *work = work_new(crawl);
    int r;

    while ((r = next_page(crawl, &work->page)) == 0) {
        crawl->n_busy++;
        r = visit(work);
        crawl->n_busy--;
        if (r < 0)
            return r;
        work_reset(work);
    }
    return r == SCHEDULER_END ? 0 : r;
}
