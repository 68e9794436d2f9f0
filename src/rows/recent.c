/*
 * Keys seen within the last while; see the header.
 *
 *   ring    [ hash, time ] …              in the order in which they came, from head on
 *   slots   [ hash 32 | place + 1 ] …     linear probing, half in use at most, removal by shifting
 *                                         back, so nothing gathers however long it runs
 *
 * Every call does a bounded piece of work: it looks a key up, lets at most EXPIRE_MAX old ones go,
 * and adds one. Since each adds one and lets several go, the old ones never gather. Only when ring
 * and slots double (or halve, when an eighth is in use) is there more to do.
 *
 *   I1  each key in the ring that is not RECENT_GONE has one slot, and no slot is of another
 *   I2  n <= n <= keys_max; there are 2 * cap slots
 */
#include "rows/recent.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/varint.h"

#include <stdlib.h>

#define FIRST_CAP  64
#define EXPIRE_MAX 4

STATIC_ASSERT((LIMIT_DEDUPE_KEYS & (LIMIT_DEDUPE_KEYS - 1)) == 0 &&
                  LIMIT_DEDUPE_KEYS >= FIRST_CAP && LIMIT_DEDUPE_KEYS <= 1 << 30,
              "the ring doubles up to its limit, and a place has 32 bits");

void recent_init(Recent *recent, int64_t within_ns, bool is_by_event, const uint64_t seed[2])
{
    *recent = (Recent){ .within_ns = within_ns,
                        .is_by_event = is_by_event,
                        .seed = { seed[0], seed[1] },
                        .newest_ns = INT64_MIN,
                        .keys_max = LIMIT_DEDUPE_KEYS };
}

void recent_deinit(Recent *recent)
{
    mem_free(recent->ring);
    mem_free(recent->slots);
    *recent = (Recent){ 0 };
}

size_t recent_bytes(const Recent *recent)
{
    return recent->cap * (sizeof(recent->ring[0]) + 2 * sizeof(recent->slots[0]));
}

/* ---- slots ----------------------------------------------------------------------------------- */

static uint32_t slot_mask(const Recent *recent)
{
    return 2 * recent->cap - 1;
}

static uint32_t home_of(const Recent *recent, uint64_t hash)
{
    return (uint32_t) (hash >> 32) & slot_mask(recent);
}

static uint32_t place_of(uint64_t slot)
{
    return (uint32_t) slot - 1;
}

/* The slot of the key with HASH; one that is free when it is not there. */
static uint32_t find_slot(const Recent *recent, uint64_t hash)
{
    uint32_t at = home_of(recent, hash);

    for (; recent->slots[at] != 0; at = (at + 1) & slot_mask(recent)) {
        if (recent->slots[at] >> 32 == hash >> 32 &&
            recent->ring[place_of(recent->slots[at])].hash == hash)
            return at;
    }
    return at;
}

/* Free a slot, and move those behind it nearer to their home where that was in the way. */
static void free_slot(Recent *recent, uint32_t at)
{
    uint32_t mask = slot_mask(recent);

    for (uint32_t next = (at + 1) & mask; recent->slots[next] != 0; next = (next + 1) & mask) {
        uint32_t home = home_of(recent, recent->slots[next]);

        if (((next - home) & mask) < ((next - at) & mask))
            continue;
        recent->slots[at] = recent->slots[next];
        at = next;
    }
    recent->slots[at] = 0;
}

/* ---- the ring -------------------------------------------------------------------------------- */

static uint32_t place_at(const Recent *recent, uint32_t index)
{
    return (recent->head + index) & (recent->cap - 1);
}

static int resize(Recent *recent, uint32_t cap)
{
    RecentKey *ring = mem_try(cap * sizeof(ring[0]));
    uint64_t *slots = mem_try(2 * cap * sizeof(slots[0]));
    uint32_t kept = 0;

    if (!ring || !slots) {
        mem_free(ring);
        mem_free(slots);
        return fail(-ENOMEM, "%u keys", cap);
    }
    memset(slots, 0, 2 * cap * sizeof(slots[0]));
    for (uint32_t i = 0; i < recent->n; i++)
        ring[kept++] = recent->ring[place_at(recent, i)];
    mem_free(recent->ring);
    mem_free(recent->slots);
    recent->ring = ring;
    recent->slots = slots;
    recent->cap = cap;
    recent->head = 0;
    for (uint32_t i = 0; i < kept; i++) {
        if (ring[i].time_ns != RECENT_GONE)
            slots[find_slot(recent, ring[i].hash)] = ring[i].hash >> 32 << 32 | (i + 1);
    }
    return 0;
}

