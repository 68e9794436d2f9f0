/*
 * The playground: a small web of its own, to try fetch and crawl on without the internet.
 *
 * A shop of product pages, three JSON APIs, and every way in which a page can be bad, served on one
 * loop by the HTTP server of net/. Everything but the clock is decided by the seed, so that a test
 * knows what a crawl must find: demo_write_expected lists it. docs/guide/demo.md is its guide.
 *
 * It is a toy: it answers what strangers ask of it with endless bodies and bombs, on purpose.
 */
#pragma once

#include "base/text.h"
#include "net/listener.h"

#include <sluice/rt.h>
#include <sluice/schema.h>

/* X(NAME, "name", "how robots.txt is served, and what a crawler must make of it") */
#define DEMO_ROBOTS_CASES(X)                                                              \
    X(OK, "ok", "rules worth obeying")                                                    \
    X(404, "404", "404: everything is allowed")                                           \
    X(403, "403", "403: everything is allowed")                                           \
    X(429, "429", "429 with Retry-After: wait, or treat it as 503")                       \
    X(503, "503", "503: nothing is allowed")                                              \
    X(REDIRECT, "redirect", "301 to the rules: they hold")                                \
    X(REDIRECT5, "redirect5", "five redirects, then the rules: they hold")                \
    X(LOOP, "loop", "redirects for ever: may be treated as 404")                          \
    X(BIG400K, "big400k", "400 KB of comments, the rules last: they hold")                \
    X(BIG500K, "big500k", "the rules behind the first 500 KiB: they may be ignored")      \
    X(BOM_CRLF, "bom-crlf", "byte order mark and CRLF: the rules hold")                   \
    X(LONGEST, "longest", "`Allow: /` before a longer Disallow and a still longer Allow") \
    X(CRAWL_DELAY, "crawl-delay", "`Crawl-delay: 1` for everybody")                       \
    X(HTML, "html", "a web page with status 200: no rules, everything is allowed")        \
    X(GZIP, "gzip", "Content-Encoding: gzip: the rules hold")                             \
    X(HANG, "hang", "the head comes, the body never: nothing is allowed")

typedef enum DemoRobots {
#define X(name, word, text) DEMO_ROBOTS_##name,
    DEMO_ROBOTS_CASES(X)
#undef X
} DemoRobots;

typedef struct DemoOptions {
    Str listen;
    int64_t products;
    int64_t seed;
    int64_t latency_ms;     /* before every page and API answer, but not robots.txt and sitemaps */
    int64_t jitter_ms;      /* up to this more, decided by seed and URL */
    int64_t api_latency_ms; /* more before the answers of the APIs */
    double error_rate;      /* of products, categories and API answers: they are always 500 */
    int robots;             /* DemoRobots */
    SchemaPairs api_fault;  /* API -> how it fails */
    Str port_file;          /* where to write the port; empty: nowhere */
    bool expected;          /* print the known rows instead of serving */
} DemoOptions;

extern const Schema demo_options_schema;

typedef struct Demo Demo;

/* A playground without a network, for tests and demo_write_expected. OPTS is borrowed. */
MUST int demo_new(const DemoOptions *opts, Demo **ret_demo);
void demo_free(Demo *demo);
DEFINE_AUTO(Demo *, demo_free);

/*
 * The rows that a crawl of the whole shop must give, as a JSON array with one object a line: id,
 * name, price (exact, as text), currency, category, rating and url. ORIGIN is "http://host:port".
 */
void demo_write_expected(const Demo *demo, Str origin, Buf *out);

/* Serve LISTENER with fibers of NURSERY until demo_stop. The listener outlives the service. */
MUST SUSPENDS int demo_start(Demo *demo, sl_nursery *nursery, Listener *listener);
SUSPENDS void demo_stop(Demo *demo);

/* Serve one connection on the calling fiber, after demo_start with a NULL listener. For tests. */
MUST SUSPENDS int demo_serve(Demo *demo, TAKES Stream *stream);

/*
 * The playground as a program of its own: serve what FLAGS (DemoOptions) say until a signal, or
 * print the expected rows. Starts the runtime. 0 or an error.
 */
MUST int demo_run(const void *flags);
