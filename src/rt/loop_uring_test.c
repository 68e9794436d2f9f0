/*
 * The io_uring loop: what only it does, and that its absence is told and survived.
 *
 * The runtime's other tests run on it as on every loop; here are the differences: a close that
 * closes although a poll holds the file, descriptors used again, and a machine that forbids
 * io_uring.
 */
#include <sluice/rt.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "rt/loop_int.h"

static bool has_uring(void)
{
    if (rt_loop_uring.probe() == 0)
        return true;
    test_skip("io_uring does not work here");
    return false;
}

static int on_uring(sl_fn fn, void *arg)
{
    return sl_run(fn, arg, .loop = SL_LOOP_URING);
}

/* ---- close closes ---- */

/* At an address at which nobody else asks for ports, so that none but us can have taken it. */
static int listen_on(uint16_t *port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons(*port),
                                .sin_addr = { htonl(INADDR_LOOPBACK + 0x4d0000) } };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *) &addr, len) == 0 && listen(fd, 8) == 0 &&
        getsockname(fd, (struct sockaddr *) &addr, &len) == 0) {
        *port = ntohs(addr.sin_port);
        return fd;
    }
    if (fd >= 0)
        (void) close(fd);
    return -1;
}

static int accept_one(void *arg)
{
    int fd = -1;
    int r = sl_fd_accept(*(int *) arg, &fd, NULL, NULL);

    sl_fd_close(fd);
    return r < 0 ? SL_CLOSED : 0;
}

static int rebind_main(void *arg)
{
    uint16_t port = 0;

    (void) arg;
    for (int i = 0; i < 5; i++) {
        int fd = listen_on(&port);
        sl_nursery *nursery = sl_nursery_open();

        EXPECT(fd >= 0); /* from the second round on: the same port, free at once */
        (void) sl_spawn(nursery, accept_one, &fd); /* join tells */
        EXPECT_OK(sl_yield());
        EXPECT_OK(sl_yield());
        sl_fd_close(fd);
        EXPECT_OK(sl_nursery_join(nursery));
        sl_nursery_close(nursery);
    }
    return 0;
}

TEST(closed_listener_frees_its_port)
{
    if (has_uring())
        EXPECT_OK(on_uring(rebind_main, NULL));
}

static int read_one(void *arg)
{
    char byte;
    ssize_t n = sl_fd_read(*(int *) arg, &byte, 1);

    return n < 0 ? SL_CLOSED : 0;
}

/* The peer of a closed descriptor hears of it before the loop turns again. */
static int hear_main(void *arg)
{
    (void) arg;
    for (int i = 0; i < 100; i++) {
        sl_nursery *nursery = sl_nursery_open();
        int pair[2];
        char byte;

        EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
        (void) sl_spawn(nursery, read_one, &pair[0]); /* join tells */
        EXPECT_OK(sl_yield());
        EXPECT_OK(sl_yield());
        EXPECT(recv(pair[1], &byte, 1, 0) < 0 && errno == EAGAIN);
        sl_fd_close(pair[0]);
        EXPECT_EQ(recv(pair[1], &byte, 1, 0), 0);
        EXPECT_OK(sl_nursery_join(nursery));
        sl_nursery_close(nursery);
        (void) close(pair[1]);
    }
    return 0;
}

TEST(peer_hears_of_a_close_at_once)
{
    if (has_uring())
        EXPECT_OK(on_uring(hear_main, NULL));
}

/* ---- more than a ring's worth ---- */

#define PAIRS 600

static int echo_byte(void *arg)
{
    int fd = *(int *) arg;
    char byte;
    ssize_t n = sl_fd_read(fd, &byte, 1);

    return n == 1 && sl_fd_write(fd, &byte, 1) == 1 ? 0 : -EIO;
}

static int crowd_main(void *arg)
{
    static int pairs[PAIRS][2];
    sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    for (int i = 0; i < PAIRS; i++) {
        EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairs[i]) == 0);
        (void) sl_spawn(nursery, echo_byte, &pairs[i][0]); /* join tells */
    }
    EXPECT_OK(sl_yield());
    for (int i = 0; i < PAIRS; i++)
        EXPECT(write(pairs[i][1], "x", 1) == 1);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    for (int i = 0; i < PAIRS; i++) {
        char byte = 0;

        EXPECT(read(pairs[i][1], &byte, 1) == 1 && byte == 'x');
        sl_fd_close(pairs[i][0]);
        (void) close(pairs[i][1]);
    }
    return 0;
}

/* A user's soft limit is often 1024. */
static bool has_descriptors(rlim_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max < wanted)
        return false;
    limit.rlim_cur = limit.rlim_cur < wanted ? wanted : limit.rlim_cur;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

TEST(more_descriptors_than_the_ring_has_entries)
{
    if (!has_descriptors(2 * PAIRS + 100))
        test_skip("not enough descriptors are allowed here");
    else if (has_uring())
        EXPECT_OK(on_uring(crowd_main, NULL));
}

/* A read of a pipe through the ring can wait for ever; cancellation gets through to it. */
static int read_pipe(void *arg)
{
    char byte;
    ssize_t n = sl_file_read(*(int *) arg, &byte, 1, 0);

    return n < 0 ? (int) n : 0;
}

static int cancel_main(void *arg)
{
    int ends[2], r;

    (void) arg;
    EXPECT(pipe(ends) == 0);
    r = sl_with_timeout(5, read_pipe, &ends[0]);
    EXPECT_EQ(r, -ETIMEDOUT);
    (void) close(ends[0]);
    (void) close(ends[1]);
    return 0;
}

TEST(cancelled_operation_is_dropped)
{
    if (has_uring())
        EXPECT_OK(on_uring(cancel_main, NULL));
}

/* ---- where it is forbidden ---- */

/* Make io_uring_setup fail with EPERM from here on, as containers do. False when seccomp is not to
 * be had. */
static bool forbid_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int forbidden_main(void *arg)
{
    (void) arg;
    EXPECT_C(sl_loop_name(), "epoll");
    EXPECT(strstr(sl_loop_reason(), "EPERM"));
    return sl_sleep_ms(1);
}

enum { CHILD_OK = 0, CHILD_BAD = 1, CHILD_CANNOT = 2 };

static int in_forbidden_child(void)
{
    if (!forbid_uring())
        return CHILD_CANNOT;
    (void) unsetenv("SLUICE_LOOP");
    EXPECT_OK(sl_run(forbidden_main, NULL));
    EXPECT_ERR(on_uring(forbidden_main, NULL), -ERR_UNSUPPORTED, "EPERM");
    return test_has_failed() ? CHILD_BAD : CHILD_OK;
}

TEST(forbidden_means_epoll_and_a_reason)
{
    int status = 0;
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(in_forbidden_child());
    EXPECT(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_CANNOT) {
        test_skip("no seccomp here");
        return;
    }
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), CHILD_OK);
}

TEST_MAIN()
