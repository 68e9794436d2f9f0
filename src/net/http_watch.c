/*
 * The watch over a client while its handler waits.
 *
 * A fiber of the server waits for the stream to close and then cancels the handler's scope. The
 * connection's fiber ends the watch before it touches the stream again, so there is one reader at
 * a time.
 */
#include "net/http_int.h"

#include "base/assert.h"
#include "base/err.h"

#define WATCH_STACK_BYTES (32 << 10)
#define WATCH_END_MS      60000 /* a cancelled wait ends in the same turn; this is never reached */

SUSPENDS static int watch_run(void *arg)
{
    HttpExchange *exchange = arg;
    sl_scope scope;
    int r;

    if (!exchange->is_watch_over) {
        sl_scope_begin(&scope);
        exchange->watch_scope = &scope;
        r = stream_wait_close(exchange->conn->stream);
        exchange->watch_scope = NULL;
        r = sl_scope_end(&scope, r);
        if (r == 0 && !exchange->is_watch_over) {
            exchange->is_gone = true;
            sl_scope_cancel(&exchange->scope);
        }
    }
    sl_event_set(&exchange->watch_ended);
    return 0;
}

int http_request_watch(HttpRequest *request)
{
    HttpExchange *exchange;
    int r;

    ASSERT(request && request->exchange);
    exchange = request->exchange;
    if (exchange->is_watching)
        return 0;
    ASSERT(exchange->is_body_done); /* the body's reader would be a second one */
    if (exchange->conn->set->out.len > 0) {
        r = http_conn_flush(exchange->conn, NULL, 0);
        if (r < 0)
            return r;
    }
    ASSERT(exchange->conn->server->fibers);
    exchange->is_watch_over = false;
    exchange->watch_scope = NULL;
    sl_event_clear(&exchange->watch_ended);
    r = sl_spawn(exchange->conn->server->fibers, watch_run, exchange, .name = "http watch",
                 .stack_bytes = WATCH_STACK_BYTES);
    if (r < 0)
        return wrap(r, "watch the client");
    exchange->is_watching = true;
    return 0;
}

void http_watch_end(HttpExchange *exchange)
{
    sl_scope shield;
    int r;

    if (!exchange->is_watching)
        return;
    exchange->is_watch_over = true;
    if (exchange->watch_scope)
        sl_scope_cancel(exchange->watch_scope);
    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = WATCH_END_MS);
    r = sl_event_wait(&exchange->watch_ended);
    r = sl_scope_end(&shield, r);
    ASSERT(exchange->watch_ended.is_set); /* nothing can keep a cancelled watcher from ending */
    (void) r;
    exchange->is_watching = false;
}
