/*
 * DDSketch; see the header for what it promises and where it comes from.
 *
 * The paper counts a value x in bucket ceil(log x / log gamma), gamma = (1 + a) / (1 - a), so that
 * the middle of a bucket is within a part a of everything in it. A logarithm costs more than all
 * the rest, so this takes, as the authors' own implementations do, a function that rises like one
 * and is cheap: with x = 2^e (1 + s), 0 <= s < 1,
 *
 *     t(x) = e + s (4 - s) / 3             bucket = floor(t BUCKETS_OF_TWO)
 *
 * t is continuous, and its slope over ln x, (1 + s) (4 - 2 s) / 3, is at least 4 / 3; so a bucket
 * is at most 3 / (4 BUCKETS_OF_TWO) = 0.02 wide in ln x, and ln gamma is 0.0200007. The price is
 * 8 % more buckets than with a logarithm. The way back is exact but for rounding:
 * s = 2 - sqrt(4 - 3 f) with f the fraction of t.
 *
 * Buckets stand in one array for each sign. Its bounds are those of the used range rounded outward
 * to GRAIN buckets, so that it depends on what was counted and not on the order; a count takes as
 * many bytes as the largest one needs. When the range would be longer than LIMIT_SKETCH_BUCKETS,
 * its low end (the magnitudes near zero) is put into one bucket.
 *
 *   I1  the buckets FIRST and FIRST + LEN - 1 are not zero; LEN is 0 when nothing is counted
 *   I2  count == zeros + the sum of all buckets
 *
 * Bytes: version 1, count, zeros; min and max (8 bytes each) when count is not 0; then for each
 * sign LEN and, when that is not 0, FIRST and the counts, where 0 is followed by how many zeros
 * more there are. All numbers but min and max are varints.
 */
#include "codec/sketch.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/varint.h"

#include <float.h>
#include <math.h>

#define VERSION        1
#define GRAIN          16 /* a power of two */
#define BUCKETS_OF_TWO 37.5
#define EXPONENT_BIAS  1023
#define INDEX_MAX      ((int32_t) (2048 * BUCKETS_OF_TWO))

STATIC_ASSERT(LIMIT_SKETCH_BUCKETS >= GRAIN && LIMIT_SKETCH_BUCKETS <= 32768, "LEN has 16 bits");

/* ---- values and buckets ---------------------------------------------------------------------- */

/* The bucket of MAGNITUDE, a normal number above zero. */
static int32_t index_of(double magnitude)
{
    uint64_t bits, fraction;
    double significand;

    memcpy(&bits, &magnitude, sizeof(bits));
    fraction = (bits & 0xfffffffffffffull) | (uint64_t) EXPONENT_BIAS << 52;
    memcpy(&significand, &fraction, sizeof(fraction));
    significand -= 1;
    return (int32_t) (((double) (bits >> 52) + significand * (4 - significand) / 3) *
                      BUCKETS_OF_TWO);
}

/* The least magnitude of a bucket. */
static double low_of(int32_t index)
{
    double t = index / BUCKETS_OF_TWO, whole = floor(t);
    double significand = 3 - sqrt(4 - 3 * (t - whole));
    int exponent = (int) whole - EXPONENT_BIAS;

    return exponent > 1023 ? DBL_MAX : ldexp(significand, exponent);
}

/* What stands for all of a bucket: the same part away from both of its ends. */
static double middle_of(int32_t index)
{
    double low = low_of(index), high = low_of(index + 1);

    return 2 * low / (1 + low / high);
}

/* ---- one sign -------------------------------------------------------------------------------- */

static int32_t base_of(const SketchStore *store)
{
    return store->first & ~(GRAIN - 1);
}

static int32_t last_of(const SketchStore *store)
{
    return store->first + store->len - 1;
}

