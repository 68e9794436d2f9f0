/*
 * Products from a seed.
 *
 * Product N belongs to category (N - 1) % 12, so that the products of a category are counted and
 * numbered without a list. Everything else about it comes from the bits of shop_mix(seed, N). Names
 * end in a model number that holds N, so that no two are equal; some hold what must be escaped in
 * HTML or JSON, and letters beyond ASCII.
 *
 * The filler (reviews, paragraphs) is written once, at the start, and copied into pages.
 */
#include "demo/shop_int.h"

#include "base/assert.h"
#include "base/macro.h"
#include "base/rand.h"
#include "demo/shop_words_int.h"

#include <stdio.h>

uint64_t shop_mix(uint64_t seed, uint64_t n)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + n * 0xd1342543de82ef95u + 0x632be59bd9b4e019u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* ---- filler ---------------------------------------------------------------------------------- */

static const char *pick(Rand *rand, const char *const *words, size_t n)
{
    return words[rand_below(rand, n)];
}

static void add_sentence(Buf *out, Rand *rand)
{
    buf_printf(out, "%s %s %s %s. ", pick(rand, shop_openings, SHOP_OPENINGS),
               pick(rand, shop_subjects, SHOP_SUBJECTS), pick(rand, shop_verbs, SHOP_VERBS),
               pick(rand, shop_endings, SHOP_ENDINGS));
}

static void add_paragraph(Buf *out, Rand *rand)
{
    buf_add_c(out, "<p>");
    for (int i = 0; i < 8; i++)
        add_sentence(out, rand);
    buf_add_c(out, "</p>\n");
}

static void add_review(Buf *out, Rand *rand)
{
    unsigned stars = 1 + (unsigned) rand_below(rand, 5);
    unsigned month = 1 + (unsigned) rand_below(rand, 12), day = 1 + (unsigned) rand_below(rand, 28);

    buf_printf(out,
               "<article class=\"review\">\n"
               "  <header><h4 class=\"review-title\">%s</h4>\n"
               "  <span class=\"stars\" data-stars=\"%u\" title=\"%u of 5\">",
               pick(rand, shop_titles, SHOP_TITLES), stars, stars);
    for (unsigned i = 0; i < 5; i++)
        buf_add_c(out, i < stars ? "&#9733;" : "&#9734;");
    buf_printf(out,
               "</span></header>\n"
               "  <p class=\"review-meta\">by <span class=\"author\">%s</span> on "
               "<time datetime=\"2026-%02u-%02u\">%u.%u.2026</time></p>\n  <p>",
               pick(rand, shop_authors, SHOP_AUTHORS), month, day, day, month);
    for (int i = 0; i < 7; i++)
        add_sentence(out, rand);
    buf_printf(out,
               "</p>\n  <footer>%u of %u people found this helpful. "
               "<a href=\"#report\" rel=\"nofollow\">Report</a></footer>\n</article>\n",
               (unsigned) rand_below(rand, 30), 30 + (unsigned) rand_below(rand, 30));
}

int shop_init(Shop *shop, uint64_t seed, uint64_t n_products)
{
    size_t ends[SHOP_REVIEWS + SHOP_PARAGRAPHS], from = 0;
    Rand rand;
    int r;

    *shop = (Shop){ .seed = seed, .n_products = n_products };
    rand_init(&rand, seed);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (i < SHOP_REVIEWS)
            add_review(&shop->filler, &rand);
        else
            add_paragraph(&shop->filler, &rand);
        ends[i] = shop->filler.len;
    }
    r = buf_check(&shop->filler);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        Str piece = str_from(shop->filler.data + from, ends[i] - from);

        if (i < SHOP_REVIEWS)
            shop->reviews[i] = piece;
        else
            shop->paragraphs[i - SHOP_REVIEWS] = piece;
        from = ends[i];
    }
    return 0;
}

void shop_deinit(Shop *shop)
{
    buf_deinit(&shop->filler);
}

/* ---- products -------------------------------------------------------------------------------- */

