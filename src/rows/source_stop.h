/*
 * Waiting that ends when the source shall stop.
 *
 * A source that waits for a descriptor or for a time must hear of `stopping` meanwhile, and must
 * not be torn out of a put that waits for room: the parcel would be lost. So a fiber of its own
 * waits for the event and ends only the wait that is going on.
 *
 *   source_stop_begin(&stop, source);
 *   while (r == 0 && !source_is_stopping(source)) { r = source_stop_wait(&stop, fd, …); … }
 *   source_stop_end(&stop);
 */
#pragma once

#include "rows/source.h"

typedef struct SourceStop {
    Source *source;
    sl_nursery *nursery;
    sl_scope *inside; /* of the wait that is going on; NULL: none */
} SourceStop;

/* Begin in the fiber of the source; end in the same block. */
SUSPENDS void source_stop_begin(SourceStop *stop, Source *source);
SUSPENDS void source_stop_end(SourceStop *stop);

/* Wait until FD (-1: none) can be read, DEADLINE_NS has come (INT64_MAX: none) or the source shall
 * stop, whichever is first. 0, STOP_PASSED when it is not the descriptor, or an error. */
enum { STOP_PASSED = 1 };
MUST SUSPENDS int source_stop_wait(SourceStop *stop, int fd, int64_t deadline_ns);
