/*
 * A product's page: about 30 KB as shops make them, with everything said several times over: in
 * text, in attributes, as JSON-LD, as OpenGraph and as Microdata, all from one Product.
 *
 *   h1                 the name                        .price         as people write it
 *   [data-price]       exact: "1234.56"                .category      the category's name
 *   .rating            "4.3", data-rating="4.3"        nav.breadcrumb home, category, product
 *   .related a         eight others of its category    .review        20 to 25 of them
 *
 * Written through one reserved piece of memory: the fixed parts are literals, the filler is copied
 * from what the shop prepared.
 */
#include "demo/shop_page_int.h"

#include "base/macro.h"

#define RELATED     8
#define PAGE_BYTES  (48 << 10) /* reserved at once, so that no append grows the buffer */
#define DESCRIPTION 3          /* paragraphs */

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#222;background:#fafafa}"
    "header.site{display:flex;gap:2rem;padding:1rem 2rem;background:#234;color:#fff}"
    "header.site a{color:#fff;text-decoration:none}main{max-width:68rem;margin:0 auto;padding:1rem}"
    ".breadcrumb ol{display:flex;gap:.5rem;list-style:none;padding:0}.price{font-size:2rem}"
    ".old-price{text-decoration:line-through;color:#888}.product{display:grid;gap:1rem}"
    ".review{border-top:1px solid #ddd;padding:1rem 0}.stars{color:#c80}.related ul{display:grid;"
    "grid-template-columns:repeat(4,1fr);gap:1rem;list-style:none;padding:0}"
    "table.specs{border-collapse:collapse}table.specs th{text-align:left;padding-right:2rem}"
    "footer.site{padding:2rem;background:#eee;font-size:.9rem}";

void shop_add_head(Buf *out)
{
    ADD(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>");
    buf_add(out, style, sizeof(style) - 1);
    ADD(out, "</style>\n");
}

void shop_add_site_header(Buf *out)
{
    ADD(out, "<header class=\"site\">\n<a class=\"logo\" href=\"/\">Playground Shop</a>\n"
             "<form action=\"/search\" role=\"search\"><input name=\"q\" type=\"search\" "
             "placeholder=\"Search\"><button>Go</button></form>\n<nav class=\"main\">\n");
    for (size_t i = 0; i < SHOP_CATEGORIES; i++) {
        ADD(out, "<a href=\"/category/");
        buf_add_c(out, shop_categories[i].slug);
        ADD(out, "\">");
        demo_add_html(out, str_from_c(shop_categories[i].name));
        ADD(out, "</a>\n");
    }
    ADD(out, "</nav>\n<a href=\"/cart\" rel=\"nofollow\">Cart</a>\n</header>\n");
}

void shop_add_site_footer(Buf *out)
{
    ADD(out, "<footer class=\"site\">\n<p>Nothing here is for sale. This shop is made of random "
             "numbers, served by <code>sluice demo</code>.</p>\n<ul>\n"
             "<li><a href=\"/private/orders\">Your orders</a></li>\n"
             "<li><a href=\"/private/open.html\">Terms</a></li>\n"
             "<li><a href=\"/sitemap.xml\">Sitemap</a></li>\n"
             "<li><a href=\"mailto:nobody@example.com\">Mail</a></li>\n"
             "<li><a href=\"javascript:void(0)\">Cookies</a></li>\n</ul>\n</footer>\n"
             "</body>\n</html>\n");
}

static void add_product_url(Buf *out, uint64_t id)
{
    ADD(out, "/product/");
    buf_add_u64(out, id);
}

/* NAME as the inside of a JSON string within a script element: no quote, no tag. */
static void add_json_text(Buf *out, Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '"' || c == '\\')
            buf_add_char(out, '\\');
        if (c == '<')
            ADD(out, "\\u003c");
        else
            buf_add_char(out, c);
    }
}

static void add_json_ld(Buf *out, Str origin, const Product *product)
{
    ADD(out, "<script type=\"application/ld+json\">\n"
             "{\"@context\":\"https://schema.org\",\"@type\":\"Product\",\"name\":\"");
    add_json_text(out, product->name);
    ADD(out, "\",\"sku\":\"P");
    buf_add_u64(out, product->id);
    ADD(out, "\",\"category\":\"");
    add_json_text(out, str_from_c(product->category->name));
    ADD(out, "\",\"url\":\"");
    buf_add_str(out, origin);
    add_product_url(out, product->id);
    ADD(out, "\",\"offers\":{\"@type\":\"Offer\",\"price\":\"");
    shop_add_cents(out, product->price_cents);
    ADD(out, "\",\"priceCurrency\":\"");
    buf_add_c(out, shop_currency(product->locale));
    ADD(out, "\",\"availability\":\"https://schema.org/");
    buf_add_c(out, product->is_in_stock ? "InStock" : "OutOfStock");
    ADD(out, "\"},\"aggregateRating\":{\"@type\":\"AggregateRating\",\"ratingValue\":");
    shop_add_rating(out, product->rating_tenths);
    ADD(out, ",\"bestRating\":5,\"reviewCount\":");
    buf_add_u64(out, product->n_reviews);
    ADD(out, "}}\n</script>\n");
}

