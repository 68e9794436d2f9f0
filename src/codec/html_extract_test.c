/*
 * Extraction: expressions, lists, records, what is missing, and what is refused.
 */
#include "codec/html_extract.h"

#include "base/limits.h"
#include "base/test.h"

/* Add a field from "name=EXPRESSION". */
static int add(HtmlPlan *plan, Str text)
{
    Str expression, name = str_cut(text, '=', &expression);

    return html_plan_add_field(plan, name, expression);
}

static const char shop[] =
    "<!doctype html><title>Shop</title><meta property='og:title' content='OG'>"
    "<script type='application/ld+json'>{\"@type\":\"Product\",\"name\":\"LD\","
    "\"offers\":[{\"price\":19.90},{\"price\":5}]}</script>"
    "<div class='product new' data-sku=1><h2>Red  shoe</h2><span class=price>1.234,50 \xe2\x82\xac"
    "</span><a href='/p/1?a=b#c' class=more>more</a><i class=tag>a</i><i class=tag> b </i>"
    "<ul><li><b>x</b>1<li><b>y</b>2</ul></div>"
    "<div class=product data-sku=2><h2>Hat<br>big</h2><span class=price>call us</span>"
    "<a class=more>none</a><img data-src=i.png></div>";

/* The first record's (or all records') fields as JSON. */
static void run(const HtmlPlan *plan, HtmlFieldCounts *counts, Buf *out)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(arena_deinit) Arena arena = { 0 };
    HtmlRecords records;
    WebUrl base;

    REQUIRE(web_url_parse(&arena, STR_C("http://shop.test/list"), &base) == 0);
    REQUIRE(html_parse(parser, str_from_c(shop)) == 0);
    REQUIRE(html_plan_run(plan, &arena, parser, &base, counts, &records) == 0);
    for (size_t i = 0; i < records.n * records.n_fields; i++) {
        if (i > 0)
            buf_add_c(out, i % records.n_fields ? " " : " | ");
        value_write_json(&records.values[i], out);
    }
}

/* What one expression gives on the whole page. */
static void expect(const char *field, const char *want)
{
    AUTO(html_plan_free) HtmlPlan *plan = html_plan_new();
    AUTO(buf_deinit) Buf out = { 0 };

    EXPECT_OK(add(plan, str_from_c(field)));
    if (html_plan_len(plan) == 0)
        return;
    run(plan, NULL, &out);
    EXPECT_STR(buf_str(&out), str_from_c(want));
    if (!str_eq_c(buf_str(&out), want))
        printf("    %s\n", field);
}

TEST(expressions)
{
    expect("x=h2", "\"Red shoe\"");
    expect("x=h2::text", "\"Red shoe\"");
    expect("x=h2 ::raw", "\"Red  shoe\"");
    expect("x=.product + .product h2", "\"Hat big\"");
    expect("x=.product + .product h2::lines", "\"Hat\\nbig\"");
    expect("x=h2:has(br)::html", "\"Hat<br>big\"");
    expect("x=h2:has(br)::outer-html", "\"<h2>Hat<br>big</h2>\"");
    expect("x=.price|number", "1234.50");
    expect("x=.price | number(de) | text", "\"1234.50\"");
    expect("x=.more::attr(href)|url", "\"http://shop.test/p/1?a=b#c\"");
    expect("x=img::attr(src, data-src)", "\"i.png\"");
    expect("x=.product::attr(DATA-SKU)|integer", "1");
    expect("x=.sold::exists", "false");
    expect("x=h2::exists", "true");
    expect("x=.none", "null");
    expect("x=.none|default(-)", "\"-\"");
    expect("x=[data-sku='2'] h2", "\"Hat big\"");
    expect("x=[class|='product'] h2", "\"Hat big\"");
    expect("x=.none, title", "\"Shop\"");
    expect("x=h2:lexbor-contains('|')|default(no)", "\"no\"");
}

TEST(lists)
{
    expect("x[]=.tag", "[\"a\",\"b\"]");
    expect("x [] = .tag|upper", "[\"A\",\"B\"]");
    expect("x=.tag|join(-)", "\"a-b\"");
    expect("x=.tag|upper|join(-)|lower", "\"a-b\"");
    expect("x=.tag|count", "2");
    expect("x=.none|count", "0");
    expect("x=.none|join(,)", "null");
    expect("x[]=.none", "null");
    expect("x=.tag|last", "\"b\"");
    expect("x[]=.price|number", "[1234.50]");
    expect("x[]=.product::attr(data-sku)|integer", "[1,2]");
    expect("x[]=.more::attr(href)", "[\"/p/1?a=b#c\"]");
}

TEST(structured_data)
{
    expect("x=jsonld:Product.name", "\"LD\"");
    expect("x=jsonld:Product.offers.price", "19.90");
    expect("x=jsonld:Product.offers[].price", "[19.90,5]");
    expect("x=jsonld:Product.offers[1].price|integer", "5");
    expect("x=og:title|lower", "\"og\"");
    expect("x=jsonld:Event.name|default(none)", "\"none\"");
}

