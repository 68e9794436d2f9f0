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
 * (refused, reset, unreachable, cut short), -ERR_TLS, -ERR_HTTP (not HTTP, too many redirects,
 * broken or too many encodings), -ERR_TOO_LARGE (a limit on bytes, a decompression bomb),
 * -ERR_FORBIDDEN (the policy), -ERR_INVALID (the URL), -ETIMEDOUT (a limit of the call; the words
 * and answer.phase say in which phase), -ECANCELED (the scope). Words name the URL without user
 * and password.
 *
 * Redirects are followed here, hop by hop, so that each hop is checked anew: the policy, the veto
 * of on_redirect, and what may go along. Credentials, secret headers, and headers called
 * Authorization or Cookie are sent to the origin (scheme, host, port) of the first URL only.
 */
#pragma once

#include "base/text.h"
#include "net/cookies.h"
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
                                 for a reused connection. A call's own proxy is refused, because
                                 it would connect out of our sight (see is_proxy_trusted); behind
                                 a trusted one, hosts that are private by their name or number are
                                 refused and the rest is the proxy's to refuse */
} HttpPolicy;

/* A name with a fixed address, as in a hosts file. */
typedef struct HttpResolve {
    const char *host;    /* "shop.test", "*.test" (all below, at any depth), "*" (all names) */
    const char *address; /* numeric, without a port: "127.0.0.1", "::1" */
} HttpResolve;

typedef struct HttpClientOpts {
    size_t connections_per_host; /* 0 means LIMIT_HTTP_CLIENT_PER_HOST */
    size_t connections_max;      /* open in all, kept ones included; 0 means
                                    LIMIT_HTTP_CLIENT_CONNECTIONS */
    size_t calls_max;            /* at once; more wait; 0 means LIMIT_HTTP_CLIENT_CALLS */
    const char *user_agent;      /* NULL means "sluice"; must outlive the client */
    const char *proxy;           /* URL (http, https, socks4, socks4a, socks5, socks5h); NULL
                                    means none (the environment is not asked). Trusted: its own
                                    address is not subject to the policy */
    bool is_proxy_trusted;       /* calls under DENY_PRIVATE may name a proxy of their own */
    const char *ca_file;         /* certificates to trust; NULL means the system's */
    HttpPolicy policy;           /* of calls that do not say more strictly */
    const HttpResolve *resolve;  /* the first that fits a host counts, others go to DNS; must
                                    outlive the client. The policy looks at the address it gives */
    size_t n_resolve;

    /* Optional: a further say on each address before it is connected to; false denies. */
    bool (*allow)(void *ctx, const struct sockaddr *address, socklen_t len);
    void *ctx;
} HttpClientOpts;

/* Start a client whose fibers live in NURSERY. OPTS may be NULL. */
MUST SUSPENDS int http_client_start(HttpClient **ret_client, sl_nursery *nursery,
                                    const HttpClientOpts *opts);

/* Abort what runs (-ECANCELED for its callers), close, free. Returns when its fibers have ended. */
SUSPENDS void http_client_stop(HttpClient *client);

typedef enum HttpVersion {
    HTTP_VERSION_BEST,     /* 2 over TLS where the server has it, else 1.1 */
    HTTP_VERSION_1_0,      /* for servers that get 1.1 wrong */
    HTTP_VERSION_1_1,      /* never 2 */
    HTTP_VERSION_2_DIRECT, /* 2 at once, without TLS too; the server must have it */
} HttpVersion;

/* Who asks. A bearer token counts before user and password; those in a URL count before both. */
typedef struct HttpCredentials {
    Str user;     /* basic, without ':' */
    Str password; /* basic */
    Str bearer;   /* a token, without "Bearer " */
} HttpCredentials;

/* A redirect that is about to be followed. */
typedef struct HttpRedirect {
    int status;           /* 301, 302, 303, 307, 308 */
    int hops;             /* of this call, this one counted */
    Str from;             /* without user and password */
    Str to;               /* resolved; http or https */
    bool is_cross_origin; /* scheme, host or port differ from the first URL's: no credentials go */
    bool is_downgrade;    /* from https to http */
} HttpRedirect;

#define HTTP_REDIRECT_STOP 1 /* of on_redirect: the redirect is the answer, without its body */

