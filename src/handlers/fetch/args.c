/*
 * What fetch takes and gives: the tables of its arguments and of its result.
 *
 * A source of the list and the one source of the command line have the same rows; the struct of the
 * former is the head of the latter's, so that one list of rows serves both.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "handlers/fetch/fetch_int.h"
#include "handlers/fetch/result_int.h"

STATIC_ASSERT(offsetof(FetchArgs, one) == 0, "the rows of a source serve for both tables");

/* ---- a source -------------------------------------------------------------------------------- */

static const SchemaField key_fields[] = {
    FIELD_STR(FetchApiKey, header, "the header it goes into", .pattern = SCHEMA_HEADER_NAME),
    FIELD_STR(FetchApiKey, query, "the parameter it goes into", .range = RANGE(1, 200)),
    FIELD_STR(FetchApiKey, value, "the key", .is_secret = true, .range = RANGE(0, 8192),
              .pattern = SCHEMA_HEADER_TEXT),
};

static const char *check_key(const void *value)
{
    const FetchApiKey *key = value;

    if (key->value.len > 0 && (key->header.len > 0) == (key->query.len > 0))
        return "needs either header or query, to say where the key goes";
    return NULL;
}
static const Schema key_schema = SCHEMA(FetchApiKey, key_fields, "An API key.", .check = check_key);

static const SchemaField auth_fields[] = {
    FIELD_STR(FetchAuth, user, "basic: the user", .range = RANGE(0, 1024)),
    FIELD_STR(FetchAuth, password, "basic: the password", .is_secret = true,
              .range = RANGE(0, 8192)),
    FIELD_STR(FetchAuth, bearer, "a token", .is_secret = true, .range = RANGE(0, 16384),
              .pattern = SCHEMA_HEADER_TEXT),
    FIELD_OBJECT(FetchAuth, api_key, &key_schema, "an API key"),
};
static const Schema auth_schema = SCHEMA(FetchAuth, auth_fields, "Who asks.");

static const char *const paging_words[] = { "none", "link", "cursor", "page", "offset", NULL };

static const SchemaField paging_fields[] = {
    FIELD_ENUM(FetchPagination, style, paging_words, "how an API gives one page after the other",
               .default_text = "none"),
    FIELD_STR(FetchPagination, next, "cursor: the path to the next cursor, or to the next URL",
              .holder = "PATH"),
    FIELD_STR(FetchPagination, param,
              "the parameter of the cursor, the page or the offset (default cursor, page, offset)"),
    FIELD_STR(FetchPagination, size_param,
              "the parameter of the size of a page (default per_page; for offset, limit)"),
    FIELD_INT(FetchPagination, size, "items to ask for in one page", .range = RANGE(0, 100000)),
    FIELD_INT(FetchPagination, start, "the first page, or the first offset (default 1 and 0)",
              .range = RANGE(-1, INT32_MAX), .default_text = "-1"),
    FIELD_INT(FetchPagination, limit, "pages at most", .range = RANGE(1, LIMIT_FETCH_PAGES),
              .default_text = "20"),
};

static const char *check_paging(const void *value)
{
    const FetchPagination *paging = value;

    if (paging->style == FETCH_PAGING_CURSOR && paging->next.len == 0)
        return "style cursor needs next, the path to the next cursor in the answer";
    if (paging->style == FETCH_PAGING_OFFSET && paging->size == 0)
        return "style offset needs size, the number of items in one page";
    return NULL;
}
static const Schema paging_schema = SCHEMA(FetchPagination, paging_fields,
                                           "One page after another.", .check = check_paging);

/* What both tables have. */
#define METHOD_FIELD                                                                 \
    FIELD_STR(FetchSourceArgs, method, "the method (default GET, POST with a body)", \
              .pattern = SCHEMA_HEADER_NAME, .range = RANGE(0, 32))
#define PARAMS_FIELD                                                               \
    FIELD_MAP(FetchSourceArgs, params, "parameters of the query", .flag = "param", \
              .takes_values = true, .range = RANGE(0, LIMIT_FETCH_PARAMS))
#define HEADERS_FIELD                                                        \
    FIELD_MAP(FetchSourceArgs, headers, "further headers", .flag = "header", \
              .pattern = SCHEMA_HEADER_NAME, .range = RANGE(0, LIMIT_FETCH_HEADERS))
