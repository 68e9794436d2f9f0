/*
 * Child processes: what they get, what comes back, and that none outlives its close, however it
 * behaves.
 */
/* loops: all */
#include <sluice/rt.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "base/text.h"
#include "rt/sim.h"

#define SH(script)                 \
    (const char *const[])          \
    {                              \
        "sh", "-c", (script), NULL \
    }

/* Run BODY as the first fiber; skipped where there are no processes. */
static int body_main(void *arg)
{
    void (*body)(void) = *(void (**)(void)) arg;

    if (sl_sim_is_on()) {
        sl_process *process = NULL;

        EXPECT_ERR(sl_process_start(&process, SH("exit 0")), -ERR_UNSUPPORTED, "no processes");
        return 0;
    }
    body();
    return 0;
}

static void run(void (*body)(void))
{
    EXPECT_OK(sl_run(body_main, &body));
}

/* Read FD to its end, at most SIZE - 1 bytes; NUL-terminates. The count, or an error. */
static ssize_t read_to_end(int fd, char *buf, size_t size)
{
    size_t len = 0;

    while (len < size - 1) {
        ssize_t n = sl_fd_read(fd, buf + len, size - 1 - len);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        len += (size_t) n;
    }
    buf[len] = '\0';
    return (ssize_t) len;
}

/* What a script prints, cut at SIZE - 1; and how it ends. */
static void expect_output(const char *script, const char *want, int want_code)
{
    sl_process *process = NULL;
    sl_exit ended = { 0 };
    char out[1024];

    EXPECT_OK(sl_process_start(&process, SH(script), .stdout_as = SL_STDIO_PIPE,
                               .stderr_as = SL_STDIO_MERGE));
    if (!process)
        return;
    EXPECT(read_to_end(sl_process_stdout(process), out, sizeof(out)) >= 0);
    EXPECT_C(out, want);
    EXPECT_OK(sl_process_wait(process, &ended));
    EXPECT_EQ(ended.code, want_code);
    EXPECT_EQ(ended.signal, 0);
    sl_process_close(process);
}

static void output_and_codes(void)
{
    expect_output("echo out; echo err >&2", "out\nerr\n", 0);
    expect_output("exit 7", "", 7);
    expect_output("cat; echo $?", "0\n", 0); /* stdin is /dev/null */
}

TEST(output_and_exit_codes)
{
    run(output_and_codes);
}

static void write_script(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);

    EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
    (void) close(fd);
}

static void not_there(void)
{
    sl_process *process = NULL;

    EXPECT_ERR(sl_process_start(&process, ((const char *const[]){ "no-such-program-here", NULL })),
               -ENOENT, "start no-such-program-here");
    write_script("script", "#!/no/such/interpreter\n");
    EXPECT_ERR(sl_process_start(&process, ((const char *const[]){ "./script", NULL })), -ENOENT,
               "start ./script: the interpreter");
    (void) unlink("script");
    EXPECT_ERR(sl_process_start(&process, SH("exit"), .cwd = "no-such-folder"), -ENOENT,
               "folder no-such-folder");
    EXPECT(!process);
}

TEST(program_that_is_not_there)
{
    run(not_there);
}

/* The limits stand once the start has returned; the shell waits for a line before it looks. */
static void limited(void)
{
    sl_process *process = NULL;
    char out[256];

    EXPECT_OK(sl_process_start(
        &process, SH("read go; ulimit -v; ulimit -t; ulimit -n; nice"), .stdin_as = SL_STDIO_PIPE,
        .stdout_as = SL_STDIO_PIPE,
        .limits = { .memory_bytes = 1 << 30, .cpu_seconds = 7, .files = 33, .nice = 5 }));
    if (!process)
        return;
    EXPECT_OK(sl_fd_write_all(sl_process_stdin(process), "\n", 1));
    EXPECT(read_to_end(sl_process_stdout(process), out, sizeof(out)) > 0);
    EXPECT(str_starts(str_from_c(out), str_from_c("1048576\n7\n33\n")));
    sl_process_close(process);
}

