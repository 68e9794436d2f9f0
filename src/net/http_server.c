/*
 * The server: an acceptor's fiber, its connections' fibers, and the buffers they share.
 *
 * Life: start -> (retire) -> (drain) -> stop. The acceptor owns the nursery of all fibers. When
 * draining begins it stops accepting, waits until every connection has ended, and ends itself; stop
 * waits for that, at most its grace, and then cancels the scopes of the connections that are left.
 *
 * Working sets are pooled last in, first out: at any load that one core can answer, few are in use,
 * and those stay in its caches.
 */
#include "net/http_server.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "net/http_int.h"
#include "net/tls.h"

#include <errno.h>

#define ACCEPTS_IN_A_ROW 16    /* then the connections have a turn */
#define REFUSAL_MS       100   /* to write the answer to a connection over the limit */
#define STOP_END_MS      60000 /* for cancelled connections to end; they do so within a second */

/* ---- working sets ---------------------------------------------------------------------------- */

WorkingSet *http_set_take(HttpServer *server)
{
    size_t headers_bytes = server->opts.headers_max * sizeof(HttpHeader);
    size_t in_cap = server->opts.header_bytes_max + HTTP_IN_SLACK;
    WorkingSet *set = server->pool;

    if (LIKELY(set != NULL)) {
        server->pool = set->next;
        server->n_pool--;
    } else {
        set = mem_try(sizeof(*set) + headers_bytes + in_cap);
        if (!set)
            return NULL;
        *set = (WorkingSet){ .in_cap = in_cap };
        set->headers = (HttpHeader *) (set + 1);
        set->in = (char *) set->headers + headers_bytes;
        arena_init(&set->arena, 0);
        buf_init(&set->out, 0);
        buf_init(&set->exchange.response.body, LIMIT_HTTP_RESPONSE_BYTES);
        buf_init(&set->exchange.extra_headers, LIMIT_HTTP_OUT_BYTES);
        buf_init(&set->exchange.body_in, 0);
    }
    set->in_pos = 0;
    set->in_len = 0;
    server->n_lent++;
    return set;
}

static void shrink(Buf *buf)
{
    buf_reset(buf);
    if (buf->cap > HTTP_BUF_KEPT)
        buf_deinit(buf);
}

static void set_free(WorkingSet *set)
{
    arena_deinit(&set->arena);
    buf_deinit(&set->out);
    buf_deinit(&set->exchange.response.body);
    buf_deinit(&set->exchange.extra_headers);
    buf_deinit(&set->exchange.body_in);
    mem_free(set);
}

void http_set_put(HttpServer *server, WorkingSet *set)
{
    ASSERT(server->n_lent > 0);
    server->n_lent--;
    set->exchange.is_open = false;
    shrink(&set->out);
    shrink(&set->exchange.response.body);
    shrink(&set->exchange.extra_headers);
    shrink(&set->exchange.body_in);
    set->exchange.response.body.max_bytes = LIMIT_HTTP_RESPONSE_BYTES;
    if (server->n_pool >= LIMIT_HTTP_WORKING_SETS) {
        set_free(set);
        return;
    }
    set->next = server->pool;
    server->pool = set;
    server->n_pool++;
}

/* ---- connections ----------------------------------------------------------------------------- */

#define TLS_STACK_BYTES (128 << 10) /* of a connection's fiber: a handshake takes 32 KiB of it */

#if SL_HAVE_OPENSSL
SUSPENDS static int shake_hands(HttpServer *server, HttpConn *conn)
{
    Stream *under = TAKE(conn->stream);
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = server->opts.header_ms);
    r = tls_accept(server->opts.tls, under, &conn->stream);
    return sl_scope_end(&scope, r);
}
#else
SUSPENDS static int shake_hands(HttpServer *server, HttpConn *conn)
{
    (void) server;
    (void) conn;
    return fail(-ERR_UNSUPPORTED, "this build has no TLS");
}
#endif

/* A connection of the listener is what was agreed on. False when it is not: its peer's matter. */
SUSPENDS static bool secure(HttpServer *server, HttpConn *conn)
{
    int r = server->opts.tls ? shake_hands(server, conn) : 0;

    if (r == 0)
        return true;
    err_take(r, NULL);
    server->counts.refused++;
    metrics_add_label(METRIC_HTTP_REFUSED, str_from_c("tls"), 1);
    return false;
}

