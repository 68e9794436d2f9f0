/*
 * HTML: what a page says, the text of nodes, and pages made to cost time or memory.
 */
#include "codec/html.h"

#include "base/limits.h"
#include "base/test.h"

/* ---- text ------------------------------------------------------------------------------------ */

static void expect_text(const char *html, const char *want, const char *want_line)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf text = { 0 };

    REQUIRE(html_parse(parser, str_from_c(html)) == 0);
    html_node_text(html_document(parser), &text);
    EXPECT_STR(buf_str(&text), str_from_c(want));
    buf_reset(&text);
    html_node_text_line(html_document(parser), &text);
    EXPECT_STR(buf_str(&text), str_from_c(want_line));
}

TEST(text_is_as_a_reader_sees_it)
{
    expect_text("", "", "");
    expect_text("<p> a \n b </p>", "a b", "a b");
    expect_text("<p>a</p><p>b</p>", "a\nb", "a b");
    expect_text("a<br>b<br><br>c", "a\nb\nc", "a b c");
    expect_text("a<b>b</b> <i> c</i>", "ab c", "ab c");
    expect_text("<div>a<div>b</div>c</div>", "a\nb\nc", "a b c");
    expect_text("<table><tr><td>a<td>b<tr><td>c</table>", "a\tb\nc", "a b c");
    expect_text("<title>t</title><style>s</style><script>x</script>a<template>t</template>", "a",
                "a");
    expect_text("x<pre> a\n  b\n</pre>y", "x\n a\n  b\n\ny", "x a b y");
    expect_text("a&nbsp; b&euro;&amp;&lt;", "a\xc2\xa0 b\xe2\x82\xac&<",
                "a\xc2\xa0 b\xe2\x82\xac&<");
    expect_text("<noscript>n</noscript><!-- c -->", "n", "n");
    expect_text("<ul><li>a<li>b</ul>c", "a\nb\nc", "a b c");
}

static HtmlNode *find_tag(HtmlNode *node, const char *name);

TEST(raw_text_and_html)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf out = { 0 };
    HtmlNode *node;
    Str value;

    REQUIRE(html_parse(parser,
                       STR_C("<p ID=x Class='a b'> a <b>c</b></p><script>a < b</script>")) == 0);
    node = find_tag(html_document(parser), "p");
    REQUIRE(node != NULL);
    EXPECT_STR(html_node_name(node), STR_C("p"));
    EXPECT(html_node_attr(node, STR_C("class"), &value));
    EXPECT_STR(value, STR_C("a b"));
    EXPECT(!html_node_attr(node, STR_C("href"), &value));
    html_node_text_raw(node, &out);
    EXPECT_STR(buf_str(&out), STR_C(" a c"));
    buf_reset(&out);
    html_node_inner_html(node, &out);
    EXPECT_STR(buf_str(&out), STR_C(" a <b>c</b>"));
    buf_reset(&out);
    html_node_outer_html(find_tag(html_document(parser), "b"), &out);
    EXPECT_STR(buf_str(&out), STR_C("<b>c</b>"));
    buf_reset(&out);
    html_node_text(find_tag(html_document(parser), "script"), &out);
    EXPECT_STR(buf_str(&out), STR_C("a < b"));
}

/* ---- pages ----------------------------------------------------------------------------------- */

#include "codec/html_int.h"

static HtmlNode *find_tag(HtmlNode *root, const char *name)
{
    lxb_dom_node_t *top = html_to_dom(root);

    for (lxb_dom_node_t *node = top; node; node = html_next(node, top))
        if (str_eq_c(html_node_name(html_from_dom(node)), name))
            return html_from_dom(node);
    return NULL;
}

static const char page_html[] =
    "<html lang=' de '><head><title> A \n page </title><title>no</title><base href=' /b/ '>"
    "<base href=/c/><meta name=Robots content='NoIndex, x'><meta name=sluice content=nofollow>"
    "<meta name=other content=none><meta http-equiv=Refresh content='5; URL=\"next.html\"'>"
    "<link rel='canonical x' href=/canon><link rel=canonical href=/no><link rel=NEXT href=p3>"
    "<link rel=prev href=p1><link rel='alternate stylesheet' href=no.css>"
    "<link rel=alternate href=/feed><link rel=stylesheet href=no.css></head><body>"
    "<a href=' /one\n'>One <b>link</b></a><a name=no>x</a><a href='two' rel='UGC'>Two</a>"
    "<a rel='nofollow next' href=three>3</a><map><area href=/area></map>"
    "<iframe src=/frame></iframe><svg><a href=/svg>s</a></svg><template><a href=/no></a></template>";

