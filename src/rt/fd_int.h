/*
 * The table of descriptors of a loop: who waits on which, and what is known of it.
 */
#pragma once

#include "rt/rt_int.h"

/* What a fiber that waits on a descriptor leaves behind; on its stack. */
typedef struct FdWait {
    int fd;
    int events; /* waited for: SL_FD_READ, SL_FD_WRITE */
    int ready;  /* what woke it */
} FdWait;

typedef struct FdSlot {
    sl_fiber *reader; /* parked; wait_ctx is its FdWait */
    sl_fiber *writer;
    uint32_t gen;    /* of the use that the rest speaks of */
    bool is_watched; /* the backend reports it */
    bool is_stream;  /* a short read means that nothing is left: a stream socket or a pipe */
    bool is_hung_up; /* the peer has hung up, or an error: nothing can be concluded from a short
                        read */
    bool is_drained; /* the last read was short and nothing has been reported since */
} FdSlot;

struct FdTable {
    FdSlot *slots; /* by descriptor */
    size_t n;
};

FdTable *fd_table_new(void);
void fd_table_free(FdTable *table); /* nobody waits any more; NULL is nothing */

/* Generations of descriptors, for all loops of a runtime: how a loop learns that another one has
 * closed a number. */
MUST int fd_gens_init(Runtime *runtime);
void fd_gens_deinit(Runtime *runtime);
