/*
 * The HTTP client: libcurl's multi interface, driven by the loop.
 *
 * One client for each loop; any number of fibers call it at once. Connections are kept and reused.
 * The deadline is the caller's scope: when it passes, or the fiber is cancelled, the transfer is
 * aborted. Names are resolved on libcurl's threads. HTTP/1.1 and 2 over TLS, http and https only.
 *
 *   AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
 *   r = http_client_get(client, STR_C("https://…"), &answer);
 *
 * An answer with status 404 or 500 is an answer, not an error. Errors: -ERR_DNS, -ERR_NETWORK
 * (refused, reset, unreachable), -ERR_TLS, -ERR_HTTP (not HTTP, too many redirects, broken
 * encoding), -ERR_TOO_LARGE, -ERR_FORBIDDEN (the policy), -ERR_INVALID (the URL), -ETIMEDOUT (a
 * limit of the call), -ECANCELED (the scope). Words name the URL without user and password.
 */
#pragma once

#include "base/text.h"
#include "net/http.h"
#include <sluice/rt.h>

#include <sys/socket.h>

typedef struct HttpClient HttpClient;

/* Once in a process, before threads: libcurl, and SIGPIPE ignored. 0 or -ERR_INTERNAL. */
MUST int http_client_global_init(void);
void http_client_global_deinit(void);

typedef enum HttpPolicy {
    HTTP_POLICY_ALLOW_ALL,    /* any address */
    HTTP_POLICY_DENY_PRIVATE, /* public addresses only: checked after DNS, for each redirect, and
                                 for a reused connection */
} HttpPolicy;

typedef struct HttpClientOpts {
    size_t connections_per_host; /* 0 means LIMIT_HTTP_CLIENT_PER_HOST */
    size_t connections_max;      /* open in all, kept ones included; 0 means
                                    LIMIT_HTTP_CLIENT_CONNECTIONS */
    size_t calls_max;            /* at once; more wait; 0 means LIMIT_HTTP_CLIENT_CALLS */
    const char *user_agent;      /* NULL means "sluice"; must outlive the client */
    const char *proxy;           /* URL; NULL means none (the environment is not asked) */
    const char *ca_file;         /* certificates to trust; NULL means the system's */
    HttpPolicy policy;           /* of calls that do not say more strictly */

    /* Optional: a further say on each address before it is connected to; false denies. */
    bool (*allow)(void *ctx, const struct sockaddr *address, socklen_t len);
    void *ctx;
} HttpClientOpts;

/* Start a client whose fibers live in NURSERY. OPTS may be NULL. */
MUST SUSPENDS int http_client_start(HttpClient **ret_client, sl_nursery *nursery,
                                    const HttpClientOpts *opts);

/* Abort what runs (-ECANCELED for its callers), close, free. Returns when its fibers have ended. */
SUSPENDS void http_client_stop(HttpClient *client);

/* One call. Zeroed fields are the defaults; views are borrowed until the call returns. */
typedef struct HttpCall {
    Str method; /* empty means GET, or POST when there is a body */
    Str url;
    const HttpHeader *headers; /* added to, or in place of, the client's own */
    size_t n_headers;
    Str body; /* sent when data is not NULL */

    size_t body_bytes_max;   /* of the answer, decoded; 0 means LIMIT_HTTP_CLIENT_BODY_BYTES */
    size_t header_bytes_max; /* of the answer; 0 means LIMIT_HTTP_CLIENT_HEADER_BYTES */
    int redirects_max;       /* 0 means LIMIT_HTTP_CLIENT_REDIRECTS, -1 means follow none */
    int64_t connect_ms;      /* 0 means LIMIT_HTTP_CLIENT_CONNECT_MS */
    int64_t timeout_ms;      /* of the whole call, beside the scope's deadline; 0 means none */
    bool is_raw;             /* neither ask for compression nor decode it */
    bool keep_headers;       /* fill answer.headers */
    HttpPolicy policy;       /* the stricter of this and the client's counts */

    /* Optional: take the body piece by piece instead of into answer.body. Below zero aborts the
     * call with that error. Does not suspend. */
    int (*on_body)(void *ctx, Str piece);
    void *ctx;
} HttpCall;

typedef struct HttpAnswer {
    int status;
    Buf body;               /* decoded */
    Buf head;               /* with keep_headers: the last answer's header lines, as sent */
    char content_type[128]; /* cut; "" when there was none */
    char *url;              /* with redirects: where it ended; NULL when that is the call's own */
    uint64_t bytes_down;    /* as carried, before decoding */
    int redirects;
    bool is_reused; /* came over a connection that was open already */
    int64_t took_ns;
} HttpAnswer;

void http_answer_deinit(HttpAnswer *answer);
void http_answer_reset(HttpAnswer *answer); /* keeps the capacity of its buffers */
DEFINE_AUTO_VALUE(HttpAnswer, http_answer_deinit);

/* The value of a header of the last answer, any case; data is NULL when there is none. */
Str http_answer_header(const HttpAnswer *answer, const char *name);

/* Make the call. ANSWER is zeroed or reset before; on an error it holds what had come. */
MUST SUSPENDS int http_client_call(HttpClient *client, const HttpCall *call, HttpAnswer *answer);

MUST SUSPENDS int http_client_get(HttpClient *client, Str url, HttpAnswer *answer);

typedef struct HttpClientStats {
    size_t active;      /* calls in progress */
    size_t connections; /* sockets open */
    uint64_t calls;     /* since the start */
    uint64_t connects;  /* sockets opened since the start */
    uint64_t reused;    /* calls that needed no new connection */
} HttpClientStats;

void http_client_stats(const HttpClient *client, HttpClientStats *ret_stats);
