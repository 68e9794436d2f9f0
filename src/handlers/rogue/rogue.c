/*
 * rogue: tries what no handler in a box may do, and says how far it came.
 *
 * For tests. It calls the kernel directly, because hostile code would, too. What it tries and the
 * kernel refuses comes back as the name of the error; what it gets done comes back as "done", which
 * a test takes for a hole in the wall. Some of its acts have no answer: it crashes, loops, or eats
 * all memory.
 */
#include <sluice/handler.h>

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t) 16 << 20)
#define DEPTH_BYTES 16384
#define FILES       64
#define BOMB_TRIES  10000
#define FLOOD_LINES 100000
#define HUGE_BYTES  ((size_t) 80 << 20)

typedef struct RogueArgs {
    int act;
    Str data;
    int64_t mib;
    int64_t ms;
} RogueArgs;

#define ROGUE_ACTS(X)     \
    X(ECHO, "echo")       \
    X(COPY, "copy")       \
    X(RESERVE, "reserve") \
    X(HOLD, "hold")       \
    X(RETURN, "return")   \
    X(TALK, "talk")       \
    X(FAIL, "fail")       \
    X(OPEN, "open")       \
    X(SOCKET, "socket")   \
    X(FORK, "fork")       \
    X(EXEC, "exec")       \
    X(PTRACE, "ptrace")   \
    X(KILL, "kill")       \
    X(LIMIT, "limit")     \
    X(SHRINK, "shrink")   \
    X(MEMORY, "memory")   \
    X(STACK, "stack")     \
    X(LOOP, "loop")       \
    X(WAIT, "wait")       \
    X(BOMB, "bomb")       \
    X(FLOOD, "flood")     \
    X(HUGE, "huge")       \
    X(CORE, "core")       \
    X(CRASH, "crash")     \
    X(ABORT, "abort")     \
    X(EXIT, "exit")

enum {
#define X(name, text) ACT_##name,
    ROGUE_ACTS(X)
#undef X
};

static const char *const act_names[] = {
#define X(name, text) text,
    ROGUE_ACTS(X)
#undef X
        NULL,
};

static const SchemaField rogue_fields[] = {
    FIELD_ENUM(RogueArgs, act, act_names, "what to try", .default_text = "echo", .positional = 1),
    FIELD_STR(RogueArgs, data, "what to echo"),
    FIELD_INT(RogueArgs, mib, "memory to reserve or to use", .range = RANGE(0, 1 << 20),
              .default_text = "0"),
    FIELD_INT(RogueArgs, ms, "how long to wait; 0 is for ever", .range = RANGE(0, 60000),
              .default_text = "0"),
};
static const Schema rogue_args = SCHEMA(RogueArgs, rogue_fields, "Arguments of rogue");

