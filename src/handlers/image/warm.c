/*
 * Warming up: see warm.h.
 *
 * Fonts are opened and kept (fonts.h), and a letter is drawn once. Profiles for colours are part of
 * the libraries: they need no file, and a first transform costs no more than others.
 */
#include "handlers/image/warm.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"
#include "handlers/image/encode.h"
#include "handlers/image/fonts.h"
#include "handlers/image/source.h"

#define SIDE 16

static const Str drawing = STR("<svg xmlns='http://www.w3.org/2000/svg' width='16' height='16'>"
                               "<text y='12' font-family='sans-serif'>a</text></svg>");

/* End the error R, if it is one: what is not here is told by the run that needs it. */
static bool is_done(int r)
{
    if (r < 0)
        err_take(r, NULL);
    return r == 0;
}

/* Decode BYTES and forget them. */
static void read_once(Str bytes)
{
    AUTO(image_source_free) ImageSource source = { 0 };
    AUTO(image_unref) VipsImage *image = NULL;
    AUTO(image_unref) VipsImage *held = NULL;
    const ImageArgs args = { .vector = true };

    if (!is_done(image_source_open(bytes, &args, &source)) ||
        !is_done(image_source_load(&source, 1.0, &image)))
        return;
    held = V(vips_image_copy_memory)(image);
}

/* Write IMAGE as FORMAT and read it again. */
static void through(ImageFormat format, VipsImage *image)
{
    AUTO(image_encoded_free) ImageEncoded encoded = { 0 };
    const ImageOptions options = { .quality = -1, .effort = 0 };

    if (is_done(image_encode(&options, format, image, &encoded)))
        read_once(str_from(encoded.bytes, encoded.len));
}

int image_preload(void)
{
    return image_vips_open();
}

int image_prepare(void)
{
    static const ImageFormat formats[] = { IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP, IMAGE_AVIF };
    AUTO(image_unref) VipsImage *image = NULL;
    AUTO(image_unref) VipsImage *four = NULL;
    unsigned char pixels[SIDE * SIDE * 4] = { 0 };

    if (!is_done(image_vips_open()))
        return 0;
    four = V(vips_image_new_from_memory_copy)(pixels, sizeof(pixels), SIDE, SIDE, 4,
                                              VIPS_FORMAT_UCHAR);
    if (four && !V(vips_extract_band)(four, &image, 0, "n", 3, NULL)) {
        for (size_t i = 0; i < ARRAY_LEN(formats); i++)
            through(formats[i], image);
        image_fonts_hold();
        read_once(drawing);
    }
    V(vips_error_clear)();
    return 0;
}
