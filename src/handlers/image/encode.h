/*
 * Writing an output: JPEG, PNG, WebP or AVIF, with as much of the metadata as is wanted.
 */
#pragma once

#include "handlers/image/args.h"
#include "handlers/image/format.h"
#include "handlers/image/vips_api.h"

/* The bytes that an encoder made; free with image_encoded_free. */
typedef struct ImageEncoded {
    void *bytes;
    size_t len;
} ImageEncoded;

/*
 * Take out of *IMAGE what OPTIONS do not keep. The orientation is always taken out, the pixels are
 * upright; so is what the source's pages were like.
 */
MUST int image_metadata_trim(const ImageOptions *options, VipsImage **image);

/* Write IMAGE as FORMAT. 0, or -ERR_UNREADABLE: pixels may be decoded only now. */
MUST int image_encode(const ImageOptions *options, ImageFormat format, VipsImage *image,
                      ImageEncoded *ret_encoded);

void image_encoded_free(ImageEncoded *encoded);
DEFINE_AUTO_VALUE(ImageEncoded, image_encoded_free);
