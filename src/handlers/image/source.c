/*
 * A source: see source.h.
 */
#include "handlers/image/source.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/text.h"

#include <math.h>

#define PNG_FIRST_CHUNK 12 /* its name; behind the signature and a length */

static const char *const failed = "the picture cannot be read";
static const Str apple_png = STR("CgBI"); /* before the header, where no other PNG has anything */

/* Open BYTES with the loader of FORMAT; N frames from PAGE on, SCALE times the size. */
static int open_with(const ImageSource *s, int n, double scale, VipsImage **out)
{
    void *data = (void *) s->bytes.data;
    size_t len = s->bytes.len;
    VipsAccess access = VIPS_ACCESS_SEQUENTIAL;
    int fail_on = (int) s->fail_on;

#define COMMON "access", access, "fail_on", fail_on
    switch (s->format) {
    case IMAGE_JPEG: return V(vips_jpegload_buffer)(data, len, out, COMMON, NULL);
    case IMAGE_PNG: return V(vips_pngload_buffer)(data, len, out, COMMON, NULL);
    case IMAGE_WEBP:
        return V(vips_webpload_buffer)(data, len, out, COMMON, "page", s->page, "n", n, "scale",
                                       scale, NULL);
    case IMAGE_AVIF:
    case IMAGE_HEIC: return V(vips_heifload_buffer)(data, len, out, COMMON, "page", s->page, NULL);
    case IMAGE_GIF:
        return V(vips_gifload_buffer)(data, len, out, COMMON, "page", s->page, "n", n, NULL);
    case IMAGE_TIFF: return V(vips_tiffload_buffer)(data, len, out, COMMON, "page", s->page, NULL);
    case IMAGE_SVG: return V(vips_svgload_buffer)(data, len, out, COMMON, "scale", scale, NULL);
    case IMAGE_PDF:
        return V(vips_pdfload_buffer)(data, len, out, COMMON, "page", s->page, "scale", scale,
                                      NULL);
    case IMAGE_UNKNOWN: break;
    }
#undef COMMON
    return -1;
}

static int meta_int(VipsImage *image, const char *name, int otherwise)
{
    int value = otherwise;

    if (V(vips_image_get_typeof)(image, name) == 0 || V(vips_image_get_int)(image, name, &value))
        return otherwise;
    return value;
}

static int channel_bytes(VipsImage *image)
{
    switch ((int) V(vips_image_get_format)(image)) {
    case VIPS_FORMAT_UCHAR:
    case VIPS_FORMAT_CHAR: return 1;
    case VIPS_FORMAT_USHORT:
    case VIPS_FORMAT_SHORT: return 2;
    case VIPS_FORMAT_INT:
    case VIPS_FORMAT_UINT:
    case VIPS_FORMAT_FLOAT: return 4;
    default: return 16;
    }
}

static void read_facts(ImageSource *source)
{
    VipsImage *header = source->header;

    source->width = V(vips_image_get_width)(header);
    source->height = V(vips_image_get_height)(header);
    source->pages = V(vips_image_get_n_pages)(header);
    source->channels = V(vips_image_get_bands)(header);
    source->channel_bytes = channel_bytes(header);
    source->has_alpha = V(vips_image_hasalpha)(header);
    source->has_profile = V(vips_image_get_typeof)(header, VIPS_META_ICC_NAME) != 0;
    source->is_interlaced = meta_int(header, "interlaced", 0) != 0 ||
                            meta_int(header, "jpeg-multiscan", 0) != 0;
    source->orientation = meta_int(header, VIPS_META_ORIENTATION, 1);
    if (source->orientation < 1 || source->orientation > 8)
        source->orientation = 1;
}

/* Whether FORMAT is taken, and the page is there. */
static int check_format(const ImageSource *source, const ImageArgs *args)
{
    if (source->format == IMAGE_UNKNOWN)
        return fail(-ERR_UNREADABLE, source->bytes.len == 0
                                         ? "there is no picture: the input is empty (a job names "
                                           "its picture by `source`)"
                                         : "the input is no picture of a kind that is taken here");
    if (source->format == IMAGE_PNG &&
        str_eq(str_sub(source->bytes, PNG_FIRST_CHUNK, 4), apple_png))
        return fail(-ERR_UNREADABLE, "the picture is a PNG of the kind that only Apple's systems "
                                     "read (CgBI); give its original");
    if ((source->format == IMAGE_SVG || source->format == IMAGE_PDF) && !args->vector)
        return fail(-ERR_UNREADABLE, "%s is taken only where `vector` is set",
                    source->format == IMAGE_SVG ? "SVG" : "PDF");
    if (source->bytes.len > LIMIT_IMAGE_BYTES)
        return fail(-ERR_UNREADABLE, "the picture has %zu bytes; it may have %d", source->bytes.len,
                    LIMIT_IMAGE_BYTES);
    return 0;
}

