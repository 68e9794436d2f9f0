/*
 * The memory store's contents, for tests: they stay when the store is closed, and commits can be
 * made to fail as a machine does that dies.
 */
#pragma once

#include "store/store.h"

#include <stdatomic.h>

/* What a commit does; decided by the test at each one. */
typedef enum MemoryFault {
    MEMORY_OK,
    MEMORY_FAILS,       /* nothing is kept, the store answers with an error and goes on */
    MEMORY_FULL,        /* the same, for want of room */
    MEMORY_DIES_BEFORE, /* nothing is kept, and the store is dead until it is opened again */
    MEMORY_DIES_AFTER,  /* all is kept, nobody is told, and the store is dead */
} MemoryFault;

typedef struct MemoryImage {
    void *kv; /* the contents while no store has them open; NULL: a new store */
    MemoryFault (*on_commit)(void *ctx); /* NULL: never a fault */
    void *ctx;
    atomic_bool is_full; /* has_room says no; set by the test while the store works */
} MemoryImage;

/* Free what is left in an image. */
void memory_image_free(MemoryImage *image);
