/*
 * recvmmsg into a row of buffers, and then one payload for each run of datagrams of one sender.
 *
 * Formats whose rows are lines (all but json, csv and auto) are joined, so that a sender's hundred
 * small datagrams cost one receipt and one parcel. The kernel counts what it has thrown away in the
 * socket's memory information, which is asked for after each batch.
 */
#include "rows/datagrams.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/halt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LAST_BATCHES 1024 /* after the stop, at most */

typedef struct Datagrams {
    Source *source;
    const DatagramOpts *opts;
    Halt halt;
    Decoder *decoder;
    int fd;
    struct stat file; /* of a Unix socket */
    uint32_t dropped; /* the kernel's count, as it was */
    struct mmsghdr *messages;
    struct iovec *pieces;
    NetAddress *senders;
    char *bytes; /* LIMIT_DATAGRAM_BATCH buffers */
} Datagrams;

/* ---- the socket ------------------------------------------------------------------------------ */

static int join_group(int fd, const NetAddress *address, Str group)
{
    struct ip_mreqn v4 = { 0 };
    struct ipv6_mreq v6 = { 0 };
    char text[64];
    int r = -1;

    (void) snprintf(text, sizeof(text), "%.*s", (int) group.len, group.data);
    if (address->storage.ss_family == AF_INET && inet_pton(AF_INET, text, &v4.imr_multiaddr) == 1)
        r = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &v4, sizeof(v4));
    else if (address->storage.ss_family == AF_INET6 &&
             inet_pton(AF_INET6, text, &v6.ipv6mr_multiaddr) == 1)
        r = setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &v6, sizeof(v6));
    else
        return fail(-ERR_INVALID, "group %s is no multicast address of the kind it listens on",
                    text);
    return r < 0 ? fail_errno("join group %s", text) : 0;
}

/* A file that a process before us has left: nobody receives on it any more. */
static int remove_stale(const struct sockaddr_un *un, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;
    struct stat info;

    if (fd < 0)
        return fail_errno("socket");
    r = connect(fd, (const struct sockaddr *) un, len);
    if (r < 0 && errno == ECONNREFUSED && stat(un->sun_path, &info) == 0 && S_ISSOCK(info.st_mode))
        (void) unlink(un->sun_path);
    sl_fd_close(fd);
    return r == 0 ? fail(-EADDRINUSE, "somebody receives on %s", un->sun_path) : 0;
}

static int bind_unix(int fd, const NetAddress *address, unsigned mode)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *) &address->storage;
    bool is_file = un->sun_path[0] != '\0';
    int r = is_file ? remove_stale(un, address->len) : 0;

    if (r < 0)
        return r;
    /* The mode of the socket before the bind is the file's from its first moment on. */
    if (fchmod(fd, mode) < 0)
        return fail_errno("set the mode");
    if (bind(fd, (const struct sockaddr *) un, address->len) < 0)
        return fail_errno("bind");
    if (is_file && chmod(un->sun_path, mode) < 0)
        return fail_errno("set the mode");
    return 0;
}

static int bind_udp(int fd, NetAddress *address)
{
    if (bind(fd, (const struct sockaddr *) &address->storage, address->len) < 0)
        return fail_errno("bind");
    address->len = sizeof(address->storage);
    if (getsockname(fd, (struct sockaddr *) &address->storage, &address->len) < 0)
        return fail_errno("getsockname");
    return 0;
}

/* With the right to it, beyond what the machine allows everybody. */
static int set_buffer(int fd, size_t bytes)
{
    int value = (int) MIN(bytes, (size_t) INT32_MAX / 2);

    if (bytes == 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof(value)) == 0)
        return 0;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)) < 0)
        return fail_errno("set the receive buffer");
    return 0;
}

