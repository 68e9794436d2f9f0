/*
 * Descriptors: streams in pieces, ends, closing under a waiter, numbers used again.
 *
 * Under the simulated loop there are no descriptors; there the calls must say so.
 */
/* loops: all */
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Run FN unless the loop is simulated. */
static int run_real(sl_fn fn, void *arg)
{
    const char *loop = getenv("SLUICE_LOOP");

    if (loop && strcmp(loop, "sim") == 0)
        return 0;
    return sl_run(fn, arg);
}

static int refused_here(void *arg)
{
    char byte;
    int fd;

    (void) arg;
    EXPECT_EQ(sl_fd_wait(0, SL_FD_READ, NULL), -ERR_UNSUPPORTED);
    EXPECT_EQ(sl_fd_read(0, &byte, 1), -ERR_UNSUPPORTED);
    EXPECT_EQ(sl_fd_try_recv(0, &byte, 1), -ERR_UNSUPPORTED);
    EXPECT_EQ(sl_fd_accept(0, &fd, NULL, NULL), -ERR_UNSUPPORTED);
    return 0;
}

TEST(the_simulated_loop_has_no_descriptors)
{
    EXPECT_OK(sl_run(refused_here, NULL, .loop = SL_LOOP_SIM));
}

static void pair_open(int ends[2])
{
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
}

/* -- Streams -- */

enum { STREAM_BYTES = 1 << 20 };

static int writes_stream(void *arg)
{
    int fd = (int) (intptr_t) arg;
    char buf[777];
    size_t sent = 0;

    while (sent < STREAM_BYTES) {
        size_t n = MIN(sizeof buf, (size_t) STREAM_BYTES - sent);

        for (size_t i = 0; i < n; i++)
            buf[i] = (char) ((sent + i) * 31);
        EXPECT_OK(sl_fd_write_all(fd, buf, n));
        sent += n;
    }
    sl_fd_close(fd);
    return 0;
}

static int reads_stream(void *arg)
{
    int fd = (int) (intptr_t) arg;
    char buf[1000];
    size_t got = 0;
    ssize_t n;

    while ((n = got % 3 ? sl_fd_read(fd, buf, 1 + got % sizeof buf)
                        : sl_fd_recv(fd, buf, sizeof buf)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] != (char) ((got + (size_t) i) * 31)) {
                test_fail(__FILE__, __LINE__, "wrong byte at %zu", got + (size_t) i);
                return 1;
            }
        }
        got += (size_t) n;
    }
    EXPECT_EQ(n, 0);
    EXPECT_EQ(got, STREAM_BYTES);
    sl_fd_close(fd);
    return 0;
}

static int streams(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int ends[2];

    (void) arg;
    for (int i = 0; i < 4; i++) {
        pair_open(ends);
        sl_spawn(nursery, writes_stream, (void *) (intptr_t) ends[0]);
        sl_spawn(nursery, reads_stream, (void *) (intptr_t) ends[1]);
    }
    return sl_nursery_join(nursery);
}

TEST(streams_arrive_whole)
{
    EXPECT_OK(run_real(streams, NULL));
}

/* -- Ping-pong: each read is short, and the next one must not miss what comes after -- */

static int echoes(void *arg)
{
    int fd = (int) (intptr_t) arg;
    char buf[256];
    ssize_t n;

    while ((n = sl_fd_recv(fd, buf, sizeof buf)) > 0)
        EXPECT_EQ(sl_fd_send(fd, buf, (size_t) n), n);
    sl_fd_close(fd);
    return (int) n;
}

static int asks(void *arg)
{
    int fd = (int) (intptr_t) arg;
    char buf[256];
    int word;

    for (int i = 0; i < 2000; i++) {
        EXPECT_EQ(sl_fd_send(fd, &i, sizeof i), (ssize_t) sizeof i);
        EXPECT_EQ(sl_fd_recv(fd, buf, sizeof buf), (ssize_t) sizeof i);
        memcpy(&word, buf, sizeof word);
        EXPECT_EQ(word, i);
    }
    sl_fd_close(fd);
    return 0;
}

