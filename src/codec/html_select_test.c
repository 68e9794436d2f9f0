/*
 * CSS selectors: each kind on one page, and ours against lexbor's own matching on random pages.
 */
#include "codec/html_select.h"

#include "base/rand.h"
#include "base/test.h"
#include "codec/html_int.h"

#include <lexbor/css/css.h>
#include <lexbor/selectors/selectors.h>

#define STEPS 10000000

static const char page[] =
    "<!doctype html><html><body>"
    "<div id=d1 class='a b' lang=en-us><p id=p1>x</p><p id=p2 class=c>y</p><!-- c --><i id=i1></i></div>"
    "<div id=d2><p id=p3 title='Hello World'>z <b id=b1>Bold</b></p>t<em id=e1> </em></div>"
    "<form id=f1><input id=in1 type=CheckBox checked required><input id=in2 disabled>"
    "<fieldset id=fs1 disabled><legend id=lg1><input id=in3></legend><input id=in4 readonly></fieldset>"
    "<select id=s1><option id=o1 selected><option id=o2></select></form>"
    "<a id=a1 href=/x/y.pdf>l</a><a id=a2>n</a>";

/* The ids of all matches, in order. */
static void find_all(const char *selector_text, HtmlNode *scope, Buf *out)
{
    AUTO(html_selector_free) HtmlSelector *selector = NULL;
    HtmlSearch search = { .steps_left = STEPS };
    HtmlNode *node = NULL;
    Str id;

    if (html_selector_new(str_from_c(selector_text), &selector) < 0) {
        buf_add_c(out, "error");
        return;
    }
    while ((node = html_selector_next(selector, &search, scope, node))) {
        if (out->len > 0)
            buf_add_char(out, ' ');
        buf_add_str(out, html_node_attr(node, STR_C("id"), &id) ? id : html_node_name(node));
    }
    if (search.is_cut)
        buf_add_c(out, " cut");
}

static void expect(const char *selector, const char *want)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(buf_deinit) Buf out = { 0 };

    REQUIRE(html_parse(parser, str_from_c(page)) == 0);
    find_all(selector, html_document(parser), &out);
    EXPECT_STR(buf_str(&out), str_from_c(want));
    if (!str_eq_c(buf_str(&out), want))
        printf("    %s\n", selector);
}

TEST(simples)
{
    expect("p", "p1 p2 p3");
    expect("P", "p1 p2 p3");
    expect("#p2", "p2");
    expect(".a.b", "d1");
    expect("div.c", "");
    expect("*|em", "e1");
    expect("[title]", "p3");
    expect("[title='Hello World']", "p3");
    expect("[title=hello]", "");
    expect("[title='hello world' i]", "p3");
    expect("[title~=World]", "p3");
    expect("[lang|=en]", "d1");
    expect("[href^='/x'][href$='.pdf'][href*=y]", "a1");
    expect("[href^='']", "");
}

TEST(combinators)
{
    expect("div p", "p1 p2 p3");
    expect("body > p", "");
    expect("div > p > b", "b1");
    expect("p + p", "p2");
    expect("p ~ i", "i1");
    expect("p + i", "i1");
    expect("div + div > p b", "b1");
    expect("p, b, p", "p1 p2 p3 b1");
    expect(":scope > html", "html");
    expect("> html > body > div", "d1 d2");
}

