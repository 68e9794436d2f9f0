/*
 * Structured data: what is read of a page, scripts that are nearly JSON, and paths.
 */
#include "codec/structured.h"

#include "base/limits.h"
#include "base/test.h"

static void expect_read(const char *html, const char *want, size_t n_broken)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(arena_deinit) Arena arena = { 0 };
    Structured structured;

    REQUIRE(html_parse(parser, str_from_c(html)) == 0);
    REQUIRE(structured_read(&arena, parser, &structured) == 0);
    EXPECT_STR(structured.doc.text, str_from_c(want));
    EXPECT_EQ(structured.n_broken, n_broken);
}

#define LD(text)         "<script type='application/ld+json; charset=utf-8'>" text "</script>"
#define ONLY_LD(json)    "{\"jsonld\":[" json "],\"microdata\":[],\"meta\":{}}"
#define ONLY_ITEMS(json) "{\"jsonld\":[],\"microdata\":[" json "],\"meta\":{}}"

TEST(json_ld)
{
    expect_read("", ONLY_LD(""), 0);
    expect_read(LD(" {\"a\":1.50} ") LD("[]"), ONLY_LD("{\"a\":1.50},[]"), 0);
    expect_read("<script>{}</script><script type=text/json>{}</script>", ONLY_LD(""), 0);
    expect_read(LD("{a:1}") LD(""), ONLY_LD(""), 2);
}

TEST(json_ld_that_is_nearly_json)
{
    expect_read(LD("<!-- {\"a\":1} -->"), ONLY_LD("{\"a\":1}"), 0);
    expect_read(LD("//<![CDATA[\n{\"a\":1}\n//]]>"), ONLY_LD("{\"a\":1}"), 0);
    expect_read(LD("<![CDATA[{\"a\":1}]]>"), ONLY_LD("{\"a\":1}"), 0);
    expect_read(LD("/* x */{\"a\":[1,2,],}"), ONLY_LD("{\"a\":[1,2]}"), 0);
    expect_read(LD("{\"a\":\"b\nc\\n\"}"), ONLY_LD("{\"a\":\"b\\u000ac\\n\"}"), 0);
    expect_read(LD("{\"a\":\"//x ,]\"};"), ONLY_LD("{\"a\":\"//x ,]\"}"), 0);
    expect_read(LD("{\"a\":\"<!-- x -->\"}"), ONLY_LD("{\"a\":\"<!-- x -->\"}"), 0);
}

TEST(microdata)
{
    expect_read(
        "<div itemscope itemtype='https://schema.org/Product'><h1 itemprop=name> A  b</h1>"
        "<img itemprop=image src=1.png><img itemprop=image src=2.png>"
        "<div itemprop=offers itemscope itemtype=http://schema.org/Offer>"
        "<meta itemprop=price content=5.00><link itemprop=availability href=InStock>"
        "<time itemprop=until datetime=2026-01-01>soon</time></div>"
        "<span itemprop='a b'>x</span></div>",
        ONLY_ITEMS("{\"@type\":\"Product\",\"name\":\"A b\",\"image\":[\"1.png\",\"2.png\"],"
                   "\"offers\":{\"@type\":\"Offer\",\"price\":\"5.00\","
                   "\"availability\":\"InStock\",\"until\":\"2026-01-01\"},"
                   "\"a\":\"x\",\"b\":\"x\"}"),
        0);
    expect_read("<div itemscope></div><p itemprop=lost>x</p>", ONLY_ITEMS("{}"), 0);
    expect_read("<div itemscope itemtype=urn:x><div itemscope><b itemprop=a>1</b></div></div>",
                ONLY_ITEMS("{\"@type\":\"urn:x\"},{\"a\":\"1\"}"), 0);
}

TEST(meta_elements)
{
    expect_read("<meta property=OG:Title content=a><meta property=og:title content=b>"
                "<meta name=description content='x \"y\"'><meta name=n><meta content=z>",
                "{\"jsonld\":[],\"microdata\":[],\"meta\":{\"og:title\":\"a\","
                "\"description\":\"x \\\"y\\\"\"}}",
                0);
}

