/*
 * Programs as handlers: what goes in and comes out, how they end, and that nothing is left of them.
 * The programs are lines for the shell.
 */
#include "handlers/exec/program.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/test.h"
#include "base/text.h"

#include <sluice/rt.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a world with one declared program ------------------------------------------------------- */

typedef struct World {
    Arena arena;
    ProgramTable table;
    sl_nursery *nursery;
    char log[1024];
    double fraction;
} World;

typedef struct Job {
    Task task;
    World *world;
    const char *args;
    Arena arena;
    Buf result;
    int64_t timeout_ms;
    sl_scope *scope; /* while it runs */
    int r;
    Err err;
} Job;

static bool fake_is_cancelled(Task *task)
{
    (void) task;
    return false;
}

static void fake_progress(Task *task, double fraction, Str message)
{
    (void) message;
    CONTAINER_OF(task, Job, task)->world->fraction = fraction;
}

static void fake_log(Task *task, Str line)
{
    World *world = CONTAINER_OF(task, Job, task)->world;
    size_t len = strlen(world->log);

    (void) snprintf(world->log + len, sizeof(world->log) - len, "%.*s\n", (int) line.len,
                    line.data);
}

static const TaskOps ops = { .is_cancelled = fake_is_cancelled,
                             .progress = fake_progress,
                             .log = fake_log };

static int read_world(World *world, const char *yaml)
{
    YamlDoc doc;
    int r;

    *world = (World){ .fraction = -1 };
    r = yaml_parse(&world->arena, str_from_c(yaml), "t.yaml", &doc);
    return r < 0 ? r
                 : programs_read(&world->arena, &doc, json_find(doc.json.root, "handlers"), NULL, 0,
                                 &world->table);
}

static void open_world(World *world, const char *declaration)
{
    char yaml[2048];

    (void) snprintf(yaml, sizeof(yaml), "handlers:\n  p:\n%s", declaration);
    EXPECT_OK(read_world(world, yaml));
    world->nursery = programs_start(&world->table);
}

static void close_world(World *world)
{
    programs_stop(&world->table, world->nursery);
    arena_deinit(&world->arena);
}

SUSPENDS static int run_job(void *arg)
{
    Job *job = arg;
    JsonWriter writer = JSON_WRITER(&job->result);
    const Handler *handler = job->world->table.declared[0];
    sl_scope scope;
    int r;

    job->task = (Task){ .ops = &ops,
                        .job_id = "j1",
                        .type = "p",
                        .handler = handler,
                        .args_text = str_from_c(job->args ? job->args : "[]"),
                        .attempt = 1,
                        .max_attempts = 3,
                        .arena = &job->arena };
    sl_scope_begin(&scope, .timeout_ms = job->timeout_ms);
    job->scope = &scope;
    r = handler->run(&job->task, NULL, &writer);
    job->scope = NULL;
    job->r = sl_scope_end(&scope, r);
    if (job->r < 0)
        err_take(job->r, &job->err);
    return 0;
}

static void free_job(Job *job)
{
    buf_deinit(&job->result);
    arena_deinit(&job->arena);
}

/* Run a job and expect its result. */
static void expect_result(World *world, const char *args, const char *want)
{
    Job job = { .world = world, .args = args };

    (void) run_job(&job);
    EXPECT_EQ(job.r, 0);
    if (job.r < 0)
        EXPECT_C(job.err.text, "");
    EXPECT_STR(buf_str(&job.result), str_from_c(want));
    free_job(&job);
}

/* Run a job and expect its failure: PART in its words, CODE, and whether it is final. */
static void expect_failure(World *world, int64_t timeout_ms, int code_number, const char *part,
                           const char *code, bool is_final)
{
    Job job = { .world = world, .timeout_ms = timeout_ms };

    (void) run_job(&job);
    EXPECT_EQ(job.r, code_number);
    EXPECT(!part || str_contains(str_from_c(job.err.text), str_from_c(part)));
    if (part && !str_contains(str_from_c(job.err.text), str_from_c(part)))
        EXPECT_C(job.err.text, part);
    if (code)
        EXPECT_C(job.task.error_code ? job.task.error_code : "none", code);
    EXPECT_EQ(job.task.is_final, is_final);
    free_job(&job);
}

static int run_body(void *arg)
{
    void (*body)(void) = *(void (**)(void)) arg;

    body();
    return 0;
}