void shop_product(const Shop *shop, uint64_t id, Product *ret_product)
{
    const ShopCategory *category = &shop_categories[(id - 1) % SHOP_CATEGORIES];
    uint64_t mix = shop_mix(shop->seed, id), more = shop_mix(mix, id);
    int64_t span = category->cents_max - category->cents_min;
    Product *product = ret_product;
    int n;

    ASSERT(id >= 1 && id <= shop->n_products);
    product->id = id;
    product->category = category;
    product->mix = more;
    product->price_cents = category->cents_min + (int64_t) (mix % (uint64_t) span);
    product->old_price_cents = more % 8 == 0 ? product->price_cents * 5 / 4 : 0;
    product->rating_tenths = 10 + (unsigned) (mix >> 32) % 41;
    product->n_reviews = 20 + (unsigned) (more >> 8) % 6;
    product->locale = (ShopLocale) ((mix >> 48) % SHOP_LOCALES);
    product->is_in_stock = (more >> 16) % 10 != 0;
    n = snprintf(product->name_data, sizeof(product->name_data), "%s %s %c-%04llu",
                 shop_adjectives[(mix >> 8) % SHOP_ADJECTIVES],
                 category->nouns[(mix >> 24) % SHOP_NOUNS], (char) ('A' + (more >> 24) % 26),
                 (unsigned long long) id);
    ASSERT(n > 0 && n < SHOP_NAME_BYTES);
    product->name = str_from(product->name_data, (size_t) n);
}

uint64_t shop_category_count(const Shop *shop, size_t index)
{
    if (shop->n_products <= index)
        return 0;
    return (shop->n_products - index - 1) / SHOP_CATEGORIES + 1;
}

uint64_t shop_category_product(size_t index, uint64_t n)
{
    return 1 + index + n * SHOP_CATEGORIES;
}

size_t shop_find_category(Str slug)
{
    size_t i = 0;

    while (i < SHOP_CATEGORIES && !str_eq_c(slug, shop_categories[i].slug))
        i++;
    return i;
}

/* ---- prices ---------------------------------------------------------------------------------- */

static void add_grouped(Buf *out, int64_t cents, const char *group, char point)
{
    char digits[24], tail[3];
    size_t n = (size_t) snprintf(digits, sizeof(digits), "%lld", (long long) (cents / 100));

    for (size_t i = 0; i < n; i++) {
        buf_add_char(out, digits[i]);
        if (i + 1 < n && (n - i - 1) % 3 == 0)
            buf_add_c(out, group);
    }
    tail[0] = point;
    tail[1] = (char) ('0' + cents / 10 % 10);
    tail[2] = (char) ('0' + cents % 10);
    buf_add(out, tail, sizeof(tail));
}

void shop_add_cents(Buf *out, int64_t cents)
{
    add_grouped(out, cents, "", '.');
}

void shop_add_price_html(Buf *out, ShopLocale locale, int64_t cents)
{
    switch (locale) {
    case SHOP_EURO_POINT:
        buf_add_c(out, "\u20ac ");
        add_grouped(out, cents, ".", ',');
        break;
    case SHOP_DOLLAR:
        buf_add_c(out, "$");
        add_grouped(out, cents, ",", '.');
        break;
    case SHOP_EURO_SPACE:
        add_grouped(out, cents, "\u00a0", ',');
        buf_add_c(out, "\u00a0\u20ac");
        break;
    case SHOP_EURO_ENTITY:
        add_grouped(out, cents, ".", ',');
        buf_add_c(out, "&nbsp;&euro;");
        break;
    case SHOP_POUND:
        buf_add_c(out, "&pound;");
        add_grouped(out, cents, ",", '.');
        break;
    case SHOP_LOCALES: UNREACHABLE("not a locale");
    }
}

const char *shop_currency(ShopLocale locale)
{
    if (locale == SHOP_DOLLAR)
        return "USD";
    return locale == SHOP_POUND ? "GBP" : "EUR";
}

void shop_add_rating(Buf *out, unsigned tenths)
{
    char text[3] = { (char) ('0' + tenths / 10), '.', (char) ('0' + tenths % 10) };

    buf_add(out, text, sizeof(text));
}
