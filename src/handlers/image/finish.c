/*
 * From a scaled part to an output: see finish.h.
 *
 * A broken profile is no reason to refuse a picture: its colours then count as what their number
 * says, sRGB or the usual inks.
 */
#include "handlers/image/finish.h"

#include "base/err.h"
#include "base/macro.h"
#include "codec/hex.h"

#include <math.h>

/* Run a call of libvips that makes OUT from *IMAGE, and let *IMAGE become it. */
#define STEP(what, call)                                   \
    do {                                                   \
        VipsImage *out = NULL;                             \
        if (call)                                          \
            return image_vips_fail(-ERR_UNREADABLE, what); \
        image_replace(image, out);                         \
    } while (0)

/* Without alpha, how many channels. */
static int colours(VipsImage *image)
{
    return V(vips_image_get_bands)(image) - (V(vips_image_hasalpha)(image) ? 1 : 0);
}

/* Whether *IMAGE went through its profile (or the usual one of its inks) into sRGB. */
static bool through_profile(VipsImage **image)
{
    bool is_cmyk = V(vips_image_get_interpretation)(*image) == VIPS_INTERPRETATION_CMYK;
    VipsImage *out = NULL;

    if (!is_cmyk && V(vips_image_get_typeof)(*image, VIPS_META_ICC_NAME) == 0)
        return false;
    if (V(vips_icc_transform)(*image, &out, "srgb", "embedded", TRUE, "input_profile",
                              is_cmyk ? "cmyk" : "srgb", "intent", VIPS_INTENT_RELATIVE, NULL)) {
        V(vips_error_clear)();
        return false;
    }
    image_replace(image, out);
    return true;
}

/* More channels than grey or colour has, in a space without a name: the first three count. */
static int drop_extra(VipsImage **image)
{
    int bands = V(vips_image_get_bands)(*image);
    int meaning = (int) V(vips_image_get_interpretation)(*image);

    if (meaning == VIPS_INTERPRETATION_MULTIBAND || bands > 5) {
        STEP("channels", V(vips_extract_band)(*image, &out, 0, "n", bands >= 3 ? 3 : 1, NULL));
        STEP("channels",
             V(vips_copy)(*image, &out, "interpretation",
                          bands >= 3 ? VIPS_INTERPRETATION_sRGB : VIPS_INTERPRETATION_B_W, NULL));
    }
    return 0;
}

int image_to_srgb(bool to_srgb, VipsImage **image)
{
    int meaning, r;

    r = drop_extra(image);
    if (r < 0)
        return r;
    if (to_srgb)
        (void) through_profile(image);
    meaning = (int) V(vips_image_get_interpretation)(*image);
    if (!to_srgb && meaning == VIPS_INTERPRETATION_CMYK)
        return 0;
    if (colours(*image) < 3 && meaning != VIPS_INTERPRETATION_B_W)
        STEP("colours", V(vips_colourspace)(*image, &out, VIPS_INTERPRETATION_B_W, NULL));
    else if (colours(*image) >= 3 && meaning != VIPS_INTERPRETATION_sRGB)
        STEP("colours", V(vips_colourspace)(*image, &out, VIPS_INTERPRETATION_sRGB, NULL));
    if (V(vips_image_get_format)(*image) != VIPS_FORMAT_UCHAR)
        STEP("colours", V(vips_cast_uchar)(*image, &out, NULL));
    return 0;
}

/* The colour behind, as many channels as IMAGE has; its alpha is ALPHA, left out below nought. */
static VipsArrayDouble *background(const ImageOptions *options, VipsImage *image, double alpha)
{
    unsigned char rgb[3];
    double values[8] = { 0 };
    int n = MIN(V(vips_image_get_bands)(image), 5), n_colours = MIN(colours(image), 4);

    if (hex_decode(options->background, rgb) == 0)
        for (int i = 0; i < 3; i++)
            values[i] = rgb[i];
    if (n_colours == 1)
        values[0] = 0.2126 * values[0] + 0.7152 * values[1] + 0.0722 * values[2];
    if (n_colours == 4)
        for (int i = 0; i < 4; i++)
            values[i] = i < 3 ? 255 - values[i] : 0;
    if (alpha < 0)
        n = n_colours;
    else if (n > n_colours)
        values[n_colours] = alpha;
    return V(vips_array_double_new)(values, n);
}

