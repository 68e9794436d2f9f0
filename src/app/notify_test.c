/*
 * Words to the service manager: they arrive, and nobody is waited for.
 */
#define SL_MAY_BLOCK
#include "app/notify.h"

#include "base/test.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Would catch words that do not arrive, and an abstract name that is read as a path. */
static void expect_said(const char *name)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    char said[64] = "";
    Notify notify;
    int fd;

    notify_init(&notify, name, "3000000", NULL);
    EXPECT(notify.len > 0);
    EXPECT_EQ(notify.watchdog_ms, 3000);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    memcpy(un.sun_path, name, strlen(name));
    if (name[0] == '@')
        un.sun_path[0] = '\0';
    REQUIRE(bind(fd, (const struct sockaddr *) &un, notify.len) == 0);
    notify_say(&notify, "READY=%d\n", 1);
    EXPECT_EQ(recv(fd, said, sizeof(said) - 1, 0), 8);
    EXPECT(!strcmp(said, "READY=1\n"));
    close(fd);
    notify_say(&notify, "READY=%d\n", 1); /* nobody listens any more */
}

TEST(a_path_and_an_abstract_name)
{
    char name[100];

    (void) snprintf(name, sizeof(name), "%s/notify", test_dir());
    expect_said(name);
    (void) snprintf(name, sizeof(name), "@sluice-notify-test-%d", (int) getpid());
    expect_said(name);
}

/* Would catch what the environment may hold instead of a name. */
TEST(what_is_no_name)
{
    static const char *const bad[] = { NULL, "", "/", "notify", "tcp:1" };
    char other[20];
    Notify notify;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        notify_init(&notify, bad[i], "1000000", NULL);
        EXPECT_EQ(notify.len, 0);
        EXPECT_EQ(notify.watchdog_ms, 0);
        notify_say(&notify, "READY=1\n");
    }
    (void) snprintf(other, sizeof(other), "%d", (int) getpid() + 1);
    notify_init(&notify, "/x", "1000000", other);
    EXPECT_EQ(notify.watchdog_ms, 0); /* meant for another process */
    notify_init(&notify, "/x", "soon", NULL);
    EXPECT_EQ(notify.watchdog_ms, 0);
}

TEST_MAIN()
