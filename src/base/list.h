/*
 * Intrusive doubly linked list with a head. O(1) push, pop, remove; a link knows whether it is in a
 * list.
 *
 * A zeroed head or link is empty and usable. The element holds a ListLink; CONTAINER_OF leads back.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct ListLink ListLink;
struct ListLink {
    ListLink *next;
    ListLink *prev;
    struct List *list; /* the list it is in; NULL when in none */
};

typedef struct List {
    ListLink *first;
    ListLink *last;
    size_t len;
} List;

static inline bool list_is_empty(const List *list)
{
    return !list->first;
}

static inline bool list_is_linked(const ListLink *link)
{
    return link->list != NULL;
}

void list_push_back(List *list, ListLink *link); /* the link must be in no list */
void list_push_front(List *list, ListLink *link);
void list_remove(ListLink *link);     /* nothing when it is in none */
ListLink *list_pop_front(List *list); /* NULL when empty */

/* Iterate; removing the current element is allowed, removing others is not. */
#define list_each(list, link)                                                            \
    for (ListLink *link = (list)->first, *link##_next_ = link ? link->next : NULL; link; \
         link = link##_next_, link##_next_ = link ? link->next : NULL)

#define LIST_ITEM(link, type, member) CONTAINER_OF(link, type, member)
