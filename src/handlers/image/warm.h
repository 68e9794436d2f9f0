/*
 * What the first picture would have to fetch from files, fetched before the box is shut.
 */
#pragma once

#include "base/own.h"

/*
 * Open libvips and take a small picture through every codec and the colour profiles, so that all
 * they load lazily is loaded. A codec that is not here is no error, nor is libvips itself: the runs
 * that need them say so. 0.
 */
MUST int image_prepare(void);

/* Load the libraries; in the process that boxes are forked from. */
MUST int image_preload(void);
