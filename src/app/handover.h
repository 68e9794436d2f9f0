/*
 * Handover: an engine that starts takes the listening sockets of the one that runs.
 *
 * Both are started with the same `--handover FILE`, a Unix socket. The one that runs listens there;
 * the next one finds it answering, and
 *
 *   next                                     running
 *   connects                            ->
 *                                       <-   version, the listening sockets (SCM_RIGHTS)
 *   TAKE: serves the same sockets       ->
 *                                       <-   OK: takes no further connections, and stops
 *                                       <-   end of the connection: it has closed its store
 *
 * The sockets are the same ones, not others on the same port: a connection that waits to be
 * accepted waits in the socket, whoever accepts it. So nothing is refused and nothing is reset,
 * however the two overlap (docs/adr/0006-handover.md). Where the store can be open in one process
 * only, TAKE is said first and the end of the connection is waited for; connections wait meanwhile
 * in the kernel's queue.
 *
 * Sockets may also come from systemd (LISTEN_FDS), which keeps them over a restart.
 */
#pragma once

#include "base/own.h"
#include "net/listener.h"

#include <sluice/str.h>

#include <stddef.h>

#define HANDOVER_SOCKETS_MAX 64

/* Listening sockets from elsewhere. */
typedef struct Handover {
    int sockets[HANDOVER_SOCKETS_MAX]; /* owned */
    size_t n;
    int link; /* to the engine they come from; -1: to none */
} Handover;

#define HANDOVER_NULL ((Handover){ .link = -1 })

/*
 * Before the runtime starts; blocks. The sockets of LISTEN_FDS, if it is meant for this process;
 * else those of the engine that answers at PATH; else none. 0, or an error with words.
 */
MUST int handover_take(Str path, const char *listen_pid, const char *listen_fds,
                       Handover *ret_handover);

/* Blocks too: have the engine at the other end stop, and wait until it has closed its store. */
MUST int handover_take_store(Handover *handover);

/* On the loop: have the engine at the other end stop, and wait until it takes no connections. */
MUST SUSPENDS int handover_take_port(Handover *handover);

/*
 * On the loop, for whoever runs: wait at LISTENER until somebody has taken the N SOCKETS. 0 and
 * the connection to it (to be closed with sl_fd_close when the store is), -ECANCELED.
 */
MUST SUSPENDS int handover_give(Listener *listener, const int *sockets, size_t n, int *ret_link);

/* Say OK to the one who took them. */
SUSPENDS void handover_confirm(int link);

void handover_close(Handover *handover);