TEST(records)
{
    AUTO(html_plan_free) HtmlPlan *plan = html_plan_new();
    AUTO(buf_deinit) Buf out = { 0 };
    HtmlFieldCounts counts[4] = { { 0 } };

    REQUIRE(html_plan_each(plan, STR_C(".product")) == 0);
    REQUIRE(add(plan, STR_C("sku=::attr(data-sku)|integer")) == 0);
    REQUIRE(add(plan, STR_C("price=.price|number(de)")) == 0);
    REQUIRE(add(plan, STR_C("link=> a::attr(href)")) == 0);
    REQUIRE(add(plan, STR_C("og=og:title")) == 0);
    run(plan, counts, &out);
    EXPECT_STR(buf_str(&out), STR_C("1 1234.50 \"/p/1?a=b#c\" \"OG\" | 2 null null \"OG\""));
    EXPECT_EQ(counts[0].found, 2);
    EXPECT_EQ(counts[1].found, 1);
    EXPECT_EQ(counts[1].mismatch, 1);
    EXPECT_EQ(counts[2].missing, 1);
    EXPECT_EQ(html_plan_kind(plan, 1), VALUE_REAL);
    EXPECT_STR(html_plan_name(plan, 2), STR_C("link"));
}

TEST(records_inside_records)
{
    AUTO(html_plan_free) HtmlPlan *plan = html_plan_new();
    AUTO(buf_deinit) Buf out = { 0 };
    HtmlPlan *inner = html_plan_new();

    REQUIRE(html_plan_each(inner, STR_C("li")) == 0);
    REQUIRE(add(inner, STR_C("k=b")) == 0);
    REQUIRE(add(inner, STR_C("v=::text|regex(\\d)|integer")) == 0);
    REQUIRE(html_plan_each(plan, STR_C(".product")) == 0);
    REQUIRE(html_plan_add_records(plan, STR_C("rows"), inner) == 0);
    run(plan, NULL, &out);
    EXPECT_STR(buf_str(&out), STR_C("[{\"k\":\"x\",\"v\":1},{\"k\":\"y\",\"v\":2}] | []"));
}

TEST(no_match_of_each_is_no_record)
{
    AUTO(html_plan_free) HtmlPlan *plan = html_plan_new();
    AUTO(buf_deinit) Buf out = { 0 };

    REQUIRE(html_plan_each(plan, STR_C(".none")) == 0);
    REQUIRE(add(plan, STR_C("a=b")) == 0);
    run(plan, NULL, &out);
    EXPECT_EQ(out.len, 0);
}

static void expect_refused(const char *field, const char *part)
{
    AUTO(html_plan_free) HtmlPlan *plan = html_plan_new();

    EXPECT_ERR(add(plan, str_from_c(field)), -ERR_INVALID, part);
}

TEST(what_is_refused)
{
    expect_refused("=a", "name of a field is missing");
    expect_refused("[]=a", "name of a field is missing");
    expect_refused("a=", "a selector is missing");
    expect_refused("a=div >", "at 6: the selector ends too early");
    expect_refused("a=..b", "at 2: did not expect \".\"");
    expect_refused("a=a:foo", "at 3: no such pseudo-class: \"foo\"");
    expect_refused("a=a:visited", "at 3: not supported: \"visited\"");
    expect_refused("a=a:hover", "is a state of a browser");
    expect_refused("a=:is(b, a:foo)", "no such pseudo-class: \"foo\"");
    expect_refused("a=a::foo", "at 2: no \"::foo\"");
    expect_refused("a=a::before", "no \"::before\"");
    expect_refused("a=a::attr", "needs a name");
    expect_refused("a=a::attr(", "not closed");
    expect_refused("a=a::text(x)", "takes no argument");
    expect_refused("a=a|", "a filter is missing");
    expect_refused("a=a|nubmer", "did you mean \"number\"");
    expect_refused("a=jsonld:", "a type is missing");
    expect_refused("a=jsonld:A..b", "a name is missing");
    expect_refused("a=jsonld:A[x]", "brackets");
    expect_refused("a=og:", "a name is missing");
    expect_refused("a=svg|rect::text", "no filter");
    expect_refused("a=a:not()", "parentheses");
    expect_refused("a=a{", "did not expect");
    expect_refused("a=a[", "ends too early");
}

TEST(fields_are_unique)
{
    AUTO(html_plan_free) HtmlPlan *plan = html_plan_new();

    REQUIRE(add(plan, STR_C("a=b")) == 0);
    EXPECT_ERR(add(plan, STR_C("a[]=c")), -ERR_INVALID, "two fields");
    EXPECT_ERR(html_plan_each(plan, STR_C("a:")), -ERR_INVALID, "at 3");
    EXPECT_EQ(html_plan_len(plan), 1);
}

/* A chain of siblings and ancestors that tries every combination ends at the limit. */
TEST(a_selector_that_would_take_for_ever_is_cut)
{
    AUTO(html_plan_free) HtmlPlan *plan = html_plan_new();
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf html = { 0 };
    HtmlFieldCounts counts[2] = { { 0 } };
    HtmlRecords records;

    for (int i = 0; i < 2000; i++)
        buf_add_c(&html, "<i></i>");
    REQUIRE(add(plan, STR_C("a=i ~ i ~ i ~ i ~ i ~ b ~ i")) == 0);
    REQUIRE(add(plan, STR_C("b=i")) == 0);
    REQUIRE(html_parse(parser, buf_str(&html)) == 0);
    REQUIRE(html_plan_run(plan, &arena, parser, NULL, counts, &records) == 0);
    EXPECT(records.is_cut || counts[0].missing == 1);
    EXPECT_EQ(counts[0].found, 0);
}

TEST_MAIN()
