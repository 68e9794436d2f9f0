/*
 * A consumer of an AMQP queue; see the header.
 *
 * Invariants:
 *   I1  oldest <= every tag that is not acknowledged < next; next - oldest <= window, a power of
 *       two above twice the prefetch: the broker sends no more than the prefetch beyond what is
 *       acknowledged, and no more than the rest of the window is acknowledged behind one that is
 *       not (n_ahead).
 *   I2  states[tag & (window - 1)] is that of the tag.
 */
#include "rows/amqp_conn.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/url.h"
#include "net/dial.h"
#include "rows/amqp_library_int.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define CHANNEL          1
#define FRAME_BYTES      131072
#define CLOSE_S          2 /* for the broker's part of a goodbye */
#define SYSTEM_CA        "/etc/ssl/certs/ca-certificates.crt" /* the library has no default */
#define SOCKET_BYTES_MAX 8192 /* not taken by the broker: below, a small frame never waits */

enum { ACCESS_REFUSED = 403, NOT_FOUND = 404, RESOURCE_LOCKED = 405, NOT_ALLOWED = 530 };

typedef enum TagState { TAG_OUT, TAG_DONE, TAG_BACK, TAG_PAID } TagState;

/* A message that is being put together. */
typedef enum Part { WANT_DELIVER, WANT_HEAD, WANT_BODY } Part;

struct AmqpConn {
    AmqpOpts opts;
    amqp_connection_state_t state;
    amqp_socket_t *socket;
    char address[64];        /* the host as a number, where its name need not be checked */
    atomic_int fd;           /* a duplicate of the library's, for the loop; -1: none */
    atomic_bool is_given_up; /* while it is opened */
    bool is_lost;
    bool can_mend;
    bool is_asked; /* whether the queue is there; not answered yet */

    Part part;
    uint64_t tag;
    bool is_repeat;
    uint64_t body_left;
    bool is_oversize;
    Buf routing_key, body;

    uint8_t *states; /* TagState, window of them; owned */
    uint64_t window, oldest, next;
    size_t n_owed;    /* settled, not acknowledged */
    uint64_t n_ahead; /* acknowledged, behind one that is not */
};

/* ---- errors ---------------------------------------------------------------------------------- */

static int fail_status(AmqpConn *conn, const char *what, int status)
{
    conn->is_lost = true;
    return fail(-ERR_NETWORK, "%s: %s", what, amqp_error_string2(status));
}

/* What the broker says when it closes the channel or the connection. */
static int fail_closed(AmqpConn *conn, const char *what, int code, amqp_bytes_t text)
{
    bool is_refused = code == ACCESS_REFUSED || code == NOT_ALLOWED || code == RESOURCE_LOCKED;
    int error = is_refused ? -ERR_FORBIDDEN : code == NOT_FOUND ? -ERR_NOT_FOUND : -ERR_UNAVAILABLE;

    conn->is_lost = true;
    conn->can_mend = code == RESOURCE_LOCKED || (!is_refused && code != NOT_FOUND);
    return fail(error, "%s: %.*s", what, (int) MIN(text.len, (size_t) 300),
                text.bytes ? (const char *) text.bytes : "");
}

static int fail_method(AmqpConn *conn, const char *what, const amqp_method_t *method)
{
    const amqp_channel_close_t *channel;
    const amqp_connection_close_t *connection;

    if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        channel = method->decoded;
        return fail_closed(conn, what, channel->reply_code, channel->reply_text);
    }
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        connection = method->decoded;
        return fail_closed(conn, what, connection->reply_code, connection->reply_text);
    }
    conn->is_lost = true;
    return fail(-ERR_NETWORK, "%s: the broker sends %s, which nothing asked for", what,
                amqp_method_name(method->id) ? amqp_method_name(method->id) : "a method");
}