static int check_limits(const ImageSource *source)
{
    int64_t pixels = (int64_t) source->width * source->height;

    if (source->width > LIMIT_IMAGE_SIDE || source->height > LIMIT_IMAGE_SIDE)
        return fail(-ERR_UNREADABLE, "the picture has %d by %d pixels; a side may have %d",
                    source->width, source->height, LIMIT_IMAGE_SIDE);
    if (pixels > LIMIT_IMAGE_PIXELS)
        return fail(-ERR_UNREADABLE,
                    "the picture has %d by %d pixels, %lld million; it may have %d million",
                    source->width, source->height, (long long) (pixels / 1000000),
                    LIMIT_IMAGE_PIXELS / 1000000);
    if (source->frames > LIMIT_IMAGE_FRAMES)
        return fail(-ERR_UNREADABLE, "the picture has %d frames; %d may be kept", source->frames,
                    LIMIT_IMAGE_FRAMES);
    if (pixels * source->frames > LIMIT_IMAGE_PIXELS)
        return fail(-ERR_UNREADABLE,
                    "the picture has %d frames of %d by %d pixels, %lld million; it may have %d "
                    "million",
                    source->frames, source->width, source->height,
                    (long long) (pixels * source->frames / 1000000), LIMIT_IMAGE_PIXELS / 1000000);
    return 0;
}

int image_source_open(Str bytes, const ImageArgs *args, ImageSource *ret_source)
{
    AUTO(image_source_free)
    ImageSource source = { .bytes = bytes,
                           .format = image_sniff(bytes),
                           .page = (int) args->page,
                           .frames = 1,
                           .is_careful = args->careful,
                           .is_linear = args->linear,
                           .fail_on = (ImageFailOn) args->fail_on };
    int r = check_format(&source, args);

    if (r < 0)
        return r;
    r = image_vips_open();
    if (r < 0)
        return r;
    V(vips_error_clear)();
    if (open_with(&source, 1, 1.0, &source.header))
        return image_vips_fail(-ERR_UNREADABLE, failed);
    read_facts(&source);
    if (args->animated && (source.format == IMAGE_GIF || source.format == IMAGE_WEBP))
        source.frames = MAX(1, source.pages - source.page);
    r = check_limits(&source);
    if (r < 0)
        return r;
    *ret_source = source;
    source.header = NULL;
    return 0;
}

void image_source_free(ImageSource *source)
{
    if (source->header)
        image_unref(source->header);
    source->header = NULL;
}

/* Row Y of what is drawn through REGION becomes that of the picture in MEMORY. */
static int draw_row(VipsRegion *region, int y, VipsImage *memory)
{
    VipsRect row = { .top = y, .width = V(vips_image_get_width)(memory), .height = 1 };

    if (V(vips_region_prepare)(region, &row))
        return -1;
    return V(vips_image_write_line)(memory, y,
                                    region->data + (y - region->valid.top) * region->bpl);
}

/* *IMAGE becomes its pixels, made by the calling thread: libvips' own have no fonts (fonts.h). */
static int draw(VipsImage **image)
{
    AUTO(image_unref) VipsImage *memory = V(vips_image_new_memory)();
    VipsRegion *region = V(vips_region_new)(*image);
    int height = V(vips_image_get_height)(*image), r = -1;

    if (region && !V(vips_image_pipelinev)(memory, VIPS_DEMAND_STYLE_THINSTRIP, *image, NULL))
        r = 0;
    for (int y = 0; r == 0 && y < height; y++)
        r = draw_row(region, y, memory);
    if (region)
        V(g_object_unref)(region);
    if (r)
        return image_vips_fail(-ERR_UNREADABLE, failed);
    image_replace(image, TAKE(memory));
    return 0;
}

int image_source_load(const ImageSource *source, double shrink, VipsImage **ret_image)
{
    bool is_drawn = source->format == IMAGE_SVG || source->format == IMAGE_PDF;
    AUTO(image_unref) VipsImage *image = NULL;
    double scale = 1.0;
    int r = 0;

    if (source->format == IMAGE_WEBP && source->frames == 1)
        scale = MIN(1.0, IMAGE_WEBP_ROOM / MAX(shrink, 1.0));
    if (is_drawn)
        scale = 1.0 / shrink;
    if (open_with(source, source->frames, scale, &image))
        return image_vips_fail(-ERR_UNREADABLE, failed);
    if (is_drawn)
        r = draw(&image);
    if (r < 0)
        return r;
    *ret_image = TAKE(image);
    return 0;
}
