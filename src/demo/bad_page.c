/*
 * Bad pages: what is in the HTML, and what a crawler must make of it.
 *
 * /bad/leaf/N is a small page to lead to; /bad/unwanted/N is one that nobody may follow a link to:
 * both say in /stats.json that they were asked for, the second as `unwanted`.
 */
#include "demo/demo_int.h"

#include "base/macro.h"

#define DEEP_LEVELS 10000
#define MANY_LINKS  50000
#define LONG_BYTES  6000  /* of a target that the server takes */
#define TOO_LONG    20000 /* and of one that it refuses */

static int answer_leaf(DemoCall *call)
{
    demo_html_begin(call, "A leaf");
    ADD(call->out, "<p class=\"leaf\">");
    demo_add_html(call->out, call->rest);
    ADD(call->out, "</p>\n");
    demo_html_end(call);
    return 0;
}

static int answer_unwanted(DemoCall *call)
{
    call->demo->stats.unwanted++;
    return answer_leaf(call);
}

/* ---- pages that are a piece of text ---------------------------------------------------------- */

/* Between head and body of a page with the row's path as its title. */
static int answer_with_head(DemoCall *call, const char *head, const char *body)
{
    demo_is_html(call);
    buf_printf(call->out,
               "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n%s"
               "<title>%s</title>\n</head>\n<body>\n<h1>%s</h1>\n%s",
               head, call->page->path, call->page->summary, body);
    demo_html_end(call);
    return 0;
}

static int answer_head(DemoCall *call)
{
    return answer_with_head(call, call->page->text,
                            "<p class=\"price\" data-price=\"9.99\">$9.99</p>\n"
                            "<p><a href=\"/bad/unwanted/1\">further</a></p>\n");
}

static int answer_body(DemoCall *call)
{
    return answer_with_head(call, "", call->page->text);
}

static int answer_robots_tag(DemoCall *call)
{
    bool is_for_all = !strchr(call->page->text, ':');

    http_response_header(call->response, "X-Robots-Tag", str_from_c(call->page->text));
    return answer_with_head(call, "",
                            is_for_all ? "<p class=\"price\" data-price=\"9.99\">$9.99</p>\n"
                                         "<p><a href=\"/bad/unwanted/2\">further</a></p>\n"
                                       : "<p class=\"price\" data-price=\"9.99\">$9.99</p>\n"
                                         "<p><a href=\"/bad/leaf/agent\">further</a></p>\n");
}

static int answer_refresh(DemoCall *call)
{
    return answer_with_head(call, call->page->text, "");
}

static int answer_refresh_header(DemoCall *call)
{
    http_response_header(call->response, "Refresh", str_from_c("0; url=/bad/leaf/refresh"));
    return answer_with_head(call, "", "");
}

static int answer_base(DemoCall *call)
{
    return answer_with_head(call, "<base href=\"/bad/leaf/\">\n",
                            "<p><a href=\"base\">a leaf</a> <a href=\"../leaf/base\">again</a>"
                            "</p>\n");
}

static int answer_canonical(DemoCall *call)
{
    return answer_with_head(call, "<link rel=\"canonical\" href=\"/bad/canonical\">\n",
                            "<p class=\"price\" data-price=\"9.99\">$9.99</p>\n"
                            "<p><a href=\"/bad/canonical?view=print\">print</a></p>\n");
}

static const char links[] =
    "<p><a href=\"leaf/1\">relative</a> <a href=\"./x/../leaf/2\">dots</a>\n"
    "<a href=\"/bad/%6ceaf/3\">percent</a> <a href=\"\\bad\\leaf\\4\">backslashes</a>\n"
    "<a href=\" \t/bad/le\naf/5 \">white space</a> <a href=/bad/leaf/6>unquoted</a>\n"
    "<a href='/bad/leaf/7?a=1&amp;b=2'>entity</a> <A HREF=\"/bad/leaf/8#part\">capitals</A>\n"
    "<a href=\"/bad/leaf/\u00fc\">beyond ASCII</a> <a href=\"/bad/leaf/a b\">a space</a>\n"
    "<map><area href=\"/bad/leaf/9\"></map>\n"
    "<a href=\"#top\">here</a> <a href=\"\">this page</a> <a>no href</a>\n"
    "<a href=\"mailto:a@b\">mail</a> <a href=\"javascript:alert(1)\">script</a>\n"
    "<a href=\"data:text/html,x\">data</a> <a href=\"tel:1\">call</a> <a href=\"ftp://a/\">ftp</a>\n"
    "<a href=\"http://[bad/\">broken</a> <!-- <a href=\"/bad/unwanted/3\">comment</a> -->\n"
    "<script>var a = '<a href=\"/bad/unwanted/4\">script</a>';</script>\n"
    "<template><a href=\"/bad/unwanted/5\">template</a></template></p>\n";

