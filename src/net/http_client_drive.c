/*
 * Driving libcurl: its sockets, its timer, its finished transfers.
 *
 * libcurl's callbacks run inside its own functions and must not come back to it, nor suspend. They
 * only note what is wanted (ClientSocket.wanted, timer_at_ns) and wake whoever acts on it.
 *
 * Sockets that libcurl opens through our callback are closed through our callback, so the runtime
 * hears of it before the number is used again. The resolver's wake-up sockets are not: those are
 * watched through a duplicate of our own.
 *
 * A kept connection leaves its watcher parked on a condition, so a transfer over it costs the
 * watcher two switches and one poll.
 */
#include "net/http_client_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHER_STACK_BYTES (32 << 10)
#define CLOSE_MS            60000 /* for callers to leave an aborted call; they do at once */

/* ---- sockets --------------------------------------------------------------------------------- */

static void wake_driver(HttpClient *client)
{
    sl_cond_wake_all(&client->work);
}

static ClientSocket *find_socket(HttpClient *client, curl_socket_t fd)
{
    return fd >= 0 && (size_t) fd < client->n_sockets ? client->sockets[fd] : NULL;
}

static void keep_socket(HttpClient *client, ClientSocket *self)
{
    size_t fd = (size_t) self->fd;

    if (fd >= client->n_sockets) {
        size_t n = MAX((size_t) 64, MAX(fd + 1, client->n_sockets * 2));
        ClientSocket **grown = mem_new_array(ClientSocket *, n);

        if (client->n_sockets > 0)
            memcpy(grown, client->sockets, client->n_sockets * sizeof(*grown));
        mem_free(client->sockets);
        client->sockets = grown;
        client->n_sockets = n;
    }
    ASSERT(!client->sockets[fd]);
    client->sockets[fd] = self;
}

static ClientSocket *new_socket(HttpClient *client, curl_socket_t fd, int watched_fd)
{
    ClientSocket *self = mem_new(ClientSocket);

    self->client = client;
    self->fd = fd;
    self->watched_fd = watched_fd;
    keep_socket(client, self);
    list_push_back(&client->unwatched, &self->link);
    client->counts.connections++;
    return self;
}

/* The socket is closed: forget it; its watcher ends. */
static void lose_socket(ClientSocket *self)
{
    HttpClient *client = self->client;

    client->sockets[self->fd] = NULL;
    client->counts.connections--;
    list_remove(&self->link);
    self->is_gone = true;
    self->wanted = 0;
    sl_fd_close(self->watched_fd);
    if (self->is_watched)
        sl_cond_wake_all(&self->changed);
    else
        mem_free(self);
}

/* Wait until libcurl wants something of the socket and the driver has dealt with the last event. */
SUSPENDS static int wait_for_orders(ClientSocket *self)
{
    while (!self->is_gone && (self->wanted == 0 || self->happened != 0)) {
        int r = sl_cond_wait(&self->changed);

        if (r < 0)
            return r;
    }
    return 0;
}

SUSPENDS static int watch(void *arg)
{
    ClientSocket *self = arg;
    int r;

    while ((r = wait_for_orders(self)) == 0 && !self->is_gone) {
        sl_scope scope;
        int ready = 0;

        sl_scope_begin(&scope);
        self->wait_scope = &scope;
        self->waits_for = self->wanted;
        r = sl_fd_wait(self->watched_fd, self->wanted, &ready);
        self->wait_scope = NULL;
        r = sl_scope_end(&scope, r);
        if (self->is_gone || r == -ECANCELED)
            break;
        if (r < 0)
            self->is_failed = true;
        self->happened = r < 0 ? SL_FD_READ | SL_FD_WRITE : ready & self->wanted;
        if (self->happened) {
            list_push_back(&self->client->ready, &self->link);
            wake_driver(self->client);
        }
    }
    self->is_watched = false;
    if (self->is_gone)
        mem_free(self);
    return 0;
}

static void set_wanted(ClientSocket *self, int wanted)
{
    if (self->wanted == wanted)
        return;
    self->wanted = wanted;
    if (self->wait_scope && wanted != self->waits_for)
        sl_scope_cancel(self->wait_scope);
    else if (!self->wait_scope)
        sl_cond_wake_all(&self->changed);
}