static int ping_pong(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int ends[2];

    (void) arg;
    for (int i = 0; i < 8; i++) {
        pair_open(ends);
        sl_spawn(nursery, echoes, (void *) (intptr_t) ends[0]);
        sl_spawn(nursery, asks, (void *) (intptr_t) ends[1]);
    }
    return sl_nursery_join(nursery);
}

TEST(ping_pong_misses_nothing)
{
    EXPECT_OK(run_real(ping_pong, NULL));
}

/* Data and the end arrive in one report; the short read must not hide the end. */
static int end_after_data(void *arg)
{
    int ends[2];
    char buf[100];

    (void) arg;
    for (int i = 0; i < 50; i++) {
        pair_open(ends);
        EXPECT_EQ(sl_fd_try_recv(ends[0], buf, sizeof buf), -EAGAIN);
        EXPECT_EQ(sl_fd_send(ends[1], "x", 1), 1);
        EXPECT_EQ(sl_fd_recv(ends[0], buf, sizeof buf), 1);
        EXPECT_EQ(sl_fd_send(ends[1], "yz", 2), 2);
        sl_fd_close(ends[1]);
        EXPECT_EQ(sl_fd_recv(ends[0], buf, sizeof buf), 2);
        EXPECT_EQ(sl_fd_recv(ends[0], buf, sizeof buf), 0);
        EXPECT_EQ(sl_fd_recv(ends[0], buf, sizeof buf), 0);
        sl_fd_close(ends[0]);
    }
    return 0;
}

static int waits_for_data_and_end(void *arg)
{
    int fd = (int) (intptr_t) arg;
    char buf[100];

    EXPECT_EQ(sl_fd_recv(fd, buf, sizeof buf), 3); /* parks first, so that it is watched */
    EXPECT_EQ(sl_fd_recv(fd, buf, sizeof buf), 0);
    sl_fd_close(fd);
    return 0;
}

static int end_together_with_data(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int ends[2];

    for (int i = 0; i < 50; i++) {
        pair_open(ends);
        sl_spawn(nursery, waits_for_data_and_end, (void *) (intptr_t) ends[0]);
        EXPECT_OK(sl_yield());
        EXPECT_OK(sl_yield());
        EXPECT_EQ(write(ends[1], "abc", 3), 3);
        (void) close(ends[1]);
        EXPECT_OK(sl_nursery_join(nursery));
    }
    return end_after_data(arg);
}

TEST(the_end_is_seen_after_a_short_read)
{
    EXPECT_OK(run_real(end_together_with_data, NULL));
}

/* -- Pipes and waiting for readiness -- */

static int writes_later(void *arg)
{
    EXPECT_OK(sl_sleep_ms(2));
    EXPECT_EQ(sl_fd_write((int) (intptr_t) arg, "!", 1), 1);
    return 0;
}

static int waits(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int ends[2];
    int ready = 0;
    char byte;

    (void) arg;
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    EXPECT_OK(sl_fd_adopt(ends[0]));
    EXPECT_OK(sl_fd_adopt(ends[1]));
    EXPECT_OK(sl_fd_wait(ends[1], SL_FD_WRITE, &ready)); /* there is room */
    EXPECT_EQ(ready, SL_FD_WRITE);
    sl_spawn(nursery, writes_later, (void *) (intptr_t) ends[1]);
    EXPECT_OK(sl_fd_wait(ends[0], SL_FD_READ, &ready));
    EXPECT_EQ(ready, SL_FD_READ);
    EXPECT_OK(sl_fd_wait(ends[0], SL_FD_READ, &ready)); /* still: nobody has read */
    EXPECT_EQ(sl_fd_read(ends[0], &byte, 1), 1);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_fd_close(ends[1]);
    EXPECT_OK(sl_fd_wait(ends[0], SL_FD_READ, NULL)); /* the end is readable */
    EXPECT_EQ(sl_fd_read(ends[0], &byte, 1), 0);
    sl_fd_close(ends[0]);
    EXPECT_EQ(sl_fd_wait(ends[0], SL_FD_READ, NULL), -EBADF);
    return 0;
}

