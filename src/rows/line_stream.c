/*
 * One fiber for each connection: wait, read what is there, hand on what is whole.
 *
 *   L1  A connection holds bytes only while a row of it is unfinished, or while it hands on.
 *   L2  Unfinished rows of all connections together are at most LIMIT_LINE_HELD_BYTES: the
 *       connection that would bring more is closed, and its row is refused by being cut.
 *   L3  Cancelling ends every fiber; a polite stop ends only those that wait for bytes.
 */
#include "rows/line_stream.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "net/tls.h"
#include "rows/halt.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#define READ_BYTES     (64 << 10)  /* room for one read */
#define PIECE_BYTES    (256 << 10) /* read at once, when so much is there */
#define LAST_BYTES     (4 << 20)   /* of one connection read after the stop, at most */
#define HANDSHAKE_MS   10000
#define CONNECT_MS     10000
#define BACKOFF_MS     100
#define BACKOFF_MAX_MS 30000

typedef struct LineHost {
    Source *source;
    LineStreamOpts opts;
    Halt halt;
    sl_nursery *nursery;
    size_t n_connections;
    size_t held_bytes; /* L2 */
    sl_cond left;
    bool has_said_full;
} LineHost;

typedef struct LineConn {
    LineHost *host;
    Stream *stream;
    Decoder *decoder;
    Buf in;      /* what has come and was not handed on */
    size_t held; /* of it, charged to the host */
    uint64_t lines;
    char origin[NET_ADDRESS_TEXT_MAX];
} LineConn;

/* ---- rows ------------------------------------------------------------------------------------ */

static uint64_t count_lines(Str text)
{
    uint64_t n = 0;

    for (const char *at = text.data, *end = text.data + text.len; at < end; at++) {
        at = memchr(at, '\n', (size_t) (end - at));
        if (!at)
            break;
        n++;
    }
    return n;
}

/* The first WHOLE bytes as a payload; what is behind them stays. */
static Payload *cut_payload(Buf *in, size_t whole)
{
    Buf all = *in;

    *in = (Buf){ .max_bytes = all.max_bytes };
    buf_add(in, all.data + whole, all.len - whole);
    all.len = whole;
    return payload_take(&all);
}

static void charge(LineConn *conn, size_t bytes)
{
    conn->host->held_bytes -= conn->held;
    conn->host->held_bytes += bytes;
    conn->held = bytes;
}

/* Hand on the first WHOLE bytes. */
SUSPENDS static int hand_on_bytes(LineConn *conn, size_t whole)
{
    Source *source = conn->host->source;
    AUTO(payload_unref) Payload *payload = NULL;
    uint64_t before = conn->lines;
    Receipt *receipt;
    int r;

    payload = cut_payload(&conn->in, whole);
    r = buf_check(&conn->in);
    if (r < 0)
        return r;
    conn->lines += count_lines(buf_str(&payload->bytes));
    receipt = receipt_new(source->index, str_from_c(conn->origin), str_from(NULL, 0));
    receipt->received_ns = sl_wall_ms() * NS_PER_MS;
    receipt->arrived_ns = sl_now_ns();
    r = decode_all(conn->decoder, payload, receipt, 0, before, source_take, source);
    receipt_seal(receipt); /* nobody is told */
    return r;
}