int http_server_serve(HttpServer *server, Stream *stream)
{
    HttpConn conn = { .server = server, .stream = stream };
    int r = 0;

    ASSERT(server && server->tag == HTTP_SERVER_TAG && stream);
    list_push_back(&server->conns, &conn.link);
    metrics_add(METRIC_HTTP_CONNECTIONS, 1);
    server->counts.accepted++;
    sl_scope_begin(&conn.life);
    if (secure(server, &conn))
        http_conn_run(&conn);
    stream_close(conn.stream);
    r = sl_scope_end(&conn.life, sl_is_cancelled() ? -ECANCELED : 0);
    list_remove(&conn.link);
    metrics_add(METRIC_HTTP_CONNECTIONS, -1);
    sl_cond_wake_all(&server->changed);
    return r;
}

SUSPENDS static int serve_fiber(void *arg)
{
    Stream *stream = arg;
    HttpServer *server = stream->owner;

    (void) http_server_serve(server, stream); /* cancelled or not, it has ended */
    return 0;
}

/* Over the limit: say so and close. The answer fits a fresh socket's buffer; nobody waits for it.
 */
SUSPENDS COLD static void refuse_connection(HttpServer *server, Stream *stream)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                 "Retry-After: 1\r\nConnection: close\r\n\r\n";
    sl_scope scope;
    int r;

    server->counts.refused++;
    metrics_add_label(METRIC_HTTP_REFUSED, str_from_c("connections"), 1);
    sl_scope_begin(&scope, .timeout_ms = REFUSAL_MS);
    r = stream_write_all(stream, answer, sizeof(answer) - 1);
    if (r == 0)
        r = stream_shutdown(stream);
    r = sl_scope_end(&scope, r);
    (void) r; /* the client is turned away either way */
    stream_close(stream);
}

SUSPENDS static int accept_until_drained(HttpServer *server)
{
    sl_scope scope;
    size_t in_a_row = 0;
    int r = 0;

    sl_scope_begin(&scope);
    server->accept_scope = &scope;
    while (!server->is_draining && !server->is_closed) {
        Stream *stream = NULL;

        if (++in_a_row % ACCEPTS_IN_A_ROW == 0)
            r = sl_yield();
        if (r == 0)
            r = listener_accept(server->listener, &stream);
        if (r < 0)
            break;
        if (server->conns.len >= server->opts.connections_max) {
            refuse_connection(server, stream);
            continue;
        }
        stream->owner = server;
        if (sl_spawn(server->fibers, serve_fiber, stream, .name = "http connection",
                     .stack_bytes = server->opts.tls ? TLS_STACK_BYTES : 0) < 0) {
            server->counts.refused++;
            metrics_add_label(METRIC_HTTP_REFUSED, str_from_c("memory"), 1);
            stream_close(stream);
        }
    }
    server->accept_scope = NULL;
    return sl_scope_end(&scope, r);
}

static void cancel_all(HttpServer *server)
{
    list_each(&server->conns, link)
        sl_scope_cancel(&LIST_ITEM(link, HttpConn, link)->life);
}

/* Wait until no connection is left: 0, or an error of the scopes around the caller. */
SUSPENDS static int wait_for_connections(HttpServer *server)
{
    while (server->conns.len > 0) {
        int r = sl_cond_wait(&server->changed);

        if (r < 0)
            return r;
    }
    return 0;
}

SUSPENDS static int run_server(void *arg)
{
    HttpServer *server = CAST(HttpServer, HTTP_SERVER_TAG, arg);
    sl_nursery *fibers = sl_nursery_open(.name = "http connections", .keep_going = true);
    sl_scope shield;
    int r = 0;

    server->fibers = fibers;
    if (server->listener)
        r = accept_until_drained(server);
    while (r == 0 && !server->is_draining)
        r = sl_cond_wait(&server->changed);
    if (r == 0)
        r = wait_for_connections(server);
    server->is_draining = true;
    if (r < 0) { /* cancelled from above, or the listener failed */
        int ended;

        cancel_all(server);
        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = STOP_END_MS);
        ended = wait_for_connections(server);
        ended = sl_scope_end(&shield, ended);
        (void) ended; /* closing the nursery waits for what is left */
    }
    sl_nursery_close(fibers);
    server->fibers = NULL;
    sl_event_set(&server->ended);
    sl_cond_wake_all(&server->changed);
    return r == -ECANCELED ? r : wrap(r, "http server");
}

