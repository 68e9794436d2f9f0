/*
 * The tables of pages, in the order in which the index lists them.
 */
#include "demo/demo_int.h"

const DemoPages *const demo_pages[] = {
    &demo_shop_pages,    &demo_site_pages,      &demo_robots_pages,
    &demo_weather_pages, &demo_headlines_pages, &demo_rates_pages,
    &demo_auth_pages,    &demo_stats_pages,     NULL,
};
