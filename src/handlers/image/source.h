/*
 * A source: the bytes of a picture, what its header says, and what it costs to decode.
 *
 * Opening reads the header and no pixel: the format by the first bytes, then size, frames,
 * orientation and the like through libvips' loader for that format. Every limit of limits.def is
 * checked here, before anything is decoded, and the memory that decoding will need is worked out.
 */
#pragma once

#include "handlers/image/args.h"
#include "handlers/image/format.h"
#include "handlers/image/vips_api.h"

#include <stdint.h>

/* A still WebP is scaled by its own decoder down to this many times what is wanted: its scaler is a
 * plain mean, the last step is ours. */
#define IMAGE_WEBP_ROOM 2.0

typedef struct ImageSource {
    Str bytes; /* borrowed */
    ImageFormat format;
    int width; /* of one frame, as stored */
    int height;
    int pages;       /* pages or frames that the file has */
    int frames;      /* that are decoded: 1, or all of them */
    int page;        /* the first of these */
    int orientation; /* EXIF's, 1 where it says nothing */
    int channels;    /* alpha counted */
    int channel_bytes;
    bool has_alpha;
    bool has_profile;
    bool is_interlaced;  /* progressive JPEG, interlaced PNG: needs the whole of it in memory */
    bool is_careful;     /* precision before speed */
    bool is_linear;      /* scaled in linear light */
    bool keeps_metadata; /* an output wants more than pixels; set by who knows the outputs */
    ImageFailOn fail_on;
    VipsImage *header; /* owned; metadata, and pixels that are decoded when somebody asks */
} ImageSource;

/*
 * Open BYTES, which must outlive the source, as ARGS want them. 0; -ERR_UNREADABLE with what is
 * wrong or too large; -ERR_UNSUPPORTED without libvips. The caller owns the source.
 */
MUST int image_source_open(Str bytes, const ImageArgs *args, ImageSource *ret_source);
void image_source_free(ImageSource *source);
DEFINE_AUTO_VALUE(ImageSource, image_source_free);

/* Bytes of memory that decoding SOURCE takes, when only 1 pixel in SHRINK x SHRINK is wanted
 * (cost.c). */
int64_t image_source_cost(const ImageSource *source, double shrink);

/*
 * The pixels of SOURCE through libvips, at a fraction of their size where the loader can and SHRINK
 * (times smaller, both sides) leaves room for a last exact step; for a vector format, at the size
 * that 1 / SHRINK asks for. To be read once from top to bottom. The caller owns the image.
 */
MUST int image_source_load(const ImageSource *source, double shrink, VipsImage **ret_image);