/* ---- libcurl's callbacks --------------------------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *unused)
{
    HttpClient *client = ctx;
    ClientSocket *self = find_socket(client, fd);

    (void) easy;
    (void) unused;
    if (what == CURL_POLL_REMOVE) {
        if (self && self->watched_fd != self->fd)
            lose_socket(self); /* the resolver's: libcurl closes it without telling */
        else if (self)
            set_wanted(self, 0);
        return 0;
    }
    if (!self) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        if (copy < 0)
            return -1;
        self = new_socket(client, fd, copy);
        wake_driver(client);
    }
    set_wanted(self,
               (what & CURL_POLL_IN ? SL_FD_READ : 0) | (what & CURL_POLL_OUT ? SL_FD_WRITE : 0));
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    HttpClient *client = ctx;

    (void) multi;
    client->timer_at_ns = timeout_ms < 0 ? INT64_MAX : sl_now_ns() + timeout_ms * NS_PER_MS;
    if (client->driver_scope) {
        if (timeout_ms == 0)
            wake_driver(client);
        else
            sl_scope_set_deadline(client->driver_scope, timeout_ms < 0 ? 0 : client->timer_at_ns);
    }
    return 0;
}

static bool is_allowed(ClientSlot *slot, const struct sockaddr *address, socklen_t len)
{
    HttpClient *client = slot->client;
    bool allowed = !(slot->policy == HTTP_POLICY_DENY_PRIVATE && !slot->is_proxied &&
                     net_address_is_private(address, len)) &&
                   (!client->opts.allow || client->opts.allow(client->opts.ctx, address, len));

    if (!allowed) {
        const void *host = address->sa_family == AF_INET6
                               ? (const void *) &((const struct sockaddr_in6 *) address)->sin6_addr
                               : (const void *) &((const struct sockaddr_in *) address)->sin_addr;

        slot->is_denied = true;
        slot->is_opened = false;
        if (!inet_ntop(address->sa_family, host, slot->denied, sizeof(slot->denied)))
            slot->denied[0] = 0;
    }
    return allowed;
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    ClientSlot *slot = ctx;
    ClientSocket *self;
    int fd;

    (void) purpose;
    if (!is_allowed(slot, &address->addr, address->addrlen))
        return CURL_SOCKET_BAD;
    fd = socket(address->family, address->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    slot->is_opened = true;
    self = new_socket(slot->client, fd, fd);
    self->opener = slot;
    self->opener_serial = slot->serial;
    slot->client->counts.connects++;
    return fd;
}

/* A call that fails has its socket closed: libcurl does not tell whether it had been connected. */
static void note_end(const ClientSocket *self)
{
    ClientSlot *slot = self->opener;
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);

    if (slot && !self->client->is_stopping && slot->is_added &&
        slot->serial == self->opener_serial &&
        getpeername(self->fd, (struct sockaddr *) &peer, &len) == 0)
        slot->is_connected = true;
}

static int on_close(void *ctx, curl_socket_t fd)
{
    ClientSocket *self = find_socket(ctx, fd);

    if (self)
        note_end(self);
    if (self)
        lose_socket(self);
    else
        sl_fd_close(fd);
    return 0;
}

/* Each request, over a new connection or a kept one, after redirects too: is its address allowed?
 */
static int on_request_ready(void *ctx, char *remote_ip, char *local_ip, int remote_port,
                            int local_port)
{
    ClientSlot *slot = ctx;
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t) remote_port) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
                                .sin6_port = htons((uint16_t) remote_port) };
    bool allowed;

    (void) local_ip;
    (void) local_port;
    if (slot->policy == HTTP_POLICY_ALLOW_ALL && !slot->client->opts.allow)
        return CURL_PREREQFUNC_OK;
    if (inet_pton(AF_INET, remote_ip, &in.sin_addr) == 1)
        allowed = is_allowed(slot, (struct sockaddr *) &in, sizeof(in));
    else if (inet_pton(AF_INET6, remote_ip, &in6.sin6_addr) == 1)
        allowed = is_allowed(slot, (struct sockaddr *) &in6, sizeof(in6));
    else
        allowed = false;
    return allowed ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* A name is about to be looked up: the call waits for no connection any more. */
static int on_resolve(void *resolver, void *unused, void *ctx)
{
    ClientSlot *slot = ctx;

    (void) resolver;
    (void) unused;
    slot->is_started = true;
    return 0;
}

void client_drive_set_easy(ClientSlot *slot)
{
    CURL *easy = slot->easy;

    /* None of these can fail for the values given. */
    (void) curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    (void) curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, slot);
    (void) curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    (void) curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, slot->client);
    (void) curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request_ready);
    (void) curl_easy_setopt(easy, CURLOPT_PREREQDATA, slot);
    (void) curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
    (void) curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, slot);
}

/* ---- the driver ------------------------------------------------------------------------------ */

SUSPENDS static void start_watchers(HttpClient *client, sl_nursery *watchers)
{
    while (!list_is_empty(&client->unwatched)) {
        ClientSocket *self = LIST_ITEM(list_pop_front(&client->unwatched), ClientSocket, link);

        self->is_watched = true;
        if (sl_spawn(watchers, watch, self, .name = "http client socket",
                     .stack_bytes = WATCHER_STACK_BYTES) < 0)
            self->is_watched = false; /* no stack: the transfer runs into its time-out */
    }
}

