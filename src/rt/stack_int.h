/*
 * Stacks from a pool: address space in slabs, one slot for each fiber, reused last in, first out.
 *
 * A slot is a power of two of bytes. From its lower end: one guard page, the stack, and at its
 * upper end the struct sl_fiber itself, so that a fiber that does little has touched one page.
 * Where in the page the struct lies depends on the slot (its colour): with all at the same place, a
 * thousand fibers would share a few sets of the processor's caches.
 */
#pragma once

#include "rt/sanitizer_int.h"

/* A pool for one loop. */
StackPool *stack_pool_new(void);
void stack_pool_free(StackPool *pool); /* no stack may be in use; NULL is nothing */

/*
 * A stack of at least BYTES with its fiber: size_class, stack_low and the sanitizer's fields are
 * set, the rest is as the last user left it. 0 or -ENOMEM with words.
 */
MUST int stack_take(StackPool *pool, size_t bytes, sl_fiber **ret_fiber);

/* Give it back. The caller may still be running on it, until it switches away. */
void stack_put(StackPool *pool, sl_fiber *fiber);

/* Give memory of stacks that nobody has used for long back to the kernel, for at most N of them;
 * whether there is more. */
bool stack_trim(StackPool *pool, size_t n);

/* Stacks mapped, in use or pooled. */
size_t stack_count(const StackPool *pool);

/* The bytes of the slot FIBER lies in. */
size_t stack_slot_bytes(const sl_fiber *fiber);

/* Every slot that was ever handed out, for dumps: calls VISIT with each, in no order. */
void stack_each(StackPool *pool, void (*visit)(sl_fiber *fiber, void *ctx), void *ctx);

#define STACK_BYTES_MIN ((size_t) 16 << 10)
#define STACK_BYTES_MAX ((size_t) LIMIT_RT_STACK_BYTES)

/* Sanitizers and unoptimised code need more. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES_DEFAULT ((size_t) 256 << 10)
#else
#define STACK_BYTES_DEFAULT ((size_t) 64 << 10)
#endif