#define PROGRAM_TEST(name)                  \
    static void name##_body(void);          \
    TEST(name)                              \
    {                                       \
        void (*body)(void) = name##_body;   \
                                            \
        EXPECT_OK(sl_run(run_body, &body)); \
    }                                       \
    static void name##_body(void)

/* ---- one process for each job ---------------------------------------------------------------- */

/* Would catch a job that is not handed over whole, and a result that is changed on its way. */
PROGRAM_TEST(a_job_goes_in_and_its_result_comes_out)
{
    World world;

    open_world(&world, "    command: [cat]\n");
    expect_result(&world, "[{\"n\":1.0}]",
                  "{\"job_id\":\"j1\",\"type\":\"p\",\"attempt\":1,\"max_attempts\":3,"
                  "\"args\":[{\"n\":1.0}]}");
    close_world(&world);
    open_world(&world, "    shell: 'printf \"a\\\"b\\n\\n\"'\n    output: text\n");
    expect_result(&world, NULL, "\"a\\\"b\\n\"");
    close_world(&world);
    open_world(&world, "    command: [\"true\"]\n");
    expect_result(&world, NULL, "null"); /* and a job that is not read is no failure */
    close_world(&world);
}

/* Would catch an engine whose secrets leak into its programs. */
PROGRAM_TEST(the_environment_is_an_allow_list)
{
    World world;

    (void) setenv("SECRET", "s3", 1);
    (void) setenv("WANTED", "w", 1);
    open_world(&world, "    shell: 'echo \"$SECRET-$WANTED-$MADE-${PATH:+p}\"'\n"
                       "    output: text\n    env: [WANTED]\n    set: {MADE: m}\n");
    expect_result(&world, NULL, "\"-w-m-p\"");
    close_world(&world);
}

PROGRAM_TEST(an_exit_status_is_a_failure_with_the_last_words)
{
    World world;

    open_world(&world, "    shell: 'echo one >&2; printf \"two\\tand\\n\" >&2; exit 3'\n");
    expect_failure(&world, 0, -ERR_HANDLER, "/bin/sh: exit status 3: one two and", "exit_status",
                   false);
    EXPECT_C(world.log, "one\ntwo\tand\n");
    close_world(&world);
    open_world(&world, "    shell: 'exit 65'\n    final_exit_codes: [64, 65]\n");
    expect_failure(&world, 0, -ERR_HANDLER, "exit status 65", "exit_status", true);
    close_world(&world);
    open_world(&world, "    shell: 'kill -SEGV $$'\n");
    expect_failure(&world, 0, -ERR_HANDLER, "killed by signal 11", "killed", false);
    close_world(&world);
    open_world(&world, "    shell: 'echo {'\n");
    expect_failure(&world, 0, -ERR_PROCESS, "its output is not JSON", "bad_output", false);
    close_world(&world);
    open_world(&world, "    shell: 'printf \"\\\\377\"'\n    output: text\n");
    expect_failure(&world, 0, -ERR_PROCESS, "its output is not UTF-8", "bad_output", false);
    close_world(&world);
    open_world(&world, "    command: [no-such-program]\n");
    expect_failure(&world, 0, -ERR_PROCESS, "start no-such-program", NULL, false);
    close_world(&world);
}

/* For the shell: leave a process behind that is of no group of ours, holds all pipes, and has
 * written its id into the file (named twice). */
#define LEAVE_DAEMON                                                    \
    "exec 3<&0; setsid sh -c \"echo \\$\\$ >%s; exec sleep 60\" <&3 & " \
    "until [ -s %s ]; do :; done; "

/* Kill the process whose id stands in FD, which still runs. */
static void end_daemon(int fd)
{
    char text[32] = "";
    int64_t pid = 0;

    EXPECT(pread(fd, text, sizeof(text) - 1, 0) > 0);
    EXPECT_OK(str_to_i64(str_trim(str_from_c(text)), 2, INT64_MAX, &pid));
    if (pid > 1)
        EXPECT_EQ(kill((pid_t) pid, SIGKILL), 0);
}

/* Would catch a finished job that waits for a process which has left the group and holds all three
 * pipes, and what the job itself has said getting lost with them. */
