/*
 * The shop's goods, computed from the seed: nothing is stored for a product.
 */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

#define SHOP_PAGE_SIZE   48 /* products on a page of a category */
#define SHOP_NAME_BYTES  120
#define SHOP_REVIEWS     64
#define SHOP_PARAGRAPHS  32
#define SHOP_PRICE_BYTES 48

/* How a price is written. */
typedef enum ShopLocale {
    SHOP_EURO_POINT,  /* "€ 1.234,56" */
    SHOP_DOLLAR,      /* "$1,234.56" */
    SHOP_EURO_SPACE,  /* "1 234,56 €" with no-break spaces */
    SHOP_EURO_ENTITY, /* "1.234,56&nbsp;&euro;" */
    SHOP_POUND,       /* "&pound;1,234.56" */
    SHOP_LOCALES,
} ShopLocale;

typedef struct ShopCategory {
    const char *slug;
    const char *name;         /* text, not escaped */
    const char *const *nouns; /* 8 */
    int64_t cents_min;
    int64_t cents_max;
} ShopCategory;

#define SHOP_CATEGORIES 12
extern const ShopCategory shop_categories[SHOP_CATEGORIES];

typedef struct Product {
    uint64_t id; /* from 1 */
    const ShopCategory *category;
    int64_t price_cents;
    int64_t old_price_cents; /* 0: it was never dearer */
    unsigned rating_tenths;  /* 10 … 50 */
    unsigned n_reviews;
    ShopLocale locale;
    bool is_in_stock;
    uint64_t mix; /* further bits, for the choice of filler */
    Str name;     /* text, not escaped */
    char name_data[SHOP_NAME_BYTES];
} Product;

typedef struct Shop {
    uint64_t seed;
    uint64_t n_products;
    Str reviews[SHOP_REVIEWS]; /* prepared HTML, in `filler` */
    Str paragraphs[SHOP_PARAGRAPHS];
    Buf filler;
} Shop;

MUST int shop_init(Shop *shop, uint64_t seed, uint64_t n_products);
void shop_deinit(Shop *shop);

/* Product ID, which is between 1 and n_products. */
void shop_product(const Shop *shop, uint64_t id, Product *ret_product);

/* How many products category INDEX has, and its N-th (from 0). */
uint64_t shop_category_count(const Shop *shop, size_t index);
uint64_t shop_category_product(size_t index, uint64_t n);

/* The category with SLUG; SHOP_CATEGORIES when there is none. */
size_t shop_find_category(Str slug);

/* "1234.56"; as people in its country write it, as HTML; "EUR". */
void shop_add_cents(Buf *out, int64_t cents);
void shop_add_price_html(Buf *out, ShopLocale locale, int64_t cents);
const char *shop_currency(ShopLocale locale);

/* "4.3" */
void shop_add_rating(Buf *out, unsigned tenths);

/* 64 well mixed bits of SEED and N. */
uint64_t shop_mix(uint64_t seed, uint64_t n);
