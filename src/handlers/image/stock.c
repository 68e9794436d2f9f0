/*
 * The stock of a run: see stock.h.
 */
#include "handlers/image/stock.h"

#include "base/err.h"
#include "base/macro.h"
#include "handlers/image/finish.h"
#include "handlers/image/jpeg_scale.h"

#include <math.h>

int image_stock_open(Task *task, const ImageSource *source, const ImagePlan *plans, size_t n,
                     ImageStock *ret_stock)
{
    AUTO(image_stock_free) ImageStock stock = { .source = source, .plans = plans, .n_plans = n };
    VipsImage *held;
    double shrink = image_plan_shrink(&plans[0]);
    int r;

    for (size_t i = 1; i < n; i++)
        shrink = MIN(shrink, image_plan_shrink(&plans[i]));
    if (image_jpeg_fits(source))
        r = image_jpeg_scale(task, source, plans, n, stock.scaled);
    else
        r = image_source_load(source, shrink, &stock.whole);
    if (r < 0)
        return r;
    if (stock.whole && (n > 1 || source->frames > 1)) {
        held = V(vips_image_copy_memory)(stock.whole);
        if (!held)
            return image_vips_fail(-ERR_UNREADABLE, "the picture cannot be read");
        image_replace(&stock.whole, held);
    }
    *ret_stock = stock;
    stock = (ImageStock){ 0 };
    return 0;
}

void image_stock_free(ImageStock *stock)
{
    image_replace(&stock->whole, NULL);
    for (size_t i = 0; i < stock->n_plans; i++)
        image_replace(&stock->scaled[i], NULL);
    stock->n_plans = 0;
}

/* *IMAGE becomes its part; sizes of the plan are those of the source, the image may be smaller. */
static int cut_part(const ImageStock *stock, const ImagePlan *plan, int frame, VipsImage **image)
{
    int width = V(vips_image_get_width)(*image);
    int height = V(vips_image_get_height)(*image) / stock->source->frames;
    double x = (double) width / stock->source->width, y = (double) height / stock->source->height;
    int left = MIN((int) round(plan->left * x), width - 1);
    int top = MIN((int) round(plan->top * y), height - 1);
    int part_width = MAX(1, MIN((int) round(plan->width * x), width - left));
    int part_height = MAX(1, MIN((int) round(plan->height * y), height - top));
    VipsImage *out;

    if (part_width == width && part_height == V(vips_image_get_height)(*image))
        return 0;
    if (V(vips_extract_area)(*image, &out, left, top + frame * height, part_width, part_height,
                             NULL))
        return image_vips_fail(-ERR_UNREADABLE, "crop");
    image_replace(image, out);
    return 0;
}

/* Colours that shine through count by as much as they show, so alpha is multiplied in first. */
static int scale_to(int width, int height, VipsImage **image)
{
    double x = (double) width / V(vips_image_get_width)(*image);
    double y = (double) height / V(vips_image_get_height)(*image);
    VipsBandFormat format = V(vips_image_get_format)(*image);
    bool has_alpha = V(vips_image_hasalpha)(*image);
    VipsImage *out;

    if (x == 1 && y == 1)
        return 0;
    if (has_alpha) {
        if (V(vips_premultiply)(*image, &out, NULL))
            return image_vips_fail(-ERR_UNREADABLE, "resize");
        image_replace(image, out);
    }
    if (V(vips_resize)(*image, &out, x, "vscale", y, NULL))
        return image_vips_fail(-ERR_UNREADABLE, "resize");
    image_replace(image, out);
    if (!has_alpha)
        return 0;
    if (V(vips_unpremultiply)(*image, &out, NULL))
        return image_vips_fail(-ERR_UNREADABLE, "resize");
    image_replace(image, out);
    if (V(vips_cast)(*image, &out, format, NULL))
        return image_vips_fail(-ERR_UNREADABLE, "resize");
    image_replace(image, out);
    return 0;
}

/* As scale_to, of what light there is instead of how it is written down. */
static int scale_light_to(int width, int height, VipsImage **image)
{
    VipsInterpretation meaning;
    VipsImage *out;
    int r = image_to_srgb(true, image);

    if (r < 0)
        return r;
    meaning = V(vips_image_get_interpretation)(*image);
    if (V(vips_colourspace)(*image, &out, VIPS_INTERPRETATION_scRGB, NULL))
        return image_vips_fail(-ERR_UNREADABLE, "linear");
    image_replace(image, out);
    r = scale_to(width, height, image);
    if (r < 0)
        return r;
    if (V(vips_colourspace)(*image, &out, meaning, NULL))
        return image_vips_fail(-ERR_UNREADABLE, "linear");
    image_replace(image, out);
    return 0;
}

int image_stock_take(ImageStock *stock, size_t i, int frame, VipsImage **ret_image)
{
    AUTO(image_unref) VipsImage *image = NULL;
    const ImagePlan *plan = &stock->plans[i];
    int r;

    if (stock->scaled[i]) {
        *ret_image = TAKE(stock->scaled[i]);
        return 0;
    }
    if (V(vips_copy)(stock->whole, &image, NULL))
        return image_vips_fail(-ENOMEM, "the picture");
    r = cut_part(stock, plan, frame, &image);
    if (r == 0)
        r = (stock->source->is_linear ? scale_light_to : scale_to)(plan->scaled_width,
                                                                   plan->scaled_height, &image);
    if (r < 0)
        return r;
    *ret_image = TAKE(image);
    return 0;
}
