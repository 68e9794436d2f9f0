/*
 * A Redis of the test's own: a server on a Unix socket in the test's temporary folder.
 *
 * It keeps nothing, dies with the test (PR_SET_PDEATHSIG), and is one for the whole program: each
 * test takes a prefix of its own. A test program whose server is missing skips those tests.
 */
#pragma once

#include "base/test.h"
#include "base/test_redis.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct RedisServer {
    pid_t pid; /* 0: none runs */
    char socket[100];
    unsigned prefixes; /* given out */
} RedisServer;

static inline void redis_server_exec(const RedisServer *server, const char *const *options)
{
    const char *argv[32] = { test_redis_program(),
                             "--port",
                             "0",
                             "--unixsocket",
                             server->socket,
                             "--save",
                             "",
                             "--appendonly",
                             "no",
                             "--daemonize",
                             "no",
                             "--logfile",
                             "/dev/null" };
    size_t n = 13;

    for (size_t i = 0; options && options[i]; i++)
        argv[n++] = options[i];
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) execvp(argv[0], (char *const *) argv);
    _exit(127);
}

static inline bool redis_server_answers(const RedisServer *server)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->socket);
    r = connect(fd, (const struct sockaddr *) &address, sizeof(address));
    close(fd);
    return r == 0;
}

/* Start it with OPTIONS (NULL at the end; or NULL). False when there is none, or it ended. */
static inline bool redis_server_start(RedisServer *server, const char *name,
                                      const char *const *options)
{
    if (!test_redis_program())
        return false;
    (void) snprintf(server->socket, sizeof(server->socket), "%.60s/%s.sock", test_dir(), name);
    (void) unlink(server->socket);
    server->pid = fork();
    if (server->pid == 0)
        redis_server_exec(server, options);
    while (!redis_server_answers(server)) {
        if (waitpid(server->pid, NULL, WNOHANG) != 0)
            return false;
        (void) usleep(2000);
    }
    return true;
}

static inline void redis_server_stop(RedisServer *server)
{
    if (server->pid <= 0)
        return;
    (void) kill(server->pid, SIGKILL);
    (void) waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

/* The URL of a store that is nobody else's. */
static inline void redis_server_url(RedisServer *server, unsigned partitions, char *out,
                                    size_t size)
{
    (void) snprintf(out, size, "redis+unix://%s?prefix=t%u&partitions=%u", server->socket,
                    server->prefixes++, partitions);
}
