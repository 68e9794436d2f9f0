/*
 * The pool of stacks.
 *
 * Each size class maps slabs of address space and cuts them into slots of one size. Slots are
 * handed out in address order; what comes back is kept in an array used as a stack, so that the
 * slot used next is the one used last and still in the cache. Entries below n_cold have been
 * trimmed: their memory is the kernel's again, only the address space is kept.
 *
 *   free[]:   0 ... n_cold-1 cold, n_cold ... n_free-1 warm, taken from and put to the end
 *
 *   S1  n_cold <= n_free <= n_slots, and free[] has room for n_slots, so that giving back never
 *       fails.
 *   S2  A slot's guard page is in place before the slot is handed out for the first time, and
 *       stays.
 *
 * Guards: where the kernel has MADV_GUARD_INSTALL (6.13), a guard is a mark in the page table and
 * no mapping of its own. Elsewhere mprotect splits the mapping, two mappings a fiber, and
 * vm.max_map_count (65530) ends it at some 32 000 fibers; the error says so. Slabs carry
 * MAP_NORESERVE, since most of a stack is never touched, and refuse huge pages, since a huge page
 * would be touched by its first word. The memory of a page that is out of use goes back only by
 * stack_trim.
 */
#include "rt/stack_int.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "rt/sanitizer_int.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND                0
#define VALGRIND_STACK_REGISTER(low, high) 0
#define VALGRIND_STACK_DEREGISTER(id)      ((void) (id))
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum {
    CLASSES = 13, /* 16 KiB << 0 … 12 = 64 MiB */
    PAGE_BYTES = 4096,
    GUARD_BYTES = PAGE_BYTES,
    COLOURS = 16,
    COLOUR_BYTES = 64,
    SLAB_SLOTS_MIN = 16,
    SLAB_SLOTS_MAX = 1024,
    SLAB_BYTES_MAX = 64 << 20,
};

typedef struct Slab {
    struct Slab *next;
    char *base;
    size_t n_slots;
    size_t n_used; /* slots handed out at least once; the first ones */
} Slab;

typedef struct StackClass {
    size_t slot_bytes;
    sl_fiber **free; /* see the essay */
    size_t n_free;
    size_t n_cold;
    size_t cap;     /* of free */
    size_t n_slots; /* handed out at least once */
    Slab *slabs;    /* newest first; only the newest has unused slots */
} StackClass;

struct StackPool {
    StackClass classes[CLASSES];
    bool has_no_guard_call; /* the kernel does not know MADV_GUARD_INSTALL */
};

STATIC_ASSERT(STACK_BYTES_MIN << (CLASSES - 1) == STACK_BYTES_MAX, "the classes reach the maximum");
STATIC_ASSERT((sizeof(sl_fiber) + 63) / 64 * 64 + COLOURS * COLOUR_BYTES <= 4096 - 1024,
              "the fiber leaves room for a shallow stack in its page");

StackPool *stack_pool_new(void)
{
    StackPool *pool = mem_new(StackPool);

    for (size_t i = 0; i < CLASSES; i++)
        pool->classes[i].slot_bytes = STACK_BYTES_MIN << i;
    return pool;
}

/* The fiber of the slot at SLOT, by the colour of its number. */
static sl_fiber *slot_fiber(char *slot, size_t slot_bytes, size_t number)
{
    size_t room = (sizeof(sl_fiber) + COLOUR_BYTES - 1) / COLOUR_BYTES * COLOUR_BYTES;
    size_t colour = number % COLOURS * COLOUR_BYTES;

    return (sl_fiber *) (void *) (slot + slot_bytes - room - colour);
}

/* The lower end of the slot FIBER lies in; the fiber is in its last page. */
static char *fiber_slot(const sl_fiber *fiber, size_t slot_bytes)
{
    char *page = (char *) ((uintptr_t) fiber & ~(uintptr_t) (PAGE_BYTES - 1));

    return page + PAGE_BYTES - slot_bytes;
}

size_t stack_slot_bytes(const sl_fiber *fiber)
{
    return STACK_BYTES_MIN << fiber->size_class;
}

