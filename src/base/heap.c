/*
 * The 4-ary heap of heap.h.
 *
 * The array holds key and pointer together: four children of one slot are 64 bytes, one cache line
 * when the array is aligned, so that a level of sifting down costs one miss. Children of i are 4i+1
 * … 4i+4, the parent of i is (i-1)/4.
 *
 *   I1  slots[i].key >= slots[parent(i)].key for every i > 0
 *   I2  slots[i].node->place == i + 1 for every i, and place == 0 for a node in no heap
 */
#include "base/heap.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>

struct HeapSlot {
    int64_t key;
    HeapNode *node;
};

enum { ARITY = 4, FIRST_CAP = 16 };

static void place(Heap *heap, size_t i, HeapSlot slot)
{
    heap->slots[i] = slot;
    slot.node->place = i + 1;
}

/* Move the hole at I up to where SLOT belongs, and put it there. */
static void sift_up(Heap *heap, size_t i, HeapSlot slot)
{
    while (i > 0) {
        size_t parent = (i - 1) / ARITY;

        if (heap->slots[parent].key <= slot.key)
            break;
        place(heap, i, heap->slots[parent]);
        i = parent;
    }
    place(heap, i, slot);
}

static size_t least_child(const Heap *heap, size_t first)
{
    size_t end = MIN(first + ARITY, heap->len);
    size_t best = first;

    for (size_t i = first + 1; i < end; i++) {
        if (heap->slots[i].key < heap->slots[best].key)
            best = i;
    }
    return best;
}

/* Move the hole at I down to where SLOT belongs, and put it there. */
static void sift_down(Heap *heap, size_t i, HeapSlot slot)
{
    for (;;) {
        size_t first = i * ARITY + 1;
        size_t child;

        if (first >= heap->len)
            break;
        child = least_child(heap, first);
        if (heap->slots[child].key >= slot.key)
            break;
        place(heap, i, heap->slots[child]);
        i = child;
    }
    place(heap, i, slot);
}

void heap_deinit(Heap *heap)
{
    mem_free(heap->slots);
    *heap = (Heap){ 0 };
}

int heap_reserve(Heap *heap, size_t n)
{
    HeapSlot *grown;
    size_t bytes;

    if (n <= heap->cap)
        return 0;
    n = MAX(n, MAX(heap->cap * 2, (size_t) FIRST_CAP));
    if (__builtin_mul_overflow(n, sizeof(HeapSlot), &bytes))
        return fail(-ENOMEM, "a heap of %zu elements", n);
    grown = mem_try_resize(heap->slots, bytes);
    if (!grown)
        return fail(-ENOMEM, "a heap of %zu elements", n);
    heap->slots = grown;
    heap->cap = n;
    return 0;
}

void heap_push(Heap *heap, HeapNode *node, int64_t key)
{
    ASSERT(!heap_is_linked(node));
    if (heap->len == heap->cap) {
        HeapSlot *old = heap->slots;

        heap->cap = heap->cap ? heap->cap * 2 : FIRST_CAP;
        heap->slots = mem_resize_array(old, heap->cap, sizeof(HeapSlot));
    }
    heap->len++;
    sift_up(heap, heap->len - 1, (HeapSlot){ key, node });
}

HeapNode *heap_peek(const Heap *heap, int64_t *ret_key)
{
    if (heap->len == 0)
        return NULL;
    if (ret_key)
        *ret_key = heap->slots[0].key;
    return heap->slots[0].node;
}

HeapNode *heap_pop(Heap *heap)
{
    HeapNode *node;

    if (heap->len == 0)
        return NULL;
    node = heap->slots[0].node;
    heap_remove(heap, node);
    return node;
}

void heap_remove(Heap *heap, HeapNode *node)
{
    HeapSlot last;
    size_t i;

    if (!heap_is_linked(node))
        return;
    i = node->place - 1;
    ASSERT(i < heap->len);
    ASSERT(heap->slots[i].node == node); /* I2 */

    heap->len--;
    node->place = 0;
    last = heap->slots[heap->len];
    if (last.node == node)
        return;
    if (i > 0 && heap->slots[(i - 1) / ARITY].key > last.key)
        sift_up(heap, i, last);
    else
        sift_down(heap, i, last);
}

bool heap_is_sound(const Heap *heap)
{
    for (size_t i = 0; i < heap->len; i++) {
        ASSERT(heap->slots[i].node->place == i + 1); /* I2 */
        if (i > 0)
            ASSERT(heap->slots[(i - 1) / ARITY].key <= heap->slots[i].key); /* I1 */
    }
    return true;
}
