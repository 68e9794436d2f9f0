/*
 * The simulated network.
 *
 * A connection is two pipes, one each way. A pipe is a row of segments, each with the time at which
 * it arrives; the end of the stream is a segment without bytes, so that it keeps its place behind
 * what was written. Both ends hold a reference to the connection, and so does whoever waits inside
 * it, because a stream may be closed under its reader.
 *
 *   a: write -> [seg t=3][seg t=5][end t=5] -> b: read        pipe 0
 *   a: read  <- [seg t=4] <- b: write                         pipe 1
 *
 * Times come from the loop's clock and chances from its random numbers: on the simulated loop both
 * follow from the seed. What a fault does: cut = both ends get -ECONNRESET and all bytes are lost;
 * silence = bytes vanish until the window is full, and nobody is told.
 */
#include "net/sim_net.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"

#include <sluice/rt.h>

#include <errno.h>
#include <string.h>

#define SIM_BACKLOG 1024 /* connections that wait for one listener */

struct SimNet {
    SimNetOpts opts;
    List listeners;
};

typedef struct SimSegment {
    struct SimSegment *next;
    int64_t at_ns; /* when it arrives */
    size_t len;    /* 0: the end of the stream */
    size_t taken;  /* bytes read of it */
    char data[];
} SimSegment;

typedef struct SimPipe {
    SimSegment *first;
    SimSegment *last;
    size_t in_flight; /* bytes written and not read */
    bool is_ended;    /* the writer has shut it down */
    bool is_deaf;     /* the reader has closed */
    sl_cond readable; /* also: closed, cut */
    sl_cond writable;
} SimPipe;

typedef struct SimConn {
    SimNet *net;
    size_t refs;
    SimPipe pipes[2]; /* pipes[s] is written by side s */
    bool is_closed[2];
    bool is_cut;
    bool is_silent;
} SimConn;

typedef struct SimStream {
    Stream stream;
    SimConn *conn;
    int side;
} SimStream;

typedef struct SimPending {
    ListLink link;
    SimStream *stream;
} SimPending;

typedef struct SimListener {
    Listener listener;
    ListLink link; /* in net->listeners */
    char *name;
    List pending;
    sl_cond arrived;
} SimListener;

/* ---- chances and times ----------------------------------------------------------------------- */

static bool happens(double chance)
{
    return chance > 0 && (double) (sl_random() >> 11) * 0x1p-53 < chance;
}

/* Between 1 and MOST. */
static size_t some_of(size_t most)
{
    return 1 + (size_t) (sl_random() % most);
}

static int64_t draw_latency_ns(const SimNetOpts *opts)
{
    int64_t spread = opts->latency_max_us - opts->latency_min_us;

    if (opts->latency_max_us <= 0)
        return 0;
    return (opts->latency_min_us +
            (spread > 0 ? (int64_t) (sl_random() % (uint64_t) (spread + 1)) : 0)) *
           NS_PER_US;
}

/* Wait for COND, at most until AT_NS. 0 in both cases, or an error of the caller's scopes. */
SUSPENDS static int wait_until(sl_cond *cond, int64_t at_ns)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .deadline_ns = at_ns);
    r = sl_cond_wait(cond);
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? 0 : r;
}

/* ---- connections and pipes ------------------------------------------------------------------- */

static SimConn *conn_ref(SimConn *conn)
{
    conn->refs++;
    return conn;
}

static void pipe_drop(SimPipe *pipe)
{
    while (pipe->first) {
        SimSegment *segment = pipe->first;

        pipe->first = segment->next;
        mem_free(segment);
    }
    pipe->last = NULL;
    pipe->in_flight = 0;
}

static void conn_unref(SimConn *conn)
{
    ASSERT(conn->refs > 0);
    if (--conn->refs > 0)
        return;
    pipe_drop(&conn->pipes[0]);
    pipe_drop(&conn->pipes[1]);
    mem_free(conn);
}
DEFINE_AUTO(SimConn *, conn_unref);

static void conn_wake_all(SimConn *conn)
{
    for (int i = 0; i < 2; i++) {
        sl_cond_wake_all(&conn->pipes[i].readable);
        sl_cond_wake_all(&conn->pipes[i].writable);
    }
}

static void conn_cut(SimConn *conn)
{
    conn->is_cut = true;
    pipe_drop(&conn->pipes[0]);
    pipe_drop(&conn->pipes[1]);
    conn_wake_all(conn);
}