static int turn(const ImagePlan *plan, VipsImage **image)
{
    static const VipsAngle angles[] = { VIPS_ANGLE_D0, VIPS_ANGLE_D90, VIPS_ANGLE_D180,
                                        VIPS_ANGLE_D270 };

    /* Turning reads from everywhere; what comes from a file comes in rows. */
    if (plan->is_mirrored || plan->turns > 0) {
        VipsImage *held = V(vips_image_copy_memory)(*image);

        if (!held)
            return image_vips_fail(-ERR_UNREADABLE, "the picture cannot be read");
        image_replace(image, held);
    }
    if (plan->is_mirrored)
        STEP("mirror", V(vips_flip)(*image, &out, VIPS_DIRECTION_HORIZONTAL, NULL));
    if (plan->turns > 0)
        STEP("turn", V(vips_rot)(*image, &out, angles[plan->turns], NULL));
    return 0;
}

/* The place of a length of SIZE in one of ROOM, for GRAVITY's column (or row) 0, 1 or 2. */
static int place(int room, int size, int third)
{
    return third * (room - size) / 2;
}

static int cut(const ImageFinish *finish, VipsImage **image)
{
    int width = V(vips_image_get_width)(*image), height = V(vips_image_get_height)(*image);
    int to_width = MIN(finish->plan->crop_width, width);
    int to_height = MIN(finish->plan->crop_height, height), gravity = finish->options->gravity;

    if (to_width == width && to_height == height)
        return 0;
    if (gravity == IMAGE_ATTENTION || gravity == IMAGE_ENTROPY)
        STEP("crop", V(vips_smartcrop)(*image, &out, to_width, to_height, "interesting",
                                       gravity == IMAGE_ATTENTION ? VIPS_INTERESTING_ATTENTION
                                                                  : VIPS_INTERESTING_ENTROPY,
                                       NULL));
    else
        STEP("crop", V(vips_extract_area)(*image, &out, place(width, to_width, gravity % 3),
                                          place(height, to_height, gravity / 3), to_width,
                                          to_height, NULL));
    return 0;
}

/* The border is transparent where the picture has alpha that is kept, background otherwise. */
static int border(const ImageFinish *finish, VipsImage **image)
{
    int width = V(vips_image_get_width)(*image), height = V(vips_image_get_height)(*image);
    int gravity = MIN((int) finish->options->gravity, (int) IMAGE_SOUTHEAST);
    VipsArrayDouble *colour;
    VipsImage *out = NULL;
    int r;

    if (finish->options->gravity > IMAGE_SOUTHEAST)
        gravity = IMAGE_CENTER;
    if (finish->plan->canvas_width <= width && finish->plan->canvas_height <= height)
        return 0;
    colour = background(finish->options, *image, finish->is_flat ? 255 : 0);
    r = V(vips_embed)(*image, &out, place(finish->plan->canvas_width, width, gravity % 3),
                      place(finish->plan->canvas_height, height, gravity / 3),
                      finish->plan->canvas_width, finish->plan->canvas_height, "extend",
                      VIPS_EXTEND_BACKGROUND, "background", colour, NULL);
    V(vips_area_unref)((VipsArea *) colour);
    if (r)
        return image_vips_fail(-ERR_UNREADABLE, "border");
    image_replace(image, out);
    return 0;
}

static int lean(const ImageFinish *finish, VipsImage **image)
{
    VipsArrayDouble *colour;
    VipsImage *out = NULL;
    int r;

    if (finish->plan->angle == 0)
        return 0;
    colour = background(finish->options, *image, finish->is_flat ? 255 : 0);
    r = V(vips_rotate)(*image, &out, (double) finish->plan->angle, "background", colour, NULL);
    V(vips_area_unref)((VipsArea *) colour);
    if (r)
        return image_vips_fail(-ERR_UNREADABLE, "rotate");
    image_replace(image, out);
    return 0;
}