TEST(pseudo_classes)
{
    expect("p:first-child", "p1 p3");
    expect("div > :last-child", "i1 e1");
    expect("p:nth-child(2n+1)", "p1 p3");
    expect("p:nth-child(even)", "p2");
    expect("p:nth-last-child(2)", "p2 p3");
    expect("p:nth-of-type(1)", "p1 p3");
    expect("p:nth-last-of-type(1)", "p2 p3");
    expect("div :nth-child(1 of .c)", "p2");
    expect(":nth-child(-n+1 of p)", "p1 p3");
    expect("b:only-child", "b1");
    expect("p:only-of-type", "p3");
    expect("i:empty", "i1");
    expect("em:empty", "");
    expect("em:blank", "e1");
    expect(":root", "html");
    expect("div:not(.a)", "d2");
    expect("p:is(.c, #p3)", "p2 p3");
    expect("p:where(.c)", "p2");
    expect("div:has(b)", "d2");
    expect("div:has(> b)", "");
    expect("div:has(> p > b)", "d2");
    expect("p:has(+ i)", "p2");
    expect("p:has(~ i)", "p1 p2");
    expect("div:has(+ div b)", "d1");
    expect("div:has(+ div)", "d1");
    expect("p:lexbor-contains('Bold')", "p3");
    expect("p:lexbor-contains('bold' i)", "p3");
    expect("a:link", "a1");
    expect(":checked", "in1 o1");
    expect(":required", "in1");
    expect("input:disabled", "in2 in4");
    expect("input:enabled", "in1 in3");
    expect("input:read-write", "in3");
}

TEST(scopes)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(html_selector_free) HtmlSelector *selector = NULL;
    AUTO(buf_deinit) Buf out = { 0 };
    HtmlSearch search = { .steps_left = STEPS };
    HtmlNode *scope;

    REQUIRE(html_parse(parser, str_from_c(page)) == 0);
    REQUIRE(html_selector_new(STR_C("#d1"), &selector) == 0);
    scope = html_selector_next(selector, &search, html_document(parser), NULL);
    REQUIRE(scope != NULL);
    find_all("p", scope, &out);
    EXPECT_STR(buf_str(&out), STR_C("p1 p2"));
    buf_reset(&out);
    find_all("body p", scope, &out);
    EXPECT_STR(buf_str(&out), STR_C("p1 p2"));
    buf_reset(&out);
    find_all("> i", scope, &out);
    EXPECT_STR(buf_str(&out), STR_C("i1"));
    buf_reset(&out);
    find_all("+ div p", scope, &out);
    EXPECT_STR(buf_str(&out), STR_C("p3"));
    buf_reset(&out);
    find_all("~ a", scope, &out);
    EXPECT_STR(buf_str(&out), STR_C("a1 a2"));
}

TEST(steps_end_a_search)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(html_selector_free) HtmlSelector *selector = NULL;
    HtmlSearch search = { .steps_left = 5 };

    REQUIRE(html_parse(parser, str_from_c(page)) == 0);
    REQUIRE(html_selector_new(STR_C("div p b"), &selector) == 0);
    EXPECT(html_selector_next(selector, &search, html_document(parser), NULL) == NULL);
    EXPECT(search.is_cut);
}

/* A long list is counted along, not anew for each element. */
TEST(counting_a_long_list_is_linear)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(html_selector_free) HtmlSelector *selector = NULL;
    AUTO(buf_deinit) Buf html = { 0 };
    HtmlSearch search = { .steps_left = 200000 };
    HtmlNode *node = NULL;
    size_t n = 0;

    for (int i = 0; i < 20000; i++)
        buf_add_c(&html, "<i></i>");
    REQUIRE(html_parse(parser, buf_str(&html)) == 0);
    REQUIRE(html_selector_new(STR_C("i:nth-child(odd)"), &selector) == 0);
    while ((node = html_selector_next(selector, &search, html_document(parser), node)))
        n++;
    EXPECT_EQ(n, 10000);
    EXPECT(!search.is_cut);
}

/* ---- against lexbor -------------------------------------------------------------------------- */

static lxb_status_t on_match(lxb_dom_node_t *node, lxb_css_selector_specificity_t specificity,
                             void *ctx)
{
    (void) specificity;
    buf_printf(ctx, "%p ", (void *) node);
    return LXB_STATUS_OK;
}