static void add_open_graph(Buf *out, Str origin, const Product *product)
{
    ADD(out, "<meta property=\"og:type\" content=\"product\">\n<meta property=\"og:title\" "
             "content=\"");
    demo_add_html(out, product->name);
    ADD(out, "\">\n<meta property=\"og:url\" content=\"");
    buf_add_str(out, origin);
    add_product_url(out, product->id);
    ADD(out, "\">\n<meta property=\"og:image\" content=\"");
    buf_add_str(out, origin);
    ADD(out, "/image/");
    buf_add_u64(out, product->id);
    ADD(out, ".png\">\n<meta property=\"product:price:amount\" content=\"");
    shop_add_cents(out, product->price_cents);
    ADD(out, "\">\n<meta property=\"product:price:currency\" content=\"");
    buf_add_c(out, shop_currency(product->locale));
    ADD(out, "\">\n");
}

static void add_page_head(Buf *out, Str origin, const Product *product)
{
    shop_add_head(out);
    ADD(out, "<title>");
    demo_add_html(out, product->name);
    ADD(out, " | Playground Shop</title>\n<meta name=\"description\" content=\"");
    demo_add_html(out, product->name);
    ADD(out, ", rated ");
    shop_add_rating(out, product->rating_tenths);
    ADD(out, " out of 5\">\n<link rel=\"canonical\" href=\"");
    buf_add_str(out, origin);
    add_product_url(out, product->id);
    ADD(out, "\">\n");
    add_open_graph(out, origin, product);
    add_json_ld(out, origin, product);
    ADD(out, "</head>\n<body>\n");
}

static void add_breadcrumb(Buf *out, const Product *product)
{
    ADD(out, "<nav class=\"breadcrumb\" aria-label=\"breadcrumb\"><ol><li><a href=\"/\">Home</a>"
             "</li><li><a href=\"/category/");
    buf_add_c(out, product->category->slug);
    ADD(out, "\">");
    demo_add_html(out, str_from_c(product->category->name));
    ADD(out, "</a></li><li aria-current=\"page\">");
    demo_add_html(out, product->name);
    ADD(out, "</li></ol></nav>\n");
}

static void add_offer(Buf *out, const Product *product)
{
    ADD(out, "<div class=\"offer\" itemprop=\"offers\" itemscope "
             "itemtype=\"https://schema.org/Offer\">\n<p class=\"price\" data-price=\"");
    shop_add_cents(out, product->price_cents);
    ADD(out, "\">");
    shop_add_price_html(out, product->locale, product->price_cents);
    ADD(out, "</p>\n<meta itemprop=\"price\" content=\"");
    shop_add_cents(out, product->price_cents);
    ADD(out, "\">\n<meta itemprop=\"priceCurrency\" content=\"");
    buf_add_c(out, shop_currency(product->locale));
    ADD(out, "\">\n");
    if (product->old_price_cents > 0) {
        ADD(out, "<p class=\"old-price\"><del>");
        shop_add_price_html(out, product->locale, product->old_price_cents);
        ADD(out, "</del></p>\n");
    }
    ADD(out, "<link itemprop=\"availability\" href=\"https://schema.org/");
    buf_add_c(out, product->is_in_stock ? "InStock\">\n<p class=\"stock\">In stock</p>"
                                        : "OutOfStock\">\n<p class=\"stock\">Sold out</p>");
    ADD(out,
        "\n<form action=\"/cart\" method=\"post\"><input type=\"hidden\" name=\"id\" value=\"");
    buf_add_u64(out, product->id);
    ADD(out, "\"><button>Add to cart</button></form>\n</div>\n");
}

