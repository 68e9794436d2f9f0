/*
 * Requests that wait for something, and how they come to an end when the process is about to leave.
 *
 * A client that waits for a job may do so for minutes; a process that is replaced does not let it
 * sit until the connection is cut, but answers with what there is: the job as it stands, no jobs.
 * The client asks again and comes to whoever serves then.
 */
#include "net/http_server.h"
#include "serve/serve_int.h"

void serve_wait_begin(Serve *serve, ServeWait *wait)
{
    *wait = (ServeWait){ 0 };
    list_push_back(&serve->waits, &wait->link);
    sl_scope_begin(&wait->scope);
    if (serve->is_retiring)
        sl_scope_cancel(&wait->scope);
}

int serve_wait_end(Serve *serve, ServeWait *wait, int r)
{
    (void) serve;
    list_remove(&wait->link);
    return sl_scope_end(&wait->scope, r);
}

void serve_retire(Serve *serve, bool accepts)
{
    serve->is_retiring = true;
    http_server_retire(serve->server, accepts);
    list_each(&serve->waits, link)
        sl_scope_cancel(&LIST_ITEM(link, ServeWait, link)->scope);
}

size_t serve_connections(const Serve *serve)
{
    HttpServerStats stats;

    http_server_stats(serve->server, &stats);
    return stats.connections;
}
