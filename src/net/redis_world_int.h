/*
 * For the tests of redis: real servers in the test's folder, and a client of them.
 *
 * A server has a port and a Unix socket of its own, keeps nothing on disk unless a test asks for
 * it, and is killed when the test ends. Waiting for one to come up is by asking it.
 */
#pragma once

#include "base/arena.h"
#include "base/assert.h"
#include "base/macro.h"
#include "base/test.h"
#include "base/test_port.h"
#include "base/test_redis.h"
#include "net/redis.h"

#include <sluice/rt.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SERVER_ARGS 32

typedef struct Server {
    uint16_t port;
    char port_text[8];
    char dir[64];  /* in the test's folder */
    char path[96]; /* of its socket */
    bool is_tcp_only;
    sl_process *process;
    const char *argv[SERVER_ARGS + 1];
    size_t argc;
} Server;

static inline void server_arg(Server *server, const char *arg)
{
    ASSERT(server->argc < SERVER_ARGS);
    server->argv[server->argc++] = arg;
}

/* Prepare a server called NAME at PORT; more arguments may be added before it is launched. */
static inline void server_init_at(Server *server, const char *name, uint16_t port)
{
    *server = (Server){ .port = port };
    (void) snprintf(server->port_text, sizeof(server->port_text), "%u", server->port);
    (void) snprintf(server->dir, sizeof(server->dir), "%s", name);
    (void) snprintf(server->path, sizeof(server->path), "%s/%s/r.sock", test_dir(), name);
    (void) mkdir(server->dir, 0700);
    server_arg(server, test_redis_program());
    server_arg(server, "--port");
    server_arg(server, server->port_text);
    server_arg(server, "--bind");
    server_arg(server, "127.0.0.1");
    server_arg(server, "--unixsocket");
    server_arg(server, server->path);
    server_arg(server, "--dir");
    server_arg(server, server->dir);
    server_arg(server, "--save");
    server_arg(server, "");
    server_arg(server, "--appendonly");
    server_arg(server, "no");
    server_arg(server, "--daemonize");
    server_arg(server, "no");
}

static inline void server_init(Server *server, const char *name)
{
    server_init_at(server, name, test_port());
}

SUSPENDS static inline int wait_for_listener(const char *text)
{
    NetAddress address;
    int r = net_address_parse(str_from_c(text), &address);

    for (int i = 0; i < 6000 && r == 0; i++) {
        Stream *stream = NULL;

        if (stream_connect(&address, &stream) == 0) {
            stream_close(stream);
            return 0;
        }
        r = sl_sleep_ms(10);
    }
    return r < 0 ? r : fail(-ERR_UNAVAILABLE, "the server does not come up");
}

SUSPENDS static inline int server_wait(const Server *server)
{
    char text[128];
    int r;

    (void) snprintf(text, sizeof(text), "127.0.0.1:%u", server->port);
    r = wait_for_listener(text);
    if (r < 0 || server->is_tcp_only)
        return r;
    (void) snprintf(text, sizeof(text), "unix:%s", server->path);
    return wait_for_listener(text);
}

SUSPENDS static inline int server_launch(Server *server)
{
    int r = sl_process_start(&server->process, server->argv);

    return r < 0 ? r : server_wait(server);
}

static inline void server_signal(Server *server, int number)
{
    (void) sl_process_kill(server->process, number); /* it may have gone */
}

SUSPENDS static inline void server_kill(Server *server)
{
    sl_process_close(server->process);
    server->process = NULL;
}

/* A URL of SERVER by TCP. Borrows nothing but its own static text. */
static inline RedisUrl server_url(const Server *server)
{
    RedisUrl url = { .n_hosts = 1 };

    (void) server;
    url.hosts[0] = (RedisHost){ .name = str_from_c("127.0.0.1"), .port = server->port };
    return url;
}

static inline RedisUrl server_url_unix(const Server *server)
{
    return (RedisUrl){ .socket_path = str_from_c(server->path) };
}

/* ---- asking --------------------------------------------------------------------------------- */

#define ARGV_MAX 8

/* Words separated by spaces as a command. */
typedef struct Ask {
    Str argv[ARGV_MAX];
    size_t argc;
    Arena arena;
    RedisCall call;
} Ask;

static inline void ask_init(Ask *ask, const char *words)
{
    Str rest = str_from_c(words);

    *ask = (Ask){ .argc = 0 };
    while (rest.len > 0 && ask->argc < ARGV_MAX)
        ask->argv[ask->argc++] = str_cut(rest, ' ', &rest);
    ask->call = (RedisCall){
        .argv = ask->argv, .argc = ask->argc, .slot = REDIS_ANY, .arena = &ask->arena
    };
}

static inline void ask_deinit(Ask *ask)
{
    arena_deinit(&ask->arena);
}
DEFINE_AUTO_VALUE(Ask, ask_deinit);

SUSPENDS static inline int ask(Redis *redis, Ask *ask, const char *words)
{
    ask_init(ask, words);
    return redis_call(redis, &ask->call);
}

/* WORDS to the server; the answer, which must be a text or a number, is WANT. */
#define EXPECT_ANSWER(redis, words, want)                                                      \
    do {                                                                                       \
        AUTO(ask_deinit) Ask ask_ = { .argc = 0 };                                             \
        char text_[32];                                                                        \
        int answer_r_ = ask((redis), &ask_, (words));                                          \
        Str got_text_ = ask_.call.reply.text;                                                  \
        if (answer_r_ < 0)                                                                     \
            test_fail(__FILE__, __LINE__, "%s: %s", (words), err_text(answer_r_));             \
        if (answer_r_ >= 0 && ask_.call.reply.type == RESP_NUMBER) {                           \
            (void) snprintf(text_, sizeof(text_), "%lld", (long long) ask_.call.reply.number); \
            got_text_ = str_from_c(text_);                                                     \
        }                                                                                      \
        if (answer_r_ >= 0)                                                                    \
            EXPECT_STR(got_text_, str_from_c(want));                                           \
    } while (0)