PROGRAM_TEST(a_daemon_left_behind_holds_no_job)
{
    char path[] = "/tmp/exec-test-XXXXXX", yaml[512];
    static char args[100 << 10];
    int fd = mkstemp(path);
    World world;
    Job job = { .world = &world, .timeout_ms = 20000, .args = args };

    (void) memset(args, ' ', sizeof(args)); /* more than a pipe holds */
    args[0] = '[', args[sizeof(args) - 2] = ']', args[sizeof(args) - 1] = '\0';
    (void) snprintf(yaml, sizeof(yaml), "    shell: '" LEAVE_DAEMON "echo said >&2; echo 12'\n",
                    path, path);
    open_world(&world, yaml);
    run_job(&job);
    EXPECT_EQ(job.r, 0);
    EXPECT_STR(buf_str(&job.result), str_from_c("12"));
    EXPECT_C(world.log, "said\n");
    free_job(&job);
    close_world(&world);
    end_daemon(fd);
    (void) close(fd);
    (void) unlink(path);
}

/* Would catch output without a bound, and a program that outlives its job because of it. */
PROGRAM_TEST(output_is_bounded)
{
    World world;

    open_world(&world, "    shell: 'exec yes'\n    grace: 1s\n");
    expect_failure(&world, 0, -ERR_PROCESS, "its output is larger", NULL, false);
    close_world(&world);
}

/* Would catch a job that waits for ever for one who ignores SIGTERM, and what it has started. */
PROGRAM_TEST(a_job_out_of_time_is_ended)
{
    World world;

    open_world(&world, "    shell: \"trap '' TERM; sleep 1000 & sleep 1000\"\n    grace: 50ms\n");
    expect_failure(&world, 50, -ETIMEDOUT, NULL, NULL, false);
    close_world(&world);
}

/* A grandchild that holds stdout does not hold the job. */
PROGRAM_TEST(what_a_program_leaves_behind_ends_with_it)
{
    World world;

    open_world(&world, "    shell: 'sleep 1000 & echo 7'\n");
    expect_result(&world, NULL, "7");
    close_world(&world);
}

PROGRAM_TEST(limits_are_kept)
{
    World world;

    open_world(&world, "    shell: 'read job; ulimit -v; ulimit -n'\n    output: text\n"
                       "    memory: 1GiB\n    files: 40\n");
    expect_result(&world, NULL, "\"1048576\\n40\"");
    close_world(&world);
}

/* ---- kept alive ------------------------------------------------------------------------------ */

/* A program for the tests: what it does with a job says the job's first argument. */
#define KEPT                                                                                    \
    "    keep: true\n    grace: 200ms\n    shell: |\n"                                          \
    "      while read line; do\n"                                                               \
    "        id=$(expr \"$line\" : '.*\"id\":\"\\([0-9]*\\)\"')\n"                              \
    "        case \"$line\" in\n"                                                               \
    "        *cancel*) ;;\n"                                                                    \
    "        *pid*) echo \"{\\\"id\\\":\\\"$id\\\",\\\"result\\\":$$}\" ;;\n"                   \
    "        *fail*) echo \"{\\\"id\\\":$id,\\\"error\\\":{\\\"message\\\":\\\"no\\\","         \
    "\\\"code\\\":\\\"bad\\\",\\\"final\\\":true}}\" ;;\n"                                      \
    "        *half*) echo \"{\\\"id\\\":$id,\\\"progress\\\":0.5,\\\"message\\\":\\\"m\\\"}\";" \
    " echo \"{\\\"id\\\":$id,\\\"log\\\":\\\"l\\\"}\"; echo; echo \"{\\\"id\\\":$id}\" ;;\n"    \
    "        *die*) echo dying >&2; exit 9 ;;\n"                                                \
    "        *talk*) echo hello ;;\n"                                                           \
    "        *close*) exec >&- 2>&-; sleep 1000 ;;\n"                                           \
    "        *large*) echo \"{\\\"id\\\":$id,\\\"result\\\":\\\"$(head -c 1100000 /dev/zero | " \
    "tr '\\000' x)\\\"}\" ;;\n"                                                                 \
    "        *later*) kept=$id ;;\n"                                                            \
    "        *now*) echo \"{\\\"id\\\":$id,\\\"result\\\":1}\"; "                               \
    "echo \"{\\\"id\\\":$kept,\\\"result\\\":2}\" ;;\n"                                         \
    "        esac\n      done\n"

