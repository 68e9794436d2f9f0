/*
 * Kv: three ordered maps of bytes with transactions, which is all that the engine asks of a
 * backend.
 *
 *   KV_JOBS   id (16)                                                -> record without its id
 *   KV_INDEX  place (1) queue (4) order (8) id (16), big-endian -> active jobs: their holder
 *   KV_META   'q' number (4)            -> a queue: see engine_queues.c
 *             'i' key                   -> an idempotency key: see engine_push.c
 *             'x' time (8) key          -> empty: when that key is forgotten
 *             'm' name                  -> a small named value
 *             'c'                       -> steady clock of the last commit (8)
 *
 * Outcomes are KV_NONE and KV_EXISTS; an error means that the transaction must be given up. What
 * get, seek and next hand out is borrowed until the next change of that tree, which also ends a
 * scan.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stdint.h>

typedef enum KvTree { KV_JOBS, KV_INDEX, KV_META } KvTree;

#define KV_TREES     3
#define KV_KEY_BYTES 300 /* no key is longer */

enum { KV_NONE = 1, KV_EXISTS = 2 };

typedef struct KvOps {
    MUST int (*begin)(void *kv);
    MUST int (*commit)(void *kv);
    void (*abort)(void *kv);
    MUST int (*get)(void *kv, KvTree tree, Str key, Str *ret_value); /* 0, KV_NONE */
    MUST int (*add)(void *kv, KvTree tree, Str key, Str value);      /* 0, KV_EXISTS */
    MUST int (*put)(void *kv, KvTree tree, Str key, Str value);      /* add or replace */
    MUST int (*replace)(void *kv, KvTree tree, Str key,
                        Str value);                  /* KEY was got last in this tree */
    MUST int (*del)(void *kv, KvTree tree, Str key); /* 0, KV_NONE */
    /* The first entry at or behind KEY, or with IS_BACKWARD the last one before KEY. 0, KV_NONE. */
    MUST int (*seek)(void *kv, KvTree tree, Str key, bool is_backward, Str *ret_key,
                     Str *ret_value);
    /* The entry after the one that seek or next gave, in the direction of the seek. 0, KV_NONE. */
    MUST int (*next)(void *kv, KvTree tree, Str *ret_key, Str *ret_value);
    /* Whether BYTES more may be stored without touching what is kept for finishing jobs. */
    bool (*has_room)(void *kv, uint64_t bytes);
} KvOps;
