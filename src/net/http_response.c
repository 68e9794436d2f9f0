/*
 * Answers: put together in the connection's output from prepared pieces.
 *
 *   HTTP/1.1 200 OK
 *   Date: …                     text kept for a second
 *   Content-Type: …             the response's field
 *   Content-Length: 5           or Transfer-Encoding: chunked
 *   (the handler's own headers)
 *   Connection: close           or keep-alive, where the version makes it necessary
 *
 * Small bodies are copied behind their head so that answers to pipelined requests leave in one
 * write; a large one is sent from where it is, together with what has gathered.
 */
#include "net/http_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/http_text.h"
#include "codec/time_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- the handler's side ---------------------------------------------------------------------- */

void http_response_reset(HttpExchange *exchange)
{
    HttpResponse *response = &exchange->response;

    response->status = 200;
    response->content_type = (Str){ NULL, 0 };
    response->body_view = (Str){ NULL, 0 };
    response->close = false;
    buf_reset(&response->body);
    buf_reset(&exchange->extra_headers);
}

void http_response_header(HttpResponse *response, const char *name, Str value)
{
    HttpExchange *exchange;
    Buf *out;
    char *at;

    ASSERT(response && response->exchange && name && http_is_token(str_from_c(name)));
    exchange = response->exchange;
    ASSERT(exchange->status_sent == 0); /* not behind a head that has left */
    out = &exchange->extra_headers;
    buf_add_c(out, name);
    buf_add_c(out, ": ");
    at = buf_reserve(out, value.len + 2);
    if (!at)
        return; /* the buffer is failed, and the answer with it */
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char) value.data[i];

        at[i] = c < 0x20 && c != '\t' ? ' ' : (char) (c == 0x7f ? ' ' : c);
    }
    out->len += value.len;
    buf_add_c(out, "\r\n");
}

/* ---- the head -------------------------------------------------------------------------------- */

static void refresh_date(HttpServer *server)
{
    int64_t wall_ms = sl_wall_ms();
    char text[TIME_TEXT_BYTES];
    Str date = time_format_http(wall_ms, text);

    server->date_len = (size_t) snprintf(server->date, sizeof(server->date), "Date: %.*s\r\n",
                                         (int) date.len, date.data);
    ASSERT(server->date_len < sizeof(server->date));
    server->date_until_ns = sl_now_ns() + (MS_PER_S - wall_ms % MS_PER_S) * NS_PER_MS;
}

