/*
 * robots.txt, served in all the ways it is served on the web (--robots CASE).
 *
 * The rules are the same in every case but longest, crawl-delay and html; what a crawler must make
 * of each case is in DEMO_ROBOTS_CASES.
 */
#include "demo/demo_int.h"

#include "base/macro.h"
#include "demo/pack_int.h"

#define BIG_400K (400 << 10)
#define BIG_500K (500 << 10)
#define HOPS     5

static const char rules[] = "# The rules of the playground's shop\n"
                            "User-agent: *\n"
                            "Disallow: /private/\n"
                            "Allow: /private/open.html\n"
                            "Disallow: /cart\n"
                            "Disallow: /search\n"
                            "Disallow: /*?session=\n"
                            "Disallow: /*.pdf$\n"
                            "\n"
                            "User-agent: slowbot\n"
                            "Crawl-delay: 1\n"
                            "Disallow: /private/\n"
                            "Disallow: /cart\n"
                            "Disallow: /search\n"
                            "\n"
                            "User-agent: badbot\n"
                            "Disallow: /\n"
                            "\n";

static const char longest_rules[] = "User-agent: *\n"
                                    "Allow: /\n"
                                    "Disallow: /private\n"
                                    "Allow: /private/open.html\n"
                                    "Disallow: /cart\n"
                                    "Disallow: /search\n"
                                    "Disallow: /*?session=\n"
                                    "Disallow: /*.pdf$\n"
                                    "\n";

static void add_sitemap(DemoCall *call, Buf *out)
{
    ADD(out, "Sitemap: ");
    buf_add_str(out, call->origin);
    ADD(out, "/sitemap.xml\n");
}

static void add_rules(DemoCall *call, Buf *out)
{
    buf_add(out, rules, sizeof(rules) - 1);
    add_sitemap(call, out);
}

static void add_padding(Buf *out, size_t bytes)
{
    size_t end = out->len + bytes;

    while (out->len < end && !out->is_failed)
        ADD(out, "# A comment that nobody reads, one of very many in this file.\n");
}

static void add_with_crlf(Buf *out, Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\n')
            buf_add_char(out, '\r');
        buf_add_char(out, text.data[i]);
    }
}

static int redirect_hop(DemoCall *call, int hop)
{
    return demo_redirect(call, 301, arena_printf(call->request->arena, "/robots-hop/%d", hop));
}

SUSPENDS static int hang(DemoCall *call)
{
    int r = http_response_begin(call->response);

    return r < 0 ? r : demo_wait_ms(call, INT64_MAX);
}

static int retry_later(DemoCall *call, int status)
{
    http_response_header(call->response, "Retry-After", str_from_c("1"));
    return demo_plain(call, status, "Not now.");
}

SUSPENDS static int answer_robots(DemoCall *call)
{
    AUTO(buf_deinit) Buf text = { 0 };
    Buf *out = call->out;

    call->response->content_type = str_from_c("text/plain; charset=utf-8");
    switch ((DemoRobots) call->demo->opts->robots) {
    case DEMO_ROBOTS_OK: add_rules(call, out); return 0;
    case DEMO_ROBOTS_404: return demo_plain(call, 404, "There are no rules.");
    case DEMO_ROBOTS_403: return demo_plain(call, 403, "The rules are secret.");
    case DEMO_ROBOTS_429: return retry_later(call, 429);
    case DEMO_ROBOTS_503: return retry_later(call, 503);
    case DEMO_ROBOTS_REDIRECT: return redirect_hop(call, HOPS);
    case DEMO_ROBOTS_REDIRECT5: return redirect_hop(call, 1);
    case DEMO_ROBOTS_LOOP: return demo_redirect(call, 302, str_from_c("/robots-loop"));
    case DEMO_ROBOTS_BIG400K:
        add_padding(out, BIG_400K);
        add_rules(call, out);
        return 0;
    case DEMO_ROBOTS_BIG500K:
        add_padding(out, BIG_500K);
        add_rules(call, out);
        return 0;
    case DEMO_ROBOTS_BOM_CRLF:
        add_rules(call, &text);
        ADD(out, "\xef\xbb\xbf");
        add_with_crlf(out, buf_str(&text));
        return 0;
    case DEMO_ROBOTS_LONGEST:
        buf_add(out, longest_rules, sizeof(longest_rules) - 1);
        add_sitemap(call, out);
        return 0;
    case DEMO_ROBOTS_CRAWL_DELAY:
        ADD(out,
            "User-agent: *\nCrawl-delay: 1\nDisallow: /private/\nAllow: /private/open.html\n"
            "Disallow: /cart\nDisallow: /search\nDisallow: /*?session=\nDisallow: /*.pdf$\n\n");
        add_sitemap(call, out);
        return 0;
    case DEMO_ROBOTS_HTML:
        demo_html_begin(call, "Welcome");
        ADD(out, "<p>This site answers every address with a page.</p>\n");
        demo_html_end(call);
        return 0;
    case DEMO_ROBOTS_GZIP:
        add_rules(call, &text);
        http_response_header(call->response, "Content-Encoding", str_from_c("gzip"));
        return pack(PACK_GZIP, buf_str(&text), out);
    case DEMO_ROBOTS_HANG: return hang(call);
    }
    return 0;
}

/* /robots-hop/1 … 5: the fifth has the rules. */
static int answer_hop(DemoCall *call)
{
    uint64_t hop = 0;

    if (str_to_u64(call->rest, HOPS, &hop) < 0 || hop == 0)
        return demo_plain(call, 404, "There is no such hop.");
    if (hop < HOPS)
        return redirect_hop(call, (int) hop + 1);
    call->response->content_type = str_from_c("text/plain; charset=utf-8");
    add_rules(call, call->out);
    return 0;
}

static int answer_loop(DemoCall *call)
{
    return demo_redirect(call, 302, str_from_c("/robots.txt"));
}

static const DemoPage pages[] = {
    { .path = "/robots.txt",
      .kind = DEMO_PLAIN,
      .answer = answer_robots,
      .summary = "the rules, served as --robots says" },
    { .path = "/robots-hop/*",
      .example = "5",
      .kind = DEMO_PLAIN,
      .answer = answer_hop,
      .summary = "where redirects of robots.txt lead" },
    { .path = "/robots-loop",
      .kind = DEMO_PLAIN,
      .answer = answer_loop,
      .summary = "and where they lead back" },
};

const DemoPages demo_robots_pages = DEMO_PAGES("robots.txt", pages);