static int check_reply(AmqpConn *conn, const char *what, const amqp_rpc_reply_t *reply)
{
    switch (reply->reply_type) {
    case AMQP_RESPONSE_NORMAL: return 0;
    case AMQP_RESPONSE_SERVER_EXCEPTION: return fail_method(conn, what, &reply->reply);
    case AMQP_RESPONSE_LIBRARY_EXCEPTION: return fail_status(conn, what, reply->library_error);
    case AMQP_RESPONSE_NONE: break;
    }
    return fail_status(conn, what, AMQP_STATUS_SOCKET_ERROR);
}

/* What the broker says to the call just made on the channel. */
static int check_last(AmqpConn *conn, const char *what)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(conn->state);

    return check_reply(conn, what, &reply);
}

/* ---- opening, on the pool -------------------------------------------------------------------- */

static int set_tls(AmqpConn *conn)
{
    const AmqpOpts *opts = &conn->opts;
    const char *ca = opts->ca ? opts->ca : SYSTEM_CA;
    const char *key = opts->key ? opts->key : opts->cert; /* one file may have both */

    if (amqp_ssl_socket_set_cacert(conn->socket, ca) != AMQP_STATUS_OK)
        return fail(-ERR_TLS, "tls: no authorities can be read from %s", ca);
    if (opts->cert && amqp_ssl_socket_set_key(conn->socket, opts->cert, key) != AMQP_STATUS_OK)
        return fail(-ERR_TLS, "tls: the certificate of %s with the key of %s cannot be used",
                    opts->cert, key);
    amqp_ssl_socket_set_verify_peer(conn->socket, !opts->is_insecure);
    amqp_ssl_socket_set_verify_hostname(conn->socket, !opts->is_insecure);
    return 0;
}

static int open_socket(AmqpConn *conn)
{
    const AmqpOpts *opts = &conn->opts;
    struct timeval time = { .tv_sec = LIMIT_BROKER_CONNECT_MS / MS_PER_S };
    int port = opts->port ? opts->port : opts->is_tls ? 5671 : 5672;
    int status, r;

    conn->socket = opts->is_tls ? amqp_ssl_socket_new(conn->state)
                                : amqp_tcp_socket_new(conn->state);
    if (!conn->socket)
        return fail(-ENOMEM, "connect");
    r = opts->is_tls ? set_tls(conn) : 0;
    if (r < 0)
        return r;
    status = amqp_socket_open_noblock(conn->socket, opts->is_tls ? opts->host : conn->address, port,
                                      &time);
    if (status == AMQP_STATUS_SSL_PEER_VERIFY_FAILED)
        return fail(-ERR_TLS,
                    "tls: the certificate of %s was signed by an authority that is not trusted, or "
                    "is out of date",
                    opts->host);
    if (status == AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED)
        return fail(-ERR_TLS, "tls: the certificate of the broker is not for %s", opts->host);
    if (status != AMQP_STATUS_OK) {
        conn->can_mend = true;
        return fail_status(conn, "connect", status);
    }
    return 0;
}

static int log_in(AmqpConn *conn)
{
    static const char *const names[] = { "consumer_cancel_notify", "basic.nack" };
    amqp_table_entry_t able[ARRAY_LEN(names)], entry;
    amqp_table_t capabilities = { .num_entries = ARRAY_LEN(able), .entries = able };
    amqp_table_t properties = { .num_entries = 1, .entries = &entry };
    struct timeval time = { .tv_sec = LIMIT_BROKER_CONNECT_MS / MS_PER_S };
    amqp_rpc_reply_t reply;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        able[i].key = amqp_cstring_bytes(names[i]);
        able[i].value.kind = AMQP_FIELD_KIND_BOOLEAN;
        able[i].value.value.boolean = 1;
    }
    entry.key = amqp_cstring_bytes("capabilities");
    entry.value.kind = AMQP_FIELD_KIND_TABLE;
    entry.value.value.table = capabilities;
    (void) amqp_set_handshake_timeout(conn->state, &time); /* fails only without the argument */
    (void) amqp_set_rpc_timeout(conn->state, &time);
    reply = amqp_login_with_properties(conn->state, conn->opts.vhost, 0, FRAME_BYTES,
                                       conn->opts.heartbeat_s, &properties, AMQP_SASL_METHOD_PLAIN,
                                       conn->opts.user, conn->opts.password);
    return check_reply(conn, "log in", &reply);
}

