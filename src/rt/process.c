/*
 * Child processes.
 *
 * A child is made by posix_spawn on a pool thread, because the parent's thread stands still until
 * the child has reached its program (half a millisecond with a warm cache, a disk's time without).
 * It leads a process group of its own and has descriptors 0, 1 and 2 and no others. The parent
 * holds a pidfd, which becomes readable when the child has ended, so that waiting for a child is
 * waiting for a descriptor like any other.
 *
 *   I1  The child stays a zombie until sl_process_close reaps it. Until then neither its pid
 *       nor its group's id can belong to anybody else, and signals never reach a stranger.
 *   I2  Descriptors meant for the child are above 2 here, so that moving them to 0, 1, 2 in the
 *       child never overwrites one that is still to be moved.
 *   I3  A signal goes by pidfd, to a group too; where the kernel has no such thing for groups
 *       (before Linux 6.9) by number, after a look whether the child is there. So no stranger is
 *       hit even where somebody else breaks I1: a program that ignores SIGCHLD has its children
 *       reaped by the kernel.
 *
 * How a child ended is read with WNOWAIT, which leaves the zombie where it is. Close kills the
 * whole group before it reaps, also when the child itself has ended: grandchildren that it left
 * behind in its group end with it. A child may leave its group for that of a child of its own; a
 * signal to the group is a signal to it all the same.
 */
#include <sluice/rt/process.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "rt/sim.h"
#include <sluice/rt/fiber.h>
#include <sluice/rt/io.h>
#include <sluice/rt/offload.h>
#include <sluice/rt/scope.h>

#define PROCESS_TAG TAG_OF('P', 'R', 'O', 'C')
#define CLOSE_SHIELD_MS \
    1000 /* one round of waiting for a killed child; it is repeated until the child has ended */

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1U << 2)
#endif

struct sl_process {
    uint32_t tag;
    pid_t pid;
    int pidfd;
    int pipes[3];   /* our ends; -1 where there is none */
    bool has_ended; /* exit is known; the zombie is still there (I1) */
    sl_exit exit;
};

/* What the pool thread needs to make the child. */
typedef struct Spawn {
    const char *const *argv;
    const sl_process_opts *opts;
    enum sl_stdio stdio[3];
    int child_ends[3]; /* descriptors that become 0, 1, 2; -1 for none */
    int our_ends[3];
    pid_t pid;
    int pidfd;
} Spawn;

static void close_fds(int fds[3])
{
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0)
            (void) close(fds[i]); /* pipes: nothing to lose */
        fds[i] = -1;
    }
}

/* Move *FD above 2 if it is not there already (I2). 0 or an error; *FD stays owned by the caller.
 */
static int move_above_stdio(int *fd)
{
    int moved;

    if (*fd > 2)
        return 0;
    moved = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    if (moved < 0)
        return fail_errno("make a pipe");
    (void) close(*fd); /* the copy lives on */
    *fd = moved;
    return 0;
}

/* A pipe for descriptor INDEX of the child; our end does not block. */
static int open_pipe(Spawn *spawn, int index)
{
    bool is_input = index == 0;
    int ends[2];
    int r;

    if (spawn->stdio[index] == SL_STDIO_SOCKET)
        r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
    else
        r = pipe2(ends, O_CLOEXEC);
    if (r != 0)
        return fail_errno("make a pipe");
    spawn->child_ends[index] = ends[is_input ? 0 : 1];
    spawn->our_ends[index] = ends[is_input ? 1 : 0];

    r = move_above_stdio(&spawn->child_ends[index]);
    if (r == 0)
        r = move_above_stdio(&spawn->our_ends[index]);
    if (r == 0 && fcntl(spawn->our_ends[index], F_SETFL, O_NONBLOCK) != 0)
        r = fail_errno("make a pipe");
    return r;
}

/* Say what becomes descriptor INDEX of the child. 0 or an error number. */
static int add_stdio(posix_spawn_file_actions_t *actions, const Spawn *spawn, int index)
{
    switch (spawn->stdio[index]) {
    case SL_STDIO_NULL:
        return posix_spawn_file_actions_addopen(actions, index, "/dev/null", O_RDWR, 0);
    case SL_STDIO_PIPE:
    case SL_STDIO_SOCKET:
        return posix_spawn_file_actions_adddup2(actions, spawn->child_ends[index], index);
    case SL_STDIO_INHERIT:
        /* To itself: clears close-on-exec. What is closed here stays closed there. */
        return fcntl(index, F_GETFD) < 0 ? 0
                                         : posix_spawn_file_actions_adddup2(actions, index, index);
    case SL_STDIO_MERGE: return posix_spawn_file_actions_adddup2(actions, 1, 2);
    }
    UNREACHABLE("stdio is checked at the door");
}