TEST(limits_of_a_child)
{
    run(limited);
}

static void echo_through_cat(void)
{
    static char data[200000];
    sl_process *process = NULL;
    char back[1024];
    size_t sent = 0, got = 0;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char) ('a' + i % 23);
    EXPECT_OK(sl_process_start(&process, ((const char *const[]){ "cat", NULL }),
                               .stdin_as = SL_STDIO_PIPE, .stdout_as = SL_STDIO_PIPE));
    REQUIRE(process);
    while (got < sizeof(data)) {
        size_t piece = MIN(sizeof(data) - sent, (size_t) 1024);
        ssize_t n;

        if (piece > 0) {
            EXPECT_OK(sl_fd_write_all(sl_process_stdin(process), data + sent, piece));
            sent += piece;
            if (sent == sizeof(data))
                sl_process_close_stdin(process);
        }
        n = sl_fd_read(sl_process_stdout(process), back, sizeof(back));
        REQUIRE(n > 0);
        REQUIRE(memcmp(back, data + got, (size_t) n) == 0);
        got += (size_t) n;
    }
    EXPECT_EQ(sl_fd_read(sl_process_stdout(process), back, sizeof(back)), 0);
    EXPECT_EQ(sl_process_stdin(process), -1);
    sl_process_close(process);
}

TEST(pipes_both_ways)
{
    run(echo_through_cat);
}

static void environment(void)
{
    static const char *const env[] = { "COLOUR=green", "PATH=/usr/bin:/bin", NULL };
    sl_process *process = NULL;
    char out[256], here[128], want[256];

    REQUIRE(mkdir("elsewhere", 0755) == 0);
    EXPECT_OK(sl_process_start(&process, SH("echo $COLOUR; pwd"), .env = env, .cwd = "elsewhere",
                               .stdout_as = SL_STDIO_PIPE));
    REQUIRE(process);
    EXPECT(read_to_end(sl_process_stdout(process), out, sizeof(out)) > 0);
    sl_process_close(process);
    REQUIRE(getcwd(here, sizeof(here)));
    (void) snprintf(want, sizeof(want), "green\n%s/elsewhere\n", here);
    EXPECT_C(out, want);
}

TEST(environment_and_folder)
{
    run(environment);
}

/* A descriptor without close-on-exec stays here, and so does an ignored signal. */
static void nothing_inherited(void)
{
    sl_process *process = NULL;
    sl_exit ended = { 0 };
    char script[160];
    int fd = open("/dev/null", O_RDONLY);

    REQUIRE(fd > 2);
    (void) snprintf(script, sizeof(script),
                    "[ -e /proc/self/fd/%d ] && echo leaked; set -- $(cat /proc/$$/stat); "
                    "[ $1 = $5 ] && echo own group",
                    fd);
    expect_output(script, "own group\n", 0);
    (void) close(fd);

    (void) signal(SIGUSR2, SIG_IGN);
    EXPECT_OK(sl_process_start(&process, SH("kill -USR2 $$; exit 5")));
    REQUIRE(process);
    EXPECT_OK(sl_process_wait(process, &ended));
    EXPECT_EQ(ended.signal, SIGUSR2);
    sl_process_close(process);
    (void) signal(SIGUSR2, SIG_DFL);
}

TEST(children_inherit_nothing)
{
    run(nothing_inherited);
}

