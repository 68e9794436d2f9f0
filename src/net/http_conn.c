/*
 * A connection, from its first byte to its last.
 *
 *            +--------------------------------------------------+
 *            v                                                  |
 *   idle: wait_for_request --bytes--> read_head --head--> answer+
 *            ^    | time, drain, end      | nothing left  | close, error
 *            |    v                       |               v
 *            |   end <--------------------|------------- end
 *            +----------------------------+
 *
 * One receive brings one or many requests. Answers gather in the output while further requests are
 * at hand, and leave together before the connection waits for more bytes. While it idles it holds
 * no buffers. Every wait has a deadline, which is a scope around it.
 */
#include "net/http_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#include <errno.h>
#include <string.h>

#define LINGER_BYTES (1 << 20) /* read and dropped after a last answer, at most */
#define FAREWELL_MS  250       /* for the answer of a handler that was cut off by a stop */

typedef enum Next { NEXT_HEAD, NEXT_IDLE, NEXT_END } Next;

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Step N bytes ahead in IOV; returns how many pieces are used up. */
static int step(struct iovec *iov, int count, size_t n)
{
    int used = 0;

    while (used < count && n >= iov[used].iov_len) {
        n -= iov[used].iov_len;
        used++;
    }
    if (used < count) {
        iov[used].iov_base = (char *) iov[used].iov_base + n;
        iov[used].iov_len -= n;
    }
    return used;
}

int http_conn_flush(HttpConn *conn, const char *more, size_t len)
{
    Buf *out = &conn->set->out;
    struct iovec iov[2] = { { .iov_base = out->data, .iov_len = out->len },
                            { .iov_base = (void *) (uintptr_t) more, .iov_len = len } };
    int at = out->len == 0, end = len > 0 ? 2 : 1;
    int64_t patience_ns = conn->server->opts.write_ms * NS_PER_MS;
    int r = 0;

    if (conn->is_dead)
        return fail(-ERR_CLOSED, "the client has gone");
    if (out->is_failed)
        return buf_check(out);
    if (at >= end)
        return 0;
    sl_scope_begin(&conn->io, .deadline_ns = sl_now_ns() + patience_ns);
    while (at < end) {
        ssize_t n = stream_writev(conn->stream, iov + at, end - at);

        if (n < 0) {
            r = (int) n;
            break;
        }
        at += step(iov + at, end - at, (size_t) n);
        if (at < end)
            sl_scope_set_deadline(&conn->io, sl_now_ns() + patience_ns);
    }
    r = sl_scope_end(&conn->io, r);
    buf_reset(out);
    if (r < 0)
        conn->is_dead = true;
    return r == -ETIMEDOUT ? fail(r, "the client does not read its answer") : r;
}

ssize_t http_conn_read(HttpConn *conn, char *data, size_t len, int64_t deadline_ns)
{
    ssize_t n;
    int r;

    ASSERT(len > 0);
    n = stream_try_read(conn->stream, data, len);
    if (n != -EAGAIN) {
        if (n < 0)
            conn->is_dead = true;
        return n;
    }
    sl_scope_begin(&conn->io, .deadline_ns = deadline_ns);
    n = stream_read(conn->stream, data, len);
    r = sl_scope_end(&conn->io, n < 0 ? (int) n : 0);
    if (r < 0 && r != -ETIMEDOUT)
        conn->is_dead = true;
    return r < 0 ? r : n;
}

/* ---- one exchange ---------------------------------------------------------------------------- */

static int code_of_status(int status)
{
    switch (status) {
    case 408: return -ETIMEDOUT;
    case 413:
    case 414:
    case 431: return -ERR_TOO_LARGE;
    case 501:
    case 505: return -ERR_UNSUPPORTED;
    case 503: return -ERR_UNAVAILABLE;
    default: return -ERR_INVALID;
    }
}