static void pipe_push(SimConn *conn, SimPipe *pipe, SimSegment *segment)
{
    int64_t at_ns = sl_now_ns() + draw_latency_ns(&conn->net->opts);

    segment->at_ns = pipe->last ? MAX(at_ns, pipe->last->at_ns) : at_ns;
    if (pipe->last)
        pipe->last->next = segment;
    else
        pipe->first = segment;
    pipe->last = segment;
    pipe->in_flight += segment->len;
    sl_cond_wake_all(&pipe->readable);
}

static void pipe_end(SimConn *conn, SimPipe *pipe)
{
    if (pipe->is_ended)
        return;
    pipe->is_ended = true;
    if (!conn->is_silent && !conn->is_cut)
        pipe_push(conn, pipe, mem_zalloc(sizeof(SimSegment)));
}

static void pipe_pop(SimPipe *pipe)
{
    SimSegment *segment = pipe->first;

    pipe->first = segment->next;
    if (!pipe->first)
        pipe->last = NULL;
    mem_free(segment);
}

/* ---- streams --------------------------------------------------------------------------------- */

static SimStream *sim_cast(Stream *stream)
{
    return CONTAINER_OF(stream, SimStream, stream);
}

/* The pipe that SIDE reads. */
static SimPipe *incoming(SimConn *conn, int side)
{
    return &conn->pipes[1 - side];
}

static int reset_error(void)
{
    return fail(-ECONNRESET, "connection reset");
}

/* 0 when a read would return at once; -EAGAIN when it would wait, until *ret_at_ns at most. */
static int look(SimConn *conn, int side, int64_t *ret_at_ns)
{
    SimPipe *pipe = incoming(conn, side);

    *ret_at_ns = 0;
    if (conn->is_closed[side])
        return fail(-EBADF, "stream closed");
    if (conn->is_cut)
        return reset_error();
    if (!pipe->first || conn->is_silent)
        return -EAGAIN;
    *ret_at_ns = pipe->first->at_ns;
    return pipe->first->at_ns <= sl_now_ns() ? 0 : -EAGAIN;
}

SUSPENDS static int wait_until_look(SimConn *conn, int side)
{
    int64_t at_ns;
    int r;

    r = sl_checkpoint();
    if (r < 0)
        return r;
    while ((r = look(conn, side, &at_ns)) == -EAGAIN) {
        r = wait_until(&incoming(conn, side)->readable, at_ns);
        if (r < 0)
            return r;
    }
    return r;
}

/* What there is, at most LEN bytes; the pipe has something. */
static ssize_t take(SimStream *self, char *buf, size_t len)
{
    SimConn *conn = self->conn;
    SimPipe *pipe = incoming(conn, self->side);
    size_t n = 0;

    if (happens(conn->net->opts.short_read))
        len = some_of(len);
    while (n < len && pipe->first && pipe->first->len > 0 && pipe->first->at_ns <= sl_now_ns()) {
        SimSegment *segment = pipe->first;
        size_t piece = MIN(len - n, segment->len - segment->taken);

        memcpy(buf + n, segment->data + segment->taken, piece);
        segment->taken += piece;
        n += piece;
        if (segment->taken == segment->len)
            pipe_pop(pipe);
    }
    pipe->in_flight -= n;
    self->stream.bytes_read += n;
    sl_cond_wake_all(&pipe->writable);
    return (ssize_t) n; /* the end's segment stays: it is read again and again */
}

SUSPENDS static ssize_t sim_read(Stream *stream, void *buf, size_t len)
{
    SimStream *self = sim_cast(stream);
    AUTO(conn_unref) SimConn *conn = conn_ref(self->conn);
    int r;

    r = wait_until_look(conn, self->side);
    return r < 0 ? r : take(self, buf, len);
}

static ssize_t sim_try_read(Stream *stream, void *buf, size_t len)
{
    SimStream *self = sim_cast(stream);
    int64_t at_ns;
    int r;

    r = look(self->conn, self->side, &at_ns);
    return r < 0 ? r : take(self, buf, len);
}

SUSPENDS static int sim_wait_readable(Stream *stream)
{
    SimStream *self = sim_cast(stream);
    AUTO(conn_unref) SimConn *conn = conn_ref(self->conn);
    int r;

    r = wait_until_look(conn, self->side);
    return conn->is_cut ? 0 : r; /* a reset is something to read */
}

