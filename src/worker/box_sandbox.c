/*
 * The walls of a box; see the header.
 *
 * As root the namespaces are made with root's own rights, and each box becomes nobody before it is
 * shut; as anybody else, or where root lacks those rights (containers), a user namespace comes
 * first, which gives them inside of it. The mount namespace of a box is made before its handlers
 * prepare and its root changed afterwards: pivot_root takes along every thread that they may have
 * started. The filter covers all threads too.
 */
#include "worker/box_sandbox_int.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY          65534
#define BOX_NICE        10
#define OOM_PREFERENCE  "800" /* of 1000: a box goes long before the engine does */
#define CAPABILITY_LAST 63

/* Sanitizers map terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return fail_errno("open %s", path);
    n = write(fd, text, strlen(text));
    (void) close(fd);
    return n < 0 ? fail_errno("write %s", path) : 0;
}

/* ---- namespaces ------------------------------------------------------------------------------ */

static int become_nobody(void)
{
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return fail_errno("become nobody");
    return 0;
}

/* A user namespace in which we are who we are, with all rights inside of it. */
static int enter_user(void)
{
    unsigned uid, gid;
    char text[64];
    int r;

    if (geteuid() == 0) {
        r = become_nobody();
        (void) prctl(PR_SET_DUMPABLE, 1); /* or /proc/self belongs to root */
        if (r < 0)
            return r;
    }
    uid = geteuid();
    gid = getegid();
    if (unshare(CLONE_NEWUSER) != 0)
        return fail_errno("user namespace");
    (void) write_text("/proc/self/setgroups", "deny"); /* older kernels have no such file */
    (void) snprintf(text, sizeof(text), "%u %u 1\n", gid, gid);
    r = write_text("/proc/self/gid_map", text);
    (void) snprintf(text, sizeof(text), "%u %u 1\n", uid, uid);
    return r < 0 ? r : write_text("/proc/self/uid_map", text);
}

/* Whether mounts can be made; those of the namespace we come from stay as they are. */
static bool enter_mount(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

uint32_t sandbox_enter(void)
{
    uint32_t missing = 0;
    bool is_root = geteuid() == 0;
    bool has_mounts = is_root && enter_mount();

    if (!has_mounts) {
        if (enter_user() < 0)
            missing |= BOX_WALL_BIT(USER);
        has_mounts = enter_mount();
    }
    if (!has_mounts)
        missing |= BOX_WALL_BIT(MOUNT);
    if (unshare(CLONE_NEWNET) != 0)
        missing |= BOX_WALL_BIT(NET);
    if (unshare(CLONE_NEWIPC) != 0 || unshare(CLONE_NEWUTS) != 0)
        missing |= BOX_WALL_BIT(IPC);
    if (unshare(CLONE_NEWPID) != 0)
        missing |= BOX_WALL_BIT(PID);
    return missing;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static bool limit(int which, uint64_t value)
{
    struct rlimit bound = { value, value };

    return setrlimit((__rlimit_resource_t) which, &bound) == 0;
}

uint32_t sandbox_limit(uint32_t missing)
{
    bool is_ok = limit(RLIMIT_CORE, 0) & limit(RLIMIT_MEMLOCK, 0) & limit(RLIMIT_MSGQUEUE, 0);

    errno = 0;
    if (nice(BOX_NICE) == -1 && errno != 0)
        is_ok = false;
    if (write_text("/proc/self/oom_score_adj", OOM_PREFERENCE) < 0)
        is_ok = false;
    if (!(missing & BOX_WALL_BIT(MOUNT)) && unshare(CLONE_NEWNS) != 0)
        missing |= BOX_WALL_BIT(MOUNT);
    return is_ok ? missing : missing | BOX_WALL_BIT(LIMITS);
}

/* Address space in use; 0 when it cannot be known. */
static uint64_t used_bytes(void)
{
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof(text) - 1) <= 0)
        text[0] = '\0';
    (void) close(fd);
    return strtoull(text, NULL, 10) * (uint64_t) sysconf(_SC_PAGESIZE);
}

static bool limit_memory(uint64_t used, uint64_t memory_bytes)
{
    if (IS_SANITIZED)
        return true;
    return used > 0 && limit(RLIMIT_AS, used + memory_bytes + LIMIT_BOX_HEADROOM_BYTES);
}

void sandbox_allow_cpu(int64_t seconds)
{
    struct rlimit bound;
    struct rusage used;

    if (getrusage(RUSAGE_SELF, &used) != 0 || getrlimit(RLIMIT_CPU, &bound) != 0)
        return; /* the engine's clock bounds it too */
    bound.rlim_cur = (rlim_t) (used.ru_utime.tv_sec + used.ru_stime.tv_sec + 2 + seconds);
    if (bound.rlim_cur > bound.rlim_max)
        bound.rlim_cur = bound.rlim_max;
    (void) setrlimit(RLIMIT_CPU, &bound);
}

/* ---- shut ------------------------------------------------------------------------------------ */

/* A root with nothing in it, which cannot be written. */
static bool empty_root(void)
{
    if (mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=4k,nr_inodes=2,mode=555") != 0 ||
        chdir("/tmp") != 0)
        return false;
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) != 0)
            return false;
    } else if (chroot(".") != 0) { /* the root of an initial ramdisk cannot be moved */
        return false;
    }
    (void) mount(NULL, "/", NULL,
                 MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    return chdir("/") == 0;
}

static bool drop_privileges(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { { 0 } };
    bool is_ok = true;

    for (int i = 0; i <= CAPABILITY_LAST; i++)
        (void) prctl(PR_CAPBSET_DROP, i, 0, 0,
                     0); /* without the right to, there are none to drop */
    if (geteuid() == 0 && become_nobody() < 0)
        is_ok = false; /* a user namespace that knows nobody else; the filter stands all the same */
    (void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &head, none) != 0)
        is_ok = false;
    (void) prctl(PR_SET_DUMPABLE, 0);
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL); /* becoming somebody else forgets it */
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && is_ok;
}

uint32_t sandbox_close(uint32_t missing, uint64_t memory_bytes)
{
    uint64_t used = used_bytes();
    bool has_user = !(missing & BOX_WALL_BIT(USER)) && geteuid() != 0;

    if (!(missing & BOX_WALL_BIT(MOUNT)) && !empty_root())
        missing |= BOX_WALL_BIT(MOUNT);
    if (!drop_privileges())
        missing |= BOX_WALL_BIT(PRIVILEGES);
    if (!limit_memory(used, memory_bytes) || !limit(RLIMIT_NOFILE, LIMIT_BOX_FILES) ||
        !limit(RLIMIT_FSIZE, 0) || (has_user && !limit(RLIMIT_NPROC, LIMIT_BOX_THREADS)))
        missing |= BOX_WALL_BIT(LIMITS);
    if (sandbox_filter() < 0) /* the kernel wants no new privileges for it */
        missing |= BOX_WALL_BIT(FILTER);
    return missing;
}
