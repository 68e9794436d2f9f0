/*
 * The tree of fibers as text, its counters, and that neither depth nor number breaks it.
 */
/* loops: all */
#include <sluice/rt.h>

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/test.h"
#include "rt/sim.h"

#define MANY 1000
#define DEEP 300

/* What a dump said: all of it in one text. */
static Buf said;

static void collect_line(void *ctx, const char *line)
{
    ++*(size_t *) ctx;
    buf_add_c(&said, line);
    buf_add_char(&said, '\n');
}

/* Dump the tree into `said`; the number of lines. */
static size_t dump(void)
{
    size_t n = 0;

    buf_reset(&said);
    sl_dump(collect_line, &n);
    return n;
}

static bool has_said(const char *part)
{
    return str_contains(buf_str(&said), str_from_c(part));
}

static int wait_for_event(void *arg)
{
    return sl_event_wait(arg);
}

static int sleep_long(void *arg)
{
    (void) arg;
    return sl_sleep_ms(3600000);
}

static int ready_fiber(void *arg)
{
    (void) arg;
    return 0;
}

static int tree_main(void *arg)
{
    sl_event event = { 0 };
    sl_nursery *nursery = sl_nursery_open(.name = "fetch");

    (void) arg;
    (void) sl_spawn(nursery, wait_for_event, &event, .name = "shop"); /* join tells */
    (void) sl_spawn(nursery, sleep_long, NULL, .name = "clock");
    EXPECT_OK(sl_yield());
    EXPECT_OK(sl_yield());
    (void) sl_spawn(nursery, ready_fiber, NULL, .name = "fresh");
    EXPECT_EQ(dump(), 5);
    EXPECT(str_starts(buf_str(&said), STR_C("first (")));
    EXPECT(has_said(") running\n"));
    EXPECT(has_said("\n  nursery fetch: 3 children\n"));
    EXPECT(has_said("\n    shop ("));
    EXPECT(has_said(") waits ") && has_said(" ms for event\n"));
    EXPECT(has_said("\n    clock ("));
    EXPECT(has_said("in 3599.9 s") || has_said("in 3600.0 s") || has_said("in 60 min") ||
           has_said("in 59 min"));
    EXPECT(has_said("\n    fresh ("));
    EXPECT(has_said(") ready\n"));
    sl_nursery_cancel(nursery);
    (void) dump();
    EXPECT(has_said("nursery fetch: 3 children, cancelled"));
    sl_nursery_close(nursery);
    EXPECT_EQ(dump(), 1);
    return 0;
}

TEST(tree_shows_states)
{
    EXPECT_OK(sl_run(tree_main, NULL, .name = "first"));
}

static int many_main(void *arg)
{
    sl_event event = { 0 };
    sl_nursery *nursery = sl_nursery_open(.name = "many");
    sl_stats stats;

    (void) arg;
    for (int i = 0; i < MANY; i++)
        (void) sl_spawn(nursery, wait_for_event, &event, .name = "one"); /* join tells */
    EXPECT_EQ(dump(), MANY + 2);
    EXPECT(has_said("nursery many: 1000 children"));
    sl_stats_get(&stats);
    EXPECT_EQ(stats.fibers, MANY + 1);
    EXPECT(stats.fibers_ready > 0 && stats.fibers_ready <= MANY);
    EXPECT(stats.stacks >= MANY + 1);

    while (stats.fibers_ready > 0) {
        EXPECT_OK(sl_yield());
        sl_stats_get(&stats);
    }
    EXPECT_EQ(stats.fibers, MANY + 1);
    EXPECT(stats.switches > MANY);
    EXPECT(stats.turns > 0);
    EXPECT_EQ(dump(), MANY + 2);
    EXPECT(!has_said(") ready"));
    sl_event_set(&event);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    return 0;
}

TEST(thousand_fibers)
{
    EXPECT_OK(sl_run(many_main, NULL));
}

/* A nursery in a nursery in a nursery: the walk does not recurse, and comes back to the siblings.
 */
static int deeper(void *arg)
{
    int *left = arg;
    sl_nursery *nursery;
    int r;

    if (--*left == 0) {
        EXPECT_EQ(dump(), 2 * DEEP + 3);
        EXPECT(has_said("beside the deep ones"));
        return 0;
    }
    nursery = sl_nursery_open(.name = "level");
    (void) sl_spawn(nursery, deeper, left, .name = "deep"); /* join tells */
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    return r;
}

static int deep_main(void *arg)
{
    sl_event event = { 0 };
    int left = DEEP;
    sl_nursery *outer = sl_nursery_open(.name = "outer");
    sl_nursery *nursery = sl_nursery_open(.name = "level");
    int r;

    (void) arg;
    (void) sl_spawn(outer, wait_for_event, &event, .name = "beside the deep ones"); /* join tells */
    (void) sl_spawn(nursery, deeper, &left, .name = "deep");
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    sl_nursery_close(outer);
    return r;
}

TEST(deep_tree)
{
    EXPECT_OK(sl_run(deep_main, NULL));
}

static int offload_dump(void *arg)
{
    (void) arg;
    sl_dump(collect_line, &(size_t){ 0 }); /* a thread that is no loop: nothing to print */
    return 0;
}

static int fd_main(void *arg)
{
    sl_nursery *nursery;
    int ends[2];

    if (sl_sim_is_on())
        return 0;
    (void) arg;
    EXPECT(pipe(ends) == 0);
    (void) dprintf(ends[1], "x");
    EXPECT_OK(sl_offload(offload_dump, NULL));
    nursery = sl_nursery_open();
    sl_dump_fd(ends[1]);
    sl_nursery_close(nursery);
    (void) close(ends[0]);
    (void) close(ends[1]);
    return 0;
}

TEST(dump_from_elsewhere)
{
    EXPECT_OK(sl_run(fd_main, NULL));
}

/* ---- a failed assertion says where ---- */

static int assert_main(void *arg)
{
    (void) arg;
    sl_set_name("careless");
    ASSERT(sl_self_id() == 0);
    return 0;
}

TEST(assertion_prints_the_fiber)
{
    static char out[4096];
    int ends[2], status = 0;
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    REQUIRE(pipe(ends) == 0);
    pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        (void) dup2(ends[1], STDERR_FILENO);
        (void) close(ends[0]);
        (void) close(ends[1]);
        (void) signal(SIGABRT, SIG_DFL);
        _exit(sl_run(assert_main, NULL) == 0 ? 0 : 1);
    }
    (void) close(ends[1]);
    while (len < sizeof(out) - 1 && (n = read(ends[0], out + len, sizeof(out) - 1 - len)) > 0)
        len += (size_t) n;
    out[len] = '\0';
    (void) close(ends[0]);
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    EXPECT(strstr(out, "sl_self_id() == 0"));
    EXPECT(strstr(out, "in fiber careless ("));
    EXPECT(strstr(out, ") running"));
}

int main(int argc, char **argv)
{
    int code = test_main(argc, argv);

    buf_deinit(&said);
    return code;
}
