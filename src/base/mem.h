/*
 * Memory from the heap.
 *
 * Small allocations of fixed size abort when there is none (`mem_new`): nothing sensible can be
 * done without 100 bytes. Sizes that came from outside go through `mem_try`, after a check against
 * a named limit, and may fail. In debug builds freed memory is poisoned. Tests make the n-th
 * allocation of `mem_try` fail (see base/test.h).
 */
#pragma once

#include "base/own.h"

#include <stddef.h>

/* A zeroed T on the heap. Aborts when there is no memory. The caller owns it. */
#define mem_new(type)          ((type *) mem_zalloc(sizeof(type)))

/* N zeroed T in a row; aborts when there is no memory or the product overflows. */
#define mem_new_array(type, n) ((type *) mem_zalloc_array((n), sizeof(type)))

MUST void *mem_zalloc(size_t bytes);
MUST void *mem_zalloc_array(size_t n, size_t item_bytes);

/* Grow or shrink PTR (which may be NULL) to N items; what is new is unset. Aborts as mem_new_array
 * does. */
MUST void *mem_resize_array(void *ptr, size_t n, size_t item_bytes);

/* BYTES of unset memory, or NULL. */
MUST void *mem_try(size_t bytes);

/* Grow or shrink PTR (which may be NULL) to BYTES; NULL when there is none, and PTR stays as it
 * was. */
MUST void *mem_try_resize(void *ptr, size_t bytes);

/* Give back what the functions above gave; NULL is nothing. */
void mem_free(void *ptr);

/* A NUL-terminated copy of LEN bytes at DATA. Aborts when there is no memory: for short texts. */
MUST char *mem_copy_c(const char *data, size_t len);

/* Make the n-th mem_try or mem_try_resize from here fail (1 is the next); 0 switches the fault off.
 * For tests. */
void mem_fail_at(size_t n);

/* How many mem_try calls were made to fail since mem_fail_at. For tests. */
size_t mem_faults_hit(void);

/* AUTO(mem_free) fits a variable of any pointer type, so its wrapper takes the address of the
 * variable untyped. */
static inline void mem_free_auto_(void *slot)
{
    void *ptr = *(void **) slot;

    mem_free(ptr);
}
