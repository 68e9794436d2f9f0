/*
 * Turns among callers; see the header.
 *
 * A line is found by walking its round: there are as many lines as callers that wait, which the
 * bound in front of the round keeps to some hundreds, and a name is compared by its length first.
 */
#include "worker/fair.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

struct FairLine {
    ListLink link; /* in its round */
    List places;   /* of FairPlace, never empty (F1) */
    size_t round;
    size_t caller_len;
    char caller[FAIR_CALLER_BYTES];
};

static FairLine *line_at(ListLink *link)
{
    return LIST_ITEM(link, FairLine, link);
}

static FairLine *find_line(Fair *fair, size_t round, Str caller)
{
    FairLine *line;

    list_each(&fair->rounds[round], link) {
        line = line_at(link);
        if (line->caller_len == caller.len &&
            (caller.len == 0 || memcmp(line->caller, caller.data, caller.len) == 0))
            return line;
    }
    line = mem_new(FairLine);
    line->round = round;
    line->caller_len = caller.len;
    if (caller.len)
        memcpy(line->caller, caller.data, caller.len);
    list_push_back(&fair->rounds[round], &line->link);
    return line;
}

static void drop_if_empty(FairLine *line)
{
    if (!list_is_empty(&line->places))
        return;
    list_remove(&line->link); /* F1 */
    mem_free(line);
}

void fair_push(Fair *fair, FairPlace *place, Str caller, int priority)
{
    size_t round = priority > 0 ? 0 : priority == 0 ? 1 : 2;

    ASSERT(!place->line);
    if (caller.len > FAIR_CALLER_BYTES)
        caller.len = FAIR_CALLER_BYTES;
    place->line = find_line(fair, round, caller);
    list_push_back(&place->line->places, &place->link);
    fair->len++;
}

FairPlace *fair_pop(Fair *fair)
{
    for (size_t i = 0; i < FAIR_ROUNDS; i++) {
        ListLink *link = list_pop_front(&fair->rounds[i]);
        FairPlace *place;
        FairLine *line;

        if (!link)
            continue;
        line = line_at(link);
        list_push_back(&fair->rounds[i], link); /* the others first, then this one again */
        ASSERT(!list_is_empty(&line->places));  /* F1 */
        place = LIST_ITEM(list_pop_front(&line->places), FairPlace, link);
        place->line = NULL;
        fair->len--;
        drop_if_empty(line);
        return place;
    }
    return NULL;
}

void fair_remove(Fair *fair, FairPlace *place)
{
    FairLine *line = place->line;

    if (!line)
        return;
    list_remove(&place->link);
    place->line = NULL;
    fair->len--;
    drop_if_empty(line);
}