#define BODY_FIELD FIELD_JSON(FetchSourceArgs, body, "what to send: JSON, or a string as it is")
#define AUTH_FIELD FIELD_OBJECT(FetchSourceArgs, auth, &auth_schema, "who asks")
#define PAGINATION_FIELD \
    FIELD_OBJECT(FetchSourceArgs, pagination, &paging_schema, "one page after another")
#define EACH_FIELD                                                          \
    FIELD_STR(FetchSourceArgs, each, "where the items are: a row for each", \
              .range = RANGE(0, LIMIT_FETCH_EXPR_BYTES), .holder = "PATH")
#define FIELDS_FIELD                               \
    FIELD_JSON(FetchSourceArgs, fields,            \
               "columns: {\"name\": \"path\"} or " \
               "{\"name\": {\"path\": …, \"unit\": …, \"type\": …, \"required\": …}}")
#define FIELD_FIELD                                                             \
    FIELD_MAP(FetchSourceArgs, field, "a column and its path or jq expression", \
              .range = RANGE(0, LIMIT_FETCH_FIELDS), .holder = "NAME=PATH")
#define UNSAFE_FIELD FIELD_BOOL(FetchSourceArgs, retry_unsafe, "retry POST and PATCH as well")
#define SOURCE_FIELDS                                                                    \
    METHOD_FIELD, PARAMS_FIELD, HEADERS_FIELD, BODY_FIELD, AUTH_FIELD, PAGINATION_FIELD, \
        EACH_FIELD, FIELDS_FIELD, FIELD_FIELD, UNSAFE_FIELD

static const SchemaField source_fields[] = {
    FIELD_STR(FetchSourceArgs, name, "shown in the table (default: the host)",
              .range = RANGE(0, 200)),
    FIELD_URL(FetchSourceArgs, url, "what to ask", .is_required = true),
    SOURCE_FIELDS,
    FIELD_DURATION(FetchSourceArgs, timeout_ms, "timeout", "of this source (0: as for all)",
                   .range = RANGE(0, 86400000)),
    FIELD_DURATION(FetchSourceArgs, attempt_timeout_ms, "attempt_timeout",
                   "of one request of it (0: as for all)", .range = RANGE(0, 86400000)),
    FIELD_INT(FetchSourceArgs, retries, "further attempts (-1: as for all)",
              .range = RANGE(-1, LIMIT_FETCH_RETRIES), .default_text = "-1"),
};
static const Schema source_schema = SCHEMA(FetchSourceArgs, source_fields, "An API to ask.");
static const SchemaField source_item = ITEM(OBJECT, .schema = &source_schema);

/* ---- all of it ------------------------------------------------------------------------------- */

static const SchemaField fields[] = {
    FIELD_LIST(FetchArgs, sources, &source_item, "APIs to ask, all at once",
               .range = RANGE(0, LIMIT_FETCH_SOURCES), .flag = "source"),
    FIELD_URL(FetchSourceArgs, url, "the one API to ask", .positional = 1),
    FIELD_STR(FetchSourceArgs, name, "its name in the table (default: the host)",
              .range = RANGE(0, 200)),
    SOURCE_FIELDS,
    FIELD_STR(FetchArgs, bearer, "the short form of auth.bearer", .is_secret = true,
              .range = RANGE(0, 16384), .pattern = SCHEMA_HEADER_TEXT),
    FIELD_DURATION(FetchSourceArgs, timeout_ms, "timeout",
                   "of each source, with its retries and pages", .range = RANGE(1, 86400000),
                   .default_text = "30s"),
    FIELD_DURATION(FetchSourceArgs, attempt_timeout_ms, "attempt_timeout", "of each request",
                   .range = RANGE(1, 86400000), .default_text = "10s"),
    FIELD_DURATION(FetchArgs, deadline_ms, "deadline", "of everything (default: none)",
                   .range = RANGE(0, 86400000)),
    FIELD_INT(FetchSourceArgs, retries, "further attempts of each request",
              .range = RANGE(0, LIMIT_FETCH_RETRIES), .default_text = "2"),
    FIELD_DURATION(FetchArgs, retry_after_max_ms, "retry_after_max",
                   "the longest Retry-After to wait for; a longer one fails the source",
                   .range = RANGE(0, 3600000), .default_text = "30s"),
    FIELD_INT(FetchArgs, concurrency, "sources at once", .range = RANGE(1, LIMIT_FETCH_CONCURRENCY),
              .default_text = "16"),
    FIELD_INT(FetchArgs, per_host, "requests at once to one host",
              .range = RANGE(1, LIMIT_FETCH_CONCURRENCY), .default_text = "4"),
    FIELD_REAL(FetchArgs, rate, "requests a second to one host (0: any)",
               .real_range = REAL_RANGE(0, 10000), .default_text = "0"),
    FIELD_BOOL(FetchArgs, sequential, "one after the other, to compare"),
    FIELD_BOOL(FetchArgs, cache, "keep answers on disk as HTTP allows (RFC 9111)"),
    FIELD_STR(FetchArgs, cache_dir, "where to keep them", .range = RANGE(1, 1024),
              .default_text = ".sluice-cache", .holder = "DIR"),
    FIELD_DURATION(FetchArgs, watch_ms, "watch", "ask again and show what changed, until ^C",
                   .range = RANGE(0, 86400000)),
    FIELD_BOOL(FetchArgs, strict, "one source that fails is a failure of all"),
    FIELD_OUT(FetchArgs, out),
};