static void exchange_begin(HttpConn *conn)
{
    WorkingSet *set = conn->set;
    HttpExchange *exchange = &set->exchange;
    HttpServer *server = conn->server;

    exchange->conn = conn;
    exchange->is_open = true;
    exchange->request = (HttpRequest){
        .method = HTTP_METHOD_OTHER,
        .version = 11,
        .arena = &set->arena,
        .peer = &conn->stream->peer,
        .serial = ++server->serial,
        .body_bytes_max = server->opts.body_bytes_max,
        .exchange = exchange,
    };
    exchange->started_ns = sl_now_ns();
    exchange->body_started_ns = exchange->started_ns;
    exchange->body_received = 0;
    exchange->body_sent = 0;
    exchange->body_base = set->in_pos;
    exchange->body_status = 0;
    exchange->status_sent = 0;
    exchange->is_body_done = set->parser.body_left == 0;
    exchange->has_begun = false;
    exchange->is_chunked = false;
    exchange->is_gone = false;
    exchange->will_close = false;
    exchange->is_watching = false;
    exchange->response.exchange = exchange;
    http_response_reset(exchange);
}

static void exchange_end(HttpExchange *exchange)
{
    WorkingSet *set = exchange->conn->set;
    HttpServer *server = exchange->conn->server;

    exchange->is_open = false;
    server->counts.requests++;
    if (server->opts.on_done)
        server->opts.on_done(server->opts.ctx, &exchange->request, exchange->status_sent,
                             exchange->body_sent, sl_now_ns() - exchange->started_ns);
    arena_reset(&set->arena);
    buf_reset(&exchange->body_in);
    server->body_bytes_held -= exchange->body_bytes_held;
    exchange->body_bytes_held = 0;
}

/* Answer a request that is refused before its handler, and end the connection. */
SUSPENDS COLD static void refuse(HttpConn *conn, int status, const char *why)
{
    HttpExchange *exchange = &conn->set->exchange;
    int r;

    if (!exchange->is_open)
        exchange_begin(conn);
    exchange->will_close = true;
    conn->wants_linger = true;
    http_response_error(exchange, status, fail(code_of_status(status), "%s", why));
    r = http_response_finish(exchange);
    if (r < 0)
        conn->is_dead = true;
    exchange_end(exchange);
}

/* What stands between the head and the handler: 0, or an error and the status to answer. */
SUSPENDS static int prepare(HttpExchange *exchange, int *ret_status)
{
    HttpConn *conn = exchange->conn;
    const HttpServerOpts *opts = &conn->server->opts;
    HttpRequest *request = &exchange->request;
    int r;

    if (opts->on_head) {
        r = opts->on_head(opts->ctx, request);
        if (r < 0) {
            *ret_status = err_http_status(r);
            return r;
        }
    }
    if (request->is_body_required && !conn->set->parser.has_length) {
        *ret_status = 411;
        return fail(-ERR_INVALID, "this request needs a body with a Content-Length");
    }
    if (request->is_body_streamed) {
        if (request->body_left != UINT64_MAX && request->body_left > request->body_bytes_max) {
            *ret_status = 413;
            return fail(-ERR_TOO_LARGE, "the body is larger than its limit");
        }
        return 0;
    }
    r = http_body_read_all(exchange);
    if (r < 0)
        *ret_status = exchange->body_status ? exchange->body_status : err_http_status(r);
    return r;
}

SUSPENDS static int run_handler(HttpExchange *exchange)
{
    const HttpServerOpts *opts = &exchange->conn->server->opts;
    int r;

    sl_scope_begin(&exchange->scope);
    r = opts->on_request(opts->ctx, &exchange->request, &exchange->response);
    ASSERT(r <= 0);
    if (UNLIKELY(exchange->is_watching))
        http_watch_end(exchange);
    return sl_scope_end(&exchange->scope, r);
}

/* The handler failed, or something before it. */
COLD static void answer_failure(HttpExchange *exchange, int status, int r)
{
    if (exchange->has_begun) { /* half an answer: the client must notice */
        stream_abort(exchange->conn->stream);
        exchange->conn->is_dead = true;
    } else if (sl_is_cancelled()) { /* a stop has run out of patience */
        http_response_error(exchange, 503, fail(-ERR_UNAVAILABLE, "the server is stopping"));
    } else {
        http_response_error(exchange, status, r);
    }
}