static void let_oldest_go(Recent *recent)
{
    const RecentKey *key = &recent->ring[recent->head];
    uint32_t at;

    if (key->time_ns != RECENT_GONE) {
        at = find_slot(recent, key->hash);
        ASSERT(place_of(recent->slots[at]) == recent->head); /* I1 */
        free_slot(recent, at);
    }
    recent->head = (recent->head + 1) & (recent->cap - 1);
    recent->n--;
}

/* How far apart two times are; of any two of 64 bits. */
static uint64_t between(int64_t a, int64_t b)
{
    return a > b ? (uint64_t) a - (uint64_t) b : (uint64_t) b - (uint64_t) a;
}

static bool is_over(const Recent *recent, const RecentKey *key, int64_t now_ns)
{
    if (key->time_ns == RECENT_GONE)
        return true;
    if (recent->is_by_event && key->time_ns > recent->newest_ns)
        return false;
    return between(recent->is_by_event ? recent->newest_ns : now_ns, key->time_ns) >=
           (uint64_t) recent->within_ns;
}

static int make_room(Recent *recent)
{
    if (recent->n >= recent->keys_max) {
        recent->forgotten += recent->ring[recent->head].time_ns != RECENT_GONE;
        let_oldest_go(recent);
    }
    if (recent->n == recent->cap)
        return resize(recent, recent->cap > 0 ? 2 * recent->cap : FIRST_CAP);
    if (recent->cap > FIRST_CAP && recent->n < recent->cap / 8)
        return resize(recent, recent->cap / 2);
    return 0;
}

static void append(Recent *recent, uint64_t hash, int64_t time_ns)
{
    uint32_t place = place_at(recent, recent->n);

    ASSERT(recent->n < recent->cap); /* I2 */
    recent->ring[place] = (RecentKey){ .hash = hash, .time_ns = time_ns };
    recent->n++;
    if (time_ns != RECENT_GONE)
        recent->slots[find_slot(recent, hash)] = hash >> 32 << 32 | (place + 1);
}

int recent_add(Recent *recent, uint64_t hash, int64_t time_ns, int64_t now_ns)
{
    uint32_t at;
    int r;

    time_ns = time_ns == RECENT_GONE ? RECENT_GONE + 1 : time_ns;
    if (recent->is_by_event)
        recent->newest_ns = MAX(recent->newest_ns, MIN(time_ns, now_ns));
    for (int i = 0;
         i < EXPIRE_MAX && recent->n > 0 && is_over(recent, &recent->ring[recent->head], now_ns);
         i++)
        let_oldest_go(recent);
    at = recent->n > 0 ? find_slot(recent, hash) : 0;
    if (recent->n > 0 && recent->slots[at] != 0) {
        RecentKey *key = &recent->ring[place_of(recent->slots[at])];

        if (between(time_ns, key->time_ns) < (uint64_t) recent->within_ns)
            return RECENT_BEFORE;
        if (recent->is_by_event && time_ns < key->time_ns)
            return 0; /* from long before; what is remembered is of more use */
        key->time_ns = RECENT_GONE;
        free_slot(recent, at);
    }
    r = make_room(recent);
    if (r < 0)
        return r;
    append(recent, hash, time_ns);
    return 0;
}

void recent_expect(const Recent *recent, uint64_t hash, uint32_t ahead)
{
    if (recent->n == 0)
        return;
    __builtin_prefetch(&recent->slots[home_of(recent, hash)]);
    if (ahead < recent->n)
        __builtin_prefetch(
            &recent->slots[home_of(recent, recent->ring[place_at(recent, ahead)].hash)]);
}

/* ---- as bytes -------------------------------------------------------------------------------- */

void recent_save(const Recent *recent, Buf *out)
{
    int64_t last_ns = 0;

    fixed_add_u64(out, recent->seed[0]);
    fixed_add_u64(out, recent->seed[1]);
    varint_add_signed(out, recent->newest_ns);
    varint_add(out, recent->n);
    for (uint32_t i = 0; i < recent->n; i++) {
        const RecentKey *key = &recent->ring[place_at(recent, i)];

        fixed_add_u64(out, key->hash);
        varint_add_signed(out, (int64_t) ((uint64_t) key->time_ns - (uint64_t) last_ns));
        last_ns = key->time_ns;
    }
}

