/*
 * Where pictures come from: a file below the operator's folder, or a URL.
 */
#pragma once

#include "base/own.h"
#include "codec/image_url.h"
#include "serve/pictures.h"

typedef struct PictureSource {
    Buf bytes;
    Buf tag; /* names this state of the source: of a file its time and size, of a URL its ETag or
                Last-Modified; empty: unknown */
    PictureKeep keep;
    int64_t fresh_s; /* for how long it says that it is fresh; -1: it says nothing */
} PictureSource;

void picture_source_deinit(PictureSource *source);
DEFINE_AUTO_VALUE(PictureSource, picture_source_deinit);

/* Whether OPTS let TEXT be read. 0 or -ERR_FORBIDDEN. */
MUST int picture_source_allow(const PicturesOpts *opts, ImageSourceKind kind, Str text);

/*
 * Read it. 0; PICTURE_SOURCE_SAME when its state is still the one of KNOWN_TAG, without its bytes;
 * or an error.
 */
enum { PICTURE_SOURCE_SAME = 1 };
MUST SUSPENDS int picture_source_load(const PicturesOpts *opts, ImageSourceKind kind, Str text,
                                      Str known_tag, PictureSource *ret_source);