/* ---- life ------------------------------------------------------------------------------------ */

static void fill_defaults(HttpServerOpts *opts)
{
#define DEFAULT(field, value)      \
    do {                           \
        if (opts->field == 0)      \
            opts->field = (value); \
    } while (0)
    DEFAULT(connections_max, LIMIT_HTTP_CONNECTIONS);
    DEFAULT(header_bytes_max, LIMIT_HTTP_HEADER_BYTES);
    DEFAULT(headers_max, LIMIT_HTTP_HEADERS);
    DEFAULT(body_bytes_max, LIMIT_HTTP_BODY_BYTES);
    DEFAULT(bodies_bytes_max, LIMIT_HTTP_BODIES_BYTES);
    DEFAULT(idle_ms, LIMIT_HTTP_IDLE_MS);
    DEFAULT(header_ms, LIMIT_HTTP_HEADER_MS);
    DEFAULT(body_ms, LIMIT_HTTP_BODY_MS);
    DEFAULT(body_rate, LIMIT_HTTP_BODY_RATE);
    DEFAULT(write_ms, LIMIT_HTTP_WRITE_MS);
#undef DEFAULT
}

int http_server_start(HttpServer **ret_server, sl_nursery *nursery, Listener *listener,
                      const HttpServerOpts *opts)
{
    HttpServer *server;
    int r;

    ASSERT(ret_server && nursery && opts && opts->on_request);
    server = mem_new(HttpServer);
    server->tag = HTTP_SERVER_TAG;
    server->opts = *opts;
    fill_defaults(&server->opts);
    server->listener = listener;
    r = sl_spawn(nursery, run_server, server, .name = "http server");
    if (r < 0) {
        mem_free(server);
        return wrap(r, "start the http server");
    }
    *ret_server = server;
    return 0;
}

void http_server_drain(HttpServer *server)
{
    ASSERT(server && server->tag == HTTP_SERVER_TAG);
    if (server->is_draining)
        return;
    server->is_draining = true;
    if (server->accept_scope)
        sl_scope_cancel(server->accept_scope);
    list_each(&server->idle_conns, link)
        sl_scope_cancel(&LIST_ITEM(link, HttpConn, idle_link)->io);
    sl_cond_wake_all(&server->changed);
}

void http_server_retire(HttpServer *server, bool accepts)
{
    ASSERT(server && server->tag == HTTP_SERVER_TAG);
    server->is_retiring = true;
    server->is_closed = server->is_closed || !accepts;
    if (server->is_closed && server->accept_scope)
        sl_scope_cancel(server->accept_scope);
}

bool http_server_is_draining(const HttpServer *server)
{
    ASSERT(server && server->tag == HTTP_SERVER_TAG);
    return server->is_draining;
}

SUSPENDS static void wait_ended(HttpServer *server, int64_t timeout_ms)
{
    sl_scope shield;
    int r;

    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = timeout_ms > 0 ? timeout_ms : -1);
    r = sl_event_wait(&server->ended);
    r = sl_scope_end(&shield, r);
    (void) r; /* the caller looks at the event */
}

void http_server_stop(HttpServer *server, int64_t grace_ms)
{
    if (!server)
        return;
    http_server_drain(server);
    if (!server->ended.is_set)
        wait_ended(server, grace_ms);
    while (!server->ended.is_set) {
        cancel_all(server);
        wait_ended(server, STOP_END_MS);
    }
    ASSERT(server->conns.len == 0 && server->n_lent == 0);
    while (server->pool) {
        WorkingSet *set = server->pool;

        server->pool = set->next;
        set_free(set);
    }
    server->tag = 0;
    mem_free(server);
}

void http_server_stats(const HttpServer *server, HttpServerStats *ret_stats)
{
    ASSERT(server && server->tag == HTTP_SERVER_TAG && ret_stats);
    *ret_stats = server->counts;
    ret_stats->connections = server->conns.len;
    ret_stats->idle = server->idle_conns.len;
    ret_stats->working_sets = server->n_pool + server->n_lent;
}
