/*
 * Words to the service manager: ready, stopping, still alive.
 *
 * systemd gives a service of `Type=notify` a datagram socket by name, and takes lines of text on
 * it (sd_notify(3)). Without one, everything here is nothing.
 */
#pragma once

#include "base/own.h"

#include <sluice/rt.h>

#include <stdint.h>

/* What the environment says; ADDRESS of length 0 when nobody listens. */
typedef struct Notify {
    struct sockaddr_storage address;
    socklen_t len;
    int64_t watchdog_ms; /* a sign of life is wanted at least so often; 0: none is */
} Notify;

/* Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, as they are given. */
void notify_init(Notify *notify, const char *socket, const char *watchdog_us,
                 const char *watchdog_pid);

/* Say "READY=1\nSTATUS=…". What cannot be said is dropped. */
void notify_say(const Notify *notify, const char *fmt, ...) SL_PRINTF(2, 3);
