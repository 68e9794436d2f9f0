/*
 * What AddressSanitizer, ThreadSanitizer and Valgrind want to know about stacks.
 *
 * Each has its own idea of "the current stack"; without these calls they report nonsense or crash.
 * In a build without a sanitizer the functions are empty; Valgrind's requests are a few
 * instructions that do nothing outside of it, made when a stack is mapped and never at a switch.
 */
#pragma once

#include "rt/rt_int.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

/* SELF is about to jump to TO. SELF has ended when its state is FREE. */
static inline __attribute__((always_inline)) void sanitizer_leave(sl_fiber *self, sl_fiber *to)
{
#if defined(__SANITIZE_ADDRESS__)
    void **save = self->state == FIBER_FREE ? NULL : &self->sanitizer;

    __sanitizer_start_switch_fiber(save, to->stack_low, to->stack_bytes);
#elif defined(__SANITIZE_THREAD__)
    (void) self;
    __tsan_switch_to_fiber(to->sanitizer, 0);
#else
    (void) self;
    (void) to;
#endif
}

/* SELF runs again. */
static inline __attribute__((always_inline)) void sanitizer_arrive(sl_fiber *self)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(self->sanitizer, NULL, NULL);
#else
    (void) self;
#endif
}

/* The running fiber has just begun. */
static inline __attribute__((always_inline)) void sanitizer_arrive_first(void)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
}

/* FIBER's stack is about to be used anew: what the last user's frames left poisoned is clean. */
static inline void sanitizer_begin(sl_fiber *fiber)
{
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(fiber->stack_low, fiber->stack_bytes);
#else
    (void) fiber;
#endif
}

/* The calling thread begins, or ceases, to run LOOP: its own stack is the scheduler's. */
static inline void sanitizer_thread_start(sl_loop *loop)
{
#if defined(__SANITIZE_ADDRESS__)
    pthread_attr_t attr;
    void *low = NULL;
    size_t bytes = 0;

    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        (void) pthread_attr_getstack(&attr, &low, &bytes);
        (void) pthread_attr_destroy(&attr);
    }
    loop->scheduler.stack_low = (char *) low;
    loop->scheduler.stack_bytes = bytes;
#elif defined(__SANITIZE_THREAD__)
    loop->scheduler.sanitizer = __tsan_get_current_fiber();
#else
    (void) loop;
#endif
}
