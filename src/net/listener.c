/*
 * Listening sockets.
 *
 * Running out of descriptors is the interesting case: a connection that cannot be accepted stays at
 * the head of the kernel's queue and keeps the listener readable, so a plain loop would spin. A
 * spare descriptor is kept for it: it is closed, the connection is accepted in its place and closed
 * at once, and the spare is opened again. When even that fails (memory, the system's table), the
 * loop pauses for LIMIT_NET_ACCEPT_PAUSE_MS.
 */
#include "net/listener.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <sluice/rt.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct FdListener {
    Listener listener;
    int spare;      /* given up when descriptors run out; -1 when there is none */
    bool owns_file; /* a Unix socket's file is removed at the end … */
    dev_t file_dev; /* … if it is still this one */
    ino_t file_inode;
} FdListener;

static FdListener *fd_cast(Listener *listener)
{
    return CONTAINER_OF(listener, FdListener, listener);
}

static void open_spare(FdListener *self)
{
    if (self->spare < 0)
        self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* ---- accept ---------------------------------------------------------------------------------- */

typedef enum AcceptError { ACCEPT_GONE, ACCEPT_SHORT, ACCEPT_FATAL } AcceptError;

/* What an errno of accept means for the loop. */
static AcceptError classify(int number)
{
    switch (number) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
    case EPERM: /* a firewall's word */ return ACCEPT_GONE;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return ACCEPT_SHORT;
    default: return ACCEPT_FATAL;
    }
}

/* Refuse the connection at the head of the queue with the spare descriptor. Whether one went. */
static bool refuse_one(FdListener *self)
{
    int fd;

    if (self->spare < 0)
        return false;
    close(self->spare);
    self->spare = -1;
    fd = accept4(self->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        close(fd);
        self->listener.refused++;
    }
    open_spare(self);
    return fd >= 0;
}

SUSPENDS static int fd_accept(Listener *listener, Stream **ret_stream)
{
    FdListener *self = fd_cast(listener);

    for (;;) {
        NetAddress peer = { .len = sizeof(peer.storage) };
        int fd = -1;
        int r = sl_fd_accept(listener->fd, &fd, (struct sockaddr *) &peer.storage, &peer.len);

        if (r == 0) {
            if (peer.storage.ss_family == AF_UNSPEC)
                peer.storage.ss_family = AF_UNIX;
            *ret_stream = stream_from_fd(fd, &peer);
            listener->accepted++;
            open_spare(self);
            return 0;
        }
        if (r == -ECANCELED)
            return r;
        switch (classify(-r)) {
        case ACCEPT_GONE: break;
        case ACCEPT_SHORT:
            if (!refuse_one(self)) {
                r = sl_sleep_ms(LIMIT_NET_ACCEPT_PAUSE_MS);
                if (r < 0)
                    return r;
            }
            break;
        case ACCEPT_FATAL: return wrap(r, "accept");
        }
    }
}

static int fd_try_accept(Listener *listener, Stream **ret_stream)
{
    NetAddress peer = { .len = sizeof(peer.storage) };
    int fd = accept4(listener->fd, (struct sockaddr *) &peer.storage, &peer.len,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return LISTENER_NONE;
    if (peer.storage.ss_family == AF_UNSPEC)
        peer.storage.ss_family = AF_UNIX;
    *ret_stream = stream_from_fd(fd, &peer);
    listener->accepted++;
    return 0;
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Whether somebody answers at the Unix socket ADDRESS. */
static bool is_answered(const NetAddress *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool answered;

    if (fd < 0)
        return true;
    answered = connect(fd, (const struct sockaddr *) &address->storage, address->len) == 0 ||
               (errno != ECONNREFUSED && errno != ENOENT);
    close(fd);
    return answered;
}

SUSPENDS static void fd_listener_close(Listener *listener)
{
    FdListener *self = fd_cast(listener);
    const struct sockaddr_un *un = (const struct sockaddr_un *) &listener->address.storage;
    struct stat now;

    sl_fd_close(listener->fd);
    if (self->spare >= 0)
        close(self->spare);
    /* Inode numbers are used again, so the one who answers is asked as well. */
    if (self->owns_file && stat(un->sun_path, &now) == 0 && now.st_dev == self->file_dev &&
        now.st_ino == self->file_inode && !is_answered(&listener->address))
        (void) unlink(un->sun_path); /* a file that stays is replaced at the next start */
    mem_free(self);
}

static const ListenerOps fd_ops = { .accept = fd_accept,
                                    .try_accept = fd_try_accept,
                                    .close = fd_listener_close };

/* Make way for a Unix socket: a socket's file that nobody answers at is removed. */
static int clear_path(const NetAddress *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *) &address->storage;
    struct stat info;

    if (un->sun_path[0] == 0 || stat(un->sun_path, &info) < 0)
        return 0;
    if (!S_ISSOCK(info.st_mode))
        return fail(-EADDRINUSE, "the file exists and is no socket");
    if (is_answered(address))
        return fail(-EADDRINUSE, "somebody listens there already");
    if (unlink(un->sun_path) < 0 && errno != ENOENT)
        return fail_errno("remove the old socket");
    return 0;
}

static int set_options(int fd, const NetAddress *address, bool is_exclusive)
{
    int on = 1, off = 0;

    if (net_address_is_unix(address))
        return 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (!is_exclusive && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0) ||
        (address->storage.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0))
        return fail_errno("set socket options");
    return 0;
}