/* The connection's fiber is cancelled; what is answered leaves all the same, if it goes quickly. */
SUSPENDS COLD static void finish_shielded(HttpExchange *exchange)
{
    HttpConn *conn = exchange->conn;
    sl_scope shield;
    int r;

    exchange->will_close = true;
    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = FAREWELL_MS);
    r = http_response_finish(exchange);
    if (r == 0)
        r = http_conn_flush(conn, NULL, 0);
    r = sl_scope_end(&shield, r);
    (void) r; /* the connection ends either way */
    conn->is_dead = true;
}

/* Answer the request whose head has been read. Whether the connection goes on. */
SUSPENDS static bool answer(HttpConn *conn)
{
    HttpExchange *exchange = &conn->set->exchange;
    HttpServer *server = conn->server;
    int status = 0;
    int r;

    conn->requests++;
    exchange->will_close = !exchange->request.keep_alive || server->is_draining ||
                           server->is_retiring ||
                           (server->opts.requests_max > 0 &&
                            conn->requests >= server->opts.requests_max);
    r = prepare(exchange, &status);
    if (r == 0)
        r = run_handler(exchange);
    if (exchange->is_gone) {
        conn->is_dead = true;
        exchange_end(exchange);
        return false;
    }
    if (!exchange->is_body_done || exchange->body_status) {
        exchange->will_close = true;
        conn->wants_linger = true;
    }
    if (server->is_draining || server->is_retiring)
        exchange->will_close = true;
    if (exchange->will_close && exchange->request.keep_alive)
        conn->wants_linger = true; /* the client may have sent its next request already */
    if (UNLIKELY(r < 0))
        answer_failure(exchange,
                       status                  ? status
                       : exchange->body_status ? exchange->body_status
                                               : err_http_status(r),
                       r);
    if (!conn->is_dead && UNLIKELY(sl_is_cancelled()))
        finish_shielded(exchange);
    else if (!conn->is_dead && http_response_finish(exchange) < 0)
        conn->is_dead = true;
    exchange_end(exchange);
    return !exchange->will_close && !conn->is_dead;
}

/* ---- heads ----------------------------------------------------------------------------------- */

/* The head fills its room and is not whole, or is whole and larger than allowed. */
SUSPENDS COLD static Next refuse_large(HttpConn *conn)
{
    HttpParser *parser = &conn->set->parser;

    if (!parser->is_head_done && parser->n_headers == 0)
        refuse(conn, 414, "the target is too long");
    else
        refuse(conn, 431, "the headers are larger than their limit");
    return NEXT_END;
}

SUSPENDS COLD static Next refuse_late(HttpConn *conn)
{
    refuse(conn, 408, "the request did not arrive in time");
    return NEXT_END;
}

/* Receive more of a head of which everything so far has been fed. */
SUSPENDS static Next more_of_head(HttpConn *conn, int64_t deadline_ns)
{
    WorkingSet *set = conn->set;
    ssize_t n;

    if (set->out.len > 0 && http_conn_flush(conn, NULL, 0) < 0)
        return NEXT_END;
    if (set->in_len == set->in_pos)
        return NEXT_IDLE;
    if (set->in_pos > 0) {
        set->in_len -= set->in_pos;
        memmove(set->in, set->in + set->in_pos, set->in_len);
        set->in_pos = 0;
    }
    n = http_conn_read(conn, set->in + set->in_len, set->in_cap - set->in_len, deadline_ns);
    if (n == -ETIMEDOUT)
        return refuse_late(conn);
    if (n <= 0)
        return NEXT_END;
    set->in_len += (size_t) n;
    return NEXT_HEAD;
}

