/*
 * Which picture the bytes are, by their first bytes and never by a name; and which format the
 * answer gets. Pure.
 */
#pragma once

#include <sluice/str.h>

#include <stdbool.h>

typedef enum ImageFormat {
    IMAGE_UNKNOWN,
    IMAGE_JPEG,
    IMAGE_PNG,
    IMAGE_WEBP,
    IMAGE_AVIF,
    IMAGE_HEIC,
    IMAGE_GIF,
    IMAGE_TIFF,
    IMAGE_SVG,
    IMAGE_PDF,
} ImageFormat;

/* What BYTES begin with. */
ImageFormat image_sniff(Str bytes);

/* "jpeg" and "image/jpeg"; static text. */
const char *image_format_name(ImageFormat format);
const char *image_media_type(ImageFormat format);

/* The format that the end of PLACE's name asks for, a path or a URL; false: none that we write. */
bool image_format_of_place(Str place, ImageFormat *ret_format);

/*
 * The format of an output that leaves it open: what ACCEPT, a request's header, takes (WebP before
 * AVIF, which costs ten times as much to write; one that is only hidden in a wildcard does not
 * count); without such a header the format of the source, where we write it, and otherwise PNG
 * where it HAS_ALPHA and JPEG where not. MOVES: several frames are kept, which only WebP can.
 */
ImageFormat image_format_choose(ImageFormat source, Str accept, bool has_alpha, bool moves);