static inline char *put(char *at, const char *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}
#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static char *put_u64(char *at, uint64_t value)
{
    char digits[20];
    size_t n = 0;

    do {
        digits[sizeof(digits) - ++n] = (char) ('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put(at, digits + sizeof(digits) - n, n);
}

static char *put_status(char *at, int status)
{
    const char *reason;

    if (LIKELY(status == 200))
        return PUT(at, "HTTP/1.1 200 OK\r\n");
    reason = http_reason(status);
    at = PUT(at, "HTTP/1.1 ");
    *at++ = (char) ('0' + status / 100 % 10);
    *at++ = (char) ('0' + status / 10 % 10);
    *at++ = (char) ('0' + status % 10);
    *at++ = ' ';
    at = put(at, reason, strlen(reason));
    return PUT(at, "\r\n");
}

static bool has_no_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* The head, with a length unless LENGTH is UINT64_MAX. 0, or an error when it does not fit. */
static int put_head(HttpExchange *exchange, uint64_t length)
{
    HttpServer *server = exchange->conn->server;
    HttpResponse *response = &exchange->response;
    Buf *out = &exchange->conn->set->out;
    const char *name = server->opts.server_name;
    size_t name_len = name ? strlen(name) : 0;
    char *start, *at;

    ASSERT(response->status >= 200 && response->status <= 599);
    if (exchange->extra_headers.is_failed)
        return buf_check(&exchange->extra_headers);
    start = at = buf_reserve(out, 320 + name_len + response->content_type.len +
                                      exchange->extra_headers.len);
    if (!at)
        return buf_check(out);
    at = put_status(at, response->status);
    if (sl_now_ns() >= server->date_until_ns)
        refresh_date(server);
    at = put(at, server->date, server->date_len);
    if (name_len > 0) {
        at = PUT(at, "Server: ");
        at = put(at, name, name_len);
        at = PUT(at, "\r\n");
    }
    if (response->content_type.len > 0) {
        at = PUT(at, "Content-Type: ");
        at = put(at, response->content_type.data, response->content_type.len);
        at = PUT(at, "\r\n");
    }
    if (length != UINT64_MAX && !has_no_body(response->status)) {
        at = PUT(at, "Content-Length: ");
        at = put_u64(at, length);
        at = PUT(at, "\r\n");
    } else if (exchange->is_chunked) {
        at = PUT(at, "Transfer-Encoding: chunked\r\n");
    }
    if (exchange->extra_headers.len > 0)
        at = put(at, exchange->extra_headers.data, exchange->extra_headers.len);
    if (exchange->will_close)
        at = PUT(at, "Connection: close\r\n");
    else if (exchange->request.version == 10)
        at = PUT(at, "Connection: keep-alive\r\n");
    at = PUT(at, "\r\n");
    out->len += (size_t) (at - start);
    exchange->status_sent = response->status;
    return 0;
}

/* ---- whole answers --------------------------------------------------------------------------- */

SUSPENDS static int finish_begun(HttpExchange *exchange)
{
    if (exchange->is_chunked && exchange->request.method != HTTP_METHOD_HEAD)
        buf_add_c(&exchange->conn->set->out, "0\r\n\r\n");
    return http_conn_flush(exchange->conn, NULL, 0);
}

int http_response_finish(HttpExchange *exchange)
{
    HttpResponse *response = &exchange->response;
    Buf *out = &exchange->conn->set->out;
    Str body;
    int r;

    if (exchange->has_begun)
        return finish_begun(exchange);
    if (response->close)
        exchange->will_close = true;
    if (response->body.is_failed && !response->body_view.data) {
        r = buf_check(&response->body);
        http_response_error(exchange, 500, r);
    }
    body = response->body_view.data ? response->body_view : buf_str(&response->body);
    r = put_head(exchange, body.len);
    if (r < 0)
        return r;
    if (exchange->request.method == HTTP_METHOD_HEAD || has_no_body(response->status))
        body.len = 0;
    exchange->body_sent = body.len;
    if (body.len <= HTTP_INLINE_BODY) {
        buf_add(out, body.data, body.len);
        if (out->is_failed)
            return buf_check(out);
        return out->len >= LIMIT_HTTP_OUT_BYTES ? http_conn_flush(exchange->conn, NULL, 0) : 0;
    }
    return http_conn_flush(exchange->conn, body.data, body.len);
}

COLD void http_response_error(HttpExchange *exchange, int status, int r)
{
    HttpServer *server = exchange->conn->server;
    HttpResponse *response = &exchange->response;
    bool was_close = response->close;
    Err err;

    ASSERT(!exchange->has_begun && status >= 400 && r < 0);
    err_take(r, &err);
    http_response_reset(exchange);
    response->status = status;
    response->close = was_close;
    server->counts.errors++;
    if (server->opts.on_error) {
        server->opts.on_error(server->opts.ctx, &exchange->request, response, status, &err);
        return;
    }
    response->content_type = str_from_c("text/plain; charset=utf-8");
    buf_printf(&response->body, "%d %s: %s\n", status, http_reason(status), err.text);
}

/* ---- answers in pieces ----------------------------------------------------------------------- */

int http_response_begin(HttpResponse *response)
{
    HttpExchange *exchange;
    int r;

    ASSERT(response && response->exchange);
    exchange = response->exchange;
    ASSERT(!exchange->has_begun);
    if (response->close)
        exchange->will_close = true;
    if (exchange->request.version == 10)
        exchange->will_close = true; /* the end of the connection ends the answer */
    exchange->is_chunked = exchange->request.version == 11 && !has_no_body(response->status);
    r = put_head(exchange, UINT64_MAX);
    if (r < 0)
        return r;
    exchange->has_begun = true;
    return http_conn_flush(exchange->conn, NULL, 0);
}

int http_response_write(HttpResponse *response, Str piece)
{
    HttpExchange *exchange;
    Buf *out;
    int r;

    ASSERT(response && response->exchange);
    exchange = response->exchange;
    ASSERT(exchange->has_begun);
    if (piece.len == 0 || exchange->request.method == HTTP_METHOD_HEAD ||
        has_no_body(exchange->status_sent))
        return sl_checkpoint();
    exchange->body_sent += piece.len;
    out = &exchange->conn->set->out;
    if (exchange->is_chunked)
        buf_printf(out, "%zx\r\n", piece.len);
    if (piece.len <= HTTP_INLINE_BODY) {
        buf_add_str(out, piece);
    } else {
        r = http_conn_flush(exchange->conn, piece.data, piece.len);
        if (r < 0)
            return r;
    }
    if (exchange->is_chunked)
        buf_add_c(out, "\r\n");
    return out->len > 0 ? http_conn_flush(exchange->conn, NULL, 0) : 0;
}

int http_response_take_over(HttpResponse *response, Stream **ret_stream)
{
    HttpExchange *exchange;

    ASSERT(response && response->exchange && ret_stream);
    exchange = response->exchange;
    ASSERT(!exchange->has_begun);
    exchange->has_begun = true;
    exchange->is_chunked = false;
    exchange->will_close = true;
    exchange->status_sent = response->status;
    *ret_stream = exchange->conn->stream;
    return http_conn_flush(exchange->conn, NULL, 0);
}
