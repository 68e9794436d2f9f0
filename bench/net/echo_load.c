/*
 * Load for an echo server: N connections, each with D messages of 64 bytes under way, for S
 * seconds.
 *
 *   echo_load PORT CONNECTIONS DEPTH SECONDS      prints thousands of messages a second
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES 64
#define DEPTH_MAX     64
#define EVENTS        512

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int connect_to(int port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((unsigned short) port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *) &addr, sizeof(addr)) < 0) {
        perror("connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

int main(int argc, char **argv)
{
    static char out[MESSAGE_BYTES * DEPTH_MAX], in[MESSAGE_BYTES * DEPTH_MAX];
    static struct epoll_event events[EVENTS];
    int port, connections, depth, epoll = epoll_create1(0);
    double length, began, warm;
    long messages = 0;
    size_t burst, *got;

    if (argc != 5) {
        fprintf(stderr, "usage: echo_load PORT CONNECTIONS DEPTH SECONDS\n");
        return 64;
    }
    port = atoi(argv[1]);
    connections = atoi(argv[2]);
    depth = atoi(argv[3]);
    length = atof(argv[4]);
    if (connections < 1 || depth < 1 || depth > DEPTH_MAX)
        return 64;

    burst = (size_t) depth * MESSAGE_BYTES;
    memset(out, 'x', sizeof(out));
    got = calloc((size_t) connections, sizeof(*got));
    for (int i = 0; i < connections; i++) {
        int fd = connect_to(port);
        struct epoll_event event = { .events = EPOLLIN,
                                     .data.u64 = (unsigned long) i << 32 | (unsigned) fd };

        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        if (send(fd, out, burst, MSG_NOSIGNAL) != (ssize_t) burst)
            return 1;
    }

    warm = seconds() + length / 5;
    began = warm;
    while (seconds() < began + length) {
        int n = epoll_wait(epoll, events, EVENTS, 1000);

        if (warm > 0 && seconds() > warm) {
            messages = 0;
            began = seconds();
            warm = 0;
        }
        for (int i = 0; i < n; i++) {
            int fd = (int) (events[i].data.u64 & 0xffffffff);
            size_t *have = &got[events[i].data.u64 >> 32];
            ssize_t k = recv(fd, in, burst - *have, 0);

            if (k <= 0)
                return 1;
            *have += (size_t) k;
            if (*have < burst)
                continue;
            *have = 0;
            messages += depth;
            if (send(fd, out, burst, MSG_NOSIGNAL) != (ssize_t) burst)
                return 1;
        }
    }
    printf("%.1f\n", (double) messages / (seconds() - began) / 1000);
    return 0;
}
