/*
 * Handover between two engines that are one process here: sockets go over, and strangers get none.
 */
#define SL_MAY_BLOCK
#include "app/handover.h"

#include "base/err.h"
#include "base/log.h"
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct World {
    char path[120];
    int sockets[2];
    int given;         /* the running engine's end */
    Handover handover; /* the next one's */
    int r;
} World;

static int take(void *arg)
{
    World *world = arg;

    return handover_take(str_from_c(world->path), NULL, NULL, &world->handover);
}

SUSPENDS static int give(void *arg)
{
    World *world = arg;
    char text[140];
    AUTO(listener_close) Listener *listener = NULL;
    NetAddress address;
    int r;

    (void) snprintf(text, sizeof(text), "unix:%s", world->path);
    r = net_address_parse(str_from_c(text), &address);
    if (r == 0)
        r = listener_open(&address, &(ListenerOpts){ .is_exclusive = true }, &listener);
    if (r == 0)
        r = handover_give(listener, world->sockets, 2, &world->given);
    if (r == 0)
        handover_confirm(world->given);
    return r;
}

SUSPENDS static int take_twice(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    char text[NET_ADDRESS_TEXT_MAX];
    NetAddress address;
    Listener *listeners[2] = { NULL }, *adopted = NULL;

    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(listener_open(&address, NULL, &listeners[i]));
        world->sockets[i] = listeners[i]->fd;
    }
    EXPECT_OK(sl_spawn(nursery, give, world));
    while (access(world->path, F_OK) != 0)
        EXPECT_OK(sl_yield());

    /* One that takes them and then gives up changes nothing. */
    EXPECT_OK(sl_offload(take, world, "take"));
    EXPECT_EQ(world->handover.n, 2);
    handover_close(&world->handover);

    EXPECT_OK(sl_offload(take, world, "take"));
    EXPECT_EQ(world->handover.n, 2);
    EXPECT(world->handover.link >= 0);
    EXPECT_OK(listener_adopt(world->handover.sockets[1], &adopted));
    world->handover.sockets[1] = -1;
    EXPECT_EQ(net_address_port(&adopted->address), net_address_port(&listeners[1]->address));
    (void) listener_address(adopted, text);
    EXPECT_OK(handover_take_port(&world->handover));
    EXPECT_EQ(world->handover.link, -1);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT(world->given >= 0);
    sl_fd_close(world->given);
    handover_close(&world->handover);
    listener_close(adopted);
    listener_close(listeners[0]);
    listener_close(listeners[1]);
    return 0;
}

/* Would catch sockets that do not arrive, and a change of mind that counts. */
TEST(sockets_go_over)
{
    World world = { .given = -1, .handover = HANDOVER_NULL };

    (void) snprintf(world.path, sizeof(world.path), "%s/handover", test_dir());
    EXPECT_OK(sl_run(take_twice, &world, .stall_ms = -1));
}

/* Would catch a first start that needs somebody to take from. */
TEST(nobody_is_there)
{
    Handover handover;
    char path[120];

    (void) snprintf(path, sizeof(path), "%s/nobody", test_dir());
    EXPECT_OK(handover_take(str_from_c(path), NULL, NULL, &handover));
    EXPECT_EQ(handover.n, 0);
    EXPECT_EQ(handover.link, -1);
    EXPECT_OK(handover_take((Str){ 0 }, "1", "1", &handover)); /* meant for another process */
    EXPECT_EQ(handover.n, 0);
    handover_close(&handover);
}

TEST_MAIN()
