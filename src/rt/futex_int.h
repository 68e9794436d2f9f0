/* The two futex calls a thread needs to sleep on a word, and the pause of a spinning processor. */
#pragma once

#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleep while *WORD is WANT, at most TIMEOUT (NULL: for ever). May return early; look again. */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t want, const struct timespec *timeout)
{
    (void) syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, want, timeout, NULL,
                   0); /* callers look again */
}

/* Wake at most N threads that sleep on WORD. */
static inline void futex_wake(_Atomic uint32_t *word, int n)
{
    (void) syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL,
                   0); /* cannot fail for a word of ours */
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}