static void say(JsonWriter *result, long r)
{
    json_write_str(result, str_from_c(r >= 0 ? "done" : err_name(-errno)));
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* Signal 0 and the like ask for leave and do no harm where there is no wall. */
static long try_kill(void)
{
    long r = syscall(SYS_kill, getppid(), 0);

    return r == 0 ? r : syscall(SYS_tgkill, 1, 1, 0);
}

static long try_fork(void)
{
    long r = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (r == 0)
        _exit(0);
    return r;
}

/* Forks, and forks in each fork; how many came of it is all the same. */
static long try_bomb(void)
{
    long r = -1;

    for (int i = 0; i < BOMB_TRIES && r < 0; i++)
        r = try_fork();
    return r;
}

static long try_limit(void)
{
    const uint64_t none[2] = { UINT64_MAX, UINT64_MAX };

    return syscall(SYS_prlimit64, 0, 9 /* RLIMIT_AS */, none, NULL);
}

static long try_shrink(void)
{
    long r = -1;

    for (int fd = 0; fd < FILES && r < 0; fd++)
        r = syscall(SYS_ftruncate, fd, -1L);
    return r;
}

static long try_refused(int act)
{
    switch (act) {
    case ACT_OPEN: return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
    case ACT_SOCKET: return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    case ACT_FORK: return try_fork();
    case ACT_BOMB: return try_bomb();
    case ACT_EXEC: return syscall(SYS_execve, "", NULL, NULL);
    case ACT_PTRACE: return syscall(SYS_ptrace, PTRACE_ATTACH, 0, NULL, NULL);
    case ACT_KILL: return try_kill();
    case ACT_LIMIT: return try_limit();
    default: return try_shrink();
    }
}

/* ---- what ends it ---------------------------------------------------------------------------- */

/* Use MIB of memory, or all there is; how much that was. */
static int64_t eat(int64_t mib)
{
    int64_t eaten = 0;

    while (mib == 0 || eaten < mib) {
        unsigned char *piece = mem_try(PIECE_BYTES);

        if (!piece)
            break;
        for (size_t i = 0; i < PIECE_BYTES; i += 4096)
            piece[i] = 1;
        eaten += (int64_t) (PIECE_BYTES >> 20);
        if (mib == 0 || eaten < mib)
            continue;
        return eaten;
    }
    return eaten;
}

__attribute__((noinline)) static int descend(volatile char *from)
{
    volatile char here[1024];

    here[0] = *from;
    if (here[0] == 'x') /* always */
        here[1] = (char) descend(here);
    return here[1];
}

__attribute__((noreturn)) static void end(int act)
{
    volatile int *nowhere = NULL;
    volatile uint64_t turns = 0;

    (void) write(STDERR_FILENO, "farewell\n", 9);
    switch (act) {
    case ACT_CRASH: *nowhere = 1; break;
    case ACT_ABORT: abort();
    case ACT_CORE: (void) raise(SIGQUIT); break;
    case ACT_STACK: (void) descend((volatile char *) "x"); break;
    case ACT_EXIT: _exit(3);
    default: break;
    }
    for (;;)
        turns = turns + 1;
}

/* ---- the handler ----------------------------------------------------------------------------- */

static int copy(Task *task, JsonWriter *result)
{
    unsigned char *room;
    int r = task_output(task, "copy",
                        task->input.media_type ? task->input.media_type : "text/plain",
                        task->input.bytes.len, &room);

    if (r < 0)
        return r;
    if (task->input.bytes.len)
        memcpy(room, task->input.bytes.data, task->input.bytes.len);
    json_write_i64(result, (int64_t) task->input.bytes.len);
    return 0;
}

static int talk(Task *task, JsonWriter *result)
{
    for (int i = 0; i < 3000; i++) {
        task_log(task, (Str) STR("a line"));
        task_progress(task, i / 3000.0, (Str) STR("talking"));
    }
    task_progress(task, 1, (Str) STR("said all"));
    json_write_i64(result, 3000);
    return 0;
}

/* Talk on stderr as fast as it goes. */
static void flood(JsonWriter *result)
{
    int64_t said = 0;

    for (int i = 0; i < FLOOD_LINES; i++)
        said += write(STDERR_FILENO, "a flood of words\n", 17) > 0;
    json_write_bool(result, said > 0);
}

/* Do nothing for so long, or for ever. */
static void doze(int64_t ms, JsonWriter *result)
{
    const struct timespec time = { ms / MS_PER_S, ms % MS_PER_S * NS_PER_MS };

    (void) syscall(SYS_ppoll, NULL, 0, ms ? &time : NULL, NULL, 0);
    json_write_bool(result, true);
}

/* A result that is larger than any may be. */
static int write_huge(JsonWriter *result)
{
    char *text = mem_try(HUGE_BYTES);

    if (!text)
        return fail(-ENOMEM, "no memory for a huge result");
    memset(text, 'x', HUGE_BYTES);
    json_write_str(result, str_from(text, HUGE_BYTES));
    mem_free(text);
    return 0;
}

static int rogue_run(Task *task, const void *bound, JsonWriter *result)
{
    const RogueArgs *args = bound;
    int r;

    switch (args->act) {
    case ACT_ECHO: json_write_str(result, args->data); return 0;
    case ACT_COPY: return copy(task, result);
    case ACT_TALK: return talk(task, result);
    case ACT_FAIL: return task_fail(task, "rogue_failed", "it failed as it was told");
    case ACT_RESERVE:
        r = task_reserve(task, args->mib << 20);
        json_write_bool(result, r == 0);
        return r;
    case ACT_HOLD:
    case ACT_RETURN:
        r = task_reserve(task, args->mib << 20);
        if (r < 0)
            return r;
        if (args->act == ACT_RETURN)
            task_give_back(task, args->mib << 20);
        task_log(task, (Str) STR("a line")); /* from here on it does nothing for ever */
        end(ACT_LOOP);
    case ACT_MEMORY: json_write_i64(result, eat(args->mib)); return 0;
    case ACT_FLOOD: flood(result); return 0;
    case ACT_HUGE: return write_huge(result);
    case ACT_WAIT: doze(args->ms, result); return 0;
    case ACT_LOOP:
    case ACT_CORE:
    case ACT_CRASH:
    case ACT_ABORT:
    case ACT_STACK:
    case ACT_EXIT: end(args->act);
    default: say(result, try_refused(args->act)); return 0;
    }
}

extern const Handler handler_rogue;
const Handler handler_rogue = {
    .type = "rogue",
    .summary = "Tries to break out of its box.",
    .args = &rogue_args,
    .cost = HANDLER_BOX,
    .timeout_ms = 30000,
    .is_for_tests = true,
    .takes_body = true,
    .run = rogue_run,
};