static void killed_by(void)
{
    sl_process *process = NULL;
    sl_exit ended = { 0 };

    EXPECT_OK(sl_process_start(&process, SH("exec sleep 1000")));
    REQUIRE(process);
    EXPECT(sl_process_pid(process) > 0);
    EXPECT_OK(sl_process_kill(process, SIGTERM));
    EXPECT_OK(sl_process_wait(process, &ended));
    EXPECT_EQ(ended.signal, SIGTERM);
    EXPECT_EQ(ended.code, -1);
    ended = (sl_exit){ 0 };
    EXPECT_OK(sl_process_wait(process, &ended)); /* as often as one likes */
    EXPECT_EQ(ended.signal, SIGTERM);
    EXPECT_ERR(sl_process_kill(process, SIGTERM), -ESRCH, "has ended");
    EXPECT_ERR(sl_process_kill_group(process, SIGTERM), -ESRCH, "has ended");
    sl_process_close(process);
}

TEST(killed_child)
{
    run(killed_by);
}

static void stubborn(void)
{
    sl_process *process = NULL;
    sl_exit ended = { 0 };
    sl_scope scope;
    pid_t pid;
    char ready[8];
    int r;

    EXPECT_OK(sl_process_start(&process,
                               SH("trap '' TERM INT HUP; echo ready; while :; do sleep 1; done"),
                               .stdout_as = SL_STDIO_PIPE));
    REQUIRE(process);
    pid = sl_process_pid(process);
    EXPECT_EQ(sl_fd_read(sl_process_stdout(process), ready, sizeof(ready)), 6);
    EXPECT_OK(sl_process_kill(process, SIGTERM));

    sl_scope_begin(&scope, .timeout_ms = 20);
    r = sl_scope_end(&scope, sl_process_wait(process, &ended));
    EXPECT_EQ(r, -ETIMEDOUT); /* it goes on */
    EXPECT_OK(sl_process_kill(process, 0));
    sl_process_close(process);
    EXPECT(kill(pid, 0) != 0 && errno == ESRCH); /* reaped */
}

TEST(child_that_ignores_sigterm)
{
    run(stubborn);
}