static int effects(const ImageOptions *options, VipsImage **image)
{
    if (options->blur > 0)
        STEP("blur", V(vips_gaussblur)(*image, &out, MAX(options->blur, 0.1), NULL));
    if (options->sharpen > 0) {
        bool is_grey = colours(*image) == 1;

        STEP("sharpen", V(vips_sharpen)(*image, &out, "sigma", options->sharpen, NULL));
        STEP("sharpen",
             V(vips_colourspace)(
                 *image, &out, is_grey ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB, NULL));
    }
    return 0;
}

/* The watermark, no larger than WIDTH by HEIGHT. */
static int watermark_fit(const ImageFinish *finish, int width, int height, VipsImage **image)
{
    double scale = MIN((double) width / V(vips_image_get_width)(finish->watermark),
                       (double) height / V(vips_image_get_height)(finish->watermark));
    double factors[4] = { 1, 1, 1, finish->options->watermark_opacity };
    double zeros[4] = { 0 };

    STEP("watermark", V(vips_copy)(finish->watermark, &out, NULL));
    if (scale < 1)
        STEP("watermark", V(vips_resize)(*image, &out, scale, NULL));
    STEP("watermark", V(vips_linear)(*image, &out, factors, zeros, 4, "uchar", TRUE, NULL));
    STEP("watermark", V(vips_copy)(*image, &out, "interpretation", VIPS_INTERPRETATION_sRGB, NULL));
    return 0;
}

static int watermark(const ImageFinish *finish, VipsImage **image)
{
    AUTO(image_unref) VipsImage *mark = NULL;
    int width = V(vips_image_get_width)(*image), height = V(vips_image_get_height)(*image);
    int gravity = finish->options->watermark_gravity, r;
    bool had_alpha = V(vips_image_hasalpha)(*image);

    if (!finish->watermark)
        return 0;
    r = watermark_fit(finish, width, height, &mark);
    if (r < 0)
        return r;
    STEP("watermark",
         V(vips_composite2)(*image, mark, &out, VIPS_BLEND_MODE_OVER, "x",
                            place(width, V(vips_image_get_width)(mark), gravity % 3), "y",
                            place(height, V(vips_image_get_height)(mark), gravity / 3), NULL));
    if (!had_alpha)
        STEP("watermark", V(vips_extract_band)(*image, &out, 0, "n", colours(*image), NULL));
    return image_to_srgb(false, image);
}

static int flatten(const ImageFinish *finish, VipsImage **image)
{
    VipsArrayDouble *colour;
    VipsImage *out = NULL;
    int r;

    if (!finish->is_flat || !V(vips_image_hasalpha)(*image))
        return 0;
    colour = background(finish->options, *image, -1);
    r = V(vips_flatten)(*image, &out, "background", colour, NULL);
    V(vips_area_unref)((VipsArea *) colour);
    if (r)
        return image_vips_fail(-ERR_UNREADABLE, "flatten");
    image_replace(image, out);
    return 0;
}

int image_finish(const ImageFinish *finish, VipsImage **image)
{
    int r = turn(finish->plan, image);

    if (r == 0)
        r = image_to_srgb(finish->options->icc, image);
    if (r == 0)
        r = cut(finish, image);
    if (r == 0 && !finish->is_flat && !V(vips_image_hasalpha)(*image) && finish->plan->angle > 0)
        STEP("rotate", V(vips_addalpha)(*image, &out, NULL));
    if (r == 0)
        r = lean(finish, image);
    if (r == 0)
        r = border(finish, image);
    if (r == 0)
        r = effects(finish->options, image);
    if (r == 0)
        r = watermark(finish, image);
    return r < 0 ? r : flatten(finish, image);
}
