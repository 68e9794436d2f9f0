/*
 * What the parts of fetch share: the arguments as they are given, and the run that is made of them.
 *
 *   fetch.c    the declaration, and a run from its arguments to its result
 *   plan.c     arguments -> sources with their fields, and the columns of the table
 *   source.c   one source: its pages, its failure, its turn to hand rows on
 *   attempt.c  one request with its retries; which kind of failure it was
 *   request.c  URL, headers, credentials
 *   page.c     where the next page is
 *   body.c     bytes -> JSON, forgiving what can be forgiven
 *   cells.c    JSON -> rows
 *   path.c     the short form of expressions; codec/jq.c has the long one
 *   cache.c    answers kept on disk
 *   watch.c    rounds that show what changed
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/text.h"
#include "codec/http_cache.h"
#include "codec/schema.h"
#include "handlers/fetch/path.h"
#include "net/http_client.h"
#include "rows/outlet.h"
#include "rows/row.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

/* ---- arguments ------------------------------------------------------------------------------- */

typedef struct FetchApiKey {
    Str header;
    Str query;
    Str value;
} FetchApiKey;

typedef struct FetchAuth {
    Str user;
    Str password;
    Str bearer;
    FetchApiKey api_key;
} FetchAuth;

typedef enum FetchPaging {
    FETCH_PAGING_NONE,
    FETCH_PAGING_LINK,   /* Link: <…>; rel="next" */
    FETCH_PAGING_CURSOR, /* the answer names the next page, or its URL */
    FETCH_PAGING_PAGE,   /* ?page=2 */
    FETCH_PAGING_OFFSET, /* ?offset=100 */
} FetchPaging;

typedef struct FetchPagination {
    int style; /* FetchPaging */
    Str next;  /* CURSOR: where the answer has it */
    Str param;
    Str size_param;
    int64_t size; /* items asked for in one page; 0: the server's */
    int64_t start;
    int64_t limit; /* pages */
} FetchPagination;

/* A source as it is given. Also the head of FetchArgs, for the one source of the command line. */
typedef struct FetchSourceArgs {
    Str name;
    Str url;
    Str method;
    SchemaPairs params;
    SchemaPairs headers;
    SchemaJson body;
    FetchAuth auth;
    FetchPagination pagination;
    Str each;
    SchemaJson fields;
    SchemaPairs field;
    int64_t timeout_ms;         /* of the source; 0 in a source: as for all */
    int64_t attempt_timeout_ms; /* of one request; 0 in a source: as for all */
    int64_t retries;            /* -1 in a source: as for all */
    bool retry_unsafe;
} FetchSourceArgs;

typedef struct FetchArgs {
    FetchSourceArgs one; /* first, so that its rows stand in both tables */
    SchemaList sources;  /* of FetchSourceArgs */
    Str bearer;          /* the short form of auth.bearer */
    int64_t concurrency;
    int64_t per_host;
    double rate;
    bool sequential;
    int64_t deadline_ms;
    int64_t retry_after_max_ms;
    bool cache;
    Str cache_dir;
    int64_t watch_ms;
    bool strict;
    SchemaList out;
} FetchArgs;

extern const Schema fetch_args;
extern const SchemaField fetch_result;

/* ---- the plan -------------------------------------------------------------------------------- */

/* X(NAME, "word", RowKind): what a field's type may be. */
#define FETCH_TYPES(X)          \
    X(ANY, "any", ANY)          \
    X(TEXT, "text", TEXT)       \
    X(INTEGER, "integer", INT)  \
    X(NUMBER, "number", REAL)   \
    X(BOOLEAN, "boolean", BOOL) \
    X(TIME, "time", TIME)       \
    X(JSON, "json", JSON)

typedef enum FetchType {
#define X(name, word, kind) FETCH_TYPE_##name,
    FETCH_TYPES(X)
#undef X
} FetchType;

/* An expression: a path, or what is left to jq. */
typedef struct FetchExpr {
    Str text;
    Path path;
    bool is_jq;
} FetchExpr;

typedef struct FetchField {
    Str name;
    Str unit;
    FetchExpr expr;
    FetchType type;
    bool is_required;
    size_t column;   /* in the table */
    size_t jq_index; /* among the fields of its source that are jq's */
    uint64_t n_missing;
    uint64_t n_wrong;
} FetchField;

/* Texts that may not be shown, as given and as URLs spell them. */
typedef struct FetchSecrets {
    Str *items;
    size_t len;
    size_t cap;
} FetchSecrets;

/* X(NAME, "word"): why a source failed. */
#define FETCH_FAILURES(X)             \
    X(NONE, "")                       \
    X(DNS, "dns")                     \
    X(REFUSED, "refused")             \
    X(NETWORK, "network")             \
    X(TLS, "tls")                     \
    X(TIMEOUT, "timeout")             \
    X(HTTP, "http")                   \
    X(STATUS, "status")               \
    X(TOO_LARGE, "too_large")         \
    X(NOT_JSON, "not_json")           \
    X(FIELD_MISSING, "field_missing") \
    X(EXPRESSION, "expression")       \
    X(PAGES, "pages")                 \
    X(FORBIDDEN, "forbidden")         \
    X(OTHER, "other")

