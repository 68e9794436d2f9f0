/*
 * WebP files without EXIF.
 *
 * libvips 8.14 adds an EXIF of resolution and orientation to every WebP it writes, whatever it is
 * told; the bytes are of no use to anybody and say how the picture was made.
 */
#pragma once

#include <stddef.h>

/* Take every EXIF out of the WebP file BYTES, in place. Returns what is left of its LEN bytes; all
 * of them where they are not a WebP file. */
size_t image_webp_trim(unsigned char *bytes, size_t len);