/* ---- duplicates ------------------------------------------------------------------------------ */

static int answer_duplicate(DemoCall *call)
{
    demo_html_begin(call, "The same page");
    ADD(call->out, "<p class=\"price\" data-price=\"9.99\">$9.99</p>\n"
                   "<p><a href=\"/bad/duplicate/1\">one</a> <a href=\"/bad/duplicate/2\">two</a>"
                   "</p>\n");
    demo_html_end(call);
    return 0;
}

static int answer_tracking(DemoCall *call)
{
    demo_html_begin(call, "Tracked");
    ADD(call->out, "<p class=\"price\" data-price=\"9.99\">$9.99</p>\n<p>\n");
    for (int i = 1; i <= 5; i++)
        buf_printf(call->out,
                   "<a href=\"/bad/tracking?utm_source=s%d&amp;utm_medium=m&amp;gclid=g%d\">"
                   "source %d</a>\n",
                   i, i, i);
    ADD(call->out, "<a href=\"/bad/tracking?fbclid=f\">elsewhere</a></p>\n");
    demo_html_end(call);
    return 0;
}

/* Every view of this page links to itself with a session nobody has seen before. */
static int answer_session(DemoCall *call)
{
    uint64_t n = demo_count(call->demo, str_from_c("/bad/session"));

    demo_html_begin(call, "A page with a session");
    buf_printf(call->out,
               "<p class=\"price\" data-price=\"9.99\">$9.99</p>\n"
               "<p><a href=\"/bad/session?sid=%016llx\">this page</a></p>\n",
               (unsigned long long) shop_mix(call->demo->shop.seed, n));
    demo_html_end(call);
    return 0;
}

/* ---- large HTML ------------------------------------------------------------------------------ */

static int answer_deep(DemoCall *call)
{
    int64_t levels = demo_query_i64(call, "levels", DEEP_LEVELS, 1, 1000000);

    demo_html_begin(call, "Deep");
    for (int64_t i = 0; i < levels; i++)
        ADD(call->out, "<div>");
    ADD(call->out, "<p class=\"price\" data-price=\"9.99\">$9.99</p>");
    for (int64_t i = 0; i < levels; i++)
        ADD(call->out, "</div>");
    demo_html_end(call);
    return 0;
}

static int answer_many_links(DemoCall *call)
{
    int64_t n = demo_query_i64(call, "n", MANY_LINKS, 0, 1000000);

    demo_html_begin(call, "Many links");
    for (int64_t i = 0; i < n; i++) {
        ADD(call->out, "<a href=\"/bad/leaf/");
        buf_add_i64(call->out, i);
        ADD(call->out, "\">x</a>\n");
    }
    demo_html_end(call);
    return 0;
}

static void add_long_link(Buf *out, size_t bytes)
{
    ADD(out, "<p><a href=\"/bad/leaf/");
    for (size_t i = 0; i < bytes; i++)
        buf_add_char(out, 'x');
    ADD(out, "\">long</a></p>\n");
}

static int answer_long_url(DemoCall *call)
{
    demo_html_begin(call, "Long addresses");
    add_long_link(call->out, LONG_BYTES);
    add_long_link(call->out, TOO_LONG);
    demo_html_end(call);
    return 0;
}

#define ROBOTS_META(words) "<meta name=\"robots\" content=\"" words "\">\n"

