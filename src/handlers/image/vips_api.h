/*
 * libvips, opened when the first picture comes.
 *
 * libvips brings a hundred shared libraries with it: linking with it would cost every command of
 * ours 20 MB and 20 ms. So the header is read at compile time, and the functions are looked up at
 * run time, in the process that runs the handler: V(vips_resize)(in, &out, 0.5, NULL).
 *
 * Opening also sets libvips up for hostile bytes in a small process: loaders that are not meant for
 * strangers' files are blocked (SVG and PDF are let in again, they are asked for by name), nothing
 * is cached, one thread works at a time, and nothing is printed.
 *
 * To call one more function, add it to IMAGE_VIPS_CALLS.
 */
#pragma once

#include "base/own.h"

/* GLib's header of file calls names one that base/banned.h poisons; its MIN and MAX are not
 * ours. */
#define __G_STDIO_H__
#pragma push_macro("MIN")
#pragma push_macro("MAX")
#include <vips/vips.h>
#undef MIN
#undef MAX
#pragma pop_macro("MIN")
#pragma pop_macro("MAX")

#define IMAGE_VIPS_CALLS(X)            \
    X(g_free)                          \
    X(g_log_set_handler)               \
    X(g_object_unref)                  \
    X(g_signal_connect_data)           \
    X(vips_addalpha)                   \
    X(vips_area_unref)                 \
    X(vips_array_double_new)           \
    X(vips_arrayjoin)                  \
    X(vips_block_untrusted_set)        \
    X(vips_cache_set_max)              \
    X(vips_cast)                       \
    X(vips_cast_uchar)                 \
    X(vips_colourspace)                \
    X(vips_composite2)                 \
    X(vips_concurrency_set)            \
    X(vips_copy)                       \
    X(vips_embed)                      \
    X(vips_error_buffer)               \
    X(vips_error_clear)                \
    X(vips_extract_area)               \
    X(vips_extract_band)               \
    X(vips_flatten)                    \
    X(vips_flip)                       \
    X(vips_gaussblur)                  \
    X(vips_gifload_buffer)             \
    X(vips_heifload_buffer)            \
    X(vips_heifsave_buffer)            \
    X(vips_icc_transform)              \
    X(vips_image_copy_memory)          \
    X(vips_image_get_bands)            \
    X(vips_image_get_blob)             \
    X(vips_image_get_fields)           \
    X(vips_image_get_format)           \
    X(vips_image_get_height)           \
    X(vips_image_get_int)              \
    X(vips_image_get_interpretation)   \
    X(vips_image_get_n_pages)          \
    X(vips_image_get_typeof)           \
    X(vips_image_get_width)            \
    X(vips_image_hasalpha)             \
    X(vips_image_new_from_memory)      \
    X(vips_image_new_from_memory_copy) \
    X(vips_image_new_memory)           \
    X(vips_image_pipelinev)            \
    X(vips_image_remove)               \
    X(vips_image_set_blob_copy)        \
    X(vips_image_set_int)              \
    X(vips_image_set_kill)             \
    X(vips_image_set_progress)         \
    X(vips_image_write_line)           \
    X(vips_image_write_to_memory)      \
    X(vips_init)                       \
    X(vips_jpegload_buffer)            \
    X(vips_jpegsave_buffer)            \
    X(vips_linear)                     \
    X(vips_operation_block_set)        \
    X(vips_pdfload_buffer)             \
    X(vips_pngload_buffer)             \
    X(vips_pngsave_buffer)             \
    X(vips_premultiply)                \
    X(vips_region_new)                 \
    X(vips_region_prepare)             \
    X(vips_resize)                     \
    X(vips_rot)                        \
    X(vips_rotate)                     \
    X(vips_sharpen)                    \
    X(vips_smartcrop)                  \
    X(vips_svgload_buffer)             \
    X(vips_tiffload_buffer)            \
    X(vips_unpremultiply)              \
    X(vips_webpload_buffer)            \
    X(vips_webpsave_buffer)

typedef struct VipsApi {
#define IMAGE_VIPS_MEMBER_(name) __typeof__(&name) name;
    IMAGE_VIPS_CALLS(IMAGE_VIPS_MEMBER_)
#undef IMAGE_VIPS_MEMBER_
} VipsApi;

/* Filled by image_vips_open, constant from then on. */
extern VipsApi image_vips;

#define V(name) (image_vips.name)

/* Open libvips, once in a process; any thread. 0, or -ERR_UNSUPPORTED with the reason. */
MUST int image_vips_open(void);

/* The failure CODE with WHAT and libvips' own words, which are cleared. Returns CODE. */
int image_vips_fail(int code, const char *what);

/* Give up a reference. */
void image_unref(VipsImage *image);
DEFINE_AUTO(VipsImage *, image_unref);

/* *IMAGE becomes NEXT; the reference to what it was is given up. */
void image_replace(VipsImage **image, VipsImage *next);
