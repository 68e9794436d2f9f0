/*
 * Files about the site: the sitemaps, and the list of what a whole crawl must find.
 *
 *   /sitemap.xml              an index of the parts
 *   /sitemap-products-N.xml   1000 products each; the odd ones are gzipped: .xml.gz
 *   /sitemap-categories.xml
 *   /expected.json            the known rows
 */
#include "demo/demo_int.h"

#include "base/macro.h"
#include "demo/pack_int.h"

#define PART_PRODUCTS 1000 /* in one part of the sitemap */

static const char xml_head[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

static void is_xml(DemoCall *call)
{
    call->response->content_type = str_from_c("application/xml");
    buf_add(call->out, xml_head, sizeof(xml_head) - 1);
}

/* ---- sitemaps -------------------------------------------------------------------------------- */

static uint64_t count_parts(const Shop *shop)
{
    return (shop->n_products + PART_PRODUCTS - 1) / PART_PRODUCTS;
}

static bool is_packed(uint64_t part)
{
    return pack_is_available() && part % 2 == 1;
}

static int answer_sitemap_index(DemoCall *call)
{
    Buf *out = call->out;

    is_xml(call);
    ADD(out, "<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n"
             "<sitemap><loc>");
    buf_add_str(out, call->origin);
    ADD(out, "/sitemap-categories.xml</loc></sitemap>\n");
    for (uint64_t part = 1; part <= count_parts(&call->demo->shop); part++) {
        ADD(out, "<sitemap><loc>");
        buf_add_str(out, call->origin);
        ADD(out, "/sitemap-products-");
        buf_add_u64(out, part);
        buf_add_c(out, is_packed(part) ? ".xml.gz" : ".xml");
        ADD(out, "</loc><lastmod>2026-11-20</lastmod></sitemap>\n");
    }
    ADD(out, "</sitemapindex>\n");
    return 0;
}

static void urlset_begin(Buf *out)
{
    ADD(out, "<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n");
}

static int answer_sitemap_categories(DemoCall *call)
{
    Buf *out = call->out;

    is_xml(call);
    urlset_begin(out);
    for (size_t i = 0; i < SHOP_CATEGORIES; i++) {
        ADD(out, "<url><loc>");
        buf_add_str(out, call->origin);
        ADD(out, "/category/");
        buf_add_c(out, shop_categories[i].slug);
        ADD(out, "</loc></url>\n");
    }
    ADD(out, "</urlset>\n");
    return 0;
}

static void add_part(const DemoCall *call, Buf *out, uint64_t part)
{
    const Shop *shop = &call->demo->shop;
    uint64_t first = (part - 1) * PART_PRODUCTS + 1;

    buf_add(out, xml_head, sizeof(xml_head) - 1);
    urlset_begin(out);
    for (uint64_t id = first; id < first + PART_PRODUCTS && id <= shop->n_products; id++) {
        ADD(out, "<url><loc>");
        buf_add_str(out, call->origin);
        ADD(out, "/product/");
        buf_add_u64(out, id);
        ADD(out, "</loc><changefreq>daily</changefreq></url>\n");
    }
    ADD(out, "</urlset>\n");
}

static int answer_sitemap_part(DemoCall *call)
{
    AUTO(buf_deinit) Buf text = { 0 };
    Str name = call->rest;
    uint64_t part = 0;
    bool is_gzip = str_ends(name, str_from_c(".xml.gz"));

    if (is_gzip)
        name.len -= 3;
    if (!str_ends(name, str_from_c(".xml")) ||
        str_to_u64(str_sub(name, 0, name.len - 4), count_parts(&call->demo->shop), &part) < 0 ||
        part == 0 || is_gzip != is_packed(part))
        return demo_plain(call, 404, "There is no such part of the sitemap.");
    if (!is_gzip) {
        call->response->content_type = str_from_c("application/xml");
        add_part(call, call->out, part);
        return 0;
    }
    call->response->content_type = str_from_c("application/gzip"); /* a file, not a coding */
    add_part(call, &text, part);
    return pack(PACK_GZIP, buf_str(&text), call->out);
}

/* ---- the known rows -------------------------------------------------------------------------- */

void demo_write_expected(const Demo *demo, Str origin, Buf *out)
{
    ADD(out, "[\n");
    for (uint64_t id = 1; id <= demo->shop.n_products; id++) {
        JsonWriter json = JSON_WRITER(out);
        Product product;

        shop_product(&demo->shop, id, &product);
        json_write_object(&json);
        json_write_member_u64(&json, "id", id);
        json_write_member_str(&json, "name", product.name);
        ADD(out, ",\"price\":\"");
        shop_add_cents(out, product.price_cents);
        ADD(out, "\"");
        json_write_member_c(&json, "currency", shop_currency(product.locale));
        json_write_member_c(&json, "category", product.category->name);
        ADD(out, ",\"rating\":\"");
        shop_add_rating(out, product.rating_tenths);
        ADD(out, "\",\"url\":\"");
        buf_add_str(out, origin);
        ADD(out, "/product/");
        buf_add_u64(out, id);
        ADD(out, "\"");
        json_write_object_end(&json);
        buf_add_c(out, id < demo->shop.n_products ? ",\n" : "\n");
    }
    ADD(out, "]\n");
}

static int answer_expected(DemoCall *call)
{
    demo_is_json(call);
    demo_write_expected(call->demo, call->origin, call->out);
    return 0;
}

static const DemoPage pages[] = {
    { .path = "/sitemap.xml",
      .kind = DEMO_PLAIN,
      .answer = answer_sitemap_index,
      .summary = "an index of sitemaps" },
    { .path = "/sitemap-categories.xml",
      .kind = DEMO_PLAIN,
      .answer = answer_sitemap_categories,
      .summary = "the categories" },
    { .path = "/sitemap-products-*",
      .example = "2.xml",
      .kind = DEMO_PLAIN,
      .answer = answer_sitemap_part,
      .summary = "1000 products; the odd parts are gzipped files" },
    { .path = "/expected.json",
      .kind = DEMO_PLAIN,
      .answer = answer_expected,
      .summary = "the rows that a crawl of the whole shop must give" },
};

const DemoPages demo_site_pages = DEMO_PAGES("Files about the site", pages);