static int declare(AmqpConn *conn)
{
    const AmqpOpts *opts = &conn->opts;
    amqp_bytes_t queue = amqp_cstring_bytes(opts->queue);
    bool is_passive = opts->declare == AMQP_DECLARE_PASSIVE;
    int r = 0;

    if (opts->declare != AMQP_DECLARE_NONE) {
        (void) amqp_queue_declare(conn->state, CHANNEL, queue, is_passive, !is_passive, 0, 0,
                                  amqp_empty_table); /* the reply tells */
        r = check_last(conn, "declare the queue");
    }
    if (r == 0 && opts->exchange) {
        (void) amqp_queue_bind(conn->state, CHANNEL, queue, amqp_cstring_bytes(opts->exchange),
                               amqp_cstring_bytes(opts->binding ? opts->binding : ""),
                               amqp_empty_table);
        r = check_last(conn, "bind the queue");
    }
    return r;
}

static int consume(AmqpConn *conn)
{
    int r;

    (void) amqp_basic_qos(conn->state, CHANNEL, 0, conn->opts.prefetch, 0); /* the reply tells */
    r = check_last(conn, "set the prefetch");
    if (r < 0)
        return r;
    (void) amqp_basic_consume(conn->state, CHANNEL, amqp_cstring_bytes(conn->opts.queue),
                              amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    return check_last(conn, "consume");
}

/* For the loop, which may give up from here on. */
static int share_socket(AmqpConn *conn)
{
    conn->fd = fcntl(amqp_get_sockfd(conn->state), F_DUPFD_CLOEXEC, 0);
    if (conn->fd < 0)
        return fail_errno("connect");
    return conn->is_given_up ? fail(-ERR_CLOSED, "connect: nobody waits for it") : 0;
}

/* On the loop: what the library waits for ends. */
static void give_up(void *arg)
{
    AmqpConn *conn = arg;

    conn->is_given_up = true;
    if (conn->fd >= 0)
        (void) shutdown(conn->fd, SHUT_RDWR); /* it may be gone already */
}

static int open_main(void *arg)
{
    AmqpConn *conn = arg;
    int r;

    conn->state = amqp_new_connection();
    if (!conn->state)
        return fail(-ENOMEM, "connect");
    conn->can_mend = false;
    r = open_socket(conn);
    if (r < 0)
        return r;
    conn->can_mend = true;
    r = share_socket(conn);
    if (r == 0)
        r = log_in(conn);
    if (r == 0) {
        (void) amqp_channel_open(conn->state, CHANNEL); /* the reply tells */
        r = check_last(conn, "open a channel");
    }
    if (r == 0)
        r = declare(conn);
    return r < 0 ? r : consume(conn);
}

SUSPENDS static int find_address(AmqpConn *conn)
{
    NetAddress addresses[DIAL_ADDRESSES_MAX];
    char text[NET_ADDRESS_TEXT_MAX];
    size_t n = 0;
    Str host;
    uint16_t port;
    int r = dial_look_up(&(DialOpts){ .host = conn->opts.host,
                                      .port = 1,
                                      .is_public_only = conn->opts.is_public_only },
                         addresses, ARRAY_LEN(addresses), &n);

    if (r < 0)
        return r;
    r = url_parse_host_port(net_address_format(&addresses[0], text), 1, &host, &port);
    if (r < 0)
        return r;
    (void) snprintf(conn->address, sizeof(conn->address), "%.*s", (int) host.len, host.data);
    return 0;
}

int amqp_conn_open(const AmqpOpts *opts, AmqpConn **ret_conn, bool *ret_can_mend)
{
    AUTO(amqp_conn_close) AmqpConn *conn = mem_new(AmqpConn);
    int r;

    conn->opts = *opts;
    conn->fd = -1;
    conn->oldest = 1;
    conn->next = 1;
    for (conn->window = 1; conn->window <= 2 * (uint64_t) opts->prefetch;)
        conn->window *= 2;
    conn->states = mem_new_array(uint8_t, conn->window);
    buf_init(&conn->body, LIMIT_AMQP_MESSAGE_BYTES);
    r = find_address(conn);
    *ret_can_mend = r < 0 && err_is_retryable(r);
    if (r < 0)
        return r;
    r = sl_offload(open_main, conn, .name = "connect to amqp", .on_cancel = give_up);
    *ret_can_mend = conn->can_mend;
    if (r < 0)
        return r;
    *ret_conn = TAKE(conn);
    return 0;
}

/* ---- closing --------------------------------------------------------------------------------- */

static int close_main(void *arg)
{
    AmqpConn *conn = arg;
    struct timeval time = { .tv_sec = CLOSE_S };

    if (!conn->is_lost) {
        (void) amqp_set_rpc_timeout(conn->state, &time);
        (void) amqp_connection_close(conn->state, AMQP_REPLY_SUCCESS); /* it hears of it anyway */
    }
    (void) amqp_destroy_connection(conn->state);
    return 0;
}

SUSPENDS static int close_all(void *arg)
{
    return sl_offload(close_main, arg, .name = "close amqp");
}

void amqp_conn_close(AmqpConn *conn)
{
    if (!conn)
        return;
    sl_fd_close(conn->fd);
    if (conn->state)
        (void) sl_shielded(INT32_MAX, close_all, conn); /* cannot fail */
    buf_deinit(&conn->routing_key);
    buf_deinit(&conn->body);
    mem_free(conn->states);
    mem_free(conn);
}

void amqp_conn_abort(AmqpConn *conn)
{
    conn->is_lost = true;
    (void) shutdown(conn->fd, SHUT_RDWR); /* it may be gone already */
}

/* ---- messages -------------------------------------------------------------------------------- */

static int fail_gone(AmqpConn *conn)
{
    conn->is_lost = true;
    conn->can_mend = true;
    return fail(-ERR_UNAVAILABLE, "the broker has cancelled the consumer: the queue is gone");
}

static bool is_not_found(const amqp_method_t *method)
{
    const amqp_channel_close_t *close = method->decoded;

    return method->id == AMQP_CHANNEL_CLOSE_METHOD && close->reply_code == NOT_FOUND;
}

static int take_deliver(AmqpConn *conn, const amqp_method_t *method)
{
    const amqp_basic_deliver_t *deliver = method->decoded;

    if (method->id == AMQP_BASIC_CANCEL_METHOD)
        return fail_gone(conn);
    if (conn->is_asked && method->id == AMQP_QUEUE_DECLARE_OK_METHOD) {
        conn->is_asked = false;
        amqp_maybe_release_buffers(conn->state);
        return 0;
    }
    if (conn->is_asked && is_not_found(method))
        return fail_gone(conn);
    if (method->id != AMQP_BASIC_DELIVER_METHOD || conn->part != WANT_DELIVER)
        return fail_method(conn, "the connection", method);
    if (deliver->delivery_tag != conn->next || conn->next - conn->oldest >= conn->window) {
        conn->is_lost = true;
        return fail(-ERR_NETWORK, "the broker sends more than it may, or leaves out a number");
    }
    conn->next++;
    conn->states[deliver->delivery_tag & (conn->window - 1)] = TAG_OUT;
    conn->tag = deliver->delivery_tag;
    conn->is_repeat = deliver->redelivered;
    buf_reset(&conn->routing_key);
    buf_add(&conn->routing_key, deliver->routing_key.bytes, deliver->routing_key.len);
    buf_reset(&conn->body);
    conn->part = WANT_HEAD;
    return 0;
}

static int take_frame(AmqpConn *conn, const amqp_frame_t *frame)
{
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD: return take_deliver(conn, &frame->payload.method);
    case AMQP_FRAME_HEADER:
        if (conn->part != WANT_HEAD)
            break;
        conn->body_left = frame->payload.properties.body_size;
        conn->is_oversize = conn->body_left > LIMIT_AMQP_MESSAGE_BYTES;
        conn->part = WANT_BODY;
        return 0;
    case AMQP_FRAME_BODY:
        if (conn->part != WANT_BODY || frame->payload.body_fragment.len > conn->body_left)
            break;
        conn->body_left -= frame->payload.body_fragment.len;
        if (!conn->is_oversize)
            buf_add(&conn->body, frame->payload.body_fragment.bytes,
                    frame->payload.body_fragment.len);
        return 0;
    default: break;
    }
    conn->is_lost = true;
    return fail(-ERR_NETWORK, "the broker sends frames in a wrong order");
}