static const char product[] = LD(
    "{\"@graph\":[{\"@type\":\"WebSite\",\"name\":\"site\"},"
    "{\"@type\":[\"Thing\",\"https://schema.org/Product\"],\"name\":\"P\",\"sku\":null,"
    "\"offers\":[{\"x\":1},{\"price\":19.90,\"ok\":true},{\"price\":20}],"
    "\"brand\":{\"@type\":\"Brand\",\"name\":\"B\"},\"schema:color\":\"red\",\"list\":[\"a\",\"b\"]}]}")
    LD("{\"@type\":\"Product\",\"name\":\"Q\",\"gtin\":\"1\"}") "<div itemscope itemtype=https://schema.org/Product><b itemprop=name>M</b></div>"
                                                                "<meta property=og:title content=T><meta name=description content=D>";

static void expect_found(const char *path_text, const char *want)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(structured_path_free) StructuredPath *path = NULL;
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    Structured structured;
    Value value;

    REQUIRE(html_parse(parser, str_from_c(product)) == 0);
    REQUIRE(structured_read(&arena, parser, &structured) == 0);
    REQUIRE(structured_path_new(str_from_c(path_text), &path) == 0);
    REQUIRE(structured_find(&arena, &structured, path, &value) == 0);
    value_write_json(&value, &out);
    EXPECT_STR(buf_str(&out), str_from_c(want));
    EXPECT_EQ(value.is_missing, str_eq_c(buf_str(&out), "null"));
}

TEST(paths)
{
    expect_found("jsonld:Product.name", "\"P\"");
    expect_found("jsonld:WebSite.name", "\"site\"");
    expect_found("jsonld:schema:Brand.name", "\"B\"");
    expect_found("jsonld:Product.brand.name", "\"B\"");
    expect_found("jsonld:Product.brand.@type", "\"Brand\"");
    expect_found("jsonld:Product.color", "\"red\"");
    expect_found("jsonld:Product.offers.price", "19.90");
    expect_found("jsonld:Product.offers[1].ok", "true");
    expect_found("jsonld:Product.offers[].price", "[19.90,20]");
    expect_found("jsonld:Product.offers[9].price", "null");
    expect_found("jsonld:Product.list", "[\"a\",\"b\"]");
    expect_found("jsonld:Product.list[]", "[\"a\",\"b\"]");
    expect_found("jsonld:Product.gtin", "\"1\"");
    expect_found("jsonld:Product.sku", "null");
    expect_found("jsonld:*.name", "\"site\"");
    expect_found("jsonld:Nothing.name", "null");
    expect_found("jsonld:Brand", "{\"@type\":\"Brand\",\"name\":\"B\"}");
    expect_found("microdata:Product.name", "\"M\"");
    expect_found("og:title", "\"T\"");
    expect_found("og:Title", "\"T\"");
    expect_found("og:none", "null");
    expect_found("meta:description", "\"D\"");
    expect_found("meta:og:title", "\"T\"");
}

static void expect_refused(const char *path_text, const char *part)
{
    StructuredPath *path;

    EXPECT_ERR(structured_path_new(str_from_c(path_text), &path), -ERR_INVALID, part);
}

TEST(paths_that_are_refused)
{
    expect_refused("x:y", "expected jsonld:");
    expect_refused("jsonld:", "at 8: a type is missing");
    expect_refused("jsonld:A.", "at 10: a name is missing");
    expect_refused("jsonld:A b", "at 9: expected");
    expect_refused("jsonld:A[", "at 9: expected []");
    expect_refused("jsonld:A[1x]", "expected []");
    expect_refused("jsonld:A[99999999]", "at 10");
    expect_refused("jsonld:A.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r", "more than 16 steps");
    expect_refused("og:", "a name is missing");
    EXPECT(!structured_is_path(STR_C("h1")));
    EXPECT(!structured_is_path(STR_C("a:og")));
}

TEST(sizes_and_depths_are_bounded)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf html = { 0 };
    Structured structured;

    for (int i = 0; i < 40; i++)
        buf_add_c(&html, "<div itemscope itemprop=a>");
    buf_add_c(&html, "<div itemscope>");
    for (int i = 0; i < 40; i++)
        buf_add_c(&html, "<div itemscope itemprop=a>");
    buf_add_c(&html,
              LD("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["));
    for (int i = 0; i < 3; i++) {
        buf_add_c(&html, "<script type=application/ld+json>\"");
        for (int k = 0; k < LIMIT_STRUCTURED_BYTES / 2; k++)
            buf_add_char(&html, 'a');
        buf_add_c(&html, "\"</script>");
    }
    REQUIRE(html_parse(parser, buf_str(&html)) == 0);
    REQUIRE(structured_read(&arena, parser, &structured) == 0);
    EXPECT(structured.n_cut >= 2);
    EXPECT(structured.n_broken >= 1);
}

TEST_MAIN()
