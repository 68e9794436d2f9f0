/*
 * Bad pages: statuses and redirects.
 */
#include "demo/demo_int.h"

#include "base/macro.h"
#include "codec/time_text.h"

#define DATE_AHEAD_MS 2000 /* of a Retry-After with a date */

/* ---- statuses -------------------------------------------------------------------------------- */

static int answer_status(DemoCall *call)
{
    int64_t status = demo_query_i64(call, "status", call->page->number, 200, 599);

    return demo_plain(call, (int) status, "This page never answers with anything else.");
}

static int answer_later(DemoCall *call)
{
    http_response_header(call->response, "Retry-After", str_from_c(call->page->text));
    return demo_plain(call, call->page->number, "Come back later.");
}

static int answer_later_date(DemoCall *call)
{
    char text[TIME_TEXT_BYTES];
    Str when = time_format_http(sl_wall_ms() + DATE_AHEAD_MS, text);

    http_response_header(call->response, "Retry-After", when);
    return demo_plain(call, 503, "Come back at the time that Retry-After names.");
}

/* Refuses the first n requests of each URL, and answers from then on. */
static int answer_clears(DemoCall *call)
{
    uint64_t n = (uint64_t) demo_query_i64(call, "n", 2, 0, 1000);

    if (demo_count(call->demo, call->request->target) <= n) {
        http_response_header(call->response, "Retry-After", str_from_c(call->page->text));
        return demo_plain(call, call->page->number, "Not yet.");
    }
    demo_html_begin(call, "At last");
    ADD(call->out, "<p class=\"price\" data-price=\"12.50\">$12.50</p>\n");
    demo_html_end(call);
    return 0;
}

static int answer_quota(DemoCall *call)
{
    http_response_header(call->response, "x-ratelimit-limit", str_from_c("60"));
    http_response_header(call->response, "x-ratelimit-remaining", str_from_c("0"));
    http_response_header(
        call->response, "x-ratelimit-reset",
        arena_printf(call->request->arena, "%lld", (long long) (sl_wall_ms() / MS_PER_S + 2)));
    return demo_plain(call, 403, "API rate limit exceeded.");
}

static int answer_soft_404(DemoCall *call)
{
    demo_html_begin(call, "Page not found");
    ADD(call->out, "<p>Sorry, the page you are looking for does not exist any more.</p>\n"
                   "<p><a href=\"/\">Home</a></p>\n");
    demo_html_end(call);
    return 0;
}

/* ---- redirects ------------------------------------------------------------------------------- */

static int answer_redirect(DemoCall *call)
{
    Str to = demo_query(call, "to");
    uint64_t status = 0;

    if (str_to_u64(call->rest, 308, &status) < 0 || status < 301 || status == 304 ||
        status == 305 || status == 306)
        return demo_plain(call, 404, "There are 301, 302, 303, 307 and 308.");
    return demo_redirect(call, (int) status, to.len ? to : str_from_c("/product/1"));
}

static int answer_redirect_to(DemoCall *call)
{
    return demo_redirect(call, call->page->number, str_from_c(call->page->text));
}

static int answer_chain(DemoCall *call)
{
    int64_t n = demo_query_i64(call, "n", 5, 0, 1000);

    if (n == 0) {
        demo_html_begin(call, "The end of the chain");
        demo_html_end(call);
        return 0;
    }
    return demo_redirect(
        call, 302,
        arena_printf(call->request->arena, "/bad/redirect-chain?n=%lld", (long long) n - 1));
}

/* The same server under its other name: 127.0.0.1 sends to localhost, all others to 127.0.0.1. */
static int answer_redirect_host(DemoCall *call)
{
    Str host = str_sub(call->origin, strlen("http://"), call->origin.len), port;
    Str name = str_cut(host, ':', &port);
    const char *other = str_eq_c(name, "127.0.0.1") ? "localhost" : "127.0.0.1";

    return demo_redirect(call, 302,
                         arena_printf(call->request->arena, "http://%s%s%.*s/product/1", other,
                                      port.len ? ":" : "", (int) port.len,
                                      port.data ? port.data : ""));
}

static int answer_redirect_nowhere(DemoCall *call)
{
    return demo_plain(call, 302, "There is no Location.");
}

