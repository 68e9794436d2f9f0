/*
 * What went wrong with pictures, for a while: who asks again gets the same answer without another
 * question to the source or another try of the handler. Only where the operator says for how long.
 *
 * Only errors that the source or the picture has by itself are kept, never that the engine was
 * busy, stopping or short of something. Bounded: over LIMIT_SERVE_PICTURE_ERRORS the oldest goes.
 */
#pragma once

#include "base/err.h"
#include "base/own.h"

#include <stddef.h>
#include <stdint.h>

typedef struct PictureErrors PictureErrors;

/* Errors are kept for AGE_S. */
PictureErrors *picture_errors_new(int64_t age_s);
void picture_errors_free(PictureErrors *errors);

/* For how many seconds after NOW_S the error under KEY counts, and what it is; 0: there is none. */
int64_t picture_errors_find(PictureErrors *errors, const char *key, int64_t now_s, Err *ret_err);

/* Keep ERR under KEY, if it is one that is kept. */
void picture_errors_put(PictureErrors *errors, const char *key, int64_t now_s, const Err *err);

size_t picture_errors_len(const PictureErrors *errors);
