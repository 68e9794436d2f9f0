/*
 * From a scaled part of the source to the pixels of an output: colours, turning, cutting, borders,
 * effects, the watermark, the background. Every step works on the small picture.
 */
#pragma once

#include "handlers/image/plan.h"
#include "handlers/image/vips_api.h"

/* What the steps of one output share. */
typedef struct ImageFinish {
    const ImageOptions *options;
    const ImagePlan *plan;
    VipsImage *watermark; /* sRGB with alpha, in memory; NULL: none */
    bool is_flat;         /* the format has no alpha, or none is wanted */
} ImageFinish;

/* *IMAGE, as image_stock_take gave it, becomes an output of 8 bits in grey or sRGB (or, where the
 * profile stays, in its own colours). 0 or an error. */
MUST int image_finish(const ImageFinish *finish, VipsImage **image);

/* *IMAGE becomes 8 bits in grey or sRGB, through its profile where TO_SRGB and it has one. */
MUST int image_to_srgb(bool to_srgb, VipsImage **image);