/* How many counts the array of buckets LOW to HIGH has. */
static size_t room_of(int32_t low, int32_t high)
{
    return (size_t) ((high | (GRAIN - 1)) - (low & ~(GRAIN - 1)) + 1);
}

static uint64_t count_at(const void *counts, uint8_t width, size_t at)
{
    switch (width) {
    case 1: return ((const uint8_t *) counts)[at];
    case 2: return ((const uint16_t *) counts)[at];
    case 4: return ((const uint32_t *) counts)[at];
    case 8: return ((const uint64_t *) counts)[at];
    }
    UNREACHABLE("a count has 1, 2, 4 or 8 bytes");
}

static void set_count(void *counts, uint8_t width, size_t at, uint64_t count)
{
    switch (width) {
    case 1: ((uint8_t *) counts)[at] = (uint8_t) count; return;
    case 2: ((uint16_t *) counts)[at] = (uint16_t) count; return;
    case 4: ((uint32_t *) counts)[at] = (uint32_t) count; return;
    case 8: ((uint64_t *) counts)[at] = count; return;
    }
    UNREACHABLE("a count has 1, 2, 4 or 8 bytes");
}

static uint64_t bucket(const SketchStore *store, int32_t index)
{
    return count_at(store->counts, store->width, (size_t) (index - base_of(store)));
}

static uint8_t width_for(uint64_t count)
{
    return count <= UINT8_MAX ? 1 : count <= UINT16_MAX ? 2 : count <= UINT32_MAX ? 4 : 8;
}

/* The sum of all buckets up to INDEX. */
static uint64_t sum_to(const SketchStore *store, int32_t index)
{
    uint64_t sum = 0;

    for (int32_t i = store->first; store->len > 0 && i <= index && i <= last_of(store); i++)
        sum += bucket(store, i);
    return sum;
}

/* Make the array one for the buckets LOW to HIGH with counts of WIDTH bytes; what is below LOW goes
 * into LOW. 0 or -ENOMEM, and then nothing has changed. */
static int store_rebuild(SketchStore *store, int32_t low, int32_t high, uint8_t width)
{
    size_t room = room_of(low, high);
    int32_t base = low & ~(GRAIN - 1);
    void *counts = mem_try(room * width);
    uint64_t below = sum_to(store, low);

    if (!counts)
        return fail(-ENOMEM, "%zu buckets of percentiles", room);
    memset(counts, 0, room * width);
    for (int32_t i = MAX(store->first, low + 1); store->len > 0 && i <= last_of(store); i++)
        set_count(counts, width, (size_t) (i - base), bucket(store, i));
    set_count(counts, width, (size_t) (low - base), below);
    mem_free(store->counts);
    store->counts = counts;
    store->width = width;
    store->first = low;
    store->len = (uint16_t) (high - low + 1);
    return 0;
}

/* Count N more in bucket INDEX, which lies outside the range, or whose count gets too large. */
static COLD int store_add_slow(SketchStore *store, int32_t index, uint64_t n)
{
    int32_t low = store->len > 0 ? MIN(store->first, index) : index;
    int32_t high = store->len > 0 ? MAX(last_of(store), index) : index;
    uint64_t count;
    size_t at;
    int r;

    low = MAX(low, high - LIMIT_SKETCH_BUCKETS + 1);
    index = MAX(index, low);
    count = n + sum_to(store, low);
    if (index > low)
        count = MAX(sum_to(store, low),
                    n + (store->len > 0 && index <= last_of(store) ? bucket(store, index) : 0));
    r = store_rebuild(store, low, high,
                      width_for(count) > store->width ? width_for(count) : store->width);
    if (r < 0)
        return r;
    at = (size_t) (index - base_of(store));
    set_count(store->counts, store->width, at, count_at(store->counts, store->width, at) + n);
    return 0;
}