TEST(readiness_is_what_it_is_now)
{
    EXPECT_OK(run_real(waits, NULL));
}

static int waits_for_both(void *arg)
{
    int ends[2];
    int ready = 0;
    char fill[1024];
    size_t filled = 0;

    (void) arg;
    pair_open(ends);
    memset(fill, 0, sizeof fill);
    while (send(ends[0], fill, sizeof fill, MSG_DONTWAIT) > 0)
        filled++;
    EXPECT(filled > 0);
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    sl_spawn(nursery, writes_later, (void *) (intptr_t) ends[1]);
    EXPECT_OK(sl_fd_wait(ends[0], SL_FD_READ | SL_FD_WRITE, &ready));
    EXPECT_EQ(ready, SL_FD_READ);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_fd_close(ends[0]);
    sl_fd_close(ends[1]);
    return 0;
}

TEST(one_fiber_waits_for_both_directions)
{
    EXPECT_OK(run_real(waits_for_both, NULL));
}

/* -- Closing and cancelling -- */

static int reads_until_closed(void *arg)
{
    char byte;

    EXPECT_EQ(sl_fd_recv((int) (intptr_t) arg, &byte, 1), -EBADF);
    return 0;
}

static int closes_under_waiter(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int ends[2];

    (void) arg;
    pair_open(ends);
    sl_spawn(nursery, reads_until_closed, (void *) (intptr_t) ends[0]);
    EXPECT_OK(sl_sleep_ms(1));
    sl_fd_close(ends[0]);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_fd_close(ends[1]);
    sl_fd_close(-1);
    return 0;
}

TEST(closing_wakes_who_waits)
{
    EXPECT_OK(run_real(closes_under_waiter, NULL));
}

static int reads_for_ever(void *arg)
{
    char byte;

    return (int) sl_fd_recv((int) (intptr_t) arg, &byte, 1);
}

