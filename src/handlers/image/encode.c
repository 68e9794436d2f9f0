/*
 * Writing an output: see encode.h.
 *
 * An effort of 0 to 10 means to each format what it has: WebP's method 0 to 6, AVIF's effort 0 to
 * 9, the level of PNG's deflate, and for JPEG Huffman tables of its own from 5 on.
 */
#include "handlers/image/encode.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"
#include "handlers/image/webp_trim.h"

#define QUALITY             80
#define QUALITY_AVIF        50
#define EFFORT_WEBP         4
#define EFFORT_AVIF         4
#define EFFORT_PNG          6
#define EFFORT_TABLES       5

/* From this quality on, JPEG keeps the colours of every pixel. */
#define QUALITY_FULL_CHROMA 90

static bool starts(const char *name, const char *with)
{
    return str_starts(str_from_c(name), str_from_c(with));
}

/* Whether the field NAME holds where the picture was taken, or bytes that may hide it. */
static bool tells_place(const char *name)
{
    return starts(name, "exif-ifd3-") || starts(name, "xmp-") || starts(name, "iptc-") ||
           starts(name, "photoshop-") || starts(name, "gain") || starts(name, "png-comment-") ||
           starts(name, "exif-ifd0-MakerNote") || starts(name, "exif-ifd2-MakerNote");
}

static bool is_kept(const ImageOptions *options, const char *name)
{
    if (str_eq_c(str_from_c(name), VIPS_META_PAGE_HEIGHT) || starts(name, VIPS_META_N_PAGES))
        return false;
    if (starts(name, "icc-profile-data"))
        return options->metadata != IMAGE_KEEP_NONE || !options->icc;
    if (starts(name, VIPS_META_ORIENTATION) || starts(name, "exif-ifd0-Orientation"))
        return false;
    if (starts(name, "exif-ifd1-") || starts(name, "jpeg-thumbnail-data"))
        return false; /* the picture as it was before it was cut */
    if (starts(name, "exif-") || starts(name, "xmp-") || starts(name, "iptc-") ||
        starts(name, "photoshop-") || starts(name, "png-comment-") ||
        starts(name, VIPS_META_IMAGEDESCRIPTION))
        return options->metadata == IMAGE_KEEP_ALL ||
               (options->metadata == IMAGE_KEEP_SAFE && !tells_place(name));
    return true;
}

int image_metadata_trim(const ImageOptions *options, VipsImage **image)
{
    VipsImage *out = NULL;
    gchar **fields;

    if (V(vips_copy)(*image, &out, NULL))
        return image_vips_fail(-ENOMEM, "the picture");
    image_replace(image, out);
    fields = V(vips_image_get_fields)(out);
    for (gchar **field = fields; field && *field; field++) {
        if (!is_kept(options, *field))
            V(vips_image_remove)(out, *field);
        V(g_free)(*field);
    }
    V(g_free)(fields);
    return 0;
}

static int scaled_effort(const ImageOptions *options, int most, int otherwise)
{
    return options->effort < 0 ? otherwise : (int) (options->effort * most + 5) / 10;
}

/* libvips writes a small EXIF of its own unless it is told to write nothing but the pixels. */
static int is_bare(const ImageOptions *options)
{
    return options->metadata == IMAGE_KEEP_NONE && options->icc;
}

static int encode_jpeg(const ImageOptions *options, VipsImage *image, ImageEncoded *out)
{
    int quality = options->quality < 0 ? QUALITY : (int) options->quality;

    return V(vips_jpegsave_buffer)(
        image, &out->bytes, &out->len, "Q", quality, "interlace", (int) options->progressive,
        "optimize_coding", (int) (options->effort >= EFFORT_TABLES), "subsample_mode",
        quality >= QUALITY_FULL_CHROMA ? VIPS_FOREIGN_SUBSAMPLE_OFF : VIPS_FOREIGN_SUBSAMPLE_ON,
        "strip", is_bare(options), NULL);
}

static int encode_png(const ImageOptions *options, VipsImage *image, ImageEncoded *out)
{
    return V(vips_pngsave_buffer)(image, &out->bytes, &out->len, "compression",
                                  scaled_effort(options, 9, EFFORT_PNG), "interlace",
                                  (int) options->progressive, "strip", is_bare(options), NULL);
}

static int encode_webp(const ImageOptions *options, VipsImage *image, ImageEncoded *out)
{
    return V(vips_webpsave_buffer)(
        image, &out->bytes, &out->len, "Q", options->quality < 0 ? QUALITY : (int) options->quality,
        "lossless", (int) options->lossless, "effort", scaled_effort(options, 6, EFFORT_WEBP),
        "strip", is_bare(options), NULL);
}

static int encode_avif(const ImageOptions *options, VipsImage *image, ImageEncoded *out)
{
    return V(vips_heifsave_buffer)(
        image, &out->bytes, &out->len, "compression", VIPS_FOREIGN_HEIF_COMPRESSION_AV1, "Q",
        options->quality < 0 ? QUALITY_AVIF : (int) options->quality, "lossless",
        (int) options->lossless, "effort", scaled_effort(options, 9, EFFORT_AVIF), "subsample_mode",
        options->lossless ? VIPS_FOREIGN_SUBSAMPLE_OFF : VIPS_FOREIGN_SUBSAMPLE_ON, "strip",
        is_bare(options), NULL);
}

int image_encode(const ImageOptions *options, ImageFormat format, VipsImage *image,
                 ImageEncoded *ret_encoded)
{
    ImageEncoded encoded = { 0 };
    int r = -1;

    if (format == IMAGE_JPEG)
        r = encode_jpeg(options, image, &encoded);
    else if (format == IMAGE_PNG)
        r = encode_png(options, image, &encoded);
    else if (format == IMAGE_WEBP)
        r = encode_webp(options, image, &encoded);
    else if (format == IMAGE_AVIF)
        r = encode_avif(options, image, &encoded);
    if (r)
        return image_vips_fail(-ERR_UNREADABLE, "the picture cannot be read or written");
    if (format == IMAGE_WEBP && options->metadata == IMAGE_KEEP_NONE)
        encoded.len = image_webp_trim(encoded.bytes, encoded.len);
    *ret_encoded = encoded;
    return 0;
}

void image_encoded_free(ImageEncoded *encoded)
{
    if (encoded->bytes)
        V(g_free)(encoded->bytes);
    *encoded = (ImageEncoded){ 0 };
}