static void call_curl(HttpClient *client, curl_socket_t fd, int events)
{
    int running;
    CURLMcode code = curl_multi_socket_action(client->multi, fd, events, &running);

    ASSERT(code == CURLM_OK || code == CURLM_BAD_SOCKET);
}

static void pass_events(HttpClient *client)
{
    while (!list_is_empty(&client->ready)) {
        ClientSocket *self = LIST_ITEM(list_pop_front(&client->ready), ClientSocket, link);
        curl_socket_t fd = self->fd;
        int happened = self->happened;
        int events = (happened & SL_FD_READ ? CURL_CSELECT_IN : 0) |
                     (happened & SL_FD_WRITE ? CURL_CSELECT_OUT : 0) |
                     (self->is_failed ? CURL_CSELECT_ERR : 0);

        call_curl(client, fd, events);
        self = find_socket(client, fd); /* it may be closed, and the number used again */
        if (self && self->happened != 0 && !list_is_linked(&self->link)) {
            self->happened = 0;
            sl_cond_wake_all(&self->changed);
        }
    }
}

static void collect_finished(HttpClient *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left))) {
        ClientSlot *slot = NULL;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot);
        ASSERT(slot && slot->is_added);
        (void) curl_multi_remove_handle(client->multi, easy);
        slot->is_added = false;
        slot->result = result;
        sl_event_set(&slot->done);
    }
}

SUSPENDS static int wait_for_work(HttpClient *client)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope,
                   .deadline_ns = client->timer_at_ns == INT64_MAX ? 0 : client->timer_at_ns);
    client->driver_scope = &scope;
    r = sl_cond_wait(&client->work);
    client->driver_scope = NULL;
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? 0 : r;
}

static void abort_calls(HttpClient *client)
{
    list_each(&client->active, link) {
        ClientSlot *slot = LIST_ITEM(link, ClientSlot, link);

        if (!slot->done.is_set) {
            slot->is_aborted = true;
            sl_event_set(&slot->done);
        }
    }
}

static void free_curl(HttpClient *client)
{
    while (client->pool) {
        ClientSlot *slot = client->pool;

        client->pool = slot->next;
        client_slot_free(slot);
    }
    (void) curl_multi_cleanup(client->multi); /* closes what is kept; cannot fail without handles */
    client->multi = NULL;
}

/* Calls are aborted; wait for their fibers to take their handles back. */
SUSPENDS static void wait_for_callers(HttpClient *client)
{
    sl_scope shield;
    int r = 0;

    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = CLOSE_MS);
    while (client->active.len > 0 && r == 0)
        r = sl_cond_wait(&client->idle);
    r = sl_scope_end(&shield, r);
    ASSERT(r == 0 && client->active.len == 0);
}

int client_drive(void *arg)
{
    HttpClient *client = CAST(HttpClient, HTTP_CLIENT_TAG, arg);
    sl_nursery *watchers = sl_nursery_open(.name = "http client sockets", .keep_going = true);
    int r = 0;

    while (!client->is_stopping) {
        if (client->timer_at_ns <= sl_now_ns()) {
            client->timer_at_ns = INT64_MAX;
            call_curl(client, CURL_SOCKET_TIMEOUT, 0);
        }
        pass_events(client);
        collect_finished(client);
        start_watchers(client, watchers);
        if (!client->is_stopping && list_is_empty(&client->ready) &&
            list_is_empty(&client->unwatched) && client->timer_at_ns > sl_now_ns()) {
            r = wait_for_work(client);
            if (r < 0)
                break;
        }
    }
    client->is_stopping = true;
    abort_calls(client);
    wait_for_callers(client);
    free_curl(client);
    sl_nursery_close(watchers);
    mem_free(client->sockets);
    client->sockets = NULL;
    client->n_sockets = 0;
    sl_event_set(&client->ended);
    sl_cond_wake_all(&client->idle);
    return r;
}

int client_drive_init(HttpClient *client)
{
    const HttpClientOpts *opts = &client->opts;
    CURLM *multi = curl_multi_init();

    client->timer_at_ns = INT64_MAX;
    if (!multi)
        return fail(-ENOMEM, "start the http client");
    client->multi = multi;
    /* None of these can fail for the values given. */
    (void) curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void) curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    (void) curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void) curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    (void) curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                             (long) opts->connections_per_host);
    (void) curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) opts->connections_max);
    (void) curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) opts->connections_max);
    (void) curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    return 0;
}
