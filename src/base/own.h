/*
 * Ownership, said in declarations.
 *
 * AUTO(job_free) Job *job = NULL;     freed when the variable leaves its block, on every path
 * *ret_job = TAKE(job);               ownership leaves here: the variable becomes NULL
 *
 * AUTO wants the typed free function by name; each type offers one pair with DEFINE_AUTO(Job *,
 * job_free), placed under its declaration, which makes the wrapper that the cleanup attribute
 * calls.
 */
#pragma once

#include <sluice/attr.h>

#define MUST       SL_MUST
#define SUSPENDS   SL_SUSPENDS
#define TAKES      SL_TAKES

/* Cleans up with FUNC when the variable leaves its block. FUNC must have been named in a
 * DEFINE_AUTO. */
#define AUTO(func) SL_CLEANUP(func##_auto_)

/* Makes FUNC usable with AUTO for variables of pointer type TYPE. FUNC(NULL) is never called. */
#define DEFINE_AUTO(type, func)                 \
    static inline void func##_auto_(type *slot) \
    {                                           \
        if (*slot)                              \
            func(*slot);                        \
    }                                           \
    struct func##_auto_semicolon_

/* Makes FUNC(T *) usable with AUTO for variables of type T held by value; FUNC of a zeroed T is
 * nothing. */
#define DEFINE_AUTO_VALUE(type, func)            \
    static inline void func##_auto_(type *value) \
    {                                            \
        func(value);                             \
    }                                            \
    struct func##_auto_semicolon_

/* The value of VAR, which becomes NULL: the one point where ownership leaves. */
#define TAKE(var)                        \
    ({                                   \
        __auto_type take_value_ = (var); \
        (var) = NULL;                    \
        take_value_;                     \
    })
