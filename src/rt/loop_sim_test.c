/*
 * The simulated loop: same seed, same run; another seed, another order; a clock that jumps; faults
 * only when asked for; a deadlock that says so.
 */
#include <sluice/rt.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "rt/sim.h"

#define FIBERS 8
#define STEPS  20
#define SEEDS  50

/* What happened in a run: who took each step, and the hash. */
typedef struct Run {
    char order[FIBERS * STEPS + 1];
    size_t n;
    uint64_t trace;
    int64_t ended_ns;
    double fault;
    int strikes;
} Run;

typedef struct Stepper {
    Run *run;
    char letter;
} Stepper;

static int add_nothing(void *arg)
{
    ++*(int *) arg;
    return 0;
}

static int step(void *arg)
{
    Stepper *stepper = arg;
    int n_run = 0;

    for (int i = 0; i < STEPS; i++) {
        int r;

        stepper->run->order[stepper->run->n++] = stepper->letter;
        stepper->run->strikes += sl_sim_chance("test.a") + sl_sim_chance("test.b") +
                                 sl_sim_chance("test.c") + sl_sim_chance("test.d");
        if (i % 5 == 4)
            r = sl_offload(add_nothing, &n_run);
        else if (i % 3 == 2)
            r = sl_sleep_ns((int64_t) (sl_random() % 1000000));
        else
            r = sl_yield();
        if (r < 0)
            return r;
    }
    return n_run == STEPS / 5 ? 0 : -ERR_INTERNAL;
}

static int run_main(void *arg)
{
    Run *run = arg;
    Stepper steppers[FIBERS];
    sl_nursery *nursery = sl_nursery_open();
    int r;

    sl_sim_set_fault(run->fault);
    for (int i = 0; i < FIBERS; i++) {
        steppers[i] = (Stepper){ run, (char) ('a' + i) };
        (void) sl_spawn(nursery, step, &steppers[i]); /* join tells */
    }
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    run->trace = sl_sim_trace();
    run->ended_ns = sl_now_ns();
    return r;
}

static Run run_seed(uint64_t seed, double fault)
{
    Run run = { .fault = fault };

    EXPECT_OK(sl_run(run_main, &run, .loop = SL_LOOP_SIM, .seed = seed));
    EXPECT_EQ(run.n, FIBERS * STEPS);
    return run;
}

TEST(same_seed_same_run)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Run a = run_seed(seed, 0.1), b = run_seed(seed, 0.1);

        EXPECT_C(a.order, b.order);
        EXPECT(a.trace == b.trace);
        EXPECT_EQ(a.ended_ns, b.ended_ns);
        EXPECT_EQ(a.strikes, b.strikes);
    }
}

TEST(other_seed_other_order)
{
    int n_orders = 0, n_traces = 0;
    Run first = run_seed(1, 0);

    for (uint64_t seed = 2; seed <= SEEDS; seed++) {
        Run other = run_seed(seed, 0);

        n_orders += strcmp(first.order, other.order) != 0;
        n_traces += first.trace != other.trace;
    }
    EXPECT_EQ(n_orders, SEEDS - 1);
    EXPECT_EQ(n_traces, SEEDS - 1);
}

TEST(faults_strike_only_when_asked_for)
{
    int n_struck = 0, n_spared = 0;

    EXPECT_EQ(run_seed(7, 0).strikes, 0);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        int strikes = run_seed(seed, 0.2).strikes;

        n_struck += strikes > 0;
        n_spared += strikes == 0;
    }
    EXPECT(n_struck > SEEDS / 2); /* four points, each on for half of the seeds */
    EXPECT(n_spared > 0);
}

/* ---- the clocks ---- */

static int clock_main(void *arg)
{
    int64_t before_ns = sl_now_ns(), before_wall_ms = sl_wall_ms(), spun_ns;

    (void) arg;
    EXPECT(sl_sim_is_on());
    EXPECT_EQ(sl_sim_seed(), 3);
    EXPECT_C(sl_loop_name(), "sim");
    EXPECT_OK(sl_sleep_ms(86400000)); /* a day */
    EXPECT(sl_now_ns() - before_ns >= 86400 * NS_PER_S);
    EXPECT(sl_now_ns() - before_ns < 86401 * NS_PER_S);
    EXPECT(sl_wall_ms() - before_wall_ms >= 86400000);
    EXPECT(sl_wall_ms() - before_wall_ms < 86401000);

    before_wall_ms = sl_wall_ms();
    sl_sim_step_wall(-3600000);
    EXPECT(sl_wall_ms() < before_wall_ms);
    before_ns = sl_now_ns();
    EXPECT_OK(sl_yield());
    EXPECT(sl_now_ns() >= before_ns);

    spun_ns = sl_clock_ns() + 100000;
    while (sl_clock_ns() < spun_ns) /* ends: looking takes time */
        EXPECT(sl_clock_ns() > 0);
    return 0;
}

