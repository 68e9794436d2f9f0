/*
 * Heap: a 4-ary min-heap of elements keyed by int64, for timers and everything else that asks "who
 * is first?".
 *
 * Intrusive: the element holds a HeapNode, which knows its place, so that removal needs no search.
 * Keys are copied beside the pointers in one array, so that sifting touches no element but to tell
 * it its new place. Push, pop and remove are O(log n), peek is O(1). Elements with equal keys come
 * out in no particular order, but always in the same one for the same row of calls. A zeroed Heap
 * or HeapNode is empty and usable. Not for other threads.
 */
#pragma once

#include "base/macro.h"
#include "base/own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct HeapNode {
    size_t place; /* index in the heap + 1; 0 when in none */
} HeapNode;

typedef struct HeapSlot HeapSlot;

typedef struct Heap {
    HeapSlot *slots; /* owned */
    size_t len;
    size_t cap;
} Heap;

/* Free the array; the elements are not touched. Nothing for a zeroed heap. */
void heap_deinit(Heap *heap);

/* Room for N elements in all, so that pushes up to there cannot fail. 0 or -ENOMEM. */
MUST int heap_reserve(Heap *heap, size_t n);

/* Add NODE, which must be in no heap, under KEY. Aborts when there is no memory and no room was
 * reserved. */
void heap_push(Heap *heap, HeapNode *node, int64_t key);

/* The element with the least key, or NULL; *ret_key (if not NULL) gets the key. */
HeapNode *heap_peek(const Heap *heap, int64_t *ret_key);

/* Remove and return the element with the least key, or NULL. */
HeapNode *heap_pop(Heap *heap);

/* Remove NODE; nothing when it is in none. It must not be in another heap. */
void heap_remove(Heap *heap, HeapNode *node);

/* Assert the order of the whole heap. For tests and ASSERT_SLOW; always true. */
bool heap_is_sound(const Heap *heap);

static inline bool heap_is_linked(const HeapNode *node)
{
    return node->place != 0;
}

static inline bool heap_is_empty(const Heap *heap)
{
    return heap->len == 0;
}

#define HEAP_ITEM(node, type, member) CONTAINER_OF(node, type, member)

DEFINE_AUTO_VALUE(Heap, heap_deinit);