static int bind_unix(FdListener *self, mode_t mode)
{
    const NetAddress *address = &self->listener.address;
    const struct sockaddr_un *un = (const struct sockaddr_un *) &address->storage;
    struct stat info;
    int r;

    r = clear_path(address);
    if (r < 0)
        return r;
    /* The mode of the socket before the bind is the file's from its first moment on. */
    if (fchmod(self->listener.fd, mode) < 0)
        return fail_errno("set the mode");
    if (bind(self->listener.fd, (const struct sockaddr *) &address->storage, address->len) < 0)
        return fail_errno("bind");
    if (un->sun_path[0] == 0)
        return 0;
    if (chmod(un->sun_path, mode) < 0 || stat(un->sun_path, &info) < 0)
        return fail_errno("set the mode");
    self->owns_file = true;
    self->file_dev = info.st_dev;
    self->file_inode = info.st_ino;
    return 0;
}

static int bind_and_listen(FdListener *self, const ListenerOpts *opts)
{
    Listener *listener = &self->listener;
    NetAddress *address = &listener->address;
    int r;

    r = set_options(listener->fd, address, opts->is_exclusive);
    if (r < 0)
        return r;
    if (net_address_is_unix(address)) {
        r = bind_unix(self, opts->mode ? opts->mode : 0600);
        if (r < 0)
            return r;
    } else if (bind(listener->fd, (const struct sockaddr *) &address->storage, address->len) < 0) {
        return fail_errno("bind");
    }
    if (listen(listener->fd, opts->backlog > 0 ? opts->backlog : LIMIT_NET_BACKLOG) < 0)
        return fail_errno("listen");
    if (!net_address_is_unix(address)) {
        address->len = sizeof(address->storage);
        if (getsockname(listener->fd, (struct sockaddr *) &address->storage, &address->len) < 0)
            return fail_errno("getsockname");
    }
    return 0;
}

static FdListener *new_listener(int fd, const NetAddress *address)
{
    FdListener *self = mem_new(FdListener);

    self->listener =
        (Listener){ .tag = LISTENER_TAG, .fd = fd, .ops = &fd_ops, .address = *address };
    self->spare = -1;
    open_spare(self);
    return self;
}

int listener_open(const NetAddress *address, const ListenerOpts *opts, Listener **ret_listener)
{
    static const ListenerOpts defaults;
    AUTO(listener_close) Listener *listener = NULL;
    char text[NET_ADDRESS_TEXT_MAX];
    int fd, r;

    ASSERT(address && address->len > 0 && ret_listener);
    fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        r = fail_errno("socket");
        return wrap(r, "listen on %s", net_address_format(address, text).data);
    }
    listener = &new_listener(fd, address)->listener;
    r = bind_and_listen(fd_cast(listener), opts ? opts : &defaults);
    if (r < 0)
        return wrap(r, "listen on %s", net_address_format(address, text).data);
    *ret_listener = TAKE(listener);
    return 0;
}

int listener_clone(const Listener *listener, Listener **ret_clone)
{
    int fd;

    ASSERT(listener && listener->tag == LISTENER_TAG && listener->fd >= 0 && ret_clone);
    fd = fcntl(listener->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno("share a listener");
    *ret_clone = &new_listener(fd, &listener->address)->listener;
    return 0;
}

int listener_adopt(int fd, Listener **ret_listener)
{
    NetAddress address = { .len = sizeof(address.storage) };
    AUTO(listener_close) Listener *listener = NULL;
    int r;

    ASSERT(fd >= 0 && ret_listener);
    listener = &new_listener(fd, &address)->listener;
    r = sl_fd_adopt(fd);
    if (r < 0)
        return wrap(r, "adopt a listening socket");
    if (getsockname(fd, (struct sockaddr *) &address.storage, &address.len) < 0)
        return fail_errno("adopt a listening socket");
    listener->address = address;
    *ret_listener = TAKE(listener);
    return 0;
}

/* ---- every listener -------------------------------------------------------------------------- */

int listener_accept(Listener *listener, Stream **ret_stream)
{
    ASSERT(listener && listener->tag == LISTENER_TAG && ret_stream);
    return listener->ops->accept(listener, ret_stream);
}

int listener_try_accept(Listener *listener, Stream **ret_stream)
{
    ASSERT(listener && listener->tag == LISTENER_TAG && ret_stream);
    return listener->ops->try_accept ? listener->ops->try_accept(listener, ret_stream)
                                     : LISTENER_NONE;
}

void listener_close(Listener *listener)
{
    if (!listener)
        return;
    ASSERT(listener->tag == LISTENER_TAG);
    listener->ops->close(listener);
}

Str listener_address(const Listener *listener, char out[static NET_ADDRESS_TEXT_MAX])
{
    ASSERT(listener && listener->tag == LISTENER_TAG);
    return net_address_format(&listener->address, out);
}
