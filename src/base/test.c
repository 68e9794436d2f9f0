/*
 * The runner of unit tests: one program for each foo_test.c.
 *
 * Tests register before main() in file order and run in that order in one process, whose working
 * directory is a temporary folder of its own under $TMPDIR; it is removed at the end. Output goes
 * to stdout, one line for each test, flushed line by line. A program that aborts inside a test says
 * which one it was.
 *
 *     prog            runs all
 *     prog NAME       runs the tests whose name contains NAME
 */
#include "base/test.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OPEN_DIRS_MAX = 16 };

static struct {
    TestCase *first;
    const TestCase *current;
    bool has_failed;     /* the current test */
    const char *skipped; /* why the current test was, or NULL */
    int child_stderr;    /* of EXPECT_ABORT */
    pid_t child_pid;
    char dir[PATH_MAX];
    char tree[PATH_MAX];
} runner;

void test_register(TestCase *test)
{
    TestCase **slot = &runner.first;

    while (*slot && (*slot)->line < test->line)
        slot = &(*slot)->next;
    test->next = *slot;
    *slot = test;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;

    runner.has_failed = true;
    printf("  %s:%d: ", file, line);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
}

void test_skip(const char *why)
{
    runner.skipped = why;
}

bool test_has_failed(void)
{
    return runner.has_failed;
}

const char *test_dir(void)
{
    return runner.dir;
}

const char *test_tree(void)
{
    return runner.tree;
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void) stat;
    (void) ftw;
    return kind == FTW_DP || kind == FTW_DNR ? rmdir(path) : unlink(path);
}

static bool dir_make(void)
{
    const char *base = getenv("TMPDIR");

    if (!getcwd(runner.tree, sizeof runner.tree)) {
        perror("test: the working directory");
        return false;
    }
    if ((size_t) snprintf(runner.dir, sizeof runner.dir, "%s/sluice-unit-XXXXXX",
                          base && base[0] ? base : "/tmp") >= sizeof runner.dir) {
        fprintf(stderr, "test: TMPDIR is too long\n");
        return false;
    }
    if (!mkdtemp(runner.dir) || chdir(runner.dir) < 0) {
        perror("test: a temporary directory");
        return false;
    }
    return true;
}

static void dir_remove(void)
{
    if (chdir("/") < 0 ||
        nftw(runner.dir, remove_entry, OPEN_DIRS_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0)
        fprintf(stderr, "test: %s stays: %s\n", runner.dir, strerror(errno));
}

/* The last words of a program that dies inside a test. */
static void on_fatal(int signal_number)
{
    char text[256];
    int len = snprintf(text, sizeof text, "FAIL %.200s (signal %d)\n",
                       runner.current ? runner.current->name : "?", signal_number);
    ssize_t n = write(STDOUT_FILENO, text, (size_t) len);

    (void) n; /* the next line ends the program */
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* An abort is told with the test's name; other fatal signals are the sanitizers' and the runtime's
 * business. */
static void watch_fatal(void)
{
    struct sigaction action = { .sa_handler = on_fatal, .sa_flags = SA_RESETHAND };

    sigaction(SIGABRT, &action, NULL);
}

bool test_fork_(void)
{
    const struct rlimit no_core = { 0, 0 };
    int fds[2];

    fflush(stdout);
    if (pipe(fds) < 0) {
        perror("test: pipe");
        exit(2);
    }
    runner.child_pid = fork();
    if (runner.child_pid < 0) {
        perror("test: fork");
        exit(2);
    }
    if (runner.child_pid == 0) {
        signal(SIGABRT, SIG_DFL);
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        return true;
    }
    close(fds[1]);
    runner.child_stderr = fds[0];
    return false;
}

void test_reap_(const char *file, int line, const char *part)
{
    AUTO(buf_deinit) Buf said = { 0 };
    char *at;
    ssize_t n = 0;
    int status;

    while ((at = buf_reserve(&said, 4096)) && (n = read(runner.child_stderr, at, 4096)) > 0)
        said.len += (size_t) n;
    close(runner.child_stderr);
    if (waitpid(runner.child_pid, &status, 0) < 0 || !WIFSIGNALED(status) ||
        WTERMSIG(status) != SIGABRT)
        test_fail(file, line, "expected an abort that says \"%s\", got status %d", part, status);
    else if (!str_contains(buf_str(&said), str_from_c(part)))
        test_fail(file, line, "\"%s\" is missing in: %.*s", part, (int) said.len, said.data);
}

static bool run_one(const TestCase *test)
{
    struct timespec start, end;
    long long ms;

    runner.current = test;
    runner.has_failed = false;
    runner.skipped = NULL;
    clock_gettime(CLOCK_MONOTONIC, &start);
    test->run();
    clock_gettime(CLOCK_MONOTONIC, &end);
    mem_fail_at(0);
    runner.current = NULL;

    ms = (end.tv_sec - start.tv_sec) * 1000LL + (end.tv_nsec - start.tv_nsec) / 1000000;
    if (runner.has_failed)
        printf("FAIL %s\n", test->name);
    else if (runner.skipped)
        printf("skip %s: %s\n", test->name, runner.skipped);
    else if (ms >= 100)
        printf("ok %s (%lld ms)\n", test->name, ms);
    else
        printf("ok %s\n", test->name);
    fflush(stdout);
    return !runner.has_failed;
}

int test_main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0, skipped = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!dir_make())
        return 2;
    watch_fatal();
    for (const TestCase *test = runner.first; test; test = test->next) {
        if (argc > 1 && !strstr(test->name, argv[1]))
            continue;
        if (!run_one(test))
            failed++;
        else if (runner.skipped)
            skipped++;
        else
            passed++;
    }
    dir_remove();
    printf("%u passed, %u failed", passed, failed);
    if (skipped > 0)
        printf(", %u skipped", skipped);
    printf("\n");
    return failed > 0 || passed + skipped == 0 ? 1 : 0;
}