/* The message is whole. */
static int finish_message(AmqpConn *conn, AmqpMessage *ret_message)
{
    int status, r = buf_check(&conn->body);

    conn->part = WANT_DELIVER;
    amqp_maybe_release_buffers(conn->state);
    if (r < 0)
        return wrap(r, "a message of the broker");
    if (conn->is_oversize) {
        status = amqp_basic_nack(conn->state, CHANNEL, conn->tag, 0, 0);
        if (status != AMQP_STATUS_OK)
            return fail_status(conn, "reject", status);
        conn->states[conn->tag & (conn->window - 1)] = TAG_PAID;
        conn->n_ahead++;
        return AMQP_OVERSIZE;
    }
    *ret_message = (AmqpMessage){ .tag = conn->tag,
                                  .routing_key = buf_str(&conn->routing_key),
                                  .body = buf_str(&conn->body),
                                  .is_repeat = conn->is_repeat };
    return 0;
}

int amqp_conn_try_next(AmqpConn *conn, AmqpMessage *ret_message)
{
    struct timeval now = { 0 };
    amqp_frame_t frame;
    int status, r;

    if (conn->is_lost)
        return fail(-ERR_CLOSED, "the connection to the broker is lost");
    for (;;) {
        status = amqp_simple_wait_frame_noblock(conn->state, &frame, &now);
        if (status == AMQP_STATUS_TIMEOUT)
            return AMQP_NOTHING;
        if (status != AMQP_STATUS_OK)
            return fail_status(conn, "read", status);
        r = take_frame(conn, &frame);
        if (r < 0)
            return r;
        if (conn->part == WANT_BODY && conn->body_left == 0)
            return finish_message(conn, ret_message);
    }
}

