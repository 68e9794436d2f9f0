/*
 * Sketch: percentiles of any number of values in little memory, with a bounded relative error.
 *
 * DDSketch (Charles Masson, Jee E. Rim, Homin K. Lee: "DDSketch: A Fast and Fully-Mergeable
 * Quantile Sketch with Relative-Error Guarantees", PVLDB 12(12), 2019). Values are counted in
 * buckets whose bounds grow by a constant factor, so a value is known to within a constant part
 * of itself.
 *
 * The promise: for 0 <= q <= 1 and n values in order x[0] … x[n-1], sketch_quantile gives v with
 *
 *     |v - x[floor(q (n - 1))]| <= SKETCH_ERROR * |x[floor(q (n - 1))]|
 *
 * for any values, negative ones included, as long as the magnitudes of the values of one sign lie
 * within 54 powers of two (16 decimal powers) of each other. Beyond that the buckets nearest to
 * zero are put together, and the promise does not hold for what fell into those; it still holds for
 * all others. The least and the greatest value are exact, and so is a sketch of equal values.
 * Magnitudes below 2.3e-308 count as zero. NaN and infinities are left out.
 *
 * Sketches merge: the sketch of two streams is the merge of their sketches, in any order.
 *
 * A Sketch is a value of 64 bytes that owns its buckets; it may be moved by copying its bytes. A
 * zeroed one is empty and usable. A bucket takes one byte until one of them counts past 255, so
 * that a million sketches of some dozen values each are some hundred bytes each.
 */
#pragma once

#include "base/text.h"

#define SKETCH_ERROR 0.01

/* Counts of the buckets FIRST … FIRST + LEN - 1, for values of one sign. */
typedef struct SketchStore {
    void *counts; /* of width bytes each, from bucket (FIRST & ~15) on; owned; NULL when LEN is 0 */
    int32_t first; /* the lowest bucket that counts something */
    uint16_t len;  /* up to the highest one that does */
    uint8_t width; /* bytes of a count: 1, 2, 4 or 8 */
} SketchStore;

typedef struct Sketch {
    SketchStore positive;
    SketchStore negative; /* by magnitude */
    uint64_t zeros;
    uint64_t count; /* of all values */
    double min;     /* exact; of no meaning while count is 0 */
    double max;
} Sketch;

void sketch_deinit(Sketch *sketch);

/* Count VALUE. 0 or -ENOMEM, and then nothing has changed. */
MUST int sketch_add(Sketch *sketch, double value);

/* Count what FROM has counted. 0 or -ENOMEM, and then SKETCH is of no use but to be freed. */
MUST int sketch_merge(Sketch *sketch, const Sketch *from);

/* The value at Q of the order, 0 <= Q <= 1; NaN when there is none. */
double sketch_quantile(const Sketch *sketch, double q);

/* Memory beside the struct itself. */
size_t sketch_bytes(const Sketch *sketch);

/* The sketch as bytes; the same sketch always gives the same ones. */
void sketch_encode(const Sketch *sketch, Buf *out);

#define SKETCH_DAMAGED 1 /* the bytes are no sketch */

/* Take a sketch from the front of *BYTES into the empty *SKETCH. 0; SKETCH_DAMAGED, and nothing has
 * changed; -ENOMEM. */
MUST int sketch_decode(Sketch *sketch, Str *bytes);

DEFINE_AUTO_VALUE(Sketch, sketch_deinit);
