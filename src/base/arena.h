/*
 * Arena: memory that is freed whole.
 *
 * One for each request, job attempt or parse. Allocation bumps a pointer in a chunk; chunks grow by
 * doubling up to LIMIT_ARENA_CHUNK_BYTES; the total never passes the limit given at init, so a
 * hostile input cannot make it grow without bound. A function whose first parameter is an Arena
 * returns memory that lives as long as that arena.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stddef.h>

typedef struct ArenaChunk ArenaChunk;

typedef struct Arena {
    ArenaChunk *chunks; /* newest first; NULL when it holds nothing */
    char *next;         /* first free byte of the newest chunk */
    char *end;
    size_t total_bytes; /* of all chunks */
    size_t max_bytes;   /* 0 means LIMIT_ARENA_BYTES */
} Arena;

/* An empty arena that may grow to MAX_BYTES (0 for the default). Allocates nothing yet. */
void arena_init(Arena *arena, size_t max_bytes);

/* Free everything; the arena is as after init of a zeroed one. Nothing for a zeroed arena. */
void arena_deinit(Arena *arena);

/* Forget everything; keep the first chunk for reuse unless it is larger than
 * LIMIT_ARENA_KEPT_BYTES. */
void arena_reset(Arena *arena);

/* BYTES aligned to 16, unset; NULL when the limit or the machine has no more. */
MUST void *arena_try(Arena *arena, size_t bytes);

/* As arena_try, zeroed; aborts when there is none: for small things of fixed size. */
MUST void *arena_zalloc(Arena *arena, size_t bytes);
#define arena_new(arena, type) ((type *) arena_zalloc((arena), sizeof(type)))

/* A copy that lives as long as the arena, with a NUL behind it; aborts when there is no room: for
 * short texts. */
Str arena_copy(Arena *arena, Str s);
char *arena_copy_c(Arena *arena, Str s);

/* Formatted text in the arena. */
Str arena_printf(Arena *arena, const char *fmt, ...) SL_PRINTF(2, 3);

DEFINE_AUTO_VALUE(Arena, arena_deinit);
