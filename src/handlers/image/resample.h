/*
 * Resampling of rows as they come: a picture goes in from top to bottom and comes out in another
 * size, by Lanczos with three lobes, whatever the ratio of the sizes.
 *
 * Pixels have 1 or 4 channels of 8 bits. Rows lie in a ring of as many as one row of the output
 * needs; memory is some rows, never the picture.
 */
#pragma once

#include "base/own.h"

#include <stdbool.h>

typedef struct Resampler Resampler;

/* The part of the source that becomes the output; in pixels of the source, borders need not fall on
 * pixels. */
typedef struct ResampleSpec {
    int source_width, source_height;
    double left, top, width, height;
    int out_width, out_height;
    int channels;  /* 1 or 4 */
    int kept;      /* channels of the output: 3 of 4, or 0 for all */
    bool is_plain; /* as on a processor without AVX2; for tests */
} ResampleSpec;

/* 0, or -ENOMEM. The caller owns it. */
MUST int resampler_new(const ResampleSpec *spec, Resampler **ret_resampler);
void resampler_free(Resampler *resampler);
DEFINE_AUTO(Resampler *, resampler_free);

/* Take the next ROW of the source; rows of the output that it completes are written to OUT, the
 * whole output. True when the output is complete: no further row is needed. */
bool resampler_push(Resampler *resampler, const unsigned char *row, unsigned char *out);
