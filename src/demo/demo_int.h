/*
 * The inside of the playground: what its pages share.
 *
 * A page is a row of a table: where it is, what it shows, what must come of it, and the function
 * that answers. demo.c finds the row and waits the latency; the tables lie beside their functions,
 * one file for each kind of page, and pages.c lists the tables.
 */
#pragma once

#include "base/map.h"
#include "demo/demo.h"
#include "demo/shop_int.h"
#include "demo/stats_int.h"
#include "net/http_server.h"

typedef struct DemoPage DemoPage;

/* One request on its way to an answer. */
typedef struct DemoCall {
    Demo *demo;
    HttpRequest *request;
    HttpResponse *response;
    Buf *out; /* the response's body */
    const DemoPage *page;
    Str rest;   /* of the path, behind a page's prefix */
    Str origin; /* "http://127.0.0.1:7585", as the client called us */
} DemoCall;

typedef enum DemoKind {
    DEMO_PAGE,  /* waits the latency */
    DEMO_SHOP,  /* and may fail at the error rate */
    DEMO_API,   /* and waits the APIs' latency */
    DEMO_PLAIN, /* robots.txt, sitemaps, statistics: at once */
} DemoKind;

struct DemoPage {
    const char *path;    /* "/bad/slow"; with a '*' at its end, whatever begins so */
    const char *example; /* behind the path, for links to it: "?ms=2000"; NULL for none */
    const char *summary; /* what it does */
    const char *outcome; /* what must come of it */
    DemoKind kind;
    int number;       /* for pages that share a function: a status, a choice */
    const char *text; /* the same: a charset, a coding, a place */
    SUSPENDS int (*answer)(DemoCall *call);
};

/* A table of pages under one heading; HEADING is NULL for those that no index lists. */
typedef struct DemoPages {
    const char *heading;
    const DemoPage *pages;
    size_t n_pages;
} DemoPages;

#define DEMO_PAGES(heading_text, table)                                                            \
    {                                                                                              \
        .heading = (heading_text), .pages = (table), .n_pages = sizeof(table) / sizeof((table)[0]) \
    }

/* pages.c */
extern const DemoPages *const demo_pages[]; /* ends with NULL */

extern const DemoPages demo_shop_pages;    /* shop_page.c and shop_list.c */
extern const DemoPages demo_site_pages;    /* site.c */
extern const DemoPages demo_robots_pages;  /* robots.c */
extern const DemoPages demo_stats_pages;   /* stats.c */
extern const DemoPages demo_weather_pages; /* api_*.c */
extern const DemoPages demo_headlines_pages;
extern const DemoPages demo_rates_pages;
extern const DemoPages demo_auth_pages;
extern const DemoPages demo_sensors_pages; /* sensors.c */
extern const DemoPages demo_images_pages;  /* images.c */
extern const DemoPages demo_status_pages;  /* bad_*.c */
extern const DemoPages demo_redirect_pages;
extern const DemoPages demo_slow_pages;
extern const DemoPages demo_length_pages;
extern const DemoPages demo_coding_pages;
extern const DemoPages demo_text_pages;
extern const DemoPages demo_type_pages;
extern const DemoPages demo_robots_meta_pages;
extern const DemoPages demo_html_pages;
extern const DemoPages demo_state_pages;
extern const DemoPages demo_trap_pages; /* traps.c */
extern const DemoPages demo_index_pages;

#define DEMO_TAG 0x4f4d4544u /* "DEMO" */

struct Demo {
    uint32_t tag;
    const DemoOptions *opts;
    HttpServer *server; /* NULL while it does not serve */
    Shop shop;
    Map exact; /* path -> DemoPage */
    DemoStats stats;
    Map counters; /* of pages that count their requests: key -> DemoCounter */
};

/* ---- what pages use -------------------------------------------------------------------------- */

/* Append a string literal. */
#define ADD(out, literal) buf_add((out), "" literal, sizeof(literal) - 1)

/* The value of a number in the query, cut to [MIN, MAX]; FALLBACK when there is none. */
int64_t demo_query_i64(const DemoCall *call, const char *name, int64_t fallback, int64_t min,
                       int64_t max);
/* The value of a word in the query; empty when there is none. */
Str demo_query(const DemoCall *call, const char *name);

/* TEXT with & < > " escaped. */
void demo_add_html(Buf *out, Str text);

/* The answer is HTML in UTF-8; JSON. */
void demo_is_html(DemoCall *call);
void demo_is_json(DemoCall *call);

/* A short page: TITLE in head and h1; the caller goes on with the body and ends it. */
void demo_html_begin(DemoCall *call, const char *title);
void demo_html_end(DemoCall *call);

/* A page that says STATUS, its reason and WHY. Returns 0. */
int demo_plain(DemoCall *call, int status, const char *why);

/* A redirect to LOCATION. Returns 0. */
int demo_redirect(DemoCall *call, int status, Str location);

/* Wait, and hear of it when the client goes away: 0, or -ECANCELED. */
MUST SUSPENDS int demo_wait_ms(DemoCall *call, int64_t ms);

/* How often KEY has been asked for, this time included. */
uint64_t demo_count(Demo *demo, Str key);
