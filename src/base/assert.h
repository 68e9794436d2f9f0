/*
 * Assertions. They are always on.
 *
 * ASSERT states what we promised: arguments from our own code, states, invariants, results of
 * computation. What a stranger could cause (input, network, disk) is an error instead. ASSERT_SLOW
 * walks structures and runs only in debug builds and under the simulator. A failure prints the
 * expression, file, fiber, log context, error record, backtrace and the last log lines, then
 * aborts: a restart is as safe as a shutdown.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>

#define ASSERT(cond)                                          \
    do {                                                      \
        if (UNLIKELY(!(cond)))                                \
            assert_fail(#cond, __FILE__, __LINE__, __func__); \
    } while (0)

#ifdef SL_DEBUG
#define ASSERT_SLOW(cond) ASSERT(cond)
#else
#define ASSERT_SLOW(cond)  \
    do {                   \
        if (0)             \
            (void) (cond); \
    } while (0)
#endif

#define UNREACHABLE(why) assert_fail("unreachable: " why, __FILE__, __LINE__, __func__)

/* Objects that cross a void pointer carry a uint32_t tag as their first field; CAST asserts it. */
#define TAG_OF(a, b, c, d) \
    ((uint32_t) (a) << 24 | (uint32_t) (b) << 16 | (uint32_t) (c) << 8 | (uint32_t) (d))
#define CAST(type, tag_value, ptr)                          \
    ({                                                      \
        type *cast_ptr_ = (type *) (ptr);                   \
        ASSERT(cast_ptr_ && cast_ptr_->tag == (tag_value)); \
        cast_ptr_;                                          \
    })

_Noreturn void assert_fail(const char *expr, const char *file, int line, const char *func) COLD;

/* What a failed assertion also prints (the fiber, the dump). Set once at start by the runtime. Any
 * thread. */
void assert_set_reporter(void (*reporter)(void));
