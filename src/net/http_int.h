/*
 * The inside of the HTTP server: what server, connection, body and response share.
 *
 *   HttpServer    one for each loop: limits, callbacks, lists, pooled working sets
 *   HttpConn      one for each connection, on its fiber's stack: small, because 10 000 idle ones
 *                 hold nothing else
 *   WorkingSet    the buffers of a request, lent to a connection from the first byte of a request
 *                 until it idles again; the last one returned is the first lent, so it is warm
 *   HttpExchange  one request and its answer, part of the working set
 *
 * The bytes of a working set's input: [0, pos) are done with, [pos, len) are to be parsed. While a
 * request is answered, its head lies in front of pos and does not move.
 */
#pragma once

#include "base/list.h"
#include "net/http_parser_int.h"
#include "net/http_server.h"

#define HTTP_IN_SLACK    4096 /* of input beyond the largest head: for bodies and pipelining */
#define HTTP_INLINE_BODY (16 << 10) /* answers up to this are copied behind their head */
#define HTTP_BUF_KEPT    (64 << 10) /* buffers that grew beyond are freed, not kept */

typedef struct HttpConn HttpConn;
typedef struct WorkingSet WorkingSet;

typedef struct HttpExchange {
    HttpConn *conn;
    HttpRequest request;
    HttpResponse response;
    Buf extra_headers;  /* "Name: value\r\n" … */
    Buf body_in;        /* a body that does not fit into the input */
    sl_scope scope;     /* of the handler; a watch cancels it */
    int64_t started_ns; /* head complete */
    int64_t body_started_ns;
    uint64_t body_received; /* bytes of the body, decoded */
    uint64_t body_sent;
    size_t body_bytes_held; /* charged to the server's account */
    size_t body_base;       /* where in the input the body begins */
    int body_status;        /* the answer to a body that failed; 0 while it has not */
    int status_sent;        /* 0 until the head of the answer is in the output */
    bool is_open;           /* between exchange_begin and its end */
    bool is_body_done;      /* the request's body has been read whole */
    bool has_begun;         /* http_response_begin */
    bool is_chunked;        /* of the answer */
    bool is_gone;           /* a watch saw the client leave */
    bool will_close;        /* after this answer */

    /* The watch: a fiber of the server's nursery. */
    sl_scope *watch_scope; /* the watcher's; NULL when it does not wait */
    bool is_watching;
    bool is_watch_over; /* the watcher must not wait any more */
    sl_event watch_ended;
} HttpExchange;

struct WorkingSet {
    WorkingSet *next; /* in the server's pool */
    HttpParser parser;
    HttpExchange exchange;
    Arena arena;
    Buf out; /* answers that have not been sent */
    size_t in_pos;
    size_t in_len;
    size_t in_cap;
    HttpHeader *headers; /* headers_max of them, behind the struct */
    char *in;            /* in_cap bytes, behind the headers */
};

struct HttpConn {
    HttpServer *server;
    Stream *stream;
    WorkingSet *set;    /* NULL while idle */
    ListLink link;      /* in server->conns */
    ListLink idle_link; /* in server->idle_conns while waiting for a request */
    sl_scope life;      /* cancelled by stop */
    sl_scope io;        /* of the wait in progress; cancelled by drain while idle */
    uint64_t requests;
    bool is_dead;      /* the stream has failed: nothing more is written */
    bool wants_linger; /* unread bytes: read on a little before closing */
};

struct HttpServer {
    uint32_t tag;
    HttpServerOpts opts; /* with the defaults filled in */
    Listener *listener;
    sl_nursery *fibers; /* of connections and watchers; NULL when it has ended */
    List conns;
    List idle_conns;
    sl_scope *accept_scope; /* of the acceptor's wait; NULL when it does not wait */
    sl_cond changed;        /* a connection ended, or draining began */
    sl_event ended;         /* the acceptor's fiber is over */
    bool is_retiring;       /* answers end their connections */
    bool is_closed;         /* takes no further connections */
    bool is_draining;
    WorkingSet *pool;
    size_t n_pool;
    size_t n_lent;
    uint64_t serial;
    size_t body_bytes_held; /* by bodies that are being gathered or answered */
    HttpServerStats counts;

    /* "Date: …\r\n" of this second. */
    char date[40];
    size_t date_len;
    int64_t date_until_ns;
};

#define HTTP_SERVER_TAG 0x48535256u /* "HSRV" */

/* http_server.c */
WorkingSet *http_set_take(HttpServer *server); /* NULL without memory */
void http_set_put(HttpServer *server, WorkingSet *set);

/* http_conn.c */
SUSPENDS void http_conn_run(HttpConn *conn);
/* Send what is in the output, then the LEN bytes at MORE. 0 or an error; the connection is dead
 * then. */
MUST SUSPENDS int http_conn_flush(HttpConn *conn, const char *more, size_t len);
/* Read once into DATA with a deadline. Bytes, 0 at the end, an error; -ETIMEDOUT is the deadline's.
 */
MUST SUSPENDS ssize_t http_conn_read(HttpConn *conn, char *data, size_t len, int64_t deadline_ns);

/* http_body.c: the body of a request. */
/* Read it whole into request.body. 0, or an error; exchange->body_status is the answer to it. */
MUST SUSPENDS int http_body_read_all(HttpExchange *exchange);

/* http_response.c */
void http_response_reset(HttpExchange *exchange);
/* Put the finished answer into the output; sends when it is large. 0 or an error. */
MUST SUSPENDS int http_response_finish(HttpExchange *exchange);
/* Replace the answer by the page for STATUS. Ends the fiber's error record R belongs to. */
void http_response_error(HttpExchange *exchange, int status, int r);

/* http_watch.c */
SUSPENDS void http_watch_end(HttpExchange *exchange);
