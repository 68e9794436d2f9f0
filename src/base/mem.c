/*
 * The heap, in two tempers: mem_zalloc aborts when there is no memory, mem_try may fail.
 *
 * The C library's allocator does the work; what is added is the policy, and two aids for tests. In
 * debug builds memory is filled with 0xdd before it is given back, so that a use after free meets a
 * pattern instead of stale but plausible data (the sanitizers do better, and their builds leave the
 * filling out). And one fault can be armed: the n-th call that may fail does, whichever thread
 * makes it.
 */
#include "base/mem.h"

#include "base/assert.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(SL_DEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define POISON_FREED 1
#else
#define POISON_FREED 0
#endif

enum { POISON = 0xdd };

/* The armed fault. */
static struct {
    atomic_size_t calls_left; /* until it fires; 0 when none is armed */
    atomic_size_t hits;
} mem_fault;

static bool fault_is_now(void)
{
    size_t left = atomic_load_explicit(&mem_fault.calls_left, memory_order_relaxed);

    if (LIKELY(left == 0))
        return false;
    while (left > 0 && !atomic_compare_exchange_weak(&mem_fault.calls_left, &left, left - 1))
        continue;
    if (left != 1)
        return false;
    atomic_fetch_add(&mem_fault.hits, 1);
    return true;
}

void mem_fail_at(size_t n)
{
    atomic_store(&mem_fault.hits, 0);
    atomic_store(&mem_fault.calls_left, n);
}

size_t mem_faults_hit(void)
{
    return atomic_load(&mem_fault.hits);
}

void *mem_zalloc(size_t bytes)
{
    void *ptr = calloc(1, bytes ? bytes : 1);

    if (UNLIKELY(!ptr))
        UNREACHABLE("out of memory");
    return ptr;
}

void *mem_zalloc_array(size_t n, size_t item_bytes)
{
    size_t bytes;

    if (UNLIKELY(__builtin_mul_overflow(n, item_bytes, &bytes)))
        UNREACHABLE("out of memory: the size overflows");
    return mem_zalloc(bytes);
}

void *mem_resize_array(void *ptr, size_t n, size_t item_bytes)
{
    size_t bytes;
    void *grown;

    if (UNLIKELY(__builtin_mul_overflow(n, item_bytes, &bytes)))
        UNREACHABLE("out of memory: the size overflows");
    grown = realloc(ptr, bytes ? bytes : 1);
    if (UNLIKELY(!grown))
        UNREACHABLE("out of memory");
    return grown;
}

void *mem_try(size_t bytes)
{
    if (UNLIKELY(fault_is_now()))
        return NULL;
    return malloc(bytes ? bytes : 1);
}

void *mem_try_resize(void *ptr, size_t bytes)
{
    if (UNLIKELY(fault_is_now()))
        return NULL;
    return realloc(ptr, bytes ? bytes : 1);
}

void mem_free(void *ptr)
{
    if (POISON_FREED && ptr)
        memset(ptr, POISON, malloc_usable_size(ptr));
    free(ptr);
}

char *mem_copy_c(const char *data, size_t len)
{
    size_t bytes;
    char *copy;

    if (UNLIKELY(__builtin_add_overflow(len, 1, &bytes)))
        UNREACHABLE("out of memory: the size overflows");
    copy = mem_zalloc(bytes);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}
