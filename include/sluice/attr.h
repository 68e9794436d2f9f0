/*
 * Attributes: what a declaration promises, in words the compiler and the lints can check.
 *
 * Every public function says three things in its declaration: whether its result must be used,
 * whether the calling fiber may be suspended while it runs, and which of its arguments it takes
 * over. These macros are the vocabulary; the rest of the headers use it.
 */
#pragma once

/* Exported from the library; everything else is hidden. */
#define SL_API  __attribute__((visibility("default")))

/* The result must be used. A deliberate drop is written `(void) f();` with the reason beside it. */
#define SL_MUST __attribute__((warn_unused_result))

/*
 * The call may suspend the calling fiber: other fibers of the same loop may run before it returns,
 * and everything they can reach may have changed. A function that calls one is marked itself; `make
 * lint` checks.
 */
#if defined(__clang__)
#define SL_SUSPENDS __attribute__((annotate("suspends")))
#else
#define SL_SUSPENDS
#endif

/* The parameter is consumed on every path, errors included. */
#define SL_TAKES

/* The arguments from FIRST are checked against the format string at FMT, as for printf. */
#define SL_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* Calls FUNC with a pointer to the variable when the variable leaves its block. */
#define SL_CLEANUP(func)      __attribute__((cleanup(func)))

#ifdef __cplusplus
#define SL_BEGIN_DECLS extern "C" {
#define SL_END_DECLS   }
#else
#define SL_BEGIN_DECLS
#define SL_END_DECLS
#endif
