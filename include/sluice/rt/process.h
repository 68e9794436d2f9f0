/*
 * Child processes, by pidfd, and signals.
 *
 * A child is started without a shell, in a process group of its own, with every descriptor closed
 * but those given. The fiber that started it waits for it; there is no orphan: sl_process_close
 * kills the group and reaps.
 */
#pragma once

#include <sluice/rt/run.h>

#include <stdbool.h>
#include <sys/types.h>

SL_BEGIN_DECLS

typedef struct sl_process sl_process;

enum sl_stdio {
    SL_STDIO_NULL = 0,
    SL_STDIO_PIPE = 1,
    SL_STDIO_INHERIT = 2,
    SL_STDIO_MERGE = 3, /* stderr only: as stdout */
    SL_STDIO_SOCKET = 4 /* stdin only: one end of a socket pair that keeps messages apart, for both
                           ways; the other end is sl_process_stdin */
};

/* Bounds that the kernel keeps for a child and each of its children; zero means the parent's. */
typedef struct sl_process_limits {
    uint64_t memory_bytes; /* of address space, each process: an allocation beyond it fails */
    int64_t cpu_seconds;   /* of processor time, each process: SIGXCPU, a second later SIGKILL */
    uint64_t files;        /* open at once, each process */
    int nice;              /* added to the parent's niceness, 0 to 19 */
} sl_process_limits;

typedef struct sl_process_opts {
    size_t size;            /* filled by the macro */
    const char *const *env; /* NULL-terminated; NULL means the parent's */
    const char *cwd;        /* NULL means the parent's */
    enum sl_stdio stdin_as; /* default: /dev/null */
    enum sl_stdio stdout_as;
    enum sl_stdio stderr_as;
    sl_process_limits limits; /* set right after the start, while the program is still loading */
} sl_process_opts;

/* How a child ended. */
typedef struct sl_exit {
    int code;   /* exit code; -1 when killed */
    int signal; /* the signal that killed it; 0 otherwise */
} sl_exit;

/* Start ARGV (NULL-terminated, argv[0] looked up in PATH). 0 and a process to close; -ENOENT and
 * the like otherwise. */
#define sl_process_start(ret, argv, ...) \
    sl_process_start_with((ret), (argv), \
                          &(sl_process_opts){ .size = sizeof(sl_process_opts), ##__VA_ARGS__ })
SL_API SL_MUST SL_SUSPENDS int sl_process_start_with(sl_process **ret_process,
                                                     const char *const *argv,
                                                     const sl_process_opts *opts);

SL_API pid_t sl_process_pid(const sl_process *process); /* also the id of its group */

/* Our ends of its pipes, non-blocking, for sl_fd_*; -1 where there is none. The process owns them;
 * close_stdin ends input. */
SL_API int sl_process_stdin(const sl_process *process);
SL_API int sl_process_stdout(const sl_process *process);
SL_API int sl_process_stderr(const sl_process *process);
SL_API void sl_process_close_stdin(sl_process *process);

/* Wait for its end. 0 and *ret_exit (may be NULL), or -ECANCELED while it goes on. May be called
 * again. */
SL_API SL_MUST SL_SUSPENDS int sl_process_wait(sl_process *process, sl_exit *ret_exit);

/* Send SIGNAL to the process, or to its whole group. 0, or -ESRCH when it has ended. */
SL_API int sl_process_kill(sl_process *process, int signal);
SL_API int sl_process_kill_group(sl_process *process, int signal);

/* Kill the group if it still runs, reap, close, free. NULL is nothing. */
SL_API SL_SUSPENDS void sl_process_close(sl_process *process);
SL_SUSPENDS static inline void sl_process_close_auto_(sl_process **slot)
{
    sl_process_close(*slot);
}

/*
 * Wait for one of the signals in SIGNALS (a bit mask, 1 << SIGTERM | …); *ret_signal tells which.
 * From the first wait for a signal until the runtime ends the runtime catches it, in whatever
 * thread it arrives, and gives it to the fibers that wait, each delivery to one of them; a delivery
 * between two waits is kept. Loop 0 only. 0, -ECANCELED, or -EINVAL for one that cannot be caught.
 */
SL_API SL_MUST SL_SUSPENDS int sl_signal_wait(uint64_t signals, int *ret_signal);

SL_END_DECLS
