/*
 * The body of a request: read whole before the handler, or piece by piece by it.
 *
 * A body of known length that fits behind the head in the connection's input stays there and costs
 * no copy. Others gather in a buffer that grows with what has arrived, never with what was
 * promised; the loop has its turn after every BODY_PIECE of it. Chunks are decoded by the parser.
 * The clock that a body runs against allows body_ms plus the time that the bytes received take at
 * body_rate.
 */
#include "net/http_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#include <sluice/rt/fiber.h>

#include <errno.h>
#include <string.h>

#define BODY_STEP  (16 << 10) /* the least a gathering buffer grows by */
#define BODY_PIECE (64 << 10) /* the most that is read before others have their turn */

static int refused(HttpExchange *exchange, int status, int code, const char *why)
{
    exchange->body_status = status;
    return fail(code, "%s", why);
}

static int64_t deadline_of(const HttpExchange *exchange)
{
    const HttpServerOpts *opts = &exchange->conn->server->opts;
    int64_t seconds = (int64_t) (exchange->body_received / opts->body_rate);

    return exchange->body_started_ns + opts->body_ms * NS_PER_MS + seconds * NS_PER_S;
}

/* The client may be waiting for our word before it sends the body. */
SUSPENDS static int send_continue(HttpExchange *exchange)
{
    WorkingSet *set = exchange->conn->set;

    if (!set->parser.wants_continue)
        return 0;
    set->parser.wants_continue = false;
    buf_add_c(&set->out, "HTTP/1.1 100 Continue\r\n\r\n");
    return http_conn_flush(exchange->conn, NULL, 0);
}

/* At least one byte from the connection, or the refusal's error. */
SUSPENDS static ssize_t receive(HttpExchange *exchange, char *data, size_t len)
{
    ssize_t n;
    int r;

    r = send_continue(exchange);
    if (r < 0)
        return r;
    n = http_conn_read(exchange->conn, data, len, deadline_of(exchange));
    if (n == -ETIMEDOUT)
        return refused(exchange, 408, -ETIMEDOUT, "the body did not arrive in time");
    if (n == 0)
        return refused(exchange, 400, -ERR_CLOSED, "the connection ended within the body");
    return n;
}

/* ---- piece by piece -------------------------------------------------------------------------- */

SUSPENDS static ssize_t read_counted(HttpExchange *exchange, char *data, size_t len)
{
    WorkingSet *set = exchange->conn->set;
    HttpRequest *request = &exchange->request;
    size_t here = set->in_len - set->in_pos;
    ssize_t n;

    len = (size_t) MIN((uint64_t) len, request->body_left);
    if (here > 0) {
        n = (ssize_t) MIN(len, here);
        memcpy(data, set->in + set->in_pos, (size_t) n);
        set->in_pos += (size_t) n;
    } else {
        n = receive(exchange, data, len);
        if (n < 0)
            return n;
    }
    request->body_left -= (uint64_t) n;
    exchange->is_body_done = request->body_left == 0;
    return n;
}

SUSPENDS static ssize_t read_chunked(HttpExchange *exchange, char *data, size_t len)
{
    WorkingSet *set = exchange->conn->set;
    HttpParser *parser = &set->parser;

    for (;;) {
        size_t used = 0;
        HttpParsed parsed;

        if (set->in_pos == set->in_len) {
            ssize_t n;

            set->in_pos = set->in_len = exchange->body_base;
            n = receive(exchange, set->in + set->in_len, set->in_cap - set->in_len);
            if (n < 0)
                return n;
            set->in_len += (size_t) n;
        }
        parser->body_at = data;
        parsed = http_parser_feed(parser, set->in + set->in_pos,
                                  MIN(len, set->in_len - set->in_pos), &used);
        set->in_pos += used;
        if (parsed == HTTP_PARSED_BAD)
            return refused(exchange, parser->status, -ERR_INVALID, parser->why);
        if (parsed == HTTP_PARSED_DONE) {
            exchange->is_body_done = true;
            exchange->request.body_left = 0;
        }
        if (parser->body_at > data || exchange->is_body_done)
            return parser->body_at - data;
    }
}