TEST(what_a_page_says)
{
    static const struct {
        const char *href, *text;
        HtmlLinkKind kind;
        bool is_nofollow;
    } want[] = {
        { "p3", "", HTML_LINK_NEXT, false },         { "p1", "", HTML_LINK_PREV, false },
        { "/feed", "", HTML_LINK_ALTERNATE, false }, { "/one", "One link", HTML_LINK_A, false },
        { "two", "Two", HTML_LINK_A, true },         { "three", "3", HTML_LINK_NEXT, true },
        { "/area", "", HTML_LINK_AREA, false },      { "/frame", "", HTML_LINK_IFRAME, false },
    };
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(arena_deinit) Arena arena = { 0 };
    HtmlPageOpts opts = { .robots_agent = STR_C("Sluice"),
                          .has_link_text = true,
                          .has_frames = true };
    HtmlPage page;

    REQUIRE(html_parse(parser, str_from_c(page_html)) == 0);
    REQUIRE(html_page_read(&arena, parser, &opts, &page) == 0);
    EXPECT_STR(page.title, STR_C("A page"));
    EXPECT_STR(page.base_href, STR_C("/b/"));
    EXPECT_STR(page.canonical, STR_C("/canon"));
    EXPECT_STR(page.lang, STR_C("de"));
    EXPECT_STR(page.refresh_href, STR_C("next.html"));
    EXPECT_EQ(page.refresh_s, 5);
    EXPECT_EQ(page.robots, HTML_ROBOTS_NOINDEX | HTML_ROBOTS_NOFOLLOW);
    REQUIRE(page.n_links == ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        EXPECT_STR(page.links[i].href, str_from_c(want[i].href));
        EXPECT_STR(page.links[i].text, str_from_c(want[i].text));
        EXPECT_EQ(page.links[i].kind, want[i].kind);
        EXPECT_EQ(page.links[i].is_nofollow, want[i].is_nofollow);
    }
}

TEST(a_page_that_says_nothing)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(arena_deinit) Arena arena = { 0 };
    HtmlPage page;

    REQUIRE(html_page_read(&arena, parser, NULL, &page) == 0);
    EXPECT_EQ(page.n_links, 0);
    EXPECT_EQ(page.refresh_s, -1);
    EXPECT_EQ(page.title.len + page.base_href.len + page.canonical.len + page.lang.len, 0);
}

TEST(links_over_the_limit_are_counted)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(arena_deinit) Arena arena = { 0 };
    HtmlPageOpts opts = { .max_links = 2 };
    HtmlPage page;

    REQUIRE(html_parse(parser, STR_C("<a href=1></a><a href=2></a><a href=3></a>")) == 0);
    REQUIRE(html_page_read(&arena, parser, &opts, &page) == 0);
    EXPECT_EQ(page.n_links, 2);
    EXPECT_EQ(page.n_links_dropped, 1);
}

TEST(robots_words)
{
    EXPECT_EQ(html_robots_parse(STR_C("index,follow")), 0);
    EXPECT_EQ(html_robots_parse(STR_C("none")), HTML_ROBOTS_NOINDEX | HTML_ROBOTS_NOFOLLOW);
    EXPECT_EQ(html_robots_parse(STR_C(" NOINDEX nosnippet,noarchive")),
              HTML_ROBOTS_NOINDEX | HTML_ROBOTS_NOSNIPPET | HTML_ROBOTS_NOARCHIVE);
    EXPECT_EQ(html_robots_parse(STR_C("noindexx, xnofollow")), 0);
}

static void expect_refresh(const char *content, int64_t delay, const char *href)
{
    int64_t got_delay = -1;
    Str got_href = { 0 };

    EXPECT_EQ(html_refresh_parse(str_from_c(content), &got_delay, &got_href), delay >= 0);
    EXPECT_EQ(got_delay, delay);
    EXPECT_STR(got_href, str_from_c(href));
}

TEST(refreshes)
{
    expect_refresh("0", 0, "");
    expect_refresh(" 5 ; url = a b ", 5, "a b");
    expect_refresh("5;a", 5, "a");
    expect_refresh("5,url='a'x", 5, "a");
    expect_refresh("5 url=a", 5, "a");
    expect_refresh("1.9;url=a", 1, "a");
    expect_refresh(".5;url=a", 0, "a");
    expect_refresh("5;urlx", 5, "urlx");
    expect_refresh("5;url=\"a", 5, "a");
    expect_refresh("99999999999999999999;a", INT32_MAX, "a");
    expect_refresh("5x", -1, "");
    expect_refresh("x", -1, "");
    expect_refresh("", -1, "");
}

/* ---- what is made to hurt -------------------------------------------------------------------- */

