/*
 * A TCP echo server, and two clients to prove it.
 *
 *     async with await asyncio.start_server(echo, "127.0.0.1", port): ...
 *
 * One fiber for each connection, written as if it had the machine to itself. Cancelling the
 * server's nursery ends the accept loop and all connections, and each closes its descriptor on the
 * way out.
 */
#include <sluice/rt.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

typedef struct Server {
    int fd;
    struct sockaddr_in addr;
    sl_nursery *connections;
} Server;

SL_SUSPENDS static int echo(void *arg)
{
    int fd = (int) (intptr_t) arg, r = 0;
    char buf[512];
    ssize_t n;

    while (r == 0 && (n = sl_fd_recv(fd, buf, sizeof(buf))) > 0)
        r = sl_fd_write_all(fd, buf, (size_t) n);
    sl_fd_close(fd);
    return 0; /* one broken connection must not end the server */
}

SL_SUSPENDS static int serve(void *arg)
{
    Server *server = arg;
    int fd, r;

    while ((r = sl_fd_accept(server->fd, &fd, NULL, NULL)) == 0)
        sl_spawn(server->connections, echo, (void *) (intptr_t) fd, .name = "connection");
    return r;
}

SL_SUSPENDS static int client(Server *server, const char *line)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    char buf[64] = "";
    int r = sl_fd_connect(fd, (struct sockaddr *) &server->addr, sizeof(server->addr));

    if (r == 0)
        r = sl_fd_write_all(fd, line, strlen(line));
    for (size_t len = 0; r == 0 && len < strlen(line);) {
        ssize_t n = sl_fd_recv(fd, buf + len, sizeof(buf) - 1 - len);

        r = n > 0 ? 0 : n < 0 ? (int) n : -ECONNRESET;
        len += n > 0 ? (size_t) n : 0;
    }
    sl_fd_close(fd);
    printf("sent \"%s\", got \"%s\"\n", line, buf);
    return r;
}

SL_SUSPENDS static int echo_main(void *arg)
{
    Server server = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                      .addr = { AF_INET, 0, { htonl(INADDR_LOOPBACK) }, { 0 } } };
    socklen_t len = sizeof(server.addr);
    int r;

    (void) arg;
    if (bind(server.fd, (struct sockaddr *) &server.addr, len) < 0 || listen(server.fd, 16) < 0 ||
        getsockname(server.fd, (struct sockaddr *) &server.addr, &len) < 0)
        return sl_fail(-errno, "listen: %s", strerror(errno));
    server.connections = sl_nursery_open(.name = "connections");
    sl_spawn(server.connections, serve, &server, .name = "accept");
    r = client(&server, "hello");
    if (r == 0)
        r = client(&server, "fibers");
    sl_nursery_close(server.connections); /* cancels, waits */
    sl_fd_close(server.fd);
    return r;
}

int main(void)
{
    return sl_run(echo_main, NULL) < 0;
}
