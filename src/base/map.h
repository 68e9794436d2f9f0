/*
 * Map: bytes to pointer, a hash table with open addressing.
 *
 * Keys are copied in; values are borrowed pointers, never NULL. The hash is seeded per map
 * (SipHash-1-3 or an equal that resists chosen keys), because keys come from the network. Iteration
 * order is not defined. A zeroed Map is empty and usable. Not for other threads.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct MapEntry MapEntry;

typedef struct Map {
    MapEntry *entries;
    size_t len;
    size_t cap;       /* a power of two, or 0 */
    uint64_t seed[2]; /* zero means a fixed seed: for tests and for keys of our own */
} Map;

void map_init(Map *map, uint64_t seed0, uint64_t seed1);
void map_deinit(Map *map);
void *map_find(const Map *map, Str key); /* borrowed, or NULL for none */

/* Put VALUE (not NULL) under KEY; returns the value that was there, or NULL. Aborts without memory:
 * callers bound their maps. */
void *map_put(Map *map, Str key, void *value);
void *map_remove(Map *map, Str key); /* what was there, or NULL */

/* Iterate: start with *cursor = 0; false at the end. The map must not change meanwhile. */
bool map_next(const Map *map, size_t *cursor, Str *ret_key, void **ret_value);

/* The hash of BYTES under a seed, for other tables. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed0, uint64_t seed1);

DEFINE_AUTO_VALUE(Map, map_deinit);