static const DemoPage robots_pages[] = {
    { .path = "/bad/noindex",
      .text = ROBOTS_META("noindex, nofollow"),
      .answer = answer_head,
      .summary = "meta robots noindex, nofollow",
      .outcome = "no row; its link (/bad/unwanted/1) is not followed" },
    { .path = "/bad/nofollow",
      .text = ROBOTS_META("NOFOLLOW"),
      .answer = answer_head,
      .summary = "meta robots nofollow",
      .outcome = "a row; its link is not followed" },
    { .path = "/bad/robots-none",
      .text = ROBOTS_META("none"),
      .answer = answer_head,
      .summary = "meta robots none",
      .outcome = "no row; its link is not followed" },
    { .path = "/bad/x-robots-tag",
      .text = "noindex, nofollow",
      .answer = answer_robots_tag,
      .summary = "X-Robots-Tag: noindex, nofollow",
      .outcome = "no row; its link (/bad/unwanted/2) is not followed" },
    { .path = "/bad/x-robots-agent",
      .text = "slowbot: noindex, nofollow",
      .answer = answer_robots_tag,
      .summary = "X-Robots-Tag for slowbot only",
      .outcome = "a row and a link for everybody else" },
    { .path = "/bad/nofollow-links",
      .answer = answer_body,
      .text = "<p><a rel=\"nofollow\" href=\"/bad/unwanted/6\">no</a> "
              "<a rel=\"external NoFollow ugc\" href=\"/bad/unwanted/7\">no</a> "
              "<a rel=\"next\" href=\"/bad/leaf/followed\">yes</a></p>\n",
      .summary = "rel=nofollow on two of three links",
      .outcome = "only /bad/leaf/followed is followed" },
    { .path = "/bad/unwanted/*",
      .answer = answer_unwanted,
      .summary = "a page that no link may lead to",
      .outcome = "never asked for: `unwanted` in /stats.json stays 0" },
};

static const DemoPage html_pages[] = {
    { .path = "/bad/meta-refresh",
      .answer = answer_refresh,
      .text = "<meta http-equiv=\"refresh\" content=\"0; url=/bad/leaf/refresh\">\n",
      .summary = "meta refresh after 0 s",
      .outcome = "/bad/leaf/refresh, if refreshes count" },
    { .path = "/bad/refresh-header",
      .answer = answer_refresh_header,
      .summary = "the header Refresh: 0",
      .outcome = "/bad/leaf/refresh, if refreshes count" },
    { .path = "/bad/base-href",
      .answer = answer_base,
      .summary = "base href=\"/bad/leaf/\"",
      .outcome = "both links lead to /bad/leaf/base" },
    { .path = "/bad/links",
      .text = links,
      .answer = answer_body,
      .summary = "links in all their spellings",
      .outcome = "/bad/leaf/1 to 9, /bad/leaf/%C3%BC and /bad/leaf/a%20b, nothing else" },
    { .path = "/bad/leaf/*",
      .example = "1",
      .answer = answer_leaf,
      .summary = "a small page",
      .outcome = "a page" },
    { .path = "/bad/canonical",
      .example = "?view=print",
      .answer = answer_canonical,
      .summary = "two addresses, one canonical link",
      .outcome = "one row" },
    { .path = "/bad/duplicate/1",
      .answer = answer_duplicate,
      .summary = "the same content as /bad/duplicate/2",
      .outcome = "one row for both" },
    { .path = "/bad/duplicate/2",
      .answer = answer_duplicate,
      .summary = "the same content as /bad/duplicate/1",
      .outcome = "one row for both" },
    { .path = "/bad/tracking",
      .answer = answer_tracking,
      .summary = "links to itself with utm_source, gclid, fbclid",
      .outcome = "one page when tracking parameters are dropped, seven when not" },
    { .path = "/bad/session",
      .answer = answer_session,
      .summary = "links to itself with a new session each time",
      .outcome = "one page when sid is dropped, otherwise it must end by a limit" },
    { .path = "/bad/deep-html",
      .example = "?levels=10000",
      .answer = answer_deep,
      .summary = "10 000 elements within each other",
      .outcome = "a row; no crash" },
    { .path = "/bad/many-links",
      .example = "?n=50000",
      .answer = answer_many_links,
      .summary = "50 000 links",
      .outcome = "all are seen, or as many as a limit says" },
    { .path = "/bad/long-url",
      .answer = answer_long_url,
      .summary = "links of 6 000 and 20 000 bytes",
      .outcome =
          "the first is a page, or taken for a trap; the second an error, 414 or too long to "
          "ask" },
};

const DemoPages demo_robots_meta_pages = DEMO_PAGES("Words to robots", robots_pages);
const DemoPages demo_html_pages = DEMO_PAGES("HTML and addresses", html_pages);
