/*
 * An echo server on fibers: one for each connection, straight-line code. Prints its port, serves
 * until killed. The limit beside it is echo_bare.c.
 */
#include <sluice/rt.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER_BYTES 16384

static int echo(void *arg)
{
    int fd = (int) (long) arg;
    char *buffer = malloc(BUFFER_BYTES);
    ssize_t n;

    while ((n = sl_fd_recv(fd, buffer, BUFFER_BYTES)) > 0) {
        if (sl_fd_write_all(fd, buffer, (size_t) n) < 0)
            break;
    }
    free(buffer);
    sl_fd_close(fd);
    return 0;
}

static int serve(void *arg)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, fd, r;
    SL_CLEANUP(sl_nursery_close_auto)
    sl_nursery *nursery = sl_nursery_open(.name = "connections", .keep_going = true);

    (void) arg;
    if (listener < 0 || bind(listener, (struct sockaddr *) &addr, len) < 0 ||
        listen(listener, 4096) < 0 || getsockname(listener, (struct sockaddr *) &addr, &len) < 0)
        return -1;
    printf("%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    while ((r = sl_fd_accept(listener, &fd, NULL, NULL)) == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void) sl_spawn(nursery, echo, (void *) (long) fd, .name = "echo");
    }
    return r;
}

int main(void)
{
    return sl_run(serve, NULL) == 0 ? 0 : 1;
}
