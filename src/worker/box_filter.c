/*
 * The filter of system calls: what a shut box may still ask the kernel for.
 *
 * An allow-list of memory, threads, time and the descriptors that are open already; whatever else
 * is asked for fails with EPERM, so that a library that would like to open a file hears that there
 * is none and goes on. A few calls are looked at more closely:
 *
 *   clone        threads only; clone3 does not exist (ENOSYS): a filter cannot see its flags
 *   prlimit64    its own limits, to read, and its own processor time, to set
 *   tgkill       itself: how abort() works
 *   prctl        the name of a thread
 *   sendto       without an address
 *
 * The program is a row of comparisons that the kernel turns into a bit map when it is installed
 * (Linux 5.11), so its length costs nothing. A library for it would bring a build without boxes;
 * sixty numbers do not need one (docs/adr/0010-boxes.md).
 */
#include "worker/box_sandbox_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#error "the filter knows x86-64 and aarch64"
#endif

#define FILTER_STEPS 160
#define AT_NUMBER    ((uint32_t) offsetof(struct seccomp_data, nr))
#define AT_ARCH      ((uint32_t) offsetof(struct seccomp_data, arch))
#define AT_ARG(i)    ((uint32_t) (offsetof(struct seccomp_data, args) + 8 * (i)))
#define AT_HIGH(i)   (AT_ARG(i) + 4) /* both machines are little-endian */

/* Allowed as they come. The frequent ones first. */
static const int allowed_calls[] = {
    __NR_recvfrom,
    __NR_futex,
    __NR_read,
    __NR_pread64,
    __NR_mmap,
    __NR_munmap,
    __NR_mprotect,
    __NR_mremap,
    __NR_madvise,
    __NR_brk,
    __NR_write,
    __NR_writev,
    __NR_close,
    __NR_lseek,
    __NR_fstat,
    __NR_ppoll,
    __NR_clock_gettime,
    __NR_clock_getres,
    __NR_clock_nanosleep,
    __NR_nanosleep,
    __NR_gettimeofday,
    __NR_getrandom,
    __NR_getrusage,
    __NR_getpid,
    __NR_gettid,
    __NR_getuid,
    __NR_geteuid,
    __NR_getgid,
    __NR_getegid,
    __NR_getcpu,
    __NR_sched_yield,
    __NR_sched_getaffinity,
    __NR_set_robust_list,
    __NR_rt_sigaction,
    __NR_rt_sigprocmask,
    __NR_rt_sigreturn,
    __NR_sigaltstack,
    __NR_restart_syscall,
    __NR_membarrier,
    __NR_eventfd2,
    __NR_sysinfo,
    __NR_uname,
    __NR_exit,
    __NR_exit_group,
#ifdef __NR_rseq
    __NR_rseq,
#endif
#ifdef __NR_time
    __NR_time,
#endif
#ifdef __NR_poll
    __NR_poll,
#endif
};

typedef struct Filter {
    struct sock_filter steps[FILTER_STEPS];
    unsigned short n;
} Filter;

static void add(Filter *filter, struct sock_filter step)
{
    ASSERT(filter->n < FILTER_STEPS);
    filter->steps[filter->n++] = step;
}

static void load(Filter *filter, uint32_t at)
{
    add(filter, (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at));
}

static void answer(Filter *filter, uint32_t verdict)
{
    add(filter, (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, verdict));
}

/* Go on with the next step when what was loaded is VALUE; otherwise leave SKIP steps out. */
static void only_if(Filter *filter, uint32_t value, uint8_t skip)
{
    add(filter, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

static void refuse(Filter *filter)
{
    answer(filter, SECCOMP_RET_ERRNO | EPERM);
}

static void add_threads(Filter *filter)
{
    only_if(filter, __NR_clone3, 1);
    answer(filter, SECCOMP_RET_ERRNO | ENOSYS);
    only_if(filter, __NR_clone, 4);
    load(filter, AT_ARG(0));
    add(filter, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1));
    answer(filter, SECCOMP_RET_ALLOW);
    refuse(filter);
}

/* prlimit64(0, which, new, old): its own; RLIMIT_CPU, or without NEW. */
static void add_limits(Filter *filter)
{
    only_if(filter, __NR_prlimit64, 11);
    load(filter, AT_ARG(0));
    only_if(filter, 0, 8);
    load(filter, AT_ARG(1));
    only_if(filter, RLIMIT_CPU, 1);
    answer(filter, SECCOMP_RET_ALLOW);
    load(filter, AT_ARG(2));
    only_if(filter, 0, 3);
    load(filter, AT_HIGH(2));
    only_if(filter, 0, 1);
    answer(filter, SECCOMP_RET_ALLOW);
    refuse(filter);
}

/* A call whose argument INDEX must be VALUE. */
static void add_with(Filter *filter, int number, unsigned index, uint32_t value)
{
    only_if(filter, (uint32_t) number, 4);
    load(filter, AT_ARG(index));
    only_if(filter, value, 1);
    answer(filter, SECCOMP_RET_ALLOW);
    refuse(filter);
}

/* sendto(fd, bytes, len, flags, address, …) without an address: both halves of it. */
static void add_send(Filter *filter)
{
    only_if(filter, __NR_sendto, 6);
    load(filter, AT_ARG(4));
    only_if(filter, 0, 3);
    load(filter, AT_HIGH(4));
    only_if(filter, 0, 1);
    answer(filter, SECCOMP_RET_ALLOW);
    refuse(filter);
}

static void build(Filter *filter)
{
    load(filter, AT_ARCH);
    add(filter, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0));
    answer(filter, SECCOMP_RET_KILL_PROCESS);
    load(filter, AT_NUMBER);
    add_send(filter);
    for (size_t i = 0; i < ARRAY_LEN(allowed_calls); i++) {
        only_if(filter, (uint32_t) allowed_calls[i], 1);
        answer(filter, SECCOMP_RET_ALLOW);
    }
    add_threads(filter);
    add_limits(filter);
    add_with(filter, __NR_tgkill, 0, (uint32_t) getpid());
    add_with(filter, __NR_prctl, 0, PR_SET_NAME);
    refuse(filter);
}

int sandbox_filter(void)
{
    Filter filter = { .n = 0 };
    struct sock_fprog program;

    build(&filter);
    program = (struct sock_fprog){ .len = filter.n, .filter = filter.steps };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        return fail_errno("install the filter of system calls");
    return 0;
}
