/*
 * The shop's routes: the home page, categories page by page, products, and the corners that
 * robots.txt forbids.
 */
#include "demo/shop_page_int.h"

#include "base/macro.h"
#include "base/rand.h"

#define OFFERS 24 /* products on the home page */

/* ---- a card in a list ------------------------------------------------------------------------ */

static void add_card(Buf *out, const Shop *shop, uint64_t id)
{
    Product product;

    shop_product(shop, id, &product);
    ADD(out, "<article class=\"product\" data-id=\"");
    buf_add_u64(out, id);
    ADD(out, "\">\n  <h2><a class=\"name\" href=\"/product/");
    buf_add_u64(out, id);
    ADD(out, "\">");
    demo_add_html(out, product.name);
    ADD(out, "</a></h2>\n  <p class=\"price\" data-price=\"");
    shop_add_cents(out, product.price_cents);
    ADD(out, "\">");
    shop_add_price_html(out, product.locale, product.price_cents);
    ADD(out, "</p>\n  <p class=\"score\"><span class=\"rating\" data-rating=\"");
    shop_add_rating(out, product.rating_tenths);
    ADD(out, "\">");
    shop_add_rating(out, product.rating_tenths);
    ADD(out, "</span> out of 5</p>\n</article>\n");
}

/* ---- the home page --------------------------------------------------------------------------- */

static int answer_home(DemoCall *call)
{
    const Shop *shop = &call->demo->shop;
    Buf *out = call->out;

    demo_is_html(call);
    shop_add_head(out);
    ADD(out, "<title>Playground Shop</title>\n<link rel=\"canonical\" href=\"");
    buf_add_str(out, call->origin);
    ADD(out, "/\">\n</head>\n<body>\n");
    shop_add_site_header(out);
    ADD(out, "<main>\n<h1>Playground Shop</h1>\n<p class=\"count\">");
    buf_add_u64(out, shop->n_products);
    ADD(out, " products</p>\n<section class=\"categories\">\n<ul>\n");
    for (size_t i = 0; i < SHOP_CATEGORIES; i++) {
        ADD(out, "<li><a href=\"/category/");
        buf_add_c(out, shop_categories[i].slug);
        ADD(out, "\">");
        demo_add_html(out, str_from_c(shop_categories[i].name));
        ADD(out, "</a> (");
        buf_add_u64(out, shop_category_count(shop, i));
        ADD(out, ")</li>\n");
    }
    ADD(out, "</ul>\n</section>\n<section class=\"offers\">\n");
    for (uint64_t i = 0; i < MIN(shop->n_products, (uint64_t) OFFERS); i++)
        add_card(out, shop, 1 + shop_mix(shop->seed, i) % shop->n_products);
    ADD(out, "</section>\n<p>Not for robots: <a href=\"/search?q=lamp\">lamps, searched</a>, "
             "<a href=\"/product/1?session=f00\">a page for this session</a>, "
             "<a href=\"/price-list.pdf\">a price list</a>.</p>\n"
             "<p>Elsewhere on this site, and no part of the shop: <code>/api/weather</code>, "
             "<code>/sensors/</code>, <code>/bad/</code>.</p>\n</main>\n");
    shop_add_site_footer(out);
    return 0;
}

/* ---- categories ------------------------------------------------------------------------------ */

static void add_page_url(Buf *out, const ShopCategory *category, uint64_t page)
{
    ADD(out, "/category/");
    buf_add_c(out, category->slug);
    if (page > 1) {
        ADD(out, "?page=");
        buf_add_u64(out, page);
    }
}

static void add_step(Buf *out, const ShopCategory *category, uint64_t page, const char *rel)
{
    buf_printf(out, "<link rel=\"%s\" href=\"", rel);
    add_page_url(out, category, page);
    ADD(out, "\">\n");
}

static void add_pager(Buf *out, const ShopCategory *category, uint64_t page, uint64_t n_pages)
{
    ADD(out, "<nav class=\"pager\">\n");
    if (page > 1) {
        ADD(out, "<a class=\"previous\" rel=\"prev\" href=\"");
        add_page_url(out, category, page - 1);
        ADD(out, "\">Previous</a>\n");
    }
    buf_printf(out, "<span>Page %llu of %llu</span>\n", (unsigned long long) page,
               (unsigned long long) n_pages);
    if (page < n_pages) {
        ADD(out, "<a class=\"next\" rel=\"next\" href=\"");
        add_page_url(out, category, page + 1);
        ADD(out, "\">Next</a>\n");
    }
    ADD(out, "</nav>\n");
}