static int64_t pid_of(World *world)
{
    Job job = { .world = world, .args = "[\"pid\"]" };
    int64_t pid = 0;

    (void) run_job(&job);
    EXPECT_EQ(job.r, 0);
    EXPECT_OK(str_to_i64(buf_str(&job.result), 1, INT64_MAX, &pid));
    free_job(&job);
    return pid;
}

static void expect_kept_failure(World *world, const char *args, int64_t timeout_ms, int r,
                                const char *part)
{
    Job job = { .world = world, .args = args, .timeout_ms = timeout_ms };

    (void) run_job(&job);
    EXPECT_EQ(job.r, r);
    if (part && !str_contains(str_from_c(job.err.text), str_from_c(part)))
        EXPECT_C(job.err.text, part);
    free_job(&job);
}

/* Would catch a process for each job, answers that go to another job, and lost words. */
PROGRAM_TEST(a_kept_program_answers_job_after_job)
{
    World world;
    int64_t pid;

    open_world(&world, KEPT);
    pid = pid_of(&world);
    EXPECT_EQ(pid_of(&world), pid);
    expect_result(&world, "[\"half\"]", "null");
    EXPECT(world.fraction == 0.5);
    EXPECT_C(world.log, "l\n");
    expect_kept_failure(&world, "[\"fail\"]", 0, -ERR_HANDLER, "no");
    EXPECT_EQ(pid_of(&world), pid);
    close_world(&world);
}

/* Would catch a dead process that jobs are still given to. */
PROGRAM_TEST(a_kept_program_that_ends_is_replaced)
{
    World world;
    int64_t pid;

    open_world(&world, KEPT);
    pid = pid_of(&world);
    expect_kept_failure(&world, "[\"die\"]", 0, -ERR_PROCESS,
                        "it did not answer; exit status 9: dying");
    EXPECT(pid_of(&world) != pid);
    expect_kept_failure(&world, "[\"talk\"]", 0, -ERR_PROCESS, "line 1");
    expect_kept_failure(&world, "[\"close\"]", 0, -ERR_PROCESS,
                        "it closed its stdout and went on; killed by signal 15");
    pid = pid_of(&world);
    expect_kept_failure(&world, "[\"large\"]", 0, -ERR_PROCESS,
                        "its result is larger than 1048576 bytes");
    EXPECT_EQ(pid_of(&world), pid);
    close_world(&world);
}

/* Would catch a job that fails because its process has died while nobody wanted it. */
PROGRAM_TEST(a_job_is_not_lost_on_a_process_that_has_died)
{
    siginfo_t info;
    World world;
    int64_t pid;

    open_world(&world, KEPT);
    pid = pid_of(&world);
    EXPECT_EQ(kill((pid_t) pid, SIGKILL), 0);
    EXPECT_EQ(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT), 0); /* the loop stands still */
    EXPECT(pid_of(&world) != pid);
    close_world(&world);
}

/* Would catch a stuck process that keeps its job for ever. */
PROGRAM_TEST(a_kept_program_that_is_stuck_is_replaced)
{
    World world;
    int64_t pid;

    open_world(&world, KEPT);
    pid = pid_of(&world);
    expect_kept_failure(&world, "[\"never\"]", 20, -ETIMEDOUT, NULL);
    EXPECT(pid_of(&world) != pid);
    close_world(&world);
}

/* A program whose jobs are long lines; `slow` keeps it from reading for a moment. */
#define SLOW                                                                           \
    "    keep: true\n    at_once: 2\n    grace: 5s\n    shell: |\n"                    \
    "      while read -r line; do\n"                                                   \
    "        case \"$line\" in *'{\"cancel'*) continue ;; *slow*) sleep 0.2 ;; esac\n" \
    "        id=${line#*\\\"id\\\":\\\"}; id=${id%%\\\"*}\n"                           \
    "        echo \"{\\\"id\\\":\\\"$id\\\",\\\"result\\\":$$}\"\n      done\n"

/* Would catch a line that is cancelled in its middle and takes the program and its other jobs with
 * it. */
PROGRAM_TEST(a_cancelled_line_is_written_to_its_end)
{
    static char args[100000];
    World world;
    Job slow, big;
    sl_nursery *nursery;
    int64_t pid;

    memset(args, 'x', sizeof(args) - 1);
    memcpy(args, "[\"", 2);
    memcpy(args + sizeof(args) - 3, "\"]", 3);
    open_world(&world, SLOW);
    pid = pid_of(&world);
    nursery = sl_nursery_open(.name = "jobs");
    slow = (Job){ .world = &world, .args = "[\"slow\"]" };
    big = (Job){ .world = &world, .args = args, .timeout_ms = 50 };
    EXPECT_OK(sl_spawn(nursery, run_job, &slow));
    EXPECT_OK(sl_spawn(nursery, run_job, &big));
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_EQ(slow.r, 0);
    EXPECT_EQ(pid_of(&world), pid);
    free_job(&slow);
    free_job(&big);
    close_world(&world);
}