/* The grandchild holds a fifo open; its end is seen when the last writer is gone. */
static void grandchildren(void)
{
    sl_process *process = NULL;
    sl_exit ended;
    char byte;
    int fd;

    REQUIRE(mkfifo("alive", 0600) == 0);
    fd = open("alive", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(fd >= 0);
    EXPECT_OK(sl_process_start(
        &process, SH("exec 5>alive; (trap '' TERM; echo x >&5; exec sleep 1000) & exit 3")));
    REQUIRE(process);
    EXPECT_OK(sl_process_wait(process, &ended));
    EXPECT_EQ(ended.code, 3);
    EXPECT_EQ(sl_fd_read(fd, &byte, 1), 1); /* the grandchild lives */
    EXPECT_EQ(byte, 'x');
    sl_process_close(process);
    EXPECT_EQ(sl_fd_read(fd, &byte, 1), 1); /* the rest of its line */
    EXPECT_EQ(sl_fd_read(fd, &byte, 1), 0); /* and it is gone */
    sl_fd_close(fd);
}

TEST(close_ends_grandchildren)
{
    run(grandchildren);
}

static void closes_early(void)
{
    sl_process *process = NULL;
    sl_exit ended;
    char byte;

    EXPECT_OK(sl_process_start(&process, SH("exec >&-; read line; exit 4"),
                               .stdin_as = SL_STDIO_PIPE, .stdout_as = SL_STDIO_PIPE));
    REQUIRE(process);
    EXPECT_EQ(sl_fd_read(sl_process_stdout(process), &byte, 1), 0);
    EXPECT_OK(sl_fd_write_all(sl_process_stdin(process), "go\n", 3));
    EXPECT_OK(sl_process_wait(process, &ended));
    EXPECT_EQ(ended.code, 4);
    sl_process_close(process);
}

TEST(child_that_closes_its_output_early)
{
    run(closes_early);
}

/* A writer without end is read for a while and then closed; and one whose reader goes away. */
static void floods(void)
{
    sl_process *process = NULL;
    char out[1024];
    size_t total = 0;

    EXPECT_OK(sl_process_start(&process, ((const char *const[]){ "yes", NULL }),
                               .stdout_as = SL_STDIO_PIPE));
    REQUIRE(process);
    while (total < 500000) {
        ssize_t n = sl_fd_read(sl_process_stdout(process), out, sizeof(out));

        REQUIRE(n > 0);
        total += (size_t) n;
    }
    sl_process_close(process);
}

TEST(child_that_floods)
{
    run(floods);
}

/* Input into a child that has gone: an error, not a signal that kills us. */
static void broken_pipe(void)
{
    sl_process *process = NULL;
    int r;

    EXPECT_OK(sl_process_start(&process, SH("exit 0"), .stdin_as = SL_STDIO_PIPE));
    REQUIRE(process);
    EXPECT_OK(sl_process_wait(process, NULL));
    r = sl_fd_write_all(sl_process_stdin(process), "late", 4);
    EXPECT_EQ(r, -EPIPE);
    sl_process_close(process);
}

TEST(child_that_has_gone)
{
    run(broken_pipe);
}

static int one_child(void *arg)
{
    sl_process *process = NULL;
    sl_exit ended;
    int r = sl_process_start(&process, SH("exit 9"));

    if (r == 0)
        r = sl_process_wait(process, &ended);
    sl_process_close(process);
    if (r == 0 && ended.code == 9)
        ++*(int *) arg;
    return r;
}

static void many(void)
{
    sl_nursery *nursery = sl_nursery_open(.name = "children", .limit = 8);
    int n = 0;

    for (int i = 0; i < 40; i++)
        (void) sl_spawn(nursery, one_child, &n); /* join tells */
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_EQ(n, 40);
}

TEST(forty_children)
{
    run(many);
}

static int cancelled_child(void *arg)
{
    sl_process *process = NULL;
    int r = sl_process_start(&process, SH("exec sleep 1000"));

    if (r == 0) {
        *(pid_t *) arg = sl_process_pid(process);
        r = sl_process_wait(process, NULL);
    }
    sl_process_close(process); /* waits although the fiber is cancelled */
    return r;
}

static void cancelled(void)
{
    pid_t pid = 0;

    EXPECT_EQ(sl_with_timeout(50, cancelled_child, &pid), -ETIMEDOUT);
    EXPECT(pid == 0 || (kill(pid, 0) != 0 && errno == ESRCH));
}

TEST(cancelled_owner_leaves_no_child)
{
    run(cancelled);
}

/* Would catch: a socket that joins messages, or that carries one way only. */
static void socket_body(void)
{
    const char *const argv[] = { "/bin/sh", "-c", "dd bs=64 count=2 <&0 >&0 2>/dev/null", NULL };
    sl_process *process = NULL;
    char got[64];

    EXPECT_OK(sl_process_start(&process, argv, .stdin_as = SL_STDIO_SOCKET));
    REQUIRE(process);
    EXPECT_EQ(sl_fd_send(sl_process_stdin(process), "one", 3), 3);
    EXPECT_EQ(sl_fd_send(sl_process_stdin(process), "two", 3), 3);
    EXPECT_EQ(sl_fd_recv(sl_process_stdin(process), got, sizeof(got)), 3);
    EXPECT(memcmp(got, "one", 3) == 0);
    EXPECT_EQ(sl_fd_recv(sl_process_stdin(process), got, sizeof(got)), 3);
    EXPECT(memcmp(got, "two", 3) == 0);
    sl_process_close(process);
}

TEST(talks_in_messages)
{
    run(socket_body);
}

/* ---- groups ---------------------------------------------------------------------------------- */

#define LEAVE_GROUP "leave-group"

/* As the child: go over to the group of a child of our own, and live on. */
static int leave_group(void)
{
    pid_t pid;

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid = fork();
    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) setpgid(0, 0);
        (void) pause();
        _exit(0);
    }
    (void) setpgid(pid, pid);
    (void) signal(SIGTERM, SIG_IGN);
    if (pid < 0 || setpgid(0, pid) != 0)
        return 1;
    (void) dprintf(STDOUT_FILENO, "%d\n", (int) pid);
    for (;;)
        (void) pause();
}

