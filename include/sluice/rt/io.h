/*
 * Descriptors: wait, read, write, accept, connect, without blocking the thread.
 *
 * Descriptors are non-blocking (sl_fd_* sets nothing by itself: make them with SOCK_NONBLOCK or
 * O_NONBLOCK, or call sl_fd_adopt). Each call tries first and parks the fiber only when the kernel
 * says EAGAIN. One fiber reads and one writes a descriptor at a time; asserted. A descriptor is
 * waited on by one loop: call sl_fd_forget before another one takes it over. Close with
 * sl_fd_close, on that loop, which wakes those who wait on it with -EBADF. Not offered by the
 * simulated loop (-ERR_UNSUPPORTED): simulated streams are in net/.
 */
#pragma once

#include <sluice/rt/run.h>

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

SL_BEGIN_DECLS

enum sl_fd_events { SL_FD_READ = 1, SL_FD_WRITE = 2 };

/* Make FD non-blocking and close-on-exec. 0 or -errno. */
SL_API SL_MUST int sl_fd_adopt(int fd);

/* Wait until FD is ready for any of EVENTS; the ready ones in *ret_events (may be NULL). 0 or an
 * error. */
SL_API SL_MUST SL_SUSPENDS int sl_fd_wait(int fd, int events, int *ret_events);

/* Bytes read or written (a short count is possible, 0 is the end of the stream for reads), or an
 * error. */
SL_API SL_MUST SL_SUSPENDS ssize_t sl_fd_read(int fd, void *buf, size_t len);
SL_API SL_MUST SL_SUSPENDS ssize_t sl_fd_write(int fd, const void *buf, size_t len);
SL_API SL_MUST SL_SUSPENDS ssize_t sl_fd_writev(int fd, const struct iovec *iov, int n);
SL_API SL_MUST SL_SUSPENDS ssize_t sl_fd_recv(int fd, void *buf, size_t len); /* sockets: recv(2) */
SL_API SL_MUST SL_SUSPENDS ssize_t sl_fd_send(int fd, const void *buf,
                                              size_t len); /* sockets: send(2), MSG_NOSIGNAL */

/* As recv without waiting: bytes, 0 at the end, or -EAGAIN when nothing is there. */
SL_API SL_MUST ssize_t sl_fd_try_recv(int fd, void *buf, size_t len);

/* Write all of it. 0 or an error; some bytes may have gone. */
SL_API SL_MUST SL_SUSPENDS int sl_fd_write_all(int fd, const void *buf, size_t len);

/* Accept a connection: *ret_fd is non-blocking and close-on-exec, and the caller's. 0 or an error.
 */
SL_API SL_MUST SL_SUSPENDS int sl_fd_accept(int fd, int *ret_fd, struct sockaddr *addr,
                                            socklen_t *len);

/* Connect a non-blocking socket. 0 or an error. */
SL_API SL_MUST SL_SUSPENDS int sl_fd_connect(int fd, const struct sockaddr *addr, socklen_t len);

/*
 * Stop watching FD and wake whoever waits on it with -EBADF, before somebody else closes it: a
 * library that owns it, or a call that hands it to another process. A descriptor that has been
 * waited on must not be closed without it, because its number may come back as another descriptor.
 * sl_fd_close does both. Does not suspend.
 */
SL_API void sl_fd_forget(int fd);

/* Close FD and wake whoever waits on it with -EBADF. Does not suspend. Below zero is nothing. */
SL_API void sl_fd_close(int fd);

SL_END_DECLS
