/*
 * The harness tested by itself: the program runs itself again with a variable that makes some of
 * its tests fail.
 *
 * Catches: a harness that calls failure success, leaves its folder behind, or runs tests in another
 * order.
 */
#include "base/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool is_on_purpose(void)
{
    return getenv("SLUICE_TEST_OF_TEST") != NULL;
}

TEST(on_purpose_first)
{
    if (is_on_purpose())
        printf("dir=%s\n", test_dir());
}

TEST(on_purpose_fails)
{
    if (!is_on_purpose())
        return;
    EXPECT_EQ(2 + 2, 5);
    EXPECT_STR(STR_C("got"), STR_C("want"));
    EXPECT_OK(fail(-ERR_TLS, "expired"));
    EXPECT_ERR(fail(-ERR_TLS, "expired"), -ERR_TLS, "fresh");
    EXPECT_ABORT((void) 0, "nothing aborts");
    REQUIRE(false);
    printf("not reached\n");
}

TEST(on_purpose_skipped)
{
    if (is_on_purpose())
        test_skip("on purpose");
}

TEST(on_purpose_fault_stays_armed)
{
    if (is_on_purpose())
        mem_fail_at(1);
}

TEST(on_purpose_fault_is_gone)
{
    AUTO(mem_free) void *ptr = mem_try(1);

    EXPECT(ptr);
}

/* Run this program with the purpose set; its output goes to the file "out". Returns the wait
 * status. */
static int run_again(const char *filter)
{
    pid_t pid;
    int status = -1;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        int fd = open("out", O_RDWR | O_CREAT | O_TRUNC, 0600);

        setenv("SLUICE_TEST_OF_TEST", "1", 1);
        dup2(fd, STDOUT_FILENO);
        execl("/proc/self/exe", "test_test", filter, (char *) NULL);
        _exit(99);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    return status;
}

static Str output(void)
{
    static char text[8192];
    int fd = open("out", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text);

    close(fd);
    return str_from(text, n > 0 ? (size_t) n : 0);
}

TEST(failure_is_told)
{
    int status = run_again("on_purpose");
    Str out = output();
    Str rest;
    char dir[512];
    struct stat st;

    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    EXPECT(str_contains(out, STR_C("2 + 2: got 4, want 5\n")));
    EXPECT(str_contains(out, STR_C("got \"got\", want \"want\"\n")));
    EXPECT(str_contains(out, STR_C("(expired)\n")));
    EXPECT(str_contains(out, STR_C("\"expired\" lacks \"fresh\"\n")));
    EXPECT(str_contains(out, STR_C("expected an abort that says \"nothing aborts\"")));
    EXPECT(str_contains(out, STR_C("required: 0\n")) ||
           str_contains(out, STR_C("required: false\n")));
    EXPECT(!str_contains(out, STR_C("not reached")));
    EXPECT(str_contains(out, STR_C("ok on_purpose_first\n")));
    EXPECT(
        str_contains(out, STR_C("FAIL on_purpose_fails\nskip on_purpose_skipped: on purpose\n"
                                "ok on_purpose_fault_stays_armed\nok on_purpose_fault_is_gone\n")));
    EXPECT(str_ends(out, STR_C("3 passed, 1 failed, 1 skipped\n")));

    REQUIRE(str_starts(out, STR_C("dir=/")));
    rest = str_cut(str_sub(out, 4, out.len), '\n', &rest);
    snprintf(dir, sizeof dir, "%.*s", (int) rest.len, rest.data);
    EXPECT(strcmp(dir, test_dir()) != 0);
    EXPECT(stat(dir, &st) < 0);
}

TEST(a_filter_that_meets_no_test_fails)
{
    int status = run_again("no_such_test");

    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    EXPECT_STR(output(), STR_C("0 passed, 0 failed\n"));
}

TEST(tests_run_in_a_folder_of_their_own)
{
    char cwd[512];
    struct stat st;

    REQUIRE(getcwd(cwd, sizeof cwd));
    EXPECT_C(cwd, test_dir());
    EXPECT(stat(test_tree(), &st) == 0 && S_ISDIR(st.st_mode));
    EXPECT(strcmp(test_tree(), test_dir()) != 0);
    EXPECT(mkdir("left", 0700) == 0);
    EXPECT(symlink("/", "left/link") == 0); /* the removal at the end must not follow it */
}

TEST_MAIN()
