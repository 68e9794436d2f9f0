/*
 * The walls of a box, from the inside. Each is tried by itself, and what the kernel refuses is
 * reported as missing instead of failing the start: whether that is good enough is for the engine
 * to say (BoxWalls).
 *
 *   sandbox_enter    in the spawner, once: namespaces that all its boxes share
 *   sandbox_limit    in a box, before its handlers prepare
 *   sandbox_close    in a box, afterwards: from here on it computes, and does nothing else
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* X(NAME, "how it is called") */
#define BOX_WALLS(X)                   \
    X(USER, "user namespace")          \
    X(MOUNT, "empty root")             \
    X(NET, "network namespace")        \
    X(IPC, "ipc and uts namespaces")   \
    X(PID, "process namespace")        \
    X(PRIVILEGES, "no new privileges") \
    X(FILTER, "system call filter")    \
    X(LIMITS, "resource limits")

typedef enum BoxWall {
#define X(name, text) BOX_WALL_##name,
    BOX_WALLS(X)
#undef X
        BOX_WALL_COUNT
} BoxWall;

#define BOX_WALL_BIT(name) (UINT32_C(1) << BOX_WALL_##name)

/* Leave the world as far as the kernel lets us; bits of what is missing. The caller forks next: its
 * children are in a process namespace of their own, of which the first must live. */
uint32_t sandbox_enter(void);

/* Niceness, memory, files, the out-of-memory killer's preference. MISSING as sandbox_enter gave it;
 * returns it with further bits. */
uint32_t sandbox_limit(uint32_t missing);

/* Shut: an address space of at most MEMORY_BYTES more, empty root, no privileges, the filter. */
uint32_t sandbox_close(uint32_t missing, uint64_t memory_bytes);

/* Install the filter in every thread of the process. 0 or an error. */
int sandbox_filter(void);

/* Bound the processor time from now on; SIGXCPU beyond. */
void sandbox_allow_cpu(int64_t seconds);