int amqp_conn_wait(AmqpConn *conn)
{
    return sl_fd_wait(conn->fd, SL_FD_READ, NULL);
}

/* ---- acknowledging --------------------------------------------------------------------------- */

void amqp_conn_settle(AmqpConn *conn, uint64_t tag, bool shall_come_again)
{
    uint8_t *state = &conn->states[tag & (conn->window - 1)];

    ASSERT(tag >= conn->oldest && tag < conn->next); /* I1 */
    ASSERT(*state == TAG_OUT);
    *state = shall_come_again ? TAG_BACK : TAG_DONE;
    conn->n_owed++;
}

size_t amqp_conn_owed(const AmqpConn *conn)
{
    return conn->n_owed;
}

/* Before a frame is sent: the socket must have room for it, or the library would wait. */
SUSPENDS static int wait_for_room(AmqpConn *conn)
{
    int waiting = 0, r;

    while (!conn->is_lost && ioctl(conn->fd, SIOCOUTQ, &waiting) == 0 &&
           waiting > SOCKET_BYTES_MAX) {
        r = sl_sleep_ms(1);
        if (r < 0)
            return r;
    }
    return conn->is_lost ? fail(-ERR_CLOSED, "the connection to the broker is lost")
                         : sl_checkpoint();
}

SUSPENDS static int send_ack(AmqpConn *conn, uint64_t tag, bool is_multiple)
{
    int status, r = wait_for_room(conn);

    if (r < 0)
        return r;
    status = amqp_basic_ack(conn->state, CHANNEL, tag, is_multiple);
    return status == AMQP_STATUS_OK ? 0 : fail_status(conn, "acknowledge", status);
}

