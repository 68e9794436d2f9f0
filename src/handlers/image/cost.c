/*
 * What decoding a source costs in memory, by its header.
 *
 *   JPEG in one scan        some rows of the width, on the road of pixels alone (jpeg_scale.h)
 *   JPEG in several scans   its coefficients beside that: two bytes for each sample, all of them
 *   PNG                     the rows that libvips' steps hold; interlaced: every pixel
 *   GIF                     one canvas of four bytes a pixel, and the frames that are kept
 *   WebP                    without loss the frame; what it is scaled to; every frame that is kept
 *   AVIF, HEIC              planes of 16 bits and the frame in RGBA
 *   TIFF                    every pixel: a file may be one strip
 *
 * tests/images/corners measures what is used beside what is asked for; docs/internals/image.md has
 * the figures.
 */
#include "handlers/image/jpeg_scale.h"
#include "handlers/image/source.h"

#include "base/macro.h"
#include "base/text.h"

#define BASE_COST    INT64_C(8000000) /* small things, whatever the picture */
#define DRAWING_COST INT64_C(48000000)
#define ROWS         1500 /* of the source, that libvips' steps hold at once */
#define ROWS_LINEAR  4500 /* in floats */
#define ROWS_JPEG    60

/* Where the samples of a JPEG are told of: a start of frame of any kind. */
static bool is_frame(unsigned char marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* Samples for each pixel of a frame, whose segment is BYTES: its channels have
 *
 *   length (2), bits (1), height (2), width (2), how many (1), and for each: its name, how often it
 *   is sampled across (high half) and down (low half), its table
 */
static double frame_samples(Str bytes)
{
    const unsigned char *at = (const unsigned char *) bytes.data;
    int n = bytes.len > 7 ? at[7] : 0, most_across = 1, most_down = 1, sum = 0;

    if (n == 0 || bytes.len < 8 + 3 * (size_t) n)
        return 4;
    for (int i = 0; i < n; i++) {
        int across = at[9 + 3 * i] >> 4, down = at[9 + 3 * i] & 15;

        most_across = MAX(most_across, across);
        most_down = MAX(most_down, down);
        sum += across * down;
    }
    return MIN(4.0, (double) sum / (most_across * most_down));
}

/* Samples for each pixel of the JPEG in BYTES; as many as there can be where it cannot be told. */
static double jpeg_samples(Str bytes)
{
    const unsigned char *at = (const unsigned char *) bytes.data;
    size_t i = 2;

    while (i + 4 <= bytes.len && at[i] == 0xff) {
        if (at[i + 1] == 0xff) {
            i++; /* one of several that fill */
            continue;
        }
        if (is_frame(at[i + 1]))
            return frame_samples(str_sub(bytes, i + 2, bytes.len));
        i += 2 + ((size_t) at[i + 2] << 8 | at[i + 3]);
    }
    return 4;
}

/* Whether BYTES are a WebP of one frame with loss and without alpha, which is decoded by rows: the
 * chunk of its pixels comes after one of what else there is, and a profile. */
static bool is_plain_lossy_webp(Str bytes)
{
    static const Str lossy = STR("VP8 "), first = STR("VP8X"), profile = STR("ICCP");
    size_t i = 12;

    while (i + 8 <= bytes.len) {
        const unsigned char *at = (const unsigned char *) bytes.data + i;
        Str name = str_sub(bytes, i, 4);

        if (!str_eq(name, first) && !str_eq(name, profile))
            return str_eq(name, lossy);
        i += 8 + ((at[4] | (size_t) at[5] << 8 | (size_t) at[6] << 16 | (size_t) at[7] << 24) + 1) /
                     2 * 2;
    }
    return false;
}

/* As the WebP's loader decodes it, one frame or several. */
static int64_t webp_cost(const ImageSource *source, int64_t pixels, double shrink)
{
    int64_t held = is_plain_lossy_webp(source->bytes) ? 0 : pixels * 5;

    if (source->frames > 1)
        return pixels * 5 + pixels * 4 * source->frames;
    return held + (int64_t) ((double) pixels * 16 / MAX(4, shrink * shrink));
}

int64_t image_source_cost(const ImageSource *source, double shrink)
{
    int64_t pixels = (int64_t) source->width * source->height;
    int64_t pixel_bytes = (int64_t) source->channels * source->channel_bytes;
    int64_t whole = pixels * pixel_bytes, row = source->width * pixel_bytes;
    double scale = source->format == IMAGE_WEBP && source->frames == 1
                       ? MIN(1.0, IMAGE_WEBP_ROOM / shrink)
                       : 1.0;
    int64_t base = BASE_COST + (int64_t) (scale * (double) row) * (source->is_linear ? ROWS_LINEAR
                                                                   : image_jpeg_fits(source)
                                                                       ? ROWS_JPEG
                                                                       : ROWS);

    switch (source->format) {
    case IMAGE_JPEG:
        return base + (source->is_interlaced
                           ? (int64_t) ((double) pixels * 2.2 * jpeg_samples(source->bytes))
                           : 0);
    case IMAGE_PNG: return base + (source->is_interlaced ? whole : 0);
    case IMAGE_GIF: return base + pixels * (8 + 4 * (int64_t) source->frames);
    case IMAGE_WEBP: return base + webp_cost(source, pixels, shrink);
    case IMAGE_AVIF:
    case IMAGE_HEIC: return base + pixels * 12;
    case IMAGE_TIFF: return base + 2 * whole;
    case IMAGE_SVG:
    case IMAGE_PDF: return DRAWING_COST + (int64_t) ((double) pixels * 8 / (shrink * shrink));
    case IMAGE_UNKNOWN: break;
    }
    return base;
}
