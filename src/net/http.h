/*
 * HTTP words: methods, statuses, headers, and the request and the response that a handler of the
 * server sees.
 *
 * A request's texts are views into the connection's buffer, and like everything in its arena they
 * live until the handler returns. A response is filled by the handler and sent when it returns, or
 * begun and written piece by piece (http_response_begin) for answers without a known length.
 */
#pragma once

#include "base/arena.h"
#include "base/own.h"
#include "base/text.h"
#include "net/address.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Stream Stream;

/* X(NAME, "TEXT", whether a request with it usually has a body) */
#define HTTP_METHODS(X)          \
    X(GET, "GET", false)         \
    X(HEAD, "HEAD", false)       \
    X(POST, "POST", true)        \
    X(PUT, "PUT", true)          \
    X(PATCH, "PATCH", true)      \
    X(DELETE, "DELETE", false)   \
    X(OPTIONS, "OPTIONS", false) \
    X(TRACE, "TRACE", false)     \
    X(CONNECT, "CONNECT", false)

typedef enum HttpMethod {
#define X(name, text, has_body) HTTP_METHOD_##name,
    HTTP_METHODS(X)
#undef X
        HTTP_METHOD_OTHER, /* known to HTTP, not to us: see method_text */
} HttpMethod;

/* "GET"; "OTHER" for HTTP_METHOD_OTHER. Static text. */
const char *http_method_name(HttpMethod method);

typedef struct HttpHeader {
    Str name;  /* as sent; compared without regard to case */
    Str value; /* without surrounding white space */
} HttpHeader;

/* ---- request --------------------------------------------------------------------------------- */

typedef struct HttpRequest {
    HttpMethod method;
    Str method_text;
    Str target;      /* as it stood in the request line */
    Str path;        /* starts with '/', not decoded; "*" for OPTIONS of the server */
    Str query;       /* behind '?', not decoded (see url_query_find); empty without one */
    Str host;        /* of the target or the Host header; may be empty for HTTP/1.0 */
    int version;     /* 10 or 11 */
    bool keep_alive; /* the connection may serve another request after this one */

    const HttpHeader *headers; /* in order of arrival */
    size_t n_headers;

    Str body;           /* whole, decoded of chunks; empty while it is streamed */
    uint64_t body_left; /* of Content-Length; UINT64_MAX when chunked; 0 when there is none */

    Arena *arena;           /* reset after each request */
    const NetAddress *peer; /* who asks */
    uint64_t serial;        /* of this request on its server, from 1 */

    /* What on_head of the server may set, before the body is read. */
    size_t body_bytes_max; /* starts with the server's limit; above it: 413 */
    bool is_body_required; /* without a length of any kind: 411 */
    bool is_body_streamed; /* call on_request at once; it reads with http_request_read */
    void *route;           /* the router's; NULL at first */

    struct HttpExchange *exchange; /* the server's */
} HttpRequest;

/* The value of the first header called NAME (any case); data is NULL when there is none. */
Str http_request_header(const HttpRequest *request, const char *name);

/*
 * Read some of a streamed body: bytes, 0 at its end, or an error that the handler returns
 * (-ERR_TOO_LARGE, -ERR_INVALID, -ETIMEDOUT, …). Sends the 100 that the client may wait for.
 */
MUST SUSPENDS ssize_t http_request_read(HttpRequest *request, void *buf, size_t len);

/*
 * Watch the client while the handler waits (long poll): when it goes away, what the handler waits
 * for is cancelled (-ECANCELED), http_request_is_gone says so, and no answer is sent. Answers of
 * earlier pipelined requests leave first. Bytes that arrive meanwhile end the watch quietly.
 */
MUST SUSPENDS int http_request_watch(HttpRequest *request);
bool http_request_is_gone(const HttpRequest *request);

/* ---- response -------------------------------------------------------------------------------- */

typedef struct HttpResponse {
    int status;       /* 200 unless set */
    Str content_type; /* empty: no such header. Borrowed until the answer has left */
    Buf body;         /* append here … */
    Str body_view;    /* … or, when data is not NULL, show memory that outlives the request */
    bool close;       /* close the connection after this answer */

    struct HttpExchange *exchange; /* the server's */
} HttpResponse;

/*
 * Add a header. NAME is a token of our own (asserted); line ends and NUL in VALUE become spaces, so
 * that a value from outside cannot forge a header. Content-Length, Transfer-Encoding, Connection
 * and Date are the server's. Content-Type goes into its field.
 */
void http_response_header(HttpResponse *response, const char *name, Str value);

/*
 * Begin an answer of unknown length: sends the head now (chunked; to HTTP/1.0 until the end of the
 * connection). After it only http_response_write; the answer ends when the handler returns 0, and
 * is cut off, for the client to notice, when it returns an error.
 */
MUST SUSPENDS int http_response_begin(HttpResponse *response);

/* Send a piece; empty is nothing. An error means the client has gone or is too slow. */
MUST SUSPENDS int http_response_write(HttpResponse *response, Str piece);

/*
 * Take the connection over, for answers that HTTP has no words for: earlier answers leave, and from
 * here on the client gets what the handler writes to *ret_stream (borrowed) and nothing else. Of
 * the response only the status counts, for on_done. The connection ends with the handler: closed
 * after 0, reset after an error. Deadlines are the handler's.
 */
MUST SUSPENDS int http_response_take_over(HttpResponse *response, Stream **ret_stream);
