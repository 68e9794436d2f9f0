/*
 * For tests: a port for a server in a process of its own.
 *
 * Such a server is told a number and binds it a while later, when it has started. So the number is
 * not one of those that the kernel gives out by itself, to whoever connects to something in the
 * meantime: it lies below them, is free when it is chosen, and each call gives another. Where it
 * begins to look is left to chance, since other tests look at the same time.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEST_PORT_MIN = 10240, TEST_PORTS_MIN = 4096 };

/* The first of the ports that the kernel gives out. */
static inline unsigned test_port_end(void)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    unsigned from = 0;

    if (!file || fscanf(file, "%u", &from) != 1)
        from = 32768;
    if (file)
        (void) fclose(file);
    /* Where it gives out nearly all, there is nothing below them. */
    return from >= TEST_PORT_MIN + TEST_PORTS_MIN ? from : 65000;
}

static inline bool test_port_is_free(unsigned port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0;

    (void) close(fd);
    return is_free;
}

/* A port that is free, as is the one that is BESIDE numbers above it; 0 when there is none. */
static inline uint16_t test_port_pair(unsigned beside)
{
    static unsigned at;
    unsigned end = test_port_end() - beside;

    if (at == 0 && getrandom(&at, sizeof(at), 0) == (ssize_t) sizeof(at))
        at %= end - TEST_PORT_MIN;
    for (unsigned i = 0; i < TEST_PORTS_MIN; i++) {
        unsigned port = TEST_PORT_MIN + ++at % (end - TEST_PORT_MIN);

        if (test_port_is_free(port) && (beside == 0 || test_port_is_free(port + beside)))
            return (uint16_t) port;
    }
    return 0;
}

static inline uint16_t test_port(void)
{
    return test_port_pair(0);
}
