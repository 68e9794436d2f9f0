/*
 * What a run answers beside its bytes: what the source was, and what each output became.
 */
#pragma once

#include "base/limits.h"
#include "handlers/image/source.h"

#include <sluice/json.h>

/* One output as it was written. */
typedef struct ImageWritten {
    Str name;
    Str format;
    int64_t width;
    int64_t height;
    int64_t frames;
    int64_t bytes;
} ImageWritten;

/* The schema of the result. */
extern const SchemaField image_result;

/* Write the result: SOURCE, whose decoding at full size costs COST_BYTES, and the N outputs. */
void image_outcome_write(JsonWriter *result, const ImageSource *source, int64_t cost_bytes,
                         const ImageWritten *written, size_t n);