static int add_actions(posix_spawn_file_actions_t *actions, const Spawn *spawn)
{
    int code = 0;

    for (int i = 0; i < 3 && code == 0; i++)
        code = add_stdio(actions, spawn, i);
    if (code == 0 && spawn->opts->cwd)
        code = posix_spawn_file_actions_addchdir_np(actions, spawn->opts->cwd);
    if (code == 0)
        code = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    return code;
}

/* A group of its own, no signal blocked, every signal at its default. */
static void set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;

    (void) sigemptyset(&none);
    (void) sigfillset(&all);
    (void) posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    (void) posix_spawnattr_setpgroup(attr, 0);
    (void) posix_spawnattr_setsigmask(attr, &none);
    (void) posix_spawnattr_setsigdefault(attr, &all);
}

static int fail_spawn(const Spawn *spawn, int code)
{
    const char *cwd = spawn->opts->cwd;

    if (cwd && access(cwd, X_OK) != 0)
        return fail(-code, "start %s in folder %s: %s", spawn->argv[0], cwd, err_sentence(-code));
    if (code == ENOENT && !cwd && strchr(spawn->argv[0], '/') && access(spawn->argv[0], F_OK) == 0)
        return fail(-code, "start %s: the interpreter that its first line names is not there",
                    spawn->argv[0]);
    return fail(-code, "start %s: %s", spawn->argv[0], err_sentence(-code));
}

static int limit_one(pid_t pid, int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit limit = { .rlim_cur = (rlim_t) soft, .rlim_max = (rlim_t) hard };

    if (soft == 0)
        return 0;
    return prlimit(pid, (enum __rlimit_resource) resource, &limit, NULL) == 0
               ? 0
               : fail_errno("limit process %d", (int) pid);
}

/* Bound the child, which has only begun to load its program. */
static int limit_child(pid_t pid, const sl_process_limits *limits)
{
    uint64_t cpu = (uint64_t) limits->cpu_seconds;
    int r;

    r = limit_one(pid, RLIMIT_AS, limits->memory_bytes, limits->memory_bytes);
    if (r == 0)
        r = limit_one(pid, RLIMIT_CPU, cpu, cpu + 1);
    if (r == 0)
        r = limit_one(pid, RLIMIT_NOFILE, limits->files, limits->files);
    if (r == 0 && limits->nice != 0 &&
        setpriority(PRIO_PROCESS, (id_t) pid, getpriority(PRIO_PROCESS, 0) + limits->nice) != 0)
        r = fail_errno("lower the priority of process %d", (int) pid);
    return r;
}

/* On a pool thread: make the child and its pidfd. */
static int spawn_child(void *arg)
{
    Spawn *spawn = arg;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    char *const *env = (char *const *) spawn->opts->env;
    int code, r;

    code = posix_spawn_file_actions_init(&actions);
    if (code != 0)
        return fail_spawn(spawn, code);
    (void) posix_spawnattr_init(&attr);
    set_attributes(&attr);
    code = add_actions(&actions, spawn);
    if (code == 0)
        code = posix_spawnp(&spawn->pid, spawn->argv[0], &actions, &attr,
                            (char *const *) spawn->argv, env ? env : environ);
    (void) posix_spawnattr_destroy(&attr);
    (void) posix_spawn_file_actions_destroy(&actions);
    if (code != 0)
        return fail_spawn(spawn, code);

    spawn->pidfd = (int) syscall(SYS_pidfd_open, spawn->pid, 0);
    r = spawn->pidfd < 0 ? fail_errno("watch process %d", (int) spawn->pid)
                         : limit_child(spawn->pid, &spawn->opts->limits);
    if (r < 0) {
        (void) kill(-spawn->pid, SIGKILL); /* not reaped yet: the group is ours (I1) */
        (void) waitpid(spawn->pid, NULL, 0);
        if (spawn->pidfd >= 0)
            (void) close(spawn->pidfd);
    }
    return r;
}

int sl_process_start_with(sl_process **ret_process, const char *const *argv,
                          const sl_process_opts *opts)
{
    Spawn spawn = {
        .argv = argv,
        .opts = opts,
        .stdio = { opts->stdin_as, opts->stdout_as, opts->stderr_as },
        .child_ends = { -1, -1, -1 },
        .our_ends = { -1, -1, -1 },
        .pidfd = -1,
    };
    sl_process *process;
    int r = 0;

    ASSERT(ret_process && argv && argv[0]);
    ASSERT(opts->stdin_as != SL_STDIO_MERGE && opts->stdout_as != SL_STDIO_MERGE);
    ASSERT(opts->stdout_as != SL_STDIO_SOCKET && opts->stderr_as != SL_STDIO_SOCKET);
    if (sl_sim_is_on())
        return fail(-ERR_UNSUPPORTED, "the simulated loop starts no processes");

    for (int i = 0; i < 3 && r == 0; i++) {
        if (spawn.stdio[i] == SL_STDIO_PIPE || spawn.stdio[i] == SL_STDIO_SOCKET)
            r = open_pipe(&spawn, i);
    }
    if (r == 0)
        r = sl_offload(spawn_child, &spawn, .name = "spawn");
    close_fds(spawn.child_ends);
    if (r < 0) {
        close_fds(spawn.our_ends);
        return r;
    }

    process = mem_new(sl_process);
    *process = (sl_process){ .tag = PROCESS_TAG, .pid = spawn.pid, .pidfd = spawn.pidfd };
    for (int i = 0; i < 3; i++)
        process->pipes[i] = spawn.our_ends[i];
    *ret_process = process;
    return 0;
}

