/*
 * Words to the service manager; see the header.
 *
 * A datagram to a Unix socket either goes at once or not at all: nothing here waits, and a manager
 * that does not listen is its own misfortune.
 */
#include "app/notify.h"

#include "base/macro.h"
#include "base/text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NOTIFY_BYTES 512

void notify_init(Notify *notify, const char *socket, const char *watchdog_us,
                 const char *watchdog_pid)
{
    struct sockaddr_un *un = (struct sockaddr_un *) &notify->address;
    size_t len = socket ? strlen(socket) : 0;
    uint64_t us = 0, pid = 0;

    *notify = (Notify){ 0 };
    if (len < 2 || len >= sizeof(un->sun_path) || (socket[0] != '/' && socket[0] != '@'))
        return;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, socket, len);
    if (socket[0] == '@')
        un->sun_path[0] = '\0'; /* an abstract name */
    notify->len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len + (socket[0] == '/'));
    if (!watchdog_us || str_to_u64(str_from_c(watchdog_us), INT64_MAX, &us) < 0)
        return;
    if (watchdog_pid &&
        (str_to_u64(str_from_c(watchdog_pid), INT32_MAX, &pid) < 0 || pid != (uint64_t) getpid()))
        return;
    notify->watchdog_ms = (int64_t) (us / 1000);
}

void notify_say(const Notify *notify, const char *fmt, ...)
{
    char text[NOTIFY_BYTES];
    va_list args;
    int fd, n;

    if (notify->len == 0)
        return;
    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || n < 0)
        return;
    (void) sendto(fd, text, MIN((size_t) n, sizeof(text) - 1), MSG_NOSIGNAL,
                  (const struct sockaddr *) &notify->address, notify->len);
    (void) close(fd);
}
