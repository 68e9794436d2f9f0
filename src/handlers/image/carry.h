/*
 * Where a job's picture comes from and where its outputs go: files and URLs.
 */
#pragma once

#include <sluice/handler.h>

/* The handler's `load` and `deliver`; ARGS is an ImageArgs. */
SL_MUST SL_SUSPENDS int image_load(Task *task, const void *args);
SL_MUST SL_SUSPENDS int image_deliver(Task *task, const void *args);
