/*
 * The few macros that a function cannot replace: sizes, containers, checked arithmetic, branch
 * hints.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(array)                (sizeof(array) / sizeof((array)[0]))

/* The struct of TYPE whose MEMBER is at PTR. */
#define CONTAINER_OF(ptr, type, member) ((type *) (void *) ((char *) (ptr) -offsetof(type, member)))

/* The lesser and the greater of two values of one type; each argument is evaluated once. May be
 * nested. */
#define MIN(a, b)                       MIN_OF_((a), (b), __COUNTER__)
#define MAX(a, b)                       MAX_OF_((a), (b), __COUNTER__)

#define MIN_OF_(a, b, n)                MIN_AS_(a, b, PASTE(min_a_, n), PASTE(min_b_, n))
#define MAX_OF_(a, b, n)                MAX_AS_(a, b, PASTE(max_a_, n), PASTE(max_b_, n))

#define MIN_AS_(a, b, x, y)  \
    ({                       \
        __auto_type x = (a); \
        __auto_type y = (b); \
        x < y ? x : y;       \
    })

#define MAX_AS_(a, b, x, y)  \
    ({                       \
        __auto_type x = (a); \
        __auto_type y = (b); \
        x > y ? x : y;       \
    })

#define PASTE_(a, b)              a##b
#define PASTE(a, b)               PASTE_(a, b)

#define LIKELY(x)                 __builtin_expect(!!(x), 1)
#define UNLIKELY(x)               __builtin_expect(!!(x), 0)

#define STATIC_ASSERT(cond, text) _Static_assert(cond, text)

#define STRINGIFY_(x)             #x
#define STRINGIFY(x)              STRINGIFY_(x)

#define UNUSED                    __attribute__((unused))
#define COLD                      __attribute__((cold, noinline))

#define NS_PER_US                 INT64_C(1000)
#define NS_PER_MS                 INT64_C(1000000)
#define NS_PER_S                  INT64_C(1000000000)
#define MS_PER_S                  INT64_C(1000)
