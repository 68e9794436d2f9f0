/*
 * What the playground saw: for each Host header how many requests came, the most at once and the
 * least time between two. The test of a crawler's politeness reads it at /stats.json.
 */
#pragma once

#include "base/map.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

#define DEMO_HOST_BYTES  128
#define DEMO_AGENT_BYTES 128

typedef struct DemoHost {
    struct DemoHost *next;
    char name[DEMO_HOST_BYTES];
    char agent[DEMO_AGENT_BYTES]; /* User-Agent of the last request */
    uint64_t requests;            /* without robots.txt and this page */
    uint64_t robots_requests;
    uint64_t forbidden; /* that the rules of robots.txt disallow */
    uint64_t in_flight;
    uint64_t in_flight_max;
    int64_t last_start_ns; /* 0: none yet */
    int64_t last_end_ns;
    int64_t gap_ns_min;   /* from start to start; INT64_MAX until there were two */
    int64_t pause_ns_min; /* from the end of all to the next start */
} DemoHost;

typedef struct DemoStats {
    Map hosts; /* name -> DemoHost */
    DemoHost *first;
    size_t n_hosts;
    uint64_t unwanted;     /* pages that no link may lead to */
    uint8_t *product_hits; /* one for each product, up to 255 */
    uint64_t n_products;
} DemoStats;

void demo_stats_init(DemoStats *stats, uint64_t n_products);
void demo_stats_deinit(DemoStats *stats);
void demo_stats_reset(DemoStats *stats);

/* The record of HOST, made when it is new; NULL when there are too many. */
DemoHost *demo_stats_host(DemoStats *stats, Str host);

void demo_stats_begin(DemoHost *host, int64_t now_ns);
void demo_stats_end(DemoHost *host, int64_t now_ns);
void demo_stats_product(DemoStats *stats, uint64_t id);