static inline int store_add(SketchStore *store, int32_t index, uint64_t n)
{
    size_t at = (size_t) (index - base_of(store));
    uint64_t count;

    if (UNLIKELY((uint32_t) (index - store->first) >= store->len))
        return store_add_slow(store, index, n);
    if (LIKELY(store->width == 1 && ((uint8_t *) store->counts)[at] + n <= UINT8_MAX)) {
        ((uint8_t *) store->counts)[at] = (uint8_t) (((uint8_t *) store->counts)[at] + n);
        return 0;
    }
    count = count_at(store->counts, store->width, at) + n;
    if (UNLIKELY(width_for(count) > store->width))
        return store_add_slow(store, index, n);
    set_count(store->counts, store->width, at, count);
    return 0;
}

static int store_merge(SketchStore *store, const SketchStore *from)
{
    int r = 0;

    if (from->len == 0)
        return 0;
    /* From the top, so that the array is made once and what is below its limit finds its bucket. */
    for (int32_t i = last_of(from); r == 0 && i >= from->first; i--) {
        uint64_t n = bucket(from, i);

        if (n > 0)
            r = store_add(store, i, n);
    }
    return r;
}

/* ---- the sketch ------------------------------------------------------------------------------ */

void sketch_deinit(Sketch *sketch)
{
    mem_free(sketch->positive.counts);
    mem_free(sketch->negative.counts);
    *sketch = (Sketch){ 0 };
}

int sketch_add(Sketch *sketch, double value)
{
    int r = 0;

    if (UNLIKELY(!isfinite(value)))
        return 0;
    if (value >= DBL_MIN)
        r = store_add(&sketch->positive, index_of(value), 1);
    else if (value <= -DBL_MIN)
        r = store_add(&sketch->negative, index_of(-value), 1);
    else
        sketch->zeros++;
    if (UNLIKELY(r < 0))
        return r;
    sketch->min = sketch->count == 0 || value < sketch->min ? value : sketch->min;
    sketch->max = sketch->count == 0 || value > sketch->max ? value : sketch->max;
    sketch->count++;
    return 0;
}

int sketch_merge(Sketch *sketch, const Sketch *from)
{
    int r;

    if (from->count == 0)
        return 0;
    r = store_merge(&sketch->positive, &from->positive);
    if (r == 0)
        r = store_merge(&sketch->negative, &from->negative);
    if (r < 0)
        return r;
    sketch->min = sketch->count == 0 ? from->min : MIN(sketch->min, from->min);
    sketch->max = sketch->count == 0 ? from->max : MAX(sketch->max, from->max);
    sketch->zeros += from->zeros;
    sketch->count += from->count;
    return 0;
}

/* The value with RANK others before it. */
static double value_at(const Sketch *sketch, uint64_t rank)
{
    const SketchStore *store = &sketch->negative;
    uint64_t seen = 0;

    for (int32_t i = last_of(store); store->len > 0 && i >= store->first; i--) {
        seen += bucket(store, i);
        if (seen > rank)
            return -middle_of(i);
    }
    seen += sketch->zeros;
    if (seen > rank)
        return 0;
    store = &sketch->positive;
    for (int32_t i = store->first; store->len > 0 && i <= last_of(store); i++) {
        seen += bucket(store, i);
        if (seen > rank)
            return middle_of(i);
    }
    return sketch->max;
}

double sketch_quantile(const Sketch *sketch, double q)
{
    double rank;

    ASSERT(q >= 0 && q <= 1);
    if (sketch->count == 0)
        return NAN;
    rank = floor(q * (double) (sketch->count - 1));
    if (rank <= 0)
        return sketch->min;
    if (rank >= (double) (sketch->count - 1))
        return sketch->max;
    return fmax(sketch->min, fmin(sketch->max, value_at(sketch, (uint64_t) rank)));
}

static size_t store_bytes(const SketchStore *store)
{
    return store->len > 0 ? room_of(store->first, last_of(store)) * store->width : 0;
}