/* Find the next head in the input, or receive it. */
SUSPENDS static Next read_head(HttpConn *conn)
{
    WorkingSet *set = conn->set;
    HttpServer *server = conn->server;
    size_t head_max = server->opts.header_bytes_max;
    int64_t deadline_ns = sl_now_ns() + server->opts.header_ms * NS_PER_MS;
    size_t fed = set->in_pos; /* how far the parser has come */
    Next next;

    http_parser_begin(&set->parser, set->in + fed, set->headers, server->opts.headers_max);
    for (;;) {
        size_t used = 0;
        HttpParsed parsed = HTTP_PARSED_MORE;

        if (fed < set->in_len)
            parsed = http_parser_feed(&set->parser, set->in + fed, set->in_len - fed, &used);
        fed += used;
        if (parsed == HTTP_PARSED_HEAD || parsed == HTTP_PARSED_DONE) {
            size_t head_bytes = fed - set->in_pos;

            set->in_pos = fed;
            exchange_begin(conn);
            if (head_bytes > head_max)
                return refuse_large(conn);
            if (http_parser_finish_head(&set->parser, &set->exchange.request))
                return NEXT_HEAD;
            refuse(conn, set->parser.status, set->parser.why);
            return NEXT_END;
        }
        if (parsed == HTTP_PARSED_BAD) {
            refuse(conn, set->parser.status, set->parser.why);
            return NEXT_END;
        }
        if (set->parser.target.len > LIMIT_HTTP_TARGET_BYTES ||
            set->in_len - set->in_pos >= head_max)
            return refuse_large(conn);
        if (set->in_pos > 0) { /* the bytes will move: the parser begins again */
            http_parser_begin(&set->parser, set->in, set->headers, server->opts.headers_max);
            fed = 0;
        }
        next = more_of_head(conn, deadline_ns);
        if (next != NEXT_HEAD)
            return next;
    }
}

/* ---- the connection -------------------------------------------------------------------------- */

static void give_back(HttpConn *conn)
{
    if (conn->set)
        http_set_put(conn->server, TAKE(conn->set));
}

/* Wait, without buffers, until bytes are here; then take buffers and the bytes. */
SUSPENDS static bool wait_for_request(HttpConn *conn)
{
    HttpServer *server = conn->server;
    ssize_t n;
    int r;

    for (;;) {
        bool was_draining = server->is_draining;

        if (!was_draining) {
            list_push_back(&server->idle_conns, &conn->idle_link);
            sl_scope_begin(&conn->io, .timeout_ms = server->opts.idle_ms);
            r = stream_wait_readable(conn->stream);
            r = sl_scope_end(&conn->io, r);
            list_remove(&conn->idle_link);
            if (r < 0)
                return false;
        }
        conn->set = http_set_take(server);
        if (!conn->set)
            return false;
        n = stream_try_read(conn->stream, conn->set->in, conn->set->in_cap);
        if (n > 0) {
            conn->set->in_len = (size_t) n;
            return true;
        }
        give_back(conn);
        if (n != -EAGAIN || was_draining || server->is_draining)
            return false;
    }
}

/* The last answer has been written while the client may still be sending: let it read it. */
SUSPENDS static void linger(HttpConn *conn)
{
    int64_t deadline_ns = sl_now_ns() + LIMIT_HTTP_LINGER_MS * NS_PER_MS;
    size_t total = 0;
    ssize_t n;

    if (stream_shutdown(conn->stream) < 0)
        return;
    do {
        n = http_conn_read(conn, conn->set->in, conn->set->in_cap, deadline_ns);
        total += n > 0 ? (size_t) n : 0;
    } while (n > 0 && total < LINGER_BYTES);
}

void http_conn_run(HttpConn *conn)
{
    Next next = NEXT_IDLE;

    for (;;) {
        if (next == NEXT_IDLE) {
            give_back(conn);
            if (!wait_for_request(conn))
                break;
        }
        next = read_head(conn);
        if (next == NEXT_END || (next == NEXT_HEAD && !answer(conn)))
            break;
    }
    if (conn->set) {
        if (!conn->is_dead && http_conn_flush(conn, NULL, 0) == 0 &&
            (conn->wants_linger || conn->set->in_pos < conn->set->in_len))
            linger(conn);
        give_back(conn);
    }
}
