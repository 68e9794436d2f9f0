/*
 * The plan of an output: which part of the source, how large, cut and placed how. Pure numbers.
 *
 *   stored source --(box)--> part --(scale)--> scaled --(turn, mirror)--> upright
 *                 --(crop or canvas)--> output
 *
 * The part and the scaled size are in the orientation in which the source is stored, so that the
 * expensive steps come first and run over rows as they are read; turning is left to the small
 * picture.
 */
#pragma once

#include "base/own.h"
#include "handlers/image/args.h"

typedef struct ImagePlan {
    int left, top, width, height;    /* the part of the stored source */
    int scaled_width, scaled_height; /* of the part, stored orientation */
    bool is_mirrored;                /* left to right, before turning */
    int turns;                       /* quarters clockwise: 0 to 3 */
    int crop_width, crop_height;     /* of the upright picture; its own size where nothing is cut */
    int canvas_width, canvas_height; /* at least the crop; larger where a border is added */
    int angle;                       /* degrees clockwise beside the turns, 0 to 89 */
} ImagePlan;

/*
 * Plan OPTIONS for a source of WIDTH by HEIGHT (stored) with EXIF's ORIENTATION (1 to 8; anything
 * else counts as 1). IS_VECTOR: it has no pixels of its own and may grow. 0, -ERR_INVALID (a crop
 * that does not fit) or -ERR_UNREADABLE (a result over the limits).
 */
MUST int image_plan(const ImageOptions *options, int width, int height, int orientation,
                    bool is_vector, ImagePlan *ret_plan);

/* How many times the width and the height of the part shrink, the lesser of both; below 1 where it
 * grows. */
double image_plan_shrink(const ImagePlan *plan);
