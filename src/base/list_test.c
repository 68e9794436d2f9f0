/*
 * Catches: links that point past a removed neighbour, a count that drifts, an element in two lists.
 */
#include "base/list.h"

#include "base/rand.h"
#include "base/test.h"

enum { ITEMS = 40 };

typedef struct Item {
    int id;
    ListLink link;
} Item;

/* The list holds exactly the ids of MODEL, in both directions. */
static bool agrees(const List *list, const int *model, size_t n)
{
    const ListLink *link = list->first;

    if (list->len != n || list_is_empty(list) != (n == 0))
        return false;
    for (size_t i = 0; i < n; i++, link = link->next) {
        if (!link || link->list != list || LIST_ITEM(link, Item, link)->id != model[i])
            return false;
    }
    if (link)
        return false;
    link = list->last;
    for (size_t i = n; i > 0; i--, link = link->prev) {
        if (!link || LIST_ITEM(link, Item, link)->id != model[i - 1])
            return false;
    }
    return !link;
}

TEST(behaves_as_an_array)
{
    Item items[ITEMS] = { 0 };
    int model[ITEMS];
    size_t n = 0;
    List list = { 0 };
    Rand rand;

    rand_init(&rand, 5);
    for (int i = 0; i < ITEMS; i++)
        items[i].id = i;
    for (int step = 0; step < 20000; step++) {
        Item *item = &items[rand_below(&rand, ITEMS)];

        if (list_is_linked(&item->link)) {
            size_t at = 0;

            while (model[at] != item->id)
                at++;
            list_remove(&item->link);
            memmove(model + at, model + at + 1, (n - at - 1) * sizeof model[0]);
            n--;
        } else if (rand_below(&rand, 2)) {
            list_push_back(&list, &item->link);
            model[n++] = item->id;
        } else {
            list_push_front(&list, &item->link);
            memmove(model + 1, model, n * sizeof model[0]);
            model[0] = item->id;
            n++;
        }
        if (n > 0 && rand_below(&rand, 10) == 0) {
            EXPECT_EQ(LIST_ITEM(list_pop_front(&list), Item, link)->id, model[0]);
            memmove(model, model + 1, --n * sizeof model[0]);
        }
        REQUIRE(agrees(&list, model, n));
    }
}

TEST(the_current_element_may_go_while_iterating)
{
    Item items[6] = { 0 };
    List list = { 0 };
    int seen = 0;

    for (int i = 0; i < 6; i++) {
        items[i].id = i;
        list_push_back(&list, &items[i].link);
    }
    list_each(&list, link) {
        EXPECT_EQ(LIST_ITEM(link, Item, link)->id, seen);
        if (seen++ % 2 == 0)
            list_remove(link);
    }
    EXPECT_EQ(seen, 6);
    EXPECT(agrees(&list, (int[]){ 1, 3, 5 }, 3));
    list_each(&list, link)
        list_remove(link);
    EXPECT(list_is_empty(&list));
}

TEST(nothing_happens_to_nothing)
{
    List list = { 0 };
    ListLink link = { 0 };

    list_remove(&link);
    EXPECT(!list_pop_front(&list));
    EXPECT(!list_is_linked(&link));
}

TEST(an_element_is_in_one_list)
{
    List a = { 0 }, b = { 0 };
    ListLink link = { 0 };

    list_push_back(&a, &link);
    EXPECT_ABORT(list_push_back(&b, &link), "!list_is_linked(link)");
    EXPECT_ABORT(list_push_front(&a, &link), "!list_is_linked(link)");
}

TEST_MAIN()
