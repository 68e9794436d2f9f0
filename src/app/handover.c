/*
 * Handover of listening sockets; see the header.
 *
 * The first half runs before there is a runtime, with plain calls and time-outs of the socket; the
 * second on the loop. Only a process of the same user (or root) is given anything.
 *
 * On the wire: from the running engine one byte, HANDOVER_VERSION, with the sockets beside it; from
 * the next one 'T'; from the running one 'K'. A connection that ends before 'T' has changed
 * nothing.
 */
#define SL_MAY_BLOCK
#include "app/handover.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"

#include <sluice/rt.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HANDOVER_VERSION '1'
#define HANDOVER_TAKE    'T'
#define HANDOVER_OK      'K'
#define HANDOVER_MS      10000 /* for an answer of the other engine */
#define SYSTEMD_FIRST    3     /* the first socket that systemd hands over */

/* ---- the next engine, before its runtime ----------------------------------------------------- */

static int adopt(Handover *handover, int fd)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
        return fail(-ERR_CONFIG, "descriptor %d was handed over but is no listening socket", fd);
    if (handover->n == HANDOVER_SOCKETS_MAX)
        return fail(-ERR_CONFIG, "more than %d sockets were handed over", HANDOVER_SOCKETS_MAX);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return fail_errno("keep a socket");
    handover->sockets[handover->n++] = fd;
    return 0;
}

static int take_from_systemd(const char *listen_pid, const char *listen_fds, Handover *handover)
{
    uint64_t pid, n;
    int r = 0;

    if (!listen_pid || !listen_fds || str_to_u64(str_from_c(listen_pid), INT32_MAX, &pid) < 0 ||
        pid != (uint64_t) getpid() ||
        str_to_u64(str_from_c(listen_fds), HANDOVER_SOCKETS_MAX, &n) < 0)
        return 0;
    for (int i = 0; i < (int) n && r == 0; i++)
        r = adopt(handover, SYSTEMD_FIRST + i);
    return r;
}

static int connect_to(Str path, int *ret_fd)
{
    struct timeval wait = { .tv_sec = HANDOVER_MS / 1000 };
    char text[200];
    NetAddress address;
    int fd, r;

    (void) snprintf(text, sizeof(text), "unix:%.*s", (int) MIN(path.len, (size_t) 150), path.data);
    r = net_address_parse(str_from_c(text), &address);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno("socket");
    if (connect(fd, (const struct sockaddr *) &address.storage, address.len) < 0) {
        r = errno == ENOENT || errno == ECONNREFUSED ? 0 : fail_errno("ask for the port");
        (void) close(fd);
        *ret_fd = -1;
        return r;
    }
    (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)); /* else it just waits */
    *ret_fd = fd;
    return 0;
}

static int receive_sockets(int fd, Handover *handover)
{
    char byte = 0;
    struct iovec bytes = { &byte, 1 };
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(HANDOVER_SOCKETS_MAX * sizeof(int))];
    } control;
    struct msghdr message = { .msg_iov = &bytes,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };
    struct cmsghdr *head;
    size_t n;
    ssize_t got;
    int r = 0;

    got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return fail_errno("wait for its sockets");
    if (got == 0)
        return fail(-ERR_UNAVAILABLE, "it gives its sockets to nobody; is it stopping?");
    head = CMSG_FIRSTHDR(&message);
    if (byte != HANDOVER_VERSION || !head || head->cmsg_type != SCM_RIGHTS)
        return fail(-ERR_CONFIG, "whoever answers there is no engine of a version that is known");
    n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
        int socket_fd;

        memcpy(&socket_fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
        if (r == 0)
            r = adopt(handover, socket_fd);
        if (r < 0)
            (void) close(socket_fd);
    }
    return r;
}

int handover_take(Str path, const char *listen_pid, const char *listen_fds, Handover *ret_handover)
{
    int r;

    *ret_handover = HANDOVER_NULL;
    r = take_from_systemd(listen_pid, listen_fds, ret_handover);
    if (r < 0 || ret_handover->n > 0 || !path.len)
        return r;
    r = connect_to(path, &ret_handover->link);
    if (r == 0 && ret_handover->link >= 0)
        r = receive_sockets(ret_handover->link, ret_handover);
    return r < 0 ? wrap(r, "handover: the engine at %.*s", (int) path.len, path.data) : 0;
}

