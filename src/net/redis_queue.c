/*
 * The bytes of commands, from the moment a call is handed over until it is answered.
 *
 * Commands are written into chunks, one behind the other, and stay where they are: the writer may
 * be in the middle of sending them while others are added, and after a lost connection they are
 * sent again. A chunk is free once all its commands are answered; the last one is then used from
 * its beginning, so a client that is quick uses one chunk for ever. Nothing is allocated for a
 * call.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#include <string.h>

#define CHUNK_BYTES    (32 << 10)
#define CHUNKS_KEPT    16
#define COMMAND_BYTES  32 /* "*N\r\n" at most */
#define ARGUMENT_BYTES 32 /* "$N\r\n" and "\r\n" at most */

static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
#define ASKING_BYTES (sizeof(asking) - 1)

void queue_append(PendingQueue *to, PendingQueue *from)
{
    if (!from->first)
        return;
    if (to->last)
        to->last->next = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    *from = (PendingQueue){ NULL, NULL };
}

/* ---- records ------------------------------------------------------------------------------- */

Pending *redis_pending_new(Redis *redis)
{
    Pending *pending = redis->free_pendings;

    if (pending)
        redis->free_pendings = pending->next;
    else
        pending = mem_new(Pending);
    *pending = (Pending){ .again_at = SIZE_MAX };
    redis->n_pendings++;
    return pending;
}

void redis_pending_free(Redis *redis, Pending *pending)
{
    ASSERT(redis->n_pendings > 0);
    redis->n_pendings--;
    if (pending->chunk)
        redis_chunk_unref(redis, pending->chunk);
    pending->chunk = NULL;
    pending->call = NULL;
    pending->next = redis->free_pendings;
    redis->free_pendings = pending;
}

/* ---- chunks --------------------------------------------------------------------------------- */

static RedisChunk *chunk_new(Redis *redis, size_t bytes)
{
    RedisChunk *chunk = bytes <= CHUNK_BYTES ? redis->free_chunks : NULL;

    if (chunk) {
        redis->free_chunks = chunk->next;
        redis->n_free_chunks--;
    } else {
        chunk = mem_try(sizeof(*chunk) + MAX(bytes, (size_t) CHUNK_BYTES));
        if (!chunk)
            return NULL;
        chunk->cap = MAX(bytes, (size_t) CHUNK_BYTES);
    }
    chunk->next = NULL;
    chunk->refs = 1;
    chunk->len = 0;
    return chunk;
}

void redis_chunk_ref(RedisChunk *chunk)
{
    chunk->refs++;
}

void redis_chunk_unref(Redis *redis, RedisChunk *chunk)
{
    ASSERT(chunk->refs > 0);
    if (--chunk->refs > 0)
        return;
    if (chunk->cap > CHUNK_BYTES || redis->n_free_chunks >= CHUNKS_KEPT) {
        mem_free(chunk);
        return;
    }
    chunk->next = redis->free_chunks;
    redis->free_chunks = chunk;
    redis->n_free_chunks++;
}

/* A chunk with room for BYTES, on which the caller gets a count. NULL without memory. */
static RedisChunk *chunk_with_room(Redis *redis, RedisNode *node, size_t bytes)
{
    RedisChunk *tail;

    if (!node)
        return chunk_new(redis, bytes);
    tail = node->tail;
    if (tail && tail->refs == 1)
        tail->len = 0; /* R1: everything in it is answered */
    if (!tail || tail->cap - tail->len < bytes) {
        tail = chunk_new(redis, bytes);
        if (!tail)
            return NULL;
        if (node->tail)
            redis_chunk_unref(redis, node->tail);
        node->tail = tail;
    }
    redis_chunk_ref(tail);
    return tail;
}

/* ---- commands ------------------------------------------------------------------------------- */

static size_t digits(size_t n)
{
    size_t count = 1;

    for (; n >= 10; n /= 10)
        count++;
    return count;
}

/* Where the byte AGAIN of the call's arguments is in the command of LEN bytes. */
static size_t find_again(const RedisCall *call, size_t len)
{
    size_t end = len;

    for (size_t i = call->argc; i-- > 0;) {
        const Str *arg = &call->argv[i];
        size_t from = end - 2 - arg->len;

        if (call->again >= arg->data && call->again < arg->data + arg->len)
            return from + (size_t) (call->again - arg->data);
        end = from - 3 - digits(arg->len);
    }
    UNREACHABLE("again points into none of the arguments");
}

int redis_encode(Redis *redis, RedisNode *node, Pending *pending, const RedisCall *call)
{
    size_t bytes = COMMAND_BYTES;
    RedisChunk *chunk;
    Buf out;

    for (size_t i = 0; i < call->argc; i++)
        bytes += call->argv[i].len + ARGUMENT_BYTES;
    chunk = chunk_with_room(redis, node, bytes);
    if (!chunk)
        return fail(-ENOMEM, "no memory for a command of %zu bytes", bytes);
    out = (Buf){ .data = chunk->data, .len = chunk->len, .cap = chunk->cap, .max_bytes = SIZE_MAX };
    resp_add_command(&out, call->argv, call->argc);
    ASSERT(out.data == chunk->data && !out.is_failed);
    pending->chunk = chunk;
    pending->at = chunk->len;
    pending->len = out.len - chunk->len;
    pending->again_at = call->again ? find_again(call, pending->len) : SIZE_MAX;
    chunk->len = out.len;
    return 0;
}

int redis_recode(Redis *redis, RedisNode *node, Pending *pending, bool is_asking)
{
    RedisChunk *old = pending->chunk, *chunk;
    size_t head = is_asking ? ASKING_BYTES : 0;
    size_t skip = pending->is_asking ? ASKING_BYTES : 0;
    size_t len = pending->len - skip;
    char *out;

    chunk = chunk_with_room(redis, node, head + len);
    if (!chunk)
        return fail(-ENOMEM, "no memory for a command of %zu bytes", len);
    out = chunk->data + chunk->len;
    memcpy(out, asking, head);
    memcpy(out + head, old->data + pending->at + skip, len);
    pending->chunk = chunk;
    pending->at = chunk->len;
    pending->len = head + len;
    if (pending->again_at != SIZE_MAX)
        pending->again_at = pending->again_at - skip + head;
    pending->is_asking = is_asking;
    pending->skip = is_asking ? 1 : 0;
    chunk->len += pending->len;
    redis_chunk_unref(redis, old);
    return 0;
}
