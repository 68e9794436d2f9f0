/*
 * Catches: an element that comes out of order or twice, a stored place that is wrong after a
 * removal from the middle.
 */
#include "base/heap.h"

#include "base/rand.h"
#include "base/test.h"

enum { ITEMS = 300 };

typedef struct Item {
    int64_t key;
    HeapNode node;
} Item;

/* The least key among the linked items, by looking at all. */
static int64_t least_of(const Item *items)
{
    int64_t least = INT64_MAX;

    for (size_t i = 0; i < ITEMS; i++) {
        if (heap_is_linked(&items[i].node))
            least = MIN(least, items[i].key);
    }
    return least;
}

/* Pushes, pops and removals at random against the naive model; few different keys, so that ties are
 * common. */
TEST(behaves_as_a_sorted_bag)
{
    static Item items[ITEMS];
    AUTO(heap_deinit) Heap heap = { 0 };
    size_t n = 0;
    Rand rand;

    rand_init(&rand, 7);
    for (int step = 0; step < 20000; step++) {
        Item *item = &items[rand_below(&rand, ITEMS)];
        int64_t key = 0;

        if (heap_is_linked(&item->node)) {
            heap_remove(&heap, &item->node);
            EXPECT(!heap_is_linked(&item->node));
            n--;
        } else {
            item->key = (int64_t) rand_below(&rand, 50) - 25;
            heap_push(&heap, &item->node, item->key);
            n++;
        }
        REQUIRE(heap.len == n && heap_is_sound(&heap) && heap_is_empty(&heap) == (n == 0));
        if (n > 0) {
            REQUIRE(heap_peek(&heap, &key));
            REQUIRE(key == least_of(items));
        }
        if (n > 0 && rand_below(&rand, 8) == 0) {
            Item *first = HEAP_ITEM(heap_pop(&heap), Item, node);

            REQUIRE(first->key == key && !heap_is_linked(&first->node));
            n--;
        }
    }
}

TEST(pops_in_order)
{
    static Item items[5000];
    AUTO(heap_deinit) Heap heap = { 0 };
    int64_t last = INT64_MIN;
    Rand rand;

    rand_init(&rand, 8);
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        items[i].key = i == 0 ? INT64_MAX : i == 1 ? INT64_MIN : (int64_t) rand_u64(&rand);
        heap_push(&heap, &items[i].node, items[i].key);
    }
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        Item *item = HEAP_ITEM(heap_pop(&heap), Item, node);

        REQUIRE(item->key >= last);
        last = item->key;
    }
    EXPECT_EQ(last, INT64_MAX);
    EXPECT(!heap_pop(&heap) && !heap_peek(&heap, NULL));
}

TEST(reserved_room_needs_no_memory)
{
    AUTO(heap_deinit) Heap heap = { 0 };
    HeapNode nodes[40] = { 0 };
    HeapSlot *slots;

    FOR_EACH_FAULT {
        int r = heap_reserve(&heap, 40);

        EXPECT(r == 0 || mem_faults_hit() == 1);
    }
    slots = heap.slots;
    for (int64_t i = 0; i < 40; i++)
        heap_push(&heap, &nodes[i], -i);
    EXPECT(heap.slots == slots);
    EXPECT(heap_peek(&heap, NULL) == &nodes[39]);
    EXPECT_OK(heap_reserve(&heap, 1));
    EXPECT(heap_reserve(&heap, SIZE_MAX / 2) < 0);
}

TEST(misuse_is_caught)
{
    AUTO(heap_deinit) Heap a = { 0 };
    Heap b = { 0 };
    HeapNode node = { 0 };

    heap_remove(&a, &node);
    heap_push(&a, &node, 1);
    EXPECT_ABORT(heap_push(&a, &node, 2), "!heap_is_linked(node)");
    EXPECT_ABORT(heap_remove(&b, &node), "i < heap->len");
}

TEST_MAIN()