/* Bytes, 0 at the end, or the refusal's error. */
SUSPENDS static ssize_t read_some(HttpExchange *exchange, char *data, size_t len)
{
    ssize_t n;

    if (exchange->is_body_done)
        return 0;
    n = exchange->request.body_left == UINT64_MAX ? read_chunked(exchange, data, len)
                                                  : read_counted(exchange, data, len);
    if (n > 0) {
        exchange->body_received += (uint64_t) n;
        if (exchange->body_received > exchange->request.body_bytes_max)
            return refused(exchange, 413, -ERR_TOO_LARGE, "the body is larger than its limit");
    }
    return n;
}

ssize_t http_request_read(HttpRequest *request, void *buf, size_t len)
{
    ASSERT(request && request->exchange && buf && len > 0);
    ASSERT(request->is_body_streamed);
    return read_some(request->exchange, buf, len);
}

/* ---- whole ----------------------------------------------------------------------------------- */

/* Bring the whole of it into the input, behind the head. */
SUSPENDS static int read_in_place(HttpExchange *exchange)
{
    WorkingSet *set = exchange->conn->set;
    size_t want = (size_t) exchange->request.body_left;

    while (set->in_len - set->in_pos < want) {
        ssize_t n = receive(exchange, set->in + set->in_len, set->in_cap - set->in_len);

        if (n < 0)
            return (int) n;
        set->in_len += (size_t) n;
        exchange->body_received += (uint64_t) n;
    }
    exchange->request.body = str_from(set->in + set->in_pos, want);
    exchange->body_received = want;
    set->in_pos += want;
    exchange->request.body_left = 0;
    exchange->is_body_done = true;
    return 0;
}

/* Room for ROOM more bytes of the body, charged to the server's account; NULL when it is full. */
static char *reserve(HttpExchange *exchange, size_t room)
{
    HttpServer *server = exchange->conn->server;
    Buf *body = &exchange->body_in;
    size_t others = server->body_bytes_held - exchange->body_bytes_held;
    size_t max = server->opts.bodies_bytes_max;
    char *at;

    if (body->len + room > max || others > max - body->len - room)
        return NULL;
    at = buf_reserve(body, room);
    server->body_bytes_held = others + body->cap;
    exchange->body_bytes_held = body->cap;
    return at;
}

SUSPENDS static int gather(HttpExchange *exchange)
{
    HttpRequest *request = &exchange->request;
    Buf *body = &exchange->body_in;

    body->max_bytes = request->body_bytes_max + BODY_STEP + 1;
    while (!exchange->is_body_done) {
        size_t room = MAX((size_t) BODY_STEP, MIN(body->len, request->body_bytes_max - body->len));
        char *at;
        ssize_t n;
        int r;

        room = (size_t) MIN((uint64_t) MIN(room, (size_t) BODY_PIECE), request->body_left);
        at = reserve(exchange, room);
        if (!at)
            return refused(exchange, 503, -ERR_UNAVAILABLE, "no room for the body at the moment");
        n = read_some(exchange, at, room);
        if (n < 0)
            return (int) n;
        body->len += (size_t) n;
        r = (size_t) n == BODY_PIECE ? sl_yield() : 0;
        if (r < 0)
            return r;
    }
    request->body = buf_str(body);
    return 0;
}

int http_body_read_all(HttpExchange *exchange)
{
    WorkingSet *set = exchange->conn->set;
    uint64_t left = exchange->request.body_left;

    if (exchange->is_body_done)
        return 0;
    if (left != UINT64_MAX && left > exchange->request.body_bytes_max)
        return refused(exchange, 413, -ERR_TOO_LARGE, "the body is larger than its limit");
    if (left <= set->in_cap - set->in_pos)
        return read_in_place(exchange);
    return gather(exchange);
}