static const char *check_args(const void *value)
{
    const FetchArgs *args = value;
    const FetchSourceArgs *one = &args->one;

    if (args->sources.len == 0 && one->url.len == 0)
        return "needs a url, or sources";
    if (args->sources.len == 0)
        return NULL;
    if (one->url.len > 0)
        return "takes either a url or sources, not both";
    if (one->name.len > 0 || one->params.len > 0 || one->body.raw.len > 0 || args->bearer.len > 0 ||
        one->auth.user.len > 0 || one->auth.bearer.len > 0 || one->auth.api_key.value.len > 0 ||
        one->pagination.style != FETCH_PAGING_NONE || one->method.len > 0)
        return "name, method, params, body, auth, bearer and pagination belong into each of the "
               "sources; fields, each and headers may stand beside them, for all";
    return NULL;
}

const Schema fetch_args = SCHEMA(FetchArgs, fields, "What to ask, and how.", .check = check_args);

/* ---- the result ------------------------------------------------------------------------------ */

static const SchemaField error_fields[] = {
    FIELD_STR(FetchErrorResult, source, "the source that failed", .is_required = true),
    FIELD_STR(FetchErrorResult, kind,
              "dns, refused, network, tls, timeout, http, status, too_large, "
              "not_json, field_missing, expression, pages, forbidden, other",
              .is_required = true),
    FIELD_STR(FetchErrorResult, message, "why, in words", .is_required = true),
    FIELD_INT(FetchErrorResult, status, "of the last answer"),
    FIELD_INT(FetchErrorResult, attempts, "of the last request"),
};
static const Schema error_schema = SCHEMA(FetchErrorResult, error_fields, "A source that failed.");
static const SchemaField error_item = ITEM(OBJECT, .schema = &error_schema);

static const SchemaField warning_fields[] = {
    FIELD_STR(FetchWarningResult, source, "the source", .is_required = true),
    FIELD_STR(FetchWarningResult, message, "what was missing or forgiven", .is_required = true),
};
static const Schema warning_schema = SCHEMA(FetchWarningResult, warning_fields,
                                            "What was not quite right.");
static const SchemaField warning_item = ITEM(OBJECT, .schema = &warning_schema);

static const SchemaField result_fields[] = {
    FIELD_INT(FetchResult, sources, "sources asked", .is_required = true),
    FIELD_INT(FetchResult, ok, "sources that answered", .is_required = true),
    FIELD_INT(FetchResult, failed, "sources that failed", .is_required = true),
    FIELD_INT(FetchResult, row_count, "rows, those of failed sources included",
              .is_required = true),
    FIELD_JSON(FetchResult, rows, "the rows, where they went nowhere else"),
    FIELD_LIST(FetchResult, errors, &error_item, "why sources failed"),
    FIELD_LIST(FetchResult, warnings, &warning_item, "what was missing or forgiven"),
    FIELD_INT(FetchResult, cached, "pages that came from the cache"),
    FIELD_INT(FetchResult, elapsed_ms, "what it took", .is_required = true),
    FIELD_INT(FetchResult, sequential_ms, "what one after the other would have taken",
              .is_required = true),
    FIELD_STR(FetchResult, summary, "the same in words", .is_required = true),
};
static const Schema result_schema = SCHEMA(FetchResult, result_fields, "What came of a fetch.");
const SchemaField fetch_result = ITEM(OBJECT, .schema = &result_schema,
                                      .summary = "what came of it");
