/*
 * Pieces of the shop's pages.
 */
#pragma once

#include "demo/demo_int.h"

void shop_add_head(Buf *out); /* up to the title */
void shop_add_site_header(Buf *out);
void shop_add_site_footer(Buf *out); /* to the end of the page */

/* The page of PRODUCT, whole; ORIGIN begins its absolute links. */
void shop_add_product_page(Buf *out, const Shop *shop, Str origin, const Product *product);
