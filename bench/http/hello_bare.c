/*
 * The limit for an HTTP server: epoll, one thread, a canned answer to anything that ends in an
 * empty line. Prints its port.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 512

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             "Content-Length: 15\r\n\r\n{\"status\":\"ok\"}";

static int listen_anywhere(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *) &addr, len) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *) &addr, &len) < 0)
        exit(1);
    printf("%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

static void serve(int fd, char *buffer, size_t cap)
{
    ssize_t n = recv(fd, buffer, cap, 0);

    if (n <= 0)
        close(fd);
    else if (n >= 4 && !memcmp(buffer + n - 4, "\r\n\r\n", 4))
        (void) !send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
}

int main(void)
{
    static struct epoll_event events[EVENTS];
    static char buffer[16384];
    int listener = listen_anywhere(), epoll = epoll_create1(0), fd, one = 1;
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };

    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd, buffer, sizeof(buffer));
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                event = (struct epoll_event){ .events = EPOLLIN, .data.fd = fd };
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