/* The matches that lexbor finds; false: it does not read the selector. */
static bool find_theirs(Str text, HtmlNode *scope, Buf *out)
{
    lxb_css_parser_t *parser = lxb_css_parser_create();
    lxb_selectors_t *selectors = lxb_selectors_create();
    lxb_css_selector_list_t *list;

    (void) lxb_css_parser_init(parser, NULL);
    (void) lxb_selectors_init(selectors);
    lxb_selectors_opt_set(selectors, LXB_SELECTORS_OPT_MATCH_FIRST);
    list = lxb_css_selectors_parse(parser, (const lxb_char_t *) text.data, text.len);
    if (list) {
        (void) lxb_selectors_find(selectors, html_to_dom(scope), list, on_match, out);
        lxb_css_selector_list_destroy_memory(list);
    }
    (void) lxb_selectors_destroy(selectors, true);
    (void) lxb_css_parser_destroy(parser, true);
    return list != NULL;
}

static void random_page(Rand *rand, Buf *out)
{
    static const char *const pieces[] = { "<p>",
                                          "</p>",
                                          "<div>",
                                          "</div>",
                                          "<i class=x>",
                                          "</i>",
                                          "<b id=k class='x y'>",
                                          "</b>",
                                          "t",
                                          "<a href=1 title=Ab>",
                                          "</a>",
                                          "<ul><li>1<li>2</ul>",
                                          "<!-- -->" };

    /* Without a doctype: lexbor counts it among the siblings of the root element. */
    for (uint64_t n = 3 + rand_below(rand, 40); n > 0; n--)
        buf_add_c(out, pieces[rand_below(rand, ARRAY_LEN(pieces))]);
}

static void random_selector(Rand *rand, Buf *out)
{
    static const char *const simples[] = {
        "p",
        "div",
        "i",
        "b",
        "*",
        "li",
        "a",
        ".x",
        ".x.y",
        "#k",
        "[href]",
        "[title^=A]",
        "[title='ab' i]",
        ":first-child",
        ":last-child",
        ":nth-child(2)",
        ":nth-child(2n+1)",
        ":nth-of-type(odd)",
        ":only-child",
        ":empty",
        "li:nth-last-child(1)",
        ":first-of-type",
        /* lexbor loses matches when one of these stands left of a combinator */
        ":not(p)",
        ":not(.x, i)",
        ":is(p, b)",
        ":not(:empty)",
        ":has(> b)",
    };
    static const char *const combinators[] = { " ", " > ", " + ", " ~ " };

    for (uint64_t n = 1 + rand_below(rand, 3); n > 0; n--) {
        buf_add_c(out, simples[rand_below(rand, ARRAY_LEN(simples) - (n > 1 ? 5 : 0))]);
        if (n > 1)
            buf_add_c(out, combinators[rand_below(rand, ARRAY_LEN(combinators))]);
    }
}

TEST(agrees_with_lexbor)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    size_t n_compared = 0;
    Rand rand;

    rand_init(&rand, 3);
    for (int i = 0; i < 3000; i++) {
        AUTO(html_selector_free) HtmlSelector *selector = NULL;
        AUTO(buf_deinit) Buf html = { 0 };
        AUTO(buf_deinit) Buf text = { 0 };
        AUTO(buf_deinit) Buf ours = { 0 };
        AUTO(buf_deinit) Buf theirs = { 0 };
        HtmlSearch search = { .steps_left = STEPS };
        HtmlNode *node = NULL;

        random_page(&rand, &html);
        random_selector(&rand, &text);
        REQUIRE(html_parse(parser, buf_str(&html)) == 0);
        if (!find_theirs(buf_str(&text), html_document(parser), &theirs))
            continue;
        REQUIRE(html_selector_new(buf_str(&text), &selector) == 0);
        while ((node = html_selector_next(selector, &search, html_document(parser), node)))
            buf_printf(&ours, "%p ", (void *) node);
        n_compared++;
        EXPECT_STR(buf_str(&ours), buf_str(&theirs));
        if (!str_eq(buf_str(&ours), buf_str(&theirs)))
            printf("    %.*s\n    %.*s\n", (int) text.len, text.data, (int) html.len, html.data);
    }
    EXPECT(n_compared > 2000);
}

TEST_MAIN()
