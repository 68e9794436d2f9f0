/*
 * The flags of `sluice demo`.
 */
#include "demo/demo.h"

#include "base/limits.h"

#define MINUTE_MS INT64_C(60000)

static const char *const robots_names[] = {
#define X(name, word, text) word,
    DEMO_ROBOTS_CASES(X)
#undef X
        NULL,
};

static const SchemaField fields[] = {
    FIELD_STR(DemoOptions, listen, "address and port to serve on; port 0 takes a free one",
              .default_text = "127.0.0.1:7585", .holder = "ADDR:PORT"),
    FIELD_INT(DemoOptions, products, "pages of products in the shop",
              .range = RANGE(1, LIMIT_DEMO_PRODUCTS), .default_text = "2000"),
    FIELD_INT(DemoOptions, seed, "decides names, prices, ratings, and which pages fail",
              .range = AT_LEAST(0), .default_text = "1"),
    FIELD_DURATION(DemoOptions, latency_ms, "latency",
                   "wait before every page and API answer, but not robots.txt and sitemaps",
                   .range = RANGE(0, MINUTE_MS), .default_text = "0ms"),
    FIELD_DURATION(DemoOptions, jitter_ms, "jitter",
                   "wait up to this much more, always the same for one URL",
                   .range = RANGE(0, MINUTE_MS), .default_text = "0ms"),
    FIELD_DURATION(DemoOptions, api_latency_ms, "api_latency",
                   "wait so much more before the answers of the APIs", .range = RANGE(0, MINUTE_MS),
                   .default_text = "0ms"),
    FIELD_REAL(DemoOptions, error_rate,
               "share of products, categories and API answers that are 500, always the same ones",
               .real_range = REAL_RANGE(0, 1), .default_text = "0"),
    FIELD_ENUM(DemoOptions, robots, robots_names, "how robots.txt is served", .default_text = "ok"),
    FIELD_MAP(DemoOptions, api_fault, "how an API fails: weather=slow, rates=rate-limit …",
              .range = RANGE(0, 3), .holder = "API=FAULT"),
    FIELD_STR(DemoOptions, port_file, "write the port to this file once it is open",
              .holder = "FILE"),
    FIELD_BOOL(DemoOptions, expected,
               "print the rows that a crawl of the shop must give, as JSON, and end"),
};

const Schema demo_options_schema = SCHEMA(DemoOptions, fields, "Settings of the playground.");