/* Parse N times WHAT; the outcome, and the parser given back its memory after it. */
static void expect_bounded(const char *before, const char *what, size_t n, int want)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf html = { 0 };

    buf_add_c(&html, before);
    for (size_t i = 0; i < n; i++)
        buf_add_c(&html, what);
    EXPECT_EQ(html_parse(parser, buf_str(&html)), want);
    EXPECT(html_parser_bytes(parser) < (size_t) LIMIT_HTML_MEMORY_BYTES * 3 / 2);
    EXPECT_EQ(html_parse(parser, STR_C("<p>x")), 0);
    EXPECT(html_parser_bytes(parser) <= LIMIT_HTML_KEPT_BYTES);
}

TEST(deep_nesting_is_flattened)
{
    static const char *const bombs[] = {
        "<div>",       "<b>",    "<table>",           "<table><tr><td>",
        "<template>",  "<svg>",  "<svg><desc>",       "<select>",
        "<applet><b>", "<a><p>", "<template><table>", "<table><caption>",
        "<frameset>"
    };

    for (size_t i = 0; i < ARRAY_LEN(bombs); i++)
        expect_bounded("", bombs[i], 3000, 0);
}

TEST(what_is_below_the_deepest_level_is_there)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf html = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };

    for (int i = 0; i < 10000; i++)
        buf_printf(&html, "<div>%d", i % 10);
    REQUIRE(html_parse(parser, buf_str(&html)) == 0);
    html_node_text_raw(html_document(parser), &text);
    EXPECT_EQ(text.len, 10000);
}

TEST(too_many_nodes_cut_the_page)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf html = { 0 };

    for (int i = 0; i < LIMIT_HTML_NODES + 10; i++)
        buf_add_c(&html, "<p>");
    EXPECT_EQ(html_parse(parser, buf_str(&html)), HTML_CUT);
    EXPECT(find_tag(html_document(parser), "p") != NULL);
    EXPECT_EQ(html_parse(parser, STR_C("<p>")), 0);
}

TEST(attributes_and_names_are_bounded)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf html = { 0 };
    const lxb_dom_element_t *element;
    size_t n = 0;

    buf_add_c(&html, "<i");
    for (int i = 0; i < 2000; i++)
        buf_printf(&html, " a%d=1", i);
    buf_add_c(&html, ">x</i>");
    REQUIRE(html_parse(parser, buf_str(&html)) == 0);
    element = lxb_dom_interface_element(html_to_dom(find_tag(html_document(parser), "i")));
    for (const lxb_dom_attr_t *attr = element->first_attr; attr; attr = attr->next)
        n++;
    EXPECT_EQ(n, LIMIT_HTML_ATTRIBUTES);

    buf_reset(&html);
    buf_add_c(&html, "<i");
    for (int i = 0; i < 100000; i++)
        buf_printf(&html, " a%d", i);
    EXPECT_EQ(html_parse(parser, buf_str(&html)), HTML_CUT);
    buf_reset(&html);
    for (int i = 0; i < 20000; i++)
        buf_printf(&html, "<x%d>", i);
    EXPECT_EQ(html_parse(parser, buf_str(&html)), HTML_CUT);
}

/* Each paragraph opens all formatting elements anew; unbounded, this is a million nodes. */
TEST(formatting_elements_are_bounded)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf html = { 0 };

    for (int i = 0; i < 1500; i++)
        buf_printf(&html, "<p><b a=%d>x", i);
    EXPECT_EQ(html_parse(parser, buf_str(&html)), 0);
    EXPECT(html_parser_bytes(parser) < (64u << 20));
}

/* In quirks mode a table does not close the paragraph before it: the mode must not outlive its
 * page. */
TEST(a_page_leaves_nothing_to_the_next)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf quirky = { 0 };
    AUTO(buf_deinit) Buf strict = { 0 };

    REQUIRE(html_parse(parser, STR_C("<p><table></table>")) == 0);
    html_node_inner_html(find_tag(html_document(parser), "body"), &quirky);
    EXPECT_STR(buf_str(&quirky), STR_C("<p><table></table></p>"));
    REQUIRE(html_parse(parser, STR_C("<!doctype html><p><table></table>")) == 0);
    html_node_inner_html(find_tag(html_document(parser), "body"), &strict);
    EXPECT_STR(buf_str(&strict), STR_C("<p></p><table></table>"));
}

/* Pieces of the parser's input must not show. */
TEST(long_pages_are_whole)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf html = { 0 };
    AUTO(buf_deinit) Buf want = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };

    for (int i = 0; i < 30000; i++) {
        buf_printf(&html, "<i a='%d'>%d&amp;</i>", i, i);
        buf_printf(&want, "%d&", i);
    }
    for (int round = 0; round < 2; round++) {
        REQUIRE(html_parse(parser, buf_str(&html)) == 0);
        buf_reset(&text);
        html_node_text_raw(html_document(parser), &text);
        EXPECT_STR(buf_str(&text), buf_str(&want));
    }
}

TEST_MAIN()
