/*
 * Panes: the groups of a piece of time, found by their keys.
 *
 *   slots   [ hash 32 | index + 1 ] …   linear probing, at most three quarters in use
 *   groups  header and cells, one behind the other, in the order of their first rows
 *   keys    length and bytes, one behind the other
 *
 * A pane is filled and then freed whole, so nothing is ever removed. Readings mostly come in the
 * same order again and again, one of each sensor; so a group remembers which group followed it the
 * last time, and that one's key is compared before anything is hashed.
 *
 * The hash is seeded: keys come from outside. What is handed on does not depend on it (W2).
 */
#include "rows/window_int.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"

#define FIRST_GROUPS 16
#define FIRST_KEYS   256

STATIC_ASSERT(LIMIT_WINDOW_GROUPS < INT32_MAX, "an index has 32 bits");

WindowPane *window_pane_new(int64_t index)
{
    WindowPane *pane = mem_new(WindowPane);

    pane->index = index;
    pane->from = INT64_MIN;
    return pane;
}

static size_t table_bytes(const WindowSpec *spec, const WindowPane *pane)
{
    return pane->cap_slots * sizeof(pane->slots[0]) + pane->cap * spec->group_bytes +
           pane->keys_cap;
}

void window_pane_free(const WindowSpec *spec, WindowPane *pane, size_t *groups, size_t *bytes)
{
    if (!pane)
        return;
    for (uint32_t i = 0; i < pane->n; i++)
        window_group_deinit(spec, window_pane_group(spec, pane, i), bytes);
    *groups -= pane->n;
    *bytes -= table_bytes(spec, pane);
    mem_free(pane->slots);
    mem_free(pane->groups);
    mem_free(pane->keys);
    mem_free(pane);
}

WindowGroup *window_pane_group(const WindowSpec *spec, const WindowPane *pane, uint32_t index)
{
    return (WindowGroup *) (void *) (pane->groups + index * spec->group_bytes);
}

Str window_pane_key(const WindowPane *pane, const WindowGroup *group)
{
    const char *at = pane->keys + group->key_at;
    uint16_t len;

    memcpy(&len, at, sizeof(len));
    return str_from(at + sizeof(len), len);
}

static uint32_t index_of(const WindowSpec *spec, const WindowPane *pane, const WindowGroup *group)
{
    return (uint32_t) ((size_t) ((const char *) group - pane->groups) / spec->group_bytes);
}

/* Remember that the group at INDEX came after the one before. */
static void note_order(const WindowSpec *spec, WindowPane *pane, uint32_t index)
{
    window_pane_group(spec, pane, pane->last)->next = index;
    pane->last = index;
}

WindowGroup *window_pane_find(const WindowSpec *spec, WindowPane *pane, Str key,
                              const uint64_t seed[2], uint64_t *ret_hash)
{
    WindowGroup *group;
    uint32_t tag;

    if (LIKELY(pane->n > 0)) {
        uint32_t guess = window_pane_group(spec, pane, pane->last)->next;

        group = window_pane_group(spec, pane, guess);
        if (LIKELY(str_eq(window_pane_key(pane, group), key))) {
            pane->last = guess;
            return group;
        }
    }
    *ret_hash = hash_bytes(key.data, key.len, seed[0], seed[1]);
    if (pane->n == 0)
        return NULL;
    tag = (uint32_t) (*ret_hash >> 32);
    for (uint32_t at = tag & (pane->cap_slots - 1); pane->slots[at] != 0;
         at = (at + 1) & (pane->cap_slots - 1)) {
        if (pane->slots[at] >> 32 != tag)
            continue;
        group = window_pane_group(spec, pane, (uint32_t) pane->slots[at] - 1);
        if (str_eq(window_pane_key(pane, group), key)) {
            note_order(spec, pane, index_of(spec, pane, group));
            return group;
        }
    }
    return NULL;
}

static void put_slot(uint64_t *slots, uint32_t cap, uint64_t slot)
{
    uint32_t at = (uint32_t) (slot >> 32) & (cap - 1);

    while (slots[at] != 0)
        at = (at + 1) & (cap - 1);
    slots[at] = slot;
}

static bool grow_slots(WindowPane *pane)
{
    uint32_t cap = pane->cap_slots > 0 ? 2 * pane->cap_slots : 2 * FIRST_GROUPS;
    uint64_t *slots = mem_try(cap * sizeof(slots[0]));

    if (!slots)
        return false;
    memset(slots, 0, cap * sizeof(slots[0]));
    for (uint32_t i = 0; i < pane->cap_slots; i++) {
        if (pane->slots[i] != 0)
            put_slot(slots, cap, pane->slots[i]);
    }
    mem_free(pane->slots);
    pane->slots = slots;
    pane->cap_slots = cap;
    return true;
}

/* CAP * ITEM_BYTES of memory for *ARRAY. */
static bool grow_array(char **array, size_t cap, size_t item_bytes)
{
    char *grown = mem_try_resize(*array, cap * item_bytes);

    if (!grown)
        return false;
    *array = grown;
    return true;
}

/* Room for one group more with a key of LEN bytes. */
static bool make_room(const WindowSpec *spec, WindowPane *pane, size_t len)
{
    if (pane->n + 1 > pane->cap_slots / 4 * 3 && !grow_slots(pane))
        return false;
    if (pane->n == pane->cap) {
        uint32_t cap = MAX(pane->cap + pane->cap / 2, (uint32_t) FIRST_GROUPS);

        if (!grow_array(&pane->groups, cap, spec->group_bytes))
            return false;
        pane->cap = cap;
    }
    if (pane->keys_cap - pane->keys_len < len) {
        size_t cap = MAX(pane->keys_cap + pane->keys_cap / 2, (size_t) FIRST_KEYS) + len;

        if (cap > UINT32_MAX || !grow_array(&pane->keys, cap, 1))
            return false;
        pane->keys_cap = cap;
    }
    return true;
}

WindowGroup *window_pane_add(const WindowSpec *spec, WindowPane *pane, Str key, uint64_t hash,
                             size_t *bytes)
{
    size_t was = table_bytes(spec, pane);
    uint16_t len = (uint16_t) key.len;
    bool has_room = make_room(spec, pane, sizeof(len) + key.len);
    WindowGroup *group;

    *bytes += table_bytes(spec, pane) - was;
    if (!has_room)
        return NULL;
    ASSERT(key.len == len);
    group = window_pane_group(spec, pane, pane->n);
    memset(group, 0, spec->group_bytes);
    group->key_at = (uint32_t) pane->keys_len;
    memcpy(pane->keys + pane->keys_len, &len, sizeof(len));
    if (len > 0)
        memcpy(pane->keys + pane->keys_len + sizeof(len), key.data, len);
    pane->keys_len += sizeof(len) + len;
    put_slot(pane->slots, pane->cap_slots, hash >> 32 << 32 | (pane->n + 1));
    pane->n++;
    note_order(spec, pane, pane->n - 1);
    return group;
}
