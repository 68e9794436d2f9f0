/*
 * The arena: chunks of memory that are filled from the front and freed together.
 *
 *     Arena                      newest chunk                       older            oldest
 *     chunks ------------------> [head|used used used|free    ] --> [head|used] --> [head|used]
 *     next   --------------------------------------->|        |
 *     end    ------------------------------------------------>|
 *
 * A request that does not fit the newest chunk gets a new one: twice as large as the last, up to
 * LIMIT_ARENA_CHUNK_BYTES, or as large as the request. What was left of the old one is lost, which
 * is at most half. The sum of the chunks never passes max_bytes.
 */
#include "base/arena.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct ArenaChunk {
    ArenaChunk *older;
    size_t bytes; /* of the chunk, this head included */
    alignas(16) char data[];
};

enum { ALIGN = 16, FIRST_CHUNK = 2048 };

STATIC_ASSERT(sizeof(ArenaChunk) % ALIGN == 0, "the data behind the head of a chunk is aligned");
STATIC_ASSERT((size_t) FIRST_CHUNK <= LIMIT_ARENA_CHUNK_BYTES, "chunks grow");

void arena_init(Arena *arena, size_t max_bytes)
{
    *arena = (Arena){ .max_bytes = max_bytes };
}

static void chunks_free(ArenaChunk *chunk)
{
    while (chunk) {
        ArenaChunk *older = chunk->older;

        mem_free(chunk);
        chunk = older;
    }
}

void arena_deinit(Arena *arena)
{
    chunks_free(arena->chunks);
    *arena = (Arena){ .max_bytes = arena->max_bytes };
}

void arena_reset(Arena *arena)
{
    ArenaChunk *chunk = arena->chunks;

    if (!chunk)
        return;
    while (chunk->older) {
        ArenaChunk *older = chunk->older;

        mem_free(chunk);
        chunk = older;
    }
    if (chunk->bytes > LIMIT_ARENA_KEPT_BYTES) {
        mem_free(chunk);
        *arena = (Arena){ .max_bytes = arena->max_bytes };
        return;
    }
    arena->chunks = chunk;
    arena->total_bytes = chunk->bytes;
    arena->next = chunk->data;
    arena->end = (char *) chunk + chunk->bytes;
#ifdef SL_DEBUG
    memset(chunk->data, 0xdd, (size_t) (arena->end - arena->next));
#endif
}

/* A new newest chunk with room for BYTES; false when the limit or the machine has no more. */
static bool chunk_add(Arena *arena, size_t bytes)
{
    size_t max = arena->max_bytes ? arena->max_bytes : LIMIT_ARENA_BYTES;
    size_t left = max > arena->total_bytes ? max - arena->total_bytes : 0;
    size_t size = FIRST_CHUNK;
    ArenaChunk *chunk;

    if (left < sizeof(ArenaChunk) || bytes > left - sizeof(ArenaChunk))
        return false;
    if (arena->chunks)
        size = MIN(MAX(arena->chunks->bytes, (size_t) FIRST_CHUNK) * 2,
                   (size_t) LIMIT_ARENA_CHUNK_BYTES);
    size = MIN(MAX(size, bytes + sizeof(ArenaChunk)), left);

    chunk = mem_try(size);
    if (!chunk)
        return false;
    chunk->older = arena->chunks;
    chunk->bytes = size;
    arena->chunks = chunk;
    arena->total_bytes += size;
    arena->next = chunk->data;
    arena->end = (char *) chunk + size;
    return true;
}

void *arena_try(Arena *arena, size_t bytes)
{
    size_t rounded = (bytes + (ALIGN - 1)) & ~(size_t) (ALIGN - 1);
    char *ptr;

    if (UNLIKELY(rounded < bytes))
        return NULL;
    if (bytes == 0)
        rounded = ALIGN;
    if (UNLIKELY(rounded > (size_t) (arena->end - arena->next)) && !chunk_add(arena, rounded))
        return NULL;
    ptr = arena->next;
    arena->next += rounded;
    ASSERT(arena->next <= arena->end);
    return ptr;
}

/* For what is small: no room is a bug or the end. */
static void *arena_must(Arena *arena, size_t bytes)
{
    void *ptr = arena_try(arena, bytes);

    if (UNLIKELY(!ptr))
        UNREACHABLE("the arena is full");
    return ptr;
}

void *arena_zalloc(Arena *arena, size_t bytes)
{
    return memset(arena_must(arena, bytes), 0, bytes);
}

char *arena_copy_c(Arena *arena, Str s)
{
    char *copy = arena_must(arena, s.len + 1);

    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

Str arena_copy(Arena *arena, Str s)
{
    return str_from(arena_copy_c(arena, s), s.len);
}

Str arena_printf(Arena *arena, const char *fmt, ...)
{
    va_list args;
    int len;
    char *text;

    va_start(args, fmt);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    ASSERT(len >= 0);

    text = arena_must(arena, (size_t) len + 1);
    va_start(args, fmt);
    vsnprintf(text, (size_t) len + 1, fmt, args);
    va_end(args);
    return str_from(text, (size_t) len);
}