static int read_is_cancelled(void *arg)
{
    int ends[2];
    char byte = 0;

    (void) arg;
    pair_open(ends);
    EXPECT_EQ(sl_with_timeout(3, reads_for_ever, (void *) (intptr_t) ends[0]), -ETIMEDOUT);
    EXPECT_EQ(sl_fd_send(ends[1], "a", 1), 1); /* and it works as before */
    EXPECT_EQ(sl_fd_recv(ends[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'a');
    sl_fd_close(ends[0]);
    EXPECT_EQ(sl_fd_send(ends[1], "a", 1), -EPIPE);
    sl_fd_close(ends[1]);
    return 0;
}

TEST(a_read_has_the_deadline_of_its_scope)
{
    EXPECT_OK(run_real(read_is_cancelled, NULL));
}

/* Would catch a table that takes the new owner of a number for the old one. */
static int numbers_come_back(void *arg)
{
    (void) arg;
    for (int i = 0; i < 20; i++) {
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
        int ends[2];
        char byte;

        if (i % 2) {
            pair_open(ends);
        } else {
            EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        }
        sl_spawn(nursery, writes_later, (void *) (intptr_t) ends[1]);
        EXPECT_EQ(sl_fd_read(ends[0], &byte, 1), 1);
        EXPECT_OK(sl_nursery_join(nursery));
        if (i % 3) {
            sl_fd_close(ends[0]);
            sl_fd_close(ends[1]);
        } else {
            sl_fd_forget(ends[0]); /* closed by somebody else */
            sl_fd_forget(ends[1]);
            (void) close(ends[0]);
            (void) close(ends[1]);
        }
    }
    return 0;
}

TEST(numbers_of_descriptors_come_back)
{
    EXPECT_OK(run_real(numbers_come_back, NULL));
}

static int watched_again(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int ends[2];
    char byte;

    (void) arg;
    pair_open(ends);
    for (int i = 0; i < 3; i++) {
        sl_spawn(nursery, writes_later, (void *) (intptr_t) ends[1]);
        EXPECT_EQ(sl_fd_recv(ends[0], &byte, 1), 1);
        EXPECT_OK(sl_nursery_join(nursery));
        sl_fd_forget(ends[0]); /* and used on, all the same */
    }
    sl_fd_close(ends[0]);
    sl_fd_close(ends[1]);
    return 0;
}

TEST(a_forgotten_descriptor_may_be_watched_again)
{
    EXPECT_OK(run_real(watched_again, NULL));
}

/* -- TCP -- */

static int accepts_and_echoes(void *arg)
{
    int listener = (int) (intptr_t) arg;
    int conn;

    for (int i = 0; i < 5; i++) {
        EXPECT_OK(sl_fd_accept(listener, &conn, NULL, NULL));
        EXPECT_OK(echoes((void *) (intptr_t) conn));
    }
    return 0;
}

static int tcp(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void) arg;
    EXPECT_EQ(bind(listener, (struct sockaddr *) &addr, sizeof addr), 0);
    EXPECT_EQ(listen(listener, 10), 0);
    EXPECT_EQ(getsockname(listener, (struct sockaddr *) &addr, &len), 0);
    sl_spawn(nursery, accepts_and_echoes, (void *) (intptr_t) listener);
    for (int i = 0; i < 5; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct iovec parts[2] = { { (char[]){ "ab" }, 2 }, { (char[]){ "cd" }, 2 } };
        char buf[4];
        size_t got = 0;

        EXPECT_OK(sl_fd_connect(fd, (struct sockaddr *) &addr, sizeof addr));
        EXPECT_EQ(sl_fd_writev(fd, parts, 2), 4);
        while (got < 4) {
            ssize_t n = sl_fd_recv(fd, buf + got, 4 - got);

            if (n <= 0)
                return -EIO;
            got += (size_t) n;
        }
        EXPECT_EQ(memcmp(buf, "abcd", 4), 0);
        sl_fd_close(fd);
    }
    EXPECT_OK(sl_nursery_join(nursery));
    sl_fd_close(listener);
    return 0;
}

static int refused(void *arg)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;
    int bound = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void) arg;
    EXPECT_EQ(bind(bound, (struct sockaddr *) &addr, sizeof addr), 0); /* and not listening */
    EXPECT_EQ(getsockname(bound, (struct sockaddr *) &addr, &len), 0);
    EXPECT_ERR(sl_fd_connect(fd, (struct sockaddr *) &addr, sizeof addr), -ECONNREFUSED, "connect");
    sl_fd_close(fd);
    sl_fd_close(bound);
    return 0;
}

TEST(tcp_connects_accepts_and_refuses)
{
    EXPECT_OK(run_real(tcp, NULL));
    EXPECT_OK(run_real(refused, NULL));
}

static int odd_descriptors(void *arg)
{
    char buf[16];
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void) arg;
    EXPECT_EQ(sl_fd_read(fd, buf, sizeof buf), 0);
    EXPECT_EQ(sl_fd_write(fd, buf, sizeof buf), (ssize_t) sizeof buf);
    EXPECT_OK(sl_fd_wait(fd, SL_FD_READ, NULL));
    sl_fd_close(fd);
    EXPECT_ERR((int) sl_fd_read(-1, buf, 1), -EBADF, "descriptor -1");
    EXPECT_EQ(sl_fd_read(1000, buf, 1), -EBADF);
    EXPECT_EQ(sl_fd_adopt(1000), -EBADF);
    return 0;
}

TEST(odd_descriptors_are_answered)
{
    EXPECT_OK(run_real(odd_descriptors, NULL));
}

TEST_MAIN()