typedef enum FetchFailureKind {
#define X(name, word) FETCH_FAILURE_##name,
    FETCH_FAILURES(X)
#undef X
} FetchFailureKind;

const char *fetch_failure_word(FetchFailureKind kind);

/* A host that several sources may share. */
typedef struct FetchHost {
    struct FetchHost *next;
    Str origin;
    sl_sem slots;
    sl_rate rate;
    bool has_rate;
    int64_t not_before_ns; /* it has asked to be left alone until then */
} FetchHost;

typedef struct FetchRun FetchRun;
typedef struct FetchCache FetchCache;
typedef struct FetchJq FetchJq;
typedef struct FetchWatch FetchWatch;

typedef struct FetchSource {
    FetchRun *run;
    size_t index;
    const FetchSourceArgs *args;
    Str name;
    Str method;
    FetchExpr each;
    bool has_each;
    FetchField *fields;
    size_t n_fields;
    size_t n_jq; /* fields that are jq's */
    FetchJq *jq; /* NULL: none is needed */
    FetchSecrets secrets;
    FetchHost *host;
    int64_t timeout_ms;
    int64_t attempt_timeout_ms;
    int64_t retries;

    sl_event turn;  /* set when the sources before it have handed on their rows */
    sl_scope scope; /* its time-out, while is_timed */
    bool is_timed;
    int64_t deadline_ns; /* of its own time-out, its waits not counted */
    RowBatch batch;
    bool has_batch;
    int64_t started_ns; /* 0: it has not */
    int64_t waited_ns;  /* of its time, for others to hand on their rows */
    int64_t busy_ns;
    uint64_t n_rows;
    uint64_t n_pages;
    uint64_t n_cached; /* pages that came from the cache */
    bool is_done;

    FetchFailureKind failure;
    Str failure_text; /* without its kind */
    int status;       /* of the last answer; 0: none came */
    int64_t attempts; /* of the last request */
    Buf notes;        /* what was forgiven, in words, with "; " between */
} FetchSource;

struct FetchRun {
    Task *task;
    const FetchArgs *args;
    Arena *arena; /* of the task: lives as long as the run */
    Arena round;  /* of one round of asking */
    HttpClient *http;
    HttpPolicy policy;
    FetchSource *sources;
    size_t n_sources;
    FetchHost *hosts;
    FetchCache *cache; /* NULL: none */
    FetchWatch *watch; /* NULL: one round */

    RowColumn *columns;
    size_t n_columns;
    bool is_found_later; /* the columns: the one source names no fields */
    size_t source_column, error_column, time_column, changed_column;

    Outlet *outlet; /* NULL until the columns are known */
    sl_sem slots;
    int64_t started_ns;
    int64_t deadline_ns; /* INT64_MAX: none */
    size_t n_done;
    bool has_lost_sink; /* rows could not be handed on: all is over */
};

#define FETCH_NO_COLUMN SIZE_MAX

/* plan.c: 0, or an error of the arguments, final. */
MUST int fetch_plan(FetchRun *run);

/* plan.c: the columns of a source without fields, from the first item of its first page. */
MUST int fetch_find_columns(FetchSource *source, PathPlace item);

/* ---- one source ------------------------------------------------------------------------------ */

/* source.c: a fiber. 0 or -ECANCELED: what fails in the source is kept in it. */
SUSPENDS int fetch_source_run(void *arg);
void fetch_source_reset(FetchSource *source); /* before a round */
void fetch_source_deinit(FetchSource *source);

/* source.c: where rows go. */
MUST SUSPENDS int fetch_open_outlet(FetchRun *run);

/* source.c: hand on the rows of the batch, waiting for the source's turn. */
MUST SUSPENDS int fetch_source_flush(FetchSource *source);

/* source.c: this source fails: KIND, and words as for fail(). */
#define fetch_fail(source, kind, ...) fail(fetch_mark(source, kind), __VA_ARGS__)
int fetch_mark(FetchSource *source, FetchFailureKind kind);

/* source.c: remember what was forgiven. */
void fetch_note(FetchSource *source, const char *fmt, ...) SL_PRINTF(2, 3);

/* An answer that was kept. */
typedef struct FetchStored {
    const char *path; /* NULL: this request is not one to keep */
    char *data;       /* owned: what the texts below are in */
    Str type, head, vary, body;
    int status;
    int64_t request_ms;
    int64_t response_ms;
    HttpCacheEntry entry;
    HttpCacheUse use;
    bool is_there;
} FetchStored;

void fetch_stored_deinit(FetchStored *stored);
DEFINE_AUTO_VALUE(FetchStored, fetch_stored_deinit);

