/*
 * What can be asked of a picture: the arguments of the handler, as its schema binds them.
 *
 * What belongs to the source stands in ImageArgs; what belongs to one output stands in
 * ImageOptions, which the arguments hold once in place and as often as `outputs` says. To add an
 * option, add a member, its row in IMAGE_OPTION_FIELDS, and the step in finish.c that does it.
 */
#pragma once

#include <sluice/schema.h>

typedef enum ImageFit {
    IMAGE_COVER,
    IMAGE_CONTAIN,
    IMAGE_FILL,
    IMAGE_INSIDE,
    IMAGE_OUTSIDE,
} ImageFit;

/* The first nine are places in a grid, row by row from the top left. */
typedef enum ImageGravity {
    IMAGE_NORTHWEST,
    IMAGE_NORTH,
    IMAGE_NORTHEAST,
    IMAGE_WEST,
    IMAGE_CENTER,
    IMAGE_EAST,
    IMAGE_SOUTHWEST,
    IMAGE_SOUTH,
    IMAGE_SOUTHEAST,
    IMAGE_ATTENTION,
    IMAGE_ENTROPY,
} ImageGravity;

/* What of the source's metadata an output keeps. */
typedef enum ImageMetadata { IMAGE_KEEP_NONE, IMAGE_KEEP_SAFE, IMAGE_KEEP_ALL } ImageMetadata;

/* From which damage on a source is refused; in the order of libvips' VipsFailOn. */
typedef enum ImageFailOn {
    IMAGE_FAIL_NONE,
    IMAGE_FAIL_TRUNCATED,
    IMAGE_FAIL_ERROR,
    IMAGE_FAIL_WARNING,
} ImageFailOn;

/* The words of `format`, by index. */
typedef enum ImageWanted {
    IMAGE_WANT_AUTO,
    IMAGE_WANT_JPEG,
    IMAGE_WANT_PNG,
    IMAGE_WANT_WEBP,
    IMAGE_WANT_AVIF,
} ImageWanted;

typedef struct ImageOptions {
    Str name;
    int64_t width;  /* 0: by the other side */
    int64_t height; /* as above */
    double dpr;
    int fit;     /* ImageFit */
    int gravity; /* ImageGravity */
    Str crop;    /* "left,top,width,height" in the upright source; empty: all of it */
    bool enlarge;
    int64_t rotate; /* degrees clockwise */
    double blur;
    double sharpen;
    bool flatten;
    Str background; /* "rrggbb" */
    Str watermark;  /* base64 */
    int watermark_gravity;
    double watermark_opacity;
    int metadata; /* ImageMetadata */
    bool icc;
    int format;      /* ImageWanted */
    int64_t quality; /* -1: by the format */
    int64_t effort;  /* -1: by the format */
    bool progressive;
    bool lossless;
} ImageOptions;

typedef struct ImageArgs {
    ImageOptions options; /* of the one output, where there are no `outputs` */
    SchemaList outputs;   /* of ImageOptions */
    Str accept;
    bool orient;
    bool animated;
    int64_t page;
    bool careful;
    bool linear;
    bool vector;
    int fail_on; /* ImageFailOn */
    bool info;
    Str source;      /* path or URL, of a job; empty: the bytes come beside the arguments */
    Str destination; /* path or URL, of a job; empty: the outputs go to who asked */
} ImageArgs;

extern const Schema image_args;
