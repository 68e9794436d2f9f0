/*
 * The table of doors, and who is inside.
 *
 *   D1  A call counts as inside from before the owner's function until after it has returned.
 *   D2  A door that is shut lets nobody in; its name stays, so that writers hear "later" and not
 *       "never".
 */
#include "rows/door.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <sluice/rt.h>

#define CLOSE_TURN_MS 1000 /* a shield needs a time; the wait goes on after it */

struct Door {
    ListLink link; /* in doors->doors, for ever */
    Doors *doors;
    char *name;   /* owned */
    bool is_open; /* has an owner */
    bool is_shut; /* open, and takes no further calls */
    size_t inside;
    sl_cond left;
    SUSPENDS int (*offer)(void *ctx, DoorCall *call);
    void *ctx;
};

struct Doors {
    List doors;
};

void door_call_deinit(DoorCall *call)
{
    mem_free(call->refusals);
    call->refusals = NULL;
    call->n_refusals = 0;
}

Doors *doors_new(void)
{
    return mem_new(Doors);
}

void doors_free(Doors *doors)
{
    ListLink *link;

    if (!doors)
        return;
    while ((link = list_pop_front(&doors->doors)) != NULL) {
        Door *door = LIST_ITEM(link, Door, link);

        ASSERT(!door->is_open && door->inside == 0);
        mem_free(door->name);
        mem_free(door);
    }
    mem_free(doors);
}

static Door *find(const Doors *doors, Str name)
{
    list_each(&doors->doors, link) {
        Door *door = LIST_ITEM(link, Door, link);

        if (str_eq_c(name, door->name))
            return door;
    }
    return NULL;
}

int door_open(Doors *doors, Str name, SUSPENDS int (*offer)(void *ctx, DoorCall *call), void *ctx,
              Door **ret_door)
{
    Door *door = find(doors, name);

    ASSERT(offer && name.len > 0);
    if (door && door->is_open)
        return fail(-ERR_CONFLICT, "pipeline \"%.*s\" takes rows over HTTP already", (int) name.len,
                    name.data);
    if (!door) {
        if (doors->doors.len >= LIMIT_DOORS)
            return fail(-ERR_TOO_LARGE, "%d pipelines take rows over HTTP, which is the limit",
                        LIMIT_DOORS);
        door = mem_new(Door);
        door->doors = doors;
        door->name = mem_copy_c(name.data, name.len);
        list_push_back(&doors->doors, &door->link);
    }
    ASSERT(door->inside == 0);
    door->is_open = true;
    door->is_shut = false;
    door->offer = offer;
    door->ctx = ctx;
    *ret_door = door;
    return 0;
}

void door_shut(Door *door)
{
    door->is_shut = true;
}

size_t door_inside(const Door *door)
{
    return door->inside;
}

void door_close(Door *door)
{
    if (!door)
        return;
    door_shut(door);
    while (door->inside > 0) {
        sl_scope shield;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = CLOSE_TURN_MS);
        (void) !sl_scope_end(&shield, sl_cond_wait(&door->left)); /* the count tells */
    }
    door->is_open = false;
    door->offer = NULL;
    door->ctx = NULL;
}

int doors_offer(Doors *doors, Str name, DoorCall *call)
{
    Door *door = find(doors, name);
    int r;

    if (!door)
        return fail(-ERR_NOT_FOUND, "there is no pipeline \"%.*s\" that takes rows over HTTP",
                    (int) name.len, name.data);
    if (!door->is_open || door->is_shut) /* D2 */
        return fail(-ERR_UNAVAILABLE, "pipeline \"%s\" is stopping or starting", door->name);
    door->inside++; /* D1 */
    r = door->offer(door->ctx, call);
    ASSERT(r <= 0 && door->inside > 0);
    if (--door->inside == 0)
        sl_cond_wake_all(&door->left);
    return r;
}

bool doors_next(const Doors *doors, size_t *cursor, Str *ret_name)
{
    size_t i = 0;

    list_each(&doors->doors, link) {
        if (i++ != *cursor)
            continue;
        *ret_name = str_from_c(LIST_ITEM(link, Door, link)->name);
        ++*cursor;
        return true;
    }
    return false;
}
