/*
 * The tables of pages, in the order in which the index lists them. A path that ends in '*' is found
 * by the first row that fits.
 */
#include "demo/demo_int.h"

const DemoPages *const demo_pages[] = {
    &demo_shop_pages,
    &demo_site_pages,
    &demo_robots_pages,
    &demo_weather_pages,
    &demo_headlines_pages,
    &demo_rates_pages,
    &demo_auth_pages,
    &demo_sensors_pages,
    &demo_images_pages,
    &demo_stats_pages,
    &demo_status_pages,
    &demo_redirect_pages,
    &demo_slow_pages,
    &demo_length_pages,
    &demo_coding_pages,
    &demo_text_pages,
    &demo_type_pages,
    &demo_robots_meta_pages,
    &demo_html_pages,
    &demo_state_pages,
    &demo_trap_pages,
    &demo_index_pages,
    NULL,
};