pid_t sl_process_pid(const sl_process *process)
{
    return process->pid;
}

int sl_process_stdin(const sl_process *process)
{
    return process->pipes[0];
}

int sl_process_stdout(const sl_process *process)
{
    return process->pipes[1];
}

int sl_process_stderr(const sl_process *process)
{
    return process->pipes[2];
}

void sl_process_close_stdin(sl_process *process)
{
    sl_fd_close(process->pipes[0]);
    process->pipes[0] = -1;
}

/* See whether the child has ended, without waiting and without reaping. 0, or an error when it is
 * no child of ours. */
static int look(sl_process *process)
{
    siginfo_t info = { 0 };

    if (process->has_ended)
        return 0;
    if (waitid(P_PIDFD, (id_t) process->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return fail_errno("wait for process %d", (int) process->pid);
    if (info.si_pid == 0)
        return 0;
    process->has_ended = true;
    process->exit.code = info.si_code == CLD_EXITED ? info.si_status : -1;
    process->exit.signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    return 0;
}

int sl_process_wait(sl_process *process, sl_exit *ret_exit)
{
    int r;

    ASSERT(process->tag == PROCESS_TAG);
    if (process->has_ended) {
        r = sl_checkpoint();
        if (r < 0)
            return r;
    }
    while (!process->has_ended) {
        r = sl_fd_wait(process->pidfd, SL_FD_READ, NULL);
        if (r < 0)
            return r;
        r = look(process);
        if (r < 0)
            return r;
    }
    if (ret_exit)
        *ret_exit = process->exit;
    return 0;
}

static int signal_child(const sl_process *process, int signal)
{
    if (syscall(SYS_pidfd_send_signal, process->pidfd, signal, NULL, 0) != 0)
        return fail_errno("send signal %d to process %d", signal, (int) process->pid);
    return 0;
}

int sl_process_kill(sl_process *process, int signal)
{
    ASSERT(process->tag == PROCESS_TAG);
    if (look(process) == 0 && process->has_ended)
        return fail(-ESRCH, "process %d has ended", (int) process->pid);
    return signal_child(process, signal);
}

/* To everybody in the group that the child was given (I3). */
static int signal_group(sl_process *process, int signal)
{
    int r;

    if (syscall(SYS_pidfd_send_signal, process->pidfd, signal, NULL, PIDFD_SIGNAL_PROCESS_GROUP) ==
        0)
        return 0;
    if (errno == EINVAL) { /* the kernel does not know how */
        r = look(process);
        if (r < 0)
            return r;
        if (kill(-process->pid, signal) == 0) /* I1 */
            return 0;
    }
    return fail_errno("send signal %d to process group %d", signal, (int) process->pid);
}

int sl_process_kill_group(sl_process *process, int signal)
{
    int r;

    ASSERT(process->tag == PROCESS_TAG);
    r = signal_group(process, signal);
    if (look(process) == 0 && process->has_ended)
        return fail(-ESRCH, "process %d has ended", (int) process->pid);
    if (getpgid(process->pid) != process->pid) /* it has left for another group */
        r = signal_child(process, signal);
    return r;
}

/* Wait until a killed child has ended, whatever happens to the fiber meanwhile. */
SUSPENDS static void wait_for_end(sl_process *process)
{
    while (!process->has_ended) {
        sl_scope shield;
        int r;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = CLOSE_SHIELD_MS);
        r = sl_process_wait(process, NULL);
        r = sl_scope_end(&shield, r);
        if (r < 0 && r != -ETIMEDOUT)
            break; /* no child of ours any more, or no memory to wait: reaping waits instead */
    }
}

void sl_process_close(sl_process *process)
{
    if (!process)
        return;
    ASSERT(process->tag == PROCESS_TAG);
    for (int i = 0; i < 3; i++)
        sl_fd_close(process->pipes[i]);
    (void) signal_group(process, SIGKILL); /* fails when the last of them is gone */
    (void) signal_child(process, SIGKILL); /* it may have left the group */
    wait_for_end(process);
    (void) waitid(P_PIDFD, (id_t) process->pidfd, &(siginfo_t){ 0 },
                  WEXITED); /* ECHILD: somebody ignores SIGCHLD */
    sl_fd_close(process->pidfd);
    process->tag = 0;
    mem_free(process);
}