/* Would catch a close that waits for ever for a child that has left its group. */
static void leaves_group(void)
{
    const char *const argv[] = { "/proc/self/exe", LEAVE_GROUP, NULL };
    sl_process *process = NULL;
    char text[32];
    pid_t child;

    EXPECT_OK(sl_process_start(&process, argv, .stdout_as = SL_STDIO_PIPE));
    REQUIRE(process);
    EXPECT(sl_fd_read(sl_process_stdout(process), text, sizeof(text)) > 0);
    child = (pid_t) atoi(text);
    REQUIRE(child > 1);
    EXPECT_EQ(getpgid(sl_process_pid(process)), child);
    EXPECT_OK(sl_process_kill_group(process, SIGTERM)); /* it hears it, and goes on */
    EXPECT_OK(sl_process_kill_group(process, 0));
    sl_process_close(process);
    (void) kill(child, SIGKILL); /* it ends with its parent, some time */
}

TEST(a_child_that_leaves_its_group)
{
    run(leaves_group);
}

/* A process with the number PID that leads a group; 0 where we may not choose numbers. */
static pid_t start_stranger(pid_t pid)
{
    struct clone_args args = { .exit_signal = SIGCHLD,
                               .set_tid = (uint64_t) (uintptr_t) &pid,
                               .set_tid_size = 1 };
    long made = syscall(SYS_clone3, &args, sizeof(args));

    if (made == 0) {
        (void) syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void) syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
    }
    if (made > 0)
        (void) setpgid((pid_t) made, (pid_t) made);
    return made > 0 ? (pid_t) made : 0;
}

/* Would catch a signal to a number that has become somebody else's. */
static void reused_number(void)
{
    sl_process *process = NULL;
    siginfo_t info = { 0 };
    pid_t pid, stranger;

    (void) signal(SIGCHLD, SIG_IGN); /* the kernel reaps */
    EXPECT_OK(sl_process_start(&process, SH("read go"), .stdin_as = SL_STDIO_PIPE));
    REQUIRE(process);
    pid = sl_process_pid(process);
    sl_process_close_stdin(process);
    while (kill(pid, 0) == 0)
        EXPECT_OK(sl_sleep_ms(1));
    (void) signal(SIGCHLD, SIG_DFL);
    stranger = start_stranger(pid);
    if (stranger) {
        EXPECT_EQ(getpgid(stranger), stranger);
        EXPECT(sl_process_wait(process, NULL) < 0);
        EXPECT(sl_process_kill(process, SIGKILL) < 0);
        EXPECT(sl_process_kill_group(process, SIGKILL) < 0);
    } else {
        printf("  not shown here: numbers of processes cannot be chosen\n");
    }
    sl_process_close(process);
    if (stranger) {
        EXPECT_EQ(waitid(P_PID, (id_t) stranger, &info, WEXITED | WNOHANG | WNOWAIT), 0);
        EXPECT_EQ(info.si_pid, 0); /* it lives */
        EXPECT_EQ(kill(stranger, SIGKILL), 0);
        EXPECT_EQ(waitpid(stranger, NULL, 0), stranger);
    }
}

TEST(a_number_that_is_somebody_elses)
{
    run(reused_number);
}

/* Would catch programs whose end nobody hears of, in an engine that was started by something that
 * does not want to know of its children. */
TEST(an_ignored_sigchld_is_put_right)
{
    struct sigaction action;

    (void) signal(SIGCHLD, SIG_IGN);
    run(output_and_codes);
    EXPECT_EQ(sigaction(SIGCHLD, NULL, &action), 0);
    EXPECT(action.sa_handler == SIG_IGN);
    (void) signal(SIGCHLD, SIG_DFL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], LEAVE_GROUP) == 0)
        return leave_group();
    return test_main(argc, argv);
}