static const DemoPage status_pages[] = {
    { .path = "/bad/404",
      .number = 404,
      .answer = answer_status,
      .summary = "404",
      .outcome = "a page that is not there; not tried again" },
    { .path = "/bad/410",
      .number = 410,
      .answer = answer_status,
      .summary = "410",
      .outcome = "a page that is gone; not tried again" },
    { .path = "/bad/401",
      .number = 401,
      .answer = answer_status,
      .summary = "401 without a challenge",
      .outcome = "refused; not tried again" },
    { .path = "/bad/418",
      .number = 418,
      .answer = answer_status,
      .summary = "418",
      .outcome = "an unusual 4xx; not tried again" },
    { .path = "/bad/500",
      .number = 500,
      .answer = answer_status,
      .summary = "500, always",
      .outcome = "tried again a few times, then an error" },
    { .path = "/bad/503",
      .number = 503,
      .text = "1",
      .answer = answer_later,
      .summary = "503, always, Retry-After: 1",
      .outcome = "the host rests a second before each new try, then an error" },
    { .path = "/bad/503-date",
      .answer = answer_later_date,
      .summary = "503, always, Retry-After is a date two seconds ahead",
      .outcome = "the same, the date is understood" },
    { .path = "/bad/503-long",
      .number = 503,
      .text = "86400",
      .answer = answer_later,
      .summary = "503, always, Retry-After: a day",
      .outcome = "nobody waits a day: an error that says so" },
    { .path = "/bad/503-clears",
      .example = "?n=2",
      .number = 503,
      .text = "1",
      .answer = answer_clears,
      .summary = "503 with Retry-After: 1, n times for each URL",
      .outcome = "a page after n tries" },
    { .path = "/bad/429",
      .example = "?n=2",
      .number = 429,
      .text = "1",
      .answer = answer_clears,
      .summary = "429 with Retry-After: 1, n times for each URL",
      .outcome = "a page after n tries; the host is asked more slowly" },
    { .path = "/bad/403-quota",
      .answer = answer_quota,
      .summary = "403 with x-ratelimit-remaining: 0, as GitHub does",
      .outcome = "counts as a rate limit, not as a refusal" },
    { .path = "/bad/status",
      .example = "?status=599",
      .number = 599,
      .answer = answer_status,
      .summary = "the status you ask for",
      .outcome = "by its hundred" },
    { .path = "/bad/soft-404",
      .answer = answer_soft_404,
      .summary = "200, and the page says that it was not found",
      .outcome = "a page without the fields asked for: missing, not wrong" },
};

static const DemoPage redirect_pages[] = {
    { .path = "/bad/redirect/*",
      .example = "301",
      .answer = answer_redirect,
      .summary = "301, 302, 303, 307 or 308 to /product/1, or to ?to=URL",
      .outcome = "the product, once, however many lead to it" },
    { .path = "/bad/redirect-chain",
      .example = "?n=5",
      .answer = answer_chain,
      .summary = "n redirects, then a page",
      .outcome = "a page up to the limit (10), an error over it" },
    { .path = "/bad/redirect-loop/a",
      .number = 302,
      .text = "/bad/redirect-loop/b",
      .answer = answer_redirect_to,
      .summary = "to b, and back",
      .outcome = "an error: a loop" },
    { .path = "/bad/redirect-loop/b",
      .number = 302,
      .text = "/bad/redirect-loop/a",
      .answer = answer_redirect_to,
      .summary = "to a, and back",
      .outcome = "an error: a loop" },
    { .path = "/bad/redirect-self",
      .number = 301,
      .text = "/bad/redirect-self",
      .answer = answer_redirect_to,
      .summary = "to itself",
      .outcome = "an error: a loop" },
    { .path = "/bad/redirect-host",
      .answer = answer_redirect_host,
      .summary = "to the same server under another host name",
      .outcome = "in scope or not: as for a link; the other host's robots.txt is asked first" },
    { .path = "/bad/redirect-private",
      .number = 302,
      .text = "http://169.254.169.254/latest/",
      .answer = answer_redirect_to,
      .summary = "to a link-local address",
      .outcome = "never followed when started through an API; out of scope otherwise" },
    { .path = "/bad/redirect-scheme",
      .number = 302,
      .text = "file:///etc/passwd",
      .answer = answer_redirect_to,
      .summary = "to file:///etc/passwd",
      .outcome = "never followed: only http and https are" },
    { .path = "/bad/redirect-robots",
      .number = 302,
      .text = "/private/orders",
      .answer = answer_redirect_to,
      .summary = "to a page that robots.txt disallows",
      .outcome = "not followed: robots.txt holds for each hop" },
    { .path = "/bad/redirect-nowhere",
      .answer = answer_redirect_nowhere,
      .summary = "302 without Location",
      .outcome = "an error, or a page with status 302" },
    { .path = "/bad/redirect-broken",
      .number = 302,
      .text = "http://[::bad/",
      .answer = answer_redirect_to,
      .summary = "to what is no URL",
      .outcome = "an error" },
};

const DemoPages demo_status_pages = DEMO_PAGES("Statuses", status_pages);
const DemoPages demo_redirect_pages = DEMO_PAGES("Redirects", redirect_pages);