/* An answer that was worth reading. */
typedef struct FetchPage {
    Arena arena; /* of the page */
    HttpAnswer answer;
    FetchStored stored; /* what the cache has */
    Str url;            /* asked for */
    Str body;           /* decoded; of the answer or of the cache */
    Str head;           /* header lines */
    Str type;           /* Content-Type */
    int status;
    JsonDoc whole; /* the answer */
    JsonDoc doc;   /* what the items are in: the answer, or what jq made of it */
    size_t n_items;
} FetchPage;

void fetch_page_deinit(FetchPage *page);
DEFINE_AUTO_VALUE(FetchPage, fetch_page_deinit);

/* request.c: a page's URL: PARAMS take the place of those of the same name. */
Str fetch_build_url(Arena *arena, const FetchSource *source, const SchemaPair *params, size_t n);

/* request.c: the call for URL; what it borrows is in ARENA or the arguments. */
void fetch_build_call(Arena *arena, const FetchSource *source, Str url, HttpCall *call);

/* request.c: what may not be shown of the source. */
void fetch_find_secrets(FetchSource *source);

/* request.c: TEXT without secrets and control characters, in ARENA. */
Str fetch_scrub(Arena *arena, const FetchSource *source, Str text);

/* request.c: "https://host:port" of URL as the key of a host. */
Str fetch_origin(Arena *arena, Str url);

/* request.c: TARGET, perhaps relative, against BASE. */
Str fetch_resolve(Arena *arena, Str base, Str target);

/* attempt.c: ask for PAGE->url until there is an answer of 2xx, or no sense in it. */
MUST SUSPENDS int fetch_ask(FetchSource *source, FetchPage *page);

/* cache.c: open the folder, where a cache is wanted. */
MUST SUSPENDS int fetch_cache_open(FetchRun *run);

/* cache.c: bring the folder back to its bounds. */
MUST SUSPENDS int fetch_cache_prune(FetchRun *run);

/* cache.c: look for a kept answer to CALL. 0 also when there is none; -ECANCELED. */
MUST SUSPENDS int fetch_cache_find(FetchSource *source, Arena *arena, HttpCall *call,
                                   FetchStored *stored);

/* cache.c: make CALL one that asks whether the kept answer still holds. */
void fetch_cache_condition(Arena *arena, const FetchStored *stored, HttpCall *call);

/* cache.c: whether the kept answer may be used though the server failed. */
bool fetch_cache_may_stand_in(const FetchStored *stored);

/* cache.c: PAGE is the kept answer. */
void fetch_cache_use(FetchSource *source, const FetchStored *stored, FetchPage *page);

/* cache.c: keep the answer of PAGE, or renew the kept one after a 304. */
MUST SUSPENDS int fetch_cache_keep(FetchSource *source, HttpCall *call, FetchStored *stored,
                                   FetchPage *page);

/* body.c: parse PAGE->body into PAGE->doc. */
MUST int fetch_read_body(FetchSource *source, FetchPage *page);

/* cells.c: the rows of PAGE into the source's batch. */
MUST SUSPENDS int fetch_add_rows(FetchSource *source, FetchPage *page);

/* cells.c: the row that says why the source failed. */
MUST SUSPENDS int fetch_add_failure(FetchSource *source);

/* page.c: the URL of the page behind PAGE; empty: there is none. */
MUST int fetch_next_url(FetchSource *source, const FetchPage *page, Arena *arena, Str *ret_url);

/* page.c: the URL of the first page. */
Str fetch_first_url(FetchSource *source, Arena *arena);

/* ---- expressions of jq ----------------------------------------------------------------------- */

/* jq.c: begin to compile what SOURCE needs, in a fiber of NURSERY. */
MUST SUSPENDS int fetch_jq_open(FetchSource *source, sl_nursery *nursery);
void fetch_jq_close(FetchJq *jq);

/* jq.c: the items that `each` gives for the page, as the text of an array in ARENA. */
MUST SUSPENDS int fetch_jq_each(FetchSource *source, Arena *arena, Str json, Str *ret_array);

/* jq.c: for each of N items the values of the fields that are jq's: the text of an array of arrays
 * of {"v": [values]} or {"e": "why not"}. */
MUST SUSPENDS int fetch_jq_fields(FetchSource *source, Arena *arena, const Str *items, size_t n,
                                  Str *ret_arrays);

/* ---- watching -------------------------------------------------------------------------------- */

FetchWatch *fetch_watch_new(const FetchRun *run);
void fetch_watch_free(FetchWatch *watch); /* NULL is nothing */

/* Put the time and what changed into the rows of BATCH; without `out`, drop those that did not. */
MUST int fetch_watch_mark(FetchWatch *watch, const FetchSource *source, RowBatch *batch);

/* Whether this round has shown a row. */
bool fetch_watch_has_news(const FetchWatch *watch);

/* The round is over: the next one is compared with it. */
void fetch_watch_turn(FetchWatch *watch);