static void add_facts(Buf *out, const Product *product)
{
    ADD(out, "<p>In <a class=\"category\" itemprop=\"category\" href=\"/category/");
    buf_add_c(out, product->category->slug);
    ADD(out, "\">");
    demo_add_html(out, str_from_c(product->category->name));
    ADD(out, "</a></p>\n<p class=\"score\" itemprop=\"aggregateRating\" itemscope "
             "itemtype=\"https://schema.org/AggregateRating\"><span class=\"rating\" "
             "itemprop=\"ratingValue\" data-rating=\"");
    shop_add_rating(out, product->rating_tenths);
    ADD(out, "\">");
    shop_add_rating(out, product->rating_tenths);
    ADD(out, "</span> out of 5 (<span itemprop=\"reviewCount\">");
    buf_add_u64(out, product->n_reviews);
    ADD(out, "</span> reviews)</p>\n");
}

static void add_specs(Buf *out, const Product *product)
{
    static const struct {
        const char *name;
        const char *unit;
        unsigned from, span;
    } rows[] = {
        { "Width", "cm", 5, 180 },          { "Height", "cm", 5, 180 },
        { "Depth", "cm", 2, 80 },           { "Weight", "g", 80, 24000 },
        { "Guarantee", "months", 6, 60 },   { "Parts", "pieces", 1, 40 },
        { "Energy", "kWh", 0, 300 },        { "Noise", "dB", 18, 60 },
        { "Packed", "cm\u00b3", 90, 9000 }, { "Made in", "(year)", 2018, 8 },
    };

    ADD(out,
        "<section class=\"specs\">\n<h2>Specifications</h2>\n<table class=\"specs\">\n<tbody>\n"
        "<tr><th scope=\"row\">Article number</th><td itemprop=\"sku\">P");
    buf_add_u64(out, product->id);
    ADD(out, "</td></tr>\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ADD(out, "<tr><th scope=\"row\">");
        buf_add_c(out, rows[i].name);
        ADD(out, "</th><td>");
        buf_add_u64(out, rows[i].from + (product->mix >> i * 5 & 0xffff) % rows[i].span);
        ADD(out, " ");
        buf_add_c(out, rows[i].unit);
        ADD(out, "</td></tr>\n");
    }
    ADD(out, "</tbody>\n</table>\n</section>\n");
}

static void add_related(Buf *out, const Shop *shop, const Product *product)
{
    size_t index = (size_t) (product->category - shop_categories);
    uint64_t n = shop_category_count(shop, index), at = (product->id - 1) / SHOP_CATEGORIES;

    ADD(out, "<section class=\"related\">\n<h2>Related products</h2>\n<ul>\n");
    for (uint64_t i = 1; i <= RELATED && i < n; i++) {
        uint64_t id = shop_category_product(index, (at + i) % n);
        Product other;

        shop_product(shop, id, &other);
        ADD(out, "<li class=\"card\"><a href=\"");
        add_product_url(out, id);
        ADD(out, "\"><img src=\"/image/");
        buf_add_u64(out, id);
        ADD(out, ".png\" alt=\"\" width=\"160\" height=\"160\" loading=\"lazy\">"
                 "<span class=\"card-name\">");
        demo_add_html(out, other.name);
        ADD(out, "</span></a> <span class=\"card-price\">");
        shop_add_price_html(out, other.locale, other.price_cents);
        ADD(out, "</span></li>\n");
    }
    ADD(out, "</ul>\n</section>\n");
}

void shop_add_product_page(Buf *out, const Shop *shop, Str origin, const Product *product)
{
    (void) buf_reserve(out, PAGE_BYTES);
    add_page_head(out, origin, product);
    shop_add_site_header(out);
    ADD(out, "<main>\n");
    add_breadcrumb(out, product);
    ADD(out, "<div class=\"product\" itemscope itemtype=\"https://schema.org/Product\" "
             "data-id=\"");
    buf_add_u64(out, product->id);
    ADD(out, "\">\n<h1 itemprop=\"name\">");
    demo_add_html(out, product->name);
    ADD(out, "</h1>\n");
    add_offer(out, product);
    add_facts(out, product);
    ADD(out, "<section class=\"description\" itemprop=\"description\">\n<h2>Description</h2>\n");
    for (uint64_t i = 0; i < DESCRIPTION; i++)
        buf_add_str(out, shop->paragraphs[(product->mix + i * 7) % SHOP_PARAGRAPHS]);
    ADD(out, "</section>\n</div>\n");
    add_specs(out, product);
    add_related(out, shop, product);
    ADD(out, "<section class=\"reviews\">\n<h2>Reviews</h2>\n");
    for (uint64_t i = 0; i < product->n_reviews; i++)
        buf_add_str(out, shop->reviews[((product->mix >> 20) + i * 11) % SHOP_REVIEWS]);
    ADD(out, "</section>\n</main>\n");
    shop_add_site_footer(out);
}