/* One that is settled behind a gap, or is to come again. */
SUSPENDS static int pay_one(AmqpConn *conn, uint64_t tag)
{
    uint8_t *state = &conn->states[tag & (conn->window - 1)];
    bool is_back = *state == TAG_BACK;
    int status, r;

    *state = TAG_PAID;
    conn->n_owed--;
    conn->n_ahead++;
    if (!is_back)
        return send_ack(conn, tag, false);
    r = wait_for_room(conn);
    if (r < 0)
        return r;
    status = amqp_basic_nack(conn->state, CHANNEL, tag, 0, 1);
    return status == AMQP_STATUS_OK ? 0 : fail_status(conn, "give back", status);
}

static TagState state_of(const AmqpConn *conn, uint64_t tag)
{
    return conn->states[tag & (conn->window - 1)];
}

/* All that is done from the oldest on, with one frame. */
SUSPENDS static int pay_oldest(AmqpConn *conn)
{
    uint64_t last = 0;

    for (; conn->oldest < conn->next; conn->oldest++) {
        TagState state = state_of(conn, conn->oldest);

        if (state != TAG_DONE && state != TAG_PAID)
            break;
        if (state == TAG_DONE) {
            conn->n_owed--;
            last = conn->oldest;
        } else {
            conn->n_ahead--;
        }
    }
    return last > 0 ? send_ack(conn, last, true) : 0;
}

int amqp_conn_pay(AmqpConn *conn, bool is_last)
{
    uint64_t ahead_max = is_last ? UINT64_MAX : conn->window - conn->opts.prefetch; /* I1 */
    bool has_back = false;
    int r = pay_oldest(conn);

    for (uint64_t tag = conn->oldest; r == 0 && tag < conn->next && conn->n_owed > 0; tag++)
        has_back = has_back || state_of(conn, tag) == TAG_BACK;
    if (!is_last && !has_back && conn->n_owed <= conn->opts.prefetch / 4U)
        return r;
    for (uint64_t tag = conn->oldest;
         r == 0 && tag < conn->next && conn->n_owed > 0 && conn->n_ahead < ahead_max; tag++) {
        if (state_of(conn, tag) == TAG_DONE || state_of(conn, tag) == TAG_BACK)
            r = pay_one(conn, tag);
    }
    return r < 0 ? r : pay_oldest(conn);
}

/* The answer comes among the messages. */
static int ask_for_queue(AmqpConn *conn)
{
    amqp_queue_declare_t question = { .queue = amqp_cstring_bytes(conn->opts.queue), .passive = 1 };

    if (conn->is_asked || conn->opts.declare == AMQP_DECLARE_NONE)
        return AMQP_STATUS_OK;
    conn->is_asked = true;
    return amqp_send_method(conn->state, CHANNEL, AMQP_QUEUE_DECLARE_METHOD, &question);
}

int amqp_conn_beat(AmqpConn *conn)
{
    amqp_frame_t beat = { .frame_type = AMQP_FRAME_HEARTBEAT };
    int status, r = wait_for_room(conn);

    if (r < 0)
        return r;
    status = amqp_send_frame(conn->state, &beat);
    if (status == AMQP_STATUS_OK)
        status = ask_for_queue(conn);
    return status == AMQP_STATUS_OK ? 0 : fail_status(conn, "heartbeat", status);
}