/* One call. Zeroed fields are the defaults; views are borrowed until the call returns. */
typedef struct HttpCall {
    Str method; /* empty means GET, or POST when there is a body */
    Str url;
    const HttpHeader *headers; /* added to, or in place of, the client's own */
    size_t n_headers;
    Str body; /* sent when data is not NULL */

    size_t body_bytes_max;   /* of the answer, decoded; 0 means LIMIT_HTTP_CLIENT_BODY_BYTES */
    size_t header_bytes_max; /* of the answer; 0 means LIMIT_HTTP_CLIENT_HEADER_BYTES */
    int redirects_max;       /* 0 means LIMIT_HTTP_CLIENT_REDIRECTS, -1 means follow none: a
                                redirect is an answer like others, with answer.location */
    int64_t connect_ms;      /* 0 means LIMIT_HTTP_CLIENT_CONNECT_MS */
    int64_t timeout_ms;      /* of the whole call, beside the scope's deadline; 0 means none */
    bool is_raw;             /* neither ask for compression nor decode it */
    bool keep_headers;       /* fill answer.head */
    HttpPolicy policy;       /* the stricter of this and the client's counts */

    /* Optional: take the body piece by piece instead of into answer.body. Below zero aborts the
     * call with that error. Does not suspend. Bodies of redirects that are followed are skipped. */
    int (*on_body)(void *ctx, Str piece);
    void *ctx; /* of on_body and on_redirect */

    /* Optional: asked before each redirect is followed. 0 follows, HTTP_REDIRECT_STOP makes the
     * redirect the answer, below zero ends the call with that error. Does not suspend. */
    int (*on_redirect)(void *ctx, const HttpRedirect *redirect);

    HttpCookies *cookies;        /* NULL: cookies are neither kept nor sent */
    const char *proxy;           /* URL, as in HttpClientOpts; NULL means the client's, "" none */
    HttpCredentials credentials; /* for the first URL's origin */
    const HttpHeader *secrets;   /* headers for the first URL's origin only: API keys */
    size_t n_secrets;
    const char *accept;          /* the Accept header; NULL means anything */
    const char *accept_encoding; /* "gzip, br"; NULL means all that libcurl can decode (gzip,
                                    deflate, and br and zstd where it was built with them) */
    HttpVersion version;

    /* Against hostile bodies. */
    uint32_t ratio_max;      /* decoded bytes for each one carried, looked at beyond the first
                                LIMIT_HTTP_CLIENT_RATIO_FREE_BYTES; 0 means
                                LIMIT_HTTP_CLIENT_RATIO, UINT32_MAX any */
    uint64_t wire_bytes_max; /* of the answer as carried; 0 means body_bytes_max */
    uint64_t low_speed;      /* bytes/s; slower than this for low_speed_ms: -ETIMEDOUT; 0: none */
    int64_t low_speed_ms;    /* in whole seconds, rounded up; 0 means
                                LIMIT_HTTP_CLIENT_LOW_SPEED_MS */
} HttpCall;

/* Where a call is, or where it ended. */
#define HTTP_PHASES(X)                  \
    X(TURN, "waiting for its turn")     \
    X(NAME, "looking up the name")      \
    X(CONNECT, "connecting")            \
    X(TLS, "in the TLS handshake")      \
    X(ANSWER, "waiting for the answer") \
    X(BODY, "receiving the body")       \
    X(DONE, "done")

typedef enum HttpPhase {
#define X(name, text) HTTP_PHASE_##name,
    HTTP_PHASES(X)
#undef X
} HttpPhase;

/* "connecting": goes behind "timed out while " and the like. Static text. */
const char *http_phase_text(HttpPhase phase);

/* Nanoseconds that the last hop of a call spent in each phase; 0 when it had no such phase. */
typedef struct HttpTimings {
    int64_t name_ns;       /* looking up the name */
    int64_t connect_ns;    /* TCP, and a proxy's handshake */
    int64_t tls_ns;        /* TLS */
    int64_t first_byte_ns; /* from there to the first byte of the answer: sending and waiting */
    int64_t body_ns;       /* from there to the end */
    int64_t total_ns;      /* of this hop; took_ns is of the call */
} HttpTimings;

typedef struct HttpAnswer {
    int status;
    Buf body;               /* decoded */
    Buf head;               /* with keep_headers: the last answer's header lines, as sent */
    char content_type[128]; /* cut; "" when there was none */
    char *url;              /* with redirects: where it ended; NULL when that is the call's own */
    uint64_t bytes_down;    /* of the last body, as carried, before decoding */
    int redirects;          /* followed */
    bool is_reused;         /* came over a connection that was open already */
    int64_t took_ns;        /* the whole call: its wait for a turn and each hop */

    char *location; /* where a redirect that was not followed points, resolved; NULL: nowhere */
    uint64_t body_bytes; /* of the last body, decoded: those in body, or given to on_body */
    uint64_t head_bytes; /* of the last answer's header lines */
    bool is_cut_short;   /* the call failed inside the body: what came is there, the rest is not */
    int http_version;    /* 10, 11, 20; 0 when no answer came */
    HttpPhase phase;     /* where the call ended; DONE when it has an answer. Set on each outcome,
                            cancellation too */
    NetAddress peer;     /* whom the last hop was connected to (a proxy, where there is one);
                            net_address_format gives its text; AF_UNSPEC when to nobody */
    HttpTimings timings; /* of the last hop */
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