static void sanitizers_forget(sl_fiber *fiber)
{
    if (RUNNING_ON_VALGRIND)
        VALGRIND_STACK_DEREGISTER(fiber->valgrind_id);
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(fiber->sanitizer);
#endif
}

static void sanitizers_tell(sl_fiber *fiber)
{
#if defined(__SANITIZE_THREAD__)
    fiber->sanitizer = __tsan_create_fiber(0);
#endif
    if (RUNNING_ON_VALGRIND)
        fiber->valgrind_id = (unsigned) VALGRIND_STACK_REGISTER(fiber->stack_low, (char *) fiber);
}

void stack_each(StackPool *pool, void (*visit)(sl_fiber *fiber, void *ctx), void *ctx)
{
    for (size_t i = 0; i < CLASSES; i++) {
        StackClass *class = &pool->classes[i];

        for (Slab *slab = class->slabs; slab; slab = slab->next) {
            for (size_t j = 0; j < slab->n_used; j++)
                visit(slot_fiber(slab->base + j * class->slot_bytes, class->slot_bytes, j), ctx);
        }
    }
}

static void forget_visit(sl_fiber *fiber, void *ctx)
{
    (void) ctx;
    sanitizers_forget(fiber);
}

void stack_pool_free(StackPool *pool)
{
    if (!pool)
        return;
#if defined(__SANITIZE_THREAD__)
    stack_each(pool, forget_visit, NULL);
#else
    if (RUNNING_ON_VALGRIND)
        stack_each(pool, forget_visit, NULL);
#endif
    for (size_t i = 0; i < CLASSES; i++) {
        StackClass *class = &pool->classes[i];

        ASSERT(class->n_free == class->n_slots); /* nobody runs on one */
        while (class->slabs) {
            Slab *slab = class->slabs;
            class->slabs = slab->next;
            (void) munmap(slab->base, slab->n_slots * class->slot_bytes); /* ours: cannot fail */
            mem_free(slab);
        }
        mem_free(class->free);
    }
    mem_free(pool);
}

/* Map one more slab for CLASS, twice as large as the last. 0 or -ENOMEM. */
static int slab_add(StackClass *class)
{
    size_t n = class->slabs ? class->slabs->n_slots * 2 : (size_t) SLAB_SLOTS_MIN;
    size_t most = MAX((size_t) 1, (size_t) SLAB_BYTES_MAX / class->slot_bytes);
    size_t total;
    Slab *slab;
    void *base;
    void *grown;

    n = MIN(n, MIN(most, (size_t) SLAB_SLOTS_MAX));
    total = class->n_slots + n;
    if (total > class->cap) {
        size_t cap = MAX(total, class->cap * 2);

        grown = mem_try_resize(class->free, cap * sizeof(sl_fiber *));
        if (!grown)
            return fail(-ENOMEM, "no memory for the list of %zu stacks", total);
        class->free = grown;
        class->cap = cap;
    }
    base = mmap(NULL, n * class->slot_bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED)
        return fail(-ENOMEM, "no address space for %zu more stacks of %zu KiB beside %zu", n,
                    class->slot_bytes >> 10, class->n_slots);
    (void) madvise(base, n * class->slot_bytes,
                   MADV_NOHUGEPAGE); /* a kernel without them needs no asking */
    slab = mem_new(Slab);
    slab->base = base;
    slab->n_slots = n;
    slab->next = class->slabs;
    class->slabs = slab;
    return 0;
}

/* Put the guard page at the lower end of a slot: S2. */
static int guard_install(StackPool *pool, char *slot)
{
    if (!pool->has_no_guard_call) {
        if (madvise(slot, GUARD_BYTES, MADV_GUARD_INSTALL) == 0)
            return 0;
        if (errno != EINVAL)
            return fail_errno("guard a fiber's stack");
        pool->has_no_guard_call = true;
    }
    if (mprotect(slot, GUARD_BYTES, PROT_NONE) == 0)
        return 0;
    if (errno == ENOMEM)
        return fail(-ENOMEM,
                    "no mapping left to guard another fiber's stack: raise vm.max_map_count "
                    "(sysctl -w vm.max_map_count=1048576) or use Linux 6.13 or newer");
    return fail_errno("guard a fiber's stack");
}