static int answer_category(DemoCall *call)
{
    const Shop *shop = &call->demo->shop;
    Buf *out = call->out;
    size_t index = shop_find_category(call->rest);
    uint64_t page = (uint64_t) demo_query_i64(call, "page", 1, 0, INT32_MAX);
    uint64_t count, n_pages, first;
    const ShopCategory *category;

    if (index == SHOP_CATEGORIES)
        return demo_plain(call, 404, "There is no such category.");
    category = &shop_categories[index];
    count = shop_category_count(shop, index);
    n_pages = MAX((count + SHOP_PAGE_SIZE - 1) / SHOP_PAGE_SIZE, UINT64_C(1));
    if (page < 1 || page > n_pages)
        return demo_plain(call, 404, "The category has no such page.");

    demo_is_html(call);
    shop_add_head(out);
    ADD(out, "<title>");
    demo_add_html(out, str_from_c(category->name));
    ADD(out, " | Playground Shop</title>\n<link rel=\"canonical\" href=\"");
    buf_add_str(out, call->origin);
    add_page_url(out, category, page);
    ADD(out, "\">\n");
    if (page > 1)
        add_step(out, category, page - 1, "prev");
    if (page < n_pages)
        add_step(out, category, page + 1, "next");
    ADD(out, "</head>\n<body>\n");
    shop_add_site_header(out);
    ADD(out, "<main>\n<h1>");
    demo_add_html(out, str_from_c(category->name));
    ADD(out, "</h1>\n<section class=\"products\">\n");
    first = (page - 1) * SHOP_PAGE_SIZE;
    for (uint64_t i = first; i < MIN(first + SHOP_PAGE_SIZE, count); i++)
        add_card(out, shop, shop_category_product(index, i));
    ADD(out, "</section>\n");
    add_pager(out, category, page, n_pages);
    ADD(out, "</main>\n");
    shop_add_site_footer(out);
    return 0;
}

/* ---- products -------------------------------------------------------------------------------- */

static int answer_product(DemoCall *call)
{
    const Shop *shop = &call->demo->shop;
    Product product;
    uint64_t id = 0;

    if (call->rest.len == 0 || call->rest.data[0] == '0' ||
        str_to_u64(call->rest, shop->n_products, &id) < 0)
        return demo_plain(call, 404, "There is no such product.");
    demo_stats_product(&call->demo->stats, id);
    shop_product(shop, id, &product);
    demo_is_html(call);
    shop_add_product_page(call->out, shop, call->origin, &product);
    return 0;
}

/* A small chequered square. */
static int answer_image(DemoCall *call)
{
    static const unsigned char png[] = {
        0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44,
        0x52, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x08, 0x01, 0x00, 0x00, 0x00, 0x00, 0xec,
        0x74, 0x83, 0x26, 0x00, 0x00, 0x00, 0x0e, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x08,
        0x65, 0x58, 0xc5, 0x80, 0x84, 0x01, 0x1e, 0x9c, 0x03, 0xfd, 0x70, 0x15, 0xc9, 0x90, 0x00,
        0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
    };

    call->response->content_type = str_from_c("image/png");
    buf_add(call->out, png, sizeof(png));
    return 0;
}

/* ---- what robots.txt forbids ----------------------------------------------------------------- */

static int answer_private(DemoCall *call)
{
    demo_html_begin(call, "Private");
    ADD(call->out, "<p>robots.txt disallows this page. A polite crawler never sees it.</p>\n"
                   "<p><a href=\"/private/deeper\">deeper</a></p>\n");
    demo_html_end(call);
    return 0;
}

static int answer_open(DemoCall *call)
{
    demo_html_begin(call, "Terms");
    ADD(call->out, "<p>robots.txt allows this page, though its folder is disallowed.</p>\n"
                   "<p><a href=\"/\">Home</a></p>\n");
    demo_html_end(call);
    return 0;
}

static int answer_cart(DemoCall *call)
{
    demo_html_begin(call, "Your cart");
    ADD(call->out, "<p>Your cart is empty. robots.txt disallows this page.</p>\n");
    demo_html_end(call);
    return 0;
}

static const DemoPage pages[] = {
    { .path = "/", .kind = DEMO_PAGE, .answer = answer_home, .summary = "the home page" },
    { .path = "/category/*",
      .example = "lamps?page=2",
      .kind = DEMO_SHOP,
      .answer = answer_category,
      .summary = "a category, 48 products a page, rel=next" },
    { .path = "/product/*",
      .example = "1",
      .kind = DEMO_SHOP,
      .answer = answer_product,
      .summary = "a product, about 30 KB" },
    { .path = "/image/*",
      .example = "1.png",
      .kind = DEMO_PAGE,
      .answer = answer_image,
      .summary = "a small picture" },
    { .path = "/private/open.html",
      .kind = DEMO_PAGE,
      .answer = answer_open,
      .summary = "allowed by robots.txt within a disallowed folder" },
    { .path = "/private/*",
      .example = "orders",
      .kind = DEMO_PAGE,
      .answer = answer_private,
      .summary = "disallowed by robots.txt" },
    { .path = "/cart",
      .kind = DEMO_PAGE,
      .answer = answer_cart,
      .summary = "disallowed by robots.txt" },
    { .path = "/search",
      .example = "?q=lamp",
      .kind = DEMO_PAGE,
      .answer = answer_private,
      .summary = "disallowed by robots.txt" },
    { .path = "/price-list.pdf",
      .kind = DEMO_PAGE,
      .answer = answer_private,
      .summary = "disallowed by robots.txt" },
};

const DemoPages demo_shop_pages = DEMO_PAGES("The shop", pages);
