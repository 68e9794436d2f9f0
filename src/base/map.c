/*
 * The hash table of map.h: open addressing, linear probing, removal by shifting back.
 *
 * A slot is one cache line: hash, value, and the key itself when it is short, so that a look-up of
 * a short key touches one line and a miss usually one too. At most three quarters of the slots are
 * in use. A removal moves the followers of its cluster back by one where that brings them nearer to
 * their home, so there are no tombstones, and a table that is filled and emptied for ever stays as
 * quick as it was.
 *
 *   I1  value is NULL exactly in a free slot; len counts the others; len <= cap * 3 / 4
 *   I2  between the home of a key (hash & (cap - 1)) and its slot there is no free slot
 *
 * The hash is SipHash-1-3 under the map's seed. It is what keeps a client who chooses the keys from
 * choosing our collisions.
 */
#include "base/map.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

enum { SHORT_KEY = 40, FIRST_CAP = 8 };

struct MapEntry {
    uint64_t hash;
    void *value;
    size_t key_len;
    union {
        char bytes[SHORT_KEY]; /* a key of at most SHORT_KEY bytes */
        char *heap;            /* a longer one, owned */
    } key;
};

STATIC_ASSERT(sizeof(MapEntry) == 64, "a slot is one cache line");

static uint64_t rotl(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

#define SIP_ROUND(v0, v1, v2, v3) \
    do {                          \
        v0 += v1;                 \
        v1 = rotl(v1, 13) ^ v0;   \
        v0 = rotl(v0, 32);        \
        v2 += v3;                 \
        v3 = rotl(v3, 16) ^ v2;   \
        v0 += v3;                 \
        v3 = rotl(v3, 21) ^ v0;   \
        v2 += v1;                 \
        v1 = rotl(v1, 17) ^ v2;   \
        v2 = rotl(v2, 32);        \
    } while (0)

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed0, uint64_t seed1)
{
    const unsigned char *p = data;
    size_t whole = len & ~(size_t) 7;
    uint64_t v0 = seed0 ^ UINT64_C(0x736f6d6570736575);
    uint64_t v1 = seed1 ^ UINT64_C(0x646f72616e646f6d);
    uint64_t v2 = seed0 ^ UINT64_C(0x6c7967656e657261);
    uint64_t v3 = seed1 ^ UINT64_C(0x7465646279746573);
    uint64_t last = (uint64_t) len << 56;
    uint64_t word;

    for (size_t i = 0; i < whole; i += 8) {
        memcpy(&word, p + i, 8);
        v3 ^= word;
        SIP_ROUND(v0, v1, v2, v3);
        v0 ^= word;
    }
    for (size_t i = whole; i < len; i++)
        last |= (uint64_t) p[i] << (8 * (i - whole));
    v3 ^= last;
    SIP_ROUND(v0, v1, v2, v3);
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND(v0, v1, v2, v3);
    SIP_ROUND(v0, v1, v2, v3);
    SIP_ROUND(v0, v1, v2, v3);
    return v0 ^ v1 ^ v2 ^ v3;
}

STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "hash_bytes reads words as they lie in memory");

void map_init(Map *map, uint64_t seed0, uint64_t seed1)
{
    *map = (Map){ .seed = { seed0, seed1 } };
}

static Str key_of(const MapEntry *entry)
{
    return str_from(entry->key_len <= SHORT_KEY ? entry->key.bytes : entry->key.heap,
                    entry->key_len);
}

static void key_free(MapEntry *entry)
{
    if (entry->key_len > SHORT_KEY)
        mem_free(entry->key.heap);
}

void map_deinit(Map *map)
{
    for (size_t i = 0; i < map->cap; i++) {
        if (map->entries[i].value)
            key_free(&map->entries[i]);
    }
    mem_free(map->entries);
    *map = (Map){ .seed = { map->seed[0], map->seed[1] } };
}

/* The slot that holds KEY, or the free one where it would go. The table has a free slot. */
static size_t probe(const Map *map, Str key, uint64_t hash)
{
    size_t mask = map->cap - 1;
    size_t i = hash & mask;

    while (map->entries[i].value) {
        if (map->entries[i].hash == hash && str_eq(key_of(&map->entries[i]), key))
            break;
        i = (i + 1) & mask;
    }
    return i;
}

static uint64_t hash_of(const Map *map, Str key)
{
    return hash_bytes(key.data, key.len, map->seed[0], map->seed[1]);
}

void *map_find(const Map *map, Str key)
{
    if (map->len == 0)
        return NULL;
    return map->entries[probe(map, key, hash_of(map, key))].value;
}

static void grow(Map *map)
{
    Map bigger = *map;

    bigger.cap = map->cap ? map->cap * 2 : FIRST_CAP;
    bigger.entries = mem_new_array(MapEntry, bigger.cap);
    for (size_t i = 0; i < map->cap; i++) {
        const MapEntry *entry = &map->entries[i];

        if (entry->value) {
            size_t at = entry->hash & (bigger.cap - 1);

            while (bigger.entries[at].value)
                at = (at + 1) & (bigger.cap - 1);
            bigger.entries[at] = *entry;
        }
    }
    mem_free(map->entries);
    *map = bigger;
}

void *map_put(Map *map, Str key, void *value)
{
    uint64_t hash = hash_of(map, key);
    MapEntry *entry;
    void *old;

    ASSERT(value);
    if (map->len + 1 > map->cap / 4 * 3)
        grow(map);
    entry = &map->entries[probe(map, key, hash)];
    old = entry->value;
    if (!old) {
        entry->hash = hash;
        entry->key_len = key.len;
        if (key.len > SHORT_KEY)
            entry->key.heap = mem_copy_c(key.data, key.len);
        else if (key.len > 0)
            memcpy(entry->key.bytes, key.data, key.len);
        map->len++;
    }
    entry->value = value;
    return old;
}

/* Free slot HOLE and restore I2: followers of the cluster whose home is not behind the hole move
 * into it. */
static void close_hole(Map *map, size_t hole)
{
    size_t mask = map->cap - 1;
    size_t i = hole;

    for (;;) {
        i = (i + 1) & mask;
        if (!map->entries[i].value)
            break;
        if (((i - map->entries[i].hash) & mask) >= ((i - hole) & mask)) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole].value = NULL;
}

void *map_remove(Map *map, Str key)
{
    size_t i;
    void *old;

    if (map->len == 0)
        return NULL;
    i = probe(map, key, hash_of(map, key));
    old = map->entries[i].value;
    if (!old)
        return NULL;
    key_free(&map->entries[i]);
    close_hole(map, i);
    map->len--;
    return old;
}

bool map_next(const Map *map, size_t *cursor, Str *ret_key, void **ret_value)
{
    while (*cursor < map->cap) {
        const MapEntry *entry = &map->entries[(*cursor)++];

        if (entry->value) {
            if (ret_key)
                *ret_key = key_of(entry);
            if (ret_value)
                *ret_value = entry->value;
            return true;
        }
    }
    return false;
}
