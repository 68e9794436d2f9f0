/*
 * For the tests of requests: a redis-server of the test's own behind a Unix socket, asked without
 * fibers, one call after the other.
 */
#pragma once

#include "base/test.h"
#include "base/test_redis.h"
#include "codec/resp.h"
#include "store/redis/request_int.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

typedef struct TestServer {
    pid_t pid;
    int fd;
    Buf in;
    bool has_functions; /* how requests are made */
} TestServer;

static TestServer test_server;

static inline void test_server_stop(void)
{
    if (test_server.pid <= 0)
        return;
    kill(test_server.pid, SIGKILL);
    waitpid(test_server.pid, NULL, 0);
    test_server.pid = 0;
    buf_deinit(&test_server.in);
}

static inline int test_server_connect(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "r.sock" };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* Asking is how one hears that it is up; for a minute at most. */
    for (int i = 0; i < 30000; i++) {
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
            return fd;
        usleep(2000);
    }
    close(fd);
    return -1;
}

/* False when there is no server here. */
static inline bool test_server_start(void)
{
    const char *program = test_redis_program();

    if (test_server.pid > 0)
        return true;
    if (!program)
        return false;
    test_server.pid = fork();
    if (test_server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp(program, program, "--port", "0", "--unixsocket", "r.sock", "--save", "",
               "--appendonly", "no", "--daemonize", "no", "--logfile", "redis.log", (char *) NULL);
        _exit(127);
    }
    test_server.fd = test_server_connect();
    atexit(test_server_stop);
    return test_server.fd >= 0;
}

/* Send a command, take its answer. */
static inline RespValue test_ask(Arena *arena, const Str *argv, size_t argc)
{
    AUTO(buf_deinit) Buf out = { 0 };
    RespValue value = { 0 };
    RespScan scan = { 0 };
    size_t len, sent = 0;
    int r;

    resp_add_command(&out, argv, argc);
    while (sent < out.len) {
        ssize_t n = write(test_server.fd, out.data + sent, out.len - sent);
        if (n <= 0)
            return value;
        sent += (size_t) n;
    }
    buf_reset(&test_server.in);
    test_server.in.max_bytes = 256 << 20;
    while ((r = resp_scan(&scan, buf_str(&test_server.in), &len)) == RESP_MORE) {
        char *at = buf_reserve(&test_server.in, 65536);
        ssize_t n = at ? read(test_server.fd, at, 65536) : -1;

        if (n <= 0)
            return value;
        test_server.in.len += (size_t) n;
    }
    EXPECT_OK(r);
    EXPECT_OK(resp_decode(arena, buf_str(&test_server.in), &value));
    return value;
}

#define TEST_ASK(arena, ...)                              \
    ({                                                    \
        const char *words_[] = { __VA_ARGS__ };           \
        Str argv_[ARRAY_LEN(words_)];                     \
        for (size_t i_ = 0; i_ < ARRAY_LEN(words_); i_++) \
            argv_[i_] = str_from_c(words_[i_]);           \
        test_ask((arena), argv_, ARRAY_LEN(argv_));       \
    })

/* Whether the server has functions: those before 7.0 know nothing of them. */
static inline bool test_server_has_functions(void)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RespValue reply = TEST_ASK(&arena, "FUNCTION", "LIST");

    return reply.type != RESP_ERROR;
}

/* An empty store with the scripts of either kind. */
static inline void test_server_empty(bool has_functions)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    scripts_init();
    test_server.has_functions = has_functions;
    (void) TEST_ASK(&arena, "FLUSHALL");
    (void) TEST_ASK(&arena, "SCRIPT", "FLUSH");
    (void) TEST_ASK(&arena, "SET", "sl{0}:epoch", "e1");
    if (has_functions) {
        RespValue reply = TEST_ASK(&arena, "FUNCTION", "LOAD", "REPLACE", scripts_library);
        EXPECT_STR(reply.text, str_from_c(scripts_name));
        return;
    }
    for (size_t i = 0; i < SCRIPT_COUNT; i++) {
        RespValue reply = TEST_ASK(&arena, "SCRIPT", "LOAD", scripts_table[i].text);
        EXPECT_STR(reply.text, str_from_c(scripts_table[i].sha));
    }
}

static inline RequestHead test_head(uint64_t number, int64_t now_ms)
{
    return (RequestHead){ .prefix = str_from_c("sl{0}:"),
                          .epoch = str_from_c("e1"),
                          .client = str_from_c("c1"),
                          .number = number,
                          .now_ms = now_ms };
}
