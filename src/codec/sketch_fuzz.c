/*
 * Fuzz: bytes of a sketch. Whatever they are, the answer is a sketch or a refusal; a sketch gives
 * the same bytes again, its percentiles rise, and it takes values and other sketches.
 */
#include "codec/sketch.h"

#include "base/assert.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_order(const Sketch *sketch)
{
    double last = sketch_quantile(sketch, 0);

    for (int i = 1; sketch->count > 0 && i <= 20; i++) {
        double value = sketch_quantile(sketch, i / 20.0);

        ASSERT(value >= last && value <= sketch->max);
        last = value;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(sketch_deinit) Sketch sketch = { 0 };
    AUTO(sketch_deinit) Sketch again = { 0 };
    AUTO(buf_deinit) Buf bytes = { 0 };
    Str input = str_from((const char *) data, len), rest = input, back;

    if (sketch_decode(&sketch, &rest) != 0)
        return 0;
    check_order(&sketch);
    ASSERT(sketch_bytes(&sketch) <= 2 * 8 * (LIMIT_SKETCH_BUCKETS + 32));
    sketch_encode(&sketch, &bytes);
    back = buf_str(&bytes);
    ASSERT(sketch_decode(&again, &back) == 0 && back.len == 0);
    ASSERT(sketch_bytes(&again) == sketch_bytes(&sketch));
    if (sketch.count > UINT64_MAX / 4)
        return 0;
    ASSERT(sketch_merge(&again, &sketch) == 0);
    ASSERT(again.count == 2 * sketch.count);
    ASSERT(sketch_add(&again, -1e9) == 0 && sketch_add(&again, 0) == 0);
    check_order(&again);
    return 0;
}