size_t sketch_bytes(const Sketch *sketch)
{
    return store_bytes(&sketch->positive) + store_bytes(&sketch->negative);
}

/* ---- as bytes -------------------------------------------------------------------------------- */

static void store_encode(const SketchStore *store, Buf *out)
{
    uint64_t zeros = 0;

    varint_add(out, store->len);
    if (store->len == 0)
        return;
    varint_add(out, (uint64_t) store->first);
    for (int32_t i = store->first; i <= last_of(store); i++) {
        uint64_t n = bucket(store, i);

        if (n == 0) {
            zeros++;
            continue;
        }
        if (zeros > 0) {
            varint_add(out, 0);
            varint_add(out, zeros - 1);
            zeros = 0;
        }
        varint_add(out, n);
    }
}

void sketch_encode(const Sketch *sketch, Buf *out)
{
    buf_add_char(out, VERSION);
    varint_add(out, sketch->count);
    varint_add(out, sketch->zeros);
    if (sketch->count > 0) {
        fixed_add_real(out, sketch->min);
        fixed_add_real(out, sketch->max);
    }
    store_encode(&sketch->positive, out);
    store_encode(&sketch->negative, out);
}

/* Read LEN counts from bucket FIRST on; take their sum from *LEFT. */
static int take_counts(SketchStore *store, Str *bytes, int32_t first, size_t len, uint64_t *left)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t n, zeros;
        int r;

        if (!varint_take(bytes, &n))
            return SKETCH_DAMAGED;
        if (n == 0) { /* I1: neither the first nor the last */
            if (!varint_take(bytes, &zeros) || i == 0 || zeros >= len || i + zeros + 1 >= len)
                return SKETCH_DAMAGED;
            i += (size_t) zeros;
            continue;
        }
        if (n > *left)
            return SKETCH_DAMAGED;
        *left -= n;
        r = store_add(store, first + (int32_t) i, n);
        if (r < 0)
            return r;
    }
    return 0;
}

static int store_decode(SketchStore *store, Str *bytes, uint64_t *left)
{
    uint64_t len, first;

    if (!varint_take(bytes, &len) || len > LIMIT_SKETCH_BUCKETS)
        return SKETCH_DAMAGED;
    if (len == 0)
        return 0;
    if (!varint_take(bytes, &first) || first + len > (uint64_t) INDEX_MAX)
        return SKETCH_DAMAGED;
    return take_counts(store, bytes, (int32_t) first, (size_t) len, left);
}

static int decode_into(Sketch *sketch, Str *bytes)
{
    uint64_t left;
    int r;

    if (bytes->len == 0 || bytes->data[0] != VERSION)
        return SKETCH_DAMAGED;
    *bytes = str_sub(*bytes, 1, bytes->len);
    if (!varint_take(bytes, &sketch->count) || !varint_take(bytes, &sketch->zeros) ||
        sketch->zeros > sketch->count)
        return SKETCH_DAMAGED;
    if (sketch->count > 0 &&
        (!fixed_take_real(bytes, &sketch->min) || !fixed_take_real(bytes, &sketch->max) ||
         !isfinite(sketch->min) || !isfinite(sketch->max) || sketch->min > sketch->max))
        return SKETCH_DAMAGED;
    left = sketch->count - sketch->zeros;
    r = store_decode(&sketch->positive, bytes, &left);
    if (r == 0)
        r = store_decode(&sketch->negative, bytes, &left);
    if (r == 0 && left > 0) /* I2 */
        return SKETCH_DAMAGED;
    return r;
}

int sketch_decode(Sketch *sketch, Str *bytes)
{
    AUTO(sketch_deinit) Sketch taken = { 0 };
    Str rest = *bytes;
    int r;

    ASSERT(sketch->count == 0);
    r = decode_into(&taken, &rest);
    if (r != 0)
        return r;
    *sketch = taken;
    taken = (Sketch){ 0 };
    *bytes = rest;
    return 0;
}
