/*
 * The stock of a run: what was decoded once, for all outputs.
 *
 * Two roads lead here. A JPEG that is read for its pixels alone comes in the wanted sizes from one
 * pass (jpeg_scale.h). Everything else comes from libvips: streamed where there is one output of
 * one frame, and held in memory where it is read more than once.
 */
#pragma once

#include "base/limits.h"
#include "handlers/image/plan.h"
#include "handlers/image/source.h"

typedef struct Task Task;

typedef struct ImageStock {
    const ImageSource *source;
    const ImagePlan *plans;
    size_t n_plans;
    VipsImage *whole;                       /* owned; NULL on the JPEG road */
    VipsImage *scaled[LIMIT_IMAGE_OUTPUTS]; /* owned; the JPEG road's, each taken once */
} ImageStock;

/* Decode SOURCE for the N PLANS. Borrows both. 0 or an error; the caller frees the stock. */
MUST int image_stock_open(Task *task, const ImageSource *source, const ImagePlan *plans, size_t n,
                          ImageStock *ret_stock);
void image_stock_free(ImageStock *stock);
DEFINE_AUTO_VALUE(ImageStock, image_stock_free);

/* FRAME of the source, cut and scaled as plan I says, in the stored orientation. Once for each pair
 * of both. The caller owns it. */
MUST int image_stock_take(ImageStock *stock, size_t i, int frame, VipsImage **ret_image);