/* Write what a fresh page does not know yet. */
static void slot_describe(StackPool *pool, StackClass *class, sl_fiber *fiber)
{
    fiber->size_class = (uint8_t) (class - pool->classes);
    fiber->stack_low = fiber_slot(fiber, class->slot_bytes) + GUARD_BYTES;
    fiber->stack_bytes = (size_t) ((char *) fiber - fiber->stack_low);
}

/* The next slot that was never used. */
static int slot_new(StackPool *pool, StackClass *class, sl_fiber **ret_fiber)
{
    Slab *slab = class->slabs;
    sl_fiber *fiber;
    char *slot;
    int r;

    if (!slab || slab->n_used == slab->n_slots) {
        r = slab_add(class);
        if (r < 0)
            return r;
        slab = class->slabs;
    }
    slot = slab->base + slab->n_used * class->slot_bytes;
    r = guard_install(pool, slot);
    if (r < 0)
        return r;
    fiber = slot_fiber(slot, class->slot_bytes, slab->n_used);
    slot_describe(pool, class, fiber);
    sanitizers_tell(fiber);
    slab->n_used++;
    class->n_slots++;
    *ret_fiber = fiber;
    return 0;
}

static size_t class_of(size_t bytes)
{
    size_t i = 0;

    while (STACK_BYTES_MIN << i < bytes)
        i++;
    return i;
}

int stack_take(StackPool *pool, size_t bytes, sl_fiber **ret_fiber)
{
    StackClass *class;
    sl_fiber *fiber;

    if (UNLIKELY(bytes > STACK_BYTES_MAX))
        return fail(-ENOMEM, "a stack of %zu bytes is larger than the largest, %zu", bytes,
                    STACK_BYTES_MAX);
    class = &pool->classes[class_of(bytes)];
    if (UNLIKELY(class->n_free == 0))
        return slot_new(pool, class, ret_fiber);
    fiber = class->free[--class->n_free];
    if (UNLIKELY(class->n_free < class->n_cold)) {
        class->n_cold = class->n_free;
        slot_describe(pool, class, fiber); /* its page was given back, and with it what it said */
    }
    ASSERT(fiber->state == FIBER_FREE);
    *ret_fiber = fiber;
    return 0;
}

void stack_put(StackPool *pool, sl_fiber *fiber)
{
    StackClass *class = &pool->classes[fiber->size_class];

    ASSERT(fiber->state == FIBER_FREE);
    ASSERT(class->n_free < class->n_slots); /* S1 */
    class->free[class->n_free++] = fiber;
}

/* The stacks that may lie warm in CLASS: as many as are in use, and the limit. */
static UNUSED size_t warm_max(const StackClass *class)
{
    return class->n_slots - class->n_free + LIMIT_RT_WARM_STACKS;
}

bool stack_trim(StackPool *pool, size_t n)
{
#if defined(__SANITIZE_THREAD__)
    (void) pool;
    (void) n;
    return false; /* the sanitizer's fiber is remembered in the slot itself */
#else
    if (RUNNING_ON_VALGRIND)
        return false;
    for (size_t i = 0; i < CLASSES; i++) {
        StackClass *class = &pool->classes[i];

        while (class->n_free - class->n_cold > warm_max(class)) {
            char *slot = fiber_slot(class->free[class->n_cold], class->slot_bytes);

            if (n-- == 0)
                return true;
            (void) madvise(slot + GUARD_BYTES, class->slot_bytes - GUARD_BYTES,
                           MADV_DONTNEED); /* ours */
            class->n_cold++;
        }
        ASSERT(class->n_cold <= class->n_free); /* S1 */
    }
    return false;
#endif
}

size_t stack_count(const StackPool *pool)
{
    size_t total = 0;

    for (size_t i = 0; i < CLASSES; i++)
        total += pool->classes[i].n_slots;
    return total;
}