int handover_take_store(Handover *handover)
{
    struct timeval for_ever = { 0 };
    char byte = HANDOVER_TAKE;
    ssize_t got;

    if (send(handover->link, &byte, 1, MSG_NOSIGNAL) != 1 ||
        recv(handover->link, &byte, 1, 0) != 1 || byte != HANDOVER_OK)
        return fail(-ERR_UNAVAILABLE, "handover: the running engine does not let go");
    (void) setsockopt(handover->link, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever));
    do {
        got = recv(handover->link, &byte, 1, 0); /* its jobs may take the time they are given */
    } while (got > 0 || (got < 0 && errno == EINTR));
    (void) close(handover->link);
    handover->link = -1;
    return 0;
}

void handover_close(Handover *handover)
{
    for (size_t i = 0; i < handover->n; i++)
        (void) close(handover->sockets[i]);
    if (handover->link >= 0)
        (void) close(handover->link);
    *handover = HANDOVER_NULL;
}

/* ---- on the loop ----------------------------------------------------------------------------- */

SUSPENDS static int take_port(void *arg)
{
    const Handover *handover = arg;
    char byte = HANDOVER_TAKE;
    ssize_t got;
    int r;

    r = sl_fd_adopt(handover->link);
    if (r == 0)
        r = sl_fd_write_all(handover->link, &byte, 1);
    if (r < 0)
        return r;
    got = sl_fd_read(handover->link, &byte, 1);
    if (got < 0)
        return (int) got;
    return got == 1 && byte == HANDOVER_OK ? 0 : fail(-ERR_UNAVAILABLE, "it ended");
}

int handover_take_port(Handover *handover)
{
    int r = sl_with_timeout(HANDOVER_MS, take_port, handover);

    sl_fd_close(handover->link);
    handover->link = -1;
    if (r == -ETIMEDOUT)
        r = fail(-ERR_UNAVAILABLE, "it does not answer");
    return r < 0 ? wrap(r, "handover: the engine before") : 0;
}

static bool is_ours(int fd)
{
    struct ucred peer = { .uid = (uid_t) -1 };
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

/* A message of one byte and few descriptors fits into a fresh socket's buffer. */
static int send_sockets(int fd, const int *sockets, size_t n)
{
    char byte = HANDOVER_VERSION;
    struct iovec bytes = { &byte, 1 };
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(HANDOVER_SOCKETS_MAX * sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.room };
    struct cmsghdr *head;

    ASSERT(n > 0 && n <= HANDOVER_SOCKETS_MAX);
    message.msg_controllen = CMSG_SPACE(n * sizeof(int));
    head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(head), sockets, n * sizeof(int));
    return sendmsg(fd, &message, MSG_NOSIGNAL) == 1 ? 0 : fail_errno("give the sockets");
}

typedef struct Giving {
    int link;
    const int *sockets;
    size_t n;
} Giving;

/* 0: they are taken. */
SUSPENDS static int give_to(void *arg)
{
    const Giving *giving = arg;
    char byte = 0;
    ssize_t got;
    int r;

    if (!is_ours(giving->link))
        return fail(-ERR_UNAVAILABLE, "it is another user's");
    r = send_sockets(giving->link, giving->sockets, giving->n);
    if (r < 0)
        return r;
    got = sl_fd_read(giving->link, &byte, 1);
    if (got < 0)
        return (int) got;
    return got == 1 && byte == HANDOVER_TAKE ? 0 : fail(-ERR_UNAVAILABLE, "it gave up");
}

int handover_give(Listener *listener, const int *sockets, size_t n, int *ret_link)
{
    for (;;) {
        Giving giving = { .sockets = sockets, .n = n };
        Err err;
        int r = sl_fd_accept(listener->fd, &giving.link, NULL, NULL);

        if (r < 0)
            return r;
        /* The next engine opens its store and starts before it says that it takes them. */
        r = sl_with_timeout(6 * HANDOVER_MS, give_to, &giving);
        if (r == 0) {
            *ret_link = giving.link;
            return 0;
        }
        sl_fd_close(giving.link);
        if (r == -ECANCELED)
            return r;
        if (r == -ETIMEDOUT)
            r = fail(r, "it did not say that it takes them");
        err_take(r, &err);
        log_warn("handover not made, this engine goes on", L_C("why", err.text));
    }
}

void handover_confirm(int link)
{
    char byte = HANDOVER_OK;
    int r = sl_fd_write_all(link, &byte, 1);
    Err err;

    if (r < 0)
        err_take(r, &err); /* it has gone: then nobody serves, and somebody will notice */
}