SUSPENDS static int sim_wait_close(Stream *stream)
{
    SimStream *self = sim_cast(stream);
    AUTO(conn_unref) SimConn *conn = conn_ref(self->conn);
    int side = self->side;
    int r;

    r = wait_until_look(conn, side);
    if (conn->is_cut)
        return 0;
    if (r < 0)
        return r;
    return incoming(conn, side)->first->len == 0 ? 0 : STREAM_HAS_DATA;
}

/* Whether SIDE may write now: 0, -EAGAIN, or an error. */
static int look_writable(SimConn *conn, int side)
{
    size_t window = conn->net->opts.window_bytes ? conn->net->opts.window_bytes
                                                 : LIMIT_SIM_WINDOW_BYTES;

    if (conn->is_closed[side])
        return fail(-EBADF, "stream closed");
    if (conn->is_cut)
        return reset_error();
    if (conn->pipes[side].is_ended || conn->pipes[side].is_deaf)
        return fail(-EPIPE, "the other side has closed");
    return conn->pipes[side].in_flight < window ? 0 : -EAGAIN;
}

static ssize_t put(SimStream *self, const struct iovec *iov, int n)
{
    SimConn *conn = self->conn;
    const SimNetOpts *opts = &conn->net->opts;
    SimPipe *pipe = &conn->pipes[self->side];
    size_t room = (opts->window_bytes ? opts->window_bytes : LIMIT_SIM_WINDOW_BYTES) -
                  pipe->in_flight;
    SimSegment *segment;
    size_t total = 0, copied = 0;

    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    total = MIN(total, room);
    if (happens(opts->short_write))
        total = some_of(total);
    self->stream.bytes_written += total;
    self->stream.writes++;
    if (conn->is_silent) {
        pipe->in_flight += total;
        return (ssize_t) total;
    }
    segment = mem_zalloc(sizeof(*segment) + total);
    segment->len = total;
    for (int i = 0; i < n && copied < total; i++) {
        size_t piece = MIN(iov[i].iov_len, total - copied);

        memcpy(segment->data + copied, iov[i].iov_base, piece);
        copied += piece;
    }
    pipe_push(conn, pipe, segment);
    return (ssize_t) total;
}