/* Would catch a job that waits for ever when a program reads no further line. */
PROGRAM_TEST(a_kept_program_that_reads_nothing_is_replaced)
{
    static char args[100000];
    World world;

    memset(args, 'x', sizeof(args) - 1);
    memcpy(args, "[\"", 2);
    memcpy(args + sizeof(args) - 3, "\"]", 3);
    open_world(&world, "    keep: true\n    grace: 50ms\n    shell: 'exec sleep 1000'\n");
    expect_kept_failure(&world, args, 20, -ETIMEDOUT, NULL);
    close_world(&world);
    open_world(&world, "    keep: true\n    grace: 50ms\n    shell: 'exec sleep 1000 <&-'\n");
    expect_kept_failure(&world, args, 60000, -EPIPE, NULL);
    close_world(&world);
}

/* Would catch a line that is too long for a program, which costs its other jobs their process. */
PROGRAM_TEST(a_line_that_is_too_long_costs_its_job_alone)
{
    char *args = malloc(LIMIT_EXEC_LINE_BYTES + 1);
    World world;
    int64_t pid;

    memset(args, ' ', LIMIT_EXEC_LINE_BYTES);
    args[0] = '[';
    args[LIMIT_EXEC_LINE_BYTES - 1] = ']';
    args[LIMIT_EXEC_LINE_BYTES] = '\0';
    open_world(&world, KEPT);
    pid = pid_of(&world);
    expect_kept_failure(&world, args, 0, -ERR_TOO_LARGE, NULL);
    EXPECT_EQ(pid_of(&world), pid);
    close_world(&world);
    free(args);
}

/* Run a job in a program that leaves a process behind, which holds its pipes and is of no group of
 * ours; the job must end before that does. With R of a time-out, its time is over soon after that
 * process is there. */
static void expect_end_before_holder(const char *then, int r)
{
    char path[] = "/tmp/exec-test-XXXXXX", yaml[512];
    int fd = mkstemp(path);
    World world;
    Job job = { .world = &world, .args = "[1]", .timeout_ms = 60000 };
    sl_nursery *nursery;

    (void) snprintf(yaml, sizeof(yaml),
                    "    keep: true\n    grace: 50ms\n"
                    "    shell: '" LEAVE_DAEMON "exec 3<&-; %s'\n",
                    path, path, then);
    open_world(&world, yaml);
    nursery = sl_nursery_open(.name = "job");
    EXPECT_OK(sl_spawn(nursery, run_job, &job));
    while (lseek(fd, 0, SEEK_END) == 0)
        EXPECT_OK(sl_sleep_ms(1));
    if (r == -ETIMEDOUT && job.scope)
        sl_scope_set_deadline(job.scope, sl_now_ns() + 20 * NS_PER_MS);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_EQ(job.r, r);
    free_job(&job);
    close_world(&world);
    end_daemon(fd);
    (void) close(fd);
    (void) unlink(path);
}

/* Would catch a job that waits for whoever holds the pipes of its program. */
PROGRAM_TEST(a_kept_program_that_leaves_a_daemon_holds_no_job)
{
    expect_end_before_holder("read a; sleep 1000", -ETIMEDOUT);
    expect_end_before_holder("read a; exit 3", -ERR_PROCESS);
}

PROGRAM_TEST(jobs_share_a_kept_program)
{
    World world;
    Job first, second;
    sl_nursery *nursery;

    open_world(&world, "    at_once: 2\n" KEPT);
    nursery = sl_nursery_open(.name = "jobs");
    first = (Job){ .world = &world, .args = "[\"later\"]" };
    second = (Job){ .world = &world, .args = "[\"now\"]" };
    EXPECT_OK(sl_spawn(nursery, run_job, &first));
    EXPECT_OK(sl_spawn(nursery, run_job, &second));
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    EXPECT_STR(buf_str(&first.result), str_from_c("2"));
    EXPECT_STR(buf_str(&second.result), str_from_c("1"));
    free_job(&first);
    free_job(&second);
    close_world(&world);
}