static int set_up(int fd, NetAddress *address, const DatagramOpts *opts)
{
    bool is_unix = net_address_is_unix(address);
    int on = 1;
    int r = set_buffer(fd, opts->buffer_bytes);

    if (r == 0 && opts->group.len > 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        r = fail_errno("share the group's port");
    if (r == 0)
        r = is_unix ? bind_unix(fd, address, opts->mode ? opts->mode : 0600)
                    : bind_udp(fd, address);
    if (r == 0 && opts->group.len > 0)
        r = join_group(fd, address, opts->group);
    return r;
}

int datagrams_open(NetAddress *address, const DatagramOpts *opts, int *ret_fd)
{
    char text[NET_ADDRESS_TEXT_MAX];
    int fd = socket(address->storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? fail_errno("socket") : set_up(fd, address, opts);

    if (r < 0) {
        sl_fd_close(fd);
        return wrap(r, "receive on %s", net_address_format(address, text).data);
    }
    *ret_fd = fd;
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool are_lines(DecodeFormat format)
{
    switch (format) {
    case DECODE_INFLUX:
    case DECODE_NDJSON:
    case DECODE_LINES: return true;
    case DECODE_AUTO:
    case DECODE_JSON:
    case DECODE_CSV: return false;
    }
    UNREACHABLE("format");
}

static bool is_same_sender(const Datagrams *self, int a, int b)
{
    const NetAddress *one = &self->senders[a], *other = &self->senders[b];

    if (self->opts->origin.len > 0)
        return true;
    return one->len == other->len && memcmp(&one->storage, &other->storage, one->len) == 0;
}

static Str datagram(const Datagrams *self, int index)
{
    return str_from(self->pieces[index].iov_base, self->messages[index].msg_len);
}

static bool is_cut(const Datagrams *self, int index)
{
    return (self->messages[index].msg_hdr.msg_flags & MSG_TRUNC) != 0;
}

static Receipt *receipt_for(const Datagrams *self, int index)
{
    char text[NET_ADDRESS_TEXT_MAX];
    Str origin = self->opts->origin;
    Receipt *receipt;

    if (origin.len == 0)
        origin = net_address_format(&self->senders[index], text);
    receipt = receipt_new(self->source->index, origin, str_from(NULL, 0));
    receipt->received_ns = sl_wall_ms() * NS_PER_MS;
    receipt->arrived_ns = sl_now_ns();
    return receipt;
}

/* A datagram that was longer than its buffer: what there is of it is refused. */
SUSPENDS static int refuse_cut(Datagrams *self, int index)
{
    Source *source = self->source;
    Str table = source->decode.table.len ? source->decode.table : str_from_c("rows");
    RowPlace place = { .line = 1, .len = self->messages[index].msg_len };
    AUTO(payload_unref) Payload *payload = payload_copy(datagram(self, index));
    Receipt *receipt;
    Parcel *parcel;
    Shape *shape;
    int r = shapes_get(source->shapes, table, &shape);

    if (r < 0)
        return r;
    receipt = receipt_for(self, index);
    parcel = parcel_new(source->pool, shape, receipt, payload);
    (void) parcel_add(parcel, &place);
    parcel_refuse(parcel, 0, "parse", "datagram_too_long", "the datagram has more than %d bytes",
                  LIMIT_DATAGRAM_BYTES);
    parcel_compact(parcel);
    r = source_put(source, parcel);
    receipt_seal(receipt);
    return r;
}

/* The datagrams FROM to before TO, all of one sender. */
SUSPENDS static int hand_on(Datagrams *self, int from, int to)
{
    AUTO(buf_deinit) Buf bytes = { 0 };
    AUTO(payload_unref) Payload *payload = NULL;
    Source *source = self->source;
    Receipt *receipt;
    int r;

    for (int i = from; i < to; i++) {
        Str one = datagram(self, i);

        buf_add_str(&bytes, one);
        if (i + 1 < to && one.len > 0 && one.data[one.len - 1] != '\n')
            buf_add_char(&bytes, '\n');
    }
    r = buf_check(&bytes);
    if (r < 0 || bytes.len == 0)
        return r;
    payload = payload_take(&bytes);
    receipt = receipt_for(self, from);
    decoder_reset(self->decoder);
    r = decode_all(self->decoder, payload, receipt, 0, 0, source_take, source);
    receipt_seal(receipt); /* nobody is told */
    return r;
}

SUSPENDS static int hand_on_batch(Datagrams *self, int n)
{
    bool is_joined = are_lines(self->source->decode.format);
    int r = 0;

    for (int from = 0, to; r == 0 && from < n; from = to) {
        to = from + 1;
        if (is_cut(self, from)) {
            r = refuse_cut(self, from);
            continue;
        }
        while (is_joined && to < n && !is_cut(self, to) && is_same_sender(self, from, to))
            to++;
        r = hand_on(self, from, to);
    }
    return r;
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void count_dropped(Datagrams *self)
{
    uint32_t info[SK_MEMINFO_VARS] = { 0 };
    socklen_t len = sizeof(info);

    if (getsockopt(self->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
        return; /* a kernel that cannot say */
    if (info[SK_MEMINFO_DROPS] != self->dropped)
        source_count_lost(self->source, "udp_kernel", info[SK_MEMINFO_DROPS] - self->dropped);
    self->dropped = info[SK_MEMINFO_DROPS];
}

/* Receive what is there: how many, 0 for none, or an error. */
static int receive(Datagrams *self)
{
    int n;

    for (int i = 0; i < LIMIT_DATAGRAM_BATCH; i++) {
        self->pieces[i] = (struct iovec){ .iov_base = self->bytes +
                                                      (size_t) i * LIMIT_DATAGRAM_BYTES,
                                          .iov_len = LIMIT_DATAGRAM_BYTES };
        self->messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &self->pieces[i],
            .msg_iovlen = 1,
            .msg_name = &self->senders[i].storage,
            .msg_namelen = sizeof(self->senders[i].storage),
        };
    }
    n = recvmmsg(self->fd, self->messages, LIMIT_DATAGRAM_BATCH, MSG_DONTWAIT, NULL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED))
        return 0;
    if (n < 0)
        return fail_errno("receive");
    for (int i = 0; i < n; i++)
        self->senders[i].len = self->messages[i].msg_hdr.msg_namelen;
    count_dropped(self);
    return n;
}

SUSPENDS static int wait_datagram(Datagrams *self)
{
    HaltWait wait;
    int r;

    halt_begin(&self->halt, &wait, 0);
    r = sl_fd_wait(self->fd, SL_FD_READ, NULL);
    return halt_end(&wait, r);
}

SUSPENDS static int receive_all(Datagrams *self)
{
    int n, r = 0;

    while (r == 0 && !self->halt.is_set) {
        n = receive(self);
        if (n < 0)
            return n;
        r = n > 0 ? hand_on_batch(self, n) : wait_datagram(self);
    }
    for (int i = 0; r == 0 && i < LAST_BATCHES; i++) {
        n = receive(self);
        if (n <= 0)
            return n;
        r = hand_on_batch(self, n);
    }
    return r;
}

/* Remove the socket's file, before another can take the name; unless one has it already. */
static void remove_file(const Datagrams *self)
{
    const char *path = self->opts->file;
    struct stat now;

    if (path && stat(path, &now) == 0 && now.st_dev == self->file.st_dev &&
        now.st_ino == self->file.st_ino)
        (void) unlink(path); /* a file that stays is replaced at the next start */
}

int datagrams_run(Source *source, int fd, const DatagramOpts *opts)
{
    Datagrams self = { .source = source, .opts = opts, .fd = fd };
    sl_nursery *nursery = sl_nursery_open(.name = "datagrams");
    int r = halt_start(&self.halt, source, nursery);

    if (opts->file && stat(opts->file, &self.file) < 0)
        self.file = (struct stat){ 0 }; /* it is no longer there: nor is there one to remove */
    self.decoder = decoder_new(source->shapes, source->pool, &source->decode);
    self.messages = mem_zalloc(LIMIT_DATAGRAM_BATCH * sizeof(self.messages[0]));
    self.pieces = mem_zalloc(LIMIT_DATAGRAM_BATCH * sizeof(self.pieces[0]));
    self.senders = mem_zalloc(LIMIT_DATAGRAM_BATCH * sizeof(self.senders[0]));
    self.bytes = mem_zalloc((size_t) LIMIT_DATAGRAM_BATCH * LIMIT_DATAGRAM_BYTES);
    if (r == 0)
        r = receive_all(&self);
    if (r == 0)
        count_dropped(&self);
    sl_nursery_close(nursery);
    mem_free(self.bytes);
    mem_free(self.senders);
    mem_free(self.pieces);
    mem_free(self.messages);
    decoder_free(self.decoder);
    remove_file(&self);
    sl_fd_close(fd);
    return r == -ECANCELED ? 0 : r;
}