SUSPENDS static ssize_t sim_writev(Stream *stream, const struct iovec *iov, int n)
{
    SimStream *self = sim_cast(stream);
    AUTO(conn_unref) SimConn *conn = conn_ref(self->conn);
    int side = self->side;
    int r;

    r = sl_checkpoint();
    if (r < 0)
        return r;
    if (happens(conn->net->opts.cut))
        conn_cut(conn);
    if (happens(conn->net->opts.silence))
        conn->is_silent = true;
    while ((r = look_writable(conn, side)) == -EAGAIN) {
        r = sl_cond_wait(&conn->pipes[side].writable);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : put(self, iov, n);
}

SUSPENDS static int sim_shutdown(Stream *stream)
{
    SimStream *self = sim_cast(stream);

    if (self->conn->is_cut)
        return reset_error();
    pipe_end(self->conn, &self->conn->pipes[self->side]);
    return sl_checkpoint();
}

static void sim_abort(Stream *stream)
{
    conn_cut(sim_cast(stream)->conn);
}

static void sim_close(Stream *stream)
{
    SimStream *self = sim_cast(stream);
    SimConn *conn = self->conn;
    SimPipe *in = incoming(conn, self->side);

    pipe_end(conn, &conn->pipes[self->side]);
    conn->is_closed[self->side] = true;
    in->is_deaf = true;
    pipe_drop(in);
    conn_wake_all(conn);
    conn_unref(conn);
    mem_free(self);
}

static const StreamOps sim_ops = {
    .kind = "sim",
    .read = sim_read,
    .try_read = sim_try_read,
    .wait_readable = sim_wait_readable,
    .wait_close = sim_wait_close,
    .writev = sim_writev,
    .shutdown = sim_shutdown,
    .abort = sim_abort,
    .close = sim_close,
};

static SimStream *sim_stream_new(SimConn *conn, int side)
{
    SimStream *self = mem_new(SimStream);

    self->stream = (Stream){ .tag = STREAM_TAG, .fd = -1, .ops = &sim_ops };
    self->conn = conn_ref(conn);
    self->side = side;
    return self;
}

static SimConn *sim_conn_of(Stream *stream)
{
    ASSERT(stream && stream->ops == &sim_ops);
    return sim_cast(stream)->conn;
}

void sim_stream_cut(Stream *stream)
{
    conn_cut(sim_conn_of(stream));
}

void sim_stream_silence(Stream *stream)
{
    sim_conn_of(stream)->is_silent = true;
}

/* ---- listeners ------------------------------------------------------------------------------- */

static SimListener *listener_cast(Listener *listener)
{
    return CONTAINER_OF(listener, SimListener, listener);
}

SUSPENDS static int sim_accept(Listener *listener, Stream **ret_stream)
{
    SimListener *self = listener_cast(listener);
    SimPending *pending;
    int r;

    r = sl_checkpoint();
    if (r < 0)
        return r;
    while (list_is_empty(&self->pending)) {
        r = sl_cond_wait(&self->arrived);
        if (r < 0)
            return r;
    }
    pending = LIST_ITEM(list_pop_front(&self->pending), SimPending, link);
    *ret_stream = &pending->stream->stream;
    mem_free(pending);
    listener->accepted++;
    return 0;
}

static void sim_listener_close(Listener *listener)
{
    SimListener *self = listener_cast(listener);

    while (!list_is_empty(&self->pending)) {
        SimPending *pending = LIST_ITEM(list_pop_front(&self->pending), SimPending, link);

        sim_abort(&pending->stream->stream);
        sim_close(&pending->stream->stream);
        mem_free(pending);
    }
    list_remove(&self->link);
    mem_free(self->name);
    mem_free(self);
}

static const ListenerOps sim_listener_ops = { .accept = sim_accept, .close = sim_listener_close };

static SimListener *find_listener(SimNet *net, const char *name)
{
    list_each(&net->listeners, link) {
        SimListener *self = LIST_ITEM(link, SimListener, link);

        if (strcmp(self->name, name) == 0)
            return self;
    }
    return NULL;
}

int sim_net_listen(SimNet *net, const char *name, Listener **ret_listener)
{
    SimListener *self;

    ASSERT(net && name && ret_listener);
    if (find_listener(net, name))
        return fail(-EADDRINUSE, "listen on %s: address in use", name);
    self = mem_new(SimListener);
    self->listener = (Listener){ .tag = LISTENER_TAG, .fd = -1, .ops = &sim_listener_ops };
    self->name = mem_copy_c(name, strlen(name));
    list_push_back(&net->listeners, &self->link);
    *ret_listener = &self->listener;
    return 0;
}

/* ---- the network ----------------------------------------------------------------------------- */

SimNet *sim_net_new(const SimNetOpts *opts)
{
    SimNet *net = mem_new(SimNet);

    if (opts)
        net->opts = *opts;
    return net;
}

void sim_net_free(SimNet *net)
{
    if (!net)
        return;
    ASSERT(list_is_empty(&net->listeners));
    mem_free(net);
}

void sim_net_set(SimNet *net, const SimNetOpts *opts)
{
    ASSERT(net && opts);
    net->opts = *opts;
}

void sim_net_pair(SimNet *net, Stream **ret_a, Stream **ret_b)
{
    SimConn *conn = mem_new(SimConn);

    ASSERT(net && ret_a && ret_b);
    conn->net = net;
    *ret_a = &sim_stream_new(conn, 0)->stream;
    *ret_b = &sim_stream_new(conn, 1)->stream;
}

int sim_net_connect(SimNet *net, const char *name, Stream **ret_stream)
{
    SimListener *listener;
    SimPending *pending;
    Stream *near, *far;
    int r;

    ASSERT(net && name && ret_stream);
    r = sl_sleep_ns(draw_latency_ns(&net->opts));
    if (r < 0)
        return r;
    listener = find_listener(net, name); /* after the sleep: it may have gone */
    if (!listener || listener->pending.len >= SIM_BACKLOG || happens(net->opts.refuse))
        return fail(-ECONNREFUSED, "connect to %s: connection refused", name);
    sim_net_pair(net, &near, &far);
    pending = mem_new(SimPending);
    pending->stream = sim_cast(far);
    list_push_back(&listener->pending, &pending->link);
    sl_cond_wake_one(&listener->arrived);
    *ret_stream = near;
    return 0;
}