TEST(clock_jumps)
{
    EXPECT_OK(sl_run(clock_main, NULL, .loop = SL_LOOP_SIM, .seed = 3));
}

static int jump_main(void *arg)
{
    int64_t begin_ns = sl_now_ns();

    sl_sim_set_fault(0.2);
    for (int i = 0; i < 100; i++)
        EXPECT_OK(sl_sleep_ms(1));
    *(int64_t *) arg = sl_now_ns() - begin_ns;
    return 0;
}

TEST(time_jumps_are_a_fault)
{
    int n_late = 0, n_exact = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        int64_t took_ns = 0;

        EXPECT_OK(sl_run(jump_main, &took_ns, .loop = SL_LOOP_SIM, .seed = seed));
        n_late += took_ns > NS_PER_S;
        n_exact += took_ns < 200 * NS_PER_MS;
    }
    EXPECT(n_late > 0 && n_exact > 0); /* on for about half of the seeds */
    EXPECT_EQ(n_late + n_exact, SEEDS);
}

/* ---- faults of the runtime's own ---- */

static int short_main(void *arg)
{
    char zeros[100];
    int fd = -1;

    sl_sim_set_fault(0.5);
    EXPECT_OK(sl_file_open("/dev/zero", O_RDONLY, 0, &fd));
    for (int i = 0; i < 20; i++) {
        ssize_t n = sl_file_read(fd, zeros, sizeof(zeros), 0);

        EXPECT(n == 50 || n == 100);
        *(int *) arg += n == 50;
    }
    EXPECT_OK(sl_file_close(fd));
    return 0;
}

TEST(files_give_short_counts)
{
    int n_short = 0, n_seeds = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        int n = 0;

        EXPECT_OK(sl_run(short_main, &n, .loop = SL_LOOP_SIM, .seed = seed));
        n_short += n;
        n_seeds += n > 0;
    }
    EXPECT(n_short > 0 && n_seeds > 0 && n_seeds < SEEDS);
}

/* ---- what it is not ---- */

static int refused_main(void *arg)
{
    char byte;
    int fd = -1;

    (void) arg;
    EXPECT_EQ(sl_fd_wait(0, SL_FD_READ, NULL), -ERR_UNSUPPORTED);
    EXPECT_EQ(sl_fd_read(0, &byte, 1), -ERR_UNSUPPORTED);
    EXPECT_OK(sl_file_open("/dev/null", 0, 0, &fd)); /* files are real */
    EXPECT_OK(sl_file_close(fd));
    return 0;
}

TEST(descriptors_are_refused)
{
    EXPECT_OK(sl_run(refused_main, NULL, .loop = SL_LOOP_SIM));
}

static int outside_main(void *arg)
{
    (void) arg;
    EXPECT(!sl_sim_is_on());
    EXPECT_EQ(sl_sim_seed(), 0);
    EXPECT_EQ(sl_sim_trace(), 0);
    EXPECT_EQ(sl_sim_delay_ns(5, 9), 5);
    sl_sim_set_fault(1);
    EXPECT(!sl_sim_chance("test.a"));
    sl_sim_step_wall(1000);
    sl_sim_expect(1);
    return 0;
}

TEST(other_loops_know_no_faults)
{
    EXPECT_OK(sl_run(outside_main, NULL, .loop = SL_LOOP_EPOLL));
}

/* ---- a deadlock ---- */

static int wait_for_nobody(void *arg)
{
    sl_event event = { 0 };

    (void) arg;
    sl_set_name("lonely");
    return sl_event_wait(&event);
}

TEST(deadlock_is_told_and_ends_it)
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
        _exit(sl_run(wait_for_nobody, NULL, .loop = SL_LOOP_SIM, .seed = 42) == 0 ? 0 : 1);
    }
    (void) close(ends[1]);
    while (len < sizeof(out) - 1 && (n = read(ends[0], out + len, sizeof(out) - 1 - len)) > 0)
        len += (size_t) n;
    out[len] = '\0';
    (void) close(ends[0]);
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    EXPECT(strstr(out, "deadlock with seed 42"));
    EXPECT(strstr(out, "lonely (") && strstr(out, "for event"));
}

TEST_MAIN()
