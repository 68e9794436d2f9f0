/*
 * The process that makes boxes.
 *
 * It is this program, started again, so that it has no threads, no descriptors and no memory of the
 * engine; of the environment it gets what libraries read (box_start.c). It enters the namespaces
 * that all boxes share, forks whenever the engine asks, and tells how each box ended. In a process
 * namespace the first process must live as long as the namespace, so the one that answers is a
 * child of the one that was started.
 *
 * It ends when its socket does, and every box with it (PR_SET_PDEATHSIG), so that an engine that
 * is killed leaves nothing behind.
 */
#include "worker/box.h"

#include "base/err.h"
#include "base/mem.h"
#include "worker/box_inside_int.h"
#include "worker/box_sandbox_int.h"
#include "worker/box_wire_int.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPAWNER_BOXES 1024 /* at once; the engine asks for far fewer */

typedef struct SpawnerBox {
    pid_t pid; /* 0: free */
    uint32_t id;
} SpawnerBox;

typedef struct Spawner {
    const Handler *const *handlers;
    size_t n_handlers;
    uint32_t missing;
    bool has_preloaded;
    pid_t pid; /* its own */
    int socket;
    int children; /* signalfd of SIGCHLD */
    SpawnerBox boxes[SPAWNER_BOXES];
} Spawner;

static void tell(const Spawner *spawner, SpawnKind kind, uint32_t id, int status)
{
    SpawnMessage message = { .kind = kind, .id = id, .status = status };

    (void) send(spawner->socket, &message, sizeof(message), MSG_NOSIGNAL); /* else it has gone */
}

/* ---- a box ----------------------------------------------------------------------------------- */

static void unblock_all(void)
{
    sigset_t none;

    (void) sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. */
static int become_box(const Spawner *spawner, const SpawnMessage *asked, const int fds[SPAWN_FDS])
{
    BoxInsideOpts opts = { .handlers = spawner->handlers,
                           .n_handlers = spawner->n_handlers,
                           .socket = fds[SPAWN_FD_SOCKET],
                           .input = fds[SPAWN_FD_INPUT],
                           .output = fds[SPAWN_FD_OUTPUT],
                           .missing = spawner->missing,
                           .memory_bytes = asked->memory_bytes };

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) prctl(PR_SET_NAME, "sluice-box");
    if (getppid() != spawner->pid)
        return 1; /* it has gone already */
    unblock_all();
    (void) close(spawner->children);
    (void) close(spawner->socket);
    if (dup2(fds[SPAWN_FD_WORDS], STDERR_FILENO) < 0)
        return 1;
    (void) close(fds[SPAWN_FD_WORDS]);
    (void) dup2(STDERR_FILENO, STDOUT_FILENO); /* what a library prints is talk */
    return box_inside_main(&opts);
}

/* What boxes would each load for themselves: they are forked from here, and find it. */
static void preload(Spawner *spawner)
{
    for (size_t i = 0; i < spawner->n_handlers && !spawner->has_preloaded; i++) {
        const Handler *handler = spawner->handlers[i];
        int r = handler->cost == HANDLER_BOX && handler->preload ? handler->preload() : 0;

        if (r < 0)
            err_take(r, NULL); /* its `prepare`, or its run, tells */
    }
    spawner->has_preloaded = true;
}

static void start_box(Spawner *spawner, const SpawnMessage *asked, const int fds[SPAWN_FDS])
{
    SpawnerBox *box = NULL;
    pid_t pid;

    for (size_t i = 0; i < SPAWNER_BOXES && !box; i++)
        box = spawner->boxes[i].pid == 0 ? &spawner->boxes[i] : NULL;
    if (!box)
        return tell(spawner, SPAWN_FAILED, asked->id, EAGAIN);
    if (asked->does_preload)
        preload(spawner);
    pid = fork();
    if (pid == 0)
        _exit(become_box(spawner, asked, fds));
    if (pid < 0)
        return tell(spawner, SPAWN_FAILED, asked->id, errno);
    *box = (SpawnerBox){ .pid = pid, .id = asked->id };
}

static void kill_box(Spawner *spawner, uint32_t id)
{
    for (size_t i = 0; i < SPAWNER_BOXES; i++) {
        if (spawner->boxes[i].pid > 0 && spawner->boxes[i].id == id)
            (void) kill(spawner->boxes[i].pid, SIGKILL); /* not reaped yet: it is ours */
    }
}

static void reap(Spawner *spawner)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    (void) read(spawner->children, &info, sizeof(info)); /* one for any number of them */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < SPAWNER_BOXES; i++) {
            SpawnerBox *box = &spawner->boxes[i];

            if (box->pid != pid)
                continue;
            tell(spawner, SPAWN_ENDED, box->id, status);
            *box = (SpawnerBox){ 0 };
        }
    }
}

/* ---- the engine's words ---------------------------------------------------------------------- */

/* A message, and the descriptors that came with it (-1 for none). False at the end. */
static bool receive(const Spawner *spawner, SpawnMessage *ret_message, int fds[SPAWN_FDS])
{
    struct iovec bytes = { ret_message, sizeof(*ret_message) };
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(SPAWN_FDS * sizeof(int))];
    } control;
    struct msghdr message = { .msg_iov = &bytes,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };
    struct cmsghdr *head;
    ssize_t n;

    for (size_t i = 0; i < SPAWN_FDS; i++)
        fds[i] = -1;
    do {
        n = recvmsg(spawner->socket, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t) sizeof(*ret_message))
        return false;
    head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(SPAWN_FDS * sizeof(int)))
        memcpy(fds, CMSG_DATA(head), SPAWN_FDS * sizeof(int));
    return true;
}

static bool obey(Spawner *spawner)
{
    SpawnMessage message;
    int fds[SPAWN_FDS];

    if (!receive(spawner, &message, fds))
        return false;
    if (message.kind == SPAWN_START && fds[0] >= 0)
        start_box(spawner, &message, fds);
    else if (message.kind == SPAWN_KILL)
        kill_box(spawner, message.id);
    for (size_t i = 0; i < SPAWN_FDS; i++) {
        if (fds[i] >= 0)
            (void) close(fds[i]);
    }
    return true;
}

static int serve(Spawner *spawner)
{
    struct pollfd fds[2];
    sigset_t signals;

    spawner->pid = getpid();
    (void) sigemptyset(&signals);
    (void) sigaddset(&signals, SIGCHLD);
    (void) sigprocmask(SIG_BLOCK, &signals, NULL);
    spawner->children = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (spawner->children < 0)
        return 1;
    fds[0] = (struct pollfd){ .fd = spawner->socket, .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = spawner->children, .events = POLLIN };
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 1;
        if (fds[1].revents)
            reap(spawner);
        if (fds[0].revents && !obey(spawner))
            return 0;
    }
}

/* As the first process of a namespace: SIGKILL ends it, from outside, and nothing else. */
static int serve_in_child(Spawner *spawner)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        return serve(spawner);
    }
    (void) close(spawner->socket); /* or the engine would not see it end */
    if (pid < 0)
        return 1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return 0;
}

int box_spawner_main(const Handler *const *handlers, size_t n_handlers)
{
    Spawner *spawner = mem_new(Spawner); /* as long as the process */

    spawner->handlers = handlers;
    spawner->n_handlers = n_handlers;
    spawner->socket = STDIN_FILENO;
    (void) prctl(PR_SET_NAME, "sluice-boxes");
    spawner->missing = sandbox_enter();
    if (spawner->missing & BOX_WALL_BIT(PID))
        return serve(spawner);
    return serve_in_child(spawner);
}