static int load_keys(Recent *recent, Str *bytes, uint64_t n)
{
    int64_t time_ns = 0, step_ns;
    uint64_t hash;

    for (uint64_t i = 0; i < n; i++) {
        int r = recent->n == recent->cap
                    ? resize(recent, recent->cap > 0 ? 2 * recent->cap : FIRST_CAP)
                    : 0;

        if (r < 0)
            return r;
        if (!fixed_take_u64(bytes, &hash) || !varint_take_signed(bytes, &step_ns))
            return RECENT_DAMAGED;
        time_ns = (int64_t) ((uint64_t) time_ns + (uint64_t) step_ns);
        if (time_ns != RECENT_GONE && recent->slots[find_slot(recent, hash)] != 0)
            return RECENT_DAMAGED; /* I1 */
        append(recent, hash, time_ns);
    }
    return 0;
}

int recent_load(Recent *recent, Str bytes)
{
    uint64_t n;
    int r;

    ASSERT(recent->n == 0);
    if (!fixed_take_u64(&bytes, &recent->seed[0]) || !fixed_take_u64(&bytes, &recent->seed[1]) ||
        !varint_take_signed(&bytes, &recent->newest_ns) || !varint_take(&bytes, &n) ||
        n > LIMIT_DEDUPE_KEYS)
        return RECENT_DAMAGED;
    r = load_keys(recent, &bytes, n);
    return r == 0 && bytes.len > 0 ? RECENT_DAMAGED : r;
}

/* ---- two in one ------------------------------------------------------------------------------ */

static int compare_times(const void *a, const void *b)
{
    const RecentKey *x = a, *y = b;

    return (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

/* The keys of RECENT that count. Returns how many. */
static size_t take_keys(const Recent *recent, RecentKey *ret_keys)
{
    size_t n = 0;

    for (uint32_t i = 0; i < recent->n; i++) {
        const RecentKey *key = &recent->ring[place_at(recent, i)];

        if (key->time_ns != RECENT_GONE)
            ret_keys[n++] = *key;
    }
    return n;
}

/* Remember KEYS, sorted by time; of two that are the same the later one. */
static int put_keys(Recent *recent, const RecentKey *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t at = recent->n > 0 ? find_slot(recent, keys[i].hash) : 0;
        int r;

        if (recent->n > 0 && recent->slots[at] != 0) {
            recent->ring[place_of(recent->slots[at])].time_ns = RECENT_GONE;
            free_slot(recent, at);
        }
        r = make_room(recent);
        if (r < 0)
            return r;
        append(recent, keys[i].hash, keys[i].time_ns);
    }
    return 0;
}

/* RECENT and OTHER, which have one seed, in RECENT. */
static int join(Recent *recent, const Recent *other)
{
    AUTO(recent_deinit) Recent all = { 0 };
    AUTO(mem_free) RecentKey *keys = mem_try(((size_t) recent->n + other->n) * sizeof(keys[0]));
    size_t n;
    int r;

    if (!keys)
        return fail(-ENOMEM, "%llu keys", (unsigned long long) recent->n + other->n);
    recent_init(&all, recent->within_ns, recent->is_by_event, recent->seed);
    all.keys_max = recent->keys_max;
    all.forgotten = recent->forgotten;
    all.newest_ns = MAX(recent->newest_ns, other->newest_ns);
    n = take_keys(recent, keys);
    n += take_keys(other, keys + n);
    qsort(keys, n, sizeof(keys[0]), compare_times);
    r = put_keys(&all, keys, n);
    if (r < 0)
        return r;
    recent_deinit(recent);
    *recent = all;
    all = (Recent){ 0 };
    return 0;
}

int recent_merge(Recent *recent, Str bytes)
{
    AUTO(recent_deinit) Recent other = { 0 };
    int r;

    recent_init(&other, recent->within_ns, recent->is_by_event, recent->seed);
    r = recent_load(&other, bytes);
    if (r != 0 || other.n == 0)
        return r;
    if (recent->n == 0) {
        recent->seed[0] = other.seed[0];
        recent->seed[1] = other.seed[1];
    }
    if (recent->seed[0] != other.seed[0] || recent->seed[1] != other.seed[1])
        return RECENT_OTHER_SEED;
    return join(recent, &other);
}
