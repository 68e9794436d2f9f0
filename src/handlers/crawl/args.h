/*
 * What a crawl is asked to do: one struct for the command line, the HTTP API and the queue.
 *
 * The struct is filled by the schema; crawl_args_check then says what no schema can: that there is
 * somewhere to start, and that what was given goes together; crawl_args_allow what only a person in
 * front of the machine may ask for: files, and addresses of hosts.
 */
#pragma once

#include "base/own.h"

#include <sluice/handler.h>
#include <sluice/schema.h>

/* X(NAME, "word"): columns that the crawl itself can fill, beside those of selectors. */
#define CRAWL_COLUMNS(X)            \
    X(URL, "url")                   \
    X(START_URL, "requested")       \
    X(STATUS, "status")             \
    X(DEPTH, "depth")               \
    X(TITLE, "title")               \
    X(FETCHED_AT, "fetched_at")     \
    X(TOOK_MS, "took_ms")           \
    X(BYTES, "bytes")               \
    X(CONTENT_TYPE, "content_type") \
    X(REFERRER, "referrer")         \
    X(LANG, "lang")                 \
    X(OUTCOME, "outcome")           \
    X(ERROR, "error")

typedef enum CrawlColumn {
#define X(name, word) CRAWL_COLUMN_##name,
    CRAWL_COLUMNS(X)
#undef X
        CRAWL_COLUMN_COUNT
} CrawlColumn;

/* "fetched_at"; static text. */
Str crawl_column_name(CrawlColumn column);

typedef enum CrawlHttp {
    CRAWL_HTTP_AUTO, /* 2 over TLS where the server has it, else 1.1 */
    CRAWL_HTTP_1_1,
    CRAWL_HTTP_2, /* at once, without TLS too */
} CrawlHttp;

/* A list of records inside each record. */
typedef struct CrawlNested {
    Str name; /* of the column: a JSON array of objects */
    Str each;
    SchemaPairs select;
} CrawlNested;

typedef struct CrawlArgs {
    /* where to begin */
    SchemaList start; /* of Str */
    Str urls;         /* a file with a URL on each line; "-" is standard input */
    SchemaList sitemap;

    /* which links to follow */
    bool follow;
    SchemaList domains;
    SchemaList include;
    SchemaList exclude;
    int64_t depth;
    int64_t count;
    int64_t per_host_count;
    bool obey_nofollow;
    bool meta_refresh;
    bool canonical;
    bool drop_tracking;
    SchemaList drop_params;
    int64_t max_time_ms;

    /* what to take */
    Str each;
    SchemaPairs select;
    SchemaList nested; /* of CrawlNested */
    SchemaList columns;
    SchemaList rows_from;
    bool error_rows;
    bool soft_404;
    bool keep_duplicates;

    /* how politely */
    int64_t concurrency;
    int64_t per_host;    /* 0: not given */
    int64_t per_address; /* 0: not given */
    int64_t delay_ms;    /* -1: not given */
    double jitter;
    int64_t crawl_delay_max_ms;
    bool throttle;
    bool ignore_robots;
    Str user_agent;
    Str contact;
    Str robots_token;

    /* how to ask */
    int64_t timeout_ms;
    int64_t retries;
    int64_t max_body;
    SchemaPairs headers;
    bool cookies;
    Str cookie_file;
    Str proxy;
    int http;
    SchemaPairs resolve;

    /* going on later */
    Str state;
    bool fresh;
    bool revisit;
    bool is_state_beside; /* no field: STATE is ours, beside the output (crawl_settle_state) */

    /* what comes out */
    SchemaList out;
    Str stats_file;
    SchemaList group_by;
    SchemaList agg;
    bool compare;
} CrawlArgs;

extern const Schema crawl_args_schema;

/* Whether links are followed at all. */
bool crawl_args_follows(const CrawlArgs *args);

/*
 * The identity that requests carry: what was given, or "sluice/VERSION (+CONTACT)"; in the task's
 * arena. And the product token by which robots.txt knows us.
 */
Str crawl_args_user_agent(Task *task, const CrawlArgs *args);
Str crawl_args_robots_token(const CrawlArgs *args);

/* Check what the schema cannot. 0 or -ERR_INVALID with words. */
MUST int crawl_args_check(const CrawlArgs *args);

/* Whether this task may ask for all that ARGS ask for. 0 or -ERR_FORBIDDEN with words. */
MUST int crawl_args_allow(const Task *task, const CrawlArgs *args);
