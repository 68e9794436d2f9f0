/*
 * The intrusive list of list.h.
 *
 *   I1  first and last are both NULL or both set; len counts the links between them
 *   I2  link->list is the list that holds it, or NULL; links of a list lead to each other both ways
 */
#include "base/list.h"

#include "base/assert.h"

static bool ends_agree(const List *list)
{
    return (list->first == NULL) == (list->last == NULL) &&
           (list->first == NULL) == (list->len == 0);
}

void list_push_back(List *list, ListLink *link)
{
    ASSERT(!list_is_linked(link));
    ASSERT(ends_agree(list)); /* I1 */
    *link = (ListLink){ .prev = list->last, .list = list };
    if (list->last)
        list->last->next = link;
    else
        list->first = link;
    list->last = link;
    list->len++;
}

void list_push_front(List *list, ListLink *link)
{
    ASSERT(!list_is_linked(link));
    ASSERT(ends_agree(list)); /* I1 */
    *link = (ListLink){ .next = list->first, .list = list };
    if (list->first)
        list->first->prev = link;
    else
        list->last = link;
    list->first = link;
    list->len++;
}

void list_remove(ListLink *link)
{
    List *list = link->list;

    if (!list)
        return;
    ASSERT(list->len > 0);                     /* I1 */
    ASSERT(link->prev || list->first == link); /* I2 */
    ASSERT(link->next || list->last == link);  /* I2 */
    if (link->prev)
        link->prev->next = link->next;
    else
        list->first = link->next;
    if (link->next)
        link->next->prev = link->prev;
    else
        list->last = link->prev;
    list->len--;
    *link = (ListLink){ 0 };
    ASSERT(ends_agree(list)); /* I1 */
}

ListLink *list_pop_front(List *list)
{
    ListLink *link = list->first;

    if (link)
        list_remove(link);
    return link;
}
