/*
 * JPEG to small pictures in one pass: decoded at 1/8, 1/4, 1/2 or all of its size (which costs
 * hardly more than reading the bits), and each row handed to a resampler for every picture wanted.
 *
 * This is the road of most work, so it goes past libvips: no tiles, no threads, no second buffer.
 * Memory is some rows for a baseline picture; a progressive one costs its coefficients.
 */
#pragma once

#include "handlers/image/plan.h"
#include "handlers/image/source.h"

typedef struct Task Task;

/* Whether this road can be taken: a JPEG in grey, colour or four inks. */
bool image_jpeg_fits(const ImageSource *source);

/*
 * The parts of SOURCE that the N PLANS want, in their scaled sizes, as images in memory. 0,
 * -ERR_UNREADABLE, -ECANCELED or -ENOMEM. The caller owns each of RET_IMAGES.
 */
MUST int image_jpeg_scale(Task *task, const ImageSource *source, const ImagePlan *plans, size_t n,
                          VipsImage **ret_images);