PROGRAM_TEST(a_kept_program_is_replaced_after_its_jobs)
{
    World world;
    int64_t first, third;

    open_world(&world, "    max_jobs: 2\n" KEPT);
    first = pid_of(&world);
    EXPECT_EQ(pid_of(&world), first);
    third = pid_of(&world);
    EXPECT(third != first);
    close_world(&world);
}

PROGRAM_TEST(a_kept_program_that_cannot_start_says_so)
{
    World world;

    open_world(&world, "    keep: true\n    command: [no-such-program]\n");
    expect_kept_failure(&world, "[]", 0, -ERR_PROCESS, "start no-such-program");
    expect_kept_failure(&world, "[]", 0, -ERR_PROCESS, "start no-such-program");
    close_world(&world);
}

/* ---- nothing is left ------------------------------------------------------------------------- */

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        (void) closedir(dir);
    return n;
}

/* Would catch a descriptor that stays open, and a child that nobody buries. */
PROGRAM_TEST(many_jobs_leave_nothing_behind)
{
    char children[64], text[64] = "";
    World world;
    size_t before;
    FILE *file;

    open_world(&world, "    command: [\"true\"]\n");
    expect_result(&world, NULL, "null");
    before = count_entries("/proc/self/fd");
    for (int i = 0; i < 50; i++)
        expect_result(&world, NULL, "null");
    EXPECT_EQ(count_entries("/proc/self/fd"), before);
    close_world(&world);
    (void) snprintf(children, sizeof(children), "/proc/self/task/%d/children", (int) getpid());
    file = fopen(children, "re");
    if (file) {
        EXPECT(!fgets(text, sizeof(text), file));
        (void) fclose(file);
    }
}

/* ---- declarations ---------------------------------------------------------------------------- */

static void expect_refused(const char *yaml, const char *part)
{
    World world;
    int r = read_world(&world, yaml);
    Err err;

    EXPECT(r < 0);
    if (r < 0) {
        err_take(r, &err);
        if (!str_contains(str_from_c(err.text), str_from_c(part)))
            EXPECT_C(err.text, part);
    }
    arena_deinit(&world.arena);
}

/* Would catch a mistake that is told without its place, or not at all. */
TEST(mistakes_in_declarations_are_told_with_their_line)
{
    expect_refused("handlers:\n  A b:\n    command: [x]\n", "t.yaml:2: handlers: \"A b\"");
    expect_refused("handlers:\n  a:\n    comand: [x]\n", "t.yaml:3");
    expect_refused("handlers:\n  a:\n    keep: true\n", "needs either command");
    expect_refused("handlers:\n  a:\n    command: [x]\n    memory: lots\n", "memory");
    expect_refused("handlers:\n  a:\n    command: [x]\n    args: {n: {type: int}}\n", "t.yaml:4");
    expect_refused("handlers:\n  a:\n    command: [x]\n  a:\n    command: [x]\n", "already");
    expect_refused("handlers: [x]\n", "t.yaml:1: handlers: must be a mapping");
}

TEST(arguments_are_checked_as_declared)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const Schema *args;
    World world;
    void *bound;

    EXPECT_OK(read_world(&world, "handlers:\n  a:\n    command: [x]\n    args:\n"
                                 "      width: {type: integer, min: 1, max: 9, required: true}\n"
                                 "      fit: {type: string, choices: [in, out]}\n"
                                 "      tags: {type: list, items: integer}\n"));
    args = world.table.declared[0]->args;
    bound = arena_zalloc(&arena, args->struct_bytes);
    EXPECT_OK(schema_decode_text(
        &arena, args, str_from_c("{\"width\":3,\"fit\":\"in\",\"tags\":[1,2]}"), bound, NULL));
    EXPECT_ERR(schema_decode_text(&arena, args, str_from_c("{\"width\":10}"), bound, NULL),
               -ERR_INVALID, "width: must be");
    EXPECT_ERR(schema_decode_text(&arena, args, str_from_c("{}"), bound, NULL), -ERR_INVALID,
               "width");
    EXPECT_ERR(
        schema_decode_text(&arena, args, str_from_c("{\"width\":1,\"fit\":\"up\"}"), bound, NULL),
        -ERR_INVALID, "fit");
    arena_deinit(&world.arena);
}

TEST_MAIN()
