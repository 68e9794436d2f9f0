/*
 * The shop's arithmetic: the same seed gives the same goods, every product belongs to one category,
 * and prices are written as their countries write them.
 */
#include "demo/shop_int.h"

#include "base/test.h"

#include <stdlib.h>

/* Catches goods that depend on anything but seed and number. */
TEST(same_seed_same_goods)
{
    Shop a, b, c;
    size_t n_different = 0;

    EXPECT_OK(shop_init(&a, 7, 500));
    EXPECT_OK(shop_init(&b, 7, 100000)); /* more products change none of the first */
    EXPECT_OK(shop_init(&c, 8, 500));
    EXPECT_STR(buf_str(&a.filler), buf_str(&b.filler));
    for (uint64_t id = 1; id <= 500; id++) {
        Product one, two, other;

        shop_product(&a, id, &one);
        shop_product(&b, id, &two);
        shop_product(&c, id, &other);
        EXPECT_STR(one.name, two.name);
        EXPECT_EQ(one.price_cents, two.price_cents);
        EXPECT_EQ(one.rating_tenths, two.rating_tenths);
        EXPECT_EQ(one.locale, two.locale);
        EXPECT(one.category == two.category);
        n_different += one.price_cents != other.price_cents;
    }
    EXPECT(n_different > 480);
    shop_deinit(&a);
    shop_deinit(&b);
    shop_deinit(&c);
}

/* Catches a product that no category lists, or two do. */
TEST(categories_cover_all)
{
    static const uint64_t sizes[] = { 1, 5, 11, 12, 13, 24, 25, 2000 };

    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        Shop shop;
        uint64_t total = 0;

        EXPECT_OK(shop_init(&shop, 1, sizes[s]));
        for (size_t i = 0; i < SHOP_CATEGORIES; i++) {
            uint64_t n = shop_category_count(&shop, i);

            total += n;
            for (uint64_t k = 0; k < n; k++) {
                Product product;

                EXPECT(shop_category_product(i, k) <= sizes[s]);
                shop_product(&shop, shop_category_product(i, k), &product);
                EXPECT(product.category == &shop_categories[i]);
            }
        }
        EXPECT_EQ(total, sizes[s]);
        shop_deinit(&shop);
    }
    EXPECT_EQ(shop_find_category(STR_C("garden")), 3);
    EXPECT_EQ(shop_find_category(STR_C("gardens")), SHOP_CATEGORIES);
    EXPECT_EQ(shop_find_category(STR_C("")), SHOP_CATEGORIES);
}

/* Catches bounds that do not hold, and a locale that never comes. */
TEST(goods_are_plausible)
{
    Shop shop;
    size_t n_locales[SHOP_LOCALES] = { 0 }, n_large = 0, n_escaped = 0, n_reduced = 0;

    EXPECT_OK(shop_init(&shop, 1, 2000));
    for (uint64_t id = 1; id <= 2000; id++) {
        Product product;

        shop_product(&shop, id, &product);
        EXPECT(product.price_cents >= product.category->cents_min);
        EXPECT(product.price_cents < product.category->cents_max);
        EXPECT(product.rating_tenths >= 10 && product.rating_tenths <= 50);
        EXPECT(str_is_utf8(product.name));
        n_locales[product.locale]++;
        n_large += product.price_cents >= 100000;
        n_reduced += product.old_price_cents > 0;
        n_escaped += str_find(product.name, '&') >= 0 || str_find(product.name, '<') >= 0 ||
                     str_find(product.name, '"') >= 0;
    }
    for (size_t i = 0; i < SHOP_LOCALES; i++)
        EXPECT(n_locales[i] > 300);
    EXPECT(n_large > 100); /* prices with a separator of thousands */
    EXPECT(n_escaped > 100);
    EXPECT(n_reduced > 100);
    shop_deinit(&shop);
}

static void expect_price(ShopLocale locale, int64_t cents, const char *want)
{
    AUTO(buf_deinit) Buf out = { 0 };

    shop_add_price_html(&out, locale, cents);
    EXPECT_STR(buf_str(&out), str_from_c(want));
}

/* Catches a separator in the wrong place. */
TEST(writes_prices)
{
    AUTO(buf_deinit) Buf out = { 0 };

    expect_price(SHOP_EURO_POINT, 123456, "\u20ac 1.234,56");
    expect_price(SHOP_EURO_POINT, 1203, "\u20ac 12,03");
    expect_price(SHOP_DOLLAR, 123456, "$1,234.56");
    expect_price(SHOP_DOLLAR, 123456789, "$1,234,567.89");
    expect_price(SHOP_DOLLAR, 5, "$0.05");
    expect_price(SHOP_EURO_SPACE, 123456, "1\u00a0234,56\u00a0\u20ac");
    expect_price(SHOP_EURO_ENTITY, 123456, "1.234,56&nbsp;&euro;");
    expect_price(SHOP_POUND, 100000, "&pound;1,000.00");
    shop_add_cents(&out, 123456);
    buf_add_char(&out, ' ');
    shop_add_cents(&out, 90);
    buf_add_char(&out, ' ');
    shop_add_rating(&out, 43);
    EXPECT_STR(buf_str(&out), STR_C("1234.56 0.90 4.3"));
    EXPECT_C(shop_currency(SHOP_POUND), "GBP");
    EXPECT_C(shop_currency(SHOP_EURO_SPACE), "EUR");
}

TEST_MAIN()