/* Hand on what is whole. The decoder may say it in pieces: what it passes over comes by itself. */
SUSPENDS static int hand_on(LineConn *conn, bool is_last)
{
    int r = 0;

    while (r == 0 && conn->in.len > 0) {
        size_t whole = decoder_whole_bytes(conn->decoder, buf_str(&conn->in), is_last);

        if (whole == 0)
            break;
        r = hand_on_bytes(conn, whole);
    }
    return r;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Outcomes of reading above zero. */
enum { READ_END = 1, READ_NOTHING = 2 };

/* Read what is there, at most PIECE_BYTES. 0, READ_NOTHING, READ_END, or an error. */
static int read_piece(LineConn *conn)
{
    size_t before = conn->in.len;

    while (conn->in.len - before < PIECE_BYTES) {
        char *at = buf_reserve(&conn->in, READ_BYTES);
        ssize_t n;

        if (!at)
            return buf_check(&conn->in);
        n = stream_try_read(conn->stream, at, READ_BYTES);
        if (n == 0 || (n < 0 && n != -EAGAIN)) {
            if (n < 0) {
                Err err;

                err_take((int) n, &err); /* reset: an end like another */
            }
            return READ_END;
        }
        if (n < 0)
            break;
        conn->in.len += (size_t) n;
    }
    return conn->in.len > before ? 0 : READ_NOTHING;
}

/* What has arrived by now, without waiting for more. */
SUSPENDS static int read_last(LineConn *conn)
{
    int r = 0;

    for (size_t total = 0; r == 0 && total < LAST_BYTES; total += PIECE_BYTES) {
        int got = read_piece(conn);

        if (got < 0)
            return got;
        r = hand_on(conn, got == READ_END);
        if (got > 0)
            break;
    }
    if (r == 0 && conn->in.len > 0)
        source_count_lost(conn->host->source, "cut_by_stop", 1);
    return r;
}

/* Wait for bytes: 0, READ_END when it has been idle for too long, or an error. */
SUSPENDS static int wait_bytes(LineConn *conn)
{
    LineHost *host = conn->host;
    HaltWait wait;
    int r;

    if (conn->in.len == 0)
        buf_deinit(&conn->in); /* L1 */
    charge(conn, conn->in.len);
    halt_begin(&host->halt, &wait, host->opts.idle_ms);
    r = stream_wait_readable(conn->stream);
    r = halt_end(&wait, r);
    return r == -ETIMEDOUT ? READ_END : r;
}

SUSPENDS static int read_rows(LineConn *conn)
{
    LineHost *host = conn->host;
    int r = 0;

    while (r == 0 && !host->halt.is_set) {
        int got = wait_bytes(conn);

        if (got < 0)
            return got;
        if (host->halt.is_set)
            break;
        if (got == 0)
            got = read_piece(conn);
        if (got < 0)
            return got;
        r = hand_on(conn, got == READ_END);
        if (got == READ_END)
            return r;
        if (r == 0 && host->held_bytes - conn->held + conn->in.len > LIMIT_LINE_HELD_BYTES) /* L2 */
            return hand_on(conn, true);
    }
    return r < 0 ? r : read_last(conn);
}

/* ---- connections ----------------------------------------------------------------------------- */

#if SL_HAVE_OPENSSL
SUSPENDS static int shake_hands(LineConn *conn)
{
    Stream *under = TAKE(conn->stream);
    HaltWait wait;
    int r;

    halt_begin(&conn->host->halt, &wait, HANDSHAKE_MS);
    r = tls_accept(conn->host->opts.tls, under, &conn->stream);
    return halt_end(&wait, r);
}
#else
SUSPENDS static int shake_hands(LineConn *conn)
{
    (void) conn;
    return fail(-ERR_UNSUPPORTED, "this build has no TLS");
}
#endif

/* What may gather before the decoder calls it a row, or too long for one. */
static size_t row_bytes_max(const Source *source)
{
    bool may_be_json = source->decode.format == DECODE_JSON || source->decode.format == DECODE_AUTO;

    return may_be_json ? LIMIT_DECODE_JSON_BYTES : LIMIT_DECODE_LINE_BYTES;
}

/* A connection from its first byte to its last; closes STREAM. 0 or what ends the source. */
SUSPENDS static int serve_conn(LineHost *host, TAKES Stream *stream)
{
    LineConn conn = { .host = host, .stream = stream };
    Source *source = host->source;
    int r = 0;

    if (host->opts.origin.len > 0)
        (void) snprintf(conn.origin, sizeof(conn.origin), "%.*s", (int) host->opts.origin.len,
                        host->opts.origin.data);
    else
        (void) net_address_format(&stream->peer, conn.origin);
    buf_init(&conn.in, row_bytes_max(source) + PIECE_BYTES + 2 * READ_BYTES);
    conn.decoder = decoder_new(source->shapes, source->pool, &source->decode);
    if (host->opts.tls)
        r = shake_hands(&conn);
    if (r < 0 && r != -ECANCELED) { /* its peer's fault: the others go on */
        Err err;

        err_take(r, &err);
        source_say(source, true, err.text);
        r = 0;
    } else if (r == 0 && conn.stream) {
        r = read_rows(&conn);
    }
    charge(&conn, 0);
    decoder_free(conn.decoder);
    buf_deinit(&conn.in);
    stream_close(conn.stream);
    return r;
}

SUSPENDS static int conn_fiber(void *arg)
{
    Stream *stream = arg;
    LineHost *host = stream->owner;
    int r = serve_conn(host, stream);

    host->n_connections--;
    if (r < 0 && r != -ECANCELED)
        halt_now(&host->halt); /* the pipeline takes no more from any of them */
    sl_cond_wake_all(&host->left);
    return r;
}

static void keep_alive(const Stream *stream)
{
    int on = 1;

    if (stream->fd >= 0) /* a peer that is gone without a word; on Unix sockets it has no effect */
        (void) setsockopt(stream->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static void refuse_conn(LineHost *host)
{
    char text[100];

    if (host->has_said_full)
        return;
    host->has_said_full = true;
    (void) snprintf(text, sizeof(text),
                    "%zu connections, which is the limit; further ones are closed",
                    host->n_connections);
    source_say(host->source, true, text);
}

SUSPENDS static int take_conn(LineHost *host, TAKES Stream *stream)
{
    int r;

    if (host->n_connections >= host->opts.connections_max) {
        refuse_conn(host);
        stream_close(stream);
        return 0;
    }
    host->has_said_full = false;
    keep_alive(stream);
    stream->owner = host;
    host->n_connections++;
    r = sl_spawn(host->nursery, conn_fiber, stream, .name = "lines of a connection");
    if (r < 0) {
        host->n_connections--;
        stream_close(stream);
    }
    return r;
}

SUSPENDS static int accept_conns(LineHost *host, Listener *listener)
{
    int r = 0;

    while (r == 0 && !host->halt.is_set) {
        Stream *stream = NULL;
        HaltWait wait;

        halt_begin(&host->halt, &wait, 0);
        r = listener_accept(listener, &stream);
        r = halt_end(&wait, r);
        if (r == 0 && stream)
            r = take_conn(host, stream);
    }
    for (size_t i = 0; r == 0 && i < host->opts.connections_max; i++) { /* who has come by now */
        Stream *stream = NULL;

        if (listener_try_accept(listener, &stream) == LISTENER_NONE)
            break;
        r = take_conn(host, stream);
    }
    return r;
}

/* ---- life ------------------------------------------------------------------------------------ */

SUSPENDS static int host_start(LineHost *host, Source *source, const LineStreamOpts *opts)
{
    host->source = source;
    host->opts = *opts;
    if (!host->opts.connections_max)
        host->opts.connections_max = LIMIT_LINE_CONNECTIONS;
    host->nursery = sl_nursery_open(.name = "line stream");
    return halt_start(&host->halt, source, host->nursery);
}

/* Wait for the connections; R is what happened so far. */
SUSPENDS static int host_end(LineHost *host, int r)
{
    int ended = 0;

    while (r == 0 && ended == 0 && host->n_connections > 0)
        ended = sl_cond_wait(&host->left);
    sl_nursery_cancel(host->nursery);
    if (r == 0 && ended == 0)
        ended = sl_nursery_join(host->nursery);
    sl_nursery_close(host->nursery);
    ASSERT(host->held_bytes == 0); /* L2 */
    if (r == 0)
        r = ended;
    return r == -ECANCELED ? 0 : r;
}

int line_stream_listen(Source *source, Listener *listener, const LineStreamOpts *opts)
{
    LineHost host = { 0 };
    int r = host_start(&host, source, opts);

    if (r == 0)
        r = accept_conns(&host, listener);
    return host_end(&host, r);
}

/* ---- connecting ------------------------------------------------------------------------------ */

SUSPENDS static int dial(LineHost *host, const NetAddress *address, Stream **ret_stream)
{
    HaltWait wait;
    int r;

    halt_begin(&host->halt, &wait, CONNECT_MS);
    r = stream_connect(address, ret_stream);
    return halt_end(&wait, r);
}

SUSPENDS static int say_and_wait(LineHost *host, const char *why, int64_t backoff_ms)
{
    char text[ERR_TEXT_MAX + 64];

    (void) snprintf(text, sizeof(text), "%s; again in %g s", why, (double) backoff_ms / 1000.0);
    source_say(host->source, false, text);
    return halt_sleep(&host->halt, backoff_ms);
}

/* R of a dial that nobody wants any more: that it failed as well is no matter. */
static int end_dial(int r)
{
    Err err;

    if (r >= 0 || r == -ECANCELED)
        return r;
    err_take(r, &err);
    return 0;
}

int line_stream_connect(Source *source, const NetAddress *address, const LineStreamOpts *opts)
{
    LineHost host = { 0 };
    int64_t backoff_ms = BACKOFF_MS;
    int r = host_start(&host, source, opts);

    while (r == 0 && !host.halt.is_set) {
        Stream *stream = NULL;
        Err err;

        r = dial(&host, address, &stream);
        if (host.halt.is_set || r == -ECANCELED) {
            stream_close(stream);
            r = end_dial(r);
            break;
        }
        if (r == 0) {
            uint64_t before = source->rows;

            source_say(source, true, "connected");
            keep_alive(stream);
            r = serve_conn(&host, stream);
            if (r < 0 || host.halt.is_set)
                break;
            backoff_ms = source->rows > before ? BACKOFF_MS : backoff_ms;
            r = say_and_wait(&host, "the peer has closed", backoff_ms);
        } else {
            err_take(r, &err);
            r = say_and_wait(&host, err.text, backoff_ms);
        }
        backoff_ms = MIN(2 * backoff_ms, (int64_t) BACKOFF_MAX_MS);
    }
    return host_end(&host, r);
}
