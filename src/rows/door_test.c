/*
 * Doors: names, who is inside when one closes, and that a closed one says "later".
 */
#include "rows/door.h"

#include "base/test.h"

#include <sluice/rt.h>

typedef struct Room {
    sl_event may_answer;
    size_t calls;
} Room;

SUSPENDS static int answer(void *ctx, DoorCall *call)
{
    Room *room = ctx;

    room->calls++;
    call->accepted = 7;
    return sl_event_wait(&room->may_answer);
}

typedef struct Caller {
    Doors *doors;
    int r;
    bool is_back;
} Caller;

SUSPENDS static int caller_fiber(void *arg)
{
    Caller *caller = arg;
    DoorCall call = { 0 };

    caller->r = doors_offer(caller->doors, STR_C("a"), &call);
    EXPECT_EQ(call.accepted, 7);
    caller->is_back = true;
    door_call_deinit(&call);
    return 0;
}

SUSPENDS static int answer_fiber(void *arg)
{
    Room *room = arg;

    sl_event_set(&room->may_answer);
    return 0;
}

/* Would catch a door that closes over the heads of those who are inside. */
SUSPENDS static int closing_main(void *arg)
{
    Doors *doors = doors_new();
    Room room = { 0 };
    Caller caller = { .doors = doors };
    sl_nursery *nursery = sl_nursery_open(.name = "callers");
    DoorCall call = { 0 };
    Door *door = NULL;

    (void) arg;
    EXPECT_ERR(doors_offer(doors, STR_C("a"), &call), -ERR_NOT_FOUND, "no pipeline \"a\"");
    EXPECT_OK(door_open(doors, STR_C("a"), answer, &room, &door));
    sl_spawn(nursery, caller_fiber, &caller);
    EXPECT_OK(sl_yield());
    EXPECT_EQ(door_inside(door), 1);
    door_shut(door);
    EXPECT_ERR(doors_offer(doors, STR_C("a"), &call), -ERR_UNAVAILABLE, "stopping or starting");
    sl_spawn(nursery, answer_fiber, &room);
    door_close(door);
    EXPECT(caller.is_back);
    EXPECT_OK(caller.r);
    EXPECT_ERR(doors_offer(doors, STR_C("a"), &call), -ERR_UNAVAILABLE, "stopping or starting");
    EXPECT_EQ(room.calls, 1);
    door_close(NULL);
    sl_nursery_close(nursery);
    doors_free(doors);
    return 0;
}

TEST(a_door_closes_behind_the_last_caller)
{
    EXPECT_OK(sl_run(closing_main, NULL, .loop = SL_LOOP_SIM));
}

/* Would catch a name that is given twice, or lost when its door opens again. */
SUSPENDS static int names_main(void *arg)
{
    Doors *doors = doors_new();
    Door *a = NULL, *b = NULL, *other = NULL;
    size_t cursor = 0;
    Str name;

    (void) arg;
    EXPECT_OK(door_open(doors, STR_C("a"), answer, NULL, &a));
    EXPECT_OK(door_open(doors, STR_C("b"), answer, NULL, &b));
    EXPECT_ERR(door_open(doors, STR_C("a"), answer, NULL, &other), -ERR_CONFLICT, "already");
    door_close(a);
    EXPECT_OK(door_open(doors, STR_C("a"), answer, NULL, &other));
    EXPECT(doors_next(doors, &cursor, &name));
    EXPECT_STR(name, STR_C("a"));
    EXPECT(doors_next(doors, &cursor, &name));
    EXPECT_STR(name, STR_C("b"));
    EXPECT(!doors_next(doors, &cursor, &name));
    door_close(other);
    door_close(b);
    doors_free(doors);
    return 0;
}

TEST(names_are_unique_and_stay)
{
    EXPECT_OK(sl_run(names_main, NULL, .loop = SL_LOOP_SIM));
}

TEST_MAIN()
