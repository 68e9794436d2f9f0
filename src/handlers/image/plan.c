/*
 * The plan of an output: see plan.h.
 */
#include "handlers/image/plan.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/text.h"

#include <math.h>

/* A rectangle of the upright source. */
typedef struct Box {
    int left, top, width, height;
} Box;

/* EXIF's eight orientations: how to come from the stored picture to the upright one. */
static const struct {
    bool is_mirrored;
    int turns;
} orientations[9] = {
    [1] = { false, 0 }, [2] = { true, 0 },  [3] = { false, 2 }, [4] = { true, 2 },
    [5] = { true, 3 },  [6] = { false, 1 }, [7] = { true, 1 },  [8] = { false, 3 },
};

/* "left,top,width,height", inside of a picture of WIDTH by HEIGHT. */
static int box_parse(Str text, int width, int height, Box *ret_box)
{
    int64_t numbers[4] = { 0 };
    Str rest = text;

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        Str word = str_trim(str_cut(rest, ',', &rest));

        if (str_to_i64(word, i < 2 ? 0 : 1, INT32_MAX, &numbers[i]) < 0)
            return fail(-ERR_INVALID, "crop: must be left,top,width,height, got \"%.*s\"",
                        (int) text.len, text.data);
    }
    if (rest.len > 0)
        return fail(-ERR_INVALID, "crop: must be four numbers, got \"%.*s\"", (int) text.len,
                    text.data);
    if (numbers[0] + numbers[2] > width || numbers[1] + numbers[3] > height)
        return fail(-ERR_INVALID, "crop: reaches to %lld,%lld, and the picture has %d by %d pixels",
                    (long long) (numbers[0] + numbers[2]), (long long) (numbers[1] + numbers[3]),
                    width, height);
    *ret_box = (Box){ (int) numbers[0], (int) numbers[1], (int) numbers[2], (int) numbers[3] };
    return 0;
}

/* BOX of the upright picture as the part of the stored one, which has WIDTH by HEIGHT pixels. */
static void box_to_stored(Box box, int width, int height, ImagePlan *plan)
{
    Box part = box;

    if (plan->turns == 1)
        part = (Box){ box.top, height - box.left - box.width, box.height, box.width };
    else if (plan->turns == 2)
        part = (Box){ width - box.left - box.width, height - box.top - box.height, box.width,
                      box.height };
    else if (plan->turns == 3)
        part = (Box){ width - box.top - box.height, box.left, box.height, box.width };
    if (plan->is_mirrored)
        part.left = width - part.left - part.width;
    plan->left = part.left;
    plan->top = part.top;
    plan->width = part.width;
    plan->height = part.height;
}

/* The size asked for, 0 where it was left open. */
static int wanted(int64_t size, double dpr)
{
    return size == 0 ? 0 : (int) MAX(1.0, round((double) size * dpr));
}

/* The factors by which an upright part of W by H becomes OUT_W by OUT_H (0: open). */
static void factors(const ImageOptions *options, double w, double h, int out_w, int out_h,
                    double *ret_x, double *ret_y)
{
    double x = out_w / w, y = out_h / h;

    if (!out_w && !out_h)
        x = y = 1;
    else if (!out_w)
        x = y;
    else if (!out_h)
        y = x;
    else if (options->fit == IMAGE_COVER || options->fit == IMAGE_OUTSIDE)
        x = y = MAX(x, y);
    else if (options->fit == IMAGE_CONTAIN || options->fit == IMAGE_INSIDE)
        x = y = MIN(x, y);
    *ret_x = x;
    *ret_y = y;
}

static int over_pixels(int width, int height)
{
    return fail(-ERR_UNREADABLE,
                "the result would have %d by %d pixels; it may have %d million in all", width,
                height, LIMIT_IMAGE_OUT_PIXELS / 1000000);
}

/* The scaled picture, before it is cut, may be as long as a source. */
static int within_limits(const ImagePlan *plan)
{
    int width = plan->canvas_width, height = plan->canvas_height;

    if (width > LIMIT_IMAGE_OUT_SIDE || height > LIMIT_IMAGE_OUT_SIDE)
        return fail(-ERR_UNREADABLE, "the result would have %d by %d pixels; a side may have %d",
                    width, height, LIMIT_IMAGE_OUT_SIDE);
    if ((int64_t) width * height > LIMIT_IMAGE_OUT_PIXELS)
        return over_pixels(width, height);
    if (MAX(plan->scaled_width, plan->scaled_height) > LIMIT_IMAGE_SIDE ||
        (plan->scaled_width > plan->width &&
         (int64_t) plan->scaled_width * plan->scaled_height > LIMIT_IMAGE_OUT_PIXELS))
        return over_pixels(plan->scaled_width, plan->scaled_height);
    return 0;
}

/* Set scaled, crop and canvas sizes for the upright BOX. */
static void plan_sizes(const ImageOptions *options, Box box, bool is_vector, ImagePlan *plan)
{
    int out_w = wanted(options->width, options->dpr), out_h = wanted(options->height, options->dpr);
    double x, y, w, h;

    factors(options, box.width, box.height, out_w, out_h, &x, &y);
    if (!options->enlarge && !is_vector) {
        x = MIN(x, 1.0);
        y = MIN(y, 1.0);
    }
    w = MIN(MAX(1.0, round(box.width * x)), 1e9);
    h = MIN(MAX(1.0, round(box.height * y)), 1e9);
    plan->crop_width = (int) w;
    plan->crop_height = (int) h;
    if (out_w && out_h && options->fit == IMAGE_COVER) {
        plan->crop_width = MIN(out_w, (int) w);
        plan->crop_height = MIN(out_h, (int) h);
    }
    plan->canvas_width = plan->crop_width;
    plan->canvas_height = plan->crop_height;
    if (out_w && out_h && options->fit == IMAGE_CONTAIN) {
        plan->canvas_width = MAX(out_w, (int) w);
        plan->canvas_height = MAX(out_h, (int) h);
    }
    plan->scaled_width = plan->turns % 2 ? (int) h : (int) w;
    plan->scaled_height = plan->turns % 2 ? (int) w : (int) h;
}

int image_plan(const ImageOptions *options, int width, int height, int orientation, bool is_vector,
               ImagePlan *ret_plan)
{
    int known = orientation >= 1 && orientation <= 8 ? orientation : 1;
    int degrees = (int) ((options->rotate % 360 + 360) % 360), quarters = degrees / 90;
    ImagePlan plan = {
        .is_mirrored = orientations[known].is_mirrored,
        .turns = orientations[known].turns,
        .angle = degrees % 90,
    };
    int upright_width = plan.turns % 2 ? height : width;
    int upright_height = plan.turns % 2 ? width : height;
    Box box = { 0, 0, upright_width, upright_height };
    int r;

    if (options->crop.len > 0) {
        r = box_parse(options->crop, upright_width, upright_height, &box);
        if (r < 0)
            return r;
    }
    box_to_stored(box, width, height, &plan);
    plan.turns = (plan.turns + quarters) % 4;
    if (quarters % 2)
        box = (Box){ .width = box.height, .height = box.width };
    plan_sizes(options, box, is_vector, &plan);
    r = within_limits(&plan);
    if (r < 0)
        return r;
    *ret_plan = plan;
    return 0;
}

double image_plan_shrink(const ImagePlan *plan)
{
    return MIN((double) plan->width / plan->scaled_width,
               (double) plan->height / plan->scaled_height);
}
